/* test_base_fdio.c - file I/O that finishes or says why, on real files.
 *
 * fdio.c is included with fallocate(2) and pwritev(2) in our hands, so that a
 * file system without the one and with short transfers can be had anywhere.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

static int fallocate_errno;
static int interrupts;
static size_t transfer_max;
static int write_errno;

static int
fake_fallocate(int fd, int mode, off_t at, off_t len)
{
	if (fallocate_errno != 0) {
		errno = fallocate_errno;
		return -1;
	}
	return fallocate(fd, mode, at, len);
}

/* One element at a time, transfer_max bytes at most, after some signals. */
static ssize_t
fake_pwritev(int fd, const struct iovec *iov, int n, off_t at)
{
	size_t len = iov->iov_len;

	assert_true(n > 0 && n <= 1024);
	if (interrupts > 0) {
		interrupts--;
		errno = EINTR;
		return -1;
	}
	if (write_errno != 0) {
		errno = write_errno;
		return -1;
	}
	if (transfer_max > 0 && len > transfer_max)
		len = transfer_max;
	return pwrite(fd, iov->iov_base, len, at);
}

#define fallocate fake_fallocate
#define pwritev	  fake_pwritev
#include "gateway/base/fdio.c"
#undef fallocate
#undef pwritev

struct area {
	char path[64];
	int  dir;
};

static int
open_area(void **state)
{
	struct area *a = xcalloc(1, sizeof(*a));
	const char *tmp = getenv("TMPDIR");

	(void)snprintf(a->path, sizeof(a->path), "%.40s/fdio-XXXXXX",
	    tmp != NULL ? tmp : "/tmp");
	if (mkdtemp(a->path) == NULL)
		return -1;
	a->dir = open(a->path, O_RDONLY | O_DIRECTORY);
	fallocate_errno = interrupts = write_errno = 0;
	transfer_max = 0;
	*state = a;
	return 0;
}

static int
close_area(void **state)
{
	static const char *const names[] = { "f", "g", ".f.tmp" };
	struct area *a = *state;

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		(void)unlinkat(a->dir, names[i], 0);
	(void)unlinkat(a->dir, "d", AT_REMOVEDIR);
	(void)close(a->dir);
	(void)rmdir(a->path);
	free(a);
	return 0;
}

static int
create(struct area *a)
{
	int fd = fdio_openat(a->dir, "f", O_RDWR | O_CREAT, 0600);

	assert_true(fd >= 0);
	return fd;
}

static off_t
size_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_size;
}

static void
test_open_is_close_on_exec(void **state)
{
	AUTO_CLOSE int fd = create(*state);

	assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
}

static void
test_open_says_why_not(void **state)
{
	struct area *a = *state;

	assert_int_equal(fdio_openat(a->dir, "none", O_RDONLY, 0), -ENOENT);
}

static void
test_short_interrupted_writes_complete(void **state)
{
	AUTO_CLOSE int fd = create(*state);
	char text[11] = "", a[] = "abc", b[] = "", c[] = "defghij";
	struct iovec iov[] = { { b, 0 }, { a, 3 }, { b, 0 }, { c, 7 }, { b, 0 } };

	transfer_max = 2;
	interrupts = 3;
	assert_int_equal(fdio_pwritev(fd, iov, 5, 4), 0);
	assert_int_equal(fdio_pread_full(fd, text, 10, 4), 0);
	assert_string_equal(text, "abcdefghij");
}

static void
test_many_vectors(void **state)
{
	AUTO_CLOSE int fd = create(*state);
	AUTO_FREE struct iovec *iov = xcalloc(3000, sizeof(*iov));
	char c = 'x';

	for (int i = 0; i < 3000; i++)
		iov[i] = (struct iovec){ &c, 1 };
	assert_int_equal(fdio_pwritev(fd, iov, 3000, 0), 0);
	assert_int_equal(size_of(fd), 3000);
}

static void
test_write_error_is_told(void **state)
{
	AUTO_CLOSE int fd = create(*state);

	write_errno = ENOSPC;
	assert_int_equal(fdio_pwrite(fd, "a", 1, 0), -ENOSPC);
	assert_int_equal(fdio_pwrite(fd, "a", 0, 0), 0);
}

static void
test_read_stops_at_the_end(void **state)
{
	AUTO_CLOSE int fd = create(*state);
	char text[8];

	assert_int_equal(fdio_write(fd, "abc", 3), 0);
	assert_int_equal(fdio_pread(fd, text, 8, 1), 2);
	assert_int_equal(fdio_pread(fd, text, 8, 9), 0);
	assert_int_equal(fdio_pread_full(fd, text, 8, 1), -EIO);
	assert_int_equal(fdio_pread(-1, text, 8, 0), -EBADF);
}

static void
test_allocate_claims_space(void **state)
{
	AUTO_CLOSE int fd = create(*state);

	assert_int_equal(fdio_allocate(fd, 0, 100000), 0);
	assert_int_equal(size_of(fd), 100000);
}

static void
test_allocate_falls_back_to_zeros(void **state)
{
	AUTO_CLOSE int fd = create(*state);
	char text[4];

	fallocate_errno = EOPNOTSUPP;
	assert_int_equal(fdio_write(fd, "abc", 3), 0);
	assert_int_equal(fdio_allocate(fd, 0, 200001), 0);
	assert_int_equal(size_of(fd), 200001);
	assert_int_equal(fdio_pread_full(fd, text, 4, 0), 0);
	assert_memory_equal(text, "abc", 4);
	assert_int_equal(fdio_allocate(fd, 0, 10), 0);
	assert_int_equal(size_of(fd), 200001);
}

static void
test_allocate_without_room_gives_back(void **state)
{
	AUTO_CLOSE int fd = create(*state);

	fallocate_errno = ENOSPC;
	assert_int_equal(fdio_allocate(fd, 0, 10), -ENOSPC);
	fallocate_errno = EOPNOTSUPP;
	write_errno = ENOSPC;
	assert_int_equal(fdio_allocate(fd, 0, 10), -ENOSPC);
	assert_int_equal(size_of(fd), 0);
}

static void
test_syncs_and_hints(void **state)
{
	struct area *a = *state;
	AUTO_CLOSE int fd = create(a);
	int pipes[2];

	assert_int_equal(fdio_datasync(fd), 0);
	assert_int_equal(fdio_sync(fd), 0);
	assert_int_equal(fdio_sync(a->dir), 0);
	assert_int_equal(fdio_datasync(-1), -EBADF);
	assert_int_equal(fdio_writeback_begin(fd, 0, 4096), 0);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(fdio_writeback_begin(pipes[1], 0, 4096), 0);
	(void)close(pipes[0]);
	(void)close(pipes[1]);
}

static void
test_replace_is_whole_or_not_at_all(void **state)
{
	struct area *a = *state;
	AUTO_FREE char *text = NULL;
	struct stat st;
	size_t len;

	assert_int_equal(fdio_replace(a->dir, "f", "one", 3, 0640), 0);
	assert_int_equal(fdio_replace(a->dir, "f", "three\0!", 7, 0600), 0);
	assert_int_equal(fdio_slurp(a->dir, "f", 7, &text, &len), 0);
	assert_int_equal(len, 7);
	assert_memory_equal(text, "three\0!", 8);
	assert_int_equal(fstatat(a->dir, "f", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(faccessat(a->dir, ".f.tmp", F_OK, 0), -1);
}

static void
test_replace_that_fails_leaves_the_old(void **state)
{
	struct area *a = *state;

	assert_int_equal(fdio_mkdir(a->dir, "d", 0700), 0);
	assert_int_equal(fdio_replace(a->dir, "d", "x", 1, 0600), -EISDIR);
	assert_int_equal(faccessat(a->dir, ".d.tmp", F_OK, 0), -1);
}

static void
test_replace_survives_a_crashed_one(void **state)
{
	struct area *a = *state;
	AUTO_FREE char *text = NULL;
	size_t len;

	assert_int_equal(symlinkat("g", a->dir, ".f.tmp"), 0);
	assert_int_equal(fdio_replace(a->dir, "f", "new", 3, 0600), 0);
	assert_int_equal(fdio_slurp(a->dir, "f", 10, &text, &len), 0);
	assert_string_equal(text, "new");
	assert_int_equal(faccessat(a->dir, "g", F_OK, 0), -1);
}

static void
test_slurp_has_a_maximum(void **state)
{
	struct area *a = *state;
	AUTO_CLOSE int fd = create(a);
	AUTO_FREE char *text = NULL, *proc = NULL;
	size_t len = 99;

	assert_int_equal(ftruncate(fd, 10000), 0);
	assert_int_equal(fdio_slurp(a->dir, "f", 9999, &text, &len), -EFBIG);
	assert_null(text);
	assert_int_equal(len, 99);
	assert_int_equal(fdio_slurp(a->dir, "f", 10000, &text, &len), 0);
	assert_int_equal(len, 10000);
	assert_int_equal(fdio_slurp(a->dir, "none", 9, &text, &len), -ENOENT);
	assert_int_equal(fdio_slurp(AT_FDCWD, "/proc/self/status", 1 << 20,
	    &proc, &len), 0);
	assert_true(len > 0);
}

static void
test_slurp_waits_for_no_writer_for_ever(void **state)
{
	struct area *a = *state;
	AUTO_FREE char *nothing = NULL, *text = NULL;
	AUTO_CLOSE int writer = -1;
	size_t len = 99;

	assert_int_equal(mkfifoat(a->dir, "pipe", 0600), 0);
	assert_int_equal(fdio_slurp(a->dir, "pipe", 99, &nothing, &len), 0);
	assert_int_equal(len, 0);
	writer = openat(a->dir, "pipe", O_RDWR | O_CLOEXEC);
	assert_int_equal(write(writer, "half", 4), 4);
	assert_int_equal(fdio_slurp(a->dir, "pipe", 99, &text, &len), -ETIMEDOUT);
	assert_null(text);
	assert_int_equal(unlinkat(a->dir, "pipe", 0), 0);
}

static void
test_names(void **state)
{
	struct area *a = *state;
	AUTO_CLOSE int fd = create(a);

	assert_int_equal(fdio_rename(a->dir, "f", a->dir, "g"), 0);
	assert_int_equal(fdio_unlink(a->dir, "f"), -ENOENT);
	assert_int_equal(fdio_unlink(a->dir, "g"), 0);
	assert_int_equal(fdio_mkdir(a->dir, "d", 0700), 0);
	assert_int_equal(fdio_mkdir(a->dir, "d", 0700), -EEXIST);
	assert_int_equal(fdio_truncate(fd, 5), 0);
	assert_int_equal(size_of(fd), 5);
}

static void
test_space(void **state)
{
	struct area *a = *state;
	uint64_t room = 0, size = 0;

	assert_int_equal(fdio_space(a->dir, &room, &size), 0);
	assert_true(size > 0 && room <= size);
	assert_int_equal(fdio_space(-1, &room, &size), -EBADF);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_area, close_area)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_open_is_close_on_exec),
		TEST(test_open_says_why_not),
		TEST(test_short_interrupted_writes_complete),
		TEST(test_many_vectors),
		TEST(test_write_error_is_told),
		TEST(test_read_stops_at_the_end),
		TEST(test_allocate_claims_space),
		TEST(test_allocate_falls_back_to_zeros),
		TEST(test_allocate_without_room_gives_back),
		TEST(test_syncs_and_hints),
		TEST(test_replace_is_whole_or_not_at_all),
		TEST(test_replace_that_fails_leaves_the_old),
		TEST(test_replace_survives_a_crashed_one),
		TEST(test_slurp_has_a_maximum),
		TEST(test_slurp_waits_for_no_writer_for_ever),
		TEST(test_names),
		TEST(test_space),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
