/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_admin.c: bodies of the management socket that no schema reads: secrets, tools. What is
 * accepted keeps its limits; names may stand in a record and in a pseudonym.
 */
#include <stdlib.h>

#include <base/cleanup.h>

#include "admin_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
parse_secret(struct span body)
{
	auto_buf struct buf sealed = BUF_INIT(SECRET_SEALED_MAX);
	bool rotate = false;

	if (is_ok(admin_parse_secret(body, &sealed, &rotate)) && sealed.len > SECRET_SEALED_MAX)
		abort();
}

static void
parse_tool(struct span body)
{
	auto_arena struct arena arena = ARENA_INIT(4096);
	struct admin_tool m;

	if (is_ok(admin_parse_tool(body, &arena, &m)) &&
	    (!admin_name_ok(m.tenant) || !admin_name_ok(m.user) || !admin_name_ok(m.name)))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span body = span_of(data, size);

	parse_secret(body);
	parse_tool(body);
	return 0;
}
