/* ahi_int.h - what the files of the kind `healthimaging` share.
 *
 * An import job is a batch of files below a prefix of its own in S3. deliver()
 * puts files into the batch that is open (ahi_batch.c) and makes them "sent" by its
 * job of the spool; tend() (ahi_job.c) closes the batch, starts the import
 * (ahi_start.c, ahi_api.c), asks how it goes (ahi_end.c), reads its lists
 * (ahi_result.c), settles each instance by its own line (ahi_settle.c) and deletes
 * its files (ahi_tidy.c). ahi_text.c keeps jobs in the spool, so that a restart goes
 * on; ahi_stow.c sends by STOW instead, and asks by QIDO.
 *
 * Locks: ahi.mu guards the list of jobs, and of each job what is marked; it is
 * never held across a call that blocks. Jobs leave the list, and change their
 * phase, in the thread of tend() alone.
 *
 * Sources: AWS HealthImaging developer guide and API reference (2023-07-19).
 */
#ifndef CW_DESTINATION_AHI_INT_H
#define CW_DESTINATION_AHI_INT_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "gateway/destination/s3_int.h"
#include "gateway/destination/stow_int.h"

#define AHI_FILES_MAX	5000u			/* of one import */
#define AHI_BYTES_MAX	UINT64_C(10000000000)	/* of one import, and of a file */
#define AHI_STOW_MAX	UINT64_C(1000000000)	/* of a STOW request */
#define AHI_JOBS_MAX	100u			/* at once, of a data store */
#define AHI_URI_MAX	400	/* of input and output; all of them are in a job's text */
#define AHI_ROLE_MAX	300
#define AHI_TOKEN_SIZE	65
#define AHI_JOB_SIZE	33	/* their name of a job */
#define AHI_KEY_SIZE	(S3_KEY_MAX + 1)
#define AHI_DATASTORE	32

enum ahi_mode { AHI_IMPORT, AHI_STOW, AHI_AUTO };

struct ahi_options {
	unsigned line;
	int	 mode;
	char	*region, *datastore_id;
	char	*input, *output, *data_access_role, *input_owner, *output_owner;
	int	 sse;			/* 0: the bucket's default */
	char	*kms_key;
	bool	 keep_input;
	uint64_t max_file, batch_files, batch_bytes, batch_time_ms;
	uint64_t start_interval_ms, poll_interval_ms, max_jobs;
	uint64_t job_patience_ms, result_wait_ms;
	uint64_t max_stow, max_request, part_size;
	char	*s3_endpoint, *api_endpoint, *dicomweb_endpoint;
	bool	 path_style;
	struct config_client_tls *tls;
	struct config_choice credential, dicomweb_credential;
	struct config_proxy *proxy;
	uint64_t connections, stall_timeout_ms;
};

/* "s3://bucket/prefix" */
struct ahi_uri {
	char bucket[64];
	char prefix[AHI_KEY_SIZE];	/* "" or ends with a slash */
};

enum ahi_phase {
	AHI_OPEN,	/* takes files */
	AHI_CLOSED,	/* takes no more; to be started */
	AHI_STARTING,	/* the request to start it may have arrived */
	AHI_RUNNING,	/* over there */
	AHI_RESULTS,	/* it ended; its lists are read. Kept as running */
	AHI_CLEANING,	/* all is settled; its files are deleted. Kept as running */
	AHI_PHASES
};

struct ahi_held { uint64_t uid, id; };	/* uid: a hash of it */

struct ahi_job {
	TAILQ_ENTRY(ahi_job) link;
	uint64_t id;			/* of the spool */
	int64_t	 since_ms;		/* wall */

	/* As the spool keeps it. */
	enum ahi_phase phase;		/* mu */
	char	*batch;			/* the last component of its prefix */
	char	*input, *output, *role, *owner;	/* what it is started with; owner may be
						 * NULL */
	char	 token[AHI_TOKEN_SIZE];	/* and name: "cw-…" */
	char	 job[AHI_JOB_SIZE];	/* "" until it runs */
	uint64_t only;			/* made for this large instance alone, or 0 */

	char	 prefix[AHI_KEY_SIZE];	/* of its keys, from input */

	/* mu, while it is open. */
	unsigned files;			/* there, or on their way */
	uint64_t bytes;
	unsigned putting;		/* threads inside */
	bool	 full;			/* nothing more goes in */
	bool	 urgent;		/* holds something of priority stat */
	int64_t	 opened_ms;		/* monotonic */
	struct ahi_held *held;		/* what is in it, for rule 3 */
	size_t	 n_held;

	/* mu. */
	uint64_t sent;			/* instances that wait for it */
	bool	 dirty;			/* its prefix may hold files that nobody sent */
	char	 trouble[400];		/* why it does not get on; "" */
	bool	 alarming;		/* and somebody has to look after it */

	/* Of tend() alone. */
	int64_t	 due_ms;		/* monotonic; not before */
	unsigned tries;			/* in vain, since the last step */
	bool	 doubt;			/* a start went out and nobody knows */
	int64_t	 ended_ms;		/* monotonic: when it was seen to have ended */
	unsigned readings;		/* of its lists */
	unsigned rounds;		/* imports of it that left something */
	unsigned n_files;		/* that it is about */
	struct ahi_uri results;		/* where they are */
};
TAILQ_HEAD(ahi_jobs, ahi_job);

/* What failed alone, or without a word. */
struct ahi_suspect { uint64_t id, completed; unsigned times; };
#define AHI_SUSPECTS 64u

struct ahi {
	const char	*name;
	struct spool	*spool;
	const struct ahi_options *opt;
	struct http_credential *credential, *web_credential;
	struct http_client *api;	/* NULL in mode stow */
	struct s3	*in, *out;	/* NULL in mode stow */
	struct ahi_uri	 input, output;
	struct stow	 stow;		/* the DICOMweb host; http NULL: cannot be asked */
	bool		 web_bearer;	/* it is shown a token: bodies are not signed */
	atomic_bool	 canceled;

	pthread_mutex_t	 mu;
	pthread_cond_t	 opened;	/* mu: opening became false */
	bool		 opening;	/* mu: a thread makes a batch */
	bool		 recovered;	/* mu: the spool's jobs are in the list */
	struct ahi_jobs	 jobs;		/* mu; in order of id */
	unsigned	 batch_files;	/* mu: learned, at most opt->batch_files */
	char		 fault[400];	/* mu: why nothing can be started; "" */
	char		 failed[400];	/* mu: how the last import ended, if in vain; "" */
	char		 litter[400];	/* mu: why files cannot be deleted; "" */
	uint64_t	 bad_lines;	/* mu: of lists, since the start */

	/* Of tend() alone. */
	int64_t		 next_start_ms;	/* monotonic */
	unsigned	 whole_failures;	/* in a row */
	unsigned	 start_failures;	/* in a row */
	uint64_t	 completed;		/* imports, since the start */
	struct ahi_suspect suspects[AHI_SUSPECTS];
	unsigned	 next_suspect;
};

/* ---- ahi_text.c: jobs in the spool --------------------------------------- */

/* -EINVAL: not that. With a slash at the end of the prefix, if there is one. */
int  ahi_uri_parse(const char *uri, struct ahi_uri *ret);
/* "cw-" and a random UUID. */
void ahi_make_token(char ret[static AHI_TOKEN_SIZE]);
/* A new open one, durable; not in the list yet. only: 0, or the instance. */
int  ahi_job_make(struct ahi *a, uint64_t only, struct ahi_job **ret);
void ahi_job_free(struct ahi_job *j);
/* Durable first. -ENOENT and the like: as it was. */
int  ahi_job_enter(struct ahi *a, struct ahi_job *j, enum ahi_phase phase);
/* What it will be started with, as the configuration has it now, and a new token. */
void ahi_job_renew(struct ahi *a, struct ahi_job *j);
/* Reads the spool's jobs into the list, once. -EAGAIN: not yet. */
int  ahi_recover(struct ahi *a);
/* The key of an instance's file, ret of AHI_KEY_SIZE bytes. */
void ahi_key(const struct ahi_job *j, const struct spool_instance *in, char *ret);
/* The name in it: UID.ID.dcm. */
void ahi_file_name(const struct spool_instance *in, char *ret, size_t size);

/* ---- ahi_batch.c: files into batches ------------------------------------- */

void ahi_import(struct ahi *a, struct destination_item **items, size_t n,
    struct destination_result *ret);

/* ---- ahi_api.c: the import API ------------------------------------------- */

enum ahi_said {
	AHI_DONE,
	AHI_LATER,	/* not now, and nothing happened; ret says why */
	AHI_UNSURE,	/* nobody knows whether it happened; ret says why */
	AHI_DENIED,	/* who we are, or our rights; ret says what to do */
	AHI_WRONG,	/* the parameters; ret says what to look at */
	AHI_CONFLICT,	/* 409 */
	AHI_GONE,	/* 404: no such job, or no such data store */
};

enum ahi_status { AHI_WAITS, AHI_COMPLETED, AHI_FAILED };
struct ahi_progress {
	enum ahi_status status;
	char output[S3_KEY_MAX + 80];	/* "" if it is not told */
	char message[160];	/* of a failure; printable */
};

enum ahi_said ahi_start(struct ahi *a, struct ahi_job *j,
    struct destination_result *ret);	/* fills j->job */
enum ahi_said ahi_ask(struct ahi *a, const struct ahi_job *j,
    struct ahi_progress *progress, struct destination_result *ret);
/* Looks for a job of this one's name. AHI_GONE: there is none. */
enum ahi_said ahi_find(struct ahi *a, struct ahi_job *j,
    struct destination_result *ret);
void ahi_probe_datastore(struct ahi *a, struct destination_result *ret);

/* ---- ahi_result.c: what an import says of its files ---------------------- */

enum ahi_listed {		/* bits */
	AHI_SUCCESS = 1u << 0,
	AHI_WARNING = 1u << 1,
	AHI_CUSTOMER_ERROR = 1u << 2,
	AHI_SERVER_ERROR = 1u << 3,
	AHI_NOT_PRIMARY = 1u << 4,
	AHI_TWICE = 1u << 5,	/* in one list */
};
struct ahi_outcome {		/* of one instance */
	uint64_t id;
	char	 file[DICOM_UID_MAX + 32];	/* its name */
	unsigned listed;		/* enum ahi_listed; 0: nowhere */
	unsigned code;			/* of a warning */
	char	 image_set[41];
	char	 words[120];		/* printable */
};
struct ahi_outcomes {
	struct ahi_outcome *v;		/* sorted by id; given: those that were sent */
	size_t n;
	uint64_t bad_lines;
};
/* S3_ABSENT: not there, or not whole, yet. */
enum s3_said ahi_read_results(struct ahi *a, struct ahi_job *j,
    struct ahi_outcomes *o, struct destination_result *ret);
const char *ahi_warning_words(unsigned code);

/* ---- ahi_settle.c: by their lines ---------------------------------------- */

struct ahi_tending {
	struct ahi *a;
	destination_settle_fn *settle;
	void *arg;
	struct destination_result *ret;
	int64_t now_ms;
};
/* What it has sent is owed again, but for the first `keep`. alone: or set aside,
 * where that has become hopeless. Negative errno: not all. */
int  ahi_settle_owed(struct ahi_tending *t, struct ahi_job *j, size_t keep,
    bool alone, const char *reason);
struct ahi_left {	/* of what it has sent */
	size_t doubtful;	/* nobody says what became of it */
	size_t again;		/* the service failed on it */
};
/* By its lists; query: what they do not say is asked of the data store. last: what
 * the service failed on is set aside. */
int  ahi_settle_listed(struct ahi_tending *t, struct ahi_job *j,
    const struct ahi_outcomes *o, bool query, bool last, struct ahi_left *ret);
/* ahi_end.c: it failed by itself, several times, while others were taken. Counts. */
bool ahi_hopeless(struct ahi *a, uint64_t id);
/* What it has sent, to be filled in, and counts it. Free v. */
int  ahi_collect_sent(struct ahi *a, struct ahi_job *j, struct ahi_outcomes *ret);

/* ---- ahi_job.c ----------------------------------------------------------- */

void ahi_tend(void *self, destination_settle_fn *settle, void *arg,
    struct destination_result *ret, int64_t *ret_next_ms);
void ahi_describe(void *self, struct buf *words, struct buf *alarm);

/* ---- ahi_stow.c: DICOMweb ------------------------------------------------ */

extern const struct stow_flavor ahi_flavor;

void ahi_stow(struct ahi *a, struct destination_item **items, size_t n,
    struct destination_result *ret);
/* Those of the only version that are to be asked for first (rule 2) and that it shows
 * are OK. What is left to be delivered is moved to the front; returns how many. */
size_t ahi_ask_first(struct ahi *a, struct destination_item **items, size_t n,
    struct destination_result *ret);
/* Does it show them? One study or many. */
void ahi_query(struct ahi *a, struct destination_look *looks, size_t n,
    struct destination_result *ret);
void ahi_verify(void *self, struct destination_look *looks, size_t n, bool bytes,
    struct destination_result *ret);
void ahi_probe_web(struct ahi *a, struct destination_result *ret);

#endif
