/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_MESSAGES_H
#define GATEWAY_MESSAGES_H

/*
 * A request in Anthropic's dialect, for an answer or for a count of tokens: what
 * the gateway must know of it, and the named edits that make the provider's body
 * of it. Pure: no I/O.
 */
#include "dialect.h"

/* The custom tool that stands for code execution at a provider. */
#define MESSAGES_TOOL "code_execution"
/* What an id of a call has in front of it where clients see it as a server's tool. */
#define MESSAGES_SERVER "sallyport" /* server_name of users' tools */
#define MESSAGES_ID_MARK "srv"
#define MESSAGES_OPEN_MAX 64 /* calls in one message that wait for their results */

struct messages {
	struct prompt p;
	bool bash;   /* our tool in a version that has a block for shell commands */
	bool forced; /* tool_choice asks for a call … */
	bool serial; /* … and for one at a time */
	/* Parts of the body; ptr NULL: absent. */
	struct span list_part, tools_part, tool_part, choice_part;
	bool tools_empty;
	struct span tool;    /* what replaces tool_part, in the arena */
	struct span history; /* what replaces list_part but its last bracket; ptr NULL: nothing */
};

static inline const struct messages *
messages_of(const struct prompt *p)
{
	return (const struct messages *)p;
}

/* Members of dialect_messages and dialect_count_tokens. */
MUST_USE struct status messages_read(
    const struct json_doc *d, struct arena *a, struct prompt **ret, struct fault *fault);
MUST_USE struct status messages_write(
    const struct prompt *p, const struct edits *e, struct buf *out, uint32_t *ret_model_off);

/*
 * messages_history.c: the list of messages, but for its last bracket, with runs of code in
 * earlier answers as calls and results of a custom tool. ret->ptr NULL: there are none.
 * Errors as messages_read().
 */
MUST_USE struct status messages_history(const struct json_doc *d, uint32_t list, struct arena *a,
    struct span *ret, struct fault *fault);
void messages_put_tool(const struct manifest *m, struct json_writer *w);
/* Is it a block that only a server's run of code, or of a user's tool, can have made? */
bool messages_block_ran(const struct json_doc *d, uint32_t block);

#endif
