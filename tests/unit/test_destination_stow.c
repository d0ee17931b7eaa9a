/* test_destination_stow.c - requests to a DICOMweb server and the verdicts that
 * come of its answers: per instance, never from a status line.
 */
#include <stdio.h>
#include <string.h>

#include "tests/unit/stow_support.h"

static struct cloud cloud;

static int
forget(void **state)
{
	(void)state;
	forget_objects();
	cloud_order(&cloud, "{'forget': true}");
	return 0;
}

/* Objects 0..n of version 1 under the orders; freed by the caller. */
static struct destination_item *
deliver_under(const char *orders, unsigned n, struct destination_result *ret)
{
	struct destination *d = open_destination(cloud.url, "");
	struct destination_item *items;

	forget(NULL);
	for (unsigned i = 0; i < n; i++)
		(void)add_object(i, 1);
	cloud_order(&cloud, orders);
	items = deliver_all(d, ret);
	close_destination(d);
	return items;
}

static void
test_all_stored(void **state)
{
	struct destination_result r;
	struct destination_item *items = deliver_under("{'forget': true}", 20, &r);

	(void)state;
	assert_int_equal(r.health, DESTINATION_UP);
	assert_string_equal(r.reason, "");
	assert_true(r.bytes > 20 * 1000);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(items[i].verdict, DESTINATION_OK);
		assert_string_equal(items[i].reason, "");
	}
	free(items);
}

static void
test_verdicts_per_instance(void **state)
{
	static const char *const formats[] = { "json", "xml" };
	static const int statuses[] = { 200, 202, 206, 400, 409 };
	struct destination_result r;

	(void)state;
	for (size_t i = 0; i < 2 * ARRAY_LEN(statuses); i++) {
		AUTO_FREE char *orders = xasprintf("{'forget': true, 'script': "
		    "[{'method': 'POST', 'status': %d, 'stow': {'format': '%s', "
		    "'pad': true, 'fail': {'#1': 43264, '#2': 42752, '#3': 272, "
		    "'#4': 49442, '#5': 290, '#6': 531, '#7': 12345, '#9': 0}, "
		    "'warn': {'#8': 45056}, 'both': ['#1', '#3']}}]}",
		    statuses[i / 2], formats[i % 2]);
		struct destination_item *items = deliver_under(orders, 11, &r);
		static const enum destination_verdict v[11] = {
			DESTINATION_OK, DESTINATION_REFUSED, DESTINATION_RETRY,
			DESTINATION_RETRY, DESTINATION_REFUSED,
			DESTINATION_REFUSED, DESTINATION_RETRY,
			DESTINATION_REFUSED, DESTINATION_WARNED,
			DESTINATION_RETRY, DESTINATION_OK,
		};

		assert_int_equal(r.health, DESTINATION_UP);
		for (int k = 0; k < 11; k++) {
			if (items[k].verdict != v[k])
				fail_msg("%d %s: #%d is %d", statuses[i / 2],
				    formats[i % 2], k, items[k].verdict);
			assert_int_equal(items[k].retry_soon,
			    v[k] == DESTINATION_RETRY);
		}
		SAYS(items[1].reason, "A900H");
		SAYS(items[4].reason, "transfer syntax not supported (C122H)");
		SAYS(items[5].reason, "SOP class not supported");
		SAYS(items[8].reason, "values were coerced (B000H)");
		free(items);
	}
}

static void
test_unmentioned(void **state)
{
	struct destination_result r;
	struct destination_item *items;

	(void)state;
	/* 200 and not in the lists: what can be read back counts. */
	items = deliver_under("{'forget': true, 'script': [{'method': 'POST',"
	    " 'stow': {'omit': ['#1']}}]}", 3, &r);
	assert_int_equal(r.health, DESTINATION_UP);
	for (int i = 0; i < 3; i++)
		assert_int_equal(items[i].verdict, DESTINATION_OK);
	free(items);
	/* The same, and nothing was kept. */
	items = deliver_under("{'forget': true, 'script': [{'method': 'POST',"
	    " 'status': 200, 'store': false, 'body': 'Thanks!'}]}", 2, &r);
	assert_int_equal(r.health, DESTINATION_UP);
	assert_int_equal(items[0].verdict, DESTINATION_RETRY);
	assert_int_equal(items[1].verdict, DESTINATION_RETRY);
	SAYS(items[0].reason, "does not show it");
	free(items);
	/* 202: later. */
	items = deliver_under("{'forget': true, 'script': [{'method': 'POST',"
	    " 'status': 202, 'stow': {'omit': ['#1']}}]}", 3, &r);
	assert_int_equal(items[0].verdict, DESTINATION_OK);
	assert_int_equal(items[1].verdict, DESTINATION_RETRY);
	SAYS(items[1].reason, "does not mention it");
	free(items);
	/* A failure that names nobody. */
	items = deliver_under("{'forget': true, 'script': [{'method': 'POST',"
	    " 'status': 202, 'stow': {'omit': ['#1'], 'others': [49152]}}]}", 3,
	    &r);
	assert_int_equal(r.health, DESTINATION_FAILED);
	assert_int_equal(items[0].verdict, DESTINATION_OK);
	assert_int_equal(items[1].verdict, DESTINATION_RETRY);
	free(items);
	items = deliver_under("{'forget': true, 'script': [{'method': 'POST',"
	    " 'status': 409, 'stow': {'omit': ['#0'], 'others': [49152]}}]}", 1,
	    &r);
	assert_int_equal(r.health, DESTINATION_UP);
	assert_int_equal(items[0].verdict, DESTINATION_REFUSED);
	free(items);
}

static void
test_409_is_not_already_there(void **state)
{
	struct destination_result r;
	struct destination_item *items;

	(void)state;
	items = deliver_under("{'forget': true, 'script': [{'method': 'POST',"
	    " 'status': 409, 'store': false, 'body': ''}]}", 1, &r);
	assert_int_equal(r.health, DESTINATION_FAILED);
	assert_int_equal(items[0].verdict, DESTINATION_RETRY);
	free(items);
	items = deliver_under("{'forget': true, 'script': [{'method': 'POST',"
	    " 'status': 409, 'store': false, 'body': ''}]}", 2, &r);
	assert_int_equal(r.health, DESTINATION_FAILED);
	free(items);
	/* But if it is there, it is. */
	items = deliver_under("{'forget': true, 'script': [{'method': 'POST',"
	    " 'status': 409, 'store': true, 'body': ''}]}", 1, &r);
	assert_int_equal(r.health, DESTINATION_UP);
	assert_int_equal(items[0].verdict, DESTINATION_OK);
	free(items);
	items = deliver_under("{'forget': true, 'script': [{'method': 'POST',"
	    " 'status': 409, 'store': true, 'stow': {'fail': {'*': 45070}}}]}", 3,
	    &r);
	for (int i = 0; i < 3; i++)
		assert_int_equal(items[i].verdict, DESTINATION_OK);
	free(items);
}

static void
test_health_by_status(void **state)
{
	static const struct {
		int status;
		enum destination_health health;
		const char *says;
	} cases[] = {
		{ 301, DESTINATION_DOWN, "url" },
		{ 400, DESTINATION_FAILED, "malformed" },
		{ 401, DESTINATION_DOWN, "no credential is configured" },
		{ 403, DESTINATION_DOWN, "right" },
		{ 404, DESTINATION_DOWN, "url" },
		{ 405, DESTINATION_DOWN, "url" },
		{ 407, DESTINATION_DOWN, "proxy" },
		{ 413, DESTINATION_TOO_LARGE, "max_request" },
		{ 415, DESTINATION_FAILED, "content" },
		{ 429, DESTINATION_BUSY, "fewer" },
		{ 500, DESTINATION_FAILED, "log" },
		{ 502, DESTINATION_FAILED, "behind" },
		{ 503, DESTINATION_BUSY, "busy" },
		{ 507, DESTINATION_BUSY, "space" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_FREE char *orders = xasprintf("{'forget': true, 'script': "
		    "[{'status': %d, 'store': false, 'body': '', 'headers': "
		    "{'Retry-After': '7200'}}]}", cases[i].status);
		struct destination_result r;
		struct destination_item *items = deliver_under(orders, 2, &r);

		if (r.health != cases[i].health)
			fail_msg("%d: %d %s", cases[i].status, r.health, r.reason);
		SAYS(r.reason, cases[i].says);
		assert_int_equal(items[0].verdict, DESTINATION_RETRY);
		assert_int_equal(items[1].verdict, DESTINATION_RETRY);
		assert_int_equal(r.retry_after_ms,
		    r.health == DESTINATION_BUSY ? 3600000 : -1);
		free(items);
	}
}

static void
test_health_without_an_answer(void **state)
{
	static const struct {
		const char *order;
		enum destination_health health;
	} cases[] = {
		{ "'reset_after': 1000", DESTINATION_FAILED },
		{ "'hang': 'answer'", DESTINATION_FAILED },
		{ "'cut_reply': 10", DESTINATION_FAILED },
		{ "'cut_reply': 100", DESTINATION_FAILED },
	};
	struct destination_result r;
	struct destination_item *items;
	struct destination *d;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_FREE char *orders = xasprintf("{'forget': true, 'script': "
		    "[{%s}]}", cases[i].order);

		items = deliver_under(orders, 40, &r);
		if (r.health != cases[i].health)
			fail_msg("%zu: %d %s", i, r.health, r.reason);
		assert_true(r.reason[0] != '\0');
		assert_int_equal(items[39].verdict, DESTINATION_RETRY);
		free(items);
	}
	d = open_destination("http://127.0.0.1:1", "");
	items = deliver_all(d, &r);
	assert_int_equal(r.health, DESTINATION_DOWN);
	free(items);
	destination_cancel(d);
	items = deliver_all(d, &r);
	assert_int_equal(r.health, DESTINATION_CANCELED);
	assert_int_equal(items[0].verdict, DESTINATION_RETRY);
	free(items);
	close_destination(d);
}

static void
test_probe(void **state)
{
	static const struct {
		const char *order;
		enum destination_health health;
	} cases[] = {
		{ "'status': 200, 'body': '[]'", DESTINATION_UP },
		{ "'status': 204", DESTINATION_UP },
		{ "'status': 400", DESTINATION_UP },
		{ "'status': 401", DESTINATION_DOWN },
		{ "'status': 404", DESTINATION_DOWN },
		{ "'status': 500", DESTINATION_FAILED },
		{ "'status': 503", DESTINATION_BUSY },
		{ "'status': 302", DESTINATION_DOWN },
		{ "'status': 200, 'body': '<html>', 'headers': {'Content-Type': "
		  "'text/html; charset=utf-8'}", DESTINATION_DOWN },
	};
	struct destination *d = open_destination(cloud.url, "");
	struct destination_result r;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_FREE char *orders = xasprintf("{'script': [{%s}]}",
		    cases[i].order);

		cloud_order(&cloud, orders);
		destination_probe(d, &r);
		if (r.health != cases[i].health)
			fail_msg("%s: %d %s", cases[i].order, r.health, r.reason);
	}
	assert_int_equal(cloud_count(&cloud, "/studies?limit=1"), 9);
	close_destination(d);
}

static void
test_options_and_limits(void **state)
{
	struct destination *d = open_destination(cloud.url,
	    ", connections: 7, max_request: 3MiB");
	const struct destination_limits *l = destination_limits(d);

	(void)state;
	assert_string_equal(destination_name(d), "cloud");
	assert_string_equal(destination_type(d), "dicomweb");
	assert_int_equal(l->connections, 7);
	assert_int_equal(l->request_bytes, 3 << 20);
	assert_int_equal(l->instance_bytes, 0);
	close_destination(d);
	d = open_destination(cloud.url, ", credential: {type: none}");
	assert_int_equal(destination_limits(d)->connections, 4);
	assert_int_equal(destination_limits(d)->request_bytes, 100 << 20);
	close_destination(d);
}

static void
test_limits_of_a_flavor(void **state)
{
	struct destination *d = open_destination("https://localhost:1/v2",
	    ", flavor: azure, max_request: 10GiB");
	const struct destination_limits *lim = destination_limits(d);

	(void)state;
	assert_true(lim->instance_bytes < UINT64_C(4000000000));
	assert_true(lim->request_bytes <= lim->instance_bytes);
	assert_non_null(strstr(lim->instance_limit_name, "4 GB"));
	close_destination(d);
}

static int
set_up(void **state)
{
	(void)state;
	cloud_start(&cloud, NULL, false);
	return http_global_init();
}

static int
tear_down(void **state)
{
	(void)state;
	forget_objects();
	cloud_stop(&cloud);
	cloud_remove_dir(cloud_certs);
	http_global_cleanup();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_all_stored, forget),
		cmocka_unit_test_setup(test_verdicts_per_instance, forget),
		cmocka_unit_test_setup(test_unmentioned, forget),
		cmocka_unit_test_setup(test_409_is_not_already_there, forget),
		cmocka_unit_test_setup(test_health_by_status, forget),
		cmocka_unit_test_setup(test_health_without_an_answer, forget),
		cmocka_unit_test_setup(test_probe, forget),
		cmocka_unit_test_setup(test_options_and_limits, forget),
		cmocka_unit_test_setup(test_limits_of_a_flavor, forget),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
