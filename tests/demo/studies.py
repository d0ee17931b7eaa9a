"""studies.py - the studies of `make demo`: invented patients, drawn images, fresh
UIDs in every run, encoded by DCMTK's tools in the ways that modalities use.

make(directory, progress) returns a list of Study; the files of each are what a
modality would send. Nothing beside the standard library and DCMTK is needed.
"""
import array
import datetime
import operator
import os
import random
import subprocess
import uuid

import dicomraw
import part10

EXPLICIT_LE = "1.2.840.10008.1.2.1"
STORAGE = "1.2.840.10008.5.1.4.1.1."
ONE, COLOUR = "MONOCHROME2", "RGB"

# How a file is made to have a syntax, and how storescu is told to propose it.
EXPLICIT, IMPLICIT, BIG, DEFLATED, LOSSLESS, BASELINE, JPEG_LS, RLE = (
    ("explicit little endian", ["dcmconv", "+te"], ["-xe"]),
    ("implicit little endian", ["dcmconv", "+ti"], ["-xi"]),
    ("explicit big endian", ["dcmconv", "+tb"], ["-xb"]),
    ("deflated", ["dcmconv", "+td"], ["-xd"]),
    ("JPEG lossless", ["dcmcjpeg", "+e1"], ["-xs"]),
    ("JPEG baseline", ["dcmcjpeg", "+eb", "+q", "90", "+un"], ["-xy"]),
    ("JPEG-LS lossless", ["dcmcjpls", "+el"], ["-xt"]),
    ("RLE lossless", ["dcmcrle"], ["-xr"]),
)


class Study:
    """title is the sender's, syntax is for people, propose are options of storescu;
    files: {path: SOP Instance UID}"""

    def __init__(self, modality, title, description, encoding):
        self.modality, self.title = modality, title
        self.description = description
        self.syntax, self.encode, self.propose = encoding
        self.uid = fresh_uid()
        self.files = {}

    @property
    def bytes(self):
        return sum(os.path.getsize(f) for f in self.files)


def fresh_uid():
    return "2.25.%d" % uuid.uuid4().int


# --- drawing ----------------------------------------------------------------

def draw(rows, columns, shapes, noise=0, item="H"):
    """Ellipses (x, y, half width, half height, value) in units of the image's
    size, the later over the earlier."""
    image = array.array(item)
    grain = array.array(item, (random.randrange(noise or 1)
                               for _ in range(4 * columns)))
    for y in range(rows):
        row = array.array(item, bytes(columns * image.itemsize))
        for cx, cy, a, b, value in shapes:
            part = 1 - ((y / rows - cy) / b) ** 2
            if part <= 0:
                continue
            half = a * part ** 0.5
            left = max(0, int((cx - half) * columns))
            right = min(columns, int((cx + half) * columns))
            row[left:right] = array.array(item, [value]) * max(0, right - left)
        if noise:
            at = random.randrange(3 * columns)
            row = array.array(item, map(operator.add, row,
                                        grain[at:at + columns]))
        image += row
    return image


def draw_thorax(rows, columns, z, full):
    """A slice through a chest; z runs from 0 to 1, full is the brightest."""
    lung = 0.05 + 0.12 * (1 - abs(2 * z - 1))
    return draw(rows, columns, [
        (0.5, 0.5, 0.44, 0.32, int(full * 0.50)),
        (0.5, 0.5, 0.42, 0.30, int(full * 0.45)),
        (0.31, 0.48, lung, lung * 1.5, int(full * 0.08)),
        (0.69, 0.48, lung, lung * 1.5, int(full * 0.08)),
        (0.54, 0.45, 0.10, 0.11, int(full * 0.55)),
        (0.5, 0.72, 0.05, 0.05, int(full * 0.85)),
        (0.66, 0.50 + z / 10, 0.015, 0.015, int(full * 0.5)),
    ], noise=max(2, full // 50))


def draw_head(rows, columns, z, full):
    size = 0.25 + 0.15 * (1 - (2 * z - 1) ** 2)
    return draw(rows, columns, [
        (0.5, 0.5, size, size * 1.2, int(full * 0.8)),
        (0.5, 0.5, size * 0.92, size * 1.12, int(full * 0.1)),
        (0.5, 0.5, size * 0.86, size * 1.05, int(full * 0.45)),
        (0.44, 0.48, size * 0.12, size * 0.3, int(full * 0.9 * z)),
        (0.56, 0.48, size * 0.12, size * 0.3, int(full * 0.9 * z)),
    ], noise=max(2, full // 30))


def draw_breast(rows, columns, side, full):
    x = 0.0 if side == "L" else 1.0
    return draw(rows, columns, [
        (x, 0.5, 0.75, 0.40, int(full * 0.3)),
        (x, 0.5, 0.55, 0.30, int(full * 0.55)),
        (abs(x - 0.3), 0.45, 0.03, 0.02, int(full * 0.9)),
    ], noise=full // 40)


def draw_sector(rows, columns, beat):
    """An ultrasound frame in RGB with a heart that beats."""
    grey = draw(rows, columns, [
        (0.5, 0.1, 0.40, 0.85, 60),
        (0.5, 0.45, 0.18, 0.20, 140),
        (0.5, 0.45, 0.10 + 0.04 * beat, 0.12 + 0.05 * beat, 15),
    ], noise=24, item="B").tobytes()
    frame = bytearray(3 * len(grey))
    frame[0::3] = frame[1::3] = frame[2::3] = grey
    at = 3 * (rows * columns * 45 // 100 + columns // 2)
    frame[at:at + 120] = bytes((200, 40, 40)) * 40  # flow, red
    return bytes(frame)


# --- data sets --------------------------------------------------------------

def write(path, attributes):
    """attributes: {tag: (VR, value)}"""
    data = b"".join(dicomraw.explicit(tag >> 16, tag & 0xffff, vr,
                                      value if isinstance(value, bytes)
                                      else value.encode("latin-1"))
                    for tag, (vr, value) in sorted(attributes.items()))
    return part10.write(path, data, attributes[0x00080016][1],
                        attributes[0x00080018][1])


def short(*numbers):
    return "US", b"".join(n.to_bytes(2, "little") for n in numbers)


def pixels(rows, columns, data, bits=12, kind=ONE, frames=0):
    depth = 16 if bits > 8 else 8
    made = {
        0x00280002: short(3 if kind == COLOUR else 1),
        0x00280004: ("CS", kind),
        0x00280010: short(rows), 0x00280011: short(columns),
        0x00280100: short(depth), 0x00280101: short(bits),
        0x00280102: short(bits - 1), 0x00280103: short(0),
        0x7fe00010: ("OW" if depth == 16 else "OB", bytes(data)),
    }
    if kind == COLOUR:
        made[0x00280006] = short(0)
    if frames:
        made[0x00280008] = ("IS", str(frames))
    return made


class Patient:
    def __init__(self, name, sex, born, charset="ISO_IR 100", codec="latin-1"):
        self.number = "D%06d" % random.randrange(10 ** 6)
        self.accession = "A%s%04d" % (
            datetime.date.today().strftime("%y%m%d"), random.randrange(10 ** 4))
        self.attributes = {
            0x00080005: ("CS", charset), 0x00100010: ("PN", name.encode(codec)),
            0x00100020: ("LO", self.number), 0x00100030: ("DA", born),
            0x00100040: ("CS", sex),
        }


class Maker:
    """Writes the files of one study."""

    def __init__(self, directory, study, patient, sop_class):
        self.directory = os.path.join(directory, study.modality)
        self.study, self.patient, self.sop_class = study, patient, sop_class
        self.now = datetime.datetime.now()
        self.series, self.series_number, self.number = None, 0, 0

    def begin_series(self, description):
        self.series_number += 1
        self.number = 0
        self.series = {0x0020000e: ("UI", fresh_uid()),
                       0x00200011: ("IS", str(self.series_number)),
                       0x0008103e: ("LO", description)}

    def add(self, more):
        self.number += 1
        day, hour = self.now.strftime("%Y%m%d"), self.now.strftime("%H%M%S")
        attributes = {
            0x00080008: ("CS", "ORIGINAL\\PRIMARY"),
            0x00080016: ("UI", STORAGE + self.sop_class),
            0x00080018: ("UI", fresh_uid()),
            0x00080020: ("DA", day), 0x00080023: ("DA", day),
            0x00080030: ("TM", hour), 0x00080033: ("TM", hour),
            0x00080050: ("SH", self.patient.accession),
            0x00080060: ("CS", self.study.modality),
            0x00080070: ("LO", "Demonstration"),
            0x00080080: ("LO", "General Hospital"),
            0x00080090: ("PN", "Referrer^R."),
            0x00081030: ("LO", self.study.description),
            0x0020000d: ("UI", self.study.uid),
            0x00200010: ("SH", self.patient.accession),
            0x00200013: ("IS", str(self.number)),
            **self.patient.attributes, **self.series, **more,
        }
        path = os.path.join(self.directory, "%d-%03d.dcm" % (
            self.series_number, self.number))
        plain = write(path + ".plain", attributes)
        subprocess.run([*self.study.encode, plain, path], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        os.unlink(plain)
        self.study.files[path] = attributes[0x00080018][1]


# --- the studies ------------------------------------------------------------

def make_ct(m):
    for name, images in (("Thorax 1.0", 40), ("Thorax 5.0", 20)):
        m.begin_series(name)
        for i in range(images):
            z = i / images
            m.add({**pixels(512, 512, draw_thorax(512, 512, z, 4000)),
                   0x00180050: ("DS", name[-3:]), 0x00180060: ("DS", "120"),
                   0x00200032: ("DS", "-200\\-200\\%d" % (300 * z)),
                   0x00200037: ("DS", "1\\0\\0\\0\\1\\0"),
                   0x00280030: ("DS", "0.78\\0.78"),
                   0x00281050: ("DS", "40"), 0x00281051: ("DS", "400"),
                   0x00281052: ("DS", "-1024"), 0x00281053: ("DS", "1")})


def make_mr(m):
    for name in ("T1 axial", "T2 axial"):
        m.begin_series(name)
        for i in range(20):
            m.add({**pixels(256, 256, draw_head(256, 256, i / 20, 2000)),
                   0x00180080: ("DS", "500"), 0x00180081: ("DS", "12"),
                   0x00280030: ("DS", "0.9\\0.9")})


def make_dx(m):
    for view in ("PA", "LL"):
        m.begin_series("Chest " + view)
        m.add({**pixels(1536, 1536, draw_thorax(1536, 1536, 0.5, 16000), 14),
               0x00185101: ("CS", view), 0x00280030: ("DS", "0.14\\0.14")})


def make_mg(m):
    for side in "RL":
        m.begin_series(side + " CC")
        m.add({**pixels(1280, 1024, draw_breast(1280, 1024, side, 4000)),
               0x00200062: ("CS", side), 0x00185101: ("CS", "CC")})


def make_us(m):
    m.begin_series("Stills")
    for i in range(4):
        m.add(pixels(480, 640, draw_sector(480, 640, i / 4), 8, COLOUR))
    m.begin_series("Cine loop")
    m.sop_class = "3.1"  # Ultrasound Multi-frame
    beats = [draw_sector(480, 640, abs(1 - i / 6)) for i in range(12)]
    m.add({**pixels(480, 640, b"".join(beats), 8, COLOUR, 12),
           0x00181063: ("DS", "40"),
           0x00280009: ("AT", b"\x18\x00\x63\x10")})


def make_xa(m):
    m.begin_series("Left coronary")
    frames = b"".join(draw(512, 512, [
        (0.5, 0.5, 0.45, 0.45, 120), (0.4 + i / 100, 0.5, 0.02, 0.3, 30),
        (0.5, 0.45 + i / 200, 0.25, 0.015, 30)], 4, "B").tobytes()
                      for i in range(16))
    m.add({**pixels(512, 512, frames, 8, ONE, 16), 0x00181063: ("DS", "66"),
           0x00280009: ("AT", b"\x18\x00\x63\x10")})


def make_nm(m):
    m.begin_series("Bone scan")
    frames = b"".join(draw_head(128, 128, i / 8, 900).tobytes()
                      for i in range(8))
    m.add({**pixels(128, 128, frames, 16, ONE, 8),
           0x00540010: short(*([1] * 8)), 0x00540011: short(1),
           0x00280009: ("AT", b"\x54\x00\x10\x00")})


def make_sr(m):
    m.begin_series("Report")
    item = b"".join((
        dicomraw.explicit(0x0040, 0xa010, "CS", "CONTAINS"),
        dicomraw.explicit(0x0040, 0xa040, "CS", "TEXT"),
        dicomraw.explicit(0x0040, 0xa160, "UT",
                          "No finding. " + "The lungs are clear. " * 40)))
    m.add({0x00080008: ("CS", "DERIVED\\PRIMARY"),
           0x0040a040: ("CS", "CONTAINER"), 0x0040a050: ("CS", "SEPARATE"),
           0x0040a491: ("CS", "COMPLETE"), 0x0040a493: ("CS", "UNVERIFIED"),
           0x0040a730: ("SQ", dicomraw.explicit(0xfffe, 0xe000, "SQ", b"")[:4]
                        + len(item).to_bytes(4, "little") + item)})


ALL = (
    (Study("CT", "CT1", "CT thorax with contrast", EXPLICIT), "2", make_ct,
     ("M\u00fcller^Anna", "F", "19610412")),
    (Study("MR", "MR1", "MR head", IMPLICIT), "4", make_mr,
     ("Dubois^Ren\u00e9", "M", "19480903")),
    (Study("DX", "DX1", "Chest, two views", LOSSLESS), "1.1", make_dx,
     ("O'Brien^Sean", "M", "19750121")),
    (Study("MG", "MG1", "Screening mammography", JPEG_LS), "1.2", make_mg,
     ("Garc\u00eda^Luc\u00eda", "F", "19680630")),
    (Study("US", "US3", "Echocardiography", BASELINE), "6.1", make_us,
     ("Yamada^Tarou=\u5c71\u7530^\u592a\u90ce", "M", "19550808",
      "ISO_IR 192", "utf-8")),
    (Study("XA", "XA1", "Coronary angiography", RLE), "12.1", make_xa,
     ("\u0418\u0432\u0430\u043d\u043e\u0432^\u041f\u0451\u0442\u0440", "M",
      "19520214", "ISO_IR 144", "iso8859-5")),
    (Study("NM", "NM1", "Bone scintigraphy", BIG), "20", make_nm,
     ("Papadopoulos^Eleni", "F", "19701111")),
    (Study("SR", "SR1", "Report", DEFLATED), "88.11", make_sr,
     ("Nobody^Nemo", "O", "19800101")),
)


def make(directory, progress):
    """progress(text) is called before each study."""
    for study, sop_class, draw_files, patient in ALL:
        progress("%s, %s" % (study.description, study.syntax))
        draw_files(Maker(directory, study, Patient(*patient), sop_class))
    return [study for study, *_ in ALL]
