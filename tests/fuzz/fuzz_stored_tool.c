/* SPDX-License-Identifier: Apache-2.0 */
/* What the store reads of tools: sealed values, what is in them, and uploads, on any bytes. */
#include <stdlib.h>

#include <base/arena.h>
#include <base/cleanup.h>
#include <crypto/crypto.h>
#include <crypto/seal.h>
#include <tool.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct wire_table *const tables[] = { &tool_meta_table, &tool_marks_table,
	&tool_upload_table };

/* What is taken is written the same way again. */
static void
decode(const struct wire_table *t, struct span in)
{
	auto_arena struct arena arena = ARENA_INIT(1U << 20);
	auto_buf struct buf again = BUF_INIT(16U << 20);
	union {
		struct tool_meta meta;
		struct tool_marks marks;
		struct tool_upload upload;
	} m;

	if (!is_ok(wire_decode(t, in, &arena, &m)))
		return;
	if (!is_ok(wire_encode(t, &m, &again)) || !span_eq(buf_span(&again), in))
		abort();
}

static void
open_sealed(struct span in)
{
	static struct secret key;
	auto_buf struct buf plain = BUF_INIT(1U << 20);

	if (key.len == 0 && (!is_ok(crypto_init()) || !is_ok(secret_random(SEAL_KEY_LEN, &key))))
		abort();
	if (is_ok(seal_open(&key, SPAN_LIT("fuzz"), in, &plain)))
		abort(); /* nobody sealed it */
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in;

	if (size == 0)
		return 0;
	in = span_of(data + 1, size - 1);
	if (data[0] % 4 < 3)
		decode(tables[data[0] % 4], in);
	else
		open_sealed(in);
	return 0;
}
