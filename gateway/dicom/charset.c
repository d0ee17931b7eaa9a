/* charset.c - Specific Character Set to UTF-8.
 *
 * A text is walked once. Controls and delimiters are looked at here; the runs
 * between them are decoded by whatever is designated: G0 for bytes below 80H, G1
 * above, changed by escape sequences (PS3.3 tables C.12-2 to C.12-4) and back to
 * what the first value of (0008,0005) says after every delimiter. Sets that do
 * not know code extensions (UTF-8, GB18030, GBK) are decoded in whole runs.
 *
 * Lenient: known escapes are honoured whether declared or not, and where G1 holds
 * nothing, the first declared set that has a G1 is used, because writers forget
 * to repeat the escape behind a delimiter.
 */
#include "gateway/dicom/charset.h"

#include <ctype.h>
#include <errno.h>
#include <iconv.h>
#include <stdbool.h>
#include <string.h>

#include "gateway/base/cleanup.h"
#include "gateway/dicom/utf8_int.h"
#include "gateway/dicom/vr.h"

#define ESC 0x1b

enum form {
	FORM_NONE,	/* nothing designated: every byte is a stranger */
	FORM_ASCII,
	FORM_ROMAJI,	/* ISO-IR 14: ASCII but for yen and overline */
	FORM_KATAKANA,	/* ISO-IR 13 */
	FORM_SINGLE,	/* the upper half of an 8-bit set */
	FORM_DOUBLE,	/* 94 x 94, two bytes a character */
	FORM_WHOLE,	/* both halves at once, no code extensions; no name: UTF-8 */
};

struct set {
	enum form   form;
	const char *iconv;	/* the name, for SINGLE, DOUBLE, WHOLE */
	char	    prefix;	/* before each character (EUC-JP's code set 3) */
};

static const struct set set_none = { FORM_NONE, NULL, 0 };
static const struct set set_ascii = { FORM_ASCII, NULL, 0 };
static const struct set set_romaji = { FORM_ROMAJI, NULL, 0 };
static const struct set set_katakana = { FORM_KATAKANA, NULL, 0 };
static const struct set set_latin1 = { FORM_SINGLE, "ISO-8859-1", 0 };
static const struct set set_latin2 = { FORM_SINGLE, "ISO-8859-2", 0 };
static const struct set set_latin3 = { FORM_SINGLE, "ISO-8859-3", 0 };
static const struct set set_latin4 = { FORM_SINGLE, "ISO-8859-4", 0 };
static const struct set set_cyrillic = { FORM_SINGLE, "ISO-8859-5", 0 };
static const struct set set_arabic = { FORM_SINGLE, "ISO-8859-6", 0 };
static const struct set set_greek = { FORM_SINGLE, "ISO-8859-7", 0 };
static const struct set set_hebrew = { FORM_SINGLE, "ISO-8859-8", 0 };
static const struct set set_latin5 = { FORM_SINGLE, "ISO-8859-9", 0 };
static const struct set set_latin9 = { FORM_SINGLE, "ISO-8859-15", 0 };
static const struct set set_thai = { FORM_SINGLE, "ISO-8859-11", 0 };
static const struct set set_kanji = { FORM_DOUBLE, "EUC-JP", 0 };
static const struct set set_kanji2 = { FORM_DOUBLE, "EUC-JP", (char)0x8f };
static const struct set set_korean = { FORM_DOUBLE, "EUC-KR", 0 };
static const struct set set_chinese = { FORM_DOUBLE, "EUC-CN", 0 };
static const struct set set_utf8 = { FORM_WHOLE, NULL, 0 };
static const struct set set_gb18030 = { FORM_WHOLE, "GB18030", 0 };
static const struct set set_gbk = { FORM_WHOLE, "GBK", 0 };

/* Terms without separators and in capitals, so that ISO_IR 100, ISO-IR 100 and
 * iso_ir_100 are one; `ISO2022` in front of `IR` is taken off before. A set that
 * begins in G0 with two bytes a character is not in force before its escape. */
static const struct term {
	const char	 *name;
	const struct set *g0, *g1;
} terms[] = {
	{ "IR6", &set_ascii, &set_none },
	{ "IR13", &set_romaji, &set_katakana },
	{ "IR14", &set_romaji, &set_katakana },
	{ "IR100", &set_ascii, &set_latin1 },
	{ "IR101", &set_ascii, &set_latin2 },
	{ "IR109", &set_ascii, &set_latin3 },
	{ "IR110", &set_ascii, &set_latin4 },
	{ "IR126", &set_ascii, &set_greek },
	{ "IR127", &set_ascii, &set_arabic },
	{ "IR138", &set_ascii, &set_hebrew },
	{ "IR144", &set_ascii, &set_cyrillic },
	{ "IR148", &set_ascii, &set_latin5 },
	{ "IR166", &set_ascii, &set_thai },
	{ "IR203", &set_ascii, &set_latin9 },
	{ "IR87", &set_ascii, &set_none },
	{ "IR159", &set_ascii, &set_none },
	{ "IR149", &set_ascii, &set_korean },
	{ "IR58", &set_ascii, &set_chinese },
	{ "58", &set_ascii, &set_chinese },
	{ "IR192", &set_utf8, &set_utf8 },
	{ "GB18030", &set_gb18030, &set_gb18030 },
	{ "GBK", &set_gbk, &set_gbk },
	/* no Defined Terms, but met */
	{ "UTF8", &set_utf8, &set_utf8 },
	{ "ASCII", &set_ascii, &set_none },
	{ "USASCII", &set_ascii, &set_none },
	{ "LATIN1", &set_ascii, &set_latin1 },
	{ "88591", &set_ascii, &set_latin1 },
	{ "88592", &set_ascii, &set_latin2 },
	{ "88593", &set_ascii, &set_latin3 },
	{ "88594", &set_ascii, &set_latin4 },
	{ "88595", &set_ascii, &set_cyrillic },
	{ "88596", &set_ascii, &set_arabic },
	{ "88597", &set_ascii, &set_greek },
	{ "88598", &set_ascii, &set_hebrew },
	{ "88599", &set_ascii, &set_latin5 },
	{ "885915", &set_ascii, &set_latin9 },
};

static const struct escape {
	const char	 *after;	/* what follows ESC */
	const struct set *g0, *g1;	/* NULL: left as it is */
} escapes[] = {
	{ "(B", &set_ascii, NULL },
	{ "(J", &set_romaji, NULL },
	{ ")I", NULL, &set_katakana },
	{ "-A", NULL, &set_latin1 },
	{ "-B", NULL, &set_latin2 },
	{ "-C", NULL, &set_latin3 },
	{ "-D", NULL, &set_latin4 },
	{ "-F", NULL, &set_greek },
	{ "-G", NULL, &set_arabic },
	{ "-H", NULL, &set_hebrew },
	{ "-L", NULL, &set_cyrillic },
	{ "-M", NULL, &set_latin5 },
	{ "-T", NULL, &set_thai },
	{ "-b", NULL, &set_latin9 },
	{ "$B", &set_kanji, NULL },
	{ "$@", &set_kanji, NULL },	/* the edition of 1978 */
	{ "$(D", &set_kanji2, NULL },
	{ "$)A", NULL, &set_chinese },
	{ "$)C", NULL, &set_korean },
};

struct decoder {
	const struct set *first_g0, *first_g1;	/* by the first value */
	const struct set *g0, *g1;
	bool	    person;	/* ^ and = delimit */
	bool	    single;	/* backslash is a character (LT, ST, UT) */
	struct buf *out;
};

static void
normalize_term(const char *term, size_t len, char *dst, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < len && n + 1 < size; i++)
		if (isalnum((unsigned char)term[i]))
			dst[n++] = (char)toupper((unsigned char)term[i]);
	dst[n] = '\0';
}

static const char *
strip_prefix(const char *s, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncmp(s, prefix, n) == 0 && s[n] != '\0' ? s + n : s;
}

/* NULL for an empty or unknown term. */
static const struct term *
find_term(const char *text, size_t len)
{
	char name[32];
	const char *s;

	normalize_term(text, len, name, sizeof(name));
	s = strip_prefix(strip_prefix(name, "ISO"), "2022");
	for (size_t i = 0; i < ARRAY_LEN(terms); i++)
		if (strcmp(terms[i].name, s) == 0)
			return &terms[i];
	return NULL;
}

static void
read_terms(struct decoder *d, const char *charset)
{
	const char *p = charset != NULL ? charset : "";
	bool first = true;

	d->first_g0 = &set_ascii;
	d->first_g1 = &set_none;
	for (;;) {
		size_t n = strcspn(p, "\\");
		const struct term *t = find_term(p, n);

		if (t != NULL) {
			if (first || t->g0->form == FORM_WHOLE)
				d->first_g0 = t->g0;
			if (d->first_g1->form == FORM_NONE)
				d->first_g1 = t->g1;
		}
		if (p[n] == '\0' || d->first_g1->form == FORM_WHOLE)
			break;
		p += n + 1;
		first = false;
	}
	/* UTF-8 behind another 8-bit set is a mistake; the other one counts. */
	if (d->first_g0->form == FORM_WHOLE && d->first_g1->form != FORM_WHOLE)
		d->first_g0 = &set_ascii;
	d->g0 = d->first_g0;
	d->g1 = d->first_g1;
}

static int
add_stranger(struct decoder *d)
{
	return buf_add_str(d->out, UTF8_REPLACEMENT_STR);
}

/* What iconv refuses costs one replacement per byte; `in` is never kept. */
static int
convert_run(struct decoder *d, const char *name, const char *in, size_t len)
{
	iconv_t cd = iconv_open("UTF-8", name);
	char *src = (char *)(uintptr_t)in;
	char portion[512];
	int r = 0;

	while (len > 0 && r == 0) {
		char *dst = portion;
		size_t room = sizeof(portion), before = len, n;

		n = cd == (iconv_t)-1 ? (size_t)-1 :
		    iconv(cd, &src, &len, &dst, &room);
		r = buf_add(d->out, portion, sizeof(portion) - room);
		if (r < 0 || n != (size_t)-1)
			continue;
		if (cd != (iconv_t)-1 && errno == E2BIG && len < before)
			continue;
		r = add_stranger(d);
		src++;
		len--;
	}
	if (cd != (iconv_t)-1)
		(void)iconv_close(cd);
	return r;
}

/* Not left to iconv: glibc's lets through what is past U+10FFFF. */
static int
copy_utf8(struct decoder *d, const char *p, size_t len)
{
	int r = 0;

	while (len > 0 && r == 0) {
		uint32_t cp = 0;
		size_t n = dicom_utf8_read(p, len, &cp);

		r = n == 1 && cp == UTF8_REPLACEMENT ? add_stranger(d) :
		    buf_add(d->out, p, n);
		p += n;
		len -= n;
	}
	return r;
}

static int
decode_romaji(struct decoder *d, const unsigned char *p, size_t len)
{
	int r = 0;

	for (size_t i = 0; i < len && r == 0; i++) {
		if (p[i] == 0x5c)
			r = buf_add_str(d->out, "\xc2\xa5");
		else if (p[i] == 0x7e)
			r = buf_add_str(d->out, "\xe2\x80\xbe");
		else
			r = buf_add_char(d->out, (char)p[i]);
	}
	return r;
}

static int
decode_katakana(struct decoder *d, const unsigned char *p, size_t len)
{
	char utf8[UTF8_MAX];
	int r = 0;

	for (size_t i = 0; i < len && r == 0; i++) {
		if (p[i] >= 0xa1 && p[i] <= 0xdf)
			r = buf_add(d->out, utf8,
			    dicom_utf8_write(0xff61u + p[i] - 0xa1, utf8));
		else
			r = add_stranger(d);
	}
	return r;
}

/* 80H to 9FH are controls in every 8-bit set of DICOM, and none is allowed. */
static int
decode_single(struct decoder *d, const struct set *set, const unsigned char *p,
    size_t len)
{
	int r = 0;

	while (len > 0 && r == 0) {
		size_t n = 0;

		while (n < len && p[n] >= 0xa0)
			n++;
		if (n == 0) {
			r = add_stranger(d);
			n = 1;
		} else {
			r = convert_run(d, set->iconv, (const char *)p, n);
		}
		p += n;
		len -= n;
	}
	return r;
}

/* Pairs of either half become EUC. Whatever cannot begin or end a pair is a
 * stranger, but a space is a space. */
static int
decode_double(struct decoder *d, const struct set *set, const unsigned char *p,
    size_t len)
{
	struct buf euc = BUF_INIT(3 * len + 3);
	int r = 0;

	for (size_t i = 0; i < len && r == 0; i++) {
		unsigned char hi = p[i] | 0x80;
		unsigned char lo = i + 1 < len ? p[i + 1] | 0x80 : 0;

		if (p[i] == ' ' || hi < 0xa1 || hi == 0xff) {
			r = buf_add_char(&euc, p[i] == ' ' ? ' ' : (char)0xff);
			continue;
		}
		if (lo < 0xa1 || lo == 0xff) {
			r = buf_add_char(&euc, (char)0xff);
			continue;
		}
		if (set->prefix != 0)
			r = buf_add_char(&euc, set->prefix);
		if (r == 0)
			r = buf_add_char(&euc, (char)hi);
		if (r == 0)
			r = buf_add_char(&euc, (char)lo);
		i++;
	}
	if (r == 0 && euc.len > 0)
		r = convert_run(d, set->iconv, euc.data, euc.len);
	buf_free(&euc);
	return r;
}

static int
decode_run(struct decoder *d, const struct set *set, const unsigned char *p,
    size_t len)
{
	int r = 0;

	switch (set->form) {
	case FORM_ASCII:
		return buf_add(d->out, p, len);
	case FORM_ROMAJI:
		return decode_romaji(d, p, len);
	case FORM_KATAKANA:
		return decode_katakana(d, p, len);
	case FORM_SINGLE:
		return decode_single(d, set, p, len);
	case FORM_DOUBLE:
		return decode_double(d, set, p, len);
	case FORM_WHOLE:
		return set->iconv == NULL ? copy_utf8(d, (const char *)p, len) :
		    convert_run(d, set->iconv, (const char *)p, len);
	case FORM_NONE:
		break;
	}
	while (len-- > 0 && r == 0)
		r = add_stranger(d);
	return r;
}

static bool
is_control(unsigned char c)
{
	return c < 0x20 || c == 0x7f;
}

/* In a set of two bytes a character, ^ is half a character. */
static bool
is_delimiter(const struct decoder *d, unsigned char c)
{
	if (d->g0->form == FORM_DOUBLE || d->g0->form == FORM_WHOLE)
		return false;
	if (d->person && (c == '^' || c == '='))
		return true;
	return c == '\\' && !d->single;
}

static size_t
measure_run(const struct decoder *d, const unsigned char *p, size_t len)
{
	bool high = p[0] >= 0x80;
	size_t n = 0;

	while (n < len && !is_control(p[n]) && !is_delimiter(d, p[n])) {
		if (d->g0->form != FORM_WHOLE && (p[n] >= 0x80) != high)
			break;
		n++;
	}
	return n;
}

static int
apply_escape(struct decoder *d, const unsigned char *p, size_t len,
    size_t *ret_taken)
{
	for (size_t i = 0; i < ARRAY_LEN(escapes); i++) {
		const struct escape *e = &escapes[i];
		size_t n = strlen(e->after);

		if (len <= n || memcmp(p + 1, e->after, n) != 0)
			continue;
		if (e->g0 != NULL)
			d->g0 = e->g0;
		if (e->g1 != NULL)
			d->g1 = e->g1;
		*ret_taken = n + 1;
		return 0;
	}
	*ret_taken = 1;
	return add_stranger(d);
}

static int
decode_control(struct decoder *d, const unsigned char *p, size_t len,
    size_t *ret_taken)
{
	if (p[0] == ESC && d->first_g0->form != FORM_WHOLE)
		return apply_escape(d, p, len, ret_taken);
	*ret_taken = 1;
	if (p[0] != '\t' && p[0] != '\n' && p[0] != '\f' && p[0] != '\r')
		return add_stranger(d);
	d->g0 = d->first_g0;
	d->g1 = d->first_g1;
	return buf_add_char(d->out, (char)p[0]);
}

static int
decode_next(struct decoder *d, const unsigned char *p, size_t len,
    size_t *ret_taken)
{
	if (is_control(p[0]))
		return decode_control(d, p, len, ret_taken);
	if (is_delimiter(d, p[0])) {
		*ret_taken = 1;
		d->g0 = d->first_g0;
		d->g1 = d->first_g1;
		return buf_add_char(d->out, (char)p[0]);
	}
	*ret_taken = measure_run(d, p, len);
	return decode_run(d, p[0] < 0x80 ? d->g0 : d->g1, p, *ret_taken);
}

int
dicom_to_utf8(const char *charset, uint16_t vr, const void *text, size_t len,
    struct buf *ret)
{
	const unsigned char *p = text;
	struct decoder d = {
		.person = vr == DICOM_VR('P', 'N'),
		.single = vr == DICOM_VR('L', 'T') || vr == DICOM_VR('S', 'T') ||
		    vr == DICOM_VR('U', 'T'),
		.out = ret,
	};
	int r = 0;

	read_terms(&d, charset);
	while (len > 0 && r == 0) {
		size_t taken = 0;

		r = decode_next(&d, p, len, &taken);
		p += taken;
		len -= taken;
	}
	return r;
}
