/* studies.c - causewayctl studies and show. */
#include <string.h>

#include "gateway/base/cleanup.h"
#include "gateway/ctl/ctl_int.h"

#define LIST_LIMIT 50	/* without -n */
#define PAGE	   1000

DEFINE_CLEANUP(struct ctl_table, ctl_table_free)
#define AUTO_TABLE AUTO(cleanup_ctl_table_free)

/* ---- the list ----------------------------------------------------------- */

static void
add_option(struct buf *b, const char *name, const char *value)
{
	if (value == NULL)
		return;
	(void)buf_printf(b, "&%s=", name);
	ctl_path(b, "%s", value);
}

static int
get_page(struct ctl *c, unsigned limit, uint64_t before, json_t **ret)
{
	struct buf path = BUF_INIT(16 << 10);
	int r;

	(void)buf_printf(&path, "/v1/studies?limit=%u&before=%llu",
	    limit < PAGE ? limit : PAGE, (unsigned long long)before);
	add_option(&path, "state", c->state);
	add_option(&path, "peer", c->peer);
	add_option(&path, "since", c->since);
	r = ctl_call(c, "GET", path.data, NULL, ret);
	buf_free(&path);
	return r;
}

/* Page after page, until there are enough. */
static int
get_studies(struct ctl *c, unsigned limit, json_t *list, bool *ret_more)
{
	uint64_t before = 0;

	*ret_more = true;
	while (json_array_size(list) < limit && *ret_more) {
		json_t *page = NULL, *studies;
		int r = get_page(c, limit - (unsigned)json_array_size(list), before,
		    &page);

		if (r != CTL_DONE)
			return r;
		studies = json_object_get(page, "studies");
		before = ctl_u64(page, "next");
		*ret_more = before != 0;
		(void)json_array_extend(list, studies);
		json_decref(page);
	}
	return CTL_DONE;
}

static char *
join_modalities(const json_t *s, const char *separator)
{
	struct buf b = BUF_INIT(4096);
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(s, "modalities"), i, v)
		(void)buf_printf(&b, "%s%s", i > 0 ? separator : "",
		    json_is_string(v) ? json_string_value(v) : "");
	return buf_take(&b);
}

static void
add_study(struct ctl_table *t, const json_t *s)
{
	AUTO_FREE char *modalities = join_modalities(s, " ");
	AUTO_FREE char *ref = xasprintf("id:%llu",
	    (unsigned long long)ctl_u64(s, "id"));
	char text[32];

	ctl_table_add(t, ref);
	ctl_time(ctl_str(s, "last_arrival"), text, sizeof(text));
	if (strlen(text) > 16)
		text[16] = '\0';	/* without the seconds */
	ctl_table_add(t, text);
	ctl_table_add(t, ctl_state_words(ctl_str(s, "state")));
	ctl_table_add(t, ctl_str(s, "calling"));
	ctl_table_add(t, modalities);
	ctl_table_add_u64(t, ctl_u64(s, "instances"));
	ctl_table_add(t, ctl_size(ctl_u64(s, "bytes"), text, sizeof(text)));
	ctl_table_add(t, ctl_str(s, "accession"));
	ctl_table_add(t, ctl_str(s, "patient_name"));
}

static void
print_studies(struct ctl *c, const json_t *list, bool more)
{
	static const struct ctl_column columns[] = {
		{ .title = "STUDY" }, { .title = "RECEIVED" }, { .title = "STATE" },
		{ .title = "FROM", .shrink = true },
		{ .title = "MOD", .shrink = true },
		{ .title = "IMAGES", .right = true },
		{ .title = "SIZE", .right = true },
		{ .title = "ACCESSION", .shrink = true },
		{ .title = "PATIENT", .shrink = true },
	};
	struct ctl_table *t AUTO_TABLE = ctl_table_new(columns, ARRAY_LEN(columns));
	const json_t *s;
	size_t i;

	json_array_foreach(list, i, s)
		add_study(t, s);
	ctl_table_print(t, c->out, 0);
	if (ctl_table_rows(t) == 0)
		(void)fprintf(c->out, "There are no such studies.\n");
	else if (more)
		(void)fprintf(c->out, "There are more: -n shows them.\n");
}

int
ctl_studies(struct ctl *c)
{
	json_t *list = json_array();
	bool more;
	int r = get_studies(c, c->limit != 0 ? c->limit : LIST_LIMIT, list, &more);

	if (r == CTL_DONE && c->json) {
		json_t *o = json_pack("{s:O, s:b}", "studies", list, "more", more);

		ctl_print_json(c, o);
		json_decref(o);
	} else if (r == CTL_DONE)
		print_studies(c, list, more);
	json_decref(list);
	return r;
}

/* ---- one ---------------------------------------------------------------- */

static void
print_field(FILE *out, const char *name, const char *text)
{
	if (text[0] != '\0')
		ctl_wrap(out, name, 12, text, 0);
}

static void
print_patient(FILE *out, const json_t *s)
{
	AUTO_FREE char *text = xasprintf("%s (%s)", ctl_str(s, "patient_name"),
	    ctl_str(s, "patient_id"));

	print_field(out, "Patient", text);
}

static void
print_origin(FILE *out, const json_t *s)
{
	char first[32], last[32], size[32];
	AUTO_FREE char *received = xasprintf("%s to %s, from %s (%s) to %s",
	    ctl_time(ctl_str(s, "first_arrival"), first, sizeof(first)),
	    ctl_time(ctl_str(s, "last_arrival"), last, sizeof(last)),
	    ctl_str(s, "calling"), ctl_str(s, "address"), ctl_str(s, "called"));
	AUTO_FREE char *content = xasprintf("%llu image%s in %llu series, %s; %llu "
	    "still here", (unsigned long long)ctl_u64(s, "instances"),
	    ctl_u64(s, "instances") == 1 ? "" : "s",
	    (unsigned long long)ctl_u64(s, "series"),
	    ctl_size(ctl_u64(s, "bytes"), size, sizeof(size)),
	    (unsigned long long)ctl_u64(s, "kept"));

	print_field(out, "Received", received);
	print_field(out, "Content", content);
}

static void
print_state(FILE *out, const json_t *s)
{
	const char *explanation = ctl_str(s, "explanation");
	AUTO_FREE char *text = xasprintf("%s%s%s",
	    ctl_state_words(ctl_str(s, "state")),
	    explanation[0] != '\0' ? ": " : "", explanation);

	print_field(out, "State", text);
	if (strcmp(ctl_str(s, "priority"), "normal") != 0)
		print_field(out, "Priority", ctl_str(s, "priority"));
	if (ctl_bool(s, "held"))
		print_field(out, "Held", "by an operator; causewayctl release ends "
		    "that");
	if (ctl_u64(s, "unrouted") > 0) {
		AUTO_FREE char *n = xasprintf("%llu images match no route",
		    (unsigned long long)ctl_u64(s, "unrouted"));

		print_field(out, "Unrouted", n);
	}
}

static void
print_progress(struct ctl *c, const json_t *list)
{
	static const struct ctl_column columns[] = {
		{ .title = "DESTINATION" }, { .title = "DELIVERED", .right = true },
		{ .title = "WARNED", .right = true },
		{ .title = "WAITING", .right = true },
		{ .title = "SET ASIDE", .right = true },
		{ .title = "LET GO", .right = true },
	};
	static const char *const keys[] = { "delivered", "warned", "owed", "refused",
		"let_go" };
	struct ctl_table *t AUTO_TABLE = ctl_table_new(columns, ARRAY_LEN(columns));
	const json_t *p;
	size_t i;

	json_array_foreach(list, i, p) {
		ctl_table_add(t, ctl_str(p, "destination"));
		for (size_t k = 0; k < ARRAY_LEN(keys); k++)
			ctl_table_add_u64(t, ctl_u64(p, keys[k]));
		if (ctl_str(p, "last_reason")[0] != '\0')
			ctl_table_note(t, ctl_str(p, "last_reason"));
	}
	if (ctl_table_rows(t) > 0)
		(void)fputc('\n', c->out);
	ctl_table_print(t, c->out, 0);
}

static void
print_study(struct ctl *c, const json_t *s)
{
	AUTO_FREE char *modalities = join_modalities(s, ", ");
	AUTO_FREE char *number = xasprintf("id:%llu",
	    (unsigned long long)ctl_u64(s, "id"));

	print_field(c->out, "Study", ctl_str(s, "uid"));
	print_field(c->out, "", number);
	print_patient(c->out, s);
	print_field(c->out, "Accession", ctl_str(s, "accession"));
	print_field(c->out, "Date", ctl_str(s, "study_date"));
	print_field(c->out, "Modality", modalities);
	print_field(c->out, "Description", ctl_str(s, "description"));
	print_origin(c->out, s);
	print_state(c->out, s);
	print_progress(c, json_object_get(s, "destinations"));
}

int
ctl_show(struct ctl *c)
{
	struct buf path = BUF_INIT(16 << 10);
	json_t *s;
	int r;

	ctl_path(&path, "/v1/studies/%s", c->words[0]);
	r = ctl_call(c, "GET", path.data, NULL, &s);
	buf_free(&path);
	if (r != CTL_DONE)
		return r;
	if (c->json)
		ctl_print_json(c, s);
	else
		print_study(c, s);
	json_decref(s);
	return CTL_DONE;
}
