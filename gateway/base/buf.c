/* buf.c - a growing byte buffer that cannot grow past its maximum.
 *
 * The byte after the last is always NUL, so size is at least len + 1 as soon as
 * there is memory at all; max bounds len, not size.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/buf.h"
#include "gateway/base/cleanup.h"

#define FIRST_SIZE 32	/* doubled before it is used */

static int
latch_error(struct buf *b, int error)
{
	b->error = error;
	return error;
}

static size_t
next_size(const struct buf *b, size_t need)
{
	size_t size = b->size > 0 ? b->size : FIRST_SIZE;

	size = size > SIZE_MAX / 2 ? need : size * 2;
	if (size < need)
		size = need;
	return size - 1 > b->max ? b->max + 1 : size;
}

void
buf_free(struct buf *b)
{
	if (b == NULL)
		return;
	free(b->data);
	*b = (struct buf)BUF_INIT(b->max);
}

void
buf_clear(struct buf *b)
{
	b->len = 0;
	b->error = 0;
	if (b->data != NULL)
		b->data[0] = '\0';
}

int
buf_error(const struct buf *b)
{
	return b->error;
}

int
buf_reserve(struct buf *b, size_t more)
{
	size_t need, size;
	char *data;

	if (b->error != 0)
		return b->error;
	if (more > b->max - b->len)
		return latch_error(b, -EMSGSIZE);

	need = b->len + more + 1;
	if (need == 0)
		return latch_error(b, -ENOMEM);
	if (need <= b->size)
		return 0;

	size = next_size(b, need);
	data = realloc(b->data, size);
	if (data == NULL)
		return latch_error(b, -ENOMEM);
	data[b->len] = '\0';
	b->data = data;
	b->size = size;
	return 0;
}

int
buf_add(struct buf *b, const void *data, size_t len)
{
	int r;

	r = buf_reserve(b, len);
	if (r < 0)
		return r;
	if (len > 0)
		memcpy(b->data + b->len, data, len);
	b->len += len;
	b->data[b->len] = '\0';
	return 0;
}

int
buf_add_str(struct buf *b, const char *s)
{
	return buf_add(b, s, strlen(s));
}

int
buf_add_char(struct buf *b, char c)
{
	return buf_add(b, &c, 1);
}

int
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = buf_vprintf(b, fmt, ap);
	va_end(ap);
	return r;
}

int
buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
	va_list measure;
	int n, r;

	if (b->error != 0)
		return b->error;

	va_copy(measure, ap);
	n = vsnprintf(NULL, 0, fmt, measure);
	va_end(measure);
	if (n < 0)
		return latch_error(b, -errno);

	r = buf_reserve(b, (size_t)n);
	if (r < 0)
		return r;
	(void)vsnprintf(b->data + b->len, (size_t)n + 1, fmt, ap);
	b->len += (size_t)n;
	return 0;
}

char *
buf_take(struct buf *b)
{
	char *data = TAKE_PTR(b->data);

	*b = (struct buf)BUF_INIT(b->max);
	return data != NULL ? data : xstrdup("");
}
