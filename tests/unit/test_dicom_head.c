/* test_dicom_head.c - the head out of every transfer syntax, where reading it
 * stops, and what hostile values become.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <zlib.h>

#include "gateway/dicom/head.h"
#include "tests/unit/dicom_fixture.h"

#define DATA(name) struct buf name AUTO(buf_free) = BUF_INIT(FIXTURE_MAX)
#define E	   DICOM_EXPLICIT_LE
#define I	   DICOM_IMPLICIT_LE
#define BIG	   DICOM_EXPLICIT_BE
#define CT	   "1.2.840.10008.5.1.4.1.1.2"

static const char *
syntax_uid(enum dicom_encoding enc)
{
	static const char *const uids[] = {
		[DICOM_IMPLICIT_LE] = DICOM_UID_IMPLICIT_LE,
		[DICOM_EXPLICIT_LE] = DICOM_UID_EXPLICIT_LE,
		[DICOM_EXPLICIT_BE] = DICOM_UID_EXPLICIT_BE,
		[DICOM_DEFLATED_LE] = DICOM_UID_DEFLATED_LE,
	};

	return uids[enc];
}

static void
put_head(struct buf *b, enum dicom_encoding enc)
{
	put_text(b, enc, 0x00080005, "CS", "ISO_IR 100");
	put_text(b, enc, 0x00080016, "UI", CT);
	put_text(b, enc, 0x00080018, "UI", "1.2.3.4");
	put_text(b, enc, 0x00080060, "CS", "CT");
	/* What is inside sequences is somebody else's. */
	put_header(b, enc, 0x00081140, "SQ", DICOM_UNDEFINED);
	put_marker(b, enc, ITEM, DICOM_UNDEFINED);
	put_text(b, enc, 0x00080018, "UI", "6.6.6");
	put_text(b, enc, 0x0020000d, "UI", "6.6.6");
	put_marker(b, enc, ITEM_DELIM, 0);
	put_marker(b, enc, SEQUENCE_DELIM, 0);
	put_text(b, enc, 0x00100010, "PN", "Doe^Jane");
	put_text(b, enc, 0x00100020, "LO", "");
	put_text(b, enc, 0x0020000d, "UI", "1.2.5");
	put_text(b, enc, 0x0020000e, "UI", "1.2.6");
	put_u16(b, enc, 0x00280010, 513);
	put_u16(b, enc, 0x00280011, 65535);
}

static void
put_pixels(struct buf *b, enum dicom_encoding enc)
{
	put_text(b, enc, 0x00281050, "DS", "40");
	put_text(b, enc, PIXEL_DATA, "OW", "pixels");
}

/* A reader that was fed in portions of n bytes; *ret is what feed, or else end,
 * said. */
static struct dicom_head_reader *
read_head(const char *syntax, const void *data, size_t len, size_t n, int *ret)
{
	struct dicom_head_reader *r =
	    dicom_head_reader_new(dicom_syntax_find(syntax));
	const char *p = data;
	int result = 0;

	for (size_t at = 0; at < len && result == 0; at += n)
		result = dicom_head_reader_feed(r, p + at,
		    len - at < n ? len - at : n);
	*ret = result != 0 ? result : dicom_head_reader_end(r);
	if (result < 0) {
		assert_int_equal(dicom_head_reader_end(r), -EBADMSG);
		assert_int_equal(dicom_head_reader_feed(r, p, len), -EBADMSG);
	}
	assert_true((*ret < 0) == (dicom_head_reader_reason(r)[0] != '\0'));
	return r;
}

static void
expect_text(const struct dicom_head_reader *r, enum dicom_head_id id,
    const char *value)
{
	const struct dicom_head *h = dicom_head_reader_head(r);
	size_t len;

	assert_string_equal(dicom_head_get(h, id, &len), value);
	assert_int_equal(len, strlen(value));
}

static void
expect_head(const struct dicom_head_reader *r)
{
	const struct dicom_head *h = dicom_head_reader_head(r);

	expect_text(r, DICOM_HEAD_CHARSET, "ISO_IR 100");
	expect_text(r, DICOM_HEAD_SOP_CLASS, CT);
	expect_text(r, DICOM_HEAD_SOP_INSTANCE, "1.2.3.4");
	expect_text(r, DICOM_HEAD_MODALITY, "CT");
	expect_text(r, DICOM_HEAD_PATIENT_NAME, "Doe^Jane");
	expect_text(r, DICOM_HEAD_PATIENT_ID, "");
	expect_text(r, DICOM_HEAD_STUDY_UID, "1.2.5");
	expect_text(r, DICOM_HEAD_SERIES_UID, "1.2.6");
	expect_text(r, DICOM_HEAD_ROWS, "513");
	expect_text(r, DICOM_HEAD_COLUMNS, "65535");
	expect_text(r, DICOM_HEAD_ACCESSION, "");
	assert_true(h->present[DICOM_HEAD_PATIENT_ID]);
	assert_false(h->present[DICOM_HEAD_ACCESSION]);
	assert_true(dicom_head_identified(h));
	assert_string_equal(dicom_head_get(h, DICOM_HEAD_ROWS, NULL), "513");
}

static void
test_every_encoding(void **state)
{
	static const enum dicom_encoding encodings[] = { E, I, BIG };
	static const size_t portions[] = { 1, 5, 1 << 20 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(encodings); i++) {
		DATA(b);

		put_head(&b, encodings[i]);
		put_pixels(&b, encodings[i]);
		for (size_t k = 0; k < ARRAY_LEN(portions); k++) {
			struct dicom_head_reader *r;
			int result;

			r = read_head(syntax_uid(encodings[i]), b.data, b.len,
			    portions[k], &result);
			assert_int_equal(result, 1);
			expect_head(r);
			assert_int_equal(dicom_head_reader_feed(r, "x", 1), 1);
			assert_int_equal(dicom_head_reader_end(r), 0);
			dicom_head_reader_free(r);
		}
	}
}

static void
deflate_into(struct buf *ret, const void *data, size_t len)
{
	uLong max = compressBound(len) + 64;
	AUTO_FREE Bytef *out = malloc(max);
	z_stream z = { 0 };

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, -MAX_WBITS, 9,
	    Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = (z_const Bytef *)data;
	z.avail_in = (uInt)len;
	z.next_out = out;
	z.avail_out = (uInt)max;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	assert_int_equal(buf_add(ret, out, max - z.avail_out), 0);
	assert_int_equal(deflateEnd(&z), Z_OK);
}

static void
test_deflated(void **state)
{
	static const size_t portions[] = { 1, 5, 1 << 20 };
	DATA(plain);
	DATA(b);

	(void)state;
	put_head(&plain, E);
	put_pixels(&plain, E);
	deflate_into(&b, plain.data, plain.len);
	for (size_t k = 0; k < ARRAY_LEN(portions); k++) {
		int result;
		struct dicom_head_reader *r = read_head(DICOM_UID_DEFLATED_LE,
		    b.data, b.len, portions[k], &result);

		assert_int_equal(result, 1);
		expect_head(r);
		dicom_head_reader_free(r);
	}
}

static void
test_deflated_bomb_and_damage(void **state)
{
	const size_t size = 80u << 20;
	AUTO_FREE char *zeros = calloc(1, size);
	struct dicom_head_reader *r;
	uint32_t length = (uint32_t)size - 12;
	int result;
	DATA(plain);
	DATA(bomb);
	DATA(cut);

	(void)state;
	/* One private value of 80 MB, which hides that there is no study. */
	put_header(&plain, E, 0x00091010, "OB", length);
	memcpy(zeros, plain.data, plain.len);
	deflate_into(&bomb, zeros, size);
	r = read_head(DICOM_UID_DEFLATED_LE, bomb.data, bomb.len, 4096, &result);
	assert_int_equal(result, -EBADMSG);
	assert_non_null(strstr(dicom_head_reader_reason(r), "inflates"));
	dicom_head_reader_free(r);

	r = read_head(DICOM_UID_DEFLATED_LE, "\xff\xff\xff\xff", 4, 4, &result);
	assert_int_equal(result, -EBADMSG);
	dicom_head_reader_free(r);

	put_head(&cut, E);
	bomb.len = 0;
	deflate_into(&bomb, cut.data, cut.len);
	r = read_head(DICOM_UID_DEFLATED_LE, bomb.data, bomb.len - 1, 4, &result);
	assert_int_equal(result, -EBADMSG);
	dicom_head_reader_free(r);
}

/* Private syntaxes are taken as they come, implicit ones too. */
static void
test_private_syntaxes(void **state)
{
	static const enum dicom_encoding encodings[] = { E, I };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(encodings); i++) {
		struct dicom_head_reader *r;
		int result;
		DATA(b);

		put_head(&b, encodings[i]);
		put_pixels(&b, encodings[i]);
		r = read_head("1.2.3.4.5", b.data, b.len, 64, &result);
		assert_int_equal(result, 1);
		expect_head(r);
		dicom_head_reader_free(r);
	}
}

/* The data set is over before the table's last tag. */
static void
test_short_data_set(void **state)
{
	struct dicom_head_reader *r;
	int result;
	DATA(b);
	DATA(empty);

	(void)state;
	put_head(&b, E);
	r = read_head(DICOM_UID_EXPLICIT_LE, b.data, b.len, 100, &result);
	assert_int_equal(result, 0);
	expect_head(r);
	dicom_head_reader_free(r);

	r = read_head(DICOM_UID_EXPLICIT_LE, empty.data, 0, 1, &result);
	assert_int_equal(result, 0);
	assert_false(dicom_head_identified(dicom_head_reader_head(r)));
	dicom_head_reader_free(r);
	dicom_head_reader_free(NULL);
}

static void
test_truncation_at_every_byte(void **state)
{
	size_t head_len;
	DATA(b);

	(void)state;
	put_head(&b, E);
	head_len = b.len;
	put_pixels(&b, E);
	for (size_t len = 0; len <= b.len; len++) {
		int result;
		AUTO_FREE char *copy = malloc(len + 1);
		struct dicom_head_reader *r;

		memcpy(copy, b.data, len);
		r = read_head(DICOM_UID_EXPLICIT_LE, copy, len, 50, &result);
		/* Done with the header of (0028,1050), however the rest ends. */
		if (len >= head_len + 8)
			assert_int_equal(result, 1);
		else
			assert_true(result == 0 || result == -EBADMSG);
		if (len >= head_len)
			expect_head(r);
		dicom_head_reader_free(r);
	}
}

/* The study comes behind the pixels; it is read on until the UIDs are there. */
static void
test_out_of_order(void **state)
{
	struct dicom_head_reader *r;
	int result;
	DATA(b);

	(void)state;
	put_text(&b, E, 0x00200013, "IS", " 7 ");
	put_text(&b, E, 0x00080018, "UI", "1.2.3");
	put_text(&b, E, PIXEL_DATA, "OW", "pixels");
	put_text(&b, E, 0x0020000d, "UI", "1.2.5");
	put_text(&b, E, 0x0020000e, "UI", "1.2.6");
	put_text(&b, E, 0x00080060, "CS", "MR");
	put_text(&b, E, 0xfffcfffc, "OB", "pad");
	put_text(&b, E, 0x00080050, "SH", "too late");
	r = read_head(DICOM_UID_EXPLICIT_LE, b.data, b.len, 10, &result);
	assert_int_equal(result, 1);
	expect_text(r, DICOM_HEAD_INSTANCE_NUMBER, "7");
	expect_text(r, DICOM_HEAD_SERIES_UID, "1.2.6");
	expect_text(r, DICOM_HEAD_MODALITY, "MR");
	expect_text(r, DICOM_HEAD_ACCESSION, "");
	dicom_head_reader_free(r);
}

static void
test_first_occurrence_counts(void **state)
{
	struct dicom_head_reader *r;
	int result;
	DATA(b);

	(void)state;
	put_text(&b, E, 0x00080018, "UI", "1.2.3");
	for (unsigned i = 0; i < 1000; i++)
		put_text(&b, E, 0x00080018, "UI", "1.2.4");
	r = read_head(DICOM_UID_EXPLICIT_LE, b.data, b.len, 10, &result);
	expect_text(r, DICOM_HEAD_SOP_INSTANCE, "1.2.3");
	dicom_head_reader_free(r);
}

static void
test_deep_nesting(void **state)
{
	struct dicom_head_reader *r;
	int result;
	DATA(b);

	(void)state;
	put_text(&b, E, 0x00080018, "UI", "1.2.3");
	for (unsigned i = 0; i < 10000; i++) {
		put_header(&b, E, 0x00081140, "SQ", DICOM_UNDEFINED);
		put_marker(&b, E, ITEM, DICOM_UNDEFINED);
	}
	r = read_head(DICOM_UID_EXPLICIT_LE, b.data, b.len, 4096, &result);
	assert_int_equal(result, -EBADMSG);
	assert_non_null(strstr(dicom_head_reader_reason(r), "too deep"));
	expect_text(r, DICOM_HEAD_SOP_INSTANCE, "1.2.3");
	dicom_head_reader_free(r);
}

/* A UID is whole or nothing; ill-formed ones of up to 64 bytes stand (rule 15). */
static void
test_rule_15_uids(void **state)
{
	static const struct {
		const char *sent;
		size_t	    len;
		const char *kept;
		bool	    identifies;
	} cases[] = {
		{ "1.2.3\0", 6, "1.2.3", true },
		{ " 1.2.3 \0 ", 9, "1.2.3", true },
		{ "1.02.x", 6, "1.02.x", true },
		{ "../../etc", 9, "../../etc", true },
		{ "1.2\0004", 5, "", false },
		{ "1.2 4", 5, "1.2 4", false },
		{ "1.2\n4", 5, "1.2\n4", false },
		{ "", 0, "", false },
		{ "\0\0\0\0", 4, "", false },
		{ "1234567890123456789012345678901234567890123456789012345678901234"
		  "     \0", 70,
		  "1234567890123456789012345678901234567890123456789012345678901234",
		  true },
		{ "12345678901234567890123456789012345678901234567890123456789012345",
		  65, "", false },
	};
	static const size_t portions[] = { 1, 1000 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		DATA(b);

		put_text(&b, E, 0x00080018, "UI", "1.2.3");
		put_bytes(&b, E, 0x0020000d, "UI", cases[i].sent, cases[i].len);
		put_text(&b, E, 0x0020000e, "UI", "1.2.6");
		for (size_t k = 0; k < ARRAY_LEN(portions); k++) {
			int result;
			struct dicom_head_reader *r = read_head(
			    DICOM_UID_EXPLICIT_LE, b.data, b.len, portions[k],
			    &result);

			assert_int_equal(result, 0);
			expect_text(r, DICOM_HEAD_STUDY_UID, cases[i].kept);
			assert_int_equal(
			    dicom_head_identified(dicom_head_reader_head(r)),
			    cases[i].identifies);
			dicom_head_reader_free(r);
		}
	}
}

/* Everything as long as it can be, and longer: the arena holds it. */
static void
test_long_values(void **state)
{
	AUTO_FREE char *many = malloc(60000);
	struct dicom_head_reader *r;
	const struct dicom_head *h;
	int result;
	DATA(b);

	(void)state;
	memset(many, 'x', 60000);
	for (unsigned i = 0; i < DICOM_HEAD_COUNT; i++)
		put_bytes(&b, I, dicom_head_spec(i)->tag, NULL, many, 60000);
	r = read_head(DICOM_UID_IMPLICIT_LE, b.data, b.len, 1000, &result);
	h = dicom_head_reader_head(r);
	assert_int_equal(result, 0);
	for (unsigned i = 0; i < DICOM_HEAD_COUNT; i++) {
		bool uid = dicom_dict_vr(dicom_head_spec(i)->tag) ==
		    DICOM_VR('U', 'I');
		size_t len, max = dicom_head_spec(i)->max;

		(void)dicom_head_get(h, i, &len);
		if (i == DICOM_HEAD_ROWS || i == DICOM_HEAD_COLUMNS)
			assert_int_equal(len, 5);
		else
			assert_int_equal(len, uid ? 0 : max);
		assert_true(h->present[i]);
	}
	assert_true(h->used <= DICOM_HEAD_ARENA);
	dicom_head_reader_free(r);
}

static void
test_odd_vrs(void **state)
{
	struct dicom_head_reader *r;
	int result;
	DATA(b);

	(void)state;
	put_bytes(&b, E, 0x00080018, "UN", "1.2.3\0", 6);
	put_header(&b, E, 0x00080060, "SQ", 0);
	put_header(&b, E, 0x00100010, "UN", DICOM_UNDEFINED);
	put_marker(&b, E, SEQUENCE_DELIM, 0);
	put_bytes(&b, E, 0x00100020, "UC", "id", 2);
	put_bytes(&b, E, 0x00280008, "IS", "\0\0 12 \0", 7);
	put_bytes(&b, E, 0x00280010, "IS", " 512", 4);
	put_bytes(&b, E, 0x00280011, "US", "\1", 1);
	r = read_head(DICOM_UID_EXPLICIT_LE, b.data, b.len, 3, &result);
	assert_int_equal(result, 0);
	expect_text(r, DICOM_HEAD_SOP_INSTANCE, "1.2.3");
	assert_false(dicom_head_reader_head(r)->present[DICOM_HEAD_MODALITY]);
	assert_false(dicom_head_reader_head(r)->present[DICOM_HEAD_PATIENT_NAME]);
	expect_text(r, DICOM_HEAD_PATIENT_ID, "id");
	expect_text(r, DICOM_HEAD_FRAMES, "12");
	expect_text(r, DICOM_HEAD_ROWS, "512");
	expect_text(r, DICOM_HEAD_COLUMNS, "");
	dicom_head_reader_free(r);
}

/* Raw bytes: escape sequences and NULs inside text stay, with their length. */
static void
test_raw_bytes(void **state)
{
	struct dicom_head_reader *r;
	size_t len;
	int result;
	DATA(b);

	(void)state;
	put_bytes(&b, E, 0x00100010, "PN", "A\x1b$B\0x\xff ", 8);
	r = read_head(DICOM_UID_EXPLICIT_LE, b.data, b.len, 3, &result);
	assert_memory_equal(dicom_head_get(dicom_head_reader_head(r),
	    DICOM_HEAD_PATIENT_NAME, &len), "A\x1b$B\0x\xff", 8);
	assert_int_equal(len, 7);
	dicom_head_reader_free(r);
}

static void
test_accidents(void **state)
{
	static const enum dicom_encoding encodings[] = { E, I, BIG };
	uint64_t seed = 8;

	(void)state;
	for (unsigned round = 0; round < 3000; round++) {
		enum dicom_encoding enc = encodings[round % 3];
		struct dicom_head_reader *r;
		int result;
		DATA(b);

		put_head(&b, enc);
		put_pixels(&b, enc);
		for (unsigned i = 0; i < 5; i++)
			b.data[random_below(&seed, b.len)] = (char)next_random(&seed);
		r = read_head(syntax_uid(enc), b.data, b.len,
		    1 + random_below(&seed, 64), &result);
		assert_true(result == 0 || result == 1 || result == -EBADMSG);
		for (unsigned i = 0; i < DICOM_HEAD_COUNT; i++) {
			size_t len;
			const char *v = dicom_head_get(dicom_head_reader_head(r), i,
			    &len);

			assert_int_equal(v[len], '\0');
		}
		dicom_head_reader_free(r);
	}
}

/* Values as dcmdump prints them. */
static const struct {
	const char *file;
	enum dicom_head_id id;
	const char *value;
} real[] = {
	{ "HTJ2K_08_RGB.dcm", DICOM_HEAD_COLUMNS, "640" },
	{ "HTJ2K_08_RGB.dcm", DICOM_HEAD_ROWS, "480" },
	{ "JPEG2000.dcm", DICOM_HEAD_COLUMNS, "256" },
	{ "JPEG2000.dcm", DICOM_HEAD_ROWS, "1024" },
	{ "JPEG2000.dcm", DICOM_HEAD_SOP_INSTANCE,
	    "1.3.6.1.4.1.5962.1.1.8.1.3.20040826185059.5457" },
	{ "MR_small_bigendian.dcm", DICOM_HEAD_COLUMNS, "64" },
	{ "MR_small_bigendian.dcm", DICOM_HEAD_ROWS, "64" },
	{ "MR_small_bigendian.dcm", DICOM_HEAD_SOP_INSTANCE,
	    "1.3.6.1.4.1.5962.1.1.4.1.1.20040826185059.5457" },
	{ "MR_small_bigendian.dcm", DICOM_HEAD_STUDY_UID,
	    "1.3.6.1.4.1.5962.1.2.4.20040826185059.5457" },
	{ "MR_small_implicit.dcm", DICOM_HEAD_STUDY_DATE, "20040826" },
	{ "MR_small_implicit.dcm", DICOM_HEAD_STUDY_UID,
	    "1.3.6.1.4.1.5962.1.2.4.20040826185059.5457" },
	{ "chrH31.dcm", DICOM_HEAD_CHARSET, "\\ISO 2022 IR 87" },
	{ "emri_small_big_endian.dcm", DICOM_HEAD_FRAMES, "10" },
	{ "emri_small_big_endian.dcm", DICOM_HEAD_ROWS, "64" },
	{ "emri_small_big_endian.dcm", DICOM_HEAD_SOP_INSTANCE,
	    "1.2.826.0.1.3680043.2.1143.6455556726214900995651753669640998622" },
	{ "image_dfl.dcm", DICOM_HEAD_ROWS, "512" },
	{ "image_dfl.dcm", DICOM_HEAD_SOP_INSTANCE,
	    "1.3.6.1.4.1.5962.1.1.0.0.0.977067309.6001.0" },
	{ "image_dfl.dcm", DICOM_HEAD_STUDY_UID,
	    "1.3.6.1.4.1.5962.1.2.0.977067310.6001.0" },
	{ "rtplan_truncated.dcm", DICOM_HEAD_SOP_CLASS,
	    "1.2.840.10008.5.1.4.1.1.481.5" },
	{ "rtplan_truncated.dcm", DICOM_HEAD_SOP_INSTANCE,
	    "1.2.777.777.77.7.7777.7777.20030903150023" },
	{ "rtstruct.dcm", DICOM_HEAD_MODALITY, "RTSTRUCT" },
	{ "rtstruct.dcm", DICOM_HEAD_SOP_INSTANCE,
	    "1.2.826.0.1.3680043.8.498.2010020400001" },
	{ "rtstruct.dcm", DICOM_HEAD_STUDY_UID,
	    "1.2.826.0.1.3680043.8.498.2010020400001.1" },
};

static void
read_object(const struct object *o, void *arg)
{
	unsigned *compared = arg;
	int result;
	struct dicom_head_reader *r = read_head(o->meta.syntax, o->data + o->at,
	    o->len - o->at, 4096, &result);

	/* The last has a foreign byte in front of everything. */
	if (result < 0 && strcmp(o->name, "no_meta.dcm") != 0)
		fail_msg("%s: %s", o->name, dicom_head_reader_reason(r));
	for (size_t i = 0; i < ARRAY_LEN(real); i++) {
		if (strcmp(real[i].file, o->name) == 0) {
			expect_text(r, real[i].id, real[i].value);
			(*compared)++;
		}
	}
	dicom_head_reader_free(r);
}

static void
test_real_objects(void **state)
{
	unsigned compared = 0;

	(void)state;
	if (visit_objects(read_object, &compared) == 0)
		skip();
	assert_int_equal(compared, ARRAY_LEN(real));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_encoding),
		cmocka_unit_test(test_deflated),
		cmocka_unit_test(test_deflated_bomb_and_damage),
		cmocka_unit_test(test_private_syntaxes),
		cmocka_unit_test(test_short_data_set),
		cmocka_unit_test(test_truncation_at_every_byte),
		cmocka_unit_test(test_out_of_order),
		cmocka_unit_test(test_first_occurrence_counts),
		cmocka_unit_test(test_deep_nesting),
		cmocka_unit_test(test_rule_15_uids),
		cmocka_unit_test(test_long_values),
		cmocka_unit_test(test_odd_vrs),
		cmocka_unit_test(test_raw_bytes),
		cmocka_unit_test(test_accidents),
		cmocka_unit_test(test_real_objects),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
