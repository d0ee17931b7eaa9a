/* index_add.c - arrivals: what is known of a UID, and the rows of a new
 * instance.
 *
 * index_add() is the hot path. It looks up names by unique keys, writes one row
 * with five short index entries, and raises four counters in place; the
 * attributes of study and series are written only when they changed.
 */
#include <stdio.h>
#include <string.h>

#include "spool/index_sql_int.h"

/* ---- what is known ---- */

#define KNOWN                                                                   \
	"SELECT i.id, i.version, i.length, i.checksum, y.text, i.kept,"         \
	" i.damaged, i.todo IS NOT NULL OR EXISTS (SELECT 1 FROM delivery AS d" \
	"  WHERE d.instance = i.id AND +d.state <= 1), i.segment, i.offset"     \
	" FROM instance AS i CROSS JOIN uid AS y ON y.id = i.syntax"

static int
read_known(sqlite3_stmt *st, struct index_known *ret)
{
	int r = sql_step(st);

	if (r < 0)
		return r;
	if (r == 0)
		return -ENOENT;
	if (sqlite3_column_bytes(st, 3) != HASH_SIZE)
		return -EUCLEAN;
	ret->id = sql_u64(st, 0);
	ret->version = (unsigned)sql_u64(st, 1);
	ret->length = sql_u64(st, 2);
	memcpy(ret->checksum, sqlite3_column_blob(st, 3), HASH_SIZE);
	sql_copy(st, 4, ret->syntax, sizeof(ret->syntax));
	ret->kept = sql_bool(st, 5);
	ret->damaged = sql_bool(st, 6);
	ret->owed = sql_bool(st, 7);
	ret->place.segment = sql_u64(st, 8);
	ret->place.offset = sql_u64(st, 9);
	return 0;
}

static int
find_latest(struct sql *q, const char *uid, struct index_known *ret)
{
	AUTO_DONE sqlite3_stmt *st = NULL;
	int r;

	r = sql_query(q, &st, KNOWN
	    " WHERE i.uid = ?1 ORDER BY i.version DESC LIMIT 1", SQL_TEXT(uid));
	return r < 0 ? r : read_known(st, ret);
}

static int
find_same(struct sql *q, const char *uid, uint64_t length,
    const uint8_t checksum[static HASH_SIZE], struct index_known *ret)
{
	AUTO_DONE sqlite3_stmt *st = NULL;
	int r;

	r = sql_query(q, &st, KNOWN " WHERE i.uid = ?1 AND i.length = ?2"
	    " AND i.checksum = ?3 ORDER BY i.version DESC LIMIT 1",
	    SQL_TEXT(uid), SQL_INT(length), SQL_BLOB(checksum, HASH_SIZE));
	return r < 0 ? r : read_known(st, ret);
}

int
index_latest(struct index *ix, const char *sop_instance,
    struct index_known *ret)
{
	return find_latest(&ix->sql, sop_instance, ret);
}

int
index_reader_latest(struct index_reader *r, const char *sop_instance,
    struct index_known *ret)
{
	return find_latest(&r->sql, sop_instance, ret);
}

int
index_same(struct index *ix, const char *sop_instance, uint64_t length,
    const uint8_t checksum[static HASH_SIZE], struct index_known *ret)
{
	return find_same(&ix->sql, sop_instance, length, checksum, ret);
}

int
index_reader_same(struct index_reader *r, const char *sop_instance,
    uint64_t length, const uint8_t checksum[static HASH_SIZE],
    struct index_known *ret)
{
	return find_same(&r->sql, sop_instance, length, checksum, ret);
}

/* ---- names ---- */

static int
intern_uid(struct sql *q, const char *text, int64_t *ret)
{
	int r;

	r = sql_number(q, ret, "SELECT id FROM uid WHERE text = ?1",
	    SQL_TEXT(text));
	if (r != -ENOENT)
		return r;
	r = sql_run(q, "INSERT INTO uid (text) VALUES (?1)", SQL_TEXT(text));
	if (r == 0)
		*ret = sqlite3_last_insert_rowid(q->db);
	return r;
}

static int
intern_source(struct sql *q, const struct spool_origin *o, int64_t *ret)
{
	int r;

	r = sql_number(q, ret, "SELECT id FROM source"
	    " WHERE calling = ?1 AND called = ?2 AND address = ?3",
	    SQL_TEXT(o->calling), SQL_TEXT(o->called), SQL_TEXT(o->address));
	if (r != -ENOENT)
		return r;
	r = sql_run(q, "INSERT INTO source (calling, called, address)"
	    " VALUES (?1, ?2, ?3)",
	    SQL_TEXT(o->calling), SQL_TEXT(o->called), SQL_TEXT(o->address));
	if (r == 0)
		*ret = sqlite3_last_insert_rowid(q->db);
	return r;
}

/* ---- study and series ---- */

struct arrival {
	const struct record	*rec;
	const struct dicom_head *head;
	char	charset[HEAD_CHARSET_MAX + 1];
	int64_t study, series, source, sop_class, syntax;
	bool	new_series;
};

/* The row of a study or series by its UID: *ret_digest of what it holds. */
static int
find_row(struct sql *q, int64_t *ret, int64_t *ret_digest, const char *text,
    const struct sql_arg *args)
{
	AUTO_DONE sqlite3_stmt *st = NULL;
	int r;

	r = sql_query_args(q, &st, text, args);
	if (r < 0)
		return r;
	r = sql_step(st);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	*ret = sqlite3_column_int64(st, 0);
	*ret_digest = sqlite3_column_int64(st, 1);
	return 0;
}

static int
insert_study(struct index *ix, struct arrival *a)
{
	int r;

	r = sql_run(&ix->sql, "INSERT INTO study"
	    " (uid, source, priority, first_ms, last_ms)"
	    " VALUES (?1, ?2, ?3, ?4, ?4)",
	    SQL_TEXT(a->rec->study_uid), SQL_INT(a->source),
	    SQL_INT(a->rec->head.priority), SQL_INT(a->rec->wall_ms));
	if (r < 0)
		return r;
	a->study = sqlite3_last_insert_rowid(ix->sql.db);
	return sql_run(&ix->sql, "INSERT INTO study_head (study) VALUES (?1)",
	    SQL_INT(a->study));
}

static int
enter_study(struct index *ix, struct arrival *a)
{
	int64_t digest = head_digest(HEAD_STUDY, a->head, a->charset);
	int64_t stored = 0;
	int r;

	r = find_row(&ix->sql, &a->study, &stored,
	    "SELECT id, digest FROM study WHERE uid = ?1",
	    SQL_ARGS(SQL_TEXT(a->rec->study_uid)));
	if (r == -ENOENT)
		r = insert_study(ix, a);
	if (r < 0 || stored == digest)
		return r;
	r = head_store(ix, HEAD_STUDY, a->study, a->head, a->charset);
	if (r < 0)
		return r;
	return sql_run(&ix->sql, "UPDATE study SET digest = ?2 WHERE id = ?1",
	    SQL_INT(a->study), SQL_INT(digest));
}

static int
insert_series(struct index *ix, struct arrival *a)
{
	int r;

	r = sql_run(&ix->sql, "INSERT INTO series (study, uid)"
	    " VALUES (?1, ?2)", SQL_INT(a->study),
	    SQL_TEXT(a->rec->series_uid));
	if (r < 0)
		return r;
	a->series = sqlite3_last_insert_rowid(ix->sql.db);
	a->new_series = true;
	return 0;
}

#define MODALITIES_MAX 512	/* bytes: a list for people, whatever a peer sends */

static bool
list_has(const char *list, const char *one, size_t len)
{
	for (const char *p = list; *p != '\0'; p += strcspn(p, "\\")) {
		p += *p == '\\';
		if (strcspn(p, "\\") == len && memcmp(p, one, len) == 0)
			return true;
	}
	return false;
}

/* What a series once said stays in the study's list (rule 1: any instance's modality
 * counts), though the row of a mixed series shows the last one. */
static int
add_modality(struct index *ix, int64_t study, const char *modality)
{
	AUTO_DONE sqlite3_stmt *st = NULL;
	char list[MODALITIES_MAX];
	size_t len = strlen(modality), used;
	int r;

	if (len == 0)
		return 0;
	r = sql_query(&ix->sql, &st, "SELECT modalities FROM study WHERE id = ?1",
	    SQL_INT(study));
	if (r == 0)
		r = sql_step(st);
	if (r <= 0)
		return r < 0 ? r : -ENOENT;
	sql_copy(st, 0, list, sizeof(list));
	used = strlen(list);
	if (list_has(list, modality, len) || used + 1 + len >= sizeof(list))
		return 0;
	(void)snprintf(list + used, sizeof(list) - used, "%s%s",
	    used > 0 ? "\\" : "", modality);
	return sql_run(&ix->sql, "UPDATE study SET modalities = ?2 WHERE id = ?1",
	    SQL_INT(study), SQL_TEXT(list));
}

static int
enter_series(struct index *ix, struct arrival *a)
{
	int64_t digest = head_digest(HEAD_SERIES, a->head, a->charset);
	char scratch[40];
	const char *modality;
	int64_t stored = 0;
	int r;

	r = find_row(&ix->sql, &a->series, &stored,
	    "SELECT id, digest FROM series WHERE study = ?1 AND uid = ?2",
	    SQL_ARGS(SQL_INT(a->study), SQL_TEXT(a->rec->series_uid)));
	if (r == -ENOENT)
		r = insert_series(ix, a);
	if (r < 0 || stored == digest)
		return r;
	r = head_store(ix, HEAD_SERIES, a->series, a->head, a->charset);
	if (r == 0)
		r = sql_run(&ix->sql,
		    "UPDATE series SET digest = ?2 WHERE id = ?1",
		    SQL_INT(a->series), SQL_INT(digest));
	modality = head_plain(a->head, DICOM_HEAD_MODALITY, scratch, sizeof(scratch));
	return r < 0 || modality == NULL ? r :
	    add_modality(ix, a->study, modality);
}

/* ---- the instance ---- */

static int
next_version(struct sql *q, const char *uid, int64_t *ret)
{
	int r;

	r = sql_number(q, ret,
	    "SELECT version FROM instance WHERE uid = ?1"
	    " ORDER BY version DESC LIMIT 1", SQL_TEXT(uid));
	if (r == -ENOENT)
		*ret = 0;
	else if (r < 0)
		return r;
	(*ret)++;
	return 0;
}

static int
insert_instance(struct index *ix, const struct arrival *a,
    const struct store_place *place, bool check, int64_t version)
{
	const struct record *rec = a->rec;
	char date[17], time[29], number[17], frames[17], rows[9], columns[9];

	return sql_run(&ix->sql, "INSERT INTO instance (id, study, series, uid,"
	    " version, sop_class, syntax, source, arrived_ms, segment, offset,"
	    " length, checksum, must_check, content_date, content_time,"
	    " instance_number, frames, \"rows\", \"columns\")"
	    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13,"
	    " ?14, ?15, ?16, ?17, ?18, ?19, ?20)",
	    SQL_INT(rec->id), SQL_INT(a->study), SQL_INT(a->series),
	    SQL_TEXT(rec->head.sop_instance), SQL_INT(version),
	    SQL_INT(a->sop_class), SQL_INT(a->syntax), SQL_INT(a->source),
	    SQL_INT(rec->wall_ms), SQL_INT(place->segment),
	    SQL_INT(place->offset), SQL_INT(rec->length),
	    SQL_BLOB(rec->checksum, HASH_SIZE), SQL_INT(check),
#define PLAIN(id, scratch)                                                      \
	SQL_TEXT(head_plain(a->head, DICOM_HEAD_##id, scratch, sizeof(scratch)))
	    PLAIN(CONTENT_DATE, date), PLAIN(CONTENT_TIME, time),
	    PLAIN(INSTANCE_NUMBER, number), PLAIN(FRAMES, frames),
	    PLAIN(ROWS, rows), PLAIN(COLUMNS, columns));
#undef PLAIN
}

/* An operator's word on the priority stands; otherwise the highest counts. */
static int
count_arrival(struct index *ix, const struct arrival *a,
    const struct store_place *place)
{
	const struct record *rec = a->rec;
	int r;

	r = sql_run(&ix->sql, "UPDATE study SET instances = instances + 1,"
	    " pending = pending + 1, kept = kept + 1, bytes = bytes + ?2,"
	    " kept_bytes = kept_bytes + ?2, series = series + ?3,"
	    " source = ?4, first_ms = min(first_ms, ?5),"
	    " last_ms = max(last_ms, ?5), priority = CASE WHEN commanded"
	    " THEN priority ELSE max(priority, ?6) END WHERE id = ?1",
	    SQL_INT(a->study), SQL_INT(rec->length), SQL_INT(a->new_series),
	    SQL_INT(a->source), SQL_INT(rec->wall_ms),
	    SQL_INT(rec->head.priority));
	if (r == 0)
		r = sql_run(&ix->sql, "UPDATE series"
		    " SET instances = instances + 1 WHERE id = ?1",
		    SQL_INT(a->series));
	if (r == 0)
		r = segment_count(ix, place->segment, rec->generation, 1,
		    (int64_t)rec->length);
	return r;
}

int
index_add(struct index *ix, const struct record *rec,
    const struct store_place *place, const struct dicom_head *head,
    const char *assume_charset, bool check, uint64_t *ret_study,
    unsigned *ret_version)
{
	struct arrival a = { .rec = rec, .head = head };
	struct sql *q = &ix->sql;
	int64_t version = 0;
	int r;

	assert_writing(ix);
	assert(rec->id != 0 && rec->id <= INT64_MAX);
	head_charset(head, assume_charset, a.charset);
	r = intern_source(q, &rec->origin, &a.source);
	if (r == 0)
		r = intern_uid(q, rec->head.sop_class, &a.sop_class);
	if (r == 0)
		r = intern_uid(q, rec->head.syntax, &a.syntax);
	if (r == 0)
		r = enter_study(ix, &a);
	if (r == 0)
		r = enter_series(ix, &a);
	if (r == 0)
		r = next_version(q, rec->head.sop_instance, &version);
	if (r == 0)
		r = insert_instance(ix, &a, place, check || version > 1, version);
	if (r == 0)
		r = count_arrival(ix, &a, place);
	if (r < 0)
		return r;
	*ret_study = (uint64_t)a.study;
	*ret_version = (unsigned)version;
	return 0;
}

bool
index_has(struct index *ix, uint64_t id)
{
	int64_t found;

	return sql_number(&ix->sql, &found,
	    "SELECT 1 FROM instance WHERE id = ?1", SQL_INT(id)) == 0;
}
