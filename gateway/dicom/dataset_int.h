/* dataset_int.h - how json.c and xml.c build data sets.
 *
 * Parsers append attributes in any order and seal each data set once: it is
 * sorted then, and of attributes given twice the last one stays. Everything that
 * is appended is paid for from one budget, so a text cannot grow past
 * DICOM_DATASET_ELEMENTS however it is nested.
 */
#ifndef CW_DICOM_DATASET_INT_H
#define CW_DICOM_DATASET_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/dicom/dataset.h"

struct dicom_attribute {
	dicom_tag_t tag;
	uint16_t    vr;
	size_t	    order;	/* in which it was appended */
	size_t	    n, size;
	char	  **text;	/* NULL for SQ */
	struct dicom_dataset **item;	/* NULL for all others */
};

/* -EMSGSIZE when it is used up. */
int dicom_budget_take(unsigned *budget);

/* The dictionary's, and where that leaves a choice the wider one. */
uint16_t dicom_dataset_default_vr(dicom_tag_t tag);
/* "CS", or the dictionary's for what is no VR (NULL too). */
uint16_t dicom_dataset_parse_vr(const char *vr, dicom_tag_t tag);
/* Eight hexadecimal digits or a keyword; 0 for anything else. */
dicom_tag_t dicom_dataset_parse_tag(const char *key);

int  dicom_dataset_append(struct dicom_dataset *d, dicom_tag_t tag,
    uint16_t vr, struct dicom_attribute **ret);
void dicom_dataset_seal(struct dicom_dataset *d);

/* Copies; surrounding white space goes where PS3.5 6.2 says it means nothing,
 * and a NUL ends the text. */
int dicom_attribute_add_text(struct dicom_attribute *a, const char *text,
    size_t len);
/* Takes the item, on success only. What was UN becomes a sequence; -EBADMSG
 * when there is text already, or another VR. */
int dicom_attribute_add_item(struct dicom_attribute *a,
    struct dicom_dataset *item);

#endif
