/* peers.c - GET /v1/peers and /v1/associations: who may come, who did, and what
 * to write for those who were turned away.
 */
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/admin/admin_int.h"
#include "gateway/base/cleanup.h"

static int
add_caller(void *arg, const struct dimse_caller *c)
{
	struct admin_callers *l = arg;

	if (l->n == DIMSE_CALLERS)
		return 1;
	l->v[l->n++] = *c;
	return 0;
}

static int
compare_last(const void *a, const void *b)
{
	const struct dimse_caller *x = a, *y = b;

	return x->last_ms < y->last_ms ? 1 : x->last_ms > y->last_ms ? -1 : 0;
}

int
admin_callers_get(struct admin *a, struct admin_callers *ret)
{
	struct admin_callers l = { 0 };
	int r;

	l.v = calloc(DIMSE_CALLERS, sizeof(l.v[0]));
	if (l.v == NULL)
		return -ENOMEM;
	r = dimse_callers(a->opt.dimse, add_caller, &l);
	if (r < 0) {
		free(l.v);
		return r;
	}
	qsort(l.v, l.n, sizeof(l.v[0]), compare_last);
	*ret = l;
	return 0;
}

void
admin_callers_free(struct admin_callers *l)
{
	free(l->v);
	*l = (struct admin_callers){ 0 };
}

/* As YAML reads it: bare where that is plain, else quoted, which JSON's form
 * is too. */
static char *
quote_title(const char *title)
{
	size_t bare = strspn(title, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789_");
	AUTO_FREE char *quoted = NULL;
	json_t *text;

	if (title[bare] == '\0' && isupper((unsigned char)title[0]) &&
	    bare > 3)	/* shorter ones may be ON, NO, Y */
		return xstrdup(title);
	text = admin_json_text(title);
	quoted = json_dumps(text, JSON_ENCODE_ANY);
	json_decref(text);
	return quoted != NULL ? TAKE_PTR(quoted) : xstrdup("\"\"");
}

char *
admin_caller_yaml(const struct dimse_caller *c)
{
	AUTO_FREE char *title = quote_title(c->calling);

	return xasprintf("- ae_title: %s\n  address: \"%s\"\n", title, c->address);
}

json_t *
admin_caller_json(const struct dimse_caller *c)
{
	return json_pack("{s:o, s:o, s:s, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:o,"
	    " s:o, s:o}",
	    "calling", admin_json_text(c->calling),
	    "called", admin_json_text(c->called),
	    "address", c->address, "known", c->known,
	    "accepted", admin_json_u64(c->accepted),
	    "refused", admin_json_u64(c->refused),
	    "stored", admin_json_u64(c->stored),
	    "failed", admin_json_u64(c->failed),
	    "bytes", admin_json_u64(c->bytes),
	    "first", admin_json_time(c->first_ms),
	    "last", admin_json_time(c->last_ms),
	    "last_stored", admin_json_time(c->last_stored_ms),
	    "last_refusal", admin_json_text(c->last_refusal));
}

/* ---- peers -------------------------------------------------------------- */

static json_t *
strings_json(const struct config_strings *s)
{
	json_t *list = json_array();

	for (size_t i = 0; i < s->n; i++)
		(void)json_array_append_new(list, admin_json_text(s->v[i]));
	return list;
}

static json_t *
peer_json(const struct config_peer *p)
{
	static const char *const priorities[] = {
		[CONFIG_PRIORITY_LOW] = "low", [CONFIG_PRIORITY_NORMAL] = "normal",
		[CONFIG_PRIORITY_STAT] = "stat",
	};
	json_t *allow = json_array();

	if ((p->allow & CONFIG_ALLOW_ECHO) != 0)
		(void)json_array_append_new(allow, json_string("echo"));
	if ((p->allow & CONFIG_ALLOW_STORE) != 0)
		(void)json_array_append_new(allow, json_string("store"));
	return json_pack("{s:o, s:o, s:o, s:o, s:s, s:b, s:[]}",
	    "ae_title", admin_json_text(p->ae_title),
	    "address", strings_json(&p->address), "allow", allow,
	    "note", admin_json_text(p->note != NULL ? p->note : ""),
	    "priority", priorities[p->priority],
	    "tls_required", p->tls != NULL && p->tls->required, "seen");
}

static void
sort_in(const struct config *cfg, const struct dimse_caller *d, json_t *peers,
    json_t *unknown)
{
	const struct config_peer *p = config_peer_find(cfg, d->calling, d->address);
	json_t *o = admin_caller_json(d);

	for (size_t i = 0; p != NULL && i < cfg->peers.n; i++)
		if (cfg->peers.v[i] == p) {
			(void)json_array_append_new(json_object_get(
			    json_array_get(peers, i), "seen"), o);
			return;
		}
	if (d->calling[0] != '\0') {
		AUTO_FREE char *yaml = admin_caller_yaml(d);

		(void)json_object_set_new(o, "yaml", json_string(yaml));
	}
	(void)json_array_append_new(unknown, o);
}

void
admin_get_peers(struct admin_call *c)
{
	json_t *peers = json_array(), *unknown = json_array();
	struct admin_callers callers = { 0 };
	const struct config *cfg;
	int r = admin_callers_get(c->admin, &callers);

	if (r < 0) {
		json_decref(peers);
		json_decref(unknown);
		admin_fail_errno(c, r, "listing peers");
		return;
	}
	cfg = c->admin->opt.config(c->admin->opt.arg);
	for (size_t i = 0; i < cfg->peers.n; i++)
		(void)json_array_append_new(peers, peer_json(cfg->peers.v[i]));
	for (size_t i = 0; i < callers.n; i++)
		sort_in(cfg, &callers.v[i], peers, unknown);
	admin_reply(c, 200, json_pack("{s:s, s:o, s:o}", "access",
	    cfg->access == CONFIG_ACCESS_OPEN ? "open" : "listed",
	    "peers", peers, "unknown", unknown));
	config_unref(cfg);
	admin_callers_free(&callers);
}

/* ---- associations ------------------------------------------------------- */

static int
add_association(void *arg, const struct dimse_association *d)
{
	json_t *o = json_pack("{s:o, s:o, s:s, s:o, s:o, s:o}",
	    "id", admin_json_u64(d->id), "calling", admin_json_text(d->calling),
	    "address", d->address, "since", admin_json_time(d->since_ms),
	    "stored", admin_json_u64(d->stored), "bytes", admin_json_u64(d->bytes));

	return json_array_append_new(arg, o) < 0 ? -ENOMEM : 0;
}

void
admin_get_associations(struct admin_call *c)
{
	json_t *list = json_array();
	struct assoc_server_stats stats;
	int r = dimse_associations(c->admin->opt.dimse, add_association, list);

	if (r < 0) {
		json_decref(list);
		admin_fail_errno(c, r, "listing associations");
		return;
	}
	assoc_server_stats(c->admin->opt.associations, &stats);
	admin_reply(c, 200, json_pack("{s:o, s:I, s:I}", "associations", list,
	    "waiting", (json_int_t)stats.waiting,
	    "handshaking", (json_int_t)stats.handshaking));
}
