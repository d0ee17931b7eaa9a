"""bench_line.py - how much of a line of 100 Mbit/s is filled: STOW and imports of
HealthImaging, with CT and with small MR objects, beside iperf3 on the same line.

Counted are the bodies of requests, from the beginning of the first to the end of the
last answer. Of imports the files that go into S3 are measured; the sink starts no
jobs. All is in the spool before the first request leaves.
"""
import statistics
import threading

import data
import network
import peers

RATE = "100mbit"
PATIENCE = 300
QUIET_S = 3
TARGET = 0.97
CONNECTIONS = 4


def deliver(b, line, sink, destination, source, count):
    """What the sink has to say of it; CPU of the gateway besides."""
    with peers.Causeway(b.path("peer"), sink=sink) as gw:
        gw.configure(destinations=destination)
        gw.restart()
        count = b.send(gw, 2, count, source)["objects"]
        gw.stop()
        b.settle_disk()
        gw.configure(study="complete_after: 100ms")
        before = line.carried()
        gw.start()
        gw.wait_arrived(count, sink, PATIENCE)
        carried = line.carried() - before
        got = sink.stats()
        got["cpu_s"] = peers.cpu_seconds(gw.pid)
    got["carried"] = carried
    got["rate"] = got["bytes"] / got["seconds"]
    del got["requests"]
    return got


def watch_closed(b, line, sink, source):
    """What leaves while a window says that nothing may."""
    destination = sink.stow(", windows: [{rate: none}]")
    with peers.Causeway(b.path("peer"), sink=sink, complete_after="100ms") as gw:
        gw.configure(destinations=destination)
        gw.restart()
        before = line.carried()
        b.send(gw, 1, 20, source)
        threading.Event().wait(QUIET_S)
        if gw.get("destinations")["destinations"][0]["owed"] != 20:
            raise AssertionError("nothing is owed")
        return line.carried() - before


def bench_line(b):
    why = network.missing()
    if why:
        b.title("a line of 100 Mbit/s: not measured, since " + why)
        b.result["line"] = {"skipped": why}
        return
    large = 16_000_000 if b.small else 125_000_000
    objects = (("CT of 526 kB", b.files[0], large // data.CT_BYTES),
               ("MR of 133 kB", data.make_mr(b.path("mr.dcm")),
                large // data.MR_BYTES))
    rows, reference = {}, []
    with network.Line(RATE) as line, \
            peers.Sink(b.path("sink"), b.program("sink"), b.certs, CONNECTIONS,
                       line) as sink:
        for number in range(b.rounds):
            b.show_step("line, round %d of %d: iperf3" % (number + 1, b.rounds))
            reference.append(line.measure(2 if b.small else 10))
            for what, source, count in objects:
                for kind, destination in (("STOW", sink.stow()),
                                          ("S3 import", sink.imports())):
                    b.show_step("line, round %d of %d: %s, %s" % (
                        number + 1, b.rounds, kind, what))
                    rows.setdefault((kind, what), []).append(deliver(
                        b, line, sink, destination, source, count))
        b.show_step("line: a window that says nothing")
        quiet = watch_closed(b, line, sink, b.files[0])
    show(b, rows, reference, quiet)


def show(b, rows, reference, quiet):
    iperf = statistics.median(reference)
    b.title("a line of 100 Mbit/s (tc tbf between two networks): bodies of requests "
            "by TLS, %d connections" % CONNECTIONS)
    b.row("", "Mbit/s", "of iperf3", "MB sent", "CPU s a GB")
    b.row("iperf3, TCP", "%.1f" % (iperf * 8 / 1e6), "100.0 %")
    worst = None
    for (kind, what), runs in rows.items():
        # Of the run's own round: what else the machine does changes.
        share = statistics.median(run["rate"] / r for run, r in zip(runs, reference))
        worst = min(worst or share, share)
        b.row("%s, %s" % (kind, what),
              "%.1f" % (statistics.median(r["rate"] for r in runs) * 8 / 1e6),
              "%.1f %%" % (100 * share), "%.0f" % (runs[0]["bytes"] / 1e6),
              "%.2f" % statistics.median(r["cpu_s"] / r["bytes"] * 1e9
                                         for r in runs))
    b.target("target 97 % of iperf3", worst >= TARGET)
    b.row("while a window says nothing", "%d bytes" % quiet, "", "",
          "in %d s" % QUIET_S)
    b.target("target 0 bytes", quiet == 0)
    b.result["line"] = {
        "iperf3": reference, "quiet_bytes": quiet,
        "runs": [{"kind": kind, "what": what, "runs": runs}
                 for (kind, what), runs in rows.items()]}
