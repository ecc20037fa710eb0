/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unfit.c: rows that were changed behind the store's back: on record, shown, and perhaps accepted.
 *
 * Runs in: authority. Trusts: the store; whoever may open the management socket.
 * Owns: what the log says of it. Invariants: it is on record once for each time that it
 * is found, however often the store says so; nothing is accepted without a durable intent, and only
 * what was shown; what was loaded before somebody accepted it, or put it right, serves nobody until
 * it is loaded anew.
 * See: unfit.h; src/store/sum.c; admin_op.h.
 */
#include <json/write.h>

#include "admin_op.h"

static void unfit_tell(struct authority *a);
static void on_intent(struct admin_op *op);
static void on_accepted(struct authority *a, void *ctx, enum code code, const void *answered);

#define NAMES_MAX sizeof(((struct admin_op *)NULL)->value_text)

static const char *
names_of(uint8_t sums, char out[NAMES_MAX])
{
	size_t at = 0;

	out[0] = '\0';
	for (unsigned sum = 0; sum < SUM_COUNT; sum++) {
		if ((sums & 1U << sum) != 0)
			at += (size_t)snprintf(out + at, NAMES_MAX - at, "%s%s", at == 0 ? "" : " ",
			    as_sum_names[sum]);
	}
	return out;
}

/* ---- on record ---- */

static void
on_told(struct authority *a, void *ctx, struct status st, uint64_t seq)
{
	(void)seq;
	a->unfit.telling = false;
	if (!is_ok(st))
		return; /* tried again with the next tick */
	a->unfit.told = (uint8_t)(uintptr_t)ctx;
	unfit_tell(a);
}

static void
unfit_tell(struct authority *a)
{
	const struct record_who who = { .config = a->d->generation };
	struct unfit *u = &a->unfit;
	struct batch b = { .n = 0 };
	char names[NAMES_MAX];

	u->told &= u->sums; /* what fits again is told of anew when it does not */
	if (u->telling || u->told == u->sums)
		return;
	(void)batch_add(&b, EVENT_STORE_TAMPERED, &who, "process", SPAN_LIT("store"));
	batch_outcome(&b, AUDIT_FAILURE, AUDIT_CAUSE_NONE);
	batch_text(&b, names_of(u->sums, names));
	u->telling = is_ok(audit_append(a, &b, on_told, (void *)(uintptr_t)u->sums));
}

void
unfit_on_message(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	struct authority *a = ((struct peer *)ctx)->a;
	const struct as_unfit *m = msg;

	(void)l, (void)id;
	if (a->unfit.sums != m->sums && m->sums != 0)
		diag(DIAG_ERROR, "the store has rows that are not its own");
	a->unfit.sums = m->sums;
	a->unfit.stops = a->unfit.stops || (m->sums & 1U << SUM_PEOPLE) != 0;
	unfit_tell(a);
}

void
unfit_on_loaded(struct authority *a)
{
	a->unfit.stops = (a->unfit.sums & 1U << SUM_PEOPLE) != 0;
}

bool
unfit_stops(const struct authority *a)
{
	return a->unfit.stops;
}

void
unfit_tick(struct authority *a)
{
	unfit_tell(a);
}

/* ---- an operator says that they are true ---- */

struct status
operator_store_accept(struct admin_call *c)
{
	struct admin_op *op = NULL;

	if (c->a->unfit.sums == 0)
		return admin_refuse(c, 409, "nothing_to_accept", "All rows are the store's own.");
	TRY(admin_op_new(c, OP_STORE_ACCEPT, &op));
	op->body = BUF_INIT(ADMIN_BODY_MAX);
	op->unfit = c->a->unfit.sums;
	return admin_op_begin(op, on_intent, c->op);
}

static void
put_accepted(struct admin_op *op, struct batch *b, const struct record_who *who)
{
	(void)batch_add(b, EVENT_STORE_ACCEPTED, who, "process", SPAN_LIT("store"));
	batch_text(b, names_of(op->unfit, op->value_text));
	admin_put_by(op, b);
}

const struct admin_kind admin_store_accept_kind = { put_accepted, NULL, false, ADMIN_WAIT_MS };

static void
on_intent(struct admin_op *op)
{
	const struct as_unfit m = { .sums = op->unfit };

	admin_op_ask(op, AS_ACCEPT, &m, AS_DONE, on_accepted);
}

static struct status
put_what(struct admin_op *op)
{
	struct json_writer w = json_writer(&op->body);
	char names[NAMES_MAX];

	json_put_object(&w);
	json_put_key(&w, "accepted");
	json_put_text(&w, names_of(op->unfit, names));
	json_put_end(&w);
	return json_writer_finish(&w);
}

/* What is there is loaded, as at the start. */
static void
on_accepted(struct authority *a, void *ctx, enum code code, const void *answered)
{
	struct admin_op *op = ctx;

	(void)answered;
	if (code == E_AGAIN || code == E_NOTFOUND) {
		admin_op_finish(op, 409, "nothing_to_accept",
		    "It is something else by now; `sallyport status` shows what.");
		return;
	}
	if (code != E_OK) {
		admin_op_finish(op, 503, "store_unavailable", "The store did not accept it.");
		return;
	}
	if (a->store.link != NULL)
		store_on_link(a);
	if (is_ok(put_what(op)))
		admin_op_finish(op, 200, NULL, NULL);
	else
		admin_op_finish(op, 500, "internal_error", "It is accepted.");
}
