/* credential_aws_profile.c - keys for AWS from a profile of the shared config and
 * credentials files: static ones, or those that its credential_process prints.
 *
 * The files are read again whenever they change. A daemon has no home, so they are
 * named; a profile that would lead elsewhere (roles, SSO) is refused with words,
 * not followed half of the way.
 */
#include <errno.h>
#include <string.h>

#include "gateway/http/aws_ini_int.h"
#include "gateway/http/aws_session_int.h"
#include "gateway/http/watch_int.h"

struct profile_options {
	unsigned line;
	char	*profile, *config_file, *credentials_file;
};

struct profile {
	const struct profile_options *o;
	struct watch	    watch;
	struct aws_session *session;
	pthread_mutex_t	    mu;
	struct process	   *running;	/* guarded by mu, as is canceled */
	bool		    canceled;
};

DEFINE_CLEANUP(struct aws_ini, aws_ini_free)

/* ---- reading the files --------------------------------------------------- */

static int
add_file(struct aws_ini *ini, enum aws_ini_kind kind, const char *file,
    struct buf *why)
{
	char *text;
	size_t len;
	int r;

	if (file == NULL)
		return 0;
	r = secret_read(file, &text, &len, why);
	if (r < 0)
		return r;
	r = aws_ini_add(ini, kind, file, text, len, why);
	explicit_bzero(text, len);
	free(text);
	return r;
}

static void
say_where(const struct profile_options *o, struct buf *why)
{
	(void)buf_printf(why, "profile %s of %s%s%s: ", o->profile,
	    o->config_file != NULL ? o->config_file : "",
	    o->config_file != NULL && o->credentials_file != NULL ? " and " : "",
	    o->credentials_file != NULL ? o->credentials_file : "");
}

static const struct {
	const char *key;
	const char *instead;
} elsewhere[] = {
	{ "role_arn", "roles are not assumed from a profile: let a "
	    "credential_process do that, or use aws_rolesanywhere" },
	{ "source_profile", "other profiles are not followed: name that one as "
	    "profile, or use credential_process" },
	{ "credential_source", "there is no instance or container to ask here: use "
	    "aws_rolesanywhere, or credential_process" },
	{ "sso_session", "single sign-on needs a person: use aws_rolesanywhere, or "
	    "credential_process" },
	{ "sso_start_url", "single sign-on needs a person: use aws_rolesanywhere, "
	    "or credential_process" },
	{ "web_identity_token_file", "web identities are not exchanged: use "
	    "credential_process" },
};

static int
check_profile(const struct profile_options *o, const struct aws_ini *ini,
    struct buf *why)
{
	const char *id = aws_ini_get(ini, "aws_access_key_id");
	const char *secret = aws_ini_get(ini, "aws_secret_access_key");

	if (!aws_ini_found(ini)) {
		say_where(o, why);
		(void)buf_add_str(why, "there is none");
		if (aws_ini_misnamed(ini))
			(void)buf_printf(why, ": write [profile %s] in config_file",
			    o->profile);
		return -ENOENT;
	}
	for (size_t i = 0; i < ARRAY_LEN(elsewhere); i++) {
		if (aws_ini_get(ini, elsewhere[i].key) == NULL)
			continue;
		say_where(o, why);
		(void)buf_printf(why, "it has %s: %s", elsewhere[i].key,
		    elsewhere[i].instead);
		return -ENOTSUP;
	}
	if ((id == NULL) != (secret == NULL) || (id == NULL &&
		aws_ini_get(ini, "credential_process") == NULL)) {
		say_where(o, why);
		(void)buf_printf(why, "it lacks %s", id == NULL && secret == NULL ?
			"keys: aws_access_key_id and aws_secret_access_key, or "
			"credential_process" : id == NULL ? "aws_access_key_id" :
			"aws_secret_access_key");
		return -EINVAL;
	}
	return 0;
}

static int
load_profile(const struct profile_options *o, struct aws_ini **ret,
    struct buf *why)
{
	AUTO(cleanup_aws_ini_free) struct aws_ini *ini = aws_ini_new(o->profile);
	int r;

	r = add_file(ini, AWS_INI_CONFIG, o->config_file, why);
	if (r == 0)
		r = add_file(ini, AWS_INI_CREDENTIALS, o->credentials_file, why);
	if (r == 0)
		r = check_profile(o, ini, why);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(ini);
	return 0;
}

/* ---- keys ---------------------------------------------------------------- */

/* They go into headers, and a continuation may have got into them. */
static bool
key_ok(const char *text)
{
	for (const char *p = text; *p != '\0'; p++) {
		if (*p <= 0x20 || *p >= 0x7f)
			return false;
	}
	return text[0] != '\0';
}

static int
take_static(const struct profile_options *o, const struct aws_ini *ini,
    struct aws_keys *ret, struct buf *why)
{
	const char *id = aws_ini_get(ini, "aws_access_key_id");
	const char *secret = aws_ini_get(ini, "aws_secret_access_key");
	const char *token = aws_ini_get(ini, "aws_session_token");

	if (!key_ok(id) || !key_ok(secret) ||
	    (token != NULL && token[0] != '\0' && !key_ok(token))) {
		say_where(o, why);
		(void)buf_add_str(why, "its keys are empty, or hold what no key "
		    "has (white space, a comment)");
		return -EINVAL;
	}
	*ret = (struct aws_keys){ .id = xstrdup(id), .secret = xstrdup(secret),
		.token = token != NULL && token[0] != '\0' ? xstrdup(token) : NULL,
		.expires_ms = INT64_MAX };
	return 0;
}

static int
make_process(const struct aws_ini *ini, struct process **ret, struct buf *why)
{
	char *line = (char *)aws_ini_get(ini, "credential_process");
	const struct config_strings command = { .n = 1, .v = &line };
	int r;

	r = process_new(&command, ret, why);
	if (r < 0)
		(void)buf_add_str(why, " (credential_process)");
	return r;
}

/* Others may cancel it from here on. */
static void
set_running(struct profile *p, struct process *process)
{
	LOCK_SCOPE(&p->mu);
	p->running = process;
	if (process != NULL && p->canceled)
		process_cancel(process);
}

static int
run_process(struct profile *p, const struct aws_ini *ini, int64_t now_ms,
    struct aws_keys *ret, struct buf *why)
{
	struct process *process;
	int r;

	r = make_process(ini, &process, why);
	if (r < 0)
		return r;
	set_running(p, process);
	r = aws_process_fetch(process, now_ms, ret, why);
	set_running(p, NULL);
	process_free(process);
	return r;
}

static int
fetch_keys(void *arg, int64_t now_ms, struct aws_keys *ret, struct buf *why)
{
	struct profile *p = arg;
	AUTO(cleanup_aws_ini_free) struct aws_ini *ini = NULL;
	int r;

	r = load_profile(p->o, &ini, why);
	if (r < 0)
		return r;
	return aws_ini_get(ini, "aws_access_key_id") != NULL ?
	    take_static(p->o, ini, ret, why) :
	    run_process(p, ini, now_ms, ret, why);
}

/* ---- the kind ------------------------------------------------------------ */

static void
close_profile(void *cred)
{
	struct profile *p = cred;

	aws_session_free(p->session);
	watch_destroy(&p->watch);
	(void)pthread_mutex_destroy(&p->mu);
	free(p);
}

/* Everything but running a process, which may take its time. */
static int
try_profile(const struct profile_options *o, struct buf *why)
{
	AUTO(cleanup_aws_ini_free) struct aws_ini *ini = NULL;
	struct aws_keys keys = { 0 };
	struct process *process;
	int r;

	r = load_profile(o, &ini, why);
	if (r < 0)
		return r;
	if (aws_ini_get(ini, "aws_access_key_id") != NULL) {
		r = take_static(o, ini, &keys, why);
		aws_keys_free(&keys);
		return r;
	}
	r = make_process(ini, &process, why);
	if (r == 0)
		process_free(process);
	return r;
}

static int
open_profile(const void *options, const struct http_credential_options *opt,
    void **ret, struct buf *why)
{
	const struct profile_options *o = options;
	struct profile *p = xcalloc(1, sizeof(*p));
	int r;

	(void)opt;
	p->o = o;
	(void)pthread_mutex_init(&p->mu, NULL);
	watch_init(&p->watch);
	watch_add(&p->watch, o->config_file);
	watch_add(&p->watch, o->credentials_file);
	r = try_profile(o, why);
	if (r < 0) {
		close_profile(p);
		return r;
	}
	secret_warn(o->credentials_file, why);
	p->session = aws_session_new(fetch_keys, p);
	*ret = p;
	return 0;
}

static int
apply_profile(void *cred, const struct http_signing *s, struct http_headers *h,
    struct buf *why)
{
	struct profile *p = cred;

	if (watch_changed(&p->watch))
		aws_session_renew(p->session, false);
	return aws_session_apply(p->session, s, h, why);
}

static bool
refresh_profile(void *cred, const struct http_reply *r)
{
	struct profile *p = cred;

	return aws_session_refresh(p->session, r);
}

static void
cancel_profile(void *cred)
{
	struct profile *p = cred;

	aws_session_cancel(p->session);
	LOCK_SCOPE(&p->mu);
	p->canceled = true;
	if (p->running != NULL)
		process_cancel(p->running);
}

static void
describe_profile(void *cred, struct buf *b)
{
	const struct profile *p = cred;

	(void)buf_printf(b, "the keys of profile %s in %s", p->o->profile,
	    p->o->credentials_file != NULL ? p->o->credentials_file :
		p->o->config_file);
}

static void
check_options(struct config_check *c, const void *section)
{
	const struct profile_options *o = section;

	if (o->config_file == NULL && o->credentials_file == NULL)
		config_problem(c, o->line, "credentials_file",
		    "credentials_file or config_file is needed: a daemon has no "
		    "home to look into");
}

static const struct config_option table[] = {
	{ .name = "profile", .type = CONFIG_STRING, .fallback = "default",
	    .offset = offsetof(struct profile_options, profile),
	    .help = "its name" },
	{ .name = "config_file", .type = CONFIG_FILE,
	    .offset = offsetof(struct profile_options, config_file),
	    .help = "shared config file, with [profile NAME]" },
	{ .name = "credentials_file", .type = CONFIG_FILE,
	    .offset = offsetof(struct profile_options, credentials_file),
	    .help = "shared credentials file, with [NAME]; goes before config_file" },
	{ .name = NULL },
};

const struct http_credential_kind http_credential_aws_profile = {
	.config = {
		.name = "aws_profile",
		.section = {
			.name = "credential",
			.size = sizeof(struct profile_options),
			.options = table,
			.check = check_options,
		},
	},
	.signs = true,
	.open = open_profile,
	.close = close_profile,
	.apply = apply_profile,
	.refresh = refresh_profile,
	.cancel = cancel_profile,
	.describe = describe_profile,
};
