/* SPDX-License-Identifier: Apache-2.0 */
/* lib/crypto: the local CA, judged by OpenSSL's strict verifier. */
#include "unit.h"

#include <crypto/cert.h>
#include <crypto/leaf.h>
#include <crypto/crypto.h>

#include <base/cleanup.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <time.h>

struct pair {
	struct buf cert;
	struct secret key;
};

static struct pair ca = { BUF_INIT(CERT_PEM_LEN_MAX), SECRET_NONE };

static int
start(void **state)
{
	(void)state;
	return is_ok(crypto_init()) &&
		       is_ok(cert_ca_create(SPAN_LIT("Sallyport test CA"), &ca.cert, &ca.key))
		   ? 0
		   : -1;
}

static int
stop(void **state)
{
	(void)state;
	buf_done(&ca.cert);
	secret_done(&ca.key);
	return 0;
}

static X509 *
x509(const struct buf *pem)
{
	BIO *bio = BIO_new_mem_buf(pem->ptr, (int)pem->len);
	X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);

	assert_non_null(cert);
	BIO_free(bio);
	return cert;
}

/* X509_V_OK or why not, with everything that Python 3.13 checks. */
static int
strict_error(const struct buf *leaf, const char *host, const char *ip)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	X509 *root = x509(&ca.cert), *cert = x509(leaf);
	X509_VERIFY_PARAM *param;
	int err;

	assert_int_equal(X509_STORE_add_cert(store, root), 1);
	assert_int_equal(X509_STORE_CTX_init(ctx, store, cert, NULL), 1);
	param = X509_STORE_CTX_get0_param(ctx);
	X509_VERIFY_PARAM_set_flags(
	    param, X509_V_FLAG_X509_STRICT | X509_V_FLAG_CHECK_SS_SIGNATURE);
	X509_STORE_CTX_set_purpose(ctx, X509_PURPOSE_SSL_SERVER);
	if (host != NULL)
		assert_int_equal(X509_VERIFY_PARAM_set1_host(param, host, 0), 1);
	if (ip != NULL)
		assert_int_equal(X509_VERIFY_PARAM_set1_ip_asc(param, ip), 1);
	(void)X509_verify_cert(ctx);
	err = X509_STORE_CTX_get_error(ctx);
	X509_free(cert);
	X509_free(root);
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	return err;
}

/* Also one that was made while the clock was ahead, and that nobody would take once it is not. */
static void
leaves_are_due_in_time(void **state)
{
	const int64_t now = 1800000000, ttl = LEAF_TTL_S, month = 30 * 86400;

	(void)state;
	assert_false(leaf_is_due(now + ttl, now));
	assert_false(leaf_is_due(now + ttl, now - CERT_BACKDATE_S));
	assert_true(leaf_is_due(now + ttl, now - CERT_BACKDATE_S - 1));
	assert_true(leaf_is_due(now + ttl, now - 2 * month));
	assert_false(leaf_is_due(now + month + 1, now));
	assert_true(leaf_is_due(now + month, now));
	assert_true(leaf_is_due(now - 1, now));
}

static void
leaves_pass_strict_checks(void **state)
{
	const struct span sans[] = { SPAN_LIT("localhost"), SPAN_LIT("127.0.0.1"), SPAN_LIT("::1"),
		SPAN_LIT("spiffe://example/gateway/a") };
	const struct cert_leaf leaves[] = {
		{ SPAN_LIT("localhost"), sans, COUNT(sans), 90 * 86400, false },
		{ SPAN_EMPTY, sans, COUNT(sans), 3600, true },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(leaves); i++) {
		auto_buf struct buf cert = BUF_INIT(CERT_PEM_LEN_MAX);
		auto_secret struct secret key = SECRET_NONE;
		int64_t until = 0, now = (int64_t)time(NULL);

		assert_true(
		    is_ok(cert_leaf_issue(buf_span(&ca.cert), &ca.key, &leaves[i], &cert, &key)));
		assert_int_equal(strict_error(&cert, "localhost", NULL), X509_V_OK);
		assert_int_equal(strict_error(&cert, NULL, "127.0.0.1"), X509_V_OK);
		assert_int_equal(strict_error(&cert, NULL, "::1"), X509_V_OK);
		assert_int_equal(
		    strict_error(&cert, "example.org", NULL), X509_V_ERR_HOSTNAME_MISMATCH);
		assert_int_equal(
		    strict_error(&cert, NULL, "127.0.0.2"), X509_V_ERR_IP_ADDRESS_MISMATCH);
		assert_true(is_ok(cert_key_matches(buf_span(&cert), &key)));
		assert_int_equal(cert_key_matches(buf_span(&cert), &ca.key).code, E_CRYPTO);
		assert_true(is_ok(cert_not_after(buf_span(&cert), &until)));
		assert_true(llabs(until - now - (int64_t)leaves[i].ttl_s) <= 5);
	}
}

static void
hostile_names_are_refused(void **state)
{
	static const char *const bad[] = { "", "a..b", ".a", "a b", "-a", "a-", "a,DNS:b", "a\nb",
		"*", "1.2.3.4.5:", "\xc3\xa9.example", "spiffe://", "spiffe://a b", "http://x" };

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct span san = span_str(bad[i]);
		struct cert_leaf leaf = { .sans = &san, .san_count = 1, .ttl_s = 60 };
		auto_buf struct buf cert = BUF_INIT(CERT_PEM_LEN_MAX);
		auto_secret struct secret key = SECRET_NONE;

		assert_int_equal(
		    cert_leaf_issue(buf_span(&ca.cert), &ca.key, &leaf, &cert, &key).code,
		    E_SYNTAX);
		assert_int_equal(cert.len, 0);
		assert_null(key.ptr);
	}
}

static void
bad_input_is_refused(void **state)
{
	const struct span san = SPAN_LIT("localhost");
	struct cert_leaf leaf = { .sans = &san, .san_count = 1, .ttl_s = 60 };
	auto_buf struct buf cert = BUF_INIT(CERT_PEM_LEN_MAX), tiny = BUF_INIT(10);
	auto_secret struct secret key = SECRET_NONE, junk = SECRET_NONE;
	int64_t t;

	(void)state;
	assert_true(is_ok(secret_from_span(SPAN_LIT("junk"), &junk)));
	assert_int_equal(
	    cert_leaf_issue(SPAN_LIT("x"), &ca.key, &leaf, &cert, &key).code, E_SYNTAX);
	assert_int_equal(
	    cert_leaf_issue(buf_span(&ca.cert), &junk, &leaf, &cert, &key).code, E_SYNTAX);
	assert_int_equal(
	    cert_leaf_issue(buf_span(&ca.cert), &ca.key, &leaf, &tiny, &key).code, E_FULL);
	assert_null(key.ptr);
	leaf.ttl_s = CERT_LEAF_DAYS_MAX * 86400 + 1;
	assert_int_equal(
	    cert_leaf_issue(buf_span(&ca.cert), &ca.key, &leaf, &cert, &key).code, E_RANGE);
	leaf.ttl_s = 60;
	leaf.san_count = 0;
	assert_int_equal(
	    cert_leaf_issue(buf_span(&ca.cert), &ca.key, &leaf, &cert, &key).code, E_RANGE);
	assert_int_equal(cert_not_after(SPAN_EMPTY, &t).code, E_SYNTAX);
	assert_int_equal(cert_ca_create(SPAN_EMPTY, &cert, &key).code, E_RANGE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(leaves_are_due_in_time),
		cmocka_unit_test(leaves_pass_strict_checks),
		cmocka_unit_test(hostile_names_are_refused),
		cmocka_unit_test(bad_input_is_refused),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
