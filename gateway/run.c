/* run.c - the parts of the daemon: started in this order, stopped in the reverse
 * one.
 *
 *	log, spool, uploader, dimse, association server, admin, listeners, READY=1
 *
 * Nobody is let in before everything behind the door works, and what sends goes
 * only after what receives. SIGKILL at any point is as safe as a stop.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/base/notify.h"
#include "gateway/gateway_int.h"
#include "gateway/http/http.h"

#define SPARE_THREADS	32	/* for handshakes while all associations are in use */
#define WAITING_MAX	1024
#define WAITING_ADDRESS 128
#define HANDSHAKES	16
#define STOP_MS		20000	/* for messages that are being received */
#define FAILED_STOP_S	10	/* a failed disk may hold a sane stop up for ever */
#define WHY_MAX		(64 * 1024)

/* ---- main's loop -------------------------------------------------------- */

static void
on_stop_signal(evutil_socket_t sig, short what, void *arg)
{
	struct gateway *g = arg;

	(void)what;
	log_info("stopping", LOG_STR("signal", sig == SIGINT ? "SIGINT" : "SIGTERM"));
	(void)event_base_loopbreak(g->base);
}

static void
on_reload_signal(evutil_socket_t sig, short what, void *arg)
{
	(void)sig;
	(void)what;
	gateway_reloader_wake(arg);
}

static void
on_fatal(evutil_socket_t fd, short what, void *arg)
{
	struct gateway *g = arg;

	(void)fd;
	(void)what;
	log_error("stopping: the spool's disk failed, nothing more can be promised");
	(void)event_base_loopbreak(g->base);
}

static void
on_watchdog(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	notify_send("WATCHDOG=1");
}

/* A spool_fatal_fn: any thread. The spool has logged why. */
static void
note_fatal(void *arg, const char *why)
{
	struct gateway *g = arg;

	(void)why;
	atomic_store(&g->failed, true);
	(void)eventfd_write(g->fatal_fd, 1);
}

static int
add_watchdog(struct gateway *g)
{
	int64_t ms = notify_watchdog_ms();
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	if (ms == 0)
		return 0;
	g->watchdog = event_new(g->base, -1, EV_PERSIST, on_watchdog, NULL);
	return g->watchdog != NULL && event_add(g->watchdog, &tv) == 0 ? 0 : -ENOMEM;
}

static int
make_loop(struct gateway *g)
{
	g->base = event_base_new();
	g->fatal_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (g->base == NULL || g->fatal_fd < 0)
		return -ENOMEM;
	g->sigterm = evsignal_new(g->base, SIGTERM, on_stop_signal, g);
	g->sigint = evsignal_new(g->base, SIGINT, on_stop_signal, g);
	g->sighup = evsignal_new(g->base, SIGHUP, on_reload_signal, g);
	g->fatal_event = event_new(g->base, g->fatal_fd, EV_READ, on_fatal, g);
	if (g->sigterm == NULL || g->sigint == NULL || g->sighup == NULL ||
	    g->fatal_event == NULL || event_add(g->sigterm, NULL) < 0 ||
	    event_add(g->sigint, NULL) < 0 || event_add(g->sighup, NULL) < 0 ||
	    event_add(g->fatal_event, NULL) < 0)
		return -ENOMEM;
	return add_watchdog(g);
}

/* ---- start -------------------------------------------------------------- */

static int
start_spool(struct gateway *g, struct buf *why)
{
	struct spool_options opt;
	int r;

	gateway_spool_options(g->config, &opt);
	notify_send("STATUS=Opening the spool");
	r = spool_open(&opt, &g->spool, why);
	if (r == 0)
		spool_callbacks(g->spool, NULL, NULL, note_fatal, g);
	else
		(void)buf_printf(why, "%s (spool.directory: %s)",
		    why->len > 0 ? "" : strerror(-r), opt.directory);
	return r;
}

static int
start_uploader(struct gateway *g, struct buf *why)
{
	int r;

	r = upload_new(g->spool, g->config, &g->upload, why);
	if (r < 0)
		return r;
	if (why->len > 0)
		log_warn(why->data);
	buf_clear(why);
	spool_callbacks(g->spool, upload_wake, g->upload, note_fatal, g);
	r = upload_start(g->upload);
	g->upload_started = r == 0;
	return r;
}

static int
make_server(struct gateway *g, struct buf *why)
{
	struct assoc_server_options opt = {
		.threads_max = (unsigned)g->max_associations + SPARE_THREADS,
		.waiting_max = WAITING_MAX, .waiting_per_address = WAITING_ADDRESS,
		.handshakes_per_address = HANDSHAKES,
		.handshake_timeout_ms =
		    (int64_t)g->config->gateway->handshake_timeout_ms,
		.service = dimse_serve, .failed = dimse_failed,
	};

	(void)why;
	g->dimse = dimse_new(g->spool, g->config);
	opt.arg = g->dimse;
	return assoc_server_new(g->base, &opt, &g->server);
}

static int
start_admin(struct gateway *g, struct buf *why)
{
	const struct admin_options opt = {
		.control_socket = g->config->gateway->control_socket,
		.spool = g->spool, .upload = g->upload, .dimse = g->dimse,
		.associations = g->server, .reload = gateway_reload,
		.config = gateway_config, .arg = g,
	};
	int r;

	r = admin_new(&opt, &g->admin, why);
	if (r == 0)
		r = gateway_reloader_start(g);
	return r < 0 ? r : admin_start(g->admin);
}

static int
start_listener(struct gateway *g, const struct config_listen *l, struct buf *why)
{
	struct assoc_tls *tls = NULL;
	int r = gateway_listener_tls(l, &tls, why);

	if (r == 0)
		r = assoc_server_listen(g->server, l->address, (uint16_t)l->port,
		    tls, why);
	assoc_tls_unref(tls);
	if (r == 0)
		log_info("listening", LOG_STR("address",
		    l->address != NULL ? l->address : "*"), LOG_U64("port", l->port),
		    LOG_STR("tls", l->tls != NULL ? "yes" : "no"));
	return r;
}

static int
start_listeners(struct gateway *g, struct buf *why)
{
	const struct config *cfg = gateway_config(g);	/* a reload may be near */
	int r = 0;

	for (size_t i = 0; i < cfg->gateway->listen.n && r == 0; i++)
		r = start_listener(g, cfg->gateway->listen.v[i], why);
	config_unref(cfg);
	return r;
}

static int
start(struct gateway *g)
{
	static const struct {
		int (*run)(struct gateway *g, struct buf *why);
		const char *what;
	} steps[] = {
		{ start_spool, "the spool cannot be opened" },
		{ start_uploader, "the uploader cannot start" },
		{ make_server, "the association server cannot start" },
		{ start_admin, "the control socket cannot be opened" },
		{ start_listeners, "a port cannot be opened" },
	};
	struct buf why = BUF_INIT(WHY_MAX);
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(steps) && r == 0; i++) {
		r = steps[i].run(g, &why);
		if (r == 0)
			continue;
		AUTO_FREE char *text = xasprintf("%s: %s", steps[i].what,
		    why.len > 0 ? why.data : strerror(-r));

		log_error(text);
		notify_send("STATUS=%.200s\nERRNO=%d", text, -r);
	}
	buf_free(&why);
	return r;
}

/* ---- stop --------------------------------------------------------------- */

static void
free_events(struct gateway *g)
{
	struct event *const events[] = { g->sigterm, g->sigint, g->sighup,
		g->fatal_event, g->watchdog };

	for (size_t i = 0; i < ARRAY_LEN(events); i++)
		if (events[i] != NULL)
			event_free(events[i]);
	if (g->base != NULL)
		event_base_free(g->base);
	cleanup_close(&g->fatal_fd);
}

/* Copes with what never started. */
static void
stop(struct gateway *g)
{
	if (atomic_load(&g->failed))
		(void)alarm(FAILED_STOP_S);	/* its default action ends us */
	notify_send("STOPPING=1\nSTATUS=Stopping");
	gateway_reloader_stop(g);
	if (g->server != NULL)
		assoc_server_stop(g->server, clock_mono_ms() + STOP_MS);
	admin_stop(g->admin);
	upload_stop(g->upload);
	if (g->spool != NULL)
		spool_callbacks(g->spool, NULL, NULL, note_fatal, g);

	admin_free(TAKE_PTR(g->admin));
	assoc_server_free(TAKE_PTR(g->server));
	dimse_free(TAKE_PTR(g->dimse));
	upload_free(TAKE_PTR(g->upload));
	if (g->spool != NULL)
		spool_close(TAKE_PTR(g->spool));
}

/* ---- the whole ---------------------------------------------------------- */

static void
log_warning_text(void *arg, const char *text)
{
	(void)arg;
	log_warn(text);
}

static void
serve(struct gateway *g)
{
	const struct config *cfg = gateway_config(g);

	admin_config_warnings(cfg, log_warning_text, NULL);
	log_info("ready", LOG_STR("version", CAUSEWAY_VERSION),
	    LOG_STR("spool", cfg->spool->directory), LOG_U64("peers", cfg->peers.n),
	    LOG_U64("destinations", cfg->destinations.n));
	gateway_tell_ready(cfg);
	config_unref(cfg);
	(void)event_base_dispatch(g->base);
}

int
gateway_run(const char *config_path, const struct config *cfg)
{
	struct gateway g = { .config_path = config_path, .config = cfg,
		.max_associations = cfg->gateway->max_associations, .fatal_fd = -1,
		.reload_mu = PTHREAD_MUTEX_INITIALIZER,
		.config_mu = PTHREAD_MUTEX_INITIALIZER,
		.reloader_mu = PTHREAD_MUTEX_INITIALIZER,
		.reloader_cond = PTHREAD_COND_INITIALIZER };
	int r;

	log_set_level((enum log_level)cfg->log->level);
	r = make_loop(&g);
	if (r < 0)
		log_error("the event loop cannot start", LOG_ERR(r));
	else
		r = start(&g);
	if (r == 0)
		serve(&g);
	stop(&g);
	free_events(&g);
	config_unref(g.config);
	if (r == 0 && !atomic_load(&g.failed))
		log_info("stopped");
	return r < 0 || atomic_load(&g.failed) ? GATEWAY_FAILED : GATEWAY_STOPPED;
}
