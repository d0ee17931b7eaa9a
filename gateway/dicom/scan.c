/* scan.c - the scanner as a state machine: it either collects a header of 8 or
 * 12 bytes, or lets a value pass. Both may be cut anywhere by the portions that
 * are fed.
 *
 * What is open is a stack of levels (a sequence, or encapsulated pixel data, and
 * the item that is open in it). Each level keeps absolute ends which never lie
 * behind those of the levels below it, so that one comparison tells whether a
 * length leaves its surroundings, and a level whose delimiter was forgotten is
 * closed by the end of what surrounds it.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gateway/base/cleanup.h"
#include "gateway/dicom/scan.h"

#define TAG_PIXEL_DATA	   UINT32_C(0x7fe00010)
#define TAG_ITEM	   UINT32_C(0xfffee000)
#define TAG_ITEM_DELIM	   UINT32_C(0xfffee00d)
#define TAG_SEQUENCE_DELIM UINT32_C(0xfffee0dd)

#define HEADER_SHORT 8
#define HEADER_LONG  12
#define NO_END	     UINT64_MAX

struct level {
	struct dicom_element el;
	uint64_t seq_end;	/* NO_END: by delimiter, and nothing around ends */
	uint64_t item_end;	/* never behind seq_end */
	bool	 in_item;
	bool	 item_undefined;
	bool	 implicit;	/* how headers in here are written */
	bool	 big_endian;
};

struct dicom_scan {
	struct dicom_scan_events ev;
	void	*arg;
	int	 result;	/* non-zero: over, this is what feed answers */
	bool	 implicit;	/* of the outermost data set */
	bool	 big_endian;
	bool	 met_implicit;	/* the last header of an explicit data set was */

	uint64_t pos;		/* bytes seen */
	uint64_t left;		/* of the value that passes */
	bool	 in_value;
	struct dicom_element el;	/* its element, unless it is a fragment */

	uint8_t	 header[HEADER_LONG];
	unsigned have, need;

	unsigned depth;
	struct level level[DICOM_SCAN_DEPTH];
	char	 reason[128];
};

enum header_form { FORM_SHORT, FORM_LONG, FORM_IMPLICIT };

static struct level *
top_level(struct dicom_scan *s)
{
	return s->depth > 0 ? &s->level[s->depth - 1] : NULL;
}

/* Where the innermost thing that is open must be over. */
static uint64_t
find_limit(struct dicom_scan *s)
{
	const struct level *l = top_level(s);

	if (l == NULL)
		return NO_END;
	return l->in_item ? l->item_end : l->seq_end;
}

static void
fail_scan(struct dicom_scan *s, dicom_tag_t tag, const char *why)
{
	if (s->result != 0)
		return;
	s->result = -EBADMSG;
	(void)snprintf(s->reason, sizeof(s->reason),
	    "(%04X,%04X) before byte %llu: %s", (unsigned)(tag >> 16),
	    (unsigned)(tag & 0xffff), (unsigned long long)s->pos, why);
}

static uint16_t
read_u16(const uint8_t *p, bool big_endian)
{
	return big_endian ? (uint16_t)(p[0] << 8 | p[1]) :
	    (uint16_t)(p[1] << 8 | p[0]);
}

static uint32_t
read_u32(const uint8_t *p, bool big_endian)
{
	uint32_t a = read_u16(p, big_endian), b = read_u16(p + 2, big_endian);

	return big_endian ? a << 16 | b : b << 16 | a;
}

static bool
headers_big_endian(struct dicom_scan *s)
{
	const struct level *l = top_level(s);

	return l != NULL ? l->big_endian : s->big_endian;
}

static bool
headers_implicit(struct dicom_scan *s)
{
	const struct level *l = top_level(s);

	return l != NULL ? l->implicit : s->implicit;
}

static dicom_tag_t
header_tag(struct dicom_scan *s)
{
	bool big = headers_big_endian(s);

	return (dicom_tag_t)read_u16(s->header, big) << 16 |
	    read_u16(s->header + 2, big);
}

static void
report_element(struct dicom_scan *s, const struct dicom_element *el)
{
	if (s->result == 0 && s->ev.element != NULL)
		s->result = s->ev.element(s->arg, el);
}

static void
report_end(struct dicom_scan *s, const struct dicom_element *el)
{
	if (s->result == 0 && s->ev.end != NULL)
		s->result = s->ev.end(s->arg, el);
}

static void
close_item(struct dicom_scan *s)
{
	struct level *l = top_level(s);

	assert(l != NULL && l->in_item);
	l->in_item = false;
	if (s->result == 0 && s->ev.item_end != NULL)
		s->result = s->ev.item_end(s->arg, &l->el);
}

static void
close_level(struct dicom_scan *s)
{
	struct level *l = top_level(s);

	assert(l != NULL && !l->in_item);
	s->depth--;
	report_end(s, &l->el);
}

/* Closes every item and sequence that ends here. */
static void
close_finished(struct dicom_scan *s)
{
	while (s->depth > 0 && s->result == 0 && s->pos >= find_limit(s)) {
		if (top_level(s)->in_item)
			close_item(s);
		else
			close_level(s);
	}
}

static void
begin_value(struct dicom_scan *s, uint32_t length)
{
	s->left = length;
	s->in_value = true;
}

static void
finish_value(struct dicom_scan *s)
{
	const struct level *l = top_level(s);

	s->in_value = false;
	if (l == NULL || !l->el.fragments)
		report_end(s, &s->el);
	close_finished(s);
}

static void
open_level(struct dicom_scan *s, const struct dicom_element *el,
    bool implicit, bool big_endian)
{
	uint64_t limit = find_limit(s);
	struct level *l;

	if (s->depth == DICOM_SCAN_DEPTH) {
		fail_scan(s, el->tag, "nested too deep");
		return;
	}
	l = &s->level[s->depth++];
	*l = (struct level){
		.el = *el,
		.seq_end = el->length == DICOM_UNDEFINED ? limit :
		    s->pos + el->length,
		.implicit = implicit,
		.big_endian = big_endian,
	};
	report_element(s, &l->el);
	close_finished(s);
}

static void
open_item(struct dicom_scan *s, uint32_t length)
{
	struct level *l = top_level(s);

	if (length == DICOM_UNDEFINED && l->el.fragments) {
		fail_scan(s, l->el.tag, "a fragment of undefined length");
		return;
	}
	if (length != DICOM_UNDEFINED && length > l->seq_end - s->pos) {
		fail_scan(s, l->el.tag, "an item leaves its sequence");
		return;
	}
	l->in_item = true;
	l->item_undefined = length == DICOM_UNDEFINED;
	l->item_end = l->item_undefined ? l->seq_end : s->pos + length;
	if (s->ev.item != NULL)
		s->result = s->ev.item(s->arg, &l->el, length);
	if (l->el.fragments && length > 0)
		begin_value(s, length);
	else
		close_finished(s);
}

/* A delimiter where elements are expected. One that nothing waits for (in an
 * item of defined length, or left over behind one) says nothing and is passed
 * over; an item or the sequence's end also ends an item of undefined length
 * whose own delimiter was forgotten. */
static void
take_delimiter(struct dicom_scan *s, dicom_tag_t tag, uint32_t length)
{
	struct level *l = top_level(s);
	bool open = l != NULL && l->in_item && l->item_undefined;
	bool undefined = l != NULL && l->el.length == DICOM_UNDEFINED;

	if (tag == TAG_ITEM && !open) {
		fail_scan(s, tag, "an item outside of a sequence");
		return;
	}
	if (!open)
		return;
	close_item(s);
	if (s->result != 0)
		return;
	if (tag == TAG_ITEM)
		open_item(s, length);
	else if (tag == TAG_SEQUENCE_DELIM && undefined)
		close_level(s);
}

static void
take_marker(struct dicom_scan *s, dicom_tag_t tag, uint32_t length)
{
	struct level *l = top_level(s);

	if (tag != TAG_ITEM && tag != TAG_ITEM_DELIM && tag != TAG_SEQUENCE_DELIM)
		fail_scan(s, tag, "not an item nor a delimiter");
	else if (l == NULL || l->in_item)
		take_delimiter(s, tag, length);
	else if (tag == TAG_ITEM)
		open_item(s, length);
	else if (tag == TAG_SEQUENCE_DELIM && l->el.length == DICOM_UNDEFINED)
		close_level(s);
	close_finished(s);
}

static bool
is_fragmented(const struct dicom_element *el)
{
	if (el->tag == TAG_PIXEL_DATA)
		return true;
	/* OB, OW, OF, ...: other things than pixels in fragments. */
	return !el->implicit && el->vr >> 8 == 'O';
}

static void
take_undefined(struct dicom_scan *s, struct dicom_element *el)
{
	bool implicit = el->implicit, big = headers_big_endian(s);

	if (is_fragmented(el)) {
		el->fragments = true;
	} else if (el->implicit) {
		/* Only sequences may have it, whatever the dictionary says. */
		if (el->vr != DICOM_VR_SQ)
			el->vr = DICOM_VR_UN;
	} else if (el->vr == DICOM_VR_UN) {
		implicit = true;	/* CP-246 (PS3.5 6.2.2 note 4) */
		big = false;
	} else if (el->vr != DICOM_VR_SQ) {
		fail_scan(s, el->tag, "undefined length outside of a sequence");
		return;
	}
	open_level(s, el, implicit, big);
}

static void
take_element(struct dicom_scan *s, struct dicom_element *el)
{
	uint64_t limit = find_limit(s);

	el->depth = s->depth;
	el->offset = s->pos - s->have;
	if (el->length == DICOM_UNDEFINED) {
		take_undefined(s, el);
		return;
	}
	if (el->length > limit - s->pos) {
		fail_scan(s, el->tag, "an element leaves its item");
		return;
	}
	if (el->vr == DICOM_VR_SQ) {
		open_level(s, el, el->implicit, headers_big_endian(s));
		return;
	}
	s->el = *el;
	report_element(s, &s->el);
	if (el->length > 0)
		begin_value(s, el->length);
	else
		finish_value(s);
}

static bool
is_upper(uint8_t c)
{
	return c >= 'A' && c <= 'Z';
}

static bool
is_printable(uint8_t c)
{
	return c >= ' ' && c <= '~';
}

/* Two bytes that are no VR. Capitals may be a VR to come, which will have the
 * long form, or some vendor's own, which has not; other characters ("??") come
 * from converters that did not know the VR. What is no character at all is the
 * length of an element that was left implicit by mistake. */
static enum header_form
guess_form(const struct dicom_scan *s, bool big_endian)
{
	const uint8_t *h = s->header;

	if (is_upper(h[4]) && is_upper(h[5]))
		return h[6] == 0 && h[7] == 0 ? FORM_LONG : FORM_SHORT;
	if (is_printable(h[4]) && is_printable(h[5]))
		return FORM_SHORT;
	if (big_endian || (h[4] == 0 && h[5] == 0 && !s->met_implicit))
		return FORM_SHORT;
	return FORM_IMPLICIT;
}

/* A whole header of 8 bytes, or one of 12; false: it is one of 12, go on. */
static bool
decode_header(struct dicom_scan *s, struct dicom_element *ret)
{
	bool big = headers_big_endian(s), known;
	struct dicom_element el = { .tag = header_tag(s) };
	enum header_form form = FORM_IMPLICIT;

	if (!headers_implicit(s)) {
		el.vr = DICOM_VR(s->header[4], s->header[5]);
		known = dicom_vr_known(el.vr);
		if (!known)
			form = guess_form(s, big);
		else
			form = dicom_vr_long(el.vr) ? FORM_LONG : FORM_SHORT;
		if (!known)
			el.vr = DICOM_VR_UN;
		s->met_implicit = form == FORM_IMPLICIT;
	}
	if (form == FORM_LONG && s->have < HEADER_LONG)
		return false;

	if (form == FORM_IMPLICIT) {
		el.implicit = true;
		el.vr = dicom_dict_vr(el.tag);
		el.length = read_u32(s->header + 4, big);
	} else if (form == FORM_SHORT) {
		el.length = read_u16(s->header + 6, big);
	} else {
		el.length = read_u32(s->header + 8, big);
	}
	*ret = el;
	return true;
}

static void
dispatch_header(struct dicom_scan *s)
{
	const struct level *l = top_level(s);
	dicom_tag_t tag = header_tag(s);
	struct dicom_element el;

	if (tag >> 16 == 0xfffe) {
		take_marker(s, tag, read_u32(s->header + 4, headers_big_endian(s)));
	} else if (l != NULL && !l->in_item) {
		fail_scan(s, tag, "an element where an item must begin");
	} else if (!decode_header(s, &el)) {
		s->need = HEADER_LONG;
		return;
	} else {
		take_element(s, &el);
	}
	s->have = 0;
	s->need = HEADER_SHORT;
}

/* Both answer how many bytes they took. */
static size_t
take_header(struct dicom_scan *s, const uint8_t *data, size_t len)
{
	uint64_t room = find_limit(s) - (s->pos - s->have);
	size_t n = s->need - s->have;

	if (room < s->need) {
		fail_scan(s, s->have >= 4 ? header_tag(s) : 0,
		    "a header leaves its item");
		return 0;
	}
	if (n > len)
		n = len;
	memcpy(s->header + s->have, data, n);
	s->have += (unsigned)n;
	s->pos += n;
	if (s->have == s->need)
		dispatch_header(s);
	return n;
}

static size_t
take_value(struct dicom_scan *s, const uint8_t *data, size_t len)
{
	const struct level *l = top_level(s);
	const struct dicom_element *el = l != NULL && l->el.fragments ?
	    &l->el : &s->el;
	size_t n = len < s->left ? len : (size_t)s->left;

	s->pos += n;
	s->left -= n;
	if (s->ev.value != NULL)
		s->result = s->ev.value(s->arg, el, data, n);
	if (s->left == 0 && s->result == 0)
		finish_value(s);
	return n;
}

struct dicom_scan *
dicom_scan_new(enum dicom_encoding enc, const struct dicom_scan_events *ev,
    void *arg)
{
	struct dicom_scan *s = xcalloc(1, sizeof(*s));

	assert(enc != DICOM_DEFLATED_LE);
	s->ev = *ev;
	s->arg = arg;
	s->implicit = enc == DICOM_IMPLICIT_LE;
	s->big_endian = enc == DICOM_EXPLICIT_BE;
	s->need = HEADER_SHORT;
	return s;
}

void
dicom_scan_free(struct dicom_scan *s)
{
	free(s);
}

int
dicom_scan_feed(struct dicom_scan *s, const void *data, size_t len)
{
	const uint8_t *p = data;

	while (len > 0 && s->result == 0) {
		size_t n = s->in_value ? take_value(s, p, len) :
		    take_header(s, p, len);

		p += n;
		len -= n;
	}
	return s->result;
}

int
dicom_scan_end(struct dicom_scan *s)
{
	const struct level *l = top_level(s);

	if (s->result == DICOM_SCAN_STOP)
		return 0;
	if (s->have > 0)
		fail_scan(s, s->have >= 4 ? header_tag(s) : 0,
		    "the data set ends inside a header");
	else if (s->in_value)
		fail_scan(s, l != NULL && l->el.fragments ? l->el.tag : s->el.tag,
		    "the data set ends inside a value");
	else if (l != NULL)
		fail_scan(s, l->el.tag, "the data set ends inside a sequence");
	return s->result;
}

const char *
dicom_scan_reason(const struct dicom_scan *s)
{
	return s->reason;
}

uint64_t
dicom_scan_skippable(const struct dicom_scan *s)
{
	return s->result == 0 && s->in_value ? s->left : 0;
}

void
dicom_scan_skipped(struct dicom_scan *s, uint64_t len)
{
	assert(len <= dicom_scan_skippable(s));
	if (len == 0)
		return;
	s->pos += len;
	s->left -= len;
	if (s->left == 0)
		finish_value(s);
}
