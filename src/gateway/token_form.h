/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_TOKEN_FORM_H
#define GATEWAY_TOKEN_FORM_H

/* The forms of /auth/token (RFC 8693) and /auth/revoke (RFC 7009), field by field. */
#include <base/span.h>
#include <base/status.h>

#include "leak.h"

#define FORM_MAX 32768
#define BIT(f) (1U << (f))

enum field {
	F_GRANT,
	F_SUBJECT,
	F_SUBJECT_TYPE,
	F_REQUESTED,
	F_SCOPE,
	F_LIFETIME,
	F_AUDIENCE,
	F_RESOURCE,
	F_ACTOR,
	F_TOKEN,
	F_HINT,
	F_COUNT
};
#define TOKEN_FIELDS (BIT(F_TOKEN) - 1) /* all before it */
#define REVOKE_FIELDS (BIT(F_TOKEN) | BIT(F_HINT))

struct request;

struct token_form {
	struct span
	    fields[F_COUNT]; /* borrowed from the body; empty: not there, or without a value */
	/* Keys of ours, but for the sender's own where a credential belongs: others' are `home`. */
	struct leaks leaks, home;
	bool key_there; /* in the field that was asked for is a key, be it the sender's own */
};

/*
 * Read the body, which is written over: what it had encoded is decoded in its place. What is
 * asked about is in the field `asked`; a field that is not `known` says nothing (RFC 6749, 3.2).
 * Keys are looked for in all of the body, also where it is no form. Owner:  token_form_forget()
 * wipes what is found. Errors: E_NOMEM, E_UNSUPPORTED (its type), E_RANGE (too long, or empty),
 * E_SYNTAX, E_EXISTS (a field twice).
 */
MUST_USE struct status token_form_read(
    struct request *r, uint32_t known, enum field asked, struct token_form *ret);
/* A token was in there: nothing of it stays. */
void token_form_forget(struct request *r, struct token_form *f);

#endif
