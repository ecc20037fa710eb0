/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUDIT_STATE_H
#define AUDIT_STATE_H

/*
 * The state of the log: the file `state` beside it, which holds what reading all its records up
 * to a checkpoint would tell, so that a start reads only what came afterwards. Signed by the
 * log's key. It is worth nothing without the log: it is taken only where the records behind it
 * lead to the signed root.
 */
#include "log.h"

#define STATE_FILE_MAX (8U << 20)

/* Where the records behind a state begin. */
struct state_place {
	uint32_t segment;
	uint64_t off;
	const struct sign_key *key; /* in force there; borrowed from the keys */
};

/*
 * Write it, if it is due (`now`: if there is anything new). State: behind log_checkpoint(); else
 * it does nothing. Errors: E_SYS, E_NOMEM, E_CRYPTO: the one before stays.
 */
MUST_USE struct status state_keep(struct log *l, bool now);
/*
 * Into a log that was just made: l->now, l->intents, l->senders_now, l->key_version,
 * l->key_since_ns, l->state. State: l->name is the checkpoint's. Errors: E_NOTFOUND (there is
 * none), E_CRYPTO (of no key of these), E_PROTO, E_RANGE, E_CORRUPT (not of this log), E_SYS,
 * E_NOMEM; with any of them *l is to be made anew.
 */
MUST_USE struct status state_take(
    struct log *l, const struct log_keys *keys, uint64_t signed_size, struct state_place *ret);

#endif
