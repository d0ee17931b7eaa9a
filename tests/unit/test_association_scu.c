/* test_association_scu.c - calling: the request that is written, answers right and
 * wrong, peers that reject, are silent, speak something else, or are not there.
 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include <cmocka.h>

#include "gateway/association/pdu_int.h"
#include "gateway/base/cleanup.h"
#include "tests/unit/dimse_client.h"
#include "tests/unit/dimse_rig.h"

#define COMMITMENT "1.2.840.10008.1.20.1"

static const char *const native[] = { DICOM_UID_EXPLICIT_LE, DICOM_UID_IMPLICIT_LE };
static const char *const jpeg[] = { "1.2.840.10008.1.2.4.70" };
static const struct assoc_proposal proposals[] = {
	{ .abstract_syntax = CT_CLASS, .syntaxes = jpeg, .n_syntaxes = 1 },
	{ .abstract_syntax = CT_CLASS, .syntaxes = native, .n_syntaxes = 2 },
	{ .abstract_syntax = COMMITMENT, .syntaxes = native, .n_syntaxes = 2,
	    .has_role = true, .scp_role = true },
};

static struct assoc_call
call_to(uint16_t port)
{
	return (struct assoc_call){ .host = "127.0.0.1", .port = port,
		.calling = "CAUSEWAY", .called = "PACS", .max_pdu = 65536,
		.connect_ms = 2000, .handshake_ms = 2000, .message_ms = 2000,
		.cancel_fd = -1, .n_proposals = ARRAY_LEN(proposals),
		.proposals = proposals };
}

/* ---- PDUs ---------------------------------------------------------------------- */

static void
test_the_request_passes_our_own_fence(void **state)
{
	struct assoc_call call = call_to(104);
	struct buf b AUTO(buf_free) = BUF_INIT(1 << 16);
	struct pdu_extras *extras = xcalloc(1, sizeof(*extras));
	const char *why = NULL;

	(void)state;
	assert_int_equal(pdu_write_request(&b, &call), 0);
	assert_int_equal(b.len, PDU_HEAD + pdu_length((uint8_t *)b.data));
	assert_memory_equal(b.data + PDU_HEAD + 4, "PACS            CAUSEWAY        ",
	    32);
	assert_int_equal(pdu_check_request((uint8_t *)b.data, b.len, extras, &why),
	    0);
	assert_non_null(memmem(b.data, b.len, "\x51\0\0\4\0\1\0\0", 8));
	assert_non_null(memmem(b.data, b.len, COMMITMENT "\0\1", 22));
	free(extras);
}

static void
test_128_contexts_fit(void **state)
{
	struct assoc_proposal *many = xcalloc(128, sizeof(*many));
	struct pdu_extras *extras = xcalloc(1, sizeof(*extras));
	struct buf b AUTO(buf_free) = BUF_INIT(1 << 18);
	struct assoc_call call = call_to(104);
	const char *why = NULL;
	char uid[128][65];

	(void)state;
	for (unsigned i = 0; i < 128; i++) {
		(void)snprintf(uid[i], sizeof(uid[i]), "1.2.3.4.%056u", i + 1);
		many[i] = (struct assoc_proposal){ .abstract_syntax = uid[i],
			.syntaxes = native, .n_syntaxes = 2, .has_role = true };
	}
	call.proposals = many;
	call.n_proposals = 128;
	assert_int_equal(pdu_write_request(&b, &call), 0);
	assert_int_equal(pdu_check_request((uint8_t *)b.data, b.len, extras, &why),
	    0);
	free(extras);
	free(many);
}

static void
put_accepted(struct buf *b, uint8_t id, uint8_t result, const char *syntax)
{
	size_t at = begin_item(b, 0x21);

	(void)buf_add(b, (uint8_t[]){ id, 0, result, 0 }, 4);
	if (syntax != NULL)
		put_item(b, 0x40, syntax);
	end_item(b, at);
}

static void
begin_accept(struct buf *b)
{
	static const char zero[68];

	(void)buf_add(b, zero, sizeof(zero));
	put_item(b, 0x10, "1.2.840.10008.3.1.1.1");
}

/* max NULL: none is said. */
static void
put_accept_user(struct buf *b, const char *max, const void *items, size_t len)
{
	size_t at = begin_item(b, 0x50), n;

	if (max != NULL) {
		n = begin_item(b, 0x51);
		(void)buf_add(b, max, 4);
		end_item(b, n);
	}
	put_item(b, 0x52, "1.2.3.4.5");
	put_item(b, 0x55, "RAW");
	if (len > 0)
		(void)buf_add(b, items, len);
	end_item(b, at);
}

static void
end_accept(struct buf *body, struct buf *pdu)
{
	put_pdu(pdu, C_AC, body->data, body->len);
	buf_free(body);
}

static void
good_accept(struct buf *pdu)
{
	static const char items[] = "\x53\0\0\4\0\5\0\5"	/* never asked for */
	    "\x54\0\0\x18\0\x14" COMMITMENT "\0\1";
	struct buf body = BUF_INIT(1 << 16);

	begin_accept(&body);
	put_accepted(&body, 5, 0, DICOM_UID_IMPLICIT_LE);
	put_accepted(&body, 1, 4, NULL);
	put_accepted(&body, 3, 0, DICOM_UID_EXPLICIT_LE);
	put_accept_user(&body, "\0\0\x40\0", items, sizeof(items) - 1);
	end_accept(&body, pdu);
}

static int
read_accept(const struct buf *pdu, struct pdu_accept *ret)
{
	const char *why = "";
	int e;

	/* To its last byte and not beyond, where a sanitizer watches. */
	uint8_t *copy = malloc(pdu->len);

	memcpy(copy, pdu->data, pdu->len);
	e = pdu_read_accept(copy, pdu->len, ret, &why);
	assert_true(e == 0 || why[0] != '\0');
	free(copy);
	return e;
}

static void
test_a_good_answer_is_read(void **state)
{
	struct buf pdu AUTO(buf_free) = BUF_INIT(1 << 16);
	AUTO_FREE struct pdu_accept *ac = xcalloc(1, sizeof(*ac));

	(void)state;
	good_accept(&pdu);
	assert_int_equal(read_accept(&pdu, ac), 0);
	assert_int_equal(ac->max_pdu, 16384);
	assert_string_equal(ac->implementation_version, "RAW");
	assert_int_equal(ac->context[0].result, 4);
	assert_string_equal(ac->context[1].syntax, DICOM_UID_EXPLICIT_LE);
	assert_string_equal(ac->context[2].syntax, DICOM_UID_IMPLICIT_LE);
	assert_false(ac->context[3].answered);
	assert_int_equal(ac->n_roles, 1);
	assert_true(ac->role[0].scp && !ac->role[0].scu);
}

/* Any cut and any changed length is an error or harmless, never more. */
static void
test_answers_cut_anywhere(void **state)
{
	struct buf pdu AUTO(buf_free) = BUF_INIT(1 << 16);
	AUTO_FREE struct pdu_accept *ac = xcalloc(1, sizeof(*ac));
	unsigned refused = 0;
	size_t whole;

	(void)state;
	good_accept(&pdu);
	whole = pdu.len;
	for (pdu.len = PDU_HEAD + 4; pdu.len < whole; pdu.len++)
		refused += read_accept(&pdu, ac) < 0;
	assert_in_range(refused, whole / 2, whole);
	for (size_t i = PDU_HEAD; i < whole; i++) {
		char kept = pdu.data[i];

		for (int v = 0; v < 256; v++) {
			pdu.data[i] = (char)v;
			(void)read_accept(&pdu, ac);
		}
		pdu.data[i] = kept;
	}
}

static void
test_hostile_answers(void **state)
{
	static char large[65500];
	AUTO_FREE struct pdu_accept *ac = xcalloc(1, sizeof(*ac));
	struct buf pdu AUTO(buf_free) = BUF_INIT(1 << 20);
	struct buf body = BUF_INIT(1 << 20);

	(void)state;
	memset(large, '1', sizeof(large) - 1);
	begin_accept(&body);			/* items of 64 KiB: no text is kept */
	put_accepted(&body, 1, 0, large + 10);
	put_accept_user(&body, NULL, NULL, 0);
	put_item(&body, 0x77, large);
	end_accept(&body, &pdu);
	assert_int_equal(read_accept(&pdu, ac), 0);
	assert_string_equal(ac->context[0].syntax, "");
	buf_clear(&pdu);
	begin_accept(&body);			/* twice the same */
	put_accepted(&body, 1, 0, DICOM_UID_IMPLICIT_LE);
	put_accepted(&body, 1, 0, DICOM_UID_EXPLICIT_LE);
	end_accept(&body, &pdu);
	assert_int_equal(read_accept(&pdu, ac), -EPROTO);
	buf_clear(&pdu);
	begin_accept(&body);			/* an even one */
	put_accepted(&body, 2, 0, DICOM_UID_IMPLICIT_LE);
	end_accept(&body, &pdu);
	assert_int_equal(read_accept(&pdu, ac), -EPROTO);
	buf_clear(&pdu);
	begin_accept(&body);			/* more roles than there can be */
	for (unsigned i = 0; i < 300; i++)
		put_accept_user(&body, NULL, "\x54\0\0\5\0\1" "1\1\1", 9);
	end_accept(&body, &pdu);
	assert_int_equal(read_accept(&pdu, ac), 0);
	assert_int_equal(ac->n_roles, PDU_PROVED_MAX);
}

/* ---- a peer that says what it is told -------------------------------------------- */

struct peer {
	int	    listener;
	uint16_t    port;
	pthread_t   thread;
	const void *answer;		/* after the request was read; NULL: none */
	size_t	    len;
	void (*talk)(int fd);		/* then */
	bool	    hold;		/* do not close until we do */
};

static void *
run_peer(void *arg)
{
	static uint8_t body[1 << 18];
	struct peer *p = arg;
	int fd = accept(p->listener, NULL, NULL);
	size_t len;

	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO,
	    &(struct timeval){ .tv_sec = 10 }, sizeof(struct timeval));
	(void)client_read_pdu(fd, body, sizeof(body), &len);
	if (p->len > 0)
		(void)client_send(fd, p->answer, p->len);
	if (p->talk != NULL)
		p->talk(fd);
	if (p->hold)
		while (recv(fd, body, sizeof(body), 0) > 0)
			;
	(void)close(fd);
	return NULL;
}

static void
start_peer(struct peer *p)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);

	p->listener = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(p->listener, (struct sockaddr *)&sa, len), 0);
	assert_int_equal(listen(p->listener, 1), 0);
	assert_int_equal(getsockname(p->listener, (struct sockaddr *)&sa, &len), 0);
	p->port = ntohs(sa.sin_port);
	assert_int_equal(pthread_create(&p->thread, NULL, run_peer, p), 0);
}

static void
end_peer(struct peer *p)
{
	(void)pthread_join(p->thread, NULL);
	(void)close(p->listener);
}

/* The errno of a call that must fail, and its words in why. */
static int
call_in_vain(struct peer *p, struct buf *why)
{
	struct assoc_call call;
	struct assoc *a = NULL;
	int e;

	start_peer(p);
	call = call_to(p->port);
	call.handshake_ms = 300;
	e = assoc_open(&call, &a, why);
	assert_null(a);
	end_peer(p);
	return e;
}

static void
test_rejections_say_what_to_do(void **state)
{
	static const struct { const char *pdu; int e; const char *words; } cases[] = {
		{ "\3\0\0\0\0\4\0\1\1\3", -EACCES,
		    "does not know our title CAUSEWAY: it must be entered there" },
		{ "\3\0\0\0\0\4\0\1\1\7", -EACCES,
		    "does not answer to the title PACS" },
		{ "\3\0\0\0\0\4\0\1\1\1", -EACCES, "without a reason: does it" },
		{ "\3\0\0\0\0\4\0\1\2\2", -EACCES, "version of the protocol" },
		{ "\3\0\0\0\0\4\0\2\3\2", -EAGAIN, "no more associations" },
		{ "\3\0\0\0\0\4\0\2\1\1", -EAGAIN, "(rejected 2/1/1)" },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		struct peer p = { .answer = cases[i].pdu, .len = 10 };
		struct buf why AUTO(buf_free) = BUF_INIT(500);

		assert_int_equal(call_in_vain(&p, &why), cases[i].e);
		assert_non_null(strstr(why.data, "127.0.0.1:"));
		assert_non_null(strstr(why.data, cases[i].words));
	}
}

static void
test_what_is_no_dicom_is_named(void **state)
{
	static const struct { const char *bytes; size_t len; int e;
		const char *words; } cases[] = {
		{ "HTTP/1.1 400 Bad\r\n", 18, -EPROTO, "is no DICOM service" },
		{ "\x15\3\1\0\2\2\x28", 7, -EPROTO, "wants TLS" },
		{ "\2\0\xff\xff\xff\xff", 6, -EPROTO, "4294967295 bytes" },
		{ "\3\0\0\0\0\0", 6, -EPROTO, "of 0 bytes" },
		{ "\2\0\0\0\0\4abcd", 10, -EPROTO, "cut short" },
		{ "\7\0\0\0\0\4\0\0\2\1", 10, -EPROTO, "aborts" },
		{ "\2\0\0", 3, -ECONNRESET, "ends the connection instead" },
		{ "", 0, -ECONNRESET, "ends the connection instead" },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
		struct peer p = { .answer = cases[i].bytes, .len = cases[i].len };
		struct buf why AUTO(buf_free) = BUF_INIT(500);

		assert_int_equal(call_in_vain(&p, &why), cases[i].e);
		assert_non_null(strstr(why.data, cases[i].words));
	}
}

static void
test_silence_has_a_deadline(void **state)
{
	struct peer p = { .hold = true };
	struct buf why AUTO(buf_free) = BUF_INIT(500);
	int64_t begin = clock_mono_ms();

	(void)state;
	assert_int_equal(call_in_vain(&p, &why), -ETIMEDOUT);
	assert_non_null(strstr(why.data, "does not answer: is it a DICOM"));
	assert_in_range(clock_mono_ms() - begin, 250, 2500);
}

static void
test_nobody_there(void **state)
{
	struct assoc_call call = call_to(rig_free_port());
	struct buf why AUTO(buf_free) = BUF_INIT(500);
	struct assoc *a = NULL;

	(void)state;
	assert_int_equal(assoc_open(&call, &a, &why), -ECONNREFUSED);
	assert_non_null(strstr(why.data, "refuses the connection"));
	buf_clear(&why);
	call.host = "::1";
	assert_true(assoc_open(&call, &a, &why) < 0);
	assert_non_null(strstr(why.data, "[::1]:"));
	buf_clear(&why);
	call.host = "nowhere.invalid";
	assert_true(assoc_open(&call, &a, &why) < 0);
	assert_non_null(strstr(why.data, "nowhere.invalid"));
}

static void *
cancel_soon(void *arg)
{
	rig_pause(100);
	(void)eventfd_write(*(int *)arg, 1);
	return NULL;
}

static void
test_cancel_ends_a_call(void **state)
{
	struct peer p = { .hold = true };
	struct buf why AUTO(buf_free) = BUF_INIT(500);
	int64_t begin = clock_mono_ms();
	int fd = eventfd(0, EFD_CLOEXEC);
	struct assoc_call call;
	struct assoc *a = NULL;
	pthread_t thread;

	(void)state;
	start_peer(&p);
	call = call_to(p.port);
	call.handshake_ms = 30000;
	call.cancel_fd = fd;
	(void)pthread_create(&thread, NULL, cancel_soon, &fd);
	assert_int_equal(assoc_open(&call, &a, &why), -ECANCELED);
	assert_true(clock_mono_ms() - begin < 3000);
	(void)pthread_join(thread, NULL);
	end_peer(&p);
	(void)close(fd);
}

/* ---- what is accepted --------------------------------------------------------- */

static struct assoc *
open_to(struct peer *p)
{
	struct buf why AUTO(buf_free) = BUF_INIT(500);
	struct assoc_call call;
	struct assoc *a = NULL;

	start_peer(p);
	call = call_to(p->port);
	assert_int_equal(assoc_open(&call, &a, &why), 0);
	return a;
}

static void
test_the_answer_is_told(void **state)
{
	struct buf pdu AUTO(buf_free) = BUF_INIT(1 << 16);
	struct peer p = { .hold = true };
	const struct assoc_answer *to;
	struct assoc *a;

	(void)state;
	good_accept(&pdu);
	p.answer = pdu.data;
	p.len = pdu.len;
	a = open_to(&p);
	to = assoc_answers(a);
	assert_int_equal(to[0].result, ASSOC_SYNTAXES_UNSUPPORTED);
	assert_int_equal(to[1].result, ASSOC_ACCEPTED);
	assert_string_equal(to[1].syntax, DICOM_UID_EXPLICIT_LE);
	assert_false(to[1].scp_role);
	assert_true(to[2].scp_role);
	assert_string_equal(assoc_request(a)->address, "127.0.0.1");
	assert_string_equal(assoc_request(a)->implementation_version, "RAW");
	assert_int_equal(assoc_part_max(a), 16384 - 6);
	assoc_close(a);
	end_peer(&p);
}

static void
test_what_nobody_proposed_is_not_accepted(void **state)
{
	struct buf pdu AUTO(buf_free) = BUF_INIT(1 << 16);
	struct buf body = BUF_INIT(1 << 16);
	struct peer p = { .hold = true };
	const struct assoc_answer *to;
	struct assoc *a;

	(void)state;
	begin_accept(&body);
	put_accepted(&body, 1, 0, DICOM_UID_EXPLICIT_BE);
	put_accepted(&body, 3, 0, NULL);
	put_accepted(&body, 255, 0, DICOM_UID_EXPLICIT_LE);
	put_accept_user(&body, "\0\0\0\1", NULL, 0);
	end_accept(&body, &pdu);
	p.answer = pdu.data;
	p.len = pdu.len;
	a = open_to(&p);
	to = assoc_answers(a);
	assert_int_equal(to[0].result, ASSOC_SYNTAXES_UNSUPPORTED);
	assert_int_equal(to[1].result, ASSOC_SYNTAXES_UNSUPPORTED);
	assert_int_equal(to[2].result, ASSOC_NO_REASON);
	assert_int_equal(assoc_part_max(a), 2);	/* its maximum is nonsense */
	assoc_close(a);
	end_peer(&p);
}

/* Both ask for the end at once, with data still on the way. */
static void
collide(int fd)
{
	uint8_t body[64];
	size_t len;

	assert_true(client_send_pdv(fd, 3, true, true, "late", 4));
	assert_true(client_send(fd, "\5\0\0\0\0\4\0\0\0\0", 10));
	assert_int_equal(client_read_pdu(fd, body, sizeof(body), &len),
	    C_RELEASE_RQ);
	assert_int_equal(client_read_pdu(fd, body, sizeof(body), &len),
	    C_RELEASE_RP);
	assert_true(client_send(fd, "\6\0\0\0\0\4\0\0\0\0", 10));
}

static void
test_releases_that_collide(void **state)
{
	struct buf pdu AUTO(buf_free) = BUF_INIT(1 << 16);
	struct peer p = { .hold = true, .talk = collide };
	struct assoc *a;

	(void)state;
	good_accept(&pdu);
	p.answer = pdu.data;
	p.len = pdu.len;
	a = open_to(&p);
	assert_int_equal(assoc_request_release(a), 0);
	assoc_close(a);
	end_peer(&p);
}

static void
say_late(int fd)
{
	rig_pause(300);
	(void)client_send_pdv(fd, 3, true, true, "x", 1);
}

static void
test_waiting_loses_nothing(void **state)
{
	struct buf pdu AUTO(buf_free) = BUF_INIT(1 << 16);
	struct peer p = { .hold = true, .talk = say_late };
	struct assoc_pdv pdv;
	struct assoc *a;

	(void)state;
	good_accept(&pdu);
	p.answer = pdu.data;
	p.len = pdu.len;
	a = open_to(&p);
	assert_int_equal(assoc_wait(a, clock_mono_ms()), 0);
	assert_int_equal(assoc_wait(a, clock_mono_ms() + 50), 0);
	assert_int_equal(assoc_wait(a, clock_mono_ms() + 5000), 1);
	assert_int_equal(assoc_read(a, true, &pdv), 0);
	assert_true(pdv.last && pdv.len == 1);
	assoc_close(a);
	end_peer(&p);
}

/* ---- our own other side -------------------------------------------------------- */

static struct {
	char   calling[17];
	bool   scp_proposed;
	size_t bytes, parts, largest;
} seen;

static void
serve(void *arg, struct assoc *a)
{
	const struct assoc_request *rq = assoc_request(a);
	struct assoc_answer answers[ASSOC_CONTEXTS_MAX] = { 0 };
	struct assoc_pdv pdv = { .last = true };
	int r;

	(void)arg;
	(void)snprintf(seen.calling, sizeof(seen.calling), "%s", rq->calling);
	for (unsigned i = 0; i < rq->n_contexts; i++) {
		answers[i].syntax = rq->contexts[i].syntaxes[0];
		answers[i].scp_role = rq->contexts[i].scp_role;
		seen.scp_proposed |= rq->contexts[i].scp_role;
	}
	r = assoc_accept(a, answers);
	while (r == 0) {
		r = assoc_read(a, !pdv.last, &pdv);
		if (r != 0)
			break;
		seen.bytes += pdv.len;
		if (pdv.last && pdv.command)
			r = assoc_write(a, pdv.context, true, pdv.data, pdv.len);
	}
	if (r == 1)
		(void)assoc_release(a);
}

static void
test_messages_go_through(void **state)
{
	static const char part[65536];
	struct buf why AUTO(buf_free) = BUF_INIT(500);
	struct assoc_call call;
	struct dicom_command cmd = { .field = DICOM_C_ECHO_RQ, .message_id = 7,
		.dataset_type = DICOM_DATASET_NONE,
		.sop_class = DICOM_UID_VERIFICATION }, back;
	struct assoc *a = NULL;
	uint8_t context;
	struct rig r;

	(void)state;
	memset(&seen, 0, sizeof(seen));
	rig_start(&r, NULL, NULL, serve, NULL);
	call = call_to(r.port);
	call.host = "localhost";
	assert_int_equal(assoc_open(&call, &a, &why), 0);
	assert_true(assoc_answers(a)[2].scp_role);
	assert_false(assoc_answers(a)[1].scp_role);
	assert_int_equal(assoc_part_max(a), 65530);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(assoc_write_part(a, 3, false, i == 19, part, 65530),
		    0);
	assert_int_equal(assoc_write(a, 3, false, part, 0), 0);
	assert_int_equal(assoc_send_message(a, 3, &cmd, NULL, 0), 0);
	assert_int_equal(assoc_read_command(a, true, &back, &context), 0);
	assert_int_equal(context, 3);
	assert_int_equal(back.message_id, 7);
	assert_int_equal(assoc_request_release(a), 0);
	assoc_close(a);
	rig_stop(&r);
	assert_string_equal(seen.calling, "CAUSEWAY");
	assert_true(seen.scp_proposed);
	assert_true(seen.bytes > 20 * 65530);
}

static void
test_a_close_without_release_aborts(void **state)
{
	struct buf why AUTO(buf_free) = BUF_INIT(500);
	struct assoc_call call;
	struct assoc *a = NULL;
	struct rig r;

	(void)state;
	rig_start(&r, NULL, NULL, serve, NULL);
	call = call_to(r.port);
	assert_int_equal(assoc_open(&call, &a, &why), 0);
	assoc_close(a);
	assert_true(rig_wait_running(&r, 0));
	rig_stop(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_request_passes_our_own_fence),
		cmocka_unit_test(test_128_contexts_fit),
		cmocka_unit_test(test_a_good_answer_is_read),
		cmocka_unit_test(test_answers_cut_anywhere),
		cmocka_unit_test(test_hostile_answers),
		cmocka_unit_test(test_rejections_say_what_to_do),
		cmocka_unit_test(test_what_is_no_dicom_is_named),
		cmocka_unit_test(test_silence_has_a_deadline),
		cmocka_unit_test(test_nobody_there),
		cmocka_unit_test(test_cancel_ends_a_call),
		cmocka_unit_test(test_the_answer_is_told),
		cmocka_unit_test(test_what_nobody_proposed_is_not_accepted),
		cmocka_unit_test(test_releases_that_collide),
		cmocka_unit_test(test_waiting_loses_nothing),
		cmocka_unit_test(test_messages_go_through),
		cmocka_unit_test(test_a_close_without_release_aborts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
