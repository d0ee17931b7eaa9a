/* upload.h - what is owed leaves, study by study.
 *
 * One scheduler thread turns arrivals into complete studies (gateway/study),
 * routes them, keeps a queue for each destination and cuts requests; transfer
 * threads, as many per destination as it takes connections, carry one request
 * each through destination_deliver(); their verdicts come back to the scheduler,
 * which settles them. Nothing is given up: outages only make it slower and alarm.
 *
 * Threads: all calls from any thread. Nothing here knows who received an image.
 */
#ifndef CW_UPLOAD_UPLOAD_H
#define CW_UPLOAD_UPLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"
#include "gateway/base/buf.h"
#include "spool/spool.h"

struct upload;
struct destination;
struct study_traits;

/* Opens the destinations of cfg; why tells what is wrong with one. */
int  upload_new(struct spool *sp, const struct config *cfg, struct upload **ret,
	 struct buf *why);
int  upload_start(struct upload *u);
/* Cancels what runs (it stays owed), waits for the threads. */
void upload_stop(struct upload *u);
void upload_free(struct upload *u);

/* A spool_wake_fn. */
void upload_wake(void *upload);

/* Rule 8: a destination that is owed something cannot go away. -EBUSY with one
 * sentence per destination in why; otherwise the new snapshot is in force (new
 * and changed destinations are opened first; if one cannot be, nothing changes). */
int  upload_configure(struct upload *u, const struct config *cfg, struct buf *why);

enum upload_state {
	UPLOAD_UP,
	UPLOAD_DOWN,	/* probed with growing intervals until it is back */
	UPLOAD_BUSY,	/* it asked us to wait */
	UPLOAD_HELD,	/* by an operator */
	UPLOAD_CLOSED,	/* its windows say: nothing now; next_try_ms: until then */
};
const char *upload_state_name(enum upload_state s);

struct upload_destination {
	const char *name, *type;
	enum upload_state state;
	char	 reason[400];		/* of not being up, or of the last failure; "" */
	int64_t	 since_ms;		/* wall; of the state */
	int64_t	 next_try_ms;		/* wall; 0: now, or when something is owed */
	int64_t	 last_success_ms;	/* wall; 0: never since the start */
	unsigned in_flight;		/* requests */
	uint64_t bytes_per_second;	/* measured, over all connections; 0: unknown */
	uint64_t delivered, failures;	/* since the start */
	uint64_t rate;			/* bytes/s it may have now; 0: no limit */
	char	 jobs[400];		/* what it has yet to confirm, in words; "" */
	char	 alarm[600];		/* what of that somebody has to look after; "" */
};
typedef int upload_destination_fn(void *arg, const struct upload_destination *d);
/* Valid during the callback only, which may not call the uploader. */
int upload_destinations(struct upload *u, upload_destination_fn *fn, void *arg);

/* Why a study is not there yet, in one sentence for people ("waiting for more
 * images until 14:03", "cloud is down: …", "next try at …"); "" if there is
 * nothing to say. */
void upload_explain(struct upload *u, uint64_t study, char *buf, size_t size);

/* What the routes of cfg, which is borrowed, ask of a study (gateway/study/study.h);
 * the caller frees it. */
int  upload_study_traits(struct spool *sp, const struct config *cfg, uint64_t study,
	 struct study_traits **ret);

/* The destination itself, to probe, verify or remove; NULL: none of that name. Give
 * it back soon: a reload waits for it, after canceling what runs there. */
struct destination *upload_borrow(struct upload *u, const char *name);
void upload_return(struct upload *u, struct destination *d);	/* takes NULL */

/* Try now: a destination (NULL: all) that is down or waiting. */
void upload_nudge(struct upload *u, const char *destination);

#endif
