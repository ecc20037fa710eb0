/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_INTERNAL_H
#define STORE_INTERNAL_H

/* What the files of the database share. */
#include "backend.h"
#include "db.h"
#include "keyring.h"

#include <wire/store_broker.h>

#define DB_FILE "store.db"
#define WRAPPED_MAX 256 /* bytes of a sealed secret */

enum statement {
	SQL_BEGIN,
	SQL_COMMIT,
	SQL_ROLLBACK,
	SQL_KEK_ADD,
	SQL_KEK_GET,
	SQL_KEK_NEWEST,
	SQL_KEK_NEXT,
	SQL_KEK_SET,
	SQL_TENANT_KEY_ADD,
	SQL_TENANT_KEY_GET,
	SQL_TENANT_KEY_NEWEST,
	SQL_TENANT_KEY_SET,
	SQL_USER_KEY_ADD,
	SQL_USER_KEY_GET,
	SQL_USER_KEY_NEWEST,
	SQL_USER_KEY_SET,
	SQL_USER_KEYS_REMOVE,
	SQL_ROTATION_GET,
	SQL_ROTATION_BEGIN,
	SQL_ROTATION_END,
	SQL_ROTATION_MARKS,
	SQL_OLD_TENANT_WRAP,
	SQL_OLD_SECRET,
	SQL_SECRET_SET,
	SQL_KEKS_RETIRE,
	SQL_TENANT_AFTER,
	SQL_USER_AFTER,
	SQL_OLD_USER_KEY,
	SQL_USER_KEY_REMOVE,
	SQL_OLD_USER_WRAP,
	SQL_TENANT_KEYS_RETIRE,
	SQL_COUNT_KEKS,
	SQL_COUNT_KEK_FOREIGN,
	SQL_COUNT_SECRETS,
	SQL_COUNT_KEK_LEFT,
	SQL_COUNT_USER_LEFT,
	SQL_COUNT_TENANT_LEFT,
	SQL_TENANT_FIND,
	SQL_TENANT_ADD,
	SQL_TENANT_SET,
	SQL_TENANT_GET,
	SQL_USER_FIND,
	SQL_USER_ADD,
	SQL_USER_SET,
	SQL_USER_GET,
	SQL_USER_NEXT,
	SQL_USER_ERASE,
	SQL_KEY_IS,
	SQL_KEY_FIND,
	SQL_KEY_ADD,
	SQL_KEY_SET,
	SQL_KEY_USED,
	SQL_KEY_NEXT,
	SQL_KEY_REMOVE,
	SQL_COUNT_KEYS,
	SQL_COUNT_USERS,
	SQL_SECRET_FIND,
	SQL_SECRET_ADD,
	SQL_SECRET_KEEP,
	SQL_DAYS_TRIM,
	SQL_DAY_NEWEST,
	SQL_FILE_FIND,
	SQL_FILE_COUNT,
	SQL_FILE_PUT,
	SQL_FILE_ROTATE,
	SQL_FILE_REMOVE,
	SQL_FILE_NEXT,
	SQL_BATCH_FIND,
	SQL_BATCH_SET,
	SQL_USAGE_ADD,
	SQL_USAGE_TRIM,
	SQL_USAGE_SUM,
	SQL_USAGE_MODEL,
	SQL_USER_OF_TENANT,
	SQL_USER_OF_HASH,
	SQL_USAGE_OF_KEY,
	SQL_TOOL_FIND,
	SQL_TOOL_ADD,
	SQL_TOOL_NAME,
	SQL_TOOL_GET,
	SQL_TOOL_SET,
	SQL_TOOL_NEXT,
	SQL_TOOL_REMOVE,
	SQL_TOOL_HOLD,
	SQL_VERSIONS_REMOVE,
	SQL_VERSIONS_WEIGHT,
	SQL_TOOL_MARKS_NEXT,
	SQL_TOOL_SUM_GET,
	SQL_TOOL_SUM_SET,
	SQL_TOOLS_OF_USER,
	SQL_TOOL_NAMES_OF_USER,
	SQL_TOOL_BYTES_OF_USER,
	SQL_VERSIONS_COUNT,
	SQL_VERSION_ADD,
	SQL_VERSION_GET,
	SQL_VERSION_SET,
	SQL_VERSION_REMOVE,
	SQL_VERSION_HIDE,
	SQL_VERSIONS_HIDE,
	SQL_VERSION_SHRINK,
	SQL_CHUNK_ADD,
	SQL_CHUNK_GET,
	SQL_CHUNKS_REMOVE,
	SQL_CHUNK_FIRST,
	SQL_CHUNK_REMOVE,
	SQL_CONTENT_USER,
	SQL_ROW_LAST,
	SQL_USE_GET,
	SQL_USE_SET,
	SQL_OBJECT_ADD,
	SQL_OBJECT_FIND,
	SQL_OBJECT_GET,
	SQL_OBJECT_SET,
	SQL_OBJECT_NEXT,
	SQL_OBJECT_BEFORE,
	SQL_OBJECT_NEXT_OF_TAG,
	SQL_OBJECT_BEFORE_OF_TAG,
	SQL_OBJECT_HIDE,
	SQL_OBJECT_REMOVE,
	SQL_ITEM_ADD,
	SQL_ITEM_FIND_OF_RESPONSE,
	SQL_ITEM_FIND_OF_CONVERSATION,
	SQL_ITEM_NEXT_OF_RESPONSE,
	SQL_ITEM_NEXT_OF_CONVERSATION,
	SQL_ITEM_BEFORE_OF_RESPONSE,
	SQL_ITEM_BEFORE_OF_CONVERSATION,
	SQL_ITEMS_COUNT_OF_RESPONSE,
	SQL_ITEMS_COUNT_OF_CONVERSATION,
	SQL_ITEM_HIDE,
	SQL_ITEM_LEAVE,
	SQL_ITEM_REMOVE,
	SQL_ITEM_FIRST_OF_RESPONSE,
	SQL_ITEM_FIRST_OF_CONVERSATION,
	SQL_ITEM_REMOVE_OF_RESPONSE,
	SQL_ITEM_REMOVE_OF_CONVERSATION,
	SQL_ITEM_LEAVE_RESPONSE,
	SQL_ITEMS_ALL_OF_RESPONSE,
	SQL_ITEMS_ALL_OF_CONVERSATION,
	SQL_ITEMS_SUM_OF_RESPONSE,
	SQL_ITEMS_SUM_OF_CONVERSATION,
	SQL_ITEMS_REMOVE_OF_RESPONSE,
	SQL_ITEMS_REMOVE_OF_CONVERSATION,
	SQL_ITEMS_LEAVE_RESPONSE,
	SQL_ITEMS_LEAVE_CONVERSATION,
	SQL_FILE_CHUNK_ADD,
	SQL_FILE_CHUNK_GET,
	SQL_FILE_CHUNKS_REMOVE,
	SQL_KEYS_OF_USER,
	SQL_KEYS_REMOVE,
	SQL_USAGE_REMOVE,
	SQL_TOOL_OF_USER,
	SQL_VERSION_OF_USER,
	SQL_VERSION_LEFT_OF_USER,
	SQL_TOOL_LIVE_OF_USER,
	SQL_SESSION_OF_USER,
	SQL_ROWS_OF_USER,
	SQL_SWEEP_ERASED,
	SQL_SWEEP_HIDDEN,
	SQL_SWEEP_EXPIRED,
	SQL_SWEEP_AGED,
	SQL_SWEEP_ITEM,
	SQL_SWEEP_VERSION,
	SQL_SESSION_ADD,
	SQL_SESSION_NEXT,
	SQL_SESSION_REMOVE,
	SQL_SESSIONS_COUNT,
	SQL_SESSIONS_EXPIRED,
	SQL_SESSIONS_OF_KEY_REMOVE,
	SQL_SESSIONS_OF_USER_REMOVE,
	SQL_SECRET_REMOVE,
	SQL_KEYSET_ADD,
	SQL_KEYSET_NEXT,
	SQL_KEYSET_IS,
	SQL_KEYSET_NEWEST,
	SQL_KEYSET_REMOVE,
	SQL_KEYSET_SESSION_OLD,
	SQL_KEYSET_SESSION_LEFT,
	SQL_KEYSET_PEPPER_OLD,
	SQL_KEYSET_PEPPER_LEFT,
	SQL_COUNT
};

struct tool_shown;
struct hmac_key;

/* Of sums over rows: sum.h. */
struct sums_state {
	struct hmac_key *key;
	uint64_t generation;                /* of the transaction under way … */
	uint64_t generation_kept;           /* … and of the last commit */
	uint8_t now[SUM_COUNT][DIGEST_LEN]; /* the same */
	uint8_t kept[SUM_COUNT][DIGEST_LEN];
	bool dirty[SUM_COUNT]; /* rows have changed, and it is not written yet */
	bool due[SUM_COUNT];   /* the generation has */
	bool known[SUM_COUNT]; /* one was kept … */
	bool fit[SUM_COUNT];   /* … and it is that of the rows */
	bool failed;           /* a row is not in them */
	bool less;             /* of the transaction under way: sums_less() */
	struct sum_walk {      /* a look at all rows: sum_walk.c */
		bool under_way;
		bool reading; /* rows are told of because they are there */
		size_t table; /* all before it were looked at, and of it … */
		int64_t row;  /* … those up to this number, if any */
		bool any;
		uint64_t rows;
		uint8_t now[SUM_COUNT][DIGEST_LEN], kept[SUM_COUNT][DIGEST_LEN];
	} walk;
	uint64_t changes; /* commits that changed what may who */
};

/* Of users' tools: tool.h. */
struct tools_state {
	struct secret key; /* from the KEK */
	struct hmac_key *sum_key;
	uint8_t sum[DIGEST_LEN]; /* over the marks of all */
	bool known;              /* one was kept, and opened … */
	bool fit;                /* … and is that of the marks, and fits, too: sum.h */
	struct tool_shown *shown;
};

/* Of a user whose row was opened last. */
struct user_names {
	int64_t id; /* 0: none */
	int64_t tenant;
	char user[USER_MAX + 1];
};

/* Of users: user.c. */
struct users_state {
	struct secret scratch;
	struct user_names seen;
	int64_t tenant_id; /* 0: none */
	char tenant_name[TENANT_MAX + 1];
};

/* Of what is kept for users: content.h. */
struct content_state {
	uint64_t user_bytes_max;       /* of one user */
	uint64_t reserve;              /* bytes of the disk that users leave free; 0: not asked */
	uint32_t days[RETAINED_COUNT]; /* 0: for ever */
	uint64_t gone[RETAINED_COUNT]; /* for their age, and nobody has heard of it yet */
	uint64_t ended;                /* files that ended by themselves, the same */
	uint32_t today;                /* by the time that ages go by; 0: not known */
	/* How far this pass of sweeps has looked at what is old: updated_s (expires_s) and id. */
	struct sweep_mark {
		uint64_t updated_s, id;
	} aged[RETAINED_COUNT], expired, hidden;
	uint64_t erased, item, version; /* … ids of a user, of an item, of a tool's version */
	uint64_t key, keys_s; /* … number of a key; when the last pass over keys was over */
};

struct keyring;
struct backup;

/* Of key-encryption keys: keyring_kek.c. */
#define KEK_WRAPPER_LOCAL "local"
struct kek_state {
	char wrapper[SECRET_REF_MAX + 1]; /* of new ones: what is configured */
	uint64_t made;                    /* within the transaction under way; 0: none */
	uint64_t prepared;                /* in memory, in no row yet; 0: none */
	struct buf wrapped;               /* … as the wrapper gave it */
};

/* The rotation that is under way, as far as this process knows: rotate.c. */
struct rotation {
	uint64_t what;                   /* enum as_rotation */
	uint64_t tenant_mark, user_mark; /* keys up to these ids are old */
	unsigned stage;
	uint64_t cursor;
	uint64_t unopened;
	/* Of the old key that is at hand: how far its values are carried over; does one need it? */
	uint64_t key, row;
	size_t column;
	bool needed;
	struct backend_stmt **columns; /* two for each of keyring_columns */
};

struct db {
	struct backend *back;
	struct backend_stmt *st[SQL_COUNT];
	const struct secret *root; /* over the key-encryption keys */
	struct keyring *keyring;
	struct kek_state kek;
	struct users_state users;
	struct buf key_plain; /* the API key that was read last */
	struct rotation rotation;
	uint64_t changes; /* at the last generation */
	struct backup *backup;
	struct as_backup_state backup_state;
	struct sums_state sums;
	struct tools_state tools;
	struct content_state content;
	uint64_t backup_done_ns;  /* 0: there is none that nobody has taken */
	uint64_t backup_waited_s; /* BACKUP_WAITED_S */
	bool settle_owed;         /* the log may still hold what was destroyed: db_settle_owed() */
};

/* key.c: rows of keys that ended long ago go, some at each call. Within a transaction. */
MUST_USE struct status keys_sweep(
    struct db *db, uint64_t now_s, struct content_state *c, bool *ret_more);

#define DB_RESERVE (16U << 20) /* of the disk: what takes away needs room in the log */
/*
 * room.c: may users put so many bytes more? E_SYS with ENOSPC: the disk would be full. State: the
 * working directory is the store's.
 */
MUST_USE struct status room_check(struct db *db, uint64_t bytes);

/* statement.c: a statement is bound, stepped and reset by these. */
MUST_USE struct status sql_prepare(struct db *db);
void sql_finish(struct db *db);
void sql_text(struct db *db, enum statement s, int at, struct span text);
void sql_blob(struct db *db, enum statement s, int at, struct span blob);
void sql_int(struct db *db, enum statement s, int at, uint64_t v);
/* Run to the end. */
MUST_USE struct status sql_run(struct db *db, enum statement s);
/* One row: OK, or E_NOTFOUND. sql_reset() afterwards, when its columns have been read. */
MUST_USE struct status sql_row(struct db *db, enum statement s);
void sql_reset(struct db *db, enum statement s);
void sql_reset_all(struct db *db);
struct span sql_column(struct db *db, enum statement s, int at);
/* The number that is the first column of one row, read and reset: as sql_row(), or E_CORRUPT. */
MUST_USE struct status sql_number(struct db *db, enum statement s, uint64_t *ret);
/* E_FULL: what `s` counts is more than `max`. */
MUST_USE struct status rows_fit(struct db *db, enum statement s, uint64_t max);
/* A blob of exactly `len` bytes, or E_CORRUPT. */
MUST_USE struct status sql_column_fixed(
    struct db *db, enum statement s, int at, uint8_t *out, size_t len);
/* A number that is not negative, or E_CORRUPT. */
MUST_USE struct status sql_column_u64(struct db *db, enum statement s, int at, uint64_t *ret);

/* db.c: a transaction; the end of it commits what went well, and takes back what did not. */
MUST_USE struct status db_begin(struct db *db);
MUST_USE struct status db_end(struct db *db, struct status st);

/* Nothing that was deleted stays in the log: a checkpoint, and the log is cut. */
MUST_USE struct status db_settle(struct db *db);
/* Once more, where it failed before. */
MUST_USE struct status db_settle_owed(struct db *db);
/* Secrets of the store itself, of AS_SECRET_LEN bytes, under the key-encryption key. */
MUST_USE struct status db_secret_find(struct db *db, struct span name, uint8_t *out);
MUST_USE struct status db_secret_put(struct db *db, struct span name, const uint8_t *value);
MUST_USE struct status db_secret_make(struct db *db, struct span name, uint8_t *out);
/* The same secret, under the newest key-encryption key. */
MUST_USE struct status db_secret_rewrap(struct db *db, struct span name);
/* Another value in its place. Within a transaction. */
MUST_USE struct status db_secret_set(struct db *db, struct span name, const uint8_t *value);
/* The same, or a new one. */
MUST_USE struct status db_secret_keep(struct db *db, struct span name, const uint8_t *value);
/* Found, or made in a transaction of its own. */
MUST_USE struct status db_secret_ensure(struct db *db, struct span name, uint8_t *out);

/*
 * schema.c: create the tables, or bring them to our version, and prepare the statements.
 * E_UNSUPPORTED.
 */
MUST_USE struct status schema_apply(struct db *db, const struct secret *old_kek);
/* migrate.c: what SQL cannot do. E_CRYPTO: it is not the key of these values. */
MUST_USE struct status migrate_rewrap(
    struct backend *back, const struct secret *old_kek, const struct secret *kek);
MUST_USE struct status migrate_to_5(struct db *db);

/* keyring.c, for the store itself: keys above those of users. Keys are borrowed as there. */
MUST_USE struct status keyring_new(struct db *db);
void keyring_free(struct db *db);
void keyring_forget(struct db *db);
MUST_USE struct status keyring_index_key(struct db *db, const uint8_t key[AS_SECRET_LEN]);
MUST_USE struct status place_aad(const struct place *at, uint64_t version, struct buf *out);
MUST_USE struct status keyring_sealed_with(const struct data_key *key, const struct place *at,
    uint64_t version, struct span plain, struct buf *out);
MUST_USE struct status keyring_opened_with(const struct data_key *key, const struct place *at,
    uint64_t version, struct span blob, struct buf *out);
MUST_USE struct status keyring_kek_version(struct db *db, uint64_t *ret);
/*
 * A new one, in a row: sealed under the root, or by `db->kek.wrapper` as it was prepared; E_CLOSED:
 * it was not. Within a transaction.
 */
MUST_USE struct status keyring_kek_make(struct db *db, uint64_t version);
MUST_USE struct status keyring_kek_make_local(struct db *db, uint64_t version);
/* What was made in a transaction that was taken back. */
void keyring_kek_forget(struct db *db);
/* Out of memory, where it has no row any more. */
void keyring_kek_prune(struct db *db);
/* E_CLOSED: Vault or KMS has to open it first (kek.c). */
MUST_USE struct status keyring_kek_get(struct db *db, uint64_t version, struct data_key *ret);
MUST_USE struct status keyring_kek_newest(struct db *db, struct data_key *ret);
/* The row after `after`; `wrapped` is cleared first. E_NOTFOUND: no more. */
struct kek_row {
	uint64_t version;
	char wrapper[SECRET_REF_MAX + 1];
};
MUST_USE struct status keyring_kek_next(
    struct db *db, uint64_t after, struct kek_row *ret, struct buf *wrapped);
/*
 * Keys that Vault or KMS wraps: what travels is a key sealed under the root, as that version and
 * for that wrapper. E_CRYPTO: it is not that.
 */
MUST_USE struct status keyring_state_name(struct db *db, uint8_t out[SB_STATE_LEN]);
bool keyring_kek_is_open(struct db *db, uint64_t version);
MUST_USE struct status keyring_kek_inner(
    struct db *db, uint64_t version, const char *wrapper, uint8_t out[SB_KEY_LEN]);
/* Into memory. */
MUST_USE struct status keyring_kek_opened(
    struct db *db, uint64_t version, const char *wrapper, struct span inner);
/* Is it the key that is in memory? */
MUST_USE struct status keyring_kek_same(
    struct db *db, uint64_t version, const char *wrapper, struct span inner);
/* Another wrapping in the row; `wrapped` does not matter for `local`. */
MUST_USE struct status keyring_kek_set(
    struct db *db, uint64_t version, const char *wrapper, struct span wrapped);
/* One that is in no row yet: made, wrapped; or given up. */
MUST_USE struct status keyring_kek_prepare(struct db *db, uint64_t version);
MUST_USE struct status keyring_kek_prepared(struct db *db, struct span wrapped);
void keyring_kek_unprepare(struct db *db);
MUST_USE struct status keyring_tenant_get(
    struct db *db, int64_t tenant, uint64_t id, struct data_key *ret);
MUST_USE struct status keyring_tenant_newest(struct db *db, int64_t tenant, struct data_key *ret);
/* Within a transaction: one more version; a key that stays, under what is newest now. */
MUST_USE struct status keyring_tenant_newer(
    struct db *db, int64_t tenant, uint64_t version, struct data_key *ret);
MUST_USE struct status keyring_user_newer(struct db *db, int64_t user, struct data_key *ret);
MUST_USE struct status keyring_tenant_rewrap(
    struct db *db, int64_t tenant, uint64_t id, uint64_t version);
MUST_USE struct status keyring_user_rewrap(
    struct db *db, int64_t user, int64_t tenant, uint64_t id, uint64_t version);
/* Out of memory: its row is about to go. */
void keyring_user_drop(struct db *db, uint64_t id);

/* user.c. Names are checked by the caller. E_NOTFOUND also for one that was erased. */
bool text_ok(struct span s, size_t max); /* no NUL, nothing empty */
MUST_USE struct status users_new(struct db *db);
void users_free(struct db *db);
void users_forget(struct db *db);
MUST_USE struct status tenant_find(struct db *db, struct span name, int64_t *ret);
/* `id` 0: the next one. Within a transaction. */
MUST_USE struct status tenant_add(struct db *db, int64_t id, struct span name, int64_t *ret);
MUST_USE struct status tenant_seal(struct db *db, int64_t id, struct span name);
/* Spans of names are valid until the next call. */
MUST_USE struct status tenant_name(struct db *db, int64_t id, struct span *ret);
MUST_USE struct status user_row_add(struct db *db, int64_t id, int64_t tenant, struct span name,
    const uint8_t subject_key[AS_SECRET_LEN], int64_t *ret);
MUST_USE struct status user_find(struct db *db, struct span tenant, struct span user, int64_t *ret);
MUST_USE struct status user_ensure(struct db *db, struct span tenant, struct span user,
    int64_t *ret, uint8_t ret_subject_key[AS_SECRET_LEN]);
/* The row of sums that `s` stands at; spans are valid until it is reset. */
MUST_USE struct status usage_row_read(
    struct db *db, enum statement s, struct as_usage_row *r, uint64_t *ret_key);
MUST_USE struct status user_names(
    struct db *db, int64_t id, struct span *ret_tenant, struct span *ret_user);
MUST_USE struct status user_name_hash(struct db *db, struct span name, uint8_t out[DIGEST_LEN]);

/* rotate.c: a number that a statement counts; what was under way goes on. */
MUST_USE struct status db_count(struct db *db, enum statement s, uint64_t arg, uint64_t *ret);
MUST_USE struct status rotation_open(struct db *db);
void rotation_close(struct db *db);

/* key.c: `n` 0: the next one. Within a transaction. */
#define KEY_VALUE_MAX (SCOPES_MAX + 512U)
MUST_USE struct status key_add(struct db *db, uint64_t n, int64_t user, const struct as_key *key);

/* session.c. Within a transaction: what has ended; all of a key, of a user. */
MUST_USE struct status sessions_expire(struct db *db, uint64_t now_s);
MUST_USE struct status sessions_remove_of_key(struct db *db, uint64_t n);
MUST_USE struct status sessions_remove_of_user(struct db *db, int64_t user);

/* keyset.c: the first version of each kind; within a transaction: which are needed no more. */
MUST_USE struct status keysets_open(struct db *db);
MUST_USE struct status keysets_retire(struct db *db);
MUST_USE struct status keyset_newest(struct db *db, enum as_keysets what, uint64_t *ret);

/*
 * sum.c. Within a transaction that takes rights away and gives none: it may, whatever fits. The sum
 * goes along with its rows, so that one that does not fit never does for that.
 */
void sums_less(struct db *db);
bool sums_fit(const struct db *db, enum as_sum sum);
/* Modulo 2^256. */
void sum_add(uint8_t sum[DIGEST_LEN], const uint8_t term[DIGEST_LEN]);
void sum_take(uint8_t sum[DIGEST_LEN], const uint8_t term[DIGEST_LEN]);

/* tool_row.c: its keys are secrets of the store; a tool's row, as an older version had it. */
#define TOOLS_KEY_NAME "tools"
#define TOOLS_SUM_NAME "tools-sum"
MUST_USE struct status tool_row_import(
    struct db *db, uint64_t id, int64_t user, struct span name, uint64_t live, struct span marks);

/* wrap.c: a secret of AS_SECRET_LEN bytes as versions 1 to 4 sealed it. */
MUST_USE struct status wrap(
    const struct secret *kek, const struct place *at, const uint8_t *plain, struct buf *out);
MUST_USE struct status unwrap(
    const struct secret *kek, const struct place *at, struct span blob, uint8_t *out);

#endif
