"""network.py - a line of so many bits a second, between two networks of our own.

    why = network.missing()                  # "" or why it cannot be had here
    with network.Line("100mbit") as line:
        line.near, line.far                  # the addresses of its ends
        line.at_far_end(["nginx", ...])      # the command as it runs over there
        line.carried()                       # bytes that went in, near to far
        line.measure(5)                      # iperf3: bytes a second of TCP

The thread that enters it, and all that it starts, are at the near end until it leaves.
Only what goes from near to far is limited (tc tbf). There is no IPv6, so that nothing
moves but what somebody sends.
"""
import ctypes
import json
import os
import shutil
import subprocess

from checks import wait_for

CLONE_NEWNET = 0x40000000
NEAR, FAR, BITS = "10.99.0.1", "10.99.0.2", 24
TOOLS = ("ip", "tc", "iperf3", "sysctl")
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


class Failed(Exception):
    pass


def run(*command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env=dict(os.environ, PATH=PATH), check=False)
    if done.returncode != 0:
        raise Failed("%s: %s" % (" ".join(command), done.stdout.strip()))
    return done.stdout


def missing():
    """Why there is no such line here; "" when there is."""
    if os.geteuid() != 0:
        return "networks of our own want root"
    for tool in TOOLS:
        if not shutil.which(tool, path=PATH):
            return "%s is not installed" % tool
    try:
        with Line("1gbit"):
            return ""
    except (Failed, OSError) as why:
        return str(why)


class Line:
    near, far = NEAR, FAR

    def __init__(self, rate, burst="256kb"):
        self.rate, self.burst = rate, burst
        self.names = ["cw%d%s" % (os.getpid(), end) for end in "ab"]
        self.home = self.server = None

    def __enter__(self):
        try:
            self.make()
            self.home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
            self.enter("/run/netns/" + self.names[0])
        except BaseException:
            self.remove()
            raise
        return self

    def make(self):
        for name, address in zip(self.names, (NEAR, FAR)):
            run("ip", "netns", "add", name)
            run("ip", "netns", "exec", name, "sysctl", "-q", "-w",
                "net.ipv6.conf.all.disable_ipv6=1",
                "net.ipv6.conf.default.disable_ipv6=1")
        run("ip", "link", "add", "line0", "netns", self.names[0], "type", "veth",
            "peer", "name", "line0", "netns", self.names[1])
        for name, address in zip(self.names, (NEAR, FAR)):
            run("ip", "-n", name, "addr", "add", "%s/%d" % (address, BITS), "dev",
                "line0")
            run("ip", "-n", name, "link", "set", "lo", "up")
            run("ip", "-n", name, "link", "set", "line0", "up")
        run("tc", "-n", self.names[0], "qdisc", "add", "dev", "line0", "root", "tbf",
            "rate", self.rate, "burst", self.burst, "latency", "50ms")

    @staticmethod
    def enter(path):
        libc = ctypes.CDLL(None, use_errno=True)
        fd = path if isinstance(path, int) else os.open(path, os.O_RDONLY)
        try:
            if libc.setns(fd, CLONE_NEWNET) != 0:
                raise Failed("setns: %s" % os.strerror(ctypes.get_errno()))
        finally:
            os.close(fd)

    def __exit__(self, *_):
        if self.server is not None:
            self.server.kill()
            self.server.wait()
        home, self.home = self.home, None
        self.enter(home)
        self.remove()

    def remove(self):
        if self.home is not None:
            os.close(self.home)
            self.home = None
        for name in self.names:
            try:
                run("ip", "netns", "delete", name)
            except Failed:
                pass

    # -- its ends

    def at_far_end(self, command):
        return ["ip", "netns", "exec", self.names[1], *command]

    def carried(self):
        shown = json.loads(run("ip", "-n", self.names[0], "-s", "-j", "link", "show",
                               "dev", "line0"))
        return shown[0]["stats64"]["tx"]["bytes"]

    def cut(self, cut=True):
        """Nothing goes through any more, and nobody is told."""
        run("ip", "-n", self.names[1], "link", "set", "line0",
            "down" if cut else "up")

    def measure(self, seconds):
        """What iperf3 gets, in bytes a second as they arrive."""
        if self.server is None:
            self.server = subprocess.Popen(
                self.at_far_end(["iperf3", "-s", "-B", FAR]), text=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL, env=dict(os.environ, PATH=PATH))
            wait_for(self.answers, 10, "iperf3 to listen")
        got = json.loads(run("iperf3", "-c", FAR, "-t", str(seconds), "-J"))
        return got["end"]["sum_received"]["bits_per_second"] / 8

    def answers(self):
        return FAR + ":5201" in run(*self.at_far_end(["ss", "-ltn"]))
