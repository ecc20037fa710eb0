/* SPDX-License-Identifier: Apache-2.0 */
/* The table of roles and actions, cell by cell, written down a second time. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "roles.h"

/* One letter a role, in the order of their bits: user service auditor administrator owner. */
static const struct {
	enum action action;
	const char *name;
	const char *cells;
	bool two;
} expected[] = {
	{ ACTION_NONE, "none", ".....", false },
	{ ACTION_MODEL_CALL, "model.call", "us...", false },
	{ ACTION_MODELS_LIST, "models.list", "us...", false },
	{ ACTION_API_READ, "api.read", "usaAo", false },
	{ ACTION_CODE_RUN, "code.run", "us...", false },
	{ ACTION_TOOL_CALL, "tool.call", "us...", false },
	{ ACTION_TOOL_OWN, "tool.own", "us...", false },
	{ ACTION_CONTENT_OWN, "content.own", "us...", false },
	{ ACTION_SESSION_OWN, "session.own", "usaAo", false },
	{ ACTION_KEY_OWN, "key.own", "us.Ao", false },
	{ ACTION_EXPORT_OWN, "export.own", "usaAo", false },
	{ ACTION_ERASE_OWN, "erase.own", "u....", false },
	{ ACTION_TENANT_READ, "tenant.read", "...Ao", false },
	{ ACTION_USER_READ, "user.read", "...Ao", false },
	{ ACTION_USER_CHANGE, "user.change", "...Ao", false },
	{ ACTION_ROLE_GRANT, "role.grant", "....o", false },
	{ ACTION_AUDITOR_REMOVE, "auditor.remove", "....o", true },
	{ ACTION_HOLD_SET, "hold.set", "...Ao", false },
	{ ACTION_HOLD_LIFT, "hold.lift", "...Ao", true },
	{ ACTION_KEY_READ, "key.read", "...Ao", false },
	{ ACTION_KEY_CREATE, "key.create", "...Ao", false },
	{ ACTION_KEY_REVOKE, "key.revoke", "...Ao", false },
	{ ACTION_POLICY_READ, "policy.read", "...Ao", false },
	{ ACTION_USAGE_READ, "usage.read", "...Ao", false },
	{ ACTION_SESSION_READ, "session.read", "...Ao", false },
	{ ACTION_SESSION_REVOKE, "session.revoke", "...Ao", false },
	{ ACTION_APPROVAL_READ, "approval.read", "...Ao", false },
	{ ACTION_USER_EXPORT, "user.export", "....o", true },
	{ ACTION_USER_ERASE, "user.erase", "...Ao", false },
	{ ACTION_TENANT_EXPORT, "tenant.export", "....o", true },
	{ ACTION_AUDIT_READ, "audit.read", "..a..", false },
	{ ACTION_SERVICE_KEY, "service.key", "...Ao", true },
};
#define ROWS (sizeof(expected) / sizeof(expected[0]))

static void
test_cells(void **state)
{
	(void)state;
	assert_int_equal(ROWS, ACTION_COUNT);
	for (size_t i = 0; i < ROWS; i++) {
		assert_int_equal(expected[i].action, i);
		assert_string_equal(action_name((enum action)i), expected[i].name);
		assert_int_equal(action_needs_two((enum action)i), expected[i].two);
		for (unsigned role = 0; role < ROLE_COUNT; role++) {
			bool want = expected[i].cells[role] != '.';

			if (roles_allow((uint8_t)(1U << role), (enum action)i) != want)
				print_error(
				    "%s: %s: not %d\n", expected[i].name, role_names[role], want);
			assert_true(roles_allow((uint8_t)(1U << role), (enum action)i) == want);
		}
	}
}

/* Any set of roles may what one of them may, and nothing more. */
static void
test_sums(void **state)
{
	(void)state;
	for (unsigned roles = 0; roles <= 255; roles++) {
		for (size_t i = 0; i < ROWS; i++) {
			bool want = false;

			for (unsigned role = 0; role < ROLE_COUNT; role++)
				want = want ||
				       ((roles >> role & 1) != 0 && expected[i].cells[role] != '.');
			assert_int_equal(roles_allow((uint8_t)roles, (enum action)i), want);
		}
	}
	assert_false(roles_allow(ROLES_ALL, ACTION_COUNT));
	assert_false(roles_allow(ROLES_ALL, (enum action)200));
	assert_false(action_needs_two(ACTION_COUNT));
	assert_string_equal(action_name(ACTION_COUNT), "none");
}

/* Every endpoint is some action; what is no endpoint is nobody's. */
static void
test_endpoints(void **state)
{
	(void)state;
	for (uint8_t e = ENDPOINT_CHAT; e < ENDPOINT_OTHER; e++) {
		enum action action = action_of_endpoint(e);

		assert_int_not_equal(action, ACTION_NONE);
		assert_true(roles_allow(ROLE_USER, action));
		assert_true(roles_allow(ROLE_SERVICE, action));
		assert_int_equal(
		    roles_allow(ROLE_AUDITOR | ROLE_ADMINISTRATOR | ROLE_OWNER, action),
		    e == ENDPOINT_OPENAPI);
	}
	assert_int_equal(action_of_endpoint(0), ACTION_NONE);
	assert_int_equal(action_of_endpoint(ENDPOINT_OTHER), ACTION_NONE);
	assert_int_equal(action_of_endpoint(255), ACTION_NONE);
	assert_int_equal(action_of_endpoint(ENDPOINT_FILES), ACTION_CONTENT_OWN);
	assert_int_equal(action_of_endpoint(ENDPOINT_TOOL_CALL), ACTION_TOOL_CALL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cells),
		cmocka_unit_test(test_sums),
		cmocka_unit_test(test_endpoints),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
