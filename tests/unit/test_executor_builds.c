/* SPDX-License-Identifier: Apache-2.0 */
/* src/executor/build.c, compile.c, native.c: versions of tools. */
#include "executor_tools_rig.h"

static void
a_version_is_built(void **state)
{
	uint8_t digest[SHA256_LEN];
	struct call c;

	(void)state;
	build_open(&c, world.module, world.native);
	until(world.compile_starts == 1);
	read_fd(world.compiles[0].fds[0], world.built_module, sizeof(world.built_module));
	assert_memory_equal(world.built_module, world.module.ptr, world.module.len);
	fake_compile_exit(0, "compiled", ENGINE "\nmore", 0, ENDED_BY_ITSELF);
	until(call_over(&c));
	assert_true(c.result);
	assert_int_equal(c.r.version, 4);
	assert_int_equal(world.builts, 1);
	assert_string_equal(world.built_engine, ENGINE);
	assert_string_equal(world.built_module, "compiled");
	assert_string_equal(world.built_manifest, "{\"name\":\"adder\"}");
	assert_int_equal(world.built.parts, TOOL_PARTS_ALL);
	assert_int_equal(world.built.module_size, world.module.len);
	assert_int_equal(world.built.native_size, world.native.len);
	must(sha256(SPAN_LIT("compiled"), digest));
	assert_memory_equal(world.built.artefact, digest, sizeof(digest));
	must(sha256(world.native, digest));
	assert_memory_equal(world.built.native, digest, sizeof(digest));
	must(sha256(buf_span(&c.body), digest));
	assert_memory_equal(world.built.digest, digest, sizeof(digest));
	until(world.dones == 1);
	assert_int_equal(world.done.error, ERROR_NONE);
	call_done(&c);
	/* Without a module nothing is compiled. */
	build_open(&c, SPAN_EMPTY, world.native);
	until(call_over(&c));
	assert_true(c.result);
	assert_int_equal(world.compile_starts, 1);
	assert_string_equal(world.built_engine, "");
	assert_string_equal(world.built_module, "");
	call_done(&c);
}

static void
a_version_is_refused(void **state)
{
	static const struct {
		const char *artefact, *line;
		uint32_t wait_status;
		uint8_t ended;
		enum error error;
		const char *reason;
	} rows[] = {
		{ "", "import: env.\x1b[2Jopen is not offered\nsecond line", 1U << 8,
		    ENDED_BY_ITSELF, ERROR_TOOL_INVALID, "import: env.?[2Jopen is not offered" },
		{ "", "", 1U << 8, ENDED_BY_ITSELF, ERROR_TOOL_INVALID, "" },
		{ "x", "", SIGKILL, ENDED_CPU, ERROR_TOOL_INVALID,
		    "module: it takes too long to compile" },
		{ "x", "", SIGKILL, ENDED_WALL, ERROR_TOOL_INVALID,
		    "module: it takes too long to compile" },
		{ "x", "", SIGKILL, ENDED_MEMORY, ERROR_TOOL_INVALID,
		    "module: it takes too much memory to compile" },
		{ "x", "", SIGSEGV, ENDED_BY_ITSELF, ERROR_TOOL_INVALID,
		    "module: it takes too much to compile" },
		/* It made a file, and yet it failed. */
		{ "x", ENGINE "\n", 2U << 8, ENDED_BY_ITSELF, ERROR_TOOL_INVALID,
		    "module: it takes too much to compile" },
		/* It says that it is done, and is not. */
		{ "", ENGINE "\n", 0, ENDED_BY_ITSELF, ERROR_INTERNAL, "" },
		{ "x", "", 0, ENDED_BY_ITSELF, ERROR_INTERNAL, "" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct call c;

		(void)world_reset(NULL);
		build_open(&c, world.module, SPAN_EMPTY);
		until(world.compile_starts == 1);
		fake_compile_exit(
		    0, rows[i].artefact, rows[i].line, rows[i].wait_status, rows[i].ended);
		until(call_over(&c));
		if (!c.failed || c.f.error != rows[i].error ||
		    strcmp(c.text, rows[i].reason) != 0) {
			print_error("row %zu: %d %u %s\n", i, c.failed, c.f.error, c.text);
			assert_true(false);
		}
		assert_int_equal(world.builts, 0);
		until(world.dones == 1);
		assert_int_equal(world.done.error, rows[i].error);
		call_done(&c);
	}
}

/* Before anything is compiled or kept. */
static void
a_native_part_is_refused(void **state)
{
	struct call c;

	(void)state;
	build_open(&c, world.module, SPAN_LIT("echo"));
	until(call_over(&c));
	assert_true(c.failed && c.f.error == ERROR_TOOL_INVALID);
	assert_true(strncmp(c.text, "native: ", 8) == 0);
	assert_int_equal(world.compile_starts, 0);
	assert_int_equal(world.builts, 0);
	call_done(&c);
}

static size_t
overloaded(const struct call *calls, size_t n)
{
	size_t refused = 0;

	for (size_t i = 0; i < n; i++)
		refused += calls[i].failed && calls[i].f.error == ERROR_OVERLOADED;
	return refused;
}

static void
builds_are_bounded(void **state)
{
	struct call calls[BUILDS_MAX + 2];
	char tenant[16];

	(void)state;
	for (size_t i = 0; i < COUNT(calls); i++) {
		(void)snprintf(tenant, sizeof(tenant), "t%zu", i / BUILDS_PER_TENANT_MAX);
		build_open_of(&calls[i], tenant, world.module, SPAN_EMPTY);
	}
	until(world.compile_starts == ES_COMPILES_MAX && overloaded(calls, COUNT(calls)) == 2);
	world_wait(50);
	assert_int_equal(overloaded(calls, COUNT(calls)), 2);
	assert_int_equal(world.compile_starts, ES_COMPILES_MAX);
	/* One whose client leaves while it is compiled, one while it waits. */
	call_done(&calls[0]);
	call_done(&calls[BUILDS_MAX - 1]);
	until(world.kills == 1);
	for (size_t left = BUILDS_MAX - 2, i = 0; left > 0; i = !i) {
		if (world.compiles[i].used) {
			fake_compile_exit((uint32_t)i, "compiled", ENGINE "\n", 0, ENDED_BY_ITSELF);
			left--;
		}
		world_turn();
	}
	for (size_t i = 1; i < BUILDS_MAX - 1; i++) {
		until(call_over(&calls[i]));
		assert_true(calls[i].result);
		call_done(&calls[i]);
	}
	call_done(&calls[BUILDS_MAX]);
	call_done(&calls[BUILDS_MAX + 1]);
}

/* Its compilers' bombs are refused; another's module is not. */
static void
one_tenant_has_its_share_of_builds(void **state)
{
	struct call calls[BUILDS_PER_TENANT_MAX + 1], other;
	struct call *last = &calls[BUILDS_PER_TENANT_MAX];

	(void)state;
	for (size_t i = 0; i < COUNT(calls); i++)
		build_open(&calls[i], world.module, SPAN_EMPTY);
	until(call_over(last));
	assert_true(last->failed && last->f.error == ERROR_OVERLOADED);
	assert_true(last->f.retry_after_ms > 0);
	build_open_of(&other, "other", SPAN_EMPTY, world.native);
	until(call_over(&other));
	assert_true(other.result);
	call_done(&other);
	for (uint32_t i = 1; i <= BUILDS_PER_TENANT_MAX; i++) {
		until(world.compile_starts == i); /* one after the other: see below */
		fake_compile_exit(0, "compiled", ENGINE "\n", 0, ENDED_BY_ITSELF);
	}
	for (size_t i = 0; i < COUNT(calls); i++) {
		until(call_over(&calls[i]));
		assert_true(calls[i].result || i == BUILDS_PER_TENANT_MAX);
		call_done(&calls[i]);
	}
	/* And has it again. */
	build_open(&other, SPAN_EMPTY, world.native);
	until(call_over(&other));
	assert_true(other.result);
	call_done(&other);
}

/* Its bombs never hold all compilers: another's module does not wait for one of them. */
static void
one_tenant_has_one_compiler(void **state)
{
	static const char *const tenants[] = { "bomber", "bomber", "one", "one", "other", "other" };
	/* As they come to an end one by one in slot 1, tenants take turns. */
	static const uint32_t order[] = { 2, 4, 3, 5 };
	struct call calls[COUNT(tenants)];

	(void)state;
	build_open_of(&calls[0], tenants[0], world.module, SPAN_EMPTY);
	build_open_of(&calls[1], tenants[1], world.module, SPAN_EMPTY);
	until(world.compile_starts == 1);
	world_wait(50);
	assert_int_equal(world.compile_starts, 1); /* though nobody else waits */
	for (size_t i = 2; i < COUNT(calls); i++) {
		build_open_of(&calls[i], tenants[i], world.module, SPAN_EMPTY);
		world_wait(20);
	}
	for (size_t i = 0; i < COUNT(order); i++) {
		until(world.compile_starts == 2 + i);
		assert_true(world.compiles[0].used && world.compiles[1].used);
		fake_compile_exit(1, "compiled", ENGINE "\n", 0, ENDED_BY_ITSELF);
		until(call_over(&calls[order[i]]));
		assert_true(calls[order[i]].result);
		call_done(&calls[order[i]]);
	}
	assert_false(call_over(&calls[0]) || call_over(&calls[1]));
	for (uint32_t i = 0; i < 2; i++) {
		until(world.compile_starts == 5 + i);
		fake_compile_exit(0, "", "module: it takes too long\n", 1U << 8, ENDED_BY_ITSELF);
		until(call_over(&calls[i]));
		assert_true(calls[i].failed && calls[i].f.error == ERROR_TOOL_INVALID);
		call_done(&calls[i]);
	}
}

/* As the executor's own user: root in a container may lack the right. */
static void
limit_descriptors(rlim_t most)
{
	pid_t pid = fork();
	struct rlimit limit;
	int status = -1;

	if (pid == 0) {
		if (setgroups(0, NULL) != 0 ||
		    setresgid(process_uid, process_uid, process_uid) != 0 ||
		    setresuid(process_uid, process_uid, process_uid) != 0)
			_exit(1);
		if (prlimit(world.p.pid, RLIMIT_NOFILE, NULL, &limit) != 0)
			_exit(2);
		limit.rlim_cur = most < limit.rlim_max ? most : limit.rlim_max;
		_exit(prlimit(world.p.pid, RLIMIT_NOFILE, &limit, NULL) == 0 ? 0 : 3);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* The executor has no descriptor left as its compilers end: who waits for one hears of it. */
static void
compilers_that_cannot_be_started(void **state)
{
	const uint64_t before = world.metrics->values[METRIC_BUILDS];
	struct call calls[BUILDS_MAX];
	char tenant[16];

	(void)state;
	for (size_t i = 0; i < COUNT(calls); i++) {
		(void)snprintf(tenant, sizeof(tenant), "t%zu", i / BUILDS_PER_TENANT_MAX);
		build_open_of(&calls[i], tenant, world.module, SPAN_EMPTY);
	}
	until(world.compile_starts == ES_COMPILES_MAX &&
	      world.metrics->values[METRIC_BUILDS] == before + BUILDS_MAX);
	world_wait(50); /* the others wait by now */
	limit_descriptors(3);
	for (uint32_t i = 0; i < ES_COMPILES_MAX; i++)
		fake_compile_exit(i, "", "not a module\n", 1U << 8, ENDED_BY_ITSELF);
	for (size_t i = 0; i < COUNT(calls); i++) {
		bool began = i % BUILDS_PER_TENANT_MAX == 0 && /* one of each tenant */
			     i < ES_COMPILES_MAX * BUILDS_PER_TENANT_MAX;

		until(call_over(&calls[i]));
		assert_true(calls[i].failed);
		assert_int_equal(calls[i].f.error, began ? ERROR_TOOL_INVALID : ERROR_OVERLOADED);
		call_done(&calls[i]);
	}
	assert_int_equal(world.compile_starts, ES_COMPILES_MAX);
	limit_descriptors(RLIM_INFINITY);
}

static void
the_store_says_no(void **state)
{
	struct call c;

	(void)state;
	world.kept_error = ERROR_TOOL_COUNT;
	build_open(&c, SPAN_EMPTY, world.native);
	until(call_over(&c));
	assert_true(c.failed && c.f.error == ERROR_TOOL_COUNT);
	call_done(&c);
}

static void
native_parts(void **state)
{
	static const struct {
		struct span bytes;
		bool ok;
	} rows[] = {
		{ SPAN_LIT("#!/bin/sh\n"), true },
		{ SPAN_LIT("#! /bin/sh\n"), false },
		{ SPAN_LIT("echo"), false },
		{ SPAN_LIT("\177ELF"), false },
		{ SPAN_LIT("\0asm\1\0\0\0"), false },
	};
	auto_buf struct buf self = BUF_INIT(64U << 20);
	auto_buf struct buf probe = BUF_INIT(64U << 20);
	char path[512];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_int_equal(native_fault(rows[i].bytes) == NULL, rows[i].ok);
	path[n < 0 ? 0 : n] = '\0';
	must(io_read_file(AT_FDCWD, path, &self));
	assert_string_equal(native_fault(buf_span(&self)), "native: not a static program");
	(void)strcpy(strrchr(path, '/'), "/worker-probe");
	must(io_read_file(AT_FDCWD, path, &probe));
	assert_null(native_fault(buf_span(&probe)));
	assert_string_equal(native_fault(span_of(probe.ptr, probe.len / 2)), "native: cut off");
	probe.ptr[18] = 183; /* aarch64 */
	assert_string_equal(native_fault(buf_span(&probe)), "native: not for x86-64");
}

static void
scripts(void **state)
{
	static const struct {
		struct span env;
		const char *text; /* NULL: refused */
	} rows[] = {
		{ SPAN_EMPTY, "chmod +x ./tool && exec ./tool\n" },
		{ SPAN_LIT("A=b\0"), "export A='b'\nchmod +x ./tool && exec ./tool\n" },
		{ SPAN_LIT("A='; rm\0_B1=\0"),
		    "export A=''\\''; rm'\nexport _B1=''\nchmod +x ./tool && exec ./tool\n" },
		{ SPAN_LIT("A"), NULL },
		{ SPAN_LIT("=b\0"), NULL },
		{ SPAN_LIT("1A=b\0"), NULL },
		{ SPAN_LIT("A;id=b\0"), NULL },
		{ SPAN_LIT("A=b"), NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		auto_buf struct buf out = BUF_INIT(4096);
		struct status st = tool_script(rows[i].env, &out);

		assert_int_equal(is_ok(st), rows[i].text != NULL);
		if (is_ok(st))
			assert_true(says(&out, rows[i].text));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(native_parts),
		T(scripts),
		T(a_version_is_built),
		T(a_version_is_refused),
		T(a_native_part_is_refused),
		T(builds_are_bounded),
		T(one_tenant_has_its_share_of_builds),
		T(one_tenant_has_one_compiler),
		T(compilers_that_cannot_be_started),
		T(the_store_says_no),
	};

	return cmocka_run_group_tests(tests, world_open, world_close);
}
