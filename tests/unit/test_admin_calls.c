/* test_admin_calls.c - the calls of the control socket, with stand-ins behind. */
#include "tests/unit/admin_rig.h"

#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static const char *
text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? s : "";
}

static json_int_t
number(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static const char *
my_name(void)
{
	const struct passwd *pw = getpwuid(geteuid());

	return pw != NULL ? pw->pw_name : "";
}

/* ---- looking ------------------------------------------------------------ */

static void
test_pages_of_studies(void **state)
{
	json_t *o = call("/v1/studies?limit=2", NULL, 200), *list;

	(void)state;
	list = json_object_get(o, "studies");
	assert_int_equal(json_array_size(list), 2);
	assert_int_equal(number(o, "next"), 4);
	json_decref(o);
	o = call("/v1/studies?limit=2&before=4", NULL, 200);
	list = json_object_get(o, "studies");
	assert_int_equal(json_array_size(list), 1);
	assert_true(json_is_null(json_object_get(o, "next")));
	assert_string_equal(text(json_array_get(list, 0), "uid"), "1.2.1");
	assert_int_equal(json_array_size(json_object_get(json_array_get(list, 0),
	    "modalities")), 2);
	json_decref(o);
}

/* Not UTF-8, and yet the reply is. */
static void
test_names_become_utf8(void **state)
{
	json_t *o = call("/v1/studies/1.2.1", NULL, 200);

	(void)state;
	assert_string_equal(text(o, "patient_name"), "M\xc3\xbcller^Jane");
	assert_string_equal(text(o, "explanation"), "next try at 14:03");
	assert_int_equal(number(json_array_get(json_object_get(o, "destinations"), 0),
	    "owed"), 3);
	json_decref(o);
}

static void
test_filters_are_checked(void **state)
{
	(void)state;
	expect("/v1/studies?state=let-go&peer=CT1&since=2h&q=acc:A17", NULL, 200);
	assert_int_equal(rig.filter.state, SPOOL_STUDY_LET_GO);
	assert_true(rig.filter.since_ms > 0);
	expect("/v1/studies?state=lost", NULL, 400);
	expect("/v1/studies?since=soon", NULL, 400);
	expect("/v1/studies?limit=0", NULL, 400);
	expect("/v1/studies?limit=1001", NULL, 400);
	expect("/v1/studies?limit=-1", NULL, 400);
	expect("/v1/studies?before=x", NULL, 400);
	expect("/v1/studies?q=id:1", NULL, 400);
}

static void
test_pages_of_instances(void **state)
{
	json_t *o = call("/v1/studies/id:1/instances?limit=3", NULL, 200), *first;

	(void)state;
	assert_int_equal(json_array_size(json_object_get(o, "instances")), 3);
	assert_int_equal(number(o, "next"), 3);
	first = json_array_get(json_object_get(o, "instances"), 0);
	first = json_array_get(json_object_get(first, "deliveries"), 0);
	assert_string_equal(text(first, "state"), "refused");
	assert_string_equal(text(first, "reason"),
	    "the cloud holds other bytes under this UID");
	json_decref(o);
	o = call("/v1/studies/id:1/instances?limit=3&after=3", NULL, 200);
	assert_int_equal(json_array_size(json_object_get(o, "instances")), 2);
	assert_true(json_is_null(json_object_get(o, "next")));
	json_decref(o);
}

static bool
has_warning(const json_t *status, const char *part)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(status, "warnings"), i, v)
		if (strstr(json_string_value(v), part) != NULL)
			return true;
	return false;
}

static void
test_status_says_what_is_wrong(void **state)
{
	json_t *o, *list;

	(void)state;
	rig.caller[0] = (struct dimse_caller){ .calling = "EVIL\x1b[2J",
		.address = "10.9.9.9", .refused = 3, .last_ms = 4102444800000,
		.last_refusal = "not listed" };
	rig.n_callers = 1;
	o = call("/v1/status", NULL, 200);
	assert_true(has_warning(o, "destinations"));	/* none is configured */
	assert_true(has_warning(o, "spool.reserve"));
	assert_true(has_warning(o, "2 images have nowhere to go"));
	assert_true(has_warning(o, "destination cloud: down: no route to host"));
	assert_true(has_warning(o, "destination gone: unknown"));
	assert_string_equal(text(json_object_get(o, "spool"), "state"), "low");
	list = json_object_get(o, "destinations");
	assert_int_equal(json_array_size(list), 2);
	assert_int_equal(number(json_array_get(list, 0), "owed"), 3);
	assert_true(number(json_array_get(list, 0), "oldest_owed_age_s") > 0);
	assert_true(json_is_false(json_object_get(json_array_get(list, 1),
	    "configured")));
	assert_int_equal(json_array_size(json_object_get(o, "refused_callers")), 1);
	json_decref(o);
}

static void
test_rule_17_unknown_callers_come_with_their_entry(void **state)
{
	json_t *o, *unknown;

	(void)state;
	rig.caller[0] = (struct dimse_caller){ .calling = "CT1",
		.address = "10.1.1.1", .known = true, .accepted = 1 };
	rig.caller[1] = (struct dimse_caller){ .calling = "X: [", .refused = 1,
		.address = "192.168.1.1" };
	rig.n_callers = 2;
	o = call("/v1/peers", NULL, 200);
	assert_int_equal(json_array_size(json_object_get(json_array_get(
	    json_object_get(o, "peers"), 0), "seen")), 1);
	unknown = json_array_get(json_object_get(o, "unknown"), 0);
	assert_string_equal(text(unknown, "yaml"),
	    "- ae_title: \"X: [\"\n  address: \"192.168.1.1\"\n");
	json_decref(o);
}

static void
test_the_rest_answers(void **state)
{
	json_t *o;

	(void)state;
	expect("/v1/version", NULL, 200);
	expect("/v1/destinations", NULL, 200);
	o = call("/v1/metrics", NULL, 200);
	assert_true(json_is_integer(json_object_get(o, "causeway_stored_total")));
	json_decref(o);
	o = call("/v1/associations", NULL, 200);
	assert_string_equal(text(json_array_get(json_object_get(o, "associations"), 0),
	    "calling"), "CT1");
	json_decref(o);
}

/* ---- commands ----------------------------------------------------------- */

static void
test_rule_35_names_must_be_unique(void **state)
{
	json_t *o = call("/v1/studies/acc:A17/retry", "{}", 409);

	(void)state;
	assert_int_equal(json_array_size(json_object_get(o, "studies")), 2);
	json_decref(o);
	assert_int_equal(rig.commands, 0);
	expect("/v1/studies/acc:nothing/retry", "{}", 404);
	expect("/v1/studies/id:77/retry", "{}", 404);
	expect("/v1/studies/no%20uid/retry", "{}", 400);
	assert_int_equal(rig.commands, 0);
}

static void
test_commands_carry_the_actor(void **state)
{
	json_t *o;

	(void)state;
	o = call("/v1/studies/acc:B1/retry", "{\"destination\":\"cloud\","
	    "\"level\":\"study\",\"reason\":\"asked\"}", 200);
	assert_int_equal(number(o, "changed"), 7);
	assert_string_equal(text(o, "level"), "study");
	assert_string_equal(text(o, "study"), "1.2.1");
	json_decref(o);
	assert_int_equal(rig.command.verb, SPOOL_RETRY);
	assert_true(rig.command.study == 1);
	assert_string_equal(rig.actor, my_name());
	assert_string_equal(rig.reason, "asked");
	assert_string_equal(rig.destination, "cloud");
	assert_int_equal(rig.nudges, 1);
}

static void
test_commands_on_a_destination(void **state)
{
	(void)state;
	expect("/v1/destinations/cloud/hold", "{}", 200);
	assert_int_equal(rig.command.verb, SPOOL_HOLD);
	assert_true(rig.command.study == 0);
	assert_string_equal(rig.destination, "cloud");
	expect("/v1/destinations/gone/drop", "{\"yes\":true,\"reason\":\"sold\"}",
	    200);
	expect("/v1/destinations/unheard/hold", "{}", 404);
	expect("/v1/destinations/cloud/purge", "{\"yes\":true,\"reason\":\"r\"}",
	    404);
	assert_int_equal(rig.commands, 2);
}

static void
test_destroying_wants_consent(void **state)
{
	static const char *const bodies[] = { "{}", "{\"yes\":true}",
		"{\"reason\":\"r\"}", "{\"yes\":\"true\",\"reason\":\"r\"}",
		"{\"yes\":true,\"reason\":\"\"}", "{\"yes\":false,\"reason\":\"r\"}" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		expect("/v1/studies/1.2.1/drop", bodies[i], 400);
		expect("/v1/studies/1.2.1/purge", bodies[i], 400);
		expect("/v1/destinations/cloud/drop", bodies[i], 400);
	}
	assert_int_equal(rig.commands, 0);
	expect("/v1/studies/1.2.1/purge", "{\"yes\":true,\"reason\":\"r\"}", 200);
	assert_int_equal(rig.command.verb, SPOOL_PURGE);
}

static void
test_what_is_not_meant_is_refused(void **state)
{
	(void)state;
	expect("/v1/studies/1.2.1/retry", "{\"destinaton\":\"cloud\"}", 400);
	expect("/v1/studies/1.2.1/retry", "{\"level\":\"destination\"}", 400);
	expect("/v1/studies/1.2.1/retry", "{\"destination\":\"unheard\"}", 404);
	expect("/v1/studies/1.2.1/hold", "{\"destination\":\"cloud\"}", 400);
	expect("/v1/studies/1.2.1/priority", "{\"priority\":\"urgent\"}", 400);
	expect("/v1/studies/1.2.1/priority", "{}", 400);
	expect("/v1/studies/1.2.1/frobnicate", "{}", 404);
	expect("/v1/studies/1.2.1/retry", "[1]", 400);
	expect("/v1/studies/1.2.1/retry", "{", 400);
	expect("/v1/studies/1.2.1/retry", "{\"yes\":true,\"yes\":false}", 400);
	assert_int_equal(rig.commands, 0);
	expect("/v1/studies/1.2.1/priority", "{\"priority\":\"stat\"}", 200);
	assert_int_equal(rig.command.priority, SPOOL_STAT);
}

static void
test_failures_of_the_spool(void **state)
{
	(void)state;
	rig.command_result = -EIO;
	expect("/v1/studies/1.2.1/retry", "{}", 503);
	rig.command_result = -ENOENT;
	expect("/v1/studies/1.2.1/retry", "{}", 404);
	assert_int_equal(rig.nudges, 0);
}

static void
test_reload(void **state)
{
	json_t *o;

	(void)state;
	expect("/v1/reload", "", 200);
	assert_string_equal(rig.actor, my_name());
	rig.reload_result = -EINVAL;
	o = call("/v1/reload", "", 409);
	assert_int_equal(json_array_size(json_object_get(o, "problems")), 2);
	json_decref(o);
}

/* ---- files -------------------------------------------------------------- */

static void
expect_file(uint64_t length)
{
	struct answer a = { .status = 0 };
	struct dicom_part10 head;
	size_t size = 0;

	rig.length = length;
	ask(&a, "/v1/instances/1/file", NULL);
	assert_int_equal(a.code, CURLE_OK);
	assert_int_equal(a.status, 200);
	assert_int_equal(dicom_part10_parse(a.body.data, a.body.len, &head, &size),
	    0);
	assert_string_equal(head.sop_instance, "1.2.1.1.1");
	assert_int_equal(a.body.len - size, length);
	for (size_t i = 0; i < length; i++)
		assert_true((uint8_t)a.body.data[size + i] == i % 251);
	buf_free(&a.body);
}

static void
test_a_file_is_the_object(void **state)
{
	(void)state;
	expect_file(0);
	expect_file(1000);
	expect_file(256 * 1024);
	expect_file(3 * 256 * 1024 + 17);
	expect("/v1/instances/2/file", NULL, 404);
	expect("/v1/instances/x/file", NULL, 400);
}

static void
test_invariant_11_damage_is_never_whole(void **state)
{
	struct answer a = { .status = 0 };

	(void)state;
	rig.damaged = true;
	rig.length = 1000;
	expect("/v1/instances/1/file", NULL, 500);
	assert_true(rig.set_aside);
	rig.length = 3 * 256 * 1024;
	ask(&a, "/v1/instances/1/file", NULL);
	assert_int_equal(a.code, CURLE_PARTIAL_FILE);
	assert_true(a.body.len < rig.length);
	buf_free(&a.body);
}

/* rig_stop() sees that no reader is left open. */
static void
test_a_client_that_goes_frees_what_it_held(void **state)
{
	struct answer a = { .status = 0, .stop_after = 1 };

	(void)state;
	rig.length = 8u << 20;
	ask(&a, "/v1/instances/1/file", NULL);
	assert_int_equal(a.code, CURLE_WRITE_ERROR);
	expect("/v1/version", NULL, 200);
	buf_free(&a.body);
}

/* ---- HTTP and the socket ------------------------------------------------ */

static void
test_hostile_requests(void **state)
{
	char *body = malloc(200000);

	(void)state;
	assert_non_null(body);
	memset(body, ' ', 200000 - 1);
	body[200000 - 1] = '\0';
	expect("/v1/nothing", NULL, 404);
	expect("/v1/status", "{}", 405);
	expect("/v1/studies/%zz", NULL, 400);
	{
		struct answer a = { .status = 0 };

		ask(&a, "/v1/studies/1.2.1/retry", body);
		assert_true(a.status != 200);
		buf_free(&a.body);
	}
	free(body);
	assert_int_equal(rig.commands, 0);
	expect("/v1/version", NULL, 200);
}

static void
test_the_socket_is_not_for_everybody(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(stat(rig.socket, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
}

static void
test_a_living_socket_is_not_taken(void **state)
{
	struct admin_options opt = rig_options();
	struct buf why = BUF_INIT(4096);
	struct admin *second = NULL;

	(void)state;
	assert_int_equal(admin_new(&opt, &second, &why), -EADDRINUSE);
	assert_non_null(strstr(why.data, "another daemon answers"));
	buf_free(&why);
	expect("/v1/version", NULL, 200);
}

static void
test_a_dead_socket_is_replaced(void **state)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct admin_options opt = rig_options();
	struct buf why = BUF_INIT(4096);
	struct admin *second = NULL;
	char path[96];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/dead", rig.dir);
	(void)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	assert_int_equal(bind(fd, (const struct sockaddr *)&sun, sizeof(sun)), 0);
	(void)close(fd);
	opt.control_socket = path;
	assert_int_equal(admin_new(&opt, &second, &why), 0);
	admin_free(second);
	assert_int_equal(access(path, F_OK), -1);

	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);	/* no socket */
	(void)close(fd);
	assert_int_equal(admin_new(&opt, &second, &why), -EEXIST);
	assert_int_equal(unlink(path), 0);
	buf_free(&why);
}

/* Configurations of the rig have no destinations: routes lead nowhere. */
static void
test_rule_1_which_route_matches(void **state)
{
	json_t *o, *outcome, *routes;

	(void)state;
	config_unref(rig.cfg);
	load_rig_config("routes:\n- {from: CT*, final: true}\n"
	    "- {station: \"ER*\", modality: [SR, PR], final: true}\n- {to: []}\n");
	o = call("/v1/studies/1.2.1/route", NULL, 200);
	assert_string_equal(text(o, "study"), "1.2.1");
	routes = json_object_get(o, "routes");
	assert_int_equal(json_array_size(routes), 3);
	assert_int_equal(number(json_array_get(routes, 1), "line"), 3);
	assert_string_equal(text(json_array_get(routes, 1), "text"),
	    "modality SR, PR; station ER*; final");
	assert_string_equal(text(json_array_get(routes, 2), "text"), "everything");
	outcome = json_array_get(json_object_get(o, "outcomes"), 0);
	assert_int_equal(number(outcome, "instances"), 5);
	assert_int_equal(json_array_size(json_object_get(outcome, "matched")), 1);
	assert_int_equal(json_integer_value(json_array_get(
	    json_object_get(outcome, "matched"), 0)), 2);
	assert_int_equal(json_array_size(json_object_get(outcome, "to")), 0);
	assert_int_equal(number(json_array_get(json_object_get(o, "deliveries"), 0),
	    "delivered"), 4);
	json_decref(o);
	json_decref(call("/v1/studies/1.2.77/route", NULL, 404));
}

static void
keep_warning(void *arg, const char *warning)
{
	(void)snprintf(arg, 240, "%s", warning);
}

static void
test_a_keyword_that_nobody_has_is_named(void **state)
{
	char warning[240] = "";

	(void)state;
	config_unref(rig.cfg);
	load_rig_config("routes:\n- sop_class: [1.2.3, CTImageStorage]\n"
	    "- sop_class: CTImagesStorage\n");
	admin_config_warnings(rig.cfg, keep_warning, warning);
	assert_string_equal(warning, "a route matches nothing: no SOP class has the "
	    "keyword CTImagesStorage; correct sop_class under routes (line 3)");
}

#define CALL(fn) cmocka_unit_test_setup_teardown(fn, rig_start, rig_stop)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CALL(test_pages_of_studies),
		CALL(test_names_become_utf8),
		CALL(test_filters_are_checked),
		CALL(test_pages_of_instances),
		CALL(test_status_says_what_is_wrong),
		CALL(test_rule_17_unknown_callers_come_with_their_entry),
		CALL(test_the_rest_answers),
		CALL(test_rule_35_names_must_be_unique),
		CALL(test_commands_carry_the_actor),
		CALL(test_commands_on_a_destination),
		CALL(test_destroying_wants_consent),
		CALL(test_what_is_not_meant_is_refused),
		CALL(test_failures_of_the_spool),
		CALL(test_reload),
		CALL(test_a_file_is_the_object),
		CALL(test_invariant_11_damage_is_never_whole),
		CALL(test_a_client_that_goes_frees_what_it_held),
		CALL(test_hostile_requests),
		CALL(test_the_socket_is_not_for_everybody),
		CALL(test_a_living_socket_is_not_taken),
		CALL(test_a_dead_socket_is_replaced),
		CALL(test_rule_1_which_route_matches),
		CALL(test_a_keyword_that_nobody_has_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
