/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jws.c: a signed text: its form, its header, its signature.
 *
 * Runs in: authority. Trusts: keys; nothing in a token.
 * Owns: the decoded text and the header's document.
 * Invariants: what is signed are the token's own bytes, never something written anew; nothing is
 * looked at in a token that is too long.
 * See: jwt/jws.h, jwks.c; RFC 7515 §5.2, RFC 8725 §3.
 */
#include "internal.h"

#include <assert.h>

#include <base/encode.h>

#define DEPTH_MAX 16
#define TOKENS_MAX 4096
#define TEXT_MAX ((size_t)2 * JWT_LEN_MAX)
#define ALG_MAX 32
#define TYP_MAX 64

static const char *const fault_names[JWT_FAULT_COUNT] = { "none", "size", "format", "header",
	"critical", "algorithm", "type", "key", "signature", "claims", "issuer", "audience",
	"expired", "no_expiry", "future", "age", "mapping", "roles", "revoked", "keys_away",
	"internal" };

const char *
jwt_fault_name(enum jwt_fault fault)
{
	assert(fault < JWT_FAULT_COUNT && fault_names[fault] != NULL);
	return fault_names[fault];
}

static struct status
fault(struct jws *s, enum jwt_fault why, enum code code)
{
	s->fault = why;
	return fail(code);
}

/* The same where memory may be what was missing. */
static struct status
fault_of(struct jws *s, enum jwt_fault why, struct status st)
{
	s->fault = st.code == E_NOMEM || st.code == E_SYS ? JWT_FAULT_INTERNAL : why;
	return st;
}

struct status
jws_init(struct jws *s)
{
	struct json_opts opts = JSON_STRICT;

	opts.depth_max = DEPTH_MAX;
	opts.tokens_max = TOKENS_MAX;
	*s = (struct jws){ .text = BUF_INIT(TEXT_MAX), .arena = ARENA_INIT(TEXT_MAX) };
	return json_init(&s->header, &opts);
}

void
jws_done(struct jws *s)
{
	json_done(&s->header);
	buf_done(&s->text);
	arena_done(&s->arena);
	*s = (struct jws){ .fault = JWT_FAULT_NONE };
}

/* ---- form ---- */

/* The three parts between two dots; only the payload may be empty. */
static bool
split(struct span token, struct span part[3])
{
	for (size_t i = 0; i < 3; i++) {
		const uint8_t *dot = token.len == 0 ? NULL : memchr(token.ptr, '.', token.len);
		size_t len = dot == NULL ? token.len : (size_t)(dot - token.ptr);

		if ((len == 0 && i != 1) || (dot == NULL) != (i == 2))
			return false;
		part[i] = span_of(token.ptr, len);
		token = span_from(token, len + (dot != NULL));
	}
	return true;
}

/* Decode one part; there is room for all, so that nothing moves. */
static struct status
decode(struct jws *s, struct span part, struct span *ret)
{
	size_t at = s->text.len;
	struct status st = base64url_decode(part, &s->text);

	if (!is_ok(st))
		return fault_of(s, JWT_FAULT_FORMAT, st);
	*ret = span_from(buf_span(&s->text), at);
	return OK;
}

static struct status
read_signature(struct jws *s, struct span part)
{
	struct span raw;

	TRY(decode(s, part, &raw));
	if (raw.len > sizeof(s->signature))
		return fault(s, JWT_FAULT_SIGNATURE, E_RANGE);
	memcpy(s->signature, raw.ptr, raw.len);
	s->signature_len = raw.len;
	return OK;
}

/* ---- header ---- */

/* A member that may be absent but is a string otherwise. */
static struct status
header_text(struct jws *s, const char *name, size_t max, bool *ret_has, struct span *ret)
{
	struct status st = json_str(&s->header, json_get_str(&s->header, 0, name), &s->arena, ret);

	*ret_has = is_ok(st);
	if (st.code == E_NOTFOUND)
		return OK;
	if (!is_ok(st))
		return fault_of(s, JWT_FAULT_HEADER, st);
	return ret->len > 0 && ret->len <= max ? OK : fault(s, JWT_FAULT_HEADER, E_RANGE);
}

static struct status
read_header(struct jws *s, struct span part)
{
	struct span text, alg = SPAN_EMPTY;
	struct status st;
	bool has;

	TRY(decode(s, part, &text));
	st = json_parse(&s->header, text);
	if (!is_ok(st))
		return fault_of(s, JWT_FAULT_HEADER, st);
	if (json_type(&s->header, 0) != JSON_OBJECT)
		return fault(s, JWT_FAULT_HEADER, E_SYNTAX);
	if (json_type(&s->header, json_get_str(&s->header, 0, "crit")) != JSON_ABSENT)
		return fault(s, JWT_FAULT_CRITICAL, E_UNSUPPORTED);
	TRY(header_text(s, "alg", ALG_MAX, &has, &alg));
	if (!has)
		return fault(s, JWT_FAULT_HEADER, E_SYNTAX);
	if (!is_ok(jwt_alg_find(alg, &s->alg)))
		return fault(s, JWT_FAULT_ALGORITHM, E_DENIED);
	TRY(header_text(s, "typ", TYP_MAX, &has, &s->typ));
	return header_text(s, "kid", JWK_KID_MAX, &s->has_kid, &s->kid);
}

static void
forget(struct jws *s)
{
	s->fault = JWT_FAULT_NONE;
	s->has_kid = false;
	s->kid = s->typ = s->payload = s->signing = SPAN_EMPTY;
	s->signature_len = 0;
	buf_clear(&s->text);
	arena_reset(&s->arena);
}

struct status
jws_parse(struct jws *s, struct span token)
{
	struct span part[3];
	struct status st;

	forget(s);
	if (token.len > JWT_LEN_MAX)
		return fault(s, JWT_FAULT_SIZE, E_RANGE);
	if (!split(token, part))
		return fault(s, JWT_FAULT_FORMAT, E_SYNTAX);
	st = buf_reserve(&s->text, JWT_LEN_MAX);
	if (!is_ok(st))
		return fault_of(s, JWT_FAULT_INTERNAL, st);
	TRY(read_header(s, part[0]));
	TRY(decode(s, part[1], &s->payload));
	TRY(read_signature(s, part[2]));
	s->signing = span_of(token.ptr, part[0].len + 1 + part[1].len);
	return OK;
}

/* ---- signature ---- */

bool
jws_key_known(const struct jws *s, const struct jwks *keys, uint32_t algs)
{
	return jwks_find(keys, s, algs) != NULL;
}

struct status
jws_verify(struct jws *s, const struct jwks *keys, uint32_t algs)
{
	const struct jwk *key = jwks_find(keys, s, algs);
	struct status st;

	assert(s->signing.len > 0);
	if (key == NULL)
		return fault(s, JWT_FAULT_KEY, E_NOTFOUND);
	if (!jwk_allows(key, s->alg, algs))
		return fault(s, JWT_FAULT_ALGORITHM, E_DENIED);
	st = jwt_alg_verify(key, s->alg, s->signing, span_of(s->signature, s->signature_len));
	return is_ok(st) ? OK : fault_of(s, JWT_FAULT_SIGNATURE, st);
}
