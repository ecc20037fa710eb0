/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_authority.c: keys, policies, limits and counted failures.
 */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#include <base/encode.h>
#include <crypto/crypto.h>
#include <keytext/keytext.h>

#include "admin_json.h"
#include "failures.h"
#include "keys.h"
#include "quota.h"
#include "policy.h"
#include "record.h"

#define NOW_S 1800000000ULL
#define die(...)                          \
	do {                              \
		print_error(__VA_ARGS__); \
		assert_true(false);       \
	} while (0)

static const char yaml[] =
    "policies:\n"
    "  all: { endpoints: '*', models: '*', tools: '*', languages: '*' }\n"
    "  chatty: { endpoints: [chat, models], models: [alpha],\n"
    "            requests_per_min: 5, concurrent: 2 }\n"
    "  runner: { endpoints: [execute], languages: [python] }\n"
    "  helped: { endpoints: [chat], models: '*', tools: [code_interpreter], languages: [python],\n"
    "            attach: [code_interpreter] }\n"
    "providers: { d: { kind: demo } }\n"
    "models:\n"
    "  alpha: [ { provider: d, model: a } ]\n"
    "  beta: [ { provider: d, model: b } ]\n"
    "sandboxes: { python: { pool: 1 }, sh: { pool: 1 } }\n"
    "engines: { runsc: /x/runsc, image: /x/image, manifest: /x/manifest }\n";

static struct policies
load(void)
{
	struct policies p = { 0 };
	struct conf *conf = NULL;
	char error[CONF_ERROR_MAX] = "";

	if (!is_ok(conf_parse(span_str(yaml), &conf, error)))
		die("%s", error);
	assert_true(is_ok(policies_load(conf, &p)));
	conf_free(conf);
	return p;
}

/* ---- policy: each cell of {policy} x {demand} ---- */

static const struct demand demands[] = {
	{ ENDPOINT_CHAT, SPAN_LIT("alpha"), { NULL, 0 }, 0 },
	{ ENDPOINT_CHAT, SPAN_LIT("beta"), { NULL, 0 }, 0 },
	{ ENDPOINT_CHAT, SPAN_LIT("gamma"), { NULL, 0 }, 0 },
	{ ENDPOINT_CHAT, SPAN_LIT("alph"), { NULL, 0 }, 0 },
	{ ENDPOINT_CHAT, SPAN_LIT("Alpha"), { NULL, 0 }, 0 },
	{ ENDPOINT_CHAT, { NULL, 0 }, { NULL, 0 }, 0 },
	{ ENDPOINT_CHAT, SPAN_LIT("alpha"), { NULL, 0 }, TOOL_CODE_INTERPRETER },
	{ ENDPOINT_CHAT, SPAN_LIT("alpha"), { NULL, 0 }, 0x80 },
	{ ENDPOINT_MODELS, { NULL, 0 }, { NULL, 0 }, 0 },
	{ ENDPOINT_EXECUTE, { NULL, 0 }, SPAN_LIT("python"), 0 },
	{ ENDPOINT_EXECUTE, { NULL, 0 }, SPAN_LIT("sh"), 0 },
	{ ENDPOINT_EXECUTE, { NULL, 0 }, SPAN_LIT("perl"), 0 },
	{ ENDPOINT_OTHER, { NULL, 0 }, { NULL, 0 }, 0 },
	{ 0, { NULL, 0 }, { NULL, 0 }, 0 },
};
#define N ERROR_NONE
#define D ERROR_DENIED
#define M ERROR_MODEL_NOT_FOUND
#define L ERROR_LANGUAGE
#define R ERROR_NO_ROUTE
static const struct {
	const char *name;
	enum error expect[COUNT(demands)];
} cells[] = {
	{ "all", { N, N, M, M, M, M, N, D, N, N, N, L, R, R } },
	{ "chatty", { N, M, M, M, M, M, D, D, N, D, D, D, R, R } },
	{ "runner", { D, D, D, D, D, D, D, D, D, N, D, L, R, R } },
	{ "helped", { N, N, M, M, M, M, N, D, D, D, D, D, R, R } },
	{ "nobody", { D, D, D, D, D, D, D, D, D, D, D, D, R, R } },
};

static void
test_policy_cells(void **state)
{
	struct policies p = load();

	(void)state;
	for (size_t i = 0; i < COUNT(cells); i++) {
		const struct policy *policy = policies_find(&p, span_str(cells[i].name));

		for (size_t j = 0; j < COUNT(demands); j++) {
			enum error got = policy_decide(
			    &p, &(struct permit){ .policy = policy }, &demands[j]);

			if (got != cells[i].expect[j])
				die("%s, demand %zu: %d, not %d", cells[i].name, j, got,
				    cells[i].expect[j]);
		}
	}
	policies_done(&p);
}

/* Every endpoint can be named in a policy, alone, with just what its row needs. */
static void
test_policy_of_each_endpoint(void **state)
{
	static const char rest[] =
	    "providers: { d: { kind: demo },\n"
	    " o: { kind: openai, base_url: 'https://o', credential: 'file:k' },\n"
	    " a: { kind: anthropic, base_url: 'https://a', credential: 'file:k' } }\n"
	    "models: { alpha: [ { provider: d, model: a }, { provider: o, model: a },\n"
	    " { provider: a, model: a } ] }\n"
	    "sandboxes: { python: { pool: 1 } }\n"
	    "engines: { runsc: /x, image: /y, manifest: /z }\n";

	(void)state;
	for (uint8_t e = ENDPOINT_CHAT; e < ENDPOINT_OPENAPI; e++) {
		const struct endpoint_row *row = &endpoint_rows[e];
		char text[1024], error[CONF_ERROR_MAX] = "";
		struct demand d = { .endpoint = e };
		struct policies p = { 0 };
		struct conf *conf = NULL;

		(void)snprintf(text, sizeof(text),
		    "policies: { one: { endpoints: [%s]%s%s%s } }\n%s", row->name,
		    row->asks_model ? ", models: [alpha]" : "",
		    row->takes_tools ? ", tools: [code_interpreter], attach: [code_interpreter]"
		    : e >= ENDPOINT_TOOL_PUSH && e <= ENDPOINT_TOOL_CALL ? ", tools: [mine]"
									 : "",
		    row->takes_tools || e == ENDPOINT_EXECUTE ? ", languages: [python]" : "", rest);
		if (!is_ok(conf_parse(span_str(text), &conf, error)))
			die("%s: %s", row->name, error);
		assert_true(is_ok(policies_load(conf, &p)));
		conf_free(conf);
		d.model = row->asks_model ? SPAN_LIT("alpha") : SPAN_EMPTY;
		d.language = e == ENDPOINT_EXECUTE ? SPAN_LIT("python") : SPAN_EMPTY;
		for (uint8_t other = ENDPOINT_CHAT; other < ENDPOINT_OTHER; other++) {
			struct demand of = d;

			/* Endpoints of one name are one right. */
			of.endpoint = other;
			assert_int_equal(
			    policy_decide(&p, &(struct permit){ .policy = &p.items[0] }, &of),
			    other == ENDPOINT_OPENAPI ||
				    strcmp(endpoint_rows[other].name, row->name) == 0
				? ERROR_NONE
				: ERROR_DENIED);
		}
		d.tools = TOOL_CODE_INTERPRETER;
		if (row->asks_model)
			assert_int_equal(
			    policy_decide(&p, &(struct permit){ .policy = &p.items[0] }, &d),
			    row->takes_tools ? ERROR_NONE : ERROR_DENIED);
		/* Without a model, or with tools where there are none, it is refused at the start.
		 */
		if (row->asks_model) {
			(void)snprintf(text, sizeof(text),
			    "policies: { one: { endpoints: [%s] } }\n%s", row->name, rest);
			assert_false(is_ok(conf_parse(span_str(text), &conf, error)));
		}
		if (row->asks_model && !row->takes_tools) {
			(void)snprintf(text, sizeof(text),
			    "policies: { one: { endpoints: [%s], models: '*', tools: "
			    "[code_interpreter] } }\n%s",
			    row->name, rest);
			assert_false(is_ok(conf_parse(span_str(text), &conf, error)));
		}
		policies_done(&p);
	}
}

static void
test_policy_runs(void **state)
{
	struct policies p = load();
	const struct policy *helped = policies_find(&p, SPAN_LIT("helped"));
	const struct policy *chatty = policies_find(&p, SPAN_LIT("chatty"));
	struct span python = SPAN_LIT("python");
	uint8_t ci = TOOL_CODE_INTERPRETER;

	(void)state;
	assert_int_equal(helped->attach, TOOL_CODE_INTERPRETER);
	assert_int_equal(
	    policy_decide_run(&p, &(struct permit){ .policy = helped }, ci, python), ERROR_NONE);
	assert_int_equal(
	    policy_decide_run(&p, &(struct permit){ .policy = helped }, 0, python), ERROR_DENIED);
	assert_int_equal(
	    policy_decide_run(&p, &(struct permit){ .policy = helped }, ci, SPAN_LIT("sh")),
	    ERROR_DENIED);
	assert_int_equal(
	    policy_decide_run(&p, &(struct permit){ .policy = helped }, ci, SPAN_LIT("perl")),
	    ERROR_LANGUAGE);
	assert_int_equal(
	    policy_decide_run(&p, &(struct permit){ .policy = chatty }, ci, python), ERROR_DENIED);
	assert_int_equal(
	    policy_decide_run(&p, &(struct permit){ .policy = NULL }, ci, python), ERROR_DENIED);
	policies_done(&p);
}

static void
test_policy_models(void **state)
{
	struct policies p = load();
	struct permit all = { .policy = policies_find(&p, SPAN_LIT("all")) };
	struct permit chatty = { .policy = policies_find(&p, SPAN_LIT("chatty")) };
	struct buf out = BUF_INIT(MODELS_TEXT_MAX);

	(void)state;
	assert_true(is_ok(policy_models(&p, &all, &out)));
	assert_true(span_eq_str(buf_span(&out), "alpha\nbeta"));
	buf_clear(&out);
	assert_true(is_ok(policy_models(&p, &chatty, &out)));
	assert_true(span_eq_str(buf_span(&out), "alpha"));
	buf_done(&out);
	policies_done(&p);
}

/* ---- limits ---- */

/* No 60 s hold more than the limit, wherever they begin, whoever comes when. */
static void
test_rate_is_exact(void **state)
{
	static uint64_t taken[20000];
	struct holder keys[2] = { { 0 } }, user = { 0 };
	const struct limit_set key_limits = { 50, 100 }, user_limits = { 80, 100 };
	size_t n = 0, from = 0;
	uint32_t seed = 7;

	(void)state;
	for (uint64_t ms = 5000; ms < 400000; ms += 1 + (seed >> 24) % 40) {
		struct verdict v;

		seed = seed * 1664525 + 1013904223;
		limits_take(&keys[seed >> 31], key_limits, &user, user_limits, ms, &v);
		if (v.error != ERROR_NONE) {
			assert_int_equal(v.error, ERROR_RATE_LIMIT);
			assert_in_range(v.retry_after_ms, 1, 61000);
			continue;
		}
		assert_true(n < COUNT(taken));
		taken[n++] = ms;
	}
	for (size_t i = 0; i < n; i++) {
		while (taken[from] + 60000 <= taken[i])
			from++;
		assert_true(i - from + 1 <= user_limits.per_min);
	}
	/* Nor does it starve anybody: at most a second of each minute is lost. */
	assert_true(n >= 80 * 6);
	holder_done(&keys[0]);
	holder_done(&keys[1]);
	holder_done(&user);
}

static void
test_rate_burst_and_headers(void **state)
{
	struct holder key = { 0 }, user = { 0 };
	const struct limit_set key_limits = { 10, 64 }, user_limits = { 100, 64 };
	struct verdict v;

	(void)state;
	for (uint32_t i = 0; i < 10; i++) {
		limits_take(&key, key_limits, &user, user_limits, 1000500, &v);
		assert_int_equal(v.error, ERROR_NONE);
		assert_int_equal(v.limit, 10);
		assert_int_equal(v.remaining, 9 - i);
		assert_int_equal(v.reset_ms, 60000);
	}
	limits_take(&key, key_limits, &user, user_limits, 1000900, &v);
	assert_int_equal(v.error, ERROR_RATE_LIMIT);
	assert_int_equal(v.retry_after_ms, 60000);
	assert_int_equal(user.rate->total, 10); /* a refusal counts nowhere */
	limits_take(&key, key_limits, &user, user_limits, 1000900 + 60099, &v);
	assert_int_equal(v.error, ERROR_RATE_LIMIT);
	limits_take(&key, key_limits, &user, user_limits, 1000900 + 60100, &v);
	assert_int_equal(v.error, ERROR_NONE);
	holder_sweep(&key, 1000900 + 60100 + 121000);
	assert_null(key.rate);
	holder_done(&user);
}

static void
test_concurrency(void **state)
{
	struct holder a = { 0 }, b = { 0 }, user = { 0 };
	const struct limit_set key_limits = { 1000, 2 }, user_limits = { 1000, 3 };
	struct verdict v;

	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_false(limits_full(&a, key_limits, &user, user_limits, 1000));
		limits_take(&a, key_limits, &user, user_limits, 1000, &v);
		assert_int_equal(v.error, ERROR_NONE);
		limits_hold(&a, &user);
	}
	assert_true(limits_full(&a, key_limits, &user, user_limits, 1000));
	assert_false(limits_full(&b, key_limits, &user, user_limits, 1000));
	assert_int_equal(user.rate->total, 2); /* to ask counts nothing */
	limits_take(&a, key_limits, &user, user_limits, 1000, &v);
	assert_int_equal(v.error, ERROR_CONCURRENCY);
	limits_take(&b, key_limits, &user, user_limits, 1000, &v);
	assert_int_equal(v.error, ERROR_NONE);
	limits_hold(&b, &user);
	limits_take(&b, key_limits, &user, user_limits, 1000, &v);
	assert_int_equal(v.error, ERROR_CONCURRENCY); /* the user's */
	limits_release(&a, &user);
	limits_take(&b, key_limits, &user, user_limits, 1000, &v);
	assert_int_equal(v.error, ERROR_NONE);
	holder_done(&a);
	holder_done(&b);
	holder_done(&user);
}

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
	/* A user for whose key there was no locked memory has none. */
	m.key->user->subject_key = NULL;
	assert_int_equal(keys_put(&m.keys, &m.policies, &k, NULL).code, E_NOMEM);
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

static int
setup(void **state)
{
	(void)state;
	return is_ok(crypto_init()) ? 0 : -1;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_policy_cells),
		cmocka_unit_test(test_policy_of_each_endpoint),
		cmocka_unit_test(test_policy_runs),
		cmocka_unit_test(test_policy_models),
		cmocka_unit_test(test_rate_is_exact),
		cmocka_unit_test(test_rate_burst_and_headers),
		cmocka_unit_test(test_concurrency),
		cmocka_unit_test(test_keys_check),
		cmocka_unit_test(test_keys_pseudonyms),
		cmocka_unit_test(test_keys_many_and_reload),
		cmocka_unit_test(test_keys_never_change_hands),
		cmocka_unit_test(test_failures_flood),
		cmocka_unit_test(test_failures_sources),
		cmocka_unit_test(test_sealed_source_is_cached),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
