"""importjobs.py - HealthImaging's import jobs: they read S3, import, write lists.

Modelled: developer guide, "Understanding import jobs" (the output), "Endpoints and
quotas" (files and bytes of a job, bytes of a file), "HealthImaging warning codes".
A job beyond a quota fails whole, a file beyond one alone, and every object whose
key begins with the prefix belongs to the job: the documentation does not say so in
as many words. A file that is imported with warnings stands in success.ndjson and in
warning.ndjson. Jobs live on over a restart: one that was running is run again.

What a job shall do wrong is "job" in the order that StartDICOMImportJob takes, or
in the config ("healthimaging"); keys are regular expressions of object keys:

    "submitted_ms": 20, "running_ms": 50    how long it stays so
    "stuck": "SUBMITTED" | "IN_PROGRESS"    for ever
    "fail": message, "fail_after": n        FAILED, after n files (0: none)
    "lose": [...]            not imported and in no list
    "forget": [...]          imported, but in no list
    "twice": [...], "both": [...]           twice in success; in success and failure
    "server_error": {regex: message}, "customer_error": {...}
    "warn": {regex: type}    e.g. "InvalidOffsetTable"
    "non_primary": [...]
    "bad_line": {regex: "python" | "cut" | "garbage" | "bytes"}
    "manifest_late": n, "lists_late": n     NoSuchKey for the first n GETs
    "no_lists": true         no ndjson at all
    "input_file": "key" | "relative" | "basename" | "uri"
    "output_folder": true    in GetDICOMImportJob's outputS3Uri
    "counts": {...}          other numbers in the manifest than are true
"""
import json
import re
import sys
import threading
import uuid

import dicomfile
import imagesets

LIMITS = {"files": 5000, "bytes": 10 << 30, "file": 4 << 30}
WARNINGS = {
    "CoercionOfDataElements": 0xB000, "ElementsDiscarded": 0xB006,
    "SopClassDataMismatch": 0xB007, "TranscodingException": 0xB100,
    "FramesExtractionFailure": 0xB110, "FrameNumberMismatch": 0xB111,
    "InvalidOffsetTable": 0xB112, "UnsupportedTransferSyntax": 0xB120,
    "InvalidUidFormat": 0xB201, "InvalidDicomValueLength": 0xB202, "Other": 0xBFFF}


class JobFailed(Exception):
    """The whole of it."""


def split_uri(uri):
    bucket, _, key = uri[len("s3://"):].partition("/")
    return bucket, key


def matches(patterns, key):
    """The pattern, or its value in a mapping, that the key matches."""
    for pattern in patterns or ():
        if re.search(pattern, key):
            return patterns[pattern] if isinstance(patterns, dict) else True
    return None


class Lists:
    """What came of a job's files."""

    def __init__(self, job):
        self.job, self.told = job, job["told"]
        self.success, self.failure, self.warning = [], [], []
        self.scanned = self.imported = self.customer = self.server = 0
        self.sets = {}

    def input_file(self, key):
        bucket, prefix = split_uri(self.job["inputS3Uri"])
        return {"key": key, "relative": key[len(prefix):].lstrip("/"),
                "basename": key.rpartition("/")[2],
                "uri": "s3://%s/%s" % (bucket, key)}[
                    self.told.get("input_file", "key")]

    def line(self, key, record):
        text = json.dumps({"inputFile": self.input_file(key), **record},
                          separators=(",", ":")).encode()
        how = matches(self.told.get("bad_line"), key)
        if how == "python":
            text = text.replace(b":true", b": True").replace(b":false", b": False")
        elif how == "cut":
            text = text[:len(text) * 2 // 3]
        elif how == "garbage":
            text = b"<html>503</html>"
        elif how == "bytes":
            text = text.replace(b'"imageSetId"', b'"\xff\xfe\x00"')
        return text + b"\n"

    def add_failure(self, key, kind, message):
        self.failure.append(self.line(key, {"exception": {
            "exceptionType": kind, "message": message}}))
        if kind == "InternalServerException":
            self.server += 1
        else:
            self.customer += 1

    def add_success(self, key, kept):
        self.imported += 1
        self.sets.setdefault(kept.image_set, [0, kept])[0] += 1
        if matches(self.told.get("forget"), key):
            return
        response = {"imageSetId": kept.image_set, "isPrimary": kept.is_primary}
        line = self.line(key, {"importResponse": response})
        self.success += [line] * (2 if matches(self.told.get("twice"), key) else 1)
        if matches(self.told.get("both"), key):
            self.failure.append(self.line(key, {"exception": {
                "exceptionType": "ValidationException", "message": "As ordered."}}))
        if kept.warnings:
            self.warning.append(self.line(key, {"importResponse": {
                **response, "imageSetVersion": kept.version, "warnings": [
                    {"warning_reason_code": code, "type": kind, "message": text}
                    for code, kind, text in kept.warnings]}}))

    def manifest(self, folder):
        job = self.job
        return {"jobSummary": {
            "jobId": job["jobId"], "datastoreId": job["datastoreId"],
            "inputS3Uri": job["inputS3Uri"], "outputS3Uri": folder,
            "successOutputS3Uri": folder + "SUCCESS/",
            "failureOutputS3Uri": folder + "FAILURE/",
            "warningsOutputS3Uri": folder + "WARNING/",
            "numberOfScannedFiles": self.scanned,
            "numberOfImportedFiles": self.imported,
            "numberOfFilesWithCustomerError": self.customer,
            "numberOfFilesWithServerError": self.server,
            "numberOfGeneratedImageSets": len(self.sets),
            "imageSetsSummary": [
                {"imageSetId": set_id, "imageSetVersion": kept.version,
                 "isPrimary": kept.is_primary, "numberOfMatchedSOPInstances": n}
                for set_id, (n, kept) in self.sets.items()],
            **self.told.get("counts", {})}}


class Jobs:
    """place is for its clock, store is S3's, archive the data store's."""

    def __init__(self, place, store, archive, account, limits):
        self.place, self.store, self.archive = place, store, archive
        self.account, self.limits = account, limits
        self.lock, self.ended = threading.RLock(), threading.Event()
        for job in archive.jobs():
            if job["jobStatus"] in ("SUBMITTED", "IN_PROGRESS"):
                self.spawn(job)

    def start(self, datastore, parameters, told):
        job = {"jobId": uuid.uuid4().hex, "datastoreId": datastore,
               "jobStatus": "SUBMITTED", "submittedAt": self.place.now(),
               "told": told, "parameters": parameters, "jobName": "",
               **parameters}
        self.archive.keep_job(job)
        self.spawn(job)
        return job

    def spawn(self, job):
        threading.Thread(target=self.run, args=(job,), daemon=True).start()

    def running(self, datastore):
        return sum(job["jobStatus"] in ("SUBMITTED", "IN_PROGRESS")
                   for job in self.archive.jobs(datastore=datastore))

    def become(self, job, status, **more):
        job.update(more, jobStatus=status)
        self.archive.keep_job(job)

    def run(self, job):
        told = job["told"]
        self.ended.wait(told.get("submitted_ms", 20) / 1000)
        if told.get("stuck") == "SUBMITTED" or self.ended.is_set():
            return
        self.become(job, "IN_PROGRESS")
        self.ended.wait(told.get("running_ms", 50) / 1000)
        if told.get("stuck") == "IN_PROGRESS" or self.ended.is_set():
            return
        try:
            lists = self.import_all(job)
            self.write_lists(job, lists)
            self.become(job, "COMPLETED", endedAt=self.place.now())
        except JobFailed as why:
            self.become(job, "FAILED", endedAt=self.place.now(), message=str(why))
        except Exception as error:  # to be seen by the test, not to hang it
            sys.excepthook(*sys.exc_info())
            self.become(job, "FAILED", endedAt=self.place.now(),
                        message="a bug of the stand-in: %s" % error)

    # -- importing

    def scan(self, job):
        bucket, prefix = split_uri(job["inputS3Uri"])
        found = self.store.bucket(bucket)
        owner = job.get("inputOwnerAccountId", self.account)
        if found is None or found.owner != owner:
            raise JobFailed("Access denied to the input bucket %s" % bucket)
        if self.store.bucket(split_uri(job["outputS3Uri"])[0]) is None:
            raise JobFailed("Access denied to the output bucket")
        objects = [o for o in self.store.list(bucket, prefix)
                   if not o.key.endswith("/")]
        limits = {**LIMITS, **self.limits()}
        if len(objects) > limits["files"]:
            raise JobFailed("The number of files exceeds the limit of %d" %
                            limits["files"])
        if sum(o.size for o in objects) > limits["bytes"]:
            raise JobFailed("The size of the input exceeds the limit of %d bytes" %
                            limits["bytes"])
        if not objects:
            raise JobFailed("No files were found in the input location")
        return objects, limits["file"]

    def import_all(self, job):
        told = job["told"]
        if "fail" in told and not told.get("fail_after"):
            raise JobFailed(told["fail"])
        objects, limit = self.scan(job)
        lists = Lists(job)
        for n, one in enumerate(objects):
            if "fail" in told and n >= told["fail_after"]:
                raise JobFailed(told["fail"])
            lists.scanned += 1
            if not matches(told.get("lose"), one.key):
                self.import_one(job, one, limit, lists)
        return lists

    def import_one(self, job, one, limit, lists):
        told, key = job["told"], one.key
        message = matches(told.get("server_error"), key)
        if message is not None:
            lists.add_failure(key, "InternalServerException", message)
            return
        try:
            message = matches(told.get("customer_error"), key)
            if message is not None:
                raise ValueError(message)
            if one.size > limit:
                raise ValueError("File size exceeds the limit of %d bytes" % limit)
            pieces = self.store.pieces(one)
            with dicomfile.Pieces(pieces) as file:
                instance = dicomfile.read(file, one.size)
        except ValueError as why:
            lists.add_failure(key, "ValidationException", str(why))
            return
        warnings = dicomfile.warnings_of(instance)
        kind = matches(told.get("warn"), key)
        if kind is not None:
            warnings.append((WARNINGS[kind], kind, "The file was imported, but: %s" %
                             kind))
        kept = self.archive.add(
            job["datastoreId"], instance, warnings, imagesets.copy_pieces(pieces),
            job["jobId"], not matches(told.get("non_primary"), key))
        lists.add_success(key, kept)

    # -- the output

    def folder(self, job):
        bucket, prefix = split_uri(job["outputS3Uri"])
        return bucket, "%s%s%s-DicomImport-%s/" % (
            prefix, "" if not prefix or prefix.endswith("/") else "/",
            job["datastoreId"], job["jobId"])

    def write_lists(self, job, lists):
        bucket, folder = self.folder(job)
        told = job["told"]
        for name, lines in (("SUCCESS/success", lists.success),
                            ("FAILURE/failure", lists.failure),
                            ("WARNING/warning", lists.warning)):
            if lines and not told.get("no_lists"):
                self.store.put_bytes(bucket, "%s%s.ndjson" % (folder, name),
                                     b"".join(lines), "application/x-ndjson",
                                     told.get("lists_late", 0))
        self.store.put_bytes(
            bucket, folder + "job-output-manifest.json",
            json.dumps(lists.manifest("s3://%s/%s" % (bucket, folder)),
                       indent=2).encode(), hidden=told.get("manifest_late", 0))

    def shown_output(self, job):
        """outputS3Uri as GetDICOMImportJob says it."""
        return "s3://%s/%s" % self.folder(job) \
            if job["told"].get("output_folder", True) else job["outputS3Uri"]
