/* dimse_int.h - what the files of the kind `dimse` share: a PACS that is called.
 *
 *	dimse.c		options, opening, probing, what is shown
 *	dimse_call.c	one association: what is proposed, and what came of it
 *	dimse_bytes.c	the data set of one instance, verified, re-encoded, sent
 *	dimse_store.c	one C-STORE, and what its answer means
 *	dimse_deliver.c	a request: associations, instances, verdicts
 *	dimse_commit.c	storage commitment is asked for
 *	dimse_report.c	its reports are taken, whichever way they come
 *	dimse_tend.c	what was asked for and has not been answered
 *	dimse_verify.c	what it says that it holds
 *
 * Everything runs in the calling thread, which has an association of its own; a
 * struct pacs is read-only after it was opened but for its atomics.
 */
#ifndef CW_DESTINATION_DIMSE_INT_H
#define CW_DESTINATION_DIMSE_INT_H

#include <stdatomic.h>

#include "gateway/association/association.h"
#include "gateway/base/cleanup.h"
#include "gateway/destination/destination.h"
#include "gateway/dicom/command.h"
#include "gateway/dicom/commitment.h"

#define PACS_INSTANCES 256	/* of a request, and so of a transaction */

enum pacs_commitment { PACS_COMMIT_AUTO, PACS_COMMIT_REQUIRED, PACS_COMMIT_NEVER };

struct pacs_tls {
	unsigned line;
	char *ca_file, *certificate_file, *key_file, *key_passphrase_file;
	char *verify_name;
	int   profile;			/* enum config_tls_profile */
};
struct pacs_options {
	unsigned line;
	char	*host;
	uint64_t port;
	char	*ae_title, *calling;
	struct pacs_tls *tls;		/* NULL: plain */
	struct config_strings transfer_syntaxes;
	int	 on_conflict;		/* enum config_conflict */
	int	 commitment;		/* enum pacs_commitment */
	uint64_t commitment_wait_ms, commitment_within_ms;
	uint64_t connections, max_request, max_pdu;
	uint64_t connect_timeout_ms, message_timeout_ms;
};

struct pacs {
	const char *name;		/* the destination's */
	struct spool *spool;
	struct rate  *rate;
	const struct pacs_options *o;
	struct assoc_tls *tls;		/* NULL: plain */
	int	 cancel_fd;		/* eventfd */
	atomic_bool canceled;
	int64_t	 opened_ms;		/* wall */
	/* Monotonic: until then reports are not waited for, since they come on
	 * associations of their own. */
	atomic_int_least64_t no_wait_until_ms;
};

DEFINE_CLEANUP(struct assoc, assoc_close)

void pacs_settle(struct destination_item *item, enum destination_verdict v,
    const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* -ECANCELED while nothing may leave. */
int  pacs_stopped(const struct pacs *p);
/* Until then, or it is stopped. */
int  pacs_pause(struct pacs *p, int64_t until_ms);

/* ---- dimse_call.c ---------------------------------------------------------- */

/* One association, from what it proposes to its end. */
struct pacs_call {
	struct pacs  *p;
	struct assoc *a;		/* NULL: not (any more) */
	uint16_t      message_id;
	unsigned      n;
	struct assoc_proposal proposal[ASSOC_CONTEXTS_MAX];
	const char   *original[ASSOC_CONTEXTS_MAX];	/* the one syntax proposed */
	bool	      fallback[ASSOC_CONTEXTS_MAX];
	bool	      commits;		/* the commitment class is proposed, as first */
	const char   *native[2];	/* what fallbacks propose, in order */
	unsigned      n_native;
};
/* commits: asks for the commitment class as well, unless the site does not want it. */
void pacs_call_init(struct pacs_call *c, struct pacs *p, bool commits);
/* False: what the site allows (transfer_syntaxes) leaves no way to send it. */
bool pacs_call_may(const struct pacs_call *c, const struct spool_instance *in);
/* Proposes what the instance needs; false: there is no room left. */
bool pacs_call_add(struct pacs_call *c, const struct spool_instance *in);
bool pacs_call_add_class(struct pacs_call *c, const char *abstract_syntax);
/* 0, or ret says why not, and whose fault it is. */
int  pacs_call_open(struct pacs_call *c, struct destination_result *ret);
/* Releases, politely. */
void pacs_call_end(struct pacs_call *c);
/* The context for an instance and the syntax to send it in; 0: none was accepted,
 * and why. */
uint8_t pacs_call_find(const struct pacs_call *c, const struct spool_instance *in,
    const char **ret_syntax, char *why, size_t why_size);
/* 0: the PACS does not offer storage commitment. */
uint8_t pacs_call_commits(const struct pacs_call *c, const char **ret_syntax);
/* None of all that was proposed but for commitment. */
bool pacs_call_is_useless(const struct pacs_call *c);
uint16_t pacs_call_next_id(struct pacs_call *c);
/* What ended the association, for ret: FAILED or CANCELED. */
void pacs_call_broke(const struct pacs_call *c, int error, const char *doing,
    struct destination_result *ret);

/* ---- dimse_bytes.c --------------------------------------------------------- */

enum pacs_sending {
	PACS_SENT,
	PACS_NOT_SENT,		/* the item says why; the association goes on */
	PACS_SPOILED,		/* likewise, but a part was: abort */
	PACS_BROKEN,		/* the association: error is set */
};
struct pacs_bytes;
/* Reads what must be read before the first byte may leave. NULL: the item says why. */
struct pacs_bytes *pacs_bytes_open(struct pacs *p, struct destination_item *item,
    const char *syntax);
void pacs_bytes_close(struct pacs_bytes *b);	/* takes NULL */
enum pacs_sending pacs_bytes_send(struct pacs_bytes *b, struct assoc *a,
    uint8_t context, uint64_t *ret_sent, int *ret_error);
DEFINE_CLEANUP(struct pacs_bytes, pacs_bytes_close)

/* ---- dimse_store.c --------------------------------------------------------- */

/* PS3.7 annex C: what is neither success nor warning failed. */
bool pacs_is_warning(uint16_t status);
/* The peer's own words, fit for a terminal, to stand behind ours: `: "..."`, or "". */
void pacs_print_comment(const struct dicom_command *rsp, char dst[static 80]);
/* One instance. PACS_SENT: the item has a verdict from its answer. */
enum pacs_sending pacs_store(struct pacs_call *c, struct destination_item *item,
    struct destination_result *ret, uint16_t *ret_status);

/* ---- dimse_deliver.c ------------------------------------------------------- */

void pacs_deliver(void *self, struct destination_item *items, size_t n,
    struct destination_result *ret);

/* ---- dimse_commit.c -------------------------------------------------------- */

/* What a job is told of, as JSON in the spool. */
struct pacs_job {
	char	 transaction[DICOM_UID_MAX + 1], earlier[DICOM_UID_MAX + 1];
	int64_t	 asked_ms, due_ms;	/* wall; due: something is to be done */
	unsigned tries;
	bool	 missing;		/* the PACS lacks objects: to be sent again */
	char	 why[120];		/* of the last failure, for people */
};
int pacs_job_read(const char *text, struct pacs_job *ret);	/* -EBADMSG */
int pacs_job_write(const struct pacs_job *j, struct buf *b);

/* Of those with a verdict of OK or WARNED: they are made SENT and asked for. On an
 * association that ended (c->a is NULL) they are asked for later. */
void pacs_commit(struct pacs_call *c, struct destination_item **items, size_t n);
/* Sends the N-ACTION and awaits its answer. 0 and the status, or what broke. */
int  pacs_ask(struct pacs_call *c, const struct dicom_commitment *list,
    uint16_t *ret_status, char comment[static 80]);
/* One instance more to ask for. */
int  pacs_list_add(struct dicom_commitment *list, const struct spool_instance *in);
/* A report on this association: 1 taken, 0 none by then, or it is over (c->a is
 * NULL). */
int  pacs_read_event(struct pacs_call *c, int64_t deadline_ms);
/* Reports may come right away: waits for one, for commitment_wait. True: it came. */
bool pacs_await_report(struct pacs_call *c);

/* ---- dimse_report.c -------------------------------------------------------- */

/* Settles what the report says of a job of this destination. -ENOENT: none has this
 * transaction. Durable when it returns 0. */
int pacs_take_report(struct spool *sp, const char *destination,
    const struct dicom_commitment *report);
/* The instances that a job has sent: *ret is the caller's to free. */
int pacs_job_members(struct spool *sp, uint64_t job, struct spool_instance **ret,
    size_t *ret_n);
int64_t pacs_again_ms(unsigned tries);
/* What the PACS warned of when it stored what is sent; false: of nothing. */
bool pacs_warning(struct spool *sp, const char *destination, uint64_t id, char *text,
    size_t size);

/* ---- dimse_verify.c -------------------------------------------------------- */

void pacs_verify(void *self, struct destination_look *looks, size_t n, bool bytes,
    struct destination_result *ret);
/* True: somebody there had asked for it. */
bool pacs_hand_to_verify(const char *destination,
    const struct dicom_commitment *report);

/* ---- dimse_tend.c ---------------------------------------------------------- */

void pacs_tend(void *self, destination_settle_fn *settle, void *arg,
    struct destination_result *ret, int64_t *ret_next_ms);
void pacs_describe(void *self, struct buf *words, struct buf *alarm);

#endif
