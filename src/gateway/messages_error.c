/* SPDX-License-Identifier: Apache-2.0 */
/*
 * messages_error.c: Anthropic's style: its errors, from the one table (wire/errors.h),
 * and the fields of heads that it reads and writes.
 *
 * Runs in: gateway. Trusts: nothing. Owns: nothing.
 * Invariants: as error.c: only texts of the table, fixed ones, and a provider's
 * words about its sender's own request.
 * See: style.h; docs/api.md, "Errors".
 */
#include <json/write.h>

#include "request.h"
#include "routes.h"

/* Anthropic's word for a status; SDKs choose the class by the status, users by this. */
static const struct {
	uint16_t status;
	const char *type;
} types[] = {
	{ 401, "authentication_error" },
	{ 403, "permission_error" },
	{ 404, "not_found_error" },
	{ 413, "request_too_large" },
	{ 429, "rate_limit_error" },
	{ 504, "timeout_error" },
	{ 529, "overloaded_error" },
};

static uint16_t
status_of(enum error error)
{
	/* Its clients know a full server by a status of its own. */
	return error == ERROR_OVERLOADED || error == ERROR_UPSTREAM_BUSY ? 529
									 : error_rows[error].http;
}

static const char *
type_of(uint16_t status)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (types[i].status == status)
			return types[i].type;
	}
	return status >= 500 ? "api_error" : "invalid_request_error";
}

/* What happened, for programs: details.error_code; and where, a JSON pointer. */
static void
put_details(const struct request *r, enum error error, struct json_writer *w)
{
	bool theirs = r->upstream.len > 0 && r->status != 0;

	json_put_key(w, "details");
	json_put_object(w);
	json_put_key(w, "error_code");
	json_put_text(w, theirs ? "upstream_rejected" : error_rows[error].code);
	error_put_param(r, error, w);
	json_put_end(w);
}

static struct status
put_error(const struct request *r, enum error error, struct buf *out)
{
	struct json_writer w = json_writer(out);

	json_put_object(&w);
	json_put_key(&w, "type");
	json_put_text(&w, "error");
	json_put_key(&w, "error");
	json_put_object(&w);
	json_put_key(&w, "type");
	json_put_text(&w, type_of(error_status(r, error)));
	error_put_message(r, error, &w);
	put_details(r, error, &w);
	json_put_end(&w);
	json_put_key(&w, "request_id");
	json_put_str(&w, span_of(r->id_text, 36));
	json_put_end(&w);
	return json_writer_finish(&w);
}

/* ---- heads ---- */

/* Nothing that could end a line, or be more than a list of words. */
static bool
is_list(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.ptr[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
		    (c == '\0' || strchr("-_.,= ", c) == NULL))
			return false;
	}
	return true;
}

static enum error
keep_field(struct request *r, const char *name, size_t len_max, struct span *ret)
{
	struct span value = SPAN_EMPTY;
	struct status st = http_request_field(&r->http, name, &value);

	if (st.code == E_NOTFOUND)
		return ERROR_NONE;
	if (!is_ok(st) || value.len > len_max || !is_list(value)) {
		r->detail = "anthropic-version or anthropic-beta in its head cannot be forwarded";
		return ERROR_INVALID_FIELD;
	}
	return is_ok(arena_copy(&r->arena, value, ret)) ? ERROR_NONE : ERROR_OVERLOADED;
}

static enum error
read_head(struct request *r)
{
	struct call *c = &r->turn.call;
	enum error error = keep_field(
	    r, "anthropic-version", ANTHROPIC_VERSION_MAX, &c->anthropic_version);

	if (error != ERROR_NONE)
		return error;
	error = keep_field(r, "anthropic-beta", ANTHROPIC_BETA_MAX, &c->anthropic_beta);
	if (error != ERROR_NONE || r->http.query.len == 0)
		return error;
	if (r->route->endpoint == ENDPOINT_MODELS && r->route_param.len == 0)
		return messages_models_query(r);
	/* Some SDKs say on every path that they use betas: it changes nothing. */
	if (span_eq_str(r->http.query, "beta=true"))
		return is_ok(arena_copy(&r->arena, r->http.query, &r->query)) ? ERROR_NONE
									      : ERROR_OVERLOADED;
	return ERROR_NONE;
}

const struct style style_anthropic = {
	.read_head = read_head,
	.put_error = put_error,
	.put_models = messages_put_models,
	.put_model = messages_put_model,
	.status = status_of,
	.request_id = "request-id",
	.rate_limit = "anthropic-ratelimit-requests-limit",
	.rate_remaining = "anthropic-ratelimit-requests-remaining",
	.rate_reset = "anthropic-ratelimit-requests-reset",
	.reset_is_date = true,
};
