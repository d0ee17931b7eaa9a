/* admin.c - the thread of the control socket, and HTTP around the calls.
 *
 * Requests are bounded by libevent's limits and answered one after the other:
 * operators are few, and what waits for a commit is short. Every request knows
 * who made it before a handler sees it.
 */
#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>

#include "gateway/admin/admin_int.h"
#include "gateway/base/cleanup.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"

#define IDLE_SECONDS 60		/* of a connection; also while it does not read */

DEFINE_CLEANUP(struct admin, admin_free)

/* ---- one request -------------------------------------------------------- */

static bool
read_actor(struct admin_call *c)
{
	struct evhttp_connection *conn = evhttp_request_get_connection(c->req);
	int fd = bufferevent_getfd(evhttp_connection_get_bufferevent(conn));
	int r = admin_socket_actor(fd, c->actor);

	if (r < 0)
		admin_fail(c, 403, "the kernel does not say who you are: %s",
		    strerror(-r));
	return r == 0;
}

static bool
read_body(struct admin_call *c)
{
	struct evbuffer *in = evhttp_request_get_input_buffer(c->req);
	size_t len = evbuffer_get_length(in);
	json_error_t e;

	if (len == 0)
		return true;
	c->body = json_loadb((const char *)evbuffer_pullup(in, -1), len,
	    JSON_REJECT_DUPLICATES, &e);
	if (!json_is_object(c->body)) {
		admin_fail(c, 400, "the body must be a JSON object%s%s",
		    c->body == NULL ? ": " : "", c->body == NULL ? e.text : "");
		return false;
	}
	return true;
}

static bool
read_query(struct admin_call *c, const struct evhttp_uri *uri)
{
	const char *query = evhttp_uri_get_query(uri);

	if (query == NULL || query[0] == '\0')
		return true;
	if (evhttp_parse_query_str(query, &c->query) == 0)
		return true;
	admin_fail(c, 400, "the part behind ? cannot be read");
	return false;
}

static void
dispatch(struct admin_call *c)
{
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(c->req);
	const char *path = uri != NULL ? evhttp_uri_get_path(uri) : NULL;
	admin_handler_fn *fn;
	int r;

	r = path == NULL ? -EINVAL : admin_route_find(admin_routes,
	    evhttp_request_get_command(c->req), path, c->part, &fn);
	if (r == -ENOENT)
		admin_fail(c, 404, "there is no call %s", path);
	else if (r == -EPERM)
		admin_fail(c, 405, "%s is not called by this method", path);
	else if (r < 0)
		admin_fail(c, 400, "the path cannot be read");
	else if (read_query(c, uri) && read_body(c))
		fn(c);
}

static void
handle_request(struct evhttp_request *req, void *arg)
{
	struct admin_call c = { .admin = arg, .req = req };

	TAILQ_INIT(&c.query);
	if (read_actor(&c))
		dispatch(&c);
	evhttp_clear_headers(&c.query);
	json_decref(c.body);
}

/* ---- the thread --------------------------------------------------------- */

static void
on_stop(evutil_socket_t fd, short what, void *arg)
{
	struct admin *a = arg;

	(void)fd;
	(void)what;
	(void)event_base_loopbreak(a->base);
}

/* Why not evhttp's own: it closes the socket before it forgets it, and by then the
 * number may be another thread's. */
static struct bufferevent *
make_connection(struct event_base *base, void *arg)
{
	(void)arg;
	return bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
}

static int
make_loop(struct admin *a)
{
	int r;

	a->base = event_base_new();
	a->http = a->base != NULL ? evhttp_new(a->base) : NULL;
	a->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (a->http == NULL || a->stop_fd < 0)
		return -ENOMEM;
	a->stop = event_new(a->base, a->stop_fd, EV_READ, on_stop, a);
	if (a->stop == NULL || event_add(a->stop, NULL) < 0)
		return -ENOMEM;
	evhttp_set_max_headers_size(a->http, ADMIN_HEAD_MAX);
	evhttp_set_max_body_size(a->http, ADMIN_BODY_MAX);
	evhttp_set_allowed_methods(a->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST);
	evhttp_set_timeout(a->http, IDLE_SECONDS);
	evhttp_set_bevcb(a->http, make_connection, NULL);
	evhttp_set_gencb(a->http, handle_request, a);
	r = admin_errands_new(a);
	return r < 0 ? r : admin_reconcile_new(a);
}

int
admin_new(const struct admin_options *opt, struct admin **ret, struct buf *why)
{
	struct admin *a AUTO(cleanup_admin_free) = xcalloc(1, sizeof(*a));
	AUTO_CLOSE int fd = -1;
	int r;

	a->opt = *opt;
	a->path = xstrdup(opt->control_socket);
	a->opt.control_socket = a->path;
	a->stop_fd = -1;
	a->started_ms = clock_wall_ms();
	a->started_mono_ms = clock_mono_ms();
	LIST_INIT(&a->sendings);
	r = make_loop(a);
	if (r < 0)
		(void)buf_printf(why, "%s: %s", a->path, strerror(-r));
	else
		r = admin_socket_open(a, &fd, why);
	if (r < 0)
		return r;
	if (evhttp_accept_socket(a->http, fd) < 0)
		return -ENOMEM;
	(void)TAKE_FD(fd);	/* evhttp closes it */
	*ret = TAKE_PTR(a);
	return 0;
}

static void *
run_thread(void *arg)
{
	struct admin *a = arg;

	(void)pthread_setname_np(pthread_self(), "admin");
	(void)event_base_dispatch(a->base);
	return NULL;
}

int
admin_start(struct admin *a)
{
	sigset_t all, old;
	int e;

	assert(!a->running);
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	e = pthread_create(&a->thread, NULL, run_thread, a);
	a->running = e == 0;
	if (e == 0)
		e = -admin_errands_start(a);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -e;
}

void
admin_stop(struct admin *a)
{
	if (a == NULL || !a->running)
		return;
	admin_errands_stop(a);
	(void)eventfd_write(a->stop_fd, 1);
	(void)pthread_join(a->thread, NULL);
	a->running = false;
}

void
admin_free(struct admin *a)
{
	if (a == NULL)
		return;
	admin_stop(a);
	admin_socket_remove(a);
	if (a->http != NULL)
		evhttp_free(a->http);
	admin_errands_free(a);
	admin_reconcile_free(a);
	admin_sendings_free(a);
	if (a->stop != NULL)
		event_free(a->stop);
	if (a->base != NULL)
		event_base_free(a->base);
	cleanup_close(&a->stop_fd);
	free(a->path);
	free(a);
}
