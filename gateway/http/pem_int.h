/* pem_int.h - private keys and certificates from PEM files, with words for what is
 * wrong with them.
 */
#ifndef CW_HTTP_PEM_INT_H
#define CW_HTTP_PEM_INT_H

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "gateway/base/buf.h"
#include "gateway/base/cleanup.h"

struct pem_passphrase {
	const char *file;	/* NULL: there is none */
	struct buf *why;
};
/* For PEM_read_*: nobody is ever asked at a terminal. arg: pem_passphrase. */
int pem_give_passphrase(char *buf, int size, int writing, void *arg);

/* why for people, without a byte of the file. passphrase_file may be NULL. */
int pem_load_key(const char *file, const char *passphrase_file, EVP_PKEY **ret,
    struct buf *why);
/* The same from a text; name: what it is called in why. */
int pem_parse_key(const char *name, const char *text, EVP_PKEY **ret,
    struct buf *why);
/* In the file's order, at least one; -E2BIG past max. Free each. */
int pem_load_certificates(const char *file, size_t max, X509 **ret, size_t *ret_n,
    struct buf *why);
/* The first of the file. */
int pem_load_certificate(const char *file, X509 **ret, struct buf *why);
/* They belong together; -EINVAL with why. */
int pem_check_pair(const char *certificate_file, const X509 *cert,
    const char *key_file, const EVP_PKEY *key, struct buf *why);

/* What to say of a certificate that is over, not yet valid (-EINVAL) or near its
 * end (0, with a warning). */
int pem_check_time(const char *file, const X509 *cert, struct buf *why);

DEFINE_CLEANUP(EVP_PKEY, EVP_PKEY_free)
DEFINE_CLEANUP(X509, X509_free)
DEFINE_CLEANUP(BIO, BIO_free_all)

#endif
