/* rolesanywhere_int.h - what IAM Roles Anywhere wants to see: our certificate, and
 * a signature by its key.
 */
#ifndef CW_HTTP_ROLESANYWHERE_INT_H
#define CW_HTTP_ROLESANYWHERE_INT_H

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "gateway/http/aws_int.h"
#include "gateway/http/watch_int.h"

#define ROLES_CHAIN_MAX 5	/* intermediates that the service takes */

struct roles_files {
	const char *certificate, *key, *passphrase, *chain;	/* NULL: none, but
						* for the certificate */
};

/* A leaf certificate, its key and its intermediates, as the files have them now. */
struct roles_signer {
	EVP_PKEY *key;
	X509	 *leaf;
	X509	 *chain[ROLES_CHAIN_MAX];
	size_t	  n_chain;
};
void roles_signer_free(struct roles_signer *s);	/* a zeroed one, too */

/* -EINVAL with why where the service could only refuse it: not of version 3, a CA,
 * not for signatures, of a kind of key that it does not know, or of another key. */
int  roles_signer_load(const struct roles_files *f, struct roles_signer *ret,
    struct buf *why);

/* What else it may be refused for, into why. */
void roles_signer_warn(const struct roles_files *f, const struct roles_signer *s,
    struct buf *why);

/* X-Amz-Date, X-Amz-X509, its chain, and Authorization, for what s says. */
int  roles_sign(const struct roles_signer *k, const struct http_signing *s,
    struct http_headers *h);

/* ---- rolesanywhere_session.c ---------------------------------------------- */

struct roles_options {
	unsigned line;
	char	*certificate_file, *key_file, *key_passphrase_file, *chain_file;
	char	*trust_anchor_arn, *profile_arn, *role_arn, *region;
	uint64_t duration_ms;
	char	*role_session_name, *endpoint, *ca_file;
};

struct roles {
	const struct roles_options *o;
	struct roles_files  files;
	struct watch	    watch;	/* of them */
	char		   *region, *url;
	struct http_client *http;
	struct aws_session *session;	/* of the keys, once they are there */
};

/* One CreateSession, signed at now_ms. The keys' end is by the service's clock.
 * *ret_refused: it answered, and gave none. */
int  roles_create_session(const struct roles *c, const struct roles_signer *k,
    int64_t now_ms, struct aws_keys *ret, bool *ret_refused, struct buf *why);

#endif
