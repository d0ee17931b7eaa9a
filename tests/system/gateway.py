"""gateway.py - a daemon of one's own for a test of the receiving side.

    with Gateway(peers="- {ae_title: CT1}") as gw:
        run("echoscu", "127.0.0.1", gw.port)
        gw.ctl("status").out

Everything lies below gw.directory; the daemon is ended by its pid.
"""
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile

import part10
from checks import run, wait_for

BUILD = os.environ.get("CAUSEWAY_BUILD", "build")
DAEMON = os.path.join(BUILD, "causewayd")
CTL = os.path.join(BUILD, "causewayctl")
SANITIZED = os.path.basename(BUILD) in ("build-asan", "build-tsan")
PATIENCE = 60 if SANITIZED else 20


def free_port():
    """Below those that the kernel gives to whoever connects somewhere."""
    while True:
        port = random.SystemRandom().randrange(10240, 32768)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=PATIENCE)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Gateway:
    """peers, destinations and routes are YAML lists, `more` is any YAML besides;
    gateway, spool and study are what follows in that section's braces. Nothing
    is delivered unless destinations says where to: held is how it begins."""

    def __init__(self, peers="[{ae_title: '*', address: 127.0.0.0/8}]",
                 gateway="", listen=None, spool="", study="", destinations=None,
                 routes=None, more="unrouted: hold", level="info",
                 directory=None, spool_directory=None, start=True, env=None,
                 wipe=False):
        self.directory = directory or tempfile.mkdtemp()
        os.makedirs(self.directory, exist_ok=True)
        self.spool = spool_directory or os.path.join(self.directory, "spool")
        self.socket = os.path.join(self.directory, "control.sock")
        self.file = os.path.join(self.directory, "causeway.yaml")
        self.log_file = os.path.join(self.directory, "daemon.log")
        self.port, self.tls_port = free_port(), free_port()
        self.env, self.process = env or {}, None
        self.wipe = wipe	# a spool takes 200 MB, and nobody looks later
        self.parts = {"peers": peers, "gateway": gateway, "listen": listen,
                      "spool": spool, "study": study, "routes": routes,
                      "destinations": destinations, "more": more,
                      "level": level}
        self.configure()
        if start:
            self.start()

    # -- the configuration

    def yaml(self):
        p = self.parts
        listen = p["listen"] or "{address: 127.0.0.1, port: %d}" % self.port
        lines = [
            "gateway: {%s}" % ", ".join(filter(None, [
                "" if "ae_title" in p["gateway"] else
                "ae_titles: [CAUSEWAY, OLDPACS]",
                "listen: [%s]" % listen.replace("TLS_PORT", str(self.tls_port))
                .replace("PORT", str(self.port)),
                "control_socket: %s" % self.socket, p["gateway"]])),
            "log: {level: %s}" % p["level"],
            "spool: {%s}" % ", ".join(filter(None, [
                "directory: %s" % self.spool,
                "" if "reserve" in p["spool"] else "reserve: 1MiB",
                p["spool"]])),
            "study: {%s}" % (p["study"] or "complete_after: 1s")]
        for name in ("peers", "destinations", "routes"):
            if p[name]:
                lines.append("%s: %s" % (
                    name, p[name] if p[name].lstrip(" ").startswith("[")
                    else "\n" + p[name].strip("\n")))
        return "\n".join(lines + [p["more"]]) + "\n"

    def configure(self, **parts):
        self.parts.update(parts)
        with open(self.file, "w") as f:
            f.write(self.yaml())

    def reload(self, **parts):
        """By causewayctl; its Outcome."""
        self.configure(**parts)
        return self.ctl("reload")

    # -- the daemon

    def start(self, wait=True, **env):
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(
                [DAEMON, "-c", self.file], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, env=dict(os.environ, **self.env, **env))
        if wait:
            self.wait_ready()

    def wait_ready(self):
        wait_for(self.listens, PATIENCE, "the daemon to listen")

    def listens(self):
        assert self.process.poll() is None, "the daemon ended: %s\n%s" % (
            self.process.returncode, self.log()[-3000:])
        ports = [self.port]
        if "TLS_PORT" in (self.parts["listen"] or ""):
            ports.append(self.tls_port)
        for family, address in [(socket.AF_UNIX, self.socket)] + [
                (socket.AF_INET, ("127.0.0.1", p)) for p in ports]:
            with socket.socket(family) as s:
                if s.connect_ex(address) != 0:
                    return False
        return True

    @property
    def pid(self):
        return self.process.pid

    def wait_end(self, timeout=PATIENCE):
        return self.process.wait(timeout)

    def stop(self, sig=signal.SIGTERM):
        """Returns the exit status."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(sig)
        try:
            status = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        self.process = None
        return status

    def kill(self):
        self.stop(signal.SIGKILL)

    def restart(self, **env):
        status = self.stop()
        self.start(**env)
        return status

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if self.process is not None:
            status = self.stop()
            if kind is None and status not in (0, -signal.SIGKILL):
                print("not ok - the daemon ends well: status %s\n%s" % (
                    status, self.log()[-3000:]))
        if self.wipe and kind is None:
            shutil.rmtree(self.spool, ignore_errors=True)

    # -- what it says

    def log(self):
        with open(self.log_file, encoding="utf-8", errors="backslashreplace") as f:
            return f.read()

    def log_mark(self):
        return os.path.getsize(self.log_file)

    def log_since(self, mark):
        with open(self.log_file, "rb") as f:
            f.seek(mark)
            return f.read().decode("utf-8", "backslashreplace")

    def wait_log(self, pattern, mark=0, timeout=10):
        """The match of a regular expression in what was logged since mark."""
        return wait_for(lambda: re.search(pattern, self.log_since(mark)), timeout,
                        "%r in the log" % pattern)

    def ctl(self, *args, timeout=30, **env):
        return run(CTL, "-s", self.socket, *args, timeout=timeout, env=env)

    def json(self, *args):
        got = self.ctl("--json", *args)
        assert got.status == 0, "causewayctl %s: %d: %s" % (
            " ".join(args), got.status, got.out)
        return json.loads(got.out)

    # -- the API, without causewayctl

    def api(self, path, method="GET", body=None):
        """(status, the JSON document, or bytes where it is none)"""
        connection = Unix(self.socket)
        try:
            connection.request(method, "/v1/" + path,
                               json.dumps(body) if body is not None else None,
                               {"Content-Type": "application/json"})
            reply = connection.getresponse()
            data = reply.read()
        finally:
            connection.close()
        if reply.getheader("Content-Type") == "application/json":
            data = json.loads(data)
        return reply.status, data

    def get(self, path):
        status, data = self.api(path)
        assert status == 200, "GET %s: %d %s" % (path, status, data)
        return data

    def status(self):
        return self.get("status")

    def study(self, uid):
        """None when there is no such study."""
        status, data = self.api("studies/" + uid)
        return data if status == 200 else None

    def instances(self, uid):
        """Of a study, all pages."""
        found, after = [], 0
        while after is not None:
            page = self.get("studies/%s/instances?limit=1000&after=%d" %
                            (uid, after))
            found += page["instances"]
            after = page["next"]
        return found

    def exported(self, uid):
        """The files of a study: part10.File, with .version and .id"""
        files = []
        for instance in self.instances(uid):
            f = part10.File(data=self.get("instances/%d/file" % instance["id"]))
            f.version, f.id = instance["version"], instance["id"]
            files.append(f)
        return files

    def running(self):
        return self.status()["associations"]["running"]

    def wait_idle(self, n=0):
        """Until no more than n associations run."""
        wait_for(lambda: self.running() <= n, PATIENCE, "associations to end")
