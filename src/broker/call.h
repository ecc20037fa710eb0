/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_CALL_H
#define BROKER_CALL_H

/*
 * One model call: call.c has the gateway's side (stream, grant, body, end),
 * attempt.c the provider's (which entry, credential, connection, exchange).
 */
#include "broker.h"

#define MODEL_TEXT_MAX (6 * MODEL_MAX + 2) /* as JSON, every byte escaped */
#define CALL_BODY_FIRST_MAX (256U << 10)   /* room for a body when its first bytes come */
#define CALL_STALE_MAX 4                   /* in one try */
#define CALL_RETRY_MS 15000                /* after so long nothing is tried again */
#define CALL_PAUSE_MIN_MS 250U             /* before the second round: at most; then it doubles */
#define CALL_PAUSE_MAX_MS 4000U
/* All pauses of one call; where a retry-after would make it more, the client is told instead. */
#define CALL_WAIT_MAX_MS 5000U

struct pause; /* a timer that outlives its call */

/* What goes out beside the body. Like it, kept until the head of an answer is accepted. */
struct call_out {
	struct gb_open open;              /* its spans point to `versions` */
	struct exchange_request request;  /* its head */
	char target[PROVIDER_TARGET_MAX]; /* of the request */
	struct buf model;                 /* the provider's name of it, as JSON */
	uint8_t versions[];
};

struct call {
	LIST_ENTRY(call) entry;
	struct broker *b;
	struct stream *stream; /* NULL: gone */
	struct held_grant grant;
	struct sha256_ctx *sha;        /* until the body is whole */
	struct buf body;               /* until the head of an answer is accepted */
	struct call_out *out;          /* the same; NULL: it was */
	bool answered;                 /* HEAD was sent */
	bool done;                     /* the authority was told */
	struct grant_wait *grant_wait; /* it is on its way */
	bool granted;
	bool ended;        /* before it came: the whole body is here */
	size_t unconsumed; /* of the body, before it came: no credit was given back */

	/* attempt.c */
	struct route route;
	unsigned at;      /* of route.entries: the one that is asked */
	uint32_t useless; /* bits of entries that will not do in this call */
	unsigned tries;   /* exchanges begun */
	unsigned rounds;  /* through all entries */
	uint32_t waited_ms;
	uint64_t began_ms;
	unsigned stale; /* times that a connection was, in this try: then no kept one will do */
	bool refused;   /* the provider did not take the credential of the last try */
	bool last;      /* no further try */
	bool probing;   /* the breaker waits for how this try ends */
	struct credential_tried tried;      /* with references */
	struct credential_version *version; /* of this exchange */
	struct credential_version *other;   /* is not to come back either; NULL: there is none */
	struct credential_wait *credential_wait;
	struct upstream_wait *upstream_wait;
	struct exchange *exchange; /* while one lasts */
	struct pause *pause;
	struct buf held; /* end of the answer so far that may be the beginning of a secret */
	uint16_t http_status;
	char upstream_id[UPSTREAM_ID_MAX + 1]; /* what the provider calls the request */
	uint64_t bytes_in, bytes_out;
};

/* attempt.c */
/* The body is whole: ask the first entry. */
void attempt_begin(struct call *c);
/* Room for the answer came back. */
void attempt_resume(struct call *c);
/* Stop what is under way and give back what was taken; safe at any time. */
void attempt_stop(struct call *c);
/* With all that it still holds. */
void attempt_free(struct call *c);
/* What the authority is to know of the last exchange; spans are borrowed from `c`. */
void attempt_describe(const struct call *c, struct ab_done *ret);

/* The current entry: from its credential on. */
void attempt_ask(struct call *c);

/* retry.c */
/* What follows a failed try. */
struct plan {
	unsigned at;
	uint32_t pause_ms;
	bool new_round;
};

static inline struct provider *
call_provider(const struct call *c)
{
	return c->route.entries[c->at].provider;
}

static inline uint64_t
call_now(const struct call *c)
{
	return uv_now(c->b->d->loop);
}

/* Do the breakers of entry `at` let this call through? */
static inline bool
call_passes(const struct call *c, unsigned at)
{
	return breakers_pass(
	    &c->route.entries[at].provider->breakers, c->grant.tenant, call_now(c));
}

/* How the try went, for the tenant's breaker at its provider; once it is good or bad, that stays.
 */
void attempt_outcome(struct call *c, enum outcome o);
/* The next entry at once; after the last one all again, later. False: it was the last try. */
bool attempt_plan(const struct call *c, uint32_t wait_ms, struct plan *ret);
void attempt_follow(struct call *c, const struct plan *plan, enum error why);
/* State: nothing of an answer was passed on. Another try, or the end. */
void attempt_failed(struct call *c, enum error why, uint32_t wait_ms);
/* To the authority: the try that was, and that another follows. */
void attempt_tell(const struct call *c, enum error why);
void attempt_drop_exchange(struct call *c);
void attempt_forget_tried(struct call *c);

/* call.c */
/* The end, told to gateway and authority; `c` may be gone afterwards. */
void call_fail(struct call *c, enum error why);
void call_finish(struct call *c);
/* pause.c: `over` runs once after `ms`, unless the pause is ended before. E_NOMEM. */
MUST_USE struct status call_pause(struct call *c, uint32_t ms, void (*over)(struct call *c));
void call_pause_end(struct call *c);
/* Nothing is sent again. */
void call_drop_request(struct call *c);

#endif
