/* test_upload_windows.c - rates by the clock on the wall, in zones and nights that are
 * not as long as others.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "gateway/base/clock.h"
#include "gateway/upload/windows_int.h"

#define MON 0x01u
#define WEEKDAYS 0x1fu
#define SAT 0x20u
#define SUN 0x40u
#define HM(h, m) ((h) * 60 + (m))
#define BASE	1000

static struct config_window window[8];
static void *listed[8];
static struct config_list windows = { 0, listed };

static void
zone(const char *name)
{
	(void)setenv("TZ", name, 1);
	tzset();
	windows.n = 0;
}

static void
add(unsigned days, unsigned from, unsigned to, uint64_t rate)
{
	window[windows.n] = (struct config_window){ .days = days, .from = from,
		.to = to, .rate = rate };
	listed[windows.n] = &window[windows.n];
	windows.n++;
}

/* "2026-03-29 01:30" in UTC. */
static int64_t
utc(const char *text)
{
	struct tm tm = { 0 };

	assert_non_null(strptime(text, "%Y-%m-%d %H:%M", &tm));
	return (int64_t)timegm(&tm) * 1000;
}

static void
expect(const char *at, uint64_t rate, const char *until)
{
	struct window_span s;
	int64_t ms = utc(at) + 12345;	/* somewhere in the minute */

	windows_at(&windows, BASE, ms, &s);
	if (s.rate != rate)
		fail_msg("%s: rate %llu instead of %llu", at,
		    (unsigned long long)s.rate, (unsigned long long)rate);
	if (s.until_ms != (until == NULL ? CLOCK_NEVER : utc(until)))
		fail_msg("%s: until %lld instead of %s", at,
		    (long long)s.until_ms / 1000, until);
}

static void
without_windows_nothing_changes(void **state)
{
	(void)state;
	zone("Europe/Berlin");
	expect("2026-11-23 12:00", BASE, NULL);
}

static void
a_day_in_utc(void **state)
{
	(void)state;
	zone("UTC");
	add(WEEKDAYS, HM(7, 0), HM(19, 0), 10);
	/* 2026-11-23 is a Monday. */
	expect("2026-11-23 06:59", BASE, "2026-11-23 07:00");
	expect("2026-11-23 07:00", 10, "2026-11-23 19:00");
	expect("2026-11-23 18:59", 10, "2026-11-23 19:00");
	expect("2026-11-23 19:00", BASE, "2026-11-24 07:00");
	expect("2026-11-27 19:00", BASE, "2026-11-30 07:00");	/* the week-end */
	expect("2026-11-29 23:59", BASE, "2026-11-30 07:00");
}

static void
the_first_that_holds_counts(void **state)
{
	(void)state;
	zone("UTC");
	add(0, HM(12, 0), HM(13, 0), 0);
	add(WEEKDAYS, HM(7, 0), HM(19, 0), CONFIG_RATE_NONE);
	add(SAT | SUN, 0, HM(24, 0), 77);
	expect("2026-11-23 08:00", CONFIG_RATE_NONE, "2026-11-23 12:00");
	expect("2026-11-23 12:30", 0, "2026-11-23 13:00");
	expect("2026-11-23 13:00", CONFIG_RATE_NONE, "2026-11-23 19:00");
	expect("2026-11-27 22:00", BASE, "2026-11-28 00:00");
	expect("2026-11-28 11:00", 77, "2026-11-28 12:00");
	expect("2026-11-29 13:00", 77, "2026-11-30 00:00");	/* both days as one */
}

static void
edges_that_change_nothing_are_none(void **state)
{
	(void)state;
	zone("UTC");
	add(0, 0, HM(12, 0), 5);
	add(0, HM(12, 0), HM(24, 0), 5);
	expect("2026-11-23 03:00", 5, NULL);
	zone("UTC");
	add(0, HM(3, 0), HM(4, 0), BASE);
	expect("2026-11-23 03:00", BASE, NULL);
}

static void
over_midnight_and_over_the_week(void **state)
{
	(void)state;
	zone("UTC");
	add(SUN, HM(22, 0), HM(6, 0), 5);
	expect("2026-11-29 21:59", BASE, "2026-11-29 22:00");
	expect("2026-11-29 22:00", 5, "2026-11-30 06:00");
	expect("2026-11-30 00:00", 5, "2026-11-30 06:00");
	expect("2026-11-30 06:00", BASE, "2026-12-06 22:00");
	expect("2026-11-30 22:00", BASE, "2026-12-06 22:00");	/* a Monday night */
	zone("UTC");
	add(0, HM(19, 0), 0, 5);	/* until midnight */
	expect("2026-11-23 23:59", 5, "2026-11-24 00:00");
	expect("2026-11-24 00:00", BASE, "2026-11-24 19:00");
}

static void
zones_away_from_greenwich(void **state)
{
	(void)state;
	zone("Asia/Kolkata");	/* UTC+5:30, always */
	add(MON, HM(7, 10), HM(19, 25), 10);
	expect("2026-11-23 01:39", BASE, "2026-11-23 01:40");
	expect("2026-11-23 01:40", 10, "2026-11-23 13:55");
	expect("2026-11-23 13:55", BASE, "2026-11-30 01:40");
	zone("America/New_York");
	add(SUN, 0, HM(24, 0), 10);	/* a day of theirs, not of ours */
	expect("2026-11-22 04:59", BASE, "2026-11-22 05:00");
	expect("2026-11-22 05:00", 10, "2026-11-23 05:00");
}

/* On 29 March 2026 the clocks of Berlin go from 2 to 3 o'clock (01:00 UTC). */
static void
spring_in_berlin(void **state)
{
	(void)state;
	zone("Europe/Berlin");
	add(0, HM(19, 0), HM(7, 0), 5);
	expect("2026-03-28 18:00", 5, "2026-03-29 05:00");	/* a night of 11 h */
	expect("2026-03-29 05:00", BASE, "2026-03-29 17:00");
	zone("Europe/Berlin");
	add(SUN, 0, HM(24, 0), 5);
	expect("2026-03-28 23:00", 5, "2026-03-29 22:00");	/* a day of 23 h */
	zone("Europe/Berlin");
	add(0, HM(2, 15), HM(2, 45), 5);	/* does not come on that day */
	expect("2026-03-28 01:45", BASE, "2026-03-30 00:15");
	zone("Europe/Berlin");
	add(0, HM(2, 30), HM(4, 0), 5);	/* begins where the clock goes on */
	expect("2026-03-29 00:59", BASE, "2026-03-29 01:00");
	expect("2026-03-29 01:00", 5, "2026-03-29 02:00");
	zone("Europe/Berlin");
	add(0, HM(1, 0), HM(2, 30), 5);
	expect("2026-03-29 00:00", 5, "2026-03-29 01:00");
	zone("Europe/Berlin");
	add(SUN, HM(2, 15), HM(2, 45), 5);	/* not within this week, then */
	expect("2026-03-23 00:00", BASE, "2026-04-05 00:15");
}

/* On 25 October 2026 they go from 3 back to 2 (01:00 UTC). */
static void
autumn_in_berlin(void **state)
{
	(void)state;
	zone("Europe/Berlin");
	add(0, HM(19, 0), HM(7, 0), 5);
	expect("2026-10-24 17:00", 5, "2026-10-25 06:00");	/* a night of 13 h */
	zone("Europe/Berlin");
	add(SUN, 0, HM(24, 0), 5);
	expect("2026-10-24 22:00", 5, "2026-10-25 23:00");	/* a day of 25 h */
	zone("Europe/Berlin");
	add(0, HM(2, 15), HM(2, 45), 5);	/* comes twice */
	expect("2026-10-25 00:00", BASE, "2026-10-25 00:15");
	expect("2026-10-25 00:15", 5, "2026-10-25 00:45");
	expect("2026-10-25 00:45", BASE, "2026-10-25 01:15");
	expect("2026-10-25 01:15", 5, "2026-10-25 01:45");
	expect("2026-10-25 01:45", BASE, "2026-10-26 01:15");
	zone("Europe/Berlin");
	add(0, HM(2, 0), HM(3, 0), 5);	/* two hours of it */
	expect("2026-10-25 00:00", 5, "2026-10-25 02:00");
}

/* 8 March and 1 November 2026, at 2 o'clock. */
static void
both_in_new_york(void **state)
{
	(void)state;
	zone("America/New_York");
	add(SUN, 0, HM(24, 0), 5);
	expect("2026-03-08 05:00", 5, "2026-03-09 04:00");	/* 23 h */
	expect("2026-11-01 04:00", 5, "2026-11-02 05:00");	/* 25 h */
	zone("America/New_York");
	add(0, HM(22, 0), HM(5, 0), CONFIG_RATE_NONE);
	expect("2026-03-08 03:00", CONFIG_RATE_NONE, "2026-03-08 09:00");
	expect("2026-11-01 02:00", CONFIG_RATE_NONE, "2026-11-01 10:00");
}

/* Whatever is said of the future is what the clock says when it has come. */
static void
what_is_foretold_comes(void **state)
{
	static const char *const zones[] = { "Europe/Berlin", "America/New_York",
		"Australia/Lord_Howe", "Asia/Kolkata", "UTC", "Pacific/Chatham" };
	uint32_t seed = 20260329;

	(void)state;
	for (unsigned round = 0; round < 60; round++) {
		int64_t t = utc("2026-01-01 00:00");

		zone(zones[round % 6]);
		for (unsigned i = 0; i < 4; i++) {
			unsigned from, to;

			seed = seed * 1664525 + 1013904223;
			from = (seed >> 8) % 1440;
			seed = seed * 1664525 + 1013904223;
			to = (seed >> 8) % 1441;
			add((seed >> 3) % 128, from, to == from ? to + 1 : to,
			    (seed >> 20) % 3 * 7);
		}
		for (unsigned step = 0; step < 200; step++) {
			struct window_span a, before, after;

			windows_at(&windows, BASE, t, &a);
			if (a.until_ms == CLOCK_NEVER)
				break;
			assert_true(a.until_ms > t);
			windows_at(&windows, BASE, a.until_ms - 1, &before);
			windows_at(&windows, BASE, a.until_ms, &after);
			assert_int_equal(before.rate, a.rate);
			assert_int_equal(before.until_ms, a.until_ms);
			assert_int_not_equal(after.rate, a.rate);
			seed = seed * 1664525 + 1013904223;
			windows_at(&windows, BASE, t + (int64_t)((uint64_t)seed %
			    (uint64_t)(a.until_ms - t)), &before);
			assert_int_equal(before.rate, a.rate);
			t = a.until_ms;
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_windows_nothing_changes),
		cmocka_unit_test(a_day_in_utc),
		cmocka_unit_test(the_first_that_holds_counts),
		cmocka_unit_test(edges_that_change_nothing_are_none),
		cmocka_unit_test(over_midnight_and_over_the_week),
		cmocka_unit_test(zones_away_from_greenwich),
		cmocka_unit_test(spring_in_berlin),
		cmocka_unit_test(autumn_in_berlin),
		cmocka_unit_test(both_in_new_york),
		cmocka_unit_test(what_is_foretold_comes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
