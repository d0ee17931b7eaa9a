/* setup.c - what curl is told before a request: about the connection, TLS, and the
 * request itself.
 */
#include <string.h>

#include "gateway/http/http_int.h"

#define UPLOAD_PORTION (128L << 10)	/* filling larger ones delays the sending */
#define IDLE_MAX_S     60L	/* a kept-alive connection is not used after */

#ifndef CAUSEWAY_VERSION
#define CAUSEWAY_VERSION "0"
#endif

/* Called for each handshake, a TLS proxy's first. Our own certificate is for the
 * server alone. */
static CURLcode
prepare_tls(CURL *easy, void *ctx, void *arg)
{
	struct http_connection *conn = arg;
	const struct tls_files *own = &conn->client->certificate;
	bool to_proxy = conn->client->proxy_tls && conn->handshakes == 0;

	(void)easy;
	conn->handshakes++;
	if (to_proxy) {
		conn->proxy_seen = (struct tls_seen){ 0 };
		return tls_watch(ctx, &conn->proxy_seen) < 0 ?
		    CURLE_OUT_OF_MEMORY : CURLE_OK;
	}
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

void
setup_connection(struct http_connection *conn)
{
	const struct http_client *c = conn->client;
	CURL *e = conn->easy;

	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
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
	curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, transfer_open_socket);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, conn);
	curl_easy_setopt(e, CURLOPT_CLOSESOCKETFUNCTION, transfer_close_socket);
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
	set_tls(conn);
}

static bool
wants_length(const char *method)
{
	return strcmp(method, "PUT") == 0 || strcmp(method, "POST") == 0 ||
	    strcmp(method, "PATCH") == 0;
}

/* A method that has a body says so even when that is empty: some servers refuse a
 * PUT without Content-Length. Not as curl's POST, which names a content type that
 * nobody asked for. */
static void
set_body(struct transfer *t)
{
	CURL *e = t->conn->easy;

	curl_easy_setopt(e, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(e, CURLOPT_INFILESIZE_LARGE,
	    (curl_off_t)t->req->body_length);
	curl_easy_setopt(e, CURLOPT_READFUNCTION, transfer_give_body);
	curl_easy_setopt(e, CURLOPT_READDATA, t);
	curl_easy_setopt(e, CURLOPT_SEEKFUNCTION, transfer_rewind_body);
	curl_easy_setopt(e, CURLOPT_SEEKDATA, t);
}

void
setup_request(struct transfer *t)
{
	const struct http_request *req = t->req;
	CURL *e = t->conn->easy;
	AUTO_FREE char *url = xasprintf("%s%s", t->conn->client->base, req->path);

	curl_easy_setopt(e, CURLOPT_URL, url);
	curl_easy_setopt(e, CURLOPT_HTTPHEADER, t->headers);
	curl_easy_setopt(e, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, transfer_take_head);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, t);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, transfer_take_body);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
	if (strcmp(req->method, "HEAD") == 0) {
		curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
		return;
	}
	if (req->body != NULL || wants_length(req->method))
		set_body(t);
	else
		curl_easy_setopt(e, CURLOPT_HTTPGET, 1L);
	curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, req->method);
}
