"""imagesets.py - what a HealthImaging data store holds: DIR/healthimaging/index.db.

add() groups an instance: into the primary image set of its series where it agrees
in StudyDate, AccessionNumber, PatientID, StudyID with every primary set of its
study and in SeriesNumber with that of its series; else into a non-primary set. An
instance that was there is replaced; each job that adds raises the set's version. Modelled:
developer guide, "Understanding image sets", "Understanding import jobs"; that study
elements are compared over the whole study is our reading. Transcoding to HTJ2K is
not modelled: what comes back has the transfer syntax in which it came.
"""
import json
import os
import shutil
import sqlite3
import threading
import time
import uuid

import dicomfile

STUDY_KEYS = ("StudyDate", "AccessionNumber", "PatientID", "StudyID")
SCHEMA = """
create table if not exists sets(id text primary key, datastore text, study text,
    series text, version integer, is_primary integer, study_keys text,
    series_number text, updated real, batch text);
create index if not exists sets_of_study on sets(datastore, study);
create table if not exists instances(image_set text, uid text, study text,
    series text, syntax text, size integer, elements text, warnings text,
    path text, primary key(image_set, uid));
create index if not exists by_uid on instances(uid);
create table if not exists jobs(id text primary key, datastore text, token text,
    document text);
"""


class Kept:
    """A row of instances, with what its image set says."""

    def __init__(self, row):
        (self.image_set, self.uid, self.study, self.series, self.syntax, self.size,
         elements, warnings, self.path, self.version, primary, self.updated) = row
        self.elements, self.warnings = json.loads(elements), json.loads(warnings)
        self.is_primary = bool(primary)


class Archive:
    def __init__(self, directory):
        self.files = os.path.join(directory, "healthimaging", "files")
        os.makedirs(self.files, exist_ok=True)
        self.lock = threading.RLock()
        self.db = sqlite3.connect(
            os.path.join(directory, "healthimaging", "index.db"), timeout=60,
            isolation_level=None, check_same_thread=False)
        self.db.execute("pragma journal_mode=wal")
        self.db.execute("pragma synchronous=off")
        self.db.executescript(SCHEMA)

    def all(self, sql, *values):
        with self.lock:
            return self.db.execute(sql, values).fetchall()

    # -- grouping

    def agreeing_set(self, datastore, instance):
        """(id or None, whether it may be primary)"""
        keys = json.dumps([instance.text(k) for k in STUDY_KEYS])
        number = instance.text("SeriesNumber")
        found, conflict = None, False
        for set_id, series, study_keys, series_number in self.all(
                "select id, series, study_keys, series_number from sets "
                "where datastore=? and study=? and is_primary=1",
                datastore, instance.study):
            if study_keys != keys:
                conflict = True
            elif series == instance.series:
                found, conflict = set_id, conflict or series_number != number
        if not conflict:
            return found, True
        same = self.all(
            "select id from sets where datastore=? and study=? and series=? and "
            "is_primary=0 and study_keys=? and series_number=?", datastore,
            instance.study, instance.series, keys, number)
        return (same[0][0] if same else None), False

    def add(self, datastore, instance, warnings, make_file, batch,
            may_be_primary=True):
        """Its row. make_file(path) is called to write the file; each batch (a job, a
        request) that adds to a set raises its version."""
        path = os.path.join(self.files, uuid.uuid4().hex)
        make_file(path)
        with self.lock:
            set_id, primary = self.agreeing_set(datastore, instance)
            if not may_be_primary and primary:
                set_id, primary = None, False
            if set_id is None:
                set_id = uuid.uuid4().hex
                self.all("insert into sets values(?,?,?,?,?,?,?,?,?,?)", set_id,
                         datastore, instance.study, instance.series, 0, primary,
                         json.dumps([instance.text(k) for k in STUDY_KEYS]),
                         instance.text("SeriesNumber"), 0, None)
            old = self.all("select path from instances where image_set=? and uid=?",
                           set_id, instance.uid)
            self.all("update sets set updated=?, batch=?, version=version+"
                     "(batch is not ?) where id=?", time.time(), batch, batch, set_id)
            self.all("insert or replace into instances values(?,?,?,?,?,?,?,?,?)",
                     set_id, instance.uid, instance.study, instance.series,
                     instance.syntax, instance.size, json.dumps(instance.elements),
                     json.dumps(warnings), path)
        for (gone,) in old:
            os.unlink(gone)
        return self.find(datastore, instance.uid, image_set=set_id)[0]

    # -- looking

    def find(self, datastore, uid=None, study=None, series=None, image_set=None,
             primary=None):
        """[Kept], newest studies first."""
        where, values = ["sets.datastore=?"], [datastore]
        for column, value in (("instances.uid", uid), ("instances.study", study),
                              ("instances.series", series), ("sets.id", image_set),
                              ("sets.is_primary", primary)):
            if value is not None:
                where.append(column + "=?")
                values.append(value)
        return [Kept(row) for row in self.all(
            "select instances.*, sets.version, sets.is_primary, sets.updated from "
            "instances join sets on sets.id=instances.image_set where %s "
            "order by sets.updated desc, instances.series, instances.uid" %
            " and ".join(where), *values)]

    def remove(self, datastore, uid):
        """As if somebody had deleted it."""
        for kept in self.find(datastore, uid):
            self.all("delete from instances where image_set=? and uid=?",
                     kept.image_set, uid)

    # -- jobs, as documents

    def keep_job(self, job):
        self.all("insert or replace into jobs values(?,?,?,?)", job["jobId"],
                 job["datastoreId"], job["clientToken"], json.dumps(job))

    def jobs(self, **wanted):
        """Oldest first; wanted by id, datastore, token."""
        where = "".join(" and %s=?" % name for name in wanted)
        found = [json.loads(row[0]) for row in self.all(
            "select document from jobs where 1=1" + where, *wanted.values())]
        return sorted(found, key=lambda job: job["submittedAt"])


def copy_pieces(pieces):
    """A make_file of [(path, offset, length)]: a link where it is a whole file."""
    def make(path):
        if len(pieces) == 1 and pieces[0][1] == 0 and \
                os.path.getsize(pieces[0][0]) == pieces[0][2]:
            os.link(pieces[0][0], path)
            return
        with dicomfile.Pieces(pieces) as source, open(path, "wb") as f:
            shutil.copyfileobj(source, f, 1 << 20)
    return make
