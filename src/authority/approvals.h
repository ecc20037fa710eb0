/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUTHORITY_APPROVALS_H
#define AUTHORITY_APPROVALS_H

/*
 * Acts that wait for a second person: approvals.c (their places, records, end), approvals_ask.c,
 * approvals_decide.c, approvals_show.c (what is told).
 */
#include "admin_op.h"

#define APPROVALS_MAX 256
#define APPROVAL_ID_LEN 16
#define APPROVAL_TTL_MS 3600000

/*
 * ASKING: not on record yet. GIVEN: agreed; who asked may read what it asked for. DOING: agreed,
 * and the act has begun. From there on nothing of what was asked for is kept.
 */
enum approval_state { FREE, ASKING, WAITING, DECIDING, GIVEN, DOING, DONE, FAILED, REFUSED };

struct approval {
	enum approval_state state;
	char id[2 * APPROVAL_ID_LEN + 1];
	enum action action;
	struct key *by; /* who asked; NULL: the operator `uid` */
	uint32_t uid;
	uint8_t asker[SUBJECT_LEN];           /* that person's: see approval_asker() */
	char session[2 * SESSION_ID_LEN + 1]; /* by which; empty: none */
	uint64_t by_until_s;                  /* when that, or the token, ends; 0: see its key */
	char tenant[TENANT_MAX + 1];          /* that it is about */
	char person[USER_MAX + 1];            /* whom it is about; empty: no one person */
	uint8_t subject[SUBJECT_LEN];         /* that person's; zeros: there is none of that name */
	struct buf request;                   /* method, path, query and body */
	size_t method_len, path_len, query_len;
	char source[SOURCE_TEXT_MAX + 1];
	uint64_t until_ms, expires_s;
	unsigned asks; /* records of its being asked for that are on their way */
	uint64_t nth;  /* that has ended */
	uint16_t http; /* of the act; 0: there was none, or it is not over */
	const char *error;
	bool given; /* DECIDING, once more: no, after all */
};

static inline bool
approval_has_ended(const struct approval *p)
{
	return p->state >= DOING;
}

/* ---- approvals.c ---- */
struct approval *approval_at(size_t index); /* 0 .. APPROVALS_MAX - 1 */
bool approval_is_by(const struct approval *p, const struct admin_call *c);
/* NULL: an operator, or nobody any more: a namesake of who was erased is another one. */
const struct user *approval_asker(const struct approval *p);
/* A place for one of this caller, to be filled; what ended first makes room. E_FULL. */
MUST_USE struct status approval_take_place(const struct admin_call *c, struct approval **ret);
void approval_release(struct approval *p);
/* What was asked for is not needed any more; how that ended is told for as long again. */
void approval_end(const struct authority *a, struct approval *p, enum approval_state state,
    uint16_t http, const char *error);
/* `state`, on record: then `ready`; where that fails, `undo`. Errors of admin_op_begin(). */
MUST_USE struct status approval_begin_record(struct admin_call *c, struct approval *p,
    const char *state, admin_step *ready, admin_step *undo);
/* One that waited may have been decided, and its place taken, while this was on its way. */
bool approval_is_of(const struct admin_op *op);

/* ---- approvals_ask.c ---- */
/* Whoever asked, and whom it is about, is still who it was, and may still do it. */
bool approval_may_still(struct authority *a, const struct approval *p);

/* ---- approvals_show.c ---- */
/* The one of this id, if `by` sees it: on record, and about its tenant; or NULL. */
struct approval *approval_find(const struct key *by, struct span id);
/* The members of the one that an act of this kind is about, as its answer. */
MUST_USE struct status approval_put_asked(struct admin_op *op, struct json_writer *w);

#endif
