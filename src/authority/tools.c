/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tools.c: the table of users' tools.
 *
 * Runs in: authority. Trusts: the store for what is kept; a manifest no further than
 * lib/manifest. Owns: all versions.
 * Invariants: a look-up begins at a user or a tenant; a version that a call holds stays
 * until the call is over, also when it was removed; each change of what a tenant's keys
 * may see changes its generation.
 * See: tools.h; tool_access.c (what a key sees of it).
 */
#include "authority.h"

#include <assert.h>
#include <stdlib.h>

#include <base/arena.h>
#include <base/rand.h>
#include <manifest/manifest.h>

#define TENANTS_START 64
#define ARENA_MAX (1U << 20)

static bool tenant_is(const void *item, struct span name);
static void version_unlink(struct authority *a, struct tool_version *v);

struct status
tools_init(struct tools *ts)
{
	*ts = (struct tools){ .load = 1 };
	ts->by_id = calloc(TOOL_VERSIONS_ALL_MAX, sizeof(struct tool_version *));
	if (ts->by_id == NULL)
		return fail(E_NOMEM);
	return table_init(&ts->tenants, TENANTS_START, tenant_is);
}

void
tools_done(struct tools *ts)
{
	for (size_t i = 0; i < ts->n; i++) {
		struct tool *t = ts->by_id[i]->tool;

		if (t != NULL && --t->n == 0) {
			LIST_REMOVE(t, of_user);
			free(t);
		}
		tool_version_free(ts->by_id[i]);
	}
	free(ts->by_id);
	for (size_t i = 0; i < ts->tenants.cap; i++)
		free(ts->tenants.slots[i].item);
	table_done(&ts->tenants);
	*ts = (struct tools){ 0 };
}

/* ---- tenants ---- */

static bool
tenant_is(const void *item, struct span name)
{
	return span_eq_str(name, ((const struct tenant_tools *)item)->name);
}

struct tenant_tools *
tools_tenant(const struct authority *a, struct span tenant)
{
	return table_find(&a->tools.tenants, tenant);
}

static struct status
tenant_ensure(struct authority *a, struct span tenant, struct tenant_tools **ret)
{
	struct tenant_tools *tt = tools_tenant(a, tenant);
	struct status st;

	*ret = tt;
	if (tt != NULL)
		return OK;
	tt = calloc(1, sizeof(*tt));
	if (tt == NULL)
		return fail(E_NOMEM);
	LIST_INIT(&tt->shared);
	st = span_to_cstr(tenant, tt->name, sizeof(tt->name));
	/* A process that comes after this one begins elsewhere: no gateway mistakes its numbers. */
	if (is_ok(st))
		st = rand_bytes(&tt->generation, sizeof(tt->generation));
	if (is_ok(st))
		st = table_put(&a->tools.tenants, tenant, tt);
	if (!is_ok(st))
		free(tt);
	else
		*ret = tt;
	return st;
}

/* ---- versions ---- */

static struct status
take_manifest(struct tool_version *v, struct span text)
{
	auto_arena struct arena arena = ARENA_INIT(ARENA_MAX);
	struct manifest m;
	uint8_t *block;

	TRY(manifest_read(text, &arena, &m));
	block = malloc(text.len + m.env.len);
	if (block == NULL)
		return fail(E_NOMEM);
	memcpy(block, text.ptr, text.len);
	if (m.env.len > 0)
		memcpy(block + text.len, m.env.ptr, m.env.len);
	v->manifest = span_of(block, text.len);
	v->env = span_of(block + text.len, m.env.len);
	v->time_ms = m.time_ms;
	v->memory_mb = m.memory_mb;
	v->output_kb = m.output_kb;
	v->capabilities = m.capabilities & TOOL_CAPABILITIES_ALL;
	return OK;
}

struct status
tool_version_new(const struct as_tool *m, struct tool_version **ret)
{
	struct tool_version *v = calloc(1, sizeof(*v));
	struct status st;

	if (v == NULL)
		return fail(E_NOMEM);
	*v = (struct tool_version){ .id = m->id,
		.version = m->version,
		.parts = m->parts,
		.module_size = m->module_size,
		.native_size = m->native_size,
		.created_s = m->created_s };
	memcpy(v->digest, m->digest, DIGEST_LEN);
	memcpy(v->artefact, m->artefact, DIGEST_LEN);
	memcpy(v->native, m->native, DIGEST_LEN);
	st = span_to_cstr(m->engine, v->engine, sizeof(v->engine));
	if (is_ok(st))
		st = take_manifest(v, m->manifest);
	if (!is_ok(st)) {
		tool_version_free(v);
		return st;
	}
	*ret = v;
	return OK;
}

void
tool_version_free(struct tool_version *v)
{
	if (v == NULL)
		return;
	free((void *)(uintptr_t)v->manifest.ptr);
	free(v);
}

/* Where that id is, or would be. */
static size_t
id_at(const struct tools *ts, uint64_t id)
{
	size_t low = 0, high = ts->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (ts->by_id[mid]->id < id)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

struct tool_version *
tools_by_id(const struct tools *ts, uint64_t id)
{
	size_t at = id_at(ts, id);

	return at < ts->n && ts->by_id[at]->id == id ? ts->by_id[at] : NULL;
}

static void
forget_id(struct tools *ts, const struct tool_version *v)
{
	size_t at = id_at(ts, v->id);

	assert(at < ts->n && ts->by_id[at] == v);
	ts->n--;
	memmove(&ts->by_id[at], &ts->by_id[at + 1], (ts->n - at) * sizeof(struct tool_version *));
}

/* Out of its tool, and no call holds it: whoever keeps parts of it need not any more. */
static void
version_over(struct authority *a, struct tool_version *v)
{
	const struct ae_gone m = { v->id };

	if (a->executor.link != NULL && !is_ok(link_send(a->executor.link, 0, AE_GONE, &m)))
		diag(DIAG_WARN, "the executor was not told of a version that is gone");
	forget_id(&a->tools, v);
	tool_version_free(v);
}

void
tools_hold(struct tool_version *v)
{
	v->calls++;
}

void
tools_release(struct authority *a, struct tool_version *v)
{
	assert(v->calls > 0);
	if (--v->calls == 0 && v->tool == NULL)
		version_over(a, v);
}

/* ---- tools ---- */

struct tool *
tools_own(const struct user *user, struct span name)
{
	struct tool *t;

	LIST_FOREACH(t, &user->tools, of_user)
	{
		if (span_eq_str(name, t->name))
			return t;
	}
	return NULL;
}

struct tool_version *
tool_version_of(const struct tool *t, uint32_t version)
{
	if (version == 0)
		return t->current;
	for (uint32_t i = 0; i < t->n; i++) {
		if (t->versions[i]->version == version)
			return t->versions[i];
	}
	return NULL;
}

static void
set_allowed(struct tool *t, struct tool_version *v)
{
	if (t->allowed == NULL && v != NULL) {
		LIST_INSERT_HEAD(&t->tenant->shared, t, of_tenant);
		t->tenant->nshared++;
	}
	if (t->allowed != NULL && v == NULL) {
		LIST_REMOVE(t, of_tenant);
		t->tenant->nshared--;
	}
	t->allowed = v;
}

static struct status
tool_ensure(struct authority *a, struct user *user, struct span name, struct tool **ret)
{
	struct tenant_tools *tenant = NULL;
	struct tool *t = tools_own(user, name);
	struct status st;

	*ret = t;
	if (t != NULL)
		return OK;
	TRY(tenant_ensure(a, user->tenant, &tenant));
	t = calloc(1, sizeof(*t));
	if (t == NULL)
		return fail(E_NOMEM);
	t->user = user;
	t->tenant = tenant;
	st = span_to_cstr(name, t->name, sizeof(t->name));
	if (!is_ok(st)) {
		free(t);
		return st;
	}
	LIST_INSERT_HEAD(&user->tools, t, of_user);
	*ret = t;
	return OK;
}

static void
tool_gone_if_empty(struct tool *t)
{
	if (t->n > 0)
		return;
	LIST_REMOVE(t, of_user);
	free(t);
}

static void
insert_version(struct tool *t, struct tool_version *v)
{
	uint32_t at = t->n++;

	while (at > 0 && t->versions[at - 1]->version > v->version) {
		t->versions[at] = t->versions[at - 1];
		at--;
	}
	t->versions[at] = v;
	t->tenant->nversions++;
	v->tool = t;
}

struct status
tools_add(struct authority *a, struct user *user, struct span name, struct tool_version *v,
    bool current, bool allowed)
{
	struct tools *ts = &a->tools;
	struct tool_version *old = tools_by_id(ts, v->id);
	struct tool *t = NULL;
	size_t at;

	if (old != NULL) /* told again by a LOAD: calls go on with the one that they have */
		version_unlink(a, old);
	if (ts->n == TOOL_VERSIONS_ALL_MAX || tools_by_id(ts, v->id) != NULL)
		return fail(E_FULL);
	TRY(tool_ensure(a, user, name, &t));
	if (t->n == TOOL_VERSIONS_MAX)
		return fail(E_FULL);
	at = id_at(ts, v->id);
	memmove(&ts->by_id[at + 1], &ts->by_id[at], (ts->n - at) * sizeof(struct tool_version *));
	ts->by_id[at] = v;
	ts->n++;
	insert_version(t, v);
	v->load = ts->load;
	if (current || t->current == NULL)
		t->current = v;
	if (allowed)
		set_allowed(t, v);
	t->tenant->generation++;
	daemon_metric_set(METRIC_TOOL_VERSIONS, ts->n);
	return OK;
}

/* Out of its tool; freed, or kept for the calls that hold it. */
static void
version_unlink(struct authority *a, struct tool_version *v)
{
	struct tool *t = v->tool;
	uint32_t at = 0;

	if (t == NULL)
		return;
	while (t->versions[at] != v)
		at++;
	t->n--;
	t->tenant->nversions--;
	memmove(
	    &t->versions[at], &t->versions[at + 1], (t->n - at) * sizeof(struct tool_version *));
	t->tenant->generation++;
	if (t->allowed == v)
		set_allowed(t, NULL);
	if (t->current == v)
		t->current = t->n > 0 ? t->versions[t->n - 1] : NULL;
	v->tool = NULL;
	tool_gone_if_empty(t);
	if (v->calls == 0)
		version_over(a, v);
	daemon_metric_set(METRIC_TOOL_VERSIONS, a->tools.n);
}

void
tools_marked(struct authority *a, struct tool_version *v, enum as_tool_marks mark)
{
	struct tool *t = v->tool;

	(void)a;
	if (t == NULL)
		return;
	if (mark == TOOL_MARK_CURRENT)
		t->current = v;
	else if (mark == TOOL_MARK_ALLOWED)
		set_allowed(t, v);
	else if (t->allowed == v)
		set_allowed(t, NULL);
	t->tenant->generation++;
}

void
tools_removed(struct authority *a, struct tool_version *v, bool all)
{
	struct tool *t = v->tool;

	if (t == NULL)
		return;
	if (!all) {
		version_unlink(a, v);
		return;
	}
	for (uint32_t left = t->n; left > 0; left--)
		version_unlink(a, t->versions[left - 1]); /* the last frees `t` */
}

/* ---- loading ---- */

void
tools_load_begin(struct tools *ts)
{
	ts->load++;
}

struct status
tools_load(struct authority *a, const struct as_tool *m)
{
	struct user *user = keys_find_user(&a->keys, m->tenant, m->user);
	struct tool_version *old = tools_by_id(&a->tools, m->id), *v = NULL;
	struct status st;

	if (user == NULL)
		return fail(E_PROTO);
	/* A version that calls hold is the same as before but for its marks, and who compiled it.
	 */
	if (old != NULL && old->tool != NULL && old->tool->user == user &&
	    memcmp(old->digest, m->digest, DIGEST_LEN) == 0) {
		TRY(span_to_cstr(m->engine, old->engine, sizeof(old->engine)));
		memcpy(old->artefact, m->artefact, DIGEST_LEN);
		old->load = a->tools.load;
		if (m->current)
			tools_marked(a, old, TOOL_MARK_CURRENT);
		tools_marked(a, old, m->allowed ? TOOL_MARK_ALLOWED : TOOL_MARK_NOT_ALLOWED);
		return OK;
	}
	TRY(tool_version_new(m, &v));
	st = tools_add(a, user, m->name, v, m->current, m->allowed);
	if (!is_ok(st))
		tool_version_free(v);
	return st;
}

void
tools_load_end(struct authority *a)
{
	struct tools *ts = &a->tools;

	for (size_t i = ts->n; i > 0; i--) {
		struct tool_version *v = ts->by_id[i - 1];

		if (v->load != ts->load)
			version_unlink(a, v);
	}
}
