/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_json.c: bodies of the management socket, both ways.
 *
 * Runs in: authority. Trusts: nothing. Owns: nothing.
 * Invariants: exactly the named members, each of its type and within its limit;
 * duplicates and case variants are refused.
 * See: admin.h.
 */
#include "admin_json.h"

#include <json/json.h>
#include <json/write.h>

#define LIFETIME_S_MAX (100ULL * 366 * 86400)

static struct status
read_name(const struct json_doc *d, uint32_t tok, struct arena *arena, struct span *ret)
{
	struct span s;

	TRY(json_str(d, tok, arena, &s));
	if (!admin_name_ok(s))
		return fail(E_RANGE);
	*ret = s;
	return OK;
}

static struct status
read_member(
    const struct json_doc *d, const struct json_iter *it, struct arena *arena, struct admin_key *k)
{
	const struct {
		const char *name;
		struct span *to;
	} names[] = { { "tenant", &k->tenant }, { "user", &k->user }, { "policy", &k->policy } };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (json_str_eq_str(d, it->key, names[i].name))
			return read_name(d, it->val, arena, names[i].to);
	}
	if (json_str_eq_str(d, it->key, "expires_s"))
		return json_u64(d, it->val, LIFETIME_S_MAX, &k->lifetime_s);
	return fail(E_NOTFOUND);
}

struct status
admin_parse_key(struct span body, struct arena *arena, struct admin_key *ret)
{
	const struct json_opts opts = { .depth_max = 4,
		.tokens_max = 64,
		.refuse_duplicates = true,
		.refuse_surrogates = true,
		.refuse_nul = true };
	struct admin_key k = { .policy = SPAN_LIT("default") };
	auto_json struct json_doc d = { 0 };
	struct json_iter it;

	TRY(json_init(&d, &opts));
	TRY(json_parse(&d, body));
	if (json_type(&d, 0) != JSON_OBJECT)
		return fail(E_SYNTAX);
	for (it = json_iter(&d, 0); json_next(&it);)
		TRY(read_member(&d, &it, arena, &k));
	if (k.tenant.len == 0 || k.user.len == 0)
		return fail(E_NOTFOUND);
	/* Names are views of the body or lie in the arena, not in the document. */
	*ret = k;
	return OK;
}

struct status
admin_put_key(const struct key *key, struct buf *out)
{
	struct json_writer w = json_writer(out);
	const struct {
		const char *name;
		uint64_t value;
	} times[] = { { "created_s", key->created_s }, { "expires_s", key->expires_s },
		{ "revoked_s", key->revoked_s } };

	json_put_object(&w);
	json_put_key(&w, "id");
	json_put_str(&w, span_of(key->id, sizeof(key->id)));
	json_put_key(&w, "tenant");
	json_put_str(&w, key->user->tenant);
	json_put_key(&w, "user");
	json_put_str(&w, key->user->name);
	json_put_key(&w, "policy");
	json_put_text(&w, key->policy->name);
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		json_put_key(&w, times[i].name);
		json_put_u64(&w, times[i].value);
	}
	json_put_end(&w);
	return json_writer_finish(&w);
}
