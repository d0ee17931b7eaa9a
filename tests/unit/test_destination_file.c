/* test_destination_file.c - an instance as a file: the head that is a pure function
 * (rule 10), the data set as it came, and hashes that vouch for both (invariant 11).
 */
#include <string.h>

#include "gateway/destination/file_int.h"
#include "gateway/dicom/part10.h"
#include "tests/unit/stow_support.h"

#define LARGE (3u << 20)

static int
forget(void **state)
{
	(void)state;
	forget_objects();
	return 0;
}

static struct instance_file *
open_file(const struct fake_object *o)
{
	struct instance_file *f;

	assert_int_equal(instance_file_open(&fake_spool, &o->in, &f), 0);
	return f;
}

/* The file as it must be. */
static void
make_expected(const struct fake_object *o, struct buf *b)
{
	struct dicom_part10 head = { CT_STORAGE, "", DICOM_UID_EXPLICIT_LE };

	(void)snprintf(head.sop_instance, sizeof(head.sop_instance), "%s",
	    o->in.sop_instance);
	assert_int_equal(dicom_part10_write(b, &head), 0);
	assert_int_equal(buf_add(b, o->data, o->length), 0);
}

static void
test_bytes_at_any_place(void **state)
{
	static const size_t sizes[] = { 1000, LARGE };

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(sizes); k++) {
		struct fake_object *o = add_sized(DICOM_UID_EXPLICIT_LE,
		    (unsigned)k, 1, sizes[k]);
		AUTO(cleanup_instance_file_close) struct instance_file *f =
		    open_file(o);
		struct buf whole = BUF_INIT(64u << 20);
		char piece[5000];

		make_expected(o, &whole);
		assert_int_equal(instance_file_length(f), whole.len);
		for (int verified = 0; verified < 2; verified++) {
			for (size_t at = 0; at < whole.len; at += at < 2000 ? 37 :
			    99991) {
				size_t want = (at * 7 + 1) % sizeof(piece);
				size_t left = whole.len - at;
				ssize_t n = instance_file_read(f, at, piece, want);

				assert_int_equal(n, want < left ? want : left);
				assert_memory_equal(piece, whole.data + at, n);
			}
			assert_int_equal(instance_file_read(f, whole.len, piece, 9),
			    0);
			assert_int_equal(instance_file_prepare(f, 0), 0);
		}
		buf_free(&whole);
	}
}

static void
test_hashes(void **state)
{
	struct fake_object *o = add_sized(DICOM_UID_EXPLICIT_LE, 1, 1, LARGE);
	AUTO(cleanup_instance_file_close) struct instance_file *f = open_file(o);
	struct buf whole = BUF_INIT(64u << 20);
	const uint64_t part = 1000000;
	char hash[65], expected[65];

	(void)state;
	make_expected(o, &whole);
	sha256_hex("abc", 3, hash);
	assert_string_equal(hash, "ba7816bf8f01cfea414140de5dae2223b00361a3961"
	    "77a9cb410ff61f20015ad");
	sha256_hex(whole.data, whole.len, expected);
	assert_int_equal(instance_file_sha256(f, 0, UINT64_MAX, hash), 0);
	assert_string_equal(hash, expected);
	for (int prepared = 0; prepared < 2; prepared++) {
		for (uint64_t at = 0; at < whole.len; at += part) {
			uint64_t len = whole.len - at < part ? whole.len - at : part;

			sha256_hex(whole.data + at, len, expected);
			assert_int_equal(instance_file_sha256(f, at, len, hash), 0);
			assert_string_equal(hash, expected);
		}
		assert_int_equal(instance_file_prepare(f, part), 0);
	}
	sha256_hex(whole.data + 100, 2000, expected);
	assert_int_equal(instance_file_sha256(f, 100, 2000, hash), 0);
	assert_string_equal(hash, expected);
	buf_free(&whole);
}

static void
test_rule_10_same_file(void **state)
{
	struct fake_object *a = add_object(1, 1), *b = add_object(1, 1);
	AUTO(cleanup_instance_file_close) struct instance_file *f = NULL, *g = NULL;
	char one[65], other[65];

	(void)state;
	(void)snprintf(a->in.origin.calling, sizeof(a->in.origin.calling), "CT1");
	a->in.arrived_ms = 1;
	f = open_file(a);
	g = open_file(b);
	assert_int_equal(instance_file_sha256(f, 0, UINT64_MAX, one), 0);
	assert_int_equal(instance_file_sha256(g, 0, UINT64_MAX, other), 0);
	assert_string_equal(one, other);
}

static void
test_small_is_read_once(void **state)
{
	struct fake_object *o = add_object(1, 1);
	AUTO(cleanup_instance_file_close) struct instance_file *f = open_file(o);
	char hash[65], again[65];

	(void)state;
	assert_int_equal(instance_file_sha256(f, 0, UINT64_MAX, hash), 0);
	memset(o->data, 0, o->length);	/* the disk may do what it likes now */
	assert_int_equal(instance_file_prepare(f, 100), 0);
	assert_int_equal(instance_file_sha256(f, 0, UINT64_MAX, again), 0);
	assert_string_equal(hash, again);
}

static void
test_damage_is_found(void **state)
{
	static const size_t sizes[] = { 1000, LARGE };

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(sizes); k++) {
		struct fake_object *o = add_sized(DICOM_UID_EXPLICIT_LE,
		    (unsigned)k, 1, sizes[k]);
		AUTO(cleanup_instance_file_close) struct instance_file *f = NULL;
		char hash[65];

		o->data[o->length - 1] ^= 1;
		f = open_file(o);
		assert_int_equal(instance_file_error(f), 0);
		assert_int_equal(instance_file_sha256(f, 0, UINT64_MAX, hash),
		    -EUCLEAN);
		assert_int_equal(instance_file_prepare(f, 100000), -EUCLEAN);
		assert_int_equal(instance_file_error(f), -EUCLEAN);
	}
}

static void
test_not_to_be_opened(void **state)
{
	struct fake_object *o = add_object(1, 1);
	struct instance_file *f = NULL;

	(void)state;
	o->in.length++;
	assert_int_equal(instance_file_open(&fake_spool, &o->in, &f), -EUCLEAN);
	o->in.length--;
	o->gone = true;
	assert_int_equal(instance_file_open(&fake_spool, &o->in, &f), -ENOENT);
	assert_null(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_bytes_at_any_place, forget),
		cmocka_unit_test_setup(test_hashes, forget),
		cmocka_unit_test_setup(test_rule_10_same_file, forget),
		cmocka_unit_test_setup(test_small_is_read_once, forget),
		cmocka_unit_test_setup(test_damage_is_found, forget),
		cmocka_unit_test_setup(test_not_to_be_opened, forget),
	};

	return cmocka_run_group_tests(tests, NULL, forget);
}
