/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUTHORITY_ADMIN_H
#define AUTHORITY_ADMIN_H

/*
 * Acts of operators. Each is recorded: its intent before, its outcome after.
 * `reply` runs exactly once, later, unless the act was abandoned.
 */
#include <base/span.h>
#include <base/status.h>
#include <wire/authority_store.h>
#include <wire/limits.h>

#define ADMIN_OPS_MAX 64
#define ADMIN_OPS_KEPT 8    /* of them, for the management socket */
#define ADMIN_WAIT_MS 10000 /* then the operator is told that it is not known */
#define ADMIN_TURNS_WAIT_MS 2000

struct authority;
struct admin_call;
struct admin_op;
struct key;
struct user;

/* `body` is JSON; it may hold a key: the receiver wipes what it copies. */
typedef void admin_reply(void *ctx, uint16_t http, struct span body);

struct admin_key {
	struct span tenant; /* names as in admin_name_known() */
	struct span user;
	struct span policy;
	uint64_t lifetime_s;    /* 0: for ever, */
	uint64_t expires_s;     /* unless this says when */
	struct span scopes;     /* JSON as scope_parse() has taken it; empty: none */
	struct span replaces;   /* id of the key that it is to replace; empty: none */
	uint64_t old_expires_s; /* when that one ends */
	bool reaches_kept;      /* by its scopes: scope_reaches_kept() */
};

/* Errors: E_FULL (too many acts at once), E_CLOSED (no audit), E_SYS, E_NOMEM. */
MUST_USE struct status admin_create_key(const struct admin_call *c, const struct admin_key *k);
MUST_USE struct status admin_revoke_key(const struct admin_call *c, struct span id);
MUST_USE struct status admin_reload(const struct admin_call *c);
/* A value that the CLI sealed for the broker. */
struct admin_secret {
	struct span name;
	struct span sealed;
	bool rotate; /* it exists, and its version stays as the previous one */
};
MUST_USE struct status admin_set_secret(const struct admin_call *c, const struct admin_secret *s);
MUST_USE struct status admin_remove_secret(const struct admin_call *c, struct span name);
MUST_USE struct status admin_list_secrets(const struct admin_call *c);
/* Which sums are wanted; empty: any. */
struct admin_usage {
	uint64_t since_s; /* Unix time; whole days are summed */
	struct span tenant, key, user, model;
	uint64_t after_user, after_key; /* of the page before; 0: the first page */
	struct span after_model;
};
/* E_EXISTS: a page is being made for that person. */
MUST_USE struct status admin_read_usage(const struct admin_call *c, const struct admin_usage *f);
/* A user's tool; version 0: the current one, or that which is allowed. */
#define ADMIN_TOOL_TAKEN \
	"Another tool of that name is allowed in the tenant already, or too many tools are."
struct admin_tool {
	struct span tenant, user, name;
	uint32_t version;
	bool allowed; /* to others than its owner, from now on, or not any more */
};
/* E_NOTFOUND; E_EXISTS: ADMIN_TOOL_TAKEN. */
MUST_USE struct status admin_mark_tool(const struct admin_call *c, const struct admin_tool *m);
/* A page of the versions of all tenants, behind that id. */
MUST_USE struct status admin_list_tools(const struct admin_call *c, uint64_t after);
/* Keys of what is stored: begin a rotation; how far it is. */
MUST_USE struct status admin_rotate_keys(
    const struct admin_call *c, enum as_rotation what, bool scheduled);
MUST_USE struct status admin_show_keys(const struct admin_call *c);
/* Another version of keys that have versions, and how much needs older ones. */
MUST_USE struct status admin_rotate_keyset(
    const struct admin_call *c, enum as_keysets what, bool scheduled);
MUST_USE struct status admin_show_keyset(struct admin_call *c, enum as_keysets what);
/* Begins what is due. */
void kek_tick(struct authority *a);
/* admin_keysets.c: the same for session keys. */
void keysets_tick(struct authority *a);
/* Has what began then lasted for so many days? 0: never. */
bool rotation_is_due(uint64_t started_s, uint64_t days);
/* The operator is gone: the act goes on, nobody is told. */
void admin_abandon(struct admin_op *op);
void admin_tick(struct authority *a);
uint32_t admin_busy(void);
/* Has somebody begun to erase this one? Then nothing is made for it any more. */
bool admin_erases(const struct user *u);
/* Or to revoke that key? */
bool admin_revokes(const struct key *key);

bool admin_name_ok(struct span name);      /* of somebody new */
bool admin_name_known(struct span name);   /* or that an earlier version could have taken */
bool admin_name_is_dots(struct span name); /* "." or "..": no segments of a path */

/* {"error":{"code":…,"message":…}} */
MUST_USE struct status admin_put_error(struct buf *out, const char *code, const char *message);

#endif
