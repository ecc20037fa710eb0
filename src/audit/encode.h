/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUDIT_ENCODE_H
#define AUDIT_ENCODE_H

/*
 * From a record as it comes over a link to a line of the log.
 */
#include <base/span.h>
#include <crypto/hash.h>
#include <wire/audit_event.h>

#define RECORD_ROOM (24U << 10) /* bytes; no line of ours is longer */

/* Who sends a record, as the edge tells it. */
struct record_sender {
	const char *name;
	uint32_t id;     /* peer id of that process */
	uint64_t missed; /* records that the sender counted and the log does not have */
};

/* Where a record stands. */
struct record_place {
	uint64_t ts_ns;
	uint64_t seq;
	const uint8_t *prev; /* SHA256_LEN */
	bool more;           /* not the last of its batch */
};

/*
 * Is it a record that a peer may send? Errors: E_PROTO (kinds, phases, counts: a
 * fault of the sender's), E_DENIED (a string holds an API key).
 */
MUST_USE struct status record_check(const struct audit_rec *r);
/* Nobody has authenticated: it must not use up the disk that is kept for others. */
bool record_is_anonymous(const struct audit_rec *r);
/* Append the line, without a newline. `out` has RECORD_ROOM free. E_NOMEM, E_FULL. */
MUST_USE struct status record_encode(const struct audit_rec *r, const struct record_sender *from,
    const struct record_place *at, struct buf *out);

#endif
