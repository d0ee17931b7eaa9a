/* test_upload_schedule.c - jobs and fragments, without threads or time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway/upload/schedule_int.h"

static struct job *
offer(struct schedule *s, uint64_t study, uint64_t peer, enum spool_priority priority,
    int64_t oldest_ms)
{
	struct schedule_offer o = { study, peer, priority, oldest_ms };

	return schedule_offer(s, &o, 0);
}

static void
rule_33_stat_goes_first_then_age(void **state)
{
	struct schedule s;
	struct job *old, *young, *stat;

	(void)state;
	schedule_init(&s);
	young = offer(&s, 1, 1, SPOOL_NORMAL, 500);
	old = offer(&s, 2, 1, SPOOL_NORMAL, 100);
	stat = offer(&s, 3, 1, SPOOL_STAT, 900);
	assert_ptr_equal(schedule_pick(&s, 0, false, SPOOL_LOW), stat);
	stat->drained = true;
	assert_ptr_equal(schedule_pick(&s, 0, false, SPOOL_LOW), old);
	old->drained = true;
	assert_ptr_equal(schedule_pick(&s, 0, false, SPOOL_LOW), young);
	young->drained = true;
	assert_null(schedule_pick(&s, 0, false, SPOOL_LOW));
	assert_int_equal(schedule_next(&s, 0, SPOOL_LOW), INT64_MAX);
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
	j = offer(&s, 1, 1, SPOOL_NORMAL, 1);
	j->drained = true;
	f = fragment_new(ids, 3);
	f->due_ms = 1000;
	job_add_fragment(j, f);
	assert_null(schedule_pick(&s, 999, false, SPOOL_LOW));
	assert_int_equal(schedule_next(&s, 0, SPOOL_LOW), 1000);
	assert_true(job_holds(j, 8));
	assert_false(job_holds(j, 10));
	assert_ptr_equal(schedule_pick(&s, 1000, false, SPOOL_LOW), j);
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
	bad = offer(&s, 1, 1, SPOOL_NORMAL, 1);
	bad->drained = true;
	f = fragment_new(&id, 1);
	f->first_failed_ms = 5;
	f->tries = 2;
	job_add_fragment(bad, f);
	good = offer(&s, 2, 1, SPOOL_NORMAL, 2);
	assert_ptr_equal(schedule_pick(&s, 10, false, SPOOL_LOW), bad);
	assert_ptr_equal(schedule_pick(&s, 10, true, SPOOL_LOW), good);
	good->drained = true;
	assert_ptr_equal(schedule_pick(&s, 10, true, SPOOL_LOW), bad);
	schedule_clear(&s);
}

static void
refresh_drops_what_is_no_longer_owed(void **state)
{
	struct schedule s;
	struct job *flying;

	(void)state;
	schedule_init(&s);
	(void)offer(&s, 1, 1, SPOOL_NORMAL, 1);
	flying = offer(&s, 2, 1, SPOOL_NORMAL, 2);
	flying->in_flight = 1;
	schedule_refresh_begin(&s);
	(void)offer(&s, 3, 1, SPOOL_NORMAL, 3);
	schedule_refresh_end(&s);
	assert_null(schedule_find(&s, 1));
	assert_non_null(schedule_find(&s, 2));
	/* held meanwhile: nothing more is handed out of it */
	assert_int_equal(schedule_pick(&s, 0, false, SPOOL_LOW)->study, 3);
	schedule_clear(&s);
}

static void
a_job_looks_again_before_it_ends(void **state)
{
	struct schedule s;
	struct job *j;

	(void)state;
	schedule_init(&s);
	j = offer(&s, 1, 1, SPOOL_NORMAL, 1);
	j->cursor = 17;
	j->progressed = true;
	j->drained = true;
	assert_int_equal(schedule_rest(j), 0);
	assert_int_equal(j->cursor, 0);
	assert_false(j->drained);
	j->drained = true;
	assert_int_equal(schedule_rest(j), 1);
	assert_null(schedule_pick(&s, 0, false, SPOOL_LOW));
	/* A later version may wait still: a refresh makes it look again, or drops it. */
	schedule_refresh_begin(&s);
	assert_ptr_equal(offer(&s, 1, 1, SPOOL_NORMAL, 1), j);
	schedule_refresh_end(&s);
	assert_ptr_equal(schedule_pick(&s, 0, false, SPOOL_LOW), j);
	assert_int_equal(j->peer->busy, 1);
	j->drained = true;
	assert_int_equal(schedule_rest(j), 1);
	assert_int_equal(j->peer->busy, 0);
	schedule_refresh_begin(&s);
	schedule_refresh_end(&s);
	assert_int_equal(s.n, 0);
	schedule_clear(&s);
}

static void
rule_33_an_extra_connection_takes_stat_alone(void **state)
{
	struct schedule s;
	struct job *stat;

	(void)state;
	schedule_init(&s);
	(void)offer(&s, 1, 1, SPOOL_NORMAL, 1);
	(void)offer(&s, 2, 2, SPOOL_LOW, 1);
	assert_null(schedule_pick(&s, 0, false, SPOOL_STAT));
	assert_null(schedule_pick(&s, 0, true, SPOOL_STAT));
	assert_int_equal(schedule_next(&s, 0, SPOOL_STAT), INT64_MAX);
	stat = offer(&s, 3, 1, SPOOL_STAT, 9);
	assert_ptr_equal(schedule_pick(&s, 0, false, SPOOL_STAT), stat);
	assert_int_equal(schedule_next(&s, 0, SPOOL_STAT), 0);
	/* An operator's word on a study that is on its way already. */
	stat->drained = true;
	assert_ptr_equal(offer(&s, 2, 2, SPOOL_STAT, 1), schedule_find(&s, 2));
	assert_int_equal(schedule_pick(&s, 0, false, SPOOL_STAT)->study, 2);
	schedule_clear(&s);
}

static void
rule_33_low_goes_last(void **state)
{
	struct schedule s;
	struct job *low, *normal;

	(void)state;
	schedule_init(&s);
	low = offer(&s, 1, 1, SPOOL_LOW, 1);
	normal = offer(&s, 2, 2, SPOOL_NORMAL, 9);
	for (unsigned i = 0; i < 10; i++) {
		assert_ptr_equal(schedule_pick(&s, 0, false, SPOOL_LOW), normal);
		schedule_charge(&s, normal, 100 << 20);
	}
	normal->drained = true;
	assert_ptr_equal(schedule_pick(&s, 0, false, SPOOL_LOW), low);
	schedule_clear(&s);
}

#define MIB (1u << 20)

/* A CT of 10,000 images is on its way over four connections when another peer's
 * single image comes. */
static void
rule_33_an_x_ray_waits_for_one_request_of_a_ct(void **state)
{
	struct schedule s;
	struct job *ct, *xray;

	(void)state;
	schedule_init(&s);
	ct = offer(&s, 1, 1, SPOOL_NORMAL, 1);
	for (unsigned i = 0; i < 40; i++) {
		assert_ptr_equal(schedule_pick(&s, 0, false, SPOOL_LOW), ct);
		schedule_charge(&s, ct, 100 * MIB);
	}
	xray = offer(&s, 2, 2, SPOOL_NORMAL, 99);
	assert_ptr_equal(schedule_pick(&s, 0, false, SPOOL_LOW), xray);
	schedule_charge(&s, xray, 15 * MIB);
	/* The same peer's next one waits until the CT has had as much. */
	assert_ptr_equal(schedule_pick(&s, 0, false, SPOOL_LOW), xray);
	xray->drained = true;
	assert_ptr_equal(schedule_pick(&s, 0, false, SPOOL_LOW), ct);
	schedule_clear(&s);
}

/* One image per study, each delivered before the next comes: the peer is gone in
 * between, and must not come back as if it had had nothing. */
static void
coming_and_going_gains_nothing(void **state)
{
	struct schedule s;
	struct job *big;
	uint64_t bytes[2] = { 0, 0 };

	(void)state;
	schedule_init(&s);
	big = offer(&s, 1, 1, SPOOL_NORMAL, 1);
	for (uint64_t study = 2; study < 2000; study++) {
		struct job *j;

		schedule_refresh_begin(&s);
		(void)offer(&s, 1, 1, SPOOL_NORMAL, 1);
		(void)offer(&s, study, 2, SPOOL_NORMAL, 2);
		schedule_refresh_end(&s);
		j = schedule_pick(&s, 0, false, SPOOL_LOW);
		schedule_charge(&s, j, j == big ? 50 * MIB : 10 * MIB);
		bytes[j == big ? 0 : 1] += j == big ? 50 : 10;
	}
	assert_in_range(bytes[0], bytes[1] - 60, bytes[1] + 60);
	schedule_clear(&s);
}

/* After an hour in which all it had was waiting for a retry. */
static void
waiting_saves_up_nothing(void **state)
{
	struct schedule s;
	struct job *a, *b;
	unsigned in_a_row = 0;

	(void)state;
	schedule_init(&s);
	a = offer(&s, 1, 1, SPOOL_NORMAL, 1);
	a->drained = true;
	b = offer(&s, 2, 2, SPOOL_NORMAL, 1);
	for (unsigned i = 0; i < 1000; i++) {
		assert_ptr_equal(schedule_pick(&s, 0, false, SPOOL_LOW), b);
		schedule_charge(&s, b, 100 * MIB);
	}
	a->drained = false;
	while (schedule_pick(&s, 0, false, SPOOL_LOW) == a) {
		schedule_charge(&s, a, 100 * MIB);
		in_a_row++;
	}
	assert_in_range(in_a_row, 1, 2);
	schedule_clear(&s);
}

#define PEERS 12

static uint32_t
any(uint32_t *seed, uint32_t below)
{
	*seed = *seed * 1664525 + 1013904223;
	return (*seed >> 8) % below;
}

/* Peers come, go quiet and come back with requests of all sizes. While two of them
 * have work all the time, neither gets more than a request more than the other, and
 * nobody waits for more than a few of everybody else's. */
static void
rule_33_nobody_starves(void **state)
{
	uint32_t seed = 33;

	(void)state;
	for (unsigned round = 0; round < 50; round++) {
		uint64_t had[PEERS] = { 0 }, largest = MIB;
		unsigned waits[PEERS] = { 0 };
		struct job *job[PEERS];
		struct schedule s;

		schedule_init(&s);
		for (unsigned p = 0; p < PEERS; p++)
			job[p] = offer(&s, p + 1, p, SPOOL_NORMAL, any(&seed, 99));
		for (unsigned step = 0; step < 2000; step++) {
			uint64_t bytes = 1 + any(&seed, 100 * MIB);
			unsigned p = 2 + any(&seed, PEERS - 2);
			struct job *j;

			job[p]->drained = any(&seed, 3) == 0;
			j = schedule_pick(&s, 0, false, SPOOL_LOW);
			p = (unsigned)j->study - 1;
			schedule_charge(&s, j, bytes);
			had[p] += bytes < MIB ? MIB : bytes;
			largest = bytes > largest ? bytes : largest;
			waits[p] = 0;
			for (unsigned q = 0; q < PEERS; q++)
				waits[q] += q != p && !job[q]->drained;
			/* 0 and 1 are never without work */
			assert_in_range(had[0] + largest - had[1], 0, 2 * largest);
			assert_true(waits[0] < 40 * PEERS && waits[1] < 40 * PEERS);
		}
		schedule_clear(&s);
		assert_int_equal(s.n_peers, 0);
	}
}

static void
idle_peers_are_forgotten(void **state)
{
	struct schedule s;

	(void)state;
	schedule_init(&s);
	(void)offer(&s, 1, 1, SPOOL_NORMAL, 1);
	for (uint64_t i = 2; i < 5000; i++) {
		struct job *j;

		schedule_refresh_begin(&s);
		(void)offer(&s, 1, 1, SPOOL_NORMAL, 1);
		j = offer(&s, i, i, SPOOL_NORMAL, 1);
		schedule_charge(&s, j, 1000 * MIB);
		schedule_refresh_end(&s);
		assert_in_range(s.n_peers, 1, SCHEDULE_PEERS_MAX + 2);
	}
	schedule_clear(&s);
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
		cmocka_unit_test(rule_33_an_extra_connection_takes_stat_alone),
		cmocka_unit_test(rule_33_low_goes_last),
		cmocka_unit_test(rule_33_an_x_ray_waits_for_one_request_of_a_ct),
		cmocka_unit_test(coming_and_going_gains_nothing),
		cmocka_unit_test(waiting_saves_up_nothing),
		cmocka_unit_test(rule_33_nobody_starves),
		cmocka_unit_test(idle_peers_are_forgotten),
		cmocka_unit_test(backoff_is_the_age_within_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
