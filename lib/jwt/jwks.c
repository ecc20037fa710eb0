/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jwks.c: a JWK Set, and which of its keys a token means.
 *
 * Runs in: authority. Trusts: nothing in the document.
 * Owns: the keys.
 * Invariants: no two keys have one `kid`; a token without one means a key only where there is no
 * choice.
 * See: jwt/jwks.h; RFC 7517 §5.
 */
#include "internal.h"

#include <stdlib.h>

#include <base/cleanup.h>

#define JWKS_DEPTH_MAX 8
#define JWKS_TOKENS_MAX 8192

static bool
same_kid(const struct jwk *k, struct span kid)
{
	return k->has_kid && span_eq(span_of(k->kid, k->kid_len), kid);
}

static struct jwk *
by_kid(struct jwks *k, struct span kid)
{
	for (size_t i = 0; i < k->count; i++) {
		if (same_kid(&k->keys[i], kid))
			return &k->keys[i];
	}
	return NULL;
}

/* Only memory is worth failing for: whatever else is wrong is wrong with this one. */
static struct status
take(struct jwks *k, const struct json_doc *d, uint32_t tok)
{
	struct jwk *slot = &k->keys[k->count], *same = NULL;
	struct status st = jwk_parse(d, tok, slot);

	if (st.code == E_NOMEM)
		return st;
	if (is_ok(st) && slot->has_kid)
		same = by_kid(k, span_of(slot->kid, slot->kid_len));
	if (same != NULL)
		same->ambiguous = true;
	if (is_ok(st) && same == NULL) {
		k->count++;
		return OK;
	}
	jwk_done(slot);
	k->skipped++;
	return OK;
}

static void
drop_ambiguous(struct jwks *k)
{
	size_t kept = 0;

	for (size_t i = 0; i < k->count; i++) {
		struct jwk key = k->keys[i];

		if (!key.ambiguous) {
			k->keys[kept++] = key;
			continue;
		}
		jwk_done(&key);
		k->skipped++;
	}
	k->count = kept;
}

static struct status
take_all(struct jwks *k, const struct json_doc *d)
{
	uint32_t list = json_get_str(d, 0, "keys");
	struct json_iter it = json_iter(d, list);

	if (json_type(d, 0) != JSON_OBJECT || json_type(d, list) != JSON_ARRAY)
		return fail(E_SYNTAX);
	if (json_size(d, list) > JWKS_KEYS_MAX)
		return fail(E_RANGE);
	while (json_next(&it))
		TRY(take(k, d, it.val));
	drop_ambiguous(k);
	return OK;
}

struct status
jwks_parse(struct span text, struct jwks **ret)
{
	struct json_opts opts = JSON_STRICT;
	auto_json struct json_doc d = { .count = 0 };
	struct jwks *k;
	struct status st;

	opts.depth_max = JWKS_DEPTH_MAX;
	opts.tokens_max = JWKS_TOKENS_MAX;
	if (text.len > JWKS_LEN_MAX)
		return fail(E_RANGE);
	TRY(json_init(&d, &opts));
	TRY(json_parse(&d, text));
	k = calloc(1, sizeof(*k));
	if (k == NULL)
		return fail(E_NOMEM);
	st = take_all(k, &d);
	if (!is_ok(st)) {
		jwks_free(k);
		return st;
	}
	*ret = k;
	return OK;
}

void
jwks_free(struct jwks *k)
{
	if (k == NULL)
		return;
	for (size_t i = 0; i < k->count; i++)
		jwk_done(&k->keys[i]);
	free(k);
}

size_t
jwks_count(const struct jwks *k)
{
	return k->count;
}

size_t
jwks_skipped(const struct jwks *k)
{
	return k->skipped;
}

bool
jwk_allows(const struct jwk *k, enum jwt_alg alg, uint32_t algs)
{
	uint32_t allowed = algs == 0 ? k->fallback : k->algs & algs;

	return (allowed & JWT_ALG_BIT(alg)) != 0;
}

const struct jwk *
jwks_find(const struct jwks *k, const struct jws *s, uint32_t algs)
{
	const struct jwk *found = NULL;

	for (size_t i = 0; i < k->count; i++) {
		if (s->has_kid && same_kid(&k->keys[i], s->kid))
			return &k->keys[i];
		if (s->has_kid || !jwk_allows(&k->keys[i], s->alg, algs))
			continue;
		if (found != NULL)
			return NULL; /* which of them? */
		found = &k->keys[i];
	}
	return found;
}
