/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_EXECUTOR_WORLD_SPAWNER_H
#define TESTS_EXECUTOR_WORLD_SPAWNER_H

/*
 * The spawner of executor_world.h, whose workers and compilers do as they are told.
 */
#include "executor_world_state.h"

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

static const struct link_rule spawner_rules[] = { { ES_START, 0, on_start }, { ES_ARM, 0, on_arm },
	{ ES_KILL, 0, on_kill } };
static const struct link_ops spawner_ops = { spawner_rules, COUNT(spawner_rules), on_peer_closed };

#endif
