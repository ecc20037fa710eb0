/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_BACKUP_H
#define STORE_BACKUP_H

/*
 * A backup of the database while it is in use: the file as of one checkpoint, sealed, as
 * BACKUP_FILE beside it. Until it is done, what is written stays in the log.
 */
#include "db.h"

#define BACKUP_BEFORE_FILE "before-7.sealed"
#define BACKUP_BEFORE_FILE_OLD "before-5.sealed" /* of the build before */
#define BACKUP_BEFORE_DAYS 30

/* The whole database, at once, before its tables are brought to version 5: sealed, too. */
MUST_USE struct status db_backup_before(struct db *db);
/* It goes after BACKUP_BEFORE_DAYS. */
void db_backup_before_expire(uint64_t now_s);

/* E_EXISTS: one is under way. */
MUST_USE struct status db_backup(struct db *db, uint64_t now_s);
/* The next piece. E_NOTFOUND: none is under way; else why it ended without a backup. */
MUST_USE struct status db_backup_step(struct db *db);
/* It cannot go on: the file is about to change (db_settle()), or the database to close. */
void db_backup_abort(struct db *db);
void db_backup_state(const struct db *db, struct as_backup_state *ret);

#endif
