/* test_base_rate.c - the token bucket, in time that the tests make: many takers get
 * one total, exactly, at any rate; urgent ones first, and nobody starves.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/rate.h"

#define TAKERS 16
#define WANT   (128u << 10)
#define BEGIN  INT64_C(5000000)

struct taker {
	bool	 urgent;
	size_t	 want;
	int64_t	 again_ms;
	uint64_t got;
	int64_t	 last_ms, longest_ms;	/* between two portions */
};

/* As connections do: ask, send at once, ask again when told, up to late_ms after. */
static uint64_t
run(struct rate *r, struct taker *t, size_t n, int64_t from_ms, int64_t for_ms,
    unsigned late_ms)
{
	uint64_t total = 0;
	unsigned seed = 7;

	for (size_t i = 0; i < n; i++)
		t[i].last_ms = t[i].again_ms = from_ms;
	for (int64_t now = from_ms; now < from_ms + for_ms; now++) {
		for (size_t k = 0; k < n; k++) {
			struct taker *x = &t[(k + (size_t)now) % n];
			size_t got = 1;

			while (x->again_ms <= now && got > 0) {
				assert_int_equal(rate_take(r, x->want, x->urgent,
				    now, &got, &x->again_ms), 0);
				assert_in_range(got, 0, x->want);
				assert_true(got > 0 || x->again_ms > now);
				assert_true(x->again_ms <= now + 1000);
				x->got += got;
				total += got;
				if (got > 0 && now - x->last_ms > x->longest_ms)
					x->longest_ms = now - x->last_ms;
				if (got > 0)
					x->last_ms = now;
				else if (late_ms > 0)
					x->again_ms += rand_r(&seed) % late_ms;
			}
		}
	}
	return total;
}

static void
assert_within(uint64_t got, double wanted, double share)
{
	if ((double)got < wanted * (1 - share) || (double)got > wanted * (1 + share))
		fail_msg("%llu is not %.0f", (unsigned long long)got, wanted);
}

static void
test_many_takers_get_one_total(void **state)
{
	static const uint64_t rates[] = { 8000 /* 64 kbit/s */, 125000, 1250000,
		12500000, 125000000 };
	static const size_t takers[] = { 1, 2, TAKERS };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rates); i++) {
		for (size_t k = 0; k < ARRAY_LEN(takers); k++) {
			struct rate *r = rate_new();
			struct taker t[TAKERS] = { 0 };
			int64_t ms = rates[i] < 100000 ? 600000 : 60000;

			for (size_t n = 0; n < TAKERS; n++)
				t[n].want = WANT;
			rate_set(r, rates[i]);
			assert_within(run(r, t, takers[k], BEGIN, ms, 4),
			    (double)rates[i] * (double)ms / 1000, 0.01);
			for (size_t n = 0; n < takers[k]; n++)
				assert_true(t[n].got > 0);
			rate_free(r);
		}
	}
}

static void
test_small_bodies_keep_the_rate(void **state)
{
	struct rate *r = rate_new();
	struct taker t[3] = { { .want = 300 }, { .want = 1 }, { .want = 5000 } };

	(void)state;
	rate_set(r, 8000);
	assert_within(run(r, t, 3, BEGIN, 600000, 3), 8000 * 600.0, 0.01);
	rate_free(r);
}

static void
test_no_burst_after_idle(void **state)
{
	static const uint64_t rates[] = { 8000, 1250000, 125000000 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rates); i++) {
		struct rate *r = rate_new();
		struct taker t = { .want = WANT };
		uint64_t got;

		rate_set(r, rates[i]);
		(void)run(r, &t, 1, BEGIN, 1000, 0);
		t = (struct taker){ .want = WANT };
		got = run(r, &t, 1, BEGIN + 3600000, 1000, 0);
		assert_true((double)got < (double)rates[i] * 1.3);
		rate_free(r);
	}
}

static void
test_no_limit_and_no_rate(void **state)
{
	struct rate *r = rate_new();
	int64_t again;
	size_t n;

	(void)state;
	assert_int_equal(rate_take(NULL, WANT, false, BEGIN, &n, &again), 0);
	assert_int_equal(n, WANT);
	assert_int_equal(rate_take(r, WANT, false, BEGIN, &n, &again), 0);
	assert_int_equal(n, WANT);
	assert_false(rate_closed(NULL));
	rate_give_back(NULL, 5);
	rate_urgent_begin(NULL);
	rate_urgent_end(NULL);
	rate_free(r);
	rate_free(NULL);
}

static void
test_rate_changes_in_between(void **state)
{
	struct rate *r = rate_new();
	struct taker t[2] = { { .want = WANT }, { .want = WANT } };

	(void)state;
	rate_set(r, 8000);
	(void)run(r, t, 2, BEGIN, 10000, 2);
	rate_set(r, 1250000);
	assert_within(run(r, t, 2, BEGIN + 10000, 30000, 2), 1250000 * 30.0, 0.01);
	rate_set(r, 8000);
	assert_within(run(r, t, 2, BEGIN + 40000, 300000, 2), 8000 * 300.0, 0.01);
	/* What is said again and again changes nothing. */
	for (int i = 0; i < 300; i++) {
		rate_set(r, 8000);
		t[0].got = t[1].got = 0;
		(void)run(r, t, 2, BEGIN + 340000 + i * 1000, 1000, 2);
	}
	rate_free(r);
}

static void
test_setting_the_same_rate_costs_nothing(void **state)
{
	struct rate *r = rate_new();
	struct taker t = { .want = WANT };
	uint64_t total = 0;

	(void)state;
	for (int i = 0; i < 100; i++) {
		rate_set(r, 125000);
		total += run(r, &t, 1, BEGIN + i * 1000, 1000, 0);
	}
	assert_within(total, 125000 * 100.0, 0.01);
	rate_free(r);
}

static void
test_closed_ends_everybody(void **state)
{
	struct rate *r = rate_new();
	int64_t again;
	size_t n;

	(void)state;
	rate_set_closed(r, true);
	assert_true(rate_closed(r));
	assert_int_equal(rate_take(r, 10, true, BEGIN, &n, &again), -ECANCELED);
	assert_int_equal(rate_take(r, 10, false, BEGIN, &n, &again), -ECANCELED);
	rate_set_closed(r, false);
	assert_int_equal(rate_take(r, 10, false, BEGIN, &n, &again), 0);
	assert_int_equal(n, 10);
	rate_free(r);
}

static void
test_given_back_is_taken_again(void **state)
{
	struct rate *r = rate_new();
	int64_t now = BEGIN, again;
	uint64_t kept = 0;
	size_t n;

	(void)state;
	rate_set(r, 125000);
	for (; now < BEGIN + 60000; now++) {
		while (rate_take(r, WANT, false, now, &n, &again) == 0 && n > 0) {
			rate_give_back(r, n / 2);
			kept += n - n / 2;
		}
	}
	assert_within(kept, 125000 * 60.0, 0.01);
	rate_free(r);
}

/* 33: stat overtakes; and peers of the others would give up after a while. */
static void
test_urgent_first_others_not_starved(void **state)
{
	static const uint64_t rates[] = { 8000, 1250000 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rates); i++) {
		struct rate *r = rate_new();
		struct taker t[2] = { { .want = WANT, .urgent = true },
			{ .want = WANT } };

		rate_set(r, rates[i]);
		rate_urgent_begin(r);
		(void)run(r, t, 2, BEGIN, 9000, 2);
		assert_int_equal(t[1].got, 0);
		(void)run(r, t, 2, BEGIN + 9000, 120000, 2);
		assert_true(t[1].longest_ms < 20000);
		assert_true(t[1].got > 0);
		assert_true(t[0].got > 4 * t[1].got);
		rate_urgent_end(r);
		t[1].got = 0;
		(void)run(r, t + 1, 1, BEGIN + 129000, 10000, 2);
		assert_within(t[1].got, (double)rates[i] * 10, 0.2);
		rate_free(r);
	}
}

static void
test_urgent_first_without_a_limit(void **state)
{
	struct rate *r = rate_new();
	int64_t again;
	size_t n;

	(void)state;
	rate_urgent_begin(r);
	assert_int_equal(rate_take(r, WANT, false, BEGIN, &n, &again), 0);
	assert_int_equal(n, 0);
	assert_int_equal(rate_take(r, WANT, true, BEGIN, &n, &again), 0);
	assert_int_equal(n, WANT);
	rate_urgent_end(r);
	assert_int_equal(rate_take(r, WANT, false, BEGIN, &n, &again), 0);
	assert_int_equal(n, WANT);
	rate_free(r);
}

/* Between two small urgent ones there is no time to notice that it is free. */
static void
test_urgent_ones_in_a_row_starve_nobody(void **state)
{
	struct rate *r = rate_new();
	int64_t again = BEGIN, last = BEGIN, longest = 0;
	size_t n;

	(void)state;
	for (int64_t now = BEGIN; now < BEGIN + 100000; now++) {
		if ((now - BEGIN) % 10 == 0)
			rate_urgent_begin(r);
		if (now >= again && (now - BEGIN) % 10 != 9) {
			assert_int_equal(rate_take(r, 100, false, now, &n, &again),
			    0);
			if (n > 0 && now - last > longest)
				longest = now - last;
			if (n > 0)
				last = now;
		}
		if ((now - BEGIN) % 10 == 8)
			rate_urgent_end(r);
	}
	assert_in_range(longest, 5000, 19999);
	rate_free(r);
}

/* ---- threads ------------------------------------------------------------- */

struct shared {
	struct rate *r;
	_Atomic int64_t now_ms;
	_Atomic uint64_t total;
	atomic_bool ended;
};

static void *
take_for_long(void *arg)
{
	struct shared *s = arg;

	while (!s->ended) {
		int64_t again;
		size_t n;

		if (rate_take(s->r, 1000, false, s->now_ms, &n, &again) == 0) {
			s->total += n;
			if (n > 10)
				rate_give_back(s->r, 1);
		}
	}
	return NULL;
}

static void
test_set_and_close_while_taking(void **state)
{
	struct shared s = { .r = rate_new(), .now_ms = BEGIN };
	pthread_t threads[4];

	(void)state;
	rate_set(s.r, 1000000);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, take_for_long,
		    &s), 0);
	for (int i = 0; i < 2000; i++) {
		s.now_ms++;
		rate_set(s.r, 1000000 + (uint64_t)i);
		rate_set_closed(s.r, i % 2 == 0);
		(void)rate_closed(s.r);
		rate_urgent_begin(s.r);
		rate_urgent_end(s.r);
	}
	s.ended = true;
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		(void)pthread_join(threads[i], NULL);
	assert_true(s.total < 2000000 * 2);
	rate_free(s.r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many_takers_get_one_total),
		cmocka_unit_test(test_small_bodies_keep_the_rate),
		cmocka_unit_test(test_no_burst_after_idle),
		cmocka_unit_test(test_no_limit_and_no_rate),
		cmocka_unit_test(test_rate_changes_in_between),
		cmocka_unit_test(test_setting_the_same_rate_costs_nothing),
		cmocka_unit_test(test_closed_ends_everybody),
		cmocka_unit_test(test_given_back_is_taken_again),
		cmocka_unit_test(test_urgent_first_others_not_starved),
		cmocka_unit_test(test_urgent_first_without_a_limit),
		cmocka_unit_test(test_urgent_ones_in_a_row_starve_nobody),
		cmocka_unit_test(test_set_and_close_while_taking),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
