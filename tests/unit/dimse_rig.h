/* dimse_rig.h - a receiver on a free port of the loopback, with its event loop in
 * a thread of its own.
 */
#ifndef CW_TESTS_UNIT_DIMSE_RIG_H
#define CW_TESTS_UNIT_DIMSE_RIG_H

#include <arpa/inet.h>
#include <assert.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/thread.h>

#include "gateway/association/association.h"
#include "gateway/base/clock.h"

struct rig {
	struct event_base *base;
	struct assoc_server *server;
	pthread_t loop;
	uint16_t port;
	pthread_mutex_t mu;
	unsigned failures;
	char	 failed[256], failed_address[48];	/* the last one */
	assoc_service_fn *service;
	void	*arg;
};

static inline void *
rig_loop(void *arg)
{
	struct rig *r = arg;

	(void)event_base_loop(r->base, EVLOOP_NO_EXIT_ON_EMPTY);
	return NULL;
}

static inline void
rig_failed(void *arg, const char *address, bool tls, const char *what)
{
	struct rig *r = arg;

	(void)tls;
	(void)pthread_mutex_lock(&r->mu);
	r->failures++;
	(void)snprintf(r->failed, sizeof(r->failed), "%s", what);
	(void)snprintf(r->failed_address, sizeof(r->failed_address), "%s",
	    address);
	(void)pthread_mutex_unlock(&r->mu);
}

static inline void
rig_serve(void *arg, struct assoc *a)
{
	struct rig *r = arg;

	r->service(r->arg, a);
}

static inline uint16_t
rig_free_port(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert(bind(fd, (struct sockaddr *)&sa, len) == 0);
	assert(getsockname(fd, (struct sockaddr *)&sa, &len) == 0);
	(void)close(fd);
	return ntohs(sa.sin_port);
}

/* opt may be changed by the test before; NULL: what suits most. */
static inline void
rig_start(struct rig *r, const struct assoc_server_options *opt,
    struct assoc_tls *tls, assoc_service_fn *service, void *arg)
{
	struct assoc_server_options o = { .threads_max = 24, .waiting_max = 1024,
		.waiting_per_address = 128, .handshakes_per_address = 16,
		.handshake_timeout_ms = 30000 };
	struct buf why = BUF_INIT(1000);
	int e;

	memset(r, 0, sizeof(*r));
	(void)pthread_mutex_init(&r->mu, NULL);
	r->service = service;
	r->arg = arg;
	if (opt != NULL)
		o = *opt;
	o.service = rig_serve;
	o.failed = rig_failed;
	o.arg = r;
	(void)evthread_use_pthreads();
	r->base = event_base_new();
	e = assoc_server_new(r->base, &o, &r->server);
	assert(e == 0);
	do {
		r->port = rig_free_port();
		buf_clear(&why);
		e = assoc_server_listen(r->server, "127.0.0.1", r->port, tls, &why);
	} while (e == -EADDRINUSE);
	assert(e == 0);
	buf_free(&why);
	(void)pthread_create(&r->loop, NULL, rig_loop, r);
}

static inline void
rig_on_break(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)event_base_loopbreak(arg);
}

/* By an event, because a break is forgotten by a loop that has yet to begin. */
static inline void
rig_end_loop(struct rig *r)
{
	(void)event_base_once(r->base, -1, EV_TIMEOUT, rig_on_break, r->base,
	    &(struct timeval){ 0 });
	(void)pthread_join(r->loop, NULL);
}

static inline void
rig_stop(struct rig *r)
{
	rig_end_loop(r);
	assoc_server_stop(r->server, clock_mono_ms() + 2000);
	assoc_server_free(r->server);
	event_base_free(r->base);
	(void)pthread_mutex_destroy(&r->mu);
}

static inline void
rig_pause(unsigned ms)
{
	(void)poll(NULL, 0, (int)ms);
}

/* Until n associations and handshakes are left; false after five seconds. */
static inline bool
rig_wait_running(struct rig *r, unsigned n)
{
	struct assoc_server_stats st;

	for (int i = 0; i < 500; i++) {
		assoc_server_stats(r->server, &st);
		if (st.associations + st.handshaking == n)
			return true;
		rig_pause(10);
	}
	return false;
}

static inline bool
rig_wait_failures(struct rig *r, unsigned n)
{
	unsigned have;

	for (int i = 0; i < 500; i++) {
		(void)pthread_mutex_lock(&r->mu);
		have = r->failures;
		(void)pthread_mutex_unlock(&r->mu);
		if (have >= n)
			return true;
		rig_pause(10);
	}
	return false;
}

#endif
