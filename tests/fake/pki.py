"""pki.py - certificates for Roles Anywhere and for signed assertions, good and bad.

make(directory) fills it once, by python3-cryptography:

  anchor.pem                     the CA that is the trust anchor; anchor.key
  rsa, ec, ec384 (.pem, .key)    leaves as they should be
  chained.pem, .key              its issuer is intermediate.pem, the anchor's child
  expired, early                 its time is over, has not come
  is-ca, no-usage, no-constraints, sha1, stranger     leaves that are refused

Keys are PKCS#8 PEM, mode 0600.
"""
import datetime
import os
import warnings

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)


def make_key(kind):
    return rsa.generate_private_key(public_exponent=65537, key_size=2048) \
        if kind == "rsa" else ec.generate_private_key(
            ec.SECP384R1() if kind == "ec384" else ec.SECP256R1())


def name_of(text):
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Site 7"),
                      x509.NameAttribute(NameOID.COMMON_NAME, text)])


def usage(digital, signs):
    return x509.KeyUsage(digital, False, False, False, False, signs, signs, False,
                         False)


class Pair:
    def __init__(self, certificate, key):
        self.certificate, self.key = certificate, key

    def write(self, directory, name):
        path = os.path.join(directory, name)
        with open(path + ".pem", "wb") as f:
            f.write(self.certificate.public_bytes(serialization.Encoding.PEM))
        fd = os.open(path + ".key", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "wb") as f:
            f.write(self.key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption()))
        return self


def issue(subject, issuer=None, kind="ec", ca=False, constraints=True, digital=True,
          first=-1, last=365, algorithm=None, serial=None):
    key, now = make_key(kind), datetime.datetime.utcnow()
    made = x509.CertificateBuilder().subject_name(name_of(subject)).issuer_name(
        issuer.certificate.subject if issuer else name_of(subject)).public_key(
            key.public_key()).serial_number(
                serial or x509.random_serial_number()).not_valid_before(
                    now + first * DAY).not_valid_after(now + last * DAY)
    if constraints:
        made = made.add_extension(x509.BasicConstraints(ca, None), True)
    made = made.add_extension(usage(digital, ca), True)
    return Pair(made.sign(issuer.key if issuer else key,
                          algorithm or hashes.SHA256()), key)


def make(directory):
    os.makedirs(directory, exist_ok=True)
    if os.path.exists(os.path.join(directory, "done")):
        return directory
    warnings.simplefilter("ignore")  # SHA-1 is meant to be bad
    anchor = issue("Site 7 CA", ca=True, digital=False).write(directory, "anchor")
    other = issue("Another CA", ca=True, digital=False)
    middle = issue("Site 7 Issuing CA", anchor, "rsa", ca=True, digital=False)
    middle.write(directory, "intermediate")
    for name, more in (
            ("rsa", {"kind": "rsa"}), ("ec", {"serial": 1 << 150}),
            ("ec384", {"kind": "ec384"}), ("expired", {"first": -9, "last": -1}),
            ("early", {"first": 1}), ("is-ca", {"ca": True}),
            ("no-usage", {"digital": False}), ("no-constraints", {"constraints": False}),
            ("sha1", {"algorithm": hashes.SHA1()})):
        issue("gateway " + name, anchor, **more).write(directory, name)
    issue("gateway chained", middle).write(directory, "chained")
    issue("gateway stranger", other).write(directory, "stranger")
    with open(os.path.join(directory, "done"), "w"):
        pass
    return directory
