/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WASM_WASI_H
#define WASM_WASI_H

/*
 * WASI preview 1 for one call of a user's tool: arguments, environment, standard
 * streams, clocks, randomness, exit; and, where the capability `files` was given, a
 * scratch directory in memory. It knows no WebAssembly engine: a function gets the
 * guest's memory and the call's arguments, and answers an errno of WASI.
 *
 * Life of a context: wasi_init once; for each call wasi_begin, any number of
 * functions of the table, wasi_end. No function blocks or sleeps, and none does more
 * work than the guest's memory and the limits below bound.
 */
#include <base/span.h>

#define WASI_PARAMS_MAX 9
#define WASI_VECTORS_MAX 1024        /* of one read or write */
#define WASI_RANDOM_MAX (1U << 20)   /* bytes of one random_get */
#define WASI_SCRATCH_MAX (16U << 20) /* bytes of all files of one call */
#define WASI_FILES_MAX 256           /* files and directories of one call */
#define WASI_FDS_MAX 64
#define WASI_NAME_MAX 255
#define WASI_PATH_MAX 1024
#define WASI_DEPTH_MAX 16
#define WASI_SCRATCH_FD 3
#define WASI_SCRATCH_PATH \
	"/" /* so that "notes.txt" and "/notes.txt" are both found by every libc */

/* What a function answers instead of an errno: the guest is to be ended; `end` says why. */
#define WASI_LEAVE UINT32_C(0x10000)

enum wasi_end {
	WASI_RUNS,        /* has not said anything yet */
	WASI_EXITED,      /* proc_exit: exit_code */
	WASI_OUTPUT_FULL, /* standard output would pass its cap */
	WASI_NO_MEMORY,   /* ours, not the guest's */
};

/* The guest's memory, as it is now: it may move whenever the guest runs. */
struct wasi_memory {
	uint8_t *base;
	uint64_t len;
};

/* A descriptor of the guest. */
struct wasi_fd {
	uint8_t kind; /* enum wasi_fd_kind (wasi_guest.h); 0: free */
	bool preopened;
	uint16_t flags; /* WASI's fdflags */
	uint32_t node;  /* of the scratch directory */
	uint64_t at;
	uint64_t rights, inheriting;
};

/* Bytes of the guest's memory that lie within it. */
struct wasi_vector {
	uint32_t at, len;
};

struct wasi_scratch; /* wasi_scratch.h */

/* What one call gets; the spans are borrowed until wasi_end. */
struct wasi_given {
	struct span args;        /* "name" NUL "argument" NUL … */
	struct span environment; /* "NAME=value" NUL … */
	struct span in;          /* standard input */
	size_t out_max;          /* standard output beyond it ends the guest */
	size_t err_max;          /* standard error beyond it is dropped */
	bool files;              /* capability: a scratch directory */
};

struct wasi_ctx {
	struct wasi_given given;

	/* What the guest said; valid until wasi_end. */
	struct buf out, err;
	bool err_cut;
	enum wasi_end end;
	uint32_t exit_code;

	uint64_t refused; /* calls that are not offered, or that no capability allows */

	/* Own. */
	uint64_t in_at;
	struct wasi_fd fds[WASI_FDS_MAX];
	struct wasi_scratch *scratch;
	struct wasi_vector vectors[WASI_VECTORS_MAX]; /* a copy: a read may overwrite the guest's */
};

/*
 * Arguments stand one a slot, i32 zero-extended. An errno of WASI, or WASI_LEAVE. A wild
 * pointer, length or vector: EFAULT, and nothing was read or written anywhere.
 */
typedef uint32_t wasi_fn(
    struct wasi_ctx *ctx, struct wasi_memory memory, const uint64_t args[WASI_PARAMS_MAX]);

struct wasi_call {
	const char *name;   /* in module wasi_snapshot_preview1 */
	const char *params; /* 'i': i32, 'I': i64 */
	bool answers;       /* has one result, i32: the errno; proc_exit has none */
	wasi_fn *fn;
};

/* Every name of preview 1; those that are not offered answer ENOSYS. */
#define WASI_MODULE "wasi_snapshot_preview1"
#define WASI_CALLS 46
extern const struct wasi_call wasi_calls[WASI_CALLS];

void wasi_init(struct wasi_ctx *ctx);
/* E_RANGE: arguments or environment do not end with a NUL. */
MUST_USE struct status wasi_begin(struct wasi_ctx *ctx, const struct wasi_given *given);
/* Wipes and frees the scratch directory, wipes out and err; their memory is kept for the next call.
 */
void wasi_end(struct wasi_ctx *ctx);
/* Frees all. */
void wasi_done(struct wasi_ctx *ctx);

#endif
