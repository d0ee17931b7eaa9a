/* schedule.c - jobs and fragments of one destination. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/cleanup.h"
#include "gateway/upload/schedule_int.h"

void
schedule_init(struct schedule *s)
{
	TAILQ_INIT(&s->jobs);
	for (size_t i = 0; i < SCHEDULE_BUCKETS; i++)
		LIST_INIT(&s->bucket[i]);
	s->n = 0;
}

static void
free_job(struct schedule *s, struct job *j)
{
	struct fragment *f;

	while ((f = TAILQ_FIRST(&j->fragments)) != NULL) {
		TAILQ_REMOVE(&j->fragments, f, link);
		free(f);
	}
	TAILQ_REMOVE(&s->jobs, j, link);
	LIST_REMOVE(j, by_study);
	s->n--;
	free(j);
}

void
schedule_clear(struct schedule *s)
{
	while (!TAILQ_EMPTY(&s->jobs))
		free_job(s, TAILQ_FIRST(&s->jobs));
}

void
schedule_refresh_begin(struct schedule *s)
{
	struct job *j;

	TAILQ_FOREACH(j, &s->jobs, link)
		j->seen = false;
}

void
schedule_refresh_end(struct schedule *s)
{
	struct job *j, *next;

	for (j = TAILQ_FIRST(&s->jobs); j != NULL; j = next) {
		next = TAILQ_NEXT(j, link);
		if (!j->seen && j->in_flight == 0)
			free_job(s, j);
	}
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

static bool
goes_before(const struct job *a, const struct job *b)
{
	if (a->priority != b->priority)
		return a->priority > b->priority;
	return a->oldest_ms < b->oldest_ms;
}

/* The order of the list is the order of service. */
static void
insert_job(struct schedule *s, struct job *j)
{
	struct job *at;

	TAILQ_FOREACH_REVERSE(at, &s->jobs, jobs, link) {
		if (!goes_before(j, at)) {
			TAILQ_INSERT_AFTER(&s->jobs, at, j, link);
			return;
		}
	}
	TAILQ_INSERT_HEAD(&s->jobs, j, link);
}

static struct job *
new_job(struct schedule *s, uint64_t study, int64_t now_ms)
{
	struct job *j = xcalloc(1, sizeof(*j));

	j->study = study;
	j->began_ms = now_ms;
	TAILQ_INIT(&j->fragments);
	LIST_INSERT_HEAD(&s->bucket[study % SCHEDULE_BUCKETS], j, by_study);
	s->n++;
	return j;
}

struct job *
schedule_offer(struct schedule *s, uint64_t study, enum spool_priority priority,
    int64_t oldest_ms, int64_t now_ms)
{
	struct job *j = schedule_find(s, study);

	bool moves = j == NULL || j->priority != priority ||
	    j->oldest_ms != oldest_ms;

	if (j == NULL)
		j = new_job(s, study, now_ms);
	else if (moves)
		TAILQ_REMOVE(&s->jobs, j, link);
	j->priority = priority;
	j->oldest_ms = oldest_ms;
	j->seen = true;
	j->drained = false;	/* there may be more above the cursor */
	if (moves)
		insert_job(s, j);
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

struct job *
schedule_pick(struct schedule *s, int64_t now_ms, bool untried_first)
{
	struct job *j;

	if (untried_first) {
		TAILQ_FOREACH(j, &s->jobs, link) {
			if (has_work(j, now_ms, true))
				return j;
		}
	}
	TAILQ_FOREACH(j, &s->jobs, link) {
		if (has_work(j, now_ms, false))
			return j;
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

int64_t
schedule_next(const struct schedule *s, int64_t now_ms)
{
	int64_t next = INT64_MAX;
	struct job *j;

	TAILQ_FOREACH(j, &s->jobs, link) {
		struct fragment *f;

		if (!j->seen)
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

int
schedule_rest(struct schedule *s, struct job *j)
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
	free_job(s, j);
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
