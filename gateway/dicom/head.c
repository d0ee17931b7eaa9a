/* head.c - picks the attributes of DICOM_HEAD out of a passing data set.
 *
 * The reader stops behind the table's last tag once the three UIDs are known; a
 * data set whose elements are out of order is read on until they are. The first
 * occurrence of an element counts. A UID that does not fit or has a NUL inside
 * is kept empty: cut short it would be another image's name.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gateway/base/cleanup.h"
#include "gateway/dicom/head.h"
#include "gateway/dicom/inflate.h"
#include "gateway/dicom/scan.h"

/* A head is some kilobytes; the rest is for data sets that are out of order. */
#define INFLATE_MAX (UINT64_C(64) << 20)

#define VALUE_MAX 324
#define VR_UI	  DICOM_VR('U', 'I')
#define VR_US	  DICOM_VR('U', 'S')
#define VR_SS	  DICOM_VR('S', 'S')

static const struct dicom_head_spec specs[DICOM_HEAD_COUNT] = {
#define X(id, tag, level, column, max) { tag, level, column, max },
	DICOM_HEAD(X)
#undef X
};

#define X(id, tag, level, column, max) +(max) + 1
_Static_assert(0 DICOM_HEAD(X) <= DICOM_HEAD_ARENA, "the arena holds all values");
#undef X
#define X(id, tag, level, column, max) \
	_Static_assert((max) <= VALUE_MAX, "a value being read holds " column);
DICOM_HEAD(X)
#undef X

struct dicom_head_reader {
	struct dicom_scan *scan;
	struct dicom_inflate *inflate;	/* deflated only */
	struct dicom_head head;
	dicom_tag_t last_tag;		/* of the table */
	bool	 big_endian;
	int	 result;		/* non-zero: over */
	const char *reason;		/* NULL: the scanner's */

	/* The value being read; current is DICOM_HEAD_COUNT between two. */
	enum dicom_head_id current;
	uint16_t vr;
	bool	 cut;			/* more than padding did not fit */
	size_t	 len;
	char	 value[VALUE_MAX];
};

static enum dicom_head_id
find_spec(dicom_tag_t tag)
{
	unsigned i = 0;

	while (i < DICOM_HEAD_COUNT && specs[i].tag != tag)
		i++;
	return (enum dicom_head_id)i;
}

static bool
is_padding(char c)
{
	return c == ' ' || c == '\0';
}

static bool
is_number(uint16_t vr)
{
	return vr == VR_US || vr == VR_SS;
}

static void
store_value(struct dicom_head *h, enum dicom_head_id id, const char *value,
    size_t len)
{
	h->present[id] = true;
	h->at[id] = h->used;
	h->len[id] = (uint16_t)len;
	if (len > 0)
		memcpy(h->arena + h->used, value, len);
	h->arena[h->used + len] = '\0';
	h->used = (uint16_t)(h->used + len + 1);
}

/* Rows and columns become text here. */
static void
store_number(struct dicom_head_reader *r)
{
	const uint8_t *v = (const uint8_t *)r->value;
	char text[8] = "";

	if (r->len >= 2) {
		(void)snprintf(text, sizeof(text), "%u",
		    r->big_endian ? v[0] << 8 | v[1] : v[1] << 8 | v[0]);
	}
	store_value(&r->head, r->current, text, strlen(text));
}

static void
store_current(struct dicom_head_reader *r)
{
	bool is_uid = dicom_dict_vr(specs[r->current].tag) == VR_UI;

	if (is_number(r->vr)) {
		store_number(r);
	} else {
		while (r->len > 0 && is_padding(r->value[r->len - 1]))
			r->len--;
		if (is_uid && (r->cut || memchr(r->value, '\0', r->len) != NULL))
			r->len = 0;
		store_value(&r->head, r->current, r->value, r->len);
	}
	r->current = DICOM_HEAD_COUNT;
}

static int
on_element(void *arg, const struct dicom_element *el)
{
	struct dicom_head_reader *r = arg;
	enum dicom_head_id id;

	if (el->depth > 0)
		return 0;
	if (el->tag > r->last_tag && dicom_head_identified(&r->head))
		return DICOM_SCAN_STOP;

	id = find_spec(el->tag);
	if (id == DICOM_HEAD_COUNT || r->head.present[id] ||
	    el->length == DICOM_UNDEFINED || el->vr == DICOM_VR_SQ)
		return 0;
	r->current = id;
	r->vr = el->vr;
	/* Private or mistaken VRs: what PS3.6 says of the tag is the better guess. */
	if (r->vr == DICOM_VR_UN)
		r->vr = dicom_dict_vr(el->tag);
	r->cut = false;
	r->len = 0;
	return 0;
}

static int
on_value(void *arg, const struct dicom_element *el, const void *data, size_t len)
{
	struct dicom_head_reader *r = arg;
	const char *p = data;
	size_t room;

	(void)el;
	if (r->current == DICOM_HEAD_COUNT)
		return 0;
	/* Padding in front goes; that of a binary number is a number. */
	while (r->len == 0 && !is_number(r->vr) && len > 0 && is_padding(*p)) {
		p++;
		len--;
	}
	room = specs[r->current].max - r->len;
	for (size_t i = room; i < len && !r->cut; i++)
		r->cut = !is_padding(p[i]);
	if (len > room)
		len = room;
	memcpy(r->value + r->len, p, len);
	r->len += len;
	return 0;
}

static int
on_end(void *arg, const struct dicom_element *el)
{
	struct dicom_head_reader *r = arg;

	(void)el;
	if (r->current != DICOM_HEAD_COUNT)
		store_current(r);
	return 0;
}

static int
scan_inflated(void *arg, const void *data, size_t len)
{
	struct dicom_head_reader *r = arg;

	return dicom_scan_feed(r->scan, data, len);
}

/* Latches what scanner or inflater answered, in the reader's terms. */
static int
judge_result(struct dicom_head_reader *r, int result)
{
	if (result == DICOM_SCAN_STOP) {
		r->result = 1;
	} else if (result != 0) {
		r->result = -EBADMSG;
		if (result == -EFBIG)
			r->reason = "inflates to more than a head may have";
		else if (dicom_scan_reason(r->scan)[0] == '\0')
			r->reason = "the deflated stream is damaged or cut short";
	}
	return r->result;
}

const struct dicom_head_spec *
dicom_head_spec(enum dicom_head_id id)
{
	return &specs[id];
}

const char *
dicom_head_get(const struct dicom_head *h, enum dicom_head_id id, size_t *ret_len)
{
	bool present = h->present[id];

	if (ret_len != NULL)
		*ret_len = present ? h->len[id] : 0;
	return present ? h->arena + h->at[id] : "";
}

struct dicom_head_reader *
dicom_head_reader_new(const struct dicom_syntax *s)
{
	static const struct dicom_scan_events events = {
		.element = on_element, .value = on_value, .end = on_end,
	};
	struct dicom_head_reader *r = xcalloc(1, sizeof(*r));
	bool deflated = s->encoding == DICOM_DEFLATED_LE;

	r->current = DICOM_HEAD_COUNT;
	r->big_endian = s->encoding == DICOM_EXPLICIT_BE;
	for (unsigned i = 0; i < DICOM_HEAD_COUNT; i++) {
		if (specs[i].tag > r->last_tag)
			r->last_tag = specs[i].tag;
	}
	r->scan = dicom_scan_new(deflated ? DICOM_EXPLICIT_LE : s->encoding,
	    &events, r);
	if (deflated)
		r->inflate = dicom_inflate_new(INFLATE_MAX, scan_inflated, r);
	return r;
}

void
dicom_head_reader_free(struct dicom_head_reader *r)
{
	if (r == NULL)
		return;
	dicom_inflate_free(r->inflate);
	dicom_scan_free(r->scan);
	free(r);
}

int
dicom_head_reader_feed(struct dicom_head_reader *r, const void *data, size_t len)
{
	if (r->result != 0)
		return r->result;
	return judge_result(r, r->inflate != NULL ?
	    dicom_inflate_feed(r->inflate, data, len) :
	    dicom_scan_feed(r->scan, data, len));
}

int
dicom_head_reader_end(struct dicom_head_reader *r)
{
	if (r->result == 0)
		judge_result(r, dicom_scan_end(r->scan));
	if (r->result == 0 && r->inflate != NULL)
		judge_result(r, dicom_inflate_end(r->inflate));
	return r->result < 0 ? r->result : 0;
}

const struct dicom_head *
dicom_head_reader_head(const struct dicom_head_reader *r)
{
	return &r->head;
}

const char *
dicom_head_reader_reason(const struct dicom_head_reader *r)
{
	return r->reason != NULL ? r->reason : dicom_scan_reason(r->scan);
}

bool
dicom_head_identified(const struct dicom_head *h)
{
	return dicom_uid_tolerable(dicom_head_get(h, DICOM_HEAD_STUDY_UID, NULL)) &&
	    dicom_uid_tolerable(dicom_head_get(h, DICOM_HEAD_SERIES_UID, NULL)) &&
	    dicom_uid_tolerable(dicom_head_get(h, DICOM_HEAD_SOP_INSTANCE, NULL));
}
