/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keep.c: requests about what is kept for a user: one operation at the store each.
 *
 * Runs in: gateway. Trusts: the store for its answers, the authority for who may.
 * Owns: the state of a turn that has such an operation.
 * Invariants: what was hashed for the authority is what is sent; what is read from the store
 * is charged to the request's share of memory; an answer is given once the end is durable.
 * See: turn_table.c, KIND_CONTENT; content.c; conversations.c, stored.c, files.c; history.c.
 */
#include "keep.h"

#include <stdlib.h>

#include <base/cleanup.h>
#include <base/encode.h>
#include <base/rand.h>

#include <pasted/pasted.h>
#include "request.h"
#include "routes.h"

#define CONTENT_MS_MAX 15000 /* one operation, beside RUN_GRACE_MS */

static void on_done(struct content *c, void *ctx);

static const struct content_ops content_ops = { on_done, keep_failed, keep_room };

struct keep *
keep_of(struct turn *t)
{
	if (t->keep == NULL) {
		t->keep = calloc(1, sizeof(*t->keep));
		if (t->keep != NULL)
			content_reset(&t->keep->op);
	}
	return t->keep;
}

void
keep_cancel(struct turn *t)
{
	if (t->keep != NULL)
		content_cancel(&t->keep->op);
}

void
keep_free(struct turn *t)
{
	if (t->keep == NULL)
		return;
	content_reset(&t->keep->op);
	free(t->keep);
	t->keep = NULL;
}

bool
keep_room(void *turn, size_t more)
{
	struct turn *t = turn;

	return is_ok(request_charge(t->r, more));
}

struct status
keep_new_id(const char *prefix, char ret[CONTENT_ID_MAX + 1])
{
	uint8_t random[CONTENT_ID_RANDOM / 2];
	size_t len = strlen(prefix);

	TRY(rand_bytes(random, sizeof(random)));
	memcpy(ret, prefix, len);
	hex_encode(span_of(random, sizeof(random)), ret + len);
	ret[len + 2 * sizeof(random)] = '\0';
	return OK;
}

bool
keep_id_ok(struct span id)
{
	for (size_t i = 0; i < id.len; i++) {
		uint8_t c = id.ptr[i], lower = c | 0x20;

		if (!(lower >= 'a' && lower <= 'z') && !(c >= '0' && c <= '9') && c != '_' &&
		    c != '-')
			return false;
	}
	return id.len > 0 && id.len <= CONTENT_ID_MAX;
}

enum error
keep_error(struct status st)
{
	if (st.code == E_DENIED)
		return ERROR_CREDENTIAL_IN_CONTENT;
	if (st.code == E_EXISTS)
		return ERROR_CONTENT_EXISTS;
	if (st.code == E_RANGE || st.code == E_FULL)
		return ERROR_BODY_TOO_LARGE;
	return ERROR_OVERLOADED;
}

/* ---- a request that is one operation ---- */

static void
admit(struct turn *t, bool mask)
{
	struct keep *k = t->keep;
	struct status st = content_prepare(&k->op, &k->req, mask, t->digest);

	if (is_ok(st))
		st = request_charge(t->r, k->op.request.len);
	if (!is_ok(st)) {
		turn_refuse(t, keep_error(st));
		return;
	}
	t->admit.size_bytes = (uint32_t)t->r->body.len;
	t->admit.body_len = (uint32_t)k->op.request.len;
	memcpy(t->admit.digest, t->digest, DIGEST_LEN);
	turn_admit(t, KIND_CONTENT);
}

void
keep_ask(struct request *r, enum content_op op, enum content_kind kind, struct span id,
    const struct content_request *req, struct content_item *items)
{
	struct turn *t = &r->turn;
	struct keep *k = keep_of(t);

	if (k == NULL) {
		turn_refuse(t, ERROR_OVERLOADED);
		return;
	}
	k->req = *req;
	k->items = items;
	t->admit.endpoint = (uint8_t)r->route->endpoint;
	t->admit.content_op = (uint8_t)op;
	t->admit.content_kind = (uint8_t)kind;
	t->admit.content_id = id;
	admit(t, false);
}

static struct status
mask_span(struct arena *a, struct span *text)
{
	auto_buf struct buf out = BUF_INIT(2UL * CONTENT_BLOB_MAX);

	if (!pasted_any(*text))
		return OK;
	TRY(pasted_mask(*text, &out));
	return arena_copy(a, buf_span(&out), text);
}

struct status
keep_mask(struct arena *a, struct span *meta, struct content_item *items, uint32_t nitems)
{
	TRY(mask_span(a, meta));
	for (uint32_t i = 0; i < nitems; i++)
		TRY(mask_span(a, &items[i].json));
	return OK;
}

/* Action of TURN_ADMIT: the same without credentials of others. A file is never changed. */
void
keep_again(struct turn *t)
{
	struct keep *k = t->keep;
	struct status st = fail(E_DENIED);

	if (t->admitted.mask != 0 && k->req.body.len == 0)
		st = keep_mask(&t->r->arena, &k->req.meta, k->items, k->req.items.count);
	if (st.code == E_DENIED)
		t->r->detail = "the policy of this key masks it, and a file is not changed";
	if (!is_ok(st)) {
		turn_refuse(t, keep_error(st));
		return;
	}
	t->admit.credentials = CREDENTIALS_MASKED;
	admit(t, true);
}

void
keep_run(struct turn *t, const struct content_ops *ops)
{
	struct gateway *g = t->r->g;
	struct content *c = &t->keep->op;

	c->ops = ops;
	c->ctx = t;
	timeout_set_longer(
	    &g->timeouts, &t->run_timer, TIMEOUT_RUN, CONTENT_MS_MAX, gateway_now(g));
	if (!is_ok(content_start(c, g->store, t->grant)))
		turn_fail(t, ERROR_UNAVAILABLE);
}

/* Action of TURN_RUN. */
void
keep_start(struct turn *t)
{
	keep_run(t, &content_ops);
}

static void
on_done(struct content *c, void *ctx)
{
	struct turn *t = ctx;
	struct status st = content_read(c, &t->r->arena, &t->keep->answer);

	turn_run_ended(t);
	if (is_ok(st))
		turn_event(t, TURN_ANSWERED);
	else
		turn_fail(t, st.code == E_NOMEM ? ERROR_OVERLOADED : ERROR_INTERNAL);
}

void
keep_failed(struct content *c, enum error error, void *ctx)
{
	struct turn *t = ctx;

	(void)c;
	if (error == ERROR_CREDENTIAL_IN_CONTENT)
		t->r->detail = "one of a provider, or of Vault, is never kept";
	turn_fail(t, error);
}

void
keep_finish(struct turn *t)
{
	t->r->route->kept(t, &t->keep->answer);
}
