/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tool_push.c: POST /v1/tools: a new version of a user's tool.
 *
 * Runs in: gateway. Trusts: nothing of the form; module and native part are looked at by
 * nobody here.
 * Owns: nothing; the upload lies in the turn's run.
 * Invariants: what was hashed for the authority is what is sent; the version is told once it
 * is durable; no tool.json has a credential in it; the form is dropped before the upload waits
 * for anything, so that one body's share of the budget covers it.
 * See: turn_table.c, KIND_PUSH; http/multipart.h; lib/manifest.
 */
#include <base/cleanup.h>
#include <base/encode.h>
#include <pasted/pasted.h>

#include "form.h"
#include "request.h"
#include "routes.h"

static void on_failed(struct run *run, enum error error, uint32_t retry_after_ms, void *ctx);

static const struct run_ops run_ops = { tool_run_started, tool_run_output, tool_run_done, on_failed,
	turn_room };

enum { PART_OF_MANIFEST, PART_OF_MODULE, PART_OF_NATIVE, PARTS };
static const struct multipart_part parts_taken[PARTS] = {
	{ .name = "manifest", .max = TOOL_MANIFEST_MAX },
	{ .name = "module", .max = RUN_BLOB_MAX },
	{ .name = "native", .max = TOOL_NATIVE_MAX },
};

/* One limit each, known to two layers. */
_Static_assert(TOOL_MANIFEST_MAX + 1U > MANIFEST_MAX, "of tool.json");
_Static_assert(TOOL_MAX + 1U > MANIFEST_NAME_MAX, "of a tool's name");

static enum error
read_form(struct request *r, struct multipart_part parts[PARTS])
{
	enum error error = form_read(r, parts, PARTS, NULL);

	if (error != ERROR_NONE)
		return error;
	if (parts[PART_OF_MANIFEST].body.len == 0)
		return form_blame(r, "manifest", "the part is missing or empty");
	if (parts[PART_OF_MODULE].body.len + parts[PART_OF_NATIVE].body.len == 0)
		return form_blame(r, "module", "module and native part are missing or empty");
	return ERROR_NONE;
}

static enum error
read_manifest(struct request *r, struct span text, struct span *ret_name)
{
	auto_arena struct arena a = ARENA_INIT(8UL * MANIFEST_MAX);
	struct manifest_fault fault;
	struct manifest m;
	struct span why;
	struct status st = manifest_parse(text, &a, &m, &fault);

	if (is_ok(st))
		return is_ok(arena_copy(&r->arena, m.name, ret_name)) ? ERROR_NONE
								      : ERROR_OVERLOADED;
	if (fault.message == NULL)
		return st.code == E_NOMEM ? ERROR_OVERLOADED : ERROR_INTERNAL;
	/* With its NUL: an error's detail is a C string. */
	if (!is_ok(arena_copy(&r->arena, span_of(fault.text, strlen(fault.text) + 1), &why)))
		return ERROR_OVERLOADED;
	(void)form_blame(r, "manifest", (const char *)why.ptr);
	return ERROR_TOOL_INVALID;
}

static enum error
prepare(struct request *r)
{
	struct turn *t = &r->turn;
	struct multipart_part parts[PARTS];
	struct tool_upload up;
	struct span name;
	struct status st;
	enum error error;

	memcpy(parts, parts_taken, sizeof(parts));
	error = read_form(r, parts);
	if (error == ERROR_NONE)
		error = read_manifest(r, parts[PART_OF_MANIFEST].body, &name);
	/* It is told to every model that gets the tool, and the name is in clear on record. */
	if (error == ERROR_NONE && pasted_any(parts[PART_OF_MANIFEST].body)) {
		r->detail = "tool.json is told to every model that gets the tool";
		error = ERROR_CREDENTIAL_IN_CONTENT;
	}
	if (error != ERROR_NONE)
		return error;
	up.manifest = parts[PART_OF_MANIFEST].body;
	up.module = parts[PART_OF_MODULE].body;
	up.native = parts[PART_OF_NATIVE].body;
	run_reset(&t->run);
	st = run_prepare_upload(&t->run, &up, t->digest);
	if (!is_ok(st))
		return st.code == E_FULL || st.code == E_RANGE ? ERROR_BODY_TOO_LARGE
							       : ERROR_OVERLOADED;
	t->admit.tool_name = name;
	t->admit.tool_parts = (uint8_t)((up.module.len > 0 ? TOOL_HAS_MODULE : 0) |
					(up.native.len > 0 ? TOOL_HAS_NATIVE : 0));
	t->admit.size_bytes = (uint32_t)r->body.len;
	return ERROR_NONE;
}

void
tool_push_run(struct request *r)
{
	struct turn *t = &r->turn;
	enum error error = prepare(r);

	buf_done(&r->body);
	if (error != ERROR_NONE) {
		turn_refuse(t, error);
		return;
	}
	t->run_ms = TOOL_BUILD_MS_MAX;
	t->admit.endpoint = ENDPOINT_TOOL_PUSH;
	t->admit.body_len = (uint32_t)t->run.request.len;
	memcpy(t->admit.digest, t->digest, DIGEST_LEN);
	turn_admit(t, KIND_PUSH);
}

void
tool_push_start(struct turn *t)
{
	t->run.ops = &run_ops;
	t->run.ctx = t;
	t->run.output_max = 0;
	turn_start_run(t);
}

static void
on_failed(struct run *run, enum error error, uint32_t retry_after_ms, void *ctx)
{
	struct turn *t = ctx;

	if (retry_after_ms > 0)
		t->r->retry_after_ms = retry_after_ms;
	if (run->reason[0] != '\0')
		(void)form_blame(t->r, NULL, run->reason);
	turn_fail(t, error);
}

void
tool_push_finish(struct turn *t)
{
	auto_buf struct buf out = BUF_INIT(4096);
	struct json_writer w = json_writer(&out);
	char digest[2 * DIGEST_LEN];

	hex_encode(span_of(t->digest, DIGEST_LEN), digest);
	json_put_object(&w);
	json_put_key(&w, "object");
	json_put_text(&w, "tool");
	json_put_key(&w, "name");
	json_put_str(&w, t->admit.tool_name);
	json_put_key(&w, "version");
	json_put_u64(&w, t->run.result.version);
	json_put_key(&w, "digest");
	json_put_str(&w, span_of(digest, sizeof(digest)));
	json_put_key(&w, "sandbox");
	if (t->sandbox == 0)
		json_put_null(&w);
	else
		json_put_text(&w, tool_sandbox_names[t->sandbox]);
	json_put_key(&w, "duration_ms");
	json_put_u64(&w, t->run.result.duration_ms);
	json_put_end(&w);
	if (is_ok(json_writer_finish(&w)))
		reply_json(t->r, 201, buf_span(&out));
	else
		reply_error(t->r, ERROR_INTERNAL);
}
