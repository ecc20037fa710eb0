/* SPDX-License-Identifier: Apache-2.0 */
/*
 * roles.c: the table of roles and actions.
 *
 * Runs in: authority. Trusts: the store about a user's roles. Owns: nothing.
 * Invariants: default deny; an administrator reads nobody's content and gets nobody's key; an
 * auditor reads audit and does nothing; whatever somebody's roles, what is kept of it is its own.
 * See: roles.h; tests/unit/test_authority_roles.c has every cell once more.
 */
#include "roles.h"

#include <stddef.h>

#define U ROLE_USER
#define S ROLE_SERVICE
#define AU ROLE_AUDITOR
#define AD ROLE_ADMINISTRATOR
#define O ROLE_OWNER

static const struct {
	const char *name;
	uint8_t roles;
	bool two;
} rows[ACTION_COUNT] = {
	[ACTION_NONE] = { "none", 0, false },
	[ACTION_MODEL_CALL] = { "model.call", U | S, false },
	[ACTION_MODELS_LIST] = { "models.list", U | S, false },
	[ACTION_API_READ] = { "api.read", U | S | AU | AD | O, false },
	[ACTION_CODE_RUN] = { "code.run", U | S, false },
	[ACTION_TOOL_CALL] = { "tool.call", U | S, false },
	[ACTION_TOOL_OWN] = { "tool.own", U | S, false },
	[ACTION_CONTENT_OWN] = { "content.own", U | S, false },
	[ACTION_SESSION_OWN] = { "session.own", U | S | AU | AD | O, false },
	[ACTION_KEY_OWN] = { "key.own", U | S | AD | O, false },
	[ACTION_EXPORT_OWN] = { "export.own", U | S | AU | AD | O, false },
	[ACTION_ERASE_OWN] = { "erase.own", U, false },
	[ACTION_TENANT_READ] = { "tenant.read", AD | O, false },
	[ACTION_USER_READ] = { "user.read", AD | O, false },
	[ACTION_USER_CHANGE] = { "user.change", AD | O, false },
	[ACTION_ROLE_GRANT] = { "role.grant", O, false },
	[ACTION_AUDITOR_REMOVE] = { "auditor.remove", O, true },
	[ACTION_HOLD_SET] = { "hold.set", AD | O, false },
	[ACTION_HOLD_LIFT] = { "hold.lift", AD | O, true },
	[ACTION_KEY_READ] = { "key.read", AD | O, false },
	[ACTION_KEY_CREATE] = { "key.create", AD | O, false },
	[ACTION_KEY_REVOKE] = { "key.revoke", AD | O, false },
	[ACTION_POLICY_READ] = { "policy.read", AD | O, false },
	[ACTION_USAGE_READ] = { "usage.read", AD | O, false },
	[ACTION_SESSION_READ] = { "session.read", AD | O, false },
	[ACTION_SESSION_REVOKE] = { "session.revoke", AD | O, false },
	[ACTION_APPROVAL_READ] = { "approval.read", AD | O, false },
	[ACTION_USER_EXPORT] = { "user.export", O, true },
	[ACTION_USER_ERASE] = { "user.erase", AD | O, false },
	[ACTION_TENANT_EXPORT] = { "tenant.export", O, true },
	[ACTION_AUDIT_READ] = { "audit.read", AU, false },
	[ACTION_SERVICE_KEY] = { "service.key", AD | O, true },
};

const char *
action_name(enum action action)
{
	return action < ACTION_COUNT ? rows[action].name : rows[ACTION_NONE].name;
}

bool
roles_allow(uint8_t roles, enum action action)
{
	return action < ACTION_COUNT && (roles & ROLES_ALL & rows[action].roles) != 0;
}

bool
action_needs_two(enum action action)
{
	return action < ACTION_COUNT && rows[action].two;
}

bool
action_is_given(enum action action)
{
	return action == ACTION_USER_EXPORT || action == ACTION_TENANT_EXPORT;
}

enum action
action_of_endpoint(uint8_t endpoint)
{
	static const uint8_t actions[ENDPOINT_COUNT] = {
		[ENDPOINT_CHAT] = ACTION_MODEL_CALL,
		[ENDPOINT_MODELS] = ACTION_MODELS_LIST,
		[ENDPOINT_EXECUTE] = ACTION_CODE_RUN,
		[ENDPOINT_RESPONSES] = ACTION_MODEL_CALL,
		[ENDPOINT_EMBEDDINGS] = ACTION_MODEL_CALL,
		[ENDPOINT_MESSAGES] = ACTION_MODEL_CALL,
		[ENDPOINT_COUNT_TOKENS] = ACTION_MODEL_CALL,
		[ENDPOINT_TOOL_PUSH] = ACTION_TOOL_OWN,
		[ENDPOINT_TOOL_LIST] = ACTION_TOOL_OWN,
		[ENDPOINT_TOOL_GET] = ACTION_TOOL_OWN,
		[ENDPOINT_TOOL_REMOVE] = ACTION_TOOL_OWN,
		[ENDPOINT_TOOL_CURRENT] = ACTION_TOOL_OWN,
		[ENDPOINT_TOOL_CALL] = ACTION_TOOL_CALL,
		[ENDPOINT_CONVERSATIONS] = ACTION_CONTENT_OWN,
		[ENDPOINT_STORED_RESPONSES] = ACTION_CONTENT_OWN,
		[ENDPOINT_FILES] = ACTION_CONTENT_OWN,
		[ENDPOINT_OPENAPI] = ACTION_API_READ,
	};

	return endpoint < ENDPOINT_COUNT ? (enum action)actions[endpoint] : ACTION_NONE;
}
