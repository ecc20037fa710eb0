/* SPDX-License-Identifier: Apache-2.0 */
/*
 * token_form.c: the forms of /auth/token and /auth/revoke, application/x-www-form-urlencoded.
 *
 * Runs in: gateway. Trusts: nothing.
 * Owns: nothing; fields are borrowed from the request's body, where they were decoded.
 * Invariants: a form has each field once, none that is not known, and nothing but printable ASCII.
 * See: token.c; form.c, for forms that are multipart.
 */
#include "token_form.h"

#include "request.h"

static const char *const names[F_COUNT] = {
	[F_GRANT] = "grant_type",
	[F_SUBJECT] = "subject_token",
	[F_SUBJECT_TYPE] = "subject_token_type",
	[F_REQUESTED] = "requested_token_type",
	[F_SCOPE] = "scope",
	[F_LIFETIME] = "expires_in",
	[F_TOKEN] = "token",
	[F_HINT] = "token_type_hint",
};

static int
hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* In its place. E_SYNTAX: a '%' with nothing that it could be; it stays as it is. */
static struct status
decode(uint8_t *text, size_t text_len, struct span *ret)
{
	struct status st = OK;
	size_t len = 0;

	for (size_t i = 0; i < text_len; i++) {
		uint8_t c = text[i] == '+' ? ' ' : text[i];

		if (c == '%') {
			int high = i + 2 < text_len ? hex_digit(text[i + 1]) : -1;
			int low = i + 2 < text_len ? hex_digit(text[i + 2]) : -1;

			if (high < 0 || low < 0) {
				st = fail(E_SYNTAX);
			} else {
				c = (uint8_t)(high * 16 + low);
				i += 2;
			}
		}
		text[len++] = c;
	}
	*ret = span_of(text, len);
	return st;
}

static bool
is_printable(struct span text)
{
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] < ' ' || text.ptr[i] > '~')
			return false;
	}
	return true;
}

static struct status
take_pair(uint8_t *pair, size_t len, uint32_t known, struct token_form *ret)
{
	uint8_t *eq = len > 0 ? memchr(pair, '=', len) : NULL;
	struct span name, value;

	if (eq == NULL)
		return fail(E_SYNTAX);
	TRY(decode(pair, (size_t)(eq - pair), &name));
	TRY(decode(eq + 1, len - 1 - (size_t)(eq - pair), &value));
	for (size_t f = 0; f < F_COUNT; f++) {
		if ((known & BIT(f)) == 0 || !span_eq_str(name, names[f]))
			continue;
		if (ret->fields[f].ptr != NULL)
			return fail(E_EXISTS);
		ret->fields[f] = value;
		return value.len > 0 && is_printable(value) ? OK : fail(E_SYNTAX);
	}
	return fail(E_NOTFOUND);
}

static bool
is_form(const struct request *r)
{
	static const struct span type = { (const uint8_t *)"application/x-www-form-urlencoded",
		33 };
	struct span value;

	return is_ok(http_request_field(&r->http, "content-type", &value)) &&
	       value.len >= type.len && span_eq_nocase(span_of(value.ptr, type.len), type) &&
	       (value.len == type.len || memchr("; \t", value.ptr[type.len], 3) != NULL);
}

struct status
token_form_read(struct request *r, uint32_t known, struct token_form *ret)
{
	uint8_t *at = r->body.ptr, *end;
	size_t left = r->body.len;

	*ret = (struct token_form){ 0 };
	if (!is_form(r))
		return fail(E_UNSUPPORTED);
	if (left == 0 || left > FORM_MAX)
		return fail(E_RANGE);
	for (;;) {
		end = memchr(at, '&', left);
		if (end == NULL)
			return take_pair(at, left, known, ret);
		TRY(take_pair(at, (size_t)(end - at), known, ret));
		left -= (size_t)(end + 1 - at);
		at = end + 1;
		if (left == 0)
			return fail(E_SYNTAX);
	}
}

void
token_form_forget(struct request *r)
{
	if (r->body.len > 0)
		explicit_bzero(r->body.ptr, r->body.len);
}
