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
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "gateway/base/clock.h"
#include "gateway/destination/ahi_job_int.h"

#define URGENT_BATCH_MS	5000		/* with something of priority stat in it */
#define ONLY_MS		(10 * 60 * 1000)
#define ALARM_TRIES	3

/* ---- waiting ------------------------------------------------------------- */

int64_t
ahi_growing(int64_t base_ms, unsigned tries, int64_t most_ms)
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

/* ret: of this step. It is shown until the job gets on. */
static void
note_trouble(struct ahi *a, struct ahi_job *j, const struct destination_result *ret)
{
	LOCK_SCOPE(&a->mu);
	if (ret == NULL || ret->health == DESTINATION_UP) {
		j->trouble[0] = '\0';
	} else if (ret->health != DESTINATION_CANCELED) {
		(void)snprintf(j->trouble, sizeof(j->trouble), "%s", ret->reason);
		j->alarming = ret->health == DESTINATION_DOWN ||
		    (ret->health == DESTINATION_FAILED && j->tries >= ALARM_TRIES);
	}
}

void
ahi_come_again(struct ahi_tending *t, struct ahi_job *j, int64_t most_ms)
{
	int64_t ms = ahi_growing((int64_t)t->a->opt->poll_interval_ms, j->tries,
	    most_ms);

	note_trouble(t->a, j, t->ret);

	j->tries++;
	if (t->ret->health == DESTINATION_BUSY && t->ret->retry_after_ms > ms)
		ms = t->ret->retry_after_ms;
	j->due_ms = t->now_ms + ms;
}

void
ahi_step_to(struct ahi_tending *t, struct ahi_job *j, enum ahi_phase phase)
{
	note_trouble(t->a, j, NULL);
	LOCK_SCOPE(&t->a->mu);
	j->phase = phase;
	j->tries = 0;
	j->due_ms = t->now_ms;
}

bool
ahi_enter(struct ahi_tending *t, struct ahi_job *j, enum ahi_phase phase)
{
	if (ahi_job_enter(t->a, j, phase) < 0) {
		ahi_come_again(t, j, RETRY_MOST_MS);
		return false;
	}
	note_trouble(t->a, j, NULL);
	j->due_ms = t->now_ms;
	return true;
}

/* ---- slots --------------------------------------------------------------- */

bool
ahi_has_slot(const struct ahi *a, const struct ahi_job *but)
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

/* Under mu: one whose turn it is next. What failed and comes again later is not. */
static bool
is_one_waiting(const struct ahi_tending *t)
{
	const struct ahi *a = t->a;
	int64_t by = a->next_start_ms > t->now_ms ? a->next_start_ms : t->now_ms;
	const struct ahi_job *j;

	TAILQ_FOREACH(j, &a->jobs, link) {
		if ((j->phase == AHI_CLOSED || j->phase == AHI_STARTING) &&
		    j->due_ms <= by)
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
	    t->now_ms >= closes_at(t->a, j) && !is_one_waiting(t) &&
	    t->now_ms >= t->a->next_start_ms && ahi_has_slot(t->a, NULL))
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
		if (ahi_enter(t, j, AHI_CLOSED))
			j->tries = 0;
		break;
	case AHI_CLEANING:
		ahi_step_to(t, j, AHI_CLEANING);
		break;
	default:
		break;
	}
}

/* ---- tending ------------------------------------------------------------- */

static void
do_step(struct ahi_tending *t, struct ahi_job *j)
{
	t->now_ms = clock_mono_ms();
	switch (j->phase) {
	case AHI_OPEN:
		step_open(t, j);
		break;
	case AHI_CLOSED:
	case AHI_STARTING:
		ahi_step_start(t, j);
		break;
	case AHI_RUNNING:
		ahi_step_running(t, j);
		break;
	case AHI_RESULTS:
		ahi_step_results(t, j);
		break;
	case AHI_CLEANING:
		ahi_clean(t, j);
		break;
	case AHI_PHASES:
		break;
	}
}

/* The job may be gone after it. What others of this round met stays in ret. */
static void
step(struct ahi_tending *t, struct ahi_job *j)
{
	struct destination_result before = *t->ret;

	t->ret->health = DESTINATION_UP;
	t->ret->reason[0] = '\0';
	do_step(t, j);
	if (t->ret->health != DESTINATION_UP)
		return;
	before.bytes = t->ret->bytes;
	*t->ret = before;
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
		if (j->sent == 0 || is_one_waiting(t) || !ahi_has_slot(a, NULL))
			return CLOCK_NEVER;
		at = closes_at(a, j);
		break;
	case AHI_CLOSED:
	case AHI_STARTING:
		if (!ahi_has_slot(a, j))
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
