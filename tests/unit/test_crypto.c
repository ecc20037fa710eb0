/* SPDX-License-Identifier: Apache-2.0 */
/* lib/crypto: secrets, hashes, signatures, seals; vectors from the RFCs. */
#include "unit.h"

#include <crypto/crypto.h>
#include <crypto/file_secret.h>
#include <crypto/hash.h>
#include <crypto/seal.h>
#include <crypto/sign.h>

#include <base/encode.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static int
start(void **state)
{
	(void)state;
	if (!is_ok(crypto_init()))
		return -1;
	return is_ok(crypto_init()) ? 0 : -1; /* again: nothing happens */
}

static size_t
unhex(const char *hex, uint8_t *out, size_t size)
{
	size_t n = strlen(hex) / 2;

	assert_true(n <= size);
	assert_true(is_ok(hex_decode(span_str(hex), out, n)));
	return n;
}

static void
assert_hex(const uint8_t *got, size_t len, const char *want)
{
	char text[513] = { 0 };

	assert_true(len * 2 < sizeof(text));
	hex_encode(span_of(got, len), text);
	assert_string_equal(text, want);
}

static void
sha256_matches_fips(void **state)
{
	const struct span parts[] = { SPAN_LIT("a"), SPAN_LIT(""), SPAN_LIT("bc") };
	static const char want[] =
	    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
	struct sha256_ctx *ctx = NULL;
	uint8_t out[SHA256_LEN];

	(void)state;
	assert_true(is_ok(sha256(SPAN_LIT("abc"), out)));
	assert_hex(out, sizeof(out), want);
	assert_true(is_ok(sha256_parts(parts, 3, out)));
	assert_hex(out, sizeof(out), want);
	assert_true(is_ok(sha256_new(&ctx)));
	for (int twice = 0; twice < 2; twice++) {
		assert_true(is_ok(sha256_update(ctx, SPAN_LIT("ab"))));
		assert_true(is_ok(sha256_update(ctx, SPAN_LIT("c"))));
		assert_true(is_ok(sha256_final(ctx, out)));
		assert_hex(out, sizeof(out), want);
	}
	sha256_free(ctx);
	assert_true(is_ok(sha256(SPAN_EMPTY, out)));
	assert_hex(
	    out, sizeof(out), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

/* RFC 4231, cases 1, 4 and 6 (a key longer than a block). */
static void
hmac_matches_rfc4231(void **state)
{
	static const struct {
		uint8_t key_byte;
		size_t key_len;
		bool counting;
		const char *data;
		size_t repeat;
		const char *want;
	} rows[] = {
		{ 0x0b, 20, false, "Hi There", 1,
		    "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7" },
		{ 0x01, 25, true, "\xcd", 50,
		    "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b" },
		{ 0xaa, 131, false, "Test Using Larger Than Block-Size Key - Hash Key First", 1,
		    "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		uint8_t key[131], data[64], out[SHA256_LEN];
		size_t n = strlen(rows[i].data), len = n * rows[i].repeat;
		struct hmac_key *k = NULL;
		struct span parts[2];

		for (size_t j = 0; j < rows[i].key_len; j++)
			key[j] = (uint8_t)(rows[i].counting ? j + 1 : rows[i].key_byte);
		for (size_t j = 0; j < len; j++)
			data[j] = (uint8_t)rows[i].data[j % n];
		assert_true(is_ok(hmac_key_new(span_of(key, rows[i].key_len), &k)));
		for (int twice = 0; twice < 2; twice++) {
			assert_true(is_ok(hmac_sha256(k, span_of(data, len), out)));
			assert_hex(out, sizeof(out), rows[i].want);
		}
		parts[0] = span_of(data, 3);
		parts[1] = span_of(data + 3, len - 3);
		assert_true(is_ok(hmac_sha256_parts(k, parts, 2, out)));
		assert_hex(out, sizeof(out), rows[i].want);
		hmac_key_free(k);
	}
}

static void
hmac_refuses_short_keys(void **state)
{
	struct hmac_key *k = NULL;

	(void)state;
	assert_int_equal(hmac_key_new(SPAN_LIT("fifteen bytes!!"), &k).code, E_RANGE);
	assert_null(k);
}

/* RFC 5869, A.1, A.2 and A.3. */
static void
hkdf_matches_rfc5869(void **state)
{
	static const struct {
		const char *key, *salt, *info, *want;
	} rows[] = {
		{ "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "000102030405060708090a0b0c",
		    "f0f1f2f3f4f5f6f7f8f9",
		    "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
		    "34007208d5b887185865" },
		{ "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "", "",
		    "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
		    "9d201395faa4b61a96c8" },
	};
	uint8_t long_out[HKDF_OUT_LEN_MAX + 1];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		uint8_t key[80], salt[80], info[80], out[82];
		size_t key_len = unhex(rows[i].key, key, sizeof(key));
		size_t salt_len = unhex(rows[i].salt, salt, sizeof(salt));
		size_t info_len = unhex(rows[i].info, info, sizeof(info));
		size_t out_len = strlen(rows[i].want) / 2;

		assert_true(is_ok(hkdf_sha256(span_of(key, key_len), span_of(salt, salt_len),
		    span_of(info, info_len), out, out_len)));
		assert_hex(out, out_len, rows[i].want);
	}
	assert_int_equal(
	    hkdf_sha256(SPAN_LIT("k"), SPAN_EMPTY, SPAN_EMPTY, long_out, sizeof(long_out)).code,
	    E_RANGE);
}

/* RFC 8032 §7.1, test 2. */
static void
ed25519_matches_rfc8032(void **state)
{
	auto_secret struct secret raw = SECRET_NONE;
	uint8_t sig[ED25519_SIG_LEN], pub[ED25519_KEY_LEN];
	struct sign_key *key = NULL;
	struct span msg = SPAN_LIT("\x72");

	(void)state;
	assert_true(is_ok(secret_new(ED25519_KEY_LEN, &raw)));
	unhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", raw.ptr, raw.len);
	assert_true(is_ok(sign_key_new(&raw, &key)));
	sign_key_public(key, pub);
	assert_hex(
	    pub, sizeof(pub), "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
	assert_true(is_ok(ed25519_sign(key, msg, sig)));
	assert_hex(sig, sizeof(sig),
	    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
	    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00");
	assert_true(is_ok(ed25519_verify(pub, msg, sig)));
	for (size_t bit = 0; bit < sizeof(sig) * 8; bit++) {
		sig[bit / 8] ^= (uint8_t)(1U << (bit % 8));
		assert_int_equal(ed25519_verify(pub, msg, sig).code, E_CRYPTO);
		sig[bit / 8] ^= (uint8_t)(1U << (bit % 8));
	}
	assert_int_equal(ed25519_verify(pub, SPAN_LIT("\x73"), sig).code, E_CRYPTO);
	sign_key_free(key);
}

static void
generated_keys_sign(void **state)
{
	auto_secret struct secret raw = SECRET_NONE, wrong = SECRET_NONE;
	uint8_t sig[ED25519_SIG_LEN], pub[ED25519_KEY_LEN];
	struct sign_key *key = NULL;

	(void)state;
	assert_true(is_ok(sign_key_generate(&raw)));
	assert_true(is_ok(sign_key_new(&raw, &key)));
	sign_key_public(key, pub);
	assert_true(is_ok(ed25519_sign(key, SPAN_EMPTY, sig)));
	assert_true(is_ok(ed25519_verify(pub, SPAN_EMPTY, sig)));
	sign_key_free(key);
	assert_true(is_ok(secret_new(31, &wrong)));
	assert_int_equal(sign_key_new(&wrong, &key).code, E_RANGE);
}

/* The flags of the mapping that holds `p`, from /proc. */
static void
vm_flags(const void *p, char *out, size_t size)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	char line[512];
	bool inside = false;

	out[0] = '\0';
	assert_non_null(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		char *dash, *end;
		unsigned long from = strtoul(line, &dash, 16);
		unsigned long to = *dash == '-' ? strtoul(dash + 1, &end, 16) : 0;

		if (to > from)
			inside = (unsigned long)p >= from && (unsigned long)p < to;
		else if (inside && strncmp(line, "VmFlags:", 8) == 0)
			snprintf(out, size, "%s", line + 8);
	}
	fclose(f);
}

static void
secrets_are_locked_and_not_dumped(void **state)
{
	auto_secret struct secret s = SECRET_NONE;
	char flags[512];

	(void)state;
	assert_true(is_ok(secret_from_span(SPAN_LIT("hunter2"), &s)));
	vm_flags(s.ptr, flags, sizeof(flags));
#ifndef __SANITIZE_ADDRESS__ /* its mlock() does nothing */
	assert_non_null(strstr(flags, " lo"));
#endif
	assert_non_null(strstr(flags, " dd"));
	/* Wiped in a forked child, or (memfd_secret) not there at all. */
	assert_true(strstr(flags, " wf") != NULL || strstr(flags, " dc") != NULL);
	assert_true(secret_eq(&s, SPAN_LIT("hunter2")));
	assert_false(secret_eq(&s, SPAN_LIT("hunter3")));
	assert_false(secret_eq(&s, SPAN_LIT("hunter")));
	assert_false(secret_eq(&s, SPAN_LIT("")));
}

/* What a forked child sees, and whether a byte beyond the pages kills it. */
static int
child_result(const struct secret *s, bool overrun)
{
	pid_t pid = fork();
	int wstatus;

	assert_true(pid >= 0);
	if (pid == 0) {
		volatile uint8_t *p = s->ptr;

		(void)signal(SIGSEGV, SIG_DFL);
		_exit(overrun ? p[s->map_len] : p[0]);
	}
	assert_int_equal(waitpid(pid, &wstatus, 0), pid);
	return wstatus;
}

static void
secrets_do_not_survive_fork_or_overrun(void **state)
{
	auto_secret struct secret s = SECRET_NONE;
	int w;

	(void)state;
	assert_true(is_ok(secret_from_span(SPAN_LIT("hunter2"), &s)));
	w = child_result(&s, false);
	assert_true(WIFEXITED(w) ? WEXITSTATUS(w) == 0 : WTERMSIG(w) == SIGSEGV);
	w = child_result(&s, true);
	assert_false(WIFEXITED(w) && WEXITSTATUS(w) == 0);
}

static void
secrets_move_and_have_limits(void **state)
{
	auto_secret struct secret a = SECRET_NONE, b = SECRET_NONE;

	(void)state;
	assert_int_equal(secret_new(0, &a).code, E_RANGE);
	assert_int_equal(secret_new(SECRET_LEN_MAX + 1, &a).code, E_RANGE);
	assert_null(a.ptr);
	assert_true(is_ok(secret_random(32, &a)));
	b = secret_take(&a);
	assert_null(a.ptr);
	assert_int_equal(secret_borrow(&a).len, 0);
	assert_int_equal(secret_borrow(&b).len, 32);
}

static void
secrets_are_read_whole(void **state)
{
	auto_secret struct secret s = SECRET_NONE, none = SECRET_NONE;
	int p[2];

	(void)state;
	assert_int_equal(pipe(p), 0);
	assert_int_equal(write(p[1], "sesame\n", 7), 7);
	close(p[1]);
	assert_true(is_ok(secret_read_fd(p[0], 7, &s)));
	close(p[0]);
	assert_true(secret_eq(&s, SPAN_LIT("sesame")));
	assert_int_equal(pipe(p), 0);
	assert_int_equal(write(p[1], "sesame\n", 7), 7);
	close(p[1]);
	assert_int_equal(secret_read_fd(p[0], 6, &none).code, E_FULL);
	close(p[0]);
}

static void
seal_opens_only_unchanged(void **state)
{
	auto_secret struct secret key = SECRET_NONE, other = SECRET_NONE, opened = SECRET_NONE;
	struct buf blob = BUF_INIT(4096), plain = BUF_INIT(4096);
	struct span aad = SPAN_LIT("tenant a"), text = SPAN_LIT("the quick brown fox");

	(void)state;
	assert_true(is_ok(secret_random(SEAL_KEY_LEN, &key)));
	assert_true(is_ok(secret_random(SEAL_KEY_LEN, &other)));
	assert_true(is_ok(seal(&key, aad, text, &blob)));
	assert_int_equal(blob.len, text.len + SEAL_OVERHEAD);
	assert_true(is_ok(seal_open(&key, aad, buf_span(&blob), &plain)));
	assert_true(span_eq(buf_span(&plain), text));
	assert_true(is_ok(seal_open_secret(&key, aad, buf_span(&blob), &opened)));
	assert_true(secret_eq(&opened, text));

	buf_clear(&plain);
	for (size_t bit = 0; bit < blob.len * 8; bit++) {
		blob.ptr[bit / 8] ^= (uint8_t)(1U << (bit % 8));
		assert_int_equal(seal_open(&key, aad, buf_span(&blob), &plain).code,
		    bit < 8 ? E_SYNTAX : E_CRYPTO);
		assert_int_equal(plain.len, 0);
		blob.ptr[bit / 8] ^= (uint8_t)(1U << (bit % 8));
	}
	for (size_t len = 0; len < blob.len; len++)
		assert_false(is_ok(seal_open(&key, aad, span_of(blob.ptr, len), &plain)));
	assert_int_equal(seal_open(&other, aad, buf_span(&blob), &plain).code, E_CRYPTO);
	assert_int_equal(
	    seal_open(&key, SPAN_LIT("tenant b"), buf_span(&blob), &plain).code, E_CRYPTO);
	assert_int_equal(seal_open(&key, SPAN_EMPTY, buf_span(&blob), &plain).code, E_CRYPTO);
	buf_done(&blob);
	buf_done(&plain);
}

static void
seal_never_repeats(void **state)
{
	auto_secret struct secret key = SECRET_NONE, short_key = SECRET_NONE;
	struct buf a = BUF_INIT(4096), b = BUF_INIT(4096), tiny = BUF_INIT(SEAL_OVERHEAD - 1);

	(void)state;
	assert_true(is_ok(secret_random(SEAL_KEY_LEN, &key)));
	assert_true(is_ok(seal(&key, SPAN_EMPTY, SPAN_EMPTY, &a)));
	assert_true(is_ok(seal(&key, SPAN_EMPTY, SPAN_EMPTY, &b)));
	assert_false(span_eq(buf_span(&a), buf_span(&b)));
	assert_true(is_ok(seal_open(&key, SPAN_EMPTY, buf_span(&a), &b)));
	assert_int_equal(seal(&key, SPAN_EMPTY, SPAN_EMPTY, &tiny).code, E_FULL);
	assert_true(is_ok(secret_random(16, &short_key)));
	assert_int_equal(seal(&short_key, SPAN_EMPTY, SPAN_EMPTY, &a).code, E_RANGE);
	buf_done(&a);
	buf_done(&b);
	buf_done(&tiny);
}

/* The derivation is a format: what was sealed once must open for ever. */
static void
file_secrets_open_under_their_name(void **state)
{
	static const uint8_t want[SEAL_KEY_LEN] = { 0x24, 0x69, 0x10, 0xb6, 0x49, 0x2b, 0x44, 0x08,
		0xc3, 0xd9, 0xd6, 0x36, 0x7a, 0x65, 0x10, 0x84, 0x15, 0x7d, 0x9f, 0x59, 0xc4, 0x8e,
		0x35, 0x96, 0x7f, 0xc7, 0x64, 0xfe, 0xf1, 0x5f, 0x2d, 0xbf };
	auto_secret struct secret master = SECRET_NONE, key = SECRET_NONE, other = SECRET_NONE;
	auto_secret struct secret value = SECRET_NONE, opened = SECRET_NONE, none = SECRET_NONE;
	struct buf blob = BUF_INIT(FILE_SECRET_BLOB_MAX);

	(void)state;
	assert_true(is_ok(secret_new(MASTER_KEY_LEN, &master)));
	for (size_t i = 0; i < MASTER_KEY_LEN; i++)
		master.ptr[i] = (uint8_t)i;
	assert_true(is_ok(file_secret_key(&master, &key)));
	assert_memory_equal(key.ptr, want, sizeof(want));
	assert_true(is_ok(secret_random(SEAL_KEY_LEN, &other)));
	assert_true(is_ok(secret_from_span(SPAN_LIT("sk-value"), &value)));
	assert_true(is_ok(file_secret_seal(&key, SPAN_LIT("openai"), &value, &blob)));
	assert_true(is_ok(file_secret_open(&key, SPAN_LIT("openai"), buf_span(&blob), &opened)));
	assert_true(secret_eq(&opened, SPAN_LIT("sk-value")));
	assert_int_equal(
	    file_secret_open(&key, SPAN_LIT("openaj"), buf_span(&blob), &none).code, E_CRYPTO);
	assert_int_equal(
	    file_secret_open(&other, SPAN_LIT("openai"), buf_span(&blob), &none).code, E_CRYPTO);
	assert_int_equal(file_secret_seal(&key, SPAN_LIT("a/b"), &value, &blob).code, E_RANGE);
	assert_int_equal(file_secret_seal(&key, SPAN_LIT("x"), &none, &blob).code, E_RANGE);
	assert_false(file_secret_name_ok(SPAN_EMPTY));
	assert_true(file_secret_name_ok(SPAN_LIT("A-z_0.9")));
	buf_done(&blob);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sha256_matches_fips),
		cmocka_unit_test(hmac_matches_rfc4231),
		cmocka_unit_test(hmac_refuses_short_keys),
		cmocka_unit_test(hkdf_matches_rfc5869),
		cmocka_unit_test(ed25519_matches_rfc8032),
		cmocka_unit_test(generated_keys_sign),
		cmocka_unit_test(secrets_are_locked_and_not_dumped),
		cmocka_unit_test(secrets_do_not_survive_fork_or_overrun),
		cmocka_unit_test(secrets_move_and_have_limits),
		cmocka_unit_test(secrets_are_read_whole),
		cmocka_unit_test(seal_opens_only_unchanged),
		cmocka_unit_test(seal_never_repeats),
		cmocka_unit_test(file_secrets_open_under_their_name),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
