/* lend.c - the bytes of a promised object back out, pinned and verified: the
 * public reader, over the files' (reader.c) and the index's word on where it is.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/cleanup.h"
#include "spool/spool_int.h"

#define VERIFY_STEP (256u << 10)
#define MOVES_MAX   3	/* compaction may move it while we look */

struct spool_reader {
	struct store_reader *bytes;
	struct record	     rec;
};

static int
find_place(struct spool *sp, uint64_t id, struct store_place *ret,
    uint8_t ret_checksum[HASH_SIZE])
{
	struct spool_instance in;
	struct index_reader *ir;
	int r;

	ir = spool_reader_take(sp, &r);
	if (ir == NULL)
		return r;
	r = index_reader_instance(ir, id, &in, ret, ret_checksum);
	spool_reader_give(sp, ir);
	if (r == 0 && !in.kept)
		return -ENOENT;
	return r;
}

/* -ENOENT: the index says so. -EUCLEAN: the index has it and the disk has not. */
static int
open_where_it_is(struct spool *sp, uint64_t id, struct spool_reader *r)
{
	uint8_t checksum[HASH_SIZE];
	struct store_place at;
	int k = -EUCLEAN;

	for (unsigned i = 0; i < MOVES_MAX; i++) {
		k = find_place(sp, id, &at, checksum);
		if (k < 0)
			return k;
		k = store_reader_open(sp->store, id, &at, &r->bytes, &r->rec);
		if (k != -EUCLEAN && k != -ENOENT)
			break;
	}
	if (k == 0 && memcmp(checksum, r->rec.checksum, HASH_SIZE) != 0)
		k = -EUCLEAN;
	return k == -ENOENT ? -EUCLEAN : k;
}

int
spool_reader_open(struct spool *sp, uint64_t id, struct spool_reader **ret)
{
	struct spool_reader *r = xcalloc(1, sizeof(*r));
	int k = open_where_it_is(sp, id, r);

	if (k < 0) {
		spool_reader_close(r);
		return k;
	}
	*ret = r;
	return 0;
}

void
spool_reader_close(struct spool_reader *r)
{
	if (r == NULL)
		return;
	store_reader_close(r->bytes);
	free(r);
}

uint64_t
spool_reader_length(const struct spool_reader *r)
{
	return r->rec.length;
}

const char *
spool_reader_syntax(const struct spool_reader *r)
{
	return r->rec.head.syntax;
}

ssize_t
spool_reader_read(struct spool_reader *r, uint64_t at, void *data, size_t len)
{
	if (at >= r->rec.length)
		return 0;
	if (len > r->rec.length - at)
		len = r->rec.length - at;
	return store_reader_read(r->bytes, at, data, len);
}

DEFINE_CLEANUP(struct hash, hash_free)

int
spool_reader_verify(struct spool_reader *r)
{
	struct hash *h AUTO(cleanup_hash_free) = hash_new();
	AUTO_FREE uint8_t *buf = malloc(VERIFY_STEP);
	uint8_t sum[HASH_SIZE];

	if (buf == NULL)
		return -ENOMEM;
	for (uint64_t at = 0; at < r->rec.length;) {
		ssize_t n = spool_reader_read(r, at, buf, VERIFY_STEP);

		if (n < 0)
			return (int)n;
		if (n == 0)
			return -EUCLEAN;
		hash_update(h, buf, (size_t)n);
		at += (uint64_t)n;
	}
	hash_digest(h, sum);
	return memcmp(sum, r->rec.checksum, HASH_SIZE) == 0 ? 0 : -EUCLEAN;
}

const uint8_t *
spool_reader_checksum(const struct spool_reader *r)
{
	return r->rec.checksum;
}

int
spool_reader_fd(const struct spool_reader *r, uint64_t *ret_offset)
{
	return store_reader_fd(r->bytes, ret_offset);
}
