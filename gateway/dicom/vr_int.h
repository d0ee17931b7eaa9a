/* vr_int.h - the generated dictionary, as vr.c and gen-dict.awk agree on it. */
#ifndef CW_DICOM_VR_INT_H
#define CW_DICOM_VR_INT_H

#include <stddef.h>
#include <stdint.h>

#include "gateway/dicom/vr.h"

struct dicom_dict_entry {
	dicom_tag_t tag;
	uint16_t    vr;
	const char *keyword;
};

/* Even groups (and elements) from first to last, both included. */
struct dicom_dict_range {
	uint16_t    group_first, group_last;
	uint16_t    element_first, element_last;
	uint16_t    vr;
	const char *keyword;
};

extern const struct dicom_dict_entry dicom_dict_entries[];	/* by tag */
extern const size_t		     dicom_dict_entry_count;
extern const uint16_t		     dicom_dict_by_keyword[];	/* into entries */
extern const size_t		     dicom_dict_keyword_count;
extern const struct dicom_dict_range dicom_dict_ranges[];
extern const size_t		     dicom_dict_range_count;

#endif
