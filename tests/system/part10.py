"""part10.py - DICOM files for the system tests: written for DCMTK's senders, read
when they come out again. Standard library only."""
import os
import struct

import dicomraw
from dicomraw import EXPLICIT_LE


def element(group, number, vr, value):
    return dicomraw.explicit(group, number, vr, value)


def write(path, dataset, sop_class, instance, syntax=EXPLICIT_LE):
    meta = (element(2, 1, "OB", b"\0\1") + element(2, 2, "UI", sop_class) +
            element(2, 3, "UI", instance) + element(2, 0x10, "UI", syntax) +
            element(2, 0x12, "UI", "1.2.276.0.99.1"))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(bytes(128) + b"DICM" +
                element(2, 0, "UL", struct.pack("<I", len(meta))) + meta + dataset)
    return path


def make(path, instance, study="1.2.3.4", syntax=EXPLICIT_LE, **more):
    """A small object as a file; returns the path."""
    sop_class = more.pop("sop_class", dicomraw.CT)
    data = dicomraw.dataset(sop_class, instance, study, syntax=syntax, **more)
    return write(path, data, sop_class, instance, syntax)


class File:
    """meta: {element: bytes}; dataset: what follows the header."""

    def __init__(self, path=None, data=None):
        whole = data
        if data is None:
            with open(path, "rb") as f:
                whole = f.read()
        if whole[128:132] != b"DICM":
            raise ValueError("%s is no Part 10 file" % (path or "this"))
        self.path, self.meta, at = path, {}, 132
        while whole[at:at + 2] == b"\2\0":
            number, vr = struct.unpack_from("<H2s", whole, at + 2)
            if vr in dicomraw.LONG_VRS:
                length, = struct.unpack_from("<I", whole, at + 8)
                at += 12
            else:
                length, = struct.unpack_from("<H", whole, at + 6)
                at += 8
            self.meta[number] = whole[at:at + length]
            at += length
        self.dataset = whole[at:]
        self.sop_class = self.uid(0x02)
        self.instance = self.uid(0x03)
        self.syntax = self.uid(0x10)

    def uid(self, number):
        return self.meta.get(number, b"").rstrip(b"\0 ").decode("latin-1")


def read_tree(directory):
    """Every Part 10 file below directory."""
    return [File(os.path.join(d, name))
            for d, _, names in sorted(os.walk(directory))
            for name in sorted(names) if name.endswith(".dcm")]
