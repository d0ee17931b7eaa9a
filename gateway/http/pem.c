/* pem.c - private keys and certificates from PEM files.
 *
 * Read whole and parsed from memory, which is wiped: what is in a key file stays
 * neither in a buffer of stdio nor in a message.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "gateway/http/http_int.h"
#include "gateway/http/pem_int.h"

#define WARN_SECONDS (30 * 86400)	/* before a certificate ends */

int
pem_give_passphrase(char *buf, int size, int writing, void *arg)
{
	struct pem_passphrase *p = arg;
	AUTO(cleanup_secret_close) struct secret_file *file = NULL;
	AUTO(cleanup_secret_free) char *text = NULL;
	struct buf warning = BUF_INIT(500);
	size_t len;
	int r;

	(void)writing;
	if (p->file == NULL || size <= 0)
		return -1;
	r = secret_open(p->file, &file, &warning);
	if (r < 0)
		(void)buf_add(p->why, warning.data, warning.len);
	buf_free(&warning);
	if (r < 0 || secret_get(file, false, &text, p->why) < 0)
		return -1;
	len = strlen(text);
	if (len > (size_t)size)
		return -1;
	memcpy(buf, text, len);
	return (int)len;
}

static int
refuse(struct buf *why, const char *file, const char *what)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	(void)buf_printf(why, "%s%s: %s%s%s%s", why->len > 0 ? "; " : "", file,
	    what, reason != NULL ? " (" : "", reason != NULL ? reason : "",
	    reason != NULL ? ")" : "");
	ERR_clear_error();
	return -EINVAL;
}

static int
parse_key(const char *name, const char *text, size_t len,
    const char *passphrase_file, EVP_PKEY **ret, struct buf *why)
{
	struct pem_passphrase p = { .file = passphrase_file, .why = why };
	AUTO(cleanup_BIO_free_all) BIO *bio = BIO_new_mem_buf(text, (int)len);
	EVP_PKEY *key;

	if (bio == NULL)
		return -ENOMEM;
	ERR_clear_error();
	key = PEM_read_bio_PrivateKey(bio, NULL, pem_give_passphrase, &p);
	if (key == NULL)
		return refuse(why, name, passphrase_file == NULL ?
			"holds no private key in PEM form that can be read without "
			"a passphrase" :
			"holds no private key in PEM form that this passphrase "
			"opens");
	ERR_clear_error();
	*ret = key;
	return 0;
}

int
pem_parse_key(const char *name, const char *text, EVP_PKEY **ret,
    struct buf *why)
{
	return parse_key(name, text, strlen(text), NULL, ret, why);
}

int
pem_load_key(const char *file, const char *passphrase_file, EVP_PKEY **ret,
    struct buf *why)
{
	char *text;
	size_t len;
	int r;

	r = secret_read(file, &text, &len, why);
	if (r < 0)
		return r;
	r = parse_key(file, text, len, passphrase_file, ret, why);
	explicit_bzero(text, len);
	free(text);
	return r;
}

/* The text may hold the key, too. */
static int
parse_certificates(const char *file, const char *text, size_t len, size_t max,
    X509 **ret, size_t *ret_n, struct buf *why)
{
	AUTO(cleanup_BIO_free_all) BIO *bio = BIO_new_mem_buf(text, (int)len);
	struct pem_passphrase none = { .why = why };
	X509 *cert;
	size_t n = 0;

	if (bio == NULL)
		return -ENOMEM;
	ERR_clear_error();
	for (;;) {
		cert = PEM_read_bio_X509(bio, NULL, pem_give_passphrase, &none);
		if (cert == NULL)
			break;
		if (n == max) {
			X509_free(cert);
			while (n > 0)
				X509_free(ret[--n]);
			(void)refuse(why, file, "holds too many certificates");
			return -E2BIG;
		}
		ret[n++] = cert;
	}
	if (n == 0)
		return refuse(why, file, "holds no certificate in PEM form");
	ERR_clear_error();
	*ret_n = n;
	return 0;
}

int
pem_load_certificates(const char *file, size_t max, X509 **ret, size_t *ret_n,
    struct buf *why)
{
	char *text;
	size_t len;
	int r;

	r = secret_read(file, &text, &len, why);
	if (r < 0)
		return r;
	r = parse_certificates(file, text, len, max, ret, ret_n, why);
	explicit_bzero(text, len);
	free(text);
	return r;
}

int
pem_load_certificate(const char *file, X509 **ret, struct buf *why)
{
	enum { MAX = 16 };
	X509 *list[MAX];
	size_t n;
	int r;

	r = pem_load_certificates(file, MAX, list, &n, why);
	if (r < 0)
		return r;
	while (n > 1)
		X509_free(list[--n]);
	*ret = list[0];
	return 0;
}

int
pem_check_pair(const char *certificate_file, const X509 *cert,
    const char *key_file, const EVP_PKEY *key, struct buf *why)
{
	if (X509_check_private_key(cert, key) == 1)
		return 0;
	ERR_clear_error();
	(void)buf_printf(why, "%s%s: is not the key of the certificate in %s",
	    why->len > 0 ? "; " : "", key_file, certificate_file);
	return -EINVAL;
}

static void
add_time(struct buf *b, const ASN1_TIME *when)
{
	char text[32] = "an unreadable time";
	struct tm tm;

	if (ASN1_TIME_to_tm(when, &tm) == 1)
		(void)strftime(text, sizeof(text), "%Y-%m-%d %H:%M UTC", &tm);
	(void)buf_add_str(b, text);
}

int
pem_check_time(const char *file, const X509 *cert, struct buf *why)
{
	const ASN1_TIME *from = X509_get0_notBefore(cert);
	const ASN1_TIME *to = X509_get0_notAfter(cert);
	time_t soon = time(NULL) + WARN_SECONDS;
	const char *lead = why->len > 0 ? "; " : "";

	if (X509_cmp_current_time(to) < 0) {
		(void)buf_printf(why, "%s%s: our certificate expired on ", lead,
		    file);
		add_time(why, to);
		(void)buf_add_str(why, ": renew it");
		return -EINVAL;
	}
	if (X509_cmp_current_time(from) > 0) {
		(void)buf_printf(why, "%s%s: our certificate is valid only from ",
		    lead, file);
		add_time(why, from);
		(void)buf_add_str(why, ": look at this machine's clock");
		return -EINVAL;
	}
	if (X509_cmp_time(to, &soon) < 0) {
		(void)buf_printf(why, "%s%s: our certificate expires on ", lead,
		    file);
		add_time(why, to);
		(void)buf_add_str(why, ": renew it soon");
	}
	return 0;
}
