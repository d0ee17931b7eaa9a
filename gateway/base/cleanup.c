/* cleanup.c - allocations that do not fail.
 *
 * For small things of a fixed size alone: when the machine has no room for
 * those, the process ends and the service manager starts it anew, which is as
 * safe as any other crash.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "gateway/base/cleanup.h"

static void *
require_memory(void *p)
{
	static const char msg[] = "out of memory\n";

	if (p == NULL) {
		(void)!write(STDERR_FILENO, msg, sizeof(msg) - 1);
		abort();
	}
	return p;
}

void *
xcalloc(size_t n, size_t size)
{
	return require_memory(calloc(n > 0 ? n : 1, size > 0 ? size : 1));
}

void *
xreallocarray(void *p, size_t n, size_t size)
{
	return require_memory(
	    reallocarray(p, n > 0 ? n : 1, size > 0 ? size : 1));
}

char *
xstrdup(const char *s)
{
	return require_memory(strdup(s));
}

char *
xstrndup(const char *s, size_t n)
{
	return require_memory(strndup(s, n));
}

char *
xasprintf(const char *fmt, ...)
{
	char *s = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	return require_memory(n < 0 ? NULL : s);
}
