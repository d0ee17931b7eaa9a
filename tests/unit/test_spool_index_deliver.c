/* test_spool_index_deliver.c - routing, deliveries, what is owed in which order
 * (rules 2 and 3, invariant 5), and the candidates of commands.
 */
#include "tests/unit/index_fixture.h"

#define MAX_SEEN 400

struct seen {
	size_t	 n;
	uint64_t id[MAX_SEEN];
	bool	 check[MAX_SEEN], replacing[MAX_SEEN];
};

static int
see_instance(void *arg, const struct spool_instance *in)
{
	struct seen *s = arg;

	assert_true(s->n < MAX_SEEN);
	s->check[s->n] = in->check;
	s->replacing[s->n] = in->replacing;
	s->id[s->n++] = in->id;
	return 0;
}

static struct seen
see_owed(struct fixture *f, const char *dest, uint64_t study, uint64_t after,
    size_t limit)
{
	struct seen s = { 0 };

	assert_int_equal(index_reader_owed(f->r, dest, study, after, limit,
	    see_instance, &s), 0);
	return s;
}

static struct seen
see_instances(struct fixture *f, uint64_t study, bool pending_only)
{
	struct seen s = { 0 };

	assert_int_equal(index_reader_instances(f->r, study, 0, pending_only, 0,
	    see_instance, &s), 0);
	return s;
}

static enum spool_delivery
state_of(struct fixture *f, uint64_t id, const char *dest)
{
	enum spool_delivery s;

	if (index_delivery(f->ix, id, dest, &s) < 0)
		return SPOOL_DELIVERY_STATES;
	return s;
}

/* ---- routing ---- */

static void
test_route(void **state)
{
	struct fixture *f = *state;
	const char *both[] = { "cloud", "ahi", "cloud" };
	uint64_t study = arrive(f, arrival(1, 1, 1, 1));

	assert_int_equal(IN_TRANSACTION(f, index_route(f->ix, 1, both, 3)), 0);
	assert_int_equal(state_of(f, 1, "cloud"), SPOOL_OWED);
	assert_int_equal(state_of(f, 1, "ahi"), SPOOL_OWED);
	assert_int_equal(state_of(f, 1, "none"), SPOOL_DELIVERY_STATES);
	assert_int_equal(route_to(f, 1, "cloud"), -EALREADY);
	assert_int_equal(route_to(f, 2, "cloud"), -ENOENT);
	assert_int_equal(sql_ask(f, "SELECT owed FROM study"), 2);
	assert_int_equal(see_instances(f, study, true).n, 0);
	recount(f);
}

static void
test_unrouted(void **state)
{
	struct fixture *f = *state;
	uint64_t n = 0, study = arrive(f, arrival(1, 1, 1, 1));

	(void)arrive(f, arrival(2, 1, 1, 2));
	assert_int_equal(see_instances(f, study, true).n, 2);
	assert_int_equal(route_to(f, 1, NULL), 0);
	assert_int_equal(route_to(f, 1, NULL), 0);
	assert_int_equal(see_instances(f, study, true).n, 1);
	recount(f);
	assert_int_equal(IN_TRANSACTION(f, index_unrouted_to_pending(f->ix,
	    &n)), 0);
	assert_int_equal(n, 1);
	assert_int_equal(see_instances(f, study, true).n, 2);
	assert_int_equal(route_to(f, 1, "cloud"), 0);
	recount(f);
}

struct rows {
	size_t n;
	char   text[8][200];
};

static int
see_delivery(void *arg, const struct spool_delivery_row *d)
{
	struct rows *r = arg;

	assert_true(r->n < 8);
	(void)snprintf(r->text[r->n++], 200, "%s|%s|%" PRId64 "|%s|%s",
	    d->destination, spool_delivery_name(d->state), d->since_ms,
	    d->reason, d->actor);
	return 0;
}

static void
test_let_go_unrouted(void **state)
{
	struct fixture *f = *state;
	struct rows rows = { 0 };

	(void)arrive(f, arrival(1, 1, 1, 1));
	(void)arrive(f, arrival(2, 1, 1, 2));
	assert_int_equal(route_to(f, 1, NULL), 0);
	for (uint64_t id = 1; id <= 2; id++)
		assert_int_equal(IN_TRANSACTION(f, index_let_go_unrouted(f->ix,
		    id, "alice", "phantom", 55)), 0);
	assert_int_equal(IN_TRANSACTION(f, index_let_go_unrouted(f->ix, 1,
	    "alice", "phantom", 55)), -EALREADY);
	assert_int_equal(IN_TRANSACTION(f, index_let_go_unrouted(f->ix, 3,
	    "alice", "phantom", 55)), -ENOENT);
	assert_int_equal(sql_ask(f, "SELECT done FROM instance WHERE id = 1"),
	    55);
	assert_int_equal(sql_ask(f, "SELECT state FROM study"),
	    SPOOL_STUDY_LET_GO);
	assert_int_equal(index_reader_deliveries(f->r, 1, see_delivery, &rows),
	    0);
	assert_int_equal(rows.n, 1);
	assert_string_equal(rows.text[0], "|let go|55|phantom|alice");
	recount(f);
}

/* ---- one delivery ---- */

static void
test_deliver(void **state)
{
	struct fixture *f = *state;
	enum spool_delivery old = SPOOL_OWED;
	struct rows rows = { 0 };

	(void)arrive(f, arrival(1, 1, 1, 1));
	assert_int_equal(route_to(f, 1, "cloud"), 0);
	assert_int_equal(IN_TRANSACTION(f, index_deliver(f->ix, 1, "cloud",
	    SPOOL_REFUSED, "too large", "", false, false, 70, &old)), 0);
	assert_int_equal(old, SPOOL_OWED);
	assert_int_equal(index_reader_deliveries(f->r, 1, see_delivery, &rows),
	    0);
	assert_string_equal(rows.text[0], "cloud|refused|70|too large|");

	/* The same state again: nothing. */
	assert_int_equal(IN_TRANSACTION(f, index_deliver(f->ix, 1, "cloud",
	    SPOOL_REFUSED, "other", "", false, false, 71, &old)), 0);
	assert_int_equal(old, SPOOL_REFUSED);
	rows.n = 0;
	(void)index_reader_deliveries(f->r, 1, see_delivery, &rows);
	assert_string_equal(rows.text[0], "cloud|refused|70|too large|");

	assert_int_equal(IN_TRANSACTION(f, index_deliver(f->ix, 1, "cloud",
	    SPOOL_LET_GO, NULL, "bob", false, false, 72, &old)), 0);
	rows.n = 0;
	(void)index_reader_deliveries(f->r, 1, see_delivery, &rows);
	assert_string_equal(rows.text[0], "cloud|let go|72||bob");
	assert_int_equal(sql_ask(f, "SELECT done FROM instance"), 72);
	recount(f);
}

static void
test_deliver_what_is_not_there(void **state)
{
	struct fixture *f = *state;
	enum spool_delivery old = SPOOL_OWED;

	(void)arrive(f, arrival(1, 1, 1, 1));
	assert_int_equal(deliver(f, 1, "cloud", SPOOL_DELIVERED, 1), -ENOENT);
	assert_int_equal(deliver(f, 2, "cloud", SPOOL_DELIVERED, 1), -ENOENT);
	assert_int_equal(route_to(f, 1, "ahi"), 0);
	assert_int_equal(deliver(f, 1, "cloud", SPOOL_DELIVERED, 1), -ENOENT);
	assert_int_equal(IN_TRANSACTION(f, index_deliver(f->ix, 1, "cloud",
	    SPOOL_DELIVERED, "", "", false, true, 70, &old)), 0);
	assert_int_equal(old, SPOOL_DELIVERY_STATES);
	recount(f);
}

/* Still owed: the reason is noted, and people see it. */
static void
test_owed_notes_reason(void **state)
{
	struct fixture *f = *state;
	struct rows rows = { 0 };
	char longest[2000];

	(void)arrive(f, arrival(1, 1, 1, 1));
	assert_int_equal(route_to(f, 1, "cloud"), 0);
	assert_int_equal(deliver(f, 1, "cloud", SPOOL_OWED, 9), 0);
	(void)index_reader_deliveries(f->r, 1, see_delivery, &rows);
	assert_non_null(strstr(rows.text[0], "|because|"));
	memset(longest, 'x', sizeof(longest));
	memcpy(longest + 498, "äöü", 6);
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(IN_TRANSACTION(f, index_deliver(f->ix, 1, "cloud",
	    SPOOL_OWED, longest, "", false, false, 9, NULL)), 0);
	assert_int_equal(sql_ask(f, "SELECT length(CAST(reason AS BLOB))"
	    " FROM delivery"), 500);
	recount(f);
}

/* A row that the settle log restored before routing stays as it is. */
static void
test_restored_before_routing(void **state)
{
	struct fixture *f = *state;
	const char *both[] = { "cloud", "ahi" };

	(void)arrive(f, arrival(1, 1, 1, 1));
	assert_int_equal(IN_TRANSACTION(f, index_deliver(f->ix, 1, "cloud",
	    SPOOL_DELIVERED, "", "", false, true, 70, NULL)), 0);
	assert_int_equal(sql_ask(f, "SELECT done IS NULL FROM instance"), 1);
	recount(f);
	assert_int_equal(IN_TRANSACTION(f, index_route(f->ix, 1, both, 2)), 0);
	assert_int_equal(state_of(f, 1, "cloud"), SPOOL_DELIVERED);
	assert_int_equal(state_of(f, 1, "ahi"), SPOOL_OWED);
	recount(f);

	(void)arrive(f, arrival(2, 1, 1, 2));
	assert_int_equal(IN_TRANSACTION(f, index_deliver(f->ix, 2, "cloud",
	    SPOOL_DELIVERED, "", "", false, true, 71, NULL)), 0);
	assert_int_equal(route_to(f, 2, "cloud"), 0);
	assert_int_equal(sql_ask(f, "SELECT done FROM instance WHERE id = 2"),
	    71);
	recount(f);
}

/* Versions ask before they replace, whatever happens in between (rule 3). */
static void
test_rule_3_check_stays(void **state)
{
	struct fixture *f = *state;
	struct arrive a = arrival(1, 1, 1, 1);
	uint64_t study;

	a.check = true;
	study = arrive(f, a);
	assert_int_equal(route_to(f, 1, "cloud"), 0);
	assert_true(see_owed(f, "cloud", study, 0, 0).check[0]);
	assert_int_equal(deliver(f, 1, "cloud", SPOOL_SENT, 1), 0);
	assert_int_equal(deliver(f, 1, "cloud", SPOOL_OWED, 2), 0);
	assert_true(see_owed(f, "cloud", study, 0, 0).check[0]);
	assert_int_equal(deliver(f, 1, "cloud", SPOOL_REFUSED, 3), 0);
	assert_int_equal(deliver(f, 1, "cloud", SPOOL_OWED, 4), 0);
	assert_true(see_owed(f, "cloud", study, 0, 0).check[0]);
	recount(f);
}

/* Rule 4: the intent outlives a refusal, and ends with a confirmation. */
static void
test_rule_4_replacing(void **state)
{
	struct fixture *f = *state;
	uint64_t study = arrive(f, arrival(1, 1, 1, 1));

	assert_int_equal(route_to(f, 1, "cloud"), 0);
	assert_int_equal(IN_TRANSACTION(f, index_set_replacing(f->ix, 1, "ahi")),
	    -ENOENT);
	assert_int_equal(IN_TRANSACTION(f, index_set_replacing(f->ix, 1,
	    "cloud")), 0);
	assert_true(see_owed(f, "cloud", study, 0, 0).replacing[0]);
	assert_int_equal(deliver(f, 1, "cloud", SPOOL_REFUSED, 3), 0);
	assert_int_equal(deliver(f, 1, "cloud", SPOOL_OWED, 4), 0);
	assert_true(see_owed(f, "cloud", study, 0, 0).replacing[0]);
	assert_int_equal(deliver(f, 1, "cloud", SPOOL_DELIVERED, 5), 0);
	recount(f);
	assert_int_equal(deliver(f, 1, "cloud", SPOOL_OWED, 6), 0);
	assert_false(see_owed(f, "cloud", study, 0, 0).replacing[0]);
}

static void
test_damaged(void **state)
{
	struct fixture *f = *state;

	(void)arrive(f, arrival(1, 1, 1, 1));
	for (int i = 0; i < 2; i++)
		assert_int_equal(IN_TRANSACTION(f, index_set_damaged(f->ix, 1)),
		    0);
	assert_int_equal(IN_TRANSACTION(f, index_set_damaged(f->ix, 2)),
	    -ENOENT);
	assert_int_equal(sql_ask(f, "SELECT damaged FROM study"), 1);
	recount(f);
}

/* ---- the same bytes again (rule 2) ---- */

static void
test_rule_2_again(void **state)
{
	struct fixture *f = *state;
	const char *all[] = { "cloud", "ahi", "archive" };
	const char *now[] = { "cloud", "ahi", "new" };
	uint64_t study = arrive(f, arrival(1, 1, 1, 1));
	struct seen s;

	assert_int_equal(IN_TRANSACTION(f, index_repend(f->ix, 1)), -EALREADY);
	assert_int_equal(IN_TRANSACTION(f, index_route(f->ix, 1, all, 3)), 0);
	assert_int_equal(deliver(f, 1, "cloud", SPOOL_DELIVERED, 5), 0);
	assert_int_equal(deliver(f, 1, "archive", SPOOL_LET_GO, 6), 0);
	assert_int_equal(IN_TRANSACTION(f, index_repend(f->ix, 1)), -EALREADY);
	assert_int_equal(deliver(f, 1, "ahi", SPOOL_REFUSED, 7), 0);
	assert_int_equal(IN_TRANSACTION(f, index_repend(f->ix, 1)), 0);
	assert_int_equal(see_instances(f, study, true).n, 1);
	assert_int_equal(IN_TRANSACTION(f, index_repend(f->ix, 1)), -EALREADY);
	recount(f);

	assert_int_equal(IN_TRANSACTION(f, index_route(f->ix, 1, now, 3)), 0);
	assert_int_equal(state_of(f, 1, "archive"), SPOOL_LET_GO);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(state_of(f, 1, now[i]), SPOOL_OWED);
	s = see_owed(f, "cloud", study, 0, 0);
	assert_true(s.n == 1 && s.check[0]);
	s = see_owed(f, "new", study, 0, 0);
	assert_true(s.n == 1 && !s.check[0]);
	assert_int_equal(IN_TRANSACTION(f, index_repend(f->ix, 9)), -ENOENT);
	recount(f);
}

static void
test_rule_2_again_after_nowhere(void **state)
{
	struct fixture *f = *state;

	(void)arrive(f, arrival(1, 1, 1, 1));
	assert_int_equal(IN_TRANSACTION(f, index_let_go_unrouted(f->ix, 1, "al",
	    "", 5)), 0);
	assert_int_equal(IN_TRANSACTION(f, index_repend(f->ix, 1)), 0);
	recount(f);
	assert_int_equal(IN_TRANSACTION(f, index_let_go_unrouted(f->ix, 1, "al",
	    "", 6)), 0);
	recount(f);
}

/* The settle log replayed over a rebuilt index: delivered, came again,
 * delivered; and one that was not delivered again. */
static void
test_rule_2_again_replayed(void **state)
{
	struct fixture *f = *state;

	for (uint64_t id = 1; id <= 2; id++) {
		(void)arrive(f, arrival(id, 1, 1, (unsigned)id));
		assert_int_equal(IN_TRANSACTION(f, index_deliver(f->ix, id,
		    "cloud", SPOOL_DELIVERED, "", "", false, true, 70, NULL)), 0);
		assert_int_equal(IN_TRANSACTION(f, index_repend(f->ix, id)), 0);
	}
	assert_int_equal(deliver(f, 1, "cloud", SPOOL_DELIVERED, 80), 0);
	for (uint64_t id = 1; id <= 2; id++)
		assert_int_equal(route_to(f, id, "cloud"), 0);
	assert_int_equal(state_of(f, 1, "cloud"), SPOOL_DELIVERED);
	assert_int_equal(state_of(f, 2, "cloud"), SPOOL_OWED);
	recount(f);
}

/* Success must not rest on bytes that are gone. */
static void
test_gone_bytes_cannot_be_owed(void **state)
{
	struct fixture *f = *state;
	struct store_place at;
	uint64_t length;

	(void)arrive(f, arrival(1, 1, 1, 1));
	assert_int_equal(route_to(f, 1, "cloud"), 0);
	assert_int_equal(deliver(f, 1, "cloud", SPOOL_DELIVERED, 5), 0);
	assert_int_equal(IN_TRANSACTION(f, index_expunge(f->ix, 1, &at,
	    &length)), 0);
	assert_int_equal(IN_TRANSACTION(f, index_repend(f->ix, 1)), -ENOENT);
	assert_int_equal(deliver(f, 1, "cloud", SPOOL_OWED, 6), -ENOENT);
	recount(f);
}

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

static void
test_owed_studies(void **state)
{
	struct fixture *f = *state;
	struct studies l = { 0 };
	uint64_t first = 0;

	for (unsigned i = 1; i <= 6; i++) {
		uint64_t id = arrive(f, arrival(i, 1 + i % 3, 1, i));

		first = i == 1 ? id : first;
		assert_int_equal(route_to(f, i, i == 6 ? "ahi" : "cloud"), 0);
	}
	assert_int_equal(index_reader_owed_studies(f->r, "cloud",
	    see_owed_study, &l), 0);
	assert_int_equal(l.n, 3);
	assert_int_equal(l.s[0].study, first);
	assert_int_equal(l.s[0].owed, 2);
	assert_int_equal(l.s[0].oldest_ms, 1000001);
	assert_int_equal(l.s[0].priority, SPOOL_NORMAL);
	assert_string_equal(l.s[0].calling, "CT1");

	assert_int_equal(IN_TRANSACTION(f, index_study_hold(f->ix, "1.2.2",
	    true)), 0);
	assert_int_equal(deliver(f, 2, "cloud", SPOOL_SENT, 3), 0);
	assert_int_equal(deliver(f, 5, "cloud", SPOOL_DELIVERED, 3), 0);
	l.n = 0;
	assert_int_equal(index_reader_owed_studies(f->r, "cloud",
	    see_owed_study, &l), 0);
	assert_int_equal(l.n, 1);
	assert_int_equal(l.s[0].owed, 1);
	assert_int_equal(l.s[0].oldest_ms, 1000003);
	l.n = 0;
	assert_int_equal(index_reader_owed_studies(f->r, "nobody",
	    see_owed_study, &l), 0);
	assert_int_equal(l.n, 0);
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
	    index_deliver(p->f->ix, id, dest, SPOOL_LET_GO, "", "al", false,
	    false, 3, NULL);
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
		T(test_route),
		T(test_unrouted),
		T(test_let_go_unrouted),
		T(test_deliver),
		T(test_deliver_what_is_not_there),
		T(test_owed_notes_reason),
		T(test_restored_before_routing),
		T(test_rule_3_check_stays),
		T(test_rule_4_replacing),
		T(test_damaged),
		T(test_rule_2_again),
		T(test_rule_2_again_after_nowhere),
		T(test_rule_2_again_replayed),
		T(test_gone_bytes_cannot_be_owed),
		T(test_owed_order_and_pages),
		T(test_rule_3_one_version_at_a_time),
		T(test_owed_studies),
		T(test_incomplete),
		T(test_debts_and_progress),
		T(test_stats),
		T(test_pairs_of_study),
		T(test_pairs_of_destination),
		T(test_pairs_change_on_the_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
