/* credential_certificate.c - our own certificate, shown in the TLS handshake.
 *
 * The files are read for each new connection (tls.c), so a renewed certificate
 * is taken by itself.
 */
#include <string.h>

#include "gateway/http/http_int.h"

struct certificate_options {
	unsigned line;
	char	*certificate_file, *key_file, *key_passphrase_file;
};

static int
open_certificate(const void *options, const struct http_credential_options *opt,
    void **ret, struct buf *why)
{
	const struct certificate_options *o = options;
	struct tls_files *f;
	int r;

	(void)opt;
	r = tls_check_certificate(&(struct tls_files){
	    .certificate = o->certificate_file, .key = o->key_file,
	    .passphrase = o->key_passphrase_file }, why);
	if (r < 0)
		return r;
	f = xcalloc(1, sizeof(*f));
	f->certificate = o->certificate_file;
	f->key = o->key_file;
	f->passphrase = o->key_passphrase_file;
	*ret = f;
	return 0;
}

static void
close_certificate(void *cred)
{
	free(cred);	/* the names are the configuration's */
}

static void
name_files(void *cred, const char **cert_file, const char **key_file,
    const char **passphrase_file)
{
	const struct tls_files *f = cred;

	*cert_file = f->certificate;
	*key_file = f->key;
	*passphrase_file = f->passphrase;
}

static void
describe_certificate(void *cred, struct buf *b)
{
	const struct tls_files *f = cred;

	(void)buf_printf(b, "the certificate in certificate_file %s",
	    f->certificate);
}

static const struct config_option table[] = {
	{ .name = "certificate_file", .type = CONFIG_FILE, .required = true,
	    .offset = offsetof(struct certificate_options, certificate_file),
	    .help = "our certificate and its chain, PEM" },
	{ .name = "key_file", .type = CONFIG_FILE,
	    .offset = offsetof(struct certificate_options, key_file),
	    .help = "its private key, PEM; left out: in certificate_file" },
	{ .name = "key_passphrase_file", .type = CONFIG_FILE,
	    .offset = offsetof(struct certificate_options, key_passphrase_file),
	    .help = "holds the key's passphrase" },
	{ .name = NULL },
};

const struct http_credential_kind http_credential_certificate = {
	.config = {
		.name = "client_certificate",
		.section = {
			.name = "credential",
			.size = sizeof(struct certificate_options),
			.options = table,
		},
	},
	.open = open_certificate,
	.close = close_certificate,
	.certificate = name_files,
	.describe = describe_certificate,
};
