/* settle_file.c - reading the settle log line by line, whatever became of it.
 *
 * In bounded memory: a line longer than any of ours is passed over. Blocks that
 * the disk cannot read count as one bad line and hurt no other.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/fdio.h"
#include "spool/files_int.h"
#include "spool/settle_line_int.h"

#define READ_SIZE 65536

struct lines {
	int	 fd;
	uint64_t at, size;	/* of the file: what was read, what is to be read */
	char	*buf;		/* READ_SIZE + 1 */
	size_t	 start, len;	/* unread bytes in it */
	uint64_t line_at;	/* of buf[start] in the file */
	bool	 overlong;	/* until its newline */
	uint64_t unreadable;	/* blocks */
};

/* 1: more bytes, 0: the end. */
static int
fill_buffer(struct lines *l)
{
	size_t room, want;
	ssize_t n;

	memmove(l->buf, l->buf + l->start, l->len);
	l->start = 0;
	room = READ_SIZE - l->len;
	want = l->size - l->at < room ? (size_t)(l->size - l->at) : room;
	if (want == 0)
		return 0;
	n = file_pread_rest(l->fd, l->buf + l->len, want, l->at,
	    &l->unreadable);
	if (n < 0)
		return (int)n;
	l->at += (uint64_t)n;
	l->len += (size_t)n;
	return n > 0;
}

/* The next line without its newline, or what is left at the end (*ret_ended
 * false). 1, or 0 at the end, or an error. */
static int
next_line(struct lines *l, char **ret, size_t *ret_len, bool *ret_ended)
{
	for (;;) {
		char *line = l->buf + l->start;
		char *end = memchr(line, '\n', l->len);
		int r;

		if (end != NULL) {
			*ret = line;
			*ret_len = (size_t)(end - line);
			*ret_ended = true;
			return 1;
		}
		if (l->len >= SETTLE_LINE_MAX) {
			l->overlong = true;
			l->line_at += l->len;
			l->len = 0;
		}
		r = fill_buffer(l);
		if (r < 0)
			return r;
		if (r == 0 && l->len == 0)
			return 0;
		if (r == 0) {
			*ret = l->buf;
			*ret_len = l->len;
			*ret_ended = false;
			return 1;
		}
	}
}

static void
consume(struct lines *l, size_t n)
{
	l->start += n;
	l->len -= n;
	l->line_at += n;
	l->overlong = false;
}

static bool
is_header(const char *line, size_t len)
{
	return len > strlen(SETTLE_HEADER) &&
	    memcmp(line, SETTLE_HEADER, strlen(SETTLE_HEADER)) == 0;
}

static int
check_header(const char *line, size_t len)
{
	char text[16] = "";
	size_t prefix = strlen(SETTLE_HEADER);

	if (len - prefix < sizeof(text))
		memcpy(text, line + prefix, len - prefix);
	return strtoul(text, NULL, 10) > SETTLE_VERSION ? -ENOTSUP : 0;
}

static int
take_line(struct lines *l, char *line, size_t len, settle_line_fn *fn, void *arg)
{
	AUTO_FREE char *copy = NULL;
	struct settle_entry e;

	if (l->line_at == 0 && is_header(line, len))
		return check_header(line, len);
	if (l->overlong)
		return fn(arg, NULL, line, len);
	/* Decoding changes it; the caller may want it as it was. */
	copy = xstrndup(line, len);
	if (strlen(copy) != len || settle_line_decode(copy, len, &e) < 0)
		return fn(arg, NULL, line, len);
	return fn(arg, &e, line, len);
}

static bool
is_whole_line(const struct lines *l, const char *line, size_t len)
{
	AUTO_FREE char *copy = xstrndup(line, len);
	struct settle_entry e;

	return !l->overlong && strlen(copy) == len &&
	    settle_line_decode(copy, len, &e) == 0;
}

static int
read_all(struct lines *l, settle_line_fn *fn, void *arg,
    struct settle_tail *tail)
{
	bool ended = true;
	char *line = NULL;
	size_t len = 0;
	int r;

	while ((r = next_line(l, &line, &len, &ended)) > 0) {
		if (!ended) {
			if (!is_whole_line(l, line, len))
				return 0;
			if (tail == NULL)
				return take_line(l, line, len, fn, arg);
			tail->whole = true;
			return 0;
		}
		r = take_line(l, line, len, fn, arg);
		if (r != 0)
			return r;
		consume(l, len + 1);
		if (tail != NULL)
			tail->end = l->line_at;
	}
	return r;
}

int
settle_file_read(int fd, uint64_t from, uint64_t size, settle_line_fn *fn,
    void *arg, struct settle_tail *ret_tail)
{
	AUTO_FREE char *buf = xcalloc(1, READ_SIZE + 1);
	struct lines l = { .fd = fd, .at = from, .line_at = from, .size = size,
		.buf = buf };
	struct settle_tail tail = { .end = from };
	int r;

	r = read_all(&l, fn, arg, ret_tail != NULL ? &tail : NULL);
	tail.unreadable = l.unreadable > 0;
	if (r >= 0 && ret_tail != NULL)
		*ret_tail = tail;
	return r;
}

struct reading {
	settle_fn *fn;
	void	  *arg;
	uint64_t   bad;
};

static int
pass_entry(void *arg, const struct settle_entry *e, const char *line, size_t len)
{
	struct reading *rd = arg;

	(void)line;
	(void)len;
	if (e != NULL)
		return rd->fn(rd->arg, e);
	rd->bad++;
	return 0;
}

int
settle_read(int dirfd, settle_fn *fn, void *arg, uint64_t *ret_bad)
{
	struct reading rd = { .fn = fn, .arg = arg };
	AUTO_CLOSE int fd = -1;
	uint64_t size;
	int r;

	*ret_bad = 0;
	r = file_open(dirfd, "settle.log", O_RDONLY, &fd, &size);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	r = settle_file_read(fd, 0, size, pass_entry, &rd, NULL);
	*ret_bad = rd.bad;
	return r;
}
