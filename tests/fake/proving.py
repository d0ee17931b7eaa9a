"""proving.py - what the tests of the stand-ins share: boto3, and a job's parameters."""
import boto3
import botocore.config
import botocore.exceptions

import aws

STORE = "/datastore/" + aws.DATASTORE
START = "/startDICOMImportJob" + STORE


def client(cloud, style="path", **more):
    """boto3's of S3, as the gateway would use it: one try, the payload signed."""
    arguments = {"endpoint_url": cloud.s3.url, "region_name": aws.REGION,
                 "aws_access_key_id": aws.KEY, "aws_secret_access_key": aws.SECRET,
                 "verify": cloud.ca, "config": botocore.config.Config(
                     retries={"total_max_attempts": 1, "mode": "standard"},
                     s3={"addressing_style": style, "payload_signing_enabled": True})}
    arguments.update(more)
    return boto3.client("s3", **arguments)


def fails(code, status, function, **arguments):
    """It does, with this code and status; what S3 said besides."""
    try:
        function(**arguments)
    except botocore.exceptions.ClientError as error:
        got = error.response
        assert (got["Error"]["Code"],
                got["ResponseMetadata"]["HTTPStatusCode"]) == (code, status), got
        assert "x-amz-request-id" in got["ResponseMetadata"]["HTTPHeaders"]
        return got["Error"]
    raise AssertionError("no error, but %s was wanted" % code)


def parameters(token, prefix, **more):
    return {"clientToken": token, "dataAccessRoleArn": aws.ROLE,
            "inputS3Uri": "s3://hospital-in/" + prefix,
            "outputS3Uri": "s3://hospital-out/jobs", **more}
