/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Users' tools in the database: what goes in comes out, sealed at rest; quotas; numbers
 * that never come again; a value that was swapped, cut, replayed or forged is found out;
 * and killed at every call that changes a file, the store has all of a version or nothing.
 */
#include "unit.h"

#include <dirent.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <backend_sqlite.h>
#include <base/cleanup.h>
#include <base/io.h>
#include <base/memfd.h>
#include <crypto/crypto.h>
#include <crypto/hash.h>

#include "crashpoint.h"
#include <tool.h>

#define test_fail(...) (print_error(__VA_ARGS__), print_error("\n"), _fail(__FILE__, __LINE__))
#define MANIFEST "{\"name\":\"t\",\"description\":\"d\",\"input_schema\":{}}"

static char path[64];
static struct secret kek;

static void
assert_is_ok(struct status st)
{
	if (!is_ok(st))
		test_fail("%s", status_text(st));
}

static void
dir_clear(void)
{
	DIR *dir = opendir(".");

	for (struct dirent *e; (e = readdir(dir)) != NULL;) {
		if (e->d_name[0] != '.')
			(void)unlinkat(AT_FDCWD, e->d_name, 0);
	}
	(void)closedir(dir);
}

static int
setup(void **arg)
{
	(void)arg;
	assert_is_ok(crypto_init());
	(void)snprintf(path, sizeof(path), "%s/sallyport-unit-XXXXXX",
	    access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
	assert_non_null(mkdtemp(path));
	assert_int_equal(chdir(path), 0);
	assert_is_ok(secret_new(32, &kek));
	memset(kek.ptr, 5, 32);
	return 0;
}

static int
teardown(void **arg)
{
	(void)arg;
	dir_clear();
	assert_int_equal(chdir("/"), 0);
	(void)rmdir(path);
	secret_done(&kek);
	return 0;
}

static int
fresh(void **arg)
{
	(void)arg;
	crash.fail_errno = 0;
	dir_clear();
	return 0;
}

static struct db *
open_ok(void)
{
	struct db *db = NULL;

	assert_is_ok(db_open(&kek, NULL, &db));
	return db;
}

static void
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

static void
fill(struct buf *b, size_t len, uint8_t seed)
{
	*b = BUF_INIT(TOOL_ARTEFACT_MAX + 1U);
	assert_is_ok(buf_reserve(b, len + 1));
	for (size_t i = 0; i < len; i++)
		b->ptr[i] = (uint8_t)(i * 7 + seed + (i >> 12));
	b->len = len;
}

static void
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

static void
push_done(struct push *p)
{
	struct buf *bufs[] = { &p->module, &p->native, &p->encoded, &p->artefact };

	for (size_t i = 0; i < COUNT(bufs); i++)
		buf_done(bufs[i]);
	(void)close(p->upload_fd);
	(void)close(p->artefact_fd);
}

static struct status
push(struct db *db, const char *user, const char *name, uint8_t seed, struct as_tool_kept *ret)
{
	struct push p;
	struct status st;

	push_init(&p, user, name, 100, 50, 200, seed);
	st = db_tool_put(db, &p.m, p.upload_fd, p.artefact_fd, ret);
	push_done(&p);
	return st;
}

static unsigned
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

static uint8_t digest[DIGEST_LEN]; /* of the part that was read last */

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

/* ---- marks, removal, quotas ---- */

static void
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
	assert_is_ok(REMOVE(kept.id, 0)); /* and there is room again */
	assert_is_ok(db_tool_put(db, &p.m, p.upload_fd, p.artefact_fd, &kept));
	push_done(&p);
	db_close(db);
}

/* ---- a database that others have changed ---- */

static void
edit(const char *sql)
{
	sqlite3 *raw = NULL;
	char *why = NULL;

	assert_int_equal(sqlite3_open("store.db", &raw), SQLITE_OK);
	if (sqlite3_exec(raw, sql, NULL, NULL, &why) != SQLITE_OK)
		test_fail("%s: %s", sql, why);
	assert_int_equal(sqlite3_close(raw), SQLITE_OK);
}

/* Two tools of ann, one with two versions; one of bob. */
static void
make_some(void)
{
	struct as_tool_kept kept;
	struct db *db = open_ok();

	user_add(db, "acme", "ann", 'a');
	user_add(db, "acme", "bob", 'b');
	assert_is_ok(push(db, "ann", "one", 1, &kept));
	assert_is_ok(push(db, "ann", "one", 2, &kept));
	assert_is_ok(MARK(1, TOOL_MARK_ALLOWED));
	assert_is_ok(push(db, "ann", "two", 3, &kept));
	assert_is_ok(push(db, "bob", "one", 4, &kept));
	db_close(db);
}

/* Whatever was done, no value comes out that was not put there for that place. */
static void
hostile_edits(void **arg)
{
	static const struct {
		const char *sql;
		bool fits;  /* the sum does not see it */
		unsigned n; /* versions that are left */
	} edits[] = {
		{ "SELECT 1", true, 4 },
		/* swapped */
		{ "UPDATE tools SET marks = (SELECT marks FROM tools WHERE id = 2) WHERE id = 1",
		    false, 0 },
		{ "UPDATE tool_versions SET meta = (SELECT meta FROM tool_versions WHERE id = 2)"
		  " WHERE id = 1",
		    true, 3 },
		{ "UPDATE tool_versions SET tool = 2, version = 9 WHERE id = 1", true, 4 },
		{ "UPDATE tools SET name = (SELECT name FROM tools WHERE id = 2) WHERE id = 1",
		    true, 2 },
		{ "UPDATE tools SET name_hash = randomblob(32) WHERE id = 1", true, 2 },
		{ "UPDATE tools SET user = 2 WHERE id = 2", true, 3 },
		{ "UPDATE users SET name_hash = randomblob(32) WHERE id = 2", true, 3 },
		{ "UPDATE tenants SET name_hash = randomblob(32)", true, 0 },
		/* cut and forged */
		{ "UPDATE tools SET marks = substr(marks, 1, length(marks) - 1) WHERE id = 1",
		    false, 0 },
		{ "UPDATE tool_versions SET meta = x'' WHERE id = 3", true, 3 },
		{ "DELETE FROM tool_versions WHERE id = 4", true, 3 },
		{ "DELETE FROM tools WHERE id = 9", true, 4 },
		{ "DELETE FROM tool_sum", false, 0 },
		{ "UPDATE tool_sum SET value = x'00'", false, 0 },
		{ "INSERT INTO tools (user, name_hash, key, name, live, marks)"
		  " SELECT user, x'00', key, name, 1, marks FROM "
		  "tools"
		  " WHERE id = 1",
		    false, 0 },
	};

	(void)arg;
	for (size_t i = 0; i < COUNT(edits); i++) {
		unsigned corrupt;
		struct db *db;

		dir_clear();
		make_some();
		edit(edits[i].sql);
		db = open_ok();
		if (db_tools_fit(db) != edits[i].fits || count(db, &corrupt) != edits[i].n)
			test_fail("%s: fits %d, %u versions", edits[i].sql, db_tools_fit(db),
			    count(db, &corrupt));
		if (!edits[i].fits) {
			struct as_tool_kept kept;
			int fd = -1;

			assert_int_equal(push(db, "ann", "two", 5, &kept).code, E_CORRUPT);
			assert_int_equal(MARK(2, TOOL_MARK_CURRENT).code, E_CORRUPT);
			assert_int_equal(
			    db_tool_part(db, 1, PART_MODULE, digest, &fd).code, E_CORRUPT);
		}
		db_close(db);
	}
}

static void
hostile_chunks(void **arg)
{
	static const char *const edits[] = {
		"UPDATE tool_chunks SET value = (SELECT value FROM tool_chunks WHERE n = 1)"
		" WHERE n = 0 AND part = 1",
		"DELETE FROM tool_chunks WHERE n = 2 AND part = 1",
		"UPDATE tool_chunks SET n = n + 10 WHERE part = 1;"
		"UPDATE tool_chunks SET n = 12 - n WHERE part = 1",
		"UPDATE tool_chunks SET part = part + 10;"
		"UPDATE tool_chunks SET part = 13 - part",
		"UPDATE tool_chunks SET value = substr(value, 1, 500) WHERE part = 1 AND n = 1",
		"UPDATE tool_chunks SET value = zeroblob(length(value)) WHERE part = 1 AND n = 1",
	};

	(void)arg;
	for (size_t i = 0; i < COUNT(edits); i++) {
		struct as_tool_kept kept;
		struct push p;
		struct db *db;
		int fd = -1;

		dir_clear();
		db = open_ok();
		user_add(db, "acme", "ann", 'a');
		push_init(&p, "ann", "t", 2 * CHUNK_LEN + 7, 0, 2 * CHUNK_LEN + 7, 1);
		assert_is_ok(db_tool_put(db, &p.m, p.upload_fd, p.artefact_fd, &kept));
		db_close(db);
		edit(edits[i]);
		db = open_ok();
		assert_int_equal(
		    db_tool_part(db, kept.id, PART_ARTEFACT, digest, &fd).code, E_CORRUPT);
		assert_int_equal(fd, -1);
		push_done(&p);
		db_close(db);
	}
}

/* An older state of one tool, put back: the sum finds it, whatever else is put back with it. */
static void
replay(void **arg)
{
	unsigned corrupt;
	struct db *db;

	(void)arg;
	make_some();
	edit("CREATE TABLE was AS SELECT id, marks FROM tools;"
	     "CREATE TABLE sum_was AS SELECT value FROM tool_sum;");
	db = open_ok();
	assert_is_ok(MARK(1, TOOL_MARK_NOT_ALLOWED));
	assert_is_ok(MARK(4, TOOL_MARK_ALLOWED));
	db_close(db);
	/* ann's version is allowed again. */
	edit("UPDATE tools SET marks = (SELECT marks FROM was WHERE was.id = 1) WHERE id = 1");
	db = open_ok();
	assert_false(db_tools_fit(db));
	assert_int_equal(count(db, &corrupt), 0);
	db_close(db);
	edit("UPDATE tool_sum SET value = (SELECT value FROM sum_was)");
	db = open_ok();
	assert_false(db_tools_fit(db));
	db_close(db);
}

/* The artefact of before it was compiled anew, with its meta data. */
static void
replay_of_an_artefact(void **arg)
{
	struct as_tool_rebuilt m = { .engine = SPAN_LIT("wasmtime 49") };
	struct as_tool_kept kept;
	struct db *db = open_ok();
	struct push p, other;
	unsigned corrupt;
	int fd = -1;

	(void)arg;
	user_add(db, "acme", "ann", 'a');
	push_init(&p, "ann", "t", 100, 0, 500, 1);
	push_init(&other, "ann", "t", 100, 0, 500, 7);
	assert_is_ok(db_tool_put(db, &p.m, p.upload_fd, p.artefact_fd, &kept));
	db_close(db);
	edit("CREATE TABLE was AS SELECT * FROM tool_chunks;"
	     "CREATE TABLE meta_was AS SELECT meta FROM tool_versions;");
	db = open_ok();
	m.id = kept.id;
	memcpy(m.artefact, other.m.artefact, DIGEST_LEN);
	assert_is_ok(db_tool_rebuilt(db, &m, other.artefact_fd));
	db_close(db);
	edit("DELETE FROM tool_chunks; INSERT INTO tool_chunks SELECT * FROM was");
	db = open_ok();
	assert_int_equal(db_tool_part(db, kept.id, PART_ARTEFACT, digest, &fd).code, E_CORRUPT);
	db_close(db);
	edit("UPDATE tool_versions SET meta = (SELECT meta FROM meta_was)");
	db = open_ok();
	assert_int_equal(db_tool_part(db, kept.id, PART_ARTEFACT, digest, &fd).code, E_CORRUPT);
	assert_int_equal(count(db, &corrupt), 0);
	assert_int_equal(corrupt, 1);
	push_done(&p);
	push_done(&other);
	db_close(db);
}

static void
full_disk(void **arg)
{
	struct as_tool_kept kept;
	struct db *db = open_ok();
	unsigned corrupt;

	(void)arg;
	user_add(db, "acme", "ann", 'a');
	assert_is_ok(push(db, "ann", "t", 1, &kept));
	crash.fail_call = SYS_pwrite64;
	crash.fail_errno = ENOSPC;
	assert_int_equal(push(db, "ann", "t", 2, &kept).err, ENOSPC);
	assert_int_equal(REMOVE(1, 1).err, ENOSPC);
	crash.fail_errno = 0;
	assert_int_equal(count(db, &corrupt), 1);
	assert_is_ok(push(db, "ann", "t", 2, &kept));
	assert_int_equal(kept.version, 2);
	db_close(db);
	db = open_ok();
	assert_true(db_tools_fit(db));
	assert_int_equal(count(db, &corrupt), 2);
	db_close(db);
}

/* ---- killed at every call ---- */

static int ack_pipe;

static void
acked(uint8_t what)
{
	if (syscall(SYS_write, ack_pipe, &what, 1) != 1)
		_exit(7);
}

/* 1: version 1; 2: version 2; 3: 1 is allowed; 4: compiled anew; 5: 1 is gone. */
static void
life(void)
{
	struct as_tool_rebuilt m = { .id = 2, .engine = SPAN_LIT("e") };
	struct as_tool_kept kept;
	struct db *db = open_ok();
	struct push other;

	user_add(db, "acme", "ann", 'a');
	assert_is_ok(push(db, "ann", "t", 1, &kept));
	acked(1);
	assert_is_ok(push(db, "ann", "t", 2, &kept));
	acked(2);
	assert_is_ok(MARK(1, TOOL_MARK_ALLOWED));
	acked(3);
	push_init(&other, "ann", "t", 100, 0, 500, 7);
	memcpy(m.artefact, other.m.artefact, DIGEST_LEN);
	assert_is_ok(db_tool_rebuilt(db, &m, other.artefact_fd));
	push_done(&other);
	acked(4);
	assert_is_ok(REMOVE(1, 0));
	acked(5);
	db_close(db);
}

static bool
run_killed(unsigned at, enum crash_mode mode, uint8_t *last)
{
	int fds[2], status;
	pid_t pid;

	*last = 0;
	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		(void)close(fds[0]);
		ack_pipe = fds[1];
		kek = SECRET_NONE;
		if (!is_ok(secret_new(32, &kek)))
			_exit(6);
		memset(kek.ptr, 5, 32);
		crash.calls = 0;
		crash.at = at;
		crash.mode = mode;
		life();
		_exit(0);
	}
	(void)close(fds[1]);
	while (read(fds[0], last, 1) == 1)
		;
	(void)close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return false;
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	return true;
}

static void
check_state(struct db *db, uint8_t last, unsigned at, int mode)
{
	struct db_tool_cursor c = { 0 };
	unsigned versions = 0, allowed = 0;
	bool first = false;
	struct as_tool t;
	struct status st;

	if (!db_tools_fit(db))
		test_fail("call %u mode %d: the sum does not fit", at, mode);
	while (is_ok(st = db_tool_next(db, &c, &t))) {
		int fds[3] = { -1, -1, -1 };

		versions++;
		allowed += t.allowed;
		first = first || t.version == 1;
		for (int part = 0; part < 3; part++) {
			assert_is_ok(db_tool_part(
			    db, t.id, (enum tool_part)(part + PART_ARTEFACT), digest, &fds[part]));
			(void)close(fds[part]);
		}
	}
	assert_int_equal(st.code, E_NOTFOUND);
	/* What was acknowledged is there; what was not is there whole, or not at all. */
	if (last >= 2 && last < 4 && versions != 2)
		test_fail("call %u mode %d: %u versions after %u", at, mode, versions, last);
	if (last == 3 && allowed != 1)
		test_fail("call %u mode %d: not allowed any more", at, mode);
	if (last == 5 && (first || versions != 1))
		test_fail("call %u mode %d: removed, and there", at, mode);
	if (last == 1)
		assert_in_range(versions, 1, 2);
	if (last == 4)
		assert_in_range(versions, 1, 2);
}

static void
every_call(void **arg)
{
	(void)arg;
	for (int mode = 0; mode < CRASH_MODES; mode++) {
		bool died = true;
		unsigned at;

		for (at = 1; died; at++) {
			struct as_tool_kept kept;
			struct db *db;
			uint8_t last;

			dir_clear();
			died = run_killed(at, (enum crash_mode)mode, &last);
			db = open_ok();
			check_state(db, last, at, mode);
			if (last >= 1) { /* and life goes on */
				assert_is_ok(push(db, "ann", "t", 9, &kept));
				assert_true(kept.version > (last >= 2 ? 2 : 1));
			}
			db_close(db);
		}
		assert_true(at > 25);
	}
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
		cmocka_unit_test_setup(hostile_edits, fresh),
		cmocka_unit_test_setup(hostile_chunks, fresh),
		cmocka_unit_test_setup(replay, fresh),
		cmocka_unit_test_setup(replay_of_an_artefact, fresh),
		cmocka_unit_test_setup(full_disk, fresh),
		cmocka_unit_test_setup(every_call, fresh),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
