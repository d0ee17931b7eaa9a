/* reencode.h - any uncompressed data set to explicit VR little endian, or to
 * implicit, as a stream (rule 23).
 *
 * Fed the data set in any portions, it hands the converted one to a sink in
 * portions; memory does not depend on the object. Sequences and items leave with
 * undefined length, group lengths are dropped, values too long for a 16-bit
 * length become UN (CP-1066), US/SS and OB/OW follow Pixel Representation and
 * Bits Allocated, inside items too, the inside of undefined-length UN stays
 * implicit. What cannot be converted without loss ends with -ENOTSUP and a
 * reason that names the element.
 *
 * A deflated data set may inflate to 4 GiB; past that -ENOTSUP. Trailing padding
 * (FFFC,FFFC) is dropped.
 */
#ifndef CW_DICOM_REENCODE_H
#define CW_DICOM_REENCODE_H

#include <stddef.h>
#include <stdint.h>

#include "gateway/dicom/inflate.h"
#include "gateway/dicom/uid.h"

struct dicom_reencode;

/* from must be dicom_syntax_convertible(). Never NULL. */
struct dicom_reencode *dicom_reencode_new(const struct dicom_syntax *from,
    dicom_sink_fn *fn, void *arg);
/* To tell whether two encodings hold one data set (rule 3): hash what the sink
 * gets. It is the same form but for the VRs, which are left out (implicit VR
 * little endian), because who falls back to implicit VR loses those of private
 * elements; explicit little endian goes through it as well. Different hashes may
 * still be one data set: a private sequence of defined length is not looked into
 * when it comes without VR. */
struct dicom_reencode *dicom_reencode_new_compare(
    const struct dicom_syntax *from, dicom_sink_fn *fn, void *arg);
/* To implicit VR little endian, for receivers that take nothing else: the VRs of
 * private elements go. */
struct dicom_reencode *dicom_reencode_new_implicit(
    const struct dicom_syntax *from, dicom_sink_fn *fn, void *arg);
void dicom_reencode_free(struct dicom_reencode *r);

/* 0, -EBADMSG (input), -ENOTSUP (cannot be said), or the sink's non-zero. */
int	    dicom_reencode_feed(struct dicom_reencode *r, const void *data, size_t len);
int	    dicom_reencode_end(struct dicom_reencode *r);
const char *dicom_reencode_reason(const struct dicom_reencode *r);

/* For a dry run that only counts: when `skip` bytes of plain value may be passed
 * over, dicom_reencode_skipped() accounts for them as output too. Always 0 where
 * bytes would be changed. Only valid with a NULL sink. */
uint64_t dicom_reencode_skippable(const struct dicom_reencode *r);
void	 dicom_reencode_skipped(struct dicom_reencode *r, uint64_t len);
/* Bytes given to the sink (or that would have been). */
uint64_t dicom_reencode_length(const struct dicom_reencode *r);

#endif
