"""buckets.py - what the tests of S3 share: keys in a file, a bucket as a destination,
and what it holds.

    bucket = Bucket("site", url, keys(directory, KEY, SECRET), read, listed)

read(key) gives an object's bytes and listed() all names, whatever server it is.
"""
import hashlib
import json
import os
import re

import part10

PRIVATE = (b"TEST^RAW", b"RAW1", b"ACC1", b"19700101")


def keys(directory, key, secret, token=None):
    """A shared credentials file of Amazon's form; its path."""
    os.makedirs(directory, exist_ok=True)
    path = os.path.join(directory, "credentials")
    made = path + ".new"
    text = "[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n" % (
        key, secret)
    if token is not None:
        text += "aws_session_token = %s\n" % token
    with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
                   "w") as f:
        f.write(text)
    os.rename(made, path)
    return path


class Bucket:
    def __init__(self, name, url, credentials, read, listed, **options):
        self.name, self.url, self.credentials = name, url, credentials
        self.read, self.listed, self.options = read, listed, options

    def yaml(self, **options):
        """As an entry of destinations named `cloud`; an option of None is left out."""
        options = {"type": "s3", "bucket": self.name, "endpoint": self.url,
                   "path_style": "true", "part_size": "5MiB",
                   "stall_timeout": "20s",
                   "credential": "{type: aws_profile, credentials_file: %s}" %
                   self.credentials, **self.options, **options}
        return "{name: cloud, %s}" % ", ".join(
            "%s: %s" % pair for pair in options.items() if pair[1] is not None)

    def key(self, o, prefix=""):
        return "%s%s/%s/%s.dcm" % (prefix, o.study, o.series, o.uid)

    def holds(self, objects, prefix=""):
        """Just these bytes, as files of DICOM."""
        for o in objects:
            data = self.read(self.key(o, prefix))
            assert data is not None, "%s is not there" % o.uid
            file = part10.File(data=data)
            assert file.dataset == o.data, "%s: other bytes" % o.uid
            assert file.syntax == o.syntax

    def manifests(self, study, prefix=""):
        """{number: its JSON} of a study."""
        found = {}
        for key in self.listed():
            match = re.fullmatch(re.escape("%s%s/" % (prefix, study)) +
                                 r"manifest-(\d+)\.json", key)
            if match:
                found[int(match.group(1))] = json.loads(self.read(key))
        return found

    def described(self, manifest, objects, prefix=""):
        """It names these objects, as they are there."""
        named = {o["sop_instance"]: o for o in manifest["objects"]}
        assert sorted(named) == sorted(o.uid for o in objects), named.keys()
        for o in objects:
            data, said = self.read(self.key(o, prefix)), named[o.uid]
            assert said["key"] == self.key(o, prefix)
            assert said["length"] == len(data)
            assert said["sha256"] == hashlib.sha256(data).hexdigest()
            assert (said["sop_class"], said["series"], said["transfer_syntax"]) == (
                o.sop_class, o.series, o.syntax)
        text = json.dumps(manifest).encode()
        assert not any(private in text for private in PRIVATE), text
