/* test_http_credential.c - secrets come from files, are read again when they
 * change, and never show in what is said.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/base/clock.h"
#include "gateway/http/http.h"
#include "gateway/http/http_int.h"
#include "tests/unit/cloud_support.h"

struct basic_options {
	unsigned line;
	char	*user, *password_file;
};
struct bearer_options {
	unsigned line;
	char	*token_file;
};

static struct cloud plain;
static char path[256];
static struct http_credential *credential;	/* of the client that open_with() made */

static int
get(struct http_client *c, struct http_reply *r)
{
	struct http_request req = { .method = "GET", .path = "/studies?limit=1",
		.deadline_ms = CLOCK_NEVER };

	(void)http_call(c, &req, r);
	return r->status;
}

static struct http_client *
open_with(const struct http_credential_kind *kind, void *options, struct buf *why)
{
	struct config_choice choice = { .kind = &kind->config, .options = options };
	struct http_credential_options co = { .choice = &choice };
	struct http_client_options o = { .url = plain.url };
	struct http_client *c;

	if (http_credential_open(&co, &credential, why) < 0)
		return NULL;
	o.credential = credential;
	assert_int_equal(http_client_new(&o, &c, why), 0);
	return c;
}

static void
close_both(struct http_client *c)
{
	http_client_free(c);
	http_credential_close(TAKE_PTR(credential));
}

static void
test_rotated_password_is_taken(void **state)
{
	struct basic_options o = { 0 };
	char user[] = "site7";
	struct buf why = BUF_INIT(500);
	struct http_client *c;
	struct http_reply r;

	(void)state;
	o.user = user;
	o.password_file = path;
	cloud_write(plain.dir, "secret", "old:pass word\r\n", 0600);
	cloud_order(&plain, "{'config': {'auth': 'site7:old:pass word'}}");
	c = open_with(&http_credential_basic, &o, &why);
	assert_non_null(c);
	assert_int_equal(why.len, 0);
	assert_int_equal(get(c, &r), 204);
	http_reply_free(&r);

	cloud_order(&plain, "{'config': {'auth': 'site7:new'}}");
	assert_int_equal(get(c, &r), 401);
	assert_non_null(strstr(r.why, "user site7 with password_file"));
	assert_non_null(strstr(r.why, path));
	assert_null(strstr(r.why, "pass word"));
	http_reply_free(&r);
	cloud_write(plain.dir, "secret", "new", 0600);
	assert_int_equal(get(c, &r), 204);
	http_reply_free(&r);

	assert_int_equal(remove(path), 0);
	assert_int_equal(get(c, &r), 0);
	assert_int_equal(r.outcome, HTTP_CREDENTIAL);
	assert_non_null(strstr(r.why, "No such file"));
	http_reply_free(&r);
	close_both(c);
	buf_free(&why);
}

static void
test_token_is_taken(void **state)
{
	struct bearer_options o = { .token_file = path };
	struct buf why = BUF_INIT(500);
	struct http_client *c;
	struct http_reply r;

	(void)state;
	cloud_write(plain.dir, "secret", "abc.def\n", 0644);
	cloud_order(&plain, "{'config': {'auth': 'token:abc.def'}}");
	c = open_with(&http_credential_bearer, &o, &why);
	assert_non_null(c);
	assert_non_null(strstr(why.data, "chmod o-r"));
	assert_int_equal(get(c, &r), 204);
	http_reply_free(&r);
	close_both(c);
	buf_free(&why);
}

static void
test_mark_of_an_editor_is_no_secret(void **state)
{
	struct secret_file *s;
	struct buf why = BUF_INIT(500);
	char *text;

	(void)state;
	cloud_write(plain.dir, "secret", "\xef\xbb\xbf" "abc.def\r\n", 0600);
	assert_int_equal(secret_open(path, &s, &why), 0);
	assert_int_equal(secret_get(s, true, &text, &why), 0);
	assert_string_equal(text, "abc.def");
	secret_free(text);
	secret_close(s);
	cloud_write(plain.dir, "secret", "\xef\xbb\xbf", 0600);
	assert_int_equal(secret_open(path, &s, &why), -EINVAL);
	buf_free(&why);
}

static void
test_nothing_is_sent_without(void **state)
{
	struct buf why = BUF_INIT(500);
	struct http_client *c = open_with(&http_credential_none, NULL, &why);
	struct http_reply r;

	(void)state;
	cloud_order(&plain, "{'config': {'auth': 'token:abc.def'}}");
	assert_non_null(c);
	assert_int_equal(get(c, &r), 401);
	assert_non_null(strstr(r.why, "no credential is configured"));
	http_reply_free(&r);
	close_both(c);
}

static void
test_bad_secret_files_are_refused(void **state)
{
	static const char *const bad[] = { "", "\n", "one\ntwo", "a\tb",
		"esc\033[0m" };
	struct bearer_options o = { .token_file = path };
	struct secret_file *s;
	char *huge = xcalloc(1, HTTP_SECRET_MAX + 100);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct buf why = BUF_INIT(500);

		cloud_write(plain.dir, "secret", bad[i], 0600);
		assert_null(open_with(&http_credential_bearer, &o, &why));
		assert_non_null(strstr(why.data, path));
		buf_free(&why);
	}
	memset(huge, 'x', HTTP_SECRET_MAX + 1);
	cloud_write(plain.dir, "secret", huge, 0600);
	free(huge);
	struct buf why = BUF_INIT(500);
	assert_int_equal(secret_open(path, &s, &why), -EFBIG);
	assert_int_equal(secret_open(plain.dir, &s, &why), -EINVAL);
	assert_int_equal(secret_open("/nonexistent/x", &s, &why), -ENOENT);
	buf_free(&why);
}

static void
test_users_that_basic_cannot_carry(void **state)
{
	struct basic_options o = { .password_file = path };
	char bad[] = "si:te";
	struct buf why = BUF_INIT(500);

	(void)state;
	cloud_write(plain.dir, "secret", "x", 0600);
	o.user = bad;
	assert_null(open_with(&http_credential_basic, &o, &why));
	buf_free(&why);
}

static void
test_headers_cannot_be_forged(void **state)
{
	struct http_headers h = { 0 };

	(void)state;
	assert_int_equal(http_headers_add(&h, "A", "b\r\nC: d"), -EINVAL);
	assert_int_equal(http_headers_add(&h, "A\n", "b"), -EINVAL);
	for (int i = 0; i < HTTP_HEADERS_MAX; i++)
		assert_int_equal(http_headers_add(&h, "A", "b"), 0);
	assert_int_equal(http_headers_add(&h, "A", "b"), -ENOBUFS);
	http_headers_free(&h);
}

static int
set_up(void **state)
{
	(void)state;
	cloud_start(&plain, NULL, false);
	(void)snprintf(path, sizeof(path), "%s/secret", plain.dir);
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
		cmocka_unit_test(test_rotated_password_is_taken),
		cmocka_unit_test(test_token_is_taken),
		cmocka_unit_test(test_mark_of_an_editor_is_no_secret),
		cmocka_unit_test(test_nothing_is_sent_without),
		cmocka_unit_test(test_bad_secret_files_are_refused),
		cmocka_unit_test(test_users_that_basic_cannot_carry),
		cmocka_unit_test(test_headers_cannot_be_forged),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
