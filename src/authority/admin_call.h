/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUTHORITY_ADMIN_CALL_H
#define AUTHORITY_ADMIN_CALL_H

/*
 * One request for an act of administration, whichever door it came through: an operator's
 * on the management socket (management.c), or a person's by way of a gateway
 * (admin_door.c). routes.c takes it apart and says which act it is.
 */
#include <base/arena.h>
#include <json/json.h>

#include "admin.h"
#include "roles.h"

struct admin_route;

enum admin_door { DOOR_OPERATOR = 1, DOOR_PERSON = 2, DOOR_BOTH = 3 };

#define ADMIN_QUERY_PAIRS_MAX 8
#define ADMIN_PAGE_MAX 500 /* entries of one answer */

struct admin_call {
	struct authority *a;
	uint32_t uid;              /* an operator's */
	struct key *by;            /* a person's; NULL: an operator */
	struct span source;        /* of a person, sealed */
	const uint8_t *request_id; /* of a person; NULL: a fresh one */
	admin_reply *reply;
	void *ctx;
	struct admin_op **op; /* the act, once it has begun */

	/* the request: borrowed for as long as the dispatch lasts */
	struct span method, path, query, body;
	bool approved; /* a second person has agreed */

	/* what routes.c makes of it */
	const struct admin_route *route;
	struct span param; /* for the "{}" of its path */
	struct {
		struct span name, value;
	} pairs[ADMIN_QUERY_PAIRS_MAX]; /* of the query */
	size_t npairs;
	struct span tenant; /* a person's own; that which an operator names, or empty */
	const struct json_doc *doc;
	struct arena *arena; /* for texts of the body */

	/* E_DENIED: it was refused, as this */
	uint16_t http;
	const char *code, *message;
};

/*
 * Find the route and begin the act. OK: `reply` will be told. Otherwise nothing has begun:
 * c->http, c->code and c->message are the answer.
 */
MUST_USE struct status admin_dispatch(struct admin_call *c);
/* For handlers: the answer, and E_DENIED. */
MUST_USE static inline struct status
admin_refuse(struct admin_call *c, uint16_t http, const char *code, const char *message)
{
	c->http = http;
	c->code = code;
	c->message = message;
	return fail(E_DENIED);
}

MUST_USE static inline struct status
admin_refuse_not_found(struct admin_call *c)
{
	return admin_refuse(c, 404, "not_found", "There is no such object.");
}

/* Is this action this person's? Operators may all that their door leads to. E_DENIED. */
MUST_USE struct status admin_may(struct admin_call *c, enum action action);
bool admin_has(const struct admin_call *c, enum action action);
/* A value of the query; empty: it has none. */
struct span admin_query(const struct admin_call *c, const char *name);
/* "limit", or what a page has. E_DENIED. */
MUST_USE struct status admin_query_limit(struct admin_call *c, uint32_t *ret);
/* A text of the body, which its schema has checked; empty: it is not there. */
MUST_USE struct status admin_text(struct admin_call *c, const char *member, struct span *ret);

typedef struct status admin_fn(struct admin_call *c);

struct admin_route {
	const char *method;
	const char *path;   /* "{}": one segment */
	uint8_t doors;      /* enum admin_door */
	enum action action; /* a person's, at the least */
	const char *query;  /* names that it takes, a blank behind each; "" none */
	const char *schema; /* of the body; NULL: none is wanted */
	bool body_optional;
	admin_fn *fn;
	const char *wanted; /* said of a body that does not fit */
	bool without_table; /* of keys: it may be loaded or not */
	bool ends;          /* it takes away: also where the table is not the store's own */
};
extern const struct admin_route admin_routes[];
extern const size_t admin_routes_count;

/* admin_codes.c: what errors are called, and at which doors. */
struct admin_code {
	const char *code;
	uint8_t doors; /* enum admin_door */
};
extern const struct admin_code admin_codes[];
extern const size_t admin_codes_count;
bool admin_code_is(const char *code);

/* admin_keys.c, admin_users.c, admin_read.c, admin_operator.c, approvals.c, sessions' */
admin_fn operator_backup, operator_backup_show, operator_store_accept;
admin_fn operator_pepper_show, operator_pepper_rotate;
admin_fn operator_session_keys_show, operator_session_keys_rotate;
admin_fn operator_kek_rotate, operator_kek_rotate_data, operator_kek_show;
admin_fn operator_audit_rotate, operator_certificate_rotate;
admin_fn keys_list, keys_create, keys_rotate, keys_revoke;
admin_fn users_list, users_get, users_create, users_change, users_erase, users_export;
admin_fn tenants_export, me_get, me_export, me_erase;
admin_fn tenants_list, policies_list, usage_read, audit_read;
admin_fn operator_reload, operator_secret_set, operator_secret_remove, operator_secret_list,
    operator_tool_mark, operator_tool_list;
admin_fn sessions_list, sessions_revoke;
admin_fn approvals_list, approvals_get, approvals_decide;

/* ---- approvals.c: acts that need two people ---- */
/* The first one has asked: it is on record, and answered with 202. */
MUST_USE struct status approval_ask(struct admin_call *c, enum action action);
/* Must it be asked for first? */
static inline bool
admin_asks(const struct admin_call *c, enum action action)
{
	return action_needs_two(action) && !c->approved;
}
/*
 * A second person has agreed that the caller may read what this request asks for: an act whose
 * answer is for who asked goes on as that one's own, as often as it takes, for an hour.
 */
bool approval_covers(const struct admin_call *c, enum action action);
/* A hold of this person has changed: nothing that was asked for before lifts the one there is. */
void approvals_end_lifts(const struct authority *a, const struct user *u);
void approvals_tick(struct authority *a);
/* With the authority: what waits names its keys. */
void approvals_done(void);

#endif
