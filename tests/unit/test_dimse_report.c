/* test_dimse_report.c - what strangers can make us say. */
#include "gateway/base/log.h"
#include "gateway/dimse/dimse.h"
#include "tests/unit/config_support.h"

static unsigned lines;

static void
count_line(void *arg, const char *line)
{
	(void)arg;
	assert_non_null(strstr(line, "connection failed"));
	lines++;
}

static void
test_strangers_cannot_flood_the_log(void **state)
{
	const struct config *c = load_good("gateway: {ae_title: CAUSEWAY}\n"
	    "spool: {directory: /var/lib/x}\n");
	struct dimse *d = dimse_new(NULL, c);

	(void)state;
	log_capture(count_line, NULL);
	for (unsigned i = 0; i < 5000; i++)
		dimse_failed(d, "192.0.2.1", false, "not DICOM");
	log_capture(NULL, NULL);
	assert_in_range(lines, 100, 1000);
	dimse_free(d);
	config_unref(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_strangers_cannot_flood_the_log),
	};

	return cmocka_run_group_tests(tests, use_fake_kinds, NULL);
}
