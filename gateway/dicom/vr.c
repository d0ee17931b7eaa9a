/* vr.c - what a value representation implies, and lookups in the dictionary
 * that gen-dict.awk makes out of PS3.6.
 *
 * Group lengths and private creators follow from their numbers (PS3.5 7.2,
 * 7.8.1); everything else that the dictionary does not list is UN.
 */
#include <stdlib.h>
#include <string.h>

#include "gateway/base/cleanup.h"
#include "gateway/dicom/vr.h"
#include "gateway/dicom/vr_int.h"

struct vr_traits {
	uint16_t vr;
	uint8_t	 unit;		/* bytes that are swapped together */
	bool	 is_long;
	bool	 text;		/* Specific Character Set applies */
	char	 padding;
};

/* PS3.5 tables 6.2-1 and 7.1-1, section 7.3; in order of the letters. */
static const struct vr_traits vr_table[] = {
	{ DICOM_VR('A', 'E'), 1, false, false, ' ' },
	{ DICOM_VR('A', 'S'), 1, false, false, ' ' },
	{ DICOM_VR('A', 'T'), 2, false, false, '\0' },
	{ DICOM_VR('C', 'S'), 1, false, false, ' ' },
	{ DICOM_VR('D', 'A'), 1, false, false, ' ' },
	{ DICOM_VR('D', 'S'), 1, false, false, ' ' },
	{ DICOM_VR('D', 'T'), 1, false, false, ' ' },
	{ DICOM_VR('F', 'D'), 8, false, false, '\0' },
	{ DICOM_VR('F', 'L'), 4, false, false, '\0' },
	{ DICOM_VR('I', 'S'), 1, false, false, ' ' },
	{ DICOM_VR('L', 'O'), 1, false, true, ' ' },
	{ DICOM_VR('L', 'T'), 1, false, true, ' ' },
	{ DICOM_VR('O', 'B'), 1, true, false, '\0' },
	{ DICOM_VR('O', 'D'), 8, true, false, '\0' },
	{ DICOM_VR('O', 'F'), 4, true, false, '\0' },
	{ DICOM_VR('O', 'L'), 4, true, false, '\0' },
	{ DICOM_VR('O', 'V'), 8, true, false, '\0' },
	{ DICOM_VR('O', 'W'), 2, true, false, '\0' },
	{ DICOM_VR('P', 'N'), 1, false, true, ' ' },
	{ DICOM_VR('S', 'H'), 1, false, true, ' ' },
	{ DICOM_VR('S', 'L'), 4, false, false, '\0' },
	{ DICOM_VR('S', 'Q'), 1, true, false, '\0' },
	{ DICOM_VR('S', 'S'), 2, false, false, '\0' },
	{ DICOM_VR('S', 'T'), 1, false, true, ' ' },
	{ DICOM_VR('S', 'V'), 8, true, false, '\0' },
	{ DICOM_VR('T', 'M'), 1, false, false, ' ' },
	{ DICOM_VR('U', 'C'), 1, true, true, ' ' },
	{ DICOM_VR('U', 'I'), 1, false, false, '\0' },
	{ DICOM_VR('U', 'L'), 4, false, false, '\0' },
	{ DICOM_VR('U', 'N'), 1, true, false, '\0' },
	{ DICOM_VR('U', 'R'), 1, true, false, ' ' },
	{ DICOM_VR('U', 'S'), 2, false, false, '\0' },
	{ DICOM_VR('U', 'T'), 1, true, true, ' ' },
	{ DICOM_VR('U', 'V'), 8, true, false, '\0' },
};

static int
compare_traits(const void *key, const void *member)
{
	const struct vr_traits *t = member;

	return (int)*(const uint16_t *)key - (int)t->vr;
}

static const struct vr_traits *
find_traits(uint16_t vr)
{
	return bsearch(&vr, vr_table, ARRAY_LEN(vr_table), sizeof(vr_table[0]),
	    compare_traits);
}

static int
compare_tag(const void *key, const void *member)
{
	dicom_tag_t tag = *(const dicom_tag_t *)key;
	const struct dicom_dict_entry *e = member;

	return (tag > e->tag) - (tag < e->tag);
}

static const struct dicom_dict_entry *
find_entry(dicom_tag_t tag)
{
	return bsearch(&tag, dicom_dict_entries, dicom_dict_entry_count,
	    sizeof(dicom_dict_entries[0]), compare_tag);
}

static bool
range_has(uint16_t first, uint16_t last, uint16_t n)
{
	return n >= first && n <= last && (n & 1) == (first & 1);
}

static const struct dicom_dict_range *
find_range(dicom_tag_t tag)
{
	uint16_t group = (uint16_t)(tag >> 16), element = (uint16_t)tag;

	for (size_t i = 0; i < dicom_dict_range_count; i++) {
		const struct dicom_dict_range *r = &dicom_dict_ranges[i];

		if (range_has(r->group_first, r->group_last, group) &&
		    range_has(r->element_first, r->element_last, element))
			return r;
	}
	return NULL;
}

static int
compare_keyword(const void *key, const void *member)
{
	const uint16_t *i = member;

	return strcmp(key, dicom_dict_entries[*i].keyword);
}

bool
dicom_vr_known(uint16_t vr)
{
	return find_traits(vr) != NULL;
}

bool
dicom_vr_long(uint16_t vr)
{
	const struct vr_traits *t = find_traits(vr);

	/* VRs that are yet to be invented will have the long form. */
	return t != NULL ? t->is_long : vr != DICOM_VR_US_SS;
}

unsigned
dicom_vr_unit(uint16_t vr)
{
	const struct vr_traits *t = find_traits(vr);

	if (vr == DICOM_VR_US_SS || vr == DICOM_VR_US_SS_OW || vr == DICOM_VR_OB_OW)
		return 2;
	return t != NULL ? t->unit : 1;
}

bool
dicom_vr_text(uint16_t vr)
{
	const struct vr_traits *t = find_traits(vr);

	return t != NULL && t->text;
}

char
dicom_vr_padding(uint16_t vr)
{
	const struct vr_traits *t = find_traits(vr);

	return t != NULL ? t->padding : '\0';
}

uint16_t
dicom_dict_vr(dicom_tag_t tag)
{
	uint16_t group = (uint16_t)(tag >> 16), element = (uint16_t)tag;
	const struct dicom_dict_entry *e;
	const struct dicom_dict_range *r;

	if (element == 0x0000)
		return DICOM_VR('U', 'L');
	if ((group & 1) != 0) {
		return element >= 0x0010 && element <= 0x00ff ?
		    DICOM_VR('L', 'O') : DICOM_VR_UN;
	}

	e = find_entry(tag);
	if (e != NULL)
		return e->vr;
	r = find_range(tag);
	return r != NULL ? r->vr : DICOM_VR_UN;
}

const char *
dicom_dict_keyword(dicom_tag_t tag)
{
	const struct dicom_dict_entry *e = find_entry(tag);
	const struct dicom_dict_range *r;

	if (e != NULL)
		return e->keyword;
	r = find_range(tag);
	return r != NULL ? r->keyword : NULL;
}

dicom_tag_t
dicom_dict_tag(const char *keyword)
{
	const uint16_t *i = bsearch(keyword, dicom_dict_by_keyword,
	    dicom_dict_keyword_count, sizeof(dicom_dict_by_keyword[0]),
	    compare_keyword);

	if (i != NULL)
		return dicom_dict_entries[*i].tag;
	for (size_t n = 0; n < dicom_dict_range_count; n++) {
		const struct dicom_dict_range *r = &dicom_dict_ranges[n];

		if (strcmp(keyword, r->keyword) == 0)
			return (dicom_tag_t)r->group_first << 16 | r->element_first;
	}
	return 0;
}
