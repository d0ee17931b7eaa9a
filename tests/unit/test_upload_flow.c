/* test_upload_flow.c - the uploader over a real spool and a destination that does
 * as it is told: what it says of each request decides what stays owed.
 */
#include "tests/unit/upload_rig.h"

static void
a_study_goes_whole_and_once(void **state)
{
	struct site *s = *state;
	uint64_t id[100], again;

	store_study(s, "1.5", 100, id);
	assert_true(reaches(s, 0, 100, 0));
	assert_int_equal(SEEN(n_taken), 100);
	assert_int_equal(SEEN(largest), 16);
	again = store(&s->box, "1.5", "1.5.late", 500, 1, NULL);
	assert_true(reaches(s, 0, 101, 0));
	assert_int_equal(SEEN(n_taken), 101);	/* an addition, not a repeat */
	assert_int_equal(SEEN(taken[100]), again);
}

static void
one_poisonous_instance_is_found_and_its_neighbours_delivered(void **state)
{
	struct site *s = *state;
	uint64_t id[64];
	struct spool_instance in;

	store_study(s, "1.6", 1, id);
	assert_true(reaches(s, 0, 1, 0));
	set_health(DESTINATION_DOWN);	/* nothing leaves before all is stored */
	store_study(s, "1.7", 64, id);
	TELL(poison, id[37]);
	set_health(DESTINATION_UP);
	upload_nudge(s->up, NULL);
	for (unsigned i = 0; i < 200 && !settled(s, 0, 64, 1); i++) {
		upload_nudge(s->up, NULL);
		(void)poll(NULL, 0, 30);
	}
	assert_true(settled(s, 0, 64, 1));
	assert_int_equal(spool_instance_get(s->box.sp, id[37], &in), 0);
	assert_true(in.kept);	/* refused sets aside: it deletes nothing */
}

static void
a_server_that_fails_on_everything_refuses_nothing(void **state)
{
	struct site *s = *state;
	uint64_t id[8];

	TELL(fail_first, 1000000);
	store_study(s, "1.8", 8, id);
	for (unsigned i = 0; i < 40; i++) {
		upload_nudge(s->up, NULL);
		(void)poll(NULL, 0, 20);
	}
	assert_true(reaches(s, 8, 0, 0));
	TELL(fail_first, 0);
	for (unsigned i = 0; i < 50 && SEEN(n_taken) < 8; i++) {
		upload_nudge(s->up, NULL);
		(void)poll(NULL, 0, 50);
	}
	assert_true(reaches(s, 0, 8, 0));
}

static void
down_is_probed_and_comes_back(void **state)
{
	struct site *s = *state;
	uint64_t id[20];

	set_health(DESTINATION_DOWN);
	store_study(s, "1.9", 20, id);
	while (SEEN(probes) == 0) {
		upload_nudge(s->up, "cloud");
		(void)poll(NULL, 0, 20);
	}
	assert_int_equal(SEEN(n_taken), 0);
	assert_true(SEEN(requests) <= 3);	/* while down: probes only */
	set_health(DESTINATION_UP);
	upload_nudge(s->up, "cloud");
	assert_true(reaches(s, 0, 20, 0));
}

static void
busy_waits_as_long_as_it_was_told(void **state)
{
	struct site *s = *state;
	uint64_t id[1];
	int64_t began;

	set_health(DESTINATION_BUSY);
	store_study(s, "1.10", 1, id);
	while (SEEN(requests) == 0)
		(void)poll(NULL, 0, 5);
	began = clock_mono_ms();
	set_health(DESTINATION_UP);
	assert_true(reaches(s, 0, 1, 0));
	assert_true(clock_mono_ms() - began >= 250);
}

static void
too_large_is_cut_smaller(void **state)
{
	struct site *s = *state;
	uint64_t id[40];

	TELL(room, 3);
	store_study(s, "1.11", 40, id);
	assert_true(reaches(s, 0, 40, 0));
}

static void
rule_6_what_no_request_carries_is_refused_by_name(void **state)
{
	struct site *s = *state;

	(void)store(&s->box, "1.12", "1.12.1", 300000, 1, NULL);
	(void)store(&s->box, "1.12", "1.12.2", 300, 1, NULL);
	assert_true(reaches(s, 0, 1, 1));
}

static void
rule_3_versions_go_in_order_one_at_a_time(void **state)
{
	struct site *s = *state;
	uint64_t id[5];

	set_health(DESTINATION_DOWN);
	for (unsigned i = 0; i < 5; i++)
		id[i] = store(&s->box, "1.13", "1.13.1", 500, (uint8_t)(i + 1), NULL);
	set_health(DESTINATION_UP);
	for (unsigned i = 0; i < 50 && SEEN(n_taken) < 5; i++) {
		upload_nudge(s->up, NULL);
		(void)poll(NULL, 0, 50);
	}
	assert_true(reaches(s, 0, 5, 0));
	assert_memory_equal(cloud.taken, id, sizeof(id));
	assert_int_equal(SEEN(versions_together), 0);
}

static void
verdicts_are_kept_apart(void **state)
{
	struct site *s = *state;
	uint64_t id[10];
	struct spool_instance in;

	set_health(DESTINATION_DOWN);
	store_study(s, "1.14", 10, id);
	TELL(refused, id[2]);
	TELL(damaged, id[5]);
	set_health(DESTINATION_UP);
	upload_nudge(s->up, NULL);
	for (unsigned i = 0; i < 50 && SEEN(n_taken) < 8; i++) {
		upload_nudge(s->up, NULL);
		(void)poll(NULL, 0, 50);
	}
	assert_true(reaches(s, 0, 8, 2));
	assert_int_equal(spool_instance_get(s->box.sp, id[5], &in), 0);
	assert_true(in.damaged);
}

static void
named_retries_do_not_hold_up_the_rest(void **state)
{
	struct site *s = *state;
	uint64_t id[10];

	set_health(DESTINATION_DOWN);
	store_study(s, "1.15", 10, id);
	TELL(named_retry, id[0]);
	set_health(DESTINATION_UP);
	for (unsigned i = 0; i < 50 && !settled(s, 1, 9, 0); i++) {
		upload_nudge(s->up, NULL);
		(void)poll(NULL, 0, 50);
	}
	assert_true(settled(s, 1, 9, 0));
	TELL(named_retry, 0);
	for (unsigned i = 0; i < 50 && !settled(s, 0, 10, 0); i++) {
		upload_nudge(s->up, NULL);
		(void)poll(NULL, 0, 50);
	}
	assert_true(settled(s, 0, 10, 0));
}

static void
rule_8_an_owing_destination_cannot_go(void **state)
{
	struct site *s = *state;
	struct buf why = BUF_INIT(4096);
	uint64_t id[3], n;
	struct spool_command drop = { .verb = SPOOL_DROP, .destination = "cloud",
		.actor = "alice", .reason = "moved" };

	set_health(DESTINATION_DOWN);
	store_study(s, "1.16", 3, id);
	assert_true(reaches(s, 3, 0, 0));
	assert_int_equal(upload_configure(s->up, &cfg_none, &why), -EBUSY);
	assert_non_null(strstr(why.data, "3 instances"));
	buf_clear(&why);
	assert_int_equal(spool_command(s->box.sp, &drop, &n), 0);
	assert_int_equal(n, 3);
	assert_int_equal(upload_configure(s->up, &cfg_none, &why), 0);
	buf_free(&why);
}

static void
held_things_stay(void **state)
{
	struct site *s = *state;
	struct spool_command c = { .verb = SPOOL_HOLD, .destination = "cloud",
		.actor = "alice" };
	uint64_t id[3], n;

	store_study(s, "1.17", 1, id);	/* the destination is known by then */
	assert_true(reaches(s, 0, 1, 0));
	assert_int_equal(spool_command(s->box.sp, &c, &n), 0);
	(void)poll(NULL, 0, 700);
	store_study(s, "1.18", 3, id);
	assert_true(reaches(s, 3, 1, 0));
	(void)poll(NULL, 0, 300);
	assert_int_equal(SEEN(n_taken), 1);
	c.verb = SPOOL_RELEASE;
	assert_int_equal(spool_command(s->box.sp, &c, &n), 0);
	assert_true(reaches(s, 0, 4, 0));
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, open_site, close_site)
	const struct CMUnitTest tests[] = {
		T(a_study_goes_whole_and_once),
		T(one_poisonous_instance_is_found_and_its_neighbours_delivered),
		T(a_server_that_fails_on_everything_refuses_nothing),
		T(down_is_probed_and_comes_back),
		T(busy_waits_as_long_as_it_was_told),
		T(too_large_is_cut_smaller),
		T(rule_6_what_no_request_carries_is_refused_by_name),
		T(rule_3_versions_go_in_order_one_at_a_time),
		T(verdicts_are_kept_apart),
		T(named_retries_do_not_hold_up_the_rest),
		T(rule_8_an_owing_destination_cannot_go),
		T(held_things_stay),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
