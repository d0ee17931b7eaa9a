/* test_dicom_dataset.c - DICOM JSON and the Native DICOM Model: what servers
 * really answer, and what hostile ones might.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>

#include "gateway/base/cleanup.h"
#include "gateway/dicom/dataset.h"

#define FAILED	   0x00081198
#define STORED	   0x00081199
#define REASON	   0x00081197
#define INSTANCE   0x00081155
#define NAME	   0x00100010
#define PRIVATE	   0x00091001

/* Orthanc's DICOMweb plug-in 1.7: one stored, one failed. */
static const char orthanc_json[] =
    "{\n   \"00081190\" : {\n      \"Value\" : [ "
    "\"http://localhost:8042/dicom-web/studies/1.2.3\" ],\n"
    "      \"vr\" : \"UR\"\n   },\n"
    "   \"00081198\" : {\n      \"Value\" : [\n         {\n"
    "            \"00081150\" : { \"Value\" : [ \"1.2.840.10008.5.1.4.1.1.2\" ],"
    " \"vr\" : \"UI\" },\n"
    "            \"00081155\" : { \"Value\" : [ \"1.2.3.5\" ], \"vr\" : \"UI\" },\n"
    "            \"00081197\" : { \"Value\" : [ 272 ], \"vr\" : \"US\" }\n"
    "         }\n      ],\n      \"vr\" : \"SQ\"\n   },\n"
    "   \"00081199\" : {\n      \"Value\" : [\n         {\n"
    "            \"00081150\" : { \"Value\" : [ \"1.2.840.10008.5.1.4.1.1.2\" ],"
    " \"vr\" : \"UI\" },\n"
    "            \"00081155\" : { \"Value\" : [ \"1.2.3.4\" ], \"vr\" : \"UI\" },\n"
    "            \"00081190\" : { \"Value\" : [ \"http://localhost:8042/dicom-web/"
    "studies/1.2.3/series/1.2.3.1/instances/1.2.3.4\" ], \"vr\" : \"UR\" }\n"
    "         }\n      ],\n      \"vr\" : \"SQ\"\n   }\n}\n";

static const char native_xml[] =
    "<?xml version=\"1.0\" encoding=\"utf-8\"?>"
    "<NativeDicomModel xmlns=\"http://dicom.nema.org/PS3.19/models/NativeDICOM\""
    " xml:space=\"preserve\">"
    "<DicomAttribute keyword=\"RetrieveURL\" tag=\"00081190\" vr=\"UR\">"
    "<Value number=\"1\">http://localhost/studies/1.2.3</Value></DicomAttribute>"
    "<DicomAttribute keyword=\"FailedSOPSequence\" tag=\"00081198\" vr=\"SQ\">"
    "<Item number=\"1\">"
    "<DicomAttribute tag=\"00081155\" vr=\"UI\" keyword=\"ReferencedSOPInstanceUID\">"
    "<Value number=\"1\">1.2.3.5</Value></DicomAttribute>"
    "<DicomAttribute tag=\"00081197\" vr=\"US\" keyword=\"FailureReason\">"
    "<Value number=\"1\">272</Value></DicomAttribute>"
    "</Item></DicomAttribute>"
    "<DicomAttribute keyword=\"ReferencedSOPSequence\" tag=\"00081199\" vr=\"SQ\">"
    "<Item number=\"1\">"
    "<DicomAttribute tag=\"00081155\" vr=\"UI\">"
    "<Value number=\"1\">1.2.3.4</Value></DicomAttribute></Item>"
    "</DicomAttribute></NativeDicomModel>";

static int
parse(const char *text, struct dicom_dataset ***ret, size_t *ret_n)
{
	return dicom_json_parse(text, strlen(text), ret, ret_n);
}

static struct dicom_dataset *
parse_one(const char *text)
{
	struct dicom_dataset **sets, *d;
	size_t n = 0;

	assert_int_equal(parse(text, &sets, &n), 0);
	assert_int_equal(n, 1);
	d = sets[0];
	free(sets);
	return d;
}

static void
refuse_json(const char *text, int error)
{
	struct dicom_dataset **sets = NULL;
	size_t n = 77;

	assert_int_equal(parse(text, &sets, &n), error);
	assert_null(sets);
	assert_int_equal(n, 77);
}

static struct dicom_dataset *
parse_xml(const char *text)
{
	struct dicom_dataset *d = NULL;

	assert_int_equal(dicom_xml_parse(text, strlen(text), &d), 0);
	assert_non_null(d);
	return d;
}

static void
refuse_xml(const char *text, int error)
{
	struct dicom_dataset *d = NULL;

	assert_int_equal(dicom_xml_parse(text, strlen(text), &d), error);
	assert_null(d);
}

static void
expect_store_answer(const struct dicom_dataset *d)
{
	const struct dicom_attribute *failed = dicom_dataset_find(d, FAILED);
	const struct dicom_attribute *stored = dicom_dataset_find(d, STORED);
	int64_t reason = 0;

	assert_non_null(failed);
	assert_int_equal(dicom_attribute_vr(failed), DICOM_VR_SQ);
	assert_int_equal(dicom_attribute_count(failed), 1);
	assert_null(dicom_attribute_text(failed, 0));
	assert_null(dicom_attribute_item(failed, 1));
	assert_string_equal(dicom_dataset_text(dicom_attribute_item(failed, 0),
	    INSTANCE), "1.2.3.5");
	assert_int_equal(dicom_dataset_number(dicom_attribute_item(failed, 0),
	    REASON, &reason), 0);
	assert_int_equal(reason, 272);
	assert_int_equal(dicom_attribute_count(stored), 1);
	assert_string_equal(dicom_dataset_text(dicom_attribute_item(stored, 0),
	    INSTANCE), "1.2.3.4");
	assert_int_equal(dicom_attribute_tag(dicom_dataset_at(d, 0)), 0x00081190);
	assert_ptr_equal(dicom_dataset_at(d, 2), stored);
	assert_null(dicom_dataset_at(d, 3));
}

static void
test_answers_of_a_store(void **state)
{
	struct dicom_dataset *d = parse_one(orthanc_json);

	(void)state;
	expect_store_answer(d);
	dicom_dataset_free(d);
	d = parse_xml(native_xml);
	expect_store_answer(d);
	dicom_dataset_free(d);
}

static void
test_answers_of_a_query(void **state)
{
	struct dicom_dataset **sets;
	size_t n;

	(void)state;
	assert_int_equal(parse("[{\"00100010\":{\"vr\":\"PN\",\"Value\":[{"
	    "\"Alphabetic\":\"Yamada^Tarou\",\"Ideographic\":\"山田^太郎\","
	    "\"Phonetic\":\"やまだ\"}]},\"0020000D\":{\"vr\":\"UI\",\"Value\":"
	    "[\"1.2\"]}} ,\n{\"00100010\":{\"vr\":\"PN\",\"Value\":[{"
	    "\"Ideographic\":\"山田\"}]}}]", &sets, &n), 0);
	assert_int_equal(n, 2);
	assert_string_equal(dicom_dataset_text(sets[0], NAME),
	    "Yamada^Tarou=山田^太郎=やまだ");
	assert_string_equal(dicom_dataset_text(sets[0], 0x0020000d), "1.2");
	assert_string_equal(dicom_dataset_text(sets[1], NAME), "=山田");
	dicom_datasets_free(sets, n);

	assert_int_equal(parse(" [ ] ", &sets, &n), 0);
	assert_int_equal(n, 0);
	dicom_datasets_free(sets, n);
	assert_int_equal(parse("[{},{}]", &sets, &n), 0);
	assert_int_equal(n, 2);
	dicom_datasets_free(sets, n);
}

static void
expect_first(const char *json, dicom_tag_t tag, const char *want)
{
	struct dicom_dataset *d = parse_one(json);
	const char *text = dicom_dataset_text(d, tag);

	assert_true((text == NULL) == (want == NULL));
	if (want != NULL)
		assert_string_equal(text, want);
	dicom_dataset_free(d);
}

#define ATTRIBUTE(tag, vr, value) \
	"{\"" tag "\":{\"vr\":\"" vr "\",\"Value\":" value "}}"

static void
test_lenient_values(void **state)
{
	(void)state;
	expect_first(ATTRIBUTE("00201208", "IS", "[12]"), 0x00201208, "12");
	expect_first(ATTRIBUTE("00201208", "IS", "[\"12\"]"), 0x00201208, "12");
	expect_first(ATTRIBUTE("00201208", "IS", "12"), 0x00201208, "12");
	expect_first(ATTRIBUTE("00181310", "DS", "[0.1]"), 0x00181310, "0.1");
	expect_first(ATTRIBUTE("00181310", "DS", "[2.0]"), 0x00181310, "2");
	expect_first(ATTRIBUTE("00080018", "UI", "[42]"), 0x00080018, "42");
	expect_first(ATTRIBUTE("00080018", "UI", "[\" 1.2\\u0000\"]"),
	    0x00080018, "1.2");
	expect_first(ATTRIBUTE("00080060", "CS", "[true]"), 0x00080060, "true");
	expect_first(ATTRIBUTE("00080060", "CS", "[null,\"MR\"]"), 0x00080060, "");
	expect_first(ATTRIBUTE("00080060", "CS", "[]"), 0x00080060, NULL);
	expect_first(ATTRIBUTE("00080060", "CS", "null"), 0x00080060, NULL);
	expect_first("{\"00080060\":{}}", 0x00080060, NULL);
	expect_first("{\"00080060\":null}", 0x00080060, NULL);
	expect_first("{\"00080060\":{\"Value\":[\"CT\"]}}", 0x00080060, "CT");
	expect_first(ATTRIBUTE("Modality", "CS", "[\"CT\"]"), 0x00080060, "CT");
	expect_first(ATTRIBUTE("00100010", "PN", "[\"Doe^J\"]"), NAME, "Doe^J");
	expect_first(ATTRIBUTE("00100010", "PN", "[{}]"), NAME, "");
	expect_first(ATTRIBUTE("00100010", "PN", "[{\"Alphabetic\":null}]"), NAME,
	    "");
	expect_first(ATTRIBUTE("0040A160", "UT", "[\" a \"]"), 0x0040a160, " a ");
	expect_first(ATTRIBUTE("00080001", "UV", "[99999999999999999999]"),
	    0x00080001, "1e+20");
	expect_first("\xef\xbb\xbf" ATTRIBUTE("00080060", "CS", "[\"CT\"]"),
	    0x00080060, "CT");
	expect_first("{\"00080060\":{\"vr\":\"CS\",\"Value\":[\"CT\"]},"
	    "\"00080060\":{\"vr\":\"CS\",\"Value\":[\"MR\"]}}", 0x00080060, "MR");
	expect_first("{\"comment\":[1,{}],\"00080060\":{\"vr\":\"CS\","
	    "\"Value\":[\"CT\"]}}", 0x00080060, "CT");
	expect_first("{\"7FE00010\":{\"vr\":\"OW\",\"InlineBinary\":\"AAA=\"}}",
	    0x7fe00010, NULL);
}

static void
test_strict_where_a_failure_could_hide(void **state)
{
	(void)state;
	refuse_json("", -EBADMSG);
	refuse_json("  ", -EBADMSG);
	refuse_json("null", -EBADMSG);
	refuse_json("\"x\"", -EBADMSG);
	refuse_json("<html>", -EBADMSG);
	refuse_json("[1]", -EBADMSG);
	refuse_json("[{},]", -EBADMSG);
	refuse_json("[{} {}]", -EBADMSG);
	refuse_json("[,{}]", -EBADMSG);
	refuse_json("[{}}", -EBADMSG);
	refuse_json("[{}] x", -EBADMSG);
	refuse_json("{} {}", -EBADMSG);
	refuse_json("{}]", -EBADMSG);
	refuse_json("[[{}]]", -EBADMSG);
	refuse_json("{\"Message\":\"Internal error\",\"HttpStatus\":500}", -EBADMSG);
	refuse_json("{\"00080060\":\"CT\"}", -EBADMSG);
	refuse_json(ATTRIBUTE("00081198", "SQ", "[\"1.2\"]"), -EBADMSG);
	refuse_json(ATTRIBUTE("00081198", "SQ", "[[{}]]"), -EBADMSG);
	refuse_json(ATTRIBUTE("00081198", "SQ", "[{\"Message\":\"x\"}]"), -EBADMSG);
	refuse_json(ATTRIBUTE("00080060", "CS", "[{}]"), -EBADMSG);
	refuse_json(ATTRIBUTE("00080060", "CS", "[[]]"), -EBADMSG);
	refuse_json("{\"00080060\":{\"vr\":\"CS\",\"Value\":[\"\xff\"]}}", -EBADMSG);
}

static void
test_sequences_under_any_vr(void **state)
{
	struct dicom_dataset *d = parse_one("{\"00081198\":{\"Value\":[{},null]},"
	    "\"00091001\":{\"vr\":\"UN\",\"Value\":[{}]}}");

	(void)state;
	assert_int_equal(dicom_attribute_count(dicom_dataset_find(d, FAILED)), 2);
	assert_int_equal(
	    dicom_attribute_vr(dicom_dataset_find(d, PRIVATE)), DICOM_VR_SQ);
	dicom_dataset_free(d);
}

static void
add_nested(struct buf *b, unsigned depth, const char *open, const char *inside,
    const char *close)
{
	for (unsigned i = 0; i < depth; i++)
		assert_int_equal(buf_add_str(b, open), 0);
	assert_int_equal(buf_add_str(b, inside), 0);
	for (unsigned i = 0; i < depth; i++)
		assert_int_equal(buf_add_str(b, close), 0);
}

static void
test_depth_is_bounded(void **state)
{
	const unsigned depths[] = { DICOM_DATASET_DEPTH - 1, DICOM_DATASET_DEPTH,
		10000, 300000 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(depths); i++) {
		struct buf j = BUF_INIT(64u << 20), x = BUF_INIT(64u << 20);
		struct dicom_dataset **sets, *d;
		int want = i == 0 ? 0 : -EMSGSIZE, r;
		size_t n;

		add_nested(&j, depths[i], "{\"00081198\":{\"Value\":[", "{}", "]}}");
		r = dicom_json_parse(j.data, j.len, &sets, &n);
		assert_int_equal(r, want);
		if (r == 0)
			dicom_datasets_free(sets, n);

		(void)buf_add_str(&x, "<NativeDicomModel>");
		add_nested(&x, depths[i], "<DicomAttribute tag=\"00081198\"><Item>",
		    "", "</Item></DicomAttribute>");
		(void)buf_add_str(&x, "</NativeDicomModel>");
		r = dicom_xml_parse(x.data, x.len, &d);
		assert_int_equal(r, want);
		if (r == 0)
			dicom_dataset_free(d);
		buf_free(&j);
		buf_free(&x);
	}
}

static void
test_brackets_of_strangers_are_bounded(void **state)
{
	struct buf j = BUF_INIT(64u << 20), x = BUF_INIT(64u << 20);
	struct dicom_dataset **sets, *d;
	size_t n;

	(void)state;
	add_nested(&j, 100000, "[", "", "]");
	assert_int_equal(dicom_json_parse(j.data, j.len, &sets, &n), -EMSGSIZE);
	(void)buf_add_str(&x, "<NativeDicomModel>");
	add_nested(&x, 100000, "<a>", "", "</a>");
	(void)buf_add_str(&x, "</NativeDicomModel>");
	assert_int_equal(dicom_xml_parse(x.data, x.len, &d), -EMSGSIZE);
	buf_free(&j);
	buf_free(&x);
}

static void
test_size_is_bounded(void **state)
{
	struct buf j = BUF_INIT(64u << 20);
	struct dicom_dataset **sets, *d;
	size_t n;

	(void)state;
	(void)buf_add_str(&j, "[{\"00080060\":{\"Value\":[1");
	for (unsigned i = 0; i < DICOM_DATASET_ELEMENTS; i++)
		assert_int_equal(buf_add(&j, ",1", 2), 0);
	(void)buf_add_str(&j, "]}}]");
	assert_int_equal(dicom_json_parse(j.data, j.len, &sets, &n), -EMSGSIZE);
	buf_clear(&j);
	for (unsigned i = 0; i < 5 * DICOM_DATASET_ELEMENTS; i++)
		assert_int_equal(buf_add(&j, i == 0 ? "[1" : ",1", 2), 0);
	assert_int_equal(dicom_json_parse(j.data, j.len, &sets, &n), -EBADMSG);
	assert_int_equal(buf_reserve(&j, DICOM_DATASET_BYTES), 0);
	assert_int_equal(dicom_json_parse(j.data, DICOM_DATASET_BYTES + 1, &sets,
	    &n), -EMSGSIZE);
	assert_int_equal(dicom_xml_parse(j.data, DICOM_DATASET_BYTES + 1, &d),
	    -EMSGSIZE);
	buf_free(&j);
}

static void
test_truncated_at_each_byte(void **state)
{
	struct dicom_dataset **sets, *d;
	size_t n;

	(void)state;
	for (size_t len = 0; len < sizeof(orthanc_json) - 2; len++)
		assert_int_equal(dicom_json_parse(orthanc_json, len, &sets, &n),
		    -EBADMSG);
	for (size_t len = 0; len < sizeof(native_xml) - 1; len++)
		assert_int_equal(dicom_xml_parse(native_xml, len, &d), -EBADMSG);
}

static void
test_xml_values(void **state)
{
	struct dicom_dataset *d = parse_xml(
	    "<n:NativeDicomModel xmlns:n=\"x\"><n:DicomAttribute tag=\"00100010\""
	    " vr=\"PN\"><n:PersonName number=\"1\"><n:Alphabetic>"
	    "<n:FamilyName>Wang</n:FamilyName><n:GivenName>XiaoDong</n:GivenName>"
	    "<n:MiddleName/></n:Alphabetic><n:Ideographic>"
	    "<n:FamilyName>王</n:FamilyName><n:GivenName>小东</n:GivenName>"
	    "<n:NameSuffix>jr</n:NameSuffix></n:Ideographic></n:PersonName>"
	    "<n:PersonName number=\"2\"><n:Phonetic><n:GivenName>x</n:GivenName>"
	    "</n:Phonetic></n:PersonName></n:DicomAttribute>"
	    "<n:DicomAttribute keyword=\"Modality\"><n:Value number=\"3\">\n C&amp;"
	    "<![CDATA[<T]]> <x>no</x></n:Value></n:DicomAttribute>"
	    "<n:DicomAttribute tag=\"7fe00010\" vr=\"OW\"><n:InlineBinary>AAA="
	    "</n:InlineBinary><n:BulkData uri=\"x\"/></n:DicomAttribute>"
	    "<n:Stranger><n:Value>1</n:Value></n:Stranger>"
	    "</n:NativeDicomModel>");
	const struct dicom_attribute *a = dicom_dataset_find(d, NAME);

	(void)state;
	assert_string_equal(dicom_attribute_text(a, 0),
	    "Wang^XiaoDong=王^小东^^^jr");
	assert_string_equal(dicom_attribute_text(a, 1), "==^x");
	assert_null(dicom_attribute_text(a, 2));
	a = dicom_dataset_find(d, 0x00080060);
	assert_int_equal(dicom_attribute_count(a), 3);
	assert_string_equal(dicom_attribute_text(a, 1), "");
	assert_string_equal(dicom_attribute_text(a, 2), "C&<T");
	assert_int_equal(
	    dicom_attribute_count(dicom_dataset_find(d, 0x7fe00010)), 0);
	dicom_dataset_free(d);
}

static void
test_hostile_xml(void **state)
{
	(void)state;
	refuse_xml("<html></html>", -EBADMSG);
	refuse_xml("<Item/>", -EBADMSG);
	refuse_xml("<!DOCTYPE x [<!ENTITY a \"b\">]><NativeDicomModel/>", -EBADMSG);
	refuse_xml("<!DOCTYPE x SYSTEM \"file:///etc/passwd\"><NativeDicomModel/>",
	    -EBADMSG);
	refuse_xml("<NativeDicomModel>&a;</NativeDicomModel>", -EBADMSG);
	refuse_xml("<NativeDicomModel><DicomAttribute/></NativeDicomModel>",
	    -EBADMSG);
	refuse_xml("<NativeDicomModel><DicomAttribute tag=\"00081198\" vr=\"SQ\">"
	    "<Value>1</Value></DicomAttribute></NativeDicomModel>", -EBADMSG);
	refuse_xml("<NativeDicomModel><DicomAttribute tag=\"00080060\" vr=\"CS\">"
	    "<Item/></DicomAttribute></NativeDicomModel>", -EBADMSG);
	refuse_xml("<NativeDicomModel><DicomAttribute tag=\"00080060\" vr=\"CS\">"
	    "<Value number=\"4000000000\"/></DicomAttribute></NativeDicomModel>",
	    -EMSGSIZE);
	refuse_xml("<?xml version=\"1.0\" encoding=\"x-made-up\"?>"
	    "<NativeDicomModel/>", -EBADMSG);
}

static void
expect_json(const struct dicom_dataset *d, const char *want)
{
	struct buf b = BUF_INIT(4096);

	assert_int_equal(dicom_json_write(&b, d), 0);
	assert_string_equal(b.data, want);
	buf_free(&b);
}

static void
set_text(struct dicom_dataset *d, dicom_tag_t tag, const char *text)
{
	assert_int_equal(dicom_dataset_set(d, tag, DICOM_VR_NONE, &text, 1), 0);
}

static void
test_written_json(void **state)
{
	struct dicom_dataset *d = dicom_dataset_new(), *item = dicom_dataset_new();
	const char *types[] = { "ORIGINAL", NULL, "A\"B\\C\n\xff" };
	const char *numbers[] = { "1.5", "-0.25e3", "+7", "007", "1.", ".5", "x" };

	(void)state;
	expect_json(d, "{}");
	set_text(d, NAME, "Yamada^Tarou==やまだ");
	assert_int_equal(
	    dicom_dataset_set(d, 0x00080008, DICOM_VR_NONE, types, 3), 0);
	assert_int_equal(dicom_dataset_set(d, 0x00181310, DICOM_VR('D', 'S'),
	    numbers, 7), 0);
	set_text(item, INSTANCE, "1.2.3");
	assert_int_equal(dicom_dataset_add_item(d, STORED, item), 0);
	assert_int_equal(
	    dicom_dataset_add_item(d, STORED, dicom_dataset_new()), 0);
	assert_int_equal(
	    dicom_dataset_set(d, 0x0020000d, DICOM_VR_NONE, NULL, 0), 0);
	set_text(d, 0x00280106, "12");
	expect_json(d, "{\"00080008\":{\"vr\":\"CS\",\"Value\":[\"ORIGINAL\",null,"
	    "\"A\\\"B\\\\C\\u000a\xef\xbf\xbd\"]},"
	    "\"00081199\":{\"vr\":\"SQ\",\"Value\":[{\"00081155\":{\"vr\":\"UI\","
	    "\"Value\":[\"1.2.3\"]}},{}]},"
	    "\"00100010\":{\"vr\":\"PN\",\"Value\":[{\"Alphabetic\":"
	    "\"Yamada^Tarou\",\"Phonetic\":\"やまだ\"}]},"
	    "\"00181310\":{\"vr\":\"DS\",\"Value\":[1.5,-0.25e3,\"+7\",\"007\","
	    "\"1.\",\".5\",\"x\"]},"
	    "\"0020000D\":{\"vr\":\"UI\"},"
	    "\"00280106\":{\"vr\":\"US\",\"Value\":[12]}}");
	dicom_dataset_free(d);
}

static void
test_written_json_reads_back(void **state)
{
	struct buf one = BUF_INIT(1 << 20), two = BUF_INIT(1 << 20);
	struct dicom_dataset *d = parse_one(orthanc_json), *again;

	(void)state;
	assert_int_equal(dicom_json_write(&one, d), 0);
	again = parse_one(one.data);
	assert_int_equal(dicom_json_write(&two, again), 0);
	assert_string_equal(one.data, two.data);
	dicom_dataset_free(d);
	dicom_dataset_free(again);
	buf_free(&one);
	buf_free(&two);
}

static void
test_set_replaces_and_keeps_order(void **state)
{
	struct dicom_dataset *d = dicom_dataset_new();
	int64_t v = 5;

	(void)state;
	set_text(d, 0x00200013, "2");
	set_text(d, 0x00080060, "CT");
	set_text(d, 0x00100020, "P1");
	set_text(d, 0x00080060, "MR");
	assert_string_equal(dicom_dataset_text(d, 0x00080060), "MR");
	assert_int_equal(dicom_attribute_tag(dicom_dataset_at(d, 0)), 0x00080060);
	assert_int_equal(dicom_attribute_tag(dicom_dataset_at(d, 1)), 0x00100020);
	assert_int_equal(dicom_attribute_tag(dicom_dataset_at(d, 2)), 0x00200013);
	assert_null(dicom_dataset_at(d, 3));
	assert_int_equal(dicom_dataset_number(d, 0x00200013, &v), 0);
	assert_int_equal(v, 2);
	assert_int_equal(dicom_dataset_number(d, 0x00200011, &v), -ENOENT);
	assert_int_equal(dicom_dataset_number(d, 0x00080060, &v), -EBADMSG);
	set_text(d, 0x00200013, "");
	assert_int_equal(dicom_dataset_number(d, 0x00200013, &v), -ENOENT);
	set_text(d, 0x00200013, "99999999999999999999");
	assert_int_equal(dicom_dataset_number(d, 0x00200013, &v), -EBADMSG);
	assert_int_equal(v, 2);
	dicom_dataset_free(d);
	dicom_dataset_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers_of_a_store),
		cmocka_unit_test(test_answers_of_a_query),
		cmocka_unit_test(test_lenient_values),
		cmocka_unit_test(test_strict_where_a_failure_could_hide),
		cmocka_unit_test(test_sequences_under_any_vr),
		cmocka_unit_test(test_depth_is_bounded),
		cmocka_unit_test(test_brackets_of_strangers_are_bounded),
		cmocka_unit_test(test_size_is_bounded),
		cmocka_unit_test(test_truncated_at_each_byte),
		cmocka_unit_test(test_xml_values),
		cmocka_unit_test(test_hostile_xml),
		cmocka_unit_test(test_written_json),
		cmocka_unit_test(test_written_json_reads_back),
		cmocka_unit_test(test_set_replaces_and_keeps_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
