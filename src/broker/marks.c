/* SPDX-License-Identifier: Apache-2.0 */
/*
 * marks.c: the credentials in use, as the store may know them.
 *
 * Runs in: broker. Trusts: nothing of the store. Owns: the key of the marks, for its life; a timer.
 * Invariants: no credential leaves, nothing of it but a length and keyed hashes; one is told before
 * it is first used, with the one before it; what could not be told is told again until it was; a
 * credential that is not looked for is in the diagnostics.
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
	uv_timer_t timer;    /* runs while the store has not heard of all */
	bool timed;          /* there is one */
	uint32_t beyond;     /* so many without a mark, as was said last */
} self;

/* What is put together. */
struct list {
	struct known_mark *marks;
	uint32_t n, beyond;
	struct status st;
};

static struct status
need_key(void)
{
	if (self.known != NULL)
		return OK;
	TRY(rand_bytes(self.key, sizeof(self.key)));
	return known_new(self.key, &self.known);
}

static void
say_unfit(const struct credential *c, struct credential_version *v)
{
	if (!v->unfit_said)
		diag(DIAG_WARN,
		    "%s: it is too short, filler or a stopgap, and is not looked for in what is "
		    "kept",
		    c->spec);
	v->unfit_said = true;
}

static void
put_mark(const struct credential *c, struct credential_version *v, struct list *l)
{
	struct status st;

	if (v == NULL || v->value.len == 0)
		return;
	if (!known_fit(secret_borrow(&v->value))) {
		say_unfit(c, v);
		return;
	}
	if (l->n == KNOWN_MAX) {
		l->beyond++;
		return;
	}
	st = known_mark(self.known, secret_borrow(&v->value), &l->marks[l->n]);
	if (is_ok(st))
		l->n++;
	else
		l->st = st;
}

/* Those that are used now first: those before them end soon. */
static void
put_all(const struct broker *b, struct list *l)
{
	const struct credential *c;

	LIST_FOREACH(c, &b->credentials, entry)
	put_mark(c, c->now, l);
	LIST_FOREACH(c, &b->credentials, entry)
	put_mark(c, c->before, l);
	if (l->beyond > self.beyond)
		diag(DIAG_ERROR,
		    "%u credentials are not looked for in what is kept: more than %u are in use",
		    l->beyond, KNOWN_MAX);
	self.beyond = l->beyond;
}

static struct status
tell(struct broker *b, struct known_mark *marks)
{
	struct list l = { .marks = marks, .st = OK };
	struct sb_credentials m;

	TRY(need_key());
	put_all(b, &l);
	m = (struct sb_credentials){ .marks = { marks, l.n } };
	memcpy(m.key, self.key, sizeof(m.key));
	TRY(link_send(b->store, 0, SB_CREDENTIALS, &m));
	return l.st;
}

static struct status
tell_store(struct broker *b)
{
	struct known_mark *marks;
	struct status st;

	if (b->store == NULL)
		return OK; /* it hears of all when it comes */
	marks = calloc(KNOWN_MAX, sizeof(*marks));
	st = marks == NULL ? fail(E_NOMEM) : tell(b, marks);
	free(marks);
	return st;
}

static void
on_timer(uv_timer_t *t)
{
	if (is_ok(tell_store(t->data)))
		(void)uv_timer_stop(t);
}

static void
tell_again(struct broker *b)
{
	if (!self.timed)
		(void)uv_timer_init(b->d->loop, &self.timer);
	self.timed = true;
	self.timer.data = b;
	(void)uv_timer_start(&self.timer, on_timer, MARKS_AGAIN_MS, MARKS_AGAIN_MS);
}

void
marks_tell(struct broker *b)
{
	struct status st = tell_store(b);

	if (is_ok(st))
		return;
	diag(DIAG_ERROR, "the store does not hear of credentials yet: %s", status_text(st));
	tell_again(b);
}

void
marks_end(void)
{
	if (self.timed)
		uv_close((uv_handle_t *)&self.timer, NULL);
	self.timed = false;
	self.beyond = 0;
}
