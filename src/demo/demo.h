/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DEMO_DEMO_H
#define DEMO_DEMO_H

/*
 * The stand-in for a model. It is no AI: it answers from fixed rules, always the
 * same. What a request asks (ask.c) becomes a plan (plan.c, tasks.c), and the
 * plan a reply in OpenAI's wire format (reply.c). All of it is pure.
 */
#include <base/arena.h>
#include <base/span.h>
#include <json/json.h>

#define DEMO_BODY_MAX (8U << 20)
#define DEMO_TOOLS_MAX 128
#define DEMO_NUMBERS_MAX 256
#define DEMO_CODE_MAX (1U << 20) /* bytes of one block of code */
#define DEMO_QUOTE_MAX 4000      /* bytes of a tool's result that are quoted */
#define DEMO_TEXT_MAX (2U << 20)
#define DEMO_ARENA_MAX (32U << 20)
#define DEMO_SLOW_MAX 1000 /* steps of "count slowly to N" */
#define DEMO_SLOW_MS 100
#define DEMO_PIECE_LEN 40 /* bytes of one delta, at least */
#define DEMO_PIECES_MAX 64
#define DEMO_NAME "Sallyport's demo, a stand-in that is no AI"

struct demo_ask {
	struct span model;
	bool stream;
	bool include_usage;
	struct span prompt;                /* the last user's text */
	struct span tools[DEMO_TOOLS_MAX]; /* functions that may be called */
	size_t ntools;
	unsigned results;   /* tool messages after the prompt */
	struct span result; /* the last of them */
	size_t prompt_bytes;
};

/* Texts lie in `a` or in the document. E_SYNTAX: *ret_why says what is wrong; E_NOMEM. */
MUST_USE struct status ask_read(
    const struct json_doc *d, struct arena *a, struct demo_ask *ret, const char **ret_why);
bool ask_offers(const struct demo_ask *ask, struct span tool);

struct demo_plan {
	struct buf text;   /* of the answer; of a call: its arguments, JSON */
	struct span call;  /* the function's name; empty: a text */
	unsigned delay_ms; /* between pieces */
};

MUST_USE struct status plan_make(
    const struct demo_ask *ask, struct arena *a, struct demo_plan *ret);
void plan_done(struct demo_plan *p);

/* Code for a task that the prompt names: Python into `code`. E_NOTFOUND: none is known. */
MUST_USE struct status task_code(struct span prompt, struct buf *code);

/* ---- text.c: finding things in a prompt ---- */
bool text_has(struct span s, const char *word); /* ASCII case ignored, whole words */
/* Numbers as written, -?digits[.digits], in order; how many. */
size_t text_numbers(struct span s, struct span *out, size_t max);
/* What is quoted by "…", or else what follows the first ':'; false when there is none. */
bool text_subject(struct span s, struct span *ret);
/* The n-th fenced block in a language that can run; false: there are not so many. */
bool text_fenced(struct span s, unsigned n, struct span *ret_language, struct span *ret_code);

/* ---- reply.c: OpenAI's wire format, piece by piece ---- */
struct demo_reply {
	const struct demo_plan *plan;
	struct span model;
	bool stream, include_usage;
	uint64_t created_s;
	char id[32];
	size_t prompt_bytes;
	/* private */
	unsigned stage;
	size_t pos;
};
struct demo_reply reply_of(
    const struct demo_ask *ask, const struct demo_plan *plan, struct span body, uint64_t now_s);
/* A whole answer. */
MUST_USE struct status reply_put(const struct demo_reply *r, struct buf *out);
/* The next server-sent event of a stream; E_EOF: that was all. */
MUST_USE struct status reply_next(struct demo_reply *r, struct buf *out);
MUST_USE struct status reply_put_error(const char *message, struct buf *out);
MUST_USE struct status reply_put_models(
    const struct span *names, size_t n, uint64_t now_s, struct buf *out);

#endif
