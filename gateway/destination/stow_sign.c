/* stow_sign.c - the SHA-256 of a STOW body, for a service that wants it signed. The
 * body is made once for that and once to be sent: memory stays a portion, and the
 * second reading comes from the page cache.
 */
#include <errno.h>
#include <stdio.h>

#include <openssl/evp.h>

#include "gateway/destination/stow_int.h"

DEFINE_CLEANUP(EVP_MD_CTX, EVP_MD_CTX_free)

static int
digest_body(EVP_MD_CTX *c, struct stow_body *b)
{
	AUTO_FREE uint8_t *data = xcalloc(1, STOW_PORTION);

	for (;;) {
		ssize_t n = stow_body_give(b, data, STOW_PORTION);

		if (n <= 0)
			return (int)n;
		if (EVP_DigestUpdate(c, data, (size_t)n) != 1)
			return -EIO;
	}
}

int
stow_body_sha256(struct stow_body *b, char ret[static 65])
{
	AUTO(cleanup_EVP_MD_CTX_free) EVP_MD_CTX *c = EVP_MD_CTX_new();
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	int r;

	if (c == NULL || EVP_DigestInit_ex(c, EVP_sha256(), NULL) != 1)
		return -ENOMEM;
	r = digest_body(c, b);
	if (r < 0)
		return r;
	if (EVP_DigestFinal_ex(c, digest, &len) != 1)
		return -EIO;
	for (unsigned i = 0; i < len && i < 32; i++)
		(void)snprintf(ret + 2 * (size_t)i, 3, "%02x", digest[i]);
	return stow_body_rewind(b);
}
