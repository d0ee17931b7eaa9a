/* credential_oauth2.c - tokens that are fetched with a client secret or a private
 * key: OAuth2 client credentials (RFC 6749 4.4, RFC 7523 2.2, RFC 8707).
 *
 * Entra (Azure), Keycloak, Cognito and the rest of them differ in what they want
 * besides, so each of those things is an option.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gateway/http/jwt_int.h"
#include "gateway/http/pem_int.h"
#include "gateway/http/token_int.h"
#include "gateway/http/watch_int.h"

#define ASSERTION_TYPE "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
#define ASSERTION_S    300	/* it is used at once */
#define BACKDATED_S    10	/* their clock may be a little behind */

enum auth_style { STYLE_POST, STYLE_BASIC };
static const char *const auth_styles[] = { "post", "basic", NULL };

struct oauth2_options {
	unsigned line;
	char	*token_url, *client_id, *client_secret_file;
	char	*private_key_file, *key_passphrase_file, *certificate_file, *key_id;
	int	 algorithm;		/* enum jwt_algorithm */
	char	*assertion_audience;
	char	*scope, *audience, *resource;
	int	 auth_style;
	char	*ca_file;
};

struct oauth2 {
	const struct oauth2_options *o;
	struct secret_file  *secret;	/* NULL: a key */
	struct watch	     watch;
	struct token_source *tokens;
};

/* ---- the form ------------------------------------------------------------ */

static int
add_secret(const struct oauth2 *a, struct token_form *f, struct buf *why)
{
	struct buf pair = BUF_INIT(4 * HTTP_SECRET_MAX);
	AUTO_FREE char *encoded = NULL;
	int r;

	r = secret_get(a->secret, true, &f->secret, why);
	if (r < 0)
		return r;
	if (a->o->auth_style == STYLE_POST) {
		token_form_add(f, "client_id", a->o->client_id);
		token_form_add(f, "client_secret", f->secret);
		return 0;
	}
	token_escape(&pair, a->o->client_id);
	(void)buf_add_char(&pair, ':');
	token_escape(&pair, f->secret);
	r = buf_error(&pair);
	if (r == 0) {
		encoded = xcalloc(1, 4 * ((pair.len + 2) / 3) + 1);
		(void)EVP_EncodeBlock((unsigned char *)encoded,
		    (unsigned char *)pair.data, (int)pair.len);
		f->authorization = xasprintf("Basic %s", encoded);
		explicit_bzero(encoded, strlen(encoded));
	}
	if (pair.data != NULL)
		explicit_bzero(pair.data, pair.size);
	buf_free(&pair);
	return r;
}

static json_t *
make_claims(const struct oauth2_options *o, int64_t now_s)
{
	char id[32];

	if (jwt_random_id(id, sizeof(id)) < 0)
		return NULL;
	return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I}",
	    "iss", o->client_id, "sub", o->client_id,
	    "aud", o->assertion_audience != NULL ? o->assertion_audience :
		o->token_url, "jti", id,
	    "iat", (json_int_t)(now_s - BACKDATED_S),
	    "nbf", (json_int_t)(now_s - BACKDATED_S),
	    "exp", (json_int_t)(now_s + ASSERTION_S));
}

static void
set_thumbprint(json_t *header, const char *name, const X509 *cert,
    const EVP_MD *md)
{
	AUTO_FREE char *text = jwt_thumbprint(cert, md);

	(void)json_object_set_new(header, name, json_string(text));
}

/* What is signed with: read anew each time, since keys are renewed. */
struct signer {
	EVP_PKEY *key;
	X509	 *cert;		/* NULL: none is told */
	enum jwt_algorithm algorithm;
};

static void
free_signer(struct signer *s)
{
	EVP_PKEY_free(s->key);
	X509_free(s->cert);
}

static int
load_signer(const struct oauth2_options *o, struct signer *s, struct buf *why)
{
	struct buf wrong = BUF_INIT(200);
	int r;

	r = pem_load_key(o->private_key_file, o->key_passphrase_file, &s->key,
	    why);
	if (r < 0)
		return r;
	r = jwt_choose(s->key, (enum jwt_algorithm)o->algorithm, &s->algorithm,
	    &wrong);
	if (r < 0)
		(void)buf_printf(why, "%s: %s", o->private_key_file, wrong.data);
	buf_free(&wrong);
	if (r < 0 || o->certificate_file == NULL)
		return r;
	r = pem_load_certificate(o->certificate_file, &s->cert, why);
	return r < 0 ? r : pem_check_pair(o->certificate_file, s->cert,
	    o->private_key_file, s->key, why);
}

static int
add_assertion(const struct oauth2 *a, struct token_form *f, struct buf *why)
{
	AUTO(free_signer) struct signer s = { 0 };
	json_t *header, *claims;
	AUTO(cleanup_secret_free) char *jwt = NULL;
	int r;

	r = load_signer(a->o, &s, why);
	if (r < 0)
		return r;
	header = json_pack("{s:s}", "typ", "JWT");
	claims = make_claims(a->o, f->now_ms / 1000);
	if (a->o->key_id != NULL)
		(void)json_object_set_new(header, "kid",
		    json_string(a->o->key_id));
	if (s.cert != NULL) {
		set_thumbprint(header, "x5t", s.cert, EVP_sha1());
		set_thumbprint(header, "x5t#S256", s.cert, EVP_sha256());
	}
	r = claims != NULL ? jwt_sign(s.key, s.algorithm, header, claims, &jwt) :
	    -EIO;
	json_decref(header);
	json_decref(claims);
	if (r < 0) {
		(void)buf_printf(why, "%s: cannot sign", a->o->private_key_file);
		return r;
	}
	token_form_add(f, "client_id", a->o->client_id);
	token_form_add(f, "client_assertion_type", ASSERTION_TYPE);
	token_form_add(f, "client_assertion", jwt);
	f->secret = TAKE_PTR(jwt);
	return 0;
}

static int
fill_form(void *arg, struct token_form *f, struct buf *why)
{
	const struct oauth2 *a = arg;

	token_form_add(f, "grant_type", "client_credentials");
	if (a->o->scope != NULL)
		token_form_add(f, "scope", a->o->scope);
	if (a->o->audience != NULL)
		token_form_add(f, "audience", a->o->audience);
	if (a->o->resource != NULL)
		token_form_add(f, "resource", a->o->resource);
	return a->secret != NULL ? add_secret(a, f, why) :
	    add_assertion(a, f, why);
}

/* ---- the kind ------------------------------------------------------------ */

static void
close_oauth2(void *cred)
{
	struct oauth2 *a = cred;

	token_source_free(a->tokens);
	secret_close(a->secret);
	watch_destroy(&a->watch);
	free(a);
}

static int
open_key(const struct oauth2_options *o, struct buf *why)
{
	AUTO(free_signer) struct signer s = { 0 };
	int r;

	secret_warn(o->private_key_file, why);
	secret_warn(o->key_passphrase_file, why);
	r = load_signer(o, &s, why);
	if (r == 0 && s.cert != NULL)
		(void)pem_check_time(o->certificate_file, s.cert, why);
	return r;
}

static int
open_oauth2(const void *options, const struct http_credential_options *opt,
    void **ret, struct buf *why)
{
	const struct oauth2_options *o = options;
	struct oauth2 *a = xcalloc(1, sizeof(*a));
	const struct token_issuer issuer = { .url = o->token_url,
		.option = "token_url", .ca_file = o->ca_file,
		.proxy = opt->proxy, .clocked = o->client_secret_file == NULL,
		.fill = fill_form, .arg = a };
	int r;

	a->o = o;
	watch_init(&a->watch);
	watch_add(&a->watch, o->client_secret_file);
	watch_add(&a->watch, o->private_key_file);
	watch_add(&a->watch, o->certificate_file);
	r = o->client_secret_file != NULL ?
	    secret_open(o->client_secret_file, &a->secret, why) :
	    open_key(o, why);
	if (r == 0)
		r = token_source_new(&issuer, &a->tokens, why);
	if (r < 0) {
		close_oauth2(a);
		return r;
	}
	*ret = a;
	return 0;
}

static int
apply_oauth2(void *cred, const struct http_signing *s, struct http_headers *h,
    struct buf *why)
{
	struct oauth2 *a = cred;

	(void)s;
	if (watch_changed(&a->watch))
		token_source_renew(a->tokens);
	return token_source_apply(a->tokens, h, why);
}

static bool
refresh_oauth2(void *cred, const struct http_reply *r)
{
	struct oauth2 *a = cred;

	return token_source_refresh(a->tokens, r);
}

static void
cancel_oauth2(void *cred)
{
	struct oauth2 *a = cred;

	token_source_cancel(a->tokens);
}

static void
describe_oauth2(void *cred, struct buf *b)
{
	const struct oauth2 *a = cred;

	(void)buf_printf(b, "the token of client_id %s: was this client given a "
	    "role there, and is scope right?", a->o->client_id);
}

static void
check_options(struct config_check *c, const void *section)
{
	const struct oauth2_options *o = section;

	if (!token_url_ok(o->token_url))
		config_problem(c, o->line, "token_url",
		    "wanted http:// or https://, a host and a path, without a user");
	if (o->client_secret_file == NULL && o->private_key_file == NULL)
		config_problem(c, o->line, "client_secret_file", "is missing; wanted "
		    "it, or private_key_file");
	if (o->client_secret_file != NULL && o->private_key_file != NULL)
		config_problem(c, o->line, "client_secret_file", "stands beside "
		    "private_key_file; wanted one of them");
	if (o->private_key_file == NULL && (o->certificate_file != NULL ||
		o->key_id != NULL || o->key_passphrase_file != NULL ||
		o->assertion_audience != NULL || o->algorithm != JWT_AUTO))
		config_problem(c, o->line, "private_key_file",
		    "certificate_file, key_id, key_passphrase_file, algorithm and "
		    "assertion_audience belong to private_key_file");
	if (o->private_key_file != NULL && o->auth_style == STYLE_BASIC)
		config_problem(c, o->line, "auth_style",
		    "found `basic`; a private key is always shown in the form "
		    "(post)");
}

#define OPTION(field) .name = #field, \
	.offset = offsetof(struct oauth2_options, field)

static const struct config_option table[] = {
	{ OPTION(token_url), .type = CONFIG_STRING, .required = true,
	    .help = "the issuer's token endpoint; Azure: "
		"https://login.microsoftonline.com/TENANT/oauth2/v2.0/token" },
	{ OPTION(client_id), .type = CONFIG_STRING, .required = true,
	    .help = "of the gateway, as the issuer knows it" },
	{ OPTION(client_secret_file), .type = CONFIG_FILE,
	    .help = "holds the client secret; read for each token" },
	{ OPTION(private_key_file), .type = CONFIG_FILE,
	    .help = "instead of a secret: the key that signs a JWT, PEM, RSA or EC" },
	{ OPTION(key_passphrase_file), .type = CONFIG_FILE,
	    .help = "holds the key's passphrase" },
	{ OPTION(certificate_file), .type = CONFIG_FILE,
	    .help = "the key's certificate, by which Azure knows it (x5t)" },
	{ OPTION(key_id), .type = CONFIG_STRING,
	    .help = "by which other issuers know it (kid)" },
	{ OPTION(algorithm), .type = CONFIG_ENUM, .fallback = "auto",
	    .choices = jwt_algorithms,
	    .help = "of the signature; auto: RS256, or by the EC key's curve" },
	{ OPTION(assertion_audience), .type = CONFIG_STRING,
	    .help = "whom the JWT is for (aud); left out: token_url" },
	{ OPTION(scope), .type = CONFIG_STRING,
	    .help = "what is asked for; Azure: "
		"https://dicom.healthcareapis.azure.com/.default" },
	{ OPTION(audience), .type = CONFIG_STRING,
	    .help = "for issuers that want to know whom the token is for" },
	{ OPTION(resource), .type = CONFIG_STRING,
	    .help = "the same, as RFC 8707 names it" },
	{ OPTION(auth_style), .type = CONFIG_ENUM, .fallback = "post",
	    .choices = auth_styles,
	    .help = "where the secret goes: into the form, or into the header "
		"Authorization" },
	{ OPTION(ca_file), .type = CONFIG_FILE,
	    .help = "CA of the token endpoint, PEM; left out: the system's" },
	{ .name = NULL },
};

const struct http_credential_kind http_credential_oauth2 = {
	.config = {
		.name = "oauth2_client_credentials",
		.section = {
			.name = "credential",
			.size = sizeof(struct oauth2_options),
			.options = table,
			.check = check_options,
		},
	},
	.open = open_oauth2,
	.close = close_oauth2,
	.apply = apply_oauth2,
	.refresh = refresh_oauth2,
	.cancel = cancel_oauth2,
	.describe = describe_oauth2,
};
