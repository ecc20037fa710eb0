/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUTHORITY_SESSIONS_H
#define AUTHORITY_SESSIONS_H

/*
 * Session tokens: a credential, exchanged for one that lives an hour at most and may less
 * (RFC 8693, 9068). A session is a struct key whose parent is the key that it was made of: it
 * has that one's user, policy, limits and usage, and ends with it.
 *
 * Sessions live in this process alone: when it ends, they do, and clients exchange anew. So
 * none can be brought back that was revoked.
 */
#include <crypto/sign.h>
#include <link/link.h>

#include "keys.h"

#define SESSION_ID_LEN 16
#define SESSIONS_MAX 16384
#define SESSIONS_TENANT_MAX (SESSIONS_MAX / 4)
#define SESSIONS_USER_MAX 64 /* at once; the oldest of a user makes room for its next */
#define SESSION_S_MIN 60
#define SESSION_S_MAX 3600
#define SESSION_KEY_S 86400 /* then tokens are signed by another key */

struct authority;

struct session {
	struct key key; /* .scope is what narrows it; .parent whose it is */
	char id[2 * SESSION_ID_LEN + 1];
	uint8_t digest[DIGEST_LEN]; /* SHA-256 of the token */
	TAILQ_ENTRY(session) next;  /* the oldest first */
	struct session *chain;      /* of its bucket */
};

struct sessions {
	TAILQ_HEAD(session_list, session) live, over; /* over: a turn still points at it */
	struct session **buckets;                     /* by digest */
	size_t n;
	struct sign_key *signer; /* NULL: none yet */
	uint64_t signer_s;       /* since when */
};

void sessions_done(struct authority *a);
/* The session whose token this is, if it is valid now; else NULL. */
struct key *sessions_find(struct authority *a, struct span token, uint64_t now_s);
void sessions_tick(struct authority *a);
void sessions_on_token(struct link *l, uint64_t id, const void *msg, void *ctx);
/* End the sessions of a key, or of a user: nothing of theirs is taken any more. */
void sessions_end_of_key(struct authority *a, const struct key *parent);
/* That session; NULL: there is none such, live, of that tenant (empty: any). */
struct session *sessions_by_id(struct authority *a, struct span id, struct span tenant);
void session_end(struct authority *a, struct session *s);

#endif
