/* sweep.c - bytes that nobody is owed any more make room.
 *
 * What was delivered (or let go) stays for keep_delivered, because "send it
 * again" is the commonest repair; when the disk runs short the oldest of it goes
 * earlier. Nothing owed, refused, pending or unrouted is ever touched
 * (invariant 6). Segments with little life left are emptied by moving the rest.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "spool/spool_int.h"

#define SLICE		128
#define FREE_SEGMENTS	64	/* kept ready to be written again */
#define COMPACT_SLICES	4	/* segments emptied per sweep */
#define EVICT_FACTOR	3	/* below so many times reserve: evict early */

DEFINE_CLEANUP(struct store_reader, store_reader_close)

struct victim {
	uint64_t id, length;
	struct store_place at;
};
struct victims {
	size_t n;
	struct victim v[SLICE];
};

static int
collect_victim(void *arg, uint64_t id, const struct store_place *at,
    uint64_t length)
{
	struct victims *l = arg;

	if (l->n == SLICE)
		return 1;
	l->v[l->n++] = (struct victim){ id, length, *at };
	return 0;
}

/* ---- expunging ---- */

struct expunge_op {
	const uint64_t *ids;
	size_t		n;
	const char     *actor;
	struct victims *gone;	/* what is now to be freed */
};

static int
apply_expunge(struct spool *sp, void *arg)
{
	struct expunge_op *op = arg;

	op->gone->n = 0;
	for (size_t i = 0; i < op->n; i++) {
		struct settle_entry e = { .verb = SETTLE_EXPUNGED,
			.wall_ms = clock_wall_ms(), .id = op->ids[i],
			.destination = "", .study = "", .actor = op->actor,
			.reason = "" };
		struct victim *v = &op->gone->v[op->gone->n];
		char where[60];
		int r;

		r = index_expunge(sp->ix, op->ids[i], &v->at, &v->length);
		if (r == -ENOENT)
			continue;	/* gone before */
		if (r < 0)
			return r;
		v->id = op->ids[i];
		op->gone->n++;
		(void)snprintf(where, sizeof(where), "%" PRIx64 ".%" PRIx64,
		    v->at.segment, store_segment_generation(sp->store,
		    v->at.segment));
		e.reason = where;
		r = settle_append(sp->log, &e);
		if (r < 0)
			return r;
	}
	return 0;
}

static void
free_bytes(struct spool *sp, const struct victim *v, bool wipe)
{
	int r = 0;

	if (v->at.segment == 0) {
		if (store_own_remove(sp->store, v->id) < 0)
			leftover_note(sp, v->id);	/* somebody reads it */
		return;
	}
	if (wipe)
		r = store_wipe(sp->store, v->id, &v->at, v->length);
	if (r < 0)
		log_warn("bytes of a purged instance could not be overwritten",
		    LOG_U64("id", v->id), LOG_ERR(r));
}

static int
expunge(struct spool *sp, const uint64_t *ids, size_t n, const char *actor,
    bool wipe)
{
	AUTO_FREE struct victims *gone = xcalloc(1, sizeof(*gone));

	for (size_t i = 0; i < n; i += SLICE) {
		struct expunge_op op = { .ids = ids + i, .actor = actor,
			.n = n - i < SLICE ? n - i : SLICE, .gone = gone };
		int r = commit_run(sp, apply_expunge, &op, 0);

		if (r < 0)
			return r;
		for (size_t j = 0; j < gone->n; j++)
			free_bytes(sp, &gone->v[j], wipe);
	}
	return 0;
}

int
sweep_expunge(struct spool *sp, const uint64_t *ids, size_t n, const char *actor,
    bool wipe)
{
	int r;

	/* What is to be overwritten must not be given to somebody else between
	 * the commit and the overwriting. */
	if (wipe)
		atomic_fetch_add(&sp->wiping, 1);
	r = expunge(sp, ids, n, actor, wipe);
	if (wipe)
		atomic_fetch_sub(&sp->wiping, 1);
	return r;
}

struct evict_op {
	int64_t before_ms;
	struct victims *list;
};

static int
apply_list_evictable(struct spool *sp, void *arg)
{
	struct evict_op *op = arg;

	op->list->n = 0;
	return index_evictable(sp->ix, op->before_ms, SLICE, collect_victim, op->list);
}

/* One slice of the oldest that ended before. Bytes freed, 0: none left. */
static uint64_t
evict_slice(struct spool *sp, int64_t before_ms, struct victims *list)
{
	struct evict_op op = { before_ms, list };
	uint64_t ids[SLICE], bytes = 0;

	if (commit_run(sp, apply_list_evictable, &op, 0) < 0 || list->n == 0)
		return 0;
	for (size_t i = 0; i < list->n; i++) {
		ids[i] = list->v[i].id;
		bytes += list->v[i].length + RECORD_HEAD;
	}
	return sweep_expunge(sp, ids, list->n, "", false) < 0 ? 0 : bytes;
}

static uint64_t
room(const struct spool *sp)
{
	return atomic_load(&sp->disk_free) + atomic_load(&sp->free_in_segments);
}

/* ---- segments ---- */

struct dead_list {
	size_t n;
	uint64_t id[SLICE], generation[SLICE];
	uint64_t sparse[COMPACT_SLICES];	/* worth emptying */
	size_t n_sparse;
	uint64_t size;
};

static int
collect_segment(void *arg, const struct index_segment *s)
{
	struct dead_list *l = arg;

	if (s->state != SEGMENT_SEALED)
		return 0;
	if (s->live == 0 && l->n < SLICE) {
		l->id[l->n] = s->id;
		l->generation[l->n++] = s->generation;
	} else if (s->live_bytes < l->size / 4 && l->n_sparse < COMPACT_SLICES) {
		l->sparse[l->n_sparse++] = s->id;
	}
	return 0;
}

static int
apply_list_segments(struct spool *sp, void *arg)
{
	struct dead_list *l = arg;

	l->n = l->n_sparse = 0;
	return index_segments(sp->ix, collect_segment, l);
}

struct free_op {
	uint64_t id, generation;
	bool removed;
};

static int
apply_free_segment(struct spool *sp, void *arg)
{
	const struct free_op *op = arg;

	return op->removed ? index_segment_remove(sp->ix, op->id) :
	    index_segment_set(sp->ix, op->id, op->generation, SEGMENT_FREE);
}

/* The file first: a segment that the index calls SEALED and the disk has in a new
 * generation is scanned at the next start; the reverse would be written to twice. */
static void
recycle_dead(struct spool *sp, const struct dead_list *dead)
{
	/* Whoever emptied one of these to purge it is still at it, or done. */
	if (atomic_load(&sp->wiping) > 0)
		return;
	for (size_t i = 0; i < dead->n && keeper_tend(sp); i++) {
		struct free_op op = { dead->id[i], dead->generation[i], false };
		unsigned keep = atomic_load(&sp->space) == SPOOL_SPACE_GOOD ?
		    FREE_SEGMENTS : 2;

		int r = store_recycle(sp->store, op.id, keep, &op.removed);

		op.removed = op.removed || r == -ENOENT;
		if (r == 0 || r == -ENOENT)
			(void)commit_run(sp, apply_free_segment, &op, 0);
	}
}

/* ---- compaction (invariant 2) ---- */

struct move_op {
	uint64_t id;
	struct store_place from, to;
};

static int
apply_move(struct spool *sp, void *arg)
{
	const struct move_op *op = arg;
	int r = index_move(sp->ix, op->id, &op->from, &op->to);

	return r == -ENOENT ? 0 : r;	/* expunged meanwhile */
}

/* Copies one record to the current segment, syncs it there, and only then tells
 * the index. */
static int
move_record(struct spool *sp, const struct victim *v, uint8_t *buf)
{
	struct store_reader *src AUTO(cleanup_store_reader_close) = NULL;
	struct move_op op = { .id = v->id, .from = v->at };
	struct record rec;
	struct iovec iov = { buf, v->length };
	ssize_t got;
	int r;

	r = store_reader_open(sp->store, v->id, &v->at, &src, &rec);
	if (r < 0)
		return r;
	got = store_reader_read(src, 0, buf, rec.length);
	if (got < 0 || (uint64_t)got != rec.length || rec.length != v->length)
		return got < 0 ? (int)got : -EUCLEAN;

	/* No use waiting: it is this thread that makes segments. */
	r = store_reserve(sp->store, RECORD_HEAD + rec.length, clock_mono_ms(),
	    &op.to, &rec.generation);
	if (r < 0)
		return r;
	rec.segment = op.to.segment;
	r = store_append(sp->store, &op.to, &rec, &iov, 1);
	if (r == 0)
		r = commit_run(sp, apply_move, &op, COMMIT_SYNC_STORE);
	store_landed(sp->store, &op.to);
	return r;
}

struct in_segment_op {
	uint64_t segment;
	struct victims *list;
};

static int
apply_list_segment(struct spool *sp, void *arg)
{
	struct in_segment_op *op = arg;

	op->list->n = 0;
	return index_in_segment(sp->ix, op->segment, collect_victim, op->list);
}

/* Once: what cannot be moved is met by every sweep. */
static void
set_damaged(struct spool *sp, uint64_t id)
{
	struct spool_instance in;

	if (spool_instance_get(sp, id, &in) == 0 && !in.damaged)
		(void)spool_set_damaged(sp, id, "damaged on this disk");
}

static void
compact_segment(struct spool *sp, uint64_t segment, struct victims *list)
{
	struct in_segment_op op = { segment, list };
	AUTO_FREE uint8_t *buf = malloc(store_record_max(sp->store));

	if (buf == NULL || commit_run(sp, apply_list_segment, &op, 0) < 0)
		return;
	for (size_t i = 0; i < list->n && keeper_tend(sp); i++) {
		int r = move_record(sp, &list->v[i], buf);

		if (r == -EUCLEAN)
			set_damaged(sp, list->v[i].id);
		else if (r < 0)
			return;
	}
}

/* ---- the sweep ---- */

void
sweep_run(struct spool *sp)
{
	AUTO_FREE struct victims *list = xcalloc(1, sizeof(*list));
	AUTO_FREE struct dead_list *segs = xcalloc(1, sizeof(*segs));
	uint64_t enough = EVICT_FACTOR * atomic_load(&sp->reserve);
	uint64_t freed = 0, total = 0, n;
	int64_t now = clock_wall_ms();
	bool tight;

	do {
		n = evict_slice(sp, now - atomic_load(&sp->keep_delivered_ms), list);
		total += n;
	} while (n > 0 && keeper_tend(sp));

	tight = room(sp) < enough;
	while (tight && room(sp) + freed < enough && keeper_tend(sp)) {
		n = evict_slice(sp, now, list);
		freed += n;
		if (n == 0)
			break;
	}
	total += freed;

	segs->size = store_segment_size(sp->store);
	if (commit_run(sp, apply_list_segments, segs, 0) < 0)
		return;
	if (tight || total > 0) {
		for (size_t i = 0; i < segs->n_sparse; i++)
			compact_segment(sp, segs->sparse[i], list);
		if (segs->n_sparse > 0 &&
		    commit_run(sp, apply_list_segments, segs, 0) < 0)
			return;
	}
	/* Rows that were moved out of a segment must not come back after a power cut
	 * once it is written again. */
	if (segs->n > 0 && commit_run(sp, apply_list_segments, segs,
	    COMMIT_DURABLE) == 0)
		recycle_dead(sp, segs);
	keeper_measure_space(sp);
	if (total > 0)
		log_info("swept delivered instances", LOG_U64("bytes", total),
		    LOG_STR("why", tight ? "disk space" : "keep_delivered"));
}

struct forget_op {
	int64_t	 before_ms;
	uint64_t n;
};

static int
apply_forget(struct spool *sp, void *arg)
{
	struct forget_op *op = arg;

	return index_forget(sp->ix, op->before_ms, SLICE, &op->n);
}

void
sweep_forget(struct spool *sp)
{
	struct forget_op op = {
		.before_ms = clock_wall_ms() - atomic_load(&sp->keep_index_ms) };

	do {
		if (commit_run(sp, apply_forget, &op, 0) < 0)
			return;
	} while (op.n == SLICE && keeper_tend(sp));
}
