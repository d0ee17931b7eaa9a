/* test_spool_index_bytes.c - eviction, expunging, moving, forgetting
 * (invariants 2 and 6), segments, and versions after a rebuild.
 */
#include "tests/unit/index_fixture.h"

struct places {
	size_t	 n;
	uint64_t id[64];
	struct store_place at[64];
	uint64_t length[64];
	struct fixture *expunge;	/* as the sweep does */
};

static int
see_place(void *arg, uint64_t id, const struct store_place *at, uint64_t length)
{
	struct places *p = arg;
	struct store_place was;
	uint64_t bytes;

	assert_true(p->n < 64);
	p->at[p->n] = *at;
	p->length[p->n] = length;
	p->id[p->n++] = id;
	return p->expunge == NULL ? 0 :
	    index_expunge(p->expunge->ix, id, &was, &bytes);
}

static int
expunge(struct fixture *f, uint64_t id)
{
	struct store_place at;
	uint64_t length;

	return IN_TRANSACTION(f, index_expunge(f->ix, id, &at, &length));
}

static void
finish(struct fixture *f, uint64_t id, int64_t wall_ms)
{
	assert_int_equal(route_to(f, id, "cloud"), 0);
	assert_int_equal(deliver(f, id, "cloud", SPOOL_DELIVERED, wall_ms), 0);
}

static void
seal_segments(struct fixture *f)
{
	for (uint64_t id = 1; id <= 3; id++)
		assert_int_equal(IN_TRANSACTION(f, index_segment_set(f->ix, id, 1,
		    SEGMENT_SEALED)), 0);
}

static struct places
see_evictable(struct fixture *f, int64_t before, size_t limit)
{
	struct places p = { 0 };

	assert_int_equal(index_evictable(f->ix, before, limit, see_place, &p),
	    0);
	return p;
}

static void
test_invariant_6_evictable(void **state)
{
	struct fixture *f = *state;
	const char *both[] = { "cloud", "ahi" };
	struct places p;

	for (unsigned i = 1; i <= 9; i++)
		(void)arrive(f, arrival(i, 1, 1, i));
	finish(f, 1, 500);
	finish(f, 2, 400);
	finish(f, 3, 600);
	/* 4 pending; */
	assert_int_equal(route_to(f, 5, NULL), 0);	/* unrouted */
	assert_int_equal(route_to(f, 6, "cloud"), 0);	/* owed */
	assert_int_equal(route_to(f, 7, "cloud"), 0);	/* refused */
	assert_int_equal(deliver(f, 7, "cloud", SPOOL_REFUSED, 1), 0);
	assert_int_equal(route_to(f, 8, "cloud"), 0);	/* sent */
	assert_int_equal(deliver(f, 8, "cloud", SPOOL_SENT, 1), 0);
	assert_int_equal(IN_TRANSACTION(f, index_route(f->ix, 9, both, 2)), 0);
	assert_int_equal(deliver(f, 9, "ahi", SPOOL_DELIVERED, 1), 0);

	p = see_evictable(f, INT64_MAX, 100);
	assert_int_equal(p.n, 3);
	assert_int_equal(p.id[0], 2);
	assert_int_equal(p.id[1], 1);
	assert_int_equal(p.id[2], 3);
	assert_int_equal(p.length[0], 1002);
	assert_int_equal(p.at[0].offset, 8192);
	p = see_evictable(f, 500, 100);
	assert_int_equal(p.n, 1);
	p = see_evictable(f, INT64_MAX, 2);
	assert_int_equal(p.n, 2);

	for (uint64_t id = 4; id <= 9; id++)
		assert_int_equal(expunge(f, id), -ENOENT);
	recount(f);
	/* Each becomes evictable by its end, and ceases to be when owed again. */
	assert_int_equal(deliver(f, 9, "cloud", SPOOL_WARNED, 700), 0);
	assert_int_equal(see_evictable(f, INT64_MAX, 100).n, 4);
	assert_int_equal(deliver(f, 9, "cloud", SPOOL_OWED, 800), 0);
	assert_int_equal(see_evictable(f, INT64_MAX, 100).n, 3);
	/* Listed, then owed again, then expunged: not any more. */
	assert_int_equal(IN_TRANSACTION(f, index_repend(f->ix, 1)), 0);
	assert_int_equal(expunge(f, 1), -ENOENT);
	recount(f);
}

static void
test_expunge(void **state)
{
	struct fixture *f = *state;
	struct places p = { .expunge = f };
	struct index_known k;
	struct store_place at;
	uint64_t length = 0;

	for (unsigned i = 1; i <= 4; i++) {
		(void)arrive(f, arrival(i, 1, 1, i));
		finish(f, i, i);
	}
	assert_int_equal(IN_TRANSACTION(f, index_expunge(f->ix, 1, &at,
	    &length)), 0);
	assert_int_equal(at.offset, 4096);
	assert_int_equal(length, 1001);
	assert_int_equal(expunge(f, 1), -ENOENT);
	assert_int_equal(expunge(f, 99), -ENOENT);
	assert_int_equal(index_latest(f->ix, "1.2.1.1.1", &k), 0);
	assert_false(k.kept);
	assert_int_equal(sql_ask(f, "SELECT kept FROM study"), 3);
	recount(f);
	assert_int_equal(IN_TRANSACTION(f, index_evictable(f->ix, INT64_MAX, 64,
	    see_place, &p)), 0);
	assert_int_equal(p.n, 3);
	assert_int_equal(sql_ask(f, "SELECT kept_bytes FROM study"), 0);
	assert_int_equal(see_evictable(f, INT64_MAX, 64).n, 0);
	recount(f);
}

/* Replayed over a rebuilt index, which knows nothing of routing. */
static void
test_replay_expunged(void **state)
{
	struct fixture *f = *state;
	struct store_place at;
	uint64_t length;

	for (unsigned i = 1; i <= 3; i++)
		(void)arrive(f, arrival(i, 1, 1, i));
	assert_int_equal(route_to(f, 2, NULL), 0);
	assert_int_equal(route_to(f, 3, "cloud"), 0);
	for (uint64_t id = 1; id <= 3; id++) {
		assert_int_equal(IN_TRANSACTION(f, index_replay_expunged(f->ix,
		    id, 50, &at, &length)), 0);
		assert_int_equal(IN_TRANSACTION(f, index_replay_expunged(f->ix,
		    id, 50, &at, &length)), -ENOENT);
	}
	assert_int_equal(sql_ask(f, "SELECT state FROM study"),
	    SPOOL_STUDY_LET_GO);
	recount(f);
}

static void
test_kept_of_study(void **state)
{
	struct fixture *f = *state;
	struct places p = { 0 };
	uint64_t study = 0;

	for (unsigned i = 1; i <= 6; i++)
		study = arrive(f, arrival(i, 1 + (i > 5), 1, i));
	finish(f, 2, 5);
	assert_int_equal(expunge(f, 2), 0);
	assert_int_equal(index_kept_of_study(f->ix, study, 0, 64, see_place, &p),
	    0);
	assert_int_equal(p.n, 1);
	p.n = 0;
	assert_int_equal(index_kept_of_study(f->ix, study - 1, 1, 2, see_place,
	    &p), 0);
	assert_int_equal(p.n, 2);
	assert_int_equal(p.id[0], 3);
	assert_int_equal(p.id[1], 4);
}

/* Invariant 2: a row says a new place only if it still says the old one. */
static void
test_invariant_2_move(void **state)
{
	struct fixture *f = *state;
	struct arrive a = arrival(1, 1, 1, 1);
	struct store_place to = { 40, 8192 }, own = { 0, 0 };
	struct index_known k;

	(void)arrive(f, a);
	assert_int_equal(IN_TRANSACTION(f, index_move(f->ix, 1, &to, &own)),
	    -ENOENT);
	assert_int_equal(IN_TRANSACTION(f, index_move(f->ix, 2, &a.at, &to)),
	    -ENOENT);
	assert_int_equal(IN_TRANSACTION(f, index_move(f->ix, 1, &a.at, &to)), 0);
	assert_int_equal(index_latest(f->ix, "1.2.1.1.1", &k), 0);
	assert_int_equal(k.place.segment, 40);
	assert_int_equal(k.place.offset, 8192);
	recount(f);
	assert_int_equal(IN_TRANSACTION(f, index_move(f->ix, 1, &to, &own)), 0);
	recount(f);
	finish(f, 1, 5);
	assert_int_equal(expunge(f, 1), 0);
	assert_int_equal(IN_TRANSACTION(f, index_move(f->ix, 1, &own, &to)),
	    -ENOENT);
	recount(f);
}

/* ---- forgetting ---- */

static void
test_forget(void **state)
{
	struct fixture *f = *state;
	struct arrive sr = arrival(3, 1, 2, 1);
	uint64_t n = 9;

	(void)arrive(f, arrival(1, 1, 1, 1));
	(void)arrive(f, arrival(2, 1, 1, 2));
	sr.head = (struct dicom_head){ 0 };
	head_text(&sr.head, DICOM_HEAD_MODALITY, "SR");
	(void)arrive(f, sr);
	for (uint64_t id = 1; id <= 3; id++)
		finish(f, id, (int64_t)id * 100);
	/* Bytes here: no row goes. */
	assert_int_equal(IN_TRANSACTION(f, index_forget(f->ix, INT64_MAX, 10,
	    &n)), 0);
	assert_int_equal(n, 0);
	for (uint64_t id = 1; id <= 3; id++)
		assert_int_equal(expunge(f, id), 0);
	/* A start would look through their segments, and find them anew. */
	assert_int_equal(IN_TRANSACTION(f, index_forget(f->ix, 200, 10, &n)), 0);
	assert_int_equal(n, 0);
	seal_segments(f);
	assert_int_equal(IN_TRANSACTION(f, index_forget(f->ix, 200, 10, &n)), 0);
	assert_int_equal(n, 1);
	recount(f);
	assert_int_equal(sql_ask(f, "SELECT modalities = 'CT\\SR' FROM study"),
	    1);
	assert_int_equal(IN_TRANSACTION(f, index_forget(f->ix, 300, 10, &n)), 0);
	assert_int_equal(n, 1);
	recount(f);
	assert_int_equal(sql_ask(f, "SELECT modalities = 'CT\\SR' FROM study"),
	    1);	/* what it once had still counts */
	assert_int_equal(sql_ask(f, "SELECT series FROM study"), 1);
	assert_int_equal(IN_TRANSACTION(f, index_forget(f->ix, 301, 10, &n)), 0);
	assert_int_equal(n, 1);
	recount(f);
	assert_int_equal(sql_ask(f, "SELECT (SELECT count(*) FROM study) +"
	    " (SELECT count(*) FROM series) + (SELECT count(*) FROM delivery) +"
	    " (SELECT count(*) FROM study_delivery) +"
	    " (SELECT count(*) FROM study_head)"), 0);
}

static void
test_forget_in_slices(void **state)
{
	struct fixture *f = *state;
	uint64_t n = 0;

	for (unsigned i = 1; i <= 5; i++) {
		(void)arrive(f, arrival(i, 1, 1, i));
		finish(f, i, 5);
		assert_int_equal(expunge(f, i), 0);
	}
	seal_segments(f);
	assert_int_equal(IN_TRANSACTION(f, index_forget(f->ix, 6, 3, &n)), 0);
	assert_int_equal(n, 3);
	recount(f);
	assert_int_equal(IN_TRANSACTION(f, index_forget(f->ix, 6, 3, &n)), 0);
	assert_int_equal(n, 2);
	/* A study that comes back is a new one to everybody. */
	assert_true(arrive(f, arrival(9, 1, 1, 1)) > 1);
}

/* ---- segments ---- */

struct segments {
	size_t n;
	struct index_segment s[8];
};

static int
see_segment(void *arg, const struct index_segment *s)
{
	struct segments *l = arg;

	assert_true(l->n < 8);
	l->s[l->n++] = *s;
	return 0;
}

static struct segments
see_segments(struct fixture *f)
{
	struct segments l = { 0 };

	assert_int_equal(index_segments(f->ix, see_segment, &l), 0);
	return l;
}

static void
test_segments(void **state)
{
	struct fixture *f = *state;
	struct places p = { 0 };
	struct segments l;

	assert_int_equal(IN_TRANSACTION(f, index_segment_set(f->ix, 2, 7,
	    SEGMENT_CURRENT)), 0);
	(void)arrive(f, arrival(1, 1, 1, 1));	/* in segment 2 */
	(void)arrive(f, arrival(4, 1, 1, 4));
	(void)arrive(f, arrival(2, 1, 1, 2));	/* in 3, which nobody told of */
	l = see_segments(f);
	assert_int_equal(l.n, 2);
	assert_int_equal(l.s[0].id, 2);
	assert_int_equal(l.s[0].generation, 7);
	assert_int_equal(l.s[0].state, SEGMENT_STANDBY);
	assert_int_equal(l.s[0].live, 2);
	assert_int_equal(l.s[0].live_bytes, 2005);
	assert_int_equal(l.s[1].state, SEGMENT_FULL);
	assert_int_equal(l.s[1].generation, 7);
	assert_int_equal(index_in_segment(f->ix, 2, see_place, &p), 0);
	assert_int_equal(p.n, 2);

	assert_int_equal(IN_TRANSACTION(f, index_segment_set(f->ix, 2, 7,
	    SEGMENT_SEALED)), 0);
	assert_int_equal(IN_TRANSACTION(f, index_segment_set(f->ix, 2, 7,
	    SEGMENT_FREE)), -ENOTEMPTY);
	assert_int_equal(IN_TRANSACTION(f, index_segment_remove(f->ix, 2)),
	    -ENOTEMPTY);
	for (uint64_t id = 1; id <= 4; id += 3) {
		finish(f, id, 5);
		assert_int_equal(expunge(f, id), 0);
	}
	assert_int_equal(IN_TRANSACTION(f, index_segment_set(f->ix, 2, 8,
	    SEGMENT_FREE)), 0);
	assert_int_equal(see_segments(f).s[0].generation, 8);
	assert_int_equal(IN_TRANSACTION(f, index_segment_remove(f->ix, 2)), 0);
	assert_int_equal(IN_TRANSACTION(f, index_segment_remove(f->ix, 2)),
	    -ENOENT);
	assert_int_equal(see_segments(f).n, 1);
	recount(f);
}

/* ---- after a rebuild ---- */

static void
test_rule_3_renumber(void **state)
{
	static const uint64_t order[] = { 30, 10, 20 };
	struct fixture *f = *state;
	struct spool_instance in;

	for (unsigned i = 0; i < 3; i++) {
		struct arrive a = arrival(order[i], 1, 1, 1);

		a.check = i > 0;
		(void)arrive(f, a);
	}
	(void)arrive(f, arrival(1, 1, 1, 2));
	(void)arrive(f, arrival(2, 1, 1, 2));
	assert_int_equal(IN_TRANSACTION(f, index_renumber(f->ix)), 0);
	for (uint64_t id = 10; id <= 30; id += 10) {
		assert_int_equal(index_reader_instance(f->r, id, &in, NULL,
		    NULL), 0);
		assert_int_equal(in.version, id / 10);
		assert_true(in.version == 1 || in.check);
	}
	assert_int_equal(sql_ask(f, "SELECT sum(version) FROM instance"), 9);
	recount(f);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_invariant_6_evictable),
		T(test_expunge),
		T(test_replay_expunged),
		T(test_kept_of_study),
		T(test_invariant_2_move),
		T(test_forget),
		T(test_forget_in_slices),
		T(test_segments),
		T(test_rule_3_renumber),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
