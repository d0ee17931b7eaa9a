/* index_commit.c - transactions, and the log that carries them.
 *
 * How a commit becomes durable. With synchronous=NORMAL a commit appends to the
 * write-ahead log and syncs nothing. PRAGMA synchronous cannot change inside a
 * transaction, and whether this one must be durable is known only at its end;
 * a second, FULL transaction would write a page more. So a durable commit is a
 * plain commit followed by one sync of the log file through SQLite's own handle
 * of it: exactly what FULL does (sqlite3WalFrames, a disk with powersafe
 * overwrite), at the same place and once. The handle also syncs the directory
 * after the log was made. All that was committed before lies earlier in the
 * same log and is durable with it.
 *
 * A sync that failed is final (invariant 7). Automatic checkpoints would
 * swallow that error, so they are off, and the fallback that bounds the log is
 * ours.
 */
#include "spool/index_sql_int.h"

#define WAL_PAGES (64 * 1024 * 1024 / 4096)	/* then we check-point */
#define WAL_AGAIN 4096	/* pages until the next try, when readers bar it */

static int
note_wal(void *arg, sqlite3 *db, const char *name, int pages)
{
	struct index *ix = arg;

	(void)db;
	(void)name;
	ix->wal_pages = pages;
	return SQLITE_OK;
}

/* The hook also replaces SQLite's automatic check-points. */
void
commit_init(struct index *ix)
{
	ix->wal_next = WAL_PAGES;
	(void)sqlite3_wal_hook(ix->sql.db, note_wal, ix);
}

static int
sync_log(struct index *ix)
{
	sqlite3_file *log = NULL;
	int rc;

	rc = sqlite3_file_control(ix->sql.db, "main",
	    SQLITE_FCNTL_JOURNAL_POINTER, &log);
	if (rc != SQLITE_OK || log == NULL || log->pMethods == NULL)
		return -EIO;
	return sql_error(log->pMethods->xSync(log, SQLITE_SYNC_NORMAL));
}

/* The transaction is committed already: a full disk is no reason to say that it
 * is not, a disk that failed is. */
static int
checkpoint_if_long(struct index *ix)
{
	int r;

	if (ix->wal_pages < WAL_PAGES)
		ix->wal_next = WAL_PAGES;
	if (ix->wal_pages < ix->wal_next)
		return 0;
	ix->wal_next = ix->wal_pages + WAL_AGAIN;
	r = index_checkpoint(ix);
	return r == -EIO || r == -EUCLEAN ? r : 0;
}

int
index_begin(struct index *ix)
{
	assert(sqlite3_get_autocommit(ix->sql.db));
	return sql_run(&ix->sql, "BEGIN IMMEDIATE");
}

int
index_commit(struct index *ix, bool durable)
{
	int r;

	assert_writing(ix);
	r = sql_run(&ix->sql, "COMMIT");
	if (r == 0 && durable)
		r = sync_log(ix);
	if (r == 0)
		r = checkpoint_if_long(ix);
	return r;
}

void
index_rollback(struct index *ix)
{
	if (ix->sql.db != NULL && !sqlite3_get_autocommit(ix->sql.db))
		(void)sql_run(&ix->sql, "ROLLBACK");
}

/* Part of every transaction: it touches the page only when there is news. */
int
index_note_settled(struct index *ix, uint64_t size)
{
	assert_writing(ix);
	return sql_run(&ix->sql, "INSERT INTO meta (key, value)"
	    " VALUES ('settled', ?1) ON CONFLICT (key) DO UPDATE"
	    " SET value = ?1 WHERE value <> ?1", SQL_INT(size));
}

int
index_settled(struct index *ix, uint64_t *ret_size)
{
	int64_t size = 0;
	int r;

	r = sql_number(&ix->sql, &size,
	    "SELECT value FROM meta WHERE key = 'settled'");
	if (r < 0 && r != -ENOENT)
		return r;
	*ret_size = (uint64_t)size;
	return 0;
}

/* In the index itself, so that no crash can part the word from what it is about. */
int
index_filled(struct index *ix, bool *ret)
{
	int64_t filled = 0;
	int r;

	r = sql_number(&ix->sql, &filled,
	    "SELECT value FROM meta WHERE key = 'filled'");
	if (r < 0 && r != -ENOENT)
		return r;
	*ret = filled != 0;
	return 0;
}

int
index_set_filled(struct index *ix)
{
	assert_writing(ix);
	return sql_run(&ix->sql,
	    "INSERT OR REPLACE INTO meta (key, value) VALUES ('filled', 1)");
}

int
index_checkpoint(struct index *ix)
{
	int r;

	assert(sqlite3_get_autocommit(ix->sql.db));
	r = sql_error(sqlite3_wal_checkpoint_v2(ix->sql.db, NULL,
	    SQLITE_CHECKPOINT_PASSIVE, NULL, NULL));
	return r == -EBUSY ? 0 : r;
}
