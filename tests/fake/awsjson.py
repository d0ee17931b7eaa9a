"""awsjson.py - a service of AWS by rest-json, as HealthImaging and its DICOMweb host are.

Operations by method and path, throttles, signatures over the real body, policies,
and errors by header and JSON message; see healthimaging.py.
"""
import re
import urllib.parse
import uuid

import base
import sigv4
from base import Fault, json_reply

DATASTORE = "0123456789abcdef0123456789abcdef"
STATUS = {"ValidationException": 400, "ServiceQuotaExceededException": 402,
          "AccessDeniedException": 403, "ResourceNotFoundException": 404,
          "ConflictException": 409, "ThrottlingException": 429,
          "InternalServerException": 500, "ExpiredTokenException": 403,
          "UnrecognizedClientException": 403, "InvalidSignatureException": 403,
          "ServiceUnavailable": 503, "InternalFailure": 500}


def fault_reply(fault, form, status):
    """As rest-json services name their errors."""
    headers = {"x-amzn-requestid": str(uuid.uuid4()), **fault.headers}
    document = {"message": fault.message}
    if form == "body":
        document["__type"] = "com.amazonaws.medicalimaging#" + fault.code
    else:
        headers["x-amzn-errortype"] = fault.code + (
            ":http://internal.amazon.com/coral/com.amazonaws.medicalimaging/"
            if form == "suffix" else "")
    return json_reply(document, status, headers)


class AwsJson(base.Service):
    """Its signatures, throttles and errors; also of the DICOMweb host."""

    sigv4_s3 = False
    ROUTES, RATES = [], {}

    def __init__(self, place, keys, archive, region=base.REGION,
                 datastore=DATASTORE, port=0, authorizer=False):
        self.keys, self.archive, self.region = keys, archive, region
        self.datastore, self.throttles = datastore, {}
        self.authorizer = authorizer
        super().__init__(place, port)

    def operation(self, request):
        for method, pattern, operation in self.ROUTES:
            found = re.fullmatch(pattern, request.path)
            if found and request.method == method:
                request.names = [urllib.parse.unquote(n) if n is not None else None
                                 for n in found.groups()]
                return operation
        return "Unknown"

    def arn(self):
        return "arn:aws:medical-imaging:%s:%s:datastore/%s" % (
            self.region, sigv4.ACCOUNT, self.datastore)

    def before(self, request):
        if request.operation == "Unknown":
            raise Fault("UnknownOperationException", 404,
                        "%s %s" % (request.method, request.path))
        rate = {**self.RATES, **request.config["rates"]}.get(request.operation)
        with self.place.lock:
            throttle = self.throttles.setdefault(request.operation, base.Throttle())
        throttle.take(rate, Fault("ThrottlingException", 429, "Rate exceeded"))
        self.verify_early(request)

    def verify_early(self, request):
        """Where the header tells the body's hash."""
        if "x-amz-content-sha256" in request.headers:
            sigv4.verify(request, self.keys, "medical-imaging")

    def authenticate(self, request):
        """When the body is there: its hash is signed even where no header tells it."""
        sigv4.verify(request, self.keys, "medical-imaging",
                     request.body.digest("sha256").hex())
        sigv4.check_body(request)
        action = "medical-imaging:" + request.operation
        if not self.place.permits(action, self.arn()):
            raise Fault("AccessDeniedException", 403, "User: %s is not authorized to "
                        "perform: %s on resource: %s" % (
                            request.key["arn"], action, self.arn()))

    def check_datastore(self, name):
        if not re.fullmatch("[0-9a-z]{32}", name):
            raise Fault("ValidationException", 400, "1 validation error detected: "
                        "Value at 'datastoreId' failed to satisfy constraint: Member "
                        "must satisfy regular expression pattern: [0-9a-z]{32}")
        if name != self.datastore:
            raise Fault("ResourceNotFoundException", 404,
                        "Data store %s does not exist" % name)

    def handle(self, request):
        self.authenticate(request)
        self.check_datastore(request.names[0])
        answer = getattr(self, "do_" + request.operation)(request)
        answer.headers.setdefault("x-amzn-requestid", str(uuid.uuid4()))
        return answer

    def fault(self, request, fault):
        status = fault.status or STATUS.get(fault.code, 500)
        return fault_reply(fault, request.config["error_form"], status)
