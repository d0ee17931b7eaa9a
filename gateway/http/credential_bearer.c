/* credential_bearer.c - a token that somebody else keeps fresh in a file
 * (RFC 6750). */
#include <errno.h>
#include <string.h>

#include "gateway/http/http_int.h"

struct bearer_options {
	unsigned line;
	char	*token_file;
};

struct bearer {
	struct secret_file *token;
	pthread_mutex_t	    mu;
	char		   *used;	/* guarded by mu: what was sent last */
};

static int
open_bearer(const void *options, const struct http_credential_options *opt,
    void **ret, struct buf *why)
{
	const struct bearer_options *o = options;
	struct secret_file *token;
	struct bearer *b;
	int r;

	(void)opt;
	r = secret_open(o->token_file, &token, why);
	if (r < 0)
		return r;
	b = xcalloc(1, sizeof(*b));
	b->token = token;
	(void)pthread_mutex_init(&b->mu, NULL);
	*ret = b;
	return 0;
}

static void
close_bearer(void *cred)
{
	struct bearer *b = cred;

	secret_close(b->token);
	secret_free(b->used);
	(void)pthread_mutex_destroy(&b->mu);
	free(b);
}

static int
apply_bearer(void *cred, const struct http_signing *s, struct http_headers *h,
    struct buf *why)
{
	struct bearer *b = cred;
	AUTO(cleanup_secret_free) char *token = NULL;
	AUTO(cleanup_secret_free) char *value = NULL;
	int r;

	(void)s;
	r = secret_get(b->token, false, &token, why);
	if (r < 0)
		return -EAGAIN;
	value = xasprintf("Bearer %s", token);
	r = http_headers_add(h, "Authorization", value);

	LOCK_SCOPE(&b->mu);
	secret_free(b->used);
	b->used = TAKE_PTR(token);
	return r;
}

static bool
refresh_bearer(void *cred, const struct http_reply *r)
{
	struct bearer *b = cred;
	struct buf why = BUF_INIT(256);
	AUTO(cleanup_secret_free) char *now = NULL;
	int e;

	if (r->status != 401)
		return false;
	e = secret_get(b->token, true, &now, &why);
	buf_free(&why);
	if (e < 0)
		return false;
	LOCK_SCOPE(&b->mu);
	return b->used != NULL && strcmp(now, b->used) != 0;
}

static void
describe_bearer(void *cred, struct buf *b)
{
	const struct bearer *bearer = cred;

	(void)buf_printf(b, "the token in token_file %s",
	    secret_path(bearer->token));
}

static const struct config_option table[] = {
	{ .name = "token_file", .type = CONFIG_FILE, .required = true,
	    .offset = offsetof(struct bearer_options, token_file),
	    .help = "holds the token; read again when it changes" },
	{ .name = NULL },
};

const struct http_credential_kind http_credential_bearer = {
	.config = {
		.name = "bearer",
		.section = {
			.name = "credential",
			.size = sizeof(struct bearer_options),
			.options = table,
		},
	},
	.open = open_bearer,
	.close = close_bearer,
	.apply = apply_bearer,
	.refresh = refresh_bearer,
	.describe = describe_bearer,
};
