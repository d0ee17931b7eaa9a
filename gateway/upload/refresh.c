/* refresh.c - a lane's queue, refilled from the index.
 *
 * A lane holds a few studies of each peer, however many are owed: the oldest that have
 * work. What waits (for its next try, for an earlier version) keeps its job, so that
 * its tries are remembered, and does not count. So neither memory nor the cost of a
 * refresh grows with an outage. A peer that runs low asks for the next refresh.
 */
#include <stdio.h>
#include <stdlib.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/hash.h"
#include "gateway/upload/upload_int.h"

#define JOBS_MAX	4096	/* of a lane, about */
#define JOBS_OF_SOURCE	16	/* with work, where there are few sources */
#define ROWS_OF_SOURCE	1024	/* looked at, when much of it waits */

struct refill {
	struct lane *l;
	int64_t now_ms;
	struct spool_owed_source *source;
	size_t	 n, max;
	size_t	 wanted;	/* jobs with work, of each source */
	size_t	 rows, busy;	/* of the source that is looked at */
	struct job *last;
	uint64_t after;
};

/* A peer is an AE title plus an address (rule 17). */
static uint64_t
peer_id(const struct spool_owed_study *s)
{
	char text[sizeof(s->calling) + sizeof(s->address)];
	int len = snprintf(text, sizeof(text), "%s\\%s", s->calling, s->address);

	return hash_seal(text, (size_t)len, 0);
}

static struct job *
offer(struct refill *f, const struct spool_owed_study *s)
{
	struct schedule_offer o = { s->study, peer_id(s), s->priority, s->oldest_ms };

	return schedule_offer(&f->l->sched, &o, f->now_ms);
}

static int
collect_source(void *arg, const struct spool_owed_source *s)
{
	struct refill *f = arg;

	if (f->n == f->max) {
		f->max = f->max * 2 + 16;
		f->source = xreallocarray(f->source, f->max, sizeof(*f->source));
	}
	f->source[f->n++] = *s;
	return f->n == JOBS_MAX;
}

/* 1: this source has enough. */
static int
offer_study(void *arg, const struct spool_owed_study *s)
{
	struct refill *f = arg;
	const struct job *known = schedule_find(&f->l->sched, s->study);
	bool busy = known == NULL || job_is_busy(known, f->now_ms);

	f->after = s->study;
	f->rows++;
	if (f->busy == f->wanted) {
		f->last->peer->more = true;
		return 1;
	}
	f->last = offer(f, s);
	f->busy += busy;
	return 0;
}

static int
refill_source(struct refill *f, const struct spool_owed_source *s)
{
	int r = 0;

	f->rows = f->busy = 0;
	f->after = 0;
	while (r == 0 && f->rows < ROWS_OF_SOURCE) {
		size_t before = f->rows;

		r = spool_owed_studies(f->l->up->sp, f->l->name, s, f->after,
		    SPOOL_OWED_STUDIES_MAX, offer_study, f);
		if (f->rows - before < SPOOL_OWED_STUDIES_MAX)
			break;
	}
	return r < 0 ? r : 0;
}

/* Those that the refill did not come to: are they still owed? */
static int
ask_for_rest(struct refill *f)
{
	struct spool_owed_study s;
	struct job *j;
	int r;

	LIST_FOREACH(j, &f->l->sched.all, all) {
		if (j->seen)
			continue;
		r = spool_owed_study(f->l->up->sp, f->l->name, j->study, &s);
		if (r < 0 && r != -ENOENT)
			return r;
		if (r == 0)
			(void)offer(f, &s);
	}
	return 0;
}

static int
refill(struct refill *f)
{
	int r = spool_owed_sources(f->l->up->sp, f->l->name, collect_source, f);

	f->wanted = f->n > 0 && JOBS_MAX / f->n < JOBS_OF_SOURCE ?
	    JOBS_MAX / f->n : JOBS_OF_SOURCE;
	for (size_t i = 0; i < f->n && r >= 0; i++)
		r = refill_source(f, &f->source[i]);
	return r < 0 ? r : ask_for_rest(f);
}

void
lane_rest(struct lane *l, struct job *j, int64_t now_ms)
{
	const struct schedule_peer *p = j->peer;

	if (schedule_rest(j) == 1 && p->more && p->busy * 4 <= l->window &&
	    l->up->next_refresh_ms > now_ms)
		l->up->next_refresh_ms = l->up->rested_ms > now_ms ?
		    l->up->rested_ms : now_ms;
}

void
lane_refresh(struct lane *l, int64_t now_ms)
{
	struct refill f = { .l = l, .now_ms = now_ms };

	schedule_refresh_begin(&l->sched);
	/* Where the index cannot be read just now, nothing is dropped. */
	if (refill(&f) >= 0)
		schedule_refresh_end(&l->sched);
	l->window = (unsigned)f.wanted;
	free(f.source);
}
