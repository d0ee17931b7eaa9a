/* test_base_clock.c - the clocks, and times as people read them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <limits.h>
#include <time.h>

#include "gateway/base/clock.h"

static void
expect_time(const char *zone, int64_t wall_ms, const char *want)
{
	char text[32];

	(void)setenv("TZ", zone, 1);
	tzset();
	assert_string_equal(clock_format(wall_ms, text, sizeof(text)), want);
}

static void
test_rule_39_time_carries_its_offset(void **state)
{
	(void)state;
	expect_time("UTC0", 0, "1970-01-01T00:00:00+00:00");
	expect_time("CET-1", 1795403702999, "2026-11-23T04:15:02+01:00");
	expect_time("NST3:30", 1795403702000, "2026-11-22T23:45:02-03:30");
	expect_time("ABC0:30", 0, "1969-12-31T23:30:00-00:30");
}

static void
test_time_before_the_epoch_rounds_down(void **state)
{
	(void)state;
	expect_time("UTC0", -1, "1969-12-31T23:59:59+00:00");
	expect_time("UTC0", -1000, "1969-12-31T23:59:59+00:00");
}

static void
test_time_that_no_calendar_holds(void **state)
{
	char text[32];

	(void)state;
	assert_true(strlen(clock_format(INT64_MAX, text, sizeof(text))) < 32);
	assert_true(strlen(clock_format(INT64_MIN, text, sizeof(text))) < 32);
}

static void
test_clocks_do_not_go_back(void **state)
{
	int64_t mono = clock_mono_ms(), boot = clock_boot_ms();

	(void)state;
	assert_true(mono > 0 && clock_mono_ms() >= mono);
	assert_true(boot >= mono && clock_boot_ms() >= boot);
	assert_true(clock_wall_ms() > 1700000000000);
}

static void
test_boot_id_is_the_same_each_time(void **state)
{
	(void)state;
	assert_int_equal(strlen(clock_boot_id()), 36);
	assert_ptr_equal(clock_boot_id(), clock_boot_id());
	assert_int_equal(clock_boot_id()[8], '-');
}

static void
test_timeout_for_poll(void **state)
{
	int64_t now = clock_mono_ms();
	int left = clock_timeout(now + 60000);

	(void)state;
	assert_int_equal(clock_timeout(CLOCK_NEVER), -1);
	assert_int_equal(clock_timeout(now - 1), 0);
	assert_int_equal(clock_timeout(0), 0);
	assert_int_equal(clock_timeout(INT64_MIN), 0);
	assert_int_equal(clock_timeout(now + (1LL << 40)), INT_MAX);
	assert_true(left > 50000 && left <= 60000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rule_39_time_carries_its_offset),
		cmocka_unit_test(test_time_before_the_epoch_rounds_down),
		cmocka_unit_test(test_time_that_no_calendar_holds),
		cmocka_unit_test(test_clocks_do_not_go_back),
		cmocka_unit_test(test_boot_id_is_the_same_each_time),
		cmocka_unit_test(test_timeout_for_poll),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
