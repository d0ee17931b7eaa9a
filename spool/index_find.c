/* index_find.c - readers: studies by filter, instances, their deliveries.
 *
 * Rows are read a page at a time and handed out when the statement is reset: a
 * slow callback holds no snapshot, so the log can be emptied behind it, and the
 * callback may call the reader again. Pages are cut by id, so a walk takes up
 * exactly where it was, whatever has been committed meanwhile.
 */
#include <string.h>

#include "spool/index_sql_int.h"

#define PAGE_ROWS 64

/* ---- studies ---- */

#define STUDY_TEXTS 10
#define STUDY                                                                   \
	"SELECT s.uid, h.accession, h.patient_id, h.patient_name, h.study_date," \
	" h.study_description, s.modalities, o.calling, o.called, o.address,"   \
	" s.id, s.priority, s.state, s.held, s.first_ms, s.last_ms, s.series,"  \
	" s.instances, s.bytes, s.pending, s.unrouted, s.kept, s.owed,"         \
	" s.delivered, s.refused, s.let_go"
#define STUDY_JOINS                                                             \
	" CROSS JOIN source AS o ON o.id = s.source"
#define FROM_STUDY                                                              \
	STUDY " FROM study AS s CROSS JOIN study_head AS h ON h.study = s.id"   \
	STUDY_JOINS
#define FROM_HEAD                                                               \
	STUDY " FROM study_head AS h CROSS JOIN study AS s ON s.id = h.study"   \
	STUDY_JOINS

/* ?1 before, ?2 limit, ?3 uid, ?4 accession, ?5 patient id, ?6 calling,
 * ?7 state, ?8 since. The unary plus keeps all but the leading condition from
 * choosing an index. */
#define STUDY_REST                                                              \
	" AND (?3 IS NULL OR +s.uid = ?3)"                                      \
	" AND (?4 IS NULL OR +h.accession = ?4)"                                \
	" AND (?5 IS NULL OR +h.patient_id = ?5)"                               \
	" AND (?6 IS NULL OR o.calling = ?6)"                                   \
	" AND (?7 IS NULL OR +s.state = ?7)"                                    \
	" AND s.last_ms >= ?8"

static const char studies_by_uid[] = FROM_STUDY
    " WHERE s.uid = ?3 AND s.id < ?1" STUDY_REST " ORDER BY s.id DESC LIMIT ?2";
static const char studies_by_accession[] = FROM_HEAD
    " WHERE h.accession = ?4 AND h.study < ?1" STUDY_REST
    " ORDER BY h.study DESC LIMIT ?2";
static const char studies_by_patient[] = FROM_HEAD
    " WHERE h.patient_id = ?5 AND h.study < ?1" STUDY_REST
    " ORDER BY h.study DESC LIMIT ?2";
static const char studies_by_state[] = FROM_STUDY
    " WHERE s.state = ?7 AND s.id < ?1" STUDY_REST
    " ORDER BY s.id DESC LIMIT ?2";
static const char studies_newest[] = FROM_STUDY
    " WHERE s.id < ?1" STUDY_REST " ORDER BY s.id DESC LIMIT ?2";

static const char *
choose_query(const struct spool_filter *f)
{
	if (f->uid != NULL)
		return studies_by_uid;
	if (f->accession != NULL)
		return studies_by_accession;
	if (f->patient_id != NULL)
		return studies_by_patient;
	return f->state >= 0 ? studies_by_state : studies_newest;
}

struct study_page {
	struct spool_study list[PAGE_ROWS];
	char  *texts[PAGE_ROWS];
	size_t n;
};

static void
study_page_clear(struct study_page *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->texts[i]);
	p->n = 0;
}

static void
study_page_free(struct study_page **p)
{
	if (*p != NULL)
		study_page_clear(*p);
	free(*p);
}

/* All texts of a row behind each other in one block, which is returned. */
static char *
copy_texts(sqlite3_stmt *st, const char *ret[static STUDY_TEXTS])
{
	size_t size = 0, at = 0;
	char *block;

	for (int i = 0; i < STUDY_TEXTS; i++)
		size += strlen(sql_text(st, i)) + 1;
	block = xcalloc(1, size);
	for (int i = 0; i < STUDY_TEXTS; i++) {
		size_t len = strlen(sql_text(st, i)) + 1;

		ret[i] = memcpy(block + at, sql_text(st, i), len);
		at += len;
	}
	return block;
}

static void
read_study(sqlite3_stmt *st, struct spool_study *s, char **ret_texts)
{
	const char *t[STUDY_TEXTS];
	int c = STUDY_TEXTS;

	*ret_texts = copy_texts(st, t);
	*s = (struct spool_study){
		.uid = t[0], .accession = t[1], .patient_id = t[2],
		.patient_name = t[3], .study_date = t[4], .description = t[5],
		.modalities = t[6], .calling = t[7], .called = t[8],
		.address = t[9],
	};
	s->id = sql_u64(st, c++);
	s->priority = (enum spool_priority)sqlite3_column_int(st, c++);
	s->state = (enum spool_study_state)sqlite3_column_int(st, c++);
	s->held = sql_bool(st, c++);
	s->first_arrival_ms = sqlite3_column_int64(st, c++);
	s->last_arrival_ms = sqlite3_column_int64(st, c++);
	s->series = sql_u64(st, c++);
	s->instances = sql_u64(st, c++);
	s->bytes = sql_u64(st, c++);
	s->pending = sql_u64(st, c++);
	s->unrouted = sql_u64(st, c++);
	s->kept = sql_u64(st, c++);
	s->owed = sql_u64(st, c++);
	s->delivered = sql_u64(st, c++);
	s->refused = sql_u64(st, c++);
	s->let_go = sql_u64(st, c++);
}

static int
read_studies(struct index_reader *r, const struct spool_filter *f,
    int64_t before, size_t limit, struct study_page *p)
{
	AUTO_DONE sqlite3_stmt *st = NULL;
	struct sql_arg state = SQL_TEXT(NULL);
	int e;

	if (f->state >= 0)
		state = (struct sql_arg)SQL_INT(f->state);
	study_page_clear(p);
	e = sql_query(&r->sql, &st, choose_query(f), SQL_INT(before),
	    SQL_INT(limit), SQL_TEXT(f->uid), SQL_TEXT(f->accession),
	    SQL_TEXT(f->patient_id), SQL_TEXT(f->calling), state,
	    SQL_INT(f->since_ms > 0 ? f->since_ms : INT64_MIN));
	if (e < 0)
		return e;
	while (p->n < PAGE_ROWS) {
		e = sql_step(st);
		if (e <= 0)
			return e;
		read_study(st, &p->list[p->n], &p->texts[p->n]);
		p->n++;
	}
	return 0;
}

int
index_reader_studies(struct index_reader *r, const struct spool_filter *f,
    spool_study_fn *fn, void *arg)
{
	struct study_page *p AUTO(study_page_free) = xcalloc(1, sizeof(*p));
	int64_t before = f->before_id > 0 && f->before_id <= INT64_MAX ?
	    (int64_t)f->before_id : INT64_MAX;
	size_t left = f->limit > 0 ? f->limit : SIZE_MAX;

	while (left > 0) {
		size_t want = left < PAGE_ROWS ? left : PAGE_ROWS;
		int e = read_studies(r, f, before, want, p);

		for (size_t i = 0; i < p->n && e == 0; i++)
			e = fn(arg, &p->list[i]);
		if (e != 0 || p->n < want)
			return e;
		before = (int64_t)p->list[p->n - 1].id;
		left -= want;
	}
	return 0;
}

int
index_reader_study(struct index_reader *r, uint64_t id, spool_study_fn *fn,
    void *arg)
{
	struct study_page *p AUTO(study_page_free) = xcalloc(1, sizeof(*p));
	struct spool_filter any = { .state = -1 };
	int e;

	if (id >= INT64_MAX)
		return -ENOENT;
	e = read_studies(r, &any, (int64_t)id + 1, 1, p);
	if (e < 0)
		return e;
	if (p->n == 0 || p->list[0].id != id)
		return -ENOENT;
	return fn != NULL ? fn(arg, &p->list[0]) : 0;
}

/* ---- instances ---- */

void
instance_read(sqlite3_stmt *st, struct spool_instance *in)
{
	*in = (struct spool_instance){
		.id = sql_u64(st, 0),
		.study = sql_u64(st, 1),
		.version = (unsigned)sql_u64(st, 2),
		.priority = (enum spool_priority)sqlite3_column_int(st, 12),
		.length = sql_u64(st, 13),
		.arrived_ms = sqlite3_column_int64(st, 14),
		.kept = sql_bool(st, 15),
		.damaged = sql_bool(st, 16),
		.routed = sql_null(st, 17),
		.unrouted = sqlite3_column_int(st, 17) == 1,
	};
	sql_copy(st, 3, in->sop_class, sizeof(in->sop_class));
	sql_copy(st, 4, in->sop_instance, sizeof(in->sop_instance));
	sql_copy(st, 5, in->study_uid, sizeof(in->study_uid));
	sql_copy(st, 6, in->series_uid, sizeof(in->series_uid));
	sql_copy(st, 7, in->syntax, sizeof(in->syntax));
	sql_copy(st, 8, in->modality, sizeof(in->modality));
	sql_copy(st, 9, in->origin.calling, sizeof(in->origin.calling));
	sql_copy(st, 10, in->origin.called, sizeof(in->origin.called));
	sql_copy(st, 11, in->origin.address, sizeof(in->origin.address));
}

#define INSTANCE                                                                \
	"SELECT" INSTANCE_COLUMNS ", i.must_check, 0, 0, 0, i.segment,"         \
	" i.offset, i.checksum FROM instance AS i" INSTANCE_JOINS
#define INSTANCE_THERE                                                          \
	"SELECT" INSTANCE_COLUMNS ", d.must_check, d.replacing, d.job,"         \
	" EXISTS (SELECT 1 FROM instance AS l WHERE l.uid = i.uid"              \
	"  AND l.version > i.version)"                                          \
	" FROM delivery AS d CROSS JOIN instance AS i ON i.id = d.instance"     \
	INSTANCE_JOINS

static const char instances_of_study[] = INSTANCE
    " WHERE i.study = ?1 AND i.id > ?2 ORDER BY i.id LIMIT ?3";
static const char instances_pending[] = INSTANCE
    " WHERE i.todo = 0 AND i.study = ?1 AND i.id > ?2 ORDER BY i.id LIMIT ?3";
/* Versions one at a time (rule 3): an earlier one that is not settled there comes
 * first, a later one that is sent ends first. A first version that need not be
 * asked for has been owed since before there was a second. */
static const char instance_owed[] = INSTANCE_THERE
    " WHERE d.destination = ?4 AND d.study = ?1 AND d.state = 0"
    " AND d.instance > ?2 AND ((i.version = 1 AND NOT d.must_check)"
    " OR NOT EXISTS (SELECT 1 FROM instance AS e WHERE e.uid = i.uid"
    "   AND ((e.version < i.version AND +e.todo = 0) OR EXISTS"
    "   (SELECT 1 FROM delivery AS x WHERE x.instance = e.id"
    "    AND x.destination = ?4 AND (+x.state = 1"
    "     OR (+x.state = 0 AND e.version < i.version))))))"
    " ORDER BY d.instance LIMIT ?3";
static const char instance_sent[] = INSTANCE_THERE
    " WHERE d.job = ?1 AND d.instance > ?2 ORDER BY d.instance LIMIT ?3";

static int
read_instances(struct sql *q, const char *text, const struct sql_arg *args,
    struct spool_instance *page, size_t *ret_n)
{
	AUTO_DONE sqlite3_stmt *st = NULL;
	int r;

	*ret_n = 0;
	r = sql_query_args(q, &st, text, args);
	if (r < 0)
		return r;
	while (*ret_n < PAGE_ROWS) {
		r = sql_step(st);
		if (r <= 0)
			return r;
		instance_read(st, &page[*ret_n]);
		page[*ret_n].check = sql_bool(st, INSTANCE_COLUMN_COUNT);
		page[*ret_n].replacing = sql_bool(st, INSTANCE_COLUMN_COUNT + 1);
		page[*ret_n].job = sql_u64(st, INSTANCE_COLUMN_COUNT + 2);
		page[*ret_n].later = sql_bool(st, INSTANCE_COLUMN_COUNT + 3);
		(*ret_n)++;
	}
	return 0;
}

/* of: a study or a job; extra: the destination, or an end of arguments. */
static int
walk_instances(struct sql *q, const char *text, uint64_t of, uint64_t after,
    size_t limit, struct sql_arg extra, spool_instance_fn *fn, void *arg)
{
	AUTO_FREE struct spool_instance *page =
	    xcalloc(PAGE_ROWS, sizeof(*page));
	size_t left = limit > 0 ? limit : SIZE_MAX;
	size_t n;

	while (left > 0) {
		size_t want = left < PAGE_ROWS ? left : PAGE_ROWS;
		int r = read_instances(q, text, SQL_ARGS(SQL_INT(of),
		    SQL_INT(after), SQL_INT(want), extra), page, &n);

		for (size_t i = 0; i < n && r == 0; i++)
			r = fn(arg, &page[i]);
		if (r != 0 || n < want)
			return r;
		after = page[n - 1].id;
		left -= want;
	}
	return 0;
}

int
index_reader_instances(struct index_reader *r, uint64_t study, uint64_t after,
    bool pending_only, size_t limit, spool_instance_fn *fn, void *arg)
{
	return walk_instances(&r->sql,
	    pending_only ? instances_pending : instances_of_study, study, after,
	    limit, (struct sql_arg){ 0 }, fn, arg);
}

int
index_reader_owed(struct index_reader *r, const char *dest, uint64_t study,
    uint64_t after, size_t limit, spool_instance_fn *fn, void *arg)
{
	int64_t destination;
	int e;

	e = destination_find(&r->sql, dest, false, &destination);
	if (e < 0)
		return e == -ENOENT ? 0 : e;
	return walk_instances(&r->sql, instance_owed, study, after, limit,
	    (struct sql_arg)SQL_INT(destination), fn, arg);
}

int
index_reader_job_sent(struct index_reader *r, uint64_t job, uint64_t after,
    size_t limit, spool_instance_fn *fn, void *arg)
{
	return walk_instances(&r->sql, instance_sent, job, after, limit,
	    (struct sql_arg){ 0 }, fn, arg);
}

int
index_reader_instance(struct index_reader *r, uint64_t id,
    struct spool_instance *ret, struct store_place *ret_place,
    uint8_t ret_checksum[HASH_SIZE])
{
	AUTO_DONE sqlite3_stmt *st = NULL;
	int c = INSTANCE_COLUMN_COUNT;
	int e;

	e = sql_query(&r->sql, &st, INSTANCE " WHERE i.id = ?1", SQL_INT(id));
	if (e == 0)
		e = sql_step(st);
	if (e <= 0)
		return e < 0 ? e : -ENOENT;
	if (sqlite3_column_bytes(st, c + 6) != HASH_SIZE)
		return -EUCLEAN;
	instance_read(st, ret);
	ret->check = sql_bool(st, c);
	if (ret_place != NULL)
		*ret_place = (struct store_place){ sql_u64(st, c + 4),
		    sql_u64(st, c + 5) };
	if (ret_checksum != NULL)
		memcpy(ret_checksum, sqlite3_column_blob(st, c + 6), HASH_SIZE);
	return 0;
}

/* One row per destination: few enough to be read while the statement runs. */
int
index_reader_deliveries(struct index_reader *r, uint64_t id,
    spool_delivery_fn *fn, void *arg)
{
	AUTO_DONE sqlite3_stmt *st = NULL;
	int e;

	e = sql_query(&r->sql, &st, "SELECT n.name, d.state, d.since_ms,"
	    " d.reason, d.actor, d.remote FROM delivery AS d"
	    " CROSS JOIN destination AS n ON n.id = d.destination"
	    " WHERE d.instance = ?1 ORDER BY d.destination", SQL_INT(id));
	while (e == 0) {
		e = sql_step(st);
		if (e <= 0)
			return e;
		e = fn(arg, &(struct spool_delivery_row){
			.destination = sql_text(st, 0),
			.state = (enum spool_delivery)sqlite3_column_int(st, 1),
			.since_ms = sqlite3_column_int64(st, 2),
			.reason = sql_text(st, 3),
			.actor = sql_text(st, 4),
			.remote = sql_text(st, 5),
		});
	}
	return e;
}
