// sdk.mjs - drives the stand-ins of Amazon with Amazon's own SDK for JavaScript.
//
//     node sdk.mjs MODULES < DESCRIPTION
//
// MODULES is the directory where npm has put @aws-sdk/client-medical-imaging and
// @aws-sdk/client-s3; DESCRIPTION is the line that aws.py prints, with "object" (a
// Part 10 file) and "orders" (where orders.json belongs) besides. The CA is in
// NODE_EXTRA_CA_CERTS. Prints a line for each thing tried, as checks.py does.
import assert from "node:assert/strict";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { setTimeout as wait } from "node:timers/promises";

const require = createRequire(process.argv[2] + "/");
const s3 = require("@aws-sdk/client-s3");
const ahi = require("@aws-sdk/client-medical-imaging");
const cloud = JSON.parse(readFileSync(0, "utf8"));
const file = readFileSync(cloud.object);
const Bucket = "hospital-in";
let failed = 0;

function options(endpoint, more = {}) {
  return {
    endpoint, region: cloud.region, maxAttempts: 1, forcePathStyle: true,
    requestChecksumCalculation: "WHEN_REQUIRED",
    credentials: {
      accessKeyId: cloud.access_key, secretAccessKey: cloud.secret_key, ...more,
    },
  };
}

const store = new s3.S3Client(options(cloud.s3));
const imaging = new ahi.MedicalImagingClient(options(cloud.healthimaging));

function order(config, script = []) {
  writeFileSync(cloud.orders + ".new", JSON.stringify({ config, script }));
  renameSync(cloud.orders + ".new", cloud.orders);
}

async function check(what, body) {
  try {
    await body();
    console.log("ok - " + what);
  } catch (error) {
    console.log(String(error.stack), error.$response?.statusCode ?? "");
    console.log("not ok - " + what);
    failed += 1;
  }
}

async function throws(kind, status, promise) {
  const error = await promise.then(() => null, (e) => e);
  assert.ok(error, "it went well");
  if (typeof kind === "string") assert.equal(error.name, kind);
  else assert.ok(error instanceof kind, `${error.name}: ${error.message}`);
  assert.equal(error.$metadata.httpStatusCode, status);
  return error;
}

// --- S3

const put = (Key, Body, more = {}) =>
  store.send(new s3.PutObjectCommand({ Bucket, Key, Body, ...more }));

await check("SDK, S3: put with a checksum and metadata, get, head, list, delete", async () => {
  const Key = "sdk/ä (1)+,&.dcm";
  const done = await put(Key, file, {
    Metadata: { "a-b": "1", a: "2" }, ContentType: "application/dicom",
    ChecksumAlgorithm: "SHA256",
  });
  assert.ok(done.ETag && done.ChecksumSHA256);
  const got = await store.send(new s3.GetObjectCommand({ Bucket, Key }));
  assert.deepEqual(Buffer.from(await got.Body.transformToByteArray()), file);
  assert.deepEqual(got.Metadata, { "a-b": "1", a: "2" });
  const list = await store.send(new s3.ListObjectsV2Command({ Bucket, Prefix: "sdk/" }));
  assert.deepEqual(list.Contents.map((c) => c.Key), [Key]);
  const gone = await store.send(new s3.DeleteObjectsCommand({
    Bucket, Delete: { Objects: [{ Key }] },
  }));
  assert.equal(gone.Deleted.length, 1);
  await throws(s3.NoSuchKey, 404, store.send(new s3.GetObjectCommand({ Bucket, Key })));
  await throws(s3.NotFound, 404, store.send(new s3.HeadObjectCommand({ Bucket, Key })));
});

for (const ChecksumAlgorithm of ["CRC32", "CRC32C", "SHA1", "SHA256"]) {
  await check(`SDK, S3: multipart with ${ChecksumAlgorithm}, listed and completed`, async () => {
    const Key = "sdk/big";
    const name = "Checksum" + ChecksumAlgorithm;
    const { UploadId } = await store.send(new s3.CreateMultipartUploadCommand({
      Bucket, Key, ChecksumAlgorithm, ServerSideEncryption: "aws:kms",
      SSEKMSKeyId: "arn:aws:kms:eu-west-1:111122223333:key/k",
    }));
    const Parts = [];
    for (const PartNumber of [1, 2]) {
      const Body = Buffer.alloc(PartNumber === 1 ? 5 << 20 : 99, PartNumber);
      const done = await store.send(new s3.UploadPartCommand({
        Bucket, Key, UploadId, PartNumber, Body, ChecksumAlgorithm,
      }));
      Parts.push({ PartNumber, ETag: done.ETag, [name]: done[name] });
    }
    const listed = await store.send(new s3.ListPartsCommand({ Bucket, Key, UploadId }));
    assert.equal(listed.Parts[0][name], Parts[0][name]);
    const done = await store.send(new s3.CompleteMultipartUploadCommand({
      Bucket, Key, UploadId, MultipartUpload: { Parts },
    }));
    assert.ok(done[name].endsWith("-2"));
    const head = await store.send(new s3.HeadObjectCommand({ Bucket, Key }));
    assert.equal(head.ContentLength, (5 << 20) + 99);
    assert.equal(head.ServerSideEncryption, "aws:kms");
  });
}

await check("SDK, S3: modelled exceptions by their names", async () => {
  const named = { Bucket, Key: "x" };
  await put("sdk/once", "1", { IfNoneMatch: "*" });
  await throws("PreconditionFailed", 412, put("sdk/once", "1", { IfNoneMatch: "*" }));
  await throws(s3.NoSuchBucket, 404, store.send(new s3.ListObjectsV2Command({
    Bucket: "nowhere",
  })));
  await throws(s3.NoSuchUpload, 404, store.send(new s3.AbortMultipartUploadCommand({
    ...named, UploadId: "none",
  })));
  await throws("AccessDenied", 403, store.send(new s3.GetObjectCommand({
    ...named, ExpectedBucketOwner: "999999999999",
  })));
  const wrong = new s3.S3Client(options(cloud.s3, { secretAccessKey: "wrong" }));
  await throws("SignatureDoesNotMatch", 403, wrong.send(new s3.GetObjectCommand(named)));
  order({}, [{ operation: "PutObject", error: "SlowDown" }]);
  const slow = await throws("SlowDown", 503, put("x", "1"));
  assert.ok(slow.$metadata.requestId);
});

await check("SDK, S3: an error inside of the 200 of CompleteMultipartUpload", async () => {
  const named = { Bucket, Key: "sdk/inside" };
  const { UploadId } = await store.send(new s3.CreateMultipartUploadCommand(named));
  const { ETag } = await store.send(new s3.UploadPartCommand({
    ...named, UploadId, PartNumber: 1, Body: "x",
  }));
  const complete = () => store.send(new s3.CompleteMultipartUploadCommand({
    ...named, UploadId, MultipartUpload: { Parts: [{ PartNumber: 1, ETag }] },
  }));
  order({}, [{
    operation: "CompleteMultipartUpload", status: 200, error: "InternalError", spaces: 9,
  }]);
  const error = await complete().then(() => null, (e) => e);
  assert.equal(error?.name, "InternalError");
  assert.ok((await complete()).ETag);
});

// --- HealthImaging

const datastoreId = cloud.datastore;
const start = (clientToken, more = {}) =>
  imaging.send(new ahi.StartDICOMImportJobCommand({
    clientToken, datastoreId, dataAccessRoleArn: cloud.role, jobName: "sdk/1",
    inputS3Uri: `s3://${Bucket}/import/`, outputS3Uri: "s3://hospital-out/jobs/",
    ...more,
  }));
const get = (jobId) =>
  imaging.send(new ahi.GetDICOMImportJobCommand({ datastoreId, jobId }));

async function ended(jobId) {
  for (let tries = 0; tries < 500; tries += 1) {
    const { jobProperties } = await get(jobId);
    if (["COMPLETED", "FAILED"].includes(jobProperties.jobStatus)) return jobProperties;
    await wait(20);
  }
  throw new Error("the job does not end");
}

const free = { healthimaging: { rates: { StartDICOMImportJob: null, GetDICOMImportJob: null } } };

await check("SDK, HealthImaging: a job is started, got, listed; its output is read", async () => {
  order(free);
  await put("import/1.2.3.dcm", file);
  const { jobId, jobStatus, submittedAt } = await start("sdk-1");
  assert.equal(jobStatus, "SUBMITTED");
  assert.ok(Math.abs(submittedAt - Date.now()) < 60000, String(submittedAt));
  assert.equal((await start("sdk-1")).jobId, jobId);
  const job = await ended(jobId);
  assert.equal(job.jobStatus, "COMPLETED");
  assert.ok(job.endedAt >= job.submittedAt);
  const listed = await imaging.send(new ahi.ListDICOMImportJobsCommand({
    datastoreId, jobStatus: "COMPLETED", maxResults: 1,
  }));
  assert.equal(listed.jobSummaries[0].jobId, jobId);
  const [, out, prefix] = /s3:\/\/([^/]+)\/(.*)/.exec(job.outputS3Uri);
  const manifest = await store.send(new s3.GetObjectCommand({
    Bucket: out, Key: prefix + "job-output-manifest.json",
  }));
  const { jobSummary } = JSON.parse(await manifest.Body.transformToString());
  assert.equal(jobSummary.numberOfImportedFiles, 1);
});

await check("SDK, HealthImaging: GetDatastore", async () => {
  const { datastoreProperties } = await imaging.send(
    new ahi.GetDatastoreCommand({ datastoreId }));
  assert.equal(datastoreProperties.datastoreStatus, "ACTIVE");
  assert.ok(datastoreProperties.createdAt instanceof Date);
});

await check("SDK, HealthImaging: every modelled exception by its class", async () => {
  order(free);
  await throws(ahi.ConflictException, 409, start("sdk-1", { jobName: "other" }));
  await throws(ahi.ValidationException, 400, start("sdk-2", { jobName: "a b" }));
  await throws(ahi.ResourceNotFoundException, 404, get("0".repeat(32)));
  const other = new ahi.GetDatastoreCommand({ datastoreId: "f".repeat(32) });
  await throws(ahi.ResourceNotFoundException, 404, imaging.send(other));
  order({ healthimaging: { ...free.healthimaging, roles: [] } });
  await throws(ahi.AccessDeniedException, 403, start("sdk-3"));
  order({ healthimaging: { ...free.healthimaging, concurrent_jobs: 0 } });
  await throws(ahi.ServiceQuotaExceededException, 402, start("sdk-4"));
  order({ healthimaging: { rates: { StartDICOMImportJob: [0.001, 0] } } });
  await throws(ahi.ThrottlingException, 429, start("sdk-5"));
  for (const error_form of ["header", "suffix", "body"]) {
    order({ healthimaging: { ...free.healthimaging, error_form } },
      [{ operation: "GetDatastore", error: "InternalServerException" }]);
    await throws(ahi.InternalServerException, 500,
      imaging.send(new ahi.GetDatastoreCommand({ datastoreId })));
  }
  order({});
  const wrong = new ahi.MedicalImagingClient(options(cloud.healthimaging,
    { secretAccessKey: "wrong" }));
  await throws("InvalidSignatureException", 403,
    wrong.send(new ahi.GetDatastoreCommand({ datastoreId })));
});

process.exit(failed ? 1 : 0);
