/* sigv4.c - AWS Signature Version 4: what is signed, and with what.
 *
 * libcurl can sign, too, but the one of Debian 12 sorts headers and queries
 * wrongly and cannot be given a corrected clock. What a server sees is decoded
 * and encoded again before it is signed, as the server does it, so the signature
 * fits however the caller has escaped a path or a query.
 *
 * The signing key is derived for each request: four HMACs cost some microseconds,
 * and a cache would keep what is as good as the secret in memory for a day.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "gateway/http/aws_int.h"

#define ALGORITHM     "AWS4-HMAC-SHA256"
#define HASH_OF_NONE  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define CANONICAL_MAX (256u << 10)
#define SIGNED_MAX    64	/* headers */
#define SHA256_SIZE   32

/* ---- primitives ---------------------------------------------------------- */

static void
hex_text(const unsigned char *data, size_t len, char *ret)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		*ret++ = digits[data[i] >> 4];
		*ret++ = digits[data[i] & 15];
	}
	*ret = '\0';
}

static int
hash_text(const char *text, size_t len, char ret[static 65])
{
	unsigned char md[SHA256_SIZE];

	if (EVP_Digest(text, len, md, NULL, EVP_sha256(), NULL) != 1)
		return -ENOMEM;
	hex_text(md, sizeof(md), ret);
	return 0;
}

static void
free_mac(EVP_MAC **p)
{
	EVP_MAC_free(*p);
}

static void
free_mac_ctx(EVP_MAC_CTX **p)
{
	EVP_MAC_CTX_free(*p);
}

/* key becomes HMAC(key, text). */
static int
chain_mac(EVP_MAC_CTX *ctx, const void *key, size_t key_len, const char *text,
    size_t len, unsigned char ret[static SHA256_SIZE])
{
	char digest[] = "SHA256";
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_end(),
	};
	size_t n;

	if (EVP_MAC_init(ctx, key, key_len, params) != 1 ||
	    EVP_MAC_update(ctx, (const unsigned char *)text, len) != 1 ||
	    EVP_MAC_final(ctx, ret, &n, SHA256_SIZE) != 1)
		return -ENOMEM;
	return 0;
}

int
sigv4_signature(const struct aws_keys *k, const char *scope, const char *to_sign,
    char ret[static SIGV4_SIGNATURE_SIZE])
{
	AUTO(free_mac) EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	AUTO(free_mac_ctx) EVP_MAC_CTX *ctx = mac != NULL ?
	    EVP_MAC_CTX_new(mac) : NULL;
	AUTO(cleanup_secret_free) char *first = xasprintf("AWS4%s", k->secret);
	unsigned char key[SHA256_SIZE];
	const char *at = scope;
	int r = ctx != NULL ? 0 : -ENOMEM;

	/* The scope's parts are what the key is derived from, one by one. */
	for (bool begin = true; r == 0 && at != NULL; begin = false) {
		size_t len = strcspn(at, "/");

		r = chain_mac(ctx, begin ? (void *)first : key,
		    begin ? strlen(first) : sizeof(key), at, len, key);
		at = at[len] == '/' ? at + len + 1 : NULL;
	}
	if (r == 0)
		r = chain_mac(ctx, key, sizeof(key), to_sign, strlen(to_sign), key);
	if (r == 0)
		hex_text(key, sizeof(key), ret);
	OPENSSL_cleanse(key, sizeof(key));
	return r;
}

void
aws_keys_free(struct aws_keys *k)
{
	if (k == NULL)
		return;
	secret_free(k->id);
	secret_free(k->secret);
	secret_free(k->token);
	*k = (struct aws_keys){ 0 };
}

/* ---- escaping ------------------------------------------------------------ */

static bool
is_unreserved(unsigned char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	    (c >= '0' && c <= '9') || strchr("-._~", c) != NULL;
}

static void
add_escaped(struct buf *b, unsigned char c, bool keep_slash)
{
	if (c != '\0' && (is_unreserved(c) || (keep_slash && c == '/')))
		(void)buf_add_char(b, (char)c);
	else
		(void)buf_printf(b, "%%%02X", c);
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decoded and encoded anew; a stray % stands for itself. */
static void
add_recoded(struct buf *b, const char *s, size_t len, bool keep_slash)
{
	for (size_t i = 0; i < len; i++) {
		if (s[i] == '%' && len - i > 2 && hex_value(s[i + 1]) >= 0 &&
		    hex_value(s[i + 2]) >= 0) {
			add_escaped(b, (unsigned char)(hex_value(s[i + 1]) << 4 |
			    hex_value(s[i + 2])), keep_slash);
			i += 2;
		} else {
			add_escaped(b, (unsigned char)s[i], keep_slash);
		}
	}
}

/* ---- path ---------------------------------------------------------------- */

/* Appends a segment without `.`, `..` and empty ones; depth: where the segments so
 * far begin in b. */
static void
push_segment(struct buf *b, const char *s, size_t len)
{
	if (len == 0 || (len == 1 && s[0] == '.'))
		return;
	if (len == 2 && s[0] == '.' && s[1] == '.') {
		while (b->len > 0 && b->data[b->len - 1] != '/')
			b->len--;
		if (b->len > 0)
			b->len--;
		if (b->data != NULL)
			b->data[b->len] = '\0';
		return;
	}
	(void)buf_add_char(b, '/');
	(void)buf_add(b, s, len);
}

static void
normalize_path(struct buf *b, const char *path)
{
	size_t len;

	for (const char *s = path; *s != '\0'; s += len + (s[len] == '/')) {
		len = strcspn(s, "/");
		push_segment(b, s, len);
	}
	len = strlen(path);
	if (b->len == 0 || (len > 0 && path[len - 1] == '/'))
		(void)buf_add_char(b, '/');
}

/* S3 signs the key as it is; the others normalize, and escape the escaped. */
static void
add_path(struct buf *b, const struct http_signing *s)
{
	struct buf path = BUF_INIT(CANONICAL_MAX);

	if (s->path[0] == '\0') {
		(void)buf_add_char(b, '/');
	} else if (s->service->s3_path) {
		add_recoded(b, s->path, strlen(s->path), true);
	} else {
		normalize_path(&path, s->path);
		for (size_t i = 0; i < path.len; i++)
			add_escaped(b, (unsigned char)path.data[i], true);
		if (buf_error(&path) != 0)
			b->error = buf_error(&path);
	}
	buf_free(&path);
}

/* ---- query --------------------------------------------------------------- */

struct parameter { char *name, *value; };

static int
compare_parameters(const void *a, const void *b)
{
	const struct parameter *x = a, *y = b;
	int r = strcmp(x->name, y->name);

	return r != 0 ? r : strcmp(x->value, y->value);
}

static char *
recode(const char *s, size_t len)
{
	struct buf b = BUF_INIT(3 * len + 1);

	add_recoded(&b, s, len, false);
	return buf_take(&b);
}

static void
add_query(struct buf *b, const char *query)
{
	struct parameter *p = NULL;
	size_t n = 0, len;

	for (const char *at = query; *at != '\0'; at += len + (at[len] == '&')) {
		size_t name = strcspn(at, "=&");

		len = strcspn(at, "&");
		if (len == 0)
			continue;
		p = xreallocarray(p, n + 1, sizeof(*p));
		p[n].name = recode(at, name);
		p[n++].value = name < len ?
		    recode(at + name + 1, len - name - 1) : xstrdup("");
	}
	if (n > 1)
		qsort(p, n, sizeof(*p), compare_parameters);
	for (size_t i = 0; i < n; i++) {
		(void)buf_printf(b, "%s%s=%s", i > 0 ? "&" : "", p[i].name,
		    p[i].value);
		free(p[i].name);
		free(p[i].value);
	}
	free(p);
}

/* ---- headers ------------------------------------------------------------- */

struct signed_header {
	const char *name, *value;
	size_t	    order;	/* as it is sent: the same name may come twice */
};

struct signed_headers {
	struct signed_header v[SIGNED_MAX];
	size_t n;
};

/* Those that something on the way, or curl, may change. */
static bool
is_left_out(const char *name)
{
	static const char *const names[] = { "accept", "authorization",
		"connection", "expect", "te", "transfer-encoding", "upgrade",
		"user-agent", "x-amzn-trace-id" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcasecmp(name, names[i]) == 0)
			return true;
	}
	return false;
}

static int
note_header(struct signed_headers *h, const char *name, const char *value)
{
	if (is_left_out(name))
		return 0;
	if (h->n == SIGNED_MAX)
		return -E2BIG;
	h->v[h->n] = (struct signed_header){ name, value, h->n };
	h->n++;
	return 0;
}

static const char *
find_header(const struct signed_headers *h, const char *name)
{
	for (size_t i = 0; i < h->n; i++) {
		if (strcasecmp(h->v[i].name, name) == 0)
			return h->v[i].value;
	}
	return NULL;
}

static int
compare_headers(const void *a, const void *b)
{
	const struct signed_header *x = a, *y = b;
	int r = strcasecmp(x->name, y->name);

	if (r != 0)
		return r;
	return (x->order > y->order) - (x->order < y->order);
}

static int
collect_signed(struct signed_headers *h, const struct http_signing *s,
    const struct http_header *more, size_t n_more, const char *date)
{
	const struct http_request *q = s->req;
	int r = 0;

	for (size_t i = 0; r == 0 && i < q->n_headers; i++)
		r = note_header(h, q->headers[i].name, q->headers[i].value);
	for (size_t i = 0; r == 0 && i < n_more; i++)
		r = note_header(h, more[i].name, more[i].value);
	if (r == 0 && q->content_type != NULL &&
	    find_header(h, "content-type") == NULL)
		r = note_header(h, "content-type", q->content_type);
	if (r == 0 && find_header(h, "host") == NULL)
		r = note_header(h, "host", s->host);
	if (r == 0 && find_header(h, "x-amz-date") == NULL)
		r = note_header(h, "x-amz-date", date);
	qsort(h->v, h->n, sizeof(h->v[0]), compare_headers);
	return r;
}

static bool
is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static void
add_lower(struct buf *b, const char *s)
{
	for (; *s != '\0'; s++)
		(void)buf_add_char(b, *s >= 'A' && *s <= 'Z' ?
			(char)(*s | 0x20) : *s);
}

/* Without blanks around it, runs of them inside as one space. */
static void
add_trimmed(struct buf *b, const char *s)
{
	bool begun = false;

	while (*s != '\0') {
		size_t n = 0;

		while (is_blank(*s))
			s++;
		while (s[n] != '\0' && !is_blank(s[n]))
			n++;
		if (n > 0 && begun)
			(void)buf_add_char(b, ' ');
		begun = begun || n > 0;
		(void)buf_add(b, s, n);
		s += n;
	}
}

static bool
same_as_before(const struct signed_headers *h, size_t i)
{
	return i > 0 && strcasecmp(h->v[i].name, h->v[i - 1].name) == 0;
}

static void
add_headers(struct buf *b, const struct signed_headers *h)
{
	for (size_t i = 0; i < h->n; i++) {
		if (same_as_before(h, i)) {
			(void)buf_add_char(b, ',');
		} else {
			if (i > 0)
				(void)buf_add_char(b, '\n');
			add_lower(b, h->v[i].name);
			(void)buf_add_char(b, ':');
		}
		add_trimmed(b, h->v[i].value);
	}
	(void)buf_add_char(b, '\n');
}

static void
add_names(struct buf *b, const struct signed_headers *h)
{
	for (size_t i = 0; i < h->n; i++) {
		if (same_as_before(h, i))
			continue;
		if (i > 0)
			(void)buf_add_char(b, ';');
		add_lower(b, h->v[i].name);
	}
}

/* ---- putting it together ------------------------------------------------- */

static const char *
payload_hash(const struct http_request *q, const struct signed_headers *h)
{
	const char *literal = find_header(h, "x-amz-content-sha256");

	if (literal != NULL)
		return literal;
	if (q->sha256 != NULL)
		return q->sha256;
	return q->body_length == 0 ? HASH_OF_NONE : NULL;
}

static void
format_date(int64_t wall_ms, char ret[static 17])
{
	time_t when = (time_t)(wall_ms / 1000);
	struct tm tm;

	if (gmtime_r(&when, &tm) == NULL ||
	    strftime(ret, 17, "%Y%m%dT%H%M%SZ", &tm) != 16)
		memcpy(ret, "19700101T000000Z", 17);
}

static int
build_canonical(const struct http_signing *s, const struct signed_headers *h,
    const char *names, struct buf *b)
{
	const char *hash = payload_hash(s->req, h);

	if (hash == NULL)
		return -EINVAL;
	(void)buf_printf(b, "%s\n", s->req->method);
	add_path(b, s);
	(void)buf_add_char(b, '\n');
	add_query(b, s->query);
	(void)buf_add_char(b, '\n');
	add_headers(b, h);
	(void)buf_printf(b, "\n%s\n%s", names, hash);
	return buf_error(b);
}

int
sigv4_prepare(const char *algorithm, const struct http_signing *s,
    const struct http_header *more, size_t n_more, struct sigv4_text *ret)
{
	struct buf names = BUF_INIT(CANONICAL_MAX), b = BUF_INIT(CANONICAL_MAX);
	struct signed_headers h = { .n = 0 };
	struct sigv4_text t = { 0 };
	char hash[65];
	int r;

	if (s->service == NULL || s->service->name == NULL ||
	    s->service->region == NULL)
		return -EINVAL;
	format_date(s->now_ms, t.date);
	r = collect_signed(&h, s, more, n_more, t.date);
	add_names(&names, &h);
	if (r == 0)
		r = buf_error(&names);
	if (r == 0)
		r = build_canonical(s, &h, names.data, &b);
	if (r == 0)
		r = hash_text(b.data, b.len, hash);
	if (r == 0) {
		t.scope = xasprintf("%.8s/%s/%s/aws4_request", t.date,
		    s->service->region, s->service->name);
		t.to_sign = xasprintf("%s\n%s\n%s\n%s", algorithm, t.date, t.scope,
		    hash);
		t.canonical = buf_take(&b);
		t.signed_headers = buf_take(&names);
		*ret = t;
	}
	if (b.data != NULL)	/* the token is among the headers */
		OPENSSL_cleanse(b.data, b.len);
	buf_free(&b);
	buf_free(&names);
	return r;
}

void
sigv4_text_free(struct sigv4_text *t)
{
	secret_free(t->canonical);
	free(t->to_sign);
	free(t->scope);
	free(t->signed_headers);
	*t = (struct sigv4_text){ 0 };
}

static int
add_authorization(const struct aws_keys *k, const struct sigv4_text *t,
    struct http_headers *h)
{
	char signature[SIGV4_SIGNATURE_SIZE];
	AUTO(cleanup_secret_free) char *value = NULL;
	int r;

	r = sigv4_signature(k, t->scope, t->to_sign, signature);
	if (r < 0)
		return r;
	value = xasprintf(ALGORITHM " Credential=%s/%s, SignedHeaders=%s, "
	    "Signature=%s", k->id, t->scope, t->signed_headers, signature);
	return http_headers_add(h, "Authorization", value);
}

int
sigv4_sign(const struct aws_keys *k, const struct http_signing *s,
    struct http_headers *h)
{
	struct http_header more[] = {
		{ "X-Amz-Content-Sha256", s->req->sha256 != NULL ? s->req->sha256 :
			HASH_OF_NONE },
		{ "X-Amz-Security-Token", k->token },
	};
	size_t n = k->token != NULL ? 2 : 1;
	struct sigv4_text t;
	int r;

	if (s->req->sha256 == NULL && s->req->body_length > 0)
		return -EINVAL;
	r = sigv4_prepare(ALGORITHM, s, more, n, &t);
	if (r < 0)
		return r;
	r = http_headers_add(h, "X-Amz-Date", t.date);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = http_headers_add(h, more[i].name, more[i].value);
	if (r == 0)
		r = add_authorization(k, &t, h);
	sigv4_text_free(&t);
	return r;
}
