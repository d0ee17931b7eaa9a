/* salvage.c - every image out of a bare spool directory.
 *
 * Needs neither index nor daemon nor a writable disk: it opens for reading alone
 * and takes no lock. Two passes: the heads of all records, sorted by id, so that
 * versions of one UID are numbered as they arrived; then the data, each compared
 * with its checksum while it is copied. What was expunged is left out: the site
 * has let go of it, and its bytes may be half written over.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/fdio.h"
#include "spool/files_int.h"
#include "spool/salvage_int.h"
#include "spool/settle_int.h"
#include "spool/spool.h"

enum folder { SEGMENTS, OPEN, OBJECTS, DAMAGED, FOLDERS };
static const char *const folder_name[FOLDERS] = { "segments", "open", "objects",
	"damaged" };

struct item {
	uint64_t    id;
	uint64_t    segment, offset;	/* in SEGMENTS */
	enum folder folder;
	bool	    raw;		/* no head to be read */
};

struct salvage {
	const char *directory;
	int	    dirfd, folder_fd[FOLDERS];
	uint8_t	    uuid[SPOOL_UUID];
	uint64_t   *expunged;		/* ascending */
	size_t	    n_expunged, expunged_room;
	struct item *item;
	size_t	    n_items, item_room;
	uint64_t    segment;		/* being scanned, or open as segment_fd */
	int	    segment_fd;
	enum folder folder;		/* being walked */
	struct out  out;
	spool_salvage_fn *fn;
	void	   *arg;
};

static void
tell(struct salvage *sv, const char *folder, const char *name,
    const char *problem)
{
	struct buf path = BUF_INIT(8192);

	(void)buf_printf(&path, "%s/%s%s%s", sv->directory, folder,
	    name[0] != '\0' ? "/" : "", name);
	sv->fn(sv->arg, buf_error(&path) < 0 ? name : path.data, problem);
	buf_free(&path);
}

/* Room for one more at the end of a growing array. */
static int
grow(void *array, size_t n, size_t *room, size_t size)
{
	size_t wanted = *room > 0 ? *room * 2 : 256;
	void *p;

	if (n < *room)
		return 0;
	memcpy(&p, array, sizeof(p));
	p = reallocarray(p, wanted, size);
	if (p == NULL)
		return -ENOMEM;
	memcpy(array, &p, sizeof(p));
	*room = wanted;
	return 0;
}

/* ---- what was let go of ---- */

static int
note_expunged(void *arg, const struct settle_entry *e)
{
	struct salvage *sv = arg;
	int r;

	if (e->verb != SETTLE_EXPUNGED)
		return 0;
	r = grow(&sv->expunged, sv->n_expunged, &sv->expunged_room,
	    sizeof(*sv->expunged));
	if (r == 0)
		sv->expunged[sv->n_expunged++] = e->id;
	return r;
}

static int
compare_ids(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static int
read_settled(struct salvage *sv)
{
	uint64_t bad = 0;
	int r;

	r = settle_read(sv->dirfd, note_expunged, sv, &bad);
	if (r == -ENOMEM)
		return r;
	/* More than was wanted comes out then, never less. */
	if (r < 0 || bad > 0)
		tell(sv, "settle.log", "", r < 0 ? strerror(-r) :
		    "has lines that cannot be read: what was expunged may "
		    "come back");
	if (sv->n_expunged > 0)
		qsort(sv->expunged, sv->n_expunged, sizeof(*sv->expunged),
		    compare_ids);
	return 0;
}

static bool
is_expunged(const struct salvage *sv, uint64_t id)
{
	return sv->n_expunged > 0 && bsearch(&id, sv->expunged, sv->n_expunged,
	    sizeof(*sv->expunged), compare_ids) != NULL;
}

/* ---- first pass: what is there ---- */

static int
add_item(struct salvage *sv, const struct item *item)
{
	int r;

	if (is_expunged(sv, item->id))
		return 0;
	r = grow(&sv->item, sv->n_items, &sv->item_room, sizeof(*sv->item));
	if (r == 0)
		sv->item[sv->n_items++] = *item;
	return r;
}

static int
note_record(void *arg, const struct record *r, uint64_t offset, bool intact)
{
	struct salvage *sv = arg;
	const struct item item = { .id = r->id, .segment = sv->segment,
		.offset = offset, .folder = SEGMENTS };

	(void)intact;
	return add_item(sv, &item);
}

static int
look_at_segment(void *arg, int dirfd, uint64_t id)
{
	struct salvage *sv = arg;
	struct segment_head head = { 0 };
	char name[FILE_NAME_SIZE];
	AUTO_CLOSE int fd = -1;
	int r;

	file_name(id, FILE_SEGMENT, name);
	r = file_open(dirfd, name, O_RDONLY, &fd, NULL);
	if (r == 0)
		r = segment_head_read(fd, sv->uuid, &head);
	sv->segment = id;
	if (r == 0 || r == -EBADMSG)
		r = scan_segment(fd, sv->uuid, id, head.generation, false,
		    note_record, sv);
	if (r == -ENOMEM)
		return r;
	if (r < 0)
		tell(sv, folder_name[SEGMENTS], name, r == -ENOTSUP ?
		    "of a newer version of Causeway" : strerror(-r));
	return 0;
}

/* An unfinished reception is no image and was promised to nobody. */
static int
look_at_own(void *arg, int dirfd, uint64_t id)
{
	struct salvage *sv = arg;
	struct item item = { .id = id, .folder = sv->folder };
	char name[FILE_NAME_SIZE];
	AUTO_CLOSE int fd = -1;
	struct record rec;
	int r;

	file_name(id, FILE_OWN, name);
	r = file_open(dirfd, name, O_RDONLY, &fd, NULL);
	if (r == 0)
		r = own_head_read(fd, sv->uuid, &rec);
	if (r == -EBADMSG && sv->folder == OPEN)
		return 0;
	item.raw = r == -EBADMSG || (r == 0 && rec.id != id);
	if (r == 0 || item.raw)
		return add_item(sv, &item);
	tell(sv, folder_name[sv->folder], name, r == -ENOTSUP ?
	    "of a newer version of Causeway" : strerror(-r));
	return 0;
}

static int
look_at_folder(struct salvage *sv, enum folder folder)
{
	int r;

	r = file_open_dir(sv->dirfd, folder_name[folder],
	    &sv->folder_fd[folder]);
	if (r < 0) {
		tell(sv, folder_name[folder], "", strerror(-r));
		return 0;
	}
	sv->folder = folder;
	if (folder == SEGMENTS)
		return file_walk(sv->folder_fd[folder], FILE_SEGMENT,
		    look_at_segment, sv);
	if (folder == OBJECTS)
		return file_walk_objects(sv->folder_fd[folder], look_at_own, sv);
	return file_walk(sv->folder_fd[folder], FILE_OWN, look_at_own, sv);
}

static int
compare_items(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	if (x->id != y->id)
		return x->id < y->id ? -1 : 1;
	return (x->offset > y->offset) - (x->offset < y->offset);
}

/* ---- second pass: the bytes ---- */

static int
open_item(struct salvage *sv, const struct item *item, int *ret_fd)
{
	char name[FILE_NAME_SIZE];
	int r, fd;

	if (item->folder != SEGMENTS) {
		if (item->folder == OBJECTS)
			file_own_name(item->id, name);
		else
			file_name(item->id, FILE_OWN, name);
		return file_open(sv->folder_fd[item->folder], name, O_RDONLY,
		    ret_fd, NULL);
	}
	if (sv->segment_fd < 0 || sv->segment != item->segment) {
		cleanup_close(&sv->segment_fd);
		sv->segment_fd = -1;
		file_name(item->segment, FILE_SEGMENT, name);
		r = file_open(sv->folder_fd[SEGMENTS], name, O_RDONLY,
		    &sv->segment_fd, NULL);
		if (r < 0)
			return r;
		sv->segment = item->segment;
	}
	fd = fcntl(sv->segment_fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

static int
read_record(struct salvage *sv, const struct item *item, int fd,
    struct record *ret)
{
	uint8_t head[RECORD_HEAD];
	int r;

	r = fdio_pread_full(fd, head, sizeof(head), (off_t)item->offset);
	return r < 0 ? r : record_decode(head, sv->uuid, ret);
}

/* An error of the output ends it; one of the input hurts this image alone. */
static int
save_item(struct salvage *sv, const struct item *item)
{
	struct buf file = BUF_INIT(8192), problem = BUF_INIT(256);
	AUTO_CLOSE int fd = -1;
	struct record rec;
	char name[FILE_NAME_SIZE];
	int r, res = 0;

	r = open_item(sv, item, &fd);
	if (r == 0 && !item->raw)
		r = read_record(sv, item, fd, &rec);
	if (r < 0) {
		file_name(item->id, "", name);
		tell(sv, folder_name[item->folder], name, strerror(-r));
		return 0;
	}
	if (item->raw) {
		(void)buf_add_str(&problem, "its head cannot be read: these are "
		    "the bare bytes");
		res = out_raw(&sv->out, item->id, fd, &file);
	} else {
		res = out_record(&sv->out, &rec, fd, item->offset +
		    (item->folder == SEGMENTS ? RECORD_HEAD : RECORD_ALIGN),
		    &file, &problem);
	}
	if (res == 0 && file.data != NULL)
		sv->fn(sv->arg, file.data, problem.len > 0 ? problem.data : NULL);
	buf_free(&file);
	buf_free(&problem);
	return res;
}

/* ---- all of it ---- */

static int
open_spool(struct salvage *sv, struct buf *why)
{
	struct identity id;
	uint64_t highest;
	int r;

	r = fdio_openat(AT_FDCWD, sv->directory, O_RDONLY | O_DIRECTORY, 0);
	if (r < 0) {
		(void)buf_printf(why, "cannot open %s: %s", sv->directory,
		    strerror(-r));
		return r;
	}
	sv->dirfd = r;
	r = identity_read(sv->dirfd, &id);
	if (r == 0)
		memcpy(sv->uuid, id.uuid, SPOOL_UUID);
	else if (r == -ENOENT || r == -EBADMSG)
		r = identity_recover(sv->dirfd, sv->uuid, &highest);
	if (r == -ENOENT)
		(void)buf_printf(why, "%s is no spool", sv->directory);
	else if (r == -EUCLEAN)
		(void)buf_printf(why, "SPOOL is missing in %s and the containers "
		    "are of more than one spool", sv->directory);
	else if (r < 0)
		(void)buf_printf(why, "cannot read SPOOL in %s: %s",
		    sv->directory, r == -ENOTSUP ?
		    "it is of a newer version of Causeway" : strerror(-r));
	return r;
}

static int
collect_items(struct salvage *sv)
{
	int r;

	r = read_settled(sv);
	for (int i = 0; i < FOLDERS && r == 0; i++)
		r = look_at_folder(sv, (enum folder)i);
	if (r == 0 && sv->n_items > 0)
		qsort(sv->item, sv->n_items, sizeof(*sv->item), compare_items);
	return r;
}

static int
save_items(struct salvage *sv, const char *out, struct buf *why)
{
	int r, synced;

	r = out_open(out, &sv->out);
	for (size_t i = 0; i < sv->n_items && r == 0; i++)
		r = save_item(sv, &sv->item[i]);
	synced = out_close(&sv->out);
	if (r == 0)
		r = synced;
	if (r < 0)
		(void)buf_printf(why, "cannot write below %s: %s", out,
		    strerror(-r));
	return r;
}

int
spool_salvage(const char *directory, const char *out, spool_salvage_fn *fn,
    void *arg, struct buf *why)
{
	struct salvage sv = { .directory = directory, .dirfd = -1,
		.segment_fd = -1, .folder_fd = { -1, -1, -1, -1 },
		.out = { .fd = -1 }, .fn = fn, .arg = arg };
	int r;

	r = open_spool(&sv, why);
	if (r == 0) {
		r = collect_items(&sv);
		if (r < 0)
			(void)buf_printf(why, "cannot read %s: %s", directory,
			    strerror(-r));
	}
	if (r == 0)
		r = save_items(&sv, out, why);

	for (int i = 0; i < FOLDERS; i++)
		cleanup_close(&sv.folder_fd[i]);
	cleanup_close(&sv.segment_fd);
	cleanup_close(&sv.dirfd);
	free(sv.expunged);
	free(sv.item);
	return r;
}
