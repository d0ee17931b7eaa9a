/* index_sql_int.h - inside the index: one connection and its statements.
 *
 * A statement is prepared once per connection and found again by the address
 * of its text, so the text stands where it is used, as a literal. Between uses
 * it is reset: an AUTO_DONE statement is, when its block ends, and with that
 * the read snapshot is given back. Arguments are borrowed until then. Using a
 * statement again while it still runs is a bug of ours and asserted.
 *
 * struct sql belongs to one thread at a time. Errors are those of
 * spool/index_int.h; -EEXIST is a key given out twice.
 */
#ifndef CW_SPOOL_INDEX_SQL_INT_H
#define CW_SPOOL_INDEX_SQL_INT_H

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sqlite3.h>

#include "gateway/base/cleanup.h"
#include "spool/index_int.h"

#define SQL_SLOTS 256	/* a power of two, well above the number of statements */

struct sql {
	sqlite3 *db;
	struct sql_slot {
		const char   *text;
		sqlite3_stmt *st;
	} slots[SQL_SLOTS];
};

struct sql_arg {
	enum { SQL_ARG_END, SQL_ARG_INT, SQL_ARG_TEXT, SQL_ARG_BLOB } type;
	int64_t	    i;
	const void *p;
	size_t	    len;
};
#define SQL_INT(n)     { .type = SQL_ARG_INT, .i = (int64_t)(n) }
#define SQL_TEXT(s)    { .type = SQL_ARG_TEXT, .p = (s) }	/* NULL is NULL */
#define SQL_BLOB(d, n) { .type = SQL_ARG_BLOB, .p = (d), .len = (n) }
#define SQL_ARGS(...) \
	((const struct sql_arg[]){ __VA_ARGS__ __VA_OPT__(, ) { 0 } })

static inline void
sql_done(sqlite3_stmt **st)
{
	(void)sqlite3_reset(*st);
}
#define AUTO_DONE AUTO(sql_done)

int  sql_error(int rc);			/* SQLite's code -> negative errno */
void sql_close(struct sql *q);
int  sql_prepare(struct sql *q, const char *text, sqlite3_stmt **ret);
/* 1 a row, 0 the end, or an error. */
int  sql_step(sqlite3_stmt *st);

/* Prepares and binds; *ret is then stepped by the caller. */
int  sql_query_args(struct sql *q, sqlite3_stmt **ret, const char *text,
	 const struct sql_arg *args);
/* The whole of a statement without rows; *ret_changed may be NULL. */
int  sql_run_args(struct sql *q, int *ret_changed, const char *text,
	 const struct sql_arg *args);
/* The first column of the first row; -ENOENT when there is no row or NULL. */
int  sql_number_args(struct sql *q, int64_t *ret, const char *text,
	 const struct sql_arg *args);
#define sql_query(q, ret, text, ...) \
	sql_query_args((q), (ret), (text), SQL_ARGS(__VA_ARGS__))
#define sql_run(q, text, ...) \
	sql_run_args((q), NULL, (text), SQL_ARGS(__VA_ARGS__))
/* -ENOENT when no row changed. */
#define sql_change(q, text, ...) \
	sql_change_args((q), (text), SQL_ARGS(__VA_ARGS__))
#define sql_number(q, ret, text, ...) \
	sql_number_args((q), (ret), (text), SQL_ARGS(__VA_ARGS__))
int  sql_change_args(struct sql *q, const char *text,
	 const struct sql_arg *args);

static inline uint64_t
sql_u64(sqlite3_stmt *st, int col)
{
	return (uint64_t)sqlite3_column_int64(st, col);
}
static inline bool
sql_bool(sqlite3_stmt *st, int col)
{
	return sqlite3_column_int64(st, col) != 0;
}
static inline bool
sql_null(sqlite3_stmt *st, int col)
{
	return sqlite3_column_type(st, col) == SQLITE_NULL;
}
const char *sql_text(sqlite3_stmt *st, int col);	/* "" for NULL */
/* As much as fits, cut between characters. */
void sql_copy(sqlite3_stmt *st, int col, char *dst, size_t size);

/* ---- the two kinds of connection ---- */

enum head_set { HEAD_STUDY, HEAD_SERIES, HEAD_SETS };

struct index {
	struct sql sql;
	char	  *head_update[HEAD_SETS];	/* index_head.c */
	int	   wal_pages;	/* in the log after the last commit */
	int	   wal_next;	/* checkpoint by ourselves from here on */
};

struct index_reader {
	struct sql sql;
};

/* Changes are made inside index_begin() and index_commit(). When SQLite has
 * rolled back by itself, the caller was told by an error and must not go on. */
static inline void
assert_writing(const struct index *ix)
{
	assert(!sqlite3_get_autocommit(ix->sql.db));
}

/* ---- index_schema.c ---- */

#define INDEX_APPLICATION 0x43574958	/* "CWIX" */
#define INDEX_VERSION	  3

/* Inside a transaction: from `version` to INDEX_VERSION. */
int schema_migrate(struct sql *q, int64_t version);
/* Every table of that version is there. */
int schema_check(struct sql *q, int64_t version);

void commit_init(struct index *ix);	/* index_commit.c */

/* ---- index_head.c: attributes of study, patient and series ---- */

void head_init(struct index *ix);
/* The character set that counts for this arrival (rule 27). */
#define HEAD_CHARSET_MAX 128
void head_charset(const struct dicom_head *head, const char *assume,
    char ret[HEAD_CHARSET_MAX + 1]);
/* Equal when there is nothing to store anew. */
int64_t head_digest(enum head_set set, const struct dicom_head *head,
    const char *charset);
int  head_store(struct index *ix, enum head_set set, int64_t row,
	 const struct dicom_head *head, const char *charset);
int  head_refold(struct index *ix);	/* after a change of dicom_fold() */
/* A value that is ASCII by its VR, other bytes as '?'; NULL when empty. */
const char *head_plain(const struct dicom_head *head, enum dicom_head_id id,
    char *scratch, size_t size);

/* ---- shared by the files of the index ---- */

/* The id of a destination's name; -ENOENT unless create. */
int  destination_find(struct sql *q, const char *name, bool create, int64_t *ret);
/* delta by state, for one study and destination; length is that of one
 * instance. The counters of study, study_delivery and destination. */
int  delivery_count(struct index *ix, int64_t study, int64_t destination,
	 const int64_t delta[static SPOOL_DELIVERY_STATES], int64_t length);
#define NOWHERE 0	/* the destination of what was let go before it had one */

struct subject {	/* the instance that something happens to */
	uint64_t id;
	int64_t	 study, length;
	int	 todo;	/* -1: routed */
	bool	 check, kept;
};
int  subject_find(struct index *ix, uint64_t id, struct subject *ret);
/* done follows from the other columns, and can be computed anew at any time. */
int  delivery_refresh_done(struct index *ix, uint64_t id);
int  delivery_to_nowhere(struct index *ix, const struct subject *s,
	 const char *actor, const char *reason, int64_t wall_ms);
/* Whatever is still due of an instance is let go. */
int  delivery_end_all(struct index *ix, uint64_t id, int64_t wall_ms);
/* live +- 1 of a segment; does nothing for a container of its own. */
int  segment_count(struct index *ix, uint64_t segment, uint64_t generation,
	 int64_t live, int64_t bytes);

/* The columns that instance_read() expects, from their tables. */
#define INSTANCE_COLUMNS                                                        \
	" i.id, i.study, i.version, c.text, i.uid, s.uid, e.uid, y.text,"       \
	" e.modality, o.calling, o.called, o.address, s.priority, i.length,"    \
	" i.arrived_ms, i.kept, i.damaged, i.todo"
#define INSTANCE_COLUMN_COUNT 18
#define INSTANCE_JOINS                                                          \
	" CROSS JOIN study AS s ON s.id = i.study"                              \
	" CROSS JOIN series AS e ON e.id = i.series"                            \
	" CROSS JOIN uid AS c ON c.id = i.sop_class"                            \
	" CROSS JOIN uid AS y ON y.id = i.syntax"                               \
	" CROSS JOIN source AS o ON o.id = i.source"
void instance_read(sqlite3_stmt *st, struct spool_instance *ret);

#endif
