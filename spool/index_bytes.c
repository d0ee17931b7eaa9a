/* index_bytes.c - where the bytes are, which of them may go, and when a row may.
 *
 * Invariant 6: nothing owed, refused, pending or unrouted is evictable, because
 * only `done` rows are in the index that is walked; and a row goes only after
 * its bytes did. Pages are read into memory first, since callbacks change the
 * rows they are told of.
 */
#include "spool/index_sql_int.h"

struct kept {
	uint64_t id, length;
	struct store_place at;
};

struct kept_list {
	struct kept *list;
	size_t n, size;
};

static void
kept_list_free(struct kept_list *k)
{
	free(k->list);
}

static void
add_kept(struct kept_list *k, sqlite3_stmt *st)
{
	if (k->n == k->size) {
		k->size = k->size > 0 ? 2 * k->size : 64;
		k->list = xreallocarray(k->list, k->size, sizeof(*k->list));
	}
	k->list[k->n++] = (struct kept){
		.id = sql_u64(st, 0),
		.at = { sql_u64(st, 1), sql_u64(st, 2) },
		.length = sql_u64(st, 3),
	};
}

static int
collect_kept(struct index *ix, const char *text, const struct sql_arg *args,
    struct kept_list *k)
{
	AUTO_DONE sqlite3_stmt *st = NULL;
	int r;

	r = sql_query_args(&ix->sql, &st, text, args);
	if (r < 0)
		return r;
	for (;;) {
		r = sql_step(st);
		if (r <= 0)
			return r;
		add_kept(k, st);
	}
}

static int
walk_kept(struct index *ix, const char *text, const struct sql_arg *args,
    index_place_fn *fn, void *arg)
{
	struct kept_list k AUTO(kept_list_free) = { 0 };
	int r;

	r = collect_kept(ix, text, args, &k);
	for (size_t i = 0; i < k.n && r == 0; i++)
		r = fn(arg, k.list[i].id, &k.list[i].at, k.list[i].length);
	return r;
}

#define KEPT "SELECT i.id, i.segment, i.offset, i.length FROM instance AS i"

int
index_evictable(struct index *ix, int64_t before_ms, size_t limit,
    index_place_fn *fn, void *arg)
{
	assert(limit > 0);
	return walk_kept(ix, KEPT " WHERE i.kept = 1 AND i.done < ?1"
	    " ORDER BY i.done LIMIT ?2",
	    SQL_ARGS(SQL_INT(before_ms), SQL_INT(limit)), fn, arg);
}

int
index_kept_of_study(struct index *ix, uint64_t study, uint64_t after,
    size_t limit, index_place_fn *fn, void *arg)
{
	assert(limit > 0);
	return walk_kept(ix, KEPT " WHERE i.study = ?1 AND i.id > ?2"
	    " AND +i.kept = 1 ORDER BY i.id LIMIT ?3",
	    SQL_ARGS(SQL_INT(study), SQL_INT(after), SQL_INT(limit)), fn, arg);
}

/* As many as a segment has blocks, at most. */
int
index_in_segment(struct index *ix, uint64_t segment, index_place_fn *fn,
    void *arg)
{
	return walk_kept(ix, KEPT " WHERE i.segment = ?1 AND i.kept = 1"
	    " ORDER BY i.id", SQL_ARGS(SQL_INT(segment)), fn, arg);
}

/* ---- bytes that go or move ---- */

struct holding {
	struct kept k;
	int64_t	    study;
	bool	    kept;
	bool	    ended;	/* nothing is due any more */
};

static int
find_holding(struct index *ix, uint64_t id, struct holding *ret)
{
	AUTO_DONE sqlite3_stmt *st = NULL;
	int r;

	r = sql_query(&ix->sql, &st, "SELECT segment, offset, length, study,"
	    " kept, done FROM instance WHERE id = ?1", SQL_INT(id));
	if (r < 0)
		return r;
	r = sql_step(st);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	ret->k = (struct kept){ .id = id,
	    .at = { sql_u64(st, 0), sql_u64(st, 1) },
	    .length = sql_u64(st, 2) };
	ret->study = sqlite3_column_int64(st, 3);
	ret->kept = sql_bool(st, 4);
	ret->ended = !sql_null(st, 5);
	return 0;
}

static int
drop_bytes(struct index *ix, const struct holding *h)
{
	int r;

	r = sql_run(&ix->sql, "UPDATE instance SET kept = 0 WHERE id = ?1",
	    SQL_INT(h->k.id));
	if (r == 0)
		r = sql_run(&ix->sql, "UPDATE study SET kept = kept - 1,"
		    " kept_bytes = kept_bytes - ?2 WHERE id = ?1",
		    SQL_INT(h->study), SQL_INT(h->k.length));
	if (r == 0)
		r = segment_count(ix, h->k.at.segment, 0, -1,
		    -(int64_t)h->k.length);
	return r;
}

/* What was evictable when the caller looked may be owed again by now. */
int
index_expunge(struct index *ix, uint64_t id, struct store_place *ret_at,
    uint64_t *ret_length)
{
	struct holding h;
	int r;

	assert_writing(ix);
	r = find_holding(ix, id, &h);
	if (r == 0 && (!h.kept || !h.ended))
		r = -ENOENT;
	if (r == 0)
		r = drop_bytes(ix, &h);
	if (r < 0)
		return r;
	*ret_at = h.k.at;
	*ret_length = h.k.length;
	return 0;
}

int
index_replay_expunged(struct index *ix, uint64_t id, int64_t wall_ms,
    struct store_place *ret_at, uint64_t *ret_length)
{
	struct holding h;
	int r;

	assert_writing(ix);
	r = find_holding(ix, id, &h);
	if (r == 0 && !h.kept)
		r = -ENOENT;
	if (r == 0 && !h.ended)
		r = delivery_end_all(ix, id, wall_ms);
	if (r == 0)
		r = drop_bytes(ix, &h);
	if (r < 0)
		return r;
	*ret_at = h.k.at;
	*ret_length = h.k.length;
	return 0;
}

int
index_move(struct index *ix, uint64_t id, const struct store_place *from,
    const struct store_place *to)
{
	struct holding h;
	int r;

	assert_writing(ix);
	r = find_holding(ix, id, &h);
	if (r < 0)
		return r;
	if (!h.kept || h.k.at.segment != from->segment ||
	    h.k.at.offset != from->offset)
		return -ENOENT;
	r = sql_run(&ix->sql, "UPDATE instance SET segment = ?2, offset = ?3"
	    " WHERE id = ?1", SQL_INT(id), SQL_INT(to->segment),
	    SQL_INT(to->offset));
	if (r == 0)
		r = segment_count(ix, from->segment, 0, -1,
		    -(int64_t)h.k.length);
	if (r == 0)
		r = segment_count(ix, to->segment, 0, 1, (int64_t)h.k.length);
	return r;
}

/* ---- rows that go ---- */

struct row {
	uint64_t id;
	int64_t	 study, series, length;
	bool	 damaged;
};

static int
next_forgettable(struct index *ix, int64_t before_ms, struct row *ret)
{
	AUTO_DONE sqlite3_stmt *st = NULL;
	int r;

	/* A segment that is not sealed is looked through at the next start: what
	 * it holds must be known until then, or it would be news. */
	r = sql_query(&ix->sql, &st, "SELECT i.id, i.study, i.series, i.length,"
	    " i.damaged FROM instance AS i WHERE i.kept = 0 AND i.done < ?1"
	    " AND NOT EXISTS (SELECT 1 FROM segment AS g"
	    "  WHERE g.id = i.segment AND +g.state IN (?2, ?3))"
	    " ORDER BY i.done LIMIT 1", SQL_INT(before_ms),
	    SQL_INT(SEGMENT_STANDBY), SQL_INT(SEGMENT_FULL));
	if (r < 0)
		return r;
	r = sql_step(st);
	if (r <= 0)
		return r;
	ret->id = sql_u64(st, 0);
	ret->study = sqlite3_column_int64(st, 1);
	ret->series = sqlite3_column_int64(st, 2);
	ret->length = sqlite3_column_int64(st, 3);
	ret->damaged = sql_bool(st, 4);
	return 1;
}

static int
forget_delivery(struct index *ix, const struct row *row, bool *ret_more)
{
	int64_t delta[SPOOL_DELIVERY_STATES] = { 0 };
	int64_t destination, state;
	int r;

	*ret_more = false;
	r = sql_number(&ix->sql, &destination, "SELECT destination FROM delivery"
	    " WHERE instance = ?1 LIMIT 1", SQL_INT(row->id));
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	r = sql_number(&ix->sql, &state, "SELECT state FROM delivery"
	    " WHERE instance = ?1 AND destination = ?2", SQL_INT(row->id),
	    SQL_INT(destination));
	if (r < 0)
		return r;
	if (state < 0 || state >= SPOOL_DELIVERY_STATES)
		return -EUCLEAN;
	delta[state] = -1;
	*ret_more = true;
	r = sql_run(&ix->sql, "DELETE FROM delivery WHERE instance = ?1"
	    " AND destination = ?2", SQL_INT(row->id), SQL_INT(destination));
	if (r < 0)
		return r;
	return delivery_count(ix, row->study, destination, delta, row->length);
}

static int
forget_empty_series(struct index *ix, const struct row *row)
{
	int r;

	r = sql_change(&ix->sql, "DELETE FROM series WHERE id = ?1"
	    " AND instances = 0", SQL_INT(row->series));
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	return sql_run(&ix->sql, "UPDATE study SET series = series - 1"
	    " WHERE id = ?1", SQL_INT(row->study));
}

static int
forget_empty_study(struct index *ix, int64_t study)
{
	int r;

	r = sql_change(&ix->sql, "DELETE FROM study WHERE id = ?1"
	    " AND instances = 0", SQL_INT(study));
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	r = sql_run(&ix->sql, "DELETE FROM study_head WHERE study = ?1",
	    SQL_INT(study));
	if (r == 0)
		r = sql_run(&ix->sql, "DELETE FROM study_delivery"
		    " WHERE study = ?1", SQL_INT(study));
	return r;
}

static int
forget_row(struct index *ix, const struct row *row)
{
	bool more = true;
	int r = 0;

	while (more && r == 0)
		r = forget_delivery(ix, row, &more);
	if (r == 0)
		r = sql_run(&ix->sql, "DELETE FROM instance WHERE id = ?1",
		    SQL_INT(row->id));
	if (r == 0)
		r = sql_run(&ix->sql, "UPDATE series"
		    " SET instances = instances - 1 WHERE id = ?1",
		    SQL_INT(row->series));
	if (r == 0)
		r = sql_run(&ix->sql, "UPDATE study"
		    " SET instances = instances - 1, bytes = bytes - ?2,"
		    " damaged = damaged - ?3 WHERE id = ?1",
		    SQL_INT(row->study), SQL_INT(row->length),
		    SQL_INT(row->damaged));
	if (r == 0)
		r = forget_empty_series(ix, row);
	if (r == 0)
		r = forget_empty_study(ix, row->study);
	return r;
}

int
index_forget(struct index *ix, int64_t before_ms, size_t limit, uint64_t *ret_n)
{
	uint64_t n = 0;

	assert_writing(ix);
	while (n < limit) {
		struct row row;
		int r = next_forgettable(ix, before_ms, &row);

		if (r == 0)
			break;
		if (r > 0)
			r = forget_row(ix, &row);
		if (r < 0)
			return r;
		n++;
	}
	*ret_n = n;
	return 0;
}
