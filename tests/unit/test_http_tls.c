/* test_http_tls.c - certificates that are not good, in words that name whose and
 * what to do; and our own certificate.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/base/clock.h"
#include "gateway/http/http.h"
#include "tests/unit/cloud_support.h"

struct certificate_options {
	unsigned line;
	char	*certificate_file, *key_file, *key_passphrase_file;
};

static const struct http_credential_kind *
kind_named(const char *name)
{
	for (size_t i = 0; http_credential_kinds()[i] != NULL; i++) {
		if (strcmp(http_credential_kinds()[i]->config.name, name) == 0)
			return http_credential_kinds()[i];
	}
	abort();
}

static char *
cert_path(const char *name)
{
	static char path[4][256];
	static unsigned next;
	char *p = path[next++ % 4];

	(void)snprintf(p, sizeof(path[0]), "%s/%s", cloud_certs, name);
	return p;
}

static enum http_outcome
try(const char *url, const char *ca, const struct config_choice *credential,
    struct http_reply *r)
{
	struct http_client_options o = { .url = url, .ca_file = ca,
		.connect_timeout_ms = 5000,
		.stall_timeout_ms = 2000 };
	struct http_request req = { .method = "GET", .path = "/studies?limit=1",
		.deadline_ms = CLOCK_NEVER };
	struct buf why = BUF_INIT(500);
	struct http_client *c;

	assert_int_equal(http_credential_open(&(struct http_credential_options){
	    .choice = credential }, &o.credential, &why), 0);
	assert_int_equal(http_client_new(&o, &c, &why), 0);
	(void)http_call(c, &req, r);
	http_client_free(c);
	http_credential_close(o.credential);
	buf_free(&why);
	return r->outcome;
}

#define SAYS(reply, text)                                               \
	do {                                                            \
		if (strstr((reply).why, (text)) == NULL)                \
			fail_msg("\"%s\" lacks \"%s\"", (reply).why, text); \
	} while (0)

static void
test_good_certificate(void **state)
{
	struct cloud c;
	struct http_reply r;

	(void)state;
	cloud_start(&c, "server", false);
	if (try(c.url, c.ca, NULL, &r) != HTTP_ANSWERED)
		fail_msg("%s", r.why);
	assert_int_equal(r.status, 204);
	http_reply_free(&r);

	/* Known to nobody but that CA. */
	assert_int_equal(try(c.url, cert_path("other-ca.pem"), NULL, &r), HTTP_TLS);
	SAYS(r, "issued by \"Test CA\"");
	SAYS(r, "not in tls: ca_file");
	http_reply_free(&r);
	assert_int_equal(try(c.url, NULL, NULL, &r), HTTP_TLS);
	SAYS(r, "this machine does not know; name its CA in tls: ca_file");
	http_reply_free(&r);
	assert_int_equal(try(c.url, cert_path("server.key"), NULL, &r), HTTP_TLS);
	SAYS(r, "ca_file");
	http_reply_free(&r);
	cloud_stop(&c);
}

static void
test_expired_and_wrong_name(void **state)
{
	struct cloud c;
	struct http_reply r;

	(void)state;
	cloud_start(&c, "expired", false);
	assert_int_equal(try(c.url, c.ca, NULL, &r), HTTP_TLS);
	SAYS(r, "\"expired.example.org\" expired on 20");
	http_reply_free(&r);
	cloud_stop(&c);

	cloud_start(&c, "wrongname", false);
	assert_int_equal(try(c.url, c.ca, NULL, &r), HTTP_TLS);
	SAYS(r, "is for elsewhere.example.org");
	http_reply_free(&r);
	cloud_stop(&c);
}

static void
test_no_tls_there(void **state)
{
	struct cloud c;
	struct http_reply r;
	char url[64];

	(void)state;
	cloud_start(&c, NULL, false);
	(void)snprintf(url, sizeof(url), "https://localhost:%u", c.port);
	assert_int_equal(try(url, NULL, NULL, &r), HTTP_TLS);
	http_reply_free(&r);
	cloud_stop(&c);
}

static void
test_our_certificate(void **state)
{
	struct cloud c;
	struct http_reply r;
	struct certificate_options o = { 0 };
	struct config_choice choice = {
		.kind = &kind_named("client_certificate")->config,
		.options = &o,
	};

	(void)state;
	cloud_start(&c, "server", true);
	assert_int_equal(try(c.url, c.ca, NULL, &r), HTTP_TLS);
	SAYS(r, "wants a certificate of ours");
	http_reply_free(&r);

	o.certificate_file = cert_path("client.pem");
	o.key_file = cert_path("client.key");
	if (try(c.url, c.ca, &choice, &r) != HTTP_ANSWERED)
		fail_msg("%s", r.why);
	http_reply_free(&r);
	o.key_file = cert_path("client-locked.key");
	o.key_passphrase_file = cert_path("passphrase.txt");
	if (try(c.url, c.ca, &choice, &r) != HTTP_ANSWERED)
		fail_msg("%s", r.why);
	http_reply_free(&r);
	cloud_stop(&c);
}

static void
test_our_certificate_is_checked_when_opened(void **state)
{
	static const struct { const char *cert, *key, *phrase, *says; } cases[] = {
		{ "client.pem", "client-locked.key", NULL, "passphrase" },
		{ "client.pem", "client-locked.key", "ca.pem", "line" },
		{ "client.pem", "server.key", NULL, "key" },
		{ "client.key", "client.key", NULL, "no certificate" },
		{ "none.pem", "client.key", NULL, "none.pem" },
	};
	const struct http_credential_kind *kind = kind_named("client_certificate");

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf why = BUF_INIT(500);
		struct certificate_options o = { 0 };
		void *cred;

		o.certificate_file = cert_path(cases[i].cert);
		o.key_file = cert_path(cases[i].key);
		if (cases[i].phrase != NULL)
			o.key_passphrase_file = cert_path(cases[i].phrase);
		assert_true(kind->open(&o,
		    &(struct http_credential_options){ 0 }, &cred, &why) < 0);
		if (strstr(why.data, cases[i].says) == NULL)
			fail_msg("%zu: %s", i, why.data);
		buf_free(&why);
	}
}

static int
set_up(void **state)
{
	(void)state;
	return http_global_init();
}

static int
tear_down(void **state)
{
	(void)state;
	cloud_remove_dir(cloud_certs);
	http_global_cleanup();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_certificate),
		cmocka_unit_test(test_expired_and_wrong_name),
		cmocka_unit_test(test_no_tls_there),
		cmocka_unit_test(test_our_certificate),
		cmocka_unit_test(test_our_certificate_is_checked_when_opened),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
