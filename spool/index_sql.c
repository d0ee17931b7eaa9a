/* index_sql.c - prepared statements, their arguments, and what SQLite's errors
 * mean to us.
 */
#include <string.h>

#include "spool/index_sql_int.h"

int
sql_error(int rc)
{
	/* The shared memory beside the log cannot grow: nothing but a full disk. */
	if (rc == SQLITE_IOERR_SHMSIZE)
		return -ENOSPC;
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_ERROR:	/* our statements are right, so the schema is not */
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_SCHEMA:
		return -EUCLEAN;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_PROTOCOL:
		return -EBUSY;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return -EACCES;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_CONSTRAINT:
		return -EEXIST;
	case SQLITE_TOOBIG:
		return -EMSGSIZE;
	case SQLITE_MISUSE:
	case SQLITE_RANGE:
		assert(!"SQLite is misused");
		return -EINVAL;
	default:
		return -EIO;
	}
}

void
sql_close(struct sql *q)
{
	int rc;

	for (size_t i = 0; i < SQL_SLOTS; i++)
		(void)sqlite3_finalize(q->slots[i].st);
	rc = sqlite3_close(q->db);
	assert(rc == SQLITE_OK);
	(void)rc;
	*q = (struct sql){ 0 };
}

static struct sql_slot *
find_slot(struct sql *q, const char *text)
{
	size_t i = ((uintptr_t)text * UINT64_C(0x9e3779b97f4a7c15)) >> 56;

	for (size_t n = 0; n < SQL_SLOTS; n++, i++) {
		struct sql_slot *slot = &q->slots[i % SQL_SLOTS];

		if (slot->text == text || slot->text == NULL)
			return slot;
	}
	assert(!"more statements than slots");
	return NULL;
}

int
sql_prepare(struct sql *q, const char *text, sqlite3_stmt **ret)
{
	struct sql_slot *slot = find_slot(q, text);
	int rc;

	if (slot->text == NULL) {
		rc = sqlite3_prepare_v3(q->db, text, -1,
		    SQLITE_PREPARE_PERSISTENT, &slot->st, NULL);
		if (rc != SQLITE_OK)
			return sql_error(rc);
		slot->text = text;
	}
	assert(!sqlite3_stmt_busy(slot->st));
	*ret = slot->st;
	return 0;
}

int
sql_step(sqlite3_stmt *st)
{
	int rc = sqlite3_step(st);

	if (rc == SQLITE_ROW)
		return 1;
	return sql_error(rc);
}

static int
bind_arg(sqlite3_stmt *st, int at, const struct sql_arg *a)
{
	switch (a->type) {
	case SQL_ARG_INT:
		return sqlite3_bind_int64(st, at, a->i);
	case SQL_ARG_TEXT:
		return sqlite3_bind_text(st, at, a->p, -1, SQLITE_STATIC);
	case SQL_ARG_BLOB:
		return sqlite3_bind_blob64(st, at, a->p, a->len, SQLITE_STATIC);
	default:
		return SQLITE_MISUSE;
	}
}

int
sql_query_args(struct sql *q, sqlite3_stmt **ret, const char *text,
    const struct sql_arg *args)
{
	sqlite3_stmt *st;
	int at = 0;
	int r;

	r = sql_prepare(q, text, &st);
	if (r < 0)
		return r;
	while (args[at].type != SQL_ARG_END) {
		r = sql_error(bind_arg(st, at + 1, &args[at]));
		if (r < 0)
			return r;
		at++;
	}
	assert(at == sqlite3_bind_parameter_count(st));
	*ret = st;
	return 0;
}

int
sql_run_args(struct sql *q, int *ret_changed, const char *text,
    const struct sql_arg *args)
{
	AUTO_DONE sqlite3_stmt *st = NULL;
	int r;

	r = sql_query_args(q, &st, text, args);
	if (r < 0)
		return r;
	do
		r = sql_step(st);
	while (r > 0);
	if (r == 0 && ret_changed != NULL)
		*ret_changed = sqlite3_changes(q->db);
	return r;
}

int
sql_change_args(struct sql *q, const char *text, const struct sql_arg *args)
{
	int changed = 0;
	int r;

	r = sql_run_args(q, &changed, text, args);
	if (r < 0)
		return r;
	return changed > 0 ? 0 : -ENOENT;
}

int
sql_number_args(struct sql *q, int64_t *ret, const char *text,
    const struct sql_arg *args)
{
	AUTO_DONE sqlite3_stmt *st = NULL;
	int r;

	r = sql_query_args(q, &st, text, args);
	if (r < 0)
		return r;
	r = sql_step(st);
	if (r < 0)
		return r;
	if (r == 0 || sql_null(st, 0))
		return -ENOENT;
	*ret = sqlite3_column_int64(st, 0);
	return 0;
}

const char *
sql_text(sqlite3_stmt *st, int col)
{
	const unsigned char *text = sqlite3_column_text(st, col);

	return text != NULL ? (const char *)text : "";
}

void
sql_copy(sqlite3_stmt *st, int col, char *dst, size_t size)
{
	const char *text = sql_text(st, col);
	size_t len = strlen(text);

	if (len >= size) {
		len = size - 1;
		while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
			len--;
	}
	memcpy(dst, text, len);
	dst[len] = '\0';
}
