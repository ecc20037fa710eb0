/* SPDX-License-Identifier: Apache-2.0 */
/* src/authority/keys.c, failures.c, record.c: keys, failures, sealed sources. */
#include "authority_rig.h"

/* ---- keys ---- */
struct made {
	struct keys keys;
	struct policies policies;
	uint8_t text[KEYTEXT_LEN];
	struct key *key;
};

static void
make(struct made *m)
{
	uint8_t pepper[32] = { 1, 2, 3 }, subject[32] = { 9, 8, 7 };
	struct as_key k = { .tenant = SPAN_LIT("t"),
		.user = SPAN_LIT("u"),
		.policy = SPAN_LIT("all"),
		.created_s = NOW_S - 10 };

	m->policies = load();
	assert_true(is_ok(keys_init(&m->keys)));
	assert_true(is_ok(keytext_create(m->text)));
	assert_null(keys_check(&m->keys, span_of(m->text, sizeof(m->text)), NOW_S));
	assert_true(is_ok(keys_put_pepper(&m->keys, 1, pepper)));
	memcpy(k.id, m->text + 3, sizeof(k.id));
	assert_true(
	    is_ok(keys_hash(&m->keys, span_of(m->text, sizeof(m->text)), k.hash, &k.pepper)));
	assert_int_equal(keys_put(&m->keys, &m->policies, &k, NULL).code, E_PROTO); /* no user */
	assert_true(is_ok(keys_put_user(&m->keys, k.tenant, k.user, subject, NULL)));
	assert_true(is_ok(keys_put(&m->keys, &m->policies, &k, &m->key)));
}

static void
unmake(struct made *m)
{
	keys_done(&m->keys);
	policies_done(&m->policies);
}

static void
test_keys_check(void **state)
{
	struct made m;
	struct span text;
	uint8_t other[KEYTEXT_LEN];
	char crc[6];

	(void)state;
	make(&m);
	text = span_of(m.text, sizeof(m.text));
	assert_ptr_equal(keys_check(&m.keys, text, NOW_S), m.key);
	/* The same id with another secret and a right checksum; an unknown id. */
	memcpy(other, m.text, sizeof(other));
	other[30] = other[30] == 'a' ? 'b' : 'a';
	base62_u64(crc32_ieee(span_of(other, 59)), crc, 6);
	memcpy(other + 59, crc, 6);
	assert_true(keytext_ok(span_of(other, sizeof(other))));
	assert_null(keys_check(&m.keys, span_of(other, sizeof(other)), NOW_S));
	assert_true(is_ok(keytext_create(other)));
	assert_null(keys_check(&m.keys, span_of(other, sizeof(other)), NOW_S));
	assert_null(keys_check(&m.keys, SPAN_EMPTY, NOW_S));
	assert_null(keys_check(&m.keys, SPAN_LIT("sk-something"), NOW_S));
	m.key->expires_s = NOW_S;
	assert_null(keys_check(&m.keys, text, NOW_S));
	assert_ptr_equal(keys_check(&m.keys, text, NOW_S - 1), m.key);
	m.key->revoked_s = NOW_S;
	assert_null(keys_check(&m.keys, text, NOW_S - 1));
	unmake(&m);
}

static void
test_keys_pseudonyms(void **state)
{
	/* Computed by Python's hmac from subject key 09 08 07 00…, see keys.c for the messages. */
	uint8_t subject[SUBJECT_LEN];
	struct hmac_key *h = NULL;
	uint8_t key[32] = { 9, 8, 7 }, mac[32];
	struct made m;

	(void)state;
	make(&m);
	assert_true(is_ok(
	    hex_decode(SPAN_LIT("70f901e9d093741e97d43a14eb552c35"), subject, sizeof(subject))));
	assert_memory_equal(m.key->user->subject, subject, SUBJECT_LEN);
	assert_true(is_ok(hmac_key_new(span_of(key, 32), &h)));
	assert_true(is_ok(hmac_sha256_parts(
	    h, (struct span[]){ SPAN_LIT("key"), span_of(m.key->id, KEY_ID_LEN) }, 2, mac)));
	assert_memory_equal(m.key->pseudonym, mac, SUBJECT_LEN);
	hmac_key_free(h);
	unmake(&m);
}

static void
test_keys_many_and_reload(void **state)
{
	uint8_t subject[32] = { 1 };
	char name[32];
	struct made m;

	(void)state;
	make(&m);
	keys_load_begin(&m.keys);
	for (uint32_t i = 0; i < 20000; i++) {
		struct as_key k = { .tenant = SPAN_LIT("many"), .policy = SPAN_LIT("chatty") };

		(void)snprintf(name, sizeof(name), "user%u", i % 5000);
		k.user = span_str(name);
		base62_u64(i, (char *)k.id, sizeof(k.id));
		assert_true(is_ok(keys_put_user(&m.keys, k.tenant, k.user, subject, NULL)));
		assert_true(is_ok(keys_put(&m.keys, &m.policies, &k, NULL)));
	}
	assert_int_equal(m.keys.nkeys, 20001);
	assert_int_equal(m.keys.nusers, 5001);
	for (uint32_t i = 0; i < 20000; i++) {
		char id[KEY_ID_LEN];

		base62_u64(i, id, sizeof(id));
		assert_non_null(keys_find(&m.keys, span_of(id, sizeof(id))));
	}
	/* The tenant is part of who somebody is. */
	assert_null(keys_find_user(&m.keys, SPAN_LIT("t"), SPAN_LIT("user1")));
	assert_ptr_equal(m.key->user, keys_find_user(&m.keys, SPAN_LIT("t"), SPAN_LIT("u")));
	/* A key that the store no longer names is not valid any more. */
	keys_load_end(&m.keys, NOW_S);
	assert_int_equal(m.key->revoked_s, NOW_S);
	unmake(&m);
}

static void
test_keys_never_change_hands(void **state)
{
	uint8_t subject[32] = { 1 };
	struct made m;
	struct as_key k = {
		.tenant = SPAN_LIT("t"), .user = SPAN_LIT("v"), .policy = SPAN_LIT("all")
	};

	(void)state;
	make(&m);
	assert_true(is_ok(keys_put_user(&m.keys, k.tenant, k.user, subject, NULL)));
	memcpy(k.id, m.key->id, sizeof(k.id));
	assert_int_equal(keys_put(&m.keys, &m.policies, &k, NULL).code, E_PROTO);
	/* And a revocation is never taken back. */
	m.key->revoked_s = 5;
	k.user = SPAN_LIT("u");
	assert_true(is_ok(keys_put(&m.keys, &m.policies, &k, NULL)));
	assert_int_equal(m.key->revoked_s, 5);
	unmake(&m);
}

/* Whom there is no locked memory for is not there, and has no key. */
static void
test_no_place_for_a_user(void **state)
{
	struct as_key k = { .id = "kkkkkkkkkkkk",
		.tenant = SPAN_LIT("t"),
		.user = SPAN_LIT("late"),
		.policy = SPAN_LIT("all") };
	const uint8_t subject[AS_SECRET_LEN] = { 6 };
	struct made m;

	(void)state;
	make(&m);
	m.keys.users_max = m.keys.nusers;
	assert_int_equal(keys_put_user(&m.keys, k.tenant, k.user, subject, NULL).code, E_FULL);
	assert_null(keys_find_user(&m.keys, k.tenant, k.user));
	assert_int_equal(keys_put(&m.keys, &m.policies, &k, NULL).code, E_PROTO);
	assert_true(is_ok(keys_put_user(&m.keys, k.tenant, SPAN_LIT("u"), subject, NULL)));
	unmake(&m);
}

/* ---- failures ---- */
struct told {
	uint64_t count, others, records;
	uint8_t source[SOURCE_LEN];
	bool broken;
};

static bool
tell(void *ctx, const uint8_t *source, uint64_t count, uint64_t window_ms)
{
	struct told *t = ctx;

	(void)window_ms;
	if (t->broken)
		return false;
	t->records++;
	if (source == NULL) {
		t->others += count;
		return true;
	}
	memcpy(t->source, source, SOURCE_LEN);
	t->count += count;
	return true;
}

static void
v4(uint8_t out[SOURCE_LEN], uint32_t n)
{
	memset(out, 0, SOURCE_LEN);
	out[10] = out[11] = 0xff;
	for (int i = 0; i < 4; i++)
		out[12 + i] = (uint8_t)(n >> (24 - 8 * i));
}

/* 10,000 a second of one source: 100 records and one that counts; another source is untouched. */
static void
test_failures_flood(void **state)
{
	struct failures *f = calloc(1, sizeof(*f));
	uint8_t bad[SOURCE_LEN], good[SOURCE_LEN];
	struct told told = { 0 };
	uint64_t singles = 0, good_singles = 0;

	(void)state;
	assert_non_null(f);
	assert_true(is_ok(failures_init(f)));
	v4(bad, 1);
	v4(good, 2);
	for (uint64_t s = 100; s < 103; s++) {
		for (int i = 0; i < 10000; i++)
			singles += failures_note(f, bad, 1, 100, s);
		for (int i = 0; i < 5; i++)
			good_singles += failures_note(f, good, 1, 100, s);
		failures_flush(f, s * 1000 + 999, tell, &told);
	}
	assert_int_equal(singles, 300);
	assert_int_equal(good_singles, 15);
	assert_int_equal(told.records, 3);
	assert_int_equal(told.count, 3 * 9900);
	assert_memory_equal(told.source, bad, SOURCE_LEN);
	failures_done(f);
	free(f);
}

/* As many sources as there are: a bounded table and every failure in one record. */
static void
test_failures_sources(void **state)
{
	struct failures *f = calloc(1, sizeof(*f));
	struct told told = { 0 };
	uint64_t singles = 0;
	uint8_t source[SOURCE_LEN];

	(void)state;
	assert_non_null(f);
	assert_true(is_ok(failures_init(f)));
	for (uint32_t i = 0; i < 100000; i++) {
		v4(source, i);
		singles += failures_note(f, source, 1, 100, 50);
	}
	assert_int_equal(singles, FAILURE_SINGLES_PER_S_MAX);
	told.broken = true;
	failures_flush(f, 51000, tell, &told);
	told.broken = false;
	failures_flush(f, 52000, tell, &told);
	assert_true(told.records <= FAILURE_COUNTED_PER_S_MAX + 1);
	assert_int_equal(singles + told.count + told.others, 100000);
	/* One network of IPv6 is one source. */
	memset(source, 0x20, sizeof(source));
	for (uint32_t i = 0; i < 300; i++) {
		memcpy(source + 8, &i, sizeof(i));
		assert_int_equal(failures_note(f, source, 1, 100, 60), i < 100);
	}
	failures_done(f);
	free(f);
}

/* ---- records and bodies ---- */
static void
test_sealed_source_is_cached(void **state)
{
	struct sealer s;
	uint8_t source[SOURCE_LEN], key[32] = { 4 };
	struct span a, b;
	char first[SOURCE_TEXT_MAX];

	(void)state;
	v4(source, 7);
	assert_true(is_ok(sealer_init(&s)));
	assert_int_equal(sealer_source(&s, NULL, source, &a).code, E_DENIED);
	assert_true(is_ok(sealer_set_day(&s, (const uint8_t *)"2026-01-31", key, false)));
	assert_true(is_ok(sealer_source(&s, NULL, source, &a)));
	assert_true(a.len > 100 && a.len <= AUDIT_SEALED_MAX);
	memcpy(first, a.ptr, a.len);
	assert_true(is_ok(sealer_source(&s, NULL, source, &b)));
	assert_true(span_eq(b, span_of(first, a.len)));
	assert_true(is_ok(sealer_set_day(&s, (const uint8_t *)"2026-02-01", key, true)));
	assert_false(sealer_turn_day(&s, "2026-01-31"));
	assert_true(sealer_turn_day(&s, "2026-02-01"));
	assert_true(is_ok(sealer_source(&s, NULL, source, &b)));
	assert_false(span_eq(b, span_of(first, a.len)));
	sealer_done(&s);
}

/* ---- what there is of a person, and of a tenant ---- */

static struct user *
one_more(struct keys *keys, const struct policies *p, const char *tenant, const char *user, char id)
{
	const uint8_t subject[AS_SECRET_LEN] = { (uint8_t)user[0], (uint8_t)tenant[0] };
	struct as_key k = { .tenant = span_str(tenant),
		.user = span_str(user),
		.policy = SPAN_LIT("all"),
		.pepper = 1 };
	struct user *u = NULL;

	memset(k.id, id, sizeof(k.id));
	assert_true(is_ok(keys_put_user(keys, k.tenant, k.user, subject, &u)));
	assert_true(is_ok(keys_put(keys, p, &k, NULL)));
	return u;
}

static size_t
keys_of(const struct user *u)
{
	const struct key *key;
	size_t n = 0;

	SLIST_FOREACH(key, &u->keys, of_user)
	{
		assert_ptr_equal(key->user, u);
		n++;
	}
	return n;
}

static size_t
users_of(const struct keys_tenant *t)
{
	const struct user *u;
	size_t n = 0;

	SLIST_FOREACH(u, &t->users, of_tenant)
	{
		assert_ptr_equal(u->of, t);
		n++;
	}
	assert_int_equal(n, t->nusers);
	return n;
}

/* Each is in one list, once, whatever a LOAD says again. */
static void
test_lists(void **state)
{
	struct keys_tenant *t;
	struct made m;
	struct user *u;

	(void)state;
	make(&m);
	assert_null(keys_find_tenant(&m.keys, SPAN_LIT("s")));
	for (unsigned load = 0; load < 3; load++) {
		keys_load_begin(&m.keys);
		(void)one_more(&m.keys, &m.policies, "s", "u", 'A');
		u = one_more(&m.keys, &m.policies, "s", "u", 'B');
		(void)one_more(&m.keys, &m.policies, "s", "v", 'C');
		keys_load_end(&m.keys, NOW_S);
		assert_int_equal(keys_of(u), 2);
		t = keys_find_tenant(&m.keys, SPAN_LIT("s"));
		assert_int_equal(users_of(t), 2);
		assert_int_equal(t->nkeys, 3);
	}
	/* Who was not named is gone, and still in the table. */
	t = keys_find_tenant(&m.keys, SPAN_LIT("t"));
	assert_int_equal(users_of(t), 1);
	assert_int_equal(t->nkeys, 1);
	assert_int_equal(SLIST_FIRST(&t->users)->state, USER_ERASED);
	unmake(&m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys_check),
		cmocka_unit_test(test_keys_pseudonyms),
		cmocka_unit_test(test_keys_many_and_reload),
		cmocka_unit_test(test_keys_never_change_hands),
		cmocka_unit_test(test_no_place_for_a_user),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_failures_flood),
		cmocka_unit_test(test_failures_sources),
		cmocka_unit_test(test_sealed_source_is_cached),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
