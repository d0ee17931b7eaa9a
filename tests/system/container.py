"""container.py - a Debian of its own, with systemd as its first process.

    root = make_root(directory, ["python3"])   # by mmdebstrap; Unavailable: why not
    with Container(root) as c:
        c.run("systemctl", "start", "x")       # inside
        c.join_network()                       # this process, and its threads to come

The packages come from where the machine's own do. What mmdebstrap made is kept as a
tar below CAUSEWAY_CACHE (else TMPDIR) and is not made again. Only for root.
"""
import ctypes
import glob
import hashlib
import os
import re
import shutil
import signal
import subprocess
import urllib.error
import urllib.request

from checks import run, wait_for

BASE = ("systemd", "systemd-sysv", "dbus")
CLONE_NEWNET = 0x40000000
MAKE_SECONDS = 240
BOOT_SECONDS = 60
STOP_SECONDS = 20


class Unavailable(Exception):
    """It cannot be had on this machine, and why."""


# ---- packages --------------------------------------------------------------------

def packages_of(program):
    """Those whose libraries a program is linked with."""
    got = run("ldd", program)
    assert got.status == 0, got.out
    found = set()
    for path in re.findall(r"=> (/\S+)", got.out):
        for name in {path, "/usr" + path, path.removeprefix("/usr")}:
            owner = run("dpkg-query", "-S", name)
            if owner.status == 0:
                found.add(owner.out.split(":")[0])
                break
        else:
            raise Unavailable("%s belongs to no package" % path)
    return sorted(found)


def find_sources():
    """(suite, lines of sources.list) of the distribution that this is."""
    got = run("apt-get", "indextargets", "--format",
              "$(ORIGIN)|$(REPO_URI)|$(CODENAME)|$(COMPONENT)",
              "Created-By: Packages")
    with open("/etc/os-release") as f:
        release = f.read()
    name = re.search(r'^VERSION_CODENAME="?(\w+)', release, re.M)
    if got.status != 0 or name is None:
        raise Unavailable("this machine's sources of packages are unknown")
    lines = {}
    for text in got.out.splitlines():
        origin, url, suite, component = text.split("|")
        if origin in ("Debian", "Ubuntu") and suite.split("-")[0] == name[1]:
            lines[(url, suite, component)] = "deb %s %s %s" % (url, suite, component)
    if not lines:
        raise Unavailable("apt-get update has fetched no lists of packages")
    return name[1], list(lines.values())


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=20):
            return True
    except (urllib.error.URLError, OSError):
        return False


def make_tar(path, packages):
    suite, lines = find_sources()
    made = path + ".new"
    command = ["mmdebstrap", "--quiet", "--variant=minbase", "--format=tar",
               "--include=" + ",".join(packages), suite, made]
    done = subprocess.run(command + lines, stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=MAKE_SECONDS, check=False)
    if done.returncode == 0:
        os.rename(made, path)
        return
    url, release = lines[0].split(" ")[1:3]
    if not answers("%s/dists/%s/InRelease" % (url.rstrip("/"), release)):
        raise Unavailable("%s does not answer" % url)
    raise RuntimeError("mmdebstrap: %s" % done.stdout[-2000:])


def make_root(directory, packages=()):
    """A fresh one each time."""
    for tool in ("mmdebstrap", "systemd-nspawn", "nsenter", "apt-get"):
        if shutil.which(tool, path=os.environ["PATH"] + ":/usr/sbin") is None:
            raise Unavailable("%s is not installed" % tool)
    packages = sorted({*BASE, *packages})
    cache = os.environ.get("CAUSEWAY_CACHE") or os.environ["TMPDIR"]
    os.makedirs(cache, exist_ok=True)
    tar = os.path.join(cache, "root-%s.tar" % hashlib.sha256(
        " ".join(packages + find_sources()[1]).encode()).hexdigest()[:16])
    if not os.path.exists(tar):
        make_tar(tar, packages)
    os.makedirs(directory)
    got = run("tar", "-C", directory, "--numeric-owner", "--xattrs", "-xpf", tar,
              timeout=120)
    assert got.status == 0, got.out
    for name, text in (("hostname", "gateway\n"), ("machine-id", ""),
                       ("hosts", "127.0.0.1 localhost\n")):
        with open(os.path.join(directory, "etc", name), "w") as f:
            f.write(text)
    return directory


# ---- running it ------------------------------------------------------------------

def children(pid):
    found = []
    for path in glob.glob("/proc/%d/task/*/children" % pid):
        try:
            with open(path) as f:
                found += [int(word) for word in f.read().split()]
        except OSError:
            pass
    return found


def left_groups():
    """The control groups below ours that systemd-nspawn makes and leaves."""
    with open("/proc/self/cgroup") as f:
        ours = [line.rstrip("\n").split(":", 2)[2] for line in f]
    return {path for base in ours for at in ("", "/unified", "/systemd")
            for name in ("payload", "supervisor")
            for path in glob.glob("/sys/fs/cgroup%s%s/%s" % (
                at, base.rstrip("/"), name))}


def remove_group(path):
    for directory, _, _ in os.walk(path, topdown=False):
        try:
            os.rmdir(directory)
        except OSError:
            pass


def is_first(pid):
    """The first of its namespace of processes, and systemd already."""
    try:
        with open("/proc/%d/status" % pid) as f:
            status = f.read()
    except OSError:
        return False
    return re.search(r"^NSpid:.*\t1$", status, re.M) is not None and \
        re.search(r"^Name:\tsystemd$", status, re.M) is not None


class Container:
    """With a network of its own, which is its loopback."""

    def __init__(self, root):
        self.root, self.leader = root, None
        self.console = os.path.join(os.environ["TMPDIR"], "console.log")

    def __enter__(self):
        self.groups = left_groups()
        with open(self.console, "wb") as console:
            self.process = subprocess.Popen(
                ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit",
                 "--private-network", "--console=pipe", "-D", self.root, "--boot"],
                stdin=subprocess.DEVNULL, stdout=console, stderr=console,
                env=dict(os.environ, SYSTEMD_NSPAWN_UNIFIED_HIERARCHY="1"))
        try:
            self.leader = wait_for(self.find_leader, BOOT_SECONDS, "its first process")
            wait_for(self.has_booted, BOOT_SECONDS, "the container to boot")
        except AssertionError as why:
            self.__exit__(None, None, None)
            with open(self.console, errors="replace") as console:
                raise Unavailable("no container can be booted here: %s: %s" % (
                    why, " ".join(console.read()[-300:].split()))) from None
        return self

    def find_leader(self):
        assert self.process.poll() is None, "systemd-nspawn ends with %d" % \
            self.process.returncode
        left = [self.process.pid]
        while left:
            pid = left.pop()
            if is_first(pid):
                return pid
            left += children(pid)
        return None

    def has_booted(self):
        assert self.process.poll() is None, "it ended"
        return self.run("systemctl", "is-system-running").out.strip() in (
            "running", "degraded")

    def __exit__(self, kind, value, trace):
        if self.leader is not None and self.process.poll() is None:
            os.kill(self.leader, signal.SIGRTMIN + 4)  # systemd(1): poweroff
        elif self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for path in left_groups() - self.groups:
            remove_group(path)

    def path(self, name):
        """Of a file inside, as those inside see it; also below its /run."""
        return "/proc/%d/root%s" % (self.leader, name)

    def run(self, *command, timeout=60):
        # Its root directory, too: it is not its namespace's where we are in a chroot.
        return run("nsenter", "-t", self.leader, "-m", "-u", "-i", "-n", "-p", "-C",
                   "-r", "-w", *command, timeout=timeout)

    def ok(self, *command):
        got = self.run(*command)
        assert got.status == 0, "%s: %s" % (" ".join(command), got.out)
        return got.out

    def join_network(self):
        """For this thread and what it starts from now on."""
        with open("/proc/%d/ns/net" % self.leader) as f:
            if ctypes.CDLL(None, use_errno=True).setns(f.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
