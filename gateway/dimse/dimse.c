/* dimse.c - one association from its request to its end: decide, negotiate, then
 * command by command.
 *
 * Commands are read with our own bounded code (dicom/command.h) whatever the
 * transfer syntax of the context is, and are limited to DICOM_COMMAND_MAX. A peer
 * that mixes up contexts, or sends a command where data is due, has lost its way:
 * the association is aborted, since what it sends next cannot be trusted to be
 * what it says. Data that nobody announced is read over.
 *
 * report.c logs one line when an association is accepted or refused and one at its
 * end.
 */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "gateway/base/cleanup.h"
#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/base/metrics.h"
#include "gateway/dimse/callers_int.h"
#include "gateway/dimse/dimse_int.h"

/* ---- messages --------------------------------------------------------------- */

static int __attribute__((format(printf, 2, 3)))
give_up(struct session *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(s->reason, sizeof(s->reason), fmt, ap);
	va_end(ap);
	return -EPROTO;
}

const struct assoc_context *
session_context(const struct session *s, uint8_t id,
    const struct assoc_answer **ret_answer)
{
	for (unsigned i = 0; i < s->request->n_contexts; i++) {
		if (s->request->contexts[i].id != id ||
		    s->negotiation.answers[i].result != ASSOC_ACCEPTED)
			continue;
		if (ret_answer != NULL)
			*ret_answer = &s->negotiation.answers[i];
		return &s->request->contexts[i];
	}
	return NULL;
}

static int
read_fragment(struct session *s, struct assoc_pdv *ret)
{
	int r = assoc_read(s->assoc, true, ret);

	return r == 1 ? give_up(s, "released in the middle of a message") : r;
}

int
session_read_dataset(struct session *s, uint8_t context, session_portion_fn *fn,
    void *arg)
{
	struct assoc_pdv pdv = { 0 };
	int r;

	while (!pdv.last) {
		r = read_fragment(s, &pdv);
		if (r < 0)
			return r;
		if (pdv.command)
			return give_up(s, "a command where a data set was due");
		if (pdv.context != context)
			return give_up(s, "a data set on context %u, its command on "
			    "%u", pdv.context, context);
		if (pdv.len > 0)
			fn(arg, pdv.data, pdv.len);
	}
	return 0;
}

static void
discard_portion(void *arg, const void *data, size_t len)
{
	(void)arg;
	(void)data;
	(void)len;
}

/* Data that no command announced; its first fragment is read. */
static int
skip_unannounced(struct session *s, const struct assoc_pdv *first)
{
	log_debug("data set that was not announced",
	    LOG_U64("assoc", assoc_id(s->assoc)), LOG_U64("context",
	    first->context));
	if (first->last)
		return 0;
	return session_read_dataset(s, first->context, discard_portion, NULL);
}

/* The first fragment of a command: 0, or as assoc_read(). */
static int
read_first(struct session *s, struct assoc_pdv *ret)
{
	int r;

	for (;;) {
		r = assoc_read(s->assoc, false, ret);
		if (r != 0)
			return r;
		if (session_context(s, ret->context, NULL) == NULL)
			return give_up(s, "a message on context %u, which was not "
			    "accepted", ret->context);
		if (ret->command)
			return 0;
		r = skip_unannounced(s, ret);
		if (r < 0)
			return r;
	}
}

/* 0: *ret is set; 1: release; or a negative errno. */
static int
read_command(struct session *s, struct dicom_command *ret, uint8_t *ret_context)
{
	struct buf b AUTO(buf_free) = BUF_INIT(DICOM_COMMAND_MAX);
	struct assoc_pdv pdv;
	uint8_t context;
	int r;

	r = read_first(s, &pdv);
	context = pdv.context;
	while (r == 0) {
		if (!pdv.command || pdv.context != context)
			return give_up(s, "a command that is broken off");
		if (buf_add(&b, pdv.data, pdv.len) < 0)
			return give_up(s, "a command of more than %d bytes",
			    DICOM_COMMAND_MAX);
		if (pdv.last)
			break;
		r = read_fragment(s, &pdv);
	}
	if (r != 0)
		return r;
	*ret_context = context;
	if (dicom_command_parse(b.data, b.len, ret) < 0)
		return give_up(s, "a command set that cannot be read");
	return 0;
}

int
session_respond(struct session *s, uint8_t context,
    const struct dicom_command *rq, struct dicom_command *rsp)
{
	struct buf b AUTO(buf_free) = BUF_INIT(DICOM_COMMAND_MAX);
	int e;

	rsp->field = rq->field | 0x8000;
	rsp->responding_to = rq->message_id;
	rsp->dataset_type = DICOM_DATASET_NONE;
	memcpy(rsp->sop_class, rq->sop_class, sizeof(rsp->sop_class));
	memcpy(rsp->sop_instance, rq->sop_instance, sizeof(rsp->sop_instance));
	e = dicom_command_write(&b, rsp);
	if (e < 0)
		return e;
	return assoc_write(s->assoc, context, true, b.data, b.len);
}

/* ---- services ----------------------------------------------------------------- */

/* The standard lets a cancel come too late; nothing here can be cancelled. */
static int
ignore_cancel(struct session *s, const struct dicom_command *rq, uint8_t context)
{
	(void)s;
	(void)rq;
	(void)context;
	return 0;
}

static const struct {
	uint16_t field;
	int (*serve)(struct session *, const struct dicom_command *, uint8_t);
} services[] = {
	{ DICOM_C_ECHO_RQ, serve_echo },
	{ DICOM_C_STORE_RQ, serve_store },
	{ DICOM_N_EVENT_REPORT_RQ, serve_commitment_report },
	{ DICOM_C_CANCEL_RQ, ignore_cancel },
};

/* PS3.7 C.5.15 */
static int
refuse_operation(struct session *s, const struct dicom_command *rq,
    uint8_t context)
{
	struct dicom_command rsp = { .status = DICOM_STATUS_UNRECOGNIZED };
	int e;

	if ((rq->field & 0x8000) != 0)
		return give_up(s, "a response (%04xH) to nothing that was asked",
		    rq->field);
	if (dicom_command_has_dataset(rq)) {
		e = session_read_dataset(s, context, discard_portion, NULL);
		if (e < 0)
			return e;
	}
	if (s->unserved++ < WARNINGS_LOGGED)
		log_warn("operation is not served",
		    LOG_U64("assoc", assoc_id(s->assoc)),
		    LOG_STR("calling", s->request->calling),
		    LOG_HEX("command", rq->field));
	return session_respond(s, context, rq, &rsp);
}

static int
serve_command(struct session *s, const struct dicom_command *rq, uint8_t context)
{
	for (size_t i = 0; i < ARRAY_LEN(services); i++)
		if (services[i].field == rq->field)
			return services[i].serve(s, rq, context);
	return refuse_operation(s, rq, context);
}

/* 0: released. */
static int
serve_session(struct session *s)
{
	struct dicom_command rq;
	uint8_t context = 0;
	int r;

	for (;;) {
		r = read_command(s, &rq, &context);
		if (r == 1)
			return assoc_release(s->assoc);
		if (r == 0)
			r = serve_command(s, &rq, context);
		if (r < 0)
			return r;
	}
}

/* ---- an association ------------------------------------------------------------ */

static const struct config *
take_config(struct dimse *d)
{
	LOCK_SCOPE(&d->mu);
	return config_ref(d->config);
}

/* A slot is taken with the verdict, so that two cannot take the last one. */
static void
decide(struct dimse *d, const struct config *cfg, const struct assoc_request *rq,
    struct policy_verdict *v)
{
	enum spool_space space = spool_space(d->spool);

	policy_judge(cfg, rq, v);
	(void)pthread_mutex_lock(&d->mu);
	policy_limit(cfg, d->running, space, v);
	d->running += v->accept;
	(void)pthread_mutex_unlock(&d->mu);
}

static void
refuse_association(struct dimse *d, struct assoc *a,
    const struct policy_verdict *v)
{
	metric_add(METRIC_ASSOCIATIONS_REFUSED, 1);
	callers_note_call(d->callers, assoc_request(a), v->known, v->why);
	report_refused(d, a, v);
	(void)assoc_reject(a, v->result, v->source, v->reason);
}

/* When nothing is accepted the association is accepted all the same, as the
 * standard has it: the answer then tells the peer, context by context, why, where
 * a rejection would only say no. It gets no more than message_timeout to leave. */
static int
accept_association(struct session *s)
{
	const struct policy_verdict *v = &s->verdict;

	negotiate_contexts(s->request, v->peer, v->allow, &s->negotiation);
	assoc_set_max_pdu(s->assoc, v->max_pdu);
	assoc_set_timeouts(s->assoc, v->message_ms,
	    s->negotiation.accepted > 0 ? v->idle_ms : v->message_ms);
	return assoc_accept(s->assoc, s->negotiation.answers);
}

static void
run_session(struct dimse *d, struct session *s)
{
	int r;

	metric_add(METRIC_ASSOCIATIONS, 1);
	callers_note_call(d->callers, s->request, s->verdict.known, NULL);
	r = accept_association(s);
	report_accepted(s);
	if (r == 0)
		r = serve_session(s);
	spool_source_close(s->source);
	s->source = NULL;
	if (r < 0) {
		metric_add(METRIC_ASSOCIATIONS_ABORTED, 1);
		assoc_abort(s->assoc);
	}
	report_ended(s, r);
}

static struct session *
new_session(struct dimse *d, const struct config *cfg, struct assoc *a,
    const struct policy_verdict *v)
{
	struct session *s = xcalloc(1, sizeof(*s));
	LOCK_SCOPE(&d->mu);

	s->dimse = d;
	s->assoc = a;
	s->request = assoc_request(a);
	s->config = cfg;
	s->verdict = *v;
	s->since_ms = clock_wall_ms();
	s->begin_mono_ms = clock_mono_ms();
	TAILQ_INSERT_TAIL(&d->sessions, s, link);
	return s;
}

static void
end_session(struct dimse *d, struct session *s)
{
	(void)pthread_mutex_lock(&d->mu);
	TAILQ_REMOVE(&d->sessions, s, link);
	d->running--;
	(void)pthread_mutex_unlock(&d->mu);
	free(s);
}

void
dimse_serve(void *dimse, struct assoc *a)
{
	struct dimse *d = dimse;
	const struct config *cfg = take_config(d);
	struct policy_verdict v;
	struct session *s;

	decide(d, cfg, assoc_request(a), &v);
	if (v.accept) {
		s = new_session(d, cfg, a, &v);
		run_session(d, s);
		end_session(d, s);
	} else {
		refuse_association(d, a, &v);
	}
	config_unref(cfg);
}

void
dimse_failed(void *dimse, const char *address, bool tls, const char *what)
{
	report_failed(dimse, address, tls, what);
}

/* ---- the whole -------------------------------------------------------------------- */

struct dimse *
dimse_new(struct spool *sp, const struct config *cfg)
{
	struct dimse *d = xcalloc(1, sizeof(*d));

	d->spool = sp;
	d->config = config_ref(cfg);
	d->callers = callers_new();
	(void)pthread_mutex_init(&d->mu, NULL);
	TAILQ_INIT(&d->sessions);
	return d;
}

void
dimse_free(struct dimse *d)
{
	if (d == NULL)
		return;
	assert(d->running == 0);
	config_unref(d->config);
	callers_free(d->callers);
	(void)pthread_mutex_destroy(&d->mu);
	free(d);
}

void
dimse_configure(struct dimse *d, const struct config *cfg)
{
	const struct config *old;

	(void)pthread_mutex_lock(&d->mu);
	old = d->config;
	d->config = config_ref(cfg);
	(void)pthread_mutex_unlock(&d->mu);
	config_unref(old);
}

int
dimse_callers(struct dimse *d, dimse_caller_fn *fn, void *arg)
{
	return callers_walk(d->callers, fn, arg);
}

/* Copies under the lock; the callback may take its time. */
int
dimse_associations(struct dimse *d, dimse_association_fn *fn, void *arg)
{
	AUTO_FREE struct dimse_association *copy = NULL;
	struct session *s;
	size_t n = 0;
	int r = 0;

	(void)pthread_mutex_lock(&d->mu);
	copy = xcalloc(d->running + 1, sizeof(*copy));
	TAILQ_FOREACH(s, &d->sessions, link) {
		struct dimse_association *to = &copy[n++];

		to->id = assoc_id(s->assoc);
		to->since_ms = s->since_ms;
		to->stored = atomic_load(&s->stored);
		to->bytes = atomic_load(&s->bytes);
		memcpy(to->calling, s->request->calling, sizeof(to->calling));
		memcpy(to->address, s->request->address, sizeof(to->address));
	}
	(void)pthread_mutex_unlock(&d->mu);
	for (size_t i = 0; i < n && r == 0; i++)
		r = fn(arg, &copy[i]);
	return r;
}
