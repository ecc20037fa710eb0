/* SPDX-License-Identifier: Apache-2.0 */
/* src/broker/marks.c: the store hears of the credentials in use, and does not have them. */
#include <sys/mman.h>

#include "broker_credential_rig.h"

#include <marks.h>
#include <wire/store_broker.h>

#define FIRST "the-1st-value-of-some-form"
#define SECOND "the-2nd-value-of-some-form"

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
on_kek(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)l, (void)id, (void)msg, (void)ctx;
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
	static const struct link_rule rules[] = { { SB_CREDENTIALS, 0, on_credentials },
		{ SB_KEK, 0, on_kek } };
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

/* What is said to the operator meanwhile. */
static size_t
lines_of(void (*fn)(struct broker *b), const char *says)
{
	static char text[65536];
	int kept = dup(STDERR_FILENO), fd = memfd_create("said", MFD_CLOEXEC);
	size_t n = 0;
	ssize_t len;

	assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
	fn(w.b);
	assert_int_equal(dup2(kept, STDERR_FILENO), STDERR_FILENO);
	len = pread(fd, text, sizeof(text) - 1, 0);
	assert_true(len >= 0);
	text[len] = '\0';
	for (const char *at = text; (at = strstr(at, says)) != NULL; at++)
		n++;
	close(kept);
	close(fd);
	return n;
}

/* Used all the same: it is a credential, only not one that could be told from a word. */
static void
one_that_is_no_secret_has_no_mark(void **state)
{
	static const char *const values[] = { "fifteen-bytes-1", "sk-no-key-required" };

	(void)state;
	store_comes();
	authority_comes();
	for (size_t i = 0; i < COUNT(values); i++) {
		give(values[i], values[i]);
		expect(0, false, false);
		assert_int_equal(store.told, 2 + i);
		assert_non_null(w.c->now);
		assert_int_equal(lines_of(marks_tell, "is not looked for"), 0);
		w.c->now->unfit_said = false;
		assert_int_equal(lines_of(marks_tell, SPEC ": it is too short, filler"), 1);
		spin();
		store.told = 2 + (unsigned)i;
		lifetime_changed(&w.c->life, SECRET_RELOAD);
		credential_act(w.c);
		spin();
	}
}

/* ---- what goes wrong ---- */

static void
wait_told(void)
{
	uint64_t until = uv_hrtime() + UINT64_C(20000000000);

	while (store.told == 0 && uv_hrtime() < until) {
		turn();
		usleep(1000);
	}
}

/* More than the link takes until its other side reads. */
static void
fill_link(void)
{
	static uint8_t answer[SB_CIPHERTEXT_MAX];

	for (size_t len = sizeof(answer); len > 0; len /= 2) {
		const struct sb_kek m = { .answer = span_of(answer, len) };

		while (is_ok(link_send(w.b->store, 0, SB_KEK, &m)))
			;
	}
}

static void
what_failed_is_told_again(void **state)
{
	(void)state;
	store_comes();
	authority_comes();
	give(FIRST, "1");
	expect(1, true, false);
	for (int i = 0; i < 2; i++) { /* while its timer runs, and anew */
		store.told = 0;
		fill_link();
		marks_tell(w.b);
		marks_tell(w.b);
		assert_int_equal(store.told, 0);
		wait_told();
		assert_int_equal(store.told, 1);
		expect(1, true, false);
	}
}

/* Nothing is left that ends later than the broker. */
static void
it_ends_before_it_was_told(void **state)
{
	(void)state;
	store_comes();
	fill_link();
	marks_tell(w.b);
}

/* Of more than there is room for, those in use come first; that there are more is said once. */
static void
more_than_there_is_room_for(void **state)
{
	static struct credential many[KNOWN_MAX];
	static struct credential_version before, now;

	(void)state;
	assert_true(is_ok(secret_from_span(SPAN_LIT(FIRST), &before.value)));
	assert_true(is_ok(secret_from_span(SPAN_LIT(SECOND), &now.value)));
	store_comes();
	for (size_t i = 0; i < COUNT(many); i++) {
		many[i].before = &before;
		LIST_INSERT_HEAD(&w.b->credentials, &many[i], entry);
	}
	assert_int_equal(lines_of(marks_tell, "are not looked for"), 0);
	expect(KNOWN_MAX, true, false);
	many[0].now = &now;
	assert_int_equal(lines_of(marks_tell, "1 credentials are not looked for"), 1);
	expect(KNOWN_MAX, true, true);
	assert_int_equal(lines_of(marks_tell, "are not looked for"), 0);
	for (size_t i = 1; i < COUNT(many); i++)
		many[i].now = &now;
	assert_int_equal(lines_of(marks_tell, "512 credentials are not looked for"), 1);
	expect(KNOWN_MAX, false, true);
	for (size_t i = 0; i < COUNT(many); i++)
		LIST_REMOVE(&many[i], entry);
	secret_done(&before.value);
	secret_done(&now.value);
}

#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(it_hears_of_each_that_comes_and_of_the_one_before),
		T(a_store_that_comes_late_hears_of_all),
		T(one_that_is_no_secret_has_no_mark),
		T(what_failed_is_told_again),
		T(it_ends_before_it_was_told),
		T(more_than_there_is_room_for),
	};

	if (!is_ok(crypto_init()))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
