/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TOOL_H
#define CLI_TOOL_H

/* What tool.c and tool_test.c share: one exchange, and how a call ended. */
#include "remote.h"

struct tool_reply {
	struct exchange x;
	struct json_doc d; /* a good answer */
};
#define auto_tool_reply __attribute__((cleanup(tool_reply_done)))

void tool_reply_done(struct tool_reply *r);
/* False after a message. */
bool tool_exchange(const char *what, struct remote *remote, struct tool_reply *r);
/* The answer as it came. Exit status of the command. */
int tool_print_raw(const struct tool_reply *r);
/* The body of a call; `version` 0: the current one. E_FULL, E_NOMEM. */
MUST_USE struct status tool_put_call(struct span arguments, uint64_t version, struct buf *out);
/* Did the call end with exit status 0 and a valid output? */
bool tool_call_ok(const struct json_doc *d);
/* "NAME: trap: out of bounds memory access" */
void tool_print_failure(const char *what, const struct json_doc *d);

#endif
