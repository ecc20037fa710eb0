/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tool_parts.c: versions from the executor to the store, and their parts back.
 *
 * Runs in: authority. Trusts: the executor about what it compiled, no further than its
 * grants: it may hand over what a BUILD grant names, and ask for what a call that was
 * granted runs. The store about what is durable. Owns: a version until it is kept.
 * Invariants: descriptors pass through unread; a manifest is parsed here again, so that
 * what is shown and enforced does not depend on whoever parsed it before.
 * See: wire/authority_executor.h, wire/authority_store.h.
 */
#include "authority.h"

#include <stdlib.h>

#include <base/arena.h>
#include <base/cleanup.h>
#include <crypto/crypto.h>
#include <manifest/manifest.h>

#define ARENA_MAX (4U << 20) /* a manifest with both schemas compiled */

static void on_kept(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx);
static void on_part(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx);
static void on_rebuilt(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx);

/* A question of the executor that waits for store or audit. */
struct asked {
	struct authority *a;
	uint32_t executor; /* peer id */
	uint64_t id;
	struct turn *turn;            /* BUILT; held by its count of acks */
	struct tool_version *version; /* BUILT: not in the table yet; else held */
	struct as_tool_rebuilt rebuilt;
	char engine[TOOL_ENGINE_MAX + 1];
	int fd; /* REBUILT, until it is recorded; else -1 */
};

static struct status
asked_new(struct authority *a, uint64_t id, struct asked **ret)
{
	struct asked *q = calloc(1, sizeof(*q));

	if (q == NULL)
		return fail(E_NOMEM);
	q->a = a;
	q->executor = a->executor.peer_id;
	q->id = id;
	q->fd = -1;
	*ret = q;
	return OK;
}

static void
asked_free(struct asked *q)
{
	if (q->fd >= 0)
		(void)close(q->fd);
	free(q);
}

/* Only to the executor that asked; another one has asked nothing. */
static void
answer(const struct asked *q, uint16_t type, const void *msg, int fd)
{
	const struct peer *p = &q->a->executor;
	struct status st;

	if (p->link == NULL || p->peer_id != q->executor)
		return;
	st = link_send_fds(p->link, q->id, type, msg, &fd, fd >= 0 ? 1 : 0);
	if (!is_ok(st))
		diag(DIAG_WARN, "executor: an answer about a tool could not be sent");
	link_flush(p->link);
}

static void
refuse_kept(struct link *l, uint64_t id, enum error error)
{
	const struct ae_kept m = { .error = (uint16_t)error };

	if (!is_ok(link_send(l, id, AE_KEPT, &m)))
		diag(DIAG_WARN, "executor: an answer about a tool could not be sent");
}

static enum error
error_of(enum code code)
{
	if (code == E_OK)
		return ERROR_NONE;
	if (code == E_FULL)
		return ERROR_TOOL_COUNT;
	return code == E_NOTFOUND ? ERROR_TOOL_NOT_FOUND : ERROR_UNAVAILABLE;
}

/* ---- a new version ---- */

/* The push whose grant this is, if it is still due. */
static struct turn *
push_of(struct authority *a, const struct ae_built *m)
{
	struct turn *t = turn_find(a, m->turn);
	const struct run *r = t == NULL ? NULL : &t->run;

	if (r == NULL || r->kind != RUN_OF_BUILD || !r->open || !r->granted || r->done ||
	    r->storing || r->use.version != 0 || t->state == TURN_ENDING ||
	    t->state == TURN_CLOSING ||
	    !crypto_eq(span_of(r->grant, GRANT_LEN), span_of(m->grant, GRANT_LEN)) ||
	    memcmp(r->digest, m->digest, DIGEST_LEN) != 0)
		return NULL;
	return t;
}

/* Is it what was granted, and may it be? */
static enum error
built_check(struct turn *t, const struct ae_built *m)
{
	auto_arena struct arena arena = ARENA_INIT(ARENA_MAX);
	const struct run *r = &t->run;
	struct manifest manifest;

	if (!is_ok(manifest_parse(m->manifest, &arena, &manifest, NULL)) ||
	    !span_eq_str(manifest.name, r->name) || m->parts != r->parts)
		return ERROR_TOOL_INVALID;
	return tools_decide_push(t->a, t->key, span_str(r->name), m->parts);
}

static struct as_tool
version_of(const struct turn *t, const struct ae_built *m)
{
	struct as_tool v = { .tenant = t->key->user->tenant,
		.user = t->key->user->name,
		.name = span_str(t->run.name),
		.parts = m->parts,
		.engine = m->engine,
		.module_size = m->module_size,
		.native_size = m->native_size,
		.created_s = now_real_s(),
		.manifest = m->manifest };

	memcpy(v.digest, m->digest, DIGEST_LEN);
	memcpy(v.artefact, m->artefact, DIGEST_LEN);
	memcpy(v.native, m->native, DIGEST_LEN);
	return v;
}

static struct status
built_store(struct turn *t, uint64_t id, const struct ae_built *m, const int fds[2])
{
	struct authority *a = t->a;
	const struct as_tool v = version_of(t, m);
	struct asked *q = NULL;
	struct status st;

	if (a->store.link == NULL)
		return fail(E_CLOSED);
	TRY(asked_new(a, id, &q));
	st = tool_version_new(&v, &q->version);
	if (is_ok(st))
		st = link_call_fds(
		    a->store.link, AS_TOOL_PUT, &v, fds, 2, TOOL_STORE_WAIT_MS, on_kept, q, NULL);
	if (!is_ok(st)) {
		tool_version_free(q->version);
		asked_free(q);
		return st;
	}
	q->turn = t;
	t->run.storing = true;
	t->acks++;
	return OK;
}

void
tools_on_built(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	auto_fd int upload = link_take_fd(l), artefact = link_take_fd(l);
	const int fds[2] = { upload, artefact };
	struct peer *peer = ctx;
	const struct ae_built *m = msg;
	struct turn *t = push_of(peer->a, m);
	enum error error = ERROR_GRANT;
	struct status st;

	if (t != NULL && upload >= 0 && artefact >= 0)
		error = built_check(t, m);
	if (error == ERROR_NONE) {
		st = built_store(t, id, m, fds);
		error = is_ok(st) ? ERROR_NONE : error_of(st.code);
	}
	if (error != ERROR_NONE)
		refuse_kept(l, id, error);
}

/* The version is durable: now it is in the table, too. */
static enum error
keep(struct asked *q, const struct as_tool_kept *m)
{
	struct run *r = &q->turn->run;
	struct status st;

	q->version->id = m->id;
	q->version->version = m->version;
	r->use.version = m->version;
	memcpy(r->tool_digest, q->version->digest, DIGEST_LEN);
	st = tools_add(q->a, q->turn->key->user, span_str(r->name), q->version, true, false);
	if (is_ok(st))
		return ERROR_NONE;
	diag(DIAG_ERROR, "a tool's version is kept, but not in the table: %s", status_text(st));
	tool_version_free(q->version);
	return ERROR_UNAVAILABLE;
}

static void
on_kept(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	struct asked *q = ctx;
	struct turn *t = q->turn;
	const struct as_tool_kept *m = msg;
	struct ae_kept kept = { .error = ERROR_UNAVAILABLE };

	(void)l;
	if (is_ok(st) && type == AS_TOOL_KEPT)
		kept.error = (uint16_t)error_of((enum code)m->code);
	else
		t->run.unknown = true; /* it may be there: the next LOAD tells */
	if (kept.error == ERROR_NONE) {
		kept.id = m->id;
		kept.version = m->version;
		kept.error = (uint16_t)keep(q, m);
	} else {
		tool_version_free(q->version);
	}
	answer(q, AE_KEPT, &kept, -1);
	asked_free(q);
	t->run.storing = false;
	t->acks--;
	(void)turn_event(t, t->acks == 0 ? TURN_EV_ACKS : TURN_EV_RUN_DONE, NULL);
}

/* ---- parts, for a call that was granted ---- */

static struct tool_version *
callable(struct authority *a, uint64_t id)
{
	struct tool_version *v = tools_by_id(&a->tools, id);

	return v != NULL && v->calls > 0 ? v : NULL;
}

static void
refuse_artefact(struct link *l, uint64_t id, enum error error)
{
	const struct ae_artefact m = { .error = (uint16_t)error };

	if (!is_ok(link_send(l, id, AE_ARTEFACT, &m)))
		diag(DIAG_WARN, "executor: an answer about a tool could not be sent");
}

void
tools_on_artefact_get(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct peer *peer = ctx;
	struct authority *a = peer->a;
	const struct ae_artefact_get *m = msg;
	const struct as_tool_get get = { .id = m->id, .part = m->part };
	struct tool_version *v = callable(a, m->id);
	struct asked *q = NULL;
	struct status st;

	if (v == NULL) {
		refuse_artefact(l, id, ERROR_GRANT);
		return;
	}
	st = asked_new(a, id, &q);
	if (is_ok(st))
		st = a->store.link == NULL ? fail(E_CLOSED)
					   : link_call(a->store.link, AS_TOOL_GET, &get,
						 TOOL_STORE_WAIT_MS, on_part, q, NULL);
	if (!is_ok(st)) {
		free(q);
		refuse_artefact(l, id, ERROR_UNAVAILABLE);
		return;
	}
	q->version = v;
	q->rebuilt.id = m->part;
	tools_hold(v);
}

/* Of what runs, the digest that grants name; of a module, which is only compiled, the store's. */
static const uint8_t *
digest_of(const struct tool_version *v, uint64_t part, const struct as_tool_part *m)
{
	if (part == PART_ARTEFACT)
		return v->artefact;
	return part == PART_NATIVE ? v->native : m->digest;
}

static void
on_part(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	struct asked *q = ctx;
	const struct as_tool_part *m = msg;
	auto_fd int fd = -1;
	enum code code = is_ok(st) && type == AS_TOOL_PART ? (enum code)m->code : E_CLOSED;
	struct ae_artefact part = { .error = (uint16_t)error_of(code) };

	if (code == E_OK)
		fd = link_take_fd(l);
	if (code == E_OK && fd < 0)
		part.error = ERROR_INTERNAL;
	if (part.error == ERROR_NONE) {
		memcpy(part.digest, digest_of(q->version, q->rebuilt.id, m), DIGEST_LEN);
		part.engine = span_str(q->version->engine);
		part.env = q->version->env;
	}
	answer(q, AE_ARTEFACT, &part, part.error == ERROR_NONE ? fd : -1);
	tools_release(q->a, q->version);
	asked_free(q);
}

/* ---- compiled anew by another engine ---- */

static void
put_rebuilt(struct authority *a, const struct tool_version *v, struct batch *b)
{
	const struct record_who who = { .config = a->d->generation };
	struct span name = v->tool == NULL ? SPAN_LIT("none") : span_str(v->tool->name);

	(void)batch_add(b, EVENT_TOOL_CHANGED, &who, "tool", name);
	batch_str(b, name);
	batch_u64(b, v->version);
	batch_digest(b, v->digest);
	batch_text(b, "rebuilt");
	batch_null(b);
}

static void
rebuilt_over(struct asked *q, enum error error)
{
	const struct ae_kept m = {
		.error = (uint16_t)error, .id = q->version->id, .version = q->version->version
	};

	answer(q, AE_KEPT, &m, -1);
	tools_release(q->a, q->version);
	asked_free(q);
}

static void
on_rebuilt_recorded(struct authority *a, void *ctx, struct status st, uint64_t first_seq)
{
	struct asked *q = ctx;

	(void)first_seq;
	if (!is_ok(st)) {
		rebuilt_over(q, ERROR_AUDIT_UNAVAILABLE);
		return;
	}
	q->rebuilt.engine = span_str(q->engine);
	if (a->store.link == NULL ||
	    !is_ok(link_call_fds(a->store.link, AS_TOOL_REBUILT, &q->rebuilt, &q->fd, 1,
		TOOL_STORE_WAIT_MS, on_rebuilt, q, NULL)))
		rebuilt_over(q, ERROR_UNAVAILABLE);
}

void
tools_on_rebuilt(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	auto_fd int fd = link_take_fd(l);
	struct peer *peer = ctx;
	struct authority *a = peer->a;
	const struct ae_rebuilt *m = msg;
	struct tool_version *v = callable(a, m->id);
	struct batch b = { .n = 0 };
	struct asked *q = NULL;
	struct status st = v != NULL && fd >= 0 ? asked_new(a, id, &q) : fail(E_DENIED);

	if (is_ok(st)) {
		q->rebuilt = (struct as_tool_rebuilt){ .id = m->id };
		memcpy(q->rebuilt.artefact, m->artefact, DIGEST_LEN);
		st = span_to_cstr(m->engine, q->engine, sizeof(q->engine));
	}
	if (is_ok(st)) {
		put_rebuilt(a, v, &b);
		st = audit_append(a, &b, on_rebuilt_recorded, q);
	}
	if (!is_ok(st)) {
		free(q);
		refuse_kept(l, id, st.code == E_DENIED ? ERROR_GRANT : ERROR_AUDIT_UNAVAILABLE);
		return;
	}
	q->fd = fd_take(&fd);
	q->version = v;
	tools_hold(v);
}

static void
on_rebuilt(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	struct asked *q = ctx;
	const struct as_done *m = msg;
	enum code code = is_ok(st) && type == AS_DONE ? (enum code)m->code : E_CLOSED;

	(void)l;
	if (code == E_OK) {
		memcpy(q->version->artefact, q->rebuilt.artefact, DIGEST_LEN);
		memcpy(q->version->engine, q->engine, sizeof(q->version->engine));
	}
	rebuilt_over(q, error_of(code));
}
