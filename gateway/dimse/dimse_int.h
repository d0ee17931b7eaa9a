/* dimse_int.h - what the files of this folder share.
 *
 * A struct session is one accepted association and belongs to its thread, except
 * for the counters that dimse_associations() reads.
 */
#ifndef CW_DIMSE_DIMSE_INT_H
#define CW_DIMSE_DIMSE_INT_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "gateway/dicom/command.h"
#include "gateway/dimse/dimse.h"
#include "gateway/dimse/negotiate_int.h"
#include "gateway/dimse/policy_int.h"

#define WARNINGS_LOGGED 10	/* of each association, by line; the rest counted */

struct callers;

struct session {
	TAILQ_ENTRY(session) link;	/* dimse.mu */
	struct dimse		   *dimse;
	struct assoc		   *assoc;
	const struct assoc_request *request;
	const struct config	   *config;	/* the snapshot it began with */
	struct policy_verdict	    verdict;
	struct negotiation	    negotiation;
	struct spool_source	   *source;	/* NULL until the first C-STORE */
	int64_t			    since_ms, begin_mono_ms;
	atomic_uint_least64_t	    stored, bytes;
	uint64_t		    echoes, reports, refused, warned, duplicates,
				    unserved;
	char			    reason[200];	/* why we gave up; "" */
};

struct dimse {
	struct spool *spool;
	pthread_mutex_t mu;		/* everything below */
	const struct config *config;
	unsigned running;		/* accepted associations */
	TAILQ_HEAD(, session) sessions;
	struct {			/* of those who were not let in */
		int64_t	 since_ms;	/* mono: this window's begin */
		unsigned told;		/* lines, in this window */
		uint64_t untold;
	} strangers;
	struct callers *callers;	/* has a lock of its own */
};

/* ---- messages (dimse.c) --------------------------------------------------- */

/* A portion of the data set; never fails. */
typedef void session_portion_fn(void *arg, const void *data, size_t len);
/* Reads the data set of a command to its end. A negative errno ends the
 * association. */
int session_read_dataset(struct session *s, uint8_t context,
    session_portion_fn *fn, void *arg);
/* Fills in what follows from the request, and sends. */
int session_respond(struct session *s, uint8_t context,
    const struct dicom_command *rq, struct dicom_command *rsp);
const struct assoc_context *session_context(const struct session *s, uint8_t id,
    const struct assoc_answer **ret_answer);

/* ---- services: 0 or a negative errno that ends the association ------------ */

int serve_echo(struct session *s, const struct dicom_command *rq, uint8_t context);
int serve_store(struct session *s, const struct dicom_command *rq,
    uint8_t context);
int serve_commitment_report(struct session *s, const struct dicom_command *rq,
    uint8_t context);

/* ---- the log's lines (report.c) --------------------------------------------- */

void report_accepted(const struct session *s);
/* These two at most so often in a while: whoever has the network's address can
 * make us say them. */
void report_refused(struct dimse *d, const struct assoc *a,
    const struct policy_verdict *v);
void report_failed(struct dimse *d, const char *address, bool tls,
    const char *what);
/* r: 0 released, or why it ended. */
void report_ended(struct session *s, int r);

#endif
