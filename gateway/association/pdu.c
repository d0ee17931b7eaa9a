/* pdu.c - the fence in front of DCMTK.
 *
 * DCMTK 3.6.7 leaks what it has parsed of an A-ASSOCIATE-RQ when the rest of it
 * is malformed, or when a context has no transfer syntax; it drops Common Extended
 * Negotiation and the asynchronous window, and keeps only the last of several user
 * identities, leaking the others. So nothing reaches it that has not been walked
 * here to its last byte, with every length inside the item that holds it.
 *
 * PS3.8 section 9.3.2 and annex D, PS3.7 annex D.3.3.
 */
#include <errno.h>
#include <string.h>

#include "gateway/association/association.h"
#include "gateway/association/pdu_int.h"

enum item_type {
	ITEM_APPLICATION = 0x10, ITEM_CONTEXT = 0x20, ITEM_CONTEXT_AC = 0x21,
	ITEM_ABSTRACT = 0x30, ITEM_TRANSFER = 0x40, ITEM_USER = 0x50,
	ITEM_MAX_LENGTH = 0x51, ITEM_IMPLEMENTATION = 0x52, ITEM_ASYNC = 0x53,
	ITEM_ROLE = 0x54, ITEM_VERSION = 0x55, ITEM_EXTENDED = 0x56,
	ITEM_COMMON_EXTENDED = 0x57, ITEM_IDENTITY = 0x58,
	ITEM_IDENTITY_ANSWER = 0x59, ITEM_UNKNOWN = 0xff,
};

struct walk {
	struct pdu_extras *extras;
	const char	  *why;
	unsigned	   contexts, syntaxes, users;
};

/* The item at *at of [*at, end): its body, and *at behind it. */
struct item {
	uint8_t *head, *body, *end;
};

static bool
next_item(uint8_t **at, const uint8_t *end, struct item *ret)
{
	size_t left = (size_t)(end - *at), len;

	if (left < 4)
		return false;
	len = (size_t)(*at)[2] << 8 | (*at)[3];
	if (len > left - 4)
		return false;
	ret->head = *at;
	ret->body = *at + 4;
	ret->end = ret->body + len;
	*at = ret->end;
	return true;
}

static size_t
item_size(const struct item *it)
{
	return (size_t)(it->end - it->body);
}

/* A 16-bit length and as many bytes, inside an item. */
static bool
next_field(uint8_t **at, const uint8_t *end, const uint8_t **ret, size_t *ret_len)
{
	size_t left = (size_t)(end - *at), len;

	if (left < 2)
		return false;
	len = (size_t)(*at)[0] << 8 | (*at)[1];
	if (len > left - 2)
		return false;
	*ret = *at + 2;
	*ret_len = len;
	*at += 2 + len;
	return true;
}

static bool
fail(struct walk *w, const char *why)
{
	w->why = why;
	return false;
}

static bool
check_context(struct walk *w, const struct item *context)
{
	uint8_t *at = context->body + 4;
	unsigned abstracts = 0, transfers = 0;
	struct item it;

	if (++w->contexts > ASSOC_CONTEXTS_MAX)
		return fail(w, "more than 128 presentation contexts");
	if (item_size(context) < 4)
		return fail(w, "a presentation context is cut short");
	while (at < context->end) {
		if (!next_item(&at, context->end, &it))
			return fail(w, "a length in a presentation context "
			    "leaves it");
		abstracts += it.head[0] == ITEM_ABSTRACT;
		transfers += it.head[0] == ITEM_TRANSFER;
		if ((it.head[0] == ITEM_ABSTRACT || it.head[0] == ITEM_TRANSFER) &&
		    item_size(&it) > DICOM_UID_MAX)
			return fail(w, "a UID of more than 64 bytes is proposed");
	}
	w->syntaxes += transfers;
	if (w->syntaxes > PDU_SYNTAXES_MAX)
		return fail(w, "more transfer syntaxes than any device has");
	if (abstracts != 1 || transfers == 0)
		return fail(w, "a presentation context lacks its abstract or "
		    "transfer syntax");
	return true;
}

static bool
check_role(struct walk *w, const struct item *it)
{
	uint8_t *at = it->body;
	const uint8_t *uid;
	size_t len;

	if (!next_field(&at, it->end, &uid, &len) || it->end - at != 2 ||
	    len > DICOM_UID_MAX)
		return fail(w, "role selection with wrong lengths");
	return true;
}

static bool
check_extended(struct walk *w, const struct item *it)
{
	uint8_t *at = it->body;
	const uint8_t *uid;
	size_t len;

	if (!next_field(&at, it->end, &uid, &len) || len > DICOM_UID_MAX)
		return fail(w, "extended negotiation with wrong lengths");
	return true;
}

/* SOP class, service class, related classes (PS3.7 table D.3-12). */
static bool
check_common_extended(struct walk *w, const struct item *it)
{
	struct pdu_extras *x = w->extras;
	uint8_t *at = it->body;
	const uint8_t *class, *service;
	size_t class_len, service_len;
	char uid[DICOM_UID_MAX + 1];

	if (!next_field(&at, it->end, &class, &class_len) ||
	    !next_field(&at, it->end, &service, &service_len))
		return fail(w, "common extended negotiation with wrong lengths");
	if (dicom_trim(service, service_len, uid, sizeof(uid)) == 0 &&
	    strcmp(uid, DICOM_UID_STORAGE_SERVICE) == 0 &&
	    x->n_proved < PDU_PROVED_MAX &&
	    dicom_trim(class, class_len, x->proved[x->n_proved],
		sizeof(x->proved[0])) == 0)
		x->n_proved++;
	return true;
}

static bool
check_user_item(struct walk *w, const struct item *it)
{
	size_t size = item_size(it);

	switch (it->head[0]) {
	case ITEM_MAX_LENGTH:
		return size == 4 || fail(w, "maximum length of a wrong length");
	case ITEM_IMPLEMENTATION:
	case ITEM_VERSION:
		return size <= DICOM_UID_MAX ||
		    fail(w, "implementation name of more than 64 bytes");
	case ITEM_ASYNC:
		w->extras->wants_async = true;
		return true;
	case ITEM_ROLE:
		return check_role(w, it);
	case ITEM_EXTENDED:
		return check_extended(w, it);
	case ITEM_COMMON_EXTENDED:
		return check_common_extended(w, it);
	case ITEM_IDENTITY:
		w->extras->user_identity = size > 0 ? it->body[0] : 0;
		it->head[0] = ITEM_UNKNOWN;
		return true;
	case ITEM_IDENTITY_ANSWER:
		it->head[0] = ITEM_UNKNOWN;
		return true;
	default:
		return true;
	}
}

static bool
check_user(struct walk *w, const struct item *user)
{
	uint8_t *at = user->body;
	struct item it;

	while (at < user->end) {
		if (!next_item(&at, user->end, &it))
			return fail(w, "a length in the user information "
			    "leaves it");
		if (!check_user_item(w, &it))
			return false;
	}
	return true;
}

static bool
check_item(struct walk *w, const struct item *it)
{
	switch (it->head[0]) {
	case ITEM_APPLICATION:
		return item_size(it) <= DICOM_UID_MAX ||
		    fail(w, "application context of more than 64 bytes");
	case ITEM_CONTEXT:
		return check_context(w, it);
	case ITEM_CONTEXT_AC:
		it->head[0] = ITEM_UNKNOWN;
		return true;
	case ITEM_USER:
		if (w->users++ == 0)
			return check_user(w, it);
		it->head[0] = ITEM_UNKNOWN;
		return true;
	default:
		return true;
	}
}

int
pdu_check_request(uint8_t *pdu, size_t len, struct pdu_extras *ret,
    const char **ret_why)
{
	struct walk w = { .extras = ret };
	uint8_t *at = pdu + PDU_HEAD + 68;	/* version, titles, reserved */
	const uint8_t *end = pdu + len;
	struct item it;
	bool ok = true;

	*ret = (struct pdu_extras){ 0 };
	if (len < PDU_HEAD + 68)
		ok = fail(&w, "an A-ASSOCIATE-RQ that is cut short");
	while (ok && at < end) {
		if (!next_item(&at, end, &it))
			ok = fail(&w, "a length in the A-ASSOCIATE-RQ leaves it");
		else
			ok = check_item(&w, &it);
	}
	if (ok && w.contexts == 0)
		ok = fail(&w, "no presentation context is proposed");
	if (ok)
		return 0;
	*ret_why = w.why;
	return -EPROTO;
}
