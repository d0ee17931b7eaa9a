/* upload_int.h - the uploader's parts.
 *
 *   upload.c	the scheduler thread: its loop, start, stop, reload, status
 *   arrivals.c	incomplete studies become complete and are routed
 *   traits.c	what routes ask of a study, from the index
 *   lane.c	one destination: its state, its transfer threads, probing
 *   refresh.c	a lane's queue from the index
 *   request.c	cutting a request, and what its answer means for the job
 *   settle.c	verdicts become durable
 *   tend.c	the thread that looks after what a destination confirms later
 *   windows.c	pure: how fast at what time of the week
 *   explain.c	why a study is not there yet, in words
 *   schedule.c	pure: jobs and fragments
 *
 * Everything in a lane belongs to the scheduler thread but what is marked; `mu`
 * guards what others may look at.
 */
#ifndef CW_UPLOAD_UPLOAD_INT_H
#define CW_UPLOAD_UPLOAD_INT_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "gateway/base/queue.h"
#include "gateway/destination/destination.h"
#include "gateway/upload/schedule_int.h"
#include "gateway/upload/upload.h"
#include "gateway/upload/windows_int.h"

#define REQUEST_INSTANCES_MAX 512

struct lane;

/* One errand of a transfer thread. It belongs to the thread between the lane's
 * queue and the scheduler's. */
struct request {
	struct lane *lane;
	uint64_t     study;
	bool	     probe;		/* nothing to deliver: only look */
	struct fragment *fragment;	/* where its instances come from, or NULL */
	uint64_t     bytes;
	struct destination_result result;
	size_t	     n;
	struct destination_item item[];
};

struct lane {
	TAILQ_ENTRY(lane) link;
	struct upload *up;
	struct destination *dest;
	const struct config *cfg;	/* what dest was opened with, and borrows */
	const struct config_destination *conf;	/* of cfg */
	char	 *name, *text;		/* text: its configuration, to tell changes */
	struct queue *work;		/* struct request, for the threads */
	pthread_t *threads;
	unsigned n_threads;
	struct tender {			/* tend.c */
		pthread_t thread;
		bool running;
		atomic_bool stopping, paused;
		struct queue *wakes;
	} tender;
	struct schedule sched;
	unsigned window;		/* jobs with work that a refresh takes of a peer */

	enum upload_state state;	/* UP, DOWN or BUSY */
	char	 reason[400];
	bool	 held;			/* by an operator */
	bool	 stale;			/* its queue, until something can leave */
	bool	 closed;		/* by a window */
	uint64_t limit;			/* bytes/s of all connections; 0: none */
	int64_t	 window_ends_ms;	/* wall; CLOCK_NEVER */
	int64_t	 next_window_ms;	/* monotonic: look at the windows again */
	bool	 cautious;		/* one request at a time until one succeeds */
	bool	 probing;
	unsigned failures_in_row;
	int64_t	 down_since_ms;		/* monotonic */
	int64_t	 next_try_ms;		/* monotonic; of a probe, or the end of BUSY */
	uint64_t successes;
	uint64_t learned_bytes;		/* 413 taught us; 0: nothing */
	double	 rate;			/* bytes/s of one connection, measured,
					 * smoothed; 0: not yet */
	unsigned in_flight;

	struct upload_destination shown;	/* up->mu */
	unsigned borrowed;			/* up->mu; borrow.c */
};
TAILQ_HEAD(lanes, lane);

struct waiting_study {		/* for upload_explain() */
	uint64_t study;
	int64_t	 complete_at_ms;	/* CLOCK_BOOTTIME */
};

enum note_kind { NOTE_DONE, NOTE_CONFIGURE, NOTE_NUDGE, NOTE_WAKE, NOTE_REFRESH };
struct note {			/* to the scheduler */
	enum note_kind kind;
	struct request *request;	/* DONE */
	const struct config *cfg;	/* CONFIGURE */
	struct buf *why;
	char *destination;		/* NUDGE; NULL: all */
	int   result;
	sem_t *answered;		/* CONFIGURE: the caller waits */
};

struct upload {
	struct spool *sp;
	const struct config *cfg;	/* the scheduler's */
	struct lanes lanes;		/* mu to look or to change; the scheduler changes */
	struct queue *notes;
	pthread_t thread;
	bool	  running;
	atomic_bool woken, stopping;
	int64_t	  next_arrivals_ms, next_refresh_ms;	/* monotonic */
	int64_t	  rested_ms;		/* monotonic: arrivals refresh not before */
	bool	  arrivals_due;		/* a wake came since the last look */
	uint32_t  seed;

	pthread_mutex_t mu;
	pthread_cond_t	returned;	/* a lent destination */
	struct lane    *retiring;	/* mu: out of `lanes`, perhaps lent still */
	struct waiting_study *waiting;	/* mu */
	size_t	  n_waiting;
};

uint32_t upload_random(struct upload *u);
/* NUDGE, WAKE, REFRESH; any thread, never blocks. destination NULL: all. */
void upload_post(struct upload *u, enum note_kind kind, const char *destination);

/* ---- arrivals.c ---- */

/* Looks at the incomplete studies, routes those that are complete. Returns when
 * (monotonic) the next one will be, CLOCK_NEVER if none. */
int64_t arrivals_run(struct upload *u);

/* ---- lane.c ---- */

int  lane_new(struct upload *u, const struct config *cfg,
	 const struct config_destination *d, struct lane **ret, struct buf *why);
int  lane_start(struct lane *l);
void lane_stop(struct lane *l);	/* cancels, joins; unfinished requests are dropped */
void lane_free(struct lane *l);
/* Starts what can be started now. */
void lane_run(struct lane *l, int64_t now_ms);
int64_t lane_next(const struct lane *l, int64_t now_ms);
void lane_probed(struct lane *l, const struct destination_result *r, int64_t now_ms);
/* What a request says of the destination; taken: instances delivered or sent. */
void lane_heard(struct lane *l, const struct destination_result *r, uint64_t taken,
    int64_t now_ms);
void lane_count_delivered(struct lane *l, uint64_t n);	/* any thread */
void lane_nudge(struct lane *l, int64_t now_ms);
void lane_show(struct lane *l, int64_t now_ms);

/* ---- borrow.c ---- */

void lane_await_return(struct lane *l);	/* of one that is retiring */

/* ---- refresh.c ---- */

void lane_refresh(struct lane *l, int64_t now_ms);
/* Refreshes its queue, or lets lane_run() do so when something can leave again. */
void lane_look(struct lane *l, int64_t now_ms);
/* After work of a job has come back, or there was none (schedule_rest). */
void lane_rest(struct lane *l, struct job *j, int64_t now_ms);

/* ---- settle.c; any thread ---- */

struct settled {		/* what became of items */
	uint64_t taken;		/* delivered or sent */
	uint64_t sent, delivered;
	uint64_t bytes;		/* delivered */
	uint64_t again;		/* sent by the job before, owed again */
};
/* Verdicts of a request (job 0: RETRY and SENT stay as they are), or of what job has
 * sent (RETRY is owed again). Logs what is set aside. Negative errno: none of it is
 * settled (it is delivered again: the destination has it, and says so). */
int  settle_items(struct lane *l, uint64_t job, const struct destination_item *items,
	 size_t n, struct settled *ret);
/* Its reason as a log may have it (rule 34), in ret. */
#define REASON_SIZE sizeof(((struct destination_item *)NULL)->reason)
const char *settle_shown(const struct destination_item *it,
     char ret[static REASON_SIZE]);
/* Nothing of the study is owed to the lane any more, nor sent. */
bool settle_is_whole(struct lane *l, uint64_t study, uint64_t *ret_delivered);

/* ---- tend.c; the scheduler ---- */

void tender_init(struct lane *l);
int  tender_start(struct lane *l);
void tender_wake(struct lane *l);
void tender_pause(struct lane *l, bool paused);
void tender_ask_stop(struct lane *l);	/* before the destination is canceled */
void tender_join(struct lane *l);
void tender_free(struct lane *l);

/* ---- request.c ---- */

/* The next request of a job; NULL when the job has nothing to hand out now. */
struct request *request_cut(struct lane *l, struct job *j, int64_t now_ms);
void request_free(struct request *rq);
/* Settles, and gives back to the job what is not final. Frees the request. */
void request_done(struct lane *l, struct request *rq, int64_t now_ms);

#endif
