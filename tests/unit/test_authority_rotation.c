/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_authority_rotation.c: keys that are replaced because it is time, or because somebody asks:
 * when, how often it is looked at, and what the log says.
 */
static const char rotation_yaml[] =
    "policies: { default: { endpoints: '*', models: '*' }, helped: { endpoints: [models] } }\n"
    "providers: { d: { kind: demo } }\n"
    "models: { alpha: [ { provider: d, model: a } ] }\n"
    "store: { rotate_days: 90 }\n"
    "sessions: { rotate_days: 1 }\n";
#define WORLD_YAML rotation_yaml
#include "authority_world.h"

#include "admin_call.h"

#include <base/encode.h>

#define DAY_S 86400ULL

static uint16_t http;
static char body[64 << 10];

static int
begin(void **state)
{
	uint64_t now = now_real_s();

	if (setup(state) != 0)
		return -1;
	w.kek = (struct as_kek){ .code = E_OK,
		.version = 1,
		.versions = 1,
		.kek_started_s = now,
		.kek_ended_s = now,
		.data_started_s = now,
		.data_ended_s = now };
	for (uint8_t what = KEYSET_SESSION; what < KEYSET_COUNT; what++)
		w.keysets[what] = (struct as_keyset){ .code = E_OK,
			.what = what,
			.version = 1,
			.versions = 1,
			.created_s = now,
			.key = { what == KEYSET_PEPPER ? 5 : 1 } };
	http = 0;
	return 0;
}

/* A minute has gone by. */
static void
look(void)
{
	w.a->keys_look_ms = w.a->keysets_look_ms = 0;
	kek_tick(w.a);
	keysets_tick(w.a);
	spin();
}

static void
a_second_later(void)
{
	w.a->keys_look_ms -= 1000;
	w.a->keysets_look_ms -= 1000;
	kek_tick(w.a);
	keysets_tick(w.a);
	spin();
}

static const struct rec *
rotated(size_t n)
{
	for (size_t i = 0; i < w.nrecs; i++) {
		if (w.recs[i].event == EVENT_KEYS_ROTATED && n-- == 0)
			return &w.recs[i];
	}
	return NULL;
}

static void
on_act(void *ctx, uint16_t status, struct span text)
{
	(void)ctx;
	http = status;
	(void)snprintf(body, sizeof(body), "%.*s", SPAN_FMT(text));
}

static void
rotate(enum as_keysets what)
{
	struct admin_op *op = NULL;
	const struct admin_call c = { .a = w.a, .uid = 7, .reply = on_act, .op = &op };

	http = 0;
	assert_true(is_ok(admin_rotate_keyset(&c, what, false)));
	spin();
}

static struct status
show_pepper_after(struct span after)
{
	struct admin_op *op = NULL;
	struct admin_call c = { .a = w.a, .uid = 7, .reply = on_act, .op = &op };
	struct status st;

	c.pairs[0].name = SPAN_LIT("after");
	c.pairs[0].value = after;
	c.npairs = after.len > 0;
	http = 0;
	st = admin_show_keyset(&c, KEYSET_PEPPER);
	spin();
	return st;
}

static void
show_pepper(void)
{
	assert_true(is_ok(show_pepper_after(SPAN_EMPTY)));
	assert_int_equal(http, 200);
}

/* ---- keys of what is stored ---- */

static void
nothing_is_due(void **state)
{
	(void)state;
	look();
	w.kek.kek_started_s -= 90 * DAY_S - 60;
	w.kek.data_started_s -= 90 * DAY_S - 60;
	look();
	w.kek.kek_started_s = now_real_s() + 1000 * DAY_S; /* the clock went back */
	look();
	w.kek.kek_started_s = 0;
	look();
	assert_int_equal(w.kek_looks, 4);
	assert_int_equal(w.kek_rotations, 0);
	assert_null(rotated(0));
}

static void
it_is_looked_at_once_a_minute(void **state)
{
	(void)state;
	look();
	for (int i = 0; i < 59; i++)
		a_second_later();
	assert_int_equal(w.kek_looks, 1);
	assert_int_equal(w.keyset_looks[KEYSET_SESSION], 1);
	a_second_later();
	assert_int_equal(w.kek_looks, 2);
	assert_int_equal(w.keyset_looks[KEYSET_SESSION], 2);
	w.a->loaded = false;
	look();
	assert_int_equal(w.kek_looks, 2);
	assert_int_equal(w.keyset_looks[KEYSET_SESSION], 2);
}

/* One after the other: the key-encryption key, then the keys below. */
static void
what_is_due_begins_on_record(void **state)
{
	(void)state;
	w.kek.kek_started_s -= 90 * DAY_S;
	w.kek.data_started_s -= 90 * DAY_S;
	look();
	assert_int_equal(w.kek_rotations, 1);
	assert_int_equal(w.kek.under_way, AS_ROTATE_KEK);
	assert_int_equal(rotated(0)->phase, AUDIT_PHASE_INTENT);
	assert_string_equal(rotated(0)->text, "what=kek why=schedule by_uid=0 ");
	assert_int_equal(rotated(1)->outcome, AUDIT_SUCCESS);
	assert_string_equal(rotated(1)->text, "what=kek version=1 why=schedule by_uid=0 ");
	look(); /* it is under way */
	assert_int_equal(w.kek_rotations, 1);
	w.kek.under_way = AS_ROTATE_NONE;
	w.kek.kek_started_s = now_real_s();
	look();
	assert_int_equal(w.kek_rotations, 2);
	assert_int_equal(w.kek.under_way, AS_ROTATE_DATA);
	w.kek.under_way = AS_ROTATE_NONE;
	w.kek.data_started_s = now_real_s();
	look();
	assert_int_equal(w.kek_rotations, 2);
	assert_balanced();
}

static void
without_record_or_store_nothing_begins(void **state)
{
	(void)state;
	w.kek.kek_started_s -= 90 * DAY_S;
	w.keysets[KEYSET_SESSION].created_s -= DAY_S;
	w.audit_mode = AUDIT_REFUSES;
	look();
	assert_int_equal(w.kek_rotations + w.keyset_rotations, 0);
	w.audit_mode = AUDIT_TAKES;
	w.kek.code = w.keysets[KEYSET_SESSION].code = E_SYS;
	look();
	assert_int_equal(w.kek_rotations + w.keyset_rotations, 0);
	cut(&w.store);
	look();
	assert_null(rotated(0));
}

static void
zero_days_are_never(void **state)
{
	struct conf *with = w.d.conf, *conf = NULL;
	char error[CONF_ERROR_MAX], text[1024];

	(void)state;
	(void)snprintf(text, sizeof(text),
	    "%.*sstore: { rotate_days: 0 }\nsessions: { rotate_days: 0 }\n",
	    (int)(strstr(rotation_yaml, "store:") - rotation_yaml), rotation_yaml);
	assert_true(is_ok(conf_parse(span_str(text), &conf, error)));
	w.d.conf = conf;
	w.kek.kek_started_s = w.kek.data_started_s = w.keysets[KEYSET_SESSION].created_s = 1;
	look();
	assert_int_equal(w.kek_rotations + w.keyset_rotations, 0);
	w.d.conf = with;
	conf_free(conf);
}

/* ---- keys of session tokens ---- */

static void
session_keys_when_due(void **state)
{
	(void)state;
	w.keysets[KEYSET_SESSION].created_s += 1000 * DAY_S; /* the clock went back */
	look();
	w.keysets[KEYSET_SESSION].created_s -= 1001 * DAY_S - 60;
	look();
	assert_int_equal(w.keyset_rotations, 0);
	w.keysets[KEYSET_SESSION].created_s -= 60;
	look();
	assert_int_equal(w.keyset_rotations, 1);
	assert_int_equal(signers_newest(&w.a->sessions)->version, 2);
	assert_string_equal(rotated(0)->text, "what=session why=schedule by_uid=0 ");
	assert_string_equal(rotated(1)->text, "what=session version=2 why=schedule by_uid=0 ");
	look();
	assert_int_equal(w.keyset_rotations, 1);
	assert_balanced();
}

static void
session_keys_on_demand(void **state)
{
	(void)state;
	rotate(KEYSET_SESSION);
	assert_int_equal(http, 200);
	assert_non_null(
	    strstr(body, "{\"what\":\"session\",\"version\":2,\"versions\":2,\"left\":0,"));
	assert_null(strstr(body, "key"));
	assert_string_equal(rotated(1)->text, "what=session version=2 why=demand by_uid=7 ");
	w.keysets[KEYSET_SESSION].code = E_FULL;
	rotate(KEYSET_SESSION);
	assert_int_equal(http, 409);
	assert_int_equal(rotated(3)->outcome, AUDIT_FAILURE);
	w.keysets[KEYSET_SESSION].code = E_SYS;
	rotate(KEYSET_SESSION);
	assert_int_equal(http, 503);
	assert_int_equal(signers_newest(&w.a->sessions)->version, 2);
	assert_balanced();
}

/* The answer was lost: the next look finds the version, and it signs. */
static void
a_lost_answer_is_made_good(void **state)
{
	struct admin_op *op = NULL;
	const struct admin_call c = { .a = w.a, .uid = 7, .reply = on_act, .op = &op };
	uint32_t loads;

	(void)state;
	w.keyset_mute = true;
	assert_true(is_ok(admin_rotate_keyset(&c, KEYSET_SESSION, false)));
	spin();
	assert_int_equal(signers_newest(&w.a->sessions)->version, 1);
	w.signers = 2;
	look();
	assert_int_equal(signers_newest(&w.a->sessions)->version, 2);
	loads = w.a->keys.load;
	look(); /* nothing is new */
	assert_int_equal(w.a->keys.load, loads);
	cut(&w.store);
	assert_int_equal(http, 503);
	assert_balanced();
}

/* ---- the pepper of API keys ---- */

static enum error
ask_with(unsigned key)
{
	struct ga_check m = { .credential = span_of(w.text[key], KEYTEXT_LEN) };
	struct reply *r;

	m.source[15] = 9;
	m.request_id[0] = 1;
	r = call(w.gw, GA_CHECK, &m);
	return (enum error)r->error;
}

static void
tick(void)
{
	key_rehash_tick(w.a);
	spin();
}

/* The hash that the store was told is that of the text, under the newest pepper. */
static void
assert_hash_of(const struct as_key_hash *h, unsigned key)
{
	const uint8_t pepper[AS_SECRET_LEN] = { 6 };
	struct hmac_key *k = NULL;
	uint8_t want[DIGEST_LEN];

	assert_true(is_ok(hmac_key_new(span_of(pepper, sizeof(pepper)), &k)));
	assert_true(is_ok(hmac_sha256(k, span_of(w.text[key], KEYTEXT_LEN), want)));
	hmac_key_free(k);
	assert_memory_equal(h->id, w.key[key]->id, KEY_ID_LEN);
	assert_memory_equal(h->hash, want, DIGEST_LEN);
	assert_int_equal(h->pepper, 2);
}

static void
keys_follow_as_they_are_used(void **state)
{
	(void)state;
	assert_int_equal(ask_with(0), ERROR_NONE);
	tick();
	assert_int_equal(w.rehashes, 0);
	rotate(KEYSET_PEPPER);
	assert_int_equal(http, 200);
	assert_string_equal(rotated(1)->text, "what=pepper version=2 why=demand by_uid=7 ");
	w.keysets[KEYSET_PEPPER].left = 2;
	show_pepper();
	assert_non_null(strstr(body, "\"left\":2"));
	assert_non_null(strstr(body, "\"user\":\"u\",\"last_used_s\":"));
	/* Once, however often it is used; others stay as they are. */
	for (int i = 0; i < 3; i++)
		assert_int_equal(ask_with(0), ERROR_NONE);
	tick();
	tick();
	assert_int_equal(w.rehashes, 1);
	assert_int_equal(w.nhashes, 1);
	assert_hash_of(&w.hashes[0], 0);
	assert_int_equal(w.key[1]->pepper, 1);
	assert_int_equal(ask_with(1), ERROR_NONE);
	assert_int_equal(ask_with(0), ERROR_NONE);
	tick();
	assert_hash_of(&w.hashes[1], 1);
	show_pepper();
	assert_non_null(strstr(body, "\"keys\":[]"));
	/* Retired: only the newest is left. */
	w.keysets[KEYSET_PEPPER].versions = 1;
	w.a->keysets_look_ms = 0;
	keysets_tick(w.a);
	spin();
	assert_ptr_equal(keys_pepper(&w.a->keys, 1), keys_pepper(&w.a->keys, 2));
	assert_int_equal(ask_with(0), ERROR_NONE);
	assert_int_equal(ask_with(1), ERROR_NONE);
}

/* What the store did not take is told again; what a LOAD brings back is made anew. */
static void
hashes_that_are_not_kept(void **state)
{
	(void)state;
	rotate(KEYSET_PEPPER);
	w.rehash_fails = true;
	assert_int_equal(ask_with(0), ERROR_NONE);
	tick();
	tick();
	assert_int_equal(w.rehashes, 2);
	w.rehash_fails = false;
	tick();
	tick();
	assert_int_equal(w.rehashes, 3);
	assert_hash_of(&w.hashes[2], 0);
	/* The store has the old hash, and both peppers. */
	w.peppers = 2;
	cut(&w.store);
	tick();
	connect_fake(EDGE_AUTHORITY_STORE, 24, &as_edge, false, &store_ops, &w.store);
	spin();
	assert_int_equal(w.key[0]->pepper, 1);
	assert_int_equal(ask_with(0), ERROR_NONE);
	assert_int_equal(w.key[0]->pepper, 2);
	tick();
	assert_hash_of(&w.hashes[3], 0);
	/* An older one that is said to be alone stays as long as a key here needs it. */
	w.keysets[KEYSET_PEPPER].versions = 1;
	w.a->keysets_look_ms = 0;
	keysets_tick(w.a);
	spin();
	assert_int_equal(ask_with(1), ERROR_NONE);
}

/* A revoked key holds nothing open, nor does one that has no text. */
static void
what_needs_no_pepper(void **state)
{
	(void)state;
	rotate(KEYSET_PEPPER);
	w.key[0]->revoked_s = 1;
	tick();
	assert_int_equal(w.nhashes, 1);
	assert_int_equal(w.hashes[0].pepper, 0);
	assert_memory_equal(w.hashes[0].id, w.key[0]->id, KEY_ID_LEN);
	w.key[0]->revoked_s = 0; /* its text is not its hash's any more */
	assert_int_equal(ask_with(0), ERROR_INVALID_KEY);
	key_rehash_none(w.key[1]);
	tick();
	key_rehash_none(w.key[1]);
	tick();
	assert_int_equal(w.nhashes, 2);
	assert_int_equal(w.hashes[1].pepper, 0);
}

/* More rotations than versions are kept, with a key that nobody uses: all serve, and a LOAD fits.
 */
static void
many_rotations(void **state)
{
	(void)state;
	for (uint32_t n = 2; n < 2 * PEPPERS_LOAD_MAX; n++) {
		rotate(KEYSET_PEPPER);
		assert_int_equal(http, 200);
		if (n % 2 == 0)
			assert_int_equal(ask_with(0), ERROR_NONE);
		w.peppers = n;
	}
	store_on_link(w.a);
	spin();
	assert_true(w.a->loaded);
	assert_false(w.a->load_failed);
	assert_int_equal(ask_with(0), ERROR_NONE);
	assert_int_equal(ask_with(1), ERROR_NONE);
	assert_int_equal(w.key[1]->pepper, w.a->keys.newest);
}

/* A pepper that each key needs takes no other's place: then no more are made. */
static void
no_room_for_a_pepper(void **state)
{
	const uint8_t pepper[AS_SECRET_LEN] = { 9 };
	uint32_t made;

	(void)state;
	for (uint32_t n = 2; n <= PEPPERS_MAX; n++)
		assert_true(is_ok(keys_put_pepper(&w.a->keys, n, pepper)));
	assert_true(keys_pepper_fits(&w.a->keys));
	for (uint32_t n = 2; n <= PEPPERS_MAX; n++) {
		struct as_key k = { .tenant = SPAN_LIT("t"),
			.user = SPAN_LIT("u"),
			.policy = SPAN_LIT("default"),
			.pepper = n,
			.id = "pppppppppppp" };

		k.id[0] = (uint8_t)('a' + n);
		assert_true(is_ok(keys_put(&w.a->keys, &w.a->policies, &k, NULL)));
	}
	made = w.keyset_rotations;
	rotate(KEYSET_PEPPER);
	assert_int_equal(http, 409);
	assert_int_equal(w.keyset_rotations, made);
	assert_int_equal(keys_put_pepper(&w.a->keys, PEPPERS_MAX + 1, pepper).code, E_FULL);
	/* But a LOAD, which brings keys behind them, has its own room, and drops none. */
	keys_load_begin(&w.a->keys);
	keys_retire_peppers(&w.a->keys);
	for (uint32_t n = PEPPERS_MAX + 1; n <= PEPPERS_LOAD_MAX; n++)
		assert_true(is_ok(keys_put_pepper(&w.a->keys, n, pepper)));
	keys_retire_peppers(&w.a->keys);
	for (uint32_t n = 1; n <= PEPPERS_LOAD_MAX; n++)
		assert_true(is_ok(keys_put_pepper(&w.a->keys, n, pepper)));
	assert_int_equal(keys_put_pepper(&w.a->keys, 99, pepper).code, E_FULL);
}

/* Keys under the first pepper, beside those of the world. */
static void
put_keys(uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct as_key k = { .tenant = SPAN_LIT("t"),
			.user = SPAN_LIT("u"),
			.policy = SPAN_LIT("default"),
			.pepper = 1 };

		base62_u64(1000 + i, (char *)k.id, sizeof(k.id));
		assert_true(is_ok(keys_put(&w.a->keys, &w.a->policies, &k, NULL)));
	}
}

/* Page by page, each once; the last one says so. */
static void
all_that_are_left_are_listed(void **state)
{
	const size_t all = 2 * REHASH_LISTED_MAX + WORLD_KEYS - 1; /* one is used */
	char next[KEY_ID_LEN + 1] = "";
	size_t listed = 0, pages = 0;

	(void)state;
	put_keys(2 * REHASH_LISTED_MAX);
	rotate(KEYSET_PEPPER);
	assert_int_equal(ask_with(0), ERROR_NONE);
	for (bool more = true; more; pages++) {
		size_t before = listed;
		const char *mark;

		assert_true(is_ok(show_pepper_after(span_str(next))));
		assert_int_equal(http, 200);
		for (const char *at = body; (at = strstr(at, "{\"id\":\"")) != NULL; at++) {
			listed++;
			memcpy(next, at + strlen("{\"id\":\""), KEY_ID_LEN);
		}
		assert_true(listed - before <= REHASH_LISTED_MAX);
		mark = strstr(body, "\"next\":");
		assert_non_null(mark);
		more = strncmp(mark, "\"next\":null", 11) != 0;
		if (more)
			assert_memory_equal(mark + strlen("\"next\":\""), next, KEY_ID_LEN);
	}
	assert_int_equal(listed, all);
	assert_int_equal(pages, all / REHASH_LISTED_MAX + (all % REHASH_LISTED_MAX != 0));
	assert_false(is_ok(show_pepper_after(SPAN_LIT("nobodys.key."))));
}

/* A whole page is the last one. */
static void
a_full_page_has_none_behind_it(void **state)
{
	(void)state;
	put_keys(REHASH_LISTED_MAX);
	rotate(KEYSET_PEPPER);
	for (size_t i = 0; i < WORLD_KEYS; i++)
		w.key[i]->revoked_s = 1;
	show_pepper();
	assert_non_null(strstr(body, "\"next\":null"));
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, begin, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(nothing_is_due),
		CASE(it_is_looked_at_once_a_minute),
		CASE(what_is_due_begins_on_record),
		CASE(without_record_or_store_nothing_begins),
		CASE(zero_days_are_never),
		CASE(session_keys_when_due),
		CASE(session_keys_on_demand),
		CASE(a_lost_answer_is_made_good),
		CASE(keys_follow_as_they_are_used),
		CASE(hashes_that_are_not_kept),
		CASE(what_needs_no_pepper),
		CASE(many_rotations),
		CASE(no_room_for_a_pepper),
		CASE(all_that_are_left_are_listed),
		CASE(a_full_page_has_none_behind_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
