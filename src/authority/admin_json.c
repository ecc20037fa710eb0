/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_json.c: bodies of acts of administration, both ways.
 *
 * Runs in: authority. Trusts: nothing. Owns: nothing.
 * Invariants: exactly the named members, each of its type and within its limit;
 * duplicates and case variants are refused.
 * See: admin.h.
 */
#include "admin_json.h"

#include <base/cleanup.h>
#include <base/encode.h>
#include <json/json.h>
#include <json/write.h>

bool
admin_name_is_dots(struct span name)
{
	return span_eq_str(name, ".") || span_eq_str(name, "..");
}

bool
admin_name_ok(struct span name)
{
	return admin_name_known(name) && !admin_name_is_dots(name);
}

bool
admin_name_known(struct span name)
{
	if (name.len == 0 || name.len > TENANT_MAX)
		return false;
	for (size_t i = 0; i < name.len; i++) {
		uint8_t c = name.ptr[i];

		if (!((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
			memchr("_.-@+", c, 5) != NULL))
			return false;
	}
	return true;
}

static struct status
parse_object(struct json_doc *d, struct span body)
{
	const struct json_opts opts = { .depth_max = 4,
		.tokens_max = 64,
		.refuse_duplicates = true,
		.refuse_surrogates = true,
		.refuse_nul = true };

	TRY(json_init(d, &opts));
	TRY(json_parse(d, body));
	return json_type(d, 0) == JSON_OBJECT ? OK : fail(E_SYNTAX);
}

static struct status
read_name(const struct json_doc *d, uint32_t tok, struct arena *arena, struct span *ret)
{
	struct span s;

	TRY(json_str(d, tok, arena, &s));
	if (!admin_name_known(s))
		return fail(E_RANGE);
	*ret = s;
	return OK;
}

struct status
admin_parse_secret(struct span body, struct buf *sealed, bool *ret_rotate)
{
	auto_arena struct arena arena = ARENA_INIT(SECRET_SEALED_MAX * 2);
	auto_json struct json_doc d = { 0 };
	struct json_iter it;
	struct span text = SPAN_EMPTY;

	*ret_rotate = false;
	TRY(parse_object(&d, body));
	for (it = json_iter(&d, 0); json_next(&it);) {
		if (json_str_eq_str(&d, it.key, "sealed"))
			TRY(json_str(&d, it.val, &arena, &text));
		else if (json_str_eq_str(&d, it.key, "rotate"))
			TRY(json_bool(&d, it.val, ret_rotate));
		else
			return fail(E_NOTFOUND);
	}
	if (text.len == 0)
		return fail(E_NOTFOUND);
	return base64_decode(text, sealed);
}

static struct status
read_tool(const struct json_doc *d, const struct json_iter *it, struct arena *arena,
    struct admin_tool *m, bool *ret_said)
{
	uint64_t version = 0;

	if (json_str_eq_str(d, it->key, "tenant"))
		return read_name(d, it->val, arena, &m->tenant);
	if (json_str_eq_str(d, it->key, "user"))
		return read_name(d, it->val, arena, &m->user);
	if (json_str_eq_str(d, it->key, "name"))
		return read_name(d, it->val, arena, &m->name);
	if (json_str_eq_str(d, it->key, "version")) {
		TRY(json_u64(d, it->val, UINT32_MAX, &version));
		m->version = (uint32_t)version;
		return OK;
	}
	if (!json_str_eq_str(d, it->key, "allowed"))
		return fail(E_NOTFOUND);
	*ret_said = true;
	return json_bool(d, it->val, &m->allowed);
}

struct status
admin_parse_tool(struct span body, struct arena *arena, struct admin_tool *ret)
{
	auto_json struct json_doc d = { 0 };
	struct admin_tool m = { 0 };
	struct json_iter it;
	bool said = false;

	TRY(parse_object(&d, body));
	for (it = json_iter(&d, 0); json_next(&it);)
		TRY(read_tool(&d, &it, arena, &m, &said));
	if (m.tenant.len == 0 || m.user.len == 0 || m.name.len == 0 || !said)
		return fail(E_NOTFOUND);
	*ret = m;
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
		{ "revoked_s", key->revoked_s }, { "last_used_s", key->last_used_s } };

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
	json_put_key(&w, "scopes");
	if (key->scope != NULL)
		json_put_raw(&w, scope_text(key->scope));
	else
		json_put_null(&w);
	json_put_key(&w, "replaces");
	if (key->replaces[0] != 0)
		json_put_str(&w, span_of(key->replaces, sizeof(key->replaces)));
	else
		json_put_null(&w);
	json_put_end(&w);
	return json_writer_finish(&w);
}
