/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_AUTHORITY_STORE_RIGHTS_H
#define WIRE_AUTHORITY_STORE_RIGHTS_H

/*
 * Messages of authority_store.h about persons: users, API keys, sessions, and what is
 * erased, exported and aged out of theirs.
 */
#include <link/wire.h>
#include <wire/limits.h>
#include <wire/role.h>

#define AS_SECRET_LEN 32
#define AS_DAY_LEN 10         /* 2026-01-31 */
#define AS_USED_BATCH_MAX 256 /* keys of one batch */
#define AS_REHASH_BATCH_MAX 256
#define AS_EXPORT_PAGE_MAX (512U << 10)

enum as_user_states { USER_ACTIVE, USER_DISABLED, USER_ERASED };

struct as_user {
	struct span tenant;
	struct span user;
	uint8_t subject_key[AS_SECRET_LEN];
	uint8_t roles; /* enum as_roles */
	uint8_t state; /* enum as_user_states; one that was erased is not sent */
	uint8_t hold;  /* legal hold: nothing of this user is erased or aged out */
};
static const struct wire_field as_user_rows[] = {
	WIRE_BYTES(struct as_user, tenant, 1, TENANT_MAX),
	WIRE_BYTES(struct as_user, user, 1, USER_MAX),
	WIRE_FIXED(struct as_user, subject_key),
	WIRE_U8(struct as_user, roles, ROLES_ALL),
	WIRE_U8(struct as_user, state, USER_ERASED),
	WIRE_U8(struct as_user, hold, 1),
};

/* DONE brings the subject key. */
struct as_user_put {
	struct span tenant;
	struct span user;
	uint8_t roles, state, hold;
	uint8_t fresh; /* nobody of that name is there yet: else DONE says E_EXISTS */
};
static const struct wire_field as_user_put_rows[] = {
	WIRE_BYTES(struct as_user_put, tenant, 1, TENANT_MAX),
	WIRE_BYTES(struct as_user_put, user, 1, USER_MAX),
	WIRE_U8(struct as_user_put, roles, ROLES_ALL),
	WIRE_U8(struct as_user_put, state, USER_DISABLED),
	WIRE_U8(struct as_user_put, hold, 1),
	WIRE_U8(struct as_user_put, fresh, 1),
};

struct as_key {
	uint8_t id[KEY_ID_LEN];
	uint8_t hash[DIGEST_LEN]; /* HMAC-SHA-256(pepper, whole key text) */
	struct span tenant;
	struct span user;
	struct span policy;
	uint64_t created_s;           /* Unix time */
	uint64_t expires_s;           /* 0: never */
	uint64_t revoked_s;           /* 0: not */
	struct span scopes;           /* empty: all that its policy allows */
	uint64_t last_used_s;         /* 0: never; PUT: 0 */
	uint8_t replaces[KEY_ID_LEN]; /* zeroes: none */
	uint64_t old_expires_s;       /* PUT, with `replaces`: that one ends then, if not before */
	uint32_t pepper;              /* version; 0: the hash is random, there is no text */
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
	WIRE_BYTES(struct as_key, scopes, 0, SCOPES_MAX),
	WIRE_U64(struct as_key, last_used_s),
	WIRE_FIXED(struct as_key, replaces),
	WIRE_U64(struct as_key, old_expires_s),
	WIRE_U32(struct as_key, pepper, UINT32_MAX),
};

struct as_key_use {
	uint8_t id[KEY_ID_LEN];
	uint64_t used_s;
};
static const struct wire_field as_key_use_rows[] = {
	WIRE_FIXED(struct as_key_use, id),
	WIRE_U64(struct as_key_use, used_s),
};
static const struct wire_table as_key_use_table = WIRE_TABLE(struct as_key_use, as_key_use_rows);

struct as_key_used {
	struct wire_list keys; /* struct as_key_use; unknown ones are left out */
};
static const struct wire_field as_key_used_rows[] = {
	WIRE_LIST(struct as_key_used, keys, 1, AS_USED_BATCH_MAX, &as_key_use_table),
};

struct as_key_hash {
	uint8_t id[KEY_ID_LEN];
	uint8_t hash[DIGEST_LEN];
	uint32_t pepper; /* the newest, or 0 */
};
static const struct wire_field as_key_hash_rows[] = {
	WIRE_FIXED(struct as_key_hash, id),
	WIRE_FIXED(struct as_key_hash, hash),
	WIRE_U32(struct as_key_hash, pepper, UINT32_MAX),
};
static const struct wire_table as_key_hash_table = WIRE_TABLE(struct as_key_hash, as_key_hash_rows);

struct as_key_rehash {
	struct wire_list
	    keys; /* struct as_key_hash; what is unknown, or newer already, is left out */
};
static const struct wire_field as_key_rehash_rows[] = {
	WIRE_LIST(struct as_key_rehash, keys, 1, AS_REHASH_BATCH_MAX, &as_key_hash_table),
};

struct as_loaded {
	uint8_t tenant_key[AS_SECRET_LEN]; /* under which records call tenants */
	uint8_t day[AS_DAY_LEN];
	uint8_t day_key[AS_SECRET_LEN];
};
static const struct wire_field as_loaded_rows[] = {
	WIRE_FIXED(struct as_loaded, tenant_key),
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

/* A session of a key: its token is known by its digest alone. */
struct as_session {
	uint8_t id[SESSION_ID_LEN];
	uint8_t digest[DIGEST_LEN]; /* SHA-256 of the token */
	uint8_t key[KEY_ID_LEN];    /* that it was made of */
	uint64_t created_s, expires_s;
	uint32_t signer;              /* version of the key that signed its token */
	uint8_t has_roles, roles;     /* that key is a person's of an identity provider */
	struct span scope;            /* JSON; empty: all that the key may */
	uint8_t ends[SESSION_ID_LEN]; /* PUT: that one ends with it; zeroes: none */
};
static const struct wire_field as_session_rows[] = {
	WIRE_FIXED(struct as_session, id),
	WIRE_FIXED(struct as_session, digest),
	WIRE_FIXED(struct as_session, key),
	WIRE_U64(struct as_session, created_s),
	WIRE_U64(struct as_session, expires_s),
	WIRE_U32(struct as_session, signer, UINT32_MAX),
	WIRE_U8(struct as_session, has_roles, 1),
	WIRE_U8(struct as_session, roles, ROLES_ALL),
	WIRE_BYTES(struct as_session, scope, 0, SCOPE_MAX),
	WIRE_FIXED(struct as_session, ends),
};

struct as_session_end {
	uint8_t id[SESSION_ID_LEN];
};
static const struct wire_field as_session_end_rows[] = {
	WIRE_FIXED(struct as_session_end, id),
};

struct as_user_ref {
	struct span tenant;
	struct span user;
};
static const struct wire_field as_user_ref_rows[] = {
	WIRE_BYTES(struct as_user_ref, tenant, 1, TENANT_MAX),
	WIRE_BYTES(struct as_user_ref, user, 1, USER_MAX),
};

struct as_erased {
	uint16_t code; /* E_NOTFOUND; E_DENIED: a legal hold */
	uint64_t rows; /* that nobody can read any more */
	uint8_t waits; /* the keys are in the database's file until a backup is over */
};
static const struct wire_field as_erased_rows[] = {
	WIRE_U16(struct as_erased, code, 64),
	WIRE_U64(struct as_erased, rows),
	WIRE_U8(struct as_erased, waits, 1),
};

/* Where the next page begins; all zero: the first. Whoever asks takes it from the answer. */
struct as_export {
	struct span tenant;
	struct span user;
	uint8_t stage;
	uint64_t row;
	uint32_t offset;
	uint8_t part;  /* of the row's line; 0: its beginning */
	uint64_t item; /* within the part */
};
static const struct wire_field as_export_rows[] = {
	WIRE_BYTES(struct as_export, tenant, 1, TENANT_MAX),
	WIRE_BYTES(struct as_export, user, 1, USER_MAX),
	WIRE_U8(struct as_export, stage, 255),
	WIRE_U64(struct as_export, row),
	WIRE_U32(struct as_export, offset, UINT32_MAX),
	WIRE_U8(struct as_export, part, 255),
	WIRE_U64(struct as_export, item),
};

/* All pages, one behind the other, are JSON objects with an LF behind each (docs/privacy.md). */
struct as_exported {
	uint16_t code; /* E_NOTFOUND; E_AGAIN: what it stood at is gone, begin anew */
	uint8_t more;
	uint8_t stage; /* of the next page, as are those that follow */
	uint64_t row;
	uint32_t offset;
	uint8_t part;
	uint64_t item;
	struct span page;
};
static const struct wire_field as_exported_rows[] = {
	WIRE_U16(struct as_exported, code, 64),
	WIRE_U8(struct as_exported, more, 1),
	WIRE_U8(struct as_exported, stage, 255),
	WIRE_U64(struct as_exported, row),
	WIRE_U32(struct as_exported, offset, UINT32_MAX),
	WIRE_U8(struct as_exported, part, 255),
	WIRE_U64(struct as_exported, item),
	WIRE_BYTES(struct as_exported, page, 0, AS_EXPORT_PAGE_MAX),
};

enum as_retained {
	RETAINED_CONVERSATIONS,
	RETAINED_RESPONSES,
	RETAINED_FILES,
	RETAINED_USAGE,
	RETAINED_COUNT
};
struct as_retention {
	uint8_t kind; /* enum as_retained */
	uint64_t rows;
	uint32_t days; /* that they are kept; 0: files that ended by themselves */
};
static const struct wire_field as_retention_rows[] = {
	WIRE_U8(struct as_retention, kind, RETAINED_COUNT - 1),
	WIRE_U64(struct as_retention, rows),
	WIRE_U32(struct as_retention, days, UINT32_MAX),
};

#endif
