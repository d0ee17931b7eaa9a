"""checks.py - saying what was tested, in the words that tests/run counts.

    with check("rule 16: it answers to each of its titles"):
        assert ...

prints `ok - ...`, or `not ok - ...` with the exception above it, and goes on.
The program ends with finish().
"""
import contextlib
import os
import re
import subprocess
import sys
import time
import traceback

SHOWN = 2000	# characters of what was not as it should be

failed = []


class Skip(Exception):
    """Raised inside a check: it cannot be made here, and why."""


def say(line):
    """In one piece, whoever else says something."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


@contextlib.contextmanager
def check(what):
    try:
        yield
    except Skip as why:
        say("skip - %s: %s" % (what, why))
    except Exception:  # a failed test, whatever it was that failed
        say(traceback.format_exc().rstrip())
        say("not ok - " + what)
        failed.append(what)
    else:
        say("ok - " + what)


def skip(what, why):
    say("skip - %s: %s" % (what, why))


def finish():
    sys.exit(1 if failed else 0)


def wait_for(condition, timeout=10, what="it"):
    """What condition() returns, once that is true; at least one try."""
    end = time.monotonic() + timeout
    while True:
        got = condition()
        if got:
            return got
        assert time.monotonic() < end, "waited %g s for %s" % (timeout, what)
        time.sleep(0.02)


def contains(text, *patterns):
    """Each regular expression is found in text."""
    for p in patterns:
        assert re.search(p, text), "%r not found in:\n%s" % (p, text[-SHOWN:])


def lacks(text, *patterns):
    for p in patterns:
        found = re.search(p, text)
        assert not found, "%r found in:\n%s" % (
            p, text[max(0, found.start() - SHOWN // 2):][:SHOWN])


class Outcome:
    def __init__(self, status, out):
        self.status, self.out = status, out


def run(*command, timeout=30, env=None, cwd=None, text=None):
    """The exit status of a command and everything that it said."""
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=timeout, cwd=cwd,
                          input=text.encode() if text is not None else None,
                          stdin=subprocess.DEVNULL if text is None else None,
                          env=dict(os.environ, **(env or {})), check=False)
    return Outcome(done.returncode, done.stdout.decode("utf-8", "replace"))


def descriptors(pid):
    return len(os.listdir("/proc/%d/fd" % pid))


def threads(pid):
    return len(os.listdir("/proc/%d/task" % pid))


def memory(pid, field="RssAnon"):
    """KiB; VmHWM for the most that it ever was."""
    with open("/proc/%d/status" % pid) as status:
        return int(re.search(r"^%s:\s+(\d+) kB" % field, status.read(),
                             re.M).group(1))


def files_below(directory):
    return sorted(os.path.relpath(os.path.join(d, f), directory)
                  for d, _, names in os.walk(directory) for f in names)
