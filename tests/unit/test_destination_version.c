/* test_destination_version.c - rules 2 to 4: later versions, re-sends, conflicts
 * and replacing are settled by what the server really holds.
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

static enum destination_verdict
deliver_one(struct destination *d, struct fake_object *o,
    struct destination_result *r, char reason[static 200])
{
	struct destination_item item = { .in = o->in };

	destination_deliver(d, &item, 1, r);
	memcpy(reason, item.reason, 200);
	return item.verdict;
}

static void
test_03_second_version_is_asked_for_first(void **state)
{
	struct destination *d = open_destination(cloud.url, "");
	struct destination_result r;
	char why[200];

	(void)state;
	cloud_order(&cloud, "{'forget': true, 'config': {'duplicates': 'keep'}}");
	assert_int_equal(deliver_one(d, add_object(1, 1), &r, why),
	    DESTINATION_OK);
	/* This server would keep the old bytes and say success. */
	assert_int_equal(deliver_one(d, add_object(1, 2), &r, why),
	    DESTINATION_REFUSED);
	assert_string_equal(why, "the cloud holds other bytes under this UID");
	assert_int_equal(r.health, DESTINATION_UP);
	assert_int_equal(cloud_count(&cloud, "'POST'"), 1);
	close_destination(d);
}

static void
test_03_absent_version_is_sent_and_read_back(void **state)
{
	struct destination *d = open_destination(cloud.url, "");
	struct destination_result r;
	struct fake_object *o = add_object(2, 2);
	char why[200];

	(void)state;
	cloud_order(&cloud, "{'forget': true}");
	assert_int_equal(deliver_one(d, o, &r, why), DESTINATION_OK);
	assert_int_equal(cloud_count(&cloud, "instances/1.2.3.2"), 2);
	/* A success that leaves nothing behind is none. */
	cloud_order(&cloud, "{'forget': true, 'script': [{'method': 'POST',"
	    " 'store': false}]}");
	assert_int_equal(deliver_one(d, o, &r, why), DESTINATION_RETRY);
	SAYS(why, "does not show it");
	/* The same bytes again: nothing is sent. */
	cloud_order(&cloud, "{'forget': true}");
	assert_int_equal(deliver_one(d, o, &r, why), DESTINATION_OK);
	cloud_order(&cloud, "{'script': [{'method': 'POST', 'status': 500}]}");
	assert_int_equal(deliver_one(d, o, &r, why), DESTINATION_OK);
	assert_int_equal(r.bytes, 0);
	close_destination(d);
}

static void
test_02_resend_is_checked(void **state)
{
	struct destination *d = open_destination(cloud.url, "");
	struct destination_result r;
	struct fake_object *o = add_object(3, 1);
	char why[200];

	(void)state;
	o->in.check = true;
	cloud_order(&cloud, "{'forget': true}");
	assert_int_equal(deliver_one(d, o, &r, why), DESTINATION_OK);
	assert_true(r.bytes > 0);
	assert_int_equal(cloud_count(&cloud, "instances/1.2.3.3"), 1);
	assert_int_equal(deliver_one(d, o, &r, why), DESTINATION_OK);
	assert_int_equal(r.bytes, 0);
	close_destination(d);
}

static void
test_04_replace_is_two_steps(void **state)
{
	struct destination *d = open_destination(cloud.url,
	    ", on_conflict: replace");
	struct destination_result r;
	struct fake_object *o;
	char why[200];

	(void)state;
	cloud_order(&cloud, "{'forget': true, 'config': {'duplicates': 'keep'}}");
	assert_int_equal(deliver_one(d, add_object(4, 1), &r, why),
	    DESTINATION_OK);
	o = add_object(4, 2);
	/* The intent must be durable first. */
	fake_spool.replacing_error = -EIO;
	assert_int_equal(deliver_one(d, o, &r, why), DESTINATION_RETRY);
	assert_int_equal(cloud_count(&cloud, "'DELETE'"), 0);
	fake_spool.replacing_error = 0;
	if (deliver_one(d, o, &r, why) != DESTINATION_OK)
		fail_msg("%s", why);
	assert_int_equal(cloud_count(&cloud, "'DELETE'"), 1);
	assert_int_equal(fake_spool.replacing, 2);
	close_destination(d);
}

static void
test_04_interrupted_replacement_resumes(void **state)
{
	struct destination *d = open_destination(cloud.url,
	    ", on_conflict: replace");
	struct destination_result r;
	struct fake_object *o;
	char why[200];

	(void)state;
	cloud_order(&cloud, "{'forget': true}");
	(void)deliver_one(d, add_object(5, 1), &r, why);
	o = add_object(5, 2);
	cloud_order(&cloud, "{'script': [{'method': 'POST', 'status': 503}]}");
	assert_int_equal(deliver_one(d, o, &r, why), DESTINATION_RETRY);
	assert_int_equal(r.health, DESTINATION_BUSY);
	o->in.replacing = true;	/* as the spool would say now */
	cloud_order(&cloud, "{}");
	assert_int_equal(deliver_one(d, o, &r, why), DESTINATION_OK);
	close_destination(d);
}

static void
test_04_server_that_cannot_delete(void **state)
{
	struct destination *d = open_destination(cloud.url,
	    ", on_conflict: replace");
	struct destination_result r;
	char why[200];

	(void)state;
	cloud_order(&cloud, "{'forget': true, 'config': {'delete': false}}");
	(void)deliver_one(d, add_object(6, 1), &r, why);
	assert_int_equal(deliver_one(d, add_object(6, 2), &r, why),
	    DESTINATION_REFUSED);
	SAYS(why, "does not let us delete single instances");
	/* It says that it deleted, and did not. */
	cloud_order(&cloud, "{'script': [{'method': 'DELETE', 'status': 204}]}");
	assert_int_equal(deliver_one(d, add_object(6, 2), &r, why),
	    DESTINATION_REFUSED);
	SAYS(why, "keeps them");
	close_destination(d);
}

static void
test_conflict_of_a_first_version(void **state)
{
	struct destination *d = open_destination(cloud.url, "");
	struct destination_result r;
	char why[200];

	(void)state;
	/* Somebody else's bytes are there: version 1 for us. */
	cloud_order(&cloud, "{'forget': true, 'config': {'duplicates': 'refuse'}}");
	(void)deliver_one(d, add_object(7, 1), &r, why);
	assert_int_equal(deliver_one(d, add_sized(DICOM_UID_EXPLICIT_LE, 7, 1,
	    2000), &r, why), DESTINATION_REFUSED);
	SAYS(why, "other bytes under this UID");
	close_destination(d);
}

static void
test_encodings_of_one_data_set_are_equal(void **state)
{
	static const char *const syntaxes[] = { DICOM_UID_EXPLICIT_LE,
		DICOM_UID_IMPLICIT_LE, DICOM_UID_EXPLICIT_BE };
	struct destination *d = open_destination(cloud.url, ", flavor: orthanc");
	struct destination_result r;
	char why[200];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(syntaxes); i++) {
		unsigned n = 20 + (unsigned)i;

		cloud_order(&cloud, "{'forget': true}");
		(void)deliver_one(d, add_sized(syntaxes[i], n, 1, 100000), &r,
		    why);
		for (size_t k = 0; k < ARRAY_LEN(syntaxes); k++) {
			struct fake_object *o = add_sized(syntaxes[k], n, 1,
			    100000);

			if (i == 2 || k == 2)	/* pixels are swapped: leave */
				continue;
			o->in.check = true;
			if (deliver_one(d, o, &r, why) != DESTINATION_OK)
				fail_msg("%zu %zu: %s", i, k, why);
			assert_int_equal(r.bytes, 0);
		}
	}
	close_destination(d);
}

static void
test_read_back_answers_that_are_none(void **state)
{
	static const char *const orders[] = {
		"'status': 200, 'body': '<html>', 'headers': {'Content-Type': "
		"'text/html'}",
		"'status': 200, 'body': '', 'headers': {'Content-Type': "
		"'application/dicom'}",
		"'status': 200, 'body': 'no DICOM', 'headers': {'Content-Type': "
		"'application/dicom'}",
		"'status': 200, 'body': '--b\\r\\n\\r\\nno end', 'headers': "
		"{'Content-Type': 'multipart/related; boundary=b'}",
		"'status': 200, 'body': '--b--', 'headers': "
		"{'Content-Type': 'multipart/related; boundary=b'}",
		"'status': 500",
		"'cut_reply': 300",
	};
	struct destination *d = open_destination(cloud.url, "");
	struct fake_object *o = add_object(30, 2);
	struct destination_result r;
	char why[200];

	(void)state;
	cloud_order(&cloud, "{'forget': true}");
	assert_int_equal(deliver_one(d, o, &r, why), DESTINATION_OK);
	for (size_t i = 0; i < ARRAY_LEN(orders); i++) {
		AUTO_FREE char *text = xasprintf("{'script': [{'method': 'GET', %s}]"
		    "}", orders[i]);

		cloud_order(&cloud, text);
		if (deliver_one(d, o, &r, why) != DESTINATION_RETRY)
			fail_msg("%s", orders[i]);
		assert_int_equal(r.health, DESTINATION_FAILED);
		assert_true(r.reason[0] != '\0');
	}
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
		cmocka_unit_test_setup(test_03_second_version_is_asked_for_first,
		    forget),
		cmocka_unit_test_setup(
		    test_03_absent_version_is_sent_and_read_back, forget),
		cmocka_unit_test_setup(test_02_resend_is_checked, forget),
		cmocka_unit_test_setup(test_04_replace_is_two_steps, forget),
		cmocka_unit_test_setup(test_04_interrupted_replacement_resumes,
		    forget),
		cmocka_unit_test_setup(test_04_server_that_cannot_delete, forget),
		cmocka_unit_test_setup(test_conflict_of_a_first_version, forget),
		cmocka_unit_test_setup(test_encodings_of_one_data_set_are_equal,
		    forget),
		cmocka_unit_test_setup(test_read_back_answers_that_are_none,
		    forget),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
