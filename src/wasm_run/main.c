/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wasm_run: calls of one tenant's tools.
 *
 * Runs in: a slot of kind WASM_RUN of its own: no files, no network, its own uid;
 * descriptor 0 is its link to the executor, 1 and 2 are /dev/null. Everything that
 * needs a system call which the jail forbids (a thread, signal handlers, the engine's
 * pool) happens before the jail, the first module and the first byte of the link after.
 * Trusts: the executor. Owns: nothing that outlives it.
 * Invariants: end of file on the link is the end of the process.
 * By hand, jailed all the same: `wasm-run --once [TIME_MS [MEMORY_MB]]`, the compiled
 * file as a sealed memory file on descriptor 3, arguments on standard input; the tool's
 * environment is this process's own, its capabilities are all there are.
 * Its exit status is the tool's; 124 after the deadline, 125 for every other end, which
 * standard error names.
 * See: wire/executor_wasm.h, wasm/run.h.
 */
#include "worker.h"

#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <base/io.h>
#include <jail/jail.h>

#define ARTEFACT_FD 3
#define ONCE_TIME_MS 5000
#define ONCE_MEMORY_MB 64
#define EXIT_TIMEOUT 124
#define EXIT_OTHER 125

static int serve(void);
static int once(int argc, char **argv);
static struct status environment(struct buf *out);
static int once_run(uint64_t time_ms, uint64_t memory_mb, struct span in, struct span env);
static struct status prepare(void);
static int complain(const char *what, struct status st);

static const int syscalls[] = { SCMP_SYS(memfd_create), SCMP_SYS(ftruncate),
	SCMP_SYS(sched_setattr), -1 };
static const struct jail jail = {
	.name = "wasm-run",
	.syscalls = syscalls,
	.nofile = 4 * EW_MODULES_MAX,
	.code = true,
};

/* Large: the context of WASI, the table of modules. */
static struct worker worker;

int
main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "--once") == 0)
		return once(argc - 2, argv + 2);
	if (argc > 1) {
		(void)fprintf(stderr, "usage: wasm-run [--once [TIME_MS [MEMORY_MB]]]\n");
		return 2;
	}
	return serve();
}

static int
serve(void)
{
	static uv_loop_t loop;
	struct status st;

	if (syscall(SYS_close_range, STDERR_FILENO + 1, ~0U, 0) != 0)
		return complain("descriptors", fail_errno());
	if (uv_loop_init(&loop) != 0)
		return complain("loop", fail(E_NOMEM));
	st = prepare();
	if (!is_ok(st))
		return complain("start", st);
	st = worker_serve(&worker, &loop, STDIN_FILENO);
	return is_ok(st) ? 0 : complain("link", st);
}

/* All that the jail forbids afterwards, then the jail. */
static struct status
prepare(void)
{
	const char *what;

	TRY(worker_init(&worker));
	return jail_enter_slot(&jail, &what);
}

static int
complain(const char *what, struct status st)
{
	(void)fprintf(stderr, "wasm-run: %s: %s\n", what, status_text(st));
	return EXIT_OTHER;
}

static int
once(int argc, char **argv)
{
	auto_buf struct buf in = BUF_INIT(TOOL_ARGUMENTS_MAX), env = BUF_INIT(TOOL_ENV_MAX);
	uint64_t time_ms = ONCE_TIME_MS, memory_mb = ONCE_MEMORY_MB;
	struct span map;
	struct status st;

	if (argc > 2 ||
	    (argc > 0 && !is_ok(span_u64(span_str(argv[0]), TOOL_TIME_MS_MAX, &time_ms))) ||
	    (argc > 1 && !is_ok(span_u64(span_str(argv[1]), TOOL_MEMORY_MB_MAX, &memory_mb))))
		return complain("TIME_MS, MEMORY_MB", fail(E_RANGE));
	st = worker_map(ARTEFACT_FD, &map);
	if (!is_ok(st))
		return complain("compiled file", st);
	if (syscall(SYS_close_range, STDERR_FILENO + 1, ~0U, 0) != 0)
		return complain("descriptors", fail_errno());
	st = prepare();
	if (!is_ok(st))
		return complain("start", st);
	st = worker_load(&worker, 1, map);
	if (!is_ok(st))
		return complain("compiled file", st);
	st = environment(&env);
	if (!is_ok(st))
		return complain("environment", st);
	st = io_read_all(STDIN_FILENO, &in);
	if (!is_ok(st))
		return complain("standard input", st);
	return once_run(time_ms, memory_mb, buf_span(&in), buf_span(&env));
}

static struct status
environment(struct buf *out)
{
	for (char **e = environ; *e != NULL; e++)
		TRY(buf_put(out, *e, strlen(*e) + 1));
	return OK;
}

static int
once_run(uint64_t time_ms, uint64_t memory_mb, struct span in, struct span env)
{
	static const uint8_t name[] = "tool";
	const struct wasm_call call = {
		.given = { .args = span_of(name, sizeof(name)),
		    .environment = env,
		    .in = in,
		    .out_max = TOOL_OUTPUT_MAX,
		    .err_max = TOOL_STDERR_MAX,
		    .files = true },
		.time_ms = (uint32_t)time_ms,
		.memory_max = memory_mb << 20,
	};
	struct wasm_result r;
	struct status st = worker_run(&worker, 1, &call, &r);

	if (!is_ok(st))
		return complain("call", st);
	(void)!is_ok(io_write_all(STDERR_FILENO, buf_span(&worker.wasi.err)));
	(void)!is_ok(io_write_all(STDOUT_FILENO, buf_span(&worker.wasi.out)));
	if (r.end == WASM_EXIT)
		return (int)r.exit_code;
	(void)fprintf(stderr, "wasm-run: %s\n",
	    r.trap_len > 0 ? r.trap : run_status_names[worker_status(r.end)]);
	return r.end == WASM_TIMEOUT ? EXIT_TIMEOUT : EXIT_OTHER;
}
