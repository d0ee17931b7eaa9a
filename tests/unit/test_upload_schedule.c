/* test_upload_schedule.c - jobs and fragments, without threads or time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway/upload/schedule_int.h"

static void
rule_33_stat_goes_first_then_age(void **state)
{
	struct schedule s;
	struct job *old, *young, *stat;

	(void)state;
	schedule_init(&s);
	young = schedule_offer(&s, 1, SPOOL_NORMAL, 500, 0);
	old = schedule_offer(&s, 2, SPOOL_NORMAL, 100, 0);
	stat = schedule_offer(&s, 3, SPOOL_STAT, 900, 0);
	assert_ptr_equal(schedule_pick(&s, 0, false), stat);
	stat->drained = true;
	assert_ptr_equal(schedule_pick(&s, 0, false), old);
	old->drained = true;
	assert_ptr_equal(schedule_pick(&s, 0, false), young);
	young->drained = true;
	assert_null(schedule_pick(&s, 0, false));
	assert_int_equal(schedule_next(&s, 0), INT64_MAX);
	schedule_clear(&s);
}

static void
fragments_wait_for_their_time(void **state)
{
	struct schedule s;
	struct job *j;
	struct fragment *f;
	uint64_t ids[] = { 7, 8, 9 };

	(void)state;
	schedule_init(&s);
	j = schedule_offer(&s, 1, SPOOL_NORMAL, 1, 0);
	j->drained = true;
	f = fragment_new(ids, 3);
	f->due_ms = 1000;
	job_add_fragment(j, f);
	assert_null(schedule_pick(&s, 999, false));
	assert_int_equal(schedule_next(&s, 0), 1000);
	assert_true(job_holds(j, 8));
	assert_false(job_holds(j, 10));
	assert_ptr_equal(schedule_pick(&s, 1000, false), j);
	assert_null(job_take_fragment(j, 999));
	f = job_take_fragment(j, 1000);
	assert_int_equal(f->n, 3);
	job_split_fragment(j, f, 1000);
	f = job_take_fragment(j, 1000);
	assert_int_equal(f->n, 1);
	assert_int_equal(f->id[0], 7);
	free(f);
	f = job_take_fragment(j, 1000);
	assert_int_equal(f->n, 2);
	assert_int_equal(f->id[1], 9);
	free(f);
	schedule_clear(&s);
}

static void
promise_5_what_failed_lets_others_go_first(void **state)
{
	struct schedule s;
	struct job *bad, *good;
	struct fragment *f;
	uint64_t id = 7;

	(void)state;
	schedule_init(&s);
	bad = schedule_offer(&s, 1, SPOOL_NORMAL, 1, 0);
	bad->drained = true;
	f = fragment_new(&id, 1);
	f->first_failed_ms = 5;
	f->tries = 2;
	job_add_fragment(bad, f);
	good = schedule_offer(&s, 2, SPOOL_NORMAL, 2, 0);
	assert_ptr_equal(schedule_pick(&s, 10, false), bad);
	assert_ptr_equal(schedule_pick(&s, 10, true), good);
	good->drained = true;
	assert_ptr_equal(schedule_pick(&s, 10, true), bad);
	schedule_clear(&s);
}

static void
refresh_drops_what_is_no_longer_owed(void **state)
{
	struct schedule s;
	struct job *flying;

	(void)state;
	schedule_init(&s);
	(void)schedule_offer(&s, 1, SPOOL_NORMAL, 1, 0);
	flying = schedule_offer(&s, 2, SPOOL_NORMAL, 2, 0);
	flying->in_flight = 1;
	schedule_refresh_begin(&s);
	(void)schedule_offer(&s, 3, SPOOL_NORMAL, 3, 0);
	schedule_refresh_end(&s);
	assert_null(schedule_find(&s, 1));
	assert_non_null(schedule_find(&s, 2));
	/* held meanwhile: nothing more is handed out of it */
	assert_int_equal(schedule_pick(&s, 0, false)->study, 3);
	schedule_clear(&s);
}

static void
a_job_looks_again_before_it_ends(void **state)
{
	struct schedule s;
	struct job *j;

	(void)state;
	schedule_init(&s);
	j = schedule_offer(&s, 1, SPOOL_NORMAL, 1, 0);
	j->cursor = 17;
	j->progressed = true;
	j->drained = true;
	assert_int_equal(schedule_rest(&s, j), 0);
	assert_int_equal(j->cursor, 0);
	assert_false(j->drained);
	j->drained = true;
	assert_int_equal(schedule_rest(&s, j), 1);
	assert_int_equal(s.n, 0);
}

static void
backoff_is_the_age_within_bounds(void **state)
{
	(void)state;
	for (uint32_t r = 0; r < 5000; r += 7) {
		int64_t b = schedule_backoff(0, 100, 5000, 300000, r);

		assert_in_range(b, 4000, 6000);
		b = schedule_backoff(0, 100000, 5000, 300000, r);
		assert_in_range(b, 80000, 120000);
		b = schedule_backoff(0, 1000000000, 5000, 300000, r);
		assert_in_range(b, 240000, 360000);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rule_33_stat_goes_first_then_age),
		cmocka_unit_test(fragments_wait_for_their_time),
		cmocka_unit_test(promise_5_what_failed_lets_others_go_first),
		cmocka_unit_test(refresh_drops_what_is_no_longer_owed),
		cmocka_unit_test(a_job_looks_again_before_it_ends),
		cmocka_unit_test(backoff_is_the_age_within_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
