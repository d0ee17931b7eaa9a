/* test_http_multipart.c - parts come out whole however the bytes come in, and
 * hostile ones come out as errors.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/base/cleanup.h"
#include "gateway/http/http.h"

static int
note_part(void *arg, const char *type)
{
	return buf_printf(arg, "[%s|", type);
}

static int
note_data(void *arg, const void *data, size_t len)
{
	return buf_add(arg, data, len);
}

static int
note_end(void *arg)
{
	return buf_add_char(arg, ']');
}

static const struct http_multipart_events events = {
	.part = note_part, .data = note_data, .part_end = note_end,
};

/* Fed in portions of that size; the result of end, or the first error. */
static int
parse(const char *type, const char *text, size_t len, size_t portion,
    struct buf *out)
{
	struct http_multipart *m;
	int r = http_multipart_new(type, &events, out, &m);

	if (r < 0)
		return r;
	for (size_t at = 0; at < len && r == 0; at += portion)
		r = http_multipart_feed(m, text + at,
		    len - at < portion ? len - at : portion);
	if (r == 0)
		r = http_multipart_end(m);
	http_multipart_free(m);
	return r;
}

static void
check_all_portions(const char *text, const char *expected)
{
	struct buf out = BUF_INIT(1 << 16);

	for (size_t portion = 1; portion <= strlen(text); portion++) {
		buf_clear(&out);
		assert_int_equal(parse("multipart/related; boundary=b-1", text,
		    strlen(text), portion, &out), 0);
		assert_string_equal(out.data, expected);
	}
	buf_free(&out);
}

static void
test_any_portions(void **state)
{
	(void)state;
	check_all_portions("--b-1\r\nContent-Type: a/b\r\n\r\none\r\n--b-1\r\n"
	    "X: y\r\ncontent-type:c/d; e=f\r\n\r\n\r\n\r\n--two\r\n--b-\r\n\r"
	    "\r\n--b-1--\r\nepilogue --b-1", "[a/b|one][c/d; e=f|"
	    "\r\n\r\n--two\r\n--b-\r\n\r]");
	check_all_portions("preamble\r\n\r\r\n--b-1 \t \r\n\r\n\r\n--b-1\r\n\r\n"
	    "--b-1--", "[|][|]");
	check_all_portions("\r\n--b-1\n\nx\r\r\n--b-1--", "[|x\r]");
	check_all_portions("--b-1\r\n\r\n--b-x\r\n--b-1--", "[|--b-x]");
}

static void
test_boundary_spellings(void **state)
{
	static const char *const good[] = {
		"multipart/related; boundary=xyz",
		"Multipart/Related;type=\"application/dicom\";BOUNDARY=\"xyz\"",
		"multipart/related; start=\"a;boundary=no\"; boundary = xyz ; a=b",
		"multipart/related; flag; boundary=xyz",
		"multipart/related; boundary=\"x\\yz\"",
	};
	static const char *const bad[] = {
		"application/dicom", "multipart/related", "", "multipart/related;",
		"multipart/related; boundary=", "multipart/related; boundary=\"x",
		"multipart/related; boundary=\"x \"", "multipart/related; boundary=a{b",
		"multipart/related; xboundary=xyz",
		"multipart/related; boundary=1234567890123456789012345678901234567890"
		"1234567890123456789012345678901",
	};
	struct buf out = BUF_INIT(1000);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		buf_clear(&out);
		if (parse(good[i], "--xyz\r\n\r\nd\r\n--xyz--", 20, 7, &out) != 0)
			fail_msg("%s", good[i]);
		assert_string_equal(out.data, "[|d]");
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (parse(bad[i], "", 0, 1, &out) != -EBADMSG)
			fail_msg("%s", bad[i]);
	}
	buf_free(&out);
}

static void
test_cut_short_is_an_error(void **state)
{
	const char *text = "--b\r\nContent-Type: a/b\r\n\r\none\r\n--b--";
	struct buf out = BUF_INIT(1000);

	(void)state;
	for (size_t len = 0; len < strlen(text); len++) {
		buf_clear(&out);
		assert_int_equal(parse("multipart/related; boundary=b", text, len, 3,
		    &out), -EBADMSG);
	}
	buf_free(&out);
}

static void
test_hostile_heads_are_bounded(void **state)
{
	struct buf text = BUF_INIT(1 << 20);
	struct buf out = BUF_INIT(1000);

	(void)state;
	(void)buf_add_str(&text, "--b\r\nContent-Type: ");
	for (int i = 0; i < 100000; i++)
		(void)buf_add_char(&text, 'a');
	assert_int_equal(parse("multipart/related; boundary=b", text.data, text.len,
	    4096, &out), -EBADMSG);
	assert_int_equal(out.len, 0);
	assert_int_equal(parse("multipart/related; boundary=b",
	    "--b\r\n\r\nx\r\n--bad\r\n", 18, 18, &out), -EBADMSG);
	assert_int_equal(parse("multipart/related; boundary=b",
	    "--b\r\n\r\nx\r\n--b-x", 15, 15, &out), -EBADMSG);
	buf_free(&text);
	buf_free(&out);
}

static int
refuse_data(void *arg, const void *data, size_t len)
{
	(void)arg;
	(void)data;
	(void)len;
	return -EXFULL;
}

static void
test_an_event_ends_it(void **state)
{
	struct http_multipart_events ev = events;
	struct buf out = BUF_INIT(100);
	struct http_multipart *m;

	(void)state;
	ev.data = refuse_data;
	assert_int_equal(http_multipart_new("multipart/related; boundary=b", &ev,
	    &out, &m), 0);
	assert_int_equal(http_multipart_feed(m, "--b\r\n\r\nx", 8), -EXFULL);
	assert_int_equal(http_multipart_feed(m, "y", 1), -EXFULL);
	assert_int_equal(http_multipart_end(m), -EXFULL);
	http_multipart_free(m);
	buf_free(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_portions),
		cmocka_unit_test(test_boundary_spellings),
		cmocka_unit_test(test_cut_short_is_an_error),
		cmocka_unit_test(test_hostile_heads_are_bounded),
		cmocka_unit_test(test_an_event_ends_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
