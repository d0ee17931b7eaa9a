/* test_http_oauth2.c - tokens for a client secret, a private key and a service
 * account, from an issuer that verifies them by other code than ours.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/issuer_support.h"

#define TENANT	"3d6a1a52-0000-4000-8000-7f0000000001"
#define CLIENT	"5b1c5d7e-0000-4000-8000-7f0000000002"
#define SECRET	"a~client.secret+with/odd&characters=%7"
#define DEFAULT "https://dicom.healthcareapis.azure.com/.default"

/* As in credential_oauth2.c. */
struct oauth2_options {
	unsigned line;
	char	*token_url, *client_id, *client_secret_file;
	char	*private_key_file, *key_passphrase_file, *certificate_file, *key_id;
	int	 algorithm;
	char	*assertion_audience;
	char	*scope, *audience, *resource;
	int	 auth_style;
	char	*ca_file;
};

struct google_options {
	unsigned line;
	char	*key_file, *scope, *ca_file;
};

static struct cloud issuer;
static char pki[128];
static char azure[256], generic[256];
static char client_id[] = CLIENT, scope[] = DEFAULT;
static struct buf why = BUF_INIT(2000);

static struct oauth2_options
with_secret(char *url, const char *secret)
{
	cloud_write(issuer.dir, "secret", secret, 0600);
	return (struct oauth2_options){ .token_url = url, .client_id = client_id,
		.client_secret_file = issuer_path(issuer.dir, "secret"),
		.scope = scope, .ca_file = issuer.ca };
}

static struct oauth2_options
with_key(char *url, const char *name)
{
	AUTO_FREE char *pem = xasprintf("%s.pem", name);
	AUTO_FREE char *key = xasprintf("%s.key", name);
	AUTO_FREE char *text = NULL;
	json_t *clients;
	size_t len;

	assert_int_equal(fdio_slurp(AT_FDCWD, issuer_path(pki, pem), 100000, &text,
	    &len), 0);
	clients = json_pack("{s:{s:s, s:s}}", CLIENT, "secret", SECRET,
	    "certificate", text);
	assert_int_equal(json_dump_file(clients, issuer_path(issuer.dir,
	    "clients.json"), 0), 0);
	json_decref(clients);
	return (struct oauth2_options){ .token_url = url, .client_id = client_id,
		.private_key_file = issuer_path(pki, key),
		.certificate_file = issuer_path(pki, pem),
		.scope = scope, .ca_file = issuer.ca };
}

static struct http_credential *
opened(const struct http_credential_kind *kind, void *o)
{
	struct http_credential *c = NULL;

	if (issuer_open(kind, o, &c, &why) < 0)
		fail_msg("%s", why.data);
	return c;
}

static void
gives_token(struct http_credential *c)
{
	const char *value = issuer_apply(c, &why);

	if (strncmp(value, "Bearer ya29.", 12) != 0)
		fail_msg("\"%s\": %s", value, why.len > 0 ? why.data : "");
}

/* ---- secrets ------------------------------------------------------------- */

static void
test_secret(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		struct oauth2_options o = with_secret(i == 0 ? azure : generic,
		    SECRET "\n");
		struct http_credential *c;

		o.auth_style = i == 2;
		cloud_order(&issuer, "{}");
		c = opened(&http_credential_oauth2, &o);
		assert_int_equal(why.len, 0);
		gives_token(c);
		http_credential_close(c);
	}
}

static void
test_wrong_secret_and_then_the_right_one(void **state)
{
	struct oauth2_options o = with_secret(azure, "wrong-secret-word");
	struct http_credential *c;

	(void)state;
	c = opened(&http_credential_oauth2, &o);
	assert_string_equal(issuer_apply(c, &why), "");
	SAYS(why, "token_url: client_id, or its secret or key, is wrong or has "
	    "expired");
	SAYS(why, "AADSTS7000215");
	assert_null(strstr(why.data, "wrong-secret-word"));
	/* Nobody asks again at once, and the reason stays. */
	unsigned asked = cloud_count(&issuer, "'operation': 'azure'");
	assert_string_equal(issuer_apply(c, &why), "");
	SAYS(why, "AADSTS7000215");
	assert_int_equal(cloud_count(&issuer, "'operation': 'azure'"), asked);
	/* But a new secret is tried at once. */
	cloud_write(issuer.dir, "secret", SECRET, 0600);
	gives_token(c);
	assert_int_equal(remove(o.client_secret_file), 0);
	gives_token(c);		/* it is needed for the next one only */
	http_credential_close(c);
}

static void
test_vanished_secret(void **state)
{
	struct oauth2_options o = with_secret(generic, SECRET);
	struct http_credential *c = opened(&http_credential_oauth2, &o);

	(void)state;
	assert_int_equal(remove(o.client_secret_file), 0);
	assert_string_equal(issuer_apply(c, &why), "");
	SAYS(why, "No such file");
	SAYS(why, o.client_secret_file);
	http_credential_close(c);
	assert_int_equal(issuer_open(&http_credential_oauth2, &o, &c, &why),
	    -ENOENT);
}

static void
test_one_token_for_all_requests_until_refused(void **state)
{
	struct oauth2_options o = with_secret(generic, SECRET);
	struct http_credential *c = opened(&http_credential_oauth2, &o);
	char first[4096];

	(void)state;
	(void)snprintf(first, sizeof(first), "%s", issuer_apply(c, &why));
	assert_string_equal(issuer_apply(c, &why), first);
	assert_false(issuer_refresh(c, 403, ""));	/* not because of its age */
	assert_false(issuer_refresh(c, 404, ""));
	assert_true(issuer_refresh(c, 401, ""));
	assert_string_not_equal(issuer_apply(c, &why), first);
	assert_false(issuer_refresh(c, 401, ""));
	http_credential_close(c);
}

/* ---- keys ---------------------------------------------------------------- */

static void
test_keys(void **state)
{
	static const struct { const char *name; int algorithm; bool is_azure; }
	    cases[] = {
		{ "rsa", 0, true }, { "rsa", 1, true }, { "rsa", 2, true },
		{ "ec", 0, false }, { "ec", 3, false }, { "rsa", 2, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct oauth2_options o = with_key(cases[i].is_azure ? azure :
			generic, cases[i].name);
		struct http_credential *c;

		o.algorithm = cases[i].algorithm;
		c = opened(&http_credential_oauth2, &o);
		gives_token(c);
		http_credential_close(c);
	}
}

static void
test_keys_that_cannot_be_used(void **state)
{
	struct oauth2_options o = with_key(generic, "rsa");
	char *good = o.certificate_file;
	struct http_credential *c;

	(void)state;
	o.certificate_file = issuer_path(pki, "ec.pem");
	assert_int_equal(issuer_open(&http_credential_oauth2, &o, &c, &why),
	    -EINVAL);
	SAYS(why, "rsa.key: is not the key of the certificate in ");
	o.certificate_file = good;
	o.algorithm = 3;
	assert_int_equal(issuer_open(&http_credential_oauth2, &o, &c, &why),
	    -EINVAL);
	SAYS(why, "the key is for RS256, not for ES256");
	o.algorithm = 0;
	o.private_key_file = good;
	assert_int_equal(issuer_open(&http_credential_oauth2, &o, &c, &why),
	    -EINVAL);
	SAYS(why, "holds no private key in PEM form");
}

static void
test_key_with_a_passphrase(void **state)
{
	struct oauth2_options o = with_key(generic, "rsa");
	AUTO_FREE char *command = xasprintf("openssl pkey -in %s/rsa.key -aes256 "
	    "-passout 'pass:open sesame' -out %s/locked.key", pki, pki);
	struct http_credential *c;

	(void)state;
	assert_int_equal(system(command), 0);
	o.private_key_file = issuer_path(pki, "locked.key");
	assert_int_equal(issuer_open(&http_credential_oauth2, &o, &c, &why),
	    -EINVAL);
	SAYS(why, "without a passphrase");
	o.key_passphrase_file = issuer_path(pki, "phrase");
	cloud_write(pki, "phrase", "open sesam\n", 0600);
	assert_int_equal(issuer_open(&http_credential_oauth2, &o, &c, &why),
	    -EINVAL);
	SAYS(why, "that this passphrase opens");
	assert_null(strstr(why.data, "sesam"));
	cloud_write(pki, "phrase", "open sesame\n", 0644);
	c = opened(&http_credential_oauth2, &o);
	SAYS(why, "phrase: everybody on this machine may read it");
	gives_token(c);
	http_credential_close(c);
}

static void
test_clock_that_is_off(void **state)
{
	struct oauth2_options o = with_key(azure, "rsa");
	struct google_options g = { .key_file = issuer_path(issuer.dir,
	    "service-account.json"), .ca_file = issuer.ca, .scope = (char[]){
		"https://www.googleapis.com/auth/cloud-healthcare" } };

	(void)state;
	for (int i = 0; i < 4; i++) {
		unsigned before = cloud_count(&issuer, "'status': ");
		struct http_credential *c;

		cloud_order(&issuer, i % 2 == 0 ? "{'config': {'clock_offset': 7200}}" :
			"{'config': {'clock_offset': -7200}}");
		c = i < 2 ? opened(&http_credential_oauth2, &o) :
		    opened(&http_credential_google, &g);
		gives_token(c);
		assert_int_equal(cloud_count(&issuer, "'status': "), before + 2);
		http_credential_close(c);
	}
	cloud_order(&issuer, "{}");
}

/* ---- answers ------------------------------------------------------------- */

static void
refused_with(const char *orders, const char *text)
{
	struct oauth2_options o = with_secret(generic, SECRET);
	struct http_credential *c = opened(&http_credential_oauth2, &o);

	cloud_order(&issuer, orders);
	assert_string_equal(issuer_apply(c, &why), "");
	SAYS(why, text);
	assert_null(strstr(why.data, "odd&char"));
	assert_null(strstr(why.data, "odd%26char"));
	http_credential_close(c);
	cloud_order(&issuer, "{}");
}

#define BODY(status, text) \
	"{'script': [{'status': " status ", 'headers': {'Content-Type': " \
	"'application/json'}, 'body': '{" text "}'}]}"

static void
test_answers_that_are_no_token(void **state)
{
	(void)state;
	refused_with(BODY("401", "\\'error\\': \\'invalid_client\\', "
	    "\\'error_description\\': \\'you said " SECRET "\\'"),
	    "invalid_client: ");
	refused_with(BODY("401", "\\'error\\': \\'invalid_client\\', "
	    "\\'error_description\\': \\'eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9."
	    "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9 is bad\\\\nand more\\'"),
	    "invalid_client: ... is bad");
	refused_with(BODY("400", "\\'error\\': \\'invalid_scope\\'"),
	    "it does not know this scope");
	refused_with(BODY("400", "\\'error\\': \\'unauthorized_client\\'"),
	    "allow it the client credentials grant");
	refused_with(BODY("400", "\\'error\\': \\'odd\\\\u001b[0m\\'"),
	    "the issuer refuses: odd?[0m");
	refused_with(BODY("200", "\\'access_token\\': \\'t\\', "
	    "\\'token_type\\': \\'DPoP\\'"), "type DPoP");
	refused_with(BODY("200", "\\'access_token\\': \\'a b\\'"),
	    "no token that could be used");
	refused_with(BODY("200", ""), "no token that could be used");
	refused_with("{'script': [{'status': 200, 'body': '<html>'}]}",
	    "no answer of a token endpoint");
	refused_with("{'script': [{'status': 404, 'body': ''}]}", "404");
	refused_with("{'script': [{'status': 503, 'body': ''}]}", "503");
	refused_with("{'script': [{'lost': true}]}", "token_url: localhost");
}

static void
test_odd_answers_that_are_tokens(void **state)
{
	static const char *const good[] = {
		"\\'access_token\\': \\'abc\\'",
		"\\'access_token\\': \\'abc\\', \\'token_type\\': \\'bearer\\', "
		    "\\'expires_in\\': \\'3599\\'",
		"\\'access_token\\': \\'abc\\', \\'expires_in\\': -5",
		"\\'access_token\\': \\'abc\\', \\'expires_in\\': 1e300",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct oauth2_options o = with_secret(generic, SECRET);
		struct http_credential *c = opened(&http_credential_oauth2, &o);
		AUTO_FREE char *orders = xasprintf(BODY("200", "%s"), good[i]);

		cloud_order(&issuer, orders);
		assert_string_equal(issuer_apply(c, &why), "Bearer abc");
		assert_string_equal(issuer_apply(c, &why), "Bearer abc");
		http_credential_close(c);
	}
	cloud_order(&issuer, "{}");
}

static void
test_nobody_there(void **state)
{
	struct oauth2_options o = with_secret((char[]){
		"http://127.0.0.1:1/token" }, SECRET);
	struct http_credential *c = opened(&http_credential_oauth2, &o);
	struct buf said = BUF_INIT(500);

	(void)state;
	assert_string_equal(issuer_apply(c, &why), "");
	SAYS(why, "token_url: 127.0.0.1:1: connection refused");
	credential_describe(c, &said);
	SAYS(said, "client_id " CLIENT);
	buf_free(&said);
	http_credential_close(c);
}

/* Some end in a slash, and some have a query. */
static void
test_address_is_kept_to_the_letter(void **state)
{
	static const char *const ends[] = { "/o/token/", "/t/token?p=b2c", "" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		AUTO_FREE char *url = xasprintf("%s%s", issuer.url, ends[i]);
		AUTO_FREE char *seen = xasprintf("'path': '%s', ",
		    ends[i][0] != '\0' ? ends[i] : "/");
		struct oauth2_options o = with_secret(url, SECRET);
		struct http_credential *c = opened(&http_credential_oauth2, &o);

		cloud_order(&issuer, BODY("200", "\\'access_token\\': \\'abc\\'"));
		assert_string_equal(issuer_apply(c, &why), "Bearer abc");
		assert_int_equal(cloud_count(&issuer, seen), 1);
		http_credential_close(c);
	}
	cloud_order(&issuer, "{}");
}

static void *
apply_in_thread(void *arg)
{
	struct buf mine = BUF_INIT(500);
	const char *value = issuer_apply(arg, &mine);

	buf_free(&mine);
	return (void *)(intptr_t)(value[0] != '\0');
}

static void
test_cancel_ends_the_wait(void **state)
{
	struct oauth2_options o = with_secret(generic, SECRET);
	struct http_credential *c = opened(&http_credential_oauth2, &o);
	unsigned before = cloud_count(&issuer, "'event': 'hang'");
	int64_t began = clock_mono_ms();
	pthread_t t;
	void *got;

	(void)state;
	cloud_order(&issuer, "{'script': [{'hang': 'answer', 'times': -1}]}");
	assert_int_equal(pthread_create(&t, NULL, apply_in_thread, c), 0);
	while (cloud_count(&issuer, "'event': 'hang'") == before)
		assert_true(clock_mono_ms() - began < 20000);
	http_credential_cancel(c);
	(void)pthread_join(t, &got);
	assert_int_equal((intptr_t)got, 0);
	assert_true(clock_mono_ms() - began < 20000);
	http_credential_close(c);
	cloud_order(&issuer, "{}");
}

/* ---- Google -------------------------------------------------------------- */

static char healthcare[] = "https://www.googleapis.com/auth/cloud-healthcare";

static void
test_service_account(void **state)
{
	struct google_options o = { .key_file = issuer_path(issuer.dir,
	    "service-account.json"), .scope = healthcare, .ca_file = issuer.ca };
	struct http_credential *c = opened(&http_credential_google, &o);
	struct buf said = BUF_INIT(500);

	(void)state;
	gives_token(c);
	credential_describe(c, &said);
	SAYS(said, "gateway@site7.iam.gserviceaccount.com");
	buf_free(&said);
	http_credential_close(c);

	o.scope = (char[]){ "https://www.googleapis.com/auth/drive" };
	c = opened(&http_credential_google, &o);
	assert_string_equal(issuer_apply(c, &why), "");
	SAYS(why, "it does not know this scope");
	http_credential_close(c);
}

static void
test_key_files_that_are_none(void **state)
{
	static const struct { const char *text, *says; } bad[] = {
		{ "", "is no JSON" },
		{ "[]", "is no JSON" },
		{ "{'installed': {}}", "is the secret of an OAuth client" },
		{ "{'type': 'authorized_user'}", "its type is not service_account" },
		{ "{'type': 'service_account'}", "client_email or private_key" },
		{ "{'type': 'service_account', 'client_email': 'a@b', "
		    "'private_key': 'x'}", "holds no private key in PEM form" },
	};
	struct google_options o = { .key_file = issuer_path(issuer.dir, "bad.json"),
		.scope = healthcare };
	struct http_credential *c;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		AUTO_FREE char *text = xstrdup(bad[i].text);

		for (char *p = text; *p != '\0'; p++)
			*p = *p == '\'' ? '"' : *p;
		cloud_write(issuer.dir, "bad.json", text, 0600);
		assert_true(issuer_open(&http_credential_google, &o, &c, &why) < 0);
		SAYS(why, bad[i].says);
		SAYS(why, o.key_file);
	}
}

static void
test_key_file_that_was_deleted_at_google(void **state)
{
	char path[256];
	struct google_options o = { .key_file = path, .scope = healthcare,
		.ca_file = issuer.ca };
	AUTO_FREE char *text = NULL;
	struct http_credential *c;
	json_t *root;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/old.json", issuer.dir);
	root = json_load_file(issuer_path(issuer.dir, "service-account.json"), 0,
	    NULL);
	assert_non_null(root);
	text = json_dumps(root, 0);
	(void)json_object_set_new(root, "private_key_id", json_string("gone"));
	assert_int_equal(json_dump_file(root, path, 0), 0);
	json_decref(root);

	c = opened(&http_credential_google, &o);
	assert_string_equal(issuer_apply(c, &why), "");
	SAYS(why, "was the key deleted");
	SAYS(why, "Invalid JWT Signature.");
	cloud_write(issuer.dir, "old.json", text, 0600);
	gives_token(c);
	assert_int_equal(remove(path), 0);
	gives_token(c);
	http_credential_close(c);
}

static int
set_up(void **state)
{
	(void)state;
	cloud_make_dir(pki, sizeof(pki), "pki");
	issuer_make_pki(pki);
	issuer_start(&issuer, "tests/fake/tokens.py", NULL);
	(void)snprintf(azure, sizeof(azure), "%s/" TENANT "/oauth2/v2.0/token",
	    issuer.url);
	(void)snprintf(generic, sizeof(generic), "%s/oauth2/token", issuer.url);
	return http_global_init();
}

static int
tear_down(void **state)
{
	(void)state;
	cloud_stop(&issuer);
	cloud_remove_dir(pki);
	cloud_remove_dir(cloud_certs);
	buf_free(&why);
	http_global_cleanup();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_secret),
		cmocka_unit_test(test_wrong_secret_and_then_the_right_one),
		cmocka_unit_test(test_vanished_secret),
		cmocka_unit_test(test_one_token_for_all_requests_until_refused),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_keys_that_cannot_be_used),
		cmocka_unit_test(test_key_with_a_passphrase),
		cmocka_unit_test(test_clock_that_is_off),
		cmocka_unit_test(test_answers_that_are_no_token),
		cmocka_unit_test(test_odd_answers_that_are_tokens),
		cmocka_unit_test(test_nobody_there),
		cmocka_unit_test(test_address_is_kept_to_the_letter),
		cmocka_unit_test(test_cancel_ends_the_wait),
		cmocka_unit_test(test_service_account),
		cmocka_unit_test(test_key_files_that_are_none),
		cmocka_unit_test(test_key_file_that_was_deleted_at_google),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
