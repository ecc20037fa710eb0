/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUTHORITY_AUTHORITY_H
#define AUTHORITY_AUTHORITY_H

/*
 * The authority's state and the interfaces between its files.
 *
 *	peers.c        links come and go
 *	appends.c      records to the audit process, receipts back
 *	store_link.c   the key table from the store, changes to it
 *	grace.c        the store is away: what still serves, and for how long
 *	owed.c         keys that were revoked meanwhile, until the store has heard of it
 *	admit.c step.c settle.c ending.c   the life of a turn; turn.c has the table of states
 *	grants.c       grants to broker, executor and store
 *	runs.c         what executor and store do within a turn
 *	content.c      operations on what is kept for users, by the store
 *	tools.c …      users' tools: see tools.h
 *	oidc.c issuers.c   tokens of identity providers, and the keys that verify them
 *	people.c       who comes with one
 *	machines.c     who comes with a certificate
 *	usage.c        what requests have used, on its way to the store
 *	accesses.c     what the broker does with secrets, on record before and after
 *	secrets.c      which secrets the broker reads, and those of the store for it
 *	admin.c        acts of operators; management.c carries them over HTTP; admin_doubt.c: those
 *			that the store did not answer
 *	metrics.c status.c   what operators may see
 */
#include <base/rand.h>
#include <daemon/daemon.h>
#include <wire/authority_audit.h>
#include <wire/authority_broker.h>
#include <wire/authority_executor.h>
#include <wire/authority_store.h>
#include <wire/gateway_authority.h>

#include "failures.h"
#include "grace.h"
#include "keys.h"
#include "leaks.h"
#include "machines.h"
#include "oidc.h"
#include "owed.h"
#include "people.h"
#include "policy.h"
#include "privacy.h"
#include "record.h"
#include "accesses.h"
#include "secrets.h"
#include "sessions.h"
#include "principal.h"
#include "tools.h"
#include "turn.h"
#include "unfit.h"
#include "usage.h"

#define GATEWAYS_MAX 1024
#define TICK_MS 250
#define AUDIT_WAIT_MS 3000  /* then the request is refused; the append stays open */
#define ACK_WAIT_MS 2000    /* for GA_REVOKE and TURN_END */
#define DONE_WAIT_MS 2000   /* for a DONE that should have come before */
#define STORE_WAIT_MS 5000  /* for one change */
#define ERASE_WAIT_MS 45000 /* for one that the store makes in steps: longer than it goes on */
#define RELOAD_WAIT_MS 60000
#define RETRY_MS 1000      /* retry_after_ms of a 503; pause between retries of our own */
#define TURN_GRACE_MS 5000 /* beyond limits.turn_s, for a gateway that settles late */
#define DAY_AHEAD_S 600    /* tomorrow's key is fetched that long before midnight */
#define TOKENS_MAX (1U << 24)

struct authority;

struct gateway {
	struct authority *a;
	struct link *link; /* NULL: the slot is free */
	uint32_t peer_id;
	uint32_t index;
	bool dropped; /* broke the protocol; goes at the end of this turn of the loop */
	struct turn_list turns;
	uint32_t nturns;
};

/* One of broker, executor, audit, store. */
struct peer {
	struct authority *a;
	struct link *link; /* NULL: away */
	uint32_t peer_id;
	enum proc proc;
	const struct wire_edge *edge;
	const struct link_ops *ops;
	int next_fd; /* -1, or a new link that waits until the old one has closed */
	uint32_t next_id;
};

struct audit_state {
	uint32_t epoch;     /* changes with each link: intents of an older one are closed */
	uint64_t proc_seq;  /* of the next record, from 1 */
	uint64_t kept_seq;  /* of the next record after the newest durable one */
	uint32_t in_flight; /* appends without an answer */
	bool refusing;      /* the last append was refused */
	bool answers;       /* AA_UP came over this link */
	uint64_t probe_at_ms;
	uint64_t waiting_since_ms; /* 0: no append waits */
};

struct management;
struct procs;

/* What the supervisor told of clients' lists: ctl_revocations. */
struct revocations {
	uint64_t from_s, until_s, news_s;
	char fault[CTL_FAULT_MAX + 1], authority[CTL_AUTHORITY_MAX + 1];
};

struct authority {
	struct daemon *d;
	struct policies policies;
	struct keys keys;
	struct oidc *oidc;
	struct people people;
	struct machines machines;
	bool loaded;            /* the store's table is whole */
	bool load_failed;       /* this LOAD lacks what all need: memory, pepper, the day's key */
	size_t load_left_out;   /* users and keys of this LOAD that could not be taken */
	uint64_t load_id;       /* of the newest LOAD's messages */
	uint64_t load_again_ms; /* when it is asked for once more; 0: it need not be */
	bool day_asked;
	uint64_t keys_look_ms, keysets_look_ms; /* when it is asked next what is due */
	struct grace grace;
	struct owed owed;
	struct leaks leaks;
	struct failures failures;
	struct sealer sealer;
	struct audit_state audit_state;
	struct peer audit, broker, executor, store;
	struct gateway gateways[GATEWAYS_MAX];
	struct turns turns;
	struct secret_states secrets;
	struct accesses accesses;
	struct tools tools;
	struct usage usage;
	struct key_uses uses;
	struct key_rehash rehash;
	struct sessions sessions;
	struct management *management;
	struct procs *procs;
	uv_timer_t tick, sweep;
	uint64_t started_ms;
	uint64_t swept_s;
	uint32_t supervisor_pid;
	struct ctl_rolled_back rolled_back; /* noticed_s 0: never */
	struct revocations revocations;     /* until_s 0: there are no lists */
	struct unfit unfit;
	struct retained retained[RETAINED_COUNT + 1];
	struct rand_pool random; /* for grants and ids of requests */
};

static inline uint64_t
now_ms(const struct authority *a)
{
	return uv_now(a->d->loop);
}

uint64_t now_real_s(void);

/* ---- peers.c ---- */
void peers_init(struct authority *a);
void peers_add(struct authority *a, enum edge edge, uint32_t peer_id, uint32_t index, int fd);
/* Soon, outside of handlers; all its turns end. */
void gateway_drop(struct gateway *gw, const char *why);
bool gateways_any(const struct authority *a);

/* ---- appends.c ---- */
typedef void append_done(struct authority *a, void *ctx, struct status st, uint64_t first_seq);
/* `done` runs exactly once, later, when this returns OK. E_CLOSED, E_FULL, E_NOMEM. */
MUST_USE struct status audit_append(
    struct authority *a, struct batch *b, append_done *done, void *ctx);
/* There is a process, which may still be reading its log. */
bool audit_is_up(const struct authority *a);
/* It has opened its log: appends are answered in their usual time. */
bool audit_answers(const struct authority *a);
void audit_on_up(struct link *l, uint64_t id, const void *msg, void *ctx);
/* Honest: it answers, is not refusing, and not silent for long. */
bool audit_is_writable(const struct authority *a);
void audit_on_link(struct authority *a);
void audit_on_closed(struct authority *a);
void audit_tick(struct authority *a);

/* ---- store_link.c ---- */
extern const struct link_ops store_link_ops;
void store_on_link(struct authority *a);
/* The store may have done what the table has not: a LOAD, unless one later than that was asked for.
 */
void store_load_behind(struct authority *a, uint32_t load);
void store_tick(struct authority *a);
/* `m` NULL: no answer came, for the reason `code`. */
typedef void store_done(struct authority *a, void *ctx, enum code code, const struct as_done *m);
MUST_USE struct status store_put_key(
    struct authority *a, const struct as_key *m, store_done *done, void *ctx);
MUST_USE struct status store_revoke_key(
    struct authority *a, const struct as_key_revoke *m, store_done *done, void *ctx);
/*
 * Ask the store; the answer is a `reply_type`, which begins with its code. `done` runs
 * exactly once, later; `m` NULL: no such answer came, for the reason `code`. E_CLOSED, E_NOMEM.
 */
typedef void store_reply(struct authority *a, void *ctx, enum code code, const void *m);
MUST_USE struct status store_ask(struct authority *a, uint16_t type, const void *msg,
    uint16_t reply_type, store_reply *done, void *ctx);
/* The same, for so long. */
MUST_USE struct status store_ask_for(struct authority *a, uint16_t type, const void *msg,
    uint16_t reply_type, store_reply *done, void *ctx, uint32_t wait_ms);

/* ---- admit.c ---- */
/* Who calls, unless nothing can be decided now; ERROR_UNAVAILABLE may be awaited: later.h. */
enum error admit_who(struct authority *a, struct span credential, const uint8_t source[SOURCE_LEN],
    struct key **ret);
/* An answer without a turn. */
void admit_send_error(struct gateway *gw, uint16_t reply_type, uint64_t id, enum error error);
void admit_on_check(struct link *l, uint64_t id, const void *msg, void *ctx);
void admit_on_admit(struct link *l, uint64_t id, const void *msg, void *ctx);
/* ---- admit_decide.c ---- */
/* The whole decision, in the order in which a caller learns of it. */
enum error admit_decide(struct turn *t, const struct ga_admit *m);
/* ---- admit_failures.c ---- */
/* A credential that is none: on record, or counted, and answered with that type. */
void admit_refuse_unknown(struct gateway *gw, uint16_t reply_type, uint64_t id,
    const uint8_t *source, const uint8_t *request_id);
void admit_on_failures(struct link *l, uint64_t id, const void *msg, void *ctx);
void admit_tick(struct authority *a);

/* ---- step.c, settle.c ---- */
void step_on_step(struct link *l, uint64_t id, const void *msg, void *ctx);
void settle_on_settle(struct link *l, uint64_t id, const void *msg, void *ctx);
void step_on_run_done(struct link *l, uint64_t id, const void *msg, void *ctx);
void step_on_model_done(struct link *l, uint64_t id, const void *msg, void *ctx);
void step_on_attempted(struct link *l, uint64_t id, const void *msg, void *ctx);
void step_on_executor_gone(struct authority *a);
void step_on_broker_gone(struct authority *a);
/* content.c */
void content_on_done(struct link *l, uint64_t id, const void *msg, void *ctx);
void content_on_store_gone(struct authority *a);
/* privacy.c; its other functions: privacy.h */
void privacy_on_retention(struct link *l, uint64_t id, const void *msg, void *ctx);
void privacy_tick(struct authority *a);

/* ---- grants.c ---- */
/* A fresh grant for the turn, written to the process that will act. */
MUST_USE struct status grant_model(
    struct turn *t, uint32_t body_len, uint32_t model_off, const uint8_t *digest);
MUST_USE struct status grant_run(struct turn *t, struct run *r, uint32_t body_len, bool keep);
MUST_USE struct status grant_content(struct turn *t, struct run *r, uint32_t body_len);
void grants_flush(struct authority *a);

/* ---- metrics.c, status.c ---- */
MUST_USE struct status procs_init(struct authority *a);
void procs_done(struct authority *a);
void procs_add(struct authority *a, const struct ctl_metrics *m, int fd);
void procs_gone(struct authority *a, uint32_t peer_id);
/* Every pool of the executor that runs now has had a warm sandbox. */
bool procs_pools_ready(const struct authority *a);
/* Why the store's database is closed for want of its key; NULL: it is not. */
const char *procs_store_waits(const struct authority *a);
MUST_USE struct status procs_put_metrics(const struct authority *a, struct buf *out);
struct json_writer;
void procs_put_status(const struct authority *a, struct json_writer *w);
/* Processes that run users' modules, as the executor counts them. */
void procs_put_workers(const struct authority *a, struct json_writer *w);
/* True: ready. Appends {"ready":…,"missing":[…]}. */
bool status_put_ready(const struct authority *a, struct buf *out, struct status *st);
MUST_USE struct status status_put(const struct authority *a, struct buf *out);

/* ---- admin.c ---- */
/* A turn runs nothing any more: tell the revocation that waits for it, if one does. */
void admin_turn_over(struct turn *t);
/* Draining and nothing runs any more: leave. */
void authority_check_drained(struct authority *a);

/* ---- management.c ---- */
MUST_USE struct status management_init(struct authority *a, int listen_fd);
MUST_USE struct status management_start(struct authority *a);
void management_tick(struct authority *a);
/* Close everything; the loop must turn once more. */
void management_done(struct authority *a);

#endif
