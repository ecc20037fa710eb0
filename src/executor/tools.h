/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EXECUTOR_TOOLS_H
#define EXECUTOR_TOOLS_H

/*
 * Users' tools: versions that are built, calls, the processes that run them, and
 * what is kept of compiled ones.
 */
#include "executor.h"

#include <wire/executor_wasm.h>

#define ARTEFACTS_MAX 64      /* kept, of all tenants; more only while calls need them */
#define ARTEFACTS_HELD_MAX 96 /* with those */
#define ARTEFACTS_BYTES_MAX (256UL << 20)
#define ARTEFACT_GET_MS 10000
#define KEEP_MS 20000 /* for the store to have a new version */
#define BUILDS_MAX 8  /* under way, those that wait for the compiler included */
#define BUILDS_PER_TENANT_MAX (BUILDS_MAX / 4)
#define COMPILE_MS 60000 /* its weight is low: CPU is what it may use */
#define COMPILE_CPU_MS 10000
#define COMPILE_MEMORY_MB 1024
#define COMPILE_PIDS 128
#define WORKER_MEMORY_MB (TOOL_MEMORY_MB_MAX + 256)
#define WORKER_PIDS 8
#define WORKER_START_MS 10000 /* to READY; slow only on a starved machine */
#define WORKER_LOAD_MS 10000  /* a module */
#define WORKER_GRACE_MS 15    /* beyond a call's time: it counts in ticks of 10 */
#define WORKER_CANCEL_MS 50   /* for a call to end by itself when nobody wants it */
#define WORKERS_PER_TENANT_MAX 8
#define WORKERS_TICK_MS 250
#define CALLS_WAITING_MAX 256
#define CALLS_WAITING_PER_TENANT_MAX 64

/* ---- artefacts.c: parts of versions, as sealed memory files ---- */
struct artefact {
	TAILQ_ENTRY(artefact) entry; /* the one used last is first */
	struct executor *ex;
	uint64_t id; /* of the version */
	char tenant[TENANT_MAX + 1];
	uint8_t part;
	bool coming; /* from the store, or from the compiler */
	bool gone;   /* its version was removed: kept for as long as it is used */
	uint8_t digest[DIGEST_LEN];
	uint8_t granted[DIGEST_LEN]; /* what grants call it: before it was compiled anew */
	char engine[TOOL_ENGINE_MAX + 1];
	struct buf env;
	int fd;
	size_t len, counted;
	uint32_t users;
	TAILQ_HEAD(, artefact_wait) waits;
	struct compile *compile;
};
TAILQ_HEAD(artefact_list, artefact);

/* `a` is there when error is NONE, and is the caller's until artefact_put(). */
typedef void artefact_came(void *ctx, enum error error, struct artefact *a);
struct artefact_wait {
	TAILQ_ENTRY(artefact_wait) entry;
	struct artefact *of; /* NULL: does not wait */
	artefact_came *cb;
	void *ctx;
	uint8_t digest[DIGEST_LEN];
};

/* Calls back now or later, once. */
void artefact_get(
    struct executor *ex, const struct held_grant *g, enum tool_part part, struct artefact_wait *w);
/* The same for one that another engine compiled: `a` is given up for it. */
void artefact_anew(struct artefact *a, struct artefact_wait *w);
void artefact_wait_cancel(struct artefact_wait *w);
void artefact_put(struct artefact *a);
/* The version was removed: what is kept of it goes, in workers as well. */
void artefacts_gone(struct executor *ex, uint64_t id);

/* ---- compile.c: the compiler, a process a module ---- */
struct compiled {
	enum error error; /* TOOL_INVALID: see reason */
	char reason[TOOL_REASON_MAX + 1];
	char engine[TOOL_ENGINE_MAX + 1];
	int fd; /* sealed; the callback may take it */
	size_t len;
	uint8_t digest[DIGEST_LEN];
};
typedef void compile_done(void *ctx, struct compiled *c);
struct compile;
TAILQ_HEAD(compile_queue, compile);

/* Takes `module`, sealed, in any case; calls back later, or from within. E_FULL. */
MUST_USE struct status compile_start(struct executor *ex, const char tenant[TENANT_MAX + 1],
    int module, compile_done *cb, void *ctx, struct compile **ret);
/* The callback will not run. NULL is fine. */
void compile_cancel(struct compile *c);
void compile_exited(struct executor *ex, const struct es_exited *m);
/* The spawner is gone (all fail), or there is a new one. */
void compile_spawner(struct executor *ex, bool there);

/* ---- workers.c: processes that run modules, each for one tenant ---- */
struct worker;
/* Give an idle worker, now or later, or refuse. E_FULL: the queue is. */
MUST_USE struct status worker_wanted(struct executor *ex, struct tool_call *call);
/* Give it back, unused. */
void worker_return(struct tool_call *call);
/* Load the artefact, unless it is, and run. */
void worker_run(struct tool_call *call);
/* Nobody waits for this call any more, wherever it is. */
void worker_forget(struct tool_call *call);
void worker_exited(struct executor *ex, const struct es_exited *m);
void workers_spawner(struct executor *ex, bool there);
void workers_step(struct executor *ex);
/* None of the tenant's holds that module any more, or only as long as it runs it. */
void workers_unload(struct executor *ex, const char *tenant, const uint8_t digest[DIGEST_LEN]);
bool workers_of_turn(const struct executor *ex, uint64_t turn);
const char *worker_engine(const struct worker *w);
uint32_t worker_number(const struct worker *w);

/* ---- tool.c: one call ---- */
struct tool_call {
	TAILQ_ENTRY(tool_call) queue; /* waits for a worker */
	bool queued;
	struct run *run;
	struct tool_request req;
	struct artefact_wait wait;
	struct artefact *artefact;
	struct worker *worker;
	uint32_t number;      /* of the worker that it was sent to */
	uint64_t deadline_ns; /* queued */
	bool anew;            /* was compiled anew for it, once */
	bool again;           /* a full or dead worker was replaced for it, once */
	/* gVisor */
	struct buf code;
	struct run_file file;
	void *map;
};
TAILQ_HEAD(call_queue, tool_call);

void tool_begin(struct run *r);
void tool_end(struct run *r);                 /* whatever became of it */
void tool_got_worker(struct tool_call *call); /* call->worker is set */
void tool_started(struct tool_call *call);    /* CALL was sent */
void tool_result(struct tool_call *call, const struct ew_result *m);
void tool_refuse(struct tool_call *call, enum error error, const char *reason);
/* No worker has it any more; `code` is LOADED's, or CLOSED: the worker is dead. */
void tool_not_loaded(struct tool_call *call, enum code code);
/* The script that runs a native part, with its environment. E_RANGE: a name is not one. */
MUST_USE struct status tool_script(struct span env, struct buf *out);
/* NULL, or why this cannot run in a sandbox. */
const char *native_fault(struct span native);
/* Printable ASCII, one line; what is not is '?'. */
void reason_clean(struct span text, char out[TOOL_REASON_MAX + 1]);

/* ---- build.c: a new version ---- */
void build_begin(struct run *r);
void build_end(struct run *r);

/* ---- what the executor has of all this ---- */
struct tools {
	struct artefact_list artefacts;
	uint32_t nartefacts;
	size_t artefact_bytes;
	bool stepping;
	struct compile *compiling[ES_COMPILES_MAX]; /* by slot */
	bool compile_stuck[ES_COMPILES_MAX];
	struct compile_queue compiles; /* that wait */
	uint32_t ncompiles;            /* all */
	struct worker *workers;        /* ES_WORKERS_MAX */
	uint32_t changes, counted;     /* of those that live, for the metrics */
	struct call_queue waiting;
	uint32_t nwaiting;
	uint32_t nbuilds;
	uint32_t cores;
	uint32_t workers_max; /* configured */
	uint64_t idle_ns;
	uint64_t not_before_ns; /* after a worker that did not start */
	uv_timer_t tick;
};

/* In init(), before the jail. E_NOMEM. */
MUST_USE struct status tools_new(struct executor *ex);
void tools_configure(struct executor *ex);

#endif
