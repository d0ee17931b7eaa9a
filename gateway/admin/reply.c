/* reply.c - what goes back: JSON, and errors as one sentence for people; and
 * what came in: options of a request, checked.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>

#include "gateway/admin/admin_int.h"
#include "gateway/base/cleanup.h"
#include "gateway/base/clock.h"

#define ERROR_MAX 1024

static const struct { int status; const char *phrase; } phrases[] = {
	{ 200, "OK" }, { 400, "Bad Request" }, { 403, "Forbidden" },
	{ 404, "Not Found" }, { 405, "Method Not Allowed" }, { 409, "Conflict" },
	{ 500, "Internal Server Error" }, { 503, "Service Unavailable" },
};

static const char *
status_phrase(int status)
{
	for (size_t i = 0; i < ARRAY_LEN(phrases); i++)
		if (phrases[i].status == status)
			return phrases[i].phrase;
	return "Error";
}

static void
free_text(const void *data, size_t len, void *arg)
{
	(void)data;
	(void)len;
	free(arg);
}

void
admin_reply(struct admin_call *c, int status, json_t *body)
{
	static const char no_memory[] = "{\"error\":\"out of memory\"}";
	char *text = json_dumps(body, JSON_COMPACT);
	struct evbuffer *out = evbuffer_new();

	json_decref(body);
	(void)evhttp_add_header(evhttp_request_get_output_headers(c->req),
	    "Content-Type", "application/json");
	if (text == NULL) {
		status = 500;
		(void)evbuffer_add(out, no_memory, sizeof(no_memory) - 1);
	} else
		(void)evbuffer_add_reference(out, text, strlen(text), free_text,
		    text);
	(void)evbuffer_add(out, "\n", 1);
	evhttp_send_reply(c->req, status, status_phrase(status), out);
	evbuffer_free(out);
}

void
admin_fail(struct admin_call *c, int status, const char *fmt, ...)
{
	char text[ERROR_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	admin_reply(c, status, json_pack("{s:o}", "error", admin_json_text(text)));
}

void
admin_fail_errno(struct admin_call *c, int r, const char *doing)
{
	switch (r) {
	case -EIO:
		admin_fail(c, 503, "%s: the spool's disk failed; the log tells "
		    "more, and the daemon starts anew", doing);
		break;
	case -EAGAIN:
		admin_fail(c, 503, "%s: not now, try again", doing);
		break;
	case -ENOSPC:
		admin_fail(c, 503, "%s: the spool's disk is full", doing);
		break;
	default:
		admin_fail(c, 500, "%s: %s", doing, strerror(-r));
	}
}

json_t *
admin_json_text(const char *s)
{
	json_t *text = json_string(s);
	AUTO_FREE char *utf8 = NULL;
	size_t n = 0;

	if (text != NULL)
		return text;
	utf8 = malloc(2 * strlen(s) + 1);
	if (utf8 == NULL)
		return NULL;
	for (; *s != '\0'; s++) {
		unsigned char c = (unsigned char)*s;

		if (c >= 0x80)
			utf8[n++] = (char)(0xc0 | c >> 6);
		utf8[n++] = (char)(c >= 0x80 ? 0x80 | (c & 0x3f) : c);
	}
	return json_stringn(utf8, n);
}

json_t *
admin_json_time(int64_t wall_ms)
{
	char text[32];

	return wall_ms == 0 ? json_null() :
	    json_string(clock_format(wall_ms, text, sizeof(text)));
}

json_t *
admin_json_u64(uint64_t n)
{
	return json_integer(n > INT64_MAX ? INT64_MAX : (json_int_t)n);
}

const char *
admin_query(const struct admin_call *c, const char *name)
{
	return evhttp_find_header(&c->query, name);
}

bool
admin_query_u64(struct admin_call *c, const char *name, uint64_t fallback,
    uint64_t *ret)
{
	const char *text = admin_query(c, name);
	uintmax_t n;
	char *end;

	if (text == NULL) {
		*ret = fallback;
		return true;
	}
	errno = 0;
	n = strtoumax(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 ||
	    n > INT64_MAX) {
		admin_fail(c, 400, "%s: a number is wanted", name);
		return false;
	}
	*ret = n;
	return true;
}

bool
admin_query_limit(struct admin_call *c, size_t *ret)
{
	uint64_t n;

	if (!admin_query_u64(c, "limit", ADMIN_PAGE, &n))
		return false;
	if (n < 1 || n > ADMIN_PAGE_MAX) {
		admin_fail(c, 400, "limit: 1 to %d", ADMIN_PAGE_MAX);
		return false;
	}
	*ret = (size_t)n;
	return true;
}

bool
admin_body_text(struct admin_call *c, const char *name, const char **ret)
{
	json_t *v = json_object_get(c->body, name);

	*ret = NULL;
	if (v == NULL || json_is_null(v))
		return true;
	if (!json_is_string(v) || json_string_length(v) >= ADMIN_TEXT_MAX ||
	    json_string_length(v) != strlen(json_string_value(v))) {
		admin_fail(c, 400, "%s: a text of at most %d bytes is wanted", name,
		    ADMIN_TEXT_MAX - 1);
		return false;
	}
	if (json_string_length(v) > 0)
		*ret = json_string_value(v);
	return true;
}

bool
admin_body_bool(struct admin_call *c, const char *name, bool *ret)
{
	json_t *v = json_object_get(c->body, name);

	if (v != NULL && !json_is_boolean(v)) {
		admin_fail(c, 400, "%s: true or false is wanted", name);
		return false;
	}
	*ret = json_is_true(v);
	return true;
}
