/* memory.c - a request's body that is in memory. */
#include <string.h>

#include "gateway/http/http.h"

ssize_t
http_memory_read(void *memory, void *buf, size_t size)
{
	struct http_memory *m = memory;
	size_t n = m->len - m->at;

	if (n > size)
		n = size;
	memcpy(buf, m->data + m->at, n);
	m->at += n;
	return (ssize_t)n;
}

int
http_memory_rewind(void *memory)
{
	((struct http_memory *)memory)->at = 0;
	return 0;
}
