/* fuzz_multipart.c - what a hostile server may answer to a fetch: its Content-Type
 * up to the first line's end, then the body, fed in portions that the input tells.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/cleanup.h"
#include "gateway/http/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
take_part(void *arg, const char *type)
{
	++*(size_t *)arg;
	return strlen(type) > 1000;
}

static int
take_data(void *arg, const void *data, size_t len)
{
	(void)arg;
	return len == 0 || ((const char *)data)[len - 1] == '\x7f';
}

static int
take_end(void *arg)
{
	(void)arg;
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct http_multipart_events ev = { take_part, take_data,
		take_end };
	const uint8_t *eol = size > 0 ? memchr(data, '\n', size) : NULL;
	struct http_multipart *m;
	size_t parts = 0, at, portion;
	char *type;

	if (eol == NULL)
		return 0;
	type = xstrndup((const char *)data, (size_t)(eol - data));
	at = (size_t)(eol - data) + 1;
	portion = at % 13 + 1;
	if (http_multipart_new(type, &ev, &parts, &m) == 0) {
		for (; at < size; at += portion)
			(void)http_multipart_feed(m, data + at,
			    size - at < portion ? size - at : portion);
		(void)http_multipart_end(m);
		http_multipart_free(m);
	}
	free(type);
	return 0;
}
