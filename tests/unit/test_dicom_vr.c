/* test_dicom_vr.c - value representations, and the generated dictionary:
 * lookups both ways, repeating groups, choices, private and unknown tags.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/base/cleanup.h"
#include "gateway/dicom/vr.h"
#include "gateway/dicom/vr_int.h"

static void
test_traits(void **state)
{
	static const struct {
		char vr[3];
		bool is_long, text;
		unsigned unit;
		char padding;
	} cases[] = {
		{ "AE", false, false, 1, ' ' }, { "AS", false, false, 1, ' ' },
		{ "AT", false, false, 2, 0 }, { "CS", false, false, 1, ' ' },
		{ "DA", false, false, 1, ' ' }, { "DS", false, false, 1, ' ' },
		{ "DT", false, false, 1, ' ' }, { "FD", false, false, 8, 0 },
		{ "FL", false, false, 4, 0 }, { "IS", false, false, 1, ' ' },
		{ "LO", false, true, 1, ' ' }, { "LT", false, true, 1, ' ' },
		{ "OB", true, false, 1, 0 }, { "OD", true, false, 8, 0 },
		{ "OF", true, false, 4, 0 }, { "OL", true, false, 4, 0 },
		{ "OV", true, false, 8, 0 }, { "OW", true, false, 2, 0 },
		{ "PN", false, true, 1, ' ' }, { "SH", false, true, 1, ' ' },
		{ "SL", false, false, 4, 0 }, { "SQ", true, false, 1, 0 },
		{ "SS", false, false, 2, 0 }, { "ST", false, true, 1, ' ' },
		{ "SV", true, false, 8, 0 }, { "TM", false, false, 1, ' ' },
		{ "UC", true, true, 1, ' ' }, { "UI", false, false, 1, 0 },
		{ "UL", false, false, 4, 0 }, { "UN", true, false, 1, 0 },
		{ "UR", true, false, 1, ' ' }, { "US", false, false, 2, 0 },
		{ "UT", true, true, 1, ' ' }, { "UV", true, false, 8, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint16_t vr = DICOM_VR(cases[i].vr[0], cases[i].vr[1]);

		assert_true(dicom_vr_known(vr));
		assert_int_equal(dicom_vr_long(vr), cases[i].is_long);
		assert_int_equal(dicom_vr_text(vr), cases[i].text);
		assert_int_equal(dicom_vr_unit(vr), cases[i].unit);
		assert_int_equal(dicom_vr_padding(vr), cases[i].padding);
	}
}

static void
test_unknown_vrs(void **state)
{
	static const uint16_t unknown[] = {
		DICOM_VR_NONE, DICOM_VR('Z', 'Z'), DICOM_VR('u', 's'),
		DICOM_VR('?', '?'), 0xffff, DICOM_VR_US_SS, DICOM_VR_OB_OW,
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(unknown); i++) {
		assert_false(dicom_vr_known(unknown[i]));
		assert_false(dicom_vr_text(unknown[i]));
		assert_int_equal(dicom_vr_padding(unknown[i]), '\0');
	}
	assert_true(dicom_vr_long(DICOM_VR('Z', 'Z')));
	assert_int_equal(dicom_vr_unit(DICOM_VR('Z', 'Z')), 1);
	assert_int_equal(dicom_vr_unit(DICOM_VR_US_SS), 2);
	assert_false(dicom_vr_long(DICOM_VR_US_SS));
	assert_true(dicom_vr_long(DICOM_VR_OB_OW));
}

static void
test_dictionary(void **state)
{
	static const struct {
		dicom_tag_t tag;
		uint16_t vr;
		const char *keyword;
	} cases[] = {
		{ 0x00000000, DICOM_VR('U', 'L'), "CommandGroupLength" },
		{ 0x00080005, DICOM_VR('C', 'S'), "SpecificCharacterSet" },
		{ 0x00100010, DICOM_VR('P', 'N'), "PatientName" },
		{ 0x00280106, DICOM_VR_US_SS, "SmallestImagePixelValue" },
		{ 0x00283006, DICOM_VR_US_SS_OW, "LUTData" },
		{ 0x7fe00010, DICOM_VR_OB_OW, "PixelData" },
		{ 0x54001010, DICOM_VR_OB_OW, "WaveformData" },
		{ 0x00081140, DICOM_VR_SQ, "ReferencedImageSequence" },
		{ 0x00041200, DICOM_VR('U', 'L'),
		    "OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity" },
		{ 0x7fe00001, DICOM_VR('O', 'V'), "ExtendedOffsetTable" },
		{ 0x00189098, DICOM_VR('F', 'D'), "TransmitterFrequency" },
		{ 0x00081000, DICOM_VR('A', 'E'), "NetworkID" },	/* retired */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		assert_int_equal(dicom_dict_vr(cases[i].tag), cases[i].vr);
		assert_string_equal(dicom_dict_keyword(cases[i].tag),
		    cases[i].keyword);
		assert_int_equal(dicom_dict_tag(cases[i].keyword), cases[i].tag);
	}
}

static void
test_repeating_groups(void **state)
{
	(void)state;
	assert_int_equal(dicom_dict_vr(0x60003000), DICOM_VR_OB_OW);
	assert_int_equal(dicom_dict_vr(0x60fe3000), DICOM_VR_OB_OW);
	assert_int_equal(dicom_dict_vr(0x60020010), DICOM_VR('U', 'S'));
	assert_string_equal(dicom_dict_keyword(0x60120010), "OverlayRows");
	assert_int_equal(dicom_dict_tag("OverlayRows"), 0x60000010);
	assert_int_equal(dicom_dict_vr(0x50102600), DICOM_VR_SQ);
	assert_int_equal(dicom_dict_vr(0x00203100), DICOM_VR('C', 'S'));
	assert_int_equal(dicom_dict_vr(0x002031fe), DICOM_VR('C', 'S'));
	assert_int_equal(dicom_dict_vr(0x00203101), DICOM_VR_UN);
	/* Private groups in between are not repeating ones. */
	assert_int_equal(dicom_dict_vr(0x60013000), DICOM_VR_UN);
	assert_int_equal(dicom_dict_vr(0x61003000), DICOM_VR_UN);
}

static void
test_what_is_not_listed(void **state)
{
	(void)state;
	assert_int_equal(dicom_dict_vr(0x00080000), DICOM_VR('U', 'L'));
	assert_int_equal(dicom_dict_vr(0x12340000), DICOM_VR('U', 'L'));
	assert_int_equal(dicom_dict_vr(0x00090010), DICOM_VR('L', 'O'));
	assert_int_equal(dicom_dict_vr(0x000900ff), DICOM_VR('L', 'O'));
	assert_int_equal(dicom_dict_vr(0x00090100), DICOM_VR_UN);
	assert_int_equal(dicom_dict_vr(0x0009000f), DICOM_VR_UN);
	assert_int_equal(dicom_dict_vr(0x00091010), DICOM_VR_UN);
	assert_int_equal(dicom_dict_vr(0x12341234), DICOM_VR_UN);
	assert_int_equal(dicom_dict_vr(0xffffffff), DICOM_VR_UN);
	assert_int_equal(dicom_dict_vr(0xfffee000), DICOM_VR_UN);
	assert_null(dicom_dict_keyword(0x00090010));
	assert_null(dicom_dict_keyword(0x12341234));
	assert_null(dicom_dict_keyword(0xfffee000));
	assert_int_equal(dicom_dict_tag("NoSuchKeyword"), 0);
	assert_int_equal(dicom_dict_tag(""), 0);
	assert_int_equal(dicom_dict_tag("patientname"), 0);
}

/* What the binary searches rely on, and nothing but VRs that vr.c knows. */
static void
test_generated_table(void **state)
{
	(void)state;
	assert_true(dicom_dict_entry_count > 4000);
	for (size_t i = 0; i < dicom_dict_entry_count; i++) {
		const struct dicom_dict_entry *e = &dicom_dict_entries[i];

		assert_true(i == 0 || e[-1].tag < e->tag);
		assert_true(dicom_vr_known(e->vr) || e->vr == DICOM_VR_US_SS ||
		    e->vr == DICOM_VR_US_SS_OW || e->vr == DICOM_VR_OB_OW);
		assert_int_equal(e->tag >> 16 & 1, 0);
		assert_int_equal(dicom_dict_vr(e->tag), e->vr);
		assert_null(strstr(e->keyword, "RETIRED"));
		assert_true(dicom_dict_tag(e->keyword) != 0 || e->tag == 0);
	}
	for (size_t i = 1; i < dicom_dict_keyword_count; i++) {
		const uint16_t *k = &dicom_dict_by_keyword[i];

		assert_true(strcmp(dicom_dict_entries[k[-1]].keyword,
		    dicom_dict_entries[k[0]].keyword) < 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_traits),
		cmocka_unit_test(test_unknown_vrs),
		cmocka_unit_test(test_dictionary),
		cmocka_unit_test(test_repeating_groups),
		cmocka_unit_test(test_what_is_not_listed),
		cmocka_unit_test(test_generated_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
