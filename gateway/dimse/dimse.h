/* dimse.h - the services that peers ask for: C-ECHO, C-STORE, and to hear their reports
 * of storage commitment.
 *
 * dimse_serve() is the assoc_service_fn: it decides whether the association is
 * accepted (policy.c), which contexts with which syntax (negotiate.c), runs the
 * command loop (dimse.c) and hands each command to its service by the table of
 * services; adding one is a file and a line there. The status of a C-STORE begins
 * as refused; only spool_commit() == 0 changes it (store.c).
 *
 * Threads: dimse_serve() runs in association threads; the rest anywhere.
 */
#ifndef CW_DIMSE_DIMSE_H
#define CW_DIMSE_DIMSE_H

#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"
#include "gateway/association/association.h"
#include "spool/spool.h"

struct dimse;

struct dimse *dimse_new(struct spool *sp, const struct config *cfg);
void dimse_free(struct dimse *d);	/* no association may run */
/* Associations that run keep the snapshot they began with. */
void dimse_configure(struct dimse *d, const struct config *cfg);

void dimse_serve(void *dimse, struct assoc *a);
void dimse_failed(void *dimse, const char *address, bool tls, const char *what);

/* Who called: title and address, bounded to DIMSE_CALLERS (the longest unseen
 * goes). Counted per caller and shown to people. */
#define DIMSE_CALLERS 1024
struct dimse_caller {
	char	 calling[DICOM_TITLE_MAX + 1], called[DICOM_TITLE_MAX + 1];
	char	 address[48];
	bool	 known;			/* an entry of `peers` admits it */
	uint64_t accepted, refused, stored, failed, bytes;
	int64_t	 first_ms, last_ms, last_stored_ms;	/* wall; 0 never */
	char	 last_refusal[160];	/* for people; "" */
};
typedef int dimse_caller_fn(void *arg, const struct dimse_caller *c);
int dimse_callers(struct dimse *d, dimse_caller_fn *fn, void *arg);

/* One running association. */
struct dimse_association {
	uint64_t id;
	char	 calling[DICOM_TITLE_MAX + 1], address[48];
	int64_t	 since_ms;
	uint64_t stored, bytes;
};
typedef int dimse_association_fn(void *arg, const struct dimse_association *a);
int dimse_associations(struct dimse *d, dimse_association_fn *fn, void *arg);

#endif
