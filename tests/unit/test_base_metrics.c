/* test_base_metrics.c - counters have names, help, and values that add up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <ctype.h>

#include "gateway/base/metrics.h"

static void
test_values_add_up(void **state)
{
	uint64_t before = metric_get(METRIC_STORED);

	(void)state;
	metric_add(METRIC_STORED, 3);
	metric_add(METRIC_STORED, 4);
	assert_true(metric_get(METRIC_STORED) == before + 7);
	assert_true(metric_get(METRIC_REFUSED) == 0);
}

static void
test_every_metric_is_described_once(void **state)
{
	(void)state;
	for (int i = 0; i < METRIC_COUNT; i++) {
		const char *name = metric_name((enum metric)i);

		assert_true(strlen(metric_help((enum metric)i)) > 0);
		for (const char *p = name; *p != '\0'; p++)
			assert_true(islower((unsigned char)*p) || *p == '_');
		for (int k = 0; k < i; k++)
			assert_string_not_equal(name,
			    metric_name((enum metric)k));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values_add_up),
		cmocka_unit_test(test_every_metric_is_described_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
