/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_WASI_WORLD_H
#define TESTS_WASI_WORLD_H

/* What the shim promises whatever a guest does: for its unit tests and its fuzz target. */
#include <stdlib.h>

#include <base/cleanup.h>
#include <wasi_guest.h>
#include <wasm/wasi.h>

static inline const struct wasi_call *
wasi_named(const char *name)
{
	for (size_t i = 0; i < WASI_CALLS; i++) {
		if (strcmp(wasi_calls[i].name, name) == 0)
			return &wasi_calls[i];
	}
	abort();
}

static inline void
must(bool ok)
{
	if (!ok)
		abort();
}

/* A tree whose every node is reached from the root, with no name twice, and sums that are right. */
static inline void
scratch_check(const struct wasi_ctx *ctx)
{
	const struct wasi_scratch *s = ctx->scratch;
	uint64_t bytes = 0;
	uint32_t opens[WASI_FILES_MAX] = { 0 };

	if (s == NULL)
		return;
	for (size_t i = 0; i < WASI_FDS_MAX; i++) {
		if (ctx->fds[i].kind == FD_FILE || ctx->fds[i].kind == FD_DIRECTORY)
			opens[ctx->fds[i].node]++;
	}
	must(s->nodes[SCRATCH_ROOT].linked && s->top <= WASI_FILES_MAX);
	for (uint32_t i = 0; i < WASI_FILES_MAX; i++) {
		const struct scratch_node *n = &s->nodes[i];
		uint32_t up = i, steps = 0;

		bytes += n->cap;
		must(n->opens == opens[i] && n->len <= n->cap);
		must((n->kind != 0) == (n->linked || n->opens > 0));
		must(n->kind == 0 || i < s->top);
		if (!n->linked || i == SCRATCH_ROOT)
			continue;
		while (up != SCRATCH_ROOT) {
			up = s->nodes[up].parent;
			must(s->nodes[up].kind == WASI_DIRECTORY && s->nodes[up].linked);
			must(++steps <= WASI_DEPTH_MAX);
		}
		must(n->name_len > 0 && memchr(n->name, '/', n->name_len) == NULL);
		for (uint32_t j = i + 1; j < s->top; j++) {
			const struct scratch_node *o = &s->nodes[j];

			must(
			    !o->linked || o->parent != n->parent ||
			    !span_eq(span_of(o->name, o->name_len), span_of(n->name, n->name_len)));
		}
	}
	must(bytes == s->bytes && bytes <= WASI_SCRATCH_MAX);
}

/* One call; an error leaves the guest's memory as it was. `before` has room for all of it. */
static inline uint32_t
wasi_try(struct wasi_ctx *ctx, struct wasi_memory m, uint8_t *before, const struct wasi_call *call,
    const uint64_t *args)
{
	uint32_t err;

	memcpy(before, m.base, m.len);
	err = call->fn(ctx, m, args);
	must(err <= WASI_ENOTCAPABLE || err == WASI_LEAVE);
	must((err == WASI_LEAVE) == (ctx->end != WASI_RUNS));
	must(err == WASI_OK || memcmp(before, m.base, m.len) == 0);
	must(ctx->out.len <= ctx->out.max && ctx->err.len <= ctx->err.max);
	return err;
}

#endif
