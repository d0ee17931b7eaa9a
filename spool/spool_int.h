/* spool_int.h - the parts of the spool and how they meet.
 *
 *   spool.c	 opening, closing, stopping on a failed disk, looking
 *   put.c	 receiving: buffer or container, duplicates, the commit point
 *   commit.c	 the committer thread: group commit; the invariants stand there
 *   activity.c	 which studies are being received, and since when they are silent
 *   adopt.c	 start-up scan; replay.c the settle log; rebuild.c all of it
 *   settling.c	 routing and verdicts; job.c what is confirmed later
 *   command.c	 what operators ask for
 *   keeper.c	 the keeper thread: standby segments, sealing, space
 *   sweep.c	 retention, eviction, compaction, forgetting
 *   leftover.c	 files that are expunged and still there
 *   prune.c	 the settle log, shortened to what can still matter
 *   lend.c	 bytes back out, verified
 *   store*.c	 files; settle.c the settle log; index*.c SQL
 *
 * Locks, in the order they may be taken: put pool, activity, readers, committer
 * queue, keeper, store. None is held across a call that blocks but its own wait.
 */
#ifndef CW_SPOOL_SPOOL_INT_H
#define CW_SPOOL_SPOOL_INT_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "spool/index_int.h"
#include "spool/settle_int.h"
#include "spool/spool.h"
#include "spool/store_int.h"

/* ---- commit.c ---- */

/* Runs in the committer, inside a transaction with others. A negative return is a
 * failure of the storage and undoes the whole batch (which is then tried one by
 * one); what is merely "no" goes into arg. Must be repeatable. */
typedef int commit_fn(struct spool *sp, void *arg);

enum commit_flags {
	COMMIT_SYNC_STORE = 1 << 0,	/* bytes first: store_sync() before it */
	COMMIT_DURABLE = 1 << 1,	/* the index itself is synced */
	COMMIT_CHECKPOINT = 1 << 2,	/* no transaction: a WAL checkpoint */
	COMMIT_ALONE = 1 << 3,		/* shares its batch with nothing */
};

struct commit_op {
	STAILQ_ENTRY(commit_op) link;
	commit_fn *fn;
	void	  *arg;
	unsigned   flags;
	int	   result;
	sem_t	   done;
};
STAILQ_HEAD(commit_list, commit_op);

struct committer {
	pthread_mutex_t	   mu;
	pthread_cond_t	   cv;
	struct commit_list queue;	/* mu */
	bool		   stop;	/* mu */
	bool		   running;
	pthread_t	   thread;
};

int  commit_start(struct spool *sp);
void commit_stop(struct spool *sp);	/* drains first */
/* Blocks until fn's batch is committed. -EIO at once when suspect. */
int  commit_run(struct spool *sp, commit_fn *fn, void *arg, unsigned flags);
/* The same in the caller's thread, while no committer runs (start-up). */
int  commit_inline(struct spool *sp, commit_fn *fn, void *arg, unsigned flags);

/* ---- put.c: the buffers of small objects ---- */

#define PUT_CHUNK	(64u << 10)
#define PUT_SMALL_MAX	(1u << 20)	/* larger objects get their own container */
#define PUT_POOL_MAX	(40u << 20)	/* all associations together */
#define PUT_IDLE_CHUNKS 64u

struct put_chunk {
	SLIST_ENTRY(put_chunk) link;
	uint8_t data[];
};
struct put_pool {
	pthread_mutex_t mu;
	SLIST_HEAD(, put_chunk) idle;
	unsigned n_idle, n_all;
};

/* ---- activity.c ---- */

struct activity;
struct activity_entry;

struct activity *activity_new(void);
void activity_free(struct activity *a);
/* A source sends to a study: counted once per source, until it ends. */
struct activity_entry *activity_touch(struct activity *a, struct spool_source *src,
    const char *study_uid, enum spool_priority p);
void activity_bytes(struct activity_entry *e);	/* any thread, lock-free */
void activity_put_begins(struct activity *a, struct activity_entry *e);
void activity_put_ends(struct activity *a, struct activity_entry *e);
void activity_source_ends(struct activity *a, struct spool_source *src);
/* Fills times and sources of a study the index calls incomplete; one unknown so
 * far begins now. */
void activity_describe(struct activity *a, struct spool_open_study *s);
/* Forgets what no source and no put holds and was not described since. */
void activity_collect(struct activity *a);

#define SOURCE_STUDIES 64	/* more: the longest unused is let go */
struct spool_source {
	struct spool	   *sp;
	struct spool_origin origin;
	struct activity_entry *study[SOURCE_STUDIES];
	unsigned	    n_studies;
};

/* ---- keeper.c ---- */

struct keeper {
	pthread_mutex_t mu;
	pthread_cond_t	cv;
	bool		stop, nudged;	/* mu */
	bool		running;
	pthread_t	thread;
	int64_t		next_sweep_ms, next_checkpoint_ms, next_forget_ms;
	int64_t		next_barrier_ms, next_prune_ms;
	uint64_t	pruned_bytes;	/* the log after the last pruning */
	uint64_t       *unpublished;	/* mu: containers committed since the last
					 * durable commit */
	size_t		n_unpublished, max_unpublished;
	uint64_t       *leftover;	/* mu: leftover.c */
	size_t		n_leftover, max_leftover;
	bool		looked_for_leftovers;
};
int  keeper_start(struct spool *sp);
void keeper_stop(struct spool *sp);
void keeper_nudge(struct spool *sp);
void keeper_round(struct spool *sp);	/* what its thread does each second */
/* Called by the keeper's thread between the slices of long work: arrivals find
 * their next segment meanwhile. False: it is to stop. */
bool keeper_tend(struct spool *sp);
void keeper_published_later(struct spool *sp, uint64_t id);
void keeper_measure_space(struct spool *sp);

/* ---- command.c ---- */

/* (instance, destination) pairs picked from the index, to be changed when no
 * statement walks over them any more. destination "": pending or unrouted. */
#define PAIRS_PAGE 192	/* asked for; a page never ends within an instance */
#define PAIRS_MAX  256
struct pair {
	uint64_t id;
	enum spool_delivery state;
	char	 destination[40];
};
struct pair_list {
	size_t	    n;
	struct pair pair[PAIRS_MAX];
};
index_pair_fn pair_collect;	/* arg: a pair_list */

/* ---- settling.c ---- */

/* Where an instance goes, into the settle log. */
int route_log(struct spool *sp, const struct spool_routing *rt);

/* ---- sweep.c (the keeper's thread) ---- */
void sweep_run(struct spool *sp);
void sweep_forget(struct spool *sp);
/* Logs and commits `expunged`, then frees the bytes (invariant 6); any thread.
 * wipe: the bytes are overwritten. actor "": retention. */
int  sweep_expunge(struct spool *sp, const uint64_t *ids, size_t n,
    const char *actor, bool wipe);

/* ---- leftover.c ---- */

/* The file of an expunged object could not be removed yet. Any thread. */
void leftover_note(struct spool *sp, uint64_t id);
void leftover_run(struct spool *sp);	/* the keeper's thread */

/* ---- prune.c (the keeper's thread) ---- */
#define PRUNE_BYTES (64u << 20)	/* worth it */
void prune_log(struct spool *sp, uint64_t least);

/* ---- adopt.c ---- */
int  adopt_at_start(struct spool *sp, struct buf *why);
/* One slice of the background rebuild: 1 more to do, 0 finished. */
int  adopt_continue(struct spool *sp);
void adopt_free(struct spool *sp);

/* ---- the spool ---- */

#define READERS_IDLE 8

struct spool {
	struct store	  *store;
	struct index	  *ix;		/* the committer's (start-up: the opener's) */
	struct settle_log *log;		/* the committer's */
	struct committer   commit;
	struct keeper	   keep;
	struct activity	  *activity;
	struct put_pool	   pool;
	uint64_t	   small_max;	/* bytes of an object in a segment */
	int64_t		   patience_ms;	/* of a commit that waits for a segment */
	struct adopt	  *adopt;	/* the keeper's, while rebuilding */
	char		  *directory;

	pthread_mutex_t	     readers_mu;
	struct index_reader *readers[READERS_IDLE];
	unsigned	     n_readers;

	_Atomic uint64_t reserve;
	_Atomic int64_t	 keep_delivered_ms, keep_index_ms;
	_Atomic uint64_t disk_free, disk_size, free_in_segments;
	_Atomic int	 space;		/* enum spool_space */
	atomic_bool	 suspect, rebuilding;
	atomic_uint	 wiping;	/* purges between commit and overwriting: no
					 * segment is written again meanwhile */
	atomic_bool	 replayed;	/* the index reflects the whole settle log */
	_Atomic uint64_t rebuilt;

	pthread_mutex_t	 callbacks_mu;
	spool_wake_fn	*wake;		/* callbacks_mu */
	void		*wake_arg;
	spool_fatal_fn	*fatal;
	void		*fatal_arg;
};

/* A reader for the calling thread; give it back. Never NULL unless the index
 * cannot be opened: *ret_r is the error. */
struct index_reader *spool_reader_take(struct spool *sp, int *ret_r);
void spool_reader_give(struct spool *sp, struct index_reader *r);
void spool_wake(struct spool *sp);
int  spool_trust(struct spool *sp, int r);	/* -EUCLEAN of the index is final; r */
/* Invariant 7: stops promising, marks the index to be rebuilt, tells the owner. */
void spool_suspect(struct spool *sp, const char *what, int error);

/* In the spool's directory: set the index aside at the next start. */
#define SPOOL_SUSPECT_FILE "index.suspect"

#endif
