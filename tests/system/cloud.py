#!/usr/bin/env python3
"""cloud.py - a real DICOMweb server: Orthanc behind nginx, with TLS and a password.

    cloud.py start DIR [--overwrite] [--no-rest] [--max-body SIZE]
    cloud.py stop DIR
    cloud.py show DIR
    cloud.py run DIR [...]       until its standard input ends

Everything lies below DIR and listens on free ports of 127.0.0.1: configuration,
storage, certificates, logs. The system's own Orthanc and nginx are not touched.
start returns when it answers, and prints DIR/cloud.json:

    url, rest      of DICOMweb, and of Orthanc's own interface (both by nginx)
    ca             the CA's certificate, for tls: {ca_file: ...}
    user, password, password_file
    orthanc        Orthanc itself, plain and without a password
    pids

--overwrite: a POST replaces what is there (OverwriteInstances). --no-rest: nginx
shows DICOMweb alone. --max-body: nginx's client_max_body_size.
"""
import argparse
import base64
import json
import os
import select
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import urllib.error
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import certs  # noqa: E402

PLUGIN = "/usr/share/orthanc/plugins/libOrthancDicomWeb.so"
USER = "site7"
PASSWORD = "demo-password"
START_SECONDS = 60
STOP_SECONDS = 20
ATTEMPTS = 3


def find_program(*names):
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    for name in names:
        found = shutil.which(name, path=path)
        if found:
            return found
    raise SystemExit("cloud.py: %s is not installed" % names[0])


def free_ports(n):
    sockets = [socket.socket() for _ in range(n)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def write(path, text, mode=0o644):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(fd, "w") as f:
        f.write(text)
    return path


# --- processes, known by number and by when they began ----------------------

def birth(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rpartition(")")[2].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        return None


def wait_for_end(pid, seconds):
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([fd], [], [], seconds)[0])
    finally:
        os.close(fd)


def end_process(entry):
    pid = entry["pid"]
    if birth(pid) != entry["birth"]:
        return
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(pid, sign)
        except ProcessLookupError:
            return
        if wait_for_end(pid, STOP_SECONDS):
            break
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass


class Cloud:
    """start() it, read .info, stop() it."""

    def __init__(self, directory, overwrite=False, rest=True, detach=False,
                 max_body="0", orthanc=None):
        self.directory = os.path.abspath(directory)
        self.overwrite = overwrite
        self.rest = rest
        self.detach = detach
        self.max_body = max_body
        self.extra = orthanc or {}
        self.processes = []
        self.info = None

    def path(self, *names):
        return os.path.join(self.directory, *names)

    # -- configuration

    def write_orthanc(self, port):
        os.makedirs(self.path("orthanc", "storage"), exist_ok=True)
        config = {
            "Name": "cloud",
            "StorageDirectory": self.path("orthanc", "storage"),
            "IndexDirectory": self.path("orthanc", "storage"),
            "HttpPort": port,
            "HttpServerEnabled": True,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomServerEnabled": False,
            "OverwriteInstances": self.overwrite,
            "StorageCompression": False,
            "HttpDescribeErrors": True,
            "KeepAlive": True,
            "TcpNoDelay": True,
            "Plugins": [PLUGIN],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/",
                         "EnableWado": False},
        }
        config.update(self.extra)
        return write(self.path("orthanc", "orthanc.json"),
                     json.dumps(config, indent=1))

    def write_nginx(self, port, orthanc_port, made):
        os.makedirs(self.path("nginx"), exist_ok=True)
        hashed = subprocess.run(
            ["openssl", "passwd", "-apr1", PASSWORD], check=True, text=True,
            stdout=subprocess.PIPE).stdout.strip()
        write(self.path("nginx", "htpasswd"), "%s:%s\n" % (USER, hashed))
        temporary = "".join(
            "    %s_temp_path %s;\n" % (kind, self.path("nginx", kind))
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        return write(self.path("nginx", "nginx.conf"), """\
%(user)sworker_processes 1;
daemon off;
pid %(nginx)s/nginx.pid;
error_log %(nginx)s/error.log;
events { worker_connections 256; }
http {
    access_log %(nginx)s/access.log;
%(temporary)s\
    server {
        listen 127.0.0.1:%(port)d ssl;
        server_name localhost;
        ssl_certificate %(certs)s/server.pem;
        ssl_certificate_key %(certs)s/server.key;
        ssl_protocols TLSv1.2 TLSv1.3;
        client_max_body_size %(max_body)s;
        auth_basic "cloud";
        auth_basic_user_file %(nginx)s/htpasswd;
        location %(location)s {
            proxy_pass http://127.0.0.1:%(orthanc)d;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_request_buffering off;
            proxy_buffering off;
            proxy_read_timeout 600s;
        }
    }
}
""" % {"user": "user root;\n" if os.geteuid() == 0 else "",
            "nginx": self.path("nginx"), "temporary": temporary, "port": port,
            "certs": made, "max_body": self.max_body,
            "location": "/" if self.rest else "/dicom-web/",
            "orthanc": orthanc_port})

    # -- life

    def spawn(self, name, argv):
        with open(self.path(name, "output.log"), "ab") as log:
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=self.directory, start_new_session=self.detach)
        self.processes.append(process)
        return process

    def answers(self):
        request = urllib.request.Request(self.info["url"] + "/studies?limit=1")
        login = "%s:%s" % (USER, PASSWORD)
        request.add_header("Authorization", "Basic " +
                           base64.b64encode(login.encode()).decode())
        context = ssl.create_default_context(cafile=self.info["ca"])
        try:
            with urllib.request.urlopen(request, timeout=5, context=context):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def wait_until_ready(self):
        pause = threading.Event()
        for _ in range(START_SECONDS * 20):
            if any(p.poll() is not None for p in self.processes):
                return False
            if self.answers():
                return True
            pause.wait(0.05)
        return False

    def try_start(self):
        made = certs.make(self.path("certs"))
        port, orthanc_port = free_ports(2)
        origin = "https://localhost:%d" % port
        orthanc = self.write_orthanc(orthanc_port)
        nginx = self.write_nginx(port, orthanc_port, made)
        secret = write(self.path("password"), PASSWORD + "\n", 0o600)
        self.info = {
            "url": origin + "/dicom-web", "rest": origin,
            "ca": os.path.join(made, "ca.pem"), "user": USER,
            "password": PASSWORD, "password_file": secret,
            "orthanc": "http://127.0.0.1:%d" % orthanc_port}
        self.processes = []
        self.spawn("orthanc", [find_program("Orthanc"), orthanc])
        self.spawn("nginx", [find_program("nginx"), "-p", self.path("nginx"),
                             "-c", nginx, "-e",
                             self.path("nginx", "error.log")])
        return self.wait_until_ready()

    def start(self):
        os.makedirs(self.directory, exist_ok=True)
        for _ in range(ATTEMPTS):
            if self.try_start():
                break
            self.stop()
        else:
            raise RuntimeError("the server does not start, see %s and %s" % (
                self.path("orthanc", "output.log"),
                self.path("nginx", "error.log")))
        self.info["pids"] = [{"pid": p.pid, "birth": birth(p.pid)}
                             for p in self.processes]
        write(self.path("cloud.json"), json.dumps(self.info, indent=1) + "\n",
              0o600)
        return self.info

    def stop(self):
        """nginx first: nobody talks to half a server."""
        for process in reversed(self.processes):
            if process.poll() is None:
                process.terminate()
        for process in self.processes:
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes = []


def load(directory):
    with open(os.path.join(directory, "cloud.json")) as f:
        return json.load(f)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("verb", choices=["start", "stop", "show", "run"])
    parser.add_argument("directory")
    parser.add_argument("--overwrite", action="store_true")
    parser.add_argument("--no-rest", action="store_true")
    parser.add_argument("--max-body", default="0")
    args = parser.parse_args()
    if args.verb in ("start", "run"):
        cloud = Cloud(args.directory, overwrite=args.overwrite,
                      rest=not args.no_rest, detach=args.verb == "start",
                      max_body=args.max_body)
        info = cloud.start()
        sys.stdout.write(json.dumps(info, indent=1 if cloud.detach else None)
                         + "\n")
        sys.stdout.flush()
        if args.verb == "run":
            sys.stdin.read()
            cloud.stop()
    elif args.verb == "show":
        print(json.dumps(load(args.directory), indent=1))
    else:
        for entry in reversed(load(args.directory)["pids"]):
            end_process(entry)
        os.unlink(os.path.join(args.directory, "cloud.json"))


if __name__ == "__main__":
    main()
