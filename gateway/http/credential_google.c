/* credential_google.c - tokens for a Google service account, by its key file: a JWT
 * that the key signed is exchanged for a token (RFC 7523 2.1).
 *
 * The file is what the Cloud console hands out. It is read for each token, so a
 * rotated key needs no reload.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gateway/http/jwt_int.h"
#include "gateway/http/pem_int.h"
#include "gateway/http/token_int.h"
#include "gateway/http/watch_int.h"

#define GRANT_TYPE  "urn:ietf:params:oauth:grant-type:jwt-bearer"
#define TOKEN_URI   "https://oauth2.googleapis.com/token"
#define LIFE_S	    3600	/* the most that Google takes */
#define BACKDATED_S 10		/* their clock may be a little behind */

struct google_options {
	unsigned line;
	char	*key_file, *scope, *ca_file;
};

struct google {
	const struct google_options *o;
	char		    *email, *token_uri;	/* as they were at first */
	struct watch	     watch;
	struct token_source *tokens;
};

/* ---- the key file -------------------------------------------------------- */

struct key_file {
	json_t	   *root;
	EVP_PKEY   *key;
	const char *email, *key_id, *token_uri;	/* of root; key_id may be NULL */
};

static void
free_key_file(struct key_file *k)
{
	const char *pem = json_string_value(json_object_get(k->root,
	    "private_key"));

	if (pem != NULL)
		explicit_bzero((char *)pem, strlen(pem));
	json_decref(k->root);
	EVP_PKEY_free(k->key);
}

static int
refuse(struct buf *why, const char *file, const char *what)
{
	(void)buf_printf(why, "%s%s: %s", why->len > 0 ? "; " : "", file, what);
	return -EINVAL;
}

static int
check_type(const char *file, const json_t *root, struct buf *why)
{
	const char *type = json_string_value(json_object_get(root, "type"));

	if (!json_is_object(root))
		return refuse(why, file, "is no JSON: wanted the key file of a "
		    "service account, as the Cloud console makes it");
	if (json_object_get(root, "installed") != NULL ||
	    json_object_get(root, "web") != NULL)
		return refuse(why, file, "is the secret of an OAuth client: wanted "
		    "the key file of a service account");
	if (type == NULL || strcmp(type, "service_account") != 0)
		return refuse(why, file, "its type is not service_account: make a "
		    "JSON key for a service account (IAM, Service accounts, Keys)");
	return 0;
}

static int
parse_key_file(const char *file, struct key_file *k, struct buf *why)
{
	const char *pem;
	int r;

	r = check_type(file, k->root, why);
	if (r < 0)
		return r;
	k->email = json_string_value(json_object_get(k->root, "client_email"));
	k->key_id = json_string_value(json_object_get(k->root, "private_key_id"));
	k->token_uri = json_string_value(json_object_get(k->root, "token_uri"));
	pem = json_string_value(json_object_get(k->root, "private_key"));
	if (k->email == NULL || pem == NULL)
		return refuse(why, file, "client_email or private_key is missing");
	if (k->token_uri == NULL)
		k->token_uri = TOKEN_URI;
	r = pem_parse_key(file, pem, &k->key, why);
	if (r == 0 && !EVP_PKEY_is_a(k->key, "RSA"))
		r = refuse(why, file, "its private_key is not of type RSA");
	return r;
}

static int
load_key_file(const char *file, struct key_file *k, struct buf *why)
{
	char *text;
	size_t len;
	int r;

	r = secret_read(file, &text, &len, why);
	if (r < 0)
		return r;
	k->root = json_loadb(text, len, 0, NULL);
	explicit_bzero(text, len);
	free(text);
	return parse_key_file(file, k, why);
}

/* ---- the form ------------------------------------------------------------ */

static int
sign_assertion(const struct google *g, const struct key_file *k, int64_t now_s,
    char **ret, struct buf *why)
{
	json_t *header = json_pack("{s:s}", "typ", "JWT");
	json_t *claims = json_pack("{s:s, s:s, s:s, s:I, s:I}", "iss", k->email,
	    "scope", g->o->scope, "aud", k->token_uri,
	    "iat", (json_int_t)(now_s - BACKDATED_S),
	    "exp", (json_int_t)(now_s - BACKDATED_S + LIFE_S));
	int r;

	if (k->key_id != NULL)
		(void)json_object_set_new(header, "kid", json_string(k->key_id));
	/* json_pack() makes nothing of a text that is not UTF-8. */
	r = claims != NULL ? jwt_sign(k->key, JWT_RS256, header, claims, ret) :
	    -EINVAL;
	if (r < 0)
		(void)refuse(why, g->o->key_file, "cannot sign with its key");
	json_decref(header);
	json_decref(claims);
	return r;
}

static int
fill_form(void *arg, struct token_form *f, struct buf *why)
{
	const struct google *g = arg;
	AUTO(free_key_file) struct key_file k = { 0 };
	AUTO(cleanup_secret_free) char *jwt = NULL;
	int r;

	r = load_key_file(g->o->key_file, &k, why);
	if (r < 0)
		return r;
	if (strcmp(k.token_uri, g->token_uri) != 0)
		return refuse(why, g->o->key_file, "its token_uri is another one "
		    "than before: restart, if that is meant");
	r = sign_assertion(g, &k, f->now_ms / 1000, &jwt, why);
	if (r < 0)
		return r;
	token_form_add(f, "grant_type", GRANT_TYPE);
	token_form_add(f, "assertion", jwt);
	f->secret = TAKE_PTR(jwt);
	return 0;
}

/* ---- the kind ------------------------------------------------------------ */

static void
close_google(void *cred)
{
	struct google *g = cred;

	token_source_free(g->tokens);
	watch_destroy(&g->watch);
	free(g->token_uri);
	free(g->email);
	free(g);
}

static int
open_google(const void *options, const struct http_credential_options *opt,
    void **ret, struct buf *why)
{
	const struct google_options *o = options;
	AUTO(free_key_file) struct key_file k = { 0 };
	struct google *g;
	int r;

	secret_warn(o->key_file, why);
	r = load_key_file(o->key_file, &k, why);
	if (r < 0)
		return r;
	g = xcalloc(1, sizeof(*g));
	g->o = o;
	g->email = xstrdup(k.email);
	g->token_uri = xstrdup(k.token_uri);
	watch_init(&g->watch);
	watch_add(&g->watch, o->key_file);
	r = token_source_new(&(struct token_issuer){ .url = g->token_uri,
	    .option = "key_file: token_uri", .ca_file = o->ca_file,
	    .proxy = opt->proxy, .clocked = true, .fill = fill_form, .arg = g },
	    &g->tokens, why);
	if (r < 0) {
		close_google(g);
		return r;
	}
	*ret = g;
	return 0;
}

static int
apply_google(void *cred, const struct http_signing *s, struct http_headers *h,
    struct buf *why)
{
	struct google *g = cred;

	(void)s;
	if (watch_changed(&g->watch))
		token_source_renew(g->tokens);
	return token_source_apply(g->tokens, h, why);
}

static bool
refresh_google(void *cred, const struct http_reply *r)
{
	struct google *g = cred;

	return token_source_refresh(g->tokens, r);
}

static void
cancel_google(void *cred)
{
	struct google *g = cred;

	token_source_cancel(g->tokens);
}

static void
describe_google(void *cred, struct buf *b)
{
	const struct google *g = cred;

	(void)buf_printf(b, "the token of service account %s (key_file %s): give it "
	    "the role Healthcare DICOM Editor", g->email, g->o->key_file);
}

static const struct config_option table[] = {
	{ .name = "key_file", .type = CONFIG_FILE, .required = true,
	    .offset = offsetof(struct google_options, key_file),
	    .help = "the service account's JSON key; read again when it changes" },
	{ .name = "scope", .type = CONFIG_STRING,
	    .offset = offsetof(struct google_options, scope),
	    .fallback = "https://www.googleapis.com/auth/cloud-healthcare",
	    .help = "what is asked for" },
	{ .name = "ca_file", .type = CONFIG_FILE,
	    .offset = offsetof(struct google_options, ca_file),
	    .help = "CA of the token endpoint, PEM; left out: the system's" },
	{ .name = NULL },
};

const struct http_credential_kind http_credential_google = {
	.config = {
		.name = "google_service_account",
		.section = {
			.name = "credential",
			.size = sizeof(struct google_options),
			.options = table,
		},
	},
	.open = open_google,
	.close = close_google,
	.apply = apply_google,
	.refresh = refresh_google,
	.cancel = cancel_google,
	.describe = describe_google,
};
