/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keeping.c: may a response be kept, what may stand in what is kept, and keys of ours that
 * were pasted.
 *
 * Runs in: authority. Trusts: the gateway for what a scan of the body found. Owns: nothing.
 * Invariants: without the right to see it again nothing is kept; a key is believed to have
 * leaked only where all of it is right, so that nobody has another's revoked by its id.
 * See: wire/gateway_authority.h, ga_admit.store, credentials, leaked; docs/api.md.
 */
#include "authority.h"

#include <unistd.h>

#include <base/clock.h>
#include <keytext/keytext.h>

#include "admin_call.h"

enum error
keeping_decide(struct turn *t, const struct ga_admit *m)
{
	const struct permit may = key_permit(t->key);
	bool can = t->a->policies.keeps_responses &&
		   permit_has(&may, LIST_ENDPOINTS,
		       span_str(endpoint_rows[ENDPOINT_STORED_RESPONSES].name));

	if (may.policy == NULL)
		return ERROR_DENIED;
	if (m->credentials == CREDENTIALS_FOUND && may.policy->credentials == POLICY_REFUSES)
		return ERROR_CREDENTIAL_IN_CONTENT;
	t->masks = may.policy->credentials != POLICY_KEEPS;
	if (m->endpoint != ENDPOINT_RESPONSES)
		return ERROR_NONE;
	t->keeps = can && m->store != STORE_NO;
	return m->store == STORE_ASKED && !can ? ERROR_DENIED : ERROR_NONE;
}

bool
keeping_asks_anew(const struct policy *p, const struct ga_admit *m)
{
	return p->credentials == POLICY_MASKS && m->credentials == CREDENTIALS_FOUND &&
	       (m->content_op == CONTENT_CREATE || m->content_op == CONTENT_UPDATE);
}

/* ---- keys of ours ---- */

bool
leak_is_due(const struct ga_admit *m)
{
	return m->leaked.len % KEY_TEXT_LEN == 0 && m->leaked_home <= m->leaked.len / KEY_TEXT_LEN;
}

void
leak_take(const struct authority *a, const struct ga_admit *m, struct leaked *ret)
{
	size_t abroad = m->leaked.len - m->leaked_home * (size_t)KEY_TEXT_LEN;

	*ret = (struct leaked){ .n = 0 };
	if (m->refused != ERROR_LEAKED_KEY)
		return;
	for (size_t at = 0; at < m->leaked.len; at += KEY_TEXT_LEN) {
		const struct key *key = keys_check(
		    &a->keys, span_of(m->leaked.ptr + at, KEY_TEXT_LEN), now_real_s());
		size_t i = 0;

		while (i < ret->n && ret->keys[i] != key)
			i++;
		if (key != NULL && i == ret->n)
			ret->keys[ret->n++] = key;
		if (at < abroad)
			ret->nabroad = ret->n;
	}
}

void
leak_put(struct batch *b, const struct record_who *who, const struct leaked *l)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct span id = span_of(l->keys[i]->id, KEY_ID_LEN);

		(void)batch_add(b, EVENT_KEY_LEAKED, who, "key", id);
		batch_str(b, id);
	}
}

static void
heard(void *ctx, uint16_t http, struct span body)
{
	(void)ctx, (void)body;
	if (http != 200)
		diag(DIAG_ERROR, "a leaked key could not be revoked");
}

static void
revoke_one(struct authority *a, const struct key *key)
{
	struct admin_op *op = NULL;
	const struct admin_call call = {
		.a = a, .uid = (uint32_t)getuid(), .reply = heard, .op = &op
	};
	struct status st = admin_revoke_key(&call, span_of(key->id, KEY_ID_LEN));

	if (!is_ok(st))
		diag(DIAG_ERROR, "a leaked key could not be revoked: %s", status_text(st));
}

void
leak_revoke(struct authority *a, const struct leaked *l)
{
	for (size_t i = 0; a->policies.revokes_leaked && i < l->nabroad; i++) {
		if (!admin_revokes(l->keys[i]))
			revoke_one(a, l->keys[i]);
	}
}
