/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_AUTHORITY_ADMIN_RIG_H
#define TESTS_AUTHORITY_ADMIN_RIG_H

/*
 * Persons at a gateway: what they ask for, exchange, and what the log says last.
 */
#define WORLD_KEYS 4 /* 0, 1: user u of t; 2: user v of t; 3: user u of x */
#include "authority_world.h"

static inline void
as(size_t key, uint8_t roles)
{
	user_set_marks(w.key[key]->user, roles, USER_ACTIVE, 0);
}

static inline struct reply *
ask_as(struct link *gw, struct span credential, const char *method, const char *path,
    const char *query, const char *body)
{
	struct ga_admin m = { .credential = credential,
		.method = span_str(method),
		.path = span_str(path),
		.query = span_str(query),
		.body = span_str(body) };

	m.source[15] = 9;
	m.request_id[0] = 3;
	return call(gw, GA_ADMIN, &m);
}

static inline struct reply *
ask(size_t key, const char *method, const char *path, const char *body)
{
	return ask_as(w.gw, span_of(w.text[key], KEYTEXT_LEN), method, path, "", body);
}

static inline struct reply *
exchange(struct span credential, const char *scope, uint32_t lifetime_s, struct span revoke)
{
	struct ga_token m = { .credential = credential,
		.scope = span_str(scope),
		.lifetime_s = lifetime_s,
		.revoke = revoke };

	m.request_id[0] = 4;
	return call(w.gw, GA_TOKEN, &m);
}

static inline const struct rec *
last(uint8_t event)
{
	for (size_t i = w.nrecs; i > 0; i--) {
		if (w.recs[i - 1].event == event)
			return &w.recs[i - 1];
	}
	return NULL;
}

static inline void
approval_path(const struct reply *r, char out[128])
{
	const char *id = strstr(r->body, "\"id\":\"");

	assert_non_null(id);
	(void)snprintf(out, 128, "/admin/v1/approvals/%.32s", id + 6);
}

#endif
