/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_EXECUTOR_WORLD_H
#define TESTS_EXECUTOR_WORLD_H

/*
 * The real executor, jail and all, between an authority with one tool in its store, a
 * gateway, and a spawner whose workers do as they are told.
 */
#include "process.h"

#include <base/clock.h>
#include <base/memfd.h>
#include <base/rand.h>
#include <crypto/crypto.h>
#include <crypto/hash.h>
#include <tools.h>
#include <wire/metrics.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define GATEWAY_PEER 5
#define ENGINE "engine-1"
#define WAIT_MS 5000
#define WORKERS 4 /* a quarter is not what half is */
#define IDLE_S 2

/* What a worker does when it is asked; each once, then it is good again. */
enum manner {
	GOOD,
	SILENT,       /* says nothing to CALL */
	DIE_AT_START, /* EXITED instead of READY */
	DIE_AT_LOAD,
	DIE_AT_CALL,
	OOM_AT_CALL,
	CLOSE_AT_CALL, /* lives on */
	LATE,          /* answers a call that nobody waits for */
	OTHER_ID,
	TWICE,
	TOO_LONG, /* output over the call's cap */
	BAD_STATUS,
	NOT_ASKED, /* a result to LOAD */
	OTHER_MODULE,
	CORRUPT,
	FULL,
	UNSUPPORTED,
	READY_AGAIN,
	GARBAGE,
	TRAPS,
	LOUD, /* all that it may say */
};

struct fake_worker {
	bool used;
	uint32_t slot;
	struct link *link;
	uint64_t silent_id;
	unsigned loads, calls;
};

struct fake_compile {
	bool used;
	int fds[ES_FDS_WASM_COMPILE];
};

struct fake_sandbox {
	bool used;
	int fds[ES_FDS_GVISOR];
};

static struct {
	uv_loop_t loop;
	struct process p;
	struct link *authority, *gateway, *spawner;
	struct metrics_page *metrics; /* the executor's */
	enum manner manner;
	unsigned manners; /* how many times */
	struct fake_worker workers[ES_WORKERS_MAX];
	bool keep_fd;
	int kept_fd;
	struct fake_compile compiles[ES_COMPILES_MAX];
	struct fake_sandbox sandboxes[8];
	unsigned starts, compile_starts, kills, unloads;
	bool keep_dead; /* KILL is not answered */
	char load_text[64], call_args[64], call_env[64];
	struct es_arm armed;
	/* The store. */
	struct span module, artefact, native;
	const char *engine;
	const char *env;
	enum error get_error;
	bool forged, cut, unsealed, mute_store, no_fd;
	unsigned gets, builts, rebuilts, dones, turn_ends;
	enum error kept_error;
	bool mute_kept;
	struct ae_done done;
	struct ae_built built;
	char built_manifest[64], built_engine[64], built_module[64], built_upload[512];
	struct ae_rebuilt rebuilt;
	/* Real workers, by a real spawner; what is built is what the store has. */
	bool real;
	struct process spawner_process;
	struct buf kept_upload, kept_artefact;
} world;

struct call {
	struct stream *stream;
	struct buf body;
	size_t sent;
	char sandbox[64];
	struct buf out, err;
	bool result, failed, closed;
	struct ge_result r;
	struct ge_failed f;
	char text[TOOL_REASON_MAX + 1];
	struct ge_open open;
	uint64_t opened_ns;
	double ms;
};

/* ---- the spawner ---- */

static inline enum manner
manner_at(enum manner a, enum manner b, enum manner c)
{
	enum manner is = world.manner;

	if (is == GOOD || world.manners == 0 || (is != a && is != b && is != c))
		return GOOD;
	world.manners--;
	return is;
}

static inline void
fake_exit(uint32_t slot, uint8_t ended, uint32_t wait_status)
{
	const struct es_exited m = { .slot = slot, .ended = ended, .wait_status = wait_status };
	struct fake_worker *w;

	if (slot >= ES_SANDBOXES_MAX && slot < ES_SANDBOXES_MAX + ES_WORKERS_MAX) {
		w = &world.workers[slot - ES_SANDBOXES_MAX];
		link_free(w->link);
		*w = (struct fake_worker){ .used = false };
	}
	if (slot < COUNT(world.sandboxes)) {
		for (size_t i = 0; i < ES_FDS_GVISOR; i++)
			cleanup_fd_(&world.sandboxes[slot].fds[i]);
		world.sandboxes[slot].used = false;
	}
	must(link_send(world.spawner, 0, ES_EXITED, &m));
}

static inline void
fake_compile_exit(
    uint32_t index, const char *artefact, const char *line, uint32_t wait_status, uint8_t ended)
{
	const struct es_exited m = { .slot = ES_SANDBOXES_MAX + ES_WORKERS_MAX + index,
		.ended = ended,
		.wait_status = wait_status };
	struct fake_compile *c = &world.compiles[index];

	assert_true(c->used);
	must(io_write_all(c->fds[1], span_str(artefact)));
	must(io_write_all(c->fds[2], span_str(line)));
	for (size_t i = 0; i < COUNT(c->fds); i++)
		(void)close(c->fds[i]);
	c->used = false;
	must(link_send(world.spawner, 0, ES_EXITED, &m));
}

static inline void
answer(struct fake_worker *w, uint64_t id, struct ew_result m)
{
	must(link_send(w->link, id, EW_RESULT, &m));
}

static inline void
on_load(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ew_module *m = msg;
	struct fake_worker *w = ctx;
	struct ew_loaded out = { m->module, E_OK };
	enum manner is = manner_at(DIE_AT_LOAD, NOT_ASKED, OTHER_MODULE);
	int fd = link_take_fd(l);
	size_t len = 0;

	if (is == GOOD)
		is = manner_at(CORRUPT, FULL, UNSUPPORTED);
	must(memfd_check(fd, TOOL_ARTEFACT_MAX, &len)); /* sealed, always */
	assert_true(len < sizeof(world.load_text));
	must(memfd_read(fd, 0, (uint8_t *)world.load_text, len));
	world.load_text[len] = '\0';
	(void)close(fd);
	w->loads++;
	if (is == DIE_AT_LOAD) {
		fake_exit(w->slot, ENDED_BY_ITSELF, SIGSEGV);
		return;
	}
	if (is == NOT_ASKED) {
		answer(w, id, (struct ew_result){ .status = RUN_EXIT, .output = SPAN_LIT("1") });
		return;
	}
	out.module += is == OTHER_MODULE;
	out.code = is == CORRUPT       ? E_CORRUPT
		   : is == FULL        ? E_FULL
		   : is == UNSUPPORTED ? E_UNSUPPORTED
				       : E_OK;
	must(link_send(l, id, EW_LOADED, &out));
}

static inline void
on_unload(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l, (void)id, (void)msg, (void)ctx;
	world.unloads++;
}

static inline void
send_odd(struct fake_worker *w, uint64_t id, enum manner is)
{
	static uint8_t much[TOOL_OUTPUT_MAX];
	struct ew_result m = { .status = RUN_EXIT, .output = SPAN_LIT("{}") };
	const struct ew_ready ready = { SPAN_LIT(ENGINE) };

	memset(much, 'x', sizeof(much));
	if (is == OTHER_ID)
		id += 2;
	if (is == TOO_LONG)
		m.output = span_of(much, sizeof(much));
	if (is == BAD_STATUS)
		m.status = RUN_CANCELLED;
	if (is == READY_AGAIN)
		must(link_send(w->link, 0, EW_READY, &ready));
	else
		answer(w, id, m);
	if (is == TWICE)
		answer(w, id, m);
}

static inline void
on_call(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	static uint8_t loud[TOOL_OUTPUT_MAX], louder[TOOL_STDERR_MAX];
	const struct ew_call *m = msg;
	struct fake_worker *w = ctx;
	enum manner is = world.manners > 0 ? world.manner : GOOD;
	struct ew_result r = {
		.status = RUN_EXIT, .output = m->arguments, .errors = SPAN_LIT("log")
	};

	(void)l;
	w->calls++;
	must(span_to_cstr(span_of(m->arguments.ptr, m->arguments.len < 60 ? m->arguments.len : 60),
	    world.call_args, sizeof(world.call_args)));
	assert_true(m->env.len < sizeof(world.call_env));
	if (m->env.len > 0)
		memcpy(world.call_env, m->env.ptr, m->env.len);
	if (is != GOOD)
		world.manners--;
	w->silent_id = id;
	if (is == SILENT || is == LATE)
		return;
	if (is == DIE_AT_CALL || is == OOM_AT_CALL) {
		fake_exit(w->slot, is == OOM_AT_CALL ? ENDED_MEMORY : ENDED_BY_ITSELF, SIGKILL);
		return;
	}
	if (is == CLOSE_AT_CALL) {
		link_free(w->link);
		w->link = NULL;
		return;
	}
	if (is == TRAPS)
		r = (struct ew_result){ .status = RUN_TRAP,
			.trap = SPAN_LIT("trap: out of \x1b[1mbounds\n") };
	if (is == LOUD) {
		memset(loud, 'o', sizeof(loud));
		memset(louder, 'e', sizeof(louder));
		r.status = RUN_OUTPUT;
		r.truncated = 1;
		r.output = span_of(loud, (size_t)m->output_kb << 10);
		r.errors = span_of(louder, sizeof(louder));
	}
	if (is == GOOD || is == TRAPS || is == LOUD)
		answer(w, id, r);
	else
		send_odd(w, id, is);
}

static inline void
on_worker_closed(struct link *l, struct status why, void *ctx)
{
	struct fake_worker *w = ctx;

	(void)why;
	link_free(l);
	w->link = NULL;
}

static const struct link_rule worker_rules[] = { { EW_LOAD, 0, on_load },
	{ EW_UNLOAD, 0, on_unload }, { EW_CALL, 0, on_call } };
static const struct link_ops worker_link_ops = { worker_rules, COUNT(worker_rules),
	on_worker_closed };

static inline void
start_worker(uint32_t slot, int fd)
{
	struct fake_worker *w = &world.workers[slot - ES_SANDBOXES_MAX];
	const struct ew_ready ready = { SPAN_LIT(ENGINE) };
	enum manner is = manner_at(DIE_AT_START, GARBAGE, GARBAGE);

	assert_false(w->used);
	*w = (struct fake_worker){ .used = true, .slot = slot };
	world.starts++;
	if (is == DIE_AT_START) {
		(void)close(fd);
		fake_exit(slot, ENDED_BY_ITSELF, 127U << 8);
		return;
	}
	if (is == GARBAGE) {
		must(io_write_all(fd, SPAN_LIT("\377\377\377\377 this is no frame of ours \n")));
		(void)close(fd);
		return;
	}
	if (world.keep_fd) /* its end stays open, read or not, until the test closes it */
		world.kept_fd = dup(fd);
	must(link_new(&world.loop, fd, &ew_edge, false, &worker_link_ops, w, &w->link));
	must(link_send(w->link, 0, EW_READY, &ready));
}

static inline void
on_start(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct es_start *m = msg;
	int fds[ES_FDS_GVISOR], n = 0;

	(void)id, (void)ctx;
	while (n < ES_FDS_GVISOR && (fds[n] = link_take_fd(l)) >= 0)
		n++;
	if (m->kind == SLOT_WASM_RUN) {
		assert_int_equal(n, ES_FDS_WASM_RUN);
		assert_true(m->slot >= ES_SANDBOXES_MAX);
		start_worker(m->slot, fds[0]);
	} else if (m->kind == SLOT_WASM_COMPILE) {
		struct fake_compile *c =
		    &world.compiles[m->slot - ES_SANDBOXES_MAX - ES_WORKERS_MAX];

		assert_int_equal(n, ES_FDS_WASM_COMPILE);
		assert_false(c->used);
		c->used = true;
		memcpy(c->fds, fds, sizeof(c->fds));
		world.compile_starts++;
	} else {
		assert_true(m->slot < COUNT(world.sandboxes) && n == ES_FDS_GVISOR);
		world.sandboxes[m->slot].used = true;
		memcpy(world.sandboxes[m->slot].fds, fds, sizeof(fds));
	}
}

static inline void
on_arm(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l, (void)id, (void)ctx;
	world.armed = *(const struct es_arm *)msg;
}

static inline void
on_kill(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct es_slot *m = msg;
	const uint32_t compile = ES_SANDBOXES_MAX + ES_WORKERS_MAX;

	(void)l, (void)id, (void)ctx;
	world.kills++;
	if (world.keep_dead)
		return;
	if (m->slot >= compile) {
		if (world.compiles[m->slot - compile].used)
			fake_compile_exit(m->slot - compile, "", "", SIGKILL, ENDED_KILLED);
	} else if (m->slot < ES_SANDBOXES_MAX ? world.sandboxes[m->slot].used
					      : world.workers[m->slot - ES_SANDBOXES_MAX].used) {
		fake_exit(m->slot, ENDED_KILLED, SIGKILL);
	}
}

static inline void
on_peer_closed(struct link *l, struct status why, void *ctx)
{
	(void)why;
	*(struct link **)ctx = NULL;
	link_free(l);
}

static const struct link_rule spawner_rules[] = { { ES_START, 0, on_start }, { ES_ARM, 0, on_arm },
	{ ES_KILL, 0, on_kill } };
static const struct link_ops spawner_ops = { spawner_rules, COUNT(spawner_rules), on_peer_closed };

/* ---- the authority ---- */

static inline int
part_fd(struct span bytes)
{
	int fd = -1;

	if (world.cut)
		bytes.len--;
	must(memfd_new("part", &fd));
	must(io_write_all(fd, bytes));
	if (!world.unsealed)
		must(memfd_seal(fd));
	return fd;
}

static inline void
on_get(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ae_artefact_get *m = msg;
	struct ae_artefact out = { .error = (uint16_t)world.get_error,
		.env = span_of(world.env, world.env == NULL ? 0 : strlen(world.env) + 1) };
	struct span bytes = m->part == PART_MODULE   ? world.module
			    : m->part == PART_NATIVE ? world.native
						     : world.artefact;
	auto_fd int fd = -1;

	(void)ctx;
	world.gets++;
	if (world.mute_store)
		return;
	if (m->part == PART_ARTEFACT)
		out.engine = span_str(world.engine);
	must(sha256(bytes, out.digest));
	if (world.forged)
		out.digest[0] ^= 1;
	if (world.get_error == ERROR_NONE && !world.no_fd)
		fd = part_fd(bytes);
	must(link_send_fds(l, id, AE_ARTEFACT, &out, &fd, fd >= 0));
}

static inline void
read_fd(int fd, char *text, size_t size)
{
	size_t len = 0;

	must(memfd_check(fd, size - 1, &len));
	must(memfd_read(fd, 0, (uint8_t *)text, len));
	text[len] = '\0';
}

static inline void
keep_fd(int fd, struct buf *out)
{
	size_t len = 0;

	must(memfd_check(fd, TOOL_ARTEFACT_MAX, &len));
	buf_done(out);
	*out = BUF_INIT(TOOL_ARTEFACT_MAX);
	must(buf_reserve(out, len + 1));
	must(memfd_read(fd, 0, out->ptr, len));
	out->len = len;
}

static inline void
keep_version(int upload, int artefact)
{
	static struct arena arena;
	struct tool_upload up;

	arena = ARENA_INIT(1U << 20);
	keep_fd(upload, &world.kept_upload);
	keep_fd(artefact, &world.kept_artefact);
	must(wire_decode(&tool_upload_table, buf_span(&world.kept_upload), &arena, &up));
	world.module = up.module;
	world.native = up.native;
	world.artefact = buf_span(&world.kept_artefact);
	world.engine = world.built_engine;
	arena_done(&arena);
}

static inline void
on_built(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ae_kept kept = { (uint16_t)world.kept_error, 9, 4 };
	auto_fd int upload = link_take_fd(l), artefact = link_take_fd(l);

	(void)ctx;
	world.builts++;
	world.built = *(const struct ae_built *)msg;
	must(
	    span_to_cstr(world.built.manifest, world.built_manifest, sizeof(world.built_manifest)));
	must(span_to_cstr(world.built.engine, world.built_engine, sizeof(world.built_engine)));
	if (world.real) {
		keep_version(upload, artefact);
	} else {
		read_fd(upload, world.built_upload, sizeof(world.built_upload));
		read_fd(artefact, world.built_module, sizeof(world.built_module));
	}
	if (!world.mute_kept)
		must(link_send(l, id, AE_KEPT, &kept));
}

static inline void
on_rebuilt(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct ae_kept kept = { ERROR_NONE, 9, 4 };
	auto_fd int fd = link_take_fd(l);
	size_t len;

	(void)ctx;
	must(memfd_check(fd, TOOL_ARTEFACT_MAX, &len));
	world.rebuilts++;
	world.rebuilt = *(const struct ae_rebuilt *)msg;
	must(link_send(l, id, AE_KEPT, &kept));
}

static inline void
on_done(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l, (void)id, (void)ctx;
	world.dones++;
	world.done = *(const struct ae_done *)msg;
}

static inline void
on_turn_ended(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l, (void)id, (void)msg, (void)ctx;
	world.turn_ends++;
}

static const struct link_rule authority_rules[] = { { AE_ARTEFACT_GET, 0, on_get },
	{ AE_BUILT, 0, on_built }, { AE_REBUILT, 0, on_rebuilt }, { AE_DONE, 0, on_done },
	{ AE_TURN_ENDED, 0, on_turn_ended } };
static const struct link_ops authority_ops = { authority_rules, COUNT(authority_rules),
	on_peer_closed };
static const struct link_ops gateway_ops = { NULL, 0, on_peer_closed };

/* ---- all of them ---- */

static inline void
connect_peer(enum edge edge, const struct wire_edge *wire, bool a_end, uint32_t id,
    const struct link_ops *ops, struct link **ret)
{
	const struct ctl_peer m = { .edge = (uint8_t)edge, .peer_id = id };
	int fds[2];

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
	must(link_send_fds(world.p.control, 0, CTL_PEER, &m, &fds[1], 1));
	(void)close(fds[1]);
	must(link_new(&world.loop, fds[0], wire, a_end, ops, ret, ret));
}

/* The two real ones, as the supervisor would. */
static inline void
world_join(void)
{
	struct ctl_peer m = { .edge = EDGE_EXECUTOR_SPAWNER, .peer_id = 2 };
	int fds[2];

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
	must(link_send_fds(world.p.control, 0, CTL_PEER, &m, &fds[0], 1));
	m.peer_id = 1;
	must(link_send_fds(world.spawner_process.control, 0, CTL_PEER, &m, &fds[1], 1));
	(void)close(fds[0]);
	(void)close(fds[1]);
}

static inline void
world_real_spawner(void)
{
	process_start(&world.spawner_process, &world.loop, "spawner");
	world_join();
	process_go(&world.spawner_process);
}

static inline void
world_spawner(void)
{
	connect_peer(EDGE_EXECUTOR_SPAWNER, &es_edge, false, 2, &spawner_ops, &world.spawner);
}

static inline void
world_authority(void)
{
	connect_peer(EDGE_AUTHORITY_EXECUTOR, &ae_edge, true, 3, &authority_ops, &world.authority);
}

static inline void
on_wake(uv_timer_t *t)
{
	(void)t;
}

/* Until it is true, WAIT_MS at most. */
#define until(what)                                                    \
	do {                                                           \
		uint64_t end_ = clock_mono_ns() + WAIT_MS * NS_PER_MS; \
		while (!(what) && clock_mono_ns() < end_)              \
			world_turn();                                  \
		assert_true(what);                                     \
	} while (0)

/* One turn of the loop, of 5 ms at most: the timer goes off again and again, or a late one would
 * be gone before the loop waits. */
static inline void
world_turn(void)
{
	static uv_timer_t wake;

	if (wake.loop == NULL) {
		(void)uv_timer_init(&world.loop, &wake);
		(void)uv_timer_start(&wake, on_wake, 5, 5);
	}
	(void)uv_run(&world.loop, UV_RUN_ONCE);
}

static inline void
world_wait(unsigned ms)
{
	uint64_t end = clock_mono_ns() + ms * NS_PER_MS;

	while (clock_mono_ns() < end)
		world_turn();
}

static inline void
world_metrics(void)
{
	const struct ctl_fd m = { SPAN_LIT("metrics") };
	void *page;
	int fd;

	must(memfd_new("metrics", &fd));
	assert_int_equal(ftruncate(fd, METRICS_PAGE_LEN), 0);
	page = mmap(NULL, METRICS_PAGE_LEN, PROT_READ, MAP_SHARED, fd, 0);
	assert_true(page != MAP_FAILED);
	world.metrics = page;
	must(link_send_fds(world.p.control, 0, CTL_FD, &m, &fd, 1));
	(void)close(fd);
}

static inline void
world_executor(void)
{
	process_start(&world.p, &world.loop, "executor");
	world_metrics();
	world_authority();
	connect_peer(
	    EDGE_GATEWAY_EXECUTOR, &ge_edge, true, GATEWAY_PEER, &gateway_ops, &world.gateway);
}

static inline int
world_open(void **state)
{
	static struct buf slice;
	static const char *const keys[] = { "sandboxes", "wasm", "limits", NULL };
	char yaml[512], error[CONF_ERROR_MAX] = "";
	struct conf *conf = NULL;

	(void)state;
	must(crypto_init());
	(void)snprintf(yaml, sizeof(yaml),
	    "policies: { default: { endpoints: \"*\", models: \"*\", tools: \"*\", "
	    "languages: \"*\" } }\n"
	    "engines: { runsc: /bin/true, image: /bin/true, manifest: /bin/true }\n"
	    "sandboxes: { sh: { pool: %u, memory_mb: 512, wall_s: 9 } }\n"
	    "wasm: { workers: %u, idle_s: %u }\n",
	    world.real ? 0 : 1, WORKERS, IDLE_S);
	if (!is_ok(conf_parse(span_str(yaml), &conf, error)))
		print_error("%s\n", error);
	assert_non_null(conf);
	slice = BUF_INIT(CONF_SLICE_MAX);
	must(conf_slice(conf, keys, &slice));
	process_config = buf_span(&slice);
	conf_free(conf);
	(void)uv_loop_init(&world.loop);
	world_executor();
	if (world.real)
		world_real_spawner();
	else
		world_spawner();
	process_go(&world.p);
	return 0;
}

static inline int
world_close(void **state)
{
	int status = process_drain(&world.p);

	(void)state;
	return world.real ? status | process_drain(&world.spawner_process) : status;
}

/* As new: idle workers stay. */
static inline int
world_reset(void **state)
{
	(void)state;
	world.manner = GOOD;
	world.manners = world.starts = world.compile_starts = world.kills = 0;
	world.unloads = world.gets = world.builts = world.rebuilts = world.dones = world.turn_ends =
	    0;
	world.get_error = world.kept_error = ERROR_NONE;
	world.forged = world.cut = world.unsealed = world.mute_store = world.no_fd = false;
	world.mute_kept = world.keep_dead = false;
	if (world.real)
		return 0; /* its store has what was pushed */
	world.module = SPAN_LIT("\0asm module");
	world.artefact = SPAN_LIT("compiled");
	world.native = SPAN_LIT("#!/bin/sh\ncat\n");
	world.engine = ENGINE;
	world.env = NULL;
	return 0;
}

/* ---- the gateway ---- */

static inline void
on_call_msg(struct stream *s, uint16_t type, const void *msg, void *ctx)
{
	const struct ge_started *started = msg;
	struct call *c = ctx;

	(void)s;
	if (type == GE_STARTED)
		must(span_to_cstr(started->sandbox, c->sandbox, sizeof(c->sandbox)));
	if (type == GE_RESULT) {
		c->result = true;
		c->r = *(const struct ge_result *)msg;
		must(span_to_cstr(c->r.trap, c->text, sizeof(c->text)));
	}
	if (type == GE_FAILED) {
		c->failed = true;
		c->f = *(const struct ge_failed *)msg;
		must(span_to_cstr(c->f.reason, c->text, sizeof(c->text)));
	}
	if (type != GE_STARTED)
		c->ms = (double)(clock_mono_ns() - c->opened_ns) / 1e6;
}

static inline void
on_call_data(struct stream *s, uint8_t channel, struct span data, void *ctx)
{
	struct call *c = ctx;

	stream_consumed(s, data.len);
	must(buf_put_span(channel == RUN_STDOUT ? &c->out : &c->err, data));
}

static inline void
on_call_end(struct stream *s, void *ctx)
{
	(void)s, (void)ctx;
}

static inline void
write_call(struct stream *s, void *ctx)
{
	struct call *c = ctx;
	size_t taken = 0;

	if (c->sent == c->body.len)
		return;
	must(stream_write(s, RUN_REQUEST, span_from(buf_span(&c->body), c->sent), &taken));
	c->sent += taken;
	if (c->sent == c->body.len)
		stream_end(s);
}

static inline void
on_call_closed(struct stream *s, struct status why, void *ctx)
{
	struct call *c = ctx;

	(void)s, (void)why;
	c->stream = NULL;
	c->closed = true;
}

static const struct stream_ops call_ops = { .on_msg = on_call_msg,
	.on_data = on_call_data,
	.on_end = on_call_end,
	.on_writable = write_call,
	.on_closed = on_call_closed };

static inline void
open_with(struct call *c, struct grant *g)
{
	g->gateway = GATEWAY_PEER;
	g->expires_ms = 5000;
	if (g->tenant.len == 0)
		g->tenant = SPAN_LIT("acme");
	g->user = SPAN_LIT("ann");
	g->target = SPAN_LIT("adder");
	g->body_len = (uint32_t)c->body.len;
	must(sha256(buf_span(&c->body), g->digest));
	must(rand_bytes(g->grant, sizeof(g->grant)));
	c->open.body_len = g->body_len;
	memcpy(c->open.grant, g->grant, sizeof(c->open.grant));
	c->opened_ns = clock_mono_ns();
	must(link_send(world.authority, 0, AE_GRANT, g));
	link_flush(world.authority);
	must(stream_open(world.gateway, GE_OPEN, &c->open, &call_ops, c, &c->stream));
	write_call(c->stream, c);
}

static inline void
call_init(struct call *c)
{
	*c = (struct call){ .stream = NULL };
	c->body = BUF_INIT(RUN_BLOB_MAX);
	c->out = c->err = BUF_INIT(RUN_BLOB_MAX);
}

/* The grant that the authority would give for the tool in its store. */
static inline struct grant
tool_grant(void)
{
	struct grant g = { .kind = GRANT_TOOL,
		.turn = 7,
		.tool = { .id = 9,
		    .version = 4,
		    .sandbox = TOOL_WASM,
		    .time_ms = 200,
		    .memory_mb = 64,
		    .output_kb = 16 } };

	must(sha256(world.artefact, g.tool.artefact));
	return g;
}

static inline void
call_open(struct call *c, struct grant *g, struct span arguments)
{
	const struct tool_request req = { arguments };

	call_init(c);
	must(wire_encode(&tool_request_table, &req, &c->body));
	open_with(c, g);
}

static inline void
call_done(struct call *c)
{
	if (c->stream != NULL)
		stream_cancel(c->stream, 0);
	buf_done(&c->body);
	buf_done(&c->out);
	buf_done(&c->err);
}

static inline bool
call_over(const struct call *c)
{
	return c->result || c->failed || c->closed;
}

/* One call from its grant to its answer. */
static inline void
call_once(struct call *c, struct grant *g, const char *arguments)
{
	call_open(c, g, span_str(arguments));
	until(call_over(c));
}

static inline bool
says(const struct buf *b, const char *text)
{
	return span_eq_str(buf_span(b), text);
}

#endif
