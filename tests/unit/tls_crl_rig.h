/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TLS_CRL_RIG_H
#define TLS_CRL_RIG_H

/* Lists of revoked certificates, made as a test wants them. */
#include "tls_clients_rig.h"

#include <tls/crl.h>

#define TEXT_MAX (4U << 20)
#define HOUR 3600

/* What is on a list that is to be made. */
struct list {
	long from_s, until_s;                   /* from now; until 0: it does not say */
	long serial;                            /* 0: nobody */
	unsigned more;                          /* so many others before it */
	int nid;                                /* an extension of the list */
	bool critical, reason, reason_critical; /* that one; each row's reason */
	long number;                            /* of the list; 0: it has none */
};
#define NOW .from_s = -60, .until_s = HOUR

static void
put_row(X509_CRL *crl, long serial, const struct list *w)
{
	X509_REVOKED *row = X509_REVOKED_new();
	ASN1_INTEGER *number = ASN1_INTEGER_new();
	ASN1_ENUMERATED *why = ASN1_ENUMERATED_new();
	ASN1_TIME *at = X509_gmtime_adj(NULL, -30);

	assert_int_equal(ASN1_INTEGER_set(number, serial), 1);
	assert_int_equal(X509_REVOKED_set_serialNumber(row, number), 1);
	assert_int_equal(X509_REVOKED_set_revocationDate(row, at), 1);
	assert_int_equal(ASN1_ENUMERATED_set(why, CRL_REASON_KEY_COMPROMISE), 1);
	if (w->reason)
		assert_int_equal(
		    X509_REVOKED_add1_ext_i2d(row, NID_crl_reason, why, w->reason_critical, 0), 1);
	assert_int_equal(X509_CRL_add0_revoked(crl, row), 1);
	ASN1_ENUMERATED_free(why);
	ASN1_INTEGER_free(number);
	ASN1_TIME_free(at);
}

static void
put_number(X509_CRL *crl, long n)
{
	ASN1_INTEGER *number = ASN1_INTEGER_new();

	assert_int_equal(ASN1_INTEGER_set(number, n), 1);
	assert_int_equal(X509_CRL_add1_ext_i2d(crl, NID_crl_number, number, 0, 0), 1);
	ASN1_INTEGER_free(number);
}

/* A number, but of a partition. */
static void
put_extension(X509_CRL *crl, int nid, bool critical)
{
	ASN1_INTEGER *number = ASN1_INTEGER_new();
	X509_EXTENSION *x;

	assert_int_equal(ASN1_INTEGER_set(number, 7), 1);
	if (nid != NID_issuing_distribution_point) {
		assert_int_equal(X509_CRL_add1_ext_i2d(crl, nid, number, critical, 0), 1);
		ASN1_INTEGER_free(number);
		return;
	}
	x = X509V3_EXT_conf_nid(NULL, NULL, nid, "onlyuser:TRUE");
	assert_non_null(x);
	assert_int_equal(X509_CRL_add_ext(crl, x, -1), 1);
	X509_EXTENSION_free(x);
	ASN1_INTEGER_free(number);
}

static void
set_times(X509_CRL *crl, const struct list *w)
{
	ASN1_TIME *t = X509_gmtime_adj(NULL, w->from_s);

	assert_int_equal(X509_CRL_set1_lastUpdate(crl, t), 1);
	if (w->until_s != 0) {
		assert_non_null(X509_gmtime_adj(t, w->until_s));
		assert_int_equal(X509_CRL_set1_nextUpdate(crl, t), 1);
	}
	ASN1_TIME_free(t);
}

/* A list of `by`, appended to `out`; signed with `key`, or its own. */
static void
put_list_signed(struct buf *out, const struct party *by, const struct list *w, EVP_PKEY *key)
{
	X509_CRL *crl = X509_CRL_new();
	BIO *b = BIO_new(BIO_s_mem());
	char *text = NULL;
	long n;

	assert_int_equal(X509_CRL_set_version(crl, 1), 1);
	assert_int_equal(X509_CRL_set_issuer_name(crl, X509_get_subject_name(by->cert)), 1);
	set_times(crl, w);
	for (unsigned i = 0; i < w->more; i++)
		put_row(crl, 1000000 + (long)i, w);
	if (w->serial != 0)
		put_row(crl, w->serial, w);
	if (w->number != 0)
		put_number(crl, w->number);
	if (w->nid != 0)
		put_extension(crl, w->nid, w->critical);
	assert_true(X509_CRL_sign(crl, key, EVP_sha256()) > 0);
	assert_int_equal(PEM_write_bio_X509_CRL(b, crl), 1);
	n = BIO_get_mem_data(b, &text);
	assert_true(is_ok(buf_put(out, text, (size_t)n)));
	BIO_free(b);
	X509_CRL_free(crl);
}

static void
put_list(struct buf *out, const struct party *by, const struct list *w)
{
	put_list_signed(out, by, w, by->key);
}

#endif
