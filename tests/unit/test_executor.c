/* SPDX-License-Identifier: Apache-2.0 */
/* The executor without I/O: guest protocol, outcomes, the scan, the pool's sums. */
#include "unit.h"

#include <executor.h>

#include <base/clock.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define READY "R\0\0\0\007\001python"
#define S(lit) SPAN_LIT(lit)

/* cmocka's fail_msg() needs its fail(), which unit.h takes away. */
#define broken(...)                       \
	do {                              \
		print_error(__VA_ARGS__); \
		assert_true(false);       \
	} while (0)

static void
guest_ready(struct guest *g)
{
	guest_init(g);
	assert_true(is_ok(guest_feed(g, S(READY))));
	assert_int_equal(g->state, GUEST_IDLE);
	assert_string_equal(g->kind, "python");
}

static void
ready_then_run(struct guest *g)
{
	guest_ready(g);
	guest_begin(g, 2, 10);
}

static void
a_run_byte_by_byte(void **state)
{
	static const char run[] = "F\0\0\0\003a.bD\0\0\0\003xyzD\0\0\0\001!F\0\0\0\001c"
				  "E\0\0\0\014\0\0\0\001\0\0\0\005\0\0\0\002";
	struct run_file items[FILES_MAX];
	struct run_files files;
	struct guest g;

	(void)state;
	ready_then_run(&g);
	for (size_t i = 0; i < sizeof(run) - 1; i++) {
		assert_false(g.done);
		assert_true(is_ok(guest_feed(&g, span_of(run + i, 1))));
	}
	assert_true(g.done);
	assert_int_equal(g.exit_code, 5);
	assert_int_equal(g.left_out, 2);
	files = guest_files(&g, items);
	assert_int_equal(files.files.count, 2);
	assert_true(span_eq_str(items[0].name, "a.b"));
	assert_true(span_eq_str(items[0].content, "xyz!"));
	assert_int_equal(items[1].content.len, 0);
	guest_begin(&g, 2, 10);
	assert_int_equal(guest_files(&g, items).files.count, 0);
	guest_done(&g);
}

static void
lies_are_the_end(void **state)
{
	static const struct {
		const char *what;
		struct span bytes;
	} rows[] = {
		{ "unknown type", S("Z\0\0\0\0") },
		{ "too long", S("D\0\1\0\1") },
		{ "huge", S("D\377\377\377\377") },
		{ "empty name", S("F\0\0\0\0") },
		{ "slash", S("F\0\0\0\003a/b") },
		{ "data without file", S("D\0\0\0\001x") },
		{ "same name twice", S("F\0\0\0\001aF\0\0\0\001a") },
		{ "too many files", S("F\0\0\0\001aF\0\0\0\001bF\0\0\0\001c") },
		{ "too many odd files", S("F\0\0\0\001\aF\0\0\0\001\bF\0\0\0\001c") },
		{ "too many bytes", S("F\0\0\0\001aD\0\0\0\013xxxxxxxxxxx") },
		{ "another step", S("E\0\0\0\014\0\0\0\002\0\0\0\0\0\0\0\0") },
		{ "signal 0", S("E\0\0\0\014\0\0\0\001\0\0\1\0\0\0\0\0") },
		{ "signal 65", S("E\0\0\0\014\0\0\0\001\0\0\1\101\0\0\0\0") },
		{ "short done", S("E\0\0\0\013") },
		{ "ready again", S(READY) },
		{ "after done", S("E\0\0\0\014\0\0\0\001\0\0\0\0\0\0\0\0F\0\0\0\001a") },
		{ "done twice", S("E\0\0\0\014\0\0\0\001\0\0\0\0\0\0\0\0"
				  "E\0\0\0\014\0\0\0\001\0\0\0\0\0\0\0\0") },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct guest g;

		ready_then_run(&g);
		if (guest_feed(&g, rows[i].bytes).code != E_PROTO)
			broken("%s was taken", rows[i].what);
		assert_int_equal(g.state, GUEST_BROKEN);
		assert_int_equal(guest_feed(&g, S("x")).code, E_PROTO);
		guest_done(&g);
	}
}

static void
ready_is_checked(void **state)
{
	static const struct span rows[] = { S("R\0\0\0\007\002python"), S("R\0\0\0\001\001"),
		S("R\0\0\0\022\001aaaaaaaaaaaaaaaaa"), S("E\0\0\0\014\0\0\0\001\0\0\0\0\0\0\0\0"),
		S("R\0\0\0\003\001a\0") };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct guest g;

		guest_init(&g);
		assert_false(is_ok(guest_feed(&g, rows[i])));
		guest_done(&g);
	}
}

/* A shell that a signal ended is told apart from one that exited with 128 + n. */
static void
a_signal_is_a_good_end(void **state)
{
	struct guest g;

	(void)state;
	ready_then_run(&g);
	assert_true(is_ok(guest_feed(&g, S("E\0\0\0\014\0\0\0\001\0\0\1\100\0\0\0\0"))));
	assert_int_equal(g.exit_code, GUEST_EXIT_SIGNAL + GUEST_SIGNAL_MAX);
	assert_int_equal(g.state, GUEST_IDLE);
	guest_done(&g);
}

/* A name that cannot be told to a client is left out, not a lie. */
static void
odd_names_are_left_out(void **state)
{
	struct run_file items[FILES_MAX];
	struct guest g;

	(void)state;
	ready_then_run(&g);
	assert_true(
	    is_ok(guest_feed(&g, S("F\0\0\0\003a\nbD\0\0\0\001xF\0\0\0\001bD\0\0\0\001y"))));
	assert_true(is_ok(guest_feed(&g, S("E\0\0\0\014\0\0\0\001\0\0\0\0\0\0\0\0"))));
	assert_int_equal(g.left_out, 1);
	assert_int_equal(guest_files(&g, items).files.count, 1);
	assert_true(span_eq_str(items[0].content, "y"));
	guest_done(&g);
}

static void
names(void **state)
{
	(void)state;
	assert_true(guest_name_ok(S("a.txt")));
	assert_true(guest_name_ok(S("\xc3\xa9t\xc3\xa9")));
	assert_false(guest_name_ok(S("")));
	assert_false(guest_name_ok(S(".")));
	assert_false(guest_name_ok(S("..")));
	assert_false(guest_name_ok(S("a/b")));
	assert_false(guest_name_ok(S("a\0b")));
	assert_false(guest_name_ok(S("a\x7f")));
	assert_false(guest_name_ok(S("\xff")));
}

static void
frames_to_the_guest(void **state)
{
	struct run_file file = { S("in"), S("12") };
	struct run_request req = { .code = S("print()"), .input = S("i"), .files = { &file, 1 } };
	static const char want[] = "f\0\0\0\002ind\0\0\0\00212c\0\0\0\007print()i\0\0\0\001i"
				   "r\0\0\0\020\0\0\0\001\0\0\0\002\0\0\0\002\0\0\0\012";
	struct buf out = BUF_INIT(4096);
	struct guest g;

	(void)state;
	ready_then_run(&g);
	assert_true(is_ok(guest_put_run(&g, &req, GUEST_FLAG_ONE_SHOT, &out)));
	assert_true(span_eq(buf_span(&out), span_of(want, sizeof(want) - 1)));
	file.name = S("../x");
	assert_int_equal(guest_put_run(&g, &req, 0, &out).code, E_RANGE);
	buf_done(&out);
	guest_done(&g);
}

static void
long_code_is_cut_into_frames(void **state)
{
	const size_t len = 2 * GUEST_PAYLOAD_MAX + 1;
	uint8_t *code = calloc(1, len);
	struct run_request req = { .code = span_of(code, len) };
	struct buf out = BUF_INIT(1U << 20);
	struct guest g;

	(void)state;
	ready_then_run(&g);
	assert_true(is_ok(guest_put_run(&g, &req, 0, &out)));
	assert_int_equal(out.len, len + 3 * GUEST_HEAD_LEN + GUEST_HEAD_LEN + 16);
	buf_done(&out);
	guest_done(&g);
	free(code);
}

static void
scan(void **state)
{
	static const char *const yes[] = { "import numpy", "import os, pandas as pd",
		"x=1\n  from matplotlib import pyplot", "if 1: import numpy",
		"m = __import__('pandas')", "importlib.import_module(\"numpy\")",
		"a;import matplotlib.pyplot as plt" };
	static const char *const no[] = { "", "print('numpy')", "# numpy\nimport os",
		"import numpyx", "import os\nnumpy = 1", "important = pandas",
		"x = 'import'\npandas" };

	(void)state;
	for (size_t i = 0; i < COUNT(yes); i++) {
		if (!scan_names_data(span_str(yes[i])))
			broken("missed: %s", yes[i]);
	}
	for (size_t i = 0; i < COUNT(no); i++) {
		if (scan_names_data(span_str(no[i])))
			broken("wrongly: %s", no[i]);
	}
}

static void
outcomes(void **state)
{
	static const struct {
		struct run_seen seen;
		enum run_status status;
		uint32_t code;
	} rows[] = {
		{ { .done = true, .exit_code = 0 }, RUN_EXIT, 0 },
		{ { .done = true, .exit_code = 3 }, RUN_EXIT, 3 },
		{ { .done = true, .exit_code = 139 }, RUN_EXIT, 139 },
		{ { .done = true, .exit_code = GUEST_EXIT_SIGNAL + SIGKILL }, RUN_SIGNAL, SIGKILL },
		{ { .done = true,
		      .exit_code = GUEST_EXIT_SIGNAL + SIGTERM,
		      .exited = true,
		      .exit = { .wait_status = SIGKILL } },
		    RUN_SIGNAL, SIGTERM },
		{ { .exited = true, .exit = { .wait_status = 7 << 8 } }, RUN_EXIT, 7 },
		{ { .exited = true, .exit = { .wait_status = 139 << 8 } }, RUN_SIGNAL, SIGSEGV },
		{ { .exited = true, .exit = { .wait_status = SIGKILL } }, RUN_SIGNAL, SIGKILL },
		{ { .exited = true, .exit = { .ended = ENDED_WALL } }, RUN_TIMEOUT, 0 },
		{ { .exited = true, .exit = { .ended = ENDED_CPU } }, RUN_CPU, 0 },
		{ { .exited = true, .exit = { .ended = ENDED_MEMORY, .wait_status = 1 << 8 } },
		    RUN_MEMORY, 0 },
		/* DONE came first: what befell the sandbox afterwards is not the run's. */
		{ { .done = true, .exited = true, .exit = { .ended = ENDED_WALL } }, RUN_EXIT, 0 },
		{ { .verdict = VERDICT_OUTPUT, .done = true }, RUN_OUTPUT, 0 },
		{ { .verdict = VERDICT_LIED, .exited = true }, RUN_SIGNAL, SIGKILL },
		/* pids: only with the limit hit and an end other than 0 */
		{ { .done = true, .exited = true, .exit = { .pids_hit = 1 } }, RUN_EXIT, 0 },
		{ { .done = true, .exit_code = 1, .exited = true, .exit = { .pids_hit = 1 } },
		    RUN_PIDS, 0 },
		{ { .exited = true, .exit = { .pids_hit = 1, .wait_status = SIGKILL } }, RUN_PIDS,
		    0 },
		{ { .exited = true,
		      .exit = { .pids_hit = 1, .ended = ENDED_MEMORY, .wait_status = 9 } },
		    RUN_MEMORY, 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct run_outcome o = outcome_of(&rows[i].seen);

		if (o.status != rows[i].status || o.exit_code != rows[i].code)
			broken("row %zu: %s %u", i, run_status_names[o.status], o.exit_code);
	}
}

static void
what_a_pool_misses(void **state)
{
	struct pool p = { .target = 4, .warm = 1, .starting = 1 };
	uint32_t urgent;

	(void)state;
	assert_int_equal(pool_missing(&p, 0, &urgent), 2);
	assert_int_equal(urgent, 0);
	p.queued = 3;
	assert_int_equal(pool_missing(&p, 0, &urgent), 5);
	assert_int_equal(urgent, 2);
	p.not_before_ns = 10;
	assert_int_equal(pool_missing(&p, 9, &urgent), 0);
	assert_int_equal(pool_missing(&p, 10, &urgent), 5);
	p = (struct pool){ .target = 0, .queued = 1 };
	assert_int_equal(pool_missing(&p, 0, &urgent), 1);
	assert_int_equal(urgent, 1);
}

static void
failures_slow_down(void **state)
{
	struct pool p = { .target = 1 };

	(void)state;
	pool_failed(NULL, &p);
	assert_int_equal(p.backoff_ms, POOL_BACKOFF_MIN_MS);
	for (int i = 0; i < 20; i++)
		pool_failed(NULL, &p);
	assert_int_equal(p.backoff_ms, POOL_BACKOFF_MAX_MS);
	assert_true(p.not_before_ns > clock_mono_ns());
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_run_byte_by_byte),
		cmocka_unit_test(lies_are_the_end),
		cmocka_unit_test(a_signal_is_a_good_end),
		cmocka_unit_test(ready_is_checked),
		cmocka_unit_test(odd_names_are_left_out),
		cmocka_unit_test(names),
		cmocka_unit_test(frames_to_the_guest),
		cmocka_unit_test(long_code_is_cut_into_frames),
		cmocka_unit_test(scan),
		cmocka_unit_test(outcomes),
		cmocka_unit_test(what_a_pool_misses),
		cmocka_unit_test(failures_slow_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
