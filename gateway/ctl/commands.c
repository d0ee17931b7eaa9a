/* commands.c - causewayctl retry, resend, accept, hold, release, priority, drop, purge:
 * one call each, and a sentence that says on which level it acted and on how much.
 */
#include <string.h>

#include "gateway/base/cleanup.h"
#include "gateway/ctl/ctl_int.h"

static int
set_text(json_t *body, const char *key, const char *value)
{
	json_t *v = value != NULL ? json_string(value) : NULL;

	return value == NULL ? 0 : json_object_set_new(body, key, v);
}

static json_t *
make_body(struct ctl *c, const char *priority)
{
	json_t *body = json_object();

	if (set_text(body, "destination", c->to) < 0 ||
	    set_text(body, "reason", c->reason) < 0 ||
	    set_text(body, "priority", priority) < 0 ||
	    (c->yes && json_object_set_new(body, "yes", json_true()) < 0)) {
		json_decref(body);
		return NULL;
	}
	return body;
}

/* done: "%llu deliveries are owed again", or a sentence without a number. */
static void
print_done(struct ctl *c, const json_t *reply, const char *what, bool counted)
{
	struct buf text = BUF_INIT(8192), shown = BUF_INIT(32768);
	const char *destination = ctl_str(reply, "destination");

	if (strcmp(ctl_str(reply, "level"), "study") == 0)
		(void)buf_printf(&text, "study %s", ctl_str(reply, "study"));
	if (destination[0] != '\0')
		(void)buf_printf(&text, "%s%s %s", text.len > 0 ? ", " : "",
		    "destination", destination);
	(void)buf_add_str(&text, ": ");
	if (counted)
		(void)buf_printf(&text, "%llu ",
		    (unsigned long long)ctl_u64(reply, "changed"));
	(void)buf_add_str(&text, what);
	ctl_escape(&shown, text.data);
	(void)fprintf(c->out, "%s\n", shown.data);
	buf_free(&text);
	buf_free(&shown);
}

static int
run_verb(struct ctl *c, const char *verb, const char *priority, const char *what,
    bool counted)
{
	struct buf path = BUF_INIT(16 << 10);
	json_t *body, *reply;
	int r;

	if ((c->n_words == 0) == (c->destination == NULL))
		return ctl_usage(c, "%s wants a STUDY or --destination", verb);
	if (c->destination != NULL && c->to != NULL)
		return ctl_usage(c, "--to goes with a STUDY");
	body = make_body(c, priority);
	if (body == NULL)
		return ctl_usage(c, "what was written is not UTF-8");
	if (c->destination != NULL)
		ctl_path(&path, "/v1/destinations/%s/%s", c->destination, verb);
	else
		ctl_path(&path, "/v1/studies/%s/%s", c->words[0], verb);
	r = ctl_call(c, "POST", path.data, body, &reply);
	buf_free(&path);
	if (r != CTL_DONE)
		return r;
	if (c->json)
		ctl_print_json(c, reply);
	else
		print_done(c, reply, what, counted);
	json_decref(reply);
	return CTL_DONE;
}

int
ctl_retry(struct ctl *c)
{
	return run_verb(c, "retry", NULL,
	    "deliveries that were set aside are tried again", true);
}

int
ctl_resend(struct ctl *c)
{
	return run_verb(c, "resend", NULL, "deliveries are owed again", true);
}

int
ctl_accept(struct ctl *c)
{
	return run_verb(c, "accept", NULL,
	    "images that the cloud keeps apart count as delivered", true);
}

int
ctl_hold(struct ctl *c)
{
	return run_verb(c, "hold", NULL, "held; nothing of it is sent until release",
	    false);
}

int
ctl_release(struct ctl *c)
{
	return run_verb(c, "release", NULL, "released", false);
}

int
ctl_priority(struct ctl *c)
{
	static const char *const priorities[] = { "low", "normal", "stat" };

	for (size_t i = 0; i < ARRAY_LEN(priorities); i++)
		if (strcmp(priorities[i], c->words[1]) == 0) {
			c->n_words = 1;
			return run_verb(c, "priority", priorities[i],
			    "its priority is changed", false);
		}
	return ctl_usage(c, "%s: a priority is low, normal or stat", c->words[1]);
}

int
ctl_drop(struct ctl *c)
{
	return run_verb(c, "drop", NULL,
	    "deliveries are let go of; they will not be sent", true);
}

int
ctl_purge(struct ctl *c)
{
	return run_verb(c, "purge", NULL, "images are destroyed on this machine",
	    true);
}
