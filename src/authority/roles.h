/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUTHORITY_ROLES_H
#define AUTHORITY_ROLES_H

/*
 * Which role may do what: one table, and nothing beside it. A user's roles are
 * added up; what no role of theirs allows is denied. An operator on the
 * management socket is no user: see routes.c for what that door leads to.
 */
#include <stdbool.h>
#include <stdint.h>

#include <wire/endpoint.h>
#include <wire/role.h>

enum action {
	ACTION_NONE, /* nobody's */
	/* the API */
	ACTION_MODEL_CALL,
	ACTION_MODELS_LIST,
	ACTION_API_READ, /* its description */
	ACTION_CODE_RUN,
	ACTION_TOOL_CALL,
	ACTION_TOOL_OWN,    /* push, see, remove, choose a version of one's own */
	ACTION_CONTENT_OWN, /* what is kept for the caller, and for nobody else */
	/* of and for oneself */
	ACTION_SESSION_OWN,
	ACTION_KEY_OWN,
	ACTION_EXPORT_OWN,
	ACTION_ERASE_OWN,
	/* administration of one's tenant */
	ACTION_TENANT_READ,
	ACTION_USER_READ,
	ACTION_USER_CHANGE, /* create, disable, enable; the roles user and service */
	ACTION_ROLE_GRANT,  /* auditor, administrator, owner; and change who has them */
	ACTION_AUDITOR_REMOVE,
	ACTION_HOLD_SET,
	ACTION_HOLD_LIFT,
	ACTION_KEY_READ,
	ACTION_KEY_CREATE, /* for services: whoever creates a key could use it; ACTION_SERVICE_KEY
			    */
	ACTION_KEY_REVOKE,
	ACTION_POLICY_READ,
	ACTION_USAGE_READ,
	ACTION_SESSION_READ,
	ACTION_SESSION_REVOKE,
	ACTION_APPROVAL_READ, /* deciding takes the right to the act itself */
	ACTION_USER_EXPORT,
	ACTION_USER_ERASE,
	ACTION_TENANT_EXPORT,
	ACTION_AUDIT_READ,
	ACTION_SERVICE_KEY, /* a service's that leads to what is kept for it */
	ACTION_COUNT,
};

/* The name of an action, in records and documents. */
const char *action_name(enum action action);
/* May somebody with these roles? Anything that is no role or no action: no. */
bool roles_allow(uint8_t roles, enum action action);
/* Must another person agree before it is done? */
bool action_needs_two(enum action action);
/* Is its answer for who asked, not for who agrees? */
bool action_is_given(enum action action);
/* What a request to this endpoint is; ACTION_NONE for those that are none of ours. */
enum action action_of_endpoint(uint8_t endpoint);

#endif
