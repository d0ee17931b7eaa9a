"""proxies.py - the proxies that hospitals have, squid and tinyproxy, and a wire that
shows what goes through it.

    proxy = Squid(users={"site7": "open sesame"})     # at a free port of 127.0.0.1
    proxy.start(); proxy.stop(); proxy.kill()
    proxy.log()                                       # what it says of requests

Each has all that it writes in a directory of its own. installed(name) says whether
there is one.
"""
import glob
import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import threading

from checks import wait_for
from gateway import PATIENCE, free_port

PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def installed(name):
    return shutil.which(name, path=PATH)


def let_others_in(directory):
    """squid gives up being root, and must still find its files."""
    while directory != "/":
        mode = stat.S_IMODE(os.stat(directory).st_mode)
        if mode & 0o111 != 0o111:
            os.chmod(directory, mode | 0o111)
        directory = os.path.dirname(directory)


class Proxy:
    name = None

    def __init__(self, users=None):
        self.directory = tempfile.mkdtemp(prefix=self.name + "-")
        self.port = free_port()
        self.users, self.process = dict(users or {}), None

    def path(self, *names):
        return os.path.join(self.directory, *names)

    def write(self, name, text):
        with open(self.path(name), "w") as f:
            f.write(text)
        return self.path(name)

    def spawn(self, *command):
        with open(self.path("output.log"), "ab") as log:
            self.process = subprocess.Popen(
                [installed(self.name), *command], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, cwd=self.directory)
        wait_for(self.listens, PATIENCE, "%s to listen" % self.name)

    def listens(self):
        assert self.process.poll() is None, open(self.path("output.log")).read()
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self, sig=signal.SIGTERM):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(sig)
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None

    def kill(self):
        """In the middle of whatever it was."""
        self.stop(signal.SIGKILL)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def url(self, scheme="http"):
        return "%s://localhost:%d" % (scheme, self.port)

    def log(self):
        try:
            with open(self.path("logs", "access.log"), errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""


SQUID = """\
%(kind)s_port 127.0.0.1:%(port)d%(tls)s
pid_filename none
access_log stdio:%(dir)s/logs/access.log
cache_log %(dir)s/logs/cache.log
cache deny all
cache_mem 8 MB
pinger_enable off
shutdown_lifetime 0 seconds
connect_timeout 5 seconds
half_closed_clients off
%(rules)s
http_access deny all
"""
SQUID_USERS = """\
auth_param basic program %(helper)s %(dir)s/users
auth_param basic children 2 startup=1 idle=1
auth_param basic credentialsttl 1 second
acl known proxy_auth REQUIRED
http_access allow known
"""


class Squid(Proxy):
    """users: {name: password}; none: everybody may. rules come before that. made: a
    directory of certs.py: it speaks TLS."""

    name = "squid"

    def __init__(self, users=None, rules="", made=None):
        super().__init__(users)
        self.rules, self.made = rules, made
        os.mkdir(self.path("logs"))
        let_others_in(self.directory)
        if os.geteuid() == 0:
            shutil.chown(self.path("logs"), "proxy" if self.is_known("proxy") else
                         "squid")

    @staticmethod
    def is_known(user):
        with open("/etc/passwd") as f:
            return any(line.startswith(user + ":") for line in f)

    def write_users(self):
        lines = ["%s:%s\n" % (user, subprocess.run(
            ["openssl", "passwd", "-apr1", "-stdin"], input=password, text=True,
            check=True, stdout=subprocess.PIPE).stdout.strip())
            for user, password in self.users.items()]
        self.write("users", "".join(lines))

    def tls(self):
        if self.made is None:
            return ""
        for name in ("server.pem", "server.key"):
            shutil.copyfile(os.path.join(self.made, name), self.path(name))
        return " tls-cert=%s tls-key=%s" % (self.path("server.pem"),
                                            self.path("server.key"))

    def start(self):
        self.write_users()
        helper = glob.glob("/usr/lib*/squid/basic_ncsa_auth") + ["/missing"]
        names = {"dir": self.directory, "port": self.port, "tls": self.tls(),
                 "kind": "https" if self.made else "http", "helper": helper[0]}
        allowed = SQUID_USERS % names if self.users else "http_access allow all"
        names["rules"] = self.rules + "\n" + allowed
        self.spawn("-N", "-f", self.write("squid.conf", SQUID % names))


class Tinyproxy(Proxy):
    name = "tinyproxy"

    def start(self):
        os.makedirs(self.path("logs"), exist_ok=True)
        self.spawn("-d", "-c", self.write("tinyproxy.conf", "".join((
            "Port %d\nListen 127.0.0.1\nTimeout 600\nMaxClients 50\n" % self.port,
            "LogFile \"%s\"\nLogLevel Connect\n" % self.path("logs", "access.log"),
            "".join("BasicAuth %s %s\n" % pair for pair in self.users.items())))))


class Wire:
    """Between us and a proxy: keeps what each of our connections says. Ends with the
    process."""

    def __init__(self, to):
        self.to, self.heard, self.lock = to, [], threading.Lock()
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def url(self):
        return "http://localhost:%d" % self.port

    def accept(self):
        while True:
            peer, _ = self.listener.accept()
            threading.Thread(target=self.carry, args=(peer,), daemon=True).start()

    def carry(self, peer):
        try:
            ahead = socket.create_connection(("127.0.0.1", self.to))
        except OSError:
            peer.close()
            return
        said = bytearray()
        with self.lock:
            self.heard.append(said)
        back = threading.Thread(target=self.copy, args=(ahead, peer, bytearray()),
                                daemon=True)
        back.start()
        self.copy(peer, ahead, said)
        back.join()
        peer.close()
        ahead.close()

    def copy(self, source, sink, said):
        try:
            while True:
                data = source.recv(65536)
                if not data:
                    break
                said += data
                sink.sendall(data)
        except OSError:
            pass
        for s in (source, sink):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def said(self):
        """All that we said, of all connections."""
        with self.lock:
            return b"".join(bytes(one) for one in self.heard)
