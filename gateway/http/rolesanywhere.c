/* rolesanywhere.c - a request signed by the key of an X.509 certificate, as IAM
 * Roles Anywhere wants it.
 *
 * Signature Version 4, but the text is signed by the key itself instead of a chain
 * of HMACs, the certificate travels in a header, and its serial number stands where
 * the id of an access key would (IAM Roles Anywhere user guide, "Signing process").
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "gateway/http/pem_int.h"
#include "gateway/http/rolesanywhere_int.h"

#define RSA_BITS_MIN 2048

static void
free_md_ctx(EVP_MD_CTX **p)
{
	EVP_MD_CTX_free(*p);
}

static void
free_bn(BIGNUM **p)
{
	BN_free(*p);
}

static void
free_openssl(char **p)
{
	OPENSSL_free(*p);
}

static void
free_bytes(unsigned char **p)
{
	OPENSSL_free(*p);
}

void
roles_signer_free(struct roles_signer *s)
{
	EVP_PKEY_free(s->key);
	X509_free(s->leaf);
	while (s->n_chain > 0)
		X509_free(s->chain[--s->n_chain]);
	*s = (struct roles_signer){ 0 };
}

/* ---- what the service takes ---------------------------------------------- */

/* NULL when it is right. */
static const char *
leaf_fault(X509 *leaf)
{
	int md = NID_undef;

	if (X509_get_version(leaf) != X509_VERSION_3)
		return "the certificate is not X.509 of version 3";
	if (X509_check_ca(leaf) != 0)
		return "the certificate is a CA's: wanted one that a CA gave to this "
		    "gateway";
	if ((X509_get_extension_flags(leaf) & EXFLAG_KUSAGE) != 0 &&
	    (X509_get_key_usage(leaf) & KU_DIGITAL_SIGNATURE) == 0)
		return "the certificate's key usage lacks digitalSignature";
	if (X509_get_signature_info(leaf, &md, NULL, NULL, NULL) == 1 &&
	    (md == NID_sha1 || md == NID_md5))
		return "the certificate is signed with a hash that is no longer "
		    "taken: wanted SHA-256 or better";
	return NULL;
}

/* What the user guide asks for; not every CA writes it. */
void
roles_signer_warn(const struct roles_files *f, const struct roles_signer *s,
    struct buf *why)
{
	uint32_t flags = X509_get_extension_flags(s->leaf);

	if ((flags & EXFLAG_BCONS) == 0 || (flags & EXFLAG_KUSAGE) == 0)
		(void)buf_printf(why, "%s%s: Roles Anywhere may refuse a certificate "
		    "without %s", why->len > 0 ? "; " : "", f->certificate,
		    (flags & EXFLAG_BCONS) == 0 ? "basic constraints CA:FALSE" :
			"key usage digitalSignature");
}

static const char *
key_fault(const EVP_PKEY *key)
{
	if (EVP_PKEY_is_a(key, "EC"))
		return NULL;
	if (!EVP_PKEY_is_a(key, "RSA"))
		return "the key is neither RSA nor EC";
	return EVP_PKEY_get_bits(key) < RSA_BITS_MIN ?
	    "the key is RSA of fewer than 2048 bits" : NULL;
}

/* Without the leaf, which some put into their chain as well. */
static int
load_chain(const char *file, struct roles_signer *s, struct buf *why)
{
	X509 *list[ROLES_CHAIN_MAX + 2];
	size_t n;
	int r;

	r = pem_load_certificates(file, ROLES_CHAIN_MAX + 2, list, &n, why);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++) {
		bool self = X509_NAME_cmp(X509_get_subject_name(list[i]),
		    X509_get_issuer_name(list[i])) == 0;

		if (X509_cmp(list[i], s->leaf) == 0 || self ||
		    s->n_chain == ROLES_CHAIN_MAX)
			X509_free(list[i]);
		else
			s->chain[s->n_chain++] = list[i];
	}
	return 0;
}

static int
load_files(const struct roles_files *f, struct roles_signer *s, struct buf *why)
{
	const char *key = f->key != NULL ? f->key : f->certificate;
	const char *fault;
	int r;

	r = pem_load_certificate(f->certificate, &s->leaf, why);
	if (r == 0)
		r = pem_load_key(key, f->passphrase, &s->key, why);
	if (r == 0)
		r = pem_check_pair(f->certificate, s->leaf, key, s->key, why);
	if (r < 0)
		return r;
	fault = leaf_fault(s->leaf);
	if (fault == NULL)
		fault = key_fault(s->key);
	if (fault != NULL) {
		(void)buf_printf(why, "%s%s: %s", why->len > 0 ? "; " : "",
		    f->certificate, fault);
		return -EINVAL;
	}
	return f->chain != NULL ? load_chain(f->chain, s, why) : 0;
}

int
roles_signer_load(const struct roles_files *f, struct roles_signer *ret,
    struct buf *why)
{
	AUTO(roles_signer_free) struct roles_signer s = { 0 };
	int r;

	r = load_files(f, &s, why);
	if (r < 0)
		return r;
	*ret = s;
	s = (struct roles_signer){ 0 };		/* the caller's now */
	return 0;
}

/* ---- signing ------------------------------------------------------------- */

static int
add_certificate(struct buf *b, const X509 *cert)
{
	AUTO(free_bytes) unsigned char *der = NULL;
	AUTO_FREE char *text = NULL;
	int len = i2d_X509(cert, &der);

	if (len <= 0)
		return -EINVAL;
	text = xcalloc(1, 4 * (((size_t)len + 2) / 3) + 1);
	(void)EVP_EncodeBlock((unsigned char *)text, der, len);
	if (b->len > 0)
		(void)buf_add_char(b, ',');
	return buf_add_str(b, text);
}

static char *
serial_number(X509 *cert)
{
	AUTO(free_bn) BIGNUM *n = ASN1_INTEGER_to_BN(
	    X509_get_serialNumber(cert), NULL);
	AUTO(free_openssl) char *text = n != NULL ? BN_bn2dec(n) : NULL;

	return text != NULL ? xstrdup(text) : NULL;
}

static char *
sign_text(const EVP_PKEY *key, const char *text)
{
	AUTO(free_md_ctx) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	AUTO_FREE unsigned char *sig = NULL;
	size_t len = 0;
	char *hex;

	if (ctx == NULL || EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL,
		(EVP_PKEY *)key) != 1 ||
	    EVP_DigestSign(ctx, NULL, &len, (const unsigned char *)text,
		strlen(text)) != 1)
		return NULL;
	sig = xcalloc(1, len);
	if (EVP_DigestSign(ctx, sig, &len, (const unsigned char *)text,
		strlen(text)) != 1)
		return NULL;
	hex = xcalloc(1, 2 * len + 1);
	for (size_t i = 0; i < len; i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", sig[i]);
	return hex;
}

static int
add_authorization(const struct roles_signer *k, const char *algorithm,
    const struct sigv4_text *t, struct http_headers *h)
{
	AUTO_FREE char *serial = serial_number(k->leaf);
	AUTO_FREE char *signature = sign_text(k->key, t->to_sign);
	AUTO_FREE char *value = NULL;

	if (serial == NULL || signature == NULL) {
		ERR_clear_error();
		return -EINVAL;
	}
	value = xasprintf("%s Credential=%s/%s, SignedHeaders=%s, Signature=%s",
	    algorithm, serial, t->scope, t->signed_headers, signature);
	return http_headers_add(h, "Authorization", value);
}

static int
sign_with(const struct roles_signer *k, const struct http_signing *s,
    const struct http_header *more, size_t n, struct http_headers *h)
{
	const char *algorithm = EVP_PKEY_is_a(k->key, "RSA") ?
	    "AWS4-X509-RSA-SHA256" : "AWS4-X509-ECDSA-SHA256";
	struct sigv4_text t;
	int r;

	r = sigv4_prepare(algorithm, s, more, n, &t);
	if (r < 0)
		return r;
	r = http_headers_add(h, "X-Amz-Date", t.date);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = http_headers_add(h, more[i].name, more[i].value);
	if (r == 0)
		r = add_authorization(k, algorithm, &t, h);
	sigv4_text_free(&t);
	return r;
}

int
roles_sign(const struct roles_signer *k, const struct http_signing *s,
    struct http_headers *h)
{
	struct buf leaf = BUF_INIT(64u << 10), chain = BUF_INIT(256u << 10);
	int r;

	r = add_certificate(&leaf, k->leaf);
	for (size_t i = 0; r == 0 && i < k->n_chain; i++)
		r = add_certificate(&chain, k->chain[i]);
	if (r == 0) {
		const struct http_header more[] = {
			{ "X-Amz-X509", leaf.data },
			{ "X-Amz-X509-Chain", chain.data },
		};

		r = sign_with(k, s, more, k->n_chain > 0 ? 2 : 1, h);
	}
	buf_free(&leaf);
	buf_free(&chain);
	return r;
}
