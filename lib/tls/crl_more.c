/* SPDX-License-Identifier: Apache-2.0 */
/*
 * crl_more.c: does one file of lists revoke what another one does not?
 *
 * Runs in: supervisor. Trusts: both files: they were judged, and are in use or about to be.
 * Owns: nothing. Invariants: a certificate is its authority's name and its serial; what cannot be
 * compared is more. See: tls/crl.h; src/supervisor/clients.c.
 */
#include "ctx.h"

#include <limits.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

struct lists {
	X509_CRL *all[TLS_CRLS_MAX];
	int n;
};

static void
lists_done(struct lists *t)
{
	for (int i = 0; i < t->n; i++)
		X509_CRL_free(t->all[i]);
	t->n = 0;
}

static void
lists_read(struct lists *t, struct span pem)
{
	BIO *bio = pem.len == 0 || pem.len > INT_MAX ? NULL
						     : BIO_new_mem_buf(pem.ptr, (int)pem.len);
	X509_CRL *list;

	while (bio != NULL && t->n < TLS_CRLS_MAX &&
	       (list = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL)) != NULL)
		t->all[t->n++] = list;
	ERR_clear_error(); /* of its end */
	BIO_free(bio);
}

static bool
names(const struct lists *t, const X509_CRL *of, const X509_REVOKED *one)
{
	const ASN1_INTEGER *serial = X509_REVOKED_get0_serialNumber(one);
	X509_REVOKED *found;

	for (int i = 0; i < t->n; i++) {
		if (X509_NAME_cmp(X509_CRL_get_issuer(t->all[i]), X509_CRL_get_issuer(of)) == 0 &&
		    X509_CRL_get0_by_serial(t->all[i], &found, serial) != 0)
			return true;
	}
	return false;
}

bool
tls_crls_more(struct span old_pem, struct span fresh_pem)
{
	struct lists old = { .n = 0 }, fresh = { .n = 0 };
	bool more = false;

	lists_read(&old, old_pem);
	lists_read(&fresh, fresh_pem);
	for (int i = 0; i < fresh.n && !more; i++) {
		STACK_OF(X509_REVOKED) *rows = X509_CRL_get_REVOKED(fresh.all[i]);

		for (int j = 0; j < sk_X509_REVOKED_num(rows) && !more; j++)
			more = !names(&old, fresh.all[i], sk_X509_REVOKED_value(rows, j));
	}
	lists_done(&old);
	lists_done(&fresh);
	return more;
}
