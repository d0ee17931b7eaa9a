/* test_association_pdu.c - the fence lets through what DCMTK can bear, and nothing
 * else.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "gateway/association/association.h"
#include "gateway/association/pdu_int.h"
#include "tests/unit/dimse_client.h"

static const struct client_context ct = { CT_CLASS, { DICOM_UID_EXPLICIT_LE } };

static void
build(struct buf *b, const struct client_context *contexts, unsigned n,
    const char *items, size_t items_len)
{
	struct client_request rq = { .calling = "A", .called = "B",
		.application = "1.2.840.10008.3.1.1.1", .max_pdu = 16384,
		.items = items, .items_len = items_len, .contexts = contexts,
		.n = n };

	*b = (struct buf)BUF_INIT(2 << 20);
	put_request(b, &rq);
}

static int
check(struct buf *b, struct pdu_extras *x)
{
	const char *why = NULL;
	int r = pdu_check_request((uint8_t *)b->data, b->len, x, &why);

	assert_true((r == 0) == (why == NULL));
	return r;
}

static void
test_plain_request_passes(void **state)
{
	struct pdu_extras x;
	struct buf b;

	(void)state;
	build(&b, &ct, 1, NULL, 0);
	assert_int_equal(check(&b, &x), 0);
	assert_false(x.wants_async);
	assert_int_equal(x.user_identity, 0);
	assert_int_equal(x.n_proved, 0);
	buf_free(&b);
}

static void
test_rule_14_extras_are_found(void **state)
{
	static const char items[] =
	    "\x53\0\0\4\0\0\0\0"
	    "\x57\0\0\x1c\0\5" "1.2.3" "\0\x11" "1.2.840.10008.4.2" "\0\0"
	    "\x58\0\0\7\1\1\0\1u\0\0";
	struct pdu_extras x;
	struct buf b;

	(void)state;
	build(&b, &ct, 1, items, sizeof(items) - 1);
	assert_int_equal(check(&b, &x), 0);
	assert_true(x.wants_async);
	assert_int_equal(x.user_identity, 1);
	assert_int_equal(x.n_proved, 1);
	assert_string_equal(x.proved[0], "1.2.3");
	/* DCMTK must not see the identity. */
	assert_int_equal((uint8_t)b.data[b.len - 11], 0xff);
	buf_free(&b);
}

static void
test_context_counts(void **state)
{
	struct client_context many[129];
	struct pdu_extras x;
	struct buf b;

	(void)state;
	for (unsigned i = 0; i < 129; i++)
		many[i] = ct;
	build(&b, many, 128, NULL, 0);
	assert_int_equal(check(&b, &x), 0);
	buf_free(&b);
	build(&b, many, 129, NULL, 0);
	assert_int_equal(check(&b, &x), -EPROTO);
	buf_free(&b);
	build(&b, many, 0, NULL, 0);
	assert_int_equal(check(&b, &x), -EPROTO);
	buf_free(&b);
}

static void
test_incomplete_contexts_are_refused(void **state)
{
	const struct client_context no_syntax = { CT_CLASS, { NULL } };
	const struct client_context long_uid = { "1.2.3.4.5.6.7.8.9.1.2.3.4.5.6.7.8"
		".9.1.2.3.4.5.6.7.8.9.1.2.3.4.5.6", { DICOM_UID_EXPLICIT_LE } };
	struct pdu_extras x;
	struct buf b;

	(void)state;
	build(&b, &no_syntax, 1, NULL, 0);
	assert_int_equal(check(&b, &x), -EPROTO);
	buf_free(&b);
	assert_int_equal(strlen(long_uid.abstract), 65);
	build(&b, &long_uid, 1, NULL, 0);
	assert_int_equal(check(&b, &x), -EPROTO);
	buf_free(&b);
}

static void
test_wrong_user_items_are_refused(void **state)
{
	static const struct { const char *item; size_t len; } bad[] = {
		{ "\x51\0\0\2\0\0", 6 },		/* maximum length */
		{ "\x54\0\0\7\0\5" "1.2.3", 11 },	/* roles missing */
		{ "\x54\0\0\4\0\5\0\0", 8 },
		{ "\x56\0\0\3\0\5x", 7 },
		{ "\x57\0\0\2\0\0", 6 },
		{ "\x55\0\1\0", 4 },			/* leaves its item */
		{ "\x53\0\0", 3 },
	};
	struct pdu_extras x;
	struct buf b;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		build(&b, &ct, 1, bad[i].item, bad[i].len);
		assert_int_equal(check(&b, &x), -EPROTO);
		buf_free(&b);
	}
}

/* Every truncation, in a block of exactly that size for the sanitizer to guard. */
static void
test_every_truncation_is_refused(void **state)
{
	static const char items[] = "\x54\0\0\x9\0\5" "1.2.3" "\1\0"
	    "\x56\0\0\x9\0\5" "1.2.3" "\1\0" "\x57\0\0\x9\0\1" "1\0\1" "2" "\0\0\0";
	struct pdu_extras x;
	const char *why;
	uint8_t *copy;
	struct buf b;

	(void)state;
	build(&b, &ct, 1, items, sizeof(items) - 1);
	assert_int_equal(check(&b, &x), 0);
	for (size_t len = 1; len < b.len; len++) {
		copy = malloc(len);
		memcpy(copy, b.data, len);
		/* Only a cut between the outermost items leaves a request. */
		if (pdu_check_request(copy, len, &x, &why) == 0)
			assert_true(len > 6 + 68 + 25);
		free(copy);
	}
	buf_free(&b);
}

static void
test_too_many_syntaxes_are_refused(void **state)
{
	struct buf b = BUF_INIT(2 << 20), body = BUF_INIT(2 << 20);
	static const char head[68];
	struct pdu_extras x;
	size_t at;

	(void)state;
	(void)buf_add(&body, head, sizeof(head));
	at = begin_item(&body, 0x20);
	(void)buf_add(&body, "\1\0\0\0", 4);
	put_item(&body, 0x30, "1.2");
	for (unsigned i = 0; i <= PDU_SYNTAXES_MAX; i++)
		put_item(&body, 0x40, "1");
	end_item(&body, at);
	put_pdu(&b, C_RQ, body.data, body.len);
	assert_int_equal(check(&b, &x), -EPROTO);
	buf_free(&body);
	buf_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain_request_passes),
		cmocka_unit_test(test_rule_14_extras_are_found),
		cmocka_unit_test(test_context_counts),
		cmocka_unit_test(test_incomplete_contexts_are_refused),
		cmocka_unit_test(test_wrong_user_items_are_refused),
		cmocka_unit_test(test_every_truncation_is_refused),
		cmocka_unit_test(test_too_many_syntaxes_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
