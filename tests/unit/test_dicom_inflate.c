/* test_dicom_inflate.c - raw deflate as a stream: any portions, damaged and cut
 * streams, a bomb that costs no more than its maximum.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <zlib.h>

#include "gateway/dicom/inflate.h"
#include "tests/unit/dicom_fixture.h"

#define DATA(name) struct buf name AUTO(buf_free) = BUF_INIT(FIXTURE_MAX)

struct sink {
	uint64_t total;
	uint64_t stop_at;	/* 0: never */
	size_t	 largest;
	struct buf *keep;
};

static void
deflate_bytes(const void *data, size_t len, struct buf *ret)
{
	z_stream z = { 0 };
	char out[4096];
	int r;

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, -MAX_WBITS, 9,
	    Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = (z_const Bytef *)data;
	z.avail_in = (uInt)len;
	do {
		z.next_out = (Bytef *)out;
		z.avail_out = sizeof(out);
		r = deflate(&z, Z_FINISH);
		assert_int_equal(buf_add(ret, out, sizeof(out) - z.avail_out), 0);
	} while (r == Z_OK);
	assert_int_equal(r, Z_STREAM_END);
	assert_int_equal(deflateEnd(&z), Z_OK);
}

static void
put_noise(struct buf *b, size_t len)
{
	uint64_t seed = 1;

	while (len-- > 0)
		(void)buf_add_char(b, (char)(next_random(&seed) & 0x1f));
}

static int
take(void *arg, const void *data, size_t len)
{
	struct sink *s = arg;

	assert_true(len > 0);
	if (len > s->largest)
		s->largest = len;
	s->total += len;
	if (s->keep != NULL)
		assert_int_equal(buf_add(s->keep, data, len), 0);
	return s->stop_at != 0 && s->total >= s->stop_at ? 7 : 0;
}

static int
inflate_portions(const struct buf *b, size_t portion, uint64_t max,
    struct sink *s)
{
	struct dicom_inflate *z = dicom_inflate_new(max, take, s);
	int r = 0;

	for (size_t at = 0; at < b->len && r == 0; at += portion) {
		size_t n = b->len - at < portion ? b->len - at : portion;

		r = dicom_inflate_feed(z, b->data + at, n);
	}
	/* Latched. */
	if (r != 0)
		assert_int_equal(dicom_inflate_feed(z, b->data, b->len), r);
	assert_int_equal(dicom_inflate_feed(z, NULL, 0), r);
	if (r == 0)
		r = dicom_inflate_end(z);
	dicom_inflate_free(z);
	return r;
}

static void
test_portions(void **state)
{
	static const size_t portions[] = { 1, 2, 7, 4096, 1 << 20 };
	DATA(plain);
	DATA(packed);

	(void)state;
	put_noise(&plain, 100 * 1000);
	deflate_bytes(plain.data, plain.len, &packed);
	(void)buf_add(&packed, "\0", 1);	/* padding behind the stream */
	for (size_t i = 0; i < ARRAY_LEN(portions); i++) {
		DATA(out);
		struct sink s = { .keep = &out };

		assert_int_equal(
		    inflate_portions(&packed, portions[i], 1 << 20, &s), 0);
		assert_int_equal(out.len, plain.len);
		assert_memory_equal(out.data, plain.data, plain.len);
		assert_true(s.largest <= 32 * 1024);
	}
}

static void
test_maximum(void **state)
{
	static const size_t lengths[] = { 1, 32767, 32768, 32769, 65536, 70000 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		struct sink exact = { 0 }, over = { 0 };
		DATA(plain);
		DATA(packed);

		put_noise(&plain, lengths[i]);
		deflate_bytes(plain.data, plain.len, &packed);
		assert_int_equal(
		    inflate_portions(&packed, 100, lengths[i], &exact), 0);
		assert_int_equal(exact.total, lengths[i]);
		assert_int_equal(
		    inflate_portions(&packed, 100, lengths[i] - 1, &over), -EFBIG);
		assert_int_equal(over.total, lengths[i] - 1);
	}
}

static void
test_bomb(void **state)
{
	AUTO_FREE char *zeros = xcalloc(1, 16u << 20);
	struct sink s = { 0 };
	DATA(packed);

	(void)state;
	deflate_bytes(zeros, 16u << 20, &packed);
	assert_true(packed.len < 32 * 1024);
	assert_int_equal(inflate_portions(&packed, packed.len, 1 << 20, &s), -EFBIG);
	assert_int_equal(s.total, 1 << 20);
	assert_true(s.largest <= 32 * 1024);
}

static void
test_cut_and_damaged(void **state)
{
	uint64_t seed = 3;
	DATA(plain);
	DATA(packed);

	(void)state;
	put_noise(&plain, 300);
	deflate_bytes(plain.data, plain.len, &packed);
	for (size_t len = 0; len < packed.len; len++) {
		struct buf cut = { .data = packed.data, .len = len };
		struct sink s = { 0 };

		assert_int_equal(inflate_portions(&cut, 16, 1 << 20, &s), -EBADMSG);
	}
	for (unsigned i = 0; i < 2000; i++) {
		struct sink s = { 0 };
		size_t at = random_below(&seed, packed.len);
		char was = packed.data[at];
		int r;

		packed.data[at] = (char)next_random(&seed);
		r = inflate_portions(&packed, 16, 1000, &s);
		assert_true(r == 0 || r == -EBADMSG || r == -EFBIG);
		assert_true(s.total <= 1000);
		packed.data[at] = was;
	}
}

static void
test_sink_ends_it(void **state)
{
	struct sink s = { .stop_at = 1 };
	DATA(plain);
	DATA(packed);

	(void)state;
	put_noise(&plain, 100 * 1000);
	deflate_bytes(plain.data, plain.len, &packed);
	assert_int_equal(inflate_portions(&packed, packed.len, 1 << 20, &s), 7);
	assert_true(s.total <= 32 * 1024);
	dicom_inflate_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_portions),
		cmocka_unit_test(test_maximum),
		cmocka_unit_test(test_bomb),
		cmocka_unit_test(test_cut_and_damaged),
		cmocka_unit_test(test_sink_ends_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
