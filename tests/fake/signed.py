"""signed.py - a small client of AWS for tests: requests that botocore signs.

    with signed.Client(cloud, cloud.healthimaging) as client:
        status, headers, body = client.json("POST", "/startDICOMImportJob/...", {...})

It knows nothing of the operations; what an SDK would refuse to send, it sends.
"""
import datetime
import http.client
import json
import ssl
import urllib.parse
from unittest import mock

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

import sigv4

KINDS = {True: ("s3", botocore.auth.S3SigV4Auth),
         False: ("medical-imaging", botocore.auth.SigV4Auth)}


class Client:
    def __init__(self, cloud, service, key=sigv4.KEY, secret=sigv4.SECRET,
                 token=None, offset=0):
        self.port, self.region = service.port, service.region
        self.credentials = Credentials(key, secret, token)
        self.service, self.kind = KINDS[service.sigv4_s3]
        self.offset = offset
        self.connection = http.client.HTTPSConnection(
            "localhost", self.port, timeout=30,
            context=ssl.create_default_context(cafile=cloud.ca))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def sign(self, made):
        """As if it were offset seconds later."""
        now = datetime.datetime.utcnow() + datetime.timedelta(seconds=self.offset)
        with mock.patch("botocore.auth.datetime") as clock:
            clock.datetime.utcnow.return_value = now
            self.kind(self.credentials, self.service, self.region).add_auth(made)

    def request(self, method, target, body=b"", headers=None, bearer=None):
        """(status, headers, body)"""
        path, _, query = target.partition("?")
        made = AWSRequest(method, "https://localhost:%d%s" % (self.port, path),
                          dict(headers or {}), body,
                          urllib.parse.parse_qsl(query, keep_blank_values=True))
        if bearer is not None:
            made.headers["Authorization"] = "Bearer " + bearer
        else:
            self.sign(made)
        self.connection.request(method, target, body or None, dict(made.headers))
        answer = self.connection.getresponse()
        return answer.status, answer.headers, answer.read()

    def json(self, method, target, document=None, headers=None):
        """The same; body is what the JSON says."""
        body = b"" if document is None else json.dumps(document).encode()
        kind = {} if document is None else {"Content-Type": "application/json"}
        status, got, data = self.request(method, target, body,
                                         {**kind, **(headers or {})})
        return status, got, json.loads(data) if data else None
