/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool.c: the connections of an upstream, and who waits for one.
 *
 * Runs in: broker. Trusts: the configuration; what a server chose by ALPN.
 * Owns: kept connections, those of HTTP/2, those being made, what waits. A connection of HTTP/1.1
 * that carries an exchange is its user's; of HTTP/2 only the exchange is.
 * Invariants: at most UPSTREAM_OPEN_MAX connections and waits, of which UPSTREAM_KEPT_MAX are kept,
 * and UPSTREAM_DIALS_MAX being made; nobody who could share a connection that is being made makes
 * another; who waits is told from the loop, the first one first; a connection that fails fails no
 * more of them than it would have carried, and those whom it made wait for as long as one may take.
 * See: upstream.h, dial.c, conn.h, h2.h.
 */
#include <assert.h>
#include <stdlib.h>

#include <daemon/daemon.h>

#include "upstream_internal.h"

struct upstream_wait {
	TAILQ_ENTRY(upstream_wait) entry;
	struct upstream *u;
	bool fresh;
	uint64_t began_ms;
	upstream_done *done;
	void *ctx;
};

struct pool_dial {
	TAILQ_ENTRY(pool_dial) entry;
	struct upstream *u;
	struct dial *dial;
};

static void on_look(uv_timer_t *t);
static void on_dialled(void *ctx, struct status st, const struct io *io, size_t used);
static void on_idle_closed(struct conn *c, void *pool);
static void on_room(struct h2_conn *h, void *pool);
static bool on_http1(struct h2_conn *h, void *pool);
static void on_gone(struct h2_conn *h, void *pool);

static const struct h2_pool_ops h2_ops = { on_room, on_http1, on_gone };

void
pool_init(struct upstream *u)
{
	TAILQ_INIT(&u->waits);
	TAILQ_INIT(&u->dials);
	u->carries = 1;
}

static void
dial_drop(struct pool_dial *d)
{
	TAILQ_REMOVE(&d->u->dials, d, entry);
	d->u->ndials--;
	free(d);
}

static void
dial_end(struct upstream *u)
{
	struct pool_dial *d = TAILQ_LAST(&u->dials, pool_dials);

	dial_cancel(d->dial);
	dial_drop(d);
}

void
pool_done(struct upstream *u)
{
	while (u->ndials > 0)
		dial_end(u);
}

/* Give one place back; with the last one a closed upstream goes. */
static void
place_back(struct upstream *u)
{
	assert(u->nopen > 0);
	u->nopen--;
	if (u->closed && u->nopen == 0)
		upstream_destroy(u);
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
	u->nopen++; /* keeps it alive */
	u->closed = true;
	upstream_drop_kept(u);
	for (size_t i = u->nh2s; i > 0; i--)
		h2_conn_shut(u->h2s[i - 1]); /* it may take itself out */
	place_back(u);
}

/* ---- how many are needed ---- */
static bool
is_http1(const struct upstream *u)
{
	return u->http == UPSTREAM_HTTP_1 || uv_now(u->loop) < u->http1_until_ms;
}

/* Connections of HTTP/2 whose peer has not said yet how much they carry. */
static size_t
unsettled(const struct upstream *u)
{
	size_t n = 0;

	if (is_http1(u))
		return 0;
	for (size_t i = 0; i < u->nh2s; i++)
		n += h2_conn_settling(u->h2s[i]);
	return n;
}

static size_t
wanted(const struct upstream *u)
{
	return (u->nwaits + u->carries - 1) / u->carries;
}

/* Connections that are to be made for all that wait, beside those on their way. */
static size_t
missing(const struct upstream *u)
{
	size_t coming = u->ndials + unsettled(u);

	return wanted(u) > coming ? wanted(u) - coming : 0;
}

/* ---- waiting ---- */
static void
wait_drop(struct upstream_wait *w)
{
	TAILQ_REMOVE(&w->u->waits, w, entry);
	w->u->nwaits--;
	free(w);
}

/* `place` goes with it, or stays for the connection that it gets. */
static void
wait_end(struct upstream_wait *w, struct status st, struct exchange *x, bool place)
{
	struct upstream *u = w->u;
	upstream_done *done = w->done;
	void *ctx = w->ctx;

	wait_drop(w);
	done(ctx, st, x);
	if (place)
		place_back(u);
}

/* Those for whom nothing is on its way. They may come back meanwhile: each is told once. */
static void
fail_missing(struct upstream *u, struct status st)
{
	for (size_t n = u->nwaits; n > 0 && missing(u) > 0; n--)
		wait_end(TAILQ_FIRST(&u->waits), st, NULL, true);
}

static bool
is_late(const struct upstream *u)
{
	const struct upstream_wait *w = TAILQ_FIRST(&u->waits);

	return w != NULL && uv_now(u->loop) - w->began_ms >= DIAL_MS;
}

/* One connection failed. */
static void
fail_carried(struct upstream *u, struct status st)
{
	size_t most = u->carries;

	for (size_t n = u->nwaits; n > 0 && missing(u) > 0 && (most > 0 || is_late(u)); n--) {
		most -= most > 0;
		wait_end(TAILQ_FIRST(&u->waits), st, NULL, true);
	}
}

/* ---- exchanges on connections of HTTP/2 ---- */
static struct exchange *
open_stream(struct upstream *u, bool fresh)
{
	struct exchange *x = NULL;

	if (is_http1(u))
		return NULL;
	for (size_t i = 0; i < u->nh2s; i++) {
		struct h2_conn *h = u->h2s[i];

		if (h2_conn_room(h) == 0 || (fresh && h2_conn_refuses(h)))
			continue;
		return is_ok(h2_conn_open(h, &x)) ? x : NULL;
	}
	return NULL;
}

static void
serve(struct upstream *u)
{
	struct upstream_wait *w;
	struct exchange *x;

	while ((w = TAILQ_FIRST(&u->waits)) != NULL && (x = open_stream(u, w->fresh)) != NULL)
		wait_end(w, OK, x, true);
}

static void
on_room(struct h2_conn *h, void *pool)
{
	struct upstream *u = pool;

	if (h2_conn_capacity(h) > 0 && !is_http1(u))
		u->carries = h2_conn_capacity(h);
	if (u->nwaits > 0)
		pool_look(u);
}

/* Where HTTP/2 is asked for, and nothing else, there is nothing else. */
static bool
on_http1(struct h2_conn *h, void *pool)
{
	struct upstream *u = pool;

	(void)h;
	if (u->http != UPSTREAM_HTTP_AUTO)
		return false;
	if (!is_http1(u))
		diag(DIAG_WARN, "%s: wants HTTP/1.1", u->origin.authority);
	u->http1_until_ms = uv_now(u->loop) + UPSTREAM_HTTP1_MS;
	u->carries = 1;
	return true;
}

static void
on_gone(struct h2_conn *h, void *pool)
{
	struct upstream *u = pool;

	for (size_t i = 0; i < u->nh2s; i++) {
		if (u->h2s[i] != h)
			continue;
		u->h2s[i] = u->h2s[--u->nh2s];
		if (u->nwaits > 0)
			pool_look(u);
		place_back(u);
		return;
	}
}

/* ---- making connections ---- */
static struct status
dial(struct upstream *u)
{
	const struct dial_opts o = { .loop = u->loop,
		.tls = u->tls,
		.name = u->origin.host,
		.http1 = is_http1(u),
		.pin = u->pinned ? u->pin : NULL,
		.port = u->origin.port,
		.addresses = &u->addresses,
		.first = u->first };
	struct pool_dial *d = calloc(1, sizeof(*d));
	struct status st;

	if (d == NULL)
		return fail(E_NOMEM);
	d->u = u;
	st = dial_new(&o, on_dialled, d, &d->dial);
	if (!is_ok(st)) {
		free(d);
		return st;
	}
	TAILQ_INSERT_TAIL(&u->dials, d, entry);
	u->ndials++;
	return OK;
}

/* E_AGAIN: the addresses are asked for. */
static struct status
dial_missing(struct upstream *u)
{
	struct status st = OK;

	if (missing(u) == 0)
		return OK;
	if (!is_http1(u) && u->nh2s == UPSTREAM_H2_MAX)
		return fail(E_FULL);
	TRY(upstream_know_addresses(u));
	while (is_ok(st) && missing(u) > 0 && u->ndials < UPSTREAM_DIALS_MAX)
		st = dial(u);
	return st;
}

/* From the loop: what waits is served, or gets a connection made, or is told why not. */
static void
look(struct upstream *u)
{
	struct status st;

	u->nopen++; /* keeps it alive */
	serve(u);
	st = dial_missing(u);
	if (!is_ok(st) && st.code != E_AGAIN)
		fail_missing(u, st);
	place_back(u);
}

static void
on_look(uv_timer_t *t)
{
	look(t->data);
}

void
pool_look(struct upstream *u)
{
	(void)uv_timer_start(u->timer, on_look, 0, 0);
}

static struct status
add_h2(struct upstream *u, const struct io *io)
{
	struct h2_conn *h = NULL;

	if (u->nh2s == UPSTREAM_H2_MAX)
		return fail(E_FULL);
	TRY(h2_conn_new(u->loop, io, u->tls != NULL, &u->limits, &h2_ops, u, &h));
	daemon_metric_add(METRIC_UPSTREAM_HTTP2_CONNECTIONS, 1);
	u->h2s[u->nh2s++] = h;
	u->nopen++;
	return OK;
}

/* A connection of HTTP/1.1 is for the first that waits, who gives it his place. */
static struct status
add_h1(struct upstream *u, const struct io *io)
{
	struct conn *c = NULL;

	TRY(conn_new(u->loop, io, &u->limits, on_idle_closed, u, &c));
	if (u->nwaits == 0)
		conn_free(c);
	else
		wait_end(TAILQ_FIRST(&u->waits), OK, conn_exchange(c), false);
	return OK;
}

/* What the server chose is what is spoken; the next ones are made for that. */
static struct status
add(struct upstream *u, const struct io *io)
{
	bool h2 = u->tls != NULL ? io->h2 : u->http == UPSTREAM_HTTP_2;

	if (!h2 && u->http == UPSTREAM_HTTP_2)
		return fail(E_PROTO);
	if (!h2)
		u->carries = 1;
	return h2 ? add_h2(u, io) : add_h1(u, io);
}

static void
on_dialled(void *ctx, struct status st, const struct io *io, size_t used)
{
	struct pool_dial *d = ctx;
	struct upstream *u = d->u;

	u->nopen++; /* keeps it alive */
	dial_drop(d);
	if (is_ok(st)) {
		st = add(u, io);
		if (!is_ok(st))
			io->ops->close(&(struct io){ io->ops, io->ctx, io->fd, io->h2 });
	}
	if (is_ok(st)) {
		u->first = used < u->addresses.count ? used : 0;
	} else {
		u->good_until_ms = 0; /* the name may have moved */
		fail_carried(u, st);
	}
	look(u);
	place_back(u);
}

/* ---- for users ---- */
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
begin_wait(
    struct upstream *u, bool fresh, upstream_done *done, void *ctx, struct upstream_wait **ret_wait)
{
	struct upstream_wait *w = calloc(1, sizeof(*w));
	struct status st;

	if (w == NULL)
		return fail(E_NOMEM);
	*w = (struct upstream_wait){
		.u = u, .fresh = fresh, .began_ms = uv_now(u->loop), .done = done, .ctx = ctx
	};
	TAILQ_INSERT_TAIL(&u->waits, w, entry);
	u->nwaits++;
	u->nopen++;
	st = dial_missing(u);
	if (!is_ok(st) && st.code != E_AGAIN)
		pool_look(u);
	*ret_wait = w;
	return fail(E_AGAIN);
}

struct status
upstream_acquire(struct upstream *u, bool fresh, upstream_done *done, void *ctx,
    struct upstream_wait **ret_wait, struct exchange **ret)
{
	struct exchange *x;

	assert(!u->closed);
	x = u->nwaits == 0 ? open_stream(u, fresh) : NULL;
	if (x == NULL && !fresh && u->nkept > 0)
		x = conn_exchange(
		    u->kept[--u->nkept]); /* the one used last: the others may grow old */
	if (x != NULL) {
		*ret = x;
		return OK;
	}
	if (u->nopen == UPSTREAM_OPEN_MAX)
		return fail(E_FULL);
	return u->connect != NULL ? connect_local(u, ret)
				  : begin_wait(u, fresh, done, ctx, ret_wait);
}

void
upstream_cancel(struct upstream_wait *w)
{
	struct upstream *u = w->u;

	wait_drop(w);
	while (u->ndials > 0 && u->ndials + unsettled(u) > wanted(u))
		dial_end(u);
	place_back(u);
}

void
upstream_discard(struct upstream *u, struct exchange *x)
{
	struct conn *c = conn_of(x);

	if (c == NULL) {
		h2_exchange_free(x);
		return;
	}
	conn_free(c);
	place_back(u);
}

void
upstream_release(struct upstream *u, struct exchange *x)
{
	struct conn *c = conn_of(x);

	if (c == NULL || !conn_reusable(c) || u->closed || u->nkept == UPSTREAM_KEPT_MAX)
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
