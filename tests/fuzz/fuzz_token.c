/* fuzz_token.c - what issuers answer: token endpoints, Roles Anywhere's CreateSession,
 * and the key file of a Google service account. What comes of it can go into a header,
 * ends at a time that can be, and no refusal quotes what was sent.
 *
 * "STATUS" in the first line: an answer with it. Else a key file.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/base/clock.h"
#include "gateway/http/rolesanywhere_int.h"
#include "gateway/http/token_int.h"

#define SECRET	"~the+secret/of=ours~"
#define OUTLAST (INT64_C(1) << 60)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *body;
static size_t body_len;
static int status;
static struct token_source *source;
static struct roles_signer signer;
static struct roles_options options = {
	.trust_anchor_arn = (char[]){ "arn:aws:rolesanywhere:x:1:trust-anchor/a" },
	.profile_arn = (char[]){ "arn:aws:rolesanywhere:x:1:profile/p" },
	.role_arn = (char[]){ "arn:aws:iam::1:role/r" },
	.duration_ms = 3600000,
};
static struct roles roles = { .o = &options, .region = (char[]){ "x" } };
static int file = -1;
static char file_name[64];

/* ---- instead of HTTP ----------------------------------------------------- */

int
http_call(struct http_client *c, const struct http_request *req,
    struct http_reply *ret)
{
	(void)c;
	(void)req;
	*ret = (struct http_reply){ .outcome = HTTP_ANSWERED, .status = status,
		.retry_after_ms = -1, .head = BUF_INIT(4096),
		.body = BUF_INIT(1u << 20) };
	if (body_len > 0)
		(void)buf_add(&ret->body, body, body_len);
	return 0;
}

void
http_reply_free(struct http_reply *r)
{
	buf_free(&r->head);
	buf_free(&r->body);
}

/* ---- each ---------------------------------------------------------------- */

static int
fill_form(void *arg, struct token_form *f, struct buf *why)
{
	(void)arg;
	(void)why;
	token_form_add(f, "client_secret", SECRET);
	f->secret = xstrdup(SECRET);
	return 0;
}

static void
check_words(const struct buf *why)
{
	assert(why->len > 0);
	for (size_t i = 0; i < why->len; i++)
		assert((unsigned char)why->data[i] >= 0x20);
}

static void
check_header(const struct http_headers *h)
{
	assert(h->n == 1);
	for (const char *p = h->line[0]; *p != '\0'; p++)
		assert(*p >= 0x20 && *p < 0x7f);
}

static void
try_token(void)
{
	const struct token_issuer issuer = { .url = "http://issuer.example/t",
		.option = "token_url", .fill = fill_form };
	struct http_headers h = { 0 };
	struct buf why = BUF_INIT(2000);

	if (token_source_new(&issuer, &source, &why) < 0)
		abort();
	buf_clear(&why);
	if (token_source_apply(source, &h, &why) == 0)
		check_header(&h);
	else
		check_words(&why);
	assert(why.data == NULL || strstr(why.data, "the+secret") == NULL);
	http_headers_free(&h);
	token_source_free(source);
	buf_free(&why);
}

static void
try_session(void)
{
	struct aws_keys keys = { 0 };
	struct buf why = BUF_INIT(2000);
	bool refused;

	if (roles_create_session(&roles, &signer, clock_wall_ms(), &keys, &refused,
		&why) == 0)
		assert(keys.id[0] != '\0' && keys.secret[0] != '\0' &&
		    keys.token[0] != '\0' && keys.expires_ms < OUTLAST &&
		    keys.expires_ms > -OUTLAST);
	else
		check_words(&why);
	aws_keys_free(&keys);
	buf_free(&why);
}

static void
try_key_file(const void *text, size_t len)
{
	const struct config_section *s =
	    &http_credential_google.config.section;
	AUTO_FREE char *o = xcalloc(1, s->size);
	const struct http_credential_options opt = { .proxy = NULL };
	struct buf why = BUF_INIT(2000);
	void *cred;

	for (const struct config_option *c = s->options; c->name != NULL; c++) {
		if (strcmp(c->name, "key_file") == 0)
			*(const char **)(void *)(o + c->offset) = file_name;
		else if (strcmp(c->name, "scope") == 0)
			*(const char **)(void *)(o + c->offset) = "s";
	}
	if (ftruncate(file, 0) < 0 || pwrite(file, text, len, 0) != (ssize_t)len)
		abort();
	if (http_credential_google.open(o, &opt, &cred, &why) == 0)
		http_credential_google.close(cred);
	else
		assert(why.len > 0);
	buf_free(&why);
}

/* ---- once ---------------------------------------------------------------- */

static X509 *
make_certificate(EVP_PKEY *key)
{
	X509 *x = X509_new();

	(void)X509_set_version(x, 2);
	(void)ASN1_INTEGER_set(X509_get_serialNumber(x), 7);
	(void)X509_gmtime_adj(X509_getm_notBefore(x), 0);
	(void)X509_gmtime_adj(X509_getm_notAfter(x), 1000000);
	(void)X509_set_pubkey(x, key);
	(void)X509_sign(x, key, EVP_sha256());
	return x;
}

static void
set_up(void)
{
	const struct http_client_options o = { .url = "http://roles.example" };
	struct buf why = BUF_INIT(500);

	if (http_global_init() < 0 || http_client_new(&o, &roles.http, &why) < 0)
		abort();
	buf_free(&why);
	signer.key = EVP_EC_gen("P-256");
	signer.leaf = make_certificate(signer.key);
	file = memfd_create("key", MFD_CLOEXEC);
	if (file < 0 || fchmod(file, 0600) < 0)
		abort();
	(void)snprintf(file_name, sizeof(file_name), "/proc/self/fd/%d", file);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO_FREE char *text = malloc(size + 1);
	char *end;

	if (text == NULL)
		return 0;
	if (file < 0)
		set_up();
	memcpy(text, data, size);
	text[size] = '\0';
	end = strchr(text, '\n');
	if (*text >= '1' && *text <= '9' && end != NULL) {
		status = (int)strtol(text, NULL, 10);
		body = end + 1;
		body_len = size - (size_t)(body - text);
		try_token();
		try_session();
	} else {
		try_key_file(text, size);
	}
	return 0;
}
