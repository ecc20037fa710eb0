/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUTHORITY_APPROVALS_H
#define AUTHORITY_APPROVALS_H

/* Acts that wait for a second person: approvals.c (their life), approvals_show.c (what is told). */
#include "admin_op.h"

#define APPROVALS_MAX 256
#define APPROVAL_ID_LEN 16

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
	uint8_t asker[SUBJECT_LEN];           /* that person's: a namesake is another one */
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

extern struct approval approvals[APPROVALS_MAX];

static inline bool
approval_has_ended(const struct approval *p)
{
	return p->state >= DOING;
}
/* The one of this id, if `by` sees it: on record, and about its tenant; or NULL. */
struct approval *approval_find(const struct key *by, struct span id);
bool approval_is_by(const struct approval *p, const struct admin_call *c);
/* The members of the one that an act of this kind is about, as its answer. */
MUST_USE struct status approval_put_asked(struct admin_op *op, struct json_writer *w);

#endif
