/* SPDX-License-Identifier: Apache-2.0 */
/* src/executor/artefacts.c, workers.c: parts of versions, who gets a worker, what is bounded. */
#include "executor_tools_rig.h"

#define CANCEL_MAX_MS 5000 /* 100 on a machine that is not busy; the call has 30 s */

/* Nothing of a part that is not what was stored and granted ever gets to a worker. */
static void
forged_parts(void **state)
{
	static const struct {
		bool *knob;
		enum error error;
	} rows[] = {
		{ &world.forged, ERROR_TOOL_INVALID },
		{ &world.cut, ERROR_TOOL_INVALID },
		{ &world.unsealed, ERROR_TOOL_INVALID },
		{ &world.no_fd, ERROR_TOOL_INVALID },
	};
	struct grant g;
	struct call c;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		g = tool_grant();
		g.tool.id = 100 + i;
		*rows[i].knob = true;
		world.load_text[0] = '\0';
		call_once(&c, &g, "{}");
		assert_true(c.failed);
		assert_int_equal(c.f.error, rows[i].error);
		assert_string_equal(c.text, "tool: damaged");
		assert_string_equal(world.load_text, "");
		call_done(&c);
		*rows[i].knob = false;
	}
	/* What the store holds is not what was granted. */
	g = tool_grant();
	g.tool.id = 200;
	g.tool.artefact[5] ^= 1;
	call_once(&c, &g, "{}");
	assert_true(c.failed && c.f.error == ERROR_TOOL_INVALID);
	call_done(&c);
	world.get_error = ERROR_TOOL_NOT_FOUND;
	g = tool_grant();
	g.tool.id = 201;
	call_once(&c, &g, "{}");
	assert_true(c.failed && c.f.error == ERROR_TOOL_NOT_FOUND);
	call_done(&c);
	/* And none of that is remembered. */
	world.get_error = ERROR_NONE;
	g = tool_grant();
	g.tool.id = 100;
	call_once(&c, &g, "{}");
	assert_true(c.result);
	call_done(&c);
}

static void
many_ask_for_a_part_once(void **state)
{
	enum { CALLS = 20 };
	struct call calls[CALLS];

	(void)state;
	for (size_t i = 0; i < CALLS; i++) {
		struct grant g = tool_grant();

		g.tool.id = 300;
		call_open(&calls[i], &g, SPAN_LIT("{}"));
	}
	for (size_t i = 0; i < CALLS; i++) {
		until(call_over(&calls[i]));
		assert_true(calls[i].result);
		call_done(&calls[i]);
	}
	assert_int_equal(world.gets, 1);
}

/* Compiled anew, once, for all that wait; told to the store; the granted digest stays good. */
static void
another_engine(void **state)
{
	struct call calls[4];

	(void)state;
	world.engine = "engine-0";
	for (size_t i = 0; i < COUNT(calls); i++) {
		struct grant g = tool_grant();

		g.tool.id = 400;
		call_open(&calls[i], &g, SPAN_LIT("{}"));
	}
	until(world.compile_starts == 1);
	read_fd(world.compiles[0].fds[0], world.built_module, sizeof(world.built_module));
	fake_compile_exit(0, "anew", ENGINE "\n", 0, ENDED_BY_ITSELF);
	for (size_t i = 0; i < COUNT(calls); i++) {
		until(call_over(&calls[i]));
		assert_true(calls[i].result && calls[i].r.status == RUN_EXIT);
		call_done(&calls[i]);
	}
	assert_string_equal(world.load_text, "anew");
	assert_int_equal(world.compile_starts, 1);
	until(world.rebuilts == 1);
	assert_int_equal(world.rebuilt.id, 400);
	world.artefact = SPAN_LIT("anew"); /* what new grants name */
	for (int i = 0; i < 2; i++) {
		struct grant g = tool_grant();

		g.tool.id = 400;
		call_once(&calls[0], &g, "{}");
		assert_true(calls[0].result);
		call_done(&calls[0]);
		world.artefact = SPAN_LIT("compiled");
	}
	assert_int_equal(world.gets, 2);
}

/* A compiler that is another engine's even so: no end of compiling. */
static void
a_compiler_that_is_not_the_workers(void **state)
{
	struct grant g = tool_grant();
	struct call c;

	(void)state;
	world.engine = "engine-0";
	g.tool.id = 401;
	call_open(&c, &g, SPAN_LIT("{}"));
	until(world.compile_starts == 1);
	fake_compile_exit(0, "anew", "engine-0\n", 0, ENDED_BY_ITSELF);
	until(call_over(&c));
	assert_true(c.failed && c.f.error == ERROR_UNAVAILABLE);
	assert_int_equal(world.compile_starts, 1);
	call_done(&c);
}

/* True: a worker that answers within WORKER_CANCEL_MS of its call's end is not killed. */
static bool
stays_after_cancel(void)
{
	const unsigned kills = world.kills, dones = world.dones;
	const struct ew_result r = { .status = RUN_EXIT };
	struct grant g = tool_grant();
	struct call c;

	world.manner = LATE;
	world.manners = 1;
	call_open(&c, &g, SPAN_LIT("{}"));
	until(c.sandbox[0] != '\0' && world.manners == 0);
	stream_cancel(c.stream, 1);
	c.stream = NULL;
	until(world.dones == dones + 1);
	for (size_t i = 0; i < ES_WORKERS_MAX; i++) {
		struct fake_worker *w = &world.workers[i];

		/* It is too late for that if it was killed meanwhile. */
		if (w->used && w->link != NULL && w->silent_id != 0)
			(void)is_ok(link_send(w->link, w->silent_id, EW_RESULT, &r));
		w->silent_id = 0;
	}
	world_wait(WORKER_CANCEL_MS * 2);
	call_done(&c);
	return world.kills == kills;
}

static void
a_client_that_leaves(void **state)
{
	const uint64_t failed = world.metrics->values[METRIC_WORKERS_FAILED];
	struct grant g = tool_grant();
	struct call c;
	uint64_t left;
	int tries = 1;

	(void)state;
	/* It does not end: the worker goes, within the time, and nobody's fault is counted. */
	g.tool.time_ms = 30000;
	world.manner = SILENT;
	world.manners = 1;
	call_open(&c, &g, SPAN_LIT("{}"));
	until(c.sandbox[0] != '\0');
	assert_int_equal(world.metrics->values[METRIC_RUNS_OPEN], 1);
	stream_cancel(c.stream, 1);
	c.stream = NULL;
	left = clock_mono_ns();
	until(world.kills == 1);
	assert_true(clock_mono_ns() - left < CANCEL_MAX_MS * NS_PER_MS);
	until(world.dones == 1);
	until(world.metrics->values[METRIC_RUNS_OPEN] == 0);
	assert_int_equal(world.done.status, RUN_CANCELLED);
	assert_int_equal(world.metrics->values[METRIC_WORKERS_FAILED], failed);
	call_done(&c);
	/* It ends by itself: the worker stays. */
	g = tool_grant();
	call_once(&c, &g, "{}");
	call_done(&c);
	until(world.dones == 2);
	while (!stays_after_cancel())
		assert_true(++tries <= TRIES);
}

static void
a_turn_ends_when_its_call_has(void **state)
{
	const struct turn_ref turn = { 77 };
	struct grant g = tool_grant();
	struct call c;

	(void)state;
	g.turn = 77;
	g.tool.time_ms = 30000;
	world.manner = SILENT;
	world.manners = 1;
	call_open(&c, &g, SPAN_LIT("{}"));
	until(c.sandbox[0] != '\0');
	world.keep_dead = true;
	must(link_send(world.authority, 1, AE_TURN_END, &turn));
	until(call_over(&c));
	assert_true(c.failed && c.f.error == ERROR_CANCELLED);
	until(world.kills == 1);
	world_wait(30);
	assert_int_equal(world.turn_ends, 0); /* it is not dead yet */
	for (size_t i = 0; i < ES_WORKERS_MAX; i++) {
		if (world.workers[i].used && world.workers[i].link == NULL)
			fake_exit(world.workers[i].slot, ENDED_KILLED, SIGKILL);
	}
	until(world.turn_ends == 1);
	call_done(&c);
}

static size_t
workers_used(void)
{
	size_t n = 0;

	for (size_t i = 0; i < ES_WORKERS_MAX; i++)
		n += world.workers[i].used;
	return n;
}

/* No worker serves two tenants; no more live than are allowed; who waits is served. */
static void
tenants_are_apart(void **state)
{
	enum { TENANTS = 7 };
	static const char *const names[TENANTS] = { "t0", "t1", "t2", "t3", "t4", "t5", "t6" };
	struct call calls[TENANTS * 2];
	uint64_t idle;

	(void)state;
	for (size_t i = 0; i < COUNT(calls); i++) {
		struct grant g = tool_grant();

		g.tenant = span_str(names[i % TENANTS]);
		call_open(&calls[i], &g, SPAN_LIT("{}"));
	}
	for (size_t i = 0; i < COUNT(calls); i++) {
		size_t live = 0;

		until(call_over(&calls[i]));
		assert_true(calls[i].result);
		call_done(&calls[i]);
		for (size_t w = 0; w < ES_WORKERS_MAX; w++)
			live += world.workers[w].used && world.workers[w].link != NULL;
		assert_true(live <= WORKERS);
	}
	assert_true(world.starts >= TENANTS);
	/* Idle ones go away. */
	idle = clock_mono_ns();
	until(workers_used() == 0);
	assert_true(clock_mono_ns() - idle < (IDLE_S + 3) * NS_PER_S);
	until(world.metrics->values[METRIC_WORKERS] == 0);
	until(world.metrics->values[METRIC_WORKER_TENANTS] == 0);
	until(world.metrics->values[METRIC_WORKERS_OF_ONE] == 0);
}

static void
one_tenant_has_its_share_of_workers(void **state)
{
	const uint64_t failed = world.metrics->values[METRIC_WORKERS_FAILED];
	struct call calls[3];

	(void)state;
	world.manner = SILENT;
	world.manners = COUNT(calls);
	for (size_t i = 0; i < COUNT(calls); i++) {
		struct grant g = tool_grant();

		g.tenant = SPAN_LIT("greedy");
		g.tool.time_ms = SILENT_MS;
		call_open(&calls[i], &g, SPAN_LIT("{}"));
	}
	until(world.starts > 0);
	world_wait(100); /* less than their time */
	assert_int_equal(world.starts, WORKERS / 4);
	assert_int_equal(world.metrics->values[METRIC_WORKERS_OF_ONE], WORKERS / 4);
	assert_true(world.metrics->values[METRIC_WORKER_TENANTS] >= 1);
	for (size_t i = 0; i < COUNT(calls); i++) {
		until(call_over(&calls[i]));
		assert_int_equal(calls[i].r.status, RUN_TIMEOUT);
		call_done(&calls[i]);
	}
	/* Each of them was too late itself. */
	assert_int_equal(world.metrics->values[METRIC_WORKERS_FAILED], failed + COUNT(calls));
}

static void
the_queue_is_bounded(void **state)
{
	enum { CALLS = CALLS_WAITING_PER_TENANT_MAX + 10 };
	static struct call calls[CALLS];
	struct grant g;
	struct call other;
	size_t busy = 0, good = 0;

	(void)state;
	world.manner = SILENT;
	world.manners = 1;
	for (size_t i = 0; i < CALLS; i++) {
		g = tool_grant();
		g.tool.time_ms = SILENT_MS;
		call_open(&calls[i], &g, SPAN_LIT("{}"));
	}
	/* Another tenant does not wait behind them. */
	until(world.manners == 0);
	g = tool_grant();
	g.tenant = SPAN_LIT("other");
	call_once(&other, &g, "{}");
	assert_true(other.result && other.r.status == RUN_EXIT && other.ms < SILENT_MS - 500);
	call_done(&other);
	for (size_t i = 0; i < CALLS; i++) {
		until(call_over(&calls[i]));
		busy += calls[i].failed && calls[i].f.error == ERROR_POOL_BUSY &&
			calls[i].f.retry_after_ms > 0;
		good += calls[i].result;
		call_done(&calls[i]);
	}
	assert_true(busy > 0 && busy <= 10);
	assert_int_equal(busy + good, CALLS);
}

static void
all_that_it_may_say(void **state)
{
	struct grant g = tool_grant();
	struct call c;

	(void)state;
	g.tool.output_kb = TOOL_OUTPUT_MAX >> 10;
	world.manner = LOUD;
	world.manners = 1;
	call_once(&c, &g, "{}");
	assert_true(c.result && c.r.status == RUN_OUTPUT && c.r.truncated == 1);
	assert_int_equal(c.out.len, TOOL_OUTPUT_MAX);
	assert_int_equal(c.err.len, TOOL_STDERR_MAX);
	call_done(&c);
}

static void
the_grant_is_for_this_and_no_other(void **state)
{
	static const uint8_t kinds[] = { GRANT_MODEL, GRANT_RUN, GRANT_BUILD };
	struct grant g;
	struct call c;

	(void)state;
	for (size_t i = 0; i < COUNT(kinds); i++) {
		g = tool_grant();
		g.kind = kinds[i];
		call_once(&c, &g, "{}");
		assert_true(c.failed && c.f.error == ERROR_GRANT);
		call_done(&c);
	}
	/* A digest of something else. */
	g = tool_grant();
	call_init(&c);
	must(wire_encode(&tool_request_table, &(struct tool_request){ SPAN_LIT("{}") }, &c.body));
	open_with(&c, &g);
	until(call_over(&c));
	call_done(&c);
	g = tool_grant();
	g.tool.sandbox = 0;
	call_once(&c, &g, "{}");
	assert_true(c.failed && c.f.error == ERROR_GRANT);
	call_done(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(forged_parts),
		T(many_ask_for_a_part_once),
		T(another_engine),
		T(a_compiler_that_is_not_the_workers),
		T(a_client_that_leaves),
		T(a_turn_ends_when_its_call_has),
		T(tenants_are_apart),
		T(one_tenant_has_its_share_of_workers),
		T(the_queue_is_bounded),
		T(all_that_it_may_say),
		T(the_grant_is_for_this_and_no_other),
	};

	return cmocka_run_group_tests(tests, world_open, world_close);
}
