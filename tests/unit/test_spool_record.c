/* test_spool_record.c - the envelope in front of every object. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "spool/bytes_int.h"
#include "spool/files_int.h"
#include "spool/record_int.h"

static const uint8_t uuid[SPOOL_UUID] = "0123456789abcdef";
static const uint8_t other[SPOOL_UUID] = "fedcba9876543210";

static struct record
sample(void)
{
	struct record r = {
		.id = UINT64_C(0x0102030405060708),
		.segment = 77,
		.generation = 3,
		.wall_ms = -5,
		.boot_ms = INT64_C(123456789012),
		.length = 526 * 1024,
		.origin = { .calling = "CT1", .called = "CAUSEWAY",
			.address = "2001:db8::1" },
		.head = { .originator_title = "PACS", .originator_id = 65535,
			.priority = SPOOL_STAT, .assume_charset = "ISO_IR 100" },
	};

	memset(r.boot_id, 'b', 36);
	memset(r.head.sop_class, '1', DICOM_UID_MAX);
	memset(r.head.sop_instance, '2', DICOM_UID_MAX);
	memset(r.head.syntax, '3', DICOM_UID_MAX);
	memset(r.study_uid, '4', DICOM_UID_MAX);
	memset(r.series_uid, '5', DICOM_UID_MAX);
	memset(r.checksum, 0xc5, HASH_SIZE);
	return r;
}

static void
seal_again(uint8_t *head, const uint8_t *key)
{
	memcpy(head + 16, key, SPOOL_UUID);
	put64(head + 1016, hash_seal(head, 1016, record_seal_key(key)));
}

static void
test_round_trip(void **state)
{
	struct record in = sample(), out;
	uint8_t head[RECORD_HEAD];

	(void)state;
	record_encode(&in, uuid, head);
	memset(&out, 0xee, sizeof(out));
	assert_int_equal(record_decode(head, uuid, &out), 0);
	assert_int_equal(out.id, in.id);
	assert_int_equal(out.segment, 77);
	assert_int_equal(out.generation, 3);
	assert_int_equal(out.wall_ms, -5);
	assert_int_equal(out.boot_ms, in.boot_ms);
	assert_int_equal(out.length, in.length);
	assert_int_equal(out.head.originator_id, 65535);
	assert_int_equal(out.head.priority, SPOOL_STAT);
	assert_string_equal(out.boot_id, in.boot_id);
	assert_string_equal(out.origin.calling, "CT1");
	assert_string_equal(out.origin.called, "CAUSEWAY");
	assert_string_equal(out.origin.address, "2001:db8::1");
	assert_string_equal(out.head.originator_title, "PACS");
	assert_string_equal(out.head.assume_charset, "ISO_IR 100");
	assert_string_equal(out.head.sop_class, in.head.sop_class);
	assert_string_equal(out.head.sop_instance, in.head.sop_instance);
	assert_string_equal(out.head.syntax, in.head.syntax);
	assert_string_equal(out.study_uid, in.study_uid);
	assert_string_equal(out.series_uid, in.series_uid);
	assert_memory_equal(out.checksum, in.checksum, HASH_SIZE);
}

/* The offsets that docs/SPOOL_FORMAT.md promises. */
static void
test_offsets_are_as_documented(void **state)
{
	struct record in = sample();
	uint8_t head[RECORD_HEAD];

	(void)state;
	record_encode(&in, uuid, head);
	assert_memory_equal(head, "CWRECORD", 8);
	assert_int_equal(get32(head + 8), 1);
	assert_int_equal(get32(head + 12), 1024);
	assert_memory_equal(head + 16, uuid, 16);
	assert_int_equal(get64(head + 32), in.id);
	assert_int_equal(get64(head + 40), 77);
	assert_int_equal(get64(head + 48), 3);
	assert_int_equal(get64(head + 72), in.length);
	assert_memory_equal(head + 80, in.checksum, 16);
	assert_int_equal(head[98], SPOOL_STAT);
	assert_int_equal(head[104], 'b');
	assert_string_equal(head + 144, "CT1");
	assert_string_equal(head + 168, "CAUSEWAY");
	assert_string_equal(head + 192, "2001:db8::1");
	assert_string_equal(head + 240, "PACS");
	assert_int_equal(head[264], '1');
	assert_int_equal(head[336], '2');
	assert_int_equal(head[408], '3');
	assert_int_equal(head[480], '4');
	assert_int_equal(head[552], '5');
	assert_string_equal(head + 624, "ISO_IR 100");
}

static void
test_every_flipped_bit_is_seen(void **state)
{
	struct record in = sample(), out = { .id = 42 };
	uint8_t head[RECORD_HEAD];

	(void)state;
	record_encode(&in, uuid, head);
	for (size_t bit = 0; bit < 8 * RECORD_HEAD; bit++) {
		head[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(record_decode(head, uuid, &out), -EBADMSG);
		head[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(out.id, 42);	/* untouched on failure */
}

static void
test_torn_head_is_none(void **state)
{
	struct record in = sample(), out;
	uint8_t head[RECORD_HEAD], torn[RECORD_HEAD];

	(void)state;
	record_encode(&in, uuid, head);
	for (size_t n = 0; n < RECORD_HEAD; n++) {
		memset(torn, 0, sizeof(torn));
		memcpy(torn, head, n);
		if (memcmp(torn, head, RECORD_HEAD) == 0)
			continue;
		assert_int_equal(record_decode(torn, uuid, &out), -EBADMSG);
	}
}

static void
test_another_spools_record_is_none(void **state)
{
	struct record in = sample(), out;
	uint8_t head[RECORD_HEAD], found[SPOOL_UUID];

	(void)state;
	record_encode(&in, other, head);
	assert_int_equal(record_decode(head, uuid, &out), -EBADMSG);
	assert_int_equal(record_spool(head, found), 0);
	assert_memory_equal(found, other, SPOOL_UUID);
	/* With our UUID put in by somebody who does not have the key right. */
	memcpy(head + 16, uuid, SPOOL_UUID);
	assert_int_equal(record_decode(head, uuid, &out), -EBADMSG);
	assert_int_equal(record_spool(head, found), -EBADMSG);
}

static void
test_sealed_nonsense_is_refused(void **state)
{
	static const struct {
		size_t at;
		uint64_t value;
		size_t size;
		int error;
	} cases[] = {
		{ 8, 2, 4, -ENOTSUP },		/* version */
		{ 8, 0, 4, -EBADMSG },
		{ 12, 2048, 4, -EBADMSG },	/* head size */
		{ 32, 0, 8, -EBADMSG },		/* id */
		{ 72, UINT64_MAX, 8, -EBADMSG },	/* length */
		{ 72, UINT64_MAX - 1023, 8, -EBADMSG },
		{ 98, 3, 1, -EBADMSG },		/* priority */
	};
	struct record in = sample(), out;
	uint8_t head[RECORD_HEAD];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t v[8];

		record_encode(&in, uuid, head);
		put64(v, cases[i].value);
		memcpy(head + cases[i].at, v, cases[i].size);
		seal_again(head, uuid);
		assert_int_equal(record_decode(head, uuid, &out),
		    cases[i].error);
	}
	/* Texts without an end. */
	for (size_t at = 104; at <= 624; at += 8) {
		record_encode(&in, uuid, head);
		memset(head + at, 'x', 664 - at);
		seal_again(head, uuid);
		assert_int_equal(record_decode(head, uuid, &out), -EBADMSG);
	}
}

static void
test_extent(void **state)
{
	(void)state;
	assert_int_equal(record_extent(0), 4096);
	assert_int_equal(record_extent(3072), 4096);
	assert_int_equal(record_extent(3073), 8192);
}

static void
test_segment_head(void **state)
{
	struct segment_head in = { .segment = 9, .generation = 4,
		.size = 1 << 20, .wall_ms = 1 }, out;
	uint8_t block[RECORD_ALIGN];

	(void)state;
	segment_head_encode(&in, uuid, block);
	assert_int_equal(segment_head_decode(block, uuid, &out), 0);
	assert_int_equal(out.segment, 9);
	assert_int_equal(out.generation, 4);
	assert_int_equal(out.size, 1 << 20);
	assert_int_equal(segment_head_decode(block, other, &out), -EBADMSG);
	/* All of it within a sector. */
	for (size_t i = 72; i < RECORD_ALIGN; i++)
		assert_int_equal(block[i], 0);
	for (size_t bit = 0; bit < 8 * 72; bit++) {
		block[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(segment_head_decode(block, uuid, &out),
		    -EBADMSG);
		block[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	put32(block + 8, 2);
	put64(block + 64, hash_seal(block, 64, record_seal_key(uuid)));
	assert_int_equal(segment_head_decode(block, uuid, &out), -ENOTSUP);
}

static void
test_names_come_from_ids_alone(void **state)
{
	static const char *const foreign[] = { "", ".seg", "x", "../etc/passwd",
		"0000000000000000.seg", "000000000000000g.seg",
		"00000000000000AB.seg", "0000000000000001.obj",
		"0000000000000001.seg~", "00000000000000001.seg",
		"0000000000000001" };
	char name[FILE_NAME_SIZE];
	uint64_t id = 0;

	(void)state;
	file_name(UINT64_C(0xfedcba9876543210), FILE_SEGMENT, name);
	assert_string_equal(name, "fedcba9876543210.seg");
	assert_int_equal(file_name_parse(name, FILE_SEGMENT, &id), 0);
	assert_int_equal(id, UINT64_C(0xfedcba9876543210));
	file_own_name(UINT64_C(0x1ab), name);
	assert_string_equal(name, "ab/00000000000001ab.obj");
	for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++)
		assert_int_equal(file_name_parse(foreign[i], FILE_SEGMENT, &id),
		    -EINVAL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_offsets_are_as_documented),
		cmocka_unit_test(test_every_flipped_bit_is_seen),
		cmocka_unit_test(test_torn_head_is_none),
		cmocka_unit_test(test_another_spools_record_is_none),
		cmocka_unit_test(test_sealed_nonsense_is_refused),
		cmocka_unit_test(test_extent),
		cmocka_unit_test(test_segment_head),
		cmocka_unit_test(test_names_come_from_ids_alone),
	};

	return cmocka_run_group_tests_name("spool record", tests, NULL, NULL);
}
