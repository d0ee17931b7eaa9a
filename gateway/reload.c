/* reload.c - a new configuration while running: taken as a whole or refused
 * loudly. What can refuse comes first; after that nothing fails.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/base/notify.h"
#include "gateway/gateway_int.h"

#define PROBLEMS_MAX (256 * 1024)

const struct config *
gateway_config(void *gateway)
{
	struct gateway *g = gateway;
	LOCK_SCOPE(&g->config_mu);

	return config_ref(g->config);
}

void
gateway_spool_options(const struct config *cfg, struct spool_options *ret)
{
	*ret = (struct spool_options){
		.directory = cfg->spool->directory,
		.reserve = cfg->spool->reserve,
		.keep_delivered_ms = (int64_t)cfg->spool->keep_delivered_ms,
		.keep_index_ms = (int64_t)cfg->spool->keep_index_ms,
	};
}

void
gateway_tell_ready(const struct config *cfg)
{
	notify_send("READY=1\nSTATUS=Receiving at %zu port%s for %zu peer%s, "
	    "sending to %zu destination%s",
	    cfg->gateway->listen.n, cfg->gateway->listen.n == 1 ? "" : "s",
	    cfg->peers.n, cfg->peers.n == 1 ? "" : "s",
	    cfg->destinations.n, cfg->destinations.n == 1 ? "" : "s");
}

/* ---- what changed ------------------------------------------------------- */

static bool
same_strings(const struct config_strings *a, const struct config_strings *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->v[i], b->v[i]) != 0)
			return false;
	return true;
}

/* Could an instance go elsewhere than before? */
static bool
same_routing(const struct config *a, const struct config *b)
{
	if (a->routes.n != b->routes.n || a->destinations.n != b->destinations.n)
		return false;
	for (size_t i = 0; i < a->routes.n; i++) {
		const struct config_route *x = a->routes.v[i], *y = b->routes.v[i];

		if (x->final != y->final || !same_strings(&x->from, &y->from) ||
		    !same_strings(&x->called, &y->called) ||
		    !same_strings(&x->modality, &y->modality) ||
		    !same_strings(&x->to, &y->to))
			return false;
	}
	for (size_t i = 0; i < a->destinations.n; i++) {
		const struct config_destination *x = a->destinations.v[i];

		if (config_destination_find(b, x->name) == NULL)
			return false;
	}
	return true;
}

static bool
needs_restart(struct gateway *g, const struct config *cfg, struct buf *problems)
{
	struct buf keys = BUF_INIT(4096);
	bool needed = true;

	if (config_restart_needed(g->config, cfg, &keys) < 0)
		(void)buf_add_str(problems, "out of memory\n");
	else if (keys.len > 0)
		(void)buf_printf(problems, "%s: only a restart changes %s\n",
		    g->config_path, keys.data);
	else if (cfg->gateway->max_associations > g->max_associations)
		(void)buf_printf(problems, "%s: only a restart can raise "
		    "gateway.max_associations above %llu\n", g->config_path,
		    (unsigned long long)g->max_associations);
	else
		needed = false;
	buf_free(&keys);
	return needed;
}

/* ---- certificates ------------------------------------------------------- */

/* One for each listener, NULL where it is plain. */
struct listener_tls {
	size_t n;
	struct assoc_tls **v;
};

static void
free_listener_tls(struct listener_tls *t)
{
	for (size_t i = 0; i < t->n; i++)
		assoc_tls_unref(t->v[i]);
	free(t->v);
}

/* Read anew although the names of the files are the same: certificates are renewed
 * and revoked. */
static int
load_tls(const struct config *cfg, struct listener_tls *ret, struct buf *problems)
{
	const struct config_list *listen = &cfg->gateway->listen;
	struct listener_tls t = { .v = xcalloc(listen->n, sizeof(struct assoc_tls *)) };
	int r = 0;

	for (; t.n < listen->n && r == 0; t.n++)
		r = gateway_listener_tls(listen->v[t.n], &t.v[t.n], problems);
	if (r < 0) {
		free_listener_tls(&t);
		return r;
	}
	*ret = t;
	return 0;
}

static void
renew_tls(struct gateway *g, const struct config *cfg, const struct listener_tls *t)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct config_listen *l = cfg->gateway->listen.v[i];

		assoc_server_renew_tls(g->server, l->address, (uint16_t)l->port,
		    t->v[i]);
	}
}

/* ---- taking over -------------------------------------------------------- */

static void
put_in_force(struct gateway *g, const struct config *cfg, struct buf *notes)
{
	const struct config *old = g->config;
	struct spool_options opt;
	int r = 0;

	gateway_spool_options(cfg, &opt);
	spool_configure(g->spool, &opt);
	dimse_configure(g->dimse, cfg);
	assoc_server_set_handshake_timeout(g->server,
	    (int64_t)cfg->gateway->handshake_timeout_ms);
	log_set_level((enum log_level)cfg->log->level);
	if (!same_routing(old, cfg))
		r = spool_reconsider_unrouted(g->spool);
	if (r < 0)
		(void)buf_printf(notes, "images without a route were not looked at "
		    "anew: %s; reload again\n", strerror(-r));

	(void)pthread_mutex_lock(&g->config_mu);
	g->config = cfg;
	(void)pthread_mutex_unlock(&g->config_mu);
	config_unref(old);
}

static int
take_over(struct gateway *g, struct buf *problems)
{
	AUTO(free_listener_tls) struct listener_tls tls = { 0 };
	const struct config *cfg;
	struct buf why = BUF_INIT(PROBLEMS_MAX);
	int r;

	if (gateway_load(g->config_path, &cfg, problems) != 0)
		return -EINVAL;
	if (needs_restart(g, cfg, problems)) {
		config_unref(cfg);
		return -EBUSY;
	}
	r = load_tls(cfg, &tls, &why);
	if (r == 0)
		r = upload_configure(g->upload, cfg, &why);
	if (why.len > 0)
		(void)buf_printf(problems, "%s\n", why.data);
	buf_free(&why);
	if (r < 0) {
		if (problems->len == 0)
			(void)buf_printf(problems, "%s\n", strerror(-r));
		config_unref(cfg);
		return r;
	}
	renew_tls(g, cfg, &tls);
	put_in_force(g, cfg, problems);
	return 0;
}

static void
log_warning_text(void *arg, const char *text)
{
	(void)arg;
	log_warn(text);
}

static void
log_lines(enum log_level level, const struct buf *b)
{
	const char *at = b->len > 0 ? b->data : "";

	while (*at != '\0') {
		size_t len = strcspn(at, "\n");
		AUTO_FREE char *line = xstrndup(at, len);

		if (len > 0)
			log_write(level, line);
		at += len + (at[len] == '\n' ? 1 : 0);
	}
}

int
gateway_reload(void *gateway, const char *actor, struct buf *problems)
{
	struct gateway *g = gateway;
	int r;
	LOCK_SCOPE(&g->reload_mu);

	notify_send("RELOADING=1\nMONOTONIC_USEC=%lld",
	    (long long)clock_mono_ms() * 1000);
	r = take_over(g, problems);
	gateway_tell_ready(g->config);
	log_lines(r < 0 ? LOG_ERROR : LOG_WARNING, problems);
	if (r < 0) {
		log_error("reload refused, the old configuration stays in force",
		    LOG_STR("actor", actor));
		return r;
	}
	log_info("reloaded", LOG_STR("actor", actor),
	    LOG_U64("peers", g->config->peers.n),
	    LOG_U64("destinations", g->config->destinations.n),
	    LOG_U64("routes", g->config->routes.n));
	admin_config_warnings(g->config, log_warning_text, NULL);
	return 0;
}

/* ---- SIGHUP ------------------------------------------------------------- */

static void *
run_reloader(void *arg)
{
	struct gateway *g = arg;

	(void)pthread_setname_np(pthread_self(), "reload");
	(void)pthread_mutex_lock(&g->reloader_mu);
	while (!g->reloader_stops) {
		struct buf problems = BUF_INIT(PROBLEMS_MAX);

		if (!g->reload_wanted) {
			(void)pthread_cond_wait(&g->reloader_cond, &g->reloader_mu);
			continue;
		}
		g->reload_wanted = false;
		(void)pthread_mutex_unlock(&g->reloader_mu);
		(void)gateway_reload(g, "SIGHUP", &problems);
		buf_free(&problems);
		(void)pthread_mutex_lock(&g->reloader_mu);
	}
	(void)pthread_mutex_unlock(&g->reloader_mu);
	return NULL;
}

int
gateway_reloader_start(struct gateway *g)
{
	sigset_t all, old;
	int e;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	e = pthread_create(&g->reloader, NULL, run_reloader, g);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	g->reloader_runs = e == 0;
	return -e;
}

void
gateway_reloader_wake(struct gateway *g)
{
	LOCK_SCOPE(&g->reloader_mu);
	g->reload_wanted = true;
	(void)pthread_cond_signal(&g->reloader_cond);
}

void
gateway_reloader_stop(struct gateway *g)
{
	if (!g->reloader_runs)
		return;
	(void)pthread_mutex_lock(&g->reloader_mu);
	g->reloader_stops = true;
	(void)pthread_cond_signal(&g->reloader_cond);
	(void)pthread_mutex_unlock(&g->reloader_mu);
	(void)pthread_join(g->reloader, NULL);
	g->reloader_runs = false;
}
