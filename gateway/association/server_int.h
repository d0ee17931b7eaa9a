/* server_int.h - a listening server: who waits, who runs.
 *
 * A connection is WAITING (silent, watched by the event loop), READY (it has
 * spoken and waits for a thread or for its address's turn), or RUNNING (a thread
 * has it). Lists and timers of the first two belong to the event loop's thread
 * alone; RUNNING and listeners are under mu.
 */
#ifndef CW_ASSOCIATION_SERVER_INT_H
#define CW_ASSOCIATION_SERVER_INT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <event2/event.h>

#include "gateway/association/association.h"

struct pool;
struct stream;

struct connection {
	TAILQ_ENTRY(connection) link;
	enum { CONNECTION_WAITING, CONNECTION_READY, CONNECTION_RUNNING } state;
	struct assoc_server *server;
	int	 fd;			/* -1 once a stream has it */
	char	 address[48];
	uint16_t port;
	struct assoc_tls *tls;
	int64_t	 deadline_ms;		/* for the A-ASSOCIATE-RQ */
	struct event *event;		/* NULL while running */
	bool	 handshaking;		/* mu */
	bool	 leaving;		/* mu: waits for the peer's goodbye */
	struct stream *stream;		/* mu: for assoc_server_stop() */
};
TAILQ_HEAD(connections, connection);

struct listener {
	TAILQ_ENTRY(listener) link;
	struct assoc_server *server;
	int fd;
	char *address;			/* NULL: all */
	uint16_t port;
	struct assoc_tls *tls;		/* mu */
	struct event *event, *resume;	/* resume: accept() had no descriptor */
};
TAILQ_HEAD(listeners, listener);

struct assoc_server {
	struct event_base *base;
	struct assoc_server_options opt;
	atomic_llong handshake_ms;
	struct pool *pool;
	atomic_bool stopping;
	int	 stop_fd, wake_fd;	/* eventfd: waits end; a thread is free */
	struct event *wake;

	struct connections waiting, ready;

	pthread_mutex_t mu;
	struct listeners listeners;	/* changed by the event loop alone */
	pthread_cond_t	ended;		/* CLOCK_MONOTONIC */
	struct connections running;
	struct assoc_server_stats stats;
};

struct connection *connection_new(struct listener *l, int fd, const char *address,
    uint16_t port);
/* A failed connection is reported, one that just went (what NULL) is not. */
void connection_drop(struct connection *c, const char *what);
/* Gives threads to those that are ready, in order. Event loop only. */
void server_dispatch(struct assoc_server *s);
/* In a pool thread: handshake, service, end. Takes the connection. */
void server_run_connection(void *connection);

#endif
