/* pool.c - threads that are kept for the next association (rule 22). */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>

#include "gateway/association/pool_int.h"
#include "gateway/base/cleanup.h"

/* The deepest call is a TLS handshake; sanitizers make every frame larger. */
#ifdef __SANITIZE_ADDRESS__
#define STACK_SIZE (4 * 1024 * 1024)
#else
#define STACK_SIZE (512 * 1024)
#endif

struct pool_job {
	pool_fn *fn;
	void	*arg;
};

struct pool {
	pthread_mutex_t mu;
	pthread_cond_t	work;
	bool	  closing;
	unsigned  max, started, idle;
	unsigned  queued, first;	/* a ring; never more than idle threads */
	struct pool_job *ring;
	pthread_t *threads;
	pool_fn	  *idle_fn;
	void	  *idle_arg;
};

static bool
take_job(struct pool *p, struct pool_job *ret)
{
	LOCK_SCOPE(&p->mu);

	while (p->queued == 0 && !p->closing)
		(void)pthread_cond_wait(&p->work, &p->mu);
	if (p->queued == 0)
		return false;
	*ret = p->ring[p->first];
	p->first = (p->first + 1) % p->max;
	p->queued--;
	p->idle--;
	return true;
}

static void *
run_thread(void *arg)
{
	struct pool *p = arg;
	struct pool_job job;

	(void)pthread_setname_np(pthread_self(), "association");
	while (take_job(p, &job)) {
		job.fn(job.arg);
		(void)pthread_mutex_lock(&p->mu);
		p->idle++;
		(void)pthread_mutex_unlock(&p->mu);
		p->idle_fn(p->idle_arg);
	}
	return NULL;
}

static int
start_thread(struct pool *p)
{
	sigset_t all, old;
	pthread_attr_t attr;
	int e;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setstacksize(&attr, STACK_SIZE);
	e = pthread_create(&p->threads[p->started], &attr, run_thread, p);
	(void)pthread_attr_destroy(&attr);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (e != 0)
		return -EAGAIN;
	p->started++;
	p->idle++;
	return 0;
}

struct pool *
pool_new(unsigned max, pool_fn *idle, void *arg)
{
	struct pool *p = xcalloc(1, sizeof(*p));

	assert(max > 0);
	(void)pthread_mutex_init(&p->mu, NULL);
	(void)pthread_cond_init(&p->work, NULL);
	p->max = max;
	p->ring = xcalloc(max, sizeof(p->ring[0]));
	p->threads = xcalloc(max, sizeof(p->threads[0]));
	p->idle_fn = idle;
	p->idle_arg = arg;
	return p;
}

int
pool_reserve(struct pool *p)
{
	LOCK_SCOPE(&p->mu);

	if (p->queued < p->idle)
		return 0;
	return p->started < p->max ? start_thread(p) : -EAGAIN;
}

void
pool_submit(struct pool *p, pool_fn *fn, void *arg)
{
	LOCK_SCOPE(&p->mu);

	assert(p->queued < p->idle);
	p->ring[(p->first + p->queued) % p->max] =
	    (struct pool_job){ .fn = fn, .arg = arg };
	p->queued++;
	(void)pthread_cond_signal(&p->work);
}

void
pool_free(struct pool *p)
{
	if (p == NULL)
		return;
	(void)pthread_mutex_lock(&p->mu);
	p->closing = true;
	(void)pthread_cond_broadcast(&p->work);
	(void)pthread_mutex_unlock(&p->mu);
	for (unsigned i = 0; i < p->started; i++)
		(void)pthread_join(p->threads[i], NULL);
	(void)pthread_cond_destroy(&p->work);
	(void)pthread_mutex_destroy(&p->mu);
	free(p->ring);
	free(p->threads);
	free(p);
}
