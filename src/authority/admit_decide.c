/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admit_decide.c: may this request be served? Limits, roles, policy, and what its endpoint asks
 * beyond them.
 *
 * Runs in: authority. Trusts: the gateway only for what a client on it could have said itself.
 * Owns: nothing; a version of a tool that is decided on is held by the turn's run.
 * Invariants: a request counts against its limits before anything else is decided; the first
 * that refuses is what the caller learns; nothing is recorded here.
 * See: admit.c, which asks and records; policy.c, roles.c, quota.c, keeping.c, tool_access.c.
 */
#include "authority.h"

#include <stdio.h>

#include <base/clock.h>

#include "roles.h"

/* Who acts on a request; NULL: nobody but us. */
static const struct peer *
actor_of(const struct authority *a, uint8_t endpoint)
{
	if (endpoint_rows[endpoint].asks_model)
		return &a->broker;
	if (endpoint == ENDPOINT_TOOL_REMOVE || endpoint == ENDPOINT_TOOL_CURRENT ||
	    endpoint == ENDPOINT_CONVERSATIONS || endpoint == ENDPOINT_STORED_RESPONSES ||
	    endpoint == ENDPOINT_FILES)
		return &a->store;
	if (endpoint == ENDPOINT_EXECUTE || endpoint == ENDPOINT_TOOL_PUSH ||
	    endpoint == ENDPOINT_TOOL_CALL)
		return &a->executor;
	return NULL;
}

/* A tool of the key's own user, to be changed. */
static enum error
decide_change(struct turn *t, const struct ga_admit *m)
{
	struct tool *tool = tools_own(t->key->user, m->tool_name);
	struct tool_version *v = tool == NULL ? NULL : tool_version_of(tool, m->tool_version);
	struct run *r = &t->run;

	if (v == NULL || (m->endpoint == ENDPOINT_TOOL_CURRENT && m->tool_version == 0))
		return ERROR_TOOL_NOT_FOUND;
	r->kind = RUN_OF_CHANGE;
	r->mark = m->endpoint == ENDPOINT_TOOL_CURRENT ? TOOL_MARK_CURRENT : 0;
	r->all = m->tool_version == 0;
	r->tool = v;
	tools_hold(v);
	r->use.version = m->tool_version;
	if (m->tool_version != 0)
		memcpy(r->tool_digest, v->digest, sizeof(r->tool_digest));
	return ERROR_NONE;
}

static enum error
decide_push(struct turn *t, const struct ga_admit *m)
{
	enum error error = tools_decide_push(t->a, t->key, m->tool_name, m->tool_parts);

	t->run.kind = RUN_OF_BUILD;
	t->run.parts = m->tool_parts;
	if (error == ERROR_NONE)
		tools_limits(t->a, m->tool_name, m->tool_parts, &t->run.use);
	return error;
}

/* What the endpoints of tools ask beyond the policy; a name that is none of ours is not kept. */
static enum error
decide_tool(struct turn *t, const struct ga_admit *m)
{
	struct tool_version *v = NULL;
	enum error error = ERROR_NONE;

	if (m->endpoint == ENDPOINT_TOOL_PUSH)
		error = decide_push(t, m);
	else if (m->endpoint == ENDPOINT_TOOL_REMOVE || m->endpoint == ENDPOINT_TOOL_CURRENT)
		error = decide_change(t, m);
	else if (m->endpoint == ENDPOINT_TOOL_CALL || m->endpoint == ENDPOINT_TOOL_GET)
		error = m->endpoint == ENDPOINT_TOOL_GET
			    ? tools_see(t->a, t->key, m->tool_name, m->tool_version, &v)
			    : tools_find(t->a, t->key, m->tool_name, m->tool_version, &v);
	else if (m->endpoint != ENDPOINT_TOOL_LIST)
		return ERROR_NONE;
	if (error == ERROR_NONE && m->endpoint == ENDPOINT_TOOL_CALL)
		error = turn_run_of_tool(t, &t->run, v);
	if (error != ERROR_NONE)
		return error;
	(void)snprintf(t->tool, sizeof(t->tool), "%.*s", SPAN_FMT(m->tool_name));
	(void)snprintf(t->run.name, sizeof(t->run.name), "%.*s", SPAN_FMT(m->tool_name));
	t->tool_version = m->tool_version;
	return ERROR_NONE;
}

/*
 * What is kept belongs to the key's user; whether it is there, the store knows. Who may ask the
 * model for a response may go on from one; from a conversation only who may read it, too.
 */
static enum error
decide_content(struct turn *t, const struct ga_admit *m)
{
	const struct permit may = key_permit(t->key);

	if (m->content_op == CONTENT_LOAD && m->content_kind == CONTENT_CONVERSATION &&
	    !permit_has(&may, LIST_ENDPOINTS, span_str(endpoint_name(ENDPOINT_CONVERSATIONS))))
		return ERROR_DENIED;
	if (!content_id_ok(m->content_id))
		return ERROR_CONTENT_NOT_FOUND;
	turn_run_of_content(
	    &t->run, t->key->user, m->content_op, m->content_kind, m->content_id, m->body_len);
	t->loads = m->content_op == CONTENT_LOAD;
	return t->a->store.link != NULL ? ERROR_NONE : ERROR_UNAVAILABLE;
}

/* The whole decision, in the order in which a caller learns of it. */
enum error
admit_decide(struct turn *t, const struct ga_admit *m)
{
	struct authority *a = t->a;
	const struct policy *p = t->key->policy->now;
	const struct permit may = key_permit(t->key);
	const struct demand d = { .endpoint = m->endpoint,
		.model = m->model,
		.language = m->language,
		.tools = m->tools };
	const struct peer *actor = actor_of(a, m->endpoint);
	enum error error;

	limits_take(&key_root(t->key)->holder, p != NULL ? p->limits : a->policies.user_limits,
	    &t->key->user->holder, a->policies.user_limits, now_ms(a), &t->verdict);
	t->counted = t->verdict.error == ERROR_NONE;
	t->counted_ms = now_ms(a);
	if (t->verdict.error != ERROR_NONE) {
		daemon_metric_add(METRIC_RATE_LIMITED, 1);
		return t->verdict.error;
	}
	if (m->refused != ERROR_NONE)
		return (enum error)m->refused;
	if (m->endpoint < ENDPOINT_OTHER &&
	    !roles_allow(key_roles(t->key), action_of_endpoint(m->endpoint)))
		return ERROR_ROLE;
	error = policy_decide(&a->policies, &may, &d);
	if (error == ERROR_NONE)
		error = decide_tool(t, m);
	if (error == ERROR_NONE)
		error = keeping_decide(t, m);
	if (error == ERROR_NONE && m->content_op != 0)
		error = decide_content(t, m);
	if (error != ERROR_NONE)
		return error;
	return actor == NULL || actor->link != NULL ? ERROR_NONE : ERROR_UNAVAILABLE;
}
