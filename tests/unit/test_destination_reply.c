/* test_destination_reply.c - Store Instances Responses as servers write them, and
 * as nobody should.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/destination/stow_int.h"

static int
read_text(const char *type, const char *text, struct stow_answers *a)
{
	char *copy = xstrdup(text);
	int r;

	*a = (struct stow_answers){ 0 };
	for (char *p = copy; *p != '\0'; p++) {
		if (*p == '\'')
			*p = '"';
	}
	r = stow_reply_read(type, copy, strlen(copy), a);
	free(copy);
	return r;
}

static enum stow_said
said(const struct stow_answers *a, const char *uid)
{
	const struct stow_answer *found = stow_answers_find(a, uid);

	return found != NULL ? found->said : STOW_SILENT;
}

#define ITEM_JSON(uid, tag, code)                                       \
	"{'00081155': {'vr': 'UI', 'Value': ['" uid "']}, '" tag        \
	"': {'vr': 'US', 'Value': [" code "]}}"
#define STORED_JSON(uid) "{'00081155': {'vr': 'UI', 'Value': ['" uid "']}}"

static void
test_json_and_its_array(void **state)
{
	static const char object[] = "{'00081190': {'vr': 'UR'}, "
	    "'00081199': {'vr': 'SQ', 'Value': [" STORED_JSON("1.2") ","
	    ITEM_JSON("1.3", "00081196", "45063") "]},"
	    "'00081198': {'vr': 'SQ', 'Value': ["
	    ITEM_JSON(" 1.4\\u0000", "00081197", "273") ","
	    ITEM_JSON("1.5", "00081197", "42752") "]}}";

	(void)state;
	for (int i = 0; i < 3; i++) {
		char *text = i == 0 ? xstrdup(object) : xasprintf(i == 1 ?
			"[%s]" : " \n%s", object);
		struct stow_answers a;

		assert_int_equal(read_text("text/plain", text, &a), 0);
		assert_int_equal(a.n, 4);
		assert_int_equal(said(&a, "1.2"), STOW_STORED);
		assert_int_equal(said(&a, "1.3"), STOW_WARNING);
		assert_int_equal(said(&a, "1.4"), STOW_EXISTS);
		assert_int_equal(said(&a, "1.5"), STOW_LATER);
		assert_int_equal(said(&a, "1"), STOW_SILENT);
		stow_answers_free(&a);
		free(text);
	}
}

static void
test_failure_wins(void **state)
{
	struct stow_answers a;

	(void)state;
	assert_int_equal(read_text("application/dicom+json",
	    "{'00081199': {'vr': 'SQ', 'Value': [" STORED_JSON("1.2") ","
	    STORED_JSON("1.2") "," STORED_JSON("1.3") "]},"
	    "'00081198': {'vr': 'SQ', 'Value': ["
	    ITEM_JSON("1.2", "00081197", "272") ","
	    ITEM_JSON("1.2", "00081197", "49152") "]}}", &a), 0);
	assert_int_equal(a.n, 2);
	assert_int_equal(said(&a, "1.2"), STOW_REFUSED);
	assert_int_equal(stow_answers_find(&a, "1.2")->code, 49152);
	assert_int_equal(said(&a, "1.3"), STOW_STORED);
	stow_answers_free(&a);
}

static void
test_without_names(void **state)
{
	struct stow_answers a;

	(void)state;
	assert_int_equal(read_text("application/dicom+json",
	    "{'0008119A': {'vr': 'SQ', 'Value': [{'00081197': {'vr': 'US', "
	    "'Value': [42753]}}]}, '00081198': {'vr': 'SQ', 'Value': ["
	    "{'00081197': {'vr': 'US', 'Value': [290]}}]},"
	    "'00081199': {'vr': 'SQ', 'Value': [{}]}}", &a), 0);
	assert_int_equal(a.n, 0);
	assert_int_equal(a.others, 2);
	stow_answers_free(&a);
	/* Orthanc writes the list though it is empty. */
	assert_int_equal(read_text("application/dicom+json",
	    "{'00081198': {'vr': 'SQ'}, '00081199': {'vr': 'SQ', 'Value': ["
	    STORED_JSON("1.2") "]}}", &a), 0);
	assert_int_equal(a.n, 1);
	stow_answers_free(&a);
}

static void
test_xml(void **state)
{
	struct stow_answers a;

	(void)state;
	assert_int_equal(read_text("application/dicom+xml; charset=utf-8",
	    "<?xml version='1.0' encoding='UTF-8'?><NativeDicomModel xmlns="
	    "'http://dicom.nema.org/PS3.19/models/NativeDICOM'>"
	    "<DicomAttribute tag='00081198' vr='SQ'><Item number='1'>"
	    "<DicomAttribute tag='00081155' vr='UI'><Value number='1'>1.2</Value>"
	    "</DicomAttribute><DicomAttribute tag='00081197' vr='US'>"
	    "<Value number='1'>49442</Value></DicomAttribute></Item>"
	    "</DicomAttribute><DicomAttribute tag='00081199' vr='SQ'>"
	    "<Item number='1'><DicomAttribute tag='00081155' vr='UI'>"
	    "<Value number='1'>1.3</Value></DicomAttribute></Item>"
	    "</DicomAttribute></NativeDicomModel>", &a), 0);
	assert_int_equal(said(&a, "1.2"), STOW_REFUSED);
	assert_int_equal(said(&a, "1.3"), STOW_STORED);
	stow_answers_free(&a);
}

static void
test_what_is_no_answer(void **state)
{
	static const char *const bad[] = { "", " ", "OK", "{", "[1, 2]", "null",
		"<html><body>502</body></html>", "<NativeDicomModel>", "\"x\"" };
	struct stow_answers a;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (read_text("application/dicom+json", bad[i], &a) == 0)
			assert_int_equal(a.n + a.others, 0);
		stow_answers_free(&a);
	}
	assert_int_equal(read_text("text/html", "<NativeDicomModel/>", &a),
	    -EBADMSG);
}

static void
test_odd_values(void **state)
{
	static const char *const odd[] = {
		"{'00081198': {'vr': 'SQ', 'Value': [null, 5, 'x']}}",
		"{'00081198': {'vr': 'UI', 'Value': ['1.2']}}",
		"{'00081199': 7}",
		"{'00081199': {'vr': 'SQ', 'Value': {}}}",
		"{'00081199': {'vr': 'SQ', 'Value': [{'00081155': {'vr': 'UI', "
		"'Value': [null]}}]}}",
		"{'00081199': {'vr': 'SQ', 'Value': [{'00081155': {'vr': 'UI', "
		"'Value': ['1234567890123456789012345678901234567890"
		"1234567890123456789012345']}}]}}",
	};
	struct stow_answers a;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(odd); i++) {
		(void)read_text("application/dicom+json", odd[i], &a);
		assert_int_equal(a.n, 0);
		stow_answers_free(&a);
	}
	/* A reason that is none is no reason. */
	assert_int_equal(read_text("application/dicom+json", "{'00081198': "
	    "{'vr': 'SQ', 'Value': [" ITEM_JSON("1.2", "00081197", "-5") ","
	    ITEM_JSON("1.3", "00081197", "'0110'") ","
	    ITEM_JSON("1.4", "00081197", "99999999") "]}}", &a), 0);
	assert_int_equal(said(&a, "1.2"), STOW_LATER);
	assert_int_equal(said(&a, "1.4"), STOW_LATER);
	stow_answers_free(&a);
}

static void
test_reasons(void **state)
{
	static const struct { unsigned code; enum stow_said said; } cases[] = {
		{ 0, STOW_LATER }, { 0x0110, STOW_LATER }, { 0x0111, STOW_EXISTS },
		{ 0x0117, STOW_REFUSED }, { 0x0122, STOW_REFUSED },
		{ 0x0124, STOW_REFUSED }, { 0x0213, STOW_LATER },
		{ 0xa700, STOW_LATER }, { 0xa7ff, STOW_LATER },
		{ 0xa800, STOW_REFUSED }, { 0xa900, STOW_REFUSED },
		{ 0xc000, STOW_REFUSED }, { 0xc122, STOW_REFUSED },
		{ 0xcfff, STOW_REFUSED }, { 45070, STOW_EXISTS },
		{ 0xb000, STOW_REFUSED }, { 0x1234, STOW_REFUSED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (stow_failure(cases[i].code) != cases[i].said)
			fail_msg("%04XH", cases[i].code);
		assert_true(strlen(stow_words(cases[i].code)) > 5);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_json_and_its_array),
		cmocka_unit_test(test_failure_wins),
		cmocka_unit_test(test_without_names),
		cmocka_unit_test(test_xml),
		cmocka_unit_test(test_what_is_no_answer),
		cmocka_unit_test(test_odd_values),
		cmocka_unit_test(test_reasons),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
