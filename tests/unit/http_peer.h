/* http_peer.h - the other side of a connection, in a thread of the test: a server
 * that answers from a list and keeps what it was sent, or a proxy that hands on.
 *
 * Each connection has a thread of its own; requests are counted over all.
 */
#ifndef CW_TESTS_HTTP_PEER_H
#define CW_TESTS_HTTP_PEER_H

#include <assert.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include "gateway/base/cleanup.h"

#define PEER_REQUESTS 16
#define PEER_CONNECTIONS 64
#define PEER_HEAD_MAX 16384

struct peer_connection {
	struct peer *peer;
	pthread_t    thread;
	int	     fd;	/* guarded by mu; -1: it is closed */
};

struct peer {
	int	  fd;
	unsigned  port;
	char	  url[64];
	pthread_t thread;
	pthread_mutex_t mu;
	/* Guarded by mu, as is the rest. */
	struct peer_connection connection[PEER_CONNECTIONS];
	size_t	 n_connections;
	size_t	 n;				/* requests */
	char	 head[PEER_REQUESTS][PEER_HEAD_MAX];
	const char *answer[PEER_REQUESTS];	/* NULL: closes */
	const char *connect;	/* answered to CONNECT; NULL: it hands on */
	unsigned target;	/* to this port of ours */
	uint64_t dies_after;	/* bytes that it handed on; 0: never */
};

static inline ssize_t
peer_read_head(int fd, char *head, size_t *ret_len)
{
	size_t len = 0;
	ssize_t n;

	for (;;) {
		char *end;

		head[len] = '\0';
		end = strstr(head, "\r\n\r\n");
		if (end != NULL) {
			*ret_len = len;
			return end + 4 - head;
		}
		n = len + 1 < PEER_HEAD_MAX ?
		    read(fd, head + len, PEER_HEAD_MAX - 1 - len) : 0;
		if (n <= 0)
			return -1;
		len += (size_t)n;
	}
}

static inline void
peer_read_body(int fd, const char *head, size_t have)
{
	const char *at = strcasestr(head, "\r\nContent-Length:");
	uint64_t length = at != NULL ? strtoull(at + 17, NULL, 10) : 0;
	char data[65536];
	ssize_t n = 1;

	while (have < length && n > 0) {
		n = read(fd, data, sizeof(data));
		have += n > 0 ? (size_t)n : 0;
	}
}

static inline bool
peer_send(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		text += n;
		len -= (size_t)n;
	}
	return true;
}

static inline int
peer_connect(unsigned port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		abort();
	return fd;
}

/* Both ways, until either side ends; false: it dies here. */
static inline bool
peer_hand_on(struct peer *p, int fd)
{
	AUTO_CLOSE int to = peer_connect(p->target);
	struct pollfd f[2] = { { fd, POLLIN, 0 }, { to, POLLIN, 0 } };
	uint64_t handed = 0;
	char data[65536];

	while (poll(f, 2, -1) > 0) {
		for (int i = 0; i < 2; i++) {
			ssize_t n;

			if (f[i].revents == 0)
				continue;
			n = read(f[i].fd, data, sizeof(data));
			if (n <= 0 || !peer_send(f[1 - i].fd, data, (size_t)n))
				return true;
			handed += (uint64_t)n;
			if (p->dies_after > 0 && handed > p->dies_after)
				return false;
		}
	}
	return true;
}

/* false: the connection is over; *ret_dead: the peer, too. */
static inline bool
peer_serve_one(struct peer *p, int fd, bool *ret_dead)
{
	char *head = xcalloc(1, PEER_HEAD_MAX);
	AUTO_FREE char *answer = NULL;
	bool tunnel, hands_on;
	ssize_t end;
	size_t len, i;

	end = peer_read_head(fd, head, &len);
	if (end < 0) {
		free(head);
		return false;
	}
	tunnel = strncmp(head, "CONNECT ", 8) == 0;
	(void)pthread_mutex_lock(&p->mu);
	assert(p->n < PEER_REQUESTS);
	i = p->n++;
	memcpy(p->head[i], head, (size_t)end);
	p->head[i][end] = '\0';
	hands_on = tunnel && p->connect == NULL;
	if (!hands_on && (tunnel || p->answer[i] != NULL))
		answer = xstrdup(tunnel ? p->connect : p->answer[i]);
	(void)pthread_mutex_unlock(&p->mu);
	if (!tunnel)
		peer_read_body(fd, head, len - (size_t)end);
	free(head);
	if (hands_on) {
		(void)peer_send(fd, "HTTP/1.1 200 OK\r\n\r\n", 19);
		*ret_dead = !peer_hand_on(p, fd);
		return false;
	}
	return answer != NULL && peer_send(fd, answer, strlen(answer));
}

static inline void *
peer_serve(void *arg)
{
	struct peer_connection *c = arg;
	struct peer *p = c->peer;
	bool dead = false;

	while (peer_serve_one(p, c->fd, &dead))
		;
	LOCK_SCOPE(&p->mu);
	if (dead)
		(void)shutdown(p->fd, SHUT_RDWR);
	(void)close(TAKE_FD(c->fd));
	return NULL;
}

static inline void *
peer_run(void *arg)
{
	struct peer *p = arg;
	int fd;

	for (;;) {
		struct peer_connection *c;

		fd = accept4(p->fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			return NULL;
		LOCK_SCOPE(&p->mu);
		assert(p->n_connections < PEER_CONNECTIONS);
		c = &p->connection[p->n_connections++];
		c->peer = p;
		c->fd = fd;
		if (pthread_create(&c->thread, NULL, peer_serve, c) != 0)
			abort();
	}
}

static inline void
peer_start(struct peer *p)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t len = sizeof(a);

	memset(p, 0, sizeof(*p));
	(void)pthread_mutex_init(&p->mu, NULL);
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(p->fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
	    listen(p->fd, 16) < 0 ||
	    getsockname(p->fd, (struct sockaddr *)&a, &len) < 0)
		abort();
	p->port = ntohs(a.sin_port);
	(void)snprintf(p->url, sizeof(p->url), "http://127.0.0.1:%u", p->port);
	if (pthread_create(&p->thread, NULL, peer_run, p) != 0)
		abort();
}

static inline void
peer_stop(struct peer *p)
{
	(void)shutdown(p->fd, SHUT_RDWR);
	(void)pthread_join(p->thread, NULL);
	for (size_t i = 0; i < p->n_connections; i++) {
		(void)pthread_mutex_lock(&p->mu);
		if (p->connection[i].fd >= 0)
			(void)shutdown(p->connection[i].fd, SHUT_RDWR);
		(void)pthread_mutex_unlock(&p->mu);
		(void)pthread_join(p->connection[i].thread, NULL);
	}
	(void)close(p->fd);
	(void)pthread_mutex_destroy(&p->mu);
}

/* Forgets what came, and what it was to answer. */
static inline void
peer_clear(struct peer *p)
{
	(void)pthread_mutex_lock(&p->mu);
	p->n = 0;
	memset(p->head, 0, sizeof(p->head));
	memset(p->answer, 0, sizeof(p->answer));
	p->connect = NULL;
	(void)pthread_mutex_unlock(&p->mu);
}

static inline size_t
peer_count(struct peer *p)
{
	LOCK_SCOPE(&p->mu);
	return p->n;
}

/* A header's value in request i, in a static buffer; NULL if there is none. */
static inline const char *
peer_header(struct peer *p, size_t i, const char *name)
{
	static char value[PEER_HEAD_MAX];
	AUTO_FREE char *needle = xasprintf("\r\n%s:", name);
	const char *at;

	LOCK_SCOPE(&p->mu);
	at = strcasestr(p->head[i], needle);
	if (at == NULL)
		return NULL;
	at += strlen(needle);
	at += strspn(at, " ");
	(void)snprintf(value, sizeof(value), "%.*s", (int)strcspn(at, "\r"), at);
	return value;
}

#define PEER_OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

#endif
