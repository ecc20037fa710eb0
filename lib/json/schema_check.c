/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checking a value by a compiled schema.
 *
 * Runs in:    the gateway for every request; whoever has schemas.
 * Trusts:     the compiled schema; nothing of the value but that it parsed.
 * Owns:       short-lived memory for uniqueItems.
 * Invariants: `steps` bounds the work and `depth` the recursion, whatever schema
 *             and value say; the fault is that of the outermost alternative.
 * See:        JSON Schema 2020-12, core section 10, validation section 6.
 */
#include <stdlib.h>

#include <base/cleanup.h>

#include "schema_node.h"

#define BYTES_PER_STEP 16

struct check {
	const struct schema *s;
	const struct json_doc *d;
	uint64_t steps;
	uint32_t depth;
	uint32_t tok; /* the fault */
	const char *message;
	const char *keyword;
	struct span member;
};

struct hashed {
	uint64_t hash;
	uint32_t tok;
};

typedef struct status check_fn(struct check *k, const struct schema_node *n, uint32_t tok);

static check_fn check_node, check_type, check_values, check_number, check_string, check_array,
    check_unique, check_object, check_combinations, check_any, check_one, check_not;
static struct status check_member(
    struct check *k, const struct schema_node *n, uint32_t key, uint32_t tok, uint64_t *seen);
static struct status check_required(
    struct check *k, const struct schema_node *n, uint32_t tok, const uint64_t *seen);

struct status
schema_validate(
    const struct schema *s, const struct json_doc *d, uint32_t tok, struct schema_fault *fault)
{
	return schema_validate_within(
	    s, d, tok, SCHEMA_STEPS_BASE + SCHEMA_STEPS_PER_BYTE * (uint64_t)d->src.len, fault);
}

struct status
schema_validate_within(const struct schema *s, const struct json_doc *d, uint32_t tok,
    uint64_t steps, struct schema_fault *fault)
{
	struct check k = { .s = s, .d = d, .tok = tok, .steps = steps };
	struct status st;

	if (tok >= d->count)
		return fail(E_NOTFOUND);
	st = check_node(&k, s->root, tok);
	if (is_ok(st) || fault == NULL)
		return st;
	if (st.code != E_SYNTAX) {
		k.message = "takes too much work to check";
		k.keyword = "";
	}
	schema_fault_set(fault, d, k.tok, k.message, k.keyword);
	fault->member = k.member;
	return st;
}

static struct status
wrong(struct check *k, uint32_t tok, const char *keyword, const char *message)
{
	k->tok = tok;
	k->keyword = keyword;
	k->message = message;
	k->member = SPAN_EMPTY;
	return fail(E_SYNTAX);
}

static struct status
check_node(struct check *k, const struct schema_node *n, uint32_t tok)
{
	static check_fn *const by_type[] = {
		[JSON_NUMBER] = check_number,
		[JSON_STRING] = check_string,
		[JSON_ARRAY] = check_array,
		[JSON_OBJECT] = check_object,
	};
	check_fn *fn = by_type[json_type(k->d, tok)];

	TRY(steps_take(&k->steps, 1));
	if (n->never)
		return wrong(k, tok, "", "is not allowed");
	if (k->depth == SCHEMA_DEPTH_MAX)
		return fail(E_FULL);
	k->depth++;
	TRY(check_type(k, n, tok));
	TRY(check_values(k, n, tok));
	if (fn != NULL)
		TRY(fn(k, n, tok));
	TRY(check_combinations(k, n, tok));
	k->depth--;
	return OK;
}

static struct status
check_type(struct check *k, const struct schema_node *n, uint32_t tok)
{
	enum json_type type = json_type(k->d, tok);

	if (n->types == TYPE_ANY || (n->types & TYPE_BIT(type)))
		return OK;
	if (type == JSON_NUMBER && (n->types & TYPE_INTEGER)) {
		struct decimal v = decimal_read(json_bytes(k->d, tok));

		TRY(steps_take(&k->steps, k->d->tok[tok].len / BYTES_PER_STEP));
		if (decimal_is_integer(&v))
			return OK;
	}
	return wrong(k, tok, "type", "is not of the required type");
}

static struct status
check_values(struct check *k, const struct schema_node *n, uint32_t tok)
{
	struct json_iter it = json_iter(&k->s->doc, n->enum_tok);
	bool equal = false;

	if (n->const_tok != JSON_NONE) {
		TRY(json_equal(&k->s->doc, n->const_tok, k->d, tok, &k->steps, &equal));
		if (!equal)
			return wrong(k, tok, "const", "is not the required value");
	}
	if (n->enum_tok == JSON_NONE)
		return OK;
	for (equal = false; !equal && json_next(&it);) {
		TRY(steps_take(&k->steps, 1));
		TRY(json_equal(&k->s->doc, it.val, k->d, tok, &k->steps, &equal));
	}
	return equal ? OK : wrong(k, tok, "enum", "is none of the allowed values");
}

static struct status
check_number(struct check *k, const struct schema_node *n, uint32_t tok)
{
	static const struct {
		const char *keyword, *message;
		int from, to; /* of the comparison's result, inclusive */
	} rules[] = {
		[NUM_MIN] = { "minimum", "is too small", 0, 1 },
		[NUM_MAX] = { "maximum", "is too large", -1, 0 },
		[NUM_EX_MIN] = { "exclusiveMinimum", "is too small", 1, 1 },
		[NUM_EX_MAX] = { "exclusiveMaximum", "is too large", -1, -1 },
	};
	struct decimal v;

	if ((n->has & HAS_NUMBER) == 0)
		return OK;
	TRY(steps_take(&k->steps, k->d->tok[tok].len));
	v = decimal_read(json_bytes(k->d, tok));
	for (int i = NUM_MIN; i <= NUM_EX_MAX; i++) {
		int order = decimal_compare(&v, &n->num[i]);

		if ((n->has & HAS_NUM(i)) && (order < rules[i].from || order > rules[i].to))
			return wrong(k, tok, rules[i].keyword, rules[i].message);
	}
	if ((n->has & HAS_NUM(NUM_MULTIPLE)) && !decimal_is_multiple(&v, &n->num[NUM_MULTIPLE]))
		return wrong(k, tok, "multipleOf", "is not a multiple of the required step");
	return OK;
}

/* A pair of bounds of a size, `which` being the lower one. */
static struct status
check_size(struct check *k, const struct schema_node *n, uint32_t tok, int which, uint64_t size)
{
	static const struct {
		const char *keyword, *message;
	} rules[] = {
		[LEN_MIN] = { "minLength", "is too short" },
		[LEN_MAX] = { "maxLength", "is too long" },
		[ITEMS_MIN] = { "minItems", "has too few elements" },
		[ITEMS_MAX] = { "maxItems", "has too many elements" },
		[MEMBERS_MIN] = { "minProperties", "has too few members" },
		[MEMBERS_MAX] = { "maxProperties", "has too many members" },
	};

	if ((n->has & HAS_SIZE(which)) && size < n->size[which])
		return wrong(k, tok, rules[which].keyword, rules[which].message);
	which++;
	if ((n->has & HAS_SIZE(which)) && size > n->size[which])
		return wrong(k, tok, rules[which].keyword, rules[which].message);
	return OK;
}

static struct status
check_string(struct check *k, const struct schema_node *n, uint32_t tok)
{
	bool matched;

	if (n->has & (HAS_SIZE(LEN_MIN) | HAS_SIZE(LEN_MAX))) {
		TRY(steps_take(&k->steps, k->d->tok[tok].len / BYTES_PER_STEP));
		TRY(check_size(k, n, tok, LEN_MIN, text_code_points(text_raw(k->d, tok))));
	}
	if (n->pattern == NULL)
		return OK;
	TRY(regex_search(n->pattern, k->d, tok, &k->steps, &matched));
	return matched ? OK : wrong(k, tok, "pattern", "does not match the required pattern");
}

/* ---- arrays ---- */

static struct status
check_array(struct check *k, const struct schema_node *n, uint32_t tok)
{
	struct json_iter it = json_iter(k->d, tok);

	TRY(check_size(k, n, tok, ITEMS_MIN, json_size(k->d, tok)));
	if (n->prefix.len > 0 || n->items != NULL) {
		while (json_next(&it)) {
			if (it.index < n->prefix.len)
				TRY(check_node(k, n->prefix.node[it.index], it.val));
			else if (n->items != NULL)
				TRY(check_node(k, n->items, it.val));
		}
	}
	return n->unique ? check_unique(k, n, tok) : OK;
}

static int
by_hash(const void *a, const void *b)
{
	const struct hashed *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return (x->tok > y->tok) - (x->tok < y->tok);
}

/* Sort keyed hashes; only neighbours can be equal. */
static struct status
check_unique(struct check *k, const struct schema_node *n, uint32_t tok)
{
	struct json_iter it = json_iter(k->d, tok);
	uint32_t len = json_size(k->d, tok);
	auto_free struct hashed *all = NULL;
	bool equal;

	(void)n;
	if (len < 2)
		return OK;
	TRY(steps_take(&k->steps, 4ULL * len));
	all = calloc(len, sizeof(*all));
	if (all == NULL)
		return fail(E_NOMEM);
	while (json_next(&it)) {
		all[it.index].tok = it.val;
		TRY(value_hash(k->d, it.val, &k->steps, &all[it.index].hash));
	}
	qsort(all, len, sizeof(*all), by_hash);
	for (uint32_t i = 1; i < len; i++) {
		if (all[i].hash != all[i - 1].hash)
			continue;
		TRY(json_equal(k->d, all[i - 1].tok, k->d, all[i].tok, &k->steps, &equal));
		if (equal)
			return wrong(k, all[i].tok, "uniqueItems", "repeats an element");
	}
	return OK;
}

/* ---- objects ---- */

static struct status
check_object(struct check *k, const struct schema_node *n, uint32_t tok)
{
	uint64_t seen[SCHEMA_MEMBERS_MAX / 64] = { 0 };
	struct json_iter it = json_iter(k->d, tok);

	TRY(check_size(k, n, tok, MEMBERS_MIN, json_size(k->d, tok)));
	if (n->member_len == 0 && n->by_pattern_len == 0 && n->additional == NULL)
		return OK;
	while (json_next(&it))
		TRY(check_member(k, n, it.key, it.val, seen));
	return check_required(k, n, tok, seen);
}

static struct status
check_member(
    struct check *k, const struct schema_node *n, uint32_t key, uint32_t tok, uint64_t *seen)
{
	const struct schema_member *m;
	bool known = false, matched;

	TRY(steps_take(&k->steps, 1 + k->d->tok[key].len / BYTES_PER_STEP));
	m = schema_member_find(n, k->d, key);
	if (m != NULL) {
		size_t i = (size_t)(m - n->member);

		seen[i / 64] |= 1ULL << (i % 64);
	}
	if (m != NULL && m->node != NULL) {
		known = true;
		TRY(check_node(k, m->node, tok));
	}
	for (uint32_t i = 0; i < n->by_pattern_len; i++) {
		TRY(regex_search(n->by_pattern[i].re, k->d, key, &k->steps, &matched));
		if (!matched)
			continue;
		known = true;
		TRY(check_node(k, n->by_pattern[i].node, tok));
	}
	if (known || n->additional == NULL)
		return OK;
	if (n->additional->never)
		return wrong(k, tok, "additionalProperties", "is not a known member");
	return check_node(k, n->additional, tok);
}

static struct status
check_required(struct check *k, const struct schema_node *n, uint32_t tok, const uint64_t *seen)
{
	struct status st;

	TRY(steps_take(&k->steps, n->member_len / BYTES_PER_STEP));
	for (uint32_t i = 0; i < n->member_len; i++) {
		if (!n->member[i].required || (seen[i / 64] & 1ULL << (i % 64)))
			continue;
		st = wrong(k, tok, "required", "lacks a required member");
		k->member = n->member[i].name;
		return st;
	}
	return OK;
}

/* ---- combinations ---- */

static struct status
check_combinations(struct check *k, const struct schema_node *n, uint32_t tok)
{
	if (n->ref != NULL)
		TRY(check_node(k, n->ref, tok));
	for (uint32_t i = 0; i < n->all_of.len; i++)
		TRY(check_node(k, n->all_of.node[i], tok));
	if (n->any_of.len > 0)
		TRY(check_any(k, n, tok));
	if (n->one_of.len > 0)
		TRY(check_one(k, n, tok));
	return n->not_ != NULL ? check_not(k, n, tok) : OK;
}

/* OK, *ret tells; a status but E_SYNTAX goes on to the caller. */
static struct status
conforms(struct check *k, const struct schema_node *n, uint32_t tok, bool *ret)
{
	uint32_t depth = k->depth;
	struct status st = check_node(k, n, tok);

	k->depth = depth; /* a failure left it where it was */
	*ret = is_ok(st);
	return st.code == E_SYNTAX ? OK : st;
}

static struct status
check_any(struct check *k, const struct schema_node *n, uint32_t tok)
{
	bool ok = false;

	for (uint32_t i = 0; i < n->any_of.len && !ok; i++)
		TRY(conforms(k, n->any_of.node[i], tok, &ok));
	/* With one alternative its own fault says more. */
	if (!ok && n->any_of.len == 1)
		return fail(E_SYNTAX);
	return ok ? OK : wrong(k, tok, "anyOf", "conforms to none of the alternatives");
}

static struct status
check_one(struct check *k, const struct schema_node *n, uint32_t tok)
{
	uint32_t found = 0;
	bool ok;

	for (uint32_t i = 0; i < n->one_of.len && found < 2; i++) {
		TRY(conforms(k, n->one_of.node[i], tok, &ok));
		found += ok;
	}
	if (found > 1)
		return wrong(k, tok, "oneOf", "conforms to more than one alternative");
	return found == 1 ? OK : wrong(k, tok, "oneOf", "conforms to none of the alternatives");
}

static struct status
check_not(struct check *k, const struct schema_node *n, uint32_t tok)
{
	bool ok;

	TRY(conforms(k, n->not_, tok, &ok));
	return ok ? wrong(k, tok, "not", "is of a forbidden form") : OK;
}
