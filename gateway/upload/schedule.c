/* schedule.c - jobs and fragments of one destination, and turns.
 *
 * Turns are start-time fair queuing: each peer has a tag, the bytes it was charged;
 * the least tag goes next; whoever has no work for a while is set to the tag that was
 * served last. It needs no rounds and no quanta, and a peer that has just come is next.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/cleanup.h"
#include "gateway/upload/schedule_int.h"

#define TURN_BYTES_LEAST (1u << 20)	/* a request costs more than its bytes */

void
schedule_init(struct schedule *s)
{
	*s = (struct schedule){ .n = 0 };
	TAILQ_INIT(&s->peers);
	LIST_INIT(&s->all);
	for (size_t i = 0; i < SCHEDULE_BUCKETS; i++) {
		LIST_INIT(&s->bucket[i]);
		LIST_INIT(&s->peer_bucket[i]);
	}
}

/* ---- peers ---- */

static struct schedule_peer *
find_peer(struct schedule *s, uint64_t id)
{
	struct schedule_peer *p;

	LIST_FOREACH(p, &s->peer_bucket[id % SCHEDULE_BUCKETS], by_id) {
		if (p->id == id)
			return p;
	}
	p = xcalloc(1, sizeof(*p));
	p->id = id;
	for (size_t c = 0; c < SCHEDULE_PRIORITIES; c++)
		TAILQ_INIT(&p->jobs[c]);
	TAILQ_INSERT_HEAD(&s->peers, p, link);
	LIST_INSERT_HEAD(&s->peer_bucket[id % SCHEDULE_BUCKETS], p, by_id);
	s->n_peers++;
	return p;
}

static void
free_peer(struct schedule *s, struct schedule_peer *p)
{
	assert(p->n == 0);
	TAILQ_REMOVE(&s->peers, p, link);
	LIST_REMOVE(p, by_id);
	s->n_peers--;
	free(p);
}

/* It has had more than others: to forget that would give it their turns. */
static bool
is_ahead(const struct schedule *s, const struct schedule_peer *p)
{
	for (size_t c = 0; c < SCHEDULE_PRIORITIES; c++) {
		if (p->served[c] > s->turn[c])
			return true;
	}
	return false;
}

static void
forget_idle_peers(struct schedule *s)
{
	struct schedule_peer *p, *next;

	for (p = TAILQ_FIRST(&s->peers); p != NULL; p = next) {
		next = TAILQ_NEXT(p, link);
		if (p->n == 0 && (s->n == 0 || !is_ahead(s, p) ||
		    s->n_peers > SCHEDULE_PEERS_MAX))
			free_peer(s, p);
	}
}

static uint64_t
served(const struct schedule *s, const struct schedule_peer *p, size_t c)
{
	return p->served[c] > s->turn[c] ? p->served[c] : s->turn[c];
}

void
schedule_charge(struct schedule *s, struct job *j, uint64_t bytes)
{
	struct schedule_peer *p = j->peer;
	size_t c = j->priority;

	s->turn[c] = served(s, p, c);
	p->served[c] = s->turn[c] +
	    (bytes < TURN_BYTES_LEAST ? TURN_BYTES_LEAST : bytes);
	/* Among equals who waits longest goes first. */
	TAILQ_REMOVE(&s->peers, p, link);
	TAILQ_INSERT_TAIL(&s->peers, p, link);
}

/* ---- jobs ---- */

static void
leave_peer(struct job *j)
{
	TAILQ_REMOVE(&j->peer->jobs[j->priority], j, link);
	j->peer->n--;
	j->peer->busy -= !j->empty;
	j->peer = NULL;
}

static void
free_job(struct schedule *s, struct job *j)
{
	struct fragment *f;

	while ((f = TAILQ_FIRST(&j->fragments)) != NULL) {
		TAILQ_REMOVE(&j->fragments, f, link);
		free(f);
	}
	leave_peer(j);
	LIST_REMOVE(j, by_study);
	LIST_REMOVE(j, all);
	s->n--;
	free(j);
}

void
schedule_clear(struct schedule *s)
{
	while (!LIST_EMPTY(&s->all))
		free_job(s, LIST_FIRST(&s->all));
	forget_idle_peers(s);
}

void
schedule_refresh_begin(struct schedule *s)
{
	struct schedule_peer *p;
	struct job *j;

	LIST_FOREACH(j, &s->all, all)
		j->seen = false;
	TAILQ_FOREACH(p, &s->peers, link)
		p->more = false;
}

void
schedule_refresh_end(struct schedule *s)
{
	struct job *j, *next;

	for (j = LIST_FIRST(&s->all); j != NULL; j = next) {
		next = LIST_NEXT(j, all);
		if (!j->seen && j->in_flight == 0)
			free_job(s, j);
	}
	forget_idle_peers(s);
}

struct job *
schedule_find(struct schedule *s, uint64_t study)
{
	struct job *j;

	LIST_FOREACH(j, &s->bucket[study % SCHEDULE_BUCKETS], by_study) {
		if (j->study == study)
			return j;
	}
	return NULL;
}

static void
join_peer(struct job *j, struct schedule_peer *p)
{
	struct jobs *jobs = &p->jobs[j->priority];
	struct job *at;

	j->peer = p;
	p->n++;
	p->busy += !j->empty;
	TAILQ_FOREACH_REVERSE(at, jobs, jobs, link) {
		if (at->oldest_ms <= j->oldest_ms) {
			TAILQ_INSERT_AFTER(jobs, at, j, link);
			return;
		}
	}
	TAILQ_INSERT_HEAD(jobs, j, link);
}

static struct job *
new_job(struct schedule *s, uint64_t study, int64_t now_ms)
{
	struct job *j = xcalloc(1, sizeof(*j));

	j->study = study;
	j->began_ms = now_ms;
	TAILQ_INIT(&j->fragments);
	LIST_INSERT_HEAD(&s->bucket[study % SCHEDULE_BUCKETS], j, by_study);
	LIST_INSERT_HEAD(&s->all, j, all);
	s->n++;
	return j;
}

struct job *
schedule_offer(struct schedule *s, const struct schedule_offer *o, int64_t now_ms)
{
	struct job *j = schedule_find(s, o->study);
	bool stays = j != NULL && j->peer->id == o->peer &&
	    j->priority == o->priority && j->oldest_ms == o->oldest_ms;

	if (j == NULL)
		j = new_job(s, o->study, now_ms);
	else if (!stays)
		leave_peer(j);
	j->priority = o->priority;
	j->oldest_ms = o->oldest_ms;
	j->seen = true;
	j->drained = false;	/* there may be more above the cursor */
	if (j->empty)
		j->began_ms = now_ms;
	if (stays)
		j->peer->busy += j->empty;
	j->empty = false;
	if (!stays)
		join_peer(j, find_peer(s, o->peer));
	return j;
}

static struct fragment *
best_fragment(const struct job *j, int64_t now_ms)
{
	struct fragment *f, *best = NULL;

	TAILQ_FOREACH(f, &j->fragments, link) {
		if (f->due_ms <= now_ms && (best == NULL || f->tries < best->tries))
			best = f;
	}
	return best;
}

static bool
has_work(const struct job *j, int64_t now_ms, bool untried)
{
	const struct fragment *f;

	if (!j->seen)
		return false;
	if (!j->drained)
		return true;
	f = best_fragment(j, now_ms);
	return f != NULL && (!untried || f->first_failed_ms == 0);
}

static struct job *
first_with_work(struct jobs *jobs, int64_t now_ms, bool untried)
{
	struct job *j;

	TAILQ_FOREACH(j, jobs, link) {
		if (has_work(j, now_ms, untried))
			return j;
	}
	return NULL;
}

static struct job *
pick_of_priority(struct schedule *s, size_t c, int64_t now_ms, bool untried)
{
	struct schedule_peer *p;
	struct job *best = NULL;

	TAILQ_FOREACH(p, &s->peers, link) {
		struct job *j;

		if (best != NULL && served(s, p, c) >= served(s, best->peer, c))
			continue;
		j = first_with_work(&p->jobs[c], now_ms, untried);
		if (j != NULL)
			best = j;
	}
	return best;
}

struct job *
schedule_pick(struct schedule *s, int64_t now_ms, bool untried_first,
    enum spool_priority least)
{
	for (int untried = untried_first; untried >= 0; untried--) {
		for (int c = SPOOL_STAT; c >= (int)least; c--) {
			struct job *j = pick_of_priority(s, (size_t)c, now_ms,
			    untried != 0);

			if (j != NULL)
				return j;
		}
	}
	return NULL;
}

struct fragment *
job_take_fragment(struct job *j, int64_t now_ms)
{
	struct fragment *f = best_fragment(j, now_ms);

	if (f != NULL)
		TAILQ_REMOVE(&j->fragments, f, link);
	return f;
}

bool
job_holds(const struct job *j, uint64_t id)
{
	struct fragment *f;

	TAILQ_FOREACH(f, &j->fragments, link) {
		for (size_t i = 0; i < f->n; i++) {
			if (f->id[i] == id)
				return true;
		}
	}
	return false;
}

void
schedule_nudge(struct schedule *s, int64_t now_ms)
{
	struct fragment *f;
	struct job *j;

	LIST_FOREACH(j, &s->all, all) {
		TAILQ_FOREACH(f, &j->fragments, link)
			f->due_ms = now_ms;
	}
}

int64_t
schedule_next(const struct schedule *s, int64_t now_ms, enum spool_priority least)
{
	int64_t next = INT64_MAX;
	struct job *j;

	LIST_FOREACH(j, &s->all, all) {
		struct fragment *f;

		if (!j->seen || j->priority < least)
			continue;
		if (!j->drained)
			return now_ms;
		TAILQ_FOREACH(f, &j->fragments, link) {
			if (f->due_ms < next)
				next = f->due_ms;
		}
	}
	return next;
}

struct fragment *
fragment_new(const uint64_t *ids, size_t n)
{
	struct fragment *f = xcalloc(1, sizeof(*f) + n * sizeof(f->id[0]));

	f->n = n;
	if (n > 0)
		memcpy(f->id, ids, n * sizeof(f->id[0]));
	return f;
}

void
job_add_fragment(struct job *j, struct fragment *f)
{
	assert(f->n > 0);
	TAILQ_INSERT_TAIL(&j->fragments, f, link);
}

void
job_split_fragment(struct job *j, struct fragment *f, int64_t now_ms)
{
	size_t half = f->n / 2;
	struct fragment *a, *b;

	assert(f->n > 1);
	a = fragment_new(f->id, half);
	b = fragment_new(f->id + half, f->n - half);
	a->due_ms = b->due_ms = now_ms;
	a->halved = b->halved = true;
	a->first_failed_ms = b->first_failed_ms = f->first_failed_ms;
	a->successes_then = b->successes_then = f->successes_then;
	/* At the end of the line: the halves of others come in between, and tell
	 * by their success that the destination is well. */
	job_add_fragment(j, a);
	job_add_fragment(j, b);
	free(f);
}

bool
job_is_busy(const struct job *j, int64_t now_ms)
{
	return j->in_flight > 0 || !j->drained || best_fragment(j, now_ms) != NULL;
}

int
schedule_rest(struct job *j)
{
	if (j->in_flight > 0 || !j->drained || !TAILQ_EMPTY(&j->fragments))
		return 0;
	if (j->progressed || j->cursor != 0) {
		/* A later version may wait for what was just delivered, and an
		 * arrival may have been slower than a younger one. */
		j->cursor = 0;
		j->progressed = false;
		j->drained = false;
		return 0;
	}
	j->peer->busy -= !j->empty;
	j->empty = true;
	return 1;
}

int64_t
schedule_backoff(int64_t since_ms, int64_t now_ms, int64_t least_ms, int64_t most_ms,
    uint32_t random)
{
	int64_t age = now_ms - since_ms, jitter;

	age = age < least_ms ? least_ms : age > most_ms ? most_ms : age;
	jitter = age * (int64_t)(random % 401) / 1000 - age / 5;
	return age + jitter;
}
