/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Content-Type, a NUL, a body: parts lie within the body and do not overlap.
 */
#include <stdlib.h>

#include <http/multipart.h>

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
	struct multipart_part parts[] = { { .name = "manifest", .max = 4096 },
		{ .name = "module", .max = 1U << 20 }, { .name = "native", .max = 1U << 20 } };
	const uint8_t *nul = size > 0 ? memchr(data, 0, size) : NULL;
	const struct multipart_part *at;
	const char *why = NULL;
	size_t left;
	struct status st;

	if (nul == NULL)
		return 0;
	left = size - (size_t)(nul - data) - 1;
	st = multipart_read(
	    span_of(data, (size_t)(nul - data)), span_of(nul + 1, left), parts, 3, &why, &at);
	expect(is_ok(st) || why[0] != '\0');
	for (size_t i = 0; is_ok(st) && i < 3; i++) {
		const struct span b = parts[i].body;

		expect(parts[i].seen || b.len == 0);
		expect(b.len <= parts[i].max);
		if (!parts[i].seen)
			continue;
		expect(b.ptr > nul && b.ptr + b.len <= data + size);
		for (size_t k = 0; k < i; k++)
			expect(!parts[k].seen || parts[k].body.ptr + parts[k].body.len < b.ptr ||
			       b.ptr + b.len < parts[k].body.ptr);
	}
	return 0;
}
