/* SPDX-License-Identifier: Apache-2.0 */
/*
 * form.c: a request's body that is a form.
 *
 * Runs in: gateway. Trusts: nothing of it; lib/http/multipart reads it.
 * Owns: nothing; parts borrow from the body.
 * Invariants: what is wrong is told by the name of a part that we know, in words of a fixed table.
 * See: form.h; files.c, tool_push.c.
 */
#include "form.h"

#include "request.h"

enum error
form_blame(struct request *r, const char *part, const char *why)
{
	size_t len = part == NULL ? 0 : strlen(part);

	r->detail = why;
	r->param[0] = '\0';
	if (len > 0 && len + 1 < sizeof(r->param)) {
		r->param[0] = '/';
		memcpy(r->param + 1, part, len + 1);
	}
	return ERROR_INVALID_FIELD;
}

enum error
form_read(struct request *r, struct multipart_part *parts, size_t count,
    const struct multipart_part *large)
{
	const struct multipart_part *at = NULL;
	const char *why = NULL;
	struct span type = SPAN_EMPTY, value;
	struct status st;

	if (!is_ok(http_request_field(&r->http, "content-type", &type)) ||
	    !multipart_is_form(type) ||
	    http_request_field(&r->http, "content-encoding", &value).code != E_NOTFOUND) {
		r->detail = "this endpoint takes multipart/form-data";
		return ERROR_MEDIA_TYPE;
	}
	st = multipart_read(type, buf_span(&r->body), parts, count, &why, &at);
	if (is_ok(st))
		return ERROR_NONE;
	(void)form_blame(r, at == NULL ? NULL : at->name, why);
	return st.code == E_RANGE && at != NULL && (large == NULL || at == large)
		   ? ERROR_BODY_TOO_LARGE
		   : ERROR_INVALID_FIELD;
}
