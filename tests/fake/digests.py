"""digests.py - the checksums that clouds take, by the names of their headers.

make("sha256") has update() and digest(); sha256, sha1, md5 by hashlib, crc32 by
zlib, crc32c by python3-crcmod, or without it by a table (slow, the same result).
"""
import base64
import binascii
import hashlib
import json
import zlib

NAMES = ("crc32", "crc32c", "sha1", "sha256")
SIZES = {"crc32": 4, "crc32c": 4, "sha1": 20, "sha256": 32}
POLYNOMIAL = 0x82f63b78


def make_table():
    table = []
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (POLYNOMIAL if n & 1 else 0)
        table.append(n)
    return table


TABLE = make_table()


def crc32c_by_table(data, crc=0):
    crc ^= 0xffffffff
    for byte in data:
        crc = TABLE[(crc ^ byte) & 0xff] ^ crc >> 8
    return crc ^ 0xffffffff


try:
    import crcmod.predefined
    crc32c = crcmod.predefined.mkPredefinedCrcFun("crc-32c")
except ImportError:
    crc32c = crc32c_by_table


class Crc:
    def __init__(self, function):
        self.function, self.value = function, 0

    def update(self, data):
        self.value = self.function(data, self.value)

    def digest(self):
        return (self.value & 0xffffffff).to_bytes(4, "big")


def make(name):
    if name == "crc32":
        return Crc(zlib.crc32)
    if name == "crc32c":
        return Crc(crc32c)
    return hashlib.new(name)


def encode(digest):
    return base64.b64encode(digest).decode()


def is_base64(text, size):
    """Of exactly that many bytes."""
    try:
        return len(base64.b64decode(text, validate=True)) == size
    except binascii.Error:
        return False


def is_base64_json(text):
    try:
        found = json.loads(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        return False
    return isinstance(found, dict) and all(
        isinstance(value, str) for value in found.values())
