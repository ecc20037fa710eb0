/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream.c: one configured origin: what it is made from, its addresses.
 *
 * Runs in: broker. Trusts: the configuration; not what DNS says.
 * Owns: the TLS context and the pool of connections, which lives until the last exchange is given
 * back.
 * Invariants: an address is used only while its name's answer is good, and only if its class is
 * allowed: each new answer is checked anew.
 * See: upstream.h, pool.c, resolve.c, base/address.h.
 */
#include "upstream_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- making one ---- */
static struct status
make_tls(struct upstream *u, const struct upstream_opts *o)
{
	/* In our order; what is chosen decides, see pool.c. */
	static const char *const alpn[][3] = {
		[UPSTREAM_HTTP_1] = { "http/1.1", NULL },
		[UPSTREAM_HTTP_2] = { "h2", NULL },
		[UPSTREAM_HTTP_AUTO] = { "h2", "http/1.1", NULL },
	};
	const struct tls_client_opts t = { .ca_pem = o->ca_pem,
		.alpn = alpn[o->http],
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

void
upstream_destroy(struct upstream *u)
{
	pool_done(u);
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
	pool_init(u);
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
	u->http = o->http;
	if (o->http == UPSTREAM_HTTP_AUTO && !u->origin.tls)
		u->http = UPSTREAM_HTTP_1; /* nobody could choose */
	if (u->http != UPSTREAM_HTTP_1)
		u->carries = H2_STREAMS_MAX;
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
		upstream_destroy(u);
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
	pool_init(u);
	u->loop = loop;
	u->connect = connect;
	u->connect_ctx = ctx;
	(void)snprintf(u->origin.host, sizeof(u->origin.host), "%s", authority);
	(void)snprintf(u->origin.authority, sizeof(u->origin.authority), "%s", authority);
	*ret = u;
	return OK;
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

static void
on_resolved(void *ctx, struct status st, const struct resolve_answer *a)
{
	struct upstream *u = ctx;

	u->resolving = NULL;
	take_answer(u, st, a);
	pool_look(u);
}

struct status
upstream_know_addresses(struct upstream *u)
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

/* ---- facts ---- */
const char *
upstream_authority(const struct upstream *u)
{
	return u->origin.authority;
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
