/* ahi_start.c - starting imports: one at a time, no faster than the service takes
 * them, and each exactly once.
 *
 * Parameters and token are durable before the request leaves. When nobody knows
 * whether it arrived, the same is sent again, word for word; only a definite no makes
 * room for another token, with what the configuration says by then.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/clock.h"
#include "gateway/destination/ahi_job_int.h"

static bool
may_start(const struct ahi_tending *t, const struct ahi_job *j)
{
	if (t->now_ms < j->due_ms || t->now_ms < t->a->next_start_ms)
		return false;
	LOCK_SCOPE(&t->a->mu);
	return ahi_has_slot(t->a, j);
}

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
	if (!ahi_enter(t, j, AHI_RUNNING))
		return;		/* the same request gives the same job */
	j->doubt = false;
	j->tries = 0;
	j->due_ms = t->now_ms + ahi_growing((int64_t)t->a->opt->poll_interval_ms, 0,
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
		if (!ahi_enter(t, j, AHI_CLOSED))
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

/* What somebody let go of since its file was put is not imported any more. */
static bool
recount(struct ahi_tending *t, struct ahi_job *j)
{
	struct ahi_outcomes sent = { .n = 0 };
	unsigned before = j->n_files;

	if (ahi_collect_sent(t->a, j, &sent) < 0) {
		ahi_come_again(t, j, RETRY_MOST_MS);
		return false;
	}
	free(sent.v);
	LOCK_SCOPE(&t->a->mu);
	j->dirty = j->dirty || sent.n < before;
	return true;
}

void
ahi_step_start(struct ahi_tending *t, struct ahi_job *j)
{
	if (!may_start(t, j))
		return;
	if (j->phase == AHI_CLOSED && !recount(t, j))
		return;
	if (j->dirty && !ahi_tidy(t, j))
		return;
	if (j->sent == 0) {
		ahi_step_to(t, j, AHI_CLEANING);
		return;
	}
	if (j->phase == AHI_CLOSED) {
		ahi_job_renew(t->a, j);
		if (!ahi_enter(t, j, AHI_STARTING))
			return;
	}
	start(t, j);
}

