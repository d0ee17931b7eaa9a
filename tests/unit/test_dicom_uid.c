/* test_dicom_uid.c - predicates on hostile strings, patterns, the order of
 * transfer syntaxes (rule 12) and which abstract syntaxes are storage (rule 14).
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/base/cleanup.h"
#include "gateway/dicom/uid.h"
#include "gateway/dicom/uid_int.h"

#define JPEG "1.2.840.10008.1.2.4."
#define UID_64                                                          \
	"1.234567890.234567890.234567890.234567890.234567890.234567890.22"

static void
test_trim(void **state)
{
	char dst[8] = "before";

	(void)state;
	assert_int_equal(dicom_trim("1.2\0\0", 5, dst, sizeof(dst)), 0);
	assert_string_equal(dst, "1.2");
	assert_int_equal(dicom_trim("\0 CT 1 \0 ", 9, dst, sizeof(dst)), 0);
	assert_string_equal(dst, "CT 1");
	assert_int_equal(dicom_trim("", 0, dst, sizeof(dst)), 0);
	assert_string_equal(dst, "");
	assert_int_equal(dicom_trim(NULL, 0, dst, sizeof(dst)), 0);
	assert_int_equal(dicom_trim("  \0", 3, dst, sizeof(dst)), 0);
	assert_string_equal(dst, "");
	assert_int_equal(dicom_trim("1234567  ", 9, dst, sizeof(dst)), 0);
	assert_string_equal(dst, "1234567");

	assert_int_equal(dicom_trim("12345678", 8, dst, sizeof(dst)), -EMSGSIZE);
	assert_int_equal(dicom_trim("1\0002", 3, dst, sizeof(dst)), -EINVAL);
	assert_string_equal(dst, "1234567");
}

static void
test_uid_predicates(void **state)
{
	static const char *const good[] = {
		"1", "0", "1.2", "1.0.3", "2.25.0", UID_64,
	};
	static const char *const tolerable[] = {
		"1.02", "1..2", ".1", "1.", "abc", "../../etc/passwd", "1,2", "'$(x)",
		"00",
	};
	static const char *const neither[] = {
		"", " ", "1.2 ", "1. 2", "1.2\n", "1\t", "\x7f", "\x80", "1.2\x1b[0m",
		UID_64 "1",
	};

	(void)state;
	assert_int_equal(strlen(UID_64), DICOM_UID_MAX);
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		assert_true(dicom_uid_ok(good[i]));
		assert_true(dicom_uid_tolerable(good[i]));
	}
	for (size_t i = 0; i < ARRAY_LEN(tolerable); i++) {
		assert_false(dicom_uid_ok(tolerable[i]));
		assert_true(dicom_uid_tolerable(tolerable[i]));
	}
	for (size_t i = 0; i < ARRAY_LEN(neither); i++) {
		assert_false(dicom_uid_ok(neither[i]));
		assert_false(dicom_uid_tolerable(neither[i]));
	}
	assert_true(dicom_uid_ok(DICOM_IMPLEMENTATION_UID));
}

static void
test_title_predicate(void **state)
{
	static const char *const bad[] = {
		"", " ", " A", "A ", "ABCDEFGHIJKLMNOPQ", "A\\B", "A\nB", "\xc4", "A\x7f",
	};

	(void)state;
	assert_true(dicom_title_ok("CT1"));
	assert_true(dicom_title_ok("ct 1; rm -rf /."));
	assert_true(dicom_title_ok("ABCDEFGHIJKLMNOP"));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(dicom_title_ok(bad[i]));
}

static void
test_glob(void **state)
{
	char many[2000];

	(void)state;
	assert_true(dicom_glob_match("", ""));
	assert_true(dicom_glob_match("*", ""));
	assert_true(dicom_glob_match("MR*", "MR"));
	assert_true(dicom_glob_match("MR*", "MR_1"));
	assert_true(dicom_glob_match("*_1", "MR_1_1"));
	assert_true(dicom_glob_match("M?_*", "MR_1"));
	assert_true(dicom_glob_match("*a*b*c*", "xxaxxbxxcxx"));
	assert_true(dicom_glob_match("*.*.*", "1.2.3"));
	assert_false(dicom_glob_match("", "x"));
	assert_false(dicom_glob_match("?", ""));
	assert_false(dicom_glob_match("mr*", "MR_1"));	/* rule 16 */
	assert_false(dicom_glob_match("MR", "MR1"));
	assert_false(dicom_glob_match("MR1", "MR"));
	assert_false(dicom_glob_match("*a*b*c", "xxaxxbxxcxx"));
	assert_false(dicom_glob_match("[M]R", "MR"));
	assert_true(dicom_glob_match("sch?del", "sch\xc3\xa4""del"));
	assert_false(dicom_glob_match("sch??del", "sch\xc3\xa4""del"));
	assert_true(dicom_glob_match("?", "\x80"));

	/* No explosion. */
	memset(many, 'a', sizeof(many) - 1);
	many[sizeof(many) - 1] = '\0';
	assert_false(dicom_glob_match("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", many));
}

static void
expect_order(const char *const *uids, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		const struct dicom_syntax *a = dicom_syntax_find(uids[i - 1]);
		const struct dicom_syntax *b = dicom_syntax_find(uids[i]);

		if (a->preference >= b->preference)
			fail_msg("%s before %s", uids[i], uids[i - 1]);
	}
}

static void
test_rule_12_order(void **state)
{
	static const char *const order[] = {
		DICOM_UID_EXPLICIT_LE, DICOM_UID_IMPLICIT_LE, JPEG "70", JPEG "57",
		JPEG "80", JPEG "90", JPEG "201", "1.2.840.10008.1.2.5",
		DICOM_UID_DEFLATED_LE, DICOM_UID_EXPLICIT_BE, JPEG "50",
	};

	(void)state;
	expect_order(order, ARRAY_LEN(order));
	/* A lossy one only when nothing else is offered. */
	for (const struct dicom_syntax *s = dicom_syntax_table(); s->uid != NULL; s++) {
		int jpeg = dicom_syntax_find(JPEG "50")->preference;

		assert_true(s->lossy || s->referenced ?
		    s->preference >= jpeg : s->preference < jpeg);
	}
	assert_true(dicom_syntax_find("1.3.46.670589.33.1.4.1")->preference <
	    dicom_syntax_find(JPEG "50")->preference);
}

static void
test_rule_12_lossy_and_referenced(void **state)
{
	static const char *const lossy[] = {
		JPEG "50", JPEG "51", JPEG "81", JPEG "91", JPEG "93", JPEG "203",
		JPEG "111", JPEG "112", JPEG "100", JPEG "100.1", JPEG "101.1",
		JPEG "102", JPEG "103.1", JPEG "104", JPEG "105", JPEG "106.1",
		JPEG "107", JPEG "108",
	};
	static const char *const lossless[] = {
		JPEG "57", JPEG "70", JPEG "80", JPEG "90", JPEG "92", JPEG "110",
		JPEG "201", JPEG "202", "1.2.840.10008.1.2.5",
		"1.2.840.10008.1.2.1.98", "1.2.840.10008.1.2.8.1",
	};
	static const char *const referenced[] = {
		JPEG "94", JPEG "95", JPEG "204", JPEG "205",
		"1.2.840.10008.1.2.7.1", "1.2.840.10008.1.2.7.2",
		"1.2.840.10008.1.2.7.3",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lossy); i++) {
		const struct dicom_syntax *s = dicom_syntax_find(lossy[i]);

		assert_true(s->lossy && s->encapsulated && !s->referenced);
		assert_true(dicom_syntax_known(lossy[i]));
	}
	for (size_t i = 0; i < ARRAY_LEN(lossless); i++) {
		const struct dicom_syntax *s = dicom_syntax_find(lossless[i]);

		assert_true(!s->lossy && s->encapsulated && !s->referenced);
		assert_true(dicom_syntax_known(lossless[i]));
	}
	for (size_t i = 0; i < ARRAY_LEN(referenced); i++)
		assert_true(dicom_syntax_find(referenced[i])->referenced);
	assert_int_equal(dicom_syntax_find(JPEG "205")->encoding, DICOM_DEFLATED_LE);
}

static void
test_rule_12_private(void **state)
{
	const struct dicom_syntax *s = dicom_syntax_find("1.2.3.4");

	(void)state;
	assert_false(dicom_syntax_known("1.2.3.4"));
	assert_string_equal(s->name, "private transfer syntax");
	assert_int_equal(s->encoding, DICOM_EXPLICIT_LE);
	assert_true(s->encapsulated && !s->lossy && !s->referenced);
	assert_false(dicom_syntax_convertible(s));
	assert_ptr_equal(dicom_syntax_find(""), s);

	s = dicom_syntax_find("1.2.840.113619.5.2");
	assert_true(dicom_syntax_known(s->uid));
	assert_int_equal(s->encoding, DICOM_IMPLICIT_LE);
	assert_false(s->encapsulated);
	assert_false(dicom_syntax_convertible(s));
}

static void
test_syntax_table(void **state)
{
	unsigned convertible = 0, n = 0;

	(void)state;
	for (const struct dicom_syntax *s = dicom_syntax_table(); s->uid != NULL; s++) {
		assert_true(dicom_uid_ok(s->uid));
		assert_ptr_equal(dicom_syntax_find(s->uid), s);	/* once */
		assert_true(s->name[0] != '\0');
		convertible += dicom_syntax_convertible(s);
		n++;
		for (const struct dicom_syntax *o = dicom_syntax_table(); o != s; o++)
			assert_true(o->lossy || o->referenced ||
			    o->preference != s->preference);
	}
	assert_int_equal(convertible, 4);
	assert_true(n > 55);
}

static void
test_rule_14_services(void **state)
{
	static const struct {
		const char *uid;
		enum dicom_service service;
	} cases[] = {
		{ DICOM_UID_VERIFICATION, DICOM_SERVICE_VERIFICATION },
		{ "1.2.840.10008.5.1.4.1.1.2", DICOM_SERVICE_STORAGE },
		{ "1.2.840.10008.5.1.4.1.1.88.67", DICOM_SERVICE_STORAGE },
		{ "1.2.840.10008.5.1.4.1.1.66", DICOM_SERVICE_STORAGE },
		{ "1.2.840.10008.5.1.4.1.1.481.2", DICOM_SERVICE_STORAGE },
		{ "1.2.840.10008.5.1.4.1.1.5", DICOM_SERVICE_STORAGE },	/* retired */
		{ "1.2.840.10008.5.1.4.1.1.9999", DICOM_SERVICE_STORAGE }, /* new */
		{ "1.2.840.113619.4.26", DICOM_SERVICE_STORAGE },	/* private */
		{ "1.3.46.670589.11.0.0.12.1", DICOM_SERVICE_STORAGE },
		{ "", DICOM_SERVICE_STORAGE },
		{ "1.2.840.10008.5.1.4.1.2.1.1", DICOM_SERVICE_QUERY },
		{ "1.2.840.10008.5.1.4.1.2.1.2", DICOM_SERVICE_QUERY },
		{ "1.2.840.10008.5.1.4.1.2.1.3", DICOM_SERVICE_QUERY },
		{ "1.2.840.10008.5.1.4.1.2.2.1", DICOM_SERVICE_QUERY },
		{ "1.2.840.10008.5.1.4.1.2.2.2", DICOM_SERVICE_QUERY },
		{ "1.2.840.10008.5.1.4.1.2.2.3", DICOM_SERVICE_QUERY },
		{ "1.2.840.10008.5.1.4.1.2.3.1", DICOM_SERVICE_OTHER },
		{ "1.2.840.10008.1.20.1", DICOM_SERVICE_COMMITMENT },
		{ "1.2.840.10008.1.20.2", DICOM_SERVICE_OTHER },
		{ "1.2.840.10008.5.1.4.31", DICOM_SERVICE_OTHER },	/* worklist */
		{ "1.2.840.10008.3.1.2.3.3", DICOM_SERVICE_OTHER },	/* MPPS */
		{ "1.2.840.10008.5.1.4.34.6.1", DICOM_SERVICE_OTHER },	/* UPS */
		{ "1.2.840.10008.5.1.1.9", DICOM_SERVICE_OTHER },	/* print */
		{ "1.2.840.10008.5.1.4.33", DICOM_SERVICE_OTHER },	/* IAN */
		{ "1.2.840.10008.1.3.10", DICOM_SERVICE_OTHER },	/* DICOMDIR */
		{ "1.2.840.10008.5.1.4.38.1", DICOM_SERVICE_OTHER },
		{ DICOM_UID_EXPLICIT_LE, DICOM_SERVICE_OTHER },
		{ DICOM_UID_STORAGE_SERVICE, DICOM_SERVICE_OTHER },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (dicom_service_of(cases[i].uid) != cases[i].service)
			fail_msg("%s", cases[i].uid);
	}
}

static void
test_names(void **state)
{
	(void)state;
	assert_string_equal(dicom_uid_name("1.2.840.10008.5.1.4.1.1.2"),
	    "CT Image Storage");
	assert_string_equal(dicom_uid_name(DICOM_UID_VERIFICATION),
	    "Verification SOP Class");
	assert_string_equal(dicom_uid_name(JPEG "201"), "HTJ2K Lossless");
	assert_null(dicom_uid_name("1.2.840.113619.4.26"));
	assert_null(dicom_uid_name("1.2.840.10008."));
	assert_null(dicom_uid_name(""));
	for (size_t i = 0; i < dicom_uid_name_count; i++) {
		const struct dicom_uid_name *n = &dicom_uid_names[i];

		assert_true(i == 0 || strcmp(n[-1].suffix, n->suffix) < 0);
		assert_true(n->name[0] != '\0');
	}
}

static void
test_keywords(void **state)
{
	static const struct { const char *uid, *keyword; } good[] = {
		{ "1.2.840.10008.5.1.4.1.1.2", "CTImageStorage" },
		{ "1.2.840.10008.5.1.4.1.1.2", "ctimagestorage" },
		{ "1.2.840.10008.5.1.4.1.1.1.1",
		    "DigitalXRayImageStorageForPresentation" },
		{ "1.2.840.10008.5.1.4.1.1.3.1", "UltrasoundMultiFrameImageStorage" },
		{ "1.2.840.10008.5.1.4.1.1.3", "UltrasoundMultiFrameImageStorage" },
		{ "1.2.840.10008.5.1.4.1.1.9.1.1", "TwelveLeadECGWaveformStorage" },
		{ "1.2.840.10008.5.1.4.1.1.11.5",
		    "XAXRFGrayscaleSoftcopyPresentationStateStorage" },
		{ "1.2.840.10008.5.1.4.1.1.77.1.5.1",
		    "OphthalmicPhotography8BitImageStorage" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_true(dicom_uid_has_keyword(good[i].uid, good[i].keyword));
		assert_true(dicom_keyword_known(good[i].keyword));
	}
	assert_false(dicom_uid_has_keyword("1.2.840.10008.5.1.4.1.1.2",
	    "MRImageStorage"));
	assert_false(dicom_uid_has_keyword("1.2.840.10008.5.1.4.1.1.2",
	    "CTImageStorag"));
	assert_false(dicom_uid_has_keyword("1.2.840.10008.5.1.4.1.1.2",
	    "CTImageStorages"));
	assert_false(dicom_uid_has_keyword("1.2.840.10008.5.1.4.1.1.2", ""));
	assert_false(dicom_uid_has_keyword("1.2.3", "CTImageStorage"));
	assert_false(dicom_uid_has_keyword("1.2.840.10008.5.1.4.1.1.9.1.1",
	    "12LeadECGWaveformStorage"));
	assert_false(dicom_keyword_known("CTImagesStorage"));
	assert_false(dicom_keyword_known(""));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_trim),
		cmocka_unit_test(test_uid_predicates),
		cmocka_unit_test(test_title_predicate),
		cmocka_unit_test(test_glob),
		cmocka_unit_test(test_keywords),
		cmocka_unit_test(test_rule_12_order),
		cmocka_unit_test(test_rule_12_lossy_and_referenced),
		cmocka_unit_test(test_rule_12_private),
		cmocka_unit_test(test_syntax_table),
		cmocka_unit_test(test_rule_14_services),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
