/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arena.c: bump allocator with a cap, freed whole.
 *
 * Runs in: every process. Trusts: nothing: sizes are checked for overflow.
 * Owns: the chain of blocks. Invariants: used <= max; memory handed out is zeroed.
 * See: base/arena.h.
 */
#include <base/arena.h>

#include <stdlib.h>

#define ARENA_ALIGN 16
#define ARENA_FIRST_LEN 1024 /* many requests need no more */
#define ARENA_BLOCK_LEN 4096

struct arena_block {
	struct arena_block *next;
	size_t len;
	size_t used;
	_Alignas(ARENA_ALIGN) uint8_t data[];
};

static struct arena_block *
block_new(size_t len)
{
	struct arena_block *b = malloc(sizeof(*b) + len);

	if (b == NULL)
		return NULL;
	b->next = NULL;
	b->len = len;
	b->used = 0;
	return b;
}

void *
arena_alloc(struct arena *a, size_t size)
{
	struct arena_block *b = a->head;
	size_t need;
	void *p;

	if (__builtin_add_overflow(size, (size_t)(ARENA_ALIGN - 1), &need))
		return NULL;
	need &= ~(size_t)(ARENA_ALIGN - 1);
	if (need > a->max - a->used)
		return NULL;
	if (b == NULL || b->len - b->used < need) {
		size_t len = b == NULL ? ARENA_FIRST_LEN : ARENA_BLOCK_LEN;

		b = block_new(need > len ? need : len);
		if (b == NULL)
			return NULL;
		b->next = a->head;
		a->head = b;
	}
	p = b->data + b->used;
	b->used += need;
	a->used += need;
	memset(p, 0, size);
	return p;
}

void *
arena_array(struct arena *a, size_t count, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(count, size, &total))
		return NULL;
	return arena_alloc(a, total);
}

struct status
arena_copy(struct arena *a, struct span s, struct span *ret)
{
	uint8_t *p = arena_alloc(a, s.len);

	if (p == NULL)
		return fail(E_NOMEM);
	if (s.len > 0)
		memcpy(p, s.ptr, s.len);
	*ret = span_of(p, s.len);
	return OK;
}

void
arena_done(struct arena *a)
{
	struct arena_block *next;

	for (struct arena_block *b = a->head; b != NULL; b = next) {
		next = b->next;
		free(b);
	}
	a->head = NULL;
	a->used = 0;
}

void
arena_reset(struct arena *a)
{
	struct arena_block *keep = a->head;

	if (keep == NULL || keep->len > ARENA_BLOCK_LEN) {
		arena_done(a);
		return;
	}
	a->head = keep->next;
	arena_done(a);
	keep->next = NULL;
	keep->used = 0;
	a->head = keep;
}

void
arena_wipe(struct arena *a)
{
	for (struct arena_block *b = a->head; b != NULL; b = b->next)
		explicit_bzero(b->data, b->used);
	arena_reset(a);
}
