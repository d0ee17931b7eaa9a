"""signedx509.py - a client of Roles Anywhere and of token endpoints, for tests.

Signs with python3-cryptography. Each function takes what shall be wrong about its
request as keyword arguments.
"""
import base64
import hashlib
import http.client
import json
import ssl
import time
import urllib.parse
import uuid

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa


def load(path):
    """(certificate, key) of path.pem and path.key"""
    with open(path + ".pem", "rb") as f:
        certificate = x509.load_pem_x509_certificate(f.read())
    with open(path + ".key", "rb") as f:
        return certificate, serialization.load_pem_private_key(f.read(), None)


def der64(certificate):
    return base64.b64encode(certificate.public_bytes(
        serialization.Encoding.DER)).decode()


def sign(key, data):
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(data, padding.PKCS1v15(), hashes.SHA256())
    return key.sign(data, ec.ECDSA(hashes.SHA256()))


def post(service, path, body, headers):
    """(status, the JSON of the answer)"""
    connection = http.client.HTTPSConnection(
        "localhost", service.port, timeout=30,
        context=ssl.create_default_context(cafile=service.place.ca))
    try:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def create_session(service, certificate, key, document, chain=(), offset=0,
                   serial=None, algorithm=None, spoil=False):
    """CreateSession, signed by the rules of the user guide's "Signing process"."""
    body = json.dumps(document).encode()
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() + offset))
    headers = {"content-type": "application/json",
               "host": "localhost:%d" % service.port, "x-amz-date": stamp,
               "x-amz-x509": der64(certificate)}
    if chain:
        headers["x-amz-x509-chain"] = ",".join(der64(c) for c in chain)
    names = sorted(headers)
    canonical = "POST\n/sessions\n\n%s\n%s\n%s" % (
        "".join("%s:%s\n" % (n, headers[n]) for n in names), ";".join(names),
        hashlib.sha256(body).hexdigest())
    kind = algorithm or "AWS4-X509-%s-SHA256" % (
        "RSA" if isinstance(key, rsa.RSAPrivateKey) else "ECDSA")
    scope = "%s/%s/rolesanywhere/aws4_request" % (stamp[:8], service.region)
    text = "\n".join([kind, stamp, scope,
                      hashlib.sha256(canonical.encode()).hexdigest()])
    signature = sign(key, text.encode() + (b"!" if spoil else b"")).hex()
    headers["authorization"] = \
        "%s Credential=%s/%s, SignedHeaders=%s, Signature=%s" % (
            kind, serial or certificate.serial_number, scope, ";".join(names),
            signature)
    return post(service, "/sessions", body, headers)


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def jwt(key, claims, header):
    text = "%s.%s" % tuple(base64url(json.dumps(part).encode())
                           for part in (header, claims))
    return text + "." + base64url(sign(key, text.encode()))


def ask(service, path, **form):
    return post(service, path, urllib.parse.urlencode(form).encode(),
                {"Content-Type": "application/x-www-form-urlencoded"})


def client_assertion(certificate, key, client, audience, offset=0, **claims):
    """As Microsoft wants it."""
    now = int(time.time() + offset)
    thumbprint = certificate.fingerprint(hashes.SHA1())
    return jwt(key, {"aud": audience, "iss": client, "sub": client, "nbf": now,
                     "iat": now, "exp": now + 600, "jti": str(uuid.uuid4()), **claims},
               {"alg": "RS256", "typ": "JWT", "x5t": base64url(thumbprint)})


def service_assertion(account, offset=0, header=None, key=None, **claims):
    """As Google wants it; account is the JSON of a service account's key file."""
    now = int(time.time() + offset)
    key = key or serialization.load_pem_private_key(
        account["private_key"].encode(), None)
    return jwt(key, {"iss": account["client_email"], "aud": account["token_uri"],
                     "scope": "https://www.googleapis.com/auth/cloud-healthcare",
                     "iat": now, "exp": now + 3600, **claims},
               {"alg": "RS256", "typ": "JWT", "kid": account["private_key_id"],
                **(header or {})})
