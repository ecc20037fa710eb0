/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wasm_compile: one module in, one compiled file out, and gone.
 *
 * Runs in: a slot of kind WASM_COMPILE of its own, with nothing but three descriptors:
 * 0 the module (a sealed memory file), 1 the compiled file (an empty memory file),
 * 2 takes one line: the engine's name with exit 0, why not with exit 1.
 * Trusts: nothing. Owns: nothing.
 * Invariants: the jail stands before the first byte of the module is read. Compiling
 * may take any time and memory (facts: 140 KB, 22 s), so the limits are the kernel's:
 * CPU_S of processor (then SIGKILL), AS_MAX of memory (then SIGABRT). Whoever sees an
 * end by a signal says that the module takes too much to compile.
 * By hand: the same, e.g. from Python: memfd_create, F_ADD_SEALS, subprocess.
 * See: wire/executor_spawner.h, wasm/compile.h.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <seccomp.h>

#include <base/cleanup.h>
#include <base/io.h>
#include <jail/jail.h>
#include <wasm/compile.h>

#define CPU_S 5
#ifdef __SANITIZE_ADDRESS__
#define AS_MAX RLIM_INFINITY /* its shadow is address space, too */
#else
#define AS_MAX (1UL << 30)
#endif
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static struct status limit(void);
static struct status open_module(struct span *ret);
static int say(const char *text);
static int refuse(const char *what, struct status st);

static const int syscalls[] = { SCMP_SYS(memfd_create), SCMP_SYS(ftruncate), -1 };
static const struct jail jail = {
	.name = "wasm-compile",
	.syscalls = syscalls,
	.nofile = 16,
	.code = true, /* the library maps what it compiled; nothing ever runs it here */
};

int
main(void)
{
	auto_buf struct buf out = BUF_INIT(WASM_ARTEFACT_MAX);
	auto_buf struct buf reason = BUF_INIT(WASM_REASON_MAX);
	const char *what;
	struct span module;
	struct status st = limit();

	if (!is_ok(st))
		return refuse("limits", st);
	if (syscall(SYS_close_range, STDERR_FILENO + 1, ~0U, 0) != 0)
		return refuse("descriptors", fail_errno());
	st = jail_enter_slot(&jail, &what);
	if (!is_ok(st))
		return refuse("jail", st);
	st = open_module(&module);
	if (!is_ok(st))
		return refuse("module", st);
	st = wasm_compile(module, &out, &reason);
	if (is_ok(st))
		st = io_write_all(STDOUT_FILENO, buf_span(&out));
	if (is_ok(st))
		return say(wasm_engine_id()) == 0 ? 0 : 1;
	if (reason.len == 0)
		return refuse("module", st);
	(void)!is_ok(buf_put_u8(&reason, 0));
	(void)say((const char *)reason.ptr);
	return 1;
}

static struct status
limit(void)
{
	/* At the soft limit a signal that can be caught, at the hard one an end: both at once. */
	static const struct {
		__rlimit_resource_t resource;
		rlim_t max;
	} limits[] = { { RLIMIT_CPU, CPU_S }, { RLIMIT_AS, AS_MAX }, { RLIMIT_CORE, 0 } };

	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		struct rlimit rl;

		if (getrlimit(limits[i].resource, &rl) != 0)
			return fail_errno();
		if (rl.rlim_max > limits[i].max)
			rl.rlim_max = limits[i].max;
		rl.rlim_cur = rl.rlim_max;
		if (setrlimit(limits[i].resource, &rl) != 0)
			return fail_errno();
	}
	return OK;
}

/* Nobody can change a sealed file under the compiler. */
static struct status
open_module(struct span *ret)
{
	int seals = fcntl(STDIN_FILENO, F_GET_SEALS);
	off_t len = lseek(STDIN_FILENO, 0, SEEK_END);
	void *map;

	if (seals < 0 || len < 0)
		return fail_errno();
	if ((seals & SEALS) != SEALS)
		return fail(E_DENIED);
	if (len <= 0 || len > WASM_MODULE_MAX)
		return fail(E_RANGE);
	map = mmap(NULL, (size_t)len, PROT_READ, MAP_PRIVATE, STDIN_FILENO, 0);
	if (map == MAP_FAILED)
		return fail_errno();
	*ret = span_of(map, (size_t)len);
	return OK;
}

static int
say(const char *text)
{
	auto_buf struct buf line = BUF_INIT(WASM_REASON_MAX + 1);

	if (!is_ok(buf_printf(&line, "%.*s\n", WASM_REASON_MAX - 1, text)))
		return -1;
	return is_ok(io_write_all(STDERR_FILENO, buf_span(&line))) ? 0 : -1;
}

static int
refuse(const char *what, struct status st)
{
	auto_buf struct buf text = BUF_INIT(WASM_REASON_MAX);

	if (is_ok(buf_printf(&text, "%s: %s", what, status_text(st))) &&
	    is_ok(buf_put_u8(&text, 0)))
		(void)say((const char *)text.ptr);
	return 1;
}
