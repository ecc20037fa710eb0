/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BROKER_H2_INTERNAL_H
#define BROKER_H2_INTERNAL_H

/* What h2_conn.c, h2_exchange.c, h2_session.c and h2_out.c share. */
#include <sys/queue.h>

#include <http/h2_flood.h>
#include <http/h2_response.h>
#include <nghttp2/nghttp2.h>

#include "h2.h"

#define H2_FRAME_HEAD_LEN 9

/* ---- h2_out.c: what is framed and not yet written ---- */
struct h2_secret {
	size_t at;         /* in `bytes`: it comes before this one */
	struct span value; /* what is left of it; not ours */
	const void *owner; /* NULL: it is blank */
};

struct h2_out {
	struct buf bytes; /* without the secrets; from `off` on */
	size_t off;
	struct h2_secret secrets[H2_SECRETS_MAX];
	size_t first, count; /* of `secrets`: those left are [first, count) */
};

void h2_out_init(struct h2_out *o);
void h2_out_done(struct h2_out *o);
bool h2_out_full(const struct h2_out *o);
bool h2_out_empty(const struct h2_out *o);
/* E_NOMEM, E_FULL. */
MUST_USE struct status h2_out_put(struct h2_out *o, struct span s);
/* State: not full. `value` is borrowed until it is written or forgotten. */
void h2_out_put_secret(struct h2_out *o, struct span value, const void *owner);
/* What is left of the owner's secret becomes as many bytes that mean nothing. */
void h2_out_forget(struct h2_out *o, const void *owner);
/* At most CONN_PARTS spans of what comes next; how many. */
size_t h2_out_parts(const struct h2_out *o, struct span parts[CONN_PARTS]);
void h2_out_advance(struct h2_out *o, size_t n);
/* What nghttp2 is given in a secret's place: as many bytes, whatever `len`. */
struct span h2_blank(size_t len);

/* ---- a connection ---- */
TAILQ_HEAD(h2_streams, h2_stream);

struct h2_conn {
	uv_poll_t poll;
	uv_timer_t timer;
	unsigned refs; /* handles, and exchanges that are somebody's; memory goes with the last */
	unsigned held; /* exchanges that are somebody's */
	struct io io;
	bool secure;
	struct exchange_limits limits;
	const struct h2_pool_ops *pool_ops;
	void *pool;
	nghttp2_session *session;
	struct h2_streams streams; /* all: somebody's, nghttp2's, or both */
	size_t live;               /* of them, those of nghttp2 */
	struct h2_meters meters;
	unsigned continuations; /* of the header block that comes */
	struct h2_out out;
	int events;
	bool settled; /* the peer's SETTINGS came */
	bool served;  /* has answered something */
	bool refuses; /* see h2_conn_refuses() */
	bool going;   /* no more streams */
	bool broken;  /* cannot be written to, or is not watched: it ends from the loop */
	bool calm;    /* there was a flood */
	bool busy;    /* in nghttp2, or in a callback from there */
	bool closed, gone;
	bool blamed; /* that it ends: see exchange_blames() */
	bool pinged;
	uint64_t heard, heard_ms; /* bytes that came; when the last did */
	uint64_t pinged_heard;
	uint64_t began_ms, idle_ms, pinged_ms, armed_ms;
};

/* ---- an exchange on it ---- */
enum h2_state {
	H2_NEW,  /* not begun */
	H2_HEAD, /* its answer's head comes */
	H2_BODY,
	H2_OVER, /* its user was told */
};

struct h2_stream {
	struct exchange exchange; /* first */
	TAILQ_ENTRY(h2_stream) next;
	struct h2_conn *h;
	int32_t id;
	enum h2_state state;
	bool live;     /* nghttp2 knows it */
	bool held;     /* it is somebody's */
	unsigned pins; /* it is in use further up */
	const struct exchange_ops *ops;
	void *ctx;
	struct http_h2_response *answer;
	struct span secret;
	struct span body[EXCHANGE_BODY_PARTS];
	bool head_sent, sent; /* the request's; all of it */
	bool cut;             /* the rest of it is not sent */
	bool complete;        /* all of the answer came */
	bool failed;          /* it broke, behind what is in `in` */
	enum exchange_fault fault;
	enum error why;
	struct buf in; /* came without room; from in_off on */
	size_t in_off;
	uint64_t due_ms, ends_ms;
	uint64_t heard; /* on the connection before it began */
	uint64_t bytes_in, bytes_out;
};

static inline uint64_t
h2_now(const struct h2_conn *h)
{
	return uv_now(h->timer.loop);
}

/* h2_conn.c */
/* After anything that nghttp2 may want to say: write, and end what is over. */
void h2_conn_turn(struct h2_conn *h);
/* The timer is moved only to an earlier time. */
void h2_conn_due(struct h2_conn *h, uint64_t due_ms);
/* An exchange is nobody's any more. */
void h2_conn_given_back(struct h2_conn *h);
void h2_conn_unref(struct h2_conn *h);

/* h2_session.c */
MUST_USE struct status h2_session_new(struct h2_conn *h);

/* h2_exchange.c */
struct h2_stream *h2_stream_new(struct h2_conn *h);
/* Wants nothing more of nghttp2; freed when it is nobody's. */
void h2_stream_dead(struct h2_stream *s);
void h2_stream_head(struct h2_stream *s, bool end);
void h2_stream_body(struct h2_stream *s, uint8_t *data, size_t len);
void h2_stream_trailers(struct h2_stream *s, bool end);
void h2_stream_end(struct h2_stream *s);
/* nghttp2 closed it. */
void h2_stream_closed(struct h2_stream *s, uint32_t code);
/* The connection is no more. */
void h2_stream_lost(struct h2_stream *s, enum error why);
void h2_stream_timed_out(struct h2_stream *s);
void h2_stream_sent(struct h2_stream *s, const nghttp2_frame *frame);
/* nghttp2 takes up to `size` bytes of the request; *ret_end: they are the last. 0: none. */
size_t h2_stream_pull(struct h2_stream *s, uint8_t *to, size_t size, bool *ret_end);
bool h2_stream_waits(const struct h2_stream *s); /* for an answer, or for room */

#endif
