/* SPDX-License-Identifier: Apache-2.0 */
/*
 * files.c: OpenAI's files.
 *
 * Runs in: gateway. Trusts: the store for what it has; nothing of the form.
 * Owns: nothing. Invariants: a name is one segment of printable UTF-8; a file's bytes are kept
 * and given back as they are, never as a type that a browser would run.
 * See: keep.c; http/multipart.h; docs/api.md, "Files".
 */
#include <base/cleanup.h>
#include <base/encode.h>

#include "form.h"
#include "keep.h"
#include "query.h"
#include "request.h"
#include "routes.h"
#include "stored.h"
#include "strip.h"

#define EXPIRES_S_MIN 3600
#define EXPIRES_S_MAX 2592000

enum { PART_FILE, PART_PURPOSE, PART_ANCHOR, PART_SECONDS, PARTS };
static const struct multipart_part parts_taken[PARTS] = {
	{ .name = "file", .max = CONTENT_BLOB_MAX },
	{ .name = "purpose", .max = CONTENT_TAG_MAX },
	{ .name = "expires_after[anchor]", .max = 16 },
	{ .name = "expires_after[seconds]", .max = 16 },
};
static const char *const purposes[] = { "assistants", "batch", "fine-tune", "vision", "user_data",
	"evals" };

bool
files_id_ok(struct span id)
{
	return keep_id_ok(id) && span_starts(id, SPAN_LIT("file-"));
}

/* ---- the form ---- */

static bool
purpose_ok(struct span purpose)
{
	for (size_t i = 0; i < sizeof(purposes) / sizeof(purposes[0]); i++) {
		if (span_eq_str(purpose, purposes[i]))
			return true;
	}
	return false;
}

static enum error
check_form(struct request *r, const struct multipart_part parts[PARTS], uint32_t *ret_expires_s)
{
	bool anchored = parts[PART_ANCHOR].seen, timed = parts[PART_SECONDS].seen;
	uint64_t seconds = 0;

	*ret_expires_s = 0;
	if (!parts[PART_FILE].seen || parts[PART_FILE].filename.ptr == NULL)
		return form_blame(r, "file", "the part is missing, or is no file");
	if (!purpose_ok(parts[PART_PURPOSE].body))
		return form_blame(r, "purpose", "is not one of the values that are allowed");
	if (!anchored && !timed)
		return ERROR_NONE;
	if (!span_eq_str(parts[PART_ANCHOR].body, "created_at"))
		return form_blame(r, "expires_after/anchor", "is not created_at");
	if (!is_ok(span_u64(parts[PART_SECONDS].body, EXPIRES_S_MAX, &seconds)) ||
	    seconds < EXPIRES_S_MIN)
		return form_blame(
		    r, "expires_after/seconds", "is not a number from 3600 to 2592000");
	*ret_expires_s = (uint32_t)seconds;
	return ERROR_NONE;
}

/* ---- its name ---- */

/* Behind the last separator of either kind. */
static struct span
last_segment(struct span name)
{
	for (size_t i = name.len; i > 0; i--) {
		if (name.ptr[i - 1] == '/' || name.ptr[i - 1] == '\\')
			return span_from(name, i);
	}
	return name;
}

/* What would be shown as something else, or as nothing, goes. */
struct status
files_clean_name(struct span name, struct buf *out)
{
	auto_buf struct buf whole = BUF_INIT(4096), clean = BUF_INIT(4096);
	struct span last = last_segment(name), text;
	size_t used;

	TRY(utf8_repair(span_of(last.ptr, last.len < 1024 ? last.len : 1024), true, &whole, &used));
	TRY(text_strip(buf_span(&whole), &clean));
	text = buf_span(&clean);
	if (text.len > FILE_NAME_MAX)
		text.len = utf8_valid_len(span_of(text.ptr, FILE_NAME_MAX));
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] >= 0x20 && text.ptr[i] != 0x7f)
			TRY(buf_put_u8(out, text.ptr[i]));
	}
	if (out->len == 0 || span_eq_str(buf_span(out), ".") || span_eq_str(buf_span(out), "..")) {
		buf_clear(out);
		return buf_put_str(out, "file");
	}
	return OK;
}

static struct status
put_meta(const struct multipart_part parts[PARTS], struct arena *a, struct span *ret)
{
	auto_buf struct buf name = BUF_INIT(4096), out = BUF_INIT(8192);
	struct json_writer w = json_writer(&out);

	TRY(files_clean_name(parts[PART_FILE].filename, &name));
	json_put_object(&w);
	json_put_key(&w, "filename");
	json_put_str(&w, buf_span(&name));
	json_put_key(&w, "purpose");
	json_put_str(&w, parts[PART_PURPOSE].body);
	json_put_end(&w);
	TRY(json_writer_finish(&w));
	return arena_copy(a, buf_span(&out), ret);
}

/* ---- requests ---- */

void
files_create_run(struct request *r)
{
	struct multipart_part parts[PARTS];
	struct content_request req = { .limit = 0 };
	struct keep *k = keep_of(&r->turn);
	enum error error;

	memcpy(parts, parts_taken, sizeof(parts));
	error = form_read(r, parts, PARTS, &parts[PART_FILE]);
	if (error == ERROR_NONE)
		error = check_form(r, parts, &req.expires_s);
	if (error == ERROR_NONE && (k == NULL || !is_ok(keep_new_id("file-", k->id)) ||
				       !is_ok(put_meta(parts, &r->arena, &req.meta))))
		error = ERROR_OVERLOADED;
	if (error != ERROR_NONE) {
		turn_refuse(&r->turn, error);
		return;
	}
	req.body = parts[PART_FILE].body;
	req.tag = parts[PART_PURPOSE].body;
	keep_ask(r, CONTENT_CREATE, CONTENT_FILE, span_str(k->id), &req, NULL);
}

void
files_list_run(struct request *r)
{
	struct content_request req = { .limit = 0 };

	stored_take_page(r, CONTENT_PAGE_MAX, &req);
	keep_ask(r, CONTENT_LIST, CONTENT_FILE, SPAN_EMPTY, &req, NULL);
}

static void
ask(struct request *r, enum content_op op)
{
	const struct content_request req = { .limit = 0 };

	keep_ask(r, op, CONTENT_FILE, r->route_param, &req, NULL);
}

void
files_get_run(struct request *r)
{
	ask(r, CONTENT_READ);
}

void
files_body_run(struct request *r)
{
	ask(r, CONTENT_BODY);
}

void
files_delete_run(struct request *r)
{
	ask(r, CONTENT_DELETE);
}

/* ---- answers ---- */

static struct status
put_file(struct json_doc *d, const struct content_object *o, struct json_writer *w)
{
	static const char *const names[] = { "filename", "purpose" };

	TRY(json_parse(d, o->meta));
	json_put_object(w);
	json_put_key(w, "id");
	json_put_str(w, o->id);
	json_put_key(w, "object");
	json_put_text(w, "file");
	json_put_key(w, "bytes");
	json_put_u64(w, o->size);
	json_put_key(w, "created_at");
	json_put_u64(w, o->created_s);
	json_put_key(w, "expires_at");
	if (o->expires_s > 0)
		json_put_u64(w, o->expires_s);
	else
		json_put_null(w);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		json_put_key(w, names[i]);
		json_put_raw(w, json_bytes(d, json_get_str(d, 0, names[i])));
	}
	json_put_key(w, "status");
	json_put_text(w, "processed");
	json_put_end(w);
	return OK;
}

void
files_told(struct turn *t, const struct content_answer *a)
{
	auto_buf struct buf out = BUF_INIT(8192);
	struct json_writer w = json_writer(&out);

	if (a->objects.count == 1 && is_ok(put_file(&t->r->g->answer_doc, a->objects.items, &w)))
		stored_answer(t->r, &w);
	else
		reply_error(t->r, ERROR_INTERNAL);
}

static void
put_id(const struct content_object *files, uint32_t n, uint32_t at, const char *key,
    struct json_writer *w)
{
	json_put_key(w, key);
	if (n > 0)
		json_put_str(w, files[at].id);
	else
		json_put_null(w);
}

static struct status
put_list(struct json_doc *d, const struct content_answer *a, struct json_writer *w)
{
	const struct content_object *files = a->objects.items;
	uint32_t n = a->objects.count;

	json_put_object(w);
	json_put_key(w, "object");
	json_put_text(w, "list");
	json_put_key(w, "data");
	json_put_array(w);
	for (uint32_t i = 0; i < n; i++)
		TRY(put_file(d, &files[i], w));
	json_put_end(w);
	put_id(files, n, 0, "first_id", w);
	put_id(files, n, n - 1, "last_id", w);
	json_put_key(w, "has_more");
	json_put_bool(w, a->more != 0);
	json_put_end(w);
	return OK;
}

void
files_list_told(struct turn *t, const struct content_answer *a)
{
	auto_buf struct buf out = BUF_INIT(CONTENT_PAGE_MAX * 4096UL);
	struct json_writer w = json_writer(&out);

	if (is_ok(put_list(&t->r->g->answer_doc, a, &w)))
		stored_answer(t->r, &w);
	else
		reply_error(t->r, ERROR_INTERNAL);
}

void
files_body_told(struct turn *t, const struct content_answer *a)
{
	reply_body(t->r, 200, "application/octet-stream", a->body);
}

void
files_deleted_told(struct turn *t, const struct content_answer *a)
{
	(void)a;
	stored_answer_deleted(t->r, "file");
}
