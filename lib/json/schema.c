/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiling a schema: the driver, $ref, and the search for endless circles.
 *
 * Runs in:    whoever has schemas: the gateway at start, the store for tools.
 * Trusts:     nothing of the schema's text.
 * Owns:       nothing for itself: all lies in the caller's arena.
 * Invariants: a compiled schema is immutable; every $ref in it is resolved; no
 *             value can lead around in a circle without going deeper.
 * See:        JSON Schema 2020-12 core, section 8; schema_keywords.c.
 */
#include <base/cleanup.h>
#include <base/encode.h>

#include "schema_node.h"

#define REF_MAX 1024                 /* bytes */
#define POINTER_TEXT_MAX (1UL << 20) /* bytes, before it is cut */

static struct status compile_document(struct schema_compiler *c);
static struct status keep_document(struct schema_compiler *c, struct json_doc *d);
static struct status resolve_refs(struct schema_compiler *c);
static struct status resolve_ref(struct schema_compiler *c, struct schema_node *n);
static struct status circle_check(struct schema_compiler *c, struct schema_node *n, uint32_t depth);
static void fault_of_text(struct schema_fault *fault, const struct json_doc *d);
static void pointer_keep(struct schema_fault *fault, struct span pointer);

struct status
schema_compile(
    struct span text, struct arena *a, const struct schema **ret, struct schema_fault *fault)
{
	struct schema_compiler c = { .arena = a, .fault_tok = JSON_NONE };
	struct json_opts opts = { .refuse_surrogates = true };
	auto_json struct json_doc d = { .count = 0 };
	struct status st;

	/* Keys that differ only in case are fine here; equal keywords are refused later. */
	TRY(json_init(&d, &opts));
	st = json_parse(&d, text);
	if (!is_ok(st)) {
		if (fault != NULL)
			fault_of_text(fault, &d);
		return st;
	}
	TRY(keep_document(&c, &d));
	st = compile_document(&c);
	if (!is_ok(st)) {
		if (fault != NULL)
			schema_fault_set(fault, &c.schema->doc,
			    c.fault_tok == JSON_NONE ? 0 : c.fault_tok,
			    c.message != NULL ? c.message : "cannot be compiled",
			    c.keyword != NULL ? c.keyword : "");
		return st;
	}
	*ret = c.schema;
	return OK;
}

static void
fault_of_text(struct schema_fault *fault, const struct json_doc *d)
{
	auto_buf struct buf pointer = BUF_INIT(POINTER_TEXT_MAX);

	*fault = (struct schema_fault){
		.message = d->fault.message,
		.keyword = "",
		.offset = d->fault.offset,
	};
	(void)is_ok(json_fault_pointer(d, &pointer));
	pointer_keep(fault, buf_span(&pointer));
}

static void
pointer_keep(struct schema_fault *fault, struct span pointer)
{
	size_t n = pointer.len < SCHEMA_POINTER_MAX ? pointer.len : SCHEMA_POINTER_MAX;

	while (n < pointer.len && n > 0 && (pointer.ptr[n] & 0xc0) == 0x80)
		n--; /* never cut within a character */
	if (n > 0)
		memcpy(fault->pointer, pointer.ptr, n);
}

/* Copy the text and its tape into the arena. */
static struct status
keep_document(struct schema_compiler *c, struct json_doc *d)
{
	struct json_tok *tok = arena_array(c->arena, d->count, sizeof(*tok));
	struct span text;

	TRY(arena_copy(c->arena, d->src, &text));
	c->schema = arena_alloc(c->arena, sizeof(*c->schema));
	c->by_tok = arena_array(c->arena, d->count, sizeof(struct schema_node *));
	if (tok == NULL || c->schema == NULL || c->by_tok == NULL)
		return fail(E_NOMEM);
	memcpy(tok, d->tok, d->count * sizeof(*tok));
	c->schema->doc = *d;
	c->schema->doc.tok = tok;
	c->schema->doc.src = text;
	c->schema->doc.slots = NULL;
	c->schema->doc.cap = c->schema->doc.slot_cap = 0;
	return OK;
}

static struct status
compile_document(struct schema_compiler *c)
{
	struct schema_node *root;

	TRY(schema_compile_node(c, 0, &root));
	TRY(resolve_refs(c));
	for (uint32_t i = 0; i < c->schema->doc.count; i++) {
		if (c->by_tok[i] != NULL)
			TRY(circle_check(c, c->by_tok[i], 0));
	}
	c->schema->root = root;
	return OK;
}

struct status
schema_compile_node(struct schema_compiler *c, uint32_t tok, struct schema_node **ret)
{
	const struct json_doc *d = &c->schema->doc;
	enum json_type type = json_type(d, tok);
	struct schema_node *n;

	c->fault_tok = tok;
	c->message = "is not a schema";
	if (type != JSON_OBJECT && type != JSON_TRUE && type != JSON_FALSE)
		return fail(E_SYNTAX);
	c->message = "has too many subschemas";
	if (c->nodes++ == SCHEMA_NODES_MAX)
		return fail(E_RANGE);
	n = arena_alloc(c->arena, sizeof(*n));
	c->message = "needs too much memory";
	if (n == NULL)
		return fail(E_NOMEM);
	n->never = type == JSON_FALSE;
	n->enum_tok = n->const_tok = n->ref_tok = JSON_NONE;
	c->by_tok[tok] = n;
	*ret = n;
	return type == JSON_OBJECT ? schema_compile_keywords(c, tok, n) : OK;
}

/* ---- $ref ---- */

static struct status
resolve_refs(struct schema_compiler *c)
{
	for (uint32_t i = 0; i < c->schema->doc.count; i++) {
		if (c->by_tok[i] != NULL && c->by_tok[i]->ref_tok != JSON_NONE)
			TRY(resolve_ref(c, c->by_tok[i]));
	}
	return OK;
}

static struct status
resolve_ref(struct schema_compiler *c, struct schema_node *n)
{
	auto_buf struct buf ref = BUF_INIT(REF_MAX);
	auto_buf struct buf pointer = BUF_INIT(REF_MAX);
	const struct json_doc *d = &c->schema->doc;
	uint32_t target;

	c->fault_tok = n->ref_tok;
	c->keyword = "$ref";
	c->message = "is not a reference";
	TRY(json_str_put(d, n->ref_tok, &ref));
	c->message = "is not a JSON pointer within this document";
	if (ref.len == 0 || ref.ptr[0] != '#' || (ref.len > 1 && ref.ptr[1] != '/'))
		return fail(E_UNSUPPORTED);
	TRY(percent_decode(span_from(buf_span(&ref), 1), &pointer));
	target = pointer_find(d, buf_span(&pointer));
	c->message = "leads to no schema";
	if (target == JSON_NONE || c->by_tok[target] == NULL)
		return fail(E_SYNTAX);
	n->ref = c->by_tok[target];
	return OK;
}

/* In-place subschemas look at the same value again: they must come to an end. */
static struct status
circle_check(struct schema_compiler *c, struct schema_node *n, uint32_t depth)
{
	const struct schema_list *lists[] = { &n->all_of, &n->any_of, &n->one_of };
	struct schema_node *singles[] = { n->not_, n->ref };
	struct status st = OK;
	uint32_t height = 0;

	if (n->colour == 2 && depth + n->height <= SCHEMA_INPLACE_MAX)
		return OK;
	c->message = n->colour == 1 ? "leads around in a circle" : "nests too many subschemas";
	if (n->colour == 1)
		return fail(E_SYNTAX);
	if (n->colour == 2 || depth > SCHEMA_INPLACE_MAX)
		return fail(E_RANGE);
	n->colour = 1;
	for (size_t k = 0; k < 2 && is_ok(st); k++) {
		if (singles[k] == NULL)
			continue;
		st = circle_check(c, singles[k], depth + 1);
		height = singles[k]->height + 1 > height ? singles[k]->height + 1 : height;
	}
	for (size_t k = 0; k < 3; k++) {
		for (uint32_t i = 0; i < lists[k]->len && is_ok(st); i++) {
			struct schema_node *sub = lists[k]->node[i];

			st = circle_check(c, sub, depth + 1);
			height = sub->height + 1 > height ? sub->height + 1 : height;
		}
	}
	n->height = height;
	n->colour = 2;
	if (!is_ok(st) && n->ref_tok != JSON_NONE)
		c->fault_tok = n->ref_tok;
	return st;
}

/* ---- faults, names ---- */

void
schema_fault_set(struct schema_fault *fault, const struct json_doc *d, uint32_t tok,
    const char *message, const char *keyword)
{
	auto_buf struct buf pointer = BUF_INIT(POINTER_TEXT_MAX);

	*fault = (struct schema_fault){
		.message = message,
		.keyword = keyword,
		.offset = d->tok[tok].off,
	};
	/* Of a pointer that is too long the first part is kept. */
	(void)is_ok(json_pointer(d, tok, &pointer));
	pointer_keep(fault, buf_span(&pointer));
}

/* FNV-1a. The table is fixed when compiling, so a client cannot make it slow. */
uint32_t
schema_name_hash(struct span raw)
{
	struct text_reader r = text_reader(raw);
	uint32_t h = 2166136261U;
	uint8_t c;

	while (text_next_byte(&r, &c))
		h = (h ^ c) * 16777619U;
	return h;
}

struct schema_member *
schema_member_find(const struct schema_node *n, const struct json_doc *d, uint32_t key)
{
	uint32_t at;

	if (n->member_len == 0)
		return NULL;
	at = schema_name_hash(text_raw(d, key)) & n->slot_mask;
	for (; n->slot[at] != 0; at = (at + 1) & n->slot_mask) {
		struct schema_member *m = &n->member[n->slot[at] - 1];

		if (json_str_eq(d, key, m->name))
			return m;
	}
	return NULL;
}
