/* admin_int.h - what the files of gateway/admin share.
 *
 *   admin.c	the thread, its loop, HTTP in and out
 *   socket.c	the listening socket and who is at its other end
 *   router.c	the table of calls
 *   reply.c	JSON out, errors as sentences
 *   ref.c	names of studies, points in time: what callers write
 *   warning.c	what of the configuration people should know
 *   the others	the calls, by subject
 *
 * Everything here runs in the admin thread but admin_new/start/stop/free,
 * admin_config_warnings, and what an errand does.
 */
#ifndef CW_ADMIN_ADMIN_INT_H
#define CW_ADMIN_ADMIN_INT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <jansson.h>

#include "gateway/admin/admin.h"
#include "gateway/base/queue.h"

#define ADMIN_HEAD_MAX	   (16 * 1024)	/* bytes of a request's head */
#define ADMIN_BODY_MAX	   (64 * 1024)
#define ADMIN_TEXT_MAX	   256		/* of a reason, a name, a part of a path */
#define ADMIN_PAGE	   100
#define ADMIN_PAGE_MAX	   1000
#define ADMIN_ACTOR_MAX	   64
#define ADMIN_PARTS	   2		/* `*` in a pattern */
#define ADMIN_CALLERS_DAYS 1		/* refusals that `status` still shows */

/* Test objects come from "there", which no peer can. */
#define ADMIN_TEST_TITLE   "CAUSEWAY_TEST"
#define ADMIN_TEST_ADDRESS "local"
#define ADMIN_ERRAND_THREADS 2
#define ADMIN_ERRANDS_MAX    16	/* that wait for a thread */

struct sending;
struct admin_errand;

struct admin_errands {
	struct queue *waiting;
	pthread_t threads[ADMIN_ERRAND_THREADS];
	unsigned  n_threads;
	atomic_bool stopping;
	int	  fd;		/* eventfd: something is done */
	struct event *event;
	pthread_mutex_t mu;
	pthread_cond_t	hurry;	/* somebody hung up, or all ends */
	STAILQ_HEAD(, admin_errand) done;	/* mu */
};

struct admin {
	struct admin_options opt;
	char	 *path;
	dev_t	  socket_dev;	/* of our socket: only that is removed */
	ino_t	  socket_ino;
	struct event_base *base;
	struct evhttp	  *http;
	int	  stop_fd;	/* eventfd: the thread ends */
	struct event *stop;
	pthread_t thread;
	bool	  running;
	int64_t	  started_ms, started_mono_ms;
	LIST_HEAD(, sending) sendings;	/* files on their way */
	struct admin_errands errands;
	struct event *daily;	/* reconcile.c */
	int64_t	  reconcile_at_ms;	/* wall; 0: not decided yet */
	uint64_t  reconcile_minutes;	/* for this setting */
	json_t	  *reconciled;	/* what it found last; NULL: not yet */
};

/* One request. A handler answers it exactly once (file.c: begins to). */
struct admin_call {
	struct admin *admin;
	struct evhttp_request *req;
	char	  actor[ADMIN_ACTOR_MAX];
	char	  part[ADMIN_PARTS][ADMIN_TEXT_MAX];	/* what `*` stood for */
	struct evkeyvalq query;
	json_t	 *body;		/* an object; NULL without a body */
};
typedef void admin_handler_fn(struct admin_call *c);

/* ---- router.c ---------------------------------------------------------- */

struct admin_route {
	enum evhttp_cmd_type method;
	const char *pattern;	/* "/v1/studies/<*>/instances" without the <> */
	admin_handler_fn *fn;
};
extern const struct admin_route admin_routes[];	/* ends with pattern NULL */

/* path is still percent-encoded. -ENOENT: no such path, -EPERM: not by this
 * method, -EINVAL: a part is too long or badly encoded. */
int admin_route_find(const struct admin_route *table, enum evhttp_cmd_type method,
    const char *path, char part[ADMIN_PARTS][ADMIN_TEXT_MAX],
    admin_handler_fn **ret);

/* ---- reply.c ----------------------------------------------------------- */

/* Takes body; NULL is answered as out of memory. */
void admin_reply(struct admin_call *c, int status, json_t *body);
void admin_fail(struct admin_call *c, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* r: negative errno of the spool; doing: "listing studies". */
void admin_fail_errno(struct admin_call *c, int r, const char *doing);

/* Never NULL for want of UTF-8: what is none is read as ISO 8859-1. */
json_t *admin_json_text(const char *s);
json_t *admin_json_time(int64_t wall_ms);	/* null for 0 */
json_t *admin_json_u64(uint64_t n);

/* Options of the request: NULL when left out. */
const char *admin_query(const struct admin_call *c, const char *name);
/* false: answered already. */
bool admin_query_u64(struct admin_call *c, const char *name, uint64_t fallback,
    uint64_t *ret);
bool admin_query_limit(struct admin_call *c, size_t *ret);
bool admin_body_text(struct admin_call *c, const char *name, const char **ret);
bool admin_body_bool(struct admin_call *c, const char *name, bool *ret);

/* ---- ref.c ------------------------------------------------------------- */

struct admin_ref {
	enum { ADMIN_REF_UID, ADMIN_REF_ACCESSION, ADMIN_REF_PATIENT, ADMIN_REF_ID }
		 kind;
	uint64_t id;
	char	 text[ADMIN_TEXT_MAX];
};
/* "1.2.3", "acc:A17", "pid:4711", "id:12"; -EINVAL. */
int admin_ref_parse(const char *s, struct admin_ref *ret);
/* Wants one study: else answers (400, 404, 409 with the list) and is false. */
bool admin_find_study(struct admin_call *c, const char *ref, uint64_t *ret_id,
    char uid[DICOM_UID_MAX + 1]);

/* "2h", "3d", "2026-11-20", "2026-11-20T14:00", with seconds and offset too.
 * Without an offset it is local time. -EINVAL. */
int admin_since_parse(const char *s, int64_t now_ms, int64_t *ret_ms);

/* ---- what several calls show ------------------------------------------- */

json_t *admin_study_json(const struct spool_study *s);
/* Configured ones and those that something is still owed to; NULL: *ret_r. */
json_t *admin_destinations_json(struct admin *a, int *ret_r);

struct admin_callers {
	size_t n;
	struct dimse_caller *v;		/* the latest first */
};
int    admin_callers_get(struct admin *a, struct admin_callers *ret);
void   admin_callers_free(struct admin_callers *l);
json_t *admin_caller_json(const struct dimse_caller *c);
/* The entry of `peers` that would let a caller in. The caller frees. */
char   *admin_caller_yaml(const struct dimse_caller *c);

/* ---- reconcile.c ------------------------------------------------------- */

int  admin_reconcile_new(struct admin *a);
void admin_reconcile_free(struct admin *a);
/* A sentence if the last one found something missing; else false. */
bool admin_reconcile_warning(const struct admin *a, char *text, size_t size);

/* ---- socket.c ---------------------------------------------------------- */

int  admin_socket_open(struct admin *a, int *ret_fd, struct buf *why);
void admin_socket_remove(struct admin *a);
int  admin_socket_actor(int fd, char actor[ADMIN_ACTOR_MAX]);

/* ---- errand.c ---------------------------------------------------------- */

/* In an errand's thread: the answer and its status (200 to begin with). */
typedef json_t *admin_errand_fn(struct admin_errand *e, void *arg, int *ret_status);
/* In the admin thread, when it has brought a 200. */
typedef void admin_errand_done_fn(struct admin *a, json_t *reply);
/* Answers the call later; takes arg, which is freed by free(). done may be NULL. */
void admin_errand_run(struct admin_call *c, admin_errand_fn *work,
    admin_errand_done_fn *done, void *arg);
/* The same, and nobody asked. */
int  admin_errand_start(struct admin *a, admin_errand_fn *work,
    admin_errand_done_fn *done, void *arg);
/* Nobody waits for it any more. */
bool admin_errand_gone(const struct admin_errand *e);
/* Lets so much time pass; false: gone meanwhile. */
bool admin_errand_wait(const struct admin_errand *e, int64_t ms);
const char *admin_errand_actor(const struct admin_errand *e);
const struct admin_options *admin_errand_options(const struct admin_errand *e);
json_t *admin_errand_fail(int *ret_status, int status, const char *text);
/* To be freed after the uploader has stopped. */
int  admin_errands_new(struct admin *a), admin_errands_start(struct admin *a);
void admin_errands_stop(struct admin *a), admin_errands_free(struct admin *a);

/* ---- the calls --------------------------------------------------------- */

admin_handler_fn admin_get_version, admin_get_status, admin_get_metrics;
admin_handler_fn admin_get_studies, admin_get_study, admin_get_instances;
admin_handler_fn admin_get_route;
admin_handler_fn admin_post_study, admin_post_destination, admin_post_reload;
admin_handler_fn admin_get_destinations, admin_get_peers, admin_get_associations;
admin_handler_fn admin_get_file;
admin_handler_fn admin_get_reconciliation, admin_post_reconciliation;
admin_handler_fn admin_post_verify, admin_post_test, admin_get_doctor;
/* Connections are gone: what was being sent ends. */
void admin_sendings_free(struct admin *a);

#endif
