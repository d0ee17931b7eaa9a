/* index_queue.c - readers: whose turn it could be at a destination.
 *
 * study_delivery_queue is the queue itself, so each step is one seek in it: from one
 * source to the next however many studies lie between, or to the next study.
 */
#include <assert.h>

#include "spool/index_sql_int.h"

/* 1 and the first source behind this one, 0 none. */
static int
next_source(struct index_reader *r, int64_t destination, struct spool_owed_source *s)
{
	AUTO_DONE sqlite3_stmt *st = NULL;
	int e;

	e = sql_query(&r->sql, &st, "SELECT o.id, o.calling, o.address"
	    " FROM (SELECT v.source FROM study_delivery AS v"
	    "  WHERE v.destination = ?1 AND v.turn = ?2 AND v.source > ?3"
	    "  ORDER BY v.source LIMIT 1) AS first"
	    " CROSS JOIN source AS o ON o.id = first.source",
	    SQL_INT(destination), SQL_INT(s->priority), SQL_INT(s->source));
	if (e == 0)
		e = sql_step(st);
	if (e <= 0)
		return e;
	s->source = sql_u64(st, 0);
	sql_copy(st, 1, s->calling, sizeof(s->calling));
	sql_copy(st, 2, s->address, sizeof(s->address));
	return 1;
}

static int
walk_sources(struct index_reader *r, int64_t destination,
    enum spool_priority priority, spool_owed_source_fn *fn, void *arg)
{
	struct spool_owed_source s = { .priority = priority };
	int e;

	for (;;) {
		e = next_source(r, destination, &s);
		if (e <= 0)
			return e;
		e = fn(arg, &s);
		if (e != 0)
			return e;
	}
}

int
index_reader_owed_sources(struct index_reader *r, const char *dest,
    spool_owed_source_fn *fn, void *arg)
{
	int64_t destination;
	int e;

	e = destination_find(&r->sql, dest, false, &destination);
	if (e < 0)
		return e == -ENOENT ? 0 : e;
	for (int p = SPOOL_STAT; p >= SPOOL_LOW && e == 0; p--)
		e = walk_sources(r, destination, (enum spool_priority)p, fn, arg);
	return e;
}

/* The subquery is one seek: the first row of delivery_owed for the study. */
#define OWED_STUDY                                                              \
	"SELECT v.study, v.turn, v.owed, o.calling, o.address,"                 \
	" (SELECT i.arrived_ms FROM instance AS i WHERE i.id ="                 \
	"  (SELECT x.instance FROM delivery AS x WHERE x.destination = ?1"      \
	"   AND x.study = v.study AND x.state = 0"                              \
	"   ORDER BY x.instance LIMIT 1))"                                      \
	" FROM study_delivery AS v CROSS JOIN source AS o ON o.id = v.source"

static void
read_owed_study(sqlite3_stmt *st, struct spool_owed_study *ret)
{
	*ret = (struct spool_owed_study){
		.study = sql_u64(st, 0),
		.priority = (enum spool_priority)sqlite3_column_int(st, 1),
		.owed = sql_u64(st, 2),
		.oldest_ms = sqlite3_column_int64(st, 5),
	};
	sql_copy(st, 3, ret->calling, sizeof(ret->calling));
	sql_copy(st, 4, ret->address, sizeof(ret->address));
}

static int
read_page(struct index_reader *r, int64_t destination,
    const struct spool_owed_source *of, uint64_t after, size_t limit,
    struct spool_owed_study *page, size_t *ret_n)
{
	AUTO_DONE sqlite3_stmt *st = NULL;
	int e;

	e = sql_query(&r->sql, &st, OWED_STUDY " WHERE v.destination = ?1"
	    " AND v.turn = ?2 AND v.source = ?3 AND v.study > ?4"
	    " ORDER BY v.study LIMIT ?5", SQL_INT(destination),
	    SQL_INT(of->priority), SQL_INT(of->source), SQL_INT(after),
	    SQL_INT(limit));
	for (*ret_n = 0; e == 0 && *ret_n < limit; (*ret_n)++) {
		e = sql_step(st);
		if (e <= 0)
			return e;
		read_owed_study(st, &page[*ret_n]);
		e = 0;
	}
	return e;
}

int
index_reader_owed_studies(struct index_reader *r, const char *dest,
    const struct spool_owed_source *of, uint64_t after, size_t limit,
    spool_owed_study_fn *fn, void *arg)
{
	struct spool_owed_study page[SPOOL_OWED_STUDIES_MAX];
	int64_t destination;
	size_t n = 0;
	int e;

	assert(limit <= SPOOL_OWED_STUDIES_MAX);
	e = destination_find(&r->sql, dest, false, &destination);
	if (e == 0)
		e = read_page(r, destination, of, after, limit, page, &n);
	if (e < 0)
		return e == -ENOENT ? 0 : e;
	for (size_t i = 0; i < n && e == 0; i++)
		e = fn(arg, &page[i]);
	return e;
}

int
index_reader_owed_study(struct index_reader *r, const char *dest, uint64_t study,
    struct spool_owed_study *ret)
{
	AUTO_DONE sqlite3_stmt *st = NULL;
	int64_t destination;
	int e;

	e = destination_find(&r->sql, dest, false, &destination);
	if (e < 0)
		return e;
	e = sql_query(&r->sql, &st, OWED_STUDY " WHERE v.study = ?2"
	    " AND v.destination = ?1 AND v.turn IS NOT NULL",
	    SQL_INT(destination), SQL_INT(study));
	if (e == 0)
		e = sql_step(st);
	if (e <= 0)
		return e < 0 ? e : -ENOENT;
	read_owed_study(st, ret);
	return 0;
}
