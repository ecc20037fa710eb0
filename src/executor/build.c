/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build.c: a new version of a tool: looked at, compiled, handed to the store.
 *
 * Runs in: the executor. Trusts: a grant, and of the upload that it has the granted digest.
 * Owns: the upload and the compiled module as sealed memory files.
 * Invariants: nothing of an upload runs here; BUILDS_MAX at once, and BUILDS_PER_TENANT_MAX of
 * one tenant; the gateway hears of a version only when the store has it.
 * See: wire/authority_executor.h, BUILT; compile.c; native.c.
 */
#include "tools.h"

#include <base/cleanup.h>
#include <base/clock.h>
#include <base/memfd.h>
#include <crypto/hash.h>

#include <stdlib.h>

struct build {
	struct run *run;
	struct compile *compile;
	uint64_t call; /* BUILT, for KEPT; 0: not asked */
	int upload;
	int artefact;
	struct buf manifest;
	char engine[TOOL_ENGINE_MAX + 1];
	struct ae_built m;
};

static struct status prepare(struct build *b, const struct tool_upload *up);
static void on_compiled(void *ctx, struct compiled *c);
static void hand_over(struct build *b);
static void on_kept(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx);

static void
refuse(struct run *r, enum error error, const char *reason)
{
	const bool busy = error == ERROR_OVERLOADED;

	daemon_metric_add(METRIC_BUILDS_REFUSED, 1);
	run_refuse_why(r, error, busy ? QUEUE_RETRY_MS : 0, reason);
}

static uint32_t
builds_of(const struct executor *ex, const char *tenant)
{
	const struct run *r;
	uint32_t n = 0;

	TAILQ_FOREACH(r, &ex->runs, all)
	n += r->build != NULL && strcmp(r->grant.tenant, tenant) == 0;
	return n;
}

static struct build *
build_new(struct run *r)
{
	struct build *b;

	if (r->ex->tools->nbuilds >= BUILDS_MAX ||
	    builds_of(r->ex, r->grant.tenant) >= BUILDS_PER_TENANT_MAX)
		return NULL;
	b = calloc(1, sizeof(*b));
	if (b == NULL)
		return NULL;
	b->run = r;
	b->upload = b->artefact = -1;
	b->manifest = BUF_INIT(TOOL_MANIFEST_MAX);
	r->build = b;
	r->ex->tools->nbuilds++;
	return b;
}

void
build_begin(struct run *r)
{
	struct tool_upload up = { .manifest = SPAN_EMPTY };
	struct build *b;
	const char *fault = NULL;
	int module = -1;

	daemon_metric_add(METRIC_BUILDS, 1);
	r->started_ns = clock_mono_ns();
	if (!is_ok(wire_decode(&tool_upload_table, buf_span(&r->body), &r->arena, &up))) {
		refuse(r, ERROR_GRANT, "");
		return;
	}
	if (up.module.len == 0 && up.native.len == 0)
		fault = "upload: neither a module nor a native part";
	else if (up.native.len > 0)
		fault = native_fault(up.native);
	if (fault != NULL) {
		refuse(r, ERROR_TOOL_INVALID, fault);
		return;
	}
	b = build_new(r);
	if (b == NULL || !is_ok(prepare(b, &up)) ||
	    (up.module.len > 0 && !is_ok(memfd_of("module", up.module, &module)))) {
		refuse(r, ERROR_OVERLOADED, "");
		return;
	}
	run_drop_body(r);
	if (up.module.len == 0)
		hand_over(b);
	else if (!is_ok(compile_start(r->ex, r->grant.tenant, module, on_compiled, b, &b->compile)))
		refuse(r, ERROR_OVERLOADED, "");
}

/* All that is told of it, and the upload itself: its bytes are dropped before they are compiled. */
static struct status
prepare(struct build *b, const struct tool_upload *up)
{
	const struct run *r = b->run;

	b->m = (struct ae_built){ .turn = r->grant.turn,
		.parts = (uint8_t)((up->module.len > 0 ? TOOL_HAS_MODULE : 0) |
				   (up->native.len > 0 ? TOOL_HAS_NATIVE : 0)),
		.module_size = (uint32_t)up->module.len,
		.native_size = (uint32_t)up->native.len };
	memcpy(b->m.grant, r->grant.id, sizeof(b->m.grant));
	memcpy(b->m.digest, r->grant.digest, sizeof(b->m.digest));
	if (up->native.len > 0)
		TRY(sha256(up->native, b->m.native));
	TRY(buf_put_span(&b->manifest, up->manifest));
	return memfd_of("upload", buf_span(&r->body), &b->upload);
}

static void
on_compiled(void *ctx, struct compiled *c)
{
	struct build *b = ctx;

	b->compile = NULL;
	if (c->error != ERROR_NONE) {
		refuse(b->run, c->error, c->reason);
		return;
	}
	b->artefact = fd_take(&c->fd);
	memcpy(b->m.artefact, c->digest, sizeof(b->m.artefact));
	memcpy(b->engine, c->engine, sizeof(b->engine));
	hand_over(b);
}

static void
hand_over(struct build *b)
{
	struct link *l = b->run->ex->authority;
	struct status st = OK;
	int fds[2];

	if (b->artefact < 0)
		st = memfd_of("artefact", SPAN_EMPTY, &b->artefact);
	fds[0] = b->upload;
	fds[1] = b->artefact;
	b->m.manifest = buf_span(&b->manifest);
	b->m.engine = span_str(b->engine);
	if (is_ok(st) && l == NULL)
		st = fail(E_CLOSED);
	if (is_ok(st))
		st = link_call_fds(l, AE_BUILT, &b->m, fds, 2, KEEP_MS, on_kept, b, &b->call);
	if (is_ok(st))
		return;
	diag(DIAG_ERROR, "a version of a tool cannot be handed over: %s", status_text(st));
	refuse(b->run, ERROR_UNAVAILABLE, "");
}

static void
on_kept(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	const struct ae_kept *m = msg;
	struct build *b = ctx;

	(void)l;
	b->call = 0;
	if (!is_ok(st) || type != AE_KEPT) {
		refuse(b->run, ERROR_UNAVAILABLE, "");
		return;
	}
	if (m->error != ERROR_NONE) {
		refuse(b->run, (enum error)m->error, "");
		return;
	}
	b->run->version = m->version;
	run_result(b->run, (struct run_outcome){ RUN_EXIT, 0 });
}

void
build_end(struct run *r)
{
	struct build *b = r->build;

	if (b == NULL)
		return;
	r->build = NULL;
	r->ex->tools->nbuilds--;
	compile_cancel(b->compile);
	if (b->call != 0 && r->ex->authority != NULL)
		link_call_cancel(r->ex->authority, b->call);
	cleanup_fd_(&b->upload);
	cleanup_fd_(&b->artefact);
	buf_done(&b->manifest);
	free(b);
}
