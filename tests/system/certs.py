"""certs.py - certificates for tests and the demonstration, good ones and bad.

make(directory) fills it once, with openssl(1) and nothing else:

  ca.pem                         the CA that signed the rest
  server.pem, server.key         for localhost and 127.0.0.1
  expired.pem, expired.key       the same, but its time is over
  wrongname.pem, wrongname.key   for elsewhere.example.org only
  other-ca.pem                   another CA, that signed nothing here
  client.pem, client.key         for a client; client-locked.key is its key
                                 again, with the passphrase in passphrase.txt
"""
import os
import subprocess

LOCAL = "subjectAltName=DNS:localhost,IP:127.0.0.1"


def openssl(*args, text=None):
    done = subprocess.run(("openssl",) + args, input=text, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        raise RuntimeError("openssl %s: %s" % (" ".join(args), done.stdout))


def make_key(path):
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt",
            "ec_paramgen_curve:P-256", "-out", path)
    os.chmod(path, 0o600)


def make_ca(directory, name, subject):
    key = os.path.join(directory, name + ".key")
    make_key(key)
    openssl("req", "-x509", "-new", "-key", key, "-days", "3650",
            "-subj", "/CN=" + subject,
            "-addext", "basicConstraints=critical,CA:TRUE",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign",
            "-out", os.path.join(directory, name + ".pem"))


def make_certificate(directory, name, subject, extension, days=3650):
    def path(suffix):
        return os.path.join(directory, name + suffix)

    make_key(path(".key"))
    openssl("req", "-new", "-key", path(".key"), "-subj", "/CN=" + subject,
            "-out", path(".csr"))
    with open(path(".ext"), "w") as ext:
        ext.write(extension + "\n")
    openssl("x509", "-req", "-in", path(".csr"),
            "-CA", os.path.join(directory, "ca.pem"),
            "-CAkey", os.path.join(directory, "ca.key"),
            "-CAcreateserial", "-days", str(days), "-extfile", path(".ext"),
            "-out", path(".pem"))
    os.unlink(path(".csr"))
    os.unlink(path(".ext"))


def make(directory):
    os.makedirs(directory, exist_ok=True)
    if os.path.exists(os.path.join(directory, "done")):
        return directory
    make_ca(directory, "ca", "Test CA")
    make_ca(directory, "other-ca", "Other CA")
    make_certificate(directory, "server", "localhost", LOCAL)
    make_certificate(directory, "expired", "expired.example.org", LOCAL, -1)
    make_certificate(directory, "wrongname", "elsewhere.example.org",
                     "subjectAltName=DNS:elsewhere.example.org")
    make_certificate(directory, "client", "gateway",
                     "extendedKeyUsage=clientAuth")
    phrase = os.path.join(directory, "passphrase.txt")
    with open(phrase, "w") as f:
        f.write("open sesame\n")
    os.chmod(phrase, 0o600)
    openssl("pkey", "-in", os.path.join(directory, "client.key"), "-aes256",
            "-passout", "pass:open sesame",
            "-out", os.path.join(directory, "client-locked.key"))
    with open(os.path.join(directory, "done"), "w"):
        pass
    return directory
