/* SPDX-License-Identifier: Apache-2.0 */
/*
 * head.c: what made a compiled file, and whether it is all there.
 *
 * Runs in: wasm-compile (writes), wasm-run (checks). Trusts: nothing that it reads.
 * Owns: nothing. Invariants: fixed length, one way to write it.
 * See: wasm/engine.h.
 */
#include <string.h>

#include <wasm/engine.h>

static const char magic[8] = { 'S', 'P', 'W', 'A', 'S', 'M', '1', '\n' };

static void
head_of(uint8_t head[WASM_HEAD_LEN], uint64_t body_len)
{
	const char *id = wasm_engine_id();

	memset(head, 0, WASM_HEAD_LEN);
	memcpy(head, magic, sizeof(magic));
	for (int i = 0; i < 8; i++)
		head[8 + i] = (uint8_t)(body_len >> (56 - 8 * i));
	memcpy(head + 16, id, strlen(id));
}

struct status
wasm_head_put(struct buf *out, size_t body_len)
{
	uint8_t head[WASM_HEAD_LEN];

	head_of(head, body_len);
	return buf_put(out, head, sizeof(head));
}

struct status
wasm_head_check(struct span artefact, struct span *ret_body)
{
	uint8_t head[WASM_HEAD_LEN];

	if (artefact.len <= WASM_HEAD_LEN || artefact.len > WASM_ARTEFACT_MAX)
		return fail(E_CORRUPT);
	head_of(head, artefact.len - WASM_HEAD_LEN);
	if (memcmp(artefact.ptr, head, 16) != 0)
		return fail(E_CORRUPT);
	if (memcmp(artefact.ptr, head, WASM_HEAD_LEN) != 0)
		return fail(E_UNSUPPORTED);
	*ret_body = span_from(artefact, WASM_HEAD_LEN);
	return OK;
}
