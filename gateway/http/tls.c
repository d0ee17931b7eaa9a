/* tls.c - what a certificate lacks, in words for the people who can mend it.
 *
 * OpenSSL verifies; this only listens to it, because curl's own text loses what
 * hospital IT needs: whose certificate, issued by whom, valid until when. Our own
 * certificate is loaded here too, afresh for each new connection, so that a
 * renewed file is taken without a restart and its passphrase stays out of curl.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "gateway/http/http_int.h"
#include "gateway/http/pem_int.h"

static int seen_index = -1;

static void
free_ssl_ctx(SSL_CTX **p)
{
	SSL_CTX_free(*p);
}

/* Bytes that might confuse a terminal or a log become '?'. */
static void
make_printable(char *s)
{
	for (; *s != '\0'; s++) {
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			*s = '?';
	}
}

/* The common name, else the organization, else the whole. */
static void
name_text(const X509_NAME *name, char *buf, size_t size)
{
	static const int nids[] = { NID_commonName, NID_organizationName };

	for (size_t i = 0; i < ARRAY_LEN(nids); i++) {
		if (X509_NAME_get_text_by_NID((X509_NAME *)name, nids[i], buf,
			(int)size) > 0) {
			make_printable(buf);
			return;
		}
	}
	if (X509_NAME_oneline(name, buf, (int)size) == NULL)
		buf[0] = '\0';
	make_printable(buf);
}

static void
time_text(const ASN1_TIME *when, char *buf, size_t size)
{
	struct tm tm;

	buf[0] = '\0';
	if (when != NULL && ASN1_TIME_to_tm(when, &tm) == 1)
		(void)strftime(buf, size, "%Y-%m-%d %H:%M UTC", &tm);
}

static void
note_names(X509 *cert, struct tls_seen *seen)
{
	GENERAL_NAMES *names;
	size_t at = 0;

	names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);
		int w;

		if (n->type != GEN_DNS || at + 1 >= sizeof(seen->names))
			continue;
		w = snprintf(seen->names + at, sizeof(seen->names) - at, "%s%.*s",
		    at > 0 ? ", " : "", ASN1_STRING_length(n->d.dNSName),
		    (const char *)ASN1_STRING_get0_data(n->d.dNSName));
		at += w > 0 ? (size_t)w : 0;
	}
	GENERAL_NAMES_free(names);
	if (at == 0)
		name_text(X509_get_subject_name(cert), seen->names,
		    sizeof(seen->names));
	make_printable(seen->names);
}

static int
note_verification(int good, X509_STORE_CTX *store)
{
	const SSL *ssl = X509_STORE_CTX_get_ex_data(store,
	    SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls_seen *seen = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl),
	    seen_index);
	X509 *cert = X509_STORE_CTX_get_current_cert(store);

	if (seen == NULL || cert == NULL)
		return good;
	if (X509_STORE_CTX_get_error_depth(store) == 0)
		note_names(cert, seen);
	if (!good && seen->error == 0) {
		seen->error = X509_STORE_CTX_get_error(store);
		name_text(X509_get_subject_name(cert), seen->subject,
		    sizeof(seen->subject));
		name_text(X509_get_issuer_name(cert), seen->issuer,
		    sizeof(seen->issuer));
		time_text(seen->error == X509_V_ERR_CERT_NOT_YET_VALID ?
			X509_get0_notBefore(cert) : X509_get0_notAfter(cert),
		    seen->until, sizeof(seen->until));
	}
	return good;
}

/* Only called when no certificate was loaded. */
static int
note_request(SSL *ssl, X509 **cert, EVP_PKEY **key)
{
	struct tls_seen *seen = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl),
	    seen_index);

	(void)cert;
	(void)key;
	if (seen != NULL)
		seen->asked = true;
	return 0;
}

int
tls_init(void)
{
	if (seen_index < 0)
		seen_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	return seen_index < 0 ? -ENOMEM : 0;
}

int
tls_watch(SSL_CTX *ctx, struct tls_seen *seen)
{
	if (SSL_CTX_set_ex_data(ctx, seen_index, seen) != 1)
		return -ENOMEM;
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, note_verification);
	SSL_CTX_set_client_cert_cb(ctx, note_request);
	return 0;
}

static int
refuse_file(struct buf *why, const char *file, const char *what)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	if (buf_error(why) == 0 && why->len == 0)
		(void)buf_printf(why, "%s: %s (%s)", file, what,
		    reason != NULL ? reason : "unreadable");
	ERR_clear_error();
	return -EINVAL;
}

int
tls_load_certificate(SSL_CTX *ctx, const struct tls_files *f, struct buf *why)
{
	struct pem_passphrase p = { .file = f->passphrase, .why = why };
	const char *key = f->key != NULL ? f->key : f->certificate;
	int ok;

	ERR_clear_error();
	if (SSL_CTX_use_certificate_chain_file(ctx, f->certificate) != 1)
		return refuse_file(why, f->certificate,
		    "holds no certificate in PEM form");
	SSL_CTX_set_default_passwd_cb(ctx, pem_give_passphrase);
	SSL_CTX_set_default_passwd_cb_userdata(ctx, &p);
	ok = SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM);
	SSL_CTX_set_default_passwd_cb(ctx, NULL);
	SSL_CTX_set_default_passwd_cb_userdata(ctx, NULL);
	if (ok != 1)
		return refuse_file(why, key, f->passphrase == NULL ?
			"holds no private key that can be read without a "
			"passphrase, or not this certificate's" :
			"holds no private key that this passphrase opens, or not "
			"this certificate's");
	if (SSL_CTX_check_private_key(ctx) != 1)
		return refuse_file(why, key, "is not the certificate's key");
	return 0;
}

int
tls_check_certificate(const struct tls_files *f, struct buf *why)
{
	AUTO(free_ssl_ctx) SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	const X509 *cert;
	char until[32];
	int r;

	if (ctx == NULL)
		return -ENOMEM;
	r = tls_load_certificate(ctx, f, why);
	if (r < 0)
		return r;
	cert = SSL_CTX_get0_certificate(ctx);
	if (cert != NULL && X509_cmp_current_time(X509_get0_notAfter(cert)) < 0) {
		time_text(X509_get0_notAfter(cert), until, sizeof(until));
		(void)buf_printf(why, "%s: our certificate expired on %s",
		    f->certificate, until);
	}
	return 0;
}

static bool
issuer_unknown(int error)
{
	return error == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT ||
	    error == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY ||
	    error == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT ||
	    error == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN ||
	    error == X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE;
}

bool
tls_explain(const struct tls_seen *seen, const char *host, const char *option,
    bool own_ca, struct buf *why)
{
	switch (seen->error) {
	case X509_V_OK:
		return false;
	case X509_V_ERR_CERT_HAS_EXPIRED:
		(void)buf_printf(why, "%s: the certificate of \"%s\" expired on %s: "
		    "whoever runs it must renew it (or this machine's clock is "
		    "wrong)", host, seen->subject, seen->until);
		return true;
	case X509_V_ERR_CERT_NOT_YET_VALID:
		(void)buf_printf(why, "%s: the certificate of \"%s\" is valid only "
		    "from %s: look at this machine's clock", host, seen->subject,
		    seen->until);
		return true;
	case X509_V_ERR_CERT_REVOKED:
		(void)buf_printf(why, "%s: the certificate of \"%s\" was revoked",
		    host, seen->subject);
		return true;
	default:
		break;
	}
	if (issuer_unknown(seen->error))
		(void)buf_printf(why, "%s: the certificate of \"%s\" was issued by "
		    "\"%s\", which %s%s; name its CA in %s (a firewall that "
		    "inspects TLS shows its own)", host, seen->subject, seen->issuer,
		    own_ca ? "is not in " : "this machine does not know",
		    own_ca ? option : "", option);
	else
		(void)buf_printf(why, "%s: the certificate of \"%s\" is not good: %s",
		    host, seen->subject, X509_verify_cert_error_string(seen->error));
	return true;
}
