/* adopt.c - the index is brought up to what the disk holds (invariant 4).
 *
 * At every start, before anyone is served: segments that no durable commit has
 * sealed and files in open/ are looked through for records without a row (a power
 * cut took the row back, or came between bytes and row), and the settle log is
 * replayed from where the index left off.
 *
 * With a new index over an old spool everything is looked through, in slices in
 * the keeper's thread while arrivals are served; nothing is routed or uploaded
 * until the whole is known, because half a history would be told to the cloud as
 * news.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/fdio.h"
#include "gateway/base/log.h"
#include "spool/spool_int.h"

#define HEAD_STEP   (32u << 10)
#define HEAD_MAX    (4u << 20)	/* no attribute of ours lies behind that */
#define REPLAY_STEP 256

DEFINE_CLEANUP(struct store_reader, store_reader_close)
DEFINE_CLEANUP(struct dicom_head_reader, dicom_head_reader_free)

/* commit_inline() before the committer runs, commit_run() beside it. */
typedef int adopt_commit_fn(struct spool *sp, commit_fn *fn, void *arg,
    unsigned flags);

struct adopt {
	uint64_t *segments;	/* still to be looked through */
	size_t	  n, next;
	uint64_t  adopted, damaged;
};

/* ---- one record ---- */

static void
read_head(struct spool *sp, const struct record *rec, const struct store_place *at,
    struct dicom_head *ret)
{
	struct dicom_head_reader *hr AUTO(cleanup_dicom_head_reader_free) =
	    dicom_head_reader_new(dicom_syntax_find(rec->head.syntax));
	struct store_reader *r AUTO(cleanup_store_reader_close) = NULL;
	AUTO_FREE uint8_t *buf = malloc(HEAD_STEP);
	struct record again;
	uint64_t pos = 0;
	int k = 0;

	memset(ret, 0, sizeof(*ret));
	if (buf == NULL || store_reader_open(sp->store, rec->id, at, &r, &again) < 0)
		return;
	while (k == 0 && pos < rec->length && pos < HEAD_MAX) {
		ssize_t n = store_reader_read(r, pos, buf, HEAD_STEP);

		if (n <= 0)
			break;
		k = dicom_head_reader_feed(hr, buf, (size_t)n);
		pos += (uint64_t)n;
	}
	*ret = *dicom_head_reader_head(hr);
}

struct adopt_op {
	const struct record	 *rec;
	const struct store_place *at;
	const struct dicom_head	 *head;
	bool known, adopted;
};

static int
apply_is_known(struct spool *sp, void *arg)
{
	struct adopt_op *op = arg;

	op->known = index_has(sp->ix, op->rec->id);
	return 0;
}

static int
apply_adopt(struct spool *sp, void *arg)
{
	struct adopt_op *op = arg;
	struct index_known other;
	uint64_t study;
	unsigned version;
	int r;

	op->adopted = false;
	r = index_same(sp->ix, op->rec->head.sop_instance, op->rec->length,
	    op->rec->checksum, &other);
	if (r == 0 && other.kept && !other.damaged)
		return 0;	/* a twin that lost its race: never promised */
	if (r < 0 && r != -ENOENT)
		return r;
	r = index_latest(sp->ix, op->rec->head.sop_instance, &other);
	if (r < 0 && r != -ENOENT)
		return r;
	r = index_add(sp->ix, op->rec, op->at, op->head,
	    op->rec->head.assume_charset, r == 0, &study, &version);
	op->adopted = r == 0;
	return r;
}

struct record_walk {
	struct spool	*sp;
	adopt_commit_fn *commit;
	uint64_t	 adopted, damaged;
};

static int
adopt_record(void *arg, const struct record *rec, const struct store_place *at,
    bool whole)
{
	struct record_walk *w = arg;
	struct dicom_head head;
	struct adopt_op op = { .rec = rec, .at = at, .head = &head };
	int r;

	r = w->commit(w->sp, apply_is_known, &op, 0);
	if (r < 0)
		return r;
	if (!op.known && !whole) {
		/* Torn: its sync never ended, so it was never promised. Kept
		 * for a person to look at where that costs nothing. */
		w->damaged++;
		return at->segment == 0 ? store_own_set_aside(w->sp->store, rec->id) :
		    0;
	}
	if (!op.known) {
		read_head(w->sp, rec, at, &head);
		r = w->commit(w->sp, apply_adopt, &op, 0);
		if (r < 0)
			return r;
		w->adopted += op.adopted ? 1 : 0;
		atomic_fetch_add(&w->sp->rebuilt, 1);
		if (!op.adopted && at->segment == 0)
			return store_own_remove(w->sp->store, rec->id);
	}
	/* Its row may be in the page cache alone: it leaves open/ after the next
	 * durable commit, not before. */
	if (at->segment == 0)
		keeper_published_later(w->sp, rec->id);
	return 0;
}

/* ---- the settle log ---- */

struct replay_batch {
	struct spool	*sp;
	adopt_commit_fn *commit;
	size_t		 n;
	struct settle_entry e[REPLAY_STEP];
	struct buf	 text;	/* the strings of e, as offsets until applied */
};

static int
replay_expunged(struct spool *sp, uint64_t id, int64_t wall_ms)
{
	struct store_place at;
	uint64_t length;
	int r = index_replay_expunged(sp->ix, id, wall_ms, &at, &length);

	if (r == 0 && at.segment == 0)
		r = store_own_remove(sp->store, id);
	return r == -EBUSY ? 0 : r;
}

static int
replay_entry(struct spool *sp, const struct settle_entry *e)
{
	enum spool_delivery old;

	switch (e->verb) {
	case SETTLE_DELIVERY:
		if (e->destination[0] == '\0')
			return index_let_go_unrouted(sp->ix, e->id, e->actor,
			    e->reason, e->wall_ms);
		return index_deliver(sp->ix, e->id, e->destination, e->state,
		    e->reason, e->actor, false, true, e->wall_ms, &old);
	case SETTLE_CHECK:
		if (e->destination[0] == '\0')
			return index_repend(sp->ix, e->id);
		return index_deliver(sp->ix, e->id, e->destination, SPOOL_OWED,
		    e->reason, e->actor, true, true, e->wall_ms, &old);
	case SETTLE_REPLACING:
		return index_set_replacing(sp->ix, e->id, e->destination);
	case SETTLE_EXPUNGED:
		return replay_expunged(sp, e->id, e->wall_ms);
	case SETTLE_DAMAGED:
		return index_set_damaged(sp->ix, e->id);
	case SETTLE_STUDY_HOLD:
		return index_study_hold(sp->ix, e->study, e->value != 0);
	case SETTLE_STUDY_PRIORITY:
		return index_study_priority(sp->ix, e->study,
		    (enum spool_priority)e->value);
	case SETTLE_DESTINATION_HOLD:
		return index_destination_hold(sp->ix, e->destination, e->value != 0);
	case SETTLE_VERBS:
		break;
	}
	return 0;	/* of a later version: nothing that we can know */
}

static int
apply_replay(struct spool *sp, void *arg)
{
	struct replay_batch *b = arg;

	for (size_t i = 0; i < b->n; i++) {
		struct settle_entry e = b->e[i];
		int r;

		e.destination = b->text.data + (uintptr_t)e.destination;
		e.study = b->text.data + (uintptr_t)e.study;
		e.actor = b->text.data + (uintptr_t)e.actor;
		e.reason = b->text.data + (uintptr_t)e.reason;
		r = replay_entry(sp, &e);
		/* Already so, or of an instance that is gone. */
		if (r < 0 && r != -ENOENT && r != -EALREADY)
			return r;
	}
	return 0;
}

static int
flush_replay(struct replay_batch *b)
{
	int r = b->n == 0 ? 0 : b->commit(b->sp, apply_replay, b, 0);

	b->n = 0;
	buf_clear(&b->text);
	return r;
}

static const char *
keep_text(struct replay_batch *b, const char *s)
{
	size_t at = b->text.len;

	(void)buf_add(&b->text, s, strlen(s) + 1);
	return (const char *)(uintptr_t)at;
}

static int
collect_replay(void *arg, const struct settle_entry *e)
{
	struct replay_batch *b = arg;
	struct settle_entry *k = &b->e[b->n++];

	*k = *e;
	k->destination = keep_text(b, e->destination);
	k->study = keep_text(b, e->study);
	k->actor = keep_text(b, e->actor);
	k->reason = keep_text(b, e->reason);
	if (buf_error(&b->text) < 0)
		return buf_error(&b->text);
	return b->n == REPLAY_STEP ? flush_replay(b) : 0;
}

static int
replay_log(struct spool *sp, adopt_commit_fn *commit, uint64_t from)
{
	struct replay_batch *b = xcalloc(1, sizeof(*b));
	int r;

	b->sp = sp;
	b->commit = commit;
	b->text = (struct buf)BUF_INIT(REPLAY_STEP * 4096);
	r = settle_replay(sp->log, from, collect_replay, b);
	if (r == 0)
		r = flush_replay(b);
	buf_free(&b->text);
	free(b);
	return r;
}

/* ---- at start ---- */

static int
tell_segment(void *arg, const struct index_segment *s)
{
	/* One that was in use is not written to again: it is looked through and
	 * sealed. */
	enum segment_state state = s->state == SEGMENT_SEALED ||
	    s->state == SEGMENT_FREE ? s->state : SEGMENT_FULL;
	int r = store_segment_known(arg, s->id, s->generation, state);

	return r == -ENOENT ? 0 : r;
}

static int
note_segment(void *arg, const struct store_segment *s)
{
	struct adopt *a = arg;

	if (s->state != SEGMENT_FULL)
		return 0;
	a->segments = xreallocarray(a->segments, a->n + 1, sizeof(*a->segments));
	a->segments[a->n++] = s->id;
	return 0;
}

static int
scan_segments(struct spool *sp, struct adopt *a, struct record_walk *w, size_t most)
{
	for (size_t i = 0; i < most && a->next < a->n; i++) {
		int r = store_scan_segment(sp->store, a->segments[a->next++], true,
		    adopt_record, w);

		if (r < 0)
			return r;
	}
	return 0;
}

static int
look_through_open(struct spool *sp, struct record_walk *w)
{
	return store_scan_own(sp->store, true, true, true, adopt_record, w);
}

static int
catch_up(struct spool *sp, struct record_walk *w)
{
	uint64_t from;
	int r = look_through_open(sp, w);

	if (r >= 0)
		r = scan_segments(sp, sp->adopt, w, SIZE_MAX);
	if (r >= 0)
		r = index_settled(sp->ix, &from);
	if (r >= 0)
		r = replay_log(sp, commit_inline, from);
	if (r >= 0)
		atomic_store(&sp->replayed, true);
	return r;
}

static int
see_record(void *arg, const struct record *rec, const struct store_place *at,
    bool whole)
{
	(void)rec;
	(void)at;
	(void)whole;
	*(bool *)arg = true;
	return 1;
}

/* A new index over a spool that never had anything is no rebuild; one that was
 * interrupted begins anew: what it has found already is passed over. */
static int
needs_rebuild(struct spool *sp, bool new_index, bool *ret)
{
	bool any = sp->adopt->n > 0;
	int r = 0;

	*ret = true;
	if (faccessat(store_dirfd(sp->store), SPOOL_REBUILD_FILE, F_OK, 0) == 0)
		return 0;
	if (new_index && !any)
		r = store_scan_own(sp->store, false, false, false, see_record, &any);
	*ret = new_index && any;
	return r < 0 ? r : *ret ? spool_mark(sp, SPOOL_REBUILD_FILE) : 0;
}

int
adopt_at_start(struct spool *sp, bool new_index, struct buf *why)
{
	struct record_walk w = { .sp = sp, .commit = commit_inline };
	bool rebuild = false;
	int r;

	sp->adopt = xcalloc(1, sizeof(*sp->adopt));
	r = index_segments(sp->ix, tell_segment, sp->store);
	if (r >= 0)
		r = store_segments(sp->store, note_segment, sp->adopt);
	if (r >= 0)
		r = needs_rebuild(sp, new_index, &rebuild);
	if (r >= 0)
		r = rebuild ? look_through_open(sp, &w) : catch_up(sp, &w);
	if (r < 0) {
		(void)buf_printf(why, "the spool could not be brought up to date: %s",
		    strerror(-r));
		return r;
	}
	if (w.adopted > 0 || w.damaged > 0)
		log_info("found instances that the index did not have",
		    LOG_U64("adopted", w.adopted), LOG_U64("incomplete", w.damaged));
	atomic_store(&sp->rebuilding, rebuild);
	if (!rebuild)
		adopt_free(sp);
	return 0;
}

void
adopt_free(struct spool *sp)
{
	if (sp->adopt == NULL)
		return;
	free(sp->adopt->segments);
	free(TAKE_PTR(sp->adopt));
}

/* ---- in the background ---- */

static int
apply_renumber(struct spool *sp, void *arg)
{
	(void)arg;
	return index_renumber(sp->ix);
}

static int
finish_rebuild(struct spool *sp, struct record_walk *w)
{
	struct adopt *a = sp->adopt;
	int r;

	r = store_scan_own(sp->store, false, true, false, adopt_record, w);
	if (r >= 0)
		r = replay_log(sp, commit_run, 0);
	atomic_store(&sp->replayed, r >= 0);
	if (r >= 0)
		r = commit_run(sp, apply_renumber, NULL, COMMIT_DURABLE);
	if (r >= 0)
		r = fdio_unlink(store_dirfd(sp->store), SPOOL_REBUILD_FILE);
	if (r < 0 && r != -ENOENT)
		return r;
	log_info("the index is rebuilt", LOG_U64("adopted", a->adopted + w->adopted),
	    LOG_U64("incomplete", a->damaged + w->damaged));
	adopt_free(sp);
	atomic_store(&sp->rebuilding, false);
	spool_wake(sp);
	return 0;
}

int
adopt_continue(struct spool *sp)
{
	struct record_walk w = { .sp = sp, .commit = commit_run };
	struct adopt *a = sp->adopt;
	int r;

	if (a->next == a->n)
		return finish_rebuild(sp, &w);
	r = scan_segments(sp, a, &w, 1);
	a->adopted += w.adopted;
	a->damaged += w.damaged;
	return r < 0 ? r : 1;
}
