#!/usr/bin/python3
"""s3.py - a strict Amazon S3: one region, several buckets, kept below DIR.

    s3.py DIR [--bucket NAME[=REGION[,OWNER]]]... [--region R] [--certs D] [--plain]

prints {"url", "ca", "region", "access_key", "secret_key"} and ends with its
standard input; DIR as in base.py. A test begins so:

    #!/usr/bin/python3
    sys.path.insert(0, "tests/fake")
    import aws                                  # S3 and the others, see there
    cloud = aws.Aws(directory, buckets=["hospital-in", "hospital-out"])
    cloud.s3.url, cloud.ca, aws.KEY, aws.SECRET
    cloud.order(script=[{"operation": "PutObject", "error": "SlowDown", "times": 3}])
    cloud.log(service="s3", operation="PutObject")
    cloud.store.list("hospital-in", "site7/")   # [.key, .size, .meta, ...]

Modelled, from the Amazon S3 API reference and user guide (PutObject, GetObject,
HeadObject, DeleteObject, DeleteObjects, ListObjectsV2, HeadBucket,
CreateMultipartUpload, UploadPart, ListParts, ListMultipartUploads,
CompleteMultipartUpload, AbortMultipartUpload; "Error responses", "Multipart upload
limits", "Checking object integrity", "Conditional writes", "Virtual hosting"): both
ways of addressing (BUCKET.s3.anything is virtual-hosted, any other host path
style), signatures by botocore, payload hashes, Content-MD5 and the checksums
crc32, crc32c, sha1, sha256, wrong regions, owners, encryption headers, limits.

Not modelled: versions, ACLs, tags, lifecycle, copies, presigned URLs, aws-chunked
bodies, checksums of whole multipart objects (FULL_OBJECT), crc64nvme: 501. Which
of several faults is named first is a guess where the documentation is silent.

Config ("s3"), with its defaults: "unsigned_payload": false; "minimum_part" 5 MiB,
"single_put" 5 GiB, "parts" 10000; "rate": null, or [requests a second, burst] for
writes, then SlowDown; "require_sse": null, or the value that every new object needs;
"kms_keys": null, or those that exist; "fail_delete": regular expression of keys
that DeleteObjects cannot delete. Orders: "error" of CompleteMultipartUpload with
"status": 200 is an error inside of a 200; "spaces": n sends that many bytes of white
space first.
"""
import os
import re
import sys
import urllib.parse
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import base  # noqa: E402
import digests  # noqa: E402
import s3multipart  # noqa: E402
import s3store  # noqa: E402
import sigv4  # noqa: E402
from base import Fault, Reply  # noqa: E402
from s3xml import STATUS, element, error_document, parse, reply, stamp  # noqa: E402

GIB = 1 << 30
SSE = "x-amz-server-side-encryption"
SSE_HEADERS = (SSE, SSE + "-aws-kms-key-id", SSE + "-context",
               SSE + "-bucket-key-enabled")
KEPT = ("content-type", "content-disposition", "cache-control", "content-encoding",
        "content-language", "x-amz-storage-class") + SSE_HEADERS
WRITES = ("PutObject", "UploadPart", "CompleteMultipartUpload", "DeleteObject",
          "CreateMultipartUpload", "DeleteObjects", "AbortMultipartUpload")
ACTIONS = {"HeadObject": "GetObject", "UploadPart": "PutObject",
           "CreateMultipartUpload": "PutObject", "HeadBucket": "ListBucket",
           "CompleteMultipartUpload": "PutObject", "ListObjectsV2": "ListBucket",
           "DeleteObjects": "DeleteObject", "ListParts": "ListMultipartUploadParts",
           "ListMultipartUploads": "ListBucketMultipartUploads"}
# What tells operations on the same resource apart: (method, has a key, parameter).
OPERATIONS = [
    ("POST", True, "uploads", "CreateMultipartUpload"),
    ("POST", True, "uploadId", "CompleteMultipartUpload"),
    ("PUT", True, "uploadId", "UploadPart"),
    ("GET", True, "uploadId", "ListParts"),
    ("DELETE", True, "uploadId", "AbortMultipartUpload"),
    ("GET", False, "uploads", "ListMultipartUploads"),
    ("GET", False, "list-type", "ListObjectsV2"),
    ("POST", False, "delete", "DeleteObjects"),
    ("PUT", True, None, "PutObject"),
    ("GET", True, None, "GetObject"),
    ("HEAD", True, None, "HeadObject"),
    ("DELETE", True, None, "DeleteObject"),
    ("HEAD", False, None, "HeadBucket"),
]
UNKNOWN = ("acl", "tagging", "versioning", "versions", "lifecycle", "policy",
           "encryption", "torrent", "retention", "legal-hold", "restore", "select",
           "attributes", "versionId", "location", "append", "X-Amz-Signature")


class S3(base.Service):
    name = "s3"
    sigv4_s3 = True
    DEFAULTS = {"unsigned_payload": False, "minimum_part": 5 << 20,
                "single_put": 5 * GIB, "parts": 10000, "rate": None,
                "require_sse": None, "kms_keys": None, "fail_delete": None}

    def __init__(self, place, keys, store, region=base.REGION, port=0):
        self.keys, self.store, self.region = keys, store, region
        self.rate = base.Throttle()
        super().__init__(place, port)

    # -- what is asked

    def operation(self, request):
        host = request.header("host", "").rsplit(":", 1)[0]
        virtual = re.match(r"(.+)\.s3[.-]", host)
        path = request.path
        try:
            path = urllib.parse.unquote(path, errors="strict")
        except UnicodeDecodeError:
            path = "/"
        if virtual:
            request.bucket, request.s3_key = virtual.group(1), path[1:]
        else:
            request.bucket, _, request.s3_key = path[1:].partition("/")
        for method, has_key, parameter, operation in OPERATIONS:
            if request.method == method and has_key == bool(request.s3_key) and (
                    parameter is None or parameter in request.arguments):
                return operation
        return request.method

    def before(self, request):
        request.algorithms = ["sha256", "md5"] + [
            n for n in digests.NAMES if n != "sha256" and (
                "x-amz-checksum-" + n in request.headers)]
        sigv4.verify(request, self.keys, "s3")
        self.check_known(request)
        self.check_bucket(request)
        self.check_permission(request)
        if request.operation in WRITES:
            self.rate.take(request.config["rate"], Fault(
                "SlowDown", 503, "Please reduce your request rate."))
        if request.method in ("PUT", "POST"):
            self.check_length(request)
        s3multipart.check_before(self, request)
        if request.operation in ("PutObject", "CreateMultipartUpload"):
            self.check_new_object(request)
        if request.operation == "PutObject":
            self.check_condition(request)

    def check_known(self, request):
        unknown = [n for n in UNKNOWN if n in request.arguments]
        if "x-amz-copy-source" in request.headers:
            unknown.append("x-amz-copy-source")
        if request.header("content-encoding", "").find("aws-chunked") >= 0:
            unknown.append("aws-chunked")
        if not hasattr(self, "do_" + request.operation) or unknown:
            raise Fault("NotImplemented", 501, "A header or parameter you provided "
                        "implies functionality that is not implemented: %s" %
                        " ".join(unknown))
        if len(request.s3_key.encode()) > 1024:
            raise Fault("KeyTooLongError", 400, "Your key is too long",
                        Size=str(len(request.s3_key.encode())), MaxSizeAllowed="1024")

    def check_bucket(self, request):
        bucket = self.store.bucket(request.bucket)
        if bucket is None:
            raise Fault("NoSuchBucket", 404, "The specified bucket does not exist",
                        BucketName=request.bucket)
        if bucket.region != self.region:
            raise Fault("PermanentRedirect", 301, "The bucket you are attempting to "
                        "access must be addressed using the specified endpoint. "
                        "Please send all future requests to this endpoint.",
                        {"x-amz-bucket-region": bucket.region}, Bucket=bucket.name,
                        Endpoint="%s.s3.%s.amazonaws.com" % (bucket.name,
                                                             bucket.region))
        wanted = request.header("x-amz-expected-bucket-owner", bucket.owner)
        if not re.fullmatch(r"\d{12}", wanted):
            raise Fault("InvalidBucketOwnerAWSAccountID", 400, "The value of the "
                        "expected bucket owner parameter must be an AWS Account ID",
                        value=wanted)
        if wanted != bucket.owner:
            raise Fault("AccessDenied", 403, "Access Denied")

    def check_permission(self, request):
        operation = request.operation
        action = "s3:" + ACTIONS.get(operation, operation)
        resource = request.bucket + (
            "/" + request.s3_key if request.s3_key else "")
        if operation != "DeleteObjects" and \
                not self.place.permits(action, resource):
            raise Fault("AccessDenied", 403, "User: %s is not authorized to perform: "
                        "%s on resource: \"arn:aws:s3:::%s\" because no identity-"
                        "based policy allows the %s action" % (
                            request.key["arn"], action, resource, action))

    def check_length(self, request):
        if "transfer-encoding" in request.headers:
            raise Fault("NotImplemented", 501, "A header you provided implies "
                        "functionality that is not implemented", Header="Transfer-Encoding")
        length = request.header("content-length")
        if length is None and request.operation != "CreateMultipartUpload":
            raise Fault("MissingContentLength", 411, "You must provide the "
                        "Content-Length HTTP header.")
        limit = request.config["single_put"] \
            if request.operation in ("PutObject", "UploadPart") else 2 << 20
        if int(length or 0) > limit:
            raise Fault("EntityTooLarge", 400, "Your proposed upload exceeds the "
                        "maximum allowed size", ProposedSize=length,
                        MaxSizeAllowed=str(limit))

    def check_new_object(self, request):
        sse, config = request.header(SSE), request.config
        more = [h for h in SSE_HEADERS[1:] if h in request.headers]
        if more and sse not in ("aws:kms", "aws:kms:dsse"):
            raise Fault("InvalidArgument", 400, "Server Side Encryption with AWS KMS "
                        "managed key requires HTTP header %s : aws:kms" % SSE,
                        ArgumentName=SSE, ArgumentValue=str(sse))
        if sse not in (None, "AES256", "aws:kms", "aws:kms:dsse"):
            raise Fault("InvalidEncryptionAlgorithmError", 400, "The encryption "
                        "request you specified is not valid. Supported values: "
                        "AES256, aws:kms, aws:kms:dsse")
        key = request.header(SSE_HEADERS[1])
        if key and config["kms_keys"] is not None and key not in config["kms_keys"]:
            raise Fault("KMS.NotFoundException", 400, "Key '%s' does not exist" % key)
        context = request.header(SSE_HEADERS[2])
        if context is not None and not digests.is_base64_json(context):
            raise Fault("InvalidArgument", 400, "The header '%s' shall be Base64-"
                        "encoded UTF-8 string holding JSON which represents a string-"
                        "string map" % SSE_HEADERS[2])
        if config["require_sse"] not in (None, sse):
            raise Fault("AccessDenied", 403, "Access Denied")
        size = sum(len(n) - len("x-amz-meta-") + len(v)
                   for n, v in request.headers.items() if n.startswith("x-amz-meta-"))
        if size > 2048:
            raise Fault("MetadataTooLarge", 400, "Your metadata headers exceed the "
                        "maximum allowed metadata size", Size=str(size),
                        MaxSizeAllowed="2048")

    def check_condition(self, request):
        """If-None-Match: *, and If-Match, of what is written."""
        there = self.store.object(request.bucket, request.s3_key, peek=True)
        none, match = request.header("if-none-match"), request.header("if-match")
        if none not in (None, "*"):
            raise Fault("NotImplemented", 501, "A header you provided implies "
                        "functionality that is not implemented", Header="If-None-Match")
        if match is not None and there is None:
            raise self.no_such_key(request)
        if (none and there) or (match and there.etag.strip('"') != match.strip('"')):
            raise Fault("PreconditionFailed", 412, "At least one of the pre-"
                        "conditions you specified did not hold",
                        Condition="If-None-Match" if none else "If-Match")

    def no_such_key(self, request):
        if not self.place.permits("s3:ListBucket", request.bucket):
            return Fault("AccessDenied", 403, "Access Denied")
        return Fault("NoSuchKey", 404, "The specified key does not exist.",
                     Key=request.s3_key)

    # -- what is done

    def handle(self, request):
        sigv4.check_body(request)
        self.check_digests(request)
        answer = getattr(self, "do_" + request.operation)(request)
        answer.headers = {**self.ids(), **answer.headers}
        return answer

    def ids(self):
        return {"x-amz-request-id": uuid.uuid4().hex[:16].upper(),
                "x-amz-id-2": uuid.uuid4().hex * 2}

    def check_digests(self, request):
        md5 = request.header("content-md5")
        if md5 is not None and md5 != digests.encode(request.body.digest("md5")):
            raise Fault("BadDigest" if digests.is_base64(md5, 16) else
                        "InvalidDigest", 400,
                        "The Content-MD5 you specified did not match what we received.")
        named = [n for n in digests.NAMES if "x-amz-checksum-" + n in request.headers]
        if request.operation == "CompleteMultipartUpload":
            return
        for name in named:
            value = request.header("x-amz-checksum-" + name)
            if not digests.is_base64(value, digests.SIZES[name]):
                raise Fault("InvalidRequest", 400, "Value for x-amz-checksum-%s "
                            "header is invalid." % name)
            if value != digests.encode(request.body.digest(name)):
                raise Fault("BadDigest", 400, "The %s you specified did not match "
                            "the calculated checksum." % name.upper())

    def kept_meta(self, request):
        kept = {n: v for n, v in request.headers.items()
                if n in KEPT or n.startswith("x-amz-meta-")}
        kept.setdefault(SSE, "AES256")
        if kept[SSE].startswith("aws:kms"):
            kept.setdefault(SSE_HEADERS[1], "arn:aws:kms:%s:%s:key/aws-s3" % (
                self.region, sigv4.ACCOUNT))
        return kept

    def checksums(self, request):
        return {"x-amz-checksum-" + n: request.header("x-amz-checksum-" + n)
                for n in digests.NAMES if "x-amz-checksum-" + n in request.headers}

    def do_PutObject(self, request):
        with self.store.lock:
            self.check_condition(request)
            meta = self.kept_meta(request)
            sums = self.checksums(request)
            kms = meta[SSE].startswith("aws:kms")
            etag = '"%s"' % (uuid.uuid4().hex if kms else
                             request.body.digest("md5").hex())
            if sums:
                sums["x-amz-checksum-type"] = "FULL_OBJECT"
            size = request.body.size
            self.store.put(request.bucket, request.s3_key, size, etag,
                           {**meta, "checksums": sums},
                           self.store.keep_body(request.body))
        return Reply(200, headers={"ETag": etag, **sums, **self.sse_of(meta)})

    def sse_of(self, meta):
        return {h: meta[h] for h in SSE_HEADERS if h in meta}

    def do_GetObject(self, request):
        for name in SSE_HEADERS:
            if name in request.headers:
                raise Fault("InvalidArgument", 400, "x-amz-server-side-encryption "
                            "header is not supported for this operation.")
        found = self.store.object(request.bucket, request.s3_key)
        if found is None:
            raise self.no_such_key(request)
        match = request.header("if-match")
        if match is not None and match.strip('"') != found.etag.strip('"'):
            raise Fault("PreconditionFailed", 412, "At least one of the pre-"
                        "conditions you specified did not hold", Condition="If-Match")
        headers = {"ETag": found.etag, "Last-Modified": stamp(found.modified, True),
                   "Accept-Ranges": "bytes",
                   "Content-Type": "binary/octet-stream"}
        headers.update({n.title() if n == "content-type" else n: v
                        for n, v in found.meta.items() if n != "checksums"})
        first, last = self.range_of(request, found.size)
        if first is None:
            if request.header("x-amz-checksum-mode", "").upper() == "ENABLED":
                headers.update(found.meta.get("checksums", {}))
            return Reply(200, self.store.pieces(found), headers)
        headers["Content-Range"] = "bytes %d-%d/%d" % (first, last, found.size)
        return Reply(206, self.store.pieces(found, first, last - first + 1), headers)

    do_HeadObject = do_GetObject

    def range_of(self, request, size):
        found = re.fullmatch(r"bytes=(\d*)-(\d*)", request.header("range", ""))
        if found is None or found.group(0) == "bytes=-":
            return None, None
        if found.group(1):
            first = int(found.group(1))
            last = min(int(found.group(2) or size), size - 1)
        else:
            first, last = max(0, size - int(found.group(2))), size - 1
        if first > last:
            raise Fault("InvalidRange", 416, "The requested range is not satisfiable",
                        ActualObjectSize=str(size),
                        RangeRequested=request.header("range"))
        return first, last

    def do_DeleteObject(self, request):
        self.store.delete(request.bucket, request.s3_key)
        return Reply(204)

    def do_DeleteObjects(self, request):
        if "content-md5" not in request.headers and not self.checksums(request):
            raise Fault("InvalidRequest", 400, "Missing required header for this "
                        "request: Content-MD5 OR x-amz-checksum-*")
        root = parse(request.body.bytes(), "Delete")
        keys = [item.findtext("Key") for item in root.findall("Object")]
        if not 1 <= len(keys) <= 1000 or None in keys:
            raise Fault("MalformedXML", 400, "The XML you provided was not well-"
                        "formed or did not validate against our published schema")
        quiet = (root.findtext("Quiet") or "").lower() == "true"
        return reply("DeleteResult", "".join(
            self.delete_one(request, key, quiet) for key in keys))

    def delete_one(self, request, key, quiet):
        def error(code, message):
            return element("Error", element("Key", key, True) +
                           element("Code", code) + element("Message", message))

        if not self.place.permits("s3:DeleteObject", request.bucket + "/" + key):
            return error("AccessDenied", "Access Denied")
        if request.config["fail_delete"] and \
                re.search(request.config["fail_delete"], key):
            return error("InternalError", "We encountered an internal error. "
                         "Please try again.")
        self.store.delete(request.bucket, key)
        return "" if quiet else element("Deleted", element("Key", key, True))

    def do_HeadBucket(self, request):
        return Reply(200, headers={"x-amz-bucket-region": self.region},
                     kind="application/xml")

    def do_ListObjectsV2(self, request):
        return s3multipart.list_objects(self, request)

    do_CreateMultipartUpload = s3multipart.create
    do_UploadPart = s3multipart.upload_part
    do_ListParts = s3multipart.list_parts
    do_ListMultipartUploads = s3multipart.list_uploads
    do_CompleteMultipartUpload = s3multipart.complete
    do_AbortMultipartUpload = s3multipart.abort

    # -- errors

    def fault(self, request, fault):
        status = fault.status or STATUS.get(fault.code, 500)
        ids = self.ids()
        headers = {**ids, **fault.headers}
        if request.method == "HEAD":
            return Reply(status, b"", headers)
        spaces = request.order.get("spaces", 0)
        body = error_document(fault, request, ids, spaces)
        return Reply(status, body, headers, "application/xml")


def bucket_option(text, region):
    name, _, rest = text.partition("=")
    where, _, owner = rest.partition(",")
    return name, where or region, owner or sigv4.ACCOUNT


def main():
    parser = base.parser_for(__doc__)
    parser.add_argument("--bucket", action="append", default=[])
    parser.add_argument("--region", default=base.REGION)
    args = parser.parse_args()
    place = base.Place(args.directory, args.certs, not args.plain)
    store = s3store.Store(place.directory)
    for text in args.bucket:
        store.make_bucket(*bucket_option(text, args.region))
    service = S3(place, sigv4.Keys(place), store, args.region)
    base.run_until_end({"url": service.url, "ca": place.ca, "region": args.region,
                        "access_key": sigv4.KEY, "secret_key": sigv4.SECRET})


if __name__ == "__main__":
    main()
