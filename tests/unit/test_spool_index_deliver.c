/* test_spool_index_deliver.c - routing, deliveries and their states, the same
 * bytes once more (rules 2 to 4, invariant 5).
 */
#include "tests/unit/index_lists.h"

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
	struct index_delivery now;

	if (index_delivery(f->ix, id, dest, &now) < 0)
		return SPOOL_DELIVERY_STATES;
	return now.state;
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
	assert_int_equal(IN_TRANSACTION(f, index_deliver(f->ix, &(struct index_verdict){
	    .id = 1, .dest = "cloud", .state = SPOOL_REFUSED,
	    .reason = "too large", .wall_ms = 70 }, &old)), 0);
	assert_int_equal(old, SPOOL_OWED);
	assert_int_equal(index_reader_deliveries(f->r, 1, see_delivery, &rows),
	    0);
	assert_string_equal(rows.text[0], "cloud|refused|70|too large|");

	/* The same state again: nothing. */
	assert_int_equal(IN_TRANSACTION(f, index_deliver(f->ix, &(struct index_verdict){
	    .id = 1, .dest = "cloud", .state = SPOOL_REFUSED,
	    .reason = "other", .wall_ms = 71 }, &old)), 0);
	assert_int_equal(old, SPOOL_REFUSED);
	rows.n = 0;
	(void)index_reader_deliveries(f->r, 1, see_delivery, &rows);
	assert_string_equal(rows.text[0], "cloud|refused|70|too large|");

	assert_int_equal(IN_TRANSACTION(f, index_deliver(f->ix, &(struct index_verdict){
	    .id = 1, .dest = "cloud", .state = SPOOL_LET_GO, .actor = "bob",
	    .wall_ms = 72 }, &old)), 0);
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
	assert_int_equal(IN_TRANSACTION(f, index_deliver(f->ix, &(struct index_verdict){
	    .id = 1, .dest = "cloud", .state = SPOOL_DELIVERED, .create = true,
	    .wall_ms = 70 }, &old)), 0);
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
	assert_int_equal(IN_TRANSACTION(f, index_deliver(f->ix, &(struct index_verdict){
	    .id = 1, .dest = "cloud", .state = SPOOL_OWED, .reason = longest,
	    .wall_ms = 9 }, NULL)), 0);
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
	assert_int_equal(IN_TRANSACTION(f, index_deliver(f->ix, &(struct index_verdict){
	    .id = 1, .dest = "cloud", .state = SPOOL_DELIVERED, .create = true,
	    .wall_ms = 70 }, NULL)), 0);
	assert_int_equal(sql_ask(f, "SELECT done IS NULL FROM instance"), 1);
	recount(f);
	assert_int_equal(IN_TRANSACTION(f, index_route(f->ix, 1, both, 2)), 0);
	assert_int_equal(state_of(f, 1, "cloud"), SPOOL_DELIVERED);
	assert_int_equal(state_of(f, 1, "ahi"), SPOOL_OWED);
	recount(f);

	(void)arrive(f, arrival(2, 1, 1, 2));
	assert_int_equal(IN_TRANSACTION(f, index_deliver(f->ix, &(struct index_verdict){
	    .id = 2, .dest = "cloud", .state = SPOOL_DELIVERED, .create = true,
	    .wall_ms = 71 }, NULL)), 0);
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
		assert_int_equal(IN_TRANSACTION(f, index_deliver(f->ix, &(struct index_verdict){
		    .id = id, .dest = "cloud", .state = SPOOL_DELIVERED,
		    .create = true, .wall_ms = 70 }, NULL)), 0);
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
