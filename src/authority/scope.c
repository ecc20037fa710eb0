/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scope.c: what narrows a key or a session.
 *
 * Runs in: authority. Trusts: nothing: scopes come from clients and from the store alike.
 * Owns: copies. Invariants: a scope only ever takes away; one that cannot be read is none, and
 * its key is not loaded.
 * See: scope.h, policy.c.
 */
#include "scope.h"

#include <assert.h>
#include <stdlib.h>

#include <base/cleanup.h>
#include <json/json.h>
#include <json/write.h>
#include <wire/endpoint.h>
#include <wire/scope.h>

static const struct {
	const char *member, *word;
} lists[LIST_COUNT] = {
	[LIST_ENDPOINTS] = { "endpoints", "endpoint" },
	[LIST_MODELS] = { "models", "model" },
	[LIST_TOOLS] = { "tools", "tool" },
	[LIST_LANGUAGES] = { "languages", "language" },
};

static struct status read_member(
    const struct json_doc *d, const struct json_iter *it, struct scope *s);

struct status
scope_parse(struct span json, struct scope **ret)
{
	const struct json_opts opts = { .depth_max = 3,
		.tokens_max = 2048,
		.refuse_duplicates = true,
		.refuse_surrogates = true,
		.refuse_nul = true };
	auto_json struct json_doc d = { 0 };
	struct json_iter it;
	struct status st = OK;
	struct scope *s;

	if (json.len > SCOPES_MAX)
		return fail(E_RANGE);
	TRY(json_init(&d, &opts));
	TRY(json_parse(&d, json));
	if (json_type(&d, 0) != JSON_OBJECT)
		return fail(E_SYNTAX);
	s = calloc(1, sizeof(*s));
	if (s == NULL || (s->text = malloc(json.len)) == NULL) {
		free(s);
		return fail(E_NOMEM);
	}
	memcpy(s->text, json.ptr, json.len);
	s->len = json.len;
	for (it = json_iter(&d, 0); is_ok(st) && json_next(&it);)
		st = read_member(&d, &it, s);
	if (!is_ok(st)) {
		scope_free(s);
		return st;
	}
	*ret = s;
	return OK;
}

void
scope_free(struct scope *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < LIST_COUNT; i++)
		name_set_done(&s->lists[i]);
	free(s->networks);
	free(s->text);
	free(s);
}

bool
scope_has(const struct scope *s, enum policy_list list, struct span name)
{
	return s == NULL || !s->narrows[list] || name_set_has(&s->lists[list], name);
}

static bool
is_within(const struct network *n, const uint8_t source[SOURCE_LEN])
{
	size_t whole = n->bits / 8U;
	uint8_t mask = (uint8_t)(0xff00U >> n->bits % 8U);

	return memcmp(n->base, source, whole) == 0 &&
	       (n->bits % 8U == 0 || ((n->base[whole] ^ source[whole]) & mask) == 0);
}

bool
scope_is_from(const struct scope *s, const uint8_t source[SOURCE_LEN])
{
	if (s == NULL || !s->narrows_networks)
		return true;
	for (size_t i = 0; i < s->nnetworks; i++) {
		if (is_within(&s->networks[i], source))
			return true;
	}
	return false;
}

static bool
passes_through(struct span endpoint)
{
	static const uint8_t those[] = { ENDPOINT_CHAT, ENDPOINT_MODELS, ENDPOINT_EXECUTE,
		ENDPOINT_EMBEDDINGS, ENDPOINT_MESSAGES, ENDPOINT_COUNT_TOKENS, ENDPOINT_TOOL_CALL };

	for (size_t i = 0; i < sizeof(those); i++) {
		if (span_eq_str(endpoint, endpoint_rows[those[i]].name))
			return true;
	}
	return false;
}

bool
scope_reaches_kept(const struct scope *s)
{
	const struct name_set *set = s == NULL ? NULL : &s->lists[LIST_ENDPOINTS];

	if (s == NULL || !s->narrows[LIST_ENDPOINTS] || set->all)
		return true;
	for (size_t i = 0; i < set->n; i++) {
		if (!passes_through(set->names[i]))
			return true;
	}
	return false;
}

struct span
scope_text(const struct scope *s)
{
	return s == NULL ? SPAN_EMPTY : span_of(s->text, s->len);
}

/* ---- reading ---- */

/* A name as the configuration could have one; "*" would not mean what it says. */
static bool
is_name(struct span s)
{
	if (s.len == 0 || s.len > MODEL_MAX || span_eq_str(s, "*"))
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] <= ' ' || s.ptr[i] >= 0x7f || s.ptr[i] == '"' || s.ptr[i] == '\\')
			return false;
	}
	return true;
}

static struct status
read_names(const struct json_doc *d, uint32_t tok, struct name_set *ret)
{
	auto_arena struct arena arena = ARENA_INIT(2 * SCOPES_MAX);
	auto_buf struct buf text = BUF_INIT(2 * SCOPES_MAX);
	struct json_iter it = json_iter(d, tok);
	struct span name;

	if (json_type(d, tok) != JSON_ARRAY || json_size(d, tok) > SCOPE_NAMES_MAX)
		return fail(E_RANGE);
	while (json_next(&it)) {
		TRY(json_str(d, it.val, &arena, &name));
		if (!is_name(name))
			return fail(E_RANGE);
		if (text.len > 0)
			TRY(buf_put_u8(&text, ' '));
		TRY(buf_put_span(&text, name));
	}
	TRY(buf_put_u8(&text, '\0'));
	return name_set_parse((const char *)text.ptr, ret);
}

static struct status
read_networks(const struct json_doc *d, uint32_t tok, struct scope *s)
{
	auto_arena struct arena arena = ARENA_INIT(2 * SCOPES_MAX);
	struct json_iter it = json_iter(d, tok);
	struct span text;

	if (json_type(d, tok) != JSON_ARRAY || json_size(d, tok) > SCOPE_NETWORKS_MAX)
		return fail(E_RANGE);
	s->networks = calloc(json_size(d, tok) + 1, sizeof(s->networks[0]));
	if (s->networks == NULL)
		return fail(E_NOMEM);
	while (json_next(&it)) {
		TRY(json_str(d, it.val, &arena, &text));
		TRY(scope_network(
		    text, s->networks[s->nnetworks].base, &s->networks[s->nnetworks].bits));
		s->nnetworks++;
	}
	s->narrows_networks = true;
	return OK;
}

static struct status
read_member(const struct json_doc *d, const struct json_iter *it, struct scope *s)
{
	for (size_t i = 0; i < LIST_COUNT; i++) {
		if (!json_str_eq_str(d, it->key, lists[i].member))
			continue;
		TRY(read_names(d, it->val, &s->lists[i]));
		s->narrows[i] = true;
		return OK;
	}
	if (json_str_eq_str(d, it->key, "networks"))
		return read_networks(d, it->val, s);
	return fail(E_NOTFOUND);
}

/* ---- of who asks for one ---- */

static const char *
fault_of_list(
    const struct json_doc *d, uint32_t tok, const struct scope_rule *rule, struct arena *arena)
{
	struct json_iter it = json_iter(d, tok);
	struct span word;

	if (json_size(d, tok) == 0 && rule->none != NULL)
		return rule->refusal;
	while (json_next(&it)) {
		if (!is_ok(json_str(d, it.val, arena, &word)) || !scope_word_ok(rule, word))
			return rule->refusal;
	}
	return NULL;
}

const char *
scope_fault(const struct json_doc *d, uint32_t scopes, struct arena *arena)
{
	const char *fault = NULL;

	for (size_t i = 0; fault == NULL && i < SCOPE_RULES; i++) {
		uint32_t tok = json_get_str(d, scopes, scope_rules[i].member);

		if (tok != JSON_NONE && json_type(d, tok) == JSON_ARRAY)
			fault = fault_of_list(d, tok, &scope_rules[i], arena);
	}
	return fault;
}

/* ---- words ---- */

/* The next word of `rest`, which loses it; one blank stands between two. */
static struct status
next_word(struct span *rest, struct span *ret)
{
	const uint8_t *blank = memchr(rest->ptr, ' ', rest->len);

	*ret = span_of(rest->ptr, blank == NULL ? rest->len : (size_t)(blank - rest->ptr));
	*rest = blank == NULL ? SPAN_EMPTY : span_from(*rest, ret->len + 1);
	return ret->len > 0 && (blank == NULL || rest->len > 0) ? OK : fail(E_SYNTAX);
}

static bool
is_of_list(struct span word, enum policy_list list, struct span *ret_name)
{
	size_t len = strlen(lists[list].word);

	if (word.len <= len || !span_starts(word, span_of(lists[list].word, len)) ||
	    word.ptr[len] != ':')
		return false;
	*ret_name = span_from(word, len + 1);
	return true;
}

static const struct scope_rule *
rule_of(enum policy_list list)
{
	size_t i = 0;

	for (; strcmp(scope_rules[i].member, lists[list].member) != 0; i++)
		assert(i + 1 < SCOPE_RULES);
	return &scope_rules[i];
}

/* All words of one list, as a member; how many in *count. */
static struct status
put_list(struct span words, enum policy_list list, struct json_writer *w, size_t *count)
{
	bool any = false;
	struct span word, name;

	while (words.len > 0) {
		TRY(next_word(&words, &word));
		if (!is_of_list(word, list, &name))
			continue;
		if (!is_name(name) || !scope_word_ok(rule_of(list), name))
			return fail(E_RANGE);
		if (!any) {
			json_put_key(w, lists[list].member);
			json_put_array(w);
		}
		any = true;
		json_put_str(w, name);
		++*count;
	}
	if (any)
		json_put_end(w);
	return OK;
}

struct status
scope_of_words(struct span words, struct buf *out)
{
	struct json_writer w = json_writer(out);
	struct span rest = words, word;
	size_t all = 0, known = 0;

	if (words.len > SCOPE_MAX)
		return fail(E_RANGE);
	for (; rest.len > 0; all++)
		TRY(next_word(&rest, &word));
	json_put_object(&w);
	for (size_t i = 0; i < LIST_COUNT; i++)
		TRY(put_list(words, (enum policy_list)i, &w, &known));
	json_put_end(&w);
	TRY(json_writer_finish(&w));
	return known == all ? OK : fail(E_RANGE);
}
