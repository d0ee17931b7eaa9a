/* inflate.h - raw deflate (PS3.5 A.5) as a bounded stream.
 *
 * Output is handed to a sink in portions of at most 32 KiB; memory is zlib's
 * window and one portion. Past max_out bytes it ends with -EFBIG: a bomb costs
 * no more than its maximum in time and nothing in memory.
 */
#ifndef CW_DICOM_INFLATE_H
#define CW_DICOM_INFLATE_H

#include <stddef.h>
#include <stdint.h>

struct dicom_inflate;
/* Non-zero ends the stream; the value is returned by feed. */
typedef int dicom_sink_fn(void *arg, const void *data, size_t len);

struct dicom_inflate *dicom_inflate_new(uint64_t max_out, dicom_sink_fn *fn,
    void *arg);
void dicom_inflate_free(struct dicom_inflate *z);
int  dicom_inflate_feed(struct dicom_inflate *z, const void *data, size_t len);
int  dicom_inflate_end(struct dicom_inflate *z);	/* -EBADMSG if cut short */

#endif
