#!/usr/bin/env python3
"""sigv4_reference.py - random requests, signed by botocore.

usage: sigv4_reference.py SEED COUNT

Prints a request per line as JSON, with the signature that botocore gives it; ends
with status 77 when there is no botocore.
"""
import json
import random
import sys
import urllib.parse

try:
    from botocore.auth import S3SigV4Auth, SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials
except ImportError:
    sys.exit(77)

ODD = "abcXYZ019-._~ !*'(),;:@$&+=#?%[]\"<>^`{}|äé漢/"
NAMES = ["x-amz-meta-a", "x-amz-meta-a-b", "x-amz-meta-ab", "x-amz-acl",
         "x-amz-server-side-encryption", "If-None-Match", "Range", "Content-MD5",
         "x-amz-server-side-encryption-aws-kms-key-id", "X-Amz-Checksum-Sha256",
         "x-amz-server-side-encryption-context", "Date"]
VALUES = ["", "aws:kms", "  two  words ", "arn:aws:kms:eu-west-1:1:key/a-b", "*",
          "a, b ,c", "\ttab\tbed", "bytes=0-9", "x" * 300, "=", "Ümlaut"]


def odd_text(rng, most, alphabet=ODD):
    return "".join(rng.choice(alphabet) for _ in range(rng.randrange(most)))


def escape(rng, text, always=""):
    """Percent-encoded; now and then also what need not be."""
    return "".join(
        c if c not in always and c.isalnum() and c.isascii() and
        rng.random() < 0.95 else
        "".join("%%%02X" % b for b in c.encode()) for c in text)


def make_path(rng, s3):
    parts = [escape(rng, odd_text(rng, 12)) for _ in range(rng.randrange(1, 5))]
    if s3:
        # A key may hold dots and empty parts; they stay.
        parts += rng.choice([[], [""], [".", "a"], ["..", "b"]])
    return "/" + "/".join(p if p not in (".", "..") or s3 else "a" for p in parts)


def make_query(rng):
    names = [odd_text(rng, 6) or "q" for _ in range(rng.randrange(5))]
    pairs = []
    for name in names + names[:rng.randrange(2)]:
        value = rng.choice([None, "", odd_text(rng, 10)])
        pairs.append(escape(rng, name) + (
            "" if value is None else "=" + escape(rng, value)))
    return "&".join(pairs)


def make(rng):
    s3 = rng.random() < 0.5
    return {
        "method": rng.choice(["GET", "PUT", "POST", "DELETE", "HEAD"]),
        "service": "s3" if s3 else "medical-imaging",
        "s3": s3,
        "region": rng.choice(["us-east-1", "eu-central-1"]),
        "host": rng.choice(["bucket.s3.eu-west-1.amazonaws.com", "[::1]:9000",
                            "localhost:8080"]),
        "path": make_path(rng, s3),
        "query": make_query(rng),
        "headers": [[n, rng.choice(VALUES)]
                    for n in rng.sample(NAMES, rng.randrange(7))],
        "content_type": rng.choice([None, "application/json", "a/b;  c=d"]),
        "sha256": "%064x" % rng.getrandbits(256),
        "token": rng.choice([None, "FQoGZXIvYXdz//" + "t" * rng.randrange(900)]),
        "secret": "".join(rng.choice("abc/+XY9") for _ in range(40)),
        "now": rng.randrange(1400000000, 4000000000),
    }


def canonical_query(query):
    """botocore takes the query apart only where it is given so; what is on the wire
    is decoded, as a server does it."""
    pairs = [tuple(urllib.parse.unquote(x) for x in (p.split("=", 1) + [""])[:2])
             for p in query.split("&") if p]
    quoted = sorted((urllib.parse.quote(n, safe="-_.~"),
                     urllib.parse.quote(v, safe="-_.~")) for n, v in pairs)
    return "&".join("%s=%s" % p for p in quoted)


def sign(case):
    import time
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(case["now"]))
    base = S3SigV4Auth if case["s3"] else SigV4Auth

    class Known(base):
        def payload(self, request):
            return case["sha256"]

        def canonical_query_string(self, request):
            return canonical_query(case["query"])

    path = case["path"]
    if case["s3"]:
        path = urllib.parse.quote(urllib.parse.unquote_to_bytes(path), safe="/~")
    made = AWSRequest(method=case["method"], url="https://" + case["host"] + path)
    made.headers["Host"] = case["host"]
    for name, value in case["headers"]:
        made.headers[name] = value
    if case["content_type"] is not None:
        made.headers["Content-Type"] = case["content_type"]
    made.headers["X-Amz-Content-SHA256"] = case["sha256"]
    made.headers["X-Amz-Date"] = stamp
    if case["token"] is not None:
        made.headers["X-Amz-Security-Token"] = case["token"]
    made.context["timestamp"] = stamp
    auth = Known(Credentials("AKIDEXAMPLE", case["secret"]), case["service"],
                 case["region"])
    text = auth.canonical_request(made)
    case["canonical"] = text
    case["signature"] = auth.signature(auth.string_to_sign(made, text), made)
    return case


def main():
    rng = random.Random(int(sys.argv[1]))
    for _ in range(int(sys.argv[2])):
        print(json.dumps(sign(make(rng))))


if __name__ == "__main__":
    main()
