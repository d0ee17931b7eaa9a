/* charset.h - Specific Character Set (PS3.3 C.12.1.1.2, PS3.5 chapter 6) to
 * UTF-8, and the fold that searches compare.
 *
 * Lenient: unknown or misspelt terms and bytes that are not of their set come
 * out as U+FFFD, never as a failure. Code extensions (ISO 2022) are followed and
 * reset at the delimiters of PS3.5 6.1.2.5.3.
 */
#ifndef CW_DICOM_CHARSET_H
#define CW_DICOM_CHARSET_H

#include <stddef.h>
#include <stdint.h>

#include "gateway/base/buf.h"

/* Raises with every change of dicom_fold(): stored folds of an older version
 * are computed anew. */
#define DICOM_FOLD_VERSION 1

/* `charset` is the value of (0008,0005), multi-valued or empty; vr tells the
 * delimiters (PN: ^ and =). Appends to `ret`; its errors are returned. */
int dicom_to_utf8(const char *charset, uint16_t vr, const void *text,
    size_t len, struct buf *ret);

/* Case and accent folded, full width narrowed, spaces squeezed: what two spellings
 * of one name have in common. Input and output are UTF-8; independent of the
 * process's locale. */
int dicom_fold(const char *utf8, size_t len, struct buf *ret);

/* One component group (0 alphabetic, 1 ideographic, 2 phonetic) of a person
 * name in UTF-8: pointer into name and its length (0 if there is none). */
const char *dicom_name_group(const char *name, size_t len, unsigned group,
    size_t *ret_len);

#endif
