/* prune.c - the settle log, shortened to what can still matter.
 *
 * An entry matters while the index has its instance, or its job, or while bytes of
 * an expunged one may still lie in a segment (it must not be adopted again). What a
 * job has sent that is over says by itself that it is owed. The log is written
 * anew when it has doubled; the committer does nothing else meanwhile, some seconds
 * for some hundred megabytes, so it is done rarely.
 *
 * Order: first the index says durably that it reflects nothing of the log, then the
 * log is replaced, then the index notes the new length. A stop in between costs a
 * replay of the whole log, which changes nothing.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/log.h"
#include "spool/spool_int.h"

struct lying {
	uint64_t id, generation;
};

struct segment_list {
	struct lying *v;
	size_t	      n, max;
};

/* In order of id, as store_segments() gives them. Free ones, too: what they held
 * lies in them until they are written again. */
static int
collect_segment(void *arg, const struct store_segment *s)
{
	struct segment_list *l = arg;

	if (l->n == l->max) {
		l->max = l->max * 2 + 64;
		l->v = xreallocarray(l->v, l->max, sizeof(*l->v));
	}
	l->v[l->n++] = (struct lying){ s->id, s->generation };
	return 0;
}

static int
compare_id(const void *a, const void *b)
{
	const struct lying *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

struct prune {
	struct spool *sp;
	struct segment_list segments;
};

/* The reason of an expunged entry is the segment and its generation (sweep.c). */
static bool
bytes_may_be_there(const struct prune *p, const struct settle_entry *e)
{
	struct lying at = { 0, 0 };
	const struct lying *now;

	if (sscanf(e->reason, "%" SCNx64 ".%" SCNx64, &at.id, &at.generation) != 2 ||
	    at.id == 0)
		return true;
	now = p->segments.n == 0 ? NULL : bsearch(&at, p->segments.v,
	    p->segments.n, sizeof(at), compare_id);
	return now != NULL && now->generation <= at.generation;
}

static bool
matters(void *arg, const struct settle_entry *e)
{
	const struct prune *p = arg;

	if (e->verb == SETTLE_STUDY_HOLD || e->verb == SETTLE_STUDY_PRIORITY ||
	    e->verb == SETTLE_DESTINATION_HOLD)
		return true;
	if (e->verb == SETTLE_JOB || e->verb == SETTLE_JOB_ENDED)
		return index_has_job(p->sp->ix, e->id);
	if (index_has(p->sp->ix, e->id))
		return true;
	return e->verb == SETTLE_EXPUNGED && bytes_may_be_there(p, e);
}

static int
apply_unnote(struct spool *sp, void *arg)
{
	(void)arg;
	atomic_store(&sp->replayed, false);
	return index_note_settled(sp->ix, 0);
}

static int
apply_prune(struct spool *sp, void *arg)
{
	return settle_compact(sp->log, matters, arg);
}

/* Whether it was replaced or not, the index reflects all of it. */
static int
apply_reflected(struct spool *sp, void *arg)
{
	atomic_store(&sp->replayed, true);
	*(uint64_t *)arg = settle_size(sp->log);
	return 0;
}

static int
apply_size(struct spool *sp, void *arg)
{
	*(uint64_t *)arg = settle_size(sp->log);
	return 0;
}

void
prune_log(struct spool *sp, uint64_t least)
{
	struct prune p = { .sp = sp };
	uint64_t before, after;
	int r, k;

	if (commit_run(sp, apply_size, &before, 0) < 0 || before < least ||
	    before < 2 * sp->keep.pruned_bytes)
		return;
	r = store_segments(sp->store, collect_segment, &p.segments);
	if (r >= 0)
		r = commit_run(sp, apply_unnote, NULL, COMMIT_DURABLE | COMMIT_ALONE);
	if (r >= 0)
		r = commit_run(sp, apply_prune, &p, COMMIT_ALONE);
	free(p.segments.v);
	k = commit_run(sp, apply_reflected, &after, 0);
	if (r < 0 || k < 0) {
		log_warn("the settle log could not be shortened",
		    LOG_ERR(r < 0 ? r : k));
		return;
	}
	sp->keep.pruned_bytes = after;
	log_info("settle log shortened", LOG_U64("from_bytes", before),
	    LOG_U64("to_bytes", after));
}
