/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_ANSWER_H
#define GATEWAY_ANSWER_H

/*
 * A provider's answers during one turn: which bytes the client may see at once,
 * which wait until the turn is settled, and which tool calls are ours. Pure.
 * The provider is hostile: any text may come, in pieces of any size.
 */
#include <http/sse.h>
#include <json/json.h>

#include "bounds.h"
#include "toolcall.h"

#define ANSWER_ID_MAX 512 /* bytes of "id", "created", "model" as written */

enum answer_next {
	ANSWER_FINAL = 1, /* the turn ends with what is held */
	ANSWER_RUN,       /* calls of ours are to be run, then the model is asked again */
};

/* One event for the client: a JSON text. */
typedef struct status answer_emit(void *ctx, struct span json);

struct answer {
	/* what the client asked for */
	bool stream, usage, interpreter;
	answer_emit *emit;
	void *ctx;
	/* this model call */
	struct sse_reader sse;
	struct toolcalls calls;
	struct buf text;  /* the assistant's text, for the next call's messages */
	struct buf whole; /* not streamed: the body */
	struct buf held;  /* u32 length and JSON text, again and again */
	bool ended;       /* [DONE], or the whole body was read */
	bool finished;    /* a finish_reason came */
	bool runnable;    /* and it is one after which calls are run */
	bool usage_seen;
	/* the whole turn */
	uint32_t step;                 /* model calls before this one */
	struct buf id, created, model; /* of the first chunk, as written */
	uint32_t tokens_in, tokens_out;
	uint64_t text_len; /* bytes of text and arguments in this call, for an estimate */
	bool estimated;
	struct json_doc *doc; /* the worker's; used within one call only */
	struct buf scratch;
};

/* How the worker's document for providers' texts is to be made. */
extern const struct json_opts answer_json_opts;

/* Before the first model call of a turn; `a` is zeroed or was used before. */
void answer_start(struct answer *a, struct json_doc *doc, answer_emit *emit, void *ctx);
void answer_done(struct answer *a);
/* Before each model call but the first. */
void answer_again(struct answer *a);
/*
 * Bytes of the provider's body. E_PROTO: nonsense or an error of the provider;
 * E_FULL: over a limit; E_NOMEM; or what emit returned.
 */
MUST_USE struct status answer_feed(struct answer *a, struct span bytes);
/* The body is complete; tokens are counted. Same errors. */
MUST_USE struct status answer_end(struct answer *a, uint32_t body_len, enum answer_next *ret);
/* The message of this answer with our calls, for the next body: ,{"role":"assistant",… */
MUST_USE struct status answer_put_message(const struct answer *a, struct buf *out);
/* "id", "object", "created", "model" of a chunk of ours, into an open object. */
void answer_put_head(const struct answer *a, struct json_writer *w);
/* A whole answer that goes to the client as it came, a->whole: nothing to splice. */
bool answer_is_verbatim(const struct answer *a);
/*
 * The held end of the answer. `steps` is the inside of sallyport.steps, used when
 * the interpreter is on. Streamed: emits events. Whole: appends the body to `out`.
 */
MUST_USE struct status answer_release(struct answer *a, struct span steps, struct buf *out);

#endif
