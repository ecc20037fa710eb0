/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LINK_INTERNAL_H
#define LINK_INTERNAL_H

/* What link.c and stream.c share. */
#include <sys/queue.h>

#include "transport.h"

#define LINK_BUCKETS 1024
#define LINK_IN_FDS_MAX 64
#define LINK_QUEUE_KEEP (64U << 10) /* of the queue's memory: kept whatever was in it */

/*
 * Frame: u32 payload length, u8 kind, u8 descriptors, u16 type, u64 id; big
 * endian. `type` is the message's type, a DATA's channel, a CANCEL's reason.
 */
#define FRAME_HEAD_LEN 16
enum frame_kind {
	FRAME_MSG = 1,
	FRAME_DATA,
	FRAME_END,
	FRAME_CANCEL,
	FRAME_CREDIT,
	FRAME_KIND_COUNT
};

struct frame {
	uint32_t len;
	uint8_t kind;
	uint8_t nfds;
	uint16_t type;
	uint64_t id;
};

struct call {
	LIST_ENTRY(call) in_bucket;
	TAILQ_ENTRY(call) in_order;
	uint64_t id;
	uint64_t deadline_ms; /* uv_now() */
	bool expired;         /* on the link's list of those to be told */
	link_reply *cb;
	void *ctx;
};

struct stream {
	LIST_ENTRY(stream) in_bucket;
	TAILQ_ENTRY(stream) in_order;
	struct link *link;
	uint64_t id;
	const struct stream_ops *ops;
	void *ctx;
	size_t credit;     /* bytes that we may still send */
	size_t unconsumed; /* bytes that we got and did not give back */
	size_t give_back;  /* consumed, not yet told to the peer */
	bool sent_end;
	bool got_end;
	TAILQ_ENTRY(stream) in_starved;
	bool starved; /* on the link's list: a write was cut short by its queue */
};

/* Descriptors that belong to the byte at `at` of everything ever queued. */
struct fd_mark {
	STAILQ_ENTRY(fd_mark) next;
	uint64_t at;
	size_t n;
	int fds[LINK_FDS_MAX];
};

struct link {
	uv_loop_t *loop;
	uv_poll_t poll;
	uv_prepare_t prepare;
	uv_check_t check;
	uv_timer_t timer;
	int handles_open;
	struct transport transport;
	const struct wire_edge *edge;
	const struct link_ops *ops;
	void *ctx;
	bool a_end;
	bool freed;  /* link_free() was called; memory goes when libuv lets go */
	bool failed; /* `why` is set, on_closed is due or done */
	bool closed; /* on_closed was called */
	bool dispatching;
	bool want_write;
	bool streams_done; /* some stream has ended on both sides */
	bool waking;       /* stream_wake_starved() runs */
	struct status why;
	uint32_t states;
	uint32_t peer_id;
	uint64_t next_id;
	struct buf in, out;
	size_t in_off, out_off;
	uint64_t out_base; /* bytes ever queued before out.ptr[0] */
	STAILQ_HEAD(, fd_mark) marks;
	int in_fds[LINK_IN_FDS_MAX];
	size_t nin_fds;
	int msg_fds[LINK_FDS_MAX];
	size_t nmsg_fds, next_msg_fd;
	struct arena arena;
	size_t ncalls, nstreams;
	LIST_HEAD(, call) calls[LINK_BUCKETS];
	TAILQ_HEAD(call_list, call) calls_in_order;
	struct call_list calls_expired;
	LIST_HEAD(, stream) streams[LINK_BUCKETS];
	TAILQ_HEAD(stream_list, stream) streams_in_order;
	struct stream_list starved; /* in the order in which they came to wait */
	size_t nstarved;
};

struct status link_queue(
    struct link *l, const struct frame *f, struct span payload, const int *fds, size_t nfds);
struct status link_queue_msg(
    struct link *l, uint64_t id, uint16_t type, const void *msg, const int *fds, size_t nfds);
struct status link_poll_update(struct link *l);
void link_read_some(struct link *l, bool drain);
struct call *link_call_find(struct link *l, uint64_t id);
void link_on_call_timer(uv_timer_t *handle);
void link_calls_close(struct link *l);
/* Bytes that were sent or dispatched; wiped where the edge carries secrets. */
void link_drop(const struct link *l, struct buf *b, size_t n);
void link_fail(struct link *l, struct status why);
/* The peer is gone; with these it had not read everything. */
static inline struct status
link_closed(struct status st)
{
	const bool unread = st.code == E_SYS && (st.err == ECONNRESET || st.err == EPIPE);

	return (struct status){ .code = E_CLOSED, .err = unread ? st.err : 0 };
}
uint64_t link_new_id(struct link *l);

/* stream.c */
struct stream *stream_find(struct link *l, uint64_t id);
struct status stream_on_frame(struct link *l, const struct frame *f, struct span payload);
void stream_on_msg(struct stream *s, uint16_t type, const void *msg);
void stream_close_all(struct link *l);
void stream_reap_done(struct link *l);
void stream_wake_starved(struct link *l);

#endif
