/* fold.c - what two spellings of one name have in common.
 *
 * A code point is looked up in a table that was generated once (fold-table.py)
 * and is the same on every machine; marks that stand by themselves are dropped,
 * but a voiced sound mark joins the kana before it, so that half-width and
 * decomposed kana become the precomposed ones. Folding twice changes nothing.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/base/cleanup.h"
#include "gateway/dicom/charset.h"
#include "gateway/dicom/utf8_int.h"

#define VOICED	    0x3099u
#define HALF_VOICED 0x309au

static const struct fold {
	uint16_t from;
	char	 to[6];
} folds[] = {
#include "gateway/dicom/fold_table.h"
};

/* Marks and format characters outside the table's ranges. Vowel signs of Thai
 * and of the Indic scripts are letters of their words and stay. */
static const struct range {
	uint32_t first, last;
} dropped[] = {
	{ 0x0300, 0x036f }, { 0x0591, 0x05bd }, { 0x05bf, 0x05bf },
	{ 0x05c1, 0x05c2 }, { 0x05c4, 0x05c5 }, { 0x05c7, 0x05c7 },
	{ 0x0610, 0x061a }, { 0x0640, 0x0640 }, { 0x064b, 0x065f },
	{ 0x0670, 0x0670 }, { 0x06d6, 0x06dc }, { 0x1ab0, 0x1aff },
	{ 0x1dc0, 0x1dff }, { 0x20d0, 0x20ff }, { 0xfe00, 0xfe0f },
	{ 0xfe20, 0xfe2f }, { 0xfeff, 0xfeff },
};

struct folder {
	struct buf *out;
	uint32_t    held;	/* last code point, which a mark may still change */
	bool	    space;	/* seen, and not written before something follows */
	bool	    begun;
};

static int
compare_fold(const void *key, const void *entry)
{
	uint32_t cp = *(const uint32_t *)key;
	uint32_t from = ((const struct fold *)entry)->from;

	return (cp > from) - (cp < from);
}

static bool
is_dropped(uint32_t cp)
{
	for (size_t i = 0; i < ARRAY_LEN(dropped); i++)
		if (cp >= dropped[i].first && cp <= dropped[i].last)
			return true;
	return false;
}

/* 0 when this kana has no such form. Hiragana and katakana lie 60H apart. */
static uint32_t
join_kana(uint32_t kana, uint32_t mark)
{
	uint32_t shift = kana >= 0x30a0 && kana <= 0x30ff ? 0x60 : 0;
	uint32_t base = kana - shift;

	if (base >= 0x306f && base <= 0x307b && (base - 0x306f) % 3 == 0)
		return kana + (mark == VOICED ? 1 : 2);
	if (mark != VOICED)
		return 0;
	if (base == 0x3046)
		return 0x3094 + shift;
	if (base >= 0x304b && base <= 0x3061 && base % 2 == 1)
		return kana + 1;
	if (base >= 0x3064 && base <= 0x3068 && base % 2 == 0)
		return kana + 1;
	return 0;
}

static int
flush_held(struct folder *f)
{
	char utf8[UTF8_MAX];
	size_t n;

	if (f->held == 0)
		return 0;
	n = dicom_utf8_write(f->held, utf8);
	f->held = 0;
	f->begun = true;
	return buf_add(f->out, utf8, n);
}

static int
put_code_point(struct folder *f, uint32_t cp)
{
	int r;

	if (cp == VOICED || cp == HALF_VOICED) {
		uint32_t joined = f->space ? 0 : join_kana(f->held, cp);

		if (joined != 0)
			f->held = joined;
		return 0;
	}
	r = flush_held(f);
	if (r < 0)
		return r;
	if (cp == ' ' || (cp >= '\t' && cp <= '\r') || cp == 0) {
		f->space = true;
		return 0;
	}
	if (f->space && f->begun)
		r = buf_add_char(f->out, ' ');
	f->space = false;
	f->held = cp;
	return r;
}

static int
put_folded(struct folder *f, uint32_t cp)
{
	const struct fold *e;
	size_t len, taken;
	int r = 0;

	if (cp < 0x80)
		return put_code_point(f,
		    cp >= 'A' && cp <= 'Z' ? cp - 'A' + 'a' : cp);
	if (is_dropped(cp))
		return 0;
	e = bsearch(&cp, folds, ARRAY_LEN(folds), sizeof(folds[0]),
	    compare_fold);
	if (e == NULL)
		return put_code_point(f, cp);
	len = strnlen(e->to, sizeof(e->to));
	for (size_t i = 0; i < len && r == 0; i += taken) {
		taken = dicom_utf8_read(e->to + i, len - i, &cp);
		r = put_code_point(f, cp);
	}
	return r;
}

int
dicom_fold(const char *utf8, size_t len, struct buf *ret)
{
	struct folder f = { .out = ret };
	int r = 0;

	while (len > 0 && r == 0) {
		uint32_t cp = 0;
		size_t taken = dicom_utf8_read(utf8, len, &cp);

		r = put_folded(&f, cp);
		utf8 += taken;
		len -= taken;
	}
	return r < 0 ? r : flush_held(&f);
}

const char *
dicom_name_group(const char *name, size_t len, unsigned group,
    size_t *ret_len)
{
	const char *end = name + len;

	for (;;) {
		const char *eq = name == end ? NULL :
		    memchr(name, '=', (size_t)(end - name));
		const char *stop = eq != NULL ? eq : end;

		if (group == 0 || eq == NULL) {
			*ret_len = group == 0 ? (size_t)(stop - name) : 0;
			return group == 0 ? name : end;
		}
		name = eq + 1;
		group--;
	}
}
