/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An export has what a person brought besides content: the parts of tools, byte for byte, and
 * sessions without what is secret of them.
 */
#include "export_world.h"
#include "store_tool_rig.h"

#include <base/encode.h>

#define STAGE_TOOL 5
#define STAGE_PART 8
#define MODULE_LEN (2 * CHUNK_LEN + 4567)

/* A version of ann's tool "t": both parts, or a script alone. */
static void
push_version(struct db *db, const struct who *w, size_t module, struct push *p)
{
	struct as_tool_kept kept;
	const struct push empty = { .upload_fd = -1 };

	*p = empty;
	push_init(p, w->user, "t", module, 1000, module > 0 ? 300 : 0, 7);
	p->m.tenant = span_str(w->tenant);
	assert_is_ok(db_tool_put(db, &p->m, p->upload_fd, p->artefact_fd, &kept));
}

/* The bytes behind `head`, a line's beginning. */
static void
assert_bytes(const struct buf *all, const char *head, const struct buf *want)
{
	auto_buf struct buf got_bytes = BUF_INIT(want->len + 3);
	const uint8_t *text = memmem(all->ptr, all->len, head, strlen(head)), *end;

	assert_non_null(text);
	text += strlen(head);
	end = memchr(text, '"', all->len - (size_t)(text - all->ptr));
	assert_non_null(end);
	assert_memory_equal(end, "\"}\n", 3);
	assert_is_ok(base64_decode(span_of(text, (size_t)(end - text)), &got_bytes));
	assert_true(span_eq(buf_span(want), buf_span(&got_bytes)));
}

#define PART(version, part)                                                                     \
	"{\"type\":\"tool_part\",\"tool\":\"t\",\"version\":" version ",\"part\":\"" part "\"," \
	"\"content_base64\":\""

static void
parts_of_tools(void **arg)
{
	static const size_t maxes[] = { AS_EXPORT_PAGE_MAX, 100001, 300007 };
	auto_buf struct buf all = BUF_INIT(8U << 20);
	struct push both, script, other;
	struct db *db = with_users();

	(void)arg;
	push_version(db, &bob, 50, &other);
	push_version(db, &ann, MODULE_LEN, &both);
	push_version(db, &ann, 0, &script);
	for (size_t i = 0; i < COUNT(maxes); i++) {
		buf_clear(&all);
		export_all(db, &ann, maxes[i], &all);
		assert_lines(buf_span(&all), 6); /* user, key, tool, three parts */
		assert_bytes(&all, PART("1", "module"), &both.module);
		assert_bytes(&all, PART("1", "native"), &both.native);
		assert_bytes(&all, PART("2", "native"), &script.native);
	}
	push_done(&both);
	push_done(&script);
	push_done(&other);
	db_close(db);
}

/* A page reads the chunks that it gives; that all are whole is seen as the line begins. */
static void
parts_in_pages(void **arg)
{
	auto_buf struct buf all = BUF_INIT(8U << 20);
	struct as_export m = {
		.tenant = SPAN_LIT("tenant0"), .user = SPAN_LIT("user0"), .stage = STAGE_PART
	};
	struct push p;
	struct db *db = with_users();
	sqlite3_stmt *chunk = backend_sqlite_stmt(db->st[SQL_CHUNK_GET]);
	bool more = true;

	(void)arg;
	push_version(db, &ann, MODULE_LEN, &p);
	assert_is_ok(page_of(db, &m, 100001, &all, &more));
	while (more) {
		(void)sqlite3_stmt_status(chunk, SQLITE_STMTSTATUS_RUN, 1);
		assert_is_ok(page_of(db, &m, 100001, &all, &more));
		assert_in_range(sqlite3_stmt_status(chunk, SQLITE_STMTSTATUS_RUN, 1), 0, 4);
	}
	assert_lines(buf_span(&all), 2);
	/* Of another person, or of none: the cursor says what it likes. */
	m = (struct as_export){ m.tenant, SPAN_LIT("user1"), STAGE_PART, 2, 5 };
	assert_int_equal(page_of(db, &m, 1000, &all, &more).code, E_AGAIN);
	m = (struct as_export){ m.tenant, SPAN_LIT("user0"), STAGE_PART, INT64_MAX, 5 };
	assert_int_equal(page_of(db, &m, 1000, &all, &more).code, E_AGAIN);
	/* A bit of the last chunk. */
	sql(db, "UPDATE tool_chunks SET value = CAST(x'00' || substr(value, 2) AS BLOB)"
		" WHERE part = 2 AND n = 2");
	m = (struct as_export){ m.tenant, m.user, STAGE_PART, 2, 4 * CHUNK_LEN / 3 * 2 + 400 };
	assert_int_equal(page_of(db, &m, 1000, &all, &more).code, E_AGAIN);
	m.row = m.offset = 0;
	buf_clear(&all);
	assert_is_ok(page_of(db, &m, AS_EXPORT_PAGE_MAX, &all, &more));
	assert_lines(buf_span(&all), 2);
	assert_true(
	    has(&all, "{\"type\":\"unreadable\",\"kind\":\"tool_part\",\"row\":2,\"id\":\"t\"}\n"));
	assert_bytes(&all, PART("1", "native"), &p.native);
	push_done(&p);
	db_close(db);
}

/* A name is kept where all versions are gone; where the sum over all does not fit, it is said. */
static void
tools_without_versions(void **arg)
{
	auto_buf struct buf all = BUF_INIT(1U << 20);
	struct push p;
	struct db *db = with_users();

	(void)arg;
	push_version(db, &ann, 0, &p);
	assert_is_ok(db_tool_remove(db, &(struct as_tool_remove){ .id = 1, .all = 1 }));
	export_all(db, &ann, AS_EXPORT_PAGE_MAX, &all);
	assert_lines(buf_span(&all), 3);
	assert_true(has(&all, "{\"type\":\"tool\",\"name\":\"t\",\"versions\":[]}\n"));
	db->tools.fit = false;
	buf_clear(&all);
	export_all(db, &ann, AS_EXPORT_PAGE_MAX, &all);
	assert_true(has(&all, "{\"type\":\"unreadable\",\"kind\":\"tool\",\"row\":1}\n"));
	push_done(&p);
	db_close(db);
}

static void
session_add(struct db *db, unsigned n, uint8_t id, const char *scope, bool has_roles)
{
	struct as_session s = { .created_s = NOW,
		.expires_s = NOW + 100 + id,
		.signer = 1,
		.has_roles = has_roles,
		.roles = ROLE_USER,
		.scope = span_str(scope) };
	char names[3][24];
	const struct as_key k = key_of(n, names);

	memset(s.id, id, sizeof(s.id));
	memset(s.digest, 0xd1, sizeof(s.digest));
	memcpy(s.key, k.id, sizeof(s.key));
	assert_is_ok(db_session_put(db, &s, NOW));
}

static void
sessions(void **arg)
{
	auto_buf struct buf all = BUF_INIT(1U << 20);
	struct db *db = with_users();
	char want[512];

	(void)arg;
	session_add(db, 2, 0xb0, "", false);
	session_add(db, 0, 0xa1, "", true);
	session_add(db, 0, 0xa2, "{ \"models\":\n[\"alpha\"]}", false);
	export_all(db, &ann, AS_EXPORT_PAGE_MAX, &all);
	assert_lines(buf_span(&all), 4);
	(void)snprintf(want, sizeof(want),
	    "{\"type\":\"session\",\"id\":\"a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1\",\"key\":"
	    "\"0aaaaaaaaaaa\",\"roles\":[\"user\"],\"scopes\":null,\"created_at\":%llu,"
	    "\"expires_at\":%llu}\n",
	    (unsigned long long)NOW, (unsigned long long)NOW + 100 + 0xa1);
	assert_true(has(&all, want));
	assert_true(has(&all, "\"scopes\":{\"models\":[\"alpha\"]},\"created_at\":"));
	assert_false(has(&all, "b0b0b0"));
	assert_false(has(&all, "d1d1d1"));
	assert_goes_by(db, SQL_SESSION_OF_USER, "sessions_of_user (user=? AND rowid>?)");
	/* It was changed behind our back. */
	sql(db, "BEGIN; UPDATE sessions SET expires_s = expires_s + 1 WHERE n = 2; COMMIT;");
	buf_clear(&all);
	export_all(db, &ann, 53, &all);
	assert_lines(buf_span(&all), 4);
	assert_true(has(&all, "{\"type\":\"unreadable\",\"kind\":\"session\",\"row\":2}\n"));
	db_close(db);
}

#define T(f) cmocka_unit_test_setup(f, fresh)

int
main(void)
{
	const struct CMUnitTest tests[] = { T(parts_of_tools), T(parts_in_pages),
		T(tools_without_versions), T(sessions) };

	return cmocka_run_group_tests(tests, setup, teardown);
}
