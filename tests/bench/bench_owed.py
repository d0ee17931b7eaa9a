"""bench_owed.py - what it costs to owe very much: instances wait for three destinations
of which one is down, one held and one closed by its windows, while others come that go
to a fourth one.

Told are causewayd's anonymous memory, and of an instance that comes then: how long
until its request is at the sink (it is stat, so nothing waits for its study to be
complete), and what the scheduler's thread spent for it; with a thousand that wait,
and with a million. Most of those are in the index alone (tests/bench/owe.c).
"""
import os
import statistics
import subprocess
import time

import data
import gateway
import part10
import peers
from checks import wait_for
from dicomraw import EXPLICIT_LE, Association, Context, Refused

WAITING = ("down", "held", "closed")
PER_STUDY, PEERS = 20, 20
PATIENCE = 300
MEMORY_MIB = 128
YAML = """\
[{name: down, type: dicomweb, url: 'http://localhost:%(dead)d'},
 {name: held, type: dicomweb, url: 'http://localhost:%(dead)d'},
 {name: closed, type: dicomweb, url: 'http://localhost:%(dead)d',
  windows: [{rate: none}]},
 %(sink)s]"""
ROUTES = "[{from: NEW, to: sink, final: true}, {to: [down, held, closed]}]"
PEERS_YAML = ("[{ae_title: NEW, priority: stat, address: 127.0.0.0/8}, "
              "{ae_title: '*', address: 127.0.0.0/8}]")


class Fresh:
    """The same image again and again, under other UIDs."""

    def __init__(self, path):
        file = part10.File(path)
        self.data, self.sop_class = file.dataset, data.CT
        at = self.data.index(b"2.25.1")	# of group 0008; those of 0020 follow
        self.old = self.data[at:at + 44]

    def send(self, port):
        """By an association of its own; when it was answered, by our clock."""
        uid, study = data.fresh_uid(), data.fresh_uid()
        made = self.data.replace(self.old, uid.encode())
        at = made.index(b"\x20\x00\x0d\x00UI")
        made = made[:at + 8] + study.encode() + made[at + 8 + 44:]
        try:
            with Association(port, [Context(self.sop_class, [EXPLICIT_LE])],
                             calling="NEW", called="CAUSEWAY") as a:
                if a.store(self.sop_class, uid, made).status != 0:
                    raise AssertionError("it was not stored")
                return time.monotonic()
        except Refused as why:
            raise AssertionError("the association was refused: %s" % why)


def scheduler_seconds(pid):
    """CPU of its thread."""
    for task in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/comm" % (pid, task)) as f:
            if f.read().strip() != "uploader":
                continue
        with open("/proc/%d/task/%s/schedstat" % (pid, task)) as f:
            return int(f.read().split()[0]) / 1e9
    raise AssertionError("no thread of that name")


def owe(b, gw, count):
    """Some received as they should be, the rest by tests/bench/owe.c."""
    b.send(gw, 1, 20, b.files[0])
    wait_for(lambda: gw.status()["spool"]["pending"] == 0, PATIENCE, "routes")
    status, _ = gw.api("destinations/held/hold", "POST", {})
    if status != 200:
        raise AssertionError("it cannot be held")
    gw.stop()
    done = subprocess.run(
        [b.program("owe"), gw.spool, str(count - 20), str(PER_STUDY), str(PEERS),
         *WAITING], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=PATIENCE, check=False)
    if done.returncode != 0:
        raise AssertionError(done.stdout)


def settle(gw, count):
    """Until each is as it will be."""
    def settled():
        found = {d["name"]: d for d in gw.get("destinations")["destinations"]}
        return all(found[n]["state"] == n and found[n]["owed"] == count
                   for n in WAITING)
    wait_for(settled, PATIENCE, "the destinations to be down, held and closed")


def arrive(gw, sink, fresh):
    before = scheduler_seconds(gw.pid)
    answered = fresh.send(gw.port)
    gw.wait_arrived(1, sink, PATIENCE)
    began = sink.stats()["began"]
    wait_for(lambda: gw.get("destinations")["destinations"][3]["owed"] == 0, PATIENCE,
             "its delivery")
    return {"seconds": max(0.0, began - answered),
            "scheduler_s": scheduler_seconds(gw.pid) - before}


def watch(b, sink, count, arrivals):
    gw = peers.Causeway(b.path("peer"), sink=sink, complete_after="100ms")
    gw.configure(routes=ROUTES, peers=PEERS_YAML, destinations=YAML % {
        "dead": gateway.free_port(), "sink": sink.stow()[1:-1]})
    with gw:
        owe(b, gw, count)
        start = time.monotonic()
        gw.start()
        ready = time.monotonic() - start
        peak = peers.AnonymousPeak(gw.pid)
        try:
            settle(gw, count)
            fresh = Fresh(b.files[0])
            arrive(gw, sink, fresh)	# the first has a connection to open
            runs = [arrive(gw, sink, fresh) for _ in range(arrivals)]
        except AssertionError as why:
            raise RuntimeError("%s; at the end it said\n%s" % (
                why, gw.log()[-2000:])) from None
        finally:
            peak.stop()
    return {"waiting": count, "ready_s": ready, "rss_anon_kib": peak.peak,
            "vm_hwm_kib": peak.hwm, "arrivals": runs,
            "median_s": statistics.median(r["seconds"] for r in runs),
            "scheduler_s": statistics.median(r["scheduler_s"] for r in runs)}


def bench_owed(b):
    counts = (1000, 20_000 if b.small else 1_000_000)
    found = []
    with peers.Sink(b.path("sink"), b.program("sink"), b.certs) as sink:
        for count in counts:
            b.show_step("owed: %d instances wait; the index is filled" % count)
            found.append(watch(b, sink, count, 5 if b.small else 25))
    few, many = found
    b.title("instances that wait for three destinations: down, held and closed; one "
            "more comes for a fourth")
    b.row("", "ready s", "anonymous", "its request", "", "scheduler's", "")
    for f in found:
        b.row("%d wait" % f["waiting"], "%.2f" % f["ready_s"],
              "%.1f MiB" % (f["rss_anon_kib"] / 1024),
              "%.0f ms" % (1e3 * f["median_s"]),
              "%.2f x" % (f["median_s"] / few["median_s"]),
              "%.2f ms" % (1e3 * f["scheduler_s"]),
              "%.2f x" % (f["scheduler_s"] / few["scheduler_s"]))
    b.target("target below %d MiB anonymous" % MEMORY_MIB,
             many["rss_anon_kib"] < MEMORY_MIB * 1024)
    b.target("target 1 x until its request (1.5 x counts), and of the scheduler's CPU "
             "(2 x)", many["median_s"] < 1.5 * few["median_s"] and
             many["scheduler_s"] < 2 * few["scheduler_s"])
    b.result["owed"] = found
