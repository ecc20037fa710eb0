/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn.c: life and death of connections, and their timeouts.
 *
 * Runs in: gateway. Trusts: nothing of the client.
 * Owns: the socket, TLS and parser of one connection; its request until the
 * client leaves.
 * Invariants: a connection is freed by the loop only, after its poll handle.
 * See: conn_io.c (bytes), conn_feed.c (requests), conn_reply.c (answers).
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
	struct http_limits limits = http_limits_default;

	limits.body_len_max = c->g->body_len_max;
	TRY(tls_accept_new(c->g->tls, c->fd, &c->tls));
	TRY(http_request_parser_new(&limits, &c->parser));
	c->req = request_new(c->g);
	if (c->req == NULL)
		return fail(E_NOMEM);
	c->req->reply = &conn_reply_ops;
	c->req->conn = c;
	return uv_poll_init(c->g->loop, &c->poll, c->fd) == 0 ? OK : fail(E_NOMEM);
}

static void
parts_free(struct conn *c)
{
	tls_conn_free(c->tls);
	http_request_parser_free(c->parser);
	buf_done(&c->in);
	buf_done(&c->out);
	(void)close(c->fd);
	source_leave(c->source);
	if (c->req != NULL)
		request_left(c->req);
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
	c->in.max = PIPELINE_MAX + READ_LEN;
	c->out.max = OUT_MAX;
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
	struct request *r = c->req;

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
	c->req = NULL;
	if (r != NULL)
		request_left(r); /* at once: its runs end within 100 ms */
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

/* Answers of requests that came in one go are made one after the other, here. */
static void
feed_kept(struct conn *c)
{
	while (c->state == CONN_READ && !c->close_after && c->in.len > 0 && !conn_held_up(c)) {
		size_t used = conn_feed(c, buf_span(&c->in));

		if (c->state == CONN_CLOSED)
			return;
		buf_shift(&c->in, used);
		if (used == 0)
			return;
	}
	if (c->in.len == 0)
		buf_done(&c->in); /* few clients send ahead: keep nothing for them */
}

void
conn_settle(struct conn *c)
{
	bool was_held_up;

	if (c->state == CONN_READ && !c->close_after) {
		feed_kept(c);
		if (conn_held_up(c))
			timeout_clear(&c->g->timeouts, &c->t_read); /* writing has its own */
		else if (c->state == CONN_READ)
			conn_arm(c);
	}
	was_held_up = conn_held_up(c);
	if (c->state == CONN_CLOSED || !conn_flush(c))
		return;
	if (conn_unsent(c) == 0 && c->close_after && c->state == CONN_READ) {
		linger(c);
		return;
	}
	if (was_held_up && !conn_held_up(c))
		conn_mark(c); /* what is kept goes on */
	conn_resume(c);
}

static void
on_read_timeout(struct timeout *t)
{
	struct conn *c = t->owner;

	if (c->state == CONN_READ && (c->in_head || http_request_in_body(c->parser)) &&
	    !c->close_after) {
		conn_refuse(c, 408);
		return;
	}
	if (c->state == CONN_HANDSHAKE)
		daemon_metric_add(METRIC_HANDSHAKES_FAILED, 1);
	else if (c->state == CONN_READ)
		(void)is_ok(tls_shutdown(c->tls));
	conn_close(c);
}

static void
on_write_timeout(struct timeout *t)
{
	conn_close(t->owner);
}
