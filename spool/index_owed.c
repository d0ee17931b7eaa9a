/* index_owed.c - readers: what is incomplete, what is owed, and the sums.
 *
 * Nothing here counts instances: sums come from the counters, and each step to
 * the next study is one seek in a short index, however many rows are owed.
 */
#include "spool/index_sql_int.h"

int
index_reader_progress(struct index_reader *r, uint64_t study,
    spool_progress_fn *fn, void *arg)
{
	AUTO_DONE sqlite3_stmt *st = NULL;
	int e;

	e = sql_query(&r->sql, &st, "SELECT n.name, v.owed + v.sent,"
	    " v.delivered, v.warned, v.refused, v.let_go,"
	    " CASE WHEN v.refused > 0 THEN v.reason END, v.sent"
	    " FROM study_delivery AS v"
	    " CROSS JOIN destination AS n ON n.id = v.destination"
	    " WHERE v.study = ?1 AND v.destination > 0 AND v.owed + v.sent +"
	    " v.delivered + v.warned + v.refused + v.let_go > 0"
	    " ORDER BY v.destination", SQL_INT(study));
	while (e == 0) {
		e = sql_step(st);
		if (e <= 0)
			return e;
		e = fn(arg, &(struct spool_progress){
			.destination = sql_text(st, 0),
			.owed = sql_u64(st, 1),
			.delivered = sql_u64(st, 2),
			.warned = sql_u64(st, 3),
			.refused = sql_u64(st, 4),
			.let_go = sql_u64(st, 5),
			.last_reason = sql_text(st, 6),
			.sent = sql_u64(st, 7),
		});
	}
	return e;
}

static int
read_study_sums(struct sql *q, struct spool_stats *s)
{
	AUTO_DONE sqlite3_stmt *st = NULL;
	int r;

	r = sql_query(q, &st, "SELECT count(*), total(instances), total(bytes),"
	    " total(kept_bytes), total(pending), total(unrouted),"
	    " total(damaged) FROM study AS s");
	if (r == 0)
		r = sql_step(st);
	if (r < 0)
		return r;
	s->studies = sql_u64(st, 0);
	s->instances = sql_u64(st, 1);
	s->bytes = sql_u64(st, 2);
	s->kept_bytes = sql_u64(st, 3);
	s->pending = sql_u64(st, 4);
	s->unrouted = sql_u64(st, 5);
	s->damaged = sql_u64(st, 6);
	return 0;
}

int
index_reader_stats(struct index_reader *r, struct spool_stats *ret)
{
	AUTO_DONE sqlite3_stmt *st = NULL;
	struct spool_stats s = *ret;
	int e;

	e = read_study_sums(&r->sql, &s);
	if (e < 0)
		return e;
	e = sql_query(&r->sql, &st,
	    "SELECT count(*), total(state = ?1) FROM segment AS g",
	    SQL_INT(SEGMENT_FREE));
	if (e == 0)
		e = sql_step(st);
	if (e < 0)
		return e;
	s.segments = sql_u64(st, 0);
	s.segments_free = sql_u64(st, 1);
	*ret = s;
	return 0;
}

int
index_reader_debts(struct index_reader *r, spool_debt_fn *fn, void *arg)
{
	AUTO_DONE sqlite3_stmt *st = NULL;
	int e;

	e = sql_query(&r->sql, &st, "SELECT n.name, n.held, n.owed + n.sent,"
	    " n.owed_bytes, n.refused, n.delivered + n.warned,"
	    " (SELECT i.arrived_ms FROM instance AS i WHERE i.id ="
	    "  (SELECT d.instance FROM delivery AS d"
	    "   WHERE d.destination = n.id AND d.state <= 1"
	    "   ORDER BY d.instance LIMIT 1)), n.sent"
	    " FROM destination AS n WHERE n.id > 0 ORDER BY n.id");
	while (e == 0) {
		e = sql_step(st);
		if (e <= 0)
			return e;
		e = fn(arg, &(struct spool_debt){
			.destination = sql_text(st, 0),
			.held = sql_bool(st, 1),
			.owed = sql_u64(st, 2),
			.owed_bytes = sql_u64(st, 3),
			.refused = sql_u64(st, 4),
			.delivered = sql_u64(st, 5),
			.oldest_owed_ms = sqlite3_column_int64(st, 6),
			.sent = sql_u64(st, 7),
		});
	}
	return e;
}

static int
next_incomplete(struct index_reader *r, struct spool_open_study *s)
{
	AUTO_DONE sqlite3_stmt *st = NULL;
	int e;

	e = sql_query(&r->sql, &st, "SELECT s.id, s.uid, o.calling, o.called,"
	    " o.address, s.priority FROM study AS s"
	    " CROSS JOIN source AS o ON o.id = s.source"
	    " WHERE s.id = (SELECT i.study FROM instance AS i"
	    "  WHERE i.todo = 0 AND i.study > ?1 ORDER BY i.study LIMIT 1)",
	    SQL_INT(s->study));
	if (e == 0)
		e = sql_step(st);
	if (e <= 0)
		return e;
	*s = (struct spool_open_study){ .study = sql_u64(st, 0),
	    .priority = (enum spool_priority)sqlite3_column_int(st, 5) };
	sql_copy(st, 1, s->uid, sizeof(s->uid));
	sql_copy(st, 2, s->origin.calling, sizeof(s->origin.calling));
	sql_copy(st, 3, s->origin.called, sizeof(s->origin.called));
	sql_copy(st, 4, s->origin.address, sizeof(s->origin.address));
	return 1;
}

int
index_reader_incomplete(struct index_reader *r, spool_open_study_fn *fn,
    void *arg)
{
	struct spool_open_study s = { 0 };
	int e;

	for (;;) {
		e = next_incomplete(r, &s);
		if (e > 0)
			e = fn(arg, &s);
		else
			return e;
		if (e != 0)
			return e;
	}
}

int
index_reader_destination_held(struct index_reader *r, const char *dest,
    bool *ret)
{
	int64_t held = 0;
	int e;

	e = sql_number(&r->sql, &held,
	    "SELECT held FROM destination WHERE name = ?1", SQL_TEXT(dest));
	if (e < 0 && e != -ENOENT)
		return e;
	*ret = held != 0;
	return 0;
}
