/* gateway.c - causewayctl peers, reload, version. */
#include "gateway/base/cleanup.h"
#include "gateway/ctl/ctl_int.h"

DEFINE_CLEANUP(struct ctl_table, ctl_table_free)
#define AUTO_TABLE AUTO(cleanup_ctl_table_free)

/* ---- peers -------------------------------------------------------------- */

static void
add_seen(struct ctl_table *t, const char *title, const json_t *o, const char *note)
{
	char last[32];

	ctl_table_add(t, title);
	ctl_table_add(t, o != NULL ? ctl_str(o, "address") : "");
	if (o == NULL) {
		for (int i = 0; i < 4; i++)
			ctl_table_add(t, "-");
	} else {
		ctl_table_add_u64(t, ctl_u64(o, "accepted"));
		ctl_table_add_u64(t, ctl_u64(o, "refused"));
		ctl_table_add_u64(t, ctl_u64(o, "stored"));
		ctl_table_add(t, ctl_time(ctl_str(o, "last"), last, sizeof(last)));
	}
	if (note[0] != '\0')
		ctl_table_note(t, note);
	if (o != NULL && ctl_str(o, "last_refusal")[0] != '\0')
		ctl_table_note(t, ctl_str(o, "last_refusal"));
}

static void
add_peer(struct ctl_table *t, const json_t *p)
{
	const json_t *seen = json_object_get(p, "seen"), *o;
	size_t i;

	if (json_array_size(seen) == 0)
		add_seen(t, ctl_str(p, "ae_title"), NULL, ctl_str(p, "note"));
	json_array_foreach(seen, i, o)
		add_seen(t, ctl_str(o, "calling"), o,
		    i == 0 ? ctl_str(p, "note") : "");
}

static void
print_yaml(FILE *out, const char *text)
{
	struct buf line = BUF_INIT(4096);

	for (; *text != '\0'; text++) {
		if (*text != '\n') {
			(void)buf_add_char(&line, *text);
			continue;
		}
		struct buf shown = BUF_INIT(4 * 4096);

		ctl_escape(&shown, line.len > 0 ? line.data : "");
		(void)fprintf(out, "  %s\n", shown.len > 0 ? shown.data : "");
		buf_free(&shown);
		buf_clear(&line);
	}
	buf_free(&line);
}

static void
print_unknown(struct ctl *c, const json_t *list)
{
	const json_t *o;
	size_t i;

	(void)fprintf(c->out, "\nTo let in those that are not listed, add under "
	    "peers: what follows, and\ncall causewayctl reload.\n\n");
	json_array_foreach(list, i, o)
		print_yaml(c->out, ctl_str(o, "yaml"));
}

int
ctl_peers(struct ctl *c)
{
	static const struct ctl_column columns[] = {
		{ .title = "PEER" }, { .title = "FROM" },
		{ .title = "ACCEPTED", .right = true },
		{ .title = "TURNED AWAY", .right = true },
		{ .title = "IMAGES", .right = true }, { .title = "LAST" },
	};
	struct ctl_table *t AUTO_TABLE = NULL;
	json_t *o, *unknown;
	const json_t *p;
	size_t i;

	if (ctl_call(c, "GET", "/v1/peers", NULL, &o) != CTL_DONE)
		return CTL_FAILED;
	if (c->json) {
		ctl_print_json(c, o);
		json_decref(o);
		return CTL_DONE;
	}
	t = ctl_table_new(columns, ARRAY_LEN(columns));
	json_array_foreach(json_object_get(o, "peers"), i, p)
		add_peer(t, p);
	unknown = json_object_get(o, "unknown");
	json_array_foreach(unknown, i, p)
		add_seen(t, ctl_str(p, "calling"), p, "not listed in peers");
	ctl_table_print(t, c->out, 0);
	if (ctl_table_rows(t) == 0)
		(void)fprintf(c->out, "No peer is listed, and none has called.\n");
	if (json_array_size(unknown) > 0)
		print_unknown(c, unknown);
	json_decref(o);
	return CTL_DONE;
}

/* ---- reload, version ---------------------------------------------------- */

int
ctl_reload(struct ctl *c)
{
	const json_t *v;
	json_t *o;
	size_t i;

	if (ctl_call(c, "POST", "/v1/reload", NULL, &o) != CTL_DONE)
		return CTL_FAILED;
	if (c->json)
		ctl_print_json(c, o);
	else {
		(void)fprintf(c->out, "The configuration is in force.\n");
		json_array_foreach(json_object_get(o, "notes"), i, v) {
			struct buf b = BUF_INIT(64 << 10);

			ctl_escape(&b, json_is_string(v) ? json_string_value(v) :
			    "");
			(void)fprintf(c->out, "  %s\n", b.len > 0 ? b.data : "");
			buf_free(&b);
		}
	}
	json_decref(o);
	return CTL_DONE;
}

int
ctl_version(struct ctl *c)
{
	json_t *o;

	if (!c->json)
		(void)fprintf(c->out, "causewayctl %s\n", CAUSEWAY_VERSION);
	if (ctl_call(c, "GET", "/v1/version", NULL, &o) != CTL_DONE)
		return CTL_FAILED;
	if (c->json) {
		(void)json_object_set_new(o, "causewayctl",
		    json_string(CAUSEWAY_VERSION));
		ctl_print_json(c, o);
	} else
		(void)fprintf(c->out, "causewayd %s\n", ctl_str(o, "version"));
	json_decref(o);
	return CTL_DONE;
}
