/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_DB_H
#define STORE_DB_H

/*
 * The database: tenants, users, keys, policies, secrets, usage. Calls block on the
 * disk; every change is durable when its call returns OK. The directory must be
 * the current one. Errors of all: E_SYS (err 0: SQLite's; ENOSPC, EROFS, EIO),
 * E_CORRUPT, E_CRYPTO (wrong master key, or a sealed value was changed), E_NOMEM.
 */
#include <crypto/secret.h>
#include <wire/authority_store.h>

#define DB_SCHEMA_VERSION 8
#define DB_DAY_KEYS_MAX 90        /* daily keys kept; older ones are gone, and what they sealed */
#define DB_DAY_SKEW_S 86400       /* a new day may be off ours by this much */
#define DB_USERS_MAX 1000000      /* those who were not erased */
#define DB_KEYS_MAX 1000000       /* rows */
#define KEY_ENDED_DAYS 30         /* a row stays so long after its key was revoked, or ended */
#define DB_SESSIONS_MAX 32768     /* rows; the authority has half of it at once */
#define DB_KEYSET_VERSIONS_MAX 16 /* of one kind, kept at once */
#define DB_TOOL_NAMES_MAX 1024    /* of one user, those that were removed included */
#define DB_TOOL_BYTES_MAX (256U << 20) /* of one user: all parts of all versions */
#define DB_TOOL_VERSIONS_ALL_MAX 16384
#define DB_USAGE_DAYS 400             /* kept; older ones go */
#define DB_CONTENT_BYTES (1ULL << 30) /* of one user, where nothing else is configured */

struct db;

/*
 * Open or create store.db in the current directory; checks the version and that
 * `root` opens what is there. Makes keys and pepper at the first start. `old_kek` is
 * the key of version 1, for its migration; may be NULL.
 * Owner: db_close(). `root` is borrowed. E_UNSUPPORTED: another version.
 */
MUST_USE struct status db_open(
    const struct secret *root, const struct secret *old_kek, struct db **ret);
void db_close(struct db *db);
/*
 * The same in two steps: the tables alone, and all that is under the key-encryption keys, once
 * those are open (kek.h). `wrapper` is `store.kek`, of new ones.
 */
MUST_USE struct status db_open_tables(
    const struct secret *root, const struct secret *old_kek, const char *wrapper, struct db **ret);
MUST_USE struct status db_open_rest(struct db *db);

/*
 * The next generation of the database, for somebody outside to keep: an older database
 * that was put back has a smaller one. Sealed like a secret: it cannot be made up.
 */
MUST_USE struct status db_generation_next(struct db *db, uint64_t *ret);
/* Has anything been changed since the last generation? */
bool db_changed(const struct db *db);

/* ---- sums over rows that say who may what: sum.c ---- */
/*
 * Those that do not fit, a bit for each enum as_sum: rows were changed behind our back. Nothing
 * under them may be told to anybody, and none is changed (E_CORRUPT).
 */
uint8_t db_sums_unfit(const struct db *db);
/*
 * Once more: the rows of now, and what this connection knows of them; for as long as `budget_ns`,
 * but a step at least. It goes on with the next call; what it finds is known once there is no
 * *ret_more. State: outside of transactions.
 */
MUST_USE struct status db_sums_look(struct db *db, uint64_t budget_ns, bool *ret_more);
/* Who asked for that look is gone: the next one begins with the first row. */
void db_sums_look_anew(struct db *db);
/*
 * An operator says that what is there is true. `unfit`: what was not, as far as they know.
 * E_NOTFOUND: all fits; E_AGAIN: it is something else.
 */
MUST_USE struct status db_sums_accept(struct db *db, uint8_t unfit);
/* Commits so far that changed rights, or restrictions. */
uint64_t db_sums_changes(const struct db *db);

/* The key under which records call tenants: what they said stays true. */
MUST_USE struct status db_tenant_key(struct db *db, uint8_t out[AS_SECRET_LEN]);
/*
 * The key of a day, made if it is new. Errors: E_SYNTAX (no date), E_RANGE (not
 * there, and not today by more than DB_DAY_SKEW_S).
 */
MUST_USE struct status db_day_key(
    struct db *db, struct span day, uint64_t now_s, uint8_t out[AS_SECRET_LEN]);
/* When the newest day began for which there is a key. E_NOTFOUND. */
MUST_USE struct status db_day_newest(struct db *db, uint64_t *ret_s);
void db_day_of(uint64_t now_s, uint8_t out[AS_DAY_LEN]);

/* Creates tenant, user and policy name where missing. E_EXISTS: the id is taken; E_FULL;
 * E_AGAIN: its pepper is none of ours any more. */
MUST_USE struct status db_key_put(
    struct db *db, const struct as_key *key, uint8_t ret_subject_key[AS_SECRET_LEN]);
/* Marks of a user; creates tenant and user where missing. E_NOTFOUND: erased. */
MUST_USE struct status db_user_put(
    struct db *db, const struct as_user_put *m, uint8_t ret_subject_key[AS_SECRET_LEN]);
/* Later than before, or nothing changes; unknown keys are left out. */
MUST_USE struct status db_keys_used(struct db *db, const struct as_key_used *m);
/*
 * Keys, hashed under the newest pepper, or under none (0). Those that are unknown, or hashed so
 * already, are left out. A pepper that no key needs any more goes with it.
 */
MUST_USE struct status db_keys_rehash(struct db *db, const struct as_key_rehash *m);
/* The first time counts. E_NOTFOUND. */
MUST_USE struct status db_key_revoke(
    struct db *db, const uint8_t id[KEY_ID_LEN], uint64_t revoked_s);
/* Does the id exist with this hash? E_NOTFOUND, E_EXISTS (another hash). */
MUST_USE struct status db_key_same(struct db *db, const struct as_key *key);

/*
 * The next row after *cursor (0: from the first); E_NOTFOUND at the end; after E_CORRUPT it
 * goes on behind the one that does not open. Spans are valid until the next call.
 */
MUST_USE struct status db_user_next(struct db *db, int64_t *cursor, struct as_user *ret);
MUST_USE struct status db_key_next(struct db *db, int64_t *cursor, struct as_key *ret);

/* ---- sessions: session.c ---- */
/*
 * E_NOTFOUND: no such key, or signer; E_DENIED: its user is not active; E_EXISTS; E_FULL. What has
 * ended by `now_s` goes.
 */
MUST_USE struct status db_session_put(struct db *db, const struct as_session *m, uint64_t now_s);
/* E_NOTFOUND: there is none any more. */
MUST_USE struct status db_session_end(struct db *db, const uint8_t id[SESSION_ID_LEN]);
/* As db_key_next(). */
MUST_USE struct status db_session_next(struct db *db, int64_t *cursor, struct as_session *ret);

/* ---- keys that have versions: keyset.c ---- */
/* Another version, the newest from now on. E_FULL: too many old ones are still needed. */
MUST_USE struct status db_keyset_rotate(struct db *db, enum as_keysets what, uint64_t now_s);
/* The newest key: the caller wipes it. */
MUST_USE struct status db_keyset_newest(
    struct db *db, enum as_keysets what, uint8_t ret[AS_SECRET_LEN]);
/* Without the key. */
MUST_USE struct status db_keyset_status(struct db *db, enum as_keysets what, struct as_keyset *ret);
/* The next version of all, oldest first; as db_key_next(). The caller wipes it. */
struct db_keyset_cursor {
	uint8_t what;
	uint32_t version;
};
MUST_USE struct status db_keyset_next(
    struct db *db, struct db_keyset_cursor *c, struct as_keyset_key *ret);

/* ---- secrets of providers, as the CLI sealed them: file_secret.c ---- */
/* `ret` has the new version, no values. E_NOTFOUND (nothing to rotate), E_FULL, E_SYNTAX. */
MUST_USE struct status db_file_put(
    struct db *db, const struct as_secret_put *m, struct as_secret *ret);
/* Spans are valid until the next call. E_NOTFOUND. */
MUST_USE struct status db_file_get(struct db *db, struct span name, struct as_secret *ret);
MUST_USE struct status db_file_remove(struct db *db, struct span name);
/* The next one by name after `*name`; E_NOTFOUND at the end. Spans as above. */
MUST_USE struct status db_file_next(struct db *db, struct span after, struct as_secret_row *ret);

/* ---- users' tools: tool.c. Descriptors are sealed memory files ---- */
/* False: a value was changed behind our back; then there are no tools, and none is taken. */
bool db_tools_fit(const struct db *db);
/*
 * A new version, which is the current one from now on. E_PROTO: parts, sizes or digests are
 * not what `m` says; E_RANGE: too long; E_FULL: a quota; E_NOTFOUND: no such user.
 */
MUST_USE struct status db_tool_put(
    struct db *db, const struct as_tool *m, int upload, int artefact, struct as_tool_kept *ret);
/* The next version of all; spans are valid until the next call. E_NOTFOUND at the end; after
 * E_CORRUPT it goes on behind the one that does not open. */
struct db_tool_cursor {
	uint64_t tool, version; /* 0: from the first */
};
MUST_USE struct status db_tool_next(struct db *db, struct db_tool_cursor *c, struct as_tool *ret);
/* E_NOTFOUND: no such version, or it has no such part. */
MUST_USE struct status db_tool_part(
    struct db *db, uint64_t id, enum tool_part part, uint8_t ret_digest[DIGEST_LEN], int *ret_fd);
MUST_USE struct status db_tool_rebuilt(
    struct db *db, const struct as_tool_rebuilt *m, int artefact);
MUST_USE struct status db_tool_mark(struct db *db, const struct as_tool_mark *m);
/* E_DENIED: there is a legal hold on its owner. */
MUST_USE struct status db_tool_remove(struct db *db, const struct as_tool_remove *m);

/* ---- usage: usage.c ---- */
/* A batch that is in already changes nothing. Items of unknown keys are left out. */
MUST_USE struct status db_usage_add(struct db *db, const struct as_usage_add *m);
typedef struct status db_usage_row(void *ctx, const struct as_usage_row *row);
/* Where a page ended; user 0: there is no other. */
struct db_usage_at {
	uint64_t user, key;
	char model[MODEL_MAX + 1];
};
/*
 * Calls `row` for up to AS_USAGE_PAGE_MAX rows; none does not say that it is over. E_AGAIN: where
 * it was to go on is gone.
 */
MUST_USE struct status db_usage_list(struct db *db, const struct as_usage_list *m,
    db_usage_row *row, void *ctx, struct db_usage_at *ret_next);
/* All that key number `key` has used, a row for each model. */
MUST_USE struct status db_usage_of_key(struct db *db, uint64_t key, db_usage_row *row, void *ctx);

#endif
