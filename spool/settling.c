/* settling.c - where instances go, and what became of them there. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "gateway/base/clock.h"
#include "gateway/base/metrics.h"
#include "spool/spool_int.h"

#define ROUTE_TEXT_MAX 1900	/* what a reason of the log holds */

/* ---- completing and routing ---- */

struct describe_walk {
	struct spool	    *sp;
	spool_open_study_fn *fn;
	void		    *arg;
};

static int
describe_study(void *arg, const struct spool_open_study *s)
{
	const struct describe_walk *w = arg;
	struct spool_open_study full = *s;

	activity_describe(w->sp->activity, &full);
	return w->fn(w->arg, &full);
}

int
spool_incomplete(struct spool *sp, spool_open_study_fn *fn, void *arg)
{
	struct describe_walk w = { sp, fn, arg };
	struct index_reader *ir;
	int r;

	/* Half an index would route half a study. */
	if (atomic_load(&sp->rebuilding))
		return 0;
	ir = spool_reader_take(sp, &r);
	if (ir == NULL)
		return r;
	r = index_reader_incomplete(ir, describe_study, &w);
	spool_reader_give(sp, ir);
	if (r == 0)
		activity_collect(sp->activity);
	return spool_trust(sp, r);
}

int
spool_pending(struct spool *sp, uint64_t study, uint64_t after,
    spool_instance_fn *fn, void *arg)
{
	struct index_reader *ir;
	int r;

	ir = spool_reader_take(sp, &r);
	if (ir == NULL)
		return r;
	r = index_reader_instances(ir, study, after, true, 0, fn, arg);
	spool_reader_give(sp, ir);
	return spool_trust(sp, r);
}

struct route_op {
	const struct spool_routing *r;
	size_t n;
};

/* The routes may be others when the index is lost, and a new destination must not
 * be filled with the past: where something went is no matter of the routes. */
int
route_log(struct spool *sp, const struct spool_routing *rt)
{
	struct buf names = BUF_INIT(ROUTE_TEXT_MAX);
	struct settle_entry e = { .verb = SETTLE_ROUTED,
		.wall_ms = clock_wall_ms(), .id = rt->id, .destination = "",
		.study = "", .actor = "" };
	int r = 0;

	for (size_t i = 0; i < rt->n; i++)
		(void)buf_printf(&names, "%s%s", i > 0 ? " " : "",
		    rt->destinations[i]);
	e.reason = names.data;
	/* More than anybody has: the routes of that day decide. */
	if (rt->n > 0 && buf_error(&names) == 0)
		r = settle_append(sp->log, &e);
	buf_free(&names);
	return r;
}

static int
apply_route(struct spool *sp, void *arg)
{
	const struct route_op *op = arg;

	for (size_t i = 0; i < op->n; i++) {
		int r = index_route(sp->ix, op->r[i].id, op->r[i].destinations,
		    op->r[i].n);

		if (r >= 0)
			r = route_log(sp, &op->r[i]);
		/* Let go or routed meanwhile: nothing is due any more. */
		if (r < 0 && r != -EALREADY && r != -ENOENT)
			return r;
	}
	return 0;
}

int
spool_route(struct spool *sp, const struct spool_routing *r, size_t n)
{
	struct route_op op = { r, n };

	return commit_run(sp, apply_route, &op, 0);
}

static int
apply_reconsider(struct spool *sp, void *arg)
{
	return index_unrouted_to_pending(sp->ix, arg);
}

int
spool_reconsider_unrouted(struct spool *sp)
{
	uint64_t n = 0;
	int r = commit_run(sp, apply_reconsider, &n, 0);

	if (r == 0 && n > 0)
		spool_wake(sp);
	return r;
}

/* ---- verdicts ---- */

struct settle_op {
	const struct spool_verdict *v;
	size_t	 n;
	uint64_t delivered, refused, owed;	/* how many took effect */
};

/* A late answer about what an old job has sent must not touch what was owed again
 * and sent by another (invariant 5). */
static bool
verdict_applies(const struct spool_verdict *v, const struct index_delivery *now)
{
	if (v->state == SPOOL_SENT)
		return now->state == SPOOL_OWED;
	if (v->job != 0)
		return now->state == SPOOL_SENT && now->job == v->job;
	return now->state == SPOOL_OWED || now->state == SPOOL_SENT;
}

static int
settle_one(struct spool *sp, const struct spool_verdict *v, bool *ret_changed)
{
	struct settle_entry e = { .verb = SETTLE_DELIVERY,
		.wall_ms = clock_wall_ms(), .id = v->id,
		.destination = v->destination, .study = "", .state = v->state,
		.value = v->state == SPOOL_SENT ? (int64_t)v->job : 0,
		.actor = "", .reason = v->reason != NULL ? v->reason : "",
		.remote = v->remote };
	struct index_verdict iv = { .id = v->id, .dest = v->destination,
		.state = v->state, .reason = v->reason, .remote = v->remote,
		.job = v->job, .check = true, .wall_ms = e.wall_ms };
	struct index_delivery now;
	int r;

	*ret_changed = false;
	r = index_delivery(sp->ix, v->id, v->destination, &now);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	if (!verdict_applies(v, &now))
		return 0;	/* an operator let go of it meanwhile (invariant 5) */

	if (v->state == SPOOL_OWED)
		e.verb = SETTLE_CHECK;
	r = index_deliver(sp->ix, &iv, NULL);
	if (r < 0)
		return r;
	*ret_changed = true;
	return settle_append(sp->log, &e);
}

static int
apply_settle(struct spool *sp, void *arg)
{
	struct settle_op *op = arg;

	op->delivered = op->refused = op->owed = 0;
	for (size_t i = 0; i < op->n; i++) {
		enum spool_delivery state = op->v[i].state;
		bool changed;
		int r = settle_one(sp, &op->v[i], &changed);

		if (r < 0)
			return r;
		op->delivered += changed &&
		    (state == SPOOL_DELIVERED || state == SPOOL_WARNED);
		op->refused += changed && state == SPOOL_REFUSED;
		op->owed += changed && state == SPOOL_OWED;
	}
	return 0;
}

int
spool_settle(struct spool *sp, const struct spool_verdict *v, size_t n)
{
	struct settle_op op = { .v = v, .n = n };
	int r;

	for (size_t i = 0; i < n; i++) {
		assert(v[i].state != SPOOL_LET_GO);
		assert(v[i].state != SPOOL_SENT || v[i].job != 0);
		if (v[i].remote != NULL &&
		    strlen(v[i].remote) > SPOOL_REMOTE_MAX)
			return -EINVAL;
	}
	r = n == 0 ? 0 : commit_run(sp, apply_settle, &op, 0);
	if (r == 0) {
		metric_add(METRIC_DELIVERED, op.delivered);
		metric_add(METRIC_REFUSED, op.refused);
	}
	if (r == 0 && op.owed > 0)
		spool_wake(sp);
	return r;
}

struct one_op {
	uint64_t    id;
	const char *destination;
	const char *why;
};

static int
apply_replacing(struct spool *sp, void *arg)
{
	const struct one_op *op = arg;
	struct settle_entry e = { .verb = SETTLE_REPLACING,
		.wall_ms = clock_wall_ms(), .id = op->id,
		.destination = op->destination, .study = "", .actor = "",
		.reason = "" };
	int r = index_set_replacing(sp->ix, op->id, op->destination);

	return r < 0 ? r : settle_append(sp->log, &e);
}

int
spool_set_replacing(struct spool *sp, uint64_t id, const char *destination)
{
	struct one_op op = { .id = id, .destination = destination };

	return commit_run(sp, apply_replacing, &op, 0);
}

static int
refuse_damaged(struct spool *sp, const struct pair *p, const char *why)
{
	struct settle_entry e = { .verb = SETTLE_DELIVERY,
		.wall_ms = clock_wall_ms(), .id = p->id, .destination = p->destination,
		.study = "", .state = SPOOL_REFUSED, .actor = "", .reason = why };
	int r;

	r = index_deliver(sp->ix, &(struct index_verdict){ .id = p->id,
	    .dest = p->destination, .state = SPOOL_REFUSED, .reason = why,
	    .wall_ms = e.wall_ms }, NULL);
	return r < 0 ? r : settle_append(sp->log, &e);
}

/* What is sent was whole then (invariant 11): its job tells what became of it, or it
 * is owed again, read again, and met here. */
static int
apply_damaged(struct spool *sp, void *arg)
{
	const struct one_op *op = arg;
	struct pair_list pairs = { .n = 0 };
	struct settle_entry e = { .verb = SETTLE_DAMAGED,
		.wall_ms = clock_wall_ms(), .id = op->id, .destination = "",
		.study = "", .actor = "", .reason = op->why };
	int r = index_set_damaged(sp->ix, op->id);

	if (r == -ENOENT)
		return 0;
	if (r >= 0)
		r = settle_append(sp->log, &e);
	if (r >= 0)
		r = index_pairs_of(sp->ix, op->id, 1u << SPOOL_OWED,
		    pair_collect, &pairs);
	for (size_t i = 0; i < pairs.n && r >= 0; i++)
		r = refuse_damaged(sp, &pairs.pair[i], op->why);
	return r;
}

int
spool_set_damaged(struct spool *sp, uint64_t id, const char *why)
{
	struct one_op op = { .id = id, .why = why };

	return commit_run(sp, apply_damaged, &op, 0);
}
