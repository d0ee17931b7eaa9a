"""s3store.py - where the S3 stand-in keeps things: DIR/s3/index.db and DIR/s3/files.

A Store belongs to a directory; several, in several processes, may use the same one,
which is how healthimaging.py reads what s3.py was sent. An object's bytes are
one file, or one for each part that it was made of. `hidden` is how many more GETs
shall find nothing (a manifest that comes late).
"""
import hashlib
import json
import os
import sqlite3
import threading
import time
import uuid

SCHEMA = """
create table if not exists buckets(name text primary key, region text, owner text,
    settings text);
create table if not exists objects(bucket text, key text, size integer, etag text,
    modified real, meta text, files text, hidden integer default 0,
    primary key(bucket, key));
create table if not exists uploads(id text primary key, bucket text, key text,
    started real, meta text);
create table if not exists parts(upload text, number integer, size integer,
    etag text, modified real, meta text, files text, primary key(upload, number));
"""


class Thing:
    """A row of objects, uploads or parts, by column names."""

    def __init__(self, cursor, row):
        for column, value in zip(cursor.description, row):
            name = column[0]
            setattr(self, name, json.loads(value)
                    if name in ("meta", "files", "settings") else value)


class Store:
    def __init__(self, directory):
        self.directory = os.path.join(directory, "s3", "files")
        os.makedirs(self.directory, exist_ok=True)
        self.lock = threading.RLock()
        self.db = sqlite3.connect(os.path.join(directory, "s3", "index.db"),
                                  timeout=60, isolation_level=None,
                                  check_same_thread=False)
        self.db.row_factory = Thing
        self.db.execute("pragma journal_mode=wal")
        self.db.execute("pragma synchronous=off")
        self.db.executescript(SCHEMA)

    def all(self, sql, *values):
        with self.lock:
            return self.db.execute(sql, values).fetchall()

    def one(self, sql, *values):
        found = self.all(sql, *values)
        return found[0] if found else None

    # -- buckets

    def make_bucket(self, name, region, owner, **settings):
        self.all("insert or replace into buckets values(?,?,?,?)", name, region,
                 owner, json.dumps(settings))

    def bucket(self, name):
        return self.one("select * from buckets where name=?", name)

    # -- files

    def new_path(self):
        return os.path.join(self.directory, uuid.uuid4().hex)

    def keep_body(self, body):
        if body.size == 0:
            return []
        path = self.new_path()
        body.adopt(path)
        return [[os.path.basename(path), body.size]]

    def remove_files(self, files):
        for name, _ in files:
            try:
                os.unlink(os.path.join(self.directory, name))
            except FileNotFoundError:
                pass

    def pieces(self, thing, start=0, length=None):
        """[(path, offset, length)] of a range of it."""
        left = thing.size - start if length is None else length
        found = []
        for name, size in thing.files:
            if left > 0 and start < size:
                take = min(left, size - start)
                found.append((os.path.join(self.directory, name), start, take))
                left -= take
            start = max(0, start - size)
        return found

    def read(self, thing, start=0, length=None):
        data = b""
        for path, offset, size in self.pieces(thing, start, length):
            with open(path, "rb") as f:
                f.seek(offset)
                data += f.read(size)
        return data

    # -- objects

    def object(self, bucket, key, peek=False):
        """None also while it is hidden; each look, but a peek, counts."""
        with self.lock:
            found = self.one("select * from objects where bucket=? and key=?",
                             bucket, key)
            if found is None or found.hidden <= 0:
                return found
            if not peek:
                self.all("update objects set hidden=hidden-1 "
                         "where bucket=? and key=?", bucket, key)
            return None

    def put(self, bucket, key, size, etag, meta, files, hidden=0):
        with self.lock:
            old = self.one("select * from objects where bucket=? and key=?",
                           bucket, key)
            self.all("insert or replace into objects values(?,?,?,?,?,?,?,?)",
                     bucket, key, size, etag, time.time(), json.dumps(meta),
                     json.dumps(files), hidden)
        if old is not None:
            self.remove_files(old.files)

    def put_bytes(self, bucket, key, data, kind="application/json", hidden=0):
        """As a service of the cloud writes it, not by a request."""
        files = []
        if data:
            path = self.new_path()
            with open(path, "wb") as f:
                f.write(data)
            files = [[os.path.basename(path), len(data)]]
        self.put(bucket, key, len(data), '"%s"' % hashlib.md5(data).hexdigest(),
                 {"content-type": kind}, files, hidden)

    def delete(self, bucket, key):
        with self.lock:
            old = self.object(bucket, key, peek=True)
            self.all("delete from objects where bucket=? and key=?", bucket, key)
        if old is not None:
            self.remove_files(old.files)

    def list(self, bucket, prefix="", after="", limit=-1):
        end = prefix + "\U0010ffff"
        return self.all(
            "select * from objects where bucket=? and key>=? and key<? and key>? "
            "and hidden<=0 order by key limit ?", bucket, prefix, end, after, limit)

    # -- multipart uploads

    def begin(self, bucket, key, meta):
        upload = uuid.uuid4().hex + uuid.uuid4().hex
        self.all("insert into uploads values(?,?,?,?,?)", upload, bucket, key,
                 time.time(), json.dumps(meta))
        return upload

    def upload(self, bucket, key, upload):
        return self.one("select * from uploads where id=? and bucket=? and key=?",
                        upload, bucket, key)

    def uploads(self, bucket, prefix=""):
        return self.all("select * from uploads where bucket=? and "
                        "substr(key,1,?)=? order by key, started",
                        bucket, len(prefix), prefix)

    def put_part(self, upload, number, size, etag, meta, files):
        with self.lock:
            old = self.one("select * from parts where upload=? and number=?",
                           upload, number)
            self.all("insert or replace into parts values(?,?,?,?,?,?,?)", upload,
                     number, size, etag, time.time(), json.dumps(meta),
                     json.dumps(files))
        if old is not None:
            self.remove_files(old.files)

    def parts(self, upload, after=0, limit=-1):
        return self.all("select * from parts where upload=? and number>? "
                        "order by number limit ?", upload, after, limit)

    def end(self, upload, keep=()):
        """The upload is over; the files of the parts numbered in keep are in use."""
        with self.lock:
            parts = self.parts(upload)
            self.all("delete from parts where upload=?", upload)
            self.all("delete from uploads where id=?", upload)
        for part in parts:
            if part.number not in keep:
                self.remove_files(part.files)
