/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUTHORITY_OIDC_H
#define AUTHORITY_OIDC_H

/*
 * People who sign in with the house's own identity provider: tokens of the issuers that the
 * configuration names (`oidc`), verified here, by keys that the broker fetches.
 */
#include <jwt/jwt.h>

#include "issuers.h"
#include "oidc_cache.h"

#define OIDC_WAIT_MS 5000     /* for keys, from when they were asked for */
#define OIDC_WAITERS_MAX 1024 /* for the keys of one issuer */

struct authority;
struct json_writer;

struct oidc {
	struct issuers issuers;
	struct oidc_cache cache;
	struct jwt reader;
	bool spent; /* who asks now has failed too often: only what was verified before is taken */
	struct waiters *awaited; /* what the last check said LATER for; NULL: nothing */
	bool by_certificate;     /* the last credential was one; then `fault` is of that */
	enum jwt_fault fault; /* why the last credential was no token; NONE: it was none of ours */
	uint64_t
	    token_expires_s; /* of the token that principal_find() found good; 0: it was none */
};

/* State: in init(); a->d->conf is there. E_NOMEM, E_SYS, E_CRYPTO, E_RANGE. */
MUST_USE struct status oidc_init(struct authority *a);
void oidc_done(struct authority *a);
/* a->d->conf is another. */
void oidc_config(struct authority *a);
void oidc_tick(struct authority *a);

/* Who a token speaks for, by the issuer's table of claims. */
struct oidc_identity {
	struct span tenant, user; /* names as an operator could give them */
	uint8_t roles;            /* bits of enum role (wire/role.h); 0: the token gives none */
	struct span policy;
	uint64_t expires_s; /* of the token, Unix time */
	const char *issuer; /* of the configuration; valid until that is another */
	bool links;         /* they may be users who were made here */
	bool certificate;   /* the operator's table names them, no issuer: see machines.h */
};

enum oidc_answer {
	OIDC_OK,
	OIDC_BAD,         /* 401; the reason for the record is *ret_fault */
	OIDC_LATER,       /* the keys are being fetched: see oidc_wait() */
	OIDC_UNAVAILABLE, /* 503: there are no keys that may be used, and none can be had now */
};

/*
 * Is `token` good, and whose is it? What *ret points to is valid until the next call. *ret_fault is
 * set for OIDC_BAD and OIDC_UNAVAILABLE.
 */
enum oidc_answer oidc_check(struct authority *a, struct span token, uint64_t now_s,
    struct oidc_identity *ret, enum jwt_fault *ret_fault);
/*
 * State: the last oidc_check() said LATER. `ready` comes once, from the loop, within OIDC_WAIT_MS,
 * when it is worth asking again: the answer will then not be LATER. E_FULL, E_NOMEM: answer 503.
 */
MUST_USE struct status oidc_wait(struct authority *a, void (*ready)(void *ctx), void *ctx);
/* Did the last oidc_check() say LATER, and nobody has waited for it yet? */
bool oidc_is_awaited(const struct authority *a);
/* Before a call that may not ask, and after one that cannot wait: nothing is awaited. */
void oidc_forget_awaited(struct authority *a);
/* "issuers": […]: which there are, and whether their keys are held. */
void oidc_put_status(const struct authority *a, struct json_writer *w);

#endif
