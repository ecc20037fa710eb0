/* SPDX-License-Identifier: Apache-2.0 */
/* src/executor: native parts in sandboxes; peers that go; what is full. */
#include "executor_tools_rig.h"

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

static size_t
told_to_come_back(const struct call *calls, size_t n)
{
	size_t refused = 0;

	for (size_t i = 0; i < n; i++)
		refused += calls[i].failed && calls[i].f.error == ERROR_OVERLOADED &&
			   calls[i].f.retry_after_ms > 0;
	return refused;
}

/* Each that is asked for is a descriptor: no more of them than there is room for. */
static void
more_parts_than_there_is_room_for(void **state)
{
	enum { CALLS = ARTEFACTS_HELD_MAX + 20 };
	static struct call calls[CALLS];

	(void)state;
	world.mute_store = true;
	for (size_t i = 0; i < CALLS; i++) {
		struct grant g = tool_grant();

		g.tool.id = 9000 + i;
		call_open(&calls[i], &g, SPAN_LIT("{}"));
	}
	until(world.gets > 0 && told_to_come_back(calls, CALLS) >= 20);
	for (size_t i = 0; i < CALLS; i++)
		call_done(&calls[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
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
