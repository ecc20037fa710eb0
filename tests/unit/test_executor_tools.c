/* SPDX-License-Identifier: Apache-2.0 */
/* Users' tools in the real executor: calls, workers that lie and die, parts, versions. */
#include "executor_world.h"

#include <grp.h>
#include <sys/resource.h>

#define CANCEL_MAX_MS 100

static void
a_call(void **state)
{
	struct grant g = tool_grant();
	struct call c;

	(void)state;
	world.env = "MODE=fast";
	call_once(&c, &g, "{\"a\":1}");
	assert_true(c.result);
	assert_int_equal(c.r.status, RUN_EXIT);
	assert_int_equal(c.r.exit_code, 0);
	assert_true(says(&c.out, "{\"a\":1}"));
	assert_true(says(&c.err, "log"));
	assert_string_equal(c.sandbox, "wasm:0");
	assert_string_equal(world.load_text, "compiled");
	assert_string_equal(world.call_env, "MODE=fast");
	until(world.dones == 1);
	assert_int_equal(world.done.error, ERROR_NONE);
	assert_int_equal(world.done.status, RUN_EXIT);
	call_done(&c);
	/* The second knows worker, module and file. */
	g = tool_grant();
	call_once(&c, &g, "2");
	assert_true(c.result && says(&c.out, "2"));
	call_done(&c);
	assert_int_equal(world.starts, 1);
	assert_int_equal(world.gets, 1);
	assert_int_equal(world.workers[0].loads, 1);
	assert_int_equal(world.workers[0].calls, 2);
}

/* That it has begun, and where: at once, or with the end, as the gateway likes it. */
static void
where_it_runs_is_told(void **state)
{
	const struct tool_request req = { SPAN_LIT("1") };

	(void)state;
	for (uint8_t late = 0; late <= 1; late++) {
		struct grant g = tool_grant();
		struct call c;

		world.manner = SILENT;
		world.manners = 1;
		call_init(&c);
		must(wire_encode(&tool_request_table, &req, &c.body));
		c.open.late = late;
		open_with(&c, &g);
		until(world.manners == 0);
		world_wait(20);
		assert_false(call_over(&c));
		assert_int_equal(c.sandbox[0] != '\0', late == 0);
		until(call_over(&c));
		assert_true(c.result && c.r.status == RUN_TIMEOUT);
		assert_memory_equal(c.sandbox, "wasm:", 5);
		call_done(&c);
	}
}

static void
end_workers(void)
{
	for (size_t n = 0; n < ES_WORKERS_MAX; n++) {
		if (world.workers[n].used)
			fake_exit(world.workers[n].slot, ENDED_BY_ITSELF, 0);
	}
	world_wait(20);
}

static void
ends_are_exact(void **state)
{
	static const struct {
		enum manner manner;
		enum run_status status;
		const char *trap;
		unsigned kills; /* of the worker */
	} rows[] = {
		{ SILENT, RUN_TIMEOUT, "", 1 },
		{ DIE_AT_CALL, RUN_TRAP, "trap: worker died", 0 },
		{ OOM_AT_CALL, RUN_MEMORY, "", 0 },
		{ CLOSE_AT_CALL, RUN_TRAP, "trap: worker died", 1 },
		{ OTHER_ID, RUN_TRAP, "trap: worker died", 1 },
		{ TOO_LONG, RUN_TRAP, "trap: worker died", 1 },
		{ BAD_STATUS, RUN_TRAP, "trap: worker died", 1 },
		{ READY_AGAIN, RUN_TRAP, "trap: worker died", 1 },
		{ NOT_ASKED, RUN_EXIT, "", 1 }, /* another worker was given it */
		{ OTHER_MODULE, RUN_EXIT, "", 1 },
		{ DIE_AT_LOAD, RUN_EXIT, "", 0 },
		{ FULL, RUN_EXIT, "", 1 },
		{ TRAPS, RUN_TRAP, "trap: out of ?[1mbounds?", 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct grant g = tool_grant();
		struct call c;

		end_workers(); /* for one that has not loaded it yet */
		(void)world_reset(NULL);
		world.manner = rows[i].manner;
		world.manners = 1;
		call_once(&c, &g, "{}");
		if (!c.result || c.r.status != rows[i].status ||
		    strcmp(c.text, rows[i].trap) != 0) {
			print_error("row %zu: result %d status %u failed %d error %u %s\n", i,
			    c.result, c.r.status, c.failed, c.f.error, c.text);
			assert_true(false);
		}
		if (rows[i].status == RUN_TIMEOUT)
			assert_true(c.ms >= g.tool.time_ms && c.ms < g.tool.time_ms + 100);
		call_done(&c);
		until(world.kills == rows[i].kills && world.dones == 1);
		/* The next one is served as if nothing had been. */
		g = tool_grant();
		call_once(&c, &g, "next");
		if (!c.result || c.r.status != RUN_EXIT || !says(&c.out, "next")) {
			print_error("row %zu, next: %d %u %u %s\n", i, c.result, c.r.status,
			    c.f.error, c.text);
			assert_true(false);
		}
		call_done(&c);
	}
}

/* Of a worker that nobody else uses; its end stays open in `kept_fd`. */
static struct fake_worker *
new_worker(const char *tenant, uint64_t id)
{
	struct fake_worker *w = NULL;
	struct grant g = tool_grant();
	struct call c;

	world.keep_fd = true;
	g.tenant = span_str(tenant);
	g.tool.id = id;
	call_once(&c, &g, "{}");
	assert_true(c.result);
	call_done(&c);
	world.keep_fd = false;
	for (size_t i = 0; i < ES_WORKERS_MAX; i++) {
		if (world.workers[i].used && world.workers[i].calls == 1)
			w = &world.workers[i];
	}
	assert_non_null(w);
	return w;
}

/* It died before it read the call: another worker gets it, once, and nobody notices. */
static void
a_worker_that_died_before(void **state)
{
	const struct ae_gone other = { 7001 };
	struct fake_worker *w;
	struct grant g;
	struct call c;

	(void)state;
	for (int send_fails = 0; send_fails < 2; send_fails++) {
		w = new_worker(send_fails ? "early" : "earlier", 7000);
		must(kill(world.p.pid, send_fails ? SIGSTOP : 0) == 0 ? OK : fail_errno());
		link_free(w->link);
		w->link = NULL;
		g = tool_grant();
		g.tenant = send_fails ? SPAN_LIT("early") : SPAN_LIT("earlier");
		g.tool.id = 7000;
		call_open(&c, &g, SPAN_LIT("{\"a\":2}"));
		if (!send_fails)
			until(c.sandbox[0] != '\0');
		world_wait(50);
		(void)close(world.kept_fd);
		must(kill(world.p.pid, SIGCONT) == 0 ? OK : fail_errno());
		until(call_over(&c));
		assert_true(c.result && c.r.status == RUN_EXIT && says(&c.out, "{\"a\":2}"));
		call_done(&c);
	}
	/* It had read the call; what it had not read is something else. */
	w = new_worker("late", 7000);
	g = tool_grant();
	g.tenant = SPAN_LIT("late");
	g.tool.id = 7001;
	world.artefact = SPAN_LIT("another");
	g.tool.artefact[0] = 0;
	must(sha256(world.artefact, g.tool.artefact));
	call_once(&c, &g, "{}");
	assert_true(c.result);
	call_done(&c);
	world.artefact = SPAN_LIT("compiled");
	g = tool_grant();
	g.tenant = SPAN_LIT("late");
	g.tool.id = 7000;
	g.tool.time_ms = 30000;
	world.manner = SILENT;
	world.manners = 1;
	call_open(&c, &g, SPAN_LIT("{}"));
	until(w->calls == 3);
	link_free(w->link);
	w->link = NULL;
	must(link_send(world.authority, 0, AE_GONE, &other));
	world_wait(50);
	(void)close(world.kept_fd);
	until(call_over(&c));
	assert_true(c.result && c.r.status == RUN_TRAP);
	assert_string_equal(c.text, "trap: worker died");
	call_done(&c);
	end_workers();
}

static void
an_answer_too_many_ends_the_worker(void **state)
{
	struct grant g = tool_grant();
	struct call c;

	(void)state;
	world.manner = TWICE;
	world.manners = 1;
	call_once(&c, &g, "{}");
	assert_true(c.result && c.r.status == RUN_EXIT);
	call_done(&c);
	until(world.kills == 1);
}

static void
one_that_does_not_start(void **state)
{
	static const enum manner rows[] = { DIE_AT_START, GARBAGE };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct grant g = tool_grant();
		struct call c;

		g.tenant = SPAN_LIT("nobody");
		world.manner = rows[i];
		world.manners = 1;
		call_once(&c, &g, "{}");
		assert_true(c.failed);
		assert_int_equal(c.f.error, ERROR_UNAVAILABLE);
		call_done(&c);
		until(world.dones == i + 1);
		assert_int_equal(world.done.error, ERROR_UNAVAILABLE);
		world_wait(250); /* before the next is started */
	}
}

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

static void
a_client_that_leaves(void **state)
{
	const uint64_t failed = world.metrics->values[METRIC_WORKERS_FAILED];
	struct grant g = tool_grant();
	struct call c;
	uint64_t left;

	(void)state;
	/* It does not end: the worker goes, within the time, and nobody's fault is counted. */
	g.tool.time_ms = 30000;
	world.manner = SILENT;
	world.manners = 1;
	call_open(&c, &g, SPAN_LIT("{}"));
	until(c.sandbox[0] != '\0');
	stream_cancel(c.stream, 1);
	c.stream = NULL;
	left = clock_mono_ns();
	until(world.kills == 1);
	assert_true(clock_mono_ns() - left < CANCEL_MAX_MS * NS_PER_MS);
	until(world.dones == 1);
	assert_int_equal(world.done.status, RUN_CANCELLED);
	assert_int_equal(world.metrics->values[METRIC_WORKERS_FAILED], failed);
	call_done(&c);
	/* It ends by itself: the worker stays. */
	g = tool_grant();
	call_once(&c, &g, "{}");
	call_done(&c);
	world.manner = LATE;
	world.manners = 1;
	g = tool_grant();
	call_open(&c, &g, SPAN_LIT("{}"));
	until(c.sandbox[0] != '\0');
	stream_cancel(c.stream, 1);
	c.stream = NULL;
	until(world.dones == 3);
	for (size_t i = 0; i < ES_WORKERS_MAX; i++) {
		if (world.workers[i].used && world.workers[i].silent_id != 0 && world.manners == 0)
			answer(&world.workers[i], world.workers[i].silent_id,
			    (struct ew_result){ .status = RUN_EXIT });
		world.workers[i].silent_id = 0;
	}
	world_wait(WORKER_CANCEL_MS * 2);
	assert_int_equal(world.kills, 1);
	call_done(&c);
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

/* No worker serves two tenants; no more live than are allowed; who waits is served. */
static void
tenants_are_apart(void **state)
{
	enum { TENANTS = 7 };
	static const char *const names[TENANTS] = { "t0", "t1", "t2", "t3", "t4", "t5", "t6" };
	struct call calls[TENANTS * 2];

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
	world_wait(IDLE_S * 1000 + 600);
	for (size_t w = 0; w < ES_WORKERS_MAX; w++)
		assert_false(world.workers[w].used);
	assert_int_equal(world.metrics->values[METRIC_WORKERS], 0);
	assert_int_equal(world.metrics->values[METRIC_WORKER_TENANTS], 0);
	assert_int_equal(world.metrics->values[METRIC_WORKERS_OF_ONE], 0);
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
		call_open(&calls[i], &g, SPAN_LIT("{}"));
	}
	until(world.starts > 0);
	world_wait(100); /* half of their time */
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
		g.tool.time_ms = 400;
		call_open(&calls[i], &g, SPAN_LIT("{}"));
	}
	/* Another tenant does not wait behind them. */
	g = tool_grant();
	g.tenant = SPAN_LIT("other");
	call_once(&other, &g, "{}");
	assert_true(other.result && other.ms < 300);
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

/* ---- versions ---- */

static void
build_open_of(struct call *c, const char *tenant, struct span module, struct span native)
{
	const struct tool_upload up = { SPAN_LIT("{\"name\":\"adder\"}"), module, native };
	struct grant g = { .kind = GRANT_BUILD, .turn = 8, .tenant = span_str(tenant) };

	call_init(c);
	must(wire_encode(&tool_upload_table, &up, &c->body));
	open_with(c, &g);
}

static void
build_open(struct call *c, struct span module, struct span native)
{
	build_open_of(c, "acme", module, native);
}

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

static void
builds_are_bounded(void **state)
{
	struct call calls[BUILDS_MAX + 2];
	char tenant[16];
	size_t refused = 0;

	(void)state;
	for (size_t i = 0; i < COUNT(calls); i++) {
		(void)snprintf(tenant, sizeof(tenant), "t%zu", i / BUILDS_PER_TENANT_MAX);
		build_open_of(&calls[i], tenant, world.module, SPAN_EMPTY);
	}
	until(world.compile_starts == ES_COMPILES_MAX);
	world_wait(50);
	for (size_t i = 0; i < COUNT(calls); i++)
		refused += calls[i].failed && calls[i].f.error == ERROR_OVERLOADED;
	assert_int_equal(refused, 2);
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
	struct call calls[BUILDS_MAX];
	char tenant[16];

	(void)state;
	for (size_t i = 0; i < COUNT(calls); i++) {
		(void)snprintf(tenant, sizeof(tenant), "t%zu", i / BUILDS_PER_TENANT_MAX);
		build_open_of(&calls[i], tenant, world.module, SPAN_EMPTY);
	}
	until(world.compile_starts == ES_COMPILES_MAX);
	world_wait(100); /* the others wait by now */
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

/* ---- gVisor ---- */

static void
put_frame(int fd, char type, struct span payload)
{
	uint8_t head[5] = { (uint8_t)type, 0, 0, 0, (uint8_t)payload.len };

	must(io_write_all(fd, span_of(head, sizeof(head))));
	must(io_write_all(fd, payload));
}

static void
a_native_part_runs_in_a_sandbox(void **state)
{
	static const char done[] = "\0\0\0\1\0\0\0\0\0\0\0";
	uint8_t frames[512];
	struct fake_sandbox *s = NULL;
	struct grant g = tool_grant();
	struct call c;
	ssize_t n;

	(void)state;
	until(world.sandboxes[0].used || world.sandboxes[1].used);
	s = world.sandboxes[0].used ? &world.sandboxes[0] : &world.sandboxes[1];
	put_frame(s->fds[3], 'R', SPAN_LIT("\1sh"));
	world.env = "A=it's";
	g.tool.sandbox = TOOL_GVISOR;
	g.tool.time_ms = 1234;
	g.tool.memory_mb = 99;
	g.keep = 1; /* not for tools */
	must(sha256(world.native, g.tool.artefact));
	call_open(&c, &g, SPAN_LIT("{\"x\":2}"));
	until(c.sandbox[0] != '\0');
	n = read(s->fds[0], frames, sizeof(frames));
	assert_true(n > 0);
	assert_non_null(memmem(frames, (size_t)n, "f\0\0\0\4tool", 9));
	assert_non_null(memmem(frames, (size_t)n, world.native.ptr, world.native.len));
	assert_non_null(memmem(frames, (size_t)n, "export A='it'\\''s'\n", 19));
	assert_non_null(memmem(frames, (size_t)n, "i\0\0\0\7{\"x\":2}", 12));
	/* One shot, no files back. */
	assert_non_null(memmem(frames, (size_t)n, "r\0\0\0\20\0\0\0\1\0\0\0\2\0\0\0\0", 17));
	until(world.armed.wall_ms == 1234);
	assert_int_equal(world.armed.memory_mb, 99);
	must(io_write_all(s->fds[1], SPAN_LIT("{\"y\":4}")));
	put_frame(s->fds[3], 'E', span_of(done, 12));
	fake_exit(world.armed.slot, ENDED_BY_ITSELF, 0);
	until(call_over(&c));
	assert_true(c.result && c.r.status == RUN_EXIT);
	assert_true(says(&c.out, "{\"y\":4}"));
	assert_true(strncmp(c.sandbox, "gvisor:sh-", 10) == 0);
	call_done(&c);
}

/* ---- peers that go ---- */

static void
without_a_spawner(void **state)
{
	struct grant g = tool_grant();
	struct call c, b;

	(void)state;
	g.tool.time_ms = 30000;
	world.manner = SILENT;
	world.manners = 1;
	call_open(&c, &g, SPAN_LIT("{}"));
	build_open(&b, world.module, SPAN_EMPTY);
	until(c.sandbox[0] != '\0' && world.compile_starts == 1);
	link_free(world.spawner);
	for (size_t i = 0; i < ES_WORKERS_MAX; i++) {
		link_free(world.workers[i].link);
		world.workers[i] = (struct fake_worker){ .used = false };
	}
	for (size_t i = 0; i < COUNT(world.compiles); i++)
		world.compiles[i].used = false;
	until(call_over(&c) && call_over(&b));
	assert_true(c.failed && c.f.error == ERROR_UNAVAILABLE);
	assert_true(b.failed && b.f.error == ERROR_UNAVAILABLE);
	call_done(&c);
	call_done(&b);
	memset(world.sandboxes, 0, sizeof(world.sandboxes));
	world_spawner();
	world_wait(20);
	g = tool_grant();
	call_once(&c, &g, "{}");
	assert_true(c.result);
	call_done(&c);
}

static void
spawner_anew(void)
{
	link_free(world.spawner);
	for (size_t i = 0; i < ES_WORKERS_MAX; i++) {
		link_free(world.workers[i].link);
		world.workers[i] = (struct fake_worker){ .used = false };
	}
	memset(world.sandboxes, 0, sizeof(world.sandboxes));
	world_wait(20);
	world_spawner();
	world_wait(20);
}

/* Idle ones of others have all that is left of the slots, and fewer live than may. */
static void
no_slot_is_free(void **state)
{
	struct es_exited m = { .ended = ENDED_KILLED, .wait_status = SIGKILL, .stuck = 1 };
	struct call c;

	(void)state;
	spawner_anew();
	for (uint32_t i = 0; i <= ES_WORKERS_MAX; i++) {
		struct grant g = tool_grant();
		char tenant[16];

		(void)snprintf(tenant, sizeof(tenant), "t%u", i);
		g.tenant = span_str(tenant);
		call_once(&c, &g, "{}");
		assert_true(c.result && c.ms < IDLE_S * 1000 / 4.0);
		call_done(&c);
		if (i >= ES_WORKERS_MAX - 2)
			continue;
		assert_true(world.workers[i].used);
		link_free(world.workers[i].link);
		world.workers[i].link = NULL;
		m.slot = ES_SANDBOXES_MAX + i;
		must(link_send(world.spawner, 0, ES_EXITED, &m));
	}
	assert_int_equal(world.kills, 1);
	spawner_anew();
}

static void
without_an_authority(void **state)
{
	struct grant g = tool_grant();
	struct call c, b, w;

	(void)state;
	g.tool.time_ms = 30000;
	world.manner = SILENT;
	world.manners = 1;
	world.mute_store = world.mute_kept = true;
	call_open(&c, &g, SPAN_LIT("{}"));
	until(c.sandbox[0] != '\0');
	g = tool_grant();
	g.tool.id = 500; /* waits for the store */
	call_open(&w, &g, SPAN_LIT("{}"));
	build_open(&b, SPAN_EMPTY, world.native);
	until(world.builts == 1 && world.gets >= 1);
	link_free(world.authority);
	world.authority = NULL;
	until(call_over(&c) && call_over(&w) && call_over(&b));
	assert_true(c.failed && c.f.error == ERROR_UNAVAILABLE);
	assert_true(w.failed && w.f.error == ERROR_UNAVAILABLE);
	assert_true(b.failed && b.f.error == ERROR_UNAVAILABLE);
	call_done(&c);
	call_done(&w);
	call_done(&b);
	(void)world_reset(NULL);
	world_authority();
	world_wait(20);
	g = tool_grant();
	call_once(&c, &g, "{}");
	assert_true(c.result);
	call_done(&c);
}

/* A worker holds so many modules and no more: the one used longest ago goes. */
static void
a_worker_full_of_modules(void **state)
{
	char text[32];

	(void)state;
	for (unsigned i = 0; i < EW_MODULES_MAX + 6; i++) {
		struct grant g;
		struct call c;

		(void)snprintf(text, sizeof(text), "compiled %u", i);
		world.artefact = span_str(text);
		g = tool_grant();
		g.tenant = SPAN_LIT("many");
		g.tool.id = 5000 + i;
		call_once(&c, &g, "{}");
		assert_true(c.result);
		assert_string_equal(world.load_text, text);
		call_done(&c);
	}
	assert_int_equal(world.unloads, 6);
	assert_int_equal(world.starts, 1);
}

/* A version that was removed leaves nothing behind, here and in workers; a call of it runs on. */
static void
a_version_that_is_gone(void **state)
{
	const struct ae_gone gone = { 6000 };
	struct grant g = tool_grant();
	struct call c;

	(void)state;
	g.tenant = SPAN_LIT("gone");
	g.tool.id = 6000;
	call_once(&c, &g, "{}");
	assert_true(c.result);
	call_done(&c);
	g = tool_grant();
	g.tenant = SPAN_LIT("gone");
	g.tool.id = 6000;
	g.tool.time_ms = 30000;
	world.manner = LATE;
	world.manners = 1;
	call_open(&c, &g, SPAN_LIT("{}"));
	until(c.sandbox[0] != '\0');
	must(link_send(world.authority, 0, AE_GONE, &gone));
	world_wait(50);
	assert_int_equal(world.unloads, 0);
	for (size_t i = 0; i < ES_WORKERS_MAX; i++) {
		if (world.workers[i].used && world.workers[i].silent_id != 0)
			answer(&world.workers[i], world.workers[i].silent_id,
			    (struct ew_result){ .status = RUN_EXIT });
	}
	until(call_over(&c));
	assert_true(c.result);
	call_done(&c);
	until(world.unloads == 1);
	assert_int_equal(world.gets, 1);
	/* Twice, or of one that nobody knows: nothing. */
	must(link_send(world.authority, 0, AE_GONE, &gone));
	g = tool_grant();
	g.tenant = SPAN_LIT("gone");
	g.tool.id = 6000;
	call_once(&c, &g, "{}");
	assert_true(c.result);
	assert_int_equal(world.gets, 2);
	call_done(&c);
	must(link_send(world.authority, 0, AE_GONE, &gone));
	until(world.unloads == 2);
}

/* Nothing grows: descriptors, nor memory. */
static void
many_calls(void **state)
{
	enum { CALLS = 3000, KINDS = 90 };
	char path[64];
	size_t fds[2] = { 0, 0 };

	(void)state;
	(void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)world.p.pid);
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < CALLS; i++) {
			struct grant g = tool_grant();
			struct call c;

			g.tool.id = 1000 + i % KINDS; /* more than are kept */
			call_once(&c, &g, "{}");
			assert_true(c.result);
			call_done(&c);
		}
		for (int fd = 0; fd < 4096; fd++) {
			char one[96];

			(void)snprintf(one, sizeof(one), "%s/%d", path, fd);
			fds[round] += readlink(one, path + sizeof(path) - 1, 0) >= 0 ||
				      access(one, F_OK) == 0;
		}
	}
	assert_true(fds[1] <= fds[0] + 2);
}

/* Each that is asked for is a descriptor: no more of them than there is room for. */
static void
more_parts_than_there_is_room_for(void **state)
{
	enum { CALLS = ARTEFACTS_HELD_MAX + 20 };
	static struct call calls[CALLS];
	size_t refused = 0;

	(void)state;
	world.mute_store = true;
	for (size_t i = 0; i < CALLS; i++) {
		struct grant g = tool_grant();

		g.tool.id = 9000 + i;
		call_open(&calls[i], &g, SPAN_LIT("{}"));
	}
	until(world.gets > 0);
	world_wait(100);
	for (size_t i = 0; i < CALLS; i++) {
		refused += calls[i].failed && calls[i].f.error == ERROR_OVERLOADED &&
			   calls[i].f.retry_after_ms > 0;
		call_done(&calls[i]);
	}
	assert_true(refused >= 20);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup(f, world_reset)
	const struct CMUnitTest tests[] = {
		T(native_parts),
		T(scripts),
		T(a_call),
		T(where_it_runs_is_told),
		T(ends_are_exact),
		T(a_worker_that_died_before),
		T(an_answer_too_many_ends_the_worker),
		T(one_that_does_not_start),
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
		T(a_version_is_built),
		T(a_version_is_refused),
		T(a_native_part_is_refused),
		T(builds_are_bounded),
		T(one_tenant_has_its_share_of_builds),
		T(one_tenant_has_one_compiler),
		T(compilers_that_cannot_be_started),
		T(the_store_says_no),
		T(a_native_part_runs_in_a_sandbox),
		T(without_a_spawner),
		T(no_slot_is_free),
		T(without_an_authority),
		T(a_worker_full_of_modules),
		T(a_version_that_is_gone),
		T(many_calls),
		T(more_parts_than_there_is_room_for),
	};

	return cmocka_run_group_tests(tests, world_open, world_close);
}
