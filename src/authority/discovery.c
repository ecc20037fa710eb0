/* SPDX-License-Identifier: Apache-2.0 */
/*
 * discovery.c: what an identity provider's discovery document says.
 *
 * Runs in: authority. Trusts: nothing in it.
 * Owns: nothing.
 * Invariants: a document that names another issuer is not used (OpenID Connect Discovery 1.0,
 * section 4.3); of all that it says only the URL of the keys is taken, and the broker asks that
 * only where the configuration allows it.
 * See: issuers.h; src/broker/issuer.c.
 */
#include "issuers.h"

#include <base/cleanup.h>
#include <json/json.h>

#define DEPTH_MAX 16
#define TOKENS_MAX 8192

struct status
discovery_parse(struct span body, struct span issuer, char ret_keys_url[ISSUER_KEYS_URL_MAX + 1])
{
	struct json_opts opts = JSON_STRICT;
	auto_json struct json_doc d = { .count = 0 };
	auto_buf struct buf url = BUF_INIT(ISSUER_KEYS_URL_MAX);

	opts.depth_max = DEPTH_MAX;
	opts.tokens_max = TOKENS_MAX;
	if (body.len > ISSUER_DOCUMENT_MAX)
		return fail(E_RANGE);
	TRY(json_init(&d, &opts));
	TRY(json_parse(&d, body));
	if (json_type(&d, 0) != JSON_OBJECT)
		return fail(E_SYNTAX);
	if (!json_str_eq(&d, json_get_str(&d, 0, "issuer"), issuer))
		return fail(E_DENIED);
	if (!is_ok(json_str_put(&d, json_get_str(&d, 0, "jwks_uri"), &url)) || url.len == 0)
		return fail(E_SYNTAX);
	return span_to_cstr(buf_span(&url), ret_keys_url, ISSUER_KEYS_URL_MAX + 1);
}
