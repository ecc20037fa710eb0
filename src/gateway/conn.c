/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn.c: life and death of connections, and their timeouts.
 *
 * Runs in: gateway. Trusts: nothing of the client.
 * Owns: the socket and TLS of one connection, and its protocol's state.
 * Invariants: a connection is freed by the loop only, after its poll handle; its
 * protocol hears of its end at once.
 * See: conn_io.c (bytes); h1.c, h2.c (protocols).
 */
#include "conn.h"

#include <stdlib.h>
#include <unistd.h>

static void on_read_timeout(struct timeout *t);
static void on_write_timeout(struct timeout *t);
static void on_poll_closed(uv_handle_t *handle);

static struct status
parts_new(struct conn *c)
{
	TRY(tls_accept_new(c->g->tls, c->fd, &c->tls));
	return uv_poll_init(c->g->loop, &c->poll, c->fd) == 0 ? OK : fail(E_NOMEM);
}

static void
parts_free(struct conn *c)
{
	if (c->protocol != NULL)
		c->protocol->free(c);
	tls_conn_free(c->tls);
	buf_done(&c->out);
	buf_done(&c->certificate);
	(void)close(c->fd);
	source_leave(c->source);
}

void
conn_open(struct gateway *g, int fd, struct source *source, const uint8_t address[SOURCE_LEN])
{
	struct conn *c = calloc(1, sizeof(*c));

	if (c == NULL) {
		(void)close(fd);
		source_leave(source);
		return;
	}
	c->g = g;
	c->fd = fd;
	c->source = source;
	memcpy(c->address, address, SOURCE_LEN);
	c->out.max = OUT_MAX;
	c->certificate.max = CREDENTIAL_MAX;
	c->t_read.fn = on_read_timeout;
	c->t_write.fn = on_write_timeout;
	c->t_read.owner = c->t_write.owner = c;
	if (!is_ok(parts_new(c))) {
		parts_free(c);
		free(c);
		return;
	}
	c->poll.data = c;
	TAILQ_INSERT_TAIL(&g->conns, c, next);
	g->nconns++;
	daemon_metric_add(METRIC_CONNECTIONS, 1);
	daemon_metric_add(METRIC_CONNECTIONS_OPEN, 1);
	timeout_set(&g->timeouts, &c->t_read, TIMEOUT_HANDSHAKE, gateway_now(g));
	conn_poll(c);
}

void
conn_close(struct conn *c)
{
	struct gateway *g = c->g;

	if (c->state == CONN_CLOSED)
		return;
	c->state = CONN_CLOSED;
	timeout_clear(&g->timeouts, &c->t_read);
	timeout_clear(&g->timeouts, &c->t_write);
	if (c->dirty)
		TAILQ_REMOVE(&g->dirty, c, next_dirty);
	c->dirty = false;
	TAILQ_REMOVE(&g->conns, c, next);
	g->nconns--;
	daemon_metric_add(METRIC_CONNECTIONS_OPEN, -1);
	if (c->protocol != NULL)
		c->protocol->left(c); /* at once: its runs end within 100 ms */
	uv_close((uv_handle_t *)&c->poll, on_poll_closed);
}

static void
on_poll_closed(uv_handle_t *handle)
{
	struct conn *c = handle->data;
	struct gateway *g = c->g;

	parts_free(c);
	free(c);
	accept_resume(g);
	drain_check(g);
}

void
conn_mark(struct conn *c)
{
	if (c->dirty || c->state == CONN_CLOSED)
		return;
	c->dirty = true;
	TAILQ_INSERT_TAIL(&c->g->dirty, c, next_dirty);
}

static void
linger(struct conn *c)
{
	(void)is_ok(tls_shutdown(c->tls));
	if (c->eof) {
		conn_close(c);
		return;
	}
	(void)shutdown(c->fd, SHUT_WR);
	c->state = CONN_LINGER;
	timeout_set(&c->g->timeouts, &c->t_read, TIMEOUT_LINGER, gateway_now(c->g));
	conn_poll(c);
}

void
conn_settle(struct conn *c)
{
	bool was_full;

	if (c->state == CONN_OPEN)
		c->protocol->settle(c);
	was_full = conn_full(c);
	if (c->state == CONN_CLOSED || !conn_flush(c))
		return;
	if (c->state == CONN_OPEN && conn_unsent(c) == 0 && c->close_after &&
	    c->protocol->over(c)) {
		linger(c);
		return;
	}
	if (c->state == CONN_OPEN)
		c->protocol->sent(c, was_full);
	conn_resume(c);
}

/* Set anew only when it is of another kind: bytes that trickle in do not prolong it. */
void
conn_arm(struct conn *c, enum timeout_kind kind)
{
	if (!c->t_read.set || c->t_read.kind != kind)
		timeout_set(&c->g->timeouts, &c->t_read, kind, gateway_now(c->g));
}

void
conn_disarm(struct conn *c)
{
	timeout_clear(&c->g->timeouts, &c->t_read);
}

static void
on_read_timeout(struct timeout *t)
{
	struct conn *c = t->owner;

	if (c->state == CONN_OPEN) {
		c->protocol->timed_out(c);
		return;
	}
	if (c->state == CONN_HANDSHAKE)
		daemon_metric_add(METRIC_HANDSHAKES_FAILED, 1);
	conn_close(c);
}

static void
on_write_timeout(struct timeout *t)
{
	conn_close(t->owner);
}

enum error
conn_error(uint16_t status)
{
	static const struct {
		uint16_t status;
		enum error error;
	} rows[] = {
		{ 408, ERROR_HEADER_TIMEOUT },
		{ 413, ERROR_BODY_TOO_LARGE },
		{ 414, ERROR_URI_TOO_LONG },
		{ 431, ERROR_HEADERS_TOO_LARGE },
		{ 503, ERROR_OVERLOADED },
		{ 505, ERROR_HTTP_VERSION },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (rows[i].status == status)
			return rows[i].error;
	}
	return ERROR_BAD_REQUEST;
}
