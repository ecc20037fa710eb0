/* SPDX-License-Identifier: Apache-2.0 */
/* The run worker by hand: --once, as `sallyport tool test` starts it. */
#include "wasm_world.h"

#include <wire/limits.h>

static struct buf output = BUF_INIT(TOOL_OUTPUT_MAX), errors = BUF_INIT(TOOL_STDERR_MAX);

/* -> exit status; what it wrote to standard output and error is in `output` and `errors`. */
static int
by_hand(const char *vector, struct span in, const char *time_ms)
{
	int in_pipe[2], out_pipe[2], err_pipe[2], status, fd;
	struct compiled c;
	char path[512];
	pid_t pid;

	compile_vector(vector, &c);
	fd = sealed_file(buf_span(&c.file));
	buf_done(&c.file);
	assert_int_equal(pipe(in_pipe) + pipe(out_pipe) + pipe(err_pipe), 0);
	wasm_path("wasm_run", "wasm-run", path, sizeof(path));
	pid = fork();
	if (pid == 0) {
		char *env[] = { (char *)(uintptr_t) "ASAN_OPTIONS=detect_leaks=0", NULL };

		(void)dup2(in_pipe[0], 0);
		(void)dup2(out_pipe[1], 1);
		(void)dup2(err_pipe[1], 2);
		(void)close(in_pipe[1]);
		if (dup2(fd, 3) == fd)
			(void)fcntl(3, F_SETFD, 0);
		(void)execle(path, "wasm-run", "--once", time_ms, (char *)NULL, env);
		_exit(127);
	}
	must(io_write_all(in_pipe[1], in));
	(void)close(in_pipe[0]), (void)close(in_pipe[1]), (void)close(out_pipe[1]),
	    (void)close(err_pipe[1]);
	(void)close(fd);
	buf_clear(&output);
	buf_clear(&errors);
	must(io_read_all(out_pipe[0], &output));
	must(io_read_all(err_pipe[0], &errors));
	(void)close(out_pipe[0]), (void)close(err_pipe[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void
test_by_hand(void **state)
{
	(void)state;
	assert_int_equal(by_hand("echo", SPAN_LIT("{\"a\":1}"), "1000"), 0);
	assert_true(span_eq_str(buf_span(&output), "{\"a\":1}"));
	assert_int_equal(by_hand("exit300", SPAN_EMPTY, "1000"), 255);
	assert_int_equal(by_hand("loop", SPAN_EMPTY, "50"), 124);
	assert_true(span_eq_str(buf_span(&errors), "wasm-run: timeout\n"));
	assert_int_equal(by_hand("divide", SPAN_EMPTY, "1000"), 125);
	assert_true(
	    span_eq_str(buf_span(&errors), "wasm-run: trap: integer divide by zero in divide\n"));
	assert_int_equal(by_hand("echo", SPAN_EMPTY, "60001"), 125);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_by_hand) };
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	buf_done(&output);
	buf_done(&errors);
	return failed;
}
