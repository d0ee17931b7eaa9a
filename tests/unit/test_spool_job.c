/* test_spool_job.c - what is confirmed later: jobs, what they have sent, and notes,
 * through restarts, lost indexes, late answers and operators (invariants 4 to 6).
 */
#include <sys/syscall.h>

#include "spool/spool_int.h"
#include "tests/unit/spool_steps.h"

/* Every sync passes here: the program's definitions go before libc's. */
int fsync(int fd);
int fdatasync(int fd);

static _Atomic unsigned syncs;

int
fsync(int fd)
{
	syncs++;
	return (int)syscall(SYS_fdatasync, fd);
}

int
fdatasync(int fd)
{
	return fsync(fd);
}

struct jobs {
	size_t	 n;
	uint64_t id[8], sent[8];
	int64_t	 since_ms[8];
	char	 text[8][SPOOL_JOB_TEXT_MAX + 1], dest[8][40];
};

static int
list_job(void *arg, const struct spool_job *job)
{
	struct jobs *l = arg;

	assert_true(l->n < 8);
	l->id[l->n] = job->id;
	l->sent[l->n] = job->sent;
	l->since_ms[l->n] = job->since_ms;
	(void)snprintf(l->dest[l->n], sizeof(l->dest[0]), "%s", job->destination);
	(void)snprintf(l->text[l->n++], sizeof(l->text[0]), "%s", job->text);
	return 0;
}

static struct jobs
jobs_of(struct box *b, const char *dest)
{
	struct jobs l = { 0 };

	assert_int_equal(spool_jobs(b->sp, dest, list_job, &l), 0);
	return l;
}

static int
see_debt(void *arg, const struct spool_debt *d)
{
	if (strcmp(d->destination, "cloud") == 0) {
		*(struct spool_debt *)arg = *d;
		((struct spool_debt *)arg)->destination = NULL;
	}
	return 0;
}

static struct spool_debt
debt(struct box *b)
{
	struct spool_debt d = { 0 };

	assert_int_equal(spool_debts(b->sp, see_debt, &d), 0);
	return d;
}

static int
see_progress(void *arg, const struct spool_progress *p)
{
	*(struct spool_progress *)arg = *p;
	return 0;
}

static int
ignore_job(void *arg, const struct spool_job *job)
{
	(void)arg;
	(void)job;
	return 7;
}

/* ---- the life of a job ---- */

static void
a_job_is_made_set_and_ended(void **state)
{
	struct box *b = *state;
	uint64_t one = job_new(b, "{\"phase\":1}"), two = 0, three;
	struct jobs l;

	assert_int_equal(spool_job_new(b->sp, "pacs", "{}", &two), 0);
	assert_true(two > one);
	assert_int_equal(spool_job_set(b->sp, one, "{\"phase\":\"2\\t\"}"), 0);
	l = jobs_of(b, NULL);
	assert_int_equal(l.n, 2);
	assert_int_equal(l.id[0], one);
	assert_string_equal(l.text[0], "{\"phase\":\"2\\t\"}");
	assert_string_equal(l.dest[0], "cloud");
	assert_true(l.since_ms[0] > 0);
	assert_int_equal(l.sent[0], 0);
	assert_string_equal(l.dest[1], "pacs");
	assert_int_equal(jobs_of(b, "pacs").n, 1);
	assert_int_equal(jobs_of(b, "nobody").n, 0);
	assert_int_equal(spool_jobs(b->sp, NULL, ignore_job, NULL), 7);

	assert_int_equal(spool_job_end(b->sp, one), 0);
	assert_int_equal(spool_job_end(b->sp, one), -ENOENT);
	assert_int_equal(spool_job_set(b->sp, one, "{}"), -ENOENT);
	assert_int_equal(jobs_of(b, NULL).n, 1);

	/* Not even when nothing is left that remembers it. */
	lose_index(b);
	assert_int_equal(jobs_of(b, NULL).n, 1);
	three = job_new(b, "{}");
	assert_true(three > two);
	assert_int_equal(three >> 56, 0);
}

static void
a_text_is_printable_and_short(void **state)
{
	struct box *b = *state;
	char text[SPOOL_JOB_TEXT_MAX + 2], name[300];
	uint64_t job = 0;

	memset(text, '\\', sizeof(text));
	text[SPOOL_JOB_TEXT_MAX + 1] = '\0';
	assert_int_equal(spool_job_new(b->sp, "cloud", text, &job), -E2BIG);
	text[SPOOL_JOB_TEXT_MAX] = '\0';
	assert_int_equal(spool_job_new(b->sp, "cloud", text, &job), 0);
	assert_int_equal(spool_job_set(b->sp, job, "caf\xc3\xa9"), -EINVAL);
	assert_int_equal(spool_job_set(b->sp, job, "a\nb"), -EINVAL);
	assert_int_equal(spool_job_new(b->sp, "", "{}", &job), -EINVAL);
	memset(name, 'a', sizeof(name));
	name[256] = '\0';
	assert_int_equal(spool_job_new(b->sp, name, "{}", &job), -EINVAL);

	lose_index(b);
	assert_string_equal(jobs_of(b, NULL).text[0], text);
}

static void
what_is_sent_is_still_owed(void **state)
{
	struct box *b = *state;
	uint64_t a = owe(b, "1.2.1", "1.2.1.1"), c = owe(b, "1.2.1", "1.2.1.2");
	uint64_t job = job_new(b, "{}"), n;
	struct spool_progress p = { 0 };
	struct spool_receipt again;
	struct list l;

	settle_with(b, a, SPOOL_SENT, job, "s3://in/1");
	assert_int_equal(state_of(b, a), SPOOL_SENT);
	assert_string_equal(row_of(b, a, "cloud").remote, "s3://in/1");
	l = sent_by(b, job);
	assert_int_equal(l.n, 1);
	assert_int_equal(l.id[0], a);
	assert_int_equal(l.job[0], job);
	assert_int_equal(jobs_of(b, "cloud").sent[0], 1);

	/* It is not given out again, yet counted (rule 8). */
	l = owed_of(b, "1.2.1", "cloud");
	assert_int_equal(l.n, 1);
	assert_int_equal(l.id[0], c);
	assert_int_equal(l.job[0], 0);
	assert_int_equal(debt(b).owed, 2);
	assert_int_equal(debt(b).sent, 1);
	assert_true(debt(b).oldest_owed_ms > 0);
	assert_int_equal(spool_study_progress(b->sp, study_of(b, "1.2.1"),
	    see_progress, &p), 0);
	assert_int_equal(p.owed, 2);
	assert_int_equal(p.sent, 1);

	/* Rule 2: nothing new; invariant 6: nothing to sweep. */
	assert_int_equal(store(b, "1.2.1", "1.2.1.1", 1000, 1, &again), a);
	assert_int_equal(again.outcome, SPOOL_SAME);
	assert_int_equal(sweep_expunge(b->sp, &a, 1, "", false), 0);
	n = debt(b).owed_bytes;
	assert_true(n > 2000);

	settle_with(b, a, SPOOL_DELIVERED, job, NULL);
	assert_int_equal(state_of(b, a), SPOOL_DELIVERED);
	assert_string_equal(row_of(b, a, "cloud").remote, "s3://in/1");
	assert_int_equal(sent_by(b, job).n, 0);
	assert_int_equal(debt(b).owed, 1);
	assert_int_equal(debt(b).sent, 0);
}

static void
rule_3_a_version_waits_for_what_is_sent(void **state)
{
	struct box *b = *state;
	uint64_t one = owe(b, "1.2.1", "1.2.1.1"), two, job = job_new(b, "{}");
	struct list l;

	two = store(b, "1.2.1", "1.2.1.1", 1000, 2, NULL);
	route_to(b, two, "cloud");
	settle_with(b, one, SPOOL_SENT, job, NULL);
	assert_int_equal(owed_of(b, "1.2.1", "cloud").n, 0);
	reopen(b);
	assert_int_equal(owed_of(b, "1.2.1", "cloud").n, 0);
	settle_with(b, one, SPOOL_DELIVERED, job, NULL);
	l = owed_of(b, "1.2.1", "cloud");
	assert_int_equal(l.n, 1);
	assert_int_equal(l.id[0], two);

	/* And one at a time: the first one, sent again, waits for the second. */
	settle_with(b, two, SPOOL_SENT, job, NULL);
	assert_int_equal(command_to(b, SPOOL_RESEND, study_of(b, "1.2.1"), NULL,
	    NULL), 1);
	assert_int_equal(state_of(b, one), SPOOL_OWED);
	assert_int_equal(state_of(b, two), SPOOL_SENT);
	assert_int_equal(owed_of(b, "1.2.1", "cloud").n, 0);
	settle_with(b, two, SPOOL_DELIVERED, job, NULL);
	l = owed_of(b, "1.2.1", "cloud");
	assert_int_equal(l.n, 1);
	assert_int_equal(l.id[0], one);
	assert_true(l.check[0]);
}

static void
the_end_of_a_job_owes_what_it_had_sent(void **state)
{
	struct box *b = *state;
	uint64_t id[4], job = job_new(b, "{}"), other = job_new(b, "{}");
	struct list l;

	for (unsigned i = 0; i < 4; i++) {
		char sop[16];

		(void)snprintf(sop, sizeof(sop), "1.2.1.%u", i);
		id[i] = owe(b, "1.2.1", sop);
		settle_with(b, id[i], SPOOL_SENT, i == 3 ? other : job, NULL);
	}
	settle_with(b, id[0], SPOOL_WARNED, job, NULL);
	assert_int_equal(spool_job_end(b->sp, job), 0);
	l = owed_of(b, "1.2.1", "cloud");
	assert_int_equal(l.n, 2);
	assert_int_equal(l.id[0], id[1]);
	assert_int_equal(l.id[1], id[2]);
	assert_true(l.check[0] && l.check[1]);
	assert_int_equal(state_of(b, id[0]), SPOOL_WARNED);
	assert_int_equal(state_of(b, id[3]), SPOOL_SENT);
	lose_index(b);
	l = owed_of(b, "1.2.1", "cloud");
	assert_int_equal(l.n, 2);
	assert_true(l.check[0] && l.check[1]);
	assert_int_equal(state_of(b, id[0]), SPOOL_WARNED);
	assert_int_equal(state_of(b, id[3]), SPOOL_SENT);
	assert_int_equal(sent_by(b, other).n, 1);
}

/* Asked again and not known there: the destination itself takes it back. */
static void
a_verdict_owes_again(void **state)
{
	struct box *b = *state;
	uint64_t a = owe(b, "1.2.1", "1.2.1.1"), c = owe(b, "1.2.1", "1.2.1.2");
	uint64_t job = job_new(b, "{}");
	struct list l;

	settle_with(b, a, SPOOL_SENT, job, NULL);
	settle_with(b, a, SPOOL_OWED, job, "left there");
	settle_with(b, c, SPOOL_OWED, 0, NULL);	/* nobody knows: ask */
	for (unsigned round = 0; round < 2; round++) {
		l = owed_of(b, "1.2.1", "cloud");
		assert_int_equal(l.n, 2);
		assert_true(l.check[0] && l.check[1]);
		assert_string_equal(row_of(b, a, "cloud").remote, "left there");
		assert_int_equal(sent_by(b, job).n, 0);
		lose_index(b);
	}
}

/* ---- late answers, operators ---- */

static void
a_late_answer_settles_nothing_of_another_job(void **state)
{
	struct box *b = *state;
	uint64_t id = owe(b, "1.2.1", "1.2.1.1");
	uint64_t old = job_new(b, "{}"), new = job_new(b, "{}");

	settle_with(b, id, SPOOL_DELIVERED, old, NULL);	/* never sent by it */
	assert_int_equal(state_of(b, id), SPOOL_OWED);
	settle_with(b, id, SPOOL_SENT, old, NULL);
	assert_int_equal(spool_job_end(b->sp, old), 0);
	settle_with(b, id, SPOOL_DELIVERED, old, NULL);
	assert_int_equal(state_of(b, id), SPOOL_OWED);
	settle_with(b, id, SPOOL_SENT, new, NULL);
	settle_with(b, id, SPOOL_REFUSED, old, NULL);
	settle_with(b, id, SPOOL_OWED, old, NULL);
	settle_with(b, id, SPOOL_SENT, old, NULL);
	assert_int_equal(state_of(b, id), SPOOL_SENT);
	assert_int_equal(sent_by(b, new).n, 1);
	settle_with(b, id, SPOOL_DELIVERED, new, NULL);
	assert_int_equal(state_of(b, id), SPOOL_DELIVERED);
	settle_with(b, id, SPOOL_OWED, new, NULL);
	settle_with(b, id, SPOOL_SENT, new, NULL);
	assert_int_equal(state_of(b, id), SPOOL_DELIVERED);
}

/* Its end came between the upload and the word of it: the bytes may be there. */
static void
what_an_ended_job_sends_is_asked_for(void **state)
{
	struct box *b = *state;
	uint64_t id = owe(b, "1.2.1", "1.2.1.1"), job = job_new(b, "{}"), alien;
	struct list l;

	assert_int_equal(spool_job_end(b->sp, job), 0);
	settle_with(b, id, SPOOL_SENT, job, NULL);
	assert_int_equal(spool_job_new(b->sp, "pacs", "{}", &alien), 0);
	for (unsigned round = 0; round < 2; round++) {
		l = owed_of(b, "1.2.1", "cloud");
		assert_int_equal(l.n, 1);
		assert_true(l.check[0]);
		settle_with(b, id, SPOOL_SENT, alien, NULL);
		lose_index(b);
	}
}

static void
a_verdict_that_names_no_job_settles_what_is_sent(void **state)
{
	struct box *b = *state;
	uint64_t id = owe(b, "1.2.1", "1.2.1.1"), job = job_new(b, "{}");

	settle_with(b, id, SPOOL_SENT, job, NULL);
	settle_with(b, id, SPOOL_REFUSED, 0, "seen there");
	assert_int_equal(state_of(b, id), SPOOL_REFUSED);
	assert_int_equal(sent_by(b, job).n, 0);
}

static void
operators_and_what_is_sent(void **state)
{
	struct box *b = *state;
	uint64_t a = owe(b, "1.2.1", "1.2.1.1"), c = owe(b, "1.2.2", "1.2.2.1");
	uint64_t job = job_new(b, "{}");
	struct spool_reader *r;

	settle_with(b, a, SPOOL_SENT, job, NULL);
	settle_with(b, c, SPOOL_SENT, job, NULL);
	assert_int_equal(command_to(b, SPOOL_RETRY, study_of(b, "1.2.1"), NULL,
	    NULL), 0);
	assert_int_equal(command_to(b, SPOOL_RESEND, study_of(b, "1.2.1"), "cloud",
	    NULL), 0);
	assert_int_equal(command_to(b, SPOOL_ACCEPT, study_of(b, "1.2.1"), NULL,
	    NULL), 0);
	assert_int_equal(state_of(b, a), SPOOL_SENT);

	assert_int_equal(command_to(b, SPOOL_DROP, study_of(b, "1.2.1"), NULL,
	    NULL), 1);
	assert_int_equal(command_to(b, SPOOL_PURGE, study_of(b, "1.2.2"), NULL,
	    NULL), 1);
	assert_int_equal(spool_reader_open(b->sp, c, &r), -ENOENT);
	settle_with(b, a, SPOOL_REFUSED, job, NULL);
	settle_with(b, c, SPOOL_DELIVERED, job, NULL);
	for (unsigned round = 0; round < 2; round++) {
		assert_int_equal(state_of(b, a), SPOOL_LET_GO);
		assert_int_equal(jobs_of(b, NULL).sent[0], 0);
		lose_index(b);
	}
	/* Let go, then wanted after all: the old job has no say in that. */
	assert_int_equal(command_to(b, SPOOL_RESEND, study_of(b, "1.2.1"), NULL,
	    NULL), 1);
	settle_with(b, a, SPOOL_DELIVERED, job, NULL);
	assert_int_equal(state_of(b, a), SPOOL_OWED);
}

static void
damage_found_late_does_not_undo_what_was_sent(void **state)
{
	struct box *b = *state;
	uint64_t a = owe(b, "1.2.1", "1.2.1.1"), c = owe(b, "1.2.1", "1.2.1.2");
	uint64_t job = job_new(b, "{}");

	settle_with(b, a, SPOOL_SENT, job, NULL);
	assert_int_equal(spool_set_damaged(b->sp, a, "damaged on this disk"), 0);
	assert_int_equal(spool_set_damaged(b->sp, c, "damaged on this disk"), 0);
	assert_int_equal(state_of(b, a), SPOOL_SENT);
	assert_int_equal(state_of(b, c), SPOOL_REFUSED);
	assert_int_equal(spool_job_end(b->sp, job), 0);
	assert_int_equal(spool_set_damaged(b->sp, a, "damaged on this disk"), 0);
	assert_int_equal(state_of(b, a), SPOOL_REFUSED);
}

static void
a_delete_that_is_about_to_be_stays_so(void **state)
{
	struct box *b = *state;
	uint64_t id = owe(b, "1.2.1", "1.2.1.1"), job = job_new(b, "{}");

	assert_int_equal(spool_set_replacing(b->sp, id, "cloud"), 0);
	settle_with(b, id, SPOOL_SENT, job, NULL);
	assert_int_equal(spool_set_replacing(b->sp, id, "cloud"), 0);
	lose_index(b);
	assert_int_equal(state_of(b, id), SPOOL_SENT);
	assert_int_equal(sent_by(b, job).n, 1);
}

/* ---- restarts in every phase ---- */

enum phase { MADE, SET, SENT, PARTLY, SETTLED, SENT_AGAIN, ENDED, PHASES };

struct history {
	uint64_t a, c, job, next;
};

static void
step(struct box *b, struct history *h, enum phase p)
{
	switch (p) {
	case MADE:
		h->job = job_new(b, "made");
		break;
	case SET:
		assert_int_equal(spool_job_set(b->sp, h->job, "set"), 0);
		break;
	case SENT:
		settle_with(b, h->a, SPOOL_SENT, h->job, "A");
		settle_with(b, h->c, SPOOL_SENT, h->job, "C");
		break;
	case PARTLY:
		settle_with(b, h->a, SPOOL_WARNED, h->job, NULL);
		break;
	case SETTLED:
		settle_with(b, h->c, SPOOL_OWED, h->job, NULL);
		h->next = job_new(b, "next");
		break;
	case SENT_AGAIN:
		settle_with(b, h->c, SPOOL_SENT, h->next, "C2");
		assert_int_equal(spool_job_set(b->sp, h->job, "last"), 0);
		break;
	case ENDED:
		assert_int_equal(spool_job_end(b->sp, h->job), 0);
		break;
	case PHASES:
		break;
	}
}

static void
check(struct box *b, const struct history *h, enum phase p)
{
	static const char *const text[] = { "made", "set", "set", "set", "set",
		"last", "next" };
	struct jobs l = jobs_of(b, "cloud");
	struct row a = row_of(b, h->a, "cloud"), c = row_of(b, h->c, "cloud");

	assert_int_equal(l.n, p < SETTLED || p == ENDED ? 1 : 2);
	assert_string_equal(l.text[0], text[p]);
	assert_int_equal(l.id[0], p == ENDED ? h->next : h->job);
	assert_int_equal(l.sent[0], p == SENT ? 2 : p == PARTLY || p == ENDED);
	assert_int_equal(a.state, p < SENT ? SPOOL_OWED : p == SENT ? SPOOL_SENT :
	    SPOOL_WARNED);
	assert_int_equal(c.state, p < SENT || p == SETTLED ? SPOOL_OWED :
	    SPOOL_SENT);
	assert_string_equal(a.remote, p < SENT ? "" : "A");
	assert_string_equal(c.remote, p < SENT ? "" : p < SENT_AGAIN ? "C" : "C2");
	if (p >= SENT_AGAIN) {
		assert_int_equal(sent_by(b, h->next).n, 1);
		assert_int_equal(sent_by(b, h->job).n, 0);
	}
	assert_int_equal(debt(b).owed, p < PARTLY ? 2 : 1);
}

/* Each phase met by each thing that can happen to the index. */
static void
jobs_survive_in_every_phase(void **state)
{
	struct box *b = *state;
	struct history h = { 0 };

	h.a = owe(b, "1.2.1", "1.2.1.1");
	h.c = owe(b, "1.2.1", "1.2.1.2");
	for (enum phase p = MADE; p < PHASES; p++) {
		remember_index(b);
		step(b, &h, p);
		check(b, &h, p);
		reopen(b);
		check(b, &h, p);
		forget_since(b);	/* replayed from where it was */
		check(b, &h, p);
		lose_index(b);		/* replayed from the start */
		check(b, &h, p);
		prune_log(b->sp, 1);
		b->sp->keep.pruned_bytes = 0;
		check(b, &h, p);
		lose_index(b);
		check(b, &h, p);
	}
}

/* The whole log to an index that knows it all: as after a stop while pruning. */
static int
apply_nothing_known(struct spool *sp, void *arg)
{
	(void)arg;
	atomic_store(&sp->replayed, false);
	return index_note_settled(sp->ix, 0);
}

static void
every_line_may_come_a_second_time(void **state)
{
	struct box *b = *state;
	struct history h = { 0 };

	h.a = owe(b, "1.2.1", "1.2.1.1");
	h.c = owe(b, "1.2.1", "1.2.1.2");
	for (enum phase p = MADE; p < PHASES; p++) {
		step(b, &h, p);
		assert_int_equal(commit_run(b->sp, apply_nothing_known, NULL,
		    COMMIT_DURABLE), 0);
		reopen(b);
		check(b, &h, p);
	}
}

static void
a_rebuild_has_no_jobs_to_show(void **state)
{
	struct box *b = *state;
	uint64_t job = job_new(b, "{}");
	struct list l = { 0 };

	atomic_store(&b->sp->rebuilding, true);
	assert_int_equal(spool_jobs(b->sp, NULL, ignore_job, NULL), -EAGAIN);
	assert_int_equal(spool_job_sent(b->sp, job, 0, 0, list_instance, &l),
	    -EAGAIN);
	assert_int_equal(spool_job_set(b->sp, job, "{}"), -EAGAIN);
	assert_int_equal(spool_job_end(b->sp, job), -EAGAIN);
	assert_int_equal(spool_job_new(b->sp, "cloud", "{}", &job), -EAGAIN);
	atomic_store(&b->sp->rebuilding, false);
	assert_int_equal(jobs_of(b, NULL).n, 1);
}

/* Those of a log that lost the job's own line. */
static void
what_an_unknown_job_has_sent_is_owed(void **state)
{
	struct box *b = *state;
	uint64_t id = owe(b, "1.2.1", "1.2.1.1"), job = job_new(b, "{}");
	struct list l;

	settle_with(b, id, SPOOL_SENT, job, NULL);
	spool_close(TAKE_PTR(b->sp));
	run_in(b, "sed -i 's/\tjob\t/\tjab\t/' settle.log && rm index.db*");
	open_box(b);
	wait_for_rebuild(b);
	assert_int_equal(jobs_of(b, NULL).n, 0);
	l = owed_of(b, "1.2.1", "cloud");
	assert_int_equal(l.n, 1);
	assert_true(l.check[0]);
}

/* ---- many at once ---- */

#define MANY 256

static void
sending_many_is_one_commit(void **state)
{
	struct box *b = *state;
	struct spool_verdict v[MANY];
	uint64_t job = job_new(b, "{}");
	struct list page = { 0 };
	uint64_t n = 0;

	for (unsigned i = 0; i < MANY; i++) {
		char sop[16];

		(void)snprintf(sop, sizeof(sop), "1.2.1.%u", i);
		v[i] = (struct spool_verdict){ .id = owe(b, "1.2.1", sop),
			.destination = "cloud", .state = SPOOL_SENT, .job = job,
			.remote = "there" };
	}
	keeper_stop(b->sp);	/* it would sync, too */
	b->sp->keep.stop = false;
	n = syncs;
	assert_int_equal(spool_settle(b->sp, v, MANY), 0);
	assert_int_equal(syncs - n, 1);
	assert_int_equal(jobs_of(b, NULL).sent[0], MANY);
	assert_int_equal(debt(b).sent, MANY);

	/* In pages. */
	assert_int_equal(spool_job_sent(b->sp, job, v[9].id, 40, list_instance,
	    &page), 0);
	assert_int_equal(page.n, 40);
	assert_int_equal(page.id[0], v[10].id);

	for (unsigned i = 0; i < MANY; i++)
		v[i].state = SPOOL_DELIVERED;
	assert_int_equal(spool_settle(b->sp, v, MANY / 2), 0);
	assert_int_equal(spool_job_end(b->sp, job), 0);
	assert_int_equal(debt(b).owed, MANY / 2);
	assert_int_equal(debt(b).delivered, MANY / 2);
	assert_int_equal(debt(b).sent, 0);
}

static void
a_name_that_is_too_long_settles_nothing(void **state)
{
	struct box *b = *state;
	char name[SPOOL_REMOTE_MAX + 2];
	uint64_t id = owe(b, "1.2.1", "1.2.1.1");
	struct spool_verdict v = { .id = id, .destination = "cloud",
		.state = SPOOL_DELIVERED, .remote = name };

	memset(name, '\n', sizeof(name));
	name[SPOOL_REMOTE_MAX + 1] = '\0';
	assert_int_equal(spool_settle(b->sp, &v, 1), -EINVAL);
	assert_int_equal(state_of(b, id), SPOOL_OWED);
	name[SPOOL_REMOTE_MAX] = '\0';
	assert_int_equal(spool_settle(b->sp, &v, 1), 0);
	lose_index(b);
	assert_int_equal(state_of(b, id), SPOOL_DELIVERED);
	assert_int_equal(row_of(b, id, "cloud").remote[62], '\n');
}

/* ---- notes ---- */

static int
note_of(struct box *b, uint64_t id, struct buf *text)
{
	buf_clear(text);
	return spool_note_get(b->sp, id, "cloud", text);
}

static void
a_note_lives_as_long_as_it_is_of_use(void **state)
{
	static const enum spool_delivery ends[] = { SPOOL_DELIVERED, SPOOL_WARNED,
		SPOOL_REFUSED, SPOOL_SENT };
	struct box *b = *state;
	struct buf text = BUF_INIT(SPOOL_NOTE_MAX);
	uint64_t job = job_new(b, "{}"), id;

	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		char sop[16];

		(void)snprintf(sop, sizeof(sop), "1.2.1.%zu", i);
		id = owe(b, "1.2.1", sop);
		assert_int_equal(note_of(b, id, &text), -ENOENT);
		assert_int_equal(spool_note_set(b->sp, id, "cloud", "part 1"), 0);
		assert_int_equal(spool_note_set(b->sp, id, "cloud", "part 2"), 0);
		reopen(b);
		assert_int_equal(note_of(b, id, &text), 0);
		assert_string_equal(text.data, "part 2");
		settle_with(b, id, SPOOL_OWED, 0, NULL);	/* not the end */
		assert_int_equal(note_of(b, id, &text), 0);
		settle_with(b, id, ends[i], ends[i] == SPOOL_SENT ? job : 0, NULL);
		assert_int_equal(note_of(b, id, &text), -ENOENT);
		assert_int_equal(spool_note_set(b->sp, id, "cloud", "late"),
		    -ENOENT);
	}
	buf_free(&text);
}

static void
notes_that_go(void **state)
{
	struct box *b = *state;
	struct buf text = BUF_INIT(SPOOL_NOTE_MAX);
	uint64_t id = owe(b, "1.2.1", "1.2.1.1");
	char *big = malloc(SPOOL_NOTE_MAX + 2);

	memset(big, 'n', SPOOL_NOTE_MAX + 1);
	big[SPOOL_NOTE_MAX + 1] = '\0';
	assert_int_equal(spool_note_set(b->sp, id, "cloud", big), -E2BIG);
	big[SPOOL_NOTE_MAX] = '\0';
	assert_int_equal(spool_note_set(b->sp, id, "cloud", big), 0);
	assert_int_equal(note_of(b, id, &text), 0);
	assert_int_equal(text.len, SPOOL_NOTE_MAX);
	assert_string_equal(text.data, big);
	free(big);
	assert_int_equal(spool_note_set(b->sp, id, "cloud", NULL), 0);
	assert_int_equal(note_of(b, id, &text), -ENOENT);
	assert_int_equal(spool_note_set(b->sp, id, "cloud", NULL), 0);

	assert_int_equal(spool_note_set(b->sp, id, "pacs", "x"), -ENOENT);
	assert_int_equal(spool_note_set(b->sp, id + 99, "cloud", "x"), -ENOENT);
	assert_int_equal(spool_note_set(b->sp, id, "cloud", "x"), 0);
	assert_int_equal(command_to(b, SPOOL_DROP, study_of(b, "1.2.1"), NULL,
	    NULL), 1);
	assert_int_equal(note_of(b, id, &text), -ENOENT);
	assert_int_equal(command_to(b, SPOOL_RESEND, study_of(b, "1.2.1"), NULL,
	    NULL), 1);
	assert_int_equal(note_of(b, id, &text), -ENOENT);
	assert_int_equal(spool_note_set(b->sp, id, "cloud", "x"), 0);
	lose_index(b);
	assert_int_equal(state_of(b, id), SPOOL_OWED);
	assert_int_equal(note_of(b, id, &text), -ENOENT);
	buf_free(&text);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup_short, teardown)
	const struct CMUnitTest tests[] = {
		T(a_job_is_made_set_and_ended),
		T(a_text_is_printable_and_short),
		T(what_is_sent_is_still_owed),
		T(rule_3_a_version_waits_for_what_is_sent),
		T(the_end_of_a_job_owes_what_it_had_sent),
		T(a_verdict_owes_again),
		T(a_late_answer_settles_nothing_of_another_job),
		T(what_an_ended_job_sends_is_asked_for),
		T(a_verdict_that_names_no_job_settles_what_is_sent),
		T(operators_and_what_is_sent),
		T(damage_found_late_does_not_undo_what_was_sent),
		T(a_delete_that_is_about_to_be_stays_so),
		T(jobs_survive_in_every_phase),
		T(every_line_may_come_a_second_time),
		T(a_rebuild_has_no_jobs_to_show),
		T(what_an_unknown_job_has_sent_is_owed),
		T(sending_many_is_one_commit),
		T(a_name_that_is_too_long_settles_nothing),
		T(a_note_lives_as_long_as_it_is_of_use),
		T(notes_that_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
