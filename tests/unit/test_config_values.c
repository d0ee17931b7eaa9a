/* test_config_values.c - numbers with units, and the predicates of texts. */
#include "tests/unit/config_support.h"

static void
sizes_want_their_unit(void **state)
{
	uint64_t v = 1;

	(void)state;
	assert_int_equal(config_size_parse("5GiB", &v), 0);
	assert_int_equal(v, 5ull << 30);
	assert_int_equal(config_size_parse("0B", &v), 0);
	assert_int_equal(v, 0);
	assert_int_equal(config_size_parse("512 KiB", &v), 0);
	assert_int_equal(v, 512 << 10);
	v = 7;
	assert_int_equal(config_size_parse("5", &v), -EINVAL);
	assert_int_equal(config_size_parse("5GB", &v), -EINVAL);
	assert_int_equal(config_size_parse("GiB", &v), -EINVAL);
	assert_int_equal(config_size_parse("-1GiB", &v), -EINVAL);
	assert_int_equal(config_size_parse("1.5GiB", &v), -EINVAL);
	assert_int_equal(config_size_parse("05GiB", &v), -EINVAL);
	assert_int_equal(config_size_parse("1GiB ", &v), -EINVAL);
	assert_int_equal(config_size_parse("", &v), -EINVAL);
	assert_int_equal(config_size_parse("16777216TiB", &v), -ERANGE);
	assert_int_equal(v, 7);
	assert_int_equal(config_size_parse("16777215TiB", &v), 0);
}

static void
durations_want_their_unit(void **state)
{
	uint64_t v = 1;

	(void)state;
	assert_int_equal(config_duration_parse("250ms", &v), 0);
	assert_int_equal(v, 250);
	assert_int_equal(config_duration_parse("30s", &v), 0);
	assert_int_equal(v, 30000);
	assert_int_equal(config_duration_parse("15min", &v), 0);
	assert_int_equal(v, 900000);
	assert_int_equal(config_duration_parse("1h", &v), 0);
	assert_int_equal(v, 3600000);
	assert_int_equal(config_duration_parse("7d", &v), 0);
	assert_int_equal(v, 604800000);
	assert_int_equal(config_duration_parse("15m", &v), -EINVAL);
	assert_int_equal(config_duration_parse("1h30min", &v), -EINVAL);
	assert_int_equal(config_duration_parse("7", &v), -EINVAL);
	assert_int_equal(config_duration_parse("213503982335d", &v), -ERANGE);
}

static void
rates_are_bits_by_thousands(void **state)
{
	struct buf b = BUF_INIT(64);
	uint64_t v = 7;

	(void)state;
	assert_int_equal(config_rate_parse("50Mbit", &v), 0);
	assert_int_equal(v, 6250000);
	assert_int_equal(config_rate_parse("64 kbit", &v), 0);
	assert_int_equal(v, 8000);
	assert_int_equal(config_rate_parse("10Gbit", &v), 0);
	assert_int_equal(v, 1250000000);
	assert_int_equal(config_rate_parse("50", &v), -EINVAL);
	assert_int_equal(config_rate_parse("50MBit", &v), -EINVAL);
	assert_int_equal(config_rate_parse("50Mb", &v), -EINVAL);
	assert_int_equal(config_rate_parse("50Mbit/s", &v), -EINVAL);
	assert_int_equal(config_rate_parse("5MiB", &v), -EINVAL);
	assert_int_equal(config_rate_parse("1.5Mbit", &v), -EINVAL);
	assert_int_equal(config_rate_parse("-1Mbit", &v), -EINVAL);
	assert_int_equal(config_rate_parse("none", &v), -EINVAL);
	assert_int_equal(config_rate_parse("999999999999Gbit", &v), -ERANGE);
	assert_int_equal(v, 1250000000);
	config_rate_print(&b, 6250000);
	assert_string_equal(b.data, "50Mbit");
	buf_clear(&b);
	config_rate_print(&b, 1500 * 125);
	assert_string_equal(b.data, "1500kbit");
	buf_clear(&b);
	config_rate_print(&b, CONFIG_RATE_NONE);
	assert_string_equal(b.data, "none");
	buf_free(&b);
}

static void
times_of_day(void **state)
{
	static const char *const bad[] = { "", "7:00", "07:0", "07:000", "24:01",
		"25:00", "07:60", "07.00", "0700", "-7:00", " 7:00", "07:00 ",
		"ab:cd", "07:00:00", "7am" };
	struct buf b = BUF_INIT(64);
	uint64_t v = 9;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (config_clock_parse(bad[i], &v) != -EINVAL)
			fail_msg("%s is wrong", bad[i]);
	assert_int_equal(v, 9);
	for (i = 0; i <= 24 * 60; i++) {
		buf_clear(&b);
		config_clock_print(&b, i);
		assert_int_equal(config_clock_parse(b.data, &v), 0);
		assert_int_equal(v, i);
	}
	assert_string_equal(b.data, "24:00");
	buf_free(&b);
}

static void
sop_classes_and_patterns(void **state)
{
	char text[140];

	(void)state;
	assert_true(config_sop_class_ok("1.2.840.10008.5.1.4.1.1.2"));
	assert_true(config_sop_class_ok("CTImageStorage"));
	assert_true(config_sop_class_ok("XRay3DAngiographicImageStorage"));
	assert_false(config_sop_class_ok("CT Image Storage"));
	assert_false(config_sop_class_ok("CT*"));
	assert_false(config_sop_class_ok(""));
	assert_false(config_sop_class_ok("1.2.x"));
	assert_false(config_sop_class_ok("3D"));
	memset(text, 'A', 65);
	text[65] = '\0';
	assert_false(config_sop_class_ok(text));
	text[64] = '\0';
	assert_true(config_sop_class_ok(text));

	assert_true(config_pattern_ok("HEAD"));
	assert_true(config_pattern_ok("*sch\xc3\xa4""del ?"));
	assert_true(config_pattern_ok(text));
	assert_false(config_pattern_ok(""));
	assert_false(config_pattern_ok(" HEAD"));
	assert_false(config_pattern_ok("HEAD "));
	assert_false(config_pattern_ok("HEAD\\NECK"));
	for (size_t i = 0; i < 128; i += 2)
		memcpy(text + i, "\xc3\xa4", 3);
	assert_true(config_pattern_ok(text));	/* 64 characters of two bytes */
	memcpy(text + 128, "x", 2);
	assert_false(config_pattern_ok(text));
}

static void
numbers_are_decimal(void **state)
{
	uint64_t v;

	(void)state;
	assert_int_equal(config_uint_parse("18446744073709551615", &v), 0);
	assert_true(v == UINT64_MAX);
	assert_int_equal(config_uint_parse("18446744073709551616", &v), -ERANGE);
	assert_int_equal(config_uint_parse("0x10", &v), -EINVAL);
	assert_int_equal(config_uint_parse("010", &v), -EINVAL);
	assert_int_equal(config_uint_parse("+1", &v), -EINVAL);
	assert_int_equal(config_uint_parse(" 1", &v), -EINVAL);
	assert_int_equal(config_uint_parse("1e3", &v), -EINVAL);
}

static void
printing_takes_the_largest_unit_that_fits(void **state)
{
	static const struct { uint64_t ms; const char *text; } cases[] = {
		{ 0, "0ms" }, { 1, "1ms" }, { 1500, "1500ms" }, { 90000, "90s" },
		{ 3600000, "1h" }, { 86400000, "1d" }, { 90000000, "25h" },
	};
	struct buf b = BUF_INIT(64);
	uint64_t back;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		buf_clear(&b);
		config_duration_print(&b, cases[i].ms);
		assert_string_equal(b.data, cases[i].text);
		assert_int_equal(config_duration_parse(b.data, &back), 0);
		assert_int_equal(back, cases[i].ms);
	}
	buf_clear(&b);
	config_size_print(&b, (1ull << 40) + (1ull << 30));
	assert_string_equal(b.data, "1025GiB");
	buf_clear(&b);
	config_size_print(&b, UINT64_MAX);
	assert_string_equal(b.data, "18446744073709551615B");
	buf_free(&b);
}

static void
titles_and_patterns(void **state)
{
	(void)state;
	assert_true(config_title_ok("CT1"));
	assert_true(config_title_ok("0123456789ABCDEF"));
	assert_true(config_title_ok("a b-c_d.e/f"));
	assert_false(config_title_ok("0123456789ABCDEFG"));
	assert_false(config_title_ok(""));
	assert_false(config_title_ok(" CT1"));
	assert_false(config_title_ok("CT1 "));
	assert_false(config_title_ok("A\\B"));
	assert_false(config_title_ok("A\x7f"));
	assert_false(config_title_ok("M\xc3\xbc"));
	assert_false(config_title_ok("MR*"));
	assert_true(config_title_pattern_ok("MR*"));
	assert_true(config_title_pattern_ok("?T1"));
	assert_false(config_title_pattern_ok("A\\*"));
}

static void
names_uids_codes_charsets(void **state)
{
	char uid[66];

	(void)state;
	assert_true(config_name_ok("cloud"));
	assert_true(config_name_ok("2nd-cloud_x"));
	assert_false(config_name_ok("Cloud"));
	assert_false(config_name_ok("-cloud"));
	assert_false(config_name_ok("a/b"));
	assert_false(config_name_ok(""));
	assert_true(config_name_ok("abcdefghijklmnopqrstuvwxyz012345"));
	assert_false(config_name_ok("abcdefghijklmnopqrstuvwxyz0123456"));

	assert_true(config_uid_ok("1.2.840.10008.1.2.1"));
	assert_true(config_uid_ok("0.0"));
	assert_false(config_uid_ok("1.02"));
	assert_false(config_uid_ok("1..2"));
	assert_false(config_uid_ok(".1"));
	assert_false(config_uid_ok("1."));
	assert_false(config_uid_ok(""));
	assert_false(config_uid_ok("1.2.a"));
	memset(uid, '1', 65);
	uid[65] = '\0';
	assert_false(config_uid_ok(uid));
	uid[64] = '\0';
	assert_true(config_uid_ok(uid));

	assert_true(config_code_ok("CT"));
	assert_false(config_code_ok("ct"));
	assert_false(config_code_ok(""));
	assert_false(config_code_ok("C*"));

	assert_true(config_charset_ok("ISO_IR 100"));
	assert_true(config_charset_ok("\\ISO 2022 IR 87"));
	assert_true(config_charset_ok("ISO 2022 IR 6\\ISO 2022 IR 149"));
	assert_false(config_charset_ok("ISO_IR100"));
	assert_false(config_charset_ok("latin1"));
	assert_false(config_charset_ok(""));
	assert_false(config_charset_ok("ISO_IR 100\\"));
}

static void
urls(void **state)
{
	static const char *const good[] = {
		"https://pacs.example.org/dicom-web", "http://127.0.0.1:8042",
		"https://[::1]:8443/a/b", "https://a_b.local/", "http://x:65535",
	};
	static const char *const bad[] = {
		"", "pacs.example.org", "ftp://x/", "https://", "https:///x",
		"https://u:p@x/", "https://x/?a=b", "https://x/#f", "https://x y",
		"https://x:0/", "https://x:65536/", "https://x:/", "https://[::1",
		"https://[]/", "https://[::1]x/", "https://x/\xc3\xbc",
		"https://:80/", "https://x:8a/", "https://x/\"",
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (config_url_wrong(good[i]) != NULL)
			fail_msg("%s is right", good[i]);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (config_url_wrong(bad[i]) == NULL)
			fail_msg("%s is wrong", bad[i]);
}

static void
texts_cannot_steer_a_terminal(void **state)
{
	(void)state;
	assert_true(config_text_ok("Room 4, M\xc3\xbcller \xe2\x82\xac", 18));
	assert_true(config_text_ok("\xf0\x9f\x98\x80", 4));
	assert_false(config_text_ok("a\x1b[2J", 5));
	assert_false(config_text_ok("a\nb", 3));
	assert_false(config_text_ok("a\tb", 3));
	assert_false(config_text_ok("a\0b", 3));
	assert_false(config_text_ok("\xc2\x9b", 2));
	assert_false(config_text_ok("\xe2\x80\xa8", 3));
	assert_false(config_text_ok("\xe2\x80\xae", 3));
	assert_false(config_text_ok("\xef\xbb\xbf", 3));
}

static void
suggestions_are_near(void **state)
{
	static const char *const known[] = { "max_pdu", "max_associations",
		"port", "to" };

	(void)state;
	assert_string_equal(config_suggest("max_asociations", known, 4),
	    "max_associations");
	assert_string_equal(config_suggest("MaxPDU", known, 4), "max_pdu");
	assert_string_equal(config_suggest("prot", known, 4), "port");
	assert_null(config_suggest("query", known, 4));
	assert_null(config_suggest("x", known, 4));
	assert_null(config_suggest("", known, 4));
	assert_null(config_suggest("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	    known, 4));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_want_their_unit),
		cmocka_unit_test(durations_want_their_unit),
		cmocka_unit_test(rates_are_bits_by_thousands),
		cmocka_unit_test(times_of_day),
		cmocka_unit_test(sop_classes_and_patterns),
		cmocka_unit_test(numbers_are_decimal),
		cmocka_unit_test(printing_takes_the_largest_unit_that_fits),
		cmocka_unit_test(titles_and_patterns),
		cmocka_unit_test(names_uids_codes_charsets),
		cmocka_unit_test(urls),
		cmocka_unit_test(texts_cannot_steer_a_terminal),
		cmocka_unit_test(suggestions_are_near),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
