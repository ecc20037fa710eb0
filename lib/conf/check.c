/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check.c: what only the whole configuration can tell.
 *
 * Runs in: CLI, supervisor. Trusts: that each value fits its row.
 * Invariants: a configuration that passes names nothing that is not there, holds no rule that can
 * never match, and nothing that this version does not serve.
 * See: conf/conf.h.
 */
#include "internal.h"

#include <stdio.h>

typedef struct status check_fn(const struct checker *k, struct span name);

/* Fail with the line of the path that the format of `where` and `name` gives. */
struct status
conf_refuse(
    const struct checker *k, const char *prefix, struct span name, const char *key, const char *why)
{
	char path[CONF_PATH_MAX + 1];
	int n = snprintf(path, sizeof(path), "%s\x1f%.*s%s%s", prefix, PART(name),
	    key[0] != '\0' ? "\x1f" : "", key);
	struct span s = span_of(path, n > CONF_PATH_MAX ? CONF_PATH_MAX : (size_t)n);
	uint32_t line = conf_line(k->c, s);

	if (line == 0) /* what is missing: where it belongs */
		line = conf_line(k->c, span_of(path, strlen(prefix) + 1 + name.len));
	conf_error(k->error, line, s, "%s", why);
	return fail(E_RANGE);
}

static struct status
each(const struct checker *k, const char *prefix, check_fn *fn)
{
	struct span name;

	for (size_t i = 0; conf_each(k->c, prefix, &i, &name);)
		TRY(fn(k, name));
	return OK;
}

bool
conf_exists(const struct conf *c, const char *prefix, struct span name)
{
	struct span one;

	for (size_t i = 0; conf_each(c, prefix, &i, &one);) {
		if (span_eq(one, name))
			return true;
	}
	return false;
}

static bool
any(const struct conf *c, const char *prefix)
{
	struct span one;
	size_t i = 0;

	return conf_each(c, prefix, &i, &one);
}

/* ---- policies ---- */
static bool
names_something(const char *list)
{
	return list[0] != '\0' && strcmp(list, "*") != 0;
}

/* What an endpoint needs; a test compares it with the table of wire/endpoint.h. */
static const struct {
	const char *name;
	bool model, tools;
	const char *kinds[3]; /* of providers that speak it */
	const char *without_model, *unspoken;
} endpoints[] = {
#define NEVER(name)                                  \
	"can never match: " name " without a model", \
	    "can never match: no model that the policy allows speaks " name
	{ "chat", true, true, { "demo", "openai" }, NEVER("chat") },
	{ "responses", true, true, { "openai" }, NEVER("responses") },
	{ "messages", true, true, { "anthropic" }, NEVER("messages") },
	{ "embeddings", true, false, { "openai" }, NEVER("embeddings") },
	{ "count_tokens", true, false, { "anthropic" }, NEVER("count_tokens") },
#undef NEVER
};
#define ENDPOINTS (sizeof(endpoints) / sizeof(endpoints[0]))

static bool
kind_speaks(const char *kind, size_t endpoint)
{
	for (size_t i = 0; i < sizeof(endpoints[0].kinds) / sizeof(endpoints[0].kinds[0]); i++) {
		if (endpoints[endpoint].kinds[i] != NULL &&
		    strcmp(endpoints[endpoint].kinds[i], kind) == 0)
			return true;
	}
	return false;
}

/* Does a provider of the model speak the endpoint? */
static bool
model_speaks(const struct conf *c, struct span alias, size_t endpoint)
{
	for (unsigned i = 0;; i++) {
		const char *provider = conf_strf(c, "models.%.*s.%u.provider", PART(alias), i);

		if (provider == NULL)
			return false;
		if (kind_speaks(conf_strf(c, "providers.%s.kind", provider), endpoint))
			return true;
	}
}

/* What one policy lets happen, given the models and sandboxes that exist. */
struct reach {
	const char *endpoints, *models, *tools, *languages, *attach;
	bool asking, tooling, listing, execute, interpreter;
	bool storing, calling; /* users' tools, apart from turns */
};

static struct reach
policy_reach(const struct conf *c, struct span name)
{
	struct reach r = {
		.endpoints = conf_strf(c, "policies.%.*s.endpoints", PART(name)),
		.models = conf_strf(c, "policies.%.*s.models", PART(name)),
		.tools = conf_strf(c, "policies.%.*s.tools", PART(name)),
		.languages = conf_strf(c, "policies.%.*s.languages", PART(name)),
		.attach = conf_strf(c, "policies.%.*s.attach", PART(name)),
	};

	for (size_t i = 0; i < ENDPOINTS; i++) {
		bool is = conf_list_has(r.endpoints, span_str(endpoints[i].name));

		r.asking = r.asking || (is && endpoints[i].model);
		r.tooling = r.tooling || (is && endpoints[i].tools);
	}
	r.listing = conf_list_has(r.endpoints, SPAN_LIT("models"));
	r.execute = conf_list_has(r.endpoints, SPAN_LIT("execute"));
	r.storing = conf_list_has(r.endpoints, SPAN_LIT("tools"));
	r.calling = conf_list_has(r.endpoints, SPAN_LIT("tool_call"));
	r.interpreter = r.tooling && conf_list_has(r.tools, SPAN_LIT("code_interpreter"));
	return r;
}

static const char *
unknown_in(const struct conf *c, const char *list, const char *prefix)
{
	struct span item;

	for (size_t i = 0; conf_list_next(list, &i, &item);) {
		if (!span_eq_str(item, "*") && !conf_exists(c, prefix, item))
			return "names one that does not exist in this configuration";
	}
	return NULL;
}

static const char *
tools_fault(const struct reach *r)
{
	bool theirs = false;
	struct span item;

	for (size_t i = 0; conf_list_next(r->tools, &i, &item);) {
		if (span_eq_str(item, "code_interpreter"))
			continue;
		if (!span_eq_str(item, "*") && !conf_tool_name_ok(item))
			return "names no tool: 1 to 64 of A-Z a-z 0-9 _ -";
		theirs = true;
	}
	if (!names_something(r->tools) || r->tooling || (theirs && (r->storing || r->calling)))
		return NULL;
	return "can never match: the policy allows no endpoint with tools";
}

/* A model that is named, and that no endpoint of the policy can ask or list. */
static bool
any_out_of_reach(const struct conf *c, const struct reach *r)
{
	struct span alias;

	for (size_t i = 0; !r->listing && conf_list_next(r->models, &i, &alias);) {
		bool reached = span_eq_str(alias, "*");

		for (size_t e = 0; e < ENDPOINTS && !reached; e++)
			reached = conf_list_has(r->endpoints, span_str(endpoints[e].name)) &&
				  model_speaks(c, alias, e);
		if (!reached)
			return true;
	}
	return false;
}

/* The first thing wrong with the policy: its key and why. */
static const char *
policy_fault(const struct conf *c, const struct reach *r, const char **key)
{
	const char *why;

	*key = "models";
	if ((why = unknown_in(c, r->models, "models")) != NULL)
		return why;
	if (names_something(r->models) && !r->asking && !r->listing)
		return "can never match: the policy allows no endpoint that asks or lists models";
	*key = "languages";
	if ((why = unknown_in(c, r->languages, "sandboxes")) != NULL)
		return why;
	if (names_something(r->languages) && !r->execute && !r->interpreter)
		return "can never match: the policy allows neither execute nor code_interpreter";
	*key = "tools";
	if ((why = tools_fault(r)) != NULL)
		return why;
	*key = "attach";
	if (r->attach[0] != '\0' && !r->interpreter)
		return "can never match: the policy allows no endpoint with code_interpreter";
	if (r->attach[0] != '\0' && r->languages[0] == '\0')
		return "can never match: the policy allows no language";
	*key = "models";
	if (any_out_of_reach(c, r))
		return "can never match: names one that no endpoint of the policy can ask";
	return NULL;
}

/* An endpoint that the policy names, and that none of its models speaks. */
static const char *
unspoken_fault(const struct conf *c, const struct reach *r)
{
	struct span alias;

	for (size_t e = 0; e < ENDPOINTS; e++) {
		bool spoken = !conf_list_has(r->endpoints, span_str(endpoints[e].name));

		for (size_t i = 0; !spoken && conf_each(c, "models", &i, &alias);)
			spoken = conf_list_has(r->models, alias) && model_speaks(c, alias, e);
		if (!spoken)
			return endpoints[e].unspoken;
	}
	return NULL;
}

/* Endpoints that a policy names must lead somewhere. */
static const char *
endpoint_fault(const struct conf *c, const struct reach *r)
{
	bool models = any(c, "models") && r->models[0] != '\0';
	bool languages = any(c, "sandboxes") && r->languages[0] != '\0';
	bool tools = r->tools[0] != '\0' && strcmp(r->tools, "code_interpreter") != 0;

	if (r->endpoints[0] == '\0')
		return "the policy allows no endpoint";
	if (strcmp(r->endpoints, "*") == 0)
		return models || languages || tools
			   ? NULL
			   : "no model and no language, nor a tool, is left to allow";
	for (size_t i = 0; i < ENDPOINTS && !models; i++) {
		if (conf_list_has(r->endpoints, span_str(endpoints[i].name)))
			return endpoints[i].without_model;
	}
	if (r->execute && !languages)
		return "can never match: execute without a language";
	if ((r->calling || r->storing) && !tools)
		return "can never match: tool_call or tools without the name of a tool";
	return unspoken_fault(c, r);
}

static struct status
check_policy(const struct checker *k, struct span name)
{
	struct reach r = policy_reach(k->c, name);
	const char *key, *why = policy_fault(k->c, &r, &key);

	if (why != NULL)
		return conf_refuse(k, "policies", name, key, why);
	why = endpoint_fault(k->c, &r);
	return why == NULL ? OK : conf_refuse(k, "policies", name, "endpoints", why);
}

/* ---- models, sandboxes, the rest ---- */
static struct status
check_model(const struct checker *k, struct span name)
{
	const char *provider;
	char key[32];

	for (unsigned i = 0;; i++) {
		provider = conf_strf(k->c, "models.%.*s.%u.provider", PART(name), i);
		if (provider == NULL)
			return OK;
		(void)snprintf(key, sizeof(key), "%u\x1fprovider", i);
		if (i == CONF_ENTRIES_OF_MODEL_MAX)
			return conf_refuse(k, "models", name, key, "is one entry too many (8)");
		if (!conf_exists(k->c, "providers", span_str(provider)))
			return conf_refuse(
			    k, "models", name, key, "names a provider that is not there");
	}
}

static struct status
check_sandbox(const struct checker *k, struct span name)
{
	static const char *const engines[] = { "runsc", "image", "manifest" };

	if (!span_eq_str(name, "python") && !span_eq_str(name, "javascript") &&
	    !span_eq_str(name, "sh"))
		return conf_refuse(
		    k, "sandboxes", name, "", "is no language (python, javascript, sh)");
	if (!span_eq_str(name, "python") &&
	    conf_u64f(k->c, "sandboxes.%.*s.pool_data", PART(name)) > 0)
		return conf_refuse(k, "sandboxes", name, "pool_data", "is for python only");
	for (size_t i = 0; i < sizeof(engines) / sizeof(engines[0]); i++) {
		if (conf_strf(k->c, "engines.%s", engines[i]) == NULL)
			return conf_refuse(k, "engines", span_str(engines[i]), "",
			    "is missing, and there are sandboxes");
	}
	return OK;
}

/* A pool that never gets its slots would never be warm, and the service never ready. */
static struct status
check_pools(const struct checker *k)
{
	struct span name;
	uint64_t n = 0;

	for (size_t i = 0; conf_each(k->c, "sandboxes", &i, &name);) {
		n += conf_u64f(k->c, "sandboxes.%.*s.pool", PART(name)) +
		     conf_u64f(k->c, "sandboxes.%.*s.pool_data", PART(name));
		if (n > CONF_POOLS_MAX)
			return conf_refuse(k, "sandboxes", name, "pool",
			    "all pools together have more than 512 sandboxes");
	}
	return OK;
}

static struct status
check_limits(const struct checker *k)
{
	if (conf_u64(k->c, "limits.bodies_total_bytes") < conf_u64(k->c, "limits.body_bytes"))
		return conf_refuse(k, "limits", SPAN_LIT("bodies_total_bytes"), "",
		    "is less than limits.body_bytes");
	if (conf_u64(k->c, "limits.connections_per_source") >
		conf_u64(k->c, "limits.connections") &&
	    conf_line(k->c, SPAN_LIT("limits\x1f"
				     "connections_per_source")) != 0)
		return conf_refuse(k, "limits", SPAN_LIT("connections_per_source"), "",
		    "can never match: it is more than limits.connections");
	return OK;
}

struct status
conf_check(const struct conf *c, char error[CONF_ERROR_MAX])
{
	struct checker k = { .c = c, .error = error };

	if (!any(c, "policies")) {
		conf_error(error, 0, SPAN_LIT("policies"), "is missing: no key could do anything");
		return fail(E_NOTFOUND);
	}
	TRY(each(&k, "providers", conf_check_provider));
	TRY(each(&k, "models", check_model));
	TRY(each(&k, "sandboxes", check_sandbox));
	TRY(check_pools(&k));
	TRY(conf_check_sources(c, error));
	TRY(each(&k, "policies", check_policy));
	TRY(each(&k, "tools", conf_check_tool));
	TRY(conf_check_oidc(&k));
	TRY(conf_check_clients(&k));
	return check_limits(&k);
}
