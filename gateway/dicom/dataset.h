/* dataset.h - a small data set in memory: what DICOMweb servers answer, and
 * query identifiers. Never an image.
 *
 * Bounded by DICOM_DATASET_BYTES, _DEPTH and _ELEMENTS at the parsers: past any
 * of them -EMSGSIZE. Text is UTF-8. Values of binary numbers are text too (as in
 * JSON). An object owns all below it; pointers live as long as it does.
 *
 * Sources: PS3.18 annex F (DICOM JSON), PS3.19 A.1 (Native DICOM Model).
 */
#ifndef CW_DICOM_DATASET_H
#define CW_DICOM_DATASET_H

#include <stddef.h>
#include <stdint.h>

#include "gateway/base/buf.h"
#include "gateway/dicom/vr.h"

#define DICOM_DATASET_BYTES    (32u << 20)	/* of the text that is parsed */
#define DICOM_DATASET_DEPTH    32
#define DICOM_DATASET_ELEMENTS 1000000u

struct dicom_dataset;
struct dicom_attribute;

struct dicom_dataset *dicom_dataset_new(void);
void dicom_dataset_free(struct dicom_dataset *d);

/* A top-level array gives all its members, an object one. *ret_n may be 0.
 * -EBADMSG: not DICOM JSON. The caller frees each and the array. */
int dicom_json_parse(const char *text, size_t len, struct dicom_dataset ***ret,
    size_t *ret_n);
/* One NativeDicomModel document. */
int dicom_xml_parse(const char *text, size_t len, struct dicom_dataset **ret);
void dicom_datasets_free(struct dicom_dataset **sets, size_t n);

int dicom_json_write(struct buf *b, const struct dicom_dataset *d);

/* Reading. NULL when absent. */
const struct dicom_attribute *dicom_dataset_find(const struct dicom_dataset *d,
    dicom_tag_t tag);
/* Walk in order of tag: i from 0; NULL at the end. */
const struct dicom_attribute *dicom_dataset_at(const struct dicom_dataset *d,
    size_t i);
dicom_tag_t dicom_attribute_tag(const struct dicom_attribute *a);
uint16_t    dicom_attribute_vr(const struct dicom_attribute *a);
size_t	    dicom_attribute_count(const struct dicom_attribute *a);
/* Value i as text; PN in its DICOM form with '='; NULL past the end or for SQ. */
const char *dicom_attribute_text(const struct dicom_attribute *a, size_t i);
const struct dicom_dataset *dicom_attribute_item(const struct dicom_attribute *a,
    size_t i);
/* First value, or NULL. */
const char *dicom_dataset_text(const struct dicom_dataset *d, dicom_tag_t tag);
/* First value as a number; -ENOENT absent or empty, -EBADMSG no number. */
int dicom_dataset_number(const struct dicom_dataset *d, dicom_tag_t tag,
    int64_t *ret);

/* Writing: replaces. vr DICOM_VR_NONE takes the dictionary's. */
int dicom_dataset_set(struct dicom_dataset *d, dicom_tag_t tag, uint16_t vr,
    const char *const *values, size_t n);
int dicom_dataset_add_item(struct dicom_dataset *d, dicom_tag_t tag,
    struct dicom_dataset *item);	/* takes the item, on success only */

#endif
