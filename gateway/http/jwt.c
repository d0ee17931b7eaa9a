/* jwt.c - JSON Web Tokens that we sign: RS256, PS256, ES256 and ES384. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>

#include "gateway/http/http_int.h"
#include "gateway/http/jwt_int.h"

#define RSA_BITS_MIN 2048

const char *const jwt_algorithms[] = { "auto", "RS256", "PS256", "ES256", "ES384",
	NULL };

static void
free_md_ctx(EVP_MD_CTX **p)
{
	EVP_MD_CTX_free(*p);
}

static void
free_signature(ECDSA_SIG **p)
{
	ECDSA_SIG_free(*p);
}

char *
jwt_base64url(const void *data, size_t len)
{
	char *text = xcalloc(1, 4 * ((len + 2) / 3) + 1);
	int n = EVP_EncodeBlock((unsigned char *)text, data, (int)len);

	while (n > 0 && text[n - 1] == '=')
		text[--n] = '\0';
	for (char *p = text; *p != '\0'; p++)
		*p = *p == '+' ? '-' : *p == '/' ? '_' : *p;
	return text;
}

char *
jwt_thumbprint(const X509 *cert, const EVP_MD *md)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned len;

	if (X509_digest(cert, md, digest, &len) != 1)
		return xstrdup("");
	return jwt_base64url(digest, len);
}

int
jwt_random_id(char *buf, size_t size)
{
	unsigned char bytes[16];
	char *text;

	if (RAND_bytes(bytes, sizeof(bytes)) != 1)
		return -EIO;
	text = jwt_base64url(bytes, sizeof(bytes));
	(void)snprintf(buf, size, "%s", text);
	free(text);
	return 0;
}

/* ---- algorithms ---------------------------------------------------------- */

static enum jwt_algorithm
natural_algorithm(const EVP_PKEY *key)
{
	char group[64];
	size_t len;

	if (EVP_PKEY_is_a(key, "RSA"))
		return EVP_PKEY_get_bits(key) >= RSA_BITS_MIN ? JWT_RS256 :
		    JWT_AUTO;
	if (!EVP_PKEY_is_a(key, "EC") || EVP_PKEY_get_group_name(key, group,
		sizeof(group), &len) != 1)
		return JWT_AUTO;
	if (strcmp(group, SN_X9_62_prime256v1) == 0)
		return JWT_ES256;
	return strcmp(group, SN_secp384r1) == 0 ? JWT_ES384 : JWT_AUTO;
}

int
jwt_choose(const EVP_PKEY *key, enum jwt_algorithm wanted,
    enum jwt_algorithm *ret, struct buf *why)
{
	enum jwt_algorithm natural = natural_algorithm(key);
	const char *name = EVP_PKEY_get0_type_name(key);

	if (natural == JWT_AUTO) {
		(void)buf_printf(why, "a key of type %s with %d bits cannot be used: "
		    "wanted RSA of 2048 bits or more, or EC on P-256 or P-384",
		    name != NULL ? name : "?", EVP_PKEY_get_bits(key));
		return -EINVAL;
	}
	if (wanted == JWT_AUTO || wanted == natural ||
	    (wanted == JWT_PS256 && natural == JWT_RS256)) {
		*ret = wanted == JWT_AUTO ? natural : wanted;
		return 0;
	}
	(void)buf_printf(why, "the key is for %s, not for %s",
	    jwt_algorithms[natural], jwt_algorithms[wanted]);
	return -EINVAL;
}

/* JOSE wants r and s side by side, not in DER. */
static char *
encode_ecdsa(const unsigned char *der, size_t len, int part)
{
	AUTO(free_signature) ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)len);
	unsigned char raw[2 * 48];

	if (sig == NULL ||
	    BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, part) != part ||
	    BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + part, part) != part)
		return NULL;
	return jwt_base64url(raw, 2 * (size_t)part);
}

static int
set_padding(EVP_PKEY_CTX *ctx)
{
	return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
	    EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1 ?
	    0 : -EINVAL;
}

static int
sign_text(const EVP_PKEY *key, enum jwt_algorithm alg, const char *text,
    char **ret)
{
	AUTO(free_md_ctx) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	AUTO_FREE unsigned char *sig = NULL;
	EVP_PKEY_CTX *inner;
	size_t len = 0;

	if (ctx == NULL || EVP_DigestSignInit(ctx, &inner, alg == JWT_ES384 ?
		EVP_sha384() : EVP_sha256(), NULL, (EVP_PKEY *)key) != 1 ||
	    (alg == JWT_PS256 && set_padding(inner) < 0) ||
	    EVP_DigestSign(ctx, NULL, &len, (const unsigned char *)text,
		strlen(text)) != 1)
		return -EINVAL;
	sig = xcalloc(1, len);
	if (EVP_DigestSign(ctx, sig, &len, (const unsigned char *)text,
		strlen(text)) != 1)
		return -EINVAL;
	if (alg == JWT_ES256 || alg == JWT_ES384)
		*ret = encode_ecdsa(sig, len, alg == JWT_ES256 ? 32 : 48);
	else
		*ret = jwt_base64url(sig, len);
	return *ret != NULL ? 0 : -EINVAL;
}

static char *
encode_object(const json_t *object)
{
	AUTO_FREE char *text = json_dumps(object, JSON_COMPACT);

	return text != NULL ? jwt_base64url(text, strlen(text)) : NULL;
}

int
jwt_sign(const EVP_PKEY *key, enum jwt_algorithm alg, json_t *header,
    const json_t *claims, char **ret)
{
	AUTO_FREE char *first = NULL;
	AUTO_FREE char *second = NULL;
	AUTO_FREE char *text = NULL;
	char *signature = NULL;
	int r;

	(void)json_object_set_new(header, "alg", json_string(jwt_algorithms[alg]));
	first = encode_object(header);
	second = encode_object(claims);
	if (first == NULL || second == NULL)
		return -EINVAL;
	text = xasprintf("%s.%s", first, second);
	r = sign_text(key, alg, text, &signature);
	ERR_clear_error();
	if (r == 0)
		*ret = xasprintf("%s.%s", text, signature);
	free(signature);
	return r;
}
