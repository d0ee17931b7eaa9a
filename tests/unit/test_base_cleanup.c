/* test_base_cleanup.c - ownership that ends with its block, or is handed on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>

#include "gateway/base/cleanup.h"

static bool
fd_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static int
keep_or_close(bool keep, int *ret_fd)
{
	AUTO_CLOSE int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	*ret_fd = fd;
	return keep ? TAKE_FD(fd) : -1;
}

static void
test_fd_closes_with_its_block(void **state)
{
	int fd;

	(void)state;
	assert_int_equal(keep_or_close(false, &fd), -1);
	assert_false(fd_open(fd));
}

static void
test_taken_fd_stays_open(void **state)
{
	int fd, kept;

	(void)state;
	kept = keep_or_close(true, &fd);
	assert_int_equal(kept, fd);
	assert_true(fd_open(kept));
	(void)close(kept);
}

static void
test_closing_keeps_errno(void **state)
{
	(void)state;
	errno = ENOSPC;
	{
		AUTO_CLOSE int fd = 1 << 20;	/* close says EBADF */

		(void)fd;
	}
	assert_int_equal(errno, ENOSPC);
}

static void
test_taken_pointer_is_none(void **state)
{
	AUTO_FREE char *a = xstrdup("series");
	AUTO_FREE char *b = TAKE_PTR(a);

	(void)state;
	assert_null(a);
	assert_string_equal(b, "series");
}

static void
test_lock_scope_ends_with_its_block(void **state)
{
	pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;

	(void)state;
	{
		LOCK_SCOPE(&mu);
		assert_int_equal(pthread_mutex_trylock(&mu), EBUSY);
	}
	assert_int_equal(pthread_mutex_trylock(&mu), 0);
	(void)pthread_mutex_unlock(&mu);
}

static void
test_x_calls(void **state)
{
	static const char zero[16];
	AUTO_FREE char *n = xstrndup("1.2.840", 3);
	AUTO_FREE char *f = xasprintf("%s-%d", "CT", 7);
	AUTO_FREE char *c = xcalloc(2, 8);
	AUTO_FREE char *none = xcalloc(0, 0);
	AUTO_FREE int *grown = xreallocarray(NULL, 4, sizeof(int));

	(void)state;
	assert_string_equal(n, "1.2");
	assert_string_equal(f, "CT-7");
	assert_memory_equal(c, zero, sizeof(zero));
	assert_non_null(none);
	grown[3] = 9;
	grown = xreallocarray(TAKE_PTR(grown), 400, sizeof(int));
	assert_int_equal(grown[3], 9);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fd_closes_with_its_block),
		cmocka_unit_test(test_taken_fd_stays_open),
		cmocka_unit_test(test_closing_keeps_errno),
		cmocka_unit_test(test_taken_pointer_is_none),
		cmocka_unit_test(test_lock_scope_ends_with_its_block),
		cmocka_unit_test(test_x_calls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
