/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CHAT_H
#define GATEWAY_CHAT_H

/*
 * A chat request: what the gateway must know of it, and the named edits that
 * make the provider's body of it. Pure: no I/O.
 */
#include "dialect.h"

struct chat {
	struct prompt p;
	bool usage; /* the client wants it at the end of its events */
	uint64_t n; /* choices */
	/* Parts of the body; ptr NULL: absent. */
	struct span messages_part, tools_part, interpreter_part, choice_part;
	struct span options_part, include_part;
	struct span store_part, metadata_part; /* where store is true; else absent */
	bool tools_empty, options_empty;
	struct span choice_ours_part; /* where tool_choice names our tool */
	struct span choice_mode_part; /* of a list of allowed tools */
};

static inline const struct chat *
chat_of(const struct prompt *p)
{
	return (const struct chat *)p;
}

/* Members of dialect_chat. */
MUST_USE struct status chat_read(
    const struct json_doc *d, struct arena *a, struct prompt **ret, struct fault *fault);
MUST_USE struct status chat_write(
    const struct prompt *p, const struct edits *e, struct buf *out, uint32_t *ret_model_off);

#endif
