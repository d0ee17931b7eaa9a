/* test_http_rolesanywhere.c - keys for a certificate, from a stand-in that verifies
 * certificate and signature by other code than ours.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/issuer_support.h"

#define ACCOUNT "111122223333"

/* As in rolesanywhere_int.h. */
struct options {
	unsigned line;
	char	*certificate_file, *key_file, *key_passphrase_file, *chain_file;
	char	*trust_anchor_arn, *profile_arn, *role_arn, *region;
	uint64_t duration_ms;
	char	*role_session_name, *endpoint, *ca_file;
};

static struct cloud service;
static char pki[128];
static char anchor[200], profile[200], role[200];
static struct buf why = BUF_INIT(3000);

static struct options
with(const char *name)
{
	AUTO_FREE char *pem = xasprintf("%s.pem", name);
	AUTO_FREE char *key = xasprintf("%s.key", name);

	return (struct options){ .certificate_file = issuer_path(pki, pem),
		.key_file = issuer_path(pki, key), .trust_anchor_arn = anchor,
		.profile_arn = profile, .role_arn = role, .duration_ms = 3600000,
		.endpoint = service.url, .ca_file = service.ca };
}

static struct http_credential *
opened(struct options *o)
{
	struct http_credential *c = NULL;

	if (issuer_open(&http_credential_aws_rolesanywhere, o, &c, &why) < 0)
		fail_msg("%s", why.data);
	return c;
}

static void
gives_keys(struct http_credential *c)
{
	const char *value = issuer_apply(c, &why);

	if (strstr(value, "Credential=ASIA") == NULL)
		fail_msg("\"%s\": %s", value, why.len > 0 ? why.data : "");
}

static void
gives_none(struct options *o, const char *says)
{
	struct http_credential *c = opened(o);

	assert_string_equal(issuer_apply(c, &why), "");
	SAYS(why, says);
	http_credential_close(c);
}

static void
test_rsa_and_ecdsa(void **state)
{
	static const char *const names[] = { "rsa", "ec", "ec384" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct options o = with(names[i]);
		struct http_credential *c = opened(&o);
		struct buf said = BUF_INIT(300);

		assert_int_equal(why.len, 0);
		gives_keys(c);
		gives_keys(c);
		credential_describe(c, &said);
		SAYS(said, role);
		buf_free(&said);
		http_credential_close(c);
	}
	/* Once for all requests of each. */
	assert_int_equal(cloud_count(&service, "'status': 201"), 3);
}

static void
test_chain(void **state)
{
	struct options o = with("chained");
	struct http_credential *c;
	AUTO_FREE char *command = xasprintf("cat %s/chained.pem %s/intermediate.pem "
	    "%s/anchor.pem >%s/whole.pem", pki, pki, pki, pki);

	(void)state;
	gives_none(&o, "no path to the trust anchor");
	o.chain_file = issuer_path(pki, "intermediate.pem");
	c = opened(&o);
	gives_keys(c);
	http_credential_close(c);
	/* What people have: leaf, intermediates and root in one. */
	assert_int_equal(system(command), 0);
	o.certificate_file = o.chain_file = issuer_path(pki, "whole.pem");
	c = opened(&o);
	gives_keys(c);
	http_credential_close(c);
}

static void
refused_at_once(struct options o, const char *says)
{
	struct http_credential *c;

	assert_true(issuer_open(&http_credential_aws_rolesanywhere, &o, &c, &why) <
	    0);
	SAYS(why, says);
}

static void
test_certificates_that_are_not_right(void **state)
{
	struct options o = with("rsa");

	(void)state;
	refused_at_once(with("is-ca"), "is-ca.pem: the certificate is a CA's");
	refused_at_once(with("no-usage"), "key usage lacks digitalSignature");
	refused_at_once(with("sha1"), "wanted SHA-256 or better");
	o.key_file = issuer_path(pki, "ec.key");
	refused_at_once(o, "ec.key: is not the key of the certificate in ");
	o.key_file = o.certificate_file;
	refused_at_once(o, "holds no private key in PEM form");
	o = with("rsa");
	o.certificate_file = o.key_file;
	refused_at_once(o, "holds no certificate in PEM form");
}

static void
test_certificates_that_are_over_or_early(void **state)
{
	struct options o = with("expired");
	struct http_credential *c = opened(&o);
	AUTO_FREE char *soon = xasprintf("openssl req -x509 -newkey rsa:2048 -nodes "
	    "-subj /CN=soon -days 5 -addext basicConstraints=critical,CA:FALSE "
	    "-addext keyUsage=digitalSignature -keyout %s/soon.key "
	    "-out %s/soon.pem 2>/dev/null", pki, pki);
	AUTO_FREE char *renew = xasprintf("cp %s/ec.pem %s/renewed.pem && "
	    "cp %s/ec.key %s/renewed.key", pki, pki, pki, pki);
	AUTO_FREE char *old = xasprintf("cp %s/expired.pem %s/renewed.pem && "
	    "cp %s/expired.key %s/renewed.key", pki, pki, pki, pki);

	(void)state;
	SAYS(why, "expired.pem: our certificate expired on ");
	assert_string_equal(issuer_apply(c, &why), "");
	SAYS(why, "renew it");
	http_credential_close(c);
	o = with("early");
	gives_none(&o, "is valid only from");
	assert_int_equal(system(soon), 0);
	o = with("soon");
	c = opened(&o);
	SAYS(why, "soon.pem: our certificate expires on ");
	http_credential_close(c);
	/* A renewed one is taken by itself. */
	assert_int_equal(system(old), 0);
	o = with("renewed");
	c = opened(&o);
	assert_string_equal(issuer_apply(c, &why), "");
	assert_int_equal(system(renew), 0);
	gives_keys(c);
	http_credential_close(c);
}

static void
test_refusals_say_where_to_look(void **state)
{
	struct options o = with("stranger");

	(void)state;
	gives_none(&o, "AccessDeniedException");
	SAYS(why, "does the role trust rolesanywhere.amazonaws.com");
	SAYS(why, "Untrusted certificate");
	o = with("no-constraints");
	gives_none(&o, "basicConstraints is not CA:FALSE");
	struct http_credential *warned = opened(&o);
	SAYS(why, "may refuse a certificate without basic constraints");
	http_credential_close(warned);
	o = with("ec");
	o.role_arn = (char[]){ "arn:aws:iam::" ACCOUNT ":role/other" };
	gives_none(&o, "does profile_arn list the role");
	o = with("ec");
	o.profile_arn = (char[]){ "arn:aws:rolesanywhere:eu-west-1:" ACCOUNT
		":profile/00000000-0000-4000-8000-000000000000" };
	gives_none(&o, "trust_anchor_arn or profile_arn does not exist");
	o = with("ec");
	o.role_session_name = (char[]){ "site7" };
	gives_none(&o, "Not allowed to set roleSessionName");
	cloud_order(&service, "{'config': {'rolesanywhere': {'session_name': true}}}");
	struct http_credential *c = opened(&o);
	gives_keys(c);
	http_credential_close(c);
	cloud_order(&service, "{'script': [{'status': 201, 'body': '{}'}]}");
	o = with("ec");
	gives_none(&o, "the answer holds no keys");
	cloud_order(&service, "{'script': [{'status': 502, 'body': '<html>'}]}");
	gives_none(&o, "Roles Anywhere: localhost");
	cloud_order(&service, "{}");
	o.endpoint = (char[]){ "http://127.0.0.1:1" };
	gives_none(&o, "connection refused");
}

static void
test_clock_that_is_off(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct options o = with("ec");
		struct http_credential *c = opened(&o);

		cloud_order(&service, i == 0 ? "{'config': {'clock_offset': 3600}}" :
			"{'config': {'clock_offset': -3600}}");
		gives_keys(c);
		gives_keys(c);
		http_credential_close(c);
	}
	cloud_order(&service, "{}");
}

static void
test_sessions_end(void **state)
{
	struct options o = with("ec");
	struct http_credential *c = opened(&o);
	char first[4096];

	(void)state;
	cloud_order(&service, "{'config': {'rolesanywhere': {'life': 1}}}");
	(void)snprintf(first, 40, "%s", issuer_apply(c, &why));
	int64_t began = clock_mono_ms();
	cloud_order(&service, "{}");
	/* Another one takes over by itself. */
	while (strncmp(issuer_apply(c, &why), first, 39) == 0)
		assert_true(clock_mono_ms() - began < 20000);
	(void)snprintf(first, 61, "%s", issuer_apply(c, &why));
	assert_true(issuer_refresh(c, 400, "{\"__type\": \"ExpiredTokenException\"}"));
	assert_true(strncmp(issuer_apply(c, &why), first, 60) != 0);
	http_credential_close(c);
}

static int
set_up(void **state)
{
	static const char *more[3] = { "--anchor" };

	(void)state;
	cloud_make_dir(pki, sizeof(pki), "pki");
	issuer_make_pki(pki);
	more[1] = issuer_path(pki, "anchor.pem");
	issuer_start(&service, "tests/fake/rolesanywhere.py", more);
	(void)snprintf(anchor, sizeof(anchor), "arn:aws:rolesanywhere:eu-west-1:%s:"
	    "trust-anchor/7a1b2c3d-0000-4000-8000-000000000001", ACCOUNT);
	(void)snprintf(profile, sizeof(profile), "arn:aws:rolesanywhere:eu-west-1:%s:"
	    "profile/7a1b2c3d-0000-4000-8000-000000000002", ACCOUNT);
	(void)snprintf(role, sizeof(role), "arn:aws:iam::%s:role/gateway", ACCOUNT);
	return http_global_init();
}

static int
tear_down(void **state)
{
	(void)state;
	cloud_stop(&service);
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
		cmocka_unit_test(test_rsa_and_ecdsa),
		cmocka_unit_test(test_chain),
		cmocka_unit_test(test_certificates_that_are_not_right),
		cmocka_unit_test(test_certificates_that_are_over_or_early),
		cmocka_unit_test(test_refusals_say_where_to_look),
		cmocka_unit_test(test_clock_that_is_off),
		cmocka_unit_test(test_sessions_end),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
