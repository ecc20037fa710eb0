/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_EXECUTOR_WORLD_H
#define TESTS_EXECUTOR_WORLD_H

/*
 * The real executor, jail and all, between an authority with one tool in its store, a
 * gateway, and a spawner whose workers do as they are told.
 */
#include "executor_world_authority.h"
#include "executor_world_calls.h"
#include "executor_world_spawner.h"

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

#endif
