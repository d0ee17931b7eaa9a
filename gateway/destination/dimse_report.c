/* dimse_report.c - the reports of storage commitment, on the association that asked or
 * on one that the PACS opened to us.
 *
 * What it committed is delivered. What it cannot ever commit is refused. The rest
 * stays sent, and the job says when to ask again, or that objects are missing and must
 * be sent again: not at once, or a PACS that archives slowly would be sent the same
 * study for ever.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/clock.h"
#include "gateway/destination/dimse_int.h"
#include "gateway/destination/kinds_int.h"

#define AGAIN_LEAST_MS (2 * 60 * 1000)
#define AGAIN_MOST_MS  (60 * 60 * 1000)
#define MISSING_MS     (10 * 60 * 1000)	/* until it is sent again */

/* As often as it has failed, up to an hour. */
int64_t
pacs_again_ms(unsigned tries)
{
	int64_t ms = AGAIN_LEAST_MS;

	while (tries-- > 0 && ms < AGAIN_MOST_MS)
		ms *= 2;
	return ms < AGAIN_MOST_MS ? ms : AGAIN_MOST_MS;
}

/* ---- the job of a transaction ------------------------------------------------------ */

struct search {
	const char	*transaction;
	uint64_t	 id;		/* 0: not found */
	struct pacs_job	 job;
};

static int
look_at_job(void *arg, const struct spool_job *job)
{
	struct search *s = arg;
	struct pacs_job j;

	if (strstr(job->text, s->transaction) == NULL ||
	    pacs_job_read(job->text, &j) < 0)
		return 0;
	if (strcmp(j.transaction, s->transaction) != 0 &&
	    strcmp(j.earlier, s->transaction) != 0)
		return 0;
	s->id = job->id;
	s->job = j;
	return 1;
}

struct members {
	struct spool_instance *v;
	size_t n, size;
};

static int
keep_member(void *arg, const struct spool_instance *in)
{
	struct members *m = arg;

	if (m->n == m->size) {
		m->size = m->size == 0 ? 64 : 2 * m->size;
		m->v = xreallocarray(m->v, m->size, sizeof(*m->v));
	}
	m->v[m->n++] = *in;
	return 0;
}

int
pacs_job_members(struct spool *sp, uint64_t job, struct spool_instance **ret,
    size_t *ret_n)
{
	struct members m = { .n = 0 };
	int r = spool_job_sent(sp, job, 0, PACS_INSTANCES, keep_member, &m);

	if (r < 0) {
		free(m.v);
		return r;
	}
	*ret = m.v;
	*ret_n = m.n;
	return 0;
}

/* ---- what it says of an instance ---------------------------------------------------- */

struct settling {
	struct spool	 *sp;
	const char	 *destination;
	const struct dicom_commitment *report;
	const struct dicom_reference **by_uid;	/* sorted; failed ones first */
	struct search	  found;
	struct spool_verdict *v;
	char		(*reason)[160];
	size_t		  n;		/* verdicts */
	size_t		  open;		/* without one */
};

static int
compare_references(const void *a, const void *b)
{
	const struct dicom_reference *x = *(const struct dicom_reference *const *)a,
	    *y = *(const struct dicom_reference *const *)b;
	int r = strcmp(x->sop_instance, y->sop_instance);

	return r != 0 ? r : (int)y->failed - (int)x->failed;
}

static void
sort_report(struct settling *s)
{
	s->by_uid = xcalloc(s->report->n + 1, sizeof(*s->by_uid));
	for (size_t i = 0; i < s->report->n; i++)
		s->by_uid[i] = &s->report->v[i];
	qsort(s->by_uid, s->report->n, sizeof(*s->by_uid), compare_references);
}

/* The first of its UID: what failed and was committed in one report has failed. */
static const struct dicom_reference *
find_reference(const struct settling *s, const char *uid)
{
	size_t low = 0, high = s->report->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(s->by_uid[middle]->sop_instance, uid) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == s->report->n || strcmp(s->by_uid[low]->sop_instance, uid) != 0)
		return NULL;
	return s->by_uid[low];
}

struct warning {
	const char *destination;
	char	   *text;
	size_t	    size;
};

static int
copy_warning(void *arg, const struct spool_delivery_row *row)
{
	struct warning *w = arg;

	if (row->state == SPOOL_SENT && strcmp(row->destination, w->destination) == 0)
		(void)snprintf(w->text, w->size, "%s", row->reason);
	return 0;
}

bool
pacs_warning(struct spool *sp, const char *destination, uint64_t id, char *text,
    size_t size)
{
	struct warning w = { destination, text, size };

	text[0] = '\0';
	(void)spool_deliveries(sp, id, copy_warning, &w);
	return text[0] != '\0';
}

static void
add_verdict(struct settling *s, const struct spool_instance *in,
    enum spool_delivery state, const char *reason)
{
	s->v[s->n++] = (struct spool_verdict){ .id = in->id,
		.destination = s->destination, .state = state,
		.reason = reason[0] != '\0' ? reason : NULL, .job = s->found.id };
}

static bool
is_final(uint16_t reason)
{
	return reason == DICOM_COMMITMENT_CONFLICT ||
	    reason == DICOM_COMMITMENT_CLASS_UNSUPPORTED;
}

static void
judge_instance(struct settling *s, const struct spool_instance *in)
{
	const struct dicom_reference *r = find_reference(s, in->sop_instance);
	char *reason = s->reason[s->n];

	if (r != NULL && !r->failed) {
		add_verdict(s, in, pacs_warning(s->sp, s->destination, in->id,
		    reason, sizeof(s->reason[0])) ? SPOOL_WARNED
		    : SPOOL_DELIVERED, reason);
		return;
	}
	if (r != NULL && is_final(r->reason)) {
		(void)snprintf(reason, sizeof(s->reason[0]), "storage commitment "
		    "failed: %s (%04XH)", dicom_commitment_words(r->reason),
		    r->reason);
		add_verdict(s, in, SPOOL_REFUSED, reason);
		return;
	}
	s->open++;
	if (r == NULL)
		(void)snprintf(s->found.job.why, sizeof(s->found.job.why),
		    "its report does not name every instance");
	else
		(void)snprintf(s->found.job.why, sizeof(s->found.job.why),
		    "%s (%04XH)", dicom_commitment_words(r->reason), r->reason);
	s->found.job.missing |= r != NULL &&
	    r->reason == DICOM_COMMITMENT_NO_SUCH_OBJECT;
}

/* ---- the whole ----------------------------------------------------------------------- */

static int
put_off(struct settling *s)
{
	struct buf b AUTO(buf_free) = BUF_INIT(SPOOL_JOB_TEXT_MAX);
	struct pacs_job *j = &s->found.job;
	int e;

	j->due_ms = clock_wall_ms() + (j->missing ? MISSING_MS
						 : pacs_again_ms(j->tries));
	j->tries++;
	e = pacs_job_write(j, &b);
	return e < 0 ? e : spool_job_set(s->sp, s->found.id, b.data);
}

static int
settle_members(struct settling *s, const struct spool_instance *in, size_t n)
{
	int e = 0;

	sort_report(s);
	s->v = xcalloc(n + 1, sizeof(*s->v));
	s->reason = xcalloc(n + 1, sizeof(*s->reason));
	for (size_t i = 0; i < n; i++)
		judge_instance(s, &in[i]);
	if (s->n > 0)
		e = spool_settle(s->sp, s->v, s->n);
	if (e == 0)
		e = s->open > 0 ? put_off(s) : spool_job_end(s->sp, s->found.id);
	free(s->v);
	free(s->reason);
	free(s->by_uid);
	/* It came on two ways at once. */
	return e == -ENOENT ? 0 : e;
}

int
pacs_take_report(struct spool *sp, const char *destination,
    const struct dicom_commitment *report)
{
	struct settling s = { .sp = sp, .destination = destination,
		.report = report, .found.transaction = report->transaction };
	AUTO_FREE struct spool_instance *in = NULL;
	size_t n = 0;
	int e;

	if (pacs_hand_to_verify(destination, report))
		return 0;
	e = spool_jobs(sp, destination, look_at_job, &s.found);
	if (e < 0)
		return e;
	if (s.found.id == 0)
		return -ENOENT;
	e = pacs_job_members(sp, s.found.id, &in, &n);
	return e < 0 ? e : settle_members(&s, in, n);
}

/* ---- for whoever listens --------------------------------------------------------------- */

static bool
is_of(const struct config_destination *d, const char *title)
{
	const struct pacs_options *o = d->choice.options;

	return d->choice.kind == &destination_dimse.config &&
	    o->commitment != PACS_COMMIT_NEVER && strcmp(o->ae_title, title) == 0;
}

bool
destination_expects_report(const struct config *cfg, const char *title)
{
	for (size_t i = 0; i < cfg->destinations.n; i++)
		if (is_of(cfg->destinations.v[i], title))
			return true;
	return false;
}

int
destination_take_report(const struct config *cfg, struct spool *sp,
    const char *title, const struct dicom_commitment *report)
{
	int e = -ENOENT;

	for (size_t i = 0; i < cfg->destinations.n && e == -ENOENT; i++) {
		const struct config_destination *d = cfg->destinations.v[i];

		if (is_of(d, title))
			e = pacs_take_report(sp, d->name, report);
	}
	return e;
}
