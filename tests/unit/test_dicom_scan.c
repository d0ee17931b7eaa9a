/* test_dicom_scan.c - the scanner: what it reports of every encoding, that the
 * portions do not matter, and that hostile lengths and nesting end in an error.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/dicom/inflate.h"
#include "tests/unit/dicom_fixture.h"

#define EXPLICIT DICOM_EXPLICIT_LE
#define IMPLICIT DICOM_IMPLICIT_LE
#define BIG	 DICOM_EXPLICIT_BE

/* What was reported, one line each, values joined; and that it nests. */
struct trace {
	struct buf  text;
	dicom_tag_t open[2 * DICOM_SCAN_DEPTH + 4];
	unsigned    nopen;
	unsigned    events;
	unsigned    stop_at;	/* the event that ends the scan; 0: none */
	int	    stop_with;
	bool	    quiet;
	uint64_t    value_len;
	uint32_t    value_sum;
	uint8_t	    value[16];
};

static void
trace_clear(struct trace *t)
{
	buf_free(&t->text);
	*t = (struct trace){ .text = BUF_INIT(8u << 20) };
}

static int
count_event(struct trace *t)
{
	assert_true(t->stop_at == 0 || t->events < t->stop_at);
	return ++t->events == t->stop_at ? t->stop_with : 0;
}

/* Short values as they are, of longer ones length and a sum. */
static void
flush_value(struct trace *t)
{
	if (t->value_len > 0 && !t->quiet) {
		(void)buf_printf(&t->text, " %llu:", (unsigned long long)t->value_len);
		if (t->value_len > sizeof(t->value))
			(void)buf_printf(&t->text, "%08x", (unsigned)t->value_sum);
		for (size_t i = 0; t->value_len <= sizeof(t->value) &&
		    i < t->value_len; i++)
			(void)buf_printf(&t->text, t->value[i] > ' ' &&
			    t->value[i] <= '~' ? "%c" : "\\%02x", t->value[i]);
	}
	t->value_len = t->value_sum = 0;
}

static int
on_element(void *arg, const struct dicom_element *el)
{
	struct trace *t = arg;

	assert_true(t->nopen < ARRAY_LEN(t->open));
	t->open[t->nopen++] = el->tag;
	if (!t->quiet)
		(void)buf_printf(&t->text, "%u %08x %c%c %d @%llu%s%s", el->depth,
		    el->tag, el->vr >> 8, el->vr & 0xff, (int)el->length,
		    (unsigned long long)el->offset, el->implicit ? " i" : "",
		    el->fragments ? " f" : "");
	return count_event(t);
}

static int
on_value(void *arg, const struct dicom_element *el, const void *data, size_t len)
{
	struct trace *t = arg;
	const uint8_t *p = data;

	assert_true(len > 0);
	assert_true(t->nopen > 0);
	/* In a fragment the item is innermost. */
	assert_int_equal(t->open[t->nopen - 1], el->fragments ? ITEM : el->tag);
	for (size_t i = 0; i < len; i++) {
		if (t->value_len < sizeof(t->value))
			t->value[t->value_len] = p[i];
		t->value_sum = t->value_sum * 31 + p[i] + 1;
		t->value_len++;
	}
	return t->stop_at != 0 && t->events >= t->stop_at ? t->stop_with : 0;
}

static int
on_end(void *arg, const struct dicom_element *el)
{
	struct trace *t = arg;

	assert_true(t->nopen > 0);
	assert_int_equal(t->open[--t->nopen], el->tag);
	flush_value(t);
	if (!t->quiet)
		(void)buf_printf(&t->text, " .\n");
	return count_event(t);
}

static int
on_item(void *arg, const struct dicom_element *el, uint32_t length)
{
	struct trace *t = arg;

	assert_int_equal(t->open[t->nopen - 1], el->tag);
	t->open[t->nopen++] = ITEM;
	if (!t->quiet)
		(void)buf_printf(&t->text, " [%d\n", (int)length);
	return count_event(t);
}

static int
on_item_end(void *arg, const struct dicom_element *el)
{
	struct trace *t = arg;

	assert_int_equal(t->open[--t->nopen], ITEM);
	assert_int_equal(t->open[t->nopen - 1], el->tag);
	flush_value(t);
	if (!t->quiet)
		(void)buf_printf(&t->text, "]");
	return count_event(t);
}

static const struct dicom_scan_events all_events = {
	on_element, on_value, on_end, on_item, on_item_end,
};

/* Feeds in portions of at most `portion` bytes: 0 all at once; with a seed, of
 * random size. Returns what end (or feed) said. */
static int
scan_bytes(enum dicom_encoding enc, const void *data, size_t len, size_t portion,
    uint64_t seed, struct trace *t)
{
	struct dicom_scan *s = dicom_scan_new(enc, &all_events, t);
	const char *p = data;
	int r = 0;

	while (len > 0 && r == 0) {
		size_t n = portion == 0 ? len : portion;

		if (seed != 0)
			n = 1 + random_below(&seed, n);
		if (n > len)
			n = len;
		/* A copy of its own, so that ASan sees what is read beyond. */
		AUTO_FREE char *copy = malloc(n);

		memcpy(copy, p, n);
		r = dicom_scan_feed(s, copy, n);
		p += n;
		len -= n;
	}
	if (r == 0)
		r = dicom_scan_end(s);
	assert_true((r == -EBADMSG) == (dicom_scan_reason(s)[0] != '\0'));
	dicom_scan_free(s);
	return r;
}

static void
expect_scan(enum dicom_encoding enc, const struct buf *b, int result,
    const char *text)
{
	struct trace t = { .text = BUF_INIT(8u << 20) };
	static const size_t portions[] = { 0, 1, 3, 7 };

	assert_int_equal(b->error, 0);
	for (size_t i = 0; i < ARRAY_LEN(portions); i++) {
		trace_clear(&t);
		assert_int_equal(
		    scan_bytes(enc, b->data, b->len, portions[i], 0, &t), result);
		if (text != NULL)
			assert_string_equal(t.text.data != NULL ? t.text.data : "",
			    text);
		if (result == 0)
			assert_int_equal(t.nopen, 0);
	}
	buf_free(&t.text);
}

#define DATA(name) struct buf name AUTO(buf_free) = BUF_INIT(FIXTURE_MAX)

static void
test_flat_explicit(void **state)
{
	DATA(b);

	(void)state;
	put_text(&b, EXPLICIT, 0x00080060, "CS", "CT");
	put_bytes(&b, EXPLICIT, 0x00091001, "UN", "xyz", 3);
	put_header(&b, EXPLICIT, 0x00100010, "PN", 0);
	put_bytes(&b, EXPLICIT, PIXEL_DATA, "OW", "12345678", 8);
	expect_scan(EXPLICIT, &b, 0,
	    "0 00080060 CS 2 @0 2:CT .\n"
	    "0 00091001 UN 3 @10 3:xyz .\n"
	    "0 00100010 PN 0 @25 .\n"
	    "0 7fe00010 OW 8 @33 8:12345678 .\n");
}

static void
test_flat_implicit(void **state)
{
	DATA(b);

	(void)state;
	put_text(&b, IMPLICIT, 0x00080060, NULL, "CT");
	put_bytes(&b, IMPLICIT, 0x00090010, NULL, "ACME", 4);
	put_bytes(&b, IMPLICIT, 0x00091001, NULL, "xy", 2);
	put_bytes(&b, IMPLICIT, 0x00280106, NULL, "12", 2);
	put_bytes(&b, IMPLICIT, 0x60003000, NULL, "12", 2);
	expect_scan(IMPLICIT, &b, 0,
	    "0 00080060 CS 2 @0 i 2:CT .\n"
	    "0 00090010 LO 4 @10 i 4:ACME .\n"
	    "0 00091001 UN 2 @22 i 2:xy .\n"
	    "0 00280106 xs 2 @32 i 2:12 .\n"
	    "0 60003000 ox 2 @42 i 2:12 .\n");
}

static void
test_flat_big_endian(void **state)
{
	DATA(b);

	(void)state;
	put_u16(&b, BIG, 0x00280010, 512);
	put_header(&b, BIG, 0x7fe00010, "OW", 2);
	(void)buf_add(&b, "\1\2", 2);
	expect_scan(BIG, &b, 0,
	    "0 00280010 US 2 @0 2:\\02\\00 .\n"
	    "0 7fe00010 OW 2 @10 2:\\01\\02 .\n");
}

/* A sequence with an empty item, an item and an empty sequence inside. */
static void
put_nested(struct buf *b, enum dicom_encoding enc, bool undefined)
{
	uint32_t seq_header = enc == IMPLICIT ? 8 : 12;
	uint32_t inner = 10 + seq_header;

	put_header(b, enc, 0x00081140, "SQ",
	    undefined ? DICOM_UNDEFINED : 8 + 8 + inner);
	put_marker(b, enc, ITEM, undefined ? DICOM_UNDEFINED : 0);
	if (undefined)
		put_marker(b, enc, ITEM_DELIM, 0);
	put_marker(b, enc, ITEM, undefined ? DICOM_UNDEFINED : inner);
	put_text(b, enc, 0x00080060, "CS", "CT");
	put_header(b, enc, 0x00082112, "SQ", undefined ? DICOM_UNDEFINED : 0);
	if (undefined) {
		put_marker(b, enc, SEQUENCE_DELIM, 0);
		put_marker(b, enc, ITEM_DELIM, 0);
		put_marker(b, enc, SEQUENCE_DELIM, 0);
	}
	put_text(b, enc, 0x00100020, "LO", "id");
}

static void
test_nested_defined(void **state)
{
	DATA(b);
	DATA(i);
	DATA(e);

	(void)state;
	put_nested(&b, EXPLICIT, false);
	expect_scan(EXPLICIT, &b, 0,
	    "0 00081140 SQ 38 @0 [0\n"
	    "] [22\n"
	    "1 00080060 CS 2 @28 2:CT .\n"
	    "1 00082112 SQ 0 @38 .\n"
	    "] .\n"
	    "0 00100020 LO 2 @50 2:id .\n");
	put_nested(&i, IMPLICIT, false);
	expect_scan(IMPLICIT, &i, 0,
	    "0 00081140 SQ 34 @0 i [0\n"
	    "] [18\n"
	    "1 00080060 CS 2 @24 i 2:CT .\n"
	    "1 00082112 SQ 0 @34 i .\n"
	    "] .\n"
	    "0 00100020 LO 2 @42 i 2:id .\n");
	put_nested(&e, BIG, false);
	expect_scan(BIG, &e, 0, NULL);
}

static void
test_nested_undefined(void **state)
{
	static const enum dicom_encoding encodings[] = { EXPLICIT, IMPLICIT, BIG };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(encodings); i++) {
		DATA(b);

		put_nested(&b, encodings[i], true);
		expect_scan(encodings[i], &b, 0, encodings[i] == IMPLICIT ? NULL :
		    "0 00081140 SQ -1 @0 [-1\n"
		    "] [-1\n"
		    "1 00080060 CS 2 @36 2:CT .\n"
		    "1 00082112 SQ -1 @46 .\n"
		    "] .\n"
		    "0 00100020 LO 2 @82 2:id .\n");
	}
}

static void
test_encapsulated_pixel_data(void **state)
{
	DATA(b);

	(void)state;
	put_header(&b, EXPLICIT, PIXEL_DATA, "OB", DICOM_UNDEFINED);
	put_marker(&b, EXPLICIT, ITEM, 0);
	put_marker(&b, EXPLICIT, ITEM, 8);
	/* A delimiter inside a fragment is just its bytes. */
	put_marker(&b, EXPLICIT, SEQUENCE_DELIM, 0);
	put_marker(&b, EXPLICIT, ITEM, 3);
	(void)buf_add_str(&b, "odd");
	put_marker(&b, EXPLICIT, SEQUENCE_DELIM, 0);
	put_text(&b, EXPLICIT, 0xfffcfffc, "OB", "pad");
	expect_scan(EXPLICIT, &b, 0,
	    "0 7fe00010 OB -1 @0 f [0\n"
	    "] [8\n"
	    " 8:\\fe\\ff\\dd\\e0\\00\\00\\00\\00] [3\n"
	    " 3:odd] .\n"
	    "0 fffcfffc OB 4 @55 4:pad\\00 .\n");
}

/* An item of the icon's encapsulated pixels, inside a sequence. */
static void
test_encapsulated_icon(void **state)
{
	DATA(b);

	(void)state;
	put_header(&b, EXPLICIT, 0x00880200, "SQ", DICOM_UNDEFINED);
	put_marker(&b, EXPLICIT, ITEM, DICOM_UNDEFINED);
	put_header(&b, EXPLICIT, PIXEL_DATA, "OB", DICOM_UNDEFINED);
	put_marker(&b, EXPLICIT, ITEM, 2);
	(void)buf_add_str(&b, "ab");
	put_marker(&b, EXPLICIT, SEQUENCE_DELIM, 0);
	put_marker(&b, EXPLICIT, ITEM_DELIM, 0);
	put_marker(&b, EXPLICIT, SEQUENCE_DELIM, 0);
	expect_scan(EXPLICIT, &b, 0,
	    "0 00880200 SQ -1 @0 [-1\n"
	    "1 7fe00010 OB -1 @20 f [2\n"
	    " 2:ab] .\n"
	    "] .\n");
}

static void
test_un_of_undefined_length(void **state)
{
	DATA(b);
	DATA(e);

	(void)state;
	put_header(&b, EXPLICIT, 0x00091010, "UN", DICOM_UNDEFINED);
	put_marker(&b, IMPLICIT, ITEM, DICOM_UNDEFINED);
	put_text(&b, IMPLICIT, 0x00080060, NULL, "CT");
	put_header(&b, IMPLICIT, 0x00081140, NULL, 8);
	put_marker(&b, IMPLICIT, ITEM, 0);
	put_marker(&b, IMPLICIT, ITEM_DELIM, 0);
	put_marker(&b, IMPLICIT, SEQUENCE_DELIM, 0);
	put_text(&b, EXPLICIT, 0x00100020, "LO", "id");
	expect_scan(EXPLICIT, &b, 0,
	    "0 00091010 UN -1 @0 [-1\n"
	    "1 00080060 CS 2 @20 i 2:CT .\n"
	    "1 00081140 SQ 8 @30 i [0\n"
	    "] .\n"
	    "] .\n"
	    "0 00100020 LO 2 @62 2:id .\n");

	/* Little endian inside, whatever is outside. */
	put_header(&e, BIG, 0x00091010, "UN", DICOM_UNDEFINED);
	put_marker(&e, IMPLICIT, ITEM, 10);
	put_text(&e, IMPLICIT, 0x00080060, NULL, "CT");
	put_marker(&e, IMPLICIT, SEQUENCE_DELIM, 0);
	put_text(&e, BIG, 0x00100020, "LO", "id");
	expect_scan(BIG, &e, 0,
	    "0 00091010 UN -1 @0 [10\n"
	    "1 00080060 CS 2 @20 i 2:CT .\n"
	    "] .\n"
	    "0 00100020 LO 2 @38 2:id .\n");
}

/* A length whose low bytes read "DA": only who knows that it is implicit inside
 * follows it. */
static void
test_un_is_implicit_for_sure(void **state)
{
	AUTO_FREE char *value = xcalloc(1, 0x4144);
	struct trace t = { .text = BUF_INIT(65536) };
	DATA(b);

	(void)state;
	put_header(&b, EXPLICIT, 0x00091010, "UN", DICOM_UNDEFINED);
	put_marker(&b, IMPLICIT, ITEM, DICOM_UNDEFINED);
	put_bytes(&b, IMPLICIT, 0x00091011, NULL, value, 0x4144);
	put_marker(&b, IMPLICIT, ITEM_DELIM, 0);
	put_marker(&b, IMPLICIT, SEQUENCE_DELIM, 0);
	assert_int_equal(scan_bytes(EXPLICIT, b.data, b.len, 0, 0, &t), 0);
	assert_non_null(strstr(t.text.data, "1 00091011 UN 16708 @20 i"));
	buf_free(&t.text);
}

static void
test_private_sequence_in_implicit(void **state)
{
	DATA(b);

	(void)state;
	put_header(&b, IMPLICIT, 0x00091010, NULL, DICOM_UNDEFINED);
	put_marker(&b, IMPLICIT, ITEM, 10);
	put_text(&b, IMPLICIT, 0x00080060, NULL, "CT");
	put_marker(&b, IMPLICIT, SEQUENCE_DELIM, 0);
	put_header(&b, IMPLICIT, PIXEL_DATA, NULL, DICOM_UNDEFINED);
	put_marker(&b, IMPLICIT, ITEM, 2);
	(void)buf_add_str(&b, "ab");
	put_marker(&b, IMPLICIT, SEQUENCE_DELIM, 0);
	expect_scan(IMPLICIT, &b, 0,
	    "0 00091010 UN -1 @0 i [10\n"
	    "1 00080060 CS 2 @16 i 2:CT .\n"
	    "] .\n"
	    "0 7fe00010 ox -1 @34 i f [2\n"
	    " 2:ab] .\n");
}

static void
test_superfluous_delimiters(void **state)
{
	DATA(b);

	(void)state;
	put_header(&b, EXPLICIT, 0x00081140, "SQ", DICOM_UNDEFINED);
	put_marker(&b, EXPLICIT, ITEM, 18);		/* counts its delimiter */
	put_text(&b, EXPLICIT, 0x00080060, "CS", "CT");
	put_marker(&b, EXPLICIT, ITEM_DELIM, 0);
	put_marker(&b, EXPLICIT, ITEM, 10);		/* does not */
	put_text(&b, EXPLICIT, 0x00080060, "CS", "CT");
	put_marker(&b, EXPLICIT, ITEM_DELIM, 0);
	put_marker(&b, EXPLICIT, SEQUENCE_DELIM, 0);
	put_header(&b, EXPLICIT, 0x00081150, "SQ", 8);
	put_marker(&b, EXPLICIT, SEQUENCE_DELIM, 0);
	put_marker(&b, EXPLICIT, SEQUENCE_DELIM, 0);
	put_text(&b, EXPLICIT, 0x00100020, "LO", "id");
	expect_scan(EXPLICIT, &b, 0,
	    "0 00081140 SQ -1 @0 [18\n"
	    "1 00080060 CS 2 @20 2:CT .\n"
	    "] [10\n"
	    "1 00080060 CS 2 @46 2:CT .\n"
	    "] .\n"
	    "0 00081150 SQ 8 @72 .\n"
	    "0 00100020 LO 2 @100 2:id .\n");
}

static void
test_forgotten_delimiters(void **state)
{
	DATA(b);

	(void)state;
	/* No item delimiters: the next item, or the sequence's end, ends one. */
	put_header(&b, EXPLICIT, 0x00081140, "SQ", DICOM_UNDEFINED);
	put_marker(&b, EXPLICIT, ITEM, DICOM_UNDEFINED);
	put_text(&b, EXPLICIT, 0x00080060, "CS", "CT");
	put_marker(&b, EXPLICIT, ITEM, DICOM_UNDEFINED);
	put_marker(&b, EXPLICIT, SEQUENCE_DELIM, 0);
	/* None at all: the end of the outer item ends everything inside. */
	put_header(&b, EXPLICIT, 0x00081150, "SQ", 8 + 12 + 8 + 10);
	put_marker(&b, EXPLICIT, ITEM, 12 + 8 + 10);
	put_header(&b, EXPLICIT, 0x00081155, "SQ", DICOM_UNDEFINED);
	put_marker(&b, EXPLICIT, ITEM, DICOM_UNDEFINED);
	put_text(&b, EXPLICIT, 0x00080060, "CS", "CT");
	put_text(&b, EXPLICIT, 0x00100020, "LO", "id");
	expect_scan(EXPLICIT, &b, 0,
	    "0 00081140 SQ -1 @0 [-1\n"
	    "1 00080060 CS 2 @20 2:CT .\n"
	    "] [-1\n"
	    "] .\n"
	    "0 00081150 SQ 38 @46 [30\n"
	    "1 00081155 SQ -1 @66 [-1\n"
	    "2 00080060 CS 2 @86 2:CT .\n"
	    "] .\n"
	    "] .\n"
	    "0 00100020 LO 2 @96 2:id .\n");
}

static void
test_final_delimiter_missing(void **state)
{
	DATA(b);

	(void)state;
	put_header(&b, EXPLICIT, PIXEL_DATA, "OB", DICOM_UNDEFINED);
	put_marker(&b, EXPLICIT, ITEM, 2);
	(void)buf_add_str(&b, "ab");
	expect_scan(EXPLICIT, &b, -EBADMSG,
	    "0 7fe00010 OB -1 @0 f [2\n"
	    " 2:ab]");
}

static void
test_unknown_vrs(void **state)
{
	DATA(b);

	(void)state;
	/* "ZZ" as PS3.5 promises new VRs, and as vendors make them up. */
	(void)buf_add(&b, "\x08\0\x60\0ZZ\0\0\2\0\0\0CT", 14);
	(void)buf_add(&b, "\x08\0\x60\0ZZ\2\0CT", 10);
	(void)buf_add(&b, "\x08\0\x60\0??\2\0CT", 10);
	(void)buf_add(&b, "\x08\0\x60\0\0\0\2\0CT", 10);
	/* Implicit by mistake: known tag, sequence, private of 64 KiB. */
	put_text(&b, IMPLICIT, 0x00080060, NULL, "CT");
	put_header(&b, IMPLICIT, 0x00081140, NULL, DICOM_UNDEFINED);
	put_marker(&b, IMPLICIT, ITEM, 10);
	put_text(&b, IMPLICIT, 0x00080060, NULL, "CT");
	put_marker(&b, IMPLICIT, SEQUENCE_DELIM, 0);
	put_text(&b, EXPLICIT, 0x00100020, "LO", "id");
	expect_scan(EXPLICIT, &b, 0,
	    "0 00080060 UN 2 @0 2:CT .\n"
	    "0 00080060 UN 2 @14 2:CT .\n"
	    "0 00080060 UN 2 @24 2:CT .\n"
	    "0 00080060 UN 2 @34 2:CT .\n"
	    "0 00080060 CS 2 @44 i 2:CT .\n"
	    "0 00081140 SQ -1 @54 i [10\n"
	    "1 00080060 CS 2 @70 i 2:CT .\n"
	    "] .\n"
	    "0 00100020 LO 2 @88 2:id .\n");
}

/* A stream that is implicit altogether though somebody said explicit, lengths
 * in multiples of 65,536 (whose low bytes are NULs) included. */
static void
test_implicit_by_mistake(void **state)
{
	AUTO_FREE char *pixels = xcalloc(1, 65536);
	struct trace t = { .text = BUF_INIT(65536) };
	DATA(b);

	(void)state;
	put_text(&b, IMPLICIT, 0x00080060, NULL, "CT");
	put_bytes(&b, IMPLICIT, PIXEL_DATA, NULL, pixels, 65536);
	assert_int_equal(scan_bytes(EXPLICIT, b.data, b.len, 0, 0, &t), 0);
	assert_non_null(strstr(t.text.data, "7fe00010 ox 65536 @10 i"));
	buf_free(&t.text);
}

static void
test_lengths_that_leave(void **state)
{
	DATA(element);
	DATA(item);
	DATA(sequence);
	DATA(header);
	DATA(fragment);

	(void)state;
	put_header(&element, EXPLICIT, 0x00081140, "SQ", 8 + 10);
	put_marker(&element, EXPLICIT, ITEM, 10);
	put_header(&element, EXPLICIT, 0x00080060, "CS", 4);
	(void)buf_add_str(&element, "CTCTCTCTCTCTCT");
	expect_scan(EXPLICIT, &element, -EBADMSG, "0 00081140 SQ 18 @0 [10\n");

	put_header(&item, EXPLICIT, 0x00081140, "SQ", 8 + 10);
	put_marker(&item, EXPLICIT, ITEM, 11);
	put_text(&item, EXPLICIT, 0x00080060, "CS", "CTCT");
	expect_scan(EXPLICIT, &item, -EBADMSG, "0 00081140 SQ 18 @0");

	put_header(&sequence, EXPLICIT, 0x00081140, "SQ", 8 + 12 + 8);
	put_marker(&sequence, EXPLICIT, ITEM, 12 + 8);
	put_header(&sequence, EXPLICIT, 0x00081150, "SQ", 0xfffffffe);
	put_marker(&sequence, EXPLICIT, ITEM, 0);
	expect_scan(EXPLICIT, &sequence, -EBADMSG, "0 00081140 SQ 28 @0 [20\n");

	put_header(&header, EXPLICIT, 0x00081140, "SQ", 8 + 9);
	put_marker(&header, EXPLICIT, ITEM, 9);
	put_header(&header, EXPLICIT, 0x00081150, "OB", 0);
	expect_scan(EXPLICIT, &header, -EBADMSG, "0 00081140 SQ 17 @0 [9\n");

	put_header(&fragment, EXPLICIT, PIXEL_DATA, "OB", DICOM_UNDEFINED);
	put_marker(&fragment, EXPLICIT, ITEM, DICOM_UNDEFINED);
	expect_scan(EXPLICIT, &fragment, -EBADMSG, "0 7fe00010 OB -1 @0 f");
}

static void
test_impossible_headers(void **state)
{
	DATA(item);
	DATA(marker);
	DATA(text);
	DATA(element);

	(void)state;
	put_marker(&item, EXPLICIT, ITEM, 0);
	expect_scan(EXPLICIT, &item, -EBADMSG, "");

	put_marker(&marker, EXPLICIT, 0xfffe1234, 0);
	expect_scan(EXPLICIT, &marker, -EBADMSG, "");

	put_header(&text, EXPLICIT, 0x00080060, "UT", DICOM_UNDEFINED);
	expect_scan(EXPLICIT, &text, -EBADMSG, "");

	put_header(&element, EXPLICIT, 0x00081140, "SQ", 30);
	put_text(&element, EXPLICIT, 0x00080060, "CS", "CT");
	expect_scan(EXPLICIT, &element, -EBADMSG, "0 00081140 SQ 30 @0");
}

/* n sequences in each other, each with one item. */
static void
put_deep(struct buf *b, unsigned n, bool undefined)
{
	for (unsigned i = n; i > 0; i--) {
		uint32_t len = 8 + (i - 1) * 20;

		put_header(b, EXPLICIT, 0x00081140, "SQ",
		    undefined ? DICOM_UNDEFINED : len);
		put_marker(b, EXPLICIT, ITEM, undefined ? DICOM_UNDEFINED : len - 8);
	}
	for (unsigned i = 0; undefined && i < n; i++) {
		put_marker(b, EXPLICIT, ITEM_DELIM, 0);
		put_marker(b, EXPLICIT, SEQUENCE_DELIM, 0);
	}
}

static void
test_nesting(void **state)
{
	static const struct {
		unsigned n;
		int result;
	} cases[] = {
		{ DICOM_SCAN_DEPTH, 0 },
		{ DICOM_SCAN_DEPTH + 1, -EBADMSG },
		{ 10000, -EBADMSG },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		DATA(defined);
		DATA(undefined);

		put_deep(&defined, cases[i].n, false);
		expect_scan(EXPLICIT, &defined, cases[i].result, NULL);
		put_deep(&undefined, cases[i].n, true);
		expect_scan(EXPLICIT, &undefined, cases[i].result, NULL);
	}
}

/* Everything at once: the subject of truncation, portions and accidents. */
static void
put_everything(struct buf *b, enum dicom_encoding enc)
{
	put_text(b, enc, 0x00080005, "CS", "ISO_IR 100");
	put_nested(b, enc, false);
	put_nested(b, enc, true);
	if (enc != IMPLICIT) {
		put_header(b, enc, 0x00091010, "UN", DICOM_UNDEFINED);
		put_marker(b, IMPLICIT, ITEM, 10);
		put_text(b, IMPLICIT, 0x00080060, NULL, "CT");
		put_marker(b, IMPLICIT, SEQUENCE_DELIM, 0);
	}
	put_bytes(b, enc, 0x00091011, "UN", "0123456789", 10);
	put_u16(b, enc, 0x00280010, 512);
	put_header(b, enc, PIXEL_DATA, "OB", DICOM_UNDEFINED);
	put_marker(b, enc, ITEM, 0);
	put_marker(b, enc, ITEM, 6);
	(void)buf_add_str(b, "pixels");
	put_marker(b, enc, SEQUENCE_DELIM, 0);
}

static void
test_portions_do_not_matter(void **state)
{
	static const enum dicom_encoding encodings[] = { EXPLICIT, IMPLICIT, BIG };
	struct trace whole = { .text = BUF_INIT(65536) };
	struct trace parts = { .text = BUF_INIT(65536) };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(encodings); i++) {
		DATA(b);

		put_everything(&b, encodings[i]);
		trace_clear(&whole);
		assert_int_equal(
		    scan_bytes(encodings[i], b.data, b.len, 0, 0, &whole), 0);
		for (uint64_t seed = 0; seed < 200; seed++) {
			trace_clear(&parts);
			assert_int_equal(scan_bytes(encodings[i], b.data, b.len,
			    1 + seed / 8, seed, &parts), 0);
			assert_string_equal(whole.text.data, parts.text.data);
		}
	}
	buf_free(&whole.text);
	buf_free(&parts.text);
}

/* Cut anywhere: good where an outermost element ends, an error elsewhere, and
 * what was reported is how the whole begins. */
static void
test_truncation_at_every_byte(void **state)
{
	struct trace whole = { .text = BUF_INIT(65536) };
	struct trace part = { .text = BUF_INIT(65536) };
	unsigned good = 0;
	DATA(b);

	(void)state;
	put_everything(&b, EXPLICIT);
	assert_int_equal(scan_bytes(EXPLICIT, b.data, b.len, 0, 0, &whole), 0);
	for (size_t len = 0; len < b.len; len++) {
		int r;

		trace_clear(&part);
		r = scan_bytes(EXPLICIT, b.data, len, 0, 0, &part);
		assert_true(r == 0 || r == -EBADMSG);
		assert_true(r != 0 || part.nopen == 0);
		good += r == 0;
		assert_memory_equal(whole.text.data,
		    part.text.data != NULL ? part.text.data : "", part.text.len);
	}
	/* Behind nothing, and behind all of the nine outermost elements but the last. */
	assert_int_equal(good, 1 + 8);
	buf_free(&whole.text);
	buf_free(&part.text);
}

static void
test_callbacks_end_it(void **state)
{
	static const int answers[] = { DICOM_SCAN_STOP, -EIO, 7 };
	struct trace t = { .text = BUF_INIT(65536) };
	unsigned events;
	DATA(b);

	(void)state;
	put_everything(&b, EXPLICIT);
	assert_int_equal(scan_bytes(EXPLICIT, b.data, b.len, 0, 0, &t), 0);
	events = t.events;
	for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
		for (unsigned at = 1; at <= events; at++) {
			struct dicom_scan *s;

			trace_clear(&t);
			t.stop_at = at;
			t.stop_with = answers[i];
			s = dicom_scan_new(EXPLICIT, &all_events, &t);
			assert_int_equal(dicom_scan_feed(s, b.data, b.len), answers[i]);
			assert_int_equal(dicom_scan_feed(s, b.data, b.len), answers[i]);
			assert_int_equal(dicom_scan_skippable(s), 0);
			assert_int_equal(dicom_scan_end(s),
			    answers[i] == DICOM_SCAN_STOP ? 0 : answers[i]);
			assert_int_equal(t.events, at);
			assert_string_equal(dicom_scan_reason(s), "");
			dicom_scan_free(s);
		}
	}
	buf_free(&t.text);
}

static void
test_no_callbacks(void **state)
{
	static const struct dicom_scan_events none;
	struct dicom_scan *s = dicom_scan_new(EXPLICIT, &none, NULL);
	DATA(b);

	(void)state;
	put_everything(&b, EXPLICIT);
	assert_int_equal(dicom_scan_feed(s, b.data, b.len), 0);
	assert_int_equal(dicom_scan_end(s), 0);
	dicom_scan_free(s);
}

static void
test_skipping(void **state)
{
	struct trace t = { .text = BUF_INIT(65536) };
	struct dicom_scan *s = dicom_scan_new(EXPLICIT, &all_events, &t);
	DATA(b);
	DATA(tail);

	(void)state;
	put_header(&b, EXPLICIT, PIXEL_DATA, "OW", 0xfffffffe);
	put_text(&tail, EXPLICIT, 0xfffcfffc, "OB", "pad");
	assert_int_equal(dicom_scan_skippable(s), 0);
	assert_int_equal(dicom_scan_feed(s, b.data, b.len - 1), 0);
	assert_int_equal(dicom_scan_skippable(s), 0);
	assert_int_equal(dicom_scan_feed(s, b.data + b.len - 1, 1), 0);
	assert_int_equal(dicom_scan_skippable(s), 0xfffffffe);
	dicom_scan_skipped(s, 0);
	dicom_scan_skipped(s, 1000);
	assert_int_equal(dicom_scan_skippable(s), 0xfffffffe - 1000);
	assert_int_equal(dicom_scan_feed(s, "ab", 2), 0);
	dicom_scan_skipped(s, 0xfffffffe - 1002);
	assert_int_equal(dicom_scan_feed(s, tail.data, tail.len), 0);
	assert_int_equal(dicom_scan_end(s), 0);
	assert_string_equal(t.text.data,
	    "0 7fe00010 OW -2 @0 2:ab .\n"
	    "0 fffcfffc OB 4 @4294967306 4:pad\\00 .\n");
	dicom_scan_free(s);
	buf_free(&t.text);
}

/* Changed and random bytes: any result, the same for every cut, events that
 * nest (the callbacks assert that), and no harm under the sanitizers. */
static void
test_accidents(void **state)
{
	static const enum dicom_encoding encodings[] = { EXPLICIT, IMPLICIT, BIG };
	struct trace whole = { .text = BUF_INIT(65536) };
	struct trace parts = { .text = BUF_INIT(65536) };
	uint64_t seed = 2;

	(void)state;
	for (unsigned round = 0; round < 3000; round++) {
		enum dicom_encoding enc = encodings[round % 3];
		int a, b;
		DATA(d);

		put_everything(&d, enc);
		for (size_t n = 1 + random_below(&seed, 6); n > 0; n--)
			d.data[random_below(&seed, d.len)] =
			    (char)next_random(&seed);
		for (size_t i = 0; round % 10 == 0 && i < d.len; i++)
			d.data[i] = (char)next_random(&seed);
		trace_clear(&whole);
		a = scan_bytes(enc, d.data, d.len, 0, 0, &whole);
		trace_clear(&parts);
		b = scan_bytes(enc, d.data, d.len, 9, seed, &parts);
		assert_int_equal(a, b);
		assert_true(a == 0 || a == -EBADMSG);
		assert_string_equal(whole.text.data != NULL ? whole.text.data : "",
		    parts.text.data != NULL ? parts.text.data : "");
	}
	buf_free(&whole.text);
	buf_free(&parts.text);
}

static int
keep_inflated(void *arg, const void *data, size_t len)
{
	return buf_add(arg, data, len);
}

/* Cut inside an element, or (the last) with a foreign byte in front. */
static bool
is_damaged(const char *name)
{
	return strcmp(name, "rtplan_truncated.dcm") == 0 ||
	    strcmp(name, "MR_truncated.dcm") == 0 ||
	    strcmp(name, "no_meta.dcm") == 0;
}

static void
scan_object(const struct object *o, void *arg)
{
	enum dicom_encoding enc = dicom_syntax_find(o->meta.syntax)->encoding;
	struct trace t = { .text = BUF_INIT(1), .quiet = true };
	const uint8_t *data = o->data + o->at;
	size_t len = o->len - o->at;
	int r;
	DATA(inflated);

	(void)arg;
	if (enc == DICOM_DEFLATED_LE) {
		struct dicom_inflate *z = dicom_inflate_new(FIXTURE_MAX,
		    keep_inflated, &inflated);

		assert_int_equal(dicom_inflate_feed(z, data, len), 0);
		assert_int_equal(dicom_inflate_end(z), 0);
		dicom_inflate_free(z);
		enc = EXPLICIT;
		data = (const uint8_t *)inflated.data;
		len = inflated.len;
	}
	r = scan_bytes(enc, data, len, 16 * 1024, 0, &t);
	if (r != (is_damaged(o->name) ? -EBADMSG : 0))
		fail_msg("%s: %d", o->name, r);
}

static void
test_real_objects(void **state)
{
	(void)state;
	if (visit_objects(scan_object, NULL) == 0)
		skip();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_flat_explicit),
		cmocka_unit_test(test_flat_implicit),
		cmocka_unit_test(test_flat_big_endian),
		cmocka_unit_test(test_nested_defined),
		cmocka_unit_test(test_nested_undefined),
		cmocka_unit_test(test_encapsulated_pixel_data),
		cmocka_unit_test(test_encapsulated_icon),
		cmocka_unit_test(test_un_of_undefined_length),
		cmocka_unit_test(test_un_is_implicit_for_sure),
		cmocka_unit_test(test_private_sequence_in_implicit),
		cmocka_unit_test(test_superfluous_delimiters),
		cmocka_unit_test(test_forgotten_delimiters),
		cmocka_unit_test(test_final_delimiter_missing),
		cmocka_unit_test(test_unknown_vrs),
		cmocka_unit_test(test_implicit_by_mistake),
		cmocka_unit_test(test_lengths_that_leave),
		cmocka_unit_test(test_impossible_headers),
		cmocka_unit_test(test_nesting),
		cmocka_unit_test(test_portions_do_not_matter),
		cmocka_unit_test(test_truncation_at_every_byte),
		cmocka_unit_test(test_callbacks_end_it),
		cmocka_unit_test(test_no_callbacks),
		cmocka_unit_test(test_skipping),
		cmocka_unit_test(test_accidents),
		cmocka_unit_test(test_real_objects),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
