/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tool.json: what is accepted is within its bounds and reads the same again.
 */
#include <stdlib.h>

#include <base/cleanup.h>
#include <manifest/manifest.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
expect(bool ok)
{
	if (!ok)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena struct arena a = ARENA_INIT(1 << 20);
	struct manifest m, again;
	struct manifest_fault fault;
	struct status st = manifest_parse(span_of(data, size), &a, &m, &fault);

	if (!is_ok(st)) {
		expect(st.code == E_NOMEM || fault.message != NULL);
		expect(memchr(fault.text, 0, sizeof(fault.text)) != NULL);
		return 0;
	}
	expect(manifest_name_ok(m.name) && m.description.len > 0 && m.input_schema.len > 0);
	expect(m.time_ms <= MANIFEST_TIME_MS_MAX && m.memory_mb <= MANIFEST_MEMORY_MB_MAX);
	expect(m.output_kb <= MANIFEST_OUTPUT_KB_MAX && m.env.len <= MANIFEST_ENV_MAX);
	expect(m.env.len == 0 || m.env.ptr[m.env.len - 1] == 0);
	expect(is_ok(manifest_read(span_of(data, size), &a, &again)));
	expect(span_eq(m.env, again.env) && span_eq(m.input_schema, again.input_schema));
	return 0;
}
