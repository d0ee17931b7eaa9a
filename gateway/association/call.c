/* call.c - an association from the side that calls: connect, TLS, A-ASSOCIATE-RQ out,
 * the answer in. What goes wrong on that way is what a site meets on its first day,
 * so it is said in words that name the entry to mend.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gateway/association/assoc_int.h"
#include "gateway/association/connect_int.h"
#include "gateway/association/stream_int.h"
#include "gateway/association/tls_int.h"
#include "gateway/base/cleanup.h"
#include "gateway/base/clock.h"

#define ANSWER_LEAST   4	/* body of an A-ASSOCIATE-RJ and of an A-ABORT */
#define TLS_ALERT      0x15

DEFINE_CLEANUP(struct assoc, assoc_close)

struct calling {
	const struct assoc_call *call;
	struct assoc *a;
	struct buf   *why;
	char name[256];		/* "HOST:PORT" */
};

/* Says it, after HOST:PORT, and returns error. */
static int __attribute__((format(printf, 3, 4)))
fail(struct calling *c, int error, const char *fmt, ...)
{
	va_list ap;

	if (error == -ECANCELED)
		return error;
	(void)buf_printf(c->why, "%s ", c->name);
	va_start(ap, fmt);
	(void)buf_vprintf(c->why, fmt, ap);
	va_end(ap);
	return error;
}

/* ---- TLS --------------------------------------------------------------------- */

static int
explain_tls(struct calling *c, int e)
{
	const char *said = stream_reason(c->a->stream);

	if (e == -ETIMEDOUT)
		return fail(c, e, "does not answer the TLS handshake: is it a port "
		    "for TLS?");
	if (said[0] == '\0' || e == -ECONNRESET)
		return fail(c, -EPROTO, "ends the connection during the TLS "
		    "handshake: is it a port for TLS, and does it want a "
		    "certificate of ours?");
	if (strstr(said, "wrong version number") != NULL ||
	    strstr(said, "packet length") != NULL)
		return fail(c, -EPROTO, "does not speak TLS there: leave `tls` out, "
		    "or name its port for TLS (%s)", said);
	return fail(c, -EPROTO, "TLS: %s", said);
}

static int
shake_hands(struct calling *c)
{
	const struct assoc_call *call = c->call;
	struct assoc_request *rq = &c->a->request;
	int e;

	if (call->tls == NULL)
		return 0;
	e = stream_handshake_client(c->a->stream, call->tls,
	    call->tls_name != NULL ? call->tls_name : call->host);
	if (e < 0)
		return explain_tls(c, e);
	rq->tls_version = stream_tls_version(c->a->stream);
	rq->tls_cipher = stream_tls_cipher(c->a->stream);
	rq->tls_subject = stream_tls_subject(c->a->stream);
	return 0;
}

/* ---- the request --------------------------------------------------------------- */

static int
send_request(struct calling *c)
{
	struct buf b AUTO(buf_free) = BUF_INIT(STREAM_PDU_MAX);
	int e;

	e = pdu_write_request(&b, c->call);
	if (e == 0)
		e = stream_write(c->a->stream, b.data, b.len);
	c->a->state = STATE_REQUESTED;
	return e < 0 ? fail(c, e, "ends the connection before it is asked") : 0;
}

/* ---- the answer ---------------------------------------------------------------- */

static int
explain_silence(struct calling *c, int e)
{
	c->a->state = STATE_ENDED;
	if (e == -ETIMEDOUT)
		return fail(c, e, "takes the connection but does not answer: is it "
		    "a DICOM service%s?", c->call->tls == NULL
		    ? ", and one without TLS" : "");
	return fail(c, e, "ends the connection instead of answering: does it take "
	    "calls from this machine's address%s?%s%s", c->call->tls == NULL
	    ? ", and without TLS" : ", and know our certificate",
	    stream_reason(c->a->stream)[0] != '\0' ? " " : "",
	    stream_reason(c->a->stream));
}

static int
explain_type(struct calling *c, uint8_t type)
{
	if (type == TLS_ALERT && c->call->tls == NULL)
		return fail(c, -EPROTO, "wants TLS: write `tls`, or name its plain "
		    "port");
	return fail(c, -EPROTO, "is no DICOM service: it answers with %02xH", type);
}

static int
take_rejection(struct calling *c, const uint8_t *body)
{
	uint8_t result = body[1], source = body[2], reason = body[3];

	c->a->state = STATE_ENDED;
	(void)buf_printf(c->why, "%s ", c->name);
	pdu_explain_reject(result, source, reason, c->call->calling,
	    c->call->called, c->why);
	return result == ASSOC_REJECT_TRANSIENT ? -EAGAIN : -EACCES;
}

static const struct pdu_role *
find_role(const struct pdu_accept *ac, const char *abstract_syntax)
{
	for (unsigned i = 0; i < ac->n_roles; i++)
		if (strcmp(ac->role[i].abstract_syntax, abstract_syntax) == 0)
			return &ac->role[i];
	return NULL;
}

static bool
is_proposed(const struct assoc_proposal *p, const char *syntax)
{
	for (unsigned i = 0; i < p->n_syntaxes; i++)
		if (strcmp(p->syntaxes[i], syntax) == 0)
			return true;
	return false;
}

/* What is accepted with a syntax that nobody proposed is of no use. */
static struct assoc_answer
judge_context(const struct pdu_accept *ac, const struct assoc_proposal *p,
    uint8_t id)
{
	const struct pdu_accepted *c = &ac->context[id / 2];
	const struct pdu_role *role = find_role(ac, p->abstract_syntax);
	struct assoc_answer to = { .result = ASSOC_NO_REASON };

	if (!c->answered)
		return to;
	if (c->result != ASSOC_ACCEPTED) {
		to.result = c->result <= ASSOC_SYNTAXES_UNSUPPORTED
		    ? (enum assoc_context_result)c->result : ASSOC_NO_REASON;
	} else if (!is_proposed(p, c->syntax)) {
		to.result = ASSOC_SYNTAXES_UNSUPPORTED;
	} else {
		to.result = ASSOC_ACCEPTED;
		to.syntax = c->syntax;
		to.scp_role = p->has_role && p->scp_role && role != NULL &&
		    role->scp;
	}
	return to;
}

static int
take_acceptance(struct calling *c, const uint8_t *pdu, size_t len)
{
	struct assoc_request *rq = &c->a->request;
	struct pdu_accept *ac = c->a->accept;
	const char *why;

	if (pdu_read_accept(pdu, len, ac, &why) < 0) {
		(void)assoc_fail(c->a, -EPROTO, "%s", why);
		return fail(c, -EPROTO, "answers what is not DICOM: %s", why);
	}
	rq->max_pdu = ac->max_pdu;
	memcpy(rq->implementation_uid, ac->implementation_uid,
	    sizeof(rq->implementation_uid));
	memcpy(rq->implementation_version, ac->implementation_version,
	    sizeof(rq->implementation_version));
	for (unsigned i = 0; i < c->call->n_proposals; i++)
		c->a->answers[i] = judge_context(ac, &c->call->proposals[i],
		    assoc_context_id(i));
	c->a->state = STATE_OPEN;
	return 0;
}

static int
take_answer(struct calling *c, const uint8_t *pdu, size_t len)
{
	switch (pdu[0]) {
	case PDU_ASSOCIATE_AC:
		return take_acceptance(c, pdu, len);
	case PDU_ASSOCIATE_RJ:
		return take_rejection(c, pdu + PDU_HEAD);
	default:
		c->a->state = STATE_ENDED;
		return fail(c, -EPROTO, "aborts the association instead of "
		    "answering (source %u, reason %u)", pdu[8], pdu[9]);
	}
}

static int
read_answer(struct calling *c)
{
	struct stream *s = c->a->stream;
	const uint8_t *head;
	size_t len;
	int e;

	/* What is not DICOM may have sent fewer bytes than a head has. */
	e = stream_fill(s, 1);
	if (e < 0)
		return explain_silence(c, e);
	head = stream_peek(s);
	if (head[0] != PDU_ASSOCIATE_AC && head[0] != PDU_ASSOCIATE_RJ &&
	    head[0] != PDU_ABORT)
		return explain_type(c, head[0]);
	e = stream_fill(s, PDU_HEAD);
	if (e < 0)
		return explain_silence(c, e);
	len = pdu_length(stream_peek(s));
	if (len < ANSWER_LEAST || len > PDU_REQUEST_MAX)
		return fail(c, -EPROTO, "answers what is not DICOM: a PDU of %zu "
		    "bytes", len);
	e = stream_fill(s, PDU_HEAD + len);
	if (e < 0)
		return explain_silence(c, e);
	e = take_answer(c, stream_peek(s), PDU_HEAD + len);
	stream_drop(s, PDU_HEAD + len);
	return e;
}

/* ---- the whole --------------------------------------------------------------- */

static struct assoc *
new_assoc(const struct assoc_call *call, int fd, const char *address)
{
	struct stream *s = stream_new(fd, call->cancel_fd);
	struct assoc *a = assoc_new(s, NULL, address, call->port);

	a->calling = true;
	a->max_pdu = call->max_pdu;
	a->message_ms = a->idle_ms = call->message_ms;
	a->accept = xcalloc(1, sizeof(*a->accept));
	(void)snprintf(a->request.calling, sizeof(a->request.calling), "%s",
	    call->calling);
	(void)snprintf(a->request.called, sizeof(a->request.called), "%s",
	    call->called);
	stream_set_cancel(s, 1);
	return a;
}

int
assoc_open(const struct assoc_call *call, struct assoc **ret, struct buf *why)
{
	struct assoc *a AUTO(cleanup_assoc_close) = NULL;
	struct calling c = { .call = call, .why = why };
	char address[48];
	int fd = -1, e;

	assert(call->n_proposals >= 1 &&
	    call->n_proposals <= ASSOC_CONTEXTS_MAX);
	e = connect_host(call->host, call->port,
	    clock_mono_ms() + call->connect_ms, call->cancel_fd, &fd, address, why);
	if (e < 0)
		return e;
	connect_name(call->host, call->port, c.name, sizeof(c.name));
	c.a = a = new_assoc(call, fd, address);
	assoc_start_deadline(a, call->handshake_ms);
	e = shake_hands(&c);
	if (e == 0)
		e = send_request(&c);
	if (e == 0)
		e = read_answer(&c);
	if (e < 0)
		return e;
	*ret = TAKE_PTR(a);
	return 0;
}

const struct assoc_answer *
assoc_answers(const struct assoc *a)
{
	assert(a->calling);
	return a->answers;
}

void
assoc_close(struct assoc *a)
{
	struct stream *s;

	if (a == NULL)
		return;
	assert(a->calling);
	s = a->stream;
	assoc_free(a);
	stream_free(s);
}
