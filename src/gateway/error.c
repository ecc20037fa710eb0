/* SPDX-License-Identifier: Apache-2.0 */
/*
 * error.c: the one table of errors (wire/errors.h) in OpenAI's shape.
 *
 * Runs in: gateway. Trusts: nothing. Owns: nothing.
 * Invariants: no message but those of the table, of fixed texts, and of a
 * provider about its sender's own request; the 401 is the same for everybody.
 * See: wire/errors.h; docs/api.md, "Errors".
 */
#include <base/cleanup.h>
#include <json/write.h>

#include "request.h"

/* "A field of the request is not valid: is not of the required type." */
static void
put_message(const struct request *r, const struct error_row *row, struct json_writer *w)
{
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
static void
put_param(const struct request *r, enum error error, struct json_writer *w)
{
	json_put_key(w, "param");
	if (error == ERROR_LANGUAGE)
		json_put_text(w, "/language");
	else if (error == ERROR_MODEL_NOT_FOUND || error == ERROR_DIALECT)
		json_put_text(w, "/model");
	else if ((error == ERROR_INVALID_FIELD || error == ERROR_INVALID_JSON) && r->detail != NULL)
		json_put_text(w, r->param);
	else
		json_put_null(w);
}

struct status
error_put(const struct request *r, enum error error, struct buf *out)
{
	const struct error_row *row = &error_rows[error];
	bool theirs = r->upstream.len > 0 && r->status != 0;
	struct json_writer w = json_writer(out);

	json_put_object(&w);
	json_put_key(&w, "error");
	json_put_object(&w);
	put_message(r, row, &w);
	json_put_key(&w, "type");
	json_put_text(&w, theirs ? "invalid_request_error" : row->type);
	put_param(r, error, &w);
	json_put_key(&w, "code");
	json_put_text(&w, theirs ? "upstream_rejected" : row->code);
	json_put_end(&w);
	json_put_end(&w);
	return json_writer_finish(&w);
}

void
reply_error(struct request *r, enum error error)
{
	auto_buf struct buf out = BUF_INIT(64U << 10);

	if (r->reply == NULL)
		return;
	if (!is_ok(error_put(r, error, &out)))
		buf_clear(&out);
	if (!r->head_sent) {
		reply_json(r, r->status != 0 ? r->status : error_rows[error].http, buf_span(&out));
		return;
	}
	r->close = true;
	reply_event(
	    r, r->turn.kind == KIND_EXECUTE ? SPAN_LIT("error") : SPAN_EMPTY, buf_span(&out));
	reply_end(r);
}
