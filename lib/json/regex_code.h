/* SPDX-License-Identifier: Apache-2.0 */
#ifndef JSON_REGEX_CODE_H
#define JSON_REGEX_CODE_H

/*
 * The code between regex.c, which compiles it, and regex_search.c, which runs it.
 */
#include <stdint.h>

enum {
	RE_CHAR,    /* y: the code point */
	RE_SET,     /* x: first range, y: their number */
	RE_NOT_SET, /* likewise: none of them */
	RE_BEGIN,
	RE_END,
	RE_JMP,   /* x: how far */
	RE_SPLIT, /* x, y: how far, both ways */
	RE_MATCH,
};

struct regex_op {
	uint8_t op;
	int32_t x;
	uint32_t y;
};

struct regex_range {
	uint32_t low;
	uint32_t high;
};

struct regex {
	const struct regex_op *code;
	uint32_t len;
	const struct regex_range *ranges;
};

#endif
