"""s3multipart.py - S3's multipart uploads and lists; see s3.py.

Functions that take the service as a method would. Modelled: API reference of
CreateMultipartUpload, UploadPart, ListParts, ListMultipartUploads,
CompleteMultipartUpload, AbortMultipartUpload and ListObjectsV2; COMPOSITE checksums
("Checking object integrity for multipart uploads").
"""
import base64
import hashlib
import re
import urllib.parse
import uuid

import digests
from base import Fault, Reply
from s3xml import element, parse, reply, stamp, texts

SSE = "x-amz-server-side-encryption"
UPLOAD_OPERATIONS = ("UploadPart", "ListParts", "CompleteMultipartUpload",
                     "AbortMultipartUpload")


def no_such_upload(request):
    return Fault("NoSuchUpload", 404, "The specified upload does not exist. The "
                 "upload ID may be invalid, or the upload may have been aborted or "
                 "completed.", UploadId=request.arguments.get("uploadId"))


def find(self, request):
    upload = self.store.upload(request.bucket, request.s3_key,
                               request.arguments["uploadId"])
    if upload is None:
        raise no_such_upload(request)
    return upload


def number_of(request):
    text = request.arguments.get("partNumber", "")
    limit = request.config["parts"]
    if not re.fullmatch(r"\d{1,6}", text) or not 1 <= int(text) <= limit:
        raise Fault("InvalidArgument", 400, "Part number must be an integer between "
                    "1 and %d, inclusive" % limit, ArgumentName="partNumber",
                    ArgumentValue=text)
    return int(text)


def check_before(self, request):
    """What the header of a request about an upload shows."""
    if request.operation not in UPLOAD_OPERATIONS:
        return
    upload = find(self, request)
    if request.operation != "UploadPart":
        return
    number_of(request)
    if SSE in request.headers:
        raise Fault("InvalidArgument", 400, "x-amz-server-side-encryption header is "
                    "not supported for this operation.", ArgumentName=SSE,
                    ArgumentValue=request.header(SSE))
    wanted = upload.meta["algorithm"]
    got = [n for n in digests.NAMES if "x-amz-checksum-" + n in request.headers]
    if wanted is not None and got != [wanted]:
        raise Fault("InvalidRequest", 400, "Checksum Type mismatch occurred, expected "
                    "checksum Type: %s, actual checksum Type: %s" % (
                        wanted, got[0] if got else "null"))


def create(self, request):
    algorithm = request.header("x-amz-checksum-algorithm")
    kind = request.header("x-amz-checksum-type", "COMPOSITE")
    if algorithm is not None and algorithm.lower() not in digests.NAMES:
        raise Fault("NotImplemented" if algorithm == "CRC64NVME" else
                    "InvalidRequest", 501 if algorithm == "CRC64NVME" else 400,
                    "Checksum algorithm provided is unsupported.")
    if kind != "COMPOSITE":
        raise Fault("NotImplemented", 501, "The checksum type %s" % kind)
    meta = self.kept_meta(request)
    upload = self.store.begin(request.bucket, request.s3_key, {
        **meta, "algorithm": algorithm.lower() if algorithm else None})
    headers = self.sse_of(meta)
    if algorithm:
        headers.update({"x-amz-checksum-algorithm": algorithm,
                        "x-amz-checksum-type": kind})
    return reply("InitiateMultipartUploadResult", texts(
        Bucket=request.bucket, Key=request.s3_key, UploadId=upload), headers)


def upload_part(self, request):
    upload = find(self, request)
    sums = self.checksums(request)
    md5 = request.body.digest("md5").hex()
    kms = upload.meta[SSE].startswith("aws:kms")
    etag = '"%s"' % (uuid.uuid4().hex if kms else md5)
    size = request.body.size
    with self.store.lock:
        find(self, request)
        self.store.put_part(upload.id, number_of(request), size, etag,
                            {"md5": md5, "checksums": sums},
                            self.store.keep_body(request.body))
    return Reply(200, headers={"ETag": etag, **sums, **self.sse_of(upload.meta)})


def abort(self, request):
    find(self, request)
    self.store.end(request.arguments["uploadId"])
    return Reply(204)


# --- completion -------------------------------------------------------------

def named_parts(self, request, upload):
    """The parts that the request names, as they were stored."""
    root = parse(request.body.bytes(), "CompleteMultipartUpload")
    named = root.findall("Part")
    numbers = []
    for part in named:
        text = part.findtext("PartNumber") or ""
        if not re.fullmatch(r"\d{1,6}", text) or part.findtext("ETag") is None:
            raise Fault("MalformedXML", 400, "The XML you provided was not well-"
                        "formed or did not validate against our published schema")
        numbers.append(int(text))
    if not numbers or len(numbers) > request.config["parts"]:
        raise Fault("MalformedXML", 400, "You must specify at least one part, and "
                    "no more than %d" % request.config["parts"])
    if numbers != sorted(set(numbers)):
        raise Fault("InvalidPartOrder", 400, "The list of parts was not in ascending "
                    "order. Parts must be ordered by part number.",
                    UploadId=upload.id)
    stored = {part.number: part for part in self.store.parts(upload.id)}
    for number, part in zip(numbers, named):
        check_part(upload, number, part, stored.get(number))
    if upload.meta["algorithm"] and numbers != list(range(1, len(numbers) + 1)):
        raise Fault("InvalidPart", 400, "With a composite checksum parts must be "
                    "numbered consecutively from 1", UploadId=upload.id)
    return [stored[n] for n in numbers]


def check_part(upload, number, part, stored):
    etag = part.findtext("ETag").strip('"')
    wrong = stored is None or stored.etag.strip('"') != etag
    for name in digests.NAMES:
        value = part.findtext("Checksum" + name.upper())
        if value is not None and not wrong:
            wrong = stored.meta["checksums"].get("x-amz-checksum-" + name) != value
    if wrong:
        raise Fault("InvalidPart", 400, "One or more of the specified parts could "
                    "not be found. The part may not have been uploaded, or the "
                    "specified entity tag may not match the part's entity tag.",
                    UploadId=upload.id, PartNumber=str(number), ETag=etag)
    algorithm = upload.meta["algorithm"]
    if algorithm and part.findtext("Checksum" + algorithm.upper()) is None:
        raise Fault("InvalidRequest", 400, "The upload was created using a %s "
                    "checksum. The complete request must include the checksum for "
                    "each part. It was missing for part %d in the request." % (
                        algorithm, number))


def composite(parts, algorithm):
    made = digests.make(algorithm)
    for part in parts:
        made.update(base64.b64decode(
            part.meta["checksums"]["x-amz-checksum-" + algorithm]))
    return "%s-%d" % (digests.encode(made.digest()), len(parts))


def check_whole(request, parts, sums):
    """What the request says of the object as a whole."""
    minimum = request.config["minimum_part"]
    for part in parts[:-1]:
        if part.size < minimum:
            raise Fault("EntityTooSmall", 400, "Your proposed upload is smaller than "
                        "the minimum allowed size", ETag=part.etag.strip('"'),
                        MinSizeAllowed=str(minimum), ProposedSize=str(part.size),
                        PartNumber=str(part.number))
    size = request.header("x-amz-mp-object-size")
    if size is not None and size != str(sum(part.size for part in parts)):
        raise Fault("InvalidRequest", 400, "The provided 'x-amz-mp-object-size' header "
                    "does not match what was computed.")
    for name, value in sums.items():
        said = request.header(name)
        if said is not None and said not in (value, value.split("-")[0]):
            raise Fault("BadDigest", 400, "The checksum you specified did not match "
                        "what we received.")


def complete(self, request):
    with self.store.lock:
        upload = find(self, request)
        parts = named_parts(self, request, upload)
        self.check_condition(request)
        algorithm, sums = upload.meta["algorithm"], {}
        if algorithm:
            sums["x-amz-checksum-" + algorithm] = composite(parts, algorithm)
        check_whole(request, parts, sums)
        md5 = hashlib.md5(b"".join(bytes.fromhex(p.meta["md5"]) for p in parts))
        etag = '"%s-%d"' % (md5.hexdigest(), len(parts))
        meta = {k: v for k, v in upload.meta.items() if k != "algorithm"}
        kept = {**sums, "x-amz-checksum-type": "COMPOSITE"} if sums else {}
        self.store.put(request.bucket, request.s3_key,
                       sum(p.size for p in parts), etag,
                       {**meta, "checksums": kept},
                       [f for p in parts for f in p.files])
        self.store.end(upload.id, {p.number for p in parts})
    inner = texts(Location="%s/%s/%s" % (self.url, request.bucket, request.s3_key),
                  Bucket=request.bucket, Key=request.s3_key, ETag=etag)
    if algorithm:
        inner += texts(**{"Checksum" + algorithm.upper(): next(iter(sums.values())),
                          "ChecksumType": "COMPOSITE"})
    answer = reply("CompleteMultipartUploadResult", inner, self.sse_of(meta))
    spaces = request.order.get("spaces", 0)
    head, rest = answer.body.split(b"\n", 1)
    answer.body = head + b"\n" + b" " * spaces + rest
    return answer


# --- lists --------------------------------------------------------------------

def count_of(request, name, most=1000):
    text = request.arguments.get(name, str(most))
    if not re.fullmatch(r"\d{1,9}", text):
        raise Fault("InvalidArgument", 400, "Provided %s not an integer or within "
                    "integer range" % name, ArgumentName=name, ArgumentValue=text)
    return min(int(text), most)


def encoder(request):
    kind = request.arguments.get("encoding-type")
    if kind not in (None, "url"):
        raise Fault("InvalidArgument", 400, "Invalid Encoding Method specified in "
                    "Request", ArgumentName="encoding-type", ArgumentValue=kind)
    return (lambda text: urllib.parse.quote(text, safe="/")) if kind else str


def list_parts(self, request):
    upload = find(self, request)
    most = count_of(request, "max-parts")
    after = count_of(request, "part-number-marker", 1 << 30) \
        if "part-number-marker" in request.arguments else 0
    parts = self.store.parts(upload.id, after, most + 1)
    more, parts = len(parts) > most, parts[:most]
    inner = texts(Bucket=request.bucket, Key=upload.key, UploadId=upload.id,
                  PartNumberMarker=after, MaxParts=most,
                  NextPartNumberMarker=parts[-1].number if parts else after,
                  IsTruncated=str(more).lower())
    for part in parts:
        sums = {"Checksum" + n[len("x-amz-checksum-"):].upper(): v
                for n, v in part.meta["checksums"].items()}
        inner += element("Part", texts(
            PartNumber=part.number, LastModified=stamp(part.modified),
            ETag=part.etag, Size=part.size, **sums))
    return reply("ListPartsResult", inner)


def list_uploads(self, request):
    encode = encoder(request)
    prefix = request.arguments.get("prefix", "")
    most = count_of(request, "max-uploads")
    marker = (request.arguments.get("key-marker", ""),
              request.arguments.get("upload-id-marker", ""))
    found = sorted(self.store.uploads(request.bucket, prefix),
                   key=lambda u: (u.key, u.id))
    found = [u for u in found if ((u.key, u.id) > marker if marker[1] else
                                  u.key > marker[0])]
    more, found = len(found) > most, found[:most]
    inner = texts(Bucket=request.bucket, KeyMarker=encode(marker[0]),
                  UploadIdMarker=marker[1], Prefix=encode(prefix), MaxUploads=most,
                  NextKeyMarker=encode(found[-1].key) if more else None,
                  NextUploadIdMarker=found[-1].id if more else None,
                  IsTruncated=str(more).lower())
    for upload in found:
        inner += element("Upload", texts(Key=encode(upload.key), UploadId=upload.id,
                                         Initiated=stamp(upload.started),
                                         StorageClass="STANDARD"))
    return reply("ListMultipartUploadsResult", inner)


def pages(store, bucket, prefix, after):
    while True:
        page = store.list(bucket, prefix, after, 1000)
        yield from page
        if len(page) < 1000:
            return
        after = page[-1].key


def list_objects(self, request):
    if request.arguments["list-type"] != "2":
        raise Fault("NotImplemented", 501, "list-type %s" %
                    request.arguments["list-type"])
    encode = encoder(request)
    prefix, delimiter = (request.arguments.get(n, "")
                         for n in ("prefix", "delimiter"))
    most = count_of(request, "max-keys")
    token = request.arguments.get("continuation-token")
    after = request.arguments.get("start-after", "")
    if token is not None:
        after = continued(token)
    contents, prefixes, last, more = [], [], after, False
    for one in pages(self.store, request.bucket, prefix, after):
        group = prefix + one.key[len(prefix):].partition(delimiter)[0] + delimiter \
            if delimiter and delimiter in one.key[len(prefix):] else None
        if group is not None and (group in prefixes or after.startswith(group)):
            last = one.key
            continue
        if len(prefixes) + len(contents) >= most:
            more = True
            break
        last = one.key
        if group is not None:
            prefixes.append(group)
        else:
            contents.append(element("Contents", texts(
                Key=encode(one.key), LastModified=stamp(one.modified),
                ETag=one.etag, Size=one.size, StorageClass="STANDARD")))
    inner = texts(
        Name=request.bucket, Prefix=encode(prefix), Delimiter=delimiter or None,
        MaxKeys=most, EncodingType=request.arguments.get("encoding-type"),
        KeyCount=len(prefixes) + len(contents),
        IsTruncated=str(more).lower(), ContinuationToken=token,
        StartAfter=request.arguments.get("start-after"),
        NextContinuationToken=last.encode().hex() + "=" if more else None)
    return reply("ListBucketResult", inner + "".join(contents) + "".join(
        element("CommonPrefixes", texts(Prefix=encode(p))) for p in prefixes))


def continued(token):
    try:
        return bytes.fromhex(token.removesuffix("=")).decode()
    except ValueError:
        raise Fault("InvalidArgument", 400, "The continuation token provided is "
                    "incorrect", ArgumentName="continuation-token")
