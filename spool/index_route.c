/* index_route.c - from arrival to obligation, and back again.
 *
 * An instance is pending until routing names its destinations, or unrouted when
 * it names none. Bytes that come once more after everything ended make it
 * pending again (rule 2): its deliveries are marked, and those that routing then
 * names are owed once more, checked first; the others stay as they ended.
 */
#include "gateway/base/clock.h"
#include "spool/index_sql_int.h"

static int
end_todo(struct index *ix, const struct subject *s)
{
	int r;

	r = sql_run(&ix->sql, "UPDATE instance SET todo = NULL WHERE id = ?1",
	    SQL_INT(s->id));
	if (r == 0)
		r = sql_run(&ix->sql, "UPDATE delivery SET again = 0"
		    " WHERE instance = ?1 AND again <> 0", SQL_INT(s->id));
	if (r < 0)
		return r;
	return sql_run(&ix->sql, "UPDATE study SET pending = pending - ?2,"
	    " unrouted = unrouted - ?3 WHERE id = ?1", SQL_INT(s->study),
	    SQL_INT(s->todo == 0), SQL_INT(s->todo == 1));
}

static int
make_unrouted(struct index *ix, const struct subject *s)
{
	int r;

	if (s->todo == 1)
		return 0;
	r = sql_run(&ix->sql, "UPDATE instance SET todo = 1 WHERE id = ?1",
	    SQL_INT(s->id));
	if (r < 0)
		return r;
	return sql_run(&ix->sql, "UPDATE study SET pending = pending - 1,"
	    " unrouted = unrouted + 1 WHERE id = ?1", SQL_INT(s->study));
}

static int
owe_again(struct index *ix, const struct subject *s, const char *name,
    int64_t destination)
{
	int64_t again = 0;
	int r;

	r = sql_number(&ix->sql, &again, "SELECT again FROM delivery"
	    " WHERE instance = ?1 AND destination = ?2",
	    SQL_INT(s->id), SQL_INT(destination));
	if (r < 0 || again == 0)
		return r;
	return index_deliver(ix, &(struct index_verdict){ .id = s->id,
	    .dest = name, .state = SPOOL_OWED, .check = true,
	    .wall_ms = clock_wall_ms() }, NULL);
}

/* A row that is there already stays as it is (restored from the settle log),
 * unless the same bytes came again. */
static int
owe_to(struct index *ix, const struct subject *s, const char *name)
{
	int64_t destination;
	int changed = 0;
	int r;

	r = destination_find(&ix->sql, name, true, &destination);
	if (r < 0)
		return r;
	assert(destination != NOWHERE);
	r = sql_run_args(&ix->sql, &changed, "INSERT INTO delivery"
	    " (instance, destination, study, state, since_ms, must_check)"
	    " VALUES (?1, ?2, ?3, 0, ?4, ?5)"
	    " ON CONFLICT (instance, destination) DO NOTHING",
	    SQL_ARGS(SQL_INT(s->id), SQL_INT(destination), SQL_INT(s->study),
	    SQL_INT(clock_wall_ms()), SQL_INT(s->check)));
	if (r < 0)
		return r;
	if (changed == 0)
		return owe_again(ix, s, name, destination);
	return delivery_count(ix, s->study, destination,
	    (const int64_t[SPOOL_DELIVERY_STATES]){ [SPOOL_OWED] = 1 },
	    s->length);
}

int
index_route(struct index *ix, uint64_t id, const char *const *dest, size_t n)
{
	struct subject s;
	int r;

	assert_writing(ix);
	r = subject_find(ix, id, &s);
	if (r < 0)
		return r;
	if (s.todo < 0)
		return -EALREADY;
	if (n == 0)
		return make_unrouted(ix, &s);
	for (size_t i = 0; i < n && r == 0; i++)
		r = owe_to(ix, &s, dest[i]);
	if (r == 0)
		r = end_todo(ix, &s);
	return r < 0 ? r : delivery_refresh_done(ix, id);
}

int
index_unrouted_to_pending(struct index *ix, uint64_t *ret_n)
{
	int changed = 0;
	int r;

	assert_writing(ix);
	r = sql_run_args(&ix->sql, &changed,
	    "UPDATE instance SET todo = 0 WHERE todo = 1", SQL_ARGS());
	if (r == 0)
		r = sql_run(&ix->sql, "UPDATE study SET unrouted = 0,"
		    " pending = pending + unrouted WHERE unrouted > 0");
	if (r < 0)
		return r;
	*ret_n = (uint64_t)changed;
	return 0;
}

int
index_let_go_unrouted(struct index *ix, uint64_t id, const char *actor,
    const char *reason, int64_t wall_ms)
{
	struct subject s;
	int r;

	assert_writing(ix);
	r = subject_find(ix, id, &s);
	if (r < 0)
		return r;
	if (s.todo < 0)
		return -EALREADY;
	r = end_todo(ix, &s);
	if (r == 0)
		r = delivery_to_nowhere(ix, &s, actor, reason, wall_ms);
	return r < 0 ? r : delivery_refresh_done(ix, id);
}

/* ---- the same bytes again ---- */

static int
mark_again(struct index *ix, uint64_t id, int *ret_marked)
{
	return sql_run_args(&ix->sql, ret_marked, "UPDATE delivery SET again = 1"
	    " WHERE instance = ?1 AND destination > 0 AND again = 0",
	    SQL_ARGS(SQL_INT(id)));
}

static int
forget_nowhere(struct index *ix, const struct subject *s)
{
	int r;

	r = sql_change(&ix->sql, "DELETE FROM delivery"
	    " WHERE instance = ?1 AND destination = 0", SQL_INT(s->id));
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	return delivery_count(ix, s->study, NOWHERE,
	    (const int64_t[SPOOL_DELIVERY_STATES]){ [SPOOL_LET_GO] = -1 },
	    s->length);
}

static int
make_pending(struct index *ix, const struct subject *s)
{
	int r;

	r = forget_nowhere(ix, s);
	if (r == 0)
		r = sql_run(&ix->sql, "UPDATE instance SET todo = 0,"
		    " done = NULL WHERE id = ?1", SQL_INT(s->id));
	if (r < 0)
		return r;
	return sql_run(&ix->sql,
	    "UPDATE study SET pending = pending + 1 WHERE id = ?1",
	    SQL_INT(s->study));
}

/* Pending or unrouted, yet with deliveries that ended: a rebuilt index, whose
 * settle log says that the bytes came again after that, or no route any more. */
int
index_repend(struct index *ix, uint64_t id)
{
	struct subject s;
	int64_t open;
	int marked = 0;
	int r;

	assert_writing(ix);
	r = subject_find(ix, id, &s);
	if (r == 0 && !s.kept)
		r = -ENOENT;
	if (r < 0)
		return r;
	r = sql_number(&ix->sql, &open, "SELECT 1 FROM delivery AS d"
	    " WHERE d.instance = ?1 AND +d.state <= 1 LIMIT 1", SQL_INT(id));
	if (r != -ENOENT)
		return r < 0 ? r : -EALREADY;
	r = mark_again(ix, id, &marked);
	if (r < 0)
		return r;
	if (s.todo >= 0)
		return marked > 0 ? 0 : -EALREADY;
	return make_pending(ix, &s);
}

/* ---- the settle log says that the bytes are gone ---- */

static int
next_due(struct index *ix, uint64_t id, char **ret)
{
	AUTO_DONE sqlite3_stmt *st = NULL;
	int r;

	r = sql_query(&ix->sql, &st, "SELECT n.name FROM delivery AS d"
	    " CROSS JOIN destination AS n ON n.id = d.destination"
	    " WHERE d.instance = ?1 AND +d.state IN (0, 1, 4) LIMIT 1",
	    SQL_INT(id));
	if (r == 0)
		r = sql_step(st);
	if (r > 0)
		*ret = xstrdup(sql_text(st, 0));
	return r;
}

int
delivery_end_all(struct index *ix, uint64_t id, int64_t wall_ms)
{
	int r;

	r = index_let_go_unrouted(ix, id, "", "expunged", wall_ms);
	if (r < 0 && r != -EALREADY)
		return r;
	for (;;) {
		AUTO_FREE char *name = NULL;

		r = next_due(ix, id, &name);
		if (r <= 0)
			return r;
		r = index_deliver(ix, &(struct index_verdict){ .id = id,
		    .dest = name, .state = SPOOL_LET_GO, .reason = "expunged",
		    .wall_ms = wall_ms }, NULL);
		if (r < 0)
			return r;
	}
}

/* ---- versions, after a rebuild ---- */

static int
next_versioned(struct index *ix, const char *after, char **ret)
{
	AUTO_DONE sqlite3_stmt *st = NULL;
	int r;

	r = sql_query(&ix->sql, &st, "SELECT uid FROM instance AS i"
	    " WHERE i.uid > ?1 AND i.version > 1 ORDER BY i.uid LIMIT 1",
	    SQL_TEXT(after));
	if (r == 0)
		r = sql_step(st);
	if (r > 0)
		*ret = xstrdup(sql_text(st, 0));
	return r;
}

/* By way of negative numbers, since (uid, version) is unique at every step. */
static int
renumber_uid(struct index *ix, const char *uid)
{
	int r;

	r = sql_run(&ix->sql, "UPDATE instance SET version ="
	    " -(SELECT count(*) FROM instance AS e WHERE e.uid = ?1"
	    "  AND e.id <= instance.id) WHERE uid = ?1", SQL_TEXT(uid));
	if (r == 0)
		r = sql_run(&ix->sql, "UPDATE instance SET version = -version,"
		    " must_check = must_check OR version < -1 WHERE uid = ?1",
		    SQL_TEXT(uid));
	return r;
}

int
index_renumber(struct index *ix)
{
	AUTO_FREE char *uid = xstrdup("");
	int r;

	assert_writing(ix);
	for (;;) {
		char *next = NULL;

		r = next_versioned(ix, uid, &next);
		if (r <= 0)
			return r;
		free(uid);
		uid = next;
		r = renumber_uid(ix, uid);
		if (r < 0)
			return r;
	}
}
