/* utf8_int.h - one code point at a time, in and out of UTF-8.
 *
 * Strict in what counts as valid (no overlong forms, no surrogates, nothing past
 * U+10FFFF); an invalid byte is read as U+FFFD and stands for itself alone, so
 * reading never fails and always moves on.
 */
#ifndef CW_DICOM_UTF8_INT_H
#define CW_DICOM_UTF8_INT_H

#include <stddef.h>
#include <stdint.h>

#define UTF8_MAX	  4
#define UTF8_REPLACEMENT  0xfffdu
#define UTF8_REPLACEMENT_STR "\xef\xbf\xbd"

/* Bytes taken: at least 1 when len > 0; 0 only at the end. */
size_t dicom_utf8_read(const char *s, size_t len, uint32_t *ret_cp);
/* Bytes written. */
size_t dicom_utf8_write(uint32_t cp, char dst[static UTF8_MAX]);

#endif
