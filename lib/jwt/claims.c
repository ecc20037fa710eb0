/* SPDX-License-Identifier: Apache-2.0 */
/*
 * claims.c: claims of a verified token, by the paths that a configuration names.
 *
 * Runs in: authority. Trusts: the issuer for what it signed, not for its size.
 * Owns: nothing.
 * Invariants: nothing is read from a token that is not verified; a path has one meaning, whatever
 * the token holds.
 * See: jwt/jwt.h.
 */
#include <jwt/jwt.h>

#include <assert.h>

/* The part before the first dot; all of it where a ':' says that it is one name. */
static struct span
first_part(struct span path, bool one)
{
	const uint8_t *dot = one ? NULL : memchr(path.ptr, '.', path.len);

	return span_of(path.ptr, dot == NULL ? path.len : (size_t)(dot - path.ptr));
}

static bool
is_one_name(struct span path)
{
	return memchr(path.ptr, ':', path.len) != NULL;
}

static uint32_t
find(const struct jwt *j, struct span path)
{
	uint32_t tok = 0;
	bool one;

	assert(j->verified);
	if (path.len == 0)
		return JSON_NONE;
	one = is_one_name(path);
	while (path.len > 0 && tok != JSON_NONE) {
		struct span part = first_part(path, one);

		tok = json_get(&j->claims, tok, part);
		path = span_from(path, part.len + 1);
	}
	return json_type(&j->claims, tok) == JSON_NULL ? JSON_NONE : tok;
}

struct status
jwt_claim_str(struct jwt *j, struct span path, struct span *ret)
{
	return json_str(&j->claims, find(j, path), &j->jws.arena, ret);
}

static struct status
take(struct jwt *j, uint32_t tok, struct span *ret)
{
	TRY(json_str(&j->claims, tok, &j->jws.arena, ret));
	return ret->len <= JWT_ITEM_LEN_MAX ? OK : fail(E_RANGE);
}

struct status
jwt_claim_strs(struct jwt *j, struct span path, struct span ret[JWT_ITEMS_MAX], size_t *ret_count)
{
	uint32_t tok = find(j, path);
	struct json_iter it = json_iter(&j->claims, tok);
	size_t n = 0;

	if (json_type(&j->claims, tok) != JSON_ARRAY) {
		TRY(take(j, tok, &ret[0]));
		*ret_count = 1;
		return OK;
	}
	if (json_size(&j->claims, tok) > JWT_ITEMS_MAX)
		return fail(E_RANGE);
	while (json_next(&it))
		TRY(take(j, it.val, &ret[n++]));
	*ret_count = n;
	return OK;
}
