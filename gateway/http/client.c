/* client.c - one remote service: its connections, its credential, and the calls
 * on it.
 *
 * Idle connections are taken last used first, so that few stay warm and the rest
 * run into the server's own timeout. A request is sent a second time in two cases
 * only: a connection that was kept alive turned out to be dead before a byte of
 * the reply came, and a 401 after which the credential is another one.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gateway/base/clock.h"
#include "gateway/http/http_int.h"

#define CONNECT_TIMEOUT_MS 30000
#define STALL_TIMEOUT_MS   120000
#define REPLY_MAX	   (1u << 20)

static void
free_curlu(CURLU **p)
{
	curl_url_cleanup(*p);
}

int
http_global_init(void)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return -ENOMEM;
	return tls_init();
}

void
http_global_cleanup(void)
{
	curl_global_cleanup();
}

static int
parse_url(struct http_client *c, const char *url, struct buf *why)
{
	AUTO(free_curlu) CURLU *u = curl_url();
	char *host = NULL, *port = NULL, *scheme = NULL;
	int r = 0;

	if (u == NULL)
		return -ENOMEM;
	if (curl_url_set(u, CURLUPART_URL, url, 0) != CURLUE_OK ||
	    curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
	    curl_url_get(u, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
	    curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) !=
		CURLUE_OK ||
	    (strcmp(scheme, "https") != 0 && strcmp(scheme, "http") != 0)) {
		(void)buf_printf(why, "url: \"%s\" is no http:// or https:// URL",
		    url);
		r = -EINVAL;
	} else {
		c->tls = strcmp(scheme, "https") == 0;
		(void)snprintf(c->host, sizeof(c->host), "%s:%s", host, port);
	}
	curl_free(scheme);
	curl_free(host);
	curl_free(port);
	return r;
}

static char *
copy_base(const char *url)
{
	size_t len = strlen(url);

	while (len > 0 && url[len - 1] == '/')
		len--;
	return xstrndup(url, len);
}

static bool
is_loopback(const char *host)
{
	return strncasecmp(host, "localhost:", 10) == 0 ||
	    strncmp(host, "[::1]:", 6) == 0 || (strncmp(host, "127.", 4) == 0 &&
	    strspn(host, "0123456789.:") == strlen(host));
}

int
http_client_new(const struct http_client_options *opt, struct http_client **ret,
    struct buf *why)
{
	struct http_client *c = xcalloc(1, sizeof(*c));
	int r;

	(void)pthread_mutex_init(&c->mu, NULL);
	c->base = copy_base(opt->url);
	c->ca_file = opt->ca_file != NULL ? xstrdup(opt->ca_file) : NULL;
	c->connect_timeout_ms = opt->connect_timeout_ms > 0 ?
	    opt->connect_timeout_ms : CONNECT_TIMEOUT_MS;
	c->stall_timeout_ms = opt->stall_timeout_ms > 0 ?
	    opt->stall_timeout_ms : STALL_TIMEOUT_MS;
	r = parse_url(c, opt->url, why);
	if (r < 0) {
		http_client_free(c);
		return r;
	}
	c->credential = opt->credential;
	c->proxy = opt->proxy;
	c->rate = opt->rate;
	c->service = opt->service;
	credential_certificate(c->credential, &c->certificate);
	if (!c->tls && !is_loopback(c->host))
		(void)buf_printf(why, "%surl: what goes to %s can be read on its "
		    "way: use https://", why->len > 0 ? "; " : "", c->host);
	*ret = c;
	return 0;
}

static void
connection_free(struct http_connection *conn)
{
	if (conn->easy != NULL)
		curl_easy_cleanup(conn->easy);
	if (conn->multi != NULL)
		(void)curl_multi_cleanup(conn->multi);
	buf_free(&conn->tls_why);
	free(conn);
}

void
http_client_free(struct http_client *c)
{
	if (c == NULL)
		return;
	while (c->all != NULL) {
		struct http_connection *conn = c->all;

		c->all = conn->next;
		connection_free(conn);
	}
	(void)pthread_mutex_destroy(&c->mu);
	free(c->ca_file);
	free(c->base);
	free(c);
}

void
http_client_cancel(struct http_client *c)
{
	LOCK_SCOPE(&c->mu);
	atomic_store(&c->canceled, true);
	for (struct http_connection *conn = c->all; conn != NULL;
	    conn = conn->next)
		(void)curl_multi_wakeup(conn->multi);
}

static struct http_connection *
connection_new(struct http_client *c)
{
	struct http_connection *conn = xcalloc(1, sizeof(*conn));

	conn->client = c;
	conn->tls_why = (struct buf)BUF_INIT(200);
	for (size_t i = 0; i < HTTP_SOCKETS_MAX; i++)
		conn->sockets[i] = CURL_SOCKET_BAD;
	conn->easy = curl_easy_init();
	conn->multi = curl_multi_init();
	if (conn->easy == NULL || conn->multi == NULL) {
		connection_free(conn);
		return NULL;
	}
	(void)curl_multi_setopt(conn->multi, CURLMOPT_MAXCONNECTS, 1L);
	return conn;
}

static struct http_connection *
take_connection(struct http_client *c)
{
	struct http_connection *conn;

	LOCK_SCOPE(&c->mu);
	conn = c->idle;
	if (conn != NULL) {
		c->idle = conn->next_idle;
		return conn;
	}
	conn = connection_new(c);
	if (conn != NULL) {
		conn->next = c->all;
		c->all = conn;
	}
	return conn;
}

static void
give_connection(struct http_connection *conn)
{
	LOCK_SCOPE(&conn->client->mu);
	conn->next_idle = conn->client->idle;
	conn->client->idle = conn;
}

static void
reply_clear(struct http_reply *r)
{
	buf_clear(&r->body);
	r->outcome = HTTP_BROKEN;
	r->status = 0;
	r->local = 0;
	r->content_type[0] = r->why[0] = '\0';
	r->retry_after_ms = -1;
	r->sent_bytes = 0;
	r->answered_early = false;
}

static int
append_header(struct curl_slist **list, const char *name, const char *value)
{
	AUTO(cleanup_secret_free) char *line = xasprintf("%s: %s", name, value);
	struct curl_slist *more = curl_slist_append(*list, line);

	if (more == NULL)
		return -ENOMEM;
	*list = more;
	return 0;
}

static void
wipe_headers(struct curl_slist *list)
{
	for (struct curl_slist *l = list; l != NULL; l = l->next)
		explicit_bzero(l->data, strlen(l->data));
	curl_slist_free_all(list);
}

static int
collect_headers(const struct http_client *c, const struct http_request *req,
    struct curl_slist **list, struct buf *why)
{
	const struct http_signing s = { .req = req, .service = &c->service,
		.host = c->host, .path = req->path, .query = "",
		.now_ms = clock_wall_ms() };
	struct http_headers h = { 0 };
	struct curl_slist *more;
	int r;

	r = credential_apply(c->credential, &s, &h, why);
	for (size_t i = 0; r == 0 && i < h.n; i++) {
		more = curl_slist_append(*list, h.line[i]);
		if (more != NULL)
			*list = more;
		else
			r = -ENOMEM;
	}
	http_headers_free(&h);
	/* An empty value makes curl leave its own header out. */
	more = r == 0 ? curl_slist_append(*list, "Expect:") : NULL;
	if (more == NULL)
		return r < 0 ? r : -ENOMEM;
	*list = more;
	r = req->accept != NULL ? append_header(list, "Accept", req->accept) : 0;
	if (r == 0 && req->content_type != NULL)
		r = append_header(list, "Content-Type", req->content_type);
	return r;
}

/* One attempt, with fresh headers. */
static void
attempt(struct http_connection *conn, const struct http_request *req,
    struct http_reply *reply, struct transfer *ret)
{
	struct buf why = BUF_INIT(sizeof(reply->why) - 1);
	struct transfer t = { .conn = conn, .req = req, .reply = reply };
	int r;

	reply_clear(reply);
	r = collect_headers(conn->client, req, &t.headers, &why);
	if (r < 0) {
		reply->outcome = HTTP_CREDENTIAL;
		(void)snprintf(reply->why, sizeof(reply->why), "credential: %s",
		    why.len > 0 ? why.data : strerror(-r));
	} else {
		transfer_run(&t);
	}
	wipe_headers(TAKE_PTR(t.headers));
	buf_free(&why);
	*ret = t;
}

static bool
rewind_body(const struct http_request *req)
{
	if (req->body == NULL)
		return true;
	return req->body_rewind != NULL && req->body_rewind(req->body_arg) == 0;
}

static void
call_on(struct http_connection *conn, const struct http_request *req,
    struct http_reply *reply)
{
	bool stale_tried = false, login_tried = false;
	struct transfer t;

	for (;;) {
		attempt(conn, req, reply, &t);
		conn->fresh = false;
		if (reply->outcome == HTTP_BROKEN && t.reused &&
		    t.received == 0 && !stale_tried && rewind_body(req)) {
			stale_tried = true;
			conn->fresh = true;
			continue;
		}
		if (reply->outcome == HTTP_ANSWERED && reply->status == 401 &&
		    !login_tried && credential_refresh(conn->client->credential,
			reply)
		    && rewind_body(req)) {
			login_tried = true;
			continue;
		}
		return;
	}
}

int64_t
http_client_now_ms(const struct http_client *c)
{
	(void)c;
	return clock_wall_ms();
}

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

	assert(req->path[0] == '/' || req->path[0] == '\0');
	assert(req->body != NULL || req->body_length == 0);

	*ret = (struct http_reply){
		.body = BUF_INIT(req->reply_max > 0 ? req->reply_max : REPLY_MAX),
	};
	reply_clear(ret);
	conn = atomic_load(&c->canceled) ? NULL : take_connection(c);
	if (conn != NULL) {
		call_on(conn, req, ret);
		give_connection(conn);
	} else if (atomic_load(&c->canceled)) {
		ret->outcome = HTTP_CANCELED;
	} else {
		ret->outcome = HTTP_LOCAL;
		ret->local = -ENOMEM;
	}
	ret->elapsed_ms = clock_mono_ms() - began;
	return outcome_errno(ret);
}

void
http_reply_free(struct http_reply *r)
{
	if (r != NULL)
		buf_free(&r->body);
}
