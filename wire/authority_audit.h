/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_AUTHORITY_AUDIT_H
#define WIRE_AUTHORITY_AUDIT_H

/*
 * Authority (A) appends, audit (B) answers when it is durable. A batch is one
 * unit: all its records are in the log, or none. Seqs count from 1.
 * What is durable can be read, a bounded page at a time.
 */
#include <link/wire.h>
#include <wire/audit_event.h>

enum aa_type {
	AA_APPEND = 1,
	AA_RECEIPT, /* same id: durable */
	AA_REFUSED, /* same id: nothing was written (disk full, bad record) */
	AA_READ,    /* A: records that are durable */
	AA_PAGE,    /* B: same id */
	AA_ROTATE,  /* A: sign with a new key from now on */
	AA_ROTATED, /* same id: it is on record, and the key in its place */
	AA_UP,      /* B: the log is open; the first word on a link. Until then it may be minutes */
};

#define AA_PAGE_MAX (128U << 10) /* bytes of the log that one READ looks at */
#define AA_TYPE_MAX 64

struct aa_append {
	struct wire_list records; /* struct audit_rec */
};
static const struct wire_field aa_append_rows[] = {
	WIRE_LIST(struct aa_append, records, 1, AUDIT_BATCH_MAX, &audit_rec_table),
};

struct aa_receipt {
	uint64_t first_seq;
	uint32_t count;
};
static const struct wire_field aa_receipt_rows[] = {
	WIRE_U64(struct aa_receipt, first_seq),
	WIRE_U32(struct aa_receipt, count, AUDIT_BATCH_MAX),
};

struct aa_refused {
	uint16_t code; /* enum code of base/status.h */
};
static const struct wire_field aa_refused_rows[] = {
	WIRE_U16(struct aa_refused, code, 64),
};

struct aa_read {
	uint64_t at;       /* the page begins behind this record (before it: `descending`);
			      0: with the first (the last) */
	uint64_t since_ns; /* Unix time: those from then on, */
	uint64_t until_ns; /* and before then; 0: all */
	struct span type;  /* of the event; empty: all */
	uint8_t descending;
};
static const struct wire_field aa_read_rows[] = {
	WIRE_U64(struct aa_read, at),
	WIRE_U64(struct aa_read, since_ns),
	WIRE_U64(struct aa_read, until_ns),
	WIRE_BYTES(struct aa_read, type, 0, AA_TYPE_MAX),
	WIRE_U8(struct aa_read, descending, 1),
};

struct aa_page {
	uint16_t code; /* enum code: E_OK, or the log could not be read */
	uint64_t at;   /* `at` of the next page: the last record that was looked at */
	uint8_t end;   /* there is nothing behind it */
	struct span
	    lines; /* as they are in the log, each with its newline, in the order asked for */
};
static const struct wire_field aa_page_rows[] = {
	WIRE_U16(struct aa_page, code, 64),
	WIRE_U64(struct aa_page, at),
	WIRE_U8(struct aa_page, end, 1),
	WIRE_BYTES(struct aa_page, lines, 0, AA_PAGE_MAX),
};

struct aa_rotated {
	uint64_t version; /* of the key: 1 is that of init */
	uint64_t seq;     /* of the record that names it */
	struct span key;  /* its C2SP verifier key */
};
static const struct wire_field aa_rotated_rows[] = {
	WIRE_U64(struct aa_rotated, version),
	WIRE_U64(struct aa_rotated, seq),
	WIRE_BYTES(struct aa_rotated, key, 1, AUDIT_STR_MAX),
};

static const struct wire_msg aa_msgs[] = {
	[AA_APPEND] = { "append", WIRE_A_TO_B, WIRE_TABLE(struct aa_append, aa_append_rows) },
	[AA_RECEIPT] = { "receipt", WIRE_B_TO_A, WIRE_TABLE(struct aa_receipt, aa_receipt_rows) },
	[AA_REFUSED] = { "refused", WIRE_B_TO_A, WIRE_TABLE(struct aa_refused, aa_refused_rows) },
	[AA_READ] = { "read", WIRE_A_TO_B, WIRE_TABLE(struct aa_read, aa_read_rows) },
	[AA_PAGE] = { "page", WIRE_B_TO_A, WIRE_TABLE(struct aa_page, aa_page_rows) },
	[AA_ROTATE] = { "rotate", WIRE_A_TO_B, WIRE_TABLE_NONE },
	[AA_ROTATED] = { "rotated", WIRE_B_TO_A, WIRE_TABLE(struct aa_rotated, aa_rotated_rows) },
	[AA_UP] = { "up", WIRE_B_TO_A, WIRE_TABLE_NONE },
};
static const struct wire_edge aa_edge = WIRE_EDGE("authority-audit", aa_msgs, false);

#endif
