"""compare.py - is what the cloud gives out what the modality sent?

Every instance is fetched by WADO-RS as the cloud keeps it. Its data set must be
the file's, bit for bit. Where the gateway had to re-encode it, pydicom reads both
and every element must have the same value (tests/unit/objects.py). Where only
the sender wrote it otherwise than it stands in its file, it must be, bit for bit,
what the gateway received, and pydicom has the last word here, too.
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
        self.same_bits, self.same_values, self.wrong = 0, 0, []

    @property
    def words(self):
        said = []
        if self.same_bits:
            said.append("%d bit for bit" % self.same_bits)
        if self.same_values:
            said.append("%d re-encoded, equal" % self.same_values)
        if self.wrong:
            said.append("%d NOT" % len(self.wrong))
        return ", ".join(said)


def decode(pairs, directory):
    """[(file, fetched)]: what differs by pydicom, as lines."""
    listing = os.path.join(directory, "pairs")
    with open(listing, "w", encoding="utf-8") as out:
        out.writelines("%s\t%s\n" % pair for pair in pairs)
    done = subprocess.run([sys.executable, "-B", OBJECTS, "compare", listing],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False)
    return [] if done.returncode == 0 else done.stdout.splitlines()


def compare(study, instances, reader, received, directory, progress):
    """instances: {SOP Instance UID: series UID and number at the gateway}, of
    what it received; received(number) gives the file that it keeps."""
    result, pairs = Result(), []
    os.makedirs(directory, exist_ok=True)
    for path in study.files:
        progress()
        sent = part10.File(path)
        if sent.instance not in instances:
            result.wrong.append("%s was not received" % path)
            continue
        series, number = instances[sent.instance]
        data = reader.fetch(study.uid, series, sent.instance)
        got = part10.File(data=data)
        if got.syntax == sent.syntax and got.dataset == sent.dataset:
            result.same_bits += 1
            continue
        if got.syntax == sent.syntax and \
                got.dataset != part10.File(data=received(number)).dataset:
            result.wrong.append("%s differs from what was received" % path)
            continue
        pairs.append((path, os.path.join(directory, "%d.dcm" % number)))
        with open(pairs[-1][1], "wb") as out:
            out.write(data)
    if pairs:
        lines = decode(pairs, directory)
        result.wrong += lines
        result.same_values = 0 if lines else len(pairs)
    return result
