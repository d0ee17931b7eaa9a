/* test_upload_line.c - a line that is shared, limited and closed at times, and a
 * destination that confirms later.
 */
#include "tests/unit/upload_rig.h"

#include "gateway/upload/windows_int.h"

/* ---- the windows: what the test says, looked at twenty times a second ---- */

static _Atomic uint64_t window_rate;
static struct config_window some_window;
static void *some_windows[] = { &some_window };

void
windows_at(const struct config_list *windows, uint64_t base, int64_t wall_ms,
    struct window_span *ret)
{
	(void)windows;
	(void)base;
	ret->rate = window_rate;
	ret->until_ms = wall_ms + 50;
}

static int
open_line(void **state)
{
	dest_cloud.windows = (struct config_list){ 1, some_windows };
	window_rate = 0;
	return open_site(state);
}

static int
open_closed_line(void **state)
{
	dest_cloud.windows = (struct config_list){ 1, some_windows };
	window_rate = CONFIG_RATE_NONE;
	return open_site(state);
}

static bool
explains(struct site *s, uint64_t study, const char *words)
{
	char text[512];

	upload_explain(s->up, study, text, sizeof(text));
	return strstr(text, words) != NULL;
}

/* ---- windows ---- */

static void
a_closed_window_lets_nothing_out(void **state)
{
	struct site *s = *state;
	uint64_t id[20];

	assert_int_equal(shown(s).state, UPLOAD_CLOSED);
	store_study(s, "1.20", 20, id);
	assert_true(reaches(s, 20, 0, 0));
	upload_nudge(s->up, NULL);	/* an operator does not open it either */
	(void)poll(NULL, 0, 300);
	assert_int_equal(SEEN(requests), 0);
	assert_int_equal(SEEN(probes), 0);
	assert_int_equal(SEEN(tends), 0);
	assert_non_null(strstr(shown(s).reason, "nothing is sent until "));
	assert_true(explains(s, 1, "cloud: nothing is sent until "));
	assert_true(explains(s, 1, " (windows)"));
	window_rate = 1250000;
	assert_true(reaches(s, 0, 20, 0));
	AWAIT(shown(s).state == UPLOAD_UP);
	assert_int_equal(shown(s).rate, 1250000);
	assert_string_equal(shown(s).reason, "");
	AWAIT(SEEN(tends) > 0);
}

static void
what_is_under_way_when_a_window_closes_ends_and_stays_owed(void **state)
{
	struct site *s = *state;
	uint64_t id[64];
	unsigned requests;

	TELL(conduct, STALLS);
	store_study(s, "1.21", 64, id);
	AWAIT(SEEN(stalled) == 3);
	window_rate = CONFIG_RATE_NONE;
	AWAIT(SEEN(ended) == 3);
	AWAIT(shown(s).in_flight == 0 && shown(s).state == UPLOAD_CLOSED);
	requests = SEEN(requests);
	(void)poll(NULL, 0, 300);
	assert_int_equal(SEEN(requests), requests);
	assert_true(settled(s, 64, 0, 0));
	assert_int_equal(shown(s).failures, 0);	/* nobody's fault */
	TELL(go, true);
	window_rate = 0;
	assert_true(reaches(s, 0, 64, 0));
	assert_int_equal(shown(s).failures, 0);
	assert_int_equal(SEEN(n_taken), 64);
}

static void
down_is_not_probed_while_closed(void **state)
{
	struct site *s = *state;
	uint64_t id[3];
	unsigned probes;

	set_health(DESTINATION_DOWN);
	store_study(s, "1.22", 3, id);
	AWAIT(shown(s).state == UPLOAD_DOWN);
	window_rate = CONFIG_RATE_NONE;
	AWAIT(shown(s).state == UPLOAD_CLOSED);
	probes = SEEN(probes);
	for (unsigned i = 0; i < 10; i++) {
		upload_nudge(s->up, NULL);
		(void)poll(NULL, 0, 20);
	}
	assert_int_equal(SEEN(probes), probes);
	window_rate = 0;
	AWAIT(shown(s).state == UPLOAD_DOWN);
	assert_string_equal(shown(s).reason, "as told");	/* it was not forgotten */
	set_health(DESTINATION_UP);
	upload_nudge(s->up, NULL);
	assert_true(reaches(s, 0, 3, 0));
}

static void
rule_7_a_limited_rate_cuts_before_anything_was_measured(void **state)
{
	struct site *s = *state;

	TELL(health, DESTINATION_DOWN);
	for (unsigned i = 0; i < 12; i++)
		(void)store_from(s, "CT1", SPOOL_NORMAL, "1.23", i, 190000);
	window_rate = 8000;	/* 64 kbit: 800 kB in 5 minutes over one of three */
	AWAIT(shown(s).rate == 8000);
	TELL(largest, 0);
	set_health(DESTINATION_UP);
	for (unsigned i = 0; i < 100 && !settled(s, 0, 12, 0); i++) {
		upload_nudge(s->up, NULL);
		(void)poll(NULL, 0, 30);
	}
	assert_true(settled(s, 0, 12, 0));
	/* Five would be within the bytes of a request. */
	assert_int_equal(SEEN(largest), 4);
}

/* ---- confirmed later ---- */

static void
what_was_sent_is_confirmed_later(void **state)
{
	struct site *s = *state;
	uint64_t id[40];
	unsigned requests;

	TELL(conduct, SENDS);
	store_study(s, "1.24", 40, id);
	AWAIT(explains(s, 1, "handed to cloud, waiting for its confirmation (40 "
	    "images)"));
	assert_true(settled(s, 40, 0, 0));	/* what is sent is still owed */
	assert_false(explains(s, 1, "on its way"));
	requests = SEEN(requests);
	upload_nudge(s->up, NULL);
	(void)poll(NULL, 0, 200);
	assert_int_equal(SEEN(requests), requests);	/* not twice */
	AWAIT(strstr(shown(s).jobs, "imports run") != NULL);
	assert_int_equal(shown(s).delivered, 0);
	assert_int_equal(shown(s).last_success_ms, 0);
	TELL(confirms, DESTINATION_OK);
	upload_nudge(s->up, NULL);
	assert_true(reaches(s, 0, 40, 0));
	AWAIT(shown(s).delivered == 40);
	assert_true(shown(s).last_success_ms > 0);
	assert_true(explains(s, 1, ""));
	AWAIT(strcmp(shown(s).jobs, "0 imports run") == 0);
}

static void
what_is_forgotten_is_sent_again(void **state)
{
	struct site *s = *state;
	uint64_t id[10];

	TELL(conduct, SENDS);
	store_study(s, "1.25", 10, id);
	AWAIT(explains(s, 1, "(10 images)"));
	TELL(conduct, TAKES);
	TELL(forgets, true);
	upload_nudge(s->up, NULL);
	assert_true(reaches(s, 0, 10, 0));
	assert_int_equal(SEEN(n_taken), 10);
	assert_int_equal(shown(s).delivered, 10);
}

static int
see_remote(void *arg, const struct spool_delivery_row *row)
{
	(void)snprintf(arg, 80, "%s %s", spool_delivery_name(row->state),
	    row->remote);
	return 0;
}

static void
rule_5_what_was_refused_later_keeps_its_remote_name(void **state)
{
	struct site *s = *state;
	char text[80] = "";
	uint64_t id[2];

	TELL(conduct, SENDS);
	TELL(confirms, DESTINATION_REFUSED);
	store_study(s, "1.26", 2, id);
	assert_true(reaches(s, 0, 0, 2));
	assert_true(spool_deliveries(s->box.sp, id[1], see_remote, text) >= 0);
	assert_string_equal(text, "refused set 1");
	assert_int_equal(shown(s).delivered, 0);
}

static void
damage_found_later_sets_aside(void **state)
{
	struct site *s = *state;
	struct spool_instance in;
	uint64_t id[1];

	TELL(conduct, SENDS);
	TELL(confirms, DESTINATION_DAMAGED);
	store_study(s, "1.27", 1, id);
	AWAIT(spool_instance_get(s->box.sp, id[0], &in) == 0 && in.damaged);
	assert_true(reaches(s, 0, 0, 1));
}

static void
jobs_that_cannot_be_looked_after_block_nothing(void **state)
{
	struct site *s = *state;
	uint64_t id[5];

	TELL(tend_health, DESTINATION_DOWN);
	upload_nudge(s->up, NULL);
	AWAIT(strcmp(shown(s).alarm, "no jobs today") == 0);
	assert_string_equal(shown(s).jobs, "0 imports run");
	store_study(s, "1.28", 5, id);
	assert_true(reaches(s, 0, 5, 0));
	assert_int_equal(shown(s).state, UPLOAD_UP);
}

/* ---- rule 33 ---- */

static void
rule_33_stat_leaves_while_all_connections_are_busy(void **state)
{
	struct site *s = *state;
	uint64_t id[100];

	TELL(conduct, STALLS);
	store_study(s, "1.30", 100, id);
	AWAIT(SEEN(stalled) == 3);
	(void)store_from(s, "ER1", SPOOL_STAT, "1.31", 1, 500);
	(void)store_from(s, "ER1", SPOOL_STAT, "1.31", 2, 500);
	AWAIT(SEEN(n_taken) == 2);
	assert_true(reaches(s, 100, 2, 0));
	assert_int_equal(SEEN(stalled), 3);	/* and the extra one takes no other */
	TELL(go, true);
	assert_true(reaches(s, 0, 102, 0));
}

static size_t
turn_of(const char *title)
{
	const char *at = strstr(cloud.order, title);

	return at == NULL ? SIZE_MAX : (size_t)(at - cloud.order) / 4;
}

static void
rule_33_an_x_ray_leaves_after_one_request_of_a_ct(void **state)
{
	struct site *s = *state;
	uint64_t id[400];

	TELL(conduct, STALLS);
	store_study(s, "1.32", 400, id);
	AWAIT(SEEN(stalled) == 3);
	(void)store_from(s, "XR1", SPOOL_NORMAL, "1.33", 1, 500);
	AWAIT(explains(s, 2, "on its way"));
	upload_nudge(s->up, NULL);
	(void)poll(NULL, 0, 300);	/* until the uploader has seen it */
	TELL(go, true);
	assert_true(reaches(s, 0, 401, 0));
	assert_in_range(turn_of("XR1 "), 3, 5);	/* three go together */
}

/* More studies than a lane holds at a time, each gone at once. */
static void
many_small_studies_never_wait_for_the_next_look(void **state)
{
	struct site *s = *state;
	int64_t began;

	window_rate = CONFIG_RATE_NONE;
	AWAIT(shown(s).state == UPLOAD_CLOSED);
	for (unsigned i = 0; i < 200; i++) {
		char study[32];

		(void)snprintf(study, sizeof(study), "1.40.%u", i);
		(void)store_from(s, i % 2 == 0 ? "US1" : "US2", SPOOL_NORMAL, study,
		    1, 300);
	}
	assert_true(reaches(s, 200, 0, 0));
	(void)poll(NULL, 0, 300);
	began = clock_mono_ms();
	window_rate = 0;
	assert_true(reaches(s, 0, 200, 0));
	assert_true(clock_mono_ms() - began < 8000);	/* a look comes every ten */
}

static void
rule_33_low_waits_for_everybody_else(void **state)
{
	struct site *s = *state;
	uint64_t id[100];

	window_rate = CONFIG_RATE_NONE;
	AWAIT(shown(s).state == UPLOAD_CLOSED);
	(void)store_from(s, "RES", SPOOL_LOW, "1.34", 1, 500);
	store_study(s, "1.35", 100, id);
	assert_true(reaches(s, 101, 0, 0));
	AWAIT(explains(s, 2, "cloud: nothing"));
	(void)poll(NULL, 0, 300);
	window_rate = 0;
	assert_true(reaches(s, 0, 101, 0));
	assert_in_range(turn_of("RES "), 5, 7);	/* the last ones go together */
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, open_line, close_site)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_closed_window_lets_nothing_out,
		    open_closed_line, close_site),
		T(what_is_under_way_when_a_window_closes_ends_and_stays_owed),
		T(down_is_not_probed_while_closed),
		T(rule_7_a_limited_rate_cuts_before_anything_was_measured),
		T(what_was_sent_is_confirmed_later),
		T(what_is_forgotten_is_sent_again),
		T(rule_5_what_was_refused_later_keeps_its_remote_name),
		T(damage_found_later_sets_aside),
		T(jobs_that_cannot_be_looked_after_block_nothing),
		T(rule_33_stat_leaves_while_all_connections_are_busy),
		T(rule_33_an_x_ray_leaves_after_one_request_of_a_ct),
		T(many_small_studies_never_wait_for_the_next_look),
		T(rule_33_low_waits_for_everybody_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
