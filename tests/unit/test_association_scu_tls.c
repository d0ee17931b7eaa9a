/* test_association_scu_tls.c - calling over TLS: who is trusted, by which name, and
 * in which words it is said that somebody is not.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <cmocka.h>

#include "gateway/base/cleanup.h"
#include "tests/unit/dimse_client.h"
#include "tests/unit/dimse_rig.h"

static char dir[64];
static char mine[128], mine_key[128], other[128], other_key[128];
static struct assoc_tls *server;

/* Self-signed: for localhost, but not for 127.0.0.1. */
static void
make_certificate(const char *certificate, const char *key_file, const char *cn)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	X509_NAME *name = X509_get_subject_name(x);
	X509_EXTENSION *ext;
	FILE *f;

	(void)X509_set_version(x, 2);
	(void)ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	(void)X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	(void)X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	(void)X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
	    (const unsigned char *)cn, -1, -1, 0);
	(void)X509_set_issuer_name(x, name);
	(void)X509_set_pubkey(x, key);
	ext = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name,
	    "DNS:localhost");
	(void)X509_add_ext(x, ext, -1);
	X509_EXTENSION_free(ext);
	(void)X509_sign(x, key, EVP_sha256());
	f = fopen(certificate, "w");
	(void)PEM_write_X509(f, x);
	(void)fclose(f);
	f = fopen(key_file, "w");
	(void)PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
	(void)fclose(f);
	X509_free(x);
	EVP_PKEY_free(key);
}

static int
make_files(void **state)
{
	const char *tmp = getenv("TMPDIR");
	struct assoc_tls_options opt = { .certificate_file = mine,
		.key_file = mine_key };
	struct buf why AUTO(buf_free) = BUF_INIT(500);

	(void)state;
	(void)snprintf(dir, sizeof(dir), "%s/scutlsXXXXXX",
	    tmp != NULL ? tmp : "/tmp");
	assert_non_null(mkdtemp(dir));
	(void)snprintf(mine, sizeof(mine), "%s/mine.pem", dir);
	(void)snprintf(mine_key, sizeof(mine_key), "%s/mine.key", dir);
	(void)snprintf(other, sizeof(other), "%s/other.pem", dir);
	(void)snprintf(other_key, sizeof(other_key), "%s/other.key", dir);
	make_certificate(mine, mine_key, "pacs");
	make_certificate(other, other_key, "elsewhere");
	assert_int_equal(assoc_tls_new(&opt, &server, &why), 0);
	return 0;
}

static int
remove_files(void **state)
{
	(void)state;
	assoc_tls_unref(server);
	(void)unlink(mine);
	(void)unlink(mine_key);
	(void)unlink(other);
	(void)unlink(other_key);
	return rmdir(dir);
}

static void
serve(void *arg, struct assoc *a)
{
	struct assoc_answer answers[ASSOC_CONTEXTS_MAX] = { 0 };
	struct assoc_pdv pdv;

	(void)arg;
	answers[0].syntax = DICOM_UID_IMPLICIT_LE;
	if (assoc_accept(a, answers) == 0 && assoc_read(a, false, &pdv) == 1)
		(void)assoc_release(a);
}

/* 0, or the errno of the call. */
static int
call_over(uint16_t port, const char *host, const struct assoc_tls_client_options *o,
    const char *name, struct buf *why)
{
	static const char *const syntaxes[] = { DICOM_UID_IMPLICIT_LE };
	const struct assoc_proposal p = { .syntaxes = syntaxes, .n_syntaxes = 1,
		.abstract_syntax = DICOM_UID_VERIFICATION };
	struct assoc_call call = { .host = host, .port = port, .tls_name = name,
		.calling = "CAUSEWAY", .called = "PACS", .max_pdu = 65536,
		.connect_ms = 3000, .handshake_ms = 3000, .message_ms = 3000,
		.cancel_fd = -1, .n_proposals = 1, .proposals = &p };
	struct assoc *a = NULL;
	int e;

	buf_clear(why);
	if (o != NULL)
		assert_int_equal(assoc_tls_new_client(o, &call.tls, why), 0);
	e = assoc_open(&call, &a, why);
	if (e == 0) {
		assert_int_equal(assoc_request_release(a), 0);
		assert_true(o == NULL || assoc_request(a)->tls_version != NULL);
	}
	assoc_close(a);
	assoc_tls_unref(call.tls);
	return e;
}

static void
test_whom_it_trusts(void **state)
{
	const struct assoc_tls_client_options right = { .ca_file = mine },
		wrong = { .ca_file = other }, system_store = { NULL };
	struct buf why AUTO(buf_free) = BUF_INIT(1000);
	struct rig r;

	(void)state;
	rig_start(&r, NULL, server, serve, NULL);
	assert_int_equal(call_over(r.port, "localhost", &right, NULL, &why), 0);
	assert_int_equal(call_over(r.port, "127.0.0.1", &right, "localhost", &why),
	    0);
	assert_int_equal(call_over(r.port, "127.0.0.1", &right, "*", &why), 0);
	assert_int_equal(call_over(r.port, "127.0.0.1", &right, NULL, &why),
	    -EPROTO);
	assert_non_null(strstr(why.data, "verify_name"));
	assert_int_equal(call_over(r.port, "127.0.0.1", &right, "pacs", &why),
	    -EPROTO);
	assert_int_equal(call_over(r.port, "localhost", &wrong, NULL, &why),
	    -EPROTO);
	assert_non_null(strstr(why.data, "is not in tls: ca_file"));
	assert_int_equal(call_over(r.port, "localhost", &wrong, "*", &why), -EPROTO);
	assert_int_equal(call_over(r.port, "localhost", &system_store, NULL, &why),
	    -EPROTO);
	assert_non_null(strstr(why.data, "this machine does not know"));
	rig_stop(&r);
}

static void
test_our_own_certificate(void **state)
{
	const struct assoc_tls_client_options without = { .ca_file = mine },
		with = { .ca_file = mine, .certificate_file = other,
		    .key_file = other_key };
	struct assoc_tls_options opt = { .certificate_file = mine,
		.key_file = mine_key, .client_ca_file = other };
	struct buf why AUTO(buf_free) = BUF_INIT(1000);
	struct assoc_tls *tls;
	struct rig r;

	(void)state;
	assert_int_equal(assoc_tls_new(&opt, &tls, &why), 0);
	rig_start(&r, NULL, tls, serve, NULL);
	assert_int_equal(call_over(r.port, "localhost", &with, NULL, &why), 0);
	assert_true(call_over(r.port, "localhost", &without, NULL, &why) < 0);
	assert_non_null(strstr(why.data, "certificate"));
	rig_stop(&r);
	assoc_tls_unref(tls);
}

static void
test_files_that_are_wrong(void **state)
{
	const struct assoc_tls_client_options no_ca = { .ca_file = mine_key },
		no_key = { .certificate_file = mine, .key_file = mine },
		foreign = { .certificate_file = mine, .key_file = other_key };
	struct buf why AUTO(buf_free) = BUF_INIT(1000);
	struct assoc_tls *t = NULL;

	(void)state;
	assert_int_equal(assoc_tls_new_client(&no_ca, &t, &why), -EINVAL);
	assert_non_null(strstr(why.data, mine_key));
	assert_int_equal(assoc_tls_new_client(&no_key, &t, &why), -EINVAL);
	assert_int_equal(assoc_tls_new_client(&foreign, &t, &why), -EINVAL);
	assert_non_null(strstr(why.data, "does not belong"));
	assert_null(t);
}

static void
test_plain_and_tls_mixed_up(void **state)
{
	const struct assoc_tls_client_options right = { .ca_file = mine };
	struct buf why AUTO(buf_free) = BUF_INIT(1000);
	struct rig plain, secure;

	(void)state;
	rig_start(&plain, NULL, NULL, serve, NULL);
	rig_start(&secure, NULL, server, serve, NULL);
	assert_int_equal(call_over(plain.port, "localhost", &right, NULL, &why),
	    -EPROTO);
	assert_non_null(strstr(why.data, "port for TLS"));
	assert_true(call_over(secure.port, "localhost", NULL, NULL, &why) < 0);
	assert_non_null(strstr(why.data, "without TLS"));
	rig_stop(&plain);
	rig_stop(&secure);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whom_it_trusts),
		cmocka_unit_test(test_our_own_certificate),
		cmocka_unit_test(test_files_that_are_wrong),
		cmocka_unit_test(test_plain_and_tls_mixed_up),
	};

	return cmocka_run_group_tests(tests, make_files, remove_files);
}
