/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TLS_CRL_H
#define TLS_CRL_H

/*
 * Lists of certificates that their authorities have revoked (RFC 5280 §5), before they are used:
 * struct tls_server_opts takes those that are good.
 */
#include <base/span.h>
#include <tls/tls.h>

#define TLS_CRLS_MAX 128
#define TLS_CRLS_LEN_MAX (2U << 20) /* PEM, of a file of them; some 30,000 entries */
/* In use: each authority may have one of another file; written anew it is a little longer. */
#define TLS_CRLS_USED_LEN_MAX ((TLS_CLIENT_CAS_MAX + 1U) * TLS_CRLS_LEN_MAX)
#define TLS_CRL_NAME_MAX 256 /* of an authority, with its NUL; what is longer is cut */

enum tls_crl_fault {
	TLS_CRL_NONE,
	TLS_CRL_FORMAT,
	TLS_CRL_MANY,
	TLS_CRL_PARTIAL, /* a delta, a partition, or with what is not understood */
	TLS_CRL_NO_END,
	TLS_CRL_STRANGER,
	TLS_CRL_SIGNATURE,
	TLS_CRL_USAGE,
	TLS_CRL_MISSING, /* from here on of an authority, not of a list */
	TLS_CRL_EARLY,
	TLS_CRL_EXPIRED,
	TLS_CRL_OLDER, /* than the one in use */
	TLS_CRL_FAULT_COUNT,
};

struct tls_crl_end {
	char authority[TLS_CRL_NAME_MAX];
	uint64_t until_s;
};

struct tls_crl_report {
	enum tls_crl_fault fault; /* the first, and before all others one that will not pass */
	unsigned at;              /* the list or the authority that it is of, from 1 on */
	char authority[TLS_CRL_NAME_MAX]; /* whose it is: its subject (RFC 2253); "": no one's */
	bool usable;  /* each authority has lists: those that were read, or those in use */
	bool bare;    /* the lists of one are not good, and it has none in use */
	bool soon;    /* a list that was read is still to count */
	bool refused; /* whose fault it is has no list that counts; where usable */
	/* Of what is usable: when the last authority's lists begin to count, the first one's end.
	 */
	uint64_t from_s, until_s;
	struct tls_crl_end ends[TLS_CLIENT_CAS_MAX]; /* of each list, in the authorities' order */
	size_t nends;
};

/* Good lists at another time: who uses them all the same takes no certificate of that authority. */
static inline bool
tls_crl_is_of_time(enum tls_crl_fault f)
{
	return f == TLS_CRL_EARLY || f == TLS_CRL_EXPIRED;
}

/* Nothing is wrong with the lists themselves; others came before, or will come. */
static inline bool
tls_crl_is_passing(enum tls_crl_fault f)
{
	return f >= TLS_CRL_EARLY;
}

/*
 * Are these lists good for these authorities at that time? Each list is signed by one of them, is
 * whole and has an end; each authority has one that counts. E_DENIED: see the report. E_SYNTAX,
 * E_FULL: the authorities'. E_NOMEM, E_CRYPTO.
 */
MUST_USE struct status tls_crls_check(
    struct span ca_pem, struct span crl_pem, uint64_t now_s, struct tls_crl_report *report);
/*
 * The same beside those in use (may be empty), authority by authority: what is to be used from now
 * on is appended to `out` where the report says `usable`: one list of each, the newest that has
 * begun, over or not; the same bytes where that is all of the file. An authority's lists that are
 * not good, or older than those in use, leave these where they are; a file that is no file of lists
 * leaves all of them. E_DENIED, too, where something is usable.
 * E_FULL: `out`, too.
 */
MUST_USE struct status tls_crls_merge(struct span ca_pem, struct span used_pem,
    struct span fresh_pem, uint64_t now_s, struct buf *out, struct tls_crl_report *report);
/*
 * Is a certificate revoked by `fresh_pem` that is not by `old_pem`? Both were good once; either may
 * be empty.
 */
bool tls_crls_more(struct span old_pem, struct span fresh_pem);
const char *tls_crl_kind(enum tls_crl_fault f); /* one word, for records */
/* "list 2 (CN=A) is not signed by its authority" */
void tls_crl_say(const struct tls_crl_report *report, char *out, size_t size);
/* What that means for whose fault it is, where something is usable; follows "; ". */
const char *tls_crl_effect(const struct tls_crl_report *report);

#endif
