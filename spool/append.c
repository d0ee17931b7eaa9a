/* append.c - small objects into segments: a place, one write, a shared sync.
 *
 * A place is given out under the lock, in an instant; the write happens without
 * it. So records become durable in any order, and a write that never came leaves
 * a hole that a scan steps over. A segment cannot be sealed while a place in it
 * is in flight.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/clock.h"
#include "gateway/base/fdio.h"
#include "spool/files_store_int.h"

#define SYNC_BATCH 32
#define ZEROS_SIZE 65536

/* At most a quarter of a segment, so that what does not fit at its end wastes
 * an eighth of it on average, and mostly far less. */
uint64_t
store_record_max(const struct store *st)
{
	return st->segment_size / 4;
}

uint64_t
store_segment_size(const struct store *st)
{
	return st->segment_size;
}

/* The current segment if size bytes fit, going on to a standby if there is
 * one. Without one the current stays: smaller records may still fit. */
static struct segment *
segment_with_room(struct store *st, uint64_t size)
{
	struct segment *seg = st->current;

	if (seg != NULL && seg->used + size <= seg->size)
		return seg;
	TAILQ_FOREACH(seg, &st->hot, hot) {
		if (seg->state == SEGMENT_STANDBY)
			break;
	}
	if (seg == NULL)
		return NULL;
	if (st->current != NULL)
		segment_move(st->current, SEGMENT_FULL);
	segment_move(seg, SEGMENT_CURRENT);
	st->current = seg;
	return seg;
}

/* False when the deadline has passed. Gives up the lock meanwhile. */
static bool
wait_for_standby(struct store *st, int64_t deadline_ms)
{
	struct timespec until = {
		.tv_sec = deadline_ms / 1000,
		.tv_nsec = deadline_ms % 1000 * 1000000,
	};

	if (deadline_ms == CLOCK_NEVER)
		return pthread_cond_wait(&st->standby, &st->mu) == 0;
	return pthread_cond_timedwait(&st->standby, &st->mu, &until) == 0;
}

int
store_reserve(struct store *st, uint64_t size, int64_t deadline_ms,
    struct store_place *ret, uint64_t *ret_generation)
{
	struct segment *seg;
	bool late = false;
	uint64_t extent, failures;

	assert(size >= RECORD_HEAD);
	if (size > store_record_max(st))
		return -EMSGSIZE;
	extent = record_extent(size - RECORD_HEAD);

	LOCK_SCOPE(&st->mu);
	failures = st->standby_failures;
	for (;;) {
		if (st->suspect)
			return -EIO;
		seg = segment_with_room(st, extent);
		if (seg != NULL)
			break;
		if (late || st->standby_failures != failures)
			return -ENOSPC;
		late = !wait_for_standby(st, deadline_ms);
	}
	ret->segment = seg->id;
	ret->offset = seg->used;
	*ret_generation = seg->generation;
	seg->used += extent;
	seg->in_flight++;
	return 0;
}

static struct segment *
find_in_flight(struct store *st, const struct store_place *at)
{
	LOCK_SCOPE(&st->mu);
	struct segment *seg = segment_find(st, at->segment);

	assert(seg != NULL && seg->in_flight > 0 && seg->fd >= 0);
	return seg;
}

/* One write for head and data. The padding is what was there before: zeros, or
 * the rest of an older generation. */
int
store_append(struct store *st, const struct store_place *at,
    const struct record *r, struct iovec *data, int n)
{
	struct segment *seg = find_in_flight(st, at);
	AUTO_FREE struct iovec *iov = NULL;
	uint8_t head[RECORD_HEAD];
	uint64_t total = 0;
	int res;

	for (int i = 0; i < n; i++)
		total += data[i].iov_len;
	assert(total == r->length && r->segment == at->segment &&
	    r->generation == seg->generation &&
	    at->offset + record_extent(r->length) <= seg->size);

	iov = reallocarray(NULL, (size_t)n + 1, sizeof(*iov));
	if (iov == NULL)
		return -ENOMEM;
	record_encode(r, st->uuid, head);
	iov[0] = (struct iovec) { .iov_base = head, .iov_len = sizeof(head) };
	if (n > 0)
		memcpy(iov + 1, data, (size_t)n * sizeof(*iov));
	/* Its descriptor stays open while the place is in flight. */
	res = fdio_pwritev(seg->fd, iov, n + 1, (off_t)at->offset);

	/* Behind the write: a sync under way may not have seen all of it. */
	LOCK_SCOPE(&st->mu);
	seg->dirty = true;
	return res;
}

/* Not synced: where a power cut brings it back, it is adopted, and one too many
 * hurts less than one too few. */
void
store_abandon(struct store *st, const struct store_place *at)
{
	static const uint8_t nothing[RECORD_HEAD];
	struct segment *seg = find_in_flight(st, at);

	(void)fdio_pwrite(seg->fd, nothing, sizeof(nothing), (off_t)at->offset);
}

void
store_landed(struct store *st, const struct store_place *at)
{
	struct segment *seg;

	if (at->segment == 0)
		return;
	LOCK_SCOPE(&st->mu);
	seg = segment_find(st, at->segment);
	assert(seg != NULL && seg->in_flight > 0);
	seg->in_flight--;
}

/* Segments written since they were last taken here; not sealed meanwhile. */
static size_t
take_dirty(struct store *st, struct segment *ret[static SYNC_BATCH],
    bool *ret_open)
{
	struct segment *seg;
	size_t n = 0;

	LOCK_SCOPE(&st->mu);
	TAILQ_FOREACH(seg, &st->hot, hot) {
		if (!seg->dirty || n == SYNC_BATCH)
			continue;
		seg->dirty = false;
		seg->syncing++;
		ret[n++] = seg;
	}
	*ret_open = st->open_dirty;
	st->open_dirty = false;
	return n;
}

static void
give_back(struct store *st, struct segment *seg)
{
	LOCK_SCOPE(&st->mu);

	seg->syncing--;
}

int
store_sync(struct store *st)
{
	struct segment *seg[SYNC_BATCH];
	bool open_dirty;
	size_t n;
	int r;

	do {
		if (store_is_suspect(st))
			return -EIO;
		n = take_dirty(st, seg, &open_dirty);
		r = open_dirty ? fdio_sync(st->open_fd) : 0;
		for (size_t i = 0; i < n; i++) {
			if (r == 0)
				r = fdio_datasync(seg[i]->fd);
			give_back(st, seg[i]);
		}
		if (r < 0)
			return store_suspect(st);
	} while (n == SYNC_BATCH);
	return 0;
}

uint64_t
store_free_bytes(struct store *st)
{
	uint64_t sum = 0;

	LOCK_SCOPE(&st->mu);
	for (size_t i = 0; i < st->n_segments; i++) {
		const struct segment *seg = st->segment[i];

		if (seg->state == SEGMENT_FREE || seg->state == SEGMENT_STANDBY)
			sum += seg->size - RECORD_ALIGN;
		else if (seg->state == SEGMENT_CURRENT)
			sum += seg->size - seg->used;
	}
	return sum;
}

/* ---- wiping ---- */

static int
write_zeros(int fd, uint64_t at, uint64_t len)
{
	static const uint8_t zeros[ZEROS_SIZE];
	int r = 0;

	while (len > 0 && r == 0) {
		size_t n = len < ZEROS_SIZE ? (size_t)len : ZEROS_SIZE;

		r = fdio_pwrite(fd, zeros, n, (off_t)at);
		at += n;
		len -= n;
	}
	return r;
}

/* Only if it is still id's, or no record at all: a wipe that a crash cut short,
 * which is done again. The head goes with the rest, so a scan finds nothing. */
static int
wipe_range(struct store *st, int fd, uint64_t id, uint64_t at, uint64_t length,
    uint64_t size)
{
	uint8_t head[RECORD_HEAD] = { 0 };
	struct record rec;
	int r;

	if (at + length > size)
		return -EUCLEAN;
	if (fdio_pread(fd, head, sizeof(head), (off_t)at) >= 0 &&
	    record_decode(head, st->uuid, &rec) == 0 && rec.id != id)
		return -EUCLEAN;
	r = write_zeros(fd, at, length);
	return r < 0 ? r : fdio_datasync(fd);
}

int
store_wipe(struct store *st, uint64_t id, const struct store_place *at,
    uint64_t length)
{
	struct segment *seg = NULL;
	AUTO_CLOSE int fd = -1;
	uint64_t size = 0;
	int r;

	if (at->segment == 0) {
		r = own_file_open(st, id, O_RDWR, &fd, &size);
		return r < 0 ? r : wipe_range(st, fd, id, 0, size, size);
	}
	seg = segment_pin(st, at->segment);
	if (seg == NULL)
		return -ENOENT;
	r = segment_file_open(st, at->segment, O_RDWR, &fd, &size);
	if (r == 0)
		r = wipe_range(st, fd, id, at->offset, RECORD_HEAD + length,
		    size);
	segment_unpin(st, seg);
	return r == -EIO ? store_suspect(st) : r;
}
