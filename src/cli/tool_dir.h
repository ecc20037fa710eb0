/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_TOOL_DIR_H
#define CLI_TOOL_DIR_H

/* A user's tool as it lies in a folder: tool.json, a module, a native part. */
#include <manifest/manifest.h>
#include <wire/gateway_executor.h>

#include "cli.h"

struct tool_dir {
	struct buf text, module, native;
	struct arena arena;
	struct manifest manifest;
};
#define auto_tool_dir __attribute__((cleanup(tool_dir_close)))

/* Read and check it: --module, --native, or what is there. False after a message. */
bool tool_dir_open(const struct invocation *inv, const char *path, struct tool_dir *ret);
void tool_dir_close(struct tool_dir *t);
/* The digest that its version has once it is stored. */
MUST_USE struct status tool_dir_digest(const struct tool_dir *t, uint8_t digest[DIGEST_LEN]);

#endif
