/* SPDX-License-Identifier: Apache-2.0 */
/* src/broker/marks.c: the store hears of the credentials in use, and does not have them. */
#include "broker_credential_rig.h"

#include <marks.h>
#include <wire/store_broker.h>

#define FIRST "the-first-value-of-some-form"
#define SECOND "the-second-value-of-some-form"

static struct {
	struct link *link;
	struct known *known; /* as the store would look for them */
	uint8_t key[KNOWN_KEY_LEN];
	unsigned told;
	uint32_t n;
} store;

static void
on_credentials(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct sb_credentials *m = msg;
	const struct known_mark *marks = m->marks.items;

	(void)l, (void)id, (void)ctx;
	store.told++;
	store.n = m->marks.count;
	memcpy(store.key, m->key, sizeof(store.key));
	known_free(store.known);
	assert_true(is_ok(known_new(m->key, &store.known)));
	for (uint32_t i = 0; i < m->marks.count; i++)
		assert_true(is_ok(known_add(store.known, &marks[i])));
}

static void
on_store_closed(struct link *l, struct status why, void *ctx)
{
	(void)why, (void)ctx;
	link_free(l);
	store.link = NULL;
}

static void
store_comes(void)
{
	static const struct link_rule rules[] = { { SB_CREDENTIALS, 0, on_credentials } };
	static const struct link_ops ops = { rules, COUNT(rules), on_store_closed };
	int fds[2];

	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	assert_true(is_ok(link_new(&w.loop, fds[0], &sb_edge, true, &ops, NULL, &store.link)));
	peers_add(w.b, EDGE_STORE_BROKER, 2, fds[1]);
	spin();
}

static void
expect(uint32_t n, bool first, bool second)
{
	spin();
	assert_int_equal(store.n, n);
	assert_int_equal(known_in(store.known, SPAN_LIT("x " FIRST " y")), first);
	assert_int_equal(known_in(store.known, SPAN_LIT("x " SECOND " y")), second);
}

static int
begin(void **state)
{
	memset(&store, 0, sizeof(store));
	return setup(state);
}

static int
end(void **state)
{
	link_free(store.link);
	known_free(store.known);
	return teardown(state);
}

static void
it_hears_of_each_that_comes_and_of_the_one_before(void **state)
{
	(void)state;
	store_comes();
	expect(0, false, false);
	authority_comes();
	give(FIRST, "1");
	expect(1, true, false);
	lifetime_changed(&w.c->life, SECRET_RELOAD);
	credential_act(w.c);
	spin();
	give(SECOND, "2");
	expect(2, true, true);
	assert_int_equal(store.told, 3);
}

static void
a_store_that_comes_late_hears_of_all(void **state)
{
	uint8_t key[KNOWN_KEY_LEN];

	(void)state;
	authority_comes();
	give(FIRST, "1");
	store_comes();
	expect(1, true, false);
	memcpy(key, store.key, sizeof(key));
	link_free(store.link);
	spin();
	store_comes();
	expect(1, true, false);
	assert_memory_equal(key, store.key, sizeof(key)); /* one for a broker's life */
}

/* Used all the same: it is a credential, only not one that could be told from a word. */
static void
a_short_one_has_no_mark(void **state)
{
	(void)state;
	store_comes();
	authority_comes();
	give("fifteen-bytes-1", "1");
	expect(0, false, false);
	assert_int_equal(store.told, 2);
	assert_non_null(w.c->now);
}

#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(it_hears_of_each_that_comes_and_of_the_one_before),
		T(a_store_that_comes_late_hears_of_all),
		T(a_short_one_has_no_mark),
	};

	if (!is_ok(crypto_init()))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
