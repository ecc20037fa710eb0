/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run.c: the gateway's end of a run's stream.
 *
 * Runs in: gateway. Trusts: the executor for the order of its messages (the link
 * checks shapes), not for sizes or for the bytes that code wrote.
 * Owns: the stream, the encoded request, output and files of one run.
 * Invariants: done or failed is called once, and never after run_cancel();
 * a character is never cut between two outputs.
 * See: wire/gateway_executor.h; run_text.c for how results are told.
 */
#include "run.h"

#include <base/encode.h>
#include <crypto/hash.h>

static void on_msg(struct stream *s, uint16_t type, const void *msg, void *ctx);
static void on_data(struct stream *s, uint8_t channel, struct span data, void *ctx);
static void on_writable(struct stream *s, void *ctx);
static void on_closed(struct stream *s, struct status why, void *ctx);

static const struct stream_ops stream_ops = {
	.on_msg = on_msg, .on_data = on_data, .on_writable = on_writable, .on_closed = on_closed
};

void
run_reset(struct run *r)
{
	for (int i = 0; i < 2; i++) {
		buf_clear(&r->out[i].text);
		r->out[i].text.max = 4UL * RUN_OUTPUT_MAX;
		r->out[i].ncarry = 0;
	}
	buf_clear(&r->request);
	buf_clear(&r->files);
	r->request.max = RUN_BLOB_MAX;
	r->files.max = FILES_TOTAL_MAX + FILES_MAX * (FILE_NAME_MAX + 8UL) + 64;
	r->sent = r->unconsumed = r->output_len = 0;
	r->have_result = r->late = r->raw = false;
	r->result = (struct ge_result){ .status = RUN_CANCELLED };
	r->sandbox[0] = r->reason[0] = '\0';
}

void
run_free(struct run *r)
{
	run_cancel(r);
	for (int i = 0; i < 2; i++)
		buf_done(&r->out[i].text);
	buf_done(&r->request);
	buf_done(&r->files);
}

struct status
run_prepare(struct run *r, const struct run_request *req, uint8_t digest[DIGEST_LEN])
{
	buf_clear(&r->request);
	TRY(wire_encode(&run_request_table, req, &r->request));
	return sha256(buf_span(&r->request), digest);
}

struct status
run_prepare_tool(struct run *r, const struct tool_request *req, uint8_t digest[DIGEST_LEN])
{
	buf_clear(&r->request);
	TRY(wire_encode(&tool_request_table, req, &r->request));
	return sha256(buf_span(&r->request), digest);
}

struct status
run_prepare_upload(struct run *r, const struct tool_upload *up, uint8_t digest[DIGEST_LEN])
{
	buf_clear(&r->request);
	TRY(wire_encode(&tool_upload_table, up, &r->request));
	return sha256(buf_span(&r->request), digest);
}

static void
fail_run(struct run *r, enum error error, uint32_t retry_after_ms)
{
	run_cancel(r);
	r->ops->failed(r, error, retry_after_ms, r->ctx);
}

static void
send_more(struct run *r)
{
	while (r->sent < r->request.len) {
		size_t taken = 0;
		struct status st = stream_write(
		    r->stream, RUN_REQUEST, span_from(buf_span(&r->request), r->sent), &taken);

		if (!is_ok(st)) {
			fail_run(r, ERROR_UNAVAILABLE, 0);
			return;
		}
		if (taken == 0)
			return;
		r->sent += taken;
	}
	stream_end(r->stream);
}

struct status
run_start(struct run *r, struct link *executor, const uint8_t grant[GRANT_LEN])
{
	struct ge_open open = { .body_len = (uint32_t)r->request.len, .late = r->late };

	if (executor == NULL)
		return fail(E_CLOSED);
	memcpy(open.grant, grant, GRANT_LEN);
	TRY(stream_open(executor, GE_OPEN, &open, &stream_ops, r, &r->stream));
	send_more(r);
	return OK;
}

void
run_cancel(struct run *r)
{
	if (r->stream != NULL)
		stream_cancel(r->stream, ERROR_CANCELLED);
	r->stream = NULL;
}

static void
on_writable(struct stream *s, void *ctx)
{
	(void)s;
	send_more(ctx);
}

void
run_writable(struct run *r)
{
	size_t n = r->unconsumed;

	if (r->stream == NULL || n == 0)
		return;
	r->unconsumed = 0;
	stream_consumed(r->stream, n);
}

static void
on_started(struct run *r, const struct ge_started *m)
{
	if (!is_ok(span_to_cstr(m->sandbox, r->sandbox, sizeof(r->sandbox))))
		r->sandbox[0] = '\0';
	r->ops->started(r, r->ctx);
}

/* Perhaps with names that the tool's author chose: what would break a line is left out. */
static void
keep_reason(struct run *r, struct span text)
{
	size_t n = 0;

	for (size_t i = 0; i < text.len && n < sizeof(r->reason) - 1; i++) {
		if (text.ptr[i] >= 0x20 && text.ptr[i] < 0x7f)
			r->reason[n++] = (char)text.ptr[i];
	}
	r->reason[n] = '\0';
}

static void
on_msg(struct stream *s, uint16_t type, const void *msg, void *ctx)
{
	struct run *r = ctx;
	const struct ge_failed *failed = msg;

	(void)s;
	if (type == GE_FAILED) {
		keep_reason(r, failed->reason);
		fail_run(r, failed->error == ERROR_NONE ? ERROR_UNAVAILABLE : failed->error,
		    failed->retry_after_ms);
	} else if (type == GE_STARTED) {
		on_started(r, msg);
	} else {
		r->result = *(const struct ge_result *)msg;
		keep_reason(r, r->result.trap);
		r->result.trap = SPAN_EMPTY;
		r->have_result = true;
	}
}

/* Repair across the borders of pieces: what is unfinished waits for the next one. */
static struct status
add_output(struct run *r, bool err, struct span data, bool final)
{
	struct run_text *t = &r->out[err];
	size_t before = t->text.len, used = 0;

	while (t->ncarry > 0 && data.len > 0) {
		struct span joined;

		t->carry[t->ncarry++] = data.ptr[0];
		data = span_from(data, 1);
		joined = span_of(t->carry, t->ncarry);
		TRY(utf8_repair(joined, false, &t->text, &used));
		t->ncarry -= used;
		memmove(t->carry, t->carry + used, t->ncarry);
	}
	if (t->ncarry > 0 && final) {
		TRY(utf8_repair(span_of(t->carry, t->ncarry), true, &t->text, &used));
		t->ncarry = 0;
	}
	if (data.len > 0) {
		TRY(utf8_repair(data, final, &t->text, &used));
		t->ncarry = data.len - used;
		memcpy(t->carry, data.ptr + used, t->ncarry);
	}
	if (t->text.len > before)
		r->ops->output(r, err, span_from(buf_span(&t->text), before), r->ctx);
	return OK;
}

static void
on_data(struct stream *s, uint8_t channel, struct span data, void *ctx)
{
	struct run *r = ctx;
	struct status st;

	r->output_len += data.len;
	if (channel == RUN_FILES)
		st = buf_put_span(&r->files, data);
	else if (channel == RUN_STDOUT && r->raw)
		st = buf_put_span(&r->out[0].text, data);
	else if (channel == RUN_STDOUT || channel == RUN_STDERR)
		st = add_output(r, channel == RUN_STDERR, data, false);
	else
		st = fail(E_PROTO);
	if (!is_ok(st) || r->output_len > r->output_max) {
		if (r->stream == s)
			fail_run(r, ERROR_TURN_LIMIT, 0);
		return;
	}
	if (r->stream != s) /* an output handler has cancelled us */
		return;
	if (r->ops->room(r->ctx))
		stream_consumed(s, data.len);
	else
		r->unconsumed += data.len;
}

/* The reason that the other side gave, if it is one. */
static enum error
closed_error(struct status why)
{
	if (why.code == E_CLOSED && why.err > ERROR_NONE && why.err < ERROR_COUNT)
		return (enum error)why.err;
	return ERROR_UNAVAILABLE;
}

static void
on_closed(struct stream *s, struct status why, void *ctx)
{
	struct run *r = ctx;

	(void)s;
	r->stream = NULL;
	if (why.code != E_EOF || !r->have_result ||
	    !is_ok(add_output(r, false, SPAN_EMPTY, true)) ||
	    !is_ok(add_output(r, true, SPAN_EMPTY, true))) {
		r->ops->failed(r, closed_error(why), 0, r->ctx);
		return;
	}
	r->ops->done(r, r->ctx);
}
