/* call.c - one call: its headers, and when it is tried once more.
 *
 * A request is sent again in three cases only, each at most once: a connection that
 * was kept alive turned out to be dead before a byte of the reply came; the server
 * refused the signature's time, and now we know its clock; it does not accept us,
 * and the credential is another one since.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gateway/base/clock.h"
#include "gateway/http/aws_int.h"

#define REPLY_MAX    (1u << 20)
#define SKEW_MS	     30000	/* a correction worth another try */
#define SKEW_FAR_MS  300000	/* and where the refusal does not say why */

/* ---- the reply ----------------------------------------------------------- */

static void
clear_reply(struct http_reply *r)
{
	buf_clear(&r->head);
	buf_clear(&r->body);
	buf_clear(&r->proof);
	r->outcome = HTTP_BROKEN;
	r->status = 0;
	r->local = 0;
	r->content_type[0] = r->why[0] = '\0';
	r->retry_after_ms = -1;
	r->sent_bytes = 0;
	r->answered_early = false;
}

void
http_reply_free(struct http_reply *r)
{
	if (r == NULL)
		return;
	buf_free(&r->head);
	buf_free(&r->body);
	if (r->proof.data != NULL)
		explicit_bzero(r->proof.data, r->proof.size);
	buf_free(&r->proof);
}

/* ---- headers ------------------------------------------------------------- */

static bool
name_ok(const char *name)
{
	static const char separators[] = "()<>@,;:\\\"/[]?={}";

	for (const char *p = name; *p != '\0'; p++) {
		if (*p <= ' ' || *p == 0x7f || strchr(separators, *p) != NULL)
			return false;
	}
	return name[0] != '\0';
}

static bool
value_ok(const char *value)
{
	for (const char *p = value; *p != '\0'; p++) {
		if (((unsigned char)*p < 0x20 && *p != '\t') || *p == 0x7f)
			return false;
	}
	return true;
}

/* Escaped: nothing that could end the request line, or be changed on its way. */
static bool
path_ok(const char *path)
{
	for (const char *p = path; *p != '\0'; p++) {
		if (*p <= ' ' || *p >= 0x7f || *p == '#')
			return false;
	}
	return true;
}

static int
append_line(struct curl_slist **list, const char *line)
{
	struct curl_slist *more = curl_slist_append(*list, line);

	if (more == NULL)
		return -ENOMEM;
	*list = more;
	return 0;
}

static int
append_header(struct curl_slist **list, const char *name, const char *value)
{
	AUTO(cleanup_secret_free) char *line = NULL;

	if (!name_ok(name) || !value_ok(value))
		return -EINVAL;
	/* To curl, "Name:" is an order to leave the header out. */
	line = value[strspn(value, " \t")] == '\0' ? xasprintf("%s;", name) :
	    xasprintf("%s: %s", name, value);
	return append_line(list, line);
}

static void
wipe_headers(struct curl_slist *list)
{
	for (struct curl_slist *l = list; l != NULL; l = l->next)
		explicit_bzero(l->data, strlen(l->data));
	curl_slist_free_all(list);
}

static int
add_request_headers(const struct http_request *req, struct curl_slist **list)
{
	/* curl's own Expect would hold the body back for a second. */
	int r = append_line(list, "Expect:");

	if (r == 0 && req->accept != NULL)
		r = append_header(list, "Accept", req->accept);
	if (r == 0 && req->content_type != NULL)
		r = append_header(list, "Content-Type", req->content_type);
	for (size_t i = 0; r == 0 && i < req->n_headers; i++)
		r = append_header(list, req->headers[i].name,
		    req->headers[i].value);
	return r;
}

static int
add_credential(const struct http_client *c, const struct http_request *req,
    int64_t now_ms, struct curl_slist **list, struct buf *why)
{
	size_t len = strcspn(req->path, "?");
	AUTO_FREE char *path = xasprintf("%s%.*s", c->base_path, (int)len,
	    req->path);
	const struct http_signing s = {
		.req = req,
		.service = &c->service,
		.host = c->authority,
		.path = path[0] != '\0' ? path : "/",
		.query = req->path[len] == '?' ? req->path + len + 1 : "",
		.now_ms = now_ms,
	};
	struct http_headers h = { 0 };
	int r;

	r = credential_apply(c->credential, &s, &h, why);
	for (size_t i = 0; r == 0 && i < h.n; i++)
		r = append_line(list, h.line[i]);
	http_headers_free(&h);
	return r;
}

/* ---- attempts ------------------------------------------------------------ */

struct attempt {
	struct transfer t;
	int64_t skew_ms;	/* as it was when it was signed */
};

static void
give_up(struct http_reply *r, enum http_outcome outcome, const char *what,
    const struct buf *why, int error)
{
	r->outcome = outcome;
	r->local = outcome == HTTP_LOCAL ? error : 0;
	(void)snprintf(r->why, sizeof(r->why), "%s: %s", what,
	    why->len > 0 ? why->data : strerror(-error));
}

/* One attempt, with fresh headers. */
static void
attempt(struct http_connection *conn, const struct http_request *req,
    struct http_reply *reply, struct attempt *ret)
{
	struct http_client *c = conn->client;
	struct buf why = BUF_INIT(sizeof(reply->why) - 1);
	struct attempt a = {
		.t = { .conn = conn, .req = req, .reply = reply },
		.skew_ms = atomic_load(&c->skew_ms),
	};
	int r;

	clear_reply(reply);
	r = path_ok(req->path) ? add_request_headers(req, &a.t.headers) : -EINVAL;
	if (r < 0) {
		give_up(reply, HTTP_LOCAL, "a request that cannot be sent", &why, r);
	} else {
		r = add_credential(c, req, clock_wall_ms() + a.skew_ms,
		    &a.t.headers, &why);
		if (r < 0)
			give_up(reply, HTTP_CREDENTIAL, "credential", &why, r);
		else
			transfer_run(&a.t);
	}
	wipe_headers(TAKE_PTR(a.t.headers));
	buf_free(&why);
	*ret = a;
}

static bool
rewind_body(const struct http_request *req)
{
	if (req->body == NULL)
		return true;
	return req->body_rewind != NULL && req->body_rewind(req->body_arg) == 0;
}

static bool
refused_for_time(const struct attempt *a)
{
	const struct http_client *c = a->t.conn->client;
	const struct http_reply *r = a->t.reply;
	int64_t moved = atomic_load(&c->skew_ms) - a->skew_ms;
	char code[64];

	if (c->service.name == NULL || c->credential == NULL)
		return false;
	moved = moved < 0 ? -moved : moved;
	if (aws_fault(r) == AWS_SKEWED)
		return moved > SKEW_MS;
	aws_error_code(r, code, sizeof(code));
	return r->status == 403 && code[0] == '\0' && moved > SKEW_FAR_MS;
}

static bool
refused_as_ourselves(const struct attempt *a)
{
	const struct http_reply *r = a->t.reply;

	return (r->status == 400 || r->status == 401 || r->status == 403) &&
	    credential_refresh(a->t.conn->client->credential, r);
}

static void
call_on(struct http_connection *conn, const struct http_request *req,
    struct http_reply *reply)
{
	bool stale_tried = false, time_tried = false, login_tried = false;
	struct attempt a;

	for (;;) {
		attempt(conn, req, reply, &a);
		conn->fresh = false;
		if (reply->outcome == HTTP_BROKEN && a.t.reused &&
		    a.t.received == 0 && !stale_tried && rewind_body(req)) {
			stale_tried = true;
			conn->fresh = true;
			continue;
		}
		if (reply->outcome != HTTP_ANSWERED || reply->status < 400)
			return;
		if (!time_tried && refused_for_time(&a) && rewind_body(req)) {
			time_tried = true;
			continue;
		}
		if (!login_tried && refused_as_ourselves(&a) && rewind_body(req)) {
			login_tried = true;
			continue;
		}
		return;
	}
}

/* ---- calls --------------------------------------------------------------- */

static int
outcome_errno(const struct http_reply *r)
{
	switch (r->outcome) {
	case HTTP_ANSWERED:
		return 0;
	case HTTP_CANCELED:
		return -ECANCELED;
	case HTTP_LOCAL:
		return r->local;
	case HTTP_STALLED:
		return -ETIMEDOUT;
	case HTTP_CREDENTIAL:
		return -EAGAIN;
	case HTTP_UNREACHABLE:
	case HTTP_TLS:
	case HTTP_PROXY:
	case HTTP_BROKEN:
		break;
	}
	return -EIO;
}

int
http_call(struct http_client *c, const struct http_request *req,
    struct http_reply *ret)
{
	struct http_connection *conn;
	int64_t began = clock_mono_ms();

	assert(req->path[0] == '/' || req->path[0] == '?' || req->path[0] == '\0');
	assert(req->body != NULL || req->body_length == 0);

	*ret = (struct http_reply){
		.head = BUF_INIT(HTTP_HEAD_MAX),
		.body = BUF_INIT(req->reply_max > 0 ? req->reply_max : REPLY_MAX),
		.proof = BUF_INIT(HTTP_PROOF_MAX),
	};
	clear_reply(ret);
	conn = atomic_load(&c->canceled) ? NULL : client_take(c);
	if (conn != NULL) {
		call_on(conn, req, ret);
		client_give(conn);
	} else if (atomic_load(&c->canceled)) {
		ret->outcome = HTTP_CANCELED;
	} else {
		ret->outcome = HTTP_LOCAL;
		ret->local = -ENOMEM;
	}
	ret->elapsed_ms = clock_mono_ms() - began;
	return outcome_errno(ret);
}
