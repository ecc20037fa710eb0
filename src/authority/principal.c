/* SPDX-License-Identifier: Apache-2.0 */
/*
 * principal.c: from a credential to whom it stands for.
 *
 * Runs in: authority. Trusts: nothing in the credential. Owns: nothing.
 * Invariants: a key that is used from a network which its scope does not have looks like no
 * key at all; so does one whose user is disabled.
 * See: keys.c for API keys, sessions.c for tokens of ours, oidc.h for those of others, machines.h
 * for certificates.
 */
#include "principal.h"

#include <keytext/keytext.h>
#include <wire/certificate.h>

#include "authority.h"

/*
 * A key that is none here may be one that the store would have told of by now: while it is away
 * nobody can say. Who has the id of a key that was loaded, and another text, is told all the same.
 */
static bool
may_be_unknown(const struct authority *a, struct span credential)
{
	return grace_phase(a) != GRACE_NONE && keytext_ok(credential) &&
	       keys_find(&a->keys, keytext_id(credential)) == NULL;
}

/* Likewise a token that we have signed. Who has failed too often is not worth a signature. */
static bool
may_be_session(struct authority *a, struct span token, uint64_t now_s)
{
	return grace_phase(a) != GRACE_NONE && !a->oidc->spent && sessions_may_be(a, token, now_s);
}

static enum error
find_token(struct authority *a, struct span token, uint64_t now_s, struct key **ret)
{
	*ret = sessions_find(a, token, now_s);
	if (*ret != NULL)
		return ERROR_NONE;
	if (may_be_session(a, token, now_s))
		return ERROR_UNAVAILABLE;
	return people_find(a, token, now_s, ret);
}

enum error
principal_find(struct authority *a, struct span credential, const uint8_t source[SOURCE_LEN],
    uint64_t now_s, struct key **ret)
{
	struct key *key = NULL;
	enum error error;

	oidc_forget_awaited(a);
	a->oidc->fault = JWT_FAULT_NONE;
	a->oidc->token_expires_s = 0;
	a->oidc->by_certificate = certificate_is(credential);
	if (a->oidc->by_certificate) {
		error = machines_find(a, credential, now_s, &key);
		if (error != ERROR_NONE)
			return error;
	} else if (keytext_is_token(credential)) {
		a->oidc->spent = failures_over(
		    &a->failures, source, a->policies.auth_failures_per_s, now_ms(a) / 1000);
		error = find_token(a, credential, now_s, &key);
		if (error != ERROR_NONE)
			return error;
	} else {
		key = keys_check(&a->keys, credential, now_s);
		if (key == NULL && may_be_unknown(a, credential))
			return ERROR_UNAVAILABLE;
	}
	if (key == NULL || !scope_is_from(key->scope, source) ||
	    !scope_is_from(key_root(key)->scope, source))
		return ERROR_INVALID_KEY;
	key_uses_note(a, key_root(key), now_s);
	if (keytext_ok(credential))
		key_rehash_note(a, key, credential);
	*ret = key;
	return ERROR_NONE;
}

const char *
principal_method(const struct key *key)
{
	if (key->parent != NULL)
		return "session";
	if (key->has_certificate)
		return "client_certificate";
	return key->has_roles ? "oidc" : "api_key";
}

const char *
principal_tried(const struct authority *a)
{
	if (a->oidc->by_certificate)
		return "client_certificate";
	return a->oidc->fault == JWT_FAULT_NONE ? "api_key" : "oidc";
}
