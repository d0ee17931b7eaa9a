/* callers.c - who called lately: a table of DIMSE_CALLERS, bounded whoever knocks.
 *
 * Anybody can invent titles, so the caller that was unseen longest makes room, and
 * those who never were admitted go before those who were.
 */
#include <stdio.h>
#include <string.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/clock.h"
#include "gateway/dimse/callers_int.h"

struct callers {
	pthread_mutex_t mu;
	size_t n;
	struct dimse_caller v[DIMSE_CALLERS];
};

struct callers *
callers_new(void)
{
	struct callers *c = xcalloc(1, sizeof(*c));

	(void)pthread_mutex_init(&c->mu, NULL);
	return c;
}

void
callers_free(struct callers *c)
{
	if (c == NULL)
		return;
	(void)pthread_mutex_destroy(&c->mu);
	free(c);
}

static struct dimse_caller *
find_caller(struct callers *c, const struct assoc_request *rq)
{
	for (size_t i = 0; i < c->n; i++)
		if (strcmp(c->v[i].calling, rq->calling) == 0 &&
		    strcmp(c->v[i].address, rq->address) == 0)
			return &c->v[i];
	return NULL;
}

static bool
goes_before(const struct dimse_caller *a, const struct dimse_caller *b)
{
	bool a_admitted = a->accepted > 0, b_admitted = b->accepted > 0;

	if (a_admitted != b_admitted)
		return !a_admitted;
	return a->last_ms < b->last_ms;
}

static struct dimse_caller *
make_room(struct callers *c)
{
	struct dimse_caller *oldest = &c->v[0];

	if (c->n < DIMSE_CALLERS)
		return &c->v[c->n++];
	for (size_t i = 1; i < c->n; i++)
		if (goes_before(&c->v[i], oldest))
			oldest = &c->v[i];
	return oldest;
}

static struct dimse_caller *
add_caller(struct callers *c, const struct assoc_request *rq)
{
	struct dimse_caller *to = make_room(c);

	*to = (struct dimse_caller){ .first_ms = clock_wall_ms() };
	(void)snprintf(to->calling, sizeof(to->calling), "%s", rq->calling);
	(void)snprintf(to->address, sizeof(to->address), "%s", rq->address);
	return to;
}

void
callers_note_call(struct callers *c, const struct assoc_request *rq, bool known,
    const char *why)
{
	struct dimse_caller *to;
	LOCK_SCOPE(&c->mu);

	to = find_caller(c, rq);
	if (to == NULL)
		to = add_caller(c, rq);
	(void)snprintf(to->called, sizeof(to->called), "%s", rq->called);
	to->known = known;
	to->last_ms = clock_wall_ms();
	if (why == NULL) {
		to->accepted++;
		return;
	}
	to->refused++;
	(void)snprintf(to->last_refusal, sizeof(to->last_refusal), "%s", why);
}

void
callers_note_store(struct callers *c, const struct assoc_request *rq, bool stored,
    uint64_t bytes)
{
	struct dimse_caller *to;
	LOCK_SCOPE(&c->mu);

	to = find_caller(c, rq);
	if (to == NULL)
		return;		/* crowded out meanwhile */
	to->last_ms = clock_wall_ms();
	if (!stored) {
		to->failed++;
		return;
	}
	to->stored++;
	to->bytes += bytes;
	to->last_stored_ms = to->last_ms;
}

/* A copy, so that fn may take its time. */
int
callers_walk(struct callers *c, dimse_caller_fn *fn, void *arg)
{
	AUTO_FREE struct dimse_caller *copy = NULL;
	size_t n;
	int r = 0;

	copy = xcalloc(DIMSE_CALLERS, sizeof(*copy));
	(void)pthread_mutex_lock(&c->mu);
	n = c->n;
	memcpy(copy, c->v, n * sizeof(*copy));
	(void)pthread_mutex_unlock(&c->mu);
	for (size_t i = 0; i < n && r == 0; i++)
		r = fn(arg, &copy[i]);
	return r;
}
