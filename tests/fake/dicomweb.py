"""dicomweb.py - HealthImaging's DICOMweb host: STOW, QIDO and WADO.

Modelled, from the developer guide ("Storing instances with STOW-RS", "Searching",
"Retrieving", "OIDC authentication") and PS3.18: StoreDICOM, StoreDICOMStudy (1 GB,
multipart/related or application/dicom), SearchDICOMStudies, -Series, -Instances
(limit and offset with their maxima, the documented keys, ranges, wildcards; primary
image sets only), GetDICOMInstance (imageSetId; 406 for another transfer syntax than
the stored one, except explicit little endian of what is uncompressed),
GetDICOMInstanceMetadata, GetDICOMSeriesMetadata. SigV4, or a bearer token where the
data store has an authorizer: those that tokens.py has issued (DIR/tokens.json).

Not modelled: frames, bulk data, fuzzy matching, transcoding. Statuses of STOW (200,
202, 409; 413 beyond 1 GB) and of an empty search (204) are from PS3.18.

Config ("dicomweb"): "rates", "error_form" as healthimaging's; "limit": 1 GB;
"empty": 204 or 200. Orders for STOW may hold "stow": {"fail": {uid or "*": code},
"warn": {...}, "omit": [uid], "non_primary": [uid]}.
"""
import email.parser
import io
import json
import mmap
import re
import uuid

import pydicom

import awsjson
import dicomfile
import tokenfile
from base import Fault, Reply

UIDS = "/datastore/([^/]+)"
ROUTES = [
    ("POST", UIDS + "/studies", "StoreDICOM"),
    ("POST", UIDS + "/studies/([^/]+)", "StoreDICOMStudy"),
    ("GET", UIDS + "/studies", "SearchDICOMStudies"),
    ("GET", UIDS + "(?:/studies/([^/]+))?/series", "SearchDICOMSeries"),
    ("GET", UIDS + "(?:/studies/([^/]+)(?:/series/([^/]+))?)?/instances",
     "SearchDICOMInstances"),
    ("GET", UIDS + "/studies/([^/]+)/series/([^/]+)/instances/([^/]+)",
     "GetDICOMInstance"),
    ("GET", UIDS + "/studies/([^/]+)/series/([^/]+)/instances/([^/]+)/metadata",
     "GetDICOMInstanceMetadata"),
    ("GET", UIDS + "/studies/([^/]+)/series/([^/]+)/metadata",
     "GetDICOMSeriesMetadata"),
]
RATES = {"GetDICOMInstance": [50, 100], "GetDICOMInstanceMetadata": [50, 100],
         "GetDICOMSeriesMetadata": [50, 100]}
STUDY_KEYS = """StudyDate StudyTime AccessionNumber ModalitiesInStudy
    ReferringPhysicianName StudyDescription PatientName PatientID PatientBirthDate
    PatientBirthTime StudyInstanceUID StudyID""".split()
SERIES_KEYS = ["Modality", "SeriesInstanceUID"]
INSTANCE_KEYS = ["SOPClassUID", "SOPInstanceUID", "WarningReason"]
SHOWN = {
    "study": """StudyDate StudyTime AccessionNumber ReferringPhysicianName
        StudyDescription PatientName PatientID PatientBirthDate PatientSex
        StudyInstanceUID StudyID SpecificCharacterSet""".split(),
    "series": "Modality SeriesDescription SeriesInstanceUID SeriesNumber".split(),
    "instance": """SOPClassUID SOPInstanceUID InstanceNumber Rows Columns
        NumberOfFrames BitsAllocated""".split()}
EXPLICIT = "1.2.840.10008.1.2.1"
UNCOMPRESSED = ("1.2.840.10008.1.2", EXPLICIT, "1.2.840.10008.1.2.1.99",
                "1.2.840.10008.1.2.2")
JSON = "application/dicom+json"


def tag_of(keyword):
    return "%08X" % pydicom.datadict.tag_for_keyword(keyword)


def us(value):
    return {"vr": "US", "Value": [value]}


def ui(value):
    return {"vr": "UI", "Value": [value]}


def invalid(message):
    return Fault("ValidationException", 400, message)


# --- bodies of STOW -----------------------------------------------------------

def split_parts(content_type, data):
    """[(offset, length)] of the parts of a multipart/related body."""
    found = re.search(r'boundary="?([^";,]+)"?', content_type)
    if found is None or 'application/dicom' not in content_type.replace(
            "application/dicom+", ""):
        raise Fault("UnsupportedMediaTypeException", 415, content_type)
    mark = b"--" + found.group(1).encode()
    at = 0 if data[:len(mark)] == mark else data.find(b"\r\n" + mark) + 2
    parts = []
    while at >= 2 or (at == 0 and not parts):
        at += len(mark)
        if data[at:at + 2] == b"--":
            return parts
        head_end = data.find(b"\r\n\r\n", at)
        end = data.find(b"\r\n" + mark, head_end + 4 - 2)
        if head_end < 0 or end < 0:
            break
        check_part(data[at:head_end], end - head_end - 4)
        parts.append((head_end + 4, end - head_end - 4))
        at = end + 2
    raise invalid("The multipart body has no end")


def check_part(head, length):
    headers = email.parser.BytesParser().parsebytes(head.lstrip() + b"\r\n\r\n")
    if not headers.get("content-type", "").startswith("application/dicom"):
        raise invalid("A part without Content-Type: application/dicom")
    if headers.get("content-length", str(length)) != str(length):
        raise invalid("A part of another length than its Content-Length")


def chosen(table, uid):
    return table.get(uid, table.get("*")) if isinstance(table, dict) else \
        uid in table


# --- QIDO ---------------------------------------------------------------------

def matches(keyword, wanted, values):
    """Whether one of the values is what the key asks for."""
    if wanted in ("", "*"):
        return True
    if keyword.endswith("UID"):
        return not set(re.split(r"[,\\]", wanted)).isdisjoint(values)
    if keyword.endswith(("Date", "Time")) and "-" in wanted:
        low, _, high = wanted.partition("-")
        return any((not low or v >= low) and (not high or v <= high)
                   for v in values if v)
    pattern = re.escape(wanted).replace(r"\*", ".*").replace(r"\?", ".")
    flags = re.I if keyword.endswith("Name") else 0
    return any(re.fullmatch(pattern, v, flags) for v in values)


def number(arguments, name, otherwise, most):
    text = arguments.get(name, str(otherwise))
    if not re.fullmatch(r"\d{1,9}", text) or int(text) > most:
        raise invalid("%s must be a number of at most %d" % (name, most))
    return int(text)


def read_keys(query, known):
    """{keyword: wanted} of what a query asks for."""
    keys = {}
    for name, value in query:
        if name in ("limit", "offset", "includefield"):
            continue
        if name == "fuzzymatching":
            if value != "false":
                raise Fault("UnknownOperationException", 404, "fuzzymatching")
            continue
        keyword = pydicom.datadict.keyword_for_tag(name) \
            if re.fullmatch("[0-9A-Fa-f]{8}", name) else name
        if keyword not in known:
            raise invalid("%s is no search parameter here" % name)
        keys[keyword] = value
    return keys


class Counted:
    """What an answer counts at study and series level."""

    def __init__(self, everything):
        self.studies = {}
        for kept in everything:
            series = self.studies.setdefault(kept.study, {})
            series.setdefault(kept.series, []).append(kept)

    def modalities(self, study):
        return sorted({dicomfile.value_text(k.elements.get("Modality"))
                       for series in self.studies[study].values() for k in series})

    def of(self, kept):
        study = self.studies[kept.study]
        return {"study": {
            "00080061": {"vr": "CS", "Value": self.modalities(kept.study)},
            "00201206": {"vr": "IS", "Value": [len(study)]},
            "00201208": {"vr": "IS", "Value": [sum(map(len, study.values()))]}},
            "series": {"00201209": {"vr": "IS", "Value": [len(study[kept.series])]}},
            "instance": {"00083002": ui(kept.syntax)}}


class Dicomweb(awsjson.AwsJson):
    name = "dicomweb"
    ROUTES, RATES = ROUTES, RATES
    DEFAULTS = {"rates": {}, "error_form": "header", "limit": 10 ** 9, "empty": 204}

    def before(self, request):
        length = int(request.header("content-length", 0))
        if length > request.config["limit"]:
            raise Fault("RequestEntityTooLargeException", 413,
                        "The request is larger than %d bytes" % request.config["limit"])
        super().before(request)

    # -- who asks

    def verify_early(self, request):
        if not self.takes_bearer(request):
            super().verify_early(request)

    def takes_bearer(self, request):
        return request.header("authorization", "").startswith("Bearer ")

    def authenticate(self, request):
        if not self.takes_bearer(request):
            super().authenticate(request)
            return
        if not self.authorizer:
            raise Fault("AccessDeniedException", 403, "Access Denied")
        if tokenfile.find(self.place, request) is None:
            raise Fault("AccessDeniedException", 403, "Invalid or Expired Token")
        request.key = {"arn": "arn:aws:iam::role/from-token"}

    # -- STOW

    def do_StoreDICOM(self, request):
        request.body.finish()
        if request.body.size == 0:
            raise invalid("An empty body")
        if request.body.path is None:
            data = request.body.bytes()
        else:
            with open(request.body.path, "rb") as f:
                data = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
        kind = request.header("content-type", "")
        if kind.split(";")[0].strip() == "application/dicom":
            parts = [(0, len(data))]
        elif kind.startswith("multipart/related"):
            parts = split_parts(kind, data)
        else:
            raise Fault("UnsupportedMediaTypeException", 415, kind)
        results = {"stored": [], "failed": [], "others": []}
        request.noted["uids"] = []
        for offset, length in parts:
            self.store_one(request, data[offset:offset + length], results)
        return self.stow_answer(results)

    do_StoreDICOMStudy = do_StoreDICOM

    def store_one(self, request, data, results):
        told = request.order.get("stow", {})
        try:
            instance = dicomfile.read(io.BytesIO(data), len(data))
        except ValueError as why:
            request.noted["why"] = str(why)
            results["others"].append({"00081197": us(0xC000)})
            return
        uid = instance.uid
        request.noted["uids"].append(uid)
        item = {"00081150": ui(instance.sop_class), "00081155": ui(uid)}
        code = chosen(told.get("fail", {}), uid)
        if request.operation == "StoreDICOMStudy" and \
                instance.study != request.names[1]:
            code = 0xA900
        if code is None:
            code = self.keep(instance, data, told, item)
        if chosen(told.get("omit", []), uid):
            return
        if code is not None:
            results["failed"].append({**item, "00081197": us(code)})
        else:
            results["stored"].append(item)

    def keep(self, instance, data, told, item):
        def make(path):
            with open(path, "wb") as f:
                f.write(data)

        warnings = dicomfile.warnings_of(instance)
        code = chosen(told.get("warn", {}), instance.uid)
        if code is not None:
            warnings.append((code, "Other", "As ordered."))
        kept = self.archive.add(
            self.datastore, instance, warnings, make, uuid.uuid4().hex,
            not chosen(told.get("non_primary", []), instance.uid))
        if warnings:
            item["00081196"] = us(warnings[0][0])
        item["00081190"] = {"vr": "UR", "Value": [
            "%s/datastore/%s/studies/%s/series/%s/instances/%s%s" % (
                self.url, self.datastore, kept.study, kept.series, kept.uid,
                "" if kept.is_primary else "?imageSetId=" + kept.image_set)]}

    def stow_answer(self, results):
        document = {"00081190": {"vr": "UR"}}
        for tag, name in (("00081198", "failed"), ("00081199", "stored"),
                          ("0008119A", "others")):
            if results[name]:
                document[tag] = {"vr": "SQ", "Value": results[name]}
        bad = results["failed"] or results["others"]
        status = 200 if not bad else 202 if results["stored"] else 409
        return Reply(status, json.dumps(document).encode(), kind=JSON)

    # -- QIDO

    def search(self, request, level, known, study=None, series=None):
        keys = read_keys(request.query, known)
        limit = number(request.arguments, "limit", 1000, 1000)
        offset = number(request.arguments, "offset", 0, 1000000)
        if re.fullmatch(r"[\d.]+", keys.get("StudyInstanceUID", "")):
            study = study or keys["StudyInstanceUID"]
        everything = self.archive.find(self.datastore, primary=1, study=study)
        counted = Counted(everything)
        found = {}
        for kept in everything:
            if series in (None, kept.series) and all(
                    matches(k, v, self.values(kept, k, counted))
                    for k, v in keys.items()):
                found.setdefault({"study": kept.study, "series": kept.series,
                                  "instance": kept.uid}[level], kept)
        page = list(found.values())[offset:offset + limit]
        if not page and request.config["empty"] == 204:
            return Reply(204)
        levels = ("study", "series", "instance")
        shown = [self.show(kept, levels[:levels.index(level) + 1], counted)
                 for kept in page]
        return Reply(200, json.dumps(shown).encode(), kind=JSON)

    def values(self, kept, keyword, counted):
        if keyword == "ModalitiesInStudy":
            return counted.modalities(kept.study)
        if keyword == "WarningReason":
            return [str(code) for code, _, _ in kept.warnings]
        return [dicomfile.value_text(kept.elements.get(keyword))]

    def show(self, kept, levels, counted):
        counts = counted.of(kept)
        shown = {}
        for level in levels:
            shown.update({tag_of(keyword): kept.elements[keyword]
                          for keyword in SHOWN[level] if keyword in kept.elements})
            shown.update(counts[level])
        return dict(sorted(shown.items()))

    def do_SearchDICOMStudies(self, request):
        return self.search(request, "study", STUDY_KEYS)

    def do_SearchDICOMSeries(self, request):
        return self.search(request, "series", STUDY_KEYS + SERIES_KEYS,
                           request.names[1])

    def do_SearchDICOMInstances(self, request):
        return self.search(request, "instance",
                           STUDY_KEYS + SERIES_KEYS + INSTANCE_KEYS,
                           *request.names[1:])

    # -- WADO

    def wanted(self, request):
        _, study, series = request.names[:3]
        uid = request.names[3] if len(request.names) > 3 else None
        image_set = request.arguments.get("imageSetId")
        if image_set is not None and not re.fullmatch("[0-9a-z]{32}", image_set):
            raise invalid("imageSetId")
        found = self.archive.find(self.datastore, uid, study, series, image_set,
                                  None if image_set else 1)
        if not found:
            raise Fault("ResourceNotFoundException", 404, "No such instance")
        return found

    def do_GetDICOMInstance(self, request):
        kept = self.wanted(request)[0]
        accept = request.header("accept", "application/dicom")
        if not re.search(r"application/dicom(;|,|\s|$)|\*/\*", accept):
            raise Fault("NotAcceptableException", 406, accept)
        asked = re.search(r"transfer-syntax=\"?([\d.]+|\*)", accept)
        syntax = asked.group(1) if asked else EXPLICIT
        headers = {"Content-Type": "application/dicom; transfer-syntax=%s" % (
            kept.syntax if syntax == "*" else syntax)}
        if syntax in ("*", kept.syntax):
            return Reply(200, [(kept.path, 0, kept.size)], headers)
        if syntax == EXPLICIT and kept.syntax in UNCOMPRESSED:
            return Reply(200, self.explicit(kept), headers)
        raise Fault("NotAcceptableException", 406, "The instance is stored as %s" %
                    kept.syntax)

    def explicit(self, kept):
        dataset = pydicom.dcmread(kept.path)
        dataset.is_little_endian, dataset.is_implicit_VR = True, False
        dataset.file_meta.TransferSyntaxUID = EXPLICIT
        made = io.BytesIO()
        dataset.save_as(made, write_like_original=False)
        return made.getvalue()

    def metadata(self, request):
        made = []
        for kept in self.wanted(request):
            dataset = pydicom.dcmread(kept.path, stop_before_pixels=True)
            made.append(dataset.to_json_dict(
                1024, lambda _: "%s/datastore/%s/bulkdata/%s" % (
                    self.url, self.datastore, uuid.uuid4().hex),
                suppress_invalid_tags=True))
        return Reply(200, json.dumps(made).encode(), kind=JSON)

    do_GetDICOMInstanceMetadata = do_GetDICOMSeriesMetadata = metadata
