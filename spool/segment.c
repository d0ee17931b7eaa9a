/* segment.c - the life of a segment: found, prepared, taken, full, sealed, free.
 *
 * What is on the disk when is what counts here. A new file is allocated, its
 * head synced and then its name (the directory) before the index hears of it, and
 * records go in only after that: store_standby_prepare(), the index's commit,
 * store_standby_ready(). Taking a free one again is the same without the
 * directory; from the moment its head bears the next generation, all that it
 * held before is stale.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/clock.h"
#include "gateway/base/fdio.h"
#include "gateway/base/log.h"
#include "spool/files_store_int.h"

/* Only these moves exist; any other one is our bug. */
static const bool segment_may[SEGMENT_STATES][SEGMENT_STATES] = {
	[SEGMENT_FREE] = { [SEGMENT_STANDBY] = true },
	[SEGMENT_STANDBY] = { [SEGMENT_CURRENT] = true },
	[SEGMENT_CURRENT] = { [SEGMENT_FULL] = true },
	[SEGMENT_FULL] = { [SEGMENT_SEALED] = true },
	[SEGMENT_SEALED] = { [SEGMENT_FREE] = true },
};

/* ---- the list ---- */

/* The place of the first segment that is not below id. */
static size_t
lower_bound(const struct store *st, uint64_t id)
{
	size_t low = 0, high = st->n_segments;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (st->segment[mid]->id < id)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

struct segment *
segment_find(struct store *st, uint64_t id)
{
	size_t i = lower_bound(st, id);

	return i < st->n_segments && st->segment[i]->id == id ? st->segment[i] :
								NULL;
}

struct segment *
segment_add(struct store *st, uint64_t id)
{
	struct segment *seg = xcalloc(1, sizeof(*seg));
	size_t i = lower_bound(st, id);

	assert(i == st->n_segments || st->segment[i]->id != id);
	if (st->n_segments == st->segment_room) {
		st->segment_room = st->segment_room > 0 ? st->segment_room * 2 :
							  64;
		st->segment = xreallocarray(st->segment, st->segment_room,
		    sizeof(struct segment *));
	}
	memmove(st->segment + i + 1, st->segment + i,
	    (st->n_segments - i) * sizeof(struct segment *));
	st->segment[i] = seg;
	st->n_segments++;
	seg->id = id;
	seg->fd = -1;
	return seg;
}

static void
give_fd(struct store *st, struct segment *seg, int fd)
{
	assert(seg->fd < 0);

	seg->fd = fd;
	TAILQ_INSERT_TAIL(&st->hot, seg, hot);
}

/* The fd is the caller's to close, without the lock. */
static int
take_fd(struct store *st, struct segment *seg)
{
	assert(seg->syncing == 0);

	if (seg->fd < 0)
		return -1;
	TAILQ_REMOVE(&st->hot, seg, hot);
	seg->dirty = false;
	return TAKE_FD(seg->fd);
}

void
segment_drop(struct store *st, struct segment *seg)
{
	size_t i = lower_bound(st, seg->id);

	assert(seg->pins == 0 && seg->in_flight == 0 && seg->fd < 0);
	memmove(st->segment + i, st->segment + i + 1,
	    (st->n_segments - i - 1) * sizeof(struct segment *));
	st->n_segments--;
	free(seg);
}

void
segment_move(struct segment *seg, enum segment_state to)
{
	assert(segment_may[seg->state][to]);

	seg->state = to;
}

void
segments_free(struct store *st)
{
	while (st->n_segments > 0) {
		struct segment *seg = st->segment[st->n_segments - 1];
		AUTO_CLOSE int fd = take_fd(st, seg);

		assert(seg->pins == 0);
		seg->in_flight = 0;	/* commits that were never over */
		segment_drop(st, seg);
	}
	free(st->segment);
	st->segment = NULL;
}

/* ---- at start ---- */

struct loading {
	struct store *st;
	struct buf   *why;
};

/* Of another spool: not ours to read or write. */
static bool
is_foreign(const struct store *st, int fd)
{
	uint8_t block[RECORD_ALIGN] = { 0 }, uuid[SPOOL_UUID];

	if (fdio_pread(fd, block, sizeof(block), 0) < 0)
		return false;
	return segment_head_spool(block, uuid) == 0 &&
	    memcmp(uuid, st->uuid, SPOOL_UUID) != 0;
}

static int
load_segment(void *arg, int dirfd, uint64_t id)
{
	struct loading *l = arg;
	struct segment_head head = { 0 };
	char name[FILE_NAME_SIZE];
	AUTO_CLOSE int fd = -1;
	struct segment *seg;
	uint64_t size = 0;
	int r;

	file_name(id, FILE_SEGMENT, name);
	r = file_open(dirfd, name, O_RDONLY, &fd, &size);
	if (r < 0)
		return r == -ENOENT || r == -ELOOP ? 0 : r;
	r = segment_head_read(fd, l->st->uuid, &head);
	if (r == -ENOTSUP)
		(void)buf_printf(l->why,
		    "segments/%s is of a newer version of Causeway", name);
	if (r < 0 && r != -EBADMSG)
		return r;
	if (r < 0 && is_foreign(l->st, fd)) {
		log_debug("left alone: a segment of another spool",
		    LOG_STR("file", name));
		return 0;
	}

	LOCK_SCOPE(&l->st->mu);
	seg = segment_add(l->st, id);
	seg->state = SEGMENT_FULL;
	seg->generation = r == 0 ? head.generation : 0;
	seg->size = size;
	seg->damaged = r < 0 || head.size != size || head.segment != id;
	return 0;
}

int
segments_load(struct store *st, struct buf *why)
{
	struct loading l = { .st = st, .why = why };

	return file_walk(st->segments_fd, FILE_SEGMENT, load_segment, &l);
}

int
store_segment_known(struct store *st, uint64_t id, uint64_t generation,
    enum segment_state state)
{
	LOCK_SCOPE(&st->mu);
	struct segment *seg = segment_find(st, id);

	if (seg == NULL)
		return -ENOENT;
	assert(seg->fd < 0 && seg->state == SEGMENT_FULL);

	/* A head that cannot be read: the index is the only one to know. */
	if (seg->generation == 0)
		seg->generation = generation;
	/* Another generation than the index knows of was begun behind its back,
	 * between store_standby_prepare() and the commit: scan it. */
	if (seg->generation == generation &&
	    (state == SEGMENT_FREE || state == SEGMENT_SEALED))
		seg->state = state;
	return 0;
}

uint64_t
store_segment_generation(struct store *st, uint64_t id)
{
	LOCK_SCOPE(&st->mu);
	const struct segment *seg = segment_find(st, id);

	return seg != NULL ? seg->generation : 0;
}

int
store_segments(struct store *st,
    int (*fn)(void *arg, const struct store_segment *s), void *arg)
{
	AUTO_FREE struct store_segment *all = NULL;
	size_t n;
	int r = 0;

	(void)pthread_mutex_lock(&st->mu);
	n = st->n_segments;
	all = xcalloc(n, sizeof(*all));
	for (size_t i = 0; i < n; i++) {
		const struct segment *seg = st->segment[i];

		all[i] = (struct store_segment) { .id = seg->id,
			.generation = seg->generation, .size = seg->size,
			.state = seg->state, .in_flight = seg->in_flight,
			.pins = seg->pins };
	}
	(void)pthread_mutex_unlock(&st->mu);

	for (size_t i = 0; i < n && r == 0; i++)
		r = fn(arg, &all[i]);
	return r;
}

/* ---- pins ---- */

struct segment *
segment_pin(struct store *st, uint64_t id)
{
	LOCK_SCOPE(&st->mu);
	struct segment *seg = segment_find(st, id);

	if (seg != NULL)
		seg->pins++;
	return seg;
}

void
segment_unpin(struct store *st, struct segment *seg)
{
	LOCK_SCOPE(&st->mu);

	assert(seg->pins > 0);
	seg->pins--;
}

int
segment_file_open(struct store *st, uint64_t id, int flags, int *ret_fd,
    uint64_t *ret_size)
{
	char name[FILE_NAME_SIZE];

	file_name(id, FILE_SEGMENT, name);
	return file_open(st->segments_fd, name, flags, ret_fd, ret_size);
}

/* ---- standby ---- */

bool
store_wants_standby(struct store *st)
{
	const struct segment *seg;

	LOCK_SCOPE(&st->mu);
	TAILQ_FOREACH(seg, &st->hot, hot) {
		if (seg->state == SEGMENT_STANDBY)
			return false;
	}
	return true;
}

/* One that was prepared before and of which the index did not get to know, or
 * else a free one. */
static struct segment *
pick_free(struct store *st)
{
	struct segment *found = NULL;

	for (size_t i = 0; i < st->n_segments; i++) {
		struct segment *seg = st->segment[i];

		if (seg->state != SEGMENT_FREE)
			continue;
		if (seg->prepared)
			return seg;
		/* Pinned for a moment, by a reader that came too late. */
		if (found == NULL && !seg->damaged && seg->pins == 0)
			found = seg;
	}
	return found;
}

static int
write_segment_head(struct store *st, int fd, const struct segment_head *head)
{
	uint8_t block[RECORD_ALIGN];
	int r;

	segment_head_encode(head, st->uuid, block);
	r = fdio_pwrite(fd, block, sizeof(block), 0);
	if (r == 0)
		r = fdio_datasync(fd);
	return r;
}

static int
create_segment_file(struct store *st, const struct segment_head *head,
    int *ret_fd)
{
	AUTO_CLOSE int fd = -1;
	char name[FILE_NAME_SIZE];
	int r;

	file_name(head->segment, FILE_SEGMENT, name);
	fd = fdio_openat(st->segments_fd, name,
	    O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
	if (fd < 0)
		return fd;
	r = store_claim(st, fd, 0, head->size);
	if (r == 0)
		r = write_segment_head(st, fd, head);
	/* The name last: until then the file may vanish in a power cut, and
	 * nobody knows of it. */
	if (r == 0)
		r = fdio_sync(st->segments_fd);
	if (r < 0) {
		(void)fdio_unlink(st->segments_fd, name);
		return r == -EIO ? store_suspect(st) : r;
	}
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int
prepare_new(struct store *st, uint64_t *ret_segment, uint64_t *ret_generation)
{
	struct segment_head head = { .generation = 1,
		.size = st->segment_size, .wall_ms = clock_wall_ms() };
	struct segment *seg;
	int fd = -1, r;

	r = store_next_id(st, &head.segment);
	if (r == 0)
		r = create_segment_file(st, &head, &fd);
	if (r < 0)
		return r;

	LOCK_SCOPE(&st->mu);
	seg = segment_add(st, head.segment);
	seg->state = SEGMENT_FREE;
	seg->generation = head.generation;
	seg->size = head.size;
	seg->prepared = true;
	give_fd(st, seg, fd);
	*ret_segment = seg->id;
	*ret_generation = seg->generation;
	return 0;
}

/* seg is pinned. */
static int
prepare_again(struct store *st, struct segment *seg)
{
	struct segment_head head = { .segment = seg->id,
		.generation = seg->generation + 1, .size = seg->size,
		.wall_ms = clock_wall_ms() };
	AUTO_CLOSE int fd = -1;
	uint64_t size = 0;
	int r;

	r = segment_file_open(st, seg->id, O_RDWR, &fd, &size);
	if (r == 0 && size != seg->size)
		r = -EUCLEAN;
	if (r == 0)
		r = write_segment_head(st, fd, &head);
	if (r == -EIO)
		r = store_suspect(st);

	LOCK_SCOPE(&st->mu);
	if (r < 0) {
		/* Either generation may be on the disk: never written again. */
		seg->damaged = true;
		return r;
	}
	seg->generation = head.generation;
	seg->prepared = true;
	give_fd(st, seg, TAKE_FD(fd));
	return 0;
}

int
store_standby_prepare(struct store *st, uint64_t *ret_segment,
    uint64_t *ret_generation)
{
	struct segment *seg;
	bool prepared;
	int r = 0;

	if (store_is_suspect(st))
		return -EIO;
	(void)pthread_mutex_lock(&st->mu);
	seg = pick_free(st);
	prepared = seg != NULL && seg->prepared;
	if (seg != NULL)
		seg->pins++;
	(void)pthread_mutex_unlock(&st->mu);

	if (seg == NULL)
		return prepare_new(st, ret_segment, ret_generation);
	if (!prepared)
		r = prepare_again(st, seg);
	if (r == 0) {
		*ret_segment = seg->id;
		*ret_generation = seg->generation;
	}
	segment_unpin(st, seg);
	return r;
}

void
store_standby_ready(struct store *st, uint64_t segment)
{
	LOCK_SCOPE(&st->mu);
	struct segment *seg = segment_find(st, segment);

	assert(seg != NULL && seg->prepared && seg->fd >= 0);
	seg->prepared = false;
	seg->used = RECORD_ALIGN;
	segment_move(seg, SEGMENT_STANDBY);
	(void)pthread_cond_broadcast(&st->standby);
}

void
store_standby_failed(struct store *st)
{
	LOCK_SCOPE(&st->mu);

	st->standby_failures++;
	(void)pthread_cond_broadcast(&st->standby);
}

/* ---- full, sealed, free ---- */

void
store_segment_spare(struct store *st, uint64_t segment)
{
	LOCK_SCOPE(&st->mu);
	struct segment *seg = segment_find(st, segment);

	if (seg != NULL)
		seg->spared = true;
}

int
store_next_full(struct store *st, uint64_t *ret_segment,
    uint64_t *ret_generation)
{
	LOCK_SCOPE(&st->mu);

	for (size_t i = 0; i < st->n_segments; i++) {
		const struct segment *seg = st->segment[i];

		if (seg->state == SEGMENT_FULL && seg->in_flight == 0 &&
		    seg->syncing == 0 && !seg->spared) {
			*ret_segment = seg->id;
			*ret_generation = seg->generation;
			return 0;
		}
	}
	return -ENOENT;
}

void
store_sealed(struct store *st, uint64_t segment)
{
	AUTO_CLOSE int fd = -1;		/* closed without the lock */
	struct segment *seg;

	LOCK_SCOPE(&st->mu);
	seg = segment_find(st, segment);
	assert(seg != NULL && seg->in_flight == 0);
	segment_move(seg, SEGMENT_SEALED);
	/* What is not synced was never promised: those that were are not in
	 * flight any more. */
	if (seg->syncing == 0)
		fd = take_fd(st, seg);
}

static unsigned
count_free(const struct store *st)
{
	unsigned n = 0;

	for (size_t i = 0; i < st->n_segments; i++)
		n += st->segment[i]->state == SEGMENT_FREE;
	return n;
}

static int
remove_segment_file(struct store *st, uint64_t id)
{
	char name[FILE_NAME_SIZE];
	int r;

	file_name(id, FILE_SEGMENT, name);
	r = fdio_unlink(st->segments_fd, name);
	if (r == 0)
		r = fdio_sync(st->segments_fd);
	return r == -EIO ? store_suspect(st) : r;
}

int
store_recycle(struct store *st, uint64_t segment, unsigned max_free,
    bool *ret_removed)
{
	AUTO_CLOSE int fd = -1;
	struct segment *seg;
	bool removed = false;
	int r = 0;

	(void)pthread_mutex_lock(&st->mu);
	seg = segment_find(st, segment);
	if (seg == NULL) {
		r = -ENOENT;
	} else if (seg->state == SEGMENT_FREE && !seg->prepared) {
		r = 0;		/* the index did not hear of it */
	} else if (seg->state != SEGMENT_SEALED || seg->pins > 0 ||
	    seg->syncing > 0) {
		r = -EBUSY;
	} else {
		segment_move(seg, SEGMENT_FREE);
		fd = take_fd(st, seg);
		removed = seg->damaged || count_free(st) > max_free ||
		    seg->size != st->segment_size;
		/* Out of the list first: nobody may take it up any more. */
		if (removed)
			segment_drop(st, seg);
	}
	(void)pthread_mutex_unlock(&st->mu);

	if (r == 0 && removed)
		r = remove_segment_file(st, segment);
	if (r == 0)
		*ret_removed = removed;
	return r;
}
