/* fuzz_scan.c - libFuzzer: the scanner and the head reader on anything.
 *
 * The first byte chooses the encoding and the portions, the rest is the data
 * set. Besides what the sanitizers see it is checked that events nest, that
 * values are as long as announced, and that the portions do not matter.
 */
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "gateway/base/cleanup.h"
#include "gateway/dicom/head.h"
#include "gateway/dicom/scan.h"

struct watch {
	struct {
		dicom_tag_t tag;
		bool	    item;
		uint64_t    left;	/* of the value, when it is one */
	} open[2 * DICOM_SCAN_DEPTH + 2];
	unsigned depth;
	uint64_t sum;
};

static void
note(struct watch *w, uint64_t v)
{
	w->sum = w->sum * UINT64_C(0x100000001b3) + v + 1;
}

static void
push(struct watch *w, dicom_tag_t tag, bool item, uint64_t left)
{
	assert(w->depth < ARRAY_LEN(w->open));
	w->open[w->depth].tag = tag;
	w->open[w->depth].item = item;
	w->open[w->depth++].left = left;
}

static bool
has_value(const struct dicom_element *el)
{
	return el->vr != DICOM_VR_SQ && el->length != DICOM_UNDEFINED;
}

static int
on_element(void *arg, const struct dicom_element *el)
{
	struct watch *w = arg;

	assert(el->depth * 2 == w->depth);
	assert(w->depth == 0 || w->open[w->depth - 1].item);
	push(w, el->tag, false, has_value(el) ? el->length : 0);
	note(w, el->tag);
	note(w, el->length);
	note(w, el->vr);
	note(w, el->offset);
	return 0;
}

static int
on_value(void *arg, const struct dicom_element *el, const void *data, size_t len)
{
	struct watch *w = arg;

	assert(len > 0 && w->depth > 0);
	assert(w->open[w->depth - 1].tag == el->tag);
	assert(w->open[w->depth - 1].item == el->fragments);
	assert(w->open[w->depth - 1].left >= len);
	w->open[w->depth - 1].left -= len;
	for (size_t i = 0; i < len; i++)
		note(w, ((const uint8_t *)data)[i]);
	return 0;
}

static void
pop(struct watch *w, dicom_tag_t tag, bool item)
{
	assert(w->depth > 0);
	w->depth--;
	assert(w->open[w->depth].tag == tag);
	assert(w->open[w->depth].item == item);
	assert(w->open[w->depth].left == 0);
	note(w, item);
}

static int
on_end(void *arg, const struct dicom_element *el)
{
	pop(arg, el->tag, false);
	return 0;
}

static int
on_item(void *arg, const struct dicom_element *el, uint32_t length)
{
	push(arg, el->tag, true, el->fragments ? length : 0);
	note(arg, length);
	return 0;
}

static int
on_item_end(void *arg, const struct dicom_element *el)
{
	pop(arg, el->tag, true);
	return 0;
}

static const struct dicom_scan_events events = {
	on_element, on_value, on_end, on_item, on_item_end,
};

/* Each portion lies in memory of its own, so that reading past it shows. */
static int
scan(enum dicom_encoding enc, const uint8_t *data, size_t len, size_t portion,
    uint64_t *ret_sum)
{
	struct watch w = { 0 };
	struct dicom_scan *s = dicom_scan_new(enc, &events, &w);
	int r = 0;

	while (len > 0 && r == 0) {
		size_t n = len < portion ? len : portion;
		AUTO_FREE uint8_t *copy = malloc(n);

		memcpy(copy, data, n);
		r = dicom_scan_feed(s, copy, n);
		data += n;
		len -= n;
	}
	if (r == 0)
		r = dicom_scan_end(s);
	assert(r == 0 || r == -EBADMSG);
	assert(r != 0 || w.depth == 0);
	dicom_scan_free(s);
	*ret_sum = w.sum;
	return r;
}

static void
read_head(const char *syntax, const uint8_t *data, size_t len, size_t portion)
{
	struct dicom_head_reader *reader =
	    dicom_head_reader_new(dicom_syntax_find(syntax));
	int r = 0;

	for (size_t at = 0; at < len && r == 0; at += portion)
		r = dicom_head_reader_feed(reader, data + at,
		    len - at < portion ? len - at : portion);
	(void)dicom_head_reader_end(reader);
	for (unsigned i = 0; i < DICOM_HEAD_COUNT; i++) {
		size_t n;
		const char *v = dicom_head_get(dicom_head_reader_head(reader), i, &n);

		assert(v[n] == '\0');
		assert(n <= dicom_head_spec(i)->max);
	}
	dicom_head_reader_free(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct {
		enum dicom_encoding enc;
		const char *uid;
	} kinds[] = {
		{ DICOM_IMPLICIT_LE, DICOM_UID_IMPLICIT_LE },
		{ DICOM_EXPLICIT_LE, DICOM_UID_EXPLICIT_LE },
		{ DICOM_EXPLICIT_BE, DICOM_UID_EXPLICIT_BE },
		{ DICOM_EXPLICIT_LE, DICOM_UID_DEFLATED_LE },
	};
	unsigned kind;
	size_t portion;
	uint64_t whole, parts;

	if (len == 0)
		return 0;
	kind = data[0] & 3;
	portion = 1 + (data[0] >> 2);
	data++;
	len--;

	int a = scan(kinds[kind].enc, data, len, len + 1, &whole);
	int b = scan(kinds[kind].enc, data, len, portion, &parts);

	assert(a == b && whole == parts);
	read_head(kinds[kind].uid, data, len, portion);
	return 0;
}
