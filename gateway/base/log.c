/* log.c - one line per event, in one write.
 *
 * A line is built in a buffer of PIPE_BUF bytes on the stack: lines of several
 * threads never mix, nothing is allocated, and what does not fit is dropped by
 * whole fields. Values come from the wire: what could end a line, forge a field
 * or steer a terminal is written as \xNN.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"

#define LINE_SIZE PIPE_BUF
#define ELLIPSIS  " ..."
#define LINE_ROOM (LINE_SIZE - sizeof(ELLIPSIS) - 1)	/* " ...", \n, NUL */
#define VALUE_MAX 256

static const char *const level_name[LOG_LEVELS] = {
	"error", "warning", "info", "debug",
};

static const int level_priority[LOG_LEVELS] = { 3, 4, 6, 7 };	/* syslog(3) */

struct line {
	char   text[LINE_SIZE];
	size_t len;
	bool   full;
};

static _Atomic(enum log_level) log_level = LOG_INFO;
static pthread_once_t journal_once = PTHREAD_ONCE_INIT;
static bool to_journal;
static void (*capture_fn)(void *arg, const char *line);
static void *capture_arg;

static void
put_bytes(struct line *l, const char *s, size_t len)
{
	if (l->full || len > LINE_ROOM - l->len) {
		l->full = true;
		return;
	}
	memcpy(l->text + l->len, s, len);
	l->len += len;
}

static void
put_str(struct line *l, const char *s)
{
	put_bytes(l, s, strlen(s));
}

static void __attribute__((format(printf, 2, 3)))
put_format(struct line *l, const char *fmt, ...)
{
	char text[64];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	put_str(l, text);
}

/* Length of the well-formed UTF-8 sequence of two to four bytes at s, else 0. */
static size_t
measure_utf8(const unsigned char *s, size_t len, uint32_t *ret_code)
{
	static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
	uint32_t code;

	if (s[0] < 0xc2 || s[0] > 0xf4 || n > len)
		return 0;
	code = s[0] & (0x7fU >> n);
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (s[i] & 0x3fU);
	}
	if (code < smallest[n] || code > 0x10ffff ||
	    (code >= 0xd800 && code <= 0xdfff))
		return 0;
	*ret_code = code;
	return n;
}

/* C1 controls, line separators, and what turns the direction of writing. */
static bool
code_steers(uint32_t code)
{
	return code < 0xa0 || (code >= 0x2028 && code <= 0x202e) ||
	    (code >= 0x2066 && code <= 0x2069);
}

/* Bytes at s that may be written as they are; 0: the first must be escaped. */
static size_t
measure_plain(const unsigned char *s, size_t len, bool quoted)
{
	uint32_t code;
	size_t n;

	if (s[0] < 0x80) {
		if (s[0] < 0x20 || s[0] == 0x7f)
			return 0;
		return quoted && (s[0] == '"' || s[0] == '\\') ? 0 : 1;
	}
	n = measure_utf8(s, len, &code);
	return n > 0 && !code_steers(code) ? n : 0;
}

static void
put_escaped(struct line *l, const char *s, size_t len, bool quoted)
{
	const unsigned char *p = (const unsigned char *)s;
	size_t n;

	while (len > 0) {
		n = measure_plain(p, len, quoted);
		if (n > 0)
			put_bytes(l, (const char *)p, n);
		else
			put_format(l, "\\x%02x", *p);
		p += n > 0 ? n : 1;
		len -= n > 0 ? n : 1;
	}
}

static void
put_quoted(struct line *l, const char *s)
{
	size_t len = strnlen(s, VALUE_MAX + 1);
	bool cut = len > VALUE_MAX;

	if (cut) {
		len = VALUE_MAX;
		/* Not in the middle of a character. */
		for (int i = 0; i < 3 && (s[len] & 0xc0) == 0x80; i++)
			len--;
	}
	put_str(l, "\"");
	put_escaped(l, s, len, true);
	put_str(l, cut ? "\"..." : "\"");
}

static void
put_errno(struct line *l, int64_t error)
{
	char text[128];

	put_quoted(l, strerror_r((int)-error, text, sizeof(text)));
}

static void
put_field(struct line *l, const struct log_field *f)
{
	size_t start = l->len;

	put_format(l, " %.48s=", f->key);
	switch (f->type) {
	case LOG_F_STR:
		if (f->v.str != NULL)
			put_quoted(l, f->v.str);
		else
			put_str(l, "-");
		break;
	case LOG_F_U64:
		put_format(l, "%" PRIu64, f->v.u64);
		break;
	case LOG_F_I64:
		put_format(l, "%" PRId64, f->v.i64);
		break;
	case LOG_F_HEX:
		put_format(l, "%04" PRIX64 "H", f->v.u64);
		break;
	case LOG_F_ERR:
		put_errno(l, f->v.i64);
		break;
	}
	if (l->full)
		l->len = start;
}

/* JOURNAL_STREAM is inherited; it counts only where stderr still is that
 * stream. */
static void
detect_journal(void)
{
	const char *env = getenv("JOURNAL_STREAM");
	char self[64];
	struct stat st;

	if (env == NULL || fstat(STDERR_FILENO, &st) < 0)
		return;
	(void)snprintf(self, sizeof(self), "%" PRIuMAX ":%" PRIuMAX,
	    (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	to_journal = strcmp(env, self) == 0;
}

static void
put_prefix(struct line *l, enum log_level level, bool journal)
{
	char now[32];

	if (journal)
		put_format(l, "<%d>", level_priority[level]);
	else
		put_format(l, "%s %s: ",
		    clock_format(clock_wall_ms(), now, sizeof(now)),
		    level_name[level]);
}

static void
build_line(struct line *l, enum log_level level, const char *msg,
    const struct log_field *fields, bool journal)
{
	l->len = 0;
	l->full = false;
	put_prefix(l, level, journal);
	put_escaped(l, msg, strlen(msg), false);
	for (; fields->key != NULL && !l->full; fields++)
		put_field(l, fields);
	if (l->full) {
		memcpy(l->text + l->len, ELLIPSIS, sizeof(ELLIPSIS) - 1);
		l->len += sizeof(ELLIPSIS) - 1;
	}
	l->text[l->len] = '\0';
}

void
log_set_level(enum log_level level)
{
	atomic_store_explicit(&log_level, level, memory_order_relaxed);
}

bool
log_enabled(enum log_level level)
{
	return level <= atomic_load_explicit(&log_level, memory_order_relaxed);
}

void
log_fields(enum log_level level, const char *msg,
    const struct log_field *fields)
{
	int saved = errno;
	struct line l;

	if (!log_enabled(level))
		return;
	(void)pthread_once(&journal_once, detect_journal);
	build_line(&l, level, msg, fields, to_journal);
	if (capture_fn != NULL) {
		capture_fn(capture_arg, l.text);
	} else {
		l.text[l.len] = '\n';
		(void)!write(STDERR_FILENO, l.text, l.len + 1);
	}
	errno = saved;
}

void
log_capture(void (*fn)(void *arg, const char *line), void *arg)
{
	capture_fn = fn;
	capture_arg = arg;
}
