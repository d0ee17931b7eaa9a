/* route.c - GET /v1/studies/REF/route: which routes of the configuration in force send
 * a study where, beside what became of it.
 *
 * Images of one study can differ in who sent them and whom they called, so there is
 * one outcome for each pair of titles.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/admin/admin_int.h"
#include "gateway/base/cleanup.h"
#include "gateway/study/study.h"

#define PAIRS_MAX  64	/* of titles; images of more are not shown */
#define TEXT_BYTES 512

struct pair {
	struct spool_origin from;
	uint64_t instances;
};

struct routing {
	const struct config *cfg;
	char	 modalities[256];
	uint64_t pending, unrouted;
	struct study_traits *traits;
	struct pair pair[PAIRS_MAX];
	size_t	 n;
};

/* ---- the routes, in short ------------------------------------------------ */

static void
add_list(struct buf *b, const char *name, const struct config_strings *list)
{
	for (size_t i = 0; i < list->n; i++) {
		if (i == 0)
			(void)buf_printf(b, "%s%s ", b->len > 0 ? "; " : "", name);
		(void)buf_printf(b, "%s%s", i > 0 ? ", " : "", list->v[i]);
	}
}

/* "from CT1, MR*; modality CT; final": what it asks for, without where it sends. */
static json_t *
route_text(const struct config_route *r)
{
	struct buf b = BUF_INIT(TEXT_BYTES);
	json_t *text;

	add_list(&b, "from", &r->from);
	add_list(&b, "called", &r->called);
	add_list(&b, "modality", &r->modality);
	add_list(&b, "sop_class", &r->sop_class);
	add_list(&b, "body_part", &r->body_part);
	add_list(&b, "station", &r->station);
	add_list(&b, "description", &r->description);
	if (b.len == 0)
		(void)buf_add_str(&b, "everything");
	if (r->final)
		(void)buf_add_str(&b, "; final");
	text = admin_json_text(b.data);
	buf_free(&b);
	return text;
}

static json_t *
names_json(const struct config_strings *list)
{
	json_t *names = json_array();

	for (size_t i = 0; i < list->n; i++)
		(void)json_array_append_new(names, admin_json_text(list->v[i]));
	return names;
}

static json_t *
routes_json(const struct config *cfg)
{
	json_t *list = json_array();

	for (size_t i = 0; i < cfg->routes.n; i++) {
		const struct config_route *r = cfg->routes.v[i];

		(void)json_array_append_new(list, json_pack("{s:I, s:I, s:o, s:b,"
		    " s:o}", "number", (json_int_t)i + 1,
		    "line", (json_int_t)r->line, "text", route_text(r),
		    "final", r->final, "to", names_json(&r->to)));
	}
	return list;
}

/* ---- the study ----------------------------------------------------------- */

static int
copy_study(void *arg, const struct spool_study *s)
{
	struct routing *g = arg;

	(void)snprintf(g->modalities, sizeof(g->modalities), "%s", s->modalities);
	g->pending = s->pending;
	g->unrouted = s->unrouted;
	return 0;
}

static int
count_instance(void *arg, const struct spool_instance *in)
{
	struct routing *g = arg;
	size_t i;

	for (i = 0; i < g->n; i++) {
		if (strcmp(g->pair[i].from.calling, in->origin.calling) == 0 &&
		    strcmp(g->pair[i].from.called, in->origin.called) == 0)
			break;
	}
	if (i == PAIRS_MAX)
		return 0;
	if (i == g->n)
		g->pair[g->n++].from = in->origin;
	g->pair[i].instances++;
	return 0;
}

static json_t *
outcome_json(const struct routing *g, const struct pair *p)
{
	const struct config *cfg = g->cfg;
	AUTO_FREE bool *to = xcalloc(cfg->destinations.n + 1, sizeof(*to));
	AUTO_FREE bool *matched = xcalloc(cfg->routes.n + 1, sizeof(*matched));
	struct study_facts f = { p->from.calling, p->from.called, g->modalities,
		g->traits };
	json_t *routes = json_array(), *names = json_array();

	(void)study_route(cfg, &f, to, matched);
	for (size_t i = 0; i < cfg->routes.n; i++) {
		if (matched[i])
			(void)json_array_append_new(routes,
			    json_integer((json_int_t)i + 1));
	}
	for (size_t d = 0; d < cfg->destinations.n; d++) {
		const struct config_destination *dest = cfg->destinations.v[d];

		if (to[d])
			(void)json_array_append_new(names,
			    admin_json_text(dest->name));
	}
	return json_pack("{s:o, s:o, s:o, s:o, s:o}",
	    "calling", admin_json_text(p->from.calling),
	    "called", admin_json_text(p->from.called),
	    "instances", admin_json_u64(p->instances), "matched", routes,
	    "to", names);
}

static int
add_progress(void *arg, const struct spool_progress *p)
{
	json_t *o = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
	    "destination", admin_json_text(p->destination),
	    "owed", admin_json_u64(p->owed), "sent", admin_json_u64(p->sent),
	    "delivered", admin_json_u64(p->delivered),
	    "warned", admin_json_u64(p->warned),
	    "refused", admin_json_u64(p->refused),
	    "let_go", admin_json_u64(p->let_go));

	return json_array_append_new(arg, o) < 0 ? -ENOMEM : 0;
}

static int
explore(struct spool *sp, uint64_t study, struct routing *g, json_t *deliveries)
{
	int r = spool_study_by_id(sp, study, copy_study, g);

	if (r >= 0)
		r = upload_study_traits(sp, g->cfg, study, &g->traits);
	if (r >= 0)
		r = spool_instances(sp, study, 0, count_instance, g);
	if (r >= 0)
		r = spool_study_progress(sp, study, add_progress, deliveries);
	return r;
}

static json_t *
reply_json(const struct routing *g, const char *uid, json_t *deliveries)
{
	json_t *outcomes = json_array();

	for (size_t i = 0; i < g->n; i++)
		(void)json_array_append_new(outcomes, outcome_json(g, &g->pair[i]));
	return json_pack("{s:o, s:o, s:o, s:O, s:o, s:o}",
	    "study", admin_json_text(uid), "routes", routes_json(g->cfg),
	    "outcomes", outcomes, "deliveries", deliveries,
	    "pending", admin_json_u64(g->pending),
	    "unrouted", admin_json_u64(g->unrouted));
}

void
admin_get_route(struct admin_call *c)
{
	const struct admin_options *opt = &c->admin->opt;
	AUTO_FREE struct routing *g = xcalloc(1, sizeof(*g));
	char uid[DICOM_UID_MAX + 1];
	json_t *deliveries;
	uint64_t study;
	int r;

	if (!admin_find_study(c, c->part[0], &study, uid))
		return;
	g->cfg = opt->config(opt->arg);
	deliveries = json_array();
	r = explore(opt->spool, study, g, deliveries);
	if (r < 0)
		admin_fail_errno(c, r, "looking at the study");
	else
		admin_reply(c, 200, reply_json(g, uid, deliveries));
	json_decref(deliveries);
	study_traits_free(g->traits);
	config_unref(g->cfg);
}
