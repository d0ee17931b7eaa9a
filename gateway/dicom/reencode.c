/* reencode.c - what each element becomes in explicit VR little endian.
 *
 * The scanner says what comes, this file what is written instead. Whoever sent
 * explicit VR keeps his VRs; for implicit ones the dictionary decides, and where
 * it leaves a choice: US or SS by Pixel Representation, OB or OW of pixels and
 * waveforms by their Bits Allocated, LUT data and all others OW (PS3.5 A.2), as
 * the nearest item that has them says, or else the data set. A private sequence
 * of undefined length in implicit VR is a sequence, because nothing else may
 * have that length; one of defined length is UN, its inside untouched.
 *
 * The inside of UN of undefined length is kept byte by byte. Since the scanner
 * passes over delimiters that nothing waits for, lengths are checked there, and
 * what does not add up is refused instead of being written wrong.
 *
 * Refused by name (-ENOTSUP) as well: big-endian pixels whose VR does not tell
 * how they were swapped (32 bits in OW: some swap words, some cells; more than 8
 * in OB), and fragments where the transfer syntax has none.
 */
#include "gateway/dicom/reencode.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gateway/base/cleanup.h"
#include "gateway/dicom/reencode_int.h"

/* Enough for any real deflated object; a bomb ends here, costing time alone. */
#ifndef INFLATED_MAX
#define INFLATED_MAX (UINT64_C(4) << 30)
#endif

#define SHORT_MAX 65534 /* longer ones become UN (CP-1066) */

#define TAG_BITS_ALLOCATED  UINT32_C(0x00280100)
#define TAG_PIXEL_SIGN	    UINT32_C(0x00280103)
#define TAG_WAVEFORM_BITS   UINT32_C(0x54001004)
#define TAG_PIXEL_DATA	    UINT32_C(0x7fe00010)
#define TAG_PADDING	    UINT32_C(0xfffcfffc)
#define TAG_ITEM	    UINT32_C(0xfffee000)
#define TAG_ITEM_DELIM	    UINT32_C(0xfffee00d)
#define TAG_SEQUENCE_DELIM  UINT32_C(0xfffee0dd)

#define VR_OB DICOM_VR('O', 'B')
#define VR_OW DICOM_VR('O', 'W')
#define VR_SS DICOM_VR('S', 'S')
#define VR_US DICOM_VR('U', 'S')

static void
clear_frame(struct reencode_frame *f)
{
	*f = (struct reencode_frame){
		.sign = -1,
		.item_end = REENCODE_NO_END,
		.seq_end = REENCODE_NO_END,
	};
}

static unsigned
find_bits(const struct dicom_reencode *r, unsigned depth, bool waveform)
{
	for (unsigned d = depth + 1; d-- > 0;) {
		const struct reencode_frame *f = &r->frame[d];
		unsigned bits = waveform ? f->wave_bits : f->bits;

		if (bits != 0)
			return bits;
	}
	return 0;
}

static int
find_sign(const struct dicom_reencode *r, unsigned depth)
{
	for (unsigned d = depth + 1; d-- > 0;)
		if (r->frame[d].sign >= 0)
			return r->frame[d].sign;
	return -1;
}

static uint16_t
choose_bytes_or_words(const struct dicom_reencode *r,
    const struct dicom_element *el)
{
	bool waveform = el->tag >> 16 == 0x5400;
	unsigned bits;

	if (el->tag != TAG_PIXEL_DATA && !waveform)
		return VR_OW;
	bits = find_bits(r, el->depth, waveform);
	return bits > 0 && bits <= 8 ? VR_OB : VR_OW;
}

/* Of an element that came without VR. */
static uint16_t
choose_vr(const struct dicom_reencode *r, const struct dicom_element *el)
{
	switch (el->vr) {
	case DICOM_VR_US_SS:
		return find_sign(r, el->depth) == 1 ? VR_SS : VR_US;
	case DICOM_VR_US_SS_OW:
		return VR_OW;
	case DICOM_VR_OB_OW:
		return choose_bytes_or_words(r, el);
	default:
		return el->vr;
	}
}

static uint32_t
even_length(uint32_t length)
{
	return length + (length & 1);
}

static int
put_header(struct dicom_reencode *r, const struct dicom_element *el,
    uint16_t vr, uint32_t length)
{
	bool held = el->implicit && el->vr == DICOM_VR_US_SS && vr == VR_US;
	int error;

	if (r->compare)
		return reencode_put_implicit(r, el->tag, length);
	if (!dicom_vr_long(vr) && length > SHORT_MAX) {
		vr = DICOM_VR_UN;
		held = false;
	}
	error = reencode_put_explicit(r, el->tag, vr, length);
	if (error == 0 && held && !r->past_sign && find_sign(r, el->depth) < 0)
		reencode_hold(r, el->depth);
	return error;
}

static int
check_big_endian(struct dicom_reencode *r, const struct dicom_element *el)
{
	unsigned bits = find_bits(r, el->depth, false);

	if (el->length % dicom_vr_unit(el->vr) != 0)
		return reencode_fail(r, -ENOTSUP, el->tag,
		    "its length is no multiple of its big-endian units");
	if (el->tag != TAG_PIXEL_DATA)
		return 0;
	if (bits > 16 && el->vr == VR_OW)
		return reencode_fail(r, -ENOTSUP, el->tag,
		    "big-endian pixels of more than 16 bits in OW");
	if (bits > 8 && el->vr == VR_OB)
		return reencode_fail(r, -ENOTSUP, el->tag,
		    "big-endian pixels of more than 8 bits in OB");
	return 0;
}

static bool
is_dropped(const struct dicom_element *el)
{
	return (el->tag & 0xffff) == 0 ||
	    (el->tag == TAG_PADDING && el->depth == 0);
}

/* The elements that other elements' VRs hang on. */
static bool
is_captured(const struct dicom_element *el)
{
	return el->tag == TAG_BITS_ALLOCATED || el->tag == TAG_PIXEL_SIGN ||
	    el->tag == TAG_WAVEFORM_BITS;
}

static void
keep_captured(struct dicom_reencode *r, const struct dicom_element *el)
{
	struct reencode_frame *f = &r->frame[el->depth];
	unsigned v = r->capture[0] | (unsigned)r->capture[1] << 8;

	r->captured = false;
	if (r->have < sizeof(r->capture))
		return;
	if (el->tag == TAG_BITS_ALLOCATED) {
		f->bits = v;
	} else if (el->tag == TAG_WAVEFORM_BITS) {
		f->wave_bits = v;
	} else {
		f->sign = v == 1;
		reencode_release(r, el->depth, v == 1);
	}
}

static int
begin_plain(struct dicom_reencode *r, const struct dicom_element *el)
{
	uint16_t vr = el->implicit ? choose_vr(r, el) : el->vr;
	bool swapped = r->big_endian && !el->implicit;

	if (is_dropped(el)) {
		r->value = VALUE_DROP;
		return 0;
	}
	if (swapped && check_big_endian(r, el) != 0)
		return r->result;
	r->unit = dicom_vr_unit(el->vr);
	r->value = swapped && r->unit > 1 ? VALUE_SWAP : VALUE_PASS;
	r->captured = is_captured(el);
	r->have = 0;
	r->odd = el->length & 1;
	r->padding = dicom_vr_padding(vr);
	return put_header(r, el, vr, even_length(el->length));
}

static int
begin_fragments(struct dicom_reencode *r, const struct dicom_element *el)
{
	if (el->implicit)
		return reencode_fail(r, -ENOTSUP, el->tag,
		    "fragments in an implicit VR transfer syntax");
	if (r->big_endian && el->vr != VR_OB)
		return reencode_fail(r, -ENOTSUP, el->tag,
		    "fragments in a big-endian transfer syntax");
	r->value = VALUE_PASS;
	return put_header(r, el, el->vr >> 8 == 'O' ? el->vr : VR_OB,
	    DICOM_UNDEFINED);
}

static int
begin_sequence(struct dicom_reencode *r, const struct dicom_element *el)
{
	uint16_t vr = el->implicit ? DICOM_VR_SQ : el->vr;

	if (vr == DICOM_VR_UN && !r->compare) {
		r->raw = true;
		r->raw_depth = el->depth;
	}
	return put_header(r, el, vr, DICOM_UNDEFINED);
}

static int
begin_raw(struct dicom_reencode *r, const struct dicom_element *el)
{
	struct reencode_frame *f = &r->frame[el->depth];

	r->value = VALUE_PASS;
	(void)reencode_put_implicit(r, el->tag, el->length);
	f->seq_end = el->length == DICOM_UNDEFINED ? REENCODE_NO_END :
	    r->length + el->length;
	return r->result;
}

static bool
is_container(const struct dicom_element *el)
{
	return el->length == DICOM_UNDEFINED || el->vr == DICOM_VR_SQ;
}

static int
on_element(void *arg, const struct dicom_element *el)
{
	struct dicom_reencode *r = arg;

	r->captured = false;
	if (r->raw)
		return begin_raw(r, el);
	if (el->depth == 0 && el->tag > TAG_PIXEL_SIGN) {
		r->past_sign = true;
		reencode_release(r, 0, false);
	}
	if (el->fragments)
		return begin_fragments(r, el);
	return is_container(el) ? begin_sequence(r, el) : begin_plain(r, el);
}

static void
capture_bytes(struct dicom_reencode *r, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len && r->have < sizeof(r->capture); i++) {
		unsigned at = r->value == VALUE_SWAP ? 1 - r->have : r->have;

		r->capture[at] = data[i];
		r->have++;
	}
}

static int
on_value(void *arg, const struct dicom_element *el, const void *data,
    size_t len)
{
	struct dicom_reencode *r = arg;

	(void)el;
	if (r->captured)
		capture_bytes(r, data, len);
	switch (r->value) {
	case VALUE_PASS:
		return reencode_put(r, data, len);
	case VALUE_SWAP:
		return reencode_put_swapped(r, data, len);
	case VALUE_DROP:
		break;
	}
	return 0;
}

static int
end_raw(struct dicom_reencode *r, const struct dicom_element *el)
{
	uint64_t want = r->frame[el->depth].seq_end;

	if (el->length == DICOM_UNDEFINED)
		return reencode_put_marker(r, TAG_SEQUENCE_DELIM, 0);
	if (want != r->length)
		return reencode_fail(r, -ENOTSUP, el->tag,
		    "lengths and delimiters contradict each other inside UN");
	return 0;
}

static int
put_padding(struct dicom_reencode *r)
{
	return r->odd ? reencode_put(r, &r->padding, 1) : r->result;
}

static int
on_end(void *arg, const struct dicom_element *el)
{
	struct dicom_reencode *r = arg;

	if (r->raw && el->depth > r->raw_depth)
		return end_raw(r, el);
	r->raw = false;
	if (is_container(el))
		return reencode_put_marker(r, TAG_SEQUENCE_DELIM, 0);
	if (r->captured)
		keep_captured(r, el);
	return r->value == VALUE_DROP ? 0 : put_padding(r);
}

static int
on_item(void *arg, const struct dicom_element *el, uint32_t length)
{
	struct dicom_reencode *r = arg;
	struct reencode_frame *f = &r->frame[el->depth + 1];

	clear_frame(f);
	r->captured = false;
	r->value = VALUE_PASS;
	if (r->raw) {
		(void)reencode_put_marker(r, TAG_ITEM, length);
		if (length != DICOM_UNDEFINED)
			f->item_end = r->length + length;
		return r->result;
	}
	if (!el->fragments)
		return reencode_put_marker(r, TAG_ITEM, DICOM_UNDEFINED);
	r->odd = length & 1;
	r->padding = '\0';
	return reencode_put_marker(r, TAG_ITEM, even_length(length));
}

static int
on_item_end(void *arg, const struct dicom_element *el)
{
	struct dicom_reencode *r = arg;
	const struct reencode_frame *f = &r->frame[el->depth + 1];

	if (r->raw && f->item_end != REENCODE_NO_END) {
		if (f->item_end == r->length)
			return 0;
		return reencode_fail(r, -ENOTSUP, el->tag,
		    "lengths and delimiters contradict each other inside UN");
	}
	if (el->fragments)
		return put_padding(r);
	if (!r->raw)
		reencode_inherit(r, el->depth + 1);
	return reencode_put_marker(r, TAG_ITEM_DELIM, 0);
}

static const struct dicom_scan_events events = {
	.element = on_element,
	.value = on_value,
	.end = on_end,
	.item = on_item,
	.item_end = on_item_end,
};

static int
fail_whole(struct dicom_reencode *r, int error, const char *why)
{
	if (r->result != 0)
		return r->result;
	r->result = error;
	(void)snprintf(r->reason, sizeof(r->reason), "%s", why);
	return error;
}

static int
feed_scan(void *arg, const void *data, size_t len)
{
	struct dicom_reencode *r = arg;
	int error = dicom_scan_feed(r->scan, data, len);

	return error == 0 ? 0 : fail_whole(r, error, dicom_scan_reason(r->scan));
}

static int
fail_inflate(struct dicom_reencode *r, int error)
{
	if (error == -EFBIG)
		return fail_whole(r, -ENOTSUP, "inflates to more than 4 GiB");
	return fail_whole(r, error, "not a deflate stream, or cut short");
}

static struct dicom_reencode *
new_converter(const struct dicom_syntax *from, bool compare,
    dicom_sink_fn *fn, void *arg)
{
	struct dicom_reencode *r = xcalloc(1, sizeof(*r));
	enum dicom_encoding enc = from->encoding;

	assert(dicom_syntax_convertible(from));
	if (enc == DICOM_DEFLATED_LE) {
		enc = DICOM_EXPLICIT_LE;
		r->inflate = dicom_inflate_new(INFLATED_MAX, feed_scan, r);
	}
	r->scan = dicom_scan_new(enc, &events, r);
	r->big_endian = enc == DICOM_EXPLICIT_BE;
	r->compare = compare;
	r->fn = fn;
	r->arg = arg;
	clear_frame(&r->frame[0]);
	return r;
}

struct dicom_reencode *
dicom_reencode_new(const struct dicom_syntax *from, dicom_sink_fn *fn,
    void *arg)
{
	return new_converter(from, false, fn, arg);
}

struct dicom_reencode *
dicom_reencode_new_compare(const struct dicom_syntax *from, dicom_sink_fn *fn,
    void *arg)
{
	return new_converter(from, true, fn, arg);
}

/* What is compared is written as implicit VR has it. */
struct dicom_reencode *
dicom_reencode_new_implicit(const struct dicom_syntax *from, dicom_sink_fn *fn,
    void *arg)
{
	return new_converter(from, true, fn, arg);
}

void
dicom_reencode_free(struct dicom_reencode *r)
{
	if (r == NULL)
		return;
	dicom_inflate_free(r->inflate);
	dicom_scan_free(r->scan);
	free(r);
}

int
dicom_reencode_feed(struct dicom_reencode *r, const void *data, size_t len)
{
	int error;

	if (r->result != 0)
		return r->result;
	if (r->inflate == NULL)
		return feed_scan(r, data, len);
	error = dicom_inflate_feed(r->inflate, data, len);
	return error == 0 ? 0 : fail_inflate(r, error);
}

int
dicom_reencode_end(struct dicom_reencode *r)
{
	int error;

	if (r->result == 0 && r->inflate != NULL) {
		error = dicom_inflate_end(r->inflate);
		if (error != 0)
			return fail_inflate(r, error);
	}
	if (r->result == 0) {
		error = dicom_scan_end(r->scan);
		if (error != 0)
			return fail_whole(r, error, dicom_scan_reason(r->scan));
	}
	return r->result != 0 ? r->result : reencode_flush(r);
}

const char *
dicom_reencode_reason(const struct dicom_reencode *r)
{
	return r->reason;
}

uint64_t
dicom_reencode_skippable(const struct dicom_reencode *r)
{
	assert(r->fn == NULL);
	if (r->result != 0 || r->inflate != NULL || r->captured ||
	    r->value == VALUE_SWAP)
		return 0;
	return dicom_scan_skippable(r->scan);
}

void
dicom_reencode_skipped(struct dicom_reencode *r, uint64_t len)
{
	assert(len <= dicom_reencode_skippable(r));
	if (r->value != VALUE_DROP)
		r->length += len;
	dicom_scan_skipped(r->scan, len);
}

uint64_t
dicom_reencode_length(const struct dicom_reencode *r)
{
	return r->length;
}
