/* index_facts.c - readers: what routes ask of a study as a whole.
 *
 * Of series there are few. SOP classes are read from every instance, so they are
 * looked at only where a route asks for them.
 */
#include "spool/index_sql_int.h"

struct facts {
	struct sql *sql;
	uint64_t study;
	spool_fact_fn *fn;
	void *arg;
};

static int
tell(const struct facts *f, enum spool_fact fact, const char *text)
{
	return text[0] != '\0' ? f->fn(f->arg, fact, text) : 0;
}

/* The first column is the text. */
static int
read_texts(const struct facts *f, enum spool_fact fact, const char *query)
{
	AUTO_DONE sqlite3_stmt *st = NULL;
	int e;

	e = sql_query(f->sql, &st, query, SQL_INT(f->study));
	while (e == 0) {
		e = sql_step(st);
		if (e <= 0)
			return e;
		e = tell(f, fact, sql_text(st, 0));
	}
	return e;
}

static const struct {
	enum spool_fact fact;
	const char *query;
} queries[] = {
	{ SPOOL_FACT_BODY_PART,
	    "SELECT DISTINCT body_part FROM series WHERE study = ?1" },
	{ SPOOL_FACT_STATION,
	    "SELECT DISTINCT station FROM series WHERE study = ?1" },
	{ SPOOL_FACT_DESCRIPTION,
	    "SELECT study_description FROM study_head WHERE study = ?1" },
	{ SPOOL_FACT_DESCRIPTION,
	    "SELECT DISTINCT series_description FROM series WHERE study = ?1" },
	{ SPOOL_FACT_SOP_CLASS,
	    "SELECT u.text FROM (SELECT DISTINCT i.sop_class AS class"
	    " FROM instance AS i WHERE i.study = ?1) AS c"
	    " CROSS JOIN uid AS u ON u.id = c.class" },
};

int
index_reader_facts(struct index_reader *r, uint64_t study, unsigned wanted,
    spool_fact_fn *fn, void *arg)
{
	struct facts f = { &r->sql, study, fn, arg };
	int e = 0;

	for (size_t i = 0; i < ARRAY_LEN(queries) && e == 0; i++) {
		if (wanted & 1u << queries[i].fact)
			e = read_texts(&f, queries[i].fact, queries[i].query);
	}
	return e;
}
