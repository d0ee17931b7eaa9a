"""data.py - the objects that `make bench` sends.

All are explicit VR little endian; study, series and instance UIDs are 2.25.N with
N of 39 digits, so that tests/bench/send.c can write fresh ones over them.
"""
import os
import random
import struct

import dicomraw
import part10

CT = "1.2.840.10008.5.1.4.1.1.2"
MULTI_FRAME = "1.2.840.10008.5.1.4.1.1.7.3"  # Multi-frame Grayscale Word SC
BOUNDARY = b"bench0123456789abcdef0123456789abcdef"
MR = "1.2.840.10008.5.1.4.1.1.4"
CT_BYTES = 525780  # of the data set; 526 kB with the head of a file
MR_BYTES = 132600  # 133 kB


def element(tag, vr, value):
    if isinstance(value, int):
        value = struct.pack("<H", value)
    return dicomraw.explicit(tag >> 16, tag & 0xffff, vr, value)


def fresh_uid():
    return "2.25." + "1" + "".join(random.choices("0123456789", k=38))


def head(sop_class, modality, uids, number):
    study, series, instance = uids
    return (element(0x00080005, "CS", "ISO_IR 100")
            + element(0x00080008, "CS", "ORIGINAL\\PRIMARY\\AXIAL")
            + element(0x00080016, "UI", sop_class)
            + element(0x00080018, "UI", instance)
            + element(0x00080020, "DA", "20240229")
            + element(0x00080021, "DA", "20240229")
            + element(0x00080030, "TM", "101500")
            + element(0x00080050, "SH", "B0001")
            + element(0x00080060, "CS", modality)
            + element(0x00080070, "LO", "Bench")
            + element(0x00080080, "LO", "Nowhere Hospital")
            + element(0x00080090, "PN", "Nobody^N.")
            + element(0x00081030, "LO", "Thorax with contrast")
            + element(0x0008103e, "LO", "Axial 1.0")
            + element(0x00100010, "PN", "Bench^Mark")
            + element(0x00100020, "LO", "BENCH-1")
            + element(0x00100030, "DA", "19700101")
            + element(0x00100040, "CS", "O")
            + element(0x00180050, "DS", "1.0")
            + element(0x00180060, "DS", "120")
            + element(0x0020000d, "UI", study)
            + element(0x0020000e, "UI", series)
            + element(0x00200010, "SH", "1")
            + element(0x00200011, "IS", "1")
            + element(0x00200013, "IS", str(number))
            + element(0x00200032, "DS", "-250\\-250\\%d" % number)
            + element(0x00200037, "DS", "1\\0\\0\\0\\1\\0"))


def image(rows, columns, frames):
    return (element(0x00280002, "US", 1)
            + element(0x00280004, "CS", "MONOCHROME2")
            + (element(0x00280008, "IS", str(frames)) if frames else b"")
            + element(0x00280010, "US", rows)
            + element(0x00280011, "US", columns)
            + element(0x00280030, "DS", "0.7\\0.7")
            + element(0x00280100, "US", 16)
            + element(0x00280101, "US", 12)
            + element(0x00280102, "US", 11)
            + element(0x00280103, "US", 0)
            + element(0x00281052, "DS", "-1024")
            + element(0x00281053, "DS", "1"))


def make_ct(directory, count):
    """count CT images of 526 kB, two series of one study; their paths."""
    pixels = element(0x7fe00010, "OW", random.randbytes(512 * 512 * 2))
    study = fresh_uid()
    series = [fresh_uid(), fresh_uid()]
    paths = []
    for i in range(count):
        uids = study, series[i * 2 // count], fresh_uid()
        top = head(CT, "CT", uids, i + 1)
        rest = image(512, 512, 0) + pixels
        comment = "x" * (CT_BYTES - len(top) - len(rest) - 8)
        paths.append(part10.write(
            os.path.join(directory, "ct%04d.dcm" % i),
            top + element(0x00204000, "LT", comment) + rest, CT, uids[2]))
    return paths


def make_mr(path):
    """One small MR image of 133 kB; its path."""
    uids = fresh_uid(), fresh_uid(), fresh_uid()
    top = head(MR, "MR", uids, 1)
    rest = image(256, 256, 0) + element(0x7fe00010, "OW",
                                        random.randbytes(256 * 256 * 2))
    comment = "x" * (MR_BYTES - len(top) - len(rest) - 8)
    return part10.write(path, top + element(0x00204000, "LT", comment) + rest, MR,
                        uids[2])


def make_large(path, size):
    """One multi-frame object with about size bytes of pixels."""
    frame = random.randbytes(1024 * 1024 * 2)
    frames = max(1, size // len(frame))
    uids = fresh_uid(), fresh_uid(), fresh_uid()
    top = head(MULTI_FRAME, "XA", uids, 1) + image(1024, 1024, frames)
    part10.write(path, top + struct.pack("<HH2sHI", 0x7fe0, 0x0010, b"OW", 0,
                                         frames * len(frame)),
                 MULTI_FRAME, uids[2])
    with open(path, "ab") as f:
        for _ in range(frames):
            f.write(frame)
    return path


def stow_body(path, sources):
    """A STOW-RS body of these files, as a sender would make it."""
    with open(path, "wb") as out:
        for source in sources:
            with open(source, "rb") as f:
                part = f.read()
            out.write(b"--%s\r\nContent-Type: application/dicom\r\n"
                      b"Content-Length: %d\r\n\r\n" % (BOUNDARY, len(part)))
            out.write(part + b"\r\n")
        out.write(b"--%s--\r\n" % BOUNDARY)
    return path
