/* test_dicom_part10.c - the header that leaves (rule 10), and headers of others
 * in every state of disrepair.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/dicom_fixture.h"

#define DATA(name) struct buf name AUTO(buf_free) = BUF_INIT(FIXTURE_MAX)
#define E	   DICOM_EXPLICIT_LE

static void
put_preamble(struct buf *b)
{
	for (unsigned i = 0; i < 128; i++)
		(void)buf_add_char(b, (char)i);
	(void)buf_add_str(b, "DICM");
}

static void
put_data_set(struct buf *b)
{
	put_text(b, E, 0x00080016, "UI", "1.2.840.10008.5.1.4.1.1.2");
}

static void
test_rule_10_header(void **state)
{
	struct dicom_part10 p = { "1.2.840.10008.5.1.4.1.1.2", "1.2.3.4",
		DICOM_UID_EXPLICIT_LE };
	DATA(a);
	DATA(b);
	DATA(e);

	(void)state;
	assert_int_equal(dicom_part10_write(&a, &p), 0);
	assert_int_equal(dicom_part10_write(&b, &p), 0);
	assert_int_equal(a.len, b.len);
	assert_memory_equal(a.data, b.data, a.len);
	assert_true(a.len <= DICOM_PART10_MAX);

	for (unsigned i = 0; i < 128; i++)
		(void)buf_add_char(&e, 0);
	(void)buf_add_str(&e, "DICM");
	put_header(&e, E, 0x00020000, "UL", 4);
	put_number(&e, false, 4, (uint32_t)(a.len - 144));
	put_bytes(&e, E, 0x00020001, "OB", "\0\1", 2);
	put_text(&e, E, 0x00020002, "UI", "1.2.840.10008.5.1.4.1.1.2");
	put_text(&e, E, 0x00020003, "UI", "1.2.3.4");
	put_text(&e, E, 0x00020010, "UI", DICOM_UID_EXPLICIT_LE);
	put_text(&e, E, 0x00020012, "UI", DICOM_IMPLEMENTATION_UID);
	put_text(&e, E, 0x00020013, "SH", DICOM_IMPLEMENTATION_VERSION);
	assert_int_equal(a.len, e.len);
	assert_memory_equal(a.data, e.data, e.len);
}

static void
test_longest_header_fits(void **state)
{
	struct dicom_part10 p;
	struct buf full = BUF_INIT(100);
	DATA(b);

	(void)state;
	memset(&p, '1', sizeof(p));
	p.sop_class[64] = p.sop_instance[64] = p.syntax[64] = '\0';
	assert_int_equal(dicom_part10_write(&b, &p), 0);
	assert_true(b.len <= DICOM_PART10_MAX);
	assert_int_equal(dicom_part10_write(&full, &p), -EMSGSIZE);
	buf_free(&full);
}

static void
expect_parse(const struct buf *b, size_t size, const char *class_uid,
    const char *instance, const char *syntax)
{
	struct dicom_part10 p;
	size_t n = 0;

	assert_int_equal(dicom_part10_parse(b->data, b->len, &p, &n), 0);
	assert_int_equal(n, size);
	assert_string_equal(p.sop_class, class_uid);
	assert_string_equal(p.sop_instance, instance);
	assert_string_equal(p.syntax, syntax);
}

/* Any cut is "more", and leaves the outputs alone. */
static void
test_round_trip(void **state)
{
	struct dicom_part10 p = { "1.2.840.10008.5.1.4.1.1.2", "1.2.3.45",
		DICOM_UID_DEFLATED_LE }, out;
	size_t size, n = 4711;
	DATA(b);

	(void)state;
	assert_int_equal(dicom_part10_write(&b, &p), 0);
	size = b.len;
	expect_parse(&b, size, p.sop_class, p.sop_instance, p.syntax);
	put_data_set(&b);
	expect_parse(&b, size, p.sop_class, p.sop_instance, p.syntax);
	for (size_t len = 0; len < size; len++) {
		AUTO_FREE char *copy = malloc(len + 1);

		memcpy(copy, b.data, len);
		memset(&out, 'x', sizeof(out));
		assert_int_equal(dicom_part10_parse(copy, len, &out, &n), -EAGAIN);
		assert_int_equal(n, 4711);
		assert_int_equal(out.syntax[0], 'x');
	}
}

/* Deflated bytes that look like group 0002. */
static void
test_deflated_behind(void **state)
{
	struct dicom_part10 p = { "1.2", "1.3", DICOM_UID_DEFLATED_LE };
	size_t size;
	DATA(b);

	(void)state;
	assert_int_equal(dicom_part10_write(&b, &p), 0);
	size = b.len;
	put_text(&b, E, 0x00020010, "UI", "6.6.6");
	expect_parse(&b, size, "1.2", "1.3", DICOM_UID_DEFLATED_LE);
}

static void
test_group_length_missing_or_wrong(void **state)
{
	static const uint32_t lengths[] = { 0, 1, 26, 1000, 0xffffffff };

	(void)state;
	for (size_t i = 0; i <= ARRAY_LEN(lengths); i++) {
		size_t size;
		DATA(b);

		put_preamble(&b);
		if (i < ARRAY_LEN(lengths)) {
			put_header(&b, E, 0x00020000, "UL", 4);
			put_number(&b, false, 4, lengths[i]);
		}
		put_text(&b, E, 0x00020003, "UI", "1.2.3 ");
		put_text(&b, E, 0x00020010, "UI", DICOM_UID_EXPLICIT_BE);
		put_text(&b, E, 0x00020100, "UI", "1.2.3.4");
		put_bytes(&b, E, 0x00020102, "OB", "private", 7);
		size = b.len;
		put_data_set(&b);
		expect_parse(&b, size, "", "1.2.3", DICOM_UID_EXPLICIT_BE);
	}
}

static void
test_syntax_missing(void **state)
{
	size_t size;
	DATA(b);
	DATA(bare);

	(void)state;
	put_preamble(&b);
	put_text(&b, E, 0x00020003, "UI", "1.2.3");
	size = b.len;
	put_data_set(&b);
	expect_parse(&b, size, "", "1.2.3", DICOM_UID_IMPLICIT_LE);

	put_preamble(&bare);
	put_data_set(&bare);
	expect_parse(&bare, 132, "", "", DICOM_UID_IMPLICIT_LE);
}

static void
test_implicit_meta(void **state)
{
	size_t size;
	DATA(b);

	(void)state;
	put_preamble(&b);
	put_text(&b, DICOM_IMPLICIT_LE, 0x00020003, "UI", "1.2.3");
	put_text(&b, DICOM_IMPLICIT_LE, 0x00020010, "UI", DICOM_UID_EXPLICIT_LE);
	size = b.len;
	put_data_set(&b);
	expect_parse(&b, size, "", "1.2.3", DICOM_UID_EXPLICIT_LE);
}

static void
test_hostile_uids(void **state)
{
	size_t size;
	DATA(b);

	(void)state;
	put_preamble(&b);
	put_bytes(&b, E, 0x00020002, "UI", "1.2\0004", 6);
	put_text(&b, E, 0x00020003, "UI",
	    "1.23456789012345678901234567890123456789012345678901234567890123456789");
	put_text(&b, E, 0x00020010, "UI", DICOM_UID_EXPLICIT_LE);
	size = b.len;
	put_data_set(&b);
	expect_parse(&b, size, "", "", DICOM_UID_EXPLICIT_LE);
}

static void
test_not_part10(void **state)
{
	struct dicom_part10 p;
	size_t n;
	DATA(garbage);
	DATA(endless);
	DATA(huge);

	(void)state;
	for (unsigned i = 0; i < 200; i++)
		(void)buf_add_char(&garbage, 'x');
	assert_int_equal(dicom_part10_parse("", 0, &p, &n), -EAGAIN);
	assert_int_equal(
	    dicom_part10_parse(garbage.data, garbage.len, &p, &n), -EBADMSG);

	/* Never asks for more than 64 KiB. */
	put_preamble(&endless);
	while (endless.len < 64 * 1024)
		put_text(&endless, E, 0x00020010, "UI", "1.2");
	assert_int_equal(dicom_part10_parse(endless.data, endless.len, &p, &n),
	    -EBADMSG);
	put_preamble(&huge);
	put_header(&huge, E, 0x00020102, "OB", 0xfffffff0);
	assert_int_equal(
	    dicom_part10_parse(huge.data, huge.len, &p, &n), -EBADMSG);
}

static void
test_accidents(void **state)
{
	struct dicom_part10 in = { "1.2.840.10008.5.1.4.1.1.2", "1.2.3.45",
		DICOM_UID_EXPLICIT_LE };
	uint64_t seed = 5;

	(void)state;
	for (unsigned round = 0; round < 3000; round++) {
		struct dicom_part10 p;
		size_t n = 0;
		int r;
		DATA(b);

		assert_int_equal(dicom_part10_write(&b, &in), 0);
		put_data_set(&b);
		for (unsigned i = 0; i < 4; i++)
			b.data[132 + random_below(&seed, b.len - 132)] =
			    (char)next_random(&seed);
		AUTO_FREE char *copy = malloc(b.len);

		memcpy(copy, b.data, b.len);
		r = dicom_part10_parse(copy, b.len, &p, &n);
		assert_true(r == 0 || r == -EAGAIN || r == -EBADMSG);
		assert_true(r != 0 || n <= b.len);
	}
}

static void
parse_object(const struct object *o, void *arg)
{
	unsigned *with_meta = arg;

	static const char *const without[] = {
		"ExplVR_BigEndNoMeta.dcm", "ExplVR_LitEndNoMeta.dcm", "no_meta.dcm",
		"rtstruct.dcm",
	};

	for (size_t i = 0; i < ARRAY_LEN(without); i++) {
		if (strcmp(o->name, without[i]) == 0) {
			assert_false(o->has_meta);
			return;
		}
	}
	if (!o->has_meta)
		fail_msg("%s", o->name);
	assert_true(dicom_syntax_known(o->meta.syntax));
	(*with_meta)++;
}

static void
test_real_objects(void **state)
{
	unsigned with_meta = 0;

	(void)state;
	if (visit_objects(parse_object, &with_meta) == 0)
		skip();
	assert_true(with_meta > 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rule_10_header),
		cmocka_unit_test(test_longest_header_fits),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_deflated_behind),
		cmocka_unit_test(test_group_length_missing_or_wrong),
		cmocka_unit_test(test_syntax_missing),
		cmocka_unit_test(test_implicit_meta),
		cmocka_unit_test(test_hostile_uids),
		cmocka_unit_test(test_not_part10),
		cmocka_unit_test(test_accidents),
		cmocka_unit_test(test_real_objects),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
