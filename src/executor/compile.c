/* SPDX-License-Identifier: Apache-2.0 */
/*
 * compile.c: from a module to a compiled file, in a process of its own each time.
 *
 * Runs in: the executor. Trusts: the spawner. What the compiler's process says is judged:
 * its file's length, its line's bytes; that the file is what the module means is its word,
 * which nobody else can check, so it has nothing but that one module.
 * Owns: the files and the pipe of each. Invariants: ES_COMPILES_MAX at once, of one tenant only
 * one, so that nobody's bombs hold all; BUILDS_MAX and the artefacts' own wait, and tenants take
 * turns; time, CPU and memory are the slot's; a module that breaks its compiler ends that process
 * and is refused.
 * See: wire/executor_spawner.h, WASM_COMPILE.
 */
#include "tools.h"

#include <base/cleanup.h>
#include <base/memfd.h>
#include <crypto/hash.h>

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define COMPILES_WAITING_MAX (BUILDS_MAX + ARTEFACTS_MAX)
#define SLOT_FIRST (ES_SANDBOXES_MAX + ES_WORKERS_MAX)
#define REASON_EXIT 1 /* of a compiler that wrote why */

struct compile {
	TAILQ_ENTRY(compile) entry; /* waits */
	struct executor *ex;
	char tenant[TENANT_MAX + 1];
	compile_done *cb; /* NULL: nobody wants it any more */
	void *ctx;
	uint32_t slot; /* 0: waits */
	int module;
	int artefact;
	int line; /* read end */
};

static void step(struct executor *ex);
static struct status start(struct compile *c, uint32_t index);
static struct status send_start(struct compile *c);
static void judge(struct compile *c, const struct es_exited *m, struct compiled *out);
static struct status take_artefact(struct compile *c, struct compiled *out);
static void read_line(const struct compile *c, char out[TOOL_REASON_MAX + 1]);
static void done(struct compile *c, struct compiled *out);
static void fail_with(struct compile *c, enum error error);

struct status
compile_start(struct executor *ex, const char tenant[TENANT_MAX + 1], int module, compile_done *cb,
    void *ctx, struct compile **ret)
{
	struct compile *c = ex->tools->ncompiles < COMPILES_WAITING_MAX ? calloc(1, sizeof(*c))
									: NULL;

	if (c == NULL) {
		(void)close(module);
		return fail(E_FULL);
	}
	*c = (struct compile){
		.ex = ex, .cb = cb, .ctx = ctx, .module = module, .artefact = -1, .line = -1
	};
	memcpy(c->tenant, tenant, sizeof(c->tenant));
	TAILQ_INSERT_TAIL(&ex->tools->compiles, c, entry);
	ex->tools->ncompiles++;
	*ret = c;
	step(ex);
	return OK;
}

void
compile_cancel(struct compile *c)
{
	struct es_slot m;

	if (c == NULL)
		return;
	c->cb = NULL;
	if (c->slot == 0) {
		done(c, NULL);
		return;
	}
	m.slot = c->slot;
	spawner_send(c->ex, ES_KILL, &m);
}

static bool
is_compiling_of(const struct tools *t, const char *tenant)
{
	for (uint32_t i = 0; i < ES_COMPILES_MAX; i++) {
		if (t->compiling[i] != NULL && strcmp(t->compiling[i]->tenant, tenant) == 0)
			return true;
	}
	return false;
}

/* The first that waits, of a tenant that has none at work. */
static struct compile *
find_next(struct tools *t)
{
	struct compile *c;

	TAILQ_FOREACH(c, &t->compiles, entry)
	{
		if (!is_compiling_of(t, c->tenant))
			return c;
	}
	return NULL;
}

/* The tenant has had its turn: what else it wants comes after the others'. */
static void
go_last(struct tools *t, const char *tenant)
{
	const struct compile *last = TAILQ_LAST(&t->compiles, compile_queue);
	struct compile *c, *next;
	bool more = last != NULL;

	for (c = TAILQ_FIRST(&t->compiles); more; c = next) {
		next = TAILQ_NEXT(c, entry);
		more = c != last;
		if (strcmp(c->tenant, tenant) != 0)
			continue;
		TAILQ_REMOVE(&t->compiles, c, entry);
		TAILQ_INSERT_TAIL(&t->compiles, c, entry);
	}
}

/* One that cannot be started is refused, and the next one tried: nobody waits for an end to come.
 */
static void
step(struct executor *ex)
{
	struct tools *t = ex->tools;
	struct compile *c;
	struct status st;

	for (uint32_t i = 0; i < ES_COMPILES_MAX; i++) {
		while (ex->spawner != NULL && t->compiling[i] == NULL && !t->compile_stuck[i] &&
		       (c = find_next(t)) != NULL) {
			st = start(c, i);
			if (is_ok(st))
				break;
			diag(DIAG_ERROR, "compiler: %s", status_text(st));
			c->slot = 0;
			fail_with(c, ERROR_OVERLOADED);
		}
	}
}

static struct status
start(struct compile *c, uint32_t index)
{
	c->slot = SLOT_FIRST + index;
	TRY(send_start(c));
	TAILQ_REMOVE(&c->ex->tools->compiles, c, entry);
	c->ex->tools->compiling[index] = c;
	return OK;
}

static struct status
send_start(struct compile *c)
{
	const struct es_start m = { .slot = c->slot,
		.kind = SLOT_WASM_COMPILE,
		.memory_mb = COMPILE_MEMORY_MB,
		.pids = COMPILE_PIDS,
		.background = 1 };
	const struct es_arm arm = { c->slot, COMPILE_MS, COMPILE_CPU_MS, 0 };
	auto_fd int write_end = -1;
	int ends[2], fds[ES_FDS_WASM_COMPILE];

	TRY(memfd_new("compiled", &c->artefact));
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
		return fail_errno();
	c->line = ends[0];
	write_end = ends[1];
	/* Whoever reads it, and how, begins at its beginning. */
	if (lseek(c->module, 0, SEEK_SET) != 0)
		return fail_errno();
	fds[0] = c->module;
	fds[1] = c->artefact;
	fds[2] = write_end;
	TRY(link_send_fds(c->ex->spawner, 0, ES_START, &m, fds, ES_FDS_WASM_COMPILE));
	spawner_send(c->ex, ES_ARM, &arm);
	daemon_metric_add(METRIC_COMPILES, 1);
	return OK;
}

void
compile_exited(struct executor *ex, const struct es_exited *m)
{
	struct tools *t = ex->tools;
	const uint32_t index = m->slot - SLOT_FIRST;
	struct compiled out = { .fd = -1 };
	struct compile *c;

	if (t->compiling[index] == NULL)
		diag_fatal("spawner broke the protocol: slot %u ended twice", m->slot);
	c = t->compiling[index];
	t->compiling[index] = NULL;
	t->compile_stuck[index] = m->stuck != 0;
	go_last(t, c->tenant);
	judge(c, m, &out);
	done(c, &out);
	step(ex);
}

static void
refuse(struct compiled *out, enum error error, const char *reason)
{
	out->error = error;
	reason_clean(span_str(reason), out->reason);
}

static void
judge(struct compile *c, const struct es_exited *m, struct compiled *out)
{
	const int status = (int)m->wait_status;

	if (m->failed_start) {
		refuse(out, ERROR_UNAVAILABLE, "the compiler did not start");
		return;
	}
	if (m->ended == ENDED_MEMORY) {
		refuse(out, ERROR_TOOL_INVALID, "module: it takes too much memory to compile");
		return;
	}
	if (m->ended == ENDED_CPU || m->ended == ENDED_WALL) {
		refuse(out, ERROR_TOOL_INVALID, "module: it takes too long to compile");
		return;
	}
	if (m->ended == ENDED_KILLED) {
		refuse(out, ERROR_CANCELLED, "");
		return;
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == REASON_EXIT) {
		out->error = ERROR_TOOL_INVALID;
		read_line(c, out->reason);
		return;
	}
	/* Its own limits end it by a signal, too. */
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		diag(DIAG_WARN, "the compiler ended with status %#x", m->wait_status);
		refuse(out, ERROR_TOOL_INVALID, "module: it takes too much to compile");
		return;
	}
	if (!is_ok(take_artefact(c, out))) {
		diag(DIAG_ERROR, "the compiler said that it was done, and was not");
		refuse(out, ERROR_INTERNAL, "");
	}
}

static struct status
take_artefact(struct compile *c, struct compiled *out)
{
	char line[TOOL_REASON_MAX + 1];
	struct status st;
	void *map;

	read_line(c, line);
	if (line[0] == '\0')
		return fail(E_PROTO);
	TRY(span_to_cstr(span_str(line), out->engine, sizeof(out->engine)));
	TRY(memfd_seal(c->artefact));
	TRY(memfd_check(c->artefact, TOOL_ARTEFACT_MAX, &out->len));
	if (out->len == 0)
		return fail(E_PROTO);
	map = mmap(NULL, out->len, PROT_READ, MAP_SHARED, c->artefact, 0);
	if (map == MAP_FAILED)
		return fail_errno();
	st = sha256(span_of(map, out->len), out->digest);
	(void)munmap(map, out->len);
	if (is_ok(st))
		out->fd = fd_take(&c->artefact);
	return st;
}

/* The first line of what it wrote, without its end. */
static void
read_line(const struct compile *c, char out[TOOL_REASON_MAX + 1])
{
	char text[TOOL_REASON_MAX];
	ssize_t n = read(c->line, text, sizeof(text));
	struct span line = span_of(text, n > 0 ? (size_t)n : 0);
	const uint8_t *end = n > 0 ? memchr(line.ptr, '\n', line.len) : NULL;

	if (end != NULL)
		line.len = (size_t)(end - line.ptr);
	reason_clean(line, out);
}

/* `out`: what became of it; NULL where nobody is to be told. */
static void
done(struct compile *c, struct compiled *out)
{
	struct tools *t = c->ex->tools;

	if (c->slot == 0)
		TAILQ_REMOVE(&t->compiles, c, entry);
	t->ncompiles--;
	cleanup_fd_(&c->module);
	if (out != NULL && c->cb != NULL)
		c->cb(c->ctx, out);
	if (out != NULL)
		cleanup_fd_(&out->fd);
	cleanup_fd_(&c->artefact);
	cleanup_fd_(&c->line);
	free(c);
}

static void
fail_with(struct compile *c, enum error error)
{
	struct compiled out = { .error = error, .fd = -1 };

	done(c, &out);
}

void
compile_spawner(struct executor *ex, bool there)
{
	struct tools *t = ex->tools;

	for (uint32_t i = 0; i < ES_COMPILES_MAX; i++) {
		struct compile *c = t->compiling[i];

		t->compiling[i] = NULL;
		t->compile_stuck[i] = false;
		if (c != NULL)
			fail_with(c, ERROR_UNAVAILABLE);
	}
	if (there)
		step(ex);
}
