/* fdio.c - file I/O that finishes or says why.
 *
 * A transfer that stops short is taken up again; one that makes no progress is
 * -EIO, never a loop. A sync that failed is reported once and not tried again.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/fdio.h"

#define ZEROS_SIZE  65536
#define SLURP_FIRST 4096
#define SLURP_WAIT_MS 2000

/* 0 or -errno of a call that restarts when a signal came. */
#define RESTART(call)                                                   \
	({                                                              \
		__typeof__(call) restart_r_;                            \
		do                                                      \
			restart_r_ = (call);                            \
		while (restart_r_ < 0 && errno == EINTR);               \
		restart_r_ < 0 ? -errno : restart_r_;                   \
	})

int
fdio_openat(int dirfd, const char *name, int flags, mode_t mode)
{
	return RESTART(openat(dirfd, name, flags | O_CLOEXEC, mode));
}

int
fdio_pwrite(int fd, const void *data, size_t len, off_t at)
{
	struct iovec iov = {
		.iov_base = (void *)(uintptr_t)data,
		.iov_len = len,
	};

	return fdio_pwritev(fd, &iov, 1, at);
}

/* Steps over what has been written and what is empty. */
static void
advance_iov(struct iovec **iov, int *n, size_t done)
{
	while (*n > 0 && done >= (*iov)->iov_len) {
		done -= (*iov)->iov_len;
		(*iov)++;
		(*n)--;
	}
	if (*n > 0) {
		(*iov)->iov_base = (char *)(*iov)->iov_base + done;
		(*iov)->iov_len -= done;
	}
}

int
fdio_pwritev(int fd, struct iovec *iov, int n, off_t at)
{
	ssize_t r;

	advance_iov(&iov, &n, 0);
	while (n > 0) {
		r = RESTART(pwritev(fd, iov, n < IOV_MAX ? n : IOV_MAX, at));
		if (r < 0)
			return (int)r;
		if (r == 0)
			return -EIO;
		at += r;
		advance_iov(&iov, &n, (size_t)r);
	}
	return 0;
}

int
fdio_write(int fd, const void *data, size_t len)
{
	const char *p = data;
	ssize_t r;

	while (len > 0) {
		r = RESTART(write(fd, p, len));
		if (r < 0)
			return (int)r;
		if (r == 0)
			return -EIO;
		p += r;
		len -= (size_t)r;
	}
	return 0;
}

ssize_t
fdio_pread(int fd, void *data, size_t len, off_t at)
{
	char *p = data;
	size_t done = 0;
	ssize_t r;

	while (done < len) {
		r = RESTART(pread(fd, p + done, len - done, at + (off_t)done));
		if (r < 0)
			return r;
		if (r == 0)
			break;
		done += (size_t)r;
	}
	return (ssize_t)done;
}

int
fdio_pread_full(int fd, void *data, size_t len, off_t at)
{
	ssize_t r;

	r = fdio_pread(fd, data, len, at);
	if (r < 0)
		return (int)r;
	return (size_t)r == len ? 0 : -EIO;
}

int
fdio_datasync(int fd)
{
	return RESTART(fdatasync(fd));
}

int
fdio_sync(int fd)
{
	return RESTART(fsync(fd));
}

int
fdio_writeback_begin(int fd, off_t at, off_t len)
{
	int r;

	r = RESTART(sync_file_range(fd, at, len, SYNC_FILE_RANGE_WRITE));
	/* A file system that cannot is no error: the last sync does it all. */
	return r == -ENOSYS || r == -EOPNOTSUPP || r == -ESPIPE ? 0 : r;
}

/* Zeros from the end of the file to `end`; the file is as long as before if
 * there is no room. Holes below its end stay: no data may be overwritten. */
static int
extend_with_zeros(int fd, off_t end)
{
	AUTO_FREE char *zeros = xcalloc(1, ZEROS_SIZE);
	struct stat st;
	off_t at;
	int r = 0;

	if (fstat(fd, &st) < 0)
		return -errno;
	for (at = st.st_size; at < end && r == 0; at += ZEROS_SIZE) {
		off_t n = end - at < ZEROS_SIZE ? end - at : ZEROS_SIZE;

		r = fdio_pwrite(fd, zeros, (size_t)n, at);
	}
	if (r < 0)
		(void)fdio_truncate(fd, st.st_size);
	return r;
}

int
fdio_allocate(int fd, off_t at, off_t len)
{
	int r;

	r = RESTART(fallocate(fd, 0, at, len));
	if (r == -EOPNOTSUPP || r == -ENOSYS)
		r = extend_with_zeros(fd, at + len);
	return r;
}

int
fdio_truncate(int fd, off_t len)
{
	return RESTART(ftruncate(fd, len));
}

int
fdio_rename(int olddir, const char *from, int newdir, const char *to)
{
	return RESTART(renameat(olddir, from, newdir, to));
}

int
fdio_unlink(int dirfd, const char *name)
{
	return RESTART(unlinkat(dirfd, name, 0));
}

int
fdio_mkdir(int dirfd, const char *name, mode_t mode)
{
	return RESTART(mkdirat(dirfd, name, mode));
}

static int
write_synced(int dirfd, const char *name, const void *data, size_t len,
    mode_t mode)
{
	AUTO_CLOSE int fd = -1;
	int r;

	/* What a crash left behind may have another owner or mode. */
	r = fdio_unlink(dirfd, name);
	if (r < 0 && r != -ENOENT)
		return r;
	fd = fdio_openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL, mode);
	if (fd < 0)
		return fd;
	r = fdio_write(fd, data, len);
	return r < 0 ? r : fdio_sync(fd);
}

int
fdio_replace(int dirfd, const char *name, const void *data, size_t len,
    mode_t mode)
{
	char tmp[NAME_MAX + 1];
	int n, r;

	assert(strchr(name, '/') == NULL);	/* dirfd is what gets synced */

	n = snprintf(tmp, sizeof(tmp), ".%s.tmp", name);
	if (n < 0 || (size_t)n >= sizeof(tmp))
		return -ENAMETOOLONG;

	r = write_synced(dirfd, tmp, data, len, mode);
	if (r == 0)
		r = fdio_rename(dirfd, tmp, dirfd, name);
	if (r < 0) {
		(void)fdio_unlink(dirfd, tmp);
		return r;
	}
	return fdio_sync(dirfd);
}

/* Of a pipe, whose writer may take its time but not all of ours. */
static ssize_t
read_some(int fd, void *data, size_t size)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	ssize_t r;
	int n;

	for (;;) {
		r = RESTART(read(fd, data, size));
		if (r != -EAGAIN)
			return r;
		n = RESTART(poll(&p, 1, SLURP_WAIT_MS));
		if (n <= 0)
			return n < 0 ? n : -ETIMEDOUT;
	}
}

/* The rest of fd, which may be of no known size (a pipe, /proc). */
static int
read_to_end(int fd, size_t max, char **ret, size_t *ret_len)
{
	AUTO_FREE char *data = NULL;
	size_t len = 0, size = 0;
	ssize_t r;

	for (;;) {
		if (len + 1 >= size) {
			char *p;

			size = size > 0 ? size * 2 : SLURP_FIRST;
			p = realloc(data, size);
			if (p == NULL)
				return -ENOMEM;
			data = p;
		}
		r = read_some(fd, data + len, size - len - 1);
		if (r < 0)
			return (int)r;
		if (r == 0)
			break;
		len += (size_t)r;
		if (len > max)
			return -EFBIG;
	}
	data[len] = '\0';
	*ret = TAKE_PTR(data);
	if (ret_len != NULL)
		*ret_len = len;
	return 0;
}

int
fdio_slurp(int dirfd, const char *name, size_t max, char **ret,
    size_t *ret_len)
{
	AUTO_CLOSE int fd = -1;

	/* To open a pipe that nobody writes to would wait for ever. */
	fd = fdio_openat(dirfd, name, O_RDONLY | O_NOCTTY | O_NONBLOCK, 0);
	if (fd < 0)
		return fd;
	return read_to_end(fd, max, ret, ret_len);
}

int
fdio_space(int fd, uint64_t *ret_free, uint64_t *ret_size)
{
	struct statvfs st;
	int r;

	r = RESTART(fstatvfs(fd, &st));
	if (r < 0)
		return r;
	*ret_free = (uint64_t)st.f_bavail * st.f_frsize;
	*ret_size = (uint64_t)st.f_blocks * st.f_frsize;
	return 0;
}
