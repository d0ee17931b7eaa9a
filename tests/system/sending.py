"""sending.py - what the tests of the sending side share: objects, a sender, clouds,
and waiting until what was sent is settled.

    cloud = Cloud("a")                       # a fakecloud of one's own
    with gateway_to(cloud) as gw:
        study = Study(4)
        send(gw, study.objects)
        settled(gw, study)
"""
import base64
import http.client
import json
import os
import ssl
import tempfile
import threading
import urllib.parse
import uuid

import cloud as orthanc
import dicomraw
import fakecloud
import part10
from checks import check, run, wait_for
from dicomraw import CT, EXPLICIT_LE
from gateway import PATIENCE, Gateway



def fresh_uid():
    return "2.25.%d" % uuid.uuid4().int


def scratch(name):
    return os.path.join(tempfile.mkdtemp(prefix=name + "-"))


# ---- objects -------------------------------------------------------------------

class Object:
    def __init__(self, study, series, instance=None, pixels=2000, sop_class=CT,
                 syntax=EXPLICIT_LE, modality="CT"):
        self.sop_class, self.syntax = sop_class, syntax
        self.study, self.series = study, series
        self.uid = instance or fresh_uid()
        if isinstance(pixels, int):
            pixels = os.urandom(256) * (pixels // 256) + bytes(pixels % 256)
        self.data = dicomraw.dataset(sop_class, self.uid, study, series,
                                     pixels=pixels, modality=modality,
                                     syntax=syntax)

    def version(self, pixels=2000, syntax=EXPLICIT_LE):
        """Other bytes under the same UID."""
        return Object(self.study, self.series, self.uid, pixels,
                      self.sop_class, syntax)


class Study:
    def __init__(self, n, uid=None, **more):
        self.uid, self.series = uid or fresh_uid(), fresh_uid()
        self.objects = []
        self.add(n, **more)

    def add(self, n=1, **more):
        made = [Object(self.uid, self.series, **more) for _ in range(n)]
        self.objects += made
        return made

    @property
    def uids(self):
        return [o.uid for o in self.objects]


def association(gw, objects, calling="CT1", called="CAUSEWAY", **more):
    kinds = sorted({(o.sop_class, o.syntax) for o in objects})
    a = dicomraw.Association(
        gw.port, [dicomraw.Context(c, [s]) for c, s in kinds],
        calling=calling, called=called, **more)
    a.kinds = kinds
    return a


def store(a, objects, **rq):
    """Each must be answered with Success."""
    for o in objects:
        r = a.store(o.sop_class, o.uid, o.data, context=1 + 2 * a.kinds.index(
            (o.sop_class, o.syntax)), **rq)
        assert r.status == 0, "%s: %r" % (o.uid, r)


def send(gw, objects, calling="CT1", called="CAUSEWAY", **rq):
    with association(gw, objects, calling, called) as a:
        store(a, objects, **rq)


# ---- clouds --------------------------------------------------------------------

class Cloud(fakecloud.FakeCloud):
    """A fakecloud, and questions about what it was asked."""

    def __init__(self, name="cloud", directory=None, **more):
        self.name = name
        super().__init__(directory or scratch(name), **more)

    def yaml(self, **options):
        """As an entry of destinations; an option of None is left out."""
        options = {"type": "dicomweb", "url": self.url, "stall_timeout": "20s",
                   **options}
        if self.ca and "tls" not in options:
            options["tls"] = "{ca_file: %s}" % self.ca
        return "{name: %s, %s}" % (self.name, ", ".join(
            "%s: %s" % pair for pair in options.items() if pair[1] is not None))

    def requests(self, method=None):
        """Those that were answered, in order."""
        return [r for r in self.log() if "status" in r and
                (method is None or r["method"] == method)]

    def posts(self):
        return self.requests("POST")

    def carried(self):
        """The UIDs of each POST."""
        return [r["uids"] for r in self.posts()]

    def bodies(self):
        """{uid: data set} of what it holds."""
        with self.lock:
            return {u: i.dataset for u, i in self.instances.items()}

    def holds(self, objects):
        """Just these bytes under their UIDs."""
        held = self.bodies()
        for o in objects:
            assert held.get(o.uid) == o.data, "%s: %s" % (
                o.uid, "other bytes" if o.uid in held else "is not there")


def gateway_to(*clouds, options=None, **more):
    """A daemon with these destinations; options: for each of them."""
    more.setdefault("study", "complete_after: 200ms")
    more.setdefault("wipe", True)
    return Gateway(destinations="[%s]" % ", ".join(
        c if isinstance(c, str) else c.yaml(**(options or {})) for c in clouds),
        **more)


# ---- waiting -------------------------------------------------------------------

def destination(gw, name="cloud"):
    for d in gw.get("destinations")["destinations"]:
        if d["name"] == name:
            return d
    raise LookupError(name)


def rows(gw, study, name=None):
    """{(uid, version): its delivery} at one destination."""
    return {(i["sop_instance"], i["version"]): d
            for i in gw.instances(study) for d in i["deliveries"]
            if name is None or d["destination"] == name}


def states(gw, study, name=None):
    return {uid: d["state"] for (uid, _), d in rows(gw, study, name).items()}


def is_settled(gw, study, count, destinations=1):
    s = gw.study(study)
    return s is not None and s["instances"] >= count and s["pending"] == 0 and \
        s["owed"] == 0 and s["delivered"] + s["refused"] + s["let_go"] >= \
        count * destinations and s


def settled(gw, study, count=None, timeout=PATIENCE, destinations=1):
    """Until nothing of a study is owed any more; its JSON."""
    if count is None:
        count = len(study.objects)
    uid = getattr(study, "uid", study)
    try:
        return wait_for(lambda: is_settled(gw, uid, count, destinations), timeout)
    except AssertionError:
        raise AssertionError("study %s is not settled after %g s: %s" % (
            uid, timeout, gw.study(uid))) from None


def delivered(gw, study, count=None, timeout=PATIENCE, destinations=1):
    s = settled(gw, study, count, timeout, destinations)
    assert s["refused"] == 0, "refused: %s" % s["destinations"]
    return s


def nudge(gw, name="cloud"):
    """Try now; changes nothing of what was decided, as `retry` would."""
    status, said = gw.api("destinations/%s/release" % name, "POST", {})
    assert status == 200, said


def wait_state(gw, state, name="cloud", timeout=PATIENCE):
    """Until a destination is up, down, busy or held; its JSON."""
    return wait_for(lambda: (lambda d: d["state"] == state and d)(
        destination(gw, name)), timeout, "%s to be %s" % (name, state))


def ctl_ok(gw, *args):
    got = gw.ctl(*args)
    assert got.status == 0, "causewayctl %s: %d: %s" % (
        " ".join(args), got.status, got.out)
    return got.out


# ---- several at once -----------------------------------------------------------

def side_by_side(functions, width=4):
    """Tests that wait more than they work; each says its own results."""
    left, lock = list(functions), threading.Lock()

    def work():
        while True:
            with lock:
                if not left:
                    return
                function = left.pop(0)
            with check("%s runs to its end" % function.__name__) as _:
                function()

    threads = [threading.Thread(target=work) for _ in range(width)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()


def find_mount(size="64m"):
    """A small file system of one's own, or None; unmounted by the caller."""
    if os.geteuid() != 0:
        return None
    at = scratch("small")
    got = run("mount", "-t", "tmpfs", "-o", "size=" + size, "tmpfs", at)
    return at if got.status == 0 else None


# ---- a real cloud --------------------------------------------------------------

class Archive(orthanc.Cloud):
    """Orthanc behind nginx, and what it gives out."""

    def __init__(self, name="cloud", **more):
        super().__init__(scratch(name), **more)
        self.name = name

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, value, trace):
        self.stop()

    def yaml(self, **options):
        options = {"url": self.info["url"], "flavor": "orthanc", **options}
        return "{name: %s, type: dicomweb, tls: {ca_file: %s}, credential: {type: " \
            "basic, user: %s, password_file: %s}, %s}" % (
                self.name, self.info["ca"], self.info["user"],
                self.info["password_file"],
                ", ".join("%s: %s" % pair for pair in options.items()))

    def ask(self, path, method="GET", accept="application/json", base="url",
            body=None, kind="application/octet-stream"):
        """(status, body) of its DICOMweb; base="rest": of Orthanc's own interface"""
        url = urllib.parse.urlsplit(self.info[base])
        login = "%s:%s" % (self.info["user"], self.info["password"])
        c = http.client.HTTPSConnection(
            url.hostname, url.port, timeout=60,
            context=ssl.create_default_context(cafile=self.info["ca"]))
        try:
            c.request(method, url.path + path, body, headers={
                "Accept": accept, "Content-Type": kind, "Authorization": "Basic " +
                base64.b64encode(login.encode()).decode()})
            reply = c.getresponse()
            return reply.status, reply.read()
        finally:
            c.close()

    def fetch(self, study, series, instance):
        """By WADO-RS, as it is kept: the Part 10 file as bytes, or None."""
        status, body = self.ask(
            "/studies/%s/series/%s/instances/%s" % (study, series, instance),
            accept='multipart/related; type="application/dicom"; transfer-syntax=*')
        if status == 404:
            return None
        assert status == 200, "WADO-RS answers %d" % status
        delimiter = body[:body.index(b"\r\n")]
        rest = body.partition(b"\r\n\r\n")[2]
        return rest[:rest.rindex(b"\r\n" + delimiter)]

    def holds(self, objects):
        for o in objects:
            data = self.fetch(o.study, o.series, o.uid)
            assert data is not None, "%s is not there" % o.uid
            assert part10.File(data=data).dataset == o.data, \
                "%s: other bytes" % o.uid

    def count(self, study):
        """Instances of a study, as QIDO-RS shows them."""
        status, body = self.ask("/studies/%s/instances" % study,
                                accept="application/dicom+json")
        return len(json.loads(body)) if status == 200 and body.strip() else 0

    def takes(self, file):
        """It answers STOW-RS of this one file, by ourselves, with success."""
        kind = 'multipart/related; type="application/dicom"; boundary=b'
        status, _ = self.ask("/studies", "POST", "application/dicom+json", kind=kind,
                             body=b"--b\r\nContent-Type: application/dicom\r\n\r\n" +
                             file + b"\r\n--b--\r\n")
        return status == 200

    def clear(self):
        """Nothing is there any more."""
        _, found = self.ask("/studies", base="rest")
        for study in json.loads(found):
            self.ask("/studies/" + study, "DELETE", base="rest")
