"""dicomscp.py - a PACS for the system tests that obeys orders; standard library only.

    with Pacs() as pacs:
        with gateway_to(pacs.yaml(commitment="never")) as gw:
            ...
        pacs.objects[uid].data

It takes what it is told to, answers what it is told to, dies where it is told to, and
commits, on the same association or on one of its own. What is not said is right:

    reject = (1, 1, 7)         every association
    syntaxes = [IMPLICIT_LE]   what it takes, in its order; None: what stands first
    classes = {CT}             None: all; verification always
    statuses = {uid: 0xA700}   of C-STORE
    comment = "..."            Error Comment of what fails
    die = uid                  close in the middle of this instance
    commits = None | "same" | "own" | "silent"    storage commitment
    action_status = 0x0213     of N-ACTION
    floods = True              reports without end instead of that answer; .flooded
    failures = {uid: 0x0112}   in the report
    report_to = port, title    for "own", and report()
"""
import collections
import socket
import struct
import threading

import dicomraw
from dicomraw import (ABORT, AC, DATA, IMPLICIT_LE, RELEASE_RP, RELEASE_RQ, RJ, RQ,
                      VERIFICATION, Context, command, item, pad, pdu, pdv, role, us)

COMMITMENT = "1.2.840.10008.1.20.1"
COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1.1"

Stored = collections.namedtuple("Stored", "syntax data priority")


def uid_text(raw):
    return raw.rstrip(b"\0 ").decode("ascii")


def items_of(body, at=0):
    while at + 4 <= len(body):
        kind, _, length = struct.unpack_from(">BBH", body, at)
        yield kind, body[at + 4:at + 4 + length]
        at += 4 + length


def sequence(tag, items):
    """implicit VR, defined lengths"""
    inner = b"".join(struct.pack("<HHI", 0xfffe, 0xe000, len(i)) + i for i in items)
    return struct.pack("<HHI", tag >> 16, tag & 0xffff, len(inner)) + inner


def implicit_uid(tag, uid):
    return dicomraw.implicit(tag >> 16, tag & 0xffff, pad("UI", uid))


def reference(sop_class, instance, reason=None):
    out = implicit_uid(0x00081150, sop_class) + implicit_uid(0x00081155, instance)
    return out + (dicomraw.implicit(0x0008, 0x1197, us(reason)) if reason else b"")


def report_data(transaction, good, failed=()):
    """good: of (class, instance); failed: of (class, instance, reason)"""
    out = implicit_uid(0x00081195, transaction)
    if failed:
        out += sequence(0x00081198, [reference(*f) for f in failed])
    if good:
        out += sequence(0x00081199, [reference(*g) for g in good])
    return out


def parse_request(data):
    """(transaction, [(class, instance)]) of an N-ACTION in implicit VR, defined
    lengths, as the gateway writes it"""
    transaction, found, at = None, [], 0

    def elements(part):
        p = 0
        while p + 8 <= len(part):
            group, element, length = struct.unpack_from("<HHI", part, p)
            yield group << 16 | element, part[p + 8:p + 8 + length]
            p += 8 + length

    for tag, value in elements(data[at:]):
        if tag == 0x00081195:
            transaction = uid_text(value)
        if tag == 0x00081199:
            for _, inner in elements(value):
                got = {t: uid_text(v) for t, v in elements(inner)}
                found.append((got[0x00081150], got[0x00081155]))
    return transaction, found


class Pacs:
    def __init__(self, title="PACS", name="pacs", tls=None, port=0):
        self.title, self.name, self.tls = title, name, tls
        self.reject = self.syntaxes = self.classes = self.die = None
        self.statuses, self.failures, self.comment = {}, {}, ""
        self.commits, self.action_status, self.report_to = None, 0, None
        self.floods, self.flooded = False, []
        self.max_pdu = 65536
        self.objects, self.calls, self.asked, self.answers = {}, [], [], []
        self.order = []			# UIDs, as they came
        self.associations = self.echoes = 0
        self.changed = threading.Condition()
        self.listener = socket.create_server(("127.0.0.1", port))
        self.port = self.listener.getsockname()[1]
        self.closing = False
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def yaml(self, **options):
        options = {"host": "127.0.0.1", "port": self.port, "ae_title": self.title,
                   **options}
        return "{name: %s, type: dimse, %s}" % (self.name, ", ".join(
            "%s: %s" % pair for pair in options.items()))

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.close()

    def close(self):
        """Nobody listens there any more; the port is free."""
        if self.closing:
            return
        self.closing = True
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.listener.close()

    # -- serving

    def accept(self):
        while not self.closing:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.run, args=(sock,), daemon=True).start()

    def run(self, sock):
        try:
            sock.settimeout(60)
            if self.tls:
                sock = self.tls.wrap_socket(sock, server_side=True)
            Conversation(self, sock).run()
        except (OSError, EOFError, struct.error):
            pass
        finally:
            sock.close()

    def note(self, what, value):
        with self.changed:
            what.append(value)
            self.changed.notify_all()

    # -- a report of its own

    def report(self, transaction, good, failed=(), called=None, port=None,
               calling=None):
        """On a new association; the status, or None: no context was accepted"""
        with dicomraw.Association(
                port or self.report_to[0], [Context(COMMITMENT, [IMPLICIT_LE])],
                calling=calling or self.title, called=called or self.report_to[1],
                items=role(COMMITMENT, 0, 1)) as a:
            if a.accepted[1].result != 0:
                return None
            self.send_report(a.send, 1, transaction, good, failed)
            return a.response().status

    def send_report(self, send, context, transaction, good, failed):
        send(pdu(DATA, pdv(context, command([
            (0x0002, pad("UI", COMMITMENT)), (0x0100, us(0x0100)), (0x0110, us(9)),
            (0x0800, us(1)), (0x1000, pad("UI", COMMITMENT_INSTANCE)),
            (0x1002, us(2 if failed else 1))]), command=True)))
        send(pdu(DATA, pdv(context, report_data(transaction, good, failed))))

    def judge(self, references):
        good = [r for r in references if r[1] not in self.failures]
        return good, [r + (self.failures[r[1]],) for r in references
                      if r[1] in self.failures]

    def send_own(self, transaction, references):
        try:
            self.note(self.answers,
                      self.report(transaction, *self.judge(references)))
        except (OSError, dicomraw.Refused, dicomraw.Aborted) as e:
            self.note(self.answers, e)


class Conversation:
    def __init__(self, pacs, sock):
        self.pacs, self.sock = pacs, sock
        self.contexts = {}

    def read(self, n):
        out = bytearray()
        while len(out) < n:
            part = self.sock.recv(n - len(out))
            if not part:
                raise EOFError
            out += part
        return bytes(out)

    def read_pdu(self):
        kind, _, length = struct.unpack(">BBI", self.read(6))
        if length > 1 << 24:	# no DICOM
            raise EOFError
        return kind, self.read(length)

    def run(self):
        kind, body = self.read_pdu()
        if kind != RQ:
            return
        self.pacs.associations += 1
        self.pacs.note(self.pacs.calls, (body[4:20].strip().decode(),
                                         body[20:36].strip().decode()))
        if self.pacs.reject:
            self.sock.sendall(pdu(RJ, bytes((0,) + self.pacs.reject)))
            self.sock.recv(1)
            return
        self.sock.sendall(self.answer(body))
        while self.message():
            pass

    def answer(self, body):
        out = body[:68] + item(0x10, dicomraw.APPLICATION.encode())
        for kind, inner in items_of(body, 68):
            if kind == 0x20:
                out += self.context(inner)
        user = item(0x51, struct.pack(">I", self.pacs.max_pdu)) + \
            item(0x52, b"1.2.276.0.99.2") + item(0x55, b"DICOMSCP")
        return pdu(AC, out + item(0x50, user))

    def context(self, inner):
        parts = list(items_of(inner, 4))
        abstract = next(uid_text(v) for k, v in parts if k == 0x30)
        proposed = [uid_text(v) for k, v in parts if k == 0x40]
        result, syntax = self.choose(abstract, proposed)
        if result == 0:
            self.contexts[inner[0]] = (abstract, syntax)
        return item(0x21, bytes([inner[0], 0, result, 0]) +
                    item(0x40, (syntax or IMPLICIT_LE).encode()))

    def choose(self, abstract, proposed):
        p = self.pacs
        if abstract == COMMITMENT:
            return (0, IMPLICIT_LE) if p.commits else (3, None)
        if abstract == VERIFICATION:
            return 0, proposed[0]
        if p.classes is not None and abstract not in p.classes:
            return 3, None
        wanted = proposed if p.syntaxes is None else p.syntaxes
        for syntax in wanted:
            if syntax in proposed:
                return 0, syntax
        return 4, None

    # -- messages

    def part(self, limit=None):
        """(context, bytes) of a command or data set; None: the end"""
        out = bytearray()
        while True:
            kind, body = self.read_pdu()
            if kind == RELEASE_RQ:
                self.sock.sendall(pdu(RELEASE_RP, bytes(4)))
                return None
            if kind == ABORT:
                raise EOFError
            at = 0
            while at < len(body):
                length, context, flags = struct.unpack_from(">IBB", body, at)
                out += body[at + 6:at + 4 + length]
                at += 4 + length
                if flags & 2:
                    return context, bytes(out)
            if limit and len(out) > limit:
                raise EOFError

    def respond(self, context, rq, status, extra=()):
        field = struct.unpack("<H", rq[0x0100])[0] | 0x8000
        e = [(0x0100, us(field)), (0x0120, rq[0x0110]), (0x0800, us(0x0101)),
             (0x0900, us(status))] + list(extra)
        if status and self.pacs.comment:
            e.append((0x0902, pad("LO", self.pacs.comment)))
        self.sock.sendall(pdu(DATA, pdv(context, command(e), command=True)))

    def message(self):
        got = self.part()
        if got is None:
            return False
        context, data = got
        rq = dicomraw.parse_command(data)
        field = struct.unpack("<H", rq[0x0100])[0]
        if field == 0x0030:
            self.pacs.echoes += 1
            self.respond(context, rq, 0)
        elif field == 0x0001:
            self.store(context, rq)
        elif field == 0x0130:
            self.action(context, rq)
        elif field == 0x8100:
            self.pacs.note(self.pacs.answers,
                           struct.unpack("<H", rq[0x0900])[0])
        return True

    def store(self, context, rq):
        uid = uid_text(rq[0x1000])
        _, data = self.part(limit=1000 if self.pacs.die == uid else None)
        status = self.pacs.statuses.get(uid, 0)
        with self.pacs.changed:
            if status == 0 or status >> 12 == 0xb:
                self.pacs.objects[uid] = Stored(
                    self.contexts[context][1], data,
                    struct.unpack("<H", rq[0x0700])[0])
            self.pacs.order.append(uid)
            self.pacs.changed.notify_all()
        self.respond(context, rq, status)

    def flood(self, context, references):
        sent = 0
        try:
            while True:
                self.pacs.send_report(self.sock.sendall, context, "1.2.3",
                                      references, ())
                sent += 1
                self.part()	# what is said to it
        except (EOFError, OSError):
            self.pacs.note(self.pacs.flooded, sent)
            raise

    def action(self, context, rq):
        transaction, references = parse_request(self.part()[1])
        p = self.pacs
        if p.floods:
            self.flood(context, references)
        self.respond(context, rq, p.action_status)
        p.note(p.asked, (transaction, references))
        if p.action_status:
            return
        if p.commits == "same":
            p.send_report(self.sock.sendall, context, transaction,
                          *p.judge(references))
        elif p.commits == "own":
            threading.Thread(target=p.send_own, daemon=True,
                             args=(transaction, references)).start()
