/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_EXECUTOR_WORLD_STATE_H
#define TESTS_EXECUTOR_WORLD_STATE_H

/*
 * What the peers of executor_world.h have seen and how they behave, and its loop.
 */
#include "process.h"

#include <base/clock.h>
#include <base/memfd.h>
#include <base/rand.h>
#include <crypto/crypto.h>
#include <crypto/hash.h>
#include <tools.h>
#include <wire/metrics.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define GATEWAY_PEER 5
#define ENGINE "engine-1"
#define WAIT_MS (world.real ? 15000 : 9000) /* less than what the executor, or a call, waits */
#define CALL_MS 20000  /* what ends by itself does so before, however busy the machine is */
#define SILENT_MS 2000 /* what does not end by itself: time enough to look at it */
#define TRIES 8        /* one of them without something else of the machine in its way */
#define WORKERS 4      /* a quarter is not what half is */
#define IDLE_S 2

/* What a worker does when it is asked; each once, then it is good again. */
enum manner {
	GOOD,
	SILENT,       /* says nothing to CALL */
	DIE_AT_START, /* EXITED instead of READY */
	DIE_AT_LOAD,
	DIE_AT_CALL,
	OOM_AT_CALL,
	CLOSE_AT_CALL, /* lives on */
	LATE,          /* answers a call that nobody waits for */
	OTHER_ID,
	TWICE,
	TOO_LONG, /* output over the call's cap */
	BAD_STATUS,
	NOT_ASKED, /* a result to LOAD */
	OTHER_MODULE,
	CORRUPT,
	FULL,
	UNSUPPORTED,
	READY_AGAIN,
	GARBAGE,
	TRAPS,
	LOUD, /* all that it may say */
};

struct fake_worker {
	bool used;
	uint32_t slot;
	struct link *link;
	uint64_t silent_id;
	unsigned loads, calls;
};

struct fake_compile {
	bool used;
	int fds[ES_FDS_WASM_COMPILE];
};

struct fake_sandbox {
	bool used;
	int fds[ES_FDS_GVISOR];
};

static struct {
	uv_loop_t loop;
	struct process p;
	struct link *authority, *gateway, *spawner;
	struct metrics_page *metrics; /* the executor's */
	enum manner manner;
	unsigned manners; /* how many times */
	struct fake_worker workers[ES_WORKERS_MAX];
	bool keep_fd;
	int kept_fd;
	struct fake_compile compiles[ES_COMPILES_MAX];
	struct fake_sandbox sandboxes[8];
	unsigned starts, compile_starts, kills, unloads;
	bool keep_dead; /* KILL is not answered */
	char load_text[64], call_args[64], call_env[64];
	struct es_arm armed;
	/* The store. */
	struct span module, artefact, native;
	const char *engine;
	const char *env;
	enum error get_error;
	bool forged, cut, unsealed, mute_store, no_fd;
	unsigned gets, builts, rebuilts, dones, turn_ends;
	enum error kept_error;
	bool mute_kept;
	struct ae_done done;
	struct ae_built built;
	char built_manifest[64], built_engine[64], built_module[64], built_upload[512];
	struct ae_rebuilt rebuilt;
	/* Real workers, by a real spawner; what is built is what the store has. */
	bool real;
	struct process spawner_process;
	struct buf kept_upload, kept_artefact;
} world;

struct call {
	struct stream *stream;
	struct buf body;
	size_t sent;
	char sandbox[64];
	struct buf out, err;
	bool result, failed, closed;
	struct ge_result r;
	struct ge_failed f;
	char text[TOOL_REASON_MAX + 1];
	struct ge_open open;
	uint64_t opened_ns;
	double ms;
};

static inline void
on_wake(uv_timer_t *t)
{
	(void)t;
}

/* Until it is true, WAIT_MS at most. */
#define until(what)                                                    \
	do {                                                           \
		uint64_t end_ = clock_mono_ns() + WAIT_MS * NS_PER_MS; \
		while (!(what) && clock_mono_ns() < end_)              \
			world_turn();                                  \
		assert_true(what);                                     \
	} while (0)

/* One turn of the loop, of 5 ms at most: the timer goes off again and again, or a late one would
 * be gone before the loop waits. */
static inline void
world_turn(void)
{
	static uv_timer_t wake;

	if (wake.loop == NULL) {
		(void)uv_timer_init(&world.loop, &wake);
		(void)uv_timer_start(&wake, on_wake, 5, 5);
	}
	(void)uv_run(&world.loop, UV_RUN_ONCE);
}

static inline void
world_wait(unsigned ms)
{
	uint64_t end = clock_mono_ns() + ms * NS_PER_MS;

	while (clock_mono_ns() < end)
		world_turn();
}

static inline void
on_peer_closed(struct link *l, struct status why, void *ctx)
{
	(void)why;
	*(struct link **)ctx = NULL;
	link_free(l);
}

#endif
