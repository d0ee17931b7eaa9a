/* test_ctl_table.c - what came over the wire cannot steer a terminal, and columns
 * stay aligned whatever it is.
 */
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/base/cleanup.h"
#include "gateway/ctl/ctl_int.h"

static void
expect_escape(const char *text, const char *want)
{
	struct buf b = BUF_INIT(4096);

	ctl_escape(&b, text);
	assert_string_equal(b.len > 0 ? b.data : "", want);
	buf_free(&b);
}

static void
test_control_characters_are_shown(void **state)
{
	(void)state;
	expect_escape("", "");
	expect_escape("DOE^JANE", "DOE^JANE");
	expect_escape("a\tb\nc\rd", "a\\x09b\\x0ac\\x0dd");
	expect_escape("\033[2Jgone", "\\x1b[2Jgone");
	expect_escape("\177", "\\x7f");
	expect_escape("\xc2\x9b" "31m", "\\u{009b}31m");	/* C1: CSI */
}

static void
test_direction_marks_are_shown(void **state)
{
	(void)state;
	expect_escape("a\xe2\x80\xae" "b", "a\\u{202e}b");
	expect_escape("a\xe2\x81\xa6" "b", "a\\u{2066}b");
	expect_escape("a\xe2\x80\x8b" "b", "a\\u{200b}b");
	expect_escape("a\xef\xbb\xbf" "b", "a\\u{feff}b");
}

static void
test_what_is_no_utf8_is_shown(void **state)
{
	(void)state;
	expect_escape("M\xfcller", "M\\xfcller");
	expect_escape("\xff\xfe", "\\xff\\xfe");
	expect_escape("cut\xe2\x80", "cut\\xe2\\x80");
	expect_escape("\xc0\x80", "\\xc0\\x80");
	expect_escape("山田^太郎 Ünal", "山田^太郎 Ünal");
}

static void
test_width_counts_columns(void **state)
{
	(void)state;
	assert_int_equal(ctl_width("abc"), 3);
	assert_int_equal(ctl_width("Ünal"), 4);
	assert_int_equal(ctl_width("山田"), 4);
	assert_int_equal(ctl_width("e\xcc\x81"), 1);	/* a combining accent */
}

static void
test_cut_never_splits_a_character(void **state)
{
	struct buf b = BUF_INIT(256);

	(void)state;
	ctl_cut(&b, "山田太郎", 5);
	assert_string_equal(b.data, "山田…");
	buf_clear(&b);
	ctl_cut(&b, "山田太郎", 4);
	assert_string_equal(b.data, "山…");
	buf_clear(&b);
	ctl_cut(&b, "abc", 3);
	assert_string_equal(b.data, "abc");
	buf_free(&b);
}

static char *
print(const struct ctl_table *t, size_t width)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	ctl_table_print(t, out, width);
	(void)fclose(out);
	return text;
}

static const struct ctl_column columns[] = {
	{ .title = "NAME", .shrink = true }, { .title = "N", .right = true },
	{ .title = "STATE" },
};

static void
test_columns_are_aligned(void **state)
{
	struct ctl_table *t = ctl_table_new(columns, ARRAY_LEN(columns));
	AUTO_FREE char *text = NULL;

	(void)state;
	ctl_table_add(t, "山田");
	ctl_table_add_u64(t, 7);
	ctl_table_add(t, "up");
	ctl_table_add(t, "a\nb");
	ctl_table_add_u64(t, 1234);
	ctl_table_add(t, "");
	ctl_table_note(t, "why\x1b");
	text = print(t, 80);
	assert_string_equal(text,
	    "NAME       N  STATE\n"
	    "山田       7  up\n"
	    "a\\x0ab  1234\n"
	    "    why\\x1b\n");
	ctl_table_free(t);
}

static void
test_long_lines_shrink(void **state)
{
	struct ctl_table *t = ctl_table_new(columns, ARRAY_LEN(columns));
	AUTO_FREE char *text = NULL;

	(void)state;
	ctl_table_add(t, "a name that is much too long for this line");
	ctl_table_add_u64(t, 1);
	ctl_table_add(t, "a state is never cut");
	text = print(t, 40);
	assert_string_equal(text,
	    "NAME             N  STATE\n"
	    "a name that is\xe2\x80\xa6  1  a state is never cut\n");
	ctl_table_free(t);
}

static void
expect_wrap(const char *first, const char *text, size_t width, const char *want)
{
	AUTO_FREE char *got = NULL;
	size_t size;
	FILE *out = open_memstream(&got, &size);

	ctl_wrap(out, first, 4, text, width);
	(void)fclose(out);
	assert_string_equal(got, want);
}

static void
test_sentences_are_wrapped(void **state)
{
	(void)state;
	expect_wrap("!", "one two three", 11, "!   one two\n    three\n");
	expect_wrap("", "", 40, "    \n");
	expect_wrap("", "unbreakable-word x", 8, "    unbreakable-word\n    x\n");
	expect_wrap("", "a\nb  c", 40, "    a\\x0ab c\n");
}

static void
test_an_empty_table_is_nothing(void **state)
{
	struct ctl_table *t = ctl_table_new(columns, ARRAY_LEN(columns));
	AUTO_FREE char *text = print(t, 80);

	(void)state;
	assert_string_equal(text, "");
	ctl_table_free(t);
	ctl_table_free(NULL);
}

static void
test_sizes_and_times(void **state)
{
	char b[32];

	(void)state;
	assert_string_equal(ctl_size(0, b, sizeof(b)), "0 B");
	assert_string_equal(ctl_size(1023, b, sizeof(b)), "1023 B");
	assert_string_equal(ctl_size(1024, b, sizeof(b)), "1.0 KiB");
	assert_string_equal(ctl_size((1 << 20) - 1, b, sizeof(b)), "1.0 MiB");
	assert_string_equal(ctl_size(5ull << 40, b, sizeof(b)), "5.0 TiB");
	assert_string_equal(ctl_duration(59, b, sizeof(b)), "59 s");
	assert_string_equal(ctl_duration(3661, b, sizeof(b)), "1 h 1 min");
	assert_string_equal(ctl_duration(90000, b, sizeof(b)), "1 d 1 h");
	assert_string_equal(ctl_time("2026-11-23T04:15:02+01:00", b, sizeof(b)),
	    "2026-11-23 04:15:02");
	assert_string_equal(ctl_time("", b, sizeof(b)), "-");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_control_characters_are_shown),
		cmocka_unit_test(test_direction_marks_are_shown),
		cmocka_unit_test(test_what_is_no_utf8_is_shown),
		cmocka_unit_test(test_width_counts_columns),
		cmocka_unit_test(test_cut_never_splits_a_character),
		cmocka_unit_test(test_columns_are_aligned),
		cmocka_unit_test(test_long_lines_shrink),
		cmocka_unit_test(test_sentences_are_wrapped),
		cmocka_unit_test(test_an_empty_table_is_nothing),
		cmocka_unit_test(test_sizes_and_times),
	};

	if (setlocale(LC_CTYPE, "C.UTF-8") == NULL)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
