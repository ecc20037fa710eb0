/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_AUTHORITY_ACTS_RIG_H
#define TESTS_AUTHORITY_ACTS_RIG_H

/* Acts of administration, asked for by any key or by an operator, without a door. */
#define WORLD_KEYS 4
#include "authority_world.h"

#include <time.h>

#include <wire/role.h>

static struct {
	unsigned n;
	uint16_t http;
	char body[4096];
} said;

UNUSED static void
on_said(void *ctx, uint16_t http, struct span body)
{
	(void)ctx;
	said.n++;
	said.http = http;
	(void)snprintf(said.body, sizeof(said.body), "%.*s", SPAN_FMT(body));
}

/* Asked for by `by` (NULL: an operator): the status, 0 while it lasts. `path` may have a query. */
UNUSED static uint16_t
ask(struct key *by, const char *method, const char *path, const char *body)
{
	struct span all = span_str(path);
	size_t len = strcspn(path, "?");
	struct admin_op *op = NULL;
	struct admin_call c = { .a = w.a,
		.by = by,
		.reply = on_said,
		.op = &op,
		.method = span_str(method),
		.path = span_of(all.ptr, len),
		.query = span_from(all, len < all.len ? len + 1 : len),
		.body = span_str(body) };

	memset(&said, 0, sizeof(said));
	if (!is_ok(admin_dispatch(&c))) {
		(void)snprintf(said.body, sizeof(said.body), "%s", c.code);
		return c.http;
	}
	spin();
	return said.n == 0 ? 0 : said.http;
}

/* A session of key 0, by its token. */
UNUSED static struct key *
session(void)
{
	const struct ga_token m = { .credential = span_of(w.text[0], KEYTEXT_LEN) };
	struct reply *r = call(w.gw, GA_TOKEN, &m);

	assert_int_equal(r->error, ERROR_NONE);
	return sessions_find(w.a, span_str(r->body), now_real_s());
}

/* t/u, t/v and x/u are 0, 2 and 3. */
UNUSED static struct user *
be(size_t i, uint8_t roles)
{
	w.key[i]->user->roles = roles;
	return w.key[i]->user;
}

UNUSED static void
path_of(char out[64], const char *before, const struct key *key)
{
	(void)snprintf(out, 64, "%s%.12s", before, (const char *)key->id);
}

#endif
