/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_EXECUTOR_WORLD_AUTHORITY_H
#define TESTS_EXECUTOR_WORLD_AUTHORITY_H

/*
 * The authority of executor_world.h, with one tool in its store.
 */
#include "executor_world_state.h"

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

#endif
