/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_RESPONSES_H
#define GATEWAY_RESPONSES_H

/*
 * OpenAI's responses. Providers are asked to keep nothing: what is kept, the store has.
 */
#include <json/write.h>

#include "answer.h"
#include "splice.h"

#define RESPONSES_ITEMS_MAX 256              /* output items of one model call */
#define RESPONSES_EVENT_MAX (ANSWER_MAX / 2) /* one event: the last repeats the whole answer */
#define RESPONSES_ID_MAX 512                 /* bytes of "id", "created_at", "model" as written */
#define RESPONSES_LOGS_ID "exec_"            /* how the id of a run begins */
#define RESPONSES_SERVER "sallyport"         /* server_label of calls of users' tools */

/* Members of a response object that say what is kept of it. */
enum responses_told { TOLD_ID, TOLD_STORE, TOLD_PREVIOUS, TOLD_CONVERSATION, TOLD_COUNT };

/* ---- the request ---- */
struct responses {
	struct prompt p;
	/* Parts of the body; ptr NULL: absent. */
	struct span input_part, store_part, tools_part, interpreter_part, choice_part;
	struct span choice_ours_part; /* where tool_choice names our tool */
	struct span choice_mode_part; /* of a list of allowed tools */
	struct span include_part;
	/* What comes instead; ptr NULL: nothing does. */
	struct span input_new, include_new;
	struct span include_sealed; /* with our tool in play: asks for reasoning that can go back */
	bool input_text, input_empty, tools_empty;
	struct span tools_shown, choice_shown; /* what the answer says of them: the client's own */
	struct span drop_part; /* a member that says what was before: the provider knows nothing */
	struct {
		const char *name;   /* NULL: the provider's own word stays */
		struct span value;  /* JSON */
		struct span member; /* the same with its name and a comma */
	} told[TOLD_COUNT];
};

static inline const struct responses *
responses_of(const struct prompt *p)
{
	return (const struct responses *)p;
}

MUST_USE struct status responses_read(
    const struct json_doc *d, struct arena *a, struct prompt **ret, struct fault *fault);
MUST_USE struct status responses_write(
    const struct prompt *p, const struct edits *e, struct buf *out, uint32_t *ret_model_off);
/*
 * responses_input.c: the input for the provider: runs of earlier turns, as the client got them
 * (code_interpreter_call), become the calls and results that the model knows; reasoning that
 * cannot go back is left out. *ret_new.ptr NULL: it goes as it is.
 */
MUST_USE struct status responses_input(
    const struct json_doc *d, uint32_t input, struct arena *a, struct span *ret_new);
/* The same of any list, with commas and without brackets; `mark` tells its runs from others'. */
MUST_USE struct status responses_put_items(
    const struct json_doc *d, uint32_t list, const char *mark, struct arena *a, struct buf *out);

/* One of them, or a call of a user's tool; and what it becomes: two items with a comma between. */
bool responses_is_run(const struct json_doc *d, uint32_t item);
MUST_USE struct status responses_put_run(const struct json_doc *d, uint32_t item, const char *mark,
    uint32_t index, struct arena *a, struct buf *out);
/* responses_history.c: see dialect.h */
MUST_USE struct status responses_put_history(struct json_doc *d, const struct content_item *items,
    uint32_t count, struct arena *a, struct span *ret);
MUST_USE struct status responses_tell(struct prompt *p, struct arena *a, struct span id);
MUST_USE struct status responses_edit_told(
    const struct answer *a, uint32_t response, struct splices *s);
bool responses_is_sealed(const struct json_doc *d, uint32_t item);
/* Reasoning that its provider did not seal, or show, cannot be given back to it. */
bool responses_goes_back(const struct json_doc *d, uint32_t item);
/* An item without its id. */
MUST_USE struct status responses_put_plain(
    const struct json_doc *d, uint32_t item, struct buf *out);

/* ---- the answer ---- */

/* Where an output item of the provider stands for the client. */
struct responses_slot {
	bool known, ours;
	uint32_t index;
	uint64_t id; /* a hash of the item's: some providers number nothing */
};

struct responses_answer {
	/* this call */
	struct responses_slot slots[RESPONSES_ITEMS_MAX];
	uint32_t added;     /* items that began */
	struct buf back;    /* its items, each after a comma, for the next body */
	bool unsigned_item; /* some reasoning cannot go back */
	/* the turn */
	struct buf id, created, model; /* of the first, as written */
	struct buf items;              /* the client's output, with commas */
	bool changed;                  /* and it is not what the provider says */
	bool started;                  /* of the step under way: its item was added */
	uint32_t index;                /* output items shown */
	uint64_t sequence;             /* events shown */
};

static inline struct responses_answer *
responses_own(const struct answer *a)
{
	return a->own;
}

void responses_start(struct answer *a);
void responses_again(struct answer *a);
void responses_done(struct answer *a);
MUST_USE struct status responses_event(struct answer *a, struct span name);
/* responses_final.c */
MUST_USE struct status responses_whole(struct answer *a);
MUST_USE struct status responses_release(struct answer *a, struct buf *out);
MUST_USE struct status responses_final(struct answer *a, struct buf *out);
/* A response object of a->doc that the client sees: remember the first, edit the later ones. */
MUST_USE struct status responses_keep_head(struct answer *a, uint32_t response);
MUST_USE struct status responses_read_usage(struct answer *a, uint32_t response);
/* The tools and the choice are the client's own, not what its provider was told. */
MUST_USE struct status responses_edit_tools(
    const struct answer *a, uint32_t response, struct splices *s);
/* An output item is complete: for the client, for the next body, and its call. */
MUST_USE struct status responses_keep_item(struct answer *a, uint32_t item, bool *ret_ours);
/* An item that only we could have made, or one that says so. */
bool responses_item_forged(const struct json_doc *d, uint32_t item);
/* A whole response with its output. E_PROTO: something in it is forged, or no item. */
MUST_USE struct status responses_check(const struct json_doc *d, uint32_t response);
/* Is it a call of our tool? */
bool responses_item_ours(const struct answer *a, uint32_t item);
/* responses_show.c */
MUST_USE struct status responses_put_calls(const struct answer *a, struct buf *out);
MUST_USE struct status responses_put_result(
    const struct answer *a, const struct step *s, struct span text, struct buf *out);
MUST_USE struct status responses_show(
    struct answer *a, const struct step *s, enum step_event event, struct span text);
MUST_USE struct status responses_put_error(
    struct answer *a, const struct request *r, enum error error, struct buf *out);

#endif
