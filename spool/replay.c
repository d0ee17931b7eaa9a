/* replay.c - what the settle log says is done to the index once more.
 *
 * Every line may come a second time, to an index that knows what followed: each
 * sets a state, and the last one stands. Slices run in the committer, between the
 * operations of others: a line that is appended meanwhile is met in its turn.
 *
 * A job comes to life with each of its lines and ends with its last. Where pruning
 * has left its lines out it is unknown, and what it has sent is owed, to be asked
 * for first: exactly what its end had made of it (index_deliver()).
 */
#include <errno.h>
#include <string.h>

#include "gateway/base/cleanup.h"
#include "spool/adopt_int.h"

#define SLICE	   256
#define ROUTES_MAX 1000	/* more than a line holds */

static int
replay_expunged(struct spool *sp, const struct settle_entry *e)
{
	struct store_place at;
	uint64_t length;
	int r = index_replay_expunged(sp->ix, e->id, e->wall_ms, &at, &length);

	if (r == 0 && at.segment == 0)
		leftover_note(sp, e->id);
	return r;
}

/* The row that was being replaced may be a routing's, which is no line. */
static int
replay_replacing(struct spool *sp, const struct settle_entry *e)
{
	struct index_delivery now;
	int r = index_delivery(sp->ix, e->id, e->destination, &now);

	/* What was sent before this line stays with its job. */
	if (r == -ENOENT || (r == 0 && now.state != SPOOL_SENT))
		r = index_deliver(sp->ix, &(struct index_verdict){ .id = e->id,
		    .dest = e->destination, .state = SPOOL_OWED, .check = true,
		    .create = true, .wall_ms = e->wall_ms }, NULL);
	return r < 0 ? r : index_set_replacing(sp->ix, e->id, e->destination);
}

static int
replay_delivery(struct spool *sp, const struct settle_entry *e)
{
	if (e->destination[0] == '\0')
		return index_let_go_unrouted(sp->ix, e->id, e->actor, e->reason,
		    e->wall_ms);
	return index_deliver(sp->ix, &(struct index_verdict){ .id = e->id,
	    .dest = e->destination, .state = e->state, .reason = e->reason,
	    .actor = e->actor, .remote = e->remote,
	    .job = e->state == SPOOL_SENT ? (uint64_t)e->value : 0,
	    .create = true, .wall_ms = e->wall_ms }, NULL);
}

static int
replay_check(struct spool *sp, const struct settle_entry *e)
{
	if (e->destination[0] == '\0')
		return index_repend(sp->ix, e->id);
	return index_deliver(sp->ix, &(struct index_verdict){ .id = e->id,
	    .dest = e->destination, .state = SPOOL_OWED, .reason = e->reason,
	    .actor = e->actor, .remote = e->remote, .check = true,
	    .create = true, .wall_ms = e->wall_ms }, NULL);
}

static int
replay_routed(struct spool *sp, const struct settle_entry *e)
{
	AUTO_FREE char *text = xstrdup(e->reason);
	const char *name[ROUTES_MAX];
	char *rest = NULL, *one = strtok_r(text, " ", &rest);
	size_t n = 0;

	for (; one != NULL && n < ROUTES_MAX; one = strtok_r(NULL, " ", &rest))
		name[n++] = one;
	return n == 0 ? 0 : index_route(sp->ix, e->id, name, n);
}

static int
replay_entry(struct spool *sp, const struct settle_entry *e)
{
	uint64_t owed;

	switch (e->verb) {
	case SETTLE_DELIVERY:
		return replay_delivery(sp, e);
	case SETTLE_CHECK:
		return replay_check(sp, e);
	case SETTLE_REPLACING:
		return replay_replacing(sp, e);
	case SETTLE_EXPUNGED:
		return replay_expunged(sp, e);
	case SETTLE_DAMAGED:
		return index_set_damaged(sp->ix, e->id);
	case SETTLE_STUDY_HOLD:
		return index_study_hold(sp->ix, e->study, e->value != 0);
	case SETTLE_STUDY_PRIORITY:
		return index_study_priority(sp->ix, e->study,
		    (enum spool_priority)e->value);
	case SETTLE_DESTINATION_HOLD:
		return index_destination_hold(sp->ix, e->destination, e->value != 0);
	case SETTLE_ROUTED:
		return replay_routed(sp, e);
	case SETTLE_JOB:
		return e->id == 0 || e->id > INT64_MAX ||
		    e->destination[0] == '\0' ? 0 : index_job_set(sp->ix, e->id,
		    e->destination, e->reason, e->wall_ms);
	case SETTLE_JOB_ENDED:
		return index_job_end(sp->ix, e->id, e->wall_ms, &owed);
	case SETTLE_VERBS:
		break;
	}
	return 0;	/* of a later version: nothing that we can know */
}

struct replay_op {
	struct spool *sp;
	uint64_t from, next;
	size_t	 n;
	bool	 ended;
};

static int
replay_line(void *arg, const struct settle_entry *e)
{
	struct replay_op *op = arg;
	int r;

	if (op->n == SLICE)
		return 1;
	op->n++;
	r = replay_entry(op->sp, e);
	/* Already so, or of an instance that is gone. */
	return r == -ENOENT || r == -EALREADY ? 0 : r;
}

static int
apply_replay(struct spool *sp, void *arg)
{
	struct replay_op *op = arg;
	int r;

	op->n = 0;
	op->next = op->from;
	r = settle_replay_some(sp->log, &op->next, replay_line, op);
	return r < 0 ? r : 0;
}

/* An operation of its own: what it says must not be undone with a slice. */
static int
apply_caught_up(struct spool *sp, void *arg)
{
	struct replay_op *op = arg;

	op->ended = op->next >= settle_size(sp->log);
	if (op->ended)
		atomic_store(&sp->replayed, true);
	return 0;
}

int
replay_log(struct spool *sp, adopt_commit_fn *commit, uint64_t from,
    bool background)
{
	struct replay_op op = { .sp = sp, .from = from };
	int r = 0;

	while (r >= 0 && !op.ended) {
		if (background && !keeper_tend(sp))
			return -ECANCELED;
		r = commit(sp, apply_replay, &op, 0);
		if (r >= 0 && op.n < SLICE)
			r = commit(sp, apply_caught_up, &op, 0);
		op.from = op.next;
	}
	return r;
}
