/* commit.c - the committer: the one place where "received" becomes "promised"
 * and where a promise ends.
 *
 * INVARIANTS of the spool. Code and tests refer to them by number.
 *
 *  1. Success is sent only after the object's bytes are durable (store_sync()
 *     below, or the fdatasync of its own container) and its row is committed. The
 *     row itself need not be durable: index commits are synchronous=NORMAL, so a
 *     power cut may take the last ones back; each such row is restored at the next
 *     start from the record's sealed head, because a segment is scanned then until
 *     a durable commit has SEALED it, and a container stays in open/ until a
 *     durable commit lets it be published.
 *  2. A promised object's bytes never change. It moves (compaction) only by being
 *     durable in the new place before the row says so.
 *  3. Names of files derive from our own ids; no string from the wire becomes a
 *     path, a command or an unescaped log byte.
 *  4. The index can be rebuilt: instances from their records, obligations and jobs
 *     from the settle log, which is synced before the index commit that relies on
 *     it. What has bytes and no row is adopted; a row without bytes is reported.
 *     Only notes are nowhere else: what they save is work.
 *  5. A delivery leaves `owed` only by confirmation of that version or by a named
 *     command; per destination and UID versions go in order of arrival, one at a
 *     time. Refused sets aside: it deletes nothing and does not block a later
 *     version. `sent` has not left `owed`: it has a live job, and when that ends
 *     without a verdict it is owed again, to be asked for first. Only that job's
 *     verdict, or one that names no job, settles it.
 *  6. Deleting is: log `expunged` and commit it, free the bytes, sync; what is
 *     expunged is never adopted. Nothing owed, sent, refused, pending or unrouted
 *     is freed.
 *  7. A failed fdatasync is final. On an object of its own: A7xx, its bytes are
 *     abandoned. On index, segment, log or directory: the spool is suspect, nothing
 *     is promised any more, the process ends and the index is rebuilt.
 *  8. Wall clock, boot id and CLOCK_BOOTTIME are kept with each arrival; silence is
 *     measured by CLOCK_BOOTTIME within one run and starts anew after a restart.
 *  9. Memory of one association or transfer is bounded whatever the peer sends.
 * 10. One writer; index and containers bear one UUID and are locked; the index
 *     refuses to live on a network file system.
 * 11. The checksum is verified while uploading; a mismatch is "damaged on this
 *     disk": set aside, never delivered as truth.
 *
 * Group commit: all operations that are waiting share one sync of the segments,
 * one sync of the settle log and one transaction, in that order. There is no
 * delay to gather them; while one batch syncs, the next gathers.
 */
#include <assert.h>
#include <errno.h>

#include "gateway/base/cleanup.h"
#include "spool/spool_int.h"

#define BATCH_MAX 256

/* The log must not say what the index does not: an `expunged` that is replayed
 * after the same bytes were promised once more would take them. Where the disk
 * failed nothing is promised any more, and nobody knows what the index has. */
static void
take_back(struct spool *sp, uint64_t settled, int error)
{
	if (error == -EIO || error == -EUCLEAN)
		return;
	if (settle_revoke(sp->log, settled) < 0)
		spool_suspect(sp, "the settle log could not be shortened", -EIO);
}

/* Everything but the waking. 0: all of it is committed. */
static int
commit_batch(struct spool *sp, struct commit_op *const *ops, size_t n)
{
	unsigned flags = 0;
	uint64_t settled;
	int r;

	for (size_t i = 0; i < n; i++)
		flags |= ops[i]->flags;

	/* The bytes first (invariant 1): a row must never be ahead of them. */
	if (flags & COMMIT_SYNC_STORE) {
		r = store_sync(sp->store);
		if (r < 0) {
			spool_suspect(sp, "a segment or directory could not be synced", r);
			return r;
		}
	}

	r = index_begin(sp->ix);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n && r >= 0; i++)
		r = ops[i]->fn(sp, ops[i]->arg);
	if (r < 0) {
		settle_discard(sp->log);
		index_rollback(sp->ix);
		return r;
	}

	/* The log before the rows that rely on it (invariant 4). */
	settled = settle_size(sp->log);
	r = settle_sync(sp->log);
	if (r < 0) {
		settle_discard(sp->log);
		index_rollback(sp->ix);
		if (r != -ENOSPC)
			spool_suspect(sp, "the settle log could not be synced", r);
		return r;
	}

	if (atomic_load(&sp->replayed))
		r = index_note_settled(sp->ix, settle_size(sp->log));
	if (r >= 0)
		r = index_commit(sp->ix, (flags & COMMIT_DURABLE) != 0);
	if (r < 0) {
		index_rollback(sp->ix);
		take_back(sp, settled, r);
	}
	return r;
}

/* A full disk must not keep obligations from being settled: the ballast goes
 * first. A damaged or unreadable index ends everything (invariant 7). */
static int
commit_or_explain(struct spool *sp, struct commit_op *const *ops, size_t n)
{
	int r = commit_batch(sp, ops, n);

	if (r == -ENOSPC && store_ballast_release(sp->store) == 0)
		r = commit_batch(sp, ops, n);
	if (r == -EUCLEAN || r == -EIO)
		spool_suspect(sp, "the index cannot be written", r);
	return r;
}

static void
finish_op(struct commit_op *op, int result)
{
	op->result = result;
	/* From here on the op belongs to its waiter again and may be gone. */
	(void)sem_post(&op->done);
}

static void
run_batch(struct spool *sp, struct commit_op **ops, size_t n)
{
	int r;

	if (n == 1 && (ops[0]->flags & COMMIT_CHECKPOINT)) {
		finish_op(ops[0], index_checkpoint(sp->ix));
		return;
	}
	r = atomic_load(&sp->suspect) ? -EIO : commit_or_explain(sp, ops, n);
	if (r < 0 && n > 1) {
		/* One of them spoils the rest: each for itself. */
		for (size_t i = 0; i < n; i++)
			run_batch(sp, &ops[i], 1);
		return;
	}
	for (size_t i = 0; i < n; i++)
		finish_op(ops[i], r);
}

/* Takes what waits; some go alone. 0: stopped and drained. */
static size_t
gather_batch(struct committer *c, struct commit_op **ops)
{
	size_t n = 0;

	LOCK_SCOPE(&c->mu);
	while (STAILQ_EMPTY(&c->queue) && !c->stop)
		(void)pthread_cond_wait(&c->cv, &c->mu);

	while (n < BATCH_MAX && !STAILQ_EMPTY(&c->queue)) {
		struct commit_op *op = STAILQ_FIRST(&c->queue);
		bool alone = (op->flags & (COMMIT_CHECKPOINT | COMMIT_ALONE)) != 0;

		if (alone && n > 0)
			break;
		STAILQ_REMOVE_HEAD(&c->queue, link);
		ops[n++] = op;
		if (alone)
			break;
	}
	return n;
}

static void *
committer_main(void *arg)
{
	struct spool *sp = arg;
	struct commit_op *ops[BATCH_MAX];
	size_t n;

	(void)pthread_setname_np(pthread_self(), "committer");
	while ((n = gather_batch(&sp->commit, ops)) > 0)
		run_batch(sp, ops, n);
	return NULL;
}

int
commit_start(struct spool *sp)
{
	struct committer *c = &sp->commit;
	int r;

	STAILQ_INIT(&c->queue);
	(void)pthread_mutex_init(&c->mu, NULL);
	(void)pthread_cond_init(&c->cv, NULL);
	r = pthread_create(&c->thread, NULL, committer_main, sp);
	c->running = r == 0;
	return -r;
}

void
commit_stop(struct spool *sp)
{
	struct committer *c = &sp->commit;

	if (!c->running)
		return;
	(void)pthread_mutex_lock(&c->mu);
	c->stop = true;
	(void)pthread_cond_signal(&c->cv);
	(void)pthread_mutex_unlock(&c->mu);
	(void)pthread_join(c->thread, NULL);
	c->running = false;
	(void)pthread_cond_destroy(&c->cv);
	(void)pthread_mutex_destroy(&c->mu);
}

int
commit_run(struct spool *sp, commit_fn *fn, void *arg, unsigned flags)
{
	struct commit_op op = { .fn = fn, .arg = arg, .flags = flags };
	struct committer *c = &sp->commit;

	if (atomic_load(&sp->suspect))
		return -EIO;
	assert(c->running);
	(void)sem_init(&op.done, 0, 0);

	(void)pthread_mutex_lock(&c->mu);
	assert(!c->stop);
	STAILQ_INSERT_TAIL(&c->queue, &op, link);
	(void)pthread_cond_signal(&c->cv);
	(void)pthread_mutex_unlock(&c->mu);

	while (sem_wait(&op.done) < 0 && errno == EINTR)
		continue;
	(void)sem_destroy(&op.done);
	return op.result;
}

int
commit_inline(struct spool *sp, commit_fn *fn, void *arg, unsigned flags)
{
	struct commit_op op = { .fn = fn, .arg = arg, .flags = flags };
	struct commit_op *one = &op;

	assert(!sp->commit.running);
	return commit_or_explain(sp, &one, 1);
}
