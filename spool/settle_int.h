/* settle_int.h - the append-only log of what became of each promise.
 *
 * The index can be lost; obligations cannot. Every letting-go of an obligation,
 * every re-owing and every expunging is a line here, synced before anything
 * relies on it (invariant 4). Lines are text, tab-separated, escaped, and end
 * with a checksum; a torn last line is cut off at opening, a bad one in the middle
 * is reported and passed over.
 *
 * One thread (the committer) appends; replay happens before it runs.
 */
#ifndef CW_SPOOL_SETTLE_INT_H
#define CW_SPOOL_SETTLE_INT_H

#include <stdbool.h>
#include <stdint.h>

#include "spool/spool.h"

enum settle_verb {
	SETTLE_DELIVERY,	/* id, destination -> state, reason, actor, remote;
				 * value: of `sent`, the job */
	SETTLE_CHECK,		/* id, destination: owed again, ask first; remote */
	SETTLE_REPLACING,	/* id, destination: a DELETE is about to be sent */
	SETTLE_EXPUNGED,	/* id: never to be adopted again */
	SETTLE_DAMAGED,		/* id */
	SETTLE_STUDY_HOLD,	/* study (UID): value 0 or 1 */
	SETTLE_STUDY_PRIORITY,	/* study (UID): value */
	SETTLE_DESTINATION_HOLD,	/* destination: value 0 or 1 */
	SETTLE_ROUTED,		/* id; reason: its destinations, a space between */
	SETTLE_JOB,		/* id of a job, destination; reason: its text, from now */
	SETTLE_JOB_ENDED,	/* id of a job: what it has sent is owed again */
	SETTLE_VERBS
};

struct settle_entry {
	enum settle_verb verb;
	int64_t	    wall_ms;
	uint64_t    id;
	const char *destination;	/* "" where it has none */
	const char *study;		/* "" */
	enum spool_delivery state;	/* SETTLE_DELIVERY */
	int64_t	    value;
	const char *actor;		/* "" : the destination's confirmation */
	const char *reason;		/* "" */
	const char *remote;		/* "" or NULL; "" when it was read */
};

struct settle_log;
typedef int settle_fn(void *arg, const struct settle_entry *e);

/* *ret_bad: lines that could not be read. */
int  settle_open(int dirfd, struct settle_log **ret, uint64_t *ret_bad);
void settle_close(struct settle_log *log);
int  settle_append(struct settle_log *log, const struct settle_entry *e);
/* Writes and syncs what was appended; 0 at once if nothing was. Failure is
 * final. After -ENOSPC nothing of the batch is in the log. */
int  settle_sync(struct settle_log *log);
/* Forgets what was appended and not synced. */
void settle_discard(struct settle_log *log);
/* From a byte offset that settle_size() gave once (0: all). */
int  settle_replay(struct settle_log *log, uint64_t from, settle_fn *fn, void *arg);
/* A part of it, in the committer's thread: from *at to the end, or until fn says
 * with a positive value that this entry is one too many, which is returned. *at
 * becomes where to go on. */
int  settle_replay_some(struct settle_log *log, uint64_t *at, settle_fn *fn,
	 void *arg);
/* After settle_sync(), when the index did not take what was appended: as if it had
 * never been. size: settle_size() before. Failure is final. */
int  settle_revoke(struct settle_log *log, uint64_t size);
uint64_t settle_size(const struct settle_log *log);
/* Rewrites it with the entries for which keep returns true (new file, sync,
 * rename, sync of the directory). */
int  settle_compact(struct settle_log *log,
	 bool (*keep)(void *arg, const struct settle_entry *e), void *arg);

/* Without a lock and without writing, for salvage. 0 if there is no log. */
int  settle_read(int dirfd, settle_fn *fn, void *arg, uint64_t *ret_bad);

#endif
