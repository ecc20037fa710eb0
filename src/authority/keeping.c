/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keeping.c: may a response be kept, and what may stand in what is kept.
 *
 * Runs in: authority. Trusts: the gateway for what a scan of the body found. Owns: nothing.
 * Invariants: without the right to see it again nothing is kept.
 * See: wire/gateway_authority.h, ga_admit.store, credentials; docs/api.md.
 */
#include "authority.h"

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
