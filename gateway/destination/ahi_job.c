/* ahi_job.c - import jobs from their first file to their last: tend().
 *
 * open -> closed -> starting -> running -> (its lists) -> (cleaning) -> gone. Each
 * phase is durable before the step that cannot be taken back; what is in brackets
 * is done again from "running" after a restart, which changes nothing that was
 * settled. A start that nobody knows the fate of is repeated word for word with its
 * token, so it happens once. Waiting grows with each attempt in vain, per job.
 *
 * A batch is closed when it is full, or when its time has come and an import can be
 * started at once: until then studies share it.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "gateway/base/clock.h"
#include "gateway/destination/ahi_job_int.h"

#define URGENT_BATCH_MS	5000		/* with something of priority stat in it */
#define POLL_MOST_MS	(2 * 60 * 1000)
#define RETRY_MOST_MS	(15 * 60 * 1000)
#define UNKNOWN_AFTER_MS (10 * 60 * 1000)	/* a new job may not be known at once */
#define ONLY_MS		(10 * 60 * 1000)
#define QUERIES		6		/* in vain */

/* ---- waiting ------------------------------------------------------------- */

/* Doubled each time, and spread so that gateways do not march in step. */
static int64_t
growing(int64_t base_ms, unsigned tries, int64_t most_ms)
{
	int64_t ms = base_ms;
	uint16_t random = 0;

	for (unsigned i = 0; i < tries && ms < most_ms; i++)
		ms *= 2;
	if (ms > most_ms)
		ms = most_ms;
	(void)!getrandom(&random, sizeof(random), 0);
	return ms * 3 / 4 + ms * random / (2 * UINT16_MAX);
}

void
ahi_come_again(struct ahi_tending *t, struct ahi_job *j, int64_t most_ms)
{
	int64_t ms = growing((int64_t)t->a->opt->poll_interval_ms, j->tries,
	    most_ms);

	j->tries++;
	if (t->ret->health == DESTINATION_BUSY && t->ret->retry_after_ms > ms)
		ms = t->ret->retry_after_ms;
	j->due_ms = t->now_ms + ms;
}

static void
step_to(struct ahi_tending *t, struct ahi_job *j, enum ahi_phase phase)
{
	LOCK_SCOPE(&t->a->mu);
	j->phase = phase;
	j->tries = 0;
	j->due_ms = t->now_ms;
}

/* Durable, and due at once. */
static bool
enter(struct ahi_tending *t, struct ahi_job *j, enum ahi_phase phase)
{
	if (ahi_job_enter(t->a, j, phase) < 0) {
		ahi_come_again(t, j, RETRY_MOST_MS);
		return false;
	}
	j->due_ms = t->now_ms;
	return true;
}

/* ---- may one be started? ------------------------------------------------- */

/* Under mu. */
static bool
has_slot(const struct ahi *a, const struct ahi_job *but)
{
	unsigned running = 0;
	const struct ahi_job *j;

	TAILQ_FOREACH(j, &a->jobs, link) {
		if (j != but && (j->phase == AHI_RUNNING ||
			(j->phase == AHI_STARTING && j->doubt)))
			running++;
	}
	return running < a->opt->max_jobs;
}

static bool
may_start(const struct ahi_tending *t, const struct ahi_job *j)
{
	if (t->now_ms < j->due_ms || t->now_ms < t->a->next_start_ms)
		return false;
	LOCK_SCOPE(&t->a->mu);
	return has_slot(t->a, j);
}

/* Under mu. */
static bool
is_one_waiting(const struct ahi *a)
{
	const struct ahi_job *j;

	TAILQ_FOREACH(j, &a->jobs, link) {
		if (j->phase == AHI_CLOSED || j->phase == AHI_STARTING)
			return true;
	}
	return false;
}

/* ---- open ---------------------------------------------------------------- */

static int64_t
closes_at(const struct ahi *a, const struct ahi_job *j)
{
	int64_t wait = (int64_t)a->opt->batch_time_ms;

	if (j->urgent && wait > URGENT_BATCH_MS)
		wait = URGENT_BATCH_MS;
	return j->opened_ms + wait;
}

struct owing { const char *destination; bool owed; };

static int
look_owed(void *arg, const struct spool_delivery_row *row)
{
	struct owing *o = arg;

	if (strcmp(row->destination, o->destination) == 0)
		o->owed = row->state == SPOOL_OWED;
	return 0;
}

/* A batch for one large instance, which an operator may have let go of. */
static void
watch_only(struct ahi_tending *t, struct ahi_job *j)
{
	struct owing o = { .destination = t->a->name };
	int r;

	if (t->now_ms < j->due_ms)
		return;
	r = spool_deliveries(t->a->spool, j->only, look_owed, &o);
	j->due_ms = t->now_ms + ONLY_MS;
	LOCK_SCOPE(&t->a->mu);
	if ((r == 0 || r == -ENOENT) && !o.owed && j->putting == 0)
		j->full = true;
}

/* Under mu: what is to become of it. */
static enum ahi_phase
judge_open(struct ahi_tending *t, struct ahi_job *j)
{
	LOCK_SCOPE(&t->a->mu);
	if (!j->full && j->only == 0 && j->sent > 0 &&
	    t->now_ms >= closes_at(t->a, j) && !is_one_waiting(t->a) &&
	    t->now_ms >= t->a->next_start_ms && has_slot(t->a, NULL))
		j->full = true;
	if (!j->full || j->putting > 0)
		return AHI_OPEN;
	return j->sent > 0 ? AHI_CLOSED : AHI_CLEANING;
}

static void
step_open(struct ahi_tending *t, struct ahi_job *j)
{
	if (j->only != 0)
		watch_only(t, j);
	switch (judge_open(t, j)) {
	case AHI_CLOSED:
		if (t->now_ms < j->due_ms && j->tries > 0)
			return;
		j->n_files = (unsigned)j->sent;
		if (enter(t, j, AHI_CLOSED))
			j->tries = 0;
		break;
	case AHI_CLEANING:
		step_to(t, j, AHI_CLEANING);
		break;
	default:
		break;
	}
}

/* ---- starting ------------------------------------------------------------ */

static void
set_fault(struct ahi *a, const char *why)
{
	LOCK_SCOPE(&a->mu);
	(void)snprintf(a->fault, sizeof(a->fault), "%s", why);
}

static void
started(struct ahi_tending *t, struct ahi_job *j)
{
	set_fault(t->a, "");
	t->a->start_failures = 0;
	if (!enter(t, j, AHI_RUNNING))
		return;		/* the same request gives the same job */
	j->doubt = false;
	j->tries = 0;
	j->due_ms = t->now_ms + growing((int64_t)t->a->opt->poll_interval_ms, 0,
	    POLL_MOST_MS);
}

/* No start is worth a try before this one is. */
static void
start_later(struct ahi_tending *t, struct ahi_job *j, int64_t most_ms)
{
	j->tries = t->a->start_failures++;
	ahi_come_again(t, j, most_ms);
	if (j->due_ms > t->a->next_start_ms)
		t->a->next_start_ms = j->due_ms;
}

/* It did not happen and will not by itself. With what the configuration says then,
 * and a new token, because the service may remember this one with these. */
static void
start_denied(struct ahi_tending *t, struct ahi_job *j, enum ahi_said said)
{
	set_fault(t->a, t->ret->reason);
	if (said != AHI_DENIED || !j->doubt) {
		j->doubt = false;
		if (!enter(t, j, AHI_CLOSED))
			return;
	}
	start_later(t, j, RETRY_MOST_MS);
}

/* The token is known with other parameters, or the data store is not ready. */
static void
start_conflicts(struct ahi_tending *t, struct ahi_job *j)
{
	struct destination_result found = { .health = DESTINATION_UP };

	switch (ahi_find(t->a, j, &found)) {
	case AHI_DONE:
		*t->ret = found;
		started(t, j);
		break;
	case AHI_GONE:
		start_denied(t, j, AHI_WRONG);
		break;
	default:
		start_later(t, j, RETRY_MOST_MS);
		break;
	}
}

static void
start(struct ahi_tending *t, struct ahi_job *j)
{
	enum ahi_said said;

	t->a->next_start_ms = t->now_ms + (int64_t)t->a->opt->start_interval_ms;
	said = ahi_start(t->a, j, t->ret);
	switch (said) {
	case AHI_DONE:
		started(t, j);
		break;
	case AHI_LATER:
		start_later(t, j, POLL_MOST_MS);
		break;
	case AHI_UNSURE:
		j->doubt = true;
		start_later(t, j, POLL_MOST_MS);
		break;
	case AHI_DENIED:
	case AHI_WRONG:
	case AHI_GONE:
		start_denied(t, j, said);
		break;
	case AHI_CONFLICT:
		start_conflicts(t, j);
		break;
	}
}

static void
step_start(struct ahi_tending *t, struct ahi_job *j)
{
	if (!may_start(t, j))
		return;
	if (j->dirty && !ahi_tidy(t, j))
		return;
	if (j->sent == 0) {
		step_to(t, j, AHI_CLEANING);
		return;
	}
	if (j->phase == AHI_CLOSED) {
		ahi_job_renew(t->a, j);
		if (!enter(t, j, AHI_STARTING))
			return;
	}
	start(t, j);
}

/* ---- running ------------------------------------------------------------- */

/* Twice in a row: smaller ones, until it is known what makes them fail. */
static void
count_failure(struct ahi_tending *t, struct ahi_job *j)
{
	struct ahi *a = t->a;
	int64_t wait;

	if (j->ended_ms != 0)
		return;
	j->ended_ms = t->now_ms;
	wait = growing((int64_t)a->opt->poll_interval_ms, ++a->whole_failures,
	    RETRY_MOST_MS);
	if (a->next_start_ms < t->now_ms + wait)
		a->next_start_ms = t->now_ms + wait;
	LOCK_SCOPE(&a->mu);
	if (a->whole_failures >= 2) {
		if (a->batch_files > j->n_files && j->n_files > 0)
			a->batch_files = j->n_files;
		a->batch_files = (a->batch_files + 1) / 2;
	}
}

static void
fail_whole(struct ahi_tending *t, struct ahi_job *j, const char *message)
{
	char why[200];

	count_failure(t, j);
	t->ret->health = DESTINATION_FAILED;
	(void)snprintf(t->ret->reason, sizeof(t->ret->reason),
	    "import %s failed as a whole: %s", j->job, message);
	(void)snprintf(why, sizeof(why), "its import failed: %s", message);
	if (ahi_settle_all_owed(t, j, j->n_files == 1, why) < 0)
		ahi_come_again(t, j, RETRY_MOST_MS);
	else
		step_to(t, j, AHI_CLEANING);
}

static void
complete(struct ahi_tending *t, struct ahi_job *j, const struct ahi_progress *p)
{
	struct ahi *a = t->a;

	if (ahi_uri_parse(p->output, &j->results) < 0)
		j->results = (struct ahi_uri){ .bucket = "" };
	a->whole_failures = 0;
	j->ended_ms = t->now_ms;
	j->readings = 0;
	(void)pthread_mutex_lock(&a->mu);
	a->batch_files = a->batch_files * 2 < a->opt->batch_files ?
	    a->batch_files * 2 : (unsigned)a->opt->batch_files;
	(void)pthread_mutex_unlock(&a->mu);
	step_to(t, j, AHI_RESULTS);
}

static void
forget_unknown(struct ahi_tending *t, struct ahi_job *j)
{
	if (clock_wall_ms() - j->since_ms < UNKNOWN_AFTER_MS) {
		ahi_come_again(t, j, POLL_MOST_MS);
		return;
	}
	if (ahi_settle_all_owed(t, j, false, "HealthImaging does not know its import "
		"any more") < 0)
		ahi_come_again(t, j, RETRY_MOST_MS);
	else
		step_to(t, j, AHI_CLEANING);
}

static void
step_running(struct ahi_tending *t, struct ahi_job *j)
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

static void
free_outcomes(struct ahi_outcomes *o)
{
	free(o->v);
}

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

static void
step_results(struct ahi_tending *t, struct ahi_job *j)
{
	AUTO(free_outcomes) struct ahi_outcomes o = { .n = 0 };
	size_t open = 0;
	int r;

	if (t->now_ms < j->due_ms)
		return;
	r = ahi_collect_sent(t->a, j, &o);
	if (r == 0 && o.n > 0) {
		if (!read_lists(t, j, &o))
			return;
		/* The first time they may have been read while they grew. */
		r = ahi_settle_listed(t, j, &o, j->readings > 0, &open);
		j->readings++;
	}
	if (r == 0 && open > 0 && j->readings > QUERIES)
		r = ahi_settle_all_owed(t, j, false, "its import does not say what "
		    "became of it, and the data store cannot be asked");
	else if (r == 0 && open > 0)
		r = -EAGAIN;
	if (r < 0)
		ahi_come_again(t, j, POLL_MOST_MS);
	else
		step_to(t, j, AHI_CLEANING);
}

/* ---- tending ------------------------------------------------------------- */

static void
step(struct ahi_tending *t, struct ahi_job *j)
{
	t->now_ms = clock_mono_ms();
	switch (j->phase) {
	case AHI_OPEN:
		step_open(t, j);
		break;
	case AHI_CLOSED:
	case AHI_STARTING:
		step_start(t, j);
		break;
	case AHI_RUNNING:
		step_running(t, j);
		break;
	case AHI_RESULTS:
		step_results(t, j);
		break;
	case AHI_CLEANING:
		ahi_clean(t, j);
		break;
	case AHI_PHASES:
		break;
	}
}

/* When it wants to be looked at. Under mu. */
static int64_t
next_of(const struct ahi_tending *t, const struct ahi_job *j)
{
	const struct ahi *a = t->a;
	int64_t at;

	switch (j->phase) {
	case AHI_OPEN:
		if (j->full)
			return j->putting > 0 ? t->now_ms + 1000 : j->due_ms;
		if (j->only != 0)
			return j->due_ms;
		/* Else another one's start or end is waited for. */
		if (j->sent == 0 || is_one_waiting(a) || !has_slot(a, NULL))
			return CLOCK_NEVER;
		at = closes_at(a, j);
		break;
	case AHI_CLOSED:
	case AHI_STARTING:
		if (!has_slot(a, j))
			return CLOCK_NEVER;
		at = j->due_ms;
		break;
	default:
		return j->due_ms;
	}
	return at > a->next_start_ms ? at : a->next_start_ms;
}

static int64_t
next_of_all(const struct ahi_tending *t)
{
	int64_t next = CLOCK_NEVER;
	const struct ahi_job *j;

	LOCK_SCOPE(&t->a->mu);
	TAILQ_FOREACH(j, &t->a->jobs, link) {
		int64_t at = next_of(t, j);

		if (at < next)
			next = at;
	}
	return next;
}

/* The round is over where nobody answers: the others would only wait, too. */
static bool
go_on(const struct ahi_tending *t)
{
	return !atomic_load(&t->a->canceled) && (t->a->fault[0] != '\0' ||
	    t->ret->health != DESTINATION_DOWN);
}

/* The next of the list after this id; jobs come at its end, and leave it by our
 * own hand alone. */
static struct ahi_job *
job_after(struct ahi *a, uint64_t id)
{
	struct ahi_job *j;

	LOCK_SCOPE(&a->mu);
	TAILQ_FOREACH(j, &a->jobs, link) {
		if (j->id > id)
			return j;
	}
	return NULL;
}

void
ahi_tend(void *self, destination_settle_fn *settle, void *arg,
    struct destination_result *ret, int64_t *ret_next_ms)
{
	struct ahi_tending t = { .a = self, .settle = settle, .arg = arg,
		.ret = ret, .now_ms = clock_mono_ms() };
	struct ahi_job *j;
	uint64_t id = 0;
	int64_t least;

	if (ahi_recover(t.a) < 0) {
		*ret_next_ms = t.now_ms + 5000;
		return;
	}
	while (go_on(&t) && (j = job_after(t.a, id)) != NULL) {
		id = j->id;
		step(&t, j);
	}
	t.now_ms = clock_mono_ms();
	*ret_next_ms = next_of_all(&t);
	least = t.now_ms + (ret->health == DESTINATION_UP ? 10 : 2000);
	if (*ret_next_ms < least)
		*ret_next_ms = least;
}
