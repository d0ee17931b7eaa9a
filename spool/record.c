/* record.c - the envelope in front of every object on the disk.
 *
 * Fixed offsets, little endian, text padded with NULs: a head can be read with
 * xxd and the table in docs/SPOOL_FORMAT.md. What comes from the disk is not
 * trusted: a head counts only with its seal, and every field is checked even
 * then, since the seal tells damage and not intent.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "gateway/base/cleanup.h"
#include "spool/bytes_int.h"
#include "spool/record_int.h"

static const char record_magic[8] = "CWRECORD";

/* Magic, version, size, UUID and seal keep their place in every version. */
enum {
	AT_MAGIC = 0,
	AT_VERSION = 8,
	AT_HEAD_SIZE = 12,
	AT_UUID = 16,
	AT_ID = 32,
	AT_SEGMENT = 40,
	AT_GENERATION = 48,
	AT_WALL = 56,
	AT_BOOT = 64,
	AT_LENGTH = 72,
	AT_CHECKSUM = 80,
	AT_ORIGINATOR_ID = 96,
	AT_PRIORITY = 98,
	AT_TEXTS = 104,
	AT_SEAL = RECORD_HEAD - 8,
};

/* The texts follow each other from AT_TEXTS; each ends with a NUL at least. */
#define TEXT(field, room)                                               \
	{                                                               \
		offsetof(struct record, field),                         \
		    sizeof(((struct record *)NULL)->field), room        \
	}
static const struct {
	size_t at, size;	/* in struct record */
	size_t room;		/* on the disk */
} texts[] = {
	TEXT(boot_id, 40),
	TEXT(origin.calling, 24),
	TEXT(origin.called, 24),
	TEXT(origin.address, 48),
	TEXT(head.originator_title, 24),
	TEXT(head.sop_class, 72),
	TEXT(head.sop_instance, 72),
	TEXT(head.syntax, 72),
	TEXT(study_uid, 72),
	TEXT(series_uid, 72),
	TEXT(head.assume_charset, 40),
};

uint64_t
record_seal_key(const uint8_t uuid[static SPOOL_UUID])
{
	return get64(uuid) ^ get64(uuid + 8);
}

uint64_t
record_extent(uint64_t length)
{
	return (RECORD_HEAD + length + RECORD_ALIGN - 1) / RECORD_ALIGN *
	    RECORD_ALIGN;
}

void
record_encode(const struct record *r, const uint8_t uuid[static SPOOL_UUID],
    uint8_t out[static RECORD_HEAD])
{
	uint8_t *to = out + AT_TEXTS;

	assert(r->id != 0);

	memset(out, 0, RECORD_HEAD);
	memcpy(out + AT_MAGIC, record_magic, sizeof(record_magic));
	put32(out + AT_VERSION, RECORD_VERSION);
	put32(out + AT_HEAD_SIZE, RECORD_HEAD);
	memcpy(out + AT_UUID, uuid, SPOOL_UUID);
	put64(out + AT_ID, r->id);
	put64(out + AT_SEGMENT, r->segment);
	put64(out + AT_GENERATION, r->generation);
	put64(out + AT_WALL, (uint64_t)r->wall_ms);
	put64(out + AT_BOOT, (uint64_t)r->boot_ms);
	put64(out + AT_LENGTH, r->length);
	memcpy(out + AT_CHECKSUM, r->checksum, HASH_SIZE);
	put16(out + AT_ORIGINATOR_ID, r->head.originator_id);
	out[AT_PRIORITY] = (uint8_t)r->head.priority;

	for (size_t i = 0; i < ARRAY_LEN(texts); to += texts[i++].room) {
		const char *s = (const char *)r + texts[i].at;
		size_t len = strnlen(s, texts[i].size);

		assert(len < texts[i].size && len < texts[i].room);
		memcpy(to, s, len);
	}
	assert(to <= out + AT_SEAL);
	put64(out + AT_SEAL, hash_seal(out, AT_SEAL, record_seal_key(uuid)));
}

static bool
seal_holds(const uint8_t *in, const uint8_t *uuid)
{
	return memcmp(in, record_magic, sizeof(record_magic)) == 0 &&
	    memcmp(in + AT_UUID, uuid, SPOOL_UUID) == 0 &&
	    get64(in + AT_SEAL) ==
	    hash_seal(in, AT_SEAL, record_seal_key(uuid));
}

static int
decode_texts(const uint8_t *from, struct record *r)
{
	for (size_t i = 0; i < ARRAY_LEN(texts); from += texts[i++].room) {
		size_t len = strnlen((const char *)from, texts[i].room);

		if (len >= texts[i].size || len >= texts[i].room)
			return -EBADMSG;
		memcpy((char *)r + texts[i].at, from, len);
	}
	return 0;
}

int
record_decode(const uint8_t in[static RECORD_HEAD],
    const uint8_t uuid[static SPOOL_UUID], struct record *ret)
{
	struct record r = { 0 };

	if (!seal_holds(in, uuid))
		return -EBADMSG;
	if (get32(in + AT_VERSION) > RECORD_VERSION)
		return -ENOTSUP;
	if (get32(in + AT_VERSION) == 0 ||
	    get32(in + AT_HEAD_SIZE) != RECORD_HEAD)
		return -EBADMSG;

	r.id = get64(in + AT_ID);
	r.segment = get64(in + AT_SEGMENT);
	r.generation = get64(in + AT_GENERATION);
	r.wall_ms = (int64_t)get64(in + AT_WALL);
	r.boot_ms = (int64_t)get64(in + AT_BOOT);
	r.length = get64(in + AT_LENGTH);
	memcpy(r.checksum, in + AT_CHECKSUM, HASH_SIZE);
	r.head.originator_id = get16(in + AT_ORIGINATOR_ID);
	r.head.priority = (enum spool_priority)in[AT_PRIORITY];
	/* A length that cannot be added to an offset is none. */
	if (r.id == 0 || r.length > INT64_MAX / 2 ||
	    in[AT_PRIORITY] > SPOOL_STAT ||
	    decode_texts(in + AT_TEXTS, &r) < 0)
		return -EBADMSG;

	*ret = r;
	return 0;
}

int
record_spool(const uint8_t in[static RECORD_HEAD],
    uint8_t ret_uuid[static SPOOL_UUID])
{
	if (!seal_holds(in, in + AT_UUID))
		return -EBADMSG;
	memcpy(ret_uuid, in + AT_UUID, SPOOL_UUID);
	return 0;
}
