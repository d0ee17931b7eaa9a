/* test_http_client.c - calls against a server that misbehaves: each outcome is
 * the right one, in time, and says what to do.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cmocka.h>

#include "gateway/base/clock.h"
#include "gateway/http/http.h"
#include "tests/unit/cloud_support.h"

static struct cloud plain;

struct body {
	uint64_t length, at;
	uint64_t fail_at;	/* 0: never */
	unsigned rewinds;
};

static ssize_t
give(void *arg, void *data, size_t size)
{
	struct body *b = arg;

	if (b->fail_at > 0 && b->at >= b->fail_at)
		return -EUCLEAN;
	if (size > b->length - b->at)
		size = (size_t)(b->length - b->at);
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

static struct http_client *
client_with(const char *url, const char *ca, int64_t stall_ms)
{
	struct http_client_options o = {
		.url = url,
		.ca_file = ca,
		.connect_timeout_ms = 1500,
		.stall_timeout_ms = stall_ms,
	};
	struct buf why = BUF_INIT(500);
	struct http_client *c;

	assert_int_equal(http_client_new(&o, &c, &why), 0);
	buf_free(&why);
	return c;
}

static struct http_client *
client_for(const char *url, const char *ca)
{
	return client_with(url, ca, 600);
}

static enum http_outcome
get(struct http_client *c, const char *path, struct http_reply *r)
{
	struct http_request req = { .method = "GET", .path = path,
		.deadline_ms = CLOCK_NEVER };

	(void)http_call(c, &req, r);
	return r->outcome;
}

static enum http_outcome
post(struct http_client *c, struct body *b, struct http_reply *r)
{
	struct http_request req = { .method = "POST", .path = "/upload",
		.content_type = "application/test", .body = give, .body_arg = b,
		.body_rewind = rewind_it, .body_length = b->length,
		.deadline_ms = CLOCK_NEVER };

	(void)http_call(c, &req, r);
	return r->outcome;
}

#define SAYS(reply, text)                                               \
	do {                                                            \
		if (strstr((reply).why, (text)) == NULL)                \
			fail_msg("\"%s\" lacks \"%s\"", (reply).why, text); \
	} while (0)

static void
test_answer_is_whole_and_connection_kept(void **state)
{
	struct http_client *c = client_for(plain.url, NULL);
	struct http_reply r;
	struct body b = { .length = 3000000 };

	(void)state;
	cloud_order(&plain, "{'script': [{'times': 2, 'path': '/kept', 'status': 200,"
	    " 'body': 'hello', 'headers': {'Content-Type': 'text/x'}},"
	    " {'path': '/upload', 'status': 200, 'chunked': true, 'body': 'ok'}]}");
	assert_int_equal(get(c, "/kept", &r), HTTP_ANSWERED);
	assert_int_equal(r.status, 200);
	assert_string_equal(r.body.data, "hello");
	assert_string_equal(r.content_type, "text/x");
	http_reply_free(&r);
	assert_int_equal(post(c, &b, &r), HTTP_ANSWERED);
	assert_string_equal(r.body.data, "ok");
	assert_int_equal(r.sent_bytes, 3000000);
	assert_false(r.answered_early);
	http_reply_free(&r);
	assert_int_equal(cloud_count(&plain, "'path': '/upload'"), 1);
	assert_int_equal(cloud_count(&plain, "'received': 3000000"), 1);
	assert_int_equal(cloud_count(&plain, "'expect': '"), 0);
	assert_int_equal(cloud_count(&plain, "'connection': 1"), 2);
	http_client_free(c);
}

static void
test_dead_kept_connection_is_replaced(void **state)
{
	struct http_client *c = client_for(plain.url, NULL);
	struct http_reply r;
	struct body b = { .length = 3000000 };

	(void)state;
	for (int i = 0; i < 5; i++) {
		cloud_order(&plain, "{'script': [{'times': 9, 'status': 200,"
		    " 'drop': true}]}");
		b.at = 0;
		/* A reset may arrive when part of the body has left: then it
		 * is told, and the next call has a connection of its own. */
		if (post(c, &b, &r) == HTTP_BROKEN) {
			http_reply_free(&r);
			b.at = 0;
			(void)post(c, &b, &r);
		}
		assert_int_equal(r.outcome, HTTP_ANSWERED);
		assert_int_equal(r.status, 200);
		http_reply_free(&r);
	}
	http_client_free(c);
}

static void
test_retry_after_is_understood(void **state)
{
	struct http_client *c = client_for(plain.url, NULL);
	struct http_reply r;

	(void)state;
	cloud_order(&plain, "{'script': ["
	    "{'status': 503, 'headers': {'Retry-After': '17'}},"
	    "{'status': 503, 'headers': {'Retry-After':"
	    " 'Fri, 31 Dec 2099 23:59:59 GMT'}},"
	    "{'status': 503, 'headers': {'Retry-After': 'soon'}},"
	    "{'status': 429}]}");
	assert_int_equal(get(c, "/", &r), HTTP_ANSWERED);
	assert_int_equal(r.retry_after_ms, 17000);
	SAYS(r, "503");
	http_reply_free(&r);
	(void)get(c, "/", &r);
	assert_true(r.retry_after_ms > INT64_C(86400000) * 365);
	http_reply_free(&r);
	(void)get(c, "/", &r);
	assert_int_equal(r.retry_after_ms, -1);
	http_reply_free(&r);
	(void)get(c, "/", &r);
	assert_int_equal(r.status, 429);
	assert_int_equal(r.retry_after_ms, -1);
	http_reply_free(&r);
	http_client_free(c);
}

static void
test_early_answer_is_read(void **state)
{
	static const char *const orders[] = {
		"{'script': [{'status': 413, 'early': true, 'linger': true}]}",
		"{'script': [{'status': 401, 'early': true, 'linger': true,"
		" 'body': 'who are you'}]}",
		"{'script': [{'status': 503, 'early': true,"
		" 'headers': {'Retry-After': '3'}}]}",
	};
	static const int statuses[] = { 413, 401, 503 };
	struct http_client *c = client_for(plain.url, NULL);
	struct body b = { .length = UINT64_C(1) << 30 };
	struct http_reply r;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(orders); i++) {
		cloud_order(&plain, orders[i]);
		b.at = 0;
		if (post(c, &b, &r) != HTTP_ANSWERED)
			fail_msg("%d: %s", statuses[i], r.why);
		assert_int_equal(r.status, statuses[i]);
		assert_true(r.answered_early);
		assert_true(r.sent_bytes < b.length);
		http_reply_free(&r);
	}
	http_client_free(c);
}

static void
test_breaks_are_told_from_answers(void **state)
{
	struct http_client *c = client_for(plain.url, NULL);
	struct body b = { .length = 50000000 };
	struct http_reply r;

	(void)state;
	cloud_order(&plain, "{'script': [{'reset_after': 100000},"
	    "{'status': 200, 'body': 'never comes whole', 'cut_reply': 45},"
	    "{'status': 200, 'cut_reply': 0}]}");
	assert_int_equal(post(c, &b, &r), HTTP_BROKEN);
	SAYS(r, "in the middle of the request");
	http_reply_free(&r);
	assert_int_equal(get(c, "/", &r), HTTP_BROKEN);
	SAYS(r, "broke off in its reply");
	http_reply_free(&r);
	assert_int_equal(get(c, "/", &r), HTTP_BROKEN);
	SAYS(r, "without an answer");
	http_reply_free(&r);
	http_client_free(c);
}

/* Its end stands in the socket as an answer would, and is none. */
static void
test_end_within_the_body_is_no_answer(void **state)
{
	struct http_client *c = client_for(plain.url, NULL);
	struct body b = { .length = 5000000 };
	struct http_reply r;

	(void)state;
	cloud_order(&plain, "{'script': [{'end_after': 100000, 'times': 2}]}");
	for (int i = 0; i < 2; i++) {
		b.at = 0;
		assert_int_equal(post(c, &b, &r), HTTP_BROKEN);
		SAYS(r, "without an answer");
		assert_true(r.elapsed_ms < 600);
		http_reply_free(&r);
	}
	http_client_free(c);
}

static void
test_silence_ends_by_our_clock(void **state)
{
	struct http_client *c = client_for(plain.url, NULL);
	struct body b = { .length = UINT64_C(1) << 30 };
	struct http_reply r;
	struct http_request req = { .method = "GET", .path = "/slow" };

	(void)state;
	cloud_order(&plain, "{'script': [{'hang': 'request'}, {'hang': 'answer'},"
	    "{'hang': 'reply', 'status': 200, 'body': 'half of this'},"
	    "{'hang': 'answer'}]}");
	assert_int_equal(post(c, &b, &r), HTTP_STALLED);
	SAYS(r, "stopped taking data");
	http_reply_free(&r);
	assert_int_equal(get(c, "/", &r), HTTP_STALLED);
	SAYS(r, "no answer");
	assert_in_range(r.elapsed_ms, 500, 3000);
	http_reply_free(&r);
	assert_int_equal(get(c, "/", &r), HTTP_STALLED);
	http_reply_free(&r);
	req.deadline_ms = clock_mono_ms() + 100;
	assert_int_equal(http_call(c, &req, &r), -ETIMEDOUT);
	assert_int_equal(r.outcome, HTTP_STALLED);
	assert_in_range(r.elapsed_ms, 90, 500);
	SAYS(r, "not done in time");
	http_reply_free(&r);
	http_client_free(c);
}

static int
swallow(void *arg, const void *data, size_t len)
{
	(void)data;
	*(size_t *)arg += len;
	return 0;
}

#define X50 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

/* It is never silent for long, and never comes to an end. */
static void
test_a_reply_that_drips_ends(void **state)
{
	struct http_client *c = client_with(plain.url, NULL, 50);
	struct body b = { .length = 3000 };
	size_t got = 0;
	struct http_request req = { .method = "GET", .path = "/", .sink = swallow,
		.sink_arg = &got };
	struct http_reply r;

	(void)state;
	cloud_order(&plain, "{'script': [{'times': -1, 'status': 200, 'drip_ms': 20,"
	    " 'body': '" X50 X50 X50 X50 X50 X50 "'}]}");
	assert_int_equal(get(c, "/", &r), HTTP_STALLED);
	SAYS(r, "its reply does not come to an end");
	assert_in_range(r.elapsed_ms, 1500, 4000);
	http_reply_free(&r);
	assert_int_equal(post(c, &b, &r), HTTP_STALLED);
	SAYS(r, "its reply does not come to an end");
	http_reply_free(&r);
	assert_int_equal(http_call(c, &req, &r), -ETIMEDOUT);
	assert_true(got > 20);
	http_reply_free(&r);
	http_client_free(c);
}

static void *
cancel_it(void *arg)
{
	/* The server tells in its log when it has begun to hang. */
	while (cloud_count(&plain, "'event': 'hang'") < 5)
		(void)sched_yield();
	http_client_cancel(arg);
	return NULL;
}

static void
test_cancel_ends_running_and_later_calls(void **state)
{
	struct http_client *c = client_for(plain.url, NULL);
	struct http_reply r;
	pthread_t thread;

	(void)state;
	cloud_order(&plain, "{'script': [{'hang': 'answer'}]}");
	assert_int_equal(pthread_create(&thread, NULL, cancel_it, c), 0);
	assert_int_equal(get(c, "/", &r), HTTP_CANCELED);
	http_reply_free(&r);
	(void)pthread_join(thread, NULL);
	assert_int_equal(get(c, "/", &r), HTTP_CANCELED);
	http_reply_free(&r);
	http_client_free(c);
}

static void
test_nobody_there(void **state)
{
	struct http_client *c;
	struct http_reply r;
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t len = sizeof(a);
	char url[64];
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)state;
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	(void)snprintf(url, sizeof(url), "http://127.0.0.1:%u",
	    ntohs(a.sin_port));
	c = client_for(url, NULL);
	assert_int_equal(get(c, "/", &r), HTTP_UNREACHABLE);
	SAYS(r, "refused");
	http_reply_free(&r);
	http_client_free(c);

	c = client_for("http://no-such-host.invalid/dicom-web", NULL);
	assert_int_equal(get(c, "/", &r), HTTP_UNREACHABLE);
	SAYS(r, "DNS");
	http_reply_free(&r);
	http_client_free(c);

	/* Connects (the backlog takes it) and never speaks TLS. */
	assert_int_equal(listen(fd, 5), 0);
	memcpy(url, "https", 5);
	(void)snprintf(url, sizeof(url), "https://127.0.0.1:%u",
	    ntohs(a.sin_port));
	c = client_for(url, NULL);
	assert_int_equal(get(c, "/", &r), HTTP_TLS);
	SAYS(r, "TLS handshake");
	http_reply_free(&r);
	http_client_free(c);
	(void)close(fd);
}

static void
test_our_side_gives_up(void **state)
{
	struct http_client *c = client_for(plain.url, NULL);
	struct body b = { .length = 5000000, .fail_at = 1000000 };
	struct http_reply r;
	struct http_request req = { .method = "GET", .path = "/", .reply_max = 10,
		.deadline_ms = CLOCK_NEVER };

	(void)state;
	assert_int_equal(post(c, &b, &r), HTTP_LOCAL);
	assert_int_equal(r.local, -EUCLEAN);
	http_reply_free(&r);
	b = (struct body){ .length = 1000 };
	cloud_order(&plain, "{'script': [{'method': 'GET', 'status': 200, "
	    "'body': '12345678901'}]}");
	assert_int_equal(http_call(c, &req, &r), -EIO);
	assert_int_equal(r.outcome, HTTP_BROKEN);
	SAYS(r, "longer than");
	http_reply_free(&r);
	http_client_free(c);
}

static int
count_sink(void *arg, const void *data, size_t len)
{
	size_t *n = arg;

	(void)data;
	*n += len;
	return *n > 5 ? -EXFULL : 0;
}

static void
test_sink_takes_good_replies_alone(void **state)
{
	struct http_client *c = client_for(plain.url, NULL);
	size_t n = 0;
	struct http_reply r;
	struct http_request req = { .method = "GET", .path = "/",
		.sink = count_sink, .sink_arg = &n, .deadline_ms = CLOCK_NEVER };

	(void)state;
	cloud_order(&plain, "{'script': [{'status': 404, 'body': 'not here'},"
	    "{'status': 200, 'body': 'five!'}, {'status': 200, 'body': 'too many'},"
	    "{'status': 302, 'headers': {'Location': '/elsewhere'}}]}");
	assert_int_equal(http_call(c, &req, &r), 0);
	assert_string_equal(r.body.data, "not here");
	assert_int_equal(n, 0);
	http_reply_free(&r);
	assert_int_equal(http_call(c, &req, &r), 0);
	assert_int_equal(n, 5);
	assert_int_equal(r.body.len, 0);
	http_reply_free(&r);
	assert_int_equal(http_call(c, &req, &r), -EXFULL);
	assert_int_equal(r.outcome, HTTP_LOCAL);
	http_reply_free(&r);
	assert_int_equal(http_call(c, &req, &r), 0);
	assert_int_equal(r.status, 302);
	SAYS(r, "somewhere else");
	http_reply_free(&r);
	assert_int_equal(cloud_count(&plain, "/elsewhere"), 0);
	http_client_free(c);
}

static void
test_bad_urls_are_refused(void **state)
{
	static const char *const urls[] = { "ftp://host/", "host", "", "http://" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		struct http_client_options o = { .url = urls[i] };
		struct buf why = BUF_INIT(500);
		struct http_client *c;

		assert_int_equal(http_client_new(&o, &c, &why), -EINVAL);
		assert_non_null(strstr(why.data, "url"));
		buf_free(&why);
	}
}

static void
test_plain_http_is_warned_of(void **state)
{
	static const struct { const char *url; bool warned; } urls[] = {
		{ "http://pacs.example.org/dicom-web", true },
		{ "http://127.example.org/", true },
		{ "http://localhost.example.org/", true },
		{ "http://localhost:8042/", false }, { "http://127.0.0.1/", false },
		{ "http://[::1]:80/", false }, { "https://pacs.example.org/", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		struct http_client_options o = { .url = urls[i].url };
		struct buf why = BUF_INIT(500);
		struct http_client *c;

		assert_int_equal(http_client_new(&o, &c, &why), 0);
		assert_int_equal(why.len > 0, urls[i].warned);
		buf_free(&why);
		http_client_free(c);
	}
}

static int
start_plain(void **state)
{
	(void)state;
	cloud_start(&plain, NULL, false);
	return http_global_init();
}

static int
stop_plain(void **state)
{
	(void)state;
	cloud_stop(&plain);
	cloud_remove_dir(cloud_certs);
	http_global_cleanup();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answer_is_whole_and_connection_kept),
		cmocka_unit_test(test_dead_kept_connection_is_replaced),
		cmocka_unit_test(test_retry_after_is_understood),
		cmocka_unit_test(test_early_answer_is_read),
		cmocka_unit_test(test_breaks_are_told_from_answers),
		cmocka_unit_test(test_end_within_the_body_is_no_answer),
		cmocka_unit_test(test_silence_ends_by_our_clock),
		cmocka_unit_test(test_a_reply_that_drips_ends),
		cmocka_unit_test(test_cancel_ends_running_and_later_calls),
		cmocka_unit_test(test_nobody_there),
		cmocka_unit_test(test_our_side_gives_up),
		cmocka_unit_test(test_sink_takes_good_replies_alone),
		cmocka_unit_test(test_bad_urls_are_refused),
		cmocka_unit_test(test_plain_http_is_warned_of),
	};

	return cmocka_run_group_tests(tests, start_plain, stop_plain);
}
