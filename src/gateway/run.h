/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_RUN_H
#define GATEWAY_RUN_H

/*
 * One run at the executor: a stream of the data edge, and what came of it.
 */
#include <json/write.h>
#include <link/link.h>
#include <wire/gateway_executor.h>

#include "bounds.h"

struct run;

struct run_ops {
	void (*started)(struct run *r, void *ctx);
	/* Valid UTF-8, never cut within a character. */
	void (*output)(struct run *r, bool err, struct span text, void *ctx);
	/* Exactly one of these, last; the run may be reset or freed in it. */
	void (*done)(struct run *r, void *ctx);
	void (*failed)(struct run *r, enum error error, uint32_t retry_after_ms, void *ctx);
	/* False: keep what comes unconsumed until run_writable(). */
	bool (*room)(void *ctx);
};

struct run_text {
	struct buf text;  /* repaired */
	uint8_t carry[4]; /* an unfinished character */
	size_t ncarry;
};

struct run {
	const struct run_ops *ops;
	void *ctx;
	struct stream *stream; /* NULL: not running */
	struct buf request;    /* encoded struct run_request */
	size_t sent;
	size_t unconsumed;
	struct run_text out[2]; /* stdout, stderr */
	struct buf files;       /* encoded struct run_files */
	size_t output_max;      /* bytes of all output; more is ERROR_TURN_LIMIT */
	size_t output_len;
	bool late; /* whether it has begun is told with the result */
	bool raw;  /* stdout is kept as it comes, unrepaired, and not told as it comes */
	bool have_result;
	struct ge_result result;          /* without its span */
	char reason[TOOL_REASON_MAX + 1]; /* a trap; why a tool was refused */
	char sandbox[65];
};

/* Forget the last run; memory is kept. */
void run_reset(struct run *r);
void run_free(struct run *r);
/* Encode and hash what is to be run: what the authority grants. E_RANGE, E_NOMEM, E_CRYPTO. */
MUST_USE struct status run_prepare(
    struct run *r, const struct run_request *req, uint8_t digest[DIGEST_LEN]);
/* The same of a call of a tool, or of a new version of one. */
MUST_USE struct status run_prepare_tool(
    struct run *r, const struct tool_request *req, uint8_t digest[DIGEST_LEN]);
MUST_USE struct status run_prepare_upload(
    struct run *r, const struct tool_upload *up, uint8_t digest[DIGEST_LEN]);
/* State: prepared. E_CLOSED, E_FULL, E_NOMEM. */
MUST_USE struct status run_start(
    struct run *r, struct link *executor, const uint8_t grant[GRANT_LEN]);
/* The client can take more. */
void run_writable(struct run *r);
void run_cancel(struct run *r);

/* What /v1/execute says about a run; `language` empty: without language and code. */
struct run_about {
	const char *id;
	struct span language, code;
};
/* The members of the answer object, into an open object. E_PROTO (files), E_FULL, E_NOMEM. */
MUST_USE struct status run_put(
    const struct run *r, const struct run_about *about, struct json_writer *w);
/* What the model is told, a JSON text: cut, stripped, marked as untrusted. */
MUST_USE struct status run_put_for_model(const struct run *r, struct buf *out);
/* A member of it: a text, cut and stripped; *ret_cut is set when some of it is left out. */
MUST_USE struct status run_put_cut(
    struct json_writer *w, const char *key, struct span text, bool *ret_cut);
/* The same of a text that a client says was such an output. */
MUST_USE struct status text_put_for_model(struct span text, struct buf *out);
#endif
