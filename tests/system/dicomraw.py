"""dicomraw - a raw DICOM client for the system tests; standard library only.

Everything can be sent wrong: any PDU, any length, any context, cut off anywhere.
What is not said is right by default:

    with Association(port, contexts=[Context(CT, [EXPLICIT_LE])]) as a:
        print(hex(a.store(CT, "1.2.3", dataset(CT, "1.2.3")).status))

    a = Association(port, connect_only=True)      # then a.send(b"...")
    a.send(pdu(1, b"", length=0xffffffff))

As a program: dicomraw.py PORT echo|store|flood|abort|silent [N] [--tls]
"""

import collections
import socket
import ssl
import struct
import sys
import time

VERIFICATION = "1.2.840.10008.1.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
IMPLICIT_LE = "1.2.840.10008.1.2"
EXPLICIT_LE = "1.2.840.10008.1.2.1"
DEFLATED_LE = "1.2.840.10008.1.2.1.99"
EXPLICIT_BE = "1.2.840.10008.1.2.2"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
HTJ2K_LOSSLESS = "1.2.840.10008.1.2.4.201"
JPEG_XL_LOSSLESS = "1.2.840.10008.1.2.4.110"
GE_PRIVATE = "1.2.840.113619.5.2"
STORAGE_SERVICE = "1.2.840.10008.4.2"
APPLICATION = "1.2.840.10008.3.1.1.1"

RQ, AC, RJ, DATA, RELEASE_RQ, RELEASE_RP, ABORT = range(1, 8)

Context = collections.namedtuple("Context", "abstract syntaxes")
Accepted = collections.namedtuple("Accepted", "result syntax")
Response = collections.namedtuple(
    "Response", "field message_id status comment offending sop_class instance")


class Refused(Exception):
    """A-ASSOCIATE-RJ"""

    def __init__(self, result, source, reason):
        super().__init__("rejected %d/%d/%d" % (result, source, reason))
        self.code = (result, source, reason)


class Aborted(Exception):
    """A-ABORT, or the connection ended"""


# ---- building bytes ------------------------------------------------------------

def _bytes(s):
    return s if isinstance(s, bytes) else s.encode("ascii")


def item(kind, body, length=None):
    return struct.pack(">BBH", kind, 0,
                       len(body) if length is None else length) + body


def pdu(kind, body=b"", length=None):
    return struct.pack(">BBI", kind, 0,
                       len(body) if length is None else length) + body


def field16(body):
    return struct.pack(">H", len(body)) + body


def user_information(max_pdu=131072, items=b""):
    return item(0x50, item(0x51, struct.pack(">I", max_pdu)) +
                item(0x52, b"1.2.276.0.99.1") + items + item(0x55, b"DICOMRAW"))


def async_window(invoked, performed):
    return item(0x53, struct.pack(">HH", invoked, performed))


def role(sop_class, scu, scp):
    return item(0x54, field16(_bytes(sop_class)) + bytes([scu, scp]))


def extended(sop_class, info):
    return item(0x56, field16(_bytes(sop_class)) + info)


def common_extended(sop_class, service=STORAGE_SERVICE, related=b""):
    return item(0x57, field16(_bytes(sop_class)) + field16(_bytes(service)) +
                field16(related))


def user_identity(kind=1, primary=b"user", secondary=b"", respond=0):
    return item(0x58, bytes([kind, respond]) + field16(primary) +
                field16(secondary))


def associate_rq(contexts, calling="DICOMRAW", called="CAUSEWAY", ids=None,
                 max_pdu=131072, items=b"", application=APPLICATION, version=1):
    """contexts: of Context; ids: theirs, else 1, 3, 5, ..."""
    body = struct.pack(">HH", version, 0)
    body += _bytes(called).ljust(16)[:16] + _bytes(calling).ljust(16)[:16]
    body += bytes(32) + item(0x10, _bytes(application))
    for i, c in enumerate(contexts):
        inner = item(0x30, _bytes(c.abstract))
        inner += b"".join(item(0x40, _bytes(ts)) for ts in c.syntaxes)
        body += item(0x20, bytes([ids[i] if ids else 2 * i + 1, 0, 0, 0]) + inner)
    return pdu(RQ, body + user_information(max_pdu, items))


def pdv(context, data, command=False, last=True, length=None):
    flags = (1 if command else 0) | (2 if last else 0)
    return struct.pack(">IBB", len(data) + 2 if length is None else length,
                       context, flags) + data


def implicit(group, element, value):
    if len(value) % 2:
        value += b"\0"
    return struct.pack("<HHI", group, element, len(value)) + value


LONG_VRS = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC",
            b"UN", b"UR", b"UT", b"UV")


def explicit(group, element, vr, value, big=False):
    vr, value = _bytes(vr), _bytes(value)
    if len(value) % 2:
        value += b"\0" if vr in (b"UI", b"OB", b"UN") else b" "
    order = ">" if big else "<"
    head = struct.pack(order + "HH", group, element) + vr
    if vr in LONG_VRS:
        return head + struct.pack(order + "HI", 0, len(value)) + value
    return head + struct.pack(order + "H", len(value)) + value


def dataset(sop_class=CT, instance="1.2.3.4.5", study="1.2.3.4", series="1.2.3.4.1",
            pixels=1000, modality="CT", syntax=EXPLICIT_LE, extra=b"", skip=()):
    """A small object; skip: tags (as 0x0020000D) to leave out. pixels: how many
    bytes, or the bytes; encapsulated where the syntax is neither of the native
    ones."""
    fields = [
        (0x00080005, "CS", "ISO_IR 100"), (0x00080016, "UI", sop_class),
        (0x00080018, "UI", instance), (0x00080020, "DA", "20260102"),
        (0x00080050, "SH", "ACC1"), (0x00080060, "CS", modality),
        (0x00100010, "PN", "TEST^RAW"), (0x00100020, "LO", "RAW1"),
        (0x0020000D, "UI", study), (0x0020000E, "UI", series),
        (0x00200013, "IS", "1"),
    ]
    data = pixels if isinstance(pixels, bytes) else bytes(pixels)
    fields = [f for f in fields if f[0] not in skip]
    if syntax == IMPLICIT_LE:
        out = b"".join(implicit(t >> 16, t & 0xffff, pad(vr, v))
                       for t, vr, v in fields)
        return out + extra + implicit(0x7fe0, 0x0010, data)
    big = syntax == EXPLICIT_BE
    out = b"".join(explicit(t >> 16, t & 0xffff, vr, v, big) for t, vr, v in fields)
    out += extra
    if syntax in (EXPLICIT_LE, EXPLICIT_BE, DEFLATED_LE):
        out += explicit(0x7fe0, 0x0010, "OW", data, big)
    else:
        out += encapsulated(data)
    if syntax == DEFLATED_LE:
        import zlib
        z = zlib.compressobj(wbits=-15)
        out = z.compress(out) + z.flush()
        out += b"\0" * (len(out) % 2)
    return out


def pad(vr, value):
    value = _bytes(value)
    return value + ((b"\0" if vr == "UI" else b" ") if len(value) % 2 else b"")


def encapsulated(data):
    data += b"\0" * (len(data) % 2)
    return (struct.pack("<HH2sHI", 0x7fe0, 0x0010, b"OB", 0, 0xffffffff) +
            struct.pack("<HHI", 0xfffe, 0xe000, 0) +
            struct.pack("<HHI", 0xfffe, 0xe000, len(data)) + data +
            struct.pack("<HHI", 0xfffe, 0xe0dd, 0))


def command(elements):
    """elements: of (element, bytes), group 0000; the group length is ours"""
    body = b"".join(implicit(0, e, v) for e, v in sorted(elements))
    return implicit(0, 0, struct.pack("<I", len(body))) + body


def us(n):
    return struct.pack("<H", n)


def store_rq(sop_class, instance, message_id=1, priority=0, has_data=True,
             originator=None):
    e = [(0x0002, _bytes(sop_class)), (0x0100, us(0x0001)), (0x0110, us(message_id)),
         (0x0700, us(priority)), (0x0800, us(0x0001 if has_data else 0x0101)),
         (0x1000, _bytes(instance))]
    if originator:
        e += [(0x1030, pad("AE", originator[0])), (0x1031, us(originator[1]))]
    return command(e)


def echo_rq(message_id=1):
    return command([(0x0002, _bytes(VERIFICATION)), (0x0100, us(0x0030)),
                    (0x0110, us(message_id)), (0x0800, us(0x0101))])


# ---- reading bytes ---------------------------------------------------------------

def parse_command(data):
    out, at = {}, 0
    while at + 8 <= len(data):
        group, element, length = struct.unpack_from("<HHI", data, at)
        out[element] = data[at + 8:at + 8 + length]
        at += 8 + length
    return out


def parse_response(data):
    e = parse_command(data)

    def number(tag):
        return struct.unpack("<H", e[tag])[0] if tag in e else None

    def text(tag):
        return e[tag].rstrip(b"\0 ").decode("latin-1") if tag in e else ""

    offending = e.get(0x0901)
    if offending:
        group, element = struct.unpack_from("<HH", offending)
        offending = group << 16 | element
    return Response(number(0x0100), number(0x0120), number(0x0900), text(0x0902),
                    offending, text(0x0002), text(0x1000))


def parse_accept(body):
    """{id: Accepted}, [(item type, bytes) of the user information]"""
    contexts, user, at = {}, [], 68
    while at + 4 <= len(body):
        kind, _, length = struct.unpack_from(">BBH", body, at)
        inner = body[at + 4:at + 4 + length]
        if kind == 0x21:
            syntax = inner[8:].rstrip(b"\0").decode("ascii")
            contexts[inner[0]] = Accepted(inner[2], syntax)
        elif kind == 0x50:
            i = 0
            while i + 4 <= len(inner):
                sub, _, n = struct.unpack_from(">BBH", inner, i)
                user.append((sub, inner[i + 4:i + 4 + n]))
                i += 4 + n
        at += 4 + length
    return contexts, user


def tls_context(ca=None, certificate=None, key=None, minimum=None, maximum=None):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname = False
    c.verify_mode = ssl.CERT_REQUIRED if ca else ssl.CERT_NONE
    if ca:
        c.load_verify_locations(ca)
    if certificate:
        c.load_cert_chain(certificate, key)
    if minimum:
        c.minimum_version = minimum
    if maximum:
        c.maximum_version = maximum
    return c


class Association:
    """connect_only: no A-ASSOCIATE-RQ is sent. tls: an SSLContext or True. What
    else is given goes to associate_rq()."""

    def __init__(self, port, contexts=None, host="127.0.0.1", tls=None, timeout=20,
                 connect_only=False, source=None, session=None, **request):
        self.contexts = contexts or [Context(VERIFICATION, [IMPLICIT_LE])]
        self.ids = request.get("ids") or [2 * i + 1
                                          for i in range(len(self.contexts))]
        self.message_id = 0
        self.accepted, self.user = {}, []
        self.peer_max_pdu = 0
        self.sock = socket.create_connection(
            (host, port), timeout, (source, 0) if source else None)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            c = tls_context() if tls is True else tls
            self.sock = c.wrap_socket(self.sock, session=session)
        if not connect_only:
            self.request(**request)

    def request(self, **request):
        self.send(associate_rq(self.contexts, **request))
        kind, body = self.read_pdu()
        if kind == RJ:
            self.close()
            raise Refused(body[1], body[2], body[3])
        if kind != AC:
            raise Aborted("PDU of type %d" % kind)
        self.accepted, self.user = parse_accept(body)
        for sub, value in self.user:
            if sub == 0x51:
                self.peer_max_pdu = struct.unpack(">I", value)[0]

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is None:
            self.release()
        self.close()

    # -- bytes

    def send(self, data):
        self.sock.sendall(data)

    def read(self, n):
        out = bytearray()
        while len(out) < n:
            try:
                part = self.sock.recv(n - len(out))
            except ConnectionError as e:
                raise Aborted(str(e))
            if not part:
                raise Aborted("connection closed")
            out += part
        return bytes(out)

    def read_pdu(self):
        kind, _, length = struct.unpack(">BBI", self.read(6))
        body = self.read(length)
        if kind == ABORT:
            raise Aborted("A-ABORT source %d reason %d" % (body[2], body[3]))
        return kind, body

    # -- messages

    def find(self, sop_class):
        """the id of its first accepted context"""
        for i, c in zip(self.ids, self.contexts):
            if c.abstract == sop_class and self.accepted[i].result == 0:
                return i
        raise LookupError("no context accepted for %s" % sop_class)

    def send_command(self, context, data):
        self.send(pdu(DATA, pdv(context, data, command=True)))

    def send_data(self, context, data, chunk=None):
        chunk = chunk or min(self.peer_max_pdu or 131072, 131072) - 6
        for at in range(0, max(len(data), 1), chunk):
            part = data[at:at + chunk]
            self.send(pdu(DATA, pdv(context, part, last=at + chunk >= len(data))))

    def read_message(self):
        """one command set, put together"""
        out = b""
        while True:
            kind, body = self.read_pdu()
            if kind != DATA:
                raise Aborted("PDU of type %d" % kind)
            at = 0
            while at < len(body):
                length, _, flags = struct.unpack_from(">IBB", body, at)
                out += body[at + 6:at + 4 + length]
                at += 4 + length
                if flags & 2:
                    return out

    def response(self):
        return parse_response(self.read_message())

    def next_id(self):
        self.message_id = self.message_id % 65535 + 1
        return self.message_id

    def echo(self, context=None):
        self.send_command(context or self.find(VERIFICATION),
                          echo_rq(self.next_id()))
        return self.response()

    def store(self, sop_class, instance, data, context=None, chunk=None, **rq):
        context = context or self.find(sop_class)
        self.send_command(context, store_rq(sop_class, instance, self.next_id(),
                                            **rq))
        self.send_data(context, data, chunk)
        return self.response()

    # -- endings

    def release(self):
        self.send(pdu(RELEASE_RQ, bytes(4)))
        kind, _ = self.read_pdu()
        if kind != RELEASE_RP:
            raise Aborted("PDU of type %d where A-RELEASE-RP was due" % kind)

    def abort(self, source=0, reason=0):
        self.send(pdu(ABORT, bytes([0, 0, source, reason])))
        self.close()

    def reset(self):
        """the cable is cut: RST instead of FIN"""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                             struct.pack("ii", 1, 0))
        self.close()

    def close(self):
        self.sock.close()


def silent(port, n, host="127.0.0.1"):
    """connections that say nothing; the caller closes them"""
    return [socket.create_connection((host, port)) for _ in range(n)]


def main(argv):
    port, what = int(argv[1]), argv[2]
    n = int(argv[3]) if len(argv) > 3 and argv[3].isdigit() else 1
    tls = "--tls" in argv
    storage = [Context(CT, [EXPLICIT_LE])]
    begin = time.monotonic()
    if what == "echo":
        with Association(port, tls=tls) as a:
            for _ in range(n):
                assert a.echo().status == 0
    elif what in ("store", "flood"):
        data = dataset(pixels=525000 if what == "flood" else 1000)
        with Association(port, storage, tls=tls) as a:
            for _ in range(n):
                r = a.store(CT, "1.2.3.4.5", data)
                assert r.status == 0, r
    elif what == "abort":
        for i in range(n):
            a = Association(port, storage, tls=tls)
            a.send_command(1, store_rq(CT, "1.2.3.4.5"))
            a.send(pdu(DATA, pdv(1, dataset(pixels=90000), last=False)))
            (a.abort, a.reset, a.close)[i % 3]()
    elif what == "silent":
        held = silent(port, n)
        time.sleep(60)
        del held
    print("%s %d: %.3f s" % (what, n, time.monotonic() - begin))


if __name__ == "__main__":
    main(sys.argv)
