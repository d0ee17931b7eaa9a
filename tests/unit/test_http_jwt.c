/* test_http_jwt.c - tokens that we sign: their form, and signatures that verify. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/rsa.h>

#include "gateway/base/cleanup.h"
#include "gateway/http/http_int.h"
#include "gateway/http/jwt_int.h"

static EVP_PKEY *
make_key(const char *type, const char *detail)
{
	EVP_PKEY *key = strcmp(type, "RSA") == 0 ?
	    EVP_PKEY_Q_keygen(NULL, NULL, type, (size_t)strtoul(detail, NULL, 10)) :
	    strcmp(type, "EC") == 0 ?
	    EVP_PKEY_Q_keygen(NULL, NULL, type, (char *)detail) :
	    EVP_PKEY_Q_keygen(NULL, NULL, type);

	assert_non_null(key);
	return key;
}

/* RFC 4648, and what RFC 7515 (appendix C) makes of it. */
static void
base64url_has_no_padding(void **state)
{
	static const struct { const char *data, *text; } known[] = {
		{ "", "" }, { "f", "Zg" }, { "fo", "Zm8" }, { "foo", "Zm9v" },
		{ "foob", "Zm9vYg" }, { "fooba", "Zm9vYmE" },
		{ "\xfb\xff\xbe", "-_--" }, { "\x03\xec\xff\xe0\xc1", "A-z_4ME" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		AUTO_FREE char *got = jwt_base64url(known[i].data,
		    strlen(known[i].data));

		assert_string_equal(got, known[i].text);
	}
}

static size_t
decode(const char *text, size_t len, unsigned char *ret)
{
	AUTO_FREE char *padded = xcalloc(1, len + 8);
	size_t pad = (4 - len % 4) % 4;
	int n;

	memcpy(padded, text, len);
	memset(padded + len, '=', pad);
	for (char *p = padded; *p != '\0'; p++)
		*p = *p == '-' ? '+' : *p == '_' ? '/' : *p;
	n = EVP_DecodeBlock(ret, (unsigned char *)padded, (int)(len + pad));
	assert_true(n >= (int)pad);
	return (size_t)n - pad;
}

static unsigned char *
der_of(const unsigned char *raw, size_t len, size_t *ret_len)
{
	ECDSA_SIG *sig = ECDSA_SIG_new();
	unsigned char *der = NULL;

	assert_int_equal(ECDSA_SIG_set0(sig, BN_bin2bn(raw, (int)len / 2, NULL),
	    BN_bin2bn(raw + len / 2, (int)len / 2, NULL)), 1);
	*ret_len = (size_t)i2d_ECDSA_SIG(sig, &der);
	ECDSA_SIG_free(sig);
	return der;
}

static bool
verifies(EVP_PKEY *key, enum jwt_algorithm alg, const char *jwt)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	const char *dot = strrchr(jwt, '.');
	unsigned char raw[1024], *der = NULL, *sig = raw;
	EVP_PKEY_CTX *inner;
	size_t len = decode(dot + 1, strlen(dot + 1), raw);
	bool good;

	if (alg == JWT_ES256 || alg == JWT_ES384) {
		assert_int_equal(len, alg == JWT_ES256 ? 64 : 96);
		der = der_of(raw, len, &len);
		sig = der;
	}
	assert_int_equal(EVP_DigestVerifyInit(ctx, &inner, alg == JWT_ES384 ?
		EVP_sha384() : EVP_sha256(), NULL, key), 1);
	if (alg == JWT_PS256) {
		assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(inner,
		    RSA_PKCS1_PSS_PADDING), 1);
		assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(inner, 32), 1);
	}
	good = EVP_DigestVerify(ctx, sig, len, (const unsigned char *)jwt,
	    (size_t)(dot - jwt)) == 1;
	OPENSSL_free(der);
	EVP_MD_CTX_free(ctx);
	return good;
}

static void
every_algorithm_verifies(void **state)
{
	static const struct {
		const char *type, *detail;
		enum jwt_algorithm wanted, got;
	} cases[] = {
		{ "RSA", "2048", JWT_AUTO, JWT_RS256 },
		{ "RSA", "3072", JWT_PS256, JWT_PS256 },
		{ "EC", "P-256", JWT_AUTO, JWT_ES256 },
		{ "EC", "P-384", JWT_ES384, JWT_ES384 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		EVP_PKEY *key = make_key(cases[i].type, cases[i].detail);
		struct buf why = BUF_INIT(300);
		enum jwt_algorithm alg;

		assert_int_equal(jwt_choose(key, cases[i].wanted, &alg, &why), 0);
		assert_int_equal(alg, cases[i].got);
		/* Numbers of EC signatures are now and then shorter. */
		for (int n = 0; n < (alg >= JWT_ES256 ? 300 : 2); n++) {
			json_t *header = json_pack("{s:s}", "typ", "JWT");
			json_t *claims = json_pack("{s:i}", "n", n);
			char *jwt;

			assert_int_equal(jwt_sign(key, alg, header, claims, &jwt),
			    0);
			assert_true(verifies(key, alg, jwt));
			json_decref(header);
			json_decref(claims);
			secret_free(jwt);
		}
		buf_free(&why);
		EVP_PKEY_free(key);
	}
}

static void
header_and_claims_are_what_they_were(void **state)
{
	EVP_PKEY *key = make_key("EC", "P-256");
	json_t *header = json_pack("{s:s, s:s}", "typ", "JWT", "kid", "k\"1");
	json_t *claims = json_pack("{s:s, s:I}", "iss", "gateway", "exp",
	    (json_int_t)4102444800);
	unsigned char text[500];
	char *jwt, *dot;
	json_t *back;
	size_t len;

	(void)state;
	assert_int_equal(jwt_sign(key, JWT_ES256, header, claims, &jwt), 0);
	dot = strchr(jwt, '.');
	len = decode(jwt, (size_t)(dot - jwt), text);
	back = json_loadb((char *)text, len, 0, NULL);
	assert_true(json_equal(back, header));
	assert_string_equal(json_string_value(json_object_get(back, "alg")),
	    "ES256");
	json_decref(back);
	len = decode(dot + 1, (size_t)(strrchr(jwt, '.') - dot - 1), text);
	back = json_loadb((char *)text, len, 0, NULL);
	assert_true(json_equal(back, claims));
	json_decref(back);
	json_decref(header);
	json_decref(claims);
	secret_free(jwt);
	EVP_PKEY_free(key);
}

static void
other_keys_are_refused(void **state)
{
	static const struct {
		const char *type, *detail;
		enum jwt_algorithm wanted;
		const char *says;
	} cases[] = {
		{ "RSA", "1024", JWT_AUTO, "a key of type RSA with 1024 bits" },
		{ "EC", "P-521", JWT_AUTO, "a key of type EC with 521 bits" },
		{ "ED25519", NULL, JWT_AUTO, "a key of type ED25519" },
		{ "EC", "P-256", JWT_ES384, "the key is for ES256, not for ES384" },
		{ "EC", "P-256", JWT_PS256, "the key is for ES256, not for PS256" },
		{ "RSA", "2048", JWT_ES256, "the key is for RS256, not for ES256" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		EVP_PKEY *key = make_key(cases[i].type, cases[i].detail);
		struct buf why = BUF_INIT(300);
		enum jwt_algorithm alg;

		assert_int_equal(jwt_choose(key, cases[i].wanted, &alg, &why),
		    -EINVAL);
		if (strstr(why.data, cases[i].says) == NULL)
			fail_msg("%s", why.data);
		buf_free(&why);
		EVP_PKEY_free(key);
	}
}

static void
ids_differ(void **state)
{
	char a[32], b[32];

	(void)state;
	assert_int_equal(jwt_random_id(a, sizeof(a)), 0);
	assert_int_equal(jwt_random_id(b, sizeof(b)), 0);
	assert_int_equal(strlen(a), 22);
	assert_string_not_equal(a, b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(base64url_has_no_padding),
		cmocka_unit_test(every_algorithm_verifies),
		cmocka_unit_test(header_and_claims_are_what_they_were),
		cmocka_unit_test(other_keys_are_refused),
		cmocka_unit_test(ids_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
