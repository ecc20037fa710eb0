/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUTHORITY_ADMIN_OP_H
#define AUTHORITY_ADMIN_OP_H

/*
 * One act of an operator, between admin.c (its life, and acts on keys),
 * admin_secret.c, admin_usage.c and admin_tool.c.
 */
#include <base/span.h>

#include "admin_call.h"
#include "authority.h"

#define ADMIN_BODY_MAX ADMIN_ANSWER_MAX /* of an answer made ahead */

struct admin_op;
typedef struct status admin_make(struct admin_op *op, struct buf *out);
typedef void admin_step(struct admin_op *op);

enum op_kind {
	OP_CREATE = 1,
	OP_REVOKE,
	OP_RELOAD,
	OP_READ,
	OP_SECRET_SET,
	OP_SECRET_REMOVE,
	OP_SECRET_LIST,
	OP_USAGE,
	OP_TOOL_MARK,
	OP_TOOL_LIST,
	OP_USER,
	OP_SESSION,
	OP_APPROVAL,
	OP_KEK_ROTATE,
	OP_KEK_STATUS,
	OP_KEYSET_ROTATE,
	OP_KEYSET_STATUS,
	OP_BACKUP,
	OP_BACKUP_SHOW,
	OP_ERASE,
	OP_EXPORT,
	OP_AUDIT,
	OP_EXPORT_TENANT,
	OP_ROTATE,
	OP_STORE_ACCEPT,
	OP_KIND_COUNT
};

struct admin_op {
	struct authority *a; /* NULL: the slot is free */
	enum op_kind kind;
	uint32_t uid;
	struct key *by;                   /* a person; NULL: an operator, `uid` */
	char source[SOURCE_TEXT_MAX + 1]; /* a person's, sealed */
	bool approved;                    /* by a second person */
	admin_reply *reply;               /* NULL: nobody waits any more */
	void *ctx;
	uint64_t deadline_ms;
	uint8_t request_id[REQUEST_ID_LEN];
	admin_step *ready;   /* it is on record: go on */
	admin_step *undo;    /* it could not be put on record; NULL: nothing is to be undone */
	uint64_t intent_seq; /* 0: the act is one record */
	uint8_t id[KEY_ID_LEN];
	uint8_t text[KEY_TEXT_LEN]; /* OP_CREATE, until it was answered */
	uint8_t hash[DIGEST_LEN];
	uint32_t pepper;                  /* that `hash` is made with */
	char tenant_hex[2 * SUBJECT_LEN]; /* OP_CREATE: its pseudonym */
	char tenant[TENANT_MAX + 1], user[USER_MAX + 1], policy[POLICY_MAX + 1];
	uint64_t created_s, expires_s, revoked_s;
	uint8_t replaces[KEY_ID_LEN]; /* OP_CREATE: zeroes: none */
	uint64_t old_expires_s;       /* and when that one ends */
	uint8_t whose[SUBJECT_LEN];   /* OP_CREATE: its user's pseudonym; zeroes: a new one's */
	uint32_t turns, turns_left;   /* those it ended, those still ending */
	uint64_t turns_until_ms;      /* 0: not waiting */
	char name[SECRET_NAME_MAX + 1], reference[SECRET_NAME_MAX + 8];
	bool rotate;
	uint64_t version, previous_version; /* OP_SECRET_SET, once it is set */
	struct buf sealed;          /* OP_SECRET_SET: what is to be stored; OP_CREATE: scopes */
	const char *operation;      /* OP_READ, OP_APPROVAL, OP_ROTATE: its name on record */
	admin_make *make;           /* OP_READ: makes the answer, once it is on record */
	uint32_t limit;             /* OP_READ: entries of the page */
	char after[USER_MAX + 1];   /* OP_READ: where it begins */
	uint8_t roles, state, hold; /* OP_USER: from now on */
	const char *change, *value; /* OP_USER: on record */
	char value_text[64];        /* … and OP_STORE_ACCEPT */
	struct claim *claim;        /* of what it changes: not held any more with the act's end */
	uint32_t load;              /* the last LOAD before it: a later one knows of what it did */
	store_reply *done;          /* of what the store is asked */
	bool in_doubt;              /* nobody knows whether it was done */
	struct approval *approval;  /* OP_APPROVAL */
	struct buf body;            /* the answer, where it was made ahead */
	bool made;                  /* it was, though its kind has put_body() */
	uint32_t since_day;         /* OP_USAGE: its filter; `name` is the key's id */
	uint64_t after_user;        /* OP_USAGE */
	uint64_t after_key;         /* OP_USAGE, OP_TOOL_LIST */
	char model[MODEL_MAX + 1], after_model[MODEL_MAX + 1];
	struct tool_version *tool; /* OP_TOOL_MARK: held */
	const uint8_t *subject;    /* of its owner */
	bool allowed;
	uint8_t unfit; /* OP_STORE_ACCEPT: what was shown */
	bool owed;     /* OP_REVOKE: the store is told later */
	bool waits;    /* OP_ERASE: the file keeps the keys until a backup is over */
	struct {
		uint64_t at, since_ns, until_ns;
		size_t looked_at;
		bool descending;
	} reading; /* OP_AUDIT: as struct aa_read; `name` is the type */
	struct {
		size_t serial; /* of a tenant's: whose turn it is */
		uint8_t stage;
		uint64_t row;
		uint32_t offset;
		uint8_t part;
		uint64_t item;
		uint32_t asked; /* pages of the store for this answer; OP_USAGE, too */
	} export; /* OP_EXPORT, OP_EXPORT_TENANT: where it stands; its bytes: `sealed` */
	enum as_rotation rotation; /* OP_KEK_ROTATE */
	enum as_keysets keyset;    /* OP_KEYSET_ROTATE, OP_KEYSET_STATUS */
	bool scheduled;
	uint16_t http; /* the answer, once it is known */
	const char *error;
	char message[1025];
	uint32_t generation;
};

/* What a kind of act puts on record, and what it answers. */
struct json_writer;

struct admin_kind {
	void (*put_record)(struct admin_op *op, struct batch *b, const struct record_who *who);
	struct status (*put_body)(struct admin_op *op, struct json_writer *w); /* NULL: op->body */
	bool one_record; /* a read: its record comes before it is done, and is the only one */
	uint32_t wait_ms;
	admin_step *in_doubt; /* what else follows where the store did not answer; NULL: nothing */
};

/* E_FULL, E_SYS. The act's own members are filled in afterwards. */
MUST_USE struct status admin_op_new(
    const struct admin_call *c, enum op_kind kind, struct admin_op **ret);
void admin_op_free(struct admin_op *op);
/*
 * Record it, then run `ready`; where it cannot be recorded, answer that. Frees the act when it
 * fails.
 */
MUST_USE struct status admin_op_begin(
    struct admin_op *op, admin_step *ready, struct admin_op **ret);
/*
 * Ask the store for it; `done` runs with the answer. Where the store is away, the act ends; where
 * it was asked and did not answer, that is in doubt. A read has `done` run without an answer, too.
 */
void admin_op_ask(
    struct admin_op *op, uint16_t type, const void *msg, uint16_t reply_type, store_reply *done);
/* The act is over, one way or the other: record it, then answer. `error` NULL: it worked. */
void admin_op_finish(struct admin_op *op, uint16_t http, const char *error, const char *message);
/*
 * What it has done, or may have, is not in the table: the outcome will be `unknown`, a LOAD comes,
 * and until that has ended what the act claimed is not free.
 */
void admin_op_doubt(struct admin_op *op);
/* The store did not answer: as above, and the act is over. */
void admin_op_finish_in_doubt(struct admin_op *op);
const struct admin_kind *admin_op_kind(const struct admin_op *op);
/* The same for an act of one record: answer now. */
void admin_op_answer(struct admin_op *op, uint16_t http, const char *error, const char *message);
/* The same; op->body is the answer. */
void admin_op_answer_body(struct admin_op *op, uint16_t http);
/* Its record could not be written: nothing was done. */
void admin_op_fail_audit(struct admin_op *op);

/*
 * To end a person's access is to take its roles away: may the caller? In: the action that it is
 * for those of no role; out: that which it is for this one. E_DENIED.
 */
MUST_USE struct status admin_may_end(
    struct admin_call *c, const struct user *u, enum action *action);
/* Is the user there, or is there room for it? E_DENIED. */
MUST_USE struct status admin_user_fits(struct admin_call *c, struct span tenant, struct span name);
/* All roles that somebody of this user can act with, also by tokens. */
uint8_t admin_all_roles(const struct authority *a, const struct user *u);
/*
 * A key lives on when a session or a token has ended, and its roles are the stored ones: with a
 * key only. E_DENIED.
 */
MUST_USE struct status admin_may_get_keys(struct admin_call *c);
/* A key that the caller may know of; NULL: none. */
struct key *admin_known_key(const struct admin_call *c, struct span id);
/* May the credential less than its person? */
bool admin_is_narrow(const struct key *key);
/* Whoever ends others, or decides of them, may all that its person may. E_DENIED. */
bool admin_key_is_live(const struct key *key); /* NULL is not */
/* May a person have one more key made? 409 where it has too many, or its tenant. */
MUST_USE struct status admin_key_room(struct admin_call *c, const struct user *user);
MUST_USE struct status admin_not_narrow(struct admin_call *c);
/* The person of the path; another tenant's is none. E_DENIED. */
MUST_USE struct status admin_person_of(struct admin_call *c, struct user **ret);
/* Acts of a kind that are under way, of this person, or (NULL) of all; operators' do not count. */
size_t admin_ops_of(enum op_kind kind, const struct user *by);
/* No other act changes that until this one is over. State: the claim is not held. */
void admin_op_claim(struct admin_op *op, struct claim *claim);
/* Who did it, as the last value of a record. */
void admin_put_by(const struct admin_op *op, struct batch *b);
/* A read: `make` fills the answer. Its own members are filled in between the two. */
MUST_USE struct status admin_read_new(
    const struct admin_call *c, const char *operation, admin_make *make, struct admin_op **ret);
MUST_USE struct status admin_read_begin(const struct admin_call *c, struct admin_op *op);
/* End all turns of the key; the act answers when nothing of them runs any more. */
void admin_end_turns(struct admin_op *op, struct key *key);
void admin_finish_after_turns(struct admin_op *op);

extern const struct admin_kind admin_session_kind; /* admin_sessions.c */
extern const struct admin_kind admin_rotate_kind;  /* admin_rotate.c */
/* admin_keys.c, admin_users.c, admin_secret.c, admin_usage.c, admin_tool.c, approvals.c */
extern const struct admin_kind admin_key_create_kind, admin_key_revoke_kind, admin_user_kind,
    admin_approval_kind, admin_secret_set_kind, admin_secret_remove_kind, admin_secret_list_kind,
    admin_usage_kind, admin_tool_mark_kind, admin_tool_list_kind, admin_kek_rotate_kind,
    admin_keyset_rotate_kind, admin_keyset_status_kind, admin_kek_status_kind, admin_backup_kind,
    admin_backup_show_kind, admin_erase_kind, admin_export_kind, admin_audit_kind,
    admin_export_tenant_kind, admin_store_accept_kind;

#endif
