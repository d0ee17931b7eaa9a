/* index_lists.h - what walks over the index found, for tests to look at. */
#ifndef CW_TEST_INDEX_LISTS_H
#define CW_TEST_INDEX_LISTS_H

#include "tests/unit/index_fixture.h"

#define MAX_SEEN 400

struct seen {
	size_t	 n;
	uint64_t id[MAX_SEEN];
	bool	 check[MAX_SEEN], replacing[MAX_SEEN];
};

static inline int
see_instance(void *arg, const struct spool_instance *in)
{
	struct seen *s = arg;

	assert_true(s->n < MAX_SEEN);
	s->check[s->n] = in->check;
	s->replacing[s->n] = in->replacing;
	s->id[s->n++] = in->id;
	return 0;
}

static inline struct seen
see_owed(struct fixture *f, const char *dest, uint64_t study, uint64_t after,
    size_t limit)
{
	struct seen s = { 0 };

	assert_int_equal(index_reader_owed(f->r, dest, study, after, limit,
	    see_instance, &s), 0);
	return s;
}

struct rows {
	size_t n;
	char   text[8][200];
};

#endif
