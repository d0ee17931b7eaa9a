/* transfer.c - one request on one connection, from the first byte to the last.
 *
 * curl does the protocol; this decides when to stop waiting. Progress is what the
 * peer's TCP has acknowledged and what it sent, so a slow line that drains our
 * socket's buffer is no stall, and a server that takes bytes and then says
 * nothing is one. Before each portion of the body it looks whether an answer is
 * there: an early 401 or 413 has to be read, not run over.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include <linux/sockios.h>
#include <netinet/in.h>

#include "gateway/base/clock.h"
#include "gateway/http/http_int.h"

#define UPLOAD_PORTION (128L << 10)	/* filling larger ones delays the sending */
#define LOOK_MS	       1000	/* at most between two looks for progress */
#define IDLE_MAX_S     60L	/* a kept-alive connection is not used after */

#ifndef CAUSEWAY_VERSION
#define CAUSEWAY_VERSION "0"
#endif

/* ---- sockets ------------------------------------------------------------- */

static curl_socket_t
open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct http_connection *conn = arg;
	curl_socket_t fd;

	(void)purpose;
	fd = socket(address->family, address->socktype | SOCK_CLOEXEC,
	    address->protocol);
	for (size_t i = 0; fd >= 0 && i < HTTP_SOCKETS_MAX; i++) {
		if (conn->sockets[i] == CURL_SOCKET_BAD) {
			conn->sockets[i] = fd;
			break;
		}
	}
	return fd < 0 ? CURL_SOCKET_BAD : fd;
}

static int
close_socket(void *arg, curl_socket_t fd)
{
	struct http_connection *conn = arg;

	for (size_t i = 0; i < HTTP_SOCKETS_MAX; i++) {
		if (conn->sockets[i] == fd)
			conn->sockets[i] = CURL_SOCKET_BAD;
	}
	return close(fd);
}

/* The losers of a race between addresses are closed by now: one is left. */
static curl_socket_t
current_socket(const struct http_connection *conn)
{
	for (size_t i = 0; i < HTTP_SOCKETS_MAX; i++) {
		if (conn->sockets[i] != CURL_SOCKET_BAD)
			return conn->sockets[i];
	}
	return CURL_SOCKET_BAD;
}

static bool
answer_waits(const struct http_connection *conn)
{
	struct pollfd p = { .fd = current_socket(conn), .events = POLLIN };

	return p.fd != CURL_SOCKET_BAD && poll(&p, 1, 0) > 0;
}

/* ---- what curl calls ----------------------------------------------------- */

static size_t
give_body(char *data, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	uint64_t left = t->req->body_length - t->reply->sent_bytes;
	size_t want = size * n;
	ssize_t got;

	if (left == 0)
		return 0;
	if (answer_waits(t->conn)) {
		t->waiting = true;
		return CURL_READFUNC_PAUSE;
	}
	if (want > left)
		want = (size_t)left;
	got = t->req->body(t->req->body_arg, data, want);
	if (got <= 0 || (size_t)got > want) {
		t->local = got < 0 ? (int)got : -EPROTO;
		return CURL_READFUNC_ABORT;
	}
	t->reply->sent_bytes += (uint64_t)got;
	return (size_t)got;
}

/* curl itself starts anew when a kept-alive connection was dead. */
static int
rewind_body(void *arg, curl_off_t offset, int origin)
{
	struct transfer *t = arg;

	if (offset != 0 || origin != SEEK_SET || t->req->body_rewind == NULL)
		return CURL_SEEKFUNC_CANTSEEK;
	t->reply->sent_bytes = 0;
	return t->req->body_rewind(t->req->body_arg) == 0 ? CURL_SEEKFUNC_OK :
	    CURL_SEEKFUNC_FAIL;
}

static int
current_status(const struct transfer *t)
{
	long status = 0;

	(void)curl_easy_getinfo(t->conn->easy, CURLINFO_RESPONSE_CODE, &status);
	return (int)status;
}

static size_t
take_head(char *data, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	size_t len = size * n;
	bool empty = len == 0 || data[0] == '\r' || data[0] == '\n';

	t->received += len;
	if (empty)
		t->headed = current_status(t) >= 200;
	else
		reply_head_line(t->reply, data, len);
	return len;
}

static size_t
take_body(char *data, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	size_t len = size * n;
	int status = current_status(t);
	int r;

	t->received += len;
	if (t->req->sink != NULL && status >= 200 && status < 300) {
		r = t->req->sink(t->req->sink_arg, data, len);
		if (r != 0) {
			t->local = r < 0 ? r : -ECANCELED;
			return 0;
		}
		return len;
	}
	r = buf_add(&t->reply->body, data, len);
	if (r < 0) {
		t->too_long = true;
		return 0;
	}
	return len;
}

static CURLcode
prepare_tls(CURL *easy, void *ctx, void *arg)
{
	struct http_connection *conn = arg;
	const struct tls_files *own = &conn->client->certificate;

	(void)easy;
	conn->handshake = true;
	conn->seen = (struct tls_seen){ 0 };
	buf_clear(&conn->tls_why);
	if (tls_watch(ctx, &conn->seen) < 0)
		return CURLE_OUT_OF_MEMORY;
	if (own->certificate != NULL &&
	    tls_load_certificate(ctx, own, &conn->tls_why) < 0)
		return CURLE_SSL_CERTPROBLEM;
	return CURLE_OK;
}

/* ---- options ------------------------------------------------------------- */

static void
set_connection(struct http_connection *conn)
{
	const struct http_client *c = conn->client;
	CURL *e = conn->easy;

	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_PROXY, "");
	curl_easy_setopt(e, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS,
	    (long)c->connect_timeout_ms);
	curl_easy_setopt(e, CURLOPT_MAXAGE_CONN, IDLE_MAX_S);
	curl_easy_setopt(e, CURLOPT_TCP_NODELAY, 1L);
	curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(e, CURLOPT_UPLOAD_BUFFERSIZE, UPLOAD_PORTION);
	curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, conn->fresh ? 1L : 0L);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, conn->error);
	curl_easy_setopt(e, CURLOPT_USERAGENT, "causeway/" CAUSEWAY_VERSION);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, conn);
	curl_easy_setopt(e, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
	curl_easy_setopt(e, CURLOPT_CLOSESOCKETDATA, conn);
#if LIBCURL_VERSION_NUM >= 0x075500
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
#else
	curl_easy_setopt(e, CURLOPT_PROTOCOLS,
	    (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
#if LIBCURL_VERSION_NUM >= 0x075700
	/* A resolver that hangs must not hold a cancel or a deadline. */
	curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
#endif
}

static void
set_tls(struct http_connection *conn)
{
	CURL *e = conn->easy;

	curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(e, CURLOPT_SSL_CTX_FUNCTION, prepare_tls);
	curl_easy_setopt(e, CURLOPT_SSL_CTX_DATA, conn);
	if (conn->client->ca_file == NULL)
		return;
	curl_easy_setopt(e, CURLOPT_CAINFO, conn->client->ca_file);
	curl_easy_setopt(e, CURLOPT_CAPATH, NULL);	/* only that CA */
#if LIBCURL_VERSION_NUM >= 0x075700
	curl_easy_setopt(e, CURLOPT_CA_CACHE_TIMEOUT, 60L);
#endif
}

static void
set_request(struct transfer *t)
{
	const struct http_request *req = t->req;
	CURL *e = t->conn->easy;
	AUTO_FREE char *url = xasprintf("%s%s", t->conn->client->base, req->path);

	curl_easy_setopt(e, CURLOPT_URL, url);
	curl_easy_setopt(e, CURLOPT_HTTPHEADER, t->headers);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, take_head);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, t);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
	if (req->body != NULL) {
		curl_easy_setopt(e, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(e, CURLOPT_INFILESIZE_LARGE,
		    (curl_off_t)req->body_length);
		curl_easy_setopt(e, CURLOPT_READFUNCTION, give_body);
		curl_easy_setopt(e, CURLOPT_READDATA, t);
		curl_easy_setopt(e, CURLOPT_SEEKFUNCTION, rewind_body);
		curl_easy_setopt(e, CURLOPT_SEEKDATA, t);
	} else if (strcmp(req->method, "POST") == 0) {
		curl_easy_setopt(e, CURLOPT_POST, 1L);
		curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)0);
		curl_easy_setopt(e, CURLOPT_POSTFIELDS, "");
	} else if (strcmp(req->method, "HEAD") == 0) {
		curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
	} else {
		curl_easy_setopt(e, CURLOPT_HTTPGET, 1L);
	}
	curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, req->method);
}

/* ---- waiting ------------------------------------------------------------- */

static int64_t
look_interval(const struct transfer *t)
{
	int64_t quarter = t->conn->client->stall_timeout_ms / 4;

	if (quarter > LOOK_MS)
		return LOOK_MS;
	return quarter > 10 ? quarter : 10;
}

/* Bytes that reached the other machine, either way. */
static uint64_t
measure_progress(const struct transfer *t)
{
	curl_socket_t fd = current_socket(t->conn);
	int queued = 0;

	if (fd == CURL_SOCKET_BAD || ioctl(fd, SIOCOUTQ, &queued) < 0)
		queued = 0;
	return t->reply->sent_bytes + t->received - (uint64_t)queued;
}

/* Connecting has a limit of its own, which curl keeps. */
static bool
is_connected(const struct transfer *t)
{
	curl_off_t us = 0;

	(void)curl_easy_getinfo(t->conn->easy, CURLINFO_PRETRANSFER_TIME_T, &us);
	return us > 0;
}

static bool
is_stalled(struct transfer *t, int64_t now)
{
	uint64_t progress = measure_progress(t);

	if (progress != t->noticed || !is_connected(t)) {
		t->noticed = progress;
		t->progress_ms = now;
	}
	return now - t->progress_ms >= t->conn->client->stall_timeout_ms;
}

static bool
must_give_up(struct transfer *t)
{
	int64_t now = clock_mono_ms();

	if (atomic_load(&t->conn->client->canceled))
		t->canceled = true;
	else if (now >= t->deadline_ms || is_stalled(t, now))
		t->stalled_ms = now;
	return t->canceled || t->stalled_ms != 0;
}

static int
wait_ms(const struct transfer *t)
{
	int left = clock_timeout(t->deadline_ms);
	int look = (int)look_interval(t);

	return left < 0 || left > look ? look : left;
}

static bool
take_result(const struct transfer *t, CURLcode *ret)
{
	const CURLMsg *msg;
	int left;

	msg = curl_multi_info_read(t->conn->multi, &left);
	if (msg == NULL || msg->msg != CURLMSG_DONE)
		return false;
	*ret = msg->data.result;
	return true;
}

static CURLcode
drive(struct transfer *t)
{
	CURLM *multi = t->conn->multi;
	CURLcode code = CURLE_ABORTED_BY_CALLBACK;
	int running;

	for (;;) {
		if (curl_multi_perform(multi, &running) != CURLM_OK)
			return CURLE_FAILED_INIT;
		if (take_result(t, &code) || must_give_up(t))
			return code;
		if (t->waiting) {
			/* The next turn reads the answer before it asks again. */
			t->waiting = false;
			(void)curl_easy_pause(t->conn->easy, CURLPAUSE_CONT);
		} else {
			(void)curl_multi_poll(multi, NULL, 0, wait_ms(t), NULL);
		}
	}
}

void
transfer_run(struct transfer *t)
{
	struct http_connection *conn = t->conn;
	CURLcode code = CURLE_FAILED_INIT;
	long connects = 0;

	curl_easy_reset(conn->easy);
	conn->error[0] = '\0';
	conn->handshake = false;
	conn->seen = (struct tls_seen){ 0 };
	buf_clear(&conn->tls_why);
	set_connection(conn);
	set_tls(conn);
	set_request(t);
	t->deadline_ms = t->req->deadline_ms > 0 ? t->req->deadline_ms :
	    CLOCK_NEVER;
	t->progress_ms = clock_mono_ms();

	if (curl_multi_add_handle(conn->multi, conn->easy) == CURLM_OK) {
		code = drive(t);
		(void)curl_easy_getinfo(conn->easy, CURLINFO_NUM_CONNECTS,
		    &connects);
		t->reused = connects == 0 && current_status(t) == 0 &&
		    is_connected(t);
		t->reply->status = t->headed ? current_status(t) : 0;
		reply_conclude(t, code);
		(void)curl_multi_remove_handle(conn->multi, conn->easy);
	} else {
		reply_conclude(t, code);
	}
}
