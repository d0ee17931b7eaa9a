"""peers.py - who is measured by `make bench`: Causeway, storescp, Orthanc, and the
sink that uploads go to. Each runs from a directory of its own on a free port of
127.0.0.1 and is ended by its process number.
"""
import json
import os
import shutil
import subprocess
import threading
import urllib.request

import certs
import cloud
import gateway
from checks import memory, wait_for

TICKS = os.sysconf("SC_CLK_TCK")
START_SECONDS = 60


def tree(pid):
    """A process and all below it."""
    found = [pid]
    for p in found:
        try:
            for task in os.listdir("/proc/%d/task" % p):
                with open("/proc/%d/task/%s/children" % (p, task)) as f:
                    found += [int(c) for c in f.read().split()]
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


def cpu_seconds(pid):
    """User and system time of a process, its ended children included, and of
    what lives below it; from /proc/PID/stat."""
    ticks = 0
    for p in tree(pid):
        try:
            with open("/proc/%d/stat" % p) as f:
                fields = f.read().rpartition(")")[2].split()
            ticks += sum(int(n) for n in fields[11:15])
        except (FileNotFoundError, ProcessLookupError):
            pass
    return ticks / TICKS


class AnonymousPeak:
    """The most RssAnon of a process, looked at every 10 ms; VmHWM besides."""

    def __init__(self, pid):
        self.pid, self.peak, self.hwm = pid, 0, 0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()

    def look(self):
        self.peak = max(self.peak, memory(self.pid, "RssAnon"))
        self.hwm = max(self.hwm, memory(self.pid, "VmHWM"))

    def watch(self):
        while not self.ended.wait(0.01):
            self.look()

    def stop(self):
        self.look()
        self.ended.set()
        self.thread.join()


class Peer:
    """Senders connect to port `to` and call it by `called`."""

    called = "ANY-SCP"

    def __init__(self, directory, env=None):
        self.directory = directory
        self.env = dict(os.environ, **(env or {}))
        self.to = self.port = gateway.free_port()
        self.process = None
        os.makedirs(directory, exist_ok=True)

    def spawn(self, command):
        with open(os.path.join(self.directory, "log"), "ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=self.env, cwd=self.directory)
        wait_for(self.ready, START_SECONDS, "%s to answer" % command[0])

    def check(self):
        """That it still runs."""
        if self.process.poll() is not None:
            with open(os.path.join(self.directory, "log"), errors="replace") as f:
                raise RuntimeError("%s ended with status %s: %s" % (
                    self.process.args[0], self.process.returncode,
                    f.read()[-1000:]))

    def ready(self):
        self.check()
        return self.answers()

    def answers(self):
        with gateway.socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    @property
    def pid(self):
        return self.process.pid

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


class Storescp(Peer):
    """stock: as it comes. Else what makes it fastest: a process for each
    association, data sets straight to disk, large PDUs, no Nagle."""

    name = "storescp"

    def __init__(self, directory, stock=True, tls=None):
        super().__init__(directory, {} if stock else {"TCP_NODELAY": "1"})
        self.stock, self.tls = stock, tls

    def start(self):
        files = os.path.join(self.directory, "files")
        os.makedirs(files)
        command = ["storescp", "-od", files]
        if not self.stock:
            command += ["-q", "-dhl", "--fork", "+B", "-pdu", "131072"]
        if self.tls:
            command += ["+tls", self.tls + "/server.key",
                        self.tls + "/server.pem", "-ic"]
        self.spawn(command + [str(self.port)])


class Orthanc(Peer):
    """stock: as it comes, which includes SyncStorageArea. Else tuned besides:
    large PDUs, eight threads, no MD5, no Nagle."""

    name = "Orthanc"

    def __init__(self, directory, stock=True, tls=None):
        super().__init__(directory, {} if stock else {"TCP_NODELAY": "1"})
        self.http = gateway.free_port()
        files = os.path.join(directory, "files")
        self.config = {
            "Name": "bench", "StorageDirectory": files, "IndexDirectory": files,
            "HttpPort": self.http, "DicomPort": self.port,
            "RemoteAccessAllowed": False, "AuthenticationEnabled": False,
            "SyncStorageArea": True, "Plugins": []}
        if not stock:
            self.config.update({"MaximumPduLength": 131072,
                                "DicomThreadsCount": 8,
                                "StoreMD5ForAttachments": False})
        if tls:
            self.config.update({
                "DicomTlsEnabled": True,
                "DicomTlsCertificate": tls + "/server.pem",
                "DicomTlsPrivateKey": tls + "/server.key",
                "DicomTlsTrustedCertificates": tls + "/ca.pem",
                "DicomTlsRemoteCertificateRequired": False})

    def start(self):
        os.makedirs(os.path.join(self.directory, "files"))
        path = os.path.join(self.directory, "orthanc.json")
        with open(path, "w") as f:
            json.dump(self.config, f)
        self.spawn([cloud.find_program("Orthanc"), path])

    def answers(self):
        try:
            with urllib.request.urlopen("http://127.0.0.1:%d/system" % self.http,
                                        timeout=5):
                return super().answers()
        except OSError:
            return False


class Causeway(gateway.Gateway):
    """As it comes. Nothing leaves before complete_after; unless a sink is
    given, nothing ever does."""

    name, called = "Causeway", "CAUSEWAY"

    def __init__(self, directory, tls=None, sink=None, complete_after="30min",
                 keep_delivered="7d", more_gateway=""):
        listen = "{address: 127.0.0.1, port: PORT}"
        if tls:
            listen += (", {address: 127.0.0.1, port: TLS_PORT, tls: "
                       "{certificate_file: %s/server.pem, key_file: "
                       "%s/server.key}}" % (tls, tls))
        super().__init__(
            directory=directory, listen=listen, start=False,
            gateway=more_gateway, study="complete_after: " + complete_after,
            spool="reserve: 100MiB, keep_delivered: " + keep_delivered,
            destinations=sink.destination if sink else None,
            more="" if sink else "unrouted: hold")
        self.to = self.tls_port if tls else self.port

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def wait_delivered(self, count, sink, seconds):
        def delivered():
            sink.check()
            return self.get("metrics")["causeway_delivered_total"] >= count

        self.wait(delivered, seconds, "%d deliveries" % count)

    def wait(self, condition, seconds, what):
        try:
            wait_for(condition, seconds, what)
        except AssertionError as late:
            raise RuntimeError("%s; at the end it said\n%s" % (
                late, self.log()[-2000:])) from None

    def wait_arrived(self, count, sink, seconds):
        """At the sink, confirmed or not."""
        def arrived():
            sink.check()
            return sink.count() >= count

        self.wait(arrived, seconds, "%d instances" % count)

    def wait_empty(self, seconds):
        """Until all is delivered and the bytes are gone."""
        wait_for(lambda: self.status()["spool"]["kept_bytes"] == 0, seconds,
                 "the spool to be empty")


NGINX = """\
%(user)sworker_processes auto;
daemon off;
pid %(dir)s/nginx.pid;
error_log %(dir)s/error.log;
events { worker_connections 256; }
http {
    access_log off;
    client_body_temp_path %(dir)s/body;
    proxy_temp_path %(dir)s/proxy;
    fastcgi_temp_path %(dir)s/fastcgi;
    uwsgi_temp_path %(dir)s/uwsgi;
    scgi_temp_path %(dir)s/scgi;
    upstream sink { server unix:%(socket)s; keepalive 32; }
    server {
        listen %(address)s:%(port)d ssl;
        ssl_certificate %(certs)s/%(certificate)s.pem;
        ssl_certificate_key %(certs)s/%(certificate)s.key;
        ssl_protocols TLSv1.2 TLSv1.3;
        client_max_body_size 0;
        client_body_buffer_size 256k;
        keepalive_requests 100000;
        location / {
            proxy_pass http://sink;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_request_buffering off;
        }
    }
}
"""


class SinkProgram(Peer):
    def __init__(self, directory, program):
        super().__init__(directory)
        self.program = program
        self.socket = os.path.join(directory, "sink")

    def start(self):
        self.spawn([self.program, self.socket])

    def answers(self):
        return os.path.exists(self.socket)


IMPORT = """\
[{name: sink, type: healthimaging, region: eu-west-1, datastore_id: %(store)s,
  input: s3://bench/in, output: s3://bench/out, data_access_role: %(role)s,
  s3_endpoint: %(url)s, api_endpoint: %(url)s, dicomweb_endpoint: %(url)s,
  path_style: true, batch_time: 24h, connections: %(connections)d,
  tls: {ca_file: %(certs)s/ca.pem},
  credential: {type: aws_profile, credentials_file: %(keys)s}%(more)s}]"""


class Sink(Peer):
    """nginx with TLS in front of tests/bench/sink.c. there: a network.Line, at whose
    far end it is; else it is at 127.0.0.1."""

    def __init__(self, directory, program, made, connections=4, there=None):
        super().__init__(directory)
        self.behind = SinkProgram(directory, program)
        self.certs, self.connections, self.there = made, connections, there
        self.address, self.certificate, host = "127.0.0.1", "server", "localhost"
        if there is not None:
            self.address = host = there.far
            self.certificate = "far"
            if not os.path.exists(made + "/far.pem"):
                certs.make_certificate(made, "far", "sink",
                                       "subjectAltName=IP:" + there.far)
        self.url = "https://%s:%d" % (host, self.port)
        self.stow_url = self.url + "/dicom-web"
        self.destination = self.stow()

    # -- what it is for a gateway; more: YAML besides

    def stow(self, more=""):
        return ("[{name: sink, type: dicomweb, url: %s, connections: %d, "
                "tls: {ca_file: %s/ca.pem}%s}]" % (
                    self.stow_url, self.connections, self.certs, more))

    def imports(self, more=""):
        """Of HealthImaging: files are put, and none of their batches is closed as
        long as anybody measures."""
        keys = os.path.join(self.directory, "keys")
        with open(keys, "w") as f:
            f.write("[default]\naws_access_key_id = AKIABENCH\n"
                    "aws_secret_access_key = bench\n")
        os.chmod(keys, 0o600)
        return IMPORT % {
            "url": self.url, "certs": self.certs, "keys": keys, "more": more,
            "connections": self.connections, "store": "0" * 32,
            "role": "arn:aws:iam::123456789012:role/bench"}

    def start(self):
        self.behind.start()
        path = os.path.join(self.directory, "nginx.conf")
        with open(path, "w") as f:
            f.write(NGINX % {
                "user": "user root;\n" if os.geteuid() == 0 else "",
                "dir": self.directory, "socket": self.behind.socket,
                "address": self.address, "port": self.port, "certs": self.certs,
                "certificate": self.certificate})
        command = [cloud.find_program("nginx"), "-p", self.directory, "-c", path,
                   "-e", os.path.join(self.directory, "error.log")]
        self.spawn(self.there.at_far_end(command) if self.there else command)

    def answers(self):
        with gateway.socket.socket() as s:
            return s.connect_ex((self.address, self.port)) == 0

    def check(self):
        super().check()
        self.behind.check()

    def stop(self):
        super().stop()
        self.behind.stop()

    def ask(self, path):
        """Behind nginx, so that asking burdens no line."""
        connection = gateway.Unix(self.behind.socket)
        try:
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def stats(self):
        """What came since the last call; see sink.c."""
        return self.ask("/stats")

    def count(self):
        return self.ask("/count")


def versions():
    def first_line(*command):
        try:
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True,
                                  stderr=subprocess.STDOUT, check=False)
            return done.stdout.splitlines()[0].strip("$ ")
        except (FileNotFoundError, IndexError):
            return "?"

    return {"causeway": first_line(gateway.DAEMON, "-V"),
            "dcmtk": first_line("storescp", "--version"),
            "orthanc": first_line(cloud.find_program("Orthanc"), "--version"),
            "nginx": first_line(cloud.find_program("nginx"), "-v"),
            "curl": first_line("curl", "--version")}
