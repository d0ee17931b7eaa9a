/* http_int.h - what the files of gateway/http share.
 *
 * A connection is one easy handle in a multi handle of its own: it keeps at most
 * one kept-alive connection, belongs to one call at a time, and is waited on with
 * curl_multi_poll(), which another thread can end with curl_multi_wakeup().
 *
 * Lock: http_client.mu guards the list of idle connections and the list of all;
 * `canceled` and the clock's skew are atomic; nothing else is shared between calls
 * but the credential and the proxy's password, which have locks of their own.
 */
#ifndef CW_HTTP_HTTP_INT_H
#define CW_HTTP_HTTP_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include <curl/curl.h>
#include <openssl/ssl.h>

#include "gateway/base/cleanup.h"
#include "gateway/http/http.h"

#define HTTP_SECRET_MAX	  (16u << 10)	/* bytes of a secret file */
#define SECRET_TEXT_MAX	  (256u << 10)	/* of one with several lines */
#define HTTP_HEADERS_MAX  16
#define HTTP_SOCKETS_MAX  8
#define HTTP_HEAD_MAX	  (32u << 10)	/* of a reply's head that is kept */

/* ---- tls.c: what the other side's certificate said ----------------------- */

struct tls_seen {
	int  error;		/* X509_V_ERR_*, 0 if the chain was good */
	bool asked;		/* for a certificate of ours, and we have none */
	char issuer[96];	/* of the certificate that failed */
	char subject[96];
	char until[32];		/* its end, or its begin when it is in the future */
	char names[160];	/* what the server's own certificate is for */
};

/* The client's side: files, all may be NULL. */
struct tls_files {
	const char *certificate, *key, *passphrase;
};

int  tls_init(void);
/* For CURLOPT_SSL_CTX_FUNCTION: notes into *seen why a chain is not good. */
int  tls_watch(SSL_CTX *ctx, struct tls_seen *seen);
/* Loads certificate chain and key; why for people. */
int  tls_load_certificate(SSL_CTX *ctx, const struct tls_files *f,
    struct buf *why);
/* They load and belong together; warns in why of one that expires. */
int  tls_check_certificate(const struct tls_files *f, struct buf *why);
/* True when it knows why; host is what we wanted to reach, option names where its CA
 * belongs ("tls: ca_file"), own_ca: it is set. */
bool tls_explain(const struct tls_seen *seen, const char *host, const char *option,
    bool own_ca, struct buf *why);

/* ---- secret.c: a file that holds one ------------------------------------- */

struct secret_file;

/* Reads it at once. Without its newline; text without control characters. A
 * file that all may read is warned about in why, with 0 returned. */
int  secret_open(const char *path, struct secret_file **ret, struct buf *why);
void secret_close(struct secret_file *s);
/* A copy of what stands there now: read again when time, size or inode changed,
 * or if force is given. Any thread. secret_free() it. */
int  secret_get(struct secret_file *s, bool force, char **ret, struct buf *why);
void secret_free(char *text);	/* wiped; takes NULL */
const char *secret_path(const struct secret_file *s);
/* A file of several lines that holds secrets; NUL-terminated. Wipe it. */
int  secret_read(const char *path, char **ret, size_t *ret_len, struct buf *why);
/* Warns in why when all may read it; NULL and what is not there: nothing. */
void secret_warn(const char *path, struct buf *why);

DEFINE_CLEANUP(char, secret_free)
DEFINE_CLEANUP(struct secret_file, secret_close)

/* ---- credential.c -------------------------------------------------------- */

struct http_headers {
	size_t n;
	char  *line[HTTP_HEADERS_MAX];	/* wiped when freed */
};
void http_headers_free(struct http_headers *h);

struct http_credential {
	const struct http_credential_kind *kind;	/* NULL: none */
	void *self;
};
/* c may be NULL: none. */
int  credential_apply(const struct http_credential *c,
    const struct http_signing *s, struct http_headers *h, struct buf *why);
bool credential_refresh(const struct http_credential *c,
    const struct http_reply *r);
void credential_certificate(const struct http_credential *c,
    struct tls_files *ret);
void credential_describe(const struct http_credential *c, struct buf *b);

extern const struct http_credential_kind http_credential_none;
extern const struct http_credential_kind http_credential_basic;
extern const struct http_credential_kind http_credential_bearer;
extern const struct http_credential_kind http_credential_certificate;
extern const struct http_credential_kind http_credential_oauth2;
extern const struct http_credential_kind http_credential_google;
extern const struct http_credential_kind http_credential_aws_keys;
extern const struct http_credential_kind http_credential_aws_profile;
extern const struct http_credential_kind http_credential_aws_process;
extern const struct http_credential_kind http_credential_aws_rolesanywhere;

/* ---- client.c ------------------------------------------------------------ */

struct http_connection {
	struct http_connection *next_idle, *next;
	struct http_client     *client;
	CURL		       *easy;
	CURLM		       *multi;
	bool			fresh;	/* do not reuse what is kept alive */
	bool			handshake;	/* TLS with the server began */
	unsigned		handshakes;	/* on this socket, a proxy's included */
	unsigned		sockets_opened;	/* by this attempt */
	curl_socket_t		sockets[HTTP_SOCKETS_MAX];	/* open now */
	struct tls_seen		seen, proxy_seen;
	bool			proxy_basic;	/* what the proxy's 407 offered */
	bool			proxy_other;
	struct buf		tls_why;	/* of our own certificate */
	char			error[CURL_ERROR_SIZE];
};

struct http_client {
	char		 *base;		/* without a slash at its end */
	const char	 *base_path;	/* its path, "" or "/…" */
	char		  host[256];	/* with the port, for people */
	char		  authority[256];	/* as the Host header has it */
	char		 *ca_file;
	bool		  tls;
	const struct http_credential *credential;	/* NULL: none; borrowed */
	const struct config_proxy *proxy;		/* NULL: none; borrowed */
	char		  proxy_host[256];		/* with the port */
	bool		  proxy_tls;
	struct secret_file *proxy_password;		/* NULL: none */
	struct rate	 *rate;				/* borrowed */
	struct http_service service;
	struct tls_files  certificate;
	int64_t		  connect_timeout_ms, stall_timeout_ms;
	atomic_bool	  canceled;
	_Atomic int64_t	  skew_ms;	/* the server's clock less ours */
	atomic_bool	  skew_told;
	pthread_mutex_t	  mu;
	struct http_connection *idle;	/* guarded by mu; last used first */
	struct http_connection *all;	/* guarded by mu */
};

/* An idle connection or a new one; NULL: out of memory. */
struct http_connection *client_take(struct http_client *c);
void client_give(struct http_connection *conn);

/* ---- skew.c: the server's clock ------------------------------------------ */

/* Wall time as the server's clock has it. */
int64_t http_client_now_ms(const struct http_client *c);
/* From a reply's Date; logs a clock that is far off, once. */
void skew_learn(struct http_client *c, const struct http_reply *r);
/* "this machine's clock is 59 min slow", or false. */
bool skew_describe(const struct http_client *c, struct buf *b);

/* ---- proxy.c ------------------------------------------------------------- */

/* Takes c->proxy apart and reads its password. */
int  proxy_open(struct http_client *c, struct buf *why);
void proxy_close(struct http_client *c);
/* Sets the connection up for it, or for none; -EAGAIN with why: no password. */
int  proxy_apply(struct http_connection *conn, struct buf *why);
/* A header line of its answer to CONNECT. */
void proxy_head_line(struct http_connection *conn, const char *line, size_t len);

/* ---- setup.c ------------------------------------------------------------- */

struct transfer;
void setup_connection(struct http_connection *conn);
void setup_request(struct transfer *t);

/* ---- transfer.c: one attempt on one connection --------------------------- */

struct transfer {
	struct http_connection	  *conn;
	const struct http_request *req;
	struct http_reply	  *reply;
	struct curl_slist	  *headers;
	int64_t			   stalled_ms;	/* when it was given up so, or 0 */
	int64_t			   deadline_ms;
	int			   local;	/* negative errno of body or sink */
	bool			   too_long;	/* the reply */
	bool			   waiting;	/* the body pauses, an answer is there */
	int64_t			   again_ms;	/* the body pauses for its rate until */
	bool			   urgent;	/* it is counted as such by the rate */
	bool			   closed;	/* the rate says: nothing at all */
	bool			   headed;	/* the final reply's head is complete */
	bool			   canceled;
	bool			   reused;	/* a connection that was kept alive */
	uint64_t		   received;	/* bytes of the reply, head included */
	uint64_t		   noticed;	/* progress at the last look */
	int64_t			   progress_ms;	/* when it was another */
	int64_t			   asked_ms;	/* when the request was all sent, or 0 */
	bool			   endless;	/* the reply, by then */
};

/* Runs it to its end and fills reply->outcome, status, why and so on. */
void transfer_run(struct transfer *t);
/* Callbacks for curl. */
curl_socket_t transfer_open_socket(void *conn, curlsocktype purpose,
    struct curl_sockaddr *address);
int    transfer_close_socket(void *conn, curl_socket_t fd);
size_t transfer_give_body(char *data, size_t size, size_t n, void *t);
int    transfer_rewind_body(void *t, curl_off_t offset, int origin);
size_t transfer_take_head(char *data, size_t size, size_t n, void *t);
size_t transfer_take_body(char *data, size_t size, size_t n, void *t);
/* With the server, through whatever is in between. */
bool   transfer_is_connected(const struct transfer *t);

/* Blames the proxy: true with why, and the cloud was not met. */
bool proxy_explain(const struct transfer *t, CURLcode code, struct buf *why);

/* ---- reply.c ------------------------------------------------------------- */

void reply_head_line(struct http_reply *r, const char *line, size_t len);
/* Decides the outcome from what curl says and what we know ourselves. */
void reply_conclude(struct transfer *t, CURLcode code);
int64_t reply_parse_retry_after(const char *value);	/* ms or -1 */

/* ---- fault.c: what the body of a refusal says ---------------------------- */

struct fault {
	char code[64];		/* "AccessDenied", "PERMISSION_DENIED"; "" */
	char message[160];	/* one line, cut; "" */
};
/* XML and JSON as AWS, Google and Azure write them; without what we sent. */
void fault_read(const struct http_reply *r, struct fault *ret);
/* "SlowDown: …" and what to do about it. false: it says nothing that is known. */
bool fault_explain(const struct http_reply *r, const struct http_credential *c,
    struct buf *why);

/* ---- redact.c: secrets that come back ------------------------------------ */

#define HTTP_PROOF_MAX (128u << 10)

/* Strikes each run of the secret's letters out of text. */
void redact_secret(char *text, const char *secret);
/* From our headers; each piece ends with a NUL. */
void redact_collect(const struct curl_slist *sent, struct buf *ret);

#endif
