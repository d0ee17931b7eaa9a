/* credential_basic.c - user and password, RFC 7617. */
#include <errno.h>
#include <string.h>

#include <openssl/evp.h>

#include "gateway/http/http_int.h"

#define USER_MAX 256

struct basic_options {
	unsigned line;
	char	*user, *password_file;
};

struct basic {
	char		   *user;
	struct secret_file *password;
	pthread_mutex_t	    mu;
	char		   *used;	/* guarded by mu: what was sent last */
};

static bool
user_ok(const char *user)
{
	size_t len = strlen(user);

	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)user[i] < 0x20 || user[i] == 0x7f)
			return false;
	}
	return len > 0 && len <= USER_MAX && strchr(user, ':') == NULL;
}

static void
check_options(struct config_check *c, const void *section)
{
	const struct basic_options *o = section;

	if (!user_ok(o->user))
		config_problem(c, o->line, "user", "has a colon or is too long: "
		    "basic authentication cannot carry it");
}

static int
open_basic(const void *options, const struct http_credential_options *opt,
    void **ret, struct buf *why)
{
	const struct basic_options *o = options;
	struct secret_file *password;
	struct basic *b;
	int r;

	if (!user_ok(o->user)) {
		(void)buf_add_str(why, "credential: user cannot be used");
		return -EINVAL;
	}
	(void)opt;
	r = secret_open(o->password_file, &password, why);
	if (r < 0)
		return r;
	b = xcalloc(1, sizeof(*b));
	b->user = xstrdup(o->user);
	b->password = password;
	(void)pthread_mutex_init(&b->mu, NULL);
	*ret = b;
	return 0;
}

static void
close_basic(void *cred)
{
	struct basic *b = cred;

	secret_close(b->password);
	secret_free(b->used);
	(void)pthread_mutex_destroy(&b->mu);
	free(b->user);
	free(b);
}

static int
add_header(const struct basic *b, const char *password, struct http_headers *h)
{
	AUTO(cleanup_secret_free) char *pair = xasprintf("%s:%s", b->user, password);
	AUTO(cleanup_secret_free) char *value = NULL;
	size_t len = strlen(pair);

	value = xcalloc(1, sizeof("Basic ") + (len + 2) / 3 * 4);
	memcpy(value, "Basic ", 6);
	(void)EVP_EncodeBlock((unsigned char *)value + 6,
	    (const unsigned char *)pair, (int)len);
	return http_headers_add(h, "Authorization", value);
}

static int
apply_basic(void *cred, const struct http_signing *s, struct http_headers *h,
    struct buf *why)
{
	struct basic *b = cred;
	AUTO(cleanup_secret_free) char *password = NULL;
	int r;

	(void)s;
	r = secret_get(b->password, false, &password, why);
	if (r < 0)
		return -EAGAIN;
	r = add_header(b, password, h);

	LOCK_SCOPE(&b->mu);
	secret_free(b->used);
	b->used = TAKE_PTR(password);
	return r;
}

static bool
refresh_basic(void *cred, const struct http_reply *r)
{
	struct basic *b = cred;
	struct buf why = BUF_INIT(256);
	AUTO(cleanup_secret_free) char *now = NULL;
	int e;

	if (r->status != 401)
		return false;
	e = secret_get(b->password, true, &now, &why);
	buf_free(&why);
	if (e < 0)
		return false;
	LOCK_SCOPE(&b->mu);
	return b->used != NULL && strcmp(now, b->used) != 0;
}

static void
describe_basic(void *cred, struct buf *b)
{
	const struct basic *basic = cred;

	(void)buf_printf(b, "user %s with password_file %s", basic->user,
	    secret_path(basic->password));
}

static const struct config_option table[] = {
	{ .name = "user", .type = CONFIG_STRING, .required = true,
	    .offset = offsetof(struct basic_options, user),
	    .help = "the user's name" },
	{ .name = "password_file", .type = CONFIG_FILE, .required = true,
	    .offset = offsetof(struct basic_options, password_file),
	    .help = "holds the password; read again when it changes" },
	{ .name = NULL },
};

const struct http_credential_kind http_credential_basic = {
	.config = {
		.name = "basic",
		.section = {
			.name = "credential",
			.size = sizeof(struct basic_options),
			.options = table,
			.check = check_options,
		},
	},
	.open = open_basic,
	.close = close_basic,
	.apply = apply_basic,
	.refresh = refresh_basic,
	.describe = describe_basic,
};
