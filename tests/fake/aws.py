#!/usr/bin/python3
"""aws.py - Amazon in one process: S3, HealthImaging, its DICOMweb, Roles Anywhere.

    aws.py DIR [--bucket NAME[=REGION[,OWNER]]]... [--authorizer] [--anchor CA.pem]...
           [--certs DIR] [--plain]

prints {"s3", "healthimaging", "dicomweb", "rolesanywhere" (URLs, a port each), "ca",
"region", "datastore", "access_key", "secret_key"} and ends with its standard input.
A system test begins so:

    #!/usr/bin/python3
    import os, sys, tempfile
    sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "fake"))
    import aws

    cloud = aws.Aws(tempfile.mkdtemp())          # in this process, until it ends
    cloud.s3.url, cloud.healthimaging.url, cloud.dicomweb.url
    cloud.ca                                     # for tls: {ca_file: ...}
    aws.KEY, aws.SECRET, aws.REGION, aws.DATASTORE, aws.ACCOUNT
    cloud.order({"healthimaging": {"concurrent_jobs": 2}},
                [{"operation": "StartDICOMImportJob", "lost": True},
                 {"operation": "PutObject", "error": "SlowDown", "times": 3}])
    cloud.log(service="s3", operation="PutObject")      # [{"status", "error", ...}]
    cloud.store.list("hospital-in", "site7/")           # objects: .key .size .meta
    cloud.archive.find(aws.DATASTORE, uid=...)          # instances: .image_set ...
    cloud.archive.jobs(datastore=aws.DATASTORE)         # jobs, as JSON
    cloud.place.path("pki", "ec.pem")                   # for Roles Anywhere: pki.py
    rolesanywhere.TRUST_ANCHOR, .PROFILE, .ROLE
    cloud.keys.add("AKIA...", "secret", token="T", expires=cloud.place.now() + 60)
    tokens.Tokens(cloud.place).endpoints                # for Aws(..., authorizer=True)
    cloud.s3.close(); cloud.s3.open()                   # it goes away, and is back

As a process of its own its state survives kill -9: started again at the same DIR it
has the same ports. The certificates name localhost, *.s3.localhost and the real
hosts of REGION. base.py says what orders can do, s3.py, healthimaging.py,
importjobs.py, dicomweb.py and rolesanywhere.py what else each of them knows.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import base  # noqa: E402
import dicomweb  # noqa: E402
import healthimaging  # noqa: E402
import imagesets  # noqa: E402
import pki  # noqa: E402
import rolesanywhere  # noqa: E402
import s3  # noqa: E402
import s3store  # noqa: E402
import sigv4  # noqa: E402
from awsjson import DATASTORE  # noqa: E402
from base import REGION  # noqa: E402, F401
from sigv4 import ACCOUNT, KEY, SECRET  # noqa: E402, F401

BUCKETS = ("hospital-in", "hospital-out")
ROLE = "arn:aws:iam::%s:role/ahi-import" % ACCOUNT


class Aws:
    def __init__(self, directory, buckets=BUCKETS, certificates=None, tls=True,
                 authorizer=False, anchors=()):
        """buckets: names, or name=region,owner."""
        self.place = base.Place(directory, certificates, tls)
        self.ca = self.place.ca
        self.order, self.log = self.place.order, self.place.log
        self.keys = sigv4.Keys(self.place)
        self.store = s3store.Store(self.place.directory)
        for text in buckets:
            self.store.make_bucket(*s3.bucket_option(text, REGION))
        self.archive = imagesets.Archive(self.place.directory)
        self.s3 = s3.S3(self.place, self.keys, self.store)
        more = {"authorizer": authorizer}
        self.healthimaging = healthimaging.HealthImaging(
            self.place, self.keys, self.store, self.archive, **more)
        self.dicomweb = dicomweb.Dicomweb(self.place, self.keys, self.archive, **more)
        self.rolesanywhere = rolesanywhere.RolesAnywhere(
            self.place, self.keys, anchors or [
                os.path.join(pki.make(self.place.path("pki")), "anchor.pem")])
        self.services = [self.s3, self.healthimaging, self.dicomweb,
                         self.rolesanywhere]

    def described(self):
        return {**{service.name: service.url for service in self.services},
                "ca": self.ca, "region": REGION, "datastore": DATASTORE,
                "role": ROLE, "access_key": KEY, "secret_key": SECRET,
                "trust_anchor": rolesanywhere.TRUST_ANCHOR,
                "profile": rolesanywhere.PROFILE,
                "gateway_role": rolesanywhere.ROLE}

    def close(self):
        for service in self.services:
            service.close()


def main():
    parser = base.parser_for(__doc__)
    parser.add_argument("--bucket", action="append")
    parser.add_argument("--authorizer", action="store_true")
    parser.add_argument("--anchor", action="append", default=[])
    args = parser.parse_args()
    cloud = Aws(args.directory, args.bucket or BUCKETS, args.certs, not args.plain,
                args.authorizer, args.anchor)
    base.run_until_end(cloud.described())


if __name__ == "__main__":
    main()
