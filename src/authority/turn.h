/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUTHORITY_TURN_H
#define AUTHORITY_TURN_H

/*
 * A turn is one request of a client, from ADMIT to SETTLE. What may happen to
 * it in which state is one table (turn.c); an event that has no handler there
 * is a gateway that breaks the protocol.
 */
#include <sys/queue.h>

#include <base/status.h>
#include <wire/authority_broker.h>
#include <wire/authority_executor.h>
#include <wire/gateway_authority.h>

#include "quota.h"
#include "record.h"

#define TURNS_MAX 65536
#define TURNS_PER_GATEWAY_MAX 32768
#define TURN_SAVES_MAX 2 /* of one turn: its response, and once more where that was in doubt */

enum turn_state {
	TURN_FREE,
	TURN_ANSWERING,    /* a request that ends with its answer; its records are under way */
	TURN_ADMITTING,    /* intent under way */
	TURN_RUNNING,      /* the gateway has it */
	TURN_STEP_WAIT,    /* STEP came; an earlier effect is still open */
	TURN_STEP_AUDIT,   /* STEP's records are under way */
	TURN_SETTLE_WAIT,  /* SETTLE came; a run is still open */
	TURN_SETTLE_AUDIT, /* the last records are under way */
	TURN_ENDING,       /* ended by us: waits until nothing runs any more */
	TURN_CLOSING,      /* nothing runs; its intents are being closed */
	TURN_STATE_COUNT
};

enum turn_event {
	TURN_EV_STEP, /* from the gateway */
	TURN_EV_SETTLE,
	TURN_EV_RUN_DONE, /* the open run has ended, or its executor */
	TURN_EV_MODEL_DONE,
	TURN_EV_DURABLE, /* the append under way is durable */
	TURN_EV_REFUSED, /* … failed */
	TURN_EV_END,     /* end it now */
	TURN_EV_ACKS,    /* the last answer to REVOKE and TURN_END came */
	TURN_EV_EXPIRED, /* wait_until_ms is over */
	TURN_EVENT_COUNT
};

/* What came with an event. */
struct turn_arg {
	const void *msg;
	uint64_t id;        /* of the gateway's call */
	uint64_t first_seq; /* DURABLE */
	enum error error;   /* END */
	enum audit_cause cause;
};

enum turn_append {
	APPEND_NONE,
	APPEND_ANSWER,
	APPEND_ADMIT,
	APPEND_STEP,
	APPEND_SETTLE,
	APPEND_CLOSE
};

enum run_kind {
	RUN_OF_CODE,    /* by the executor */
	RUN_OF_TOOL,    /* a user's tool, by the executor */
	RUN_OF_BUILD,   /* a new version of a tool, by executor and store */
	RUN_OF_CHANGE,  /* what is kept of a tool, by the store */
	RUN_OF_CONTENT, /* what is kept for a user, by the store for a gateway */
};

/* A granted effect of executor or store, until its outcome is in the log. */
struct run {
	bool open;    /* its intent is in the log, its outcome is not */
	bool granted; /* executor or store has the grant, or the store was asked */
	bool done;    /* the result is known */
	bool unknown;
	bool storing; /* BUILD: the store has it, and has not answered */
	bool closing; /* its outcome is in the append under way */
	enum run_kind kind;
	uint8_t grant[GRANT_LEN];
	uint64_t intent_seq;
	char language[LANGUAGE_MAX + 1]; /* CODE */
	char name[TOOL_MAX + 1];         /* of the tool */
	struct tool_version *tool;       /* TOOL, CHANGE: held */
	struct tool_use use;             /* TOOL: as it is granted; the others: `version` alone */
	uint8_t tool_digest[DIGEST_LEN]; /* of that version; zero: none */
	uint8_t mark;                    /* CHANGE: enum as_tool_marks; 0: it is removed */
	bool all;                        /* … in all its versions */
	uint8_t parts;                   /* BUILD: enum tool_parts */
	uint8_t content_op;              /* CONTENT: enum content_op */
	uint8_t content_kind;            /* … enum content_kind */
	char content_id[CONTENT_ID_MAX + 1];   /* … of the object; empty: of several */
	char content_name[CONTENT_ID_MAX + 1]; /* … in the log */
	uint32_t content_items;                /* … that were read or written */
	uint64_t content_size;                 /* … bytes of those */
	uint32_t size_bytes;
	uint8_t digest[DIGEST_LEN];
	enum audit_cause cause;
	enum error error;
	enum run_status status;
	uint32_t exit_code;
	uint32_t duration_ms;
};

/* A granted model call, until its outcome is in the log. */
struct model_call {
	bool open;    /* its intent is in the log, its outcome is not */
	bool granted; /* the broker has the grant */
	bool done;    /* how it ended is known */
	bool unknown;
	uint8_t grant[GRANT_LEN];
	uint64_t intent_seq;
	uint32_t number; /* of the turn's calls, from 1 */
	enum audit_cause cause;
	enum error error;
	uint16_t http_status;
	uint8_t attempts;
	uint32_t attempted; /* records of exchanges that were followed by another */
	char provider[PROVIDER_MAX + 1];
	char host[UPSTREAM_HOST_MAX + 1];
	char secret_version[SECRET_VERSION_MAX + 1];
	char upstream_id[UPSTREAM_ID_MAX + 1];
};

struct step {
	enum ga_step_kind kind;
	enum error refused; /* by the gateway, before it asked */
	enum error error;   /* refused: recorded, then told */
	bool known_language;
	struct run run;     /* RUN, TOOL: what will be granted */
	struct run *placed; /* where it is, once it is durable */
	uint32_t size_bytes;
	uint32_t body_len, model_off;
	uint8_t digest[DIGEST_LEN];
};

/* Calls of tools that one answer of a model asks for run side by side. */
#define TURN_PARALLEL_MAX 8
struct parallel {
	struct run runs[TURN_PARALLEL_MAX];
	struct {
		struct step step;
		uint64_t id;          /* of the gateway's call */
	} waiting[TURN_PARALLEL_MAX]; /* steps that came while another is under way */
	uint32_t nwaiting;
};

struct authority;
struct gateway;
struct link;
struct admin_op;

struct turn {
	TAILQ_ENTRY(turn) in_use; /* or in the list of free ones */
	TAILQ_ENTRY(turn) of_gateway;
	LIST_ENTRY(turn) of_key;
	struct authority *a;
	uint64_t id;
	enum turn_state state;
	uint8_t endpoint;
	uint8_t tools;      /* enum ga_tools that it may use */
	bool holds;         /* counts as running for key and user */
	bool told;          /* the gateway knows the turn */
	bool lease;         /* the executor may keep a lease for it */
	struct gateway *gw; /* NULL: gone */
	uint32_t gateway;   /* its peer id */
	struct key *key;    /* NULL: not authenticated */
	uint8_t request_id[REQUEST_ID_LEN];
	uint8_t source[SOURCE_LEN];
	char model[MODEL_MAX + 1];
	char tool[TOOL_MAX + 1];
	uint32_t tool_version; /* that the request names; 0: none */
	uint32_t body_len, model_off;
	uint8_t digest[DIGEST_LEN];
	uint64_t deadline_ms, wait_until_ms;
	uint32_t audit_epoch; /* of its open intents */
	enum turn_append append;
	uint32_t append_count;
	uint64_t intent_seq; /* of PromptSubmitted; 0: none is open */
	uint16_t reply_type; /* enum ga_type that the gateway waits for; 0: none */
	uint64_t reply_id;
	enum error error; /* ANSWERING: to be told */
	struct verdict verdict;
	bool counted; /* in its owner's rate, at counted_ms */
	uint64_t counted_ms;
	struct model_call model_call; /* the last one */
	struct run run;               /* code; or what the request is for */
	struct parallel *parallel;    /* calls of tools within the turn; NULL: none yet */
	struct step step;
	bool keeps, masks;     /* its response is kept; without credentials of others */
	bool loads;            /* began with LOAD: its first model call is a step, too */
	uint32_t runs, models; /* steps taken */
	uint32_t saves;
	enum error end_error;
	enum audit_cause end_cause;
	uint32_t tokens_in, tokens_out;
	uint32_t tokens_cached, tokens_cache_written, tokens_reasoning; /* parts of them */
	bool tokens_estimated;
	uint64_t revoke_call;    /* id of GA_REVOKE; 0: none is open */
	uint32_t acks;           /* calls whose answer is awaited */
	struct admin_op *waiter; /* a revocation that waits for its end */
};

TAILQ_HEAD(turn_list, turn);

struct turns {
	struct turn *pool;
	struct turn_list in_use, unused;
	uint64_t next_serial; /* turn id = serial << 16 | slot */
	uint64_t first_serial;
	uint32_t n;
};

typedef bool turn_handler(struct turn *t, const struct turn_arg *arg);

MUST_USE struct status turns_init(struct authority *a);
void turns_done(struct authority *a);
void turns_tick(struct authority *a);
/* E_FULL. `gw` is alive. */
MUST_USE struct status turn_new(struct gateway *gw, struct key *key, struct turn **ret);
/* Nothing waits for it any more: no append, no acks. */
void turn_free(struct turn *t);
/* The turn runs nothing any more: limits are given back, a revocation hears it. */
void turn_release(struct turn *t);
struct turn *turn_find(struct authority *a, uint64_t id);
/* An id that some turn of this process had, which is over. */
bool turn_is_past(const struct authority *a, uint64_t id);
/* False: the event is not allowed now. */
bool turn_event(struct turn *t, enum turn_event ev, const struct turn_arg *arg);
turn_handler *turn_handler_of(enum turn_state state, enum turn_event ev);
/* Answer what the gateway waits for, if it waits. */
void turn_answer(struct turn *t, enum error error);
void turn_expect(struct turn *t, uint16_t reply_type, uint64_t reply_id);
/* Whom its records are about; the sealed source is made on the way. E_… of sealer_source(). */
MUST_USE struct status turn_who(struct turn *t, struct record_who *who);
/* Append `b` for the turn. */
MUST_USE struct status turn_append_batch(struct turn *t, struct batch *b, enum turn_append what);
/* ---- runs.c ---- */
/* All runs of the turn: 0 .. turn_run_count() - 1. */
size_t turn_run_count(const struct turn *t);
struct run *turn_run_at(struct turn *t, size_t i);
/* One of the turn's runs is at work. */
bool turn_runs_open(const struct turn *t);
/* One of them, whether at work or not, has no outcome yet. */
bool turn_runs_unrecorded(const struct turn *t);
/* Those that are at work end now, as this. */
void turn_runs_end(struct turn *t, bool unknown, enum error error, enum audit_cause cause);
/* Not knowing what became of those that are at work. */
void turn_runs_doubt(struct turn *t);
void turn_put_run_intent(
    struct turn *t, const struct run *r, struct batch *b, const struct record_who *who);
/* The outcomes of those that are done, or of all. */
void turn_put_run_outcomes(struct turn *t, struct batch *b, const struct record_who *who, bool all);
/* The append that had outcomes is durable, or was refused. */
void turn_runs_recorded(struct turn *t, bool durable);
/* `r` becomes a call of that version, which it holds. ERROR_TOOL_SANDBOX. */
enum error turn_run_of_tool(struct turn *t, struct run *r, struct tool_version *v);
/* A place for one more; NULL: none is free now. E_NOMEM is NULL, too. */
struct run *turn_run_place(struct turn *t);
bool turn_run_has_place(const struct turn *t);
void turn_run_clear(struct turn *t, struct run *r);
void turn_runs_free(struct turn *t);
/* One that executor or store (`content`) is at work on. */
bool turn_runs_open_of(const struct turn *t, bool content);
/* What the turn is about: "KIND:NAME" of the records of its end. */
struct span turn_resource(const struct turn *t, const char **ret_kind);
/* The number of the model call that comes next, from 1. */
uint32_t turn_model_number(const struct turn *t);
/* ---- keeping.c ---- */
/* Is the response kept, and may the body hold what it does? Into t->keeps and t->masks. */
enum error keeping_decide(struct turn *t, const struct ga_admit *m);
/* What is to be kept must come without credentials of others. */
bool keeping_asks_anew(const struct policy *p, const struct ga_admit *m);
/* ---- content.c ---- */
/* May this operation be asked for at this endpoint? False: the gateway breaks the protocol. */
bool content_is_due(const struct ga_admit *m);
/* Such an id may be one of ours, and may stand in the log. */
bool content_id_ok(struct span id);
void turn_run_of_content(struct run *r, const struct user *u, uint8_t op, uint8_t kind,
    struct span id, uint32_t body_len);
/* The resource of its records: the id, if it is one that we made, or a keyed hash of it. */
struct span content_resource(const struct run *r);
/* The intent and the outcome of a model call; the latter of the open one. */
void turn_put_model_intent(struct turn *t, struct batch *b, const struct record_who *who,
    uint32_t number, uint32_t size_bytes, const uint8_t digest[DIGEST_LEN]);
void turn_put_model_outcome(struct turn *t, struct batch *b, const struct record_who *who);
void turn_put_error(struct batch *b, const struct record_who *who, enum error error,
    struct span resource, const char *kind);
/* True when the intents of this turn were closed by the audit process itself. */
bool turn_intents_lost(const struct turn *t);
/* DURABLE for whatever was under way: note seqs of intents. */
void turn_note_durable(struct turn *t, uint64_t first_seq);
/* END from outside. */
void turn_end(struct turn *t, enum error error, enum audit_cause cause);
const char *endpoint_name(uint8_t endpoint);

/* The broker may be at work for it. */
static inline bool
turn_model_runs(const struct turn *t)
{
	return t->model_call.granted && !t->model_call.done;
}

static inline bool
turn_effect_is_open(const struct turn *t)
{
	return turn_model_runs(t) || turn_runs_open(t);
}

static inline bool
turn_asks_model(const struct turn *t)
{
	return endpoint_rows[t->endpoint].asks_model;
}

/* Handlers of the table. */
turn_handler answer_durable, answer_refused, answer_end, answer_expired;
turn_handler admit_durable, admit_refused, admit_end, admit_expired;
turn_handler step_begin, step_queue, step_waited, step_durable, step_refused, step_expired;
turn_handler settle_begin, settle_waited, settle_late, settle_durable, settle_refused,
    settle_expired, settle_end;
turn_handler end_running, end_expired, ending_acks, ending_append, ending_expired, ending_late_step,
    ending_late_settle;
turn_handler closing_durable, closing_refused, closing_acks, closing_expired;
turn_handler turn_ignore;

/* step.c: the next step that waits, if one does; or an answer to all that wait. */
void step_next(struct turn *t);
void step_refuse_waiting(struct turn *t, enum error error);
/* settle.c: a request whose effect is the store's alone is over. */
void settle_change(struct turn *t);
/* ending.c: also used by settle.c */
uint32_t ending_call_broker(struct turn *t);
uint32_t ending_call_executor(struct turn *t);
uint32_t ending_call_store(struct turn *t);
void closing_begin(struct turn *t);

#endif
