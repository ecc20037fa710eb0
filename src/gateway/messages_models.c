/* SPDX-License-Identifier: Apache-2.0 */
/*
 * messages_models.c: GET /v1/models in Anthropic's shape, with its pages.
 *
 * Runs in: gateway. Trusts: the authority, which names the models of the key.
 * Owns: nothing; the query lies in the request's arena.
 * Invariants: a model is there if the key may use it and a provider of it speaks this
 * dialect; a query is read by one table, and what is not in it is refused.
 * See: models.c; docs/api.md, "Models".
 */
#include <json/write.h>

#include "request.h"

#define PAGE_DEFAULT 20
#define PAGE_MAX 1000

struct page {
	uint64_t limit;
	uint8_t after[MODEL_MAX], before[MODEL_MAX];
	struct span after_id, before_id; /* ptr NULL: not given */
};

/* From the first model to show up to the one behind the last, of `all`. */
struct range {
	size_t from, to, all;
};

static int
hex(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* E_SYNTAX: a bad escape; E_RANGE: too long for a model's alias. */
static struct status
decode(struct span s, uint8_t out[MODEL_MAX], struct span *ret)
{
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.ptr[i];

		if (c == '%') {
			if (i + 2 >= s.len || hex(s.ptr[i + 1]) < 0 || hex(s.ptr[i + 2]) < 0)
				return fail(E_SYNTAX);
			c = (uint8_t)(hex(s.ptr[i + 1]) << 4 | hex(s.ptr[i + 2]));
			i += 2;
		}
		if (n == MODEL_MAX)
			return fail(E_RANGE);
		out[n++] = c;
	}
	*ret = span_of(out, n);
	return OK;
}

static struct status
take_limit(struct page *p, struct span value)
{
	TRY(span_u64(value, PAGE_MAX, &p->limit));
	return p->limit > 0 ? OK : fail(E_RANGE);
}

static struct status
take_after(struct page *p, struct span value)
{
	return p->after_id.ptr != NULL ? fail(E_EXISTS) : decode(value, p->after, &p->after_id);
}

static struct status
take_before(struct page *p, struct span value)
{
	return p->before_id.ptr != NULL ? fail(E_EXISTS) : decode(value, p->before, &p->before_id);
}

static const struct {
	const char *name;
	struct status (*take)(struct page *p, struct span value);
} params[] = {
	{ "limit", take_limit },
	{ "after_id", take_after },
	{ "before_id", take_before },
};

static struct status
take_param(struct page *p, struct span part)
{
	const uint8_t *eq = part.len == 0 ? NULL : memchr(part.ptr, '=', part.len);
	size_t len = eq == NULL ? part.len : (size_t)(eq - part.ptr);

	for (size_t i = 0; i < sizeof(params) / sizeof(params[0]); i++) {
		if (span_eq_str(span_of(part.ptr, len), params[i].name))
			return params[i].take(p, span_from(part, len + 1));
	}
	return fail(E_NOTFOUND);
}

static struct status
read_page(struct span query, struct page *p)
{
	*p = (struct page){ .limit = PAGE_DEFAULT };
	while (query.len > 0) {
		const uint8_t *and = memchr(query.ptr, '&', query.len);
		size_t len = and == NULL ? query.len : (size_t)(and-query.ptr);

		TRY(take_param(p, span_of(query.ptr, len)));
		query = span_from(query, len + 1);
	}
	return p->after_id.ptr != NULL && p->before_id.ptr != NULL ? fail(E_EXISTS) : OK;
}

enum error
messages_models_query(struct request *r)
{
	struct page p;

	if (!is_ok(read_page(r->http.query, &p))) {
		r->detail = "the query is not limit (1 to 1000), and after_id or before_id";
		return ERROR_INVALID_FIELD;
	}
	return is_ok(arena_copy(&r->arena, r->http.query, &r->query)) ? ERROR_NONE
								      : ERROR_OVERLOADED;
}

/* ---- the answer ---- */

void
messages_put_model(const struct request *r, struct json_writer *w, struct span name)
{
	if (gateway_model(r->g, name, ENDPOINT_MESSAGES) != ERROR_NONE)
		return;
	json_put_object(w);
	json_put_key(w, "type");
	json_put_text(w, "model");
	json_put_key(w, "id");
	json_put_str(w, name);
	json_put_key(w, "display_name");
	json_put_str(w, name);
	json_put_key(w, "created_at");
	json_put_text(w, "1970-01-01T00:00:00Z");
	json_put_key(w, "lifecycle");
	json_put_text(w, "active");
	json_put_end(w);
}

/* The next name that is listed at all. */
static bool
next_model(const struct request *r, struct span *names, struct span *ret)
{
	while (style_next_name(names, ret)) {
		if (gateway_model(r->g, *ret, ENDPOINT_MESSAGES) == ERROR_NONE)
			return true;
	}
	return false;
}

/* An id that is not there has nothing behind it and nothing before it. */
static struct range
find_range(const struct request *r, const struct page *p, struct span names)
{
	struct range n = { 0, 0, 0 };
	size_t after = SIZE_MAX, before = SIZE_MAX;
	struct span name;

	while (next_model(r, &names, &name)) {
		if (p->after_id.ptr != NULL && span_eq(name, p->after_id))
			after = n.all;
		if (p->before_id.ptr != NULL && span_eq(name, p->before_id))
			before = n.all;
		n.all++;
	}
	if (p->before_id.ptr != NULL) {
		n.to = before == SIZE_MAX ? 0 : before;
		n.from = n.to > p->limit ? n.to - p->limit : 0;
		return n;
	}
	if (p->after_id.ptr != NULL)
		n.from = after == SIZE_MAX ? n.all : after + 1;
	n.to = n.all - n.from > p->limit ? n.from + p->limit : n.all;
	return n;
}

static void
put_id(struct json_writer *w, const char *key, struct span name)
{
	json_put_key(w, key);
	if (name.len > 0)
		json_put_str(w, name);
	else
		json_put_null(w);
}

void
messages_put_models(const struct request *r, struct json_writer *w, struct span names)
{
	struct page p;
	struct range n;
	struct span name, first = SPAN_EMPTY, last = SPAN_EMPTY;

	if (!is_ok(read_page(r->query, &p)))
		return; /* it was read before */
	n = find_range(r, &p, names);
	json_put_object(w);
	json_put_key(w, "data");
	json_put_array(w);
	for (size_t i = 0; i < n.to && next_model(r, &names, &name); i++) {
		if (i < n.from)
			continue;
		first = first.len == 0 ? name : first;
		last = name;
		messages_put_model(r, w, name);
	}
	json_put_end(w);
	json_put_key(w, "has_more");
	json_put_bool(w, p.before_id.ptr != NULL ? n.from > 0 : n.to < n.all);
	put_id(w, "first_id", first);
	put_id(w, "last_id", last);
	json_put_end(w);
}
