/* test_destination_ahi_settle.c - each combination of what an import's lists say of a
 * file gives one verdict; names and texts of jobs.
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

#define MANY 600	/* more than two pages */

/* ---- around it ----------------------------------------------------------- */

static struct { unsigned version; bool later, settled; enum destination_verdict v;
	char reason[200], remote[80]; } known[MANY + 1];	/* by id */
static size_t n_known, asked;
static enum destination_presence shown;
static bool hopeless;
static int settle_error, text_error;
static char last_text[SPOOL_JOB_TEXT_MAX + 1];

void
stow_settle(struct destination_item *item, enum destination_verdict v,
    const char *fmt, ...)
{
	va_list ap;

	item->verdict = v;
	va_start(ap, fmt);
	(void)vsnprintf(item->reason, sizeof(item->reason), fmt, ap);
	va_end(ap);
}

void
destination_quote(struct destination_item *item, const char *said)
{
	size_t n = strlen(item->reason);

	if (said[0] == '\0')
		return;
	item->quote_at = n;
	(void)snprintf(item->reason + n, sizeof(item->reason) - n, ": %s", said);
}

int
spool_job_sent(struct spool *sp, uint64_t id, uint64_t after, size_t limit,
    spool_instance_fn *fn, void *arg)
{
	struct spool_instance in = { .job = id };
	size_t n = 0;

	(void)sp;
	for (in.id = after + 1; in.id <= n_known && n < limit; in.id++) {
		if (known[in.id].settled)
			continue;
		in.version = known[in.id].version;
		in.later = known[in.id].later;
		(void)snprintf(in.sop_instance, sizeof(in.sop_instance), "1.2.%u",
		    (unsigned)in.id);
		(void)fn(arg, &in);
		n++;
	}
	return 0;
}

int
spool_job_new(struct spool *sp, const char *destination, const char *text,
    uint64_t *ret_id)
{
	(void)sp;
	(void)destination;
	assert_true(strlen(text) <= SPOOL_JOB_TEXT_MAX);
	(void)snprintf(last_text, sizeof(last_text), "%s", text);
	*ret_id = 7;
	return text_error;
}

int
spool_job_set(struct spool *sp, uint64_t id, const char *text)
{
	(void)sp;
	assert_int_equal(id, 7);
	assert_true(strlen(text) <= SPOOL_JOB_TEXT_MAX);
	if (text_error == 0)
		(void)snprintf(last_text, sizeof(last_text), "%s", text);
	return text_error;
}

int
spool_jobs(struct spool *sp, const char *destination, spool_job_fn *fn, void *arg)
{
	struct spool_job j = { .id = 7, .destination = destination,
		.text = last_text, .since_ms = 5, .sent = 2 };

	(void)sp;
	return fn(arg, &j);
}

static uint64_t ended;

int
spool_job_end(struct spool *sp, uint64_t id)
{
	(void)sp;
	ended = id;
	return 0;
}

void
ahi_query(struct ahi *a, struct destination_look *looks, size_t n,
    struct destination_result *ret)
{
	(void)a;
	(void)ret;
	asked += n;
	for (size_t i = 0; i < n; i++)
		looks[i].presence = shown;
}

bool
ahi_hopeless(struct ahi *a, uint64_t id)
{
	(void)a;
	(void)id;
	return hopeless;
}

const char *
ahi_warning_words(unsigned code)
{
	return code == 0xb112 ? "offsets" : "?";
}

static int
settle(void *arg, uint64_t job, struct destination_item *items, size_t n)
{
	(void)arg;
	assert_int_equal(job, 7);
	if (settle_error < 0)
		return settle_error;
	for (size_t i = 0; i < n; i++) {
		uint64_t id = items[i].in.id;

		assert_false(known[id].settled);
		known[id].settled = true;
		known[id].v = items[i].verdict;
		memcpy(known[id].reason, items[i].reason, 200);
		memcpy(known[id].remote, items[i].remote, 80);
	}
	return 0;
}

/* ---- a job --------------------------------------------------------------- */

static struct ahi_options options = {
	.datastore_id = (char[]){ "0123456789abcdef0123456789abcdef" },
};
static struct ahi box = { .name = "cloud", .opt = &options,
	.mu = PTHREAD_MUTEX_INITIALIZER, .opened = PTHREAD_COND_INITIALIZER };
static struct ahi_job job = { .id = 7 };
static struct destination_result result;
static struct ahi_tending tending = { .a = &box, .settle = settle,
	.ret = &result };

static int
setup(void **state)
{
	(void)state;
	memset(known, 0, sizeof(known));
	n_known = 4;
	for (size_t i = 1; i <= MANY; i++)
		known[i].version = 1;
	asked = 0;
	shown = DESTINATION_UNKNOWN;
	hopeless = false;
	settle_error = text_error = 0;
	return 0;
}

/* Of one instance, listed so. */
static void
settle_one(unsigned listed, bool query, bool last, struct ahi_left *left)
{
	struct ahi_outcomes o;

	n_known = 1;
	known[1].settled = false;
	assert_int_equal(ahi_collect_sent(&box, &job, &o), 0);
	assert_int_equal(o.n, 1);
	o.v[0].listed = listed;
	o.v[0].code = 0xb112;
	(void)snprintf(o.v[0].words, sizeof(o.v[0].words), "words");
	(void)snprintf(o.v[0].image_set, sizeof(o.v[0].image_set), "set1");
	assert_int_equal(ahi_settle_listed(&tending, &job, &o, query, last, left), 0);
	free(o.v);
}

static void
test_table(void **state)
{
	static const struct { unsigned listed; enum destination_verdict v;
		const char *reason; } rows[] = {
		{ AHI_SUCCESS, DESTINATION_OK, "" },
		{ AHI_WARNING, DESTINATION_WARNED, "offsets (B112H): words" },
		{ AHI_SUCCESS | AHI_WARNING, DESTINATION_WARNED, "offsets" },
		{ AHI_CUSTOMER_ERROR, DESTINATION_REFUSED, "words" },
		{ AHI_SUCCESS | AHI_NOT_PRIMARY, DESTINATION_REFUSED, "accept" },
		{ AHI_SUCCESS | AHI_WARNING | AHI_NOT_PRIMARY, DESTINATION_REFUSED,
		    "accept" },
	};
	struct ahi_left left;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		settle_one(rows[i].listed, false, false, &left);
		assert_true(known[1].settled);
		assert_int_equal(known[1].v, rows[i].v);
		assert_non_null(strstr(known[1].reason, rows[i].reason));
		assert_int_equal(left.doubtful + left.again, 0);
		assert_string_equal(known[1].remote, rows[i].listed &
		    AHI_NOT_PRIMARY ? "imageset:set1" : "");
	}
	assert_int_equal(asked, 0);
}

static void
test_service_failed(void **state)
{
	struct ahi_left left;

	(void)state;
	settle_one(AHI_SERVER_ERROR, true, false, &left);
	assert_false(known[1].settled);
	assert_int_equal(left.again, 1);
	assert_int_equal(left.doubtful, 0);
	settle_one(AHI_SERVER_ERROR, true, true, &left);
	assert_int_equal(known[1].v, DESTINATION_REFUSED);
}

static void
test_doubts_are_asked(void **state)
{
	static const unsigned doubts[] = { 0, AHI_SUCCESS | AHI_TWICE,
		AHI_SUCCESS | AHI_CUSTOMER_ERROR, AHI_WARNING | AHI_SERVER_ERROR,
		AHI_CUSTOMER_ERROR | AHI_TWICE };
	struct ahi_left left;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(doubts); i++) {
		shown = DESTINATION_THERE;
		settle_one(doubts[i], false, false, &left);
		assert_false(known[1].settled);
		assert_int_equal(left.doubtful, 1);
		settle_one(doubts[i], true, false, &left);
		assert_int_equal(known[1].v, DESTINATION_OK);
		shown = DESTINATION_MISSING;
		settle_one(doubts[i], true, false, &left);
		assert_int_equal(known[1].v, DESTINATION_RETRY);
		shown = DESTINATION_UNKNOWN;
		settle_one(doubts[i], true, false, &left);
		assert_false(known[1].settled);
		assert_int_equal(left.doubtful, 1);
	}
	hopeless = true;
	shown = DESTINATION_MISSING;
	settle_one(0, true, false, &left);
	assert_int_equal(known[1].v, DESTINATION_REFUSED);
}

static void
test_03_presence_proves_none_of_several_versions(void **state)
{
	struct ahi_left left;

	(void)state;
	shown = DESTINATION_THERE;
	for (unsigned version = 1; version <= 2; version++) {
		known[1].version = version;
		known[1].later = version == 1;
		settle_one(0, true, false, &left);
		assert_int_equal(known[1].v, DESTINATION_RETRY);
		settle_one(AHI_SUCCESS | AHI_TWICE, true, false, &left);
		assert_int_equal(known[1].v, DESTINATION_OK);
		settle_one(AHI_SUCCESS | AHI_CUSTOMER_ERROR, true, false, &left);
		assert_int_equal(known[1].v, DESTINATION_RETRY);
	}
}

static void
test_many(void **state)
{
	struct ahi_outcomes o;
	struct ahi_left left;
	size_t counts[6] = { 0 };

	(void)state;
	n_known = MANY;
	shown = DESTINATION_THERE;
	assert_int_equal(ahi_collect_sent(&box, &job, &o), 0);
	assert_int_equal(o.n, MANY);
	assert_int_equal(job.sent, MANY);
	for (size_t i = 0; i < MANY; i++)
		o.v[i].listed = (unsigned[]){ AHI_SUCCESS, 0, AHI_SERVER_ERROR,
			AHI_CUSTOMER_ERROR }[i % 4];
	settle_error = -EIO;
	assert_int_equal(ahi_settle_listed(&tending, &job, &o, false, false, &left),
	    -EIO);
	settle_error = 0;
	assert_int_equal(ahi_settle_listed(&tending, &job, &o, false, false, &left),
	    0);
	assert_int_equal(left.again, MANY / 4);
	assert_int_equal(left.doubtful, MANY / 4);
	assert_int_equal(job.sent, MANY / 2);
	assert_int_equal(ahi_settle_listed(&tending, &job, &o, true, false, &left), 0);
	assert_int_equal(asked, MANY / 4);
	assert_int_equal(left.again, MANY / 4);
	assert_int_equal(left.doubtful, 0);
	for (size_t i = 1; i <= MANY; i++) {
		if (known[i].settled)
			counts[known[i].v]++;
	}
	assert_int_equal(counts[DESTINATION_OK], MANY / 2);
	assert_int_equal(counts[DESTINATION_REFUSED], MANY / 4);
	/* The rest fails with its whole import: a part of it is kept back. */
	assert_int_equal(ahi_settle_owed(&tending, &job, 100, false, "failed"), 0);
	assert_int_equal(job.sent, 100);
	assert_int_equal(ahi_settle_owed(&tending, &job, 0, false, "failed"), 0);
	assert_int_equal(job.sent, 0);
	free(o.v);
}

/* ---- names and texts ----------------------------------------------------- */

static void
test_uris(void **state)
{
	static const char *const bad[] = { "", "s3://", "s3://ab/x", "s3://Bucket/x",
		"https://bucket/x", "s3://-bucket/x", "s3://bucket/a b", "s3:/bucket/x",
		"s3://bucket\n/x", "s3://bucket/\"x" };
	struct ahi_uri u;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(ahi_uri_parse(bad[i], &u), -EINVAL);
	assert_int_equal(ahi_uri_parse("s3://bucket.1/a/b", &u), 0);
	assert_string_equal(u.bucket, "bucket.1");
	assert_string_equal(u.prefix, "a/b/");
	assert_int_equal(ahi_uri_parse("s3://bucket", &u), 0);
	assert_string_equal(u.prefix, "");
	assert_int_equal(ahi_uri_parse("s3://bucket/", &u), 0);
	assert_string_equal(u.prefix, "");
}

static void
test_file_names(void **state)
{
	struct spool_instance in = { .id = UINT64_MAX, .sop_instance = "1.2/..%3" };
	char name[DICOM_UID_MAX + 32];

	(void)state;
	ahi_file_name(&in, name, sizeof(name));
	assert_string_equal(name, "1.2_.._3.18446744073709551615.dcm");
}

static void
test_recovered_as_it_was_left(void **state)
{
	static char long_uri[AHI_URI_MAX + 1], role[AHI_ROLE_MAX + 1];
	struct ahi_job *j, *again;

	(void)state;
	(void)snprintf(long_uri, sizeof(long_uri), "s3://in-bucket/%0380d", 0);
	(void)snprintf(role, sizeof(role), "arn:aws:iam::123456789012:role/%0250d", 0);
	options.input = options.output = long_uri;
	options.data_access_role = role;
	options.input_owner = (char[]){ "123456789012" };
	assert_int_equal(ahi_uri_parse(long_uri, &box.input), 0);
	box.output = box.input;
	TAILQ_INIT(&box.jobs);
	assert_int_equal(ahi_job_make(&box, UINT64_C(1) << 62, &j), 0);
	(void)snprintf(j->job, sizeof(j->job), "0123456789abcdef0123456789abcdef");
	assert_int_equal(ahi_job_enter(&box, j, AHI_RUNNING), 0);
	text_error = -EIO;
	assert_int_equal(ahi_job_enter(&box, j, AHI_CLOSED), -EIO);
	assert_int_equal(j->phase, AHI_RUNNING);
	text_error = 0;
	assert_int_equal(ahi_recover(&box), 0);
	again = TAILQ_FIRST(&box.jobs);
	assert_non_null(again);
	assert_int_equal(again->phase, AHI_RUNNING);
	assert_string_equal(again->prefix, j->prefix);
	assert_string_equal(again->token, j->token);
	assert_string_equal(again->job, j->job);
	assert_string_equal(again->role, j->role);
	assert_string_equal(again->owner, j->owner);
	assert_true(again->only == j->only);
	assert_int_equal(again->sent, 2);
	TAILQ_REMOVE(&box.jobs, again, link);
	ahi_job_free(again);
	ahi_job_free(j);
	/* Of another data store, or nonsense: given up. */
	options.datastore_id[0] = 'x';
	box.recovered = false;
	ended = 0;
	assert_int_equal(ahi_recover(&box), 0);
	assert_true(TAILQ_EMPTY(&box.jobs));
	assert_int_equal(ended, 7);
	(void)snprintf(last_text, sizeof(last_text), "{\"phase\":");
	box.recovered = false;
	ended = 0;
	assert_int_equal(ahi_recover(&box), 0);
	assert_int_equal(ended, 7);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_table, setup),
		cmocka_unit_test_setup(test_service_failed, setup),
		cmocka_unit_test_setup(test_doubts_are_asked, setup),
		cmocka_unit_test_setup(test_03_presence_proves_none_of_several_versions, setup),
		cmocka_unit_test_setup(test_many, setup),
		cmocka_unit_test_setup(test_uris, setup),
		cmocka_unit_test_setup(test_file_names, setup),
		cmocka_unit_test_setup(test_recovered_as_it_was_left, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
