/* tls_int.h - what stream.c needs of an assoc_tls. */
#ifndef CW_ASSOCIATION_TLS_INT_H
#define CW_ASSOCIATION_TLS_INT_H

#include <openssl/ssl.h>

struct assoc_tls;

SSL *tls_session_new(struct assoc_tls *t);	/* NULL: out of memory */
/* "CN=us3,O=Site" (RFC 2253) of the peer's certificate; "" without one, or when it
 * does not fit: a part that is cut short could pass for another. */
void tls_peer_subject(SSL *ssl, char *dst, size_t size);
/* The thread's last OpenSSL error for people; the queue is emptied. */
void tls_last_error(char *dst, size_t size);

#endif
