/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a gateway brings to the store, and what stands in rows of what is kept for users: any
 * operation with any request, and then any text in the place of a sealed value.
 *	byte 0: operation; 1: kind; 2: object; 3: 0 a request, else the row whose text follows
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <backend_sqlite.h>
#include <content.h>
#include <crypto/crypto.h>

#define NOW 1767000000ULL

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct db *db;
static struct secret root;
static const char *const ids[] = { "conv_1", "resp_1", "file_1", "i_1", "", "new" };

static void
must(struct status st)
{
	if (!is_ok(st))
		abort();
}

static struct status
ask(uint8_t op, uint8_t kind, const char *target, const struct content_request *req)
{
	auto_arena struct arena arena = ARENA_INIT(CONTENT_ARENA_MAX);
	auto_buf struct buf out = BUF_INIT(32U << 20);
	const struct content_call call = { .op = op,
		.kind = kind,
		.tenant = SPAN_LIT("t"),
		.user = SPAN_LIT("u"),
		.target = span_str(target),
		.req = req,
		.now_s = NOW };
	struct content_answer answer;
	struct content_done done;

	TRY(content_do(db, &call, &arena, &answer, &done));
	must(wire_encode(&content_answer_table, &answer, &out));
	return OK;
}

static void
begin(void)
{
	static char dir[] = "/tmp/sallyport-fuzz-XXXXXX";
	const struct as_user_put user = { SPAN_LIT("t"), SPAN_LIT("u"), ROLE_USER, 0, 0 };
	const struct content_item item = { SPAN_LIT("i_1"), 0, SPAN_LIT("{}") };
	struct content_request req = { .meta = SPAN_LIT("{}"), .items = { &item, 1 } };
	uint8_t subject[AS_SECRET_LEN];

	must(crypto_init());
	must(secret_random(32, &root));
	if (mkdtemp(dir) == NULL || chdir(dir) < 0)
		abort();
	must(db_open(&root, NULL, &db));
	must(db_user_put(db, &user, subject));
	db->content.user_bytes_max = 8U << 20;
	must(ask(CONTENT_CREATE, CONTENT_CONVERSATION, "conv_1", &req));
	must(ask(CONTENT_SAVE, CONTENT_RESPONSE, "resp_1", &req));
	req = (struct content_request){ .body = SPAN_LIT("bytes") };
	must(ask(CONTENT_CREATE, CONTENT_FILE, "file_1", &req));
	if (sqlite3_exec(backend_sqlite(db->back), "PRAGMA synchronous=OFF", NULL, NULL, NULL) !=
	    SQLITE_OK)
		abort();
}

static void
run_request(const uint8_t *head, struct span in)
{
	auto_arena struct arena arena = ARENA_INIT(1U << 20);
	struct content_request req;

	if (!is_ok(wire_decode(&content_request_table, in, &arena, &req)))
		return;
	(void)!is_ok(ask(head[0] % (CONTENT_OP_COUNT + 1), head[1] % (CONTENT_KIND_COUNT + 1),
	    ids[head[2] % (sizeof(ids) / sizeof(ids[0]))], &req));
}

/* `text`, sealed as it must be, in the place of row 1 or 2 of objects, or of items. */
static void
run_row(const uint8_t *head, struct span text)
{
	const char *table = head[3] % 2 == 0 ? "objects" : "items";
	int64_t row = 1 + head[3] / 2 % 2, user = 1;
	auto_buf struct buf sealed = BUF_INIT(2U << 20);
	uint8_t numbers[16];
	const struct place at = { table,
		{ place_number((uint64_t)row, numbers), place_number((uint64_t)user, numbers + 8) },
		"value" };
	static const struct content_request req = { .limit = 10 };
	sqlite3_stmt *st = NULL;
	char sql[128];
	uint64_t key;

	must(keyring_value_seal(db, user, &at, head[3] % 2 == 0 ? 1 : 0, text, &key, &sealed));
	(void)snprintf(
	    sql, sizeof(sql), "UPDATE %s SET value = ?1, key = ?2 WHERE id = %d", table, (int)row);
	if (sqlite3_exec(backend_sqlite(db->back), "SAVEPOINT fuzz", NULL, NULL, NULL) !=
		SQLITE_OK ||
	    sqlite3_prepare_v2(backend_sqlite(db->back), sql, -1, &st, NULL) != SQLITE_OK)
		abort();
	(void)sqlite3_bind_blob(st, 1, sealed.ptr, (int)sealed.len, SQLITE_STATIC);
	(void)sqlite3_bind_int64(st, 2, (int64_t)key);
	(void)sqlite3_step(st);
	(void)sqlite3_finalize(st);
	(void)!is_ok(ask(CONTENT_LOAD, CONTENT_CONVERSATION, "conv_1", &req));
	(void)!is_ok(ask(CONTENT_LOAD, CONTENT_RESPONSE, "resp_1", &req));
	(void)!is_ok(ask(CONTENT_READ, CONTENT_RESPONSE, "resp_1", &req));
	(void)!is_ok(ask(CONTENT_LIST, CONTENT_ITEM, "conv_1", &req));
	sql_reset_all(db);
	if (sqlite3_exec(backend_sqlite(db->back), "ROLLBACK TO fuzz; RELEASE fuzz", NULL, NULL,
		NULL) != SQLITE_OK)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (db == NULL)
		begin();
	if (size < 4 || size > 1U << 20)
		return 0;
	if (data[3] == 0)
		run_request(data, span_of(data + 4, size - 4));
	else
		run_row(data, span_of(data + 4, size - 4));
	return 0;
}
