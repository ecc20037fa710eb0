/* SPDX-License-Identifier: Apache-2.0 */
/* lib/crypto: Merkle heads, signed notes, checkpoints; vectors of Certificate Transparency and Go.
 */
#include "unit.h"

#include <crypto/crypto.h>
#include <crypto/merkle.h>
#include <crypto/note.h>

#include <base/cleanup.h>
#include <base/encode.h>

#define PETER "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
#define PETER_PRIVATE "810a1402d5146c8d84f2443330f54080ebf98ee17d9c74f6252fc5d5c7283173"
#define PETER_TEXT                                                   \
	"If you think cryptography is the answer to your problem,\n" \
	"then you don't know what your problem is.\n"
#define PETER_SIG                                                                    \
	"\xe2\x80\x94 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuG" \
	"UgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
#define PETER_NOTE PETER_TEXT "\n" PETER_SIG

static int
start(void **state)
{
	(void)state;
	return is_ok(crypto_init()) ? 0 : -1;
}

static void
merkle_roots_match_ct(void **state)
{
	static const struct {
		const char *leaf, *root;
	} rows[] = {
		{ "", "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d" },
		{ "00", "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125" },
		{ "10", "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77" },
		{ "2021", "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7" },
		{ "3031", "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4" },
		{ "40414243", "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef" },
		{ "5051525354555657",
		    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c" },
		{ "606162636465666768696a6b6c6d6e6f",
		    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328" },
	};
	struct merkle m = MERKLE_INIT;
	uint8_t leaf[16], root[SHA256_LEN], want[SHA256_LEN];

	(void)state;
	assert_true(is_ok(merkle_root(&m, root)));
	assert_true(is_ok(sha256(SPAN_EMPTY, want)));
	assert_memory_equal(root, want, SHA256_LEN);
	for (size_t i = 0; i < COUNT(rows); i++) {
		size_t len = strlen(rows[i].leaf) / 2;

		assert_true(is_ok(hex_decode(span_str(rows[i].leaf), leaf, len)));
		assert_true(is_ok(merkle_append(&m, span_of(leaf, len))));
		assert_true(is_ok(merkle_root(&m, root)));
		assert_true(is_ok(hex_decode(span_str(rows[i].root), want, SHA256_LEN)));
		assert_memory_equal(root, want, SHA256_LEN);
		assert_int_equal(m.size, i + 1);
		assert_int_equal(m.depth, __builtin_popcountll(m.size));
	}
}

/* RFC 6962 §2.1 by its definition. */
static void
mth(const uint8_t (*leaf)[SHA256_LEN], size_t n, uint8_t out[SHA256_LEN])
{
	uint8_t l[SHA256_LEN], r[SHA256_LEN];
	size_t k = 1;

	if (n == 1) {
		memcpy(out, leaf[0], SHA256_LEN);
		return;
	}
	while (k * 2 < n)
		k *= 2;
	mth(leaf, k, l);
	mth(leaf + k, n - k, r);
	assert_true(is_ok(merkle_node_hash(l, r, out)));
}

static void
merkle_roots_match_the_definition(void **state)
{
	static uint8_t leaf[300][SHA256_LEN];
	struct merkle m = MERKLE_INIT;
	uint8_t root[SHA256_LEN], want[SHA256_LEN];

	(void)state;
	for (size_t i = 0; i < COUNT(leaf); i++) {
		assert_true(is_ok(merkle_leaf_hash(span_of(&i, sizeof(i)), leaf[i])));
		assert_true(is_ok(merkle_append_hash(&m, leaf[i])));
		assert_true(is_ok(merkle_root(&m, root)));
		mth((const uint8_t(*)[SHA256_LEN])leaf, i + 1, want);
		assert_memory_equal(root, want, SHA256_LEN);
	}
}

static void
note_matches_go(void **state)
{
	auto_buf struct buf out = BUF_INIT(4096);
	auto_secret struct secret raw = SECRET_NONE;
	struct note_verifier v;
	struct sign_key *key = NULL;
	struct span text;

	(void)state;
	assert_true(is_ok(note_verifier_parse(SPAN_LIT(PETER), &v)));
	assert_true(is_ok(note_verify(SPAN_LIT(PETER_NOTE), &v, &text)));
	assert_true(span_eq(text, SPAN_LIT(PETER_TEXT)));
	assert_true(is_ok(note_verifier_put(&v, &out)));
	assert_true(span_eq(buf_span(&out), SPAN_LIT(PETER)));

	assert_true(is_ok(secret_new(32, &raw)));
	assert_true(is_ok(hex_decode(SPAN_LIT(PETER_PRIVATE), raw.ptr, 32)));
	assert_true(is_ok(sign_key_new(&raw, &key)));
	buf_clear(&out);
	assert_true(is_ok(note_sign(SPAN_LIT(PETER_TEXT), SPAN_LIT("PeterNeumann"), key, &out)));
	assert_true(span_eq(buf_span(&out), SPAN_LIT(PETER_NOTE)));
	sign_key_free(key);
}

static void
note_with_any_changed_byte_fails(void **state)
{
	static const char good[] = PETER_NOTE;
	char bad[sizeof(good)];
	struct note_verifier v;
	struct span text;

	(void)state;
	assert_true(is_ok(note_verifier_parse(SPAN_LIT(PETER), &v)));
	for (size_t i = 0; i < sizeof(good) - 1; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			memcpy(bad, good, sizeof(good));
			bad[i] = (char)(bad[i] ^ (1 << bit));
			assert_false(is_ok(note_verify(span_of(bad, sizeof(good) - 1), &v, &text)));
		}
	}
	for (size_t len = 0; len < sizeof(good) - 1; len++)
		assert_false(is_ok(note_verify(span_of(good, len), &v, &text)));
}

static void
note_refuses_hostile_forms(void **state)
{
	static const struct {
		const char *note;
		enum code want;
	} rows[] = {
		{ "", E_SYNTAX },
		{ "\n\n", E_SYNTAX },
		{ PETER_TEXT, E_SYNTAX },
		{ PETER_TEXT "\n", E_SYNTAX },
		{ PETER_TEXT "\n" PETER_SIG "x", E_SYNTAX },
		{ PETER_TEXT "\n- PeterNeumann x08g\n", E_SYNTAX },
		{ PETER_TEXT "\r\n" PETER_SIG, E_SYNTAX },
		{ PETER_TEXT "\n\xe2\x80\x94 Eve x08go/ZJkuBS\n", E_NOTFOUND },
		{ PETER_TEXT "\n\xe2\x80\x94 Peter+ x08go/ZJkuBS\n", E_SYNTAX },
		{ "more\n" PETER_NOTE, E_CRYPTO },
		{ PETER_NOTE "\n" PETER_SIG, E_CRYPTO },
		{ PETER_TEXT "\n\xe2\x80\x94 Eve x08go/ZJkuBS\n" PETER_SIG, E_OK },
	};
	struct note_verifier v;
	struct span text;

	(void)state;
	assert_true(is_ok(note_verifier_parse(SPAN_LIT(PETER), &v)));
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_int_equal(note_verify(span_str(rows[i].note), &v, &text).code, rows[i].want);
}

static void
verifier_keys_are_strict(void **state)
{
	static const char *const bad[] = { "", "PeterNeumann", "PeterNeumann+c74f20a3",
		"PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
		"PeterNeumann+c74f20a3+AhpcMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
		"Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
		"+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW" };
	struct note_verifier v;

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_int_equal(note_verifier_parse(span_str(bad[i]), &v).code, E_SYNTAX);
}

static void
checkpoints_go_both_ways(void **state)
{
	static const char *const bad[] = { "", "o\n1\n", "o\n01\n",
		"o\n01\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
		"o\n-1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
		"o\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
		"o\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nx\n",
		"o\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==\n",
		"\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
		"o\n9223372036854775808\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n" };
	struct checkpoint in = { .origin = SPAN_LIT("sallyport/x"), .size = 42 }, out = { 0 };
	auto_buf struct buf b = BUF_INIT(1024);

	(void)state;
	memset(in.root, 7, sizeof(in.root));
	assert_true(is_ok(checkpoint_put(&in, &b)));
	assert_true(span_eq_str(
	    buf_span(&b), "sallyport/x\n42\nBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n"));
	assert_true(is_ok(checkpoint_parse(buf_span(&b), &out)));
	assert_true(span_eq(out.origin, in.origin) && out.size == 42);
	assert_memory_equal(out.root, in.root, SHA256_LEN);
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_int_equal(checkpoint_parse(span_str(bad[i]), &out).code, E_SYNTAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(merkle_roots_match_ct),
		cmocka_unit_test(merkle_roots_match_the_definition),
		cmocka_unit_test(note_matches_go),
		cmocka_unit_test(note_with_any_changed_byte_fails),
		cmocka_unit_test(note_refuses_hostile_forms),
		cmocka_unit_test(verifier_keys_are_strict),
		cmocka_unit_test(checkpoints_go_both_ways),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
