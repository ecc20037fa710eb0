/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sections.c: a module's sections, counted.
 *
 * Runs in: wasm-compile. Trusts: nothing. Owns: nothing.
 * Invariants: every step consumes at least one byte of the module, so time is
 * linear in its size; no memory is allocated; a cursor never passes its end.
 * See: wasm/sections.h; WebAssembly core specification, 5.2 (LEB128), 5.5 (modules).
 */
#include <wasm/sections.h>

#define LEB_U32_MAX 5 /* bytes */

enum section {
	SECTION_CUSTOM,
	SECTION_TYPE,
	SECTION_IMPORT,
	SECTION_FUNCTION,
	SECTION_TABLE,
	SECTION_MEMORY,
	SECTION_GLOBAL,
	SECTION_EXPORT,
	SECTION_START,
	SECTION_ELEMENT,
	SECTION_CODE,
	SECTION_DATA,
	SECTION_DATA_COUNT
};

/* How many items a section may say it has, and what to answer if it has more. */
static const struct {
	uint32_t max;
	bool counted; /* starts with a number of items */
	const char *reason;
} rules[WASM_SECTION_IDS] = {
	[SECTION_CUSTOM] = { 1000, false, "too many custom sections" },
	[SECTION_TYPE] = { 10000, true, "too many types" },
	[SECTION_IMPORT] = { 256, true, "too many imports" },
	[SECTION_FUNCTION] = { WASM_FUNCTIONS_MAX, true, "too many functions" },
	[SECTION_TABLE] = { 4, true, "too many tables" },
	[SECTION_MEMORY] = { 1, true, "more than one memory" },
	[SECTION_GLOBAL] = { 10000, true, "too many globals" },
	[SECTION_EXPORT] = { 10000, true, "too many exports" },
	[SECTION_START] = { 0, false, "" },
	[SECTION_ELEMENT] = { 10000, true, "too many element segments" },
	[SECTION_CODE] = { WASM_FUNCTIONS_MAX, true, "too many functions" },
	[SECTION_DATA] = { WASM_SEGMENTS_MAX, true, "too many data segments" },
	[SECTION_DATA_COUNT] = { WASM_SEGMENTS_MAX, true, "too many data segments" },
};

static struct status look(struct span *s, struct wasm_counts *c, const char **ret_reason);
static struct status section(struct span *s, struct wasm_counts *c, const char **ret_reason);
static struct status bodies(
    struct span s, uint32_t count, struct wasm_counts *c, const char **ret_reason);
static struct status body(struct span s, struct wasm_counts *c, uint64_t *work);
static struct status locals_of(struct span s, uint64_t *ret);
static struct status leb_u32(struct span *s, uint32_t *ret);
static struct status cut(struct span *s, uint32_t len, struct span *ret);

struct status
wasm_sections_check(struct span module, struct wasm_counts *ret, const char **ret_reason)
{
	static const uint8_t head[] = { 0, 'a', 's', 'm', 1, 0, 0, 0 };

	*ret = (struct wasm_counts){ 0 };
	*ret_reason = "not a WebAssembly module of version 1";
	if (!span_starts(module, span_of(head, sizeof(head))))
		return fail(E_SYNTAX);
	for (struct span s = span_from(module, sizeof(head)); s.len > 0;)
		TRY(look(&s, ret, ret_reason));
	*ret_reason = "";
	return OK;
}

static struct status
look(struct span *s, struct wasm_counts *c, const char **ret_reason)
{
	struct status st;

	*ret_reason = NULL;
	st = section(s, c, ret_reason);
	if (!is_ok(st) && *ret_reason == NULL)
		*ret_reason = "cut off, or a length that is wrong";
	return st;
}

static struct status
section(struct span *s, struct wasm_counts *c, const char **ret_reason)
{
	uint8_t id = s->ptr[0];
	uint32_t len, count = 1;
	struct span content;

	*s = span_from(*s, 1);
	TRY(leb_u32(s, &len));
	TRY(cut(s, len, &content));
	if (id >= WASM_SECTION_IDS) {
		*ret_reason = "a section of a kind that is not supported";
		return fail(E_SYNTAX);
	}
	if (rules[id].counted)
		TRY(leb_u32(&content, &count));
	if (id == SECTION_START)
		return OK;
	if (count > rules[id].max - c->items[id]) {
		*ret_reason = rules[id].reason;
		return fail(E_RANGE);
	}
	c->items[id] += count;
	return id == SECTION_CODE ? bodies(content, count, c, ret_reason) : OK;
}

static struct status
bodies(struct span s, uint32_t count, struct wasm_counts *c, const char **ret_reason)
{
	uint64_t work = 0;

	for (uint32_t i = 0; i < count; i++) {
		struct span one;
		uint32_t len;

		TRY(leb_u32(&s, &len));
		TRY(cut(&s, len, &one));
		TRY(body(one, c, &work));
		if (c->body_max > WASM_BODY_MAX)
			*ret_reason = "a function that is too long";
		else if (c->locals_max > WASM_LOCALS_MAX || work > WASM_LOCALS_WORK_MAX)
			*ret_reason = "too many local variables";
		else
			continue;
		return fail(E_RANGE);
	}
	return OK;
}

static struct status
body(struct span s, struct wasm_counts *c, uint64_t *work)
{
	uint64_t locals;

	TRY(locals_of(s, &locals));
	c->bodies++;
	if (locals > c->locals_max)
		c->locals_max = locals > UINT32_MAX ? UINT32_MAX : (uint32_t)locals;
	if (s.len > c->body_max)
		c->body_max = (uint32_t)s.len;
	/* A product of at most 2^32 groups of 2^32 would overflow; such a one is over the limit
	 * anyway. */
	*work += (locals > WASM_LOCALS_MAX ? 0 : locals) * s.len;
	return OK;
}

/* Groups of {how many, type}; a type of more than one byte is for the validator to refuse. */
static struct status
locals_of(struct span s, uint64_t *ret)
{
	uint32_t groups, n;

	*ret = 0;
	TRY(leb_u32(&s, &groups));
	for (uint32_t i = 0; i < groups; i++) {
		struct span type;

		TRY(leb_u32(&s, &n));
		TRY(cut(&s, 1, &type));
		*ret += n;
	}
	return OK;
}

static struct status
leb_u32(struct span *s, uint32_t *ret)
{
	uint64_t value = 0;

	for (size_t i = 0; i < LEB_U32_MAX && i < s->len; i++) {
		value |= (uint64_t)(s->ptr[i] & 0x7f) << 7 * i;
		if ((s->ptr[i] & 0x80) != 0)
			continue;
		if (value > UINT32_MAX)
			return fail(E_SYNTAX);
		*s = span_from(*s, i + 1);
		*ret = (uint32_t)value;
		return OK;
	}
	return fail(E_SYNTAX);
}

static struct status
cut(struct span *s, uint32_t len, struct span *ret)
{
	if (len > s->len)
		return fail(E_SYNTAX);
	*ret = span_of(s->ptr, len);
	*s = span_from(*s, len);
	return OK;
}
