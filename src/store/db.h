/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_DB_H
#define STORE_DB_H

/*
 * The database: tenants, users, keys, policies, secrets. Calls block on the
 * disk; every change is durable when its call returns OK. The directory must be
 * the current one. Errors of all: E_SYS (err 0: SQLite's; ENOSPC, EROFS, EIO),
 * E_CORRUPT, E_CRYPTO (wrong master key, or a sealed value was changed), E_NOMEM.
 */
#include <crypto/secret.h>
#include <wire/authority_store.h>

#define DB_SCHEMA_VERSION 1
#define DB_DAY_KEYS_MAX 90   /* daily keys kept; older ones are gone, and what they sealed */
#define DB_DAY_SKEW_S 86400  /* a new day may be off ours by this much */
#define DB_USERS_MAX 1000000 /* rows */
#define DB_KEYS_MAX 1000000

struct db;

/*
 * Open or create store.db in the current directory; checks the version and that
 * `kek` opens what is there. Makes the pepper at the first start.
 * Owner: db_close(). `kek` is borrowed. E_UNSUPPORTED: a newer version.
 */
MUST_USE struct status db_open(const struct secret *kek, struct db **ret);
void db_close(struct db *db);

/* The secret under all key hashes. */
MUST_USE struct status db_pepper(struct db *db, uint8_t out[AS_SECRET_LEN]);
/*
 * The key of a day, made if it is new. Errors: E_SYNTAX (no date), E_RANGE (not
 * there, and not today by more than DB_DAY_SKEW_S).
 */
MUST_USE struct status db_day_key(
    struct db *db, struct span day, uint64_t now_s, uint8_t out[AS_SECRET_LEN]);
void db_day_of(uint64_t now_s, uint8_t out[AS_DAY_LEN]);

/* Creates tenant, user and policy name where missing. E_EXISTS: the id is taken; E_FULL. */
MUST_USE struct status db_key_put(
    struct db *db, const struct as_key *key, uint8_t ret_subject_key[AS_SECRET_LEN]);
/* The first time counts. E_NOTFOUND. */
MUST_USE struct status db_key_revoke(
    struct db *db, const uint8_t id[KEY_ID_LEN], uint64_t revoked_s);
/* Does the id exist with this hash? E_NOTFOUND, E_EXISTS (another hash). */
MUST_USE struct status db_key_same(struct db *db, const struct as_key *key);

/*
 * The next row after *cursor (0: from the first); E_NOTFOUND at the end. Spans
 * are valid until the next call.
 */
MUST_USE struct status db_user_next(struct db *db, int64_t *cursor, struct as_user *ret);
MUST_USE struct status db_key_next(struct db *db, int64_t *cursor, struct as_key *ret);

#endif
