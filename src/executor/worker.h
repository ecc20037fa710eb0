/* SPDX-License-Identifier: Apache-2.0 */
#ifndef EXECUTOR_WORKER_H
#define EXECUTOR_WORKER_H

/* One run worker (worker.c), as those who hand them out (workers.c) see it. */
#include "tools.h"

enum worker_state {
	WORKER_FREE,
	WORKER_STARTING, /* READY has not come */
	WORKER_IDLE,
	WORKER_BUSY,  /* taken: a module is loaded, or a call runs */
	WORKER_DYING, /* killed, or found dead: EXITED has not come */
	WORKER_STUCK, /* the slot is lost until the spawner starts anew */
};

enum worker_asked { ASKED_NOTHING, ASKED_LOAD, ASKED_CALL };

struct worker_module {
	uint8_t digest[DIGEST_LEN]; /* of the compiled file */
	uint64_t number;
	uint64_t used_ns;
};

struct worker {
	struct executor *ex;
	uint32_t slot;
	enum worker_state state;
	char tenant[TENANT_MAX + 1];
	char engine[TOOL_ENGINE_MAX + 1];
	struct link *link;
	struct worker_module modules[EW_MODULES_MAX];
	uint32_t nmodules;
	uint64_t next_module;
	struct tool_call *call; /* BUSY, DYING: whose; NULL: its client is gone */
	uint64_t turn;
	enum worker_asked asked;
	struct worker_module loading;
	uint64_t id; /* of the last question */
	uint64_t used_ns;
	bool unread;      /* … and had not read what it was asked: it began with nothing */
	bool more_sent;   /* since it was asked: what it has not read may be that */
	bool killed_late; /* DYING: it closed its link, and did not end by itself */
	uv_timer_t timer;
};

void worker_init(struct executor *ex, uint32_t index);
bool worker_start(struct worker *w, const char tenant[TENANT_MAX + 1]);
/* IDLE only: it is the call's. */
void worker_take(struct worker *w, struct tool_call *call);
/* What runs of it runs on. */
void worker_unload(struct worker *w, const uint8_t digest[DIGEST_LEN]);
bool worker_knows(const struct worker *w, const uint8_t digest[DIGEST_LEN]);
/* Nobody waits for what it does; it may end it by itself, but soon. */
void worker_abandon(struct worker *w);
void worker_end(struct worker *w);
void worker_over(struct worker *w, const struct es_exited *m);
/* With the spawner, which says no more of it. */
void worker_lost(struct worker *w);
/* workers.c */
void workers_start_failed(struct executor *ex, const char *tenant);

#endif
