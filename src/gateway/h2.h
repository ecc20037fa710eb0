/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_H2_H
#define GATEWAY_H2_H

/*
 * HTTP/2 on a connection (RFC 9113): many requests at once, each a stream with
 * its own request. nghttp2 knows frames, HPACK and windows; what a request is,
 * who may send how much of it and who waits for whom is decided here.
 * Limits first; bytes unless the name says otherwise.
 */
#include <nghttp2/nghttp2.h>

#include <http/h2_request.h>

#include <http/h2_flood.h>

#include "conn.h"

#define H2_WINDOW 65535              /* of a stream, until its key is known: the protocol's first */
#define H2_WINDOW_KNOWN (1U << 20)   /* of a stream with a good key, and of its connection */
#define H2_OUT_MAX (1U << 20)        /* unsent output of all streams that stops reading inside */
#define H2_STREAM_OUT_MIN (8U << 10) /* the least that a stream may have of it */
#define H2_ACKS_MAX 256              /* answers to PING and SETTINGS not yet sent */

enum h2_state {
	H2_HEAD,   /* its header block comes */
	H2_EARLY,  /* so far the body has come together with the head */
	H2_CHECK,  /* the authority is asked for its key; no window is given back */
	H2_BODY,   /* the key is good */
	H2_ANSWER, /* a request is under way, or its answer; more of a body is dropped */
};

struct h2_stream {
	TAILQ_ENTRY(h2_stream) next;
	TAILQ_ENTRY(h2_stream) next_early;
	TAILQ_ENTRY(h2_stream) next_ended;
	TAILQ_ENTRY(h2_stream) next_starved;
	struct conn *c;
	int32_t id;
	enum h2_state state;
	struct http_h2_request *head; /* NULL: the request is over */
	struct request *req;          /* NULL: it is over, or parted */
	struct timeout timer;         /* its body, then writing, then the rest of its body */
	size_t withheld;              /* of the windows, since the key is not known */
	uint16_t fault;               /* found while the key was asked for */
	size_t dropped;               /* of a body, since its answer began */
	bool large;                   /* more of it is to come than is read and dropped */
	bool complete;                /* the client has sent all */
	bool no_body;                 /* it answers a HEAD */
	bool deferred;                /* nghttp2 waits for more output */
	bool ended;                   /* no more output comes */
	bool finished;                /* nghttp2 has all of it */
	bool cut;                     /* reset: it cannot be whole, or need not */
	bool listed;                  /* in `ended` */
	bool starved;                 /* told that there is no room; in the list of those */
	struct buf out;               /* from out_off on */
	size_t out_off;
};

TAILQ_HEAD(h2_streams, h2_stream);

struct h2 {
	nghttp2_session *session;
	struct h2_streams streams, early, ended, starved;
	size_t nstreams;
	struct h2_meters meters;
	unsigned continuations; /* of the header block that comes */
	bool in_head;           /* a header block comes */
	int32_t head_id;        /* for which stream */
	bool wrote;             /* something came out of the session in this turn */
	bool served;            /* has had a request */
	bool known;             /* has had a good key: larger window */
	bool away;              /* GOAWAY is out: no more streams */
	bool sent_away;         /* for a flood, or for what breaks the protocol */
};

extern const struct reply_ops h2_reply_ops;

static inline struct h2 *
h2_of(const struct conn *c)
{
	return c->proto;
}

/* h2.c */
/* End the connection with a GOAWAY; every request of it has lost its client. */
void h2_send_away(struct conn *c, uint32_t why);
/* One more. False: too many; the connection was told to end. */
bool h2_flood(struct conn *c, enum h2_flood kind);

/* h2_stream.c */
struct h2_stream *h2_stream_new(struct conn *c, int32_t id);
void h2_stream_free(struct h2_stream *s); /* its request has lost its client */
void h2_stream_leave(struct h2_stream *s);
void h2_stream_head(struct h2_stream *s, bool end);
void h2_stream_body(struct h2_stream *s, struct span piece);
/* A fault of HTTP in what follows the head. */
void h2_stream_fault(struct h2_stream *s, uint16_t status);
void h2_stream_end(struct h2_stream *s);
void h2_stream_go_on(struct h2_stream *s); /* the key is good */
/* All of one read is in: ask for the keys of those whose bodies are not. */
void h2_streams_check(struct h2 *h);
/* Requests that were answered go back to the worker. */
void h2_streams_part(struct h2 *h);
/* Wake those that wait for room. */
void h2_streams_wake(struct h2 *h);
bool h2_stream_room(const struct h2_stream *s);
/* The whole answer is out, and the request has not come whole. */
void h2_stream_answered(struct h2_stream *s);
/* Give back windows that were withheld; a dropped body's on the connection only. */
void h2_stream_release(struct h2_stream *s, bool drop);
size_t h2_stream_unsent(const struct h2_stream *s);
/* Put more of an answer into `out`; what cannot be whole must not look whole. */
void h2_stream_put(struct h2_stream *s, struct span data);
/* There is more in `out`, or nothing more will be. */
void h2_stream_more(struct h2_stream *s);
void h2_stream_cut(struct h2_stream *s, uint32_t why);
/* nghttp2 takes up to `size` bytes; *ret_end: they are the last. 0: none now. */
size_t h2_stream_pull(struct h2_stream *s, uint8_t *to, size_t size, bool *ret_end);

#endif
