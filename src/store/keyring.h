/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_KEYRING_H
#define STORE_KEYRING_H

/*
 * Keys of what is stored:
 *	root (master.key), and Vault or KMS where `store.kek` says so (kek.h)
 *	→ key-encryption key, in versions
 *	→ tenant's key, in versions → user's data key, in versions
 *	→ a key of its own for each value (crypto/seal.h)
 * Each is random, and wrapped by the one before. What is new is written with the newest,
 * anything is read; old ones go when nothing needs them (rotate.h). Who loses a data
 * key loses all that lies under it: that is how a person is erased.
 * Errors of all: E_CORRUPT, E_CRYPTO (a key or value was changed, swapped, or is of another
 * place or state), E_NOMEM, E_SYS.
 */
#include <crypto/seal.h>
#include <stddef.h>

#include <wire/limits.h>

#define KEYRING_USERS_MAX 2048 /* data keys in memory; others are unwrapped when needed */
#define KEYRING_TENANTS_MAX 256
#define KEYRING_KEKS_MAX 64            /* versions, all in memory */
#define KEYRING_TENANT_VERSIONS_MAX 64 /* of one tenant, at once */

struct db;

/* Where a value is: no two places have the same bytes. */
struct place {
	const char *table;
	struct span row[2];
	const char *column;
};
/* Eight bytes, most significant first: a number as a part of a row's name. */
struct span place_number(uint64_t v, uint8_t out[8]);

struct data_key {
	uint64_t id;
	const struct secret *key; /* borrowed until the next call on the keyring */
};

/*
 * The newest data key of a user; made at first use, within the caller's transaction
 * or one of its own. E_NOTFOUND: no such user, or erased.
 */
MUST_USE struct status keyring_user_newest(struct db *db, int64_t user, struct data_key *ret);
/* E_NOTFOUND: destroyed, or another user's. */
MUST_USE struct status keyring_user_get(
    struct db *db, int64_t user, uint64_t id, struct data_key *ret);
/*
 * Erasure: all data keys of the user, at once; durable, and neither in the database's
 * file nor in its log when it returns. The user's state becomes USER_ERASED.
 * State: outside of a transaction. E_NOTFOUND: no such user.
 */
MUST_USE struct status keyring_user_destroy(struct db *db, int64_t user);

/*
 * A value, sealed with the user's newest key for its place and state. `version` must be
 * another one whenever the row's value changes: a value of an older state does not open.
 */
MUST_USE struct status keyring_value_seal(struct db *db, int64_t user, const struct place *at,
    uint64_t version, struct span plain, uint64_t *ret_key_id, struct buf *out);
/* E_NOTFOUND: its key was destroyed. */
MUST_USE struct status keyring_value_open(struct db *db, int64_t user, uint64_t key_id,
    const struct place *at, uint64_t version, struct span blob, struct buf *out);

/* For indexes over what is sealed: HMAC-SHA-256 under a key of the store, one for each label. */
MUST_USE struct status keyring_index(
    struct db *db, const char *label, struct span text, uint8_t out[DIGEST_LEN]);

/*
 * Columns that hold values as keyring_value_seal() made them, so that they can be sealed
 * anew when data keys rotate (keyring_columns.c has the table). Each is an SQL expression on
 * the table; a row part that is an INTEGER counts as place_number(), a BLOB or TEXT as its bytes.
 * The table has rowids, and an index on `key`.
 */
struct keyring_column {
	const char *table, *column; /* of its place */
	const char *next;           /* ?1 a key's id: rowid, two parts of the row, version, value */
	const char *set;            /* ?1 rowid, ?2 key's id, ?3 value */
};
#define KEYRING_COLUMN(table_, row0, row1, version, key, value)                             \
	{                                                                                   \
		(table_), (value),                                                          \
		    "SELECT rowid, " row0 ", " row1 ", " version ", " value " FROM " table_ \
		    " WHERE " key " = ?1 AND rowid > ?2 ORDER BY rowid LIMIT 1",            \
		    "UPDATE " table_ " SET " key " = ?2, " value " = ?3 WHERE rowid = ?1"   \
	}
extern const struct keyring_column keyring_columns[];
extern const size_t keyring_columns_n;

#endif
