/* SPDX-License-Identifier: Apache-2.0 */
/*
 * error.c: the one table of errors (wire/errors.h), and OpenAI's shape of it.
 *
 * Runs in: gateway. Trusts: nothing. Owns: nothing.
 * Invariants: no message but those of the table, of fixed texts, and of a
 * provider about its sender's own request; the 401 of a bad key, and what is told
 * before it, are the same for everybody, with members that each vendor's SDK looks for.
 * See: wire/errors.h; docs/api.md, "Errors".
 */
#include <base/cleanup.h>
#include <json/write.h>

#include "request.h"
#include "routes.h"

/* "A field of the request is not valid: is not of the required type." */
void
error_put_message(const struct request *r, enum error error, struct json_writer *w)
{
	const struct error_row *row = &error_rows[error];
	auto_buf struct buf text = BUF_INIT(2048);

	json_put_key(w, "message");
	if (r->upstream.len > 0 && r->status != 0) {
		json_put_str(w, buf_span(&r->upstream));
		return;
	}
	if (r->detail == NULL || row->http == 401 || row->http >= 500) {
		json_put_text(w, row->message);
		return;
	}
	if (row->http == 429) {
		json_put_text(w, r->detail);
		return;
	}
	if (is_ok(buf_printf(
		&text, "%.*s: %s.", (int)strlen(row->message) - 1, row->message, r->detail)))
		json_put_str(w, buf_span(&text));
	else
		json_put_text(w, row->message);
}

/* The JSON pointer of what is at fault. */
void
error_put_param(const struct request *r, enum error error, struct json_writer *w)
{
	json_put_key(w, "param");
	if (error == ERROR_LANGUAGE)
		json_put_text(w, "/language");
	else if (error == ERROR_MODEL_NOT_FOUND || error == ERROR_DIALECT)
		json_put_text(w, "/model");
	else if ((error == ERROR_INVALID_FIELD || error == ERROR_INVALID_JSON ||
		     error == ERROR_TOOL_INVALID) &&
		 r->detail != NULL)
		json_put_text(w, r->param);
	else
		json_put_null(w);
}

static struct status
put_openai(const struct request *r, enum error error, struct buf *out)
{
	const struct error_row *row = &error_rows[error];
	bool theirs = r->upstream.len > 0 && r->status != 0;
	struct json_writer w = json_writer(out);

	json_put_object(&w);
	if (error == ERROR_INVALID_KEY || r->route == NULL) {
		json_put_key(&w, "type");
		json_put_text(&w, "error");
	}
	json_put_key(&w, "error");
	json_put_object(&w);
	error_put_message(r, error, &w);
	json_put_key(&w, "type");
	json_put_text(&w, theirs ? "invalid_request_error" : row->type);
	error_put_param(r, error, &w);
	json_put_key(&w, "code");
	json_put_text(&w, theirs ? "upstream_rejected" : row->code);
	json_put_end(&w);
	json_put_end(&w);
	return json_writer_finish(&w);
}

const struct style style_openai = {
	.put_error = put_openai,
	.put_models = models_put_openai,
	.put_model = models_put_one_openai,
	.processing_ms = "openai-processing-ms",
	.rate_limit = "x-ratelimit-limit-requests",
	.rate_remaining = "x-ratelimit-remaining-requests",
	.rate_reset = "x-ratelimit-reset-requests",
};

struct status
error_put(const struct request *r, enum error error, struct buf *out)
{
	if (error == ERROR_INVALID_KEY)
		return put_openai(r, error, out);
	if ((error == ERROR_INVALID_FIELD || error == ERROR_LEAKED_KEY) && r->token_error != NULL)
		return token_put_error(r, out);
	return r->style->put_error(r, error, out);
}

uint16_t
error_status(const struct request *r, enum error error)
{
	if (r->status != 0)
		return r->status;
	return r->style->status != NULL ? r->style->status(error) : error_rows[error].http;
}

/* Within a stream: an event of the dialect. */
static void
stream_error(struct request *r, enum error error)
{
	struct answer *a = &r->turn.answer;
	const struct dialect *dialect = r->route->dialect;
	const char *name = dialect != NULL ? dialect->error_event : "error";
	auto_buf struct buf out = BUF_INIT(64U << 10);
	struct status st;

	if (dialect != NULL && dialect->put_error != NULL && a->dialect != NULL)
		st = dialect->put_error(a, r, error, &out);
	else
		st = error_put(r, error, &out);
	if (!is_ok(st))
		buf_clear(&out);
	r->close = true;
	reply_event(r, name == NULL ? SPAN_EMPTY : span_str(name), buf_span(&out));
	reply_end(r);
}

void
reply_error(struct request *r, enum error error)
{
	auto_buf struct buf out = BUF_INIT(64U << 10);

	if (r->reply == NULL)
		return;
	if (r->head_sent) {
		stream_error(r, error);
		return;
	}
	if (!is_ok(error_put(r, error, &out)))
		buf_clear(&out);
	reply_json(r, error_status(r, error), buf_span(&out));
}
