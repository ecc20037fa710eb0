/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tool_requests.c: the authority's requests about users' tools.
 *
 * Runs in: store, jailed. Trusts: the authority, within the tables of the edge; a
 * descriptor that came only after its seals and its length were checked.
 * Owns: nothing: descriptors are closed where they came, and once they are sent.
 * Invariants: an answer leaves after the commit of what it confirms.
 * See: wire/authority_store.h, tool.c.
 */
#include "privacy.h"
#include "requests.h"

#include <base/cleanup.h>
#include <daemon/daemon.h>

static struct db *db;

void
tool_requests_init(struct db *with)
{
	db = with;
}

static void
reply(struct link *l, uint64_t id, uint16_t type, const void *msg)
{
	if (!is_ok(link_send(l, id, type, msg)))
		diag(DIAG_WARN, "the authority does not read its answers");
}

static void
count_change(struct status st, const char *what)
{
	daemon_metric_add(METRIC_STORE_CHANGES, is_ok(st) ? 1 : 0);
	if (!is_ok(st) && st.code != E_NOTFOUND)
		diag(DIAG_WARN, "%s refused: %s", what, status_text(st));
}

static void
done(struct link *l, uint64_t id, struct status st, const char *what)
{
	const struct as_done m = { .code = st.code };

	count_change(st, what);
	reply(l, id, AS_DONE, &m);
}

void
requests_on_tool_put(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	auto_fd int upload = link_take_fd(l), artefact = link_take_fd(l);
	struct as_tool_kept m = { 0 };
	struct status st = db_tool_put(db, msg, upload, artefact, &m);

	(void)ctx;
	count_change(st, "tool");
	m.code = st.code;
	reply(l, id, AS_TOOL_KEPT, &m);
}

void
requests_on_tool_get(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct as_tool_get *get = msg;
	auto_fd int fd = -1;
	struct as_tool_part m = { .code = E_OK };
	struct status st = db_tool_part(db, get->id, (enum tool_part)get->part, m.digest, &fd);

	(void)ctx;
	m.code = st.code;
	if (!is_ok(st) && st.code != E_NOTFOUND)
		diag(DIAG_ERROR, "part %u of the tool's version with id %llu: %s", get->part,
		    (unsigned long long)get->id, status_text(st));
	if (is_ok(st))
		st = link_send_fds(l, id, AS_TOOL_PART, &m, &fd, 1);
	else
		st = link_send(l, id, AS_TOOL_PART, &m);
	if (!is_ok(st))
		diag(DIAG_WARN, "the authority does not read its answers");
}

void
requests_on_tool_rebuilt(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	auto_fd int artefact = link_take_fd(l);

	(void)ctx;
	done(l, id, db_tool_rebuilt(db, msg, artefact), "tool that was compiled anew");
}

void
requests_on_tool_mark(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)ctx;
	done(l, id, db_tool_mark(db, msg), "mark of a tool");
}

void
requests_on_tool_remove(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)ctx;
	done(l, id, db_tool_remove(db, msg), "removal of a tool");
	privacy_sweep_soon();
}
