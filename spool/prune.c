/* prune.c - the settle log, shortened to what can still matter.
 *
 * An entry matters while the index has its instance, or while bytes of an expunged
 * one may still lie in a segment (it must not be adopted again). The log is written
 * anew when it has doubled; the committer does nothing else meanwhile, some seconds
 * for some hundred megabytes, so it is done rarely.
 *
 * Order: first the index says durably that it reflects nothing of the log, then the
 * log is replaced, then the index notes the new length. A stop in between costs a
 * replay of the whole log, which changes nothing.
 */
#include <errno.h>
#include <stdlib.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/log.h"
#include "spool/spool_int.h"

#define PRUNE_BYTES (64u << 20)

struct segment_list {
	uint64_t *v;
	size_t	  n, max;
};

/* In order of id, as store_segments() gives them. */
static int
collect_used(void *arg, const struct store_segment *s)
{
	struct segment_list *l = arg;

	if (s->state == SEGMENT_FREE)
		return 0;
	if (l->n == l->max) {
		l->max = l->max * 2 + 64;
		l->v = xreallocarray(l->v, l->max, sizeof(*l->v));
	}
	l->v[l->n++] = s->id;
	return 0;
}

static int
compare_id(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

struct prune {
	struct spool *sp;
	struct segment_list used;
};

/* The reason of an expunged entry is the segment, in hex (sweep.c). */
static bool
bytes_may_be_there(const struct prune *p, const struct settle_entry *e)
{
	uint64_t segment = strtoull(e->reason, NULL, 16);

	return segment == 0 || bsearch(&segment, p->used.v, p->used.n,
	    sizeof(segment), compare_id) != NULL;
}

static bool
matters(void *arg, const struct settle_entry *e)
{
	const struct prune *p = arg;

	if (e->verb == SETTLE_STUDY_HOLD || e->verb == SETTLE_STUDY_PRIORITY ||
	    e->verb == SETTLE_DESTINATION_HOLD || index_has(p->sp->ix, e->id))
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
	struct prune *p = arg;
	int r = settle_compact(sp->log, matters, p);

	/* Whether it was replaced or not, the index reflects all of it. */
	if (r == 0)
		atomic_store(&sp->replayed, true);
	return r;
}

static int
apply_size(struct spool *sp, void *arg)
{
	*(uint64_t *)arg = settle_size(sp->log);
	return 0;
}

void
prune_log(struct spool *sp)
{
	struct prune p = { .sp = sp };
	uint64_t before, after;
	int r;

	if (commit_run(sp, apply_size, &before, 0) < 0 || before < PRUNE_BYTES ||
	    before < 2 * sp->keep.pruned_bytes)
		return;
	r = store_segments(sp->store, collect_used, &p.used);
	if (r >= 0)
		r = commit_run(sp, apply_unnote, NULL, COMMIT_DURABLE | COMMIT_ALONE);
	if (r >= 0)
		r = commit_run(sp, apply_prune, &p, COMMIT_ALONE);
	free(p.used.v);
	if (r >= 0)
		r = commit_run(sp, apply_size, &after, 0);
	if (r < 0) {
		log_warn("the settle log could not be shortened", LOG_ERR(r));
		return;
	}
	sp->keep.pruned_bytes = after;
	log_info("settle log shortened", LOG_U64("from_bytes", before),
	    LOG_U64("to_bytes", after));
}
