/* space.c - how full the disk is, and the ballast.
 *
 * The ballast is a file of real blocks. On a full disk it is given up, so that
 * the settle log and the index can still be written: settling is what makes room.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/fdio.h"
#include "spool/files_store_int.h"

#define BALLAST "ballast"

int
store_space(struct store *st, uint64_t *ret_free, uint64_t *ret_size)
{
	return fdio_space(st->dirfd, ret_free, ret_size);
}

void
store_set_floor(struct store *st, uint64_t bytes)
{
	atomic_store(&st->floor, bytes);
}

/* The reserve is looked at once in a while, and a fast sender takes all of it in
 * between: the floor is looked at with each claim. */
int
store_claim(struct store *st, int fd, uint64_t at, uint64_t len)
{
	uint64_t floor = atomic_load(&st->floor), disk_free, disk_size;

	if (floor > 0 && store_space(st, &disk_free, &disk_size) == 0 &&
	    disk_free < floor + len)
		return -ENOSPC;
	return fdio_allocate(fd, (off_t)at, (off_t)len);
}

static bool
has_blocks(int fd, uint64_t size)
{
	struct stat sb;

	return fstat(fd, &sb) == 0 && (uint64_t)sb.st_size == size &&
	    (uint64_t)sb.st_blocks * 512 >= size;
}

int
store_ballast_ensure(struct store *st, uint64_t size)
{
	AUTO_CLOSE int fd = -1;
	int r;

	fd = fdio_openat(st->dirfd, BALLAST, O_RDWR | O_CREAT | O_NOFOLLOW,
	    0600);
	if (fd < 0)
		return fd;
	if (has_blocks(fd, size))
		return 0;
	/* Allocation goes on from the file's end where there is no fallocate(2):
	 * begin anew, or a hole would stay one. */
	r = fdio_truncate(fd, 0);
	if (r == 0 && size > 0)
		r = fdio_allocate(fd, 0, (off_t)size);
	if (r == 0)
		r = fdio_sync(fd);
	if (r < 0)	/* half a ballast is none, and takes room */
		(void)fdio_unlink(st->dirfd, BALLAST);
	return r;
}

int
store_ballast_release(struct store *st)
{
	int r;

	r = fdio_unlink(st->dirfd, BALLAST);
	if (r == -ENOENT)
		return 0;
	/* The blocks are free when the file system's journal says so. */
	return r < 0 ? r : fdio_sync(st->dirfd);
}
