/* SPDX-License-Identifier: Apache-2.0 */
/*
 * items.c: items on their way into what is kept.
 *
 * Runs in: gateway. Trusts: nothing but that each is a JSON object.
 * Owns: nothing; texts lie in the request's arena, or are borrowed.
 * Invariants: every item has an id that keep_id_ok() takes, in its text, too; within one
 * request no two have the same where they are fresh; no id is a credential: it is kept and told
 * beside the item, where nothing is masked.
 * See: conversations.c, history.c; docs/api.md, "Conversations".
 */
#include "items.h"

#include <base/cleanup.h>
#include <json/write.h>
#include <pasted/pasted.h>

#include "keep.h"

/* How ids begin, by type. */
static const struct {
	const char *type, *prefix;
} prefixes[] = {
	{ "message", "msg_" },
	{ "reasoning", "rs_" },
	{ "function_call", "fc_" },
	{ "function_call_output", "fco_" },
	{ "custom_tool_call", "ctc_" },
	{ "custom_tool_call_output", "ctco_" },
	{ "code_interpreter_call", "ci_" },
	{ "mcp_call", "mcp_" },
};

uint64_t
items_hash(struct span id)
{
	uint64_t h = 0xcbf29ce484222325U;

	for (size_t i = 0; i < id.len; i++)
		h = (h ^ id.ptr[i]) * 0x100000001b3U;
	return h == 0 ? 1 : h;
}

/* True when it was not there. */
static bool
take_id(struct items *s, uint64_t hash)
{
	size_t at = hash % s->ids_size;

	while (s->ids[at] != 0 && s->ids[at] != hash)
		at = (at + 1) % s->ids_size;
	if (s->ids[at] == hash)
		return false;
	s->ids[at] = hash;
	return true;
}

struct status
items_start(struct items *s, struct arena *a, uint32_t max, const uint64_t *taken, size_t ntaken)
{
	*s = (struct items){ .max = max, .ids_size = 2 * ((size_t)max + ntaken) + 1 };
	s->all = arena_array(a, max > 0 ? max : 1, sizeof(*s->all));
	s->ids = arena_array(a, s->ids_size, sizeof(*s->ids));
	if (s->all == NULL || s->ids == NULL)
		return fail(E_NOMEM);
	for (size_t i = 0; i < ntaken; i++)
		(void)take_id(s, taken[i]);
	return OK;
}

/* ---- one item ---- */

/* What is to be changed. */
struct change {
	bool typed; /* it has a type */
	bool message, assistant;
	bool text; /* its content is a text alone */
	bool has_status;
};

static const char *
prefix_of(const struct json_doc *d, uint32_t tok, const struct change *c)
{
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
		if (json_str_eq_str(d, json_get_str(d, tok, "type"), prefixes[i].type))
			return prefixes[i].prefix;
	}
	return c->message ? "msg_" : "item_";
}

static struct change
change_of(const struct json_doc *d, uint32_t tok)
{
	uint32_t type = json_get_str(d, tok, "type"), role = json_get_str(d, tok, "role");
	struct change c = { .typed = false };

	c.typed = json_type(d, type) == JSON_STRING;
	c.message = c.typed ? json_str_eq_str(d, type, "message")
			    : json_type(d, role) == JSON_STRING;
	c.assistant = json_str_eq_str(d, role, "assistant");
	c.text = c.message && json_type(d, json_get_str(d, tok, "content")) == JSON_STRING;
	c.has_status = json_type(d, json_get_str(d, tok, "status")) == JSON_STRING;
	return c;
}

static void
put_part(struct span text, bool assistant, struct json_writer *w)
{
	json_put_array(w);
	json_put_object(w);
	json_put_key(w, "type");
	json_put_text(w, assistant ? "output_text" : "input_text");
	json_put_key(w, "text");
	json_put_raw(w, text);
	if (assistant) {
		json_put_key(w, "annotations");
		json_put_array(w);
		json_put_end(w);
	}
	json_put_end(w);
	json_put_end(w);
}

/* What every message has, in OpenAI's order. */
static void
put_head(const struct change *c, const char *id, struct json_writer *w)
{
	json_put_key(w, "id");
	json_put_text(w, id);
	if (c->message && !c->typed) {
		json_put_key(w, "type");
		json_put_text(w, "message");
	}
	if (c->message && !c->has_status) {
		json_put_key(w, "status");
		json_put_text(w, "completed");
	}
}

/* Written already; one that differs in case alone would be a duplicate beside it. */
static bool
is_ours(struct span key, const struct change *c)
{
	return span_eq_nocase(key, SPAN_LIT("id")) ||
	       (c->message && !c->typed && span_eq_nocase(key, SPAN_LIT("type"))) ||
	       (c->message && !c->has_status && span_eq_nocase(key, SPAN_LIT("status")));
}

static struct status
rewrite(const struct json_doc *d, uint32_t tok, const struct change *c, const char *id,
    struct arena *a, struct buf *out)
{
	struct json_iter it = json_iter(d, tok);
	struct json_writer w = json_writer(out);

	json_put_object(&w);
	put_head(c, id, &w);
	while (json_next(&it)) {
		struct span key;

		TRY(json_str(d, it.key, a, &key));
		if (is_ours(key, c))
			continue;
		json_put_key_span(&w, key);
		if (c->text && json_str_eq_str(d, it.key, "content"))
			put_part(json_bytes(d, it.val), c->assistant, &w);
		else
			json_put_raw(&w, json_bytes(d, it.val));
	}
	json_put_end(&w);
	return json_writer_finish(&w);
}

bool
items_id_pasted(const struct json_doc *d, uint32_t tok)
{
	uint32_t id = json_get_str(d, tok, "id");

	return json_type(d, id) == JSON_STRING && pasted_any(json_bytes(d, id));
}

uint32_t
items_find_variant(const struct json_doc *d, uint32_t tok)
{
	static const char *const names[] = { "id", "type", "status", "role", "content" };
	struct json_iter it = json_iter(d, tok);

	while (json_next(&it)) {
		uint8_t plain[16];
		struct buf key = { .ptr = plain, .cap = sizeof(plain), .max = sizeof(plain) };

		if (!is_ok(json_str_put(d, it.key, &key)))
			continue; /* longer than any of them */
		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
			if (span_eq_nocase(buf_span(&key), span_str(names[i])) &&
			    !span_eq_str(buf_span(&key), names[i]))
				return it.val;
		}
	}
	return JSON_NONE;
}

/* Its own id, if that can stay; else empty. E_EXISTS, E_DENIED: it cannot, and must. */
static struct status
own_id(struct items *s, const struct json_doc *d, uint32_t tok, bool fresh, struct arena *a,
    struct span *ret)
{
	struct span id = SPAN_EMPTY;
	uint32_t at = json_get_str(d, tok, "id");

	*ret = SPAN_EMPTY;
	if (json_type(d, at) != JSON_STRING)
		return OK;
	if (items_id_pasted(d, tok))
		return fresh ? OK : fail(E_DENIED);
	TRY(json_str(d, at, a, &id));
	if (!keep_id_ok(id))
		return OK;
	if (!take_id(s, items_hash(id)))
		return fresh ? OK : fail(E_EXISTS);
	*ret = id;
	return OK;
}

struct status
items_add(struct items *s, const struct json_doc *d, uint32_t tok, bool output, bool fresh,
    struct arena *a)
{
	struct content_item *item = &s->all[s->count];
	struct change c = change_of(d, tok);
	char id[CONTENT_ID_MAX + 1];
	bool changed = c.message && (!c.typed || c.text || !c.has_status);
	auto_buf struct buf out = BUF_INIT(2UL * CONTENT_ITEM_MAX);

	if (s->count == s->max)
		return fail(E_FULL);
	item->output = output;
	item->json = json_bytes(d, tok);
	TRY(own_id(s, d, tok, fresh, a, &item->id));
	if (item->id.len == 0) {
		TRY(keep_new_id(prefix_of(d, tok, &c), id));
		TRY(arena_copy(a, span_str(id), &item->id));
		changed = true;
	}
	if (changed) {
		TRY(span_to_cstr(item->id, id, sizeof(id)));
		TRY(rewrite(d, tok, &c, id, a, &out));
		TRY(arena_copy(a, buf_span(&out), &item->json));
	}
	s->count++;
	return OK;
}

struct status
items_add_text(struct items *s, const struct json_doc *d, uint32_t tok, struct arena *a)
{
	const struct change c = { .message = true };
	auto_buf struct buf out = BUF_INIT(2UL * CONTENT_ITEM_MAX);
	struct content_item *item = &s->all[s->count];
	struct json_writer w = json_writer(&out);
	char id[CONTENT_ID_MAX + 1];

	if (s->count == s->max)
		return fail(E_FULL);
	TRY(keep_new_id("msg_", id));
	json_put_object(&w);
	put_head(&c, id, &w);
	json_put_key(&w, "role");
	json_put_text(&w, "user");
	json_put_key(&w, "content");
	put_part(json_bytes(d, tok), false, &w);
	json_put_end(&w);
	TRY(json_writer_finish(&w));
	item->output = 0;
	TRY(arena_copy(a, span_str(id), &item->id));
	TRY(arena_copy(a, buf_span(&out), &item->json));
	s->count++;
	return OK;
}
