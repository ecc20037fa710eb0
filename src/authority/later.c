/* SPDX-License-Identifier: Apache-2.0 */
/*
 * later.c: calls of gateways that wait for the keys of an identity provider.
 *
 * Runs in: authority. Trusts: what is kept was checked by its table, and is once more.
 * Owns: the kept messages, each encoded as it came; they hold credentials and are wiped.
 * Invariants: a call is heard again on the link that it came by, or not at all; how many wait, and
 * for how long, is bounded by who makes them wait (oidc_wait).
 * See: later.h, oidc.h, admit.c.
 */
#include "later.h"

#include <stdlib.h>

#include "authority.h"

/* The longest message that waits, an act of administration, and a decoder's room for it. */
#define LATER_LEN_MAX (2U * ADMIN_REQUEST_MAX)
_Static_assert(CREDENTIAL_MAX + 2 * ADMIN_PATH_MAX + 4096 <= LATER_LEN_MAX - ADMIN_REQUEST_MAX,
    "a GA_ADMIN fits whole");

struct later {
	struct gateway *gw; /* its slot; */
	uint32_t peer_id;   /* … another one may be in it */
	uint16_t type;
	uint64_t id;
	link_handler *fn;
	struct buf bytes;
};

static void
later_free(struct later *l)
{
	if (l->bytes.len > 0)
		explicit_bzero(l->bytes.ptr, l->bytes.len);
	buf_done(&l->bytes);
	free(l);
}

static void
hear(const struct later *l)
{
	const struct wire_table *table = &ga_edge.msgs[l->type].table;
	struct arena arena = ARENA_INIT(LATER_LEN_MAX);
	void *msg = arena_alloc(&arena, table->size);

	if (msg != NULL && is_ok(wire_decode(table, buf_span(&l->bytes), &arena, msg)))
		l->fn(l->gw->link, l->id, msg, l->gw);
	arena_done(&arena);
}

static void
on_ready(void *ctx)
{
	struct later *l = ctx;

	if (l->gw->link != NULL && !l->gw->dropped && l->gw->peer_id == l->peer_id)
		hear(l);
	later_free(l);
}

static struct status
keep(struct gateway *gw, uint16_t type, const void *msg, struct later **ret)
{
	const struct wire_table *table = &ga_edge.msgs[type].table;
	struct later *l = calloc(1, sizeof(*l));
	struct status st;

	if (l == NULL)
		return fail(E_NOMEM);
	*l = (struct later){
		.gw = gw, .peer_id = gw->peer_id, .type = type, .bytes = BUF_INIT(LATER_LEN_MAX)
	};
	st = wire_encode(table, msg, &l->bytes);
	if (is_ok(st))
		*ret = l;
	else
		later_free(l);
	return st;
}

bool
later(struct gateway *gw, uint16_t type, uint64_t id, const void *msg, link_handler *fn)
{
	struct later *l;

	if (!oidc_is_awaited(gw->a))
		return false;
	if (!is_ok(keep(gw, type, msg, &l))) {
		oidc_forget_awaited(gw->a); /* what it points to may go before the next call */
		return false;
	}
	l->id = id;
	l->fn = fn;
	if (is_ok(oidc_wait(gw->a, on_ready, l)))
		return true;
	later_free(l);
	return false;
}
