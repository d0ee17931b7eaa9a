/* schedule_int.h - what is due at one destination, and whose turn it is. Pure: ids and
 * times, no I/O, no clock of its own.
 *
 * Priorities go strictly one before the other. Within one, peers (whoever sent the
 * images to us) take turns: the next request is of the peer that has had the fewest
 * bytes of late, so a study of 10,000 images delays another peer's single one by a
 * request, not by a study. Who has had nothing to send gains nothing by it. Within a
 * peer studies go by age, one after the other.
 *
 * A job is a study with something owed. Its work is handed out in order of arrival
 * from a cursor; what came back without a final verdict returns as a fragment: a
 * list of instances that are tried again together at a certain time. A request
 * that makes the server fail becomes fragments of half its size until the one
 * instance is found that does it.
 *
 * One thread (the scheduler).
 */
#ifndef CW_UPLOAD_SCHEDULE_INT_H
#define CW_UPLOAD_SCHEDULE_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "spool/spool.h"

struct fragment {
	TAILQ_ENTRY(fragment) link;
	int64_t	 due_ms;
	int64_t	 first_failed_ms;	/* 0: nothing of it has failed yet; halves keep
					 * the time of the whole */
	uint64_t successes_then;	/* of the destination at that time */
	unsigned tries;			/* failures of exactly these instances */
	bool	 halved;		/* of a request that failed */
	size_t	 n;
	uint64_t id[];
};
TAILQ_HEAD(fragments, fragment);

struct job {
	TAILQ_ENTRY(job) link;		/* of its peer and priority, by age */
	LIST_ENTRY(job) by_study;
	LIST_ENTRY(job) all;
	struct schedule_peer *peer;
	uint64_t study;
	enum spool_priority priority;
	int64_t	 oldest_ms;		/* arrival of the oldest that is owed */
	uint64_t cursor;		/* handed out up to here */
	bool	 drained;		/* nothing owed above the cursor */
	bool	 empty;			/* nothing was owed at all, or nothing that may
					 * go: a later version waits for an earlier */
	bool	 progressed;		/* something was delivered since cursor was 0 */
	bool	 seen;			/* by the last refresh */
	unsigned in_flight;		/* requests */
	uint64_t delivered, bytes;	/* since it was offered */
	int64_t	 began_ms;
	struct fragments fragments;
};
TAILQ_HEAD(jobs, job);
LIST_HEAD(job_list, job);

#define SCHEDULE_PRIORITIES (SPOOL_STAT + 1)
#define SCHEDULE_BUCKETS    1024
#define SCHEDULE_PEERS_MAX  1024	/* that are remembered with nothing to send */

struct schedule_peer {
	TAILQ_ENTRY(schedule_peer) link;	/* who was served last is last */
	LIST_ENTRY(schedule_peer) by_id;
	uint64_t    id;
	struct jobs jobs[SCHEDULE_PRIORITIES];
	unsigned    n, busy;			/* jobs; those that are not empty */
	bool	    more;			/* is owed than was offered; the caller's */
	uint64_t    served[SCHEDULE_PRIORITIES];	/* bytes, on the scale of `turn` */
};
TAILQ_HEAD(schedule_peers, schedule_peer);
LIST_HEAD(peer_list, schedule_peer);

struct schedule {
	struct schedule_peers peers;
	struct job_list  all;
	struct job_list  bucket[SCHEDULE_BUCKETS];	/* by study */
	struct peer_list peer_bucket[SCHEDULE_BUCKETS];
	/* What the peer served last had had before: nobody who waits has had less, and
	 * who comes counts as having had as much. */
	uint64_t turn[SCHEDULE_PRIORITIES];
	unsigned n, n_peers;
};

void schedule_init(struct schedule *s);
void schedule_clear(struct schedule *s);

/* A refresh: what is owed is offered between begin and end; idle jobs that were not
 * are dropped (delivered, held, or let go meanwhile). */
void schedule_refresh_begin(struct schedule *s);
struct schedule_offer {
	uint64_t study;
	uint64_t peer;			/* any number that stands for it */
	enum spool_priority priority;
	int64_t	 oldest_ms;
};
struct job *schedule_offer(struct schedule *s, const struct schedule_offer *o,
    int64_t now_ms);
void schedule_refresh_end(struct schedule *s);
struct job *schedule_find(struct schedule *s, uint64_t study);

/* The job whose turn it is among those of at least that priority with work at this
 * time, or NULL. untried_first: one whose work has not failed before goes before all
 * others, so that a destination that comes back is not judged by what may have felled
 * it. */
struct job *schedule_pick(struct schedule *s, int64_t now_ms, bool untried_first,
    enum spool_priority least);
/* That many bytes of it are on their way: its peer has had its turn. */
void schedule_charge(struct schedule *s, struct job *j, uint64_t bytes);
/* Its due fragment with the fewest failures, taken out (the caller frees it); NULL:
 * there is none, take from the cursor. */
struct fragment *job_take_fragment(struct job *j, int64_t now_ms);
bool job_holds(const struct job *j, uint64_t id);	/* in some fragment */
/* When the earliest fragment of a job of at least that priority that has nothing else
 * to do is due; INT64_MAX if there is none. */
int64_t schedule_next(const struct schedule *s, int64_t now_ms,
    enum spool_priority least);
void schedule_nudge(struct schedule *s, int64_t now_ms);	/* all fragments are due */

struct fragment *fragment_new(const uint64_t *ids, size_t n);
void job_add_fragment(struct job *j, struct fragment *f);	/* takes it */
/* Two fragments of half the size, due at once. Takes it. n > 1. */
void job_split_fragment(struct job *j, struct fragment *f, int64_t now_ms);

/* All work handed out came back: 0 go on from the beginning to see what is left,
 * 1 the job is empty; a refresh drops it, or makes it look again. */
int schedule_rest(struct job *j);
/* It has work now, or an answer is on its way: it need not be looked for. */
bool job_is_busy(const struct job *j, int64_t now_ms);

/* Postfix's rule: as long as it has lasted already, within bounds, jittered by
 * +-20 % so that many do not come at once. random: any number. */
int64_t schedule_backoff(int64_t since_ms, int64_t now_ms, int64_t least_ms,
    int64_t most_ms, uint32_t random);

#endif
