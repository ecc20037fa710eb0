/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dial.c: from checked addresses to a stream of bytes.
 *
 * Runs in: broker. Trusts: the addresses, which upstream.c checked; not who answers there.
 * Owns: the socket, its poll handle and the TLS connection until it gives them away; the TLS
 * context is its user's.
 * Invariants: no connection leaves without a verified certificate where TLS is wanted; every wait
 * has a deadline; after a wrong certificate no other address is tried.
 * See: dial.h, tls/tls.h; RFC 8305, of which this is the simplest part.
 */
#include "dial.h"

#include <assert.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <base/cleanup.h>
#include <crypto/crypto.h>
#include <crypto/hash.h>

enum dial_state { DIAL_CONNECT, DIAL_HANDSHAKE, DIAL_OVER };

struct dial {
	uv_timer_t timer;
	uv_poll_t *poll; /* of `fd`; one an address */
	uv_loop_t *loop;
	struct tls_ctx *ctx;
	char name[254];
	bool pinned, http1;
	uint8_t pin[DIAL_PIN_LEN];
	uint16_t port;
	struct resolve_answer addresses;
	size_t first, tried; /* begun so far */
	enum dial_state state;
	uint64_t ends_ms;
	int fd;
	struct tls_conn *tls;
	struct status last; /* why the address before did not do */
	dial_done *done;
	void *done_ctx;
};

static void try_next(struct dial *d);
static void on_poll(uv_poll_t *p, int status, int events);
static void on_timer(uv_timer_t *t);
static void step_connect(struct dial *d);
static void step_handshake(struct dial *d);

/* What TLS had against one address says more than that another one was silent. */
static void
note(struct dial *d, struct status st)
{
	if (d->last.code != E_PROTO)
		d->last = st;
}

static void
on_timer_closed(uv_handle_t *h)
{
	free(h->data);
}

static void
on_poll_closed(uv_handle_t *h)
{
	free(h);
}

static size_t
at_now(const struct dial *d)
{
	return (d->first + d->tried - 1) % d->addresses.count;
}

static void
drop_poll(struct dial *d)
{
	if (d->poll == NULL)
		return;
	(void)uv_poll_stop(d->poll);
	uv_close((uv_handle_t *)d->poll, on_poll_closed);
	d->poll = NULL;
}

static void
drop_address(struct dial *d)
{
	drop_poll(d);
	tls_conn_free(d->tls);
	d->tls = NULL;
	if (d->fd >= 0)
		(void)close(d->fd);
	d->fd = -1;
}

void
dial_cancel(struct dial *d)
{
	drop_address(d);
	d->state = DIAL_OVER;
	uv_close((uv_handle_t *)&d->timer, on_timer_closed);
}

static void
finish(struct dial *d, struct status st)
{
	dial_done *done = d->done;
	void *ctx = d->done_ctx;
	struct io io = { .fd = -1 };
	size_t used = at_now(d);

	if (is_ok(st)) {
		drop_poll(d); /* two handles cannot watch one descriptor */
		io = d->tls != NULL ? io_secure(d->fd, d->tls) : io_socket(d->fd);
		d->tls = NULL;
		d->fd = -1;
	}
	dial_cancel(d);
	done(ctx, st, &io, used);
}

struct status
dial_new(const struct dial_opts *o, dial_done *done, void *ctx, struct dial **ret)
{
	struct dial *d = calloc(1, sizeof(*d));

	assert(o->addresses->count > 0);
	if (d == NULL)
		return fail(E_NOMEM);
	if (!is_ok(span_to_cstr(span_str(o->name), d->name, sizeof(d->name)))) {
		free(d);
		return fail(E_RANGE);
	}
	d->loop = o->loop;
	d->port = o->port;
	d->addresses = *o->addresses;
	d->first = o->first;
	d->fd = -1;
	d->last = fail(E_CLOSED);
	d->done = done;
	d->done_ctx = ctx;
	d->pinned = o->pin != NULL;
	if (d->pinned)
		memcpy(d->pin, o->pin, sizeof(d->pin));
	d->ctx = o->tls;
	d->http1 = o->http1;
	d->ends_ms = uv_now(d->loop) + DIAL_MS;
	(void)uv_timer_init(d->loop, &d->timer);
	d->timer.data = d;
	try_next(d);
	*ret = d;
	return OK;
}

static void
deadline(struct dial *d, uint64_t ms)
{
	uint64_t now = uv_now(d->loop), left = d->ends_ms > now ? d->ends_ms - now : 0;

	(void)uv_timer_start(&d->timer, on_timer, ms < left ? ms : left, 0);
}

/* Also how it is told, from the loop, that the last one failed. */
static void
on_timer(uv_timer_t *t)
{
	struct dial *d = t->data;

	if (d->state != DIAL_OVER) {
		note(d, fail(E_TIMEOUT));
		try_next(d);
		return;
	}
	finish(d, d->last);
}

static void
give_up(struct dial *d)
{
	drop_address(d);
	d->state = DIAL_OVER;
	(void)uv_timer_start(&d->timer, on_timer, 0, 0);
}

/* ---- one address ---- */
static struct status
open_socket(struct dial *d)
{
	union resolve_address a = d->addresses.addresses[at_now(d)];
	socklen_t len = a.sa.sa_family == AF_INET6 ? sizeof(a.in6) : sizeof(a.in);
	int on = 1;

	if (a.sa.sa_family == AF_INET6)
		a.in6.sin6_port = htons(d->port);
	else
		a.in.sin_port = htons(d->port);
	d->fd = socket(a.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
	if (d->fd < 0)
		return fail_errno();
	if (setsockopt(d->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
		return fail_errno();
	if (connect(d->fd, &a.sa, len) < 0 && errno != EINPROGRESS)
		return fail(E_CLOSED);
	return OK;
}

static struct status
watch(struct dial *d)
{
	uv_poll_t *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return fail(E_NOMEM);
	if (uv_poll_init(d->loop, p, d->fd) != 0) {
		free(p);
		return fail(E_SYS);
	}
	p->data = d;
	d->poll = p;
	(void)uv_poll_start(p, UV_WRITABLE, on_poll);
	return OK;
}

static void
try_next(struct dial *d)
{
	drop_address(d);
	while (d->tried < d->addresses.count && uv_now(d->loop) < d->ends_ms) {
		bool more = ++d->tried < d->addresses.count;
		struct status st = open_socket(d);

		if (is_ok(st))
			st = watch(d);
		if (is_ok(st)) {
			d->state = DIAL_CONNECT;
			deadline(d, more ? DIAL_NEXT_MS : DIAL_CONNECT_MS);
			return;
		}
		note(d, st);
		drop_address(d);
	}
	give_up(d);
}

static void
on_poll(uv_poll_t *p, int status, int events)
{
	struct dial *d = p->data;

	(void)status, (void)events; /* the socket tells itself */
	if (d->state == DIAL_CONNECT)
		step_connect(d);
	else if (d->state == DIAL_HANDSHAKE)
		step_handshake(d);
}

static void
step_connect(struct dial *d)
{
	int error = 0;
	socklen_t len = sizeof(error);
	struct status st;

	if (getsockopt(d->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error != 0) {
		note(d, fail(E_CLOSED));
		try_next(d);
		return;
	}
	if (d->ctx == NULL) {
		finish(d, OK);
		return;
	}
	st = tls_connect_new(d->ctx, d->fd, span_str(d->name), &d->tls);
	if (is_ok(st) && d->http1)
		st = tls_offer(d->tls, SPAN_LIT("http/1.1"));
	if (!is_ok(st)) {
		d->last = st;
		give_up(d);
		return;
	}
	d->state = DIAL_HANDSHAKE;
	deadline(d, DIAL_HANDSHAKE_MS);
	step_handshake(d);
}

/* SHA-256 of the certificate's public key, as in RFC 7469. */
static struct status
check_pin(const struct dial *d)
{
	auto_buf struct buf key = BUF_INIT(TLS_PEER_KEY_MAX);
	uint8_t digest[SHA256_LEN];

	if (!d->pinned)
		return OK;
	TRY(tls_peer_key(d->tls, &key));
	TRY(sha256(buf_span(&key), digest));
	return crypto_eq(span_of(digest, sizeof(digest)), span_of(d->pin, sizeof(d->pin)))
		   ? OK
		   : fail(E_DENIED);
}

static void
step_handshake(struct dial *d)
{
	static const int events[] = {
		[TLS_WANT_READ] = UV_READABLE, [TLS_WANT_WRITE] = UV_WRITABLE
	};
	struct status st = tls_handshake(d->tls);

	if (st.code == E_AGAIN) {
		(void)uv_poll_start(d->poll, events[tls_want(d->tls)], on_poll);
		return;
	}
	if (is_ok(st)) {
		finish(d, check_pin(d));
		return;
	}
	d->last = tls_failure(d->tls) == TLS_FAIL_CERT ? fail(E_DENIED) : st;
	if (d->last.code == E_DENIED)
		give_up(d);
	else
		try_next(d);
}
