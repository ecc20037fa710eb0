/* SPDX-License-Identifier: Apache-2.0 */
/*
 * issue.c: sign tokens of our own, and publish the keys that verify them.
 *
 * Runs in: authority. Trusts: its caller for the claims.
 * Owns: nothing.
 * Invariants: a key's name is its thumbprint, so the same key never has two.
 * See: jwt/issue.h; RFC 7515 §3.1, RFC 7638, RFC 8037 appendix A.
 */
#include <jwt/issue.h>

#include <base/cleanup.h>
#include <base/encode.h>
#include <crypto/hash.h>

#define HEADER_MAX 256
#define MEMBERS_MAX 128

/* The required members in the order of their names, no blanks (RFC 7638 §3). */
struct status
jwk_thumbprint(const uint8_t public_key[ED25519_KEY_LEN], char ret[JWT_THUMBPRINT_LEN + 1])
{
	auto_buf struct buf members = BUF_INIT(MEMBERS_MAX), text = BUF_INIT(MEMBERS_MAX);
	uint8_t hash[SHA256_LEN];

	TRY(buf_put_str(&members, "{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\""));
	TRY(base64url_encode(span_of(public_key, ED25519_KEY_LEN), &members));
	TRY(buf_put_str(&members, "\"}"));
	TRY(sha256(buf_span(&members), hash));
	TRY(base64url_encode(span_of(hash, sizeof(hash)), &text));
	return span_to_cstr(buf_span(&text), ret, JWT_THUMBPRINT_LEN + 1);
}

static struct status
put_header(const char *typ, const char *kid, struct buf *out)
{
	auto_buf struct buf header = BUF_INIT(HEADER_MAX);
	struct json_writer w = json_writer(&header);

	json_put_object(&w);
	json_put_key(&w, "alg");
	json_put_text(&w, jwt_alg_name(JWT_EDDSA));
	json_put_key(&w, "typ");
	json_put_text(&w, typ);
	json_put_key(&w, "kid");
	json_put_text(&w, kid);
	json_put_end(&w);
	TRY(json_writer_finish(&w));
	return base64url_encode(buf_span(&header), out);
}

struct status
jwt_sign(struct span claims, const char *typ, const struct sign_key *key, struct buf *out)
{
	auto_buf struct buf token = BUF_INIT((size_t)2 * JWT_LEN_MAX);
	uint8_t public_key[ED25519_KEY_LEN], sig[ED25519_SIG_LEN];
	char kid[JWT_THUMBPRINT_LEN + 1];

	if (claims.len > JWT_LEN_MAX)
		return fail(E_RANGE);
	sign_key_public(key, public_key);
	TRY(jwk_thumbprint(public_key, kid));
	TRY(put_header(typ, kid, &token));
	TRY(buf_put_u8(&token, '.'));
	TRY(base64url_encode(claims, &token));
	TRY(ed25519_sign(key, buf_span(&token), sig));
	TRY(buf_put_u8(&token, '.'));
	TRY(base64url_encode(span_of(sig, sizeof(sig)), &token));
	if (token.len > JWT_LEN_MAX)
		return fail(E_RANGE);
	return buf_put_span(out, buf_span(&token));
}

static struct status
put_key(struct json_writer *w, const uint8_t public_key[ED25519_KEY_LEN])
{
	auto_buf struct buf x = BUF_INIT(MEMBERS_MAX);
	char kid[JWT_THUMBPRINT_LEN + 1];
	const struct {
		const char *key, *value;
	} members[] = { { "kty", "OKP" }, { "crv", "Ed25519" }, { "use", "sig" },
		{ "alg", jwt_alg_name(JWT_EDDSA) }, { "kid", kid } };

	TRY(jwk_thumbprint(public_key, kid));
	TRY(base64url_encode(span_of(public_key, ED25519_KEY_LEN), &x));
	json_put_object(w);
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		json_put_key(w, members[i].key);
		json_put_text(w, members[i].value);
	}
	json_put_key(w, "x");
	json_put_str(w, buf_span(&x));
	json_put_end(w);
	return OK;
}

struct status
jwks_put(const uint8_t (*public_keys)[ED25519_KEY_LEN], size_t count, struct buf *out)
{
	struct json_writer w = json_writer(out);

	json_put_object(&w);
	json_put_key(&w, "keys");
	json_put_array(&w);
	for (size_t i = 0; i < count; i++)
		TRY(put_key(&w, public_keys[i]));
	json_put_end(&w);
	json_put_end(&w);
	return json_writer_finish(&w);
}
