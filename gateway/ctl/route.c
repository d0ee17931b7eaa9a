/* route.c - causewayctl route: which route sent a study where. */
#include <stdio.h>
#include <string.h>

#include "gateway/base/cleanup.h"
#include "gateway/ctl/ctl_int.h"

DEFINE_CLEANUP(struct ctl_table, ctl_table_free)
#define AUTO_TABLE AUTO(cleanup_ctl_table_free)

#define LINE_BYTES  (16 << 10)
#define COUNT_BYTES 40

static void
print_line(struct ctl *c, const struct buf *line)
{
	struct buf b = BUF_INIT(4 * LINE_BYTES);

	ctl_escape(&b, line->len > 0 ? line->data : "");
	(void)fprintf(c->out, "%s\n", b.len > 0 ? b.data : "");
	buf_free(&b);
}

static const char *
images(uint64_t n, char text[COUNT_BYTES])
{
	(void)snprintf(text, COUNT_BYTES, "%llu %s", (unsigned long long)n,
	    n == 1 ? "image" : "images");
	return text;
}

static void
add_names(struct buf *b, const json_t *names)
{
	const json_t *v;
	size_t i;

	json_array_foreach(names, i, v)
		(void)buf_printf(b, "%s%s", i > 0 ? ", " : "",
		    json_is_string(v) ? json_string_value(v) : "");
	if (json_array_size(names) == 0)
		(void)buf_add_str(b, "nowhere");
}

static void
print_rule(struct ctl *c, const json_t *rules, json_int_t number)
{
	const json_t *r = json_array_get(rules, (size_t)number - 1);
	struct buf b = BUF_INIT(LINE_BYTES);

	(void)buf_printf(&b, "  route %lld (line %llu): %s -> ", (long long)number,
	    (unsigned long long)ctl_u64(r, "line"), ctl_str(r, "text"));
	add_names(&b, json_object_get(r, "to"));
	print_line(c, &b);
	buf_free(&b);
}

static void
print_outcome(struct ctl *c, const json_t *rules, const json_t *o)
{
	const json_t *matched = json_object_get(o, "matched"), *v;
	struct buf b = BUF_INIT(LINE_BYTES);
	char count[COUNT_BYTES];
	size_t i;

	(void)buf_printf(&b, "%s from %s to %s -> ",
	    images(ctl_u64(o, "instances"), count), ctl_str(o, "calling"),
	    ctl_str(o, "called"));
	add_names(&b, json_object_get(o, "to"));
	print_line(c, &b);
	json_array_foreach(matched, i, v)
		print_rule(c, rules, json_integer_value(v));
	if (json_array_size(rules) == 0)
		(void)fprintf(c->out, "  there are no routes: everything goes to "
		    "every destination\n");
	else if (json_array_size(matched) == 0)
		(void)fprintf(c->out, "  no route matches\n");
	buf_free(&b);
}

static bool
goes_to(const json_t *outcomes, const char *name)
{
	const json_t *o, *v;
	size_t i, k;

	json_array_foreach(outcomes, i, o) {
		json_array_foreach(json_object_get(o, "to"), k, v) {
			if (json_is_string(v) &&
			    strcmp(json_string_value(v), name) == 0)
				return true;
		}
	}
	return false;
}

static void
print_deliveries(struct ctl *c, const json_t *o)
{
	static const struct ctl_column columns[] = {
		{ .title = "DESTINATION" }, { .title = "DELIVERED", .right = true },
		{ .title = "OWED", .right = true },
		{ .title = "UNCONFIRMED", .right = true },
		{ .title = "SET ASIDE", .right = true },
		{ .title = "LET GO", .right = true },
	};
	struct ctl_table *t AUTO_TABLE = ctl_table_new(columns, ARRAY_LEN(columns));
	const json_t *outcomes = json_object_get(o, "outcomes"), *d;
	size_t i;

	json_array_foreach(json_object_get(o, "deliveries"), i, d) {
		ctl_table_add(t, ctl_str(d, "destination"));
		ctl_table_add_u64(t, ctl_u64(d, "delivered") + ctl_u64(d, "warned"));
		ctl_table_add_u64(t, ctl_u64(d, "owed") - ctl_u64(d, "sent"));
		ctl_table_add_u64(t, ctl_u64(d, "sent"));
		ctl_table_add_u64(t, ctl_u64(d, "refused"));
		ctl_table_add_u64(t, ctl_u64(d, "let_go"));
		if (!goes_to(outcomes, ctl_str(d, "destination")))
			ctl_table_note(t, "not by the routes in force: by earlier ones, "
			    "or by a command");
	}
	if (ctl_table_rows(t) == 0)
		return;
	(void)fprintf(c->out, "\nWhat became of it:\n");
	ctl_table_print(t, c->out, 0);
}

static void
print_route(struct ctl *c, const json_t *o)
{
	const json_t *rules = json_object_get(o, "routes"), *v;
	char count[COUNT_BYTES];
	size_t i;

	json_array_foreach(json_object_get(o, "outcomes"), i, v)
		print_outcome(c, rules, v);
	if (ctl_u64(o, "pending") > 0)
		(void)fprintf(c->out, "%s not routed yet: the study is not "
		    "complete\n", images(ctl_u64(o, "pending"), count));
	if (ctl_u64(o, "unrouted") > 0)
		(void)fprintf(c->out, "%s held here, because no route matched\n",
		    images(ctl_u64(o, "unrouted"), count));
	print_deliveries(c, o);
}

int
ctl_route(struct ctl *c)
{
	struct buf path = BUF_INIT(LINE_BYTES);
	json_t *o;
	int r;

	ctl_path(&path, "/v1/studies/%s/route", c->words[0]);
	r = ctl_call(c, "GET", path.data, NULL, &o);
	buf_free(&path);
	if (r != CTL_DONE)
		return r;
	if (c->json)
		ctl_print_json(c, o);
	else
		print_route(c, o);
	json_decref(o);
	return CTL_DONE;
}
