#!/usr/bin/env python3
"""fakecloud.py - a DICOMweb server that misbehaves as told.

Left alone it keeps what it is sent in memory and answers STOW-RS, QIDO-RS,
WADO-RS and DELETE as a well-behaved server would. Orders make it otherwise. As
a program:

    fakecloud.py DIR [--certificate server|expired|wrongname] [--client-ca]
                 [--certs DIR] [--address 127.0.0.1] [--port 0]

listens on a free port of 127.0.0.1, prints one line of JSON ({"url", "port",
"ca"}) when it is ready, and ends with its standard input. It reads DIR/orders.json
anew whenever that file is another one, and writes DIR/log.jsonl: a line per
request, with what came of it. As a module: FakeCloud(dir, ...), .order(), .log().

orders.json is {"config": {...}, "script": [...]}. config, with its defaults:

    "auth": null             "user:password" that must come, or "token:XYZ", or
                             "tokens:FILE": any of tests/fake/tokenfile.py that lives
    "duplicates": "keep"     other bytes under a known UID: keep the old ones and
                             say success; "overwrite"; "refuse": 409; "refuse-all":
                             even the same bytes
    "refusal": 273           the failure reason of that (0111H)
    "put": false             true: PUT stores, too, and replaces
    "explicit": false        true: implicit VR is refused (C122H)
    "page": 0                a query is answered with at most so many
    "delete": true           false: 405
    "format": "json"         or "xml": of STOW answers
    "prefix": ""             of all paths
    "poison": []             a request with one of these UIDs is answered 500
    "limit": 0               longer bodies of POST are answered 413

Each request takes the first order of the script that matches and is not used up:

    "method", "path"         what it is for; path is a regular expression
    "times": 1               how often; -1: for ever
    "status", "headers", "body"   answered as they stand
    "stow": {...}            the answer is made for the instances of the request:
        "fail": {uid: code}, "warn": {uid: code}, "omit": [uid], "others": [code];
        "*" is any instance, "#2" the one at index 2; "both": [uid] stands in both lists
        "format", "pad" (a NUL after each UID)
    "store": true            the instances are kept (of "stow": those not failed)
    "early": true            answer, and close, before the body is read
    "linger": true           with early: read on until the peer is done
    "hang": "request" | "answer" | "reply"   say nothing: before reading the body,
                             after it, or in the middle of the reply
    "reset_after": n         reset the connection after n bytes of the body
    "end_after": n           say nothing more after n bytes of it, but read on
    "cut_reply": n           close after n bytes of the reply
    "drip_ms": n             a byte of the reply's body each n ms
    "chunked": true          reply without Content-Length
    "delay_ms": n            before answering
    "close": true            close after the answer
    "drop": true             the same, without having said so
"""
import argparse
import base64
import io
import json
import os
import re
import select
import socket
import ssl
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import certs  # noqa: E402

DEFAULTS = {"auth": None, "duplicates": "keep", "delete": True,
            "format": "json", "prefix": "", "poison": [], "limit": 0,
            "refusal": 0x0111, "put": False, "explicit": False, "page": 0}


class Gone(Exception):
    """The connection ends here."""


# --- DICOM, as little as needed -------------------------------------------

def parse_elements(data, at, explicit, stop):
    """Top-level elements with defined lengths, until one that is not."""
    found = {}
    while at + 8 <= len(data):
        group, element = struct.unpack_from("<HH", data, at)
        tag = group << 16 | element
        if tag > stop:
            break
        vr = data[at + 4:at + 6]
        if explicit and vr in (b"OB", b"OW", b"OF", b"SQ", b"UN", b"UT",
                               b"UC", b"UR", b"OD", b"OL", b"OV", b"SV", b"UV"):
            length, = struct.unpack_from("<I", data, at + 8)
            at += 12
        elif explicit:
            length, = struct.unpack_from("<H", data, at + 6)
            at += 8
        else:
            length, = struct.unpack_from("<I", data, at + 4)
            at += 8
        if length == 0xffffffff:
            break
        found[tag] = data[at:at + length]
        at += length
    return found, at


def uid_text(value):
    return (value or b"").rstrip(b"\0 ").decode("ascii", "replace")


class Instance:
    def __init__(self, file):
        self.file = file
        if file[128:132] != b"DICM":
            raise ValueError("not Part 10")
        group, = struct.unpack_from("<I", file, 140)
        meta, _ = parse_elements(file, 132, True, 0x0002ffff)
        self.dataset = file[144 + group:]
        self.syntax = uid_text(meta.get(0x00020010))
        self.sop_class = uid_text(meta.get(0x00020002))
        self.uid = uid_text(meta.get(0x00020003))
        main, _ = parse_elements(self.dataset, 0,
                                 self.syntax != "1.2.840.10008.1.2",
                                 0x0020000e)
        self.study = uid_text(main.get(0x0020000d))
        self.series = uid_text(main.get(0x0020000e))


def split_multipart(content_type, body):
    match = re.search(r'boundary="?([^";]+)"?', content_type)
    if match is None:
        raise ValueError("no boundary")
    delimiter = b"--" + match.group(1).encode()
    pieces = (b"\r\n" + body).split(b"\r\n" + delimiter)
    if not pieces[-1].startswith(b"--"):
        raise ValueError("no end")
    for piece in pieces[1:-1]:
        head, _, data = piece.partition(b"\r\n\r\n")
        declared = re.search(rb"(?i)content-length: *(\d+)", head)
        if declared and int(declared.group(1)) != len(data):
            raise ValueError("part of another length than declared")
        yield data


# --- answers of STOW --------------------------------------------------------

def stow_json(lists, others):
    def item(uid, sop_class, reason, tag):
        made = {"00081150": {"vr": "UI", "Value": [sop_class]},
                "00081155": {"vr": "UI", "Value": [uid]}}
        if reason is not None:
            made[tag] = {"vr": "US", "Value": [reason]}
        return made

    answer = {"00081190": {"vr": "UR"}}
    if lists["failed"]:
        answer["00081198"] = {"vr": "SQ", "Value": [
            item(u, c, r, "00081197") for u, c, r in lists["failed"]]}
    if lists["stored"]:
        answer["00081199"] = {"vr": "SQ", "Value": [
            item(u, c, r, "00081196") for u, c, r in lists["stored"]]}
    if others:
        answer["0008119A"] = {"vr": "SQ", "Value": [
            {"00081197": {"vr": "US", "Value": [code]}} for code in others]}
    return "application/dicom+json", json.dumps(answer).encode()


def stow_xml(lists, others):
    def attribute(tag, vr, inner):
        return '<DicomAttribute tag="%s" vr="%s">%s</DicomAttribute>' % (
            tag, vr, inner)

    def value(text):
        return '<Value number="1">%s</Value>' % text

    def item(n, uid, sop_class, reason, tag):
        inner = attribute("00081150", "UI", value(sop_class))
        inner += attribute("00081155", "UI", value(uid.replace("\0", "")))
        if reason is not None:
            inner += attribute(tag, "US", value(reason))
        return '<Item number="%d">%s</Item>' % (n, inner)

    def sequence(tag, items):
        return attribute(tag, "SQ", "".join(items)) if items else ""

    body = sequence("00081198", [item(n + 1, u, c, r, "00081197")
                                 for n, (u, c, r) in enumerate(lists["failed"])])
    body += sequence("00081199", [item(n + 1, u, c, r, "00081196")
                                  for n, (u, c, r) in enumerate(lists["stored"])])
    body += sequence("0008119A", ['<Item number="%d">%s</Item>' % (
        n + 1, attribute("00081197", "US", value(c)))
        for n, c in enumerate(others)])
    return "application/dicom+xml", (
        '<?xml version="1.0" encoding="UTF-8"?>\n<NativeDicomModel '
        'xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM">%s'
        '</NativeDicomModel>' % body).encode()


def chosen(table, uid, index):
    """What an order says of one instance; table maps uids, "#n" and "*"."""
    for key in (uid, "#%d" % index, "*"):
        if key in table:
            return True, table[key] if isinstance(table, dict) else None
    return False, None


# --- the server -------------------------------------------------------------

class FakeCloud:
    def __init__(self, directory, certificate=None, client_ca=False, port=0,
                 certificates=None, address="127.0.0.1"):
        self.directory, self.address = directory, address
        self.certificates = certificates or os.path.join(directory, "certs")
        self.connections = 0
        os.makedirs(directory, exist_ok=True)
        self.lock = threading.Lock()
        self.instances = {}
        self.config = dict(DEFAULTS)
        self.script = []
        self.orders_stat = None
        self.log_file = open(os.path.join(directory, "log.jsonl"), "w")
        self.ca = None
        self.context = None
        if certificate is not None:
            self.make_context(certificate, client_ca)
        self.peers = set()
        self.port = port
        self.open()
        self.url = "%s://localhost:%d" % (
            "https" if self.context else "http", self.port)

    def open(self):
        """Listen, again after close() at the same port."""
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((self.address, self.port))
        self.listener.listen(128)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, args=(self.listener,),
                         daemon=True).start()

    def make_context(self, certificate, client_ca):
        made = certs.make(self.certificates)
        self.ca = os.path.join(made, "ca.pem")
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(
            os.path.join(made, certificate + ".pem"),
            os.path.join(made, certificate + ".key"))
        if client_ca:
            self.context.load_verify_locations(self.ca)
            self.context.verify_mode = ssl.CERT_REQUIRED

    def order(self, config=None, script=None):
        """Replace the orders; what is kept stays."""
        path = os.path.join(self.directory, "orders.json")
        with open(path + ".new", "w") as f:
            json.dump({"config": config or {}, "script": script or []}, f)
        os.rename(path + ".new", path)

    def log(self):
        with self.lock, open(os.path.join(self.directory, "log.jsonl")) as f:
            return [json.loads(line) for line in f]

    def close(self):
        """Nobody is there any more, in the middle of whatever it was."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        with self.lock:
            peers, self.peers = self.peers, set()
        for peer in peers:
            try:
                peer.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def read_orders(self):
        path = os.path.join(self.directory, "orders.json")
        try:
            st = os.stat(path)
        except FileNotFoundError:
            return
        now = (st.st_mtime_ns, st.st_ino, st.st_size)
        if now == self.orders_stat:
            return
        with open(path) as f:
            orders = json.load(f)
        self.orders_stat = now
        self.config = {**DEFAULTS, **orders.get("config", {})}
        self.script = orders.get("script", [])
        if orders.get("forget"):
            self.instances.clear()

    def take_order(self, method, path):
        with self.lock:
            self.read_orders()
            for order in self.script:
                if order.get("times", 1) == 0 or \
                        order.get("method", method) != method or \
                        not re.search(order.get("path", ""), path):
                    continue
                order["times"] = order.get("times", 1) - 1
                return order, self.config
            return {}, self.config

    def note(self, **fields):
        with self.lock:
            fields["time"] = time.time()
            self.log_file.write(json.dumps(fields) + "\n")
            self.log_file.flush()

    def accept(self, listener):
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(peer,),
                             daemon=True).start()

    def serve(self, peer):
        try:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.context is not None:
                peer = self.context.wrap_socket(peer, server_side=True)
            with self.lock:
                self.peers.add(peer)
                self.connections += 1
                number = self.connections
            connection = Connection(self, peer, number)
            while connection.one_request():
                pass
        except (Gone, OSError, ssl.SSLError) as error:
            self.note(event="end", why=str(error))
        finally:
            with self.lock:
                self.peers.discard(peer)
            peer.close()


class Connection:
    def __init__(self, cloud, peer, number):
        self.cloud = cloud
        self.number = number
        self.peer = peer
        self.file = peer.makefile("rb")

    # -- reading

    def read_head(self):
        line = self.file.readline(65536)
        if not line:
            return False
        self.began = time.time()
        parts = line.decode("latin-1").split()
        if len(parts) != 3:
            raise Gone("no request line")
        self.method, self.path, _ = parts
        self.headers = {}
        while True:
            line = self.file.readline(65536).decode("latin-1").rstrip("\r\n")
            if not line:
                return True
            name, _, value = line.partition(":")
            self.headers[name.strip().lower()] = value.strip()

    def read_body(self, order):
        left = int(self.headers.get("content-length", 0))
        limit, end = order.get("reset_after"), order.get("end_after")
        got = io.BytesIO()
        while left > 0:
            piece = self.file.read(min(left, 65536))
            if not piece:
                raise Gone("the request broke off with %d bytes left" % left)
            got.write(piece)
            left -= len(piece)
            if limit is not None and got.tell() >= limit:
                self.reset("in the middle of the body")
            if end is not None and got.tell() >= end:
                end = None
                self.peer.shutdown(socket.SHUT_WR)
        return got.getvalue()

    def reset(self, why):
        self.cloud.note(method=self.method, path=self.path, event="reset")
        self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                             struct.pack("ii", 1, 0))
        self.file.close()
        raise Gone(why)

    def hang(self):
        """Until the peer loses patience."""
        self.cloud.note(method=self.method, path=self.path, event="hang")
        fd = self.peer.fileno()
        poll = select.poll()
        poll.register(fd, select.POLLRDHUP | select.POLLHUP | select.POLLERR)
        poll.poll(600000)
        raise Gone("hung")

    # -- answering

    def one_request(self):
        if not self.read_head():
            return False
        order, config = self.cloud.take_order(self.method, self.path)
        if order.get("hang") == "request":
            self.hang()
        if order.get("early"):
            self.answer(order, order.get("status", 500), {}, b"", 0)
            self.leave_early(order)
        body = self.read_body(order)
        if order.get("hang") == "answer":
            self.hang()
        if order.get("delay_ms"):
            threading.Event().wait(order["delay_ms"] / 1000)
        status, headers, reply = self.handle(order, config, body)
        self.answer(order, status, headers, reply, len(body))
        return not (order.get("close") or order.get("drop"))

    def leave_early(self, order):
        if order.get("linger"):
            self.peer.settimeout(10)
            while self.file.read(65536):
                pass
        raise Gone("answered early")

    def answer(self, order, status, headers, body, received):
        status = order.get("status", status)
        headers = {**headers, **order.get("headers", {})}
        if "body" in order:
            body = order["body"].encode("latin-1")
        chunked = order.get("chunked", False)
        head = "HTTP/1.1 %d Told\r\n" % status
        if chunked:
            headers["Transfer-Encoding"] = "chunked"
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if body else \
                b"0\r\n\r\n"
        elif status != 204:
            headers["Content-Length"] = str(len(body))
        if order.get("close") or order.get("early"):
            headers["Connection"] = "close"
        head += "".join("%s: %s\r\n" % pair for pair in headers.items())
        reply = head.encode("latin-1") + b"\r\n" + body
        self.cloud.note(method=self.method, path=self.path, status=status,
                        received=received, sent=len(body),
                        connection=self.number,
                        agent=self.headers.get("user-agent"),
                        expect=self.headers.get("expect"),
                        names=sorted(self.headers), began=self.began,
                        uids=getattr(self, "uids", []))
        if order.get("hang") == "reply":
            self.peer.sendall(reply[:len(reply) - len(body) // 2 - 1])
            self.hang()
        if "cut_reply" in order:
            self.peer.sendall(reply[:order["cut_reply"]])
            raise Gone("cut its reply")
        if "drip_ms" in order:
            self.drip(reply, len(reply) - len(body), order["drip_ms"] / 1000)
            return
        self.peer.sendall(reply)

    def drip(self, reply, head, pause):
        self.peer.sendall(reply[:head])
        for at in range(head, len(reply)):
            # Until the peer has had enough of it.
            if select.select([self.peer], [], [], pause)[0]:
                raise Gone("nobody wants the rest")
            self.peer.sendall(reply[at:at + 1])

    # -- what a server does

    def authorized(self, config):
        wanted = config["auth"]
        if wanted is None:
            return True
        got = self.headers.get("authorization", "")
        if wanted.startswith("tokens:"):
            with open(wanted[7:]) as f:
                known = json.load(f).get(got.removeprefix("Bearer "))
            return known is not None and known["expires"] > time.time()
        if wanted.startswith("token:"):
            return got == "Bearer " + wanted[6:]
        return got == "Basic " + base64.b64encode(wanted.encode()).decode()

    def handle(self, order, config, body):
        self.uids = []
        if not self.authorized(config):
            return 401, {"WWW-Authenticate": 'Basic realm="cloud"'}, b""
        path = self.path
        if not path.startswith(config["prefix"]):
            return 404, {}, b""
        path = path[len(config["prefix"]):]
        if (self.method == "POST" or self.method == "PUT" and config["put"]) \
                and re.match(r"/studies(/[^/?]+)?$", path):
            return self.stow(order, config, body)
        if "status" in order:
            return order["status"], {}, b""
        match = re.match(r"/studies/[^/]+/series/[^/]+/instances/([^/?]+)$",
                         path)
        if match:
            return self.instance(config, match.group(1))
        if self.method == "GET":
            return self.qido(config, path)
        return 404, {}, b""

    def stow(self, order, config, body):
        if 0 < config["limit"] < len(body):
            return 413, {}, b""
        try:
            files = list(split_multipart(self.headers.get("content-type", ""),
                                         body))
            instances = [Instance(file) for file in files]
        except (ValueError, struct.error) as error:
            self.cloud.note(event="bad request", why=str(error))
            return 400, {}, b""
        self.uids = [i.uid for i in instances]
        if not set(self.uids).isdisjoint(config["poison"]):
            return 500, {}, b""
        lists = {"failed": [], "stored": []}
        said = order.get("stow", {})
        with self.cloud.lock:
            for n, one in enumerate(instances):
                self.stow_one(order, config, said, n, one, lists)
        status = 200 if not lists["failed"] else \
            202 if lists["stored"] else 409
        make = stow_xml if said.get("format", config["format"]) == "xml" \
            else stow_json
        kind, reply = make(lists, said.get("others", []))
        return order.get("status", status), {"Content-Type": kind}, reply

    def stow_one(self, order, config, said, n, one, lists):
        pad = "\0" if said.get("pad") else ""
        known = self.cloud.instances.get(one.uid)
        failed, reason = chosen(said.get("fail", {}), one.uid, n)
        _, warning = chosen(said.get("warn", {}), one.uid, n)
        refused = config["duplicates"] == "refuse-all" or \
            config["duplicates"] == "refuse" and known is not None and \
            known.file != one.file
        if not failed and known is not None and refused and \
                self.method == "POST":
            failed, reason = True, config["refusal"]
        if config["explicit"] and one.syntax == "1.2.840.10008.1.2":
            failed, reason = True, 0xc122
        both, _ = chosen(dict.fromkeys(said.get("both", [])), one.uid, n)
        omitted, _ = chosen(dict.fromkeys(said.get("omit", [])), one.uid, n)
        if not omitted and failed:
            lists["failed"].append((one.uid + pad, one.sop_class, reason))
        if not omitted and (both or not failed):
            lists["stored"].append((one.uid + pad, one.sop_class, warning))
        keep = known is not None and config["duplicates"] == "keep" and \
            self.method == "POST"
        if order.get("store", not failed) and not keep:
            self.cloud.instances[one.uid] = one

    def instance(self, config, uid):
        with self.cloud.lock:
            one = self.cloud.instances.get(uid)
            if self.method == "DELETE" and not config["delete"]:
                return 405, {}, b""
            if one is None:
                return 404, {}, b""
            if self.method == "DELETE":
                del self.cloud.instances[uid]
                return 204, {}, b""
        boundary = "fakecloud-%d" % (time.monotonic_ns() % 10 ** 9)
        return 200, {"Content-Type": 'multipart/related; type="application/'
                     'dicom"; boundary=%s' % boundary}, (
            b"--" + boundary.encode() +
            b"\r\nContent-Type: application/dicom\r\n\r\n" + one.file +
            b"\r\n--" + boundary.encode() + b"--\r\n")

    def qido(self, config, path):
        match = re.match(r"/studies(?:/([^/?]+))?(?:/series/([^/?]+))?"
                         r"(/instances)?(?:\?(.*))?$", path)
        if match is None:
            return 404, {}, b""
        study, series, instances, query = match.groups()
        wanted = dict(p.split("=", 1) for p in (query or "").split("&")
                      if "=" in p)
        with self.cloud.lock:
            found = [i for i in self.cloud.instances.values()
                     if (study is None or i.study == study) and
                     (series is None or i.series == series) and
                     wanted.get("SOPInstanceUID", i.uid) == i.uid]
        if not instances:
            found = list({i.study: i for i in found}.values())
        found = found[int(wanted.get("offset", 0)):]
        found = found[:min(int(wanted.get("limit", len(found))),
                           config["page"] or len(found))]
        if not found:
            return 204, {}, b""
        return 200, {"Content-Type": "application/dicom+json"}, json.dumps([
            {"00080018": {"vr": "UI", "Value": [i.uid]},
             "0020000D": {"vr": "UI", "Value": [i.study]},
             "0020000E": {"vr": "UI", "Value": [i.series]}}
            for i in found]).encode()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("directory")
    parser.add_argument("--certificate")
    parser.add_argument("--client-ca", action="store_true")
    parser.add_argument("--certs")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--address", default="127.0.0.1")
    args = parser.parse_args()
    cloud = FakeCloud(args.directory, args.certificate, args.client_ca,
                      args.port, args.certs, args.address)
    sys.stdout.write(json.dumps({"url": cloud.url, "port": cloud.port,
                                 "ca": cloud.ca}) + "\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
