/* s3_client.c - one bucket: where it is, and one request to it.
 *
 * Amazon's own buckets are addressed by their host name, but for names with dots,
 * which no wildcard certificate covers; a server of one's own as it is told. Keys
 * are encoded once and signed as they are on the wire.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gateway/base/clock.h"
#include "gateway/destination/s3_client_int.h"

/* ---- where it is --------------------------------------------------------- */

static const char *
domain_of(const char *region)
{
	if (strncmp(region, "cn-", 3) == 0)
		return "amazonaws.com.cn";
	if (strncmp(region, "eusc-", 5) == 0)
		return "amazonaws.eu";
	return "amazonaws.com";
}

static bool
host_is_address(const char *host)
{
	size_t len = strcspn(host, ":/");

	return host[0] == '[' || (len > 0 && strspn(host, "0123456789.") == len);
}

static char *
make_base(const struct s3_options *opt)
{
	bool dotted = strchr(opt->bucket, '.') != NULL;
	const char *host;

	if (opt->endpoint == NULL && dotted)
		return xasprintf("https://s3.%s.%s/%s", opt->region,
		    domain_of(opt->region), opt->bucket);
	if (opt->endpoint == NULL)
		return xasprintf("https://%s.s3.%s.%s", opt->bucket, opt->region,
		    domain_of(opt->region));
	host = strstr(opt->endpoint, "://");
	if (host == NULL || opt->path_style || dotted || host_is_address(host + 3))
		return xasprintf("%s/%s", opt->endpoint, opt->bucket);
	host += 3;
	return xasprintf("%.*s%s.%s", (int)(host - opt->endpoint), opt->endpoint,
	    opt->bucket, host);
}

static char *
copy_text(const char *text)
{
	return text != NULL ? xstrdup(text) : NULL;
}

int
s3_open(const struct s3_options *opt, struct s3 **ret, struct buf *why)
{
	AUTO(cleanup_s3_close) struct s3 *s = xcalloc(1, sizeof(*s));
	AUTO_FREE char *base = make_base(opt);
	struct http_client_options h = {
		.url = base,
		.ca_file = opt->ca_file,
		.credential = opt->credential,
		.proxy = opt->proxy,
		.rate = opt->rate,
		.stall_timeout_ms = opt->stall_timeout_ms,
	};
	int r;

	(void)pthread_mutex_init(&s->mu, NULL);
	s->bucket = xstrdup(opt->bucket);
	s->region = xstrdup(opt->region);
	s->prefix = xstrdup(opt->prefix != NULL ? opt->prefix : "");
	s->expected_owner = copy_text(opt->expected_owner);
	s->sse = copy_text(opt->sse);
	s->sse_key = copy_text(opt->sse_key);
	s->part_size = opt->part_size > 0 ? opt->part_size : S3_PART;
	s->amazon = opt->endpoint == NULL;
	atomic_init(&s->conditions, s->amazon ? S3_HONOURED : S3_UNTRIED);
	h.service = (struct http_service){ .name = "s3", .region = s->region,
		.s3_path = true };
	r = http_client_new(&h, &s->http, why);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(s);
	return 0;
}

void
s3_cancel(struct s3 *s)
{
	http_client_cancel(s->http);
}

void
s3_close(struct s3 *s)
{
	if (s == NULL)
		return;
	http_client_free(s->http);
	s3_unfinished_free(s);
	(void)pthread_mutex_destroy(&s->mu);
	free(s->bucket);
	free(s->region);
	free(s->prefix);
	free(s->expected_owner);
	free(s->sse);
	free(s->sse_key);
	free(s);
}

/* ---- bodies -------------------------------------------------------------- */

void
s3_use_memory(struct s3_request *q, struct http_memory *m, char sha256[static 65])
{
	sha256_hex(m->data, m->len, sha256);
	q->sha256 = sha256;
	q->length = m->len;
	q->body = http_memory_read;
	q->body_arg = m;
	q->rewind = http_memory_rewind;
}

static ssize_t
give_range(void *arg, void *data, size_t size)
{
	struct s3_range *g = arg;
	ssize_t n;

	if (size > g->length - g->at)
		size = (size_t)(g->length - g->at);
	n = instance_file_read(g->file, g->from + g->at, data, size);
	if (n > 0)
		g->at += (uint64_t)n;
	return n;
}

static int
rewind_range(void *arg)
{
	((struct s3_range *)arg)->at = 0;
	return 0;
}

void
s3_use_range(struct s3_request *q, struct s3_range *g, const char *sha256)
{
	q->sha256 = sha256;
	q->length = g->length;
	q->body = give_range;
	q->body_arg = g;
	q->rewind = rewind_range;
	q->large = true;
}

/* ---- one request --------------------------------------------------------- */

void
s3_add_header(struct s3_request *q, const char *name, const char *value)
{
	assert(q->n_headers < S3_HEADERS_MAX);
	q->headers[q->n_headers++] = (struct http_header){ name, value };
}

void
s3_add_encoded(struct buf *b, const char *text, bool slashes)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789-._~";

	for (; *text != '\0'; text++) {
		if (strchr(plain, *text) != NULL || (slashes && *text == '/'))
			(void)buf_add_char(b, *text);
		else
			(void)buf_printf(b, "%%%02X", (unsigned char)*text);
	}
}

static char *
make_path(const struct s3_request *q)
{
	struct buf b = BUF_INIT(16u << 10);

	(void)buf_add_char(&b, '/');
	if (q->key != NULL)
		s3_add_encoded(&b, q->key, true);
	if (q->query != NULL)
		(void)buf_printf(&b, "?%s", q->query);
	if (buf_error(&b) < 0)
		abort();	/* keys and queries are bounded */
	return buf_take(&b);
}

static void
send_once(struct s3 *s, const struct s3_request *q, struct s3_answer *a)
{
	struct s3_request signed_q = *q;
	AUTO_FREE char *path = make_path(q);
	struct http_request req = {
		.method = q->method,
		.path = path,
		.content_type = q->content_type,
		.headers = signed_q.headers,
		.sha256 = q->sha256,
		.urgent = q->urgent,
		.body_length = q->length,
		.body = q->body,
		.body_arg = q->body_arg,
		.body_rewind = q->rewind,
		.sink = q->sink,
		.sink_arg = q->sink_arg,
		.reply_max = q->reply_max > 0 ? q->reply_max : S3_REPLY_MAX,
		.deadline_ms = q->large ? CLOCK_NEVER :
		    clock_mono_ms() + S3_CALL_MS,
	};

	if (s->expected_owner != NULL)
		s3_add_header(&signed_q, "x-amz-expected-bucket-owner",
		    s->expected_owner);
	req.n_headers = signed_q.n_headers;
	(void)http_call(s->http, &req, &a->reply);
}

void
s3_answer_free(struct s3_answer *a)
{
	http_reply_free(&a->reply);
}

void
s3_tell(const struct s3_answer *a, struct destination_result *ret)
{
	if (a->health == DESTINATION_UP)
		return;
	ret->health = a->health;
	ret->retry_after_ms = a->retry_after_ms;
	(void)snprintf(ret->reason, sizeof(ret->reason), "%s", a->why);
}

static bool
is_success(const struct http_reply *r)
{
	return r->outcome == HTTP_ANSWERED && r->status >= 200 && r->status < 300;
}

static bool
rewind_request(const struct s3_request *q)
{
	return q->body == NULL || (q->rewind != NULL && q->rewind(q->body_arg) == 0);
}

enum s3_said
s3_call(struct s3 *s, const struct s3_request *q, struct s3_answer *a,
    struct destination_result *ret)
{
	for (bool repeated = false;; repeated = true) {
		*a = (struct s3_answer){ .said = S3_DONE, .retry_after_ms = -1 };
		send_once(s, q, a);
		ret->bytes += a->reply.sent_bytes;
		if (is_success(&a->reply))
			return S3_DONE;
		s3_judge(s, q, a);
		if (!a->again || repeated || !rewind_request(q))
			break;
		s3_answer_free(a);
	}
	if (a->said == S3_FAILED)
		s3_tell(a, ret);
	return a->said;
}
