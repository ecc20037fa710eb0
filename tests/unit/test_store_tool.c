/* SPDX-License-Identifier: Apache-2.0 */
/* src/store/tool.c: what goes in comes out; marks, removal, quotas. */
#include "store_tool_rig.h"

#include <privacy.h>

static void
assert_part(struct db *db, uint64_t id, enum tool_part part, const struct buf *want)
{
	uint8_t sum[DIGEST_LEN];
	auto_buf struct buf got = BUF_INIT(TOOL_ARTEFACT_MAX);
	auto_fd int fd = -1;
	size_t len = 0;

	assert_is_ok(db_tool_part(db, id, part, digest, &fd));
	assert_is_ok(memfd_check(fd, TOOL_ARTEFACT_MAX, &len));
	assert_int_equal(len, want->len);
	assert_is_ok(buf_reserve(&got, len));
	assert_is_ok(memfd_read(fd, 0, got.ptr, len));
	assert_memory_equal(got.ptr, want->ptr, len);
	assert_is_ok(sha256(buf_span(want), sum));
	assert_memory_equal(digest, sum, sizeof(sum));
}

/* ---- what goes in comes out ---- */
static void
round_trip(void **arg)
{
	struct as_tool_kept kept = { 0 }, second = { 0 };
	struct db_tool_cursor c = { 0 };
	struct db *db = open_ok();
	struct as_tool t;
	struct push p;
	int fd = -1;

	(void)arg;
	/* More than one chunk of each, and none that ends at its end but one. */
	push_init(&p, "ann", "adder", 3 * CHUNK_LEN + 5, CHUNK_LEN, 2 * CHUNK_LEN + 1, 1);
	assert_int_equal(db_tool_put(db, &p.m, p.upload_fd, p.artefact_fd, &kept).code, E_NOTFOUND);
	user_add(db, "acme", "ann", 'a');
	assert_is_ok(db_tool_put(db, &p.m, p.upload_fd, p.artefact_fd, &kept));
	assert_int_equal(kept.version, 1);
	assert_is_ok(push(db, "ann", "adder", 9, &second));
	assert_int_equal(second.version, 2);
	assert_true(second.id > kept.id);
	db_close(db);
	db = open_ok();
	assert_true(db_tools_fit(db));
	assert_is_ok(db_tool_next(db, &c, &t));
	assert_int_equal(t.id, kept.id);
	assert_true(span_eq_str(t.tenant, "acme") && span_eq_str(t.user, "ann") &&
		    span_eq_str(t.name, "adder") && span_eq_str(t.manifest, MANIFEST) &&
		    span_eq_str(t.engine, "wasmtime 48"));
	assert_memory_equal(t.digest, p.m.digest, DIGEST_LEN);
	assert_memory_equal(t.artefact, p.m.artefact, DIGEST_LEN);
	assert_memory_equal(t.native, p.m.native, DIGEST_LEN);
	assert_int_equal(t.parts, TOOL_PARTS_ALL);
	assert_false(t.current); /* the second is */
	assert_is_ok(db_tool_next(db, &c, &t));
	assert_true(t.current && !t.allowed);
	assert_int_equal(db_tool_next(db, &c, &t).code, E_NOTFOUND);
	assert_part(db, kept.id, PART_MODULE, &p.module);
	assert_part(db, kept.id, PART_NATIVE, &p.native);
	assert_part(db, kept.id, PART_ARTEFACT, &p.artefact);
	assert_int_equal(db_tool_part(db, 99, PART_MODULE, digest, &fd).code, E_NOTFOUND);
	assert_int_equal(db_tool_part(db, 0, PART_MODULE, digest, &fd).code, E_NOTFOUND);
	assert_int_equal(db_tool_part(db, UINT64_MAX, PART_MODULE, digest, &fd).code, E_NOTFOUND);
	push_done(&p);
	db_close(db);
}

static void
only_sealed_at_rest(void **arg)
{
	static const char *const files[] = { "store.db", "store.db-wal" };
	struct as_tool_kept kept;
	struct db *db = open_ok();
	struct push p;

	(void)arg;
	user_add(db, "acme", "ann", 'a');
	push_init(&p, "ann", "adder", 5000, 5000, 5000, 1);
	assert_is_ok(db_tool_put(db, &p.m, p.upload_fd, p.artefact_fd, &kept));
	for (size_t i = 0; i < COUNT(files); i++) {
		auto_buf struct buf file = BUF_INIT(1U << 24);

		assert_is_ok(io_read_file(AT_FDCWD, files[i], &file));
		if (file.len == 0)
			continue;
		assert_null(memmem(file.ptr, file.len, p.module.ptr, 64));
		assert_null(memmem(file.ptr, file.len, p.native.ptr, 64));
		assert_null(memmem(file.ptr, file.len, p.artefact.ptr, 64));
		assert_null(memmem(file.ptr, file.len, "input_schema", 12));
	}
	push_done(&p);
	db_close(db);
}

/* What comes must be what it says it is. */
static void
lies_are_refused(void **arg)
{
	struct as_tool_kept kept;
	struct db *db = open_ok();
	struct as_tool m;
	struct push p;
	unsigned corrupt;
	int fd = -1;

	(void)arg;
	user_add(db, "acme", "ann", 'a');
	push_init(&p, "ann", "t", 100, 50, 200, 1);
#define REFUSED(change, want)                                                           \
	do {                                                                            \
		m = p.m;                                                                \
		change;                                                                 \
		assert_int_equal(                                                       \
		    db_tool_put(db, &m, p.upload_fd, p.artefact_fd, &kept).code, want); \
	} while (0)
	REFUSED(m.digest[0] ^= 1, E_PROTO);
	REFUSED(m.artefact[31] ^= 1, E_PROTO);
	REFUSED(m.native[3] ^= 1, E_PROTO);
	REFUSED(m.parts = TOOL_HAS_MODULE, E_PROTO);
	REFUSED(m.module_size++, E_PROTO);
	REFUSED(m.native_size--, E_PROTO);
	REFUSED(m.manifest = SPAN_LIT("{}"), E_PROTO);
	REFUSED(m.name = SPAN_EMPTY, E_SYNTAX);
	REFUSED(m.name = span_of("a\0b", 3), E_SYNTAX);
	REFUSED(m.tenant = SPAN_LIT("other"), E_NOTFOUND);
	/* Descriptors: none, not sealed, too long, cut. */
	assert_int_equal(db_tool_put(db, &p.m, -1, p.artefact_fd, &kept).code, E_PROTO);
	assert_int_equal(db_tool_put(db, &p.m, p.upload_fd, -1, &kept).code, E_PROTO);
	assert_is_ok(memfd_new("open", &fd));
	assert_is_ok(io_write_all(fd, buf_span(&p.encoded)));
	assert_int_equal(db_tool_put(db, &p.m, fd, p.artefact_fd, &kept).code, E_PROTO);
	assert_int_equal(ftruncate(fd, (off_t)TOOL_ARTEFACT_MAX + 1), 0);
	assert_is_ok(memfd_seal(fd));
	assert_int_equal(db_tool_put(db, &p.m, fd, p.artefact_fd, &kept).code, E_RANGE);
	assert_int_equal(db_tool_put(db, &p.m, p.upload_fd, fd, &kept).code, E_RANGE);
	(void)close(fd);
	for (size_t len = 0; len < p.encoded.len; len++) {
		assert_is_ok(memfd_of("cut", span_of(p.encoded.ptr, len), &fd));
		assert_false(is_ok(db_tool_put(db, &p.m, fd, p.artefact_fd, &kept)));
		(void)close(fd);
	}
	/* Nothing was left behind, and no number was used up. */
	assert_int_equal(count(db, &corrupt), 0);
	assert_is_ok(db_tool_put(db, &p.m, p.upload_fd, p.artefact_fd, &kept));
	assert_int_equal(kept.version, 1);
	push_done(&p);
	db_close(db);
}

static void
rebuilt(void **arg)
{
	struct as_tool_rebuilt m = { .engine = SPAN_LIT("wasmtime 49") };
	struct as_tool_kept kept, native;
	struct db *db = open_ok();
	struct push p, other;

	(void)arg;
	user_add(db, "acme", "ann", 'a');
	push_init(&p, "ann", "t", 100, 0, 3 * CHUNK_LEN, 1);
	push_init(&other, "ann", "n", 100, 0, CHUNK_LEN + 9, 5);
	assert_is_ok(db_tool_put(db, &p.m, p.upload_fd, p.artefact_fd, &kept));
	m.id = kept.id;
	memcpy(m.artefact, p.m.artefact, DIGEST_LEN);
	assert_int_equal(db_tool_rebuilt(db, &m, other.artefact_fd).code, E_PROTO);
	assert_part(db, kept.id, PART_ARTEFACT, &p.artefact); /* nothing was lost */
	memcpy(m.artefact, other.m.artefact, DIGEST_LEN);
	assert_is_ok(db_tool_rebuilt(db, &m, other.artefact_fd));
	assert_part(db, kept.id, PART_ARTEFACT, &other.artefact);
	assert_part(db, kept.id, PART_MODULE, &p.module);
	push_done(&p);
	push_init(&p, "ann", "script", 0, 10, 0, 1);
	assert_is_ok(db_tool_put(db, &p.m, p.upload_fd, p.artefact_fd, &native));
	m.id = native.id;
	assert_int_equal(db_tool_rebuilt(db, &m, other.artefact_fd).code, E_PROTO);
	push_done(&p);
	push_done(&other);
	db_close(db);
}

static void
quotas(void **arg)
{
	struct as_tool_kept kept;
	struct db *db = open_ok();
	char name[16];
	unsigned corrupt;

	(void)arg;
	user_add(db, "acme", "ann", 'a');
	user_add(db, "acme", "bob", 'b');
	for (unsigned i = 0; i < TOOL_VERSIONS_MAX; i++)
		assert_is_ok(push(db, "ann", "t0", (uint8_t)i, &kept));
	assert_int_equal(push(db, "ann", "t0", 1, &kept).code, E_FULL);
	for (unsigned i = 1; i < TOOLS_PER_USER_MAX; i++) {
		(void)snprintf(name, sizeof(name), "t%u", i);
		assert_is_ok(push(db, "ann", name, 1, &kept));
	}
	assert_int_equal(push(db, "ann", "one-more", 1, &kept).code, E_FULL);
	assert_is_ok(push(db, "bob", "one-more", 1, &kept)); /* each user for themselves */
	assert_int_equal(count(db, &corrupt), TOOL_VERSIONS_MAX + TOOLS_PER_USER_MAX);
	db_close(db);
}

static void
bytes_of_a_user(void **arg)
{
	struct as_tool_kept kept;
	struct db *db = open_ok();
	struct status st = OK;
	struct push p;
	unsigned n = 0;

	(void)arg;
	user_add(db, "acme", "ann", 'a');
	push_init(&p, "ann", "t", 100, 0, TOOL_ARTEFACT_MAX, 1);
	while (is_ok(st = db_tool_put(db, &p.m, p.upload_fd, p.artefact_fd, &kept)))
		n++;
	assert_int_equal(st.code, E_FULL);
	assert_int_equal(n, DB_TOOL_BYTES_MAX / TOOL_ARTEFACT_MAX - 1);
	assert_is_ok(REMOVE(kept.id, 0)); /* and there is room again, once it is swept away */
	assert_int_equal(db_tool_put(db, &p.m, p.upload_fd, p.artefact_fd, &kept).code, E_FULL);
	for (bool more = true; more;)
		assert_is_ok(db_sweep(db, NOW, &more));
	assert_is_ok(db_tool_put(db, &p.m, p.upload_fd, p.artefact_fd, &kept));
	push_done(&p);
	db_close(db);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(round_trip, fresh),
		cmocka_unit_test_setup(only_sealed_at_rest, fresh),
		cmocka_unit_test_setup(lies_are_refused, fresh),
		cmocka_unit_test_setup(marks_and_numbers, fresh),
		cmocka_unit_test_setup(rebuilt, fresh),
		cmocka_unit_test_setup(quotas, fresh),
		cmocka_unit_test_setup(bytes_of_a_user, fresh),
	};

	return cmocka_run_group_tests(tests, tools_setup, teardown);
}
