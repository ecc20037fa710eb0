/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream.c: one configured origin: its addresses, its connections.
 *
 * Runs in: broker. Trusts: the configuration; not what DNS says.
 * Owns: the TLS context, kept connections, what waits for one. A connection that carries an
 * exchange is its user's; the upstream lives until the last one is given back.
 * Invariants: an address is used only while its name's answer is good, and only if its class is
 * allowed: each new answer is checked anew; at most UPSTREAM_OPEN_MAX connections, of which
 * UPSTREAM_KEPT_MAX are kept.
 * See: upstream.h, dial.c, resolve.c, base/address.h.
 */
#include "upstream.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "dial.h"
#include "origin.h"

struct upstream_wait {
	LIST_ENTRY(upstream_wait) entry;
	struct upstream *u;
	struct dial *dial; /* NULL: waits for addresses */
	upstream_done *done;
	void *ctx;
};

struct upstream {
	uv_loop_t *loop;
	struct resolver *resolver;
	upstream_connect *connect; /* local: no address */
	void *connect_ctx;
	struct origin origin;
	unsigned allow; /* bits of classes */
	struct exchange_limits limits;
	struct tls_ctx *tls;
	bool pinned, closed;
	uint8_t pin[UPSTREAM_PIN_LEN];
	/* addresses */
	struct resolve_answer addresses; /* allowed ones */
	struct status resolved;          /* how the last question ended */
	uint64_t good_until_ms;
	size_t first; /* of `addresses`: worked last time */
	struct resolve_wait *resolving;
	uv_timer_t *timer; /* tells from the loop what is known at once */
	/* connections */
	LIST_HEAD(, upstream_wait) waits;
	struct conn *kept[UPSTREAM_KEPT_MAX];
	size_t nkept;
	size_t nopen; /* waits included */
};

static bool wait_begin(struct upstream_wait *w);
static void place_back(struct upstream *u);
static void wait_fail(struct upstream_wait *w, struct status st);
static void on_resolved(void *ctx, struct status st, const struct resolve_answer *a);
static void on_dialled(void *ctx, struct status st, const struct io *io, size_t used);
static void on_idle_closed(struct conn *c, void *pool);

/* ---- making one ---- */
static struct status
make_tls(struct upstream *u, const struct upstream_opts *o)
{
	const struct tls_client_opts t = { .ca_pem = o->ca_pem,
		.allow_tls12 = o->allow_tls12,
		.cert_pem = o->cert_pem,
		.key_pem = o->key_pem,
		.read_ahead = true };

	if (!u->origin.tls)
		return o->plain ? OK : fail(E_DENIED);
	return tls_client_ctx_new(&t, &u->tls);
}

static void
on_timer_closed(uv_handle_t *h)
{
	free(h);
}

static void
destroy(struct upstream *u)
{
	if (u->resolving != NULL)
		resolve_cancel(u->resolving);
	if (u->timer != NULL)
		uv_close((uv_handle_t *)u->timer, on_timer_closed);
	tls_ctx_free(u->tls);
	free(u);
}

static struct status
fill(struct upstream *u, const struct upstream_opts *o)
{
	u->loop = o->loop;
	u->resolver = o->resolver;
	u->limits = o->limits;
	u->resolved = fail(E_AGAIN);
	LIST_INIT(&u->waits);
	TRY(origin_parse(o->url, &u->origin));
	TRY(make_tls(u, o));
	u->allow = o->allow | ADDRESS_BIT(ADDRESS_PUBLIC);
	if (u->origin.loopback)
		u->allow = ADDRESS_BIT(ADDRESS_LOOPBACK);
	if (!u->origin.tls) /* in clear: only within this machine, whatever the name leads to */
		u->allow &= ADDRESS_BIT(ADDRESS_LOOPBACK) | ADDRESS_BIT(ADDRESS_METADATA);
	u->pinned = o->pin != NULL;
	if (u->pinned)
		memcpy(u->pin, o->pin, sizeof(u->pin));
	u->timer = calloc(1, sizeof(*u->timer));
	if (u->timer == NULL)
		return fail(E_NOMEM);
	(void)uv_timer_init(u->loop, u->timer);
	u->timer->data = u;
	return OK;
}

struct status
upstream_new(const struct upstream_opts *o, struct upstream **ret)
{
	struct upstream *u = calloc(1, sizeof(*u));
	struct status st;

	if (u == NULL)
		return fail(E_NOMEM);
	st = fill(u, o);
	if (!is_ok(st)) {
		destroy(u);
		return st;
	}
	*ret = u;
	return OK;
}

struct status
upstream_new_local(uv_loop_t *loop, const char *authority, upstream_connect *connect, void *ctx,
    struct upstream **ret)
{
	struct upstream *u = calloc(1, sizeof(*u));

	if (u == NULL)
		return fail(E_NOMEM);
	LIST_INIT(&u->waits);
	u->loop = loop;
	u->connect = connect;
	u->connect_ctx = ctx;
	(void)snprintf(u->origin.host, sizeof(u->origin.host), "%s", authority);
	(void)snprintf(u->origin.authority, sizeof(u->origin.authority), "%s", authority);
	*ret = u;
	return OK;
}

void
upstream_drop_kept(struct upstream *u)
{
	while (u->nkept > 0) {
		conn_free(u->kept[--u->nkept]);
		u->nopen--;
	}
}

void
upstream_free(struct upstream *u)
{
	if (u == NULL)
		return;
	u->closed = true;
	upstream_drop_kept(u);
	if (u->nopen == 0)
		destroy(u);
}

/* ---- addresses ---- */
static bool
is_allowed(const struct upstream *u, const struct sockaddr *sa)
{
	return (u->allow & ADDRESS_BIT(address_class(sa))) != 0;
}

static void
take_answer(struct upstream *u, struct status st, const struct resolve_answer *a)
{
	u->addresses.count = 0;
	u->first = 0;
	u->resolved = st;
	u->good_until_ms = uv_now(u->loop) + (is_ok(st) ? a->ttl_ms : RESOLVE_TTL_MIN_MS);
	if (!is_ok(st))
		return;
	for (size_t i = 0; i < a->count; i++) {
		if (is_allowed(u, &a->addresses[i].sa))
			u->addresses.addresses[u->addresses.count++] = a->addresses[i];
	}
	if (u->addresses.count == 0)
		u->resolved = fail(E_DENIED);
}

static struct upstream_wait *
first_without_dial(const struct upstream *u)
{
	struct upstream_wait *w;

	LIST_FOREACH(w, &u->waits, entry)
	{
		if (w->dial == NULL)
			return w;
	}
	return NULL;
}

/* The answer is there: dial for all that wait, or tell them. A callback may cancel others. */
static void
on_told(uv_timer_t *t)
{
	struct upstream *u = t->data;
	struct upstream_wait *w;

	u->nopen++; /* keeps it alive */
	while ((w = first_without_dial(u)) != NULL && wait_begin(w))
		;
	place_back(u);
}

static void
on_resolved(void *ctx, struct status st, const struct resolve_answer *a)
{
	struct upstream *u = ctx;

	u->resolving = NULL;
	take_answer(u, st, a);
	(void)uv_timer_start(u->timer, on_told, 0, 0);
}

/* E_AGAIN: a question is under way, or is put now. */
static struct status
know_addresses(struct upstream *u)
{
	struct resolve_answer a;
	struct status st;

	if (u->resolving != NULL)
		return fail(E_AGAIN);
	if (u->resolved.code != E_AGAIN && uv_now(u->loop) < u->good_until_ms)
		return u->resolved;
	st = resolve_name(u->resolver, u->origin.host, on_resolved, u, &u->resolving, &a);
	if (st.code == E_AGAIN)
		return st;
	take_answer(u, st, &a);
	return u->resolved;
}

/* ---- connections ---- */
static struct status
dial(struct upstream_wait *w)
{
	struct upstream *u = w->u;
	const struct dial_opts o = { .loop = u->loop,
		.tls = u->tls,
		.name = u->origin.host,
		.pin = u->pinned ? u->pin : NULL,
		.port = u->origin.port,
		.addresses = &u->addresses,
		.first = u->first };

	return dial_new(&o, on_dialled, w, &w->dial);
}

/* From the loop: with addresses, or to fail. False: not yet. */
static bool
wait_begin(struct upstream_wait *w)
{
	struct status st = know_addresses(w->u);

	if (st.code == E_AGAIN)
		return false;
	if (is_ok(st))
		st = dial(w);
	if (!is_ok(st))
		wait_fail(w, st);
	return true;
}

static void
wait_drop(struct upstream_wait *w)
{
	LIST_REMOVE(w, entry);
	free(w);
}

/* Give one place back; with the last one a closed upstream goes. */
static void
place_back(struct upstream *u)
{
	assert(u->nopen > 0);
	u->nopen--;
	if (u->closed && u->nopen == 0 && LIST_EMPTY(&u->waits))
		destroy(u);
}

static void
wait_fail(struct upstream_wait *w, struct status st)
{
	struct upstream *u = w->u;
	upstream_done *done = w->done;
	void *ctx = w->ctx;

	wait_drop(w);
	place_back(u);
	done(ctx, st, NULL);
}

static void
on_dialled(void *ctx, struct status st, const struct io *io, size_t used)
{
	struct upstream_wait *w = ctx;
	struct upstream *u = w->u;
	struct conn *c = NULL;
	upstream_done *done = w->done;
	void *done_ctx = w->ctx;

	if (is_ok(st)) {
		st = conn_new(u->loop, io, &u->limits, on_idle_closed, u, &c);
		if (!is_ok(st))
			io->ops->close(&(struct io){ io->ops, io->ctx, io->fd });
	}
	if (!is_ok(st)) {
		u->good_until_ms = 0; /* the name may have moved */
		wait_fail(w, st);
		return;
	}
	u->first = used < u->addresses.count ? used : 0;
	wait_drop(w);
	done(done_ctx, OK, conn_exchange(c));
}

static struct status
connect_local(struct upstream *u, struct exchange **ret)
{
	struct conn *c = NULL;
	struct io io;
	struct status st;

	TRY(u->connect(u->connect_ctx, &io));
	st = conn_new(u->loop, &io, &u->limits, on_idle_closed, u, &c);
	if (!is_ok(st)) {
		io.ops->close(&io);
		return st;
	}
	u->nopen++;
	*ret = conn_exchange(c);
	return OK;
}

static struct status
begin_wait(struct upstream *u, upstream_done *done, void *ctx, struct upstream_wait **ret_wait)
{
	struct upstream_wait *w;
	struct status st;

	w = calloc(1, sizeof(*w));
	if (w == NULL)
		return fail(E_NOMEM);
	*w = (struct upstream_wait){ .u = u, .done = done, .ctx = ctx };
	LIST_INSERT_HEAD(&u->waits, w, entry);
	u->nopen++;
	st = know_addresses(u);
	if (is_ok(st))
		st = dial(w);
	if (!is_ok(st) && st.code != E_AGAIN)
		(void)uv_timer_start(u->timer, on_told, 0, 0);
	*ret_wait = w;
	return fail(E_AGAIN);
}

struct status
upstream_acquire(struct upstream *u, bool fresh, upstream_done *done, void *ctx,
    struct upstream_wait **ret_wait, struct exchange **ret)
{
	assert(!u->closed);
	if (!fresh && u->nkept > 0) {
		*ret = conn_exchange(
		    u->kept[--u->nkept]); /* the one used last: the others may grow old */
		return OK;
	}
	if (u->nopen == UPSTREAM_OPEN_MAX)
		return fail(E_FULL);
	return u->connect != NULL ? connect_local(u, ret) : begin_wait(u, done, ctx, ret_wait);
}

void
upstream_cancel(struct upstream_wait *w)
{
	struct upstream *u = w->u;

	if (w->dial != NULL)
		dial_cancel(w->dial);
	wait_drop(w);
	place_back(u);
}

void
upstream_discard(struct upstream *u, struct exchange *x)
{
	conn_free(conn_of(x));
	place_back(u);
}

void
upstream_release(struct upstream *u, struct exchange *x)
{
	struct conn *c = conn_of(x);

	if (!conn_reusable(c) || u->closed || u->nkept == UPSTREAM_KEPT_MAX)
		upstream_discard(u, x);
	else
		u->kept[u->nkept++] = c;
}

static void
on_idle_closed(struct conn *c, void *pool)
{
	struct upstream *u = pool;

	for (size_t i = 0; i < u->nkept; i++) {
		if (u->kept[i] != c)
			continue;
		u->kept[i] = u->kept[--u->nkept];
		upstream_discard(u, conn_exchange(c));
		return;
	}
}

const char *
upstream_authority(const struct upstream *u)
{
	return u->origin.authority;
}

const char *
upstream_host(const struct upstream *u)
{
	return u->origin.host;
}

const char *
upstream_base(const struct upstream *u)
{
	return u->origin.base;
}

bool
upstream_is_tls(const struct upstream *u)
{
	return u->origin.tls;
}

size_t
upstream_open(const struct upstream *u)
{
	return u->nopen;
}

const char *
upstream_why(struct status st)
{
	switch (st.code) {
	case E_NOTFOUND:
		return "the name does not exist";
	case E_DENIED:
		return "its address, certificate or key is not allowed";
	case E_CLOSED:
		return "does not take connections";
	case E_PROTO:
		return "does not speak a version of TLS that is allowed";
	case E_TIMEOUT:
		return "does not answer in time";
	case E_FULL:
		return "has too many connections";
	default:
		return status_text(st);
	}
}
