/* command.c - what operators ask for. Each letting-go is in the settle log with
 * the actor's name before it takes effect (invariant 5).
 *
 * Long work goes in slices of PAIRS_MAX, so that arrivals pass in between.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "gateway/base/clock.h"
#include "spool/spool_int.h"

#define STATE(s) (1u << (s))

int
pair_collect(void *arg, uint64_t id, const char *dest, enum spool_delivery state)
{
	struct pair_list *l = arg;
	struct pair *p;

	if (l->n == PAIRS_MAX)
		return 1;
	p = &l->pair[l->n++];
	p->id = id;
	p->state = state;
	(void)strncpy(p->destination, dest, sizeof(p->destination) - 1);
	p->destination[sizeof(p->destination) - 1] = '\0';
	return 0;
}

/* What a verb does to a delivery. */
static const struct verb_rule {
	unsigned from;		/* states it takes */
	bool	 unrouted;	/* pending and unrouted instances as well */
	enum spool_delivery to;
	bool	 check;		/* ask the destination first */
} verb_rules[] = {
	[SPOOL_RETRY] = { STATE(SPOOL_REFUSED), false, SPOOL_OWED, false },
	[SPOOL_RESEND] = { STATE(SPOOL_DELIVERED) | STATE(SPOOL_WARNED) |
	    STATE(SPOOL_REFUSED) | STATE(SPOOL_LET_GO), false, SPOOL_OWED, true },
	[SPOOL_ACCEPT] = { STATE(SPOOL_REFUSED), false, SPOOL_WARNED, false },
	[SPOOL_DROP] = { STATE(SPOOL_OWED) | STATE(SPOOL_SENT) |
	    STATE(SPOOL_REFUSED), true, SPOOL_LET_GO, false },
	[SPOOL_PURGE] = { STATE(SPOOL_OWED) | STATE(SPOOL_SENT) |
	    STATE(SPOOL_REFUSED), true, SPOOL_LET_GO, false },
};

struct slice_op {
	const struct spool_command *cmd;
	bool	 absent;	/* of what never went there, not of what is */
	uint64_t after, next;	/* where this slice and the next one begin */
	uint64_t changed;
	bool	 more;
};

/* In the index, then in the log. */
static int
change_delivery(struct spool *sp, const struct spool_command *cmd, uint64_t id,
    const char *dest, bool create)
{
	const struct verb_rule *rule = &verb_rules[cmd->verb];
	const char *reason = cmd->reason != NULL ? cmd->reason : "";
	struct settle_entry e = { .verb = rule->check ? SETTLE_CHECK : SETTLE_DELIVERY,
		.wall_ms = clock_wall_ms(), .id = id, .destination = dest,
		.study = "", .state = rule->to, .actor = cmd->actor,
		.reason = reason };
	int r;

	if (dest[0] == '\0')
		r = index_let_go_unrouted(sp->ix, id, cmd->actor, reason, e.wall_ms);
	else
		r = index_deliver(sp->ix, &(struct index_verdict){ .id = id,
		    .dest = dest, .state = rule->to, .reason = reason,
		    .actor = cmd->actor, .check = rule->check, .create = create,
		    .wall_ms = e.wall_ms }, NULL);
	return r < 0 ? r : settle_append(sp->log, &e);
}

/* Only what the destination has (rule 5). */
static int
accept_pair(struct spool *sp, const struct spool_command *cmd, const struct pair *p)
{
	struct index_delivery now;
	int r = index_delivery(sp->ix, p->id, p->destination, &now);

	if (r == 0 && !now.remote)
		r = -ENOENT;
	return r < 0 ? r : change_delivery(sp, cmd, p->id, p->destination, false);
}

/* What is unrouted is routed by this; a rebuild learns both from the log. */
static int
owe_absent(struct spool *sp, const struct spool_command *cmd, const struct pair *p)
{
	struct spool_routing rt = { p->id, &cmd->destination, 1 };
	int r = index_route(sp->ix, p->id, rt.destinations, rt.n);

	if (r == 0)
		r = route_log(sp, &rt);
	if (r < 0 && r != -EALREADY)
		return r;
	return change_delivery(sp, cmd, p->id, cmd->destination, true);
}

static int
change_pair(struct spool *sp, const struct slice_op *op, const struct pair *p)
{
	if (op->absent)
		return owe_absent(sp, op->cmd, p);
	if (op->cmd->verb == SPOOL_ACCEPT)
		return accept_pair(sp, op->cmd, p);
	return change_delivery(sp, op->cmd, p->id, p->destination, false);
}

static int
find_pairs(struct spool *sp, const struct slice_op *op, struct pair_list *ret)
{
	const struct spool_command *cmd = op->cmd;
	const struct verb_rule *rule = &verb_rules[cmd->verb];

	if (op->absent)
		return index_absent(sp->ix, cmd->study, cmd->destination,
		    op->after, PAIRS_PAGE, pair_collect, ret);
	return index_pairs(sp->ix, cmd->study, cmd->destination, rule->from,
	    rule->unrouted && cmd->destination == NULL, op->after, PAIRS_PAGE,
	    pair_collect, ret);
}

static int
apply_slice(struct spool *sp, void *arg)
{
	struct slice_op *op = arg;
	struct pair_list pairs = { .n = 0 };
	int r;

	op->changed = 0;
	r = find_pairs(sp, op, &pairs);
	if (r < 0)
		return r;
	for (size_t i = 0; i < pairs.n; i++) {
		r = change_pair(sp, op, &pairs.pair[i]);
		/* -ENOENT: its bytes are gone, it cannot be owed again. */
		if (r < 0 && r != -ENOENT)
			return r;
		op->changed += r == 0;
	}
	op->more = pairs.n >= PAIRS_PAGE;
	if (!op->more)
		return 0;
	op->next = pairs.pair[pairs.n - 1].id;
	/* Full: it may have ended within an instance. */
	if (pairs.n == PAIRS_MAX && pairs.pair[0].id < op->next)
		op->next--;
	return 0;
}

/* Always onwards: what the uploader has delivered meanwhile is not sent again. */
static int
change_deliveries(struct spool *sp, const struct spool_command *cmd, bool absent,
    uint64_t *ret_n)
{
	struct slice_op op = { .cmd = cmd, .absent = absent };

	do {
		int r = commit_run(sp, apply_slice, &op, 0);

		if (r < 0)
			return r;
		*ret_n += op.changed;
		op.after = op.next;
	} while (op.more);
	return 0;
}

struct flag_op {
	const struct spool_command *cmd;
	int result;
};

static int
apply_flag(struct spool *sp, void *arg)
{
	struct flag_op *op = arg;
	const struct spool_command *cmd = op->cmd;
	bool hold = cmd->verb == SPOOL_HOLD;
	char uid[DICOM_UID_MAX + 1] = "";
	struct settle_entry e = { .wall_ms = clock_wall_ms(), .destination = "",
		.study = uid, .value = hold, .actor = cmd->actor,
		.reason = cmd->reason != NULL ? cmd->reason : "" };
	int r = 0;

	if (cmd->study != 0)
		r = index_study_uid(sp->ix, cmd->study, uid);
	if (r == 0 && cmd->study == 0) {
		e.verb = SETTLE_DESTINATION_HOLD;
		e.destination = cmd->destination;
		r = index_destination_hold(sp->ix, cmd->destination, hold);
		if (r == -ENOENT && !hold)
			return 0;	/* nothing was ever owed to it, nor held */
	} else if (r == 0 && cmd->verb == SPOOL_PRIORITY) {
		e.verb = SETTLE_STUDY_PRIORITY;
		e.value = cmd->priority;
		r = index_study_priority(sp->ix, uid, cmd->priority);
	} else if (r == 0) {
		e.verb = SETTLE_STUDY_HOLD;
		r = index_study_hold(sp->ix, uid, hold);
	}
	op->result = r == -ENOENT ? r : 0;
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	return settle_append(sp->log, &e);
}

/* ---- purge ---- */

struct kept_list {
	size_t	 n;
	uint64_t id[PAIRS_MAX];
};

static int
collect_kept(void *arg, uint64_t id, const struct store_place *at, uint64_t length)
{
	struct kept_list *l = arg;

	(void)at;
	(void)length;
	if (l->n == PAIRS_MAX)
		return 1;
	l->id[l->n++] = id;
	return 0;
}

struct kept_op {
	uint64_t study, after;
	struct kept_list list;
};

static int
apply_list_kept(struct spool *sp, void *arg)
{
	struct kept_op *op = arg;

	op->list.n = 0;
	return index_kept_of_study(sp->ix, op->study, op->after, PAIRS_MAX,
	    collect_kept, &op->list);
}

static int
purge_bytes(struct spool *sp, const struct spool_command *cmd, uint64_t *ret_n)
{
	struct kept_op op = { .study = cmd->study };

	*ret_n = 0;
	do {
		int r = commit_run(sp, apply_list_kept, &op, 0);

		if (r >= 0 && op.list.n > 0) {
			op.after = op.list.id[op.list.n - 1];
			r = sweep_expunge(sp, op.list.id, op.list.n, cmd->actor,
			    true);
		}
		if (r < 0)
			return r;
		*ret_n += op.list.n;
	} while (op.list.n == PAIRS_MAX);
	return 0;
}

/* ---- the call ---- */

static int
check_study(struct spool *sp, uint64_t study)
{
	struct index_reader *ir;
	int r;

	ir = spool_reader_take(sp, &r);
	if (ir == NULL)
		return r;
	r = index_reader_study(ir, study, NULL, NULL);
	spool_reader_give(sp, ir);
	return r;
}

int
spool_command(struct spool *sp, const struct spool_command *cmd, uint64_t *ret_n)
{
	uint64_t n = 0;
	int r = 0;

	assert(cmd->actor != NULL);
	/* Half of the study would come back as news later. */
	if (atomic_load(&sp->rebuilding))
		return -EAGAIN;
	if (cmd->study == 0 && (cmd->destination == NULL ||
	    cmd->verb == SPOOL_PURGE || cmd->verb == SPOOL_PRIORITY))
		return -EINVAL;
	if (cmd->study != 0)
		r = check_study(sp, cmd->study);
	if (r < 0)
		return r;

	if (cmd->verb == SPOOL_HOLD || cmd->verb == SPOOL_RELEASE ||
	    cmd->verb == SPOOL_PRIORITY) {
		struct flag_op op = { .cmd = cmd };

		r = commit_run(sp, apply_flag, &op, 0);
		r = r < 0 ? r : op.result;
		n = r == 0;
	} else {
		/* First, or it would be met again as what is there. */
		if (cmd->verb == SPOOL_RESEND && cmd->study != 0 &&
		    cmd->destination != NULL)
			r = change_deliveries(sp, cmd, true, &n);
		if (r == 0)
			r = change_deliveries(sp, cmd, false, &n);
		if (r == 0 && cmd->verb == SPOOL_PURGE)
			r = purge_bytes(sp, cmd, &n);
	}
	if (r < 0)
		return r;
	*ret_n = n;
	spool_wake(sp);
	return 0;
}
