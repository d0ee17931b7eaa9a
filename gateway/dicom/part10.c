/* part10.c - writes and reads what stands in front of a data set in a file.
 *
 * Reading goes by the tags: group 0002 ends where another group begins. Its
 * length element is often missing or wrong, so it only decides where the bytes
 * behind cannot (a deflated data set, or none at all).
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "gateway/dicom/part10.h"
#include "gateway/dicom/vr.h"

#define PREAMBLE  128
#define META_AT	  (PREAMBLE + 4)
#define PARSE_MAX (64u * 1024)

#define VR_UI DICOM_VR('U', 'I')
#define VR_SH DICOM_VR('S', 'H')

struct meta {
	const uint8_t *data;
	size_t	 len;
	size_t	 pos;
	uint64_t declared_end;	/* 0: no group length */
	struct dicom_part10 p;
};

static void
put_u16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static void
put_u32(uint8_t *p, uint32_t v)
{
	put_u16(p, v & 0xffff);
	put_u16(p + 2, v >> 16);
}

static uint16_t
get_u16(const uint8_t *p)
{
	return (uint16_t)(p[1] << 8 | p[0]);
}

static uint32_t
get_u32(const uint8_t *p)
{
	return (uint32_t)get_u16(p + 2) << 16 | get_u16(p);
}

/* Short form, padded to even length. */
static void
add_text(struct buf *b, unsigned element, uint16_t vr, const char *text)
{
	size_t len = strlen(text), odd = len & 1;
	uint8_t header[8] = { 0x02, 0x00, 0, 0, (uint8_t)(vr >> 8), (uint8_t)vr };

	put_u16(header + 2, element);
	put_u16(header + 6, (unsigned)(len + odd));
	(void)buf_add(b, header, sizeof(header));
	(void)buf_add(b, text, len);
	if (odd)
		(void)buf_add_char(b, dicom_vr_padding(vr));
}

static void
add_group_length(struct buf *b, uint32_t length)
{
	uint8_t e[12] = { 0x02, 0x00, 0x00, 0x00, 'U', 'L', 0x04, 0x00 };

	put_u32(e + 8, length);
	(void)buf_add(b, e, sizeof(e));
}

static void
add_elements(struct buf *b, const struct dicom_part10 *p)
{
	static const uint8_t version[] = {
		0x02, 0x00, 0x01, 0x00, 'O', 'B', 0, 0, 2, 0, 0, 0, 0x00, 0x01
	};

	(void)buf_add(b, version, sizeof(version));
	add_text(b, 0x0002, VR_UI, p->sop_class);
	add_text(b, 0x0003, VR_UI, p->sop_instance);
	add_text(b, 0x0010, VR_UI, p->syntax);
	add_text(b, 0x0012, VR_UI, DICOM_IMPLEMENTATION_UID);
	add_text(b, 0x0013, VR_SH, DICOM_IMPLEMENTATION_VERSION);
}

int
dicom_part10_write(struct buf *b, const struct dicom_part10 *p)
{
	static const char preamble[PREAMBLE];
	size_t at;

	(void)buf_add(b, preamble, sizeof(preamble));
	(void)buf_add(b, "DICM", 4);
	add_group_length(b, 0);
	at = b->len;
	add_elements(b, p);
	if (buf_error(b) != 0)
		return buf_error(b);
	put_u32((uint8_t *)b->data + at - 4, (uint32_t)(b->len - at));
	return 0;
}

static void
keep_element(struct meta *m, unsigned element, const uint8_t *value, size_t len)
{
	char *dst = NULL;

	if (element == 0x0000 && len == 4)
		m->declared_end = (uint64_t)m->pos + get_u32(value);
	else if (element == 0x0002)
		dst = m->p.sop_class;
	else if (element == 0x0003)
		dst = m->p.sop_instance;
	else if (element == 0x0010)
		dst = m->p.syntax;
	/* What does not fit or has a NUL inside stays empty. */
	if (dst != NULL)
		(void)dicom_trim(value, len, dst, DICOM_UID_MAX + 1);
}

/* Also takes the implicit elements that some converters leave. */
static int
take_element(struct meta *m)
{
	const uint8_t *h = m->data + m->pos;
	size_t room = m->len - m->pos, header = 8;
	uint16_t vr;
	uint32_t len;

	if (room < header)
		return -EAGAIN;
	vr = DICOM_VR(h[4], h[5]);
	if (!dicom_vr_known(vr)) {
		len = get_u32(h + 4);
	} else if (!dicom_vr_long(vr)) {
		len = get_u16(h + 6);
	} else {
		header = 12;
		if (room < header)
			return -EAGAIN;
		len = get_u32(h + 8);
	}
	if (len > PARSE_MAX)
		return -EBADMSG;
	if (len > room - header)
		return -EAGAIN;
	m->pos += header + len;
	keep_element(m, get_u16(h + 2), h + header, len);
	return 0;
}

static bool
at_declared_end(const struct meta *m)
{
	return m->pos == m->declared_end && (m->pos == m->len ||
	    dicom_syntax_find(m->p.syntax)->encoding == DICOM_DEFLATED_LE);
}

/* 1: here group 0002 ends. */
static int
find_end(const struct meta *m)
{
	if (at_declared_end(m))
		return 1;
	if (m->len - m->pos < 2)
		return -EAGAIN;
	return get_u16(m->data + m->pos) != 0x0002;
}

static int
parse_meta(struct meta *m)
{
	int r;

	for (;;) {
		r = find_end(m);
		if (r == 0)
			r = take_element(m);
		if (r != 0)
			return r;
	}
}

int
dicom_part10_parse(const void *data, size_t len, struct dicom_part10 *ret,
    size_t *ret_size)
{
	struct meta m = {
		.data = data,
		.len = len < PARSE_MAX ? len : PARSE_MAX,
		.pos = META_AT,
	};
	int r;

	if (len < META_AT)
		return -EAGAIN;
	if (memcmp(m.data + PREAMBLE, "DICM", 4) != 0)
		return -EBADMSG;
	r = parse_meta(&m);
	if (r == -EAGAIN && len >= PARSE_MAX)
		return -EBADMSG;
	if (r < 0)
		return r;
	if (m.p.syntax[0] == '\0')
		memcpy(m.p.syntax, DICOM_UID_IMPLICIT_LE, sizeof(DICOM_UID_IMPLICIT_LE));
	*ret = m.p;
	*ret_size = m.pos;
	return 0;
}
