/* rate.c - a token bucket for all connections of a destination.
 *
 * A portion is about ten milliseconds' worth, so that few are asked for on a fast
 * line and none takes long on a slow one; the bucket holds some portions more, or
 * the time that somebody wakes too late would be lost to the rate.
 */
#include <errno.h>
#include <math.h>
#include <pthread.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/rate.h"

#define PORTION_MS    10
#define PORTION_LEAST 1024.0	/* smaller ones cost more than they carry */
#define PORTION_MOST  65536.0
#define BUCKET_MS     50
#define WAIT_LEAST_MS 2
#define WAIT_MOST_MS  1000	/* then a new rate is seen */
#define YIELD_MS      10000	/* the others wait for urgent ones so long, */
#define TURN_MS	      1000	/* then they have the line with them so long */
#define LOOK_MS	      50

struct rate {
	pthread_mutex_t mu;
	uint64_t per_second;	/* 0: no limit */
	double	 tokens;
	int64_t	 filled_ms;	/* when tokens was right; 0: never */
	bool	 closed;
	unsigned urgent;	/* transfers that send */
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
	if (r->per_second == bytes_per_second)
		return;
	r->per_second = bytes_per_second;
	r->tokens = 0;
	r->filled_ms = 0;
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

static double
portion(const struct rate *r)
{
	double n = (double)r->per_second * PORTION_MS / 1000;

	return n < PORTION_LEAST ? PORTION_LEAST : fmin(n, PORTION_MOST);
}

static double
bucket(const struct rate *r)
{
	return fmax((double)r->per_second * BUCKET_MS / 1000, 2 * portion(r));
}

/* True: an urgent one has the line. The others' wait begins when they first ask in
 * vain and ends when they get something, not when an urgent one ends: between two
 * small ones there is hardly time to notice. */
static bool
must_yield(struct rate *r, bool urgent, int64_t now_ms)
{
	int64_t waited;

	if (urgent || r->urgent == 0)
		return false;
	if (r->yielding_ms == 0)
		r->yielding_ms = now_ms;
	waited = now_ms - r->yielding_ms;
	if (waited >= YIELD_MS + TURN_MS)
		r->yielding_ms = now_ms;
	return waited < YIELD_MS || waited >= YIELD_MS + TURN_MS;
}

static void
fill(struct rate *r, int64_t now_ms)
{
	if (r->filled_ms != 0 && now_ms > r->filled_ms)
		r->tokens += (double)r->per_second *
		    (double)(now_ms - r->filled_ms) / 1000;
	r->tokens = fmin(r->tokens, bucket(r));
	/* Threads may come with times in another order than they took them. */
	if (now_ms > r->filled_ms)
		r->filled_ms = now_ms;
}

static int64_t
wait_ms(const struct rate *r, double missing)
{
	double ms = ceil(missing * 1000 / (double)r->per_second);

	return (int64_t)fmin(fmax(ms, WAIT_LEAST_MS), WAIT_MOST_MS);
}

static size_t
take_tokens(struct rate *r, size_t want, int64_t now_ms, int64_t *ret_again_ms)
{
	double least = fmin((double)want, portion(r));

	fill(r, now_ms);
	if (r->tokens < least) {
		*ret_again_ms = now_ms + wait_ms(r, least - r->tokens);
		return 0;
	}
	if ((double)want > r->tokens)
		want = (size_t)r->tokens;
	r->tokens -= (double)want;
	return want;
}

int
rate_take(struct rate *r, size_t want, bool urgent, int64_t now_ms, size_t *ret_n,
    int64_t *ret_again_ms)
{
	*ret_n = want;
	*ret_again_ms = now_ms;
	if (r == NULL)
		return 0;
	LOCK_SCOPE(&r->mu);
	if (r->closed)
		return -ECANCELED;
	if (must_yield(r, urgent, now_ms)) {
		*ret_n = 0;
		*ret_again_ms = now_ms + LOOK_MS;
		return 0;
	}
	if (r->per_second != 0)
		*ret_n = take_tokens(r, want, now_ms, ret_again_ms);
	if (*ret_n > 0 && !urgent && r->urgent == 0)
		r->yielding_ms = 0;
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
	r->urgent--;
}
