/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_codes.c: what an error of administration is called, once.
 *
 * Runs in: authority. Trusts: nothing. Owns: nothing.
 * Invariants: no other code is ever told (asserted where errors are written); docs/openapi.yaml has
 * those of people as an enum, docs/api.md all of them: tests/system/test_openapi.py.
 * See: admin_call.h; wire/errors.h, whose codes have the same meaning here.
 */
#include <string.h>

#include "admin_call.h"

const struct admin_code admin_codes[] = {
	{ "already_allowed", DOOR_OPERATOR },
	{ "audit_unavailable", DOOR_BOTH },
	{ "backup_under_way", DOOR_OPERATOR },
	{ "bad_request", DOOR_OPERATOR },
	{ "begin_anew", DOOR_BOTH },
	{ "body_too_large", DOOR_BOTH },
	{ "busy", DOOR_BOTH },
	{ "certificate_refused", DOOR_OPERATOR },
	{ "concurrency_exceeded", DOOR_BOTH },
	{ "denied", DOOR_BOTH },
	{ "exists", DOOR_BOTH },
	{ "has_roles", DOOR_BOTH },
	{ "internal_error", DOOR_BOTH },
	{ "invalid_request", DOOR_BOTH },
	{ "invalid_scopes", DOOR_BOTH },
	{ "kms_unavailable", DOOR_OPERATOR },
	{ "last_owner", DOOR_BOTH },
	{ "legal_hold", DOOR_BOTH },
	{ "method_not_allowed", DOOR_BOTH },
	{ "not_allowed", DOOR_BOTH },
	{ "not_found", DOOR_BOTH },
	{ "not_live", DOOR_BOTH },
	{ "nothing_to_accept", DOOR_OPERATOR },
	{ "overloaded", DOOR_BOTH },
	{ "rate_limit_exceeded", DOOR_BOTH },
	{ "reload_refused", DOOR_OPERATOR },
	{ "role", DOOR_BOTH },
	{ "rotation_under_way", DOOR_OPERATOR },
	{ "same_person", DOOR_BOTH },
	{ "service_stays", DOOR_BOTH },
	{ "store_tampered", DOOR_BOTH },
	{ "store_unavailable", DOOR_BOTH },
	{ "timeout", DOOR_BOTH },
	{ "too_many_keys", DOOR_BOTH },
	{ "too_many_secrets", DOOR_OPERATOR },
	{ "too_many_users", DOOR_BOTH },
	{ "too_many_versions", DOOR_OPERATOR },
	{ "two_live_keys", DOOR_BOTH },
	{ "unavailable", DOOR_BOTH },
	{ "unknown_outcome", DOOR_BOTH },
	{ "unknown_policy", DOOR_BOTH },
};
const size_t admin_codes_count = sizeof(admin_codes) / sizeof(admin_codes[0]);

bool
admin_code_is(const char *code)
{
	for (size_t i = 0; i < admin_codes_count; i++) {
		if (strcmp(admin_codes[i].code, code) == 0)
			return true;
	}
	return false;
}
