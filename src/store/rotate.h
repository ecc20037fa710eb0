/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_ROTATE_H
#define STORE_ROTATE_H

/*
 * Rotation of keys. What is new is written with the newest version from the moment that a
 * rotation begins; what is old is carried over in small steps, each a transaction of its
 * own, and goes on after a restart. An old version is deleted when nothing needs it.
 *	kek   a new key-encryption key; tenants' keys and the store's secrets are wrapped anew
 *	data  new keys for every tenant and user; every value is sealed anew
 * One rotation at a time.
 */
#include "db.h"

#define ROTATE_STEPS_MAX 64 /* of one transaction */

bool db_rotate_is_under_way(const struct db *db);
/* E_EXISTS: a rotation is under way. Of key-encryption keys under Vault or KMS: kek_rotate(). */
MUST_USE struct status db_rotate(struct db *db, enum as_rotation what, uint64_t now_s);
/* The time from which the next rotation is due counts from now, where there was none ever. */
MUST_USE struct status db_rotate_baseline(struct db *db, uint64_t now_s);
/* Carry over for about `budget_ns`. *ret_more: there is more to do. E_NOTFOUND: nothing is. */
MUST_USE struct status db_rotate_step(
    struct db *db, uint64_t now_s, uint64_t budget_ns, bool *ret_more);
MUST_USE struct status db_rotate_status(struct db *db, struct as_kek *ret);

#endif
