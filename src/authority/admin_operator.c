/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_operator.c: acts that only an operator of the machine has: the configuration, secrets
 * of providers, users' tools.
 *
 * Runs in: authority. Trusts: nothing of a request. Owns: nothing.
 * Invariants: the table of routes lets no person in here.
 * See: admin_call.h; admin.c, admin_secret.c, admin_tool.c for the acts.
 */
#include "admin_op.h"

#include <base/cleanup.h>
#include <crypto/file_secret.h>

#include "admin_json.h"

struct status
operator_reload(struct admin_call *c)
{
	return admin_reload(c);
}

struct status
operator_kek_show(struct admin_call *c)
{
	return admin_show_keys(c);
}

struct status
operator_kek_rotate(struct admin_call *c)
{
	return admin_rotate_keys(c, AS_ROTATE_KEK, false);
}

struct status
operator_kek_rotate_data(struct admin_call *c)
{
	return admin_rotate_keys(c, AS_ROTATE_DATA, false);
}

struct status
operator_session_keys_show(struct admin_call *c)
{
	return admin_show_keyset(c, KEYSET_SESSION);
}

struct status
operator_session_keys_rotate(struct admin_call *c)
{
	return admin_rotate_keyset(c, KEYSET_SESSION, false);
}

struct status
operator_pepper_show(struct admin_call *c)
{
	return admin_show_keyset(c, KEYSET_PEPPER);
}

struct status
operator_pepper_rotate(struct admin_call *c)
{
	return admin_rotate_keyset(c, KEYSET_PEPPER, false);
}

static struct status
check_secret_name(struct admin_call *c)
{
	if (file_secret_name_ok(c->param))
		return OK;
	return admin_refuse(
	    c, 400, "invalid_request", "Names of secrets: 1 to 64 of A-Z a-z 0-9 _ . -");
}

struct status
operator_secret_set(struct admin_call *c)
{
	auto_buf struct buf sealed = BUF_INIT(SECRET_SEALED_MAX);
	struct admin_secret s = { .name = c->param };

	TRY(check_secret_name(c));
	if (!is_ok(admin_parse_secret(c->body, &sealed, &s.rotate)))
		return admin_refuse(c, 400, "invalid_request", c->route->wanted);
	s.sealed = buf_span(&sealed);
	return admin_set_secret(c, &s);
}

struct status
operator_secret_remove(struct admin_call *c)
{
	TRY(check_secret_name(c));
	return admin_remove_secret(c, c->param);
}

struct status
operator_secret_list(struct admin_call *c)
{
	return admin_list_secrets(c);
}

struct status
operator_tool_mark(struct admin_call *c)
{
	struct admin_tool m;
	struct status st;

	if (!is_ok(admin_parse_tool(c->body, c->arena, &m)))
		return admin_refuse(c, 400, "invalid_request", c->route->wanted);
	st = admin_mark_tool(c, &m);
	if (st.code == E_NOTFOUND)
		return admin_refuse(c, 404, "not_found", "There is no such tool or version.");
	if (st.code == E_EXISTS)
		return admin_refuse(c, 409, "already_allowed", ADMIN_TOOL_TAKEN);
	return st;
}

struct status
operator_tool_list(struct admin_call *c)
{
	struct span after = admin_query(c, "after");
	uint64_t id = 0;

	if (after.len > 0 && !is_ok(span_u64(after, INT64_MAX, &id)))
		return admin_refuse(c, 400, "invalid_request", "after is the id of a version.");
	return admin_list_tools(c, id);
}
