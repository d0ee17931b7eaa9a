"""sigv4.py - are these requests signed as AWS wants it? Judged by botocore.

The request is made anew from what came on the wire - signed headers only, the path
and the query as a server reads them - and botocore's own SigV4Auth (S3SigV4Auth for
S3) says what its signature should be. Modelled: IAM user guide, "Create a signed
AWS API request"; S3, "Authenticating requests (Authorization header)".

Keys are in DIR/keys.json: {access key: {"secret", "token", "expires" (epoch
seconds, by the servers' clock), "account", "arn"}}, read anew when it changes;
rolesanywhere.py adds to them. Key.KEY is there from the start.

Not modelled: query (presigned) authorization, SigV4A, chunked signatures
(STREAMING-...): refused.
"""
import calendar
import email.utils
import re
import time
import urllib.parse

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from base import Fault, read_json, stat_of, write_json

KEY = "AKIACAUSEWAYSTANDIN0"
SECRET = "pUblicKn0wledge/of+the+stand-ins/of/tests"
ACCOUNT = "111122223333"
EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
SKEW = 15 * 60
FORM = re.compile(
    r"AWS4-HMAC-SHA256 +Credential=(?P<key>[^/, ]+)/(?P<date>\d{8})/"
    r"(?P<region>[^/, ]+)/(?P<service>[^/, ]+)/aws4_request, *"
    r"SignedHeaders=(?P<signed>[a-z0-9;._-]+), *Signature=(?P<signature>[0-9a-f]{64})$")

# What went wrong: (S3's code and status, that of the other services)
CODES = {
    "missing": ("AccessDenied", 403, "MissingAuthenticationTokenException", 403),
    "malformed": ("AuthorizationHeaderMalformed", 400,
                  "IncompleteSignatureException", 403),
    "region": ("AuthorizationHeaderMalformed", 400,
               "InvalidSignatureException", 403),
    "unsigned": ("AccessDenied", 403, "InvalidSignatureException", 403),
    "skew": ("RequestTimeTooSkewed", 403, "InvalidSignatureException", 403),
    "key": ("InvalidAccessKeyId", 403, "UnrecognizedClientException", 403),
    "token": ("InvalidToken", 400, "UnrecognizedClientException", 403),
    "expired": ("ExpiredToken", 400, "ExpiredTokenException", 403),
    "signature": ("SignatureDoesNotMatch", 403, "InvalidSignatureException", 403),
    "payload": ("XAmzContentSHA256Mismatch", 400,
                "InvalidSignatureException", 403),
    "hash": ("InvalidRequest", 400, "InvalidSignatureException", 403),
}


class Keys:
    def __init__(self, place):
        self.place, self.stat, self.known = place, None, {}
        if KEY not in read_json(place.path("keys.json"), {}):
            self.add(KEY, SECRET)

    def add(self, key, secret, token=None, expires=None, account=ACCOUNT,
            arn="arn:aws:iam::%s:user/gateway" % ACCOUNT):
        with self.place.lock:
            known = read_json(self.place.path("keys.json"), {})
            known[key] = {"secret": secret, "token": token, "expires": expires,
                          "account": account, "arn": arn}
            write_json(self.place.path("keys.json"), known)

    def remove(self, key):
        with self.place.lock:
            known = read_json(self.place.path("keys.json"), {})
            known.pop(key, None)
            write_json(self.place.path("keys.json"), known)

    def find(self, key):
        with self.place.lock:
            stat = stat_of(self.place.path("keys.json"))
            if stat != self.stat:
                self.known = read_json(self.place.path("keys.json"), {})
                self.stat = stat
            return self.known.get(key)


def refuse(s3, kind, message, **more):
    codes = CODES[kind]
    raise Fault(codes[0] if s3 else codes[2], codes[1] if s3 else codes[3],
                message, **more)


def request_time(request, s3):
    stamp = request.header("x-amz-date")
    if stamp is None and "date" in request.headers:
        parsed = email.utils.parsedate_tz(request.headers["date"])
        if parsed is not None:
            stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(
                email.utils.mktime_tz(parsed)))
    try:
        return stamp, calendar.timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ"))
    except (TypeError, ValueError):
        refuse(s3, "missing" if s3 else "malformed", "AWS authentication requires a "
               "valid Date or x-amz-date header")


def check_time(request, s3, stamp, when):
    if abs(when - request.now) <= SKEW:
        return
    server = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(request.now))
    if s3:
        refuse(s3, "skew", "The difference between the request time and the "
               "current time is too large.", RequestTime=stamp,
               ServerTime=time.strftime("%Y-%m-%dT%H:%M:%SZ",
                                        time.gmtime(request.now)),
               MaxAllowedSkewMilliseconds=str(SKEW * 1000))
    refuse(s3, "skew", "Signature expired: %s is now earlier than %s" % (
        stamp, server) if when < request.now else
        "Signature not yet current: %s is still later than %s" % (stamp, server))


def check_signed(request, s3, signed):
    """Host, content-type and every x-amz-* that was sent, sorted; nothing that was not."""
    names = signed.split(";")
    if names != sorted(set(names)):
        refuse(s3, "malformed", "SignedHeaders are not sorted or not unique")
    missing = [n for n in request.headers
               if (n in ("host", "content-type") or n.startswith("x-amz-")) and
               n not in names]
    if missing or "host" not in names:
        refuse(s3, "unsigned", "There were headers present in the request which "
               "were not signed", HeadersNotSigned=", ".join(missing))
    absent = [n for n in names if n not in request.headers]
    if absent:
        refuse(s3, "signature", "SignedHeaders names %s, which did not come" %
               ", ".join(absent))


def check_key(request, s3, keys, name):
    key = keys.find(name)
    if key is None:
        refuse(s3, "key", "The AWS Access Key Id you provided does not exist in "
               "our records." if s3 else "The security token included in the "
               "request is invalid.", AWSAccessKeyId=name)
    token = request.header("x-amz-security-token")
    if token != key["token"]:
        refuse(s3, "token", "The provided token is malformed or otherwise "
               "invalid." if s3 else
               "The security token included in the request is invalid.")
    if key["expires"] is not None and key["expires"] <= request.now:
        refuse(s3, "expired", "The provided token has expired." if s3 else
               "The security token included in the request is expired")
    return key


def wire_request(request, signed):
    """As botocore would sign it: what the signature covers and no more."""
    path = request.path
    host = request.header("host", "localhost")
    if request.service.sigv4_s3:
        path = urllib.parse.quote(urllib.parse.unquote_to_bytes(path), safe="/~")
    made = AWSRequest(method=request.method,
                      url="https://%s%s" % (host, path),
                      params=request.query)
    for name in signed.split(";"):
        made.headers[name] = request.headers[name]
    return made


class ByBody(SigV4Auth):
    """The payload's hash is known already."""

    def payload(self, request):
        return request.context["payload"]


class ByBodyS3(S3SigV4Auth):
    def payload(self, request):
        return request.context["payload"]


def expected_signature(request, parts, secret, stamp, payload):
    kind = ByBodyS3 if request.service.sigv4_s3 else ByBody
    auth = kind(Credentials(parts["key"], secret), parts["service"],
                parts["region"])
    made = wire_request(request, parts["signed"])
    made.context.update(timestamp=stamp, payload=payload)
    canonical = auth.canonical_request(made)
    text = auth.string_to_sign(made, canonical)
    return auth.signature(text, made), canonical, text


def verify(request, keys, service, payload=None, region=None):
    """Sets request.key, or raises Fault. payload is the body's hash where the header
    does not tell it; S3 wants the header."""
    s3 = request.service.sigv4_s3
    region = region or request.service.region
    text = request.header("authorization")
    if text is None:
        refuse(s3, "missing", "Access Denied" if s3 else
               "Missing Authentication Token")
    form = FORM.match(text)
    if form is None:
        refuse(s3, "malformed", "The authorization header is malformed: not "
               "AWS4-HMAC-SHA256 Credential=, SignedHeaders=, Signature=")
    parts = form.groupdict()
    request.noted["access_key"] = parts["key"]
    stamp, when = request_time(request, s3)
    if parts["service"] != service:
        refuse(s3, "region", "The authorization header is malformed; incorrect "
               "service %r. This endpoint belongs to %r." % (
                   parts["service"], service))
    if parts["region"] != region:
        refuse(s3, "region", "The authorization header is malformed; the region "
               "%r is wrong; expecting %r" % (parts["region"], region),
               headers={"x-amz-bucket-region": region} if s3 else None,
               Region=region)
    if parts["date"] != stamp[:8]:
        refuse(s3, "malformed" if s3 else "signature",
               "Date in Credential scope does not match x-amz-date")
    check_signed(request, s3, parts["signed"])
    key = check_key(request, s3, keys, parts["key"])
    check_time(request, s3, stamp, when)
    check_hash_header(request, s3)
    signature, canonical, to_sign = expected_signature(
        request, parts, key["secret"], stamp,
        request.header("x-amz-content-sha256", payload))
    if signature != parts["signature"]:
        refuse(s3, "signature", "The request signature we calculated does not "
               "match the signature you provided.",
               AWSAccessKeyId=parts["key"], StringToSign=to_sign,
               SignatureProvided=parts["signature"], CanonicalRequest=canonical)
    request.key = key


def check_hash_header(request, s3):
    value = request.header("x-amz-content-sha256")
    if value is None:
        if s3:
            refuse(s3, "hash", "Missing required header for this request: "
                   "x-amz-content-sha256")
        return
    if value == "UNSIGNED-PAYLOAD" and request.config.get("unsigned_payload"):
        return
    if not re.match("[0-9a-f]{64}$", value):
        refuse(s3, "hash", "x-amz-content-sha256 must be a hash here, not %s" % value)


def check_body(request):
    """After the body: is it what x-amz-content-sha256 says?"""
    s3 = request.service.sigv4_s3
    said = request.header("x-amz-content-sha256")
    got = request.body.digest("sha256").hex()
    if said is not None and said != "UNSIGNED-PAYLOAD" and said != got:
        refuse(s3, "payload", "The provided 'x-amz-content-sha256' header does "
               "not match what was computed.",
               ClientComputedContentSHA256=said, S3ComputedContentSHA256=got)
