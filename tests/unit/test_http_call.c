/* test_http_call.c - what leaves is what is signed; answers' heads; when a call is
 * tried once more, and when not.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "gateway/base/clock.h"
#include "gateway/base/log.h"
#include "gateway/http/aws_int.h"
#include "tests/unit/http_peer.h"

static struct peer peer;

#define SAYS(reply, text)                                               \
	do {                                                            \
		if (strstr((reply).why, (text)) == NULL)                \
			fail_msg("\"%s\" lacks \"%s\"", (reply).why, text); \
	} while (0)

/* ---- a credential that looks on ------------------------------------------ */

static struct {
	char	 host[300], path[300], query[300];
	int64_t	 now_ms;
	unsigned applied, refreshed;
	bool	 fresh;		/* what refresh says */
} seen;

static int
apply_seen(void *cred, const struct http_signing *s, struct http_headers *h,
    struct buf *why)
{
	(void)cred;
	(void)why;
	(void)snprintf(seen.host, sizeof(seen.host), "%s", s->host);
	(void)snprintf(seen.path, sizeof(seen.path), "%s", s->path);
	(void)snprintf(seen.query, sizeof(seen.query), "%s", s->query);
	seen.now_ms = s->now_ms;
	seen.applied++;
	return http_headers_add(h, "Authorization", "Test secret-of-ours");
}

static bool
refresh_seen(void *cred, const struct http_reply *r)
{
	(void)cred;
	(void)r;
	seen.refreshed++;
	return seen.fresh;
}

static const struct http_credential_kind kind_seen = {
	.config = { .name = "seen" },
	.apply = apply_seen,
	.refresh = refresh_seen,
};
static struct http_credential credential = { .kind = &kind_seen };

static struct http_client *
client_to(const char *url, const struct config_proxy *proxy)
{
	struct http_client_options o = {
		.url = url,
		.credential = &credential,
		.proxy = proxy,
		.service = { "s3", "us-east-1", true },
		.connect_timeout_ms = 3000,
		.stall_timeout_ms = 3000,
	};
	struct buf why = BUF_INIT(500);
	struct http_client *c;

	memset(&seen, 0, sizeof(seen));
	assert_int_equal(http_client_new(&o, &c, &why), 0);
	buf_free(&why);
	return c;
}

static void
call(struct http_client *c, const char *method, const char *path,
    struct http_reply *r)
{
	struct http_request req = { .method = method, .path = path };

	(void)http_call(c, &req, r);
}

/* ---- what is sent -------------------------------------------------------- */

static void
test_what_is_signed_is_what_is_sent(void **state)
{
	static const struct { const char *base, *path, *wire, *query; } cases[] = {
		{ "", "", "/", "" },
		{ "", "/a", "/a", "" },
		{ "/", "/a?b", "/a", "b" },
		{ "/base/x", "/a%20b/./c?d=%2F&e", "/base/x/a%20b/./c", "d=%2F&e" },
		{ "/base//", "", "/base", "" },
		{ "/base", "/../b//c?", "/base/../b//c", "" },
	};
	struct http_reply r;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_FREE char *url = xasprintf("%s%s", peer.url, cases[i].base);
		AUTO_FREE char *line = NULL;
		struct http_client *c;

		peer_clear(&peer);
		peer.answer[0] = PEER_OK;
		c = client_to(url, NULL);
		call(c, "GET", cases[i].path, &r);
		assert_int_equal(r.status, 200);
		http_reply_free(&r);
		http_client_free(c);
		assert_string_equal(seen.path, cases[i].wire);
		assert_string_equal(seen.query, cases[i].query);
		line = xasprintf("GET %s%s%s HTTP/1.1\r\n", seen.path,
		    strchr(cases[i].path, '?') != NULL ? "?" : "", seen.query);
		assert_int_equal(strncmp(peer.head[0], line, strlen(line)), 0);
		assert_string_equal(peer_header(&peer, 0, "Host"), seen.host);
	}
}

/* Through a proxy, since the ports that have no number are not for tests. */
static void
test_host_is_signed_as_it_is_sent(void **state)
{
	static const char *const urls[] = { "http://Bucket.Example.ORG/base",
		"http://example.org:80", "http://example.org:8080",
		"http://[::1]", "http://[::1]:8080", "http://10.0.0.1" };
	struct config_proxy proxy = { .url = peer.url };
	struct http_reply r;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		struct http_client *c = client_to(urls[i], &proxy);

		peer_clear(&peer);
		peer.answer[0] = PEER_OK;
		call(c, "GET", "/a", &r);
		assert_int_equal(r.status, 200);
		http_reply_free(&r);
		http_client_free(c);
		assert_string_equal(peer_header(&peer, 0, "Host"), seen.host);
	}
}

static void
test_headers_are_sent(void **state)
{
	struct http_header headers[] = { { "x-amz-meta-a", " b " },
		{ "X-Empty", "" }, { "If-None-Match", "*" } };
	struct http_request req = { .method = "GET", .path = "/", .headers = headers,
		.n_headers = 3, .accept = "a/b" };
	struct http_client *c = client_to(peer.url, NULL);
	struct http_reply r;

	(void)state;
	peer_clear(&peer);
	peer.answer[0] = PEER_OK;
	assert_int_equal(http_call(c, &req, &r), 0);
	assert_string_equal(peer_header(&peer, 0, "x-amz-meta-a"), "b ");
	assert_string_equal(peer_header(&peer, 0, "X-Empty"), "");
	assert_string_equal(peer_header(&peer, 0, "If-None-Match"), "*");
	assert_string_equal(peer_header(&peer, 0, "Accept"), "a/b");
	assert_string_equal(peer_header(&peer, 0, "Authorization"),
	    "Test secret-of-ours");
	http_reply_free(&r);
	http_client_free(c);
}

static void
test_what_would_forge_a_request_is_not_sent(void **state)
{
	static const struct { const char *path, *name, *value; } cases[] = {
		{ "/", "A", "b\r\nC: d" }, { "/", "A\nB", "c" }, { "/", "", "c" },
		{ "/", "A:", "c" }, { "/", "A", "\x7f" }, { "/a b", "A", "b" },
		{ "/a\r\nB: c", "A", "b" }, { "/a#b", "A", "b" },
		{ "/\xc3\xa4", "A", "b" },
	};
	struct http_client *c = client_to(peer.url, NULL);
	struct http_reply r;

	(void)state;
	peer_clear(&peer);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct http_header h = { cases[i].name, cases[i].value };
		struct http_request req = { .method = "GET",
			.path = cases[i].path, .headers = &h, .n_headers = 1 };

		assert_int_equal(http_call(c, &req, &r), -EINVAL);
		assert_int_equal(r.outcome, HTTP_LOCAL);
		http_reply_free(&r);
	}
	assert_int_equal(peer_count(&peer), 0);
	http_client_free(c);
}

static ssize_t
give_nothing(void *arg, void *buf, size_t size)
{
	(void)arg;
	(void)buf;
	(void)size;
	return -EPROTO;
}

static void
test_methods_without_bytes(void **state)
{
	static const struct { const char *method; bool body, length; } cases[] = {
		{ "PUT", true, true }, { "PUT", false, true }, { "POST", true, true },
		{ "POST", false, true }, { "DELETE", false, false },
		{ "HEAD", false, false }, { "GET", false, false },
	};
	struct http_client *c = client_to(peer.url, NULL);
	struct http_reply r;

	(void)state;
	peer_clear(&peer);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct http_request req = { .method = cases[i].method, .path = "/k",
			.body = cases[i].body ? give_nothing : NULL };
		bool head = strcmp(cases[i].method, "HEAD") == 0;

		peer.answer[i] = head ? "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n"
		    "ETag: \"x\"\r\n\r\n" : PEER_OK;
		assert_int_equal(http_call(c, &req, &r), 0);
		assert_int_equal(r.status, 200);
		assert_true(r.elapsed_ms < 900);
		assert_false(r.answered_early);
		http_reply_free(&r);
		assert_int_equal(strncmp(peer.head[i], cases[i].method,
		    strlen(cases[i].method)), 0);
		if (cases[i].length)
			assert_string_equal(peer_header(&peer, i,
			    "Content-Length"), "0");
		else
			assert_null(peer_header(&peer, i, "Content-Length"));
		assert_null(peer_header(&peer, i, "Content-Type"));
		assert_null(peer_header(&peer, i, "Expect"));
		assert_null(peer_header(&peer, i, "Transfer-Encoding"));
	}
	http_client_free(c);
}

/* ---- the head of an answer ----------------------------------------------- */

static void
test_headers_of_the_answer(void **state)
{
	struct http_client *c = client_to(peer.url, NULL);
	struct http_reply r;
	char value[16];

	(void)state;
	peer_clear(&peer);
	peer.answer[0] = "HTTP/1.1 100 Continue\r\nX-First: no\r\n\r\n"
	    "HTTP/1.1 200 OK\r\nETag:  \"abc\" \t\r\nx-amz-bucket-region:eu-west-1\r\n"
	    "X-Twice: 1\r\nX-Twice: 2\r\nX-Long: 0123456789abcdef\r\nX-Empty:\r\n"
	    "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Trailer: late\r\n\r\n";
	call(c, "GET", "/", &r);
	assert_true(http_reply_header(&r, "etag", value, sizeof(value)));
	assert_string_equal(value, "\"abc\"");
	assert_true(http_reply_header(&r, "X-Amz-Bucket-Region", value,
	    sizeof(value)));
	assert_string_equal(value, "eu-west-1");
	assert_true(http_reply_header(&r, "X-Twice", value, sizeof(value)));
	assert_string_equal(value, "1");
	assert_true(http_reply_header(&r, "X-Empty", value, sizeof(value)));
	assert_string_equal(value, "");
	assert_false(http_reply_header(&r, "X-Long", value, sizeof(value)));
	assert_string_equal(value, "");
	assert_false(http_reply_header(&r, "X-First", value, sizeof(value)));
	assert_false(http_reply_header(&r, "X-Trailer", value, sizeof(value)));
	assert_false(http_reply_header(&r, "X-Lon", value, sizeof(value)));
	assert_string_equal(r.body.data, "ok");
	http_reply_free(&r);
	http_client_free(c);
}

static void
test_a_long_head_is_cut(void **state)
{
	struct http_client *c = client_to(peer.url, NULL);
	struct buf answer = BUF_INIT(100000);
	struct http_reply r;
	char value[16];

	(void)state;
	(void)buf_add_str(&answer, "HTTP/1.1 200 OK\r\nETag: x\r\n");
	for (int i = 0; i < 500; i++)
		(void)buf_printf(&answer, "X-%d: %0100d\r\n", i, i);
	(void)buf_add_str(&answer, "X-Last: y\r\nContent-Length: 2\r\n\r\nok");
	assert_int_equal(buf_error(&answer), 0);
	peer_clear(&peer);
	peer.answer[0] = answer.data;
	call(c, "GET", "/", &r);
	assert_int_equal(r.outcome, HTTP_ANSWERED);
	assert_string_equal(r.body.data, "ok");
	assert_true(r.head.len <= HTTP_HEAD_MAX);
	assert_true(http_reply_header(&r, "ETag", value, sizeof(value)));
	assert_false(http_reply_header(&r, "X-Last", value, sizeof(value)));
	http_reply_free(&r);
	http_client_free(c);
	buf_free(&answer);
}

/* ---- a clock that is off ------------------------------------------------- */

static unsigned warnings;

static void
count_warning(void *arg, const char *line)
{
	(void)arg;
	if (strstr(line, "59 min slow") != NULL)
		warnings++;
}

static char *
answer_at(int64_t wall_ms, int status, const char *more, const char *body)
{
	time_t when = (time_t)(wall_ms / 1000);
	struct tm tm;
	char date[64];

	(void)strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT",
	    gmtime_r(&when, &tm));
	return xasprintf("HTTP/1.1 %d X\r\nDate: %s\r\n%sContent-Length: %zu\r\n\r\n%s",
	    status, date, more, strlen(body), body);
}

#define HOUR_LESS INT64_C(3540000)
#define SKEWED_XML "<Error><Code>RequestTimeTooSkewed</Code><Message>m</Message></Error>"

static void
assert_near(int64_t ms, int64_t wanted_ms)
{
	if (ms < wanted_ms - 5000 || ms > wanted_ms + 5000)
		fail_msg("%lld ms off", (long long)(ms - wanted_ms));
}

static void
test_clock_of_the_server_is_taken(void **state)
{
	int64_t now = clock_wall_ms();
	AUTO_FREE char *refused = answer_at(now + HOUR_LESS, 403, "", SKEWED_XML);
	AUTO_FREE char *good = answer_at(now + HOUR_LESS, 200, "", "");
	AUTO_FREE char *denied = answer_at(now + HOUR_LESS, 403, "", "");
	AUTO_FREE char *set = answer_at(now + 3000, 403, "", "");
	struct http_client *c = client_to(peer.url, NULL);
	struct http_reply r;

	(void)state;
	peer_clear(&peer);
	peer.answer[0] = refused;
	peer.answer[1] = good;
	peer.answer[2] = refused;
	peer.answer[3] = denied;
	peer.answer[4] = set;
	warnings = 0;
	log_capture(count_warning, NULL);
	call(c, "GET", "/", &r);
	assert_int_equal(r.status, 200);
	assert_int_equal(seen.applied, 2);
	assert_near(seen.now_ms, now + HOUR_LESS);
	http_reply_free(&r);

	/* The clock is known: what is refused now is refused. */
	call(c, "GET", "/", &r);
	assert_int_equal(r.status, 403);
	assert_int_equal(seen.applied, 3);
	SAYS(r, "this machine's clock is 59 min slow");
	http_reply_free(&r);
	call(c, "GET", "/", &r);
	SAYS(r, "59 min slow");
	http_reply_free(&r);
	assert_int_equal(warnings, 1);

	call(c, "GET", "/", &r);
	assert_near(http_client_now_ms(c), now);
	assert_null(strstr(r.why, "slow"));
	http_reply_free(&r);
	log_capture(NULL, NULL);
	http_client_free(c);
}

/* A HEAD tells no reason. */
static void
test_clock_is_guessed_without_a_reason(void **state)
{
	int64_t now = clock_wall_ms();
	AUTO_FREE char *refused = answer_at(now - 86400000, 403, "", "");
	struct http_client *c = client_to(peer.url, NULL);
	struct http_reply r;

	(void)state;
	peer_clear(&peer);
	peer.answer[0] = peer.answer[1] = refused;
	log_capture(count_warning, NULL);
	call(c, "GET", "/", &r);
	log_capture(NULL, NULL);
	assert_int_equal(r.status, 403);
	assert_int_equal(seen.applied, 2);
	SAYS(r, "24 h fast");
	http_reply_free(&r);
	http_client_free(c);
}

static void
test_dates_that_are_not_believed(void **state)
{
	int64_t now = clock_wall_ms();
	AUTO_FREE char *cached = answer_at(now - HOUR_LESS, 200, "Age: 3540\r\n", "");
	AUTO_FREE char *old = answer_at(0, 200, "", "");
	struct http_client *c = client_to(peer.url, NULL);
	struct http_reply r;

	(void)state;
	peer_clear(&peer);
	peer.answer[0] = cached;
	peer.answer[1] = old;
	peer.answer[2] = "HTTP/1.1 200 OK\r\nDate: soon\r\nContent-Length: 0\r\n\r\n";
	peer.answer[3] = PEER_OK;
	for (int i = 0; i < 4; i++) {
		call(c, "GET", "/", &r);
		assert_near(http_client_now_ms(c), now);
		http_reply_free(&r);
	}
	http_client_free(c);
}

/* ---- once more with a fresh credential ----------------------------------- */

struct body { size_t at, rewinds; };

static ssize_t
give(void *arg, void *data, size_t size)
{
	struct body *b = arg;

	size = size < 10 - b->at ? size : 10 - b->at;
	memset(data, 'x', size);
	b->at += size;
	return (ssize_t)size;
}

static int
rewind_it(void *arg)
{
	struct body *b = arg;

	b->at = 0;
	b->rewinds++;
	return 0;
}

static void
test_refused_is_tried_once_more(void **state)
{
	static const struct { int status; bool asked; } cases[] = { { 400, true },
		{ 401, true }, { 403, true }, { 404, false }, { 409, false },
		{ 500, false } };
	struct http_reply r;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct http_client *c = client_to(peer.url, NULL);
		struct body b = { 0 };
		struct http_request req = { .method = "PUT", .path = "/",
			.body = give, .body_arg = &b, .body_length = 10,
			.body_rewind = rewind_it };
		AUTO_FREE char *no = xasprintf("HTTP/1.1 %d X\r\nContent-Length: 0"
		    "\r\n\r\n", cases[i].status);

		peer_clear(&peer);
		for (size_t k = 0; k < 6; k++)
			peer.answer[k] = no;
		(void)http_call(c, &req, &r);
		assert_int_equal(seen.refreshed, cases[i].asked);
		assert_int_equal(seen.applied, 1);
		http_reply_free(&r);

		seen.refreshed = seen.applied = 0;
		seen.fresh = true;
		b = (struct body){ 0 };
		(void)http_call(c, &req, &r);
		assert_int_equal(r.status, cases[i].status);
		assert_int_equal(seen.refreshed, cases[i].asked);
		assert_int_equal(seen.applied, cases[i].asked ? 2 : 1);
		assert_int_equal(b.rewinds, cases[i].asked ? 1 : 0);
		http_reply_free(&r);

		/* A body that cannot be had again is not sent again. */
		req.body_rewind = NULL;
		b = (struct body){ 0 };
		seen.applied = 0;
		(void)http_call(c, &req, &r);
		assert_int_equal(seen.applied, 1);
		http_reply_free(&r);
		http_client_free(c);
	}
}

static int
set_up(void **state)
{
	(void)state;
	peer_start(&peer);
	return http_global_init();
}

static int
tear_down(void **state)
{
	(void)state;
	peer_stop(&peer);
	http_global_cleanup();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_signed_is_what_is_sent),
		cmocka_unit_test(test_host_is_signed_as_it_is_sent),
		cmocka_unit_test(test_headers_are_sent),
		cmocka_unit_test(test_what_would_forge_a_request_is_not_sent),
		cmocka_unit_test(test_methods_without_bytes),
		cmocka_unit_test(test_headers_of_the_answer),
		cmocka_unit_test(test_a_long_head_is_cut),
		cmocka_unit_test(test_clock_of_the_server_is_taken),
		cmocka_unit_test(test_clock_is_guessed_without_a_reason),
		cmocka_unit_test(test_dates_that_are_not_believed),
		cmocka_unit_test(test_refused_is_tried_once_more),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
