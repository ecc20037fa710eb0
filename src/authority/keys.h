/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUTHORITY_KEYS_H
#define AUTHORITY_KEYS_H

/*
 * API keys and the users that they belong to, in memory; the store keeps them.
 * A key is known by its public id and verified by HMAC-SHA-256(pepper, text).
 * Entries never move and never go: a revoked key stays, to be told as revoked.
 */
#include <sys/queue.h>

#include <crypto/hash.h>
#include <wire/authority_store.h>

#include "quota.h"
#include "policy.h"
#include "table.h"

#define KEYS_MAX (1U << 20)
#define USERS_MAX (1U << 20)               /* less where RLIMIT_MEMLOCK is less: 32 bytes each */
#define USERS_SPARE 512                    /* places for those who are being made already */
#define KEYS_SLAB 1024                     /* entries allocated at once */
#define PEPPERS_MAX 16                     /* versions: as many as the store keeps */
#define PEPPERS_LOAD_MAX (2 * PEPPERS_MAX) /* while a LOAD runs: what it brings, and what was */
#define SUBJECT_SLAB (SECRET_LEN_MAX / AS_SECRET_LEN)

struct turn;
struct tool;

/*
 * An act on it is under way: no other begins. Nor until a LOAD has ended, where nobody knows what
 * came of one: what is written then would be of what the store has not any more.
 */
struct claim {
	bool held;
	uint32_t until; /* that LOAD; 0: it is known */
};

/* Of what there is of a tenant nobody walks the whole table. */
struct keys_tenant {
	SLIST_ENTRY(keys_tenant) next;
	SLIST_HEAD(tenant_users, user) users;
	size_t nusers, nkeys; /* that are in the table */
	size_t len;
	char name[]; /* no NUL */
};

struct user {
	struct span tenant; /* owned, one block */
	struct span name;
	struct keys_tenant *of;
	SLIST_ENTRY(user) of_tenant;
	SLIST_HEAD(user_keys, key) keys; /* also those that ended, and of whom it was before */
	const uint8_t *subject_key;      /* AS_SECRET_LEN, in locked memory */
	uint32_t serial;
	uint8_t subject[SUBJECT_LEN]; /* the pseudonym of audit records */
	uint8_t roles;                /* enum role bits */
	uint8_t state;                /* enum as_user_states */
	uint8_t hold;
	uint32_t load; /* the last LOAD that named it */
	uint32_t life; /* whose name it was before: they were erased */
	bool again;    /* made again after an erasure: it is active when the LOAD has ended */
	struct claim changing;
	struct holder holder;
	LIST_HEAD(user_tools, tool) tools; /* its own: tools.h */
};

struct key {
	uint8_t id[KEY_ID_LEN]; /* what every check reads, close together */
	uint32_t pepper;        /* version that `hash` is made with; 0: there is no text */
	uint8_t hash[DIGEST_LEN];
	uint8_t pseudonym[SUBJECT_LEN];
	struct user *user;
	struct policy_ref *policy;
	struct scope *scope;  /* NULL: all that its policy allows */
	bool has_roles;       /* it came with a token, which says what roles: people.h */
	bool has_certificate; /* it came with one: machines.h */
	uint8_t roles;        /* then; else they are its user's */
	uint32_t changes;     /* of these two, how often */
	struct key *parent;   /* of a session: the key that it narrows; else NULL */
	uint64_t created_s, expires_s, revoked_s; /* Unix time; 0: never */
	uint64_t last_used_s;                     /* 0: never */
	bool used;                                /* since the store was told: see key_uses.c */
	SLIST_ENTRY(key) next_used;
	SLIST_ENTRY(key) of_user;
	uint8_t replaces[KEY_ID_LEN]; /* zeroes: none */
	struct key *replaced_by;      /* NULL: none */
	struct claim changing;        /* it is being rotated: not once more meanwhile */
	uint32_t index;               /* keys_at() */
	bool ahead;                   /* the store has an older hash */
	struct holder holder;
	LIST_HEAD(key_turns, turn) turns;
	uint32_t load;    /* the last LOAD that named it */
	uint32_t life;    /* its user's, then: see key_is_past() */
	uint8_t line[20]; /* to a whole number of lines of the cache */
};
_Static_assert(sizeof(struct key) % 64 == 0, "no key lies so that its check takes longer");

/* A version of the secret under which texts of keys are hashed. */
struct pepper {
	uint32_t version; /* 0: none */
	struct hmac_key *key;
	uint32_t load; /* the last LOAD that named it */
};

struct keys {
	struct table by_id, users, by_subject, tenants;
	SLIST_HEAD(, keys_tenant) all_tenants;
	struct key **key_slabs; /* KEYS_SLAB entries each */
	struct user **user_slabs;
	struct secret *subject_slabs;
	size_t nkeys, nusers;
	size_t users_max;            /* as far as the limit of locked memory says */
	struct hmac_key *tenant_key; /* NULL until loaded */
	struct pepper peppers[PEPPERS_LOAD_MAX];
	uint32_t newest; /* of them; 0: none is loaded */
	struct policy_refs refs;
	uint32_t load;
	uint32_t load_ended; /* the last one that has */
	bool loading;        /* a LOAD has begun, and not ended */
	size_t sweep_at;
};

MUST_USE struct status keys_init(struct keys *k);
void keys_done(struct keys *k);
/* Under which records call tenants. */
MUST_USE struct status keys_set_tenant_key(struct keys *k, struct span key);

/* ---- peppers.c ---- */
/* A new one makes room of those that no key needs, but never while a LOAD runs. E_FULL, E_NOMEM. */
MUST_USE struct status keys_put_pepper(
    struct keys *k, uint32_t version, const uint8_t pepper[AS_SECRET_LEN]);
/* That version, or the newest where it is not there; NULL: none is loaded. */
struct hmac_key *keys_pepper(const struct keys *k, uint32_t version);
/* Those that no key needs go, but for the newest; none while a LOAD runs: its keys come last. */
void keys_retire_peppers(struct keys *k);
/* Could one more be put? */
bool keys_pepper_fits(const struct keys *k);
void keys_peppers_load_end(struct keys *k);
void keys_peppers_done(struct keys *k);

/* ---- keys.c ---- */
/*
 * A user, new or with a new subject key and other marks. E_FULL, E_NOMEM, E_SYS (locked
 * memory). A new one without marks is an active ROLE_USER, as the store has it; so is one that was
 * erased and is made again.
 */
MUST_USE struct status keys_put_user(struct keys *k, struct span tenant, struct span name,
    const uint8_t subject_key[AS_SECRET_LEN], struct user **ret);
/*
 * Is it there, or may it be made? Not where there is no place, nor for a tenant that has a quarter
 * of all places once three are taken.
 */
bool keys_user_fits(struct keys *k, struct span tenant, struct span name);
void user_set_marks(struct user *u, uint8_t roles, uint8_t state, uint8_t hold);
struct user *keys_user_at(const struct keys *k, size_t index); /* 0 .. nusers - 1 */
struct keys_tenant *keys_find_tenant(const struct keys *k, struct span tenant); /* NULL: none */
struct user *keys_find_user(const struct keys *k, struct span tenant, struct span name);
bool claim_is_held(const struct claim *c, const struct keys *k);
/* Who a pseudonym of the log is. NULL: nobody any more. */
struct user *keys_find_subject(const struct keys *k, const uint8_t subject[SUBJECT_LEN]);
/*
 * A key, new or changed; its user is there already (else E_PROTO). A key never
 * changes its user (E_PROTO). E_FULL, E_NOMEM; errors of scope_parse().
 */
MUST_USE struct status keys_put(
    struct keys *k, const struct policies *p, const struct as_key *m, struct key **ret);
struct key *keys_find(const struct keys *k, struct span id);
struct key *keys_at(const struct keys *k, size_t index); /* 0 .. nkeys - 1 */
/* It was of somebody who is erased, also where another one has that name now: nobody is told of it.
 */
bool key_is_past(const struct key *key);
/*
 * The key that `credential` is, if it is valid now; else NULL. The comparison
 * takes the same time whether the id exists or not.
 */
struct key *keys_check(const struct keys *k, struct span credential, uint64_t now_s);
/* Under the newest pepper. E_DENIED: none is loaded. */
MUST_USE struct status keys_hash(
    const struct keys *k, struct span credential, uint8_t out[DIGEST_LEN], uint32_t *ret_pepper);
/*
 * What records call a tenant: an HMAC of its name, hex; whoever has not its key learns
 * nothing of the name by it. E_DENIED: nothing is loaded.
 */
MUST_USE struct status keys_tenant_pseudonym(
    const struct keys *k, struct span tenant, char out[2 * SUBJECT_LEN]);
/* What may be done with it, and whose limits and usage count. */
struct permit key_permit(const struct key *key);
struct key *key_root(struct key *key);
/* Bits of enum role by which it acts. */
uint8_t key_roles(const struct key *key);
/* Around a LOAD: keys that it did not name are revoked, users erased. */
void keys_load_begin(struct keys *k);
void keys_load_end(struct keys *k, uint64_t now_s);
/* Free idle windows, a part of the table at each call. */
void keys_sweep(struct keys *k, uint64_t now_ms);

#endif
