/* test_dicom_test_object.c - the test object says what it is, and is well-formed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/dicom/head.h"
#include "gateway/dicom/test_object.h"

static void
test_it_can_be_read(void **state)
{
	struct buf data = BUF_INIT(64u << 10);
	struct dicom_head_reader *r =
	    dicom_head_reader_new(dicom_syntax_find(DICOM_UID_EXPLICIT_LE));
	struct dicom_test_object o;
	const struct dicom_head *h;

	(void)state;
	assert_int_equal(dicom_test_object_make(1700000000000, &o, &data), 0);
	assert_int_equal(dicom_head_reader_feed(r, data.data, data.len), 1);
	h = dicom_head_reader_head(r);
	assert_true(dicom_head_identified(h));
	assert_string_equal(dicom_head_get(h, DICOM_HEAD_STUDY_UID, NULL), o.study);
	assert_string_equal(dicom_head_get(h, DICOM_HEAD_SOP_INSTANCE, NULL),
	    o.instance);
	assert_string_equal(dicom_head_get(h, DICOM_HEAD_SOP_CLASS, NULL),
	    DICOM_TEST_OBJECT_CLASS);
	assert_string_equal(dicom_head_get(h, DICOM_HEAD_PATIENT_NAME, NULL),
	    "TEST^CAUSEWAY");
	assert_string_equal(dicom_head_get(h, DICOM_HEAD_ROWS, NULL), "64");
	dicom_head_reader_free(r);
	buf_free(&data);
}

static void
test_its_names_are_its_own(void **state)
{
	struct buf data = BUF_INIT(1u << 20);
	struct dicom_test_object a, b;

	(void)state;
	assert_int_equal(dicom_test_object_make(0, &a, &data), 0);
	assert_int_equal(dicom_test_object_make(0, &b, &data), 0);
	assert_true(dicom_uid_ok(a.study) && dicom_uid_ok(a.series) &&
	    dicom_uid_ok(a.instance));
	assert_string_not_equal(a.study, a.series);
	assert_string_not_equal(a.study, b.study);
	assert_string_not_equal(a.instance, b.instance);
	buf_free(&data);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_it_can_be_read),
		cmocka_unit_test(test_its_names_are_its_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
