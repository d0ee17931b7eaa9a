/* index_segment.c - what the index knows of segments: their state, and how many
 * rows still have bytes in each.
 */
#include "spool/index_sql_int.h"

/* A segment that nobody told of (the index is being rebuilt) is FULL: it is not
 * free, and it must be scanned. */
int
segment_count(struct index *ix, uint64_t segment, uint64_t generation,
    int64_t live, int64_t bytes)
{
	int r;

	if (segment == 0)
		return 0;
	r = sql_change(&ix->sql, "UPDATE segment SET live = live + ?2,"
	    " live_bytes = live_bytes + ?3 WHERE id = ?1",
	    SQL_INT(segment), SQL_INT(live), SQL_INT(bytes));
	if (r != -ENOENT)
		return r;
	return sql_run(&ix->sql, "INSERT INTO segment"
	    " (id, generation, state, live, live_bytes)"
	    " VALUES (?1, ?2, ?3, ?4, ?5)", SQL_INT(segment),
	    SQL_INT(generation), SQL_INT(SEGMENT_FULL), SQL_INT(live),
	    SQL_INT(bytes));
}

static int
check_not_live(struct index *ix, uint64_t id)
{
	int64_t live = 0;
	int r;

	r = sql_number(&ix->sql, &live, "SELECT live FROM segment WHERE id = ?1",
	    SQL_INT(id));
	if (r == -ENOENT)
		return 0;
	return r < 0 ? r : live > 0 ? -ENOTEMPTY : 0;
}

int
index_segment_set(struct index *ix, uint64_t id, uint64_t generation,
    enum segment_state state)
{
	int r = 0;

	assert_writing(ix);
	assert(id != 0 && (unsigned)state < SEGMENT_STATES);
	if (state == SEGMENT_CURRENT)
		state = SEGMENT_STANDBY;
	if (state == SEGMENT_FREE)
		r = check_not_live(ix, id);
	if (r < 0)
		return r;
	return sql_run(&ix->sql, "INSERT INTO segment (id, generation, state)"
	    " VALUES (?1, ?2, ?3) ON CONFLICT (id) DO UPDATE SET"
	    " generation = ?2, state = ?3",
	    SQL_INT(id), SQL_INT(generation), SQL_INT(state));
}

int
index_segment_remove(struct index *ix, uint64_t id)
{
	int r;

	assert_writing(ix);
	r = check_not_live(ix, id);
	if (r < 0)
		return r;
	return sql_change(&ix->sql, "DELETE FROM segment WHERE id = ?1",
	    SQL_INT(id));
}

static int
next_segment(struct index *ix, uint64_t after, struct index_segment *ret)
{
	AUTO_DONE sqlite3_stmt *st = NULL;
	int64_t state;
	int r;

	r = sql_query(&ix->sql, &st, "SELECT id, generation, state, live,"
	    " live_bytes FROM segment WHERE id > ?1 ORDER BY id LIMIT 1",
	    SQL_INT(after));
	if (r < 0)
		return r;
	r = sql_step(st);
	if (r <= 0)
		return r;
	state = sqlite3_column_int64(st, 2);
	if (state < 0 || state >= SEGMENT_STATES)
		return -EUCLEAN;
	*ret = (struct index_segment){ .id = sql_u64(st, 0),
	    .generation = sql_u64(st, 1), .state = (enum segment_state)state,
	    .live = sql_u64(st, 3), .live_bytes = sql_u64(st, 4) };
	return 1;
}

int
index_segments(struct index *ix,
    int (*fn)(void *arg, const struct index_segment *s), void *arg)
{
	struct index_segment s = { 0 };
	int r;

	for (;;) {
		r = next_segment(ix, s.id, &s);
		if (r <= 0)
			return r;
		r = fn(arg, &s);
		if (r != 0)
			return r;
	}
}
