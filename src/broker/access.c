/* SPDX-License-Identifier: Apache-2.0 */
/*
 * access.c: accesses to secrets, on record before they are made and when they are over.
 *
 * Runs in: broker. Trusts: the authority, that what it says to be on record is.
 * Owns: each access from its beginning until its end was told, also when nobody waits any more.
 * Invariants: every intent gets an end from here, unless the authority that has it is gone: then
 * the authority or the audit process ended it. There is no time limit: what is not on record is not
 * done, and who waits for it has limits of its own.
 * See: access.h; wire/authority_broker.h.
 */
#include "access.h"

#include <stdlib.h>

#include "broker.h"

#define NEVER_MS UINT32_MAX

struct access {
	struct broker *b;
	uint32_t authority; /* b->authorities when it began */
	uint64_t id;        /* the authority's; 0: not on record yet */
	access_done *done;  /* NULL: nobody waits */
	void *ctx;
	bool given_up, ending;
};

static void on_begun(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx);
static void on_ended(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx);

/* Is the authority that has it on record still there? */
static bool
is_current(const struct access *a)
{
	return a->b->authority != NULL && a->authority == a->b->authorities;
}

struct status
access_begin(struct broker *b, const struct ab_secret_begin *m, access_done *done, void *ctx,
    struct access **ret)
{
	struct access *a;
	struct status st;

	if (b->authority == NULL)
		return fail(E_CLOSED);
	a = calloc(1, sizeof(*a));
	if (a == NULL)
		return fail(E_NOMEM);
	*a = (struct access){ .b = b, .authority = b->authorities, .done = done, .ctx = ctx };
	st = link_call(b->authority, AB_SECRET_BEGIN, m, NEVER_MS, on_begun, a, NULL);
	if (!is_ok(st)) {
		free(a);
		return st;
	}
	*ret = a;
	return OK;
}

static void
on_begun(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	const struct ab_secret_begun *m = msg;
	struct access *a = ctx;
	access_done *done = a->done;

	(void)l;
	if (is_ok(st) && (type != AB_SECRET_BEGUN || m->error != ERROR_NONE || m->access == 0))
		st = fail(E_CLOSED);
	if (is_ok(st))
		a->id = m->access;
	if (a->given_up && is_ok(st)) {
		access_give_up(a);
		return;
	}
	if (a->given_up) {
		free(a);
		return;
	}
	ctx = a->ctx;
	if (!is_ok(st))
		free(a);
	done(ctx, st);
}

struct status
access_end(
    struct access *a, struct ab_secret_ended *m, access_done *done, void *ctx, struct access **ret)
{
	struct status st = fail(E_CLOSED);

	m->access = a->id;
	a->ending = true;
	a->given_up = false;
	a->done = done;
	a->ctx = ctx;
	if (is_current(a))
		st = link_call(a->b->authority, AB_SECRET_ENDED, m, NEVER_MS, on_ended, a, NULL);
	if (!is_ok(st)) {
		free(a);
		return st;
	}
	link_flush(a->b->authority); /* the process may end now */
	if (ret != NULL)
		*ret = a;
	return OK;
}

static void
on_ended(struct link *l, struct status st, uint16_t type, const void *msg, void *ctx)
{
	const struct ab_secret_recorded *m = msg;
	struct access *a = ctx;
	access_done *done = a->given_up ? NULL : a->done;

	(void)l;
	if (is_ok(st) && (type != AB_SECRET_RECORDED || m->error != ERROR_NONE))
		st = fail(E_CLOSED);
	ctx = a->ctx;
	free(a);
	if (done != NULL)
		done(ctx, st);
}

void
access_give_up(struct access *a)
{
	struct ab_secret_ended m = { .given_up = 1, .fault = SECRET_FAILED };

	if (a == NULL)
		return;
	if (a->id == 0 || a->ending) {
		a->given_up = true; /* the answer to the call frees it */
		return;
	}
	if (!is_ok(access_end(a, &m, NULL, NULL, NULL)))
		diag(DIAG_WARN, "the end of an access to a secret could not be told");
}
