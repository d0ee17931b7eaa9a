/* test_base_hash.c - the checksum is XXH3, whichever way it is computed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/hash.h"

DEFINE_CLEANUP(struct hash, hash_free)

/* XXH3_128bits of no bytes, from xxHash's specification. */
static const uint8_t of_nothing[HASH_SIZE] = {
	0x99, 0xaa, 0x06, 0xd3, 0x01, 0x47, 0x98, 0xd8,
	0x60, 0x01, 0xc3, 0x24, 0x46, 0x8d, 0x49, 0x7f,
};

static void
test_known_value_in_canonical_order(void **state)
{
	uint8_t digest[HASH_SIZE];

	(void)state;
	hash_bytes("", 0, digest);
	assert_memory_equal(digest, of_nothing, HASH_SIZE);
}

static void
test_pieces_make_the_whole(void **state)
{
	AUTO(cleanup_hash_free) struct hash *h = hash_new();
	uint8_t one[HASH_SIZE], many[HASH_SIZE], data[10000];

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + i / 256);
	for (size_t i = 0; i < sizeof(data); i += 100)
		hash_update(h, data + i, 100);
	hash_update(h, NULL, 0);
	hash_bytes(data, sizeof(data), one);
	hash_digest(h, many);
	assert_memory_equal(one, many, HASH_SIZE);
	hash_digest(h, many);
	assert_memory_equal(one, many, HASH_SIZE);
}

static void
test_reset_forgets(void **state)
{
	AUTO(cleanup_hash_free) struct hash *h = hash_new();
	uint8_t digest[HASH_SIZE];

	(void)state;
	hash_update(h, "abc", 3);
	hash_reset(h);
	hash_digest(h, digest);
	assert_memory_equal(digest, of_nothing, HASH_SIZE);
}

static void
test_seal_depends_on_seed_and_bytes(void **state)
{
	uint64_t a = hash_seal("record", 6, 1);

	(void)state;
	assert_true(a == hash_seal("record", 6, 1));
	assert_true(a != hash_seal("record", 6, 2));
	assert_true(a != hash_seal("recore", 6, 1));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_value_in_canonical_order),
		cmocka_unit_test(test_pieces_make_the_whole),
		cmocka_unit_test(test_reset_forgets),
		cmocka_unit_test(test_seal_depends_on_seed_and_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
