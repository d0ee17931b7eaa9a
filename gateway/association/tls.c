/* tls.c - the TLS side of a listener: keys, trust and profiles, read once.
 *
 * Two profiles (rule 21). bcp195 is BCP 195 as DICOM means it since RFC 8996: TLS
 * 1.2 and 1.3, forward secrecy, authenticated encryption. legacy_aes lets in the
 * installed modalities of the AES profile: RSA key exchange, CBC, TLS 1.0 on,
 * SHA-1 signatures and short keys; a site chooses it with open eyes.
 *
 * Resumption is on, by ticket and by id, because many devices open one
 * association per image (rule 22). A session keeps the verdict on the client's
 * certificate for SESSION_SECONDS; a new CRL takes effect with a new assoc_tls,
 * whose ticket keys are new as well.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "gateway/association/association.h"
#include "gateway/association/tls_int.h"
#include "gateway/base/cleanup.h"
#include "gateway/base/fdio.h"

#define SESSION_SECONDS 3600
#define PASSPHRASE_MAX	1024

static const char bcp195_ciphers[] =
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "DHE-RSA-AES256-GCM-SHA384:DHE-RSA-AES128-GCM-SHA256";
static const char legacy_ciphers[] =
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "DHE-RSA-AES256-GCM-SHA384:DHE-RSA-AES128-GCM-SHA256:"
    "AES256-GCM-SHA384:AES128-GCM-SHA256:AES256-SHA256:AES128-SHA256:"
    "ECDHE-RSA-AES256-SHA:ECDHE-RSA-AES128-SHA:DHE-RSA-AES256-SHA:"
    "DHE-RSA-AES128-SHA:AES256-SHA:AES128-SHA:@SECLEVEL=0";

void
tls_last_error(char *dst, size_t size)
{
	unsigned long e = ERR_peek_last_error();

	if (size == 0)
		return;
	dst[0] = '\0';
	if (e != 0) {
		const char *text = ERR_reason_error_string(e);

		(void)snprintf(dst, size, "%s", text != NULL ? text : "TLS error");
	}
	ERR_clear_error();
}

void
tls_peer_subject(SSL *ssl, char *dst, size_t size)
{
	X509 *peer = SSL_get1_peer_certificate(ssl);
	BIO *bio = BIO_new(BIO_s_mem());
	int n = 0;

	if (peer != NULL && bio != NULL &&
	    X509_NAME_print_ex(bio, X509_get_subject_name(peer), 0,
		XN_FLAG_RFC2253) >= 0 && BIO_ctrl_pending(bio) < size)
		n = BIO_read(bio, dst, (int)size - 1);
	dst[n > 0 ? n : 0] = '\0';
	BIO_free(bio);
	X509_free(peer);
}

SSL *
tls_session_new(struct assoc_tls *t)
{
	SSL *ssl = SSL_new(t->ctx);

	if (ssl != NULL)
		SSL_set_accept_state(ssl);
	return ssl;
}

struct assoc_tls *
assoc_tls_ref(struct assoc_tls *t)
{
	if (t != NULL)
		(void)atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
	return t;
}

void
assoc_tls_unref(struct assoc_tls *t)
{
	if (t == NULL || atomic_fetch_sub_explicit(&t->refs, 1,
	    memory_order_acq_rel) != 1)
		return;
	SSL_CTX_free(t->ctx);
	free(t);
}
DEFINE_CLEANUP(EVP_PKEY, EVP_PKEY_free)

int
tls_explain_file(struct buf *why, const char *file, const char *what)
{
	char reason[160];

	tls_last_error(reason, sizeof(reason));
	(void)buf_printf(why, "%s: %s%s%s", file, what,
	    reason[0] != '\0' ? ": " : "", reason);
	return -EINVAL;
}

static int
give_passphrase(char *dst, int size, int writing, void *arg)
{
	const char *passphrase = arg;
	size_t n;

	(void)writing;
	if (passphrase == NULL)
		return -1;
	n = strlen(passphrase);
	if (n > (size_t)size)
		return -1;
	memcpy(dst, passphrase, n);
	return (int)n;
}

static int
read_passphrase(const char *file, char **ret, struct buf *why)
{
	size_t len;
	int e;

	if (file == NULL)
		return 0;
	e = fdio_slurp(AT_FDCWD, file, PASSPHRASE_MAX, ret, &len);
	if (e < 0) {
		(void)buf_printf(why, "%s: the key's passphrase cannot be read: %s",
		    file, strerror(-e));
		return e;
	}
	(*ret)[strcspn(*ret, "\r\n")] = '\0';
	return 0;
}

static EVP_PKEY *
read_private_key(const char *file, char *passphrase)
{
	BIO *bio = BIO_new_file(file, "r");
	EVP_PKEY *key;

	if (bio == NULL)
		return NULL;
	key = PEM_read_bio_PrivateKey(bio, NULL, give_passphrase, passphrase);
	BIO_free(bio);
	return key;
}

int
tls_load_key(SSL_CTX *ctx, const struct tls_files *files, struct buf *why)
{
	EVP_PKEY *key AUTO(cleanup_EVP_PKEY_free) = NULL;
	AUTO_FREE char *passphrase = NULL;
	int e;

	e = read_passphrase(files->passphrase, &passphrase, why);
	if (e < 0)
		return e;
	key = read_private_key(files->key, passphrase);
	if (passphrase != NULL)
		OPENSSL_cleanse(passphrase, strlen(passphrase));
	if (key == NULL)
		return tls_explain_file(why, files->key, passphrase != NULL
		    ? "no private key in PEM that this passphrase opens"
		    : "no private key in PEM, or one that needs a passphrase");
	if (SSL_CTX_use_certificate_chain_file(ctx, files->certificate) != 1)
		return tls_explain_file(why, files->certificate,
		    "no certificate chain in PEM");
	if (SSL_CTX_use_PrivateKey(ctx, key) != 1 ||
	    SSL_CTX_check_private_key(ctx) != 1)
		return tls_explain_file(why, files->key,
		    "this key does not belong to the certificate");
	return 0;
}

static int
load_trust(SSL_CTX *ctx, const struct assoc_tls_options *opt, struct buf *why)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ctx);
	X509_LOOKUP *lookup;

	if (opt->client_ca_file == NULL)
		return 0;
	if (SSL_CTX_load_verify_file(ctx, opt->client_ca_file) != 1)
		return tls_explain_file(why, opt->client_ca_file,
		    "no certificates of authorities in PEM");
	SSL_CTX_set_client_CA_list(ctx,
	    SSL_load_client_CA_file(opt->client_ca_file));
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
	    NULL);
	if (opt->crl_file == NULL)
		return 0;
	lookup = X509_STORE_add_lookup(store, X509_LOOKUP_file());
	if (lookup == NULL ||
	    X509_load_crl_file(lookup, opt->crl_file, X509_FILETYPE_PEM) < 1)
		return tls_explain_file(why, opt->crl_file, "no revocation list in PEM");
	(void)X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK);
	return 0;
}

bool
tls_set_profile(SSL_CTX *ctx, enum assoc_tls_profile profile)
{
	bool legacy = profile == ASSOC_TLS_LEGACY_AES;

	(void)SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION |
	    SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
	    SSL_OP_IGNORE_UNEXPECTED_EOF);
	/* Without AUTO_RETRY a record that carries no data returns to our loop and
	 * so to the deadline. */
	(void)SSL_CTX_clear_mode(ctx, SSL_MODE_AUTO_RETRY);
	(void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(ctx, 1);
	(void)SSL_CTX_set_dh_auto(ctx, 1);
	return SSL_CTX_set_min_proto_version(ctx,
		   legacy ? TLS1_VERSION : TLS1_2_VERSION) == 1 &&
	    SSL_CTX_set_cipher_list(ctx,
		legacy ? legacy_ciphers : bcp195_ciphers) == 1;
}

static bool
set_resumption(SSL_CTX *ctx)
{
	static const unsigned char id[] = "causeway";

	(void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_SERVER);
	(void)SSL_CTX_sess_set_cache_size(ctx, 1024);
	(void)SSL_CTX_set_timeout(ctx, SESSION_SECONDS);
	return SSL_CTX_set_session_id_context(ctx, id, sizeof(id) - 1) == 1;
}

int
assoc_tls_new(const struct assoc_tls_options *opt, struct assoc_tls **ret,
    struct buf *why)
{
	const struct tls_files files = { opt->certificate_file, opt->key_file,
		opt->key_passphrase_file };
	struct assoc_tls *t AUTO(cleanup_assoc_tls_unref) = NULL;
	int e;

	assert(opt->certificate_file != NULL && opt->key_file != NULL);
	t = xcalloc(1, sizeof(*t));
	atomic_init(&t->refs, 1);
	ERR_clear_error();
	t->ctx = SSL_CTX_new(TLS_server_method());
	if (t->ctx == NULL)
		return -ENOMEM;
	if (!tls_set_profile(t->ctx, opt->profile) || !set_resumption(t->ctx))
		return tls_explain_file(why, opt->certificate_file, "TLS profile");
	e = tls_load_key(t->ctx, &files, why);
	if (e < 0)
		return e;
	e = load_trust(t->ctx, opt, why);
	if (e < 0)
		return e;
	*ret = TAKE_PTR(t);
	return 0;
}
