/* SPDX-License-Identifier: Apache-2.0 */
/* lib/tls: lists of revoked certificates: which are good, whom they shut out, and when they end. */
#include "tls_crl_rig.h"

static struct tls_crl_report
judged(struct span ca, struct span crl)
{
	struct tls_crl_report r = { .fault = TLS_CRL_FAULT_COUNT };
	struct status st = tls_crls_check(ca, crl, (uint64_t)time(NULL), &r);

	if (is_ok(st))
		r.fault = TLS_CRL_NONE;
	else
		assert_int_equal(st.code, E_DENIED);
	return r;
}

/* ---- judging ---- */

static void
each_fault_is_told(void **state)
{
	static const struct {
		struct list w;
		enum tls_crl_fault fault;
	} rows[] = {
		{ { NOW }, TLS_CRL_NONE },
		{ { NOW, .serial = 5, .more = 3 }, TLS_CRL_NONE },
		{ { NOW, .nid = NID_crl_number }, TLS_CRL_NONE },
		{ { NOW, .serial = 5, .reason = true }, TLS_CRL_NONE },
		{ { .from_s = -60 }, TLS_CRL_NO_END },
		{ { .from_s = 60, .until_s = HOUR }, TLS_CRL_EARLY },
		{ { .from_s = -60, .until_s = -1 }, TLS_CRL_EXPIRED },
		{ { NOW, .nid = NID_delta_crl }, TLS_CRL_PARTIAL },
		{ { NOW, .nid = NID_delta_crl, .critical = true }, TLS_CRL_PARTIAL },
		{ { NOW, .nid = NID_issuing_distribution_point }, TLS_CRL_PARTIAL },
		{ { NOW, .nid = NID_crl_number, .critical = true }, TLS_CRL_PARTIAL },
		{ { NOW, .serial = 5, .reason = true, .reason_critical = true }, TLS_CRL_PARTIAL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		auto_buf struct buf crl = BUF_INIT(TEXT_MAX);
		struct tls_crl_report r;
		char said[128];

		put_list(&crl, &pki.root, &rows[i].w);
		r = judged(buf_span(&pki.root_pem), buf_span(&crl));
		assert_int_equal(r.fault, rows[i].fault);
		if (r.fault == TLS_CRL_NONE) {
			assert_in_range(r.until_s, time(NULL) + HOUR - 30, time(NULL) + HOUR);
			continue;
		}
		assert_int_equal(r.at, 1);
		tls_crl_say(&r, said, sizeof(said));
		assert_true(strncmp(said, r.fault < TLS_CRL_MISSING ? "list 1 " : "authority 1 ",
				r.fault < TLS_CRL_MISSING ? 7 : 12) == 0);
		assert_non_null(tls_crl_kind(r.fault));
	}
}

static void
what_is_no_list_is_refused(void **state)
{
	static const char *const rows[] = { "", "nothing\n",
		"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n",
		"-----BEGIN X509 CRL-----\n" };
	auto_buf struct buf crl = BUF_INIT(TEXT_MAX);
	struct tls_crl_report r;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		r = judged(buf_span(&pki.root_pem), span_str(rows[i]));
		assert_int_equal(r.fault, TLS_CRL_FORMAT);
	}
	/* Also behind a good one, cut at any place. */
	put_list(&crl, &pki.root, &(struct list){ NOW });
	for (size_t len = 1; len < crl.len - 1; len += 7) {
		r = judged(buf_span(&pki.root_pem), span_of(crl.ptr, len));
		assert_int_equal(r.fault, TLS_CRL_FORMAT);
	}
	assert_true(is_ok(buf_put_str(&crl, rows[2])));
	r = judged(buf_span(&pki.root_pem), buf_span(&crl));
	assert_int_equal(r.fault, TLS_CRL_FORMAT);
	assert_int_equal(r.at, 2);
}

static void
only_its_own_authority_signs_it(void **state)
{
	auto_buf struct buf crl = BUF_INIT(TEXT_MAX);
	struct party stranger = issue(
	    &(struct wish){ .cn = "stranger", .from_s = -60, .until_s = 600, .ca = true }, NULL);

	(void)state;
	put_list(&crl, &stranger, &(struct list){ NOW });
	assert_int_equal(judged(buf_span(&pki.root_pem), buf_span(&crl)).fault, TLS_CRL_STRANGER);
	buf_clear(&crl);
	/* Of the right name, with another key. */
	put_list(&crl, &pki.other, &(struct list){ NOW });
	assert_int_equal(judged(buf_span(&pki.root_pem), buf_span(&crl)).fault, TLS_CRL_SIGNATURE);
	buf_clear(&crl);
	put_list_signed(&crl, &pki.root, &(struct list){ NOW }, stranger.key);
	assert_int_equal(judged(buf_span(&pki.root_pem), buf_span(&crl)).fault, TLS_CRL_SIGNATURE);
	party_done(&stranger);
}

static void
each_authority_needs_one(void **state)
{
	auto_buf struct buf cas = BUF_INIT(TEXT_MAX);
	auto_buf struct buf crl = BUF_INIT(TEXT_MAX);
	struct tls_crl_report r;

	(void)state;
	pem_of(&pki.root, &cas, NULL);
	pem_of(&pki.other, &cas, NULL);
	put_list(&crl, &pki.root, &(struct list){ NOW });
	r = judged(buf_span(&cas), buf_span(&crl));
	assert_int_equal(r.fault, TLS_CRL_MISSING);
	assert_int_equal(r.at, 2);
	put_list(&crl, &pki.other, &(struct list){ .from_s = -60, .until_s = 600 });
	r = judged(buf_span(&cas), buf_span(&crl));
	assert_int_equal(r.fault, TLS_CRL_NONE);
	assert_in_range(r.until_s, time(NULL) + 570, time(NULL) + 600); /* the first end */
}

/* Good ones at another time are told apart, with when they count: of all, whichever fault is first.
 */
static void
those_of_another_time_say_when(void **state)
{
	auto_buf struct buf cas = BUF_INIT(TEXT_MAX);
	auto_buf struct buf crl = BUF_INIT(TEXT_MAX);
	time_t now = time(NULL);
	struct tls_crl_report r;

	(void)state;
	pem_of(&pki.root, &cas, NULL);
	pem_of(&pki.other, &cas, NULL);
	put_list(&crl, &pki.root, &(struct list){ .from_s = 60, .until_s = HOUR });
	put_list(&crl, &pki.other, &(struct list){ .from_s = -60, .until_s = -10 });
	r = judged(buf_span(&cas), buf_span(&crl));
	assert_int_equal(r.fault, TLS_CRL_EARLY);
	assert_true(tls_crl_is_of_time(r.fault));
	assert_in_range(r.from_s, now + 58, now + 70);
	assert_in_range(r.until_s, now - 12, now);
	/* One that is not good is so first, whatever the time. */
	put_list(
	    &crl, &pki.root, &(struct list){ .from_s = -60, .until_s = -10, .nid = NID_delta_crl });
	r = judged(buf_span(&cas), buf_span(&crl));
	assert_int_equal(r.fault, TLS_CRL_PARTIAL);
	for (int f = TLS_CRL_NONE; f < TLS_CRL_EARLY; f++)
		assert_false(tls_crl_is_of_time((enum tls_crl_fault)f));
}

static void
one_that_may_sign_none_has_none(void **state)
{
	auto_buf struct buf ca = BUF_INIT(TEXT_MAX);
	auto_buf struct buf crl = BUF_INIT(TEXT_MAX);
	struct party p = issue(
	    &(struct wish){ .cn = "p", .from_s = -60, .until_s = 600, .ca = true }, NULL);

	(void)state;
	extend(p.cert, NID_key_usage, "critical,keyCertSign");
	assert_true(X509_sign(p.cert, p.key, EVP_sha256()) > 0);
	pem_of(&p, &ca, NULL);
	put_list(&crl, &p, &(struct list){ NOW });
	assert_int_equal(judged(buf_span(&ca), buf_span(&crl)).fault, TLS_CRL_USAGE);
	party_done(&p);
}

static void
they_are_few_and_may_be_long(void **state)
{
	auto_buf struct buf crl = BUF_INIT(TEXT_MAX);
	struct tls_crl_report r;

	(void)state;
	for (unsigned i = 0; i < TLS_CRLS_MAX; i++)
		put_list(&crl, &pki.root, &(struct list){ NOW });
	assert_int_equal(judged(buf_span(&pki.root_pem), buf_span(&crl)).fault, TLS_CRL_NONE);
	put_list(&crl, &pki.root, &(struct list){ NOW });
	r = judged(buf_span(&pki.root_pem), buf_span(&crl));
	assert_int_equal(r.fault, TLS_CRL_MANY);
	assert_int_equal(r.at, TLS_CRLS_MAX + 1);
	buf_clear(&crl);
	put_list(&crl, &pki.root, &(struct list){ NOW, .more = 30000 });
	assert_in_range(crl.len, TLS_CRLS_LEN_MAX / 4, TLS_CRLS_LEN_MAX);
	assert_int_equal(judged(buf_span(&pki.root_pem), buf_span(&crl)).fault, TLS_CRL_NONE);
}

/* ---- using ---- */

static struct tls_ctx *
server_with(struct span ca, struct span crl)
{
	const struct tls_server_opts o = { .cert_pem = buf_span(&pki.cert),
		.key_pem = secret_borrow(&pki.key),
		.client_ca_pem = ca,
		.client_crl_pem = crl };
	struct tls_ctx *ctx = NULL;

	assert_true(is_ok(tls_server_ctx_new(&o, &ctx)));
	return ctx;
}

static const struct wish app = { GOOD, .san = SPIFFE };

/* A server with one list of the root. */
static struct tls_ctx *
server_of(const struct list *w)
{
	auto_buf struct buf crl = BUF_INIT(TEXT_MAX);

	put_list(&crl, &pki.root, w);
	return server_with(buf_span(&pki.root_pem), buf_span(&crl));
}

/* Its handshake; of one that succeeds, when it ends. */
static bool
takes(struct tls_ctx *server, struct tls_ctx *client, uint64_t *until_s)
{
	auto_buf struct buf name = BUF_INIT(TLS_PEER_NAME_MAX);
	struct pair l;
	bool ok;

	pair_open(&l, server, client);
	ok = is_ok(l.server_st);
	if (ok)
		assert_true(is_ok(tls_peer_name(l.server, TLS_NAME_URI, &name, until_s)));
	else
		assert_int_equal(tls_failure(l.server), TLS_FAIL_CERT);
	pair_close(&l);
	return ok;
}

static void
a_revoked_one_ends_the_handshake(void **state)
{
	const struct {
		long other; /* than the serial number that is on the list */
		long until_s;
		bool taken;
	} rows[] = {
		{ 0, HOUR, false }, { 1, HOUR, true }, { 1, 120, true },
		{ 1, -1, false }, /* the list is over */
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct tls_ctx *c = client_ctx(&app);
		struct tls_ctx *s = server_of(&(struct list){ .from_s = -60,
		    .until_s = rows[i].until_s,
		    .serial = pki.serial + rows[i].other });
		long most_s = rows[i].until_s < 600 ? rows[i].until_s : 600;
		uint64_t until_s = 0;

		assert_int_equal(takes(s, c, &until_s), rows[i].taken);
		if (rows[i].taken) /* the first end of both, of certificate and list */
			assert_in_range(until_s, time(NULL) + most_s - 30, time(NULL) + most_s);
		tls_ctx_free(s);
		tls_ctx_free(c);
	}
}

static void
the_newest_of_two_counts(void **state)
{
	auto_buf struct buf crl = BUF_INIT(TEXT_MAX);
	struct tls_ctx *c = client_ctx(&app), *s;
	uint64_t until_s = 0;

	(void)state;
	put_list(&crl, &pki.root, &(struct list){ .from_s = -600, .until_s = -60 });
	put_list(&crl, &pki.root, &(struct list){ NOW, .serial = pki.serial });
	assert_int_equal(judged(buf_span(&pki.root_pem), buf_span(&crl)).fault, TLS_CRL_NONE);
	s = server_with(buf_span(&pki.root_pem), buf_span(&crl));
	assert_false(takes(s, c, &until_s));
	tls_ctx_free(s);
	tls_ctx_free(c);
}

/* A client whose chain has an authority between, which is in ca_file, too. */
static struct tls_ctx *
client_between(const struct party *between)
{
	auto_buf struct buf cert = BUF_INIT(64U << 10);
	auto_buf struct buf key = BUF_INIT(64U << 10);
	struct tls_client_opts o = { .ca_pem = buf_span(&pki.ca) };
	struct party p = issue(&app, between);
	struct tls_ctx *ctx = NULL;

	pem_of(&p, &cert, &key);
	pem_of(between, &cert, NULL);
	o.cert_pem = buf_span(&cert);
	o.key_pem = buf_span(&key);
	assert_true(is_ok(tls_client_ctx_new(&o, &ctx)));
	party_done(&p);
	return ctx;
}

static void
the_whole_chain_is_looked_at(void **state)
{
	const struct wish w = { .cn = "m", .from_s = -60, .until_s = 600, .ca = true };
	struct party between = issue(&w, &pki.root);
	long its = pki.serial;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		auto_buf struct buf cas = BUF_INIT(TEXT_MAX);
		auto_buf struct buf crl = BUF_INIT(TEXT_MAX);
		struct tls_ctx *c = client_between(&between), *s;
		uint64_t until_s = 0;

		pem_of(&pki.root, &cas, NULL);
		if (i < 3)
			pem_of(&between, &cas, NULL);
		put_list(&crl, &pki.root, &(struct list){ NOW, .serial = i == 1 ? its : 0 });
		if (i < 3)
			put_list(&crl, &between,
			    &(struct list){ NOW, .serial = i == 2 ? pki.serial : 0 });
		s = server_with(buf_span(&cas), buf_span(&crl));
		/* All is well; the one between is revoked; the leaf; the one between has no list.
		 */
		assert_int_equal(takes(s, c, &until_s), i == 0);
		tls_ctx_free(s);
		tls_ctx_free(c);
	}
	party_done(&between);
}

static void
bad_lists_make_no_context(void **state)
{
	auto_buf struct buf crl = BUF_INIT(TEXT_MAX);
	struct tls_server_opts o = { .cert_pem = buf_span(&pki.cert),
		.key_pem = secret_borrow(&pki.key),
		.client_ca_pem = buf_span(&pki.root_pem),
		.client_crl_pem = SPAN_LIT("x") };
	struct tls_ctx *ctx = NULL;

	(void)state;
	assert_int_equal(tls_server_ctx_new(&o, &ctx).code, E_DENIED);
	put_list(&crl, &pki.other, &(struct list){ NOW });
	o.client_crl_pem = buf_span(&crl);
	assert_int_equal(tls_server_ctx_new(&o, &ctx).code, E_DENIED);
	assert_null(ctx);
}

/* ---- a connection that lives ---- */

static void
another_context_judges_again(void **state)
{
	auto_buf struct buf name = BUF_INIT(TLS_PEER_NAME_MAX);
	struct tls_ctx *plain = server_ctx(buf_span(&pki.root_pem)), *c = client_ctx(&app);
	const struct {
		struct list w;
		enum code code;
	} rows[] = {
		{ { NOW }, E_OK },
		{ { NOW, .serial = pki.serial }, E_DENIED },
		{ { .from_s = -60, .until_s = -1 }, E_DENIED },
		{ { .from_s = -60, .until_s = 60 }, E_OK },
	};
	struct tls_ctx *stranger = server_ctx(buf_span(&pki.ca));
	uint64_t until_s = 0;
	struct pair l;

	(void)state;
	pair_open(&l, plain, c);
	assert_true(is_ok(l.server_st));
	assert_true(is_ok(tls_peer_again(plain, l.server, &until_s)));
	assert_in_range(until_s, time(NULL) + 570, time(NULL) + 600);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct tls_ctx *s = server_of(&rows[i].w);

		assert_int_equal(tls_peer_again(s, l.server, &until_s).code, rows[i].code);
		tls_ctx_free(s);
	}
	assert_in_range(until_s, time(NULL) + 30, time(NULL) + 60);
	/* Other authorities, too. */
	assert_int_equal(tls_peer_again(stranger, l.server, &until_s).code, E_DENIED);
	assert_true(is_ok(tls_peer_name(l.server, TLS_NAME_URI, &name, &until_s)));
	pair_close(&l);
	tls_ctx_free(c);
	c = client_ctx(NULL);
	pair_open(&l, plain, c);
	assert_int_equal(tls_peer_again(plain, l.server, &until_s).code, E_NOTFOUND);
	pair_close(&l);
	tls_ctx_free(c);
	tls_ctx_free(plain);
	tls_ctx_free(stranger);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_fault_is_told),
		cmocka_unit_test(what_is_no_list_is_refused),
		cmocka_unit_test(only_its_own_authority_signs_it),
		cmocka_unit_test(each_authority_needs_one),
		cmocka_unit_test(those_of_another_time_say_when),
		cmocka_unit_test(one_that_may_sign_none_has_none),
		cmocka_unit_test(they_are_few_and_may_be_long),
		cmocka_unit_test(a_revoked_one_ends_the_handshake),
		cmocka_unit_test(the_newest_of_two_counts),
		cmocka_unit_test(the_whole_chain_is_looked_at),
		cmocka_unit_test(bad_lists_make_no_context),
		cmocka_unit_test(another_context_judges_again),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
