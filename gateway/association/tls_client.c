/* tls_client.c - the TLS side of who calls: whom it trusts, and in which words it
 * says that it does not.
 *
 * The certificate's chain and name are verified by OpenSSL, always; this only listens
 * to it, because its own text lacks what the people in charge need: whose
 * certificate, issued by whom, valid until when.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "gateway/association/tls_int.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int verdict_index;

static void
get_index(void)
{
	verdict_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	assert(verdict_index >= 0);
}

/* The common name, else the whole; nothing that could confuse a terminal. */
static void
name_text(const X509_NAME *name, char *dst, size_t size)
{
	dst[0] = '\0';
	if (X509_NAME_get_text_by_NID((X509_NAME *)name, NID_commonName, dst,
		(int)size) <= 0)
		(void)X509_NAME_oneline(name, dst, (int)size);
	for (char *s = dst; *s != '\0'; s++)
		if (*s < ' ' || *s > '~')
			*s = '?';
}

static void
time_text(const ASN1_TIME *when, char *dst, size_t size)
{
	struct tm tm;

	dst[0] = '\0';
	if (when != NULL && ASN1_TIME_to_tm(when, &tm) == 1)
		(void)strftime(dst, size, "%Y-%m-%d %H:%M UTC", &tm);
}

static bool
is_issuer_unknown(int error)
{
	return error == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT ||
	    error == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY ||
	    error == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT ||
	    error == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN ||
	    error == X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE;
}

static void
explain_certificate(X509 *cert, int error, struct tls_verdict *v)
{
	char subject[80], issuer[80], when[32];
	size_t size = sizeof(v->text);

	name_text(X509_get_subject_name(cert), subject, sizeof(subject));
	name_text(X509_get_issuer_name(cert), issuer, sizeof(issuer));
	if (error == X509_V_ERR_CERT_HAS_EXPIRED) {
		time_text(X509_get0_notAfter(cert), when, sizeof(when));
		(void)snprintf(v->text, size, "the certificate of \"%s\" expired on "
		    "%s: whoever runs it must renew it (or this machine's clock "
		    "is wrong)", subject, when);
	} else if (error == X509_V_ERR_CERT_NOT_YET_VALID) {
		time_text(X509_get0_notBefore(cert), when, sizeof(when));
		(void)snprintf(v->text, size, "the certificate of \"%s\" is valid "
		    "only from %s: look at this machine's clock", subject, when);
	} else if (is_issuer_unknown(error)) {
		(void)snprintf(v->text, size, "the certificate of \"%s\" was issued "
		    "by \"%s\", which %s: name its CA in tls: ca_file", subject,
		    issuer, v->own_ca ? "is not in tls: ca_file"
		    : "this machine does not know");
	} else if (error == X509_V_ERR_HOSTNAME_MISMATCH ||
	    error == X509_V_ERR_IP_ADDRESS_MISMATCH) {
		(void)snprintf(v->text, size, "the certificate is of \"%s\", not of "
		    "the host: if that is right, name it in tls: verify_name",
		    subject);
	} else {
		(void)snprintf(v->text, size, "the certificate of \"%s\" is not "
		    "good: %s", subject, X509_verify_cert_error_string(error));
	}
}

static int
note_verification(int good, X509_STORE_CTX *store)
{
	const SSL *ssl = X509_STORE_CTX_get_ex_data(store,
	    SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls_verdict *v = SSL_get_ex_data(ssl, verdict_index);
	X509 *cert = X509_STORE_CTX_get_current_cert(store);

	if (!good && v != NULL && cert != NULL && v->text[0] == '\0')
		explain_certificate(cert, X509_STORE_CTX_get_error(store), v);
	return good;
}

static bool
is_address(const char *name)
{
	struct in6_addr a;

	return inet_pton(AF_INET, name, &a) == 1 || inet_pton(AF_INET6, name, &a) == 1;
}

static bool
want_name(SSL *ssl, const char *name)
{
	if (strcmp(name, "*") == 0)
		return true;
	if (is_address(name))
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return SSL_set1_host(ssl, name) == 1 &&
	    SSL_set_tlsext_host_name(ssl, name) == 1;
}

SSL *
tls_session_new_client(struct assoc_tls *t, const char *name,
    struct tls_verdict *verdict)
{
	SSL *ssl = SSL_new(t->ctx);

	if (ssl == NULL)
		return NULL;
	verdict->own_ca = t->own_ca;
	if (SSL_set_ex_data(ssl, verdict_index, verdict) != 1 ||
	    !want_name(ssl, name)) {
		SSL_free(ssl);
		return NULL;
	}
	SSL_set_connect_state(ssl);
	return ssl;
}

static int
load_trust(SSL_CTX *ctx, const char *ca_file, struct buf *why)
{
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, note_verification);
	if (ca_file == NULL) {
		(void)SSL_CTX_set_default_verify_paths(ctx);
		return 0;
	}
	if (SSL_CTX_load_verify_file(ctx, ca_file) != 1)
		return tls_explain_file(why, ca_file,
		    "no certificates of authorities in PEM");
	/* A server's own certificate is trust enough, as PACS are often set up. */
	(void)X509_STORE_set_flags(SSL_CTX_get_cert_store(ctx),
	    X509_V_FLAG_PARTIAL_CHAIN);
	return 0;
}

int
assoc_tls_new_client(const struct assoc_tls_client_options *opt,
    struct assoc_tls **ret, struct buf *why)
{
	const struct tls_files files = { opt->certificate_file,
		opt->key_file != NULL ? opt->key_file : opt->certificate_file,
		opt->key_passphrase_file };
	struct assoc_tls *t AUTO(cleanup_assoc_tls_unref) = NULL;
	int e;

	(void)pthread_once(&once, get_index);
	t = xcalloc(1, sizeof(*t));
	atomic_init(&t->refs, 1);
	t->own_ca = opt->ca_file != NULL;
	ERR_clear_error();
	t->ctx = SSL_CTX_new(TLS_client_method());
	if (t->ctx == NULL || !tls_set_profile(t->ctx, opt->profile))
		return -ENOMEM;
	e = load_trust(t->ctx, opt->ca_file, why);
	if (e == 0 && opt->certificate_file != NULL)
		e = tls_load_key(t->ctx, &files, why);
	if (e < 0)
		return e;
	*ret = TAKE_PTR(t);
	return 0;
}
