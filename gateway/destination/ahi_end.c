/* ahi_end.c - how an import goes and how it ends.
 *
 * What the service failed on is still in the bucket, so it is imported again from
 * there, without another upload over the site's line: what is settled is taken out of
 * the prefix, and the same job starts once more, later each time. An import that
 * fails whole twice is taken apart: half of it is owed again, to go in smaller
 * batches, until it is known what makes it fail. What has failed alone, time and
 * again while others were taken, is set aside (promise 5).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gateway/base/clock.h"
#include "gateway/destination/ahi_job_int.h"

#define UNKNOWN_AFTER_MS (10 * 60 * 1000)	/* a new job may not be known at once */
#define QUERIES		6		/* in vain */
#define ROUNDS		24		/* of one job; hours, by then */
#define HOPELESS	3

/* ---- once more ----------------------------------------------------------- */

/* From the files that are there. */
static void
import_again(struct ahi_tending *t, struct ahi_job *j)
{
	char job[AHI_JOB_SIZE];

	memcpy(job, j->job, sizeof(job));
	j->job[0] = '\0';
	if (!ahi_enter(t, j, AHI_CLOSED)) {
		memcpy(j->job, job, sizeof(job));
		return;
	}
	(void)pthread_mutex_lock(&t->a->mu);
	j->dirty = true;
	(void)pthread_mutex_unlock(&t->a->mu);
	j->ended_ms = 0;
	j->readings = 0;
	j->tries = j->rounds++;
	ahi_come_again(t, j, RETRY_MOST_MS);
}

static void
finish(struct ahi_tending *t, struct ahi_job *j)
{
	ahi_step_to(t, j, AHI_CLEANING);
}

/* ---- failures ------------------------------------------------------------ */

/* Others have succeeded while this one failed. */
bool
ahi_hopeless(struct ahi *a, uint64_t id)
{
	struct ahi_suspect *s = a->suspects;

	while (s < a->suspects + AHI_SUSPECTS && s->id != id)
		s++;
	if (s == a->suspects + AHI_SUSPECTS) {
		s = &a->suspects[a->next_suspect++ % AHI_SUSPECTS];
		*s = (struct ahi_suspect){ .id = id, .completed = a->completed };
	}
	return ++s->times >= HOPELESS && a->completed > s->completed;
}

/* The next start waits, and what is sent from now on goes in smaller batches. */
static void
count_failure(struct ahi_tending *t, struct ahi_job *j)
{
	struct ahi *a = t->a;
	int64_t wait;

	if (j->ended_ms != 0)
		return;
	j->ended_ms = t->now_ms;
	wait = ahi_growing((int64_t)a->opt->poll_interval_ms, ++a->whole_failures,
	    RETRY_MOST_MS);
	if (a->next_start_ms < t->now_ms + wait)
		a->next_start_ms = t->now_ms + wait;
	LOCK_SCOPE(&a->mu);
	if (a->whole_failures < 2)
		return;
	if (a->batch_files > j->n_files && j->n_files > 0)
		a->batch_files = j->n_files;
	a->batch_files = (a->batch_files + 1) / 2;
}

static void
set_failed(struct ahi *a, const char *why)
{
	LOCK_SCOPE(&a->mu);
	(void)snprintf(a->failed, sizeof(a->failed), "%s", why);
}

static void
free_outcomes(struct ahi_outcomes *o)
{
	free(o->v);
}

static void
fail_whole(struct ahi_tending *t, struct ahi_job *j, const char *message)
{
	AUTO(free_outcomes) struct ahi_outcomes o = { .n = 0 };
	int r = ahi_collect_sent(t->a, j, &o);
	size_t keep = j->rounds > 0 ? o.n / 2 : o.n;
	char why[200];

	count_failure(t, j);
	t->ret->health = DESTINATION_FAILED;
	(void)snprintf(t->ret->reason, sizeof(t->ret->reason),
	    "import %s failed as a whole: %s; it is done again, and in smaller "
	    "ones: if all fail, look at the rights of data_access_role", j->job,
	    message);
	set_failed(t->a, t->ret->reason);
	(void)snprintf(why, sizeof(why), "its import failed: %s", message);
	if (r == 0)
		r = ahi_settle_owed(t, j, keep, o.n == 1, why);
	if (r < 0)
		ahi_come_again(t, j, RETRY_MOST_MS);
	else if (j->sent > 0)
		import_again(t, j);
	else
		finish(t, j);
}

static void
complete(struct ahi_tending *t, struct ahi_job *j, const struct ahi_progress *p)
{
	struct ahi *a = t->a;

	if (ahi_uri_parse(p->output, &j->results) < 0)
		j->results = (struct ahi_uri){ .bucket = "" };
	set_failed(a, "");
	a->whole_failures = 0;
	a->completed++;
	j->ended_ms = t->now_ms;
	j->readings = 0;
	(void)pthread_mutex_lock(&a->mu);
	a->batch_files = a->batch_files * 2 < a->opt->batch_files ?
	    a->batch_files * 2 : (unsigned)a->opt->batch_files;
	(void)pthread_mutex_unlock(&a->mu);
	ahi_step_to(t, j, AHI_RESULTS);
}

static void
forget_unknown(struct ahi_tending *t, struct ahi_job *j)
{
	int64_t age = clock_wall_ms() - j->since_ms;

	/* Much less than nothing: the clock was wrong when it was made. */
	if (age < UNKNOWN_AFTER_MS && age > -UNKNOWN_AFTER_MS) {
		ahi_come_again(t, j, POLL_MOST_MS);
		return;
	}
	if (ahi_settle_owed(t, j, 0, false, "HealthImaging does not know its import "
		"any more") < 0)
		ahi_come_again(t, j, RETRY_MOST_MS);
	else
		finish(t, j);
}

void
ahi_step_running(struct ahi_tending *t, struct ahi_job *j)
{
	struct ahi_progress p;

	if (t->now_ms < j->due_ms)
		return;
	switch (ahi_ask(t->a, j, &p, t->ret)) {
	case AHI_DONE:
		if (p.status == AHI_COMPLETED)
			complete(t, j, &p);
		else if (p.status == AHI_FAILED)
			fail_whole(t, j, p.message[0] != '\0' ? p.message :
			    "it does not say why");
		else
			ahi_come_again(t, j, POLL_MOST_MS);
		break;
	case AHI_GONE:
		forget_unknown(t, j);
		break;
	default:
		ahi_come_again(t, j, POLL_MOST_MS);
		break;
	}
}

/* ---- results ------------------------------------------------------------- */

/* Late ones are waited for, then all is asked for. */
static bool
read_lists(struct ahi_tending *t, struct ahi_job *j, struct ahi_outcomes *o)
{
	struct destination_result local = { .health = DESTINATION_UP };
	enum s3_said said = ahi_read_results(t->a, j, o, &local);

	t->ret->bytes += local.bytes;
	if (said == S3_DONE) {
		LOCK_SCOPE(&t->a->mu);
		if (j->readings == 0)
			t->a->bad_lines += o->bad_lines;
		return true;
	}
	if (t->now_ms - j->ended_ms < (int64_t)t->a->opt->result_wait_ms) {
		if (said != S3_ABSENT)
			*t->ret = local;
		ahi_come_again(t, j, POLL_MOST_MS);
		return false;
	}
	for (size_t i = 0; i < o->n; i++)
		o->v[i].listed = 0;
	j->readings++;
	return true;
}

/* Its lists and the data store are asked; what is left of it now. */
static int
settle_results(struct ahi_tending *t, struct ahi_job *j, struct ahi_outcomes *o)
{
	struct ahi_left left = { 0 };
	bool last = j->rounds >= ROUNDS;
	int r;

	/* The first time they may have been read while they grew. */
	r = ahi_settle_listed(t, j, o, j->readings > 0, last, &left);
	j->readings++;
	if (r == 0 && left.doubtful > 0 && j->readings > QUERIES)
		return ahi_settle_owed(t, j, 0, false, "its import does not say "
		    "what became of it, and the data store cannot be asked");
	return r == 0 && left.doubtful > 0 ? -EAGAIN : r;
}

void
ahi_step_results(struct ahi_tending *t, struct ahi_job *j)
{
	AUTO(free_outcomes) struct ahi_outcomes o = { .n = 0 };
	int r;

	if (t->now_ms < j->due_ms)
		return;
	r = ahi_collect_sent(t->a, j, &o);
	if (r == 0 && o.n > 0) {
		if (!read_lists(t, j, &o))
			return;
		r = settle_results(t, j, &o);
	} else if (r == 0) {
		finish(t, j);
		return;
	}
	if (r < 0)
		ahi_come_again(t, j, POLL_MOST_MS);
	else if (j->sent > 0)
		import_again(t, j);
	else
		finish(t, j);
}
