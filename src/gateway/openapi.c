/* SPDX-License-Identifier: Apache-2.0 */
/*
 * openapi.c: GET /openapi.json: what this service offers, for programs.
 *
 * Runs in: gateway. Trusts: nothing. Owns: nothing.
 * Invariants: the same for every key: docs/openapi.yaml, made JSON by the build
 * (schema/openapi.py), with the schemas by which bodies are checked.
 * See: tests/system/test_openapi.py, which holds it against the routes.
 */
#include "request.h"
#include "routes.h"

void
openapi_run(struct request *r)
{
	r->turn.admit.endpoint = ENDPOINT_OPENAPI;
	turn_admit(&r->turn, KIND_PLAIN);
}

void
openapi_told(struct turn *t, const struct ga_admitted *m)
{
	(void)m;
	reply_json(t->r, 200, schema_openapi);
}
