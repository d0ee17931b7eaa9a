/* part10.h - the preamble and group 0002 (PS3.10 section 7.1).
 *
 * What we write is a pure function of SOP class, SOP instance and transfer
 * syntax, so the same image sent by two ways is the same file (rule 10).
 */
#ifndef CW_DICOM_PART10_H
#define CW_DICOM_PART10_H

#include <stddef.h>

#include "gateway/base/buf.h"
#include "gateway/dicom/uid.h"

#define DICOM_PART10_MAX 1024	/* ours never exceeds it */

struct dicom_part10 {
	char sop_class[DICOM_UID_MAX + 1];
	char sop_instance[DICOM_UID_MAX + 1];
	char syntax[DICOM_UID_MAX + 1];
};

/* Appends preamble, "DICM" and group 0002 to b. Errors are the buffer's. */
int dicom_part10_write(struct buf *b, const struct dicom_part10 *p);

/* Parses the start of a file. 0: *ret_size bytes belong to it and the data set
 * follows. -EAGAIN: more is needed (never past 64 KiB). -EBADMSG: not Part 10.
 * Without a transfer syntax element the syntax is implicit little endian. */
int dicom_part10_parse(const void *data, size_t len, struct dicom_part10 *ret,
    size_t *ret_size);

#endif
