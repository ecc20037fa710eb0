/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Equality and hashing of JSON values, as JSON Schema defines equality.
 *
 * Runs in:    every process that reads JSON.
 * Trusts:     the tapes.
 * Owns:       nothing.
 * Invariants: *steps bounds the work: comparing objects is quadratic in their
 *             members; recursion is bounded by the parser's depth limit.
 * See:        JSON Schema 2020-12 core, 4.2.2.
 */
#include "internal.h"

#define BYTES_PER_STEP 16

struct side {
	const struct json_doc *d;
	uint32_t tok;
};

static struct status equal_arrays(struct side a, struct side b, uint64_t *steps, bool *ret);
static struct status equal_objects(struct side a, struct side b, uint64_t *steps, bool *ret);
static uint32_t find_member(struct side obj, const struct json_doc *d, uint32_t key);

static uint64_t
cost(const struct json_doc *d, uint32_t tok)
{
	enum json_type type = json_type(d, tok);

	return type == JSON_ARRAY || type == JSON_OBJECT ? 1 : 1 + d->tok[tok].len / BYTES_PER_STEP;
}

struct status
json_equal(const struct json_doc *a, uint32_t atok, const struct json_doc *b, uint32_t btok,
    uint64_t *steps, bool *ret)
{
	struct side sa = { a, atok }, sb = { b, btok };
	enum json_type type = json_type(a, atok);

	*ret = type == json_type(b, btok);
	if (!*ret || type == JSON_ABSENT)
		return OK;
	TRY(steps_take(steps, cost(a, atok) + cost(b, btok)));
	if (type == JSON_ARRAY)
		return equal_arrays(sa, sb, steps, ret);
	if (type == JSON_OBJECT)
		return equal_objects(sa, sb, steps, ret);
	if (type == JSON_STRING)
		*ret = text_eq(text_raw(a, atok), text_raw(b, btok), false);
	if (type == JSON_NUMBER) {
		struct decimal x = decimal_read(json_bytes(a, atok));
		struct decimal y = decimal_read(json_bytes(b, btok));

		*ret = decimal_compare(&x, &y) == 0;
	}
	return OK;
}

static struct status
equal_arrays(struct side a, struct side b, uint64_t *steps, bool *ret)
{
	struct json_iter ia = json_iter(a.d, a.tok), ib = json_iter(b.d, b.tok);

	*ret = json_size(a.d, a.tok) == json_size(b.d, b.tok);
	while (*ret && json_next(&ia) && json_next(&ib))
		TRY(json_equal(a.d, ia.val, b.d, ib.val, steps, ret));
	return OK;
}

static struct status
equal_objects(struct side a, struct side b, uint64_t *steps, bool *ret)
{
	struct json_iter it = json_iter(a.d, a.tok);
	uint32_t members = json_size(b.d, b.tok);

	*ret = json_size(a.d, a.tok) == members;
	while (*ret && json_next(&it)) {
		TRY(steps_take(steps, members + cost(a.d, it.key)));
		TRY(json_equal(a.d, it.val, b.d, find_member(b, a.d, it.key), steps, ret));
	}
	return OK;
}

static uint32_t
find_member(struct side obj, const struct json_doc *d, uint32_t key)
{
	struct json_iter it = json_iter(obj.d, obj.tok);

	while (json_next(&it)) {
		if (text_eq(text_raw(obj.d, it.key), text_raw(d, key), false))
			return it.val;
	}
	return JSON_NONE;
}

static uint64_t
mix(const uint64_t seed[2], uint64_t kind, uint64_t a, uint64_t b)
{
	struct sip s;

	sip_init(&s, seed);
	sip_word(&s, kind);
	sip_word(&s, a);
	sip_word(&s, b);
	return sip_done(&s, 0, 0);
}

static uint64_t
text_hash(const struct json_doc *d, uint32_t tok)
{
	return key_hash(d->seed, text_raw(d, tok), text_is_escaped(d, tok), false);
}

struct status
value_hash(const struct json_doc *d, uint32_t tok, uint64_t *steps, uint64_t *ret)
{
	struct json_iter it = json_iter(d, tok);
	enum json_type type = json_type(d, tok);
	uint64_t sum = 0, h;

	TRY(steps_take(steps, cost(d, tok)));
	if (type == JSON_STRING)
		sum = text_hash(d, tok);
	if (type == JSON_NUMBER) {
		struct decimal n = decimal_read(json_bytes(d, tok));

		sum = decimal_hash(&n, d->seed);
	}
	while (json_next(&it)) {
		TRY(value_hash(d, it.val, steps, &h));
		if (type == JSON_ARRAY) {
			sum = mix(d->seed, type, sum, h);
			continue;
		}
		TRY(steps_take(steps, cost(d, it.key)));
		sum += mix(d->seed, type, text_hash(d, it.key), h); /* in any order */
	}
	*ret = mix(d->seed, type, sum, json_size(d, tok));
	return OK;
}
