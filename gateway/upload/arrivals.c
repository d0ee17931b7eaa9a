/* arrivals.c - incomplete studies become complete, and their instances get their
 * destinations (rules 1 and 11). What arrives after that completes and is routed
 * by itself: it goes out as an addition.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/study/study.h"
#include "gateway/upload/upload_int.h"

#define ROUTE_SLICE 256

/* ---- which are complete ---- */

struct study_list {
	const struct upload *u;
	int64_t now_ms;		/* CLOCK_BOOTTIME */
	struct waiting_study *v;
	size_t n, max;
};

static int64_t
completes_at(const struct upload *u, const struct spool_open_study *s)
{
	const struct config_peer *peer = config_peer_find(u->cfg, s->origin.calling,
	    s->origin.address);
	struct study_arrivals a = { s->first_ms, s->last_ms, s->sources,
		s->priority == SPOOL_STAT };
	struct study_patience p = {
		(int64_t)u->cfg->study->complete_after_ms,
		(int64_t)u->cfg->study->complete_at_most_ms,
		u->cfg->study->start_early,
	};

	if (peer != NULL && peer->complete_after_ms != 0)
		p.after_ms = (int64_t)peer->complete_after_ms;
	return study_complete_at(&a, &p);
}

static int
collect_study(void *arg, const struct spool_open_study *s)
{
	struct study_list *l = arg;

	if (l->n == l->max) {
		l->max = l->max * 2 + 16;
		l->v = xreallocarray(l->v, l->max, sizeof(*l->v));
	}
	l->v[l->n++] = (struct waiting_study){ s->study, completes_at(l->u, s) };
	return 0;
}

/* ---- routing one ---- */

struct study_name {
	char uid[DICOM_UID_MAX + 1];
	char modalities[256];
	struct study_traits *traits;
};

static int
copy_names(void *arg, const struct spool_study *s)
{
	struct study_name *n = arg;

	(void)snprintf(n->uid, sizeof(n->uid), "%s", s->uid);
	(void)snprintf(n->modalities, sizeof(n->modalities), "%s", s->modalities);
	return 0;
}

struct slice {
	struct spool_instance in[ROUTE_SLICE];
	size_t n;
};

static int
collect_instance(void *arg, const struct spool_instance *in)
{
	struct slice *s = arg;

	s->in[s->n++] = *in;
	return s->n == ROUTE_SLICE;
}

struct routed {
	uint64_t instances, unrouted;
};

/* Destinations of one instance as an array of names, at most one per configured
 * destination; names is the caller's. */
static size_t
choose(const struct upload *u, const struct spool_instance *in,
    const struct study_name *st, bool *marks, const char **names)
{
	struct study_facts f = { in->origin.calling, in->origin.called,
		st->modalities, st->traits };
	size_t n = 0;

	(void)study_route(u->cfg, &f, marks, NULL);
	for (size_t d = 0; d < u->cfg->destinations.n; d++) {
		const struct config_destination *dest = u->cfg->destinations.v[d];

		if (marks[d])
			names[n++] = dest->name;
	}
	return n;
}

static int
route_slice(struct upload *u, const struct slice *s, const struct study_name *st,
    struct routed *sum)
{
	size_t width = u->cfg->destinations.n + 1;
	AUTO_FREE const char **names = xcalloc(ROUTE_SLICE * width, sizeof(*names));
	AUTO_FREE struct spool_routing *r = xcalloc(ROUTE_SLICE, sizeof(*r));
	AUTO_FREE bool *marks = xcalloc(width, sizeof(*marks));

	for (size_t i = 0; i < s->n; i++) {
		r[i].id = s->in[i].id;
		r[i].destinations = names + i * width;
		r[i].n = choose(u, &s->in[i], st, marks, names + i * width);
		sum->instances++;
		sum->unrouted += r[i].n == 0 ? 1 : 0;
	}
	return spool_route(u->sp, r, s->n);
}

static void
route_study(struct upload *u, uint64_t study)
{
	AUTO_FREE struct slice *s = xcalloc(1, sizeof(*s));
	struct study_name st = { "", "", NULL };
	struct routed sum = { 0, 0 };
	uint64_t after = 0;
	int r;

	r = spool_study_by_id(u->sp, study, copy_names, &st);
	if (r >= 0)
		r = upload_study_traits(u->sp, u->cfg, study, &st.traits);
	while (r >= 0) {
		s->n = 0;
		r = spool_pending(u->sp, study, after, collect_instance, s);
		if (r < 0 || s->n == 0)
			break;
		after = s->in[s->n - 1].id;
		r = route_slice(u, s, &st, &sum);
	}
	study_traits_free(st.traits);
	if (r < 0) {
		log_warn("study could not be routed yet", LOG_U64("id", study),
		    LOG_ERR(r));
		return;
	}
	if (sum.instances == 0)
		return;
	log_info("study complete", LOG_U64("id", study), LOG_STR("study", st.uid),
	    LOG_STR("modalities", st.modalities), LOG_U64("instances", sum.instances));
	if (sum.unrouted > 0)
		log_warn("no route for instances of a study: they are held here until "
		    "`routes` has one, or an operator drops them",
		    LOG_U64("id", study), LOG_STR("study", st.uid),
		    LOG_U64("unrouted", sum.unrouted));
}

/* ---- the round ---- */

static void
publish_waiting(struct upload *u, struct study_list *l)
{
	LOCK_SCOPE(&u->mu);
	free(u->waiting);
	u->waiting = TAKE_PTR(l->v);
	u->n_waiting = l->n;
}

int64_t
arrivals_run(struct upload *u)
{
	struct study_list l = { .u = u, .now_ms = clock_boot_ms() };
	int64_t next = CLOCK_NEVER;

	if (spool_incomplete(u->sp, collect_study, &l) < 0) {
		free(l.v);
		return clock_mono_ms() + 1000;
	}
	for (size_t i = 0; i < l.n; i++) {
		if (l.v[i].complete_at_ms <= l.now_ms)
			route_study(u, l.v[i].study);
		else if (l.v[i].complete_at_ms < next)
			next = l.v[i].complete_at_ms;
	}
	publish_waiting(u, &l);
	/* Between the clocks only the difference counts. */
	return next == CLOCK_NEVER ? next :
	    clock_mono_ms() + (next - l.now_ms);
}
