/* connection.c - a connection from accept to its end, across the hand-over from
 * the event loop to a thread.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "gateway/association/assoc_int.h"
#include "gateway/association/pdu_int.h"
#include "gateway/association/pool_int.h"
#include "gateway/association/server_int.h"
#include "gateway/association/stream_int.h"
#include "gateway/base/cleanup.h"
#include "gateway/base/clock.h"

#define TLS_HANDSHAKE_RECORD 0x16

static struct timeval
time_left(const struct connection *c)
{
	int ms = clock_timeout(c->deadline_ms);

	return (struct timeval){ .tv_sec = ms / 1000,
		.tv_usec = ms % 1000 * 1000 };
}

static void
free_connection(struct connection *c)
{
	if (c->event != NULL)
		event_free(c->event);
	if (c->fd >= 0)
		(void)close(c->fd);
	assoc_tls_unref(c->tls);
	free(c);
}

static void
report_failure(const struct connection *c, const char *what)
{
	const struct assoc_server_options *opt = &c->server->opt;

	if (opt->failed != NULL)
		opt->failed(opt->arg, c->address, c->tls != NULL, what);
}

static void
count_waiting(struct assoc_server *s, int delta)
{
	LOCK_SCOPE(&s->mu);
	s->stats.waiting += (unsigned)delta;
}

void
connection_drop(struct connection *c, const char *what)
{
	struct assoc_server *s = c->server;

	assert(c->state != CONNECTION_RUNNING);
	if (c->state == CONNECTION_WAITING)
		TAILQ_REMOVE(&s->waiting, c, link);
	else
		TAILQ_REMOVE(&s->ready, c, link);
	count_waiting(s, -1);
	if (what != NULL)
		report_failure(c, what);
	free_connection(c);
}

/* NULL: it looks right; "": it went without a word; or what is wrong. */
static const char *
judge_first_byte(const struct connection *c)
{
	uint8_t first;

	if (recv(c->fd, &first, 1, MSG_PEEK) != 1)
		return "";
	if (c->tls != NULL)
		return first == TLS_HANDSHAKE_RECORD ? NULL
		    : first == PDU_ASSOCIATE_RQ ? "plain DICOM on a TLS port"
						: "not TLS";
	return first == PDU_ASSOCIATE_RQ ? NULL
	    : first == TLS_HANDSHAKE_RECORD ? "TLS on a plain DICOM port"
					    : "not DICOM";
}

static void
on_timeout(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	connection_drop(arg, "no thread was free in time");
}

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
	struct connection *c = arg;
	struct assoc_server *s = c->server;
	struct timeval left;
	const char *wrong;

	(void)fd;
	if ((what & EV_TIMEOUT) != 0) {
		connection_drop(c, "silent: no A-ASSOCIATE-RQ in time");
		return;
	}
	wrong = judge_first_byte(c);
	if (wrong != NULL) {
		connection_drop(c, wrong[0] != '\0' ? wrong : NULL);
		return;
	}
	TAILQ_REMOVE(&s->waiting, c, link);
	TAILQ_INSERT_TAIL(&s->ready, c, link);
	c->state = CONNECTION_READY;
	event_free(c->event);
	c->event = event_new(s->base, -1, 0, on_timeout, c);
	left = time_left(c);
	(void)event_add(c->event, &left);
	server_dispatch(s);
}

static struct assoc_tls *
listener_tls(struct listener *l)
{
	LOCK_SCOPE(&l->server->mu);
	return assoc_tls_ref(l->tls);
}

struct connection *
connection_new(struct listener *l, int fd, const char *address, uint16_t port)
{
	struct assoc_server *s = l->server;
	struct connection *c = calloc(1, sizeof(*c));
	struct timeval left;

	if (c == NULL)
		return NULL;
	c->server = s;
	c->fd = fd;
	c->port = port;
	c->tls = listener_tls(l);
	c->deadline_ms = clock_mono_ms() + atomic_load(&s->handshake_ms);
	(void)snprintf(c->address, sizeof(c->address), "%s", address);
	c->event = event_new(s->base, fd, EV_READ, on_event, c);
	left = time_left(c);
	(void)event_add(c->event, &left);
	TAILQ_INSERT_TAIL(&s->waiting, c, link);
	count_waiting(s, 1);
	return c;
}

static unsigned
count_handshakes(struct assoc_server *s, const char *address)
{
	struct connection *c;
	unsigned n = 0;
	LOCK_SCOPE(&s->mu);

	TAILQ_FOREACH(c, &s->running, link)
		n += (c->handshaking || c->leaving) &&
		    strcmp(c->address, address) == 0;
	return n;
}

/* READY -> RUNNING, before a thread may see it. */
static void
start_running(struct assoc_server *s, struct connection *c)
{
	TAILQ_REMOVE(&s->ready, c, link);
	(void)pthread_mutex_lock(&s->mu);
	TAILQ_INSERT_TAIL(&s->running, c, link);
	c->state = CONNECTION_RUNNING;
	c->handshaking = true;
	s->stats.waiting--;
	s->stats.handshaking++;
	(void)pthread_mutex_unlock(&s->mu);
	event_free(c->event);
	c->event = NULL;
}

void
server_dispatch(struct assoc_server *s)
{
	struct connection *c, *next;

	for (c = TAILQ_FIRST(&s->ready); c != NULL; c = next) {
		next = TAILQ_NEXT(c, link);
		if (count_handshakes(s, c->address) >=
		    s->opt.handshakes_per_address)
			continue;
		if (pool_reserve(s->pool) < 0)
			return;
		start_running(s, c);
		pool_submit(s->pool, server_run_connection, c);
	}
}

/* ---- in a thread ---------------------------------------------------------- */

static void
set_stream(struct connection *c, struct stream *stream)
{
	LOCK_SCOPE(&c->server->mu);
	c->stream = stream;
}

static void
end_handshake(struct connection *c, bool associated)
{
	struct assoc_server *s = c->server;

	(void)pthread_mutex_lock(&s->mu);
	c->handshaking = false;
	c->leaving = !associated;
	s->stats.handshaking--;
	s->stats.associations += associated;
	(void)pthread_mutex_unlock(&s->mu);
	(void)eventfd_write(s->wake_fd, 1);
}

static void
start_leaving(struct connection *c)
{
	LOCK_SCOPE(&c->server->mu);
	c->leaving = true;
}

static void
end_running(struct connection *c, bool associated)
{
	struct assoc_server *s = c->server;

	(void)pthread_mutex_lock(&s->mu);
	TAILQ_REMOVE(&s->running, c, link);
	s->stats.associations -= associated;
	if (TAILQ_EMPTY(&s->running))
		(void)pthread_cond_broadcast(&s->ended);
	(void)pthread_mutex_unlock(&s->mu);
	free_connection(c);
}

static int
shake_hands(struct connection *c, struct stream *stream, struct assoc *a)
{
	char what[256];
	int e = 0;

	stream_set_deadline(stream, c->deadline_ms);
	if (c->tls != NULL) {
		e = stream_handshake(stream, c->tls);
		if (e < 0)
			(void)snprintf(what, sizeof(what), "TLS handshake: %s",
			    stream_reason(stream)[0] != '\0'
			    ? stream_reason(stream) : strerror(-e));
	}
	if (e == 0) {
		e = assoc_receive(a);
		if (e < 0)
			(void)snprintf(what, sizeof(what), "%s", e == -ETIMEDOUT
			    ? "no whole A-ASSOCIATE-RQ in time"
			    : assoc_reason(a));
	}
	if (e < 0 && e != -ECANCELED)
		report_failure(c, what);
	return e;
}

void
server_run_connection(void *connection)
{
	struct connection *c = connection;
	struct assoc_server *s = c->server;
	struct stream *stream = stream_new(TAKE_FD(c->fd), s->stop_fd);
	struct assoc *a = assoc_new(stream, &s->stopping, c->address, c->port);
	bool associated;

	set_stream(c, stream);
	associated = shake_hands(c, stream, a) == 0;
	end_handshake(c, associated);
	if (associated)
		s->opt.service(s->opt.arg, a);
	start_leaving(c);
	assoc_free(a);
	set_stream(c, NULL);
	stream_free(stream);
	end_running(c, associated);
}
