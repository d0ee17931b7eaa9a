"""s3xml.py - the documents of S3: errors, results, and reading what a client sent."""
import time
import xml.etree.ElementTree
from xml.sax.saxutils import escape

from base import Fault, Reply

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'

# For errors that are ordered by their code alone.
STATUS = {
    "AccessDenied": 403, "AuthorizationHeaderMalformed": 400, "BadDigest": 400,
    "ConditionalRequestConflict": 409, "EntityTooLarge": 400,
    "EntityTooSmall": 400, "ExpiredToken": 400, "IncompleteBody": 400,
    "InternalError": 500, "InvalidAccessKeyId": 403, "InvalidDigest": 400,
    "InvalidPart": 400, "InvalidPartOrder": 400, "InvalidToken": 400,
    "KMS.DisabledException": 400, "KMS.NotFoundException": 400,
    "NoSuchBucket": 404, "NoSuchKey": 404, "NoSuchUpload": 404,
    "OperationAborted": 409, "PermanentRedirect": 301, "PreconditionFailed": 412,
    "RequestTimeTooSkewed": 403, "RequestTimeout": 400, "ServiceUnavailable": 503,
    "SignatureDoesNotMatch": 403, "SlowDown": 503, "TemporaryRedirect": 307,
    "TokenRefreshRequired": 400, "XAmzContentSHA256Mismatch": 400,
}


def element(name, inner, text=False):
    return "<%s>%s</%s>" % (name, escape(inner) if text else inner, name)


def texts(**values):
    """<Name>value</Name> of each that is not None."""
    return "".join(element(name, str(value), True)
                   for name, value in values.items() if value is not None)


def reply(root, inner, headers=None):
    body = '%s<%s xmlns="%s">%s</%s>' % (HEAD, root, NAMESPACE, inner, root)
    return Reply(200, body.encode(), headers, "application/xml")


def stamp(when, http=False):
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT" if http else
                         "%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(when))


def error_document(fault, request, ids, spaces=0):
    """spaces: white space that kept the connection alive, after the XML's head."""
    more = dict(fault.more)
    more.setdefault("Resource", request.path)
    inner = texts(Code=fault.code, Message=fault.message, **more,
                  RequestId=ids["x-amz-request-id"], HostId=ids["x-amz-id-2"])
    return (HEAD + " " * spaces + element("Error", inner)).encode()


def parse(data, root):
    """Its root, the names without their namespace."""
    try:
        found = xml.etree.ElementTree.fromstring(data)
        for item in found.iter():
            item.tag = item.tag.rpartition("}")[2]
        if found.tag != root:
            raise ValueError(found.tag)
    except (xml.etree.ElementTree.ParseError, ValueError):
        raise Fault("MalformedXML", 400, "The XML you provided was not well-formed "
                    "or did not validate against our published schema")
    return found
