/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vault_answer.c: reads what Vault answers.
 *
 * Runs in: broker. Trusts: nothing in an answer but its origin.
 * Owns: the tape while it reads; it holds offsets, no text.
 * Invariants: a value goes from the answer into a struct secret without a copy elsewhere; what is
 * not of the expected type is an error, never a guess.
 * See: vault_answer.h.
 */
#include "vault_answer.h"

#include <stdio.h>

#include <base/cleanup.h>

#include "member.h"

struct answer {
	struct json_doc doc;
	uint32_t data; /* member `data`, or JSON_NONE */
};

static void
answer_done(struct answer *a)
{
	json_done(&a->doc);
}

#define auto_answer __attribute__((cleanup(answer_done)))

static struct status
answer_parse(struct span body, struct answer *a)
{
	const struct json_opts opts = { .tokens_max = VAULT_ANSWER_TOKENS_MAX,
		.depth_max = 32,
		.refuse_surrogates = true,
		.refuse_nul = true };

	TRY(json_init(&a->doc, &opts));
	if (!is_ok(json_parse(&a->doc, body)) || json_type(&a->doc, 0) != JSON_OBJECT)
		return fail(E_SYNTAX);
	a->data = json_get_str(&a->doc, 0, "data");
	return OK;
}

/* ---- members ---- */
static struct status
get_seconds(const struct json_doc *d, uint32_t obj, uint64_t *ret)
{
	return json_u64(d, json_get_str(d, obj, "lease_duration"), UINT32_MAX, ret);
}

static bool
is_true(const struct json_doc *d, uint32_t obj, const char *key)
{
	return json_type(d, json_get_str(d, obj, key)) == JSON_TRUE;
}

/* ---- answers ---- */
struct status
vault_auth_parse(struct span body, struct vault_auth *ret)
{
	auto_answer struct answer a = { 0 };
	auto_secret struct secret token = SECRET_NONE;
	uint64_t lease_s;
	uint32_t auth;

	TRY(answer_parse(body, &a));
	auth = json_get_str(&a.doc, 0, "auth");
	if (json_type(&a.doc, auth) != JSON_OBJECT)
		return fail(E_SYNTAX);
	TRY(get_seconds(&a.doc, auth, &lease_s));
	TRY(member_secret(
	    &a.doc, json_get_str(&a.doc, auth, "client_token"), VAULT_TOKEN_MAX, &token));
	*ret = (struct vault_auth){ .lease_s = lease_s,
		.renewable = is_true(&a.doc, auth, "renewable") };
	if (!is_ok(member_text(&a.doc, json_get_str(&a.doc, auth, "accessor"), ret->accessor,
		sizeof(ret->accessor))))
		ret->accessor[0] = '\0'; /* it only names the token, on record */
	ret->token = secret_take(&token);
	return OK;
}

struct status
vault_mount_parse(struct span body, struct vault_mount *ret)
{
	auto_answer struct answer a = { 0 };
	struct vault_mount m = { .kv2 = false };
	uint32_t options;
	bool kv;

	TRY(answer_parse(body, &a));
	TRY(member_text(&a.doc, json_get_str(&a.doc, a.data, "path"), m.path, sizeof(m.path)));
	if (m.path[0] == '\0' || m.path[strlen(m.path) - 1] != '/')
		return fail(E_SYNTAX);
	options = json_get_str(&a.doc, a.data, "options");
	kv = json_str_eq_str(&a.doc, json_get_str(&a.doc, a.data, "type"), "kv");
	m.kv2 = kv && json_str_eq_str(&a.doc, json_get_str(&a.doc, options, "version"), "2");
	*ret = m;
	return OK;
}

static struct status
kv2_value(const struct answer *a, struct span field, struct vault_value *v)
{
	uint32_t meta = json_get_str(&a->doc, a->data, "metadata");
	uint32_t data = json_get_str(&a->doc, a->data, "data");

	TRY(json_u64(&a->doc, json_get_str(&a->doc, meta, "version"), UINT32_MAX, &v->version));
	if (json_type(&a->doc, data) != JSON_OBJECT)
		return fail(E_NOTFOUND); /* deleted: null */
	return member_secret(
	    &a->doc, json_get(&a->doc, data, field), SECRET_LEN_MAX - 2, &v->value);
}

static struct status
leased_value(const struct answer *a, struct span field, struct vault_value *v)
{
	TRY(get_seconds(&a->doc, 0, &v->lease_s));
	TRY(member_text(&a->doc, json_get_str(&a->doc, 0, "lease_id"), v->lease, sizeof(v->lease)));
	v->renewable = is_true(&a->doc, 0, "renewable");
	if (v->lease[0] == '\0') {
		/* What KV version 1 calls a lease is advice how often to look. */
		v->lease_s = 0;
		v->renewable = false;
	}
	if (json_type(&a->doc, a->data) != JSON_OBJECT)
		return fail(E_NOTFOUND);
	return member_secret(
	    &a->doc, json_get(&a->doc, a->data, field), SECRET_LEN_MAX - 2, &v->value);
}

struct status
vault_value_parse(struct span body, bool kv2, struct span field, struct vault_value *ret)
{
	auto_answer struct answer a = { 0 };
	struct vault_value v = { .value = SECRET_NONE };
	struct status st;

	TRY(answer_parse(body, &a));
	st = kv2 ? kv2_value(&a, field, &v) : leased_value(&a, field, &v);
	if (v.lease[0] == '\0')
		v.lease_s = 0; /* it is the time of a lease, and none came */
	*ret = v;
	return st;
}

struct status
vault_metadata_parse(struct span body, uint64_t *ret_version)
{
	auto_answer struct answer a = { 0 };
	char name[24], when[64];
	uint32_t versions, one;
	uint64_t n;

	TRY(answer_parse(body, &a));
	TRY(json_u64(&a.doc, json_get_str(&a.doc, a.data, "current_version"), UINT32_MAX, &n));
	(void)snprintf(name, sizeof(name), "%llu", (unsigned long long)n);
	versions = json_get_str(&a.doc, a.data, "versions");
	one = json_get_str(&a.doc, versions, name);
	if (json_type(&a.doc, one) != JSON_OBJECT)
		return fail(E_NOTFOUND);
	TRY(member_text(&a.doc, json_get_str(&a.doc, one, "deletion_time"), when, sizeof(when)));
	/* A time to come (delete_version_after) is no deletion yet: reading will tell. */
	*ret_version = when[0] != '\0' || is_true(&a.doc, one, "destroyed") ? 0 : n;
	return OK;
}

struct status
vault_lease_parse(struct span body, uint64_t *ret_s, bool *ret_renewable)
{
	auto_answer struct answer a = { 0 };

	TRY(answer_parse(body, &a));
	TRY(get_seconds(&a.doc, 0, ret_s));
	*ret_renewable = is_true(&a.doc, 0, "renewable");
	return OK;
}

struct status
vault_wrapping_check(struct span body, struct span mount)
{
	auto_answer struct answer a = { 0 };
	char path[2 * VAULT_MOUNT_MAX];
	struct span rest;

	TRY(answer_parse(body, &a));
	TRY(member_text(&a.doc, json_get_str(&a.doc, a.data, "creation_path"), path, sizeof(path)));
	rest = span_str(path);
	if (!span_starts(rest, SPAN_LIT("auth/")) || !span_starts(span_from(rest, 5), mount) ||
	    !span_starts(span_from(rest, 5 + mount.len), SPAN_LIT("/role/")))
		return fail(E_DENIED);
	rest = span_from(rest, 5 + mount.len + 6);
	if (rest.len < 11 || !span_eq_str(span_from(rest, rest.len - 10), "/secret-id"))
		return fail(E_DENIED);
	return OK;
}

struct status
vault_secret_id_parse(struct span body, struct secret *ret)
{
	auto_answer struct answer a = { 0 };

	TRY(answer_parse(body, &a));
	return member_secret(
	    &a.doc, json_get_str(&a.doc, a.data, "secret_id"), VAULT_TOKEN_MAX, ret);
}

/* ---- transit ---- */
struct status
vault_ciphertext_version(struct span text, uint64_t *ret)
{
	struct span digits = span_from(text, 7);

	if (!span_starts(text, SPAN_LIT("vault:v")))
		return fail(E_SYNTAX);
	for (size_t i = 0; i < digits.len; i++) {
		if (digits.ptr[i] == ':' && i + 1 < digits.len &&
		    is_ok(span_u64(span_of(digits.ptr, i), UINT32_MAX, ret)))
			return OK;
	}
	return fail(E_SYNTAX);
}

/* What goes into requests again: no control characters. */
static bool
is_printable(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] <= ' ' || s.ptr[i] >= 0x7f)
			return false;
	}
	return true;
}

struct status
vault_ciphertext_parse(struct span body, struct secret *ret, uint64_t *ret_version)
{
	auto_answer struct answer a = { 0 };
	auto_secret struct secret text = SECRET_NONE;

	TRY(answer_parse(body, &a));
	TRY(member_secret(
	    &a.doc, json_get_str(&a.doc, a.data, "ciphertext"), VAULT_CIPHERTEXT_MAX, &text));
	if (text.len > VAULT_CIPHERTEXT_MAX)
		return fail(E_RANGE);
	if (!is_printable(secret_borrow(&text)))
		return fail(E_SYNTAX);
	TRY(vault_ciphertext_version(secret_borrow(&text), ret_version));
	*ret = secret_take(&text);
	return OK;
}

struct status
vault_plaintext_parse(struct span body, size_t len_max, struct secret *ret)
{
	auto_answer struct answer a = { 0 };

	TRY(answer_parse(body, &a));
	return member_secret_base64(
	    &a.doc, json_get_str(&a.doc, a.data, "plaintext"), len_max, ret);
}
