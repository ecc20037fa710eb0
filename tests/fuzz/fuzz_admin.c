/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_admin.c: bodies of the management socket: keys, secrets, usage. What is
 * accepted keeps its limits; names of keys may stand in a record and in a pseudonym.
 */
#include <stdlib.h>

#include <base/cleanup.h>

#include "admin_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
parse_key(struct span body)
{
	auto_arena struct arena arena = ARENA_INIT(4096);
	struct admin_key k;

	if (is_ok(admin_parse_key(body, &arena, &k)) &&
	    (!admin_name_ok(k.tenant) || !admin_name_ok(k.user) || !admin_name_ok(k.policy)))
		abort();
}

static void
parse_secret(struct span body)
{
	auto_buf struct buf sealed = BUF_INIT(SECRET_SEALED_MAX);
	bool rotate = false;

	if (is_ok(admin_parse_secret(body, &sealed, &rotate)) && sealed.len > SECRET_SEALED_MAX)
		abort();
}

static void
parse_usage(struct span body)
{
	auto_arena struct arena arena = ARENA_INIT(4096);
	struct admin_usage f;

	if (is_ok(admin_parse_usage(body, &arena, &f)) &&
	    ((f.key.len != 0 && f.key.len != KEY_ID_LEN) || f.user.len > USER_MAX ||
		f.model.len > MODEL_MAX || f.after_model.len > MODEL_MAX || f.since_s > INT64_MAX ||
		f.after_key > INT64_MAX))
		abort();
}

static void
parse_tool(struct span body)
{
	auto_arena struct arena arena = ARENA_INIT(4096);
	struct admin_tool m;
	uint64_t after;

	if (is_ok(admin_parse_tool(body, &arena, &m)) &&
	    (!admin_name_ok(m.tenant) || !admin_name_ok(m.user) || !admin_name_ok(m.name)))
		abort();
	if (is_ok(admin_parse_after(body, &after)) && after > INT64_MAX)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span body = span_of(data, size);

	parse_key(body);
	parse_secret(body);
	parse_usage(body);
	parse_tool(body);
	return 0;
}
