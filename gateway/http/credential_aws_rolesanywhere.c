/* credential_aws_rolesanywhere.c - keys for AWS against our X.509 certificate: the
 * service IAM Roles Anywhere, operation CreateSession.
 *
 * The certificate is read for each session, so its renewal needs nobody. What the
 * service says on refusal is told with what to look at, for there are four places
 * to go wrong: trust anchor, profile, role, and certificate.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gateway/base/clock.h"
#include "gateway/http/aws_session_int.h"
#include "gateway/http/pem_int.h"
#include "gateway/http/rolesanywhere_int.h"

#define CONNECT_MS   15000
#define STALL_MS     30000
#define SKEW_MS	     10000	/* a correction worth another try */
#define DURATION_MIN (15 * 60000)
#define DURATION_MAX (12 * 3600000)

/* ---- ARNs ---------------------------------------------------------------- */

/* arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE; n counts from 0. */
static bool
arn_part(const char *arn, unsigned n, char *buf, size_t size)
{
	size_t len;

	for (; n > 0; n--) {
		arn = strchr(arn, ':');
		if (arn == NULL)
			return false;
		arn++;
	}
	len = strcspn(arn, ":");
	if (len >= size)
		return false;
	memcpy(buf, arn, len);
	buf[len] = '\0';
	return true;
}

static bool
is_name(const char *s)
{
	return s[0] != '\0' &&
	    strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(s);
}

static bool
arn_ok(const char *arn, const char *service, const char *kind)
{
	char part[64];

	return strncmp(arn, "arn:", 4) == 0 && strlen(arn) < 512 &&
	    arn_part(arn, 1, part, sizeof(part)) && is_name(part) &&
	    arn_part(arn, 2, part, sizeof(part)) && strcmp(part, service) == 0 &&
	    arn_part(arn, 3, part, sizeof(part)) &&
	    (strcmp(service, "iam") == 0 || is_name(part)) &&
	    arn_part(arn, 4, part, sizeof(part)) && strlen(part) == 12 &&
	    strspn(part, "0123456789") == 12 &&
	    strncmp(strchr(strstr(arn, part), ':') + 1, kind, strlen(kind)) == 0;
}

static char *
region_of(const struct roles_options *o)
{
	char part[64];

	if (o->region != NULL)
		return xstrdup(o->region);
	return xstrdup(arn_part(o->trust_anchor_arn, 3, part, sizeof(part)) ?
		part : "");
}

static char *
endpoint_of(const struct roles_options *o, const char *region)
{
	char part[64];
	bool china = arn_part(o->trust_anchor_arn, 1, part, sizeof(part)) &&
	    strcmp(part, "aws-cn") == 0;

	if (o->endpoint != NULL)
		return xstrdup(o->endpoint);
	return xasprintf("https://rolesanywhere.%s.amazonaws.com%s", region,
	    china ? ".cn" : "");
}

/* ---- keys ---------------------------------------------------------------- */

static int
fetch_keys(void *arg, int64_t our_now_ms, struct aws_keys *ret, struct buf *why)
{
	const struct roles *c = arg;
	AUTO(roles_signer_free) struct roles_signer k = { 0 };
	int64_t began = clock_mono_ms(), now = http_client_now_ms(c->http), skew;
	bool refused;
	int r;

	r = roles_signer_load(&c->files, &k, why);
	if (r == 0)
		r = pem_check_time(c->files.certificate, k.leaf, why);
	if (r < 0)
		return r;
	buf_clear(why);		/* a warning about its end was told at the start */
	r = roles_create_session(c, &k, now, ret, &refused, why);
	skew = http_client_now_ms(c->http) - now - (clock_mono_ms() - began);
	if (refused && (skew > SKEW_MS || skew < -SKEW_MS)) {
		buf_clear(why);
		r = roles_create_session(c, &k, http_client_now_ms(c->http), ret, &refused, why);
	}
	if (r < 0)
		return r;
	/* As the clock has it by which the session's life is counted. */
	ret->expires_ms -= http_client_now_ms(c->http) - our_now_ms -
	    (clock_mono_ms() - began);
	return aws_keys_check(ret, our_now_ms, "Roles Anywhere", why);
}

/* ---- the kind ------------------------------------------------------------ */

static void
close_roles(void *cred)
{
	struct roles *c = cred;

	aws_session_free(c->session);
	http_client_free(c->http);
	watch_destroy(&c->watch);
	free(c->region);
	free(c->url);
	free(c);
}

static int
check_files(const struct roles_files *f, struct buf *why)
{
	AUTO(roles_signer_free) struct roles_signer k = { 0 };
	int r;

	secret_warn(f->key != NULL ? f->key : f->certificate, why);
	secret_warn(f->passphrase, why);
	r = roles_signer_load(f, &k, why);
	if (r < 0)
		return r;
	roles_signer_warn(f, &k, why);
	/* One that is over may be renewed at any time. */
	(void)pem_check_time(f->certificate, k.leaf, why);
	return 0;
}

static int
open_client(struct roles *c, const struct config_proxy *proxy, struct buf *why)
{
	return http_client_new(&(struct http_client_options){
	    .url = c->url,
	    .ca_file = c->o->ca_file,
	    .proxy = proxy,
	    .connect_timeout_ms = CONNECT_MS,
	    .stall_timeout_ms = STALL_MS }, &c->http, why);
}

static int
open_roles(const void *options, const struct http_credential_options *opt,
    void **ret, struct buf *why)
{
	const struct roles_options *o = options;
	struct roles *c = xcalloc(1, sizeof(*c));
	int r;

	c->o = o;
	c->files = (struct roles_files){ .certificate = o->certificate_file,
		.key = o->key_file, .passphrase = o->key_passphrase_file,
		.chain = o->chain_file };
	watch_init(&c->watch);
	watch_add(&c->watch, o->certificate_file);
	watch_add(&c->watch, o->key_file);
	watch_add(&c->watch, o->key_passphrase_file);
	watch_add(&c->watch, o->chain_file);
	c->region = region_of(o);
	c->url = endpoint_of(o, c->region);
	r = check_files(&c->files, why);
	if (r == 0)
		r = open_client(c, opt->proxy, why);
	if (r < 0) {
		close_roles(c);
		return r;
	}
	c->session = aws_session_new(fetch_keys, c);
	*ret = c;
	return 0;
}

static int
apply_roles(void *cred, const struct http_signing *s, struct http_headers *h,
    struct buf *why)
{
	struct roles *c = cred;

	if (watch_changed(&c->watch))
		aws_session_renew(c->session, true);
	return aws_session_apply(c->session, s, h, why);
}

static bool
refresh_roles(void *cred, const struct http_reply *r)
{
	struct roles *c = cred;

	return aws_session_refresh(c->session, r);
}

static void
cancel_roles(void *cred)
{
	struct roles *c = cred;

	aws_session_cancel(c->session);
	http_client_cancel(c->http);
}

static void
describe_roles(void *cred, struct buf *b)
{
	const struct roles *c = cred;

	(void)buf_printf(b, "the session of role %s: look at the role's policy",
	    c->o->role_arn);
}

static void
check_arn(struct config_check *c, const struct roles_options *o,
    const char *option, const char *arn, const char *service, const char *kind)
{
	if (!arn_ok(arn, service, kind))
		config_problem(c, o->line, option, "found `%.100s`; wanted "
		    "arn:aws:%s:%s:123456789012:%s…", arn, service,
		    strcmp(service, "iam") == 0 ? "" : "REGION", kind);
}

static void
check_options(struct config_check *c, const void *section)
{
	const struct roles_options *o = section;

	check_arn(c, o, "trust_anchor_arn", o->trust_anchor_arn, "rolesanywhere",
	    "trust-anchor/");
	check_arn(c, o, "profile_arn", o->profile_arn, "rolesanywhere",
	    "profile/");
	check_arn(c, o, "role_arn", o->role_arn, "iam", "role/");
	if (o->region != NULL && !is_name(o->region))
		config_problem(c, o->line, "region",
		    "found `%.64s`; wanted a region, as eu-central-1", o->region);
}

#define OPTION(field) .name = #field, \
	.offset = offsetof(struct roles_options, field)

static const struct config_option table[] = {
	{ OPTION(certificate_file), .type = CONFIG_FILE, .required = true,
	    .help = "our certificate, PEM; read for each session" },
	{ OPTION(key_file), .type = CONFIG_FILE,
	    .help = "its private key, PEM, RSA or EC; left out: in "
		"certificate_file" },
	{ OPTION(key_passphrase_file), .type = CONFIG_FILE,
	    .help = "holds the key's passphrase" },
	{ OPTION(chain_file), .type = CONFIG_FILE,
	    .help = "CAs between it and the trust anchor, PEM" },
	{ OPTION(trust_anchor_arn), .type = CONFIG_STRING, .required = true,
	    .help = "the CA, as Roles Anywhere knows it" },
	{ OPTION(profile_arn), .type = CONFIG_STRING, .required = true,
	    .help = "the profile that lists the role" },
	{ OPTION(role_arn), .type = CONFIG_STRING, .required = true,
	    .help = "the role that is taken" },
	{ OPTION(region), .type = CONFIG_STRING,
	    .help = "of Roles Anywhere; left out: the trust anchor's" },
	{ .name = "duration", .type = CONFIG_DURATION,
	    .offset = offsetof(struct roles_options, duration_ms),
	    .fallback = "1h", .min = DURATION_MIN, .max = DURATION_MAX,
	    .help = "of a session; a shorter one of the profile goes before" },
	{ OPTION(role_session_name), .type = CONFIG_STRING,
	    .help = "shown in CloudTrail, where the profile allows it" },
	{ OPTION(endpoint), .type = CONFIG_URL,
	    .help = "of Roles Anywhere, where it is not the region's usual one" },
	{ OPTION(ca_file), .type = CONFIG_FILE,
	    .help = "CA of that endpoint, PEM; left out: the system's" },
	{ .name = NULL },
};

const struct http_credential_kind http_credential_aws_rolesanywhere = {
	.config = {
		.name = "aws_rolesanywhere",
		.section = {
			.name = "credential",
			.size = sizeof(struct roles_options),
			.options = table,
			.check = check_options,
		},
	},
	.signs = true,
	.open = open_roles,
	.close = close_roles,
	.apply = apply_roles,
	.refresh = refresh_roles,
	.cancel = cancel_roles,
	.describe = describe_roles,
};
