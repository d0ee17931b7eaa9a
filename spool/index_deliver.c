/* index_deliver.c - the state of each delivery.
 *
 * Invariant 5: a delivery leaves owed only here, in a transaction whose settle
 * log is synced before it is committed. What every change has in common stands
 * in apply(): the counters move by the difference, and `done` is what the rows
 * now say.
 */
#include <string.h>

#include "spool/index_sql_int.h"

#define REASON_MAX 500	/* for people; a server may say as much as it likes */

int
destination_find(struct sql *q, const char *name, bool create, int64_t *ret)
{
	int r;

	r = sql_number(q, ret, "SELECT id FROM destination WHERE name = ?1",
	    SQL_TEXT(name));
	if (r != -ENOENT || !create)
		return r;
	r = sql_run(q, "INSERT INTO destination (name) VALUES (?1)",
	    SQL_TEXT(name));
	if (r == 0)
		*ret = sqlite3_last_insert_rowid(q->db);
	return r;
}

/* ---- counters ---- */

static int
count_study(struct index *ix, int64_t study,
    const int64_t d[static SPOOL_DELIVERY_STATES])
{
	int64_t owed = d[SPOOL_OWED] + d[SPOOL_SENT];
	int64_t delivered = d[SPOOL_DELIVERED] + d[SPOOL_WARNED];

	if (owed == 0 && delivered == 0 && d[SPOOL_REFUSED] == 0 &&
	    d[SPOOL_LET_GO] == 0)
		return 0;
	return sql_run(&ix->sql, "UPDATE study SET owed = owed + ?2,"
	    " delivered = delivered + ?3, refused = refused + ?4,"
	    " let_go = let_go + ?5 WHERE id = ?1",
	    SQL_INT(study), SQL_INT(owed), SQL_INT(delivered),
	    SQL_INT(d[SPOOL_REFUSED]), SQL_INT(d[SPOOL_LET_GO]));
}

#define ALL_STATES(d)                                                           \
	SQL_INT((d)[SPOOL_OWED]), SQL_INT((d)[SPOOL_SENT]),                     \
	SQL_INT((d)[SPOOL_DELIVERED]), SQL_INT((d)[SPOOL_WARNED]),              \
	SQL_INT((d)[SPOOL_REFUSED]), SQL_INT((d)[SPOOL_LET_GO])

int
delivery_count(struct index *ix, int64_t study, int64_t destination,
    const int64_t d[static SPOOL_DELIVERY_STATES], int64_t length)
{
	int64_t bytes = (d[SPOOL_OWED] + d[SPOOL_SENT]) * length;
	int r;

	r = count_study(ix, study, d);
	if (r == 0)
		r = sql_run(&ix->sql, "INSERT INTO study_delivery (study,"
		    " destination, owed, sent, delivered, warned, refused, let_go)"
		    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
		    " ON CONFLICT (study, destination) DO UPDATE SET"
		    " owed = owed + ?3,"
		    " sent = sent + ?4, delivered = delivered + ?5,"
		    " warned = warned + ?6, refused = refused + ?7,"
		    " let_go = let_go + ?8",
		    SQL_INT(study), SQL_INT(destination), ALL_STATES(d));
	if (r == 0)
		r = sql_run(&ix->sql, "UPDATE destination SET owed = owed + ?2,"
		    " sent = sent + ?3, delivered = delivered + ?4,"
		    " warned = warned + ?5, refused = refused + ?6,"
		    " let_go = let_go + ?7, owed_bytes = owed_bytes + ?8"
		    " WHERE id = ?1",
		    SQL_INT(destination), ALL_STATES(d), SQL_INT(bytes));
	return r;
}

/* done follows from the rows alone, so it can be computed again at any time. */
int
delivery_refresh_done(struct index *ix, uint64_t id)
{
	return sql_run(&ix->sql, "UPDATE instance SET done = CASE"
	    " WHEN todo IS NULL AND NOT EXISTS (SELECT 1 FROM delivery AS d"
	    "  WHERE d.instance = ?1 AND +d.state IN (0, 1, 4))"
	    " THEN (SELECT max(x.since_ms) FROM delivery AS x"
	    "  WHERE x.instance = ?1) END WHERE id = ?1", SQL_INT(id));
}

/* ---- the instance ---- */

int
subject_find(struct index *ix, uint64_t id, struct subject *ret)
{
	AUTO_DONE sqlite3_stmt *st = NULL;
	int r;

	/* What a later version may have gone before is asked for first, too. */
	r = sql_query(&ix->sql, &st, "SELECT i.study, i.length, i.todo,"
	    " i.must_check OR EXISTS (SELECT 1 FROM instance AS e"
	    "  WHERE e.uid = i.uid AND e.version > i.version),"
	    " i.kept FROM instance AS i WHERE i.id = ?1", SQL_INT(id));
	if (r < 0)
		return r;
	r = sql_step(st);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	ret->id = id;
	ret->study = sqlite3_column_int64(st, 0);
	ret->length = sqlite3_column_int64(st, 1);
	ret->todo = sql_null(st, 2) ? -1 : sqlite3_column_int(st, 2);
	ret->check = sql_bool(st, 3);
	ret->kept = sql_bool(st, 4);
	return 0;
}

/* ---- one delivery ---- */

struct change {
	struct subject s;
	int64_t	    destination;
	bool	    exists;
	enum spool_delivery from, to;
	uint64_t    job;		/* that sends it, or 0 */
	bool	    check, replacing;	/* as they shall be */
	bool	    again;		/* as it is */
	char	    reason[REASON_MAX + 1];
	const char *note;		/* reason, or NULL */
	const char *actor, *remote;	/* or NULL */
	int64_t	    wall_ms;
};

static bool
state_confirmed(enum spool_delivery s)
{
	return s == SPOOL_DELIVERED || s == SPOOL_WARNED;
}

static bool
state_ended(enum spool_delivery s)
{
	return state_confirmed(s) || s == SPOOL_LET_GO;
}

static int
find_delivery(struct index *ix, struct change *c)
{
	AUTO_DONE sqlite3_stmt *st = NULL;
	int64_t state;
	int r;

	r = sql_query(&ix->sql, &st, "SELECT state, must_check, replacing,"
	    " again FROM delivery WHERE instance = ?1 AND destination = ?2",
	    SQL_INT(c->s.id), SQL_INT(c->destination));
	if (r < 0)
		return r;
	r = sql_step(st);
	if (r <= 0)
		return r;
	state = sqlite3_column_int64(st, 0);
	if (state < 0 || state >= SPOOL_DELIVERY_STATES)
		return -EUCLEAN;
	c->exists = true;
	c->from = (enum spool_delivery)state;
	c->check |= sql_bool(st, 1);
	c->replacing = sql_bool(st, 2);
	c->again = sql_bool(st, 3);
	return 0;
}

static void
set_reason(struct change *c, const char *reason)
{
	size_t len;

	if (reason == NULL || reason[0] == '\0')
		return;
	len = strnlen(reason, REASON_MAX + 1);
	if (len > REASON_MAX) {
		len = REASON_MAX;
		while (len > 0 && ((unsigned char)reason[len] & 0xc0) == 0x80)
			len--;
	}
	memcpy(c->reason, reason, len);
	c->reason[len] = '\0';
	c->note = c->reason;
}

static struct sql_arg
job_or_null(const struct change *c)
{
	return c->to == SPOOL_SENT ? (struct sql_arg)SQL_INT(c->job) :
	    (struct sql_arg)SQL_TEXT(NULL);
}

/* Still owed, or sent: nothing has changed but what people should know, and, when
 * the log is replayed, who has sent it. */
static int
note_open(struct index *ix, const struct change *c)
{
	return sql_run(&ix->sql, "UPDATE delivery SET must_check = ?3,"
	    " reason = coalesce(?4, reason), remote = coalesce(?5, remote),"
	    " job = ?6 WHERE instance = ?1 AND destination = ?2",
	    SQL_INT(c->s.id), SQL_INT(c->destination), SQL_INT(c->check),
	    SQL_TEXT(c->note), SQL_TEXT(c->remote), job_or_null(c));
}

static int
write_delivery(struct index *ix, const struct change *c)
{
	bool confirmed = state_confirmed(c->to);
	bool accepted = c->from == SPOOL_REFUSED && c->to == SPOOL_WARNED;

	return sql_run(&ix->sql, "INSERT INTO delivery (instance, destination,"
	    " study, state, since_ms, must_check, replacing, reason, actor, job,"
	    " remote) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
	    " ON CONFLICT (instance, destination) DO UPDATE SET"
	    " state = ?4, since_ms = ?5, must_check = ?6, replacing = ?7,"
	    " again = 0, actor = ?9, job = ?10,"
	    " remote = coalesce(?11, CASE WHEN NOT ?13 THEN remote END),"
	    " reason = coalesce(?8, CASE WHEN ?12 THEN reason END)",
	    SQL_INT(c->s.id), SQL_INT(c->destination), SQL_INT(c->s.study),
	    SQL_INT(c->to), SQL_INT(c->wall_ms),
	    SQL_INT(c->check && !confirmed),
	    SQL_INT(c->replacing && !confirmed), SQL_TEXT(c->note),
	    SQL_TEXT(c->actor), job_or_null(c), SQL_TEXT(c->remote),
	    SQL_INT(accepted), SQL_INT(c->to == SPOOL_REFUSED));
}

/* How far it has come is of no use once it is there, or nobody wants it. */
static int
forget_note(struct index *ix, const struct change *c)
{
	return sql_run(&ix->sql, "DELETE FROM note"
	    " WHERE instance = ?1 AND destination = ?2",
	    SQL_INT(c->s.id), SQL_INT(c->destination));
}

/* A verdict that is the same as before the bytes came again. */
static int
clear_again(struct index *ix, const struct change *c)
{
	return sql_run(&ix->sql, "UPDATE delivery SET again = 0"
	    " WHERE instance = ?1 AND destination = ?2",
	    SQL_INT(c->s.id), SQL_INT(c->destination));
}

static int
note_refusal(struct index *ix, const struct change *c)
{
	return sql_run(&ix->sql, "UPDATE study_delivery SET reason = ?3"
	    " WHERE study = ?1 AND destination = ?2", SQL_INT(c->s.study),
	    SQL_INT(c->destination), SQL_TEXT(c->note));
}

/* The one place where a delivery changes its state. */
static int
apply(struct index *ix, const struct change *c)
{
	int64_t delta[SPOOL_DELIVERY_STATES] = { 0 };
	int r;

	delta[c->to]++;
	if (c->exists)
		delta[c->from]--;
	r = write_delivery(ix, c);
	if (r == 0)
		r = delivery_count(ix, c->s.study, c->destination, delta,
		    c->s.length);
	if (r == 0 && c->exists && c->from == SPOOL_OWED)
		r = forget_note(ix, c);
	if (r == 0 && c->to == SPOOL_REFUSED)
		r = note_refusal(ix, c);
	if (r == 0 && (!c->exists || state_ended(c->from) ||
	    state_ended(c->to)))
		r = delivery_refresh_done(ix, c->s.id);
	return r;
}

static const char *
text_or_null(const char *text)
{
	return text != NULL && text[0] != '\0' ? text : NULL;
}

/* Nobody would ever confirm what a job has sent that is over (invariant 5). */
static int
take_verdict(struct index *ix, const struct index_verdict *v, struct change *c)
{
	int64_t live;
	int r = 0;

	c->to = v->state;
	c->job = v->job;
	c->check = v->check;
	if (v->state == SPOOL_SENT)
		r = sql_number(&ix->sql, &live, "SELECT 1 FROM job"
		    " WHERE id = ?1 AND destination = ?2",
		    SQL_INT(v->job), SQL_INT(c->destination));
	if (r == -ENOENT) {
		c->to = SPOOL_OWED;
		c->check = true;
		r = 0;
	}
	c->check = c->to == SPOOL_OWED && (c->check || c->s.check);
	set_reason(c, v->reason);
	c->actor = text_or_null(v->actor);
	c->remote = text_or_null(v->remote);
	return r;
}

static int
make_change(struct index *ix, const struct change *c)
{
	if (c->from != c->to)
		return apply(ix, c);
	if (c->to == SPOOL_OWED || c->to == SPOOL_SENT)
		return note_open(ix, c);
	return c->again ? clear_again(ix, c) : 0;
}

int
index_deliver(struct index *ix, const struct index_verdict *v,
    enum spool_delivery *ret_old)
{
	struct change c = { .from = SPOOL_DELIVERY_STATES,
	    .wall_ms = v->wall_ms };
	int r;

	assert_writing(ix);
	assert((unsigned)v->state < SPOOL_DELIVERY_STATES && v->dest[0] != '\0');
	r = subject_find(ix, v->id, &c.s);
	if (r == 0)
		r = destination_find(&ix->sql, v->dest, v->create, &c.destination);
	if (r == 0)
		r = take_verdict(ix, v, &c);
	if (r < 0)
		return r;
	r = find_delivery(ix, &c);
	if (r == 0 && !c.exists && !v->create)
		r = -ENOENT;
	/* Nothing can become due again of what has no bytes any more. */
	if (r == 0 && !c.s.kept && !state_ended(c.to) &&
	    (!c.exists || state_ended(c.from)))
		r = -ENOENT;
	if (r == 0)
		r = make_change(ix, &c);
	if (r == 0 && ret_old != NULL)
		*ret_old = c.from;
	return r;
}

int
delivery_to_nowhere(struct index *ix, const struct subject *s, const char *actor,
    const char *reason, int64_t wall_ms)
{
	struct change c = { .s = *s, .to = SPOOL_LET_GO,
	    .from = SPOOL_DELIVERY_STATES, .destination = NOWHERE,
	    .actor = actor[0] != '\0' ? actor : NULL, .wall_ms = wall_ms };
	int r;

	set_reason(&c, reason);
	r = find_delivery(ix, &c);
	return r < 0 || c.from == c.to ? r : apply(ix, &c);
}

int
index_delivery(struct index *ix, uint64_t id, const char *dest,
    struct index_delivery *ret)
{
	AUTO_DONE sqlite3_stmt *st = NULL;
	int64_t state;
	int r;

	r = sql_query(&ix->sql, &st, "SELECT state, job, remote IS NOT NULL"
	    " FROM delivery WHERE instance = ?1 AND destination ="
	    " (SELECT id FROM destination WHERE name = ?2)",
	    SQL_INT(id), SQL_TEXT(dest));
	if (r == 0)
		r = sql_step(st);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	state = sqlite3_column_int64(st, 0);
	if (state < 0 || state >= SPOOL_DELIVERY_STATES)
		return -EUCLEAN;
	*ret = (struct index_delivery){ .state = (enum spool_delivery)state,
		.job = sql_u64(st, 1), .remote = sql_bool(st, 2) };
	return 0;
}

int
index_set_replacing(struct index *ix, uint64_t id, const char *dest)
{
	assert_writing(ix);
	return sql_change(&ix->sql, "UPDATE delivery SET replacing = 1"
	    " WHERE instance = ?1 AND destination ="
	    " (SELECT id FROM destination WHERE name = ?2) AND +state <= 1",
	    SQL_INT(id), SQL_TEXT(dest));
}

int
index_set_damaged(struct index *ix, uint64_t id)
{
	int r;

	assert_writing(ix);
	r = sql_change(&ix->sql, "UPDATE instance SET damaged = 1"
	    " WHERE id = ?1 AND damaged = 0", SQL_INT(id));
	if (r == -ENOENT)
		return index_has(ix, id) ? 0 : -ENOENT;
	if (r < 0)
		return r;
	return sql_run(&ix->sql, "UPDATE study SET damaged = damaged + 1"
	    " WHERE id = (SELECT study FROM instance WHERE id = ?1)",
	    SQL_INT(id));
}
