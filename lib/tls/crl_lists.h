/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TLS_CRL_LISTS_H
#define TLS_CRL_LISTS_H

/* Inside lib/tls only: lists of revoked certificates, each judged by its authorities. */
#include "ctx.h"

#include <openssl/x509v3.h>

struct crl_authorities {
	X509 *certs[TLS_CLIENT_CAS_MAX];
	size_t n;
};

struct crl_list {
	X509_CRL *crl;
	ASN1_INTEGER *number; /* NULL: it has none */
	uint64_t from_s, until_s;
	uint64_t named, by;       /* bits of the authorities of its name, and that signed it */
	enum tls_crl_fault fault; /* but of time, and of authorities */
};

struct crl_lists {
	struct crl_list all[TLS_CRLS_MAX];
	size_t n;
	enum tls_crl_fault fault; /* of the file: none of them is to be used */
};

/* E_SYNTAX, E_FULL, E_CRYPTO. Owner: crl_authorities_done(), on failure too. */
MUST_USE struct status crl_authorities_read(struct crl_authorities *ret, struct span pem);
void crl_authorities_done(struct crl_authorities *a);
/* What is wrong stands in them. Owner: crl_lists_done(). */
void crl_lists_read(struct crl_lists *ret, struct span pem, const struct crl_authorities *by);
void crl_lists_done(struct crl_lists *t);
/* Does it count for the authority of that number? */
static inline bool
crl_list_is_of(const struct crl_list *l, size_t authority)
{
	return l->fault == TLS_CRL_NONE && (l->by >> authority & 1) != 0;
}

#endif
