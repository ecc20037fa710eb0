/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crl.c: lists of revoked certificates: whether they are good for their authorities, and until
 * when.
 *
 * Runs in: supervisor and CLI (judging), gateway (using). Trusts: nothing of a list before its
 * authority's signature was seen; no authority but those that it was given.
 * Owns: a copy of those, with the time that the lists of each cover.
 * Invariants: each list is whole, ends some day, and is signed by one of the authorities; each
 * authority has one; which of two counts, and that one that is over counts no more, is OpenSSL's in
 * each handshake.
 * See: tls/crl.h, peer.c; RFC 5280 §5, §6.3.
 */
#include "ctx.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

struct issuer {
	X509 *cert;
	uint64_t from_s, until_s; /* what its lists cover; 0: it has none */
};

struct tls_crls {
	struct issuer issuers[TLS_CLIENT_CAS_MAX];
	size_t n;
	enum tls_crl_fault fault;
	unsigned at; /* the list or authority that it is of, from 1 on */
};

static const struct {
	const char *kind, *text; /* follows "list 1" or "authority 1" */
} faults[TLS_CRL_FAULT_COUNT] = {
	[TLS_CRL_NONE] = { "none", "is good" },
	[TLS_CRL_FORMAT] = { "invalid", "is none in PEM, or is not there" },
	[TLS_CRL_MANY] = { "invalid", "is one too many (128)" },
	[TLS_CRL_PARTIAL] = { "invalid",
	    "is a part of a list, or has an extension that is not understood" },
	[TLS_CRL_NO_END] = { "invalid", "does not say when the next one comes" },
	[TLS_CRL_STRANGER] = { "mismatch", "is of an authority that is not in ca_file" },
	[TLS_CRL_SIGNATURE] = { "mismatch", "is not signed by its authority" },
	[TLS_CRL_USAGE] = { "mismatch", "is of an authority that may sign none (keyUsage)" },
	[TLS_CRL_MISSING] = { "missing", "of ca_file has no list" },
	[TLS_CRL_EARLY] = { "early", "of ca_file has a list that does not count yet" },
	[TLS_CRL_EXPIRED] = { "expired", "of ca_file has no list that still counts" },
};

const char *
tls_crl_kind(enum tls_crl_fault f)
{
	return faults[f].kind;
}

void
tls_crl_say(const struct tls_crl_report *report, char *out, size_t size)
{
	(void)snprintf(out, size, "%s %u %s",
	    report->fault < TLS_CRL_MISSING ? "list" : "authority", report->at,
	    faults[report->fault].text);
}

/* ---- one list ---- */

static struct status
refuse(struct tls_crls *t, enum tls_crl_fault fault, size_t at)
{
	t->fault = fault;
	t->at = (unsigned)at + 1;
	return fail(E_DENIED);
}

/* Deltas and partitions leave out what is revoked; so may what is not understood. */
static bool
is_whole(X509_CRL *list)
{
	STACK_OF(X509_REVOKED) *rows = X509_CRL_get_REVOKED(list);

	if (X509_CRL_get_ext_by_NID(list, NID_delta_crl, -1) >= 0 ||
	    X509_CRL_get_ext_by_NID(list, NID_issuing_distribution_point, -1) >= 0 ||
	    X509_CRL_get_ext_by_critical(list, 1, -1) >= 0)
		return false;
	for (int i = 0; i < sk_X509_REVOKED_num(rows); i++) { /* none: -1 */
		if (X509_REVOKED_get_ext_by_critical(sk_X509_REVOKED_value(rows, i), 1, -1) >= 0)
			return false;
	}
	return true;
}

static void
cover(struct issuer *i, uint64_t from_s, uint64_t until_s)
{
	i->from_s = i->until_s == 0 || from_s < i->from_s ? from_s : i->from_s;
	i->until_s = until_s > i->until_s ? until_s : i->until_s;
}

/* All authorities of its name that signed it: one may be there twice, or have had another key. */
static struct status
find_issuers(struct tls_crls *t, X509_CRL *list, size_t at, uint64_t from_s, uint64_t until_s)
{
	enum tls_crl_fault fault = TLS_CRL_STRANGER;

	for (size_t i = 0; i < t->n; i++) {
		X509 *cert = t->issuers[i].cert;

		if (X509_NAME_cmp(X509_CRL_get_issuer(list), X509_get_subject_name(cert)) != 0)
			continue;
		if (X509_CRL_verify(list, X509_get0_pubkey(cert)) != 1) {
			fault = fault == TLS_CRL_STRANGER ? TLS_CRL_SIGNATURE : fault;
			continue;
		}
		if ((X509_get_key_usage(cert) & KU_CRL_SIGN) == 0)
			return refuse(t, TLS_CRL_USAGE, at);
		cover(&t->issuers[i], from_s, until_s);
		fault = TLS_CRL_NONE;
	}
	return fault == TLS_CRL_NONE ? OK : refuse(t, fault, at);
}

static struct status
take_list(struct tls_crls *t, X509_CRL *list, size_t at)
{
	const ASN1_TIME *next = X509_CRL_get0_nextUpdate(list);
	uint64_t from_s, until_s;

	if (at == TLS_CRLS_MAX)
		return refuse(t, TLS_CRL_MANY, at);
	if (!is_whole(list))
		return refuse(t, TLS_CRL_PARTIAL, at);
	if (next == NULL)
		return refuse(t, TLS_CRL_NO_END, at);
	if (!is_ok(tls_unix_time(X509_CRL_get0_lastUpdate(list), &from_s)) ||
	    !is_ok(tls_unix_time(next, &until_s)))
		return refuse(t, TLS_CRL_FORMAT, at);
	return find_issuers(t, list, at, from_s, until_s);
}

/* ---- all of them ---- */

static struct status
add_issuer(void *ctx, X509 *cert, size_t at)
{
	struct tls_crls *t = ctx;

	if (at == TLS_CLIENT_CAS_MAX)
		return fail(E_FULL);
	if (X509_up_ref(cert) != 1)
		return fail(E_CRYPTO);
	t->issuers[t->n++].cert = cert;
	return OK;
}

static struct status
take_lists(struct tls_crls *t, struct span pem, X509_STORE *store)
{
	BIO *bio = pem.len == 0 || pem.len > INT_MAX ? NULL
						     : BIO_new_mem_buf(pem.ptr, (int)pem.len);
	struct status st = OK;
	size_t n = 0;
	X509_CRL *list;

	if (bio == NULL)
		return refuse(t, TLS_CRL_FORMAT, 0);
	while (is_ok(st) && (list = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL)) != NULL) {
		st = take_list(t, list, n++);
		if (is_ok(st) && store != NULL && X509_STORE_add_crl(store, list) != 1)
			st = fail(E_CRYPTO);
		X509_CRL_free(list);
		if (is_ok(st))
			ERR_clear_error(); /* of a signature by another key of that name */
	}
	if (is_ok(st) && (n == 0 || ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE))
		st = refuse(t, TLS_CRL_FORMAT, n);
	ERR_clear_error();
	BIO_free(bio);
	return st;
}

static struct status
each_has_one(struct tls_crls *t)
{
	for (size_t i = 0; i < t->n; i++) {
		if (t->issuers[i].until_s == 0)
			return refuse(t, TLS_CRL_MISSING, i);
	}
	return OK;
}

/* Dates are not looked at: a gateway that starts with lists that are over refuses certificates. */
static struct status
fill(struct tls_crls *t, struct span ca_pem, struct span crl_pem, X509_STORE *store)
{
	TRY(tls_pem_certs(ca_pem, t, add_issuer));
	TRY(take_lists(t, crl_pem, store));
	return each_has_one(t);
}

struct status
tls_crls_new(struct span ca_pem, struct span crl_pem, SSL_CTX *ssl, struct tls_crls **ret)
{
	struct tls_crls *t = calloc(1, sizeof(*t));
	struct status st = t == NULL ? fail(E_NOMEM)
				     : fill(t, ca_pem, crl_pem, SSL_CTX_get_cert_store(ssl));

	/* Of the whole chain; one whose list is not there, or is over, is refused, too. */
	if (is_ok(st) && X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ssl),
			     X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL) != 1)
		st = fail(E_CRYPTO);
	if (!is_ok(st)) {
		tls_crls_free(t);
		return st;
	}
	*ret = t;
	return OK;
}

void
tls_crls_free(struct tls_crls *t)
{
	if (t == NULL)
		return;
	for (size_t i = 0; i < t->n; i++)
		X509_free(t->issuers[i].cert);
	free(t);
}

uint64_t
tls_crls_end(const struct tls_crls *t, X509 *authority)
{
	for (size_t i = 0; i < t->n; i++) {
		X509 *cert = t->issuers[i].cert;

		if (X509_NAME_cmp(X509_get_subject_name(authority), X509_get_subject_name(cert)) ==
			0 &&
		    EVP_PKEY_eq(X509_get0_pubkey(authority), X509_get0_pubkey(cert)) == 1)
			return t->issuers[i].until_s;
	}
	return 0;
}

/* ---- judging ---- */

/* Of the authorities' lists together: from when until when, and the first that does not count. */
static struct status
in_time(struct tls_crls *t, uint64_t now_s, struct tls_crl_report *report)
{
	struct status st = OK;

	report->from_s = 0;
	report->until_s = UINT64_MAX;
	for (size_t i = 0; i < t->n; i++) {
		const struct issuer *one = &t->issuers[i];

		if (is_ok(st) && now_s < one->from_s)
			st = refuse(t, TLS_CRL_EARLY, i);
		else if (is_ok(st) && now_s >= one->until_s)
			st = refuse(t, TLS_CRL_EXPIRED, i);
		report->from_s = one->from_s > report->from_s ? one->from_s : report->from_s;
		report->until_s = one->until_s < report->until_s ? one->until_s : report->until_s;
	}
	return st;
}

struct status
tls_crls_check(
    struct span ca_pem, struct span crl_pem, uint64_t now_s, struct tls_crl_report *report)
{
	struct tls_crls *t = calloc(1, sizeof(*t));
	struct status st = t == NULL ? fail(E_NOMEM) : fill(t, ca_pem, crl_pem, NULL);

	report->fault = TLS_CRL_NONE;
	if (is_ok(st))
		st = in_time(t, now_s, report);
	if (st.code == E_DENIED) {
		report->fault = t->fault;
		report->at = t->at;
	}
	tls_crls_free(t);
	return st;
}
