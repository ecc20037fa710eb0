/* SPDX-License-Identifier: Apache-2.0 */
/*
 * toolcall.c: collects the tool calls of a model's answer.
 *
 * Runs in: gateway. Trusts: nothing; provider and model are both hostile.
 * Owns: copies of ids, names and arguments, within CALLS_MAX and CALL_BYTES_MAX.
 * Invariants: the result does not depend on where a stream was cut.
 * See: facts of the OpenAI chat stream in docs/api.md; answer.c, the only caller.
 */
#include "toolcall.h"

#include <stdlib.h>

#include <json/schema.h>

#define CALL_KEPT_MAX 4096 /* memory of one text that serves the next request */
#define CALLS_FIRST 2      /* room that is made for the first; then it doubles, up to CALLS_MAX */
#define SCHEMA_MEMORY_MAX (256UL << 10)

/* Of our tool's arguments; made once. */
static struct arena memory = ARENA_INIT(SCHEMA_MEMORY_MAX);
static const struct schema *schema;

static struct status add_text(
    struct toolcalls *t, struct buf *to, const struct json_doc *d, uint32_t tok);
static struct status call_merge(
    struct toolcalls *t, struct toolcall *c, const struct json_doc *d, uint32_t item);
static struct status call_at(struct toolcalls *t, uint64_t index, struct toolcall **ret);
static struct status delta_index(
    const struct toolcalls *t, const struct json_doc *d, uint32_t item, uint64_t *ret);

void
toolcalls_done(struct toolcalls *t)
{
	for (size_t i = 0; i < t->cap; i++) {
		buf_done(&t->items[i].id);
		buf_done(&t->items[i].name);
		buf_done(&t->items[i].args);
	}
	free(t->items);
	t->items = NULL;
	t->count = t->cap = t->bytes = 0;
}

void
toolcalls_clear(struct toolcalls *t)
{
	for (size_t i = 0; i < t->count; i++) {
		buf_clear(&t->items[i].id);
		buf_clear(&t->items[i].name);
		buf_clear(&t->items[i].args);
	}
	t->count = t->bytes = 0;
}

void
toolcalls_trim(struct toolcalls *t)
{
	for (size_t i = 0; i < t->cap; i++) {
		if (t->items[i].args.cap > CALL_KEPT_MAX)
			buf_done(&t->items[i].args);
		if (t->items[i].id.cap + t->items[i].name.cap > CALL_KEPT_MAX) {
			buf_done(&t->items[i].id);
			buf_done(&t->items[i].name);
		}
	}
	toolcalls_clear(t);
}

struct status
toolcalls_delta(struct toolcalls *t, const struct json_doc *d, uint32_t arr)
{
	struct json_iter it = json_iter(d, arr);

	if (json_type(d, arr) != JSON_ARRAY)
		return fail(E_PROTO);
	while (json_next(&it)) {
		struct toolcall *c;
		uint64_t index = 0;

		TRY(delta_index(t, d, it.val, &index));
		TRY(call_at(t, index, &c));
		TRY(call_merge(t, c, d, it.val));
	}
	return OK;
}

struct status
toolcalls_whole(struct toolcalls *t, const struct json_doc *d, uint32_t arr)
{
	struct json_iter it = json_iter(d, arr);

	if (json_type(d, arr) != JSON_ARRAY)
		return fail(E_PROTO);
	while (json_next(&it)) {
		struct toolcall *c;

		if (json_type(d, it.val) != JSON_OBJECT)
			return fail(E_PROTO);
		TRY(toolcalls_new(t, &c));
		TRY(call_merge(t, c, d, it.val));
		if (c->name.len == 0)
			return fail(E_PROTO);
	}
	return OK;
}

/* Some providers leave the index out: an id begins a call, anything else continues the last. */
static struct status
delta_index(const struct toolcalls *t, const struct json_doc *d, uint32_t item, uint64_t *ret)
{
	uint32_t tok = json_get_str(d, item, "index");

	if (json_type(d, item) != JSON_OBJECT)
		return fail(E_PROTO);
	if (tok != JSON_NONE)
		return is_ok(json_u64(d, tok, CALLS_MAX - 1, ret)) ? OK : fail(E_PROTO);
	if (json_type(d, json_get_str(d, item, "id")) == JSON_STRING || t->count == 0)
		*ret = t->count;
	else
		*ret = t->count - 1;
	return OK;
}

static struct status
make_room(struct toolcalls *t)
{
	size_t cap = t->cap == 0 ? CALLS_FIRST : 2 * t->cap;
	struct toolcall *items;

	if (t->count == CALLS_MAX)
		return fail(E_FULL);
	if (t->count < t->cap)
		return OK;
	items = reallocarray(t->items, cap, sizeof(*items));
	if (items == NULL)
		return fail(E_NOMEM);
	memset(items + t->cap, 0, (cap - t->cap) * sizeof(*items));
	t->items = items;
	t->cap = cap;
	return OK;
}

struct status
toolcalls_new(struct toolcalls *t, struct toolcall **ret)
{
	struct toolcall *c;

	TRY(make_room(t));
	c = &t->items[t->count++];
	c->id.max = c->name.max = c->args.max = CALL_BYTES_MAX;
	*ret = c;
	return OK;
}

/* Calls begin in order, but a stream may skip none. */
static struct status
call_at(struct toolcalls *t, uint64_t index, struct toolcall **ret)
{
	if (index >= CALLS_MAX)
		return fail(E_FULL);
	if (index > t->count)
		return fail(E_PROTO);
	if (index == t->count)
		return toolcalls_new(t, ret);
	*ret = &t->items[index];
	return OK;
}

static struct status
call_merge(struct toolcalls *t, struct toolcall *c, const struct json_doc *d, uint32_t item)
{
	uint32_t fn = json_get_str(d, item, "function");
	uint32_t id = json_get_str(d, item, "id");

	/* Ids come whole, once; a provider that repeats them says nothing new. */
	if (c->id.len == 0)
		TRY(add_text(t, &c->id, d, id));
	if (json_type(d, fn) == JSON_NULL || json_type(d, fn) == JSON_ABSENT)
		return OK;
	if (json_type(d, fn) != JSON_OBJECT)
		return fail(E_PROTO);
	if (!json_str_eq(d, json_get_str(d, fn, "name"), buf_span(&c->name)))
		TRY(add_text(t, &c->name, d, json_get_str(d, fn, "name")));
	return add_text(t, &c->args, d, json_get_str(d, fn, "arguments"));
}

static struct status
add_text(struct toolcalls *t, struct buf *to, const struct json_doc *d, uint32_t tok)
{
	size_t before = to->len;

	if (json_type(d, tok) == JSON_ABSENT || json_type(d, tok) == JSON_NULL)
		return OK;
	if (json_type(d, tok) != JSON_STRING)
		return fail(E_PROTO);
	TRY(json_str_put(d, tok, to));
	t->bytes += to->len - before;
	return t->bytes > CALL_BYTES_MAX ? fail(E_FULL) : OK;
}

struct status
toolcalls_add(
    struct toolcalls *t, const struct json_doc *d, uint32_t id, uint32_t name, uint32_t args)
{
	struct toolcall *c;

	if (json_type(d, id) != JSON_STRING || json_type(d, name) != JSON_STRING)
		return fail(E_PROTO);
	TRY(toolcalls_new(t, &c));
	TRY(add_text(t, &c->id, d, id));
	TRY(add_text(t, &c->name, d, name));
	return add_text(t, &c->args, d, args);
}

const struct tool_offer *
toolcalls_offer(const struct toolcalls *t, const struct toolcall *c)
{
	for (size_t i = 0; t->offers != NULL && i < t->offers->count; i++) {
		if (span_eq(t->offers->items[i].name, buf_span(&c->name)))
			return &t->offers->items[i];
	}
	return NULL;
}

bool
toolcalls_is_ours(const struct toolcalls *t, const struct toolcall *c)
{
	if (t->interpreter && span_eq(buf_span(&c->name), SPAN_LIT(TOOL_NAME)))
		return true;
	return toolcalls_offer(t, c) != NULL;
}

bool
toolcalls_names_offer(const struct toolcalls *t, const struct json_doc *d, uint32_t tok)
{
	for (size_t i = 0; t->offers != NULL && i < t->offers->count; i++) {
		if (json_str_eq(d, tok, t->offers->items[i].name))
			return true;
	}
	return false;
}

bool
toolcalls_names_ours(const struct toolcalls *t, const struct json_doc *d, uint32_t tok)
{
	return (t->interpreter && json_str_eq_str(d, tok, TOOL_NAME)) ||
	       toolcalls_names_offer(t, d, tok);
}

size_t
toolcalls_ours(const struct toolcalls *t)
{
	size_t n = 0;

	for (size_t i = 0; i < t->count; i++)
		n += toolcalls_is_ours(t, &t->items[i]);
	return n;
}

void
toolcalls_put(const struct toolcalls *t, bool ours, bool index, struct json_writer *w)
{
	uint64_t n = 0;

	json_put_array(w);
	for (size_t i = 0; i < t->count; i++) {
		const struct toolcall *c = &t->items[i];

		if (toolcalls_is_ours(t, c) != ours)
			continue;
		json_put_object(w);
		if (index) {
			json_put_key(w, "index");
			json_put_u64(w, n++);
		}
		json_put_key(w, "id");
		json_put_str(w, buf_span(&c->id));
		json_put_key(w, "type");
		json_put_text(w, "function");
		json_put_key(w, "function");
		json_put_object(w);
		json_put_key(w, "name");
		json_put_str(w, buf_span(&c->name));
		json_put_key(w, "arguments");
		json_put_str(w, buf_span(&c->args));
		json_put_end(w);
		json_put_end(w);
	}
	json_put_end(w);
}

struct status
toolcall_prepare(void)
{
	return schema != NULL ? OK
			      : schema_compile(SPAN_LIT(TOOL_PARAMETERS), &memory, &schema, NULL);
}

struct status
toolcall_args(
    const struct toolcall *c, struct json_doc *d, struct arena *a, struct toolcall_args *ret)
{
	struct span text, language = SPAN_EMPTY;
	struct status st;
	uint32_t tok;

	TRY(toolcall_prepare());
	TRY(arena_copy(a, buf_span(&c->args), &text));
	st = json_parse(d, text);
	if (!is_ok(st))
		return st.code == E_NOMEM ? st : fail(E_SYNTAX);
	TRY(schema_validate(schema, d, 0, NULL));
	tok = json_get_str(d, 0, "language");
	if (tok != JSON_NONE)
		TRY(json_str(d, tok, a, &language));
	TRY(json_str(d, json_get_str(d, 0, "code"), a, &ret->code));
	ret->language = language.len == 0 ? SPAN_LIT("python") : language;
	return OK;
}
