/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tools.c: users' tools as the authority knows them: list, look at, remove, choose a version.
 *
 * Runs in: gateway. Trusts: the authority, which names only what the key may see.
 * Owns: nothing. Invariants: the answer is made from the authority's alone, once it is durable.
 * See: wire/gateway_authority.h, ga_admitted.tools; docs/tools.md.
 */
#include <base/cleanup.h>
#include <base/encode.h>

#include "request.h"
#include "routes.h"

#define TOOLS_ANSWER_MAX (4U << 20)

/* ---- the query ---- */

/* `name`=value, alone. */
static bool
query_value(const struct request *r, const char *name, struct span *ret)
{
	size_t len = strlen(name);

	if (!span_starts(r->http.query, span_of(name, len)) || r->http.query.len <= len + 1 ||
	    r->http.query.ptr[len] != '=')
		return false;
	*ret = span_from(r->http.query, len + 1);
	return true;
}

enum error
tools_query_version(struct request *r)
{
	struct span value;
	uint64_t version;

	if (!query_value(r, "version", &value) || !is_ok(span_u64(value, UINT32_MAX, &version)) ||
	    version == 0) {
		r->detail = "the query is not version, a number from 1 on";
		return ERROR_INVALID_FIELD;
	}
	r->tool_version = (uint32_t)version;
	return ERROR_NONE;
}

enum error
tools_query_after(struct request *r)
{
	struct span value;

	if (!query_value(r, "after", &value) || !manifest_name_ok(value)) {
		r->detail = "the query is not after, the name of a tool";
		return ERROR_INVALID_FIELD;
	}
	return is_ok(arena_copy(&r->arena, value, &r->route_param)) ? ERROR_NONE : ERROR_OVERLOADED;
}

/* ---- requests ---- */

static void
ask(struct request *r, uint32_t version)
{
	struct ga_admit *m = &r->turn.admit;

	m->endpoint = (uint8_t)r->route->endpoint;
	m->tool_name = r->route_param;
	m->tool_version = version;
	turn_admit(&r->turn, KIND_PLAIN);
}

void
tools_list_run(struct request *r)
{
	ask(r, 0);
}

void
tools_get_run(struct request *r)
{
	ask(r, r->tool_version);
}

void
tools_remove_run(struct request *r)
{
	ask(r, r->tool_version);
}

void
tools_current_run(struct request *r)
{
	const struct json_doc *d = &r->g->doc;
	uint64_t version = 0;

	if (is_ok(json_u64(d, json_get_str(d, 0, "version"), UINT32_MAX, &version)))
		ask(r, (uint32_t)version);
	else
		turn_refuse(&r->turn, ERROR_INVALID_FIELD);
}

/* ---- answers ---- */

static void
put_time(struct json_writer *w, const char *key, uint64_t s)
{
	json_put_key(w, key);
	json_put_u64(w, s);
}

/* What is said of each version. */
static void
put_version(const struct ga_tool *tool, struct json_writer *w)
{
	char digest[2 * DIGEST_LEN];

	hex_encode(span_of(tool->digest, DIGEST_LEN), digest);
	json_put_key(w, "version");
	json_put_u64(w, tool->version);
	json_put_key(w, "current");
	json_put_bool(w, tool->current != 0);
	json_put_key(w, "allowed");
	json_put_bool(w, tool->allowed != 0);
	json_put_key(w, "sandbox");
	if (tool->sandbox == 0)
		json_put_null(w);
	else
		json_put_text(w, tool_sandbox_names[tool->sandbox]);
	json_put_key(w, "parts");
	json_put_array(w);
	if ((tool->parts & TOOL_HAS_MODULE) != 0)
		json_put_text(w, "module");
	if ((tool->parts & TOOL_HAS_NATIVE) != 0)
		json_put_text(w, "native");
	json_put_end(w);
	json_put_key(w, "digest");
	json_put_str(w, span_of(digest, sizeof(digest)));
	put_time(w, "created_at", tool->created_s);
}

/* Its description, from the manifest; data of a user. */
static void
put_description(const struct ga_tool *tool, struct json_writer *w)
{
	auto_arena struct arena a = ARENA_INIT(4UL * MANIFEST_MAX);
	struct manifest m;

	json_put_key(w, "description");
	if (is_ok(manifest_read(tool->manifest, &a, &m)))
		json_put_str(w, m.description);
	else
		json_put_null(w);
}

static void
put_listed(const struct ga_tool *tool, struct json_writer *w)
{
	json_put_object(w);
	json_put_key(w, "object");
	json_put_text(w, "tool");
	json_put_key(w, "name");
	json_put_str(w, tool->name);
	json_put_key(w, "owner");
	json_put_str(w, tool->user);
	put_description(tool, w);
	put_version(tool, w);
	json_put_end(w);
}

static void
answer(struct request *r, const struct json_writer *w, uint16_t status)
{
	if (is_ok(json_writer_finish(w)))
		reply_json(r, status, buf_span(w->out));
	else
		reply_error(r, ERROR_INTERNAL);
}

void
tools_list_told(struct turn *t, const struct ga_admitted *m)
{
	auto_buf struct buf out = BUF_INIT(TOOLS_ANSWER_MAX);
	struct json_writer w = json_writer(&out);
	const struct ga_tool *tools = m->tools.items;

	json_put_object(&w);
	json_put_key(&w, "object");
	json_put_text(&w, "list");
	json_put_key(&w, "data");
	json_put_array(&w);
	for (size_t i = 0; i < m->tools.count; i++)
		put_listed(&tools[i], &w);
	json_put_end(&w);
	json_put_key(&w, "has_more");
	json_put_bool(&w, m->more != 0);
	json_put_end(&w);
	answer(t->r, &w, 200);
}

/* The manifest of the one version that has it. */
static void
put_manifest(const struct ga_admitted *m, struct json_writer *w)
{
	const struct ga_tool *tools = m->tools.items;

	json_put_key(w, "manifest");
	for (size_t i = 0; i < m->tools.count; i++) {
		if (tools[i].manifest.len == 0)
			continue;
		json_put_raw(w, tools[i].manifest);
		return;
	}
	json_put_null(w);
}

void
tools_get_told(struct turn *t, const struct ga_admitted *m)
{
	auto_buf struct buf out = BUF_INIT(TOOLS_ANSWER_MAX);
	struct json_writer w = json_writer(&out);
	const struct ga_tool *tools = m->tools.items;

	if (m->tools.count == 0) {
		reply_error(t->r, ERROR_TOOL_NOT_FOUND);
		return;
	}
	json_put_object(&w);
	json_put_key(&w, "object");
	json_put_text(&w, "tool");
	json_put_key(&w, "name");
	json_put_str(&w, tools[0].name);
	json_put_key(&w, "owner");
	json_put_str(&w, tools[0].user);
	json_put_key(&w, "versions");
	json_put_array(&w);
	for (size_t i = 0; i < m->tools.count; i++) {
		json_put_object(&w);
		put_version(&tools[i], &w);
		json_put_end(&w);
	}
	json_put_end(&w);
	put_manifest(m, &w);
	json_put_end(&w);
	answer(t->r, &w, 200);
}

static void
put_named(const struct request *r, const char *what, struct json_writer *w)
{
	json_put_object(w);
	json_put_key(w, "object");
	json_put_text(w, what);
	json_put_key(w, "name");
	json_put_str(w, r->route_param);
}

void
tools_remove_told(struct turn *t, const struct ga_admitted *m)
{
	auto_buf struct buf out = BUF_INIT(4096);
	struct json_writer w = json_writer(&out);

	(void)m;
	put_named(t->r, "tool.deleted", &w);
	json_put_key(&w, "version");
	if (t->r->tool_version == 0)
		json_put_null(&w);
	else
		json_put_u64(&w, t->r->tool_version);
	json_put_key(&w, "deleted");
	json_put_bool(&w, true);
	json_put_end(&w);
	answer(t->r, &w, 200);
}

void
tools_current_told(struct turn *t, const struct ga_admitted *m)
{
	auto_buf struct buf out = BUF_INIT(4096);
	struct json_writer w = json_writer(&out);

	(void)m;
	put_named(t->r, "tool", &w);
	json_put_key(&w, "version");
	json_put_u64(&w, t->admit.tool_version);
	json_put_key(&w, "current");
	json_put_bool(&w, true);
	json_put_end(&w);
	answer(t->r, &w, 200);
}

/* ---- runs that are answered whole ---- */

void
tool_run_started(struct run *run, void *ctx)
{
	(void)run, (void)ctx;
}

void
tool_run_output(struct run *run, bool err, struct span text, void *ctx)
{
	(void)run, (void)err, (void)text, (void)ctx;
}

void
tool_run_done(struct run *run, void *ctx)
{
	(void)run;
	turn_run_ended(ctx);
	turn_event(ctx, TURN_ANSWERED);
}
