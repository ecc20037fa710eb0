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
#define CALL_RETRY_MS 15000                /* after so long nothing is tried again */
#define CALL_PAUSE_MIN_MS 250U             /* before the second round: at most; then it doubles */
#define CALL_PAUSE_MAX_MS 4000U
#define CALL_WAIT_MAX_MS 5000 /* a longer retry-after is told to the client instead */

struct pause; /* a timer that outlives its call */

struct call {
	LIST_ENTRY(call) entry;
	struct broker *b;
	struct stream *stream; /* NULL: gone */
	struct held_grant grant;
	struct sha256_ctx *sha;
	struct buf body; /* until the head of an answer is accepted */
	struct gb_open open;
	uint8_t versions[ANTHROPIC_VERSION_MAX + ANTHROPIC_BETA_MAX]; /* open's spans point here */
	bool answered;                                                /* HEAD was sent */
	bool done;                                                    /* the authority was told */

	/* attempt.c */
	struct route route;
	unsigned at;      /* of route.entries: the one that is asked */
	uint32_t useless; /* bits of entries that will not do in this call */
	unsigned tries;   /* exchanges begun */
	unsigned rounds;  /* through all entries */
	uint64_t began_ms;
	bool fresh;   /* kept connections were stale */
	bool refused; /* the provider did not take the credential of the last try */
	bool last;    /* no further try */
	bool probing; /* the breaker waits for how it ends */
	struct credential_tried tried;      /* with references */
	struct credential_version *version; /* of this exchange */
	struct credential_wait *credential_wait;
	struct upstream_wait *upstream_wait;
	struct conn *conn; /* while an exchange lasts */
	struct pause *pause;
	struct buf head;  /* of the request */
	struct buf model; /* the provider's name of it, as JSON */
	struct buf held;  /* end of the answer so far that may be the beginning of a secret */
	uint16_t http_status;
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

/* call.c */
/* The end, told to gateway and authority; `c` may be gone afterwards. */
void call_fail(struct call *c, enum error why);
void call_finish(struct call *c);
void call_drop_body(struct call *c);

#endif
