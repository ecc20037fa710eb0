/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_TOOLCALL_H
#define GATEWAY_TOOLCALL_H

/*
 * The tool calls of one answer of a model, put together from a stream's deltas
 * or from a whole message. Pure: no I/O.
 */
#include <json/json.h>
#include <json/write.h>

#include "bounds.h"
#include "tool_def.h"

/*
 * The function that stands for our tool at a provider: its name, and JSON texts. What the
 * model is told of its parameters is the schema that its arguments are held to.
 */
#define TOOL_NAME "code_interpreter"
#define TOOL_DESCRIPTION                                                                 \
	"Runs code in a sandbox without network and returns its standard output, error " \
	"output and files. Variables and files stay from one call to the next. Files "   \
	"written to /tmp/out are returned to the user."
#define TOOL_PARAMETERS                                                               \
	"{\"type\":\"object\",\"properties\":{\"language\":{\"type\":\"string\","     \
	"\"description\":\"python (default), javascript or sh\"},\"code\":{\"type\":" \
	"\"string\"}},\"required\":[\"code\"],\"additionalProperties\":false}"

struct toolcall {
	struct buf id;
	struct buf name;
	struct buf args; /* JSON text, as the model wrote it */
};

struct toolcalls {
	struct toolcall *items; /* CALLS_MAX at most; made as they come */
	size_t count, cap;
	size_t bytes;
	/* Which are ours, for the whole turn: */
	bool interpreter;                 /* code_interpreter */
	const struct tool_offers *offers; /* and users' tools; NULL: none */
};

void toolcalls_done(struct toolcalls *t);  /* frees */
void toolcalls_clear(struct toolcalls *t); /* keeps the memory */
void toolcalls_trim(struct toolcalls *t);  /* clears, and keeps little of it */
/* One delta's "tool_calls". E_PROTO (shape, index), E_FULL (limits), E_NOMEM. */
MUST_USE struct status toolcalls_delta(struct toolcalls *t, const struct json_doc *d, uint32_t arr);
/* A whole message's "tool_calls". Same errors. */
MUST_USE struct status toolcalls_whole(struct toolcalls *t, const struct json_doc *d, uint32_t arr);
/* One whole call; id and name must be strings, arguments may be missing. Same errors. */
MUST_USE struct status toolcalls_add(
    struct toolcalls *t, const struct json_doc *d, uint32_t id, uint32_t name, uint32_t args);
/* One more, empty; others may move. E_FULL, E_NOMEM. */
MUST_USE struct status toolcalls_new(struct toolcalls *t, struct toolcall **ret);
bool toolcalls_is_ours(const struct toolcalls *t, const struct toolcall *c);
/* The name that is parsed at `tok`: is it of a tool of ours, and one that a user made? */
bool toolcalls_names_ours(const struct toolcalls *t, const struct json_doc *d, uint32_t tok);
bool toolcalls_names_offer(const struct toolcalls *t, const struct json_doc *d, uint32_t tok);
/* The user's tool that is called; NULL: none. */
const struct tool_offer *toolcalls_offer(const struct toolcalls *t, const struct toolcall *c);
/* How many are ours. */
size_t toolcalls_ours(const struct toolcalls *t);
/* An array of the calls that are ours, or of the client's; with "index" for a stream. */
void toolcalls_put(const struct toolcalls *t, bool ours, bool index, struct json_writer *w);

/* What a call of ours asks for. Texts lie in `a`. */
struct toolcall_args {
	struct span language; /* "python" when the model named none */
	struct span code;
};
/* Once at start: compile TOOL_PARAMETERS. E_NOMEM. */
MUST_USE struct status toolcall_prepare(void);
/* E_SYNTAX: the arguments do not conform to TOOL_PARAMETERS. E_FULL, E_NOMEM. */
MUST_USE struct status toolcall_args(
    const struct toolcall *c, struct json_doc *d, struct arena *a, struct toolcall_args *ret);

#endif
