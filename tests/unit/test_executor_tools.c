/* SPDX-License-Identifier: Apache-2.0 */
/* src/executor/tool.c, workers.c, worker.c, artefacts.c: calls of tools. */
#include "executor_tools_rig.h"

#define TIMEOUT_MS 200

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
		g.tool.time_ms = SILENT_MS;
		call_init(&c);
		must(wire_encode(&tool_request_table, &req, &c.body));
		c.open.late = late;
		open_with(&c, &g);
		until(world.manners == 0 && (late || c.sandbox[0] != '\0'));
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
		if (rows[i].status == RUN_TIMEOUT)
			g.tool.time_ms = TIMEOUT_MS;
		call_once(&c, &g, "{}");
		if (!c.result || c.r.status != rows[i].status ||
		    strcmp(c.text, rows[i].trap) != 0) {
			print_error("row %zu: result %d status %u failed %d error %u %s\n", i,
			    c.result, c.r.status, c.failed, c.f.error, c.text);
			assert_true(false);
		}
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

/* Never early; late in some tries on a busy machine, not in all. */
static void
a_timeout_is_on_time(void **state)
{
	double ms = 1e9;

	(void)state;
	for (int i = 0; i < TRIES && ms >= TIMEOUT_MS + 100; i++) {
		struct grant g = tool_grant();
		struct call c;

		g.tool.time_ms = TIMEOUT_MS;
		world.manner = SILENT;
		world.manners = 1;
		call_once(&c, &g, "{}");
		assert_true(c.result && c.r.status == RUN_TIMEOUT && c.ms >= TIMEOUT_MS);
		ms = c.ms;
		call_done(&c);
	}
	assert_true(ms < TIMEOUT_MS + 100);
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_call),
		T(where_it_runs_is_told),
		T(ends_are_exact),
		T(a_timeout_is_on_time),
		T(a_worker_that_died_before),
		T(an_answer_too_many_ends_the_worker),
		T(one_that_does_not_start),
	};

	return cmocka_run_group_tests(tests, world_open, world_close);
}
