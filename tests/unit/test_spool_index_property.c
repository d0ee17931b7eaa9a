/* test_spool_index_property.c - random histories: whatever happens in whatever
 * order, every counter is what a count says, lists are what a plain search
 * finds, and a rolled back transaction has not been. SEED=n repeats one.
 *
 * Then the plans: no statement that was used looks through all instances or all
 * deliveries. TIMES=n prints what arrivals cost with up to n rows (no test).
 */
#include <time.h>

#include "tests/unit/index_fixture.h"

#define STEPS	   3000
#define STUDIES	   6
#define MAX_LIST   4096

static const char *const dests[] = { "cloud", "ahi", "archive" };

struct world {
	struct fixture *f;
	unsigned seed;
	uint64_t next_id;	/* ids below were given out */
	int64_t	 now_ms;
};

static unsigned
pick(struct world *w, unsigned n)
{
	return (unsigned)rand_r(&w->seed) % n;
}

static uint64_t
pick_id(struct world *w)
{
	return 1 + pick(w, (unsigned)w->next_id);
}

static const char *
pick_dest(struct world *w)
{
	return dests[pick(w, ARRAY_LEN(dests))];
}

/* What a caller may be told without having done anything wrong. */
static void
expect_harmless(int r)
{
	if (r != 0 && r != -ENOENT && r != -EALREADY && r != -ENOTEMPTY)
		fail_msg("unexpected: %s", strerror(-r));
}

static void
step_add(struct world *w)
{
	unsigned study = pick(w, STUDIES);
	struct arrive a = arrival(w->next_id++, study, pick(w, 3), pick(w, 40));
	static const char *const modalities[] = { "CT", "SR", "PR", "" };

	a.check = pick(w, 4) == 0;
	a.rec.segment = a.at.segment = pick(w, 5);
	a.rec.head.priority = pick(w, 3);
	a.head = (struct dicom_head){ 0 };
	head_text(&a.head, DICOM_HEAD_MODALITY, modalities[pick(w, 4)]);
	if (pick(w, 2) == 0)
		head_text(&a.head, DICOM_HEAD_ACCESSION, pick(w, 2) ? "A" : "B");
	assert_int_equal(arrive_in(w->f, &a, ""), 0);
}

static void
step_route(struct world *w)
{
	unsigned first = pick(w, 3), n = pick(w, 4);
	const char *to[3];

	for (unsigned i = 0; i < n; i++)
		to[i] = dests[(first + i) % 3];
	expect_harmless(index_route(w->f->ix, pick_id(w), to, n));
}

static void
step_deliver(struct world *w)
{
	expect_harmless(index_deliver(w->f->ix, &(struct index_verdict){
	    .id = pick_id(w), .dest = pick_dest(w),
	    .state = pick(w, SPOOL_DELIVERY_STATES),
	    .reason = pick(w, 2) ? "why" : NULL, .actor = "al",
	    .check = pick(w, 2), .create = pick(w, 10) == 0,
	    .wall_ms = w->now_ms }, NULL));
}

static void
step_confirm(struct world *w)
{
	expect_harmless(index_deliver(w->f->ix, &(struct index_verdict){
	    .id = pick_id(w), .dest = pick_dest(w), .state = SPOOL_DELIVERED,
	    .wall_ms = w->now_ms }, NULL));
}

static void
step_repend(struct world *w)
{
	expect_harmless(index_repend(w->f->ix, pick_id(w)));
}

static void
step_let_go(struct world *w)
{
	expect_harmless(index_let_go_unrouted(w->f->ix, pick_id(w), "al", "",
	    w->now_ms));
}

static void
step_unrouted(struct world *w)
{
	uint64_t n;

	assert_int_equal(index_unrouted_to_pending(w->f->ix, &n), 0);
}

static void
step_expunge(struct world *w)
{
	struct store_place at;
	uint64_t length;

	expect_harmless(index_expunge(w->f->ix, pick_id(w), &at, &length));
}

static void
step_replay_expunged(struct world *w)
{
	struct store_place at;
	uint64_t length;

	if (pick(w, 8) == 0)
		expect_harmless(index_replay_expunged(w->f->ix, pick_id(w),
		    w->now_ms, &at, &length));
}

static int
move_it(void *arg, uint64_t id, const struct store_place *at, uint64_t length)
{
	struct world *w = arg;
	struct store_place to = { pick(w, 6), 4096 * pick(w, 1000) };

	(void)length;
	return pick(w, 3) ? 0 : index_move(w->f->ix, id, at, &to);
}

static void
step_move(struct world *w)
{
	expect_harmless(index_in_segment(w->f->ix, 1 + pick(w, 5), move_it, w));
}

static void
step_forget(struct world *w)
{
	uint64_t n;

	assert_int_equal(index_forget(w->f->ix, w->now_ms - 100, pick(w, 4), &n),
	    0);
}

static void
step_flags(struct world *w)
{
	char uid[16];

	(void)snprintf(uid, sizeof(uid), "1.2.%u", pick(w, STUDIES));
	expect_harmless(index_study_hold(w->f->ix, uid, pick(w, 2)));
	expect_harmless(index_study_priority(w->f->ix, uid, pick(w, 3)));
	expect_harmless(index_destination_hold(w->f->ix, pick_dest(w),
	    pick(w, 2)));
	expect_harmless(index_set_damaged(w->f->ix, pick_id(w)));
	expect_harmless(index_set_replacing(w->f->ix, pick_id(w), pick_dest(w)));
	expect_harmless(index_segment_set(w->f->ix, 1 + pick(w, 5), 9,
	    pick(w, SEGMENT_STATES)));
	expect_harmless(index_segment_remove(w->f->ix, 1 + pick(w, 5)));
	assert_int_equal(index_note_settled(w->f->ix, pick(w, 1000)), 0);
}

static void
step_renumber(struct world *w)
{
	assert_int_equal(index_renumber(w->f->ix), 0);
}

#define JOBS 8	/* numbers; whose they are follows from them */

static uint64_t
pick_job(struct world *w)
{
	return 5000 + pick(w, JOBS);
}

static const char *
dest_of_job(uint64_t job)
{
	return dests[job % ARRAY_LEN(dests)];
}

static void
step_job(struct world *w)
{
	uint64_t job = pick_job(w);

	assert_int_equal(index_job_set(w->f->ix, job, dest_of_job(job), "{}",
	    w->now_ms), 0);
}

/* Sometimes by a job that is over, or another's. */
static void
step_send(struct world *w)
{
	uint64_t job = pick_job(w);

	expect_harmless(index_deliver(w->f->ix, &(struct index_verdict){
	    .id = pick_id(w), .state = SPOOL_SENT, .job = job,
	    .dest = pick(w, 9) ? dest_of_job(job) : pick_dest(w),
	    .remote = pick(w, 2) ? "there" : NULL, .create = pick(w, 20) == 0,
	    .wall_ms = w->now_ms }, NULL));
}

static void
step_job_end(struct world *w)
{
	uint64_t owed;

	if (pick(w, 3) == 0)
		expect_harmless(index_job_end(w->f->ix, pick_job(w), w->now_ms,
		    &owed));
}

static void
step_note(struct world *w)
{
	expect_harmless(index_note_set(w->f->ix, pick_id(w), pick_dest(w),
	    pick(w, 5) ? "so far" : NULL));
}

static const struct {
	void (*fn)(struct world *w);
	unsigned weight;
} steps[] = {
	{ step_add, 30 }, { step_route, 30 }, { step_deliver, 25 },
	{ step_confirm, 25 }, { step_repend, 10 }, { step_let_go, 5 },
	{ step_unrouted, 1 }, { step_expunge, 20 }, { step_replay_expunged, 3 },
	{ step_move, 2 }, { step_forget, 6 }, { step_flags, 3 },
	{ step_renumber, 1 }, { step_job, 4 }, { step_send, 30 },
	{ step_job_end, 3 }, { step_note, 8 },
};

static void
take_step(struct world *w)
{
	unsigned total = 0, at;
	size_t i = 0;

	for (size_t j = 0; j < ARRAY_LEN(steps); j++)
		total += steps[j].weight;
	at = pick(w, total);
	while (at >= steps[i].weight)
		at -= steps[i++].weight;
	w->now_ms++;
	steps[i].fn(w);
}

/* ---- lists against a plain search ---- */

struct list {
	size_t	 n;
	uint64_t id[MAX_LIST];
};

static int
list_instance(void *arg, const struct spool_instance *in)
{
	struct list *l = arg;

	l->id[l->n++] = in->id;
	return 0;
}

static int
list_place(void *arg, uint64_t id, const struct store_place *at, uint64_t length)
{
	struct list *l = arg;

	(void)at;
	(void)length;
	l->id[l->n++] = id;
	return 0;
}

static int
list_owed_study(void *arg, const struct spool_owed_study *s)
{
	struct list *l = arg;

	l->id[l->n++] = s->study;
	return 0;
}

static int
list_open_study(void *arg, const struct spool_open_study *s)
{
	struct list *l = arg;

	l->id[l->n++] = s->study;
	return 0;
}

static int
list_study(void *arg, const struct spool_study *s)
{
	struct list *l = arg;

	l->id[l->n++] = s->id;
	return 0;
}

/* The ids of a plain search without any index. */
static void
expect_list(struct world *w, const struct list *l, const char *text)
{
	sqlite3_stmt *st;
	size_t n = 0;

	assert_int_equal(sqlite3_prepare_v2(w->f->ix->sql.db, text, -1, &st,
	    NULL), SQLITE_OK);
	while (sqlite3_step(st) == SQLITE_ROW) {
		if (n >= l->n ||
		    l->id[n] != (uint64_t)sqlite3_column_int64(st, 0))
			fail_msg("row %zu differs: %s", n, text);
		n++;
	}
	(void)sqlite3_finalize(st);
	assert_int_equal(n, l->n);
}

struct queue_walk {
	struct world *w;
	const char   *dest;
	struct list  *l;
	unsigned      last;	/* priority */
};

static int
list_source(void *arg, const struct spool_owed_source *s)
{
	struct queue_walk *q = arg;
	uint64_t after = 0;
	size_t before;

	assert_true(s->priority <= q->last);
	q->last = s->priority;
	do {
		before = q->l->n;
		assert_int_equal(index_reader_owed_studies(q->w->f->r, q->dest, s,
		    after, 3, list_owed_study, q->l), 0);
		after = q->l->n > 0 ? q->l->id[q->l->n - 1] : 0;
	} while (q->l->n - before == 3);
	return 0;
}

static int
compare_ids(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void
list_queue(struct world *w, const char *dest, struct list *l)
{
	struct queue_walk q = { w, dest, l, SPOOL_STAT };
	struct spool_owed_study s;

	l->n = 0;
	assert_int_equal(index_reader_owed_sources(w->f->r, dest, list_source, &q),
	    0);
	qsort(l->id, l->n, sizeof(l->id[0]), compare_ids);
	for (size_t i = 0; i < l->n; i++)
		assert_int_equal(index_reader_owed_study(w->f->r, dest, l->id[i],
		    &s), 0);
}

static void
compare_owed(struct world *w, const char *dest, struct list *l)
{
	AUTO_FREE char *studies = xasprintf("SELECT id FROM study AS s WHERE"
	    " NOT held AND EXISTS (SELECT 1 FROM delivery d JOIN destination n"
	    " ON n.id = d.destination AND n.name = '%s' WHERE d.study = s.id"
	    " AND +d.state = 0) ORDER BY id", dest);

	list_queue(w, dest, l);
	expect_list(w, l, studies);
	for (uint64_t study = 1; study <= STUDIES; study++) {
		AUTO_FREE char *owed = xasprintf("SELECT i.id FROM instance i"
		    " JOIN delivery d ON d.instance = i.id JOIN destination n"
		    " ON n.id = d.destination AND n.name = '%s'"
		    " WHERE i.study = %u AND +d.state = 0 AND NOT EXISTS"
		    " (SELECT 1 FROM instance e LEFT JOIN delivery x"
		    "  ON x.instance = e.id AND x.destination = d.destination"
		    "  WHERE e.uid = i.uid AND ((e.version < i.version"
		    "  AND (+e.todo = 0 OR +x.state IN (0, 1))) OR (+x.state = 1"
		    "  AND (i.version > 1 OR d.must_check)))) ORDER BY i.id",
		    dest, (unsigned)study);

		l->n = 0;
		assert_int_equal(index_reader_owed(w->f->r, dest, study, 0, 0,
		    list_instance, l), 0);
		expect_list(w, l, owed);
	}
}

static int
list_job(void *arg, const struct spool_job *job)
{
	struct list *l = arg;

	l->id[l->n++] = job->id * 10000 + job->sent;
	return 0;
}

static void
compare_jobs(struct world *w, struct list *l)
{
	l->n = 0;
	assert_int_equal(index_reader_jobs(w->f->r, NULL, list_job, l), 0);
	expect_list(w, l, "SELECT id * 10000 + (SELECT count(*) FROM delivery d"
	    " WHERE +d.job = j.id) FROM job AS j ORDER BY id");
	for (uint64_t job = 5000; job < 5000 + JOBS; job++) {
		AUTO_FREE char *sent = xasprintf("SELECT instance FROM delivery"
		    " WHERE +state = 1 AND +job = %u ORDER BY instance",
		    (unsigned)job);

		l->n = 0;
		assert_int_equal(index_reader_job_sent(w->f->r, job, 0, 0,
		    list_instance, l), 0);
		expect_list(w, l, sent);
	}
}

static int
list_absent(void *arg, uint64_t id, const char *dest, enum spool_delivery s)
{
	struct list *l = arg;

	(void)dest;
	assert_int_equal(s, SPOOL_OWED);
	l->id[l->n++] = id;
	return 0;
}

static void
compare_absent(struct world *w, const char *dest, struct list *l)
{
	for (uint64_t study = 1; study <= STUDIES; study++) {
		AUTO_FREE char *absent = xasprintf("SELECT i.id FROM instance i"
		    " WHERE i.study = %u AND kept AND (+todo IS 1 OR (+todo IS"
		    " NULL AND NOT EXISTS (SELECT 1 FROM delivery d"
		    "  JOIN destination n ON n.id = d.destination"
		    "  WHERE d.instance = i.id AND n.name = '%s'))) ORDER BY i.id",
		    (unsigned)study, dest);

		l->n = 0;
		assert_int_equal(index_absent(w->f->ix, study, dest, 0, MAX_LIST,
		    list_absent, l), 0);
		expect_list(w, l, absent);
	}
}

static void
compare_lists(struct world *w)
{
	AUTO_FREE struct list *l = xcalloc(1, sizeof(*l));

	for (size_t i = 0; i < ARRAY_LEN(dests); i++) {
		compare_owed(w, dests[i], l);
		compare_absent(w, dests[i], l);
	}
	compare_absent(w, "never", l);
	compare_jobs(w, l);
	l->n = 0;
	assert_int_equal(index_reader_incomplete(w->f->r, list_open_study, l),
	    0);
	expect_list(w, l, "SELECT DISTINCT study FROM instance"
	    " WHERE +todo IS 0 ORDER BY study");
	l->n = 0;
	assert_int_equal(index_evictable(w->f->ix, INT64_MAX, MAX_LIST,
	    list_place, l), 0);
	expect_list(w, l, "SELECT id FROM instance AS i WHERE kept AND"
	    " todo IS NULL AND NOT EXISTS (SELECT 1 FROM delivery d WHERE"
	    " d.instance = i.id AND +state IN (0, 1, 4)) ORDER BY"
	    " (SELECT max(since_ms) FROM delivery d WHERE d.instance = i.id),"
	    " i.id");
	for (int s = 0; s < SPOOL_STUDY_STATES; s++) {
		struct spool_filter f = { .state = s };
		AUTO_FREE char *plain = xasprintf("SELECT id FROM study"
		    " WHERE +state = %d ORDER BY id DESC", s);

		l->n = 0;
		assert_int_equal(index_reader_studies(w->f->r, &f, list_study,
		    l), 0);
		expect_list(w, l, plain);
	}
}

/* Everything in one number. */
static int64_t
digest_all(struct world *w)
{
	return sql_ask(w->f, "SELECT total(id * 31 + version * 7 + kept * 3 +"
	    " coalesce(todo, 5) * 11 + coalesce(done, 13) + segment) +"
	    " (SELECT total(instance * 17 + destination * 5 + state * 3 +"
	    "  since_ms + again * 2 + must_check + coalesce(job, 0)"
	    "  + (remote IS NOT NULL)) FROM delivery) +"
	    " (SELECT total(id) FROM job) + (SELECT total(instance * 23)"
	    "  FROM note) +"
	    " (SELECT total(id * 3 + bytes + owed * 7 + pending * 19) FROM study)"
	    " FROM instance");
}

static void
run_history(struct fixture *f, unsigned seed, unsigned n)
{
	struct world w = { .f = f, .seed = seed, .next_id = 1, .now_ms = 1000 };

	while (n > 0) {
		unsigned batch = 1 + pick(&w, 30);
		bool undo = pick(&w, 8) == 0;
		int64_t before = undo ? digest_all(&w) : 0;

		assert_int_equal(index_begin(f->ix), 0);
		for (unsigned i = 0; i < batch && n > 0; i++, n--)
			take_step(&w);
		if (undo) {
			index_rollback(f->ix);
			assert_true(digest_all(&w) == before);
		} else {
			assert_int_equal(index_commit(f->ix,
			    pick(&w, 10) == 0), 0);
		}
		if (pick(&w, 10) == 0)
			recount(f);
		if (pick(&w, 10) == 0)
			compare_lists(&w);
	}
	recount(f);
	compare_lists(&w);
}

static void
test_random_history(void **state)
{
	const char *fixed = getenv("SEED");
	unsigned seed = fixed != NULL ? (unsigned)atoi(fixed) :
	    (unsigned)time(NULL);

	print_message("SEED=%u\n", seed);
	run_history(*state, seed, STEPS);
}

static void
test_fixed_histories(void **state)
{
	for (unsigned seed = 1; seed <= 3; seed++) {
		run_history(*state, seed, STEPS / 3);
		(void)fixture_teardown(state);
		(void)fixture_setup(state);
	}
}

/* ---- plans ---- */

static int
ignore_pair(void *arg, uint64_t id, const char *d, enum spool_delivery s)
{
	(void)arg;
	(void)id;
	(void)d;
	(void)s;
	return 0;
}

/* What the histories do not call. */
static void
use_readers(struct fixture *f)
{
	struct spool_filter filters[] = {
		{ .state = -1 }, { .state = 0 }, { .state = -1, .uid = "1" },
		{ .state = -1, .accession = "A" },
		{ .state = -1, .patient_id = "P" },
	};
	AUTO_FREE struct list *l = xcalloc(1, sizeof(*l));
	struct index_known k;
	struct spool_instance in;
	struct spool_stats stats;
	uint8_t sum[HASH_SIZE] = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(filters); i++) {
		l->n = 0;
		assert_int_equal(index_reader_studies(f->r, &filters[i],
		    list_study, l), 0);
	}
	l->n = 0;
	assert_int_equal(index_reader_instances(f->r, 1, 0, true, 0,
	    list_instance, l), 0);
	assert_int_equal(index_reader_instances(f->r, 1, 0, false, 0,
	    list_instance, l), 0);
	assert_int_equal(index_kept_of_study(f->ix, 1, 0, 9, list_place, l), 0);
	(void)index_reader_instance(f->r, 1, &in, NULL, sum);
	(void)index_reader_latest(f->r, "1", &k);
	(void)index_same(f->ix, "1", 5, sum, &k);
	(void)index_has(f->ix, 1);
	(void)index_reader_stats(f->r, &stats);
	(void)index_reader_note(f->r, 1, "cloud", &(struct buf)BUF_INIT(9));
	(void)index_has_job(f->ix, 5000);
	for (unsigned mask = 1; mask < 1u << SPOOL_DELIVERY_STATES; mask += 5) {
		(void)index_pairs(f->ix, 0, "cloud", mask, true, 0, 9,
		    ignore_pair, NULL);
		(void)index_pairs(f->ix, 1, NULL, mask, true, 0, 9, ignore_pair,
		    NULL);
	}
	(void)index_pairs_of(f->ix, 1, ~0u, ignore_pair, NULL);
}

/* i, e: instances; d, x: deliveries; as SQLite names them in its plans. */
static bool
looks_through_all(const char *detail)
{
	static const char *const tables[] = {
		"SCAN i", "SCAN e", "SCAN d", "SCAN x", "SCAN instance",
		"SCAN delivery",
	};

	for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
		size_t len = strlen(tables[i]);

		if (strncmp(detail, tables[i], len) == 0 &&
		    (detail[len] == ' ' || detail[len] == '\0'))
			return true;
	}
	return false;
}

/* Once per rebuild or per operator's command on a whole destination. */
static bool
may_be_slow(const char *text)
{
	return strstr(text, "version > 1") != NULL ||
	    strstr(text, "+i.todo IS NOT NULL") != NULL;
}

static unsigned
check_plans(sqlite3 *db)
{
	unsigned n = 0;

	for (sqlite3_stmt *st = sqlite3_next_stmt(db, NULL); st != NULL;
	    st = sqlite3_next_stmt(db, st)) {
		AUTO_FREE char *ask = NULL;
		sqlite3_stmt *plan = NULL;

		if (sqlite3_stmt_isexplain(st) || may_be_slow(sqlite3_sql(st)))
			continue;
		n++;
		ask = xasprintf("EXPLAIN QUERY PLAN %s", sqlite3_sql(st));
		if (sqlite3_prepare_v2(db, ask, -1, &plan, NULL) != SQLITE_OK)
			fail_msg("%s", sqlite3_errmsg(db));
		while (sqlite3_step(plan) == SQLITE_ROW) {
			const char *detail =
			    (const char *)sqlite3_column_text(plan, 3);

			if (looks_through_all(detail) ||
			    (strstr(detail, "TEMP B-TREE FOR ORDER") != NULL &&
			    strstr(ask, "group_concat") == NULL))
				fail_msg("%s in: %s", detail, ask);
		}
		(void)sqlite3_finalize(plan);
	}
	return n;
}

static void
test_plans(void **state)
{
	struct fixture *f = *state;

	run_history(f, 5, 600);
	use_readers(f);
	assert_true(check_plans(f->ix->sql.db) > 60);
	assert_true(check_plans(f->r->sql.db) > 12);
}

/* ---- times ---- */

static double
seconds(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double
time_adds(struct fixture *f, uint64_t *id, unsigned n)
{
	double begun, spent = 0;

	for (unsigned i = 0; i < n; i++, (*id)++) {
		struct arrive a = arrival(*id, (unsigned)(*id / 600),
		    (unsigned)(*id / 200), (unsigned)*id);

		begun = seconds();
		if (i % 50 == 0)
			assert_int_equal(index_begin(f->ix), 0);
		assert_int_equal(arrive_in(f, &a, ""), 0);
		if (i % 50 == 49)
			assert_int_equal(index_commit(f->ix, false), 0);
		spent += seconds() - begun;
	}
	return spent / n * 1e6;
}

static void
print_times(void **state)
{
	struct fixture *f = *state;
	uint64_t id = 1, most = strtoull(getenv("TIMES"), NULL, 10);

	for (;;) {
		uint64_t rows = id - 1;

		print_message("%8" PRIu64 " rows: %.1f us an arrival\n", rows,
		    time_adds(f, &id, 5000));
		if (rows >= most)
			return;
		(void)time_adds(f, &id, (unsigned)(most / 4 / 50 * 50));
		assert_int_equal(index_checkpoint(f->ix), 0);
	}
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_random_history),
		T(test_fixed_histories),
		T(test_plans),
	};
	const struct CMUnitTest times[] = {
		T(print_times),
	};

	if (getenv("TIMES") != NULL)
		return cmocka_run_group_tests(times, NULL, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
