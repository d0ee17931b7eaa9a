/* test_http_aws_profile.c - profiles of AWS's shared files: the grammar, case by case
 * as AWS's SDKs test each other, and the keys that come of them.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gateway/http/aws_ini_int.h"
#include "tests/unit/issuer_support.h"

struct profile_options {
	unsigned line;
	char	*profile, *config_file, *credentials_file;
};

static char dir[128];
static struct buf why = BUF_INIT(2000);

/* ---- the grammar --------------------------------------------------------- */

struct example {
	const char *what, *text, *profile, *key, *value;	/* value NULL: none */
};

static struct aws_ini *
parse(const char *profile, const char *config, const char *credentials)
{
	struct aws_ini *p = aws_ini_new(profile);
	int r = 0;

	buf_clear(&why);
	if (config != NULL)
		r = aws_ini_add(p, AWS_INI_CONFIG, "config", config, strlen(config),
		    &why);
	if (r == 0 && credentials != NULL)
		r = aws_ini_add(p, AWS_INI_CREDENTIALS, "credentials", credentials,
		    strlen(credentials), &why);
	if (r < 0) {
		aws_ini_free(p);
		return NULL;
	}
	return p;
}

static void
check(const struct example *e)
{
	struct aws_ini *p = parse(e->profile, e->text, NULL);
	const char *got;

	if (p == NULL)
		fail_msg("%s: %s", e->what, why.data);
	got = aws_ini_get(p, e->key);
	if ((got == NULL) != (e->value == NULL) ||
	    (got != NULL && strcmp(got, e->value) != 0))
		fail_msg("%s: \"%s\"", e->what, got != NULL ? got : "(none)");
	aws_ini_free(p);
}

static void
settings_are_read_as_the_sdks_do(void **state)
{
	static const struct example cases[] = {
		{ "a setting", "[profile foo]\nname = value", "foo", "name", "value" },
		{ "white space around the name", "[ profile \t foo \t ]\nname = value",
		    "foo", "name", "value" },
		{ "a tab after profile", "[profile\tfoo]\nname=value", "foo", "name",
		    "value" },
		{ "lines of Windows", "[profile foo]\r\nname = value\r\n", "foo",
		    "name", "value" },
		{ "equals signs", "[profile foo]\nname = val=ue", "foo", "name",
		    "val=ue" },
		{ "Unicode", "[profile foo]\nname = \xf0\x9f\x98\x82", "foo", "name",
		    "\xf0\x9f\x98\x82" },
		{ "trimmed", "[profile foo]\nname \t=  \tvalue \t", "foo", "name",
		    "value" },
		{ "an empty value", "[profile foo]\nname =", "foo", "name", "" },
		{ "blank lines", "\t \n[profile foo]\n\t\n \nname = value\n\t \n",
		    "foo", "name", "value" },
		{ "comments", "# c\n[profile foo] # c\n; c\nname = value # c", "foo",
		    "name", "value" },
		{ "comments beside sections", "[profile foo]; a\nname = value", "foo",
		    "name", "value" },
		{ "comments beside sections", "[profile foo]# a\nname = value", "foo",
		    "name", "value" },
		{ "empty comments", ";\n[profile foo];\nname = value ;\n", "foo",
		    "name", "value" },
		{ "comments beside values", "[profile foo]\nname = value; a # b",
		    "foo", "name", "value; a" },
		{ "an indented comment", "[profile foo]\nname = value\n  # c\n",
		    "foo", "name", "value" },
		{ "a continuation", "[profile foo]\nname = value\n -- more", "foo",
		    "name", "value\n-- more" },
		{ "two", "[profile foo]\nname = value\n\t-- a \n -- b", "foo", "name",
		    "value\n-- a\n-- b" },
		{ "comments in a continuation", "[profile foo]\nname = value\n -- c ;d",
		    "foo", "name", "value\n-- c ;d" },
		{ "duplicate sections", "[profile foo]\na = 1\n[profile foo]\nb = 2",
		    "foo", "a", "1" },
		{ "duplicate settings", "[profile foo]\na = 1\na = 2", "foo", "a",
		    "2" },
		{ "duplicates, apart", "[profile foo]\na = 1\n[profile b]\na = 3\n"
		    "[profile foo]\na = 2", "foo", "a", "2" },
		{ "profile default first", "[profile default]\na = 1\n[default]\n"
		    "b = 2\na = 3", "default", "a", "1" },
		{ "and nothing of the other", "[profile default]\na = 1\n[default]\n"
		    "b = 2", "default", "b", NULL },
		{ "profile default last", "[default]\nb = 2\n[profile default]\na = 1",
		    "default", "b", NULL },
		{ "default alone", "[default]\na = 1", "default", "a", "1" },
		{ "names that are not valid", "[profile in valid]\nname = value\n"
		    "[profile foo]\n", "foo", "name", NULL },
		{ "settings that are not", "[profile foo]\nin valid = value\n"
		    "a = 1", "foo", "a", "1" },
		{ "all characters of names", "[profile ABCabc019-_/.%@:+]\na = 1",
		    "ABCabc019-_/.%@:+", "a", "1" },
		{ "of settings", "[profile foo]\nABCabc019-_/.%@:+ = 1", "foo",
		    "ABCabc019-_/.%@:+", "1" },
		{ "without profile", "[foo]\na = 1", "foo", "a", NULL },
		{ "other sections", "[sso-session foo]\na = 1\n[profile foo]\nb = 2",
		    "foo", "a", NULL },
		{ "nested settings", "[profile foo]\ns3 =\n  a = 1\n  b = 2\nc = 3",
		    "foo", "a", NULL },
		{ "after nested settings", "[profile foo]\ns3 =\n  a = 1\n\n \t\n"
		    "  b = 2\nc = 3", "foo", "c", "3" },
		{ "case of keys", "[profile foo]\nAws_Access_Key_ID = 1", "foo",
		    "aws_access_key_id", "1" },
		{ "quotes", "[profile foo]\na = \"1\"", "foo", "a", "\"1\"" },
		{ "a byte order mark", "\xef\xbb\xbf[profile foo]\na = 1", "foo", "a",
		    "1" },
		{ "an empty file", "", "foo", "a", NULL },
		{ "no line end", "[profile foo]\na=1", "foo", "a", "1" },
		{ "case of names", "[profile Foo]\na = 1", "foo", "a", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		check(&cases[i]);
}

static void
malformed_files_are_refused_with_the_line(void **state)
{
	static const struct { const char *text, *says; } bad[] = {
		{ "[profile foo", "config:1: a section's name ends" },
		{ "[profile foo]x\n", "config:1: only a comment" },
		{ "name = value", "config:1: a setting stands before" },
		{ "[profile foo]\n= value", "config:2: a key is missing" },
		{ "[profile foo]\nname : value", "config:2: wanted `key = value`" },
		{ " -- more", "config:1: an indented line follows no setting" },
		{ "[profile foo]\n -- more", "config:2: an indented line" },
		{ "[profile foo]\na = 1\n[profile b]\n x", "config:4: an indented" },
		{ "[profile foo]\ns3 =\n  invalid", "config:3: wanted `key = value`" },
		{ "[profile foo]\ns3 =\n  = 1", "config:3: wanted `key = value`" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_null(parse("foo", bad[i].text, NULL));
		SAYS(why, bad[i].says);
	}
	struct aws_ini *p = aws_ini_new("foo");
	assert_int_equal(aws_ini_add(p, AWS_INI_CONFIG, "config", "a\0b", 3, &why),
	    -EINVAL);
	aws_ini_free(p);
}

static void
files_are_merged(void **state)
{
	struct aws_ini *p = parse("foo",
	    "[profile foo]\na = config\nb = config\n[foo]\nc = config",
	    "[foo]\na = credentials\n[profile foo]\nb = credentials");

	(void)state;
	assert_non_null(p);
	assert_true(aws_ini_found(p));
	assert_true(aws_ini_misnamed(p));
	assert_string_equal(aws_ini_get(p, "a"), "credentials");
	assert_string_equal(aws_ini_get(p, "b"), "config");
	assert_null(aws_ini_get(p, "c"));
	aws_ini_free(p);
	p = parse("default", "[profile default]\na = 1", "[default]\na = 2");
	assert_string_equal(aws_ini_get(p, "a"), "2");
	aws_ini_free(p);
	p = parse("bar", "[profile foo]\na = 1", "[foo]\na = 2");
	assert_false(aws_ini_found(p));
	aws_ini_free(p);
}

static void
too_many_settings_are_an_error(void **state)
{
	struct buf text = BUF_INIT(1u << 20);

	(void)state;
	(void)buf_add_str(&text, "[profile foo]\n");
	for (int i = 0; i < 1000; i++)
		(void)buf_printf(&text, "a%d = 1\n", i);
	assert_null(parse("foo", text.data, NULL));
	SAYS(why, "too many settings");
	buf_free(&text);
}

/* ---- the kind ------------------------------------------------------------ */

static char profile[] = "site7";

static struct profile_options
with_files(const char *config, const char *credentials)
{
	struct profile_options o = { .profile = profile };

	if (config != NULL) {
		cloud_write(dir, "config", config, 0600);
		o.config_file = issuer_path(dir, "config");
	}
	if (credentials != NULL) {
		cloud_write(dir, "credentials", credentials, 0600);
		o.credentials_file = issuer_path(dir, "credentials");
	}
	return o;
}

#define STATIC "aws_access_key_id = AKIA1\naws_secret_access_key = very/secret\n"

static void
refused(const char *config, const char *credentials, const char *says)
{
	struct profile_options o = with_files(config, credentials);
	struct http_credential *c;

	if (issuer_open(&http_credential_aws_profile, &o, &c, &why) == 0)
		fail_msg("opened, but wanted: %s", says);
	SAYS(why, says);
	assert_null(strstr(why.data, "very"));
}

static void
profiles_that_lead_elsewhere_are_refused(void **state)
{
	(void)state;
	refused(NULL, "[other]\n" STATIC, "there is none");
	refused("[site7]\n" STATIC, NULL, "write [profile site7] in config_file");
	refused("[profile site7]\nrole_arn = x\n", "[site7]\n" STATIC,
	    "it has role_arn: roles are not assumed");
	refused("[profile site7]\nsource_profile = x\n", "[site7]\n" STATIC,
	    "source_profile");
	refused("[profile site7]\nsso_session = x\n", NULL, "it has sso_session");
	refused("[profile site7]\nweb_identity_token_file = x\n", NULL,
	    "it has web_identity_token_file");
	refused("[profile site7]\nregion = x\n", NULL, "it lacks keys");
	refused(NULL, "[site7]\naws_access_key_id = AKIA1\n",
	    "it lacks aws_secret_access_key");
	refused(NULL, "[site7]\naws_secret_access_key = very/secret\n",
	    "it lacks aws_access_key_id");
	refused(NULL, "[site7]\naws_access_key_id =\naws_secret_access_key = very\n",
	    "its keys are empty");
	refused(NULL, "[site7]\naws_access_key_id = AKIA1 AKIA2\n"
	    "aws_secret_access_key = very\n", "its keys are empty, or hold");
	refused(NULL, "[site7]\naws_access_key_id = AKIA1\n"
	    "aws_secret_access_key = very\n  secret\n", "its keys are empty, or hold");
	refused(NULL, "[site7\n" STATIC, "credentials:1: ");
	refused("[profile site7]\ncredential_process = /nonexistent/x\n", NULL,
	    "/nonexistent/x: No such file");
}

static void
static_keys_are_read_again_when_they_change(void **state)
{
	struct profile_options o = with_files(NULL, "[site7]\n" STATIC
	    "aws_session_token = t\n");
	const struct http_request req = { .method = "GET", .path = "/" };
	struct http_credential *c;
	struct http_headers h;
	bool token = false;

	(void)state;
	assert_int_equal(issuer_open(&http_credential_aws_profile, &o, &c, &why), 0);
	assert_int_equal(why.len, 0);
	assert_int_equal(issuer_apply_at(c, &req, clock_wall_ms(), &h, &why), 0);
	for (size_t i = 0; i < h.n; i++)
		token = token || strcasecmp(h.line[i], "X-Amz-Security-Token: t") == 0;
	assert_true(token);
	http_headers_free(&h);

	cloud_write(dir, "credentials", "[site7]\naws_access_key_id = AKIA2\n"
	    "aws_secret_access_key = other\n", 0600);
	assert_non_null(strstr(issuer_apply(c, &why), "Credential=AKIA2/"));
	cloud_write(dir, "credentials", "[site7]\naws_access_key_id = AKIA3\n", 0600);
	assert_string_equal(issuer_apply(c, &why), "");
	SAYS(why, "it lacks aws_secret_access_key");
	assert_int_equal(remove(o.credentials_file), 0);
	assert_string_equal(issuer_apply(c, &why), "");
	SAYS(why, "No such file");
	cloud_write(dir, "credentials", "[site7]\n" STATIC, 0644);
	assert_non_null(strstr(issuer_apply(c, &why), "Credential=AKIA1/"));
	http_credential_close(c);
	assert_int_equal(issuer_open(&http_credential_aws_profile, &o, &c, &why), 0);
	SAYS(why, "everybody on this machine may read it");
	http_credential_close(c);
}

static void
a_process_gives_keys(void **state)
{
	AUTO_FREE char *config = xasprintf("[profile site7]\n"
	    "credential_process = %s/helper \"a b\"\n", dir);
	struct profile_options o = with_files(config, NULL);
	struct http_credential *c;

	(void)state;
	cloud_write(dir, "helper", "#!/bin/sh\ntest \"$1\" = 'a b' || exit 1\n"
	    "echo '{\"Version\": 1, \"AccessKeyId\": \"ASIA7\", "
	    "\"SecretAccessKey\": \"s\", \"SessionToken\": \"t\", "
	    "\"Expiration\": \"2124-02-29T12:00:00Z\"}'\n", 0700);
	assert_int_equal(issuer_open(&http_credential_aws_profile, &o, &c, &why), 0);
	assert_non_null(strstr(issuer_apply(c, &why), "Credential=ASIA7/"));
	/* Keys that are written down go before it. */
	AUTO_FREE char *both = xasprintf("%s" STATIC, config);
	cloud_write(dir, "config", both, 0600);
	assert_non_null(strstr(issuer_apply(c, &why), "Credential=AKIA1/"));
	http_credential_close(c);
}

static int
set_up(void **state)
{
	(void)state;
	cloud_make_dir(dir, sizeof(dir), "profile");
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	cloud_remove_dir(dir);
	buf_free(&why);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(settings_are_read_as_the_sdks_do),
		cmocka_unit_test(malformed_files_are_refused_with_the_line),
		cmocka_unit_test(files_are_merged),
		cmocka_unit_test(too_many_settings_are_an_error),
		cmocka_unit_test(profiles_that_lead_elsewhere_are_refused),
		cmocka_unit_test(static_keys_are_read_again_when_they_change),
		cmocka_unit_test(a_process_gives_keys),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
