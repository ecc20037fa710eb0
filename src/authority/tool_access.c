/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tool_access.c: what a key sees of the table of tools, how a version would run, and whether a
 * new one may be stored.
 *
 * Runs in: authority. Trusts: the table; a manifest's wishes no further than the
 * configuration allows. Owns: nothing.
 * Invariants: a look-up begins at a key's user or tenant; another user's version is seen only
 * where it was allowed and the configuration shares it with the key's policy.
 * See: tools.h; tools.c (the table), tool_rules.c (the configuration).
 */
#include "authority.h"

#include <manifest/manifest.h>

static const struct tool_rule *
rule_of(const struct authority *a, struct span name)
{
	return tool_rules_find(&a->policies.tools, name);
}

bool
tools_is_shared_with(const struct authority *a, const struct key *key, const struct tool *t)
{
	return t->allowed != NULL && t->user != key->user &&
	       name_set_has(&rule_of(a, span_str(t->name))->allow, span_str(key->policy->name));
}

enum error
tools_find(struct authority *a, const struct key *key, struct span name, uint32_t version,
    struct tool_version **ret)
{
	const struct permit may = key_permit(key);
	const struct tenant_tools *tenant = tools_tenant(a, key->user->tenant);
	struct tool *t = tools_own(key->user, name);

	*ret = NULL;
	if (!permit_has(&may, LIST_TOOLS, name) || tenant == NULL)
		return ERROR_TOOL_NOT_FOUND;
	if (t != NULL) {
		*ret = tool_version_of(t, version);
		return *ret != NULL ? ERROR_NONE : ERROR_TOOL_NOT_FOUND;
	}
	LIST_FOREACH(t, &tenant->shared, of_tenant)
	{
		if (!span_eq_str(name, t->name) || !tools_is_shared_with(a, key, t))
			continue;
		if (version != 0 && t->allowed->version != version)
			break;
		*ret = t->allowed;
		return ERROR_NONE;
	}
	return ERROR_TOOL_NOT_FOUND;
}

enum error
tools_see(struct authority *a, const struct key *key, struct span name, uint32_t version,
    struct tool_version **ret)
{
	struct tool *t = tools_own(key->user, name);

	if (t == NULL)
		return tools_find(a, key, name, version, ret);
	*ret = tool_version_of(t, version);
	return *ret != NULL ? ERROR_NONE : ERROR_TOOL_NOT_FOUND;
}

static uint8_t
sandbox_for(const struct tool_rule *rule, uint8_t parts)
{
	if (rule->sandbox != 0)
		return rule->sandbox;
	return (parts & TOOL_HAS_MODULE) != 0 ? TOOL_WASM : TOOL_GVISOR;
}

static bool
has_part_for(uint8_t sandbox, uint8_t parts)
{
	return (parts & (sandbox == TOOL_WASM ? TOOL_HAS_MODULE : TOOL_HAS_NATIVE)) != 0;
}

static uint32_t
smaller(uint32_t asked, uint32_t allowed)
{
	return asked != 0 && asked < allowed ? asked : allowed;
}

enum error
tools_use(const struct authority *a, const struct tool_version *v, struct tool_use *ret)
{
	const struct tool_rule *rule = rule_of(a, span_str(v->tool->name));
	uint8_t sandbox = sandbox_for(rule, v->parts);

	if (!has_part_for(sandbox, v->parts))
		return ERROR_TOOL_SANDBOX;
	*ret = (struct tool_use){ .id = v->id,
		.version = v->version,
		.sandbox = sandbox,
		.capabilities = v->capabilities & rule->capabilities,
		.time_ms = smaller(v->time_ms, rule->time_ms),
		.memory_mb = smaller(v->memory_mb, rule->memory_mb),
		.output_kb = smaller(v->output_kb, rule->output_kb) };
	memcpy(ret->artefact, sandbox == TOOL_WASM ? v->artefact : v->native, DIGEST_LEN);
	return ERROR_NONE;
}

void
tools_limits(const struct authority *a, struct span name, uint8_t parts, struct tool_use *ret)
{
	const struct tool_rule *rule = rule_of(a, name);

	*ret = (struct tool_use){ .sandbox = sandbox_for(rule, parts),
		.capabilities = rule->capabilities,
		.time_ms = rule->time_ms,
		.memory_mb = rule->memory_mb,
		.output_kb = rule->output_kb };
}

/* Another number for each other pair, as good as surely. */
static uint64_t
mixed(uint64_t a, uint64_t b)
{
	a = (a ^ b) * 0x9e3779b97f4a7c15;
	return a ^ a >> 29;
}

uint64_t
tools_catalog(struct authority *a, const struct key *key)
{
	const struct permit may = key_permit(key);
	const struct tenant_tools *tenant = tools_tenant(a, key->user->tenant);
	const struct tool *t;
	bool any = false;
	uint64_t state;

	if (may.policy == NULL || tenant == NULL)
		return 0;
	LIST_FOREACH(t, &key->user->tools, of_user)
	any = any || permit_has(&may, LIST_TOOLS, span_str(t->name));
	LIST_FOREACH(t, &tenant->shared, of_tenant)
	any = any ||
	      (permit_has(&may, LIST_TOOLS, span_str(t->name)) && tools_is_shared_with(a, key, t));
	if (!any)
		return 0;
	state = mixed(tenant->generation, a->d->generation);
	state = mixed(state, key->changes);
	if (key->parent != NULL)
		state = mixed(state, key->parent->changes);
	return state != 0 ? state : 1;
}

enum error
tools_decide_push(const struct authority *a, const struct key *key, struct span name, uint8_t parts)
{
	const struct permit may = key_permit(key);
	const struct tool_rule *rule = rule_of(a, name);
	const struct tenant_tools *tenant = tools_tenant(a, key->user->tenant);
	const struct tool *t = tools_own(key->user, name);
	uint32_t n = 0;

	if (!manifest_name_ok(name) || span_eq_str(name, "code_interpreter") ||
	    span_eq_str(name, "python") || span_eq_str(name, "javascript") ||
	    span_eq_str(name, "sh"))
		return ERROR_TOOL_INVALID;
	if (!permit_has(&may, LIST_TOOLS, name))
		return ERROR_DENIED;
	if (parts == 0 || !has_part_for(sandbox_for(rule, parts), parts))
		return ERROR_TOOL_SANDBOX;
	if (a->tools.n == TOOL_VERSIONS_ALL_MAX ||
	    (tenant != NULL && tenant->nversions >= TOOL_VERSIONS_TENANT_MAX))
		return ERROR_TOOL_COUNT;
	if (t != NULL)
		return t->n < TOOL_VERSIONS_MAX ? ERROR_NONE : ERROR_TOOL_COUNT;
	LIST_FOREACH(t, &key->user->tools, of_user)
	n++;
	return n < TOOLS_PER_USER_MAX ? ERROR_NONE : ERROR_TOOL_COUNT;
}
