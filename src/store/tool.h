/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_TOOL_H
#define STORE_TOOL_H

/*
 * Users' tools at rest. A tool is a row with its marks: which versions it has, which
 * is current, which others may call. A version is a row with its meta data and chunks
 * of its parts. All of it is sealed for its place under a key of its own; each holds
 * the hash of what lies below it (marks: of the meta data; meta data: of the parts), and
 * one sum over the marks of all tools ends the chain: a value that was swapped, cut,
 * taken from an older state or from another row does not open, or does not fit.
 */
#include <wire/gateway_executor.h>

#include "internal.h"

#define CHUNK_LEN (1U << 20)                      /* bytes of a part in one row */
#define TOOL_META_MAX (TOOL_MANIFEST_MAX + 1024U) /* bytes, before they are sealed */
#define TOOL_MARKS_MAX 8192U

/* Sealed with its version. */
struct tool_meta {
	uint32_t version;
	uint8_t parts;
	uint8_t digest[DIGEST_LEN];
	uint8_t artefact[DIGEST_LEN];
	uint8_t module[DIGEST_LEN];
	uint8_t native[DIGEST_LEN];
	struct span engine;
	uint32_t artefact_size;
	uint32_t module_size;
	uint32_t native_size;
	uint64_t created_s;
	struct span manifest;
};
static const struct wire_field tool_meta_rows[] = {
	WIRE_U32(struct tool_meta, version, UINT32_MAX),
	WIRE_U8(struct tool_meta, parts, TOOL_PARTS_ALL),
	WIRE_FIXED(struct tool_meta, digest),
	WIRE_FIXED(struct tool_meta, artefact),
	WIRE_FIXED(struct tool_meta, module),
	WIRE_FIXED(struct tool_meta, native),
	WIRE_BYTES(struct tool_meta, engine, 0, TOOL_ENGINE_MAX),
	WIRE_U32(struct tool_meta, artefact_size, TOOL_ARTEFACT_MAX),
	WIRE_U32(struct tool_meta, module_size, RUN_BLOB_MAX),
	WIRE_U32(struct tool_meta, native_size, TOOL_NATIVE_MAX),
	WIRE_U64(struct tool_meta, created_s),
	WIRE_BYTES(struct tool_meta, manifest, 1, TOOL_MANIFEST_MAX),
};
static const struct wire_table tool_meta_table = WIRE_TABLE(struct tool_meta, tool_meta_rows);

struct tool_entry {
	uint64_t id;
	uint32_t version;
	uint8_t meta[DIGEST_LEN]; /* of the sealed meta data */
};
static const struct wire_field tool_entry_rows[] = {
	WIRE_U64(struct tool_entry, id),
	WIRE_U32(struct tool_entry, version, UINT32_MAX),
	WIRE_FIXED(struct tool_entry, meta),
};
static const struct wire_table tool_entry_table = WIRE_TABLE(struct tool_entry, tool_entry_rows);

/* Sealed with its tool. A tool without versions stays, so that it goes on counting. */
struct tool_marks {
	uint32_t last;            /* the newest version that ever was */
	uint64_t current;         /* id of a version; 0: none */
	uint64_t allowed;         /* the same */
	struct wire_list entries; /* struct tool_entry, in the order of their versions */
};
static const struct wire_field tool_marks_rows[] = {
	WIRE_U32(struct tool_marks, last, UINT32_MAX),
	WIRE_U64(struct tool_marks, current),
	WIRE_U64(struct tool_marks, allowed),
	WIRE_LIST(struct tool_marks, entries, 0, TOOL_VERSIONS_MAX, &tool_entry_table),
};
static const struct wire_table tool_marks_table = WIRE_TABLE(struct tool_marks, tool_marks_rows);

/* A tool's row, opened. */
struct tool_row {
	uint64_t id;
	char tenant[TENANT_MAX + 1], user[USER_MAX + 1], name[TOOL_MAX + 1];
	uint32_t last;
	uint64_t current, allowed;
	uint32_t n;
	struct tool_entry entries[TOOL_VERSIONS_MAX];
	uint8_t term[DIGEST_LEN]; /* what it adds to the sum of all */
};

/* A version's row, opened; the spans of `meta` lie in `plain`. */
struct version_row {
	uint64_t id;
	uint64_t tool;
	struct buf plain;
	struct tool_meta meta;
};
void version_row_done(struct version_row *v);
#define auto_version __attribute__((cleanup(version_row_done)))

/* What db_tool_next() showed last. */
struct tool_shown {
	struct tool_row tool;
	struct version_row version;
};

/* ---- tool_row.c. E_CORRUPT: it does not open, or does not fit. ---- */
MUST_USE struct status tool_row_get(struct db *db, uint64_t id, struct tool_row *ret);
/* E_NOTFOUND: the user is not there. Adds the row where it is missing. */
MUST_USE struct status tool_row_ensure(
    struct db *db, struct span tenant, struct span user, struct span name, struct tool_row *ret);
/* Seal and write it, and what it adds to the sum. Within tools_change(). */
MUST_USE struct status tool_row_put(struct db *db, struct tool_row *t);
struct tool_entry *tool_row_entry(struct tool_row *t, uint64_t id);
/* `t` (its tool, opened before) says what its meta data must be. */
MUST_USE struct status version_row_get(
    struct db *db, struct tool_row *t, uint64_t id, struct version_row *ret);
/* Seal and write meta data; its entry in `t` gets the hash. */
MUST_USE struct status version_row_put(
    struct db *db, struct tool_row *t, uint64_t id, const struct tool_meta *meta);
/* The tool that a version's row names. E_NOTFOUND. */
MUST_USE struct status version_tool(struct db *db, uint64_t id, uint64_t *ret_tool);
/* One transaction; the sum is written with it. */
/*
 * All rows of a user's tools, in one transaction; nothing has to open, and the sum fits afterwards
 * if it did before.
 */
MUST_USE struct status tools_erase(struct db *db, int64_t user);
typedef struct status tools_change_fn(struct db *db, void *ctx);
MUST_USE struct status tools_change(struct db *db, tools_change_fn *fn, void *ctx);
/* At db_open(): keys, and whether the sum fits. */
MUST_USE struct status tools_open(struct db *db);
/* Within a transaction: the marks that are there are true. */
MUST_USE struct status tools_accept(struct db *db);
void tools_close(struct db *db);

/*
 * ---- tool_going.c: a version that its tool's marks do not have any more, with a negative number;
 * its chunks go in steps. Within a transaction. ----
 */
#define TOOL_AT_ONCE_MAX (8U << 20) /* bytes of parts in the transaction that removes them */
MUST_USE struct status version_hide(struct db *db, uint64_t id);
/*
 * Chunks of it until those are `max` bytes, and its row behind the last. *ret_bytes: gone;
 * *ret_more: some are left.
 */
MUST_USE struct status version_leave(
    struct db *db, uint64_t id, uint64_t max, uint64_t *ret_bytes, bool *ret_more);
/* All of a user's, as far as the marks of its tools open. State: outside of a transaction. */
MUST_USE struct status versions_hide_of_user(struct db *db, int64_t user);
/*
 * The same, hidden or not: up to `max` bytes of them go, in one transaction. *ret_more: some are
 * left.
 */
MUST_USE struct status versions_leave_of_user(
    struct db *db, int64_t user, uint64_t max, bool *ret_more);
/* The next one that is hidden, behind *id. E_NOTFOUND. *ret_held: of somebody under a hold. */
MUST_USE struct status version_hidden_next(struct db *db, uint64_t *id, bool *ret_held);

/* ---- blob.c ---- */
struct blob_from {
	int fd; /* -1: from `bytes` */
	struct span bytes;
	size_t len;
};
MUST_USE struct status blob_put(struct db *db, uint64_t version, enum tool_part part,
    const struct blob_from *from, uint8_t ret_digest[DIGEST_LEN]);
/* Into `fd`, which is new. E_CORRUPT: not `len` bytes of that digest. */
MUST_USE struct status blob_get(struct db *db, uint64_t version, enum tool_part part, size_t len,
    const uint8_t digest[DIGEST_LEN], int fd);
/* Nothing but whether it is that. */
MUST_USE struct status blob_check(struct db *db, uint64_t version, enum tool_part part, size_t len,
    const uint8_t digest[DIGEST_LEN]);
/* What is there from `from` on, up to what `out` may have; nothing is said of the digest. */
MUST_USE struct status blob_range(
    struct db *db, uint64_t version, enum tool_part part, size_t len, size_t from, struct buf *out);
MUST_USE struct status blob_remove(struct db *db, uint64_t version, enum tool_part part);

#endif
