/* keeper.c - the thread that keeps house: a segment always ready, full ones
 * sealed, containers published, space measured, and whatever has grown old swept.
 *
 * Everything here may be late without harm: what it does makes starts quicker and
 * the disk roomier, never a promise safer.
 */
#include <errno.h>
#include <stdlib.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "spool/spool_int.h"

#define TICK_MS		1000
#define SWEEP_MS	30000
#define CHECKPOINT_MS	10000
#define BARRIER_MS	5000
#define FORGET_MS	3600000
#define BALLAST_BYTES	(8u << 20)
#define FLOOR_MAX	(UINT64_C(64) << 20)

struct segment_op {
	uint64_t id, generation;
	enum segment_state state;
};

static int
apply_segment(struct spool *sp, void *arg)
{
	const struct segment_op *op = arg;

	return index_segment_set(sp->ix, op->id, op->generation, op->state);
}

/* The index knows of a segment durably before its first record is written, so
 * every record that was ever promised is in a segment that a start looks at. */
static void
prepare_standby(struct spool *sp)
{
	struct segment_op op = { .state = SEGMENT_STANDBY };

	while (store_wants_standby(sp->store)) {
		int r = store_standby_prepare(sp->store, &op.id, &op.generation);

		if (r >= 0)
			r = commit_run(sp, apply_segment, &op, COMMIT_DURABLE);
		if (r == -ENOSPC || r == -EDQUOT)
			store_standby_failed(sp->store);
		if (r < 0)
			return;
		store_standby_ready(sp->store, op.id);
	}
}

bool
keeper_tend(struct spool *sp)
{
	struct keeper *k = &sp->keep;

	prepare_standby(sp);
	LOCK_SCOPE(&k->mu);
	return !k->stop;
}

static uint64_t *
take_unpublished(struct keeper *k, size_t *ret_n)
{
	uint64_t *ids;

	LOCK_SCOPE(&k->mu);
	ids = TAKE_PTR(k->unpublished);
	*ret_n = k->n_unpublished;
	k->n_unpublished = k->max_unpublished = 0;
	return ids;
}

static int
apply_nothing(struct spool *sp, void *arg)
{
	(void)sp;
	(void)arg;
	return 0;
}

/* A durable commit makes every row before it durable: segments that are full can
 * be sealed and containers leave open/. */
static void
seal_and_publish(struct spool *sp)
{
	struct keeper *k = &sp->keep;
	struct segment_op op = { .state = SEGMENT_SEALED };
	AUTO_FREE uint64_t *ids = NULL;
	bool sealed = false;
	size_t n;

	/* What is not adopted yet must be found again by the next start. */
	if (atomic_load(&sp->rebuilding))
		return;
	while (keeper_tend(sp) &&
	    store_next_full(sp->store, &op.id, &op.generation) == 0) {
		if (commit_run(sp, apply_segment, &op, COMMIT_DURABLE) < 0)
			return;
		store_sealed(sp->store, op.id);
		sealed = true;
	}

	if (!sealed && clock_mono_ms() < k->next_barrier_ms)
		return;
	k->next_barrier_ms = clock_mono_ms() + BARRIER_MS;
	ids = take_unpublished(k, &n);
	if (n == 0)
		return;
	if (commit_run(sp, apply_nothing, NULL, COMMIT_DURABLE) < 0) {
		for (size_t i = 0; i < n; i++)
			keeper_published_later(sp, ids[i]);
		return;
	}
	for (size_t i = 0; i < n; i++)
		(void)store_own_publish(sp->store, ids[i]);
}

void
keeper_published_later(struct spool *sp, uint64_t id)
{
	struct keeper *k = &sp->keep;

	LOCK_SCOPE(&k->mu);
	if (k->n_unpublished == k->max_unpublished) {
		k->max_unpublished = k->max_unpublished * 2 + 16;
		k->unpublished = xreallocarray(k->unpublished,
		    k->max_unpublished, sizeof(*k->unpublished));
	}
	k->unpublished[k->n_unpublished++] = id;
}

/* Free segments are room for arrivals, though the disk does not call them free;
 * the reserve is the disk's. */
void
keeper_measure_space(struct spool *sp)
{
	uint64_t reserve = atomic_load(&sp->reserve);
	uint64_t in_segments = store_free_bytes(sp->store);
	uint64_t disk_free, disk_size, room;
	enum spool_space space;

	if (store_space(sp->store, &disk_free, &disk_size) < 0)
		return;
	room = disk_free + in_segments;
	space = room < reserve ? SPOOL_SPACE_OUT :
	    room < 2 * reserve ? SPOOL_SPACE_LOW : SPOOL_SPACE_GOOD;

	atomic_store(&sp->disk_free, disk_free);
	atomic_store(&sp->disk_size, disk_size);
	atomic_store(&sp->free_in_segments, in_segments);
	if (atomic_exchange(&sp->space, (int)space) != (int)space)
		log_warn(space == SPOOL_SPACE_GOOD ? "disk space is back" :
		    space == SPOOL_SPACE_LOW ?
		    "disk space is low: no new associations are accepted" :
		    "disk space is out: storage is refused",
		    LOG_U64("free_bytes", room), LOG_U64("reserve_bytes", reserve));
	store_set_floor(sp->store, reserve / 2 < FLOOR_MAX ? reserve / 2 : FLOOR_MAX);
	if (space == SPOOL_SPACE_GOOD)
		(void)store_ballast_ensure(sp->store, BALLAST_BYTES);
}

static bool
is_due(int64_t *next, int64_t interval)
{
	int64_t now = clock_mono_ms();

	if (now < *next)
		return false;
	*next = now + interval;
	return true;
}

void
keeper_round(struct spool *sp)
{
	struct keeper *k = &sp->keep;
	bool good;

	prepare_standby(sp);
	seal_and_publish(sp);
	keeper_measure_space(sp);
	if (atomic_load(&sp->rebuilding))
		return;
	leftover_run(sp);
	good = atomic_load(&sp->space) == SPOOL_SPACE_GOOD;
	if (is_due(&k->next_sweep_ms, good ? SWEEP_MS : TICK_MS))
		sweep_run(sp);
	if (is_due(&k->next_checkpoint_ms, good ? CHECKPOINT_MS : TICK_MS))
		(void)commit_run(sp, apply_nothing, NULL, COMMIT_CHECKPOINT);
	if (is_due(&k->next_forget_ms, FORGET_MS))
		sweep_forget(sp);
	if (is_due(&k->next_prune_ms, FORGET_MS))
		prune_log(sp, PRUNE_BYTES);
}

static bool
wait_tick(struct keeper *k, int64_t ms)
{
	struct timespec ts;
	int64_t at = clock_mono_ms() + ms;

	ts.tv_sec = at / 1000;
	ts.tv_nsec = at % 1000 * 1000000;
	LOCK_SCOPE(&k->mu);
	while (!k->stop && !k->nudged) {
		if (pthread_cond_timedwait(&k->cv, &k->mu, &ts) == ETIMEDOUT)
			break;
	}
	k->nudged = false;
	return !k->stop;
}

static void *
keeper_main(void *arg)
{
	struct spool *sp = arg;
	bool more = true;

	(void)pthread_setname_np(pthread_self(), "keeper");
	/* While the index is rebuilt slices follow one another at once; each is
	 * an operation like any other, so arrivals pass in between. */
	do {
		keeper_round(sp);
		if (atomic_load(&sp->rebuilding))
			more = adopt_continue(sp) > 0;
	} while (wait_tick(&sp->keep, atomic_load(&sp->rebuilding) && more ? 0 :
	    TICK_MS));
	return NULL;
}

int
keeper_start(struct spool *sp)
{
	struct keeper *k = &sp->keep;
	pthread_condattr_t attr;
	int r;

	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&k->cv, &attr);
	(void)pthread_condattr_destroy(&attr);
	k->next_sweep_ms = clock_mono_ms() + TICK_MS;
	k->next_forget_ms = clock_mono_ms() + FORGET_MS / 60;
	r = pthread_create(&k->thread, NULL, keeper_main, sp);
	k->running = r == 0;
	return -r;
}

void
keeper_nudge(struct spool *sp)
{
	struct keeper *k = &sp->keep;

	LOCK_SCOPE(&k->mu);
	k->nudged = true;
	(void)pthread_cond_signal(&k->cv);
}

void
keeper_stop(struct spool *sp)
{
	struct keeper *k = &sp->keep;

	if (k->running) {
		(void)pthread_mutex_lock(&k->mu);
		k->stop = true;
		(void)pthread_cond_signal(&k->cv);
		(void)pthread_mutex_unlock(&k->mu);
		(void)pthread_join(k->thread, NULL);
		k->running = false;
		(void)pthread_cond_destroy(&k->cv);
	}
	free(TAKE_PTR(k->unpublished));
	free(TAKE_PTR(k->leftover));
	k->n_unpublished = k->max_unpublished = 0;
	k->n_leftover = k->max_leftover = 0;
}
