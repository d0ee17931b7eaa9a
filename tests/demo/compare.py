"""compare.py - is what the cloud gives out what the modality sent?

Every instance is fetched by WADO-RS as the cloud keeps it. Its data set must be
the file's, bit for bit. Where the gateway had to re-encode it, pydicom reads both
and every element must have the same value (tests/unit/objects.py). DCMTK's
senders rewrite some files themselves while they send (group lengths, padding):
those must be, bit for bit, what the gateway received.
"""
import base64
import http.client
import os
import ssl
import subprocess
import sys
import urllib.parse

import part10

OBJECTS = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                       "..", "unit", "objects.py")
ACCEPT = 'multipart/related; type="application/dicom"; transfer-syntax=*'


class Reader:
    """Keeps one connection to the cloud."""

    def __init__(self, info):
        url = urllib.parse.urlsplit(info["url"])
        login = "%s:%s" % (info["user"], info["password"])
        self.base = url.path
        self.headers = {
            "Accept": ACCEPT, "Authorization": "Basic " +
            base64.b64encode(login.encode()).decode()}
        self.connection = http.client.HTTPSConnection(
            url.hostname, url.port, timeout=60,
            context=ssl.create_default_context(cafile=info["ca"]))

    def fetch(self, study, series, instance):
        """The Part 10 file, as bytes."""
        path = "%s/studies/%s/series/%s/instances/%s" % (
            self.base, study, series, instance)
        self.connection.request("GET", path, headers=self.headers)
        reply = self.connection.getresponse()
        body = reply.read()
        if reply.status != 200:
            raise ValueError("WADO-RS answers %d for %s" % (reply.status, path))
        return split_single(body)


def split_single(body):
    """The one part of a multipart body."""
    delimiter = body[:body.index(b"\r\n")].lstrip()
    head, _, rest = body.partition(b"\r\n\r\n")
    end = rest.rindex(b"\r\n" + delimiter)
    if not head.startswith(delimiter):
        raise ValueError("WADO-RS answers no multipart")
    return rest[:end]


class Result:
    def __init__(self):
        self.same, self.as_sent, self.equal = 0, 0, 0
        self.unsent, self.wrong = [], []

    @property
    def words(self):
        counts = ((self.same, "bit for bit"),
                  (self.as_sent, "bit for bit as storescu rewrote it"),
                  (self.equal, "re-encoded, equal"),
                  (len(self.unsent), "not sent"), (len(self.wrong), "WRONG"))
        return ", ".join("%d %s" % count for count in counts if count[0])


def decode(pairs, directory):
    """[(file, fetched)]: what differs by pydicom, as lines."""
    listing = os.path.join(directory, "pairs")
    with open(listing, "w", encoding="utf-8") as out:
        out.writelines("%s\t%s\n" % pair for pair in pairs)
    done = subprocess.run([sys.executable, "-B", OBJECTS, "compare", listing],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False)
    if done.returncode == 0:
        return []
    return done.stdout.splitlines() or [
        "pydicom could not compare them: status %d" % done.returncode]


def keep(directory, number, kind, data):
    path = os.path.join(directory, "%d.%s.dcm" % (number, kind))
    with open(path, "wb") as out:
        out.write(data)
    return path


def compare(study, rows, reader, received, directory, progress):
    """rows: {SOP Instance UID: the gateway's row} of what it received;
    received(number) gives the file that it keeps."""
    result, pairs = Result(), []
    os.makedirs(directory, exist_ok=True)
    for path, uid in study.files.items():
        progress()
        if uid not in rows:
            result.unsent.append(path)
            continue
        number = rows[uid]["id"]
        data = reader.fetch(study.uid, rows[uid]["series"], uid)
        sent, got = part10.File(path), part10.File(data=data)
        if got.syntax == sent.syntax and got.dataset == sent.dataset:
            result.same += 1
            continue
        kept = received(number)
        taken = part10.File(data=kept)
        if got.syntax != taken.syntax:
            pairs.append((keep(directory, number, "received", kept),
                          keep(directory, number, "cloud", data)))
        elif got.dataset == taken.dataset:
            result.as_sent += 1
        else:
            result.wrong.append("%s differs from what was received" % path)
    if pairs:
        lines = decode(pairs, directory)
        result.wrong += lines
        result.equal = 0 if lines else len(pairs)
    return result
