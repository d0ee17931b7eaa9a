"""base.py - what the stand-ins for clouds share: a server that obeys orders.

A Place is a directory: DIR/orders.json says how to misbehave, DIR/log.jsonl has a
line per request, DIR/ports.json keeps the ports (a stand-in started again at the
same DIR has its state and its address back), DIR/certs the certificates. A Service
is one listener of a Place. It speaks HTTP/1.1 by hand, since half of what is
wanted of it no library would do: bodies go to a file below DIR while their hashes
are taken (10 GB cost no memory), `Expect: 100-continue` is answered after the
header was judged, and replies are cut, held or lost as ordered.

orders.json is {"config": {...}, "script": [...]}, read anew whenever it is another
file (how often an order was used is kept over a restart). config:

    "clock_offset": 0        seconds that the servers' clock is ahead of ours
    "allow": null            or [[action, resource], ...], prefixes both: all that
                             the caller's policy allows ("s3:PutObject",
                             "bucket/site7/"); anything else is AccessDenied
    "s3": {...}              what the service of this name documents as its config

Each request takes the first order of the script that matches and is not used up:

    "service", "operation", "method"   equal; "path" is a regular expression
    "skip": 0, "times": 1    let that many pass; how often (-1: for ever)
    "error": "SlowDown"      the service's own answer with this code; its status
                             can be told ("status"), and its "message"
    "status", "headers", "body"        answered as they stand, nothing is done
    "headers" alone          are added to what is answered
    "early": true            with error or status: before the body is read, and close
                             (so it is for who sends Expect, unless false); with
                             "linger": true what still comes is read
    "lost": true             it is done, and the connection ends without a word
    "hang": "request" | "answer" | "reply"   say nothing: before the body, after
                             it (nothing is done), in the middle of the reply
    "reset_after": n         reset the connection after n bytes of the body
    "cut_reply": n           close after n bytes of the reply
    "delay_ms": n            before answering
    "pace": n                read the body with n bytes a second
    "close": true            close after the answer; "drop": without having said so

and whatever else the service documents. A module that uses this needs
python3-botocore, python3-cryptography and python3-pydicom, which belong to the
system's own python: tests begin with #!/usr/bin/python3.
"""
import argparse
import email.utils
import json
import os
import select
import socket
import ssl
import struct
import sys
import threading
import time
import urllib.parse
import uuid

import digests
from place import REGION, Place, read_json, stat_of, write_json  # noqa: F401

PIECE = 1 << 18
IN_MEMORY = 1 << 16


class Gone(Exception):
    """The connection ends here."""


class Fault(Exception):
    """Answered as an error of the service; more goes into its document."""

    def __init__(self, code, status, message="", headers=None, **more):
        super().__init__("%s: %s" % (code, message))
        self.code, self.status, self.message = code, status, message
        self.headers, self.more = headers or {}, more


class Reply:
    """body is bytes, or [(path, offset, length)] to be sent one after another."""

    def __init__(self, status=200, body=b"", headers=None, kind=None):
        self.status, self.body = status, body
        self.headers = dict(headers or {})
        if kind is not None:
            self.headers["Content-Type"] = kind

    def length(self):
        return len(self.body) if isinstance(self.body, bytes) else \
            sum(piece[2] for piece in self.body)

    def pieces(self):
        if isinstance(self.body, bytes):
            yield self.body
            return
        for path, offset, length in self.body:
            with open(path, "rb") as f:
                f.seek(offset)
                while length > 0:
                    data = f.read(min(length, PIECE))
                    if not data:
                        raise Gone("%s is too short" % path)
                    length -= len(data)
                    yield data


def json_reply(document, status=200, headers=None):
    return Reply(status, json.dumps(document).encode(), headers,
                 "application/json")


class Body:
    """What was received; in memory while it is small, else a file below DIR."""

    def __init__(self, directory, algorithms):
        self.directory, self.size, self.path = directory, 0, None
        self.data, self.file = bytearray(), None
        self.hashes = {name: digests.make(name) for name in algorithms}

    def write(self, piece):
        self.size += len(piece)
        for one in self.hashes.values():
            one.update(piece)
        if self.file is None:
            self.data += piece
            if self.size > IN_MEMORY:
                self.to_file()
        else:
            self.file.write(piece)

    def to_file(self):
        if self.path is None:
            self.path = os.path.join(self.directory, uuid.uuid4().hex)
            self.file = open(self.path, "wb")
            self.file.write(self.data)
            self.data = None

    def digest(self, name):
        return self.hashes[name].digest()

    def bytes(self):
        self.finish()
        if self.path is None:
            return bytes(self.data)
        with open(self.path, "rb") as f:
            return f.read()

    def finish(self):
        if self.file is not None:
            self.file.close()
            self.file = None

    def adopt(self, path):
        """It lives on at path."""
        self.to_file()
        self.finish()
        os.rename(self.path, path)
        self.path = path

    def discard(self):
        self.finish()
        if self.path is not None and self.path.startswith(self.directory):
            try:
                os.unlink(self.path)
            except FileNotFoundError:
                pass


class Throttle:
    """Of tokens: take() raises the fault where a rate [a second, burst] is used up."""

    def __init__(self):
        self.lock, self.tokens, self.when = threading.Lock(), None, 0

    def take(self, rate, fault):
        if rate is None:
            return
        with self.lock:
            now = time.monotonic()
            self.tokens = rate[1] if self.tokens is None else min(
                rate[1], self.tokens + (now - self.when) * rate[0])
            self.when = now
            if self.tokens < 1:
                raise fault
            self.tokens -= 1


class Service:
    """One listener. A kind of service fills in operation, before, handle, fault."""

    name = "service"
    DEFAULTS = {}

    def __init__(self, place, port=0):
        self.place, self.peers, self.connections = place, set(), 0
        self.port = port or place.port_of(self.name)
        self.open()
        self.url = "%s://localhost:%d" % (
            "https" if place.context else "http", self.port)

    def config(self):
        return self.place.config(self.name, self.DEFAULTS)

    # -- of a kind of service

    def operation(self, request):
        """Names what is asked; for orders and for the log."""
        return request.method

    def before(self, request):
        """Judges the header, before the body is asked for."""

    def handle(self, request):
        raise NotImplementedError

    def fault(self, request, fault):
        return json_reply({"message": fault.message}, fault.status)

    # -- the listener

    def open(self):
        """Listen, again after close() at the same port."""
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", self.port))
        self.listener.listen(128)
        self.port = self.listener.getsockname()[1]
        self.place.keep_port(self.name, self.port)
        threading.Thread(target=self.accept, args=(self.listener,),
                         daemon=True).start()

    def close(self):
        """Nobody is there any more, in the middle of whatever it was."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        with self.place.lock:
            peers, self.peers = self.peers, set()
        for peer in peers:
            try:
                peer.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def accept(self, listener):
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(peer,),
                             daemon=True).start()

    def serve(self, peer):
        connection = None
        try:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.place.context is not None:
                peer = self.place.context.wrap_socket(peer, server_side=True)
            with self.place.lock:
                self.peers.add(peer)
                self.connections += 1
                number = self.connections
            connection = Connection(self, peer, number)
            while connection.one_request():
                pass
        except (Gone, OSError, ssl.SSLError) as error:
            self.place.note(service=self.name, event="end", why=str(error))
        finally:
            with self.place.lock:
                self.peers.discard(peer)
            if connection is not None:
                connection.file.close()
            peer.close()


class Request:
    """headers has the values by lower-case name, joined by commas."""

    def __init__(self, service, method, target):
        self.service, self.method, self.target = service, method, target
        self.path, _, self.query_text = target.partition("?")
        self.headers, self.names, self.body = {}, [], None
        self.algorithms = ["sha256", "md5"]
        self.noted, self.order, self.early = {}, {}, False
        self.config, self.now = service.config(), service.place.now()
        try:
            self.query = [
                tuple(urllib.parse.unquote(x, errors="strict")
                      for x in item.partition("=")[::2])
                for item in self.query_text.split("&") if item]
        except UnicodeDecodeError:
            raise Gone("a query that is not UTF-8")
        self.arguments = dict(self.query)

    def add_header(self, name, value):
        name = name.lower()
        self.headers[name] = "%s,%s" % (self.headers[name], value) \
            if name in self.headers else value

    def header(self, name, otherwise=None):
        return self.headers.get(name, otherwise)

    def kept_headers(self):
        """For the log: those that hold no secret."""
        return {n: v for n, v in self.headers.items() if n not in (
            "authorization", "x-amz-security-token", "proxy-authorization")}


class Connection:
    def __init__(self, service, peer, number):
        self.service, self.place = service, service.place
        self.peer, self.number = peer, number
        self.file = peer.makefile("rb", PIECE)

    # -- reading

    def read_head(self):
        line = self.file.readline(65536)
        if not line:
            return None
        parts = line.decode("latin-1").split()
        if len(parts) != 3:
            raise Gone("no request line")
        request = Request(self.service, parts[0], parts[1])
        while True:
            line = self.file.readline(65536).decode("latin-1").rstrip("\r\n")
            if not line:
                return request
            name, _, value = line.partition(":")
            request.add_header(name.strip(), value.strip())

    def body_pieces(self, request):
        if "chunked" in request.header("transfer-encoding", "").lower():
            while True:
                left = int(self.file.readline(1024).split(b";")[0] or b"0", 16)
                if left == 0:
                    while self.file.readline(65536).strip():
                        pass
                    return
                yield from self.exactly(left)
                self.file.readline(8)
        yield from self.exactly(int(request.header("content-length", 0)))

    def exactly(self, left):
        while left > 0:
            piece = self.file.read1(min(left, PIECE))
            if not piece:
                raise Gone("the request broke off with %d bytes left" % left)
            left -= len(piece)
            yield piece

    def read_body(self, request, order):
        limit, pace = order.get("reset_after"), order.get("pace")
        for piece in self.body_pieces(request):
            request.body.write(piece)
            if limit is not None and request.body.size >= limit:
                self.reset(request)
            if pace is not None:
                threading.Event().wait(len(piece) / pace)
        request.body.finish()

    def note(self, request, **fields):
        self.place.note(service=self.service.name, method=request.method,
                        path=request.target, operation=request.operation,
                        connection=self.number, **request.noted, **fields)

    def reset(self, request):
        self.note(request, event="reset", received=request.body.size)
        self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                             struct.pack("ii", 1, 0))
        self.file.close()
        raise Gone("reset in the middle of the body")

    def hang(self, request):
        """Until the peer loses patience."""
        self.note(request, event="hang")
        poll = select.poll()
        poll.register(self.peer.fileno(),
                      select.POLLRDHUP | select.POLLHUP | select.POLLERR)
        poll.poll(600000)
        raise Gone("hung")

    # -- answering

    def one_request(self):
        request = self.read_head()
        if request is None:
            return False
        request.operation = self.service.operation(request)
        order = self.place.take_order(self.service.name, request.operation,
                                      request.method, request.target)
        request.order = order
        request.body = Body(self.place.temporary, [])
        if order.get("hang") == "request":
            self.hang(request)
        told = self.told(request, order)
        expects = "100-continue" in request.header("expect", "").lower()
        request.early = told is not None and order.get("early", expects)
        try:
            if not request.early:
                early = self.judge(request) if told is None else None
                if early is not None:
                    return self.refuse_early(request, order, early)
                request.body = Body(self.place.temporary, request.algorithms)
                if expects:
                    self.peer.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                self.read_body(request, order)
            return self.finish(request, order, told)
        finally:
            request.body.discard()

    def refuse_early(self, request, order, reply):
        """A body that was not asked for is not waited for; a small one is on its way."""
        length = int(request.header("content-length", 0))
        expects = "100-continue" in request.header("expect", "").lower()
        if length == 0 and "transfer-encoding" not in request.headers:
            return self.finish(request, order, reply)
        if not expects and length < IN_MEMORY:
            self.read_body(request, order)
            return self.finish(request, order, reply)
        reply.headers["Connection"] = "close"
        self.answer(request, order, reply)
        if not expects:
            self.linger()
        return False

    def finish(self, request, order, told):
        if order.get("hang") == "answer":
            self.hang(request)
        if order.get("delay_ms"):
            threading.Event().wait(order["delay_ms"] / 1000)
        reply = told or self.guarded(request, self.service.handle)
        if order.get("lost"):
            self.note(request, event="lost", status=reply.status,
                      received=request.body.size)
            raise Gone("lost its answer")
        self.answer(request, order, reply)
        if request.early and order.get("linger"):
            self.linger()
        return not (order.get("close") or order.get("drop") or request.early) and \
            request.header("connection", "").lower() != "close"

    def linger(self):
        """Until the peer is done, so that a reset does not eat the answer."""
        self.peer.settimeout(5)
        while self.file.read1(PIECE):
            pass

    def told(self, request, order):
        if "error" in order:
            fault = Fault(order["error"], order.get("status"),
                          order.get("message", "As ordered."))
            return self.service.fault(request, fault)
        if "status" in order:
            return Reply(order["status"],
                         order.get("body", "").encode("latin-1"))
        return None

    def judge(self, request):
        return self.guarded(request, self.service.before)

    def guarded(self, request, function):
        try:
            return function(request)
        except Fault as fault:
            request.noted["error"] = fault.code
            request.noted["why"] = fault.message
            return self.service.fault(request, fault)
        except Gone:
            raise
        except Exception as error:  # a bug here is to be seen by the test
            request.noted["bug"] = "%s: %s" % (type(error).__name__, error)
            sys.excepthook(*sys.exc_info())
            return self.service.fault(request, Fault(
                "InternalFailure", 500, "a bug of the stand-in"))

    def answer(self, request, order, reply):
        headers = {"Date": email.utils.formatdate(request.now, usegmt=True),
                   "Server": "stand-in", **reply.headers,
                   **order.get("headers", {})}
        if reply.status not in (204, 304):
            headers.setdefault("Content-Length", str(reply.length()))
        if order.get("close") or request.early:
            headers["Connection"] = "close"
        head = "HTTP/1.1 %d Told\r\n%s\r\n" % (reply.status, "".join(
            "%s: %s\r\n" % pair for pair in headers.items()))
        self.note(request, status=reply.status, received=request.body.size,
                  sent=reply.length(), headers=request.kept_headers())
        pieces = reply.pieces() if request.method != "HEAD" else iter([b""])
        self.send(request, order, reply, head.encode("latin-1"), pieces)

    def send(self, request, order, reply, head, pieces):
        left = order.get("cut_reply", -1)
        if order.get("hang") == "reply":
            left = len(head) + reply.length() // 2
        self.peer.sendall(head if left < 0 else head[:left])
        if left >= 0:
            left = max(0, left - len(head))
        for piece in pieces:
            self.peer.sendall(piece if left < 0 else piece[:left])
            if left >= 0:
                left = max(0, left - len(piece))
                if left == 0:
                    break
        if order.get("hang") == "reply":
            self.hang(request)
        if "cut_reply" in order:
            raise Gone("cut its reply")


# --- programs ---------------------------------------------------------------

def parser_for(document):
    parser = argparse.ArgumentParser(
        description=document.split("\n")[0],
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory")
    parser.add_argument("--certs", help="where certs.py keeps its certificates")
    parser.add_argument("--plain", action="store_true", help="without TLS")
    return parser


def run_until_end(described):
    sys.stdout.write(json.dumps(described) + "\n")
    sys.stdout.flush()
    sys.stdin.read()
