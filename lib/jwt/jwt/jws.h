/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JWT_JWS_H
#define JWT_JWS_H

/*
 * Signed texts in the compact form (RFC 7515, 7518, 8037, 8725): header, payload, signature.
 *
 * The algorithm is the key's, not the token's: its header only has to agree. Header members that
 * bring or name keys (`jwk`, `jku`, `x5u`, `x5c`) are ignored, `crit` is refused, `kid` is
 * compared and nothing else. Text is strict: base64url without padding, JSON without duplicates
 * (also such that differ only in case).
 */
#include <json/json.h>
#include <jwt/jwks.h>

#define JWT_LEN_MAX 8192 /* bytes; a longer one is not looked at */
#define JWT_SIGNATURE_MAX (JWK_RSA_BITS_MAX / 8)

/* Why a token is not taken: for records; a client hears 401 whatever it is. */
enum jwt_fault {
	JWT_FAULT_NONE,
	JWT_FAULT_SIZE,      /* longer than JWT_LEN_MAX */
	JWT_FAULT_FORMAT,    /* not three parts of base64url */
	JWT_FAULT_HEADER,    /* its header is not what RFC 7515 has */
	JWT_FAULT_CRITICAL,  /* `crit` asks for what we do not know */
	JWT_FAULT_ALGORITHM, /* none, HMAC, unknown, or not the key's */
	JWT_FAULT_TYPE,      /* `typ` of something else */
	JWT_FAULT_KEY,       /* no such key */
	JWT_FAULT_SIGNATURE,
	JWT_FAULT_CLAIMS, /* no JSON object, a member twice, a claim of the wrong type */
	JWT_FAULT_ISSUER,
	JWT_FAULT_AUDIENCE,
	JWT_FAULT_EXPIRED,
	JWT_FAULT_NO_EXPIRY,
	JWT_FAULT_FUTURE,    /* not yet valid, or issued in the future */
	JWT_FAULT_AGE,       /* lives longer than the issuer's entry allows */
	JWT_FAULT_MAPPING,   /* no tenant, user or policy that we could take */
	JWT_FAULT_ROLES,     /* too many, too long, not strings */
	JWT_FAULT_REVOKED,   /* good, but its person was shut out here */
	JWT_FAULT_KEYS_AWAY, /* the issuer's keys could not be fetched */
	JWT_FAULT_INTERNAL,  /* memory */
	JWT_FAULT_COUNT,
};
/* A short static name, for records: "signature". */
const char *jwt_fault_name(enum jwt_fault fault);

/* Private but for `fault`: use the functions. */
struct jws {
	enum jwt_fault fault; /* why the last call failed */
	bool has_kid;
	enum jwt_alg alg;
	struct span kid, typ;
	struct span payload; /* decoded; not verified before jws_verify() */
	struct span signing; /* the bytes that are signed: the token's own */
	struct json_doc header;
	struct buf text;
	struct arena arena;
	uint8_t signature[JWT_SIGNATURE_MAX];
	size_t signature_len;
};

/* One reader serves one token after the other. E_SYS, E_NOMEM. */
MUST_USE struct status jws_init(struct jws *s);
void jws_done(struct jws *s); /* harmless on a zeroed struct */
/*
 * All but the signature; `token` must stay as it is while `s` is used.
 * E_RANGE, E_SYNTAX, E_EXISTS, E_DENIED, E_UNSUPPORTED, E_NOMEM, with s->fault.
 */
MUST_USE struct status jws_parse(struct jws *s, struct span token);
/* Is there a key that its header means? If not, a newer JWKS might have it. State: parsed. */
bool jws_key_known(const struct jws *s, const struct jwks *keys, uint32_t algs);
/*
 * Is it signed by one of `keys`? `algs` are JWT_ALG_BIT()s that may be; 0: what each key says, and
 * RS256 where an RSA key says nothing. State: parsed. E_NOTFOUND (no such key), E_DENIED (not its
 * algorithm), E_CRYPTO, E_NOMEM, with s->fault.
 */
MUST_USE struct status jws_verify(struct jws *s, const struct jwks *keys, uint32_t algs);

#endif
