/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tool_rules.c: what the configuration says of tools by their names.
 *
 * Runs in: authority. Trusts: the configuration slice, which was checked.
 * Owns: copies of all names. Invariants: a name without an entry has the defaults, and
 * is shared with nobody. See: tool_rules.h, lib/conf/check_tool.c.
 */
#include "tool_rules.h"

#include <stdlib.h>

static const struct tool_rule defaults = {
	.time_ms = TOOL_TIME_MS, .memory_mb = TOOL_MEMORY_MB, .output_kb = TOOL_OUTPUT_KB
};

static uint32_t
number(const struct conf *conf, const char *name, const char *key, uint32_t otherwise)
{
	const char *text = conf_strf(conf, "tools.%s.limits.%s", name, key);
	uint64_t v;

	if (text == NULL || !is_ok(span_u64(span_str(text), UINT32_MAX, &v)))
		return otherwise;
	return (uint32_t)v;
}

static uint8_t
sandbox_of(const char *text)
{
	for (uint8_t i = TOOL_WASM; text != NULL && i <= TOOL_GVISOR; i++) {
		if (strcmp(text, tool_sandbox_names[i]) == 0)
			return i;
	}
	return 0;
}

static struct status
rule_load(const struct conf *conf, struct span name, struct tool_rule *r)
{
	const char *allow;

	*r = defaults;
	TRY(span_to_cstr(name, r->name, sizeof(r->name)));
	r->sandbox = sandbox_of(conf_strf(conf, "tools.%s.sandbox", r->name));
	r->time_ms = number(conf, r->name, "time_ms", TOOL_TIME_MS);
	r->time_is_said = conf_strf(conf, "tools.%s.limits.time_ms", r->name) != NULL;
	r->memory_mb = number(conf, r->name, "memory_mb", TOOL_MEMORY_MB);
	r->output_kb = number(conf, r->name, "output_kb", TOOL_OUTPUT_KB);
	if (conf_list_has(conf_strf(conf, "tools.%s.capabilities", r->name), SPAN_LIT("files")))
		r->capabilities = TOOL_CAN_FILES;
	allow = conf_strf(conf, "tools.%s.allow", r->name);
	r->restricted = allow != NULL;
	return name_set_parse(allow, &r->allow);
}

struct status
tool_rules_load(const struct conf *conf, struct tool_rules *ret)
{
	struct tool_rules r = { 0 };
	struct status st = OK;
	struct span name;
	size_t n = 0;

	for (size_t iter = 0; conf_each(conf, "tools", &iter, &name);)
		n++;
	r.items = calloc(n + 1, sizeof(r.items[0]));
	if (r.items == NULL)
		return fail(E_NOMEM);
	for (size_t iter = 0; is_ok(st) && conf_each(conf, "tools", &iter, &name);)
		st = rule_load(conf, name, &r.items[r.n++]);
	if (!is_ok(st)) {
		tool_rules_done(&r);
		return st;
	}
	*ret = r;
	return OK;
}

void
tool_rules_done(struct tool_rules *r)
{
	for (size_t i = 0; i < r->n; i++)
		name_set_done(&r->items[i].allow);
	free(r->items);
	*r = (struct tool_rules){ 0 };
}

const struct tool_rule *
tool_rules_find(const struct tool_rules *r, struct span name)
{
	for (size_t i = 0; i < r->n; i++) {
		if (span_eq_str(name, r->items[i].name))
			return &r->items[i];
	}
	return &defaults;
}
