/* reencode_out.c - the converter's output: headers and small values are
 * collected in one buffer, large portions go to the sink as they are.
 *
 * Without a sink everything is counted and nothing is copied. Headers whose VR
 * (US or SS) hangs on a Pixel Representation that comes later stay in the buffer
 * until it comes; when the buffer is full before, they leave as US.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "gateway/dicom/reencode_int.h"

#define DIRECT 2048	/* from this size on copying costs more than a call */

static void
write_u16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static void
write_u32(uint8_t *p, uint32_t v)
{
	write_u16(p, v & 0xffff);
	write_u16(p + 2, v >> 16);
}

static void
write_tag(uint8_t *p, dicom_tag_t tag)
{
	write_u16(p, tag >> 16);
	write_u16(p + 2, tag & 0xffff);
}

int
reencode_fail(struct dicom_reencode *r, int error, dicom_tag_t tag,
    const char *why)
{
	if (r->result != 0)
		return r->result;
	r->result = error;
	(void)snprintf(r->reason, sizeof(r->reason), "(%04X,%04X): %s",
	    (unsigned)(tag >> 16), (unsigned)(tag & 0xffff), why);
	return error;
}

static int
call_sink(struct dicom_reencode *r, const void *data, size_t len)
{
	if (r->result == 0 && len > 0)
		r->result = r->fn(r->arg, data, len);
	return r->result;
}

int
reencode_flush(struct dicom_reencode *r)
{
	size_t n = r->used;

	r->used = 0;
	r->n_held = 0;
	return r->fn == NULL ? r->result : call_sink(r, r->out, n);
}

int
reencode_put(struct dicom_reencode *r, const void *data, size_t len)
{
	r->length += len;
	if (r->fn == NULL)
		return r->result;
	if (len > REENCODE_OUT - r->used || (len >= DIRECT && r->n_held == 0)) {
		(void)reencode_flush(r);
		if (len >= DIRECT)
			return call_sink(r, data, len);
	}
	memcpy(r->out + r->used, data, len);
	r->used += len;
	return r->result;
}

/* Pixels, four words at a time: byte by byte it takes four times as long. */
static void
swap_words(uint8_t *dst, const uint8_t *src, size_t len)
{
	const uint64_t low = UINT64_C(0x00ff00ff00ff00ff);
	size_t i = 0;

	for (; i + 8 <= len; i += 8) {
		uint64_t v;

		memcpy(&v, src + i, 8);
		v = (v & low) << 8 | (v >> 8 & low);
		memcpy(dst + i, &v, 8);
	}
	for (; i < len; i += 2) {
		dst[i] = src[i + 1];
		dst[i + 1] = src[i];
	}
}

static void
swap_units(uint8_t *dst, const uint8_t *src, size_t len, unsigned unit)
{
	if (unit == 2) {
		swap_words(dst, src, len);
		return;
	}
	for (size_t i = 0; i < len; i += unit)
		for (size_t k = 0; k < unit; k++)
			dst[i + k] = src[i + unit - 1 - k];
}

/* Completes the unit that the last portion left behind; bytes taken. */
static size_t
fill_carry(struct dicom_reencode *r, const uint8_t *data, size_t len)
{
	uint8_t swapped[8];
	size_t n = r->unit - r->carried;

	if (n > len)
		n = len;
	memcpy(r->carry + r->carried, data, n);
	r->carried += (unsigned)n;
	if (r->carried == r->unit) {
		swap_units(swapped, r->carry, r->unit, r->unit);
		(void)reencode_put(r, swapped, r->unit);
		r->carried = 0;
	}
	return n;
}

int
reencode_put_swapped(struct dicom_reencode *r, const uint8_t *data, size_t len)
{
	while (len > 0 && r->result == 0) {
		size_t n = len < DIRECT ? len : DIRECT;

		n -= n % r->unit;
		if (r->carried > 0 || n == 0) {
			n = fill_carry(r, data, len);
		} else if (r->fn == NULL) {
			r->length += n;
		} else {
			if (n > REENCODE_OUT - r->used)
				(void)reencode_flush(r);
			swap_units(r->out + r->used, data, n, r->unit);
			r->used += n;
			r->length += n;
		}
		data += n;
		len -= n;
	}
	return r->result;
}

int
reencode_put_marker(struct dicom_reencode *r, dicom_tag_t tag, uint32_t length)
{
	return reencode_put_implicit(r, tag, length);
}

int
reencode_put_implicit(struct dicom_reencode *r, dicom_tag_t tag,
    uint32_t length)
{
	uint8_t h[8];

	write_tag(h, tag);
	write_u32(h + 4, length);
	return reencode_put(r, h, sizeof(h));
}

int
reencode_put_explicit(struct dicom_reencode *r, dicom_tag_t tag, uint16_t vr,
    uint32_t length)
{
	uint8_t h[12] = { 0 };

	write_tag(h, tag);
	h[4] = (uint8_t)(vr >> 8);
	h[5] = (uint8_t)vr;
	if (dicom_vr_long(vr)) {
		write_u32(h + 8, length);
		return reencode_put(r, h, 12);
	}
	assert(length <= UINT16_MAX);
	write_u16(h + 6, length);
	return reencode_put(r, h, 8);
}

void
reencode_hold(struct dicom_reencode *r, unsigned depth)
{
	if (r->fn == NULL || r->n_held == REENCODE_HELD || r->used < 8)
		return;
	r->held[r->n_held].at = r->used - 4;
	r->held[r->n_held].depth = depth;
	r->n_held++;
}

void
reencode_release(struct dicom_reencode *r, unsigned depth, bool is_signed)
{
	while (r->n_held > 0 && r->held[r->n_held - 1].depth >= depth) {
		r->n_held--;
		if (is_signed)
			r->out[r->held[r->n_held].at] = 'S';
	}
}

void
reencode_inherit(struct dicom_reencode *r, unsigned depth)
{
	for (unsigned i = 0; i < r->n_held; i++)
		if (r->held[i].depth >= depth)
			r->held[i].depth = depth - 1;
}
