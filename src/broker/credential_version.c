/* SPDX-License-Identifier: Apache-2.0 */
/*
 * credential_version.c: one value of a credential, counted.
 *
 * Runs in: broker. Trusts: nothing in a value.
 * Owns: the value and what finds it in an answer, until the last reference goes.
 * Invariants: a value that is not fit for a header, or too short to be found in an answer, is
 * never used.
 * See: credential.h, redact.h.
 */
#include "credential.h"

#include <assert.h>
#include <stdlib.h>

#include <http/http.h>

static struct status
version_check(const struct secret *value)
{
	struct span v = secret_borrow(value);

	if (v.len == 0)
		return OK;
	if (v.len < CREDENTIAL_LEN_MIN || v.len > CREDENTIAL_LEN_MAX)
		return fail(E_RANGE);
	return http_value_ok(v) ? OK : fail(E_SYNTAX);
}

struct status
credential_version_new(
    struct secret *value, const char *version, uint64_t expires_ms, struct credential_version **ret)
{
	struct credential_version *v;
	struct status st;

	TRY(version_check(value));
	v = calloc(1, sizeof(*v));
	if (v == NULL)
		return fail(E_NOMEM);
	v->refs = 1;
	v->expires_ms = expires_ms;
	st = span_to_cstr(span_str(version), v->version, sizeof(v->version));
	if (is_ok(st))
		st = redactor_init(&v->redactor, secret_borrow(value));
	if (!is_ok(st)) {
		free(v);
		return st;
	}
	v->value = secret_take(value);
	*ret = v;
	return OK;
}

void
credential_ref(struct credential_version *v)
{
	assert(v->refs > 0);
	v->refs++;
}

void
credential_release(struct credential_version *v)
{
	if (v == NULL || --v->refs > 0)
		return;
	lease_return(v->lease);
	redactor_done(&v->redactor);
	secret_done(&v->value);
	free(v);
}
