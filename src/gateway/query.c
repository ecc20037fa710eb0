/* SPDX-License-Identifier: Apache-2.0 */
/*
 * query.c: the query of an endpoint, strictly.
 *
 * Runs in: gateway. Trusts: nothing.
 * Owns: nothing; what was read lies in the request's arena.
 * Invariants: an unknown name, one twice, or a value of another form refuses the request.
 * See: routes.c; OpenAI's SDK writes lists as include[]=….
 */
#include "query.h"

#include "keep.h"

#include "request.h"
#include "routes.h"

#define FILES_LIMIT_MAX 10000 /* that OpenAI takes; a page has at most CONTENT_PAGE_MAX */

enum name { NAME_LIMIT, NAME_ORDER, NAME_AFTER, NAME_INCLUDE, NAME_PURPOSE, NAMES };
#define BIT(n) (1U << NAME_##n)
static const char *const names[NAMES] = { "limit", "order", "after", "include[]", "purpose" };
#define LIST_ITEMS (BIT(LIMIT) | BIT(ORDER) | BIT(AFTER) | BIT(INCLUDE))
#define LIST_FILES (BIT(LIMIT) | BIT(ORDER) | BIT(AFTER) | BIT(PURPOSE))

static int
hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent-decoded, with a NUL behind it; what would not be printed is in no value of ours. */
static bool
decode(struct span s, char *out, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < s.len; i++) {
		int c = s.ptr[i];

		if (c == '%') {
			int hi = i + 2 < s.len ? hex_digit(s.ptr[i + 1]) : -1;
			int lo = i + 2 < s.len ? hex_digit(s.ptr[i + 2]) : -1;

			if (hi < 0 || lo < 0)
				return false;
			c = hi << 4 | lo;
			i += 2;
		}
		if (c < 0x21 || c > 0x7e || n + 1 >= size)
			return false;
		out[n++] = (char)c;
	}
	out[n] = '\0';
	return true;
}

static bool
take_limit(const char *text, uint32_t max, struct page *p)
{
	uint64_t n;

	if (!is_ok(span_u64(span_str(text), max, &n)) || n == 0)
		return false;
	p->limit = n > CONTENT_PAGE_MAX ? CONTENT_PAGE_MAX : (uint32_t)n;
	return true;
}

static bool
take(enum name name, const char *text, uint32_t limit_max, struct page *p)
{
	struct span s = span_str(text);

	if (name == NAME_LIMIT)
		return take_limit(text, limit_max, p);
	if (name == NAME_AFTER)
		return keep_id_ok(s) && is_ok(span_to_cstr(s, p->after, sizeof(p->after)));
	if (name == NAME_PURPOSE)
		return s.len > 0 && is_ok(span_to_cstr(s, p->purpose, sizeof(p->purpose)));
	if (name == NAME_ORDER) {
		p->ascending = span_eq_str(s, "asc");
		p->descending = span_eq_str(s, "desc");
		return p->ascending || p->descending;
	}
	return s.len > 0; /* include[]: items are given whole in any case */
}

static enum name
find_name(const char *text, unsigned takes)
{
	for (int i = 0; i < NAMES; i++) {
		if ((takes & 1U << i) != 0 && strcmp(text, names[i]) == 0)
			return (enum name)i;
	}
	return NAMES;
}

/* One name=value. */
static bool
read_pair(struct span pair, unsigned takes, uint32_t limit_max, unsigned *seen, struct page *p)
{
	const uint8_t *eq = pair.len == 0 ? NULL : memchr(pair.ptr, '=', pair.len);
	char name[16], value[QUERY_VALUE_MAX + 1];
	enum name which;

	if (eq == NULL || !decode(span_of(pair.ptr, (size_t)(eq - pair.ptr)), name, sizeof(name)) ||
	    !decode(span_from(pair, (size_t)(eq - pair.ptr) + 1), value, sizeof(value)))
		return false;
	which = find_name(name, takes);
	if (which == NAMES || (which != NAME_INCLUDE && (*seen & 1U << which) != 0))
		return false;
	*seen |= 1U << which;
	return take(which, value, limit_max, p);
}

static enum error
read_query(struct request *r, unsigned takes, uint32_t limit_max, const char *why)
{
	struct page *p = arena_alloc(&r->arena, sizeof(*p));
	struct span rest = r->http.query;
	unsigned seen = 0;

	if (p == NULL)
		return ERROR_OVERLOADED;
	while (rest.len > 0) {
		const uint8_t *amp = memchr(rest.ptr, '&', rest.len);
		size_t len = amp == NULL ? rest.len : (size_t)(amp - rest.ptr);

		if (!read_pair(span_of(rest.ptr, len), takes, limit_max, &seen, p)) {
			r->detail = why;
			return ERROR_INVALID_FIELD;
		}
		rest = span_from(rest, len + 1);
	}
	r->page = p;
	return ERROR_NONE;
}

enum error
query_items(struct request *r)
{
	return read_query(r, LIST_ITEMS, CONTENT_PAGE_MAX,
	    "the query is not limit (1 to 100), order (asc, desc), after and include[], each once");
}

enum error
query_files(struct request *r)
{
	return read_query(r, LIST_FILES, FILES_LIMIT_MAX,
	    "the query is not limit (1 to 10000), order (asc, desc), after and purpose, each once");
}

enum error
query_include(struct request *r)
{
	return read_query(r, BIT(INCLUDE), 0, "the query is not include[]");
}

const struct page *
query_page(const struct request *r)
{
	static const struct page none;

	return r->page != NULL ? r->page : &none;
}
