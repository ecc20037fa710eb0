/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the executor reads of users' tools by itself: native parts, environments, lines of
 * the compiler. The first byte says which; what comes out must be what was promised.
 */
#include <tools.h>

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
script(struct span env)
{
	struct buf out = BUF_INIT(64U << 10);

	/* Each quote that is open is closed again: outside of them are only our own words. */
	if (env.len <= TOOL_ENV_MAX && is_ok(tool_script(env, &out))) {
		bool quoted = false;

		for (size_t i = 0; i < out.len; i++) {
			if (!quoted && out.ptr[i] == '\\')
				i++;
			else if (out.ptr[i] == '\'')
				quoted = !quoted;
			else if (!quoted && strchr(";`$|<>(){}\"", out.ptr[i]) != NULL)
				abort();
		}
		if (quoted)
			abort();
	}
	buf_done(&out);
}

static void
line(struct span text)
{
	char out[TOOL_REASON_MAX + 1];

	reason_clean(text, out);
	for (size_t i = 0; out[i] != '\0'; i++) {
		if (out[i] < 0x20 || out[i] > 0x7e || i >= TOOL_REASON_MAX)
			abort();
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct span rest = span_from(span_of(data, size), 1);

	if (size == 0)
		return 0;
	if (data[0] == 'e')
		script(rest);
	else if (data[0] == 'l')
		line(rest);
	else
		(void)native_fault(rest);
	return 0;
}
