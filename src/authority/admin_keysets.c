/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_keysets.c: keys in versions, of which the newest is used: another version on demand and
 * when it is due; how much still needs the older ones.
 *
 * Runs in: authority. Trusts: whoever may open the management socket; the store, which keeps them.
 * Owns: nothing. Invariants: no version is made without a durable intent; what the schedule begins
 * is on record like what an operator does; one whose answer was lost is found at the next look, and
 * loaded: a look itself brings no key.
 * See: admin_op.h; src/store/keyset.c; signers.c, peppers.c, key_rehash.c.
 */
#include "admin_op.h"

#include <json/write.h>

#define LOOK_MS 60000 /* how often it is asked whether one is due */
#define DAY_S 86400ULL

static void on_intent(struct admin_op *op);
static void on_rotated(struct authority *a, void *ctx, enum code code, const void *answered);
static void on_show_record(struct admin_op *op);
static void on_shown(struct authority *a, void *ctx, enum code code, const void *answered);
static void on_look(struct authority *a, void *ctx, enum code code, const void *answered);

static struct status
take_session_key(struct authority *a, const struct as_keyset *m)
{
	return signers_put(&a->sessions, m->version, m->created_s, m->key, a->keys.load);
}

static struct status
take_pepper(struct authority *a, const struct as_keyset *m)
{
	return keys_put_pepper(&a->keys, m->version, m->key);
}

static uint32_t
newest_session_key(const struct authority *a)
{
	const struct token_signer *s = signers_newest(&a->sessions);

	return s == NULL ? 0 : s->version;
}

static uint32_t
newest_pepper(const struct authority *a)
{
	return a->keys.newest;
}

static const struct {
	const char *name;   /* on record */
	const char *status; /* what reading it is called there */
	const char *days;   /* of its schedule */
	struct status (*take)(struct authority *a, const struct as_keyset *m);
	uint32_t (*newest)(const struct authority *a); /* that is here */
} kinds[KEYSET_COUNT] = {
	[KEYSET_SESSION] = { "session", "session-keys.status", "sessions.rotate_days",
	    take_session_key, newest_session_key },
	[KEYSET_PEPPER] = { "pepper", "pepper.status", "keys.pepper_days", take_pepper,
	    newest_pepper },
};

/* The store's newest version is ours, too. */
static struct status
take(struct authority *a, const struct as_keyset *m)
{
	if (m->what <= KEYSET_NONE || m->what >= KEYSET_COUNT)
		return fail(E_PROTO);
	return kinds[m->what].take(a, m);
}

/* With `op`: who is left, too. */
static struct status
put_state(const struct admin_op *op, const struct as_keyset *m, struct buf *out)
{
	struct json_writer w = json_writer(out);

	json_put_object(&w);
	json_put_key(&w, "what");
	json_put_text(&w, kinds[m->what].name);
	json_put_key(&w, "version");
	json_put_u64(&w, m->version);
	json_put_key(&w, "versions");
	json_put_u64(&w, m->versions);
	json_put_key(&w, "left");
	json_put_u64(&w, m->left);
	json_put_key(&w, "created_s");
	json_put_u64(&w, m->created_s);
	if (op != NULL && m->what == KEYSET_PEPPER)
		key_rehash_put_left(op->a, op->after_key, &w);
	json_put_end(&w);
	return json_writer_finish(&w);
}

/* ---- another version ---- */

struct status
admin_rotate_keyset(const struct admin_call *c, enum as_keysets what, bool scheduled)
{
	struct admin_op *op = NULL;

	TRY(admin_op_new(c, OP_KEYSET_ROTATE, &op));
	op->body = BUF_INIT(ADMIN_BODY_MAX);
	op->keyset = what;
	op->scheduled = scheduled;
	return admin_op_begin(op, on_intent, c->op);
}

static void
put_rotated(struct admin_op *op, struct batch *b, const struct record_who *who)
{
	(void)batch_add(b, EVENT_KEYS_ROTATED, who, "keys", span_str(kinds[op->keyset].name));
	batch_text(b, kinds[op->keyset].name);
	batch_u64_if(b, op->version);
	batch_text(b, op->scheduled ? "schedule" : "demand");
	admin_put_by(op, b);
}

const struct admin_kind admin_keyset_rotate_kind = { put_rotated, NULL, false, ADMIN_WAIT_MS };

static void
refuse_more(struct admin_op *op)
{
	admin_op_finish(op, 409, "too_many_versions",
	    "As many older versions as can be kept are still needed.");
}

static void
on_intent(struct admin_op *op)
{
	const struct as_keyset_ref m = { .what = (uint8_t)op->keyset };

	if (op->keyset == KEYSET_PEPPER && !keys_pepper_fits(&op->a->keys)) {
		refuse_more(op);
		return;
	}
	admin_op_ask(op, AS_KEYSET_ROTATE, &m, AS_KEYSET, on_rotated);
}

static void
on_rotated(struct authority *a, void *ctx, enum code code, const void *answered)
{
	const struct as_keyset *m = answered;
	struct admin_op *op = ctx;

	if (code == E_FULL) {
		refuse_more(op);
		return;
	}
	if (code != E_OK || m == NULL) {
		admin_op_finish(
		    op, 503, "store_unavailable", "The store did not make another version.");
		return;
	}
	op->version = m->version;
	if (is_ok(take(a, m)) && is_ok(put_state(NULL, m, &op->body))) {
		admin_op_finish(op, 200, NULL, NULL);
		return;
	}
	admin_op_doubt(op);
	admin_op_finish(op, 500, "internal_error", "It is kept, and not in use yet.");
}

/* ---- how far it is ---- */

struct status
admin_show_keyset(struct admin_call *c, enum as_keysets what)
{
	const struct span after = admin_query(c, "after");
	const struct key *behind = after.len > 0 ? keys_find(&c->a->keys, after) : NULL;
	struct admin_op *op = NULL;

	if (after.len > 0 && behind == NULL)
		return admin_refuse_not_found(c);
	TRY(admin_op_new(c, OP_KEYSET_STATUS, &op));
	op->after_key = behind == NULL ? 0 : behind->index + 1;
	op->body = BUF_INIT(ADMIN_BODY_MAX);
	op->keyset = what;
	return admin_op_begin(op, on_show_record, c->op);
}

static void
put_shown(struct admin_op *op, struct batch *b, const struct record_who *who)
{
	(void)batch_add(b, EVENT_ADMIN, who, "admin", span_str(kinds[op->keyset].name));
	batch_text(b, kinds[op->keyset].status);
	admin_put_by(op, b);
}

static void
on_show_record(struct admin_op *op)
{
	const struct as_keyset_ref m = { .what = (uint8_t)op->keyset };

	admin_op_ask(op, AS_KEYSET_STATUS, &m, AS_KEYSET, on_shown);
}

static void
on_shown(struct authority *a, void *ctx, enum code code, const void *answered)
{
	const struct as_keyset *m = answered;
	struct admin_op *op = ctx;

	(void)a;
	if (code != E_OK || m == NULL)
		admin_op_answer(op, 503, "store_unavailable", "The store did not answer.");
	else if (is_ok(put_state(op, m, &op->body)))
		admin_op_answer(op, 200, NULL, NULL);
	else
		admin_op_answer(op, 500, "internal_error", "The state could not be shown.");
}

const struct admin_kind admin_keyset_status_kind = { put_shown, NULL, true, ADMIN_WAIT_MS };

/* ---- when it is due ---- */

/* A clock that went back makes nothing due. */
bool
rotation_is_due(uint64_t started_s, uint64_t days)
{
	uint64_t now = now_real_s();

	return days > 0 && started_s > 0 && now > started_s && now - started_s >= days * DAY_S;
}

/* What the store has and we have not comes with a LOAD; what it has not is not needed. */
static void
follow(struct authority *a, const struct as_keyset *m)
{
	if (m->version > kinds[m->what].newest(a) && !a->keys.loading)
		store_on_link(a);
	else if (m->what == KEYSET_PEPPER && m->versions == 1)
		keys_retire_peppers(&a->keys);
}

static void
on_look(struct authority *a, void *ctx, enum code code, const void *answered)
{
	const struct as_keyset *m = answered;
	struct admin_op *op = NULL;
	const struct admin_call call = { .a = a, .op = &op };
	struct status st;

	(void)ctx;
	if (code != E_OK || m == NULL || m->what <= KEYSET_NONE || m->what >= KEYSET_COUNT)
		return;
	follow(a, m);
	if (!rotation_is_due(m->created_s, conf_u64(a->d->conf, kinds[m->what].days)))
		return;
	st = admin_rotate_keyset(&call, (enum as_keysets)m->what, true);
	if (!is_ok(st))
		diag(DIAG_WARN, "the keys of %s: %s", kinds[m->what].name, status_text(st));
}

void
keysets_tick(struct authority *a)
{
	if (!a->loaded || unfit_stops(a) || now_ms(a) < a->keysets_look_ms)
		return;
	a->keysets_look_ms = now_ms(a) + LOOK_MS;
	for (enum as_keysets what = KEYSET_SESSION; what < KEYSET_COUNT; what++) {
		const struct as_keyset_ref m = { .what = (uint8_t)what };

		if (!is_ok(store_ask(a, AS_KEYSET_STATUS, &m, AS_KEYSET, on_look, NULL)))
			diag(DIAG_DEBUG, "the store is away");
	}
}
