/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUTHORITY_TOOL_RULES_H
#define AUTHORITY_TOOL_RULES_H

/* The table `tools` of the configuration, compiled. */
#include <conf/conf.h>
#include <wire/tool.h>

#include "name_set.h"

#define TOOL_TIME_MS 5000 /* where the configuration says nothing */
#define TOOL_MEMORY_MB 64
#define TOOL_OUTPUT_KB 256

struct tool_rule {
	char name[TOOL_MAX + 1];
	uint8_t sandbox; /* enum tool_sandbox; 0: as the upload has it */
	uint32_t time_ms, memory_mb, output_kb;
	bool time_is_said; /* code: a lower time than its sandbox's */
	uint8_t capabilities;
	bool restricted; /* there is a list `allow` */
	struct name_set allow;
};

struct tool_rules {
	struct tool_rule *items;
	size_t n;
};

/* E_NOMEM, E_RANGE. */
MUST_USE struct status tool_rules_load(const struct conf *conf, struct tool_rules *ret);
void tool_rules_done(struct tool_rules *r);
/* The row of that name, or the defaults. */
const struct tool_rule *tool_rules_find(const struct tool_rules *r, struct span name);

#endif
