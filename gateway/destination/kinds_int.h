/* kinds_int.h - the kinds of destination, one file each. */
#ifndef CW_DESTINATION_KINDS_INT_H
#define CW_DESTINATION_KINDS_INT_H

#include "gateway/destination/destination.h"

extern const struct destination_kind destination_dicomweb;	/* stow.c */
extern const struct destination_kind destination_healthimaging;
extern const struct destination_kind destination_s3;	/* bucket.c */
extern const struct destination_kind destination_dimse;	/* dimse.c */

#endif
