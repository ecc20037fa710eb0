/* SPDX-License-Identifier: Apache-2.0 */
/* Who is erased in a running store: step by step, each in turn, and answered when over. */
#include "store_loop.h"

#include <link/link.h>
#include <wire/authority_store.h>

#define LINK(n) ((struct link *)(void *)&links[n])

static char links[2]; /* what is sent goes nowhere */
static uint64_t ahead_ms;
static struct {
	char steps[512]; /* a letter each: of whom */
	int left[128];   /* steps of whom, by letter */
	struct status fails;
	unsigned n, counts;
	struct link *to;
	uint64_t id;
	struct as_erased last;
} seen;

struct status __wrap_db_user_erase(
    struct db *db, struct span tenant, struct span user, uint64_t *ret_rows, bool *ret_more);
struct status __wrap_link_send(struct link *l, uint64_t id, uint16_t type, const void *msg);
uint64_t __wrap_uv_now(const uv_loop_t *l);
uint64_t __real_uv_now(const uv_loop_t *l);

uint64_t
__wrap_uv_now(const uv_loop_t *l)
{
	return __real_uv_now(l) + ahead_ms;
}

struct status
__wrap_db_user_erase(
    struct db *db, struct span tenant, struct span user, uint64_t *ret_rows, bool *ret_more)
{
	int *left = &seen.left[user.ptr[0]];

	assert_non_null(db);
	assert_true(span_eq_str(tenant, "acme"));
	assert_int_equal(user.len, 1);
	assert_true(strlen(seen.steps) + 1 < sizeof(seen.steps));
	seen.steps[strlen(seen.steps)] = (char)user.ptr[0];
	if (ret_rows != NULL) {
		*ret_rows = (uint64_t)*left;
		seen.counts++;
	}
	*ret_more = --*left > 0;
	return *left == 2 ? seen.fails : OK;
}

struct status
__wrap_link_send(struct link *l, uint64_t id, uint16_t type, const void *msg)
{
	assert_int_equal(type, AS_ERASED);
	seen.n++;
	seen.to = l;
	seen.id = id;
	seen.last = *(const struct as_erased *)msg;
	return OK;
}

static struct db *
start(void)
{
	struct db *db = open_ok();

	loop_begin("policies: { p: { endpoints: [models] } }\n");
	memset(&seen, 0, sizeof(seen));
	seen.fails = OK;
	ahead_ms = 0;
	privacy_start(&d, db);
	return db;
}

static void
erase(unsigned l, uint64_t id, const char *user, int steps)
{
	const struct as_user_ref m = { .tenant = SPAN_LIT("acme"), .user = span_str(user) };

	seen.left[(unsigned char)user[0]] = steps;
	erase_requests_on_erase(LINK(l), id, &m, NULL);
}

static void
until_steps(size_t n)
{
	while (strlen(seen.steps) < n)
		(void)uv_run(&loop, UV_RUN_ONCE);
}

/* No step more comes. */
static void
assert_idle(void)
{
	size_t n = strlen(seen.steps);
	unsigned sent = seen.n;

	for (int i = 0; i < 20; i++) {
		(void)uv_run(&loop, UV_RUN_NOWAIT);
		(void)usleep(1000 * ERASE_BUSY_MS / 5);
	}
	assert_int_equal(strlen(seen.steps), n);
	assert_int_equal(seen.n, sent);
}

static void
each_in_turn(void **arg)
{
	struct db *db = start();

	(void)arg;
	erase(0, 7, "a", 1);
	assert_int_equal(seen.n, 1); /* at once */
	assert_int_equal(seen.id, 7);
	erase(0, 8, "b", 4);
	erase(0, 9, "c", 2);
	assert_int_equal(seen.n, 1);
	until_steps(5);
	assert_int_equal(seen.n, 2);
	assert_int_equal(seen.id, 9);
	until_steps(7);
	assert_int_equal(seen.n, 3);
	assert_ptr_equal(seen.to, LINK(0));
	assert_int_equal(seen.id, 8);
	assert_int_equal(seen.last.code, E_OK);
	assert_int_equal(seen.last.rows, 4); /* before the first */
	assert_int_equal(seen.counts, 3);    /* once each: a million rows are longer than a step */
	assert_string_equal(seen.steps, "abcbcbb");
	assert_idle();
	end(db);
}

static void
not_to_the_end(void **arg)
{
	struct db *db = start();

	(void)arg;
	seen.fails = fail(E_DENIED);
	erase(0, 1, "a", 5);
	erase(0, 2, "b", 2);
	until_steps(4);
	assert_int_equal(seen.n, 1);
	assert_int_equal(seen.id, 2);
	until_steps(5);
	assert_int_equal(seen.n, 2);
	assert_int_equal(seen.id, 1);
	assert_int_equal(seen.last.code, E_DENIED);
	assert_string_equal(seen.steps, "ababa");
	assert_idle();
	end(db);
}

/* The authority waits no longer, or is gone: it takes them to be there. */
static void
given_up(void **arg)
{
	struct db *db = start();

	(void)arg;
	erase(0, 1, "a", 100);
	erase(0, 5, "e", 100);
	until_steps(3);
	assert_int_equal(seen.n, 0);
	ahead_ms = ERASE_GIVE_UP_MS;
	while (seen.n < 2)
		(void)uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(seen.last.code, E_TIMEOUT);
	assert_int_equal(strlen(seen.steps), 3); /* no step more of either */
	assert_idle();
	erase(0, 2, "b", 100);
	erase(1, 3, "c", 2);
	erase(0, 4, "d", 100);
	privacy_authority_closed(LINK(0));
	until_steps(7);
	assert_string_equal(seen.steps, "aeabcdc");
	assert_int_equal(seen.n, 3);
	assert_ptr_equal(seen.to, LINK(1));
	assert_int_equal(seen.id, 3);
	assert_idle();
	end(db);
}

static void
too_many(void **arg)
{
	struct db *db = start();

	(void)arg;
	for (uint64_t i = 0; i < ERASING_MAX; i++)
		erase(0, i, "a", 100);
	assert_int_equal(seen.n, 0);
	erase(0, 99, "b", 100);
	assert_int_equal(seen.n, 1);
	assert_int_equal(seen.id, 99);
	assert_int_equal(seen.last.code, E_FULL);
	end(db); /* in the middle of them */
	assert_int_equal(seen.n, 1);
}

#define T(f) cmocka_unit_test_setup(f, fresh)

int
main(void)
{
	const struct CMUnitTest tests[] = { T(each_in_turn), T(not_to_the_end), T(given_up),
		T(too_many) };

	return cmocka_run_group_tests(tests, setup, teardown);
}
