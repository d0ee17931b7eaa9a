/* test_base_buf.c - a buffer grows to its maximum, latches its first failure,
 * and is always a C string. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/base/buf.h"
#include "gateway/base/cleanup.h"

static void
test_adds_and_terminates(void **state)
{
	struct buf b = BUF_INIT(1000);

	(void)state;
	assert_int_equal(buf_add(&b, "ab\0c", 4), 0);
	assert_int_equal(buf_add_str(&b, "de"), 0);
	assert_int_equal(buf_add_char(&b, 'f'), 0);
	assert_int_equal(buf_printf(&b, "-%d-%s", 7, "g"), 0);
	assert_int_equal(b.len, 11);
	assert_memory_equal(b.data, "ab\0cdef-7-g", 12);
	buf_free(&b);
}

static void
test_maximum_counts_bytes_not_the_nul(void **state)
{
	struct buf b = BUF_INIT(4);

	(void)state;
	assert_int_equal(buf_add(&b, "abcd", 4), 0);
	assert_string_equal(b.data, "abcd");
	assert_int_equal(buf_add_char(&b, 'e'), -EMSGSIZE);
	assert_string_equal(b.data, "abcd");
	buf_free(&b);
}

static void
test_first_error_is_latched(void **state)
{
	struct buf b = BUF_INIT(3);

	(void)state;
	assert_int_equal(buf_add_str(&b, "abcd"), -EMSGSIZE);
	assert_int_equal(buf_add_char(&b, 'a'), -EMSGSIZE);
	assert_int_equal(buf_printf(&b, "%d", 1), -EMSGSIZE);
	assert_int_equal(buf_error(&b), -EMSGSIZE);
	assert_int_equal(b.len, 0);
	buf_clear(&b);
	assert_int_equal(buf_error(&b), 0);
	assert_int_equal(buf_add_char(&b, 'a'), 0);
	buf_free(&b);
}

static void
test_huge_request_is_an_error(void **state)
{
	struct buf b = BUF_INIT(SIZE_MAX);

	(void)state;
	assert_int_equal(buf_add_char(&b, 'a'), 0);
	assert_int_equal(buf_reserve(&b, SIZE_MAX), -EMSGSIZE);
	buf_clear(&b);
	assert_int_equal(buf_reserve(&b, SIZE_MAX), -ENOMEM);
	buf_free(&b);
}

static void
test_memory_never_exceeds_the_maximum(void **state)
{
	struct buf b = BUF_INIT(1000);

	(void)state;
	for (int i = 0; i < 1000; i++)
		assert_int_equal(buf_add_char(&b, 'x'), 0);
	assert_true(b.size <= 1001);
	assert_int_equal(buf_add_char(&b, 'x'), -EMSGSIZE);
	assert_int_equal(strlen(b.data), 1000);
	buf_free(&b);
}

static void
test_printf_that_does_not_fit_leaves_no_part(void **state)
{
	struct buf b = BUF_INIT(5);

	(void)state;
	assert_int_equal(buf_add_str(&b, "ab"), 0);
	assert_int_equal(buf_printf(&b, "%s", "cdef"), -EMSGSIZE);
	assert_string_equal(b.data, "ab");
	buf_free(&b);
}

static void
test_take_hands_the_memory_over(void **state)
{
	struct buf b = BUF_INIT(10);
	AUTO_FREE char *empty = buf_take(&b);
	AUTO_FREE char *full = NULL;

	(void)state;
	assert_string_equal(empty, "");
	assert_int_equal(buf_add_str(&b, "abc"), 0);
	full = buf_take(&b);
	assert_string_equal(full, "abc");
	assert_null(b.data);
	assert_int_equal(b.max, 10);
	assert_int_equal(buf_add_str(&b, "x"), 0);
	buf_free(&b);
	buf_free(&b);
	buf_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_adds_and_terminates),
		cmocka_unit_test(test_maximum_counts_bytes_not_the_nul),
		cmocka_unit_test(test_first_error_is_latched),
		cmocka_unit_test(test_huge_request_is_an_error),
		cmocka_unit_test(test_memory_never_exceeds_the_maximum),
		cmocka_unit_test(test_printf_that_does_not_fit_leaves_no_part),
		cmocka_unit_test(test_take_hands_the_memory_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
