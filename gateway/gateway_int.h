/* gateway_int.h - what the files of causewayd's top share.
 *
 *   main.c	options, the process
 *   check.c	causewayd -t, and what else is wrong before anything starts
 *   run.c	the parts, the order of start and stop, main's event loop
 *   reload.c	a new configuration while running
 */
#ifndef CW_GATEWAY_INT_H
#define CW_GATEWAY_INT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <event2/event.h>

#include "config/config.h"
#include "gateway/admin/admin.h"
#include "gateway/association/association.h"
#include "gateway/base/buf.h"
#include "gateway/dimse/dimse.h"
#include "gateway/upload/upload.h"
#include "spool/spool.h"

enum { GATEWAY_STOPPED = 0, GATEWAY_FAILED = 1, GATEWAY_BAD_CONFIG = 2 };

struct gateway {
	const char *config_path;
	/* Order of locks: reload_mu, config_mu. */
	pthread_mutex_t reload_mu;	/* one reload at a time */
	pthread_mutex_t config_mu;
	const struct config *config;	/* config_mu; replaced under both */
	uint64_t max_associations;	/* at start: threads are made for these */

	struct event_base *base;
	struct event *sigterm, *sigint, *sighup, *fatal_event, *watchdog;
	int	 fatal_fd;		/* eventfd: the spool's disk failed */
	atomic_bool failed;

	struct spool	    *spool;
	struct upload	    *upload;
	bool	 upload_started;
	struct dimse	    *dimse;
	struct assoc_server *server;
	struct admin	    *admin;

	/* SIGHUP: main must not touch disk or index, so a thread reloads. */
	pthread_t reloader;
	bool	  reloader_runs;
	pthread_mutex_t reloader_mu;
	pthread_cond_t	reloader_cond;
	bool	  reload_wanted, reloader_stops;	/* reloader_mu */
};

/* ---- check.c ---- */

void gateway_register_kinds(void);
/* 0 and a snapshot, or GATEWAY_BAD_CONFIG with the problems, one per line. What
 * only opening can tell (keys that do not fit certificates) is found, too. */
int  gateway_load(const char *path, const struct config **ret, struct buf *problems);
/* causewayd -t: opens the destinations, without a call to any. Problems as above;
 * what is no more than a warning says so. 0, or GATEWAY_BAD_CONFIG. */
int  gateway_try_destinations(const char *path, const struct config *cfg,
	 struct buf *problems);
int  gateway_listener_tls(const struct config_listen *l, struct assoc_tls **ret,
	 struct buf *why);

/* ---- reload.c ---- */

const struct config *gateway_config(void *gateway);	/* with a reference */
/* 0, or a negative errno with the problems: then nothing changed. */
int  gateway_reload(void *gateway, const char *actor, struct buf *problems);
int  gateway_reloader_start(struct gateway *g);
void gateway_reloader_wake(struct gateway *g);
void gateway_reloader_stop(struct gateway *g);
void gateway_spool_options(const struct config *cfg, struct spool_options *ret);
void gateway_tell_ready(const struct config *cfg);

/* ---- run.c ---- */

/* Takes the snapshot. Returns the exit status. */
int  gateway_run(const char *config_path, const struct config *cfg);

#endif
