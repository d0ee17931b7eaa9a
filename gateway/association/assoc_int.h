/* assoc_int.h - one association, and how a connection becomes one.
 *
 * assoc.c carries the messages and the end, receive.c is the side that is called,
 * call.c the side that calls. A struct assoc belongs to one thread.
 */
#ifndef CW_ASSOCIATION_ASSOC_INT_H
#define CW_ASSOCIATION_ASSOC_INT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "gateway/association/association.h"
#include "gateway/association/pdu_int.h"

struct dul;
struct stream;

struct assoc {
	uint64_t id;
	struct stream *stream;
	struct dul    *dul;		/* NULL: we called */
	const atomic_bool *stopping;	/* NULL: we called */
	bool	 calling;		/* we did: the stream is ours, too, and a
					 * cancellation ends every wait */
	enum { STATE_NEW, STATE_REQUESTED, STATE_OPEN, STATE_RELEASING,
		STATE_ENDED } state;
	int64_t	 message_ms, idle_ms;
	uint32_t max_pdu;		/* that we announce */
	char	 reason[240];

	/* Of the P-DATA-TF that is being read. */
	uint32_t pdu_left;		/* behind the current PDV */
	uint32_t pdv_left;
	struct assoc_pdv pdv;		/* the current one; .last is the PDV's */
	bool	 pdv_open;		/* a part of it must still be handed up */
	size_t	 handed;		/* bytes to drop at the next call */
	int64_t	 wait_left_ms;		/* see fill_inside() */

	struct assoc_request request;
	struct pdu_extras    extras;
	struct assoc_context contexts[ASSOC_CONTEXTS_MAX];
	char (*uids)[DICOM_UID_MAX + 1];	/* of all transfer syntaxes */
	const char **uid_list;
	size_t n_uids;
	struct pdu_accept *accept;	/* what we were answered */
	struct assoc_answer answers[ASSOC_CONTEXTS_MAX];
};

/* stream stays the caller's unless the association is calling; stopping is looked
 * at between messages. */
struct assoc *assoc_new(struct stream *s, const atomic_bool *stopping,
    const char *address, uint16_t port);
/* Reads the A-ASSOCIATE-RQ until the stream's deadline. On -EPROTO the peer has
 * been told by A-ABORT or A-ASSOCIATE-RJ. */
int  assoc_receive(struct assoc *a);
/* Aborts what is still open, waits for the peer's goodbye, frees; takes NULL. */
void assoc_free(struct assoc *a);

/* Both return error. */
int  assoc_fail(struct assoc *a, int error, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
int  assoc_fail_stream(struct assoc *a, int error);	/* what the stream says */
void assoc_start_deadline(struct assoc *a, int64_t ms);

#endif
