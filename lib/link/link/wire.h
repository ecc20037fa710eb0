/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LINK_WIRE_H
#define LINK_WIRE_H

/*
 * A message is described once, by a table of fields with their limits. The
 * encoder, the decoder and the fuzz targets all work from that table.
 *
 * On the wire: fields in table order, no tags, no padding. Integers are big
 * endian; bytes are a u32 length and the bytes; a list is a u32 count and its
 * items. A decoder must consume the whole message.
 */
#include <base/arena.h>
#include <base/span.h>

#define WIRE_PAYLOAD_MAX (1U << 20) /* bytes of one message */
#define WIRE_LIST_MAX 1024          /* items of one list, whatever its row says */

enum wire_kind {
	WIRE_KIND_U8 = 1,
	WIRE_KIND_U16,
	WIRE_KIND_U32,
	WIRE_KIND_U64,
	WIRE_KIND_FIXED,
	WIRE_KIND_BYTES,
	WIRE_KIND_LIST
};

/* In a message struct: an array of items of the row's sub-table. */
struct wire_list {
	const void *items;
	uint32_t count;
};

struct wire_field {
	const char *name;
	enum wire_kind kind;
	uint16_t off;
	uint16_t size; /* sizeof the member, checked when a table is used */
	uint64_t min;  /* integers: value; bytes: length; list: count */
	uint64_t max;
	const struct wire_table *sub;
};

struct wire_table {
	const struct wire_field *fields;
	uint16_t nfields;
	uint16_t size; /* of the message struct */
};

#define WIRE_FIELD_(T, f, k, lo, hi, s)                               \
	{                                                             \
#f, k, offsetof(T, f), sizeof(((T *)0)->f), lo, hi, s \
	}
#define WIRE_U8(T, f, hi) WIRE_FIELD_(T, f, WIRE_KIND_U8, 0, hi, NULL)
#define WIRE_U16(T, f, hi) WIRE_FIELD_(T, f, WIRE_KIND_U16, 0, hi, NULL)
#define WIRE_U32(T, f, hi) WIRE_FIELD_(T, f, WIRE_KIND_U32, 0, hi, NULL)
#define WIRE_U64(T, f) WIRE_FIELD_(T, f, WIRE_KIND_U64, 0, UINT64_MAX, NULL)
/* A member that is uint8_t name[N]. */
#define WIRE_FIXED(T, f) WIRE_FIELD_(T, f, WIRE_KIND_FIXED, 0, 0, NULL)
/* A member that is a struct span of lo..hi bytes; decoded, it borrows from the frame. */
#define WIRE_BYTES(T, f, lo, hi) WIRE_FIELD_(T, f, WIRE_KIND_BYTES, lo, hi, NULL)
/* A member that is a struct wire_list of lo..hi items; decoded into the arena. */
#define WIRE_LIST(T, f, lo, hi, subtable) WIRE_FIELD_(T, f, WIRE_KIND_LIST, lo, hi, subtable)
#define WIRE_TABLE(T, rows)                                       \
	{                                                         \
		rows, sizeof(rows) / sizeof((rows)[0]), sizeof(T) \
	}
/* A message without fields. */
struct wire_none {
	uint8_t unused_;
};
#define WIRE_TABLE_NONE                           \
	{                                         \
		NULL, 0, sizeof(struct wire_none) \
	}

/* Which end may send a message. An edge x_y has x as its A end. */
enum wire_dir { WIRE_A_TO_B = 1, WIRE_B_TO_A = 2, WIRE_BOTH = 3 };

struct wire_msg {
	const char *name; /* NULL: no such type */
	enum wire_dir dir;
	struct wire_table table;
};

struct wire_edge {
	const char *name;
	const struct wire_msg *msgs; /* by type; type 0 is never used */
	uint16_t nmsgs;
	bool streams; /* a data edge: streams and credits */
	bool secrets; /* keys travel on it: buffers are wiped behind every message */
};

#define WIRE_EDGE(n, m, s)                          \
	{                                           \
		n, m, sizeof(m) / sizeof((m)[0]), s \
	}

/* Errors: E_RANGE (a limit of the table), E_FULL/E_NOMEM (out). */
MUST_USE struct status wire_encode(const struct wire_table *t, const void *msg, struct buf *out);
/* Errors: E_PROTO (short, long, or a limit broken), E_NOMEM. `msg` is t->size bytes. */
MUST_USE struct status wire_decode(
    const struct wire_table *t, struct span in, struct arena *arena, void *msg);
/* A hash over all rows: two builds that differ in a table do not talk. */
uint64_t wire_edge_hash(const struct wire_edge *edge, uint64_t seed);

#endif
