/* test_dicom_commitment.c - storage commitment's data sets: what is written is read
 * again in every syntax; what is malformed or too much is refused.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/base/cleanup.h"
#include "gateway/dicom/commitment.h"

#define CT "1.2.840.10008.5.1.4.1.1.2"

static const char *const syntaxes[] = { DICOM_UID_IMPLICIT_LE, DICOM_UID_EXPLICIT_LE,
	DICOM_UID_EXPLICIT_BE };

static struct dicom_commitment
make(size_t good, size_t bad)
{
	struct dicom_commitment c = { .transaction = "2.25.77" };

	for (size_t i = 0; i < good + bad; i++) {
		struct dicom_reference r = { .sop_class = CT, .failed = i >= good,
			.reason = i >= good ? 0x0112 : 0 };

		(void)snprintf(r.sop_instance, sizeof(r.sop_instance), "1.2.3.%zu",
		    i + 1);
		assert_int_equal(dicom_commitment_add(&c, &r), 0);
	}
	return c;
}

static const struct dicom_reference *
find(const struct dicom_commitment *c, const char *uid)
{
	for (size_t i = 0; i < c->n; i++)
		if (strcmp(c->v[i].sop_instance, uid) == 0)
			return &c->v[i];
	return NULL;
}

static void
test_written_and_read(void **state)
{
	struct buf b AUTO(buf_free) = BUF_INIT(DICOM_COMMITMENT_BYTES);
	struct dicom_commitment c = make(30, 3), back;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(syntaxes); i++) {
		const struct dicom_syntax *s = dicom_syntax_find(syntaxes[i]);

		buf_clear(&b);
		assert_int_equal(dicom_commitment_write(&b, &c, s), 0);
		assert_int_equal(dicom_commitment_parse(b.data, b.len, s, &back), 0);
		assert_string_equal(back.transaction, "2.25.77");
		assert_int_equal(back.n, 33);
		assert_false(find(&back, "1.2.3.30")->failed);
		assert_string_equal(find(&back, "1.2.3.30")->sop_class, CT);
		assert_true(find(&back, "1.2.3.31")->failed);
		assert_int_equal(find(&back, "1.2.3.31")->reason, 0x0112);
		dicom_commitment_free(&back);
	}
	dicom_commitment_free(&c);
}

/* Explicit, by hand: the failed ones' sequence and items of undefined length, an
 * attribute that we do not ask for, no class in an item. */
static void
test_others_write_otherwise(void **state)
{
	static const char text[] =
	    "\x08\0\x54\0AE\4\0PACS"
	    "\x08\0\x95\x11UI\x08\0" "2.25.77\0"
	    "\x08\0\x98\x11SQ\0\0\xff\xff\xff\xff"
	    "\xfe\xff\0\xe0\xff\xff\xff\xff"
	    "\x08\0\x55\x11UI\6\0" "1.2.3\0"
	    "\x08\0\x97\x11US\2\0\x13\2"
	    "\xfe\xff\x0d\xe0\0\0\0\0"
	    "\xfe\xff\xdd\xe0\0\0\0\0";
	struct dicom_commitment c;

	(void)state;
	assert_int_equal(dicom_commitment_parse(text, sizeof(text) - 1,
	    dicom_syntax_find(DICOM_UID_EXPLICIT_LE), &c), 0);
	assert_int_equal(c.n, 1);
	assert_true(c.v[0].failed);
	assert_int_equal(c.v[0].reason, DICOM_COMMITMENT_RESOURCES);
	assert_string_equal(c.v[0].sop_class, "");
	dicom_commitment_free(&c);
}

static void
test_malformed_ones(void **state)
{
	const struct dicom_syntax *s = dicom_syntax_find(DICOM_UID_IMPLICIT_LE);
	struct buf b AUTO(buf_free) = BUF_INIT(DICOM_COMMITMENT_BYTES);
	struct dicom_commitment c = make(2, 2), back;
	unsigned good = 0;
	size_t whole;

	(void)state;
	assert_int_equal(dicom_commitment_write(&b, &c, s), 0);
	dicom_commitment_free(&c);
	whole = b.len;
	for (size_t len = 0; len < whole; len++) {
		char *copy = malloc(len > 0 ? len : 1);

		memcpy(copy, b.data, len);
		if (dicom_commitment_parse(copy, len, s, &back) == 0) {
			good++;		/* between two elements */
			dicom_commitment_free(&back);
		}
		free(copy);
	}
	assert_int_equal(good, 2);
	for (size_t i = 0; i < whole; i++) {
		char kept = b.data[i];

		for (int v = 0; v < 256; v += 5) {
			b.data[i] = (char)v;
			if (dicom_commitment_parse(b.data, whole, s, &back) == 0)
				dicom_commitment_free(&back);
		}
		b.data[i] = kept;
	}
	assert_int_equal(dicom_commitment_parse("", 0, s, &back), -EBADMSG);
}

static void
test_ten_thousand_and_too_many(void **state)
{
	const struct dicom_syntax *s = dicom_syntax_find(DICOM_UID_EXPLICIT_LE);
	struct buf b AUTO(buf_free) = BUF_INIT(DICOM_COMMITMENT_BYTES);
	struct dicom_commitment c = make(10000, 0), back;
	struct dicom_reference one = { .sop_class = CT, .sop_instance = "1.2" };

	(void)state;
	assert_int_equal(dicom_commitment_write(&b, &c, s), 0);
	assert_int_equal(dicom_commitment_parse(b.data, b.len, s, &back), 0);
	assert_int_equal(back.n, 10000);
	dicom_commitment_free(&back);
	while (c.n < DICOM_COMMITMENT_MAX)
		assert_int_equal(dicom_commitment_add(&c, &one), 0);
	assert_int_equal(dicom_commitment_add(&c, &one), -EMSGSIZE);
	dicom_commitment_free(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_written_and_read),
		cmocka_unit_test(test_others_write_otherwise),
		cmocka_unit_test(test_malformed_ones),
		cmocka_unit_test(test_ten_thousand_and_too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
