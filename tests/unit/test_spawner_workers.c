/* SPDX-License-Identifier: Apache-2.0 */
/* The real spawner and its launcher, with a probe where workers' binaries should be. */
#include "process.h"

#include <launcher.h>

#include <sys/mman.h>
#include <sys/stat.h>

#define RUN_SLOT ES_SANDBOXES_MAX
#define COMPILE_SLOT (ES_SANDBOXES_MAX + ES_WORKERS_MAX)
#define MEMORY_MB 64

static uv_loop_t loop;
static struct process spawner;
static char folder[] = "/tmp/sp-workers-XXXXXX";
static struct es_exited last;
static unsigned exits, armed;

static void
on_nothing(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l, (void)id, (void)msg, (void)ctx;
}

static void
on_armed(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l, (void)id, (void)msg, (void)ctx;
	armed++;
}

static void
on_exited(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l, (void)id, (void)ctx;
	last = *(const struct es_exited *)msg;
	exits++;
}

static void
on_closed(struct link *l, struct status why, void *ctx)
{
	(void)l, (void)why, (void)ctx;
	spawner.peer = NULL;
	link_free(l);
}

static const struct link_rule rules[] = { { ES_STARTED, 0, on_nothing }, { ES_ARMED, 0, on_armed },
	{ ES_EXITED, 0, on_exited } };
static const struct link_ops ops = { rules, COUNT(rules), on_closed };

static void
copy(const char *from, const char *name)
{
	auto_buf struct buf bytes = BUF_INIT(64U << 20);
	char path[512];
	auto_fd int fd = -1;

	must(io_read_file(AT_FDCWD, from, &bytes));
	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0755);
	assert_true(fd >= 0);
	must(io_write_all(fd, buf_span(&bytes)));
	assert_int_equal(fchmod(fd, 0755), 0);
}

/* Beside this test; its folder is closed to the uids that run what is in it. */
static int
set_up(void **state)
{
	char self[512], path[600];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	(void)state;
	assert_true(n > 0);
	self[n] = '\0';
	*strrchr(self, '/') = '\0';
	assert_non_null(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/worker-probe", self);
	copy(path, "wasm-run");
	copy(path, "wasm-compile");
	(void)snprintf(path, sizeof(path), "%s/../../src/spawner/spawner", self);
	copy(path, "spawner");
	process_folder = folder;
	process_be_unique();
	(void)uv_loop_init(&loop);
	process_start(&spawner, &loop, "spawner");
	process_peer(&spawner, EDGE_EXECUTOR_SPAWNER, &es_edge, 1, &ops);
	process_go(&spawner);
	return 0;
}

static int
tear_down(void **state)
{
	static const char *const names[] = { "wasm-run", "wasm-compile", "spawner" };
	char path[512];

	(void)state;
	assert_int_equal(process_drain(&spawner), 0);
	for (size_t i = 0; i < COUNT(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		(void)unlink(path);
	}
	assert_int_equal(rmdir(folder), 0);
	return 0;
}

static void
start(uint8_t kind, uint32_t slot, const int *fds, size_t nfds)
{
	const struct es_start m = { .slot = slot, .kind = kind, .memory_mb = MEMORY_MB, .pids = 4 };

	exits = 0;
	must(link_send_fds(spawner.peer, 0, ES_START, &m, fds, nfds));
}

/* A run worker that is told to do `mode`; our end of its socket. */
static int
run_worker(uint32_t slot, char mode)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	start(SLOT_WASM_RUN, slot, &fds[1], 1);
	(void)close(fds[1]);
	assert_int_equal(write(fds[0], &mode, 1), 1);
	return fds[0];
}

static void
wait_exits(unsigned n)
{
	while (exits < n && spawner.peer != NULL)
		(void)uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(exits, n);
}

static void
read_text(int fd, char *text, size_t size)
{
	size_t len = 0;
	ssize_t n;

	while ((n = read(fd, text + len, size - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
}

static void
expect_row(const char *text, const char *name, long want)
{
	char row[64];

	(void)snprintf(row, sizeof(row), "%s=%ld\n", name, want);
	if (strstr(text, row) == NULL) {
		print_error("no %s in:\n%s", row, text);
		assert_true(false);
	}
}

static void
a_worker_has_nothing(void **state)
{
	static const struct {
		const char *name;
		long want;
	} rows[] = { { "pid", 1 }, { "uid", 65534 }, { "gid", 65534 }, { "groups", 0 },
		{ "caps", 0 }, { "bounding", 0 }, { "nnp", 1 }, { "fds", 3 }, { "core", 0 },
		{ "environ", 0 }, { "setuid", EPERM }, { "create", EROFS }, { "proc", ENOENT },
		{ "etc", ENOENT }, { "dev", ENOENT }, { "parent", 0 }, { "mount", EPERM },
		{ "remount", EPERM }, { "connect", ENETUNREACH }, { "kill", ESRCH },
		{ "exec", ENOENT } };
	char text[4096];
	int fd = run_worker(RUN_SLOT, 'r');

	(void)state;
	wait_exits(1);
	read_text(fd, text, sizeof(text));
	(void)close(fd);
	for (size_t i = 0; i < COUNT(rows); i++)
		expect_row(text, rows[i].name, rows[i].want);
	assert_int_equal(last.slot, RUN_SLOT);
	assert_int_equal(last.wait_status, 0);
	assert_int_equal(last.failed_start, 0);
}

static void
ends_are_told_apart(void **state)
{
	const struct es_arm cpu = { RUN_SLOT, 60000, 100, 0 }, wall = { RUN_SLOT, 100, 0, 0 };
	const struct es_slot kill_it = { RUN_SLOT };

	(void)state;
	(void)close(run_worker(RUN_SLOT, 'e'));
	wait_exits(1);
	assert_int_equal(WEXITSTATUS((int)last.wait_status), 3);
	assert_int_equal(last.ended, ENDED_BY_ITSELF);
	(void)close(run_worker(RUN_SLOT, 'c'));
	wait_exits(1);
	assert_int_equal(WTERMSIG((int)last.wait_status), SIGSEGV);
	(void)close(run_worker(RUN_SLOT, 'm'));
	wait_exits(1);
	assert_int_equal(last.ended, ENDED_MEMORY);
	(void)close(run_worker(RUN_SLOT, 's'));
	must(link_send(spawner.peer, 0, ES_ARM, &cpu));
	wait_exits(1);
	assert_int_equal(last.ended, ENDED_CPU);
	(void)close(run_worker(RUN_SLOT, 's'));
	must(link_send(spawner.peer, 0, ES_ARM, &wall));
	wait_exits(1);
	assert_int_equal(last.ended, ENDED_WALL);
	(void)close(run_worker(RUN_SLOT, 's'));
	must(link_send(spawner.peer, 0, ES_KILL, &kill_it));
	wait_exits(1);
	assert_int_equal(last.ended, ENDED_KILLED);
}

static void
processes_are_bounded(void **state)
{
	char text[256];
	int fd = run_worker(RUN_SLOT, 'f');

	(void)state;
	wait_exits(1);
	read_text(fd, text, sizeof(text));
	(void)close(fd);
	expect_row(text, "children", 3); /* and itself: 4 */
	assert_int_equal(last.pids_hit, 1);
}

static int
memory_file(const char *bytes)
{
	int fd = memfd_create("t", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	must(io_write_all(fd, span_str(bytes)));
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

static void
a_compiler_has_two_files_and_a_line(void **state)
{
	int line[2], fds[3] = { memory_file("r"), memory_file(""), -1 };
	char text[4096];

	(void)state;
	assert_int_equal(pipe2(line, O_CLOEXEC), 0);
	fds[2] = line[1];
	start(SLOT_WASM_COMPILE, COMPILE_SLOT, fds, 3);
	(void)close(line[1]);
	wait_exits(1);
	assert_int_equal(last.wait_status, 0);
	read_text(line[0], text, sizeof(text));
	assert_string_equal(text, "a line\n");
	assert_int_equal(lseek(fds[1], 0, SEEK_SET), 0);
	read_text(fds[1], text, sizeof(text));
	expect_row(text, "fds", 3);
	expect_row(text, "uid", 65534);
	expect_row(text, "caps", 0);
	expect_row(text, "connect", ENETUNREACH);
	(void)close(line[0]);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

/* It is no way to fill the machine with files, either. */
static void
a_compiled_file_is_bounded(void **state)
{
	int fds[3] = { memory_file("b"), memory_file(""), memory_file("") };
	struct stat st;

	(void)state;
	start(SLOT_WASM_COMPILE, COMPILE_SLOT + 1, fds, 3);
	wait_exits(1);
	assert_int_equal(fstat(fds[1], &st), 0);
	assert_true(st.st_size <= (off_t)TOOL_ARTEFACT_MAX);
	for (size_t i = 0; i < COUNT(fds); i++)
		(void)close(fds[i]);
}

static void
many_at_once(void **state)
{
	enum { WORKERS = 12 };
	int fds[WORKERS];

	(void)state;
	for (uint32_t i = 0; i < WORKERS; i++)
		fds[i] = run_worker(RUN_SLOT + i, 's');
	for (uint32_t i = 0; i < WORKERS; i++) {
		const struct es_slot m = { RUN_SLOT + i };

		must(link_send(spawner.peer, 0, ES_KILL, &m));
	}
	wait_exits(WORKERS);
	for (uint32_t i = 0; i < WORKERS; i++)
		(void)close(fds[i]);
}

static void
kinds_keep_to_their_slots(void **state)
{
	static const struct {
		uint8_t kind, runner;
		uint32_t slot;
		size_t nfds;
		bool ok;
	} rows[] = {
		{ SLOT_GVISOR, RUNNER_SH, 0, 4, true },
		{ SLOT_GVISOR, RUNNER_SH, ES_SANDBOXES_MAX - 1, 4, true },
		{ SLOT_GVISOR, RUNNER_SH, ES_SANDBOXES_MAX, 4, false },
		{ SLOT_GVISOR, 0, 0, 4, false },
		{ SLOT_GVISOR, RUNNER_SH, 0, 3, false },
		{ SLOT_WASM_RUN, 0, RUN_SLOT, 1, true },
		{ SLOT_WASM_RUN, 0, COMPILE_SLOT - 1, 1, true },
		{ SLOT_WASM_RUN, 0, COMPILE_SLOT, 1, false },
		{ SLOT_WASM_RUN, 0, 0, 1, false },
		{ SLOT_WASM_RUN, 0, RUN_SLOT, 2, false },
		{ SLOT_WASM_RUN, 0, RUN_SLOT, 0, false },
		{ SLOT_WASM_RUN, RUNNER_SH, RUN_SLOT, 1, false },
		{ SLOT_WASM_COMPILE, 0, COMPILE_SLOT, 3, true },
		{ SLOT_WASM_COMPILE, 0, ES_SLOTS_MAX - 1, 3, true },
		{ SLOT_WASM_COMPILE, 0, ES_SLOTS_MAX, 3, false },
		{ SLOT_WASM_COMPILE, 0, RUN_SLOT, 3, false },
		{ SLOT_WASM_COMPILE, 0, COMPILE_SLOT, 4, false },
		{ 0, RUNNER_SH, 0, 4, false },
		{ SLOT_WASM_COMPILE + 1, 0, COMPILE_SLOT, 3, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct launch_cmd cmd = {
			.kind = rows[i].kind, .runner = rows[i].runner, .slot = rows[i].slot
		};
		int fds[LAUNCH_STDIO];

		for (size_t f = 0; f < LAUNCH_STDIO; f++)
			fds[f] = f < rows[i].nfds ? 1 : -1;
		if (kind_start_ok(&cmd, fds) != rows[i].ok) {
			print_error("row %zu\n", i);
			assert_true(false);
		}
	}
}

/* One that lies about a kind is not the executor any more: all ends, nothing stays. */
static void
a_lie_ends_the_spawner(void **state)
{
	int fd = memory_file("s");
	const struct es_start m = {
		.slot = 0, .kind = SLOT_WASM_RUN, .memory_mb = MEMORY_MB, .pids = 4
	};
	int status;

	(void)state;
	(void)close(run_worker(RUN_SLOT + 1, 's'));
	must(link_send_fds(spawner.peer, 0, ES_START, &m, &fd, 1));
	(void)close(fd);
	status = process_end(&spawner);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	if (spawner.peer != NULL)
		link_free(spawner.peer);
	/* The next one waits for the last one's launcher to have cleared up. */
	process_start(&spawner, &loop, "spawner");
	process_peer(&spawner, EDGE_EXECUTOR_SPAWNER, &es_edge, 1, &ops);
	process_go(&spawner);
	(void)close(run_worker(RUN_SLOT + 1, 'e'));
	wait_exits(1);
	assert_int_equal(last.failed_start, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kinds_keep_to_their_slots),
		cmocka_unit_test(a_worker_has_nothing),
		cmocka_unit_test(ends_are_told_apart),
		cmocka_unit_test(processes_are_bounded),
		cmocka_unit_test(a_compiler_has_two_files_and_a_line),
		cmocka_unit_test(a_compiled_file_is_bounded),
		cmocka_unit_test(many_at_once),
		cmocka_unit_test(a_lie_ends_the_spawner),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
