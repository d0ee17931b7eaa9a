/* test_spool_index_owed.c - what is owed, in which order (rule 3, invariant 5),
 * the sums that people see, and the candidates of commands.
 */
#include "tests/unit/index_lists.h"

/* ---- what is owed ---- */

static void
test_owed_order_and_pages(void **state)
{
	struct fixture *f = *state;
	uint64_t study = 0;
	struct seen s;

	for (unsigned i = 200; i > 0; i--) {
		study = arrive(f, arrival(i, 1, 1, i));
		assert_int_equal(route_to(f, i, "cloud"), 0);
	}
	s = see_owed(f, "cloud", study, 0, 0);
	assert_int_equal(s.n, 200);
	for (size_t i = 0; i < s.n; i++)
		assert_int_equal(s.id[i], i + 1);
	s = see_owed(f, "cloud", study, 150, 100);
	assert_int_equal(s.n, 50);
	assert_int_equal(s.id[0], 151);
	s = see_owed(f, "cloud", study, 0, 70);
	assert_int_equal(s.n, 70);
	assert_int_equal(see_owed(f, "nobody", study, 0, 0).n, 0);
	assert_int_equal(see_owed(f, "cloud", study + 1, 0, 0).n, 0);
}

/* Rule 3: versions of one UID leave in arrival order, one at a time. */
static void
test_rule_3_one_version_at_a_time(void **state)
{
	struct fixture *f = *state;
	uint64_t study = 0;
	struct seen s;

	for (unsigned i = 1; i <= 3; i++) {
		const char *both[] = { "cloud", "ahi" };

		study = arrive(f, arrival(i, 1, 1, 1));
		assert_int_equal(IN_TRANSACTION(f, index_route(f->ix, i, both,
		    2)), 0);
	}
	(void)arrive(f, arrival(4, 1, 1, 2));
	assert_int_equal(route_to(f, 4, "cloud"), 0);
	s = see_owed(f, "cloud", study, 0, 0);
	assert_int_equal(s.n, 2);
	assert_int_equal(s.id[0], 1);
	assert_int_equal(s.id[1], 4);

	assert_int_equal(deliver(f, 1, "cloud", SPOOL_SENT, 1), 0);
	s = see_owed(f, "cloud", study, 0, 0);
	assert_int_equal(s.n, 1);
	assert_int_equal(s.id[0], 4);

	/* A refused one does not block a later version (invariant 5). */
	assert_int_equal(deliver(f, 1, "cloud", SPOOL_REFUSED, 2), 0);
	s = see_owed(f, "cloud", study, 0, 0);
	assert_int_equal(s.n, 2);
	assert_int_equal(s.id[0], 2);
	assert_int_equal(deliver(f, 2, "cloud", SPOOL_DELIVERED, 3), 0);
	assert_int_equal(see_owed(f, "cloud", study, 0, 0).id[0], 3);
	/* Each destination for itself. */
	s = see_owed(f, "ahi", study, 0, 0);
	assert_true(s.n == 1 && s.id[0] == 1);
}

struct studies {
	size_t n;
	struct spool_owed_study s[8];
};

static int
see_owed_study(void *arg, const struct spool_owed_study *s)
{
	struct studies *l = arg;

	assert_true(l->n < 8);
	l->s[l->n++] = *s;
	return 0;
}

static int
see_owed_source(void *arg, const struct spool_owed_source *s)
{
	struct rows *r = arg;

	(void)snprintf(r->text[r->n++], 200, "%u %s %s", (unsigned)s->priority,
	    s->calling, s->address);
	return 0;
}

static struct studies
owed_studies(struct fixture *f, const char *dest, enum spool_priority priority,
    uint64_t after, size_t limit)
{
	struct spool_owed_source of = { .source = 1, .priority = priority };
	struct studies l = { 0 };

	assert_int_equal(index_reader_owed_studies(f->r, dest, &of, after, limit,
	    see_owed_study, &l), 0);
	return l;
}

static void
test_owed_studies(void **state)
{
	struct fixture *f = *state;
	struct spool_owed_study s;
	struct studies l;
	uint64_t first = 0;

	for (unsigned i = 1; i <= 6; i++) {
		uint64_t id = arrive(f, arrival(i, 1 + i % 3, 1, i));

		first = i == 1 ? id : first;
		assert_int_equal(route_to(f, i, i == 6 ? "ahi" : "cloud"), 0);
	}
	l = owed_studies(f, "cloud", SPOOL_NORMAL, 0, 8);
	assert_int_equal(l.n, 3);
	assert_int_equal(l.s[0].study, first);
	assert_int_equal(l.s[0].owed, 2);
	assert_int_equal(l.s[0].oldest_ms, 1000001);
	assert_int_equal(l.s[0].priority, SPOOL_NORMAL);
	assert_string_equal(l.s[0].calling, "CT1");
	assert_int_equal(owed_studies(f, "cloud", SPOOL_NORMAL, first, 8).n, 2);
	assert_int_equal(owed_studies(f, "cloud", SPOOL_NORMAL, 0, 2).n, 2);
	assert_int_equal(owed_studies(f, "cloud", SPOOL_STAT, 0, 8).n, 0);

	assert_int_equal(IN_TRANSACTION(f, index_study_hold(f->ix, "1.2.2",
	    true)), 0);
	assert_int_equal(deliver(f, 2, "cloud", SPOOL_SENT, 3), 0);
	assert_int_equal(deliver(f, 5, "cloud", SPOOL_DELIVERED, 3), 0);
	l = owed_studies(f, "cloud", SPOOL_NORMAL, 0, 8);
	assert_int_equal(l.n, 1);
	assert_int_equal(l.s[0].owed, 1);
	assert_int_equal(l.s[0].oldest_ms, 1000003);
	assert_int_equal(index_reader_owed_study(f->r, "cloud", l.s[0].study, &s), 0);
	assert_int_equal(s.oldest_ms, 1000003);
	assert_int_equal(index_reader_owed_study(f->r, "cloud", first, &s), -ENOENT);
	assert_int_equal(index_reader_owed_study(f->r, "nobody", first, &s), -ENOENT);
	assert_int_equal(owed_studies(f, "nobody", SPOOL_NORMAL, 0, 8).n, 0);
	assert_int_equal(IN_TRANSACTION(f, index_study_hold(f->ix, "1.2.2",
	    false)), 0);
	assert_int_equal(owed_studies(f, "cloud", SPOOL_NORMAL, 0, 8).n, 2);
	assert_int_equal(IN_TRANSACTION(f, index_study_priority(f->ix, "1.2.2",
	    SPOOL_STAT)), 0);
	assert_int_equal(owed_studies(f, "cloud", SPOOL_STAT, 0, 8).n, 1);
	assert_int_equal(owed_studies(f, "cloud", SPOOL_NORMAL, 0, 8).n, 1);
}

static void
test_owed_sources(void **state)
{
	struct fixture *f = *state;
	struct rows r = { 0 };

	for (unsigned i = 1; i <= 6; i++) {
		(void)arrive(f, arrival(i, i, 1, i));
		assert_int_equal(route_to(f, i, "cloud"), 0);
	}
	assert_int_equal(IN_TRANSACTION(f, index_study_priority(f->ix, "1.2.3",
	    SPOOL_STAT)), 0);
	assert_int_equal(index_reader_owed_sources(f->r, "cloud", see_owed_source,
	    &r), 0);
	assert_int_equal(r.n, 2);
	assert_string_equal(r.text[0], "2 CT1 10.1.2.3");
	assert_string_equal(r.text[1], "1 CT1 10.1.2.3");
	assert_int_equal(deliver(f, 3, "cloud", SPOOL_DELIVERED, 3), 0);
	r.n = 0;
	assert_int_equal(index_reader_owed_sources(f->r, "cloud", see_owed_source,
	    &r), 0);
	assert_int_equal(r.n, 1);
	r.n = 0;
	assert_int_equal(index_reader_owed_sources(f->r, "nobody", see_owed_source,
	    &r), 0);
	assert_int_equal(r.n, 0);
}

static int
see_incomplete(void *arg, const struct spool_open_study *s)
{
	struct seen *l = arg;

	assert_string_equal(s->origin.calling, "CT1");
	assert_true(strncmp(s->uid, "1.2.", 4) == 0);
	l->id[l->n++] = s->study;
	return 0;
}

static void
test_incomplete(void **state)
{
	struct fixture *f = *state;
	struct seen l = { 0 };
	uint64_t two;

	(void)arrive(f, arrival(1, 1, 1, 1));
	two = arrive(f, arrival(2, 2, 1, 1));
	(void)arrive(f, arrival(3, 2, 1, 2));
	(void)arrive(f, arrival(4, 3, 1, 2));
	assert_int_equal(route_to(f, 1, "cloud"), 0);
	assert_int_equal(route_to(f, 2, "cloud"), 0);
	assert_int_equal(route_to(f, 4, NULL), 0);
	assert_int_equal(index_reader_incomplete(f->r, see_incomplete, &l), 0);
	assert_int_equal(l.n, 1);
	assert_int_equal(l.id[0], two);
}

static int
see_debt(void *arg, const struct spool_debt *d)
{
	struct rows *r = arg;

	(void)snprintf(r->text[r->n++], 200, "%s %d %" PRIu64 " %" PRIu64 " %"
	    PRIu64 " %" PRIu64 " %" PRId64, d->destination, d->held, d->owed,
	    d->owed_bytes, d->refused, d->delivered, d->oldest_owed_ms);
	return 0;
}

static int
see_progress(void *arg, const struct spool_progress *p)
{
	struct rows *r = arg;

	(void)snprintf(r->text[r->n++], 200, "%s %" PRIu64 " %" PRIu64 " %"
	    PRIu64 " %" PRIu64 " %" PRIu64 " %s", p->destination, p->owed,
	    p->delivered, p->warned, p->refused, p->let_go, p->last_reason);
	return 0;
}

static void
test_debts_and_progress(void **state)
{
	struct fixture *f = *state;
	struct rows r = { 0 };
	uint64_t study = 0;
	bool held = true;

	for (unsigned i = 1; i <= 6; i++) {
		study = arrive(f, arrival(i, 1, 1, i));
		if (i < 6)
			assert_int_equal(route_to(f, i, "cloud"), 0);
	}
	assert_int_equal(deliver(f, 1, "cloud", SPOOL_DELIVERED, 9), 0);
	assert_int_equal(deliver(f, 2, "cloud", SPOOL_WARNED, 9), 0);
	assert_int_equal(deliver(f, 3, "cloud", SPOOL_REFUSED, 9), 0);
	assert_int_equal(deliver(f, 4, "cloud", SPOOL_SENT, 9), 0);
	assert_int_equal(index_reader_debts(f->r, see_debt, &r), 0);
	assert_int_equal(r.n, 1);
	assert_string_equal(r.text[0], "cloud 0 2 2009 1 2 1000004");

	r.n = 0;
	assert_int_equal(index_reader_progress(f->r, study, see_progress, &r),
	    0);
	assert_int_equal(r.n, 1);
	assert_string_equal(r.text[0], "cloud 2 1 1 1 0 because");
	assert_int_equal(deliver(f, 3, "cloud", SPOOL_LET_GO, 10), 0);
	assert_int_equal(IN_TRANSACTION(f, index_let_go_unrouted(f->ix, 6, "al",
	    "", 6)), 0);
	r.n = 0;
	(void)index_reader_progress(f->r, study, see_progress, &r);
	assert_int_equal(r.n, 1);
	assert_string_equal(r.text[0], "cloud 2 1 1 0 1 ");

	assert_int_equal(index_reader_destination_held(f->r, "cloud", &held), 0);
	assert_false(held);
	assert_int_equal(IN_TRANSACTION(f, index_destination_hold(f->ix,
	    "typo", false)), -ENOENT);
	assert_int_equal(IN_TRANSACTION(f, index_destination_hold(f->ix,
	    "cloud", true)), 0);
	assert_int_equal(index_reader_destination_held(f->r, "cloud", &held), 0);
	assert_true(held);
	assert_int_equal(index_reader_destination_held(f->r, "new", &held), 0);
	assert_false(held);
	/* Known before anything was owed: the settle log after a rebuild. */
	assert_int_equal(IN_TRANSACTION(f, index_destination_hold(f->ix, "new",
	    true)), 0);
	assert_int_equal(index_reader_destination_held(f->r, "new", &held), 0);
	assert_true(held);
	recount(f);
}

static void
test_stats(void **state)
{
	struct fixture *f = *state;
	struct spool_stats s = { .disk_free = 5 };

	assert_int_equal(index_reader_stats(f->r, &s), 0);
	assert_int_equal(s.instances, 0);
	for (unsigned i = 1; i <= 6; i++)
		(void)arrive(f, arrival(i, 1 + i % 2, 1, i));
	assert_int_equal(route_to(f, 1, NULL), 0);
	assert_int_equal(IN_TRANSACTION(f, index_set_damaged(f->ix, 2)), 0);
	assert_int_equal(IN_TRANSACTION(f, index_segment_set(f->ix, 99, 1,
	    SEGMENT_FREE)), 0);
	assert_int_equal(index_reader_stats(f->r, &s), 0);
	assert_int_equal(s.studies, 2);
	assert_int_equal(s.instances, 6);
	assert_int_equal(s.bytes, 6021);
	assert_int_equal(s.kept_bytes, 6021);
	assert_int_equal(s.pending, 5);
	assert_int_equal(s.unrouted, 1);
	assert_int_equal(s.damaged, 1);
	assert_int_equal(s.segments, 4);
	assert_int_equal(s.segments_free, 1);
	assert_int_equal(s.disk_free, 5);
}

/* ---- candidates of commands ---- */

struct pairs {
	struct fixture *f;
	size_t	 n;
	char	 text[64][40];
	uint64_t last;
	bool	 drop;		/* change what is told of, as commands do */
};

static int
see_pair(void *arg, uint64_t id, const char *dest, enum spool_delivery s)
{
	struct pairs *p = arg;

	assert_true(id >= p->last && p->n < 64);
	p->last = id;
	(void)snprintf(p->text[p->n++], 40, "%" PRIu64 " %s %s", id, dest,
	    dest[0] != '\0' ? spool_delivery_name(s) : "");
	if (!p->drop)
		return 0;
	return dest[0] == '\0' ?
	    index_let_go_unrouted(p->f->ix, id, "al", "", 3) :
	    index_deliver(p->f->ix, &(struct index_verdict){ .id = id,
	    .dest = dest, .state = SPOOL_LET_GO, .actor = "al",
	    .wall_ms = 3 }, NULL);
}

static struct pairs
see_pairs(struct fixture *f, uint64_t study, const char *dest, unsigned mask,
    bool unrouted, uint64_t after, size_t limit)
{
	struct pairs p = { .f = f };

	assert_int_equal(index_pairs(f->ix, study, dest, mask, unrouted, after,
	    limit, see_pair, &p), 0);
	return p;
}

#define BIT(s) (1u << (s))

/* 1 owed+delivered, 2 refused+owed, 3 pending, 4 unrouted, 5 let go (study 2) */
static uint64_t
fill_pairs(struct fixture *f)
{
	const char *both[] = { "cloud", "ahi" };
	uint64_t study = 0;

	for (unsigned i = 1; i <= 4; i++)
		study = arrive(f, arrival(i, 1, 1, i));
	(void)arrive(f, arrival(5, 2, 1, 5));
	for (uint64_t i = 1; i <= 2; i++)
		assert_int_equal(IN_TRANSACTION(f, index_route(f->ix, i, both,
		    2)), 0);
	assert_int_equal(route_to(f, 4, NULL), 0);
	assert_int_equal(route_to(f, 5, "cloud"), 0);
	assert_int_equal(deliver(f, 1, "ahi", SPOOL_DELIVERED, 1), 0);
	assert_int_equal(deliver(f, 2, "cloud", SPOOL_REFUSED, 1), 0);
	assert_int_equal(deliver(f, 5, "cloud", SPOOL_LET_GO, 1), 0);
	return study;
}

static void
test_pairs_of_study(void **state)
{
	struct fixture *f = *state;
	uint64_t study = fill_pairs(f);
	struct pairs p;

	p = see_pairs(f, study, NULL, ~0u, true, 0, 100);
	assert_int_equal(p.n, 6);
	assert_string_equal(p.text[4], "3  ");
	assert_string_equal(p.text[5], "4  ");
	p = see_pairs(f, study, "cloud", BIT(SPOOL_OWED) | BIT(SPOOL_REFUSED),
	    false, 0, 100);
	assert_int_equal(p.n, 2);
	assert_string_equal(p.text[0], "1 cloud owed");
	assert_string_equal(p.text[1], "2 cloud refused");
	p = see_pairs(f, study, "nobody", ~0u, true, 0, 100);
	assert_int_equal(p.n, 2);
	/* A page does not end within an instance. */
	p = see_pairs(f, study, NULL, ~0u, false, 0, 1);
	assert_int_equal(p.n, 2);
	p = see_pairs(f, study, NULL, ~0u, false, 1, 1);
	assert_int_equal(p.n, 2);
	assert_int_equal(p.last, 2);
}

static void
test_pairs_of_destination(void **state)
{
	struct fixture *f = *state;
	struct pairs p;

	(void)fill_pairs(f);
	p = see_pairs(f, 0, "cloud", BIT(SPOOL_OWED) | BIT(SPOOL_REFUSED), false,
	    0, 100);
	assert_int_equal(p.n, 2);
	assert_string_equal(p.text[1], "2 cloud refused");
	p = see_pairs(f, 0, "cloud", BIT(SPOOL_LET_GO), false, 0, 100);
	assert_int_equal(p.n, 1);
	assert_string_equal(p.text[0], "5 cloud let go");
	p = see_pairs(f, 0, "cloud", BIT(SPOOL_OWED), true, 1, 100);
	assert_int_equal(p.n, 2);
	p = see_pairs(f, 0, NULL, ~0u, true, 0, 100);
	assert_int_equal(p.n, 7);

	p = (struct pairs){ .f = f };
	assert_int_equal(index_pairs_of(f->ix, 2, BIT(SPOOL_OWED), see_pair, &p),
	    0);
	assert_int_equal(p.n, 1);
	assert_string_equal(p.text[0], "2 ahi owed");
	assert_int_equal(index_pairs_of(f->ix, 3, ~0u, see_pair, &p), 0);
	assert_int_equal(p.n, 1);
}

static void
test_pairs_change_on_the_way(void **state)
{
	struct fixture *f = *state;
	uint64_t study = fill_pairs(f);
	struct pairs p = { .f = f, .drop = true };

	assert_int_equal(IN_TRANSACTION(f, index_pairs(f->ix, study, NULL,
	    BIT(SPOOL_OWED) | BIT(SPOOL_REFUSED), true, 0, 100, see_pair, &p)),
	    0);
	assert_int_equal(p.n, 5);
	assert_int_equal(sql_ask(f, "SELECT count(*) FROM instance"
	    " WHERE done IS NULL"), 0);
	recount(f);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_owed_order_and_pages),
		T(test_rule_3_one_version_at_a_time),
		T(test_owed_studies),
		T(test_owed_sources),
		T(test_incomplete),
		T(test_debts_and_progress),
		T(test_stats),
		T(test_pairs_of_study),
		T(test_pairs_of_destination),
		T(test_pairs_change_on_the_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
