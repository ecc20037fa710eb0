/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_tool.c: acts on users' tools: allow a version to others, take that back, list.
 *
 * Runs in: authority. Trusts: whoever may open the management socket.
 * Owns: nothing; a version is held until its act is over.
 * Invariants: no change without a durable intent; the table changes once the store has
 * confirmed; in a tenant one tool of a name at most is allowed to others.
 * See: admin_op.h, tools.h.
 */
#include "admin_op.h"

#include <base/encode.h>
#include <json/write.h>

#define PAGE_MAX 128 /* versions */

static void on_intent(struct admin_op *op);
static void on_marked(struct authority *a, void *ctx, enum code code, const void *answered);
static void on_list_record(struct admin_op *op);

/* ---- allow, disallow ---- */

static struct tool *
tool_of(struct authority *a, const struct admin_tool *m)
{
	struct user *user = keys_find_user(&a->keys, m->tenant, m->user);

	return user == NULL ? NULL : tools_own(user, m->name);
}

/* The version that is meant: the current one, or that which is allowed. */
static struct tool_version *
version_of(struct authority *a, const struct admin_tool *m)
{
	const struct tool *t = tool_of(a, m);

	if (t == NULL)
		return NULL;
	if (m->version == 0 && !m->allowed)
		return t->allowed;
	return tool_version_of(t, m->version);
}

/* Not when another one of that name is allowed in the tenant, or too many are. */
static bool
may_share(const struct tool *t)
{
	const struct tool *other;

	LIST_FOREACH(other, &t->tenant->shared, of_tenant)
	{
		if (other != t && strcmp(other->name, t->name) == 0)
			return false;
	}
	return t->allowed != NULL || t->tenant->nshared < TOOLS_SHARED_MAX;
}

struct status
admin_mark_tool(const struct admin_call *c, const struct admin_tool *m)
{
	struct tool_version *v = version_of(c->a, m);
	struct admin_op *op = NULL;

	if (v == NULL)
		return fail(E_NOTFOUND);
	if (m->allowed && !may_share(v->tool))
		return fail(E_EXISTS);
	TRY(admin_op_new(c, OP_TOOL_MARK, &op));
	op->tool = v;
	tools_hold(v);
	op->allowed = m->allowed;
	op->version = v->version;
	op->subject = v->tool->user->subject;
	memcpy(op->hash, v->digest, sizeof(op->hash));
	memcpy(op->name, v->tool->name, sizeof(v->tool->name));
	return admin_op_begin(op, on_intent, c->op);
}

static void
put_mark(struct admin_op *op, struct batch *b, const struct record_who *who)
{
	struct audit_rec *r = batch_add(b, EVENT_TOOL_CHANGED, who, "tool", span_str(op->name));

	memcpy(r->subject, op->subject, SUBJECT_LEN); /* its owner */
	batch_text(b, op->name);
	batch_u64(b, op->version);
	batch_digest(b, op->hash);
	batch_text(b, op->allowed ? "allowed" : "disallowed");
	admin_put_by(op, b);
}

static void
on_intent(struct admin_op *op)
{
	const struct as_tool_mark m = { .id = op->tool->id,
		.mark = op->allowed ? TOOL_MARK_ALLOWED : TOOL_MARK_NOT_ALLOWED };

	struct tenant_tools *tenant;

	if (op->tool->tool == NULL) {
		admin_op_finish(op, 404, "not_found", "There is no such tool any more.");
		return;
	}
	tenant = op->tool->tool->tenant;
	if (op->allowed &&
	    (claim_is_held(&tenant->sharing, &op->a->keys) || !may_share(op->tool->tool))) {
		/* Another act was faster. */
		admin_op_finish(op, 409, "already_allowed", ADMIN_TOOL_TAKEN);
		return;
	}
	if (op->allowed)
		admin_op_claim(op, &tenant->sharing);
	admin_op_ask(op, AS_TOOL_MARK, &m, AS_DONE, on_marked);
}

static void
on_marked(struct authority *a, void *ctx, enum code code, const void *answered)
{
	struct admin_op *op = ctx;

	(void)answered;
	if (code == E_NOTFOUND) {
		admin_op_finish(op, 404, "not_found", "There is no such tool any more.");
		return;
	}
	if (code != E_OK) {
		admin_op_finish(op, 503, "store_unavailable", "The store did not take the change.");
		return;
	}
	tools_marked(a, op->tool, op->allowed ? TOOL_MARK_ALLOWED : TOOL_MARK_NOT_ALLOWED);
	admin_op_finish(op, 200, NULL, NULL);
}

/* With which policies the configuration shares a tool of that name. */
static void
put_shared_with(const struct authority *a, struct json_writer *w, const char *name)
{
	const struct name_set *set = &tool_rules_find(&a->policies.tools, span_str(name))->allow;

	json_put_key(w, "shared_with");
	json_put_array(w);
	if (set->all)
		json_put_text(w, "*");
	for (size_t i = 0; i < set->n; i++)
		json_put_str(w, set->names[i]);
	json_put_end(w);
}

static struct status
put_mark_body(struct admin_op *op, struct json_writer *w)
{
	json_put_key(w, "name");
	json_put_text(w, op->name);
	json_put_key(w, "version");
	json_put_u64(w, op->version);
	json_put_key(w, "allowed");
	json_put_bool(w, op->allowed);
	put_shared_with(op->a, w, op->name);
	return OK;
}

const struct admin_kind admin_tool_mark_kind = { put_mark, put_mark_body, false, ADMIN_WAIT_MS };

/* ---- list ---- */

struct status
admin_list_tools(const struct admin_call *c, uint64_t after)
{
	struct admin_op *op = NULL;

	TRY(admin_op_new(c, OP_TOOL_LIST, &op));
	op->body = BUF_INIT(ADMIN_BODY_MAX);
	op->after_key = after;
	return admin_op_begin(op, on_list_record, c->op);
}

static void
put_list(struct admin_op *op, struct batch *b, const struct record_who *who)
{
	(void)batch_add(b, EVENT_ADMIN, who, "admin", SPAN_LIT("tools"));
	batch_text(b, "tools.list");
	admin_put_by(op, b);
}

static void
put_version(const struct authority *a, struct json_writer *w, const struct tool_version *v)
{
	struct tool_use use = { 0 };
	char digest[2 * DIGEST_LEN];

	tools_limits(a, span_str(v->tool->name), v->parts, &use);
	hex_encode(span_of(v->digest, DIGEST_LEN), digest);
	json_put_object(w);
	json_put_key(w, "tenant");
	json_put_str(w, v->tool->user->tenant);
	json_put_key(w, "user");
	json_put_str(w, v->tool->user->name);
	json_put_key(w, "name");
	json_put_text(w, v->tool->name);
	json_put_key(w, "version");
	json_put_u64(w, v->version);
	json_put_key(w, "current");
	json_put_bool(w, v == v->tool->current);
	json_put_key(w, "allowed");
	json_put_bool(w, v == v->tool->allowed);
	json_put_key(w, "sandbox");
	json_put_text(w, tool_sandbox_names[use.sandbox]);
	json_put_key(w, "sha256");
	json_put_str(w, span_of(digest, sizeof(digest)));
	json_put_key(w, "created_s");
	json_put_u64(w, v->created_s);
	json_put_end(w);
}

static struct status
put_page(const struct authority *a, uint64_t after, struct buf *out)
{
	struct json_writer w = json_writer(out);
	uint64_t last = 0;
	uint32_t n = 0;

	json_put_object(&w);
	json_put_key(&w, "tools");
	json_put_array(&w);
	for (size_t i = 0; i < a->tools.n && n < PAGE_MAX; i++) {
		const struct tool_version *v = a->tools.by_id[i];

		if (v->id <= after || v->tool == NULL)
			continue;
		put_version(a, &w, v);
		last = v->id;
		n++;
	}
	json_put_end(&w);
	json_put_key(&w, "next");
	if (n == PAGE_MAX)
		json_put_u64(&w, last);
	else
		json_put_null(&w);
	json_put_end(&w);
	return json_writer_finish(&w);
}

static void
on_list_record(struct admin_op *op)
{
	if (is_ok(put_page(op->a, op->after_key, &op->body)))
		admin_op_answer(op, 200, NULL, NULL);
	else
		admin_op_answer(op, 500, "internal_error", "The list could not be made.");
}

const struct admin_kind admin_tool_list_kind = { put_list, NULL, true, ADMIN_WAIT_MS };
