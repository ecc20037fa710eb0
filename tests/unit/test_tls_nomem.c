/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lib/http, lib/crypto, lib/tls when memory ends: the n-th allocation fails, for
 * each n until all of them succeed. Each time the call says so, and what it was
 * to write into is as it was. A sanitizer owns malloc itself: under one, nothing
 * fails, and it sees that nothing leaks.
 */
#include "unit.h"

#include <tls/crl.h>
#include <tls/tls.h>

#include <crypto/cert.h>
#include <crypto/crypto.h>
#include <crypto/note.h>
#include <crypto/seal.h>

#include "test_http.h"

#include <errno.h>
#include <time.h>

#include <openssl/pem.h>
#include <openssl/x509.h>

#define TRIES_MAX 20000

static long fail_at; /* 0: never */

#ifndef __SANITIZE_ADDRESS__

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *p, size_t size);
void *malloc(size_t size);
void *calloc(size_t count, size_t size);
void *realloc(void *p, size_t size);

static bool
fails(void)
{
	if (fail_at == 0 || --fail_at > 0)
		return false;
	errno = ENOMEM;
	return true;
}

void *
malloc(size_t size)
{
	return fails() ? NULL : __libc_malloc(size);
}

void *
calloc(size_t count, size_t size)
{
	return fails() ? NULL : __libc_calloc(count, size);
}

void *
realloc(void *p, size_t size)
{
	return fails() ? NULL : __libc_realloc(p, size);
}

#endif

/* What is tried; each leaves nothing behind, whatever happens. */
typedef struct status try_fn(void);

static struct buf ca = BUF_INIT(CERT_PEM_LEN_MAX), cert = BUF_INIT(CERT_PEM_LEN_MAX);
static struct secret ca_key, key, seal_key;
static struct sign_key *sign;
static struct buf sealed = BUF_INIT(4096);
static struct buf list_ca = BUF_INIT(CERT_PEM_LEN_MAX), lists = BUF_INIT(CERT_PEM_LEN_MAX);

static struct status
try_request(void)
{
	static const char in[] = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
				 "1\r\na\r\n0\r\nA: b\r\n\r\n";
	struct span rest = span_of(in, sizeof(in) - 1);
	struct http_request_parser *p = NULL;
	struct http_step step;

	TRY(http_request_parser_new(NULL, &p));
	do {
		step = http_request_feed(p, rest);
		rest = span_from(rest, step.used);
	} while (step.event < HTTP_EV_END);
	http_request_parser_free(p);
	if (step.event == HTTP_EV_END)
		return OK;
	return step.error == 503 ? fail(E_NOMEM) : fail(E_PROTO);
}

static struct status
try_sse(void)
{
	struct span in = SPAN_LIT("event: a\ndata: b\n\n");
	struct sse_reader r;
	struct sse_event e;
	struct status st;

	sse_reader_init(&r, 0, 0);
	st = sse_reader_feed(&r, &in, &e);
	sse_reader_done(&r);
	return st;
}

static struct status
try_seal(void)
{
	struct buf out = BUF_INIT(4096);
	struct status st = seal(&seal_key, SPAN_LIT("aad"), SPAN_LIT("text"), &out);

	if (!is_ok(st))
		assert_int_equal(out.len, 0);
	buf_done(&out);
	return st;
}

static struct status
try_open(void)
{
	struct buf out = BUF_INIT(4096);
	struct status st = seal_open(&seal_key, SPAN_LIT("aad"), buf_span(&sealed), &out);

	if (!is_ok(st))
		assert_int_equal(out.len, 0);
	buf_done(&out);
	return st;
}

static struct status
try_note(void)
{
	struct buf note = BUF_INIT(4096);
	struct status st = note_sign(SPAN_LIT("text\n"), SPAN_LIT("name"), sign, &note);
	uint8_t pub[ED25519_KEY_LEN];
	struct note_verifier v;
	struct span text;

	sign_key_public(sign, pub);
	if (is_ok(st))
		st = note_verifier_init(&v, SPAN_LIT("name"), pub);
	if (is_ok(st))
		st = note_verify(buf_span(&note), &v, &text);
	buf_done(&note);
	return st;
}

static struct status
try_leaf(void)
{
	const struct span san = SPAN_LIT("localhost");
	const struct cert_leaf leaf = { .sans = &san, .san_count = 1, .ttl_s = 60 };
	struct buf out = BUF_INIT(CERT_PEM_LEN_MAX);
	struct secret out_key = SECRET_NONE;
	struct status st = cert_leaf_issue(buf_span(&ca), &ca_key, &leaf, &out, &out_key);

	if (!is_ok(st))
		assert_null(out_key.ptr);
	buf_done(&out);
	secret_done(&out_key);
	return st;
}

static struct status
try_server(void)
{
	const struct tls_server_opts o = { .cert_pem = buf_span(&cert),
		.key_pem = secret_borrow(&key) };
	struct tls_ctx *ctx = NULL;
	struct tls_conn *conn = NULL;
	struct status st = tls_server_ctx_new(&o, &ctx);

	if (!is_ok(st))
		assert_null(ctx);
	else
		st = tls_accept_new(ctx, 0, &conn);
	tls_conn_free(conn);
	tls_ctx_free(ctx);
	return st;
}

/* Two lists of the authority: the one that counts for longer comes last, and is never lost. */
static struct status
try_lists(void)
{
	struct tls_crl_report report = { .until_s = 0 };
	struct status st = tls_crls_check(
	    buf_span(&list_ca), buf_span(&lists), (uint64_t)time(NULL), &report);

	if (is_ok(st))
		assert_true(report.until_s > (uint64_t)time(NULL) + 1800);
	return st;
}

static void
put_pem(struct buf *out, BIO *b)
{
	char *text = NULL;
	long n = BIO_get_mem_data(b, &text);

	must(buf_put(out, text, (size_t)n));
	BIO_free(b);
}

static void
put_list(X509 *by, EVP_PKEY *with, long until_s)
{
	X509_CRL *crl = X509_CRL_new();
	ASN1_TIME *t = X509_gmtime_adj(NULL, -60);
	BIO *b = BIO_new(BIO_s_mem());

	assert_int_equal(X509_CRL_set_version(crl, 1), 1);
	assert_int_equal(X509_CRL_set_issuer_name(crl, X509_get_subject_name(by)), 1);
	assert_int_equal(X509_CRL_set1_lastUpdate(crl, t), 1);
	assert_non_null(X509_gmtime_adj(t, until_s));
	assert_int_equal(X509_CRL_set1_nextUpdate(crl, t), 1);
	assert_true(X509_CRL_sign(crl, with, EVP_sha256()) > 0);
	assert_int_equal(PEM_write_bio_X509_CRL(b, crl), 1);
	put_pem(&lists, b);
	ASN1_TIME_free(t);
	X509_CRL_free(crl);
}

static void
make_lists(void)
{
	X509 *by = X509_new();
	EVP_PKEY *with = EVP_EC_gen("P-256");
	BIO *b = BIO_new(BIO_s_mem());

	assert_int_equal(X509_NAME_add_entry_by_txt(X509_get_subject_name(by), "CN", MBSTRING_UTF8,
			     (const unsigned char *)"by", -1, -1, 0),
	    1);
	assert_non_null(X509_gmtime_adj(X509_getm_notBefore(by), -60));
	assert_non_null(X509_gmtime_adj(X509_getm_notAfter(by), 3600));
	assert_int_equal(X509_set_pubkey(by, with), 1);
	assert_true(X509_sign(by, with, EVP_sha256()) > 0);
	assert_int_equal(PEM_write_bio_X509(b, by), 1);
	put_pem(&list_ca, b);
	put_list(by, with, 600);
	put_list(by, with, 3600);
	EVP_PKEY_free(with);
	X509_free(by);
}

static int
start(void **state)
{
	const struct span san = SPAN_LIT("localhost");
	const struct cert_leaf leaf = { .sans = &san, .san_count = 1, .ttl_s = 60 };
	struct secret raw = SECRET_NONE;

	(void)state;
	must(crypto_init());
	must(tls_init());
	must(cert_ca_create(SPAN_LIT("CA"), &ca, &ca_key));
	must(cert_leaf_issue(buf_span(&ca), &ca_key, &leaf, &cert, &key));
	must(secret_random(SEAL_KEY_LEN, &seal_key));
	must(seal(&seal_key, SPAN_LIT("aad"), SPAN_LIT("text"), &sealed));
	must(sign_key_generate(&raw));
	must(sign_key_new(&raw, &sign));
	secret_done(&raw);
	make_lists();
	return 0;
}

static int
stop(void **state)
{
	(void)state;
	buf_done(&ca);
	buf_done(&cert);
	buf_done(&sealed);
	buf_done(&list_ca);
	buf_done(&lists);
	secret_done(&ca_key);
	secret_done(&key);
	secret_done(&seal_key);
	sign_key_free(sign);
	return 0;
}

static void
each_failure_is_told(void **state)
{
	static const struct {
		const char *name;
		try_fn *try;
		long stride; /* 1 where data is held; more where thousands of steps would be slow */
	} rows[] = {
		{ "request", try_request, 1 },
		{ "sse", try_sse, 1 },
		{ "seal", try_seal, 1 },
		{ "open", try_open, 1 },
		{ "note", try_note, 1 },
		{ "leaf", try_leaf, 17 },
		{ "server", try_server, 3 },
		{ "lists", try_lists, 1 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		long n = 0, left = 0, failed = 0;
		struct status st = OK;

		for (n = 1; n < TRIES_MAX && left == 0; n += rows[i].stride) {
			fail_at = n; /* counted down in malloc() */
			st = rows[i].try();
			left = fail_at; /* not used up: no allocation failed */
			fail_at = 0;
			failed += !is_ok(st);
		}
		if (!is_ok(st))
			print_error("%s: %s\n", rows[i].name, status_text(st));
		assert_true(is_ok(st));
#ifndef __SANITIZE_ADDRESS__
		assert_true(failed > 0);
#endif
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(each_failure_is_told) };

	return cmocka_run_group_tests(tests, start, stop);
}
