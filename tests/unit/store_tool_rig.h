/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_STORE_TOOL_RIG_H
#define TESTS_STORE_TOOL_RIG_H

/*
 * Versions of tools in src/store, on a database of their own.
 */
#include "store_world.h"

#include <sys/mman.h>

#include <base/memfd.h>
#include <crypto/hash.h>
#include <tool.h>

#define MANIFEST "{\"name\":\"t\",\"description\":\"d\",\"input_schema\":{}}"

/* setup(), under a key that a child process can make again. */
static inline int
tools_setup(void **arg)
{
	if (setup(arg) != 0)
		return -1;
	kek_known();
	return 0;
}

static inline void
user_add(struct db *db, const char *tenant, const char *user, char id)
{
	uint8_t subject[AS_SECRET_LEN];
	struct as_key k = {
		.tenant = span_str(tenant), .user = span_str(user), .policy = SPAN_LIT("p")
	};

	memset(k.id, id, sizeof(k.id));
	assert_is_ok(db_key_put(db, &k, subject));
}

/* A version with a module of `module` bytes, what was compiled of it, and a native part. */
struct push {
	struct as_tool m;
	struct buf module, native, encoded, artefact;
	int upload_fd, artefact_fd;
};

static inline void
fill(struct buf *b, size_t len, uint8_t seed)
{
	*b = BUF_INIT(TOOL_ARTEFACT_MAX + 1U);
	assert_is_ok(buf_reserve(b, len + 1));
	for (size_t i = 0; i < len; i++)
		b->ptr[i] = (uint8_t)(i * 7 + seed + (i >> 12));
	b->len = len;
}

static inline void
push_init(struct push *p, const char *user, const char *name, size_t module, size_t native,
    size_t artefact, uint8_t seed)
{
	struct tool_upload u = { .manifest = SPAN_LIT(MANIFEST) };

	*p = (struct push){ .m = { .tenant = SPAN_LIT("acme"),
				.user = span_str(user),
				.name = span_str(name),
				.engine = module > 0 ? SPAN_LIT("wasmtime 48") : SPAN_EMPTY,
				.parts = (uint8_t)((module > 0 ? TOOL_HAS_MODULE : 0) |
						   (native > 0 ? TOOL_HAS_NATIVE : 0)),
				.module_size = (uint32_t)module,
				.native_size = (uint32_t)native,
				.created_s = 1000,
				.manifest = SPAN_LIT(MANIFEST) } };
	fill(&p->module, module, seed);
	fill(&p->native, native, (uint8_t)(seed + 1));
	fill(&p->artefact, artefact, (uint8_t)(seed + 2));
	u.module = buf_span(&p->module);
	u.native = buf_span(&p->native);
	p->encoded = BUF_INIT(RUN_BLOB_MAX);
	assert_is_ok(wire_encode(&tool_upload_table, &u, &p->encoded));
	assert_is_ok(sha256(buf_span(&p->encoded), p->m.digest));
	if (native > 0)
		assert_is_ok(sha256(buf_span(&p->native), p->m.native));
	if (artefact > 0)
		assert_is_ok(sha256(buf_span(&p->artefact), p->m.artefact));
	assert_is_ok(memfd_of("upload", buf_span(&p->encoded), &p->upload_fd));
	assert_is_ok(memfd_of("artefact", buf_span(&p->artefact), &p->artefact_fd));
}

static inline void
push_done(struct push *p)
{
	struct buf *bufs[] = { &p->module, &p->native, &p->encoded, &p->artefact };

	for (size_t i = 0; i < COUNT(bufs); i++)
		buf_done(bufs[i]);
	(void)close(p->upload_fd);
	(void)close(p->artefact_fd);
}

static inline struct status
push(struct db *db, const char *user, const char *name, uint8_t seed, struct as_tool_kept *ret)
{
	struct push p;
	struct status st;

	push_init(&p, user, name, 100, 50, 200, seed);
	st = db_tool_put(db, &p.m, p.upload_fd, p.artefact_fd, ret);
	push_done(&p);
	return st;
}

static inline unsigned
count(struct db *db, unsigned *ret_corrupt)
{
	struct db_tool_cursor c = { 0 };
	struct as_tool t;
	struct status st;
	unsigned n = 0;

	*ret_corrupt = 0;
	while ((st = db_tool_next(db, &c, &t)).code != E_NOTFOUND) {
		n += is_ok(st) ? 1 : 0;
		*ret_corrupt += st.code == E_CORRUPT ? 1 : 0;
		assert_true(is_ok(st) || st.code == E_CORRUPT);
	}
	return n;
}

static UNUSED uint8_t digest[DIGEST_LEN]; /* of the part that was read last */

/* ---- marks, removal, quotas ---- */
static inline void
marks_and_numbers(void **arg)
{
	struct as_tool_kept v[4];
	struct db *db = open_ok();
	struct as_tool t;
	unsigned corrupt;

	(void)arg;
	user_add(db, "acme", "ann", 'a');
	for (uint8_t i = 0; i < 3; i++)
		assert_is_ok(push(db, "ann", "t", i, &v[i]));
#define MARK(id_, m_) db_tool_mark(db, &(struct as_tool_mark){ .id = (id_), .mark = (m_) })
#define REMOVE(id_, a_) db_tool_remove(db, &(struct as_tool_remove){ .id = (id_), .all = (a_) })
	assert_is_ok(MARK(v[0].id, TOOL_MARK_CURRENT));
	assert_is_ok(MARK(v[1].id, TOOL_MARK_ALLOWED));
	assert_is_ok(MARK(v[2].id, TOOL_MARK_NOT_ALLOWED)); /* of another version: nothing */
	assert_int_equal(MARK(77, TOOL_MARK_CURRENT).code, E_NOTFOUND);
	assert_int_equal(MARK(v[0].id, 0).code, E_RANGE);
	for (struct db_tool_cursor c = { 0 }; is_ok(db_tool_next(db, &c, &t));) {
		assert_int_equal(t.current, t.id == v[0].id);
		assert_int_equal(t.allowed, t.id == v[1].id);
	}
	/* The current one goes: the newest takes its place; the allowed one: none does. */
	assert_is_ok(REMOVE(v[0].id, 0));
	assert_is_ok(REMOVE(v[1].id, 0));
	assert_int_equal(REMOVE(v[1].id, 0).code, E_NOTFOUND);
	for (struct db_tool_cursor c = { 0 }; is_ok(db_tool_next(db, &c, &t));) {
		assert_int_equal(t.id, v[2].id);
		assert_true(t.current && !t.allowed);
	}
	assert_is_ok(REMOVE(v[2].id, 1));
	assert_int_equal(count(db, &corrupt), 0);
	assert_int_equal(corrupt, 0);
	db_close(db);
	db = open_ok();
	assert_true(db_tools_fit(db));
	assert_is_ok(push(db, "ann", "t", 3, &v[3]));
	assert_int_equal(v[3].version, 4);
	assert_true(v[3].id > v[2].id);
	db_close(db);
}

#endif
