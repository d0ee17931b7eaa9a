/* test_destination_s3.c - what S3's answers mean, names of objects and of manifests,
 * and the note of an upload in parts.
 */
#include <stdio.h>
#include <string.h>

#include "gateway/destination/bucket_int.h"
#include "tests/unit/s3_support.h"

/* ---- documents ----------------------------------------------------------- */

static int
add_told(void *arg, const char *path, const char *text)
{
	return buf_printf(arg, "%s=%s;", path, text);
}

static void
test_xml(void **state)
{
	static const struct { const char *xml, *told; } cases[] = {
		{ "<?xml version=\"1.0\"?><Error xmlns=\"http://s3/\"><Code>A&amp;B"
		  "</Code>\n <Message/></Error>",
		    "Error/Code=A&B;Error/Message=;Error=;" },
		{ "  \r\n\n<?xml version=\"1.0\"?><a:R><a:K>x y </a:K></a:R>",
		    "R/K=x y ;R=;" },
		{ "<R><K>1</K>text<K><![CDATA[<2>]]></K></R>",
		    "R/K=1;R/K=<2>;R=;" },
	};
	static const char *const wrong[] = { "", "   ", "{}", "<R>", "<R></S>",
		"<!DOCTYPE r [<!ENTITY a \"b\">]><r>&a;</r>",
		"<a><a><a><a><a><a><a><a><a/></a></a></a></a></a></a></a></a>" };
	struct buf b = BUF_INIT(1000);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		buf_clear(&b);
		assert_int_equal(s3_xml_walk(cases[i].xml, strlen(cases[i].xml),
		    add_told, &b), 0);
		assert_string_equal(b.data, cases[i].told);
	}
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		assert_int_equal(s3_xml_walk(wrong[i], strlen(wrong[i]), add_told,
		    &b), -EBADMSG);
	buf_clear(&b);
	s3_xml_add(&b, "a<b>&\"\n");
	assert_string_equal(b.data, "a&lt;b&gt;&amp;&quot;&#10;");
	buf_clear(&b);
	s3_add_encoded(&b, "a/b c+\xc3\xbc~", true);
	assert_string_equal(b.data, "a/b%20c%2B%C3%BC~");
	buf_clear(&b);
	s3_add_encoded(&b, "a/=", false);
	assert_string_equal(b.data, "a%2F%3D");
	buf_free(&b);
}

/* ---- faults -------------------------------------------------------------- */

struct s3_case {
	int status;
	const char *code, *message;
	enum s3_said said;
	enum destination_health health;
	bool again;
	const char *says;
};

static const struct s3_case faults[] = {
	{ 503, "SlowDown", "", S3_FAILED, DESTINATION_BUSY, false, "fewer" },
	{ 503, "ServiceUnavailable", "", S3_FAILED, DESTINATION_BUSY, false, "fewer" },
	{ 503, "", "", S3_FAILED, DESTINATION_BUSY, false, "503" },
	{ 429, "", "", S3_FAILED, DESTINATION_BUSY, false, "fewer" },
	{ 403, "QuotaExceeded", "", S3_FAILED, DESTINATION_BUSY, false, "room" },
	{ 500, "InternalError", "", S3_FAILED, DESTINATION_FAILED, true, "inside" },
	{ 502, "", "", S3_FAILED, DESTINATION_FAILED, true, "502" },
	{ 400, "RequestTimeout", "", S3_FAILED, DESTINATION_FAILED, true, "line" },
	{ 400, "IncompleteBody", "", S3_FAILED, DESTINATION_FAILED, true, "arrived" },
	{ 400, "BadDigest", "", S3_FAILED, DESTINATION_FAILED, true, "arrived" },
	{ 409, "ConditionalRequestConflict", "", S3_FAILED, DESTINATION_FAILED, true,
	    "same time" },
	{ 409, "OperationAborted", "", S3_FAILED, DESTINATION_FAILED, true, "same" },
	{ 400, "Invented", "Says who", S3_FAILED, DESTINATION_FAILED, false,
	    "Says who" },
	{ 403, "AccessDenied", "", S3_FAILED, DESTINATION_DOWN, false,
	    "allow s3:PutObject on arn:aws:s3:::site/p/*" },
	{ 403, "", "", S3_FAILED, DESTINATION_DOWN, false, "s3:PutObject" },
	{ 403, "AccessDenied", "not authorized to perform: kms:GenerateDataKey",
	    S3_FAILED, DESTINATION_DOWN, false, "allow kms:GenerateDataKey" },
	{ 400, "KMS.DisabledException", "", S3_FAILED, DESTINATION_DOWN, false,
	    "kms_key" },
	{ 403, "InvalidAccessKeyId", "", S3_FAILED, DESTINATION_DOWN, false, "keys" },
	{ 403, "SignatureDoesNotMatch", "", S3_FAILED, DESTINATION_DOWN, false,
	    "secret key" },
	{ 400, "ExpiredToken", "", S3_FAILED, DESTINATION_DOWN, false, "expired" },
	{ 403, "RequestTimeTooSkewed", "", S3_FAILED, DESTINATION_DOWN, false, "NTP" },
	{ 404, "NoSuchBucket", "", S3_FAILED, DESTINATION_DOWN, false,
	    "no such bucket" },
	{ 301, "PermanentRedirect", "", S3_FAILED, DESTINATION_DOWN, false,
	    "region: us-east-1" },
	{ 400, "AuthorizationHeaderMalformed", "", S3_FAILED, DESTINATION_DOWN, false,
	    "region: us-east-1" },
	{ 404, "NoSuchKey", "", S3_ABSENT, DESTINATION_UP, false, "" },
	{ 404, "NoSuchUpload", "", S3_ABSENT, DESTINATION_UP, false, "" },
	{ 404, "", "", S3_ABSENT, DESTINATION_UP, false, "" },
	{ 412, "PreconditionFailed", "", S3_EXISTS, DESTINATION_UP, false, "" },
	{ 412, "", "", S3_EXISTS, DESTINATION_UP, false, "" },
	{ 400, "EntityTooLarge", "", S3_REFUSED, DESTINATION_UP, false, "larger" },
	{ 400, "KeyTooLongError", "", S3_REFUSED, DESTINATION_UP, false, "1024" },
	{ 413, "", "", S3_REFUSED, DESTINATION_UP, false, "part_size" },
};

static void
judge_fault(const struct s3 *s, const struct s3_case *f, struct s3_answer *a)
{
	const struct s3_request q = { .method = "PUT", .action = "s3:PutObject",
		.key = "p/k" };

	*a = (struct s3_answer){ .reply = { .outcome = HTTP_ANSWERED,
	    .status = f->status, .retry_after_ms = 5000,
	    .head = BUF_INIT(500), .body = BUF_INIT(1000) } };
	if (strstr(f->says, "us-east-1") != NULL)
		(void)buf_add_str(&a->reply.head,
		    "x-amz-bucket-region: us-east-1\r\n");
	if (f->code[0] != '\0')
		(void)buf_printf(&a->reply.body, "<Error><Code>%s</Code><Message>%s"
		    "</Message></Error>", f->code, f->message);
	s3_judge(s, &q, a);
}

static void
test_faults(void **state)
{
	struct s3 s = { .bucket = (char[]){ "site" }, .prefix = (char[]){ "p" },
		.region = (char[]){ "eu-west-1" } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
		const struct s3_case *f = &faults[i];
		struct s3_answer a;

		judge_fault(&s, f, &a);
		if (a.said != f->said || a.health != f->health ||
		    a.again != f->again)
			fail_msg("%d %s: %d %d %d", f->status, f->code, a.said,
			    a.health, a.again);
		SAYS(a.why, f->says);
		SAYS(a.why, "bucket site: ");
		assert_int_equal(a.retry_after_ms,
		    f->health == DESTINATION_BUSY ? 5000 : -1);
		s3_answer_free(&a);
	}
}

static void
test_pause_and_bucket(void **state)
{
	struct s3 s = { .bucket = (char[]){ "site" }, .prefix = (char[]){ "" },
		.region = (char[]){ "eu-west-1" },
		.expected_owner = (char[]){ "111122223333" } };
	struct s3_request q = { .method = "HEAD", .action = "s3:ListBucket" };
	struct s3_answer a = { .reply = { .outcome = HTTP_ANSWERED, .status = 503,
	    .retry_after_ms = -1, .head = BUF_INIT(500) } };

	(void)state;
	(void)buf_add_str(&a.reply.head, "X-Amz-Retry-After: 1234\r\n");
	s3_judge(&s, &q, &a);
	assert_int_equal(a.retry_after_ms, 1234);
	buf_clear(&a.reply.head);
	(void)buf_add_str(&a.reply.head, "x-amz-retry-after: 99999999999\r\n");
	s3_judge(&s, &q, &a);
	assert_int_equal(a.retry_after_ms, 3600000);
	a.reply.status = 404;
	s3_judge(&s, &q, &a);
	assert_int_equal(a.health, DESTINATION_DOWN);
	SAYS(a.why, "no such bucket");
	a.reply.status = 403;
	s3_judge(&s, &q, &a);
	SAYS(a.why, "allow s3:ListBucket on arn:aws:s3:::site;");
	SAYS(a.why, "account 111122223333 does not own");
	a.reply.outcome = HTTP_UNREACHABLE;
	(void)snprintf(a.reply.why, sizeof(a.reply.why), "no way there");
	s3_judge(&s, &q, &a);
	assert_int_equal(a.said, S3_FAILED);
	assert_int_equal(a.health, DESTINATION_DOWN);
	assert_string_equal(a.why, "no way there");
	s3_answer_free(&a);
}

/* ---- names --------------------------------------------------------------- */

static void
test_templates(void **state)
{
	static const struct { const char *text, *why; } cases[] = {
		{ "{study}/{series}/{instance}.dcm", NULL },
		{ "{instance}", NULL },
		{ "a/{modality}-{class}/{id}.{version}/{instance}", NULL },
		{ "{study}/x", "{instance} must stand in it once" },
		{ "{instance}{instance}", "{instance} must stand in it once" },
		{ "{patient}/{instance}", "{patient} is unknown here: right are "
		    "{study}, {series}, {instance}, {version}, {id}, {class}, "
		    "{modality}" },
		{ "{instance", "a brace" },
		{ "instance}", "a brace" },
		{ "", "no part" },
		{ "/{instance}", "no part" },
		{ "{instance}/", "no part" },
		{ "a//{instance}", "no part" },
		{ "../{instance}", "no part" },
		{ "a/./{instance}", "no part" },
		{ "\xc3\xbc/{instance}", "printable" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf why = BUF_INIT(500);
		int r = bucket_template_check(cases[i].text, bucket_key_words,
		    bucket_key_needs, &why);

		assert_int_equal(r, cases[i].why == NULL ? 0 : -EINVAL);
		if (cases[i].why != NULL)
			SAYS(why.data, cases[i].why);
		buf_free(&why);
	}
}

static void
test_names(void **state)
{
	struct bucket b = { .prefix = (char[]){ "site7/" },
		.key = "{study}/{series}/{instance}-{version}.{id}.{modality}",
		.manifest = "m/{study}/{number}.json" };
	struct spool_instance in = { .id = 77, .version = 2, .study_uid = "1.2",
		.series_uid = "", .sop_instance = "../\xe4{study}", .modality = "CT" };
	AUTO_FREE char *key = bucket_key(&b, &in);
	AUTO_FREE char *manifest = bucket_manifest_key(&b, "1.2", 12345);
	AUTO_FREE char *prefix = bucket_manifest_prefix(&b, "1.2");
	AUTO_FREE char *suffix = bucket_manifest_suffix(&b, "1.2");
	AUTO_FREE char *dots = NULL;
	char long_prefix[S3_KEY_MAX];

	(void)state;
	assert_string_equal(key,
	    "site7/1.2/_/..%2F%E4%7Bstudy%7D-2.77.CT");
	assert_string_equal(manifest, "site7/m/1.2/12345.json");
	assert_string_equal(prefix, "site7/m/1.2/");
	assert_string_equal(suffix, ".json");
	(void)snprintf(in.study_uid, sizeof(in.study_uid), "..");
	dots = bucket_key(&b, &in);
	assert_memory_equal(dots, "site7/%2E%2E/", 13);
	memset(long_prefix, 'x', sizeof(long_prefix) - 1);
	long_prefix[sizeof(long_prefix) - 1] = '\0';
	b.prefix = long_prefix;
	assert_null(bucket_key(&b, &in));
}

/* ---- parts --------------------------------------------------------------- */

static void
test_part_sizes(void **state)
{
	struct s3_upload u = { 0 };

	(void)state;
	assert_int_equal(s3_part_size(S3_PART, 1), S3_PART);
	assert_int_equal(s3_part_size(S3_PART, 5000ull * S3_PART), S3_PART);
	assert_int_equal(s3_part_size(S3_PART, 5000ull * S3_PART + 1),
	    S3_PART + (1u << 20));
	for (uint64_t length = 1u << 20; length < 20ull << 40; length *= 3) {
		uint64_t part = s3_part_size(S3_PART_MIN, length);

		assert_true((length + part - 1) / part <= S3_PARTS_MAX);
		assert_true(part <= 5ull << 30);
	}
	s3_upload_plan(&u, "k", 10, 25);
	assert_int_equal(u.n, 3);
	assert_int_equal(s3_upload_size(&u, 0), 10);
	assert_int_equal(s3_upload_size(&u, 2), 5);
	s3_upload_plan(&u, "k", 10, 20);
	assert_int_equal(u.n, 2);
	assert_int_equal(s3_upload_size(&u, 1), 10);
	s3_upload_free(&u);
}

#define MIB (1ull << 20)

static void
test_notes(void **state)
{
	struct s3_upload u = { 0 }, v = { 0 };
	struct buf b = BUF_INIT(SPOOL_NOTE_MAX);

	(void)state;
	s3_upload_plan(&u, "a \xc3\xbc", 5 * MIB, 19 * MIB);
	(void)snprintf(u.id, sizeof(u.id), "id+/=");
	(void)snprintf(u.etag[0], sizeof(u.etag[0]), "e0");
	(void)snprintf(u.etag[2], sizeof(u.etag[2]), "e2");
	assert_int_equal(s3_upload_print(&u, "site", &b), 0);

	assert_int_equal(s3_upload_parse(&v, b.data, "site", "a \xc3\xbc", 19 * MIB),
	    0);
	assert_string_equal(v.id, "id+/=");
	assert_int_equal(v.n, 4);
	assert_int_equal(v.part, 5 * MIB);
	assert_string_equal(v.etag[0], "e0");
	assert_string_equal(v.etag[1], "");
	assert_string_equal(v.etag[2], "e2");
	assert_string_equal(v.etag[3], "");
	s3_upload_free(&v);

	/* Another object of this bucket: its upload can be given up. */
	assert_int_equal(s3_upload_parse(&v, b.data, "site", "other", 19 * MIB),
	    -ESTALE);
	assert_string_equal(v.id, "id+/=");
	assert_string_equal(v.key, "a \xc3\xbc");
	s3_upload_free(&v);
	assert_int_equal(s3_upload_parse(&v, b.data, "site", "a \xc3\xbc", 7),
	    -ESTALE);
	s3_upload_free(&v);
	assert_int_equal(s3_upload_parse(&v, b.data, "far", "a \xc3\xbc", 19 * MIB),
	    -EBADMSG);
	assert_int_equal(s3_upload_parse(&v, "{\"phase\": 1}", "site", "k", 1),
	    -EBADMSG);
	assert_int_equal(s3_upload_parse(&v, "no JSON", "site", "k", 1), -EBADMSG);
	assert_string_equal(v.id, "");
	buf_free(&b);
	s3_upload_free(&u);
}

static void
test_notes_fit(void **state)
{
	struct s3_upload u = { 0 };
	struct buf b = BUF_INIT(SPOOL_NOTE_MAX);
	char key[S3_KEY_MAX + 1];

	(void)state;
	memset(key, 'k', S3_KEY_MAX);
	key[S3_KEY_MAX] = '\0';
	s3_upload_plan(&u, key, 5 * MIB, S3_PARTS_MAX * 5 * MIB);
	memset(u.id, 'i', S3_UPLOAD_MAX);
	for (unsigned i = 0; i < u.n; i++)
		(void)snprintf(u.etag[i], sizeof(u.etag[i]), "%032x", i);
	assert_int_equal(s3_upload_print(&u, "site", &b), 0);
	s3_upload_free(&u);
	buf_free(&b);
}

/* The others keep their numbers. */
static void
test_note_with_no_text(void **state)
{
	struct s3_upload u = { 0 }, v = { 0 };
	struct buf b = BUF_INIT(SPOOL_NOTE_MAX);

	(void)state;
	s3_upload_plan(&u, "k", S3_PART_MIN, 3 * S3_PART_MIN);
	(void)snprintf(u.id, sizeof(u.id), "id");
	(void)snprintf(u.etag[0], sizeof(u.etag[0]), "\xff\xfe");
	(void)snprintf(u.etag[1], sizeof(u.etag[1]), "two");
	assert_int_equal(s3_upload_print(&u, "b", &b), 0);
	assert_int_equal(s3_upload_parse(&v, b.data, "b", "k", 3 * S3_PART_MIN), 0);
	assert_string_equal(v.etag[0], "");
	assert_string_equal(v.etag[1], "two");
	buf_free(&b);
	s3_upload_free(&u);
	s3_upload_free(&v);
}

static void
test_listed_parts(void **state)
{
	static const char xml[] = "<ListPartsResult><IsTruncated>true</IsTruncated>"
	    "<NextPartNumberMarker>3</NextPartNumberMarker>"
	    "<Part><PartNumber>1</PartNumber><ETag>&quot;one&quot;</ETag>"
	    "<Size>10</Size></Part>"
	    "<Part><PartNumber>2</PartNumber><ETag>\"two\"</ETag><Size>9</Size></Part>"
	    "<Part><PartNumber>3</PartNumber><ETag>\"end\"</ETag><Size>5</Size></Part>"
	    "<Part><PartNumber>9</PartNumber><ETag>\"no\"</ETag><Size>5</Size></Part>"
	    "<Part><PartNumber>0</PartNumber><ETag>\"no\"</ETag><Size>10</Size></Part>"
	    "</ListPartsResult>";
	struct s3_upload u = { 0 };
	bool seen[3] = { false };
	unsigned next = 7;
	static const char *const beyond = "<ListPartsResult><IsTruncated>true"
	    "</IsTruncated><NextPartNumberMarker>4</NextPartNumberMarker>"
	    "</ListPartsResult>";

	(void)state;
	s3_upload_plan(&u, "k", 10, 25);
	(void)snprintf(u.etag[1], sizeof(u.etag[1]), "noted");
	assert_int_equal(s3_upload_listed(&u, xml, strlen(xml), seen, &next), 0);
	assert_int_equal(next, 3);
	assert_true(seen[0] && !seen[1] && seen[2]);
	assert_string_equal(u.etag[0], "one");
	assert_string_equal(u.etag[2], "end");
	assert_int_equal(s3_upload_listed(&u, "<Error/>", 8, seen, &next), -EBADMSG);
	assert_int_equal(s3_upload_listed(&u, beyond, strlen(beyond), seen, &next),
	    0);
	assert_int_equal(next, 0);
	s3_upload_free(&u);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_xml),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_pause_and_bucket),
		cmocka_unit_test(test_templates),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_part_sizes),
		cmocka_unit_test(test_notes),
		cmocka_unit_test(test_notes_fit),
		cmocka_unit_test(test_note_with_no_text),
		cmocka_unit_test(test_listed_parts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
