/* index_command.c - what an operator's command needs: its candidates, and the
 * words that are kept of it (hold, priority).
 *
 * Candidates are read into memory a page at a time and handed out after the
 * statement is reset, since the callback changes the very rows it is told of.
 */
#include "spool/index_sql_int.h"

struct pair {
	uint64_t id;
	char	*destination;
	enum spool_delivery state;
};

struct pairs {
	struct pair *list;
	size_t n, size;
};

static void
pairs_free(struct pairs *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->list[i].destination);
	free(p->list);
}

static void
add_pair(struct pairs *p, sqlite3_stmt *st)
{
	if (p->n == p->size) {
		p->size = p->size > 0 ? 2 * p->size : 64;
		p->list = xreallocarray(p->list, p->size, sizeof(*p->list));
	}
	p->list[p->n++] = (struct pair){
		.id = sql_u64(st, 0),
		.destination = xstrdup(sql_text(st, 1)),
		.state = (enum spool_delivery)sqlite3_column_int(st, 2),
	};
}

/* ?1 study, ?2 after, ?3 destination or 0, ?4 mask, ?5 pending and unrouted
 * too. Destination 0 is no candidate: nobody can owe to nowhere. */
static const char of_study[] =
    "SELECT i.id, n.name, d.state FROM instance AS i"
    " CROSS JOIN delivery AS d ON d.instance = i.id"
    " CROSS JOIN destination AS n ON n.id = d.destination"
    " WHERE i.study = ?1 AND i.id > ?2 AND d.destination > 0"
    " AND (?3 = 0 OR d.destination = ?3) AND (1 << d.state) & ?4"
    " UNION ALL SELECT i.id, '', 0 FROM instance AS i"
    " WHERE i.study = ?1 AND i.id > ?2 AND i.todo IS NOT NULL AND ?5"
    " ORDER BY 1";

#define PAIR_OF_DESTINATION(condition)                                          \
	"SELECT d.instance, n.name, d.state FROM destination AS n"              \
	" CROSS JOIN delivery AS d ON d.destination = n.id"                     \
	" WHERE n.id = ?3 AND d.instance > ?2 AND " condition                   \
	" AND (1 << d.state) & ?4 AND ?1 = 0"
#define PAIR_WITHOUT                                                            \
	" UNION ALL SELECT i.id, '', 0 FROM instance AS i"                      \
	" WHERE i.id > ?2 AND +i.todo IS NOT NULL AND ?5 ORDER BY 1"

/* Nothing ended among the states: the short indexes have them all. */
static const char open_of_destination[] =
    PAIR_OF_DESTINATION("d.state <= 1")
    " UNION ALL " PAIR_OF_DESTINATION("d.state = 4") PAIR_WITHOUT;

static const char of_all[] =
    "SELECT d.instance, n.name, d.state FROM delivery AS d"
    " CROSS JOIN destination AS n ON n.id = d.destination"
    " WHERE d.instance > ?2 AND +d.destination > 0"
    " AND (?3 = 0 OR +d.destination = ?3) AND (1 << d.state) & ?4 AND ?1 = 0"
    PAIR_WITHOUT;

static int
collect_pairs(struct index *ix, const char *text, const struct sql_arg *args,
    size_t limit, struct pairs *p)
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
		/* The next page begins behind an instance, never within. */
		if (p->n >= limit && sql_u64(st, 0) != p->list[p->n - 1].id)
			return 0;
		add_pair(p, st);
	}
}

int
index_pairs(struct index *ix, uint64_t study, const char *dest,
    unsigned states_mask, bool with_unrouted, uint64_t after, size_t limit,
    index_pair_fn *fn, void *arg)
{
	const unsigned open_states =
	    1u << SPOOL_OWED | 1u << SPOOL_SENT | 1u << SPOOL_REFUSED;
	struct pairs p AUTO(pairs_free) = { 0 };
	int64_t destination = 0;
	const char *text;
	int r = 0;

	assert(limit > 0);
	if (dest != NULL)
		r = destination_find(&ix->sql, dest, false, &destination);
	if (r == -ENOENT)
		destination = -1;
	else if (r < 0)
		return r;
	text = study != 0 ? of_study :
	    destination != 0 && (states_mask & ~open_states) == 0 ?
	    open_of_destination : of_all;
	r = collect_pairs(ix, text, SQL_ARGS(SQL_INT(study), SQL_INT(after),
	    SQL_INT(destination), SQL_INT(states_mask), SQL_INT(with_unrouted)),
	    limit, &p);
	for (size_t i = 0; i < p.n && r == 0; i++)
		r = fn(arg, p.list[i].id, p.list[i].destination,
		    p.list[i].state);
	return r;
}

int
index_pairs_of(struct index *ix, uint64_t id, unsigned states_mask,
    index_pair_fn *fn, void *arg)
{
	struct pairs p AUTO(pairs_free) = { 0 };
	int r;

	r = collect_pairs(ix, "SELECT d.instance, n.name, d.state"
	    " FROM delivery AS d"
	    " CROSS JOIN destination AS n ON n.id = d.destination"
	    " WHERE d.instance = ?1 AND d.destination > 0"
	    " AND (1 << d.state) & ?2 ORDER BY d.destination",
	    SQL_ARGS(SQL_INT(id), SQL_INT(states_mask)), SIZE_MAX, &p);
	for (size_t i = 0; i < p.n && r == 0; i++)
		r = fn(arg, id, p.list[i].destination, p.list[i].state);
	return r;
}

/* A destination that nobody ever heard of has the id -1 here: no row is its. */
int
index_absent(struct index *ix, uint64_t study, const char *dest, uint64_t after,
    size_t limit, index_pair_fn *fn, void *arg)
{
	struct pairs p AUTO(pairs_free) = { 0 };
	int64_t destination = -1;
	int r;

	assert(limit > 0);
	r = destination_find(&ix->sql, dest, false, &destination);
	if (r < 0 && r != -ENOENT)
		return r;
	r = collect_pairs(ix, "SELECT i.id, ?4, 0 FROM instance AS i"
	    " WHERE i.study = ?1 AND i.id > ?2 AND +i.kept = 1"
	    " AND (+i.todo = 1 OR (+i.todo IS NULL AND NOT EXISTS"
	    "  (SELECT 1 FROM delivery AS d WHERE d.instance = i.id"
	    "   AND d.destination = ?3))) ORDER BY i.id",
	    SQL_ARGS(SQL_INT(study), SQL_INT(after), SQL_INT(destination),
	    SQL_TEXT(dest)), limit, &p);
	for (size_t i = 0; i < p.n && r == 0; i++)
		r = fn(arg, p.list[i].id, p.list[i].destination,
		    p.list[i].state);
	return r;
}

int
index_study_hold(struct index *ix, const char *study_uid, bool held)
{
	assert_writing(ix);
	return sql_change(&ix->sql, "UPDATE study SET held = ?2 WHERE uid = ?1",
	    SQL_TEXT(study_uid), SQL_INT(held));
}

int
index_study_priority(struct index *ix, const char *study_uid,
    enum spool_priority p)
{
	assert_writing(ix);
	return sql_change(&ix->sql, "UPDATE study SET priority = ?2,"
	    " commanded = 1 WHERE uid = ?1", SQL_TEXT(study_uid), SQL_INT(p));
}

/* A hold is kept for a destination that nothing was owed to yet, too: when the
 * index is rebuilt, the settle log speaks before the first routing. */
int
index_destination_hold(struct index *ix, const char *dest, bool held)
{
	int64_t id;
	int r;

	assert_writing(ix);
	assert(dest[0] != '\0');
	r = destination_find(&ix->sql, dest, held, &id);
	if (r < 0)
		return r;
	return sql_run(&ix->sql,
	    "UPDATE destination SET held = ?2 WHERE id = ?1",
	    SQL_INT(id), SQL_INT(held));
}

int
index_study_uid(struct index *ix, uint64_t study, char ret[DICOM_UID_MAX + 1])
{
	AUTO_DONE sqlite3_stmt *st = NULL;
	int r;

	r = sql_query(&ix->sql, &st, "SELECT uid FROM study WHERE id = ?1",
	    SQL_INT(study));
	if (r < 0)
		return r;
	r = sql_step(st);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	sql_copy(st, 0, ret, DICOM_UID_MAX + 1);
	return 0;
}
