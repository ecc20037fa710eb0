/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CHAT_ANSWER_H
#define GATEWAY_CHAT_ANSWER_H

/*
 * What chat_answer.c (events), chat_whole.c (one body) and chat_show.c (steps)
 * share. a->doc is parsed.
 */
#include <json/write.h>

#include "answer.h"
#include "splice.h"

#define CHAT_ID_MAX 512 /* bytes of "id", "created", "model" as written */

/* What a model says beside its calls: members of a delta or message that go back to it. */
enum chat_said {
	CHAT_CONTENT,
	CHAT_REASONING_CONTENT, /* DeepSeek, vLLM and others */
	CHAT_REASONING,         /* OpenRouter, vLLM */
	CHAT_REASONING_DETAILS, /* OpenRouter: an array; its elements, with commas */
	CHAT_SAID_COUNT,
};

/* The dialect's part of an answer. */
struct chat_answer {
	struct buf said[CHAT_SAID_COUNT]; /* of this call, for the next one's messages */
	struct buf id, created, model;    /* of the first chunk, as written */
	struct buf steps;                 /* inside of sallyport.steps */
};

static inline struct chat_answer *
chat_own(const struct answer *a)
{
	return a->own;
}

/* Texts of the sums that replace a provider's usage: they live until splices_put(). */
struct chat_sums {
	char in[24], out[24], total[24], cached[24], reasoning[24];
};

/* ---- chat_parts.c ---- */
/* E_PROTO: no object, an error, or a member that is ours. */
MUST_USE struct status chat_check_root(const struct json_doc *d);
/* Remember id, created and model of the first. */
MUST_USE struct status chat_keep_head(struct answer *a);
/* Steps after the first: put those of the first in their place. */
MUST_USE struct status chat_edit_head(const struct answer *a, struct splices *s);
/* What the provider counted, if it is in a->doc. E_PROTO. */
MUST_USE struct status chat_read_usage(struct answer *a);
/* Steps after the first: the usage of the whole turn. */
MUST_USE struct status chat_edit_usage(
    const struct answer *a, struct chat_sums *sums, struct splices *s);
/* "id", "object", "created", "model" of a chunk of ours, into an open object. */
void chat_put_head(const struct answer *a, struct json_writer *w);
/* A delta or a message: counted, and kept where our tool is in play. E_FULL, E_NOMEM. */
MUST_USE struct status chat_keep_said(struct answer *a, uint32_t obj);
void chat_put_said(const struct answer *a, struct json_writer *w);
bool chat_reason_runs(const struct json_doc *d, uint32_t reason);
/* The same text with sallyport.steps as its last member. */
MUST_USE struct status chat_put_steps(const struct answer *a, struct span json, struct buf *out);

/* ---- members of dialect_chat ---- */
void chat_answer_start(struct answer *a);
void chat_answer_again(struct answer *a);
void chat_answer_done(struct answer *a);
MUST_USE struct status chat_event(struct answer *a, struct span name);
MUST_USE struct status chat_last(struct answer *a);
MUST_USE struct status chat_release(struct answer *a, struct buf *out);
/* chat_whole.c */
MUST_USE struct status chat_whole(struct answer *a);
MUST_USE struct status chat_whole_put(struct answer *a, struct buf *out);
/* chat_show.c */
MUST_USE struct status chat_put_calls(const struct answer *a, struct buf *out);
MUST_USE struct status chat_put_result(
    const struct answer *a, const struct step *s, struct span text, struct buf *out);
MUST_USE struct status chat_show(
    struct answer *a, const struct step *s, enum step_event event, struct span text);

#endif
