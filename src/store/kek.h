/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_KEK_H
#define STORE_KEK_H

/*
 * The key-encryption keys of a store whose `store.kek` names a key in Vault or KMS: opened before
 * anything else is read, wrapped when one is made, and carried over from what wrapped them
 * before. Once they are open, whoever wraps them is not needed until the next one is made.
 */
#include <daemon/daemon.h>
#include <wire/authority_broker.h>

#include "db.h"

#define KEK_BACKOFF_MIN_MS 500 /* between tries; doubled each time … */
#define KEK_BACKOFF_MAX_MS 30000
#define KEK_RETRY_AFTER_MAX_MS 60000
#define KEK_ROTATE_MS 4000 /* for a new one to be wrapped, while somebody waits for it */

/*
 * Opens them, and what is under them (db_open_rest()), then calls `opened`, once: at once where
 * the root is enough, else as soon as Vault or KMS answers, however long that takes. Not OK: it is
 * no use to try again. State: db_open_tables().
 */
typedef void kek_opened(void *ctx, struct status st);
void kek_start(struct daemon *d, struct db *db, kek_opened *opened, void *ctx);
/* `store.kek` */
const char *kek_wrapper(const struct daemon *d);
/* Another `store.kek`: the keys are carried over to it. */
void kek_configure(struct daemon *d);
/* What had to wait for it goes on. */
void kek_broker_came(void);
void kek_stop(void);

/*
 * A new version, and with it a rotation (db_rotate()); the others are wrapped anew, too. `done`
 * comes once, perhaps before it returns. E_EXISTS: a rotation is under way. E_AGAIN: not wrapped,
 * for `fault`; nothing has begun. Else as db_rotate().
 */
typedef void kek_rotated(void *ctx, struct status st, enum secret_fault fault);
void kek_rotate(uint64_t now_s, kek_rotated *done, void *ctx);
/* Wrapper, how many are by others, and why. `ret` borrows. E_SYS … */
MUST_USE struct status kek_put_status(struct as_kek *ret);

#endif
