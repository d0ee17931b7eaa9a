/* adopt.c - the index is brought up to what the disk holds (invariant 4).
 *
 * At every start, before anyone is served: segments that no durable commit has
 * sealed and files in open/ are looked through for records without a row (a power
 * cut took the row back, or came between bytes and row), and the settle log is
 * replayed from where the index left off.
 *
 * With a new index over an old spool everything is looked through, beside the
 * arrivals (rebuild.c).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/log.h"
#include "spool/adopt_int.h"

#define HEAD_STEP (32u << 10)
#define HEAD_MAX  (4u << 20)	/* no attribute of ours lies behind that */

DEFINE_CLEANUP(struct store_reader, store_reader_close)
DEFINE_CLEANUP(struct dicom_head_reader, dicom_head_reader_free)

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
	bool damaged;	/* its bytes are not what they were */
	bool torn;	/* it may be that nobody was promised it */
	bool known;
};

static int
apply_is_known(struct spool *sp, void *arg)
{
	struct adopt_op *op = arg;

	op->known = index_has(sp->ix, op->rec->id);
	return 0;
}

/* The same bytes are here, whole: whoever got no answer sent them again. */
static int
find_whole(struct spool *sp, const struct record *rec, bool *ret)
{
	struct index_known same;
	int r = index_same(sp->ix, rec->head.sop_instance, rec->length,
	    rec->checksum, &same);

	*ret = r == 0 && same.kept && !same.damaged;
	return r == -ENOENT ? 0 : r;
}

static int
apply_adopt(struct spool *sp, void *arg)
{
	struct adopt_op *op = arg;
	struct index_known other;
	uint64_t study;
	unsigned version;
	int r = 0;

	op->known = index_has(sp->ix, op->rec->id);
	if (!op->known && op->torn)
		r = find_whole(sp, op->rec, &op->known);
	if (r < 0 || op->known)
		return r;
	/* Also when the index has these very bytes under another id: that one may
	 * be expunged, by a line of the log that is replayed later, and this one be
	 * the promise. A twin too many is sent and found to be there already. */
	r = index_latest(sp->ix, op->rec->head.sop_instance, &other);
	if (r < 0 && r != -ENOENT)
		return r;
	r = index_add(sp->ix, op->rec, op->at, op->head,
	    op->rec->head.assume_charset, r == 0, &study, &version);
	return r < 0 || !op->damaged ? r : index_set_damaged(sp->ix, op->rec->id);
}

static int
adopt_unknown(struct record_walk *w, struct adopt_op *op)
{
	struct dicom_head head;
	int r;

	read_head(w->sp, op->rec, op->at, &head);
	op->head = &head;
	r = w->commit(w->sp, apply_adopt, op, 0);
	if (r < 0 || op->known)
		return r;
	w->adopted++;
	w->damaged += op->damaged ? 1 : 0;
	atomic_fetch_add(&w->sp->rebuilt, 1);
	return 0;
}

/* At a start its sync never ended, so it was never promised. A rebuild looks at
 * segments that were sealed long ago, where damage may have come since. */
static int
note_torn(struct record_walk *w, const struct record *rec,
    const struct store_place *at)
{
	struct adopt *a = w->sp->adopt;

	if (!w->background) {
		w->damaged++;
		return 0;
	}
	if (a->n_torn == a->max_torn) {
		a->max_torn = a->max_torn * 2 + 16;
		a->torn = xreallocarray(a->torn, a->max_torn, sizeof(*a->torn));
	}
	a->torn[a->n_torn++] = (struct torn){ rec->id, *at };
	return 0;
}

/* A container that bears a head was whole once: what is wrong with it is damage. */
static int
take_record(struct record_walk *w, const struct record *rec,
    const struct store_place *at, bool whole)
{
	struct adopt_op op = { .rec = rec, .at = at, .damaged = !whole };
	int r;

	r = w->commit(w->sp, apply_is_known, &op, 0);
	if (r < 0)
		return r;
	if (!op.known && !whole && at->segment != 0)
		return note_torn(w, rec, at);
	if (!op.known)
		r = adopt_unknown(w, &op);
	/* Its row may be in the page cache alone: it leaves open/ after the next
	 * durable commit, not before. */
	if (r >= 0 && at->segment == 0)
		keeper_published_later(w->sp, rec->id);
	return r;
}

int
adopt_record(void *arg, const struct record *rec, const struct store_place *at,
    bool whole)
{
	struct record_walk *w = arg;

	w->error = w->background && !keeper_tend(w->sp) ? -ECANCELED :
	    take_record(w, rec, at, whole);
	return w->error;
}

int
adopt_segment(struct spool *sp, struct adopt *a, struct record_walk *w)
{
	uint64_t segment = a->segments[a->next];
	int r = store_scan_segment(sp->store, segment, true, adopt_record, w);

	if (r < 0 && (w->error < 0 || r == -ENOTSUP))
		return r;
	if (r < 0) {
		log_error("a segment cannot be read: what is in it is not served, "
		    "and not written over", LOG_U64("segment", segment), LOG_ERR(r));
		store_segment_spare(sp->store, segment);
	}
	a->next++;
	return 0;
}

static int
judge_torn(struct record_walk *w, const struct torn *t)
{
	struct store_reader *rd AUTO(cleanup_store_reader_close) = NULL;
	struct record rec;
	struct adopt_op op = { .rec = &rec, .at = &t->at, .damaged = true,
		.torn = true };

	if (store_reader_open(w->sp->store, t->id, &t->at, &rd, &rec) < 0)
		return 0;
	return adopt_unknown(w, &op);
}

int
adopt_torn(struct spool *sp, struct record_walk *w)
{
	int r = 0;

	for (size_t i = 0; i < sp->adopt->n_torn && r >= 0; i++)
		r = keeper_tend(sp) ? judge_torn(w, &sp->adopt->torn[i]) :
		    -ECANCELED;
	return r;
}

/* Without a look at the bytes: a head is written when they are on the disk. */
int
adopt_open_files(struct spool *sp, struct record_walk *w)
{
	return store_scan_own(sp->store, true, false, true, adopt_record, w);
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

int
adopt_renumber(struct spool *sp, void *arg)
{
	(void)arg;
	return index_renumber(sp->ix);
}

static int
catch_up(struct spool *sp, struct record_walk *w)
{
	uint64_t from;
	int r = adopt_open_files(sp, w);

	while (r >= 0 && sp->adopt->next < sp->adopt->n)
		r = adopt_segment(sp, sp->adopt, w);
	/* Containers come before segments, and those in no order of time. */
	if (r >= 0 && w->adopted > 0)
		r = commit_inline(sp, adopt_renumber, NULL, 0);
	if (r >= 0)
		r = index_settled(sp->ix, &from);
	return r < 0 ? r : replay_log(sp, commit_inline, from, false);
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

static int
apply_filled(struct spool *sp, void *arg)
{
	(void)arg;
	return index_set_filled(sp->ix);
}

/* A new index over a spool that never had anything is no rebuild; one that was
 * interrupted begins anew: what it has found already is passed over. */
static int
needs_rebuild(struct spool *sp, bool *ret)
{
	bool any = sp->adopt->n > 0, filled = false;
	int r = index_filled(sp->ix, &filled);

	*ret = false;
	if (r < 0 || filled)
		return r;
	if (!any)
		r = store_scan_own(sp->store, false, false, false, see_record, &any);
	*ret = any;
	return r < 0 || any ? r : commit_inline(sp, apply_filled, NULL,
	    COMMIT_DURABLE);
}

int
adopt_at_start(struct spool *sp, struct buf *why)
{
	struct record_walk w = { .sp = sp, .commit = commit_inline };
	bool rebuild = false;
	int r;

	sp->adopt = xcalloc(1, sizeof(*sp->adopt));
	r = index_segments(sp->ix, tell_segment, sp->store);
	if (r >= 0)
		r = store_segments(sp->store, note_segment, sp->adopt);
	if (r >= 0)
		r = needs_rebuild(sp, &rebuild);
	if (r >= 0)
		r = rebuild ? adopt_open_files(sp, &w) : catch_up(sp, &w);
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
	free(sp->adopt->torn);
	free(TAKE_PTR(sp->adopt));
}
