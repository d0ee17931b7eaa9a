/* multipart.c - multipart/related as it comes in, in any portions.
 *
 * Memory is the delimiter and one line of a part's head. The delimiter begins
 * with CR and holds no other one, so after a mismatch the only place to begin
 * again is the byte at hand: no look-back, and what had matched is known without
 * having been kept.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gateway/http/http_int.h"

#define BOUNDARY_MAX 70		/* RFC 2046, 5.1.1 */
#define LINE_MAX_LEN 1024
#define HEAD_MAX     (16u << 10)

enum state {
	STATE_PREAMBLE,
	STATE_TAIL,	/* of a delimiter: "--", or blanks and a line's end */
	STATE_HEAD,
	STATE_DATA,
	STATE_EPILOGUE,
};

struct http_multipart {
	struct http_multipart_events ev;
	void	  *arg;
	enum state state;
	char	   delimiter[4 + BOUNDARY_MAX + 1];	/* CR LF - - boundary */
	size_t	   delimiter_len;
	size_t	   matched;
	size_t	   assumed;	/* of those matched, never seen: at a start */
	char	   tail;	/* the last byte in STATE_TAIL */
	char	   line[LINE_MAX_LEN];
	size_t	   line_len, head_len;
	char	   content_type[160];
	int	   error;	/* latched */
};

/* ---- the boundary -------------------------------------------------------- */

static bool
boundary_char_ok(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
	    (c >= 'a' && c <= 'z') ||
	    (c != '\0' && strchr("'()+_,-./:=? ", c) != NULL);
}

static const char *
skip_blanks(const char *s)
{
	while (*s == ' ' || *s == '\t')
		s++;
	return s;
}

/* One parameter's value, quoted or not; returns where it ended, or NULL. */
static const char *
read_value(const char *s, char *buf, size_t size)
{
	size_t n = 0;
	bool quoted = *s == '"';

	if (quoted)
		s++;
	while (*s != '\0' && (quoted ? *s != '"' : strchr("; \t", *s) == NULL)) {
		if (quoted && *s == '\\' && s[1] != '\0')
			s++;
		if (n + 1 >= size)
			return NULL;
		buf[n++] = *s++;
	}
	if (quoted && *s++ != '"')
		return NULL;
	buf[n] = '\0';
	return s;
}

static int
find_boundary(const char *s, char *buf, size_t size)
{
	char value[256];

	s = strchr(s, ';');
	while (s != NULL && *s == ';') {
		const char *name = skip_blanks(s + 1);
		size_t len = strcspn(name, "=; \t");

		s = skip_blanks(name + len);
		if (*s != '=') {
			s = strchr(s, ';');
			continue;
		}
		s = read_value(skip_blanks(s + 1), value, sizeof(value));
		if (s == NULL)
			return -EBADMSG;
		if (len == 8 && strncasecmp(name, "boundary", 8) == 0) {
			if (strlen(value) >= size)
				return -EBADMSG;
			(void)snprintf(buf, size, "%s", value);
			return 0;
		}
		s = skip_blanks(s);
	}
	return -EBADMSG;
}

static bool
boundary_ok(const char *b)
{
	size_t len = strlen(b);

	for (size_t i = 0; i < len; i++) {
		if (!boundary_char_ok(b[i]))
			return false;
	}
	return len > 0 && len <= BOUNDARY_MAX && b[len - 1] != ' ';
}

int
http_multipart_new(const char *content_type,
    const struct http_multipart_events *ev, void *arg,
    struct http_multipart **ret)
{
	char boundary[BOUNDARY_MAX + 1];
	struct http_multipart *m;
	int r;

	content_type = skip_blanks(content_type);
	if (strncasecmp(content_type, "multipart/", 10) != 0)
		return -EBADMSG;
	r = find_boundary(content_type, boundary, sizeof(boundary));
	if (r < 0)
		return r;
	if (!boundary_ok(boundary))
		return -EBADMSG;

	m = xcalloc(1, sizeof(*m));
	m->ev = *ev;
	m->arg = arg;
	m->delimiter_len = (size_t)snprintf(m->delimiter, sizeof(m->delimiter),
	    "\r\n--%s", boundary);
	m->matched = m->assumed = 2;	/* the first may stand at the very start */
	*ret = m;
	return 0;
}

void
http_multipart_free(struct http_multipart *m)
{
	free(m);
}

/* ---- parts --------------------------------------------------------------- */

static int
emit(struct http_multipart *m, const void *data, size_t len)
{
	if (m->state != STATE_DATA || len == 0)
		return 0;
	return m->ev.data(m->arg, data, len);
}

static int
reach_delimiter(struct http_multipart *m)
{
	bool in_part = m->state == STATE_DATA;

	m->state = STATE_TAIL;
	m->tail = '\0';
	m->matched = m->assumed = 0;
	return in_part ? m->ev.part_end(m->arg) : 0;
}

/* Up to the next CR at once; then byte by byte while the delimiter matches. */
static int
feed_data(struct http_multipart *m, const char *data, size_t len, size_t *ret_used)
{
	size_t at = 0;
	int r;

	while (at < len && m->state != STATE_TAIL) {
		if (m->matched == 0) {
			const char *cr = memchr(data + at, '\r', len - at);
			size_t plain = cr != NULL ? (size_t)(cr - data) - at :
			    len - at;

			r = emit(m, data + at, plain);
			if (r != 0)
				return r;
			at += plain;
			if (cr == NULL)
				break;
			m->matched = 1;
			at++;
		} else if (data[at] == m->delimiter[m->matched]) {
			m->matched++;
			at++;
			if (m->matched == m->delimiter_len) {
				r = reach_delimiter(m);
				if (r != 0)
					return r;
			}
		} else {
			r = emit(m, m->delimiter + m->assumed,
			    m->matched - m->assumed);
			if (r != 0)
				return r;
			m->matched = m->assumed = 0;
		}
	}
	*ret_used = at;
	return 0;
}

static void
begin_head(struct http_multipart *m)
{
	m->state = STATE_HEAD;
	m->line_len = m->head_len = 0;
	m->content_type[0] = '\0';
}

static int
feed_tail(struct http_multipart *m, char c)
{
	char before = m->tail;

	m->tail = c;
	if (before == '-') {
		m->state = STATE_EPILOGUE;
		return c == '-' ? 0 : -EBADMSG;
	}
	if (c == '\n') {
		begin_head(m);
		return 0;
	}
	if (before == '\r' || (c == '-' && before != '\0'))
		return -EBADMSG;
	return c == '-' || c == '\r' || c == ' ' || c == '\t' ? 0 : -EBADMSG;
}

static void
note_header(struct http_multipart *m)
{
	const char *value;

	m->line[m->line_len] = '\0';
	if (strncasecmp(m->line, "content-type:", 13) != 0)
		return;
	value = skip_blanks(m->line + 13);
	if (strlen(value) < sizeof(m->content_type))
		(void)snprintf(m->content_type, sizeof(m->content_type), "%s",
		    value);
}

static int
feed_head(struct http_multipart *m, char c)
{
	if (++m->head_len > HEAD_MAX)
		return -EBADMSG;
	if (c != '\n') {
		/* What is too long to matter is cut. */
		if (m->line_len + 1 < sizeof(m->line))
			m->line[m->line_len++] = c;
		return 0;
	}
	while (m->line_len > 0 && m->line[m->line_len - 1] == '\r')
		m->line_len--;
	if (m->line_len > 0) {
		note_header(m);
		m->line_len = 0;
		return 0;
	}
	m->state = STATE_DATA;
	m->matched = m->assumed = 2;	/* an empty part ends at once */
	return m->ev.part(m->arg, m->content_type);
}

static int
feed(struct http_multipart *m, const char *data, size_t len)
{
	size_t used;
	int r;

	while (len > 0 && m->state != STATE_EPILOGUE) {
		used = 1;
		if (m->state == STATE_TAIL)
			r = feed_tail(m, *data);
		else if (m->state == STATE_HEAD)
			r = feed_head(m, *data);
		else
			r = feed_data(m, data, len, &used);
		if (r != 0)
			return r;
		data += used;
		len -= used;
	}
	return 0;
}

int
http_multipart_feed(struct http_multipart *m, const void *data, size_t len)
{
	if (m->error == 0)
		m->error = feed(m, data, len);
	return m->error;
}

int
http_multipart_end(struct http_multipart *m)
{
	if (m->error != 0)
		return m->error;
	return m->state == STATE_EPILOGUE ? 0 : -EBADMSG;
}
