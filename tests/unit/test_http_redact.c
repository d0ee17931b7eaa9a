/* test_http_redact.c - whatever a server quotes of our login, however it cuts it, no
 * letters of it are shown; and its other words stay.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/http/http_int.h"

#define TOKEN "eyJhbGciOi.J/TUzI1NiJ9+0123456789"

static void
test_runs(void **state)
{
	static const struct { const char *secret, *said, *shown; } cases[] = {
		{ TOKEN, "bad " TOKEN "!", "bad *********************************!" },
		{ TOKEN, "it ends in 123456789", "it ends in *********" },
		{ TOKEN, "from within: J/TUzI1N", "from within: ********" },
		{ TOKEN, "cut off: eyJhbG", "cut off: ******" },
		{ TOKEN, "twice 0123456789, 0123456789",
		    "twice **********, **********" },
		{ TOKEN, "the 01234 of others, and AccessDenied",
		    "the 01234 of others, and AccessDenied" },
		{ TOKEN, "", "" },
		{ TOKEN, "no_eyJhb", "no_eyJhb" },
		{ "client~secret", "invalid_client", "invalid_client" },
		{ "short", "a short word, and shor", "a ***** word, and ****" },
		{ "abc", "abc says little", "abc says little" },
		{ "", "anything", "anything" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO_FREE char *text = xstrdup(cases[i].said);

		redact_secret(text, cases[i].secret);
		assert_string_equal(text, cases[i].shown);
	}
}

static struct curl_slist *
list(const char *a, const char *b)
{
	struct curl_slist *l = curl_slist_append(NULL, a);

	return curl_slist_append(l, b);
}

static void
test_what_is_collected(void **state)
{
	static const struct { const char *header, *said, *shown; } cases[] = {
		{ "Authorization: Bearer " TOKEN, "Bearer " TOKEN,
		    "Bearer *********************************" },
		/* site7:hunter2-long */
		{ "Authorization: Basic c2l0ZTc6aHVudGVyMi1sb25n",
		    "site7 with hunter2-long, c2l0ZTc6aHVudGVyMi1sb25n",
		    "site7 with ************, ************************" },
		{ "Authorization: Basic no-base64!", "no-base64!", "**********" },
		{ "X-Amz-Security-Token: " TOKEN, "the token " TOKEN,
		    "the token *********************************" },
		{ "authorization: AWS4-HMAC-SHA256 Credential=AKID/20260101/"
		    "eu-west-1/s3/aws4_request, SignedHeaders=host, "
		    "Signature=0123456789abcdef",
		    "AKID/20260101/eu-west-1/s3 was signed 0123456789abcdef",
		    "AKID/20260101/eu-west-1/s3 was signed ****************" },
		{ "Content-Type: application/dicom", "application/dicom",
		    "application/dicom" },
		{ "Expect:", "Expect", "Expect" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct curl_slist *l = list("Accept: text/plain",
		    cases[i].header);
		struct http_reply r = { .proof = BUF_INIT(HTTP_PROOF_MAX) };
		AUTO_FREE char *text = xstrdup(cases[i].said);

		redact_collect(l, &r.proof);
		http_reply_redact(&r, text);
		assert_string_equal(text, cases[i].shown);
		http_reply_free(&r);
		curl_slist_free_all(l);
	}
}

static void
test_no_request(void **state)
{
	struct http_reply r = { .status = 0 };
	char text[] = "nothing was sent";

	(void)state;
	http_reply_redact(&r, text);
	assert_string_equal(text, "nothing was sent");
	http_reply_free(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_runs),
		cmocka_unit_test(test_what_is_collected),
		cmocka_unit_test(test_no_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
