/* dimse_tend.c - storage commitments that wait: asked for again when their time has
 * come, sent again when the PACS says that it lacks them, and shown.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gateway/base/clock.h"
#include "gateway/destination/dimse_int.h"

#define JOBS_AT_ONCE 64
#define LATER_MS     60000	/* when the PACS is not reached */
#define LOOK_MS	     (60 * 60 * 1000)	/* at least so often: the wall clock may jump */

struct due {
	uint64_t	id;
	struct pacs_job job;
};

struct tending {
	struct pacs *p;
	destination_settle_fn *settle;
	void	*arg;
	struct destination_result *ret;
	struct due due[JOBS_AT_ONCE];
	unsigned n;
	int64_t	 now, next;	/* wall */
};

/* Of an earlier process, and not answered: whether the question left is not known. One
 * from the future was asked when the clock was wrong. */
static int64_t
due_time(const struct tending *t, const struct pacs_job *j)
{
	const struct pacs *p = t->p;

	if (p->o->commitment == PACS_COMMIT_NEVER ||
	    j->asked_ms > t->now + LATER_MS)
		return 0;
	return j->asked_ms < p->opened_ms && j->why[0] == '\0' ? 0 : j->due_ms;
}

static int
collect_due(void *arg, const struct spool_job *job)
{
	struct tending *t = arg;
	struct pacs_job j;
	int64_t at;

	/* Of another kind that had this name before: nobody would hear of it. */
	if (pacs_job_read(job->text, &j) < 0) {
		(void)spool_job_end(t->p->spool, job->id);
		return 0;
	}
	at = due_time(t, &j);
	if (at > t->now) {
		t->next = at < t->next ? at : t->next;
		return 0;
	}
	if (t->n == JOBS_AT_ONCE) {
		t->next = t->now;
		return 1;
	}
	t->due[t->n++] = (struct due){ job->id, j };
	return 0;
}

static int
write_job(struct tending *t, const struct due *d)
{
	struct buf b AUTO(buf_free) = BUF_INIT(SPOOL_JOB_TEXT_MAX);
	int e = pacs_job_write(&d->job, &b);

	return e < 0 ? e : spool_job_set(t->p->spool, d->id, b.data);
}

/* The new transaction is known before it leaves; reports of the old one count, too. */
static int
renew_job(struct tending *t, struct due *d, struct dicom_commitment *list)
{
	int e = dicom_uid_new(list->transaction);

	if (e < 0)
		return e;
	memcpy(d->job.earlier, d->job.transaction, sizeof(d->job.earlier));
	memcpy(d->job.transaction, list->transaction, sizeof(d->job.transaction));
	d->job.asked_ms = clock_wall_ms();
	d->job.due_ms = d->job.asked_ms + (int64_t)t->p->o->commitment_within_ms;
	return write_job(t, d);
}

static int
make_list(const struct spool_instance *in, size_t n, struct dicom_commitment *list)
{
	int e = 0;

	for (size_t i = 0; i < n && e == 0; i++)
		e = pacs_list_add(list, &in[i]);
	return e;
}

/* Its C-STOREs were answered with success, and more is asked for only by `required`
 * where the PACS does not commit. What it has reported as failed since is sent again:
 * its word of before counts no more. */
static void
settle_by_word(struct tending *t, const struct due *d, struct spool_instance *in,
    size_t n)
{
	AUTO_FREE struct destination_item *items = xcalloc(n, sizeof(*items));

	if (d->job.why[0] != '\0') {
		(void)spool_job_end(t->p->spool, d->id);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		items[i].in = in[i];
		items[i].verdict = pacs_warning(t->p->spool, t->p->name, in[i].id,
		    items[i].reason, sizeof(items[i].reason))
		    ? DESTINATION_WARNED : DESTINATION_OK;
	}
	if (t->settle(t->arg, d->id, items, n) == 0)
		(void)spool_job_end(t->p->spool, d->id);
}

static void
judge_refusal(struct tending *t, struct due *d, struct spool_instance *in, size_t n,
    const char *why)
{
	if (t->p->o->commitment != PACS_COMMIT_REQUIRED) {
		settle_by_word(t, d, in, n);
		return;
	}
	(void)snprintf(d->job.why, sizeof(d->job.why), "%s", why);
	d->job.due_ms = clock_wall_ms() + pacs_again_ms(d->job.tries++);
	(void)write_job(t, d);
}

static int
ask_again(struct tending *t, struct pacs_call *c, struct due *d,
    struct spool_instance *in, size_t n)
{
	struct dicom_commitment list = { .n = 0 };
	char comment[80], why[120];
	uint16_t status = 0;
	int e;

	if (pacs_call_commits(c, NULL) == 0) {
		judge_refusal(t, d, in, n, "it offers no storage commitment");
		return 0;
	}
	e = make_list(in, n, &list);
	if (e == 0)
		e = renew_job(t, d, &list);
	if (e == 0)
		e = pacs_ask(c, &list, &status, comment);
	dicom_commitment_free(&list);
	if (e == 0 && status != DICOM_STATUS_SUCCESS && !pacs_is_warning(status)) {
		(void)snprintf(why, sizeof(why), "it refuses storage commitment "
		    "(%04XH)%s", status, comment);
		judge_refusal(t, d, in, n, why);
	}
	return e;
}

static int
tend_job(struct tending *t, struct pacs_call *c, struct due *d)
{
	AUTO_FREE struct spool_instance *in = NULL;
	size_t n = 0;
	int e;

	e = pacs_job_members(t->p->spool, d->id, &in, &n);
	if (e < 0)
		return 0;
	if (n == 0)
		(void)spool_job_end(t->p->spool, d->id);
	else if (c == NULL)
		settle_by_word(t, d, in, n);
	else
		return ask_again(t, c, d, in, n);
	return 0;
}

/* What is to be sent again, or is not to be asked for any more, needs no association. */
static void
tend_alone(struct tending *t)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < t->n; i++) {
		if (t->due[i].job.missing)
			(void)spool_job_end(t->p->spool, t->due[i].id);
		else if (t->p->o->commitment == PACS_COMMIT_NEVER)
			(void)tend_job(t, NULL, &t->due[i]);
		else
			t->due[kept++] = t->due[i];
	}
	t->n = kept;
}

static void
tend_jobs(struct tending *t)
{
	AUTO_FREE struct pacs_call *c = xcalloc(1, sizeof(*c));
	int e = 0;

	pacs_call_init(c, t->p, true);
	e = pacs_call_open(c, t->ret);
	for (unsigned i = 0; i < t->n && e == 0; i++) {
		e = pacs_stopped(t->p);
		if (e == 0)
			e = tend_job(t, c, &t->due[i]);
		if (e < 0)
			pacs_call_broke(c, e, "while storage commitment was asked "
			    "for", t->ret);
	}
	for (unsigned i = 0; i < t->n && e == 0 && pacs_await_report(c); i++)
		;
	if (e < 0)
		t->next = t->now + LATER_MS;
	if (c->a != NULL && e < 0)
		assoc_close(TAKE_PTR(c->a));
	pacs_call_end(c);
}

void
pacs_tend(void *self, destination_settle_fn *settle, void *arg,
    struct destination_result *ret, int64_t *ret_next_ms)
{
	AUTO_FREE struct tending *t = xcalloc(1, sizeof(*t));

	t->p = self;
	t->settle = settle;
	t->arg = arg;
	t->ret = ret;
	t->now = clock_wall_ms();
	t->next = INT64_MAX;
	(void)spool_jobs(t->p->spool, t->p->name, collect_due, t);
	tend_alone(t);
	if (t->n > 0)
		tend_jobs(t);
	*ret_next_ms = CLOCK_NEVER;
	if (t->next == INT64_MAX && t->n == 0)
		return;
	if (t->next > t->now + LOOK_MS)
		t->next = t->now + LOOK_MS;
	*ret_next_ms = clock_mono_ms() + (t->next > t->now ? t->next - t->now : 0);
}

/* ---- shown ---------------------------------------------------------------------- */

struct summary {
	uint64_t instances;
	int64_t	 oldest_ms;
	char	 why[120];
};

static int
count_job(void *arg, const struct spool_job *job)
{
	struct summary *s = arg;
	struct pacs_job j;

	s->instances += job->sent;
	if (s->oldest_ms == 0 || job->since_ms < s->oldest_ms)
		s->oldest_ms = job->since_ms;
	if (s->why[0] == '\0' && pacs_job_read(job->text, &j) == 0)
		memcpy(s->why, j.why, sizeof(s->why));
	return 0;
}

void
pacs_describe(void *self, struct buf *words, struct buf *alarm)
{
	const struct pacs *p = self;
	struct summary s = { .instances = 0 };
	char since[32];

	if (spool_jobs(p->spool, p->name, count_job, &s) < 0 || s.oldest_ms == 0)
		return;
	(void)buf_printf(words, "storage commitment of %llu instance%s is awaited, of "
	    "the oldest since %s", (unsigned long long)s.instances,
	    s.instances == 1 ? "" : "s",
	    clock_format(s.oldest_ms, since, sizeof(since)));
	if (s.why[0] != '\0')
		(void)buf_printf(words, "; %s said of some: %s", p->o->ae_title,
		    s.why);
	else if (clock_wall_ms() - s.oldest_ms >
	    (int64_t)p->o->commitment_within_ms)
		(void)buf_printf(alarm, "no report of storage commitment: does %s "
		    "know where %s listens, to report to it? (or say "
		    "`commitment: never`)", p->o->ae_title, p->o->calling);
}
