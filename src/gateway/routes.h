/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_ROUTES_H
#define GATEWAY_ROUTES_H

/*
 * The public API as one table. Every route has a schema for what it takes.
 */
#include <base/span.h>
#include <wire/gateway_authority.h>

#define ROUTE_PARAMS_MAX 2

struct content_answer;
struct dialect;
struct request;
struct turn;

extern const struct span schema_chat;
extern const struct span schema_embeddings;
extern const struct span schema_execute;
extern const struct span schema_responses;
extern const struct span schema_messages;
extern const struct span schema_count_tokens;
extern const struct span schema_conversation;
extern const struct span schema_conversation_update;
extern const struct span schema_items;
extern const struct span schema_tool_call;
extern const struct span schema_tool_current;
extern const struct span schema_openapi; /* docs/openapi.yaml, as JSON */

struct route {
	const char *method;
	/* Exact; behind one that ends with '/' a parameter follows, "{}" stands for a segment. */
	const char *path;
	enum ga_endpoint endpoint;
	const struct span *schema;     /* of a body in JSON; NULL: no such body is allowed */
	const struct dialect *dialect; /* of a request to a model, else NULL */
	/* Body and schema are fine and g->doc holds the body: admit it. */
	void (*run)(struct request *r);
	/* What the authority says is all there is to do: answer. NULL: a turn follows. */
	void (*told)(struct turn *t, const struct ga_admitted *m);
	bool (*param_ok)(struct span param);    /* NULL: any */
	enum error (*query)(struct request *r); /* reads and keeps it; NULL: takes none */
	bool form;                              /* the body is multipart/form-data */
	bool takes_key; /* a key may stand in the body: its reader looks where */
	/* Of what is kept: the store has done it: answer. NULL: it is another kind of route. */
	void (*kept)(struct turn *t, const struct content_answer *a);
};

extern const struct route routes[];
extern const size_t routes_count;

/*
 * The route of a request. ERROR_NO_ROUTE, ERROR_METHOD (with the route of another
 * method, for its endpoint), else ERROR_NONE.
 */
enum error route_find(struct span method, struct span path, const struct route **ret);

/* What the path has for the parameter of its route; empty: it takes none. */
struct span route_param(const struct route *route, struct span path);
/* All of them, in their order; those that there are not: ptr NULL. Does the path fit at all? */
bool route_params(
    const struct route *route, struct span path, struct span params[ROUTE_PARAMS_MAX]);

/* loop.c, execute.c, models.c, openapi.c */
void loop_run(struct request *r);
void execute_run(struct request *r);
void models_run(struct request *r);
void models_finish(struct turn *t, const struct ga_admitted *m);
void openapi_run(struct request *r);
void openapi_told(struct turn *t, const struct ga_admitted *m);
void login_run(struct request *r);
void login_told(struct turn *t, const struct ga_admitted *m);

/* admin.c, token.c */
void admin_run(struct request *r);
enum error admin_query(struct request *r);
void token_run(struct request *r);
void token_revoke_run(struct request *r);

/* tools.c, tool_push.c, tool_call.c */
void tools_list_run(struct request *r);
void tools_get_run(struct request *r);
void tools_remove_run(struct request *r);
void tools_current_run(struct request *r);
void tools_list_told(struct turn *t, const struct ga_admitted *m);
void tools_get_told(struct turn *t, const struct ga_admitted *m);
void tools_remove_told(struct turn *t, const struct ga_admitted *m);
void tools_current_told(struct turn *t, const struct ga_admitted *m);
enum error tools_query_version(struct request *r);
enum error tools_query_after(struct request *r);
void tool_push_run(struct request *r);
void tool_call_run(struct request *r);

/* conversations.c, stored.c, files.c */
void conversations_create_run(struct request *r);
void conversations_get_run(struct request *r);
void conversations_update_run(struct request *r);
void conversations_delete_run(struct request *r);
void items_create_run(struct request *r);
void items_list_run(struct request *r);
void items_get_run(struct request *r);
void items_delete_run(struct request *r);
void stored_get_run(struct request *r);
void stored_delete_run(struct request *r);
void stored_input_run(struct request *r);
void files_create_run(struct request *r);
void files_list_run(struct request *r);
void files_get_run(struct request *r);
void files_body_run(struct request *r);
void files_delete_run(struct request *r);
void conversations_told(struct turn *t, const struct content_answer *a);
void conversations_deleted_told(struct turn *t, const struct content_answer *a);
void items_told(struct turn *t, const struct content_answer *a);
void items_created_told(struct turn *t, const struct content_answer *a);
void items_one_told(struct turn *t, const struct content_answer *a);
void stored_told(struct turn *t, const struct content_answer *a);
void stored_deleted_told(struct turn *t, const struct content_answer *a);
void files_told(struct turn *t, const struct content_answer *a);
void files_list_told(struct turn *t, const struct content_answer *a);
void files_body_told(struct turn *t, const struct content_answer *a);
void files_deleted_told(struct turn *t, const struct content_answer *a);
bool conversations_id_ok(struct span id);
bool stored_id_ok(struct span id);
bool files_id_ok(struct span id);
/* A file's name as it is kept: one segment, printable. */
MUST_USE struct status files_clean_name(struct span name, struct buf *out);

#endif
