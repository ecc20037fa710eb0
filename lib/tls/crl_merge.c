/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crl_merge.c: lists that were read, beside those in use: which of both count for each authority.
 *
 * Runs in: supervisor, CLI. Trusts: nothing of a list before its authority's signature was seen.
 * Owns: nothing. Invariants: what is wrong with one authority's lists keeps no other one's out;
 * where an authority's are not good, not yet, no more, or older than those in use, the latter stay;
 * of two lists the one with the higher number is the newer one, where both have one, and else the
 * one that was made later; each authority has one list in what comes of it, so that no older one
 * counts when that is over. See: tls/crl.h, crl.c; src/supervisor/clients.c.
 */
#include "crl_lists.h"

#include <stdio.h>
#include <stdlib.h>

#include <base/cleanup.h>
#include <openssl/err.h>
#include <openssl/pem.h>

struct merge {
	struct crl_authorities authorities;
	struct crl_lists used, fresh;
	const struct crl_list
	    *chosen[TLS_CLIENT_CAS_MAX]; /* of each authority; NULL: it has none */
	uint64_t now_s;
	uint64_t blamed; /* bits of the authorities that report->fault is of */
	struct tls_crl_report *report;
};

/* ---- what is said ---- */

static void
name_of(X509 *authority, char out[TLS_CRL_NAME_MAX])
{
	BIO *b = BIO_new(BIO_s_mem());
	char *text = NULL;
	long n = 0;

	if (b != NULL && X509_NAME_print_ex(b, X509_get_subject_name(authority), 0,
			     XN_FLAG_RFC2253) >= 0) /* printable ASCII */
		n = BIO_get_mem_data(b, &text);
	n = n < TLS_CRL_NAME_MAX ? n : TLS_CRL_NAME_MAX - 1;
	(void)snprintf(out, TLS_CRL_NAME_MAX, "%.*s", (int)n, n > 0 ? text : "");
	BIO_free(b);
	ERR_clear_error();
}

/* The first one, and before all others one that is not of time. `named`: bits of authorities. */
static void
note(struct merge *m, enum tls_crl_fault fault, size_t at, uint64_t named)
{
	struct tls_crl_report *r = m->report;

	if (r->fault != TLS_CRL_NONE &&
	    (!tls_crl_is_passing(r->fault) || tls_crl_is_passing(fault)))
		return;
	r->fault = fault;
	r->at = (unsigned)at + 1;
	r->authority[0] = '\0';
	m->blamed = named;
	for (size_t i = 0; i < m->authorities.n; i++) {
		if ((named >> i & 1) != 0) {
			name_of(m->authorities.certs[i], r->authority);
			return;
		}
	}
}

/* ---- which of them ---- */

static bool
is_newer(const struct crl_list *a, const struct crl_list *b)
{
	int order = a->number == NULL || b->number == NULL ? 0
							   : ASN1_INTEGER_cmp(a->number, b->number);

	return order != 0 ? order > 0 : a->from_s > b->from_s;
}

static bool
counts(const struct crl_list *l, uint64_t now_s)
{
	return l->from_s <= now_s && now_s < l->until_s;
}

/* The newest that has begun, whether it is over or not: what is older counts no more. */
static bool
is_better(const struct crl_list *a, const struct crl_list *b, uint64_t now_s)
{
	bool a_began = a->from_s <= now_s, b_began = b->from_s <= now_s;

	return a_began != b_began ? a_began : is_newer(a, b);
}

/* Of two that are equal the later one in the file. NULL: there is none. */
static const struct crl_list *
best_of(const struct merge *m, const struct crl_lists *t, size_t authority)
{
	const struct crl_list *best = NULL;

	for (size_t i = 0; i < t->n; i++) {
		const struct crl_list *l = &t->all[i];

		if (crl_list_is_of(l, authority) && (best == NULL || !is_better(best, l, m->now_s)))
			best = l;
	}
	return best;
}

static enum tls_crl_fault
fault_of(const struct merge *m, const struct crl_list *fresh, const struct crl_list *used)
{
	if (fresh == NULL)
		return TLS_CRL_MISSING;
	if (m->now_s < fresh->from_s)
		return TLS_CRL_EARLY;
	if (m->now_s >= fresh->until_s)
		return TLS_CRL_EXPIRED;
	if (used != NULL && is_better(used, fresh, m->now_s))
		return TLS_CRL_OLDER;
	return TLS_CRL_NONE;
}

static void
choose(struct merge *m, size_t authority)
{
	const struct crl_list *fresh = best_of(m, &m->fresh, authority);
	const struct crl_list *used = best_of(m, &m->used, authority);
	enum tls_crl_fault fault = fault_of(m, fresh, used);

	m->chosen[authority] = fresh;
	if (fault == TLS_CRL_NONE)
		return;
	note(m, fault, authority, UINT64_C(1) << authority);
	if (used == NULL) {
		m->report->usable = m->report->usable && fresh != NULL;
		m->report->bare = true;
	} else if (fresh == NULL || counts(used, m->now_s) || is_better(used, fresh, m->now_s)) {
		m->chosen[authority] = used;
	}
}

/* One may be several authorities', where these have a name and a key in common. */
static bool
is_one_of(const struct crl_list *const *chosen, size_t n, const struct crl_list *l)
{
	for (size_t i = 0; i < n; i++) {
		if (chosen[i] == l)
			return true;
	}
	return false;
}

static bool
is_taken(const struct merge *m, const struct crl_list *l)
{
	return is_one_of(m->chosen, m->authorities.n, l);
}

/* ---- what comes of it ---- */

/* Of the authorities together: from when until when; and when each one's is over. */
static void
say_when(struct merge *m)
{
	struct tls_crl_report *r = m->report;

	r->from_s = 0;
	r->until_s = UINT64_MAX;
	for (size_t i = 0; i < m->authorities.n; i++) {
		const struct crl_list *l = m->chosen[i];

		r->from_s = l->from_s > r->from_s ? l->from_s : r->from_s;
		r->until_s = l->until_s < r->until_s ? l->until_s : r->until_s;
		if (is_one_of(m->chosen, i, l))
			continue;
		name_of(m->authorities.certs[i], r->ends[r->nends].authority);
		r->ends[r->nends++].until_s = l->until_s;
	}
}

static void
say_refused(struct merge *m)
{
	for (size_t i = 0; i < m->authorities.n; i++) {
		if ((m->blamed >> i & 1) != 0 && !counts(m->chosen[i], m->now_s))
			m->report->refused = true;
	}
}

static struct status
put_all(const struct merge *m, BIO *b)
{
	const struct crl_lists *const both[] = { &m->fresh, &m->used };

	for (size_t k = 0; k < 2; k++) {
		for (size_t i = 0; i < both[k]->n; i++) {
			const struct crl_list *l = &both[k]->all[i];

			if (is_taken(m, l) && PEM_write_bio_X509_CRL(b, l->crl) != 1)
				return fail(E_CRYPTO);
		}
	}
	return OK;
}

/* The same bytes where all of them are taken: their hash is the file's. */
static struct status
put_pem(const struct merge *m, struct span fresh_pem, struct buf *out)
{
	bool all = true;
	BIO *b;
	char *text = NULL;
	struct status st;

	for (size_t i = 0; i < m->fresh.n; i++)
		all = all && is_taken(m, &m->fresh.all[i]);
	for (size_t i = 0; i < m->used.n; i++)
		all = all && !is_taken(m, &m->used.all[i]);
	if (all)
		return buf_put_span(out, fresh_pem);
	b = BIO_new(BIO_s_mem());
	st = b == NULL ? fail(E_NOMEM) : put_all(m, b);
	if (is_ok(st)) {
		long n = BIO_get_mem_data(b, &text);

		st = buf_put_span(out, span_of(text, (size_t)n));
	}
	BIO_free(b);
	ERR_clear_error();
	return st;
}

static void
judge(struct merge *m)
{
	struct tls_crl_report *r = m->report;

	if (m->fresh.fault != TLS_CRL_NONE) {
		note(m, m->fresh.fault, m->fresh.n, 0);
		r->usable = false;
		return;
	}
	for (size_t i = 0; i < m->fresh.n; i++) {
		const struct crl_list *l = &m->fresh.all[i];

		if (l->fault != TLS_CRL_NONE)
			note(m, l->fault, i, l->named);
		r->soon = r->soon || (l->fault == TLS_CRL_NONE && m->now_s < l->from_s);
	}
	for (size_t i = 0; i < m->authorities.n; i++)
		choose(m, i);
	if (!r->usable)
		return;
	say_when(m);
	say_refused(m);
}

struct status
tls_crls_merge(struct span ca_pem, struct span used_pem, struct span fresh_pem, uint64_t now_s,
    struct buf *out, struct tls_crl_report *report)
{
	struct merge *m = calloc(1, sizeof(*m));
	struct status st;

	*report = (struct tls_crl_report){ .usable = true };
	if (m == NULL)
		return fail(E_NOMEM);
	m->now_s = now_s;
	m->report = report;
	st = crl_authorities_read(&m->authorities, ca_pem);
	if (is_ok(st)) {
		crl_lists_read(&m->fresh, fresh_pem, &m->authorities);
		if (used_pem.len > 0)
			crl_lists_read(&m->used, used_pem, &m->authorities);
		judge(m);
		st = report->usable ? put_pem(m, fresh_pem, out) : OK;
		if (is_ok(st) && report->fault != TLS_CRL_NONE)
			st = fail(E_DENIED);
	}
	crl_lists_done(&m->fresh);
	crl_lists_done(&m->used);
	crl_authorities_done(&m->authorities);
	free(m);
	return st;
}

struct status
tls_crls_check(
    struct span ca_pem, struct span crl_pem, uint64_t now_s, struct tls_crl_report *report)
{
	auto_buf struct buf unused = BUF_INIT(2 * TLS_CRLS_LEN_MAX);

	return tls_crls_merge(ca_pem, SPAN_EMPTY, crl_pem, now_s, &unused, report);
}
