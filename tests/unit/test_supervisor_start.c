/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long a start may take: as long as it comes further. Processes of this test's own stand in
 * the place of the real ones; START_TIMEOUT_MS is a second here.
 */
#include "unit.h"

#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <base/clock.h>
#include <daemon/tables.h>
#include <supervisor.h>

#define STEP_MS 20
#define SLACK_MS 100 /* the loop's clock is behind */
#define LONG_MS (2 * START_TIMEOUT_MS + START_TIMEOUT_MS / 2)

static struct supervisor sv;
static unsigned started, ended, stops;
static int wait_status;

/* ---- what child.c calls of the other files ---- */

static const char *const none[] = { NULL };
const struct proc_row proc_rows[PROC_COUNT] = { [PROC_DEMO] = { none, none, NULL },
	[PROC_EXECUTOR] = { none, none, NULL },
	[PROC_SPAWNER] = { none, none, NULL } };

int
instance_fd(const struct supervisor *s, const char *name)
{
	(void)s, (void)name;
	return -1;
}

struct status
instance_keep_head(const struct supervisor *s, uint64_t size, struct span note)
{
	(void)s, (void)size, (void)note;
	return OK;
}

void
record_process(struct supervisor *s, const struct child *c, bool up, int status)
{
	(void)s, (void)c;
	started += up ? 1 : 0;
	ended += up ? 0 : 1;
	if (!up)
		wait_status = status;
}

void
shutdown_begin(struct supervisor *s, int exit_status)
{
	(void)s;
	assert_int_equal(exit_status, 1);
	stops++;
}

struct status
files_send(const struct child *c)
{
	(void)c;
	return OK;
}

struct status
certificate_send(const struct child *c)
{
	(void)c;
	return OK;
}

struct status
peers_connect(struct child *c)
{
	(void)c;
	return OK;
}

struct status
rollback_on_generation(struct supervisor *s, uint64_t generation)
{
	(void)s, (void)generation;
	return OK;
}

void
files_send_again(const struct child *c)
{
	(void)c;
}

void
record_flush(struct supervisor *s)
{
	(void)s;
}

void
reload_begin(struct supervisor *s, uint64_t call_id)
{
	(void)s, (void)call_id;
}

void
reload_progress(struct supervisor *s)
{
	(void)s;
}

void
shutdown_progress(struct supervisor *s)
{
	(void)s;
}

void
record_on_recorded(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l, (void)id, (void)msg, (void)ctx;
}

void
certificate_on_rotate(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l, (void)id, (void)msg, (void)ctx;
}

void
owed_on_owe(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l, (void)id, (void)msg, (void)ctx;
}

/* ---- the process: its name says what it does ---- */

static struct {
	struct metrics_page *page;
	bool go;
} me;

static void
on_fd(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)id, (void)msg, (void)ctx;
	me.page = mmap(
	    NULL, METRICS_PAGE_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, link_take_fd(l), 0);
}

static void
on_start(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l, (void)id, (void)msg, (void)ctx;
}

static void
on_go(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l, (void)id, (void)msg, (void)ctx;
	me.go = true;
}

static void
on_closed(struct link *l, struct status why, void *ctx)
{
	(void)l, (void)why, (void)ctx;
	_exit(0);
}

static const struct link_rule rules[] = { { CTL_START, 0, on_start }, { CTL_FD, 0, on_fd },
	{ CTL_GO, 0, on_go } };
static const struct link_ops ops = { rules, COUNT(rules), on_closed };

/* It comes further, as the log is read, for `ms`. */
static void
come_further(unsigned ms)
{
	uint64_t until = clock_mono_ns() + ms * NS_PER_MS;

	while (clock_mono_ns() < until) {
		(void)__atomic_fetch_add(
		    &me.page->values[METRIC_START_DONE], 100, __ATOMIC_RELAXED);
		(void)usleep(STEP_MS * 1000);
	}
}

static int
be_process(const char *name)
{
	const struct ctl_hello hello = { CTL_VERSION, daemon_tables_hash() };
	const struct wire_none nothing = { 0 };
	struct link *l = NULL;
	uv_loop_t loop;

	if (uv_loop_init(&loop) != 0 ||
	    !is_ok(link_new(&loop, DAEMON_CONTROL_FD, &ctl_edge, false, &ops, NULL, &l)) ||
	    !is_ok(link_send(l, 0, CTL_HELLO, &hello)))
		return 9;
	while (!me.go)
		(void)uv_run(&loop, UV_RUN_ONCE);
	if (strcmp(name, "spawner") != 0) /* which says nothing at all */
		come_further(LONG_MS);
	if (strcmp(name, "demo") == 0 && !is_ok(link_send(l, 0, CTL_READY, &nothing)))
		return 9;
	(void)uv_run(&loop, UV_RUN_DEFAULT); /* the executor stays here, and is not ready */
	return 0;
}

/* ---- the supervisor ---- */

static void
on_tick(uv_timer_t *t)
{
	children_reap(t->data);
}

static uint64_t
ms_since(uint64_t from_ns)
{
	return (clock_mono_ns() - from_ns) / NS_PER_MS;
}

/* Until it is ready or dead; how long that took. */
static uint64_t
run_start(enum proc proc)
{
	uint64_t from = clock_mono_ns();

	started = ended = stops = 0;
	sv.up = false;
	assert_true(is_ok(child_start(&sv, proc, 0)));
	while (started + ended == 0)
		(void)uv_run(&sv.loop, UV_RUN_ONCE);
	return ms_since(from);
}

static void
slow_and_alive(void **state)
{
	uint64_t ms = run_start(PROC_DEMO);
	struct child *c = child_of(&sv, PROC_DEMO, true);

	(void)state;
	assert_int_equal(started, 1);
	assert_true(ms >= LONG_MS);
	assert_non_null(c);
	/* And is not killed afterwards for having been slow. */
	for (uint64_t from = clock_mono_ns(); ms_since(from) < START_TIMEOUT_MS + 200;)
		(void)uv_run(&sv.loop, UV_RUN_ONCE);
	assert_int_equal(ended, 0);
	c->state = CHILD_DRAINING;
	(void)kill(c->pid, SIGKILL);
	while (ended == 0)
		(void)uv_run(&sv.loop, UV_RUN_ONCE);
}

static void
silent(void **state)
{
	uint64_t ms = run_start(PROC_SPAWNER);

	(void)state;
	assert_int_equal(started, 0);
	assert_true(ms + SLACK_MS >= START_TIMEOUT_MS);
	assert_true(WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGKILL);
	assert_int_equal(stops, 1);
}

/* It came further and then no more: that is all that it gets. */
static void
stuck_on_the_way(void **state)
{
	uint64_t ms = run_start(PROC_EXECUTOR);

	(void)state;
	assert_int_equal(started, 0);
	assert_true(ms + SLACK_MS >= LONG_MS && ms < LONG_MS + 30 * START_TIMEOUT_MS);
	assert_true(WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGKILL);
	assert_int_equal(stops, 1);
}

static int
group_setup(void **state)
{
	static const char *const names[] = { "demo", "executor", "spawner" };
	static uv_timer_t tick;
	char self[512], path[sizeof(sv.inst.libexec) + 32];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	(void)state;
	assert_true(n > 0);
	self[n] = '\0';
	(void)snprintf(sv.inst.libexec, sizeof(sv.inst.libexec), "/tmp/sallyport-unit-XXXXXX");
	assert_non_null(mkdtemp(sv.inst.libexec));
	(void)snprintf(sv.inst.name, sizeof(sv.inst.name), "0123456789ab");
	for (size_t i = 0; i < COUNT(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", sv.inst.libexec, names[i]);
		assert_int_equal(symlink(self, path), 0);
	}
	assert_int_equal(uv_loop_init(&sv.loop), 0);
	assert_true(is_ok(conf_load(SPAN_EMPTY, &sv.conf)));
	sv.generation = 1;
	(void)uv_timer_init(&sv.loop, &tick);
	tick.data = &sv;
	return uv_timer_start(&tick, on_tick, STEP_MS, STEP_MS);
}

static int
group_teardown(void **state)
{
	static const char *const names[] = { "demo", "executor", "spawner" };
	char path[sizeof(sv.inst.libexec) + 32];

	(void)state;
	for (size_t i = 0; i < COUNT(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", sv.inst.libexec, names[i]);
		(void)unlink(path);
	}
	conf_free(sv.conf);
	return rmdir(sv.inst.libexec);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slow_and_alive),
		cmocka_unit_test(silent),
		cmocka_unit_test(stuck_on_the_way),
	};
	const char *name = basename(argv[0]);

	(void)argc;
	if (strncmp(name, "test_", 5) != 0)
		return be_process(name);
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
