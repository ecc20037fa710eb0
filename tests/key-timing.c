/* SPDX-License-Identifier: Apache-2.0 */
/*
 * key-timing: how long the check of an API key takes, by what is wrong with it.
 *
 *	key-timing [TRIES]
 *
 * Runs in:    a shell. Prints one JSON object: nanoseconds by kind, their p50 and the
 *             mean of the faster nine tenths.
 * Trusts:     nothing. Owns: nothing.
 * Invariants: kinds come in random order, each with as many keys of its own in the same
 *             table, so that caches know none of them better; every text has a right
 *             checksum, else it is refused without a look-up, and that is no secret.
 * See:        src/authority/keys.c; tests/system/test_key_timing.py, bench/rows.py.
 */
#include <keys.h>
#include <stdio.h>
#include <stdlib.h>

#include <base/clock.h>
#include <base/encode.h>
#include <base/rand.h>
#include <crypto/crypto.h>
#include <keytext/keytext.h>

#define TRIES 1000000U
#define TEXTS 4096U /* of each kind, made ahead; UNKNOWN has keys that are never asked for */

enum kind { GOOD, UNKNOWN, EARLY, LATE, WRONG, REVOKED, KINDS };
static const char *const names[KINDS] = { "good", "unknown_id", "early_mismatch", "late_mismatch",
	"wrong_secret", "revoked" };

static uint8_t (*texts)[KEYTEXT_LEN]; /* KINDS * TEXTS */
static uint32_t *samples[KINDS];
static uint32_t counts[KINDS];

static void
must(struct status st)
{
	if (is_ok(st))
		return;
	fprintf(stderr, "key-timing: %s\n", status_text(st));
	exit(1);
}

static uint64_t
draw(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* Another digit at `at`, and the checksum of that. */
static void
change(uint8_t text[KEYTEXT_LEN], size_t at)
{
	size_t crc_at = KEYTEXT_LEN - KEYTEXT_CRC_LEN;

	text[at] = text[at] == 'a' ? 'b' : 'a';
	base62_u64(crc32_ieee(span_of(text, crc_at)), (char *)text + crc_at, KEYTEXT_CRC_LEN);
}

/* The id of one, the secret of another. */
static void
wrong(uint8_t text[KEYTEXT_LEN])
{
	uint8_t other[KEYTEXT_LEN];

	must(keytext_create(other));
	memcpy(other, text, KEYTEXT_PREFIX_LEN + KEYTEXT_ID_LEN);
	memcpy(text, other, KEYTEXT_LEN);
	change(text, KEYTEXT_LEN - KEYTEXT_CRC_LEN - 1);
}

static void
make_keys(struct keys *k, const struct policies *p)
{
	uint8_t subject_key[AS_SECRET_LEN] = { 1 };
	struct as_key m = { .tenant = SPAN_LIT("t"),
		.user = SPAN_LIT("u"),
		.policy = SPAN_LIT("p"),
		.created_s = 1 };

	must(keys_put_pepper(k, 1, (const uint8_t *)"0123456789abcdef0123456789abcdef"));
	must(keys_put_user(k, m.tenant, m.user, subject_key, NULL));
	/* Not kind by kind: neighbours in the table are of all kinds. */
	for (uint32_t i = 0; i < KINDS * TEXTS; i++) {
		uint8_t *text = texts[i % KINDS * TEXTS + i / KINDS];

		must(keytext_create(text));
		memcpy(m.id, text + KEYTEXT_PREFIX_LEN, sizeof(m.id));
		must(keys_hash(k, span_of(text, KEYTEXT_LEN), m.hash, &m.pepper));
		m.revoked_s = i % KINDS == REVOKED ? 2 : 0;
		must(keys_put(k, p, &m, NULL));
	}
}

static void
spoil_texts(void)
{
	size_t secret_at = KEYTEXT_PREFIX_LEN + KEYTEXT_ID_LEN + 1;

	for (uint32_t i = 0; i < KINDS * TEXTS; i++) {
		enum kind kind = (enum kind)(i / TEXTS);

		if (kind == UNKNOWN)
			must(keytext_create(texts[i]));
		else if (kind == EARLY)
			change(texts[i], secret_at);
		else if (kind == LATE)
			change(texts[i], secret_at + KEYTEXT_SECRET_LEN - 1);
		else if (kind == WRONG)
			wrong(texts[i]);
	}
}

static void
measure(const struct keys *k, uint32_t tries, uint64_t *state)
{
	for (uint32_t i = 0; i < tries; i++) {
		uint64_t r = draw(state);
		enum kind kind = (enum kind)(r % KINDS);
		const uint8_t *text = texts[kind * TEXTS + (r >> 32) % TEXTS];
		uint64_t begun = clock_mono_ns();
		const struct key *key = keys_check(k, span_of(text, KEYTEXT_LEN), 10);
		uint64_t took = clock_mono_ns() - begun;

		if ((key != NULL) != (kind == GOOD))
			must(fail(E_PROTO));
		samples[kind][counts[kind]++] = took > UINT32_MAX ? UINT32_MAX : (uint32_t)took;
	}
}

static int
by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void
print(void)
{
	for (size_t k = 0; k < KINDS; k++) {
		uint32_t n = counts[k] * 9 / 10;
		double sum = 0;

		qsort(samples[k], counts[k], sizeof(samples[k][0]), by_size);
		for (uint32_t i = 0; i < n; i++)
			sum += samples[k][i];
		printf("%s\"%s\": {\"p50\": %u, \"mean\": %.2f, \"tries\": %u}",
		    k == 0 ? "{" : ", ", names[k], samples[k][counts[k] / 2], sum / n, counts[k]);
	}
	printf("}\n");
}

int
main(int argc, char **argv)
{
	uint64_t state = 0x9e3779b97f4a7c15ULL, n = TRIES;
	struct policies policies = { 0 };
	struct keys keys;

	if (argc > 1)
		must(span_u64(span_str(argv[1]), 100000000, &n));
	must(crypto_init());
	must(keys_init(&keys));
	texts = calloc(KINDS * TEXTS, sizeof(*texts));
	for (size_t k = 0; k < KINDS; k++)
		samples[k] = calloc(n + 1, sizeof(samples[0][0]));
	if (texts == NULL || samples[KINDS - 1] == NULL)
		must(fail(E_NOMEM));
	make_keys(&keys, &policies);
	spoil_texts();
	measure(&keys, (uint32_t)(n / 10), &state); /* warm */
	memset(counts, 0, sizeof(counts));
	measure(&keys, (uint32_t)n, &state);
	print();
	return 0;
}
