/* callers_int.h - who called lately; any thread. */
#ifndef CW_DIMSE_CALLERS_INT_H
#define CW_DIMSE_CALLERS_INT_H

#include "gateway/dimse/dimse.h"

struct callers;

struct callers *callers_new(void);
void callers_free(struct callers *c);	/* takes NULL */

/* why NULL: accepted. */
void callers_note_call(struct callers *c, const struct assoc_request *rq,
    bool known, const char *why);
/* bytes of an instance that was promised, or one that was not. */
void callers_note_store(struct callers *c, const struct assoc_request *rq,
    bool stored, uint64_t bytes);
int  callers_walk(struct callers *c, dimse_caller_fn *fn, void *arg);

#endif
