/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The run worker over its real link: calls, every end, limits, deadlines; what one call leaves
 * for the next (nothing), what ten thousand leave (nothing); compiled files that are not what
 * they should be; its jail, its end.
 */
#include "wasm_world.h"

#include <dirent.h>
#include <signal.h>

#include <link/link.h>
#include <wasm/engine.h>
#include <wire/executor_wasm.h>

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED true
#else
#define SANITIZED false
#endif

#define CALLS_MANY (SANITIZED ? 1000 : 10000)

static uv_loop_t loop;
static struct world {
	pid_t pid;
	struct link *link;
	bool ready, gone, answered;
	char engine[TOOL_ENGINE_MAX + 1];
	uint16_t loaded;
	uint64_t module, last_id;
	struct ew_result result;
	char trap[TOOL_REASON_MAX + 1];
	struct buf output, errors;
} w;

static void
on_ready(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ew_ready *m = msg;

	(void)l, (void)id, (void)ctx;
	must(span_to_cstr(m->engine, w.engine, sizeof(w.engine)));
	w.ready = true;
}

static void
on_loaded(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ew_loaded *m = msg;

	(void)l, (void)ctx;
	w.last_id = id;
	w.module = m->module;
	w.loaded = m->code;
	w.answered = true;
}

static void
on_result(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ew_result *m = msg;

	(void)l, (void)ctx;
	w.last_id = id;
	w.result = *m;
	must(span_to_cstr(m->trap, w.trap, sizeof(w.trap)));
	buf_clear(&w.output);
	buf_clear(&w.errors);
	must(buf_put_span(&w.output, m->output));
	must(buf_put_span(&w.errors, m->errors));
	w.answered = true;
}

static void
on_closed(struct link *l, struct status why, void *ctx)
{
	(void)why, (void)ctx;
	w.gone = true;
	w.link = NULL;
	link_free(l);
}

static const struct link_rule rules[] = {
	{ EW_READY, 0, on_ready },
	{ EW_LOADED, 0, on_loaded },
	{ EW_RESULT, 0, on_result },
};
static const struct link_ops ops = { rules, COUNT(rules), on_closed };

static void
wait_for(const bool *what)
{
	while (!*what && !w.gone)
		(void)uv_run(&loop, UV_RUN_ONCE);
}

static int
setup(void **state)
{
	int fds[2], null = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)state;
	w = (struct world){ .output = BUF_INIT(TOOL_OUTPUT_MAX),
		.errors = BUF_INIT(TOOL_STDERR_MAX) };
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
	w.pid = wasm_spawn("wasm_run", "wasm-run", (const int[]){ fds[1], null, STDERR_FILENO });
	(void)close(fds[1]);
	(void)close(null);
	must(link_new(&loop, fds[0], &ew_edge, true, &ops, NULL, &w.link));
	wait_for(&w.ready);
	assert_true(w.ready);
	return 0;
}

/* The executor goes: so does the worker. */
static int
teardown(void **state)
{
	int status;

	(void)state;
	if (w.link != NULL)
		link_free(w.link);
	while (uv_run(&loop, UV_RUN_NOWAIT) != 0)
		;
	assert_int_equal(waitpid(w.pid, &status, 0), w.pid);
	assert_int_equal(status, 0);
	buf_done(&w.output);
	buf_done(&w.errors);
	return 0;
}

static uint16_t
load_fd(uint64_t number, int fd)
{
	const struct ew_module m = { number };

	w.answered = false;
	must(link_send_fds(w.link, 7 + number, EW_LOAD, &m, &fd, fd < 0 ? 0 : 1));
	wait_for(&w.answered);
	assert_true(w.answered);
	assert_int_equal(w.module, number);
	assert_int_equal(w.last_id, 7 + number);
	return w.loaded;
}

static uint16_t
load_bytes(uint64_t number, struct span artefact)
{
	int fd = sealed_file(artefact);
	uint16_t code = load_fd(number, fd);

	(void)close(fd);
	return code;
}

static void
load(uint64_t number, const char *vector)
{
	struct compiled c;

	compile_vector(vector, &c);
	assert_int_equal(c.status, 0);
	assert_int_equal(load_bytes(number, buf_span(&c.file)), E_OK);
	buf_done(&c.file);
}

static void
call_as(const struct ew_call *call)
{
	w.answered = false;
	must(link_send(w.link, 1000 + call->module, EW_CALL, call));
	wait_for(&w.answered);
	assert_true(w.answered);
	assert_int_equal(w.last_id, 1000 + call->module);
}

static void
call(uint64_t module, struct span arguments)
{
	const struct ew_call m = { .module = module,
		.time_ms = 2000,
		.memory_mb = 64,
		.output_kb = 256,
		.arguments = arguments };

	call_as(&m);
}

static void
test_echo(void **state)
{
	auto_buf struct buf large = BUF_INIT(TOOL_ARGUMENTS_MAX);

	(void)state;
	load(1, "echo");
	call(1, SPAN_LIT("{\"a\":1}"));
	assert_int_equal(w.result.status, RUN_EXIT);
	assert_int_equal(w.result.exit_code, 0);
	assert_true(span_eq_str(buf_span(&w.output), "{\"a\":1}"));
	assert_int_equal(w.errors.len, 0);
	assert_string_equal(w.trap, "");
	/* Nothing of the call before. */
	call(1, SPAN_LIT("[]"));
	assert_true(span_eq_str(buf_span(&w.output), "[]"));
	call(1, SPAN_EMPTY);
	assert_int_equal(w.output.len, 0);
	/* As much as there may be: in all of it, out up to the cap. */
	for (int i = 0; i < 256 << 10; i++)
		must(buf_put_u8(&large, (uint8_t)('a' + i % 26)));
	call(1, buf_span(&large));
	assert_int_equal(w.result.status, RUN_EXIT);
	assert_true(span_eq(buf_span(&w.output), buf_span(&large)));
	must(buf_put_u8(&large, 'x'));
	call(1, buf_span(&large));
	assert_int_equal(w.result.status, RUN_OUTPUT);
	assert_int_equal(w.result.truncated, 1);
	assert_true(w.output.len <= 256 << 10);
}

static void
test_ends(void **state)
{
	static const struct {
		const char *vector;
		uint8_t status;
		uint32_t exit_code;
		const char *trap;
	} rows[] = {
		{ "out_of_bounds", RUN_TRAP, 0, "trap: out of bounds memory access in reach_out" },
		{ "divide", RUN_TRAP, 0, "trap: integer divide by zero in divide" },
		{ "unreachable", RUN_TRAP, 0, "trap: unreachable in give_up" },
		{ "recursion", RUN_TRAP, 0, "trap: call stack exhausted in again" },
		{ "empty_element", RUN_TRAP, 0, "trap: call of an empty table element in main" },
		{ "grow", RUN_MEMORY, 7, "" },
		{ "grow_and_cope", RUN_EXIT, 0, "" },
		{ "grow_table", RUN_MEMORY, 0, "" },
		{ "too_large", RUN_MEMORY, 0, "" },
		{ "flood", RUN_OUTPUT, 0, "" },
		{ "exit300", RUN_EXIT, 255, "" },
		{ "fill", RUN_EXIT, 0, "" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		load(i, rows[i].vector);
		for (int again = 0; again < 2; again++) {
			call(i, SPAN_LIT("{}"));
			if (w.result.status != rows[i].status || strcmp(w.trap, rows[i].trap) != 0)
				print_error(
				    "%s: status %u, %s\n", rows[i].vector, w.result.status, w.trap);
			assert_int_equal(w.result.status, rows[i].status);
			assert_int_equal(w.result.exit_code, rows[i].exit_code);
			assert_string_equal(w.trap, rows[i].trap);
		}
	}
	/* The worker is as it was. */
	load(100, "echo");
	call(100, SPAN_LIT("1"));
	assert_true(span_eq_str(buf_span(&w.output), "1"));
}

static void
test_standard_error(void **state)
{
	(void)state;
	load(1, "noisy");
	call(1, SPAN_LIT("{}"));
	assert_int_equal(w.result.status, RUN_EXIT);
	assert_true(span_eq_str(buf_span(&w.output), "{}"));
	assert_int_equal(w.errors.len, TOOL_STDERR_MAX);
	assert_int_equal(w.result.truncated, 1);
}

/* Between the deadline, but for a tick's LATE_NS, and two ticks more, wherever the loop sits. */
static void
test_deadline(void **state)
{
	static const char *const vectors[] = { "loop", "loop_in_start" };

	(void)state;
	for (size_t i = 0; i < COUNT(vectors); i++) {
		uint32_t best = UINT32_MAX;

		load(i, vectors[i]);
		for (int n = 0; n < 20; n++) {
			const struct ew_call m = { .module = i,
				.time_ms = 50,
				.memory_mb = 1,
				.output_kb = 1,
				.arguments = SPAN_LIT("{}") };

			call_as(&m);
			assert_int_equal(w.result.status, RUN_TIMEOUT);
			assert_string_equal(w.trap, "");
			assert_true(w.result.duration_us >= 50000 - 200);
			if (w.result.duration_us < best)
				best = w.result.duration_us;
		}
		/* Other jobs may take the processor away; not twenty times. */
		assert_true(best <= 70000);
	}
}

static void
test_zeroed(void **state)
{
	(void)state;
	load(1, "secret");
	load(2, "scan");
	for (int i = 0; i < 20; i++) {
		call(1, SPAN_LIT("{}"));
		assert_int_equal(w.result.status, RUN_EXIT);
		assert_int_equal(w.result.exit_code, 0);
		call(2, SPAN_LIT("{}"));
		assert_int_equal(w.result.status, RUN_EXIT);
		assert_int_equal(w.result.exit_code, 0);
	}
}

static void
test_artefacts(void **state)
{
	struct compiled c;
	int unsealed;

	(void)state;
	compile_vector("echo", &c);
	/* Cut, longer, no head, of another engine, of another configuration. */
	for (size_t len = 1; len < c.file.len; len += 977)
		assert_int_equal(load_bytes(1, span_of(c.file.ptr, len)), E_CORRUPT);
	assert_int_equal(load_bytes(1, span_from(buf_span(&c.file), 80)), E_CORRUPT);
	assert_int_equal(load_bytes(1, SPAN_LIT("\0asm\1\0\0\0")), E_CORRUPT);
	must(buf_put_u8(&c.file, 0));
	assert_int_equal(load_bytes(1, buf_span(&c.file)), E_CORRUPT);
	c.file.len--;
	c.file.ptr[16 + 9] ^= 1;
	assert_int_equal(load_bytes(1, buf_span(&c.file)), E_UNSUPPORTED);
	c.file.ptr[16 + 9] ^= 1;
	/* The right head before something else. */
	memset(c.file.ptr + 80, 0, 4096);
	assert_int_equal(load_bytes(1, buf_span(&c.file)), E_UNSUPPORTED);
	buf_done(&c.file);
	/* Not sealed; no descriptor at all. */
	compile_vector("echo", &c);
	unsealed = memfd_create("x", MFD_CLOEXEC);
	must(io_write_all(unsealed, buf_span(&c.file)));
	assert_int_equal(load_fd(1, unsealed), E_DENIED);
	assert_int_equal(load_fd(1, -1), E_DENIED);
	(void)close(unsealed);
	assert_int_equal(load_bytes(1, buf_span(&c.file)), E_OK);
	assert_int_equal(load_bytes(1, buf_span(&c.file)), E_EXISTS);
	buf_done(&c.file);
	call(1, SPAN_LIT("1"));
	assert_true(span_eq_str(buf_span(&w.output), "1"));
}

static void
test_modules_bounded(void **state)
{
	struct ew_module m = { 3 };
	struct compiled c;

	(void)state;
	compile_vector("echo", &c);
	for (uint64_t i = 0; i < EW_MODULES_MAX; i++)
		assert_int_equal(load_bytes(i, buf_span(&c.file)), E_OK);
	assert_int_equal(load_bytes(EW_MODULES_MAX, buf_span(&c.file)), E_FULL);
	must(link_send(w.link, 0, EW_UNLOAD, &m));
	m.module = 12345;
	must(link_send(w.link, 0, EW_UNLOAD, &m));
	assert_int_equal(load_bytes(EW_MODULES_MAX, buf_span(&c.file)), E_OK);
	call(EW_MODULES_MAX, SPAN_LIT("1"));
	assert_true(span_eq_str(buf_span(&w.output), "1"));
	buf_done(&c.file);
}

/* A tool with 7 MiB of data: { _start that does nothing, memory of 128 pages }. */
static void
put_large(struct buf *m)
{
	static const uint8_t before[] = { 0, 'a', 's', 'm', 1, 0, 0, 0, 1, 4, 1, 0x60, 0, 0, 3, 2,
		1, 0, 5, 4, 1, 0, 0x80, 1, 7, 19, 2, 6, 'm', 'e', 'm', 'o', 'r', 'y', 2, 0, 6, '_',
		's', 't', 'a', 'r', 't', 0, 0, 10, 4, 1, 2, 0, 0x0b };
	/* Data: section of 0x70000a bytes, one segment at 0, of 0x700000. */
	static const uint8_t data[] = { 11, 0x89, 0x80, 0xc0, 3, 1, 0, 0x41, 0, 0x0b, 0x80, 0x80,
		0xc0, 3 };
	const size_t len = 7U << 20;

	must(buf_put(m, before, sizeof(before)));
	must(buf_put(m, data, sizeof(data)));
	must(buf_reserve(m, len));
	memset(m->ptr + m->len, 'x', len);
	m->len += len;
}

/* What a worker holds is bounded in bytes, too, before its memory is; and letting go makes room. */
static void
test_bytes_bounded(void **state)
{
	auto_buf struct buf module = BUF_INIT(8U << 20);
	const struct ew_module first = { 0 };
	struct compiled c;
	uint64_t n = 0;
	uint16_t code;

	(void)state;
	put_large(&module);
	compile_module(buf_span(&module), &c);
	assert_string_equal(c.line, wasm_engine_id());
	while ((code = load_bytes(n, buf_span(&c.file))) == E_OK)
		n++;
	assert_int_equal(code, E_FULL);
	assert_int_equal(n, (128U << 20) / c.file.len);
	must(link_send(w.link, 0, EW_UNLOAD, &first));
	assert_int_equal(load_bytes(n, buf_span(&c.file)), E_OK);
	call(n, SPAN_EMPTY);
	assert_int_equal(w.result.status, RUN_EXIT);
	buf_done(&c.file);
}

struct footprint {
	long descriptors, threads, rss_kb;
};

static struct footprint
look(void)
{
	struct footprint f = { 0 };
	char path[64], line[256];
	FILE *status;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)w.pid);
	dir = opendir(path);
	assert_non_null(dir);
	while (readdir(dir) != NULL)
		f.descriptors++;
	(void)closedir(dir);
	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)w.pid);
	status = fopen(path, "r");
	assert_non_null(status);
	while (fgets(line, sizeof(line), status) != NULL) {
		(void)sscanf(line, "Threads: %ld", &f.threads);
		(void)sscanf(line, "VmRSS: %ld", &f.rss_kb);
	}
	(void)fclose(status);
	return f;
}

static void
many_calls(int n)
{
	for (int i = 0; i < n; i++) {
		call((uint64_t)(i % 3), SPAN_LIT("{\"a\":1}"));
		assert_int_equal(w.result.status, i % 3 == 2 ? RUN_TRAP : RUN_EXIT);
	}
}

static void
test_no_growth(void **state)
{
	struct footprint before, after;

	(void)state;
	load(0, "echo");
	load(1, "secret");
	load(2, "out_of_bounds");
	many_calls(CALLS_MANY / 10);
	before = look();
	many_calls(CALLS_MANY);
	after = look();
	assert_int_equal(before.threads, 2);
	assert_int_equal(after.threads, 2);
	assert_int_equal(after.descriptors, before.descriptors);
	if (!SANITIZED)
		assert_true(after.rss_kb <= before.rss_kb + 512);
	/* Loading and letting go leaves nothing, either. */
	for (int i = 0; i < (SANITIZED ? 20 : 200); i++) {
		const struct ew_module m = { 0 };

		must(link_send(w.link, 0, EW_UNLOAD, &m));
		load(0, "echo");
	}
	assert_int_equal(look().descriptors, before.descriptors);
	if (!SANITIZED)
		assert_true(look().rss_kb <= after.rss_kb + 1024);
}

/* A call of what was never loaded is the executor's fault: the worker ends. */
static void
test_unknown_module(void **state)
{
	const struct ew_call m = { .module = 9, .time_ms = 10, .memory_mb = 1, .output_kb = 1 };

	(void)state;
	must(link_send(w.link, 1, EW_CALL, &m));
	while (!w.gone)
		(void)uv_run(&loop, UV_RUN_ONCE);
}

/* It dies with the executor also in the middle of a call, at the call's deadline. */
static void
test_dies_in_call(void **state)
{
	const struct ew_call m = { .module = 1,
		.time_ms = 100,
		.memory_mb = 1,
		.output_kb = 1,
		.arguments = SPAN_LIT("{}") };
	uint64_t begun;

	(void)state;
	load(1, "loop");
	must(link_send(w.link, 1, EW_CALL, &m));
	link_flush(w.link);
	link_free(w.link);
	w.link = NULL;
	begun = clock_mono_ns();
	while (kill(w.pid, 0) == 0 &&
	       waitid(P_PID, (id_t)w.pid, &(siginfo_t){ 0 }, WEXITED | WNOWAIT) != 0)
		;
	assert_true(clock_mono_ns() - begun < 10 * NS_PER_S); /* without one the loop has no end */
}

int
main(void)
{
#define WORKER_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		WORKER_TEST(test_echo),
		WORKER_TEST(test_ends),
		WORKER_TEST(test_standard_error),
		WORKER_TEST(test_deadline),
		WORKER_TEST(test_zeroed),
		WORKER_TEST(test_artefacts),
		WORKER_TEST(test_modules_bounded),
		WORKER_TEST(test_bytes_bounded),
		WORKER_TEST(test_no_growth),
		WORKER_TEST(test_unknown_module),
		WORKER_TEST(test_dies_in_call),
	};

	if (uv_loop_init(&loop) != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
