/* test_http_proxy.c - through a proxy; what it is told and what not; and that its
 * faults are told from the cloud's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/base/clock.h"
#include "gateway/http/http_int.h"
#include "tests/unit/cloud_support.h"
#include "tests/unit/http_peer.h"

static struct cloud tls;
static struct peer proxy;
static char password_file[256];

#define SAYS(reply, text)                                               \
	do {                                                            \
		if (strstr((reply).why, (text)) == NULL)                \
			fail_msg("\"%s\" lacks \"%s\"", (reply).why, text); \
	} while (0)

static int
apply_ours(void *cred, const struct http_signing *s, struct http_headers *h,
    struct buf *why)
{
	(void)cred;
	(void)s;
	(void)why;
	return http_headers_add(h, "Authorization", "Bearer cloud-token");
}

static const struct http_credential_kind kind_ours = {
	.config = { .name = "ours" },
	.apply = apply_ours,
};
static struct http_credential credential = { .kind = &kind_ours };

/* The parts of a configuration are not const. */
static char user[] = "site7";

static struct http_client *
client_by(const char *url, const struct config_proxy *p)
{
	struct http_client_options o = {
		.url = url,
		.ca_file = tls.ca,
		.credential = &credential,
		.proxy = p,
		.connect_timeout_ms = 1000,
		.stall_timeout_ms = 600,
	};
	struct buf why = BUF_INIT(500);
	struct http_client *c;

	assert_int_equal(http_client_new(&o, &c, &why), 0);
	buf_free(&why);
	return c;
}

static enum http_outcome
get_by(const char *url, const struct config_proxy *p, struct http_reply *r)
{
	struct http_request req = { .method = "GET", .path = "/studies?limit=1" };
	struct http_client *c = client_by(url, p);

	(void)http_call(c, &req, r);
	http_client_free(c);
	assert_null(strstr(r->why, "geheim"));
	assert_null(strstr(r->why, "cloud-token"));
	return r->outcome;
}

static struct config_proxy
with_password(void)
{
	return (struct config_proxy){ .url = proxy.url, .user = user,
		.password_file = password_file };
}

static void
test_tunnel_keeps_secrets_apart(void **state)
{
	struct config_proxy p = with_password();
	struct http_reply r;

	(void)state;
	peer_clear(&proxy);
	cloud_order(&tls, "{'config': {'auth': 'token:cloud-token'}}");
	assert_int_equal(get_by(tls.url, &p, &r), HTTP_ANSWERED);
	assert_int_equal(r.status, 204);
	assert_int_equal(peer_count(&proxy), 1);
	assert_int_equal(strncmp(proxy.head[0], "CONNECT localhost:", 18), 0);
	/* site7:geheim 99 */
	assert_string_equal(peer_header(&proxy, 0, "Proxy-Authorization"),
	    "Basic c2l0ZTc6Z2VoZWltIDk5");
	assert_null(peer_header(&proxy, 0, "Authorization"));
	http_reply_free(&r);
}

/* A proxy that knows no CONNECT would see everything: it gets nothing. */
static void
test_no_credential_without_a_tunnel(void **state)
{
	struct config_proxy p = { .url = proxy.url };
	struct http_reply r;

	(void)state;
	peer_clear(&proxy);
	proxy.connect = "HTTP/1.1 405 X\r\nContent-Length: 0\r\n\r\n";
	assert_int_equal(get_by(tls.url, &p, &r), HTTP_PROXY);
	SAYS(r, "does not know CONNECT");
	assert_int_equal(peer_count(&proxy), 1);
	assert_null(peer_header(&proxy, 0, "Authorization"));
	assert_null(peer_header(&proxy, 0, "Proxy-Authorization"));
	http_reply_free(&r);
}

static void
test_plain_http_in_absolute_form(void **state)
{
	struct config_proxy p = with_password();
	struct http_reply r;

	(void)state;
	peer_clear(&proxy);
	proxy.answer[0] = PEER_OK;
	assert_int_equal(get_by("http://cloud.example:8042/base", &p, &r),
	    HTTP_ANSWERED);
	assert_string_equal(r.body.data, "ok");
	assert_int_equal(strncmp(proxy.head[0],
	    "GET http://cloud.example:8042/base/studies?limit=1 HTTP/1.1\r\n", 60),
	    0);
	assert_string_equal(peer_header(&proxy, 0, "Host"), "cloud.example:8042");
	assert_non_null(peer_header(&proxy, 0, "Proxy-Authorization"));
	http_reply_free(&r);
}

static void
test_environment_does_not_count(void **state)
{
	static const char *const names[] = { "http_proxy", "https_proxy",
		"HTTPS_PROXY", "all_proxy", "ALL_PROXY" };
	struct config_proxy p = { .url = proxy.url };
	struct http_reply r;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		(void)setenv(names[i], "http://127.0.0.1:1", 1);
	(void)setenv("no_proxy", "*", 1);
	cloud_order(&tls, "{}");
	peer_clear(&proxy);
	assert_int_equal(get_by(tls.url, NULL, &r), HTTP_ANSWERED);
	assert_int_equal(peer_count(&proxy), 0);
	http_reply_free(&r);
	assert_int_equal(get_by(tls.url, &p, &r), HTTP_ANSWERED);
	assert_int_equal(peer_count(&proxy), 1);
	http_reply_free(&r);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		(void)unsetenv(names[i]);
	(void)unsetenv("no_proxy");
}

static void
test_password_is_read_again(void **state)
{
	struct config_proxy p = with_password();
	struct http_request req = { .method = "GET", .path = "/" };
	struct http_client *c;
	struct http_reply r;

	(void)state;
	peer_clear(&proxy);
	proxy.answer[0] = proxy.answer[1] = PEER_OK;
	c = client_by("http://cloud.example", &p);
	(void)http_call(c, &req, &r);
	http_reply_free(&r);
	cloud_write(tls.dir, "password", "new", 0600);
	(void)http_call(c, &req, &r);
	http_reply_free(&r);
	/* site7:new */
	assert_string_equal(peer_header(&proxy, 1, "Proxy-Authorization"),
	    "Basic c2l0ZTc6bmV3");
	(void)remove(password_file);
	(void)http_call(c, &req, &r);
	assert_int_equal(r.outcome, HTTP_PROXY);
	SAYS(r, password_file);
	http_reply_free(&r);
	http_client_free(c);
	cloud_write(tls.dir, "password", "geheim 99\n", 0600);
}

static void
test_refusals_are_the_proxys(void **state)
{
#define NO(status, more) "HTTP/1.1 " status " X\r\n" more "Content-Length: 3\r\n\r\nno\n"
	static const struct { const char *answer; bool user; const char *says; }
	cases[] = {
		{ NO("407", "Proxy-Authenticate: Basic realm=x\r\n"), false,
		    "407: it wants a login: proxy: {user" },
		{ NO("407", "Proxy-Authenticate: Basic realm=x\r\n"), true,
		    "407: it does not accept user site7 with password_file /" },
		{ NO("407", "Proxy-Authenticate: NTLM\r\nProxy-Authenticate: "
		    "Negotiate\r\n"), true, "NTLM or Kerberos" },
		{ NO("407", "Proxy-Authenticate: NTLM\r\nProxy-Authenticate: "
		    "Basic realm=x\r\n"), true, "does not accept user" },
		{ NO("401", "Server: tinyproxy/1.11\r\n"), true,
		    "does not accept user" },
		{ NO("403", ""), true, "403: it does not let us through to "
		    "localhost:" },
		{ NO("503", ""), true, "503: it cannot reach localhost:" },
		{ NO("504", ""), true, "504: it cannot reach localhost:" },
		{ NO("404", ""), true, "is proxy: url a proxy at all" },
		{ NO("302", ""), true, "302: it refuses to connect" },
		{ "SSH-2.0-OpenSSH\r\n\r\n", true, "proxy 127.0.0.1:" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct config_proxy p = with_password();
		struct http_reply r;

		if (!cases[i].user)
			p.user = p.password_file = NULL;
		peer_clear(&proxy);
		proxy.connect = cases[i].answer;
		assert_int_equal(get_by(tls.url, &p, &r), HTTP_PROXY);
		assert_int_equal(r.status, 0);
		SAYS(r, "proxy 127.0.0.1:");
		SAYS(r, cases[i].says);
		http_reply_free(&r);
	}
}

static void
test_its_own_answers_to_plain_http(void **state)
{
	static const struct { const char *answer; enum http_outcome outcome; }
	cases[] = {
		{ NO("407", ""), HTTP_PROXY },
		{ NO("403", "X-Squid-Error: ERR_ACCESS_DENIED 0\r\n"), HTTP_PROXY },
		{ NO("502", "Proxy-Status: p; error=dns_error\r\n"), HTTP_PROXY },
		{ NO("500", "Server: tinyproxy/1.11.1\r\n"), HTTP_PROXY },
		{ NO("401", "Server: tinyproxy/1.11.1\r\n"), HTTP_PROXY },
		{ NO("403", "Server: Orthanc\r\n"), HTTP_ANSWERED },
		{ NO("503", "Via: 1.1 proxy (squid)\r\n"), HTTP_ANSWERED },
		{ NO("404", "X-Squid-Error: ERR_X 0\r\n"), HTTP_ANSWERED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct config_proxy p = with_password();
		struct http_reply r;

		peer_clear(&proxy);
		proxy.answer[0] = cases[i].answer;
		assert_int_equal(get_by("http://cloud.example", &p, &r),
		    cases[i].outcome);
		http_reply_free(&r);
	}
}

static void
test_not_there(void **state)
{
	static char nowhere[] = "http://127.0.0.1:1", unknown[] =
	    "http://proxy.invalid:3128", not_tls[64];
	struct config_proxy p = { .url = nowhere };
	struct http_reply r;

	(void)state;
	assert_int_equal(get_by(tls.url, &p, &r), HTTP_PROXY);
	SAYS(r, "proxy 127.0.0.1:1: connection refused");
	http_reply_free(&r);
	p.url = unknown;
	assert_int_equal(get_by(tls.url, &p, &r), HTTP_PROXY);
	SAYS(r, "proxy proxy.invalid:3128: this name does not exist in DNS");
	http_reply_free(&r);

	/* Closes without a word. */
	p.url = proxy.url;
	peer_clear(&proxy);
	assert_int_equal(get_by("http://cloud.example", &p, &r), HTTP_BROKEN);
	http_reply_free(&r);
	(void)snprintf(not_tls, sizeof(not_tls), "https://127.0.0.1:%u",
	    proxy.port);
	p.url = not_tls;
	assert_int_equal(get_by(tls.url, &p, &r), HTTP_PROXY);
	SAYS(r, "proxy 127.0.0.1:");
	http_reply_free(&r);
}

/* The proxy stands; what is behind it is the cloud's. */
static void
test_the_clouds_faults_stay_the_clouds(void **state)
{
	struct config_proxy p = { .url = proxy.url };
	struct http_client_options o = { .url = tls.url, .proxy = &p,
		.connect_timeout_ms = 1000 };
	struct http_request req = { .method = "GET", .path = "/" };
	struct buf why = BUF_INIT(500);
	struct http_client *c;
	struct http_reply r;

	(void)state;
	peer_clear(&proxy);
	assert_int_equal(http_client_new(&o, &c, &why), 0);
	(void)http_call(c, &req, &r);
	assert_int_equal(r.outcome, HTTP_TLS);
	SAYS(r, "tls: ca_file");
	http_reply_free(&r);
	http_client_free(c);
	buf_free(&why);

	cloud_order(&tls, "{'script': [{'status': 403}, {'status': 200,"
	    " 'cut_reply': 5}, {'hang': 'answer'}]}");
	assert_int_equal(get_by(tls.url, &p, &r), HTTP_ANSWERED);
	SAYS(r, "403");
	http_reply_free(&r);
	assert_int_equal(get_by(tls.url, &p, &r), HTTP_BROKEN);
	http_reply_free(&r);
	assert_int_equal(get_by(tls.url, &p, &r), HTTP_STALLED);
	SAYS(r, "no answer");
	http_reply_free(&r);
	cloud_order(&tls, "{}");
}

struct body { uint64_t left; };

static ssize_t
give(void *arg, void *data, size_t size)
{
	struct body *b = arg;

	size = size < b->left ? size : (size_t)b->left;
	memset(data, 'x', size);
	b->left -= size;
	return (ssize_t)size;
}

static enum http_outcome
post_by(const struct config_proxy *p, uint64_t length, struct http_reply *r)
{
	struct body b = { length };
	struct http_request req = { .method = "POST", .path = "/upload",
		.body = give, .body_arg = &b, .body_length = length };
	struct http_client *c = client_by(tls.url, p);

	(void)http_call(c, &req, r);
	http_client_free(c);
	return r->outcome;
}

static void
test_early_answers_and_stalls_through_it(void **state)
{
	struct config_proxy p = { .url = proxy.url };
	struct http_reply r;

	(void)state;
	peer_clear(&proxy);
	cloud_order(&tls, "{'script': [{'status': 413, 'early': true,"
	    " 'linger': true}, {'hang': 'request'}, {'status': 200}]}");
	if (post_by(&p, UINT64_C(1) << 30, &r) != HTTP_ANSWERED)
		fail_msg("%s", r.why);
	assert_int_equal(r.status, 413);
	assert_true(r.answered_early);
	http_reply_free(&r);
	assert_int_equal(post_by(&p, UINT64_C(1) << 30, &r), HTTP_STALLED);
	SAYS(r, "stopped taking data");
	http_reply_free(&r);
	assert_int_equal(post_by(&p, 3000000, &r), HTTP_ANSWERED);
	assert_int_equal(r.sent_bytes, 3000000);
	http_reply_free(&r);
	cloud_order(&tls, "{}");
}

/* The last one: the proxy does not live longer. */
static void
test_it_dies_in_mid_transfer(void **state)
{
	struct config_proxy p = { .url = proxy.url };
	struct http_reply r;

	(void)state;
	peer_clear(&proxy);
	proxy.dies_after = 3000000;
	assert_int_equal(post_by(&p, UINT64_C(1) << 30, &r), HTTP_PROXY);
	SAYS(r, "it went away while it carried a request to localhost:");
	http_reply_free(&r);
}

static void
test_bad_urls_and_files(void **state)
{
	static char ftp[] = "ftp://x", nofile[] = "/nonexistent/password";
	struct config_proxy p = { .url = ftp };
	struct http_client_options o = { .url = "https://cloud.example", .proxy = &p };
	struct buf why = BUF_INIT(500);
	struct http_client *c;

	(void)state;
	assert_true(http_client_new(&o, &c, &why) < 0);
	assert_non_null(strstr(why.data, "proxy: url"));
	buf_clear(&why);
	p = with_password();
	p.password_file = nofile;
	assert_true(http_client_new(&o, &c, &why) < 0);
	assert_non_null(strstr(why.data, nofile));
	buf_free(&why);
}

static int
set_up(void **state)
{
	(void)state;
	cloud_start(&tls, "server", false);
	(void)snprintf(password_file, sizeof(password_file), "%s/password", tls.dir);
	cloud_write(tls.dir, "password", "geheim 99\n", 0600);
	peer_start(&proxy);
	proxy.target = tls.port;
	return http_global_init();
}

static int
tear_down(void **state)
{
	(void)state;
	cloud_stop(&tls);	/* first: a proxy may be handing on to it */
	peer_stop(&proxy);
	cloud_remove_dir(cloud_certs);
	http_global_cleanup();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tunnel_keeps_secrets_apart),
		cmocka_unit_test(test_no_credential_without_a_tunnel),
		cmocka_unit_test(test_plain_http_in_absolute_form),
		cmocka_unit_test(test_environment_does_not_count),
		cmocka_unit_test(test_password_is_read_again),
		cmocka_unit_test(test_refusals_are_the_proxys),
		cmocka_unit_test(test_its_own_answers_to_plain_http),
		cmocka_unit_test(test_not_there),
		cmocka_unit_test(test_the_clouds_faults_stay_the_clouds),
		cmocka_unit_test(test_early_answers_and_stalls_through_it),
		cmocka_unit_test(test_bad_urls_and_files),
		cmocka_unit_test(test_it_dies_in_mid_transfer),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
