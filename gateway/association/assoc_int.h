/* assoc_int.h - how a connection becomes a struct assoc, and how it ends. */
#ifndef CW_ASSOCIATION_ASSOC_INT_H
#define CW_ASSOCIATION_ASSOC_INT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "gateway/association/association.h"

struct stream;

/* stream stays the caller's; stopping is looked at between messages. */
struct assoc *assoc_new(struct stream *s, const atomic_bool *stopping,
    const char *address, uint16_t port);
/* Reads the A-ASSOCIATE-RQ until the stream's deadline. On -EPROTO the peer has
 * been told by A-ABORT or A-ASSOCIATE-RJ. */
int  assoc_receive(struct assoc *a);
/* Aborts what is still open, waits for the peer's goodbye, frees; takes NULL. */
void assoc_free(struct assoc *a);

#endif
