/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JWT_JWT_H
#define JWT_JWT_H

/*
 * Tokens about somebody (RFC 7519, 8725, 9068): claims in a signed text.
 *
 *	jwt_parse()	what the token says: hostile, only to choose whose keys are asked
 *	jwt_verify()	signature by one of those keys, then the claims that all tokens have
 *	jwt_claim_…	only after that
 */
#include <jwt/jws.h>

#define JWT_SKEW_S_MAX 60
#define JWT_ITEMS_MAX 64    /* strings of one claim */
#define JWT_ITEM_LEN_MAX 64 /* bytes of each */

/* Which `typ` an issuer's tokens have; the comparison is without case (RFC 7515 §4.1.9). */
enum jwt_typ {
	JWT_TYP_ANY,    /* absent, JWT or at+jwt */
	JWT_TYP_JWT,    /* absent or JWT */
	JWT_TYP_ACCESS, /* at+jwt (RFC 9068) */
};

struct jwt_policy {
	struct span issuer;   /* exactly */
	struct span audience; /* one of the token's */
	uint32_t algs;        /* as of jws_verify() */
	enum jwt_typ typ;
	uint32_t skew_s;    /* 0..JWT_SKEW_S_MAX */
	uint64_t age_s_max; /* of exp - iat, which is then required; 0: no limit */
};

struct jwt {
	enum jwt_fault fault; /* why the last call failed */
	uint64_t expires_s;   /* exp, Unix time; State: verified */
	/* private */
	bool parsed, verified;
	struct jws jws;
	struct json_doc claims;
};

#define auto_jwt __attribute__((cleanup(jwt_done)))

/* One reader serves one token after the other. E_SYS, E_NOMEM. */
MUST_USE struct status jwt_init(struct jwt *j);
void jwt_done(struct jwt *j); /* harmless on a zeroed struct */
/* As jws_parse(), and the payload is an object. */
MUST_USE struct status jwt_parse(struct jwt *j, struct span token);
/* What it says of its issuer, unverified: to look up a policy by. Empty: nothing. */
struct span jwt_claimed_issuer(struct jwt *j);
/* As jws_key_known(). State: parsed. */
bool jwt_key_known(const struct jwt *j, const struct jwks *keys, uint32_t algs);
/*
 * Is it signed by one of `keys`, and valid now (Unix seconds) for this policy? State: parsed.
 * E_NOTFOUND (no such key), E_CRYPTO, E_DENIED, E_SYNTAX, E_NOMEM, with j->fault.
 */
MUST_USE struct status jwt_verify(
    struct jwt *j, const struct jwks *keys, const struct jwt_policy *p, uint64_t now_s);

/*
 * Claims by path; State: verified; what is returned lives until the next jwt_parse(). A path that
 * holds a ':' is the name of one member ("https://a.example/roles", "cognito:groups"); in others
 * dots lead into objects ("realm_access.roles").
 * E_NOTFOUND: absent (or null). E_SYNTAX: of another type. E_NOMEM.
 */
MUST_USE struct status jwt_claim_str(struct jwt *j, struct span path, struct span *ret);
/* A string or an array of strings. E_RANGE: more than JWT_ITEMS_MAX, or longer than
 * JWT_ITEM_LEN_MAX. */
MUST_USE struct status jwt_claim_strs(
    struct jwt *j, struct span path, struct span ret[JWT_ITEMS_MAX], size_t *ret_count);

#endif
