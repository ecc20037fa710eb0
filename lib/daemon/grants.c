/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grants.c: what the authority allowed and nobody has done yet, and who came before it.
 *
 * Runs in: broker, executor, store. Trusts: the authority; a gateway's claims are compared.
 * Owns: a table of fixed size, found by the grant's random id; those who wait for one.
 * Invariants: a grant is used at most once, by the gateway it names, before it expires; who waits
 * hears once, within GRANT_WAIT_MS.
 * See: daemon/grants.h, wire/grant.h.
 */
#include <daemon/grants.h>

#include <stdlib.h>

struct grant_wait {
	LIST_ENTRY(grant_wait) entry;
	uv_timer_t timer; /* outlives the wait by one turn of the loop */
	struct grants *g;
	struct grant_claim claim;
	grant_came *came;
	void *ctx;
};

static void serve_wait(struct grants *g, const uint8_t id[GRANT_LEN], uint64_t now_ms);

/* Ids are random, so any part of one is a hash; the comparison must not tell how far it got. */
static uint32_t *
bucket_of(struct grants *g, const uint8_t id[GRANT_LEN])
{
	return &g->buckets[((uint32_t)id[0] << 8 | id[1]) % GRANTS_BUCKETS];
}

static bool
same_id(const uint8_t a[GRANT_LEN], const uint8_t b[GRANT_LEN])
{
	uint8_t diff = 0;

	for (size_t i = 0; i < GRANT_LEN; i++)
		diff |= a[i] ^ b[i];
	return diff == 0;
}

/* The link that leads to the grant, or to 0. */
static uint32_t *
find(struct grants *g, const uint8_t id[GRANT_LEN])
{
	uint32_t *at = bucket_of(g, id);

	while (*at != 0 && !same_id(g->rows[*at - 1].id, id))
		at = &g->rows[*at - 1].next;
	return at;
}

static void
drop(struct grants *g, uint32_t *at)
{
	uint32_t n = *at;
	struct held_grant *row = &g->rows[n - 1];

	*at = row->next;
	*row = (struct held_grant){ .next = g->free };
	g->free = n;
	g->count--;
}

typedef bool drop_test(const struct held_grant *row, uint64_t arg);

static void
drop_if(struct grants *g, drop_test *test, uint64_t arg)
{
	for (size_t b = 0; b < GRANTS_BUCKETS; b++) {
		uint32_t *at = &g->buckets[b];

		while (*at != 0) {
			if (test(&g->rows[*at - 1], arg))
				drop(g, at);
			else
				at = &g->rows[*at - 1].next;
		}
	}
}

static bool
is_expired(const struct held_grant *row, uint64_t now_ms)
{
	return row->expires_ms <= now_ms;
}

static bool
is_of_turn(const struct held_grant *row, uint64_t turn)
{
	return row->turn == turn;
}

static bool
is_any(const struct held_grant *row, uint64_t unused)
{
	(void)row, (void)unused;
	return true;
}

/* An empty row: index + 1; 0 when the table is full. */
static uint32_t
take_row(struct grants *g)
{
	uint32_t n = g->free;

	if (n != 0) {
		g->free = g->rows[n - 1].next;
		return n;
	}
	return g->fresh < GRANTS_MAX ? ++g->fresh : 0;
}

static struct status
read_row(const struct grant *m, uint64_t now_ms, struct held_grant *row)
{
	*row = (struct held_grant){ .kind = m->kind,
		.turn = m->turn,
		.gateway = m->gateway,
		.endpoint = m->endpoint,
		.keep = m->keep != 0,
		.body_len = m->body_len,
		.model_off = m->model_off,
		.expires_ms = now_ms + m->expires_ms,
		.tool = m->tool,
		.content_op = m->content_op,
		.content_kind = m->content_kind,
		.masked = m->masked };
	TRY(span_to_cstr(m->tenant, row->tenant, sizeof(row->tenant)));
	TRY(span_to_cstr(m->user, row->user, sizeof(row->user)));
	TRY(span_to_cstr(m->target, row->target, sizeof(row->target)));
	memcpy(row->id, m->grant, sizeof(row->id));
	memcpy(row->digest, m->digest, sizeof(row->digest));
	return OK;
}

struct status
grants_add(struct grants *g, const struct grant *m, uint64_t now_ms)
{
	struct held_grant row = { .turn = 0 };
	uint32_t *bucket = bucket_of(g, m->grant);
	uint32_t n;

	if (*find(g, m->grant) != 0)
		return fail(E_EXISTS);
	TRY(read_row(m, now_ms, &row));
	if (g->count == GRANTS_MAX)
		drop_if(g, is_expired, now_ms);
	n = take_row(g);
	if (n == 0)
		return fail(E_FULL);
	row.next = *bucket;
	g->rows[n - 1] = row;
	*bucket = n;
	g->count++;
	serve_wait(g, m->grant, now_ms);
	return OK;
}

struct status
grants_use(struct grants *g, const struct grant_claim *c, uint64_t now_ms, struct held_grant *ret)
{
	uint32_t *at = find(g, c->id);

	if (*at == 0)
		return fail(E_NOTFOUND);
	if (g->rows[*at - 1].gateway != c->gateway)
		return fail(E_DENIED);
	*ret = g->rows[*at - 1];
	drop(g, at);
	if (is_expired(ret, now_ms) || ret->body_len != c->body_len)
		return fail(E_RANGE);
	return OK;
}

struct status
grants_claim(struct grants *g, struct link *authority, uv_loop_t *loop, const struct grant_claim *c,
    struct held_grant *ret)
{
	struct status st = grants_use(g, c, uv_now(loop), ret);

	if (st.code != E_NOTFOUND || authority == NULL)
		return st;
	link_pump(authority);
	return grants_use(g, c, uv_now(loop), ret);
}

void
grants_forget_turn(struct grants *g, uint64_t turn)
{
	if (g->count > 0)
		drop_if(g, is_of_turn, turn);
}

void
grants_forget_all(struct grants *g)
{
	drop_if(g, is_any, 0);
}

/* ---- who came before its grant ---- */
static void
on_timer_closed(uv_handle_t *h)
{
	free(h->data);
}

void
grant_wait_cancel(struct grant_wait *w)
{
	if (w == NULL)
		return;
	LIST_REMOVE(w, entry);
	w->g->nwaits--;
	uv_close((uv_handle_t *)&w->timer, on_timer_closed);
}

static void
tell(struct grant_wait *w, uint64_t now_ms)
{
	struct held_grant grant = { .turn = 0 };
	struct status st = grants_use(w->g, &w->claim, now_ms, &grant);

	grant_wait_cancel(w); /* its memory stays until the loop has closed the timer */
	w->came(w->ctx, st, &grant);
}

static void
on_timer(uv_timer_t *t)
{
	tell(t->data, uv_now(t->loop));
}

/* Claims of other gateways for the same id wait on: it is not theirs. */
static void
serve_wait(struct grants *g, const uint8_t id[GRANT_LEN], uint64_t now_ms)
{
	uint32_t gateway = g->rows[*find(g, id) - 1].gateway;
	struct grant_wait *w;

	LIST_FOREACH(w, &g->waits, entry)
	{
		if (w->claim.gateway == gateway && same_id(w->claim.id, id)) {
			tell(w, now_ms);
			return;
		}
	}
}

struct status
grants_await(struct grants *g, uv_loop_t *loop, const struct grant_claim *c, grant_came *came,
    void *ctx, struct grant_wait **ret)
{
	struct grant_wait *w;

	if (g->nwaits == GRANT_WAITS_MAX)
		return fail(E_FULL);
	w = calloc(1, sizeof(*w));
	if (w == NULL)
		return fail(E_NOMEM);
	w->g = g;
	w->claim = *c;
	w->came = came;
	w->ctx = ctx;
	w->timer.data = w;
	(void)uv_timer_init(loop, &w->timer);
	(void)uv_timer_start(&w->timer, on_timer, GRANT_WAIT_MS, 0);
	LIST_INSERT_HEAD(&g->waits, w, entry);
	g->nwaits++;
	*ret = w;
	return OK;
}
