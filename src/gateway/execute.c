/* SPDX-License-Identifier: Apache-2.0 */
/*
 * execute.c: POST /v1/execute: one lease, one run.
 *
 * Runs in: gateway. Trusts: nothing but that the body conforms to schema/execute.json.
 * Owns: nothing; the run lies in the turn.
 * Invariants: what was hashed for the authority is what is sent; the result
 * leaves after GA_SETTLED only.
 * See: turn_table.c, KIND_EXECUTE.
 */
#include <stdio.h>

#include <base/cleanup.h>
#include <base/encode.h>

#include "request.h"
#include "routes.h"

static void on_started(struct run *run, void *ctx);
static void on_output(struct run *run, bool err, struct span text, void *ctx);
static void on_done(struct run *run, void *ctx);
static void on_failed(struct run *run, enum error error, uint32_t retry_after_ms, void *ctx);

static const struct run_ops run_ops = { on_started, on_output, on_done, on_failed, turn_room };

static struct status
read_text(struct request *r, const char *name, struct span *ret)
{
	const struct json_doc *d = &r->g->doc;
	uint32_t tok = json_get_str(d, 0, name);

	*ret = SPAN_EMPTY;
	return tok == JSON_NONE ? OK : json_str(d, tok, &r->arena, ret);
}

static struct status
read_file(struct request *r, uint32_t item, struct run_file *f)
{
	const struct json_doc *d = &r->g->doc;
	uint32_t content = json_get_str(d, item, "content_base64");
	auto_buf struct buf bytes = BUF_INIT(FILES_TOTAL_MAX);
	struct span text;
	struct status st;

	TRY(json_str(d, json_get_str(d, item, "name"), &r->arena, &f->name));
	TRY(json_str(d, content, &r->arena, &text));
	st = base64_decode(text, &bytes);
	if (!is_ok(st)) {
		request_blame(r, d, content,
		    st.code == E_SYNTAX ? "is not base64" : "is larger than the limit");
		return st.code == E_NOMEM ? st : fail(E_SYNTAX);
	}
	return arena_copy(&r->arena, buf_span(&bytes), &f->content);
}

/* One would hide the other. */
static bool
is_there(const struct run_file *f, size_t n, struct span name)
{
	for (size_t i = 0; i < n; i++) {
		if (span_eq(f[i].name, name))
			return true;
	}
	return false;
}

static struct status
read_files(struct request *r, struct wire_list *ret)
{
	const struct json_doc *d = &r->g->doc;
	uint32_t files = json_get_str(d, 0, "files");
	struct json_iter it = json_iter(d, files);
	struct run_file *f;
	size_t total = 0;

	*ret = (struct wire_list){ NULL, 0 };
	if (json_size(d, files) == 0)
		return OK;
	f = arena_array(&r->arena, json_size(d, files), sizeof(*f));
	if (f == NULL)
		return fail(E_NOMEM);
	while (json_next(&it)) {
		TRY(read_file(r, it.val, &f[it.index]));
		total += f[it.index].content.len;
		if (f[it.index].name.len > FILE_NAME_MAX || total > FILES_TOTAL_MAX) {
			request_blame(r, d, it.val, "is larger than the limit");
			return fail(E_SYNTAX);
		}
		if (is_there(f, it.index, f[it.index].name)) {
			request_blame(r, d, json_get_str(d, it.val, "name"),
			    "is the name of another file, too");
			return fail(E_SYNTAX);
		}
	}
	*ret = (struct wire_list){ f, json_size(d, files) };
	return OK;
}

static struct status
read_request(struct request *r, struct run_request *req)
{
	const struct json_doc *d = &r->g->doc;
	uint32_t timeout = json_get_str(d, 0, "timeout_ms");
	uint64_t ms = 0;

	*req = (struct run_request){ .notebook = 0 };
	TRY(read_text(r, "language", &req->language));
	TRY(read_text(r, "code", &req->code));
	TRY(read_text(r, "stdin", &req->input));
	if (timeout != JSON_NONE)
		TRY(json_u64(d, timeout, UINT32_MAX, &ms));
	req->timeout_ms = (uint32_t)ms;
	r->turn.stream = json_type(d, json_get_str(d, 0, "stream")) == JSON_TRUE;
	return read_files(r, &req->files);
}

static enum error
request_error(struct status st)
{
	if (st.code == E_SYNTAX || st.code == E_NOTFOUND)
		return ERROR_INVALID_FIELD;
	return st.code == E_RANGE || st.code == E_FULL ? ERROR_BODY_TOO_LARGE : ERROR_INTERNAL;
}

void
execute_run(struct request *r)
{
	struct turn *t = &r->turn;
	struct run_request req;
	struct status st;

	run_reset(&t->run);
	st = read_request(r, &req);
	if (is_ok(st))
		st = run_prepare(&t->run, &req, t->digest);
	if (!is_ok(st)) {
		turn_refuse(t, request_error(st));
		return;
	}
	(void)snprintf(t->run_id, sizeof(t->run_id), "exec_%s", r->id_text);
	t->run_ms = gateway_run_ms(r->g, req.language, req.timeout_ms);
	t->admit.endpoint = ENDPOINT_EXECUTE;
	t->admit.language = req.language;
	t->admit.tool_name = req.language;
	t->admit.size_bytes = (uint32_t)req.code.len;
	t->admit.body_len = (uint32_t)t->run.request.len;
	memcpy(t->admit.digest, t->digest, DIGEST_LEN);
	turn_admit(t, KIND_EXECUTE);
}

void
execute_start(struct turn *t)
{
	t->run.ops = &run_ops;
	t->run.ctx = t;
	t->run.output_max = RUN_OUTPUT_MAX;
	turn_start_run(t);
}

static void
on_started(struct run *run, void *ctx)
{
	struct turn *t = ctx;
	auto_buf struct buf out = BUF_INIT(4096);
	struct json_writer w = json_writer(&out);

	if (!t->stream || t->r->head_sent)
		return;
	reply_stream(t->r);
	json_put_object(&w);
	json_put_key(&w, "id");
	json_put_text(&w, t->run_id);
	json_put_key(&w, "sandbox");
	json_put_text(&w, run->sandbox);
	json_put_end(&w);
	if (is_ok(json_writer_finish(&w)))
		reply_event(t->r, SPAN_LIT("started"), buf_span(&out));
}

static void
on_output(struct run *run, bool err, struct span text, void *ctx)
{
	struct turn *t = ctx;
	auto_buf struct buf out = BUF_INIT(OUT_MAX);
	struct json_writer w = json_writer(&out);

	(void)run;
	if (!t->stream || !t->r->head_sent)
		return;
	json_put_object(&w);
	json_put_key(&w, "data");
	json_put_str(&w, text);
	json_put_end(&w);
	if (is_ok(json_writer_finish(&w)))
		reply_event(t->r, err ? SPAN_LIT("stderr") : SPAN_LIT("stdout"), buf_span(&out));
}

static void
on_done(struct run *run, void *ctx)
{
	(void)run;
	turn_run_ended(ctx);
	turn_event(ctx, TURN_ANSWERED);
}

static void
on_failed(struct run *run, enum error error, uint32_t retry_after_ms, void *ctx)
{
	struct turn *t = ctx;

	(void)run;
	if (retry_after_ms > 0)
		t->r->retry_after_ms = retry_after_ms;
	turn_fail(t, error);
}

void
execute_finish(struct turn *t)
{
	const struct run_about about = { .id = t->run_id };
	auto_buf struct buf out = BUF_INIT(OUT_MAX);
	struct json_writer w = json_writer(&out);
	struct status st;

	json_put_object(&w);
	st = run_put(&t->run, &about, &w);
	if (is_ok(st)) {
		json_put_end(&w);
		st = json_writer_finish(&w);
	}
	if (!is_ok(st)) {
		reply_error(t->r, ERROR_INTERNAL);
	} else if (t->r->head_sent) {
		reply_event(t->r, SPAN_LIT("result"), buf_span(&out));
		reply_end(t->r);
	} else {
		reply_json(t->r, 200, buf_span(&out));
	}
}
