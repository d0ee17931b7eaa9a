/* uid_int.h - the table of UID names that service.c searches. */
#ifndef CW_DICOM_UID_INT_H
#define CW_DICOM_UID_INT_H

#include "gateway/dicom/uid.h"

#define DICOM_UID_ROOT "1.2.840.10008."

struct dicom_uid_name {
	const char	  *suffix;	/* behind DICOM_UID_ROOT */
	enum dicom_service service;
	const char	  *name;
};

extern const struct dicom_uid_name dicom_uid_names[];
extern const size_t		   dicom_uid_name_count;

#endif
