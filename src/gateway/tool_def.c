/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tool_def.c: definitions of users' tools, compiled once and kept for a while.
 *
 * Runs in: gateway. Trusts: the authority for which manifest belongs to which digest; of the
 * manifest nothing but that it was accepted once.
 * Owns: the kept definitions, TOOL_DEFS_MAX and TOOL_DEFS_BYTES_MAX at most.
 * Invariants: found by the digest of the whole version, never by name: a changed tool, and
 * one of another tenant, is another definition. The one used longest ago goes first.
 * See: lib/manifest; tool_call.c, step.c.
 */
#include "tool_def.h"

#define DEF_BYTES_MAX (2UL * MANIFEST_COMPILED_MAX + 4UL * MANIFEST_MAX)

struct status
tool_offers_take(struct tool_offers *o, const struct ga_admitted *m, struct arena *a)
{
	const struct ga_tool *tools = m->tools.items;
	struct tool_offer *items = arena_array(a, m->tools.count, sizeof(*items));

	if (items == NULL && m->tools.count > 0)
		return fail(E_NOMEM);
	for (size_t i = 0; i < m->tools.count; i++) {
		TRY(arena_copy(a, tools[i].name, &items[i].name));
		TRY(arena_copy(a, tools[i].manifest, &items[i].manifest));
		items[i].version = tools[i].version;
		items[i].sandbox = tools[i].sandbox;
		memcpy(items[i].digest, tools[i].digest, DIGEST_LEN);
	}
	*o = (struct tool_offers){ items, m->tools.count, m->catalog };
	return OK;
}

static void
forget(struct tool_defs *all, struct tool_def *d)
{
	all->bytes -= d->arena.used;
	arena_done(&d->arena);
	*d = (struct tool_def){ .used = false };
}

void
tool_defs_free(struct tool_defs *all)
{
	for (size_t i = 0; i < TOOL_DEFS_MAX; i++)
		forget(all, &all->items[i]);
}

static struct tool_def *
oldest(struct tool_defs *all)
{
	struct tool_def *d = NULL;

	for (size_t i = 0; i < TOOL_DEFS_MAX; i++) {
		if (all->items[i].used && (d == NULL || all->items[i].seen < d->seen))
			d = &all->items[i];
	}
	return d;
}

/* A free place; the arenas together stay within their bound once one more is made. */
static struct tool_def *
make_room(struct tool_defs *all)
{
	while (all->bytes + DEF_BYTES_MAX > TOOL_DEFS_BYTES_MAX)
		forget(all, oldest(all));
	for (size_t i = 0; i < TOOL_DEFS_MAX; i++) {
		if (!all->items[i].used)
			return &all->items[i];
	}
	forget(all, oldest(all));
	return make_room(all);
}

static struct status
define(struct tool_def *d, struct span manifest)
{
	struct span text;

	TRY(arena_copy(&d->arena, manifest, &text));
	TRY(manifest_read(text, &d->arena, &d->manifest));
	TRY(schema_compile(d->manifest.input_schema, &d->arena, &d->input, NULL));
	if (d->manifest.output_schema.len == 0)
		return OK;
	return schema_compile(d->manifest.output_schema, &d->arena, &d->output, NULL);
}

struct status
tool_def_get(struct tool_defs *all, const struct tool_offer *o, const struct tool_def **ret)
{
	struct tool_def *d;
	struct status st;

	for (size_t i = 0; i < TOOL_DEFS_MAX; i++) {
		d = &all->items[i];
		if (!d->used || memcmp(d->digest, o->digest, DIGEST_LEN) != 0)
			continue;
		d->seen = ++all->clock;
		*ret = d;
		return OK;
	}
	d = make_room(all);
	*d = (struct tool_def){
		.used = true,
		.seen = ++all->clock,
		.arena = ARENA_INIT(DEF_BYTES_MAX),
	};
	memcpy(d->digest, o->digest, DIGEST_LEN);
	st = define(d, o->manifest);
	all->bytes += d->arena.used;
	if (!is_ok(st)) {
		forget(all, d);
		return st.code == E_NOMEM ? st : fail(E_CORRUPT);
	}
	*ret = d;
	return OK;
}
