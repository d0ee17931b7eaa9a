/* test_spool_index_open.c - opening the index: whole, damaged, foreign, newer,
 * locked; what a durable commit costs and what a failed sync means (invariants 7
 * and 10); rollback; readers beside the writer.
 */
#include <fcntl.h>
#include <glob.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/dicom/charset.h"
#include "tests/unit/index_fixture.h"

/* SQLite's syncs pass here: the program's definitions go before libc's. */
int fsync(int fd);
int fdatasync(int fd);

static unsigned syncs;
static bool fail_syncs;

static int
count_sync(int fd)
{
	syncs++;
	if (fail_syncs) {
		errno = EIO;
		return -1;
	}
	return (int)syscall(SYS_fdatasync, fd);
}

int
fsync(int fd)
{
	return count_sync(fd);
}

int
fdatasync(int fd)
{
	return count_sync(fd);
}

static char *
db_path(const struct fixture *f, const char *suffix)
{
	return xasprintf("%s/index.db%s", f->dir, suffix);
}

static int
reopen(struct fixture *f, bool *ret_created, char why[static 256])
{
	struct buf words = BUF_INIT(255);
	struct index *ix = NULL;
	int r;

	r = index_open(f->dir, fixture_uuid, &ix, ret_created, &words);
	(void)snprintf(why, 256, "%s", words.data != NULL ? words.data : "");
	buf_free(&words);
	if (r == 0)
		f->ix = ix;
	else
		assert_null(ix);
	return r;
}

static void
expect_unclean(struct fixture *f, const char *word)
{
	char why[256];
	bool created;

	assert_int_equal(reopen(f, &created, why), -EUCLEAN);
	if (strstr(why, word) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", why, word);
}

static void
run_sql(struct fixture *f, const char *text)
{
	assert_int_equal(sqlite3_exec(f->ix->sql.db, text, NULL, NULL, NULL),
	    SQLITE_OK);
}

static void
test_new_and_again(void **state)
{
	struct fixture *f = *state;
	AUTO_FREE char *path = db_path(f, "");
	char why[256];
	struct stat st;
	bool created;

	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	(void)arrive(f, arrival(1, 1, 1, 1));
	fixture_close(f);
	assert_int_equal(reopen(f, &created, why), 0);
	assert_false(created);
	assert_string_equal(why, "");
	assert_true(index_has(f->ix, 1));

	fixture_close(f);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(reopen(f, &created, why), 0);
	assert_true(created);
	assert_false(index_has(f->ix, 1));
}

static void
test_settings(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(sql_ask(f, "PRAGMA page_size"), 4096);
	assert_int_equal(sql_ask(f, "PRAGMA synchronous"), 1);
	assert_int_equal(sql_ask(f, "PRAGMA cache_size"), -8192);
	assert_int_equal(sql_ask(f, "PRAGMA temp_store"), 2);
	assert_int_equal(sql_ask(f, "PRAGMA trusted_schema"), 0);
	assert_int_equal(sql_ask(f, "PRAGMA application_id"), INDEX_APPLICATION);
	assert_int_equal(sql_ask(f, "PRAGMA user_version"), INDEX_VERSION);
}

static void
test_other_spool(void **state)
{
	struct fixture *f = *state;
	uint8_t other[SPOOL_UUID] = "another spool..";
	struct index *ix = NULL;
	bool created;

	fixture_close(f);
	assert_int_equal(index_open(f->dir, other, &ix, &created, NULL),
	    -EUCLEAN);
	assert_null(ix);
}

static void
test_newer_version(void **state)
{
	struct fixture *f = *state;
	struct index_reader *r = NULL;
	char why[256];
	bool created;

	run_sql(f, "PRAGMA user_version = 99");
	assert_int_equal(index_reader_open(f->dir, &r), -ENOTSUP);
	fixture_close(f);
	assert_int_equal(reopen(f, &created, why), -ENOTSUP);
	assert_non_null(strstr(why, "99"));
	assert_non_null(strstr(why, "newer"));
}

/* As version 2 was: nothing of the queue. */
static void
test_the_queue_comes_with_version_3(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 1; i <= 6; i++) {
		(void)arrive(f, arrival(i, i, 1, i));
		assert_int_equal(route_to(f, i, i == 6 ? NULL : "cloud"), 0);
	}
	assert_int_equal(deliver(f, 5, "cloud", SPOOL_DELIVERED, 9), 0);
	assert_int_equal(IN_TRANSACTION(f, index_study_hold(f->ix, "1.2.4", true)),
	    0);
	run_sql(f, "DROP TRIGGER study_turn; DROP TRIGGER study_delivery_new;"
	    "DROP TRIGGER study_delivery_owed; DROP INDEX study_delivery_queue;"
	    "ALTER TABLE study_delivery DROP COLUMN turn;"
	    "ALTER TABLE study_delivery DROP COLUMN source;"
	    "PRAGMA user_version = 2");
	fixture_close(f);
	fixture_open(f);
	assert_int_equal(sql_ask(f, "PRAGMA user_version"), INDEX_VERSION);
	recount(f);
	assert_int_equal(sql_ask(f, "SELECT count(*) FROM study_delivery"
	    " WHERE turn IS NOT NULL"), 3);
	assert_int_equal(IN_TRANSACTION(f, index_study_hold(f->ix, "1.2.4", false)),
	    0);
	recount(f);
}

static void
test_wrong_application(void **state)
{
	struct fixture *f = *state;

	run_sql(f, "PRAGMA application_id = 1");
	fixture_close(f);
	expect_unclean(f, "not an index");
}

static void
test_missing_table(void **state)
{
	struct fixture *f = *state;

	run_sql(f, "DROP TABLE study_delivery");
	fixture_close(f);
	expect_unclean(f, "damaged");
}

static void
fill(struct fixture *f, unsigned n)
{
	assert_int_equal(index_begin(f->ix), 0);
	for (unsigned i = 1; i <= n; i++) {
		struct arrive a = arrival(i, 1 + i / 50, 1, i);

		assert_int_equal(arrive_in(f, &a, ""), 0);
	}
	assert_int_equal(index_commit(f->ix, false), 0);
}

static void
test_truncated(void **state)
{
	struct fixture *f = *state;
	AUTO_FREE char *path = db_path(f, "");
	struct stat st;

	fill(f, 500);
	fixture_close(f);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(truncate(path, st.st_size / 2 / 4096 * 4096), 0);
	expect_unclean(f, "");
	assert_int_equal(truncate(path, 2000), 0);
	expect_unclean(f, "");
}

/* Garbage over any page: at opening, or at the latest when it is read. */
static void
test_garbage(void **state)
{
	struct fixture *f = *state;
	AUTO_FREE char *path = db_path(f, "");
	uint8_t noise[4096];
	struct stat st;
	int fd;

	fill(f, 300);
	fixture_close(f);
	memset(noise, 0xa5, sizeof(noise));
	assert_int_equal(stat(path, &st), 0);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	for (off_t at = 3 * 4096; at < st.st_size; at += 4096)
		assert_int_equal(pwrite(fd, noise, 4096, at), 4096);
	(void)close(fd);
	expect_unclean(f, "damaged");

	fd = open(path, O_RDWR | O_TRUNC);
	assert_int_equal(write(fd, noise, 4096), 4096);
	(void)close(fd);
	expect_unclean(f, "not a database");
}

/* A page that turns bad while the index is in use. */
static void
test_garbage_while_open(void **state)
{
	struct fixture *f = *state;
	AUTO_FREE char *path = db_path(f, "");
	struct spool_filter any = { .state = -1 };
	struct index_known known;
	uint8_t noise[4096];
	struct stat st;
	int fd, r;

	fill(f, 500);
	assert_int_equal(index_checkpoint(f->ix), 0);
	memset(noise, 0xa5, sizeof(noise));
	assert_int_equal(stat(path, &st), 0);
	/* Left open: closing it would drop SQLite's locks. */
	fd = open(path, O_RDWR);
	for (off_t at = 4096; at < st.st_size; at += 4096)
		assert_int_equal(pwrite(fd, noise, 4096, at), 4096);
	r = index_reader_latest(f->r, "1.2.1.1.1", &known);
	assert_int_equal(r, -EUCLEAN);
	r = index_reader_studies(f->r, &any, NULL, NULL);
	assert_int_equal(r, -EUCLEAN);
	fixture_close(f);
	(void)close(fd);
}

static void
test_set_aside(void **state)
{
	struct fixture *f = *state;
	AUTO_FREE char *path = db_path(f, "");
	AUTO_FREE char *pattern = db_path(f, ".bad-*[0-9]");
	glob_t found;
	char why[256];
	bool created;

	(void)arrive(f, arrival(1, 1, 1, 1));
	fixture_close(f);
	assert_int_equal(index_set_aside(f->dir), 0);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(index_set_aside(f->dir), -ENOENT);
	assert_int_equal(reopen(f, &created, why), 0);
	assert_true(created);
	fixture_close(f);
	assert_int_equal(index_set_aside(f->dir), 0);
	assert_int_equal(glob(pattern, 0, NULL, &found), 0);
	assert_int_equal(found.gl_pathc, 2);
	globfree(&found);
}

static void
test_killed_keeps_commits(void **state)
{
	struct fixture *f = *state;
	struct arrive late = arrival(2, 1, 1, 2);
	char why[256];
	bool created;
	pid_t pid;
	int status;

	fixture_close(f);
	pid = fork();
	if (pid == 0) {
		if (reopen(f, &created, why) != 0)
			_exit(1);
		(void)arrive(f, arrival(1, 1, 1, 1));
		(void)index_begin(f->ix);
		(void)arrive_in(f, &late, "");
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(reopen(f, &created, why), 0);
	assert_true(index_has(f->ix, 1));
	assert_false(index_has(f->ix, 2));
	recount(f);
}

/* Another program that writes: an error in the end, no endless wait. */
static void
test_foreign_lock(void **state)
{
	struct fixture *f = *state;
	AUTO_FREE char *path = db_path(f, "");
	int ready[2], done[2], status;
	char c = 0;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(done), 0);
	pid = fork();
	if (pid == 0) {
		sqlite3 *db;

		(void)sqlite3_open(path, &db);
		if (sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) !=
		    SQLITE_OK)
			_exit(1);
		(void)!write(ready[1], "x", 1);
		(void)!read(done[0], &c, 1);
		_exit(0);
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	(void)sqlite3_busy_timeout(f->ix->sql.db, 50);
	assert_int_equal(index_begin(f->ix), -EBUSY);
	index_rollback(f->ix);
	assert_int_equal(write(done[1], "x", 1), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(index_begin(f->ix), 0);
	index_rollback(f->ix);
}

static void
test_rollback(void **state)
{
	struct fixture *f = *state;
	const char *dest = "cloud";
	struct arrive a = arrival(2, 1, 2, 2), twice = arrival(1, 1, 1, 9);

	(void)arrive(f, arrival(1, 1, 1, 1));
	assert_int_equal(index_begin(f->ix), 0);
	assert_int_equal(arrive_in(f, &a, ""), 0);
	assert_int_equal(index_route(f->ix, 2, &dest, 1), 0);
	assert_int_equal(arrive_in(f, &twice, ""), -EEXIST);
	index_rollback(f->ix);
	index_rollback(f->ix);
	assert_false(index_has(f->ix, 2));
	assert_int_equal(sql_ask(f, "SELECT instances FROM study"), 1);
	assert_int_equal(sql_ask(f, "SELECT count(*) FROM destination"), 1);
	recount(f);
	(void)arrive(f, arrival(2, 1, 2, 2));
	recount(f);
}

/* Invariant 1: a plain commit syncs nothing, a durable one the log, once. */
static void
test_durable_is_one_sync(void **state)
{
	struct fixture *f = *state;
	struct arrive a = arrival(3, 1, 1, 3);
	unsigned before;

	(void)arrive(f, arrival(1, 1, 1, 1));
	before = syncs;
	(void)arrive(f, arrival(2, 1, 1, 2));
	assert_int_equal(syncs, before);
	assert_int_equal(index_begin(f->ix), 0);
	assert_int_equal(arrive_in(f, &a, ""), 0);
	assert_int_equal(index_commit(f->ix, true), 0);
	assert_int_equal(syncs, before + 1);
}

static void
test_failed_sync(void **state)
{
	struct fixture *f = *state;
	struct arrive a = arrival(1, 1, 1, 1);

	assert_int_equal(index_begin(f->ix), 0);
	assert_int_equal(arrive_in(f, &a, ""), 0);
	fail_syncs = true;
	assert_int_equal(index_commit(f->ix, true), -EIO);
	index_rollback(f->ix);
	assert_int_equal(index_checkpoint(f->ix), -EIO);
	fail_syncs = false;
}

/* No room: refused politely, nothing half done, and on it goes with room. */
static void
test_full(void **state)
{
	struct fixture *f = *state;
	unsigned i = 1;
	int r = 0;

	run_sql(f, "PRAGMA max_page_count = 60");
	while (r == 0 && i < 5000) {
		assert_int_equal(index_begin(f->ix), 0);
		for (unsigned n = 0; n < 10 && r == 0; n++, i++) {
			struct arrive a = arrival(i, i, 1, i);

			r = arrive_in(f, &a, "");
		}
		r = r == 0 ? index_commit(f->ix, false) : r;
		if (r < 0)
			index_rollback(f->ix);
	}
	assert_int_equal(r, -ENOSPC);
	recount(f);
	assert_int_equal(sql_ask(f, "SELECT count(*) % 10 FROM instance"), 0);
	run_sql(f, "PRAGMA max_page_count = 100000");
	(void)arrive(f, arrival(9999, 1, 1, 1));
	recount(f);
	assert_int_equal(sql_error(SQLITE_IOERR_SHMSIZE), -ENOSPC);
	assert_int_equal(sql_error(SQLITE_IOERR_FSYNC), -EIO);
}

static void
test_log_is_bounded(void **state)
{
	struct fixture *f = *state;

	/* More than 64 MiB, and nobody calls index_checkpoint(). */
	assert_int_equal(index_begin(f->ix), 0);
	run_sql(f, "CREATE TABLE big (x)");
	run_sql(f, "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL"
	    " SELECT i + 1 FROM n WHERE i < 17000)"
	    " INSERT INTO big SELECT zeroblob(4000) FROM n");
	assert_int_equal(index_commit(f->ix, false), 0);
	/* The next one begins the log anew. */
	(void)arrive(f, arrival(1000, 1, 1, 1000));
	assert_true(f->ix->wal_pages < 100);
}

static void
test_settled(void **state)
{
	struct fixture *f = *state;
	uint64_t size = 1;

	assert_int_equal(index_settled(f->ix, &size), 0);
	assert_int_equal(size, 0);
	for (uint64_t n = 5; n > 0; n--) {
		assert_int_equal(IN_TRANSACTION(f,
		    index_note_settled(f->ix, n)), 0);
		assert_int_equal(index_settled(f->ix, &size), 0);
		assert_int_equal(size, n);
	}
}

/* Adding a line to DICOM_HEAD needs a migration. */
static void
test_a_column_for_each_attribute(void **state)
{
	struct fixture *f = *state;
	static const char *const tables[] = {
		[DICOM_PATIENT] = "study_head", [DICOM_STUDY] = "study_head",
		[DICOM_SERIES] = "series", [DICOM_INSTANCE] = "instance",
	};

	for (int id = 0; id < DICOM_HEAD_COUNT; id++) {
		const struct dicom_head_spec *s = dicom_head_spec(id);
		AUTO_FREE char *ask = NULL;

		if (id == DICOM_HEAD_STUDY_UID || id == DICOM_HEAD_SERIES_UID)
			continue;
		ask = xasprintf("SELECT count(\"%s\") FROM %s", s->column,
		    tables[s->level]);
		assert_int_equal(sql_ask(f, ask), 0);
	}
}

static void
test_refold(void **state)
{
	struct fixture *f = *state;
	struct arrive a = arrival(1, 1, 1, 1);

	head_text(&a.head, DICOM_HEAD_PATIENT_NAME, "DOE^Jane");
	head_text(&a.head, DICOM_HEAD_SERIES_DESCRIPTION, "Thorax");
	(void)arrive(f, a);
	run_sql(f, "UPDATE meta SET value = 0 WHERE key = 'fold'");
	run_sql(f, "UPDATE study_head SET patient_name_fold = 'old'");
	run_sql(f, "UPDATE series SET series_description_fold = 'old'");
	fixture_close(f);
	fixture_open(f);
	assert_int_equal(sql_ask(f, "SELECT patient_name_fold = 'doe^jane'"
	    " FROM study_head"), 1);
	assert_int_equal(sql_ask(f, "SELECT series_description_fold = 'thorax'"
	    " FROM series"), 1);
	assert_int_equal(sql_ask(f, "SELECT value FROM meta WHERE key = 'fold'"),
	    DICOM_FOLD_VERSION);
}

/* ---- two readers while the writer commits ---- */

#define BESIDE 400

struct beside {
	struct fixture *f;
	int result;
};

static int
note_last(void *arg, const struct spool_study *s)
{
	/* Written in one transaction, so never seen apart. */
	if (s->instances != s->pending || s->instances != s->kept)
		return -EPROTO;
	*(uint64_t *)arg = s->instances;
	return 0;
}

static void *
read_beside(void *arg)
{
	struct beside *b = arg;
	struct spool_filter any = { .state = -1 };
	struct index_reader *r;
	uint64_t seen = 0, last = 0;

	b->result = index_reader_open(b->f->dir, &r);
	while (b->result == 0 && seen < BESIDE) {
		b->result = index_reader_studies(r, &any, note_last, &seen);
		if (seen < last)
			b->result = -EPROTO;
		last = seen;
	}
	index_reader_close(r);
	return NULL;
}

static void
test_readers_beside_writer(void **state)
{
	struct fixture *f = *state;
	struct beside b[2] = { { .f = f }, { .f = f } };
	pthread_t t[2];

	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&t[i], NULL, read_beside, &b[i]),
		    0);
	for (unsigned i = 1; i <= BESIDE; i++) {
		(void)arrive(f, arrival(i, 1, 1, i));
		if (i % 50 == 0)
			assert_int_equal(index_checkpoint(f->ix), 0);
	}
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pthread_join(t[i], NULL), 0);
		assert_int_equal(b[i].result, 0);
	}
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_new_and_again),
		T(test_settings),
		T(test_other_spool),
		T(test_newer_version),
		T(test_the_queue_comes_with_version_3),
		T(test_wrong_application),
		T(test_missing_table),
		T(test_truncated),
		T(test_garbage),
		T(test_garbage_while_open),
		T(test_set_aside),
		T(test_killed_keeps_commits),
		T(test_foreign_lock),
		T(test_rollback),
		T(test_durable_is_one_sync),
		T(test_failed_sync),
		T(test_full),
		T(test_log_is_bounded),
		T(test_settled),
		T(test_a_column_for_each_attribute),
		T(test_refold),
		T(test_readers_beside_writer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
