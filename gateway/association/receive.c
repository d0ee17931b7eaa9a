/* receive.c - an association from the side that is called: the A-ASSOCIATE-RQ in,
 * the answer out.
 *
 * DCMTK sees only a request that passed here: type and length are looked at in the
 * stream's buffer first (see pdu.c), so no length from the wire sizes an allocation
 * and none of its states is left by surprise. It parses the request and builds the
 * answer; everything after that is assoc.c's.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "gateway/association/assoc_int.h"
#include "gateway/association/shim_int.h"
#include "gateway/association/stream_int.h"
#include "gateway/base/cleanup.h"

/* The stream failed, or DCMTK did not like what it read. */
static int
explain_failure(struct assoc *a, int e)
{
	if (stream_error(a->stream) == 0)
		return assoc_fail(a, e, "%s", dul_reason(a->dul));
	return assoc_fail_stream(a, e);
}

static void
copy_trimmed(char *dst, size_t size, const char *src)
{
	if (dicom_trim(src, strlen(src), dst, size) < 0)
		dst[0] = '\0';
}

static void
count_context(void *arg, const struct dul_context *c)
{
	(void)arg;
	(void)c;
}

static void
count_syntax(void *arg, const char *uid)
{
	size_t *n = arg;

	(void)uid;
	(*n)++;
}

static bool
is_proved(const struct assoc *a, const char *abstract_syntax)
{
	for (unsigned i = 0; i < a->extras.n_proved; i++)
		if (strcmp(a->extras.proved[i], abstract_syntax) == 0)
			return true;
	return false;
}

static void
add_context(void *arg, const struct dul_context *c)
{
	struct assoc *a = arg;
	struct assoc_context *to = &a->contexts[a->request.n_contexts];

	assert(a->request.n_contexts < ASSOC_CONTEXTS_MAX);
	a->request.n_contexts++;
	to->id = c->id;
	copy_trimmed(to->abstract_syntax, sizeof(to->abstract_syntax),
	    c->abstract_syntax);
	to->proves_storage = is_proved(a, to->abstract_syntax);
	to->has_role = c->has_role;
	to->scu_role = c->scu;
	to->scp_role = c->scp;
	to->syntaxes = a->uid_list + a->n_uids;
}

static void
add_syntax(void *arg, const char *uid)
{
	struct assoc *a = arg;
	char *to = a->uids[a->n_uids];

	copy_trimmed(to, sizeof(a->uids[0]), uid);
	a->uid_list[a->n_uids++] = to;
	a->contexts[a->request.n_contexts - 1].n_syntaxes++;
}

static int
describe_contexts(struct assoc *a)
{
	size_t n = 0;

	dul_walk(a->dul, count_context, count_syntax, &n);
	a->uids = calloc(n, sizeof(a->uids[0]));
	a->uid_list = calloc(n, sizeof(a->uid_list[0]));
	if (a->uids == NULL || a->uid_list == NULL)
		return -ENOMEM;
	dul_walk(a->dul, add_context, add_syntax, a);
	a->request.contexts = a->contexts;
	return 0;
}

static int
describe_request(struct assoc *a)
{
	struct assoc_request *rq = &a->request;
	struct dul_parameters raw;
	char application[DICOM_UID_MAX + 1];

	dul_describe(a->dul, &raw);
	copy_trimmed(rq->calling, sizeof(rq->calling), raw.calling);
	copy_trimmed(rq->called, sizeof(rq->called), raw.called);
	copy_trimmed(rq->implementation_uid, sizeof(rq->implementation_uid),
	    raw.implementation_uid);
	copy_trimmed(rq->implementation_version,
	    sizeof(rq->implementation_version), raw.implementation_version);
	copy_trimmed(application, sizeof(application), raw.application);
	rq->right_application = strcmp(application, "1.2.840.10008.3.1.1.1") == 0;
	rq->max_pdu = raw.max_pdu;
	rq->wants_async = a->extras.wants_async;
	rq->user_identity = a->extras.user_identity;
	rq->tls_version = stream_tls_version(a->stream);
	rq->tls_cipher = stream_tls_cipher(a->stream);
	rq->tls_subject = stream_tls_subject(a->stream);
	return describe_contexts(a);
}

/* The whole A-ASSOCIATE-RQ into the stream's buffer, and past the fence. */
static int
fetch_request(struct assoc *a)
{
	const uint8_t *head;
	const char *why;
	size_t len;
	int e;

	e = stream_fill(a->stream, PDU_HEAD);
	if (e < 0)
		return explain_failure(a, e);
	head = stream_peek(a->stream);
	len = pdu_length(head);
	if (head[0] != PDU_ASSOCIATE_RQ)
		return assoc_fail(a, -EPROTO, "not DICOM: a PDU of type %02xH "
		    "where an A-ASSOCIATE-RQ was due", head[0]);
	if (len > PDU_REQUEST_MAX)
		return assoc_fail(a, -EPROTO, "an A-ASSOCIATE-RQ of %zu bytes is "
		    "declared", len);
	e = stream_fill(a->stream, PDU_HEAD + len);
	if (e < 0)
		return explain_failure(a, e);
	e = pdu_check_request(stream_peek(a->stream), PDU_HEAD + len, &a->extras,
	    &why);
	return e < 0 ? assoc_fail(a, e, "%s", why) : 0;
}

int
assoc_receive(struct assoc *a)
{
	int e;

	a->dul = dul_new(a->stream);
	e = fetch_request(a);
	if (e == 0) {
		e = dul_receive(a->dul);
		if (e < 0) {
			(void)explain_failure(a, e);
			/* DCMTK has answered a wrong protocol version itself. */
			a->state = STATE_ENDED;
			return e;
		}
	}
	a->state = STATE_REQUESTED;
	if (e == 0)
		e = describe_request(a);
	if (e == -EPROTO)
		assoc_abort(a);
	if (e < 0)
		a->state = STATE_ENDED;
	return e;
}

/* ---- the answer ---------------------------------------------------------- */

int
assoc_accept(struct assoc *a, const struct assoc_answer *answers)
{
	struct dul_answer to[ASSOC_CONTEXTS_MAX];
	int e;

	assert(a->state == STATE_REQUESTED);
	for (unsigned i = 0; i < a->request.n_contexts; i++)
		to[i] = (struct dul_answer){ .id = a->contexts[i].id,
			.result = (uint8_t)answers[i].result,
			.abstract_syntax = a->contexts[i].abstract_syntax,
			/* Not significant when refused, but it must be there. */
			.syntax = answers[i].result == ASSOC_ACCEPTED
			    ? answers[i].syntax : DICOM_UID_IMPLICIT_LE,
			.scp_role = answers[i].scp_role };
	stream_set_cancel(a->stream, 0);
	assoc_start_deadline(a, a->message_ms);
	e = dul_accept(a->dul, a->max_pdu, to, a->request.n_contexts);
	if (e < 0)
		return explain_failure(a, e);
	a->state = STATE_OPEN;
	return 0;
}

int
assoc_reject(struct assoc *a, enum assoc_reject_result result,
    enum assoc_reject_source source, unsigned reason)
{
	int e;

	assert(a->state == STATE_REQUESTED);
	stream_set_cancel(a->stream, 0);
	assoc_start_deadline(a, a->message_ms);
	e = dul_reject(a->dul, result, source, reason);
	a->state = STATE_ENDED;
	return e < 0 ? explain_failure(a, e) : 0;
}
