/* assoc.c - one association: its messages and its end, whoever called.
 *
 * P-DATA-TF, A-RELEASE and A-ABORT are ours, not DCMTK's: DUL_NextPDV of 3.6.7
 * advances by the length of the wrong PDV and so reads beyond its buffer when three
 * of different lengths share a PDU, and its abort waits for the peer by wall clock,
 * reading what comes. Type and length of each PDU are looked at in the stream's
 * buffer; fragments are handed up from there as they come. A PDU is never held as a
 * whole, so one that exceeds what we announced costs nothing.
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

#define PART_PDU	 (64 * 1024)	/* the largest of ours */
#define ABORT_MS	 1000	/* for the A-ABORT to leave */
#define GOODBYE_MS	 1000	/* for the peer to close first */
#define RELEASE_MAX	 64	/* it bears 4 bytes */
#define RELEASE_MS	 10000	/* for the answer to ours */
#define PDV_HEAD	 6
#define ANNOUNCED_MIN	 4096
#define EXCESS_TOLERATED (1024 * 1024)	/* over the maximum PDU we announced */

enum abort_source { ABORT_BY_USER = 0, ABORT_BY_PROVIDER = 2 };

struct assoc *
assoc_new(struct stream *s, const atomic_bool *stopping, const char *address,
    uint16_t port)
{
	static atomic_uint_least64_t last_id;
	struct assoc *a = xcalloc(1, sizeof(*a));

	a->id = atomic_fetch_add(&last_id, 1) + 1;
	a->stream = s;
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
	free(a->accept);
	free(a);
}

int
assoc_fail(struct assoc *a, int error, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(a->reason, sizeof(a->reason), fmt, ap);
	va_end(ap);
	return error;
}

int
assoc_fail_stream(struct assoc *a, int e)
{
	if (e == -ETIMEDOUT)
		return assoc_fail(a, e, "the deadline passed");
	if (e == -ECANCELED)
		return assoc_fail(a, e, "stopping");
	return assoc_fail(a, e, "%s", stream_reason(a->stream)[0] != '\0'
	    ? stream_reason(a->stream) : "the connection broke");
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

void
assoc_start_deadline(struct assoc *a, int64_t ms)
{
	stream_set_deadline(a->stream, clock_mono_ms() + ms);
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
	return e < 0 ? assoc_fail_stream(a, e) : 0;
}

/* Who called may give up at any time; who was called, only between messages. */
static void
set_cancel(struct assoc *a, bool on)
{
	stream_set_cancel(a->stream, on || a->calling);
}

/* Between messages a stop ends the wait even when data lies ready, or a sender
 * that never pauses would never end. */
static int
wait_pdu(struct assoc *a, bool inside)
{
	int e;

	if (!inside && a->stopping != NULL &&
	    atomic_load_explicit(a->stopping, memory_order_relaxed))
		return assoc_fail(a, -ECANCELED, "stopping");
	if (!inside && stream_peekable(a->stream) == 0) {
		set_cancel(a, true);
		assoc_start_deadline(a, a->idle_ms);
		e = stream_fill(a->stream, 1);
		set_cancel(a, false);
		if (e == -ETIMEDOUT)
			return assoc_fail(a, e, "silent between messages for too "
			    "long");
		if (e < 0)
			return assoc_fail_stream(a, e);
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
		return assoc_fail(a, -ECONNABORTED, "aborted by the peer");
	p = stream_peek(a->stream);
	return assoc_fail(a, -ECONNABORTED,
	    "aborted by the peer (source %u, reason %u)", p[8], p[9]);
}

/* Reads over a PDU that bears nothing; 0 or an error. */
static int
drop_pdu(struct assoc *a, uint32_t len)
{
	int e;

	if (len > RELEASE_MAX)
		return assoc_fail(a, -EPROTO, "an A-RELEASE of %u bytes", len);
	e = fill_inside(a, PDU_HEAD + len);
	if (e == 0)
		stream_drop(a->stream, PDU_HEAD + len);
	return e;
}

static int
take_release(struct assoc *a, uint32_t len)
{
	int e = drop_pdu(a, len);

	if (e < 0)
		return e;
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
			return assoc_fail(a, -EPROTO, "a P-DATA-TF of %u bytes, "
			    "more than the %u announced", len, a->max_pdu);
		stream_drop(a->stream, PDU_HEAD);
		a->pdu_left = len;
		return 0;
	case PDU_RELEASE_RQ:
		return take_release(a, len);
	case PDU_ABORT:
		return take_abort(a);
	default:
		return assoc_fail(a, -EPROTO, "a PDU of type %02xH inside an "
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
		return assoc_fail(a, -EPROTO, "a P-DATA-TF whose lengths do not "
		    "add up");
	e = fill_inside(a, PDV_HEAD);
	if (e < 0)
		return e;
	p = stream_peek(a->stream);
	len = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 |
	    p[3];
	if (len < 2 || len > a->pdu_left - 4)
		return assoc_fail(a, -EPROTO, "a presentation data value of %u "
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

size_t
assoc_part_max(const struct assoc *a)
{
	uint32_t pdu = a->request.max_pdu;

	if (pdu == 0 || pdu > PART_PDU)
		pdu = PART_PDU;
	/* A maximum that leaves no room for a byte is a slip of the peer's. */
	return pdu < PDV_HEAD + 2 ? 2 : (pdu - PDV_HEAD) & ~1u;
}

static void
put_u32(uint8_t *p, size_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

int
assoc_write_part(struct assoc *a, uint8_t context, bool command, bool last,
    const void *data, size_t len)
{
	uint8_t head[PDU_HEAD + PDV_HEAD] = { PDU_DATA };
	int e;

	assert(a->state == STATE_OPEN && len <= assoc_part_max(a));
	put_u32(head + 2, PDV_HEAD + len);
	put_u32(head + PDU_HEAD, 2 + len);
	head[10] = context;
	head[11] = (uint8_t)((command ? 1 : 0) | (last ? 2 : 0));
	assoc_start_deadline(a, a->message_ms);
	e = stream_write(a->stream, head, sizeof(head));
	if (e == 0 && len > 0)
		e = stream_write(a->stream, data, len);
	return e < 0 ? assoc_fail_stream(a, e) : 0;
}

int
assoc_write(struct assoc *a, uint8_t context, bool command, const void *data,
    size_t len)
{
	size_t max = assoc_part_max(a), n;
	const char *at = data;
	int e;

	do {
		n = len < max ? len : max;
		e = assoc_write_part(a, context, command, n == len, at, n);
		if (e < 0)
			return e;
		at += n;
		len -= n;
	} while (len > 0);
	return 0;
}

static int
write_release(struct assoc *a, enum pdu_type type)
{
	const uint8_t pdu[PDU_HEAD + 4] = { (uint8_t)type, 0, 0, 0, 0, 4 };
	int e = stream_write(a->stream, pdu, sizeof(pdu));

	return e < 0 ? assoc_fail_stream(a, e) : 0;
}

int
assoc_release(struct assoc *a)
{
	assert(a->state == STATE_RELEASING);
	assoc_start_deadline(a, a->message_ms);
	a->state = STATE_ENDED;
	return write_release(a, PDU_RELEASE_RP);
}

/* What the peer had sent already is read over. */
static int
read_to_answer(struct assoc *a, int64_t until)
{
	struct assoc_pdv pdv;
	const uint8_t *head;
	int r;

	while (clock_mono_ms() < until) {
		if (a->pdu_left == 0 && !a->pdv_open) {
			stream_drop(a->stream, TAKE_(a->handed, 0));
			r = fill_inside(a, PDU_HEAD);
			if (r < 0)
				return r;
			head = stream_peek(a->stream);
			if (head[0] == PDU_RELEASE_RP)
				return drop_pdu(a, pdu_length(head));
		}
		r = assoc_read(a, true, &pdv);
		if (r < 0)
			return r;
		/* Both asked at once (PS3.8 9.2.3, Sta9 and Sta10): answer, and
		 * wait for the answer to ours. */
		if (r == 1) {
			a->state = STATE_OPEN;
			r = write_release(a, PDU_RELEASE_RP);
			if (r < 0)
				return r;
		}
	}
	return assoc_fail(a, -ETIMEDOUT, "no end to the association in time");
}

int
assoc_request_release(struct assoc *a)
{
	int64_t until = clock_mono_ms() + RELEASE_MS;
	int e;

	assert(a->state == STATE_OPEN);
	assoc_start_deadline(a, RELEASE_MS);
	e = write_release(a, PDU_RELEASE_RQ);
	if (e == 0) {
		a->wait_left_ms = a->message_ms = RELEASE_MS;
		e = read_to_answer(a, until);
	}
	if (e == 0)
		a->state = STATE_ENDED;
	return e;
}

int
assoc_wait(struct assoc *a, int64_t deadline_ms)
{
	int e;

	assert(a->state == STATE_OPEN);
	if (a->pdv_open || a->pdu_left > 0)
		return 1;
	stream_drop(a->stream, TAKE_(a->handed, 0));
	set_cancel(a, true);
	stream_set_deadline(a->stream, deadline_ms);
	e = stream_fill(a->stream, 1);
	set_cancel(a, false);
	if (e == -ETIMEDOUT) {
		stream_forgive(a->stream);
		return 0;
	}
	return e < 0 ? assoc_fail_stream(a, e) : 1;
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
	assoc_start_deadline(a, ABORT_MS);
	(void)stream_write(a->stream, pdu, sizeof(pdu));
}

const char *
assoc_reason(const struct assoc *a)
{
	return a->reason;
}
