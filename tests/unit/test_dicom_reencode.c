/* test_dicom_reencode.c - rule 23 element by element, and properties: one data
 * set written in any encoding, cut in any portions, comes out as the same bytes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>

#define INFLATED_MAX (1u << 20)	/* so that a bomb need not be large */
#include "gateway/dicom/reencode.c"

#include "gateway/base/buf.h"

#define MAX (4u << 20)

static int
collect(void *arg, const void *data, size_t len)
{
	assert_true(len > 0);
	return buf_add(arg, data, len);
}

static uint32_t seed = 1;

static uint32_t
draw(uint32_t n)
{
	seed = seed * 1664525 + 1013904223;
	return (uint32_t)((uint64_t)(seed >> 4) * n >> 28);
}

enum form { PLAIN, COMPARE };

static struct dicom_reencode *
new_from(const char *syntax, enum form form, struct buf *out)
{
	const struct dicom_syntax *s = dicom_syntax_find(syntax);
	dicom_sink_fn *fn = out != NULL ? collect : NULL;

	return form == COMPARE ? dicom_reencode_new_compare(s, fn, out) :
	    dicom_reencode_new(s, fn, out);
}

/* In portions of at most `portion` bytes, or random ones up to -portion. */
static int
convert(const char *syntax, enum form form, const struct buf *in, int portion,
    struct buf *out, char *reason, size_t size)
{
	struct dicom_reencode *r = new_from(syntax, form, out);
	size_t at = 0;
	int error = 0;

	while (at < in->len && error == 0) {
		size_t n = portion > 0 ? (size_t)portion :
		    1 + draw((uint32_t)-portion);

		if (n > in->len - at)
			n = in->len - at;
		error = dicom_reencode_feed(r, in->data + at, n);
		at += n;
	}
	if (error == 0)
		error = dicom_reencode_end(r);
	if (error == 0)
		assert_int_equal(dicom_reencode_length(r), out->len);
	if (reason != NULL)
		(void)snprintf(reason, size, "%s", dicom_reencode_reason(r));
	dicom_reencode_free(r);
	return error;
}

/* --- bytes by hand --------------------------------------------------------- */

static void
add_hex(struct buf *b, const char *hex)
{
	unsigned v;
	int n;

	while (sscanf(hex, " %2x%n", &v, &n) == 1) {
		assert_int_equal(buf_add_char(b, (char)v), 0);
		hex += n;
	}
}

static void
expect_bytes(const char *syntax, enum form form, const char *in,
    const char *out)
{
	struct buf bi = BUF_INIT(MAX), bo = BUF_INIT(MAX), want = BUF_INIT(MAX);

	add_hex(&bi, in);
	add_hex(&want, out);
	for (int portion = 1; portion < 64; portion++) {
		buf_clear(&bo);
		assert_int_equal(
		    convert(syntax, form, &bi, portion, &bo, NULL, 0), 0);
		assert_int_equal(bo.len, want.len);
		assert_memory_equal(bo.data != NULL ? bo.data : "",
		    want.data != NULL ? want.data : "", want.len);
	}
	buf_free(&bi);
	buf_free(&bo);
	buf_free(&want);
}

static void
expect_refused(const char *syntax, const char *in, int error, const char *why)
{
	struct buf bi = BUF_INIT(MAX), bo = BUF_INIT(MAX);
	char reason[200];

	add_hex(&bi, in);
	assert_int_equal(convert(syntax, PLAIN, &bi, 7, &bo, reason,
	    sizeof(reason)), error);
	if (strstr(reason, why) == NULL)
		fail_msg("reason: %s", reason);
	buf_free(&bi);
	buf_free(&bo);
}

#define ILE DICOM_UID_IMPLICIT_LE
#define ELE DICOM_UID_EXPLICIT_LE
#define EBE DICOM_UID_EXPLICIT_BE
#define DFL DICOM_UID_DEFLATED_LE

#define ITEM_U	"fe ff 00 e0 ff ff ff ff "
#define ITEM_D	"fe ff 0d e0 00 00 00 00 "
#define SEQ_D	"fe ff dd e0 00 00 00 00 "

static void
test_implicit_takes_vr_from_the_dictionary(void **state)
{
	(void)state;
	expect_bytes(ILE, PLAIN, "08 00 60 00 02 00 00 00 43 54",
	    "08 00 60 00 43 53 02 00 43 54");
	/* a private creator, and private and unknown elements */
	expect_bytes(ILE, PLAIN, "09 00 10 00 02 00 00 00 41 20",
	    "09 00 10 00 4c 4f 02 00 41 20");
	expect_bytes(ILE, PLAIN, "09 00 01 10 02 00 00 00 41 20",
	    "09 00 01 10 55 4e 00 00 02 00 00 00 41 20");
	expect_bytes(ILE, PLAIN, "08 00 fe ff 02 00 00 00 41 20",
	    "08 00 fe ff 55 4e 00 00 02 00 00 00 41 20");
	expect_bytes(ILE, PLAIN, "", "");
}

static void
test_group_lengths_and_padding_are_dropped(void **state)
{
	(void)state;
	expect_bytes(ILE, PLAIN, "08 00 00 00 04 00 00 00 0a 00 00 00"
	    "08 00 60 00 02 00 00 00 43 54", "08 00 60 00 43 53 02 00 43 54");
	expect_bytes(EBE, PLAIN, "00 08 00 00 55 4c 00 04 00 00 00 0a"
	    "00 08 00 60 43 53 00 02 43 54", "08 00 60 00 43 53 02 00 43 54");
	expect_bytes(ELE, PLAIN, "08 00 60 00 43 53 02 00 43 54"
	    "fc ff fc ff 4f 42 00 00 02 00 00 00 00 00",
	    "08 00 60 00 43 53 02 00 43 54");
}

static void
test_odd_lengths_are_padded_by_vr(void **state)
{
	(void)state;
	expect_bytes(ILE, PLAIN, "08 00 60 00 01 00 00 00 43",
	    "08 00 60 00 43 53 02 00 43 20");
	expect_bytes(ELE, PLAIN, "08 00 18 00 55 49 01 00 31",
	    "08 00 18 00 55 49 02 00 31 00");
	expect_bytes(ELE, PLAIN, "e1 7f 10 00 4f 42 00 00 01 00 00 00 31",
	    "e1 7f 10 00 4f 42 00 00 02 00 00 00 31 00");
}

static void
test_big_endian_is_swapped_by_vr(void **state)
{
	(void)state;
	expect_bytes(EBE, PLAIN, "00 28 00 10 55 53 00 04 01 02 03 04",
	    "28 00 10 00 55 53 04 00 02 01 04 03");
	expect_bytes(EBE, PLAIN, "00 20 91 65 41 54 00 04 00 08 00 60",
	    "20 00 65 91 41 54 04 00 08 00 60 00");
	expect_bytes(EBE, PLAIN, "00 18 60 2c 46 44 00 08 01 02 03 04 05 06 07 08",
	    "18 00 2c 60 46 44 08 00 08 07 06 05 04 03 02 01");
	expect_bytes(EBE, PLAIN, "00 18 60 20 53 4c 00 04 01 02 03 04",
	    "18 00 20 60 53 4c 04 00 04 03 02 01");
	expect_bytes(EBE, PLAIN, "7f e0 00 10 4f 57 00 00 00 00 00 04 01 02 03 04",
	    "e0 7f 10 00 4f 57 00 00 04 00 00 00 02 01 04 03");
	expect_bytes(EBE, PLAIN, "00 08 00 60 43 53 00 02 43 54",
	    "08 00 60 00 43 53 02 00 43 54");
	expect_bytes(EBE, PLAIN, "00 09 10 01 55 4e 00 00 00 00 00 02 01 02",
	    "09 00 01 10 55 4e 00 00 02 00 00 00 01 02");
}

static void
test_sequences_leave_with_undefined_length(void **state)
{
	const char *out = "08 00 40 11 53 51 00 00 ff ff ff ff " ITEM_U
	    "08 00 60 00 43 53 02 00 43 54 " ITEM_D ITEM_U ITEM_D SEQ_D
	    "10 00 20 00 4c 4f 00 00";

	(void)state;
	expect_bytes(ILE, PLAIN, "08 00 40 11 1a 00 00 00"
	    "fe ff 00 e0 0a 00 00 00 08 00 60 00 02 00 00 00 43 54"
	    "fe ff 00 e0 00 00 00 00 10 00 20 00 00 00 00 00", out);
	expect_bytes(ELE, PLAIN, "08 00 40 11 53 51 00 00 ff ff ff ff"
	    "fe ff 00 e0 16 00 00 00 08 00 00 00 55 4c 04 00 0a 00 00 00"
	    "08 00 60 00 43 53 02 00 43 54" ITEM_U ITEM_D SEQ_D
	    "10 00 20 00 4c 4f 00 00", out);
	expect_bytes(EBE, PLAIN, "00 08 11 40 53 51 00 00 00 00 00 1a"
	    "ff fe e0 00 00 00 00 0a 00 08 00 60 43 53 00 02 43 54"
	    "ff fe e0 00 00 00 00 00 00 10 00 20 4c 4f 00 00", out);
	expect_bytes(ILE, PLAIN, "08 00 40 11 00 00 00 00",
	    "08 00 40 11 53 51 00 00 ff ff ff ff " SEQ_D);
}

static void
test_private_sequences_of_implicit_vr(void **state)
{
	(void)state;
	/* undefined length: nothing but a sequence may have that */
	expect_bytes(ILE, PLAIN, "09 00 02 10 ff ff ff ff" ITEM_U
	    "08 00 60 00 02 00 00 00 43 54" ITEM_D SEQ_D,
	    "09 00 02 10 53 51 00 00 ff ff ff ff" ITEM_U
	    "08 00 60 00 43 53 02 00 43 54" ITEM_D SEQ_D);
	/* defined length: UN, whose inside is implicit by definition */
	expect_bytes(ILE, PLAIN, "09 00 02 10 12 00 00 00"
	    "fe ff 00 e0 0a 00 00 00 08 00 60 00 02 00 00 00 43 54",
	    "09 00 02 10 55 4e 00 00 12 00 00 00"
	    "fe ff 00 e0 0a 00 00 00 08 00 60 00 02 00 00 00 43 54");
}

static void
test_inside_of_un_stays_as_it_is(void **state)
{
	const char *inside = ITEM_U "08 00 00 00 04 00 00 00 01 00 00 00"
	    "08 00 60 00 03 00 00 00 43 54 58"
	    "08 00 40 11 12 00 00 00 fe ff 00 e0 0a 00 00 00"
	    "08 00 61 00 02 00 00 00 4d 52"
	    "09 00 02 10 ff ff ff ff" ITEM_U ITEM_D SEQ_D ITEM_D
	    "fe ff 00 e0 00 00 00 00" SEQ_D;
	char in[1000], out[1000];

	(void)state;
	(void)snprintf(in, sizeof(in), "09 00 01 10 55 4e 00 00 ff ff ff ff %s"
	    "09 00 02 10 55 4e 00 00 01 00 00 00 41", inside);
	(void)snprintf(out, sizeof(out), "09 00 01 10 55 4e 00 00 ff ff ff ff %s"
	    "09 00 02 10 55 4e 00 00 02 00 00 00 41 00", inside);
	expect_bytes(ELE, PLAIN, in, out);
	(void)snprintf(in, sizeof(in), "00 09 10 01 55 4e 00 00 ff ff ff ff %s"
	    "00 09 10 02 55 4e 00 00 00 00 00 01 41", inside);
	expect_bytes(EBE, PLAIN, in, out);
}

static void
test_contradicting_lengths_inside_un_are_refused(void **state)
{
	(void)state;
	/* an item delimiter in an item of defined length would be lost */
	expect_refused(ELE, "09 00 01 10 55 4e 00 00 ff ff ff ff"
	    "fe ff 00 e0 08 00 00 00" ITEM_D SEQ_D, -ENOTSUP, "(0009,1001)");
	expect_refused(ELE, "09 00 01 10 55 4e 00 00 ff ff ff ff" ITEM_U
	    "08 00 40 11 08 00 00 00" ITEM_U ITEM_D SEQ_D, -ENOTSUP,
	    "(0008,1140)");
}

static void
test_signs_follow_pixel_representation(void **state)
{
	(void)state;
	expect_bytes(ILE, PLAIN, "28 00 03 01 02 00 00 00 01 00"
	    "28 00 06 01 02 00 00 00 fe ff", "28 00 03 01 55 53 02 00 01 00"
	    "28 00 06 01 53 53 02 00 fe ff");
	expect_bytes(ILE, PLAIN, "28 00 03 01 02 00 00 00 00 00"
	    "28 00 06 01 02 00 00 00 fe ff", "28 00 03 01 55 53 02 00 00 00"
	    "28 00 06 01 55 53 02 00 fe ff");
	/* who sent explicit VR keeps it */
	expect_bytes(EBE, PLAIN, "00 28 01 03 55 53 00 02 00 00"
	    "00 28 01 06 53 53 00 02 ff fe", "28 00 03 01 55 53 02 00 00 00"
	    "28 00 06 01 53 53 02 00 fe ff");
	/* none at all */
	expect_bytes(ILE, PLAIN, "28 00 06 01 02 00 00 00 fe ff",
	    "28 00 06 01 55 53 02 00 fe ff");
}

static void
test_signs_inside_items(void **state)
{
	(void)state;
	/* an item's own, then the data set's again */
	expect_bytes(ILE, PLAIN, "28 00 03 01 02 00 00 00 01 00"
	    "28 00 10 30 ff ff ff ff" ITEM_U
	    "28 00 02 30 02 00 00 00 01 02" ITEM_D ITEM_U
	    "28 00 03 01 02 00 00 00 00 00"
	    "28 00 02 30 02 00 00 00 01 02" ITEM_D ITEM_U
	    "28 00 02 30 02 00 00 00 01 02" ITEM_D SEQ_D,
	    "28 00 03 01 55 53 02 00 01 00"
	    "28 00 10 30 53 51 00 00 ff ff ff ff" ITEM_U
	    "28 00 02 30 53 53 02 00 01 02" ITEM_D ITEM_U
	    "28 00 03 01 55 53 02 00 00 00"
	    "28 00 02 30 55 53 02 00 01 02" ITEM_D ITEM_U
	    "28 00 02 30 53 53 02 00 01 02" ITEM_D SEQ_D);
}

/* (0018,9810) comes before the (0028,0103) that it hangs on. */
static void
test_signs_known_only_later(void **state)
{
	(void)state;
	expect_bytes(ILE, PLAIN, "18 00 10 98 02 00 00 00 fe ff"
	    "18 00 12 60 ff ff ff ff" ITEM_U "18 00 10 98 02 00 00 00 fe ff"
	    ITEM_D SEQ_D "28 00 03 01 02 00 00 00 01 00",
	    "18 00 10 98 53 53 02 00 fe ff"
	    "18 00 12 60 53 51 00 00 ff ff ff ff" ITEM_U
	    "18 00 10 98 53 53 02 00 fe ff" ITEM_D SEQ_D
	    "28 00 03 01 55 53 02 00 01 00");
	expect_bytes(ILE, PLAIN, "18 00 10 98 02 00 00 00 fe ff"
	    "28 00 06 01 02 00 00 00 01 00 28 00 03 01 02 00 00 00 01 00",
	    "18 00 10 98 55 53 02 00 fe ff"
	    "28 00 06 01 55 53 02 00 01 00 28 00 03 01 55 53 02 00 01 00");
	/* an icon's own says nothing of what stands outside */
	expect_bytes(ILE, PLAIN, "18 00 10 98 02 00 00 00 fe ff"
	    "18 00 12 60 ff ff ff ff" ITEM_U "28 00 03 01 02 00 00 00 01 00"
	    ITEM_D SEQ_D "28 00 03 01 02 00 00 00 00 00",
	    "18 00 10 98 55 53 02 00 fe ff"
	    "18 00 12 60 53 51 00 00 ff ff ff ff" ITEM_U
	    "28 00 03 01 55 53 02 00 01 00" ITEM_D SEQ_D
	    "28 00 03 01 55 53 02 00 00 00");
}

static void
test_bytes_or_words_follow_bits_allocated(void **state)
{
	(void)state;
	expect_bytes(ILE, PLAIN, "28 00 00 01 02 00 00 00 08 00"
	    "e0 7f 10 00 02 00 00 00 01 02", "28 00 00 01 55 53 02 00 08 00"
	    "e0 7f 10 00 4f 42 00 00 02 00 00 00 01 02");
	expect_bytes(ILE, PLAIN, "28 00 00 01 02 00 00 00 10 00"
	    "e0 7f 10 00 02 00 00 00 01 02", "28 00 00 01 55 53 02 00 10 00"
	    "e0 7f 10 00 4f 57 00 00 02 00 00 00 01 02");
	expect_bytes(ILE, PLAIN, "e0 7f 10 00 02 00 00 00 01 02",
	    "e0 7f 10 00 4f 57 00 00 02 00 00 00 01 02");
	/* overlays and LUT data are words, waveforms as their own bits say */
	expect_bytes(ILE, PLAIN, "28 00 06 30 02 00 00 00 01 02"
	    "00 60 00 30 02 00 00 00 01 02",
	    "28 00 06 30 4f 57 00 00 02 00 00 00 01 02"
	    "00 60 00 30 4f 57 00 00 02 00 00 00 01 02");
	expect_bytes(ILE, PLAIN, "00 54 00 01 ff ff ff ff" ITEM_U
	    "00 54 04 10 02 00 00 00 08 00 00 54 10 10 02 00 00 00 01 02"
	    ITEM_D SEQ_D, "00 54 00 01 53 51 00 00 ff ff ff ff" ITEM_U
	    "00 54 04 10 55 53 02 00 08 00"
	    "00 54 10 10 4f 42 00 00 02 00 00 00 01 02" ITEM_D SEQ_D);
}

static void
test_ambiguous_big_endian_pixels_are_refused(void **state)
{
	(void)state;
	expect_refused(EBE, "00 28 01 00 55 53 00 02 00 20"
	    "7f e0 00 10 4f 57 00 00 00 00 00 04 01 02 03 04", -ENOTSUP,
	    "(7FE0,0010)");
	expect_refused(EBE, "00 28 01 00 55 53 00 02 00 10"
	    "7f e0 00 10 4f 42 00 00 00 00 00 04 01 02 03 04", -ENOTSUP,
	    "(7FE0,0010)");
	expect_refused(EBE, "00 28 00 10 55 53 00 03 00 10 20", -ENOTSUP,
	    "(0028,0010)");
}

static void
test_fragments(void **state)
{
	(void)state;
	expect_bytes(ELE, PLAIN, "e0 7f 10 00 4f 42 00 00 ff ff ff ff"
	    "fe ff 00 e0 00 00 00 00 fe ff 00 e0 03 00 00 00 01 02 03" SEQ_D,
	    "e0 7f 10 00 4f 42 00 00 ff ff ff ff"
	    "fe ff 00 e0 00 00 00 00 fe ff 00 e0 04 00 00 00 01 02 03 00"
	    SEQ_D);
	expect_refused(ILE, "e0 7f 10 00 ff ff ff ff fe ff 00 e0 00 00 00 00"
	    SEQ_D, -ENOTSUP, "(7FE0,0010)");
}

static void
test_truncated_and_wrong(void **state)
{
	(void)state;
	expect_refused(ILE, "08 00 60 00 04 00 00 00 43 54", -EBADMSG,
	    "(0008,0060)");
	expect_refused(ELE, "08 00 40 11 53 51 00 00 ff ff ff ff", -EBADMSG,
	    "(0008,1140)");
	expect_refused(ELE, "08 00", -EBADMSG, "");
	expect_refused(DFL, "ff ff ff ff", -EBADMSG, "deflate");
}

/* Long values in VRs with a length of 16 bits (CP-1066), odd ones included. */
static void
test_too_long_becomes_un(void **state)
{
	static const uint32_t lengths[] = { 65532, 65533, 65534, 65535, 65536,
		70001 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		struct buf in = BUF_INIT(MAX), out = BUF_INIT(MAX);
		uint32_t n = lengths[i], even = n + (n & 1);
		bool is_un = even > 65534;
		const uint8_t *p;

		add_hex(&in, "06 30 50 00");	/* Contour Data, DS */
		assert_int_equal(buf_add(&in, &n, 4), 0);
		for (uint32_t k = 0; k < n; k++)
			assert_int_equal(buf_add_char(&in, '1'), 0);
		assert_int_equal(
		    convert(ILE, PLAIN, &in, 5000, &out, NULL, 0), 0);
		p = (const uint8_t *)out.data;
		assert_int_equal(out.len, (is_un ? 12 : 8) + even);
		assert_memory_equal(p + 4, is_un ? "UN" : "DS", 2);
		assert_int_equal(p[is_un ? 8 : 6], even & 0xff);
		assert_int_equal(p[is_un ? 10 : 7], is_un ? 1 : even >> 8);
		assert_int_equal(p[out.len - 1], n & 1 ? ' ' : '1');
		buf_free(&in);
		buf_free(&out);
	}
}

static void
test_compare_form_knows_no_vr(void **state)
{
	const char *out = "09 00 01 10 02 00 00 00 41 20"
	    "28 00 06 01 02 00 00 00 fe ff"
	    "28 00 10 30 ff ff ff ff" ITEM_U ITEM_D SEQ_D
	    "e0 7f 10 00 02 00 00 00 01 02";

	(void)state;
	expect_bytes(ELE, COMPARE, "09 00 01 10 4c 4f 02 00 41 20"
	    "28 00 06 01 53 53 02 00 fe ff"
	    "28 00 10 30 53 51 00 00 08 00 00 00 fe ff 00 e0 00 00 00 00"
	    "e0 7f 10 00 4f 42 00 00 02 00 00 00 01 02", out);
	expect_bytes(ILE, COMPARE, "09 00 01 10 02 00 00 00 41 20"
	    "28 00 06 01 02 00 00 00 fe ff"
	    "28 00 10 30 08 00 00 00 fe ff 00 e0 00 00 00 00"
	    "e0 7f 10 00 02 00 00 00 01 02", out);
	expect_bytes(ELE, COMPARE, "09 00 01 10 55 4e 00 00 ff ff ff ff"
	    "fe ff 00 e0 00 00 00 00" SEQ_D,
	    "09 00 01 10 ff ff ff ff" ITEM_U ITEM_D SEQ_D);
}

/* --- one random data set in every encoding --------------------------------- */

enum style { IMPLICIT, EXPLICIT, BIG, CANONICAL };

static const char *const style_syntax[] = { ILE, ELE, EBE };

/* `seed` draws the data set, `habit` how this sender writes it. */
struct writer {
	enum style  style;
	struct buf *out;
	uint32_t    habit;
	bool	    wide;
};

static bool
has_habit(struct writer *w)
{
	w->habit = w->habit * 1664525 + 1013904223;
	return w->style != CANONICAL && w->habit >> 31 != 0;
}

static void
add_number(struct writer *w, uint64_t v, unsigned size)
{
	for (unsigned i = 0; i < size; i++) {
		unsigned shift = 8 * (w->style == BIG ? size - 1 - i : i);

		assert_int_equal(buf_add_char(w->out, (char)(v >> shift)), 0);
	}
}

static void
add_tag(struct writer *w, dicom_tag_t tag)
{
	add_number(w, tag >> 16, 2);
	add_number(w, tag & 0xffff, 2);
}

static void
add_header(struct writer *w, dicom_tag_t tag, const char *vr, uint32_t length)
{
	bool is_long = dicom_vr_long(DICOM_VR(vr[0], vr[1]));

	add_tag(w, tag);
	if (w->style == IMPLICIT) {
		add_number(w, length, 4);
		return;
	}
	assert_int_equal(buf_add(w->out, vr, 2), 0);
	if (is_long)
		add_number(w, 0, 2);
	add_number(w, length, is_long ? 4 : 2);
}

static void
add_numbers(struct writer *w, dicom_tag_t tag, const char *vr, unsigned size,
    unsigned count)
{
	add_header(w, tag, vr, size * count);
	for (unsigned i = 0; i < count; i++)
		add_number(w, (uint64_t)draw(1u << 28) << 36 |
		    (uint64_t)draw(1u << 28) << 8 | draw(256), size);
}

static void
add_text(struct writer *w, dicom_tag_t tag, const char *vr, unsigned len,
    char padding)
{
	bool padded = len & 1 && !has_habit(w);

	add_header(w, tag, vr, len + padded);
	for (unsigned i = 0; i < len; i++)
		assert_int_equal(
		    buf_add_char(w->out, (char)('A' + draw(26))), 0);
	if (padded)
		assert_int_equal(buf_add_char(w->out, padding), 0);
}

static void add_data_set(struct writer *w, unsigned depth);

/* What `inside` holds, with a defined or an undefined length. */
static void
add_enclosed(struct writer *w, struct buf *out, struct buf *inside,
    bool defined, dicom_tag_t tag, dicom_tag_t delimiter)
{
	uint32_t length = defined ? (uint32_t)inside->len : DICOM_UNDEFINED;

	w->out = out;
	if (tag == TAG_ITEM) {
		add_tag(w, tag);
		add_number(w, length, 4);
	} else {
		add_header(w, tag, "SQ", length);
	}
	if (inside->len > 0)
		assert_int_equal(buf_add(out, inside->data, inside->len), 0);
	if (!defined) {
		add_tag(w, delimiter);
		add_number(w, 0, 4);
	}
	buf_free(inside);
}

static void
add_item(struct writer *w, unsigned depth)
{
	struct buf inside = BUF_INIT(MAX), *out = w->out;
	bool defined = has_habit(w), wide = w->wide;

	w->out = &inside;
	add_data_set(w, depth);
	w->wide = wide;
	add_enclosed(w, out, &inside, defined, TAG_ITEM, TAG_ITEM_DELIM);
}

static void
add_sequence(struct writer *w, dicom_tag_t tag, bool may_be_defined,
    unsigned depth)
{
	struct buf inside = BUF_INIT(MAX), *out = w->out;
	bool defined = has_habit(w) && may_be_defined;

	w->out = &inside;
	for (unsigned n = draw(3); n > 0; n--)
		add_item(w, depth + 1);
	add_enclosed(w, out, &inside, defined, tag, TAG_SEQUENCE_DELIM);
}

static void
add_image(struct writer *w)
{
	bool is_signed = draw(2) != 0;
	unsigned count = draw(8) == 0 ? draw(9000) : draw(40);

	w->wide = draw(2) != 0;
	add_header(w, TAG_BITS_ALLOCATED, "US", 2);
	add_number(w, w->wide ? 16 : 8, 2);
	add_header(w, TAG_PIXEL_SIGN, "US", 2);
	add_number(w, is_signed, 2);
	add_numbers(w, 0x00280106, is_signed ? "SS" : "US", 2, draw(3));
	if (w->wide)
		add_numbers(w, TAG_PIXEL_DATA, "OW", 2, count);
	else
		add_numbers(w, TAG_PIXEL_DATA, "OB", 1, 2 * count);
}

static void
add_data_set(struct writer *w, unsigned depth)
{
	if (has_habit(w)) {
		add_header(w, 0x00080000, "UL", 4);
		add_number(w, 4711, 4);
	}
	add_text(w, 0x00080018, "UI", draw(20), '\0');
	add_text(w, 0x00080060, "CS", draw(16), ' ');
	if (depth < 4 && draw(2) == 0)
		add_sequence(w, 0x00081140, true, depth);
	add_text(w, 0x00090010, "LO", 3, ' ');
	add_text(w, 0x00091001, "UN", draw(30), '\0');
	if (depth < 4 && draw(2) == 0)
		add_sequence(w, 0x00091002, false, depth);
	add_numbers(w, 0x00189219, "SS", 2, draw(4));
	add_numbers(w, 0x0018602c, "FD", 8, draw(4));
	add_numbers(w, 0x00209165, "AT", 2, 2 * draw(3));
	if (depth == 0 || draw(3) == 0)
		add_image(w);
}

static void
write_style(enum style style, uint32_t which, uint32_t habit, struct buf *out)
{
	struct writer w = { .style = style, .out = out, .habit = habit };

	seed = which;
	add_data_set(&w, 0);
}

static void
test_any_encoding_gives_the_same_bytes(void **state)
{
	struct buf in = BUF_INIT(MAX), out = BUF_INIT(MAX);
	struct buf want = BUF_INIT(MAX), compared = BUF_INIT(MAX);
	struct buf first = BUF_INIT(MAX);

	(void)state;
	for (uint32_t which = 1; which <= 150; which++) {
		buf_clear(&want);
		write_style(CANONICAL, which, 0, &want);
		for (int style = IMPLICIT; style <= CANONICAL; style++) {
			const char *from = style == CANONICAL ? ELE :
			    style_syntax[style];

			buf_clear(&in);
			buf_clear(&out);
			buf_clear(&compared);
			write_style(style, which, which * 7, &in);
			assert_int_equal(convert(from, PLAIN, &in,
			    which % 2 ? -2000 : -9, &out, NULL, 0), 0);
			assert_int_equal(out.len, want.len);
			assert_memory_equal(out.data, want.data, want.len);
			assert_int_equal(convert(from, COMPARE, &in, -300,
			    &compared, NULL, 0), 0);
			if (style == IMPLICIT) {
				buf_clear(&first);
				(void)buf_add(&first, compared.data, compared.len);
			}
			assert_int_equal(first.len, compared.len);
			assert_memory_equal(first.data, compared.data,
			    compared.len);
		}
	}
	buf_free(&in);
	buf_free(&out);
	buf_free(&want);
	buf_free(&compared);
	buf_free(&first);
}

/* A dry run that passes over whatever it may counts the same. */
static uint64_t
count_dry(const char *from, const struct buf *in, uint64_t *ret_skipped)
{
	struct dicom_reencode *r = new_from(from, PLAIN, NULL);
	uint64_t length;
	size_t at = 0;

	while (at < in->len) {
		uint64_t skip = dicom_reencode_skippable(r);
		size_t n = 1 + draw(40);

		if (n > in->len - at)
			n = in->len - at;
		if (skip > 0) {
			if (skip > n && draw(2) == 0)
				skip = n;
			if (skip > in->len - at)
				skip = in->len - at;
			dicom_reencode_skipped(r, skip);
			*ret_skipped += skip;
			at += (size_t)skip;
			continue;
		}
		assert_int_equal(
		    dicom_reencode_feed(r, in->data + at, n), 0);
		at += n;
	}
	assert_int_equal(dicom_reencode_end(r), 0);
	length = dicom_reencode_length(r);
	dicom_reencode_free(r);
	return length;
}

static void
test_dry_run_counts_what_a_real_one_writes(void **state)
{
	struct buf in = BUF_INIT(MAX), out = BUF_INIT(MAX);
	uint64_t skipped = 0;

	(void)state;
	for (uint32_t which = 1; which <= 200; which++) {
		const char *from = style_syntax[which % 3];

		buf_clear(&in);
		buf_clear(&out);
		write_style((enum style)(which % 3), which, which, &in);
		assert_int_equal(
		    convert(from, PLAIN, &in, -2000, &out, NULL, 0), 0);
		assert_int_equal(count_dry(from, &in, &skipped), out.len);
	}
	assert_true(skipped > 10000);
	buf_free(&in);
	buf_free(&out);
}

/* Whatever is cut off: never more than the beginning of the whole answer, and
 * never success but between two elements of the data set itself. */
static void
test_truncated_at_each_byte(void **state)
{
	struct buf in = BUF_INIT(MAX), whole = BUF_INIT(MAX);
	struct buf out = BUF_INIT(MAX);

	(void)state;
	for (int style = IMPLICIT; style <= BIG; style++) {
		unsigned good = 0;
		size_t len;

		buf_clear(&in);
		buf_clear(&whole);
		write_style((enum style)style, 17, 5, &in);
		assert_int_equal(convert(style_syntax[style], PLAIN, &in, 900,
		    &whole, NULL, 0), 0);
		len = in.len < 3000 ? in.len : 3000;
		for (size_t cut = 0; cut < len; cut++) {
			struct buf part = { .data = in.data, .len = cut };
			int error;

			buf_clear(&out);
			error = convert(style_syntax[style], PLAIN, &part, -500,
			    &out, NULL, 0);
			assert_true(error == 0 || error == -EBADMSG);
			good += error == 0;
			assert_true(out.len <= whole.len);
			if (out.len > 0)
				assert_memory_equal(out.data, whole.data,
				    out.len);
		}
		assert_in_range(good, 5, 40);
	}
	buf_free(&in);
	buf_free(&whole);
	buf_free(&out);
}

static void
test_damaged_input_is_an_error_or_an_answer(void **state)
{
	struct buf in = BUF_INIT(MAX), out = BUF_INIT(1u << 26);

	(void)state;
	for (uint32_t which = 1; which <= 3000; which++) {
		int style = (int)(which % 3), error;

		buf_clear(&in);
		buf_clear(&out);
		write_style((enum style)style, which % 50, 3, &in);
		for (uint32_t n = 1 + draw(6); n > 0 && in.len > 0; n--)
			in.data[draw((uint32_t)in.len)] = (char)draw(256);
		error = convert(style_syntax[style], PLAIN, &in, -4000, &out,
		    NULL, 0);
		assert_true(error == 0 || error == -EBADMSG ||
		    error == -ENOTSUP);
	}
	buf_free(&in);
	buf_free(&out);
}

/* --- deflated, and sinks that refuse --------------------------------------- */

static void
deflate_into(const void *data, size_t len, struct buf *out)
{
	z_stream z = { 0 };
	unsigned char portion[4096];
	int status = Z_OK;

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, -MAX_WBITS, 8,
	    Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = (Bytef *)(uintptr_t)data;
	z.avail_in = (uInt)len;
	while (status != Z_STREAM_END) {
		z.next_out = portion;
		z.avail_out = sizeof(portion);
		status = deflate(&z, Z_FINISH);
		assert_int_equal(
		    buf_add(out, portion, sizeof(portion) - z.avail_out), 0);
	}
	(void)deflateEnd(&z);
}

static void
test_deflated(void **state)
{
	struct buf in = BUF_INIT(MAX), packed = BUF_INIT(MAX);
	struct buf out = BUF_INIT(MAX), want = BUF_INIT(MAX);

	(void)state;
	write_style(EXPLICIT, 23, 9, &in);
	write_style(CANONICAL, 23, 9, &want);
	deflate_into(in.data, in.len, &packed);
	assert_int_equal(convert(DFL, PLAIN, &packed, -50, &out, NULL, 0), 0);
	assert_int_equal(out.len, want.len);
	assert_memory_equal(out.data, want.data, want.len);
	packed.len -= 3;
	buf_clear(&out);
	assert_int_equal(convert(DFL, PLAIN, &packed, -50, &out, NULL, 0),
	    -EBADMSG);
	buf_free(&in);
	buf_free(&packed);
	buf_free(&out);
	buf_free(&want);
}

static void
test_a_bomb_ends_at_the_limit(void **state)
{
	struct buf in = BUF_INIT(8u << 20), packed = BUF_INIT(MAX);
	struct buf out = BUF_INIT(8u << 20);
	uint32_t length = 2u << 20;
	char reason[200];

	(void)state;
	add_hex(&in, "e0 7f 10 00 4f 57 00 00");
	assert_int_equal(buf_add(&in, &length, 4), 0);
	assert_int_equal(buf_reserve(&in, length), 0);
	memset(in.data + in.len, 0, length);
	in.len += length;
	deflate_into(in.data, in.len, &packed);
	assert_int_equal(convert(DFL, PLAIN, &packed, 100, &out, reason,
	    sizeof(reason)), -ENOTSUP);
	assert_non_null(strstr(reason, "inflates"));
	buf_free(&in);
	buf_free(&packed);
	buf_free(&out);
}

static int
refuse(void *arg, const void *data, size_t len)
{
	(void)data;
	(void)len;
	(*(int *)arg)++;
	return *(int *)arg > 2 ? DICOM_SCAN_STOP : 0;
}

/* Any non-zero answer is the answer, and the sink is not called again. */
static void
test_sink_ends_it(void **state)
{
	struct buf in = BUF_INIT(MAX);
	struct dicom_reencode *r;
	int calls = 0, error = 0;

	(void)state;
	for (uint32_t i = 0; i < 6000; i++)
		add_hex(&in, "00 08 00 60 43 53 00 02 43 54");
	r = dicom_reencode_new(dicom_syntax_find(EBE), refuse, &calls);
	for (size_t at = 0; at < in.len && error == 0; at += 100)
		error = dicom_reencode_feed(r, in.data + at, 100);
	assert_int_equal(error, DICOM_SCAN_STOP);
	assert_int_equal(dicom_reencode_feed(r, in.data, 100), DICOM_SCAN_STOP);
	assert_int_equal(dicom_reencode_end(r), DICOM_SCAN_STOP);
	assert_int_equal(calls, 3);
	dicom_reencode_free(r);
	dicom_reencode_free(NULL);
	buf_free(&in);
}

static int
note_address(void *arg, const void *data, size_t len)
{
	if (len > 100000)
		*(const void **)arg = data;
	return 0;
}

/* Pixels leave from where they came in. */
static void
test_plain_values_are_not_copied(void **state)
{
	struct buf in = BUF_INIT(MAX);
	const void *seen = NULL;
	struct dicom_reencode *r;

	(void)state;
	add_hex(&in, "e0 7f 10 00 40 0d 03 00");
	assert_int_equal(buf_reserve(&in, 200000), 0);
	memset(in.data + in.len, 1, 200000);
	in.len += 200000;
	r = dicom_reencode_new(dicom_syntax_find(ILE), note_address, &seen);
	assert_int_equal(dicom_reencode_feed(r, in.data, in.len), 0);
	assert_int_equal(dicom_reencode_end(r), 0);
	assert_ptr_equal(seen, in.data + 8);
	dicom_reencode_free(r);
	buf_free(&in);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_implicit_takes_vr_from_the_dictionary),
		cmocka_unit_test(test_group_lengths_and_padding_are_dropped),
		cmocka_unit_test(test_odd_lengths_are_padded_by_vr),
		cmocka_unit_test(test_big_endian_is_swapped_by_vr),
		cmocka_unit_test(test_sequences_leave_with_undefined_length),
		cmocka_unit_test(test_private_sequences_of_implicit_vr),
		cmocka_unit_test(test_inside_of_un_stays_as_it_is),
		cmocka_unit_test(test_contradicting_lengths_inside_un_are_refused),
		cmocka_unit_test(test_signs_follow_pixel_representation),
		cmocka_unit_test(test_signs_inside_items),
		cmocka_unit_test(test_signs_known_only_later),
		cmocka_unit_test(test_bytes_or_words_follow_bits_allocated),
		cmocka_unit_test(test_ambiguous_big_endian_pixels_are_refused),
		cmocka_unit_test(test_fragments),
		cmocka_unit_test(test_truncated_and_wrong),
		cmocka_unit_test(test_too_long_becomes_un),
		cmocka_unit_test(test_compare_form_knows_no_vr),
		cmocka_unit_test(test_any_encoding_gives_the_same_bytes),
		cmocka_unit_test(test_dry_run_counts_what_a_real_one_writes),
		cmocka_unit_test(test_truncated_at_each_byte),
		cmocka_unit_test(test_damaged_input_is_an_error_or_an_answer),
		cmocka_unit_test(test_deflated),
		cmocka_unit_test(test_a_bomb_ends_at_the_limit),
		cmocka_unit_test(test_sink_ends_it),
		cmocka_unit_test(test_plain_values_are_not_copied),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
