/* store.c - opening a spool's directory: layout, lock, identity, ids.
 *
 * Nothing that is there is removed or overwritten here, and an existing spool is
 * opened without writing a byte but the pid in `lock`: a daemon must be able to
 * start on a full disk.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/clock.h"
#include "gateway/base/fdio.h"
#include "gateway/base/log.h"
#include "spool/files_store_int.h"

#define ID_BATCH	 UINT64_C(1000000)
#define ID_BITS		 56	/* below the node */
#define SEGMENT_SIZE_MAX (UINT64_C(64) << 20)
#define SEGMENT_SIZE_MIN (UINT64_C(4) << 20)

DEFINE_CLEANUP(struct store, store_close)

/* ---- where it lives ---- */

/* Where fsync(2), flock(2) and rename(2) do not promise what we rely on. FUSE
 * does not tell what is behind it. */
static const struct {
	uint32_t    magic;
	const char *name;
} network_types[] = {
	{ 0x00006969, "NFS" },
	{ 0x0000517b, "SMB" },
	{ 0xff534d42, "CIFS" },
	{ 0xfe534d42, "SMB2" },
	{ 0x01021997, "9p" },
	{ 0x00c36400, "Ceph" },
	{ 0x5346414f, "AFS" },
	{ 0x6b414653, "AFS" },
	{ 0x73757245, "Coda" },
	{ 0x0000564c, "NCP" },
};

static int
check_file_system(int dirfd, struct buf *why)
{
	struct statfs sf;

	if (fstatfs(dirfd, &sf) < 0)
		return -errno;
	for (size_t i = 0; i < ARRAY_LEN(network_types); i++) {
		if ((uint32_t)sf.f_type != network_types[i].magic)
			continue;
		(void)buf_printf(why, "it is on a network file system (%s); a "
		    "spool needs a local disk", network_types[i].name);
		return -ENOTSUP;
	}
	return 0;
}

/* Its name must survive as well as what is in it. */
static int
sync_parent(int dirfd)
{
	AUTO_CLOSE int parent = -1;

	parent = fdio_openat(dirfd, "..", O_RDONLY | O_DIRECTORY, 0);
	if (parent < 0)
		return parent;
	return fdio_sync(parent);
}

static int
open_directory(struct store *st, const char *directory, struct buf *why)
{
	int r, made;

	made = fdio_mkdir(AT_FDCWD, directory, 0700);
	if (made < 0 && made != -EEXIST) {
		(void)buf_printf(why, "cannot make %s: %s", directory,
		    strerror(-made));
		return made;
	}
	r = fdio_openat(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY, 0);
	if (r < 0) {
		(void)buf_printf(why, "cannot open %s: %s", directory,
		    strerror(-r));
		return r;
	}
	st->dirfd = r;
	if (made == 0) {
		r = sync_parent(st->dirfd);
		if (r < 0)
			return r;
	}
	return check_file_system(st->dirfd, why);
}

/* ---- one daemon ---- */

static void
tell_holder(int fd, struct buf *why)
{
	char text[32] = "";
	uint64_t pid = 0;

	if (fdio_pread(fd, text, sizeof(text) - 1, 0) > 0 &&
	    sscanf(text, "%" SCNu64, &pid) == 1)
		(void)buf_printf(why, "another daemon has it (process %" PRIu64
		    ")", pid);
	else
		(void)buf_add_str(why, "another daemon has it");
}

static int
take_lock(struct store *st, struct buf *why)
{
	char text[32];
	int n, r;

	r = fdio_openat(st->dirfd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
	if (r < 0) {
		(void)buf_printf(why, "lock: %s", strerror(-r));
		return r;
	}
	st->lock_fd = r;
	if (flock(st->lock_fd, LOCK_EX | LOCK_NB) < 0) {
		r = -errno;
		if (r == -EWOULDBLOCK) {
			tell_holder(st->lock_fd, why);
			r = -EBUSY;
		}
		return r;
	}
	/* The pid is for people: without room for it the lock is as good. */
	n = snprintf(text, sizeof(text), "%-10ld\n", (long)getpid());
	(void)fdio_pwrite(st->lock_fd, text, (size_t)n, 0);
	return 0;
}

/* ---- layout ---- */

static int
make_folder(int dirfd, const char *name, bool *ret_made)
{
	int r;

	r = fdio_mkdir(dirfd, name, 0700);
	if (r == -EEXIST)
		return 0;
	if (r == 0)
		*ret_made = true;
	return r;
}

static int
make_layout(struct store *st)
{
	const struct {
		const char *name;
		int	   *fd;
	} folders[] = {
		{ "segments", &st->segments_fd },
		{ "open", &st->open_fd },
		{ "objects", &st->objects_fd },
		{ "damaged", &st->damaged_fd },
	};
	bool made = false, made_objects = false;
	char name[8];
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(folders) && r == 0; i++) {
		r = make_folder(st->dirfd, folders[i].name, &made);
		if (r == 0)
			r = file_open_dir(st->dirfd, folders[i].name,
			    folders[i].fd);
	}
	for (unsigned i = 0; i < 256 && r == 0; i++) {
		(void)snprintf(name, sizeof(name), "%02x", i);
		r = make_folder(st->objects_fd, name, &made_objects);
	}
	if (r == 0 && made_objects)
		r = fdio_sync(st->objects_fd);
	if (r == 0 && made)
		r = fdio_sync(st->dirfd);
	return r;
}

/* ---- identity ---- */

static int
make_uuid(uint8_t ret[static SPOOL_UUID])
{
	if (getrandom(ret, SPOOL_UUID, 0) != SPOOL_UUID)
		return -EIO;
	ret[6] = (uint8_t)((ret[6] & 0x0f) | 0x40);
	ret[8] = (uint8_t)((ret[8] & 0x3f) | 0x80);
	return 0;
}

static uint64_t
choose_segment_size(int dirfd)
{
	uint64_t size = SEGMENT_SIZE_MAX, disk_free, disk_size;

	if (fdio_space(dirfd, &disk_free, &disk_size) < 0)
		return size;
	while (size > SEGMENT_SIZE_MIN && size > disk_size / 32)
		size /= 2;
	return size;
}

/* SPOOL is gone or damaged. The containers tell the UUID; ids go on far above
 * all that can have been given out: above the highest seen, and above what the
 * clock allows at a thousand a millisecond. */
static int
recover_identity(struct store *st, struct identity *id, struct buf *why)
{
	uint64_t highest = 0, by_clock, mask = (UINT64_C(1) << ID_BITS) - 1;
	int64_t now = clock_wall_ms();
	int r;

	r = identity_recover(st->dirfd, id->uuid, &highest);
	if (r == -EUCLEAN)
		(void)buf_add_str(why, "SPOOL is missing and the containers are "
		    "of more than one spool");
	if (r == -ENOENT)
		return make_uuid(id->uuid);
	if (r < 0)
		return r;

	log_debug("SPOOL made anew from the containers",
	    LOG_U64("highest", highest));
	by_clock = now > 0 ? (uint64_t)now << 10 : 0;
	id->floor = highest & mask;
	if (id->floor < by_clock)
		id->floor = by_clock;
	id->floor += UINT64_C(1) << 40;
	return 0;
}

static int
create_identity(struct store *st, unsigned node, uint64_t segment_size,
    struct buf *why)
{
	struct identity id = { .node = node, .floor = 1 };
	int r;

	id.segment_size = segment_size > 0 ? segment_size :
					     choose_segment_size(st->dirfd);
	r = recover_identity(st, &id, why);
	if (r == 0)
		r = identity_write(st->dirfd, &id);
	if (r < 0) {
		if (why->len == 0)
			(void)buf_printf(why, "cannot write SPOOL: %s",
			    strerror(-r));
		return r;
	}
	st->identity = id;
	return 0;
}

static int
load_identity(struct store *st, unsigned node, uint64_t segment_size,
    struct buf *why)
{
	int r;

	r = identity_read(st->dirfd, &st->identity);
	if (r == -EBADMSG)	/* set aside: a person may want to look */
		r = fdio_rename(st->dirfd, "SPOOL", st->dirfd, "SPOOL.damaged");
	else if (r == 0)
		goto found;
	if (r == -ENOTSUP)
		(void)buf_add_str(why, "it is of a newer version of Causeway");
	if (r < 0 && r != -ENOENT)
		return r;
	r = create_identity(st, node, segment_size, why);
	if (r < 0)
		return r;
found:
	/* Ids go on at the floor, whatever was given out below it; the first
	 * one raises it (store_next_id()). */
	st->identity.node = node;
	st->next_id = st->identity.floor;
	st->first_id = st->next_id;
	st->segment_size = st->identity.segment_size;
	memcpy(st->uuid, st->identity.uuid, SPOOL_UUID);
	return 0;
}

/* ---- opening ---- */

static struct store *
new_store(void)
{
	struct store *st = xcalloc(1, sizeof(*st));
	pthread_condattr_t attr;

	st->dirfd = st->lock_fd = st->segments_fd = -1;
	st->open_fd = st->objects_fd = st->damaged_fd = -1;
	TAILQ_INIT(&st->hot);
	LIST_INIT(&st->pins);
	LIST_INIT(&st->writers);
	(void)pthread_mutex_init(&st->id_mu, NULL);
	(void)pthread_mutex_init(&st->mu, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&st->standby, &attr);
	(void)pthread_condattr_destroy(&attr);
	return st;
}

int
store_open(const char *directory, unsigned node, uint64_t segment_size,
    struct store **ret, struct buf *why)
{
	struct store *st AUTO(cleanup_store_close) = new_store();
	int r;

	assert(node <= UINT8_MAX);
	assert(segment_size % RECORD_ALIGN == 0);

	r = open_directory(st, directory, why);
	if (r == 0)
		r = take_lock(st, why);
	if (r == 0)
		r = make_layout(st);
	if (r == 0)
		r = load_identity(st, node, segment_size, why);
	if (r == 0)
		r = segments_load(st, why);
	if (r < 0) {
		if (why->len == 0)
			(void)buf_printf(why, "cannot open the spool in %s: %s",
			    directory, strerror(-r));
		return r;
	}
	*ret = TAKE_PTR(st);
	return 0;
}

void
store_close(struct store *st)
{
	if (st == NULL)
		return;
	assert(LIST_EMPTY(&st->pins) && LIST_EMPTY(&st->writers));

	segments_free(st);
	cleanup_close(&st->segments_fd);
	cleanup_close(&st->open_fd);
	cleanup_close(&st->objects_fd);
	cleanup_close(&st->damaged_fd);
	cleanup_close(&st->lock_fd);
	cleanup_close(&st->dirfd);
	(void)pthread_cond_destroy(&st->standby);
	(void)pthread_mutex_destroy(&st->mu);
	(void)pthread_mutex_destroy(&st->id_mu);
	free(st);
}

int
store_dirfd(const struct store *st)
{
	return st->dirfd;
}

const uint8_t *
store_uuid(const struct store *st)
{
	return st->uuid;
}

int
store_next_id(struct store *st, uint64_t *ret)
{
	LOCK_SCOPE(&st->id_mu);
	struct identity raised = st->identity;
	int r;

	if (st->next_id >= st->identity.floor) {
		raised.floor = st->next_id + ID_BATCH;
		if (raised.floor >> ID_BITS != 0)
			return -EOVERFLOW;
		r = identity_write(st->dirfd, &raised);
		if (r < 0)
			return r == -EIO ? store_suspect(st) : r;
		st->identity = raised;
	}
	*ret = (uint64_t)st->identity.node << ID_BITS | st->next_id++;
	return 0;
}

bool
store_id_is_new(struct store *st, uint64_t id)
{
	return (id & ((UINT64_C(1) << ID_BITS) - 1)) >= st->first_id;
}

int
store_suspect(struct store *st)
{
	LOCK_SCOPE(&st->mu);

	st->suspect = true;
	(void)pthread_cond_broadcast(&st->standby);
	return -EIO;
}

bool
store_is_suspect(struct store *st)
{
	LOCK_SCOPE(&st->mu);

	return st->suspect;
}
