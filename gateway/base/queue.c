/* queue.c - a bounded queue between threads: a ring, a mutex, two conditions.
 *
 * Conditions wait on CLOCK_MONOTONIC, so that a step of the wall clock neither
 * wakes nor delays anybody.
 */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <time.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/clock.h"
#include "gateway/base/queue.h"

struct queue {
	pthread_mutex_t mu;	/* guards all below */
	pthread_cond_t	filled;
	pthread_cond_t	drained;
	void	      **ring;
	size_t		max;
	size_t		head;	/* the oldest item */
	size_t		len;
	bool		closed;
	void (*fn_free)(void *item);
};

static void
init_condition(pthread_cond_t *cond)
{
	pthread_condattr_t attr;

	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(cond, &attr);
	(void)pthread_condattr_destroy(&attr);
}

struct queue *
queue_new(size_t max, void (*fn_free)(void *item))
{
	struct queue *q = xcalloc(1, sizeof(*q));

	assert(max > 0);
	q->ring = xcalloc(max, sizeof(*q->ring));
	q->max = max;
	q->fn_free = fn_free;
	(void)pthread_mutex_init(&q->mu, NULL);
	init_condition(&q->filled);
	init_condition(&q->drained);
	return q;
}

static void *
take_oldest(struct queue *q)
{
	void *item = q->ring[q->head];

	q->head = (q->head + 1) % q->max;
	q->len--;
	return item;
}

void
queue_free(struct queue *q)
{
	if (q == NULL)
		return;
	while (q->len > 0) {
		void *item = take_oldest(q);

		if (q->fn_free != NULL)
			q->fn_free(item);
	}
	(void)pthread_cond_destroy(&q->filled);
	(void)pthread_cond_destroy(&q->drained);
	(void)pthread_mutex_destroy(&q->mu);
	free(q->ring);
	free(q);
}

void
queue_close(struct queue *q)
{
	LOCK_SCOPE(&q->mu);
	q->closed = true;
	(void)pthread_cond_broadcast(&q->filled);
	(void)pthread_cond_broadcast(&q->drained);
}

static int
push_locked(struct queue *q, void *item)
{
	if (q->closed)
		return -EPIPE;
	if (q->len == q->max)
		return -EAGAIN;
	q->ring[(q->head + q->len) % q->max] = item;
	q->len++;
	(void)pthread_cond_signal(&q->filled);
	return 0;
}

int
queue_push(struct queue *q, void *item)
{
	LOCK_SCOPE(&q->mu);
	return push_locked(q, item);
}

int
queue_push_wait(struct queue *q, void *item)
{
	LOCK_SCOPE(&q->mu);
	while (!q->closed && q->len == q->max)
		(void)pthread_cond_wait(&q->drained, &q->mu);
	return push_locked(q, item);
}

/* False when there is nothing to come, or nothing came in time. */
static bool
wait_filled(struct queue *q, int64_t deadline_ms)
{
	int64_t at = deadline_ms > 0 ? deadline_ms : 0;
	struct timespec until = {
		.tv_sec = (time_t)(at / 1000),
		.tv_nsec = (long)(at % 1000) * 1000000,
	};
	int r = 0;

	while (q->len == 0 && !q->closed && r != ETIMEDOUT) {
		if (deadline_ms == CLOCK_NEVER)
			r = pthread_cond_wait(&q->filled, &q->mu);
		else
			r = pthread_cond_timedwait(&q->filled, &q->mu, &until);
		assert(r == 0 || r == ETIMEDOUT);
	}
	return q->len > 0;
}

void *
queue_pop(struct queue *q, int64_t deadline_ms)
{
	void *item;

	LOCK_SCOPE(&q->mu);
	if (!wait_filled(q, deadline_ms))
		return NULL;
	item = take_oldest(q);
	(void)pthread_cond_broadcast(&q->drained);
	return item;
}

size_t
queue_length(struct queue *q)
{
	LOCK_SCOPE(&q->mu);
	return q->len;
}
