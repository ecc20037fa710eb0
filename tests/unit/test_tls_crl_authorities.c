/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of several authorities, and several lists of one: which of them says when what ends. */
#include "tls_crl_rig.h"

static const struct wish app = { GOOD, .san = SPIFFE };

/* One certificate of an authority, for as long as its list lasts. */
struct entry {
	const struct party *by;
	long until_s;
};

/* Judged with these authorities and lists, in this order. */
static struct tls_crl_report
judged(const struct entry *entries, size_t n)
{
	auto_buf struct buf cas = BUF_INIT(TEXT_MAX), crl = BUF_INIT(TEXT_MAX);
	struct tls_crl_report r = { 0 };

	for (size_t i = 0; i < n; i++) {
		pem_of(entries[i].by, &cas, NULL);
		put_list(&crl, entries[i].by,
		    &(struct list){ .from_s = -60, .until_s = entries[i].until_s });
	}
	assert_true(
	    is_ok(tls_crls_check(buf_span(&cas), buf_span(&crl), (uint64_t)time(NULL), &r)));
	return r;
}

static void
the_first_end_of_all_is_told(void **state)
{
	const struct entry rows[2][2] = { { { &pki.root, 600 }, { &pki.other, HOUR } },
		{ { &pki.root, HOUR }, { &pki.other, 600 } } };

	(void)state;
	for (size_t i = 0; i < 2; i++)
		assert_in_range(judged(rows[i], 2).until_s, time(NULL) + 570, time(NULL) + 600);
}

/* One that is still to count is not waited for, in each order. */
static void
one_that_counts_is_looked_at_first(void **state)
{
	static const struct list rows[2] = { { .from_s = -60, .until_s = HOUR },
		{ .from_s = 600, .until_s = 1200 } };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		auto_buf struct buf crl = BUF_INIT(TEXT_MAX);
		struct tls_crl_report r = { 0 };

		put_list(&crl, &pki.root, &rows[i]);
		put_list(&crl, &pki.root, &rows[1 - i]);
		assert_true(is_ok(tls_crls_check(
		    buf_span(&pki.root_pem), buf_span(&crl), (uint64_t)time(NULL), &r)));
		assert_in_range(r.until_s, time(NULL) + HOUR - 30, time(NULL) + HOUR);
	}
}

static void
it_ends_to_the_second(void **state)
{
	auto_buf struct buf crl = BUF_INIT(TEXT_MAX);
	struct tls_crl_report r = { 0 };
	uint64_t until_s, from_s = (uint64_t)time(NULL) - 120;

	(void)state;
	put_list(&crl, &pki.root, &(struct list){ NOW });
	assert_true(is_ok(
	    tls_crls_check(buf_span(&pki.root_pem), buf_span(&crl), (uint64_t)time(NULL), &r)));
	until_s = r.until_s;
	assert_true(
	    is_ok(tls_crls_check(buf_span(&pki.root_pem), buf_span(&crl), until_s - 1, &r)));
	for (uint64_t s = until_s; s < until_s + 2; s++) {
		assert_int_equal(
		    tls_crls_check(buf_span(&pki.root_pem), buf_span(&crl), s, &r).code, E_DENIED);
		assert_int_equal(r.fault, TLS_CRL_EXPIRED);
	}
	/* Clocks that are far off. */
	assert_int_equal(
	    tls_crls_check(buf_span(&pki.root_pem), buf_span(&crl), UINT64_MAX, &r).code, E_DENIED);
	assert_int_equal(r.fault, TLS_CRL_EXPIRED);
	assert_int_equal(
	    tls_crls_check(buf_span(&pki.root_pem), buf_span(&crl), 0, &r).code, E_DENIED);
	assert_int_equal(r.fault, TLS_CRL_EARLY);
	while (!is_ok(tls_crls_check(buf_span(&pki.root_pem), buf_span(&crl), from_s, &r)))
		from_s++;
	assert_in_range(from_s, time(NULL) - 70, time(NULL) - 60);
}

static void
more_authorities_than_there_may_be(void **state)
{
	auto_buf struct buf cas = BUF_INIT(TEXT_MAX), crl = BUF_INIT(TEXT_MAX);
	struct tls_crl_report r = { 0 };

	(void)state;
	for (unsigned i = 0; i < TLS_CLIENT_CAS_MAX; i++)
		pem_of(&pki.root, &cas, NULL);
	put_list(&crl, &pki.root, &(struct list){ NOW });
	assert_true(
	    is_ok(tls_crls_check(buf_span(&cas), buf_span(&crl), (uint64_t)time(NULL), &r)));
	pem_of(&pki.root, &cas, NULL);
	assert_int_equal(
	    tls_crls_check(buf_span(&cas), buf_span(&crl), (uint64_t)time(NULL), &r).code, E_FULL);
}

/* An authority of another name with the same key: one that was renamed. */
static struct party
renamed(const struct party *p)
{
	struct party twin = { X509_dup(p->cert), p->key };
	X509_NAME *name = X509_NAME_new();

	assert_true(twin.cert != NULL && name != NULL && EVP_PKEY_up_ref(p->key) == 1);
	name_add(name, "renamed");
	assert_int_equal(X509_set_subject_name(twin.cert, name), 1);
	assert_int_equal(X509_set_issuer_name(twin.cert, name), 1);
	assert_true(X509_sign(twin.cert, twin.key, EVP_sha256()) > 0);
	X509_NAME_free(name);
	return twin;
}

/* When the certificate of a client of the root ends, for a server with these. */
static uint64_t
end_with(const struct entry *entries, size_t n, struct tls_ctx *client)
{
	auto_buf struct buf cas = BUF_INIT(TEXT_MAX), crl = BUF_INIT(TEXT_MAX);
	auto_buf struct buf name = BUF_INIT(TLS_PEER_NAME_MAX);
	struct tls_server_opts o = { .cert_pem = buf_span(&pki.cert),
		.key_pem = secret_borrow(&pki.key) };
	struct tls_ctx *server = NULL;
	uint64_t until_s = 0;
	struct pair l;

	for (size_t i = 0; i < n; i++) {
		pem_of(entries[i].by, &cas, NULL);
		put_list(&crl, entries[i].by,
		    &(struct list){ .from_s = -60, .until_s = entries[i].until_s });
	}
	o.client_ca_pem = buf_span(&cas);
	o.client_crl_pem = buf_span(&crl);
	assert_true(is_ok(tls_server_ctx_new(&o, &server)));
	pair_open(&l, server, client);
	assert_true(is_ok(l.server_st));
	assert_true(is_ok(tls_peer_name(l.server, TLS_NAME_URI, &name, &until_s)));
	pair_close(&l);
	tls_ctx_free(server);
	return until_s;
}

/* Not another one's with its key, nor of its name (which OpenSSL takes by their order). */
static void
the_end_is_that_of_its_own_authority(void **state)
{
	struct party twin = renamed(&pki.root);
	const struct entry rows[][2] = {
		{ { &pki.root, 300 }, { &pki.other, 60 } },
		{ { &twin, 60 }, { &pki.root, 300 } },
		{ { &pki.root, 300 }, { &twin, 60 } },
	};
	struct tls_ctx *client = client_ctx(&app);

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_in_range(end_with(rows[i], 2, client), time(NULL) + 270, time(NULL) + 300);
	tls_ctx_free(client);
	party_done(&twin);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_end_of_all_is_told),
		cmocka_unit_test(one_that_counts_is_looked_at_first),
		cmocka_unit_test(it_ends_to_the_second),
		cmocka_unit_test(more_authorities_than_there_may_be),
		cmocka_unit_test(the_end_is_that_of_its_own_authority),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
