/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_AUTHORITY_STORE_H
#define WIRE_AUTHORITY_STORE_H

/*
 * Authority (A) and store (B). At start, and after a new link, the authority
 * sends LOAD; the store answers KEYSET_KEY…, USER…, KEY…, SESSION…, TOOL…, LOADED with the same id,
 * or DONE where it cannot. Another LOAD takes the place of one that is under way.
 * Later only changes travel. Every change is durable before DONE.
 */
#include <link/wire.h>
#include <wire/errors.h>
#include <wire/grant.h>
#include <wire/limits.h>
#include <wire/role.h>
#include <wire/tool.h>

#define AS_SECRET_LEN 32
#define AS_DAY_LEN 10      /* 2026-01-31 */
#define AS_SECRETS_MAX 256 /* names of secrets */
#define AS_EPOCH_LEN 16
#define AS_USAGE_BATCH_MAX 128 /* items of one batch */
#define AS_USED_BATCH_MAX 256  /* keys of one batch */
#define AS_REHASH_BATCH_MAX 256
#define AS_USAGE_PAGE_MAX 128 /* rows of one page */
#define AS_EXPORT_PAGE_MAX (512U << 10)

enum as_type {
	AS_LOAD = 1,
	AS_USER,          /* B: one user with its subject key */
	AS_KEY,           /* B: one API key */
	AS_LOADED,        /* B: end of LOAD: the key of tenants' pseudonyms and today's */
	AS_KEY_PUT,       /* A: a new key; creates tenant and user where they are missing */
	AS_KEY_REVOKE,    /* A */
	AS_DAY,           /* A: the key under which a day's unauthenticated addresses are sealed */
	AS_DAY_KEY,       /* B */
	AS_DONE,          /* B: same id: durable, or why not */
	AS_SECRET_PUT,    /* A: a sealed secret, new or a new version of it */
	AS_SECRET_GET,    /* A */
	AS_SECRET,        /* B: same id: after PUT without the values */
	AS_SECRET_REMOVE, /* A; answered by DONE */
	AS_SECRET_LIST,   /* A */
	AS_SECRETS,       /* B: same id: all names */
	AS_USAGE_ADD,     /* A: counts since the last batch; answered by DONE */
	AS_USAGE_LIST,    /* A: sums, a page of them */
	AS_USAGE,         /* B: same id */
	AS_TOOL,          /* B: one version of a tool */
	AS_TOOL_PUT,      /* A: a new version, as AE_BUILT brought it: 2 descriptors */
	AS_TOOL_KEPT,     /* B: same id: durable, or why not */
	AS_TOOL_GET,      /* A: a part of a version */
	AS_TOOL_PART,     /* B: same id; 1 descriptor when code is E_OK */
	AS_TOOL_REBUILT,  /* A: 1 descriptor; answered by DONE */
	AS_TOOL_MARK,     /* A: which version is current, which others may call; DONE */
	AS_TOOL_REMOVE,   /* A: a version, or all of them; DONE */
	AS_USER_PUT,      /* A: a user's marks; creates tenant and user where missing; DONE */
	AS_KEY_USED,      /* A: when keys were used last; DONE */
	AS_GRANT,         /* A: an operation on content, for a gateway to bring */
	AS_CONTENT_DONE,  /* B: how a granted operation ended, before the gateway hears it */
	AS_TURN_END,      /* A: forget the turn's grants, end its operations */
	AS_TURN_ENDED,    /* B: same id */
	AS_KEK_ROTATE,    /* A: begin a rotation of keys; answered by KEK */
	AS_KEK_STATUS,    /* A */
	AS_KEK,           /* B: same id: how far it is */
	AS_USER_ERASE,    /* A: destroy a user's keys; the rest goes in the background */
	AS_ERASED,        /* B: same id */
	AS_USER_EXPORT,   /* A: what is kept of a user, a page of it */
	AS_EXPORTED,      /* B: same id */
	AS_RETENTION,     /* B: what was deleted for its age; no id */
	AS_BACKUP,        /* A: begin a backup; answered by BACKUP_STATE */
	AS_BACKUP_STATUS, /* A */
	AS_BACKUP_STATE,  /* B: same id */
	AS_PING,          /* A: is it there? Answered by DONE */
	AS_SESSION,       /* B: one session that has not ended */
	AS_SESSION_PUT,   /* A: a new one; DONE */
	AS_SESSION_END,   /* A: it never comes back; DONE */
	AS_KEYSET_KEY,    /* B: one version of a key that signs or hashes */
	AS_KEYSET_ROTATE, /* A: a new version; answered by KEYSET */
	AS_KEYSET_STATUS, /* A */
	AS_KEYSET,        /* B: same id */
	AS_KEY_REHASH,    /* A: keys, hashed under the newest pepper; DONE */
};

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
};
static const struct wire_field as_user_put_rows[] = {
	WIRE_BYTES(struct as_user_put, tenant, 1, TENANT_MAX),
	WIRE_BYTES(struct as_user_put, user, 1, USER_MAX),
	WIRE_U8(struct as_user_put, roles, ROLES_ALL),
	WIRE_U8(struct as_user_put, state, USER_DISABLED),
	WIRE_U8(struct as_user_put, hold, 1),
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

struct as_done {
	uint16_t code;                      /* enum code: E_OK, E_EXISTS, E_NOTFOUND, E_SYS … */
	uint8_t subject_key[AS_SECRET_LEN]; /* after KEY_PUT and USER_PUT: the user's */
};
static const struct wire_field as_done_rows[] = {
	WIRE_U16(struct as_done, code, 64),
	WIRE_FIXED(struct as_done, subject_key),
};

/* Sealed by the CLI for the broker: neither authority nor store can open it. */
struct as_secret_put {
	struct span name;
	struct span sealed;
	uint8_t rotate; /* it exists, and the version that it has stays as the previous one */
	uint64_t set_s; /* Unix time */
};
static const struct wire_field as_secret_put_rows[] = {
	WIRE_BYTES(struct as_secret_put, name, 1, SECRET_NAME_MAX),
	WIRE_BYTES(struct as_secret_put, sealed, 1, SECRET_SEALED_MAX),
	WIRE_U8(struct as_secret_put, rotate, 1),
	WIRE_U64(struct as_secret_put, set_s),
};

struct as_secret_name {
	struct span name;
};
static const struct wire_field as_secret_name_rows[] = {
	WIRE_BYTES(struct as_secret_name, name, 1, SECRET_NAME_MAX),
};

/* Versions count from 1 and go on when a name comes again. */
struct as_secret {
	uint16_t code; /* enum code: E_OK, E_NOTFOUND, E_FULL, E_SYS … */
	uint64_t version;
	struct span sealed;
	uint64_t previous_version; /* 0: there is none */
	struct span previous;
};
static const struct wire_field as_secret_rows[] = {
	WIRE_U16(struct as_secret, code, 64),
	WIRE_U64(struct as_secret, version),
	WIRE_BYTES(struct as_secret, sealed, 0, SECRET_SEALED_MAX),
	WIRE_U64(struct as_secret, previous_version),
	WIRE_BYTES(struct as_secret, previous, 0, SECRET_SEALED_MAX),
};

struct as_secret_row {
	struct span name;
	uint64_t version;
	uint64_t previous_version;
	uint64_t set_s;
};
static const struct wire_field as_secret_row_rows[] = {
	WIRE_BYTES(struct as_secret_row, name, 1, SECRET_NAME_MAX),
	WIRE_U64(struct as_secret_row, version),
	WIRE_U64(struct as_secret_row, previous_version),
	WIRE_U64(struct as_secret_row, set_s),
};
static const struct wire_table as_secret_row_table = WIRE_TABLE(
    struct as_secret_row, as_secret_row_rows);

struct as_secrets {
	uint16_t code;
	struct wire_list secrets; /* struct as_secret_row, by name */
};
static const struct wire_field as_secrets_rows[] = {
	WIRE_U16(struct as_secrets, code, 64),
	WIRE_LIST(struct as_secrets, secrets, 0, AS_SECRETS_MAX, &as_secret_row_table),
};

/*
 * What requests of a key used on one day. Tokens that only we counted are kept
 * apart, as estimates.
 */
struct as_usage_item {
	uint8_t id[KEY_ID_LEN];
	struct span model; /* empty: a request that names none */
	uint32_t day;      /* since 1970 */
	uint64_t requests, errors, tokens_in, tokens_out, estimated, estimated_in, estimated_out;
	/* Parts of tokens_in, tokens_in, tokens_out. */
	uint64_t cached_in, cache_written_in, reasoning_out;
};
static const struct wire_field as_usage_item_rows[] = {
	WIRE_FIXED(struct as_usage_item, id),
	WIRE_BYTES(struct as_usage_item, model, 0, MODEL_MAX),
	WIRE_U32(struct as_usage_item, day, UINT32_MAX),
	WIRE_U64(struct as_usage_item, requests),
	WIRE_U64(struct as_usage_item, errors),
	WIRE_U64(struct as_usage_item, tokens_in),
	WIRE_U64(struct as_usage_item, tokens_out),
	WIRE_U64(struct as_usage_item, estimated),
	WIRE_U64(struct as_usage_item, estimated_in),
	WIRE_U64(struct as_usage_item, estimated_out),
	WIRE_U64(struct as_usage_item, cached_in),
	WIRE_U64(struct as_usage_item, cache_written_in),
	WIRE_U64(struct as_usage_item, reasoning_out),
};
static const struct wire_table as_usage_item_table = WIRE_TABLE(
    struct as_usage_item, as_usage_item_rows);

/* A batch counts once: one that was sent again for want of an answer has the same number. */
struct as_usage_add {
	uint8_t epoch[AS_EPOCH_LEN]; /* of the authority's process */
	uint64_t seq;                /* of its batches, from 1 */
	struct wire_list items;      /* struct as_usage_item */
};
static const struct wire_field as_usage_add_rows[] = {
	WIRE_FIXED(struct as_usage_add, epoch),
	WIRE_U64(struct as_usage_add, seq),
	WIRE_LIST(struct as_usage_add, items, 1, AS_USAGE_BATCH_MAX, &as_usage_item_table),
};

/* Sums over days, by key and model; the page behind (after_key, after_model). */
struct as_usage_list {
	uint32_t since_day;
	uint64_t after_key; /* 0: the first page */
	struct span after_model;
	struct span tenant; /* empty: any; so are key, user and model */
	struct span key;
	struct span user;
	struct span model;
};
static const struct wire_field as_usage_list_rows[] = {
	WIRE_U32(struct as_usage_list, since_day, UINT32_MAX),
	WIRE_U64(struct as_usage_list, after_key),
	WIRE_BYTES(struct as_usage_list, after_model, 0, MODEL_MAX),
	WIRE_BYTES(struct as_usage_list, tenant, 0, TENANT_MAX),
	WIRE_BYTES(struct as_usage_list, key, 0, KEY_ID_LEN),
	WIRE_BYTES(struct as_usage_list, user, 0, USER_MAX),
	WIRE_BYTES(struct as_usage_list, model, 0, MODEL_MAX),
};

struct as_usage_row {
	uint8_t id[KEY_ID_LEN];
	struct span tenant;
	struct span user;
	struct span model;
	uint64_t requests, errors, tokens_in, tokens_out, estimated, estimated_in, estimated_out;
	/* Parts of tokens_in, tokens_in, tokens_out. */
	uint64_t cached_in, cache_written_in, reasoning_out;
};
static const struct wire_field as_usage_row_rows[] = {
	WIRE_FIXED(struct as_usage_row, id),
	WIRE_BYTES(struct as_usage_row, tenant, 1, TENANT_MAX),
	WIRE_BYTES(struct as_usage_row, user, 1, USER_MAX),
	WIRE_BYTES(struct as_usage_row, model, 0, MODEL_MAX),
	WIRE_U64(struct as_usage_row, requests),
	WIRE_U64(struct as_usage_row, errors),
	WIRE_U64(struct as_usage_row, tokens_in),
	WIRE_U64(struct as_usage_row, tokens_out),
	WIRE_U64(struct as_usage_row, estimated),
	WIRE_U64(struct as_usage_row, estimated_in),
	WIRE_U64(struct as_usage_row, estimated_out),
	WIRE_U64(struct as_usage_row, cached_in),
	WIRE_U64(struct as_usage_row, cache_written_in),
	WIRE_U64(struct as_usage_row, reasoning_out),
};
static const struct wire_table as_usage_row_table = WIRE_TABLE(
    struct as_usage_row, as_usage_row_rows);

struct as_usage {
	uint16_t code;
	uint64_t next_key;     /* after_key of the next page; 0: that was the last */
	struct wire_list rows; /* struct as_usage_row; after_model is the last one's model */
};
static const struct wire_field as_usage_rows[] = {
	WIRE_U16(struct as_usage, code, 64),
	WIRE_U64(struct as_usage, next_key),
	WIRE_LIST(struct as_usage, rows, 0, AS_USAGE_PAGE_MAX, &as_usage_row_table),
};

/* A version of a tool. Versions count from 1 and never come again. */
struct as_tool {
	uint64_t id; /* PUT: 0 */
	struct span tenant;
	struct span user;
	struct span name;
	uint32_t version; /* PUT: 0 */
	uint8_t current;
	uint8_t allowed;
	uint8_t parts;                /* enum tool_parts */
	uint8_t digest[DIGEST_LEN];   /* SHA-256 of the encoded upload */
	uint8_t artefact[DIGEST_LEN]; /* of the compiled module; zero: none */
	uint8_t native[DIGEST_LEN];   /* zero: none */
	struct span engine;
	uint32_t module_size;
	uint32_t native_size;
	uint64_t created_s; /* Unix time */
	struct span manifest;
};
static const struct wire_field as_tool_rows[] = {
	WIRE_U64(struct as_tool, id),
	WIRE_BYTES(struct as_tool, tenant, 1, TENANT_MAX),
	WIRE_BYTES(struct as_tool, user, 1, USER_MAX),
	WIRE_BYTES(struct as_tool, name, 1, TOOL_MAX),
	WIRE_U32(struct as_tool, version, UINT32_MAX),
	WIRE_U8(struct as_tool, current, 1),
	WIRE_U8(struct as_tool, allowed, 1),
	WIRE_U8(struct as_tool, parts, TOOL_PARTS_ALL),
	WIRE_FIXED(struct as_tool, digest),
	WIRE_FIXED(struct as_tool, artefact),
	WIRE_FIXED(struct as_tool, native),
	WIRE_BYTES(struct as_tool, engine, 0, TOOL_ENGINE_MAX),
	WIRE_U32(struct as_tool, module_size, RUN_BLOB_MAX),
	WIRE_U32(struct as_tool, native_size, TOOL_NATIVE_MAX),
	WIRE_U64(struct as_tool, created_s),
	WIRE_BYTES(struct as_tool, manifest, 1, TOOL_MANIFEST_MAX),
};

struct as_tool_kept {
	uint16_t code; /* enum code: E_OK, E_FULL (too many), E_SYS … */
	uint64_t id;
	uint32_t version;
};
static const struct wire_field as_tool_kept_rows[] = {
	WIRE_U16(struct as_tool_kept, code, 64),
	WIRE_U64(struct as_tool_kept, id),
	WIRE_U32(struct as_tool_kept, version, UINT32_MAX),
};

struct as_tool_get {
	uint64_t id;
	uint8_t part; /* enum tool_part */
};
static const struct wire_field as_tool_get_rows[] = {
	WIRE_U64(struct as_tool_get, id),
	WIRE_U8(struct as_tool_get, part, PART_NATIVE),
};

struct as_tool_part {
	uint16_t code;              /* E_NOTFOUND, E_CORRUPT (it does not open), E_SYS … */
	uint8_t digest[DIGEST_LEN]; /* SHA-256 of the part */
};
static const struct wire_field as_tool_part_rows[] = {
	WIRE_U16(struct as_tool_part, code, 64),
	WIRE_FIXED(struct as_tool_part, digest),
};

struct as_tool_rebuilt {
	uint64_t id;
	uint8_t artefact[DIGEST_LEN];
	struct span engine;
};
static const struct wire_field as_tool_rebuilt_rows[] = {
	WIRE_U64(struct as_tool_rebuilt, id),
	WIRE_FIXED(struct as_tool_rebuilt, artefact),
	WIRE_BYTES(struct as_tool_rebuilt, engine, 1, TOOL_ENGINE_MAX),
};

/* Of the versions of the same tool, `id` alone has the mark from now on. */
enum as_tool_marks { TOOL_MARK_CURRENT = 1, TOOL_MARK_ALLOWED, TOOL_MARK_NOT_ALLOWED };
struct as_tool_mark {
	uint64_t id;
	uint8_t mark;
};
static const struct wire_field as_tool_mark_rows[] = {
	WIRE_U64(struct as_tool_mark, id),
	WIRE_U8(struct as_tool_mark, mark, TOOL_MARK_NOT_ALLOWED),
};

struct as_tool_remove {
	uint64_t id;
	uint8_t all; /* every version of its tool */
};
static const struct wire_field as_tool_remove_rows[] = {
	WIRE_U64(struct as_tool_remove, id),
	WIRE_U8(struct as_tool_remove, all, 1),
};

enum as_rotation { AS_ROTATE_NONE, AS_ROTATE_KEK, AS_ROTATE_DATA, AS_ROTATE_LAST = AS_ROTATE_DATA };
struct as_kek_rotate {
	uint8_t what; /* enum as_rotation */
};
static const struct wire_field as_kek_rotate_rows[] = {
	WIRE_U8(struct as_kek_rotate, what, AS_ROTATE_LAST),
};

struct as_kek {
	uint16_t code;     /* E_EXISTS: a rotation is under way, E_RANGE (what), E_SYS …; E_AGAIN:
			    * the new key was not wrapped, see `fault` */
	uint8_t under_way; /* enum as_rotation */
	uint64_t version;  /* of the newest key-encryption key */
	uint64_t versions; /* of it that are kept */
	uint64_t kek_left; /* keys and secrets under older ones */
	uint64_t data_left; /* keys of users that are to be replaced or deleted */
	uint64_t tenant_left;
	uint64_t unopened; /* values that do not open: the key that they need stays */
	uint64_t kek_started_s, kek_ended_s; /* of the last one of each kind; 0: never, not yet */
	uint64_t data_started_s, data_ended_s;
	struct span wrapper; /* of key-encryption keys: `store.kek` */
	uint64_t foreign;    /* versions that another one wraps still */
	uint8_t fault;       /* enum secret_fault: why the last try to wrap or unwrap went wrong */
};
static const struct wire_field as_kek_rows[] = {
	WIRE_U16(struct as_kek, code, 64),
	WIRE_U8(struct as_kek, under_way, AS_ROTATE_LAST),
	WIRE_U64(struct as_kek, version),
	WIRE_U64(struct as_kek, versions),
	WIRE_U64(struct as_kek, kek_left),
	WIRE_U64(struct as_kek, data_left),
	WIRE_U64(struct as_kek, tenant_left),
	WIRE_U64(struct as_kek, unopened),
	WIRE_U64(struct as_kek, kek_started_s),
	WIRE_U64(struct as_kek, kek_ended_s),
	WIRE_U64(struct as_kek, data_started_s),
	WIRE_U64(struct as_kek, data_ended_s),
	WIRE_BYTES(struct as_kek, wrapper, 0, SECRET_REF_MAX),
	WIRE_U64(struct as_kek, foreign),
	WIRE_U8(struct as_kek, fault, UINT8_MAX),
};

/* Keys that have versions, and nothing sealed under them. */
enum as_keysets { KEYSET_NONE, KEYSET_SESSION, KEYSET_PEPPER, KEYSET_COUNT };
struct as_keyset_ref {
	uint8_t what; /* enum as_keysets */
};
static const struct wire_field as_keyset_ref_rows[] = {
	WIRE_U8(struct as_keyset_ref, what, KEYSET_COUNT - 1),
};

struct as_keyset_key {
	uint8_t what;
	uint32_t version; /* counts from 1 */
	uint64_t created_s;
	uint8_t key[AS_SECRET_LEN];
};
static const struct wire_field as_keyset_key_rows[] = {
	WIRE_U8(struct as_keyset_key, what, KEYSET_COUNT - 1),
	WIRE_U32(struct as_keyset_key, version, UINT32_MAX),
	WIRE_U64(struct as_keyset_key, created_s),
	WIRE_FIXED(struct as_keyset_key, key),
};

struct as_keyset {
	uint16_t code; /* E_FULL: as many old ones are still needed as can be, E_RANGE, E_SYS … */
	uint8_t what;
	uint32_t version;  /* the newest */
	uint32_t versions; /* that are kept */
	uint64_t left;     /* what needs older ones */
	uint64_t created_s;
	uint8_t key[AS_SECRET_LEN]; /* the newest, where it was made just now; STATUS: zeroes */
};
static const struct wire_field as_keyset_rows[] = {
	WIRE_U16(struct as_keyset, code, 64),
	WIRE_U8(struct as_keyset, what, KEYSET_COUNT - 1),
	WIRE_U32(struct as_keyset, version, UINT32_MAX),
	WIRE_U32(struct as_keyset, versions, UINT32_MAX),
	WIRE_U64(struct as_keyset, left),
	WIRE_U64(struct as_keyset, created_s),
	WIRE_FIXED(struct as_keyset, key),
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

struct as_backup_state {
	uint16_t code; /* E_EXISTS: one is under way, E_NOTFOUND: none yet, E_AGAIN, E_SYS … */
	uint8_t under_way;
	uint64_t done_bytes, all_bytes;
	uint64_t generation; /* of the database in it */
	uint64_t created_s;
};
static const struct wire_field as_backup_state_rows[] = {
	WIRE_U16(struct as_backup_state, code, 64),
	WIRE_U8(struct as_backup_state, under_way, 1),
	WIRE_U64(struct as_backup_state, done_bytes),
	WIRE_U64(struct as_backup_state, all_bytes),
	WIRE_U64(struct as_backup_state, generation),
	WIRE_U64(struct as_backup_state, created_s),
};

/* For every grant of content that was used, one way or the other. */
struct as_content_done {
	uint8_t grant[GRANT_LEN];
	uint64_t turn;
	uint16_t error;      /* enum error; ERROR_NONE: it was done, and is durable */
	uint64_t size_bytes; /* of what was read or written, in plain */
	uint32_t items;      /* of those: objects and items */
};
static const struct wire_field as_content_done_rows[] = {
	WIRE_FIXED(struct as_content_done, grant),
	WIRE_U64(struct as_content_done, turn),
	WIRE_U16(struct as_content_done, error, ERROR_COUNT - 1),
	WIRE_U64(struct as_content_done, size_bytes),
	WIRE_U32(struct as_content_done, items, UINT32_MAX),
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
};
static const struct wire_field as_erased_rows[] = {
	WIRE_U16(struct as_erased, code, 64),
	WIRE_U64(struct as_erased, rows),
};

/* Where the next page begins; all zero: the first. Whoever asks takes it from the answer. */
struct as_export {
	struct span tenant;
	struct span user;
	uint8_t stage;
	uint64_t row;
	uint32_t offset;
};
static const struct wire_field as_export_rows[] = {
	WIRE_BYTES(struct as_export, tenant, 1, TENANT_MAX),
	WIRE_BYTES(struct as_export, user, 1, USER_MAX),
	WIRE_U8(struct as_export, stage, 255),
	WIRE_U64(struct as_export, row),
	WIRE_U32(struct as_export, offset, UINT32_MAX),
};

/* All pages, one behind the other, are JSON objects with an LF behind each (docs/privacy.md). */
struct as_exported {
	uint16_t code; /* E_NOTFOUND; E_AGAIN: what it stood at is gone, begin anew */
	uint8_t more;
	uint8_t stage; /* of the next page, as are row and offset */
	uint64_t row;
	uint32_t offset;
	struct span page;
};
static const struct wire_field as_exported_rows[] = {
	WIRE_U16(struct as_exported, code, 64),
	WIRE_U8(struct as_exported, more, 1),
	WIRE_U8(struct as_exported, stage, 255),
	WIRE_U64(struct as_exported, row),
	WIRE_U32(struct as_exported, offset, UINT32_MAX),
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
	[AS_SECRET_PUT] = { "secret-put", WIRE_A_TO_B,
	    WIRE_TABLE(struct as_secret_put, as_secret_put_rows) },
	[AS_SECRET_GET] = { "secret-get", WIRE_A_TO_B,
	    WIRE_TABLE(struct as_secret_name, as_secret_name_rows) },
	[AS_SECRET] = { "secret", WIRE_B_TO_A, WIRE_TABLE(struct as_secret, as_secret_rows) },
	[AS_SECRET_REMOVE] = { "secret-remove", WIRE_A_TO_B,
	    WIRE_TABLE(struct as_secret_name, as_secret_name_rows) },
	[AS_SECRET_LIST] = { "secret-list", WIRE_A_TO_B, WIRE_TABLE_NONE },
	[AS_USAGE_ADD] = { "usage-add", WIRE_A_TO_B,
	    WIRE_TABLE(struct as_usage_add, as_usage_add_rows) },
	[AS_USAGE_LIST] = { "usage-list", WIRE_A_TO_B,
	    WIRE_TABLE(struct as_usage_list, as_usage_list_rows) },
	[AS_USAGE] = { "usage", WIRE_B_TO_A, WIRE_TABLE(struct as_usage, as_usage_rows) },
	[AS_TOOL] = { "tool", WIRE_B_TO_A, WIRE_TABLE(struct as_tool, as_tool_rows) },
	[AS_TOOL_PUT] = { "tool-put", WIRE_A_TO_B, WIRE_TABLE(struct as_tool, as_tool_rows) },
	[AS_TOOL_KEPT] = { "tool-kept", WIRE_B_TO_A,
	    WIRE_TABLE(struct as_tool_kept, as_tool_kept_rows) },
	[AS_TOOL_GET] = { "tool-get", WIRE_A_TO_B,
	    WIRE_TABLE(struct as_tool_get, as_tool_get_rows) },
	[AS_TOOL_PART] = { "tool-part", WIRE_B_TO_A,
	    WIRE_TABLE(struct as_tool_part, as_tool_part_rows) },
	[AS_TOOL_REBUILT] = { "tool-rebuilt", WIRE_A_TO_B,
	    WIRE_TABLE(struct as_tool_rebuilt, as_tool_rebuilt_rows) },
	[AS_TOOL_MARK] = { "tool-mark", WIRE_A_TO_B,
	    WIRE_TABLE(struct as_tool_mark, as_tool_mark_rows) },
	[AS_TOOL_REMOVE] = { "tool-remove", WIRE_A_TO_B,
	    WIRE_TABLE(struct as_tool_remove, as_tool_remove_rows) },
	[AS_USER_PUT] = { "user-put", WIRE_A_TO_B,
	    WIRE_TABLE(struct as_user_put, as_user_put_rows) },
	[AS_KEY_USED] = { "key-used", WIRE_A_TO_B,
	    WIRE_TABLE(struct as_key_used, as_key_used_rows) },
	[AS_GRANT] = { "grant", WIRE_A_TO_B, WIRE_TABLE(struct grant, grant_rows) },
	[AS_CONTENT_DONE] = { "content-done", WIRE_B_TO_A,
	    WIRE_TABLE(struct as_content_done, as_content_done_rows) },
	[AS_TURN_END] = { "turn-end", WIRE_A_TO_B, WIRE_TABLE(struct turn_ref, turn_ref_rows) },
	[AS_TURN_ENDED] = { "turn-ended", WIRE_B_TO_A, WIRE_TABLE(struct turn_ref, turn_ref_rows) },
	[AS_KEK_ROTATE] = { "kek-rotate", WIRE_A_TO_B,
	    WIRE_TABLE(struct as_kek_rotate, as_kek_rotate_rows) },
	[AS_KEK_STATUS] = { "kek-status", WIRE_A_TO_B, WIRE_TABLE_NONE },
	[AS_KEK] = { "kek", WIRE_B_TO_A, WIRE_TABLE(struct as_kek, as_kek_rows) },
	[AS_USER_ERASE] = { "user-erase", WIRE_A_TO_B,
	    WIRE_TABLE(struct as_user_ref, as_user_ref_rows) },
	[AS_ERASED] = { "erased", WIRE_B_TO_A, WIRE_TABLE(struct as_erased, as_erased_rows) },
	[AS_USER_EXPORT] = { "user-export", WIRE_A_TO_B,
	    WIRE_TABLE(struct as_export, as_export_rows) },
	[AS_EXPORTED] = { "exported", WIRE_B_TO_A,
	    WIRE_TABLE(struct as_exported, as_exported_rows) },
	[AS_RETENTION] = { "retention", WIRE_B_TO_A,
	    WIRE_TABLE(struct as_retention, as_retention_rows) },
	[AS_BACKUP] = { "backup", WIRE_A_TO_B, WIRE_TABLE_NONE },
	[AS_BACKUP_STATUS] = { "backup-status", WIRE_A_TO_B, WIRE_TABLE_NONE },
	[AS_SESSION] = { "session", WIRE_B_TO_A, WIRE_TABLE(struct as_session, as_session_rows) },
	[AS_SESSION_PUT] = { "session-put", WIRE_A_TO_B,
	    WIRE_TABLE(struct as_session, as_session_rows) },
	[AS_SESSION_END] = { "session-end", WIRE_A_TO_B,
	    WIRE_TABLE(struct as_session_end, as_session_end_rows) },
	[AS_KEYSET_KEY] = { "keyset-key", WIRE_B_TO_A,
	    WIRE_TABLE(struct as_keyset_key, as_keyset_key_rows) },
	[AS_KEYSET_ROTATE] = { "keyset-rotate", WIRE_A_TO_B,
	    WIRE_TABLE(struct as_keyset_ref, as_keyset_ref_rows) },
	[AS_KEYSET_STATUS] = { "keyset-status", WIRE_A_TO_B,
	    WIRE_TABLE(struct as_keyset_ref, as_keyset_ref_rows) },
	[AS_KEYSET] = { "keyset", WIRE_B_TO_A, WIRE_TABLE(struct as_keyset, as_keyset_rows) },
	[AS_KEY_REHASH] = { "key-rehash", WIRE_A_TO_B,
	    WIRE_TABLE(struct as_key_rehash, as_key_rehash_rows) },
	[AS_PING] = { "ping", WIRE_A_TO_B, WIRE_TABLE_NONE },
	[AS_BACKUP_STATE] = { "backup-state", WIRE_B_TO_A,
	    WIRE_TABLE(struct as_backup_state, as_backup_state_rows) },
	[AS_SECRETS] = { "secrets", WIRE_B_TO_A, WIRE_TABLE(struct as_secrets, as_secrets_rows) },
};
static const struct wire_edge as_edge = { .name = "authority-store",
	.msgs = as_msgs,
	.nmsgs = sizeof(as_msgs) / sizeof(as_msgs[0]),
	.secrets = true };

#endif
