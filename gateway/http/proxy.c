/* proxy.c - the way out of a hospital: an HTTP proxy, and telling its faults from
 * the cloud's.
 *
 * Servers with TLS are reached through CONNECT, so the proxy sees neither what we
 * send nor our credential, and the server does not see the proxy's password; plain
 * HTTP goes through it as it is. What the environment says of proxies is ignored:
 * a service's environment is nobody's configuration.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "gateway/http/http_int.h"

#define GONE_MS	 2000	/* to find out whether it is still there */
#define DYING_MS 200

static void
free_curlu(CURLU **p)
{
	curl_url_cleanup(*p);
}

static void
free_easy(CURL **p)
{
	curl_easy_cleanup(*p);
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
		(void)buf_printf(why, "proxy: url: \"%s\" is no http:// or https:// "
		    "URL", url);
		r = -EINVAL;
	} else {
		c->proxy_tls = strcmp(scheme, "https") == 0;
		(void)snprintf(c->proxy_host, sizeof(c->proxy_host), "%s:%s", host,
		    port);
	}
	curl_free(scheme);
	curl_free(host);
	curl_free(port);
	return r;
}

int
proxy_open(struct http_client *c, struct buf *why)
{
	const struct config_proxy *p = c->proxy;
	int r;

	r = parse_url(c, p->url, why);
	if (r == 0 && p->user != NULL && p->password_file != NULL)
		r = secret_open(p->password_file, &c->proxy_password, why);
	return r;
}

void
proxy_close(struct http_client *c)
{
	secret_close(TAKE_PTR(c->proxy_password));
}

static int
apply_password(struct http_connection *conn, struct buf *why)
{
	const struct http_client *c = conn->client;
	AUTO(cleanup_secret_free) char *password = NULL;

	if (c->proxy->user == NULL)
		return 0;
	if (c->proxy_password != NULL &&
	    secret_get(c->proxy_password, false, &password, why) < 0)
		return -EAGAIN;
	curl_easy_setopt(conn->easy, CURLOPT_PROXYAUTH, (long)CURLAUTH_BASIC);
	curl_easy_setopt(conn->easy, CURLOPT_PROXYUSERNAME, c->proxy->user);
	curl_easy_setopt(conn->easy, CURLOPT_PROXYPASSWORD,
	    password != NULL ? password : "");
	return 0;
}

static void
apply_tls(struct http_connection *conn)
{
	const struct config_proxy *p = conn->client->proxy;
	CURL *e = conn->easy;

	curl_easy_setopt(e, CURLOPT_PROXY_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(e, CURLOPT_PROXY_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(e, CURLOPT_PROXY_SSLVERSION,
	    (long)CURL_SSLVERSION_TLSv1_2);
	if (p->ca_file == NULL)
		return;
	curl_easy_setopt(e, CURLOPT_PROXY_CAINFO, p->ca_file);
	curl_easy_setopt(e, CURLOPT_PROXY_CAPATH, NULL);	/* only that CA */
}

int
proxy_apply(struct http_connection *conn, struct buf *why)
{
	const struct http_client *c = conn->client;
	AUTO_FREE char *url = NULL;

	/* "" is: none, or for no host; unset, the environment would count. */
	curl_easy_setopt(conn->easy, CURLOPT_NOPROXY, "");
	if (c->proxy == NULL) {
		curl_easy_setopt(conn->easy, CURLOPT_PROXY, "");
		return 0;
	}
	/* With the port, since curl's own for a proxy is 1080. */
	url = xasprintf("%s://%s", c->proxy_tls ? "https" : "http", c->proxy_host);
	curl_easy_setopt(conn->easy, CURLOPT_PROXY, url);
	if (c->proxy_tls)
		apply_tls(conn);
	return apply_password(conn, why);
}

void
proxy_head_line(struct http_connection *conn, const char *line, size_t len)
{
	static const char name[] = "Proxy-Authenticate:";
	size_t at = sizeof(name) - 1;

	if (len <= at || strncasecmp(line, name, at) != 0)
		return;
	while (at < len && line[at] == ' ')
		at++;
	if (len - at >= 5 && strncasecmp(line + at, "Basic", 5) == 0)
		conn->proxy_basic = true;
	else
		conn->proxy_other = true;
}

/* ---- what is wrong with it ----------------------------------------------- */

static void
explain_login(const struct http_connection *conn, struct buf *why)
{
	const struct http_client *c = conn->client;

	if (conn->proxy_other && !conn->proxy_basic)
		(void)buf_add_str(why, "it takes no passwords but only NTLM or "
		    "Kerberos: have it let this machine through without a login");
	else if (c->proxy->user == NULL)
		(void)buf_add_str(why, "it wants a login: proxy: {user: …, "
		    "password_file: …}");
	else
		(void)buf_printf(why, "it does not accept user %s with "
		    "password_file %s", c->proxy->user,
		    c->proxy->password_file != NULL ? c->proxy->password_file :
		    "left out");
}

static void
explain_refusal(const struct http_connection *conn, int status, struct buf *why)
{
	const char *host = conn->client->host;

	(void)buf_printf(why, "%d: ", status);
	switch (status) {
	case 401:	/* tinyproxy's word for a wrong password */
	case 407:
		explain_login(conn, why);
		break;
	case 403:
		(void)buf_printf(why, "it does not let us through to %s: its rules "
		    "must allow this machine to go there", host);
		break;
	case 400:
	case 404:
	case 405:
	case 501:
		(void)buf_add_str(why, "it does not know CONNECT: is proxy: url a "
		    "proxy at all?");
		break;
	case 500:
	case 502:
	case 503:
	case 504:
		(void)buf_printf(why, "it cannot reach %s itself: its DNS and "
		    "firewall are to be looked at, or that host is down", host);
		break;
	default:
		(void)buf_printf(why, "it refuses to connect to %s", host);
	}
}

static void
explain_connect(const struct http_connection *conn, struct buf *why)
{
	long error = 0;

	(void)curl_easy_getinfo(conn->easy, CURLINFO_OS_ERRNO, &error);
	if (error == ECONNREFUSED)
		(void)buf_add_str(why, "connection refused: it does not run, or "
		    "proxy: url has another port");
	else
		(void)buf_printf(why, "cannot connect: %s", error != 0 ?
			strerror((int)error) : conn->error);
}

static void
explain_timeout(const struct http_connection *conn, struct buf *why)
{
	const struct http_client *c = conn->client;
	curl_off_t connected = 0;

	(void)curl_easy_getinfo(conn->easy, CURLINFO_CONNECT_TIME_T, &connected);
	(void)buf_printf(why, "no answer within %lld s ",
	    (long long)(c->connect_timeout_ms / 1000));
	if (connected == 0)
		(void)buf_add_str(why, "to the connection: a firewall may drop it, or "
		    "its name is not answered by DNS");
	else
		(void)buf_printf(why, "to CONNECT: it may not reach %s itself",
		    c->host);
}

static void
explain_tls(const struct http_connection *conn, CURLcode code, struct buf *why)
{
	const char *ca_file = conn->client->proxy->ca_file;
	const char *e = conn->error;

	if (code == CURLE_PEER_FAILED_VERIFICATION &&
	    conn->proxy_seen.names[0] != '\0')
		(void)buf_printf(why, "its certificate is for %s: proxy: url must use "
		    "the name that the certificate has", conn->proxy_seen.names);
	else if (code == CURLE_SSL_CACERT_BADFILE && ca_file != NULL)
		(void)buf_printf(why, "ca_file: %s holds no certificate in PEM form",
		    ca_file);
	else if (strstr(e, "wrong version number") != NULL)
		(void)buf_add_str(why, "it does not speak TLS on this port: is its "
		    "url http:// or the port another one?");
	else
		(void)buf_printf(why, "TLS failed: %s", e[0] != '\0' ? e :
			curl_easy_strerror(code));
}

/* Nothing was heard of the server yet. */
static void
explain_before(const struct transfer *t, CURLcode code, struct buf *why)
{
	const struct http_connection *conn = t->conn;
	const struct http_client *c = conn->client;
	AUTO_FREE char *name = xasprintf("proxy %s", c->proxy_host);
	long status = 0;

	if (c->proxy_tls && tls_explain(&conn->proxy_seen, name, "proxy: ca_file",
		c->proxy->ca_file != NULL, why))
		return;
	(void)buf_printf(why, "%s: ", name);
	(void)curl_easy_getinfo(conn->easy, CURLINFO_HTTP_CONNECTCODE, &status);
	if (status >= 300)
		explain_refusal(conn, (int)status, why);
	else if (code == CURLE_COULDNT_RESOLVE_PROXY)
		(void)buf_add_str(why, "this name does not exist in DNS, or no name "
		    "server answers: look at proxy: url and at this machine's DNS");
	else if (code == CURLE_COULDNT_CONNECT)
		explain_connect(conn, why);
	else if (code == CURLE_OPERATION_TIMEDOUT)
		explain_timeout(conn, why);
	else if (c->proxy_tls && conn->handshakes == 1)
		explain_tls(conn, code, why);
	else
		(void)buf_printf(why, "it closed without an answer to CONNECT: is it "
		    "a proxy, and not an https:// one? (%s)", conn->error);
}

/* Plain HTTP: the answer may be its own. */
static bool
is_own_answer(const struct http_reply *r)
{
	char value[100];

	if (r->status == 407)
		return true;
	if (r->status != 401 && r->status != 403 && (r->status < 500 || r->status > 504))
		return false;
	if (http_reply_header(r, "X-Squid-Error", value, sizeof(value)))
		return true;
	if (http_reply_header(r, "Proxy-Status", value, sizeof(value)) &&
	    strstr(value, "error=") != NULL)
		return true;
	return http_reply_header(r, "Server", value, sizeof(value)) &&
	    (strncasecmp(value, "squid", 5) == 0 ||
		strncasecmp(value, "tinyproxy", 9) == 0);
}

static int
stop_looking(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	const struct http_client *client = arg;

	(void)a;
	(void)b;
	(void)c;
	(void)d;
	return atomic_load(&client->canceled);
}

/* One that is just dying still takes connections, and then resets them. */
static bool
is_dropped(CURL *e)
{
	struct pollfd p = { .events = POLLIN };
	curl_socket_t fd;

	if (curl_easy_getinfo(e, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK ||
	    fd == CURL_SOCKET_BAD)
		return false;
	p.fd = fd;
	return poll(&p, 1, DYING_MS) > 0;
}

/* The end of a tunnel does not tell who ended it. */
static bool
is_gone(const struct http_client *c)
{
	AUTO(free_easy) CURL *e = curl_easy_init();
	AUTO_FREE char *url = xasprintf("http://%s", c->proxy_host);

	if (e == NULL)
		return false;
	curl_easy_setopt(e, CURLOPT_URL, url);
	curl_easy_setopt(e, CURLOPT_PROXY, "");
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_CONNECT_ONLY, 1L);
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)GONE_MS);
	curl_easy_setopt(e, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(e, CURLOPT_XFERINFOFUNCTION, stop_looking);
	curl_easy_setopt(e, CURLOPT_XFERINFODATA, c);
	switch (curl_easy_perform(e)) {
	case CURLE_OK:
		return is_dropped(e);
	case CURLE_COULDNT_CONNECT:
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_OPERATION_TIMEDOUT:
		return true;
	default:
		return false;
	}
}

static bool
broke_off(CURLcode code)
{
	return code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR ||
	    code == CURLE_GOT_NOTHING || code == CURLE_PARTIAL_FILE;
}

bool
proxy_explain(const struct transfer *t, CURLcode code, struct buf *why)
{
	const struct http_client *c = t->conn->client;

	if (c->proxy == NULL)
		return false;
	if (code == CURLE_OK) {
		if (c->tls || !is_own_answer(t->reply))
			return false;
		(void)buf_printf(why, "proxy %s: ", c->proxy_host);
		explain_refusal(t->conn, t->reply->status, why);
		return true;
	}
	if (!transfer_is_connected(t) && !t->conn->handshake) {
		explain_before(t, code, why);
		return true;
	}
	/* A connection that was kept alive is tried anew, which will tell. */
	if (!broke_off(code) || (t->reused && t->received == 0) || !is_gone(c))
		return false;
	(void)buf_printf(why, "proxy %s: it went away while it carried a request to "
	    "%s: does it run?", c->proxy_host, c->host);
	return true;
}
