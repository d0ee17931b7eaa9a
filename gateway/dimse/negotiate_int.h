/* negotiate_int.h - which presentation contexts are accepted, and how (rules 12
 * to 14). Pure.
 */
#ifndef CW_DIMSE_NEGOTIATE_INT_H
#define CW_DIMSE_NEGOTIATE_INT_H

#include "config/config.h"
#include "gateway/association/association.h"
#include "gateway/base/buf.h"
#include "gateway/dicom/uid.h"

struct negotiation {
	unsigned accepted;
	struct assoc_answer answers[ASSOC_CONTEXTS_MAX];
};

/* peer may be NULL; allow: see policy_int.h. Answers point into the request. */
void negotiate_contexts(const struct assoc_request *rq,
    const struct config_peer *peer, unsigned allow, struct negotiation *ret);
/* What a context is for, when Common Extended Negotiation counts. */
enum dicom_service negotiate_service(const struct assoc_context *c);

/* Compact, for the one log line: accepted as CLASS=SYNTAX,SYNTAX, refused as
 * CLASS:why, with the root 1.2.840.10008 left out. */
void negotiate_print_accepted(const struct assoc_request *rq,
    const struct negotiation *n, struct buf *b);
void negotiate_print_refused(const struct assoc_request *rq,
    const struct negotiation *n, struct buf *b);

#endif
