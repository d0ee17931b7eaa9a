/* destination.h - somewhere instances go. One file per kind, one line of the
 * table each.
 *
 * destination_deliver() blocks the calling (transfer) thread and gives every
 * instance of the request its own verdict, besides one for the destination: the
 * two are never confused. A verdict of OK means that the destination confirmed
 * that version of that instance (invariant 5), from the body of its answer or by
 * reading it back; never from a status line alone.
 *
 * Threads: deliver and probe run in parallel, up to `connections`. cancel makes
 * them return soon; what they did not finish is RETRY.
 */
#ifndef CW_DESTINATION_DESTINATION_H
#define CW_DESTINATION_DESTINATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"
#include "gateway/base/buf.h"
#include "spool/spool.h"

struct destination;

/* Of one instance. */
enum destination_verdict {
	DESTINATION_RETRY,	/* not now; nobody's fault, or not known whose */
	DESTINATION_OK,
	DESTINATION_WARNED,	/* stored, with a warning to show (rule 5) */
	DESTINATION_REFUSED,	/* will not be taken: set aside, reason for people */
	DESTINATION_DAMAGED,	/* our bytes do not match their checksum */
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
};

struct destination_result {
	enum destination_health health;
	int64_t	 retry_after_ms;	/* -1: none */
	uint64_t bytes;			/* moved */
	int64_t	 elapsed_ms;
	char	 reason[256];		/* for people; "" when UP */
};

struct destination_limits {
	unsigned connections;		/* requests at once */
	uint64_t request_bytes;		/* cut requests here; larger objects alone */
	unsigned request_instances;
	uint64_t instance_bytes;	/* larger ones are refused at once; 0 none */
	char	 instance_limit_name[64];	/* "a STOW request of … takes 1 GiB" */
};

/* cfg is borrowed until destination_close(): hold its snapshot. why: for people;
 * after success it may hold a warning (a secret that all may read). */
int  destination_open(const struct config_destination *cfg, struct spool *sp,
	 struct destination **ret, struct buf *why);
void destination_close(struct destination *d);	/* no call may run */
const char *destination_name(const struct destination *d);
const char *destination_type(const struct destination *d);
const struct destination_limits *destination_limits(const struct destination *d);

void destination_deliver(struct destination *d, struct destination_item *items,
    size_t n, struct destination_result *ret);
/* Is it there and does it let us in? Cheap; nothing is stored. */
void destination_probe(struct destination *d, struct destination_result *ret);
void destination_cancel(struct destination *d);

/* ---- kinds -------------------------------------------------------------- */

struct destination_kind {
	struct config_kind config;
	int  (*open)(const struct config_destination *cfg, struct spool *sp,
	     struct destination_limits *ret_limits, void **ret, struct buf *why);
	void (*close)(void *self);
	void (*deliver)(void *self, struct destination_item *items, size_t n,
	     struct destination_result *ret);
	void (*probe)(void *self, struct destination_result *ret);
	void (*cancel)(void *self);
};
const struct destination_kind *const *destination_kinds(void);	/* NULL-ended */

#endif
