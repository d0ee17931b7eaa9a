/* credential.c - the kinds of credential, and the headers they make.
 *
 * A kind is one file and one line of the table. Headers are copies that are
 * wiped when the request has left.
 */
#include <errno.h>
#include <string.h>

#include "gateway/http/http_int.h"

static const struct http_credential_kind *const kinds[] = {
	&http_credential_none,
	&http_credential_basic,
	&http_credential_bearer,
	&http_credential_certificate,
	&http_credential_oauth2,
	&http_credential_google,
	&http_credential_aws_keys,
	&http_credential_aws_profile,
	&http_credential_aws_process,
	&http_credential_aws_rolesanywhere,
	NULL,
};

struct credential_none_options { unsigned line; };

static const struct config_option none_table[] = {
	{ .name = NULL },
};

const struct http_credential_kind http_credential_none = {
	.config = {
		.name = "none",
		.section = {
			.name = "credential",
			.size = sizeof(struct credential_none_options),
			.options = none_table,
		},
	},
};

const struct http_credential_kind *const *
http_credential_kinds(void)
{
	return kinds;
}

bool
http_credential_signs(const struct config_choice *choice)
{
	/* config is the kind's first member, see the table. */
	return choice->kind != NULL &&
	    ((const struct http_credential_kind *)choice->kind)->signs;
}

static bool
header_text_ok(const char *s)
{
	for (; *s != '\0'; s++) {
		if (((unsigned char)*s < 0x20 && *s != '\t') || *s == 0x7f)
			return false;
	}
	return true;
}

int
http_headers_add(struct http_headers *h, const char *name, const char *value)
{
	if (h->n == HTTP_HEADERS_MAX)
		return -ENOBUFS;
	if (!header_text_ok(name) || !header_text_ok(value))
		return -EINVAL;
	h->line[h->n++] = xasprintf("%s: %s", name, value);
	return 0;
}

void
http_headers_free(struct http_headers *h)
{
	while (h->n > 0)
		secret_free(h->line[--h->n]);
}

int
http_credential_open(const struct http_credential_options *opt,
    struct http_credential **ret, struct buf *why)
{
	struct http_credential *c = xcalloc(1, sizeof(*c));
	int r = 0;

	/* config is the kind's first member, see the table. */
	if (opt->choice != NULL)
		c->kind = (const struct http_credential_kind *)opt->choice->kind;
	if (c->kind != NULL && c->kind->open != NULL)
		r = c->kind->open(opt->choice->options, opt, &c->self, why);
	if (r < 0) {
		free(c);
		return r;
	}
	*ret = c;
	return 0;
}

void
http_credential_close(struct http_credential *c)
{
	if (c != NULL && c->kind != NULL && c->kind->close != NULL)
		c->kind->close(c->self);
	free(c);
}

void
http_credential_cancel(struct http_credential *c)
{
	if (c != NULL && c->kind != NULL && c->kind->cancel != NULL)
		c->kind->cancel(c->self);
}

int
credential_apply(const struct http_credential *c, const struct http_signing *s,
    struct http_headers *h, struct buf *why)
{
	if (c == NULL || c->kind == NULL || c->kind->apply == NULL)
		return 0;
	return c->kind->apply(c->self, s, h, why);
}

bool
credential_refresh(const struct http_credential *c, const struct http_reply *r)
{
	return c != NULL && c->kind != NULL && c->kind->refresh != NULL &&
	    c->kind->refresh(c->self, r);
}

void
credential_certificate(const struct http_credential *c, struct tls_files *ret)
{
	*ret = (struct tls_files){ 0 };
	if (c != NULL && c->kind != NULL && c->kind->certificate != NULL)
		c->kind->certificate(c->self, &ret->certificate, &ret->key,
		    &ret->passphrase);
}

void
credential_describe(const struct http_credential *c, struct buf *b)
{
	if (c != NULL && c->kind != NULL && c->kind->describe != NULL)
		c->kind->describe(c->self, b);
	else
		(void)buf_add_str(b, "no credential is configured");
}
