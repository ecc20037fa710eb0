/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_admin.c: bodies of POST /admin/keys. What is accepted has only names
 * that may stand in a record and in a pseudonym.
 */
#include <stdlib.h>

#include "admin_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena = ARENA_INIT(4096);
	struct admin_key k;

	if (is_ok(admin_parse_key(span_of(data, size), &arena, &k)) &&
	    (!admin_name_ok(k.tenant) || !admin_name_ok(k.user) || !admin_name_ok(k.policy)))
		abort();
	arena_done(&arena);
	return 0;
}
