/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_AUTHORITY_STORE_KEPT_H
#define WIRE_AUTHORITY_STORE_KEPT_H

/*
 * Messages of authority_store.h about providers' secrets, counts of usage and users' tools.
 */
#include <link/wire.h>
#include <wire/limits.h>
#include <wire/tool.h>

#define AS_SECRETS_MAX 256 /* names of secrets */
#define AS_EPOCH_LEN 16
#define AS_USAGE_BATCH_MAX 128 /* items of one batch */
#define AS_USAGE_PAGE_MAX 128  /* rows of one page */

/* Sealed by the CLI for the broker: neither authority nor store can open it. */
struct as_secret_put {
	struct span name;
	struct span sealed;
	uint8_t rotate; /* it exists, and the version that it has stays as the previous one */
	uint64_t set_s; /* Unix time */
};
static const struct wire_field as_secret_put_rows[] = {
	WIRE_BYTES(struct as_secret_put, name, 1, SECRET_NAME_MAX),
	WIRE_BYTES(struct as_secret_put, sealed, 1, SECRET_SEALED_MAX),
	WIRE_U8(struct as_secret_put, rotate, 1),
	WIRE_U64(struct as_secret_put, set_s),
};

struct as_secret_name {
	struct span name;
};
static const struct wire_field as_secret_name_rows[] = {
	WIRE_BYTES(struct as_secret_name, name, 1, SECRET_NAME_MAX),
};

/* Versions count from 1 and go on when a name comes again. */
struct as_secret {
	uint16_t code; /* enum code: E_OK, E_NOTFOUND, E_FULL, E_SYS … */
	uint64_t version;
	struct span sealed;
	uint64_t previous_version; /* 0: there is none */
	struct span previous;
};
static const struct wire_field as_secret_rows[] = {
	WIRE_U16(struct as_secret, code, 64),
	WIRE_U64(struct as_secret, version),
	WIRE_BYTES(struct as_secret, sealed, 0, SECRET_SEALED_MAX),
	WIRE_U64(struct as_secret, previous_version),
	WIRE_BYTES(struct as_secret, previous, 0, SECRET_SEALED_MAX),
};

struct as_secret_row {
	struct span name;
	uint64_t version;
	uint64_t previous_version;
	uint64_t set_s;
};
static const struct wire_field as_secret_row_rows[] = {
	WIRE_BYTES(struct as_secret_row, name, 1, SECRET_NAME_MAX),
	WIRE_U64(struct as_secret_row, version),
	WIRE_U64(struct as_secret_row, previous_version),
	WIRE_U64(struct as_secret_row, set_s),
};
static const struct wire_table as_secret_row_table = WIRE_TABLE(
    struct as_secret_row, as_secret_row_rows);

struct as_secrets {
	uint16_t code;
	struct wire_list secrets; /* struct as_secret_row, by name */
};
static const struct wire_field as_secrets_rows[] = {
	WIRE_U16(struct as_secrets, code, 64),
	WIRE_LIST(struct as_secrets, secrets, 0, AS_SECRETS_MAX, &as_secret_row_table),
};

/*
 * What requests of a key used on one day. Tokens that only we counted are kept
 * apart, as estimates.
 */
struct as_usage_item {
	uint8_t id[KEY_ID_LEN];
	struct span model; /* empty: a request that names none */
	uint32_t day;      /* since 1970 */
	uint64_t requests, errors, tokens_in, tokens_out, estimated, estimated_in, estimated_out;
	/* Parts of tokens_in, tokens_in, tokens_out. */
	uint64_t cached_in, cache_written_in, reasoning_out;
};
static const struct wire_field as_usage_item_rows[] = {
	WIRE_FIXED(struct as_usage_item, id),
	WIRE_BYTES(struct as_usage_item, model, 0, MODEL_MAX),
	WIRE_U32(struct as_usage_item, day, UINT32_MAX),
	WIRE_U64(struct as_usage_item, requests),
	WIRE_U64(struct as_usage_item, errors),
	WIRE_U64(struct as_usage_item, tokens_in),
	WIRE_U64(struct as_usage_item, tokens_out),
	WIRE_U64(struct as_usage_item, estimated),
	WIRE_U64(struct as_usage_item, estimated_in),
	WIRE_U64(struct as_usage_item, estimated_out),
	WIRE_U64(struct as_usage_item, cached_in),
	WIRE_U64(struct as_usage_item, cache_written_in),
	WIRE_U64(struct as_usage_item, reasoning_out),
};
static const struct wire_table as_usage_item_table = WIRE_TABLE(
    struct as_usage_item, as_usage_item_rows);

/* A batch counts once: one that was sent again for want of an answer has the same number. */
struct as_usage_add {
	uint8_t epoch[AS_EPOCH_LEN]; /* of the authority's process */
	uint64_t seq;                /* of its batches, from 1 */
	struct wire_list items;      /* struct as_usage_item */
};
static const struct wire_field as_usage_add_rows[] = {
	WIRE_FIXED(struct as_usage_add, epoch),
	WIRE_U64(struct as_usage_add, seq),
	WIRE_LIST(struct as_usage_add, items, 1, AS_USAGE_BATCH_MAX, &as_usage_item_table),
};

/* Sums over days, by key and model; the page behind (after_user, after_key, after_model). */
struct as_usage_list {
	uint32_t since_day;
	uint64_t after_user; /* 0: the first page */
	uint64_t after_key;
	struct span after_model;
	struct span tenant; /* empty: any; so are key, user and model */
	struct span key;
	struct span user;
	struct span model;
};
static const struct wire_field as_usage_list_rows[] = {
	WIRE_U32(struct as_usage_list, since_day, UINT32_MAX),
	WIRE_U64(struct as_usage_list, after_user),
	WIRE_U64(struct as_usage_list, after_key),
	WIRE_BYTES(struct as_usage_list, after_model, 0, MODEL_MAX),
	WIRE_BYTES(struct as_usage_list, tenant, 0, TENANT_MAX),
	WIRE_BYTES(struct as_usage_list, key, 0, KEY_ID_LEN),
	WIRE_BYTES(struct as_usage_list, user, 0, USER_MAX),
	WIRE_BYTES(struct as_usage_list, model, 0, MODEL_MAX),
};

struct as_usage_row {
	uint8_t id[KEY_ID_LEN];
	struct span tenant;
	struct span user;
	struct span model;
	uint64_t requests, errors, tokens_in, tokens_out, estimated, estimated_in, estimated_out;
	/* Parts of tokens_in, tokens_in, tokens_out. */
	uint64_t cached_in, cache_written_in, reasoning_out;
};
static const struct wire_field as_usage_row_rows[] = {
	WIRE_FIXED(struct as_usage_row, id),
	WIRE_BYTES(struct as_usage_row, tenant, 1, TENANT_MAX),
	WIRE_BYTES(struct as_usage_row, user, 1, USER_MAX),
	WIRE_BYTES(struct as_usage_row, model, 0, MODEL_MAX),
	WIRE_U64(struct as_usage_row, requests),
	WIRE_U64(struct as_usage_row, errors),
	WIRE_U64(struct as_usage_row, tokens_in),
	WIRE_U64(struct as_usage_row, tokens_out),
	WIRE_U64(struct as_usage_row, estimated),
	WIRE_U64(struct as_usage_row, estimated_in),
	WIRE_U64(struct as_usage_row, estimated_out),
	WIRE_U64(struct as_usage_row, cached_in),
	WIRE_U64(struct as_usage_row, cache_written_in),
	WIRE_U64(struct as_usage_row, reasoning_out),
};
static const struct wire_table as_usage_row_table = WIRE_TABLE(
    struct as_usage_row, as_usage_row_rows);

struct as_usage {
	uint16_t code;
	uint64_t next_user; /* after_user of the next page; 0: that was the last */
	uint64_t next_key;
	struct span next_model;
	struct wire_list rows; /* struct as_usage_row; none may be on a page before the last */
};
static const struct wire_field as_usage_rows[] = {
	WIRE_U16(struct as_usage, code, 64),
	WIRE_U64(struct as_usage, next_user),
	WIRE_U64(struct as_usage, next_key),
	WIRE_BYTES(struct as_usage, next_model, 0, MODEL_MAX),
	WIRE_LIST(struct as_usage, rows, 0, AS_USAGE_PAGE_MAX, &as_usage_row_table),
};

/* A version of a tool. Versions count from 1 and never come again. */
struct as_tool {
	uint64_t id; /* PUT: 0 */
	struct span tenant;
	struct span user;
	struct span name;
	uint32_t version; /* PUT: 0 */
	uint8_t current;
	uint8_t allowed;
	uint8_t parts;                /* enum tool_parts */
	uint8_t digest[DIGEST_LEN];   /* SHA-256 of the encoded upload */
	uint8_t artefact[DIGEST_LEN]; /* of the compiled module; zero: none */
	uint8_t native[DIGEST_LEN];   /* zero: none */
	struct span engine;
	uint32_t module_size;
	uint32_t native_size;
	uint64_t created_s; /* Unix time */
	struct span manifest;
};
static const struct wire_field as_tool_rows[] = {
	WIRE_U64(struct as_tool, id),
	WIRE_BYTES(struct as_tool, tenant, 1, TENANT_MAX),
	WIRE_BYTES(struct as_tool, user, 1, USER_MAX),
	WIRE_BYTES(struct as_tool, name, 1, TOOL_MAX),
	WIRE_U32(struct as_tool, version, UINT32_MAX),
	WIRE_U8(struct as_tool, current, 1),
	WIRE_U8(struct as_tool, allowed, 1),
	WIRE_U8(struct as_tool, parts, TOOL_PARTS_ALL),
	WIRE_FIXED(struct as_tool, digest),
	WIRE_FIXED(struct as_tool, artefact),
	WIRE_FIXED(struct as_tool, native),
	WIRE_BYTES(struct as_tool, engine, 0, TOOL_ENGINE_MAX),
	WIRE_U32(struct as_tool, module_size, RUN_BLOB_MAX),
	WIRE_U32(struct as_tool, native_size, TOOL_NATIVE_MAX),
	WIRE_U64(struct as_tool, created_s),
	WIRE_BYTES(struct as_tool, manifest, 1, TOOL_MANIFEST_MAX),
};

struct as_tool_kept {
	uint16_t code; /* enum code: E_OK, E_FULL (too many), E_SYS … */
	uint64_t id;
	uint32_t version;
};
static const struct wire_field as_tool_kept_rows[] = {
	WIRE_U16(struct as_tool_kept, code, 64),
	WIRE_U64(struct as_tool_kept, id),
	WIRE_U32(struct as_tool_kept, version, UINT32_MAX),
};

struct as_tool_get {
	uint64_t id;
	uint8_t part; /* enum tool_part */
};
static const struct wire_field as_tool_get_rows[] = {
	WIRE_U64(struct as_tool_get, id),
	WIRE_U8(struct as_tool_get, part, PART_NATIVE),
};

struct as_tool_part {
	uint16_t code;              /* E_NOTFOUND, E_CORRUPT (it does not open), E_SYS … */
	uint8_t digest[DIGEST_LEN]; /* SHA-256 of the part */
};
static const struct wire_field as_tool_part_rows[] = {
	WIRE_U16(struct as_tool_part, code, 64),
	WIRE_FIXED(struct as_tool_part, digest),
};

struct as_tool_rebuilt {
	uint64_t id;
	uint8_t artefact[DIGEST_LEN];
	struct span engine;
};
static const struct wire_field as_tool_rebuilt_rows[] = {
	WIRE_U64(struct as_tool_rebuilt, id),
	WIRE_FIXED(struct as_tool_rebuilt, artefact),
	WIRE_BYTES(struct as_tool_rebuilt, engine, 1, TOOL_ENGINE_MAX),
};

/* Of the versions of the same tool, `id` alone has the mark from now on. */
enum as_tool_marks { TOOL_MARK_CURRENT = 1, TOOL_MARK_ALLOWED, TOOL_MARK_NOT_ALLOWED };
struct as_tool_mark {
	uint64_t id;
	uint8_t mark;
};
static const struct wire_field as_tool_mark_rows[] = {
	WIRE_U64(struct as_tool_mark, id),
	WIRE_U8(struct as_tool_mark, mark, TOOL_MARK_NOT_ALLOWED),
};

struct as_tool_remove {
	uint64_t id;
	uint8_t all; /* every version of its tool */
};
static const struct wire_field as_tool_remove_rows[] = {
	WIRE_U64(struct as_tool_remove, id),
	WIRE_U8(struct as_tool_remove, all, 1),
};

#endif
