/* test_http_aws.c - what services of AWS (and Google, and Azure) say when they
 * refuse: which fault it is, in which words; and keys that lie in files.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/base/log.h"
#include "gateway/http/aws_int.h"
#include "tests/unit/cloud_support.h"
#include "tests/unit/http_peer.h"

#define SECRET "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY"
#define TOKEN  "FQoGZXIvYXdzEPTwEXAMPLEtc764bNrC9SAPBSM22wDOk4"

struct aws_keys_options {
	unsigned line;
	char	*access_key_id, *access_key_id_file;
	char	*secret_access_key_file, *session_token_file;
};

static struct peer peer;
static char dir[128], id_file[160], secret_file[160], token_file[160];

#define SAYS(reply, text)                                               \
	do {                                                            \
		if (strstr((reply).why, (text)) == NULL)                \
			fail_msg("\"%s\" lacks \"%s\"", (reply).why, text); \
	} while (0)

/* ---- a client with keys -------------------------------------------------- */

static struct http_credential *credential;

static struct aws_keys_options
options_in_files(void)
{
	return (struct aws_keys_options){ .access_key_id_file = id_file,
		.secret_access_key_file = secret_file,
		.session_token_file = token_file };
}

static struct http_client *
client_with(struct aws_keys_options *o)
{
	struct config_choice choice = { .kind = &http_credential_aws_keys.config,
		.options = o };
	struct http_credential_options co = { .choice = &choice };
	struct http_client_options h = { .url = peer.url,
		.service = { "s3", "us-east-1", true } };
	struct buf why = BUF_INIT(500);
	struct http_client *c;

	if (http_credential_open(&co, &credential, &why) < 0)
		fail_msg("%s", why.data);
	assert_int_equal(why.len, 0);
	h.credential = credential;
	assert_int_equal(http_client_new(&h, &c, &why), 0);
	buf_free(&why);
	return c;
}

static void
close_both(struct http_client *c)
{
	http_client_free(c);
	http_credential_close(TAKE_PTR(credential));
}

static void
write_keys(const char *id, const char *secret, const char *token)
{
	cloud_write(dir, "id", id, 0600);
	cloud_write(dir, "secret", secret, 0600);
	cloud_write(dir, "token", token, 0600);
}

static void
get(struct http_client *c, struct http_reply *r)
{
	struct http_request req = { .method = "GET", .path = "/bucket/key" };

	(void)http_call(c, &req, r);
	assert_null(strstr(r->why, SECRET));
	assert_null(strstr(r->why, TOKEN));
	assert_null(strstr(r->why, "Signature="));
	for (const char *p = r->why; *p != '\0'; p++)
		assert_true((unsigned char)*p >= ' ');
}

/* ---- faults -------------------------------------------------------------- */

#define XML(code, more) "<?xml version=\"1.0\"?>\n<Error><Code>" code "</Code>" \
	"<Message>It says\n so.\x1b[31m</Message>" more "</Error>"

static const struct {
	int status;
	const char *head, *body;
	enum aws_fault fault;
	const char *code, *says;
} faults[] = {
	{ 403, "", XML("AccessDenied", ""), AWS_DENIED, "AccessDenied",
	    "403: AccessDenied: It says so. [31m (the key in access_key_id_file" },
	{ 403, "", XML("SignatureDoesNotMatch", "<StringToSign>x</StringToSign>"),
	    AWS_DENIED, "SignatureDoesNotMatch", "the secret does not belong to the "
	    "key id, or a proxy changes requests" },
	{ 403, "", XML("InvalidAccessKeyId", ""), AWS_DENIED, "InvalidAccessKeyId",
	    "this key id does not exist there" },
	{ 400, "", XML("ExpiredToken", "<Token-0>" TOKEN "</Token-0>"), AWS_EXPIRED,
	    "ExpiredToken", "the session's keys have expired" },
	{ 400, "", XML("InvalidToken", ""), AWS_EXPIRED, "InvalidToken",
	    "session token" },
	{ 403, "", XML("RequestTimeTooSkewed", ""), AWS_SKEWED,
	    "RequestTimeTooSkewed", "the clocks differ" },
	{ 404, "", XML("NoSuchBucket", ""), AWS_NO_FAULT, "NoSuchBucket",
	    "look at bucket and region" },
	{ 503, "", XML("SlowDown", ""), AWS_NO_FAULT, "SlowDown",
	    "503: SlowDown: it asks for fewer requests" },
	{ 301, "x-amz-bucket-region: eu-west-1\r\n", XML("PermanentRedirect",
	    "<Endpoint>b.s3.amazonaws.com</Endpoint>"), AWS_NO_FAULT,
	    "PermanentRedirect", "another region: set region: eu-west-1" },
	{ 301, "x-amz-bucket-region: eu-west-1\r\n", "", AWS_NO_FAULT, "",
	    "set region: eu-west-1" },
	{ 400, "", XML("AuthorizationHeaderMalformed",
	    "<Region>eu-central-1</Region>"), AWS_NO_FAULT,
	    "AuthorizationHeaderMalformed", "set region: eu-central-1" },
	{ 400, "x-amz-bucket-region: eu-west-1\r\n", XML("EntityTooLarge", ""),
	    AWS_NO_FAULT, "EntityTooLarge", "EntityTooLarge: It says" },
	{ 301, "x-amz-bucket-region: \"; rm\r\n", "", AWS_NO_FAULT, "",
	    "points somewhere else" },
	{ 400, "", XML("KMS.DisabledException", ""), AWS_NO_FAULT,
	    "KMS.DisabledException", "KMS.DisabledException: It says" },
	{ 403, "", "", AWS_DENIED, "", "403: the server knows us and forbids" },
	{ 400, "x-amzn-ErrorType: ExpiredTokenException:http://x/\r\n",
	    "{\"message\": \"old\"}", AWS_EXPIRED, "ExpiredTokenException",
	    "have expired" },
	{ 403, "", "{\"__type\": \"com.amazon#AccessDeniedException\", \"Message\": "
	    "\"User: arn is not authorized\"}", AWS_DENIED, "AccessDeniedException",
	    "AccessDeniedException: User: arn is not authorized" },
	{ 403, "x-amzn-errortype: InvalidSignatureException\r\n",
	    "{\"message\": \"Signature expired: 2013 is now earlier than 2014\"}",
	    AWS_SKEWED, "InvalidSignatureException", "the clocks differ" },
	{ 403, "x-amzn-errortype: InvalidSignatureException\r\n",
	    "{\"message\": \"The Canonical String should be "
	    "x-amz-security-token:" TOKEN "\"}", AWS_DENIED,
	    "InvalidSignatureException", "the secret does not belong" },
	{ 400, "x-amzn-errortype: ValidationException\r\n",
	    "{\"message\": \"got x-amz-security-token:" TOKEN "\"}", AWS_NO_FAULT,
	    "ValidationException", "400: ValidationException" },
	{ 429, "x-amzn-errortype: ThrottlingException\r\n", "{}", AWS_NO_FAULT,
	    "ThrottlingException", "fewer requests" },
	{ 403, "", "{\"error\": {\"code\": 403, \"status\": \"PERMISSION_DENIED\", "
	    "\"message\": \"Permission healthcare.x denied\"}}", AWS_NO_FAULT,
	    "PERMISSION_DENIED", "PERMISSION_DENIED: Permission healthcare.x" },
	{ 403, "", "{\"error\": {\"code\": \"AuthorizationFailed\", "
	    "\"message\": \"no role\"}}", AWS_NO_FAULT, "AuthorizationFailed",
	    "AuthorizationFailed: no role" },
	{ 400, "", "{\"error\": \"invalid_request\", \"error_description\": "
	    "\"what\"}", AWS_NO_FAULT, "invalid_request", "invalid_request: what" },
	/* Nobody's form: it may speak of patients. */
	{ 500, "", "{\"Message\": \"DOE^JOHN\"}", AWS_NO_FAULT, "",
	    "500: the server failed inside" },
	{ 500, "", "<html>DOE^JOHN<Code>x</Code></html>", AWS_NO_FAULT, "",
	    "500: the server failed inside" },
	{ 500, "", "{\"error\"", AWS_NO_FAULT, "", "500: the server failed" },
	{ 500, "", "[[[[", AWS_NO_FAULT, "", "500: the server failed" },
	{ 500, "", "<Error><Code>cut", AWS_NO_FAULT, "", "500: the server failed" },
};

static void
test_faults_are_known_and_said(void **state)
{
	struct aws_keys_options o = options_in_files();
	char code[64];

	(void)state;
	write_keys("AKIDEXAMPLE", SECRET, TOKEN);
	for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
		AUTO_FREE char *answer = xasprintf("HTTP/1.1 %d X\r\n%s"
		    "Content-Length: %zu\r\n\r\n%s", faults[i].status,
		    faults[i].head, strlen(faults[i].body), faults[i].body);
		struct http_client *c = client_with(&o);
		struct http_reply r;

		peer_clear(&peer);
		peer.answer[0] = answer;
		get(c, &r);
		assert_int_equal(r.status, faults[i].status);
		if (aws_fault(&r) != faults[i].fault)
			fail_msg("%zu: %d", i, (int)aws_fault(&r));
		aws_error_code(&r, code, sizeof(code));
		assert_string_equal(code, faults[i].code);
		SAYS(r, faults[i].says);
		assert_null(strstr(r.why, "DOE"));
		http_reply_free(&r);
		close_both(c);
		assert_int_equal(peer_count(&peer), 1);
	}
}

/* ---- keys ---------------------------------------------------------------- */

static void
test_keys_sign(void **state)
{
	struct aws_keys_options o = options_in_files();
	struct http_client *c;
	struct http_reply r;

	(void)state;
	write_keys("AKIDEXAMPLE\n", SECRET "\n", TOKEN "\n");
	c = client_with(&o);
	peer_clear(&peer);
	peer.answer[0] = PEER_OK;
	get(c, &r);
	assert_int_equal(r.status, 200);
	assert_int_equal(strncmp(peer_header(&peer, 0, "Authorization"),
	    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20", 42), 0);
	assert_string_equal(peer_header(&peer, 0, "X-Amz-Security-Token"), TOKEN);
	assert_null(strstr(peer.head[0], SECRET));
	http_reply_free(&r);
	close_both(c);
}

static void
test_rotated_keys_are_taken(void **state)
{
	static const char expired[] = "HTTP/1.1 400 X\r\nContent-Length: 60\r\n\r\n"
	    "<Error><Code>ExpiredToken</Code><Message>m</Message></Error>";
	struct aws_keys_options o = options_in_files();
	struct http_client *c;
	struct http_reply r;

	(void)state;
	write_keys("AKIDOLD", SECRET, TOKEN);
	c = client_with(&o);
	peer_clear(&peer);
	peer.answer[0] = peer.answer[1] = expired;
	/* Nothing changed: nothing is tried again. */
	get(c, &r);
	assert_int_equal(r.status, 400);
	assert_int_equal(peer_count(&peer), 1);
	http_reply_free(&r);

	write_keys("AKIDNEW", SECRET "2", TOKEN "2");
	get(c, &r);
	assert_int_equal(peer_count(&peer), 2);
	assert_non_null(strstr(peer_header(&peer, 1, "Authorization"), "AKIDNEW"));
	http_reply_free(&r);
	close_both(c);
}

static void *cred;

static bool
refused_with(const char *code, int status)
{
	struct http_reply r = { .outcome = HTTP_ANSWERED, .status = status,
		.body = BUF_INIT(1000) };
	bool again;

	(void)buf_printf(&r.body, "<Error><Code>%s</Code></Error>", code);
	again = http_credential_aws_keys.refresh(cred, &r);
	buf_free(&r.body);
	return again;
}

static void
test_a_refresh_when_a_file_changed(void **state)
{
	struct aws_keys_options o = options_in_files();
	struct http_request req = { .method = "GET" };
	struct http_service svc = { "s3", "us-east-1", true };
	struct http_signing s = { .req = &req, .service = &svc, .host = "h",
		.path = "/", .query = "" };
	struct http_headers h = { 0 };
	struct buf why = BUF_INIT(500);

	(void)state;
	write_keys("AKIDOLD", SECRET, TOKEN);
	assert_int_equal(http_credential_aws_keys.open(&o,
	    &(struct http_credential_options){ 0 }, &cred, &why), 0);
	assert_false(refused_with("ExpiredToken", 400));
	assert_int_equal(http_credential_aws_keys.apply(cred, &s, &h, &why), 0);
	assert_false(refused_with("ExpiredToken", 400));
	write_keys("AKIDOLD", SECRET, TOKEN "new");
	assert_true(refused_with("ExpiredToken", 400));
	assert_true(refused_with("InvalidAccessKeyId", 403));
	assert_false(refused_with("RequestTimeTooSkewed", 403));
	assert_false(refused_with("NoSuchBucket", 404));
	assert_int_equal(http_credential_aws_keys.apply(cred, &s, &h, &why), 0);
	assert_false(refused_with("ExpiredToken", 400));
	(void)remove(token_file);
	assert_false(refused_with("ExpiredToken", 400));
	assert_int_equal(http_credential_aws_keys.apply(cred, &s, &h, &why),
	    -EAGAIN);
	assert_non_null(strstr(why.data, token_file));
	http_credential_aws_keys.close(cred);
	http_headers_free(&h);
	buf_free(&why);
}

static void
test_bad_keys_are_refused_when_opened(void **state)
{
	static char no_id[] = "AKID EXAMPLE", nofile[] = "/nonexistent/secret";
	struct aws_keys_options all[4] = { options_in_files(), options_in_files(),
		options_in_files(), options_in_files() };

	(void)state;
	write_keys("two words", SECRET, TOKEN);
	all[1].access_key_id = no_id;
	all[2].secret_access_key_file = nofile;
	all[3].session_token_file = nofile;
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		struct buf why = BUF_INIT(500);

		if (i == 2)
			write_keys("AKID", SECRET, TOKEN);
		assert_true(http_credential_aws_keys.open(&all[i],
		    &(struct http_credential_options){ 0 }, &cred, &why) < 0);
		assert_true(why.len > 0);
		assert_null(strstr(why.data, SECRET));
		buf_free(&why);
	}
}

static void
test_only_services_of_aws_are_signed_for(void **state)
{
	static char id[] = "AKIDEXAMPLE";
	struct aws_keys_options o = { .access_key_id = id,
		.secret_access_key_file = secret_file };
	struct config_choice choice = { .kind = &http_credential_aws_keys.config,
		.options = &o };
	struct http_credential_options co = { .choice = &choice };
	struct http_client_options h = { .url = peer.url };
	struct buf why = BUF_INIT(500);
	struct http_client *c;
	struct http_reply r;

	(void)state;
	write_keys("x", SECRET, "x");
	peer_clear(&peer);
	assert_int_equal(http_credential_open(&co, &credential, &why), 0);
	h.credential = credential;
	assert_int_equal(http_client_new(&h, &c, &why), 0);
	get(c, &r);
	assert_int_equal(r.outcome, HTTP_CREDENTIAL);
	SAYS(r, "cannot sign");
	assert_int_equal(peer_count(&peer), 0);
	http_reply_free(&r);
	close_both(c);
	buf_free(&why);
}

static void
swallow(void *arg, const char *line)
{
	(void)arg;
	(void)line;
}

static int
set_up(void **state)
{
	(void)state;
	cloud_make_dir(dir, sizeof(dir), "keys");
	(void)snprintf(id_file, sizeof(id_file), "%s/id", dir);
	(void)snprintf(secret_file, sizeof(secret_file), "%s/secret", dir);
	(void)snprintf(token_file, sizeof(token_file), "%s/token", dir);
	peer_start(&peer);
	log_capture(swallow, NULL);
	return http_global_init();
}

static int
tear_down(void **state)
{
	(void)state;
	peer_stop(&peer);
	cloud_remove_dir(dir);
	http_global_cleanup();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_faults_are_known_and_said),
		cmocka_unit_test(test_keys_sign),
		cmocka_unit_test(test_rotated_keys_are_taken),
		cmocka_unit_test(test_a_refresh_when_a_file_changed),
		cmocka_unit_test(test_bad_keys_are_refused_when_opened),
		cmocka_unit_test(test_only_services_of_aws_are_signed_for),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
