/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crl_use.c: lists of revoked certificates that count in each handshake.
 *
 * Runs in: gateway. Trusts: nothing of a list before its authority's signature was seen.
 * Owns: a copy of the authorities, with the time that the lists of each cover.
 * Invariants: each list is good, each authority has one (of several OpenSSL would choose:
 * crl_merge.c leaves one); that one that is over counts no more, is OpenSSL's in each handshake.
 * See: ctx.h, crl.c, peer.c.
 */
#include "crl_lists.h"

#include <stdlib.h>

struct tls_crls {
	struct crl_authorities authorities;
	struct crl_lists lists;
	uint64_t until_s[TLS_CLIENT_CAS_MAX]; /* 0: it has none */
};

static struct status
take(struct tls_crls *t, const struct crl_list *l, X509_STORE *store)
{
	if (l->fault != TLS_CRL_NONE)
		return fail(E_DENIED);
	for (size_t i = 0; i < t->authorities.n; i++) {
		if (crl_list_is_of(l, i) && l->until_s > t->until_s[i])
			t->until_s[i] = l->until_s;
	}
	return X509_STORE_add_crl(store, l->crl) == 1 ? OK : fail(E_CRYPTO);
}

/* Dates are not looked at: a gateway that starts with lists that are over refuses certificates. */
static struct status
fill(struct tls_crls *t, struct span ca_pem, struct span crl_pem, X509_STORE *store)
{
	TRY(crl_authorities_read(&t->authorities, ca_pem));
	crl_lists_read(&t->lists, crl_pem, &t->authorities);
	if (t->lists.fault != TLS_CRL_NONE)
		return fail(E_DENIED);
	for (size_t i = 0; i < t->lists.n; i++)
		TRY(take(t, &t->lists.all[i], store));
	for (size_t i = 0; i < t->authorities.n; i++) {
		if (t->until_s[i] == 0)
			return fail(E_DENIED);
	}
	return OK;
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
	if (t != NULL)
		crl_lists_done(&t->lists); /* the store has them */
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
	crl_authorities_done(&t->authorities);
	free(t);
}

uint64_t
tls_crls_end(const struct tls_crls *t, X509 *authority)
{
	for (size_t i = 0; i < t->authorities.n; i++) {
		X509 *cert = t->authorities.certs[i];

		if (X509_NAME_cmp(X509_get_subject_name(authority), X509_get_subject_name(cert)) ==
			0 &&
		    EVP_PKEY_eq(X509_get0_pubkey(authority), X509_get0_pubkey(cert)) == 1)
			return t->until_s[i];
	}
	return 0;
}
