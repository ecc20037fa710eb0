/* SPDX-License-Identifier: Apache-2.0 */
/* lib/wasm: WASI preview 1 as a guest sees it: streams, clocks, randomness, wild arguments. */
#include "wasi_rig.h"

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
	};

	return cmocka_run_group_tests_name("wasi", tests, NULL, NULL);
}
