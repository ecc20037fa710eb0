/* SPDX-License-Identifier: Apache-2.0 */
/*
 * signers.c: versions of the key that signs session tokens.
 *
 * Runs in: authority. Trusts: the store, which keeps them. Owns: the keys.
 * Invariants: the newest signs; an older one verifies until the last session that it signed has
 * ended.
 * See: sessions.h; admin_keysets.c, which begins another version.
 */
#include "sessions.h"

#include <base/cleanup.h>
#include <base/encode.h>

static struct token_signer *
slot_of(struct sessions *t, uint32_t version)
{
	struct token_signer *none = NULL;

	for (size_t i = 0; i < SIGNERS_MAX; i++) {
		if (t->signers[i].version == version)
			return &t->signers[i];
		if (t->signers[i].version == 0)
			none = &t->signers[i];
	}
	return none;
}

static void
drop(struct token_signer *s)
{
	sign_key_free(s->key);
	*s = (struct token_signer){ 0 };
}

struct status
signers_put(struct sessions *t, uint32_t version, uint64_t created_s,
    const uint8_t key[AS_SECRET_LEN], uint32_t load)
{
	auto_secret struct secret raw = SECRET_NONE;
	struct token_signer *s = slot_of(t, version);
	struct sign_key *fresh = NULL;

	if (version == 0)
		return fail(E_RANGE);
	if (s == NULL)
		return fail(E_FULL);
	TRY(secret_new(ED25519_KEY_LEN, &raw));
	memcpy(raw.ptr, key, ED25519_KEY_LEN);
	TRY(sign_key_new(&raw, &fresh));
	sign_key_free(s->key);
	*s = (struct token_signer){ version, created_s, fresh, load };
	return OK;
}

const struct token_signer *
signers_newest(const struct sessions *t)
{
	const struct token_signer *newest = &t->signers[0];

	for (size_t i = 1; i < SIGNERS_MAX; i++) {
		if (t->signers[i].version > newest->version)
			newest = &t->signers[i];
	}
	return newest->version != 0 ? newest : NULL;
}

bool
signers_verify(const struct sessions *t, uint32_t version, struct span token)
{
	auto_buf struct buf sig = BUF_INIT(2 * ED25519_SIG_LEN);
	uint8_t public_key[ED25519_KEY_LEN];
	size_t dot = token.len;

	while (dot > 0 && token.ptr[dot - 1] != '.')
		dot--;
	if (dot == 0 || !is_ok(base64url_decode(span_from(token, dot), &sig)) ||
	    sig.len != ED25519_SIG_LEN)
		return false;
	for (size_t i = 0; i < SIGNERS_MAX; i++) {
		if (version == 0 || t->signers[i].version != version)
			continue;
		sign_key_public(t->signers[i].key, public_key);
		return is_ok(ed25519_verify(public_key, span_of(token.ptr, dot - 1), sig.ptr));
	}
	return false;
}

bool
signers_verify_any(const struct sessions *t, struct span token)
{
	for (size_t i = 0; i < SIGNERS_MAX; i++) {
		if (signers_verify(t, t->signers[i].version, token))
			return true;
	}
	return false;
}

void
signers_load_end(struct sessions *t, uint32_t load)
{
	for (size_t i = 0; i < SIGNERS_MAX; i++) {
		if (t->signers[i].version != 0 && t->signers[i].load != load)
			drop(&t->signers[i]);
	}
}

static bool
is_needed(const struct sessions *t, uint32_t version)
{
	const struct session *s;

	if (t->buckets == NULL)
		return false;
	TAILQ_FOREACH(s, &t->live, next)
	{
		if (s->signer == version && !s->verified)
			return true;
	}
	return false;
}

void
signers_retire(struct sessions *t)
{
	const struct token_signer *newest = signers_newest(t);

	for (size_t i = 0; i < SIGNERS_MAX; i++) {
		struct token_signer *s = &t->signers[i];

		if (s->version != 0 && s != newest && !is_needed(t, s->version))
			drop(s);
	}
}

void
signers_done(struct sessions *t)
{
	for (size_t i = 0; i < SIGNERS_MAX; i++)
		drop(&t->signers[i]);
}
