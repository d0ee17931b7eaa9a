"""place.py - a directory of stand-ins: their orders, log, ports and certificates.

What is in it and what orders can say is told in base.py.
"""
import fcntl
import json
import os
import re
import ssl
import sys
import threading
import time
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "system"))
import certs  # noqa: E402

REGION = "eu-west-1"
NAMES = ["localhost", "*.s3.localhost", "s3.%s.localhost" % REGION,
         "*.s3.%s.localhost" % REGION] + [
    n % REGION for n in (
        "s3.%s.amazonaws.com", "*.s3.%s.amazonaws.com",
        "medical-imaging.%s.amazonaws.com",
        "runtime-medical-imaging.%s.amazonaws.com",
        "dicom-medical-imaging.%s.amazonaws.com",
        "rolesanywhere.%s.amazonaws.com")] + [
    "login.microsoftonline.com", "oauth2.googleapis.com",
    "healthcare.googleapis.com", "site7-dicom.dicom.azurehealthcareapis.com"]


class Place:
    def __init__(self, directory, certificates=None, tls=True):
        self.directory = os.path.abspath(directory)
        self.temporary = os.path.join(self.directory, "receiving")
        os.makedirs(self.temporary, exist_ok=True)
        for left in os.listdir(self.temporary):
            os.unlink(os.path.join(self.temporary, left))
        self.lock = threading.RLock()
        self.orders, self.orders_stat, self.used = {}, None, {}
        self.log_file = open(self.path("log.jsonl"), "a")
        self.ca = self.context = None
        if tls:
            self.make_context(certificates or self.path("certs"))

    def path(self, *names):
        return os.path.join(self.directory, *names)

    def make_context(self, directory):
        os.makedirs(directory, exist_ok=True)
        with open(os.path.join(directory, "lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            certs.make(directory)
            if not os.path.exists(os.path.join(directory, "clouds.pem")):
                certs.make_certificate(
                    directory, "clouds", "clouds", "subjectAltName=IP:127.0.0.1,"
                    + ",".join("DNS:" + name for name in NAMES))
        self.ca = os.path.join(directory, "ca.pem")
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(os.path.join(directory, "clouds.pem"),
                                     os.path.join(directory, "clouds.key"))

    # -- orders

    def order(self, config=None, script=None):
        """Replace the orders; what is kept stays."""
        write_json(self.path("orders.json"),
                   {"config": config or {}, "script": script or []})

    def read_orders(self):
        stat = stat_of(self.path("orders.json"))
        if stat == self.orders_stat:
            return
        self.orders = read_json(self.path("orders.json"), {})
        used = read_json(self.path("orders.used"), {})
        self.used = used.get("counts", {}) if used.get("of") == stat else {}
        self.orders_stat = stat

    def config(self, name=None, defaults=None):
        with self.lock:
            self.read_orders()
            config = self.orders.get("config", {})
            return config if name is None else \
                {**(defaults or {}), **config.get(name, {})}

    def now(self):
        return time.time() + self.config().get("clock_offset", 0)

    def take_order(self, service, operation, method, path):
        with self.lock:
            self.read_orders()
            for n, order in enumerate(self.orders.get("script", [])):
                if order.get("service", service) != service or \
                        order.get("operation", operation) != operation or \
                        order.get("method", method) != method or \
                        not re.search(order.get("path", ""), path):
                    continue
                count = self.used.get(str(n), 0)
                times, skip = order.get("times", 1), order.get("skip", 0)
                if 0 <= times <= count - skip:
                    continue
                self.used[str(n)] = count + 1
                write_json(self.path("orders.used"), {
                    "of": self.orders_stat, "counts": self.used})
                if count >= skip:
                    return order
            return {}

    def permits(self, action, resource):
        allow = self.config().get("allow")
        return allow is None or any(
            action.startswith(a) and resource.startswith(r) for a, r in allow)

    # -- the log

    def note(self, **fields):
        with self.lock:
            fields["time"] = time.time()
            self.log_file.write(json.dumps(fields) + "\n")
            self.log_file.flush()

    def log(self, **wanted):
        """The lines whose fields are the wanted ones."""
        with self.lock, open(self.path("log.jsonl")) as f:
            lines = [json.loads(line) for line in f]
        return [line for line in lines
                if all(line.get(k) == v for k, v in wanted.items())]

    def port_of(self, service):
        return read_json(self.path("ports.json"), {}).get(service, 0)

    def keep_port(self, service, port):
        with self.lock:
            ports = read_json(self.path("ports.json"), {})
            write_json(self.path("ports.json"), {**ports, service: port})


def stat_of(path):
    try:
        st = os.stat(path)
    except FileNotFoundError:
        return None
    return [st.st_mtime_ns, st.st_ino, st.st_size]


def read_json(path, otherwise):
    try:
        with open(path) as f:
            return json.load(f)
    except FileNotFoundError:
        return otherwise


def write_json(path, document):
    made = "%s.%s" % (path, uuid.uuid4().hex)
    with open(made, "w") as f:
        json.dump(document, f)
    os.rename(made, path)
