/* index_fixture.h - an index in a directory of its own, arrivals made of few
 * words, and a recount of every counter by SQL.
 */
#ifndef CW_TEST_INDEX_FIXTURE_H
#define CW_TEST_INDEX_FIXTURE_H

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/base/cleanup.h"
#include "spool/index_sql_int.h"

struct fixture {
	char	      dir[64];
	struct index *ix;
	struct index_reader *r;
};

static const uint8_t fixture_uuid[SPOOL_UUID] = "sixteen bytes..";

static inline void
fixture_open(struct fixture *f)
{
	bool created;

	assert_int_equal(index_open(f->dir, fixture_uuid, &f->ix, &created,
	    NULL), 0);
	assert_int_equal(index_reader_open(f->dir, &f->r), 0);
}

static inline void
fixture_close(struct fixture *f)
{
	index_reader_close(TAKE_PTR(f->r));
	index_close(TAKE_PTR(f->ix));
}

static inline int
fixture_setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/causeway-index-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	fixture_open(f);
	*state = f;
	return 0;
}

static inline int
fixture_teardown(void **state)
{
	struct fixture *f = *state;
	AUTO_FREE char *rm = xasprintf("rm -rf %s", f->dir);

	fixture_close(f);
	assert_int_equal(system(rm), 0);
	free(f);
	return 0;
}

/* ---- arrivals ---- */

struct arrive {
	struct record	   rec;
	struct store_place at;
	struct dicom_head  head;
	bool		   check;
	uint64_t	   study;	/* answers */
	unsigned	   version;
};

static inline void
head_put(struct dicom_head *h, enum dicom_head_id id, const void *value,
    size_t len)
{
	assert_true(h->used + len + 1 <= sizeof(h->arena));
	h->at[id] = h->used;
	h->len[id] = (uint16_t)len;
	h->present[id] = true;
	memcpy(h->arena + h->used, value, len);
	h->arena[h->used + len] = '\0';
	h->used = (uint16_t)(h->used + len + 1);
}

static inline void
head_text(struct dicom_head *h, enum dicom_head_id id, const char *value)
{
	head_put(h, id, value, strlen(value));
}

/* Everything as a CT would send it; study, series and instance are suffixes. */
static inline struct arrive
arrival(uint64_t id, unsigned study, unsigned series, unsigned instance)
{
	struct arrive a = { 0 };
	struct record *r = &a.rec;

	r->id = id;
	r->wall_ms = (int64_t)(1000000 + id);
	r->length = 1000 + id;
	r->segment = 1 + id % 3;
	r->generation = 7;
	a.at = (struct store_place){ r->segment, 4096 * id };
	(void)memcpy(r->checksum, &id, sizeof(id));
	(void)snprintf(r->origin.calling, sizeof(r->origin.calling), "%s",
	    "CT1");
	(void)snprintf(r->origin.called, sizeof(r->origin.called), "%s",
	    "CAUSEWAY");
	(void)snprintf(r->origin.address, sizeof(r->origin.address), "%s",
	    "10.1.2.3");
	(void)snprintf(r->head.sop_class, sizeof(r->head.sop_class), "%s",
	    "1.2.840.10008.5.1.4.1.1.2");
	(void)snprintf(r->head.syntax, sizeof(r->head.syntax), "%s",
	    DICOM_UID_EXPLICIT_LE);
	r->head.priority = SPOOL_NORMAL;
	(void)snprintf(r->study_uid, sizeof(r->study_uid), "1.2.%u", study);
	(void)snprintf(r->series_uid, sizeof(r->series_uid), "1.2.%u.%u", study,
	    series);
	(void)snprintf(r->head.sop_instance, sizeof(r->head.sop_instance),
	    "1.2.%u.%u.%u", study, series, instance);
	head_text(&a.head, DICOM_HEAD_MODALITY, "CT");
	return a;
}

static inline int
arrive_in(struct fixture *f, struct arrive *a, const char *assume)
{
	return index_add(f->ix, &a->rec, &a->at, &a->head, assume, a->check,
	    &a->study, &a->version);
}

/* In a transaction of its own. */
static inline uint64_t
arrive(struct fixture *f, struct arrive a)
{
	assert_int_equal(index_begin(f->ix), 0);
	assert_int_equal(arrive_in(f, &a, ""), 0);
	assert_int_equal(index_commit(f->ix, false), 0);
	return a.study;
}

/* expr in a transaction; returns its value, committed when it is 0. */
#define IN_TRANSACTION(f, expr)                                         \
	({                                                              \
		int in_r_;                                              \
		assert_int_equal(index_begin((f)->ix), 0);              \
		in_r_ = (expr);                                         \
		if (in_r_ == 0)                                         \
			assert_int_equal(index_commit((f)->ix, false), 0); \
		else                                                    \
			index_rollback((f)->ix);                        \
		in_r_;                                                  \
	})

static inline int
route_to(struct fixture *f, uint64_t id, const char *dest)
{
	return IN_TRANSACTION(f, index_route(f->ix, id, &dest, dest != NULL));
}

/* One for each destination. */
static inline uint64_t
job_to(struct fixture *f, const char *dest)
{
	uint64_t job = 7000 + (unsigned char)dest[0];

	assert_int_equal(IN_TRANSACTION(f, index_job_set(f->ix, job, dest, "{}",
	    1)), 0);
	return job;
}

static inline int
deliver(struct fixture *f, uint64_t id, const char *dest,
    enum spool_delivery state, int64_t wall_ms)
{
	uint64_t job = state == SPOOL_SENT ? job_to(f, dest) : 0;

	return IN_TRANSACTION(f, index_deliver(f->ix, &(struct index_verdict){
	    .id = id, .dest = dest, .state = state, .reason = "because",
	    .job = job, .wall_ms = wall_ms }, NULL));
}

/* ---- questions put straight to SQLite ---- */

static inline int64_t
sql_ask(struct fixture *f, const char *text)
{
	sqlite3_stmt *st;
	int64_t n;

	if (sqlite3_prepare_v2(f->ix->sql.db, text, -1, &st, NULL) != SQLITE_OK)
		fail_msg("%s: %s", text, sqlite3_errmsg(f->ix->sql.db));
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	n = sqlite3_column_int64(st, 0);
	(void)sqlite3_finalize(st);
	return n;
}

/* Each counts rows whose counters are not what a count says. */
static const char *const recounts[] = {
	"SELECT count(*) FROM study AS s WHERE"
	" (instances, bytes, kept, kept_bytes, pending, unrouted, damaged) IS NOT"
	" (SELECT count(*), coalesce(sum(length), 0), coalesce(sum(kept), 0),"
	"  coalesce(sum(length * kept), 0), coalesce(sum(todo IS 0), 0),"
	"  coalesce(sum(todo IS 1), 0), coalesce(sum(damaged), 0)"
	"  FROM instance AS i WHERE i.study = s.id)",

	"SELECT count(*) FROM study AS s WHERE (owed, delivered, refused, let_go)"
	" IS NOT (SELECT coalesce(sum(state IN (0, 1)), 0),"
	"  coalesce(sum(state IN (2, 3)), 0), coalesce(sum(state = 4), 0),"
	"  coalesce(sum(state = 5), 0) FROM delivery AS d WHERE d.study = s.id)",

	"SELECT count(*) FROM study AS s WHERE series IS NOT"
	" (SELECT count(*) FROM series AS e WHERE e.study = s.id)",
	"SELECT count(*) FROM study WHERE instances = 0",
	"SELECT count(*) FROM study WHERE id NOT IN (SELECT study FROM study_head)",
	"SELECT count(*) FROM study_head WHERE study NOT IN (SELECT id FROM study)",

	"SELECT count(*) FROM series AS e WHERE instances = 0 OR instances IS NOT"
	" (SELECT count(*) FROM instance AS i WHERE i.series = e.id)",

	"SELECT count(*) FROM segment AS g WHERE (live, live_bytes) IS NOT"
	" (SELECT count(*), coalesce(sum(length), 0) FROM instance AS i"
	"  WHERE i.segment = g.id AND i.kept = 1)",

	"SELECT count(*) FROM destination AS n"
	" WHERE (owed, sent, delivered, warned, refused, let_go, owed_bytes)"
	" IS NOT (SELECT coalesce(sum(state = 0), 0), coalesce(sum(state = 1), 0),"
	"  coalesce(sum(state = 2), 0), coalesce(sum(state = 3), 0),"
	"  coalesce(sum(state = 4), 0), coalesce(sum(state = 5), 0),"
	"  coalesce(sum((state <= 1) * length), 0) FROM delivery AS d"
	"  JOIN instance AS i ON i.id = d.instance WHERE d.destination = n.id)",

	/* The queue, by its table and by its index. */
	"SELECT count(*) FROM study_delivery AS v JOIN study AS s ON s.id = v.study"
	" WHERE v.turn IS NOT CASE WHEN v.owed > 0 AND s.held = 0"
	" THEN s.priority END OR (v.turn IS NOT NULL AND v.source IS NOT s.source)",
	"SELECT (SELECT count(*) FROM study_delivery WHERE turn IS NOT NULL) <>"
	" (SELECT count(*) FROM study_delivery WHERE +turn IS NOT NULL)",

	"SELECT count(*) FROM study_delivery AS v"
	" WHERE (owed, sent, delivered, warned, refused, let_go)"
	" IS NOT (SELECT coalesce(sum(state = 0), 0), coalesce(sum(state = 1), 0),"
	"  coalesce(sum(state = 2), 0), coalesce(sum(state = 3), 0),"
	"  coalesce(sum(state = 4), 0), coalesce(sum(state = 5), 0)"
	"  FROM delivery AS d WHERE d.destination = v.destination"
	"  AND d.study = v.study)",
	"SELECT count(*) FROM delivery AS d WHERE NOT EXISTS (SELECT 1"
	" FROM study_delivery AS v WHERE v.study = d.study"
	" AND v.destination = d.destination)",
	"SELECT count(*) FROM study_delivery"
	" WHERE study NOT IN (SELECT id FROM study)",

	"SELECT count(*) FROM delivery AS d WHERE study IS NOT"
	" (SELECT study FROM instance AS i WHERE i.id = d.instance)",
	"SELECT count(*) FROM delivery AS d WHERE d.again AND (SELECT todo"
	" FROM instance AS i WHERE i.id = d.instance) IS NULL",
	"SELECT count(*) FROM delivery WHERE (must_check OR replacing)"
	" AND state IN (2, 3)",

	/* What is sent is sent by a job that is there, and to its destination. */
	"SELECT count(*) FROM delivery AS d WHERE (state = 1) <> (job IS NOT NULL)",
	"SELECT count(*) FROM delivery AS d WHERE state = 1 AND destination IS NOT"
	" (SELECT destination FROM job AS j WHERE j.id = d.job)",
	"SELECT count(*) FROM note AS t WHERE (SELECT state FROM delivery AS d"
	" WHERE d.instance = t.instance AND d.destination = t.destination)"
	" IS NOT 0",

	/* done: only what is routed and has nothing due; then the last change. */
	"SELECT count(*) FROM instance AS i WHERE done IS NOT (CASE WHEN todo"
	" IS NULL AND (SELECT count(*) FROM delivery AS d WHERE d.instance = i.id"
	" AND state IN (0, 1, 4)) = 0 THEN (SELECT max(since_ms)"
	" FROM delivery AS d WHERE d.instance = i.id) END)",
	/* Routed without a delivery would be owed to nobody for ever. */
	"SELECT count(*) FROM instance AS i WHERE todo IS NULL AND NOT EXISTS"
	" (SELECT 1 FROM delivery AS d WHERE d.instance = i.id)",
	/* What is due has its bytes. */
	"SELECT count(*) FROM instance AS i WHERE kept = 0 AND done IS NULL",
};

static inline void
recount(struct fixture *f)
{
	for (size_t i = 0; i < ARRAY_LEN(recounts); i++) {
		int64_t wrong = sql_ask(f, recounts[i]);

		if (wrong != 0)
			fail_msg("%" PRId64 " rows: %s", wrong, recounts[i]);
	}
}

#endif
