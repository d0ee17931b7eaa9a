/* files.c - names, directories, and reading on where the disk cannot. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/fdio.h"
#include "gateway/base/log.h"
#include "spool/files_int.h"

#define ID_DIGITS 16

void
file_name(uint64_t id, const char *suffix, char ret[static FILE_NAME_SIZE])
{
	(void)snprintf(ret, FILE_NAME_SIZE, "%016" PRIx64 "%s", id, suffix);
}

void
file_own_name(uint64_t id, char ret[static FILE_NAME_SIZE])
{
	(void)snprintf(ret, FILE_NAME_SIZE, "%02x/%016" PRIx64 FILE_OWN,
	    (unsigned)(id & 0xff), id);
}

int
file_name_parse(const char *name, const char *suffix, uint64_t *ret)
{
	uint64_t id = 0;

	for (int i = 0; i < ID_DIGITS; i++) {
		const char *digits = "0123456789abcdef";
		const char *d = name[i] != '\0' ? strchr(digits, name[i]) :
						  NULL;

		if (d == NULL)
			return -EINVAL;
		id = id << 4 | (uint64_t)(d - digits);
	}
	if (strcmp(name + ID_DIGITS, suffix) != 0 || id == 0)
		return -EINVAL;
	*ret = id;
	return 0;
}

int
file_open(int dirfd, const char *name, int flags, int *ret_fd,
    uint64_t *ret_size)
{
	AUTO_CLOSE int fd = -1;
	struct stat sb;

	/* A FIFO of that name must not hold us up. */
	fd = fdio_openat(dirfd, name, flags | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY,
	    0);
	if (fd < 0)
		return fd;
	if (fstat(fd, &sb) < 0)
		return -errno;
	if (!S_ISREG(sb.st_mode))
		return -ELOOP;
	if (ret_size != NULL)
		*ret_size = (uint64_t)sb.st_size;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int
file_open_dir(int dirfd, const char *name, int *ret_fd)
{
	int fd;

	fd = fdio_openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd < 0)
		return fd;
	*ret_fd = fd;
	return 0;
}

struct names {
	uint64_t *id;
	size_t	  n, room;
};

static void
free_names(struct names *names)
{
	free(names->id);
}

static int
add_name(struct names *names, uint64_t id)
{
	if (names->n == names->room) {
		size_t room = names->room > 0 ? names->room * 2 : 64;
		uint64_t *p = reallocarray(names->id, room, sizeof(*p));

		if (p == NULL)
			return -ENOMEM;
		names->id = p;
		names->room = room;
	}
	names->id[names->n++] = id;
	return 0;
}

static int
compare_ids(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static int
read_names(DIR *dir, const char *suffix, struct names *names)
{
	const struct dirent *e;
	uint64_t id;
	int r;

	for (;;) {
		errno = 0;
		e = readdir(dir);
		if (e == NULL)
			return -errno;
		if (file_name_parse(e->d_name, suffix, &id) < 0) {
			if (e->d_name[0] != '.')
				log_debug("left alone in the spool",
				    LOG_STR("file", e->d_name));
			continue;
		}
		r = add_name(names, id);
		if (r < 0)
			return r;
	}
}

static int
list_names(int dirfd, const char *suffix, struct names *names)
{
	DIR *dir;
	int fd, r;

	/* Opened anew: a dup would share its position with other walks. */
	r = file_open_dir(dirfd, ".", &fd);
	if (r < 0)
		return r;
	dir = fdopendir(fd);
	if (dir == NULL) {
		r = -errno;
		(void)close(fd);
		return r;
	}
	r = read_names(dir, suffix, names);
	(void)closedir(dir);
	return r;
}

int
file_walk(int dirfd, const char *suffix, file_walk_fn *fn, void *arg)
{
	struct names names AUTO(free_names) = { 0 };
	int r;

	r = list_names(dirfd, suffix, &names);
	if (r < 0)
		return r;
	if (names.n > 0)
		qsort(names.id, names.n, sizeof(*names.id), compare_ids);
	for (size_t i = 0; i < names.n && r == 0; i++)
		r = fn(arg, dirfd, names.id[i]);
	return r;
}

int
file_walk_objects(int objects_fd, file_walk_fn *fn, void *arg)
{
	char name[8];
	int r = 0;

	for (unsigned i = 0; i < 256 && r == 0; i++) {
		AUTO_CLOSE int fd = -1;

		(void)snprintf(name, sizeof(name), "%02x", i);
		r = file_open_dir(objects_fd, name, &fd);
		if (r == -ENOENT || r == -ENOTDIR || r == -ELOOP)
			r = 0;
		else if (r == 0)
			r = file_walk(fd, FILE_OWN, fn, arg);
	}
	return r;
}

ssize_t
file_pread_rest(int fd, void *data, size_t len, uint64_t at, uint64_t *ret_bad)
{
	char *p = data;
	size_t done = 0;
	ssize_t r;

	r = fdio_pread(fd, data, len, (off_t)at);
	if (r != -EIO)
		return r;

	while (done < len) {
		size_t n = RECORD_ALIGN - (at + done) % RECORD_ALIGN;

		if (n > len - done)
			n = len - done;
		r = fdio_pread(fd, p + done, n, (off_t)(at + done));
		if (r == -EIO) {
			memset(p + done, 0, n);
			(*ret_bad)++;
			r = (ssize_t)n;
		}
		if (r < 0)
			return r;
		done += (size_t)r;
		if ((size_t)r < n)
			break;
	}
	return (ssize_t)done;
}
