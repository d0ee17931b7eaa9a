/* fdio.h - file I/O that finishes or says why; every byte the spool writes
 * passes through here, so that a test can stand in for the disk.
 *
 * All calls restart on EINTR, complete short transfers, and return 0 (or a
 * count) or a negative errno. -EIO from a sync is final: the page cache may show
 * what the disk does not have, so nobody retries it.
 */
#ifndef CW_BASE_FDIO_H
#define CW_BASE_FDIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

int	fdio_openat(int dirfd, const char *name, int flags, mode_t mode);
int	fdio_pwrite(int fd, const void *data, size_t len, off_t at);
/* iov is consumed: its elements change as the transfer goes on. */
int	fdio_pwritev(int fd, struct iovec *iov, int n, off_t at);
int	fdio_write(int fd, const void *data, size_t len);
/* Bytes read: less than len only at the end of the file. */
ssize_t fdio_pread(int fd, void *data, size_t len, off_t at);
/* Exactly len bytes or -EIO. */
int	fdio_pread_full(int fd, void *data, size_t len, off_t at);

int fdio_datasync(int fd);
int fdio_sync(int fd);			/* fsync: files and directories */
int fdio_writeback_begin(int fd, off_t at, off_t len);	/* a hint */
int fdio_allocate(int fd, off_t at, off_t len);	/* -ENOSPC; falls back to zeros */
int fdio_truncate(int fd, off_t len);
int fdio_rename(int olddir, const char *from, int newdir, const char *to);
int fdio_unlink(int dirfd, const char *name);
int fdio_mkdir(int dirfd, const char *name, mode_t mode);	/* -EEXIST */

/* Write tmp, sync, rename over name, sync the directory. */
int fdio_replace(int dirfd, const char *name, const void *data, size_t len,
    mode_t mode);
/* The whole file, NUL-terminated; -EFBIG past max; -ETIMEDOUT for a pipe that nobody
 * writes to any more. The caller frees. */
int fdio_slurp(int dirfd, const char *name, size_t max, char **ret,
    size_t *ret_len);

/* Bytes free for an unprivileged writer, and the size, of fd's file system. */
int fdio_space(int fd, uint64_t *ret_free, uint64_t *ret_size);

#endif
