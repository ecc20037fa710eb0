/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CRYPTO_CERT_H
#define CRYPTO_CERT_H

/*
 * A local certificate authority and its leaves (RFC 5280), strict enough for
 * OpenSSL's X509_V_FLAG_X509_STRICT. Keys: EC P-256, PKCS#8 PEM.
 */
#include <crypto/secret.h>

#define CERT_BACKDATE_S 300 /* a leaf is valid from so long before it is made: clocks differ */
#define CERT_PEM_LEN_MAX 16384
#define CERT_NAME_LEN_MAX 64 /* a common name, bytes */
#define CERT_SANS_MAX 32
#define CERT_CA_DAYS 3650
#define CERT_LEAF_DAYS_MAX 397

struct cert_leaf {
	struct span common_name; /* may be empty */
	const struct span *sans; /* each a DNS name, an IP address, or a spiffe:// URI */
	size_t san_count;        /* 1..CERT_SANS_MAX */
	uint32_t ttl_s;          /* seconds, 1..CERT_LEAF_DAYS_MAX days; begins five minutes ago */
	bool client_auth;        /* besides serverAuth, for links between hosts */
};

/* A self-signed CA, path length 0. E_RANGE, E_CRYPTO, E_NOMEM, E_FULL. */
MUST_USE struct status cert_ca_create(
    struct span common_name, struct buf *ret_cert_pem, struct secret *ret_key_pem);
/* A leaf with a fresh key, signed by the CA. E_SYNTAX: a PEM or a name. */
MUST_USE struct status cert_leaf_issue(struct span ca_cert_pem, const struct secret *ca_key_pem,
    const struct cert_leaf *leaf, struct buf *ret_cert_pem, struct secret *ret_key_pem);
/* notAfter of the first certificate, Unix seconds. E_SYNTAX. */
MUST_USE struct status cert_not_after(struct span cert_pem, int64_t *ret_unix_s);
/* notBefore of the first certificate, Unix seconds. E_SYNTAX. */
MUST_USE struct status cert_not_before(struct span cert_pem, int64_t *ret_unix_s);
/* Is the first certificate for this DNS name or address? */
bool cert_is_for(struct span cert_pem, const char *host);
/* SHA-256 of the first certificate (DER), as openssl x509 -fingerprint shows it. E_SYNTAX. */
MUST_USE struct status cert_fingerprint(struct span cert_pem, uint8_t out[32]);
/* OK when the key belongs to the first certificate; E_CRYPTO, E_SYNTAX. */
MUST_USE struct status cert_key_matches(struct span cert_pem, const struct secret *key_pem);

#endif
