/* ticket.c - something fetched that expires: a token, session keys.
 *
 * In the last fifth of its life (the last 15 minutes of a long one) whoever comes
 * first fetches the next one, while the others are served with the old. At the very
 * end they wait for it; if it cannot be had, the old one serves until it is over.
 * Values are counted, since a request may still sign with one that was replaced.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "gateway/base/clock.h"
#include "gateway/http/http_int.h"
#include "gateway/http/ticket_int.h"

#define RENEW_MS    (15 * 60000)	/* before the end, at most */
#define MUST_MS	    60000
#define PAUSE_MS    1000		/* after a failure; doubled up to the most */
#define PAUSE_MOST  30000
#define TRUSTED_MS  10000		/* no refusal makes us fetch more often */
#define WHY_MAX	    1000

struct held {
	struct held *next;
	void	    *value;
	unsigned     users;	/* the ticket is one while it is the present one */
};

struct ticket {
	ticket_fetch_fn *fetch;
	void	*arg;
	void   (*free_value)(void *value);

	pthread_mutex_t	mu;		/* guards all that follows */
	pthread_cond_t	changed;	/* a fetch ended, or it is canceled */
	struct held    *held;
	struct held    *present;	/* one of held; NULL: none was fetched yet */
	uint64_t	generation;	/* of the present one */
	int64_t		fetched_ms, renew_ms, must_ms, expires_ms;
	int64_t		again_ms;	/* nobody tries before, after a failure */
	unsigned	failures;
	unsigned	renewals;	/* asked for by ticket_renew() */
	bool		fetching, canceled;
	bool		forced;		/* the present one followed a refusal */
	struct buf	why;		/* of the last failure */
};

struct ticket *
ticket_new(ticket_fetch_fn *fetch, void *arg, void (*free_value)(void *value))
{
	struct ticket *t = xcalloc(1, sizeof(*t));

	t->fetch = fetch;
	t->arg = arg;
	t->free_value = free_value;
	t->why = (struct buf)BUF_INIT(WHY_MAX);
	(void)pthread_mutex_init(&t->mu, NULL);
	(void)pthread_cond_init(&t->changed, NULL);
	return t;
}

static void
release_held(struct ticket *t, struct held *h)
{
	struct held **at = &t->held;

	assert(h->users > 0);
	if (--h->users > 0)
		return;
	while (*at != h)
		at = &(*at)->next;
	*at = h->next;
	t->free_value(h->value);
	free(h);
}

void
ticket_free(struct ticket *t)
{
	if (t == NULL)
		return;
	assert(!t->fetching);
	if (t->present != NULL)
		release_held(t, t->present);
	assert(t->held == NULL);
	buf_free(&t->why);
	(void)pthread_cond_destroy(&t->changed);
	(void)pthread_mutex_destroy(&t->mu);
	free(t);
}

void
ticket_cancel(struct ticket *t)
{
	LOCK_SCOPE(&t->mu);
	t->canceled = true;
	(void)pthread_cond_broadcast(&t->changed);
}

static int64_t
lesser(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static void
set_times(struct ticket *t, int64_t expires_ms)
{
	int64_t life;

	t->fetched_ms = clock_mono_ms();
	t->renew_ms = t->must_ms = t->expires_ms = expires_ms;
	if (expires_ms == CLOCK_NEVER)
		return;
	life = expires_ms > t->fetched_ms ? expires_ms - t->fetched_ms : 0;
	t->renew_ms -= lesser(RENEW_MS, life / 5);
	t->must_ms -= lesser(MUST_MS, life / 20);
}

static void
install(struct ticket *t, void *value, int64_t expires_ms)
{
	struct held *h = xcalloc(1, sizeof(*h));

	h->value = value;
	h->users = 1;
	h->next = t->held;
	t->held = h;
	if (t->present != NULL)
		release_held(t, t->present);
	t->present = h;
	t->generation++;
	t->forced = false;
	t->failures = 0;
	t->again_ms = 0;
	set_times(t, expires_ms);
}

static void
note_failure(struct ticket *t, int error, const struct buf *why)
{
	int64_t pause = t->failures < 5 ? (int64_t)PAUSE_MS << t->failures :
	    PAUSE_MOST;

	t->failures++;
	t->again_ms = clock_mono_ms() + pause;
	buf_clear(&t->why);
	(void)buf_add_str(&t->why, why->len > 0 ? why->data : strerror(-error));
}

/* Called with the mutex, which is given up while it fetches. */
static int
fetch_next(struct ticket *t)
{
	struct buf why = BUF_INIT(WHY_MAX);
	unsigned renewals = t->renewals;
	int64_t expires_ms = CLOCK_NEVER;
	void *value = NULL;
	int r;

	t->fetching = true;
	(void)pthread_mutex_unlock(&t->mu);
	r = t->fetch(t->arg, &value, &expires_ms, &why);
	(void)pthread_mutex_lock(&t->mu);
	t->fetching = false;
	if (r < 0) {
		note_failure(t, r, &why);
	} else {
		install(t, value, expires_ms);
		if (t->renewals != renewals)
			t->renew_ms = 0;	/* made of what was there before */
	}
	if (t->renewals != renewals)
		t->again_ms = 0;
	buf_free(&why);
	(void)pthread_cond_broadcast(&t->changed);
	return r < 0 ? r : 0;
}

enum next { SERVE, FETCH, WAIT, TELL };

/* What somebody who needs it does now; since: the generation as he came. */
static enum next
decide(const struct ticket *t, uint64_t since, int64_t now)
{
	bool there = t->present != NULL && now < t->expires_ms;
	bool may_try = !t->fetching && now >= t->again_ms;

	if (t->generation != since || (there && now < t->renew_ms))
		return SERVE;	/* what was just fetched is good, however short-lived */
	if (may_try)
		return FETCH;
	if (there && now < t->must_ms)
		return SERVE;
	if (t->fetching)
		return WAIT;
	return there ? SERVE : TELL;
}

/* As much of it as there is room for. */
static void
add_cut(struct buf *why, const struct buf *text)
{
	size_t room = why->max - why->len;

	(void)buf_add(why, text->data, text->len < room ? text->len : room);
}

static void
hand_out(struct ticket *t, void **ret_value, uint64_t *ret_generation)
{
	t->present->users++;
	*ret_value = t->present->value;
	*ret_generation = t->generation;
}

int
ticket_take(struct ticket *t, void **ret_value, uint64_t *ret_generation,
    struct buf *why)
{
	uint64_t since;

	LOCK_SCOPE(&t->mu);
	since = t->generation;
	while (!t->canceled) {
		switch (decide(t, since, clock_mono_ms())) {
		case SERVE:
			hand_out(t, ret_value, ret_generation);
			return 0;
		case FETCH:
			(void)fetch_next(t);
			break;
		case WAIT:
			(void)pthread_cond_wait(&t->changed, &t->mu);
			break;
		case TELL:
			add_cut(why, &t->why);
			return -EAGAIN;
		}
	}
	(void)buf_add_str(why, "it is being stopped");
	return -ECANCELED;
}

void
ticket_give(struct ticket *t, void *value)
{
	struct held *h;

	LOCK_SCOPE(&t->mu);
	for (h = t->held; h != NULL && h->value != value; h = h->next)
		;
	assert(h != NULL);
	release_held(t, h);
}

bool
ticket_refused(struct ticket *t, uint64_t generation, bool over)
{
	int64_t now;

	LOCK_SCOPE(&t->mu);
	while (t->fetching && !t->canceled && t->generation == generation)
		(void)pthread_cond_wait(&t->changed, &t->mu);
	if (t->canceled || t->generation != generation)
		return !t->canceled;
	now = clock_mono_ms();
	if (t->forced && now - t->fetched_ms < TRUSTED_MS)
		return false;
	if (now >= t->again_ms && fetch_next(t) == 0) {
		t->forced = true;
		return true;
	}
	if (over && t->generation == generation)
		t->renew_ms = t->must_ms = t->expires_ms = 0;
	return false;
}

void
ticket_renew(struct ticket *t, bool keep)
{
	LOCK_SCOPE(&t->mu);
	t->renewals++;
	t->again_ms = 0;
	t->failures = 0;
	t->renew_ms = 0;
	if (!keep)
		t->must_ms = t->expires_ms = 0;
}
