"""dicomfile.py - a Part 10 file as an import sees it: its elements, or what is wrong.

read(file, size) gives an Instance or raises ValueError with the reason that a
failure record would name. The elements are read by pydicom, up to the pixel data;
of the pixel data only whether it is all there. Modelled: HealthImaging developer
guide, "DICOM element constraints", "Supported transfer syntaxes", "Understanding
import jobs" (the two messages that it shows); other messages are made up.
"""
import io
import re
import struct

import pydicom
import pydicom.config
import pydicom.errors

LENGTHS = {"PatientName": 256, "PatientID": 256, "PatientBirthDate": 18,
           "PatientSex": 16, "StudyInstanceUID": 256, "StudyID": 256,
           "StudyDescription": 256, "AccessionNumber": 256, "StudyDate": 18,
           "StudyTime": 28, "SOPInstanceUID": 256, "SeriesInstanceUID": 256}
NEEDED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
KEPT = """StudyDate StudyTime AccessionNumber Modality ReferringPhysicianName
    StudyDescription SeriesDescription PatientName PatientID PatientBirthDate
    PatientBirthTime PatientSex StudyID SeriesNumber InstanceNumber Rows Columns
    NumberOfFrames BitsAllocated SOPClassUID SOPInstanceUID StudyInstanceUID
    SeriesInstanceUID SpecificCharacterSet TimezoneOffsetFromUTC""".split()
SYNTAXES = {"1.2.840.10008.1.2" + tail for tail in (
    "", ".1", ".1.99", ".2", ".5", ".4.50", ".4.51", ".4.57", ".4.70", ".4.80",
    ".4.81", ".4.90", ".4.91", ".4.92", ".4.93", ".4.100", ".4.100.1", ".4.101",
    ".4.101.1", ".4.102", ".4.102.1", ".4.103", ".4.103.1", ".4.104", ".4.104.1",
    ".4.105", ".4.105.1", ".4.106", ".4.106.1", ".4.107", ".4.108", ".4.112",
    ".4.201", ".4.202", ".4.203")}
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
IMPLICIT = "1.2.840.10008.1.2"
UID = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))*$")


class Pieces(io.RawIOBase):
    """[(path, offset, length)] as one file."""

    def __init__(self, pieces):
        self.parts, self.size, self.at = [], 0, 0
        for path, offset, length in pieces:
            self.parts.append((self.size, open(path, "rb"), offset, length))
            self.size += length

    def readable(self):
        return True

    def seekable(self):
        return True

    def tell(self):
        return self.at

    def seek(self, offset, whence=io.SEEK_SET):
        self.at = offset + (0, self.at, self.size)[whence]
        return self.at

    def readinto(self, buffer):
        for start, file, offset, length in self.parts:
            if start <= self.at < start + length:
                file.seek(offset + self.at - start)
                data = file.read(min(len(buffer), start + length - self.at))
                buffer[:len(data)] = data
                self.at += len(data)
                return len(data)
        return 0

    def close(self):
        for _, file, _, _ in self.parts:
            file.close()
        super().close()


class Instance:
    """Some of its elements, as DICOM JSON by keyword; .text(keyword) is one's value."""

    def __init__(self, dataset, size):
        self.size = size
        self.syntax = str(dataset.file_meta.TransferSyntaxUID)
        self.elements = {}
        for keyword in KEPT:
            if keyword in dataset:
                self.elements[keyword] = as_json(dataset, keyword)
        self.uid, self.study = self.text("SOPInstanceUID"), self.text("StudyInstanceUID")
        self.series, self.sop_class = (self.text("SeriesInstanceUID"),
                                       self.text("SOPClassUID"))

    def text(self, keyword):
        return value_text(self.elements.get(keyword))


def value_text(element):
    """The first value of an element of DICOM JSON, as a string."""
    if element is None or not element.get("Value"):
        return ""
    value = element["Value"][0]
    return str(value.get("Alphabetic", "") if isinstance(value, dict) else value)


def as_json(dataset, keyword):
    element = dataset[keyword]
    try:
        made = element.to_json_dict(None, 1024)
    except (TypeError, ValueError):
        made = {"vr": element.VR, "Value": [str(element.value)]}
    return made if made.get("Value") else {"vr": element.VR}


def read(file, size):
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    try:
        dataset = pydicom.dcmread(file, stop_before_pixels=True)
        syntax = dataset.file_meta.get("TransferSyntaxUID")
    except (pydicom.errors.InvalidDicomError, EOFError):
        raise ValueError("DICOM attributes does not exist")
    except Exception as error:  # pydicom's are of many kinds
        raise ValueError("DICOM file cannot be parsed: %s" % type(error).__name__)
    if not syntax:
        raise ValueError("DICOM attribute TransferSyntaxUID does not exist")
    if syntax not in SYNTAXES:
        raise ValueError("Transfer syntax %s is not supported" % syntax)
    check_elements(dataset)
    if syntax != DEFLATED:
        check_pixels(file, size, syntax)
    return Instance(dataset, size)


def check_elements(dataset):
    for keyword in NEEDED:
        if not dataset.get(keyword):
            raise ValueError("DICOM attribute %s does not exist" % keyword)
    for keyword, most in LENGTHS.items():
        if len(str(dataset.get(keyword) or "")) > most:
            raise ValueError("DICOM attribute %s is longer than %d" % (keyword, most))


def check_pixels(file, size, syntax):
    """From where the dataset before the pixel data ends."""
    order = ">" if syntax == BIG_ENDIAN else "<"
    head = file.read(12)
    if len(head) < 8:
        return
    group, element = struct.unpack_from(order + "HH", head)
    if (group, element) != (0x7fe0, 0x0010):
        return
    if syntax == IMPLICIT:
        file.seek(-4, io.SEEK_CUR)
        length, = struct.unpack_from("<I", head, 4)
    else:
        length, = struct.unpack_from(order + "I", head, 8)
    if length != 0xffffffff:
        if file.tell() + length > size:
            raise ValueError("Pixel data is truncated")
        return
    while True:
        if file.tell() > size:
            raise ValueError("Pixel data is truncated")
        item = file.read(8)
        tag, length = struct.unpack("<II", item) if len(item) == 8 else (0, 0)
        if tag != 0xe000fffe:
            return
        file.seek(length, io.SEEK_CUR)


def warnings_of(instance):
    """[(code, type, message)] of what is odd but imported."""
    found = []
    for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        if not UID.match(instance.text(keyword)) or len(instance.text(keyword)) > 64:
            found.append((0xB201, "InvalidUidFormat",
                          "%s is not a valid UID" % keyword))
    return found
