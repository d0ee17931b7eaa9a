#!/usr/bin/python3
"""rolesanywhere.py - IAM Roles Anywhere: CreateSession, for who owns a certificate.

    rolesanywhere.py DIR --anchor CA.pem... [--region R] [--certs D] [--plain]

prints {"url", "ca", "trust_anchor", "profile", "role"} and ends with its standard
input. The keys that it hands out are accepted, for as long as they live, by the
s3.py, healthimaging.py and aws.py of the same DIR (DIR/keys.json).

Modelled, from the IAM Roles Anywhere user guide ("Signing process", "Trust model":
what a certificate must be, "CreateSession") and the credential helper's source:
AWS4-X509-RSA-SHA256 and AWS4-X509-ECDSA-SHA256, X-Amz-X509 and -Chain, the decimal
serial number in Credential, paths to the anchor, members in the body or in the
query, session names by permission, 201 with a credentialSet. The canonical request
is botocore's; certificates and signatures are verified by python3-cryptography.

Not modelled: ML-DSA, revocation lists (but "revoked"), session policies, tags,
attribute mappings. What an error is called is inferred, as the documentation does
not name any: AccessDeniedException 403, ValidationException 400,
ResourceNotFoundException 404, InvalidSignatureException 403 for a clock that is off.

Config ("rolesanywhere"): "life": null or seconds, instead of what was asked for;
"most": 3600, of the profile; "roles": [ROLE], of the profile; "session_name": false;
"disabled": false; "revoked": [serial numbers, as decimal strings].
"""
import base64
import binascii
import datetime
import hashlib
import json
import os
import re
import secrets
import sys
import time
import uuid

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import awsjson  # noqa: E402
import base  # noqa: E402
import sigv4  # noqa: E402
from base import Fault, json_reply  # noqa: E402

ARN = "arn:aws:rolesanywhere:%s:%s:" % (base.REGION, sigv4.ACCOUNT)
TRUST_ANCHOR = ARN + "trust-anchor/7a1b2c3d-0000-4000-8000-000000000001"
PROFILE = ARN + "profile/7a1b2c3d-0000-4000-8000-000000000002"
ROLE = "arn:aws:iam::%s:role/gateway" % sigv4.ACCOUNT
UUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
PATTERNS = {
    "trustAnchorArn": r"arn:aws(-[^:]+)?:rolesanywhere:[^:]+:\d{12}:trust-anchor/" +
                      UUID,
    "profileArn": r"arn:aws(-[^:]+)?:rolesanywhere:[^:]+:\d{12}:profile/" + UUID,
    "roleArn": r"arn:aws(-[^:]+)?:iam::\d{12}:role/.+"}
MEMBERS = (*PATTERNS, "durationSeconds", "roleSessionName", "cert",
           "instanceProperties")
FORM = re.compile(
    r"(?P<algorithm>AWS4-X509-(?:RSA|ECDSA)-SHA256) +Credential=(?P<serial>\d+)/"
    r"(?P<date>\d{8})/(?P<region>[^/, ]+)/rolesanywhere/aws4_request, *"
    r"SignedHeaders=(?P<signed>[a-z0-9;._-]+), *Signature=(?P<signature>[0-9a-f]+)$")
DEPTH = 5


def denied(message):
    return Fault("AccessDeniedException", 403, message)


def load_der(text):
    try:
        return x509.load_der_x509_certificate(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        raise denied("Unable to parse certificate")


def extension(certificate, kind):
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def check_leaf(leaf, now):
    constraints = extension(leaf, x509.BasicConstraints)
    usage = extension(leaf, x509.KeyUsage)
    wrong = "not version 3" if leaf.version is not x509.Version.v3 else \
        "basicConstraints is not CA:FALSE" \
        if constraints is None or constraints.ca else \
        "keyUsage lacks digitalSignature" \
        if usage is None or not usage.digital_signature else \
        "signed with less than SHA-256" \
        if leaf.signature_hash_algorithm.digest_size < 32 else \
        "not within its validity" \
        if not leaf.not_valid_before <= now <= leaf.not_valid_after else None
    if wrong:
        raise denied("Untrusted certificate. Insufficient certificate: " + wrong)


def has_issued(issuer, certificate):
    if issuer.subject != certificate.issuer:
        return False
    key, signed = issuer.public_key(), certificate.tbs_certificate_bytes
    algorithm = certificate.signature_hash_algorithm
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(certificate.signature, signed, padding.PKCS1v15(), algorithm)
        else:
            key.verify(certificate.signature, signed, ec.ECDSA(algorithm))
    except InvalidSignature:
        return False
    return True


def is_ca(certificate, now):
    constraints = extension(certificate, x509.BasicConstraints)
    return constraints is not None and constraints.ca and \
        certificate.not_valid_before <= now <= certificate.not_valid_after


def has_path(certificate, chain, anchors, now, depth=DEPTH):
    """From the certificate by the chain's CAs to an anchor."""
    if any(is_ca(a, now) and has_issued(a, certificate) for a in anchors):
        return True
    return depth > 0 and any(
        is_ca(c, now) and has_issued(c, certificate) and
        has_path(c, [x for x in chain if x is not c], anchors, now, depth - 1)
        for c in chain)


def check_signature(request, parts, leaf, stamp):
    """Over botocore's canonical request, by the leaf's key."""
    signer = sigv4.ByBody(None, "rolesanywhere", parts["region"])
    made = sigv4.wire_request(request, parts["signed"])
    made.context.update(timestamp=stamp,
                        payload=request.body.digest("sha256").hex())
    canonical = signer.canonical_request(made)
    text = "\n".join([parts["algorithm"], stamp, signer.credential_scope(made),
                      hashlib.sha256(canonical.encode()).hexdigest()]).encode()
    key, signature = leaf.public_key(), bytes.fromhex(
        parts["signature"] if len(parts["signature"]) % 2 == 0 else "")
    kind = "RSA" if isinstance(key, rsa.RSAPublicKey) else "ECDSA"
    try:
        if "-%s-" % kind not in parts["algorithm"]:
            raise InvalidSignature
        if kind == "RSA":
            key.verify(signature, text, padding.PKCS1v15(), hashes.SHA256())
        else:
            key.verify(signature, text, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise denied("The request signature does not match: %s" %
                     canonical.replace("\n", "\\n"))


class RolesAnywhere(awsjson.AwsJson):
    name = "rolesanywhere"
    ROUTES = [("POST", "/sessions", "CreateSession")]
    DEFAULTS = {"rates": {}, "error_form": "header", "life": None, "most": 3600,
                "roles": [ROLE], "session_name": False, "disabled": False,
                "revoked": []}

    def __init__(self, place, keys, anchors, region=base.REGION, port=0):
        self.anchors = []
        for path in anchors:
            with open(path, "rb") as f:
                self.anchors.append(x509.load_pem_x509_certificate(f.read()))
        super().__init__(place, keys, None, region=region, port=port)

    # -- who asks

    def verify_early(self, request):
        """The body is small, and its hash is signed without a header that tells it."""

    def authenticate(self, request):
        form = FORM.match(request.header("authorization", ""))
        if form is None:
            raise Fault("IncompleteSignatureException", 403, "The authorization is "
                        "not AWS4-X509-RSA-SHA256 or -ECDSA-SHA256 of rolesanywhere")
        parts = form.groupdict()
        request.noted["serial"] = parts["serial"]
        stamp, when = sigv4.request_time(request, False)
        sigv4.check_signed(request, False, parts["signed"])
        sigv4.check_time(request, False, stamp, when)
        if parts["region"] != self.region or parts["date"] != stamp[:8]:
            raise denied("Credential should be scoped to %s and to its date" %
                         self.region)
        if "x-amz-x509" not in request.headers:
            raise denied("There is no X-Amz-X509")
        leaf = load_der(request.header("x-amz-x509"))
        self.check_certificate(request, parts, leaf)
        check_signature(request, parts, leaf, stamp)
        return leaf

    def check_certificate(self, request, parts, leaf):
        now = datetime.datetime.utcfromtimestamp(request.now)
        if parts["serial"] != str(leaf.serial_number):
            raise denied("Credential does not name the certificate's serial number")
        check_leaf(leaf, now)
        text = request.header("x-amz-x509-chain")
        chain = [load_der(part) for part in text.split(",")] if text else []
        if leaf in chain:
            raise denied("X-Amz-X509-Chain holds the leaf")
        if not has_path(leaf, chain, self.anchors, now):
            raise denied("Untrusted certificate. Insufficient certificate: no path "
                         "to the trust anchor")
        if str(leaf.serial_number) in request.config["revoked"]:
            raise denied("Untrusted certificate. Revoked certificate")

    # -- what is asked

    def parameters(self, request, leaf):
        if request.header("content-type", "").split(";")[0] != "application/json":
            raise Fault("ValidationException", 400, "Content-Type")
        try:
            found = json.loads(request.body.bytes() or b"{}")
            found = {**dict(request.query), **found}
        except (ValueError, TypeError) as why:
            raise Fault("ValidationException", 400, str(why))
        life = found.get("durationSeconds", 3600)
        wrong = [n for n in found if n not in MEMBERS] + [
            n for n, pattern in PATTERNS.items()
            if not re.fullmatch(pattern, str(found.get(n)))]
        if not isinstance(life, int) or not 900 <= life <= 43200:
            wrong.append("durationSeconds")
        if "cert" in found and load_der(found["cert"]) != leaf:
            wrong.append("cert")
        if wrong:
            raise Fault("ValidationException", 400, "Invalid: " + ", ".join(wrong))
        return found

    def check_allowed(self, request, found):
        config = request.config
        for name, known in (("trustAnchorArn", TRUST_ANCHOR),
                            ("profileArn", PROFILE)):
            if found[name] != known:
                raise Fault("ResourceNotFoundException", 404,
                            "%s: no such resource" % name)
        if found["roleArn"] not in config["roles"] or config["disabled"]:
            raise denied("Unable to assume role for %s" % found["roleArn"])
        if "roleSessionName" in found and not config["session_name"]:
            raise denied("Not allowed to set roleSessionName")

    def handle(self, request):
        leaf = self.authenticate(request)
        found = self.parameters(request, leaf)
        self.check_allowed(request, found)
        return self.answer(request, leaf, found)

    def answer(self, request, leaf, found):
        config = request.config
        life = config["life"] or min(found.get("durationSeconds", 3600),
                                     config["most"])
        key = "ASIA" + base64.b32encode(secrets.token_bytes(10)).decode()
        secret, token = secrets.token_urlsafe(30), secrets.token_urlsafe(300)
        session = found.get("roleSessionName", "%x" % leaf.serial_number)
        arn = "arn:aws:sts::%s:assumed-role/%s/%s" % (
            sigv4.ACCOUNT, found["roleArn"].rpartition("/")[2], session)
        self.keys.add(key, secret, token, request.now + life, arn=arn)
        request.noted["access_key"] = key
        subject = hashlib.sha256(leaf.public_bytes(serialization.Encoding.DER))
        return json_reply({
            "credentialSet": [{
                "assumedRoleUser": {"arn": arn, "assumedRoleId": "AROA7:" + session},
                "credentials": {
                    "accessKeyId": key, "secretAccessKey": secret,
                    "sessionToken": token, "expiration": time.strftime(
                        "%Y-%m-%dT%H:%M:%SZ", time.gmtime(request.now + life))},
                "packedPolicySize": 7, "roleArn": found["roleArn"],
                "sourceIdentity": "CN=gateway"}],
            "subjectArn": ARN + "subject/" + str(uuid.UUID(subject.hexdigest()[:32]))},
            201, {"x-amzn-requestid": str(uuid.uuid4())})


def main():
    parser = base.parser_for(__doc__)
    parser.add_argument("--anchor", action="append", required=True)
    parser.add_argument("--region", default=base.REGION)
    args = parser.parse_args()
    place = base.Place(args.directory, args.certs, not args.plain)
    service = RolesAnywhere(place, sigv4.Keys(place), args.anchor, args.region)
    base.run_until_end({"url": service.url, "ca": place.ca, "region": args.region,
                        "trust_anchor": TRUST_ANCHOR, "profile": PROFILE,
                        "role": ROLE})


if __name__ == "__main__":
    main()
