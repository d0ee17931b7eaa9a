/* ticket_int.h - something fetched that expires: a token, session keys.
 *
 * One thread fetches, the others that need it wait for that; it is fetched before
 * it expires, while the old one still serves those who come meanwhile; after a
 * failure nobody tries again for a short while, and all are told why. What was
 * fetched is counted, so a user who is refused with an old one is given the newer.
 */
#ifndef CW_HTTP_TICKET_INT_H
#define CW_HTTP_TICKET_INT_H

#include <stdbool.h>
#include <stdint.h>

#include "gateway/base/buf.h"

struct ticket;

/* Fetches: blocks. *ret_value is the ticket's from then on, freed by free_value;
 * *ret_expires_ms: CLOCK_MONOTONIC, CLOCK_NEVER for none. why: for people. */
typedef int ticket_fetch_fn(void *arg, void **ret_value, int64_t *ret_expires_ms,
    struct buf *why);

struct ticket *ticket_new(ticket_fetch_fn *fetch, void *arg,
    void (*free_value)(void *value));
void ticket_free(struct ticket *t);	/* takes NULL */
/* Those who wait return -ECANCELED; the fetch itself is the caller's to end. */
void ticket_cancel(struct ticket *t);

/* The value as it is now, held until ticket_give(); -EAGAIN with why. generation
 * tells which it was. */
int  ticket_take(struct ticket *t, void **ret_value, uint64_t *ret_generation,
    struct buf *why);
void ticket_give(struct ticket *t, void *value);
/* That one was refused: true when a newer one was or can be fetched. A fresh one that
 * was fetched for this reason is not doubted for a while. over: it is good for nothing
 * any more, so if no other can be had, the next to come are told why. */
bool ticket_refused(struct ticket *t, uint64_t generation, bool over);
/* What it is fetched from changed: the next to come fetches, whatever failed
 * before. keep: if that fails, the old one serves on until its end. */
void ticket_renew(struct ticket *t, bool keep);

#endif
