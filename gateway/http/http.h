/* http.h - HTTP to the cloud: kept-alive connections, TLS that is verified,
 * credentials, deadlines; and answers that say what really happened.
 *
 * A client stands for one remote service. http_call() blocks the calling thread:
 * the body is pulled from it and the reply pushed to it, so an upload reads its
 * spool, re-encodes and waits in its own thread and nothing is handed over in
 * between. Each call takes an idle connection from the client's pool (or opens
 * one) and gives it back. HTTP/1.1 only: parallel connections beat HTTP/2 for
 * uploads. Redirects are not followed with a body.
 *
 * Any thread may call; calls on one client run in parallel. http_client_cancel()
 * makes running and later calls end at once with HTTP_CANCELED.
 * No secret ever appears in `why`, in a log or in a core dump's environment.
 */
#ifndef CW_HTTP_HTTP_H
#define CW_HTTP_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "config/config.h"
#include "gateway/base/buf.h"
#include "gateway/base/rate.h"

int  http_global_init(void);	/* once, before any thread */
void http_global_cleanup(void);

/* ---- credentials --------------------------------------------------------
 *
 * Opened once and shared by all clients of one destination, so that a token is
 * fetched once for all that wait. */

struct http_credential;

struct http_credential_options {
	const struct config_choice *choice;	/* kind NULL: none; borrowed for as
						 * long as the credential lives */
	const struct config_proxy *proxy;	/* to fetch tokens by; NULL: none */
	const char *region;		/* of AWS, where the kind is not told; NULL */
};
/* why: for people; after success it may hold a warning. */
int  http_credential_open(const struct http_credential_options *opt,
	 struct http_credential **ret, struct buf *why);
void http_credential_cancel(struct http_credential *c);	/* ends what it waits for */
void http_credential_close(struct http_credential *c);	/* takes NULL */

/* ---- clients ------------------------------------------------------------- */

struct http_client;

/* How a credential that signs does so for one service (SigV4). */
struct http_service {
	const char *name;	/* "s3", "medical-imaging" */
	const char *region;
	bool	    s3_path;	/* the path is signed as it is on the wire */
};

struct http_client_options {
	const char *url;		/* base; no trailing slash needed */
	const char *ca_file;		/* NULL: the system's store */
	struct http_credential *credential;	/* NULL: none; borrowed */
	const struct config_proxy *proxy;	/* NULL: none; borrowed */
	struct rate *rate;		/* of bodies that leave; NULL: no limit;
					 * borrowed */
	struct http_service service;	/* name NULL: nothing is signed */
	int64_t	    connect_timeout_ms;	/* 0: 30 s */
	int64_t	    stall_timeout_ms;	/* no byte either way: 0: 2 min */
};
/* why: for people; after success it may hold a warning (a secret that all may
 * read, a server that is reached without TLS). */
int  http_client_new(const struct http_client_options *opt,
	 struct http_client **ret, struct buf *why);
void http_client_cancel(struct http_client *c);
void http_client_free(struct http_client *c);	/* no call may run */

/* Bytes written to buf, 0 at the end, a negative errno gives the request up
 * before the server can take it as whole. */
typedef ssize_t http_body_fn(void *arg, void *buf, size_t size);
/* Non-zero gives up reading the reply; http_call returns it in reply->local. The
 * reply's content_type is known by then. */
typedef int http_sink_fn(void *arg, const void *data, size_t len);

/* A body that is in memory, which is borrowed: body, body_rewind and body_arg. */
struct http_memory { const char *data; size_t len, at; };
ssize_t http_memory_read(void *memory, void *buf, size_t size);
int	http_memory_rewind(void *memory);

struct http_header { const char *name, *value; };

struct http_request {
	const char *method;
	const char *path;	/* after the base URL, escaped: "/studies?limit=1" */
	const char *accept;	/* NULL: none */
	const char *content_type;
	const struct http_header *headers;	/* more; x-amz-* are signed */
	size_t	    n_headers;
	const char *sha256;	/* of the body, 64 hex digits, for credentials that
				 * sign; NULL only without a body */
	bool	    urgent;	/* overtakes where the rate is limited */
	uint64_t    body_length;	/* exact, sent as Content-Length */
	http_body_fn *body;	/* NULL: no body */
	void	   *body_arg;
	/* Called before a body is sent again after fresh credentials; NULL: cannot. */
	int	  (*body_rewind)(void *arg);
	http_sink_fn *sink;	/* for 2xx replies; NULL: into reply->body */
	void	   *sink_arg;
	size_t	    reply_max;	/* of reply->body: past it HTTP_BROKEN; 0: 1 MiB */
	int64_t	    deadline_ms;	/* CLOCK_MONOTONIC; CLOCK_NEVER: only stalls */
};

enum http_outcome {
	HTTP_ANSWERED,		/* a whole reply with a status */
	HTTP_UNREACHABLE,	/* DNS, refused, no route, connect timed out */
	HTTP_TLS,		/* the certificate, the handshake */
	HTTP_PROXY,		/* the proxy: not there, its certificate, its password, or
				 * it does not let us through; the cloud was not met */
	HTTP_STALLED,		/* connected, then silence or the deadline */
	HTTP_BROKEN,		/* reset, closed or nonsense in the middle */
	HTTP_LOCAL,		/* our body or sink gave up: reply->local */
	HTTP_CREDENTIAL,	/* none to be had; why says what to do */
	HTTP_CANCELED,		/* also: its rate says "nothing at all" now */
};

struct http_reply {
	enum http_outcome outcome;
	int	 status;
	int	 local;			/* negative errno for HTTP_LOCAL */
	char	 content_type[160];	/* as sent, "" if none */
	int64_t	 retry_after_ms;	/* -1: none; from seconds or a date */
	struct buf head;		/* its header lines; http_reply_header() */
	struct buf body;		/* of what the sink did not take */
	struct buf proof;		/* what the request bore: http_reply_redact() */
	uint64_t sent_bytes;		/* of the body */
	bool	 answered_early;	/* before the body was all sent */
	int64_t	 elapsed_ms;
	char	 why[256];		/* for people: host, what, what to look at */
};
void http_reply_free(struct http_reply *r);
/* The first header of that name (case does not count), without spaces around it,
 * in buf; false and "" if there is none, or if it is longer. */
bool http_reply_header(const struct http_reply *r, const char *name, char *buf,
    size_t size);
/* A text of the server's that people will see: what it quotes of our credential is
 * struck out, in place. `why` has been through it. */
void http_reply_redact(const struct http_reply *r, char *text);

/* Fills *ret always; free it. Returns 0 for HTTP_ANSWERED, else -EIO,
 * -ECANCELED, … for convenience. */
int  http_call(struct http_client *c, const struct http_request *req,
	 struct http_reply *ret);

/* "DNS name does not exist …" or "401: …": one sentence for an outcome and a
 * status, with the next step, for status screens. */
void http_explain(const struct http_reply *r, char *buf, size_t size);

/* That this machine's clock is far from a server's, and what to do: from the answers
 * of the last day, of all clients together. false: it is not. */
bool http_clock_fault(char *buf, size_t size);

/* ---- kinds of credential: one file and one line of the table each -------- */

struct http_headers;	/* of the request about to leave */
int http_headers_add(struct http_headers *h, const char *name, const char *value);

/* The request about to leave, as a signature covers it. */
struct http_signing {
	const struct http_request *req;
	const struct http_service *service;
	const char *host;	/* with the port, where it is sent */
	const char *path;	/* as on the wire, the base URL's included */
	const char *query;	/* as on the wire, without `?`; "" */
	int64_t	    now_ms;	/* wall time, as the server's clock has it */
};

struct http_credential_kind {
	struct config_kind config;	/* name and option table */
	bool signs;			/* keys of AWS: it signs for a service, and only
					 * that */
	/* Reads what must be there; why for people, after success a warning. */
	int  (*open)(const void *options, const struct http_credential_options *opt,
	     void **ret, struct buf *why);
	void (*close)(void *cred);
	/* Adds what authenticates the request. Any thread, in parallel. May block
	 * (a token to fetch); -EAGAIN with why when none can be had now. */
	int  (*apply)(void *cred, const struct http_signing *s,
	     struct http_headers *h, struct buf *why);
	/* The server does not accept us (a 4xx that may be about who we are): true
	 * when a fresh attempt makes sense (the file changed, the token had expired
	 * and a new one can be had). Called once per request. NULL: never. */
	bool (*refresh)(void *cred, const struct http_reply *r);
	/* apply and refresh return soon from now on. NULL: they never block. */
	void (*cancel)(void *cred);
	/* Client certificate, if it is one; NULL otherwise. Files, PEM. */
	void (*certificate)(void *cred, const char **cert_file,
	     const char **key_file, const char **passphrase_file);
	/* "user site7 with password_file …", for a 401. NULL: nothing to say. */
	void (*describe)(void *cred, struct buf *b);
};
/* Whether what the configuration chose signs; kind NULL: no. */
bool http_credential_signs(const struct config_choice *choice);
/* The table, NULL-ended, for main.c (config) and for us. */
const struct http_credential_kind *const *http_credential_kinds(void);

/* ---- multipart/related, streamed (PS3.18 8.6.1) -------------------------- */

struct http_multipart;
struct http_multipart_events {
	/* A part begins; its Content-Type ("" if none). Non-zero ends. */
	int (*part)(void *arg, const char *content_type);
	int (*data)(void *arg, const void *data, size_t len);
	int (*part_end)(void *arg);
};
/* From the reply's Content-Type; -EBADMSG if it is not multipart or has no
 * boundary. Bounded whatever comes. */
int  http_multipart_new(const char *content_type,
	 const struct http_multipart_events *ev, void *arg,
	 struct http_multipart **ret);
void http_multipart_free(struct http_multipart *m);
int  http_multipart_feed(struct http_multipart *m, const void *data, size_t len);
int  http_multipart_end(struct http_multipart *m);	/* -EBADMSG: cut short */

#endif
