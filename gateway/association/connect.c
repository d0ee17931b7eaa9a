/* connect.c - from a name and a port to a connected socket, by a deadline.
 *
 * getaddrinfo() can neither be interrupted nor told when to give up, so names (not
 * addresses) are looked up in a thread of their own, which whoever asked may leave
 * behind: the last of the two frees what they share. There is at most one for each
 * call under way, and the resolver's own limits end it.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "gateway/association/connect_int.h"
#include "gateway/base/cleanup.h"
#include "gateway/base/clock.h"

#define SHARE_LEAST_MS 1000	/* of the time, for each address */

void
connect_name(const char *host, uint16_t port, char *dst, size_t size)
{
	bool v6 = strchr(host, ':') != NULL;

	(void)snprintf(dst, size, "%s%.200s%s:%u", v6 ? "[" : "", host,
	    v6 ? "]" : "", port);
}

/* ---- names ------------------------------------------------------------------ */

struct lookup {
	pthread_mutex_t	 mu;
	unsigned	 users;		/* mu */
	char		*host;
	char		 port[8];
	int		 done_fd;	/* eventfd */
	int		 error;		/* EAI_*, once done */
	struct addrinfo *found;
};

static void
leave_lookup(struct lookup *l)
{
	bool last;

	(void)pthread_mutex_lock(&l->mu);
	last = --l->users == 0;
	(void)pthread_mutex_unlock(&l->mu);
	if (!last)
		return;
	if (l->found != NULL)
		freeaddrinfo(l->found);
	(void)pthread_mutex_destroy(&l->mu);
	(void)close(l->done_fd);
	free(l->host);
	free(l);
}
DEFINE_CLEANUP(struct lookup, leave_lookup)

static int
find_addresses(struct lookup *l, int flags)
{
	const struct addrinfo hints = { .ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM, .ai_flags = flags };

	return getaddrinfo(l->host, l->port, &hints, &l->found);
}

static void *
run_lookup(void *arg)
{
	struct lookup *l = arg;

	l->error = find_addresses(l, AI_ADDRCONFIG);
	(void)eventfd_write(l->done_fd, 1);
	leave_lookup(l);
	return NULL;
}

static int
start_thread(struct lookup *l)
{
	sigset_t all, before;
	pthread_t thread;
	int e;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	l->users++;
	e = pthread_create(&thread, NULL, run_lookup, l);
	if (e == 0)
		(void)pthread_detach(thread);
	else
		l->users--;
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -e;
}

/* Until fd is ready: 0, -ETIMEDOUT, -ECANCELED. */
static int
wait_ready(int fd, short events, int64_t deadline_ms, int cancel_fd)
{
	struct pollfd p[2] = { { .fd = fd, .events = events },
		{ .fd = cancel_fd, .events = POLLIN } };
	int n;

	do {
		n = poll(p, 2, clock_timeout(deadline_ms));
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (p[1].revents != 0)
		return -ECANCELED;
	return n == 0 ? -ETIMEDOUT : 0;
}

static int
explain_name(const char *host, int error, struct buf *why)
{
	if (error == EAI_AGAIN)
		(void)buf_printf(why, "%s: the name server does not answer", host);
	else if (error == EAI_NONAME || error == EAI_NODATA)
		(void)buf_printf(why, "%s: nobody knows this name: is it right, and "
		    "does this machine's name server know it?", host);
	else
		(void)buf_printf(why, "%s: the name cannot be looked up: %s", host,
		    gai_strerror(error));
	return -EHOSTUNREACH;
}

static struct lookup *
new_lookup(const char *host, uint16_t port)
{
	struct lookup *l = xcalloc(1, sizeof(*l));

	(void)pthread_mutex_init(&l->mu, NULL);
	l->users = 1;
	l->host = xstrdup(host);
	l->done_fd = eventfd(0, EFD_CLOEXEC);
	(void)snprintf(l->port, sizeof(l->port), "%u", port);
	return l;
}

/* l->found, or why there is none. */
static int
look_up(struct lookup *l, int64_t deadline_ms, int cancel_fd, struct buf *why)
{
	eventfd_t n;
	int e;

	if (l->done_fd < 0)
		return -EMFILE;
	if (find_addresses(l, AI_NUMERICHOST) == 0)
		return 0;
	e = start_thread(l);
	if (e == 0)
		e = wait_ready(l->done_fd, POLLIN, deadline_ms, cancel_fd);
	if (e == -ETIMEDOUT)
		(void)buf_printf(why, "%s: the name server does not answer in time",
		    l->host);
	if (e < 0)
		return e;
	(void)eventfd_read(l->done_fd, &n);
	return l->error == 0 ? 0 : explain_name(l->host, l->error, why);
}

/* ---- addresses -------------------------------------------------------------- */

static int
finish_connect(int fd, int64_t deadline_ms, int cancel_fd)
{
	socklen_t len = sizeof(int);
	int error = 0, e;

	e = wait_ready(fd, POLLOUT, deadline_ms, cancel_fd);
	if (e < 0)
		return e;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return -errno;
	return -error;
}

static int
connect_address(const struct addrinfo *ai, int64_t deadline_ms, int cancel_fd,
    int *ret_fd)
{
	AUTO_CLOSE int fd = socket(ai->ai_family,
	    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, ai->ai_protocol);
	int e = 0;

	if (fd < 0)
		return -errno;
	if (connect(fd, ai->ai_addr, ai->ai_addrlen) < 0)
		e = -errno;
	if (e == -EINPROGRESS || e == -EINTR)
		e = finish_connect(fd, deadline_ms, cancel_fd);
	if (e < 0)
		return e;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &(int){ 1 }, sizeof(int));
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static void
note_address(const struct addrinfo *ai, char address[static 48])
{
	if (getnameinfo(ai->ai_addr, ai->ai_addrlen, address, 48, NULL, 0,
		NI_NUMERICHOST) != 0)
		address[0] = '\0';
}

static void
explain_connect(const char *host, uint16_t port, int error, struct buf *why)
{
	char name[256];

	connect_name(host, port, name, sizeof(name));
	if (error == -ECONNREFUSED)
		(void)buf_printf(why, "%s refuses the connection: is the port "
		    "right, and does it run?", name);
	else if (error == -ETIMEDOUT)
		(void)buf_printf(why, "%s does not answer: is the address right, "
		    "and does the firewall let us through?", name);
	else if (error != -ECANCELED)
		(void)buf_printf(why, "%s is not reached: %s", name,
		    strerror(-error));
}

int
connect_host(const char *host, uint16_t port, int64_t deadline_ms, int cancel_fd,
    int *ret_fd, char address[static 48], struct buf *why)
{
	struct lookup *l AUTO(cleanup_leave_lookup) = new_lookup(host, port);
	int64_t now, until;
	unsigned left = 0;
	int e;

	e = look_up(l, deadline_ms, cancel_fd, why);
	if (e < 0)
		return e;
	for (const struct addrinfo *ai = l->found; ai != NULL; ai = ai->ai_next)
		left++;
	e = -EHOSTUNREACH;
	for (const struct addrinfo *ai = l->found; ai != NULL; ai = ai->ai_next) {
		now = clock_mono_ms();
		until = now + (deadline_ms - now) / left--;
		if (until < now + SHARE_LEAST_MS)
			until = now + SHARE_LEAST_MS;
		if (until > deadline_ms)
			until = deadline_ms;
		e = connect_address(ai, until, cancel_fd, ret_fd);
		note_address(ai, address);
		if (e == 0 || e == -ECANCELED)
			return e;
	}
	explain_connect(host, port, e, why);
	return e;
}
