/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crl.c: lists of revoked certificates: each is read, and judged by itself.
 *
 * Runs in: supervisor and CLI (judging), gateway (using). Trusts: nothing of a list before its
 * authority's signature was seen; no authority but those that it was given.
 * Owns: nothing. Invariants: a list that is good is whole, ends some day, and is signed by one of
 * the authorities, or several (one may be there twice); time is not looked at.
 * See: tls/crl.h; crl_merge.c (which of them count for whom), crl_use.c (in handshakes); RFC 5280
 * §5, §6.3.
 */
#include "crl_lists.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>

#include <openssl/err.h>
#include <openssl/pem.h>

static_assert(TLS_CLIENT_CAS_MAX <= 64, "a bit for each");

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
	[TLS_CRL_OLDER] = { "older", "of ca_file has an older list than the one in use" },
};

const char *
tls_crl_kind(enum tls_crl_fault f)
{
	return faults[f].kind;
}

void
tls_crl_say(const struct tls_crl_report *report, char *out, size_t size)
{
	bool named = report->authority[0] != '\0';

	(void)snprintf(out, size, "%s %u%s%s%s %s",
	    report->fault < TLS_CRL_MISSING ? "list" : "authority", report->at, named ? " (" : "",
	    report->authority, named ? ")" : "", faults[report->fault].text);
}

const char *
tls_crl_effect(const struct tls_crl_report *report)
{
	if (report->refused)
		return "certificates of that authority are refused until other lists are there";
	return report->fault < TLS_CRL_MISSING ? "that list is left out"
					       : "the list in use of that authority stays";
}

/* ---- authorities ---- */

static struct status
add_authority(void *ctx, X509 *cert, size_t at)
{
	struct crl_authorities *a = ctx;

	if (at == TLS_CLIENT_CAS_MAX)
		return fail(E_FULL);
	if (X509_up_ref(cert) != 1)
		return fail(E_CRYPTO);
	a->certs[a->n++] = cert;
	return OK;
}

struct status
crl_authorities_read(struct crl_authorities *ret, struct span pem)
{
	return tls_pem_certs(pem, ret, add_authority);
}

void
crl_authorities_done(struct crl_authorities *a)
{
	for (size_t i = 0; i < a->n; i++)
		X509_free(a->certs[i]);
	a->n = 0;
}

/* ---- one list ---- */

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

/* All authorities of its name that signed it: one may be there twice, or have had another key. */
static enum tls_crl_fault
find_signers(struct crl_list *l, const struct crl_authorities *by)
{
	bool may = true;

	for (size_t i = 0; i < by->n; i++) {
		if ((l->named >> i & 1) == 0 ||
		    X509_CRL_verify(l->crl, X509_get0_pubkey(by->certs[i])) != 1)
			continue;
		l->by |= UINT64_C(1) << i;
		may = may && (X509_get_key_usage(by->certs[i]) & KU_CRL_SIGN) != 0;
	}
	if (l->by == 0)
		return l->named == 0 ? TLS_CRL_STRANGER : TLS_CRL_SIGNATURE;
	return may ? TLS_CRL_NONE : TLS_CRL_USAGE;
}

static enum tls_crl_fault
judge(struct crl_list *l, const struct crl_authorities *by)
{
	const ASN1_TIME *next = X509_CRL_get0_nextUpdate(l->crl);

	for (size_t i = 0; i < by->n; i++) {
		if (X509_NAME_cmp(
			X509_CRL_get_issuer(l->crl), X509_get_subject_name(by->certs[i])) == 0)
			l->named |= UINT64_C(1) << i;
	}
	if (!is_whole(l->crl))
		return TLS_CRL_PARTIAL;
	if (next == NULL)
		return TLS_CRL_NO_END;
	if (!is_ok(tls_unix_time(X509_CRL_get0_lastUpdate(l->crl), &l->from_s)) ||
	    !is_ok(tls_unix_time(next, &l->until_s)))
		return TLS_CRL_FORMAT;
	l->number = X509_CRL_get_ext_d2i(l->crl, NID_crl_number, NULL, NULL);
	return find_signers(l, by);
}

/* ---- all of them ---- */

static enum tls_crl_fault
read_all(struct crl_lists *t, BIO *bio, const struct crl_authorities *by)
{
	X509_CRL *list;

	while ((list = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL)) != NULL) {
		if (t->n == TLS_CRLS_MAX) {
			X509_CRL_free(list);
			return TLS_CRL_MANY;
		}
		t->all[t->n] = (struct crl_list){ .crl = list };
		t->all[t->n].fault = judge(&t->all[t->n], by);
		t->n++;
		ERR_clear_error(); /* of a signature by another key of that name */
	}
	if (t->n == 0 || ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		return TLS_CRL_FORMAT;
	return TLS_CRL_NONE;
}

void
crl_lists_read(struct crl_lists *ret, struct span pem, const struct crl_authorities *by)
{
	BIO *bio = pem.len == 0 || pem.len > INT_MAX ? NULL
						     : BIO_new_mem_buf(pem.ptr, (int)pem.len);

	ret->n = 0;
	ret->fault = bio == NULL ? TLS_CRL_FORMAT : read_all(ret, bio, by);
	ERR_clear_error();
	BIO_free(bio);
}

void
crl_lists_done(struct crl_lists *t)
{
	for (size_t i = 0; i < t->n; i++) {
		X509_CRL_free(t->all[i].crl);
		ASN1_INTEGER_free(t->all[i].number);
	}
	t->n = 0;
}
