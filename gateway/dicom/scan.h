/* scan.h - walks a data set as it streams by. Iterative, bounded, allocation
 * free after creation: nesting costs a stack entry, not a stack frame.
 *
 * The scanner is fed bytes in any portions and calls back for each element. It
 * holds nothing of a value: values pass through to .value in portions as they
 * come. A data set nested deeper than DICOM_SCAN_DEPTH, an item length that
 * leaves its sequence, or an impossible header ends the scan with -EBADMSG and a
 * reason; everything before that has been reported.
 *
 * Lenient (rule 15): unknown VRs are read as UN with the length form of their
 * two letters where that leads somewhere, odd lengths are followed, an explicit
 * data set with implicit inside UN of undefined length is followed (CP-246).
 * A missing final delimiter is an error only for dicom_scan_end().
 *
 * One thread at a time. Deflated data sets are inflated by the caller
 * (dicom/inflate.h).
 */
#ifndef CW_DICOM_SCAN_H
#define CW_DICOM_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/dicom/uid.h"
#include "gateway/dicom/vr.h"

#define DICOM_SCAN_DEPTH 128
#define DICOM_UNDEFINED	 UINT32_C(0xffffffff)

struct dicom_element {
	dicom_tag_t tag;
	uint16_t    vr;		/* from the stream; by the dictionary if implicit */
	uint32_t    length;	/* DICOM_UNDEFINED possible */
	unsigned    depth;	/* 0: not inside a sequence */
	uint64_t    offset;	/* of the header, from the start of the data set */
	bool	    implicit;	/* this element was read as implicit VR */
	bool	    fragments;	/* encapsulated pixel data, undefined length */
};

/* Any callback may be NULL. A non-zero return ends the scan with that value;
 * DICOM_SCAN_STOP (positive) ends it without error, and later feeds are ignored. */
#define DICOM_SCAN_STOP 1
struct dicom_scan_events {
	int (*element)(void *arg, const struct dicom_element *el);
	/* Portions of the value: not for SQ; once per portion, len > 0. For
	 * encapsulated pixel data the portions are those of the fragments. */
	int (*value)(void *arg, const struct dicom_element *el,
	    const void *data, size_t len);
	/* After the whole value, or after the last item of a sequence. */
	int (*end)(void *arg, const struct dicom_element *el);
	/* An item of a sequence, or a fragment of pixel data, of this length. */
	int (*item)(void *arg, const struct dicom_element *el, uint32_t length);
	int (*item_end)(void *arg, const struct dicom_element *el);
};

struct dicom_scan;

/* enc must not be DICOM_DEFLATED_LE. Never NULL. */
struct dicom_scan *dicom_scan_new(enum dicom_encoding enc,
    const struct dicom_scan_events *ev, void *arg);
void dicom_scan_free(struct dicom_scan *s);

/* 0, DICOM_SCAN_STOP, -EBADMSG, or what a callback returned; latched. */
int dicom_scan_feed(struct dicom_scan *s, const void *data, size_t len);
/* The data set is over: -EBADMSG if it ends inside an element. */
int dicom_scan_end(struct dicom_scan *s);
/* Why it failed, for people, in static or scanner-owned memory; "" if not. */
const char *dicom_scan_reason(const struct dicom_scan *s);

/* How many of the next bytes are plain value of the current element: a caller
 * whose .value does not need them may lseek over them and say so. */
uint64_t dicom_scan_skippable(const struct dicom_scan *s);
void	 dicom_scan_skipped(struct dicom_scan *s, uint64_t len);

#endif
