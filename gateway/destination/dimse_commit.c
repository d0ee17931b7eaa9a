/* dimse_commit.c - storage commitment is asked for (PS3.4 annex J, push model).
 *
 * What was stored is made SENT by a job of the spool before the N-ACTION leaves, so
 * its report finds the job, whenever and on whatever way it comes, after a crash as
 * well. The job's text says when to ask again: a restart asks again for what an
 * earlier process asked, since it cannot know whether its N-ACTION arrived.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "gateway/base/clock.h"
#include "gateway/destination/dimse_int.h"

#define AGAIN_MS    60000	/* after an N-ACTION of which nothing is known */
#define NO_WAIT_MS  (10 * 60 * 1000)	/* reports come by themselves: see there */
#define REPORTS_MAX 100		/* before the answer to an N-ACTION */

/* ---- a job's text --------------------------------------------------------------- */

static void
keep_string(const json_t *from, const char *key, char *dst, size_t size)
{
	const char *s = json_string_value(json_object_get(from, key));

	(void)snprintf(dst, size, "%s", s != NULL ? s : "");
}

int
pacs_job_read(const char *text, struct pacs_job *ret)
{
	json_t *j = json_loads(text, 0, NULL);
	struct pacs_job to = { .tries = 0 };

	keep_string(j, "transaction", to.transaction, sizeof(to.transaction));
	keep_string(j, "earlier", to.earlier, sizeof(to.earlier));
	keep_string(j, "why", to.why, sizeof(to.why));
	to.asked_ms = json_integer_value(json_object_get(j, "asked"));
	to.due_ms = json_integer_value(json_object_get(j, "due"));
	to.tries = (unsigned)json_integer_value(json_object_get(j, "tries"));
	to.missing = json_is_true(json_object_get(j, "missing"));
	json_decref(j);
	if (to.transaction[0] == '\0')
		return -EBADMSG;
	*ret = to;
	return 0;
}

int
pacs_job_write(const struct pacs_job *j, struct buf *b)
{
	json_t *o = json_pack("{s:s, s:I, s:I, s:i}", "transaction", j->transaction,
	    "asked", (json_int_t)j->asked_ms, "due", (json_int_t)j->due_ms, "tries",
	    (int)j->tries);
	char *text;
	int r;

	if (j->earlier[0] != '\0')
		(void)json_object_set_new(o, "earlier", json_string(j->earlier));
	if (j->missing)
		(void)json_object_set_new(o, "missing", json_true());
	if (j->why[0] != '\0')
		(void)json_object_set_new(o, "why", json_string(j->why));
	text = json_dumps(o, JSON_COMPACT | JSON_ENSURE_ASCII);
	json_decref(o);
	if (text == NULL)
		return -ENOMEM;
	r = buf_add_str(b, text);
	free(text);
	return r;
}

/* ---- asking ---------------------------------------------------------------------- */

static void
answer_report(struct pacs_call *c, uint8_t context, const struct dicom_command *rq,
    uint16_t status)
{
	struct dicom_command rsp = { .field = DICOM_N_EVENT_REPORT_RSP,
		.responding_to = rq->message_id, .status = status,
		.dataset_type = DICOM_DATASET_NONE, .event_type = rq->event_type,
		.has_event_type = rq->has_event_type };

	memcpy(rsp.sop_class, rq->sop_class, sizeof(rsp.sop_class));
	memcpy(rsp.sop_instance, rq->sop_instance, sizeof(rsp.sop_instance));
	(void)assoc_send_message(c->a, context, &rsp, NULL, 0);
}

/* On the association that asked. The answer leaves when all is durable. */
static int
take_event(struct pacs_call *c, uint8_t context, const struct dicom_command *rq)
{
	struct buf b AUTO(buf_free) = BUF_INIT(DICOM_COMMITMENT_BYTES);
	struct dicom_commitment report;
	const char *syntax;
	int e;

	if (rq->field != DICOM_N_EVENT_REPORT_RQ || !dicom_command_has_dataset(rq) ||
	    context != pacs_call_commits(c, &syntax))
		return -EPROTO;
	e = assoc_read_dataset(c->a, context, &b);
	if (e < 0 && e != -EMSGSIZE)
		return e;
	if (e == 0)
		e = dicom_commitment_parse(b.data, b.len, dicom_syntax_find(syntax),
		    &report);
	if (e == 0) {
		e = pacs_take_report(c->p->spool, c->p->name, &report);
		dicom_commitment_free(&report);
	}
	answer_report(c, context, rq, e == 0 ? DICOM_STATUS_SUCCESS
					     : DICOM_COMMITMENT_PROCESSING);
	return 0;
}

static int
send_action(struct pacs_call *c, const struct dicom_commitment *list,
    uint16_t *ret_id)
{
	struct buf b AUTO(buf_free) = BUF_INIT(DICOM_COMMITMENT_BYTES);
	struct dicom_command rq = { .field = DICOM_N_ACTION_RQ,
		.message_id = pacs_call_next_id(c),
		.dataset_type = DICOM_DATASET_PRESENT,
		.sop_class = DICOM_UID_COMMITMENT,
		.sop_instance = DICOM_UID_COMMITMENT_INSTANCE,
		.action_type = DICOM_COMMITMENT_ASK, .has_action_type = true };
	const char *syntax;
	uint8_t context = pacs_call_commits(c, &syntax);
	int e;

	*ret_id = rq.message_id;
	e = dicom_commitment_write(&b, list, dicom_syntax_find(syntax));
	return e < 0 ? e
	    : assoc_send_message(c->a, context, &rq, b.data, b.len);
}

int
pacs_ask(struct pacs_call *c, const struct dicom_commitment *list,
    uint16_t *ret_status, char comment[static 80])
{
	struct dicom_command rsp;
	unsigned reports = 0;
	uint8_t context;
	uint16_t id;
	int r;

	r = send_action(c, list, &id);
	while (r == 0) {
		r = assoc_read_command(c->a, true, &rsp, &context);
		if (r == 0 && rsp.field == DICOM_N_ACTION_RSP) {
			/* It may say again what it was asked. */
			struct buf rest AUTO(buf_free) = BUF_INIT(0);

			if (dicom_command_has_dataset(&rsp))
				(void)assoc_read_dataset(c->a, context, &rest);
			*ret_status = rsp.status;
			pacs_print_comment(&rsp, comment);
			return rsp.responding_to == id ? 0 : -EPROTO;
		}
		if (r == 0)
			r = reports++ < REPORTS_MAX ?
			    take_event(c, context, &rsp) : -EPROTO;
	}
	return r == 1 ? -ECONNABORTED : r;
}

int
pacs_read_event(struct pacs_call *c, int64_t deadline_ms)
{
	struct dicom_command rq;
	uint8_t context;
	int r;

	r = assoc_wait(c->a, deadline_ms);
	if (r == 0)
		return 0;
	if (r == 1)
		r = assoc_read_command(c->a, true, &rq, &context);
	if (r == 1)
		(void)assoc_release(c->a);
	else if (r == 0)
		r = take_event(c, context, &rq);
	if (r == 0)
		return 1;
	assoc_close(TAKE_PTR(c->a));
	return r == 1 ? -ECONNABORTED : r;
}

/* Many a PACS reports on an association of its own only, and to wait for it would
 * cost every request commitment_wait: after one wait in vain we stop for a while. */
bool
pacs_await_report(struct pacs_call *c)
{
	int64_t now = clock_mono_ms();
	int r;

	if (c->a == NULL || now < atomic_load(&c->p->no_wait_until_ms))
		return false;
	r = pacs_read_event(c, now + (int64_t)c->p->o->commitment_wait_ms);
	if (r == 0)
		atomic_store(&c->p->no_wait_until_ms, clock_mono_ms() + NO_WAIT_MS);
	return r == 1;
}

/* ---- of a request ---------------------------------------------------------------- */

struct asking {
	struct pacs_call	 *c;
	struct destination_item	**items;	/* those that were stored */
	size_t			  n;
	struct dicom_commitment	  list;
	struct pacs_job		  job;
	uint64_t		  id;
};

static size_t
keep_stored(struct destination_item **items, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++)
		if (items[i]->verdict == DESTINATION_OK ||
		    items[i]->verdict == DESTINATION_WARNED)
			items[kept++] = items[i];
	return kept;
}

int
pacs_list_add(struct dicom_commitment *list, const struct spool_instance *in)
{
	struct dicom_reference r = { .failed = false };

	memcpy(r.sop_class, in->sop_class, sizeof(r.sop_class));
	memcpy(r.sop_instance, in->sop_instance, sizeof(r.sop_instance));
	return dicom_commitment_add(list, &r);
}

static int
make_list(struct asking *k)
{
	int e = dicom_uid_new(k->list.transaction);

	for (size_t i = 0; i < k->n && e == 0; i++)
		e = pacs_list_add(&k->list, &k->items[i]->in);
	memcpy(k->job.transaction, k->list.transaction, sizeof(k->job.transaction));
	return e;
}

/* A warning is kept as the reason of what is sent, and is there again when the report
 * comes. */
static int
settle_sent(struct asking *k)
{
	AUTO_FREE struct spool_verdict *v = xcalloc(k->n, sizeof(*v));

	for (size_t i = 0; i < k->n; i++)
		v[i] = (struct spool_verdict){ .id = k->items[i]->in.id,
			.destination = k->c->p->name, .state = SPOOL_SENT,
			.reason = k->items[i]->verdict == DESTINATION_WARNED
			    ? k->items[i]->reason : NULL,
			.job = k->id };
	return spool_settle(k->c->p->spool, v, k->n);
}

static int
write_job(struct asking *k, bool new)
{
	struct buf b AUTO(buf_free) = BUF_INIT(SPOOL_JOB_TEXT_MAX);
	struct pacs *p = k->c->p;
	int e = pacs_job_write(&k->job, &b);

	if (e < 0)
		return e;
	return new ? spool_job_new(p->spool, p->name, b.data, &k->id)
		   : spool_job_set(p->spool, k->id, b.data);
}

static int
begin_job(struct asking *k)
{
	const struct pacs *p = k->c->p;
	int64_t now = clock_wall_ms();
	int e;

	k->job.asked_ms = now;
	k->job.due_ms = now + (int64_t)(k->c->a != NULL
	    ? p->o->commitment_within_ms : AGAIN_MS);
	e = make_list(k);
	if (e == 0)
		e = write_job(k, true);
	if (e < 0)
		return e;
	e = settle_sent(k);
	if (e < 0)
		(void)spool_job_end(p->spool, k->id);
	return e;
}

/* The PACS took the images but not the question. */
static void
judge_refusal(struct asking *k, uint16_t status, const char *comment)
{
	struct pacs *p = k->c->p;

	(void)spool_job_end(p->spool, k->id);
	if (p->o->commitment == PACS_COMMIT_AUTO)
		return;		/* by its word alone: OK, or WARNED */
	for (size_t i = 0; i < k->n; i++) {
		pacs_settle(k->items[i], DESTINATION_RETRY, "%s stored it but refuses "
		    "storage commitment (%04XH)%s", p->o->ae_title, status,
		    comment);
		k->items[i]->retry_soon = true;
	}
}

static void
ask_now(struct asking *k)
{
	char comment[80];
	uint16_t status;
	int e;

	for (size_t i = 0; i < k->n && k->c->a == NULL; i++)
		k->items[i]->verdict = DESTINATION_SENT;
	if (k->c->a == NULL)
		return;
	e = pacs_ask(k->c, &k->list, &status, comment);
	if (e == 0 && status != DICOM_STATUS_SUCCESS && !pacs_is_warning(status)) {
		judge_refusal(k, status, comment);
		return;
	}
	for (size_t i = 0; i < k->n; i++)
		k->items[i]->verdict = DESTINATION_SENT;
	if (e == 0) {
		(void)pacs_await_report(k->c);
		return;
	}
	/* Nobody knows whether it was taken. */
	assoc_close(TAKE_PTR(k->c->a));
	k->job.due_ms = clock_wall_ms() + AGAIN_MS;
	(void)write_job(k, false);
}

void
pacs_commit(struct pacs_call *c, struct destination_item **items, size_t n)
{
	struct asking k = { .c = c, .items = items, .n = keep_stored(items, n) };
	int e;

	if (k.n == 0)
		return;
	e = begin_job(&k);
	if (e == 0)
		ask_now(&k);
	for (size_t i = 0; i < k.n && e < 0; i++)
		pacs_settle(items[i], DESTINATION_RETRY, "stored, but storage "
		    "commitment cannot be asked for now: %s", e == -EAGAIN
		    ? "the index is being rebuilt" : strerror(-e));
	dicom_commitment_free(&k.list);
}
