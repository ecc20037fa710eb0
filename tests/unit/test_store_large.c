/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A conversation of more than one step takes away: hidden at once, and gone in steps, each of
 * which leaves the store to the others; whoever asked for it, and through a stop in between.
 */
#include "content_world.h"

#include <privacy.h>

#define ITEM_BYTES (3U << 20)
#define ITEMS 8U
#define DAY_S 86400ULL

static char *text; /* a JSON text of ITEM_BYTES */

static void
large(struct db *db, const struct who *w, const char *id)
{
	for (unsigned i = 0; i < ITEMS; i++) {
		char item_id[16];
		struct content_item item = { .json = span_of(text, ITEM_BYTES) };
		const struct content_request req = {
			.meta = i == 0 ? SPAN_LIT("{\"m\":1}") : SPAN_EMPTY, .items = { &item, 1 }
		};

		(void)snprintf(item_id, sizeof(item_id), "item_%u", i);
		item.id = span_str(item_id);
		if (i == 0)
			assert_is_ok(ask(db, w, CONTENT_CREATE, CONTENT_CONVERSATION, id, &req));
		else
			assert_is_ok(ask(db, w, CONTENT_CREATE, CONTENT_ITEM, id, &req));
	}
}

static int64_t
items(struct db *db)
{
	return number(db, "SELECT count(*) FROM items");
}

static int64_t
used(struct db *db)
{
	return number(db, "SELECT coalesce(sum(bytes), 0) FROM content_use");
}

/* How many steps it took; no one is larger than may be. */
static unsigned
sweep_all(struct db *db, uint64_t now_s)
{
	bool more = true;
	unsigned n = 0;

	while (more && n < 100) {
		int64_t before = items(db);

		assert_is_ok(db_sweep(db, now_s, &more));
		assert_in_range(before - items(db), 0, SWEEP_BYTES_MAX / ITEM_BYTES + 1);
		n++;
	}
	assert_false(more);
	return n;
}

static void
deleted(void **arg)
{
	struct db *db = with_users();
	int64_t before;

	(void)arg;
	assert_is_ok(save(db, &bob, "resp_1", "", "", "x"));
	assert_is_ok(create_conversation(db, &ann, "conv_0", "ab"));
	before = used(db);
	large(db, &ann, "conv_1");
	/* What it shares with a response stays the response's. */
	assert_is_ok(save(db, &ann, "resp_2", "", "conv_1", "cD"));
	assert_is_ok(ask(db, &ann, CONTENT_DELETE, CONTENT_CONVERSATION, "conv_1", NULL));
	assert_true(got.done.hidden);
	assert_int_equal(items(db), 1 + 2 + ITEMS + 2);
	for (int i = 0; i < 2; i++) { /* at once, and in the middle of it */
		bool more = false;

		assert_int_equal(
		    ask(db, &ann, CONTENT_READ, CONTENT_CONVERSATION, "conv_1", NULL).code,
		    E_NOTFOUND);
		assert_int_equal(
		    ask(db, &ann, CONTENT_DELETE, CONTENT_CONVERSATION, "conv_1", NULL).code,
		    E_NOTFOUND);
		assert_string_equal(load(db, &ann, CONTENT_RESPONSE, "resp_2"), "\"c\"|\"D\"");
		assert_is_ok(db_sweep(db, NOW, &more));
		assert_true(more);
	}
	/* A stop in between. */
	db_close(db);
	db = open_ok();
	assert_in_range(sweep_all(db, NOW), 1, ITEMS);
	assert_int_equal(items(db), 1 + 2 + 2);
	assert_int_equal(number(db, "SELECT count(*) FROM objects WHERE hidden = 1"), 0);
	assert_string_equal(load(db, &ann, CONTENT_RESPONSE, "resp_2"), "\"c\"|\"D\"");
	assert_string_equal(load(db, &ann, CONTENT_CONVERSATION, "conv_0"), "\"a\"|\"b\"");
	assert_is_ok(ask(db, &ann, CONTENT_DELETE, CONTENT_RESPONSE, "resp_2", NULL));
	assert_false(got.done.hidden);
	assert_int_equal(used(db), before);
	db_close(db);
}

/* Items that a response has, too: none goes, but each row is written anew. */
static void
shared(void **arg)
{
	static const char left[] = "SELECT count(*) FROM items WHERE conversation IS NOT NULL";
	struct db *db = with_users();
	bool more = true;

	(void)arg;
	large(db, &ann, "conv_1");
	assert_is_ok(save(db, &ann, "resp_1", "", "", "x"));
	sql(db, "UPDATE items SET response = (SELECT id FROM objects ORDER BY id DESC LIMIT 1)");
	assert_is_ok(ask(db, &ann, CONTENT_DELETE, CONTENT_CONVERSATION, "conv_1", NULL));
	assert_true(got.done.hidden);
	while (more) {
		int64_t before = number(db, left);

		assert_is_ok(db_sweep(db, NOW, &more));
		assert_in_range(before - number(db, left), 0, SWEEP_BYTES_MAX / ITEM_BYTES + 1);
	}
	assert_int_equal(items(db), ITEMS + 1);
	assert_int_equal(number(db, "SELECT count(*) FROM objects"), 1);
	db_close(db);
}

static void
erased(void **arg)
{
	struct db *db = with_users();
	uint64_t rows = 0;

	(void)arg;
	large(db, &ann, "conv_1");
	assert_is_ok(erase_all(db, SPAN_LIT("tenant0"), SPAN_LIT("user0"), &rows));
	assert_int_equal(items(db), ITEMS);
	assert_in_range(sweep_all(db, NOW), 3, ITEMS);
	assert_int_equal(items(db), 0);
	assert_int_equal(number(db, "SELECT count(*) FROM objects"), 0);
	db_close(db);
}

/* Counted once; what is held meanwhile stays, and goes when it is not. */
static void
aged(void **arg)
{
	struct db *db = with_users();
	const uint64_t then = NOW + 3 * DAY_S;
	bool more = false;
	int64_t left;

	(void)arg;
	large(db, &ann, "conv_1");
	db->content.days[RETAINED_CONVERSATIONS] = 2;
	assert_is_ok(db_sweep(db, then, &more));
	assert_true(more);
	left = items(db);
	assert_in_range(left, 1, ITEMS - 1);
	assert_int_equal(db->content.gone[RETAINED_CONVERSATIONS], 1);
	sql(db, "BEGIN; UPDATE users SET hold = 1 WHERE id = 1; COMMIT;");
	assert_is_ok(db_sweep(db, then, &more));
	assert_is_ok(db_sweep(db, then, &more));
	assert_int_equal(items(db), left);
	sql(db, "BEGIN; UPDATE users SET hold = 0 WHERE id = 1; COMMIT;");
	(void)sweep_all(db, then);
	(void)sweep_all(db, then);
	assert_int_equal(items(db), 0);
	assert_int_equal(number(db, "SELECT count(*) FROM objects"), 0);
	assert_int_equal(used(db), 0);
	assert_int_equal(db->content.gone[RETAINED_CONVERSATIONS], 1);
	db_close(db);
}

#define T(f) cmocka_unit_test_setup(f, fresh)

int
main(void)
{
	const struct CMUnitTest tests[] = { T(deleted), T(shared), T(erased), T(aged) };
	int failed;

	text = malloc(ITEM_BYTES);
	if (text == NULL)
		return 1;
	memset(text, 'x', ITEM_BYTES);
	text[0] = text[ITEM_BYTES - 1] = '"';
	failed = cmocka_run_group_tests(tests, setup, teardown);
	free(text);
	return failed;
}
