/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EXECUTOR_EXECUTOR_H
#define EXECUTOR_EXECUTOR_H

/* What the executor's files share: languages with their pools, sandboxes, runs. */
#include <sys/queue.h>

#include <daemon/daemon.h>
#include <daemon/grants.h>
#include <wire/authority_executor.h>
#include <wire/executor_spawner.h>
#include <wire/gateway_executor.h>

#include "guest.h"
#include "outcome.h"

#define LANGUAGES_MAX 8
#define POOL_STARTING_MAX 3       /* sandboxes that start at one time */
#define POOL_START_MS 60000       /* to READY; slow only on a starved machine */
#define POOL_BACKOFF_MIN_MS 200   /* after a failed start, doubled up to … */
#define POOL_BACKOFF_MAX_MS 10000 /* … this */
#define POOL_TICK_MS 50
#define POOL_POKE_MS 8
#define QUEUE_WAIT_MS 10000 /* for a sandbox; then ERROR_POOL_BUSY */
#define QUEUE_RETRY_MS 1000 /* what a refused caller is told */
#define BODIES_TOTAL_MAX (128U << 20)
#define READ_MAX 16384   /* of a guest's pipe at a time */
#define KEPT_CPU_MS 5000 /* CPU that a lease may use between its steps */

struct executor;
struct run;
struct tools; /* tools.h, as are these two */
struct tool_call;
struct build;

/* One kind of warm sandbox of a language. */
struct pool {
	enum es_runner runner;
	struct language *language;
	bool offered;
	uint32_t target;
	uint32_t warm;
	bool was_warm; /* once */
	uint32_t starting;
	uint32_t queued; /* runs that wait for this kind */
	uint32_t backoff_ms;
	uint64_t not_before_ns;
};

enum pool_variant { POOL_LIGHT, POOL_DATA, POOL_VARIANTS };

struct language {
	const char *name;
	bool configured;
	struct pool pools[POOL_VARIANTS];
	uint32_t memory_mb, pids, tmp_mb;
	uint32_t wall_ms, cpu_ms;
	uint64_t output_max;
	uint32_t file_bytes_max;
	uint32_t queue_max;
	uint32_t queued;
};

enum sandbox_state {
	SANDBOX_FREE,
	SANDBOX_STARTING,
	SANDBOX_WARM,
	SANDBOX_LEASED,
	SANDBOX_DYING, /* killed, or found dead: EXITED has not come */
	SANDBOX_GONE,  /* EXITED came, a run still drains its pipes */
	SANDBOX_STUCK, /* the slot is lost until the spawner starts anew */
};

enum channel_kind { CHANNEL_IN, CHANNEL_OUT, CHANNEL_ERR, CHANNEL_CTL, CHANNELS };

/* A pipe to or from a guest; lives until libuv lets go of it. */
struct channel {
	uv_poll_t poll;
	int fd;
	int events; /* polled for now */
	enum channel_kind kind;
	struct sandbox *sandbox;
};

struct sandbox {
	struct executor *ex;
	uint32_t slot;
	enum sandbox_state state;
	bool stuck; /* its groups are left: not FREE when it is over */
	struct pool *pool;
	struct channel *channels[CHANNELS]; /* NULL: closed, or at its end */
	struct guest guest;
	uint64_t deadline_ns; /* STARTING: READY by then */
	struct buf input;     /* frames to be written */
	size_t input_at;
	/* The lease. */
	uint64_t turn;
	char tenant[TENANT_MAX + 1];
	char user[USER_MAX + 1];
	bool keep;
	struct run *run;
};

enum run_state {
	RUN_COLLECTING, /* the request's bytes come */
	RUN_PREPARING,  /* a tool: what it runs, or a process to run it, is awaited */
	RUN_WAITING,    /* for a sandbox */
	RUN_GOING,
	RUN_SENDING, /* files, result */
	RUN_OVER,    /* the stream's last word is awaited */
};

struct run_limits {
	uint32_t wall_ms, cpu_ms;
	uint32_t memory_mb; /* 0: the sandbox's */
	uint32_t files_max;
	uint64_t output_max;
};

struct run {
	TAILQ_ENTRY(run) all;
	TAILQ_ENTRY(run) queue; /* RUN_WAITING */
	struct executor *ex;
	struct stream *stream; /* NULL: the gateway is gone */
	struct held_grant grant;
	bool granted; /* `grant` is one, and its DONE is still owed */
	enum run_state state;
	struct grant_wait *grant_wait; /* it is on its way */
	size_t unconsumed;             /* of the body, before it came: no credit was given back */
	bool ended;                    /* the whole body is here */
	bool late;                     /* STARTED may come with the result */
	struct buf body;
	size_t body_reserved; /* of bodies_total: what has come of the body */
	struct arena arena;
	struct run_request req;
	struct language *language;
	struct pool *pool; /* what it waits for */
	struct sandbox *sandbox;
	struct tool_call *tool; /* of a GRANT_TOOL */
	struct build *build;    /* of a GRANT_BUILD */
	struct run_limits limits;
	uint64_t deadline_ns; /* RUN_WAITING */
	uint64_t started_ns;
	uint32_t duration_ms;
	struct run_seen seen;
	uint64_t output; /* bytes sent on both channels */
	bool truncated;
	uint8_t files_dropped;
	struct run_outcome outcome;
	bool drained[CHANNELS]; /* after the end: nothing was left to read */
	/* Bytes read from the guest, or files, that wait for credit. */
	struct buf pending;
	size_t pending_at;
	uint8_t pending_channel;
	struct buf errors; /* follows it, on standard error's channel */
	/* For the answer. */
	char reason[TOOL_REASON_MAX + 1]; /* of a refusal, or the trap */
	uint32_t version;
};
TAILQ_HEAD(run_list, run);

struct gateway {
	struct executor *ex;
	struct link *link;
	LIST_ENTRY(gateway) entry;
};

/* An answer that the authority waits for. */
struct turn_end {
	uint64_t turn;
	uint64_t id;
	LIST_ENTRY(turn_end) entry;
};

LIST_HEAD(gateway_list, gateway);
LIST_HEAD(turn_end_list, turn_end);

struct executor {
	struct daemon *d;
	struct link *authority;
	struct link *spawner;
	struct gateway_list gateways;
	struct grants grants;
	struct language languages[LANGUAGES_MAX];
	struct sandbox sandboxes[ES_SANDBOXES_MAX];
	uint32_t nslots;
	struct run_list runs;
	struct run_list waiting;
	struct turn_end_list turn_ends;
	size_t bodies_total;
	uint32_t nruns;
	uint32_t nwaiting;
	uint32_t starting;
	uv_timer_t tick;
	struct tools *tools;
};

/* ---- pool.c ---- */
MUST_USE struct status pool_init(struct executor *ex);
void pool_configure(struct executor *ex);
struct language *pool_language(struct executor *ex, const char *name);
/* Give a warm sandbox to `run`, or queue it. E_FULL: the queue is. */
MUST_USE struct status pool_lease(struct executor *ex, struct run *run);
void pool_unqueue(struct executor *ex, struct run *run);
/* Start what is missing, hand out what is ready, publish the gauges. */
void pool_step(struct executor *ex);
/* The same a little later: a run that has just begun goes first. */
void pool_poke(struct executor *ex);
void pool_drain(struct executor *ex);
void pool_failed(struct executor *ex, struct pool *p);
/* How many sandboxes to start now, and of these how many for runs that wait. */
uint32_t pool_missing(const struct pool *p, uint64_t now_ns, uint32_t *ret_urgent);

/* ---- sandbox.c ---- */
void sandbox_init(struct executor *ex, uint32_t slot);
MUST_USE struct status sandbox_start(struct sandbox *s, struct pool *p, bool background);
MUST_USE struct status sandbox_run(struct sandbox *s, const struct run_request *req, uint32_t flags,
    const struct run_limits *limits);
/* Somebody waits for this one: no more background. */
void sandbox_hurry(struct sandbox *s);
/* Between the steps of a kept lease. */
void sandbox_rest(struct sandbox *s);
void sandbox_kill(struct sandbox *s);
/* The run is over and nothing is to be read any more. */
void sandbox_release(struct sandbox *s);
void sandbox_watch(struct sandbox *s, enum channel_kind kind, int events);
void sandbox_close_channel(struct sandbox *s, enum channel_kind kind);
void spawner_connect(struct executor *ex, int fd);
void spawner_send(struct executor *ex, uint16_t type, const void *msg);

/* ---- collect.c ---- */
void gateway_connect(struct executor *ex, uint32_t peer_id, int fd);
/* What came of the request is not needed any more. */
void run_drop_body(struct run *r);

/* ---- run.c ---- */
void run_in_sandbox(struct run *r);               /* r->req and r->language are set */
void run_begin(struct run *r, struct sandbox *s); /* a sandbox is there */
void run_started(struct run *r);                  /* its time runs */
void run_tell_where(struct run *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* All that is sent lies in `pending` and `errors`. What it ran in goes. */
void run_result(struct run *r, struct run_outcome outcome);
void run_refuse(struct run *r, enum error error, uint32_t retry_after_ms);
void run_refuse_why(struct run *r, enum error error, uint32_t retry_after_ms, const char *reason);
void run_cancel(struct run *r, enum error error); /* turn's end, or a link's */
void run_on_sandbox(struct run *r);               /* something happened to its sandbox */
void run_on_output(struct run *r, enum channel_kind kind);
void run_on_writable(struct stream *st, void *ctx);
void run_on_closed(struct stream *st, struct status why, void *ctx);

/* ---- turn.c ---- */
void authority_connect(struct executor *ex, int fd);
void authority_report(struct run *r, enum error error, struct run_outcome outcome);
/* Answer turn ends of which nothing is left. */
void turn_check(struct executor *ex);

#endif
