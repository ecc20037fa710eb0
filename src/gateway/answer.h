/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_ANSWER_H
#define GATEWAY_ANSWER_H

/*
 * A provider's answers during one turn: which bytes the client may see at once,
 * which wait until the turn is settled, which tool calls are ours, and what it cost.
 * Pure. The provider is hostile: any text may come, in pieces of any size.
 */
#include <http/sse.h>
#include <json/json.h>

#include "bounds.h"
#include "dialect.h"
#include "toolcall.h"

enum answer_next {
	ANSWER_FINAL = 1, /* the turn ends with what is held */
	ANSWER_RUN,       /* calls of ours are to be run, then the model is asked again */
};

/* One event for the client; without a name when that is empty. */
typedef struct status answer_emit(void *ctx, struct span name, struct span json);

/* What some of the tokens were, as the provider says: parts of those in and out. */
struct token_details {
	uint32_t cached;        /* in: read from its cache */
	uint32_t cache_written; /* in: written to it, where that costs extra */
	uint32_t reasoning;     /* out */
};

struct answer {
	const struct dialect *dialect;
	const struct prompt *prompt;
	bool ours; /* tools of ours are in play: named by the client, attached, or offered */
	answer_emit *emit;
	void *ctx;
	struct json_doc *doc; /* the worker's; used within one call only */
	void *own;            /* the dialect's */
	/* this model call */
	struct sse_reader sse;
	struct toolcalls calls;
	struct buf whole; /* not streamed: the body */
	struct buf held;  /* events for the end: lengths and texts */
	bool ended;       /* nothing more is read */
	bool finished;    /* the model said that it is done */
	bool runnable;    /* and its calls are whole */
	bool usage_seen;
	uint64_t text_len; /* bytes of text and arguments, for an estimate */
	/* the whole turn */
	uint32_t step;                  /* model calls before this one */
	uint32_t before_in, before_out; /* tokens of those */
	uint32_t tokens_in, tokens_out; /* and with this one's, as soon as it is known */
	struct token_details before_details, details;
	bool estimated;
	struct buf scratch;
};

/* How the worker's document for providers' texts is to be made. */
extern const struct json_opts answer_json_opts;

/* ---- for the turn ---- */

/* Before the first model call of a turn; `a` is zeroed or was used before. E_NOMEM. */
MUST_USE struct status answer_start(struct answer *a, const struct dialect *dialect,
    const struct prompt *prompt, struct arena *arena, struct json_doc *doc);
/* The turn is over: the arena may go. Memory of its own is kept. */
void answer_over(struct answer *a);
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
/*
 * The call ends before its answer does: what was asked and said so far, where its provider has
 * not counted more.
 */
void answer_cut(struct answer *a, uint32_t body_len);
/* A whole answer that goes to the client as it came, a->whole: nothing to splice. */
bool answer_is_verbatim(const struct answer *a);
/* The held end of the answer. Streamed: emits events. Whole: appends the body to `out`. */
MUST_USE struct status answer_release(struct answer *a, struct buf *out);
/* Tokens that a text of `len` bytes has, about. */
uint32_t answer_estimate(uint64_t len);

/* ---- for dialects: the events of an answer, in the turn's own terms ---- */

/* Text, reasoning, arguments: bytes as written. Calls go into a->calls (toolcall.h). */
void answer_said(struct answer *a, uint64_t text_len);
/*
 * The provider's count of this model call: members `in` and `out` (NULL: has none) of the
 * object `usage`. It may come again with newer numbers. Without one of them the count is
 * ours. E_PROTO: other than numbers.
 */
MUST_USE struct status answer_usage(
    struct answer *a, uint32_t usage, const char *in, const char *out);
/* The same, read already. */
void answer_count(struct answer *a, uint32_t in, uint32_t out);
/* What some of this call's tokens were; the newest word counts. */
void answer_details(struct answer *a, const struct token_details *d);
/* The number `name` of the object `group` in `usage`; 0: there is none that makes sense. */
uint32_t answer_detail(const struct answer *a, uint32_t usage, const char *group, const char *name);
/* The model is done; `runnable`: its calls are whole and meant to be run. */
void answer_finished(struct answer *a, bool runnable);
/* The client sees it now, or when the turn is settled. */
MUST_USE struct status answer_show(struct answer *a, struct span name, struct span json);
MUST_USE struct status answer_hold(struct answer *a, struct span name, struct span json);
/* The next held event, from the front of *rest (at first buf_span(&a->held)). */
bool answer_next_held(struct span *rest, struct span *ret_name, struct span *ret_json);

#endif
