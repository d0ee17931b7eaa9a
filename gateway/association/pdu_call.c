/* pdu_call.c - the PDUs of who calls: the A-ASSOCIATE-RQ is written, the answer read.
 *
 * DCMTK 3.6.7 calls by itself only: over IPv4, with its own timers, and it trusts
 * the lengths of the answer. Here every length must fit into what holds it, and what
 * the answer says counts only for contexts that it names once.
 *
 * PS3.8 section 9.3 and annex D, PS3.7 annex D.3.3.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gateway/association/association.h"
#include "gateway/association/pdu_int.h"
#include "gateway/base/cleanup.h"

#define APPLICATION_CONTEXT "1.2.840.10008.3.1.1.1"
#define FIXED 68	/* version, titles, reserved: in front of the items */

enum item_type {
	ITEM_APPLICATION = 0x10, ITEM_CONTEXT = 0x20, ITEM_CONTEXT_AC = 0x21,
	ITEM_ABSTRACT = 0x30, ITEM_TRANSFER = 0x40, ITEM_USER = 0x50,
	ITEM_MAX_LENGTH = 0x51, ITEM_IMPLEMENTATION = 0x52, ITEM_ROLE = 0x54,
	ITEM_VERSION = 0x55,
};

/* ---- writing --------------------------------------------------------------- */

static void
put_u16(struct buf *b, size_t v)
{
	(void)buf_add(b, (uint8_t[]){ (uint8_t)(v >> 8), (uint8_t)v }, 2);
}

/* Returns where the length is; end_item() sets it. */
static size_t
begin_item(struct buf *b, enum item_type type)
{
	(void)buf_add(b, (uint8_t[]){ (uint8_t)type, 0, 0, 0 }, 4);
	return b->len;
}

static void
end_item(struct buf *b, size_t at)
{
	size_t len = b->len - at;

	if (buf_error(b) != 0)
		return;
	b->data[at - 2] = (char)(len >> 8);
	b->data[at - 1] = (char)len;
}

static void
put_item(struct buf *b, enum item_type type, const char *text)
{
	size_t at = begin_item(b, type);

	(void)buf_add_str(b, text);
	end_item(b, at);
}

static void
put_title(struct buf *b, const char *title)
{
	char text[DICOM_TITLE_MAX + 1];

	(void)snprintf(text, sizeof(text), "%-16.16s", title);
	(void)buf_add(b, text, DICOM_TITLE_MAX);
}

static void
put_context(struct buf *b, uint8_t id, const struct assoc_proposal *p)
{
	size_t at = begin_item(b, ITEM_CONTEXT);

	(void)buf_add(b, (uint8_t[]){ id, 0, 0, 0 }, 4);
	put_item(b, ITEM_ABSTRACT, p->abstract_syntax);
	for (unsigned i = 0; i < p->n_syntaxes; i++)
		put_item(b, ITEM_TRANSFER, p->syntaxes[i]);
	end_item(b, at);
}

static bool
is_first(const struct assoc_call *call, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (strcmp(call->proposals[i].abstract_syntax,
			call->proposals[n].abstract_syntax) == 0)
			return false;
	return true;
}

static void
put_role(struct buf *b, const struct assoc_proposal *p)
{
	size_t at = begin_item(b, ITEM_ROLE);

	put_u16(b, strlen(p->abstract_syntax));
	(void)buf_add_str(b, p->abstract_syntax);
	(void)buf_add(b, (uint8_t[]){ p->scu_role, p->scp_role }, 2);
	end_item(b, at);
}

static void
put_user(struct buf *b, const struct assoc_call *call)
{
	size_t at = begin_item(b, ITEM_USER), max;

	max = begin_item(b, ITEM_MAX_LENGTH);
	put_u16(b, call->max_pdu >> 16);
	put_u16(b, call->max_pdu & 0xffff);
	end_item(b, max);
	put_item(b, ITEM_IMPLEMENTATION, DICOM_IMPLEMENTATION_UID);
	for (unsigned i = 0; i < call->n_proposals; i++)
		if (call->proposals[i].has_role && is_first(call, i))
			put_role(b, &call->proposals[i]);
	put_item(b, ITEM_VERSION, DICOM_IMPLEMENTATION_VERSION);
	end_item(b, at);
}

int
pdu_write_request(struct buf *b, const struct assoc_call *call)
{
	static const uint8_t reserved[32];
	size_t begin = b->len, len;

	(void)buf_add(b, (uint8_t[]){ PDU_ASSOCIATE_RQ, 0, 0, 0, 0, 0 }, PDU_HEAD);
	put_u16(b, 1);
	put_u16(b, 0);
	put_title(b, call->called);
	put_title(b, call->calling);
	(void)buf_add(b, reserved, sizeof(reserved));
	put_item(b, ITEM_APPLICATION, APPLICATION_CONTEXT);
	for (unsigned i = 0; i < call->n_proposals; i++)
		put_context(b, assoc_context_id(i), &call->proposals[i]);
	put_user(b, call);
	if (buf_error(b) != 0)
		return buf_error(b);
	len = b->len - begin - PDU_HEAD;
	for (unsigned i = 0; i < 4; i++)
		b->data[begin + 2 + i] = (char)(len >> (24 - 8 * i));
	return 0;
}

/* ---- reading --------------------------------------------------------------- */

struct item {
	uint8_t	       type;
	const uint8_t *body;
	size_t	       len;
};

struct reading {
	struct pdu_accept *to;
	const char	  *why;
};

static bool
fail(struct reading *r, const char *why)
{
	r->why = why;
	return false;
}

/* The item at *at of [*at, end), and *at behind it. */
static bool
next_item(const uint8_t **at, const uint8_t *end, struct item *ret)
{
	size_t left = (size_t)(end - *at), len;

	if (left < 4)
		return false;
	len = (size_t)(*at)[2] << 8 | (*at)[3];
	if (len > left - 4)
		return false;
	*ret = (struct item){ .type = (*at)[0], .body = *at + 4, .len = len };
	*at += 4 + len;
	return true;
}

/* A text that does not fit is none. */
static void
keep_text(const void *text, size_t len, char *dst, size_t size)
{
	if (dicom_trim(text, len, dst, size) < 0)
		dst[0] = '\0';
}

static bool
read_context(struct reading *r, const struct item *context)
{
	const uint8_t *at, *end = context->body + context->len;
	struct pdu_accepted *c;
	struct item it;

	if (context->len < 4)
		return fail(r, "a presentation context is cut short");
	c = &r->to->context[context->body[0] / 2];
	if (context->body[0] % 2 == 0)
		return fail(r, "a presentation context has an even number");
	if (c->answered)
		return fail(r, "a presentation context is answered twice");
	c->answered = true;
	c->result = context->body[2];
	for (at = context->body + 4; at < end;) {
		if (!next_item(&at, end, &it))
			return fail(r, "a length in a presentation context "
			    "leaves it");
		if (it.type != ITEM_TRANSFER)
			continue;
		if (c->syntax[0] != '\0' && c->result == ASSOC_ACCEPTED)
			return fail(r, "two transfer syntaxes are accepted in one "
			    "presentation context");
		keep_text(it.body, it.len, c->syntax, sizeof(c->syntax));
	}
	return true;
}

static bool
read_role(struct reading *r, const struct item *it)
{
	struct pdu_role *to = &r->to->role[r->to->n_roles];
	size_t len;

	len = it->len < 2 ? 0 : (size_t)it->body[0] << 8 | it->body[1];
	if (it->len < 4 || len != it->len - 4)
		return fail(r, "role selection with wrong lengths");
	if (r->to->n_roles == PDU_PROVED_MAX)
		return true;
	keep_text(it->body + 2, len, to->abstract_syntax,
	    sizeof(to->abstract_syntax));
	to->scu = it->body[2 + len] == 1;
	to->scp = it->body[3 + len] == 1;
	r->to->n_roles++;
	return true;
}

static bool
read_user_item(struct reading *r, const struct item *it)
{
	struct pdu_accept *to = r->to;

	switch (it->type) {
	case ITEM_MAX_LENGTH:
		if (it->len != 4)
			return fail(r, "maximum length of a wrong length");
		to->max_pdu = (uint32_t)it->body[0] << 24 |
		    (uint32_t)it->body[1] << 16 | (uint32_t)it->body[2] << 8 |
		    it->body[3];
		return true;
	case ITEM_IMPLEMENTATION:
		keep_text(it->body, it->len, to->implementation_uid,
		    sizeof(to->implementation_uid));
		return true;
	case ITEM_VERSION:
		keep_text(it->body, it->len, to->implementation_version,
		    sizeof(to->implementation_version));
		return true;
	case ITEM_ROLE:
		return read_role(r, it);
	default:
		return true;	/* the asynchronous window too: we ask for none */
	}
}

static bool
read_user(struct reading *r, const struct item *user)
{
	const uint8_t *at = user->body, *end = user->body + user->len;
	struct item it;

	while (at < end) {
		if (!next_item(&at, end, &it))
			return fail(r, "a length in the user information leaves it");
		if (!read_user_item(r, &it))
			return false;
	}
	return true;
}

static bool
read_item(struct reading *r, const struct item *it)
{
	if (it->type == ITEM_CONTEXT_AC)
		return read_context(r, it);
	return it->type != ITEM_USER || read_user(r, it);
}

int
pdu_read_accept(const uint8_t *pdu, size_t len, struct pdu_accept *ret,
    const char **ret_why)
{
	struct reading r = { .to = ret };
	const uint8_t *at = pdu + PDU_HEAD + FIXED, *end = pdu + len;
	struct item it;
	bool ok = true;

	memset(ret, 0, sizeof(*ret));
	if (len < PDU_HEAD + FIXED)
		ok = fail(&r, "an A-ASSOCIATE-AC that is cut short");
	while (ok && at < end) {
		if (!next_item(&at, end, &it))
			ok = fail(&r, "a length in the A-ASSOCIATE-AC leaves it");
		else
			ok = read_item(&r, &it);
	}
	if (ok)
		return 0;
	*ret_why = r.why;
	return -EPROTO;
}

/* ---- why not ---------------------------------------------------------------- */

enum { BY_USER = 1, BY_ACSE = 2, BY_PRESENTATION = 3 };	/* PS3.8 table 9-21 */

void
pdu_explain_reject(uint8_t result, uint8_t source, uint8_t reason,
    const char *calling, const char *called, struct buf *why)
{
	if (source == BY_USER && reason == 3)
		(void)buf_printf(why, "does not know our title %s: it must be "
		    "entered there, with this machine's address", calling);
	else if (source == BY_USER && reason == 7)
		(void)buf_printf(why, "does not answer to the title %s: is ae_title "
		    "what it calls itself?", called);
	else if (source == BY_USER && reason == 2)
		(void)buf_printf(why, "rejects DICOM's application context: is it "
		    "a DICOM service?");
	else if (source == BY_ACSE && reason == 2)
		(void)buf_printf(why, "does not speak this version of the protocol");
	else if (source == BY_PRESENTATION && reason == 1)
		(void)buf_printf(why, "is congested and asks to try later");
	else if (source == BY_PRESENTATION && reason == 2)
		(void)buf_printf(why, "takes no more associations at the moment");
	else if (result == ASSOC_REJECT_TRANSIENT)
		(void)buf_printf(why, "rejects the association for now, without a "
		    "reason");
	else
		(void)buf_printf(why, "rejects the association without a reason: "
		    "does it allow %s from this machine's address to call %s?",
		    calling, called);
	(void)buf_printf(why, " (rejected %u/%u/%u)", result, source, reason);
}
