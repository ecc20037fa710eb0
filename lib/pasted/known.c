/* SPDX-License-Identifier: Apache-2.0 */
/*
 * known.c: credentials that are in use, in a text, by marks of them.
 *
 * Runs in: broker, which makes marks; store, at the door into its tables. Trusts: the marks.
 * Owns: the key, as a key of HMAC.
 * Invariants: a mark says nothing of a credential but its length and keyed hashes. Each place of a
 * text costs one look into a table that fits the first cache; where that says "perhaps" (one place
 * in 65,536 for each mark) the hash is compared whole; a tag is computed for one place in 2^32, so
 * that a text which is made to hit has to be made with the key, or the credential.
 * See: known.h, wire/store_broker.h; pasted.c, for credentials that are known by their forms.
 */
#include <pasted/known.h>

#include <stdlib.h>

#include <base/cleanup.h>
#include <crypto/crypto.h>
#include <crypto/hash.h>

#include <pasted/escape.h>

#define SIEVE_BITS 16

struct known {
	struct hmac_key *key;
	uint64_t factors[2]; /* multiply-shift (Dietzfelbinger et al. 1997), keyed */
	uint64_t sieve[(1U << SIEVE_BITS) / 64];
	size_t n;
	struct known_mark marks[KNOWN_MAX];
};

static struct status
derive_factors(struct known *k)
{
	uint8_t out[SHA256_LEN];

	_Static_assert(sizeof(k->factors) <= sizeof(out), "one hash is enough");
	TRY(hmac_sha256(k->key, SPAN_LIT("sallyport known factors v1"), out));
	memcpy(k->factors, out, sizeof(k->factors));
	k->factors[0] |= 1;
	k->factors[1] |= 1;
	return OK;
}

struct status
known_new(const uint8_t key[KNOWN_KEY_LEN], struct known **ret)
{
	struct known *k = calloc(1, sizeof(*k));
	struct status st;

	if (k == NULL)
		return fail(E_NOMEM);
	st = hmac_key_new(span_of(key, KNOWN_KEY_LEN), &k->key);
	if (is_ok(st))
		st = derive_factors(k);
	if (!is_ok(st)) {
		known_free(k);
		return st;
	}
	*ret = k;
	return OK;
}

void
known_free(struct known *k)
{
	if (k == NULL)
		return;
	hmac_key_free(k->key);
	free(k);
}

static inline uint32_t
hash_end(const struct known *k, const uint8_t *p)
{
	uint64_t w[2];

	_Static_assert(sizeof(w) == KNOWN_LEN_MIN, "all of the end is hashed");
	memcpy(w, p, sizeof(w));
	return (uint32_t)((w[0] * k->factors[0] + w[1] * k->factors[1]) >> 32);
}

static struct status
tag_of(const struct known *k, struct span credential, uint8_t ret[KNOWN_TAG_LEN])
{
	const struct span parts[] = { SPAN_LIT("sallyport known tag v1"), credential };
	uint8_t out[SHA256_LEN];

	TRY(hmac_sha256_parts(k->key, parts, 2, out));
	memcpy(ret, out, KNOWN_TAG_LEN);
	return OK;
}

/* Stopgaps for servers that want no key, as documents name them. */
static const char *const stopgaps[] = { "sk-no-key-required", "your-api-key-here",
	"sk-your-api-key-here" };

bool
known_fit(struct span credential)
{
	bool seen[256] = { false };
	size_t distinct = 0;

	if (credential.len < KNOWN_LEN_MIN)
		return false;
	for (size_t i = 0; i < sizeof(stopgaps) / sizeof(stopgaps[0]); i++) {
		if (span_eq_str(credential, stopgaps[i]))
			return false;
	}
	for (size_t i = 0; i < credential.len; i++) {
		distinct += !seen[credential.ptr[i]];
		seen[credential.ptr[i]] = true;
	}
	return distinct >= KNOWN_DISTINCT_MIN;
}

struct status
known_mark(struct known *k, struct span credential, struct known_mark *ret)
{
	if (credential.len < KNOWN_LEN_MIN || credential.len > UINT16_MAX)
		return fail(E_RANGE);
	ret->len = (uint16_t)credential.len;
	ret->end = hash_end(k, credential.ptr + credential.len - KNOWN_LEN_MIN);
	return tag_of(k, credential, ret->tag);
}

struct status
known_add(struct known *k, const struct known_mark *mark)
{
	uint32_t bit = mark->end >> (32 - SIEVE_BITS);

	if (mark->len < KNOWN_LEN_MIN)
		return fail(E_RANGE);
	if (k->n == KNOWN_MAX)
		return fail(E_FULL);
	k->marks[k->n++] = *mark;
	k->sieve[bit / 64] |= UINT64_C(1) << bit % 64;
	return OK;
}

size_t
known_count(const struct known *k)
{
	return k == NULL ? 0 : k->n;
}

/* Does one of the credentials end where `text` does? */
static bool
ends_with_one(const struct known *k, struct span text, uint32_t end)
{
	uint8_t tag[KNOWN_TAG_LEN];

	for (size_t i = 0; i < k->n; i++) {
		const struct known_mark *m = &k->marks[i];

		if (m->end != end || m->len > text.len)
			continue;
		if (!is_ok(tag_of(k, span_from(text, text.len - m->len), tag)) ||
		    crypto_eq(span_of(tag, sizeof(tag)), span_of(m->tag, sizeof(m->tag))))
			return true;
	}
	return false;
}

static bool
is_written(const struct known *k, struct span text)
{
	for (size_t to = KNOWN_LEN_MIN; to <= text.len; to++) {
		uint32_t end = hash_end(k, text.ptr + to - KNOWN_LEN_MIN);
		uint32_t bit = end >> (32 - SIEVE_BITS);

		if ((k->sieve[bit / 64] >> bit % 64 & 1) != 0 &&
		    ends_with_one(k, span_of(text.ptr, to), end))
			return true;
	}
	return false;
}

bool
known_in(const struct known *k, struct span text)
{
	auto_buf struct buf plain = BUF_INIT(text.len);

	if (k == NULL || k->n == 0 || text.len < KNOWN_LEN_MIN)
		return false;
	if (is_written(k, text))
		return true;
	if (!escape_any(text))
		return false;
	return !is_ok(escape_plain(text, &plain)) || is_written(k, buf_span(&plain));
}
