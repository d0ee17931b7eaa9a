/* spool_files.h - a store to try things on: small segments, objects whose bytes
 * follow from their id. For tests that include faulty_disk.h first.
 */
#ifndef CW_TEST_SPOOL_FILES_H
#define CW_TEST_SPOOL_FILES_H

#include "gateway/base/clock.h"
#include "spool/files_int.h"
#include "spool/store_int.h"

#define SEGMENT_BYTES 65536

static inline void
object_bytes(uint64_t id, uint8_t *data, size_t len)
{
	uint64_t x = id * UINT64_C(0x9e3779b97f4a7c15) + 1;

	for (size_t i = 0; i < len; i++) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		data[i] = (uint8_t)x;
	}
}

static inline struct record
object_record(uint64_t id, const uint8_t *data, size_t len)
{
	struct record r = { .id = id, .length = len, .wall_ms = 1700000000000,
		.boot_ms = 5, .boot_id = "boot",
		.origin = { "CT1", "CAUSEWAY", "10.1.2.3" },
		.head = { .sop_class = "1.2.840.10008.5.1.4.1.1.2",
			.syntax = "1.2.840.10008.1.2.1" },
		.study_uid = "1.2.3", .series_uid = "1.2.3.4" };

	(void)snprintf(r.head.sop_instance, sizeof(r.head.sop_instance),
	    "1.2.3.4.%llu", (unsigned long long)id);
	hash_bytes(data, len, r.checksum);
	return r;
}

static inline struct store *
open_store(const char *directory)
{
	struct buf why = BUF_INIT(4096);
	struct store *st = NULL;
	int r = store_open(directory, 0, SEGMENT_BYTES, &st, &why);

	if (r < 0)
		fail_msg("store_open: %d %s", r, why.data);
	buf_free(&why);
	return st;
}

/* As the keeper does, but for the index. */
static inline int
make_standby(struct store *st)
{
	uint64_t segment, generation;
	int r = store_standby_prepare(st, &segment, &generation);

	if (r == 0)
		store_standby_ready(st, segment);
	return r;
}

/* Reserves and appends; in flight still. */
static inline int
append_object(struct store *st, size_t len, uint64_t *ret_id,
    struct store_place *ret_at)
{
	AUTO_FREE uint8_t *data = xcalloc(1, len);
	struct record rec;
	struct iovec iov[2];
	uint64_t id;
	int r;

	if (store_wants_standby(st)) {
		r = make_standby(st);
		if (r < 0)
			return r;
	}
	r = store_next_id(st, &id);
	if (r < 0)
		return r;
	object_bytes(id, data, len);
	rec = object_record(id, data, len);
	r = store_reserve(st, RECORD_HEAD + len, clock_mono_ms(), ret_at,
	    &rec.generation);
	if (r < 0)
		return r;
	rec.segment = ret_at->segment;
	iov[0] = (struct iovec) { data, len / 3 };
	iov[1] = (struct iovec) { data + len / 3, len - len / 3 };
	r = store_append(st, ret_at, &rec, iov, 2);
	if (r < 0)
		store_landed(st, ret_at);
	*ret_id = id;
	return r;
}

static inline int
write_own(struct store *st, size_t len, uint64_t *ret_id)
{
	AUTO_FREE uint8_t *data = xcalloc(1, len);
	struct store_own *o = NULL;
	struct record rec;
	uint64_t id;
	int r;

	r = store_next_id(st, &id);
	if (r == 0)
		r = store_own_create(st, id, &o);
	if (r < 0)
		return r;
	object_bytes(id, data, len);
	rec = object_record(id, data, len);
	for (size_t at = 0; at < len && r == 0;) {
		size_t n = len - at < 50001 ? len - at : 50001;

		r = store_own_write(o, data + at, n);
		at += n;
	}
	if (r == 0)
		r = store_own_finish(o, &rec);
	store_own_close(o, r == 0);
	*ret_id = id;
	return r;
}

/* 0: it is there and its bytes are what they were. */
static inline int
check_object(struct store *st, uint64_t id, const struct store_place *at)
{
	struct store_reader *rd = NULL;
	struct record rec;
	ssize_t n;
	int r;

	r = store_reader_open(st, id, at, &rd, &rec);
	if (r < 0)
		return r;
	AUTO_FREE uint8_t *data = xcalloc(1, rec.length + 1);
	AUTO_FREE uint8_t *want = xcalloc(1, rec.length + 1);

	n = store_reader_read(rd, 0, data, rec.length + 1);
	store_reader_close(rd);
	if (n < 0)
		return (int)n;
	object_bytes(id, want, rec.length);
	return (uint64_t)n == rec.length &&
	    memcmp(data, want, rec.length) == 0 ? 0 : -EILSEQ;
}

#endif
