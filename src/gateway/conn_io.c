/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn_io.c: bytes of a connection, in and out.
 *
 * Runs in: gateway. Trusts: nothing of the client.
 * Owns: nothing. Invariants: no input is read that the protocol has no room for;
 * a client that goes away while its answer is made is noticed at once.
 * See: conn.c.
 */
#include "conn.h"

static bool start(struct conn *c);
static bool keep(struct conn *c, struct span in);

size_t
conn_unsent(const struct conn *c)
{
	return c->out.len - c->out_off;
}

bool
conn_full(const struct conn *c)
{
	return conn_unsent(c) >= OUT_SOFT_MAX;
}

static bool
wants_input(const struct conn *c)
{
	return c->state != CONN_OPEN || c->protocol->wants_input(c);
}

void
conn_poll(struct conn *c)
{
	int events = UV_DISCONNECT;

	if (c->state == CONN_CLOSED)
		return;
	if (wants_input(c))
		events |= UV_READABLE;
	if (c->state == CONN_LINGER)
		events = UV_READABLE;
	if (c->eof) /* it would be told again and again */
		events = 0;
	if (c->want_write)
		events |= UV_WRITABLE;
	if (events == c->events)
		return;
	if (events == 0) {
		(void)uv_poll_stop(&c->poll);
		c->events = 0;
		return;
	}
	if (uv_poll_start(&c->poll, events, conn_on_poll) != 0) {
		conn_close(c);
		return;
	}
	c->events = events;
}

static void
handshake(struct conn *c)
{
	struct status st = tls_handshake(c->tls);

	if (st.code == E_AGAIN) {
		c->want_write = tls_want(c->tls) == TLS_WANT_WRITE;
		conn_poll(c);
		return;
	}
	if (!is_ok(st)) {
		/* Plain HTTP too: there is no answer in clear. */
		daemon_metric_add(METRIC_HANDSHAKES_FAILED, 1);
		conn_close(c);
		return;
	}
	c->want_write = false;
	if (!start(c))
		return;
	conn_poll(c);
	if (tls_pending(c->tls))
		conn_readable(c);
}

/* What ALPN chose; without ALPN it is HTTP/1.1. */
static bool
start(struct conn *c)
{
	conn_disarm(c);
	if (!is_ok(conn_take_certificate(c))) {
		conn_close(c);
		return false;
	}
	c->protocol = span_eq_str(tls_alpn(c->tls), "h2") ? &protocol_h2 : &protocol_h1;
	if (!is_ok(c->protocol->start(c))) {
		c->protocol->free(c);
		c->protocol = NULL;
		conn_close(c);
		return false;
	}
	c->state = CONN_OPEN;
	return true;
}

void
conn_on_poll(uv_poll_t *handle, int status, int events)
{
	struct conn *c = handle->data;

	if (status < 0) {
		conn_close(c);
		return;
	}
	if (c->state == CONN_HANDSHAKE) {
		handshake(c);
		return;
	}
	if ((events & UV_WRITABLE) != 0) {
		c->want_write = false;
		conn_mark(c);
	}
	/* TLS may have waited for the socket before it could read on. */
	if ((events & (UV_READABLE | UV_WRITABLE)) != 0 && (c->events & UV_READABLE) != 0)
		conn_readable(c);
	else if ((events & UV_DISCONNECT) != 0 && (c->events & UV_READABLE) == 0)
		conn_close(c);
}

static void
drop_input(struct conn *c, size_t n)
{
	c->lingered += n;
	if (c->lingered > LINGER_BYTES_MAX)
		conn_close(c);
}

static void
on_eof(struct conn *c)
{
	if (c->state == CONN_OPEN)
		c->protocol->eof(c);
	else
		conn_close(c);
}

/* What TLS holds already is read too, if it is wanted: no poll tells of it. */
void
conn_readable(struct conn *c)
{
	for (int i = 0; i < READS_PER_EVENT || tls_pending(c->tls); i++) {
		size_t n = 0;
		struct status st;

		if (i == READS_PER_EVENT) /* then what is held already, and no more */
			tls_read_ahead(c->tls, false);
		if (!wants_input(c))
			break;
		st = tls_read(c->tls, c->g->scratch, READ_LEN, &n);
		if (st.code == E_AGAIN) {
			c->want_write = c->want_write || tls_want(c->tls) == TLS_WANT_WRITE;
			break;
		}
		if (!is_ok(st)) {
			on_eof(c);
			return;
		}
		daemon_metric_add(METRIC_BYTES_IN, (int64_t)n);
		if (!keep(c, span_of(c->g->scratch, n)))
			return;
		/* A short record is the last for now: poll tells of the next one. */
		if (n < READ_LEN && !tls_pending(c->tls))
			break;
	}
	tls_read_ahead(c->tls, true);
	conn_poll(c);
}

static bool
keep(struct conn *c, struct span in)
{
	if (c->state == CONN_OPEN && !c->close_after)
		return c->protocol->take(c, in);
	drop_input(c, in.len);
	return c->state != CONN_CLOSED;
}

void
conn_resume(struct conn *c)
{
	conn_poll(c);
	if (c->state == CONN_OPEN && !c->eof && wants_input(c) && tls_pending(c->tls))
		conn_readable(c);
}

bool
conn_flush(struct conn *c)
{
	while (conn_unsent(c) > 0) {
		size_t n = 0;
		struct status st = tls_write(c->tls, span_from(buf_span(&c->out), c->out_off), &n);

		if (st.code == E_AGAIN) {
			c->want_write = tls_want(c->tls) == TLS_WANT_WRITE;
			if (!c->t_write.set)
				timeout_set(
				    &c->g->timeouts, &c->t_write, TIMEOUT_WRITE, gateway_now(c->g));
			break;
		}
		if (!is_ok(st)) {
			conn_close(c);
			return false;
		}
		c->out_off += n;
		daemon_metric_add(METRIC_BYTES_OUT, (int64_t)n);
		timeout_clear(&c->g->timeouts, &c->t_write);
	}
	if (conn_unsent(c) == 0) {
		c->out_off = 0;
		if (c->out.cap > OUT_SOFT_MAX)
			buf_done(&c->out);
		else
			buf_clear(&c->out);
	} else if (c->out_off > OUT_SOFT_MAX) {
		buf_shift(&c->out, c->out_off);
		c->out_off = 0;
	}
	return true;
}
