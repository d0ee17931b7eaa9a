"""compare.py - is what the cloud gives out what the modality sent?

Every instance is fetched by WADO-RS as the cloud keeps it. Its data set must be
the file's, bit for bit. Where the gateway had to re-encode it, pydicom reads both
and every element must have the same value (tests/unit/objects.py). DCMTK's
senders rewrite some files themselves while they send: those must be, bit for bit,
what the gateway received, and have the file's values but for group lengths and
padding.
"""
import base64
import http.client
import io
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


def flatten(dataset, path=()):
    """((tags and items) -> bytes) of every element, padding left out"""
    values = {}
    for tag in dataset.keys():
        raw = dataset.get_item(tag)
        here = path + (int(tag),)
        if tag.element == 0 or tag == 0xfffcfffc:
            continue
        if raw.VR == "SQ":
            for number, item in enumerate(dataset[tag].value):
                values.update(flatten(item, here + (number,)))
        elif isinstance(raw.value, bytes) or raw.value is None:
            values[here] = (raw.value or b"").rstrip(b"\0 ")
        else:
            values[here] = str(raw.value)
    return values


def same_values(path, data):
    import pydicom

    sent = pydicom.dcmread(path)
    got = pydicom.dcmread(io.BytesIO(data))
    return flatten(sent) == flatten(got)


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
        elif got.dataset == taken.dataset and same_values(path, data):
            result.as_sent += 1
        else:
            result.wrong.append("%s differs from what was sent" % path)
    if pairs:
        lines = decode(pairs, directory)
        result.wrong += lines
        result.equal = 0 if lines else len(pairs)
    return result
