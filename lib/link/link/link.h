/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LINK_LINK_H
#define LINK_LINK_H

/*
 * One end of an edge between two of our processes: typed messages, calls with
 * deadlines and, on the two data edges, streams with credits. The bytes go over
 * a transport (today: a socketpair that the supervisor made).
 *
 * A peer that breaks a table or a rule is dropped: the link closes with E_PROTO.
 * Nothing here logs; `on_closed` gets the reason.
 */
#include <uv.h>

#include <link/wire.h>

#define LINK_QUEUE_MAX (8U << 20) /* unsent bytes; more is E_FULL */
#define LINK_CALLS_MAX 65536      /* calls waiting for their reply */
#define LINK_STREAMS_MAX 4096     /* open streams of one link */
#define LINK_STREAM_CREDIT 16384  /* bytes a sender may have unconsumed */
#define LINK_FDS_MAX 8            /* descriptors with one message */

struct link;
struct stream;

/* `msg` (decoded, borrowed) lives until the handler returns. `id` is the sender's. */
typedef void link_handler(struct link *l, uint64_t id, const void *msg, void *ctx);

struct link_rule {
	uint16_t type;
	uint32_t states; /* bits of link_set_state(); 0: any */
	link_handler *fn;
};

struct link_ops {
	const struct link_rule *rules;
	size_t nrules;
	/*
	 * Called once, from the loop; the owner then calls link_free(). E_CLOSED with an err:
	 * the peer is gone, and has not read all that was sent (unix(7), ECONNRESET; EPIPE).
	 */
	void (*on_closed)(struct link *l, struct status why, void *ctx);
	/* All messages of one read were handled: what they queued elsewhere may go now. */
	void (*on_read)(struct link *l, void *ctx);
};

/*
 * Owner: the link takes `fd`. `a_end` tells which end of the edge we are.
 * Errors: E_NOMEM, E_SYS.
 */
MUST_USE struct status link_new(uv_loop_t *loop, int fd, const struct wire_edge *edge, bool a_end,
    const struct link_ops *ops, void *ctx, struct link **ret);
/*
 * Safe at any time, in handlers too. Calls that wait get E_CLOSED, open streams their on_closed,
 * before it returns: no new call or stream can begin then. NULL is fine.
 */
void link_free(struct link *l);
void link_set_state(struct link *l, uint32_t state_bit);
/* Whoever is at the other end, as the supervisor named it. */
void link_set_peer(struct link *l, uint32_t peer_id);
uint32_t link_peer(const struct link *l);

/* Queue a message; written at the end of this turn of the loop. E_FULL, E_RANGE, E_CLOSED. */
MUST_USE struct status link_send(struct link *l, uint64_t id, uint16_t type, const void *msg);
/* The same with descriptors, which are duplicated: the caller keeps its own. */
MUST_USE struct status link_send_fds(
    struct link *l, uint64_t id, uint16_t type, const void *msg, const int *fds, size_t nfds);
/* In a handler: take the descriptors that came with this message (-1 when none is left). */
int link_take_fd(struct link *l);
/* Read and dispatch what the peer has already written, without waiting. */
void link_pump(struct link *l);
/* Write what is queued, now. */
void link_flush(struct link *l);
size_t link_queued(const struct link *l);

/*
 * A call: `cb` runs exactly once, never from within link_call: with the reply
 * (status OK), or with E_TIMEOUT or E_CLOSED (also by link_free()) and msg NULL. The peer replies
 * by link_send() with the same id. A late reply after a timeout is dropped.
 */
typedef void link_reply(
    struct link *l, struct status st, uint16_t type, const void *msg, void *ctx);
MUST_USE struct status link_call(struct link *l, uint16_t type, const void *msg,
    uint32_t timeout_ms, link_reply *cb, void *ctx, uint64_t *ret_id);
/* The same with descriptors, see link_send_fds(); those of the reply: link_take_fd() in `cb`. */
MUST_USE struct status link_call_fds(struct link *l, uint16_t type, const void *msg, const int *fds,
    size_t nfds, uint32_t timeout_ms, link_reply *cb, void *ctx, uint64_t *ret_id);
/* Forget a call: its callback will not run. */
void link_call_cancel(struct link *l, uint64_t id);

/* ---- streams (data edges only). The A end (gateway) opens them. ---- */
struct stream_ops {
	/* A typed message inside the stream, in order with the data. */
	void (*on_msg)(struct stream *s, uint16_t type, const void *msg, void *ctx);
	/* Bytes of one channel. Give credit back with stream_consumed() when done with them. */
	void (*on_data)(struct stream *s, uint8_t channel, struct span data, void *ctx);
	void (*on_end)(struct stream *s, void *ctx);      /* the peer's last byte came */
	void (*on_writable)(struct stream *s, void *ctx); /* credit came back */
	/*
	 * Last call, exactly once: cancelled by the peer (E_CLOSED with err = reason), or the
	 * link went down (E_CLOSED, err 0), or both sides ended (E_EOF). `s` is freed afterwards.
	 */
	void (*on_closed)(struct stream *s, struct status why, void *ctx);
};

/* Open with a first typed message (A end). E_FULL (LINK_STREAMS_MAX), E_NOMEM, E_CLOSED. */
MUST_USE struct status stream_open(struct link *l, uint16_t type, const void *msg,
    const struct stream_ops *ops, void *ctx, struct stream **ret);
/* In the handler of an opening message (B end): take stream `id`, or it is cancelled on return. */
MUST_USE struct status stream_accept(
    struct link *l, uint64_t id, const struct stream_ops *ops, void *ctx, struct stream **ret);
MUST_USE struct status stream_send(struct stream *s, uint16_t type, const void *msg);
/* Takes up to stream_credit() bytes; *ret_taken says how many. */
MUST_USE struct status stream_write(
    struct stream *s, uint8_t channel, struct span data, size_t *ret_taken);
size_t stream_credit(const struct stream *s);
/* How much stream_put() takes now; 0: on_writable comes when it takes more. */
size_t stream_room(struct stream *s);
/* All of `data`, for who asked stream_room() before the bytes came. E_FULL, E_NOMEM, E_CLOSED. */
MUST_USE struct status stream_put(struct stream *s, uint8_t channel, struct span data);
void stream_consumed(struct stream *s, size_t n);
/* No more bytes from us. When both have ended the stream closes (E_EOF). */
void stream_end(struct stream *s);
/* Tear down at once; the peer's on_closed gets `reason`. Ours is not called. `s` is gone. */
void stream_cancel(struct stream *s, uint16_t reason);
uint64_t stream_id(const struct stream *s);

#endif
