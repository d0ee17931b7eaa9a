/* errand.c - calls that take their time, because they ask a destination: each runs
 * in one of two threads of its own, while the admin thread goes on, and is answered
 * from there when it is done.
 *
 * Who waits may hang up: then the errand is told (admin_errand_gone()), and what it
 * brings is thrown away. At the end of the program the threads are joined by
 * admin_errands_free(), after the uploader has canceled what they wait for.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <sys/eventfd.h>

#include "gateway/admin/admin_int.h"
#include "gateway/base/cleanup.h"
#include "gateway/base/clock.h"

#define ERRAND_STACK (512u << 10)

struct admin_errand {
	STAILQ_ENTRY(admin_errand) link;	/* in done */
	struct admin *admin;
	struct evhttp_request *req;	/* the admin thread's; NULL: nobody asked, or
					 * he hung up */
	admin_errand_fn *work;
	admin_errand_done_fn *done;	/* NULL: nothing more */
	void	*arg;			/* freed with the errand */
	char	 actor[ADMIN_ACTOR_MAX];
	atomic_bool gone;
	int	 status;		/* of the answer */
	json_t	*reply;
};

static void
free_errand(struct admin_errand *e)
{
	if (e == NULL)
		return;
	json_decref(e->reply);
	free(e->arg);
	free(e);
}

static void
free_item(void *item)
{
	free_errand(item);
}

/* ---- the threads --------------------------------------------------------- */

static void *
errand_main(void *arg)
{
	struct admin *a = arg;
	struct admin_errand *e;

	(void)pthread_setname_np(pthread_self(), "errand");
	while ((e = queue_pop(a->errands.waiting, CLOCK_NEVER)) != NULL) {
		e->status = 200;
		if (!admin_errand_gone(e))
			e->reply = e->work(e, e->arg, &e->status);
		/* The admin thread's from here on. */
		LOCK_SCOPE(&a->errands.mu);
		STAILQ_INSERT_TAIL(&a->errands.done, e, link);
		(void)eventfd_write(a->errands.fd, 1);
	}
	return NULL;
}

bool
admin_errand_gone(const struct admin_errand *e)
{
	return atomic_load(&e->gone) || atomic_load(&e->admin->errands.stopping);
}

const char *
admin_errand_actor(const struct admin_errand *e)
{
	return e->actor;
}

const struct admin_options *
admin_errand_options(const struct admin_errand *e)
{
	return &e->admin->opt;
}

bool
admin_errand_wait(const struct admin_errand *e, int64_t ms)
{
	struct admin_errands *l = &e->admin->errands;
	struct timespec until;
	int64_t at = clock_mono_ms() + ms;

	until.tv_sec = at / 1000;
	until.tv_nsec = at % 1000 * 1000000;
	LOCK_SCOPE(&l->mu);
	while (!admin_errand_gone(e) && clock_mono_ms() < at)
		(void)pthread_cond_timedwait(&l->hurry, &l->mu, &until);
	return !admin_errand_gone(e);
}

json_t *
admin_errand_fail(int *ret_status, int status, const char *text)
{
	*ret_status = status;
	return json_pack("{s:o}", "error", admin_json_text(text));
}

/* ---- the admin thread ---------------------------------------------------- */

static void
on_close(struct evhttp_connection *conn, void *arg)
{
	struct admin_errand *e = arg;

	(void)conn;
	if (evhttp_request_get_connection(e->req) == NULL)
		evhttp_request_free(e->req);
	e->req = NULL;
	atomic_store(&e->gone, true);
	LOCK_SCOPE(&e->admin->errands.mu);
	(void)pthread_cond_broadcast(&e->admin->errands.hurry);
}

static void
answer(struct admin_errand *e)
{
	struct admin_call c = { .admin = e->admin, .req = e->req };

	if (e->req == NULL)
		return;
	evhttp_connection_set_closecb(evhttp_request_get_connection(e->req), NULL,
	    NULL);
	admin_reply(&c, e->status, TAKE_PTR(e->reply));
}

static void
on_done(evutil_socket_t fd, short what, void *arg)
{
	struct admin *a = arg;
	struct admin_errand *e;
	eventfd_t n;

	(void)what;
	(void)eventfd_read(fd, &n);
	for (;;) {
		(void)pthread_mutex_lock(&a->errands.mu);
		e = STAILQ_FIRST(&a->errands.done);
		if (e != NULL)
			STAILQ_REMOVE_HEAD(&a->errands.done, link);
		(void)pthread_mutex_unlock(&a->errands.mu);
		if (e == NULL)
			return;
		if (e->done != NULL && e->status == 200 && !admin_errand_gone(e))
			e->done(a, e->reply);
		answer(e);
		free_errand(e);
	}
}

int
admin_errand_start(struct admin *a, admin_errand_fn *work,
    admin_errand_done_fn *done, void *arg)
{
	struct admin_errand *e = xcalloc(1, sizeof(*e));
	int r;

	e->admin = a;
	e->work = work;
	e->done = done;
	e->arg = arg;
	r = queue_push(a->errands.waiting, e);
	if (r < 0)
		free_errand(e);
	return r;
}

void
admin_errand_run(struct admin_call *c, admin_errand_fn *work,
    admin_errand_done_fn *done, void *arg)
{
	struct evhttp_connection *conn = evhttp_request_get_connection(c->req);
	struct admin_errand *e = xcalloc(1, sizeof(*e));

	e->admin = c->admin;
	e->req = c->req;
	e->work = work;
	e->done = done;
	e->arg = arg;
	(void)memcpy(e->actor, c->actor, sizeof(e->actor));
	evhttp_connection_set_closecb(conn, on_close, e);
	if (queue_push(c->admin->errands.waiting, e) == 0)
		return;
	evhttp_connection_set_closecb(conn, NULL, NULL);
	free_errand(e);
	admin_fail(c, 503, "others are asking already: try again when they have "
	    "their answers");
}

/* ---- start and stop ------------------------------------------------------ */

int
admin_errands_new(struct admin *a)
{
	struct admin_errands *l = &a->errands;
	pthread_condattr_t clock;

	STAILQ_INIT(&l->done);
	(void)pthread_mutex_init(&l->mu, NULL);
	(void)pthread_condattr_init(&clock);
	(void)pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&l->hurry, &clock);
	(void)pthread_condattr_destroy(&clock);
	l->waiting = queue_new(ADMIN_ERRANDS_MAX, free_item);
	l->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->fd < 0)
		return -errno;
	l->event = event_new(a->base, l->fd, EV_READ | EV_PERSIST, on_done, a);
	return l->event != NULL && event_add(l->event, NULL) == 0 ? 0 : -ENOMEM;
}

int
admin_errands_start(struct admin *a)
{
	struct admin_errands *l = &a->errands;
	pthread_attr_t attr;
	int e = 0;

	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setstacksize(&attr, ERRAND_STACK);
	while (l->n_threads < ADMIN_ERRAND_THREADS && e == 0) {
		e = pthread_create(&l->threads[l->n_threads], &attr, errand_main, a);
		if (e == 0)
			l->n_threads++;
	}
	(void)pthread_attr_destroy(&attr);
	return -e;
}

void
admin_errands_stop(struct admin *a)
{
	struct admin_errands *l = &a->errands;

	if (l->waiting == NULL)
		return;
	atomic_store(&l->stopping, true);
	queue_close(l->waiting);
	LOCK_SCOPE(&l->mu);
	(void)pthread_cond_broadcast(&l->hurry);
}

void
admin_errands_free(struct admin *a)
{
	struct admin_errands *l = &a->errands;
	struct admin_errand *e;

	if (l->waiting == NULL)
		return;
	admin_errands_stop(a);
	for (unsigned i = 0; i < l->n_threads; i++)
		(void)pthread_join(l->threads[i], NULL);
	while ((e = STAILQ_FIRST(&l->done)) != NULL) {
		STAILQ_REMOVE_HEAD(&l->done, link);
		free_errand(e);
	}
	queue_free(l->waiting);
	if (l->event != NULL)
		event_free(l->event);
	cleanup_close(&l->fd);
	(void)pthread_cond_destroy(&l->hurry);
	(void)pthread_mutex_destroy(&l->mu);
}
