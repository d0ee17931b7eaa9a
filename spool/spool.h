/* spool.h - the instances we have promised to deliver.
 *
 * spool_commit() returning 0 is the promise: from then on the bytes and
 * everything needed to find them again survive a power cut, and only
 * confirmation by every destination, or a named command, ends it. Everything
 * before that is undone by spool_put_free() or by the next start. The numbered
 * invariants stand at the head of spool/commit.c; docs/SPOOL_FORMAT.md describes
 * what is on the disk.
 *
 * Threads: a struct spool is shared by all. A spool_source, its puts and a
 * spool_reader belong to one thread at a time. Calls that change something block
 * until it is durable (they post to the committer); calls that look may run
 * anywhere and see all that was committed. Callbacks of walks run in the
 * caller's thread, never under a lock that a commit needs.
 * Errors: negative errno. -ENOSPC "refuse politely", -EIO "the disk failed:
 * stop promising", -EAGAIN "not now", -EUCLEAN "damaged on this disk".
 */
#ifndef CW_SPOOL_SPOOL_H
#define CW_SPOOL_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "gateway/base/buf.h"
#include "gateway/base/hash.h"
#include "gateway/dicom/head.h"
#include "gateway/dicom/uid.h"

struct spool;
struct spool_source;
struct spool_put;
struct spool_reader;

/* ---- opening ------------------------------------------------------------ */

struct spool_options {
	const char *directory;	/* made if missing; borrowed for the call */
	uint64_t    reserve;	/* bytes of the disk that stay free */
	int64_t	    keep_delivered_ms, keep_index_ms;
	unsigned    node;	/* high byte of every id; 0 for a single box */
};

/* Called when something arrived or a command changed what is due. Any thread;
 * must not block nor call the spool. */
typedef void spool_wake_fn(void *arg);
/* The disk failed (invariant 7): the process should stop promising and end. */
typedef void spool_fatal_fn(void *arg, const char *why);

/* Locks, checks, scans what is newer than the index, starts the threads. When
 * it fails, why says it for people. -EBUSY: another daemon has it. -ENOTSUP:
 * index of a newer version, or on a network file system. */
int  spool_open(const struct spool_options *opt, struct spool **ret,
	 struct buf *why);
void spool_callbacks(struct spool *sp, spool_wake_fn *wake, void *wake_arg,
	 spool_fatal_fn *fatal, void *fatal_arg);
void spool_configure(struct spool *sp, const struct spool_options *opt);
void spool_close(struct spool *sp);

/* ---- receiving ---------------------------------------------------------- */

enum spool_space {
	SPOOL_SPACE_GOOD,
	SPOOL_SPACE_LOW,	/* below 2 x reserve: no new associations */
	SPOOL_SPACE_OUT,	/* below reserve: A700 */
};
enum spool_space spool_space(struct spool *sp);	/* cheap: a cached figure */

/* Who sends: one association (or one import). Strings are copied. */
struct spool_origin {
	char	 calling[DICOM_TITLE_MAX + 1];
	char	 called[DICOM_TITLE_MAX + 1];
	char	 address[48];
};
struct spool_source *spool_source_open(struct spool *sp,
    const struct spool_origin *origin);
/* Its studies are no longer held open by it. */
void spool_source_close(struct spool_source *src);

enum spool_priority { SPOOL_LOW, SPOOL_NORMAL, SPOOL_STAT };

struct spool_put_head {
	char	 sop_class[DICOM_UID_MAX + 1];
	char	 sop_instance[DICOM_UID_MAX + 1];
	char	 syntax[DICOM_UID_MAX + 1];
	char	 originator_title[DICOM_TITLE_MAX + 1];	/* C-MOVE, or "" */
	uint16_t originator_id;
	enum spool_priority priority;
	char	 assume_charset[32 + 1];	/* for index and query only, or "" (rule 27) */
	const char *to;		/* this destination alone, whatever the routes say, with
				 * the commit; NULL: routed later. Outlives the put */
};

/* -ENOSPC below reserve, -EIO when the spool is suspect. */
int  spool_put_begin(struct spool_source *src, const struct spool_put_head *head,
	 struct spool_put **ret);
/* Never fails towards the caller's stream: the first error is latched, the rest
 * is swallowed, and both this and spool_commit() return it (a full disk must not
 * stall the association, which reads on). */
int  spool_put_write(struct spool_put *put, const void *data, size_t len);
/* As soon as it is known, so that the study counts as busy (rule 11). */
void spool_put_study(struct spool_put *put, const char *study_uid);
/* The attributes; must identify study, series and instance. Copied. */
void spool_put_describe(struct spool_put *put, const struct dicom_head *head);
uint64_t spool_put_length(const struct spool_put *put);

enum spool_outcome {
	SPOOL_NEW,		/* a new instance */
	SPOOL_NEW_VERSION,	/* other bytes under a known UID */
	SPOOL_SAME,		/* the same bytes, still owed: nothing new */
	SPOOL_OWED_AGAIN,	/* the same bytes, owed once more (rule 2) */
};
struct spool_receipt {
	uint64_t	   id;		/* of the instance that stands for it */
	unsigned	   version;	/* 1 for the first */
	enum spool_outcome outcome;
};

/* Blocks until durable: THE commit point; nobody answers Success but for a 0 from
 * here. Frees the put in any case and sets it to NULL. */
int  spool_commit(struct spool_put **put, struct spool_receipt *ret);
void spool_put_free(struct spool_put *put);	/* gives up; takes NULL */

/* ---- looking ------------------------------------------------------------ */

enum spool_delivery {
	SPOOL_OWED,
	SPOOL_SENT,		/* handed over, confirmation outstanding */
	SPOOL_DELIVERED,
	SPOOL_WARNED,		/* delivered, with a warning to show */
	SPOOL_REFUSED,		/* set aside; keeps its bytes; an alarm */
	SPOOL_LET_GO,		/* by a named command */
	SPOOL_DELIVERY_STATES
};
const char *spool_delivery_name(enum spool_delivery d);

enum spool_study_state {	/* what people see; the first that applies */
	SPOOL_STUDY_REFUSED,	/* something was set aside */
	SPOOL_STUDY_UNROUTED,	/* something has nowhere to go */
	SPOOL_STUDY_HELD,	/* by an operator */
	SPOOL_STUDY_RECEIVING,	/* not complete yet */
	SPOOL_STUDY_OWED,	/* waiting or in transfer */
	SPOOL_STUDY_DELIVERED,
	SPOOL_STUDY_LET_GO,	/* nothing delivered, nothing owed */
	SPOOL_STUDY_STATES
};
const char *spool_study_state_name(enum spool_study_state s);
int spool_study_state_parse(const char *name, enum spool_study_state *ret);

/* Texts are UTF-8. Valid during the callback only. */
struct spool_study {
	uint64_t    id;
	const char *uid, *accession, *patient_id, *patient_name, *study_date,
		   *description, *modalities;	/* "CT\\SR" */
	const char *calling, *called, *address;	/* of the last arrival */
	enum spool_priority priority;
	enum spool_study_state state;
	bool	    held;
	int64_t	    first_arrival_ms, last_arrival_ms;	/* wall */
	uint64_t    series, instances, bytes;	/* latest versions and old ones alike */
	uint64_t    pending;	/* not routed yet: the study is not complete */
	uint64_t    unrouted, kept;	/* kept: bytes still here */
	uint64_t    owed, delivered, refused, let_go;	/* summed over destinations */
};
typedef int spool_study_fn(void *arg, const struct spool_study *s);

struct spool_filter {
	const char *uid, *accession, *patient_id;	/* NULL: any; exact */
	const char *calling;
	int	    state;		/* enum spool_study_state, -1: any */
	int64_t	    since_ms;		/* last arrival; 0: any */
	uint64_t    before_id;		/* paging: id below this; 0: from the newest */
	size_t	    limit;		/* 0: no limit */
};
int spool_studies(struct spool *sp, const struct spool_filter *f,
    spool_study_fn *fn, void *arg);
int spool_study_by_id(struct spool *sp, uint64_t id, spool_study_fn *fn, void *arg);

struct spool_instance {
	uint64_t id, study;
	unsigned version;
	char	 sop_class[DICOM_UID_MAX + 1];
	char	 sop_instance[DICOM_UID_MAX + 1];
	char	 study_uid[DICOM_UID_MAX + 1];
	char	 series_uid[DICOM_UID_MAX + 1];
	char	 syntax[DICOM_UID_MAX + 1];
	char	 modality[17];
	struct spool_origin origin;
	enum spool_priority priority;
	uint64_t length;		/* data set bytes */
	int64_t	 arrived_ms;
	bool	 kept, damaged, routed, unrouted;
	bool	 check;			/* owed: ask the destination first (rule 2) */
	bool	 replacing;		/* owed: a DELETE may have happened (rule 4) */
	bool	 later;			/* owed, sent: a later version of its UID came */
	uint64_t job;			/* sent: by this job; else 0 */
};
typedef int spool_instance_fn(void *arg, const struct spool_instance *in);
/* In order of id, above after; a non-zero return of fn ends the walk with it. */
int spool_instances(struct spool *sp, uint64_t study, uint64_t after,
    spool_instance_fn *fn, void *arg);
int spool_instance_get(struct spool *sp, uint64_t id, struct spool_instance *ret);

/* Every delivery of one instance. */
struct spool_delivery_row {
	const char *destination;
	enum spool_delivery state;
	int64_t	    since_ms;
	const char *reason;	/* "" or why, for people */
	const char *actor;	/* who let go, or accepted; "" */
	const char *remote;	/* what the destination calls it; "" */
};
typedef int spool_delivery_fn(void *arg, const struct spool_delivery_row *row);
int spool_deliveries(struct spool *sp, uint64_t instance, spool_delivery_fn *fn,
    void *arg);

/* Per destination of one study. */
struct spool_progress {
	const char *destination;
	uint64_t    owed, delivered, warned, refused, let_go;	/* owed: sent ones too */
	uint64_t    sent;
	const char *last_reason;	/* of a refusal; "" if none */
};
typedef int spool_progress_fn(void *arg, const struct spool_progress *p);
int spool_study_progress(struct spool *sp, uint64_t study, spool_progress_fn *fn,
    void *arg);

/* What a study and its parts say of themselves, for routing. */
enum spool_fact { SPOOL_FACT_SOP_CLASS, SPOOL_FACT_BODY_PART, SPOOL_FACT_STATION,
	SPOOL_FACT_DESCRIPTION };
typedef int spool_fact_fn(void *arg, enum spool_fact fact, const char *text);
/* wanted: bits by enum spool_fact. A text may come several times; "" does not. fn may
 * not call the spool. */
int spool_study_facts(struct spool *sp, uint64_t study, unsigned wanted,
    spool_fact_fn *fn, void *arg);

struct spool_stats {
	uint64_t studies, instances, bytes, kept_bytes;
	uint64_t pending, unrouted, damaged;
	uint64_t disk_free, disk_size;
	enum spool_space space;
	bool	 suspect, rebuilding;
	uint64_t rebuilt;		/* records adopted so far */
	uint64_t segments, segments_free;
};
int spool_stats(struct spool *sp, struct spool_stats *ret);

struct spool_debt {		/* of one destination, configured or not */
	const char *destination;
	bool	    held;
	uint64_t    owed, owed_bytes, refused, delivered;	/* owed: sent ones too */
	uint64_t    sent;
	int64_t	    oldest_owed_ms;	/* wall time of its arrival; 0: none */
};
typedef int spool_debt_fn(void *arg, const struct spool_debt *d);
int spool_debts(struct spool *sp, spool_debt_fn *fn, void *arg);

/* ---- completing and routing (the uploader) ------------------------------ */

struct spool_open_study {
	uint64_t study;			/* 0 while nothing of it is committed yet */
	char	 uid[DICOM_UID_MAX + 1];
	struct spool_origin origin;	/* of the last bytes */
	int64_t	 first_ms, last_ms;	/* CLOCK_BOOTTIME; after a restart: its time */
	unsigned sources;		/* open associations that sent to it */
	enum spool_priority priority;
};
typedef int spool_open_study_fn(void *arg, const struct spool_open_study *s);
/* Studies with instances that are not routed yet. */
int spool_incomplete(struct spool *sp, spool_open_study_fn *fn, void *arg);
/* Those instances, in order of id. */
int spool_pending(struct spool *sp, uint64_t study, uint64_t after,
    spool_instance_fn *fn, void *arg);

struct spool_routing {
	uint64_t	   id;
	const char *const *destinations;	/* none: unrouted */
	size_t		   n;
};
int spool_route(struct spool *sp, const struct spool_routing *r, size_t n);
/* The routes changed: what was unrouted is pending again. */
int spool_reconsider_unrouted(struct spool *sp);

/* ---- delivering (the uploader) ------------------------------------------ */

/* The queue of a destination: studies with something owed to it, by priority and by
 * who sent them; held ones are left out. No call costs more because more is owed. */
struct spool_owed_source {
	uint64_t source;
	enum spool_priority priority;
	char	 calling[DICOM_TITLE_MAX + 1];
	char	 address[48];
};
typedef int spool_owed_source_fn(void *arg, const struct spool_owed_source *s);
/* Each that something is owed of, the most urgent first. */
int spool_owed_sources(struct spool *sp, const char *destination,
    spool_owed_source_fn *fn, void *arg);

struct spool_owed_study {
	uint64_t study;
	enum spool_priority priority;
	int64_t	 oldest_ms;	/* wall time of the oldest arrival owed */
	uint64_t owed;
	char	 calling[DICOM_TITLE_MAX + 1];	/* of the last arrival */
	char	 address[48];
};
typedef int spool_owed_study_fn(void *arg, const struct spool_owed_study *s);
#define SPOOL_OWED_STUDIES_MAX 64
/* The first of one source and priority above after, in the order in which the studies
 * began. limit: at most SPOOL_OWED_STUDIES_MAX. */
int spool_owed_studies(struct spool *sp, const char *destination,
    const struct spool_owed_source *of, uint64_t after, size_t limit,
    spool_owed_study_fn *fn, void *arg);
/* -ENOENT: nothing of it is owed there, or it is held. */
int spool_owed_study(struct spool *sp, const char *destination, uint64_t study,
    struct spool_owed_study *ret);
/* What is owed of one study, above after, in order of arrival; an instance
 * waits while an earlier version of its UID is pending, or owed there (rule 3). */
int spool_owed(struct spool *sp, const char *destination, uint64_t study,
    uint64_t after, size_t limit, spool_instance_fn *fn, void *arg);

struct spool_verdict {
	uint64_t	    id;
	const char	   *destination;
	enum spool_delivery state;	/* SPOOL_OWED: again, to be asked for first */
	const char	   *reason;	/* NULL: none */
	const char	   *remote;	/* what the destination calls it; NULL: as it was */
	uint64_t	    job;	/* SPOOL_SENT: by this one. Else what this one has
					 * sent, and nothing else; 0: who sent it matters
					 * not */
};
#define SPOOL_REMOTE_MAX 1024	/* longer: -EINVAL, and nothing is settled */
/* Logged, synced, then committed (invariants 4 and 5). One that is no longer owed
 * nor sent is left as it is. What is sent by a job that is over is owed, to be asked
 * for first. */
int spool_settle(struct spool *sp, const struct spool_verdict *v, size_t n);
/* Persist that the destination's copy is about to be deleted (rule 4). */
int spool_set_replacing(struct spool *sp, uint64_t id, const char *destination);
/* The bytes do not match their checksum: set aside everywhere (invariant 11). */
int spool_set_damaged(struct spool *sp, uint64_t id, const char *why);

/* ---- jobs ---------------------------------------------------------------
 *
 * What a destination confirms later: an import, a storage commitment. A job is a
 * text of the destination's own (JSON: its phase, its tokens) and the deliveries
 * that it has sent. Both are in the settle log and the index, durable before the
 * call returns, so a restart and a rebuild of the index carry on. What is sent is
 * still owed: it keeps its bytes, and later versions wait.
 * -EAGAIN: not while the index is rebuilt. -E2BIG: text longer than that; -EINVAL:
 * not printable ASCII, or no name of a destination. */

#define SPOOL_JOB_TEXT_MAX 1800

struct spool_job {
	uint64_t    id;			/* never used again */
	const char *destination;
	const char *text;
	int64_t	    since_ms;		/* wall */
	uint64_t    sent;		/* deliveries that wait for it */
};
int  spool_job_new(struct spool *sp, const char *destination, const char *text,
	 uint64_t *ret_id);
/* -ENOENT: there is no such job (any more). */
int  spool_job_set(struct spool *sp, uint64_t id, const char *text);
/* Over: what it has sent and nobody settled is owed again, to be asked for first. */
int  spool_job_end(struct spool *sp, uint64_t id);
typedef int spool_job_fn(void *arg, const struct spool_job *job);
int  spool_jobs(struct spool *sp, const char *destination, spool_job_fn *fn,
    void *arg);			/* NULL: of all; in order of id */
/* What still waits for it, in order of id, above after. */
int  spool_job_sent(struct spool *sp, uint64_t id, uint64_t after, size_t limit,
    spool_instance_fn *fn, void *arg);

/* How far a delivery has come (an upload in parts): durable, but not part of the
 * promise, so not in the log; gone when the delivery is sent or settled or the index
 * is rebuilt. text NULL forgets. -ENOENT: nothing is owed there. -E2BIG. */
#define SPOOL_NOTE_MAX (256u << 10)
int  spool_note_set(struct spool *sp, uint64_t id, const char *destination,
    const char *text);
int  spool_note_get(struct spool *sp, uint64_t id, const char *destination,
    struct buf *ret);		/* -ENOENT */

/* ---- reading bytes ------------------------------------------------------ */

/* Pins the bytes until closed. -ENOENT: swept or expunged. -EUCLEAN: what is on
 * the disk is not this object. */
int	 spool_reader_open(struct spool *sp, uint64_t id, struct spool_reader **ret);
void	 spool_reader_close(struct spool_reader *r);
uint64_t spool_reader_length(const struct spool_reader *r);
const char *spool_reader_syntax(const struct spool_reader *r);
/* Short only at the end. */
ssize_t	 spool_reader_read(struct spool_reader *r, uint64_t at, void *data,
    size_t len);
/* Reads it all: 0, -EUCLEAN on a mismatch of the checksum, -EIO. */
int	 spool_reader_verify(struct spool_reader *r);
const uint8_t *spool_reader_checksum(const struct spool_reader *r);
/* For sendfile: the descriptor (borrowed) and where the data set begins. */
int	 spool_reader_fd(const struct spool_reader *r, uint64_t *ret_offset);

/* ---- commands ----------------------------------------------------------- */

enum spool_verb {
	SPOOL_RETRY,	/* refused -> owed */
	SPOOL_RESEND,	/* everything that is kept -> owed, checked first (rule 2);
			 * of a study to a named destination even what never
			 * went there (rule 8), and what is unrouted */
	SPOOL_ACCEPT,	/* refused, but the destination has it (remote) -> warned
			 * (rule 5) */
	SPOOL_HOLD, SPOOL_RELEASE,
	SPOOL_PRIORITY,
	SPOOL_DROP,	/* owed, refused, unrouted -> let go */
	SPOOL_PURGE,	/* let go of all, and destroy the local bytes now */
};
struct spool_command {
	enum spool_verb verb;
	uint64_t	study;		/* 0: the destination as a whole */
	const char     *destination;	/* NULL: all */
	const char     *actor;		/* who: never NULL */
	const char     *reason;		/* NULL: none given */
	enum spool_priority priority;
};
/* Recorded with the actor's name before it takes effect. *ret_n: deliveries (or
 * instances, for purge) that changed. -ENOENT: no such study or destination.
 * -EAGAIN: not while the index is rebuilt. */
int spool_command(struct spool *sp, const struct spool_command *cmd,
    uint64_t *ret_n);

/* ---- without the daemon ------------------------------------------------- */

typedef void spool_salvage_fn(void *arg, const char *file, const char *problem);
/* Every record of a bare spool directory as Part 10 files below out (made if
 * missing): STUDY/SERIES/INSTANCE.VERSION.dcm, UIDs made safe; damaged ones under
 * damaged/. Needs no index. fn is told of each file, problem NULL if whole. */
int spool_salvage(const char *directory, const char *out, spool_salvage_fn *fn,
    void *arg, struct buf *why);

#endif
