/* SPDX-License-Identifier: Apache-2.0 */
/* lib/wasm: WASI preview 1 as a guest sees it, against a memory between two walls. */
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

static int
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

static int
end(void **state)
{
	(void)state;
	wasi_done(&ctx);
	free(before);
	return munmap(walls, MEMORY_LEN + 2UL * PAGE);
}

static void
given(struct wasi_given g)
{
	if (g.out_max == 0)
		g.out_max = 64;
	if (g.err_max == 0)
		g.err_max = 16;
	assert_true(is_ok(wasi_begin(&ctx, &g)));
}

static void
given_files(void)
{
	given((struct wasi_given){ .files = true });
}

#define CALL(name, ...) call(name, (const uint64_t[WASI_PARAMS_MAX]){ __VA_ARGS__ })
static uint32_t
call(const char *name, const uint64_t *args)
{
	uint32_t err = wasi_try(&ctx, mem, before, wasi_named(name), args);

	scratch_check(&ctx);
	return err;
}

static uint32_t
at32(uint64_t at)
{
	return guest_u32(mem.base + at);
}

static uint64_t
at64(uint64_t at)
{
	return at32(at) | (uint64_t)at32(at + 4) << 32;
}

static void
vector(unsigned i, uint32_t at, uint32_t len)
{
	guest_put_u32(mem.base + VECTORS + 8U * i, at);
	guest_put_u32(mem.base + VECTORS + 8U * i + 4, len);
}

static uint64_t
put(uint64_t at, const char *text)
{
	memcpy(mem.base + at, text, strlen(text));
	return strlen(text);
}

static uint32_t
write_text(uint64_t fd, const char *text)
{
	vector(0, DATA, (uint32_t)put(DATA, text));
	return CALL("fd_write", fd, VECTORS, 1, RESULT);
}

/* What is there from `at` on, as text. */
static uint32_t
read_text(uint64_t fd, uint32_t len)
{
	memset(mem.base + DATA, 0, len + 1UL);
	vector(0, DATA, len);
	return CALL("fd_read", fd, VECTORS, 1, RESULT);
}

static uint32_t
open_path(const char *path, uint64_t flags, uint64_t *ret_fd)
{
	uint32_t err = CALL("path_open", 3, 1, PATH, put(PATH, path), flags,
	    RIGHTS_ALL & ~WASI_R_WRITE, RIGHTS_ALL, 0, RESULT);

	if (err != WASI_OK)
		return err;
	if (ctx.scratch->nodes[ctx.fds[at32(RESULT)].node].kind == WASI_REGULAR) {
		assert_int_equal(CALL("fd_close", at32(RESULT)), WASI_OK);
		err = CALL("path_open", 3, 0, PATH, put(PATH, path), flags & ~(uint64_t)WASI_EXCL,
		    RIGHTS_ALL, RIGHTS_ALL, 0, RESULT);
	}
	*ret_fd = at32(RESULT);
	return err;
}

static uint32_t
on_path(const char *name, const char *path)
{
	return CALL(name, 3, PATH, put(PATH, path));
}

static uint32_t
rename_path(const char *from, const char *to)
{
	return CALL("path_rename", 3, PATH, put(PATH, from), 3, OTHER_PATH, put(OTHER_PATH, to));
}

/* ---- streams ---- */

static void
test_arguments(void **state)
{
	static const char args[] = "tool\0-v", env[] = "A=1\0B=";

	(void)state;
	given((struct wasi_given){
	    .args = span_of(args, sizeof(args)), .environment = span_of(env, sizeof(env)) });
	assert_int_equal(CALL("args_sizes_get", RESULT, RESULT + 4), WASI_OK);
	assert_int_equal(at32(RESULT), 2);
	assert_int_equal(at32(RESULT + 4), sizeof(args));
	assert_int_equal(CALL("args_get", RESULT, DATA), WASI_OK);
	assert_int_equal(at32(RESULT), DATA);
	assert_int_equal(at32(RESULT + 4), DATA + 5);
	assert_memory_equal(mem.base + DATA, args, sizeof(args));
	assert_int_equal(CALL("environ_get", RESULT, DATA), WASI_OK);
	assert_string_equal((char *)mem.base + at32(RESULT + 4), "B=");
	/* The last byte that fits, and one less room. */
	assert_int_equal(CALL("args_get", MEMORY_LEN - 8, MEMORY_LEN - sizeof(args)), WASI_OK);
	assert_int_equal(CALL("args_get", MEMORY_LEN - 7, DATA), WASI_EFAULT);
	assert_int_equal(CALL("args_get", RESULT, MEMORY_LEN - sizeof(args) + 1), WASI_EFAULT);
	assert_int_equal(
	    wasi_begin(&ctx, &(struct wasi_given){ .args = SPAN_LIT("no end") }).code, E_RANGE);
	given((struct wasi_given){ 0 });
	assert_int_equal(CALL("environ_sizes_get", RESULT, RESULT + 4), WASI_OK);
	assert_int_equal(at64(RESULT), 0);
}

static void
test_input(void **state)
{
	(void)state;
	given((struct wasi_given){ .in = SPAN_LIT("abcdefgh") });
	vector(0, DATA, 3);
	vector(1, DATA + 16, 0);
	vector(2, DATA + 32, 2);
	assert_int_equal(CALL("fd_read", 0, VECTORS, 3, RESULT), WASI_OK);
	assert_int_equal(at32(RESULT), 5);
	assert_memory_equal(mem.base + DATA, "abc", 3);
	assert_memory_equal(mem.base + DATA + 32, "de", 2);
	/* The first read overwrites the second vector: what was checked is what counts. */
	vector(0, VECTORS + 8, 3);
	vector(1, DATA, 4);
	assert_int_equal(CALL("fd_read", 0, VECTORS, 2, RESULT), WASI_OK);
	assert_int_equal(at32(RESULT), 3);
	assert_int_equal(read_text(0, 4), WASI_OK);
	assert_int_equal(at32(RESULT), 0);
	assert_int_equal(CALL("fd_read", 1, VECTORS, 1, RESULT), WASI_EBADF);
	assert_int_equal(CALL("fd_write", 0, VECTORS, 1, RESULT), WASI_EBADF);
	assert_int_equal(CALL("fd_seek", 0, 0, WASI_SEEK_CUR, RESULT), WASI_ESPIPE);
	assert_int_equal(CALL("fd_pread", 0, VECTORS, 1, 0, RESULT), WASI_ESPIPE);
}

static void
test_output_cap(void **state)
{
	(void)state;
	given((struct wasi_given){ .out_max = 8, .err_max = 4 });
	assert_int_equal(write_text(1, "12345678"), WASI_OK);
	assert_int_equal(write_text(2, "abcdef"), WASI_OK);
	assert_int_equal(at32(RESULT), 6);
	assert_true(ctx.err_cut);
	assert_true(span_eq_str(buf_span(&ctx.err), "abcd"));
	assert_int_equal(ctx.end, WASI_RUNS);
	assert_int_equal(write_text(1, "9"), WASI_LEAVE);
	assert_int_equal(ctx.end, WASI_OUTPUT_FULL);
	assert_true(span_eq_str(buf_span(&ctx.out), "12345678"));
	/* What fits of one that does not. */
	given((struct wasi_given){ .out_max = 4 });
	assert_int_equal(ctx.out.len, 0);
	assert_int_equal(write_text(1, "123456"), WASI_LEAVE);
	assert_true(span_eq_str(buf_span(&ctx.out), "1234"));
}

static void
test_exit(void **state)
{
	(void)state;
	given((struct wasi_given){ 0 });
	assert_int_equal(CALL("proc_exit", 77), WASI_LEAVE);
	assert_int_equal(ctx.end, WASI_EXITED);
	assert_int_equal(ctx.exit_code, 77);
	assert_false(wasi_named("proc_exit")->answers);
	given((struct wasi_given){ 0 });
	assert_int_equal(ctx.end, WASI_RUNS);
}

static void
test_clocks_and_randomness(void **state)
{
	uint64_t first;

	(void)state;
	given((struct wasi_given){ 0 });
	assert_int_equal(CALL("clock_time_get", WASI_MONOTONIC, 0, RESULT), WASI_OK);
	first = at64(RESULT);
	assert_int_equal(CALL("clock_time_get", WASI_MONOTONIC, UINT64_MAX, RESULT), WASI_OK);
	assert_true(at64(RESULT) >= first);
	assert_int_equal(CALL("clock_time_get", 2, 0, RESULT), WASI_EINVAL);
	assert_int_equal(CALL("clock_time_get", 0, 0, MEMORY_LEN - 7), WASI_EFAULT);
	assert_int_equal(CALL("clock_res_get", 0, RESULT), WASI_OK);
	assert_int_equal(CALL("clock_res_get", 3, RESULT), WASI_EINVAL);
	memset(mem.base + DATA, 0, 64);
	assert_int_equal(CALL("random_get", DATA, 32), WASI_OK);
	assert_memory_equal(mem.base + DATA + 32, (const uint8_t[32]){ 0 }, 32);
	assert_true(at64(DATA) != 0 || at64(DATA + 8) != 0);
	assert_int_equal(CALL("random_get", 1, MEMORY_LEN), WASI_EFAULT);
	assert_int_equal(CALL("random_get", 0, MEMORY_LEN), WASI_OK);
	assert_int_equal(CALL("sched_yield", 0), WASI_OK);
}

/* One call does not go on and on. */
static void
test_much_randomness(void **state)
{
	const struct wasi_call *get = wasi_named("random_get");
	uint64_t args[WASI_PARAMS_MAX] = { 0, WASI_RANDOM_MAX + 1 };
	uint8_t *large = calloc(1, WASI_RANDOM_MAX + 1);
	const struct wasi_memory m = { large, WASI_RANDOM_MAX + 1 };

	(void)state;
	given((struct wasi_given){ 0 });
	assert_non_null(large);
	assert_int_equal(get->fn(&ctx, m, args), WASI_EINVAL);
	assert_int_equal(large[0] | large[1] | large[2] | large[3], 0);
	args[1] = WASI_RANDOM_MAX;
	assert_int_equal(get->fn(&ctx, m, args), WASI_OK);
	free(large);
}

static void
test_not_offered(void **state)
{
	static const char *const names[] = { "poll_oneoff", "sock_accept", "sock_recv", "sock_send",
		"sock_shutdown", "proc_raise", "path_link", "path_symlink", "path_readlink" };

	(void)state;
	given((struct wasi_given){ .files = true });
	for (size_t i = 0; i < COUNT(names); i++)
		assert_int_equal(CALL(names[i], 3, PATH, 4, RESULT), WASI_ENOSYS);
	assert_int_equal(ctx.refused, COUNT(names));
}

static void
test_vectors(void **state)
{
	(void)state;
	given((struct wasi_given){ .in = SPAN_LIT("abc") });
	vector(0, MEMORY_LEN - 4, 4);
	assert_int_equal(CALL("fd_read", 0, VECTORS, 1, RESULT), WASI_OK);
	vector(0, MEMORY_LEN - 4, 5);
	assert_int_equal(CALL("fd_read", 0, VECTORS, 1, RESULT), WASI_EFAULT);
	vector(0, UINT32_MAX, UINT32_MAX);
	assert_int_equal(CALL("fd_write", 1, VECTORS, 1, RESULT), WASI_EFAULT);
	/* One bad vector behind a good one: nothing of the good one is written. */
	vector(0, DATA, 4);
	vector(1, MEMORY_LEN, 1);
	assert_int_equal(CALL("fd_write", 1, VECTORS, 2, RESULT), WASI_EFAULT);
	assert_int_equal(ctx.out.len, 0);
	assert_int_equal(CALL("fd_write", 1, VECTORS, WASI_VECTORS_MAX + 1, RESULT), WASI_EINVAL);
	assert_int_equal(CALL("fd_write", 1, VECTORS, UINT32_MAX, RESULT), WASI_EINVAL);
	assert_int_equal(CALL("fd_write", 1, MEMORY_LEN - 8, 2, RESULT), WASI_EFAULT);
	assert_int_equal(CALL("fd_write", 1, VECTORS, 1, MEMORY_LEN - 3), WASI_EFAULT);
	assert_int_equal(CALL("fd_write", 64, VECTORS, 1, RESULT), WASI_EBADF);
	assert_int_equal(CALL("fd_write", UINT32_MAX, VECTORS, 1, RESULT), WASI_EBADF);
	/* A memory that is not there yet. */
	mem = (struct wasi_memory){ NULL, 0 };
	before[0] = 0;
	assert_int_equal(
	    wasi_named("fd_write")->fn(&ctx, mem, (const uint64_t[WASI_PARAMS_MAX]){ 1, 0, 0, 0 }),
	    WASI_EFAULT);
}

/* Every call with every kind of wild argument, against the walls around the memory. */
static void
test_wild_arguments(void **state)
{
	static const uint64_t values[] = { 0, 1, 2, 3, 4, 8, RESULT, VECTORS, PATH, DATA,
		MEMORY_LEN - 8, MEMORY_LEN - 1, MEMORY_LEN, MEMORY_LEN + 1, INT32_MAX, UINT32_MAX,
		UINT32_MAX - 7, INT64_MAX, UINT64_MAX, WASI_SCRATCH_MAX - 1 };
	uint64_t seed = 0x9E3779B97F4A7C15;

	(void)state;
	for (unsigned round = 0; round < 200000; round++) {
		const struct wasi_call *c = &wasi_calls[round % WASI_CALLS];
		uint64_t args[WASI_PARAMS_MAX] = { 0 };

		if (round % 1000 == 0) {
			given((struct wasi_given){
			    .in = SPAN_LIT("abc"), .files = round % 2000 != 0 });
			put(PATH, "dir/../file");
			vector(0, DATA, 4);
		}
		for (size_t i = 0; i < strlen(c->params); i++) {
			seed ^= seed << 13;
			seed ^= seed >> 7;
			seed ^= seed << 17;
			args[i] = values[seed % COUNT(values)];
			if (c->params[i] == 'i')
				args[i] = (uint32_t)args[i];
		}
		if (call(c->name, args) == WASI_LEAVE)
			given((struct wasi_given){ .in = SPAN_LIT("abc"), .files = true });
	}
}

/* ---- the scratch directory ---- */

static void
test_no_files(void **state)
{
	(void)state;
	given((struct wasi_given){ 0 });
	assert_int_equal(CALL("fd_prestat_get", 3, RESULT), WASI_EBADF);
	assert_int_equal(CALL("path_open", 3, 0, PATH, put(PATH, "x"), WASI_CREAT, 0, 0, 0, RESULT),
	    WASI_ENOTCAPABLE);
	assert_int_equal(on_path("path_create_directory", "x"), WASI_ENOTCAPABLE);
	assert_int_equal(ctx.refused, 2);
	assert_null(ctx.scratch);
}

static void
test_file(void **state)
{
	uint64_t fd, again;

	(void)state;
	given_files();
	assert_int_equal(CALL("fd_prestat_get", 3, RESULT), WASI_OK);
	assert_int_equal(at32(RESULT + 4), 1);
	assert_int_equal(CALL("fd_prestat_dir_name", 3, DATA, 1), WASI_OK);
	assert_int_equal(mem.base[DATA], '/');
	assert_int_equal(open_path("f", 0, &fd), WASI_ENOENT);
	assert_int_equal(open_path("f", WASI_CREAT | WASI_EXCL, &fd), WASI_OK);
	assert_int_equal(fd, 4);
	assert_int_equal(write_text(fd, "hello, world"), WASI_OK);
	assert_int_equal(CALL("fd_seek", fd, (uint64_t)-5, WASI_SEEK_CUR, RESULT), WASI_OK);
	assert_int_equal(read_text(fd, 16), WASI_OK);
	assert_string_equal((char *)mem.base + DATA, "world");
	assert_int_equal(CALL("fd_tell", fd, RESULT), WASI_OK);
	assert_int_equal(at64(RESULT), 12);
	assert_int_equal(CALL("fd_seek", fd, (uint64_t)-13, WASI_SEEK_END, RESULT), WASI_EINVAL);
	assert_int_equal(CALL("fd_seek", fd, INT64_MAX, WASI_SEEK_CUR, RESULT), WASI_EINVAL);
	/* A hole reads as zeros. */
	vector(0, DATA, (uint32_t)put(DATA, "!"));
	assert_int_equal(CALL("fd_pwrite", fd, VECTORS, 1, 100, RESULT), WASI_OK);
	assert_int_equal(CALL("fd_filestat_get", fd, RESULT), WASI_OK);
	assert_int_equal(at64(RESULT + 32), 101);
	vector(0, DATA, 90);
	assert_int_equal(CALL("fd_pread", fd, VECTORS, 1, 12, RESULT), WASI_OK);
	assert_memory_equal(mem.base + DATA, (const uint8_t[88]){ 0 }, 88);
	/* Cut and grown: nothing old comes back. */
	assert_int_equal(CALL("fd_filestat_set_size", fd, 2), WASI_OK);
	assert_int_equal(CALL("fd_filestat_set_size", fd, 12), WASI_OK);
	assert_int_equal(CALL("fd_seek", fd, 0, WASI_SEEK_SET, RESULT), WASI_OK);
	assert_int_equal(read_text(fd, 12), WASI_OK);
	assert_memory_equal(mem.base + DATA, "he\0\0\0\0\0\0\0\0\0\0", 12);
	/* A file without a name lives while it is open. */
	assert_int_equal(on_path("path_unlink_file", "f"), WASI_OK);
	assert_int_equal(open_path("f", 0, &again), WASI_ENOENT);
	assert_int_equal(write_text(fd, "still"), WASI_OK);
	assert_int_equal(CALL("fd_close", fd), WASI_OK);
	assert_int_equal(ctx.scratch->bytes, 0);
	assert_int_equal(CALL("fd_close", fd), WASI_EBADF);
}

#define SECRET "sk-only-mine"

/* What is given back to malloc() while this is set must not hold the secret. */
static bool watched;
static unsigned leaks;

void __wrap_free(void *p);
void __real_free(void *p);

void
__wrap_free(void *p)
{
	if (watched && p != NULL &&
	    memmem(p, malloc_usable_size(p), SECRET, sizeof(SECRET) - 1) != NULL)
		leaks++;
	__real_free(p);
}

static void
write_secret(const char *name, uint64_t *fd)
{
	assert_int_equal(open_path(name, WASI_CREAT, fd), WASI_OK);
	assert_int_equal(write_text(*fd, SECRET), WASI_OK);
}

/* Behind a file that grew, shrank, was removed or is there at the end; and of its name. */
static void
test_nothing_stays_in_freed_memory(void **state)
{
	uint64_t fd;

	(void)state;
	given_files();
	watched = true;
	write_secret("grows", &fd);
	assert_int_equal(CALL("fd_filestat_set_size", fd, 1U << 20), WASI_OK);
	write_secret("shrinks", &fd);
	assert_int_equal(CALL("fd_filestat_set_size", fd, 2), WASI_OK);
	write_secret("removed", &fd);
	assert_int_equal(on_path("path_unlink_file", "removed"), WASI_OK);
	assert_int_equal(CALL("fd_close", fd), WASI_OK);
	assert_int_equal(open_path("name-" SECRET, WASI_CREAT, &fd), WASI_OK);
	assert_int_equal(CALL("path_rename", 3, PATH, put(PATH, "name-" SECRET), 3, OTHER_PATH,
			     put(OTHER_PATH, "else")),
	    WASI_OK);
	assert_int_equal(open_path("left-" SECRET, WASI_CREAT, &fd), WASI_OK);
	write_secret("left", &fd);
	wasi_end(&ctx);
	watched = false;
	assert_int_equal(leaks, 0);
}

/* out and err are kept for the next call, without what was in them. */
static void
test_nothing_stays_in_streams(void **state)
{
	(void)state;
	for (uint64_t fd = 1; fd <= 2; fd++) {
		const struct buf *b = fd == 1 ? &ctx.out : &ctx.err;

		given((struct wasi_given){ .out_max = 64, .err_max = 64 });
		assert_int_equal(write_text(fd, SECRET), WASI_OK);
		assert_int_equal(b->len, sizeof(SECRET) - 1);
		wasi_end(&ctx);
		assert_non_null(b->ptr);
		assert_null(memmem(b->ptr, sizeof(SECRET) - 1, SECRET, 4));
	}
}

static void
test_append(void **state)
{
	uint64_t fd;

	(void)state;
	given_files();
	assert_int_equal(open_path("f", WASI_CREAT, &fd), WASI_OK);
	assert_int_equal(write_text(fd, "ab"), WASI_OK);
	assert_int_equal(CALL("fd_fdstat_set_flags", fd, WASI_APPEND), WASI_OK);
	assert_int_equal(CALL("fd_fdstat_set_flags", fd, 32), WASI_EINVAL);
	assert_int_equal(CALL("fd_seek", fd, 0, WASI_SEEK_SET, RESULT), WASI_OK);
	assert_int_equal(write_text(fd, "cd"), WASI_OK);
	assert_int_equal(CALL("fd_tell", fd, RESULT), WASI_OK);
	assert_int_equal(at64(RESULT), 4);
}

static void
test_paths(void **state)
{
	static const struct {
		const char *path;
		uint32_t err;
	} cases[] = {
		{ "", WASI_ENOENT },
		{ "/d/f", WASI_ENOTCAPABLE },
		{ "..", WASI_ENOTCAPABLE },
		{ "d/../../f", WASI_ENOTCAPABLE },
		{ "d/e/../../..", WASI_ENOTCAPABLE },
		{ "d/./e/..//../d/f", WASI_OK },
		{ "d/f/", WASI_ENOTDIR },
		{ "d/f/..", WASI_ENOTDIR },
		{ "d/f/x", WASI_ENOTDIR },
		{ "none/..", WASI_ENOENT },
		{ "d/e/", WASI_OK },
		{ ".", WASI_OK },
		{ "d/\xff", WASI_EILSEQ },
	};
	char longest[WASI_NAME_MAX + 2];
	uint64_t fd;

	(void)state;
	given_files();
	assert_int_equal(on_path("path_create_directory", "d"), WASI_OK);
	assert_int_equal(on_path("path_create_directory", "d/e/"), WASI_OK);
	assert_int_equal(open_path("d/f", WASI_CREAT, &fd), WASI_OK);
	for (size_t i = 0; i < COUNT(cases); i++) {
		uint32_t err = CALL(
		    "path_filestat_get", 3, 1, PATH, put(PATH, cases[i].path), RESULT);

		if (err != cases[i].err)
			print_error("%s\n", cases[i].path);
		assert_int_equal(err, cases[i].err);
	}
	mem.base[PATH + put(PATH, "d/f")] = '\0';
	assert_int_equal(CALL("path_filestat_get", 3, 0, PATH, 4, RESULT), WASI_EINVAL);
	memset(longest, 'n', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(open_path(longest, WASI_CREAT, &fd), WASI_ENAMETOOLONG);
	longest[WASI_NAME_MAX] = '\0';
	assert_int_equal(open_path(longest, WASI_CREAT, &fd), WASI_OK);
	assert_int_equal(
	    CALL("path_filestat_get", 3, 0, 0, WASI_PATH_MAX + 1, RESULT), WASI_ENAMETOOLONG);
}

static void
test_names(void **state)
{
	uint64_t fd, dir;

	(void)state;
	given_files();
	assert_int_equal(on_path("path_create_directory", "a"), WASI_OK);
	assert_int_equal(on_path("path_create_directory", "a"), WASI_EEXIST);
	assert_int_equal(on_path("path_create_directory", "a/b"), WASI_OK);
	assert_int_equal(open_path("a/f", WASI_CREAT, &fd), WASI_OK);
	assert_int_equal(open_path("a/f", WASI_CREAT | WASI_EXCL, &fd), WASI_EEXIST);
	assert_int_equal(open_path("a/f", WASI_O_DIRECTORY, &fd), WASI_ENOTDIR);
	assert_int_equal(open_path("a", WASI_TRUNC, &fd), WASI_EISDIR);
	assert_int_equal(on_path("path_remove_directory", "a"), WASI_ENOTEMPTY);
	assert_int_equal(on_path("path_remove_directory", "a/f"), WASI_ENOTDIR);
	assert_int_equal(on_path("path_unlink_file", "a/b"), WASI_EISDIR);
	assert_int_equal(on_path("path_remove_directory", "."), WASI_EBUSY);
	assert_int_equal(on_path("path_remove_directory", "a/b/."), WASI_EINVAL);
	assert_int_equal(rename_path("a", "a/b/c"), WASI_EINVAL);
	assert_int_equal(rename_path("a", "a/b"), WASI_EINVAL);
	assert_int_equal(rename_path("a/f", "a/b"), WASI_EISDIR);
	assert_int_equal(rename_path("a/b", "a/f"), WASI_ENOTDIR);
	assert_int_equal(rename_path("a/f", "a/f"), WASI_OK);
	assert_int_equal(rename_path("a/f", "a/b/g"), WASI_OK);
	assert_int_equal(rename_path("a/b", "b"), WASI_OK);
	assert_int_equal(rename_path("a", "b"), WASI_ENOTEMPTY);
	assert_int_equal(rename_path("b", "a"), WASI_OK);
	assert_int_equal(open_path("a/g", 0, &fd), WASI_OK);
	assert_int_equal(rename_path(".", "x"), WASI_EBUSY);
	/* In a directory that was removed while it was open, nothing comes to be. */
	assert_int_equal(on_path("path_create_directory", "gone"), WASI_OK);
	assert_int_equal(open_path("gone", WASI_O_DIRECTORY, &dir), WASI_OK);
	assert_int_equal(on_path("path_remove_directory", "gone"), WASI_OK);
	assert_int_equal(CALL("path_create_directory", dir, PATH, put(PATH, "x")), WASI_ENOENT);
	assert_int_equal(
	    CALL("path_create_directory", dir, PATH, put(PATH, "..")), WASI_ENOTCAPABLE);
	assert_int_equal(
	    CALL("path_rename", 3, PATH, put(PATH, "a"), dir, OTHER_PATH, put(OTHER_PATH, "a")),
	    WASI_ENOENT);
}

static void
test_limits(void **state)
{
	uint64_t fd = 0, other, made = 0;
	char path[64], deep[WASI_DEPTH_MAX * 2 + 4] = "";

	(void)state;
	given_files();
	/* Bytes: what fits is written, then ENOSPC; freed room is room again. */
	assert_int_equal(open_path("big", WASI_CREAT, &fd), WASI_OK);
	assert_int_equal(CALL("fd_filestat_set_size", fd, WASI_SCRATCH_MAX + 1ULL), WASI_EFBIG);
	assert_int_equal(CALL("fd_filestat_set_size", fd, WASI_SCRATCH_MAX - 2ULL), WASI_OK);
	assert_int_equal(CALL("fd_seek", fd, 0, WASI_SEEK_END, RESULT), WASI_OK);
	assert_int_equal(write_text(fd, "12345"), WASI_OK);
	assert_int_equal(at32(RESULT), 2);
	assert_int_equal(write_text(fd, "12345"), WASI_EFBIG);
	assert_int_equal(open_path("small", WASI_CREAT, &other), WASI_OK);
	assert_int_equal(write_text(other, "x"), WASI_ENOSPC);
	assert_int_equal(CALL("fd_allocate", other, 0, 1), WASI_ENOSPC);
	assert_int_equal(CALL("fd_allocate", other, UINT64_MAX, 2), WASI_EFBIG);
	assert_int_equal(on_path("path_unlink_file", "big"), WASI_OK);
	assert_int_equal(CALL("fd_close", fd), WASI_OK);
	assert_int_equal(write_text(other, "x"), WASI_OK);
	/* Depth, also by renaming. */
	for (unsigned i = 0; i < WASI_DEPTH_MAX; i++) {
		strcat(deep, i == 0 ? "d" : "/d");
		assert_int_equal(on_path("path_create_directory", deep), WASI_OK);
	}
	strcat(deep, "/d");
	assert_int_equal(on_path("path_create_directory", deep), WASI_ENOSPC);
	assert_int_equal(on_path("path_create_directory", "e"), WASI_OK);
	assert_int_equal(rename_path("d", "e/d"), WASI_ENOSPC);
	assert_int_equal(rename_path("d", "f"), WASI_OK);
	/* Descriptors. */
	while (open_path("small", 0, &other) == WASI_OK)
		made++;
	assert_int_equal(open_path("small", 0, &other), WASI_EMFILE);
	assert_int_equal(made, WASI_FDS_MAX - 5);
	/* Names. */
	for (made = 0; made < WASI_FILES_MAX; made++) {
		(void)snprintf(path, sizeof(path), "n%u", (unsigned)made);
		if (on_path("path_create_directory", path) != WASI_OK)
			break;
	}
	assert_int_equal(on_path("path_create_directory", "one-more"), WASI_ENOSPC);
	assert_int_equal(made, WASI_FILES_MAX - 3 - WASI_DEPTH_MAX);
	assert_int_equal(on_path("path_remove_directory", "n7"), WASI_OK);
	assert_int_equal(on_path("path_create_directory", "one-more"), WASI_OK);
}

static void
test_listing(void **state)
{
	uint64_t cookie = 0;
	unsigned seen = 0;
	char path[16];

	(void)state;
	given_files();
	for (unsigned i = 0; i < 40; i++) {
		(void)snprintf(path, sizeof(path), "n%02u", i);
		assert_int_equal(on_path("path_create_directory", path), WASI_OK);
	}
	for (;;) {
		uint32_t used, at = 0;

		assert_int_equal(CALL("fd_readdir", 3, DATA, 100, cookie, RESULT), WASI_OK);
		used = at32(RESULT);
		while (used - at >= WASI_DIRENT_LEN &&
		       used - at >= WASI_DIRENT_LEN + at32(DATA + at + 16)) {
			cookie = at64(DATA + at);
			at += WASI_DIRENT_LEN + at32(DATA + at + 16);
			seen++;
		}
		if (used < 100)
			break;
	}
	assert_int_equal(seen, 42);
	assert_int_equal(CALL("fd_readdir", 3, DATA, 100, UINT64_MAX, RESULT), WASI_OK);
	assert_int_equal(at32(RESULT), 0);
	assert_int_equal(CALL("fd_readdir", 3, DATA, MEMORY_LEN, 0, RESULT), WASI_EFAULT);
}

static void
test_rights(void **state)
{
	uint64_t dir;

	(void)state;
	given_files();
	assert_int_equal(on_path("path_create_directory", "d"), WASI_OK);
	assert_int_equal(
	    CALL("path_open", 3, 0, PATH, put(PATH, "d"), WASI_O_DIRECTORY,
		WASI_R_OPEN | WASI_R_CREATE_FILE | WASI_R_SEEK, WASI_R_READ, 0, RESULT),
	    WASI_OK);
	dir = at32(RESULT);
	assert_int_equal(CALL("fd_seek", dir, 0, 0, RESULT), WASI_ENOTCAPABLE);
	assert_int_equal(CALL("path_create_directory", dir, PATH, 1), WASI_ENOTCAPABLE);
	/* What the directory does not hand on, nobody gets below it. */
	assert_int_equal(
	    CALL("path_open", dir, 0, PATH, put(PATH, "f"), WASI_CREAT, RIGHTS_ALL, 0, 0, RESULT),
	    WASI_OK);
	assert_int_equal(write_text(at32(RESULT), "x"), WASI_EBADF);
	assert_int_equal(
	    CALL("path_open", dir, 0, PATH, 1, WASI_TRUNC, 0, 0, 0, RESULT), WASI_ENOTCAPABLE);
	assert_int_equal(CALL("fd_fdstat_set_rights", dir, RIGHTS_ALL, 0), WASI_ENOTCAPABLE);
	assert_int_equal(CALL("fd_fdstat_set_rights", dir, 0, RIGHTS_ALL), WASI_ENOTCAPABLE);
	assert_int_equal(CALL("fd_fdstat_set_rights", dir, 0, 0), WASI_OK);
	assert_int_equal(CALL("path_open", dir, 0, PATH, 1, 0, 0, 0, 0, RESULT), WASI_ENOTCAPABLE);
	assert_int_equal(CALL("path_open", dir, 2, PATH, 1, 0, 0, 0, 0, RESULT), WASI_EINVAL);
	assert_int_equal(
	    CALL("path_open", 3, 0, PATH, 1, 5 | WASI_O_DIRECTORY, 0, 0, 0, RESULT), WASI_EINVAL);
}

static void
test_renumber(void **state)
{
	uint64_t fd;

	(void)state;
	given_files();
	assert_int_equal(open_path("f", WASI_CREAT, &fd), WASI_OK);
	assert_int_equal(CALL("fd_renumber", fd, 1), WASI_OK);
	assert_int_equal(CALL("fd_close", fd), WASI_EBADF);
	assert_int_equal(write_text(1, "into the file"), WASI_OK);
	assert_int_equal(ctx.out.len, 0);
	assert_int_equal(CALL("fd_renumber", 1, 9), WASI_EBADF);
	assert_int_equal(CALL("fd_renumber", 1, 1), WASI_OK);
	assert_int_equal(CALL("fd_renumber", 1, 3), WASI_OK);
	assert_int_equal(CALL("fd_prestat_get", 3, RESULT), WASI_EBADF);
}

/* The next call finds nothing of this one. */
static void
test_next_call(void **state)
{
	uint64_t fd;

	(void)state;
	given((struct wasi_given){ .files = true, .in = SPAN_LIT("first") });
	assert_int_equal(open_path("secret", WASI_CREAT, &fd), WASI_OK);
	assert_int_equal(write_text(fd, "secret"), WASI_OK);
	assert_int_equal(write_text(1, "secret"), WASI_OK);
	assert_int_equal(read_text(0, 5), WASI_OK);
	given((struct wasi_given){ .files = true, .in = SPAN_LIT("second") });
	assert_int_equal(CALL("fd_close", fd), WASI_EBADF);
	assert_int_equal(open_path("secret", 0, &fd), WASI_ENOENT);
	assert_int_equal(ctx.out.len, 0);
	assert_memory_equal(ctx.out.ptr, (const uint8_t[6]){ 0 }, 6);
	assert_int_equal(read_text(0, 6), WASI_OK);
	assert_string_equal((char *)mem.base + DATA, "second");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_arguments, begin, end),
		cmocka_unit_test_setup_teardown(test_input, begin, end),
		cmocka_unit_test_setup_teardown(test_output_cap, begin, end),
		cmocka_unit_test_setup_teardown(test_exit, begin, end),
		cmocka_unit_test_setup_teardown(test_clocks_and_randomness, begin, end),
		cmocka_unit_test_setup_teardown(test_much_randomness, begin, end),
		cmocka_unit_test_setup_teardown(test_not_offered, begin, end),
		cmocka_unit_test_setup_teardown(test_vectors, begin, end),
		cmocka_unit_test_setup_teardown(test_wild_arguments, begin, end),
		cmocka_unit_test_setup_teardown(test_no_files, begin, end),
		cmocka_unit_test_setup_teardown(test_file, begin, end),
		cmocka_unit_test_setup_teardown(test_nothing_stays_in_freed_memory, begin, end),
		cmocka_unit_test_setup_teardown(test_nothing_stays_in_streams, begin, end),
		cmocka_unit_test_setup_teardown(test_append, begin, end),
		cmocka_unit_test_setup_teardown(test_paths, begin, end),
		cmocka_unit_test_setup_teardown(test_names, begin, end),
		cmocka_unit_test_setup_teardown(test_limits, begin, end),
		cmocka_unit_test_setup_teardown(test_listing, begin, end),
		cmocka_unit_test_setup_teardown(test_rights, begin, end),
		cmocka_unit_test_setup_teardown(test_renumber, begin, end),
		cmocka_unit_test_setup_teardown(test_next_call, begin, end),
	};

	return cmocka_run_group_tests_name("wasi", tests, NULL, NULL);
}
