/* spool_steps.h - what happens to a stored instance, in few words, for unit tests.
 *
 * A box is opened again, loses its index, or loses what its index was told since
 * remember_index(); each time it must know the same.
 */
#ifndef CW_TESTS_SPOOL_STEPS_H
#define CW_TESTS_SPOOL_STEPS_H

#include <poll.h>

#include "spool/store_int.h"
#include "tests/unit/spool_fixture.h"

#define NO_ROW SPOOL_DELIVERY_STATES

/* With short segments: each start takes another one, each rebuild reads them all. */
static inline int
setup_short(void **state)
{
	struct box *b = calloc(1, sizeof(*b));
	const char *tmp = getenv("TMPDIR");
	struct buf why = BUF_INIT(4096);
	struct store *st;

	(void)snprintf(b->dir, sizeof(b->dir), "%s/spoolXXXXXX",
	    tmp != NULL ? tmp : "/tmp");
	assert_non_null(mkdtemp(b->dir));
	assert_int_equal(store_open(b->dir, 0, 1 << 20, &st, &why), 0);
	store_close(st);
	buf_free(&why);
	open_box(b);
	*state = b;
	return 0;
}

static inline void
run_in(const struct box *b, const char *command)
{
	char cmd[600];

	(void)snprintf(cmd, sizeof(cmd), "cd '%s' && %s", b->dir, command);
	assert_int_equal(system(cmd), 0);
}

static inline void
wait_for_rebuild(struct box *b)
{
	struct spool_stats st = { .rebuilding = true };

	for (unsigned tries = 0; tries < 1000 && st.rebuilding; tries++) {
		assert_int_equal(spool_stats(b->sp, &st), 0);
		if (st.rebuilding)
			(void)poll(NULL, 0, 10);
	}
	assert_false(st.rebuilding);
}

static inline void
lose_index(struct box *b)
{
	spool_close(TAKE_PTR(b->sp));
	run_in(b, "rm index.db*");
	open_box(b);
	wait_for_rebuild(b);
}

static inline void
remember_index(struct box *b)
{
	spool_close(TAKE_PTR(b->sp));
	run_in(b, "mkdir -p old && rm -f old/* && cp index.db* old/");
	open_box(b);
}

static inline void
forget_since(struct box *b)
{
	spool_close(TAKE_PTR(b->sp));
	run_in(b, "rm index.db* && cp old/* .");
	open_box(b);
	wait_for_rebuild(b);
}

/* ---- steps ---- */

static inline void
route_to(struct box *b, uint64_t id, const char *dest)
{
	struct spool_routing r = { id, &dest, dest != NULL };

	assert_int_equal(spool_route(b->sp, &r, 1), 0);
}

static inline uint64_t
owe(struct box *b, const char *study, const char *sop)
{
	uint64_t id = store(b, study, sop, 1000, 1, NULL);

	route_to(b, id, "cloud");
	return id;
}

static inline uint64_t
job_new(struct box *b, const char *text)
{
	uint64_t job = 0;

	assert_int_equal(spool_job_new(b->sp, "cloud", text, &job), 0);
	assert_true(job != 0);
	return job;
}

static inline void
settle_with(struct box *b, uint64_t id, enum spool_delivery state, uint64_t job,
    const char *remote)
{
	struct spool_verdict v = { .id = id, .destination = "cloud",
		.state = state, .reason = state == SPOOL_REFUSED ? "no" : NULL,
		.remote = remote, .job = job };

	assert_int_equal(spool_settle(b->sp, &v, 1), 0);
}

static inline uint64_t
command_to(struct box *b, enum spool_verb verb, uint64_t study, const char *dest,
    const char *reason)
{
	struct spool_command c = { .verb = verb, .study = study,
		.destination = dest, .actor = "alice", .reason = reason };
	uint64_t n = 0;

	assert_int_equal(spool_command(b->sp, &c, &n), 0);
	return n;
}

/* ---- looks ---- */

struct row {
	const char *of;
	enum spool_delivery state;
	char reason[64], actor[64], remote[64];
};

static inline int
take_row(void *arg, const struct spool_delivery_row *d)
{
	struct row *r = arg;

	if (strcmp(d->destination, r->of) != 0)
		return 0;
	r->state = d->state;
	(void)snprintf(r->reason, sizeof(r->reason), "%s", d->reason);
	(void)snprintf(r->actor, sizeof(r->actor), "%s", d->actor);
	(void)snprintf(r->remote, sizeof(r->remote), "%s", d->remote);
	return 0;
}

static inline struct row
row_of(struct box *b, uint64_t id, const char *dest)
{
	struct row r = { .of = dest, .state = NO_ROW };

	assert_int_equal(spool_deliveries(b->sp, id, take_row, &r), 0);
	return r;
}

static inline enum spool_delivery
state_of(struct box *b, uint64_t id)
{
	return row_of(b, id, "cloud").state;
}

static inline int
take_study_id(void *arg, const struct spool_study *s)
{
	*(uint64_t *)arg = s->id;
	return 0;
}

static inline uint64_t
study_of(struct box *b, const char *uid)
{
	struct spool_filter f = { .uid = uid, .state = -1 };
	uint64_t id = 0;

	assert_int_equal(spool_studies(b->sp, &f, take_study_id, &id), 0);
	assert_true(id != 0);
	return id;
}

#define LIST_MAX 64
struct list {
	size_t	 n;
	uint64_t id[LIST_MAX], job[LIST_MAX];
	bool	 check[LIST_MAX];
};

static inline int
list_instance(void *arg, const struct spool_instance *in)
{
	struct list *l = arg;

	assert_true(l->n < LIST_MAX);
	l->check[l->n] = in->check;
	l->job[l->n] = in->job;
	l->id[l->n++] = in->id;
	return 0;
}

static inline struct list
owed_of(struct box *b, const char *study, const char *dest)
{
	struct list l = { 0 };

	assert_int_equal(spool_owed(b->sp, dest, study_of(b, study), 0, 0,
	    list_instance, &l), 0);
	return l;
}

static inline struct list
sent_by(struct box *b, uint64_t job)
{
	struct list l = { 0 };

	assert_int_equal(spool_job_sent(b->sp, job, 0, 0, list_instance, &l), 0);
	return l;
}

#endif
