/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy.c: what a key may do.
 *
 * Runs in: authority. Trusts: the configuration slice, which the supervisor has
 * checked. Owns: copies of all names, so that a new slice changes nothing here.
 * Invariants: whatever is not allowed by name or "*" is refused; what does not
 * exist is never allowed, not even by "*".
 * See: policy.h.
 */
#include "policy.h"

#include <stdlib.h>

static const struct {
	uint8_t bit;
	const char *name;
} tool_names[] = {
	{ TOOL_CODE_INTERPRETER, "code_interpreter" },
};
#define TOOLS (sizeof(tool_names) / sizeof(tool_names[0]))

static struct status set_of_children(
    const struct conf *conf, const char *prefix, struct name_set *ret);
static struct status policy_load(const struct conf *conf, struct span name, struct policy *p);

struct status
policies_load(const struct conf *conf, struct policies *ret)
{
	struct policies p = { 0 };
	struct status st = OK;
	struct span name;
	size_t n = 0;

	for (size_t iter = 0; conf_each(conf, "policies", &iter, &name);)
		n++;
	p.items = calloc(n + 1, sizeof(p.items[0]));
	if (p.items == NULL)
		return fail(E_NOMEM);
	for (size_t iter = 0; is_ok(st) && conf_each(conf, "policies", &iter, &name);)
		st = policy_load(conf, name, &p.items[p.n++]);
	if (is_ok(st))
		st = set_of_children(conf, "models", &p.models);
	if (is_ok(st))
		st = set_of_children(conf, "sandboxes", &p.languages);
	if (is_ok(st))
		st = tool_rules_load(conf, &p.tools);
	if (!is_ok(st)) {
		policies_done(&p);
		return st;
	}
	p.user_limits.per_min = (uint32_t)conf_u64(conf, "limits.user_requests_per_min");
	p.user_limits.concurrent = (uint32_t)conf_u64(conf, "limits.user_concurrent");
	p.turn_steps = (uint32_t)conf_u64(conf, "limits.turn_steps");
	p.turn_s = (uint32_t)conf_u64(conf, "limits.turn_s");
	p.session_s = (uint32_t)conf_u64(conf, "sessions.max_s");
	p.auth_failures_per_s = (uint32_t)conf_u64(conf, "limits.auth_failures_per_s");
	p.keeps_responses = conf_bool(conf, "store.responses");
	p.revokes_leaked = conf_bool(conf, "keys.revoke_leaked");
	*ret = p;
	return OK;
}

/* What is lost with the old ones must not open anything, nor let a leaked key live. */
struct status
policies_replace(const struct conf *conf, struct policies *p)
{
	struct policies fresh = { .revokes_leaked = p->revokes_leaked };
	struct status st = policies_load(conf, &fresh);

	policies_done(p);
	*p = fresh;
	return st;
}

void
policies_done(struct policies *p)
{
	for (size_t i = 0; i < p->n; i++) {
		for (size_t l = 0; l < LIST_COUNT; l++)
			name_set_done(&p->items[i].lists[l]);
	}
	free(p->items);
	name_set_done(&p->models);
	name_set_done(&p->languages);
	tool_rules_done(&p->tools);
	*p = (struct policies){ 0 };
}

static uint8_t
tool_bits(const struct name_set *s)
{
	uint8_t bits = 0;

	for (size_t i = 0; i < TOOLS; i++) {
		if (name_set_has(s, span_str(tool_names[i].name)))
			bits |= tool_names[i].bit;
	}
	return bits;
}

/* Masked, where nothing is said. */
static enum policy_credentials
credentials_of(const char *word)
{
	if (word != NULL && strcmp(word, "keep") == 0)
		return POLICY_KEEPS;
	return word != NULL && strcmp(word, "refuse") == 0 ? POLICY_REFUSES : POLICY_MASKS;
}

static struct status
policy_load(const struct conf *conf, struct span name, struct policy *p)
{
	static const char *const lists[LIST_COUNT] = {
		[LIST_ENDPOINTS] = "endpoints",
		[LIST_MODELS] = "models",
		[LIST_TOOLS] = "tools",
		[LIST_LANGUAGES] = "languages",
	};
	struct name_set attach = { 0 };

	TRY(span_to_cstr(name, p->name, sizeof(p->name)));
	for (size_t i = 0; i < LIST_COUNT; i++)
		TRY(name_set_parse(
		    conf_strf(conf, "policies.%s.%s", p->name, lists[i]), &p->lists[i]));
	TRY(name_set_parse(conf_strf(conf, "policies.%s.attach", p->name), &attach));
	p->attach = tool_bits(&attach) & tool_bits(&p->lists[LIST_TOOLS]);
	name_set_done(&attach);
	p->credentials = credentials_of(conf_strf(conf, "policies.%s.credentials", p->name));
	p->limits.per_min = (uint32_t)conf_u64f(conf, "policies.%s.requests_per_min", p->name);
	p->limits.concurrent = (uint32_t)conf_u64f(conf, "policies.%s.concurrent", p->name);
	return OK;
}

const struct policy *
policies_find(const struct policies *p, struct span name)
{
	for (size_t i = 0; i < p->n; i++) {
		if (span_eq_str(name, p->items[i].name))
			return &p->items[i];
	}
	return NULL;
}

/* ---- refs ---- */

struct status
policy_ref_get(
    struct policy_refs *refs, const struct policies *p, struct span name, struct policy_ref **ret)
{
	struct policy_ref *r;

	for (size_t i = 0; i < refs->n; i++) {
		if (span_eq_str(name, refs->items[i]->name)) {
			*ret = refs->items[i];
			return OK;
		}
	}
	if (refs->n == POLICY_REFS_MAX)
		return fail(E_FULL);
	if (refs->items == NULL)
		refs->items = calloc(POLICY_REFS_MAX, sizeof(struct policy_ref *));
	r = calloc(1, sizeof(*r));
	if (refs->items == NULL || r == NULL ||
	    !is_ok(span_to_cstr(name, r->name, sizeof(r->name)))) {
		free(r);
		return fail(name.len > POLICY_MAX ? E_RANGE : E_NOMEM);
	}
	r->now = policies_find(p, name);
	refs->items[refs->n++] = r;
	*ret = r;
	return OK;
}

void
policy_refs_resolve(struct policy_refs *refs, const struct policies *p)
{
	for (size_t i = 0; i < refs->n; i++)
		refs->items[i]->now = policies_find(p, span_str(refs->items[i]->name));
}

void
policy_refs_done(struct policy_refs *refs)
{
	for (size_t i = 0; i < refs->n; i++)
		free(refs->items[i]);
	free(refs->items);
	*refs = (struct policy_refs){ 0 };
}

/* ---- decisions ---- */

bool
permit_has(const struct permit *m, enum policy_list list, struct span name)
{
	if (m->policy == NULL || !name_set_has(&m->policy->lists[list], name))
		return false;
	for (size_t i = 0; i < PERMIT_SCOPES; i++) {
		if (!scope_has(m->scopes[i], list, name))
			return false;
	}
	return true;
}

uint8_t
permit_tools(const struct permit *m, uint8_t tools)
{
	uint8_t bits = 0;

	for (size_t i = 0; i < TOOLS; i++) {
		if (permit_has(m, LIST_TOOLS, span_str(tool_names[i].name)))
			bits |= tool_names[i].bit;
	}
	return tools & bits;
}

static enum error
decide_model(const struct policies *all, const struct permit *m, const struct demand *d)
{
	/* What does not exist and what is not allowed look the same to the caller. */
	if (!name_set_has(&all->models, d->model) || !permit_has(m, LIST_MODELS, d->model))
		return ERROR_MODEL_NOT_FOUND;
	return permit_tools(m, d->tools) == d->tools ? ERROR_NONE : ERROR_DENIED;
}

static enum error
decide_language(const struct policies *all, const struct permit *m, struct span language)
{
	const struct tool_rule *rule = tool_rules_find(&all->tools, language);

	if (!name_set_has(&all->languages, language))
		return ERROR_LANGUAGE;
	if (rule->restricted && !name_set_has(&rule->allow, span_str(m->policy->name)))
		return ERROR_DENIED;
	return permit_has(m, LIST_LANGUAGES, language) ? ERROR_NONE : ERROR_DENIED;
}

enum error
policy_decide(const struct policies *all, const struct permit *m, const struct demand *d)
{
	if (d->endpoint < ENDPOINT_CHAT || d->endpoint >= ENDPOINT_OTHER)
		return ERROR_NO_ROUTE;
	if (d->endpoint == ENDPOINT_OPENAPI)
		return ERROR_NONE;
	if (!permit_has(m, LIST_ENDPOINTS, span_str(endpoint_rows[d->endpoint].name)))
		return ERROR_DENIED;
	if (endpoint_rows[d->endpoint].asks_model)
		return decide_model(all, m, d);
	return d->endpoint == ENDPOINT_EXECUTE ? decide_language(all, m, d->language) : ERROR_NONE;
}

enum error
policy_decide_run(
    const struct policies *all, const struct permit *m, uint8_t tools, struct span language)
{
	if (permit_tools(m, tools & TOOL_CODE_INTERPRETER) == 0)
		return ERROR_DENIED;
	return decide_language(all, m, language);
}

struct status
policy_models(const struct policies *all, const struct permit *m, struct buf *out)
{
	for (size_t i = 0; i < all->models.n; i++) {
		if (!permit_has(m, LIST_MODELS, all->models.names[i]))
			continue;
		if (out->len > 0)
			TRY(buf_put_u8(out, '\n'));
		TRY(buf_put_span(out, all->models.names[i]));
	}
	return OK;
}

static struct status
set_of_children(const struct conf *conf, const char *prefix, struct name_set *ret)
{
	struct buf joined = BUF_INIT(CONF_SLICE_MAX);
	struct status st = OK;
	struct span name;

	for (size_t iter = 0; is_ok(st) && conf_each(conf, prefix, &iter, &name);) {
		st = buf_put_span(&joined, name);
		if (is_ok(st))
			st = buf_put_u8(&joined, ' ');
	}
	if (is_ok(st) && joined.len > 0) {
		joined.ptr[joined.len - 1] = '\0';
		st = name_set_parse((const char *)joined.ptr, ret);
	}
	buf_done(&joined);
	return st;
}
