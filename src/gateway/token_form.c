/* SPDX-License-Identifier: Apache-2.0 */
/*
 * token_form.c: the forms of /auth/token and /auth/revoke, application/x-www-form-urlencoded.
 *
 * Runs in: gateway. Trusts: nothing.
 * Owns: nothing; fields are borrowed from the request's body, where they were decoded.
 * Invariants: a form has each field that is known once, in printable ASCII; no key of ours is
 * overlooked, whatever is wrong with the form, but the sender's own where a credential belongs:
 * what stands in a scope, say, is told to administrators. Another's there came to nobody else:
 * it is told of, and goes on. Only what is short is taken apart.
 * See: token.c; leak.h; form.c, for forms that are multipart.
 */
#include "token_form.h"

#include <crypto/crypto.h>

#include "request.h"

static const char *const names[F_COUNT] = {
	[F_GRANT] = "grant_type",
	[F_SUBJECT] = "subject_token",
	[F_SUBJECT_TYPE] = "subject_token_type",
	[F_REQUESTED] = "requested_token_type",
	[F_SCOPE] = "scope",
	[F_LIFETIME] = "expires_in",
	[F_AUDIENCE] = "audience",
	[F_RESOURCE] = "resource",
	[F_ACTOR] = "actor_token",
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

/* ---- keys of ours ---- */

/*
 * Where libraries put the credential that they come with, into every form: RFC 6749, 2.3.1; RFC
 * 6750, 2.2; RFC 7009, 2.1; RFC 8693, 2.1.
 */
static const char *const homes[] = { "subject_token", "actor_token", "token", "client_secret",
	"access_token" };

enum place { ABROAD, HOME, ASKED };

/* HOME: a credential belongs here, so that the sender's own is none that leaks. */
static enum place
place_of(struct span name, enum field asked)
{
	if (span_eq_str(name, names[asked]))
		return ASKED;
	for (size_t i = 0; i < sizeof(homes) / sizeof(homes[0]); i++) {
		if (span_eq_str(name, homes[i]))
			return HOME;
	}
	return ABROAD;
}

static struct status
look(const struct request *r, struct span text, enum place place, struct token_form *ret)
{
	struct leaks found;

	if (text.len < KEYTEXT_LEN)
		return OK;
	TRY(leak_find(text, &found));
	for (size_t i = 0; i < found.n; i++) {
		struct span key = span_of(found.texts + i * KEYTEXT_LEN, KEYTEXT_LEN);

		ret->key_there = ret->key_there || place == ASKED;
		if (place == ABROAD)
			leaks_add(&ret->leaks, key);
		else if (!crypto_eq(key, buf_span(&r->credential)))
			leaks_add(&ret->home, key);
	}
	explicit_bzero(found.texts, found.n * KEYTEXT_LEN);
	return OK;
}

/* ---- fields ---- */

/* A field, as far as it is one: `st`. */
struct pair {
	struct span name, value;
	struct status st;
};

static void
read_pair(uint8_t *text, size_t len, struct pair *ret)
{
	uint8_t *eq = len > 0 ? memchr(text, '=', len) : NULL;
	size_t name_len = eq == NULL ? len : (size_t)(eq - text);
	struct status st;

	ret->value = SPAN_EMPTY;
	ret->st = decode(text, name_len, &ret->name);
	st = eq == NULL ? fail(E_SYNTAX) : decode(eq + 1, len - name_len - 1, &ret->value);
	if (is_ok(ret->st))
		ret->st = st;
}

static struct status
take(const struct pair *p, uint32_t known, struct token_form *ret)
{
	TRY(p->st);
	for (size_t f = 0; f < F_COUNT; f++) {
		if ((known & BIT(f)) == 0 || !span_eq_str(p->name, names[f]))
			continue;
		if (ret->fields[f].ptr != NULL)
			return fail(E_EXISTS);
		ret->fields[f] = p->value;
		return is_printable(p->value) ? OK : fail(E_SYNTAX);
	}
	return OK;
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

/* The first thing that is wrong is what counts, once all was looked at. */
static struct status
read_pairs(struct request *r, uint32_t known, enum field asked, struct token_form *ret)
{
	struct status st = OK;
	size_t at = 0, len = r->body.len;

	while (at <= len) {
		uint8_t *text = r->body.ptr + at;
		const uint8_t *end = at < len ? memchr(text, '&', len - at) : NULL;
		size_t text_len = end == NULL ? len - at : (size_t)(end - text);
		struct pair p;

		read_pair(text, text_len, &p);
		TRY(look(r, p.name, ABROAD, ret));
		TRY(look(r, p.value, place_of(p.name, asked), ret));
		if (is_ok(st))
			st = take(&p, known, ret);
		at += text_len + 1;
	}
	return st;
}

/* What is no form of ours has no places: the sender's own key may stand anywhere in it. */
struct status
token_form_read(struct request *r, uint32_t known, enum field asked, struct token_form *ret)
{
	struct status st = OK;
	struct span all;

	*ret = (struct token_form){ 0 };
	if (r->body.len == 0 || r->body.len > FORM_MAX)
		st = fail(E_RANGE);
	if (!is_form(r))
		st = fail(E_UNSUPPORTED);
	if (is_ok(st))
		return read_pairs(r, known, asked, ret);
	if (r->body.len > 0) {
		(void)is_ok(decode(r->body.ptr, r->body.len, &all));
		TRY(look(r, all, ASKED, ret));
	}
	return st;
}

void
token_form_forget(struct request *r, struct token_form *f)
{
	if (r->body.len > 0)
		explicit_bzero(r->body.ptr, r->body.len);
	explicit_bzero(f, sizeof(*f));
}
