#!/usr/bin/python3
"""tokens.py - where OAuth2 tokens come from: Microsoft's, Google's, and a plain one.

    tokens.py DIR [--certs D] [--plain]

prints {"url", "azure", "google", "generic" (token endpoints), "ca", "client",
"tenant", "service_account" (a key file, DIR/service-account.json)} and ends with its
standard input. Tokens are opaque and stand in DIR/tokens.json with what they are
for and when they end: tokenfile.find() is what a resource asks.

Modelled: Microsoft identity platform, "OAuth 2.0 client credentials flow" and
"certificate credentials" (form, secret or signed assertion, x5t, scope ending in
/.default, AADSTS errors, 401 for invalid_client); Google, "Using OAuth 2.0 for
server to server applications" (RS256 assertion: iss, aud, scope, iat, exp, an hour
at most; 400 invalid_grant); RFC 6749 4.4 and RFC 7523 for the generic one (Basic or
form). Signatures are verified by python3-cryptography. Not modelled: other grants,
refresh tokens, discovery, tokens that a resource can read.

Clients are in DIR/clients.json: {client: {"secret": ..., "certificate": PEM text}};
one is there from the start (CLIENT, SECRET). A service account is made there, too;
add_certificate() and forget() change them while it runs.

Config ("tokens"): "life": 3599; "skew": 300; "once": false (true: an assertion's jti
is taken once); "scopes": those that Google knows.
"""
import base64
import binascii
import hashlib
import json
import os
import re
import sys
import time
import urllib.parse
import uuid

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import base  # noqa: E402
import tokenfile  # noqa: E402
from base import Fault, json_reply, read_json, write_json  # noqa: E402

TENANT = "3d6a1a52-0000-4000-8000-7f0000000001"
CLIENT = "5b1c5d7e-0000-4000-8000-7f0000000002"
SECRET = "a~client.secret+with/odd&characters=%7"
SCOPE = "https://dicom.healthcareapis.azure.com/.default"
ACCOUNT = "gateway@site7.iam.gserviceaccount.com"
HEALTHCARE = "https://www.googleapis.com/auth/cloud-healthcare"
PLATFORM = "https://www.googleapis.com/auth/cloud-platform"
GOOGLE = "https://oauth2.googleapis.com/token"
BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
FORM = "application/x-www-form-urlencoded"
AADSTS = {"no member": (900144, "invalid_request", 400),
          "grant": (70003, "unsupported_grant_type", 400),
          "client": (700016, "unauthorized_client", 400),
          "secret": (7000215, "invalid_client", 401),
          "signature": (700027, "invalid_client", 401),
          "time": (700024, "invalid_client", 401),
          "assertion": (50027, "invalid_request", 400),
          "audience": (700023, "invalid_client", 401),
          "scope": (1002012, "invalid_scope", 400),
          "tenant": (90002, "invalid_request", 400)}


class Refused(Exception):
    """kind is a key of AADSTS."""

    def __init__(self, kind, message):
        super().__init__(message)
        self.kind = kind


# --- JSON Web Tokens ------------------------------------------------------------

def decode_part(text):
    if not re.fullmatch(r"[A-Za-z0-9_-]+", text):
        raise ValueError("not base64url without padding")
    return base64.b64decode(text + "=" * (-len(text) % 4), b"-_")


def split_jwt(text):
    """(header, claims, what is signed, signature)"""
    try:
        head, claims, signature = text.split(".")
        found = json.loads(decode_part(head)), json.loads(decode_part(claims))
        if not all(isinstance(x, dict) for x in found):
            raise ValueError("not objects")
        return (*found, ("%s.%s" % (head, claims)).encode(), decode_part(signature))
    except (ValueError, binascii.Error) as why:
        raise Refused("assertion", "The assertion is not a JWT: %s" % why)


def verify_jwt(key, algorithm, signed, signature):
    try:
        if algorithm == "RS256" and isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
        elif algorithm == "PS256" and isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, signed, padding.PSS(
                padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
        elif algorithm == "ES256" and isinstance(key, ec.EllipticCurvePublicKey) \
                and len(signature) == 64:
            from cryptography.hazmat.primitives.asymmetric.utils import \
                encode_dss_signature
            key.verify(encode_dss_signature(
                int.from_bytes(signature[:32], "big"),
                int.from_bytes(signature[32:], "big")), signed,
                ec.ECDSA(hashes.SHA256()))
        else:
            raise InvalidSignature
    except InvalidSignature:
        raise Refused("signature", "The assertion's signature is not right")


def check_times(claims, now, skew, longest):
    """nbf, iat and exp; longest is how far iat and exp may be apart."""
    begin = claims.get("nbf", claims.get("iat"))
    end = claims.get("exp")
    if not isinstance(end, int) or isinstance(end, bool) or \
            not (begin is None or isinstance(begin, int)):
        raise Refused("time", "exp, iat or nbf is not a whole number")
    issued = claims.get("iat", begin)
    if end <= now - skew or (begin is not None and begin > now + skew) or (
            issued is not None and issued > now + skew):
        raise Refused("time", "The assertion is not within its valid time range: "
                      "now %d, from %s to %d" % (now, begin, end))
    if issued is not None and end - issued > longest:
        raise Refused("time", "The assertion lives too long")


# --- the service --------------------------------------------------------------

class Tokens(base.Service):
    name = "tokens"
    DEFAULTS = {"life": 3599, "skew": 300, "once": False,
                "scopes": [HEALTHCARE, PLATFORM]}

    def __init__(self, place, port=0):
        super().__init__(place, port)
        self.taken = set()
        self.endpoints = {
            "azure": "%s/%s/oauth2/v2.0/token" % (self.url, TENANT),
            "google": self.url + "/token", "generic": self.url + "/oauth2/token"}
        if not os.path.exists(place.path("clients.json")):
            write_json(place.path("clients.json"), {CLIENT: {"secret": SECRET}})
        self.account_file = place.path("service-account.json")
        if not os.path.exists(self.account_file):
            self.make_account()

    def make_account(self):
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        write_json(self.account_file, {
            "type": "service_account", "project_id": "site7",
            "private_key_id": uuid.uuid4().hex, "client_email": ACCOUNT,
            "client_id": "107000000000000000007",
            "private_key": key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption()).decode(),
            "auth_uri": "https://accounts.google.com/o/oauth2/auth",
            "token_uri": self.endpoints["google"],
            "universe_domain": "googleapis.com"})
        os.chmod(self.account_file, 0o600)

    def clients(self):
        return read_json(self.place.path("clients.json"), {})

    def add_certificate(self, path, client=CLIENT):
        """The client may also sign, with the key of this certificate."""
        with open(path) as f:
            certificate = f.read()
        known = self.clients()
        known.setdefault(client, {})["certificate"] = certificate
        write_json(self.place.path("clients.json"), known)

    def forget(self, client=CLIENT):
        known = self.clients()
        known.pop(client, None)
        write_json(self.place.path("clients.json"), known)

    # -- requests

    def operation(self, request):
        for name, pattern in (("azure", "/[^/]+/oauth2/v2.0/token"),
                              ("google", "/token"), ("generic", "/oauth2/token")):
            if re.fullmatch(pattern, request.path):
                return name
        return "unknown"

    def before(self, request):
        if request.operation == "unknown":
            raise Fault("not_found", 404, request.path)
        if request.method != "POST":
            raise Fault("invalid_request", 405, "Only POST")

    def form(self, request):
        if request.header("content-type", "").split(";")[0].strip() != FORM:
            raise Refused("no member", "Content-Type is not %s" % FORM)
        try:
            pairs = urllib.parse.parse_qsl(
                request.body.bytes().decode("ascii"), strict_parsing=True,
                keep_blank_values=True, errors="strict")
        except ValueError:
            raise Refused("no member", "The body is not a form")
        if len(dict(pairs)) != len(pairs):
            raise Refused("no member", "A parameter is there twice")
        request.noted["members"] = sorted(dict(pairs))
        return dict(pairs)

    def need(self, form, *names):
        for name in names:
            if not form.get(name):
                raise Refused("no member", "The request body must contain the "
                              "following parameter: '%s'." % name)

    def handle(self, request):
        try:
            form = self.form(request)
            answer = getattr(self, "ask_" + request.operation)(request, form)
        except Refused as why:
            request.noted["why"] = str(why)
            return getattr(self, "refuse_" + request.operation)(request, why)
        answer.headers.update({"Cache-Control": "no-store", "Pragma": "no-cache"})
        return answer

    def give(self, request, client, scope, **more):
        life = request.config["life"]
        token = tokenfile.issue(self.place, life, client=client, scope=scope,
                                issuer=request.operation)
        return json_reply({"token_type": "Bearer", "expires_in": life, **more,
                           "access_token": token})

    # -- clients with a secret or with a key

    def check_assertion(self, request, form, known, client, audiences):
        header, claims, signed, signature = split_jwt(form["client_assertion"])
        if form.get("client_assertion_type") != ASSERTION:
            raise Refused("no member", "client_assertion_type is not " + ASSERTION)
        if "certificate" not in known:
            raise Refused("signature", "The client has no certificate")
        certificate = x509.load_pem_x509_certificate(known["certificate"].encode())
        self.check_thumbprint(request, header, certificate)
        verify_jwt(certificate.public_key(), header.get("alg"), signed, signature)
        if claims.get("iss") != client or claims.get("sub") != client:
            raise Refused("signature", "iss and sub are not the client")
        if claims.get("aud") not in audiences:
            raise Refused("audience", "aud is %s" % claims.get("aud"))
        check_times(claims, request.now, request.config["skew"], 24 * 3600)
        if not claims.get("jti"):
            raise Refused("assertion", "There is no jti")
        if request.config["once"]:
            if claims["jti"] in self.taken:
                raise Refused("signature", "This jti was there before")
            self.taken.add(claims["jti"])

    def check_thumbprint(self, request, header, certificate):
        der = certificate.public_bytes(serialization.Encoding.DER)
        found = False
        for name, function in (("x5t", hashlib.sha1), ("x5t#S256", hashlib.sha256)):
            wanted = base64.urlsafe_b64encode(function(der).digest()).decode()
            if name in header and header[name].rstrip("=") != wanted.rstrip("="):
                raise Refused("signature", "%s is that of no certificate of the "
                              "client" % name)
            found = found or name in header
        if request.operation == "azure" and not found:
            raise Refused("signature", "The header has neither x5t nor x5t#S256")

    def check_client(self, request, form, audiences):
        """The client; by Basic, or in the form."""
        basic = request.header("authorization", "")
        if basic.startswith("Basic ") and request.operation == "generic":
            try:
                user, _, word = base64.b64decode(basic[6:]).decode().partition(":")
            except ValueError:
                raise Refused("secret", "Not a basic authorization")
            form = {**form, "client_id": urllib.parse.unquote_plus(user),
                    "client_secret": urllib.parse.unquote_plus(word)}
        self.need(form, "client_id")
        client = form["client_id"]
        request.noted["client"] = client
        known = self.clients().get(client)
        if known is None:
            raise Refused("client", "Application with identifier '%s' was not found" %
                          client)
        if "client_assertion" in form:
            self.check_assertion(request, form, known, client, audiences)
            return client
        self.need(form, "client_secret")
        if form["client_secret"] != known.get("secret"):
            raise Refused("secret", "Invalid client secret provided.")
        return client

    def ask_azure(self, request, form):
        self.need(form, "grant_type", "client_id", "scope")
        if request.path.split("/")[1] != TENANT:
            raise Refused("tenant", "Tenant not found.")
        if form["grant_type"] != "client_credentials":
            raise Refused("grant", "The app requested an unsupported grant type")
        if not form["scope"].endswith("/.default"):
            raise Refused("scope", "The provided value for scope %s is not valid. "
                          "Client credential flows must have a scope value with "
                          "/.default suffixed" % form["scope"])
        real = "https://login.microsoftonline.com/%s/" % TENANT
        client = self.check_client(request, form, (
            self.endpoints["azure"], real + "oauth2/v2.0/token", real + "v2.0"))
        return self.give(request, client, form["scope"],
                         ext_expires_in=request.config["life"])

    def ask_generic(self, request, form):
        self.need(form, "grant_type")
        if form["grant_type"] != "client_credentials":
            raise Refused("grant", "The grant type is not supported")
        client = self.check_client(request, form, (self.endpoints["generic"],))
        return self.give(request, client, form.get("scope", ""))

    def refuse_azure(self, request, why):
        number, error, status = AADSTS[why.kind]
        return json_reply({
            "error": error, "error_codes": [number],
            "error_description": "AADSTS%d: %s Trace ID: %s" % (
                number, why, uuid.uuid4()),
            "timestamp": time.strftime("%Y-%m-%d %H:%M:%SZ",
                                       time.gmtime(request.now)),
            "trace_id": str(uuid.uuid4()), "correlation_id": str(uuid.uuid4())},
            status)

    def refuse_generic(self, request, why):
        _, error, status = AADSTS[why.kind]
        if why.kind in ("client", "assertion"):
            error, status = "invalid_client", 401
        headers = {"WWW-Authenticate": 'Basic realm="tokens"'} \
            if status == 401 else {}
        return json_reply({"error": error, "error_description": str(why)}, status,
                          headers)

    # -- Google's service accounts

    def ask_google(self, request, form):
        self.need(form, "grant_type", "assertion")
        if form["grant_type"] != BEARER:
            raise Refused("grant", "Invalid grant_type: %s" % form["grant_type"])
        header, claims, signed, signature = split_jwt(form["assertion"])
        account = read_json(self.account_file, {})
        if claims.get("iss") != account["client_email"]:
            raise Refused("client", "Invalid grant: account not found")
        key = serialization.load_pem_private_key(
            account["private_key"].encode(), None).public_key()
        if header.get("alg") != "RS256" or header.get("typ") != "JWT" or \
                header.get("kid") != account["private_key_id"]:
            raise Refused("signature", "Invalid JWT Signature.")
        verify_jwt(key, "RS256", signed, signature)
        if claims.get("aud") not in (GOOGLE, self.endpoints["google"]):
            raise Refused("audience", "Invalid JWT: Failed audience check.")
        if not isinstance(claims.get("iat"), int):
            raise Refused("time", "Invalid JWT: iat is missing.")
        check_times(claims, request.now, request.config["skew"], 3600)
        scopes = str(claims.get("scope", "")).split(" ")
        if not set(scopes) <= set(request.config["scopes"]):
            raise Refused("scope", "Invalid OAuth scope or ID token audience "
                          "provided.")
        request.noted["client"] = claims["iss"]
        return self.give(request, claims["iss"], claims["scope"])

    def refuse_google(self, request, why):
        error = {"scope": "invalid_scope", "grant": "unsupported_grant_type",
                 "no member": "invalid_request"}.get(why.kind, "invalid_grant")
        text = str(why)
        if why.kind == "time":
            text = ("Invalid JWT: Token must be a short-lived token (60 minutes) and "
                    "in a reasonable timeframe. Check your iat and exp values in the "
                    "JWT claim.")
        elif why.kind == "signature":
            text = "Invalid JWT Signature."
        return json_reply({"error": error, "error_description": text}, 400)

    def fault(self, request, fault):
        return json_reply({"error": fault.code, "error_description": fault.message},
                          fault.status or (
                              401 if fault.code == "invalid_client" else
                              503 if fault.code == "temporarily_unavailable" else 400))

    def described(self):
        return {"url": self.url, **self.endpoints, "ca": self.place.ca,
                "tenant": TENANT, "client": CLIENT, "client_secret": SECRET,
                "service_account": self.account_file}


def main():
    args = base.parser_for(__doc__).parse_args()
    place = base.Place(args.directory, args.certs, not args.plain)
    base.run_until_end(Tokens(place).described())


if __name__ == "__main__":
    main()
