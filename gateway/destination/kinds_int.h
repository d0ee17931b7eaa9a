/* kinds_int.h - the kinds of destination, one file each. */
#ifndef CW_DESTINATION_KINDS_INT_H
#define CW_DESTINATION_KINDS_INT_H

#include "gateway/destination/destination.h"

extern const struct destination_kind destination_dicomweb;	/* stow.c */

#endif
