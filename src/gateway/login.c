/* SPDX-License-Identifier: Apache-2.0 */
/*
 * login.c: GET /auth/login: by which identity providers people sign in from a terminal.
 *
 * Runs in: gateway. Trusts: the configuration. Owns: the answer, made when that is loaded.
 * Invariants: who is to sign in has no credential yet, so this is the one path that is answered
 * without one; only where an issuer has a `login_client_id` (else it is 401 like any other), only
 * this very request, only what the provider's own pages tell anybody, and no source more often than
 * it may fail (request.c).
 * See: src/cli/login.c; docs/api.md.
 */
#include <json/write.h>

#include "request.h"
#include "routes.h"

#define PATH "/auth/login"

static void
put_issuer(const struct conf *c, unsigned i, struct json_writer *w)
{
	json_put_object(w);
	json_put_key(w, "issuer");
	json_put_text(w, conf_strf(c, "oidc.%u.issuer", i));
	json_put_key(w, "client_id");
	json_put_text(w, conf_strf(c, "oidc.%u.login_client_id", i));
	json_put_key(w, "scope");
	json_put_text(w, conf_strf(c, "oidc.%u.login_scope", i));
	json_put_end(w);
}

void
login_configure(struct gateway *g)
{
	struct json_writer w = json_writer(&g->login);

	g->login.max = LOGIN_ANSWER_MAX;
	buf_clear(&g->login);
	g->login_is_public = false;
	json_put_object(&w);
	json_put_key(&w, "issuers");
	json_put_array(&w);
	for (unsigned i = 0; conf_strf(g->d->conf, "oidc.%u.issuer", i) != NULL; i++) {
		if (conf_strf(g->d->conf, "oidc.%u.login_client_id", i) == NULL)
			continue;
		put_issuer(g->d->conf, i, &w);
		g->login_is_public = true;
	}
	json_put_end(&w);
	json_put_end(&w);
	if (!is_ok(json_writer_finish(&w)))
		g->login_is_public = false;
}

bool
login_is_public(const struct request *r)
{
	return r->g->login_is_public && span_eq_str(r->http.method, "GET") && !r->http.target_bad &&
	       span_eq_str(r->http.path, PATH) && r->http.query.len == 0 && r->body.len == 0;
}

void
login_answer(struct request *r)
{
	reply_json(r, 200, buf_span(&r->g->login));
	request_over(r);
}

/* Nobody signs in here by a terminal: it is there for every valid key, as the description is. */
void
login_run(struct request *r)
{
	r->turn.admit.endpoint = ENDPOINT_OPENAPI;
	turn_admit(&r->turn, KIND_PLAIN);
}

void
login_told(struct turn *t, const struct ga_admitted *m)
{
	(void)m;
	reply_json(t->r, 200, buf_span(&t->r->g->login));
}
