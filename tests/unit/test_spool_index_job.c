/* test_spool_index_job.c - jobs in the index: what they have sent is counted and
 * searched for as what is owed (invariants 5 and 6), notes, and an index that an
 * earlier version has left.
 */
#include <time.h>

#include "tests/unit/index_lists.h"

static int
send_by(struct fixture *f, uint64_t id, const char *dest, uint64_t job)
{
	return IN_TRANSACTION(f, index_deliver(f->ix, &(struct index_verdict){
	    .id = id, .dest = dest, .state = SPOOL_SENT, .job = job,
	    .remote = "there", .wall_ms = 50 }, NULL));
}

static struct index_delivery
delivery_of(struct fixture *f, uint64_t id, const char *dest)
{
	struct index_delivery now = { 0 };

	assert_int_equal(index_delivery(f->ix, id, dest, &now), 0);
	return now;
}

static uint64_t
end_job(struct fixture *f, uint64_t job)
{
	uint64_t owed = 99;

	assert_int_equal(IN_TRANSACTION(f, index_job_end(f->ix, job, 60,
	    &owed)), 0);
	return owed;
}

/* ---- what is sent ---- */

static void
test_sent_counts_as_owed(void **state)
{
	struct fixture *f = *state;
	uint64_t job, study = arrive(f, arrival(1, 1, 1, 1));
	struct seen seen;

	(void)arrive(f, arrival(2, 1, 1, 2));
	assert_int_equal(route_to(f, 1, "cloud"), 0);
	assert_int_equal(route_to(f, 2, "cloud"), 0);
	job = job_to(f, "cloud");
	assert_int_equal(send_by(f, 1, "cloud", job), 0);
	assert_int_equal(delivery_of(f, 1, "cloud").state, SPOOL_SENT);
	assert_int_equal(delivery_of(f, 1, "cloud").job, job);
	assert_true(delivery_of(f, 1, "cloud").remote);
	assert_false(delivery_of(f, 2, "cloud").remote);
	seen = see_owed(f, "cloud", study, 0, 0);
	assert_int_equal(seen.n, 1);
	assert_int_equal(seen.id[0], 2);
	assert_int_equal(sql_ask(f, "SELECT owed FROM study"), 2);
	assert_int_equal(sql_ask(f, "SELECT state FROM study"),
	    SPOOL_STUDY_OWED);
	assert_int_equal(sql_ask(f, "SELECT sent FROM destination WHERE id > 0"),
	    1);
	recount(f);
	assert_int_equal(deliver(f, 1, "cloud", SPOOL_DELIVERED, 70), 0);
	assert_int_equal(delivery_of(f, 1, "cloud").job, 0);
	assert_true(delivery_of(f, 1, "cloud").remote);
	recount(f);
}

static void
test_sent_by_nobody_is_owed(void **state)
{
	struct fixture *f = *state;
	uint64_t study = arrive(f, arrival(1, 1, 1, 1)), job;
	struct seen seen;

	assert_int_equal(route_to(f, 1, "cloud"), 0);
	assert_int_equal(send_by(f, 1, "cloud", 4711), 0);
	job = job_to(f, "pacs");
	assert_int_equal(send_by(f, 1, "cloud", job), 0);	/* not its own */
	seen = see_owed(f, "cloud", study, 0, 0);
	assert_int_equal(seen.n, 1);
	assert_true(seen.check[0]);
	/* From whatever it was, as when the log is replayed. */
	assert_int_equal(deliver(f, 1, "cloud", SPOOL_DELIVERED, 70), 0);
	assert_int_equal(send_by(f, 1, "cloud", 4711), 0);
	assert_int_equal(delivery_of(f, 1, "cloud").state, SPOOL_OWED);
	recount(f);
}

/* By replay alone: a later line of the log about what an earlier one has sent. */
static void
test_sent_by_another(void **state)
{
	struct fixture *f = *state;
	uint64_t job, other = 8000;

	(void)arrive(f, arrival(1, 1, 1, 1));
	assert_int_equal(route_to(f, 1, "cloud"), 0);
	job = job_to(f, "cloud");
	assert_int_equal(IN_TRANSACTION(f, index_job_set(f->ix, other, "cloud",
	    "{}", 5)), 0);
	assert_int_equal(send_by(f, 1, "cloud", job), 0);
	assert_int_equal(send_by(f, 1, "cloud", other), 0);
	assert_int_equal(delivery_of(f, 1, "cloud").job, other);
	assert_int_equal(end_job(f, job), 0);
	assert_int_equal(delivery_of(f, 1, "cloud").state, SPOOL_SENT);
	assert_int_equal(end_job(f, other), 1);
	assert_int_equal(delivery_of(f, 1, "cloud").state, SPOOL_OWED);
	recount(f);
}

static double
seconds(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* As many as a full batch: the committer does nothing else meanwhile. */
static void
test_the_end_of_a_large_job(void **state)
{
	struct fixture *f = *state;
	uint64_t n = 5000, study = 0, job;
	struct seen seen;
	double begun;

	job = job_to(f, "cloud");
	assert_int_equal(index_begin(f->ix), 0);
	for (uint64_t id = 1; id <= n; id++) {
		struct arrive a = arrival(id, (unsigned)(id / 700), 1, (unsigned)id);
		const char *dest = "cloud";

		assert_int_equal(arrive_in(f, &a, ""), 0);
		assert_int_equal(index_route(f->ix, id, &dest, 1), 0);
		assert_int_equal(index_deliver(f->ix, &(struct index_verdict){
		    .id = id, .dest = "cloud", .state = SPOOL_SENT, .job = job,
		    .wall_ms = 50 }, NULL), 0);
		study = a.study;
	}
	assert_int_equal(index_commit(f->ix, false), 0);
	recount(f);
	begun = seconds();
	assert_int_equal(end_job(f, job), n);
	print_message("%.0f ms\n", (seconds() - begun) * 1e3);
	recount(f);
	seen = see_owed(f, "cloud", study, 0, 10);
	assert_int_equal(seen.n, 10);
	assert_true(seen.check[0] && seen.check[9]);
}

static int
count_job(void *arg, const struct spool_job *job)
{
	uint64_t *last = arg;

	assert_true(job->id > *last);
	assert_int_equal(job->sent, job->id == 100 ? 1 : 0);
	*last = job->id;
	return job->id == 180 ? 5 : 0;
}

static void
test_many_jobs_in_order(void **state)
{
	struct fixture *f = *state;
	uint64_t last = 0;

	(void)arrive(f, arrival(1, 1, 1, 1));
	assert_int_equal(route_to(f, 1, "cloud"), 0);
	for (uint64_t id = 199; id >= 100; id--)
		assert_int_equal(IN_TRANSACTION(f, index_job_set(f->ix, id,
		    id % 2 ? "pacs" : "cloud", "{}", 5)), 0);
	assert_int_equal(send_by(f, 1, "cloud", 100), 0);
	assert_int_equal(index_reader_jobs(f->r, "pacs", count_job, &last), 0);
	assert_int_equal(last, 199);
	last = 0;
	assert_int_equal(index_reader_jobs(f->r, NULL, count_job, &last), 5);
	assert_int_equal(last, 180);
	assert_int_equal(index_reader_jobs(f->r, "none", count_job, &last), 0);
}

/* ---- notes ---- */

static int
note(struct fixture *f, uint64_t id, const char *text)
{
	return IN_TRANSACTION(f, index_note_set(f->ix, id, "cloud", text));
}

static void
test_notes(void **state)
{
	struct fixture *f = *state;
	struct buf text = BUF_INIT(100);

	(void)arrive(f, arrival(1, 1, 1, 1));
	assert_int_equal(note(f, 1, "x"), -ENOENT);
	assert_int_equal(route_to(f, 1, "cloud"), 0);
	assert_int_equal(note(f, 1, "part 1"), 0);
	assert_int_equal(note(f, 1, "part 2"), 0);
	assert_int_equal(index_reader_note(f->r, 1, "cloud", &text), 0);
	assert_string_equal(text.data, "part 2");
	assert_int_equal(index_reader_note(f->r, 1, "pacs", &text), -ENOENT);
	recount(f);
	assert_int_equal(note(f, 1, NULL), 0);
	assert_int_equal(index_reader_note(f->r, 1, "cloud", &text), -ENOENT);
	assert_int_equal(note(f, 1, "part 3"), 0);
	assert_int_equal(deliver(f, 1, "cloud", SPOOL_SENT, 7), 0);
	assert_int_equal(note(f, 1, "late"), -ENOENT);
	recount(f);
	assert_int_equal(sql_ask(f, "SELECT count(*) FROM note"), 0);
	buf_free(&text);
}

/* ---- an index of version 1 ---- */

static void
run_sql(struct fixture *f, const char *text)
{
	if (sqlite3_exec(f->ix->sql.db, text, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s", sqlite3_errmsg(f->ix->sql.db));
}

static void
be_version_1(struct fixture *f)
{
	run_sql(f, "DROP TRIGGER study_delivery_new;"
	    "DROP TRIGGER study_delivery_owed; DROP TRIGGER study_turn;"
	    "DROP INDEX study_delivery_queue;"
	    "ALTER TABLE study_delivery DROP COLUMN turn;"
	    "ALTER TABLE study_delivery DROP COLUMN source;"
	    "DROP TABLE job; DROP TABLE note; DROP INDEX delivery_job;"
	    "ALTER TABLE delivery DROP COLUMN job;"
	    "ALTER TABLE delivery DROP COLUMN remote;"
	    "PRAGMA user_version = 1");
}

static void
test_upgrade(void **state)
{
	struct fixture *f = *state;
	struct index_delivery now;

	for (unsigned i = 1; i <= 4; i++) {
		(void)arrive(f, arrival(i, 1, 1, i));
		assert_int_equal(route_to(f, i, "cloud"), 0);
	}
	assert_int_equal(deliver(f, 1, "cloud", SPOOL_DELIVERED, 9), 0);
	assert_int_equal(deliver(f, 2, "cloud", SPOOL_REFUSED, 9), 0);
	be_version_1(f);
	assert_int_equal(sql_ask(f, "SELECT count(*) FROM pragma_table_info"
	    "('delivery')"), 10);
	fixture_close(f);

	fixture_open(f);
	assert_int_equal(sql_ask(f, "PRAGMA user_version"), INDEX_VERSION);
	recount(f);
	assert_int_equal(sql_ask(f, "SELECT count(*) FROM study_delivery"
	    " WHERE turn IS NOT NULL AND source IS NOT NULL"), 1);
	now = delivery_of(f, 2, "cloud");
	assert_int_equal(now.state, SPOOL_REFUSED);
	assert_false(now.remote);
	assert_int_equal(send_by(f, 3, "cloud", job_to(f, "cloud")), 0);
	assert_int_equal(delivery_of(f, 3, "cloud").state, SPOOL_SENT);
	assert_int_equal(note(f, 4, "x"), 0);
	recount(f);

	/* Only once. */
	fixture_close(f);
	fixture_open(f);
	assert_int_equal(delivery_of(f, 3, "cloud").state, SPOOL_SENT);
	assert_int_equal(sql_ask(f, "SELECT count(*) FROM note"), 1);
}

/* Without the checks and migrations of index_open(). */
static void
open_as_it_is(struct fixture *f)
{
	AUTO_FREE char *path = xasprintf("%s/index.db", f->dir);

	f->ix = xcalloc(1, sizeof(*f->ix));
	assert_int_equal(sqlite3_open(path, &f->ix->sql.db), SQLITE_OK);
}

/* It is all of it or nothing. */
static void
test_upgrade_fails(void **state)
{
	struct fixture *f = *state;
	struct index *ix = NULL;
	bool created;

	(void)arrive(f, arrival(1, 1, 1, 1));
	be_version_1(f);
	run_sql(f, "CREATE TABLE note (something)");	/* in the way */
	fixture_close(f);
	assert_true(index_open(f->dir, fixture_uuid, &ix, &created, NULL) < 0);
	assert_null(ix);
	open_as_it_is(f);
	assert_int_equal(sql_ask(f, "PRAGMA user_version"), 1);
	assert_int_equal(sql_ask(f, "SELECT count(*) FROM pragma_table_info"
	    "('delivery')"), 10);
	run_sql(f, "DROP TABLE note");
	index_close(TAKE_PTR(f->ix));
	fixture_open(f);
	assert_true(index_has(f->ix, 1));
	recount(f);
}

/* What a version-2 index must have. */
static void
test_missing_job_table(void **state)
{
	struct fixture *f = *state;
	struct index *ix = NULL;
	bool created;

	run_sql(f, "DROP TABLE job");
	fixture_close(f);
	assert_int_equal(index_open(f->dir, fixture_uuid, &ix, &created, NULL),
	    -EUCLEAN);
	assert_null(ix);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_sent_counts_as_owed),
		T(test_sent_by_nobody_is_owed),
		T(test_sent_by_another),
		T(test_the_end_of_a_large_job),
		T(test_many_jobs_in_order),
		T(test_notes),
		T(test_upgrade),
		T(test_upgrade_fails),
		T(test_missing_job_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
