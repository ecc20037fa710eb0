/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tool_answers.c: what a gateway is told of the tools that a key sees.
 *
 * Runs in: authority. Trusts: nothing. Owns: nothing.
 * Invariants: names are in their order, each once: a tool of one's own hides one that is
 * shared; an answer fits a message, whatever the manifests are; answers that a gateway has
 * not read yet do not pile up: beyond TOOLS_QUEUE_MAX one is told to come again.
 * See: tools.h; wire/gateway_authority.h.
 */
#include "authority.h"

#include <stdlib.h>

#define SEEN_MAX (TOOLS_PER_USER_MAX + TOOLS_SHARED_MAX)
#define TOOLS_QUEUE_MAX (LINK_QUEUE_MAX / 4) /* unsent bytes before another answer with tools */

/* Versions that a key sees, by name. */
struct seen {
	struct tool_version *items[SEEN_MAX];
	size_t n;
};

static int
by_name(const void *a, const void *b)
{
	const struct tool_version *const *x = a, *const *y = b;

	return strcmp((*x)->tool->name, (*y)->tool->name);
}

/* `offer`: only what its policy names and what could run; else also what is merely owned. */
static void
seen_collect(struct authority *a, const struct key *key, bool offer, struct seen *s)
{
	const struct permit may = key_permit(key);
	const struct tenant_tools *tenant = tools_tenant(a, key->user->tenant);
	struct tool_use use;
	struct tool *t;

	s->n = 0;
	if (may.policy == NULL || tenant == NULL)
		return;
	LIST_FOREACH(t, &key->user->tools, of_user)
	{
		if (s->n < SEEN_MAX && (!offer || permit_has(&may, LIST_TOOLS, span_str(t->name))))
			s->items[s->n++] = t->current;
	}
	LIST_FOREACH(t, &tenant->shared, of_tenant)
	{
		if (s->n < SEEN_MAX && permit_has(&may, LIST_TOOLS, span_str(t->name)) &&
		    tools_is_shared_with(a, key, t) &&
		    tools_own(key->user, span_str(t->name)) == NULL)
			s->items[s->n++] = t->allowed;
	}
	for (size_t i = s->n; offer && i > 0; i--) {
		if (tools_use(a, s->items[i - 1], &use) != ERROR_NONE)
			s->items[i - 1] = s->items[--s->n];
	}
	qsort(s->items, s->n, sizeof(struct tool_version *), by_name);
}

static struct ga_tool
shown(const struct authority *a, const struct tool_version *v, bool manifest)
{
	struct tool_use use = { 0 };
	struct ga_tool g = { .name = span_str(v->tool->name),
		.user = v->tool->user->name,
		.version = v->version,
		.current = v == v->tool->current,
		.allowed = v == v->tool->allowed,
		.parts = v->parts,
		.created_s = v->created_s,
		.manifest = manifest ? v->manifest : SPAN_EMPTY };

	tools_limits(a, g.name, v->parts, &use);
	g.sandbox = use.sandbox;
	memcpy(g.digest, v->digest, sizeof(g.digest));
	return g;
}

struct page {
	struct ga_tool items[GA_TOOLS_MAX];
	uint32_t n;
	size_t bytes; /* of manifests */
};

static bool
page_put(const struct authority *a, struct page *p, size_t max, const struct tool_version *v,
    bool manifest)
{
	size_t bytes = manifest ? v->manifest.len : 0;

	if (p->n == max || p->bytes + bytes > GA_TOOLS_BYTES_MAX)
		return false;
	p->items[p->n++] = shown(a, v, manifest);
	p->bytes += bytes;
	return true;
}

/*
 * The whole answer, or that it is too much now: a full link would cost the gateway its
 * place, and with it all who are on it.
 */
static struct status
send_tools(struct link *l, uint64_t id, const struct ga_admitted *m)
{
	const struct ga_admitted busy = { .error = ERROR_OVERLOADED, .retry_after_ms = RETRY_MS };

	if (link_queued(l) > TOOLS_QUEUE_MAX)
		link_flush(l);
	return link_send(l, id, GA_ADMITTED, link_queued(l) > TOOLS_QUEUE_MAX ? &busy : m);
}

struct status
tools_send_offer(
    struct authority *a, struct link *l, uint64_t id, const struct key *key, uint8_t attach)
{
	struct ga_admitted m = { .attach = attach, .catalog = tools_catalog(a, key) };
	struct page p = { .n = 0 };
	struct seen s;

	seen_collect(a, key, true, &s);
	for (size_t i = 0; i < s.n; i++) {
		if (!page_put(a, &p, TOOLS_OFFERED_MAX, s.items[i], true))
			break;
	}
	m.tools = (struct wire_list){ p.items, p.n };
	return send_tools(l, id, &m);
}

struct status
tools_send_one(
    struct authority *a, struct link *l, uint64_t id, const struct key *key, struct tool_version *v)
{
	struct ga_admitted m = { .catalog = tools_catalog(a, key) };
	struct ga_tool g = shown(a, v, true);

	m.tools = (struct wire_list){ &g, 1 };
	return send_tools(l, id, &m);
}

/* Names behind `after`. */
static bool
list_page(struct turn *t, struct page *p)
{
	struct seen s;

	seen_collect(t->a, t->key, false, &s);
	for (size_t i = 0; i < s.n; i++) {
		if (strcmp(s.items[i]->tool->name, t->tool) <= 0)
			continue;
		if (!page_put(t->a, p, GA_TOOLS_MAX, s.items[i], true))
			return true;
	}
	return false;
}

/* Newest first; the manifest of the one that was asked for, else of the current one. */
static void
get_page(struct turn *t, struct tool_version *asked, struct page *p)
{
	const struct tool *tool = asked->tool;

	for (uint32_t i = tool->n; i > 0; i--) {
		struct tool_version *v = tool->versions[i - 1];

		/* Of what others own one sees the version that was allowed. */
		if ((t->tool_version != 0 || tool->user != t->key->user) && v != asked)
			continue;
		if (!page_put(t->a, p, GA_TOOLS_MAX, v, v == asked))
			return;
	}
}

struct status
tools_send_page(struct turn *t, struct ga_admitted *m)
{
	struct tool_version *v = NULL;
	struct page p = { .n = 0 };

	if (t->endpoint == ENDPOINT_TOOL_LIST)
		m->more = list_page(t, &p);
	else if (tools_see(t->a, t->key, span_str(t->tool), t->tool_version, &v) == ERROR_NONE)
		get_page(t, v, &p);
	else
		m->error = ERROR_TOOL_NOT_FOUND; /* it went while its record was written */
	m->tools = (struct wire_list){ p.items, p.n };
	return send_tools(t->gw->link, t->reply_id, m);
}

struct status
tools_send_push(struct turn *t, struct ga_admitted *m)
{
	const struct ga_tool g = { .name = span_str(t->run.name),
		.user = t->key->user->name,
		.current = 1,
		.sandbox = t->run.use.sandbox,
		.parts = t->run.parts };

	m->tools = (struct wire_list){ &g, 1 };
	return link_send(t->gw->link, t->reply_id, GA_ADMITTED, m);
}
