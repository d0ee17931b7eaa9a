/* destination.h - somewhere instances go. One file per kind, one line of the
 * table each.
 *
 * destination_deliver() blocks the calling (transfer) thread and gives every
 * instance of the request its own verdict, besides one for the destination: the
 * two are never confused. A verdict of OK means that the destination confirmed
 * that version of that instance (invariant 5), from the body of its answer or by
 * reading it back; never from a status line alone.
 *
 * A kind that confirms later (an import, a storage commitment) says SENT, after it
 * has made the instance sent by a job of the spool (spool_settle()), and gives
 * the verdicts from destination_tend().
 *
 * Threads: deliver, probe, verify and remove run in parallel, deliver up to
 * `connections` times and once more for what is stat; tend in one thread. cancel
 * makes them return soon; what they did not finish is RETRY.
 */
#ifndef CW_DESTINATION_DESTINATION_H
#define CW_DESTINATION_DESTINATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"
#include "gateway/base/buf.h"
#include "gateway/base/rate.h"
#include "spool/spool.h"

struct destination;

/* Of one instance. */
enum destination_verdict {
	DESTINATION_RETRY,	/* not now; nobody's fault, or not known whose */
	DESTINATION_OK,
	DESTINATION_WARNED,	/* stored, with a warning to show (rule 5) */
	DESTINATION_REFUSED,	/* will not be taken: set aside, reason for people */
	DESTINATION_DAMAGED,	/* our bytes do not match their checksum */
	DESTINATION_SENT,	/* handed over, and the spool knows it */
};

/* Of the destination, as this request found it. */
enum destination_health {
	DESTINATION_UP,
	DESTINATION_DOWN,	/* unreachable, TLS, unauthorized, wrong URL: not the
				 * instances' fault; probe until it is back */
	DESTINATION_BUSY,	/* 429, 503: wait retry_after_ms */
	DESTINATION_FAILED,	/* it failed on this request (5xx, reset, 400 without
				 * details): smaller requests may find out why */
	DESTINATION_TOO_LARGE,	/* 413: smaller requests */
	DESTINATION_CANCELED,
};

struct destination_item {
	struct spool_instance in;	/* given */
	enum destination_verdict verdict;	/* RETRY to begin with */
	bool retry_soon;	/* RETRY with a failure reason of its own (A7xx, 0110):
				 * counted against the instance by the scheduler */
	char reason[200];	/* for people; "" */
	size_t quote_at;	/* of reason: from here on it quotes the destination, which
				 * may quote the image: not for logs (rule 34); 0: none */
	char remote[80];	/* what the destination calls it, to be kept; "".
				 * REFUSED with one: it is there, but not as it
				 * should be, and an operator may accept it (rule 5) */
};

/* Adds what the destination says, in the end of the reason. "": nothing. */
void destination_quote(struct destination_item *item, const char *said);

struct destination_result {
	enum destination_health health;
	bool	 proxy;			/* DOWN: the proxy's doing, the destination was
					 * not met */
	int64_t	 retry_after_ms;	/* -1: none */
	uint64_t bytes;			/* moved */
	int64_t	 elapsed_ms;
	char	 reason[400];		/* for people; "" when UP */
};

struct destination_limits {
	unsigned connections;		/* requests at once */
	uint64_t request_bytes;		/* cut requests here; larger objects alone */
	unsigned request_instances;
	uint64_t instance_bytes;	/* larger ones are refused at once; 0 none */
	char	 instance_limit_name[64];	/* "a STOW request of … takes 1 GiB" */
};

/* What a destination shows of one instance. */
enum destination_presence {
	DESTINATION_UNKNOWN,	/* it could not be asked, or cannot say */
	DESTINATION_THERE,	/* something is, under this UID */
	DESTINATION_EQUAL,	/* these very bytes, or what decodes to the same */
	DESTINATION_DIFFERENT,
	DESTINATION_MISSING,
};
struct destination_look {
	struct spool_instance in;	/* given */
	enum destination_presence presence;
	char reason[200];		/* for people; "" */
};

/* cfg is borrowed until destination_close(): hold its snapshot. why: for people;
 * after success it may hold a warning (a secret that all may read). */
int  destination_open(const struct config_destination *cfg, struct spool *sp,
	 struct destination **ret, struct buf *why);
void destination_close(struct destination *d);	/* no call may run */
/* What else of cfg does not go with it, in words; why stays empty: nothing. */
void destination_check(const struct destination *d, const struct config *cfg,
    struct buf *why);
const char *destination_name(const struct destination *d);
const char *destination_type(const struct destination *d);
const struct destination_limits *destination_limits(const struct destination *d);

void destination_deliver(struct destination *d, struct destination_item *items,
    size_t n, struct destination_result *ret);
/* Is it there and does it let us in? Cheap; nothing is stored. */
void destination_probe(struct destination *d, struct destination_result *ret);
/* Asks what it holds (rule 36), one study at a time; bytes: reads back and compares
 * (no THERE, then). result: of the destination; what could not be asked is UNKNOWN.
 * -ENOTSUP: this kind cannot be asked. */
int  destination_verify(struct destination *d, struct destination_look *looks,
    size_t n, bool bytes, struct destination_result *ret);
/* Takes a test object away again (rule 38). -ENOTSUP: it cannot. */
int  destination_remove(struct destination *d, const struct spool_instance *in,
    struct destination_result *ret);
void destination_cancel(struct destination *d);

/* Persists verdicts of instances that were sent by job: OK, WARNED, REFUSED and
 * DAMAGED as they say, RETRY is owed again. Negative errno: nothing was. */
typedef int destination_settle_fn(void *arg, uint64_t job,
    struct destination_item *items, size_t n);
/* Does what is due of its jobs: closes, starts, asks, reads results, settles. To be
 * called after something was SENT and when *ret_next_ms (monotonic; CLOCK_NEVER)
 * has come. Jobs of another kind that had this name before are ended: what they sent
 * is owed again. result: as it found the destination. */
void destination_tend(struct destination *d, destination_settle_fn *settle,
    void *arg, struct destination_result *ret, int64_t *ret_next_ms);
/* "2 imports run, the oldest since 10:04", for status; and what of it somebody has to
 * look after. Both stay empty when there is nothing to say. */
void destination_describe(struct destination *d, struct buf *words,
    struct buf *alarm);
/* Of all its connections together. */
struct rate *destination_rate(struct destination *d);

/* ---- reports ------------------------------------------------------------- */

struct dicom_commitment;

/* Is this title the called one of a destination that is asked for storage commitment?
 * Then its reports may come on associations that it opens to us. */
bool destination_expects_report(const struct config *cfg, const char *title);
/* Settles what a report (PS3.4 J.3.3) of that title says; durable when it returns 0.
 * -ENOENT: nobody waits for this transaction. */
int  destination_take_report(const struct config *cfg, struct spool *sp,
    const char *title, const struct dicom_commitment *report);

/* ---- kinds -------------------------------------------------------------- */

struct destination_context {	/* all of it outlives the destination */
	const struct config_destination *cfg;
	struct spool *spool;
	struct rate *rate;	/* what leaves asks it (http_client_options.rate) */
};

struct destination_kind {
	struct config_kind config;
	int  (*open)(const struct destination_context *ctx,
	     struct destination_limits *ret_limits, void **ret, struct buf *why);
	void (*close)(void *self);
	void (*check)(const void *self, const struct config *cfg, struct buf *why);
					/* NULL: nothing to check */
	void (*deliver)(void *self, struct destination_item *items, size_t n,
	     struct destination_result *ret);
	void (*probe)(void *self, struct destination_result *ret);
	void (*cancel)(void *self);
	/* NULL where the kind has no such thing. */
	void (*verify)(void *self, struct destination_look *looks, size_t n,
	     bool bytes, struct destination_result *ret);
	bool blind;	/* it verifies, but cannot read back: -ENOTSUP with bytes */
	int  (*remove)(void *self, const struct spool_instance *in,
	     struct destination_result *ret);
	void (*tend)(void *self, destination_settle_fn *settle, void *arg,
	     struct destination_result *ret, int64_t *ret_next_ms);
	void (*describe)(void *self, struct buf *words, struct buf *alarm);
};
const struct destination_kind *const *destination_kinds(void);	/* NULL-ended */

#endif
