/* test_association_tls.c - keys and trust that are wrong are named; peers come in
 * by the profiles and certificates they should (rule 21), and resume (rule 22).
 *
 * Certificates are made when the test begins, below a folder of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <cmocka.h>

#include "gateway/base/fdio.h"
#include "tests/unit/dimse_client.h"
#include "tests/unit/dimse_rig.h"

static char dir[64];
static EVP_PKEY *ca_key, *server_key, *client_key;
static X509 *ca, *server_crt, *client_crt;

static const char *
path(const char *name)
{
	static char buf[16][128];
	static unsigned next;
	char *p = buf[next++ % 16];

	(void)snprintf(p, sizeof(buf[0]), "%s/%s", dir, name);
	return p;
}

static X509 *
make_certificate(EVP_PKEY *key, const char *cn, long serial)
{
	X509 *x = X509_new();
	X509_NAME *name = X509_get_subject_name(x);
	X509_EXTENSION *ext;

	(void)X509_set_version(x, 2);
	(void)ASN1_INTEGER_set(X509_get_serialNumber(x), serial);
	(void)X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	(void)X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	(void)X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC,
	    (const unsigned char *)"Site", -1, -1, 0);
	(void)X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
	    (const unsigned char *)cn, -1, -1, 0);
	(void)X509_set_issuer_name(x, ca != NULL ? X509_get_subject_name(ca) : name);
	(void)X509_set_pubkey(x, key);
	ext = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints,
	    ca == NULL ? "critical,CA:TRUE" : "CA:FALSE");
	(void)X509_add_ext(x, ext, -1);
	X509_EXTENSION_free(ext);
	(void)X509_sign(x, ca != NULL ? ca_key : key, EVP_sha256());
	return x;
}

static void
write_key(const char *name, EVP_PKEY *key, const char *passphrase)
{
	FILE *f = fopen(path(name), "w");

	(void)PEM_write_PrivateKey(f, key,
	    passphrase != NULL ? EVP_aes_128_cbc() : NULL,
	    (const unsigned char *)passphrase,
	    passphrase != NULL ? (int)strlen(passphrase) : 0, NULL, NULL);
	(void)fclose(f);
}

static void
write_certificate(const char *name, X509 *x)
{
	FILE *f = fopen(path(name), "w");

	(void)PEM_write_X509(f, x);
	(void)fclose(f);
}

static void
write_text(const char *name, const char *text)
{
	FILE *f = fopen(path(name), "w");

	(void)fputs(text, f);
	(void)fclose(f);
}

/* Revokes the client. */
static void
write_crl(const char *name)
{
	X509_CRL *crl = X509_CRL_new();
	X509_REVOKED *r = X509_REVOKED_new();
	ASN1_TIME *now = X509_gmtime_adj(NULL, -60), *next = X509_gmtime_adj(NULL,
	    3600);
	FILE *f = fopen(path(name), "w");

	(void)X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca));
	(void)X509_CRL_set1_lastUpdate(crl, now);
	(void)X509_CRL_set1_nextUpdate(crl, next);
	(void)X509_REVOKED_set_serialNumber(r, X509_get_serialNumber(client_crt));
	(void)X509_REVOKED_set_revocationDate(r, now);
	(void)X509_CRL_add0_revoked(crl, r);
	(void)X509_CRL_sign(crl, ca_key, EVP_sha256());
	(void)PEM_write_X509_CRL(f, crl);
	(void)fclose(f);
	ASN1_TIME_free(now);
	ASN1_TIME_free(next);
	X509_CRL_free(crl);
}

static int
make_files(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/test_association_tls.XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	ca_key = EVP_RSA_gen(2048);
	server_key = EVP_RSA_gen(2048);
	client_key = EVP_RSA_gen(2048);
	ca = make_certificate(ca_key, "ca", 1);
	server_crt = make_certificate(server_key, "gateway", 2);
	client_crt = make_certificate(client_key, "us3", 3);
	write_key("server.key", server_key, NULL);
	write_key("locked.key", server_key, "sesame");
	write_key("other.key", client_key, NULL);
	write_certificate("server.pem", server_crt);
	write_certificate("ca.pem", ca);
	write_text("passphrase", "sesame\n");
	write_text("wrong", "open\n");
	write_text("junk", "this is no PEM\n");
	write_crl("crl.pem");
	return 0;
}

static int
remove_files(void **state)
{
	static const char *const names[] = { "server.key", "locked.key",
		"other.key", "server.pem", "ca.pem", "passphrase", "wrong", "junk",
		"crl.pem" };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		(void)unlink(path(names[i]));
	(void)rmdir(dir);
	X509_free(ca);
	X509_free(server_crt);
	X509_free(client_crt);
	EVP_PKEY_free(ca_key);
	EVP_PKEY_free(server_key);
	EVP_PKEY_free(client_key);
	return 0;
}

/* ---- options ------------------------------------------------------------------ */

static void
expect_problem(const struct assoc_tls_options *opt, const char *file,
    const char *what)
{
	struct buf why = BUF_INIT(1000);
	struct assoc_tls *t = NULL;

	assert_true(assoc_tls_new(opt, &t, &why) < 0);
	assert_null(t);
	assert_non_null(strstr(why.data, file));
	assert_non_null(strstr(why.data, what));
	buf_free(&why);
}

static void
test_what_is_wrong_is_named(void **state)
{
	const struct assoc_tls_options good = {
		.certificate_file = path("server.pem"),
		.key_file = path("server.key") };
	struct assoc_tls_options o = good;

	(void)state;
	o.key_file = path("none.key");
	expect_problem(&o, "none.key", "no private key");
	o.key_file = path("locked.key");
	expect_problem(&o, "locked.key", "passphrase");
	o.key_passphrase_file = path("wrong");
	expect_problem(&o, "locked.key", "this passphrase");
	o.key_passphrase_file = path("none");
	expect_problem(&o, "/none", "cannot be read");
	o = good;
	o.key_file = path("other.key");
	expect_problem(&o, "other.key", "does not belong");
	o = good;
	o.certificate_file = path("junk");
	expect_problem(&o, "junk", "no certificate");
	o = good;
	o.client_ca_file = path("junk");
	expect_problem(&o, "junk", "authorities");
	o = good;
	o.client_ca_file = path("ca.pem");
	o.crl_file = path("junk");
	expect_problem(&o, "junk", "revocation");
}

static struct assoc_tls *
load(struct assoc_tls_options o)
{
	struct buf why = BUF_INIT(1000);
	struct assoc_tls *t = NULL;

	o.certificate_file = path("server.pem");
	if (o.key_file == NULL)
		o.key_file = path("server.key");
	if (assoc_tls_new(&o, &t, &why) < 0)
		fail_msg("%s", why.data);
	buf_free(&why);
	return t;
}

static void
test_key_with_passphrase(void **state)
{
	struct assoc_tls *t = load((struct assoc_tls_options){
	    .key_file = path("locked.key"),
	    .key_passphrase_file = path("passphrase") });

	(void)state;
	assoc_tls_unref(assoc_tls_ref(t));
	assoc_tls_unref(t);
	assoc_tls_unref(NULL);
}

/* ---- peers --------------------------------------------------------------------- */

static struct {
	char version[16], cipher[64], subject[128];
	unsigned n;
} seen;

static void
serve(void *arg, struct assoc *a)
{
	const struct assoc_request *rq = assoc_request(a);
	struct assoc_answer answer = { .syntax = rq->contexts[0].syntaxes[0] };
	struct assoc_pdv pdv;
	int r;

	(void)arg;
	(void)snprintf(seen.version, sizeof(seen.version), "%s", rq->tls_version);
	(void)snprintf(seen.cipher, sizeof(seen.cipher), "%s", rq->tls_cipher);
	(void)snprintf(seen.subject, sizeof(seen.subject), "%s", rq->tls_subject);
	seen.n++;
	r = assoc_accept(a, &answer);
	while (r == 0) {
		r = assoc_read(a, false, &pdv);
		if (r == 0)
			r = assoc_write(a, 1, true, pdv.data, pdv.len);
	}
	if (r == 1)
		(void)assoc_release(a);
}

struct attempt {
	int version;
	const char *ciphers;		/* NULL: the usual */
	bool certificate;
	SSL_SESSION *session;
};

static bool
transfer(SSL *ssl, bool sending, void *data, int len)
{
	char *p = data;
	int n;

	for (; len > 0; p += n, len -= n) {
		n = sending ? SSL_write(ssl, p, len) : SSL_read(ssl, p, len);
		if (n <= 0)
			return false;
	}
	return true;
}

static unsigned
read_type(SSL *ssl)
{
	static uint8_t body[65536];
	uint8_t h[6];

	if (!transfer(ssl, false, h, 6))
		return 0;
	return transfer(ssl, false, body, h[4] << 8 | h[5]) ? h[0] : 0;
}

static bool
associate(SSL *ssl)
{
	static const struct client_context context = { DICOM_UID_VERIFICATION,
		{ DICOM_UID_IMPLICIT_LE } };
	const struct client_request rq = { .calling = "RAW", .called = "B",
		.application = "1.2.840.10008.3.1.1.1", .max_pdu = 16384,
		.contexts = &context, .n = 1 };
	struct buf b = BUF_INIT(200000), pdv = BUF_INIT(100000);
	static char data[50000];
	bool ok;

	put_request(&b, &rq);
	ok = transfer(ssl, true, b.data, (int)b.len) && read_type(ssl) == C_AC;
	buf_clear(&b);
	put_pdv(&pdv, 1, true, true, data, sizeof(data));
	put_pdu(&b, C_DATA, pdv.data, pdv.len);
	ok = ok && transfer(ssl, true, b.data, (int)b.len) &&
	    read_type(ssl) == C_DATA;
	buf_free(&pdv);
	buf_free(&b);
	return ok;
}

/* Whether an association came about; *session, if asked for, for the next time. */
static bool
try(struct rig *r, const struct attempt *at, SSL_SESSION **ret_session,
    bool *ret_resumed)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl;
	int fd = client_connect(r->port);
	bool ok;

	(void)SSL_CTX_set_min_proto_version(ctx, at->version);
	(void)SSL_CTX_set_max_proto_version(ctx, at->version);
	if (at->ciphers != NULL)
		(void)SSL_CTX_set_cipher_list(ctx, at->ciphers);
	if (at->certificate) {
		(void)SSL_CTX_use_certificate(ctx, client_crt);
		(void)SSL_CTX_use_PrivateKey(ctx, client_key);
	}
	ssl = SSL_new(ctx);
	(void)SSL_set_fd(ssl, fd);
	if (at->session != NULL)
		(void)SSL_set_session(ssl, at->session);
	ok = SSL_connect(ssl) == 1 && associate(ssl);
	if (ok && ret_session != NULL)
		*ret_session = SSL_get1_session(ssl);
	if (ret_resumed != NULL)
		*ret_resumed = SSL_session_reused(ssl) == 1;
	(void)SSL_shutdown(ssl);	/* or the session counts as broken */
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	(void)close(fd);
	return ok;
}

static void
test_rule_21_bcp195(void **state)
{
	struct assoc_tls *t = load((struct assoc_tls_options){
	    .profile = ASSOC_TLS_BCP195 });
	struct rig r;

	(void)state;
	rig_start(&r, NULL, t, serve, NULL);
	assert_true(try(&r, &(struct attempt){ .version = TLS1_3_VERSION }, NULL, NULL));
	assert_string_equal(seen.version, "TLSv1.3");
	assert_string_equal(seen.subject, "");
	assert_true(try(&r, &(struct attempt){ .version = TLS1_2_VERSION }, NULL, NULL));
	assert_string_equal(seen.version, "TLSv1.2");
	assert_non_null(strstr(seen.cipher, "ECDHE"));
	assert_true(try(&r, &(struct attempt){ .version = TLS1_2_VERSION,
	    .ciphers = "DHE-RSA-AES128-GCM-SHA256" }, NULL, NULL));
	assert_false(try(&r, &(struct attempt){ .version = TLS1_2_VERSION,
	    .ciphers = "AES128-SHA:@SECLEVEL=0" }, NULL, NULL));
	assert_false(try(&r, &(struct attempt){ .version = TLS1_1_VERSION,
	    .ciphers = "ALL:@SECLEVEL=0" }, NULL, NULL));
	rig_stop(&r);
	assoc_tls_unref(t);
}

static void
test_rule_21_legacy_aes(void **state)
{
	struct assoc_tls *t = load((struct assoc_tls_options){
	    .profile = ASSOC_TLS_LEGACY_AES });
	struct rig r;

	(void)state;
	rig_start(&r, NULL, t, serve, NULL);
	assert_true(try(&r, &(struct attempt){ .version = TLS1_VERSION,
	    .ciphers = "AES128-SHA:@SECLEVEL=0" }, NULL, NULL));
	assert_string_equal(seen.version, "TLSv1");
	assert_string_equal(seen.cipher, "AES128-SHA");
	assert_true(try(&r, &(struct attempt){ .version = TLS1_2_VERSION,
	    .ciphers = "AES256-SHA:@SECLEVEL=0" }, NULL, NULL));
	assert_true(try(&r, &(struct attempt){ .version = TLS1_3_VERSION }, NULL, NULL));
	rig_stop(&r);
	assoc_tls_unref(t);
}

static void
test_rule_21_client_certificates(void **state)
{
	struct assoc_tls *t = load((struct assoc_tls_options){
	    .client_ca_file = path("ca.pem") });
	struct rig r;

	(void)state;
	rig_start(&r, NULL, t, serve, NULL);
	assert_true(try(&r, &(struct attempt){ .version = TLS1_3_VERSION,
	    .certificate = true }, NULL, NULL));
	assert_string_equal(seen.subject, "CN=us3,O=Site");
	assert_true(try(&r, &(struct attempt){ .version = TLS1_2_VERSION,
	    .certificate = true }, NULL, NULL));
	assert_false(try(&r, &(struct attempt){ .version = TLS1_3_VERSION }, NULL, NULL));
	assert_false(try(&r, &(struct attempt){ .version = TLS1_2_VERSION }, NULL, NULL));
	assert_true(rig_wait_failures(&r, 2));
	assert_non_null(strstr(r.failed, "peer did not return a certificate"));
	rig_stop(&r);
	assoc_tls_unref(t);
}

static void
test_rule_21_revoked(void **state)
{
	struct assoc_tls *t = load((struct assoc_tls_options){
	    .client_ca_file = path("ca.pem"), .crl_file = path("crl.pem") });
	struct rig r;

	(void)state;
	rig_start(&r, NULL, t, serve, NULL);
	assert_false(try(&r, &(struct attempt){ .version = TLS1_3_VERSION,
	    .certificate = true }, NULL, NULL));
	rig_stop(&r);
	assoc_tls_unref(t);
}

static void
test_rule_22_resumption(void **state)
{
	static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
	struct assoc_tls *t = load((struct assoc_tls_options){
	    .client_ca_file = path("ca.pem") });
	SSL_SESSION *session = NULL;
	bool resumed;
	struct rig r;

	(void)state;
	rig_start(&r, NULL, t, serve, NULL);
	for (unsigned i = 0; i < 2; i++) {
		assert_true(try(&r, &(struct attempt){ .version = versions[i],
		    .certificate = true }, &session, &resumed));
		assert_false(resumed);
		seen.subject[0] = '\0';
		assert_true(try(&r, &(struct attempt){ .version = versions[i],
		    .certificate = true, .session = session }, NULL, &resumed));
		assert_true(resumed);
		assert_string_equal(seen.subject, "CN=us3,O=Site");
		SSL_SESSION_free(session);
	}
	rig_stop(&r);
	assoc_tls_unref(t);
}

/* New keys and the data behind them in one segment: the data must not wait for
 * more to come. */
static void
test_keys_change_in_the_middle(void **state)
{
	static const struct client_context context = { DICOM_UID_VERIFICATION,
		{ DICOM_UID_IMPLICIT_LE } };
	const struct client_request rq = { .calling = "RAW", .called = "B",
		.application = "1.2.840.10008.3.1.1.1", .max_pdu = 16384,
		.contexts = &context, .n = 1 };
	struct assoc_tls *t = load((struct assoc_tls_options){ 0 });
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	struct buf b = BUF_INIT(4096), pdv = BUF_INIT(100);
	SSL *ssl = SSL_new(ctx);
	struct rig r;
	int fd;

	(void)state;
	rig_start(&r, NULL, t, serve, NULL);
	fd = client_connect(r.port);
	(void)SSL_set_fd(ssl, fd);
	put_request(&b, &rq);
	assert_int_equal(SSL_connect(ssl), 1);
	assert_true(transfer(ssl, true, b.data, (int)b.len));
	assert_int_equal(read_type(ssl), C_AC);
	put_pdv(&pdv, 1, true, true, "data", 4);
	for (unsigned i = 1; i < 5; i++) {
		(void)setsockopt(fd, IPPROTO_TCP, TCP_CORK, &(int){ 1 },
		    sizeof(int));
		for (unsigned k = 0; k < i; k++) {
			(void)SSL_key_update(ssl, SSL_KEY_UPDATE_NOT_REQUESTED);
			assert_int_equal(SSL_do_handshake(ssl), 1);
		}
		buf_clear(&b);
		put_pdu(&b, C_DATA, pdv.data, pdv.len);
		assert_true(transfer(ssl, true, b.data, (int)b.len));
		(void)setsockopt(fd, IPPROTO_TCP, TCP_CORK, &(int){ 0 },
		    sizeof(int));
		assert_int_equal(read_type(ssl), C_DATA);
	}
	buf_free(&pdv);
	buf_free(&b);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	(void)close(fd);
	rig_stop(&r);
	assoc_tls_unref(t);
}

/* A subject that does not fit is none: cut short, its end would be "CN=us3". */
static void
test_rule_21_endless_subject(void **state)
{
	struct assoc_tls *t = load((struct assoc_tls_options){
	    .client_ca_file = path("ca.pem") });
	X509 *usual = client_crt;
	X509_NAME *name;
	struct rig r;

	(void)state;
	client_crt = make_certificate(client_key, "us3", 4);
	name = X509_get_subject_name(client_crt);
	for (unsigned i = 0; i < 30; i++)
		(void)X509_NAME_add_entry_by_txt(name, "OU", MBSTRING_ASC,
		    (const unsigned char *)"0123456789012345678901234567890123456789",
		    -1, -1, 0);
	(void)X509_sign(client_crt, ca_key, EVP_sha256());
	rig_start(&r, NULL, t, serve, NULL);
	(void)snprintf(seen.subject, sizeof(seen.subject), "-");
	assert_true(try(&r, &(struct attempt){ .version = TLS1_3_VERSION,
	    .certificate = true }, NULL, NULL));
	assert_string_equal(seen.subject, "");
	rig_stop(&r);
	assoc_tls_unref(t);
	X509_free(client_crt);
	client_crt = usual;
}

/* A ClientHello that comes byte by byte, each in good time. */
static void
test_rule_18_slow_client_hello(void **state)
{
	const struct assoc_server_options opt = { .threads_max = 4,
		.waiting_max = 100, .waiting_per_address = 50,
		.handshakes_per_address = 2, .handshake_timeout_ms = 300 };
	struct assoc_tls *t = load((struct assoc_tls_options){ 0 });
	int64_t begin = clock_mono_ms();
	char byte;
	struct rig r;
	int fd;

	(void)state;
	rig_start(&r, &opt, t, serve, NULL);
	fd = client_connect(r.port);
	assert_true(client_send(fd, "\x16\3\1\2\0\1\0\1\xfc\3\3", 11));
	for (unsigned i = 0; i < 40 && client_send(fd, "x", 1); i++)
		rig_pause(20);
	assert_true(recv(fd, &byte, 1, 0) <= 0);
	assert_true(clock_mono_ms() - begin < 2000);
	assert_true(rig_wait_failures(&r, 1));
	assert_non_null(strstr(r.failed, "TLS handshake"));
	(void)close(fd);
	fd = client_connect(r.port);
	assert_true(client_send(fd, "\1\0\0\0", 4));
	assert_true(rig_wait_failures(&r, 2));
	assert_string_equal(r.failed, "plain DICOM on a TLS port");
	(void)close(fd);
	rig_stop(&r);
	assoc_tls_unref(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_wrong_is_named),
		cmocka_unit_test(test_key_with_passphrase),
		cmocka_unit_test(test_rule_21_bcp195),
		cmocka_unit_test(test_rule_21_legacy_aes),
		cmocka_unit_test(test_rule_21_client_certificates),
		cmocka_unit_test(test_rule_21_revoked),
		cmocka_unit_test(test_rule_21_endless_subject),
		cmocka_unit_test(test_rule_22_resumption),
		cmocka_unit_test(test_keys_change_in_the_middle),
		cmocka_unit_test(test_rule_18_slow_client_hello),
	};

	return cmocka_run_group_tests(tests, make_files, remove_files);
}
