/* utf8.c - one code point at a time, in and out of UTF-8 (utf8_int.h).
 */
#include "gateway/dicom/utf8_int.h"

/* The whole length that a lead byte promises, and the least code point that
 * may be written so; 0 for what cannot lead. */
static size_t
measure_lead(unsigned char lead, uint32_t *ret_bits, uint32_t *ret_least)
{
	if (lead < 0x80) {
		*ret_bits = lead;
		*ret_least = 0;
		return 1;
	}
	if ((lead & 0xe0) == 0xc0) {
		*ret_bits = lead & 0x1f;
		*ret_least = 0x80;
		return 2;
	}
	if ((lead & 0xf0) == 0xe0) {
		*ret_bits = lead & 0x0f;
		*ret_least = 0x800;
		return 3;
	}
	if ((lead & 0xf8) == 0xf0) {
		*ret_bits = lead & 0x07;
		*ret_least = 0x10000;
		return 4;
	}
	return 0;
}

size_t
dicom_utf8_read(const char *s, size_t len, uint32_t *ret_cp)
{
	uint32_t cp = 0, least = 0;
	size_t n;

	if (len == 0)
		return 0;
	n = measure_lead((unsigned char)s[0], &cp, &least);
	if (n == 0 || n > len)
		goto invalid;
	for (size_t i = 1; i < n; i++) {
		unsigned char c = (unsigned char)s[i];

		if ((c & 0xc0) != 0x80)
			goto invalid;
		cp = cp << 6 | (c & 0x3f);
	}
	if (cp < least || cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff))
		goto invalid;
	*ret_cp = cp;
	return n;
invalid:
	*ret_cp = UTF8_REPLACEMENT;
	return 1;
}

size_t
dicom_utf8_write(uint32_t cp, char dst[static UTF8_MAX])
{
	if (cp < 0x80) {
		dst[0] = (char)cp;
		return 1;
	}
	if (cp < 0x800) {
		dst[0] = (char)(0xc0 | cp >> 6);
		dst[1] = (char)(0x80 | (cp & 0x3f));
		return 2;
	}
	if (cp < 0x10000) {
		dst[0] = (char)(0xe0 | cp >> 12);
		dst[1] = (char)(0x80 | (cp >> 6 & 0x3f));
		dst[2] = (char)(0x80 | (cp & 0x3f));
		return 3;
	}
	dst[0] = (char)(0xf0 | cp >> 18);
	dst[1] = (char)(0x80 | (cp >> 12 & 0x3f));
	dst[2] = (char)(0x80 | (cp >> 6 & 0x3f));
	dst[3] = (char)(0x80 | (cp & 0x3f));
	return 4;
}
