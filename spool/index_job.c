/* index_job.c - jobs, what they have sent, and notes on how far a delivery is.
 *
 * A delivery names its job while it is sent and no longer, so what a job waits for
 * is a short search; nothing is counted. Both jobs and what they have sent are in
 * the settle log (invariant 4); a note is nowhere else, and can be done without.
 */
#include "spool/index_sql_int.h"

#define PAGE_JOBS 32
#define PAGE_SENT 256

/* ---- the committer's ---- */

int
index_job_set(struct index *ix, uint64_t id, const char *dest, const char *text,
    int64_t wall_ms)
{
	int64_t destination;
	int r;

	assert_writing(ix);
	assert(id != 0 && id <= INT64_MAX && dest[0] != '\0');
	r = destination_find(&ix->sql, dest, true, &destination);
	if (r < 0)
		return r;
	return sql_run(&ix->sql, "INSERT INTO job (id, destination, since_ms,"
	    " text) VALUES (?1, ?2, ?3, ?4)"
	    " ON CONFLICT (id) DO UPDATE SET text = ?4",
	    SQL_INT(id), SQL_INT(destination), SQL_INT(wall_ms),
	    SQL_TEXT(text));
}

int
index_job_destination(struct index *ix, uint64_t id, struct buf *ret)
{
	AUTO_DONE sqlite3_stmt *st = NULL;
	int r;

	r = sql_query(&ix->sql, &st, "SELECT n.name FROM job AS j"
	    " CROSS JOIN destination AS n ON n.id = j.destination"
	    " WHERE j.id = ?1", SQL_INT(id));
	if (r == 0)
		r = sql_step(st);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	return buf_add_str(ret, sql_text(st, 0));
}

bool
index_has_job(struct index *ix, uint64_t id)
{
	int64_t found;

	return sql_number(&ix->sql, &found, "SELECT 1 FROM job WHERE id = ?1",
	    SQL_INT(id)) == 0;
}

/* In memory, since the rows leave the index that is walked. */
static int
collect_sent(struct index *ix, uint64_t job, uint64_t ids[static PAGE_SENT],
    size_t *ret_n)
{
	AUTO_DONE sqlite3_stmt *st = NULL;
	int r;

	*ret_n = 0;
	r = sql_query(&ix->sql, &st, "SELECT instance FROM delivery AS d"
	    " WHERE d.job = ?1 ORDER BY d.instance LIMIT ?2",
	    SQL_INT(job), SQL_INT(PAGE_SENT));
	if (r < 0)
		return r;
	for (;;) {
		r = sql_step(st);
		if (r <= 0)
			return r;
		ids[(*ret_n)++] = sql_u64(st, 0);
	}
}

static int
owe_page(struct index *ix, uint64_t job, const char *dest, int64_t wall_ms,
    size_t *ret_n)
{
	uint64_t ids[PAGE_SENT];
	int r;

	r = collect_sent(ix, job, ids, ret_n);
	for (size_t i = 0; i < *ret_n && r == 0; i++)
		r = index_deliver(ix, &(struct index_verdict){ .id = ids[i],
		    .dest = dest, .state = SPOOL_OWED, .check = true,
		    .wall_ms = wall_ms }, NULL);
	return r;
}

int
index_job_end(struct index *ix, uint64_t id, int64_t wall_ms, uint64_t *ret_owed)
{
	struct buf dest = BUF_INIT(4096);
	uint64_t owed = 0;
	size_t n = 1;
	int r;

	assert_writing(ix);
	r = index_job_destination(ix, id, &dest);
	while (r == 0 && n > 0) {
		r = owe_page(ix, id, dest.data, wall_ms, &n);
		owed += n;
	}
	buf_free(&dest);
	if (r == 0)
		r = sql_run(&ix->sql, "DELETE FROM job WHERE id = ?1",
		    SQL_INT(id));
	if (r == 0)
		*ret_owed = owed;
	return r;
}

int
index_note_set(struct index *ix, uint64_t id, const char *dest, const char *text)
{
	int64_t destination;
	int r;

	assert_writing(ix);
	r = sql_number(&ix->sql, &destination, "SELECT d.destination"
	    " FROM delivery AS d WHERE d.instance = ?1 AND d.destination ="
	    " (SELECT id FROM destination WHERE name = ?2) AND +d.state = 0",
	    SQL_INT(id), SQL_TEXT(dest));
	if (r < 0)
		return r;
	if (text == NULL)
		return sql_run(&ix->sql, "DELETE FROM note"
		    " WHERE instance = ?1 AND destination = ?2", SQL_INT(id),
		    SQL_INT(destination));
	return sql_run(&ix->sql, "INSERT OR REPLACE INTO note"
	    " (instance, destination, text) VALUES (?1, ?2, ?3)",
	    SQL_INT(id), SQL_INT(destination), SQL_TEXT(text));
}

/* ---- readers ---- */

struct job_page {
	struct spool_job list[PAGE_JOBS];
	char  *texts[PAGE_JOBS], *names[PAGE_JOBS];
	size_t n;
};

static void
job_page_clear(struct job_page *p)
{
	for (size_t i = 0; i < p->n; i++) {
		free(p->texts[i]);
		free(p->names[i]);
	}
	p->n = 0;
}

static int
read_jobs(struct index_reader *r, const char *dest, uint64_t after,
    struct job_page *p)
{
	AUTO_DONE sqlite3_stmt *st = NULL;
	int e;

	job_page_clear(p);
	e = sql_query(&r->sql, &st, "SELECT j.id, n.name, j.text, j.since_ms,"
	    " (SELECT count(*) FROM delivery AS d WHERE d.job = j.id)"
	    " FROM job AS j CROSS JOIN destination AS n ON n.id = j.destination"
	    " WHERE j.id > ?1 AND (?2 IS NULL OR n.name = ?2)"
	    " ORDER BY j.id LIMIT ?3", SQL_INT(after), SQL_TEXT(dest),
	    SQL_INT(PAGE_JOBS));
	if (e < 0)
		return e;
	while (p->n < PAGE_JOBS) {
		e = sql_step(st);
		if (e <= 0)
			return e;
		p->names[p->n] = xstrdup(sql_text(st, 1));
		p->texts[p->n] = xstrdup(sql_text(st, 2));
		p->list[p->n] = (struct spool_job){
			.id = sql_u64(st, 0),
			.destination = p->names[p->n],
			.text = p->texts[p->n],
			.since_ms = sqlite3_column_int64(st, 3),
			.sent = sql_u64(st, 4),
		};
		p->n++;
	}
	return 0;
}

/* A page at a time, as all walks: the callback may take as long as it likes. */
int
index_reader_jobs(struct index_reader *r, const char *dest, spool_job_fn *fn,
    void *arg)
{
	struct job_page p AUTO(job_page_clear) = { .n = 0 };
	uint64_t after = 0;
	int e;

	do {
		e = read_jobs(r, dest, after, &p);
		for (size_t i = 0; i < p.n && e == 0; i++) {
			after = p.list[i].id;
			e = fn(arg, &p.list[i]);
		}
	} while (e == 0 && p.n == PAGE_JOBS);
	return e;
}

int
index_reader_note(struct index_reader *r, uint64_t id, const char *dest,
    struct buf *ret)
{
	AUTO_DONE sqlite3_stmt *st = NULL;
	int e;

	e = sql_query(&r->sql, &st, "SELECT t.text FROM note AS t"
	    " WHERE t.instance = ?1 AND t.destination ="
	    " (SELECT id FROM destination WHERE name = ?2)",
	    SQL_INT(id), SQL_TEXT(dest));
	if (e == 0)
		e = sql_step(st);
	if (e <= 0)
		return e < 0 ? e : -ENOENT;
	return buf_add_str(ret, sql_text(st, 0));
}
