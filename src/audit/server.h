/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUDIT_SERVER_H
#define AUDIT_SERVER_H

/*
 * The links to the log: appends in, receipts out, one commit a turn of the loop.
 */
#include <sys/queue.h>
#include <uv.h>

#include <link/link.h>
#include <wire/authority_audit.h>
#include <wire/control.h>

#include "log.h"

#define SERVER_CHECKPOINT_MS 1000
#define SERVER_REPLIES_MAX 16384 /* batches in one commit */
#define SERVER_PEERS_MAX 64

struct server;

/* What the server tells its process. */
struct server_hooks {
	/* A new checkpoint is on disk. */
	void (*on_head)(struct server *s, uint64_t size, struct span note);
	/* A record of the control link is durable (ok), or refused. */
	void (*on_recorded)(struct server *s, uint64_t id, uint64_t seq, bool ok);
	/* The log cannot go on in this process. */
	void (*on_dead)(struct server *s, struct status why);
	/* The last peer's link has closed. */
	void (*on_idle)(struct server *s);
	/* A new signing key is wanted; *ret_seq is of the record that names it. */
	struct status (*on_rotate)(struct server *s, uint64_t *ret_seq);
};

struct server_peer {
	TAILQ_ENTRY(server_peer) next;
	struct server *server;
	struct link *link; /* NULL: the control link */
	const char *name;
	uint32_t id;
	uint64_t owner;   /* of its intents */
	uint64_t last;    /* its count, with the batch; 0: nothing over this link */
	uint64_t durable; /* its count in the log */
	bool bad;         /* it broke the protocol: dropped at the end of the turn */
};

struct server_reply {
	struct server_peer *peer;
	uint64_t id;
	uint64_t first_seq;
	uint32_t count;
};

struct server {
	struct log *log; /* borrowed */
	const struct server_hooks *hooks;
	uint32_t id;      /* our peer id */
	uint32_t config;  /* generation for our own records */
	uint64_t own_seq; /* our count of our own records */
	uint64_t own_durable;
	uint64_t next_owner;
	uv_loop_t *loop;
	uv_check_t check;
	uv_timer_t timer;
	struct server_peer control;
	TAILQ_HEAD(, server_peer) peers;
	uint32_t npeers;
	struct server_reply *replies;
	uint32_t nreplies;
	bool told_dead;
	bool state_fails; /* it was said */
};

/* Owner: server_done(). Errors: E_NOMEM. */
MUST_USE struct status server_init(struct server *s, uv_loop_t *loop, struct log *log,
    const struct server_hooks *hooks, uint32_t id, uint32_t config);
/*
 * Before the first peer: LogRepaired if due, LogOpened, outcomes for intents that
 * a crash left, a checkpoint. Errors: of log_commit() and log_checkpoint().
 */
MUST_USE struct status server_start(struct server *s);
void server_done(struct server *s);
/* A fresh end of authority-audit; takes fd. E_FULL, E_NOMEM, E_SYS. */
MUST_USE struct status server_peer_add(struct server *s, uint32_t peer_id, int fd);
/* CTL_RECORD: answered by on_recorded. */
void server_record(struct server *s, uint64_t id, const struct audit_rec *r);
/* A record of our own, alone and durable. Errors: of log_admit() and log_commit(). */
MUST_USE struct status server_own(struct server *s, struct audit_rec *r);
/* Everything queued durable, intents of the dead closed, signed; tells on_head if it grew. */
MUST_USE struct status server_sync(struct server *s);
/* The same at the end, and the state, so that the next start has nothing to read. */
MUST_USE struct status server_end(struct server *s);

#endif
