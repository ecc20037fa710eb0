/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_PRIVACY_H
#define STORE_PRIVACY_H

/*
 * Persons: what is kept of one, given out or destroyed; and what goes for its age.
 */
#include <daemon/daemon.h>

#include "content.h"

#define SWEEP_OBJECTS_MAX 32  /* in one transaction */
#define SWEEP_LOOKED_MAX 1024 /* … and so many looked at: those under a hold stay */
#define SWEEP_ROWS_MAX 1024
#define SWEEP_BYTES_MAX (8U << 20)
#define SWEEP_BUSY_MS 20 /* between two steps while there is something to do */
#define SWEEP_IDLE_MS 60000

/* ---- erase.c ---- */
/*
 * All that is kept of a user: tools go, keys and usage go, and all data keys are destroyed, so
 * that what is left says nothing; sweeps take it away. Durable when it returns.
 * *ret_more: that was a step, and it has to be called again. E_NOTFOUND; E_DENIED: a legal hold.
 * *ret_rows, where wanted: of objects, keys and tools, before this step.
 */
MUST_USE struct status db_user_erase(
    struct db *db, struct span tenant, struct span user, uint64_t *ret_rows, bool *ret_more);

/* ---- export.c ---- */
/*
 * A page of all that is kept of a user, from `m` on; `page` is empty, and as long as it may
 * become. E_NOTFOUND; E_AGAIN: what `m` stood at is gone.
 */
MUST_USE struct status db_user_export(
    struct db *db, const struct as_export *m, struct buf *page, struct as_exported *ret);

/* ---- sweep.c ---- */
/*
 * One step: up to SWEEP_OBJECTS_MAX rows that nobody may see any more, or that are older than
 * they are kept, in one transaction; what is old is looked at once a pass. *ret_more: there may be
 * more.
 */
MUST_USE struct status db_sweep(struct db *db, uint64_t now_s, bool *ret_more);

/* ---- sweep_clock.c: what time it is for sweeps, in seconds ---- */
#define SWEEP_DOUBT_S 86400
#define SWEEP_KEEP_S 3600 /* what is believed is kept at least as often, as it goes by */
enum sweep_side { SWEEP_BELIEVED, SWEEP_AHEAD, SWEEP_BEHIND };
struct sweep_kept {
	uint64_t real_s;    /* what is believed: Unix time; 0: nothing yet */
	uint64_t doubted_s; /* for how long the clock has been on that side of it */
	enum sweep_side side;
};
struct sweep_clock {
	struct sweep_kept at, kept; /* at `boot_s`; as the database has it */
	uint64_t boot_s;
	uint64_t off_s; /* for so long it may have been off; 0: the clock was believed since */
	bool said;      /* … that it is ahead */
};
/* It goes on from what is kept; `off_s`: so long it may have been off. */
void sweep_clock_start(struct sweep_clock *c, const struct sweep_kept *kept, uint64_t off_s,
    uint64_t real_s, uint64_t boot_s);
/* *ret_jumped: it is ahead since now. */
MUST_USE uint64_t sweep_clock_now(
    struct sweep_clock *c, uint64_t real_s, uint64_t boot_s, bool *ret_jumped);
/* From what is kept. Errors are of that, and it begins as if nothing were. */
MUST_USE struct status db_sweep_clock_start(
    struct db *db, uint64_t real_s, uint64_t boot_s, struct sweep_clock *c);
/* In a transaction of its own, where it says something new. */
MUST_USE struct status db_sweep_clock_keep(struct db *db, struct sweep_clock *c);

/* ---- privacy_requests.c: in the store process ---- */
void privacy_start(struct daemon *d, struct db *db);
void privacy_configure(struct daemon *d);
void privacy_stop(void);
void privacy_sweep_soon(void);
void privacy_authority(struct link *l);
void privacy_authority_closed(struct link *l);
void privacy_on_export(struct link *l, uint64_t id, const void *msg, void *ctx);

/* ---- erase_requests.c: in the store process ---- */
#define ERASING_MAX 64         /* persons at once */
#define ERASE_BUSY_MS 5        /* between two steps */
#define ERASE_GIVE_UP_MS 30000 /* then it is told that it is not over */
void erase_requests_start(struct daemon *d, struct db *db);
void erase_requests_stop(void);
void erase_requests_closed(struct link *l);
void erase_requests_on_erase(struct link *l, uint64_t id, const void *msg, void *ctx);

#endif
