/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WIRE_AUTHORITY_AUDIT_H
#define WIRE_AUTHORITY_AUDIT_H

/*
 * Authority (A) appends, audit (B) answers when it is durable. A batch is one
 * unit: all its records are in the log, or none. Seqs count from 1.
 */
#include <link/wire.h>
#include <wire/audit_event.h>

enum aa_type {
	AA_APPEND = 1,
	AA_RECEIPT, /* same id: durable */
	AA_REFUSED, /* same id: nothing was written (disk full, bad record) */
};

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

static const struct wire_msg aa_msgs[] = {
	[AA_APPEND] = { "append", WIRE_A_TO_B, WIRE_TABLE(struct aa_append, aa_append_rows) },
	[AA_RECEIPT] = { "receipt", WIRE_B_TO_A, WIRE_TABLE(struct aa_receipt, aa_receipt_rows) },
	[AA_REFUSED] = { "refused", WIRE_B_TO_A, WIRE_TABLE(struct aa_refused, aa_refused_rows) },
};
static const struct wire_edge aa_edge = WIRE_EDGE("authority-audit", aa_msgs, false);

#endif
