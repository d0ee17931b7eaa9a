/* own.c - large objects: a container of their own.
 *
 * The data set streams in behind an empty first block; its head is written when
 * all the rest is on the disk. So a sealed head says that the object was received
 * whole, and a file without one is a reception that nobody was promised. Two
 * flushes for that, which objects of this size can bear.
 *
 * Space is claimed ahead of the writer in growing chunks, for few extents, and
 * given back at the end; write-back is begun behind it, so that the last sync
 * has little left to do (rule 20).
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/fdio.h"
#include "gateway/base/log.h"
#include "spool/files_store_int.h"

#define OWN_BUFFER  262144
#define CHUNK_FIRST (UINT64_C(4) << 20)
#define CHUNK_MAX   (UINT64_C(64) << 20)
#define HINT_EVERY  (UINT64_C(8) << 20)

/* ---- writing ---- */

int
store_own_create(struct store *st, uint64_t id, struct store_own **ret)
{
	struct store_own *o;
	char name[FILE_NAME_SIZE];
	int fd;

	if (store_is_suspect(st))
		return -EIO;
	file_name(id, FILE_OWN, name);
	fd = fdio_openat(st->open_fd, name,
	    O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
	if (fd < 0)
		return fd;

	o = xcalloc(1, sizeof(*o));
	o->st = st;
	o->id = id;
	o->fd = fd;
	o->buf = xcalloc(1, OWN_BUFFER);
	o->chunk = CHUNK_FIRST;

	LOCK_SCOPE(&st->mu);
	LIST_INSERT_HEAD(&st->writers, o, link);
	*ret = o;
	return 0;
}

/* Room in the file up to `end`. Near the end of the disk a whole chunk is more
 * than is needed. */
static int
claim_space(struct store_own *o, uint64_t end)
{
	uint64_t need;
	int r;

	if (end <= o->claimed)
		return 0;
	need = (end - o->claimed + RECORD_ALIGN - 1) / RECORD_ALIGN *
	    RECORD_ALIGN;
	if (need < o->chunk) {
		r = store_claim(o->st, o->fd, o->claimed, o->chunk);
		if (r == 0) {
			o->claimed += o->chunk;
			if (o->chunk < CHUNK_MAX)
				o->chunk *= 2;
			return 0;
		}
		if (r != -ENOSPC)
			return r;
	}
	r = store_claim(o->st, o->fd, o->claimed, need);
	if (r == 0)
		o->claimed += need;
	return r;
}

static int
write_through(struct store_own *o, const void *data, size_t len)
{
	uint64_t at = RECORD_ALIGN + o->flushed;
	int r;

	r = claim_space(o, at + len);
	if (r == 0)
		r = fdio_pwrite(o->fd, data, len, (off_t)at);
	if (r < 0)
		return r;
	o->flushed += len;
	if (o->flushed - o->hinted >= HINT_EVERY) {
		(void)fdio_writeback_begin(o->fd,
		    (off_t)(RECORD_ALIGN + o->hinted),
		    (off_t)(o->flushed - o->hinted));
		o->hinted = o->flushed;
	}
	return 0;
}

static int
flush_buffer(struct store_own *o)
{
	int r;

	if (o->error != 0 || o->buffered == 0)
		return o->error;
	r = write_through(o, o->buf, o->buffered);
	if (r < 0)
		return o->error = r;
	o->buffered = 0;
	return 0;
}

int
store_own_write(struct store_own *o, const void *data, size_t len)
{
	const uint8_t *p = data;

	assert(!o->finished);
	while (len > 0 && o->error == 0) {
		size_t n = OWN_BUFFER - o->buffered;

		if (o->buffered == 0 && len >= OWN_BUFFER) {
			n = len - len % OWN_BUFFER;
			o->error = write_through(o, p, n);
		} else {
			if (n > len)
				n = len;
			memcpy(o->buf + o->buffered, p, n);
			o->buffered += n;
			if (o->buffered == OWN_BUFFER)
				(void)flush_buffer(o);
		}
		p += n;
		len -= n;
	}
	return o->error;
}

uint64_t
store_own_length(const struct store_own *o)
{
	return o->flushed + o->buffered;
}

int
store_own_read(struct store_own *o, uint64_t at, void *data, size_t len)
{
	int r;

	if (at > store_own_length(o) || len > store_own_length(o) - at)
		return -EINVAL;
	r = flush_buffer(o);
	if (r < 0)
		return r;
	return fdio_pread_full(o->fd, data, len, (off_t)(RECORD_ALIGN + at));
}

static int
write_own_head(struct store_own *o, const struct record *r)
{
	uint8_t block[RECORD_ALIGN] = { 0 };

	record_encode(r, o->st->uuid, block);
	return fdio_pwrite(o->fd, block, sizeof(block), 0);
}

int
store_own_finish(struct store_own *o, const struct record *r)
{
	int res;

	assert(!o->finished && r->id == o->id && r->segment == 0 &&
	    r->length == store_own_length(o));

	res = flush_buffer(o);
	if (res == 0)
		res = fdio_truncate(o->fd, (off_t)(RECORD_ALIGN + r->length));
	if (res == 0)
		res = fdio_datasync(o->fd);
	/* Only now: the head says that the data is there. */
	if (res == 0)
		res = write_own_head(o, r);
	if (res == 0)
		res = fdio_datasync(o->fd);
	if (res < 0)
		return o->error = res;

	LOCK_SCOPE(&o->st->mu);
	o->finished = true;
	o->st->open_dirty = true;
	return 0;
}

void
store_own_close(struct store_own *o, bool keep)
{
	char name[FILE_NAME_SIZE];

	if (o == NULL)
		return;
	if (!o->finished || !keep) {
		file_name(o->id, FILE_OWN, name);
		(void)fdio_unlink(o->st->open_fd, name);
	}
	(void)pthread_mutex_lock(&o->st->mu);
	LIST_REMOVE(o, link);
	(void)pthread_mutex_unlock(&o->st->mu);
	(void)close(o->fd);
	free(o->buf);
	free(o);
}

/* ---- what is there ---- */

int
own_file_open(struct store *st, uint64_t id, int flags, int *ret_fd,
    uint64_t *ret_size)
{
	char name[FILE_NAME_SIZE], published[FILE_NAME_SIZE];
	int r;

	file_name(id, FILE_OWN, name);
	file_own_name(id, published);
	r = file_open(st->objects_fd, published, flags, ret_fd, ret_size);
	if (r == -ENOENT)
		r = file_open(st->open_fd, name, flags, ret_fd, ret_size);
	if (r == -ENOENT)	/* published between the two looks */
		r = file_open(st->objects_fd, published, flags, ret_fd,
		    ret_size);
	return r;
}

/* Without a sync: the rename is one step for the file system, both names are
 * looked at, and the next start publishes what is still in open/. */
int
store_own_publish(struct store *st, uint64_t id)
{
	char name[FILE_NAME_SIZE], published[FILE_NAME_SIZE];

	file_name(id, FILE_OWN, name);
	file_own_name(id, published);
	return fdio_rename(st->open_fd, name, st->objects_fd, published);
}

static int
sync_folder_of(struct store *st, uint64_t id)
{
	char name[FILE_NAME_SIZE];
	AUTO_CLOSE int fd = -1;
	int r;

	file_own_name(id, name);
	name[2] = '\0';		/* "XX/..." */
	r = file_open_dir(st->objects_fd, name, &fd);
	return r < 0 ? r : fdio_sync(fd);
}

static bool
own_is_pinned(struct store *st, uint64_t id)
{
	const struct own_pin *pin;

	LOCK_SCOPE(&st->mu);
	LIST_FOREACH(pin, &st->pins, link) {
		if (pin->id == id)
			return true;
	}
	return false;
}

/* open/ first: what is published in between is met in objects/. */
int
store_own_remove(struct store *st, uint64_t id)
{
	char name[FILE_NAME_SIZE];
	int r;

	if (own_is_pinned(st, id))
		return -EBUSY;
	file_name(id, FILE_OWN, name);
	r = fdio_unlink(st->open_fd, name);
	if (r == 0)
		r = fdio_sync(st->open_fd);
	if (r < 0 && r != -ENOENT)
		return r == -EIO ? store_suspect(st) : r;

	file_own_name(id, name);
	r = fdio_unlink(st->objects_fd, name);
	if (r == 0)
		r = sync_folder_of(st, id);
	if (r == -EIO)
		return store_suspect(st);
	return r == -ENOENT ? 0 : r;
}

int
store_own_set_aside(struct store *st, uint64_t id)
{
	char name[FILE_NAME_SIZE], published[FILE_NAME_SIZE];
	int r;

	file_name(id, FILE_OWN, name);
	file_own_name(id, published);
	r = fdio_rename(st->objects_fd, published, st->damaged_fd, name);
	if (r == -ENOENT)
		r = fdio_rename(st->open_fd, name, st->damaged_fd, name);
	if (r < 0)
		return r;
	/* The new name before the old one's end: a power cut may show both or
	 * either, never neither. */
	r = fdio_sync(st->damaged_fd);
	if (r == 0)
		r = sync_folder_of(st, id);
	if (r == 0)
		r = fdio_sync(st->open_fd);
	return r == -EIO ? store_suspect(st) : r;
}

/* ---- scanning ---- */

struct own_scan {
	struct store	*st;
	bool		 in_open, verify, remove_unfinished;
	store_record_fn *fn;
	void		*arg;
};

/* A head that cannot be read is no proof that there never was one. */
static bool
was_finished(int fd)
{
	uint8_t block[RECORD_ALIGN] = { 0 };

	if (fdio_pread(fd, block, sizeof(block), 0) < 0)
		return true;
	for (size_t i = 0; i < sizeof(block); i++) {
		if (block[i] != 0)
			return true;
	}
	return false;
}

static int
remove_leftover(struct store *st, int fd, uint64_t id)
{
	char name[FILE_NAME_SIZE];
	int r;

	if (was_finished(fd)) {
		log_debug("left alone: a container whose head is damaged",
		    LOG_U64("id", id));
		return 0;
	}
	file_name(id, FILE_OWN, name);
	log_debug("reception that never ended removed", LOG_U64("id", id));
	r = fdio_unlink(st->open_fd, name);
	return r == -ENOENT ? 0 : r;
}

static int
scan_own_file(void *arg, int dirfd, uint64_t id)
{
	static const struct store_place own = { 0 };
	const struct own_scan *sc = arg;
	char name[FILE_NAME_SIZE];
	AUTO_CLOSE int fd = -1;
	bool intact = false;
	struct record rec;
	int r;

	/* What this run receives is its own business. */
	if (sc->in_open && store_id_is_new(sc->st, id))
		return 0;
	file_name(id, FILE_OWN, name);
	r = file_open(dirfd, name, O_RDONLY, &fd, NULL);
	if (r < 0)
		return r == -ENOENT || r == -ELOOP ? 0 : r;
	r = scan_own(fd, sc->st->uuid, sc->verify, &rec, &intact);
	if (r == -EBADMSG && sc->in_open && sc->remove_unfinished)
		return remove_leftover(sc->st, fd, id);
	if (r == 0 && rec.id == id)
		return sc->fn(sc->arg, &rec, &own, intact);
	if (r == 0 || r == -EBADMSG || r == -ENOTSUP)
		log_debug("no record of ours in a container",
		    LOG_U64("id", id), LOG_ERR(r));
	return r == -EBADMSG ? 0 : r;
}

struct own_names {
	int (*fn)(void *arg, uint64_t id);
	void *arg;
};

static int
tell_name(void *arg, int dirfd, uint64_t id)
{
	const struct own_names *n = arg;

	(void)dirfd;
	return n->fn(n->arg, id);
}

int
store_own_ids(struct store *st, int (*fn)(void *arg, uint64_t id), void *arg)
{
	struct own_names n = { fn, arg };
	int r = file_walk(st->open_fd, FILE_OWN, tell_name, &n);

	return r != 0 ? r : file_walk_objects(st->objects_fd, tell_name, &n);
}

int
store_scan_own(struct store *st, bool open_only, bool verify,
    bool remove_unfinished, store_record_fn *fn, void *arg)
{
	struct own_scan sc = { .st = st, .in_open = true, .verify = verify,
		.remove_unfinished = remove_unfinished, .fn = fn, .arg = arg };
	int r;

	r = file_walk(st->open_fd, FILE_OWN, scan_own_file, &sc);
	if (r != 0 || open_only)
		return r;
	sc.in_open = false;
	return file_walk_objects(st->objects_fd, scan_own_file, &sc);
}
