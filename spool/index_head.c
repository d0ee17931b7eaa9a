/* index_head.c - the attributes of patient, study and series in the index.
 *
 * What the latest arrival has counts; what it lacks stays. The raw bytes of a
 * text are kept only as long as the row's charset is theirs: when an arrival in
 * another character set brings some texts and not others, the others keep their
 * UTF-8 and lose their raw bytes, since nobody could decode them any more.
 *
 * Most arrivals of a study say the same as the one before: a digest of what was
 * last stored saves writing it again.
 */
#include <string.h>

#include "gateway/base/buf.h"
#include "gateway/base/hash.h"
#include "gateway/dicom/charset.h"
#include "spool/index_sql_int.h"

#define TEXT_MAX 8192	/* UTF-8 of the longest value, four times over */
#define SQL_MAX	 16384

enum kind {
	PLAIN,		/* ASCII by its VR */
	TEXT,		/* + raw */
	FOLDED,		/* + raw, fold */
	NAME,		/* + raw, fold of each component group */
};
static const int kind_columns[] = {
	[PLAIN] = 1, [TEXT] = 2, [FOLDED] = 3, [NAME] = 5,
};
static const char *const group_suffix[] = {
	"", "_ideographic", "_phonetic",
};

struct attribute {
	enum dicom_head_id id;
	enum kind	   kind;
};

static const struct attribute study_attributes[] = {
	{ DICOM_HEAD_STUDY_DATE, PLAIN },
	{ DICOM_HEAD_STUDY_TIME, PLAIN },
	{ DICOM_HEAD_ACCESSION, FOLDED },
	{ DICOM_HEAD_REFERRING, NAME },
	{ DICOM_HEAD_STUDY_DESCRIPTION, FOLDED },
	{ DICOM_HEAD_STUDY_ID, TEXT },
	{ DICOM_HEAD_PATIENT_NAME, NAME },
	{ DICOM_HEAD_PATIENT_ID, FOLDED },
	{ DICOM_HEAD_PATIENT_ISSUER, TEXT },
	{ DICOM_HEAD_PATIENT_BIRTH, PLAIN },
	{ DICOM_HEAD_PATIENT_SEX, PLAIN },
};
static const struct attribute series_attributes[] = {
	{ DICOM_HEAD_MODALITY, PLAIN },
	{ DICOM_HEAD_STATION, TEXT },
	{ DICOM_HEAD_SERIES_DESCRIPTION, FOLDED },
	{ DICOM_HEAD_BODY_PART, PLAIN },
	{ DICOM_HEAD_SERIES_NUMBER, PLAIN },
};
static const struct {
	const char *table, *key;
	const struct attribute *list;
	size_t n;
} sets[HEAD_SETS] = {
	[HEAD_STUDY] = { "study_head", "study", study_attributes,
	    ARRAY_LEN(study_attributes) },
	[HEAD_SERIES] = { "series", "id", series_attributes,
	    ARRAY_LEN(series_attributes) },
};

static void
cleanup_statement(sqlite3_stmt **st)
{
	(void)sqlite3_finalize(*st);
}

static const char *
column_name(enum dicom_head_id id)
{
	return dicom_head_spec(id)->column;
}

/* ?p is the text, ?p+1 its raw bytes, ?p+2... its folds; no text: no change. */
static void
add_assignments(struct buf *sql, const struct attribute *a, int p)
{
	const char *name = column_name(a->id);
	int folds = a->kind == NAME ? 3 : a->kind == FOLDED ? 1 : 0;

	(void)buf_printf(sql, ", %s = coalesce(?%d, %s)", name, p, name);
	if (a->kind != PLAIN)
		(void)buf_printf(sql, ", %s_raw = CASE WHEN ?%d IS NOT NULL"
		    " THEN ?%d WHEN charset IS ?2 THEN %s_raw END",
		    name, p, p + 1, name);
	for (int g = 0; g < folds; g++)
		(void)buf_printf(sql, ", %s_fold%s = CASE WHEN ?%d IS NOT NULL"
		    " THEN ?%d ELSE %s_fold%s END", name, group_suffix[g], p,
		    p + 2 + g, name, group_suffix[g]);
}

void
head_init(struct index *ix)
{
	for (int s = 0; s < HEAD_SETS; s++) {
		struct buf sql = BUF_INIT(SQL_MAX);
		int p = 3;

		(void)buf_printf(&sql, "UPDATE %s SET charset = ?2",
		    sets[s].table);
		for (size_t i = 0; i < sets[s].n; i++) {
			add_assignments(&sql, &sets[s].list[i], p);
			p += kind_columns[sets[s].list[i].kind];
		}
		(void)buf_printf(&sql, " WHERE %s = ?1", sets[s].key);
		assert(buf_error(&sql) == 0);
		ix->head_update[s] = buf_take(&sql);
	}
}

const char *
head_plain(const struct dicom_head *head, enum dicom_head_id id, char *scratch,
    size_t size)
{
	size_t len;
	const char *value = dicom_head_get(head, id, &len);

	if (len == 0)
		return NULL;
	if (len >= size)
		len = size - 1;
	for (size_t i = 0; i < len; i++)
		scratch[i] = value[i] >= 0x20 && value[i] < 0x7f ? value[i] : '?';
	scratch[len] = '\0';
	return scratch;
}

void
head_charset(const struct dicom_head *head, const char *assume,
    char ret[HEAD_CHARSET_MAX + 1])
{
	if (assume != NULL && assume[0] != '\0')
		(void)sqlite3_snprintf(HEAD_CHARSET_MAX + 1, ret, "%s", assume);
	else if (head_plain(head, DICOM_HEAD_CHARSET, ret,
	    HEAD_CHARSET_MAX + 1) == NULL)
		ret[0] = '\0';
}

int64_t
head_digest(enum head_set set, const struct dicom_head *head,
    const char *charset)
{
	uint8_t all[DICOM_HEAD_ARENA + HEAD_CHARSET_MAX +
	    2 * (DICOM_HEAD_COUNT + 1)];
	size_t at = strlen(charset) + 1;

	assert(at <= HEAD_CHARSET_MAX + 1);
	memcpy(all, charset, at);
	for (size_t i = 0; i < sets[set].n; i++) {
		size_t len;
		const char *value =
		    dicom_head_get(head, sets[set].list[i].id, &len);

		assert(at + 2 + len <= sizeof(all));
		all[at++] = (uint8_t)len;
		all[at++] = (uint8_t)(len >> 8);
		memcpy(all + at, value, len);
		at += len;
	}
	return (int64_t)hash_seal(all, at, set);
}

/* NUL is legal in UTF-8 and would end the text for everybody who reads it. */
static void
blank_nuls(struct buf *b)
{
	for (size_t i = 0; i < b->len; i++)
		if (b->data[i] == '\0')
			b->data[i] = ' ';
}

static int
bind_text(sqlite3_stmt *st, int p, const char *text, size_t len)
{
	if (len == 0)
		return sql_error(sqlite3_bind_null(st, p));
	return sql_error(
	    sqlite3_bind_text(st, p, text, (int)len, SQLITE_TRANSIENT));
}

static int
bind_fold(sqlite3_stmt *st, int p, const char *text, size_t len)
{
	struct buf fold AUTO(buf_free) = BUF_INIT(TEXT_MAX);
	int r = 0;

	if (len > 0)
		r = dicom_fold(text, len, &fold);
	if (r < 0)
		return r;
	return bind_text(st, p, fold.data, fold.len);
}

/* The folds of one attribute; text is its UTF-8, len 0: it has none. */
static int
bind_folds(sqlite3_stmt *st, int p, enum kind kind, const char *text, size_t len)
{
	int r = 0;

	if (kind == FOLDED)
		return bind_fold(st, p, text, len);
	for (unsigned g = 0; kind == NAME && g < 3 && r == 0; g++) {
		size_t n = 0;
		const char *group =
		    len > 0 ? dicom_name_group(text, len, g, &n) : NULL;

		r = bind_fold(st, p + (int)g, group, n);
	}
	return r;
}

static int
bind_plain(sqlite3_stmt *st, int p, const struct dicom_head *head,
    enum dicom_head_id id)
{
	char scratch[64 + 1];
	const char *text = head_plain(head, id, scratch, sizeof(scratch));

	return bind_text(st, p, text, text != NULL ? strlen(text) : 0);
}

static int
bind_attribute(sqlite3_stmt *st, int p, const struct attribute *a,
    const struct dicom_head *head, const char *charset)
{
	struct buf utf8 AUTO(buf_free) = BUF_INIT(TEXT_MAX);
	const char *raw;
	size_t len;
	int r;

	if (a->kind == PLAIN)
		return bind_plain(st, p, head, a->id);
	raw = dicom_head_get(head, a->id, &len);
	if (len > 0) {
		r = dicom_to_utf8(charset,
		    dicom_dict_vr(dicom_head_spec(a->id)->tag), raw, len, &utf8);
		if (r < 0)
			return r;
		blank_nuls(&utf8);
	}
	r = bind_text(st, p, utf8.data, utf8.len);
	if (r < 0)
		return r;
	r = sql_error(sqlite3_bind_blob(st, p + 1, len > 0 ? raw : NULL,
	    (int)len, SQLITE_STATIC));
	if (r < 0)
		return r;
	return bind_folds(st, p + 2, a->kind, utf8.data, utf8.len);
}

int
head_store(struct index *ix, enum head_set set, int64_t row,
    const struct dicom_head *head, const char *charset)
{
	AUTO_DONE sqlite3_stmt *st = NULL;
	int p = 3;
	int r;

	r = sql_prepare(&ix->sql, ix->head_update[set], &st);
	if (r < 0)
		return r;
	r = sql_error(sqlite3_bind_int64(st, 1, row));
	if (r == 0)
		r = sql_error(sqlite3_bind_text(st, 2, charset, -1,
		    SQLITE_STATIC));
	for (size_t i = 0; i < sets[set].n && r == 0; i++) {
		r = bind_attribute(st, p, &sets[set].list[i], head, charset);
		p += kind_columns[sets[set].list[i].kind];
	}
	if (r < 0)
		return r;
	return sql_step(st);
}

/* One attribute of every row: a row at a time, since rows change on the way. */
static int
refold_attribute(struct sql *q, enum head_set set, const struct attribute *a)
{
	const char *name = column_name(a->id), *key = sets[set].key;
	AUTO_FREE char *get = NULL, *put = NULL;
	sqlite3_stmt *from AUTO(cleanup_statement) = NULL;
	sqlite3_stmt *to AUTO(cleanup_statement) = NULL;
	int64_t row = INT64_MIN;
	int r;

	get = xasprintf("SELECT %s, %s FROM %s WHERE %s > ?1 AND %s IS NOT NULL"
	    " ORDER BY %s LIMIT 1", key, name, sets[set].table, key, name, key);
	put = a->kind == FOLDED ?
	    xasprintf("UPDATE %s SET %s_fold = ?2 WHERE %s = ?1",
	    sets[set].table, name, key) :
	    xasprintf("UPDATE %s SET %s_fold = ?2, %s_fold_ideographic = ?3,"
	    " %s_fold_phonetic = ?4 WHERE %s = ?1",
	    sets[set].table, name, name, name, key);
	r = sql_error(sqlite3_prepare_v2(q->db, get, -1, &from, NULL));
	if (r == 0)
		r = sql_error(sqlite3_prepare_v2(q->db, put, -1, &to, NULL));
	while (r == 0) {
		(void)sqlite3_bind_int64(from, 1, row);
		r = sql_step(from);
		if (r <= 0)
			break;
		row = sqlite3_column_int64(from, 0);
		(void)sqlite3_bind_int64(to, 1, row);
		r = bind_folds(to, 2, a->kind, sql_text(from, 1),
		    strlen(sql_text(from, 1)));
		if (r == 0)
			r = sql_step(to);
		(void)sqlite3_reset(from);
		(void)sqlite3_reset(to);
	}
	return r;
}

int
head_refold(struct index *ix)
{
	for (int s = 0; s < HEAD_SETS; s++)
		for (size_t i = 0; i < sets[s].n; i++) {
			const struct attribute *a = &sets[s].list[i];
			int r = 0;

			if (a->kind == FOLDED || a->kind == NAME)
				r = refold_attribute(&ix->sql, s, a);
			if (r < 0)
				return r;
		}
	return 0;
}
