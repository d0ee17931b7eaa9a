/* salvage_out.c - the tree of files that salvage writes. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/fdio.h"
#include "gateway/dicom/part10.h"
#include "spool/files_int.h"
#include "spool/salvage_int.h"

#define PARTIAL	  ".causeway-partial"
#define COPY_SIZE 262144
#define SAFE_UID  (DICOM_UID_MAX + 1)

/* ---- names ---- */

/* What a peer called a UID becomes a name that is a name everywhere. */
static void
make_safe(const char *uid, char ret[static SAFE_UID])
{
	size_t n = 0;

	for (; uid[n] != '\0'; n++)
		ret[n] = (uid[n] >= '0' && uid[n] <= '9') ||
		    (uid[n] == '.' && n > 0) ? uid[n] : '_';
	if (n == 0)
		ret[n++] = '_';
	ret[n] = '\0';
}

static int
enter_folder(int dirfd, const char *name, int *ret_fd)
{
	int r;

	r = fdio_mkdir(dirfd, name, 0700);
	if (r < 0 && r != -EEXIST)
		return r;
	return file_open_dir(dirfd, name, ret_fd);
}

static int
enter_folders(struct out *o, const char *const *names, size_t n, int *ret_fd)
{
	AUTO_CLOSE int fd = -1;
	int r;

	r = file_open_dir(o->fd, ".", &fd);
	for (size_t i = 0; i < n && r == 0; i++) {
		int next = -1;

		r = enter_folder(fd, names[i], &next);
		if (r == 0) {
			cleanup_close(&fd);
			fd = next;
		}
	}
	if (r == 0)
		*ret_fd = TAKE_FD(fd);
	return r;
}

/* ---- comparing ---- */

static bool
same_bytes(int a, int b, uint64_t size)
{
	AUTO_FREE uint8_t *x = xcalloc(1, COPY_SIZE), *y = xcalloc(1, COPY_SIZE);

	for (uint64_t at = 0; at < size;) {
		size_t n = size - at < COPY_SIZE ? (size_t)(size - at) :
						   COPY_SIZE;

		if (fdio_pread_full(a, x, n, (off_t)at) < 0 ||
		    fdio_pread_full(b, y, n, (off_t)at) < 0 ||
		    memcmp(x, y, n) != 0)
			return false;
		at += n;
	}
	return true;
}

/* 1: the partial file is there under this name; 0: something else is; -ENOENT:
 * the name is free. */
static int
compare_existing(int partial, int dirfd, const char *name)
{
	AUTO_CLOSE int fd = -1;
	struct stat sb;
	uint64_t size = 0;
	int r;

	r = file_open(dirfd, name, O_RDONLY, &fd, &size);
	if (r == -ENOENT)
		return r;
	if (r < 0)	/* a folder, a link, not to be read: taken */
		return 0;
	return fstat(partial, &sb) == 0 && (uint64_t)sb.st_size == size &&
	    same_bytes(partial, fd, size);
}

/* Gives the partial file the first name that is free, or drops it when it is
 * there already. */
static int
settle_name(struct out *o, int partial, int dirfd, const char *stem,
    const char *suffix, char *ret, size_t size)
{
	int r = 0;

	for (unsigned version = 1; r == 0; version++) {
		(void)snprintf(ret, size, "%s.v%u%s", stem, version, suffix);
		r = compare_existing(partial, dirfd, ret);
	}
	if (r > 0)
		return fdio_unlink(o->fd, PARTIAL);
	return fdio_rename(o->fd, PARTIAL, dirfd, ret);
}

/* ---- copying ---- */

static int
open_partial(struct out *o)
{
	int r;

	r = fdio_unlink(o->fd, PARTIAL);	/* of a run that was interrupted */
	if (r < 0 && r != -ENOENT)
		return r;
	return fdio_openat(o->fd, PARTIAL, O_RDWR | O_CREAT | O_EXCL, 0600);
}

struct copied {
	uint64_t bytes, bad_blocks;
	uint8_t	 checksum[HASH_SIZE];
};

static void
cleanup_hash(struct hash **h)
{
	hash_free(*h);
}

/* As much of length bytes as there is. */
static int
copy_data(int from, uint64_t at, uint64_t length, int to, uint64_t to_at,
    struct copied *ret)
{
	AUTO_FREE uint8_t *buf = xcalloc(1, COPY_SIZE);
	struct hash *h AUTO(cleanup_hash) = hash_new();
	struct copied c = { 0 };
	int r;

	while (c.bytes < length) {
		size_t want = length - c.bytes < COPY_SIZE ?
		    (size_t)(length - c.bytes) : COPY_SIZE;
		ssize_t n = file_pread_rest(from, buf, want, at + c.bytes,
		    &c.bad_blocks);

		if (n <= 0)
			break;
		r = fdio_pwrite(to, buf, (size_t)n, (off_t)(to_at + c.bytes));
		if (r < 0)
			return r;
		hash_update(h, buf, (size_t)n);
		c.bytes += (uint64_t)n;
	}
	hash_digest(h, c.checksum);
	*ret = c;
	return 0;
}

static void
tell_problem(const struct record *r, const struct copied *c, struct buf *problem)
{
	if (c->bytes < r->length)
		(void)buf_printf(problem, "cut off: %" PRIu64 " of %" PRIu64
		    " bytes are left", c->bytes, r->length);
	else if (c->bad_blocks > 0)
		(void)buf_printf(problem, "%" PRIu64 " blocks of it cannot be "
		    "read and are zeros here", c->bad_blocks);
	else if (memcmp(c->checksum, r->checksum, HASH_SIZE) != 0)
		(void)buf_add_str(problem,
		    "its bytes do not match their checksum");
}

static int
write_part10(int to, const struct record *r, uint64_t *ret_size)
{
	struct buf head = BUF_INIT(DICOM_PART10_MAX);
	struct dicom_part10 p = { 0 };
	int res;

	_Static_assert(sizeof(p.sop_class) == sizeof(r->head.sop_class) &&
	    sizeof(p.sop_instance) == sizeof(r->head.sop_instance) &&
	    sizeof(p.syntax) == sizeof(r->head.syntax), "UIDs");
	memcpy(p.sop_class, r->head.sop_class, sizeof(p.sop_class));
	memcpy(p.sop_instance, r->head.sop_instance, sizeof(p.sop_instance));
	memcpy(p.syntax, r->head.syntax, sizeof(p.syntax));
	res = dicom_part10_write(&head, &p);
	if (res == 0)
		res = fdio_pwrite(to, head.data, head.len, 0);
	*ret_size = head.len;
	buf_free(&head);
	return res;
}

static int
name_record(struct out *o, const struct record *r, int partial, bool damaged,
    struct buf *file)
{
	char study[SAFE_UID], series[SAFE_UID], instance[SAFE_UID];
	char name[SAFE_UID + 32];
	const char *const folders[] = { "damaged", study, series };
	AUTO_CLOSE int fd = -1;
	int res;

	make_safe(r->study_uid, study);
	make_safe(r->series_uid, series);
	make_safe(r->head.sop_instance, instance);
	res = damaged ? enter_folders(o, folders, 3, &fd) :
			enter_folders(o, folders + 1, 2, &fd);
	if (res == 0)
		res = settle_name(o, partial, fd, instance, ".dcm", name,
		    sizeof(name));
	if (res == 0)
		(void)buf_printf(file, "%s/%s%s/%s/%s", o->path,
		    damaged ? "damaged/" : "", study, series, name);
	return res;
}

int
out_record(struct out *o, const struct record *r, int fd, uint64_t at,
    struct buf *file, struct buf *problem)
{
	AUTO_CLOSE int partial = -1;
	struct copied copied;
	uint64_t head_size;
	int res;

	partial = open_partial(o);
	if (partial < 0)
		return partial;
	res = write_part10(partial, r, &head_size);
	if (res == 0)
		res = copy_data(fd, at, r->length, partial, head_size, &copied);
	if (res < 0)
		return res;
	tell_problem(r, &copied, problem);
	return name_record(o, r, partial, problem->len > 0, file);
}

int
out_raw(struct out *o, uint64_t id, int fd, struct buf *file)
{
	static const char *const folders[] = { "damaged" };
	AUTO_CLOSE int partial = -1, dirfd = -1;
	char stem[FILE_NAME_SIZE], name[64];
	struct copied copied;
	int r;

	partial = open_partial(o);
	if (partial < 0)
		return partial;
	r = copy_data(fd, 0, INT64_MAX, partial, 0, &copied);
	if (r == 0)
		r = enter_folders(o, folders, 1, &dirfd);
	file_name(id, "", stem);
	if (r == 0)
		r = settle_name(o, partial, dirfd, stem, ".raw", name,
		    sizeof(name));
	if (r == 0)
		(void)buf_printf(file, "%s/damaged/%s", o->path, name);
	return r;
}

/* ---- the tree ---- */

int
out_open(const char *path, struct out *ret)
{
	int r;

	r = fdio_mkdir(AT_FDCWD, path, 0700);
	if (r < 0 && r != -EEXIST)
		return r;
	r = fdio_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0);
	if (r < 0)
		return r;
	ret->fd = r;
	ret->path = path;
	return 0;
}

int
out_close(struct out *o)
{
	int r = 0;

	if (o->fd < 0)
		return 0;
	(void)fdio_unlink(o->fd, PARTIAL);
	/* One flush for a hundred thousand files. */
	if (syncfs(o->fd) < 0)
		r = -errno;
	cleanup_close(&o->fd);
	o->fd = -1;
	return r;
}
