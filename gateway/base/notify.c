/* notify.c - the service manager's notify protocol, without its library.
 *
 * One datagram to the UNIX socket that NOTIFY_SOCKET names. It is advice: when
 * it cannot be sent nothing else changes, and the manager's own timers decide.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/notify.h"

#define MESSAGE_MAX 1024

/* "@name" is in the abstract name space, which begins with a NUL. */
static socklen_t
fill_address(struct sockaddr_un *sun, const char *path)
{
	size_t len = strlen(path);

	if ((path[0] != '/' && path[0] != '@') || len < 2 ||
	    len >= sizeof(sun->sun_path))
		return 0;
	sun->sun_family = AF_UNIX;
	memcpy(sun->sun_path, path, len + 1);
	if (path[0] == '@')
		sun->sun_path[0] = '\0';
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

static void
send_message(const char *path, const char *message, size_t len)
{
	struct sockaddr_un sun = { 0 };
	socklen_t sun_len = fill_address(&sun, path);
	AUTO_CLOSE int fd = -1;

	if (sun_len == 0)
		return;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	(void)sendto(fd, message, len, MSG_NOSIGNAL,
	    (const struct sockaddr *)&sun, sun_len);
}

void
notify_send(const char *fmt, ...)
{
	const char *path = getenv("NOTIFY_SOCKET");
	int saved = errno;
	char message[MESSAGE_MAX];
	va_list ap;
	int n;

	if (path == NULL)
		return;
	va_start(ap, fmt);
	n = vsnprintf(message, sizeof(message), fmt, ap);
	va_end(ap);
	if (n > 0 && (size_t)n < sizeof(message))
		send_message(path, message, (size_t)n);
	errno = saved;
}

/* A decimal number alone, or 0. */
static uint64_t
parse_number(const char *s)
{
	uintmax_t n;
	char *end;

	if (s == NULL || s[0] < '0' || s[0] > '9')
		return 0;
	errno = 0;
	n = strtoumax(s, &end, 10);
	return errno == 0 && *end == '\0' ? n : 0;
}

int64_t
notify_watchdog_ms(void)
{
	const char *pid = getenv("WATCHDOG_PID");
	uint64_t usec = parse_number(getenv("WATCHDOG_USEC"));

	if (pid != NULL && parse_number(pid) != (uint64_t)getpid())
		return 0;
	if (usec == 0 || usec > INT64_MAX)
		return 0;
	return usec < 2000 ? 1 : (int64_t)(usec / 2000);
}
