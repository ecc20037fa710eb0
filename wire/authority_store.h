/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_AUTHORITY_STORE_H
#define WIRE_AUTHORITY_STORE_H

/*
 * Authority (A) and store (B). At start, and after a new link, the authority
 * sends LOAD; the store answers USER…, KEY…, LOADED with the same id. Later
 * only changes travel. Every change is durable before DONE.
 */
#include <link/wire.h>
#include <wire/limits.h>

#define AS_SECRET_LEN 32
#define AS_DAY_LEN 10 /* 2026-01-31 */

enum as_type {
	AS_LOAD = 1,
	AS_USER,       /* B: one user with its subject key */
	AS_KEY,        /* B: one API key */
	AS_LOADED,     /* B: end of LOAD: the pepper of key hashes and today's key */
	AS_KEY_PUT,    /* A: a new key; creates tenant and user where they are missing */
	AS_KEY_REVOKE, /* A */
	AS_DAY,        /* A: the key under which a day's unauthenticated addresses are sealed */
	AS_DAY_KEY,    /* B */
	AS_DONE,       /* B: same id: durable, or why not */
};

struct as_user {
	struct span tenant;
	struct span user;
	uint8_t subject_key[AS_SECRET_LEN];
};
static const struct wire_field as_user_rows[] = {
	WIRE_BYTES(struct as_user, tenant, 1, TENANT_MAX),
	WIRE_BYTES(struct as_user, user, 1, USER_MAX),
	WIRE_FIXED(struct as_user, subject_key),
};

struct as_key {
	uint8_t id[KEY_ID_LEN];
	uint8_t hash[DIGEST_LEN]; /* HMAC-SHA-256(pepper, whole key text) */
	struct span tenant;
	struct span user;
	struct span policy;
	uint64_t created_s; /* Unix time */
	uint64_t expires_s; /* 0: never */
	uint64_t revoked_s; /* 0: not */
};
static const struct wire_field as_key_rows[] = {
	WIRE_FIXED(struct as_key, id),
	WIRE_FIXED(struct as_key, hash),
	WIRE_BYTES(struct as_key, tenant, 1, TENANT_MAX),
	WIRE_BYTES(struct as_key, user, 1, USER_MAX),
	WIRE_BYTES(struct as_key, policy, 1, POLICY_MAX),
	WIRE_U64(struct as_key, created_s),
	WIRE_U64(struct as_key, expires_s),
	WIRE_U64(struct as_key, revoked_s),
};

struct as_loaded {
	uint8_t pepper[AS_SECRET_LEN];
	uint8_t day[AS_DAY_LEN];
	uint8_t day_key[AS_SECRET_LEN];
};
static const struct wire_field as_loaded_rows[] = {
	WIRE_FIXED(struct as_loaded, pepper),
	WIRE_FIXED(struct as_loaded, day),
	WIRE_FIXED(struct as_loaded, day_key),
};

struct as_key_revoke {
	uint8_t id[KEY_ID_LEN];
	uint64_t revoked_s;
};
static const struct wire_field as_key_revoke_rows[] = {
	WIRE_FIXED(struct as_key_revoke, id),
	WIRE_U64(struct as_key_revoke, revoked_s),
};

struct as_day {
	uint8_t day[AS_DAY_LEN];
};
static const struct wire_field as_day_rows[] = {
	WIRE_FIXED(struct as_day, day),
};

struct as_day_key {
	uint8_t day[AS_DAY_LEN];
	uint8_t key[AS_SECRET_LEN];
};
static const struct wire_field as_day_key_rows[] = {
	WIRE_FIXED(struct as_day_key, day),
	WIRE_FIXED(struct as_day_key, key),
};

struct as_done {
	uint16_t code;                      /* enum code: E_OK, E_EXISTS, E_NOTFOUND, E_SYS … */
	uint8_t subject_key[AS_SECRET_LEN]; /* after KEY_PUT: the user's */
};
static const struct wire_field as_done_rows[] = {
	WIRE_U16(struct as_done, code, 64),
	WIRE_FIXED(struct as_done, subject_key),
};

static const struct wire_msg as_msgs[] = {
	[AS_LOAD] = { "load", WIRE_A_TO_B, WIRE_TABLE_NONE },
	[AS_USER] = { "user", WIRE_B_TO_A, WIRE_TABLE(struct as_user, as_user_rows) },
	[AS_KEY] = { "key", WIRE_B_TO_A, WIRE_TABLE(struct as_key, as_key_rows) },
	[AS_LOADED] = { "loaded", WIRE_B_TO_A, WIRE_TABLE(struct as_loaded, as_loaded_rows) },
	[AS_KEY_PUT] = { "key-put", WIRE_A_TO_B, WIRE_TABLE(struct as_key, as_key_rows) },
	[AS_KEY_REVOKE] = { "key-revoke", WIRE_A_TO_B,
	    WIRE_TABLE(struct as_key_revoke, as_key_revoke_rows) },
	[AS_DAY] = { "day", WIRE_A_TO_B, WIRE_TABLE(struct as_day, as_day_rows) },
	[AS_DAY_KEY] = { "day-key", WIRE_B_TO_A, WIRE_TABLE(struct as_day_key, as_day_key_rows) },
	[AS_DONE] = { "done", WIRE_B_TO_A, WIRE_TABLE(struct as_done, as_done_rows) },
};
static const struct wire_edge as_edge = { .name = "authority-store",
	.msgs = as_msgs,
	.nmsgs = sizeof(as_msgs) / sizeof(as_msgs[0]),
	.secrets = true };

#endif
