/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_BROKER_LINK_H
#define STORE_BROKER_LINK_H

/* What the store asks of the broker: a key wrapped or unwrapped by Vault or KMS. */
#include <daemon/daemon.h>
#include <wire/store_broker.h>

/*
 * `answer` is empty with a fault, else as wire/store_broker.h says, and borrowed until the
 * callback returns.
 */
typedef void broker_answered(
    void *ctx, enum secret_fault fault, uint32_t retry_after_ms, struct span answer);

/* A fresh link of the broker's; takes fd. */
void broker_peer(struct daemon *d, uint32_t peer_id, int fd);
bool broker_is_there(void);
/*
 * OK: `done` comes once, from the loop. SECRET_UNREACHABLE: the broker went away, or was silent
 * for BROKER_WAIT_MS. E_CLOSED: it is away; E_RANGE, E_NOMEM, E_FULL.
 */
#define BROKER_WAIT_MS 60000
MUST_USE struct status broker_wrap(const struct sb_wrap *m, broker_answered *done, void *ctx);
/* SB_UNWRAP or SB_REWRAP. */
MUST_USE struct status broker_unwrap(
    enum sb_type type, const struct sb_unwrap *m, broker_answered *done, void *ctx);

#endif
