/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CONTENT_WORLD_H
#define TESTS_CONTENT_WORLD_H

/*
 * A database with users, and operations on what is kept for them.
 */
#include "store_world.h"

#include <content.h>

struct who {
	const char *tenant, *user;
};
static const struct who ann = { "tenant0", "user0" }, bob = { "tenant0", "user1" },
			eve = { "tenant1", "user2" };

/* The last answer. */
static struct {
	struct arena arena;
	struct content_answer answer;
	struct content_done done;
	uint64_t now_s;
	bool masked; /* of what is asked for */
} got = { .now_s = NOW };

UNUSED static struct db *
with_users(void)
{
	uint8_t subject[AS_SECRET_LEN];
	struct db *db = open_ok();

	for (unsigned i = 0; i < 3; i++)
		assert_is_ok(put(db, 2 * i, subject));
	return db;
}

UNUSED static struct status
ask(struct db *db, const struct who *w, uint8_t op, uint8_t kind, const char *target,
    const struct content_request *req)
{
	static const struct content_request none = { .limit = 20 };
	const struct content_call call = { .op = op,
		.kind = kind,
		.masked = got.masked,
		.tenant = span_str(w->tenant),
		.user = span_str(w->user),
		.target = span_str(target),
		.req = req != NULL ? req : &none,
		.now_s = got.now_s };

	arena_done(&got.arena);
	got.arena = ARENA_INIT(CONTENT_ARENA_MAX);
	return content_do(db, &call, &got.arena, &got.answer, &got.done);
}

/* The texts of the items of the answer, '|' between. */
UNUSED static const char *
said(void)
{
	static char text[8192];
	const struct content_item *items = got.answer.items.items;
	size_t at = 0;

	text[0] = '\0';
	for (uint32_t i = 0; i < got.answer.items.count; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%.*s", i == 0 ? "" : "|",
		    SPAN_FMT(items[i].json));
	return text;
}

UNUSED static const char *
objects(void)
{
	static char text[8192];
	const struct content_object *o = got.answer.objects.items;
	size_t at = 0;

	text[0] = '\0';
	for (uint32_t i = 0; i < got.answer.objects.count; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%.*s=%.*s",
		    i == 0 ? "" : "|", SPAN_FMT(o[i].id), SPAN_FMT(o[i].meta));
	return text;
}

/* Items "a", "b", … with ids "i_a", …; capitals are output. */
struct words {
	struct content_item items[64];
	char id[64][8], json[64][8];
};
UNUSED static struct wire_list
words(struct words *w, const char *letters)
{
	uint32_t n = 0;

	for (; letters[n] != '\0'; n++) {
		(void)snprintf(w->id[n], sizeof(w->id[n]), "i_%c", letters[n]);
		(void)snprintf(w->json[n], sizeof(w->json[n]), "\"%c\"", letters[n]);
		w->items[n] = (struct content_item){ span_str(w->id[n]),
			letters[n] >= 'A' && letters[n] <= 'Z', span_str(w->json[n]) };
	}
	return (struct wire_list){ w->items, n };
}

UNUSED static struct status
create_conversation(struct db *db, const struct who *w, const char *id, const char *letters)
{
	struct words room;
	const struct content_request req = { .meta = SPAN_LIT("{\"m\":1}"),
		.items = words(&room, letters) };

	return ask(db, w, CONTENT_CREATE, CONTENT_CONVERSATION, id, &req);
}

UNUSED static struct status
save(struct db *db, const struct who *w, const char *id, const char *previous, const char *parent,
    const char *letters)
{
	struct words room;
	const struct content_request req = { .meta = SPAN_LIT("{\"r\":1}"),
		.previous = span_str(previous),
		.parent = span_str(parent),
		.items = words(&room, letters) };

	return ask(db, w, CONTENT_SAVE, CONTENT_RESPONSE, id, &req);
}

UNUSED static const char *
load(struct db *db, const struct who *w, uint8_t kind, const char *id)
{
	struct status st = ask(db, w, CONTENT_LOAD, kind, id, NULL);

	return is_ok(st) ? said() : status_text(st);
}

UNUSED static struct status
create_file(struct db *db, const struct who *w, const char *id, struct span body, const char *tag)
{
	const struct content_request req = {
		.meta = SPAN_LIT("{\"filename\":\"f\"}"), .tag = span_str(tag), .body = body
	};

	return ask(db, w, CONTENT_CREATE, CONTENT_FILE, id, &req);
}

UNUSED static void
sql(struct db *db, const char *text)
{
	sql_reset_all(db);
	if (sqlite3_exec(backend_sqlite(db->back), text, NULL, NULL, NULL) != SQLITE_OK)
		test_fail("%s: %s", text, sqlite3_errmsg(backend_sqlite(db->back)));
}

/* Which index does the statement go by, to its last column? */
UNUSED static void
assert_goes_by(struct db *db, enum statement s, const char *index)
{
	char text[4096], plan[1024] = "";
	sqlite3_stmt *st = NULL;

	(void)snprintf(text, sizeof(text), "EXPLAIN QUERY PLAN %s",
	    sqlite3_sql(backend_sqlite_stmt(db->st[s])));
	assert_int_equal(
	    sqlite3_prepare_v2(backend_sqlite(db->back), text, -1, &st, NULL), SQLITE_OK);
	while (sqlite3_step(st) == SQLITE_ROW)
		(void)snprintf(plan + strlen(plan), sizeof(plan) - strlen(plan), "%s;",
		    (const char *)sqlite3_column_text(st, 3));
	(void)sqlite3_finalize(st);
	if (strstr(plan, index) == NULL || strstr(plan, "TEMP B-TREE") != NULL)
		test_fail("%s: %s", text, plan);
}

UNUSED static int64_t
number(struct db *db, const char *text)
{
	sqlite3_stmt *st = NULL;
	int64_t n;

	sql_reset_all(db);
	assert_int_equal(
	    sqlite3_prepare_v2(backend_sqlite(db->back), text, -1, &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	n = sqlite3_column_int64(st, 0);
	(void)sqlite3_finalize(st);
	return n;
}

/* One of each kind, and one more response. */
UNUSED static void
fill_person(struct db *db, const struct who *w)
{
	uint8_t bytes[3000];

	memset(bytes, 0xc3, sizeof(bytes));
	assert_is_ok(create_conversation(db, w, "conv_1", "ab"));
	assert_is_ok(save(db, w, "resp_1", "", "conv_1", "cD"));
	assert_is_ok(save(db, w, "resp_2", "resp_1", "", "eF"));
	assert_is_ok(create_file(db, w, "file_1", span_of(bytes, sizeof(bytes)), "user_data"));
}

#endif
