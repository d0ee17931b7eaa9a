/* commitment.c - the data sets of storage commitment, written and read.
 *
 * Written with defined lengths, which even the oldest systems read. Read leniently:
 * any order, other attributes passed over, sequences of either kind of length.
 */
#include "gateway/dicom/commitment.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/cleanup.h"
#include "gateway/dicom/scan.h"

#define TAG_CLASS	UINT32_C(0x00081150)
#define TAG_INSTANCE	UINT32_C(0x00081155)
#define TAG_TRANSACTION UINT32_C(0x00081195)
#define TAG_REASON	UINT32_C(0x00081197)
#define TAG_FAILED	UINT32_C(0x00081198)
#define TAG_REFERENCED	UINT32_C(0x00081199)
#define TAG_ITEM	UINT32_C(0xfffee000)

#define VR_UI DICOM_VR('U', 'I')
#define VR_US DICOM_VR('U', 'S')

const char *
dicom_commitment_words(uint16_t reason)
{
	switch (reason) {
	case DICOM_COMMITMENT_PROCESSING:
		return "it could not process the request";
	case DICOM_COMMITMENT_NO_SUCH_OBJECT:
		return "it does not have this object";
	case DICOM_COMMITMENT_CONFLICT:
		return "it has this object under another SOP class";
	case DICOM_COMMITMENT_CLASS_UNSUPPORTED:
		return "it does not commit objects of this SOP class";
	case DICOM_COMMITMENT_DUPLICATE_TRANSACTION:
		return "it takes our transaction for one that it knows";
	case DICOM_COMMITMENT_RESOURCES:
		return "it lacks the resources";
	case 0:
		return "it gives no reason";
	default:
		return "for a reason of its own";
	}
}

void
dicom_commitment_free(struct dicom_commitment *c)
{
	free(c->v);
	*c = (struct dicom_commitment){ 0 };
}

int
dicom_commitment_add(struct dicom_commitment *c, const struct dicom_reference *r)
{
	struct dicom_reference *v;
	size_t size = c->size == 0 ? 16 : 2 * c->size;

	if (c->n == DICOM_COMMITMENT_MAX)
		return -EMSGSIZE;
	if (c->n == c->size) {
		v = reallocarray(c->v, size, sizeof(*v));
		if (v == NULL)
			return -ENOMEM;
		c->v = v;
		c->size = size;
	}
	c->v[c->n++] = *r;
	return 0;
}

/* ---- writing --------------------------------------------------------------- */

struct writer {
	struct buf *b;
	bool implicit, big;
};

static void
put_number(const struct writer *w, uint32_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		(void)buf_add_char(w->b,
		    (char)(v >> 8 * (w->big ? bytes - 1 - i : i)));
}

static void
put_tag(const struct writer *w, dicom_tag_t tag)
{
	put_number(w, tag >> 16, 2);
	put_number(w, tag & 0xffff, 2);
}

static void
put_header(const struct writer *w, dicom_tag_t tag, uint16_t vr, size_t len)
{
	put_tag(w, tag);
	if (!w->implicit) {
		(void)buf_add_char(w->b, (char)(vr >> 8));
		(void)buf_add_char(w->b, (char)vr);
	}
	if (w->implicit) {
		put_number(w, (uint32_t)len, 4);
	} else if (dicom_vr_long(vr)) {
		put_number(w, 0, 2);
		put_number(w, (uint32_t)len, 4);
	} else {
		put_number(w, (uint32_t)len, 2);
	}
}

static size_t
even(size_t len)
{
	return len + (len & 1);
}

static void
put_uid(const struct writer *w, dicom_tag_t tag, const char *uid)
{
	size_t len = strlen(uid);

	put_header(w, tag, VR_UI, even(len));
	(void)buf_add(w->b, uid, len);
	if (len % 2 != 0)
		(void)buf_add_char(w->b, '\0');
}

/* UI and US have short headers in explicit VR: as long as the implicit ones. */
static size_t
item_size(const struct dicom_reference *r)
{
	return 8 + even(strlen(r->sop_class)) + 8 + even(strlen(r->sop_instance)) +
	    (r->failed ? 8 + 2 : 0);
}

static void
put_item(const struct writer *w, const struct dicom_reference *r)
{
	put_tag(w, TAG_ITEM);
	put_number(w, (uint32_t)item_size(r), 4);
	put_uid(w, TAG_CLASS, r->sop_class);
	put_uid(w, TAG_INSTANCE, r->sop_instance);
	if (!r->failed)
		return;
	put_header(w, TAG_REASON, VR_US, 2);
	put_number(w, r->reason, 2);
}

static void
put_sequence(const struct writer *w, const struct dicom_commitment *c, bool failed)
{
	size_t len = 0;

	for (size_t i = 0; i < c->n; i++)
		if (c->v[i].failed == failed)
			len += 8 + item_size(&c->v[i]);
	if (len == 0)
		return;
	put_header(w, failed ? TAG_FAILED : TAG_REFERENCED, DICOM_VR_SQ, len);
	for (size_t i = 0; i < c->n; i++)
		if (c->v[i].failed == failed)
			put_item(w, &c->v[i]);
}

int
dicom_commitment_write(struct buf *b, const struct dicom_commitment *c,
    const struct dicom_syntax *syntax)
{
	const struct writer w = { .b = b,
		.implicit = syntax->encoding == DICOM_IMPLICIT_LE,
		.big = syntax->encoding == DICOM_EXPLICIT_BE };

	assert(syntax->encoding != DICOM_DEFLATED_LE);
	put_uid(&w, TAG_TRANSACTION, c->transaction);
	put_sequence(&w, c, true);
	put_sequence(&w, c, false);
	return buf_error(b);
}

/* ---- reading --------------------------------------------------------------- */

struct reader {
	struct dicom_commitment *to;
	struct dicom_reference	 item;
	bool	big, in_item;
	size_t	len;
	uint8_t value[DICOM_UID_MAX + 2];	/* of the current element */
	bool	too_long;
};

static bool
is_list(dicom_tag_t tag)
{
	return tag == TAG_FAILED || tag == TAG_REFERENCED;
}

static bool
is_wanted(const struct reader *r, const struct dicom_element *el)
{
	if (el->depth == 0)
		return el->tag == TAG_TRANSACTION;
	return r->in_item && el->depth == 1 && (el->tag == TAG_CLASS ||
	    el->tag == TAG_INSTANCE || el->tag == TAG_REASON);
}

static int
on_element(void *arg, const struct dicom_element *el)
{
	struct reader *r = arg;

	(void)el;
	r->len = 0;
	r->too_long = false;
	return 0;
}

static int
on_value(void *arg, const struct dicom_element *el, const void *data, size_t len)
{
	struct reader *r = arg;

	if (!is_wanted(r, el))
		return 0;
	if (len > sizeof(r->value) - r->len) {
		r->too_long = true;
		return 0;
	}
	memcpy(r->value + r->len, data, len);
	r->len += len;
	return 0;
}

static void
keep_uid(const struct reader *r, char dst[DICOM_UID_MAX + 1])
{
	if (r->too_long || dicom_trim(r->value, r->len, dst, DICOM_UID_MAX + 1) < 0)
		dst[0] = '\0';
}

static int
on_end(void *arg, const struct dicom_element *el)
{
	struct reader *r = arg;

	if (!is_wanted(r, el))
		return 0;
	if (el->tag == TAG_TRANSACTION)
		keep_uid(r, r->to->transaction);
	else if (el->tag == TAG_CLASS)
		keep_uid(r, r->item.sop_class);
	else if (el->tag == TAG_INSTANCE)
		keep_uid(r, r->item.sop_instance);
	else if (r->len >= 2)
		r->item.reason = (uint16_t)(r->big ? r->value[0] << 8 | r->value[1]
						   : r->value[1] << 8 | r->value[0]);
	return 0;
}

static int
on_item(void *arg, const struct dicom_element *el, uint32_t length)
{
	struct reader *r = arg;

	(void)length;
	if (el->depth != 0 || !is_list(el->tag))
		return 0;
	r->in_item = true;
	r->item = (struct dicom_reference){ .failed = el->tag == TAG_FAILED };
	return 0;
}

static int
on_item_end(void *arg, const struct dicom_element *el)
{
	struct reader *r = arg;

	if (el->depth != 0 || !is_list(el->tag))
		return 0;
	r->in_item = false;
	/* Without its class an instance is still known. */
	if (r->item.sop_instance[0] == '\0')
		return -EBADMSG;
	return dicom_commitment_add(r->to, &r->item);
}

int
dicom_commitment_parse(const void *data, size_t len,
    const struct dicom_syntax *syntax, struct dicom_commitment *ret)
{
	static const struct dicom_scan_events events = {
		.element = on_element, .value = on_value, .end = on_end,
		.item = on_item, .item_end = on_item_end,
	};
	struct dicom_commitment c = { .n = 0 };
	struct reader r = { .to = &c, .big = syntax->encoding == DICOM_EXPLICIT_BE };
	struct dicom_scan *scan;
	int e;

	if (len > DICOM_COMMITMENT_BYTES)
		return -EMSGSIZE;
	if (syntax->encoding == DICOM_DEFLATED_LE)
		return -EBADMSG;
	scan = dicom_scan_new(syntax->encoding, &events, &r);
	e = dicom_scan_feed(scan, data, len);
	if (e == 0)
		e = dicom_scan_end(scan);
	dicom_scan_free(scan);
	if (e == 0 && c.transaction[0] == '\0')
		e = -EBADMSG;
	if (e < 0) {
		dicom_commitment_free(&c);
		return e;
	}
	*ret = c;
	return 0;
}
