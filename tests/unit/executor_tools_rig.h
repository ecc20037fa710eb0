/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_EXECUTOR_TOOLS_RIG_H
#define TESTS_EXECUTOR_TOOLS_RIG_H

/*
 * Users' tools in src/executor: calls and uploads as a gateway brings them.
 */
#include "unit.h"

#include <grp.h>
#include <sys/resource.h>

#include "executor_world.h"

/* ---- versions ---- */
static inline void
build_open_of(struct call *c, const char *tenant, struct span module, struct span native)
{
	const struct tool_upload up = { SPAN_LIT("{\"name\":\"adder\"}"), module, native };
	struct grant g = { .kind = GRANT_BUILD, .turn = 8, .tenant = span_str(tenant) };

	call_init(c);
	must(wire_encode(&tool_upload_table, &up, &c->body));
	open_with(c, &g);
}

static inline void
build_open(struct call *c, struct span module, struct span native)
{
	build_open_of(c, "acme", module, native);
}

#define T(f) cmocka_unit_test_setup(f, world_reset)

#endif
