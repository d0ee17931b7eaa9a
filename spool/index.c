/* index.c - opening and checking the index, setting it aside, readers.
 *
 * What is found is trusted only after its identity, its length, its pages (as
 * long as that is quick) and its spool were looked at; everything later that
 * turns out not to be a database is -EUCLEAN too, and the index is rebuilt.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "gateway/base/clock.h"
#include "gateway/base/fdio.h"
#include "gateway/dicom/charset.h"
#include "spool/index_sql_int.h"

#define INDEX_NAME     "index.db"
#define BUSY_MS	       10000
#define PAGE	       4096
#define QUICK_CHECK    (64 * 1024 * 1024)	/* below: well under a second */

static void
cleanup_reader(struct index_reader **r)
{
	index_reader_close(*r);
}

static void
cleanup_index(struct index **ix)
{
	index_close(*ix);
}

/* ---- one connection ---- */

static int
run_pragmas(struct sql *q, const char *pragmas)
{
	return sql_error(sqlite3_exec(q->db, pragmas, NULL, NULL, NULL));
}

static int
open_connection(struct sql *q, const char *path, int flags)
{
	int rc;

	/* A later sqlite3_close() is due even when this fails. */
	rc = sqlite3_open_v2(path, &q->db, flags | SQLITE_OPEN_READWRITE |
	    SQLITE_OPEN_NOMUTEX, NULL);
	if (rc != SQLITE_OK) {
		int err = q->db != NULL ? sqlite3_system_errno(q->db) : 0;

		return (rc & 0xff) == SQLITE_CANTOPEN && err > 0 ? -err :
		    sql_error(rc);
	}
	(void)sqlite3_extended_result_codes(q->db, 1);
	(void)sqlite3_busy_timeout(q->db, BUSY_MS);
	(void)sqlite3_db_config(q->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	(void)sqlite3_db_config(q->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	return run_pragmas(q, "PRAGMA temp_store = MEMORY;"
	    "PRAGMA cell_size_check = ON; PRAGMA secure_delete = OFF");
}

/* What the file says it is. */
static int
read_identity(struct sql *q, int64_t *ret_application, int64_t *ret_version,
    int64_t *ret_tables)
{
	int r;

	r = sql_number(q, ret_application, "PRAGMA application_id");
	if (r == 0)
		r = sql_number(q, ret_version, "PRAGMA user_version");
	if (r == 0)
		r = sql_number(q, ret_tables,
		    "SELECT count(*) FROM sqlite_master");
	return r;
}

/* ---- checking what is there ---- */

/* `unclean` is what -EUCLEAN means at this place. */
static int
complain(struct buf *why, int error, const char *unclean)
{
	const char *text = error == -EUCLEAN ? unclean :
	    error == -EBUSY ? "is locked by another program" :
	    strerrordesc_np(-error);

	if (why != NULL)
		(void)buf_printf(why, "index.db %s%s", error == -EUCLEAN ||
		    error == -EBUSY ? "" : "cannot be opened: ", text);
	return error;
}

static int
check_uuid(struct sql *q, const uint8_t uuid[static SPOOL_UUID])
{
	AUTO_DONE sqlite3_stmt *st = NULL;
	int r;

	r = sql_query(q, &st, "SELECT value FROM meta WHERE key = 'uuid'");
	if (r < 0)
		return r;
	r = sql_step(st);
	if (r < 0)
		return r;
	if (r == 0 || sqlite3_column_bytes(st, 0) != SPOOL_UUID ||
	    memcmp(sqlite3_column_blob(st, 0), uuid, SPOOL_UUID) != 0)
		return -EUCLEAN;
	return 0;
}

static int
check_quickly(struct sql *q)
{
	AUTO_DONE sqlite3_stmt *st = NULL;
	int r;

	r = sql_query(q, &st, "PRAGMA quick_check(1)");
	if (r == 0)
		r = sql_step(st);
	if (r < 0)
		return r;
	return r > 0 && strcmp(sql_text(st, 0), "ok") == 0 ? 0 : -EUCLEAN;
}

/* The log is emptied into the file first: after a crash in the middle of a
 * check-point the file alone may rightly be shorter than its head says. */
static int
check_size(struct sql *q, const char *path, uint64_t *ret_size)
{
	int in_log = 0, moved = 0;
	struct stat st;
	int64_t pages;
	int r;

	r = sql_error(sqlite3_wal_checkpoint_v2(q->db, NULL,
	    SQLITE_CHECKPOINT_PASSIVE, &in_log, &moved));
	if (r == 0)
		r = sql_number(q, &pages, "PRAGMA page_count");
	if (r < 0)
		return r;
	if (stat(path, &st) < 0)
		return -errno;
	/* A reader that still looks at the log bars the rest of it. */
	if (in_log == moved && st.st_size < pages * PAGE)
		return -EUCLEAN;
	*ret_size = (uint64_t)st.st_size;
	return 0;
}

static int
check_content(struct sql *q, const char *path,
    const uint8_t uuid[static SPOOL_UUID], int64_t version, struct buf *why)
{
	uint64_t size = 0;
	int r;

	r = check_size(q, path, &size);
	if (r < 0)
		return complain(why, r, "is truncated or damaged");
	r = size < QUICK_CHECK ? check_quickly(q) : 0;
	if (r == 0)
		r = schema_check(q, version);
	if (r < 0)
		return complain(why, r, "is damaged");
	r = check_uuid(q, uuid);
	if (r < 0)
		return complain(why, r, "is not the index of this spool");
	return 0;
}

/* ---- making it, bringing it up to date ---- */

static int
write_meta(struct sql *q, const uint8_t uuid[static SPOOL_UUID])
{
	char pragma[40];
	int r;

	(void)snprintf(pragma, sizeof(pragma), "PRAGMA application_id = %d",
	    INDEX_APPLICATION);
	r = run_pragmas(q, pragma);
	if (r == 0)
		r = sql_run(q, "INSERT INTO meta (key, value)"
		    " VALUES ('uuid', ?1), ('fold', ?2)",
		    SQL_BLOB(uuid, SPOOL_UUID), SQL_INT(DICOM_FOLD_VERSION));
	return r;
}

static int
update_folds(struct index *ix)
{
	int64_t version = 0;
	int r;

	r = sql_number(&ix->sql, &version,
	    "SELECT value FROM meta WHERE key = 'fold'");
	if (r < 0 && r != -ENOENT)
		return r;
	if (version == DICOM_FOLD_VERSION)
		return 0;
	r = head_refold(ix);
	if (r < 0)
		return r;
	return sql_run(&ix->sql,
	    "INSERT OR REPLACE INTO meta (key, value) VALUES ('fold', ?1)",
	    SQL_INT(DICOM_FOLD_VERSION));
}

/* One transaction: a crash leaves an index that is old, or none. */
static int
bring_up_to_date(struct index *ix, const uint8_t uuid[static SPOOL_UUID],
    int64_t version, bool create)
{
	int r;

	r = index_begin(ix);
	if (r < 0)
		return r;
	if (version < INDEX_VERSION)
		r = schema_migrate(&ix->sql, version);
	if (r == 0 && create)
		r = write_meta(&ix->sql, uuid);
	if (r == 0)
		r = update_folds(ix);
	if (r == 0)
		r = index_commit(ix, create || version < INDEX_VERSION);
	if (r < 0)
		index_rollback(ix);
	return r;
}

/* Private to us before SQLite, which copies the mode to its other files, sees
 * it. Only a file that was not there is touched: closing a descriptor of one
 * that is in use would drop SQLite's locks. */
static int
create_private(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		return errno == EEXIST ? 0 : -errno;
	(void)close(fd);
	return 0;
}

static int
enter_wal(struct sql *q)
{
	AUTO_DONE sqlite3_stmt *st = NULL;
	int r;

	r = sql_query(q, &st, "PRAGMA journal_mode = WAL");
	if (r == 0)
		r = sql_step(st);
	if (r < 0)
		return r;
	return strcmp(sql_text(st, 0), "wal") == 0 ? 0 : -ENOTSUP;
}

static int
set_up_writer(struct index *ix)
{
	int r;

	r = run_pragmas(&ix->sql, "PRAGMA page_size = 4096;"
	    "PRAGMA cache_size = -8192; PRAGMA journal_size_limit = 67108864");
	if (r == 0)
		r = enter_wal(&ix->sql);
	if (r == 0)
		r = run_pragmas(&ix->sql, "PRAGMA synchronous = NORMAL");
	if (r < 0)
		return r;
	commit_init(ix);
	head_init(ix);
	return 0;
}

static int
check_identity(struct sql *q, struct buf *why, int64_t *ret_version,
    bool *ret_new)
{
	int64_t application, tables;
	int r;

	r = read_identity(q, &application, ret_version, &tables);
	if (r < 0)
		return complain(why, r, "is damaged or not a database");
	*ret_new = application == 0 && tables == 0 && *ret_version == 0;
	if (*ret_new)
		return 0;
	if (application != INDEX_APPLICATION || *ret_version < 1)
		return complain(why, -EUCLEAN, "is not an index of Causeway");
	if (*ret_version > INDEX_VERSION) {
		if (why != NULL)
			(void)buf_printf(why, "index.db is of version %" PRId64
			    ", this program knows up to %d: a newer one has "
			    "used this spool", *ret_version, INDEX_VERSION);
		return -ENOTSUP;
	}
	return 0;
}

int
index_open(const char *directory, const uint8_t uuid[static SPOOL_UUID],
    struct index **ret, bool *ret_created, struct buf *why)
{
	AUTO_FREE char *path = xasprintf("%s/" INDEX_NAME, directory);
	struct index *ix AUTO(cleanup_index) = xcalloc(1, sizeof(*ix));
	int64_t version = 0;
	bool create = false;
	int r;

	r = create_private(path);
	if (r == 0)
		r = open_connection(&ix->sql, path, SQLITE_OPEN_CREATE);
	if (r < 0)
		return complain(why, r, "is not a database");
	r = check_identity(&ix->sql, why, &version, &create);
	if (r < 0)
		return r;
	r = set_up_writer(ix);
	if (r < 0)
		return complain(why, r, "is damaged");
	r = create ? 0 : check_content(&ix->sql, path, uuid, version, why);
	if (r < 0)
		return r;
	r = bring_up_to_date(ix, uuid, version, create);
	if (r < 0)
		return complain(why, r, "is damaged");
	*ret_created = create;
	*ret = TAKE_PTR(ix);
	return 0;
}

void
index_close(struct index *ix)
{
	if (ix == NULL)
		return;
	index_rollback(ix);
	sql_close(&ix->sql);
	for (int s = 0; s < HEAD_SETS; s++)
		free(ix->head_update[s]);
	free(ix);
}

/* The database goes first: a log that is left alone beside no database is
 * dropped by SQLite, a database without its log would pass for whole. */
static int
move_aside(int dirfd, int64_t stamp)
{
	static const char *const parts[] = { "", "-wal", "-shm" };
	char from[64], to[64];
	int moved = 0;

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		int r;

		(void)snprintf(from, sizeof(from), INDEX_NAME "%s", parts[i]);
		(void)snprintf(to, sizeof(to), INDEX_NAME ".bad-%" PRId64 "%s",
		    stamp, parts[i]);
		r = fdio_rename(dirfd, from, dirfd, to);
		if (r < 0 && r != -ENOENT)
			return r;
		moved += r == 0;
	}
	return moved > 0 ? fdio_sync(dirfd) : -ENOENT;
}

int
index_set_aside(const char *directory)
{
	AUTO_CLOSE int dirfd = -1;
	int64_t stamp = clock_wall_ms();
	char name[64];

	dirfd = fdio_openat(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY, 0);
	if (dirfd < 0)
		return dirfd;
	for (;; stamp++) {
		(void)snprintf(name, sizeof(name), INDEX_NAME ".bad-%" PRId64,
		    stamp);
		if (faccessat(dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
			break;
	}
	return move_aside(dirfd, stamp);
}

/* ---- readers ---- */

int
index_reader_open(const char *directory, struct index_reader **ret)
{
	AUTO_FREE char *path = xasprintf("%s/" INDEX_NAME, directory);
	struct index_reader *r AUTO(cleanup_reader) = xcalloc(1, sizeof(*r));
	int64_t application, version, tables;
	int e;

	e = open_connection(&r->sql, path, 0);
	if (e == 0)
		e = run_pragmas(&r->sql,
		    "PRAGMA cache_size = -1024; PRAGMA query_only = ON");
	if (e == 0)
		e = read_identity(&r->sql, &application, &version, &tables);
	if (e < 0)
		return e;
	if (application != INDEX_APPLICATION)
		return -EUCLEAN;
	if (version != INDEX_VERSION)
		return -ENOTSUP;
	*ret = TAKE_PTR(r);
	return 0;
}

void
index_reader_close(struct index_reader *r)
{
	if (r == NULL)
		return;
	sql_close(&r->sql);
	free(r);
}
