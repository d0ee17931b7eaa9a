/* server.c - the server as a whole: its start, its stop, its figures. */
#include <assert.h>
#include <errno.h>
#include <sys/eventfd.h>
#include <time.h>

#include "gateway/association/pool_int.h"
#include "gateway/association/server_int.h"
#include "gateway/association/shim_int.h"
#include "gateway/association/stream_int.h"
#include "gateway/base/cleanup.h"

static void
on_wake(evutil_socket_t fd, short what, void *arg)
{
	eventfd_t n;

	(void)what;
	(void)eventfd_read(fd, &n);
	server_dispatch(arg);
}

static void
wake_loop(void *arg)
{
	struct assoc_server *s = arg;

	(void)eventfd_write(s->wake_fd, 1);
}

static void
init_locks(struct assoc_server *s)
{
	pthread_condattr_t attr;

	(void)pthread_mutex_init(&s->mu, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&s->ended, &attr);
	(void)pthread_condattr_destroy(&attr);
}

int
assoc_server_new(struct event_base *base, const struct assoc_server_options *opt,
    struct assoc_server **ret)
{
	struct assoc_server *s;
	int e;

	e = dul_global_init();
	if (e < 0)
		return e;
	s = xcalloc(1, sizeof(*s));
	s->base = base;
	s->opt = *opt;
	atomic_init(&s->handshake_ms, opt->handshake_timeout_ms);
	TAILQ_INIT(&s->listeners);
	TAILQ_INIT(&s->waiting);
	TAILQ_INIT(&s->ready);
	TAILQ_INIT(&s->running);
	init_locks(s);
	s->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert(s->stop_fd >= 0 && s->wake_fd >= 0);
	s->wake = event_new(base, s->wake_fd, EV_READ | EV_PERSIST, on_wake, s);
	(void)event_add(s->wake, NULL);
	s->pool = pool_new(opt->threads_max, wake_loop, s);
	*ret = s;
	return 0;
}

void
assoc_server_set_handshake_timeout(struct assoc_server *s, int64_t ms)
{
	atomic_store(&s->handshake_ms, ms);
}

static void
close_listeners(struct assoc_server *s)
{
	struct listener *l;
	LOCK_SCOPE(&s->mu);

	while ((l = TAILQ_FIRST(&s->listeners)) != NULL) {
		TAILQ_REMOVE(&s->listeners, l, link);
		event_free(l->event);
		event_free(l->resume);
		(void)close(l->fd);
		assoc_tls_unref(l->tls);
		free(l->address);
		free(l);
	}
}

static void
drop_all(struct connections *list)
{
	struct connection *c;

	while ((c = TAILQ_FIRST(list)) != NULL)
		connection_drop(c, NULL);
}

/* false: the deadline passed and some still run. */
static bool
wait_ended(struct assoc_server *s, int64_t deadline_ms)
{
	struct timespec until = { .tv_sec = deadline_ms / 1000,
		.tv_nsec = deadline_ms % 1000 * 1000000 };
	LOCK_SCOPE(&s->mu);

	while (!TAILQ_EMPTY(&s->running))
		if (pthread_cond_timedwait(&s->ended, &s->mu, &until) == ETIMEDOUT)
			return TAILQ_EMPTY(&s->running);
	return true;
}

static void
cut_all(struct assoc_server *s)
{
	struct connection *c;
	LOCK_SCOPE(&s->mu);

	TAILQ_FOREACH(c, &s->running, link)
		if (c->stream != NULL)
			stream_cut(c->stream);
}

void
assoc_server_stop(struct assoc_server *s, int64_t deadline_ms)
{
	close_listeners(s);
	atomic_store(&s->stopping, true);
	(void)eventfd_write(s->stop_fd, 1);
	drop_all(&s->waiting);
	drop_all(&s->ready);
	if (!wait_ended(s, deadline_ms))
		cut_all(s);
	pool_free(TAKE_PTR(s->pool));
}

void
assoc_server_free(struct assoc_server *s)
{
	if (s == NULL)
		return;
	if (s->pool != NULL)
		assoc_server_stop(s, 0);
	event_free(s->wake);
	(void)close(s->wake_fd);
	(void)close(s->stop_fd);
	(void)pthread_cond_destroy(&s->ended);
	(void)pthread_mutex_destroy(&s->mu);
	free(s);
}

void
assoc_server_stats(struct assoc_server *s, struct assoc_server_stats *ret)
{
	LOCK_SCOPE(&s->mu);
	*ret = s->stats;
}
