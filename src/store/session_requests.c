/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_requests.c: the authority's requests about sessions, and keys that have versions.
 *
 * Runs in: store, jailed. Trusts: the authority, within the tables of the edge.
 * Owns: nothing. Invariants: an answer leaves after the commit of what it confirms; a key that
 * was sent is wiped.
 * See: wire/authority_store.h; session.c, keyset.c.
 */
#include "requests.h"

#include <base/clock.h>
#include <daemon/daemon.h>

static struct db *db;

void
session_requests_init(struct db *with)
{
	db = with;
}

static uint64_t
now_s(void)
{
	return clock_real_ns() / NS_PER_S;
}

static void
done(struct link *l, uint64_t id, struct status st, const char *what)
{
	const struct as_done m = { .code = st.code };

	daemon_metric_add(METRIC_STORE_CHANGES, is_ok(st) ? 1 : 0);
	if (!is_ok(st) && st.code != E_NOTFOUND)
		diag(DIAG_WARN, "%s refused: %s", what, status_text(st));
	if (!is_ok(link_send(l, id, AS_DONE, &m)))
		diag(DIAG_WARN, "the authority does not read its answers");
}

void
requests_on_session_put(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)ctx;
	done(l, id, db_session_put(db, msg, now_s()), "session");
}

void
requests_on_session_end(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct as_session_end *m = msg;

	(void)ctx;
	done(l, id, db_session_end(db, m->id), "end of a session");
}

void
requests_on_key_rehash(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	(void)ctx;
	done(l, id, db_keys_rehash(db, msg), "hashes of keys");
}

static void
reply(struct link *l, uint64_t id, enum as_keysets what, struct status st, bool made)
{
	struct as_keyset m = { .versions = 0 };
	struct status shown = db_keyset_status(db, what, &m);

	if (is_ok(st) && is_ok(shown) && made)
		shown = db_keyset_newest(db, what, m.key);
	m.code = is_ok(st) ? shown.code : st.code;
	if (!is_ok(link_send(l, id, AS_KEYSET, &m)))
		diag(DIAG_WARN, "the authority does not read its answers");
	explicit_bzero(&m, sizeof(m));
}

void
requests_on_keyset_rotate(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct as_keyset_ref *m = msg;
	struct status st = db_keyset_rotate(db, (enum as_keysets)m->what, now_s());

	(void)ctx;
	daemon_metric_add(METRIC_STORE_CHANGES, is_ok(st) ? 1 : 0);
	if (!is_ok(st))
		diag(DIAG_WARN, "another version of a key refused: %s", status_text(st));
	reply(l, id, (enum as_keysets)m->what, st, true);
}

void
requests_on_keyset_status(struct link *l, uint64_t id, const void *msg, void *ctx)
{
	const struct as_keyset_ref *m = msg;

	(void)ctx;
	reply(l, id, (enum as_keysets)m->what, OK, false);
}
