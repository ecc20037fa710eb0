/* SPDX-License-Identifier: Apache-2.0 */
/*
 * credential.c: versions of credentials, and the credential that is none.
 *
 * Runs in: broker. Trusts: the configuration.
 * Owns: the version in use; a version lives as long as its last reference.
 * Invariants: a value that is not fit for a header, or too short to be found in an answer, is
 * never used.
 * See: credential.h.
 */
#include "credential.h"

#include <assert.h>
#include <stdlib.h>

#include <http/http.h>

struct credential {
	struct credential_version *now;
};

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
	redactor_done(&v->redactor);
	secret_done(&v->value);
	free(v);
}

struct status
credential_new(struct broker *b, const char *spec, struct credential **ret)
{
	struct secret none = SECRET_NONE;
	struct credential *c;
	struct status st;

	(void)b;
	if (strcmp(spec, "none") != 0)
		return fail(E_UNSUPPORTED); /* the configuration was checked: none else is served */
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return fail(E_NOMEM);
	st = credential_version_new(&none, "none", UINT64_MAX, &c->now);
	if (!is_ok(st)) {
		free(c);
		return st;
	}
	*ret = c;
	return OK;
}

void
credential_free(struct credential *c)
{
	if (c == NULL)
		return;
	credential_release(c->now);
	free(c);
}

static bool
was_tried(const struct credential_tried *tried, const struct credential_version *v)
{
	for (unsigned i = 0; i < tried->count; i++) {
		if (tried->version[i] == v)
			return true;
	}
	return false;
}

struct status
credential_get(struct credential *c, const struct credential_tried *tried, credential_done *done,
    void *ctx, struct credential_wait **ret_wait, struct credential_version **ret)
{
	(void)done, (void)ctx, (void)ret_wait;
	if (was_tried(tried, c->now))
		return fail(E_NOTFOUND);
	credential_ref(c->now);
	*ret = c->now;
	return OK;
}

void
credential_cancel(struct credential_wait *w)
{
	(void)w; /* nothing here is ever waited for */
}
