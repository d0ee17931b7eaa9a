/* settle.c - the append-only log of what became of each promise.
 *
 * What was appended lies in memory until settle_sync() or until it is many, then
 * behind the durable end of the file, where it counts for nothing until the sync.
 * A batch that failed is cut off again: the log never says more than what was
 * relied on, but for a batch that a power cut interrupted, whose whole lines were
 * true when they were written.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/fdio.h"
#include "spool/files_int.h"
#include "spool/settle_line_int.h"

#define LOG_NAME     "settle.log"
#define NEW_NAME     ".settle.log.new"
#define DAMAGED_NAME "settle.log.damaged"
#define BATCH_MAX    (1u << 20)
#define WRITE_AT     (BATCH_MAX / 2)

struct settle_log {
	int	   dirfd, fd;
	uint64_t   durable;	/* bytes of the file that are synced */
	uint64_t   end;		/* bytes written; more than durable: unsynced ones */
	uint64_t   bad;		/* lines that could not be read */
	struct buf batch;	/* behind end */
	bool	   failed;	/* a sync failed: final */
};

DEFINE_CLEANUP(struct settle_log, settle_close)

/* ---- writing ---- */

static int
fail(struct settle_log *log)
{
	log->failed = true;
	return -EIO;
}

/* Back to the last durable line; synced, or a power cut might bring back what
 * somebody was told did not happen. */
static int
undo(struct settle_log *log, bool wrote)
{
	buf_clear(&log->batch);
	if (!wrote && log->end == log->durable)
		return 0;
	log->end = log->durable;
	if (fdio_truncate(log->fd, (off_t)log->durable) < 0 ||
	    fdio_datasync(log->fd) < 0)
		return fail(log);
	return 0;
}

/* From memory to behind the durable end. */
static int
write_batch(struct settle_log *log)
{
	int r;

	if (log->batch.len == 0)
		return 0;
	r = fdio_pwrite(log->fd, log->batch.data, log->batch.len,
	    (off_t)log->end);
	if (r < 0) {
		if (undo(log, true) < 0)
			return -EIO;
		return r == -ENOSPC || r == -EDQUOT ? -ENOSPC : fail(log);
	}
	log->end += log->batch.len;
	buf_clear(&log->batch);
	return 0;
}

int
settle_append(struct settle_log *log, const struct settle_entry *e)
{
	int r;

	if (log->failed)
		return -EIO;
	if (log->batch.len >= WRITE_AT) {
		r = write_batch(log);
		if (r < 0)
			return r;
	}
	return settle_line_encode(e, &log->batch);
}

int
settle_sync(struct settle_log *log)
{
	int r;

	if (log->failed)
		return -EIO;
	r = write_batch(log);
	if (r < 0 || log->end == log->durable)
		return r;
	if (fdio_datasync(log->fd) < 0)
		return fail(log);
	log->durable = log->end;
	return 0;
}

void
settle_discard(struct settle_log *log)
{
	if (!log->failed)
		(void)undo(log, false);
}

int
settle_revoke(struct settle_log *log, uint64_t size)
{
	assert(log->batch.len == 0 && size <= log->durable);
	if (log->failed)
		return -EIO;
	log->durable = size;
	return undo(log, false);
}

uint64_t
settle_size(const struct settle_log *log)
{
	return log->durable;
}

/* ---- opening ---- */

static int
count_line(void *arg, const struct settle_entry *e, const char *line, size_t len)
{
	struct settle_log *log = arg;

	(void)line;
	(void)len;
	if (e == NULL)
		log->bad++;
	return 0;
}

/* Cuts a torn last line off, or gives a whole one its newline back. Where the disk
 * could not be read, nothing is cut: another day it may be. */
static int
mend_tail(struct settle_log *log, uint64_t size, const struct settle_tail *tail)
{
	int r;

	if (tail->end == size)
		return 0;
	if (tail->whole || tail->unreadable) {
		log->bad += !tail->whole;
		log->end = size + 1;
		r = fdio_pwrite(log->fd, "\n", 1, (off_t)size);
	} else {
		log->end = tail->end;
		r = fdio_truncate(log->fd, (off_t)tail->end);
	}
	return r < 0 ? r : fdio_datasync(log->fd);
}

static int
begin_file(struct settle_log *log)
{
	char text[64];
	int n, r;

	n = snprintf(text, sizeof(text), SETTLE_HEADER "%d\n", SETTLE_VERSION);
	r = fdio_pwrite(log->fd, text, (size_t)n, 0);
	if (r == 0)
		r = fdio_sync(log->fd);
	log->end = (uint64_t)n;
	return r;
}

static int
open_file(struct settle_log *log)
{
	struct settle_tail tail = { 0 };
	struct stat sb;
	int r;

	r = fdio_openat(log->dirfd, LOG_NAME, O_RDWR | O_CREAT | O_NOFOLLOW,
	    0600);
	if (r < 0)
		return r;
	log->fd = r;
	if (fstat(log->fd, &sb) < 0)
		return -errno;
	if (!S_ISREG(sb.st_mode))
		return -ELOOP;
	log->end = (uint64_t)sb.st_size;
	r = settle_file_read(log->fd, 0, log->end, count_line, log,
	    &tail);
	if (r == 0)
		r = mend_tail(log, log->end, &tail);
	if (r == 0 && log->end == 0)
		r = begin_file(log);
	/* Each time: the file may be of a start that did not come this far. */
	if (r == 0)
		r = fdio_sync(log->dirfd);
	log->durable = log->end;
	return r;
}

static struct settle_log *
new_log(int dirfd)
{
	struct settle_log *log = xcalloc(1, sizeof(*log));

	log->dirfd = dirfd;
	log->fd = -1;
	log->batch = (struct buf)BUF_INIT(BATCH_MAX);
	return log;
}

int
settle_open(int dirfd, struct settle_log **ret, uint64_t *ret_bad)
{
	struct settle_log *log AUTO(cleanup_settle_close) = NULL;
	int dup_fd, r;

	dup_fd = fdio_openat(dirfd, ".", O_RDONLY | O_DIRECTORY, 0);
	if (dup_fd < 0)
		return dup_fd;
	log = new_log(dup_fd);
	r = fdio_unlink(dirfd, NEW_NAME);	/* a compaction that did not end */
	if (r == 0 || r == -ENOENT)
		r = open_file(log);
	if (r < 0)
		return r;
	*ret_bad = log->bad;
	*ret = TAKE_PTR(log);
	return 0;
}

void
settle_close(struct settle_log *log)
{
	if (log == NULL)
		return;
	cleanup_close(&log->fd);
	cleanup_close(&log->dirfd);
	buf_free(&log->batch);
	free(log);
}

/* ---- replay ---- */

struct replay {
	settle_fn *fn;
	void	  *arg;
};

static int
replay_line(void *arg, const struct settle_entry *e, const char *line, size_t len)
{
	const struct replay *rp = arg;

	(void)line;
	(void)len;
	return e != NULL ? rp->fn(rp->arg, e) : 0;
}

/* Replaying too much is harmless: an offset that is not of this log (it was
 * compacted, or is another one) means all of it. */
static uint64_t
line_start(const struct settle_log *log, uint64_t from)
{
	char before = '\0';

	if (from == 0 || from > log->durable ||
	    fdio_pread(log->fd, &before, 1, (off_t)from - 1) != 1)
		return 0;
	return before == '\n' ? from : 0;
}

int
settle_replay(struct settle_log *log, uint64_t from, settle_fn *fn, void *arg)
{
	struct replay rp = { .fn = fn, .arg = arg };

	return settle_file_read(log->fd, line_start(log, from), log->durable,
	    replay_line, &rp, NULL);
}

int
settle_replay_some(struct settle_log *log, uint64_t *at, settle_fn *fn, void *arg)
{
	struct replay rp = { .fn = fn, .arg = arg };
	struct settle_tail tail = { 0 };
	int r;

	r = settle_file_read(log->fd, line_start(log, *at), log->durable,
	    replay_line, &rp, &tail);
	if (r >= 0)
		*at = tail.end;
	return r;
}

/* ---- compaction ---- */

struct compaction {
	struct settle_log *to;
	bool (*keep)(void *arg, const struct settle_entry *e);
	void *arg;
};

static int
copy_line(void *arg, const struct settle_entry *e, const char *line, size_t len)
{
	struct compaction *c = arg;

	(void)line;
	(void)len;
	return e != NULL && c->keep(c->arg, e) ? settle_append(c->to, e) : 0;
}

static int
write_compacted(struct settle_log *log, struct compaction *c)
{
	int r;

	r = fdio_openat(log->dirfd, NEW_NAME,
	    O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
	if (r < 0)
		return r;
	c->to->fd = r;
	r = begin_file(c->to);
	if (r == 0) {
		c->to->durable = c->to->end;
		r = settle_file_read(log->fd, 0, log->durable, copy_line, c,
		    NULL);
	}
	return r == 0 ? settle_sync(c->to) : r;
}

/* The log with lines that nobody could read is kept beside the new one. */
static void
keep_damaged(struct settle_log *log)
{
	if (log->bad == 0)
		return;
	(void)fdio_unlink(log->dirfd, DAMAGED_NAME);
	if (linkat(log->dirfd, LOG_NAME, log->dirfd, DAMAGED_NAME, 0) == 0)
		log->bad = 0;
}

int
settle_compact(struct settle_log *log,
    bool (*keep)(void *arg, const struct settle_entry *e), void *arg)
{
	struct settle_log *to AUTO(cleanup_settle_close) = new_log(-1);
	struct compaction c = { .to = to, .keep = keep, .arg = arg };
	int r;

	assert(log->batch.len == 0 && log->end == log->durable);
	if (log->failed)
		return -EIO;

	r = write_compacted(log, &c);
	if (r == 0) {
		keep_damaged(log);
		r = fdio_rename(log->dirfd, NEW_NAME, log->dirfd, LOG_NAME);
	}
	if (r < 0) {
		(void)fdio_unlink(log->dirfd, NEW_NAME);
		return r;
	}
	/* From here on the name is the new file's, whether it is durable or
	 * not: nothing more may be appended before it is. */
	(void)close(log->fd);
	log->fd = TAKE_FD(to->fd);
	log->durable = log->end = to->durable;
	return fdio_sync(log->dirfd) < 0 ? fail(log) : 0;
}
