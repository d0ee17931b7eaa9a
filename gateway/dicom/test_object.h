/* test_object.h - a marked object for going live without a patient (rule 38): a
 * small secondary capture (PS3.3 A.8.1) whose every text says what it is.
 */
#ifndef CW_DICOM_TEST_OBJECT_H
#define CW_DICOM_TEST_OBJECT_H

#include <stdint.h>

#include "gateway/base/buf.h"
#include "gateway/dicom/uid.h"

#define DICOM_TEST_OBJECT_CLASS "1.2.840.10008.5.1.4.1.1.7"

struct dicom_test_object {
	char study[DICOM_UID_MAX + 1], series[DICOM_UID_MAX + 1],
	     instance[DICOM_UID_MAX + 1];
};

/* New UIDs, and the data set in explicit VR little endian. wall_ms: its study date
 * and time. -EIO: no random numbers. */
int dicom_test_object_make(int64_t wall_ms, struct dicom_test_object *ret,
    struct buf *dataset);

#endif
