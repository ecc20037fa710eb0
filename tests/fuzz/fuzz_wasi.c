/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest that calls anything with anything: the first bytes are its memory, the rest its
 * calls. No byte outside its memory is touched, an error changes nothing there, and the
 * scratch directory stays a tree within its limits.
 */
#include "../unit/wasi_world.h"

#define MEMORY_LEN 1024U
#define HEAD_LEN 2U
#define CALLS_MAX 400

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t
next(const uint8_t **p, const uint8_t *end)
{
	static const uint64_t wild[] = { MEMORY_LEN, MEMORY_LEN - 1, MEMORY_LEN - 8, UINT32_MAX,
		INT32_MAX, UINT64_MAX, INT64_MAX, WASI_SCRATCH_MAX, 1U << 16 };
	uint64_t v;

	if (*p == end)
		return 0;
	v = *(*p)++;
	/* Small numbers are descriptors, flags and lengths; the others places in memory. */
	if (v < 128)
		return v;
	if (v < 240)
		return (v - 128) * 8;
	return wild[v % (sizeof(wild) / sizeof(wild[0]))];
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct wasi_ctx ctx;
	static const char in[] = "{\"some\": \"input\"}";
	auto_free uint8_t *base = malloc(MEMORY_LEN), *before = malloc(MEMORY_LEN);
	struct wasi_memory m = { base, MEMORY_LEN };
	const uint8_t *p = data, *end = data + size;
	size_t len;

	if (size < HEAD_LEN)
		return 0;
	must(base != NULL && before != NULL);
	must(is_ok(wasi_begin(&ctx, &(struct wasi_given){ .args = span_of("tool", 5),
					.environment = span_of("A=b\0C=", 7),
					.in = span_of(in, sizeof(in) - 1),
					.out_max = data[0] * 16U,
					.err_max = data[1],
					.files = (data[0] & 1) == 0 })));
	p += HEAD_LEN;
	len = (size_t)(end - p) < MEMORY_LEN ? (size_t)(end - p) / 2 : MEMORY_LEN;
	memset(base, 0, MEMORY_LEN);
	memcpy(base, p, len);
	p += len;
	for (int n = 0; p < end && n < CALLS_MAX; n++) {
		const struct wasi_call *call = &wasi_calls[*p++ % WASI_CALLS];
		uint64_t args[WASI_PARAMS_MAX] = { 0 };

		for (size_t i = 0; i < strlen(call->params); i++) {
			args[i] = next(&p, end);
			if (call->params[i] == 'i')
				args[i] = (uint32_t)args[i];
		}
		if (wasi_try(&ctx, m, before, call, args) == WASI_LEAVE)
			break;
		scratch_check(&ctx);
	}
	wasi_end(&ctx);
	return 0;
}
