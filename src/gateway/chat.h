/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CHAT_H
#define GATEWAY_CHAT_H

/*
 * A chat request: what the gateway must know of it, and the named edits that
 * make the provider's body of it. Pure: no I/O.
 */
#include <json/json.h>
#include <json/schema.h>
#include <wire/errors.h>

struct chat {
	struct span body;  /* the client's bytes, borrowed */
	struct span model; /* the alias, in the arena or the body */
	bool stream;       /* the client wants events */
	bool usage;        /* and the usage at their end */
	bool interpreter;  /* names our tool */
	uint64_t n;        /* choices */
	/* Parts of `body`; ptr NULL: absent. */
	struct span model_part, messages_part, tools_part, interpreter_part, choice_part;
	struct span options_part, include_part;
	bool tools_empty, options_empty;
	bool choice_ours; /* tool_choice names our tool */
	bool attachable;  /* the policy's tool can be added: no function has its name, n is 1 */
};

struct chat_fault {
	enum error error; /* ERROR_INVALID_FIELD */
	const char *message;
	uint32_t tok; /* the value to blame */
};

/*
 * Read a body that conforms to the schema. E_SYNTAX: *fault says what it may not be.
 * E_NOMEM. `d` is needed no more afterwards.
 */
MUST_USE struct status chat_read(
    const struct json_doc *d, struct arena *a, struct chat *ret, struct chat_fault *fault);

struct chat_edits {
	bool attach;          /* add our tool, though the client did not name it */
	struct span messages; /* JSON objects, each after a comma: earlier steps; empty at first */
};
/*
 * Append the provider's body. *ret_model_off is where the alias stands in it, in quotes: the
 * broker puts the provider's own name of the model there. E_FULL, E_NOMEM.
 */
MUST_USE struct status chat_write(
    const struct chat *c, const struct chat_edits *e, struct buf *out, uint32_t *ret_model_off);
/* Tokens that a text of `len` bytes has, about. */
uint32_t chat_tokens(size_t len);

#endif
