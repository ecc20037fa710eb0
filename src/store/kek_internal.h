/* SPDX-License-Identifier: Apache-2.0 */
#ifndef STORE_KEK_INTERNAL_H
#define STORE_KEK_INTERNAL_H

/* Shared by kek.c (which step is next, and its end) and kek_step.c (a step on its way). */
#include "internal.h"
#include "kek.h"

enum step_kind { STEP_OPEN, STEP_FIRST, STEP_MOVE, STEP_REWRAP, STEP_ROTATE };

struct kek_step {
	enum step_kind kind;
	struct kek_row row; /* its key, and by what it is, or is to be, wrapped */
	bool proving;       /* `wrapped` is new: is it good? */
};

struct kek_machine {
	struct daemon *d;
	struct db *db;
	kek_opened *opened;
	void *ctx;
	bool open;
	uint8_t state[SB_STATE_LEN];
	struct kek_step step;
	struct buf wrapped;  /* of the step */
	bool asking;         /* the step waits for the broker */
	uintptr_t questions; /* how many there were: an answer to another one is too late */
	uv_timer_t timer;    /* the next try */
	unsigned failures;
	enum secret_fault fault; /* of the last try; NONE: it went well */
	/* a rotation that somebody waits for; NULL: none */
	kek_rotated *rotated;
	void *rotated_ctx;
	uint64_t rotate_s;  /* its time */
	uint64_t rewrapped; /* versions up to this one are wrapped anew */
	uv_timer_t limit;   /* of the rotation */
};
extern struct kek_machine kek_self;

/* What is asked first, and the end: `answer` was unwrapped (OPEN), or is a wrapping that is good.
 */
struct kek_kind {
	enum sb_type ask;
	struct status (*finish)(struct span answer);
};
extern const struct kek_kind kek_kinds[];

/* kek.c: the next step, unless one is under way, or waits for its time. */
void kek_go_on(void);

/* kek_step.c */
void kek_begin(enum step_kind kind, const struct kek_row *row);
/* Its end; then what is next. */
void kek_step_over(struct span answer);
/* It will be tried again; but who waits for a rotation is told, and may ask again. */
void kek_failed(enum secret_fault fault, uint32_t retry_after_ms);
enum secret_fault kek_fault_of(struct status st);
void kek_rotation_over(struct status st, enum secret_fault fault);
/* For who asks whether we are ready: wire/metrics.h. */
void kek_show(void);

#endif
