/* SPDX-License-Identifier: Apache-2.0 */
/*
 * src/authority/leaks.c: keys of ours that stand in a body: each good one is told of and ends,
 * whatever stands beside it; nobody has another's revoked by its id.
 */
#define WORLD_KEYS 4
#define WORLD_YAML leaks_yaml

static const char leaks_yaml[] =
    "policies:\n"
    "  default: { endpoints: '*', models: '*', requests_per_min: 1000, concurrent: 50 }\n"
    "  helped: { endpoints: '*', models: '*' }\n"
    "providers: { d: { kind: openai, base_url: 'http://127.0.0.1:1/v1', credential: none,\n"
    "                  allow_plain_loopback: true } }\n"
    "models: { alpha: [ { provider: d, model: a } ] }\n"
    "engines: { runsc: /x/runsc, image: /x/image, manifest: /x/manifest }\n"
    "keys: { revoke_leaked: true }\n";

#include "authority_world.h"

#include <admin_call.h>

static uint64_t clock_ms = 1000000;
static unsigned tries;
static bool no_memory;

struct status __real_admin_revoke_key(const struct admin_call *c, struct span id);
struct status __wrap_admin_revoke_key(const struct admin_call *c, struct span id);
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
uint64_t __wrap_uv_now(const uv_loop_t *loop);

struct status
__wrap_admin_revoke_key(const struct admin_call *c, struct span id)
{
	tries++;
	return __real_admin_revoke_key(c, id);
}

void *
__wrap_calloc(size_t n, size_t size)
{
	return no_memory ? NULL : __real_calloc(n, size);
}

uint64_t
__wrap_uv_now(const uv_loop_t *loop)
{
	(void)loop;
	return clock_ms;
}

static struct reply *
leak_home(struct span texts, uint8_t home)
{
	struct ga_admit m = admit_msg(ENDPOINT_RESPONSES);

	m.refused = ERROR_LEAKED_KEY;
	m.leaked = texts;
	m.leaked_home = home;
	return call(w.gw, GA_ADMIT, &m);
}

static struct reply *
leak(struct span texts)
{
	return leak_home(texts, 0);
}

static enum error
said_to(size_t key)
{
	struct ga_admit m = admit_msg(ENDPOINT_MODELS);

	m.credential = span_of(w.text[key], KEYTEXT_LEN);
	return (enum error)call(w.gw, GA_ADMIT, &m)->error;
}

static void
test_a_key_that_leaked(void **state)
{
	uint8_t other[KEYTEXT_LEN];

	(void)state;
	/* Of the right form, and nobody's; the id of a key with another secret. */
	assert_int_equal(keytext_create(other).code, E_OK);
	assert_int_equal(leak(span_of(other, sizeof(other)))->error, ERROR_LEAKED_KEY);
	assert_int_equal(leak(SPAN_EMPTY)->error, ERROR_LEAKED_KEY);
	memcpy(other, w.text[1], KEYTEXT_PREFIX_LEN + KEYTEXT_ID_LEN);
	assert_int_equal(leak(span_of(other, sizeof(other)))->error, ERROR_LEAKED_KEY);
	assert_int_equal(w.store_changes, 0);
	assert_int_equal(recorded(EVENT_KEY_LEAKED), 0);
	/* Another's. */
	assert_int_equal(leak(span_of(w.text[1], KEYTEXT_LEN))->error, ERROR_LEAKED_KEY);
	spin();
	assert_int_equal(w.store_changes, 1);
	assert_int_equal(recorded(EVENT_KEY_LEAKED), 1);
	assert_int_equal(said_to(1), ERROR_INVALID_KEY);
	assert_balanced();
}

/* One that is nobody's hides none; each that is good is told of, once, and ends. */
static void
test_several_keys_that_leaked(void **state)
{
	uint8_t texts[LEAKED_KEYS_MAX * KEYTEXT_LEN];

	(void)state;
	assert_int_equal(keytext_create(texts).code, E_OK);
	for (size_t i = 1; i < LEAKED_KEYS_MAX; i++)
		memcpy(texts + i * KEYTEXT_LEN, w.text[1 + i % 2], KEYTEXT_LEN);
	assert_int_equal(leak(span_of(texts, sizeof(texts)))->error, ERROR_LEAKED_KEY);
	spin();
	assert_int_equal(recorded(EVENT_KEY_LEAKED), 2);
	assert_int_equal(w.store_changes, 2);
	assert_int_equal(said_to(1), ERROR_INVALID_KEY);
	assert_int_equal(said_to(2), ERROR_INVALID_KEY);
	assert_true(said_to(3) != ERROR_INVALID_KEY);
	assert_balanced();
}

/* One whose end is under way is told of, and takes no place of another act. */
static void
test_a_key_that_is_ending(void **state)
{
	(void)state;
	w.audit_mode = AUDIT_HOLDS;
	for (int i = 0; i < 3; i++)
		(void)leak(span_of(w.text[1], KEYTEXT_LEN));
	release_held();
	release_held();
	assert_int_equal(recorded(EVENT_KEY_LEAKED), 3);
	w.audit_mode = AUDIT_TAKES;
	release_held();
	spin();
	assert_int_equal(recorded(EVENT_KEY_REVOKED), 2); /* an intent and its outcome */
	assert_int_equal(said_to(1), ERROR_INVALID_KEY);
}

static void
pass(uint64_t ms)
{
	clock_ms += ms;
	leaks_tick(w.a);
	spin();
}

/* One that could not be revoked is tried again, until it is; once is enough. */
static void
test_a_key_that_is_not_revoked_yet(void **state)
{
	(void)state;
	w.audit_mode = AUDIT_REFUSES;
	(void)leak(span_of(w.text[1], KEYTEXT_LEN));
	spin();
	pass(LEAK_PAUSE_MS);
	assert_int_equal(w.a->leaks.n, 1);
	assert_int_equal(w.store_changes, 0);
	w.audit_mode = AUDIT_TAKES;
	pass(2 * LEAK_PAUSE_MS);
	pass(2 * LEAK_PAUSE_MS);
	assert_int_equal(w.store_changes, 1);
	assert_int_equal(said_to(1), ERROR_INVALID_KEY);
	pass(0);
	assert_int_equal(w.a->leaks.n, 0);
	assert_balanced();
}

/* How many milliseconds until it is tried once more; that it leaks again hastens nothing. */
static unsigned
pause_of(size_t key)
{
	unsigned before = tries, ms = 0;

	(void)leak(span_of(w.text[key], KEYTEXT_LEN));
	for (; tries == before && ms < 1000000; ms += 500)
		pass(500);
	return ms;
}

/* Each time later, a minute at most; all of them at once where one of them could be revoked. */
static void
test_pauses(void **state)
{
	static const unsigned pauses_s[] = { 1, 2, 4, 8, 16, 32, 60, 60 };

	(void)state;
	tries = 0;
	w.audit_mode = AUDIT_REFUSES;
	(void)leak(span_of(w.text[1], KEYTEXT_LEN));
	assert_int_equal(tries, 1);
	for (size_t i = 0; i < COUNT(pauses_s); i++)
		assert_int_equal(pause_of(1), pauses_s[i] * 1000);
	w.audit_mode = AUDIT_TAKES;
	pass(500);
	assert_int_equal(w.store_changes, 0);
	(void)leak(span_of(w.text[2], KEYTEXT_LEN));
	spin();
	assert_int_equal(w.store_changes, 1);
	pass(500);
	assert_int_equal(said_to(1), ERROR_INVALID_KEY);
	pass(0);
	assert_int_equal(w.a->leaks.n, 0);
	assert_balanced();
}

/* All places: of what ended, or of that key, not to be tried for a while. */
static void
fill_with(const struct key *key)
{
	for (size_t i = 0; i < LEAKS_MAX; i++) {
		struct leak *l = &w.a->leaks.all[i];

		*l = (struct leak){ .next_ms = clock_ms + LEAK_PAUSE_MS_MAX };
		memcpy(l->id, key == NULL ? (const void *)"nobody" : key->id,
		    key == NULL ? 7 : KEY_ID_LEN);
	}
	w.a->leaks.n = LEAKS_MAX;
}

/* No more are remembered than there is room for; those that ended have none. */
static void
test_many_that_wait(void **state)
{
	(void)state;
	w.audit_mode = AUDIT_REFUSES;
	fill_with(w.key[2]);
	(void)leak(span_of(w.text[1], KEYTEXT_LEN));
	spin();
	assert_int_equal(w.a->leaks.n, LEAKS_MAX);
	assert_memory_equal(w.a->leaks.all[LEAKS_MAX - 1].id, w.key[2]->id, KEY_ID_LEN);
	fill_with(NULL);
	(void)leak(span_of(w.text[1], KEYTEXT_LEN));
	spin();
	assert_int_equal(w.a->leaks.n, 1);
	assert_memory_equal(w.a->leaks.all[0].id, w.key[1]->id, KEY_ID_LEN);
	/* One more than there is room for is tried once. */
	w.audit_mode = AUDIT_TAKES;
	fill_with(w.key[2]);
	(void)leak(span_of(w.text[1], KEYTEXT_LEN));
	spin();
	assert_int_equal(said_to(1), ERROR_INVALID_KEY);
	assert_true(said_to(2) != ERROR_INVALID_KEY);
}

/* Another configuration, whose policies are compiled or not. */
static struct status
reload(const char *text, bool memory)
{
	char error[CONF_ERROR_MAX];
	struct conf *conf = NULL;
	struct status st;

	assert_true(is_ok(conf_parse(span_str(text), &conf, error)));
	no_memory = !memory;
	st = policies_replace(conf, &w.a->policies);
	no_memory = false;
	policy_refs_resolve(&w.a->keys.refs, &w.a->policies);
	conf_free(conf);
	return st;
}

/* What waits is forgotten by a configuration that says so, not by one that cannot be used. */
static void
test_a_reload(void **state)
{
	char quiet[sizeof(leaks_yaml)];

	(void)state;
	(void)snprintf(quiet, sizeof(quiet), "%.*s",
	    (int)(strstr(leaks_yaml, "keys:") - leaks_yaml), leaks_yaml);
	w.audit_mode = AUDIT_REFUSES;
	(void)leak(span_of(w.text[1], KEYTEXT_LEN));
	assert_int_equal(reload(quiet, false).code, E_NOMEM);
	assert_int_equal(w.a->policies.n, 0);
	(void)leak(span_of(w.text[2], KEYTEXT_LEN));
	w.audit_mode = AUDIT_TAKES;
	pass(LEAK_PAUSE_MS);
	assert_int_equal(w.store_changes, 2);
	assert_int_equal(said_to(2), ERROR_INVALID_KEY);
	w.audit_mode = AUDIT_REFUSES;
	(void)leak(span_of(w.text[3], KEYTEXT_LEN));
	w.audit_mode = AUDIT_TAKES;
	assert_true(is_ok(reload(quiet, true)));
	pass(LEAK_PAUSE_MS);
	assert_true(is_ok(reload(leaks_yaml, true)));
	pass(LEAK_PAUSE_MS);
	assert_int_equal(w.store_changes, 2);
	assert_true(said_to(3) != ERROR_INVALID_KEY);
}

static void
revoked(void *ctx, uint16_t http, struct span body)
{
	(void)http, (void)body;
	++*(size_t *)ctx;
}

/* The operator's places are not theirs. */
static void
test_places_of_the_operator(void **state)
{
	size_t acts = ADMIN_OPS_MAX - ADMIN_OPS_KEPT, done = 0;

	(void)state;
	w.audit_mode = AUDIT_HOLDS;
	for (size_t i = 0; i < acts; i++) {
		struct admin_op *op = NULL;
		const struct admin_call c = { .a = w.a, .reply = revoked, .ctx = &done, .op = &op };

		assert_true(is_ok(admin_revoke_key(&c, span_of(w.key[3]->id, KEY_ID_LEN))));
	}
	(void)leak(span_of(w.text[1], KEYTEXT_LEN));
	assert_int_equal(admin_busy(), acts);
	assert_int_equal(w.a->leaks.n, 1);
	w.audit_mode = AUDIT_TAKES;
	release_held();
	spin();
	assert_int_equal(admin_busy(), 0);
	assert_int_equal(done, acts);
	pass(0);
	assert_int_equal(said_to(1), ERROR_INVALID_KEY);
}

/* Where a credential belongs nobody else saw it: told of, and it goes on; not so one beside it. */
static void
test_a_key_where_one_belongs(void **state)
{
	uint8_t texts[3 * KEYTEXT_LEN];

	(void)state;
	assert_int_equal(leak_home(span_of(w.text[1], KEYTEXT_LEN), 1)->error, ERROR_LEAKED_KEY);
	spin();
	assert_int_equal(recorded(EVENT_KEY_LEAKED), 1);
	assert_int_equal(w.store_changes, 0);
	memcpy(texts, w.text[2], KEYTEXT_LEN);
	memcpy(texts + KEYTEXT_LEN, w.text[2], KEYTEXT_LEN);
	memcpy(texts + 2 * KEYTEXT_LEN, w.text[1], KEYTEXT_LEN);
	assert_int_equal(leak_home(span_of(texts, sizeof(texts)), 2)->error, ERROR_LEAKED_KEY);
	spin();
	assert_int_equal(recorded(EVENT_KEY_LEAKED), 3);
	assert_int_equal(w.store_changes, 1);
	assert_int_equal(said_to(2), ERROR_INVALID_KEY);
	assert_true(said_to(1) != ERROR_INVALID_KEY);
	assert_balanced();
}

/* Parts of texts are of no gateway of ours, nor more at home than there are. */
static void
test_a_part_of_a_key(void **state)
{
	(void)state;
	w.gw_closed = false;
	(void)leak(span_of(w.text[1], KEYTEXT_LEN - 1));
	assert_true(w.gw_closed);
	connect_fake(EDGE_GATEWAY_AUTHORITY, 60, &ga_edge, true, &gateway_ops, &w.gw);
	w.gw_closed = false;
	(void)leak_home(span_of(w.text[1], KEYTEXT_LEN), 2);
	assert_true(w.gw_closed);
	assert_int_equal(recorded(EVENT_KEY_LEAKED), 0);
	connect_fake(EDGE_GATEWAY_AUTHORITY, 60, &ga_edge, true, &gateway_ops, &w.gw);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_a_key_that_leaked),
		T(test_several_keys_that_leaked),
		T(test_a_key_that_is_ending),
		T(test_a_key_that_is_not_revoked_yet),
		T(test_pauses),
		T(test_many_that_wait),
		T(test_a_reload),
		T(test_places_of_the_operator),
		T(test_a_key_where_one_belongs),
		T(test_a_part_of_a_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
