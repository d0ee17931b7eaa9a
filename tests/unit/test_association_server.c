/* test_association_server.c - a listening server against peers that do nothing,
 * too little, too much, or something else.
 */
#include <errno.h>
#include <dirent.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway/base/cleanup.h"
#include "tests/unit/dimse_client.h"
#include "tests/unit/dimse_rig.h"

static const struct client_context verification[] = {
	{ DICOM_UID_VERIFICATION, { DICOM_UID_IMPLICIT_LE } },
};

/* A service that accepts everything, remembers what it was asked and what it was
 * sent, and answers each whole message part with as many bytes. */
static struct {
	pthread_mutex_t mu;
	struct assoc_request request;
	struct assoc_context first;
	unsigned n_first_syntaxes;
	char	 last_syntax[DICOM_UID_MAX + 1];
	char	 trail[1024];		/* "c1:5 d1:0." : command, context, bytes */
	size_t	 answer;
	int64_t	 message_ms, idle_ms;
	int	 result;
	char	 reason[200];
} seen = { .mu = PTHREAD_MUTEX_INITIALIZER };

static void
note_request(const struct assoc_request *rq)
{
	LOCK_SCOPE(&seen.mu);
	seen.request = *rq;
	seen.first = rq->contexts[0];
	seen.n_first_syntaxes = rq->contexts[0].n_syntaxes;
	(void)snprintf(seen.last_syntax, sizeof(seen.last_syntax), "%s",
	    rq->contexts[0].syntaxes[seen.n_first_syntaxes - 1]);
}

static void
note_part(const struct assoc_pdv *pdv)
{
	size_t at;
	LOCK_SCOPE(&seen.mu);

	at = strlen(seen.trail);
	(void)snprintf(seen.trail + at, sizeof(seen.trail) - at, "%c%u:%zu%s ",
	    pdv->command ? 'c' : 'd', pdv->context, pdv->len,
	    pdv->last ? "." : "");
}

static int
serve_parts(struct assoc *a)
{
	static const char zero[256 * 1024];
	struct assoc_pdv pdv = { .last = true };
	int r;

	for (;;) {
		r = assoc_read(a, !pdv.last, &pdv);
		if (r == 1)
			return assoc_release(a);
		if (r < 0)
			return r;
		note_part(&pdv);
		if (pdv.last && seen.answer > 0)
			(void)assoc_write(a, pdv.context, true, zero, seen.answer);
	}
}

static void
serve(void *arg, struct assoc *a)
{
	const struct assoc_request *rq = assoc_request(a);
	struct assoc_answer answers[ASSOC_CONTEXTS_MAX] = { 0 };
	int r;

	(void)arg;
	note_request(rq);
	for (unsigned i = 0; i < rq->n_contexts; i++)
		answers[i].syntax = rq->contexts[i].syntaxes[0];
	if (seen.message_ms != 0)
		assoc_set_timeouts(a, seen.message_ms, seen.idle_ms);
	r = assoc_accept(a, answers);
	if (r == 0)
		r = serve_parts(a);
	(void)pthread_mutex_lock(&seen.mu);
	seen.result = r;
	(void)snprintf(seen.reason, sizeof(seen.reason), "%s", assoc_reason(a));
	(void)pthread_mutex_unlock(&seen.mu);
}

static int
forget(void **state)
{
	(void)state;
	seen.trail[0] = '\0';
	seen.reason[0] = '\0';
	seen.answer = 0;
	seen.message_ms = seen.idle_ms = 0;
	seen.result = 99;
	return 0;
}

static struct client_request
simple_request(void)
{
	return (struct client_request){ .calling = "RAW", .called = "CAUSEWAY",
		.application = "1.2.840.10008.3.1.1.1", .max_pdu = 16384,
		.contexts = verification, .n = 1 };
}

static int
open_association(struct rig *r)
{
	struct client_request rq = simple_request();
	uint8_t body[4096];
	unsigned type;
	size_t len;
	int fd = client_associate(r->port, &rq, &type, body, sizeof(body), &len);

	assert_int_equal(type, C_AC);
	return fd;
}

static unsigned
count_descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(d) != NULL)
		n++;
	(void)closedir(d);
	return n;
}

static void
wait_result(struct rig *r)
{
	assert_true(rig_wait_running(r, 0));
}

/* ---- ------------------------------------------------------------------------ */

static void
test_request_is_described(void **state)
{
	static const char items[] = "\x54\0\0\x15\0\x11" "1.2.840.10008.1.1" "\1\1"
	    "\x53\0\0\4\0\0\0\0" "\x58\0\0\7\2\0\0\1u\0\0";
	struct client_request rq = simple_request();
	struct rig r;
	uint8_t body[4096];
	unsigned type;
	size_t len;
	int fd;

	(void)state;
	rig_start(&r, NULL, NULL, serve, NULL);
	rq.items = items;
	rq.items_len = sizeof(items) - 1;
	fd = client_associate(r.port, &rq, &type, body, sizeof(body), &len);
	assert_int_equal(type, C_AC);
	assert_true(client_release(fd));
	wait_result(&r);
	assert_int_equal(seen.result, 0);
	assert_string_equal(seen.request.calling, "RAW");
	assert_string_equal(seen.request.called, "CAUSEWAY");
	assert_string_equal(seen.request.address, "127.0.0.1");
	assert_string_equal(seen.request.implementation_version, "RAW");
	assert_int_equal(seen.request.max_pdu, 16384);
	assert_true(seen.request.wants_async);
	assert_int_equal(seen.request.user_identity, 2);
	assert_true(seen.request.right_application);
	assert_null(seen.request.tls_version);
	assert_true(seen.first.has_role && seen.first.scu_role &&
	    seen.first.scp_role);
	/* Ours, and the role: SCU accepted, SCP not. */
	assert_non_null(memmem(body, len, "2.25.1901468135", 15));
	assert_non_null(memmem(body, len, "1.2.840.10008.1.1\1\0", 19));
	rig_stop(&r);
}

static void
test_many_contexts_and_syntaxes(void **state)
{
	struct buf b = BUF_INIT(2 << 20), body = BUF_INIT(2 << 20);
	static const char head[64];
	char uid[32];
	struct rig r;
	size_t at, user;
	int fd;

	(void)state;
	rig_start(&r, NULL, NULL, serve, NULL);
	(void)buf_add(&body, "\0\1\0\0", 4);
	(void)buf_add(&body, head, sizeof(head));
	put_item(&body, 0x10, "1.2.840.10008.3.1.1.1");
	for (unsigned c = 0; c < 128; c++) {
		at = begin_item(&body, 0x20);
		(void)buf_add(&body, (uint8_t[]){ (uint8_t)(2 * c + 1), 0, 0, 0 },
		    4);
		put_item(&body, 0x30, CT_CLASS);
		for (unsigned i = 0; i < 60; i++) {
			(void)snprintf(uid, sizeof(uid), "1.2.3.%u", i);
			put_item(&body, 0x40, uid);
		}
		end_item(&body, at);
	}
	user = begin_item(&body, 0x50);
	put_item(&body, 0x51, "aaaa");
	end_item(&body, user);
	put_pdu(&b, C_RQ, body.data, body.len);
	buf_free(&body);
	fd = client_connect(r.port);
	assert_true(client_send_buf(fd, &b));
	assert_int_equal(client_read_type(fd), C_AC);
	assert_int_equal(seen.request.n_contexts, 128);
	assert_int_equal(seen.n_first_syntaxes, 60);
	assert_string_equal(seen.last_syntax, "1.2.3.59");
	assert_true(client_release(fd));
	rig_stop(&r);
}

static void
test_rule_18_silent_peers_hold_nobody_up(void **state)
{
	int silent[50], fd;
	struct assoc_server_stats st;
	int64_t begin;
	struct rig r;

	(void)state;
	rig_start(&r, NULL, NULL, serve, NULL);
	for (unsigned i = 0; i < 50; i++)
		silent[i] = client_connect(r.port);
	begin = clock_mono_ms();
	fd = open_association(&r);
	assert_true(clock_mono_ms() - begin < 1000);
	assoc_server_stats(r.server, &st);
	assert_int_equal(st.waiting, 50);
	assert_int_equal(st.associations, 1);
	assert_int_equal(st.handshaking, 0);
	assert_true(client_release(fd));
	for (unsigned i = 0; i < 50; i++)
		(void)close(silent[i]);
	rig_stop(&r);
	assert_int_equal(r.failures, 0);	/* who just goes is no failure */
}

static void
test_rule_18_budget_per_address(void **state)
{
	const struct assoc_server_options opt = { .threads_max = 4,
		.waiting_max = 100, .waiting_per_address = 3,
		.handshakes_per_address = 2, .handshake_timeout_ms = 30000 };
	char byte;
	int fd[4];
	struct rig r;

	(void)state;
	rig_start(&r, &opt, NULL, serve, NULL);
	for (unsigned i = 0; i < 4; i++)
		fd[i] = client_connect(r.port);
	assert_int_equal(recv(fd[0], &byte, 1, 0), 0);	/* the oldest goes */
	assert_true(rig_wait_failures(&r, 1));
	assert_non_null(strstr(r.failed, "too many silent"));
	for (unsigned i = 0; i < 4; i++)
		(void)close(fd[i]);
	rig_stop(&r);
}

/* Two that drip their request hold both places; the third is not lost. */
static void
test_rule_18_handshakes_per_address(void **state)
{
	const struct assoc_server_options opt = { .threads_max = 4,
		.waiting_max = 100, .waiting_per_address = 50,
		.handshakes_per_address = 2, .handshake_timeout_ms = 30000 };
	struct client_request rq = simple_request();
	struct assoc_server_stats st;
	struct buf b = BUF_INIT(4096);
	int slow[2], fd;
	struct rig r;

	(void)state;
	rig_start(&r, &opt, NULL, serve, NULL);
	for (unsigned i = 0; i < 2; i++) {
		slow[i] = client_connect(r.port);
		assert_true(client_send(slow[i], "\1\0", 2));
	}
	assert_true(rig_wait_running(&r, 2));
	fd = client_connect(r.port);
	put_request(&b, &rq);
	assert_true(client_send_buf(fd, &b));
	rig_pause(50);
	assoc_server_stats(r.server, &st);
	assert_int_equal(st.handshaking, 2);
	assert_int_equal(st.waiting, 1);
	(void)close(slow[0]);
	assert_int_equal(client_read_type(fd), C_AC);
	assert_true(client_release(fd));
	(void)close(slow[1]);
	rig_stop(&r);
}

static void
test_rule_18_deadline_of_the_handshake(void **state)
{
	const struct assoc_server_options opt = { .threads_max = 4,
		.waiting_max = 100, .waiting_per_address = 50,
		.handshakes_per_address = 2, .handshake_timeout_ms = 300 };
	struct client_request rq = simple_request();
	int64_t begin = clock_mono_ms();
	struct buf b = BUF_INIT(4096);
	int silent, drip;
	char byte;
	struct rig r;

	(void)state;
	rig_start(&r, &opt, NULL, serve, NULL);
	silent = client_connect(r.port);
	drip = client_connect(r.port);
	put_request(&b, &rq);
	for (unsigned i = 0; i < 20 && client_send(drip, b.data + i, 1); i++)
		rig_pause(30);	/* each byte in good time, the whole never */
	assert_true(recv(silent, &byte, 1, 0) <= 0);
	assert_true(recv(drip, &byte, 1, 0) <= 0);
	assert_true(clock_mono_ms() - begin < 3000);
	assert_true(rig_wait_failures(&r, 2));
	buf_free(&b);
	(void)close(silent);
	(void)close(drip);
	rig_stop(&r);
}

static void
test_garbage_is_named(void **state)
{
	static const struct { const char *bytes; size_t len; const char *what; }
	    cases[] = {
		{ "GET / HTTP/1.1\r\n\r\n", 18, "not DICOM" },
		{ "\x16\3\1\0\1\0\0\0", 8, "TLS on a plain" },
		{ "\1\0\xff\xff\xff\xff\0", 7, "4294967295 bytes" },
		{ "\1\0\0\0\0\2\0\0", 8, "cut short" },
	};
	struct rig r;
	int fd;

	(void)state;
	rig_start(&r, NULL, NULL, serve, NULL);
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		fd = client_connect(r.port);
		assert_true(client_send(fd, cases[i].bytes, cases[i].len));
		assert_true(rig_wait_failures(&r, i + 1));
		assert_non_null(strstr(r.failed, cases[i].what));
		assert_string_equal(r.failed_address, "127.0.0.1");
		(void)close(fd);
	}
	rig_stop(&r);
}

/* DUL_NextPDV of DCMTK 3.6.7 reads out of bounds on this one. */
static void
test_odd_fragments(void **state)
{
	struct buf pdvs = BUF_INIT(4096), b = BUF_INIT(8192);
	struct rig r;
	int fd;

	(void)state;
	seen.answer = 10;
	rig_start(&r, NULL, NULL, serve, NULL);
	fd = open_association(&r);
	put_pdu(&b, C_DATA, "", 0);
	put_pdv(&pdvs, 1, true, false, "", 0);
	put_pdv(&pdvs, 1, true, false, "abc", 3);
	put_pdv(&pdvs, 1, true, true, "0123456789", 10);
	put_pdv(&pdvs, 1, false, false, "x", 1);
	put_pdv(&pdvs, 1, false, true, "", 0);
	put_pdu(&b, C_DATA, pdvs.data, pdvs.len);
	buf_free(&pdvs);
	assert_true(client_send_buf(fd, &b));
	assert_int_equal(client_read_type(fd), C_DATA);
	assert_int_equal(client_read_type(fd), C_DATA);
	assert_true(client_release(fd));
	wait_result(&r);
	assert_string_equal(seen.trail, "c1:0 c1:3 c1:10. d1:1 d1:0. ");
	assert_int_equal(seen.result, 0);
	rig_stop(&r);
}

static void
test_wrong_lengths_end_the_association(void **state)
{
	static const struct { const char *bytes; size_t len; } cases[] = {
		{ "\4\0\xff\xff\xff\xf0\0\0\0\4\1\2ab", 14 },	/* PDU */
		{ "\4\0\0\0\0\x8\xff\xff\xff\xf0\1\2ab", 14 },	/* PDV, huge */
		{ "\4\0\0\0\0\x8\0\0\0\0\1\2ab", 14 },		/* PDV, 0 */
		{ "\4\0\0\0\0\x8\0\0\0\1\1\2ab", 14 },		/* PDV, 1 */
		{ "\4\0\0\0\0\x8\0\0\0\5\1\2ab", 14 },		/* one too long */
		{ "\4\0\0\0\0\3abc", 9 },
		{ "\5\0\0\1\0\0", 6 },
		{ "\1\0\0\0\0\4abcd", 10 },			/* again a request */
		{ "\x42\0\0\0\0\4abcd", 10 },
	};
	struct rig r;
	int fd;

	(void)state;
	rig_start(&r, NULL, NULL, serve, NULL);
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		fd = open_association(&r);
		assert_true(client_send(fd, cases[i].bytes, cases[i].len));
		assert_int_equal(client_read_type(fd), C_ABORT);
		(void)close(fd);
		wait_result(&r);
		assert_int_equal(seen.result, -EPROTO);
		assert_string_not_equal(seen.reason, "");
	}
	rig_stop(&r);
}

static void
test_answers_fit_the_peers_maximum(void **state)
{
	struct client_request rq = simple_request();
	uint8_t body[4096];
	size_t len, got = 0;
	unsigned type;
	struct rig r;
	int fd;

	(void)state;
	seen.answer = 100000;
	rig_start(&r, NULL, NULL, serve, NULL);
	rq.max_pdu = 1000;
	fd = client_associate(r.port, &rq, &type, body, sizeof(body), &len);
	assert_int_equal(type, C_AC);
	assert_true(client_send_pdv(fd, 1, true, true, "x", 1));
	do {
		assert_int_equal(client_read_pdu(fd, body, sizeof(body), &len),
		    C_DATA);
		assert_true(len <= 1000);
		got += len - 6;
	} while ((body[5] & 2) == 0);
	assert_int_equal(got, seen.answer);
	assert_true(client_release(fd));
	rig_stop(&r);
}

static void
test_rule_18_deadlines_of_an_association(void **state)
{
	struct rig r;
	int fd;

	(void)state;
	seen.message_ms = 150;
	seen.idle_ms = 400;
	rig_start(&r, NULL, NULL, serve, NULL);
	fd = open_association(&r);
	assert_int_equal(client_read_type(fd), C_ABORT);	/* idle */
	(void)close(fd);
	wait_result(&r);
	assert_int_equal(seen.result, -ETIMEDOUT);
	assert_non_null(strstr(seen.reason, "between messages"));
	fd = open_association(&r);
	assert_true(client_send_pdv(fd, 1, true, false, "x", 1));
	assert_int_equal(client_read_type(fd), C_ABORT);	/* inside */
	(void)close(fd);
	wait_result(&r);
	assert_int_equal(seen.result, -ETIMEDOUT);
	rig_stop(&r);
}

static void
abort_in_the_middle(struct rig *r, unsigned how)
{
	static const char part[20000];
	int fd = open_association(r);

	assert_true(client_send_pdv(fd, 1, false, false, part, sizeof(part)));
	if (how % 3 == 0)
		assert_true(client_send(fd, "\7\0\0\0\0\4\0\0\0\0", 10));
	if (how % 3 == 1)
		(void)setsockopt(fd, SOL_SOCKET, SO_LINGER,
		    &(struct linger){ .l_onoff = 1 }, sizeof(struct linger));
	(void)close(fd);
}

static void
test_aborts_leave_nothing(void **state)
{
	unsigned before;
	size_t heap;
	struct rig r;

	(void)state;
	rig_start(&r, NULL, NULL, serve, NULL);
	for (unsigned i = 0; i < 60; i++)
		abort_in_the_middle(&r, i);
	wait_result(&r);
	before = count_descriptors();
	heap = mallinfo2().uordblks;
	for (unsigned i = 0; i < 600; i++)
		abort_in_the_middle(&r, i);
	wait_result(&r);
	assert_int_equal(count_descriptors(), before);
	assert_true(mallinfo2().uordblks <= heap + 64 * 1024);
	rig_stop(&r);
}

static void
test_stop_ends_idle_associations(void **state)
{
	int64_t begin;
	struct rig r;
	int fd, half;

	(void)state;
	rig_start(&r, NULL, NULL, serve, NULL);
	fd = open_association(&r);
	half = client_connect(r.port);
	assert_true(client_send(half, "\1", 1));	/* in its handshake */
	assert_true(rig_wait_running(&r, 2));
	begin = clock_mono_ms();
	rig_stop(&r);
	assert_true(clock_mono_ms() - begin < 1900);
	assert_int_equal(seen.result, -ECANCELED);
	assert_int_equal(client_read_type(fd), C_ABORT);
	(void)close(fd);
	(void)close(half);
}

/* A message that has begun gets until the deadline, two seconds in rig_stop(). */
static void
test_stop_cuts_what_does_not_end(void **state)
{
	int64_t begin;
	struct rig r;
	int fd;

	(void)state;
	rig_start(&r, NULL, NULL, serve, NULL);
	fd = open_association(&r);
	assert_true(client_send_pdv(fd, 1, false, false, "x", 1));
	rig_pause(100);
	begin = clock_mono_ms();
	rig_stop(&r);
	assert_in_range(clock_mono_ms() - begin, 1500, 4000);
	assert_int_equal(seen.result, -ECONNRESET);
	(void)close(fd);
}

static void
test_ipv6_and_ipv4_on_one_socket(void **state)
{
	struct sockaddr_in6 sa = { .sin6_family = AF_INET6,
		.sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct client_request rq = simple_request();
	struct buf why = BUF_INIT(200), b = BUF_INIT(4096);
	uint16_t port = rig_free_port();
	struct rig r, through = { .port = port };
	int fd;

	(void)state;
	rig_start(&r, NULL, NULL, serve, NULL);
	rig_end_loop(&r);
	assert_int_equal(assoc_server_listen(r.server, NULL, port, NULL, &why), 0);
	(void)pthread_create(&r.loop, NULL, rig_loop, &r);
	fd = open_association(&through);
	assert_string_equal(seen.request.address, "127.0.0.1");
	assert_true(client_release(fd));
	fd = socket(AF_INET6, SOCK_STREAM, 0);
	sa.sin6_port = htons(port);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0) {
		put_request(&b, &rq);
		assert_true(client_send_buf(fd, &b));
		assert_int_equal(client_read_type(fd), C_AC);
		assert_string_equal(seen.request.address, "::1");
		assert_true(client_release(fd));
	}
	rig_stop(&r);
	buf_free(&why);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_request_is_described, forget),
		cmocka_unit_test_setup(test_many_contexts_and_syntaxes, forget),
		cmocka_unit_test_setup(test_rule_18_silent_peers_hold_nobody_up,
		    forget),
		cmocka_unit_test_setup(test_rule_18_budget_per_address, forget),
		cmocka_unit_test_setup(test_rule_18_handshakes_per_address, forget),
		cmocka_unit_test_setup(test_rule_18_deadline_of_the_handshake,
		    forget),
		cmocka_unit_test_setup(test_garbage_is_named, forget),
		cmocka_unit_test_setup(test_odd_fragments, forget),
		cmocka_unit_test_setup(test_wrong_lengths_end_the_association,
		    forget),
		cmocka_unit_test_setup(test_answers_fit_the_peers_maximum, forget),
		cmocka_unit_test_setup(test_rule_18_deadlines_of_an_association,
		    forget),
		cmocka_unit_test_setup(test_aborts_leave_nothing, forget),
		cmocka_unit_test_setup(test_stop_ends_idle_associations, forget),
		cmocka_unit_test_setup(test_stop_cuts_what_does_not_end, forget),
		cmocka_unit_test_setup(test_ipv6_and_ipv4_on_one_socket, forget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
