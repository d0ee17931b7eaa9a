/* client.c - one remote service: where it is, and the connections to it.
 *
 * Idle connections are taken last used first, so that few stay warm and the rest
 * run into the server's own timeout.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gateway/http/http_int.h"

#define CONNECT_TIMEOUT_MS 30000
#define STALL_TIMEOUT_MS   120000

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

/* curl leaves a port that is the scheme's own out of the Host header. */
static void
note_authority(struct http_client *c, const char *host, const char *port)
{
	(void)snprintf(c->host, sizeof(c->host), "%s:%s", host, port);
	if (strcmp(port, c->tls ? "443" : "80") == 0)
		(void)snprintf(c->authority, sizeof(c->authority), "%s", host);
	else
		(void)snprintf(c->authority, sizeof(c->authority), "%s", c->host);
}

static int
parse_url(struct http_client *c, const char *url, struct buf *why)
{
	AUTO(free_curlu) CURLU *u = curl_url();
	char *host = NULL, *port = NULL, *scheme = NULL;
	int r = 0;

	if (u == NULL)
		return -ENOMEM;
	if (curl_url_set(u, CURLUPART_URL, url, CURLU_PATH_AS_IS) != CURLUE_OK ||
	    curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
	    curl_url_get(u, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
	    curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) !=
		CURLUE_OK ||
	    (strcmp(scheme, "https") != 0 && strcmp(scheme, "http") != 0) ||
	    strpbrk(url, "?#") != NULL) {
		(void)buf_printf(why, "url: \"%s\" is no http:// or https:// URL",
		    url);
		r = -EINVAL;
	} else {
		c->tls = strcmp(scheme, "https") == 0;
		note_authority(c, host, port);
	}
	curl_free(scheme);
	curl_free(host);
	curl_free(port);
	return r;
}

static void
copy_base(struct http_client *c, const char *url)
{
	size_t len = strlen(url);
	const char *host;

	while (len > 0 && url[len - 1] == '/')
		len--;
	c->base = xstrndup(url, len);
	host = strstr(c->base, "://");
	c->base_path = host != NULL ? strchr(host + 3, '/') : NULL;
	if (c->base_path == NULL)
		c->base_path = c->base + len;
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
	copy_base(c, opt->url);
	c->ca_file = opt->ca_file != NULL ? xstrdup(opt->ca_file) : NULL;
	c->connect_timeout_ms = opt->connect_timeout_ms > 0 ?
	    opt->connect_timeout_ms : CONNECT_TIMEOUT_MS;
	c->stall_timeout_ms = opt->stall_timeout_ms > 0 ?
	    opt->stall_timeout_ms : STALL_TIMEOUT_MS;
	c->proxy = opt->proxy;
	r = parse_url(c, opt->url, why);
	if (r == 0 && c->proxy != NULL)
		r = proxy_open(c, why);
	if (r < 0) {
		http_client_free(c);
		return r;
	}
	c->credential = opt->credential;
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
	proxy_close(c);
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

struct http_connection *
client_take(struct http_client *c)
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

void
client_give(struct http_connection *conn)
{
	LOCK_SCOPE(&conn->client->mu);
	conn->next_idle = conn->client->idle;
	conn->client->idle = conn;
}
