/* SPDX-License-Identifier: Apache-2.0 */
/*
 * credential_wait.c: who asks for a credential, and who waits for it.
 *
 * Runs in: broker. Trusts: its callers.
 * Owns: the requests that wait.
 * Invariants: a request waits for a bounded time, and not at all for a source that has just failed;
 * it hears once.
 * See: credential.h, credential.c.
 */
#include "credential_internal.h"

#include <stdlib.h>

bool
credential_usable(const struct credential *c, const struct credential_version *v)
{
	return v != NULL && credential_now(c) < v->expires_ms;
}

static bool
was_tried(const struct credential_tried *tried, const struct credential_version *v)
{
	for (unsigned i = 0; i < tried->count; i++) {
		if (tried->version[i] == v)
			return true;
	}
	return false;
}

static const uint16_t fault_codes[SECRET_FAULT_COUNT] = {
	[SECRET_FAULT_NONE] = E_CLOSED,
	[SECRET_UNREACHABLE] = E_CLOSED,
	[SECRET_SEALED] = E_CLOSED,
	[SECRET_THROTTLED] = E_CLOSED,
	[SECRET_LOGIN] = E_DENIED,
	[SECRET_DENIED] = E_DENIED,
	[SECRET_NOT_FOUND] = E_NOTFOUND,
	[SECRET_INVALID] = E_DENIED,
	[SECRET_EXPIRED] = E_DENIED,
	[SECRET_TAMPERED] = E_DENIED,
	[SECRET_FAILED] = E_CLOSED,
	[SECRET_UNRECORDED] = E_CLOSED,
};

static bool
under_way(const struct credential *c)
{
	return c->life.flight == LIFETIME_READ || c->life.flight == LIFETIME_PREVIOUS;
}

/* Will a reading begin, or end, without waiting for a source that has just failed? */
static bool
soon(const struct credential *c)
{
	return under_way(c) || (c->life.want_read && credential_now(c) >= c->life.not_before_ms);
}

/* What a request that was refused with the version in use gets next. */
static struct status
pick_other(
    struct credential *c, const struct credential_tried *tried, struct credential_version **ret)
{
	if (lifetime_rejected(&c->life, c->life.version, credential_now(c)))
		return fail(E_AGAIN);
	if (credential_usable(c, c->before) && !was_tried(tried, c->before)) {
		*ret = c->before;
		return OK;
	}
	if (c->before == NULL && lifetime_want_previous(&c->life))
		return fail(E_AGAIN);
	return fail(E_NOTFOUND);
}

static struct status
pick(struct credential *c, const struct credential_tried *tried, struct credential_version **ret)
{
	if (credential_usable(c, c->now) && !was_tried(tried, c->now)) {
		*ret = c->now;
		return OK;
	}
	if (c->ops == NULL)
		return fail(E_NOTFOUND);
	if (tried->count >= CREDENTIAL_TRIES_MAX)
		return fail(E_NOTFOUND);
	if (credential_usable(c, c->now))
		return pick_other(c, tried, ret);
	return soon(c) ? fail(E_AGAIN) : fail((enum code)fault_codes[c->fault]);
}

static void
wait_free(struct credential_wait *w)
{
	TAILQ_REMOVE(w->decided ? &w->c->decided : &w->c->waits, w, entry);
	w->c->nwaits--;
	credential_release(w->version);
	for (unsigned i = 0; i < w->tried.count; i++)
		credential_release((struct credential_version *)(uintptr_t)w->tried.version[i]);
	free(w);
}

static struct status
wait_new(struct credential *c, const struct credential_tried *tried, credential_done *done,
    void *ctx, struct credential_wait **ret)
{
	struct credential_wait *w;

	if (c->nwaits == CREDENTIAL_WAITS_MAX)
		return fail(E_FULL);
	w = calloc(1, sizeof(*w));
	if (w == NULL)
		return fail(E_NOMEM);
	*w = (struct credential_wait){ .c = c,
		.tried = *tried,
		.until_ms = credential_now(c) + CREDENTIAL_WAIT_MS,
		.done = done,
		.ctx = ctx };
	for (unsigned i = 0; i < tried->count; i++)
		credential_ref((struct credential_version *)(uintptr_t)tried->version[i]);
	TAILQ_INSERT_TAIL(&c->waits, w, entry);
	c->nwaits++;
	*ret = w;
	return OK;
}

/* Those whose answer is there, or whose time is over, are told once all are decided. */
static void
decide_waits(struct credential *c)
{
	struct credential_wait *w, *next;
	uint64_t now = credential_now(c);

	for (w = TAILQ_FIRST(&c->waits); w != NULL; w = next) {
		next = TAILQ_NEXT(w, entry);
		w->end = pick(c, &w->tried, &w->version);
		if (w->end.code == E_AGAIN && now < w->until_ms)
			continue;
		if (w->end.code == E_AGAIN)
			w->end = fail(E_CLOSED);
		if (is_ok(w->end))
			credential_ref(w->version);
		else
			w->version = NULL;
		TAILQ_REMOVE(&c->waits, w, entry);
		TAILQ_INSERT_TAIL(&c->decided, w, entry);
		w->decided = true;
	}
}

void
credential_serve(struct credential *c)
{
	struct credential_wait *w;

	decide_waits(c);
	while ((w = TAILQ_FIRST(&c->decided)) != NULL) {
		struct credential_wait one = *w;

		w->version = NULL; /* the callee's now */
		wait_free(w);
		one.done(one.ctx, one.end, one.version);
	}
}

struct status
credential_get(struct credential *c, const struct credential_tried *tried, credential_done *done,
    void *ctx, struct credential_wait **ret_wait, struct credential_version **ret)
{
	struct status st = pick(c, tried, ret);

	if (is_ok(st))
		credential_ref(*ret);
	if (st.code != E_AGAIN)
		return st;
	TRY(wait_new(c, tried, done, ctx, ret_wait));
	credential_act(c);
	return fail(E_AGAIN);
}

struct credential_version *
credential_other(const struct credential *c, const struct credential_version *v)
{
	struct credential_version *other = c == NULL ? NULL : v == c->now ? c->before : c->now;

	if (other == NULL || other == v)
		return NULL;
	credential_ref(other);
	return other;
}

void
credential_cancel(struct credential_wait *w)
{
	wait_free(w);
}

void
credential_refuse(struct credential *c)
{
	while (!TAILQ_EMPTY(&c->waits)) {
		struct credential_wait *w = TAILQ_FIRST(&c->waits);
		credential_done *done = w->done;
		void *ctx = w->ctx;

		wait_free(w);
		done(ctx, fail(E_CLOSED), NULL);
	}
}
