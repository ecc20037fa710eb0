/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_BACKUP_H
#define STORE_BACKUP_H

/*
 * A backup of the database while it is in use: the file as of one checkpoint, sealed, as
 * BACKUP_FILE beside it. Until it is done, what is written stays in the log. It holds keys of
 * people who are erased later: whoever asked for it takes it, or it goes.
 */
#include "db.h"

#define BACKUP_BEFORE_FILE "before-8.sealed"
#define BACKUP_BEFORE_FILE_OLD "before-5.sealed" /* of the build before */
#define BACKUP_BEFORE_FILE_7 "before-7.sealed"
#define BACKUP_BEFORE_TMP "before.sealed.tmp"
#define BACKUP_BEFORE_DAYS 30

#define BACKUP_WAITED_S 1800 /* what was destroyed stays in the file so long for a backup */
#define BACKUP_TAKEN_S 60    /* so long one that is done has before an erasure takes it away … */
#define BACKUP_KEPT_S 600    /* … and so long if there is none */

/* The whole database, at once, before its tables are brought to version 5: sealed, too. */
MUST_USE struct status db_backup_before(struct db *db);
/* It goes after BACKUP_BEFORE_DAYS, by the time that ages go by (sweep_clock.c). */
void db_backup_before_expire(uint64_t now_s);

/* E_EXISTS: one is under way. */
MUST_USE struct status db_backup(struct db *db, uint64_t now_s);
/* The next piece. E_NOTFOUND: none is under way; else why it ended without a backup. */
MUST_USE struct status db_backup_step(struct db *db);
/* Does the file stay as it is for one that is under way? */
bool db_backup_holds(const struct db *db);
/* A person was erased: counted since a backup began; does the file keep the keys for one that is
 * under way? */
bool db_backup_erased(struct db *db);
/* One that was done longer ago than that goes, if nobody has taken it. */
void db_backup_drop(struct db *db, uint64_t age_s);
/* At the start: those of another life. */
void db_backup_drop_old(void);
/* It cannot go on: the file is about to change (db_settle()), or the database to close. */
void db_backup_abort(struct db *db);
void db_backup_state(const struct db *db, struct as_backup_state *ret);

#endif
