/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running a compiled pattern over a string: all ways at once, code point by code
 * point, so that no text makes it slow.
 *
 * Runs in:    whoever validates by schemas.
 * Trusts:     the code of regex.c; text that the parser accepted.
 * Owns:       scratch memory while it runs, 20 bytes an instruction.
 * Invariants: an instruction is entered at most once for each position.
 * See:        Cox, "Regular Expression Matching: the Virtual Machine Approach".
 */
#include <stdlib.h>

#include "internal.h"
#include "regex.h"
#include "regex_code.h"

struct threads {
	uint32_t *pc;
	uint32_t len;
};

struct run {
	const struct regex *re;
	uint64_t *steps;
	struct threads now;
	struct threads next;
	bool at_begin;
	bool at_end;
	bool matched;
	uint32_t position; /* from 1 on */
	uint32_t *entered; /* by instruction: at which position it was entered last */
	uint32_t *stack;   /* each instruction entered adds one at most */
};

static struct status search(struct run *r, struct text_reader text);
static struct status enter(struct run *r, struct threads *list, uint32_t start);
static bool consumes(const struct regex *re, const struct regex_op *op, uint32_t cp);

struct status
regex_search(
    const struct regex *re, const struct json_doc *d, uint32_t tok, uint64_t *steps, bool *ret)
{
	uint32_t *scratch = calloc(re->len, 5 * sizeof(*scratch));
	struct run r = { .re = re, .steps = steps, .at_begin = true, .position = 1 };
	struct status st;

	if (scratch == NULL)
		return fail(E_NOMEM);
	r.entered = scratch;
	r.now.pc = scratch + re->len;
	r.next.pc = r.now.pc + re->len;
	r.stack = r.next.pc + re->len; /* 2·len */
	st = search(&r, text_reader(text_raw(d, tok)));
	*ret = r.matched;
	free(scratch);
	return st;
}

static struct status
search(struct run *r, struct text_reader text)
{
	bool anchored = r->re->code[0].op == RE_BEGIN;
	struct threads swap;
	uint32_t cp;

	for (;;) {
		r->at_end = text.p == text.end;
		/* The threads of `now` entered at this position; a new one may start. */
		if (r->at_begin || !anchored)
			TRY(enter(r, &r->now, 0));
		if (r->matched || (anchored && r->now.len == 0) || !text_next(&text, &cp))
			return OK;
		r->at_begin = false;
		r->at_end = text.p == text.end;
		r->position++;
		r->next.len = 0;
		TRY(steps_take(r->steps, r->now.len));
		for (uint32_t i = 0; i < r->now.len; i++) {
			if (consumes(r->re, &r->re->code[r->now.pc[i]], cp))
				TRY(enter(r, &r->next, r->now.pc[i] + 1U));
		}
		swap = r->now;
		r->now = r->next;
		r->next = swap;
	}
}

/* Follow jumps and anchors from `start`; what then awaits a character joins the list. */
static struct status
enter(struct run *r, struct threads *list, uint32_t start)
{
	uint32_t *stack = r->stack;
	uint32_t n = 0;

	stack[n++] = start;
	while (n > 0) {
		uint32_t pc = stack[--n];
		const struct regex_op *op = &r->re->code[pc];

		if (r->entered[pc] == r->position)
			continue;
		r->entered[pc] = r->position;
		TRY(steps_take(r->steps, 1));
		if (op->op == RE_MATCH) {
			r->matched = true;
			return OK;
		}
		if (op->op == RE_JMP || op->op == RE_SPLIT) {
			stack[n++] = (uint32_t)((int32_t)pc + op->x);
			if (op->op == RE_SPLIT)
				stack[n++] = pc + op->y;
			continue;
		}
		if ((op->op == RE_BEGIN && r->at_begin) || (op->op == RE_END && r->at_end)) {
			stack[n++] = pc + 1;
			continue;
		}
		if (op->op != RE_BEGIN && op->op != RE_END)
			list->pc[list->len++] = pc;
	}
	return OK;
}

static bool
consumes(const struct regex *re, const struct regex_op *op, uint32_t cp)
{
	bool found = false;

	if (op->op == RE_CHAR)
		return op->y == cp;
	for (uint32_t i = 0; i < op->y && !found; i++) {
		const struct regex_range *range = &re->ranges[(uint32_t)op->x + i];

		found = cp >= range->low && cp <= range->high;
	}
	return found == (op->op == RE_SET);
}
