/* tls_int.h - what stream.c needs of an assoc_tls, and what both sides share. */
#ifndef CW_ASSOCIATION_TLS_INT_H
#define CW_ASSOCIATION_TLS_INT_H

#include <stdatomic.h>

#include <openssl/ssl.h>

#include "gateway/association/association.h"
#include "gateway/base/cleanup.h"

struct assoc_tls {
	atomic_uint refs;
	SSL_CTX	   *ctx;
	bool	    own_ca;		/* for calling: not the system's store */
};
DEFINE_CLEANUP(struct assoc_tls, assoc_tls_unref)

SSL *tls_session_new(struct assoc_tls *t);	/* NULL: out of memory */
/* For calling who must bear that name ("*": any); what is wrong with the certificate
 * will be said in verdict, which outlives the session. */
struct tls_verdict {
	bool own_ca;
	char text[400];			/* "" */
};
SSL *tls_session_new_client(struct assoc_tls *t, const char *name,
    struct tls_verdict *verdict);
/* "CN=us3,O=Site" (RFC 2253) of the peer's certificate; "" without one, or when it
 * does not fit: a part that is cut short could pass for another. */
void tls_peer_subject(SSL *ssl, char *dst, size_t size);
/* The thread's last OpenSSL error for people; the queue is emptied. */
void tls_last_error(char *dst, size_t size);

bool tls_set_profile(SSL_CTX *ctx, enum assoc_tls_profile profile);
struct tls_files {
	const char *certificate, *key, *passphrase;	/* passphrase: may be NULL */
};
int  tls_load_key(SSL_CTX *ctx, const struct tls_files *files, struct buf *why);
/* Appends "FILE: what: OpenSSL's reason" and is -EINVAL. */
int  tls_explain_file(struct buf *why, const char *file, const char *what);

#endif
