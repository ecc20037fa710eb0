/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tool_offer.c: which of users' tools a request to a model offers, and how.
 *
 * Runs in: gateway. Trusts: the authority for which tools the key may use; their
 * descriptions and schemas are data of users, checked when they were uploaded.
 * Owns: nothing; names lie in the request's arena, the texts in the turn.
 * Invariants: a name that the client's own tools have is never offered, nor that of a tool of
 * ours; TOOLS_OFFERED_MAX at most; what is offered is what the authority named for the catalog
 * that the request is admitted with.
 * See: loop.c; dialect.h, put_tool; docs/tools.md, "In a turn".
 */
#include "tool_offer.h"

#include <base/cleanup.h>

#include "request.h"

/* Where the dialects have the name of a function. */
static const char *const holders[] = { NULL, "function", "custom" };

/* Names that mean a tool of this server at some provider. */
static const char *const reserved[] = { TOOL_NAME, "code_execution", "bash_code_execution" };

static bool
list_has(const struct json_doc *d, const char *member, struct span name)
{
	struct json_iter it = json_iter(d, json_get_str(d, 0, member));

	while (json_next(&it)) {
		for (size_t i = 0; i < sizeof(holders) / sizeof(holders[0]); i++) {
			uint32_t in = holders[i] == NULL ? it.val
							 : json_get_str(d, it.val, holders[i]);

			if (json_str_eq(d, json_get_str(d, in, "name"), name))
				return true;
		}
	}
	return false;
}

static bool
is_taken(const struct json_doc *d, struct span name)
{
	for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++) {
		if (span_eq_str(name, reserved[i]))
			return true;
	}
	return list_has(d, "tools", name) || list_has(d, "functions", name);
}

static struct status
put_one(struct turn *t, const struct tool_offer *o, bool *ret_put)
{
	const struct tool_def *def;
	struct json_writer w;
	struct status st = tool_def_get(&t->r->g->tool_defs, o, &def);

	/* What is not what was accepted is not offered. */
	*ret_put = is_ok(st) && span_eq(def->manifest.name, o->name);
	if (!*ret_put)
		return st.code == E_NOMEM ? st : OK;
	if (t->tools.len > 0)
		TRY(buf_put_u8(&t->tools, ','));
	w = json_writer(&t->tools);
	t->answer.dialect->put_tool(&def->manifest, &w);
	return json_writer_finish(&w);
}

static struct status
put_all(struct turn *t)
{
	const struct tool_offers *all = &t->offers;
	struct gateway *g = t->r->g;
	size_t n = 0;

	t->offered.items = arena_array(&t->r->arena, all->count, sizeof(*all->items));
	if (t->offered.items == NULL)
		return fail(E_NOMEM);
	for (size_t i = 0; i < all->count && n < TOOLS_OFFERED_MAX; i++) {
		bool put = false;

		if (!is_taken(&g->doc, all->items[i].name))
			TRY(put_one(t, &all->items[i], &put));
		if (put)
			t->offered.items[n++] = all->items[i];
	}
	t->offered.count = n;
	return OK;
}

struct status
tool_offer_all(struct turn *t)
{
	buf_clear(&t->tools);
	t->tools.max = TOOLS_TEXT_MAX;
	t->offered = (struct tool_offers){ NULL, 0, t->offers.catalog };
	if (t->prompt->offerable && t->answer.dialect->put_tool != NULL && t->offers.count > 0)
		TRY(put_all(t));
	t->answer.calls.offers = &t->offered;
	t->answer.ours = t->answer.calls.interpreter || t->offered.count > 0;
	return OK;
}
