/* test_dicom_charset.c - every Defined Term, code extensions and their reset,
 * bytes that are of no set, and the fold that searches compare.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <locale.h>

#include "gateway/base/cleanup.h"
#include "gateway/dicom/charset.h"
#include "gateway/dicom/utf8_int.h"
#include "gateway/dicom/vr.h"

#define PN   DICOM_VR('P', 'N')
#define LO   DICOM_VR('L', 'O')
#define LT   DICOM_VR('L', 'T')
#define LOST UTF8_REPLACEMENT_STR

static void
expect_text(const char *charset, uint16_t vr, const char *text, size_t len,
    const char *utf8)
{
	struct buf b = BUF_INIT(1 << 16);

	assert_int_equal(dicom_to_utf8(charset, vr, text, len, &b), 0);
	assert_string_equal(b.data != NULL ? b.data : "", utf8);
	buf_free(&b);
}

#define EXPECT(charset, vr, text, utf8)                                 \
	expect_text((charset), (vr), (text), sizeof(text) - 1, (utf8))

static void
test_each_defined_term(void **state)
{
	static const struct {
		const char *term, *text, *utf8;
	} t[] = {
		{ "ISO_IR 6", "Plain", "Plain" },
		{ "ISO_IR 100", "\xc4neas", "Äneas" },
		{ "ISO_IR 101", "Wa\xb3\xeasa", "Wałęsa" },
		{ "ISO_IR 109", "\xc6\xe6", "Ĉĉ" },
		{ "ISO_IR 110", "\xe8\xf0", "čđ" },
		{ "ISO_IR 144", "\xbb\xee\xda\xe1\xd5\xdc", "Люксем" },
		{ "ISO_IR 127", "\xe2\xc8\xc7\xe6\xea", "قباني" },
		{ "ISO_IR 126", "\xc4\xe9\xef\xed\xf5\xf3\xe9\xef\xf2",
		    "Διονυσιος" },
		{ "ISO_IR 138", "\xf9\xf8\xe5\xef", "שרון" },
		{ "ISO_IR 148", "\xdd\xfe\xf0", "İşğ" },
		{ "ISO_IR 203", "\xa4 \xbd", "€ œ" },
		{ "ISO_IR 166", "\xca\xc1\xaa\xd2\xc2", "สมชาย" },
		{ "ISO_IR 13", "\xd4\xcf\xc0\xde", "ﾔﾏﾀﾞ" },
		{ "ISO_IR 192", "Wang^\xe5\xb0\x8f\xe6\x9d\xb1", "Wang^小東" },
		{ "GB18030", "Wang^\xd0\xa1\xb6\xab", "Wang^小东" },
		{ "GBK", "Wang^\xd0\xa1\xb6\xab", "Wang^小东" },
		{ "GB18030", "\x81\x30\x81\x30", "\xc2\x80" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		expect_text(t[i].term, PN, t[i].text, strlen(t[i].text),
		    t[i].utf8);
}

static void
test_code_extension_terms(void **state)
{
	(void)state;
	EXPECT("ISO 2022 IR 6", LO, "ab", "ab");
	EXPECT("ISO 2022 IR 100", LO, "\xc4", "Ä");
	EXPECT("ISO 2022 IR 6\\ISO 2022 IR 101", LO, "\x1b-B\xa3", "Ł");
	EXPECT("\\ISO 2022 IR 109", LO, "\x1b-C\xc6", "Ĉ");
	EXPECT("\\ISO 2022 IR 110", LO, "\x1b-D\xe8", "č");
	EXPECT("\\ISO 2022 IR 144", LO, "\x1b-L\xbb", "Л");
	EXPECT("\\ISO 2022 IR 127", LO, "\x1b-G\xe2", "ق");
	EXPECT("\\ISO 2022 IR 126", LO, "\x1b-F\xc4", "Δ");
	EXPECT("\\ISO 2022 IR 138", LO, "\x1b-H\xf9", "ש");
	EXPECT("\\ISO 2022 IR 148", LO, "\x1b-M\xfe", "ş");
	EXPECT("\\ISO 2022 IR 203", LO, "\x1b-b\xa4", "€");
	EXPECT("\\ISO 2022 IR 166", LO, "\x1b-T\xca", "ส");
	EXPECT("\\ISO 2022 IR 13", LO, "\x1b)I\xd4", "ﾔ");
	EXPECT("\\ISO 2022 IR 87", LO, "\x1b$B;3ED\x1b(B x", "山田 x");
	EXPECT("\\ISO 2022 IR 87", LO, "\x1b$@;3ED\x1b(J\\\x1b(B", "山田\\");
	EXPECT("\\ISO 2022 IR 159", LO, "\x1b$(D0!\x1b(B", "丂");
	EXPECT("\\ISO 2022 IR 149", LO, "\x1b$)C\xb1\xe8", "김");
	EXPECT("\\ISO 2022 IR 58", LO, "\x1b$)A\xcd\xf5", "王");
	EXPECT("ISO 2022 IR 149", LO, "\xb1\xe8", "김");
}

/* PS3.5 annexes H, I, J and K. */
static void
test_examples_of_the_standard(void **state)
{
	(void)state;
	EXPECT("\\ISO 2022 IR 87", PN,
	    "Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B="
	    "\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
	    "Yamada^Tarou=山田^太郎=やまだ^たろう");
	EXPECT("ISO 2022 IR 13\\ISO 2022 IR 87", PN,
	    "\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J="
	    "\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J",
	    "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう");
	EXPECT("\\ISO 2022 IR 149", PN,
	    "Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7="
	    "\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
	    "Hong^Gildong=洪^吉洞=홍^길동");
	EXPECT("\\ISO 2022 IR 58", PN,
	    "Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab=",
	    "Zhang^XiaoDong=张^小东=");
}

static void
test_escapes_end_at_delimiters(void **state)
{
	const char *cs = "ISO 2022 IR 100\\ISO 2022 IR 144";

	(void)state;
	EXPECT(cs, PN, "\x1b-L\xbb^\xc4=\x1b-L\xbb=\xc4", "Л^Ä=Л=Ä");
	EXPECT(cs, LO, "\x1b-L\xbb\\\xc4", "Л\\Ä");
	EXPECT(cs, LO, "\x1b-L\xbb^\xbb", "Л^Л");
	EXPECT(cs, LT, "\x1b-L\xbb\r\n\xc4", "Л\r\nÄ");
	EXPECT(cs, LT, "\x1b-L\xbb\f\xc4", "Л\fÄ");
	EXPECT(cs, LT, "\x1b-L\xbb\t\xc4", "Л\tÄ");
	EXPECT(cs, LT, "\x1b-L\xbb\\\xbb", "Л\\Л");
	EXPECT("\\ISO 2022 IR 87", LO, "\x1b$B;3\nab", "山\nab");
}

/* 5EH, 3DH and 5CH are halves of kanji; 0x1b24 42 3D 5C is one character. */
static void
test_delimiters_inside_kanji(void **state)
{
	(void)state;
	EXPECT("\\ISO 2022 IR 87", PN, "\x1b$B=\\=^\x1b(B^b", "旬殉^b");
	EXPECT("\\ISO 2022 IR 87", PN, "\x1b$B==\x1b(B=x", "十=x");
	EXPECT("GB18030", LO, "\x81\x5c\\b", "乗\\b");
}

static void
test_lenient_spellings(void **state)
{
	static const char *const latin1[] = {
		"ISO_IR 100", "ISO-IR 100", "ISO_IR_100", "ISO IR 100",
		"iso_ir 100", "ISO_IR100", " ISO_IR 100 ", "ISO 2022 IR 100",
		"ISO 2022-IR 100", "ISO2022 IR 100", "ISO 8859-1", "\\ISO_IR 100",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(latin1); i++)
		expect_text(latin1[i], LO, "\xc4", 1, "Ä");
	EXPECT("utf-8", LO, "Ä", "Ä");
	EXPECT("iso_ir 192", LO, "Ä", "Ä");
	EXPECT("\\ISO_IR 192", LO, "Ä", "Ä");
	EXPECT("ISO 2022 IR 6\\ISO_IR 192", LO, "Ä", "Ä");
	EXPECT("ISO_IR 192\\ISO 2022 IR 100", LO, "Ä", "Ä");
	EXPECT("ISO_IR 100\\ISO_IR 192", LO, "\xc4", "Ä");
	EXPECT("ISO 2022 IR 6\\ISO 2022 IR 87", LO, "\x1b$B;3\x1b(B", "山");
	EXPECT("ISO 2022 IR 87", LO, "a\x1b$B;3\x1b(Bb", "a山b");
	EXPECT("\\ISO 2022 IR 149", PN, "\x1b$)C\xb1\xe8^\xb1\xe8", "김^김");
	EXPECT(NULL, LO, "abc", "abc");
	EXPECT("", LO, "\x1b-A\xc4", "Ä");
}

static void
test_strange_bytes_are_replaced(void **state)
{
	(void)state;
	EXPECT("", LO, "a\xc4z", "a" LOST "z");
	EXPECT("ISO_IR 4711", LO, "a\xc4z", "a" LOST "z");
	EXPECT("ISO_IR 100", LO, "\x80\x9f\xa0", LOST LOST "\xc2\xa0");
	EXPECT("ISO_IR 127", LO, "\xa1", LOST);
	EXPECT("ISO_IR 13", LO, "\xa0\xe0\xff", LOST LOST LOST);
	EXPECT("ISO_IR 13", LT, "\\~", "¥‾");
	EXPECT("ISO_IR 13", LO, "a\\b", "a\\b");
	EXPECT("ISO_IR 192", LO, "\xc4z\xe5\xb0", LOST "z" LOST LOST);
	EXPECT("ISO_IR 192", LO, "\xed\xa0\x80", LOST LOST LOST);
	EXPECT("GB18030", LO, "a\xff" "b", "a" LOST "b");
	EXPECT("\\ISO 2022 IR 87", LO, "\x1b$B;3E\x1b(Bx", "山" LOST "x");
	EXPECT("\\ISO 2022 IR 87", LO, "\x1b$B;3 ;3\x1b(B", "山 山");
	EXPECT("\\ISO 2022 IR 149", LO, "\x1b$)C\xb1z", LOST "z");
	EXPECT("ISO_IR 100", LO, "\x1b%Gx", LOST "%Gx");
	EXPECT("ISO_IR 100", LO, "\x1b", LOST);
	EXPECT("ISO_IR 100", LO, "a\0b\x07\x7f", "a" LOST "b" LOST LOST);
	EXPECT("ISO_IR 192", LO, "a\0b\x1b[m", "a" LOST "b" LOST "[m");
}

static bool
valid_utf8(const char *s, size_t len)
{
	while (len > 0) {
		uint32_t cp = 0;
		size_t n = dicom_utf8_read(s, len, &cp);

		if (n == 1 && cp == UTF8_REPLACEMENT)
			return false;
		s += n;
		len -= n;
	}
	return true;
}

/* Any bytes in any set: valid UTF-8 without controls, never a failure. */
static void
test_random_bytes_come_out_as_utf8(void **state)
{
	static const char *const sets[] = { "", "ISO_IR 100", "ISO_IR 13",
		"ISO_IR 192", "GB18030", "GBK", "\\ISO 2022 IR 87",
		"ISO 2022 IR 13\\ISO 2022 IR 87\\ISO 2022 IR 159",
		"\\ISO 2022 IR 149", "\\ISO 2022 IR 58", "ISO_IR 166" };
	static const char *const esc[] = { "\x1b$B", "\x1b(B", "\x1b$)C",
		"\x1b$(D", "\x1b-L", "\x1b)I", "\x1b(J", "^", "=", "\\" };
	uint32_t seed = 12345;

	(void)state;
	for (int i = 0; i < 4000; i++) {
		struct buf b = BUF_INIT(4096), in = BUF_INIT(1024);

		for (int k = 0; k < 24; k++) {
			seed = seed * 1664525 + 1013904223;
			if (seed >> 28 == 0)
				buf_add_str(&in,
				    esc[(seed >> 8) % ARRAY_LEN(esc)]);
			else
				buf_add_char(&in, (char)(seed >> 16));
		}
		assert_int_equal(dicom_to_utf8(sets[i % ARRAY_LEN(sets)], PN,
		    in.data, in.len, &b), 0);
		assert_true(valid_utf8(b.data, b.len));
		assert_null(memchr(b.data, 0x1b, b.len));
		assert_null(memchr(b.data, 0, b.len));
		buf_free(&b);
		buf_free(&in);
	}
}

static void
test_full_buffer_is_an_error(void **state)
{
	struct buf b = BUF_INIT(3);

	(void)state;
	assert_int_equal(dicom_to_utf8("ISO_IR 100", LO, "\xc4\xc4", 2, &b),
	    -EMSGSIZE);
	buf_free(&b);
}

static void
expect_fold(const char *in, const char *out)
{
	struct buf b = BUF_INIT(4096), again = BUF_INIT(4096);

	assert_int_equal(dicom_fold(in, strlen(in), &b), 0);
	assert_string_equal(b.data != NULL ? b.data : "", out);
	assert_int_equal(dicom_fold(b.data, b.len, &again), 0);
	assert_string_equal(again.data != NULL ? again.data : "", out);
	buf_free(&b);
	buf_free(&again);
}

static void
test_fold(void **state)
{
	(void)state;
	expect_fold("", "");
	expect_fold("DOE^John", "doe^john");
	expect_fold("  Van   der\tBerg  ", "van der berg");
	expect_fold("Müller", "muller");
	expect_fold("Mu\xcc\x88ller", "muller");
	expect_fold("Großmann STRAẞE", "grossmann strasse");
	expect_fold("Łódź Ðorđe Søren Þór", "lodz dorde soren thor");
	expect_fold("Æon Œuvre ﬁn", "aeon oeuvre fin");
	expect_fold("İstanbul ılık", "istanbul ilik");
	expect_fold("ΔΙΟΝΎΣΙΟΣ ᾳ", "διονυσιοσ α");
	expect_fold("Йёлка Ї", "иелка і");
	expect_fold("ＡＢＣ１２３　ｘ", "abc123 x");
	expect_fold("ﾔﾏﾀﾞ^ﾊﾟﾘ", "ヤマダ^パリ");
	expect_fold("か\xe3\x82\x99 ウ\xe3\x82\x99", "が ヴ");
	expect_fold("\xe3\x82\x99", "");
	expect_fold("山田^太郎", "山田^太郎");
	expect_fold("קָ", "ק");
	expect_fold("O’Brien – Smith", "o'brien - smith");
	expect_fold("a\xc2\xad" "b\xe2\x80\x8b" "c\xef\xbb\xbf", "abc");
	expect_fold("\xff", LOST);
}

static void
test_fold_is_stable_and_knows_no_locale(void **state)
{
	struct buf all = BUF_INIT(1 << 20), one = BUF_INIT(1 << 20);
	struct buf two = BUF_INIT(1 << 20);

	(void)state;
	for (uint32_t cp = 1; cp < 0x30000; cp++) {
		char utf8[UTF8_MAX];

		if (cp >= 0xd800 && cp <= 0xdfff)
			continue;
		assert_int_equal(
		    buf_add(&all, utf8, dicom_utf8_write(cp, utf8)), 0);
	}
	assert_int_equal(dicom_fold(all.data, all.len, &one), 0);
	(void)setlocale(LC_ALL, "tr_TR.UTF-8");
	(void)setlocale(LC_ALL, "C.UTF-8");
	assert_int_equal(dicom_fold(one.data, one.len, &two), 0);
	(void)setlocale(LC_ALL, "C");
	assert_int_equal(one.len, two.len);
	assert_memory_equal(one.data, two.data, one.len);
	buf_free(&all);
	buf_free(&one);
	buf_free(&two);
}

static void
expect_group(const char *name, unsigned group, const char *want)
{
	size_t len = 99;
	const char *p = dicom_name_group(name, strlen(name), group, &len);

	assert_int_equal(len, strlen(want));
	assert_memory_equal(p, want, len);
	assert_true(p >= name && p + len <= name + strlen(name));
}

static void
test_name_groups(void **state)
{
	(void)state;
	expect_group("A^B=C^D=E", 0, "A^B");
	expect_group("A^B=C^D=E", 1, "C^D");
	expect_group("A^B=C^D=E", 2, "E");
	expect_group("A^B=C^D=E", 3, "");
	expect_group("=C", 0, "");
	expect_group("=C", 1, "C");
	expect_group("A", 1, "");
	expect_group("", 0, "");
	expect_group("==", 2, "");
	expect_group("A=B=C=D", 2, "C");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_defined_term),
		cmocka_unit_test(test_code_extension_terms),
		cmocka_unit_test(test_examples_of_the_standard),
		cmocka_unit_test(test_escapes_end_at_delimiters),
		cmocka_unit_test(test_delimiters_inside_kanji),
		cmocka_unit_test(test_lenient_spellings),
		cmocka_unit_test(test_strange_bytes_are_replaced),
		cmocka_unit_test(test_random_bytes_come_out_as_utf8),
		cmocka_unit_test(test_full_buffer_is_an_error),
		cmocka_unit_test(test_fold),
		cmocka_unit_test(test_fold_is_stable_and_knows_no_locale),
		cmocka_unit_test(test_name_groups),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
