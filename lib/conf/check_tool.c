/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_tool.c: the table of tools: users' own, and code as `python`, `javascript`, `sh`.
 *
 * Runs in: CLI, supervisor. Trusts: that each value fits its row.
 * Invariants: no key without effect: an entry of code has only what lowers its sandbox's
 * limits, and a policy is named only where its keys could use the tool.
 * See: check.c, wire/tool.h.
 */
#include "internal.h"

#include <stdio.h>

static const char *const languages[] = { "python", "javascript", "sh" };

bool
conf_tool_name_ok(struct span name)
{
	if (name.len == 0 || name.len > CONF_NAME_MAX)
		return false;
	for (size_t i = 0; i < name.len; i++) {
		uint8_t c = name.ptr[i];

		if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
			c == '_' || c == '-'))
			return false;
	}
	return true;
}

static bool
is_language(struct span name)
{
	for (size_t i = 0; i < sizeof(languages) / sizeof(languages[0]); i++) {
		if (span_eq_str(name, languages[i]))
			return true;
	}
	return false;
}

static const char *
sandbox_of(const struct conf *c, struct span name)
{
	return conf_strf(c, "tools.%.*s.sandbox", PART(name));
}

/* Could a key of that policy use the tool at all? */
static bool
policy_reaches(const struct conf *c, struct span policy, struct span tool, bool language)
{
	const char *endpoints = conf_strf(c, "policies.%.*s.endpoints", PART(policy));
	const char *list = conf_strf(
	    c, language ? "policies.%.*s.languages" : "policies.%.*s.tools", PART(policy));
	static const char *const theirs[] = { "chat", "responses", "messages", "tool_call" };

	if (!conf_list_has(list, tool))
		return false;
	for (size_t i = 0; i < sizeof(theirs) / sizeof(theirs[0]); i++) {
		if (conf_list_has(endpoints, span_str(theirs[i])))
			return true;
	}
	return language; /* a policy with a language that it cannot run was refused before */
}

static const char *
allow_fault(const struct conf *c, struct span name, bool language)
{
	const char *list = conf_strf(c, "tools.%.*s.allow", PART(name));
	struct span item;

	for (size_t i = 0; list != NULL && conf_list_next(list, &i, &item);) {
		if (span_eq_str(item, "*"))
			continue;
		if (!conf_exists(c, "policies", item))
			return "names a policy that does not exist";
		if (!policy_reaches(c, item, name, language))
			return "can never match: names a policy whose keys may not use the tool";
	}
	return NULL;
}

/* Code: its sandbox is fixed, and its limits are lowered only. */
static const char *
language_fault(const struct conf *c, struct span name, const char **key)
{
	const char *ms = conf_strf(c, "tools.%.*s.limits.time_ms", PART(name));
	uint64_t v = 0;

	*key = "";
	if (!conf_exists(c, "sandboxes", name))
		return "can never match: there is no sandbox of that name";
	*key = "sandbox";
	if (sandbox_of(c, name) != NULL && strcmp(sandbox_of(c, name), "gvisor") != 0)
		return "code runs in gVisor only";
	*key = "capabilities";
	if (conf_strf(c, "tools.%.*s.capabilities", PART(name))[0] != '\0')
		return "is not for code";
	*key = "limits\x1fmemory_mb";
	if (conf_strf(c, "tools.%.*s.limits.memory_mb", PART(name)) != NULL)
		return "is not for code: set sandboxes.NAME.memory_mb";
	*key = "limits\x1foutput_kb";
	if (conf_strf(c, "tools.%.*s.limits.output_kb", PART(name)) != NULL)
		return "is not for code: set sandboxes.NAME.output_kb";
	*key = "limits\x1ftime_ms";
	if (ms != NULL && is_ok(span_u64(span_str(ms), UINT64_MAX, &v)) &&
	    v > conf_u64f(c, "sandboxes.%.*s.wall_s", PART(name)) * 1000)
		return "can never match: it is more than the sandbox's wall_s";
	return NULL;
}

struct status
conf_check_tool(const struct checker *k, struct span name)
{
	bool language = is_language(name);
	const char *key = "", *why = NULL;

	if (!conf_tool_name_ok(name) || span_eq_str(name, "code_interpreter"))
		return conf_refuse(
		    k, "tools", name, "", "is no name of a tool: 1 to 64 of A-Z a-z 0-9 _ -");
	if (language)
		why = language_fault(k->c, name, &key);
	if (why == NULL && sandbox_of(k->c, name) != NULL &&
	    strcmp(sandbox_of(k->c, name), "gvisor") == 0 &&
	    conf_strf(k->c, "tools.%.*s.capabilities", PART(name))[0] != '\0') {
		key = "capabilities";
		why = "can never match: a tool in gVisor has its sandbox's files anyway";
	}
	if (why == NULL) {
		key = "allow";
		why = allow_fault(k->c, name, language);
	}
	return why == NULL ? OK : conf_refuse(k, "tools", name, key, why);
}
