/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_WASI_RIG_H
#define TESTS_WASI_RIG_H

/*
 * A guest's memory between two walls, its calls, and the streams and files that it is given.
 */
#include "unit.h"

#include <malloc.h>
#include <stdio.h>
#include <sys/mman.h>

#include "wasi_world.h"

#define PAGE 4096U
#define MEMORY_LEN (4U * PAGE)
#define RESULT 64U /* where results are written to */
#define VECTORS 256U
#define PATH 512U
#define OTHER_PATH 2048U
#define DATA 8192U
#define RIGHTS_ALL (WASI_R_FILE | WASI_R_DIRECTORY)

static struct wasi_ctx ctx;

static struct wasi_memory mem;

static uint8_t *walls, *before;

static inline int
begin(void **state)
{
	(void)state;
	walls = mmap(NULL, MEMORY_LEN + 2UL * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(walls != MAP_FAILED);
	assert_int_equal(mprotect(walls + PAGE, MEMORY_LEN, PROT_READ | PROT_WRITE), 0);
	mem = (struct wasi_memory){ walls + PAGE, MEMORY_LEN };
	before = malloc(MEMORY_LEN);
	assert_non_null(before);
	wasi_init(&ctx);
	return 0;
}

static inline int
end(void **state)
{
	(void)state;
	wasi_done(&ctx);
	free(before);
	return munmap(walls, MEMORY_LEN + 2UL * PAGE);
}

static inline void
given(struct wasi_given g)
{
	if (g.out_max == 0)
		g.out_max = 64;
	if (g.err_max == 0)
		g.err_max = 16;
	assert_true(is_ok(wasi_begin(&ctx, &g)));
}

#define CALL(name, ...) call(name, (const uint64_t[WASI_PARAMS_MAX]){ __VA_ARGS__ })
static inline uint32_t
call(const char *name, const uint64_t *args)
{
	uint32_t err = wasi_try(&ctx, mem, before, wasi_named(name), args);

	scratch_check(&ctx);
	return err;
}

static inline uint32_t
at32(uint64_t at)
{
	return guest_u32(mem.base + at);
}

static inline uint64_t
at64(uint64_t at)
{
	return at32(at) | (uint64_t)at32(at + 4) << 32;
}

static inline void
vector(unsigned i, uint32_t at, uint32_t len)
{
	guest_put_u32(mem.base + VECTORS + 8U * i, at);
	guest_put_u32(mem.base + VECTORS + 8U * i + 4, len);
}

static inline uint64_t
put(uint64_t at, const char *text)
{
	memcpy(mem.base + at, text, strlen(text));
	return strlen(text);
}

static inline uint32_t
write_text(uint64_t fd, const char *text)
{
	vector(0, DATA, (uint32_t)put(DATA, text));
	return CALL("fd_write", fd, VECTORS, 1, RESULT);
}

/* What is there from `at` on, as text. */
static inline uint32_t
read_text(uint64_t fd, uint32_t len)
{
	memset(mem.base + DATA, 0, len + 1UL);
	vector(0, DATA, len);
	return CALL("fd_read", fd, VECTORS, 1, RESULT);
}

#endif
