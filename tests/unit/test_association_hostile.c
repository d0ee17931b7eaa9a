/* test_association_hostile.c - requests that are well-formed and meant ill, and
 * peers that are gone before they are answered.
 */
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway/base/cleanup.h"
#include "tests/unit/dimse_client.h"
#include "tests/unit/dimse_rig.h"

#define CONTEXTS 128

static int accepted;		/* what assoc_accept() said last */
/* Where the peer is to leave between request and answer, each waits for the other. */
static bool leaves;
static atomic_bool asked, left;

static void
await(atomic_bool *flag)
{
	for (int i = 0; i < 5000 && !*flag; i++)
		rig_pause(1);
}

/* Accepts everything, and reads until the peer has had enough. */
static void
serve(void *arg, struct assoc *a)
{
	const struct assoc_request *rq = assoc_request(a);
	struct assoc_answer answers[ASSOC_CONTEXTS_MAX] = { 0 };
	struct assoc_pdv pdv;
	int r;

	(void)arg;
	asked = true;
	if (leaves)
		await(&left);
	for (unsigned i = 0; i < rq->n_contexts; i++)
		answers[i].syntax = rq->contexts[i].syntaxes[0];
	r = assoc_accept(a, answers);
	accepted = r;
	while (r == 0)
		r = assoc_read(a, false, &pdv);
	if (r == 1)
		(void)assoc_release(a);
}

static void
reject(void *arg, struct assoc *a)
{
	(void)arg;
	(void)assoc_reject(a, ASSOC_REJECT_PERMANENT, ASSOC_BY_USER, 1);
}

static void
put_large_request(struct buf *b, const char *items, size_t items_len)
{
	static const struct client_context context = { CT_CLASS,
		{ "1.2.276.0.7230010.3.1.0.1.2.3.4.5.6.7.8.9.10.11.12" } };
	struct client_context contexts[CONTEXTS];
	const struct client_request rq = { .calling = "RAW", .called = "CAUSEWAY",
		.application = "1.2.840.10008.3.1.1.1", .max_pdu = 16384,
		.items = items, .items_len = items_len, .contexts = contexts,
		.n = CONTEXTS };

	for (unsigned i = 0; i < CONTEXTS; i++)
		contexts[i] = context;
	put_request(b, &rq);
}

/* As many items as the request holds; what they are answered fits all the same. */
static void
test_crowds_of_items(void **state)
{
	static const char extended[] = "\x56\0\0\x21\0\x19" CT_CLASS "\2\0\3\0\1\0";
	static const char role[] = "\x54\0\0\x1d\0\x19" CT_CLASS "\1\1";
	static const struct { const char *item; size_t len; } items[] = {
		{ extended, sizeof(extended) - 1 }, { role, sizeof(role) - 1 },
	};
	static uint8_t body[256 * 1024];
	struct rig r;

	(void)state;
	rig_start(&r, NULL, NULL, serve, NULL);
	for (unsigned i = 0; i < ARRAY_LEN(items); i++) {
		struct buf many = BUF_INIT(65536), b = BUF_INIT(1 << 20);
		size_t len;
		int fd = client_connect(r.port);

		while (many.len + items[i].len < 65400)
			(void)buf_add(&many, items[i].item, items[i].len);
		put_large_request(&b, many.data, many.len);
		buf_free(&many);
		assert_true(client_send_buf(fd, &b));
		assert_int_equal(client_read_pdu(fd, body, sizeof(body), &len),
		    C_AC);
		assert_true(len < 16 * 1024);
		assert_non_null(memmem(body, len, items[i].item, 4));
		assert_true(client_release(fd));
	}
	rig_stop(&r);
}

static void
go_at_once(struct rig *r)
{
	const struct linger cut = { .l_onoff = 1 };
	struct buf b = BUF_INIT(1 << 20);
	int fd = client_connect(r->port);

	asked = left = false;
	put_large_request(&b, NULL, 0);
	assert_true(client_send_buf(fd, &b));
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &cut, sizeof(cut));
	await(&asked);
	(void)close(fd);
	left = true;
	assert_true(rig_wait_running(r, 0));
	assert_true(accepted < 0);
}

static void
test_answers_that_cannot_be_sent_leave_nothing(void **state)
{
	struct rig r;
	size_t heap;

	(void)state;
	leaves = true;
	rig_start(&r, NULL, NULL, serve, NULL);
	for (unsigned i = 0; i < 10; i++)
		go_at_once(&r);
	heap = mallinfo2().uordblks;
	for (unsigned i = 0; i < 40; i++)
		go_at_once(&r);
	assert_true(mallinfo2().uordblks <= heap + 32 * 1024);
	rig_stop(&r);
	leaves = false;
}

/* Refused ones that do not go hold the places of their own address, no more. */
static void
test_rule_18_refused_ones_that_linger(void **state)
{
	const struct assoc_server_options opt = { .threads_max = 8,
		.waiting_max = 100, .waiting_per_address = 50,
		.handshakes_per_address = 3, .handshake_timeout_ms = 30000 };
	static const struct client_context context = { CT_CLASS,
		{ DICOM_UID_IMPLICIT_LE } };
	const struct client_request rq = { .calling = "RAW", .called = "CAUSEWAY",
		.application = "1.2.840.10008.3.1.1.1", .max_pdu = 16384,
		.contexts = &context, .n = 1 };
	struct assoc_server_stats st;
	int fd[12];
	struct rig r;

	(void)state;
	rig_start(&r, &opt, NULL, reject, NULL);
	for (unsigned i = 0; i < ARRAY_LEN(fd); i++) {
		struct buf b = BUF_INIT(4096);

		fd[i] = client_connect(r.port);
		put_request(&b, &rq);
		assert_true(client_send_buf(fd[i], &b));
		rig_pause(10);
	}
	rig_pause(200);
	assoc_server_stats(r.server, &st);
	assert_true(st.associations <= 3);
	assert_true(st.waiting >= 9);
	for (unsigned i = 0; i < ARRAY_LEN(fd); i++) {
		assert_int_equal(client_read_type(fd[i]), C_RJ);
		(void)close(fd[i]);
	}
	rig_stop(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_crowds_of_items),
		cmocka_unit_test(test_answers_that_cannot_be_sent_leave_nothing),
		cmocka_unit_test(test_rule_18_refused_ones_that_linger),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
