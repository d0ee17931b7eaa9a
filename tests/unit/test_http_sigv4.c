/* test_http_sigv4.c - signatures for AWS: every published vector, random requests
 * that botocore has signed, and what is added to a request.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>
#include <openssl/evp.h>

#include "gateway/http/aws_int.h"
#include "tests/unit/sigv4_vectors.h"

#define GENERIC_MS INT64_C(1440938160000)	/* 20150830T123600Z */
#define S3_MS	   INT64_C(1369353600000)	/* 20130524T000000Z */
#define RANDOM_CASES 3000

static char generic_id[] = "AKIDEXAMPLE", s3_id[] = "AKIAIOSFODNN7EXAMPLE",
    generic_secret[] = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    s3_secret[] = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
static struct aws_keys generic_keys = { .id = generic_id,
	.secret = generic_secret };
static struct aws_keys s3_keys = { .id = s3_id, .secret = s3_secret };

static void
sign_vector(const struct sigv4_vector *v, const struct aws_keys *keys,
    const char *service, const char *host, int64_t now_ms,
    struct sigv4_text *ret)
{
	struct http_request req = { .method = v->method };
	struct http_service svc = { service, "us-east-1", v->as_it_is };
	struct http_signing s = { .req = &req, .service = &svc, .host = host,
		.path = v->path, .query = v->query, .now_ms = now_ms };
	char signature[SIGV4_SIGNATURE_SIZE];
	size_t n = 0;

	while (n < ARRAY_LEN(v->headers) && v->headers[n].name != NULL)
		n++;
	assert_int_equal(sigv4_prepare("AWS4-HMAC-SHA256", &s, v->headers, n, ret),
	    0);
	assert_int_equal(sigv4_signature(keys, ret->scope, ret->to_sign, signature),
	    0);
	if (strcmp(signature, v->signature) != 0)
		fail_msg("%s: %s", v->name, ret->canonical);
}

static void
test_generic_vectors(void **state)
{
	struct sigv4_text t;

	(void)state;
	assert_int_equal(ARRAY_LEN(generic_vectors), 38);
	for (size_t i = 0; i < ARRAY_LEN(generic_vectors); i++) {
		sign_vector(&generic_vectors[i], &generic_keys, "service",
		    "example.amazonaws.com", GENERIC_MS, &t);
		sigv4_text_free(&t);
	}
}

static void
test_s3_vectors(void **state)
{
	struct sigv4_text t;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(s3_vectors); i++) {
		sign_vector(&s3_vectors[i], &s3_keys, "s3",
		    "examplebucket.s3.amazonaws.com", S3_MS, &t);
		sigv4_text_free(&t);
	}
}

static void
hash_a(size_t n, char ret[65])
{
	char *data = xcalloc(1, n + 1);
	unsigned char md[32];

	memset(data, 'a', n);
	assert_int_equal(EVP_Digest(data, n, md, NULL, EVP_sha256(), NULL), 1);
	for (size_t i = 0; i < sizeof(md); i++)
		(void)snprintf(ret + 2 * i, 3, "%02x", md[i]);
	free(data);
}

static void
check_chunks(const struct sigv4_vector *seed, const char *const *expected)
{
	static const size_t sizes[] = { 65536, 1024, 0 };
	char previous[SIGV4_SIGNATURE_SIZE], hash[65];
	struct sigv4_text t;

	sign_vector(seed, &s3_keys, "s3", "s3.amazonaws.com", S3_MS, &t);
	(void)snprintf(previous, sizeof(previous), "%s", seed->signature);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		AUTO_FREE char *text = NULL;

		hash_a(sizes[i], hash);
		text = xasprintf("AWS4-HMAC-SHA256-PAYLOAD\n%s\n%s\n%s\n%s\n%s",
		    t.date, t.scope, previous, HASH_OF_NONE, hash);
		assert_int_equal(sigv4_signature(&s3_keys, t.scope, text,
		    previous), 0);
		assert_string_equal(previous, expected[i]);
	}
	sigv4_text_free(&t);
}

static void
test_chunked_vectors(void **state)
{
	(void)state;
	check_chunks(&chunked_seed, chunked_signatures);
}

static void
test_trailer_vectors(void **state)
{
	AUTO_FREE char *text = NULL;
	char signature[SIGV4_SIGNATURE_SIZE], hash[65];
	unsigned char md[32];

	(void)state;
	check_chunks(&trailer_seed, trailer_signatures);
	assert_int_equal(EVP_Digest(TRAILER, strlen(TRAILER), md, NULL,
	    EVP_sha256(), NULL), 1);
	for (size_t i = 0; i < sizeof(md); i++)
		(void)snprintf(hash + 2 * i, 3, "%02x", md[i]);
	text = xasprintf("AWS4-HMAC-SHA256-TRAILER\n20130524T000000Z\n"
	    "20130524/us-east-1/s3/aws4_request\n%s\n%s", trailer_signatures[2],
	    hash);
	assert_int_equal(sigv4_signature(&s3_keys,
	    "20130524/us-east-1/s3/aws4_request", text, signature), 0);
	assert_string_equal(signature, TRAILER_SIGNATURE);
}

/* ---- against botocore ---------------------------------------------------- */

static const char *
text_of(const json_t *j, const char *name)
{
	return json_string_value(json_object_get(j, name));
}

static void
check_case(const json_t *j)
{
	const json_t *list = json_object_get(j, "headers");
	struct http_header headers[16];
	struct http_request req = { .method = text_of(j, "method"),
		.content_type = text_of(j, "content_type"),
		.sha256 = text_of(j, "sha256"), .headers = headers,
		.n_headers = json_array_size(list) };
	struct http_service svc = { text_of(j, "service"), text_of(j, "region"),
		json_is_true(json_object_get(j, "s3")) };
	struct http_signing s = { .req = &req, .service = &svc,
		.host = text_of(j, "host"), .path = text_of(j, "path"),
		.query = text_of(j, "query"), .now_ms = 1000 *
		    json_integer_value(json_object_get(j, "now")) };
	struct aws_keys keys = { .id = generic_id,
		.secret = (char *)text_of(j, "secret"),
		.token = (char *)text_of(j, "token") };
	struct http_headers h = { 0 };
	AUTO_FREE char *wanted = xasprintf("Signature=%s", text_of(j, "signature"));

	assert_true(req.n_headers <= ARRAY_LEN(headers));
	for (size_t i = 0; i < req.n_headers; i++) {
		const json_t *pair = json_array_get(list, i);

		headers[i].name = json_string_value(json_array_get(pair, 0));
		headers[i].value = json_string_value(json_array_get(pair, 1));
	}
	assert_int_equal(sigv4_sign(&keys, &s, &h), 0);
	if (strstr(h.line[h.n - 1], wanted) == NULL) {
		struct http_header more = { "X-Amz-Security-Token", keys.token };
		struct sigv4_text t;

		(void)sigv4_prepare("AWS4-HMAC-SHA256", &s, &more,
		    keys.token != NULL, &t);
		fail_msg("ours (but for the hash):\n%s\n---\n%s", t.canonical,
		    text_of(j, "canonical"));
	}
	http_headers_free(&h);
}

static void
test_random_requests_as_botocore_signs_them(void **state)
{
	AUTO_FREE char *command = xasprintf(
	    "exec python3 tests/unit/sigv4_reference.py 7 %d", RANDOM_CASES);
	AUTO_FREE char *line = NULL;
	FILE *f = popen(command, "r");
	size_t size = 0;
	unsigned n = 0;
	int status;

	(void)state;
	assert_non_null(f);
	while (getline(&line, &size, f) > 0) {
		json_t *j = json_loads(line, 0, NULL);

		assert_non_null(j);
		check_case(j);
		json_decref(j);
		n++;
	}
	status = pclose(f);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(status, 0);
	assert_int_equal(n, RANDOM_CASES);
}

/* ---- what is sent -------------------------------------------------------- */

static void
test_what_is_added(void **state)
{
	struct http_request req = { .method = "PUT", .sha256 = HASH_OF_NONE };
	struct http_service svc = { "s3", "eu-west-1", true };
	struct http_signing s = { .req = &req, .service = &svc, .host = "h:9000",
		.path = "/k", .query = "", .now_ms = S3_MS };
	char token[] = "tok";
	struct aws_keys keys = { s3_id, s3_secret, token, INT64_MAX };
	struct http_headers h = { 0 };

	(void)state;
	assert_int_equal(sigv4_sign(&keys, &s, &h), 0);
	assert_int_equal(h.n, 4);
	assert_string_equal(h.line[0], "X-Amz-Date: 20130524T000000Z");
	assert_string_equal(h.line[1], "X-Amz-Content-Sha256: " HASH_OF_NONE);
	assert_string_equal(h.line[2], "X-Amz-Security-Token: tok");
	assert_non_null(strstr(h.line[3], "Credential=AKIAIOSFODNN7EXAMPLE/20130524/"
	    "eu-west-1/s3/aws4_request, SignedHeaders=host;x-amz-content-sha256;"
	    "x-amz-date;x-amz-security-token, Signature="));
	http_headers_free(&h);
}

static void
test_what_cannot_be_signed(void **state)
{
	struct http_request req = { .method = "PUT", .body_length = 5 };
	struct http_service none = { 0 }, svc = { "s3", "eu-west-1", true };
	struct http_signing s = { .req = &req, .service = &svc, .host = "h",
		.path = "/k", .query = "", .now_ms = S3_MS };
	struct http_headers h = { 0 };
	char token[] = "a\r\nb: c";
	struct aws_keys keys = s3_keys;

	(void)state;
	assert_int_equal(sigv4_sign(&keys, &s, &h), -EINVAL);
	req.sha256 = HASH_OF_NONE;
	s.service = &none;
	assert_int_equal(sigv4_sign(&keys, &s, &h), -EINVAL);
	s.service = &svc;
	keys.token = token;
	assert_int_equal(sigv4_sign(&keys, &s, &h), -EINVAL);
	http_headers_free(&h);
}

static void
test_keys_are_emptied(void **state)
{
	struct aws_keys k = { .id = xstrdup("i"), .secret = xstrdup("s") };

	(void)state;
	aws_keys_free(&k);
	assert_null(k.id);
	assert_null(k.secret);
	aws_keys_free(&k);
	aws_keys_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_generic_vectors),
		cmocka_unit_test(test_s3_vectors),
		cmocka_unit_test(test_chunked_vectors),
		cmocka_unit_test(test_trailer_vectors),
		cmocka_unit_test(test_random_requests_as_botocore_signs_them),
		cmocka_unit_test(test_what_is_added),
		cmocka_unit_test(test_what_cannot_be_signed),
		cmocka_unit_test(test_keys_are_emptied),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
