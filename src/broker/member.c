/* SPDX-License-Identifier: Apache-2.0 */
/*
 * member.c: secrets and texts out of the answers of Vault and AWS.
 *
 * Runs in: broker. Trusts: nothing of an answer.
 * Owns: nothing; a secret goes straight into pages of its own.
 * Invariants: no secret passes through a buffer that is not wiped; every length is bounded.
 * See: vault_answer.c, aws_answer.c.
 */
#include "member.h"

#include <base/cleanup.h>
#include <base/encode.h>

struct status
member_secret(const struct json_doc *d, uint32_t tok, size_t len_max, struct secret *ret)
{
	auto_secret struct secret s = SECRET_NONE;
	struct buf text;

	if (json_type(d, tok) == JSON_ABSENT || json_type(d, tok) == JSON_NULL)
		return fail(E_NOTFOUND);
	if (json_type(d, tok) != JSON_STRING)
		return fail(E_SYNTAX);
	if (json_bytes(d, tok).len > len_max + 2)
		return fail(E_RANGE);
	TRY(secret_new(json_bytes(d, tok).len, &s)); /* as written: never shorter than the text */
	text = secret_buf(&s);
	TRY(json_str_put(d, tok, &text));
	s.len = text.len;
	if (s.len == 0)
		return fail(E_NOTFOUND);
	*ret = secret_take(&s);
	return OK;
}

struct status
member_secret_base64(const struct json_doc *d, uint32_t tok, size_t len_max, struct secret *ret)
{
	auto_secret struct secret text = SECRET_NONE, s = SECRET_NONE;
	struct buf plain;

	TRY(member_secret(d, tok, len_max / 3 * 4 + 4, &text));
	TRY(secret_new(text.len, &s));
	plain = secret_buf(&s);
	TRY(base64_decode(secret_borrow(&text), &plain));
	if (plain.len > len_max)
		return fail(E_RANGE);
	s.len = plain.len;
	*ret = secret_take(&s);
	return OK;
}

struct status
member_text(const struct json_doc *d, uint32_t tok, char *dst, size_t dst_size)
{
	auto_buf struct buf text = BUF_INIT(dst_size);

	if (json_type(d, tok) != JSON_STRING)
		return fail(E_SYNTAX);
	if (!is_ok(json_str_put(d, tok, &text)))
		return fail(E_RANGE);
	return span_to_cstr(buf_span(&text), dst, dst_size);
}
