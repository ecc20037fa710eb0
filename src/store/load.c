/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load.c: all that the authority is told of at once: versions of keys, users, API keys, sessions,
 * tools.
 *
 * Runs in: store, jailed. Trusts: its own tables, after their seals were checked.
 * Owns: the loads under way, one for each link.
 * Invariants: a load is sent as the authority reads it, never more than LOAD_QUEUE_MAX ahead; it
 * begins with what does not fit (sum.h); one that is asked for anew takes the place of the other.
 * See: load.h; wire/authority_store.h.
 */
#include "load.h"

#include <stdlib.h>

#include <base/clock.h>

#include "requests.h"

#define LOAD_QUEUE_MAX (1U << 20) /* unsent bytes of a load */
#define LOAD_TICK_MS 1

enum load_stage {
	LOAD_IDLE,
	LOAD_LOOKS, /* at the rows that it is about to tell */
	LOAD_KEYSETS,
	LOAD_USERS,
	LOAD_KEYS,
	LOAD_SESSIONS,
	LOAD_TOOLS
};

struct load {
	struct db *db;
	struct link *link;
	enum load_stage stage;
	uint64_t id;
	int64_t cursor;
	struct db_keyset_cursor keysets;
	struct db_tool_cursor tools;
	uv_timer_t tick; /* goes on with a load that outran its reader, or has looked for a while */
};

static uint64_t
now_s(void)
{
	return clock_real_ns() / NS_PER_S;
}

/* A row that does not open is nobody's: it is left out, loudly, and all others are served. */
static struct status
left_out(struct status st, const char *what, uint64_t id)
{
	if (st.code != E_CORRUPT)
		return st;
	diag(DIAG_ERROR, "%s, row %llu: it does not open, it is left out", what,
	    (unsigned long long)id);
	return OK;
}

/* One that does not open fails the load: what it signed or hashed could not be told. */
static struct status
send_keyset(struct load *l)
{
	struct as_keyset_key m = { 0 };
	struct status st = db_keyset_next(l->db, &l->keysets, &m);

	if (is_ok(st))
		st = link_send(l->link, l->id, AS_KEYSET_KEY, &m);
	explicit_bzero(&m, sizeof(m));
	if (st.code != E_NOTFOUND)
		return st;
	l->stage = LOAD_USERS;
	l->cursor = 0;
	return OK;
}

static struct status
send_user(struct load *l)
{
	struct as_user u = { 0 };
	struct status st = db_user_next(l->db, &l->cursor, &u);

	if (is_ok(st))
		st = link_send(l->link, l->id, AS_USER, &u);
	explicit_bzero(u.subject_key, sizeof(u.subject_key));
	if (st.code != E_NOTFOUND)
		return left_out(st, "user", (uint64_t)l->cursor);
	l->stage = LOAD_KEYS;
	l->cursor = 0;
	return OK;
}

static struct status
send_loaded(struct load *l)
{
	struct as_loaded m = { 0 };
	struct status st;

	db_day_of(now_s(), m.day);
	st = db_tenant_key(l->db, m.tenant_key);
	if (is_ok(st))
		st = db_day_key(l->db, span_of(m.day, AS_DAY_LEN), now_s(), m.day_key);
	if (is_ok(st))
		st = link_send(l->link, l->id, AS_LOADED, &m);
	explicit_bzero(&m, sizeof(m));
	l->stage = LOAD_IDLE;
	return st;
}

static struct status
send_key(struct load *l)
{
	struct as_key k = { 0 };
	struct status st = db_key_next(l->db, &l->cursor, &k);

	if (is_ok(st))
		return link_send(l->link, l->id, AS_KEY, &k);
	if (st.code != E_NOTFOUND)
		return left_out(st, "API key", (uint64_t)l->cursor);
	l->stage = LOAD_SESSIONS;
	l->cursor = 0;
	return OK;
}

static struct status
send_session(struct load *l)
{
	struct as_session m = { 0 };
	struct status st = db_session_next(l->db, &l->cursor, &m);

	if (is_ok(st))
		return link_send(l->link, l->id, AS_SESSION, &m);
	if (st.code != E_NOTFOUND)
		return left_out(st, "session", (uint64_t)l->cursor);
	l->stage = LOAD_TOOLS;
	l->tools = (struct db_tool_cursor){ 0 };
	return OK;
}

/* One that does not open is left out: it is no tool any more. */
static struct status
send_tool(struct load *l)
{
	struct as_tool m = { 0 };
	const struct db_tool_cursor before = l->tools;
	struct status st = db_tool_next(l->db, &l->tools, &m);

	if (is_ok(st))
		return link_send(l->link, l->id, AS_TOOL, &m);
	if (st.code == E_CORRUPT &&
	    (l->tools.tool != before.tool || l->tools.version != before.version)) {
		diag(DIAG_ERROR, "tool %llu, version's id %llu: it does not open, it is left out",
		    (unsigned long long)l->tools.tool, (unsigned long long)l->tools.version);
		return OK;
	}
	return st.code == E_NOTFOUND ? send_loaded(l) : st;
}

static struct status
send_next(struct load *l)
{
	static struct status (*const senders[])(struct load *) = {
		[LOAD_KEYSETS] = send_keyset,
		[LOAD_USERS] = send_user,
		[LOAD_KEYS] = send_key,
		[LOAD_SESSIONS] = send_session,
		[LOAD_TOOLS] = send_tool,
	};

	return senders[l->stage](l);
}

static void
end(struct load *l, struct status st)
{
	const struct as_done m = { .code = st.code };

	l->stage = LOAD_IDLE;
	if (is_ok(st))
		return;
	diag(DIAG_WARN, "load refused: %s", status_text(st));
	if (!is_ok(link_send(l->link, l->id, AS_DONE, &m)))
		diag(DIAG_WARN, "the authority does not read its answers");
}

static void on_tick(uv_timer_t *t);

static struct status
look(struct load *l)
{
	bool more;

	TRY(sums_before_load(l->link, &more));
	if (more)
		return OK;
	l->stage = LOAD_KEYSETS;
	l->keysets = (struct db_keyset_cursor){ 0 };
	return OK;
}

static void
go_on(struct load *l)
{
	struct status st = l->stage == LOAD_LOOKS ? look(l) : OK;

	while (is_ok(st) && l->stage > LOAD_LOOKS && link_queued(l->link) < LOAD_QUEUE_MAX)
		st = send_next(l);
	if (!is_ok(st))
		end(l, st);
	if (l->stage == LOAD_IDLE)
		(void)uv_timer_stop(&l->tick);
	else if (!uv_is_active((const uv_handle_t *)&l->tick))
		(void)uv_timer_start(&l->tick, on_tick, LOAD_TICK_MS, LOAD_TICK_MS);
	link_flush(l->link);
}

static void
on_tick(uv_timer_t *t)
{
	go_on(t->data);
}

void
load_begin(struct load *l, uint64_t id)
{
	l->id = id;
	l->stage = LOAD_LOOKS;
	go_on(l);
}

struct load *
load_new(uv_loop_t *loop, struct db *db, struct link *link)
{
	struct load *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	l->db = db;
	l->link = link;
	(void)uv_timer_init(loop, &l->tick);
	l->tick.data = l;
	return l;
}

static void
on_tick_closed(uv_handle_t *h)
{
	free(h->data);
}

void
load_free(struct load *l)
{
	if (l->stage == LOAD_LOOKS)
		db_sums_look_anew(l->db);
	uv_close((uv_handle_t *)&l->tick, on_tick_closed);
}
