/* assoc.c - one association: what the public header says of struct assoc.
 *
 * DCMTK sees only PDUs that passed here: type and length of each are looked at in
 * the stream's buffer first (see pdu.c for the A-ASSOCIATE-RQ), so no length from
 * the wire sizes an allocation and none of its states is left by surprise.
 *
 * P-DATA-TF is read here, not there: DUL_NextPDV of 3.6.7 advances by the length of
 * the wrong PDV and so reads beyond its buffer when three of different lengths
 * share a PDU. Fragments are handed up from the stream's buffer as they come; a
 * PDU is never held as a whole, so one that exceeds what we announced costs
 * nothing. A-ABORT is ours in both directions: DCMTK's abort waits for the peer by
 * wall clock, reading what comes.
 */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "gateway/association/assoc_int.h"
#include "gateway/association/pdu_int.h"
#include "gateway/association/shim_int.h"
#include "gateway/association/stream_int.h"
#include "gateway/base/cleanup.h"
#include "gateway/base/clock.h"

#define WRITE_CHUNK	 (32 * 1024)
#define ABORT_MS	 1000	/* for the A-ABORT to leave */
#define GOODBYE_MS	 1000	/* for the peer to close first */
#define RELEASE_MAX	 64	/* it bears 4 bytes */
#define PDV_HEAD	 6
#define ANNOUNCED_MIN	 4096
#define EXCESS_TOLERATED (1024 * 1024)	/* over the maximum PDU we announced */

enum abort_source { ABORT_BY_USER = 0, ABORT_BY_PROVIDER = 2 };

struct assoc {
	uint64_t id;
	struct stream *stream;
	struct dul    *dul;
	const atomic_bool *stopping;
	enum { STATE_NEW, STATE_REQUESTED, STATE_OPEN, STATE_RELEASING,
		STATE_ENDED } state;
	int64_t	 message_ms, idle_ms;
	uint32_t max_pdu;
	char	 reason[200];

	/* Of the P-DATA-TF that is being read. */
	uint32_t pdu_left;		/* behind the current PDV */
	uint32_t pdv_left;
	struct assoc_pdv pdv;		/* the current one; .last is the PDV's */
	bool	 pdv_open;		/* a part of it must still be handed up */
	size_t	 handed;		/* bytes to drop at the next call */
	int64_t	 wait_left_ms;		/* see fill_inside() */

	struct assoc_request request;
	struct pdu_extras    extras;
	struct assoc_context contexts[ASSOC_CONTEXTS_MAX];
	char (*uids)[DICOM_UID_MAX + 1];	/* of all transfer syntaxes */
	const char **uid_list;
	size_t n_uids;
};

struct assoc *
assoc_new(struct stream *s, const atomic_bool *stopping, const char *address,
    uint16_t port)
{
	static atomic_uint_least64_t last_id;
	struct assoc *a = xcalloc(1, sizeof(*a));

	a->id = atomic_fetch_add(&last_id, 1) + 1;
	a->stream = s;
	a->dul = dul_new(s);
	a->stopping = stopping;
	a->message_ms = 60 * 1000;
	a->idle_ms = 15 * 60 * 1000;
	a->max_pdu = 128 * 1024;
	a->request.port = port;
	(void)snprintf(a->request.address, sizeof(a->request.address), "%s",
	    address);
	return a;
}

void
assoc_free(struct assoc *a)
{
	if (a == NULL)
		return;
	assoc_abort(a);
	stream_finish(a->stream, GOODBYE_MS);
	dul_free(a->dul);
	free(a->uids);
	free(a->uid_list);
	free(a);
}

static int __attribute__((format(printf, 3, 4)))
set_reason(struct assoc *a, int error, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(a->reason, sizeof(a->reason), fmt, ap);
	va_end(ap);
	return error;
}

/* The stream failed, or DCMTK did not like what it read. */
static int
explain_failure(struct assoc *a, int e)
{
	if (stream_error(a->stream) == 0)
		return set_reason(a, e, "%s", dul_reason(a->dul));
	if (e == -ETIMEDOUT)
		return set_reason(a, e, "the deadline passed");
	if (e == -ECANCELED)
		return set_reason(a, e, "stopping");
	return set_reason(a, e, "%s", stream_reason(a->stream)[0] != '\0'
	    ? stream_reason(a->stream) : "the connection broke");
}

/* ---- the request --------------------------------------------------------- */

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
		return set_reason(a, -EPROTO, "not DICOM: a PDU of type %02xH "
		    "where an A-ASSOCIATE-RQ was due", head[0]);
	if (len > PDU_REQUEST_MAX)
		return set_reason(a, -EPROTO, "an A-ASSOCIATE-RQ of %zu bytes is "
		    "declared", len);
	e = stream_fill(a->stream, PDU_HEAD + len);
	if (e < 0)
		return explain_failure(a, e);
	e = pdu_check_request(stream_peek(a->stream), PDU_HEAD + len, &a->extras,
	    &why);
	return e < 0 ? set_reason(a, e, "%s", why) : 0;
}

int
assoc_receive(struct assoc *a)
{
	int e;

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

/* ---- the public header, in its order ------------------------------------ */

const struct assoc_request *
assoc_request(const struct assoc *a)
{
	return &a->request;
}

uint64_t
assoc_id(const struct assoc *a)
{
	return a->id;
}

void
assoc_set_timeouts(struct assoc *a, int64_t message_ms, int64_t idle_ms)
{
	a->message_ms = message_ms;
	a->idle_ms = idle_ms;
}

void
assoc_set_max_pdu(struct assoc *a, uint32_t max_pdu)
{
	assert(a->state == STATE_REQUESTED);
	a->max_pdu = max_pdu < ANNOUNCED_MIN ? ANNOUNCED_MIN : max_pdu;
}

static void
start_deadline(struct assoc *a, int64_t ms)
{
	stream_set_deadline(a->stream, clock_mono_ms() + ms);
}

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
			    ? answers[i].syntax : DICOM_UID_IMPLICIT_LE };
	stream_set_cancel(a->stream, 0);
	start_deadline(a, a->message_ms);
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
	start_deadline(a, a->message_ms);
	e = dul_reject(a->dul, result, source, reason);
	a->state = STATE_ENDED;
	return e < 0 ? explain_failure(a, e) : 0;
}

/* Within a PDU the peer has message_ms in all; what we take ourselves between two
 * fragments, writing to a slow disk, is not counted against it. */
static int
fill_inside(struct assoc *a, size_t n)
{
	int64_t begin;
	int e;

	if (stream_peekable(a->stream) >= n)
		return 0;
	begin = clock_mono_ms();
	stream_set_deadline(a->stream, begin + a->wait_left_ms);
	e = stream_fill(a->stream, n);
	a->wait_left_ms -= clock_mono_ms() - begin;
	return e < 0 ? explain_failure(a, e) : 0;
}

/* Between messages a stop ends the wait even when data lies ready, or a sender
 * that never pauses would never end. */
static int
wait_pdu(struct assoc *a, bool inside)
{
	int e;

	if (!inside && atomic_load_explicit(a->stopping, memory_order_relaxed))
		return set_reason(a, -ECANCELED, "stopping");
	if (!inside && stream_peekable(a->stream) == 0) {
		stream_set_cancel(a->stream, 1);
		start_deadline(a, a->idle_ms);
		e = stream_fill(a->stream, 1);
		stream_set_cancel(a->stream, 0);
		if (e == -ETIMEDOUT)
			return set_reason(a, e, "silent between messages for too "
			    "long");
		if (e < 0)
			return explain_failure(a, e);
	}
	a->wait_left_ms = a->message_ms;
	return fill_inside(a, PDU_HEAD);
}

static int
take_abort(struct assoc *a)
{
	const uint8_t *p;

	a->state = STATE_ENDED;
	if (fill_inside(a, PDU_HEAD + 4) < 0)
		return set_reason(a, -ECONNABORTED, "aborted by the peer");
	p = stream_peek(a->stream);
	return set_reason(a, -ECONNABORTED,
	    "aborted by the peer (source %u, reason %u)", p[8], p[9]);
}

static int
take_release(struct assoc *a, uint32_t len)
{
	int e;

	if (len > RELEASE_MAX)
		return set_reason(a, -EPROTO, "an A-RELEASE-RQ of %u bytes", len);
	e = fill_inside(a, PDU_HEAD + len);
	if (e < 0)
		return e;
	e = dul_take_release(a->dul);
	if (e < 0)
		return explain_failure(a, e);
	a->state = STATE_RELEASING;
	return 1;
}

/* The header of the next PDU: 0 for P-DATA-TF, 1 for a release, or an error. */
static int
read_pdu_head(struct assoc *a, bool inside)
{
	const uint8_t *head;
	uint32_t len;
	int e;

	e = wait_pdu(a, inside);
	if (e < 0)
		return e;
	head = stream_peek(a->stream);
	len = pdu_length(head);
	switch (head[0]) {
	case PDU_DATA:
		if (len > (uint64_t)a->max_pdu + EXCESS_TOLERATED)
			return set_reason(a, -EPROTO, "a P-DATA-TF of %u bytes, "
			    "more than the %u announced", len, a->max_pdu);
		stream_drop(a->stream, PDU_HEAD);
		a->pdu_left = len;
		return 0;
	case PDU_RELEASE_RQ:
		return take_release(a, len);
	case PDU_ABORT:
		return take_abort(a);
	default:
		return set_reason(a, -EPROTO, "a PDU of type %02xH inside an "
		    "association", head[0]);
	}
}

static int
read_pdv_head(struct assoc *a)
{
	const uint8_t *p;
	uint32_t len;
	int e;

	if (a->pdu_left < PDV_HEAD)
		return set_reason(a, -EPROTO, "a P-DATA-TF whose lengths do not "
		    "add up");
	e = fill_inside(a, PDV_HEAD);
	if (e < 0)
		return e;
	p = stream_peek(a->stream);
	len = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 |
	    p[3];
	if (len < 2 || len > a->pdu_left - 4)
		return set_reason(a, -EPROTO, "a presentation data value of %u "
		    "bytes in a PDU that has %u left", len, a->pdu_left - 4);
	a->pdv.context = p[4];
	a->pdv.command = (p[5] & 1) != 0;
	a->pdv.last = (p[5] & 2) != 0;
	a->pdv_open = true;
	a->pdv_left = len - 2;
	a->pdu_left -= 4 + len;
	stream_drop(a->stream, PDV_HEAD);
	return 0;
}

/* What has arrived of the current PDV, at least a byte unless it is empty. */
static int
hand_up(struct assoc *a, struct assoc_pdv *ret)
{
	size_t n;
	int e = 0;

	if (a->pdv_left > 0)
		e = fill_inside(a, 1);
	if (e < 0)
		return e;
	n = stream_peekable(a->stream);
	if (n > a->pdv_left)
		n = a->pdv_left;
	a->pdv_left -= (uint32_t)n;
	a->pdv_open = a->pdv_left > 0;
	a->handed = n;
	*ret = a->pdv;
	ret->data = stream_peek(a->stream);
	ret->len = n;
	ret->last = a->pdv.last && !a->pdv_open;
	return 0;
}

int
assoc_read(struct assoc *a, bool inside, struct assoc_pdv *ret)
{
	int r = 0;

	assert(a->state == STATE_OPEN);
	stream_drop(a->stream, a->handed);
	a->handed = 0;
	while (r == 0 && !a->pdv_open)
		r = a->pdu_left > 0 ? read_pdv_head(a) : read_pdu_head(a, inside);
	return r == 0 ? hand_up(a, ret) : r;
}

int
assoc_write(struct assoc *a, uint8_t context, bool command, const void *data,
    size_t len)
{
	const char *at = data;
	size_t n;
	int e;

	assert(a->state == STATE_OPEN);
	do {
		n = len < WRITE_CHUNK ? len : WRITE_CHUNK;
		start_deadline(a, a->message_ms);
		e = dul_write(a->dul, context, command, n == len, at, n);
		if (e < 0)
			return explain_failure(a, e);
		at += n;
		len -= n;
	} while (len > 0);
	return 0;
}

int
assoc_release(struct assoc *a)
{
	int e;

	assert(a->state == STATE_RELEASING);
	start_deadline(a, a->message_ms);
	e = dul_release(a->dul);
	a->state = STATE_ENDED;
	return e < 0 ? explain_failure(a, e) : 0;
}

void
assoc_abort(struct assoc *a)
{
	uint8_t pdu[PDU_HEAD + 4] = { PDU_ABORT, 0, 0, 0, 0, 4 };

	if (a->state == STATE_NEW || a->state == STATE_ENDED)
		return;
	a->state = STATE_ENDED;
	pdu[8] = a->reason[0] != '\0' ? ABORT_BY_PROVIDER : ABORT_BY_USER;
	stream_forgive(a->stream);
	stream_set_cancel(a->stream, 0);
	start_deadline(a, ABORT_MS);
	(void)stream_write(a->stream, pdu, sizeof(pdu));
}

const char *
assoc_reason(const struct assoc *a)
{
	return a->reason;
}
