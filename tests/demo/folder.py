"""folder.py - the user's own images, for `make demo DICOM=path`.

scan(path, progress) returns a list of Study, one for each study and transfer
syntax, and the number of files that are not sent: no DICOM, or a SOP Instance
UID that another file has, too.
"""
import os
import warnings

import studies

# What storescu has an option for; anything else is for dcmsend to propose.
PROPOSE = {
    "1.2.840.10008.1.2": ("implicit little endian", "-xi"),
    "1.2.840.10008.1.2.1": ("explicit little endian", "-xe"),
    "1.2.840.10008.1.2.1.99": ("deflated", "-xd"),
    "1.2.840.10008.1.2.2": ("explicit big endian", "-xb"),
    "1.2.840.10008.1.2.4.50": ("JPEG baseline", "-xy"),
    "1.2.840.10008.1.2.4.51": ("JPEG extended", "-xx"),
    "1.2.840.10008.1.2.4.70": ("JPEG lossless", "-xs"),
    "1.2.840.10008.1.2.4.80": ("JPEG-LS lossless", "-xt"),
    "1.2.840.10008.1.2.4.81": ("JPEG-LS lossy", "-xu"),
    "1.2.840.10008.1.2.4.90": ("JPEG 2000 lossless", "-xv"),
    "1.2.840.10008.1.2.4.91": ("JPEG 2000", "-xw"),
    "1.2.840.10008.1.2.5": ("RLE lossless", "-xr"),
}
TAGS = ["SOPInstanceUID", "StudyInstanceUID", "Modality", "StudyDescription"]


def read_head(path):
    """None for what is no DICOM file, or a DICOMDIR."""
    import pydicom

    try:
        d = pydicom.dcmread(path, specific_tags=TAGS, stop_before_pixels=True)
        syntax = str(d.file_meta.TransferSyntaxUID)
        if not d.get("SOPInstanceUID") or not d.get("StudyInstanceUID"):
            return None
    except Exception:  # pylint: disable=broad-except  # whatever it is, it is not ours
        return None
    return d, syntax


def list_files(top):
    if os.path.isfile(top):
        return [top]
    return [os.path.join(directory, name)
            for directory, _, names in sorted(os.walk(top))
            for name in sorted(names)]


def begin_study(d, syntax):
    name, option = PROPOSE.get(syntax, (syntax, None))
    study = studies.Study(str(d.get("Modality", "") or "?"), "DEMO",
                          str(d.get("StudyDescription", "") or "-"),
                          (name, None, [option] if option else None))
    study.uid = str(d.StudyInstanceUID)
    return study


def scan(top, progress):
    found, seen, others = {}, set(), 0
    warnings.simplefilter("ignore")
    for number, path in enumerate(list_files(top)):
        progress("%d files" % number)
        head = read_head(path)
        if head is None or str(head[0].SOPInstanceUID) in seen:
            others += 1
            continue
        d, syntax = head
        seen.add(str(d.SOPInstanceUID))
        key = str(d.StudyInstanceUID), syntax
        if key not in found:
            found[key] = begin_study(d, syntax)
        found[key].files[path] = str(d.SOPInstanceUID)
    return list(found.values()), others
