/* test.c - POST /v1/destinations/NAME/test: going live without a patient (rule 38).
 *
 * A marked object is received like any other, but owed to that destination alone;
 * it is delivered by the very threads that will deliver patients' images, read
 * back, taken away again where the destination can, and destroyed here. Each step
 * tells how long it took, the first that fails what to do.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/admin/admin_int.h"
#include "gateway/base/cleanup.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/destination/destination.h"
#include "gateway/dicom/test_object.h"

#define WAIT_MS	  (10 * 60 * 1000)	/* an import takes minutes */
#define LOOK_MS	  100
#define OBJECT_MAX (64u << 10)

DEFINE_CLEANUP(struct spool_source, spool_source_close)
DEFINE_CLEANUP(struct spool_put, spool_put_free)
DEFINE_CLEANUP(struct dicom_head_reader, dicom_head_reader_free)

struct test {
	char	 name[ADMIN_TEXT_MAX];	/* the destination */
	uint64_t wait_ms;
};

struct run {
	struct admin_errand *errand;
	struct spool *spool;
	const struct test *test;
	struct dicom_test_object object;
	uint64_t id;
	struct spool_instance in;
	json_t	*steps;
	int64_t	 step_ms;	/* when it began */
	bool	 passed;
};

static void
add_step(struct run *run, const char *name, const char *result, const char *text)
{
	int64_t now = clock_mono_ms();

	(void)json_array_append_new(run->steps, json_pack("{s:s, s:s, s:I, s:o}",
	    "step", name, "result", result, "ms",
	    (json_int_t)(now - run->step_ms), "text", admin_json_text(text)));
	run->step_ms = now;
}

static bool
fail_step(struct run *run, const char *name, const char *text)
{
	add_step(run, name, "failed", text);
	return false;
}

/* ---- receiving it -------------------------------------------------------- */

static int
put_object(struct run *run, const struct buf *data, const struct dicom_head *head)
{
	struct spool_origin origin = { .calling = ADMIN_TEST_TITLE,
		.called = ADMIN_TEST_TITLE, .address = ADMIN_TEST_ADDRESS };
	struct spool_put_head about = { .priority = SPOOL_STAT,
		.to = run->test->name };
	AUTO(cleanup_spool_source_close) struct spool_source *src =
	    spool_source_open(run->spool, &origin);
	AUTO(cleanup_spool_put_free) struct spool_put *put = NULL;
	struct spool_receipt receipt;
	int r;

	(void)snprintf(about.sop_class, sizeof(about.sop_class), "%s",
	    DICOM_TEST_OBJECT_CLASS);
	(void)snprintf(about.sop_instance, sizeof(about.sop_instance), "%s",
	    run->object.instance);
	(void)snprintf(about.syntax, sizeof(about.syntax), "%s",
	    DICOM_UID_EXPLICIT_LE);
	r = spool_put_begin(src, &about, &put);
	if (r < 0)
		return r;
	spool_put_study(put, run->object.study);
	(void)spool_put_write(put, data->data, data->len);
	spool_put_describe(put, head);
	r = spool_commit(&put, &receipt);
	if (r == 0)
		run->id = receipt.id;
	return r;
}

static bool
receive(struct run *run)
{
	struct buf data = BUF_INIT(OBJECT_MAX);
	AUTO(cleanup_dicom_head_reader_free) struct dicom_head_reader *head =
	    dicom_head_reader_new(dicom_syntax_find(DICOM_UID_EXPLICIT_LE));
	int r;

	r = dicom_test_object_make(clock_wall_ms(), &run->object, &data);
	if (r == 0) {
		(void)dicom_head_reader_feed(head, data.data, data.len);
		r = put_object(run, &data, dicom_head_reader_head(head));
	}
	if (r == 0)
		r = spool_instance_get(run->spool, run->id, &run->in);
	buf_free(&data);
	if (r < 0)
		return fail_step(run, "receive", r == -ENOSPC ?
		    "the spool's disk is full: see causewayctl status" :
		    strerror(-r));
	add_step(run, "receive", "ok", "a test object is in the spool");
	return true;
}

/* ---- delivering it ------------------------------------------------------- */

struct state {
	const char *name;
	int	    delivery;	/* enum spool_delivery, -1: no row */
	char	    reason[640];
};

static int
take_state(void *arg, const struct spool_delivery_row *row)
{
	struct state *s = arg;

	if (strcmp(row->destination, s->name) != 0)
		return 0;
	s->delivery = row->state;
	(void)snprintf(s->reason, sizeof(s->reason), "%s", row->reason);
	return 1;
}

/* Nothing fails by itself: what is in the way stands in the destination's state. */
static int
take_obstacle(void *arg, const struct upload_destination *d)
{
	struct state *s = arg;

	if (strcmp(d->name, s->name) != 0)
		return 0;
	if (d->alarm[0] != '\0')
		(void)snprintf(s->reason, sizeof(s->reason), "%s", d->alarm);
	else if (d->state != UPLOAD_UP || d->reason[0] != '\0')
		(void)snprintf(s->reason, sizeof(s->reason), "%s: %s",
		    upload_state_name(d->state), d->reason);
	return 1;
}

static bool
deliver(struct run *run)
{
	const struct admin_options *opt = admin_errand_options(run->errand);
	int64_t until = clock_mono_ms() + (int64_t)run->test->wait_ms;
	struct state s = { .name = run->test->name, .delivery = -1 };

	upload_nudge(opt->upload, run->test->name);
	do {
		(void)spool_deliveries(run->spool, run->id, take_state, &s);
		if (s.delivery != SPOOL_OWED && s.delivery != SPOOL_SENT)
			break;
	} while (clock_mono_ms() < until &&
	    admin_errand_wait(run->errand, LOOK_MS));
	switch (s.delivery) {
	case SPOOL_DELIVERED:
		add_step(run, "deliver", "ok", "the destination confirmed it");
		return true;
	case SPOOL_WARNED:
		add_step(run, "deliver", "warning", s.reason);
		return true;
	case SPOOL_OWED:
	case SPOOL_SENT:
		(void)upload_destinations(opt->upload, take_obstacle, &s);
		return fail_step(run, "deliver", s.reason[0] != '\0' ? s.reason :
		    "not confirmed in this time; causewayctl status tells more");
	default:
		return fail_step(run, "deliver", s.reason[0] != '\0' ? s.reason :
		    "it was let go of");
	}
}

/* ---- looking at it, and taking it away ----------------------------------- */

static bool
judge_look(struct run *run, int r, const struct destination_look *l,
    const struct destination_result *result)
{
	if (r == -ENOTSUP) {
		add_step(run, "read back", "skipped", "this kind of destination "
		    "cannot be asked");
		return true;
	}
	switch (l->presence) {
	case DESTINATION_EQUAL:
		add_step(run, "read back", "ok", "it has the very bytes");
		return true;
	case DESTINATION_THERE:
		add_step(run, "read back", "ok", "it shows the object");
		return true;
	case DESTINATION_DIFFERENT:
		return fail_step(run, "read back", "what it gives back decodes to "
		    "something else");
	case DESTINATION_MISSING:
		return fail_step(run, "read back", "it confirmed the object and does "
		    "not show it");
	case DESTINATION_UNKNOWN:
		break;
	}
	return fail_step(run, "read back", result->reason[0] != '\0' ?
	    result->reason : l->reason[0] != '\0' ? l->reason :
	    "it did not say whether it has the object");
}

static bool
read_back(struct run *run, struct destination *d)
{
	struct destination_look look = { .in = run->in };
	struct destination_result result;
	int r = destination_verify(d, &look, 1, true, &result);

	return judge_look(run, r, &look, &result);
}

static void
take_away(struct run *run, struct destination *d)
{
	struct destination_result result;
	char text[640];
	int r = destination_remove(d, &run->in, &result);

	if (r == 0) {
		add_step(run, "remove", "ok", "the test object is deleted there");
		return;
	}
	(void)snprintf(text, sizeof(text), "%s%sdelete the test study %s there by "
	    "hand", result.reason, result.reason[0] != '\0' ? "; " : "",
	    run->object.study);
	add_step(run, "remove", r == -ENOTSUP ? "skipped" : "warning", text);
}

/* Whatever became of it over there, nothing of it stays here, nor stays owed. */
static void
clean_up(struct run *run)
{
	struct spool_command purge = { .verb = SPOOL_PURGE, .study = run->in.study,
		.actor = admin_errand_actor(run->errand), .reason = "a test object" };
	uint64_t n;
	int r;

	if (run->id == 0)
		return;
	r = spool_command(run->spool, &purge, &n);
	add_step(run, "clean up", r == 0 ? "ok" : "warning",
	    r == 0 ? "the test object is gone here" : strerror(-r));
}

static json_t *
run_test(struct admin_errand *e, void *arg, int *ret_status)
{
	const struct admin_options *opt = admin_errand_options(e);
	const struct test *t = arg;
	struct run run = { .errand = e, .spool = opt->spool, .test = t,
		.steps = json_array(), .step_ms = clock_mono_ms() };
	struct destination *d;

	(void)ret_status;
	if (receive(&run) && deliver(&run)) {
		/* Not before: a reload may replace it meanwhile. */
		d = upload_borrow(opt->upload, t->name);
		run.passed = d != NULL && read_back(&run, d);
		if (d != NULL)
			take_away(&run, d);
		upload_return(opt->upload, d);
	}
	clean_up(&run);
	log_info("command", LOG_STR("verb", "test"),
	    LOG_STR("actor", admin_errand_actor(e)),
	    LOG_STR("destination", t->name),
	    LOG_STR("result", run.passed ? "passed" : "failed"));
	return json_pack("{s:o, s:b, s:o}", "destination", admin_json_text(t->name),
	    "passed", run.passed, "steps", run.steps);
}

static bool
is_configured(struct admin_call *c, const char *name)
{
	const struct config *cfg = c->admin->opt.config(c->admin->opt.arg);
	bool found = config_destination_find(cfg, name) != NULL;

	config_unref(cfg);
	if (!found)
		admin_fail(c, 404, "there is no destination %s", name);
	return found;
}

void
admin_post_test(struct admin_call *c)
{
	json_t *wait = json_object_get(c->body, "wait_s");
	struct test *t;

	if (wait != NULL && (!json_is_integer(wait) ||
		json_integer_value(wait) < 1 || json_integer_value(wait) > 86400)) {
		admin_fail(c, 400, "wait_s: 1 to 86400 seconds");
		return;
	}
	if (!is_configured(c, c->part[0]))
		return;
	t = xcalloc(1, sizeof(*t));
	(void)snprintf(t->name, sizeof(t->name), "%s", c->part[0]);
	t->wait_ms = wait != NULL ? (uint64_t)json_integer_value(wait) * 1000 :
	    WAIT_MS;
	admin_errand_run(c, run_test, NULL, t);
}
