/* rate.c - a token bucket for all connections of a destination. */
#include <errno.h>
#include <pthread.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/rate.h"

#define BUCKET_MS    50		/* worth of tokens, at most */
#define LEAST_BYTES  1024	/* smaller portions cost more than they carry */
#define WAIT_LEAST   2		/* ms */
#define URGENT_MS    20000	/* others wait for urgent ones at most so long */
#define URGENT_LOOK  50

struct rate {
	pthread_mutex_t mu;
	uint64_t per_second;	/* 0: no limit */
	double	 tokens;
	int64_t	 filled_ms;	/* when tokens was right */
	bool	 closed;
	unsigned urgent;	/* transfers under way */
	int64_t	 yielding_ms;	/* since when the others wait; 0: they do not */
};

struct rate *
rate_new(void)
{
	struct rate *r = xcalloc(1, sizeof(*r));

	(void)pthread_mutex_init(&r->mu, NULL);
	return r;
}

void
rate_free(struct rate *r)
{
	if (r == NULL)
		return;
	(void)pthread_mutex_destroy(&r->mu);
	free(r);
}

void
rate_set(struct rate *r, uint64_t bytes_per_second)
{
	LOCK_SCOPE(&r->mu);
	r->per_second = bytes_per_second;
	r->tokens = 0;
}

void
rate_set_closed(struct rate *r, bool closed)
{
	LOCK_SCOPE(&r->mu);
	r->closed = closed;
}

bool
rate_closed(const struct rate *r)
{
	struct rate *w = (struct rate *)(uintptr_t)r;	/* its lock alone */

	if (r == NULL)
		return false;
	LOCK_SCOPE(&w->mu);
	return r->closed;
}

/* True: an urgent one has the line, ask again later. */
static bool
must_yield(struct rate *r, bool urgent, int64_t now_ms)
{
	if (urgent || r->urgent == 0)
		return false;
	if (r->yielding_ms == 0)
		r->yielding_ms = now_ms;
	return now_ms - r->yielding_ms < URGENT_MS;
}

static void
fill(struct rate *r, int64_t now_ms)
{
	double most = (double)r->per_second * BUCKET_MS / 1000.0;

	if (most < LEAST_BYTES)
		most = LEAST_BYTES;
	if (r->filled_ms != 0 && now_ms > r->filled_ms)
		r->tokens += (double)r->per_second *
		    (double)(now_ms - r->filled_ms) / 1000.0;
	r->filled_ms = now_ms;
	if (r->tokens > most)
		r->tokens = most;
}

int
rate_take(struct rate *r, size_t want, bool urgent, int64_t now_ms, size_t *ret_n,
    int64_t *ret_again_ms)
{
	double least = want < LEAST_BYTES ? (double)want : LEAST_BYTES;

	*ret_n = want;
	*ret_again_ms = now_ms;
	if (r == NULL)
		return 0;
	LOCK_SCOPE(&r->mu);
	if (r->closed)
		return -ECANCELED;
	if (must_yield(r, urgent, now_ms)) {
		*ret_n = 0;
		*ret_again_ms = now_ms + URGENT_LOOK;
		return 0;
	}
	if (r->per_second == 0)
		return 0;
	fill(r, now_ms);
	if (r->tokens < least) {
		int64_t wait = (int64_t)((least - r->tokens) * 1000.0 /
		    (double)r->per_second);

		*ret_n = 0;
		*ret_again_ms = now_ms + (wait < WAIT_LEAST ? WAIT_LEAST : wait);
		return 0;
	}
	if ((double)want > r->tokens)
		*ret_n = (size_t)r->tokens;
	r->tokens -= (double)*ret_n;
	return 0;
}

void
rate_give_back(struct rate *r, size_t n)
{
	if (r == NULL)
		return;
	LOCK_SCOPE(&r->mu);
	r->tokens += (double)n;
}

void
rate_urgent_begin(struct rate *r)
{
	if (r == NULL)
		return;
	LOCK_SCOPE(&r->mu);
	r->urgent++;
}

void
rate_urgent_end(struct rate *r)
{
	if (r == NULL)
		return;
	LOCK_SCOPE(&r->mu);
	if (--r->urgent == 0)
		r->yielding_ms = 0;
}
