/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_SIGV4_H
#define BROKER_SIGV4_H

/*
 * AWS Signature Version 4 in the Authorization field (AWS IAM User Guide,
 * "Create a signed AWS API request"). Pure: the caller brings the time.
 * Paths are encoded once more, as every service but S3 wants it.
 */
#include <crypto/hash.h>
#include <http/http.h>

#define SIGV4_FIELDS_MAX 32
#define SIGV4_CANONICAL_MAX 32768 /* bytes of a canonical request */
#define SIGV4_PARTS_MAX 64        /* parts of a path, parameters of a query */
#define SIGV4_DATE_LEN 16         /* 20150830T123600Z */
#define SIGV4_SIGNATURE_LEN 64

struct sigv4_key {
	struct span id;
	const struct secret *secret;
};

struct sigv4_request {
	struct span method;
	struct span path; /* as it is sent, begins with '/' */
	struct span query;
	/* All that is signed: host, x-amz-date, x-amz-security-token …; names in any case. */
	const struct http_field *fields;
	size_t field_count;
	struct span body;
	bool normalize; /* take "." and ".." and double slashes out of the path */
	struct span region, service;
	const char *date; /* SIGV4_DATE_LEN characters */
};

/* "20150830T123600Z" and a NUL. */
void sigv4_date(uint64_t unix_s, char out[SIGV4_DATE_LEN + 1]);

/*
 * Both append. E_RANGE: more fields, parts or bytes than the limits; E_FULL, E_NOMEM, E_CRYPTO.
 * The canonical request may hold a session token: the caller wipes it.
 */
MUST_USE struct status sigv4_canonical(const struct sigv4_request *r, struct buf *out);
MUST_USE struct status sigv4_string_to_sign(
    const struct sigv4_request *r, struct span canonical, struct buf *out);
MUST_USE struct status sigv4_signature(const struct sigv4_key *key, const struct sigv4_request *r,
    struct span string_to_sign, char out[SIGV4_SIGNATURE_LEN + 1]);
/* Appends the value of the Authorization field. */
MUST_USE struct status sigv4_authorization(
    const struct sigv4_key *key, const struct sigv4_request *r, struct buf *out);

#endif
