/* status.c - causewayctl status, destinations, associations. */
#include <string.h>

#include "gateway/base/cleanup.h"
#include "gateway/ctl/ctl_int.h"

DEFINE_CLEANUP(struct ctl_table, ctl_table_free)
#define AUTO_TABLE AUTO(cleanup_ctl_table_free)

static void
print_text(FILE *out, const char *before, const char *text, const char *after)
{
	struct buf b = BUF_INIT(64 << 10);

	ctl_escape(&b, text);
	(void)fprintf(out, "%s%s%s", before, b.len > 0 ? b.data : "", after);
	buf_free(&b);
}

/* ---- destinations ------------------------------------------------------- */

static const struct ctl_column destination_columns[] = {
	{ .title = "DESTINATION" }, { .title = "STATE" },
	{ .title = "OWED", .right = true }, { .title = "SIZE", .right = true },
	{ .title = "OLDEST", .right = true },
	{ .title = "SET ASIDE", .right = true },
	{ .title = "DELIVERED", .right = true }, { .title = "RATE", .right = true },
};

static void
note_destination(struct ctl_table *t, const json_t *d)
{
	char since[32], next[32];
	AUTO_FREE char *text = NULL;

	if (ctl_bool(d, "held"))
		ctl_table_note(t, "held by an operator; causewayctl release "
		    "--destination ends that");
	if (ctl_str(d, "alarm")[0] != '\0')
		ctl_table_note(t, ctl_str(d, "alarm"));
	if (ctl_str(d, "jobs")[0] != '\0')
		ctl_table_note(t, ctl_str(d, "jobs"));
	if (ctl_str(d, "reason")[0] == '\0')
		return;
	ctl_table_note(t, ctl_str(d, "reason"));
	if (ctl_str(d, "since")[0] == '\0' || ctl_str(d, "next_try")[0] == '\0')
		return;
	text = xasprintf("since %s, next try at %s",
	    ctl_time(ctl_str(d, "since"), since, sizeof(since)),
	    ctl_time(ctl_str(d, "next_try"), next, sizeof(next)));
	ctl_table_note(t, text);
}

static void
add_destination(struct ctl_table *t, const json_t *d)
{
	uint64_t owed = ctl_u64(d, "owed"), rate = ctl_u64(d, "bytes_per_second");
	char text[48];
	AUTO_FREE char *per_second = NULL;

	ctl_table_add(t, ctl_str(d, "name"));
	ctl_table_add(t, ctl_str(d, "state"));
	ctl_table_add_u64(t, owed);
	ctl_table_add(t, owed == 0 ? "-" :
	    ctl_size(ctl_u64(d, "owed_bytes"), text, sizeof(text)));
	ctl_table_add(t, owed == 0 ? "-" :
	    ctl_duration(ctl_u64(d, "oldest_owed_age_s"), text, sizeof(text)));
	ctl_table_add_u64(t, ctl_u64(d, "refused"));
	ctl_table_add_u64(t, ctl_u64(d, "delivered"));
	if (rate > 0)
		per_second = xasprintf("%s/s", ctl_size(rate, text, sizeof(text)));
	ctl_table_add(t, per_second != NULL ? per_second : "-");
	note_destination(t, d);
}

void
ctl_print_destinations(struct ctl *c, const json_t *list)
{
	struct ctl_table *t AUTO_TABLE = ctl_table_new(destination_columns,
	    ARRAY_LEN(destination_columns));
	const json_t *d;
	size_t i;

	json_array_foreach(list, i, d)
		add_destination(t, d);
	ctl_table_print(t, c->out, 0);
}

int
ctl_destinations(struct ctl *c)
{
	json_t *o, *list;

	if (ctl_call(c, "GET", "/v1/destinations", NULL, &o) != CTL_DONE)
		return CTL_FAILED;
	list = json_object_get(o, "destinations");
	if (c->json)
		ctl_print_json(c, o);
	else if (json_array_size(list) == 0)
		(void)fprintf(c->out, "There are no destinations.\n");
	else
		ctl_print_destinations(c, list);
	json_decref(o);
	return CTL_DONE;
}

/* ---- status ------------------------------------------------------------- */

static void
print_warnings(struct ctl *c, const json_t *list)
{
	const json_t *v;
	size_t i;

	json_array_foreach(list, i, v)
		if (json_is_string(v))
			ctl_wrap(c->out, "!", 2, json_string_value(v), 0);
	if (json_array_size(list) > 0)
		(void)fputc('\n', c->out);
}

static void
print_spool(struct ctl *c, const json_t *s)
{
	char free_text[32], size_text[32], kept_text[32];

	ctl_wrap(c->out, "Spool", 14, ctl_str(s, "words"), 0);
	(void)fprintf(c->out, "Disk          %s of %s free, %s of images here\n",
	    ctl_size(ctl_u64(s, "disk_free"), free_text, sizeof(free_text)),
	    ctl_size(ctl_u64(s, "disk_size"), size_text, sizeof(size_text)),
	    ctl_size(ctl_u64(s, "kept_bytes"), kept_text, sizeof(kept_text)));
	(void)fprintf(c->out, "Images        %llu, studies %llu",
	    (unsigned long long)ctl_u64(s, "instances"),
	    (unsigned long long)ctl_u64(s, "studies"));
	if (ctl_u64(s, "pending") > 0)
		(void)fprintf(c->out, "; images of studies not complete yet: %llu",
		    (unsigned long long)ctl_u64(s, "pending"));
	(void)fputc('\n', c->out);
	if (ctl_bool(s, "rebuilding"))
		(void)fprintf(c->out, "Rebuilding    %llu images found so far\n",
		    (unsigned long long)ctl_u64(s, "rebuilt"));
}

static void
print_refused(struct ctl *c, const json_t *list)
{
	static const struct ctl_column columns[] = {
		{ .title = "TURNED AWAY" }, { .title = "CALLED" },
		{ .title = "FROM" }, { .title = "TIMES", .right = true },
		{ .title = "LAST" },
	};
	struct ctl_table *t AUTO_TABLE = ctl_table_new(columns, ARRAY_LEN(columns));
	const json_t *o;
	char last[32];
	size_t i;

	json_array_foreach(list, i, o) {
		ctl_table_add(t, ctl_str(o, "calling"));
		ctl_table_add(t, ctl_str(o, "called"));
		ctl_table_add(t, ctl_str(o, "address"));
		ctl_table_add_u64(t, ctl_u64(o, "refused"));
		ctl_table_add(t, ctl_time(ctl_str(o, "last"), last, sizeof(last)));
		if (ctl_str(o, "last_refusal")[0] != '\0')
			ctl_table_note(t, ctl_str(o, "last_refusal"));
	}
	if (ctl_table_rows(t) > 0)
		(void)fputc('\n', c->out);
	ctl_table_print(t, c->out, 0);
}

static void
print_status(struct ctl *c, const json_t *o)
{
	const json_t *as = json_object_get(o, "associations");
	const json_t *list = json_object_get(o, "destinations");
	char up[48];

	print_text(c->out, "causewayd ", ctl_str(o, "version"), ", ");
	(void)fprintf(c->out, "running for %s\n\n",
	    ctl_duration(ctl_u64(o, "uptime_s"), up, sizeof(up)));
	print_warnings(c, json_object_get(o, "warnings"));
	print_spool(c, json_object_get(o, "spool"));
	(void)fprintf(c->out, "Associations  %llu of at most %llu; %llu connected "
	    "and silent\n", (unsigned long long)ctl_u64(as, "running"),
	    (unsigned long long)ctl_u64(as, "max"),
	    (unsigned long long)ctl_u64(as, "waiting"));
	if (json_array_size(list) > 0)
		(void)fputc('\n', c->out);
	ctl_print_destinations(c, list);
	print_refused(c, json_object_get(o, "refused_callers"));
}

int
ctl_status(struct ctl *c)
{
	json_t *o;

	if (ctl_call(c, "GET", "/v1/status", NULL, &o) != CTL_DONE)
		return CTL_FAILED;
	if (c->json)
		ctl_print_json(c, o);
	else
		print_status(c, o);
	json_decref(o);
	return CTL_DONE;
}

/* ---- associations ------------------------------------------------------- */

static void
print_associations(struct ctl *c, const json_t *list)
{
	static const struct ctl_column columns[] = {
		{ .title = "NUMBER", .right = true }, { .title = "CALLING" },
		{ .title = "FROM" }, { .title = "SINCE" },
		{ .title = "IMAGES", .right = true },
		{ .title = "SIZE", .right = true },
	};
	struct ctl_table *t AUTO_TABLE = ctl_table_new(columns, ARRAY_LEN(columns));
	const json_t *o;
	char text[32];
	size_t i;

	json_array_foreach(list, i, o) {
		ctl_table_add_u64(t, ctl_u64(o, "id"));
		ctl_table_add(t, ctl_str(o, "calling"));
		ctl_table_add(t, ctl_str(o, "address"));
		ctl_table_add(t, ctl_time(ctl_str(o, "since"), text, sizeof(text)));
		ctl_table_add_u64(t, ctl_u64(o, "stored"));
		ctl_table_add(t, ctl_size(ctl_u64(o, "bytes"), text, sizeof(text)));
	}
	ctl_table_print(t, c->out, 0);
}

int
ctl_associations(struct ctl *c)
{
	json_t *o, *list;

	if (ctl_call(c, "GET", "/v1/associations", NULL, &o) != CTL_DONE)
		return CTL_FAILED;
	list = json_object_get(o, "associations");
	if (c->json)
		ctl_print_json(c, o);
	else if (json_array_size(list) == 0)
		(void)fprintf(c->out, "Nobody is connected.\n");
	else
		print_associations(c, list);
	json_decref(o);
	return CTL_DONE;
}
