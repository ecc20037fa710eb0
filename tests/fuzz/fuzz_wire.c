/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every message table of every edge: what decodes must encode to the same bytes.
 * Input: edge, type, payload.
 */
#include <stdlib.h>

#include <daemon/tables.h>
#include <wire/executor_wasm.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena arena = ARENA_INIT(4U << 20);
	struct buf out = BUF_INIT(WIRE_PAYLOAD_MAX * 2);
	const struct wire_edge *edge;
	size_t which;
	const struct wire_msg *m;
	void *msg;

	if (size < 2)
		return 0;
	which = data[0] % (EDGE_COUNT + 1); /* the last is the workers', which is no daemon's */
	edge = which < EDGE_COUNT ? daemon_edges[which] : &ew_edge;
	m = &edge->msgs[data[1] % edge->nmsgs];
	if (m->name == NULL)
		return 0;
	msg = arena_alloc(&arena, m->table.size);
	if (is_ok(wire_decode(&m->table, span_of(data + 2, size - 2), &arena, msg)) &&
	    (!is_ok(wire_encode(&m->table, msg, &out)) ||
		!span_eq(buf_span(&out), span_of(data + 2, size - 2))))
		abort();
	arena_done(&arena);
	buf_done(&out);
	return 0;
}
