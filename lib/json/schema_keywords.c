/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keywords of a schema, one row and one short function each.
 *
 * Runs in:    whoever has schemas.
 * Trusts:     nothing of the schema.
 * Owns:       nothing: all lies in the caller's arena.
 * Invariants: what has no row is refused; a keyword's value has exactly the form
 *             that JSON Schema gives it.
 * See:        JSON Schema 2020-12, core section 10, validation section 6.
 */
#include "schema_node.h"

#define DIALECT "https://json-schema.org/draft/2020-12/schema"

struct keyword;

struct place {
	struct schema_compiler *c;
	const struct json_doc *d;
	struct schema_node *n;
	uint32_t tok;    /* the keyword's value */
	uint32_t schema; /* the schema around it */
	const struct keyword *kw;
};

struct keyword {
	const char *name;
	struct status (*compile)(struct place *p);
	uint32_t arg;
};

static struct status compile_keyword(struct place *p, uint64_t *seen);
static struct status kw_ignore(struct place *p);
static struct status kw_dialect(struct place *p);
static struct status kw_id(struct place *p);
static struct status kw_type(struct place *p);
static struct status kw_enum(struct place *p);
static struct status kw_const(struct place *p);
static struct status kw_number(struct place *p);
static struct status kw_size(struct place *p);
static struct status kw_unique(struct place *p);
static struct status kw_pattern(struct place *p);
static struct status kw_properties(struct place *p);
static struct status kw_required(struct place *p);
static struct status kw_pattern_properties(struct place *p);
static struct status kw_additional(struct place *p);
static struct status kw_items(struct place *p);
static struct status kw_list(struct place *p);
static struct status kw_not(struct place *p);
static struct status kw_ref(struct place *p);
static struct status kw_defs(struct place *p);

enum { LIST_PREFIX, LIST_ALL, LIST_ANY, LIST_ONE };

static const struct keyword keywords[] = {
	{ "$schema", kw_dialect, 0 },
	{ "$id", kw_id, 0 },
	{ "$comment", kw_ignore, JSON_STRING },
	{ "title", kw_ignore, JSON_STRING },
	{ "description", kw_ignore, JSON_STRING },
	{ "default", kw_ignore, JSON_ABSENT },
	{ "examples", kw_ignore, JSON_ARRAY },
	{ "deprecated", kw_ignore, JSON_TRUE },
	{ "readOnly", kw_ignore, JSON_TRUE },
	{ "writeOnly", kw_ignore, JSON_TRUE },
	{ "format", kw_ignore, JSON_STRING },
	{ "type", kw_type, 0 },
	{ "enum", kw_enum, 0 },
	{ "const", kw_const, 0 },
	{ "minimum", kw_number, NUM_MIN },
	{ "maximum", kw_number, NUM_MAX },
	{ "exclusiveMinimum", kw_number, NUM_EX_MIN },
	{ "exclusiveMaximum", kw_number, NUM_EX_MAX },
	{ "multipleOf", kw_number, NUM_MULTIPLE },
	{ "minLength", kw_size, LEN_MIN },
	{ "maxLength", kw_size, LEN_MAX },
	{ "minItems", kw_size, ITEMS_MIN },
	{ "maxItems", kw_size, ITEMS_MAX },
	{ "minProperties", kw_size, MEMBERS_MIN },
	{ "maxProperties", kw_size, MEMBERS_MAX },
	{ "uniqueItems", kw_unique, 0 },
	{ "pattern", kw_pattern, 0 },
	{ "properties", kw_properties, 0 },
	{ "required", kw_required, 0 },
	{ "patternProperties", kw_pattern_properties, 0 },
	{ "additionalProperties", kw_additional, 0 },
	{ "items", kw_items, 0 },
	{ "prefixItems", kw_list, LIST_PREFIX },
	{ "allOf", kw_list, LIST_ALL },
	{ "anyOf", kw_list, LIST_ANY },
	{ "oneOf", kw_list, LIST_ONE },
	{ "not", kw_not, 0 },
	{ "$ref", kw_ref, 0 },
	{ "$defs", kw_defs, 0 },
};

#define KEYWORDS (sizeof(keywords) / sizeof(keywords[0]))

static struct status
refuse(struct place *p, enum code code, const char *message)
{
	p->c->message = message;
	p->c->keyword = p->kw == NULL ? "" : p->kw->name;
	return fail(code);
}

static const struct keyword *
keyword_find(const struct json_doc *d, uint32_t key)
{
	for (size_t i = 0; i < KEYWORDS; i++) {
		if (json_str_eq_str(d, key, keywords[i].name))
			return &keywords[i];
	}
	return NULL;
}

struct status
schema_compile_keywords(struct schema_compiler *c, uint32_t tok, struct schema_node *n)
{
	const struct json_doc *d = &c->schema->doc;
	struct json_iter it = json_iter(d, tok);
	uint64_t seen = 0;

	static_assert(KEYWORDS <= 64, "one bit a keyword");
	while (json_next(&it)) {
		const struct keyword *kw = keyword_find(d, it.key);
		struct place p = { c, d, n, it.val, tok, kw };

		TRY(compile_keyword(&p, &seen));
	}
	return OK;
}

static struct status
compile_keyword(struct place *p, uint64_t *seen)
{
	uint64_t bit;

	p->c->fault_tok = p->tok;
	if (p->kw == NULL)
		return refuse(p, E_UNSUPPORTED, "is not a supported keyword");
	bit = 1ULL << (p->kw - keywords);
	if (*seen & bit)
		return refuse(p, E_EXISTS, "is there twice");
	*seen |= bit;
	return p->kw->compile(p);
}

/* ---- annotations ---- */

static struct status
kw_ignore(struct place *p)
{
	enum json_type type = json_type(p->d, p->tok);

	if (type == JSON_FALSE)
		type = JSON_TRUE;
	if (p->kw->arg != JSON_ABSENT && type != (enum json_type)p->kw->arg)
		return refuse(p, E_SYNTAX, "is of the wrong type");
	return OK;
}

static struct status
kw_dialect(struct place *p)
{
	if (!json_str_eq_str(p->d, p->tok, DIALECT))
		return refuse(p, E_UNSUPPORTED, "is not the dialect 2020-12");
	return OK;
}

/* An identifier moves the base of references, so it stands at the root only. */
static struct status
kw_id(struct place *p)
{
	if (p->schema != 0 || json_type(p->d, p->tok) != JSON_STRING)
		return refuse(p, E_UNSUPPORTED, "is supported at the root only");
	return OK;
}

/* ---- any type ---- */

static const struct {
	const char *name;
	uint16_t bits;
} type_names[] = {
	{ "null", TYPE_BIT(JSON_NULL) },
	{ "boolean", TYPE_BIT(JSON_FALSE) | TYPE_BIT(JSON_TRUE) },
	{ "number", TYPE_BIT(JSON_NUMBER) },
	{ "integer", TYPE_INTEGER },
	{ "string", TYPE_BIT(JSON_STRING) },
	{ "array", TYPE_BIT(JSON_ARRAY) },
	{ "object", TYPE_BIT(JSON_OBJECT) },
};

static struct status
add_type(struct place *p, uint32_t tok)
{
	for (size_t i = 0; i < sizeof(type_names) / sizeof(type_names[0]); i++) {
		if (!json_str_eq_str(p->d, tok, type_names[i].name))
			continue;
		if (p->n->types & type_names[i].bits)
			return refuse(p, E_SYNTAX, "names a type twice");
		p->n->types |= type_names[i].bits;
		return OK;
	}
	return refuse(p, E_SYNTAX, "names no type");
}

static struct status
kw_type(struct place *p)
{
	struct json_iter it = json_iter(p->d, p->tok);

	if (json_type(p->d, p->tok) != JSON_ARRAY)
		return add_type(p, p->tok);
	if (json_size(p->d, p->tok) == 0)
		return refuse(p, E_SYNTAX, "names no type");
	while (json_next(&it))
		TRY(add_type(p, it.val));
	return OK;
}

static struct status
kw_enum(struct place *p)
{
	if (json_type(p->d, p->tok) != JSON_ARRAY)
		return refuse(p, E_SYNTAX, "is not an array");
	p->n->enum_tok = p->tok;
	return OK;
}

static struct status
kw_const(struct place *p)
{
	p->n->const_tok = p->tok;
	return OK;
}

/* ---- numbers, sizes, strings ---- */

static struct status
kw_number(struct place *p)
{
	struct decimal *num = &p->n->num[p->kw->arg];

	if (json_type(p->d, p->tok) != JSON_NUMBER)
		return refuse(p, E_SYNTAX, "is not a number");
	*num = decimal_read(json_bytes(p->d, p->tok));
	if (p->kw->arg == NUM_MULTIPLE && !decimal_is_divisor(num))
		return refuse(p, E_RANGE, "is not positive, or has over 18 digits");
	p->n->has |= HAS_NUM(p->kw->arg);
	return OK;
}

static struct status
kw_size(struct place *p)
{
	if (!is_ok(json_u64(p->d, p->tok, UINT64_MAX, &p->n->size[p->kw->arg])))
		return refuse(p, E_SYNTAX, "is not a whole number");
	p->n->has |= HAS_SIZE(p->kw->arg);
	return OK;
}

static struct status
kw_unique(struct place *p)
{
	if (!is_ok(json_bool(p->d, p->tok, &p->n->unique)))
		return refuse(p, E_SYNTAX, "is not true or false");
	return OK;
}

static struct status
compile_pattern(struct place *p, uint32_t tok, const struct regex **ret)
{
	struct span text;
	struct status st;

	if (json_type(p->d, tok) != JSON_STRING)
		return refuse(p, E_SYNTAX, "is not a string");
	TRY(json_str(p->d, tok, p->c->arena, &text));
	st = regex_compile(text, p->c->arena, ret);
	if (!is_ok(st))
		return refuse(p, (enum code)st.code,
		    "is not a regular expression within the supported subset");
	return OK;
}

static struct status
kw_pattern(struct place *p)
{
	return compile_pattern(p, p->tok, &p->n->pattern);
}

/* ---- objects ---- */

/* Room for every name in `properties` and `required`, whichever comes first. */
static struct status
members_ready(struct place *p)
{
	uint64_t max = (uint64_t)json_size(p->d, json_get_str(p->d, p->schema, "properties")) +
		       json_size(p->d, json_get_str(p->d, p->schema, "required"));
	uint32_t slots = 4;

	if (p->n->member != NULL)
		return OK;
	if (max > SCHEMA_MEMBERS_MAX)
		return refuse(p, E_RANGE, "has too many names");
	while (slots < max * 2)
		slots *= 2;
	p->n->member = arena_array(p->c->arena, max + 1, sizeof(*p->n->member));
	p->n->slot = arena_array(p->c->arena, slots, sizeof(*p->n->slot));
	if (p->n->member == NULL || p->n->slot == NULL)
		return refuse(p, E_NOMEM, "needs too much memory");
	p->n->slot_mask = slots - 1;
	return OK;
}

/* The member named by the string `name`, made if it is new. */
static struct status
member_make(struct place *p, uint32_t name, struct schema_member **ret)
{
	struct schema_node *n = p->n;
	struct schema_member *m;
	uint32_t at;

	*ret = schema_member_find(n, p->d, name);
	if (*ret != NULL)
		return OK;
	m = &n->member[n->member_len];
	TRY(json_str(p->d, name, p->c->arena, &m->name));
	at = schema_name_hash(text_raw(p->d, name)) & n->slot_mask;
	while (n->slot[at] != 0)
		at = (at + 1) & n->slot_mask;
	n->slot[at] = (uint16_t)++n->member_len;
	*ret = m;
	return OK;
}

static struct status
sub(struct place *p, uint32_t tok, struct schema_node **ret)
{
	struct schema_node *n;

	p->c->keyword = p->kw->name;
	TRY(schema_compile_node(p->c, tok, &n));
	*ret = n;
	return OK;
}

static struct status
kw_properties(struct place *p)
{
	struct json_iter it = json_iter(p->d, p->tok);
	struct schema_member *m;

	if (json_type(p->d, p->tok) != JSON_OBJECT)
		return refuse(p, E_SYNTAX, "is not an object");
	TRY(members_ready(p));
	while (json_next(&it)) {
		TRY(member_make(p, it.key, &m));
		p->c->fault_tok = it.val;
		if (m->node != NULL)
			return refuse(p, E_EXISTS, "is there twice");
		TRY(sub(p, it.val, &m->node));
	}
	return OK;
}

static struct status
kw_required(struct place *p)
{
	struct json_iter it = json_iter(p->d, p->tok);
	struct schema_member *m;

	if (json_type(p->d, p->tok) != JSON_ARRAY)
		return refuse(p, E_SYNTAX, "is not an array");
	TRY(members_ready(p));
	while (json_next(&it)) {
		if (json_type(p->d, it.val) != JSON_STRING)
			return refuse(p, E_SYNTAX, "is not an array of strings");
		TRY(member_make(p, it.val, &m));
		if (m->required)
			return refuse(p, E_SYNTAX, "names a member twice");
		m->required = true;
	}
	return OK;
}

static struct status
kw_pattern_properties(struct place *p)
{
	struct json_iter it = json_iter(p->d, p->tok);
	uint32_t max = json_size(p->d, p->tok);

	if (json_type(p->d, p->tok) != JSON_OBJECT)
		return refuse(p, E_SYNTAX, "is not an object");
	p->n->by_pattern = arena_array(p->c->arena, max + 1U, sizeof(*p->n->by_pattern));
	if (p->n->by_pattern == NULL)
		return refuse(p, E_NOMEM, "needs too much memory");
	while (json_next(&it)) {
		struct schema_pattern *sp = &p->n->by_pattern[p->n->by_pattern_len++];

		p->c->fault_tok = it.val;
		TRY(compile_pattern(p, it.key, &sp->re));
		TRY(sub(p, it.val, &sp->node));
	}
	return OK;
}

static struct status
kw_additional(struct place *p)
{
	return sub(p, p->tok, &p->n->additional);
}

/* ---- arrays, combinations ---- */

static struct status
kw_items(struct place *p)
{
	return sub(p, p->tok, &p->n->items);
}

static struct status
kw_list(struct place *p)
{
	struct schema_list *lists[] = {
		[LIST_PREFIX] = &p->n->prefix,
		[LIST_ALL] = &p->n->all_of,
		[LIST_ANY] = &p->n->any_of,
		[LIST_ONE] = &p->n->one_of,
	};
	struct schema_list *list = lists[p->kw->arg];
	struct json_iter it = json_iter(p->d, p->tok);
	uint32_t max = json_size(p->d, p->tok);

	if (json_type(p->d, p->tok) != JSON_ARRAY || max == 0)
		return refuse(p, E_SYNTAX, "is not an array of schemas");
	list->node = arena_array(p->c->arena, max, sizeof(struct schema_node *));
	if (list->node == NULL)
		return refuse(p, E_NOMEM, "needs too much memory");
	while (json_next(&it))
		TRY(sub(p, it.val, &list->node[list->len++]));
	return OK;
}

static struct status
kw_not(struct place *p)
{
	return sub(p, p->tok, &p->n->not_);
}

static struct status
kw_ref(struct place *p)
{
	if (json_type(p->d, p->tok) != JSON_STRING)
		return refuse(p, E_SYNTAX, "is not a string");
	p->n->ref_tok = p->tok;
	return OK;
}

static struct status
kw_defs(struct place *p)
{
	struct json_iter it = json_iter(p->d, p->tok);
	struct schema_node *ignored;

	if (json_type(p->d, p->tok) != JSON_OBJECT)
		return refuse(p, E_SYNTAX, "is not an object");
	while (json_next(&it))
		TRY(sub(p, it.val, &ignored));
	return OK;
}
