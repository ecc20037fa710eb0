/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tool.c: users' tools: what is kept, shown, marked and removed.
 *
 * Runs in: store. Trusts: nothing: what comes is checked against what it says of itself,
 * what is read against its seals. Owns: nothing.
 * Invariants: a change is one transaction; a version's number and id never come again,
 * also when it was removed; a part leaves only as a sealed memory file whose digest fits; what
 * takes longer to delete than others may wait is hidden, and a sweep takes it away.
 * See: tool.h; wire/authority_store.h.
 */
#include "tool.h"

#include <base/arena.h>
#include <base/cleanup.h>
#include <base/memfd.h>
#include <crypto/hash.h>

#define DECODE_MAX (64U << 10)

static const uint8_t no_digest[DIGEST_LEN];

bool
db_tools_fit(const struct db *db)
{
	return db->tools.fit;
}

/* ---- a new version ---- */

struct putting {
	const struct as_tool *m;
	const struct tool_upload *upload;
	struct blob_from artefact;
	struct as_tool_kept kept;
};

static bool
name_ok(struct span s, size_t max)
{
	return s.len > 0 && s.len <= max && memchr(s.ptr, 0, s.len) == NULL;
}

/* After the rows are in. */
static struct status
within_quotas(struct db *db, const struct tool_row *t)
{
	const struct {
		enum statement s;
		uint64_t max;
	} quotas[] = {
		{ SQL_TOOLS_OF_USER, TOOLS_PER_USER_MAX },
		{ SQL_TOOL_NAMES_OF_USER, DB_TOOL_NAMES_MAX },
		{ SQL_TOOL_BYTES_OF_USER, DB_TOOL_BYTES_MAX },
		{ SQL_VERSIONS_COUNT, DB_TOOL_VERSIONS_ALL_MAX },
	};
	uint64_t n = 0;

	for (size_t i = 0; i < sizeof(quotas) / sizeof(quotas[0]); i++) {
		TRY(db_count(db, quotas[i].s, t->id, &n));
		if (n > quotas[i].max)
			return fail(E_FULL);
	}
	return OK;
}

static struct status
put_parts(struct db *db, uint64_t id, struct putting *p, struct tool_meta *meta)
{
	const struct blob_from module = { -1, p->upload->module, p->upload->module.len };
	const struct blob_from native = { -1, p->upload->native, p->upload->native.len };
	uint8_t digest[DIGEST_LEN];

	TRY(blob_put(db, id, PART_MODULE, &module, meta->module));
	TRY(blob_put(db, id, PART_NATIVE, &native, digest));
	if (memcmp(native.len > 0 ? digest : no_digest, meta->native, DIGEST_LEN) != 0)
		return fail(E_PROTO);
	TRY(blob_put(db, id, PART_ARTEFACT, &p->artefact, digest));
	return memcmp(p->artefact.len > 0 ? digest : no_digest, meta->artefact, DIGEST_LEN) == 0
		   ? OK
		   : fail(E_PROTO);
}

static struct tool_meta
meta_of(const struct putting *p, uint32_t version)
{
	const struct as_tool *m = p->m;
	struct tool_meta meta = { .version = version,
		.parts = m->parts,
		.engine = m->engine,
		.artefact_size = (uint32_t)p->artefact.len,
		.module_size = m->module_size,
		.native_size = m->native_size,
		.created_s = m->created_s,
		.manifest = m->manifest };

	memcpy(meta.digest, m->digest, DIGEST_LEN);
	memcpy(meta.artefact, m->artefact, DIGEST_LEN);
	memcpy(meta.native, m->native, DIGEST_LEN);
	return meta;
}

static struct status
put(struct db *db, void *ctx)
{
	struct putting *p = ctx;
	struct tool_row t;
	struct tool_meta meta;

	TRY(room_check(db, RUN_BLOB_MAX));
	TRY(tool_row_ensure(db, p->m->tenant, p->m->user, p->m->name, &t));
	if (t.n == TOOL_VERSIONS_MAX || t.last == UINT32_MAX)
		return fail(E_FULL);
	meta = meta_of(p, ++t.last);
	sql_int(db, SQL_VERSION_ADD, 1, t.id);
	sql_int(db, SQL_VERSION_ADD, 2, meta.version);
	TRY(sql_run(db, SQL_VERSION_ADD));
	p->kept = (struct as_tool_kept){ .id = (uint64_t)backend_last_id(db->back),
		.version = meta.version };
	t.entries[t.n++] = (struct tool_entry){ .id = p->kept.id, .version = meta.version };
	t.current = p->kept.id;
	TRY(put_parts(db, p->kept.id, p, &meta));
	TRY(version_row_put(db, &t, p->kept.id, &meta));
	TRY(tool_row_put(db, &t));
	return within_quotas(db, &t);
}

/* Does the upload say what the message says of it? */
static struct status
upload_check(const struct as_tool *m, struct span encoded, const struct tool_upload *u)
{
	uint8_t digest[DIGEST_LEN];
	uint8_t parts = (uint8_t)((u->module.len > 0 ? TOOL_HAS_MODULE : 0) |
				  (u->native.len > 0 ? TOOL_HAS_NATIVE : 0));

	TRY(sha256(encoded, digest));
	if (memcmp(digest, m->digest, DIGEST_LEN) != 0 || parts == 0 || parts != m->parts ||
	    u->module.len != m->module_size || u->native.len != m->native_size ||
	    !span_eq(u->manifest, m->manifest))
		return fail(E_PROTO);
	return OK;
}

struct status
db_tool_put(
    struct db *db, const struct as_tool *m, int upload, int artefact, struct as_tool_kept *ret)
{
	auto_buf struct buf encoded = BUF_INIT(RUN_BLOB_MAX);
	auto_arena struct arena arena = ARENA_INIT(DECODE_MAX);
	struct putting p = { .m = m, .artefact = { .fd = artefact } };
	struct tool_upload u;
	size_t len;

	if (!name_ok(m->tenant, TENANT_MAX) || !name_ok(m->user, USER_MAX) ||
	    !name_ok(m->name, TOOL_MAX) || m->created_s > INT64_MAX)
		return fail(E_SYNTAX);
	TRY(memfd_check(upload, RUN_BLOB_MAX, &len));
	TRY(memfd_check(artefact, TOOL_ARTEFACT_MAX, &p.artefact.len));
	if ((p.artefact.len > 0) != ((m->parts & TOOL_HAS_MODULE) != 0))
		return fail(E_PROTO);
	TRY(buf_reserve(&encoded, len));
	TRY(memfd_read(upload, 0, encoded.ptr, len));
	encoded.len = len;
	TRY(wire_decode(&tool_upload_table, buf_span(&encoded), &arena, &u));
	TRY(upload_check(m, buf_span(&encoded), &u));
	p.upload = &u;
	TRY(tools_change(db, put, &p));
	p.kept.code = E_OK;
	*ret = p.kept;
	return OK;
}

/* ---- the others: a version, with its tool ---- */

struct changing {
	uint64_t id;
	uint8_t mark; /* enum as_tool_marks */
	bool all;     /* removal of every version */
	const struct as_tool_rebuilt *rebuilt;
	struct blob_from artefact;
};

static struct status
tool_of(struct db *db, uint64_t id, struct tool_row *ret)
{
	uint64_t tool;

	if (id == 0 || id > INT64_MAX)
		return fail(E_NOTFOUND);
	TRY(version_tool(db, id, &tool));
	TRY(tool_row_get(db, tool, ret));
	return tool_row_entry(ret, id) == NULL ? fail(E_CORRUPT) : OK;
}

static struct status
mark(struct db *db, void *ctx)
{
	const struct changing *c = ctx;
	struct tool_row t;

	TRY(tool_of(db, c->id, &t));
	if (c->mark == TOOL_MARK_CURRENT)
		t.current = c->id;
	else if (c->mark == TOOL_MARK_ALLOWED)
		t.allowed = c->id;
	else if (t.allowed == c->id)
		t.allowed = 0;
	return tool_row_put(db, &t);
}

struct status
db_tool_mark(struct db *db, const struct as_tool_mark *m)
{
	struct changing c = { .id = m->id, .mark = m->mark };

	if (m->mark < TOOL_MARK_CURRENT || m->mark > TOOL_MARK_NOT_ALLOWED)
		return fail(E_RANGE);
	return tools_change(db, mark, &c);
}

/* With its chunks; where it is hidden, those go later. */
static struct status
version_row_go(struct db *db, uint64_t id, bool hide)
{
	if (hide)
		return version_hide(db, id);
	sql_int(db, SQL_VERSION_REMOVE, 1, id);
	return sql_run(db, SQL_VERSION_REMOVE);
}

static struct status
version_remove(struct db *db, struct tool_row *t, uint64_t id, bool hide)
{
	struct tool_entry *e = tool_row_entry(t, id);
	size_t at = (size_t)(e - t->entries);

	TRY(version_row_go(db, id, hide));
	t->n--;
	memmove(e, e + 1, (t->n - at) * sizeof(*e));
	if (t->allowed == id)
		t->allowed = 0;
	/* The newest that is left takes its place. */
	if (t->current == id)
		t->current = t->n > 0 ? t->entries[t->n - 1].id : 0;
	return OK;
}

/* E_DENIED: there is a legal hold on its owner. */
static struct status
not_held(struct db *db, uint64_t tool)
{
	uint64_t hold = 0;

	sql_int(db, SQL_TOOL_HOLD, 1, tool);
	TRY(sql_number(db, SQL_TOOL_HOLD, &hold));
	return hold != 0 ? fail(E_DENIED) : OK;
}

/* Bytes of one of its versions; 0: of all. */
static struct status
weight(struct db *db, uint64_t tool, uint64_t version, uint64_t *ret)
{
	sql_int(db, SQL_VERSIONS_WEIGHT, 1, tool);
	sql_int(db, SQL_VERSIONS_WEIGHT, 2, version);
	return sql_number(db, SQL_VERSIONS_WEIGHT, ret);
}

static struct status
versions_remove(struct db *db, void *ctx)
{
	const struct changing *c = ctx;
	struct tool_row t;
	uint64_t bytes = 0;
	bool hide;

	TRY(tool_of(db, c->id, &t));
	TRY(not_held(db, t.id));
	TRY(weight(db, t.id, c->all ? 0 : c->id, &bytes));
	hide = bytes > TOOL_AT_ONCE_MAX;
	if (!c->all)
		TRY(version_remove(db, &t, c->id, hide));
	while (c->all && t.n > 0)
		TRY(version_remove(db, &t, t.entries[t.n - 1].id, hide));
	return tool_row_put(db, &t);
}

struct status
db_tool_remove(struct db *db, const struct as_tool_remove *m)
{
	struct changing c = { .id = m->id, .all = m->all != 0 };

	return tools_change(db, versions_remove, &c);
}

static struct status
rebuild(struct db *db, void *ctx)
{
	const struct changing *c = ctx;
	auto_version struct version_row v = { .id = 0 };
	uint8_t digest[DIGEST_LEN];
	struct tool_row t;

	TRY(tool_of(db, c->id, &t));
	TRY(version_row_get(db, &t, c->id, &v));
	if ((v.meta.parts & TOOL_HAS_MODULE) == 0)
		return fail(E_PROTO);
	TRY(blob_remove(db, c->id, PART_ARTEFACT));
	TRY(blob_put(db, c->id, PART_ARTEFACT, &c->artefact, digest));
	if (memcmp(digest, c->rebuilt->artefact, DIGEST_LEN) != 0)
		return fail(E_PROTO);
	memcpy(v.meta.artefact, digest, DIGEST_LEN);
	v.meta.artefact_size = (uint32_t)c->artefact.len;
	v.meta.engine = c->rebuilt->engine;
	TRY(version_row_put(db, &t, c->id, &v.meta));
	return tool_row_put(db, &t);
}

struct status
db_tool_rebuilt(struct db *db, const struct as_tool_rebuilt *m, int artefact)
{
	struct changing c = { .id = m->id, .rebuilt = m, .artefact = { .fd = artefact } };

	TRY(memfd_check(artefact, TOOL_ARTEFACT_MAX, &c.artefact.len));
	if (c.artefact.len == 0)
		return fail(E_PROTO);
	return tools_change(db, rebuild, &c);
}

/* ---- reading ---- */

struct status
db_tool_part(
    struct db *db, uint64_t id, enum tool_part part, uint8_t ret_digest[DIGEST_LEN], int *ret_fd)
{
	auto_version struct version_row v = { .id = 0 };
	auto_fd int fd = -1;
	const uint8_t *digest = v.meta.artefact;
	struct tool_row t;
	size_t len;

	if (!db->tools.fit)
		return fail(E_CORRUPT);
	TRY(tool_of(db, id, &t));
	TRY(version_row_get(db, &t, id, &v));
	len = v.meta.artefact_size;
	if (part == PART_MODULE) {
		digest = v.meta.module;
		len = v.meta.module_size;
	} else if (part == PART_NATIVE) {
		digest = v.meta.native;
		len = v.meta.native_size;
	}
	if (len == 0 || part < PART_ARTEFACT || part > PART_NATIVE)
		return fail(E_NOTFOUND);
	TRY(memfd_new("tool", &fd));
	TRY(blob_get(db, id, part, len, digest, fd));
	TRY(memfd_seal(fd));
	memcpy(ret_digest, digest, DIGEST_LEN);
	*ret_fd = fd_take(&fd);
	return OK;
}

static struct status
tool_after(struct db *db, uint64_t id, uint64_t *ret)
{
	sql_int(db, SQL_TOOL_NEXT, 1, id);
	return sql_number(db, SQL_TOOL_NEXT, ret);
}

static struct as_tool
shown_tool(const struct tool_shown *s)
{
	const struct tool_meta *meta = &s->version.meta;
	struct as_tool r = { .id = s->version.id,
		.tenant = span_str(s->tool.tenant),
		.user = span_str(s->tool.user),
		.name = span_str(s->tool.name),
		.version = meta->version,
		.current = s->tool.current == s->version.id,
		.allowed = s->tool.allowed == s->version.id,
		.parts = meta->parts,
		.engine = meta->engine,
		.module_size = meta->module_size,
		.native_size = meta->native_size,
		.created_s = meta->created_s,
		.manifest = meta->manifest };

	memcpy(r.digest, meta->digest, DIGEST_LEN);
	memcpy(r.artefact, meta->artefact, DIGEST_LEN);
	memcpy(r.native, meta->native, DIGEST_LEN);
	return r;
}

/* The first one after the cursor's, in the cursor's tool; it may have changed in between. */
static struct tool_entry *
entry_after(struct tool_row *t, uint64_t version)
{
	for (uint32_t i = 0; i < t->n; i++) {
		if (t->entries[i].id > version)
			return &t->entries[i];
	}
	return NULL;
}

struct status
db_tool_next(struct db *db, struct db_tool_cursor *c, struct as_tool *ret)
{
	struct tool_shown *s = db->tools.shown;
	struct tool_entry *e = NULL;

	if (!db->tools.fit)
		return fail(E_NOTFOUND);
	if (c->version != 0) {
		uint64_t version = c->version;

		struct status st = tool_row_get(db, c->tool, &s->tool);

		c->version = 0; /* where it is gone meanwhile, or does not open, go on behind it */
		if (st.code != E_NOTFOUND) {
			TRY(st);
			e = entry_after(&s->tool, version);
		}
	}
	while (e == NULL) {
		c->version = 0;
		TRY(tool_after(db, c->tool, &c->tool));
		TRY(tool_row_get(db, c->tool, &s->tool));
		e = entry_after(&s->tool, 0);
	}
	c->version = e->id;
	TRY(version_row_get(db, &s->tool, e->id, &s->version));
	*ret = shown_tool(s);
	return OK;
}
