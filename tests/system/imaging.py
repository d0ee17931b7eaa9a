"""imaging.py - the stand-in for HealthImaging with its S3, and a gateway to it.

    cloud = Imaging()
    with cloud.gateway() as gw:
        study = Study(4)
        send(gw, study.objects)
        delivered(gw, study)

A program that uses this begins with #!/usr/bin/python3 (Debian's botocore).
"""
import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "fake"))
import aws  # noqa: E402
import part10  # noqa: E402
from checks import wait_for  # noqa: E402
from gateway import PATIENCE, Gateway  # noqa: E402
from sending import destination  # noqa: E402

INPUT, OUTPUT = "hospital-in", "hospital-out"
# As fast as a test wants it; a site does not.
QUICK = {"batch_time": "200ms", "start_interval": "50ms", "poll_interval": "50ms",
         "stall_timeout": "10s"}


class Imaging(aws.Aws):
    def __init__(self, **more):
        super().__init__(tempfile.mkdtemp(prefix="imaging-"), **more)
        self.directory = self.place.directory
        self.keys_file = os.path.join(self.directory, "credentials")
        with open(self.keys_file, "w") as f:
            f.write("[default]\naws_access_key_id = %s\n"
                    "aws_secret_access_key = %s\n" % (aws.KEY, aws.SECRET))
        os.chmod(self.keys_file, 0o600)
        self.calm()

    def calm(self, job=None, script=(), allow=None, s3=None, **config):
        """Starts are not throttled unless it is told so."""
        self.order({"allow": allow, "s3": s3 or {}, "healthimaging": {
            "rates": {"StartDICOMImportJob": None, "GetDICOMImportJob": None},
            "job": job or {}, **config}}, list(script))

    def yaml(self, mode="import", **options):
        options = {
            "type": "healthimaging", "mode": mode, "region": aws.REGION,
            "datastore_id": aws.DATASTORE,
            "s3_endpoint": self.s3.url, "api_endpoint": self.healthimaging.url,
            "dicomweb_endpoint": self.dicomweb.url, "path_style": "true",
            "tls": "{ca_file: %s}" % self.ca,
            "credential": "{type: aws_profile, credentials_file: %s}" %
            self.keys_file, **({} if mode == "stow" else {
                "input": "s3://%s/site7" % INPUT,
                "output": "s3://%s/site7" % OUTPUT,
                "data_access_role": aws.ROLE}), **QUICK, **options}
        return "{name: cloud, %s}" % ", ".join(
            "%s: %s" % pair for pair in options.items() if pair[1] is not None)

    def gateway(self, mode="import", options=None, **more):
        more.setdefault("study", "complete_after: 200ms")
        return Gateway(destinations="[%s]" % self.yaml(mode, **(options or {})),
                       wipe=True, **more)

    # -- what it was asked

    def starts(self, **wanted):
        return self.log(service="healthimaging", operation="StartDICOMImportJob",
                        **wanted)

    def jobs(self):
        return self.archive.jobs(datastore=aws.DATASTORE)

    def puts(self):
        return self.log(service="s3", operation="PutObject", status=200)

    def instances(self, obj):
        return list(self.archive.find(aws.DATASTORE, uid=obj.uid))

    def holds(self, objects):
        """Just these bytes under their UIDs, in primary image sets."""
        for o in objects:
            found = [i for i in self.instances(o) if i.is_primary]
            assert found, "%s is not there" % o.uid
            assert dataset_of(found[-1]) == o.data, "%s: other bytes" % o.uid

    def inputs(self):
        return [o.key for o in self.store.list(INPUT, "")]

    def wait_clean(self):
        wait_for(lambda: not self.inputs(), PATIENCE, "the input to be deleted")


def dataset_of(instance):
    with open(instance.path, "rb") as f:
        return part10.File(data=f.read()).dataset


def jobs_text(gw):
    return destination(gw)["jobs"]
