/* SPDX-License-Identifier: Apache-2.0 */
/*
 * marks.c: the credentials in use, as the store may know them.
 *
 * Runs in: broker. Trusts: nothing of the store. Owns: the key of the marks, for its life.
 * Invariants: no credential leaves, nothing of it but a length and keyed hashes; one is told before
 * it is first used, with the one before it.
 * See: pasted/known.h, wire/store_broker.h; src/store/credentials.c; credential.c (commit).
 */
#include "marks.h"

#include <stdlib.h>

#include <base/rand.h>
#include <wire/store_broker.h>

#include "credential_internal.h"

static struct {
	uint8_t key[KNOWN_KEY_LEN];
	struct known *known; /* NULL: there is no key yet */
} self;

static struct status
need_key(void)
{
	if (self.known != NULL)
		return OK;
	TRY(rand_bytes(self.key, sizeof(self.key)));
	return known_new(self.key, &self.known);
}

/* One that is too short for a mark is none. */
static void
put_mark(const struct credential_version *v, struct known_mark *marks, uint32_t *n)
{
	if (v == NULL || *n == KNOWN_MAX || v->value.len < KNOWN_LEN_MIN)
		return;
	if (is_ok(known_mark(self.known, secret_borrow(&v->value), &marks[*n])))
		++*n;
	else
		diag(DIAG_ERROR, "a credential has no mark");
}

static struct status
tell(struct broker *b, struct known_mark *marks)
{
	struct sb_credentials m = { .marks = { marks, 0 } };
	const struct credential *c;

	TRY(need_key());
	LIST_FOREACH(c, &b->credentials, entry)
	{
		put_mark(c->now, marks, &m.marks.count);
		put_mark(c->before, marks, &m.marks.count);
	}
	memcpy(m.key, self.key, sizeof(m.key));
	return link_send(b->store, 0, SB_CREDENTIALS, &m);
}

void
marks_tell(struct broker *b)
{
	struct known_mark *marks;
	struct status st;

	if (b->store == NULL)
		return;
	marks = calloc(KNOWN_MAX, sizeof(*marks));
	st = marks == NULL ? fail(E_NOMEM) : tell(b, marks);
	if (!is_ok(st))
		diag(DIAG_ERROR, "the store does not hear of credentials: %s", status_text(st));
	free(marks);
}
