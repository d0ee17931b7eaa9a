/* put.c - one object on its way in, up to the commit point.
 *
 * Small objects wait in chunks of a pool that all associations share and are
 * written to a segment in one piece when they are complete; what grows past
 * PUT_SMALL_MAX, or finds the pool empty, streams into a container of its own. So
 * memory is bounded whatever the peers send (invariant 9).
 *
 * The first error is latched and the rest of the object swallowed: an association
 * reads its data set to the end and answers A7xx at once.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/clock.h"
#include "spool/put_int.h"

/* ---- the pool of chunks ---- */

static struct put_chunk *
take_chunk(struct put_pool *pool)
{
	struct put_chunk *c;

	LOCK_SCOPE(&pool->mu);
	c = SLIST_FIRST(&pool->idle);
	if (c != NULL) {
		SLIST_REMOVE_HEAD(&pool->idle, link);
		pool->n_idle--;
		return c;
	}
	if (pool->n_all >= PUT_POOL_MAX / PUT_CHUNK)
		return NULL;
	c = malloc(sizeof(*c) + PUT_CHUNK);
	if (c != NULL)
		pool->n_all++;
	return c;
}

static void
give_chunk(struct put_pool *pool, struct put_chunk *c)
{
	LOCK_SCOPE(&pool->mu);
	if (pool->n_idle < PUT_IDLE_CHUNKS) {
		SLIST_INSERT_HEAD(&pool->idle, c, link);
		pool->n_idle++;
	} else {
		free(c);
		pool->n_all--;
	}
}

void
put_pool_init(struct put_pool *pool)
{
	(void)pthread_mutex_init(&pool->mu, NULL);
	SLIST_INIT(&pool->idle);
}

void
put_pool_done(struct put_pool *pool)
{
	assert(pool->n_all == pool->n_idle);
	while (!SLIST_EMPTY(&pool->idle)) {
		struct put_chunk *c = SLIST_FIRST(&pool->idle);

		SLIST_REMOVE_HEAD(&pool->idle, link);
		free(c);
	}
	(void)pthread_mutex_destroy(&pool->mu);
}

static void
drop_chunks(struct spool_put *put)
{
	while (put->n_chunks > 0)
		give_chunk(&put->sp->pool, put->chunk[--put->n_chunks]);
}

/* ---- sources ---- */

struct spool_source *
spool_source_open(struct spool *sp, const struct spool_origin *origin)
{
	struct spool_source *src = xcalloc(1, sizeof(*src));

	src->sp = sp;
	src->origin = *origin;
	return src;
}

void
spool_source_close(struct spool_source *src)
{
	if (src == NULL)
		return;
	activity_source_ends(src->sp->activity, src);
	/* What it held open may be complete now. */
	spool_wake(src->sp);
	free(src);
}

/* ---- receiving ---- */

int
spool_put_begin(struct spool_source *src, const struct spool_put_head *head,
    struct spool_put **ret)
{
	struct spool *sp = src->sp;
	struct spool_put *put;

	if (atomic_load(&sp->suspect))
		return -EIO;
	if (spool_space(sp) == SPOOL_SPACE_OUT)
		return -ENOSPC;

	put = xcalloc(1, sizeof(*put));
	put->sp = sp;
	put->source = src;
	put->head = *head;
	put->hash = hash_new();
	*ret = put;
	return 0;
}

static int
spill_to_own(struct spool_put *put)
{
	uint64_t id;
	int r;

	r = store_next_id(put->sp->store, &id);
	if (r >= 0)
		r = store_own_create(put->sp->store, id, &put->own);
	if (r < 0)
		return r;
	put->id = id;

	for (unsigned i = 0; i < put->n_chunks && r >= 0; i++) {
		uint64_t begin = (uint64_t)i * PUT_CHUNK;
		uint64_t left = put->length - begin;

		r = store_own_write(put->own, put->chunk[i]->data,
		    left < PUT_CHUNK ? left : PUT_CHUNK);
	}
	drop_chunks(put);
	return r;
}

/* Copies into chunks. 1: it does not belong there (too large, pool empty). */
static int
buffer_bytes(struct spool_put *put, const uint8_t *data, size_t len)
{
	if (put->length + len > put->sp->small_max)
		return 1;
	while (put->length + len > (uint64_t)put->n_chunks * PUT_CHUNK) {
		struct put_chunk *c = take_chunk(&put->sp->pool);

		if (c == NULL)
			return 1;
		put->chunk[put->n_chunks++] = c;
	}
	for (uint64_t at = put->length; len > 0;) {
		size_t off = at % PUT_CHUNK;
		size_t n = len < PUT_CHUNK - off ? len : PUT_CHUNK - off;

		memcpy(put->chunk[at / PUT_CHUNK]->data + off, data, n);
		data += n;
		at += n;
		len -= n;
	}
	return 0;
}

int
spool_put_write(struct spool_put *put, const void *data, size_t len)
{
	if (put->activity != NULL)
		activity_bytes(put->activity);
	if (put->error < 0 || len == 0)
		return put->error;

	if (put->own == NULL) {
		int r = buffer_bytes(put, data, len);

		if (r > 0)
			put->error = spill_to_own(put);
	}
	if (put->error == 0 && put->own != NULL)
		put->error = store_own_write(put->own, data, len);
	/* A large object may begin with room and end without. */
	if (put->error == 0 && put->own != NULL &&
	    spool_space(put->sp) == SPOOL_SPACE_OUT)
		put->error = -ENOSPC;
	if (put->error < 0)
		return put->error;

	hash_update(put->hash, data, len);
	put->length += len;
	return 0;
}

void
spool_put_study(struct spool_put *put, const char *study_uid)
{
	struct activity *a = put->sp->activity;

	if (put->activity != NULL)
		return;
	put->activity = activity_touch(a, put->source, study_uid,
	    put->head.priority);
	activity_put_begins(a, put->activity);
}

void
spool_put_describe(struct spool_put *put, const struct dicom_head *head)
{
	put->desc = *head;
	put->described = dicom_head_identified(head);
	if (put->described)
		spool_put_study(put, dicom_head_get(head, DICOM_HEAD_STUDY_UID, NULL));
}

uint64_t
spool_put_length(const struct spool_put *put)
{
	return put->length;
}

void
spool_put_free(struct spool_put *put)
{
	if (put == NULL)
		return;
	drop_chunks(put);
	store_own_close(put->own, false);
	if (put->activity != NULL)
		activity_put_ends(put->sp->activity, put->activity);
	hash_free(put->hash);
	free(put);
}

/* ---- the commit point ---- */

static void
fill_record(const struct spool_put *put, struct record *rec)
{
	*rec = (struct record){
		.id = put->id,
		.wall_ms = clock_wall_ms(),
		.boot_ms = clock_boot_ms(),
		.origin = put->source->origin,
		.head = put->head,
		.length = put->length,
	};
	(void)strncpy(rec->boot_id, clock_boot_id(), sizeof(rec->boot_id) - 1);
	(void)strncpy(rec->study_uid, dicom_head_get(&put->desc,
	    DICOM_HEAD_STUDY_UID, NULL), DICOM_UID_MAX);
	(void)strncpy(rec->series_uid, dicom_head_get(&put->desc,
	    DICOM_HEAD_SERIES_UID, NULL), DICOM_UID_MAX);
	memcpy(rec->checksum, put->checksum, HASH_SIZE);
}

/* Writes the buffered object into a segment. The keeper is nudged early, so that
 * the next segment is ready before this one is full. */
static int
write_small(struct spool_put *put, struct record *rec, struct store_place *at)
{
	struct spool *sp = put->sp;
	struct iovec iov[PUT_SMALL_MAX / PUT_CHUNK];
	uint64_t left = put->length;
	int r;

	r = store_next_id(sp->store, &put->id);
	if (r < 0)
		return r;
	if (store_wants_standby(sp->store))
		keeper_nudge(sp);
	r = store_reserve(sp->store, RECORD_HEAD + put->length,
	    clock_mono_ms() + sp->patience_ms, at, &rec->generation);
	if (r < 0)
		return r;

	rec->id = put->id;
	rec->segment = at->segment;
	for (unsigned i = 0; i < put->n_chunks; i++) {
		iov[i].iov_base = put->chunk[i]->data;
		iov[i].iov_len = left < PUT_CHUNK ? left : PUT_CHUNK;
		left -= iov[i].iov_len;
	}
	r = store_append(sp->store, at, rec, iov, (int)put->n_chunks);
	if (r < 0) {
		store_landed(sp->store, at);
		/* The blocks were there: this is the disk, not its fullness. */
		if (r != -ENOSPC)
			spool_suspect(sp, "a segment cannot be written", r);
	}
	return r;
}

static int
write_own(struct spool_put *put, const struct record *rec, struct store_place *at)
{
	int r;

	*at = (struct store_place){ 0, 0 };
	if (put->finished)	/* it came this far before, and raced */
		return 0;
	r = store_own_finish(put->own, rec);
	put->finished = r == 0;
	return r;
}

struct add_op {
	const struct record	 *rec;
	const struct store_place *place;
	const struct dicom_head	 *desc;
	const char		 *assume_charset;
	const char		 *to;
	bool			  check;
	uint64_t		  compared;
	bool			  raced;	/* somebody was first: look again */
	unsigned		  version;
};

static int
apply_add(struct spool *sp, void *arg)
{
	struct add_op *op = arg;
	struct index_known known;
	uint64_t study;
	int r;

	/* Two associations may bring the same object at once. Neither saw the
	 * other when it looked; the second looks again and compares bytes. */
	op->raced = false;
	r = index_same(sp->ix, op->rec->head.sop_instance, op->rec->length,
	    op->rec->checksum, &known);
	if (r == 0 && known.kept && !known.damaged && known.id != op->compared) {
		op->raced = true;
		return 0;
	}
	if (r < 0 && r != -ENOENT)
		return r;
	r = index_add(sp->ix, op->rec, op->place, op->desc, op->assume_charset,
	    op->check, &study, &op->version);
	if (r == 0 && op->to != NULL)
		r = index_route(sp->ix, op->rec->id, &op->to, 1);
	if (r == 0 && op->to != NULL)
		r = route_log(sp, &(struct spool_routing){ op->rec->id, &op->to, 1 });
	return r;
}

/* Bytes down, row in. 0, -EAGAIN (raced), or the error. */
static int
commit_new(struct spool_put *put, bool check, struct spool_receipt *ret)
{
	struct spool *sp = put->sp;
	struct store_place at;
	struct record rec;
	struct add_op op = { .rec = &rec, .place = &at, .desc = &put->desc,
		.assume_charset = put->head.assume_charset, .to = put->head.to,
		.check = check,
		.compared = put->compared };
	bool own = put->own != NULL;
	int r;

	fill_record(put, &rec);
	r = own ? write_own(put, &rec, &at) : write_small(put, &rec, &at);
	if (r < 0)
		return r;

	r = commit_run(sp, apply_add, &op, COMMIT_SYNC_STORE);
	if (!own) {
		/* Where the disk failed nobody knows what it has: left as it is. */
		if (op.raced || (r < 0 && !atomic_load(&sp->suspect)))
			store_abandon(sp->store, &at);
		store_landed(sp->store, &at);
	}
	if (r < 0 || op.raced)
		return r < 0 ? r : -EAGAIN;

	if (own) {
		keeper_published_later(sp, put->id);
		store_own_close(TAKE_PTR(put->own), true);
	}
	ret->id = put->id;
	ret->version = op.version;
	return 0;
}

struct again_op {
	uint64_t id;
	bool	 owed;		/* it still was: nothing to do */
	bool	 gone;		/* swept since we looked: these bytes are needed */
};

static int
apply_again(struct spool *sp, void *arg)
{
	struct again_op *op = arg;
	struct settle_entry e = { .verb = SETTLE_CHECK, .wall_ms = clock_wall_ms(),
		.id = op->id, .destination = "", .study = "", .actor = "",
		.reason = "received again" };
	int r;

	r = index_repend(sp->ix, op->id);
	op->owed = r == -EALREADY;
	op->gone = r == -ENOENT;
	if (op->gone)
		return 0;
	/* While the index is rebuilt it may not know yet how this one ended: the
	 * line is met when that is known. */
	if (op->owed && atomic_load(&sp->replayed))
		return 0;
	return r < 0 && !op->owed ? r : settle_append(sp->log, &e);
}

/* The same bytes once more (rule 2): they are here already, and durable. */
static int
commit_again(struct spool_put *put, const struct index_known *known,
    struct spool_receipt *ret)
{
	struct again_op op = { .id = known->id };
	int r = commit_run(put->sp, apply_again, &op, 0);

	if (r < 0 || op.gone)
		return r < 0 ? r : -EAGAIN;
	*ret = (struct spool_receipt){ known->id, known->version,
		op.owed ? SPOOL_SAME : SPOOL_OWED_AGAIN };
	return 0;
}

static int
commit_once(struct spool_put *put, struct spool_receipt *ret)
{
	struct index_known known;
	enum put_twin twin;
	int r;

	r = put_find_twin(put, &known, &twin);
	if (r < 0)
		return r;
	if (twin == PUT_TWIN_HERE)
		return commit_again(put, &known, ret);

	/* Past the first version nothing is settled without reading back. */
	r = commit_new(put, twin != PUT_TWIN_NONE, ret);
	if (r == 0)
		ret->outcome = twin == PUT_TWIN_NONE ? SPOOL_NEW :
		    twin == PUT_TWIN_GONE ? SPOOL_OWED_AGAIN : SPOOL_NEW_VERSION;
	return r;
}

int
spool_commit(struct spool_put **put_p, struct spool_receipt *ret)
{
	struct spool_put *put = TAKE_PTR(*put_p);
	struct spool *sp = put->sp;
	int r = put->error;

	if (r == 0 && !put->described)
		r = -EBADMSG;
	if (r == 0) {
		hash_digest(put->hash, put->checksum);
		do
			r = commit_once(put, ret);
		while (r == -EAGAIN);
	}
	spool_put_free(put);
	if (r < 0)
		return r;

	spool_wake(sp);
	return 0;
}
