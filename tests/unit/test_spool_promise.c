/* test_spool_promise.c - the spool as a whole: what is promised is there, byte for
 * byte, after a stop, after a lost index, and after a crash that loses the rows.
 */
#include <poll.h>

#include "tests/unit/spool_fixture.h"

static void
check_bytes(struct box *b, uint64_t id, const char *study, const char *sop,
    size_t pixels, uint8_t fill)
{
	struct buf obj = BUF_INIT(32u << 20);
	struct spool_reader *r;
	char *got;

	make_object(&obj, study, sop, pixels, fill);
	assert_int_equal(spool_reader_open(b->sp, id, &r), 0);
	assert_int_equal(spool_reader_length(r), obj.len);
	got = malloc(obj.len);
	assert_int_equal(spool_reader_read(r, 0, got, obj.len), (ssize_t)obj.len);
	assert_memory_equal(got, obj.data, obj.len);
	assert_int_equal(spool_reader_verify(r), 0);
	spool_reader_close(r);
	free(got);
	buf_free(&obj);
}

static uint64_t
count(struct box *b)
{
	struct spool_stats st;

	assert_int_equal(spool_stats(b->sp, &st), 0);
	return st.instances;
}

static int
take_study(void *arg, const struct spool_study *s)
{
	*(uint64_t *)arg = s->id;
	return 0;
}

static uint64_t
study_id(struct box *b, const char *uid)
{
	struct spool_filter f = { .uid = uid, .state = -1 };
	uint64_t id = 0;

	assert_true(spool_studies(b->sp, &f, take_study, &id) >= 0);
	return id;
}

static void
route_to_cloud(struct box *b, uint64_t id)
{
	const char *dest[] = { "cloud" };
	struct spool_routing r = { id, dest, 1 };

	assert_int_equal(spool_route(b->sp, &r, 1), 0);
}

static void
settle_as(struct box *b, uint64_t id, enum spool_delivery state)
{
	struct spool_verdict v = { .id = id, .destination = "cloud",
		.state = state, .reason = "because" };

	assert_int_equal(spool_settle(b->sp, &v, 1), 0);
}

static int
take_state(void *arg, const struct spool_delivery_row *row)
{
	*(int *)arg = (int)row->state;
	return 0;
}

static int
delivery(struct box *b, uint64_t id)
{
	int state = -1;

	(void)spool_deliveries(b->sp, id, take_state, &state);
	return state;
}

/* ---- tests ---- */

static void
small_and_large_survive_a_stop(void **state)
{
	struct box *b = *state;
	uint64_t a = store(b, "1.2.1", "1.2.1.1", 1000, 1, NULL);
	uint64_t c = store(b, "1.2.1", "1.2.1.2", 5000000, 2, NULL);

	check_bytes(b, a, "1.2.1", "1.2.1.1", 1000, 1);
	check_bytes(b, c, "1.2.1", "1.2.1.2", 5000000, 2);
	reopen(b);
	assert_int_equal(count(b), 2);
	check_bytes(b, a, "1.2.1", "1.2.1.1", 1000, 1);
	check_bytes(b, c, "1.2.1", "1.2.1.2", 5000000, 2);
}

static void
lost_index_is_rebuilt_with_its_obligations(void **state)
{
	struct box *b = *state;
	uint64_t id[40];
	char cmd[300], sop[64];

	for (unsigned i = 0; i < 40; i++) {
		(void)snprintf(sop, sizeof(sop), "1.2.2.%u", i);
		id[i] = store(b, "1.2.2", sop, i % 10 == 0 ? 2000000 : 3000 + i,
		    (uint8_t)i, NULL);
		route_to_cloud(b, id[i]);
		if (i % 2 == 0)
			settle_as(b, id[i], SPOOL_DELIVERED);
	}
	spool_close(TAKE_PTR(b->sp));
	(void)snprintf(cmd, sizeof(cmd), "rm '%s'/index.db*", b->dir);
	assert_int_equal(system(cmd), 0);
	open_box(b);
	for (unsigned tries = 0; tries < 500; tries++) {
		struct spool_stats st;

		assert_int_equal(spool_stats(b->sp, &st), 0);
		if (!st.rebuilding)
			break;
		(void)poll(NULL, 0, 10);
	}
	assert_int_equal(count(b), 40);
	for (unsigned i = 0; i < 40; i++) {
		(void)snprintf(sop, sizeof(sop), "1.2.2.%u", i);
		check_bytes(b, id[i], "1.2.2", sop, i % 10 == 0 ? 2000000 : 3000 + i,
		    (uint8_t)i);
		route_to_cloud(b, id[i]);
		assert_int_equal(delivery(b, id[i]), i % 2 == 0 ? SPOOL_DELIVERED :
		    SPOOL_OWED);
	}
}

/* What a power cut does to the index: its last commits never were. */
static void
lost_rows_are_adopted_from_their_records(void **state)
{
	struct box *b = *state;
	char cmd[600];
	uint64_t id[20];
	char sop[64];

	(void)store(b, "1.2.3", "1.2.3.99", 500, 9, NULL);
	spool_close(TAKE_PTR(b->sp));
	(void)snprintf(cmd, sizeof(cmd), "cp '%s'/index.db '%s'/old", b->dir, b->dir);
	assert_int_equal(system(cmd), 0);
	open_box(b);
	for (unsigned i = 0; i < 20; i++) {
		(void)snprintf(sop, sizeof(sop), "1.2.3.%u", i);
		id[i] = store(b, "1.2.3", sop, i == 7 ? 3000000 : 4000, (uint8_t)i, NULL);
	}
	route_to_cloud(b, id[3]);
	settle_as(b, id[3], SPOOL_REFUSED);
	/* The files as they are, the index as it was. The segment that came into
	 * use since is one that the old index does not know. */
	(void)snprintf(cmd, sizeof(cmd), "d='%s'; cp -r $d $d.cut && rm $d.cut/index.db* "
	    "&& mv $d.cut/old $d.cut/index.db", b->dir);
	assert_int_equal(system(cmd), 0);
	spool_close(TAKE_PTR(b->sp));
	(void)snprintf(cmd, sizeof(cmd), "d='%s'; rm -rf $d && mv $d.cut $d", b->dir);
	assert_int_equal(system(cmd), 0);
	open_box(b);
	assert_int_equal(count(b), 21);
	for (unsigned i = 0; i < 20; i++) {
		(void)snprintf(sop, sizeof(sop), "1.2.3.%u", i);
		check_bytes(b, id[i], "1.2.3", sop, i == 7 ? 3000000 : 4000, (uint8_t)i);
	}
	assert_int_equal(delivery(b, id[3]), SPOOL_REFUSED);
}

static void
rule_2_same_bytes_are_one_instance(void **state)
{
	struct box *b = *state;
	struct spool_receipt r;
	uint64_t id = store(b, "1.2.4", "1.2.4.1", 2000, 1, &r);

	assert_int_equal(r.outcome, SPOOL_NEW);
	assert_int_equal(store(b, "1.2.4", "1.2.4.1", 2000, 1, &r), id);
	assert_int_equal(r.outcome, SPOOL_SAME);
	route_to_cloud(b, id);
	settle_as(b, id, SPOOL_DELIVERED);
	assert_int_equal(store(b, "1.2.4", "1.2.4.1", 2000, 1, &r), id);
	assert_int_equal(r.outcome, SPOOL_OWED_AGAIN);
	route_to_cloud(b, id);
	assert_int_equal(delivery(b, id), SPOOL_OWED);
	assert_int_equal(count(b), 1);
}

static void
rule_3_other_bytes_are_a_version(void **state)
{
	struct box *b = *state;
	struct spool_receipt r;
	uint64_t a = store(b, "1.2.5", "1.2.5.1", 2000, 1, &r);
	uint64_t c = store(b, "1.2.5", "1.2.5.1", 2000, 2, &r);

	assert_int_not_equal(a, c);
	assert_int_equal(r.outcome, SPOOL_NEW_VERSION);
	assert_int_equal(r.version, 2);
	check_bytes(b, a, "1.2.5", "1.2.5.1", 2000, 1);
	check_bytes(b, c, "1.2.5", "1.2.5.1", 2000, 2);
	/* and the large ones */
	a = store(b, "1.2.5", "1.2.5.2", 3000000, 1, &r);
	assert_int_equal(store(b, "1.2.5", "1.2.5.2", 3000000, 1, &r), a);
	assert_int_equal(r.outcome, SPOOL_SAME);
	c = store(b, "1.2.5", "1.2.5.2", 3000000, 3, &r);
	assert_int_equal(r.version, 2);
	check_bytes(b, c, "1.2.5", "1.2.5.2", 3000000, 3);
}

static void
commands_are_recorded_and_survive_a_lost_index(void **state)
{
	struct box *b = *state;
	uint64_t id = store(b, "1.2.6", "1.2.6.1", 2000, 1, NULL), n = 0;
	struct spool_command c = { .verb = SPOOL_DROP, .actor = "alice",
		.reason = "wrong patient" };
	char cmd[300];

	route_to_cloud(b, id);
	c.study = study_id(b, "1.2.6");
	assert_int_equal(spool_command(b->sp, &c, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(delivery(b, id), SPOOL_LET_GO);
	(void)snprintf(cmd, sizeof(cmd), "grep -q alice '%s'/settle.log", b->dir);
	assert_int_equal(system(cmd), 0);
	c.verb = SPOOL_HOLD;
	assert_int_equal(spool_command(b->sp, &c, &n), 0);
	c.study = 424242;
	assert_int_equal(spool_command(b->sp, &c, &n), -ENOENT);
}

static void
purge_leaves_no_bytes(void **state)
{
	struct box *b = *state;
	struct spool_command c = { .verb = SPOOL_PURGE, .actor = "bob",
		.reason = "wrong patient" };
	uint64_t n = 0, keep;
	struct spool_reader *r;
	uint64_t id = store(b, "1.2.7", "1.2.7.1", 2000, 1, NULL);
	uint64_t big = store(b, "1.2.7", "1.2.7.2", 2000000, 1, NULL);
	char cmd[300];

	keep = store(b, "1.2.8", "1.2.8.1", 2000, 5, NULL);
	c.study = study_id(b, "1.2.7");
	assert_int_equal(spool_command(b->sp, &c, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(spool_reader_open(b->sp, id, &r), -ENOENT);
	assert_int_equal(spool_reader_open(b->sp, big, &r), -ENOENT);
	check_bytes(b, keep, "1.2.8", "1.2.8.1", 2000, 5);
	(void)snprintf(cmd, sizeof(cmd), "grep -rqa '1\\.2\\.7\\.1' '%s'/segments", b->dir);
	assert_int_not_equal(system(cmd), 0);
	reopen(b);
	assert_int_equal(spool_reader_open(b->sp, id, &r), -ENOENT);
	check_bytes(b, keep, "1.2.8", "1.2.8.1", 2000, 5);
}

static int
take_open_study(void *arg, const struct spool_open_study *s)
{
	*(struct spool_open_study *)arg = *s;
	return 0;
}

static void
rule_11_a_study_is_open_while_its_source_is(void **state)
{
	struct box *b = *state;
	struct spool_open_study s = { 0 };

	(void)store(b, "1.2.9", "1.2.9.1", 100, 1, NULL);
	assert_true(spool_incomplete(b->sp, take_open_study, &s) >= 0);
	assert_string_equal(s.uid, "1.2.9");
	assert_int_equal(s.sources, 0);
	assert_true(s.last_ms >= s.first_ms && s.first_ms > 0);
}

/* kill -9 in the middle of receiving: every acknowledged object is there. */
static void
killed_daemon_keeps_what_it_promised(void **state)
{
	struct box *b = *state;
	unsigned acked = 0;
	int pipefd[2];

	spool_close(TAKE_PTR(b->sp));
	for (unsigned round = 0; round < 5; round++) {
		unsigned v;
		pid_t pid;

		assert_int_equal(pipe(pipefd), 0);
		pid = fork();
		if (pid == 0) {
			char sop[64];

			open_box(b);
			for (unsigned i = 0;; i++) {
				(void)snprintf(sop, sizeof(sop), "1.3.%u.%u", round, i);
				(void)store(b, "1.3", sop, i % 5 == 4 ? 1500000 : 9000,
				    (uint8_t)i, NULL);
				(void)!write(pipefd[1], &i, sizeof(i));
			}
		}
		(void)close(pipefd[1]);
		for (unsigned k = 0; k < 13 + round * 7; k++)
			assert_int_equal(read(pipefd[0], &v, sizeof(v)), sizeof(v));
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
		while (read(pipefd[0], &v, sizeof(v)) == sizeof(v))
			continue;
		(void)close(pipefd[0]);
		acked += v + 1;
	}
	open_box(b);
	assert_true(count(b) >= acked);
	assert_true(count(b) <= acked + 5);	/* one of each round may be more */
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(small_and_large_survive_a_stop),
		T(lost_index_is_rebuilt_with_its_obligations),
		T(lost_rows_are_adopted_from_their_records),
		T(rule_2_same_bytes_are_one_instance),
		T(rule_3_other_bytes_are_a_version),
		T(commands_are_recorded_and_survive_a_lost_index),
		T(purge_leaves_no_bytes),
		T(rule_11_a_study_is_open_while_its_source_is),
		T(killed_daemon_keeps_what_it_promised),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
