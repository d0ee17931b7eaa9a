/* test_dimse_negotiate.c - which contexts are accepted, and in which syntax (rules
 * 12 to 14), and how the log tells it (rule 37).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/dimse/negotiate_int.h"

#define CT	 "1.2.840.10008.5.1.4.1.1.2"
#define WORKLIST "1.2.840.10008.5.1.4.31"
#define PRINT	 "1.2.840.10008.5.1.1.9"
#define JPEG	 "1.2.840.10008.1.2.4."
#define RLE	 "1.2.840.10008.1.2.5"
#define GE	 "1.2.840.113619.5.2"
#define BOTH	 (CONFIG_ALLOW_ECHO | CONFIG_ALLOW_STORE)

static struct assoc_context
context(const char *abstract, const char *const *syntaxes)
{
	struct assoc_context c = { .id = 1, .syntaxes = syntaxes };

	(void)strncpy(c.abstract_syntax, abstract, sizeof(c.abstract_syntax) - 1);
	while (syntaxes[c.n_syntaxes] != NULL)
		c.n_syntaxes++;
	return c;
}

static struct assoc_answer
negotiate(const struct assoc_context *c, const struct config_peer *peer,
    unsigned allow)
{
	const struct assoc_request rq = { .n_contexts = 1, .contexts = c };
	struct negotiation n;

	negotiate_contexts(&rq, peer, allow, &n);
	assert_int_equal(n.accepted, n.answers[0].result == ASSOC_ACCEPTED);
	return n.answers[0];
}

static void
test_rule_12_order_of_syntaxes(void **state)
{
	/* The first of each list, in any order, is what must be taken. */
	static const char *const cases[][8] = {
		{ DICOM_UID_EXPLICIT_LE, DICOM_UID_IMPLICIT_LE, JPEG "70", JPEG "50",
		    DICOM_UID_EXPLICIT_BE },
		{ DICOM_UID_IMPLICIT_LE, JPEG "70", JPEG "90", JPEG "50" },
		{ JPEG "70", JPEG "80", JPEG "90", JPEG "201", RLE },
		{ JPEG "80", JPEG "90", JPEG "201", RLE },
		{ JPEG "90", JPEG "201", RLE },
		{ JPEG "201", RLE },
		{ RLE, DICOM_UID_DEFLATED_LE, DICOM_UID_EXPLICIT_BE },
		{ DICOM_UID_DEFLATED_LE, DICOM_UID_EXPLICIT_BE, JPEG "50" },
		{ DICOM_UID_EXPLICIT_BE, JPEG "50", JPEG "91" },
		{ JPEG "50", JPEG "94", JPEG "95" },	/* JPIP is never taken */
		{ GE, JPEG "204" },
		{ "1.2.3.4.999", JPEG "205" },
	};
	const char *turned[8];
	struct assoc_context c;
	struct assoc_answer a;
	unsigned n;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		c = context(CT, cases[i]);
		a = negotiate(&c, NULL, BOTH);
		assert_int_equal(a.result, ASSOC_ACCEPTED);
		assert_string_equal(a.syntax, cases[i][0]);
		n = c.n_syntaxes;
		memset(turned, 0, sizeof(turned));
		for (unsigned k = 0; k < n; k++)
			turned[k] = cases[i][n - 1 - k];
		c = context(CT, turned);
		a = negotiate(&c, NULL, BOTH);
		assert_string_equal(a.syntax, cases[i][0]);
	}
}

static void
test_rule_12_peers_own_order(void **state)
{
	static const char *const offered[] = { DICOM_UID_EXPLICIT_LE, JPEG "70",
		JPEG "50", NULL };
	static const char *const other[] = { RLE, DICOM_UID_IMPLICIT_LE, NULL };
	char lossy[] = JPEG "50", lossless[] = JPEG "70";
	char *own[] = { lossy, lossless };
	const struct config_peer peer = { .transfer_syntaxes = { 2, own } };
	struct assoc_context c = context(CT, offered);

	(void)state;
	assert_string_equal(negotiate(&c, &peer, BOTH).syntax, JPEG "50");
	c = context(CT, other);	/* none of its own: the usual order */
	assert_string_equal(negotiate(&c, &peer, BOTH).syntax,
	    DICOM_UID_IMPLICIT_LE);
}

static void
test_rule_14_what_is_storage(void **state)
{
	static const char *const le[] = { DICOM_UID_IMPLICIT_LE, NULL };
	static const char *const jpip[] = { JPEG "94", NULL };
	static const char *const ill[] = { "", "1.2 3", NULL };
	static const struct {
		const char *abstract;
		const char *const *syntaxes;
		unsigned allow;
		int result;
	} cases[] = {
		{ CT, le, BOTH, ASSOC_ACCEPTED },
		{ "1.2.840.113619.4.30", le, BOTH, ASSOC_ACCEPTED }, /* private */
		{ "1.2.3.4.5.6", le, BOTH, ASSOC_ACCEPTED },
		{ DICOM_UID_VERIFICATION, le, BOTH, ASSOC_ACCEPTED },
		{ DICOM_UID_VERIFICATION, le, CONFIG_ALLOW_STORE,
		    ASSOC_USER_REJECTED },
		{ CT, le, CONFIG_ALLOW_ECHO, ASSOC_USER_REJECTED },
		{ WORKLIST, le, BOTH, ASSOC_ABSTRACT_UNSUPPORTED },
		{ PRINT, le, BOTH, ASSOC_ABSTRACT_UNSUPPORTED },
		{ "1.2.840.10008.5.1.4.1.2.2.1", le, BOTH,
		    ASSOC_ABSTRACT_UNSUPPORTED },
		{ "1.2.840.10008.1.20.1", le, BOTH, ASSOC_ABSTRACT_UNSUPPORTED },
		{ "", le, BOTH, ASSOC_ABSTRACT_UNSUPPORTED },
		{ CT, jpip, BOTH, ASSOC_SYNTAXES_UNSUPPORTED },
		{ CT, ill, BOTH, ASSOC_SYNTAXES_UNSUPPORTED },
	};
	struct assoc_context c;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		c = context(cases[i].abstract, cases[i].syntaxes);
		assert_int_equal(negotiate(&c, NULL, cases[i].allow).result,
		    cases[i].result);
	}
	c = context(PRINT, le);
	c.proves_storage = true;
	assert_int_equal(negotiate(&c, NULL, BOTH).result, ASSOC_ACCEPTED);
}

static void
test_rule_37_compact_lists(void **state)
{
	static const char *const le[] = { DICOM_UID_EXPLICIT_LE, NULL };
	static const char *const implicit[] = { DICOM_UID_IMPLICIT_LE, NULL };
	static const char *const private[] = { "1.2.3.4", NULL };
	const struct assoc_context contexts[] = { context(CT, le),
		context(WORKLIST, le), context(CT, implicit), context(CT, le),
		context("1.3.12.2", private), context(WORKLIST, implicit) };
	const struct assoc_request rq = { .n_contexts = 6, .contexts = contexts };
	struct buf yes = BUF_INIT(1000), no = BUF_INIT(1000);
	struct negotiation n;

	(void)state;
	negotiate_contexts(&rq, NULL, BOTH, &n);
	assert_int_equal(n.accepted, 4);
	negotiate_print_accepted(&rq, &n, &yes);
	negotiate_print_refused(&rq, &n, &no);
	assert_string_equal(yes.data, ".5.1.4.1.1.2=.1.2.1,.1.2,.1.2.1 "
	    "1.3.12.2=1.2.3.4");
	assert_string_equal(no.data, ".5.1.4.31:class-not-served");
	buf_free(&yes);
	buf_free(&no);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rule_12_order_of_syntaxes),
		cmocka_unit_test(test_rule_12_peers_own_order),
		cmocka_unit_test(test_rule_14_what_is_storage),
		cmocka_unit_test(test_rule_37_compact_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
