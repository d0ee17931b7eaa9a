/* vr.h - value representations and the dictionary of PS3.6.
 *
 * The dictionary is a C table generated when the program is built; nothing is
 * read at run time. Where PS3.6 allows a choice (US or SS, OB or OW) the entry
 * says so and whoever re-encodes decides by Pixel Representation and Bits
 * Allocated (rule 23).
 */
#ifndef CW_DICOM_VR_H
#define CW_DICOM_VR_H

#include <stdbool.h>
#include <stdint.h>

/* Two ASCII letters, e.g. DICOM_VR('P','N'), as they stand in the stream. */
#define DICOM_VR(a, b) ((uint16_t)((uint16_t)(uint8_t)(a) << 8 | (uint8_t)(b)))
#define DICOM_VR_NONE  0
#define DICOM_VR_SQ    DICOM_VR('S', 'Q')
#define DICOM_VR_UN    DICOM_VR('U', 'N')
/* Pseudo: the dictionary leaves a choice. */
#define DICOM_VR_US_SS	  DICOM_VR('x', 's')	/* US or SS */
#define DICOM_VR_US_SS_OW DICOM_VR('l', 't')	/* US, SS or OW (LUT data) */
#define DICOM_VR_OB_OW	  DICOM_VR('o', 'x')	/* OB or OW */

typedef uint32_t dicom_tag_t;	/* group << 16 | element */

bool dicom_vr_known(uint16_t vr);
bool dicom_vr_long(uint16_t vr);	/* 32-bit length in explicit VR */
unsigned dicom_vr_unit(uint16_t vr);	/* bytes to swap together: 1, 2, 4, 8 */
bool dicom_vr_text(uint16_t vr);	/* Specific Character Set applies */
char dicom_vr_padding(uint16_t vr);	/* ' ' or NUL */

/* By the dictionary, repeating groups and group lengths included. Private
 * creators are LO, other private and unknown tags UN. */
uint16_t    dicom_dict_vr(dicom_tag_t tag);
const char *dicom_dict_keyword(dicom_tag_t tag);	/* "PatientName" or NULL */
/* 0 when there is no such keyword. */
dicom_tag_t dicom_dict_tag(const char *keyword);

#endif
