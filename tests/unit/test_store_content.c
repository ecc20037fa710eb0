/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is kept for users, in the database: every operation; nothing of another's, by any
 * operation; quotas; a legal hold; killed at every call that changes a file, all of a turn or
 * nothing; a disk that is full; nothing in clear.
 */
#include "content_world.h"

#define CODE(expr, want) assert_int_equal((expr).code, want)

static void
conversations(void **arg)
{
	struct content_request page = { .limit = 2 };
	struct db *db = with_users();

	(void)arg;
	assert_is_ok(create_conversation(db, &ann, "conv_1", "abc"));
	assert_string_equal(objects(), "conv_1={\"m\":1}");
	assert_int_equal(got.done.items, 4);
	CODE(create_conversation(db, &ann, "conv_1", ""), E_EXISTS);
	db_close(db);
	db = open_ok();
	assert_is_ok(ask(db, &ann, CONTENT_READ, CONTENT_CONVERSATION, "conv_1", NULL));
	assert_string_equal(objects(), "conv_1={\"m\":1}");
	assert_string_equal(load(db, &ann, CONTENT_CONVERSATION, "conv_1"), "\"a\"|\"b\"|\"c\"");
	/* Pages, both ways. */
	assert_is_ok(ask(db, &ann, CONTENT_LIST, CONTENT_ITEM, "conv_1", &page));
	assert_string_equal(said(), "\"a\"|\"b\"");
	assert_int_equal(got.answer.more, 1);
	page.after = SPAN_LIT("i_b");
	assert_is_ok(ask(db, &ann, CONTENT_LIST, CONTENT_ITEM, "conv_1", &page));
	assert_string_equal(said(), "\"c\"");
	assert_int_equal(got.answer.more, 0);
	page.descending = 1;
	assert_is_ok(ask(db, &ann, CONTENT_LIST, CONTENT_ITEM, "conv_1", &page));
	assert_string_equal(said(), "\"a\"");
	page.after = SPAN_EMPTY;
	assert_is_ok(ask(db, &ann, CONTENT_LIST, CONTENT_ITEM, "conv_1", &page));
	assert_string_equal(said(), "\"c\"|\"b\"");
	assert_int_equal(got.answer.more, 1);
	page.after = SPAN_LIT("i_x");
	CODE(ask(db, &ann, CONTENT_LIST, CONTENT_ITEM, "conv_1", &page), E_NOTFOUND);
	page = (struct content_request){ .meta = SPAN_LIT("{\"m\":22222}") };
	CODE(ask(db, &ann, CONTENT_LIST, CONTENT_ITEM, "conv_1", &page), E_SYNTAX);
	assert_is_ok(ask(db, &ann, CONTENT_UPDATE, CONTENT_CONVERSATION, "conv_1", &page));
	assert_string_equal(objects(), "conv_1={\"m\":22222}");
	assert_string_equal(load(db, &ann, CONTENT_CONVERSATION, "conv_1"), "\"a\"|\"b\"|\"c\"");
	assert_is_ok(ask(db, &ann, CONTENT_DELETE, CONTENT_CONVERSATION, "conv_1", NULL));
	CODE(ask(db, &ann, CONTENT_READ, CONTENT_CONVERSATION, "conv_1", NULL), E_NOTFOUND);
	CODE(ask(db, &ann, CONTENT_DELETE, CONTENT_CONVERSATION, "conv_1", NULL), E_NOTFOUND);
	assert_int_equal(number(db, "SELECT (SELECT count(*) FROM objects) + "
				    "(SELECT count(*) FROM items)"),
	    0);
	assert_int_equal(number(db, "SELECT objects + bytes FROM content_use"), 0);
	db_close(db);
}

static void
items(void **arg)
{
	struct words room;
	struct content_request add = { .items = words(&room, "xy") };
	struct content_request in = { .parent = SPAN_LIT("conv_1") };
	struct db *db = with_users();

	(void)arg;
	assert_is_ok(create_conversation(db, &ann, "conv_1", "a"));
	assert_is_ok(create_conversation(db, &ann, "conv_2", "b"));
	assert_is_ok(ask(db, &ann, CONTENT_CREATE, CONTENT_ITEM, "conv_1", &add));
	assert_string_equal(load(db, &ann, CONTENT_CONVERSATION, "conv_1"), "\"a\"|\"x\"|\"y\"");
	assert_is_ok(ask(db, &ann, CONTENT_READ, CONTENT_ITEM, "i_x", &in));
	assert_string_equal(said(), "\"x\"");
	CODE(ask(db, &ann, CONTENT_READ, CONTENT_ITEM, "i_b", &in), E_NOTFOUND);
	assert_is_ok(ask(db, &ann, CONTENT_DELETE, CONTENT_ITEM, "i_x", &in));
	CODE(ask(db, &ann, CONTENT_DELETE, CONTENT_ITEM, "i_x", &in), E_NOTFOUND);
	assert_string_equal(load(db, &ann, CONTENT_CONVERSATION, "conv_1"), "\"a\"|\"y\"");
	assert_string_equal(load(db, &ann, CONTENT_CONVERSATION, "conv_2"), "\"b\"");
	in.parent = SPAN_LIT("conv_9");
	CODE(ask(db, &ann, CONTENT_READ, CONTENT_ITEM, "i_a", &in), E_NOTFOUND);
	add.items.count = 0;
	CODE(ask(db, &ann, CONTENT_CREATE, CONTENT_ITEM, "conv_1", &add), E_SYNTAX);
	db_close(db);
}

static void
responses(void **arg)
{
	struct content_request page = { .limit = 100 };
	struct db *db = with_users();

	(void)arg;
	assert_is_ok(save(db, &ann, "resp_1", "", "", "aB"));
	assert_is_ok(save(db, &ann, "resp_2", "resp_1", "", "cdE"));
	assert_is_ok(save(db, &ann, "resp_3", "resp_2", "", "F"));
	CODE(save(db, &ann, "resp_3", "resp_2", "", "X"), E_EXISTS);
	CODE(save(db, &ann, "resp_4", "resp_9", "", "X"), E_NOTFOUND);
	assert_string_equal(
	    load(db, &ann, CONTENT_RESPONSE, "resp_3"), "\"a\"|\"B\"|\"c\"|\"d\"|\"E\"|\"F\"");
	assert_string_equal(load(db, &ann, CONTENT_RESPONSE, "resp_1"), "\"a\"|\"B\"");
	/* Its own answer; what it was asked with. */
	assert_is_ok(ask(db, &ann, CONTENT_READ, CONTENT_RESPONSE, "resp_2", NULL));
	assert_string_equal(objects(), "resp_2={\"r\":1}");
	assert_string_equal(said(), "\"E\"");
	assert_is_ok(ask(db, &ann, CONTENT_LIST, CONTENT_RESPONSE, "resp_2", &page));
	assert_string_equal(said(), "\"c\"|\"d\"");
	page.after = SPAN_LIT("i_c");
	assert_is_ok(ask(db, &ann, CONTENT_LIST, CONTENT_RESPONSE, "resp_2", &page));
	assert_string_equal(said(), "\"d\"");
	/* A chain with a hole is none; what lies before the hole stays. */
	assert_is_ok(ask(db, &ann, CONTENT_DELETE, CONTENT_RESPONSE, "resp_2", NULL));
	assert_string_equal(
	    load(db, &ann, CONTENT_RESPONSE, "resp_3"), status_text(fail(E_NOTFOUND)));
	assert_string_equal(load(db, &ann, CONTENT_RESPONSE, "resp_1"), "\"a\"|\"B\"");
	assert_is_ok(ask(db, &ann, CONTENT_READ, CONTENT_RESPONSE, "resp_3", NULL));
	assert_int_equal(number(db, "SELECT count(*) FROM items"), 3);
	db_close(db);
}

static void
turns_of_a_conversation(void **arg)
{
	struct content_request in = { .parent = SPAN_LIT("conv_1") };
	struct db *db = with_users();

	(void)arg;
	assert_is_ok(create_conversation(db, &ann, "conv_1", "a"));
	assert_is_ok(save(db, &ann, "resp_1", "", "conv_1", "bC"));
	assert_is_ok(save(db, &ann, "resp_2", "", "conv_1", "dE"));
	CODE(save(db, &ann, "resp_3", "", "conv_9", "fG"), E_NOTFOUND);
	CODE(save(db, &ann, "resp_3", "resp_1", "conv_1", "fG"), E_SYNTAX);
	CODE(save(db, &ann, "resp_2", "", "conv_1", "fG"), E_EXISTS);
	assert_string_equal(
	    load(db, &ann, CONTENT_CONVERSATION, "conv_1"), "\"a\"|\"b\"|\"C\"|\"d\"|\"E\"");
	/* A response that goes leaves its conversation as it is, and the other way round. */
	assert_is_ok(ask(db, &ann, CONTENT_DELETE, CONTENT_RESPONSE, "resp_1", NULL));
	assert_is_ok(ask(db, &ann, CONTENT_DELETE, CONTENT_ITEM, "i_E", &in));
	assert_string_equal(
	    load(db, &ann, CONTENT_CONVERSATION, "conv_1"), "\"a\"|\"b\"|\"C\"|\"d\"");
	assert_is_ok(ask(db, &ann, CONTENT_READ, CONTENT_RESPONSE, "resp_2", NULL));
	assert_string_equal(said(), "\"E\"");
	assert_is_ok(ask(db, &ann, CONTENT_DELETE, CONTENT_CONVERSATION, "conv_1", NULL));
	assert_is_ok(ask(db, &ann, CONTENT_READ, CONTENT_RESPONSE, "resp_2", NULL));
	assert_string_equal(said(), "\"E\"");
	assert_int_equal(number(db, "SELECT count(*) FROM items"), 2);
	assert_is_ok(ask(db, &ann, CONTENT_DELETE, CONTENT_RESPONSE, "resp_2", NULL));
	assert_int_equal(number(db, "SELECT count(*) FROM items"), 0);
	assert_int_equal(number(db, "SELECT objects + bytes FROM content_use"), 0);
	db_close(db);
}

static void
files(void **arg)
{
	static const size_t sizes[] = { 0, 1, CONTENT_CHUNK_LEN - 1, CONTENT_CHUNK_LEN,
		CONTENT_CHUNK_LEN + 1, CONTENT_BLOB_MAX - 4096 };
	uint8_t *bytes = malloc(CONTENT_BLOB_MAX);
	struct content_request req = { .limit = 2, .tag = SPAN_LIT("even") };
	struct db *db = with_users();
	char id[16];

	(void)arg;
	for (size_t i = 0; i < CONTENT_BLOB_MAX; i++)
		bytes[i] = (uint8_t)(i * 31 + (i >> 9));
	for (size_t i = 0; i < COUNT(sizes); i++) {
		(void)snprintf(id, sizeof(id), "file_%zu", i);
		assert_is_ok(create_file(
		    db, &ann, id, span_of(bytes, sizes[i]), i % 2 == 0 ? "even" : "odd"));
	}
	db_close(db);
	db = open_ok();
	for (size_t i = 0; i < COUNT(sizes); i++) {
		(void)snprintf(id, sizeof(id), "file_%zu", i);
		assert_is_ok(ask(db, &ann, CONTENT_BODY, CONTENT_FILE, id, NULL));
		assert_true(span_eq(got.answer.body, span_of(bytes, sizes[i])));
		assert_is_ok(ask(db, &ann, CONTENT_READ, CONTENT_FILE, id, NULL));
		assert_int_equal(
		    ((const struct content_object *)got.answer.objects.items)->size, sizes[i]);
		assert_int_equal(got.answer.body.len, 0);
	}
	assert_is_ok(ask(db, &ann, CONTENT_LIST, CONTENT_FILE, "", &req));
	assert_string_equal(objects(), "file_0={\"filename\":\"f\"}|file_2={\"filename\":\"f\"}");
	assert_int_equal(got.answer.more, 1);
	req.after = SPAN_LIT("file_2");
	assert_is_ok(ask(db, &ann, CONTENT_LIST, CONTENT_FILE, "", &req));
	assert_string_equal(objects(), "file_4={\"filename\":\"f\"}");
	req.descending = 1;
	assert_is_ok(ask(db, &ann, CONTENT_LIST, CONTENT_FILE, "", &req));
	assert_string_equal(objects(), "file_0={\"filename\":\"f\"}");
	for (size_t i = 0; i < COUNT(sizes); i++) {
		(void)snprintf(id, sizeof(id), "file_%zu", i);
		assert_is_ok(ask(db, &ann, CONTENT_DELETE, CONTENT_FILE, id, NULL));
	}
	assert_int_equal(number(db, "SELECT count(*) FROM chunks"), 0);
	assert_int_equal(number(db, "SELECT objects + bytes FROM content_use"), 0);
	db_close(db);
	free(bytes);
}

static void
files_that_end(void **arg)
{
	const struct content_request req = {
		.meta = SPAN_LIT("{}"), .body = SPAN_LIT("x"), .expires_s = 100
	};
	struct db *db = with_users();

	(void)arg;
	assert_is_ok(ask(db, &ann, CONTENT_CREATE, CONTENT_FILE, "file_1", &req));
	assert_int_equal(
	    ((const struct content_object *)got.answer.objects.items)->expires_s, NOW + 100);
	got.now_s = NOW + 99;
	assert_is_ok(ask(db, &ann, CONTENT_BODY, CONTENT_FILE, "file_1", NULL));
	got.now_s = NOW + 100;
	CODE(ask(db, &ann, CONTENT_BODY, CONTENT_FILE, "file_1", NULL), E_NOTFOUND);
	assert_is_ok(ask(db, &ann, CONTENT_LIST, CONTENT_FILE, "", NULL));
	assert_int_equal(got.answer.objects.count, 0);
	got.now_s = NOW;
	db_close(db);
}

/* Every operation on every kind, with ids that exist, by others: none of them is there. */
static void
others(void **arg)
{
	static const struct who *const strangers[] = { &bob, &eve };
	static const struct who nobody = { "tenant0", "user7" }, nowhere = { "t9", "user0" };
	static const char *const ids[CONTENT_KIND_COUNT] = { "", "conv_1", "i_a", "resp_1",
		"file_1" };
	struct words room;
	const struct content_request req = {
		.limit = 10, .parent = SPAN_LIT("conv_1"), .items = words(&room, "z")
	};
	struct db *db = with_users();
	int64_t before;

	(void)arg;
	assert_is_ok(create_conversation(db, &ann, "conv_1", "a"));
	assert_is_ok(save(db, &ann, "resp_1", "", "conv_1", "bC"));
	assert_is_ok(create_file(db, &ann, "file_1", SPAN_LIT("secret"), ""));
	before = number(db, "SELECT sum(version) * 1000 + count(*) FROM objects");
	for (size_t i = 0; i < 4; i++) {
		const struct who *w = i < 2 ? strangers[i] : i == 2 ? &nobody : &nowhere;

		for (uint8_t op = 1; op < CONTENT_OP_COUNT; op++) {
			for (uint8_t kind = 1; kind < CONTENT_KIND_COUNT; kind++) {
				struct status st;

				if (op == CONTENT_CREATE && kind != CONTENT_ITEM)
					continue; /* one of their own */
				if (op == CONTENT_SAVE)
					continue;
				st = ask(db, w, op, kind, ids[kind],
				    op == CONTENT_LIST && kind == CONTENT_FILE ? NULL : &req);
				if (op == CONTENT_LIST && kind == CONTENT_FILE && i < 2) {
					assert_is_ok(st);
					assert_int_equal(got.answer.objects.count, 0);
				} else if (st.code != E_SYNTAX) {
					CODE(st, E_NOTFOUND);
				}
			}
		}
		if (i < 2) {
			CODE(save(db, w, "resp_9", "resp_1", "", "x"), E_NOTFOUND);
			CODE(save(db, w, "resp_9", "", "conv_1", "x"), E_NOTFOUND);
		}
	}
	assert_int_equal(number(db, "SELECT sum(version) * 1000 + count(*) FROM objects"), before);
	/* That an id is taken is nobody else's to know. */
	assert_is_ok(create_conversation(db, &bob, "conv_1", "q"));
	assert_is_ok(create_conversation(db, &eve, "conv_1", "r"));
	assert_string_equal(load(db, &ann, CONTENT_CONVERSATION, "conv_1"), "\"a\"|\"b\"|\"C\"");
	assert_string_equal(load(db, &bob, CONTENT_CONVERSATION, "conv_1"), "\"q\"");
	db_close(db);
}

/* An id of one kind is none of another. */
static void
kinds(void **arg)
{
	struct db *db = with_users();

	(void)arg;
	assert_is_ok(create_conversation(db, &ann, "x_1", "a"));
	CODE(ask(db, &ann, CONTENT_READ, CONTENT_RESPONSE, "x_1", NULL), E_NOTFOUND);
	CODE(ask(db, &ann, CONTENT_BODY, CONTENT_FILE, "x_1", NULL), E_NOTFOUND);
	CODE(ask(db, &ann, CONTENT_LOAD, CONTENT_RESPONSE, "x_1", NULL), E_NOTFOUND);
	CODE(ask(db, &ann, CONTENT_READ, CONTENT_CONVERSATION, "", NULL), E_NOTFOUND);
	CODE(ask(db, &ann, CONTENT_READ, CONTENT_CONVERSATION, "x_1'--", NULL), E_NOTFOUND);
	CODE(ask(db, &ann, CONTENT_BODY, CONTENT_CONVERSATION, "x_1", NULL), E_SYNTAX);
	CODE(ask(db, &ann, 0, CONTENT_CONVERSATION, "x_1", NULL), E_SYNTAX);
	CODE(ask(db, &ann, 200, 200, "x_1", NULL), E_SYNTAX);
	CODE(ask(db, &ann, CONTENT_CREATE, CONTENT_RESPONSE, "resp_1", NULL), E_SYNTAX);
	db_close(db);
}

static void
quotas(void **arg)
{
	static const uint8_t bytes[10000];
	struct db *db = with_users();

	(void)arg;
	db->content.user_bytes_max = 25000;
	assert_is_ok(create_file(db, &ann, "file_1", span_of(bytes, 10000), ""));
	assert_is_ok(create_file(db, &ann, "file_2", span_of(bytes, 10000), ""));
	CODE(create_file(db, &ann, "file_3", span_of(bytes, 10000), ""), E_FULL);
	CODE(ask(db, &ann, CONTENT_READ, CONTENT_FILE, "file_3", NULL), E_NOTFOUND);
	assert_is_ok(create_file(db, &bob, "file_3", span_of(bytes, 10000), ""));
	assert_is_ok(ask(db, &ann, CONTENT_DELETE, CONTENT_FILE, "file_1", NULL));
	assert_is_ok(create_file(db, &ann, "file_3", span_of(bytes, 10000), ""));
	/* Less than what is there already: nothing more, and what is there can be read. */
	db->content.user_bytes_max = 10;
	CODE(save(db, &ann, "resp_1", "", "", "a"), E_FULL);
	assert_is_ok(ask(db, &ann, CONTENT_BODY, CONTENT_FILE, "file_2", NULL));
	db_close(db);
}

/* What one user has many of slows nobody down: rows are found, not looked for. */
static void
indices(void **arg)
{
	struct db *db = with_users();

	(void)arg;
	assert_goes_by(
	    db, SQL_ITEM_FIND_OF_CONVERSATION, "items_of_id (conversation=? AND hash=?)");
	assert_goes_by(db, SQL_ITEM_NEXT_OF_CONVERSATION,
	    "items_of_conversation (conversation=? AND rowid>?)");
	assert_goes_by(db, SQL_ITEM_BEFORE_OF_CONVERSATION,
	    "items_of_conversation (conversation=? AND rowid<?)");
	assert_goes_by(db, SQL_OBJECT_NEXT, "objects_of_kind (user=? AND kind=? AND id>?)");
	assert_goes_by(db, SQL_OBJECT_BEFORE, "objects_of_kind (user=? AND kind=? AND id<?)");
	assert_goes_by(
	    db, SQL_OBJECT_NEXT_OF_TAG, "objects_of_tag (user=? AND kind=? AND tag=? AND id>?)");
	assert_goes_by(
	    db, SQL_OBJECT_BEFORE_OF_TAG, "objects_of_tag (user=? AND kind=? AND tag=? AND id<?)");
	db_close(db);
}

static void
long_conversations(void **arg)
{
	struct content_item *many = calloc(CONTENT_ITEMS_MAX, sizeof(*many));
	struct content_request req = { .meta = SPAN_LIT("{}"),
		.items = { many, CONTENT_ITEMS_MAX } };
	const struct content_request known = { .items = { many, 1 } };
	struct db *db = with_users();
	char ids[CONTENT_ITEMS_MAX][8];

	(void)arg;
	for (unsigned i = 0; i < CONTENT_ITEMS_MAX; i++) {
		(void)snprintf(ids[i], sizeof(ids[i]), "i%u", i);
		many[i] = (struct content_item){ span_str(ids[i]), 0, SPAN_LIT("{}") };
	}
	assert_is_ok(ask(db, &ann, CONTENT_CREATE, CONTENT_CONVERSATION, "conv_1", &req));
	assert_is_ok(ask(db, &ann, CONTENT_LOAD, CONTENT_CONVERSATION, "conv_1", NULL));
	assert_int_equal(got.answer.items.count, CONTENT_ITEMS_MAX);
	/* Whether there is room is known before each id is looked for. */
	CODE(ask(db, &ann, CONTENT_CREATE, CONTENT_ITEM, "conv_1", &known), E_FULL);
	CODE(save(db, &ann, "resp_1", "", "conv_1", "a"), E_FULL);
	CODE(ask(db, &ann, CONTENT_READ, CONTENT_RESPONSE, "resp_1", NULL), E_NOTFOUND);
	/* More than one answer holds. */
	assert_is_ok(ask(db, &ann, CONTENT_SAVE, CONTENT_RESPONSE, "resp_1", &req));
	assert_is_ok(ask(db, &ann, CONTENT_LOAD, CONTENT_RESPONSE, "resp_1", NULL));
	assert_is_ok(save(db, &ann, "resp_2", "resp_1", "", "a"));
	CODE(ask(db, &ann, CONTENT_LOAD, CONTENT_RESPONSE, "resp_2", NULL), E_RANGE);
	assert_int_equal(content_error(fail(E_RANGE)), ERROR_BODY_TOO_LARGE);
	db_close(db);
	free(many);
}

static void
long_chains(void **arg)
{
	char id[16], before[16] = "";
	struct db *db = with_users();

	(void)arg;
	for (unsigned i = 0; i < CONTENT_CHAIN_MAX; i++) {
		(void)snprintf(id, sizeof(id), "resp_%u", i);
		assert_is_ok(save(db, &ann, id, before, "", "a"));
		memcpy(before, id, sizeof(before));
	}
	assert_is_ok(ask(db, &ann, CONTENT_LOAD, CONTENT_RESPONSE, before, NULL));
	assert_int_equal(got.answer.items.count, CONTENT_CHAIN_MAX);
	CODE(save(db, &ann, "resp_x", before, "", "a"), E_FULL);
	db_close(db);
}

/* Under a hold what its user deletes is not seen any more, and is still there. */
static void
hold(void **arg)
{
	const struct as_user_put on = { SPAN_LIT("tenant0"), SPAN_LIT("user0"), ROLE_USER,
		USER_ACTIVE, 1 };
	struct content_request in = { .parent = SPAN_LIT("conv_1") };
	struct db *db = with_users();
	uint8_t subject[AS_SECRET_LEN];

	(void)arg;
	assert_is_ok(create_conversation(db, &ann, "conv_1", "ab"));
	assert_is_ok(save(db, &ann, "resp_1", "", "", "cD"));
	assert_is_ok(create_file(db, &ann, "file_1", SPAN_LIT("x"), ""));
	assert_is_ok(db_user_put(db, &on, subject));
	assert_is_ok(ask(db, &ann, CONTENT_DELETE, CONTENT_ITEM, "i_a", &in));
	assert_string_equal(load(db, &ann, CONTENT_CONVERSATION, "conv_1"), "\"b\"");
	assert_is_ok(ask(db, &ann, CONTENT_DELETE, CONTENT_CONVERSATION, "conv_1", NULL));
	assert_is_ok(ask(db, &ann, CONTENT_DELETE, CONTENT_RESPONSE, "resp_1", NULL));
	assert_is_ok(ask(db, &ann, CONTENT_DELETE, CONTENT_FILE, "file_1", NULL));
	CODE(ask(db, &ann, CONTENT_READ, CONTENT_CONVERSATION, "conv_1", NULL), E_NOTFOUND);
	CODE(ask(db, &ann, CONTENT_LOAD, CONTENT_RESPONSE, "resp_1", NULL), E_NOTFOUND);
	CODE(ask(db, &ann, CONTENT_BODY, CONTENT_FILE, "file_1", NULL), E_NOTFOUND);
	assert_is_ok(ask(db, &ann, CONTENT_LIST, CONTENT_FILE, "", NULL));
	assert_int_equal(got.answer.objects.count, 0);
	assert_int_equal(number(db, "SELECT count(*) FROM objects"), 3);
	assert_int_equal(number(db, "SELECT count(*) FROM items"), 4);
	db_close(db);
}

/* ---- crashes ---- */

/* In a child that dies at call `at`; false: it got through. */
static bool
run_killed(unsigned at, enum crash_mode mode)
{
	uint8_t root[32];
	struct db *db;
	pid_t pid;
	int status;

	memcpy(root, kek.ptr, sizeof(root)); /* a child has no secrets of its parent's */
	pid = fork();
	if (pid == 0) {
		kek = SECRET_NONE;
		if (!is_ok(secret_from_span(span_of(root, sizeof(root)), &kek)) ||
		    !is_ok(db_open(&kek, NULL, &db)))
			_exit(6);
		crash.calls = 0;
		crash.at = at;
		crash.mode = mode;
		(void)!is_ok(save(db, &ann, "resp_2", "", "conv_1", "cD"));
		(void)!is_ok(create_file(db, &ann, "file_2", SPAN_LIT("bytes"), ""));
		(void)!is_ok(ask(db, &ann, CONTENT_DELETE, CONTENT_RESPONSE, "resp_1", NULL));
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
	return WIFSIGNALED(status);
}

/* Each of the three is there whole, or not at all; and in their order. */
static void
assert_whole(struct db *db)
{
	bool saved = is_ok(ask(db, &ann, CONTENT_READ, CONTENT_RESPONSE, "resp_2", NULL));
	bool filed = is_ok(ask(db, &ann, CONTENT_BODY, CONTENT_FILE, "file_2", NULL));
	bool left = is_ok(ask(db, &ann, CONTENT_READ, CONTENT_RESPONSE, "resp_1", NULL));

	assert_true(saved || !filed);
	assert_true(filed || left);
	assert_string_equal(load(db, &ann, CONTENT_CONVERSATION, "conv_1"),
	    saved ? "\"a\"|\"b\"|\"c\"|\"D\"" : "\"a\"|\"b\"");
	if (saved)
		assert_string_equal(load(db, &ann, CONTENT_RESPONSE, "resp_2"), "\"c\"|\"D\"");
	assert_int_equal(number(db, "SELECT objects FROM content_use"), 1 + saved + filed + left);
}

static void
crashes(void **arg)
{
	(void)arg;
	for (int mode = 0; mode < CRASH_MODES; mode++) {
		bool died = true;

		for (unsigned at = CRASH_FIRST(1, mode); died; at += CRASH_STEP(1)) {
			struct db *db;

			dir_clear();
			db = with_users();
			assert_is_ok(create_conversation(db, &ann, "conv_1", "ab"));
			assert_is_ok(save(db, &ann, "resp_1", "", "", "x"));
			db_close(db);
			died = run_killed(at, (enum crash_mode)mode);
			db = open_ok();
			assert_whole(db);
			/* It goes on. */
			assert_is_ok(save(db, &ann, "resp_3", "", "conv_1", "z"));
			db_close(db);
			assert_true(at < 500);
		}
	}
}

static void
disk_full(void **arg)
{
	struct db *db = with_users();

	(void)arg;
	assert_is_ok(create_conversation(db, &ann, "conv_1", "ab"));
	crash.fail_call = SYS_pwrite64;
	crash.fail_errno = ENOSPC;
	CODE(save(db, &ann, "resp_1", "", "conv_1", "cD"), E_SYS);
	assert_int_equal(content_error(fail(E_SYS)), ERROR_UNAVAILABLE);
	CODE(create_file(db, &ann, "file_1", SPAN_LIT("x"), ""), E_SYS);
	assert_string_equal(load(db, &ann, CONTENT_CONVERSATION, "conv_1"), "\"a\"|\"b\"");
	crash.fail_errno = 0;
	assert_is_ok(save(db, &ann, "resp_1", "", "conv_1", "cD"));
	assert_string_equal(
	    load(db, &ann, CONTENT_CONVERSATION, "conv_1"), "\"a\"|\"b\"|\"c\"|\"D\"");
	db_close(db);
}

/* ---- nothing in clear ---- */

static bool
stands_in(const char *file, const char *text)
{
	auto_fd int fd = open(file, O_RDONLY | O_CLOEXEC);
	auto_buf struct buf all = BUF_INIT(64U << 20);

	if (fd < 0)
		return false;
	for (;;) {
		ssize_t n;

		assert_is_ok(buf_reserve(&all, 65536));
		n = read(fd, all.ptr + all.len, 65536);
		assert_true(n >= 0);
		if (n == 0)
			break;
		all.len += (size_t)n;
	}
	assert_true(all.len > 0 || strcmp(file, DB_FILE) != 0);
	return memmem(all.ptr, all.len, text, strlen(text)) != NULL;
}

static void
nothing_in_clear(void **arg)
{
	static const char *const planted[] = { "conv_PLANTED", "item_PLANTED", "file_PLANTED",
		"meta_PLANTED", "json_PLANTED", "body_PLANTED", "tag_PLANTED", "resp_PLANTED" };
	const struct content_item item = { SPAN_LIT("item_PLANTED"), 0,
		SPAN_LIT("{\"text\":\"json_PLANTED\"}") };
	const struct content_request req = { .meta = SPAN_LIT("{\"a\":\"meta_PLANTED\"}"),
		.items = { &item, 1 } };
	const struct content_request file = { .meta = SPAN_LIT("{\"a\":\"meta_PLANTED\"}"),
		.tag = SPAN_LIT("tag_PLANTED"),
		.body = SPAN_LIT("body_PLANTED body_PLANTED") };
	struct db *db = with_users();

	(void)arg;
	assert_is_ok(ask(db, &ann, CONTENT_CREATE, CONTENT_CONVERSATION, "conv_PLANTED", &req));
	assert_is_ok(ask(db, &ann, CONTENT_SAVE, CONTENT_RESPONSE, "resp_PLANTED", &req));
	assert_is_ok(ask(db, &ann, CONTENT_CREATE, CONTENT_FILE, "file_PLANTED", &file));
	for (int closed = 0; closed < 2; closed++) {
		for (size_t i = 0; i < COUNT(planted); i++) {
			assert_false(stands_in(DB_FILE, planted[i]));
			assert_false(stands_in(DB_FILE "-wal", planted[i]));
		}
		if (!closed)
			db_close(db);
	}
}

#define T(f) cmocka_unit_test_setup(f, fresh)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(conversations),
		T(items),
		T(responses),
		T(turns_of_a_conversation),
		T(files),
		T(files_that_end),
		T(others),
		T(kinds),
		T(quotas),
		T(indices),
		T(long_conversations),
		T(long_chains),
		T(hold),
		T(crashes),
		T(disk_full),
		T(nothing_in_clear),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
