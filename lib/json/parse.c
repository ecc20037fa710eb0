/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON parser: one pass over the source, one token a value.
 *
 * Runs in:    every process that reads JSON, first of all the gateway.
 * Trusts:     nothing of the source; the caller keeps it in place.
 * Owns:       the tape and the table for duplicate keys, reused by later parses.
 * Invariants: no recursion; while a container is open, its token's .next is the
 *             container around it; memory is bounded by tokens_max; the work is
 *             linear in the size of the source, whatever it says.
 * See:        RFC 8259; text.c for strings, keys.c for duplicates.
 */
#include <stdlib.h>

#include <base/rand.h>

#include "internal.h"

#define TAPE_START 64
#define TAPE_KEEP 65536 /* tokens; a larger tape is not kept for the next parse */

struct parser {
	struct json_doc *d;
	const uint8_t *p;
	const uint8_t *end;
	uint32_t open; /* the innermost open container, or JSON_NONE */
	uint32_t key;  /* the key whose value is awaited, or JSON_NONE */
	uint32_t depth;
};

static struct status parse_document(struct parser *ps);
static struct status parse_key(struct parser *ps);
static struct status parse_value(struct parser *ps, bool *ret_opened);
static struct status parse_after(struct parser *ps);
static struct status parse_open(struct parser *ps, enum json_type type, bool *ret_opened);
static struct status parse_close(struct parser *ps);
static struct status parse_literal(struct parser *ps, const char *word, enum json_type type);
static struct status parse_number(struct parser *ps);
static struct status parse_string(struct parser *ps, bool is_key);
static struct status tape_push(
    struct parser *ps, const uint8_t *start, enum json_type type, uint32_t flags);
static struct status tape_grow(struct parser *ps);
static struct status fault_here(struct parser *ps, enum code code, const char *message);

struct status
json_init(struct json_doc *d, const struct json_opts *opts)
{
	struct json_doc fresh = { .opts = *opts };

	if (fresh.opts.depth_max == 0)
		fresh.opts.depth_max = JSON_DEPTH_DEFAULT;
	if (fresh.opts.tokens_max == 0)
		fresh.opts.tokens_max = JSON_TOKENS_DEFAULT;
	if (fresh.opts.size_max == 0)
		fresh.opts.size_max = JSON_SIZE_MAX;
	if (fresh.opts.depth_max > JSON_DEPTH_MAX || fresh.opts.tokens_max > JSON_TOKENS_MAX ||
	    fresh.opts.size_max > JSON_SIZE_MAX)
		return fail(E_RANGE);
	TRY(rand_bytes(fresh.seed, sizeof(fresh.seed)));
	*d = fresh;
	return OK;
}

void
json_done(struct json_doc *d)
{
	free(d->tok);
	free(d->slots);
	d->tok = NULL;
	d->slots = NULL;
	d->count = d->built = d->cap = d->slot_cap = 0;
}

struct status
json_parse(struct json_doc *d, struct span src)
{
	struct parser ps = { .d = d, .open = JSON_NONE, .key = JSON_NONE };
	struct status st;

	assert(d->opts.depth_max != 0); /* json_init() came before */
	if (d->cap > TAPE_KEEP || d->slot_cap > TAPE_KEEP)
		json_done(d);
	d->src = src;
	d->count = d->built = 0;
	d->fault = (struct json_fault){ .parent = JSON_NONE, .key = JSON_NONE };
	ps.p = src.ptr;
	ps.end = src.len > 0 ? src.ptr + src.len : src.ptr;
	if (src.len > d->opts.size_max)
		return fault_here(&ps, E_RANGE, "is too large");
	if (src.len >= 3 && memcmp(src.ptr, "\xef\xbb\xbf", 3) == 0)
		return fault_here(&ps, E_SYNTAX, "begins with a byte order mark");
	st = parse_document(&ps);
	if (is_ok(st))
		d->count = d->built;
	return st;
}

/* The next byte that is no white space; 0, which is never valid, at the end. */
static inline uint8_t
peek(struct parser *ps)
{
	for (; ps->p < ps->end; ps->p++) {
		uint8_t c = *ps->p;

		if (c > ' ' || (c != ' ' && c != '\n' && c != '\r' && c != '\t'))
			return c;
	}
	return 0;
}

static struct status
parse_document(struct parser *ps)
{
	bool opened;

	do {
		if (ps->open != JSON_NONE && ps->d->tok[ps->open].type == JSON_OBJECT)
			TRY(parse_key(ps));
		TRY(parse_value(ps, &opened));
		if (!opened)
			TRY(parse_after(ps));
	} while (ps->open != JSON_NONE);

	if (peek(ps) != 0 || ps->p != ps->end)
		return fault_here(ps, E_SYNTAX, "has something after its end");
	return OK;
}

static struct status
parse_key(struct parser *ps)
{
	uint32_t key = ps->d->built;

	if (peek(ps) != '"')
		return fault_here(ps, E_SYNTAX, "needs a key in quotes here");
	TRY(parse_string(ps, true));
	if (peek(ps) != ':')
		return fault_here(ps, E_SYNTAX, "needs a colon here");
	ps->p++;
	ps->key = key;
	return OK;
}

/* One scalar, or the opening of a container that is not empty (*ret_opened). */
static struct status
parse_value(struct parser *ps, bool *ret_opened)
{
	uint8_t c = peek(ps);
	struct status st;

	*ret_opened = false;
	if (c == '"')
		st = parse_string(ps, false);
	else if (c == '{')
		return parse_open(ps, JSON_OBJECT, ret_opened);
	else if (c == '[')
		return parse_open(ps, JSON_ARRAY, ret_opened);
	else if (c == '-' || (c >= '0' && c <= '9'))
		st = parse_number(ps);
	else if (c == 't')
		st = parse_literal(ps, "true", JSON_TRUE);
	else if (c == 'f')
		st = parse_literal(ps, "false", JSON_FALSE);
	else if (c == 'n')
		st = parse_literal(ps, "null", JSON_NULL);
	else
		st = fault_here(ps, E_SYNTAX, "needs a value here");
	if (is_ok(st) && ps->open != JSON_NONE)
		ps->d->tok[ps->open].size++;
	return st;
}

/* Behind a value: what closes here, up to the comma before the next value. */
static struct status
parse_after(struct parser *ps)
{
	ps->key = JSON_NONE;
	while (ps->open != JSON_NONE) {
		bool in_object = ps->d->tok[ps->open].type == JSON_OBJECT;
		uint8_t c = peek(ps);

		if (c == ',') {
			ps->p++;
			return OK;
		}
		if (c != (in_object ? '}' : ']'))
			return fault_here(ps, E_SYNTAX,
			    in_object ? "needs a comma or } here" : "needs a comma or ] here");
		TRY(parse_close(ps));
	}
	return OK;
}

static struct status
parse_open(struct parser *ps, enum json_type type, bool *ret_opened)
{
	uint32_t tok = ps->d->built;

	if (ps->depth == ps->d->opts.depth_max)
		return fault_here(ps, E_RANGE, "is nested too deeply");
	TRY(tape_push(ps, ps->p, type, 0));
	ps->p++;
	if (ps->open != JSON_NONE)
		ps->d->tok[ps->open].size++;
	ps->d->tok[tok].next = ps->open;
	ps->open = tok;
	ps->key = JSON_NONE;
	ps->depth++;
	*ret_opened = peek(ps) != (type == JSON_OBJECT ? '}' : ']');
	return OK;
}

static struct status
parse_close(struct parser *ps)
{
	struct json_tok *t = &ps->d->tok[ps->open];
	uint32_t dup = JSON_NONE;

	if (t->type == JSON_OBJECT && ps->d->opts.refuse_duplicates) {
		struct status st = keys_unique(ps->d, ps->open, &dup);

		if (!is_ok(st)) {
			ps->key = dup;
			if (dup != JSON_NONE)
				ps->p = ps->d->src.ptr + ps->d->tok[dup].off;
			return fault_here(ps, (enum code)st.code,
			    st.code == E_EXISTS ? "repeats a key, perhaps in another case"
						: "needs too much memory");
		}
	}
	ps->p++;
	ps->open = t->next;
	ps->depth--;
	t->next = ps->d->built;
	t->len = (uint32_t)((size_t)(ps->p - ps->d->src.ptr) - t->off);
	return OK;
}

static struct status
parse_literal(struct parser *ps, const char *word, enum json_type type)
{
	const uint8_t *start = ps->p;
	size_t len = strlen(word);

	if ((size_t)(ps->end - ps->p) < len || memcmp(ps->p, word, len) != 0)
		return fault_here(ps, E_SYNTAX, "has an unknown word");
	ps->p += len;
	return tape_push(ps, start, type, 0);
}

static inline bool
digits(struct parser *ps)
{
	const uint8_t *start = ps->p;

	while (ps->p < ps->end && *ps->p >= '0' && *ps->p <= '9')
		ps->p++;
	return ps->p > start;
}

static struct status
parse_number(struct parser *ps)
{
	const uint8_t *start = ps->p;
	bool ok = true;

	if (*ps->p == '-')
		ps->p++;
	if (ps->p < ps->end && *ps->p == '0')
		ps->p++;
	else
		ok = digits(ps);
	if (ok && ps->p < ps->end && *ps->p == '.') {
		ps->p++;
		ok = digits(ps);
	}
	if (ok && ps->p < ps->end && (*ps->p == 'e' || *ps->p == 'E')) {
		ps->p++;
		if (ps->p < ps->end && (*ps->p == '+' || *ps->p == '-'))
			ps->p++;
		ok = digits(ps);
	}
	if (!ok)
		return fault_here(ps, E_SYNTAX, "has a number without a digit here");
	return tape_push(ps, start, JSON_NUMBER, 0);
}

static struct status
parse_string(struct parser *ps, bool is_key)
{
	const uint8_t *start = ps->p++;
	const char *message = NULL;
	struct json_doc *d = ps->d;
	bool escaped = false;
	struct status st = text_scan(&ps->p, ps->end, &d->opts, &escaped, &message);

	if (!is_ok(st))
		return fault_here(ps, (enum code)st.code, message);
	ps->p++;
	TRY(tape_push(
	    ps, start, JSON_STRING, (escaped ? TOK_ESCAPED : 0U) | (is_key ? TOK_KEY : 0U)));
	if (is_key && d->opts.refuse_duplicates) {
		struct span raw = span_of(start + 1, (size_t)(ps->p - start) - 2);

		d->tok[d->built - 1].size = (uint32_t)key_hash(d->seed, raw, escaped, true) &
					    0xffffffU;
	}
	return OK;
}

static inline struct status
tape_push(struct parser *ps, const uint8_t *start, enum json_type type, uint32_t flags)
{
	struct json_doc *d = ps->d;

	if (d->built == d->cap)
		TRY(tape_grow(ps));
	d->tok[d->built] = (struct json_tok){
		.off = (uint32_t)(start - d->src.ptr),
		.len = (uint32_t)(ps->p - start),
		.next = d->built + 1,
		.type = (unsigned)type & 15U,
		.flags = flags & 15U,
	};
	d->built++;
	return OK;
}

static struct status
tape_grow(struct parser *ps)
{
	struct json_doc *d = ps->d;
	uint32_t cap = d->cap == 0 ? TAPE_START : d->cap * 2;
	struct json_tok *tok;

	if (cap > d->opts.tokens_max)
		cap = d->opts.tokens_max;
	if (cap <= d->cap)
		return fault_here(ps, E_RANGE, "has too many values");
	tok = realloc(d->tok, (size_t)cap * sizeof(*tok));
	if (tok == NULL)
		return fault_here(ps, E_NOMEM, "needs too much memory");
	d->tok = tok;
	d->cap = cap;
	return OK;
}

static struct status
fault_here(struct parser *ps, enum code code, const char *message)
{
	struct json_fault *f = &ps->d->fault;

	f->offset = ps->p == NULL ? 0 : (size_t)(ps->p - ps->d->src.ptr);
	f->message = ps->p == ps->end && code == E_SYNTAX ? "ends too early" : message;
	f->parent = ps->open;
	f->key = ps->key;
	return fail(code);
}
