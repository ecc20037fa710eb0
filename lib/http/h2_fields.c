/* SPDX-License-Identifier: Apache-2.0 */
/*
 * h2_fields.c: which fields HTTP/2 allows, in requests and in answers.
 *
 * Runs in: gateway, broker. Trusts: nothing. Owns: nothing.
 * Invariants: what HTTP/1.1 would read as another field or another message is refused.
 * See: RFC 9113 §8.2; h2_request.c, h2_response.c.
 */
#include "h2_fields.h"

#include "chars.h"
#include "framing.h"

/* About one connection: HTTP/2 says all of this in other ways (RFC 9113 §8.2.2). */
static const char *const forbidden[] = { "connection", "keep-alive", "proxy-connection",
	"transfer-encoding", "upgrade" };

/* A name as HTTP/2 sends it. */
static bool
name_ok(struct span name)
{
	for (size_t i = 0; i < name.len; i++) {
		if (char_lower(name.ptr[i]) != name.ptr[i])
			return false;
	}
	return http_token_ok(name);
}

static bool
is_forbidden(struct span name, struct span value)
{
	for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++) {
		if (span_eq_str(name, forbidden[i]))
			return true;
	}
	return span_eq_str(name, "te") && !span_eq_nocase(value, SPAN_LIT("trailers"));
}

bool
http_h2_field_ok(struct span name, struct span value)
{
	return name_ok(name) && http_value_ok(value) && !is_forbidden(name, value);
}

bool
http_h2_trailer_ok(struct span name, struct span value)
{
	return name_ok(name) && http_value_ok(value) && !http_framing_name(name);
}
