/* test_destination_ahi_result.c - what an import's manifest and lists say of its files,
 * however they are cut, mangled or placed.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/destination/ahi_int.h"

#define ROOT "site7/0123456789abcdef0123456789abcdef-DicomImport-j1/"

/* ---- a bucket ------------------------------------------------------------ */

static struct { const char *key, *text; size_t len; } objects[8];
static size_t n_objects, piece, repeats;
static enum s3_said broken;	/* instead of what is there; S3_DONE: not */

static void
put_bytes(const char *key, const char *text, size_t len)
{
	objects[n_objects].key = key;
	objects[n_objects].text = text;
	objects[n_objects++].len = len;
}

static void
put(const char *key, const char *text)
{
	put_bytes(key, text, strlen(text));
}

enum s3_said
s3_get(struct s3 *s, const char *key, http_sink_fn *sink, void *arg,
    struct destination_result *ret)
{
	size_t times;

	(void)s;
	(void)ret;
	if (broken != S3_DONE)
		return broken;
	for (size_t i = 0; i < n_objects; i++) {
		if (strcmp(objects[i].key, key) != 0)
			continue;
		/* Of a list; a manifest ends. */
		times = strstr(key, ".ndjson") != NULL ? repeats : 1;
		for (size_t at = 0; at < times * objects[i].len;) {
			size_t from = at % objects[i].len;
			size_t n = objects[i].len - from;

			n = n < piece ? n : piece;
			if (sink(arg, objects[i].text + from, n) != 0)
				return S3_FAILED;
			at += n;
		}
		return S3_DONE;
	}
	return S3_ABSENT;
}

static int
add_text(void *arg, const void *data, size_t len)
{
	return buf_add(arg, data, len);
}

enum s3_said
s3_get_text(struct s3 *s, const char *key, size_t max, struct buf *text,
    struct destination_result *ret)
{
	(void)max;
	return s3_get(s, key, add_text, text, ret);
}

/* ---- a job --------------------------------------------------------------- */

static struct ahi_options options = {
	.datastore_id = (char[]){ "0123456789abcdef0123456789abcdef" },
};
static struct ahi box = { .opt = &options };
static struct ahi_job job = {
	.output = (char[]){ "s3://out/site7" },
	.job = "j1",
};
static struct ahi_outcome outcomes[4];
static struct ahi_outcomes all = { .v = outcomes, .n = 4 };

static int
setup(void **state)
{
	(void)state;
	n_objects = 0;
	piece = 1000000;
	repeats = 1;
	broken = S3_DONE;
	(void)snprintf(box.output.bucket, sizeof(box.output.bucket), "out");
	(void)snprintf(box.output.prefix, sizeof(box.output.prefix), "site7/");
	job.results = (struct ahi_uri){ .bucket = "" };
	for (size_t i = 0; i < 4; i++) {
		outcomes[i] = (struct ahi_outcome){ .id = i + 1 };
		(void)snprintf(outcomes[i].file, sizeof(outcomes[i].file),
		    "1.2.%zu.%zu.dcm", i + 1, i + 1);
	}
	return 0;
}

static enum s3_said
read_all(void)
{
	struct destination_result r = { .health = DESTINATION_UP };

	return ahi_read_results(&box, &job, &all, &r);
}

static void
put_manifest(const char *more)
{
	static char text[400];

	(void)snprintf(text, sizeof(text), "{\"jobSummary\": {\"jobId\": \"j1\"%s}}",
	    more);
	put(ROOT "job-output-manifest.json", text);
}

#define SUCCESS(n, primary)                                                  \
	"{\"inputFile\":\"p/1.2." #n "." #n ".dcm\",\"importResponse\":"      \
	"{\"imageSetId\":\"set" #n "\",\"isPrimary\":" primary "}}\n"
#define FAILURE(n, type)                                                     \
	"{\"inputFile\":\"p/1.2." #n "." #n ".dcm\",\"exception\":"           \
	"{\"exceptionType\":\"" type "\",\"message\":\"because\"}}\n"
#define WARNING(n, code)                                                     \
	"{\"inputFile\":\"p/1.2." #n "." #n ".dcm\",\"importResponse\":"      \
	"{\"imageSetId\":\"set\",\"isPrimary\":true,\"warnings\":["           \
	"{\"warning_reason_code\":" code ",\"type\":\"X\",\"message\":\"m\"}]}}\n"

static void
test_each_list(void **state)
{
	(void)state;
	put_manifest("");
	put(ROOT "SUCCESS/success.ndjson", SUCCESS(1, "true") SUCCESS(2, "false"));
	put(ROOT "FAILURE/failure.ndjson", FAILURE(3, "ValidationException")
	    FAILURE(4, "InternalServerException"));
	put(ROOT "WARNING/warning.ndjson", WARNING(1, "45330"));
	for (piece = 1; piece < 70; piece++) {
		assert_int_equal(read_all(), S3_DONE);
		assert_int_equal(outcomes[0].listed, AHI_SUCCESS | AHI_WARNING);
		assert_int_equal(outcomes[0].code, 0xb112);
		assert_string_equal(outcomes[0].words, "m");
		assert_int_equal(outcomes[1].listed, AHI_SUCCESS | AHI_NOT_PRIMARY);
		assert_string_equal(outcomes[1].image_set, "set2");
		assert_int_equal(outcomes[2].listed, AHI_CUSTOMER_ERROR);
		assert_string_equal(outcomes[2].words, "because");
		assert_int_equal(outcomes[3].listed, AHI_SERVER_ERROR);
		assert_int_equal(all.bad_lines, 0);
	}
}

static void
test_bad_line_costs_itself(void **state)
{
	static const char bad[] = "{\"inputFile\": \"p/1.2.2.2.dcm\", \"importResp\n"
	    "<html>\n" "[]\n" "{\"importResponse\":{}}\n" "\xff\xfe\n" "\n" " \r\n"
	    "{\"inputFile\":\"1.2.4.4.dcm\",\"importResponse\":{\"isPrimary\": True}}";
	char *long_line = xcalloc(1, 200001 + sizeof(bad));

	(void)state;
	put_manifest("");
	memset(long_line, '[', 200000);
	long_line[200000] = '\n';
	memcpy(long_line + 200001, bad, sizeof(bad));
	put(ROOT "SUCCESS/success.ndjson", long_line);
	put_bytes(ROOT "FAILURE/failure.ndjson", "\0\0\n" FAILURE(3, "X"),
	    3 + strlen(FAILURE(3, "X")));
	for (piece = 1; piece < 100000; piece = piece * 3 + 1) {
		assert_int_equal(read_all(), S3_DONE);
		assert_int_equal(outcomes[1].listed, 0);
		assert_int_equal(outcomes[2].listed, AHI_CUSTOMER_ERROR);
		assert_int_equal(outcomes[3].listed, AHI_SUCCESS);
		assert_int_equal(all.bad_lines, 7);
	}
	free(long_line);
}

static void
test_python_words_in_strings_stay(void **state)
{
	(void)state;
	put_manifest("");
	put(ROOT "FAILURE/failure.ndjson", "{\"inputFile\":\"p/1.2.1.1.dcm\",\"ok\":"
	    "None,\"exception\":{\"exceptionType\":\"V\",\"message\":\"a \\\"True\\\" "
	    "False\"}}");
	assert_int_equal(read_all(), S3_DONE);
	assert_string_equal(outcomes[0].words, "a \"True\" False");
}

static void
test_strangers_are_passed_over(void **state)
{
	(void)state;
	put_manifest("");
	put(ROOT "SUCCESS/success.ndjson",
	    "{\"inputFile\":\"p/1.2.9.1.dcm\",\"importResponse\":{}}\n"
	    "{\"inputFile\":\"p/1.2.1.9.dcm\",\"importResponse\":{}}\n"
	    "{\"inputFile\":\"1.dcm\",\"importResponse\":{}}\n"
	    "{\"inputFile\":\".dcm\",\"importResponse\":{}}\n"
	    "{\"inputFile\":\"\",\"importResponse\":{}}\n"
	    "{\"inputFile\":\"1.2.1.99999999999999999999999999.dcm\","
	    "\"importResponse\":{}}\n"
	    "{\"inputFile\":\"1.2.1.-1.dcm\",\"importResponse\":{}}\n");
	assert_int_equal(read_all(), S3_DONE);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(outcomes[i].listed, 0);
	assert_int_equal(all.bad_lines, 0);
}

static void
test_twice(void **state)
{
	(void)state;
	put_manifest("");
	put(ROOT "SUCCESS/success.ndjson", SUCCESS(1, "true") SUCCESS(1, "true")
	    SUCCESS(2, "true"));
	put(ROOT "FAILURE/failure.ndjson", FAILURE(2, "V") FAILURE(3, "V")
	    FAILURE(3, "InternalServerException"));
	assert_int_equal(read_all(), S3_DONE);
	assert_int_equal(outcomes[0].listed, AHI_SUCCESS | AHI_TWICE);
	assert_int_equal(outcomes[1].listed, AHI_SUCCESS | AHI_CUSTOMER_ERROR);
	assert_true(outcomes[2].listed & AHI_TWICE);
}

static void
test_late(void **state)
{
	(void)state;
	assert_int_equal(read_all(), S3_ABSENT);
	put(ROOT "job-output-manifest.json", "{\"jobSummary\": {");
	assert_int_equal(read_all(), S3_ABSENT);
	n_objects = 0;
	put_manifest(",\"numberOfFilesWithServerError\": 1");
	/* One is promised. */
	assert_int_equal(read_all(), S3_ABSENT);
	put(ROOT "FAILURE/failure.ndjson", FAILURE(4, "InternalServerException"));
	assert_int_equal(read_all(), S3_DONE);
	broken = S3_FAILED;
	assert_int_equal(read_all(), S3_FAILED);
}

/* A line without an end, and lines without one. */
static void
test_endless(void **state)
{
	static char line[1 << 20];

	(void)state;
	put_manifest("");
	memset(line, 'x', sizeof(line));
	put_bytes(ROOT "SUCCESS/success.ndjson", line, sizeof(line));
	assert_int_equal(read_all(), S3_DONE);
	assert_int_equal(all.bad_lines, 1);
	repeats = 1000;
	assert_int_equal(read_all(), S3_FAILED);
	memset(line, '\n', sizeof(line));
	assert_int_equal(read_all(), S3_FAILED);
}

/* Their sum is no number. */
static void
test_promises_beyond_all_numbers(void **state)
{
	(void)state;
	put_manifest(",\"numberOfFilesWithCustomerError\": 9223372036854775807,"
	    "\"numberOfFilesWithServerError\": 9223372036854775807");
	assert_int_equal(read_all(), S3_ABSENT);
}

static void
test_places(void **state)
{
	static const char *const places[] = { "s3://out/else/", "s3://out/else" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		(void)setup(NULL);
		assert_int_equal(ahi_uri_parse(places[i], &job.results), 0);
		put("else/job-output-manifest.json", "{\"jobSummary\": {"
		    "\"successOutputS3Uri\": \"s3://out/third/\","
		    "\"failureOutputS3Uri\": \"s3://stranger/third/\"}}");
		put("third/success.ndjson", SUCCESS(1, "true"));
		put("else/FAILURE/failure.ndjson", FAILURE(2, "V"));
		assert_int_equal(read_all(), S3_DONE);
		assert_int_equal(outcomes[0].listed, AHI_SUCCESS);
		assert_int_equal(outcomes[1].listed, AHI_CUSTOMER_ERROR);
	}
}

static void
test_codes(void **state)
{
	(void)state;
	put_manifest("");
	put(ROOT "WARNING/warning.ndjson", WARNING(1, "\"B120\"") WARNING(2,
	    "\"45344\"") WARNING(3, "\"0xB120\"") WARNING(4, "-1"));
	assert_int_equal(read_all(), S3_DONE);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(outcomes[i].code, 0xb120);
	assert_non_null(strstr(ahi_warning_words(0xb120), "transfer syntax"));
	assert_non_null(strstr(ahi_warning_words(45571), "too long"));
	assert_non_null(strstr(ahi_warning_words(1), "not documented"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_each_list, setup),
		cmocka_unit_test_setup(test_bad_line_costs_itself, setup),
		cmocka_unit_test_setup(test_python_words_in_strings_stay, setup),
		cmocka_unit_test_setup(test_strangers_are_passed_over, setup),
		cmocka_unit_test_setup(test_twice, setup),
		cmocka_unit_test_setup(test_late, setup),
		cmocka_unit_test_setup(test_endless, setup),
		cmocka_unit_test_setup(test_promises_beyond_all_numbers, setup),
		cmocka_unit_test_setup(test_places, setup),
		cmocka_unit_test_setup(test_codes, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
