/* scan.c - what a container holds, by its own word.
 *
 * Nothing here trusts the index. A segment is read from its first block on: a
 * valid record of the present generation is reported and jumped over, anything
 * else is stepped over block by block, for a reservation whose write never came
 * leaves a hole, and promised records may stand behind it. What stands in a hole
 * is of an older generation or no head.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/fdio.h"
#include "spool/bytes_int.h"
#include "spool/files_int.h"

#define WINDOW 262144

static const char segment_magic[8] = "CWSEGMNT";

/* All within the first sector, so that a torn write leaves the old or the new. */
enum {
	AT_MAGIC = 0,
	AT_VERSION = 8,
	AT_HEAD_SIZE = 12,
	AT_UUID = 16,
	AT_SEGMENT = 32,
	AT_GENERATION = 40,
	AT_SIZE = 48,
	AT_WALL = 56,
	AT_SEAL = 64,
};

void
segment_head_encode(const struct segment_head *h,
    const uint8_t uuid[static SPOOL_UUID], uint8_t out[static RECORD_ALIGN])
{
	memset(out, 0, RECORD_ALIGN);
	memcpy(out + AT_MAGIC, segment_magic, sizeof(segment_magic));
	put32(out + AT_VERSION, RECORD_VERSION);
	put32(out + AT_HEAD_SIZE, RECORD_ALIGN);
	memcpy(out + AT_UUID, uuid, SPOOL_UUID);
	put64(out + AT_SEGMENT, h->segment);
	put64(out + AT_GENERATION, h->generation);
	put64(out + AT_SIZE, h->size);
	put64(out + AT_WALL, (uint64_t)h->wall_ms);
	put64(out + AT_SEAL, hash_seal(out, AT_SEAL, record_seal_key(uuid)));
}

int
segment_head_spool(const uint8_t in[static RECORD_ALIGN],
    uint8_t ret_uuid[static SPOOL_UUID])
{
	if (memcmp(in, segment_magic, sizeof(segment_magic)) != 0 ||
	    get64(in + AT_SEAL) !=
	    hash_seal(in, AT_SEAL, record_seal_key(in + AT_UUID)))
		return -EBADMSG;
	memcpy(ret_uuid, in + AT_UUID, SPOOL_UUID);
	return 0;
}

int
segment_head_decode(const uint8_t in[static RECORD_ALIGN],
    const uint8_t uuid[static SPOOL_UUID], struct segment_head *ret)
{
	uint8_t own[SPOOL_UUID];

	if (segment_head_spool(in, own) < 0 ||
	    memcmp(own, uuid, SPOOL_UUID) != 0)
		return -EBADMSG;
	if (get32(in + AT_VERSION) > RECORD_VERSION)
		return -ENOTSUP;
	if (get32(in + AT_VERSION) == 0 ||
	    get32(in + AT_HEAD_SIZE) != RECORD_ALIGN ||
	    get64(in + AT_SEGMENT) == 0 || get64(in + AT_GENERATION) == 0)
		return -EBADMSG;

	ret->segment = get64(in + AT_SEGMENT);
	ret->generation = get64(in + AT_GENERATION);
	ret->size = get64(in + AT_SIZE);
	ret->wall_ms = (int64_t)get64(in + AT_WALL);
	return 0;
}

int
segment_head_read(int fd, const uint8_t uuid[static SPOOL_UUID],
    struct segment_head *ret)
{
	uint8_t block[RECORD_ALIGN] = { 0 };
	ssize_t n;

	n = fdio_pread(fd, block, sizeof(block), 0);
	if (n < 0 && n != -EIO)
		return (int)n;
	return segment_head_decode(block, uuid, ret);
}

static void
cleanup_hash(struct hash **h)
{
	hash_free(*h);
}

bool
data_is_whole(int fd, uint64_t at, const struct record *r)
{
	AUTO_FREE uint8_t *buf = xcalloc(1, WINDOW);
	struct hash *h AUTO(cleanup_hash) = hash_new();
	uint8_t digest[HASH_SIZE];

	for (uint64_t done = 0; done < r->length;) {
		size_t n = r->length - done < WINDOW ?
		    (size_t)(r->length - done) : WINDOW;

		if (fdio_pread_full(fd, buf, n, (off_t)(at + done)) < 0)
			return false;
		hash_update(h, buf, n);
		done += n;
	}
	hash_digest(h, digest);
	return memcmp(digest, r->checksum, HASH_SIZE) == 0;
}

static int
file_size(int fd, uint64_t *ret)
{
	struct stat sb;

	if (fstat(fd, &sb) < 0)
		return -errno;
	*ret = (uint64_t)sb.st_size;
	return 0;
}

struct scan {
	int	 fd;
	uint64_t size, segment;
	const uint8_t *uuid;
	uint8_t *window;	/* WINDOW bytes of the file from window_at */
	uint64_t window_at;
	size_t	 window_len;
	bool	 newer;
};

/* RECORD_HEAD bytes at `at`, or NULL where the file ends. Valid until the next
 * call. */
static const uint8_t *
look_at(struct scan *sc, uint64_t at)
{
	uint64_t bad = 0;
	ssize_t n;

	if (at < sc->window_at ||
	    at + RECORD_HEAD > sc->window_at + sc->window_len) {
		/* Behind a record one block is enough; a hole may be long. */
		n = file_pread_rest(sc->fd, sc->window,
		    at == sc->window_at + sc->window_len ? WINDOW : RECORD_ALIGN,
		    at, &bad);
		sc->window_at = at;
		sc->window_len = n > 0 ? (size_t)n : 0;
	}
	return sc->window_len >= RECORD_HEAD ? sc->window + (at - sc->window_at) :
					       NULL;
}

/* The next record of this segment at or behind *at, whatever its generation;
 * *at becomes its place. -ENOENT: no more. */
static int
find_record(struct scan *sc, uint64_t *at, struct record *ret)
{
	int r;

	for (; *at + RECORD_HEAD <= sc->size; *at += RECORD_ALIGN) {
		const uint8_t *head = look_at(sc, *at);

		if (head == NULL)
			break;
		r = record_decode(head, sc->uuid, ret);
		if (r == -ENOTSUP)
			sc->newer = true;
		if (r == 0 && ret->segment == sc->segment)
			return 0;
	}
	return -ENOENT;
}

static uint64_t
highest_generation(struct scan *sc)
{
	uint64_t at = RECORD_ALIGN, highest = 0;
	struct record r;

	for (; find_record(sc, &at, &r) == 0; at += RECORD_ALIGN) {
		if (r.generation > highest)
			highest = r.generation;
	}
	return highest;
}

static bool
is_intact(const struct scan *sc, const struct record *r, uint64_t at,
    bool verify)
{
	if (at + RECORD_HEAD + r->length > sc->size)
		return false;
	return !verify || data_is_whole(sc->fd, at + RECORD_HEAD, r);
}

int
scan_segment(int fd, const uint8_t uuid[static SPOOL_UUID], uint64_t segment,
    uint64_t generation, bool verify, scan_fn *fn, void *arg)
{
	AUTO_FREE uint8_t *window = xcalloc(1, WINDOW);
	struct scan sc = { .fd = fd, .segment = segment, .uuid = uuid,
		.window = window };
	uint64_t at = RECORD_ALIGN;
	struct record rec;
	int r;

	r = file_size(fd, &sc.size);
	if (r < 0)
		return r;
	if (generation == 0)
		generation = highest_generation(&sc);
	while (find_record(&sc, &at, &rec) == 0) {
		if (rec.generation != generation) {
			at += RECORD_ALIGN;
			continue;
		}
		r = fn(arg, &rec, at, is_intact(&sc, &rec, at, verify));
		if (r != 0)
			return r;
		at += record_extent(rec.length);
	}
	return sc.newer ? -ENOTSUP : 0;
}

int
own_head_read(int fd, const uint8_t uuid[static SPOOL_UUID],
    struct record *ret)
{
	uint8_t head[RECORD_HEAD] = { 0 };
	struct record rec;
	ssize_t n;
	int r;

	n = fdio_pread(fd, head, sizeof(head), 0);
	if (n < 0 && n != -EIO)
		return (int)n;
	r = record_decode(head, uuid, &rec);
	if (r < 0)
		return r;
	if (rec.segment != 0)
		return -EBADMSG;
	*ret = rec;
	return 0;
}

int
scan_own(int fd, const uint8_t uuid[static SPOOL_UUID], bool verify,
    struct record *ret, bool *ret_intact)
{
	struct record rec;
	uint64_t size = 0;
	int r;

	r = own_head_read(fd, uuid, &rec);
	if (r == 0)
		r = file_size(fd, &size);
	if (r < 0)
		return r;
	*ret_intact = size >= RECORD_ALIGN + rec.length &&
	    (!verify || data_is_whole(fd, RECORD_ALIGN, &rec));
	*ret = rec;
	return 0;
}
