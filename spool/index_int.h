/* index_int.h - the SQLite index: the only place with SQL.
 *
 * One writer (`struct index`, the committer's thread) and any number of readers
 * (`struct index_reader`, one thread at a time each). WAL; the writer commits
 * with synchronous=NORMAL unless asked for a durable commit, because a row of an
 * arrival is certain to be restored from its record (invariant 1) and what ends an
 * obligation is synced in the settle log first (invariant 4). After a power cut
 * the index is thus a consistent state of a moment ago.
 *
 * Text is kept as raw bytes with its character set, beside it UTF-8 and a fold
 * (dicom/charset.h). No statement stays open across a wait for another thread.
 *
 * Errors: -EUCLEAN corrupt or not a database, -ENOSPC disk full, -EBUSY locked by
 * somebody else for longer than 10 s, -EIO, -ENOENT no such row. After any error
 * inside a transaction the caller rolls back.
 *
 * Tables (index_schema.c, migrations by user_version): destination,
 * segment, study, series, source, instance (unique by uid and version), delivery
 * (instance x destination), study_delivery (maintained counters), job, note, meta.
 */
#ifndef CW_SPOOL_INDEX_INT_H
#define CW_SPOOL_INDEX_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/base/buf.h"
#include "gateway/dicom/head.h"
#include "spool/record_int.h"
#include "spool/spool.h"
#include "spool/store_int.h"

struct index;
struct index_reader;

/* ---- opening ---- */

/* Opens or makes DIRECTORY/index.db and brings its schema up to date. The UUID
 * must match. -ENOTSUP: schema newer than this program. -EUCLEAN: corrupt,
 * truncated, of another spool: the caller sets it aside (index_set_aside) and
 * opens anew. *ret_created tells a new one. */
int  index_open(const char *directory, const uint8_t uuid[static SPOOL_UUID],
	 struct index **ret, bool *ret_created, struct buf *why);
void index_close(struct index *ix);
/* Renames index.db, -wal and -shm to index.db.bad-TIME*, and syncs. */
int  index_set_aside(const char *directory);

int  index_reader_open(const char *directory, struct index_reader **ret);
void index_reader_close(struct index_reader *r);

/* ---- transactions (the committer) ---- */

int  index_begin(struct index *ix);
/* durable: as with synchronous=FULL; everything before is durable too. An error
 * after the commit itself (its sync, the log's check-point) is final. */
int  index_commit(struct index *ix, bool durable);
void index_rollback(struct index *ix);
int  index_checkpoint(struct index *ix);	/* passive, outside a transaction */

/* ---- arrivals ---- */

struct index_known {		/* the latest version of a UID */
	uint64_t id;
	unsigned version;
	uint64_t length;
	uint8_t	 checksum[HASH_SIZE];
	char	 syntax[DICOM_UID_MAX + 1];
	bool	 kept;		/* its bytes are here */
	bool	 damaged;
	bool	 owed;		/* pending, unrouted or owed somewhere: still ours to
				 * deliver; false: delivered, refused or let go */
	struct store_place place;
};
/* -ENOENT: unknown. Both see what the last commit left (the writer: its own
 * transaction too). */
int  index_latest(struct index *ix, const char *sop_instance,
	 struct index_known *ret);
int  index_reader_latest(struct index_reader *r, const char *sop_instance,
	 struct index_known *ret);
/* Any version with these very bytes (length and checksum), the latest first. */
int  index_same(struct index *ix, const char *sop_instance, uint64_t length,
	 const uint8_t checksum[static HASH_SIZE], struct index_known *ret);
int  index_reader_same(struct index_reader *r, const char *sop_instance,
	 uint64_t length, const uint8_t checksum[static HASH_SIZE],
	 struct index_known *ret);

/* Adds instance, and study, series and source where they are new; the next
 * version of its UID; raises counters; pending. Attributes of study and patient
 * are those of the latest arrival that has them. `head` may lack everything but
 * the UIDs. check marks versions that must be settled by reading back. */
int  index_add(struct index *ix, const struct record *rec,
	 const struct store_place *place, const struct dicom_head *head,
	 const char *assume_charset, bool check, uint64_t *ret_study,
	 unsigned *ret_version);
bool index_has(struct index *ix, uint64_t id);	/* a row with this id */
/* Everything of this instance ended: it is pending again, and what routing then
 * finds settled is owed once more, checked first (rule 2). -EALREADY: it is still
 * pending, unrouted or owed; -ENOENT: no row, or its bytes are gone. */
int  index_repend(struct index *ix, uint64_t id);
/* After adoption: versions of one UID in order of id again. */
int  index_renumber(struct index *ix);

/* Whether it ever had everything that the containers hold: a new index has not,
 * until somebody has looked. */
int  index_filled(struct index *ix, bool *ret);
int  index_set_filled(struct index *ix);

/* How much of the settle log the index reflects (bytes). */
int  index_note_settled(struct index *ix, uint64_t size);
int  index_settled(struct index *ix, uint64_t *ret_size);

/* ---- deliveries ---- */

/* Pending or unrouted -> routed to these; n 0: unrouted. Names of destinations are
 * added as they come. `check` of index_add is inherited. -EALREADY if it was
 * routed before. */
int  index_route(struct index *ix, uint64_t id, const char *const *dest, size_t n);
int  index_unrouted_to_pending(struct index *ix, uint64_t *ret_n);

/* What becomes of one delivery. */
struct index_verdict {
	uint64_t    id;
	const char *dest;
	enum spool_delivery state;
	const char *reason, *actor;	/* NULL or "": none */
	const char *remote;		/* NULL or "": as it was */
	uint64_t    job;		/* SPOOL_SENT: by this one */
	bool	    check;		/* SPOOL_OWED: ask first; stays until it is
					 * confirmed */
	bool	    create;		/* else the row must exist */
	int64_t	    wall_ms;
};
/* Sets it, keeps counters and `done` right. *ret_old (may be NULL) is the state
 * before, SPOOL_DELIVERY_STATES: none. When it is the same nothing happens, but that
 * SPOOL_OWED notes check and a reason, and SPOOL_SENT the job. What is sent by a job
 * that does not exist (any more) is owed, with check. What is accepted (refused ->
 * warned) without a reason keeps that of the refusal.
 * -ENOENT also when it cannot be owed again, its bytes being gone. */
int  index_deliver(struct index *ix, const struct index_verdict *v,
	 enum spool_delivery *ret_old);
/* One delivery as it is; -ENOENT. */
struct index_delivery {
	enum spool_delivery state;
	uint64_t job;		/* sent: by this one; else 0 */
	bool	 remote;	/* it is known what the destination calls it */
};
int  index_delivery(struct index *ix, uint64_t id, const char *dest,
	 struct index_delivery *ret);
/* -ENOENT: nothing is owed there any more, so nothing may be deleted. */
int  index_set_replacing(struct index *ix, uint64_t id, const char *dest);
int  index_set_damaged(struct index *ix, uint64_t id);
/* Unrouted (or pending) -> let go: it counts as routed to nowhere. */
int  index_let_go_unrouted(struct index *ix, uint64_t id, const char *actor,
	 const char *reason, int64_t wall_ms);

/* Candidates of a command: (instance, destination) pairs in given states; a pair
 * with destination "" is a pending or unrouted instance. study 0: any;
 * dest NULL: any. Pages by after (instance id): a page of limit pairs or a few
 * more, since it never ends within an instance. fn gets them in order of id. */
typedef int index_pair_fn(void *arg, uint64_t id, const char *dest,
    enum spool_delivery state);
int  index_pairs(struct index *ix, uint64_t study, const char *dest,
	 unsigned states_mask, bool with_unrouted, uint64_t after, size_t limit,
	 index_pair_fn *fn, void *arg);

/* The same for one instance; never calls for pending or unrouted ones. */
int  index_pairs_of(struct index *ix, uint64_t id, unsigned states_mask,
	 index_pair_fn *fn, void *arg);
/* What is kept of a study and never went to dest, and whatever is unrouted; nothing
 * that is pending. fn is told SPOOL_OWED. */
int  index_absent(struct index *ix, uint64_t study, const char *dest,
	 uint64_t after, size_t limit, index_pair_fn *fn, void *arg);

int  index_study_hold(struct index *ix, const char *study_uid, bool held);
int  index_study_priority(struct index *ix, const char *study_uid,
	 enum spool_priority p);
int  index_destination_hold(struct index *ix, const char *dest, bool held);
int  index_study_uid(struct index *ix, uint64_t study, char ret[DICOM_UID_MAX + 1]);

/* ---- jobs and notes (index_job.c) ---- */

/* Sets its text or makes it. */
int  index_job_set(struct index *ix, uint64_t id, const char *dest,
	 const char *text, int64_t wall_ms);
/* What a job's destination is called; -ENOENT. */
int  index_job_destination(struct index *ix, uint64_t id, struct buf *ret);
bool index_has_job(struct index *ix, uint64_t id);
/* What it has sent is owed, with check; then it is forgotten. -ENOENT. */
int  index_job_end(struct index *ix, uint64_t id, int64_t wall_ms,
	 uint64_t *ret_owed);
/* text NULL: none any more. -ENOENT: it is not owed there. */
int  index_note_set(struct index *ix, uint64_t id, const char *dest,
	 const char *text);

/* ---- bytes ---- */

/* Oldest first: instances whose every obligation ended (delivered, warned, let
 * go) before `before_ms` and whose bytes are here. Never refused, owed, pending,
 * unrouted ones. study 0: any. */
typedef int index_place_fn(void *arg, uint64_t id, const struct store_place *at,
    uint64_t length);
int  index_evictable(struct index *ix, int64_t before_ms, size_t limit,
	 index_place_fn *fn, void *arg);
int  index_kept_of_study(struct index *ix, uint64_t study, uint64_t after,
	 size_t limit, index_place_fn *fn, void *arg);
/* What still lives in a segment, for compaction. */
int  index_in_segment(struct index *ix, uint64_t segment, index_place_fn *fn,
	 void *arg);
/* The bytes are to go; where they were. -ENOENT: no row, gone before, or something
 * is due of it by now: pending, unrouted, owed, sent, refused (invariant 6). */
int  index_expunge(struct index *ix, uint64_t id, struct store_place *ret_at,
	 uint64_t *ret_length);
/* The settle log says that they went: so they do, and nothing stays due. */
int  index_replay_expunged(struct index *ix, uint64_t id, int64_t wall_ms,
	 struct store_place *ret_at, uint64_t *ret_length);
/* -ENOENT unless it still is at `from`. */
int  index_move(struct index *ix, uint64_t id, const struct store_place *from,
	 const struct store_place *to);
/* Rows without bytes older than before_ms go, with empty series and studies. */
int  index_forget(struct index *ix, int64_t before_ms, size_t limit,
	 uint64_t *ret_n);

/* ---- segments ---- */

/* One with live rows cannot become FREE or be removed: -ENOTEMPTY. */
struct index_segment {
	uint64_t id, generation;
	enum segment_state state;	/* CURRENT is kept as STANDBY */
	uint64_t live, live_bytes;	/* rows whose bytes are in it */
};
int  index_segment_set(struct index *ix, uint64_t id, uint64_t generation,
	 enum segment_state state);
int  index_segment_remove(struct index *ix, uint64_t id);
int  index_segments(struct index *ix,
	 int (*fn)(void *arg, const struct index_segment *s), void *arg);

/* ---- looking (readers); the callbacks and types are spool.h's ----
 *
 * Callbacks may call the reader again but for deliveries, progress and debts,
 * which hold a snapshot while they run. */

int  index_reader_studies(struct index_reader *r, const struct spool_filter *f,
	 spool_study_fn *fn, void *arg);
/* -ENOENT; fn may be NULL. */
int  index_reader_study(struct index_reader *r, uint64_t id, spool_study_fn *fn,
	 void *arg);
int  index_reader_instances(struct index_reader *r, uint64_t study, uint64_t after,
	 bool pending_only, size_t limit, spool_instance_fn *fn, void *arg);
int  index_reader_instance(struct index_reader *r, uint64_t id,
	 struct spool_instance *ret, struct store_place *ret_place,
	 uint8_t ret_checksum[HASH_SIZE]);
int  index_reader_deliveries(struct index_reader *r, uint64_t id,
	 spool_delivery_fn *fn, void *arg);
int  index_reader_progress(struct index_reader *r, uint64_t study,
	 spool_progress_fn *fn, void *arg);
int  index_reader_facts(struct index_reader *r, uint64_t study, unsigned wanted,
	 spool_fact_fn *fn, void *arg);
int  index_reader_stats(struct index_reader *r, struct spool_stats *ret);
int  index_reader_debts(struct index_reader *r, spool_debt_fn *fn, void *arg);
/* Studies with pending > 0; times are not filled. */
int  index_reader_incomplete(struct index_reader *r, spool_open_study_fn *fn,
	 void *arg);
int  index_reader_owed_sources(struct index_reader *r, const char *dest,
	 spool_owed_source_fn *fn, void *arg);
int  index_reader_owed_studies(struct index_reader *r, const char *dest,
	 const struct spool_owed_source *of, uint64_t after, size_t limit,
	 spool_owed_study_fn *fn, void *arg);
int  index_reader_owed_study(struct index_reader *r, const char *dest,
	 uint64_t study, struct spool_owed_study *ret);
int  index_reader_owed(struct index_reader *r, const char *dest, uint64_t study,
	 uint64_t after, size_t limit, spool_instance_fn *fn, void *arg);
/* dest NULL: of all. */
int  index_reader_jobs(struct index_reader *r, const char *dest, spool_job_fn *fn,
	 void *arg);
int  index_reader_job_sent(struct index_reader *r, uint64_t job, uint64_t after,
	 size_t limit, spool_instance_fn *fn, void *arg);
int  index_reader_note(struct index_reader *r, uint64_t id, const char *dest,
	 struct buf *ret);
int  index_reader_destination_held(struct index_reader *r, const char *dest,
	 bool *ret);

#endif
