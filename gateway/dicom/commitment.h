/* commitment.h - what storage commitment says, push model (PS3.4 annex J): the data
 * set of the N-ACTION that asks and of the N-EVENT-REPORT that answers.
 *
 * Pure and bounded: what a peer sends may have DICOM_COMMITMENT_BYTES and name
 * DICOM_COMMITMENT_MAX instances. UIDs are trimmed; order is kept.
 */
#ifndef CW_DICOM_COMMITMENT_H
#define CW_DICOM_COMMITMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/buf.h"
#include "gateway/dicom/uid.h"

#define DICOM_UID_COMMITMENT	      "1.2.840.10008.1.20.1"
#define DICOM_UID_COMMITMENT_INSTANCE "1.2.840.10008.1.20.1.1"

#define DICOM_COMMITMENT_BYTES (10u << 20)
#define DICOM_COMMITMENT_MAX   50000

enum {		/* PS3.4 tables J.3-1 and J.3-3 */
	DICOM_COMMITMENT_ASK = 1,		/* Action Type */
	DICOM_COMMITMENT_DONE = 1,		/* Event Types */
	DICOM_COMMITMENT_FAILURES = 2,
};

enum dicom_commitment_reason {	/* (0008,1197), PS3.3 C.14.1.1 */
	DICOM_COMMITMENT_PROCESSING = 0x0110,
	DICOM_COMMITMENT_NO_SUCH_OBJECT = 0x0112,
	DICOM_COMMITMENT_CONFLICT = 0x0119,	/* of class and instance */
	DICOM_COMMITMENT_CLASS_UNSUPPORTED = 0x0122,
	DICOM_COMMITMENT_DUPLICATE_TRANSACTION = 0x0131,
	DICOM_COMMITMENT_RESOURCES = 0x0213,
};
const char *dicom_commitment_words(uint16_t reason);	/* for people */

struct dicom_reference {
	char	 sop_class[DICOM_UID_MAX + 1], sop_instance[DICOM_UID_MAX + 1];
	bool	 failed;		/* in the Failed SOP Sequence */
	uint16_t reason;		/* then; 0: none was given */
};
struct dicom_commitment {		/* zero-initialise */
	char	 transaction[DICOM_UID_MAX + 1];
	struct dicom_reference *v;
	size_t	 n, size;
};
void dicom_commitment_free(struct dicom_commitment *c);
/* -EMSGSIZE: more than DICOM_COMMITMENT_MAX; -ENOMEM. */
int  dicom_commitment_add(struct dicom_commitment *c,
	 const struct dicom_reference *r);

/* syntax: uncompressed, not deflated. Errors are the buffer's. */
int  dicom_commitment_write(struct buf *b, const struct dicom_commitment *c,
	 const struct dicom_syntax *syntax);
/* -EBADMSG: no data set, no Transaction UID, an item without a UID. -EMSGSIZE: more
 * than the maximum. On failure ret is empty. */
int  dicom_commitment_parse(const void *data, size_t len,
	 const struct dicom_syntax *syntax, struct dicom_commitment *ret);

#endif
