/* faulty_disk.h - fdio.c on a disk that fails when it is told to, or loses what
 * was not synced when the power goes. To be included by one test once, instead of
 * linking fdio.c: its system calls pass through here.
 *
 * Faults: the n-th call of a kind fails with an errno, a write after some of its
 * bytes. Power: from the n-th change on nothing reaches the disk any more
 * (everything is -EIO); disk_power_cut() then takes back, block by block and by
 * the toss of a coin, what was written and not synced, and the names that were
 * made in a directory that was not. Renames and unlinks are the journal's: in
 * order and at once. Any thread may use the disk; it is set up while none does.
 */
#ifndef CW_TEST_FAULTY_DISK_H
#define CW_TEST_FAULTY_DISK_H

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

enum disk_call {
	DISK_WRITE, DISK_SYNC, DISK_ALLOCATE, DISK_TRUNCATE, DISK_RENAME,
	DISK_UNLINK, DISK_CREATE, DISK_READ,
	DISK_CALLS
};

#define DISK_BLOCK 512
#define DISK_MADE  256

struct disk_undo {
	char	 path[256];
	off_t	 at;
	size_t	 len;
	uint8_t	 old[DISK_BLOCK];
};

static struct {
	unsigned count[DISK_CALLS];
	enum disk_call fail_call;
	unsigned fail_at;		/* 0: never */
	int	 fail_errno;
	size_t	 fail_written;		/* of the write that fails */
	bool	 fail_ever;		/* and all after it */
	unsigned fail_block;		/* 4 KiB block, from 1, that cannot be read */
	int	 fail_fd;		/* of this file only, if not 0 */

	bool	 watch;
	unsigned changes, dead_after;	/* 0: never */
	bool	 dead;
	struct disk_undo *undo;
	size_t	 n_undo, room;
	char	 made[DISK_MADE][256];
	size_t	 n_made;
} disk;
static pthread_mutex_t disk_mu = PTHREAD_MUTEX_INITIALIZER;

static inline void
disk_unlock(pthread_mutex_t **mu)
{
	(void)pthread_mutex_unlock(*mu);
}

#define DISK_LOCK                                                               \
	pthread_mutex_t *disk_locked __attribute__((cleanup(disk_unlock))) =    \
	    &disk_mu;                                                           \
	(void)pthread_mutex_lock(disk_locked)

static inline void
disk_reset(void)
{
	free(disk.undo);
	memset(&disk, 0, sizeof(disk));
}

static inline void
disk_fail(enum disk_call call, unsigned at, int error)
{
	disk.count[call] = 0;
	disk.fail_call = call;
	disk.fail_at = at;
	disk.fail_errno = error;
	disk.fail_written = 0;
	disk.fail_ever = false;
}

/* True when this call must fail; errno is set. */
static bool
disk_fails(enum disk_call call)
{
	disk.count[call]++;
	if (disk.watch && call != DISK_READ) {
		disk.changes++;
		if (disk.dead_after != 0 && disk.changes > disk.dead_after)
			disk.dead = true;
		if (disk.dead) {
			errno = EIO;
			return true;
		}
	}
	if (disk.fail_at == 0 || call != disk.fail_call ||
	    disk.count[call] < disk.fail_at ||
	    (disk.count[call] > disk.fail_at && !disk.fail_ever))
		return false;
	errno = disk.fail_errno;
	return true;
}

static void
disk_path(int fd, const char *name, char ret[static 256])
{
	char link[64], path[256] = "";

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	if (fd == AT_FDCWD || name[0] == '/')
		(void)snprintf(ret, 256, "%s", name);
	else if (readlink(link, path, sizeof(path) - 1) < 0)
		ret[0] = '\0';
	else
		(void)snprintf(ret, 256, "%.200s%s%.40s", path,
		    name[0] != '\0' ? "/" : "", name);
}

static void
disk_remember(int fd, off_t at, size_t len)
{
	char path[256];

	if (!disk.watch)
		return;
	disk_path(fd, "", path);
	for (off_t end = at + (off_t)len; at < end;) {
		size_t n = DISK_BLOCK - (size_t)(at % DISK_BLOCK);
		struct disk_undo *u;

		if ((off_t)n > end - at)
			n = (size_t)(end - at);
		if (disk.n_undo == disk.room) {
			disk.room = disk.room > 0 ? disk.room * 2 : 1024;
			disk.undo = realloc(disk.undo,
			    disk.room * sizeof(*disk.undo));
		}
		u = &disk.undo[disk.n_undo++];
		memset(u, 0, sizeof(*u));
		memcpy(u->path, path, sizeof(path));
		u->at = at;
		u->len = n;
		(void)!pread(fd, u->old, n, at);
		at += (off_t)n;
	}
}

static void
disk_forget(const char *path)
{
	size_t kept = 0;

	for (size_t i = 0; i < disk.n_undo; i++) {
		if (strcmp(disk.undo[i].path, path) != 0)
			disk.undo[kept++] = disk.undo[i];
	}
	disk.n_undo = kept;
}

static void
disk_synced(int fd)
{
	char path[256];
	size_t kept = 0, len;

	if (!disk.watch)
		return;
	disk_path(fd, "", path);
	disk_forget(path);
	len = strlen(path);
	for (size_t i = 0; i < disk.n_made; i++) {
		bool in = strncmp(disk.made[i], path, len) == 0 &&
		    disk.made[i][len] == '/' &&
		    strchr(disk.made[i] + len + 1, '/') == NULL;

		if (!in)
			memmove(disk.made[kept++], disk.made[i], 256);
	}
	disk.n_made = kept;
}

/* The same seed loses the same blocks. */
static inline void
disk_power_cut(unsigned seed)
{
	uint64_t x = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;

	for (size_t i = disk.n_undo; i-- > 0;) {
		const struct disk_undo *u = &disk.undo[i];
		int fd;

		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		if (seed > 1 && x % 2 == 0)	/* seed 1: all of it is lost */
			continue;
		fd = open(u->path, O_WRONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		(void)!pwrite(fd, u->old, u->len, u->at);
		(void)close(fd);
	}
	for (size_t i = 0; i < disk.n_made; i++) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		if (seed == 1 || x % 2 == 1)
			(void)unlink(disk.made[i]);
	}
	disk_reset();
}

static ssize_t
disk_pwritev(int fd, const struct iovec *iov, int n, off_t at)
{
	DISK_LOCK;
	size_t len = 0;

	for (int i = 0; i < n; i++)
		len += iov[i].iov_len;
	if (disk_fails(DISK_WRITE)) {
		int error = errno;
		size_t part = disk.fail_written;

		for (int i = 0; i < n && part > 0 && !disk.dead; i++) {
			size_t m = iov[i].iov_len < part ? iov[i].iov_len : part;

			(void)!pwrite(fd, iov[i].iov_base, m, at);
			at += (off_t)m;
			part -= m;
		}
		errno = error;
		return -1;
	}
	disk_remember(fd, at, len);
	return pwritev(fd, iov, n, at);
}

static ssize_t
disk_pread(int fd, void *data, size_t len, off_t at)
{
	DISK_LOCK;
	off_t block = (off_t)(disk.fail_block - 1) * 4096;

	if (disk.fail_block != 0 && (disk.fail_fd == 0 || disk.fail_fd == fd) &&
	    at < block + 4096 && at + (off_t)len > block) {
		errno = EIO;
		return -1;
	}
	return disk_fails(DISK_READ) ? -1 : pread(fd, data, len, at);
}

static ssize_t
disk_write(int fd, const void *data, size_t len)
{
	DISK_LOCK;
	if (disk_fails(DISK_WRITE))
		return -1;
	disk_remember(fd, lseek(fd, 0, SEEK_CUR), len);
	return write(fd, data, len);
}

static int
disk_fdatasync(int fd)
{
	DISK_LOCK;
	if (disk_fails(DISK_SYNC))
		return -1;
	disk_synced(fd);
	return 0;		/* the page cache is our disk */
}

static int
disk_fallocate(int fd, int mode, off_t at, off_t len)
{
	DISK_LOCK;
	return disk_fails(DISK_ALLOCATE) ? -1 : fallocate(fd, mode, at, len);
}

static int
disk_ftruncate(int fd, off_t len)
{
	DISK_LOCK;
	return disk_fails(DISK_TRUNCATE) ? -1 : ftruncate(fd, len);
}

static int
disk_renameat(int olddir, const char *from, int newdir, const char *to)
{
	DISK_LOCK;
	char a[256], b[256];

	if (disk_fails(DISK_RENAME))
		return -1;
	disk_path(olddir, from, a);
	disk_path(newdir, to, b);
	if (renameat(olddir, from, newdir, to) < 0)
		return -1;
	disk_forget(b);
	for (size_t i = 0; i < disk.n_undo; i++) {
		if (strcmp(disk.undo[i].path, a) == 0)
			memcpy(disk.undo[i].path, b, sizeof(b));
	}
	for (size_t i = 0; i < disk.n_made; i++) {
		if (strcmp(disk.made[i], a) == 0)
			disk.made[i][0] = '\0';
	}
	return 0;
}

static int
disk_unlinkat(int dirfd, const char *name, int flags)
{
	DISK_LOCK;
	char path[256];

	if (disk_fails(DISK_UNLINK))
		return -1;
	disk_path(dirfd, name, path);
	disk_forget(path);
	return unlinkat(dirfd, name, flags);
}

static int
disk_openat(int dirfd, const char *name, int flags, mode_t mode)
{
	DISK_LOCK;
	bool is_new = (flags & O_CREAT) != 0 &&
	    faccessat(dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0;

	if (is_new && disk_fails(DISK_CREATE))
		return -1;
	if (is_new && disk.watch && disk.n_made < DISK_MADE)
		disk_path(dirfd, name, disk.made[disk.n_made++]);
	return openat(dirfd, name, flags, mode);
}

#define pwritev	  disk_pwritev
#define pread	  disk_pread
#define write	  disk_write
#define fdatasync disk_fdatasync
#define fsync	  disk_fdatasync
#define fallocate disk_fallocate
#define ftruncate disk_ftruncate
#define renameat  disk_renameat
#define unlinkat  disk_unlinkat
#define openat	  disk_openat
#include "gateway/base/fdio.c"
#undef pwritev
#undef pread
#undef write
#undef fdatasync
#undef fsync
#undef fallocate
#undef ftruncate
#undef renameat
#undef unlinkat
#undef openat

/* ---- a directory for a test ---- */

static int
disk_remove_entry(const char *path, const struct stat *sb, int type,
    struct FTW *ftw)
{
	(void)sb;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline void
disk_remove_tree(const char *path)
{
	(void)nftw(path, disk_remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* In memory where there is such a place: these tests make many files. */
static inline void
disk_make_tree(char ret[static 64])
{
	(void)snprintf(ret, 64, "/dev/shm/causeway-test-XXXXXX");
	if (mkdtemp(ret) != NULL)
		return;
	(void)snprintf(ret, 64, "/tmp/causeway-test-XXXXXX");
	if (mkdtemp(ret) == NULL)
		abort();
}

#endif
