/* verify.c - causewayctl verify, reconcile, test, doctor: what a destination says when asked.
 * Exit status 0 means that all is there, passed, or well.
 */
#include <stdio.h>
#include <string.h>

#include "gateway/base/cleanup.h"
#include "gateway/ctl/ctl_int.h"

DEFINE_CLEANUP(struct ctl_table, ctl_table_free)
#define AUTO_TABLE AUTO(cleanup_ctl_table_free)

static void
print_line(struct ctl *c, const char *text)
{
	struct buf b = BUF_INIT(64 << 10);

	ctl_escape(&b, text);
	(void)fprintf(c->out, "%s\n", b.len > 0 ? b.data : "");
	buf_free(&b);
}

/* ---- verify -------------------------------------------------------------- */

static void
add_part(struct buf *b, uint64_t n, const char *what)
{
	if (n > 0)
		(void)buf_printf(b, "%s%llu %s", b->len > 0 ? ", " : "",
		    (unsigned long long)n, what);
}

static void
print_destination(struct ctl *c, const json_t *d)
{
	struct buf b = BUF_INIT(8192), line = BUF_INIT(16384);
	const json_t *v;
	size_t i;

	add_part(&b, ctl_u64(d, "missing"), "missing there");
	add_part(&b, ctl_u64(d, "different"), "other bytes there");
	add_part(&b, ctl_u64(d, "unknown"), "not to be told");
	add_part(&b, ctl_u64(d, "waiting"), "not delivered yet");
	add_part(&b, ctl_u64(d, "refused"), "set aside");
	add_part(&b, ctl_u64(d, "let_go"), "let go of");
	(void)buf_printf(&line, "%s: %s, %llu of %llu images are there%s%s",
	    ctl_str(d, "name"), ctl_bool(d, "complete") ? "complete" :
	    "NOT complete", (unsigned long long)ctl_u64(d, "found"),
	    (unsigned long long)ctl_u64(d, "expected"), b.len > 0 ? "; " : "",
	    b.len > 0 ? b.data : "");
	print_line(c, line.data);
	if (ctl_str(d, "reason")[0] != '\0')
		ctl_wrap(c->out, "", 4, ctl_str(d, "reason"), 0);
	json_array_foreach(json_object_get(d, "instances"), i, v) {
		buf_clear(&line);
		(void)buf_printf(&line, "    %s %s%s%s", ctl_str(v, "presence"),
		    ctl_str(v, "sop_instance"),
		    ctl_str(v, "reason")[0] != '\0' ? ": " : "",
		    ctl_str(v, "reason"));
		print_line(c, line.data);
	}
	buf_free(&b);
	buf_free(&line);
}

static void
print_verified(struct ctl *c, const json_t *o)
{
	const json_t *list = json_object_get(o, "destinations"), *d;
	size_t i;

	json_array_foreach(list, i, d)
		print_destination(c, d);
	if (json_array_size(list) == 0)
		(void)fprintf(c->out, "Nothing of it is to go anywhere yet.\n");
}

int
ctl_verify(struct ctl *c)
{
	struct buf path = BUF_INIT(16 << 10);
	json_t *body = json_object(), *o;
	bool complete;
	int r;

	if (c->to != NULL)
		(void)json_object_set_new(body, "destination", json_string(c->to));
	(void)json_object_set_new(body, "bytes", json_boolean(c->bytes));
	ctl_path(&path, "/v1/studies/%s/verify", c->words[0]);
	r = ctl_call(c, "POST", path.data, body, &o);
	buf_free(&path);
	if (r != CTL_DONE)
		return r;
	complete = ctl_bool(o, "complete");
	if (c->json)
		ctl_print_json(c, o);
	else
		print_verified(c, o);
	json_decref(o);
	return complete ? CTL_DONE : CTL_FAILED;
}

/* ---- reconcile ----------------------------------------------------------- */

static void
add_row(struct ctl_table *t, const json_t *r)
{
	static const char *const numbers[] = { "studies", "received", "delivered",
		"found", "missing", "waiting", "refused" };

	ctl_table_add(t, ctl_str(r, "peer"));
	ctl_table_add(t, ctl_str(r, "destination"));
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		ctl_table_add_u64(t, ctl_u64(r, numbers[i]));
	if (ctl_str(r, "reason")[0] != '\0')
		ctl_table_note(t, ctl_str(r, "reason"));
}

static void
print_reconciled(struct ctl *c, const json_t *o)
{
	static const struct ctl_column columns[] = {
		{ .title = "PEER" }, { .title = "DESTINATION" },
		{ .title = "STUDIES", .right = true },
		{ .title = "RECEIVED", .right = true },
		{ .title = "DELIVERED", .right = true },
		{ .title = "SHOWN", .right = true },
		{ .title = "MISSING", .right = true },
		{ .title = "WAITING", .right = true },
		{ .title = "SET ASIDE", .right = true },
	};
	struct ctl_table *t AUTO_TABLE = ctl_table_new(columns, ARRAY_LEN(columns));
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(o, "rows"), i, v)
		add_row(t, v);
	ctl_table_print(t, c->out, 0);
	if (ctl_table_rows(t) == 0)
		(void)fprintf(c->out, "Nothing has come since then.\n");
	json_array_foreach(json_object_get(o, "studies_missing"), i, v) {
		if (i == 0)
			(void)fprintf(c->out, "\nStudies that miss something:\n");
		print_line(c, json_is_string(v) ? json_string_value(v) : "");
	}
}

int
ctl_reconcile(struct ctl *c)
{
	json_t *body = json_object(), *o;
	bool good;

	if (c->since != NULL)
		(void)json_object_set_new(body, "since", json_string(c->since));
	if (ctl_call(c, "POST", "/v1/reconciliation", body, &o) != CTL_DONE)
		return CTL_FAILED;
	good = ctl_u64(o, "missing") == 0;
	if (c->json)
		ctl_print_json(c, o);
	else
		print_reconciled(c, o);
	json_decref(o);
	return good ? CTL_DONE : CTL_FAILED;
}

/* ---- test ---------------------------------------------------------------- */

static void
print_steps(struct ctl *c, const json_t *o)
{
	static const struct ctl_column columns[] = {
		{ .title = "STEP" }, { .title = "RESULT" },
		{ .title = "TIME", .right = true },
	};
	struct ctl_table *t AUTO_TABLE = ctl_table_new(columns, ARRAY_LEN(columns));
	const json_t *s;
	char time[32];
	size_t i;

	json_array_foreach(json_object_get(o, "steps"), i, s) {
		(void)snprintf(time, sizeof(time), "%llu ms",
		    (unsigned long long)ctl_u64(s, "ms"));
		ctl_table_add(t, ctl_str(s, "step"));
		ctl_table_add(t, ctl_str(s, "result"));
		ctl_table_add(t, time);
		ctl_table_note(t, ctl_str(s, "text"));
	}
	ctl_table_print(t, c->out, 0);
	(void)fprintf(c->out, "\n%s\n", ctl_bool(o, "passed") ?
	    "The destination works." : "The destination does NOT work yet.");
}

int
ctl_test(struct ctl *c)
{
	struct buf path = BUF_INIT(16 << 10);
	json_t *o;
	bool passed;
	int r;

	ctl_path(&path, "/v1/destinations/%s/test", c->words[0]);
	r = ctl_call(c, "POST", path.data, json_object(), &o);
	buf_free(&path);
	if (r != CTL_DONE)
		return r;
	passed = ctl_bool(o, "passed");
	if (c->json)
		ctl_print_json(c, o);
	else
		print_steps(c, o);
	json_decref(o);
	return passed ? CTL_DONE : CTL_FAILED;
}

/* ---- doctor -------------------------------------------------------------- */

static void
print_findings(struct ctl *c, const json_t *o)
{
	static const struct ctl_column columns[] = {
		{ .title = "WHAT" }, { .title = "RESULT" },
	};
	struct ctl_table *t AUTO_TABLE = ctl_table_new(columns, ARRAY_LEN(columns));
	const json_t *f;
	size_t i;

	json_array_foreach(json_object_get(o, "findings"), i, f) {
		ctl_table_add(t, ctl_str(f, "what"));
		ctl_table_add(t, ctl_str(f, "result"));
		ctl_table_note(t, ctl_str(f, "text"));
	}
	ctl_table_print(t, c->out, 0);
}

int
ctl_doctor(struct ctl *c)
{
	json_t *o;
	bool well;

	if (ctl_call(c, "GET", "/v1/doctor", NULL, &o) != CTL_DONE)
		return CTL_FAILED;
	well = ctl_bool(o, "well");
	if (c->json)
		ctl_print_json(c, o);
	else
		print_findings(c, o);
	json_decref(o);
	return well ? CTL_DONE : CTL_FAILED;
}
