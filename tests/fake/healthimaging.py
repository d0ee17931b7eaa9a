#!/usr/bin/python3
"""healthimaging.py - AWS HealthImaging: import jobs, and the DICOMweb host besides.

    healthimaging.py DIR [--datastore ID] [--region R] [--authorizer] [--certs D]

prints {"url", "dicomweb", "ca", ...} and ends with its standard input. It reads and
writes the buckets of an s3.py at the same DIR; aws.py starts all in one process.

Modelled, from the API reference and the developer guide: StartDICOMImportJob,
GetDICOMImportJob, ListDICOMImportJobs, GetDatastore with every documented pattern,
length and exception; idempotent client tokens (a repeat answers the same jobId;
with other parameters ConflictException, which the documentation does not say);
"Throttling limits" (each operation's rate and burst: ThrottlingException 429, before
anything else is looked at); concurrent jobs (ServiceQuotaExceededException 402);
SigV4 for medical-imaging by botocore, with the hash of the real body. Jobs are in
importjobs.py, DICOMweb in dicomweb.py.

Not modelled: image set actions (the runtime- host), data store administration,
tags, importConfiguration (refused), events. Unknown members of a request, which AWS
may ignore, are refused.

Config ("healthimaging"): "rates": {operation: [a second, burst] or null},
"concurrent_jobs": 100, "limits": {"files", "bytes", "file"}, "roles": null or those
that may be passed, "status": "ACTIVE" (of the data store), "error_form": "header" |
"suffix" | "body" (where the code stands), "job": see importjobs.py. An order for
StartDICOMImportJob may hold "job": {...}.
"""
import json
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import awsjson  # noqa: E402
import base  # noqa: E402
import dicomweb  # noqa: E402
import imagesets  # noqa: E402
import importjobs  # noqa: E402
import s3store  # noqa: E402
import sigv4  # noqa: E402
from awsjson import DATASTORE  # noqa: E402
from base import Fault, json_reply  # noqa: E402

URI = r"s3://[a-z0-9][\.\-a-z0-9]{1,61}[a-z0-9](/.*)?"
# member: (needed, shortest, longest, pattern)
MEMBERS = {
    "clientToken": (True, 1, 64, r"[A-Za-z0-9._-]+"),
    "dataAccessRoleArn": (True, 20, 2048,
                          r"arn:aws(-[^:]+)?:iam::[0-9]{12}:role/.+"),
    "inputS3Uri": (True, 1, 1024, URI),
    "outputS3Uri": (True, 1, 1024, URI),
    "jobName": (False, 1, 64, r"[A-Za-z0-9._/#-]+"),
    "inputOwnerAccountId": (False, 12, 12, r"[0-9]{12}"),
}
RATES = {"StartDICOMImportJob": [1, 2], "GetDICOMImportJob": [25, 50],
         "ListDICOMImportJobs": [10, 20], "GetDatastore": [10, 20]}
STATES = ("SUBMITTED", "IN_PROGRESS", "COMPLETED", "FAILED")
ROUTES = [
    ("POST", r"/startDICOMImportJob/datastore/([^/]+)", "StartDICOMImportJob"),
    ("GET", r"/getDICOMImportJob/datastore/([^/]+)/job/([^/]+)", "GetDICOMImportJob"),
    ("GET", r"/listDICOMImportJobs/datastore/([^/]+)", "ListDICOMImportJobs"),
    ("GET", r"/datastore/([^/]+)", "GetDatastore"),
]


class HealthImaging(awsjson.AwsJson):
    name = "healthimaging"
    ROUTES, RATES = ROUTES, RATES
    DEFAULTS = {"rates": {}, "concurrent_jobs": 100, "limits": {}, "roles": None,
                "status": "ACTIVE", "error_form": "header", "job": {}}

    def __init__(self, place, keys, store, archive, **more):
        self.jobs = importjobs.Jobs(
            place, store, archive, sigv4.ACCOUNT,
            lambda: place.config(self.name, self.DEFAULTS)["limits"])
        super().__init__(place, keys, archive, **more)

    def parameters(self, request):
        kind = request.header("content-type", "").split(";")[0]
        if kind != "application/json":
            raise Fault("UnsupportedMediaTypeException", 415,
                        "Content-Type is %r" % kind)
        try:
            found = json.loads(request.body.bytes())
            if not isinstance(found, dict):
                raise ValueError("not an object")
        except ValueError as why:
            raise Fault("SerializationException", 400, str(why))
        wrong = ["unknown member %s" % name for name in found if name not in MEMBERS]
        for name, (needed, shortest, longest, pattern) in MEMBERS.items():
            value = found.get(name)
            if value is None and needed:
                wrong.append("Value null at '%s' failed to satisfy constraint: Member "
                             "must not be null" % name)
            elif value is not None and (
                    not isinstance(value, str) or
                    not shortest <= len(value) <= longest or
                    not re.fullmatch(pattern, value)):
                wrong.append("Value at '%s' failed to satisfy constraint: Member must "
                             "have length %d to %d and satisfy regular expression "
                             "pattern: %s" % (name, shortest, longest, pattern))
        if wrong:
            raise Fault("ValidationException", 400, "%d validation error%s detected: "
                        "%s" % (len(wrong), "" if len(wrong) == 1 else "s",
                                "; ".join(wrong)))
        return {k: v for k, v in found.items() if v is not None}

    def do_StartDICOMImportJob(self, request):
        parameters = self.parameters(request)
        with self.jobs.lock:
            job = self.known_job(parameters) or self.new_job(request, parameters)
        request.noted["job"] = job["jobId"]
        return json_reply({name: job[name] for name in (
            "datastoreId", "jobId", "jobStatus", "submittedAt")})

    def known_job(self, parameters):
        for job in self.archive.jobs(datastore=self.datastore,
                                     token=parameters["clientToken"]):
            if job["parameters"] != parameters:
                raise Fault("ConflictException", 409, "The client token was used "
                            "with other parameters")
            return job
        return None

    def new_job(self, request, parameters):
        config = request.config
        if config["status"] != "ACTIVE":
            raise Fault("ConflictException", 409,
                        "The data store is %s" % config["status"])
        if config["roles"] is not None and \
                parameters["dataAccessRoleArn"] not in config["roles"]:
            raise Fault("AccessDeniedException", 403, "User: %s is not authorized to "
                        "perform: iam:PassRole on resource: %s" % (
                            request.key["arn"], parameters["dataAccessRoleArn"]))
        if self.jobs.running(self.datastore) >= config["concurrent_jobs"]:
            raise Fault("ServiceQuotaExceededException", 402, "The number of "
                        "concurrent import jobs exceeds %d" % config["concurrent_jobs"])
        told = {**config["job"], **request.order.get("job", {})}
        return self.jobs.start(self.datastore, parameters, told)

    def properties(self, job, *names):
        shown = {"outputS3Uri": self.jobs.shown_output(job)}
        return {n: shown.get(n, job.get(n)) for n in names
                if job.get(n) is not None}

    def do_GetDICOMImportJob(self, request):
        found = re.fullmatch("[0-9a-z]{1,32}", request.names[1])
        jobs = self.archive.jobs(datastore=self.datastore, id=request.names[1])
        if not found:
            raise Fault("ValidationException", 400, "1 validation error detected: "
                        "Value at 'jobId' failed to satisfy constraint")
        if not jobs:
            raise Fault("ResourceNotFoundException", 404, "Job does not exist")
        return json_reply({"jobProperties": self.properties(
            jobs[0], "jobId", "jobName", "jobStatus", "datastoreId",
            "dataAccessRoleArn", "inputS3Uri", "outputS3Uri", "submittedAt",
            "endedAt", "message")})

    def do_ListDICOMImportJobs(self, request):
        most = request.arguments.get("maxResults", "50")
        status = request.arguments.get("jobStatus")
        token = request.arguments.get("nextToken", "0")
        if not re.fullmatch(r"\d{1,2}", most) or not 1 <= int(most) <= 50 or \
                status not in STATES + (None,) or not re.fullmatch(r"\d{1,9}", token):
            raise Fault("ValidationException", 400, "1 validation error detected: of "
                        "maxResults, jobStatus or nextToken")
        jobs = [job for job in reversed(self.archive.jobs(datastore=self.datastore))
                if status in (None, job["jobStatus"])]
        page = jobs[int(token):][:int(most)]
        answer = {"jobSummaries": [self.properties(
            job, "jobId", "jobName", "jobStatus", "datastoreId", "dataAccessRoleArn",
            "submittedAt", "endedAt", "message") for job in page]}
        if int(token) + len(page) < len(jobs):
            answer["nextToken"] = str(int(token) + len(page))
        return json_reply(answer)

    def do_GetDatastore(self, request):
        properties = {
            "datastoreId": self.datastore, "datastoreName": "site7",
            "datastoreStatus": request.config["status"],
            "datastoreArn": self.arn(), "losslessStorageFormat": "HTJ2K",
            "createdAt": 1700000000.5, "updatedAt": 1700000000.5}
        if self.authorizer:
            properties["lambdaAuthorizerArn"] = \
                "arn:aws:lambda:%s:%s:function:authorizer" % (
                    self.region, sigv4.ACCOUNT)
        return json_reply({"datastoreProperties": properties})


def main():
    parser = base.parser_for(__doc__)
    parser.add_argument("--datastore", default=DATASTORE)
    parser.add_argument("--region", default=base.REGION)
    parser.add_argument("--authorizer", action="store_true")
    args = parser.parse_args()
    place = base.Place(args.directory, args.certs, not args.plain)
    keys, archive = sigv4.Keys(place), imagesets.Archive(place.directory)
    more = {"region": args.region, "datastore": args.datastore,
            "authorizer": args.authorizer}
    control = HealthImaging(place, keys, s3store.Store(place.directory), archive,
                            **more)
    web = dicomweb.Dicomweb(place, keys, archive, **more)
    base.run_until_end({
        "url": control.url, "dicomweb": web.url, "ca": place.ca,
        "datastore": args.datastore, "region": args.region,
        "access_key": sigv4.KEY, "secret_key": sigv4.SECRET})


if __name__ == "__main__":
    main()
