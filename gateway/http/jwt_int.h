/* jwt_int.h - JSON Web Tokens that we sign (RFC 7515, 7519): what shows a token
 * endpoint that we have a private key.
 */
#ifndef CW_HTTP_JWT_INT_H
#define CW_HTTP_JWT_INT_H

#include <stdint.h>

#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "gateway/base/buf.h"

enum jwt_algorithm { JWT_AUTO, JWT_RS256, JWT_PS256, JWT_ES256, JWT_ES384 };
extern const char *const jwt_algorithms[];	/* "auto", "RS256", …; ends with NULL */

/* What the key can sign with; auto becomes RS256, ES256 or ES384. -EINVAL with
 * why, which says what the key is. */
int jwt_choose(const EVP_PKEY *key, enum jwt_algorithm wanted,
    enum jwt_algorithm *ret, struct buf *why);

/* header and claims are objects that stay the caller's; alg is set in the header.
 * The result is as good as a password for its short life: secret_free() it. */
int jwt_sign(const EVP_PKEY *key, enum jwt_algorithm alg, json_t *header,
    const json_t *claims, char **ret);

/* Without padding. The caller frees. */
char *jwt_base64url(const void *data, size_t len);
/* Of the certificate's DER: "x5t" (SHA-1) or "x5t#S256". The caller frees. */
char *jwt_thumbprint(const X509 *cert, const EVP_MD *md);
/* 128 random bits in text. */
int   jwt_random_id(char *buf, size_t size);

#endif
