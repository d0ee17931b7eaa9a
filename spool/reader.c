/* reader.c - reading objects, while they are pinned.
 *
 * A pin keeps the segment from being recycled and the file from being removed.
 * It is taken before the look at the bytes: what was there then stays. Who looked
 * up the place just before it was recycled finds another record there; he asks
 * the index again, which knows by then that the bytes are gone.
 *
 * A sector that cannot be read is damage of this object, not of the spool.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/fdio.h"
#include "spool/files_store_int.h"

struct store_reader {
	struct store   *st;
	struct segment *seg;	/* pinned; NULL: a container of its own */
	struct own_pin	pin;	/* used then */
	int		fd;
	uint64_t	offset, length;	/* of the data set in the file */
};

DEFINE_CLEANUP(struct store_reader, store_reader_close)

static void
pin_own(struct store_reader *r, uint64_t id)
{
	LOCK_SCOPE(&r->st->mu);

	r->pin.id = id;
	LIST_INSERT_HEAD(&r->st->pins, &r->pin, link);
}

/* The generation that a record must have to be of use; 0: any. */
static int
pin_segment(struct store_reader *r, uint64_t segment, uint64_t *ret_generation)
{
	LOCK_SCOPE(&r->st->mu);
	struct segment *seg = segment_find(r->st, segment);

	if (seg == NULL || seg->state == SEGMENT_FREE ||
	    seg->state == SEGMENT_STANDBY)
		return -ENOENT;
	seg->pins++;
	r->seg = seg;
	*ret_generation = seg->damaged ? 0 : seg->generation;
	return 0;
}

static int
read_head(const struct store_reader *r, uint64_t at, struct record *ret)
{
	uint8_t head[RECORD_HEAD] = { 0 };
	int res;

	res = fdio_pread_full(r->fd, head, sizeof(head), (off_t)at);
	if (res == 0)
		res = record_decode(head, r->st->uuid, ret);
	return res == -EIO || res == -EBADMSG ? -EUCLEAN : res;
}

static int
open_in_segment(struct store_reader *r, uint64_t id,
    const struct store_place *at, struct record *ret)
{
	uint64_t generation = 0;
	int res;

	res = pin_segment(r, at->segment, &generation);
	if (res == 0)
		res = segment_file_open(r->st, at->segment, O_RDONLY, &r->fd,
		    NULL);
	if (res == 0)
		res = read_head(r, at->offset, ret);
	if (res < 0)
		return res;
	if (ret->id != id || ret->segment != at->segment)
		return -EUCLEAN;
	/* What an earlier generation left, not yet written over. */
	if (generation != 0 && ret->generation != generation)
		return -ENOENT;
	r->offset = at->offset + RECORD_HEAD;
	return 0;
}

static int
open_own(struct store_reader *r, uint64_t id, struct record *ret)
{
	int res;

	pin_own(r, id);
	res = own_file_open(r->st, id, O_RDONLY, &r->fd, NULL);
	if (res == 0)
		res = read_head(r, 0, ret);
	if (res == 0 && (ret->id != id || ret->segment != 0))
		res = -EUCLEAN;
	r->offset = RECORD_ALIGN;
	return res;
}

int
store_reader_open(struct store *st, uint64_t id, const struct store_place *at,
    struct store_reader **ret, struct record *ret_record)
{
	struct store_reader *r AUTO(cleanup_store_reader_close) = NULL;
	struct record rec;
	int res;

	assert(id != 0);
	r = xcalloc(1, sizeof(*r));
	r->st = st;
	r->fd = -1;
	if (at->segment != 0)
		res = open_in_segment(r, id, at, &rec);
	else
		res = open_own(r, id, &rec);
	if (res < 0)
		return res;
	r->length = rec.length;
	*ret_record = rec;
	*ret = TAKE_PTR(r);
	return 0;
}

void
store_reader_close(struct store_reader *r)
{
	if (r == NULL)
		return;
	cleanup_close(&r->fd);
	(void)pthread_mutex_lock(&r->st->mu);
	if (r->seg != NULL)
		r->seg->pins--;
	else if (r->pin.id != 0)
		LIST_REMOVE(&r->pin, link);
	(void)pthread_mutex_unlock(&r->st->mu);
	free(r);
}

ssize_t
store_reader_read(struct store_reader *r, uint64_t at, void *data, size_t len)
{
	ssize_t n;

	if (at >= r->length)
		return 0;
	if (len > r->length - at)
		len = (size_t)(r->length - at);
	n = fdio_pread(r->fd, data, len, (off_t)(r->offset + at));
	if (n == -EIO || (n >= 0 && (size_t)n < len))
		return -EUCLEAN;
	return n;
}

int
store_reader_fd(const struct store_reader *r, uint64_t *ret_offset)
{
	*ret_offset = r->offset;
	return r->fd;
}

struct segment_scan {
	uint64_t	 segment;
	store_record_fn *fn;
	void		*arg;
};

static int
tell_place(void *arg, const struct record *r, uint64_t offset, bool intact)
{
	const struct segment_scan *sc = arg;
	const struct store_place at = { .segment = sc->segment,
		.offset = offset };

	return sc->fn(sc->arg, r, &at, intact);
}

int
store_scan_segment(struct store *st, uint64_t segment, bool verify,
    store_record_fn *fn, void *arg)
{
	struct segment_scan sc = { .segment = segment, .fn = fn, .arg = arg };
	struct segment *seg = segment_pin(st, segment);
	AUTO_CLOSE int fd = -1;
	int r;

	if (seg == NULL)
		return -ENOENT;
	r = segment_file_open(st, segment, O_RDONLY, &fd, NULL);
	if (r == 0)
		r = scan_segment(fd, st->uuid, segment, seg->generation, verify,
		    tell_place, &sc);
	segment_unpin(st, seg);
	return r;
}
