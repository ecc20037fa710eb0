/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

/*
 * A bump allocator with a fixed cap, freed whole: one per request or message.
 * Memory is zeroed and aligned to 16 bytes.
 */
#include <stddef.h>

#include <base/span.h>

struct arena_block;

struct arena {
	struct arena_block *head;
	size_t used; /* bytes handed out, all blocks */
	size_t max;  /* bytes */
};

#define ARENA_INIT(max_) ((struct arena){ .max = (max_) })
#define auto_arena __attribute__((cleanup(arena_done)))

/* NULL when the cap or the memory is exhausted. */
void *arena_alloc(struct arena *a, size_t size);
void *arena_array(struct arena *a, size_t count, size_t size); /* overflow-safe */
/* A copy of `s`; E_NOMEM. */
MUST_USE struct status arena_copy(struct arena *a, struct span s, struct span *ret);
void arena_done(struct arena *a);  /* frees all; usable again */
void arena_reset(struct arena *a); /* keeps one small block for reuse */
void arena_wipe(struct arena *a);  /* overwrites what was handed out, then resets */

#endif
