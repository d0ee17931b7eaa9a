/* transfer.c - one request on one connection, from the first byte to the last.
 *
 * curl does the protocol; this decides when to stop waiting. Progress is what the
 * peer's TCP has acknowledged and what it sent, so a slow line that drains our
 * socket's buffer is no stall, and a server that takes bytes and then says
 * nothing is one. Before each portion of the body it looks whether an answer is
 * there: an early 401 or 413 has to be read, not run over.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <linux/sockios.h>
#include <netinet/in.h>

#include "gateway/base/clock.h"
#include "gateway/http/http_int.h"

#define LOOK_MS 1000	/* at most between two looks for progress */
#define STALLS_MOST 30	/* of stall_timeout, until a reply that drips is over */

/* ---- sockets ------------------------------------------------------------- */

curl_socket_t
transfer_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct http_connection *conn = arg;
	curl_socket_t fd;

	(void)purpose;
	conn->handshakes = 0;
	conn->sockets_opened++;
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

int
transfer_close_socket(void *arg, curl_socket_t fd)
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

/* Its end is no answer: then sending on tells what became of the server. */
static bool
answer_waits(const struct http_connection *conn)
{
	curl_socket_t fd = current_socket(conn);
	char first;

	return fd != CURL_SOCKET_BAD &&
	    recv(fd, &first, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* ---- what curl calls ----------------------------------------------------- */

static void
begin_urgent(struct transfer *t)
{
	if (t->req->urgent && !t->urgent) {
		t->urgent = true;
		rate_urgent_begin(t->conn->client->rate);
	}
}

static void
end_urgent(struct transfer *t)
{
	if (t->urgent) {
		t->urgent = false;
		rate_urgent_end(t->conn->client->rate);
	}
}

/* How much of it may leave now; 0: wait until t->again_ms, or t->closed. */
static size_t
ask_rate(struct transfer *t, size_t want)
{
	int64_t again;
	size_t n;

	begin_urgent(t);
	if (rate_take(t->conn->client->rate, want, t->req->urgent, clock_mono_ms(),
		&n, &again) < 0) {
		t->closed = true;
		return 0;
	}
	t->again_ms = n == 0 ? again : 0;
	return n;
}

size_t
transfer_give_body(char *data, size_t size, size_t n, void *arg)
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
	want = ask_rate(t, want);
	if (want == 0)
		return t->closed ? CURL_READFUNC_ABORT : CURL_READFUNC_PAUSE;
	got = t->req->body(t->req->body_arg, data, want);
	if (got <= 0 || (size_t)got > want) {
		t->local = got < 0 ? (int)got : -EPROTO;
		return CURL_READFUNC_ABORT;
	}
	rate_give_back(t->conn->client->rate, want - (size_t)got);
	t->reply->sent_bytes += (uint64_t)got;
	if ((uint64_t)got == left)
		end_urgent(t);
	return (size_t)got;
}

/* curl itself starts anew when a kept-alive connection was dead. */
int
transfer_rewind_body(void *arg, curl_off_t offset, int origin)
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

/* Connecting has a limit of its own, which curl keeps. */
bool
transfer_is_connected(const struct transfer *t)
{
	curl_off_t us = 0;

	(void)curl_easy_getinfo(t->conn->easy, CURLINFO_PRETRANSFER_TIME_T, &us);
	return us > 0;
}

/* Not for the server yet: the proxy's CONNECT is under way. */
static bool
is_tunneling(const struct transfer *t)
{
	const struct http_client *c = t->conn->client;

	return c->proxy != NULL && c->tls && !t->conn->handshake &&
	    !transfer_is_connected(t);
}

size_t
transfer_take_head(char *data, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	size_t len = size * n;
	bool empty = len == 0 || data[0] == '\r' || data[0] == '\n';

	if (is_tunneling(t)) {
		proxy_head_line(t->conn, data, len);
		return len;
	}
	t->received += len;
	if (t->headed)	/* a trailer's line says nothing that is trusted */
		return len;
	if (!empty) {
		reply_head_line(t->reply, data, len);
	} else if (current_status(t) >= 200) {
		t->headed = true;
		skew_learn(t->conn->client, t->reply);
	}
	return len;
}

size_t
transfer_take_body(char *data, size_t size, size_t n, void *arg)
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

static bool
is_stalled(struct transfer *t, int64_t now)
{
	uint64_t progress = measure_progress(t);

	/* A pause of ours is no stall of theirs. */
	if (progress != t->noticed || !transfer_is_connected(t) || t->again_ms != 0) {
		t->noticed = progress;
		t->progress_ms = now;
	}
	return now - t->progress_ms >= t->conn->client->stall_timeout_ms;
}

/* Bytes come, but hardly any: each of them buys a millisecond. */
static bool
is_endless(struct transfer *t, int64_t now)
{
	if (t->asked_ms == 0 && transfer_is_connected(t) &&
	    t->reply->sent_bytes == t->req->body_length)
		t->asked_ms = now;
	t->endless = t->asked_ms != 0 && now - t->asked_ms >=
	    STALLS_MOST * t->conn->client->stall_timeout_ms +
	    (int64_t)t->received;
	return t->endless;
}

static bool
must_give_up(struct transfer *t)
{
	int64_t now = clock_mono_ms();

	if (atomic_load(&t->conn->client->canceled))
		t->canceled = true;
	else if (t->reply->sent_bytes < t->req->body_length &&
	    rate_closed(t->conn->client->rate))
		t->closed = true;
	else if (now >= t->deadline_ms || is_stalled(t, now) ||
	    is_endless(t, now))
		t->stalled_ms = now;
	return t->canceled || t->closed || t->stalled_ms != 0;
}

static int
wait_ms(const struct transfer *t)
{
	int left = clock_timeout(t->deadline_ms);
	int look = (int)look_interval(t);
	int again = t->again_ms != 0 ? clock_timeout(t->again_ms) : look;

	if (again < look)
		look = again;
	return left < 0 || left > look ? look : left;
}

/* The body goes on: the next turn reads an answer before it asks for more. */
static bool
must_resume(struct transfer *t)
{
	if (!t->waiting && (t->again_ms == 0 || clock_mono_ms() < t->again_ms))
		return false;
	t->waiting = false;
	t->again_ms = 0;
	return true;
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
		if (must_resume(t))
			(void)curl_easy_pause(t->conn->easy, CURLPAUSE_CONT);
		else
			(void)curl_multi_poll(multi, NULL, 0, wait_ms(t), NULL);
	}
}

static void
begin(struct transfer *t)
{
	struct http_connection *conn = t->conn;

	conn->error[0] = '\0';
	conn->handshake = conn->proxy_basic = conn->proxy_other = false;
	conn->sockets_opened = 0;
	conn->seen = conn->proxy_seen = (struct tls_seen){ 0 };
	buf_clear(&conn->tls_why);
	t->deadline_ms = t->req->deadline_ms > 0 ? t->req->deadline_ms :
	    CLOCK_NEVER;
	t->progress_ms = clock_mono_ms();
}

void
transfer_run(struct transfer *t)
{
	struct http_connection *conn = t->conn;
	struct buf why = BUF_INIT(sizeof(t->reply->why) - 1);
	CURLcode code = CURLE_FAILED_INIT;
	int r;

	begin(t);
	curl_easy_reset(conn->easy);
	setup_connection(conn);
	setup_request(t);
	r = proxy_apply(conn, &why);
	if (r < 0) {
		t->reply->outcome = HTTP_PROXY;
		(void)snprintf(t->reply->why, sizeof(t->reply->why), "%s", why.data);
	} else if (t->req->body_length > 0 && rate_closed(conn->client->rate)) {
		t->closed = true;
		reply_conclude(t, code);
	} else if (curl_multi_add_handle(conn->multi, conn->easy) == CURLM_OK) {
		code = drive(t);
		t->reused = conn->sockets_opened == 0 &&
		    current_status(t) == 0 && transfer_is_connected(t);
		t->reply->status = t->headed ? current_status(t) : 0;
		reply_conclude(t, code);
		(void)curl_multi_remove_handle(conn->multi, conn->easy);
	} else {
		reply_conclude(t, code);
	}
	end_urgent(t);
	buf_free(&why);
}
