/* test_spool_resend.c - what operators owe again: refused ones that are accepted
 * (rule 5), studies that go where they never went (rule 8), and what a rebuilt index
 * knows of both.
 */
#include "tests/unit/spool_steps.h"

/* The states of a study's instances at a destination, a letter for each. */
static const char *
states(struct box *b, const char *study, const char *dest)
{
	static const char letter[] = { [SPOOL_OWED] = 'o', [SPOOL_SENT] = 's',
		[SPOOL_DELIVERED] = 'd', [SPOOL_WARNED] = 'w',
		[SPOOL_REFUSED] = 'r', [SPOOL_LET_GO] = 'l', [NO_ROW] = '-' };
	static char text[LIST_MAX + 1];
	struct list l = { 0 };

	assert_int_equal(spool_instances(b->sp, study_of(b, study), 0,
	    list_instance, &l), 0);
	for (size_t i = 0; i < l.n; i++)
		text[i] = letter[row_of(b, l.id[i], dest).state];
	text[l.n] = '\0';
	return text;
}

static uint64_t
put_at(struct box *b, const char *sop)
{
	return store(b, "1.2.1", sop, 1000, 1, NULL);
}

/* ---- accept ---- */

static void
rule_5_an_operator_accepts_what_is_there(void **state)
{
	struct box *b = *state;
	uint64_t a = owe(b, "1.2.1", "1.2.1.1"), c = owe(b, "1.2.1", "1.2.1.2");
	uint64_t d = owe(b, "1.2.1", "1.2.1.3"), e = owe(b, "1.2.2", "1.2.2.1");
	struct row row;

	settle_with(b, a, SPOOL_REFUSED, 0, "imageset/1");
	settle_with(b, c, SPOOL_REFUSED, 0, NULL);
	settle_with(b, d, SPOOL_DELIVERED, 0, "imageset/2");
	settle_with(b, e, SPOOL_REFUSED, 0, "imageset/3");
	assert_int_equal(command_to(b, SPOOL_ACCEPT, study_of(b, "1.2.1"), "pacs",
	    NULL), 0);
	assert_int_equal(command_to(b, SPOOL_ACCEPT, study_of(b, "1.2.1"), "cloud",
	    NULL), 1);
	assert_int_equal(command_to(b, SPOOL_ACCEPT, study_of(b, "1.2.1"), NULL,
	    NULL), 0);
	assert_int_equal(command_to(b, SPOOL_ACCEPT, study_of(b, "1.2.2"), NULL,
	    "I looked"), 1);
	for (unsigned round = 0; round < 2; round++) {
		assert_string_equal(states(b, "1.2.1", "cloud"), "wrd");
		row = row_of(b, a, "cloud");
		assert_string_equal(row.actor, "alice");
		assert_string_equal(row.reason, "no");	/* why it was refused */
		assert_string_equal(row.remote, "imageset/1");
		assert_string_equal(row_of(b, c, "cloud").actor, "");
		row = row_of(b, e, "cloud");
		assert_int_equal(row.state, SPOOL_WARNED);
		assert_string_equal(row.reason, "I looked");
		lose_index(b);
	}
}

static void
an_accepted_one_may_be_sent_again(void **state)
{
	struct box *b = *state;
	uint64_t id = owe(b, "1.2.1", "1.2.1.1");

	settle_with(b, id, SPOOL_REFUSED, 0, "imageset/1");
	assert_int_equal(command_to(b, SPOOL_ACCEPT, study_of(b, "1.2.1"), NULL,
	    NULL), 1);
	assert_int_equal(command_to(b, SPOOL_RESEND, study_of(b, "1.2.1"), NULL,
	    NULL), 1);
	assert_string_equal(row_of(b, id, "cloud").remote, "imageset/1");
	settle_with(b, id, SPOOL_DELIVERED, 0, "imageset/9");
	lose_index(b);
	assert_string_equal(row_of(b, id, "cloud").remote, "imageset/9");
}

/* That it was there once does not make a refusal acceptable. */
static void
rule_5_a_refusal_without_a_place_is_not_accepted(void **state)
{
	struct box *b = *state;
	uint64_t id = owe(b, "1.2.1", "1.2.1.1");

	settle_with(b, id, SPOOL_REFUSED, 0, "imageset/1");
	assert_int_equal(command_to(b, SPOOL_RETRY, study_of(b, "1.2.1"), NULL,
	    NULL), 1);
	assert_string_equal(row_of(b, id, "cloud").remote, "imageset/1");
	settle_with(b, id, SPOOL_REFUSED, 0, NULL);
	for (unsigned round = 0; round < 2; round++) {
		assert_string_equal(row_of(b, id, "cloud").remote, "");
		assert_int_equal(command_to(b, SPOOL_ACCEPT, study_of(b, "1.2.1"),
		    NULL, NULL), 0);
		assert_string_equal(states(b, "1.2.1", "cloud"), "r");
		lose_index(b);
	}
}

/* ---- to where it never was ---- */

static void
rule_8_a_study_goes_where_it_never_went(void **state)
{
	struct box *b = *state;
	uint64_t a = put_at(b, "1.2.1.1"), c = put_at(b, "1.2.1.2");
	uint64_t study = study_of(b, "1.2.1");
	struct list l;

	route_to(b, a, "cloud");
	route_to(b, c, "cloud");
	(void)put_at(b, "1.2.1.3");	/* pending: the routes decide */
	settle_with(b, a, SPOOL_DELIVERED, 0, NULL);
	assert_int_equal(command_to(b, SPOOL_RESEND, study, "new", "wanted"), 2);
	assert_int_equal(command_to(b, SPOOL_RESEND, study, "new", NULL), 0);
	for (unsigned round = 0; round < 2; round++) {
		assert_string_equal(states(b, "1.2.1", "new"), "oo-");
		assert_string_equal(states(b, "1.2.1", "cloud"), "do-");
		l = owed_of(b, "1.2.1", "new");
		assert_int_equal(l.n, 2);
		assert_true(l.check[0] && l.check[1]);
		assert_string_equal(row_of(b, a, "new").actor, "alice");
		assert_string_equal(row_of(b, a, "new").reason, "wanted");
		lose_index(b);
	}
	/* Where it was, as ever. */
	assert_int_equal(command_to(b, SPOOL_RESEND, study_of(b, "1.2.1"),
	    "cloud", NULL), 1);
	assert_string_equal(states(b, "1.2.1", "cloud"), "oo-");
}

static void
what_is_unrouted_is_routed_by_it(void **state)
{
	struct box *b = *state;
	uint64_t a = put_at(b, "1.2.1.1"), c = put_at(b, "1.2.1.2");
	struct list l = { 0 };
	struct spool_stats st;

	route_to(b, a, NULL);
	route_to(b, c, "cloud");
	settle_with(b, c, SPOOL_REFUSED, 0, NULL);
	assert_int_equal(command_to(b, SPOOL_RESEND, study_of(b, "1.2.1"), NULL,
	    NULL), 1);	/* to nowhere in particular: it has nowhere to go */
	assert_int_equal(command_to(b, SPOOL_RESEND, study_of(b, "1.2.1"), "new",
	    NULL), 2);
	for (unsigned round = 0; round < 2; round++) {
		assert_string_equal(states(b, "1.2.1", "new"), "oo");
		assert_string_equal(states(b, "1.2.1", "cloud"), "-o");
		assert_int_equal(spool_stats(b->sp, &st), 0);
		assert_int_equal(st.unrouted + st.pending, 0);
		lose_index(b);
	}
	/* Nothing is left for the routes of another day. */
	assert_int_equal(spool_reconsider_unrouted(b->sp), 0);
	assert_int_equal(spool_pending(b->sp, study_of(b, "1.2.1"), 0,
	    list_instance, &l), 0);
	assert_int_equal(l.n, 0);
}

static void
what_was_let_go_goes_there_and_what_is_purged_does_not(void **state)
{
	struct box *b = *state;
	uint64_t a = put_at(b, "1.2.1.1");

	(void)owe(b, "1.2.2", "1.2.2.1");
	route_to(b, a, NULL);
	assert_int_equal(command_to(b, SPOOL_DROP, study_of(b, "1.2.1"), NULL,
	    NULL), 1);
	assert_int_equal(command_to(b, SPOOL_PURGE, study_of(b, "1.2.2"), NULL,
	    NULL), 1);
	assert_int_equal(command_to(b, SPOOL_RESEND, study_of(b, "1.2.1"), "new",
	    NULL), 1);
	assert_int_equal(command_to(b, SPOOL_RESEND, study_of(b, "1.2.2"), "new",
	    NULL), 0);
	assert_string_equal(states(b, "1.2.1", "new"), "o");
	assert_string_equal(states(b, "1.2.2", "new"), "-");
	lose_index(b);
	assert_string_equal(states(b, "1.2.1", "new"), "o");
	settle_with(b, a, SPOOL_DELIVERED, 0, NULL);	/* never owed at the cloud */
	assert_string_equal(states(b, "1.2.1", "cloud"), "-");
}

/* A destination as a whole is not filled with the past. */
static void
without_a_study_nothing_new_is_owed(void **state)
{
	struct box *b = *state;
	uint64_t a = owe(b, "1.2.1", "1.2.1.1"), c = owe(b, "1.2.2", "1.2.2.1");

	settle_with(b, a, SPOOL_DELIVERED, 0, NULL);
	settle_with(b, c, SPOOL_REFUSED, 0, "there");
	assert_int_equal(command_to(b, SPOOL_RESEND, 0, "new", NULL), 0);
	assert_int_equal(command_to(b, SPOOL_ACCEPT, 0, "cloud", NULL), 1);
	assert_int_equal(command_to(b, SPOOL_RESEND, 0, "cloud", NULL), 2);
}

static void
versions_keep_their_order_there(void **state)
{
	struct box *b = *state;
	uint64_t a = owe(b, "1.2.1", "1.2.1.1"), c;
	struct list l;

	c = store(b, "1.2.1", "1.2.1.1", 1000, 2, NULL);
	route_to(b, c, "cloud");
	settle_with(b, a, SPOOL_DELIVERED, 0, NULL);
	settle_with(b, c, SPOOL_DELIVERED, 0, NULL);
	assert_int_equal(command_to(b, SPOOL_RESEND, study_of(b, "1.2.1"), "new",
	    NULL), 2);
	l = owed_of(b, "1.2.1", "new");
	assert_int_equal(l.n, 1);
	assert_int_equal(l.id[0], a);
}

/* More than a slice of the committer takes. */
static void
large_studies_go_in_slices(void **state)
{
	struct box *b = *state;
	uint64_t id[450];
	struct spool_stats st;

	for (unsigned i = 0; i < ARRAY_LEN(id); i++) {
		char sop[24];

		(void)snprintf(sop, sizeof(sop), "1.2.1.%u", i);
		id[i] = put_at(b, sop);
		route_to(b, id[i], i % 3 == 0 ? NULL : "cloud");
	}
	assert_int_equal(command_to(b, SPOOL_RESEND, study_of(b, "1.2.1"), "new",
	    NULL), ARRAY_LEN(id));
	for (unsigned i = 0; i < ARRAY_LEN(id); i++)
		assert_int_equal(row_of(b, id[i], "new").state, SPOOL_OWED);
	assert_int_equal(spool_stats(b->sp, &st), 0);
	assert_int_equal(st.unrouted, 0);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup_short, teardown)
	const struct CMUnitTest tests[] = {
		T(rule_5_an_operator_accepts_what_is_there),
		T(an_accepted_one_may_be_sent_again),
		T(rule_5_a_refusal_without_a_place_is_not_accepted),
		T(rule_8_a_study_goes_where_it_never_went),
		T(what_is_unrouted_is_routed_by_it),
		T(what_was_let_go_goes_there_and_what_is_purged_does_not),
		T(without_a_study_nothing_new_is_owed),
		T(versions_keep_their_order_there),
		T(large_studies_go_in_slices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
