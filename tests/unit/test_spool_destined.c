/* test_spool_destined.c - an object that is stored for one destination, whatever the
 * routes say: owed there with its commit, also after the index was lost.
 */
#include "tests/unit/spool_fixture.h"

struct seen {
	unsigned rows;
	char	 destination[40];
	enum spool_delivery state;
};

static int
take_row(void *arg, const struct spool_delivery_row *row)
{
	struct seen *s = arg;

	s->rows++;
	s->state = row->state;
	(void)snprintf(s->destination, sizeof(s->destination), "%s",
	    row->destination);
	return 0;
}

static void
check_owed_to(struct box *b, uint64_t id, const char *name)
{
	struct seen s = { 0 };

	assert_int_equal(spool_deliveries(b->sp, id, take_row, &s), 0);
	assert_int_equal(s.rows, 1);
	assert_string_equal(s.destination, name);
	assert_int_equal(s.state, SPOOL_OWED);
}

static int
count_open(void *arg, const struct spool_open_study *s)
{
	(void)s;
	++*(unsigned *)arg;
	return 0;
}

static void
test_owed_with_its_commit(void **state)
{
	struct box *b = *state;
	unsigned incomplete = 0;
	uint64_t id;

	stored_for = "ahi";
	id = store(b, "1.2.3", "1.2.3.1", 500, 1, NULL);
	stored_for = NULL;
	check_owed_to(b, id, "ahi");
	assert_int_equal(spool_incomplete(b->sp, count_open, &incomplete), 0);
	assert_int_equal(incomplete, 0);
}

static void
test_known_after_the_index_is_lost(void **state)
{
	struct box *b = *state;
	char cmd[256];
	uint64_t id;

	stored_for = "ahi";
	id = store(b, "1.2.3", "1.2.3.1", 500, 1, NULL);
	stored_for = NULL;
	spool_close(TAKE_PTR(b->sp));
	(void)snprintf(cmd, sizeof(cmd), "rm -f '%s'/index.db*", b->dir);
	assert_int_equal(system(cmd), 0);
	open_box(b);
	for (struct spool_stats st = { .rebuilding = true }; st.rebuilding;)
		assert_int_equal(spool_stats(b->sp, &st), 0);
	check_owed_to(b, id, "ahi");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_owed_with_its_commit, setup,
		    teardown),
		cmocka_unit_test_setup_teardown(test_known_after_the_index_is_lost,
		    setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
