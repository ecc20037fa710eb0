/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_REDACT_INTERNAL_H
#define BROKER_REDACT_INTERNAL_H

/* What redact.c and redact_escape.c share. */
#include "redact.h"

#define REDACT_MARKS 256 /* a byte each, after the table of shifts */
#define REDACT_FIRST 1   /* some needle begins with it */
#define REDACT_MEMBER 2  /* some needle holds it */

static inline const uint8_t *
redact_marks(const struct redactor *r)
{
	return r->mem.ptr + REDACT_SHIFTS;
}

/* The length of the first match at or after *at, which becomes its place; 0: none. */
size_t redact_find(const struct redactor *r, const uint8_t *p, size_t len, size_t *at);
/* The length of the longest end of `p` that begins a needle without being all of it. */
size_t redact_tail(const struct redactor *r, const uint8_t *p, size_t len);
/*
 * Overwrite what is written with escapes; how often. *hold_at is where the bytes to be held back
 * begin: moved to the left where more may be the beginning of a match, never into an escape.
 * `last`: nothing follows.
 */
size_t redact_escaped(const struct redactor *r, uint8_t *p, size_t len, bool last, size_t *hold_at);

#endif
