#!/usr/bin/python3
"""objects.py - the independent decoder of test_dicom_objects.c.

usage: objects.py make DIRECTORY     objects by DCMTK, in every encoding
       objects.py compare LIST       lines of `original TAB re-encoded`
       objects.py texts LIST         lines of `file TAB path of tags TAB UTF-8`

`compare` reads both files with pydicom and wants every element of the one in
the other, with the same value and with the VR that rule 23 gives it. `texts`
wants what pydicom makes of each value. Prints what differs; exit status 0, 1,
or 77 when pydicom or DCMTK is not there.
"""
import os
import subprocess
import sys
import warnings

MISSING = 77
LONG = {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}
UNITS = {"US": 2, "SS": 2, "OW": 2, "AT": 2, "UL": 4, "SL": 4, "FL": 4, "OF": 4,
         "OL": 4, "FD": 8, "OD": 8, "OV": 8, "SV": 8, "UV": 8}

PLAIN = """
(0008,0005) CS [ISO_IR 100]
(0008,0016) UI [1.2.840.10008.5.1.4.1.1.7]
(0008,0018) UI [1.2.3.4]
(0008,0060) CS [OT]
(0010,0010) PN [Doe^John]
(0010,0020) LO [odd]
(0018,1310) US 0\\64\\64\\0
(0018,602c) FD 1.5
(0018,6020) SL -2
(0020,9165) AT (0008,0060)
(0008,1140) SQ
(fffe,e000) na
(0008,1150) UI [1.2.3]
(fffe,e00d) na
(fffe,e000) na
(fffe,e00d) na
(fffe,e0dd) na
(0028,0100) US 16
(0028,0103) US 0
(0028,0106) US 65000
(0028,3010) SQ
(fffe,e000) na
(0028,3002) US 3\\65533\\16
(0028,3006) OW 0001\\0002\\0003
(fffe,e00d) na
(fffe,e0dd) na
(7fe0,0010) OW 0102\\0304\\0506
"""
BYTES = """
(0008,0016) UI [1.2.840.10008.5.1.4.1.1.7]
(0008,0018) UI [1.2.3.5]
(0028,0100) US 8
(7fe0,0010) OB 01\\02\\03\\04
"""
PRIVATE = """
(0008,0016) UI [1.2.840.10008.5.1.4.1.1.7]
(0008,0018) UI [1.2.3.6]
(0009,0010) LO [CREATOR]
(0009,1001) LO [private]
(0009,1002) SQ
(fffe,e000) na
(0008,0060) CS [CT]
(0009,0010) LO [CREATOR]
(0009,1004) US 1\\2
(fffe,e00d) na
(fffe,e0dd) na
"""
WAVEFORM = """
(0008,0016) UI [1.2.840.10008.5.1.4.1.1.9.1.1]
(0008,0018) UI [1.2.3.7]
(5400,0100) SQ
(fffe,e000) na
(5400,1004) US 16
(5400,1010) OW 0102\\0304
(fffe,e00d) na
(fffe,e000) na
(5400,1004) US 8
(5400,1010) OB 01\\02
(fffe,e00d) na
(fffe,e0dd) na
"""
DUMPS = {"plain": PLAIN, "bytes": BYTES, "private": PRIVATE, "waveform": WAVEFORM,
         "contour": PLAIN.replace("[odd]", "[x]") + "(3006,0050) DS [%s]\n"
         % "\\".join(["12345"] * 10000)}
# Implicit ones with undefined lengths, so that private sequences are seen.
FORMS = {"ele": ["+te"], "eleu": ["+te", "-e"], "ile": ["+ti"], "ileu": ["+ti", "-e"],
         "ebe": ["+tb"], "ebeu": ["+tb", "-e"], "dfl": ["+td"], "eleg": ["+te", "+g"]}


def make(directory):
    for name, dump in DUMPS.items():
        source = os.path.join(directory, name + ".dump")
        first = os.path.join(directory, "made")
        with open(source, "w", encoding="latin-1") as out:
            out.write(dump)
        # Long values of short VRs cannot be said in explicit VR.
        write = "+ti" if name == "contour" else "+te"
        try:
            subprocess.run(["dump2dcm", write, "+l", "1000000", source, first],
                           check=True, stdout=subprocess.DEVNULL)
            for form, options in FORMS.items():
                subprocess.run(["dcmconv", *options, first, os.path.join(
                    directory, name + "." + form)], check=True)
        except FileNotFoundError:
            return MISSING
        os.unlink(source)
        os.unlink(first)
    return 0


def bare(value):
    """pydicom says an empty value as None, "" or an empty name."""
    return value if value not in (None, "") and str(value) else b""


class Comparison:
    """One original and what the converter made of it."""

    def __init__(self, name, original, converted):
        self.name = name
        self.original = original
        self.converted = converted
        self.implicit = original.is_implicit_VR
        self.big = original.is_little_endian is False
        self.wrong = []

    def complain(self, path, what):
        self.wrong.append("%s: %s: %s" % (self.name, "/".join(path), what))

    def skipped(self, tag, path):
        return tag.element == 0 or (tag == 0xFFFCFFFC and not path)

    def data_sets(self, a, b, path):
        wanted = [t for t in sorted(a.keys()) if not self.skipped(t, path)]
        if wanted != sorted(b.keys()):
            self.complain(path, "other elements: %s" % sorted(
                set(wanted) ^ set(b.keys())))
            return
        for tag in wanted:
            self.elements(a, b, tag, path + ["%08X" % tag])

    def elements(self, a, b, tag, path):
        now = b.get_item(tag)
        if now.VR == "SQ":
            self.sequences(a, b, tag, path)
            return
        value, got = self.expected_value(a, tag), bare(now.value)
        self.check_vr(a, tag, now.VR, value, path)
        if not isinstance(value, bytes) or not isinstance(got, bytes):
            value, got = repr(a[tag].value), repr(b[tag].value)
        if isinstance(value, bytes) and len(value) % 2 and len(got) > len(value):
            value += got[-1:] if got[-1:] in b"\0 " else b"?"
        if got != value:
            self.complain(path, "%r became %r" % (value[:40], got[:40]))

    def sequences(self, a, b, tag, path):
        if a[tag].VR != "SQ":
            self.complain(path, "%s became a sequence" % a[tag].VR)
            return
        if len(a[tag].value) != len(b[tag].value):
            self.complain(path, "another number of items")
            return
        for i, (x, y) in enumerate(zip(a[tag].value, b[tag].value)):
            self.data_sets(x, y, path + [str(i)])

    def expected_value(self, a, tag):
        """As bytes in little endian, if the element can still be had raw."""
        raw = a.get_item(tag)
        data = bare(raw.value)
        if not isinstance(data, bytes):
            return data
        unit = UNITS.get(raw.VR, 1) if self.big else 1
        return b"".join(data[i:i + unit][::-1] for i in range(0, len(data), unit))

    def check_vr(self, a, tag, vr, value, path):
        from pydicom.datadict import dictionary_VR

        was = a.get_item(tag).VR
        even = len(value) + len(value) % 2 if isinstance(value, bytes) else 0
        if not self.implicit and was is not None:
            allowed = {was if len(was) == 2 and was.isupper() else "UN"}
        elif tag.is_private:
            allowed = {"LO"} if 0x10 <= tag.element <= 0xFF else {"UN"}
        else:
            try:
                allowed = set(dictionary_VR(tag).split(" or "))
            except KeyError:
                allowed = {"UN"}
        if even > 65534 and not allowed & LONG:
            allowed = {"UN"}
        if vr not in allowed:
            self.complain(path, "VR %s, not of %s" % (vr, sorted(allowed)))

    def ambiguous(self):
        """pydicom's own decision where PS3.6 leaves one, for implicit VR."""
        import copy
        from pydicom.filewriter import correct_ambiguous_vr

        resolved = correct_ambiguous_vr(copy.deepcopy(self.original), True)
        for tag in (0x00280106, 0x00280107, 0x00280120):
            if tag in resolved and resolved[tag].VR != self.converted[tag].VR:
                self.complain(["%08X" % tag], "%s, not %s" % (
                    self.converted[tag].VR, resolved[tag].VR))


def read(path):
    import pydicom

    return pydicom.dcmread(path, force=True)


def compare(listing):
    wrong = count = 0
    for line in open(listing, encoding="utf-8"):
        first, second = line.rstrip("\n").split("\t")
        c = Comparison(os.path.basename(first), read(first), read(second))
        c.data_sets(c.original, c.converted, [])
        if c.implicit:
            c.ambiguous()
        for what in c.wrong[:5]:
            print("#", what)
        wrong += bool(c.wrong)
        count += 1
    print("# %d objects compared, %d differ" % (count, wrong))
    return 1 if wrong or not count else 0


def find_text(path, tags):
    d = read(path)
    for step in tags.split("/")[:-1]:
        tag, item = step.split(".")
        d = d[int(tag, 16)].value[int(item)]
    return d[int(tags.split("/")[-1], 16)].value


def texts(listing):
    wrong = count = 0
    for line in open(listing, encoding="utf-8", newline="\n"):
        path, tags, got = line.rstrip("\n").split("\t")
        value = find_text(path, tags)
        want = "\\".join(map(str, value)) if hasattr(value, "append") else str(value)
        got = got.encode().decode("unicode_escape").encode("latin-1").decode()
        count += 1
        if got.rstrip(" =\0") != want.rstrip(" =\0"):
            print("#", os.path.basename(path), tags, repr(got), "not", repr(want))
            wrong += 1
    print("# %d texts compared, %d differ" % (count, wrong))
    return 1 if wrong or not count else 0


def main():
    warnings.simplefilter("ignore")
    what, argument = sys.argv[1:]
    if what == "make":
        return make(argument)
    try:
        import pydicom
    except ImportError:
        return MISSING
    # Data as they are: neither refused nor corrected.
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    pydicom.config.replace_un_with_known_vr = False
    return compare(argument) if what == "compare" else texts(argument)


sys.exit(main())
