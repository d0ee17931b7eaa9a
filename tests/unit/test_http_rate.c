/* test_http_rate.c - bodies that leave at a rate: one total, no stall of ours, urgent
 * ones first, and nothing at all when it is closed.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/base/clock.h"
#include "gateway/http/http.h"
#include "tests/unit/cloud_support.h"

#define SENDERS 4

static struct cloud plain;

struct sender {
	struct http_client *c;
	struct http_reply   reply;
	uint64_t	    length;
	_Atomic uint64_t    at;
	bool		    urgent;
	int64_t		    ended_ms;
};

static ssize_t
give(void *arg, void *data, size_t size)
{
	struct sender *s = arg;

	if (size > s->length - s->at)
		size = (size_t)(s->length - s->at);
	memset(data, 'x', size);
	s->at += size;
	return (ssize_t)size;
}

static void *
send_one(void *arg)
{
	struct sender *s = arg;
	struct http_request req = { .method = "POST", .path = "/upload",
		.body = give, .body_arg = s, .body_length = s->length,
		.urgent = s->urgent };

	(void)http_call(s->c, &req, &s->reply);
	s->ended_ms = clock_mono_ms();
	return NULL;
}

static struct http_client *
client_at(struct rate *rate, int64_t stall_ms)
{
	struct http_client_options o = { .url = plain.url, .rate = rate,
		.stall_timeout_ms = stall_ms };
	struct buf why = BUF_INIT(500);
	struct http_client *c;

	assert_int_equal(http_client_new(&o, &c, &why), 0);
	buf_free(&why);
	return c;
}

static void
test_many_share_one_rate(void **state)
{
	struct rate *rate = rate_new();
	struct http_client *c = client_at(rate, 3000);
	struct sender s[SENDERS];
	pthread_t threads[SENDERS];
	int64_t began = clock_mono_ms(), last = 0;

	(void)state;
	cloud_order(&plain, "{'script': [{'times': -1, 'status': 200}]}");
	rate_set(rate, 1000000);
	for (size_t i = 0; i < SENDERS; i++) {
		s[i] = (struct sender){ .c = c, .length = 400000 };
		assert_int_equal(pthread_create(&threads[i], NULL, send_one, &s[i]),
		    0);
	}
	for (size_t i = 0; i < SENDERS; i++) {
		(void)pthread_join(threads[i], NULL);
		assert_int_equal(s[i].reply.outcome, HTTP_ANSWERED);
		assert_int_equal(s[i].reply.sent_bytes, 400000);
		last = s[i].ended_ms > last ? s[i].ended_ms : last;
		http_reply_free(&s[i].reply);
	}
	/* 1.6 MB; the machine may be slow, the rate not. */
	assert_true(last - began > 1500);
	assert_true(last - began < 4000);
	http_client_free(c);
	rate_free(rate);
}

static void
test_waiting_for_the_rate_is_no_stall(void **state)
{
	struct rate *rate = rate_new();
	struct http_client *c = client_at(rate, 100);
	struct sender s = { .c = c, .length = 8000 };

	(void)state;
	cloud_order(&plain, "{'script': [{'times': -1, 'status': 200}]}");
	/* A portion takes longer than the patience with the peer. */
	rate_set(rate, 5000);
	(void)send_one(&s);
	assert_int_equal(s.reply.outcome, HTTP_ANSWERED);
	assert_true(s.reply.elapsed_ms > 1000);
	http_reply_free(&s.reply);
	http_client_free(c);
	rate_free(rate);
}

static void
test_answers_are_seen_while_waiting(void **state)
{
	struct rate *rate = rate_new();
	struct http_client *c = client_at(rate, 5000);
	struct sender s = { .c = c, .length = UINT64_C(1) << 30 };

	(void)state;
	cloud_order(&plain, "{'script': [{'status': 413, 'early': true,"
	    " 'linger': true}]}");
	rate_set(rate, 1000);
	(void)send_one(&s);
	assert_int_equal(s.reply.outcome, HTTP_ANSWERED);
	assert_int_equal(s.reply.status, 413);
	assert_true(s.reply.answered_early);
	assert_true(s.reply.elapsed_ms < 4000);
	http_reply_free(&s.reply);
	http_client_free(c);
	rate_free(rate);
}

static void
wait_until_sent(struct sender *s, uint64_t bytes)
{
	while (s->at < bytes)
		(void)sched_yield();
}

static void
test_closing_ends_what_is_sent(void **state)
{
	struct rate *rate = rate_new();
	struct http_client *c = client_at(rate, 5000);
	struct sender s = { .c = c, .length = 100000 };
	struct http_request get = { .method = "GET", .path = "/" };
	struct http_reply r;
	pthread_t thread;
	int64_t closed;

	(void)state;
	cloud_order(&plain, "{'script': [{'times': -1, 'status': 200}]}");
	rate_set(rate, 10000);
	assert_int_equal(pthread_create(&thread, NULL, send_one, &s), 0);
	wait_until_sent(&s, 2000);
	rate_set_closed(rate, true);
	closed = clock_mono_ms();
	(void)pthread_join(thread, NULL);
	assert_int_equal(s.reply.outcome, HTTP_CANCELED);
	assert_non_null(strstr(s.reply.why, "outside of its hours"));
	assert_true(s.ended_ms - closed < 2000);
	http_reply_free(&s.reply);

	/* Nor does another begin; but asking is no sending. */
	s.at = 0;
	(void)send_one(&s);
	assert_int_equal(s.reply.outcome, HTTP_CANCELED);
	assert_int_equal(s.at, 0);
	http_reply_free(&s.reply);
	assert_int_equal(http_call(c, &get, &r), 0);
	http_reply_free(&r);
	http_client_free(c);
	rate_free(rate);
}

/* 33 */
static void
test_urgent_overtakes(void **state)
{
	struct rate *rate = rate_new();
	struct http_client *c = client_at(rate, 500);
	struct sender other = { .c = c, .length = 3000000 };
	struct sender urgent = { .c = c, .length = 1000000, .urgent = true };
	pthread_t threads[2];
	uint64_t before;

	(void)state;
	cloud_order(&plain, "{'script': [{'times': -1, 'status': 200}]}");
	rate_set(rate, 1000000);
	assert_int_equal(pthread_create(&threads[0], NULL, send_one, &other), 0);
	wait_until_sent(&other, 100000);
	assert_int_equal(pthread_create(&threads[1], NULL, send_one, &urgent), 0);
	wait_until_sent(&urgent, 1);
	before = other.at;
	wait_until_sent(&urgent, urgent.length);
	/* One portion may have been under way. */
	assert_true(other.at - before <= 128u << 10);
	(void)pthread_join(threads[1], NULL);
	(void)pthread_join(threads[0], NULL);
	assert_int_equal(urgent.reply.outcome, HTTP_ANSWERED);
	assert_int_equal(other.reply.outcome, HTTP_ANSWERED);
	assert_true(urgent.ended_ms < other.ended_ms);
	http_reply_free(&urgent.reply);
	http_reply_free(&other.reply);
	http_client_free(c);
	rate_free(rate);
}

/* A transfer that ends in the middle does not count as urgent for ever. */
static void
test_urgent_that_fails_holds_nobody_up(void **state)
{
	struct rate *rate = rate_new();
	struct http_client *c = client_at(rate, 500);
	struct sender urgent = { .c = c, .length = 50000000, .urgent = true };
	struct sender other = { .c = c, .length = 1000000 };

	(void)state;
	cloud_order(&plain, "{'script': [{'reset_after': 100000},"
	    " {'times': -1, 'status': 200}]}");
	(void)send_one(&urgent);
	assert_int_equal(urgent.reply.outcome, HTTP_BROKEN);
	(void)send_one(&other);
	assert_int_equal(other.reply.outcome, HTTP_ANSWERED);
	assert_true(other.reply.elapsed_ms < 5000);
	http_reply_free(&urgent.reply);
	http_reply_free(&other.reply);
	http_client_free(c);
	rate_free(rate);
}

static int
set_up(void **state)
{
	(void)state;
	cloud_start(&plain, NULL, false);
	return http_global_init();
}

static int
tear_down(void **state)
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
		cmocka_unit_test(test_many_share_one_rate),
		cmocka_unit_test(test_waiting_for_the_rate_is_no_stall),
		cmocka_unit_test(test_answers_are_seen_while_waiting),
		cmocka_unit_test(test_closing_ends_what_is_sent),
		cmocka_unit_test(test_urgent_overtakes),
		cmocka_unit_test(test_urgent_that_fails_holds_nobody_up),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
