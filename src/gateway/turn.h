/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_TURN_H
#define GATEWAY_TURN_H

/*
 * From admission to settlement: model, code, sandbox, model … as one table of
 * states and events. Requests without a turn (models, refused ones) use its
 * first state only.
 */
#include <wire/gateway_authority.h>

#include "answer.h"
#include "call.h"
#include "run.h"
#include "timeout.h"
#include "tool_set.h"

enum turn_state {
	TURN_IDLE,
	TURN_ADMIT,       /* asked the authority */
	TURN_MODEL,       /* the model answers */
	TURN_GRANT_RUN,   /* asked for a run */
	TURN_RUN,         /* the sandbox runs */
	TURN_TOOLS,       /* several calls of users' tools run */
	TURN_GRANT_MODEL, /* asked for the next model call */
	TURN_LOAD,        /* the store reads what the turn goes on from */
	TURN_GRANT_SAVE,  /* asked for the response to be kept */
	TURN_SAVE,        /* the store keeps it */
	TURN_SETTLE,      /* waiting for the durable end */
	TURN_STATES,
};

enum turn_event {
	TURN_GO,         /* admitted or granted */
	TURN_ATTACH,     /* admit again, with the policy's tool or those of users */
	TURN_ANSWERED,   /* the model's answer is the last, or the run is all there is */
	TURN_NEXT_RUN,   /* a call of ours is next */
	TURN_NEXT_TOOLS, /* several calls of users' tools are next */
	TURN_NEXT_MODEL, /* all calls were run, or what was before is there */
	TURN_NEXT_LOAD,  /* admitted, and something was before */
	TURN_NEXT_SAVE,  /* the last answer is there, and is to be kept */
	TURN_SETTLED,
	TURN_FAIL, /* t->error says why */
	TURN_EVENTS,
};

enum turn_kind {
	KIND_MODEL,
	KIND_EXECUTE,
	KIND_PUSH,
	KIND_CALL,
	KIND_CONTENT,
	KIND_PLAIN,
	KIND_COUNT
};

struct keep;
struct request;
struct sides;
struct turn;

struct turn_move {
	bool allowed;
	enum turn_state to;
	void (*act)(struct turn *t); /* NULL: nothing to do */
};

struct turn {
	struct request *r;
	enum turn_kind kind;
	enum turn_state state;
	enum error error; /* ends the turn early; the first one counts */
	uint64_t id;      /* the authority's; 0: none */
	uint64_t call_id; /* call to the authority under way; 0: none */
	bool revoked;     /* the authority ended it: nothing to settle */
	struct timeout timer;
	struct ga_admit admit;
	struct ga_admitted admitted; /* without its spans */
	uint8_t grant[GRANT_LEN];

	/* a request to a model */
	struct prompt *prompt; /* in the request's arena; NULL: not read */
	uint32_t model_off;    /* in body */
	struct buf body;       /* the provider's, until it is sent */
	uint32_t body_len;
	struct buf more; /* of the steps so far, for the next body */
	struct answer answer;
	struct call call;
	struct buf upstream; /* body of a provider's error */
	uint16_t upstream_status;
	bool attach;
	struct tool_offers offered;         /* users' tools that are in the body */
	struct buf tools;                   /* as they stand there */
	size_t next_call;                   /* of answer.calls */
	const struct tool_offer *step_tool; /* that it calls; NULL: code */
	struct sides *sides;                /* calls that run at once; NULL: there were none yet */
	struct toolcall_args args;
	const char *misfit; /* why its arguments do not fit: told once recorded; NULL: they do */
	uint32_t steps_taken;
	size_t output_len; /* of all runs, bytes */
	size_t answer_len; /* of this model call, bytes */

	/* that, and a call of a tool */
	struct tool_set *tool_set; /* NULL: nothing is known of the key's tools */
	struct tool_offers offers; /* of that */
	uint32_t readmitted;       /* how often */
	struct span arguments;     /* of a call, in the request's body */
	uint8_t sandbox;           /* of a tool that is uploaded: enum tool_sandbox, 0: not told */

	/* that and execute */
	bool stream; /* the client wants events */
	struct run run;
	struct timeout run_timer;
	uint64_t run_ms; /* its own limit */
	uint8_t digest[DIGEST_LEN];
	char run_id[64];

	struct keep *keep; /* what is kept for its user; NULL: nothing yet */
};

extern const struct turn_move turn_moves[KIND_COUNT][TURN_STATES][TURN_EVENTS];

void turn_init(struct turn *t, struct request *r);
void turn_free(struct turn *t);
void turn_reset(struct turn *t); /* keeps memory */
/* Send t->admit; r->id, source and credential are filled in here. */
void turn_admit(struct turn *t, enum turn_kind kind);
/* Tell the authority of a request that is bad in itself, then answer with its error. */
void turn_refuse(struct turn *t, enum error error);
void turn_event(struct turn *t, enum turn_event event);
/*
 * Take what is known of its key's tools since an earlier request. A call: by name and version; else
 * with the bits of enum ga_tools that the client names. False: nothing is known.
 */
bool turn_guess_tools(struct turn *t, struct span name, uint32_t version);
/* Of tools it knows nothing any more. */
void turn_drop_tools(struct turn *t);
void turn_fail(struct turn *t, enum error error);
void turn_writable(struct turn *t);
/* The authority ended it. */
void turn_revoke(struct turn *t, enum error error);
/* Ask for the next effect: TURN_GO or a failure follows. */
void turn_step(struct turn *t, const struct ga_step *step);
bool turn_room(void *turn);
/* The prepared run begins: TURN_FAIL follows when the executor does not end it in time. */
void turn_start_run(struct turn *t);
void turn_run_ended(struct turn *t);
/* actions of the table */
void turn_settle(struct turn *t);
void turn_finish(struct turn *t);

/* loop.c, step.c: actions of KIND_MODEL */
void loop_admit_again(struct turn *t);
void loop_ask(struct turn *t);
void step_grant(struct turn *t);
void step_start(struct turn *t);
void sides_start(struct turn *t);
void loop_grant_model(struct turn *t);
void loop_finish(struct turn *t);
/* The authority refused a run: true if the model is told and the turn goes on. */
bool step_refused(struct turn *t, enum error error);
/* tools.c: of a run that is answered whole, at its end */
void tool_run_started(struct run *run, void *ctx);
void tool_run_output(struct run *run, bool err, struct span text, void *ctx);
void tool_run_done(struct run *run, void *ctx);
/* tool_push.c, tool_call.c: actions of KIND_PUSH and KIND_CALL */
void tool_push_start(struct turn *t);
void tool_push_finish(struct turn *t);
void tool_call_again(struct turn *t);
void tool_call_start(struct turn *t);
void tool_call_finish(struct turn *t);
/* keep.c: actions of KIND_CONTENT */
void keep_again(struct turn *t);
void keep_start(struct turn *t);
void keep_finish(struct turn *t);
/* history.c: actions of KIND_MODEL */
void history_load(struct turn *t);
void history_grant_model(struct turn *t);
void history_grant_save(struct turn *t);
void history_save(struct turn *t);
/* execute.c: actions of KIND_EXECUTE */
void execute_start(struct turn *t);
void execute_finish(struct turn *t);

#endif
