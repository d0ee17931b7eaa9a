/* reply.c - what happened, and what to do about it.
 *
 * The classes of http_outcome from curl's codes and our own knowledge, and one
 * sentence for each that a hospital's IT can act on. No secret enters a text:
 * they are made of names of hosts, files and options.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "gateway/base/clock.h"
#include "gateway/http/http_int.h"

/* ---- the head ------------------------------------------------------------ */

int64_t
reply_parse_retry_after(const char *value)
{
	char *end;
	long long s;
	time_t when;

	errno = 0;
	s = strtoll(value, &end, 10);
	if (end != value && errno == 0) {
		while (*end == ' ' || *end == '\t')
			end++;
		if (*end == '\0' && s >= 0)
			return s > INT32_MAX ? INT64_C(1000) * INT32_MAX : s * 1000;
	}
	when = curl_getdate(value, NULL);
	if (when == (time_t)-1)
		return -1;
	s = (long long)when * 1000 - clock_wall_ms();
	return s > 0 ? s : 0;
}

/* The value in buf, cut; its whole length in *ret_len. */
static bool
header_value(const char *line, size_t len, const char *name, char *buf,
    size_t size, size_t *ret_len)
{
	size_t n = strlen(name);

	if (len <= n || line[n] != ':' || strncasecmp(line, name, n) != 0)
		return false;
	line += n + 1;
	len -= n + 1;
	while (len > 0 && (*line == ' ' || *line == '\t')) {
		line++;
		len--;
	}
	while (len > 0 && strchr(" \t\r\n", line[len - 1]) != NULL)
		len--;
	*ret_len = len;
	if (len >= size)
		len = size - 1;
	memcpy(buf, line, len);
	buf[len] = '\0';
	return true;
}

void
reply_head_line(struct http_reply *r, const char *line, size_t len)
{
	char value[64];
	size_t n;

	if (len >= 5 && memcmp(line, "HTTP/", 5) == 0) {
		/* After a 100 Continue the real head begins. */
		buf_clear(&r->head);
		r->content_type[0] = '\0';
		r->retry_after_ms = -1;
		return;
	}
	(void)buf_add(&r->head, line, len);
	if (header_value(line, len, "Retry-After", value, sizeof(value), &n))
		r->retry_after_ms = reply_parse_retry_after(value);
	else
		(void)header_value(line, len, "Content-Type", r->content_type,
		    sizeof(r->content_type), &n);
}

bool
http_reply_header(const struct http_reply *r, const char *name, char *buf,
    size_t size)
{
	const char *line = r->head.data;
	const char *end = line != NULL ? line + r->head.len : NULL;
	size_t len;

	while (line < end) {
		const char *next = memchr(line, '\n', (size_t)(end - line));

		next = next != NULL ? next + 1 : end;
		if (header_value(line, (size_t)(next - line), name, buf, size,
			&len)) {
			if (len < size)
				return true;
			break;
		}
		line = next;
	}
	buf[0] = '\0';
	return false;
}

/* ---- words for a status -------------------------------------------------- */

static const struct {
	int	    status;
	const char *words;
} status_words[] = {
	{ 400, "the server calls the request malformed" },
	{ 403, "the server knows us and forbids this: ask for the right to store "
	       "and read there" },
	{ 404, "the server knows no such address: is the url right, with its path?" },
	{ 405, "the server does not allow this there: is the url the DICOMweb "
	       "service's?" },
	{ 406, "the server cannot answer in the form that was asked for" },
	{ 407, "a proxy in between wants a login of its own" },
	{ 408, "the server did not want to wait for the rest of the request" },
	{ 411, "the server or a proxy lost the request's length" },
	{ 413, "the request is too large for the server: lower max_request, or "
	       "raise the server's limit (nginx: client_max_body_size)" },
	{ 415, "the server does not take this kind of content" },
	{ 429, "the server asks for fewer requests" },
	{ 500, "the server failed inside: its own log says why" },
	{ 501, "the server cannot do this at all" },
	{ 502, "the proxy in front reports that the server behind it failed" },
	{ 503, "the server is busy or being maintained" },
	{ 504, "the proxy in front reports that the server behind it is silent" },
	{ 507, "the server is out of space" },
};

static const char *
words_for(int status)
{
	for (size_t i = 0; i < ARRAY_LEN(status_words); i++) {
		if (status_words[i].status == status)
			return status_words[i].words;
	}
	if (status >= 300 && status < 400)
		return "the server points somewhere else: put the address that it "
		    "really has into url";
	return status >= 500 ? "the server failed" : "the server refused";
}

static bool
has_no_credential(const struct http_client *c)
{
	return c->credential == NULL || c->credential->kind == NULL ||
	    c->credential->kind->describe == NULL;
}

static void
explain_status(const struct transfer *t, struct buf *b)
{
	const struct http_client *c = t->conn->client;
	int status = t->reply->status;

	if (status < 300)
		return;
	(void)buf_printf(b, "%s: %d: ", c->host, status);
	if (status == 400 || status == 401 || status == 403) {
		if (skew_describe(c, b))
			(void)buf_add_str(b, "; ");
	}
	if (status == 401 && c->service.name == NULL) {
		(void)buf_add_str(b, has_no_credential(c) ?
			"the server wants a login, and " :
			"the server does not accept ");
		credential_describe(c->credential, b);
	} else if (!fault_explain(t->reply, c->credential, b)) {
		(void)buf_add_str(b, words_for(status));
	}
}

/* ---- words for what is no answer ----------------------------------------- */

static void
explain_connect(const struct transfer *t, struct buf *b)
{
	const char *host = t->conn->client->host;
	long error = 0;

	(void)curl_easy_getinfo(t->conn->easy, CURLINFO_OS_ERRNO, &error);
	if (error == ECONNREFUSED)
		(void)buf_printf(b, "%s: connection refused: nothing listens on this "
		    "port, or a firewall refuses it", host);
	else if (error == ENETUNREACH || error == EHOSTUNREACH)
		(void)buf_printf(b, "%s: no way there (%s): look at the network and "
		    "its gateway", host, strerror((int)error));
	else
		(void)buf_printf(b, "%s: cannot connect: %s", host, error != 0 ?
			strerror((int)error) : t->conn->error);
}

static void
explain_timeout(const struct transfer *t, struct buf *b)
{
	const struct http_client *c = t->conn->client;
	curl_off_t named = 0;

	(void)curl_easy_getinfo(t->conn->easy, CURLINFO_NAMELOOKUP_TIME_T, &named);
	(void)buf_printf(b, "%s: no answer within %lld s ", c->host,
	    (long long)(c->connect_timeout_ms / 1000));
	if (t->conn->handshake)
		(void)buf_add_str(b, "to the TLS handshake: is this an https port?");
	else if (named > 0)
		(void)buf_add_str(b, "to the connection: a firewall may drop it");
	else
		(void)buf_add_str(b, "from the name server: look at DNS");
}

/* Where the other side wants our certificate, or another one. */
static bool
explain_alert(const struct transfer *t, struct buf *b)
{
	const char *e = t->conn->error;

	if (strstr(e, "alert") == NULL && !t->conn->seen.asked)
		return false;
	if (t->conn->seen.asked || strstr(e, "certificate") != NULL ||
	    strstr(e, "unknown ca") != NULL)
		(void)buf_printf(b, "%s: the server %s (%s)", t->conn->client->host,
		    t->conn->client->certificate.certificate != NULL ?
			"does not accept our certificate: look at credential: "
			"certificate_file" :
			"wants a certificate of ours: credential: {type: "
			"client_certificate, …}", e);
	else
		(void)buf_printf(b, "%s: the server ended the TLS handshake: %s",
		    t->conn->client->host, e);
	return true;
}

/* Known from answers before: a certificate is judged by our clock. */
static void
add_skew(const struct http_client *c, struct buf *b)
{
	struct buf skew = BUF_INIT(100);

	if (skew_describe(c, &skew))
		(void)buf_printf(b, "; %s", skew.data);
	buf_free(&skew);
}

static void
explain_tls(const struct transfer *t, CURLcode code, struct buf *b)
{
	const struct http_client *c = t->conn->client;
	const char *e = t->conn->error;

	if (t->conn->tls_why.len > 0)
		(void)buf_printf(b, "credential: %s", t->conn->tls_why.data);
	else if (tls_explain(&t->conn->seen, c->host, "tls: ca_file",
		c->ca_file != NULL, b)) {
		add_skew(c, b);
		return;
	}
	else if (code == CURLE_PEER_FAILED_VERIFICATION &&
	    t->conn->seen.names[0] != '\0')
		(void)buf_printf(b, "%s: its certificate is for %s: url must use the "
		    "name that the certificate has", c->host, t->conn->seen.names);
	else if (code == CURLE_SSL_CACERT_BADFILE)
		(void)buf_printf(b, "tls: ca_file: %s holds no certificate in PEM "
		    "form", c->ca_file != NULL ? c->ca_file : "the system's store");
	else if (explain_alert(t, b))
		return;
	else if (strstr(e, "wrong version number") != NULL)
		(void)buf_printf(b, "%s: it does not speak TLS on this port: is the "
		    "url http:// or the port another one?", c->host);
	else
		(void)buf_printf(b, "%s: TLS failed: %s", c->host, e[0] != '\0' ? e :
			curl_easy_strerror(code));
}

static void
explain_stall(const struct transfer *t, struct buf *b)
{
	const struct http_client *c = t->conn->client;
	long long ms = (long long)(t->stalled_ms - t->progress_ms);

	if (t->endless)
		(void)buf_printf(b, "%s: its reply does not come to an end",
		    c->host);
	else if (t->stalled_ms >= t->deadline_ms)
		(void)buf_printf(b, "%s: not done in time", c->host);
	else if (t->reply->sent_bytes < t->req->body_length)
		(void)buf_printf(b, "%s: it stopped taking data for %lld.%lld s",
		    c->host, ms / 1000, ms % 1000 / 100);
	else
		(void)buf_printf(b, "%s: no answer for %lld.%lld s after the request",
		    c->host, ms / 1000, ms % 1000 / 100);
}

static void
explain_break(const struct transfer *t, CURLcode code, struct buf *b)
{
	const char *host = t->conn->client->host;
	const char *e = t->conn->error[0] != '\0' ? t->conn->error :
	    curl_easy_strerror(code);

	if (t->too_long)
		(void)buf_printf(b, "%s: its reply is longer than any that makes "
		    "sense", host);
	else if (t->headed)
		(void)buf_printf(b, "%s: it broke off in its reply: %s", host, e);
	else if (t->reply->sent_bytes < t->req->body_length)
		(void)buf_printf(b, "%s: the connection broke in the middle of the "
		    "request: %s", host, e);
	else
		(void)buf_printf(b, "%s: it closed without an answer: %s", host, e);
	if (!t->headed && t->conn->seen.asked)
		(void)buf_add_str(b, " (it had asked for a certificate of ours)");
}

/* ---- deciding ------------------------------------------------------------ */

static enum http_outcome
classify(const struct transfer *t, CURLcode code)
{
	switch (code) {
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_COULDNT_CONNECT:
		return HTTP_UNREACHABLE;
	case CURLE_OPERATION_TIMEDOUT:
		return t->conn->handshake ? HTTP_TLS : HTTP_UNREACHABLE;
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CIPHER:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_SSL_INVALIDCERTSTATUS:
		return HTTP_TLS;
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR:
	case CURLE_GOT_NOTHING:
		/* TLS 1.3: ours is missed or refused only after the handshake,
		 * by an alert that a reset may overtake. */
		if (t->headed)
			return HTTP_BROKEN;
		return strstr(t->conn->error, "alert") != NULL ||
			(t->conn->seen.asked && t->reply->sent_bytes == 0) ?
		    HTTP_TLS : HTTP_BROKEN;
	default:
		return HTTP_BROKEN;
	}
}

/* A server that answers early and slams the door has answered all the same. */
static bool
answered_anyway(const struct transfer *t, CURLcode code)
{
	return t->headed && t->reply->status >= 400 && !t->too_long &&
	    t->reply->sent_bytes < t->req->body_length &&
	    (code == CURLE_SEND_ERROR || code == CURLE_RECV_ERROR ||
		code == CURLE_PARTIAL_FILE);
}

static enum http_outcome
decide(const struct transfer *t, CURLcode code)
{
	if (t->canceled || t->closed)
		return HTTP_CANCELED;
	if (t->stalled_ms != 0)
		return HTTP_STALLED;
	if (t->local != 0)
		return HTTP_LOCAL;
	if ((code == CURLE_OK && t->reply->status != 0) ||
	    answered_anyway(t, code))
		return HTTP_ANSWERED;
	return classify(t, code);
}

static void
explain(const struct transfer *t, CURLcode code, struct buf *b)
{
	switch (t->reply->outcome) {
	case HTTP_ANSWERED:
		explain_status(t, b);
		break;
	case HTTP_UNREACHABLE:
		if (code == CURLE_COULDNT_RESOLVE_HOST)
			(void)buf_printf(b, "%s: this name does not exist in DNS, or "
			    "no name server answers: look at url and at this "
			    "machine's DNS", t->conn->client->host);
		else if (code == CURLE_OPERATION_TIMEDOUT)
			explain_timeout(t, b);
		else
			explain_connect(t, b);
		break;
	case HTTP_TLS:
		if (code == CURLE_OPERATION_TIMEDOUT)
			explain_timeout(t, b);
		else
			explain_tls(t, code, b);
		break;
	case HTTP_STALLED:
		explain_stall(t, b);
		break;
	case HTTP_BROKEN:
		explain_break(t, code, b);
		break;
	case HTTP_LOCAL:
		(void)buf_printf(b, "given up here: %s", strerror(-t->local));
		break;
	case HTTP_CANCELED:
		(void)buf_add_str(b, t->closed ? "outside of its hours: nothing is "
		    "sent now" : "given up: it is being stopped");
		break;
	case HTTP_PROXY:
	case HTTP_CREDENTIAL:
		break;
	}
}

static bool
may_be_the_proxy(enum http_outcome o)
{
	return o == HTTP_ANSWERED || o == HTTP_UNREACHABLE || o == HTTP_TLS ||
	    o == HTTP_BROKEN;
}

void
reply_conclude(struct transfer *t, CURLcode code)
{
	struct http_reply *r = t->reply;
	struct buf b = BUF_INIT(1024);

	redact_collect(t->headers, &r->proof);
	r->outcome = decide(t, code);
	r->local = r->outcome == HTTP_LOCAL ? t->local : 0;
	r->answered_early = r->outcome == HTTP_ANSWERED &&
	    r->sent_bytes < t->req->body_length;
	if (may_be_the_proxy(r->outcome) && !t->too_long &&
	    proxy_explain(t, code, &b)) {
		r->outcome = HTTP_PROXY;
		r->status = 0;
	} else {
		explain(t, code, &b);
	}
	(void)snprintf(r->why, sizeof(r->why), "%s", b.len > 0 ? b.data : "");
	buf_free(&b);
}

void
http_explain(const struct http_reply *r, char *buf, size_t size)
{
	if (r->why[0] != '\0')
		(void)snprintf(buf, size, "%s", r->why);
	else if (r->outcome == HTTP_ANSWERED && r->status >= 300)
		(void)snprintf(buf, size, "%d: %s", r->status,
		    words_for(r->status));
	else if (r->outcome == HTTP_ANSWERED)
		(void)snprintf(buf, size, "%d: answered", r->status);
	else
		(void)snprintf(buf, size, "given up");
}
