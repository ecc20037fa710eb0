/* SPDX-License-Identifier: Apache-2.0 */
/*
 * artefacts.c: parts of tools' versions: asked for, checked, kept for a while.
 *
 * Runs in: the executor. Trusts: a grant's digest. What comes from the store is judged by it:
 * sealed, within its limit, and of that very SHA-256, or nobody ever loads it.
 * Owns: the memory files. Invariants: at most ARTEFACTS_MAX and ARTEFACTS_BYTES_MAX are kept
 * beyond those that calls hold, least recently used go first, and ARTEFACTS_HELD_MAX in all: each
 * is a descriptor; a compiled file comes from the
 * store or from our own compiler, nowhere else; each is asked for once at a time.
 * See: wire/authority_executor.h, compile.c.
 */
#include "tools.h"

#include <base/cleanup.h>
#include <base/memfd.h>
#include <crypto/hash.h>

#include <stdlib.h>
#include <sys/mman.h>

static struct artefact *find(struct executor *ex, uint64_t id, enum tool_part part);
static struct artefact *artefact_new(
    struct executor *ex, const struct held_grant *g, enum tool_part part);
static bool is_granted(const struct artefact *a, const uint8_t digest[DIGEST_LEN]);
static void wait_for(struct artefact *a, struct artefact_wait *w);
static enum error ask(struct artefact *a, enum tool_part part, link_reply *cb);
static void on_artefact(
    struct link *l, struct status st, uint16_t type, const void *msg, void *ctx);
static enum error take(struct artefact *a, int fd, const struct ae_artefact *m);
static void on_module(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx);
static void on_compiled(void *ctx, struct compiled *c);
static void tell_store(const struct artefact *a);
static void came(struct artefact *a, enum error error);
static bool free_if_gone(struct artefact *a);
static void artefact_free(struct artefact *a);
static void trim(struct executor *ex);

static const size_t len_max[] = {
	[PART_ARTEFACT] = TOOL_ARTEFACT_MAX,
	[PART_MODULE] = RUN_BLOB_MAX,
	[PART_NATIVE] = TOOL_NATIVE_MAX,
};

void
artefact_get(
    struct executor *ex, const struct held_grant *g, enum tool_part part, struct artefact_wait *w)
{
	struct artefact *a = find(ex, g->tool.id, part);
	enum error error = ERROR_NONE;

	memcpy(w->digest, g->tool.artefact, sizeof(w->digest));
	if (a != NULL && !a->coming && !is_granted(a, w->digest) && a->users == 0) {
		artefact_free(a); /* the store knows better */
		a = NULL;
	}
	if (a == NULL) {
		a = artefact_new(ex, g, part);
		if (a == NULL) {
			w->cb(w->ctx, ERROR_OVERLOADED, NULL);
			return;
		}
		error = ask(a, part, on_artefact);
	}
	wait_for(a, w);
	if (!a->coming || error != ERROR_NONE)
		came(a, error);
}

void
artefact_anew(struct artefact *a, struct artefact_wait *w)
{
	enum error error = ERROR_NONE;

	if (!a->coming) {
		a->coming = true;
		error = ask(a, PART_MODULE, on_module);
	}
	memcpy(w->digest, a->granted, sizeof(w->digest));
	wait_for(a, w);
	artefact_put(a);
	if (error != ERROR_NONE)
		came(a, error);
}

void
artefact_wait_cancel(struct artefact_wait *w)
{
	if (w->of == NULL)
		return;
	TAILQ_REMOVE(&w->of->waits, w, entry);
	w->of = NULL;
}

void
artefact_put(struct artefact *a)
{
	struct executor *ex;

	if (a == NULL)
		return;
	ex = a->ex;
	a->users--;
	(void)free_if_gone(a);
	trim(ex);
}

void
artefacts_gone(struct executor *ex, uint64_t id)
{
	struct artefact *a, *next;

	for (a = TAILQ_FIRST(&ex->tools->artefacts); a != NULL; a = next) {
		next = TAILQ_NEXT(a, entry);
		if (a->id != id)
			continue;
		a->gone = true;
		(void)free_if_gone(a);
	}
	trim(ex);
}

static bool
free_if_gone(struct artefact *a)
{
	if (!a->gone || a->users > 0 || a->coming)
		return false;
	workers_unload(a->ex, a->tenant, a->digest);
	artefact_free(a);
	return true;
}

static struct artefact *
find(struct executor *ex, uint64_t id, enum tool_part part)
{
	struct artefact *a;

	TAILQ_FOREACH(a, &ex->tools->artefacts, entry)
	{
		if (a->id == id && a->part == part)
			return a;
	}
	return NULL;
}

static struct artefact *
artefact_new(struct executor *ex, const struct held_grant *g, enum tool_part part)
{
	struct artefact *a = ex->tools->nartefacts < ARTEFACTS_HELD_MAX ? calloc(1, sizeof(*a))
									: NULL;

	if (a == NULL)
		return NULL;
	a->ex = ex;
	a->id = g->tool.id;
	memcpy(a->tenant, g->tenant, sizeof(a->tenant));
	a->part = (uint8_t)part;
	a->coming = true;
	a->fd = -1;
	a->env = BUF_INIT(TOOL_ENV_MAX);
	TAILQ_INIT(&a->waits);
	TAILQ_INSERT_HEAD(&ex->tools->artefacts, a, entry);
	ex->tools->nartefacts++;
	trim(ex);
	return a;
}

/* Not secret: whoever could time this knows the tool. */
static bool
is_granted(const struct artefact *a, const uint8_t digest[DIGEST_LEN])
{
	return memcmp(a->digest, digest, DIGEST_LEN) == 0 ||
	       memcmp(a->granted, digest, DIGEST_LEN) == 0;
}

static void
wait_for(struct artefact *a, struct artefact_wait *w)
{
	w->of = a;
	TAILQ_INSERT_TAIL(&a->waits, w, entry);
}

static enum error
ask(struct artefact *a, enum tool_part part, link_reply *cb)
{
	const struct ae_artefact_get m = { a->id, (uint8_t)part };
	struct link *l = a->ex->authority;

	if (l == NULL || !is_ok(link_call(l, AE_ARTEFACT_GET, &m, ARTEFACT_GET_MS, cb, a, NULL)))
		return ERROR_UNAVAILABLE;
	daemon_metric_add(METRIC_ARTEFACTS_FETCHED, 1);
	return ERROR_NONE;
}

static void
on_artefact(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	const struct ae_artefact *m = msg;
	struct artefact *a = ctx;
	auto_fd int fd = -1;

	if (!is_ok(st) || type != AE_ARTEFACT) {
		came(a, ERROR_UNAVAILABLE);
		return;
	}
	fd = link_take_fd(l);
	came(a, m->error != ERROR_NONE ? (enum error)m->error : take(a, fd_take(&fd), m));
}

/* Sealed, not too long, and what it is said to be. */
static struct status
check(int fd, size_t max, const uint8_t said[DIGEST_LEN], size_t *ret_len)
{
	uint8_t digest[SHA256_LEN];
	struct status st;
	size_t len;
	void *map;

	TRY(memfd_check(fd, max, &len));
	if (len == 0)
		return fail(E_CORRUPT);
	map = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return fail_errno();
	st = sha256(span_of(map, len), digest);
	(void)munmap(map, len);
	if (is_ok(st) && memcmp(digest, said, sizeof(digest)) != 0)
		st = fail(E_CORRUPT);
	*ret_len = len;
	return st;
}

static void
count(struct artefact *a)
{
	a->ex->tools->artefact_bytes += a->len - a->counted;
	a->counted = a->len;
}

static enum error
take(struct artefact *a, int fd, const struct ae_artefact *m)
{
	struct status st = check(fd, len_max[a->part], m->digest, &a->len);

	a->fd = fd;
	if (is_ok(st))
		st = span_to_cstr(m->engine, a->engine, sizeof(a->engine));
	if (is_ok(st))
		st = buf_put_span(&a->env, m->env);
	if (!is_ok(st)) {
		diag(DIAG_ERROR, "version %llu of a tool: part %u is not what was stored: %s",
		    (unsigned long long)a->id, a->part, status_text(st));
		daemon_metric_add(METRIC_ARTEFACTS_REFUSED, 1);
		return ERROR_TOOL_INVALID;
	}
	memcpy(a->digest, m->digest, sizeof(a->digest));
	memcpy(a->granted, m->digest, sizeof(a->granted));
	count(a);
	return ERROR_NONE;
}

/* ---- another engine's ---- */

static void
on_module(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	const struct ae_artefact *m = msg;
	struct artefact *a = ctx;
	auto_fd int fd = -1;
	size_t len;

	if (!is_ok(st) || type != AE_ARTEFACT || m->error != ERROR_NONE) {
		came(a, ERROR_UNAVAILABLE);
		return;
	}
	fd = link_take_fd(l);
	st = check(fd, len_max[PART_MODULE], m->digest, &len);
	if (!is_ok(st)) {
		diag(DIAG_ERROR, "version %llu of a tool: its module is not what was stored: %s",
		    (unsigned long long)a->id, status_text(st));
		daemon_metric_add(METRIC_ARTEFACTS_REFUSED, 1);
		came(a, ERROR_TOOL_INVALID);
		return;
	}
	if (!is_ok(compile_start(a->ex, a->tenant, fd_take(&fd), on_compiled, a, &a->compile)))
		came(a, ERROR_OVERLOADED);
}

static void
on_compiled(void *ctx, struct compiled *c)
{
	struct artefact *a = ctx;

	a->compile = NULL;
	if (c->error != ERROR_NONE) {
		diag(DIAG_WARN, "version %llu of a tool: not compiled anew: %s",
		    (unsigned long long)a->id, c->reason);
		came(a, c->error);
		return;
	}
	(void)close(a->fd);
	a->fd = fd_take(&c->fd);
	a->len = c->len;
	memcpy(a->digest, c->digest, sizeof(a->digest));
	memcpy(a->engine, c->engine, sizeof(a->engine));
	count(a);
	tell_store(a);
	came(a, ERROR_NONE);
}

static void
on_kept(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	const struct ae_kept *m = msg;

	(void)l, (void)ctx;
	if (!is_ok(st) || type != AE_KEPT || m->error != ERROR_NONE)
		diag(DIAG_WARN, "a tool that was compiled anew was not kept");
}

/* Nobody waits for that: at worst it is compiled once more. */
static void
tell_store(const struct artefact *a)
{
	struct ae_rebuilt m = { .id = a->id, .engine = span_str(a->engine) };
	struct status st = fail(E_CLOSED);

	memcpy(m.artefact, a->digest, sizeof(m.artefact));
	if (a->ex->authority != NULL)
		st = link_call_fds(
		    a->ex->authority, AE_REBUILT, &m, &a->fd, 1, KEEP_MS, on_kept, NULL, NULL);
	if (!is_ok(st))
		diag(DIAG_WARN, "a tool that was compiled anew: %s", status_text(st));
}

/* ---- ends ---- */

static void
came(struct artefact *a, enum error error)
{
	struct executor *ex = a->ex;
	struct artefact_wait *w;

	a->coming = false;
	a->users++; /* until all have been told */
	TAILQ_REMOVE(&ex->tools->artefacts, a, entry);
	TAILQ_INSERT_HEAD(&ex->tools->artefacts, a, entry);
	while (!a->coming && (w = TAILQ_FIRST(&a->waits)) != NULL) {
		enum error his = error;

		artefact_wait_cancel(w);
		if (his == ERROR_NONE && !is_granted(a, w->digest)) {
			diag(DIAG_ERROR, "version %llu of a tool is not the one that was granted",
			    (unsigned long long)a->id);
			daemon_metric_add(METRIC_ARTEFACTS_REFUSED, 1);
			his = ERROR_TOOL_INVALID;
		}
		a->users += his == ERROR_NONE;
		w->cb(w->ctx, his, his == ERROR_NONE ? a : NULL);
	}
	a->users--;
	if (!free_if_gone(a) && error != ERROR_NONE && a->users == 0 && !a->coming)
		artefact_free(a);
	trim(ex);
}

static void
artefact_free(struct artefact *a)
{
	struct tools *t = a->ex->tools;

	compile_cancel(a->compile);
	TAILQ_REMOVE(&t->artefacts, a, entry);
	t->nartefacts--;
	t->artefact_bytes -= a->counted;
	cleanup_fd_(&a->fd);
	buf_done(&a->env);
	free(a);
}

static void
trim(struct executor *ex)
{
	struct tools *t = ex->tools;
	struct artefact *a, *next;

	for (a = TAILQ_LAST(&t->artefacts, artefact_list); a != NULL; a = next) {
		next = TAILQ_PREV(a, artefact_list, entry);
		if (t->nartefacts <= ARTEFACTS_MAX && t->artefact_bytes <= ARTEFACTS_BYTES_MAX)
			break;
		if (a->users == 0 && !a->coming)
			artefact_free(a);
	}
	daemon_metric_set(METRIC_ARTEFACTS_KEPT, t->nartefacts);
	daemon_metric_set(METRIC_ARTEFACT_BYTES, t->artefact_bytes);
}
