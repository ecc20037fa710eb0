/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_ROUTES_H
#define GATEWAY_ROUTES_H

/*
 * The public API as one table. Every route has a schema for what it takes.
 */
#include <base/span.h>
#include <wire/gateway_authority.h>

struct dialect;
struct request;

extern const struct span schema_chat;
extern const struct span schema_embeddings;
extern const struct span schema_execute;
extern const struct span schema_responses;
extern const struct span schema_messages;
extern const struct span schema_count_tokens;

struct route {
	const char *method;
	const char *path; /* exact; behind one that ends with '/' a parameter follows */
	enum ga_endpoint endpoint;
	const struct span *schema;     /* of the body; NULL: no body is allowed */
	const struct dialect *dialect; /* of a request to a model, else NULL */
	/* Body and schema are fine and g->doc holds the body: admit it. */
	void (*run)(struct request *r);
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

/* loop.c, execute.c, models.c */
void loop_run(struct request *r);
void execute_run(struct request *r);
void models_run(struct request *r);

#endif
