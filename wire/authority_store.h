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
#include <wire/authority_store_kept.h>
#include <wire/authority_store_keys.h>
#include <wire/authority_store_rights.h>
#include <wire/errors.h>
#include <wire/grant.h>

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
	AS_ERASED,        /* B: same id; it may take ERASE_GIVE_UP_MS */
	AS_USER_EXPORT,   /* A: what is kept of a user, a page of it */
	AS_EXPORTED,      /* B: same id */
	AS_RETENTION,     /* B: what was deleted for its age; no id */
	AS_BACKUP,        /* A: begin a backup; answered by BACKUP_STATE */
	AS_BACKUP_STATUS, /* A */
	AS_BACKUP_STATE,  /* B: same id */
	AS_PING,          /* A: is it there? Answered by DONE: E_OK, or E_FULL, its disk is full */
	AS_SESSION,       /* B: one session that has not ended */
	AS_SESSION_PUT,   /* A: a new one; DONE */
	AS_SESSION_END,   /* A: it never comes back; DONE */
	AS_KEYSET_KEY,    /* B: one version of a key that signs or hashes */
	AS_KEYSET_ROTATE, /* A: a new version; answered by KEYSET */
	AS_KEYSET_STATUS, /* A */
	AS_KEYSET,        /* B: same id */
	AS_KEY_REHASH,    /* A: keys, hashed under the newest pepper; DONE */
	AS_UNFIT,         /* B: rows that were changed behind its back; before each end of a LOAD */
	AS_ACCEPT,        /* A: an operator says that they are true; DONE */
};

/* Rows that somebody could put back: whether they are the service's, one sum over all tells. */
enum as_sum {
	SUM_PEOPLE, /* tenants, users, keys, sessions; without them nobody is known */
	SUM_SECRETS,
	SUM_TOOLS,
	SUM_COUNT
};
#define SUMS_ALL ((1U << SUM_COUNT) - 1)
static const char *const as_sum_names[SUM_COUNT] = { "people", "secrets", "tools" };

struct as_unfit {
	uint8_t sums; /* a bit for each enum as_sum that does not fit */
};
static const struct wire_field as_unfit_rows[] = {
	WIRE_U8(struct as_unfit, sums, SUMS_ALL),
};

struct as_done {
	uint16_t code;                      /* enum code: E_OK, E_EXISTS, E_NOTFOUND, E_SYS … */
	uint8_t subject_key[AS_SECRET_LEN]; /* after KEY_PUT and USER_PUT: the user's */
};
static const struct wire_field as_done_rows[] = {
	WIRE_U16(struct as_done, code, 64),
	WIRE_FIXED(struct as_done, subject_key),
};

struct as_backup_state {
	uint16_t code; /* E_EXISTS: one is under way, E_NOTFOUND: none yet, E_AGAIN, E_SYS … */
	uint8_t under_way;
	uint64_t done_bytes, all_bytes;
	uint64_t generation; /* of the database in it */
	uint64_t created_s;
	uint64_t erased; /* people since it began: it has them, and their keys */
};
static const struct wire_field as_backup_state_rows[] = {
	WIRE_U16(struct as_backup_state, code, 64),
	WIRE_U8(struct as_backup_state, under_way, 1),
	WIRE_U64(struct as_backup_state, done_bytes),
	WIRE_U64(struct as_backup_state, all_bytes),
	WIRE_U64(struct as_backup_state, generation),
	WIRE_U64(struct as_backup_state, created_s),
	WIRE_U64(struct as_backup_state, erased),
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
	[AS_UNFIT] = { "unfit", WIRE_B_TO_A, WIRE_TABLE(struct as_unfit, as_unfit_rows) },
	[AS_ACCEPT] = { "accept", WIRE_A_TO_B, WIRE_TABLE(struct as_unfit, as_unfit_rows) },
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
