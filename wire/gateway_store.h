/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_GATEWAY_STORE_H
#define WIRE_GATEWAY_STORE_H

/*
 * One stream, one operation on what is kept for a user. Gateway (A): OPEN, an encoded
 * `struct content_request` as data on channel 0, end. Store (B): an encoded `struct
 * content_answer` as data on channel 0, RESULT, end; or FAILED. Which operation it is, on
 * which object of which user, the grant says; the store acts only when a grant of the
 * authority matches the stream (grant, gateway, length and SHA-256 of the encoded request),
 * once. RESULT of a change leaves after its commit.
 */
#include <link/wire.h>
#include <wire/content.h>
#include <wire/errors.h>
#include <wire/limits.h>

enum gs_type { GS_OPEN = 1, GS_RESULT, GS_FAILED };

struct content_item {
	struct span id;   /* as the client knows it; the gateway makes it */
	uint8_t output;   /* of a response: what the model said, not what it was asked with */
	struct span json; /* the item, an object, with its id */
};
static const struct wire_field content_item_rows[] = {
	WIRE_BYTES(struct content_item, id, 1, CONTENT_ID_MAX),
	WIRE_U8(struct content_item, output, 1),
	WIRE_BYTES(struct content_item, json, 2, CONTENT_ITEM_MAX),
};
static const struct wire_table content_item_table = WIRE_TABLE(
    struct content_item, content_item_rows);

/* What the grant does not say. Members that an operation does not use are empty. */
struct content_request {
	struct span meta;     /* CREATE, UPDATE, SAVE: JSON of the object, without items */
	struct span previous; /* SAVE: the response that it goes on from; empty: none */
	struct span parent;   /* item: its conversation; SAVE: the turn's conversation */
	struct span after;    /* LIST: the id behind which the page begins; empty: from the first */
	uint32_t limit;       /* LIST: 1..CONTENT_PAGE_MAX */
	uint8_t descending;   /* LIST: newest first */
	uint32_t expires_s;   /* CREATE of a file: seconds from now; 0: as configured */
	struct span tag;      /* CREATE of a file: its purpose; LIST of files: only those */
	struct wire_list items; /* struct content_item */
	struct span body;       /* CREATE of a file */
};
static const struct wire_field content_request_rows[] = {
	WIRE_BYTES(struct content_request, meta, 0, CONTENT_META_MAX),
	WIRE_BYTES(struct content_request, previous, 0, CONTENT_ID_MAX),
	WIRE_BYTES(struct content_request, parent, 0, CONTENT_ID_MAX),
	WIRE_BYTES(struct content_request, after, 0, CONTENT_ID_MAX),
	WIRE_U32(struct content_request, limit, CONTENT_PAGE_MAX),
	WIRE_U8(struct content_request, descending, 1),
	WIRE_U32(struct content_request, expires_s, UINT32_MAX),
	WIRE_BYTES(struct content_request, tag, 0, CONTENT_TAG_MAX),
	WIRE_LIST(struct content_request, items, 0, CONTENT_ITEMS_MAX, &content_item_table),
	WIRE_BYTES(struct content_request, body, 0, CONTENT_BLOB_MAX),
};
static const struct wire_table content_request_table = WIRE_TABLE(
    struct content_request, content_request_rows);

struct content_object {
	struct span id;
	uint64_t created_s; /* Unix time */
	uint64_t expires_s; /* the same; 0: never */
	uint64_t size;      /* of a file, bytes */
	struct span meta;
};
static const struct wire_field content_object_rows[] = {
	WIRE_BYTES(struct content_object, id, 1, CONTENT_ID_MAX),
	WIRE_U64(struct content_object, created_s),
	WIRE_U64(struct content_object, expires_s),
	WIRE_U64(struct content_object, size),
	WIRE_BYTES(struct content_object, meta, 0, CONTENT_META_MAX),
};
static const struct wire_table content_object_table = WIRE_TABLE(
    struct content_object, content_object_rows);

struct content_answer {
	struct wire_list objects; /* struct content_object: the one, or a page of files */
	struct wire_list items;   /* struct content_item, in the order asked for */
	uint8_t more;             /* LIST: another page follows */
	struct span body;         /* BODY */
};
static const struct wire_field content_answer_rows[] = {
	WIRE_LIST(struct content_answer, objects, 0, CONTENT_PAGE_MAX, &content_object_table),
	WIRE_LIST(struct content_answer, items, 0, CONTENT_ITEMS_MAX, &content_item_table),
	WIRE_U8(struct content_answer, more, 1),
	WIRE_BYTES(struct content_answer, body, 0, CONTENT_BLOB_MAX),
};
static const struct wire_table content_answer_table = WIRE_TABLE(
    struct content_answer, content_answer_rows);

struct gs_open {
	uint8_t grant[GRANT_LEN];
	uint32_t body_len;
};
static const struct wire_field gs_open_rows[] = {
	WIRE_FIXED(struct gs_open, grant),
	WIRE_U32(struct gs_open, body_len, RUN_BLOB_MAX),
};

struct gs_result {
	uint32_t answer_len; /* bytes that came on channel 0 */
};
static const struct wire_field gs_result_rows[] = {
	WIRE_U32(struct gs_result, answer_len, UINT32_MAX),
};

struct gs_failed {
	uint16_t error; /* ERROR_GRANT, ERROR_CONTENT_NOT_FOUND, ERROR_CONTENT_FULL, … */
};
static const struct wire_field gs_failed_rows[] = {
	WIRE_U16(struct gs_failed, error, ERROR_COUNT - 1),
};

static const struct wire_msg gs_msgs[] = {
	[GS_OPEN] = { "open", WIRE_A_TO_B, WIRE_TABLE(struct gs_open, gs_open_rows) },
	[GS_RESULT] = { "result", WIRE_B_TO_A, WIRE_TABLE(struct gs_result, gs_result_rows) },
	[GS_FAILED] = { "failed", WIRE_B_TO_A, WIRE_TABLE(struct gs_failed, gs_failed_rows) },
};
static const struct wire_edge gs_edge = WIRE_EDGE("gateway-store", gs_msgs, true);

#endif
