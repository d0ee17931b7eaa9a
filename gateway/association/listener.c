/* listener.c - accepting, so that nobody can be kept out by those who do nothing.
 *
 * A connection costs no thread until it has spoken, and what it says first must
 * look like DICOM (or like TLS, where TLS is due). Silent ones are bounded in all
 * and per address; the oldest goes when a new one comes, since a device that is
 * alive speaks at once (rule 18).
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "gateway/association/server_int.h"
#include "gateway/base/cleanup.h"
#include "gateway/base/metrics.h"

#define BACKLOG		 511
#define ACCEPTS_AT_ONCE	 64
#define PAUSE_MS	 100	/* out of descriptors */
#define KEEPALIVE_IDLE_S 60	/* a dead peer is noticed after two minutes, */
#define KEEPALIVE_STEP_S 15	/* even between the messages of an exam */
#define KEEPALIVE_COUNT	 4
#define UNANSWERED_MS	 (120 * 1000)

static void
set_socket_options(int fd)
{
	static const struct { int level, name, value; } options[] = {
		{ SOL_SOCKET, SO_KEEPALIVE, 1 },
		{ IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S },
		{ IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_STEP_S },
		{ IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT },
		{ IPPROTO_TCP, TCP_USER_TIMEOUT, UNANSWERED_MS },
		{ IPPROTO_TCP, TCP_NODELAY, 1 },
	};

	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		(void)setsockopt(fd, options[i].level, options[i].name,
		    &options[i].value, sizeof(int));
}

/* The oldest silent connection of the address (NULL: of all), if the budget of
 * that many is used up. */
static void
keep_budget(struct assoc_server *s, const char *address, unsigned max)
{
	struct connection *c, *oldest = NULL;
	unsigned n = 0;

	TAILQ_FOREACH(c, &s->waiting, link) {
		if (address != NULL && strcmp(c->address, address) != 0)
			continue;
		if (oldest == NULL)
			oldest = c;
		n++;
	}
	if (oldest != NULL && n >= max)
		connection_drop(oldest, address != NULL
		    ? "too many silent connections from this address"
		    : "too many silent connections");
}

static void
name_peer(const struct sockaddr_storage *sa, socklen_t len, char *address,
    size_t size, uint16_t *ret_port)
{
	static const char mapped[] = "::ffff:";
	char host[NI_MAXHOST], service[NI_MAXSERV];
	const char *at = host;

	if (getnameinfo((const struct sockaddr *)sa, len, host, sizeof(host),
	    service, sizeof(service), NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
		(void)snprintf(address, size, "unknown");
		*ret_port = 0;
		return;
	}
	if (strncmp(host, mapped, strlen(mapped)) == 0 &&
	    strchr(host, '.') != NULL)
		at += strlen(mapped);
	(void)snprintf(address, size, "%.47s", at);
	*ret_port = (uint16_t)strtoul(service, NULL, 10);
}

static void
admit_peer(struct listener *l, int fd, const struct sockaddr_storage *sa,
    socklen_t len)
{
	struct assoc_server *s = l->server;
	struct connection *c;
	char address[48];
	uint16_t port;

	metric_add(METRIC_CONNECTIONS, 1);
	set_socket_options(fd);
	name_peer(sa, len, address, sizeof(address), &port);
	keep_budget(s, address, s->opt.waiting_per_address);
	keep_budget(s, NULL, s->opt.waiting_max);
	c = connection_new(l, fd, address, port);
	if (c == NULL)
		(void)close(fd);
}

/* Out of descriptors: the oldest silent one gives its own, else we pause, or the
 * loop would spin on a listener that stays readable. */
static void
relieve_shortage(struct listener *l)
{
	const struct timeval pause = { .tv_usec = PAUSE_MS * 1000 };
	struct connection *oldest = TAILQ_FIRST(&l->server->waiting);

	if (oldest != NULL) {
		connection_drop(oldest, "out of file descriptors");
		return;
	}
	(void)event_del(l->event);
	(void)event_add(l->resume, &pause);
}

static void
on_resume(evutil_socket_t fd, short what, void *arg)
{
	struct listener *l = arg;

	(void)fd;
	(void)what;
	(void)event_add(l->event, NULL);
}

static void
on_accept(evutil_socket_t fd, short what, void *arg)
{
	struct listener *l = arg;
	struct sockaddr_storage sa;
	socklen_t len;
	int peer;

	(void)what;
	for (int i = 0; i < ACCEPTS_AT_ONCE; i++) {
		len = sizeof(sa);
		peer = accept4(fd, (struct sockaddr *)&sa, &len,
		    SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (peer >= 0) {
			admit_peer(l, peer, &sa, len);
			continue;
		}
		if (errno == EAGAIN)
			return;
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
		    errno == ENOMEM) {
			relieve_shortage(l);
			return;
		}
	}
}

static int
open_socket(const struct addrinfo *ai, int *ret)
{
	AUTO_CLOSE int fd = -1;

	fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
	if (ai->ai_family == AF_INET6)	/* all addresses: of both families */
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){ 0 },
		    sizeof(int));
	if (bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0)
		return -errno;
	*ret = TAKE_FD(fd);
	return 0;
}

static int
open_address(const char *address, uint16_t port, int *ret, struct buf *why)
{
	struct addrinfo hints = { .ai_flags = AI_PASSIVE | AI_NUMERICHOST |
		AI_NUMERICSERV, .ai_socktype = SOCK_STREAM }, *ai;
	char service[8];
	int e;

	(void)snprintf(service, sizeof(service), "%u", port);
	e = getaddrinfo(address, service, &hints, &ai);
	if (e != 0) {
		(void)buf_printf(why, "%s: not an IP address: %s", address,
		    gai_strerror(e));
		return -EINVAL;
	}
	e = open_socket(ai, ret);
	freeaddrinfo(ai);
	if (e < 0 && e != -EAFNOSUPPORT)
		(void)buf_printf(why, "cannot listen on %s port %u: %s",
		    address, port, strerror(-e));
	return e;
}

int
assoc_server_listen(struct assoc_server *s, const char *address, uint16_t port,
    struct assoc_tls *tls, struct buf *why)
{
	struct listener *l;
	int fd, e;

	e = open_address(address != NULL ? address : "::", port, &fd, why);
	if (e == -EAFNOSUPPORT && address == NULL)	/* IPv6 is switched off */
		e = open_address("0.0.0.0", port, &fd, why);
	if (e < 0)
		return e;
	l = xcalloc(1, sizeof(*l));
	l->server = s;
	l->fd = fd;
	l->address = address != NULL ? xstrdup(address) : NULL;
	l->port = port;
	l->tls = assoc_tls_ref(tls);
	l->event = event_new(s->base, fd, EV_READ | EV_PERSIST, on_accept, l);
	l->resume = event_new(s->base, -1, 0, on_resume, l);
	(void)event_add(l->event, NULL);
	(void)pthread_mutex_lock(&s->mu);
	TAILQ_INSERT_TAIL(&s->listeners, l, link);
	(void)pthread_mutex_unlock(&s->mu);
	return 0;
}

static bool
listens_at(const struct listener *l, const char *address, uint16_t port)
{
	if (l->port != port || (l->address == NULL) != (address == NULL))
		return false;
	return address == NULL || strcmp(l->address, address) == 0;
}

void
assoc_server_renew_tls(struct assoc_server *s, const char *address, uint16_t port,
    struct assoc_tls *tls)
{
	struct assoc_tls *old = NULL;
	struct listener *l;

	(void)pthread_mutex_lock(&s->mu);
	TAILQ_FOREACH(l, &s->listeners, link)
		if (listens_at(l, address, port)) {
			old = l->tls;
			l->tls = assoc_tls_ref(tls);
			break;
		}
	(void)pthread_mutex_unlock(&s->mu);
	assoc_tls_unref(old);
}
