/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_DIALECT_H
#define GATEWAY_DIALECT_H

/*
 * One module a dialect: how a request of it is read and forwarded, how its
 * provider's answer is understood, and how both are shown to the client. The turn
 * (loop.c, step.c) works on what answer.h collects and knows no dialect.
 *
 * The same dialect is spoken on both sides: bytes go out as they came, but for
 * the named edits of its module. A dialect does no I/O and keeps no state but a
 * prompt (the request) and its own part of an answer, both in the request's arena.
 * Without tools (embeddings) all members but read, write and whole may be NULL.
 */
#include <json/json.h>
#include <wire/errors.h>

struct answer;
struct content_item;
struct dialect;
struct json_writer;
struct manifest;
struct request;
struct run;
struct tool_offer;
struct tool_result;

/* What is wrong with a request, beyond its schema. */
struct fault {
	enum error error; /* ERROR_INVALID_FIELD */
	const char *message;
	uint32_t tok; /* the value to blame */
};

/* A request to a model. A dialect embeds it as the first member of its own struct. */
struct prompt {
	struct span body;       /* the client's bytes, borrowed */
	struct span model;      /* the alias, in the arena or the body */
	struct span model_part; /* its JSON text in body */
	bool stream;            /* the client wants events */
	bool interpreter;       /* it names our tool */
	bool attachable;        /* the policy's tool could be added */
	bool offerable;         /* and users' tools */
	/* What is kept. All empty where a dialect knows nothing of it. */
	uint8_t store;            /* enum content_store */
	struct span previous;     /* the response that it goes on from, in the arena */
	struct span conversation; /* the same */
	bool told;                /* tell() was: answers are not verbatim */
};

/* What is added to the client's bytes, beyond what the dialect does to all of them. */
struct edits {
	bool attach;      /* our tool, though the client did not name it */
	struct span more; /* what put_calls and put_result wrote of earlier steps; empty at first */
	struct span before; /* items of put_history; empty: none */
	struct span tools;  /* users' tools, as put_tool wrote them, with commas between */
};

enum step_event { STEP_STARTED, STEP_STDOUT, STEP_STDERR, STEP_RESULT };

/* One call of our tool. A call that could not be run has a RESULT only. */
struct step {
	uint32_t index; /* 0, 1, … over the whole turn */
	size_t call;    /* of answer.calls */
	size_t calls;   /* how many the answer has: all are ours */
	const char *id; /* of the run */
	struct span language, code;
	const struct run *run;
	/* A call of a user's tool instead of code: */
	const struct tool_offer *tool;    /* NULL: it is none */
	struct span arguments;            /* as the model wrote them */
	const struct tool_result *result; /* with RESULT; NULL: it could not be run */
};

struct dialect {
	const char *name;
	size_t answer_size;      /* of answer.own */
	size_t event_max;        /* bytes of one event, and of what is held; 0: EVENT_MAX */
	const char *end_mark;    /* data of the last event of a stream; NULL: none */
	const char *error_event; /* name of the event of an error in a stream; NULL: unnamed */

	/* ---- the request ---- */
	/*
	 * A body that conforms to the route's schema. E_SYNTAX: *fault says what it may not
	 * be. E_NOMEM. `d` is needed no more afterwards.
	 */
	struct status (*read)(
	    const struct json_doc *d, struct arena *a, struct prompt **ret, struct fault *fault);
	/*
	 * Append the provider's body. *ret_model_off is where the alias stands in it, in quotes:
	 * the broker puts the provider's own name of the model there. E_FULL, E_NOMEM.
	 */
	struct status (*write)(const struct prompt *p, const struct edits *e, struct buf *out,
	    uint32_t *ret_model_off);

	/*
	 * Where the dialect knows of kept responses, else NULL. The items that are kept, as the
	 * provider takes them, with commas between (E_FULL, E_NOMEM, E_SYNTAX; E_DENIED: they
	 * name what only a provider may have); what all answers
	 * tell of keeping this one: `id` is its name, empty: it is not kept; the response object
	 * as its client will see it, at the end of the turn.
	 */
	struct status (*put_history)(struct json_doc *d, const struct content_item *items,
	    uint32_t count, struct arena *a, struct span *ret);
	struct status (*tell)(struct prompt *p, struct arena *a, struct span id);
	struct status (*final)(struct answer *a, struct buf *out);

	/* One user's tool as a function in the list of tools; NULL: none are offered. */
	void (*put_tool)(const struct manifest *m, struct json_writer *w);

	/*
	 * ---- the provider's answer: E_PROTO (nonsense, an error), E_AGAIN (it says that it is
	 * overloaded), E_FULL, E_NOMEM ----
	 */
	void (*start)(struct answer *a); /* a->own is zeroed; limits of its bufs */
	void (*again)(struct answer *a); /* before each model call but the first */
	void (*done)(struct answer *a);  /* gives back what a->own holds */
	/* One event of the stream; a->doc is its data, parsed. */
	struct status (*event)(struct answer *a, struct span name);
	/* The whole body, streams aside; a->doc is parsed from a->whole. */
	struct status (*whole)(struct answer *a);
	/* The stream is complete and so is the turn: show what was kept back. May be NULL. */
	struct status (*last)(struct answer *a);

	/* ---- steps ---- */
	/* Of this answer, for the next body: the model's own words and its calls. */
	struct status (*put_calls)(const struct answer *a, struct buf *out);
	/* And the result of each call, in order. `text` is what the model is told, stripped. */
	struct status (*put_result)(
	    const struct answer *a, const struct step *s, struct span text, struct buf *out);
	/*
	 * To the client. STARTED, STDOUT, STDERR come in streams only; `text` is the output's.
	 * RESULT comes once a step; what the end of the answer tells of it is kept in a->own.
	 */
	struct status (*show)(
	    struct answer *a, const struct step *s, enum step_event event, struct span text);

	/* ---- the end, once it is durable ---- */
	/* Streamed: emit what is held. Whole: append the body to `out`. */
	struct status (*release)(struct answer *a, struct buf *out);
	/* The data of an error event; NULL: the error object of the route's style. */
	struct status (*put_error)(
	    struct answer *a, const struct request *r, enum error error, struct buf *out);
};

extern const struct dialect dialect_chat, dialect_embeddings, dialect_responses;
extern const struct dialect dialect_messages, dialect_count_tokens;

#endif
