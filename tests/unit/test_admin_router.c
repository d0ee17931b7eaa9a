/* test_admin_router.c - paths, names of studies and points in time, as callers
 * write them.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "gateway/admin/admin_int.h"
#include "gateway/base/cleanup.h"

#define GET  EVHTTP_REQ_GET
#define POST EVHTTP_REQ_POST

static char part[ADMIN_PARTS][ADMIN_TEXT_MAX];

static int
find(enum evhttp_cmd_type method, const char *path, admin_handler_fn **ret)
{
	memset(part, 0, sizeof(part));
	return admin_route_find(admin_routes, method, path, part, ret);
}

static void
expect(enum evhttp_cmd_type method, const char *path, admin_handler_fn *want)
{
	admin_handler_fn *fn = NULL;

	assert_int_equal(find(method, path, &fn), 0);
	assert_ptr_equal(fn, want);
}

static void
test_each_call_is_found(void **state)
{
	(void)state;
	expect(GET, "/v1/status", admin_get_status);
	expect(GET, "/v1/studies", admin_get_studies);
	expect(GET, "/v1/studies/1.2.3", admin_get_study);
	assert_string_equal(part[0], "1.2.3");
	expect(GET, "/v1/studies/id:7/instances", admin_get_instances);
	assert_string_equal(part[0], "id:7");
	expect(POST, "/v1/studies/1.2.3/retry", admin_post_study);
	assert_string_equal(part[1], "retry");
	expect(POST, "/v1/destinations/cloud/hold", admin_post_destination);
	expect(GET, "/v1/instances/12/file", admin_get_file);
	expect(POST, "/v1/reload", admin_post_reload);
}

static void
test_a_part_is_decoded_after_the_cut(void **state)
{
	(void)state;
	expect(GET, "/v1/studies/acc:A%2F12%20b", admin_get_study);
	assert_string_equal(part[0], "acc:A/12 b");
	expect(GET, "/v1/studies/%2e%2e", admin_get_study);
	assert_string_equal(part[0], "..");
}

static void
test_others_are_told_apart(void **state)
{
	admin_handler_fn *fn = NULL;

	(void)state;
	assert_int_equal(find(GET, "/", &fn), -ENOENT);
	assert_int_equal(find(GET, "", &fn), -ENOENT);
	assert_int_equal(find(GET, "/v1/status/", &fn), -ENOENT);
	assert_int_equal(find(GET, "/v1/studies/", &fn), -ENOENT);
	assert_int_equal(find(GET, "/v2/status", &fn), -ENOENT);
	assert_int_equal(find(POST, "/v1/status", &fn), -EPERM);
	assert_int_equal(find(GET, "/v1/reload", &fn), -EPERM);
	assert_int_equal(find(GET, "/v1/studies/a/b", &fn), -EPERM);
	assert_null(fn);
}

static void
test_bad_encoding_is_refused(void **state)
{
	char path[ADMIN_TEXT_MAX + 32] = "/v1/studies/";
	admin_handler_fn *fn = NULL;

	(void)state;
	assert_int_equal(find(GET, "/v1/studies/a%", &fn), -EINVAL);
	assert_int_equal(find(GET, "/v1/studies/a%4", &fn), -EINVAL);
	assert_int_equal(find(GET, "/v1/studies/a%zz", &fn), -EINVAL);
	assert_int_equal(find(GET, "/v1/studies/a%00b", &fn), -EINVAL);
	memset(path + 12, 'x', ADMIN_TEXT_MAX - 1);
	assert_int_equal(find(GET, path, &fn), 0);
	memset(path + 12, 'x', ADMIN_TEXT_MAX);
	assert_int_equal(find(GET, path, &fn), -EINVAL);
}

static void
test_rule_35_names_of_studies(void **state)
{
	struct admin_ref ref;

	(void)state;
	assert_int_equal(admin_ref_parse("1.2.840.1", &ref), 0);
	assert_int_equal(ref.kind, ADMIN_REF_UID);
	assert_int_equal(admin_ref_parse("acc:A 17/3", &ref), 0);
	assert_int_equal(ref.kind, ADMIN_REF_ACCESSION);
	assert_string_equal(ref.text, "A 17/3");
	assert_int_equal(admin_ref_parse("pid:4711", &ref), 0);
	assert_int_equal(ref.kind, ADMIN_REF_PATIENT);
	assert_int_equal(admin_ref_parse("id:12", &ref), 0);
	assert_int_equal(ref.kind, ADMIN_REF_ID);
	assert_true(ref.id == 12);
}

static void
test_what_is_no_name(void **state)
{
	static const char *const bad[] = { "", "acc:", "pid:", "id:", "id:x", "id:0",
		"id:-1", "id:99999999999999999999", "id:1 ", "1.2 3", "1.2\n3" };
	char text[ADMIN_TEXT_MAX + 8];
	struct admin_ref ref;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(admin_ref_parse(bad[i], &ref), -EINVAL);
	memset(text, '1', sizeof(text));
	text[65] = '\0';	/* no UID is longer than 64 */
	assert_int_equal(admin_ref_parse(text, &ref), -EINVAL);
	memcpy(text, "acc:", 4);
	text[65] = '1';
	text[4 + ADMIN_TEXT_MAX] = '\0';
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(admin_ref_parse(text, &ref), -EINVAL);
}

static int64_t
since(const char *text)
{
	int64_t ms = -1;

	return admin_since_parse(text, 1000000000000, &ms) < 0 ? -1 : ms;
}

static void
test_since(void **state)
{
	(void)state;
	assert_true(since("2h") == 1000000000000 - 7200000);
	assert_true(since("3d") == 1000000000000 - 3 * 86400000ll);
	assert_true(since("30min") == 1000000000000 - 1800000);
	assert_true(since("2026-11-20T14:00:00+00:00") == 1795183200000);
	assert_true(since("2026-11-20T14:00:00+01:00") == 1795179600000);
	assert_true(since("900000d") == 1);	/* before the epoch: everything */
	assert_true(since("") == -1);
	assert_true(since("2") == -1);
	assert_true(since("2y") == -1);
	assert_true(since("h") == -1);
	assert_true(since("-2h") == -1);
	assert_true(since("2026-13-01") == -1);
	assert_true(since("2026-11-20 ") == -1);
}

/* Rule 39: a site's days begin where it is. */
static void
test_rule_39_dates_are_local(void **state)
{
	(void)state;
	assert_int_equal(setenv("TZ", "UTC-1", 1), 0);	/* POSIX: east of it */
	tzset();
	assert_true(since("2026-11-20") == 1795129200000);
	assert_true(since("2026-11-20T01:00") == 1795132800000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_call_is_found),
		cmocka_unit_test(test_a_part_is_decoded_after_the_cut),
		cmocka_unit_test(test_others_are_told_apart),
		cmocka_unit_test(test_bad_encoding_is_refused),
		cmocka_unit_test(test_rule_35_names_of_studies),
		cmocka_unit_test(test_what_is_no_name),
		cmocka_unit_test(test_since),
		cmocka_unit_test(test_rule_39_dates_are_local),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
