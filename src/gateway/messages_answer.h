/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_MESSAGES_ANSWER_H
#define GATEWAY_MESSAGES_ANSWER_H

/*
 * What messages_answer.c (events), messages_block.c (blocks put together from
 * events), messages_whole.c (one body), messages_usage.c and messages_runs.c
 * (runs as blocks) share. a->doc is parsed.
 */
#include <base/clock.h>
#include <json/write.h>

#include "answer.h"
#include "messages.h"
#include "splice.h"

#define MESSAGES_ID_MAX 512 /* bytes of the first answer's "id" as written */

enum messages_kind { KIND_OTHER, KIND_TEXT, KIND_THINKING, KIND_INPUT };
enum messages_count { COUNT_IN, COUNT_OUT, COUNT_CACHE_NEW, COUNT_CACHE_READ, COUNTS };
extern const char *const messages_counts[COUNTS];

/* The block that a stream is in. */
struct messages_block {
	bool open, ours;
	enum messages_kind kind;
	uint32_t index;   /* of the provider: of this block, or of the next */
	uint32_t shown;   /* the client's */
	struct buf head;  /* content_block of its start, as written */
	struct buf text;  /* of its deltas: inside of a JSON string, or JSON */
	struct buf sign;  /* of its signature, inside of a JSON string */
	struct buf cites; /* of its citations: JSON objects, each after a comma but the first */
};

/* The dialect's part of an answer. */
struct messages_answer {
	/* this model call */
	struct messages_block block;
	struct buf said;         /* blocks of the model, for the next body */
	bool started, stopped;   /* message_start, message_stop came */
	bool unknown;            /* a delta that cannot be put together */
	bool runs_shown;         /* its calls are */
	bool bash[CALLS_MAX];    /* how */
	uint32_t counts[COUNTS]; /* what the provider counted */
	bool has_in, has_out;
	/* the whole turn */
	uint32_t shown; /* blocks that the client has */
	bool ran;
	uint64_t sums[COUNTS]; /* of the model calls before this one */
	struct buf content;    /* not streamed: blocks for the client, of earlier steps */
	struct buf id;         /* not streamed: of the first body */
	struct buf steps;      /* inside of sallyport.steps */
	char container[64];    /* of its sandbox */
};

static inline struct messages_answer *
messages_own(const struct answer *a)
{
	return a->own;
}

/* Texts that replace a provider's usage: they live until splices_put(). */
struct messages_sums {
	char text[COUNTS][24];
	char added[COUNTS][64];
};

/* Put one more JSON text behind others. E_FULL, E_NOMEM. */
MUST_USE struct status messages_add(struct buf *list, struct span json);

/* ---- messages_usage.c ---- */
/* E_PROTO: no object, an error, or a member that is ours. */
MUST_USE struct status messages_check_root(const struct json_doc *d);
/* The counts of "usage" in `object`: newer ones replace those before. E_PROTO. */
MUST_USE struct status messages_read_usage(struct answer *a, uint32_t object);
/* What the model says in a block or a delta: for an estimate. */
void messages_said(struct answer *a, uint32_t object);
/* Steps after the first: the usage of the whole turn. */
MUST_USE struct status messages_edit_usage(
    const struct answer *a, struct messages_sums *sums, struct splices *s);
/* Code ran in a sandbox. */
void messages_ran(struct answer *a, const char *run_id);
/* The same text with "container" in `object` of it, a parsed token, and sallyport.steps last. */
MUST_USE struct status messages_put_end(
    const struct answer *a, uint32_t object, struct splices *s, struct buf *out);

/* ---- messages_block.c: put together from a stream ---- */
/* Is it a call of ours? */
bool messages_block_ours(const struct answer *a, uint32_t block);
/* A text of no length: models write it, providers refuse it when they get it back. */
bool messages_block_empty(const struct json_doc *d, uint32_t block);
MUST_USE struct status messages_block_start(struct answer *a, uint32_t block);
MUST_USE struct status messages_block_delta(struct answer *a, uint32_t delta);
/* Uses a->doc for itself. */
MUST_USE struct status messages_block_stop(struct answer *a);
/* Note the call that is parsed at `block`: ours with its arguments, the client's as one more. */
MUST_USE struct status messages_call(struct answer *a, uint32_t block, struct span args);

/* ---- members of dialect_messages ---- */
void messages_start(struct answer *a);
void messages_again(struct answer *a);
void messages_done(struct answer *a);
MUST_USE struct status messages_event(struct answer *a, struct span name);
MUST_USE struct status messages_last(struct answer *a);
MUST_USE struct status messages_release(struct answer *a, struct buf *out);
/* messages_whole.c */
MUST_USE struct status messages_whole(struct answer *a);
MUST_USE struct status messages_whole_put(struct answer *a, struct buf *out);
/* messages_runs.c */
MUST_USE struct status messages_put_calls(const struct answer *a, struct buf *out);
MUST_USE struct status messages_put_result(
    const struct answer *a, const struct step *s, struct span text, struct buf *out);
MUST_USE struct status messages_show(
    struct answer *a, const struct step *s, enum step_event event, struct span text);

#endif
