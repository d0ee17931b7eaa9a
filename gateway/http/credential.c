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
credential_open(const struct config_choice *choice, struct credential *ret,
    struct buf *why)
{
	struct credential c = { 0 };
	int r;

	if (choice != NULL && choice->kind != NULL) {
		/* config is the kind's first member, see the table. */
		c.kind = (const struct http_credential_kind *)choice->kind;
		if (c.kind->open != NULL) {
			r = c.kind->open(choice->options, &c.self, why);
			if (r < 0)
				return r;
		}
	}
	*ret = c;
	return 0;
}

void
credential_close(struct credential *c)
{
	if (c->kind != NULL && c->kind->close != NULL)
		c->kind->close(c->self);
	*c = (struct credential){ 0 };
}

int
credential_apply(const struct credential *c, const struct http_request *req,
    struct http_headers *h, struct buf *why)
{
	if (c->kind == NULL || c->kind->apply == NULL)
		return 0;
	return c->kind->apply(c->self, req, h, why);
}

bool
credential_refresh(const struct credential *c)
{
	return c->kind != NULL && c->kind->refresh != NULL &&
	    c->kind->refresh(c->self);
}

void
credential_certificate(const struct credential *c, struct tls_files *ret)
{
	*ret = (struct tls_files){ 0 };
	if (c->kind != NULL && c->kind->certificate != NULL)
		c->kind->certificate(c->self, &ret->certificate, &ret->key,
		    &ret->passphrase);
}

void
credential_describe(const struct credential *c, struct buf *b)
{
	if (c->kind != NULL && c->kind->describe != NULL)
		c->kind->describe(c->self, b);
	else
		(void)buf_add_str(b, "no credential is configured");
}
